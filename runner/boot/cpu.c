// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The state in which the bootstrap processor enters a kernel, and the tables in
 * memory that this state needs. Both boot protocols ask for flat segments with
 * interrupts off; they differ in the mode.
 *
 * Descriptors are written once, as segment attributes: the GDT's entries are
 * derived from them, so what the guest reloads is what it started with.
 */
#include <string.h>
#include <asm/processor-flags.h>
#include "../layout.h"
#include "boot.h"

/* Segment types, "Code- and Data-Segment Descriptor Types" and "System Descriptor Types". */
#define TYPE_DATA	0x3	/* read, write, accessed */
#define TYPE_CODE	0xb	/* execute, read, accessed */
#define TYPE_TSS	0xb	/* busy, 32- or 64-bit */

#define FLAT		(VMM_SEG_S | VMM_SEG_P | VMM_SEG_G)
#define ATTR_DATA	(FLAT | TYPE_DATA | VMM_SEG_DB)
#define ATTR_CODE64	(FLAT | TYPE_CODE | VMM_SEG_L)
#define ATTR_CODE32	(FLAT | TYPE_CODE | VMM_SEG_DB)
#define ATTR_TSS	(VMM_SEG_P | TYPE_TSS)
#define ATTR_DATA16	(VMM_SEG_S | VMM_SEG_P | TYPE_DATA)
#define ATTR_CODE16	(VMM_SEG_S | VMM_SEG_P | TYPE_CODE)

/* Selectors: those that the Linux protocol names, and one for the TSS. */
#define SEL_CODE	0x10
#define SEL_DATA	0x18
#define SEL_TSS		0x20
#define GDT_ENTRIES	5
#define TSS_LIMIT	0x67

/* Real mode, and "Processor State After Reset" */
#define REAL_LIMIT	0xffff
#define PARAGRAPH	16
#define REAL_CODE_MASK	0xf0000		/* of an entry: the rest is IP */
#define RESET_SELECTOR	0xf000
#define RESET_BASE	0xffff0000

#define MULTIBOOT_MAGIC	0x2badb002	/* in EAX */

#define EFER_LME	(1 << 8)
#define EFER_LMA	(1 << 10)
#define EFER_NXE	(1 << 11)

/* Page-table entries */
#define PTE_P		(1ULL << 0)
#define PTE_W		(1ULL << 1)
#define PTE_PS		(1ULL << 7)
#define ENTRIES		512
#define GIB		(1ULL << 30)
#define LARGE		(2ULL << 20)
#define MAPPED		4	/* GiB: all that a kernel is loaded into and told of */

static const struct mode_row {
	uint16_t code_attr;
	bool paging;
	uint64_t cr0, cr4, efer;
	uint64_t rax;
	enum vmm_gpr info;
} modes[] = {
	[BOOT_LONG] = {
		.code_attr = ATTR_CODE64,
		.paging = true,
		.cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_PG,
		.cr4 = X86_CR4_PAE,
		.efer = EFER_LME | EFER_LMA,
		.info = VMM_RSI,
	},
	[BOOT_PROTECTED] = {
		.code_attr = ATTR_CODE32,
		.cr0 = X86_CR0_PE | X86_CR0_ET,
		.info = VMM_RBX,
	},
	[BOOT_LINUX32] = {
		.code_attr = ATTR_CODE32,
		.cr0 = X86_CR0_PE | X86_CR0_ET,
		.info = VMM_RSI,
	},
	[BOOT_MULTIBOOT] = {
		.code_attr = ATTR_CODE32,
		.cr0 = X86_CR0_PE | X86_CR0_ET,
		.rax = MULTIBOOT_MAGIC,
		.info = VMM_RBX,
	},
	[BOOT_REAL] = {
		.code_attr = ATTR_CODE16,
		.cr0 = X86_CR0_ET,
		.info = VMM_RBX,
	},
	[BOOT_RESET] = {
		.code_attr = ATTR_CODE16,
		.cr0 = X86_CR0_ET | X86_CR0_NW | X86_CR0_CD,
		.info = VMM_RBX,
	},
};

static const enum vmm_sreg data_segments[] = { VMM_DS, VMM_ES, VMM_SS, VMM_FS, VMM_GS };

static struct vmm_segment flat(uint16_t selector, uint16_t attr)
{
	return (struct vmm_segment) { .limit = UINT32_MAX, .selector = selector, .attr = attr };
}

static void flat_segments(const struct boot_plan *plan, struct vmm_segs *segs)
{
	struct vmm_segment *seg = segs->seg;

	seg[VMM_CS] = flat(SEL_CODE, modes[plan->mode].code_attr);
	for (size_t i = 0; i < sizeof(data_segments) / sizeof(data_segments[0]); i++)
		seg[data_segments[i]] = flat(SEL_DATA, ATTR_DATA);
	seg[VMM_TR] = (struct vmm_segment) { .limit = TSS_LIMIT, .selector = SEL_TSS,
					     .attr = ATTR_TSS };
	segs->gdt.base = plan->layout->gdt;
	segs->gdt.limit = GDT_ENTRIES * sizeof(uint64_t) - 1;
	/* What firmware leaves: a program that goes to real mode calls its handlers there. */
	if (!modes[plan->mode].paging)
		segs->idt.limit = REAL_LIMIT;
}

/* The highest segment below 1 MiB reaches a little over it. */
static void real_segments(const struct boot_plan *plan, struct vmm_segs *segs)
{
	struct vmm_segment *seg = segs->seg;
	uint32_t base = plan->entry < LAYOUT_HIGH ? plan->entry & REAL_CODE_MASK :
						    LAYOUT_HIGH - PARAGRAPH;
	bool reset = plan->mode == BOOT_RESET;

	seg[VMM_CS] = (struct vmm_segment) {
		.base = reset ? RESET_BASE : base,
		.limit = REAL_LIMIT,
		.selector = reset ? RESET_SELECTOR : base / PARAGRAPH,
		.attr = ATTR_CODE16,
	};
	for (size_t i = 0; i < sizeof(data_segments) / sizeof(data_segments[0]); i++)
		seg[data_segments[i]] = (struct vmm_segment) { .limit = REAL_LIMIT,
							       .attr = ATTR_DATA16 };
	seg[VMM_TR] = (struct vmm_segment) { .limit = REAL_LIMIT, .attr = ATTR_TSS };
	segs->gdt.limit = REAL_LIMIT;
	segs->idt.limit = REAL_LIMIT;
}

static bool is_real(enum boot_mode mode)
{
	return !(modes[mode].cr0 & X86_CR0_PE);
}

void boot_cpu_state(const struct boot_plan *plan, struct vmm_state *state)
{
	const struct mode_row *mode = &modes[plan->mode];
	struct vmm_segs *segs = &state->segs;

	memset(state, 0, sizeof(*state));
	state->mask = VMM_STATE_REGS | VMM_STATE_SEGS | VMM_STATE_CTRL | VMM_STATE_EVENTS;

	segs->seg[VMM_LDTR].attr = VMM_SEG_UNUSABLE;
	if (is_real(plan->mode))
		real_segments(plan, segs);
	else
		flat_segments(plan, segs);
	state->regs.rip = plan->entry - segs->seg[VMM_CS].base;
	state->regs.rflags = X86_EFLAGS_FIXED;
	state->regs.rax = mode->rax;
	state->regs.gpr[mode->info] = plan->info;

	state->ctrl.cr0 = mode->cr0;
	state->ctrl.cr3 = mode->paging ? plan->layout->page_tables : 0;
	state->ctrl.cr4 = mode->cr4;
	state->ctrl.efer = mode->efer;
	state->ctrl.xcr0 = 1;
	state->events.mp_state = VMM_MP_RUNNABLE;
}

/* A flat descriptor: base 0, limit all ones in pages. */
static uint64_t descriptor(uint16_t attr)
{
	return 0xffffULL | 0xfULL << 48 | (uint64_t)(attr & 0xf0ff) << 40;
}

static enum status write_gdt(const struct boot_plan *plan, const struct ram *ram)
{
	uint64_t gdt[GDT_ENTRIES] = {
		[SEL_CODE / 8] = descriptor(modes[plan->mode].code_attr),
		[SEL_DATA / 8] = descriptor(ATTR_DATA),
		[SEL_TSS / 8] = TSS_LIMIT | (uint64_t)ATTR_TSS << 40,
	};
	void *to;
	enum status status = boot_place(ram, "GDT", plan->layout->gdt, sizeof(gdt), &to);

	if (!status)
		memcpy(to, gdt, sizeof(gdt));
	return status;
}

/* Identity map of the first MAPPED GiB: PML4, PDPT, then page directories. */
static enum status write_page_tables(const struct ram *ram, uint64_t gpa)
{
	uint64_t (*table)[ENTRIES];
	void *to;
	enum status status = boot_place(ram, "page tables", gpa, (2 + MAPPED) * sizeof(*table),
					&to);

	if (status)
		return status;
	table = to;
	table[0][0] = (gpa + sizeof(*table)) | PTE_P | PTE_W;
	for (uint64_t i = 0; i < MAPPED; i++) {
		table[1][i] = (gpa + (2 + i) * sizeof(*table)) | PTE_P | PTE_W;
		for (uint64_t j = 0; j < ENTRIES; j++)
			table[2 + i][j] = (i * GIB + j * LARGE) | PTE_P | PTE_W | PTE_PS;
	}
	return STATUS_OK;
}

enum status boot_cpu_tables(const struct boot_plan *plan, const struct ram *ram)
{
	enum status status = is_real(plan->mode) ? STATUS_OK : write_gdt(plan, ram);

	if (!status && modes[plan->mode].paging)
		status = write_page_tables(ram, plan->layout->page_tables);
	return status;
}

/* ---- CPUs that ACPI's mailbox starts ---- */

static const struct boot_layout wakeup_layout = {
	.gdt = LAYOUT_WAKEUP_GDT,
	.page_tables = LAYOUT_WAKEUP_TABLES,
};

void boot_wakeup_state(uint64_t vector, struct vmm_state *state)
{
	const struct boot_plan plan = {
		.mode = BOOT_LONG,
		.layout = &wakeup_layout,
		.entry = vector,
	};

	boot_cpu_state(&plan, state);
	/* Linux 6.12 goes on to tables with NX bits and leaves EFER to the firmware. */
	state->ctrl.efer |= EFER_NXE;
}

enum status boot_wakeup_tables(const struct ram *ram)
{
	const struct boot_plan plan = { .mode = BOOT_LONG, .layout = &wakeup_layout };

	return boot_cpu_tables(&plan, ram);
}
