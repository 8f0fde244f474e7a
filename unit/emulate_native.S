/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two ends of a native execution: see emulate_native.h, whose struct native is
 * defined here. Flags are loaded before the general registers and stored after
 * them, because MOV leaves them alone.
 */
#define GPR(n)	(native + 8 * (n))(%rip)
#define FLAGS	(native + 128)(%rip)
#define STACK	(native + 136)(%rip)
#define CODE	(native + 144)(%rip)
#define VECTORS	(native + 160)(%rip)

	.bss
	.balign	16
	.globl	native
native:	.skip	160 + 16 * 32
	.globl	native_avx
native_avx: .long	0

	.text
	.globl	native_enter
native_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, STACK
	lea	VECTORS, %rax
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	\n * 32(%rax), %xmm\n
	.endr
	cmpl	$0, native_avx(%rip)
	je	1f
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovups	\n * 32(%rax), %ymm\n
	.endr
1:
	push	FLAGS
	popf
	mov	GPR(0), %rax
	mov	GPR(1), %rcx
	mov	GPR(2), %rdx
	mov	GPR(3), %rbx
	mov	GPR(4), %rsp
	mov	GPR(5), %rbp
	mov	GPR(6), %rsi
	mov	GPR(7), %rdi
	.irp	n, 8, 9, 10, 11, 12, 13, 14, 15
	mov	GPR(\n), %r\n
	.endr
	jmp	*CODE

	.globl	native_leave
native_leave:
	mov	%rax, GPR(0)
	mov	%rcx, GPR(1)
	mov	%rdx, GPR(2)
	mov	%rbx, GPR(3)
	mov	%rsp, GPR(4)
	mov	%rbp, GPR(5)
	mov	%rsi, GPR(6)
	mov	%rdi, GPR(7)
	.irp	n, 8, 9, 10, 11, 12, 13, 14, 15
	mov	%r\n, GPR(\n)
	.endr
	mov	STACK, %rsp
	pushf
	pop	FLAGS
	cld
	lea	VECTORS, %rax
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	%xmm\n, \n * 32(%rax)
	.endr
	cmpl	$0, native_avx(%rip)
	je	1f
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovups	%ymm\n, \n * 32(%rax)
	.endr
	vzeroupper
1:
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.section .note.GNU-stack, "", @progbits
