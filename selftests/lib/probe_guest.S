/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loop that lib/probe.c copies into its guests; see probe_guest.h.
 *
 * RSI is the next operation, RDI where its end is noted, RCX how many are left, RBP
 * the top of the stack. Each operation is entered by IRET, with the CPL, the flags and
 * the stack that it says, and ends by INT or by an exception. Operations leave these
 * four registers alone.
 */
#include "probe_guest.h"

	/* A is the accumulator, B the address: of the mode's width. */
	.macro	OPERATIONS A, B
	.org	PROBE_DO_READ, 0xf4
	movb	(\B), %al
	int	$PROBE_VEC_OK
	.org	PROBE_DO_WRITE, 0xf4
	movb	%al, (\B)
	int	$PROBE_VEC_OK
	.org	PROBE_DO_INVLPG, 0xf4
	invlpg	(\B)
	int	$PROBE_VEC_OK
	.org	PROBE_DO_CR3, 0xf4
	mov	\B, %cr3
	int	$PROBE_VEC_OK
	.org	PROBE_DO_CR4, 0xf4
	mov	\B, %cr4
	int	$PROBE_VEC_OK
	.org	PROBE_DO_CR0, 0xf4
	mov	\B, %cr0
	int	$PROBE_VEC_OK
	.org	PROBE_DO_STORE, 0xf4
	mov	\A, (\B)
	int	$PROBE_VEC_OK
	.org	PROBE_DO_STORE_PAE, 0xf4
	movl	%edx, 4(\B)
	movl	%eax, (\B)
	int	$PROBE_VEC_OK
	.org	PROBE_DO_LTR, 0xf4
	ltr	%ax
	int	$PROBE_VEC_OK
	.org	PROBE_DO_LAR, 0xf4
	lar	%ax, %edx
	int	$PROBE_VEC_OK
	.org	PROBE_DO_MOV_FS, 0xf4
	movw	%ax, %fs
	int	$PROBE_VEC_OK
	.endm

	/* An error code where the CPU pushes none, and the vector. */
	.macro	VECTORS
	.org	PROBE_VECTORS, 0xf4
	vector = 0
	.rept	PROBE_VECTOR_COUNT
	.balign	PROBE_VECTOR_SIZE, 0xf4
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	push	$0
	.endif
	push	$vector
	jmp	1b
	vector = vector + 1
	.endr
	.org	PROBE_CODE_SIZE, 0xf4
	.endm

	.section .rodata.probe32, "a", @progbits
	.globl	probe_code32
	.code32
probe_code32:
	mov	%ebp, %esp
	lldt	OP_LDT(%esi)
	pushl	OP_SS(%esi)
	pushl	OP_RSP(%esi)
	pushl	OP_RFLAGS(%esi)
	pushl	OP_CS(%esi)
	pushl	OP_RIP(%esi)
	mov	OP_RBX(%esi), %ebx
	movl	OP_RDX(%esi), %edx
	mov	OP_RAX(%esi), %eax
	iret

	.org	PROBE_COMMON, 0xf4
1:	mov	%eax, END_RAX(%edi)
	mov	%cr2, %eax
	mov	%eax, END_CR2(%edi)
	pop	%eax
	movl	%eax, END_VECTOR(%edi)
	pop	%eax
	movl	%eax, END_ERROR(%edi)
	add	$OP_SIZE, %esi
	add	$END_SIZE, %edi
	decl	%ecx
	jnz	probe_code32
	outb	%al, $PROBE_PORT_DONE
	OPERATIONS %eax, %ebx
	VECTORS

	.section .rodata.probe64, "a", @progbits
	.globl	probe_code64
	.code64
probe_code64:
	mov	%rbp, %rsp
	lldt	OP_LDT(%rsi)
	pushq	OP_SS(%rsi)
	pushq	OP_RSP(%rsi)
	pushq	OP_RFLAGS(%rsi)
	pushq	OP_CS(%rsi)
	pushq	OP_RIP(%rsi)
	mov	OP_RBX(%rsi), %rbx
	movl	OP_RDX(%rsi), %edx
	mov	OP_RAX(%rsi), %rax
	iretq

	.org	PROBE_COMMON, 0xf4
1:	mov	%rax, END_RAX(%rdi)
	mov	%cr2, %rax
	mov	%rax, END_CR2(%rdi)
	pop	%rax
	movl	%eax, END_VECTOR(%rdi)
	pop	%rax
	movl	%eax, END_ERROR(%rdi)
	add	$OP_SIZE, %rsi
	add	$END_SIZE, %rdi
	decl	%ecx
	jnz	probe_code64
	outb	%al, $PROBE_PORT_DONE
	OPERATIONS %rax, %rbx
	VECTORS

	.section .note.GNU-stack, "", @progbits
