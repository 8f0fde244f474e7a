/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host program and its guest agree on: the guest's address space, the
 * ports that end a turn, and the order that says which operation is next. All
 * addresses are guest-physical; the guest runs on an identity mapping.
 *
 * Also included by assembly and the linker script: plain numbers first.
 */
#ifndef BENCH_LAYOUT_H
#define BENCH_LAYOUT_H

/* Slot 0: RAM of the guest program, all of it present from the start. */
#define RAM_SIZE		0x400000
#define PAGE_TABLES		0x1000		/* PML4, PDPT, then a PD for each GiB */
#define ORDER			0x8000
#define SPINS			0x9000		/* a page that the host's spinner counts in */
#define ONE_EXIT		0xa000		/* code: OUT to PORT_DONE, nothing else */
#define STACK_TOP		0x90000
#define IMAGE			0x100000

/* No slot: accesses go to the process, or to a doorbell. */
#define MMIO_ECHO		0xd0000000
#define MMIO_DOORBELL		0xd0001000
#define APIC_PAGE		0xfee00000

/* Slot 1: memory of 4 KiB pages, slot 2: of 2 MiB pages; never seen by the guest. */
#define SMALL_BASE		0x40000000
#define SMALL_SIZE		0x04000000
#define LARGE_BASE		0x50000000
#define LARGE_SIZE		0x08000000

#define PORT_DONE		0x10	/* the order is done: the turn ends */
#define PORT_FAIL		0x11	/* an exception; EAX is its vector */
#define PORT_ECHO		0x20	/* the host enters again at once */
#define PORT_DOORBELL		0x30

#define MAX_WINDOWS		64

#ifndef __ASSEMBLER__
#include <stdint.h>

enum operation {
	OP_NOTHING,		/* the way there and back */
	OP_CPUID,
	OP_HYPERCALL,
	OP_MSR_TSC_ADJUST,
	OP_MSR_TSC_DEADLINE,
	OP_PIO_OUT,
	OP_PIO_IN,
	OP_MMIO_WRITE,
	OP_MMIO_READ,
	OP_DOORBELL_PIO,
	OP_DOORBELL_MMIO,
	OP_ICR_WRITE,
	OP_EOI,
	OP_IPI_ROUND,
	OP_HLT_PENDING,
	OP_HLT_TIMER,
	OP_TOUCH,
};

/*
 * struct order - what to measure, at ORDER
 * @operation: enum operation
 * @windows: how often, at most MAX_WINDOWS; each gives one figure
 * @count: operations in one window
 * @base, @stride: OP_TOUCH: first address, and bytes from one to the next
 * @ticks: out: TSC ticks that each window took, less those of the spinner
 */
struct order {
	uint32_t operation;
	uint32_t windows;
	uint32_t count;
	uint32_t pad;
	uint64_t base;
	uint64_t stride;
	uint64_t ticks[MAX_WINDOWS];
};

/* Instructions of one turn of the spinner, see host.c: ADD to memory and a jump. */
#define SPIN_LENGTH		2
#endif

#endif
