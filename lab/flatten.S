/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What flatten.c puts before the image of a kernel: moves it to where it belongs and enters
 * it, which is what a kernel does that unpacks itself. Entered by the 32-bit boot protocol
 * (Documentation/x86/boot.rst): ESI has the boot_params, segments are flat, paging is off;
 * enters by the 64-bit one. The words behind the first jump are flatten.c's.
 */
#define TABLES	0x101000	/* over the image, when that has been moved */
#define PRESENT	0x3		/* and writable */
#define LARGE	0x83		/* and 2 MiB */

	.code32
	.globl	_start
_start:
	jmp	1f
	.balign	8
to:	.long	0		/* address of the image, 0x100000 + 4096 being its first */
size:	.long	0		/* in bytes, a multiple of 4 */
entry:	.long	0		/* address */

	/* Upwards, over itself: the last word first. */
1:	mov	%esi, %ebp
	mov	size - _start + 0x100000, %ecx
	mov	to - _start + 0x100000, %edi
	lea	0x101000 - 4(%ecx), %esi
	lea	-4(%edi, %ecx), %edi
	shr	$2, %ecx
	std
	rep movsl
	cld

	/* The first 4 GiB as they are: a top table, one below, four directories. */
	mov	$TABLES, %edi
	mov	$6 * 1024, %ecx
	xor	%eax, %eax
	rep stosl
	movl	$TABLES + 0x1000 + PRESENT, TABLES
	mov	$4, %ecx
2:	lea	-1(%ecx), %eax
	shl	$12, %eax
	add	$TABLES + 0x2000 + PRESENT, %eax
	mov	%eax, TABLES + 0x1000 - 8(, %ecx, 8)
	loop	2b
	mov	$2048, %ecx
3:	lea	-1(%ecx), %eax
	shl	$21, %eax
	or	$LARGE, %eax
	mov	%eax, TABLES + 0x2000 - 8(, %ecx, 8)
	loop	3b

	/* CR4.PAE, EFER.LME, CR0.PG */
	mov	%cr4, %eax
	or	$1 << 5, %eax
	mov	%eax, %cr4
	mov	$TABLES, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	or	$1 << 8, %eax
	wrmsr
	mov	%cr0, %eax
	or	$1 << 31, %eax
	mov	%eax, %cr0
	lgdt	gdt_register - _start + 0x100000
	ljmp	$0x10, $4f - _start + 0x100000

	.code64
4:	mov	$0x18, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%ebp, %esi
	mov	entry - _start + 0x100000, %eax
	jmp	*%rax

	.balign	8
gdt:	.quad	0, 0
	.quad	0x00af9b000000ffff	/* 0x10: 64-bit code */
	.quad	0x00cf93000000ffff	/* 0x18: data */
gdt_register:
	.word	. - gdt - 1
	.long	gdt - _start + 0x100000

	.balign	4096
