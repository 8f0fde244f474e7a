/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest of live_test.c, copied to GUEST_CODE. Everything is addressed through
 * registers, so it runs where it is put. Entered in 64-bit mode with RDI at the
 * memory to work on and R15 at the log; ends by OUT to port 0xf4.
 *
 * RECORD appends RAX, RBX, RCX, RDX, R8 and the flags of its mask to the log.
 */
#define ALL	0x8d5		/* CF PF AF ZF SF OF */
#define NO_AF	0x8c5
#define CF	0x001
#define ZF	0x040
#define CF_OF	0x801

	.macro	RECORD mask
	pushf
	mov	%rax, 0(%r15)
	mov	%rbx, 8(%r15)
	mov	%rcx, 16(%r15)
	mov	%rdx, 24(%r15)
	mov	%r8, 32(%r15)
	mov	(%rsp), %r14
	and	$\mask, %r14d
	mov	%r14, 40(%r15)
	add	$48, %r15
	popf
	.endm

	/* Both directions and every size of an operation. */
	.macro	BOTH op, mask
	\op\()b	%al, 0(%rdi)
	RECORD	\mask
	\op\()w	%bx, 2(%rdi)
	RECORD	\mask
	\op\()l	%ecx, 4(%rdi)
	RECORD	\mask
	\op\()q	%rdx, 8(%rdi)
	RECORD	\mask
	\op\()b	1(%rdi), %ah
	RECORD	\mask
	\op\()w	18(%rdi), %bx
	RECORD	\mask
	\op\()l	20(%rdi), %ecx
	RECORD	\mask
	\op\()q	24(%rdi), %rdx
	RECORD	\mask
	\op\()l	$0x12345678, 32(%rdi)
	RECORD	\mask
	\op\()q	$-3, 40(%rdi)
	RECORD	\mask
	.endm

	.macro	UNARY op, mask
	\op\()b	3(%rdi)
	RECORD	\mask
	\op\()w	6(%rdi)
	RECORD	\mask
	\op\()l	12(%rdi)
	RECORD	\mask
	lock \op\()q 16(%rdi)
	RECORD	\mask
	.endm

	.section .rodata
	.balign	16
	.globl	live_forms
live_forms:
	mov	$0x1122334455667788, %rax
	mov	$0x99aabbccddeeff00, %rbx
	mov	$0x7fffffff80000000, %rcx
	mov	$0x8000000000000001, %rdx
	mov	$0x5a5a5a5a5a5a5a5a, %r8
	BOTH	add, ALL
	BOTH	or, NO_AF
	BOTH	adc, ALL
	BOTH	sbb, ALL
	BOTH	and, NO_AF
	BOTH	sub, ALL
	BOTH	xor, NO_AF
	BOTH	cmp, ALL
	UNARY	inc, ALL
	UNARY	dec, ALL
	UNARY	neg, ALL
	UNARY	not, ALL
	testb	$0x81, 5(%rdi)
	RECORD	NO_AF
	testq	%rax, 8(%rdi)
	RECORD	NO_AF
	xchg	%rax, 8(%rdi)
	xchg	%bl, 3(%rdi)
	RECORD	0
	lock xadd %ecx, 4(%rdi)
	RECORD	ALL
	lock cmpxchg %rdx, 16(%rdi)
	RECORD	ALL
	lock cmpxchg %rcx, 16(%rdi)
	RECORD	ALL
	lock cmpxchg8b 24(%rdi)
	RECORD	ZF
	movl	$2, %ebx
	lock cmpxchg8b 24(%rdi)
	RECORD	ZF
	lock btsl $5, 4(%rdi)
	RECORD	CF
	btcl	%ecx, 1024(%rdi)
	RECORD	CF
	btrq	$63, 8(%rdi)
	RECORD	CF
	shlw	$3, 2(%rdi)
	RECORD	CF
	sarl	$1, 4(%rdi)
	RECORD	CF_OF
	roll	%cl, 12(%rdi)
	RECORD	CF
	movzbl	1(%rdi), %eax
	movswq	2(%rdi), %rbx
	movslq	4(%rdi), %rcx
	movzwl	6(%rdi), %edx
	RECORD	0
	cmpl	$0, 4(%rdi)
	cmovnz	8(%rdi), %rax
	setb	9(%rdi)
	cmovsl	4(%rdi), %ebx
	RECORD	0
	pushq	8(%rdi)
	popq	32(%rdi)
	pushw	2(%rdi)
	popw	42(%rdi)
	movnti	%rax, 48(%rdi)
	RECORD	0
	movups	16(%rdi), %xmm3
	movups	%xmm3, 80(%rdi)
	movd	4(%rdi), %xmm4
	movdqu	%xmm4, 97(%rdi)
	mov	%rdi, %rbx

	/* The string forms, from and to the memory, in both directions. */
	lea	128(%rbx), %rdi
	mov	%rbx, %rsi
	mov	$100, %ecx
	rep movsb
	RECORD	0
	mov	$9, %ecx
	rep stosl
	mov	$7, %ecx
	rep lodsq
	RECORD	0
	std
	mov	$20, %ecx
	rep movsw
	cld
	mov	%rbx, %rsi
	lea	128(%rbx), %rdi
	mov	$200, %ecx
	repe cmpsb
	RECORD	ALL
	mov	$100, %ecx
	mov	20(%rbx), %al
	mov	%rbx, %rdi
	repne scasb
	RECORD	ALL
	out	%al, $0xf4

	/* A device read into an absent page: the handler gives CR2 and the error. */
	.globl	live_fault
live_fault:
	mov	%rdi, %rsi
	mov	%r8, %rdi
	mov	$40, %ecx
	rep movsb
	out	%al, $0xf4

	.globl	live_fault_handler
live_fault_handler:
	pop	%rax
	mov	%cr2, %rbx
	mov	(%rsp), %rdx
	out	%al, $0xf4

	/* Ports: what is written is read back, a page of it, in words. */
	.globl	live_ports
live_ports:
	mov	$0x300, %edx
	mov	%rdi, %rsi
	mov	$3000, %ecx
	rep outsw
	mov	%r8, %rdi
	mov	$3000, %ecx
	rep insw
	out	%al, $0xf4

	.globl	live_end
live_end:
	.section .note.GNU-stack, "", @progbits
