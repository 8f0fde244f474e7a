/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A multiboot 1 kernel for tests: header, entry, a visit to long mode, and what an
 * application processor runs. Written against the Multiboot Specification and the
 * CPU manuals alone, as a kernel for any loader and any PC would be.
 *
 * KLUDGE: the header has the addresses of the file, which then may be flat.
 */
#define MAGIC		0x1badb002
#ifdef KLUDGE
#define FLAGS		0x10003
#else
#define FLAGS		0x3
#endif

#define CR0_PE		(1 << 0)
#define CR0_PG		(1 << 31)
#define CR4_PAE		(1 << 5)
#define MSR_EFER	0xc0000080
#define EFER_LME	(1 << 8)
#define EFER_NXE	(1 << 11)
#define PTE_PRESENT	1	/* all that an entry of PAE's top table may have */
#define PTE_TABLE	3	/* present, writable */
#define PTE_LARGE	0x83

#define CODE32		0x08
#define DATA		0x10
#define CODE64		0x18

	.code32
	.section .start, "ax"
	.globl start, entry
start:
	jmp	entry
	.p2align 2
header:
	.long	MAGIC, FLAGS, -(MAGIC + FLAGS)
#ifdef KLUDGE
	.long	header, start, load_end, bss_end, entry
#endif

	.text
entry:
	cli
	cld
	lgdt	gdt_pointer
	ljmp	$CODE32, $1f
1:	mov	$DATA, %ecx
	mov	%ecx, %ds
	mov	%ecx, %es
	mov	%ecx, %ss
	mov	$stack_end, %esp
	push	%ebx
	push	%eax
	call	main
2:	hlt
	jmp	2b

/* uint64_t long_mode(uint64_t a, uint64_t b): a * b, computed by 64-bit code. */
	.globl long_mode
long_mode:
	push	%ebx
	movl	$pdpt + PTE_TABLE, pml4
	movl	$directory + PTE_TABLE, pdpt
	movl	$PTE_LARGE, directory		/* 2 MiB: all that this needs */
	movl	$0x200000 + PTE_LARGE, directory + 8
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	%cr4, %eax
	or	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	mov	%cr0, %eax
	or	$CR0_PG, %eax
	mov	%eax, %cr0
	ljmp	$CODE64, $1f
	.code64
1:	mov	8(%rsp), %rax
	mov	16(%rsp), %rbx
	imul	%rbx, %rax
	mov	%rax, %rdx
	shr	$32, %rdx
	mov	%rax, product(%rip)
	mov	%rdx, product + 8(%rip)
	ljmp	*back(%rip)
	.code32
2:	mov	%cr0, %eax
	and	$~CR0_PG, %eax
	mov	%eax, %cr0
	mov	$MSR_EFER, %ecx
	rdmsr
	and	$~EFER_LME, %eax
	wrmsr
	mov	product, %eax
	mov	product + 8, %edx
	pop	%ebx
	ret

/* uint32_t pae_cpuid(void): leaf 0's EBX, asked for in 32-bit mode with PAE paging. */
	.globl pae_cpuid
pae_cpuid:
	push	%ebx
	movl	$directory + PTE_PRESENT, pdpt
	movl	$PTE_LARGE, directory
	movl	$0x200000 + PTE_LARGE, directory + 8
	mov	$pdpt, %eax
	mov	%eax, %cr3
	mov	%cr4, %eax
	or	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_NXE, %eax
	wrmsr
	mov	%cr0, %eax
	or	$CR0_PG, %eax
	mov	%eax, %cr0
	ljmp	$CODE32, $1f
1:	xor	%eax, %eax
	cpuid
	mov	%cr0, %eax
	and	$~CR0_PG, %eax
	mov	%eax, %cr0
	mov	%ebx, %eax
	pop	%ebx
	ret

/* Copied to a page below 1 MiB: counts the processor, then sleeps. */
	.globl ap_start, ap_end, ap_count
	.code16
ap_start:
	cli
	xor	%ax, %ax
	mov	%ax, %ds
	lock incl AP_COUNT
1:	hlt
	jmp	1b
ap_end:
	.code32

	.section .rodata
	.p2align 3
gdt:	.quad	0
	.quad	0x00cf9b000000ffff
	.quad	0x00cf93000000ffff
	.quad	0x00af9b000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt
back:	.long	2b
	.word	CODE32

	.bss
	.p2align 12
pml4:	.skip	4096
pdpt:	.skip	4096
directory:
	.skip	4096
stack:	.skip	16384
stack_end:
product:
	.skip	16

	.section .note.GNU-stack, "", @progbits
