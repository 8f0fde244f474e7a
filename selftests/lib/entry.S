/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's exception entries and its way to CPL 3 and back; see guest.h.
 * guest_stubs has one entry of STUB_SIZE bytes a vector, each of which makes the
 * frame of struct guest_frame: an error code where the CPU pushes none, the
 * vector, the general registers.
 */
#define STUB_SIZE	16

	.text
	.globl	guest_stubs, guest_stub_call, guest_call_user

	.balign	STUB_SIZE
guest_stubs:
	vector = 0
	.rept	256
	.balign	STUB_SIZE
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	pushq	$0
	.endif
	pushq	$vector
	jmp	stub_common
	vector = vector + 1
	.endr

stub_common:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rbx
	pushq	%rbp
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	movq	%rsp, %rdi
	movq	%rsp, %rbx
	andq	$-16, %rsp
	call	guest_exception
	movq	%rbx, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rbp
	popq	%rbx
	popq	%rdx
	popq	%rcx
	popq	%rax
	addq	$16, %rsp
	iretq

	/* void guest_call_user(void (*fn)(void)) */
guest_call_user:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, user_return_rsp
	movq	$0x100000, %rax			/* GUEST_USER_STACK */
	subq	$8, %rax
	movq	$user_end, (%rax)
	pushq	$0x33				/* SEL_USER_DATA */
	pushq	%rax
	pushfq
	orq	$0x3000, (%rsp)			/* IOPL 3 */
	pushq	$0x3b				/* SEL_USER_CODE64 */
	pushq	%rdi
	iretq
user_end:
	int	$0x80

	/* The gate of VEC_CALL: leave the frame, return from guest_call_user(). */
guest_stub_call:
	movq	user_return_rsp, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

	.data
	.balign	8
user_return_rsp:
	.quad	0

	.section .note.GNU-stack, "", @progbits
