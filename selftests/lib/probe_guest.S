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
	.org	PROBE_DO_PKRU, 0xf4
	movl	%ebx, %eax
	movl	%ecx, %ebx
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	wrpkru
	movl	%ebx, %ecx
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

	/* The loop and all it enters, of @bits, with E or R before the names of registers. */
	.macro	CODE bits, r, suffix
	.section .rodata.probe\bits, "a", @progbits
	.globl	probe_code\bits
	.code\bits
probe_code\bits:
	mov	%\r\()bp, %\r\()sp
	lldt	OP_LDT(%\r\()si)
	push\suffix	OP_SS(%\r\()si)
	push\suffix	OP_RSP(%\r\()si)
	push\suffix	OP_RFLAGS(%\r\()si)
	push\suffix	OP_CS(%\r\()si)
	push\suffix	OP_RIP(%\r\()si)
	mov	OP_RBX(%\r\()si), %\r\()bx
	movl	OP_RDX(%\r\()si), %edx
	mov	OP_RAX(%\r\()si), %\r\()ax
	iret\suffix

	.org	PROBE_COMMON, 0xf4
1:	mov	%\r\()ax, END_RAX(%\r\()di)
	mov	%cr2, %\r\()ax
	mov	%\r\()ax, END_CR2(%\r\()di)
	pop	%\r\()ax
	movl	%eax, END_VECTOR(%\r\()di)
	pop	%\r\()ax
	movl	%eax, END_ERROR(%\r\()di)
	add	$OP_SIZE, %\r\()si
	add	$END_SIZE, %\r\()di
	decl	%ecx
	jnz	probe_code\bits
	outb	%al, $PROBE_PORT_DONE
	OPERATIONS %\r\()ax, %\r\()bx
	VECTORS
	.endm

	CODE	32, e, l
	CODE	64, r, q

	.section .note.GNU-stack, "", @progbits
