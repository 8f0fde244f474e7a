/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A flat program for each mode, MODE 16, 32 or 64: computes what only code of that
 * mode can, writes the result's digit to the debug console and ends with it through
 * the debug-exit port. FIRMWARE: the same in an image of 64 KiB that ends at 4 GiB,
 * which jumps from its reset vector into its copy below 1 MiB.
 */
#define PORT_EXIT	0xf4
#define PORT_CONSOLE	0xe9
#define CR0_PE		1

	.text
	.globl start
#if MODE == 16
	.code16
start:
	mov	$'0', %bl
	smsw	%ax
	test	$CR0_PE, %ax
	jnz	1f
	mov	%cs, %ax
	cmp	$SELECTOR, %ax
	jne	1f
	mov	$'1', %bl
#elif MODE == 32
	.code32
start:
	mov	$'0', %bl
	mov	%cr0, %eax
	and	$CR0_PE, %eax
	jz	1f
	mov	$0x12345678, %eax
	shr	$16, %eax
	cmp	$0x1234, %eax
	jne	1f
	mov	$'3', %bl
#else
	.code64
start:
	mov	$'0', %bl
	mov	$0x123456789a, %rax
	shr	$32, %rax
	cmp	$0x12, %rax
	jne	1f
	mov	$'6', %bl
#endif
1:	mov	$PORT_CONSOLE, %dx
	mov	%bl, %al
	out	%al, %dx
	mov	$'\n', %al
	out	%al, %dx
	mov	$PORT_EXIT, %dx
	mov	%bl, %al
	out	%al, %dx
2:	hlt
	jmp	2b

#ifdef FIRMWARE
	.org	0xfff0
	ljmp	$SELECTOR, $0
	.org	0x10000
#endif
	.section .note.GNU-stack, "", @progbits
