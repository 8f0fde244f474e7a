/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's first instruction, with long mode on and paging an identity
 * mapping, and its exception stubs. An exception is a bug of the benchmark: its
 * vector goes to PORT_FAIL and the guest stops.
 */
#include "layout.h"

	.section .start, "ax"
	.globl start
start:
	mov	$STACK_TOP, %esp
	lgdt	gdt_pointer
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	pushq	$0x08
	pushq	$1f
	lretq
1:	call	guest_main

	.text
	.globl exception_stubs
	.balign 16
exception_stubs:
	vector = 0
	.rept 32
	.balign 16
	mov	$vector, %eax
	jmp	fail
	vector = vector + 1
	.endr
fail:
	out	%eax, $PORT_FAIL
	jmp	fail

	.data
	.balign 8
gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* 64-bit code */
	.quad	0x00cf93000000ffff	/* data */
gdt_pointer:
	.word	gdt_pointer - gdt - 1
	.quad	gdt

	.section .note.GNU-stack, "", @progbits
