// SPDX-License-Identifier: GPL-2.0-or-later
/* See probe.h. Everything is laid out by hand here, in the guest's GUEST_DATA. */
#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <cpuid.h>

#include "guest.h"
#include "probe.h"

const char *const probe_mode_name[PROBE_MODES] = {
	"flat", "32-bit", "32-bit with PSE", "PAE", "long mode",
};

#define CPUID7_EBX_SMEP	(1U << 7)
#define CPUID7_EBX_SMAP	(1U << 20)

#define CODE		GUEST_DATA
#define GDT		(GUEST_DATA + 0x1000)
#define IDT64		(GUEST_DATA + 0x2000)
#define IDT32		(GUEST_DATA + 0x3000)
#define IDT32_USER	(GUEST_DATA + 0x3800)
#define TSS(id)		(GUEST_DATA + 0x4000 + (id) * 0x80)
#define STACK(id)	(GUEST_DATA + 0x6000 + ((id) + 1) * 0x1000)
#define FIXED		(GUEST_DATA + 0x10000)	/* tables below the root's fixed entries */
#define LOW		(16UL << 20)

/* Offsets in the code page; each ends with OUT to a port that tells what it was. */
#define STUB_READ	0x00
#define STUB_WRITE	0x10
#define STUB_INVLPG	0x20
#define STUB_CR3	0x30
#define STUB_CR4	0x40
#define STUB_CR0	0x50
#define STUB_STORE32	0x60
#define STUB_STORE64	0x70
#define STUB_STORE_PAE	0x80
#define STUB_FAULT	0x90
#define STUB_OTHER	0xa0

#define PORT_OK		0xf0
#define PORT_FAULT	0xf1
#define PORT_OTHER	0xf2

#define GDT_CODE64	0x08
#define GDT_CODE32	0x10
#define GDT_DATA	0x18
#define GDT_UCODE64	0x20
#define GDT_UCODE32	0x28
#define GDT_UDATA	0x30
#define GDT_TSS(id)	(0x40 + (id) * 0x10)

static const struct {
	u8 offset;
	u8 length;
	u8 bytes[8];
} stubs[] = {
	{ STUB_READ, 4, { 0x8a, 0x03, 0xe6, PORT_OK } },		/* mov (%rbx), %al */
	{ STUB_WRITE, 4, { 0x88, 0x03, 0xe6, PORT_OK } },		/* mov %al, (%rbx) */
	{ STUB_INVLPG, 5, { 0x0f, 0x01, 0x3b, 0xe6, PORT_OK } },	/* invlpg (%rbx) */
	{ STUB_CR3, 5, { 0x0f, 0x22, 0xdb, 0xe6, PORT_OK } },		/* mov %rbx, %cr3 */
	{ STUB_CR4, 5, { 0x0f, 0x22, 0xe3, 0xe6, PORT_OK } },		/* mov %rbx, %cr4 */
	{ STUB_CR0, 5, { 0x0f, 0x22, 0xc3, 0xe6, PORT_OK } },		/* mov %rbx, %cr0 */
	{ STUB_STORE32, 4, { 0x89, 0x03, 0xe6, PORT_OK } },		/* mov %eax, (%ebx) */
	{ STUB_STORE64, 5, { 0x48, 0x89, 0x03, 0xe6, PORT_OK } },	/* mov %rax, (%rbx) */
	/* mov %edx, 4(%ebx); mov %eax, (%ebx) */
	{ STUB_STORE_PAE, 7, { 0x89, 0x53, 0x04, 0x89, 0x03, 0xe6, PORT_OK } },
	{ STUB_FAULT, 2, { 0xe6, PORT_FAULT } },
	{ STUB_OTHER, 2, { 0xe6, PORT_OTHER } },
};

static u64 descriptor(u32 base, u32 limit, u16 attr)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(attr & 0xff) << 40 |
	       (u64)((limit >> 16) & 0xf) << 48 | (u64)(attr >> 12) << 52 |
	       (u64)(base >> 24) << 56;
}

static void make_tss(struct vm *vm, u32 id)
{
	u64 *gdt = vm_ptr(vm, GDT);
	u8 *tss = vm_ptr(vm, TSS(id));
	const u64 stack = STACK(id);

	memcpy(tss + 4, &stack, 8);
	gdt[GDT_TSS(id) / 8] = descriptor(TSS(id), 0x67, 0x0089);
	gdt[GDT_TSS(id) / 8 + 1] = 0;
}

static u64 gate(u16 selector, u32 offset)
{
	return (offset & 0xffff) | (u64)selector << 16 | (u64)0x8e00 << 32 |
	       (u64)(offset >> 16) << 48;
}

/*
 * In 32-bit modes the code is conforming: an exception at CPL 3 is handled there, by
 * the user's view of code and stack. QEMU's TCG aborts when a TR that is busy, as the
 * architecture has it, is asked for another stack.
 */
static void make_machine(struct vm *vm)
{
	u64 *gdt = vm_ptr(vm, GDT), *idt64 = vm_ptr(vm, IDT64), *idt32 = vm_ptr(vm, IDT32);
	u64 *idt32_user = vm_ptr(vm, IDT32_USER);
	unsigned int i;

	for (i = 0; i < sizeof(stubs) / sizeof(stubs[0]); i++)
		memcpy((u8 *)vm_ptr(vm, CODE) + stubs[i].offset, stubs[i].bytes, stubs[i].length);
	gdt[GDT_CODE64 / 8] = descriptor(0, 0xfffff, 0xa09b);
	gdt[GDT_CODE32 / 8] = descriptor(0, 0xfffff, 0xc09f);
	gdt[GDT_DATA / 8] = descriptor(0, 0xfffff, 0xc093);
	gdt[GDT_UCODE64 / 8] = descriptor(0, 0xfffff, 0xa0fb);
	gdt[GDT_UCODE32 / 8] = descriptor(0, 0xfffff, 0xc0fb);
	gdt[GDT_UDATA / 8] = descriptor(0, 0xfffff, 0xc0f3);
	for (i = 0; i < 32; i++) {
		const u64 stub = i == VEC_PF ? STUB_FAULT : STUB_OTHER;

		idt64[2 * i] = gate(GDT_CODE64, CODE + stub);
		idt64[2 * i + 1] = 0;
		idt32[i] = gate(GDT_CODE32, CODE + stub);
		idt32_user[i] = gate(GDT_CODE32, LOW + stub);
	}
}

struct probe probe_new(struct vm *vm, u32 id)
{
	struct probe probe = { .vcpu = vcpu_new(vm, id, (void (*)(void))CODE) };

	if (!id)
		make_machine(vm);
	make_tss(vm, id);
	return probe;
}

void probe_fill(struct vm *vm)
{
	u64 gpa;

	/* Megabytes for each test: by the library's call, which is quick on slow hosts too. */
	for (gpa = GUEST_DATA2; gpa < LOW; gpa += 4096) {
		u32 pair = 0x00e6U | probe_id(gpa) << 8;	/* out %al, $id */

		wmemset(vm_ptr(vm, gpa), pair | pair << 16, 4096 / sizeof(wchar_t));
	}
}

/* ---- modes ---- */

static bool is_long(const struct probe *probe)
{
	return probe->mode == PROBE_LONG;
}

u32 probe_env_supported(enum probe_mode mode)
{
	u32 env = PROBE_WP | PROBE_PGE, a, b, c, d;

	if (mode == PROBE_FLAT)
		return 0;
	if (mode >= PROBE_PAE)
		env |= PROBE_NXE;
	/* What the host's CPU has, guests have. */
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
		env |= b & CPUID7_EBX_SMEP ? PROBE_SMEP : 0;
		env |= b & CPUID7_EBX_SMAP ? PROBE_SMAP : 0;
	}
	return env;
}

bool probe_mode_broken(enum probe_mode mode)
{
	return mode == PROBE_PAE && host_is_tcg() && get_info().paging == VMM_PAGING_NESTED;
}

u64 probe_cr0(const struct probe *probe)
{
	u64 cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;

	if (probe->mode != PROBE_FLAT)
		cr0 |= X86_CR0_PG;
	return cr0 | (probe->env & PROBE_WP ? X86_CR0_WP : 0);
}

u64 probe_cr4(const struct probe *probe)
{
	u64 cr4 = 0;

	if (probe->mode == PROBE_32_PSE)
		cr4 |= X86_CR4_PSE;
	if (probe->mode >= PROBE_PAE)
		cr4 |= X86_CR4_PAE;
	cr4 |= probe->env & PROBE_SMEP ? X86_CR4_SMEP : 0;
	cr4 |= probe->env & PROBE_SMAP ? X86_CR4_SMAP : 0;
	return cr4 | (probe->env & PROBE_PGE ? X86_CR4_PGE : 0);
}

static u64 probe_efer(const struct probe *probe)
{
	u64 efer = is_long(probe) ? EFER_LME | EFER_LMA : 0;

	return efer | (probe->env & PROBE_NXE ? EFER_NX : 0);
}

/* U alias of the code, in the fixed part. */
static u64 user_code(enum probe_mode mode)
{
	switch (mode) {
	case PROBE_FLAT:
		return CODE;
	case PROBE_LONG:
		return 1UL << 30;
	default:
		return LOW;
	}
}

unsigned int probe_root_fixed(enum probe_mode mode)
{
	return mode == PROBE_32 || mode == PROBE_32_PSE ? LOW / (4UL << 20) + 1 : 1;
}

#define ENTRY_S	(PTE_P | PTE_W | PTE_A | PTE_D)
#define ENTRY_U	(ENTRY_S | PTE_U)

/* 4 MiB a table, and one more for the user's view of code and stack. */
static void tables_32(struct vm *vm)
{
	u32 *root = vm_ptr(vm, PROBE_TABLE(0));
	unsigned int i, n = LOW / (4UL << 20);

	for (i = 0; i < n * 1024; i++)
		((u32 *)vm_ptr(vm, FIXED))[i] = i * 4096 | ENTRY_S;
	for (i = 0; i <= n; i++)
		root[i] = (FIXED + i * 4096) | (i == n ? ENTRY_U : ENTRY_S);
	for (i = 0; i < 16; i++)
		((u32 *)vm_ptr(vm, FIXED + n * 4096))[i] = (CODE + i * 4096) | ENTRY_U;
}

/* 2 MiB pages in the first table, then the user's view. */
static void tables_wide(struct vm *vm, enum probe_mode mode)
{
	u64 *root = vm_ptr(vm, PROBE_TABLE(0)), *directory = vm_ptr(vm, FIXED);
	u64 *pdpt = vm_ptr(vm, FIXED + 4096), *user = vm_ptr(vm, FIXED + 2 * 4096);
	unsigned int i, n = LOW / (2UL << 20);

	for (i = 0; i < n; i++)
		directory[i] = (u64)i << 21 | ENTRY_S | PTE_PS;
	if (mode == PROBE_PAE) {
		root[0] = FIXED | PTE_P;
		directory[n] = CODE | ENTRY_U | PTE_PS;
		return;
	}
	root[0] = (FIXED + 4096) | ENTRY_U;
	pdpt[0] = FIXED | ENTRY_S;
	pdpt[1] = (FIXED + 2 * 4096) | ENTRY_U;
	user[0] = CODE | ENTRY_U | PTE_PS;
}

void probe_tables(struct vm *vm, enum probe_mode mode)
{
	memset(vm_ptr(vm, PROBE_TABLE(0)), 0, 4096);
	memset(vm_ptr(vm, FIXED), 0, 16 * 4096);
	if (mode == PROBE_32 || mode == PROBE_32_PSE)
		tables_32(vm);
	else if (mode != PROBE_FLAT)
		tables_wide(vm, mode);
}

static struct vmm_segment segment(u16 selector, u16 attr)
{
	return (struct vmm_segment){ .limit = ~0U, .selector = selector, .attr = attr };
}

static void set_segs(struct probe *probe, struct vmm_segs *segs, bool user)
{
	const u16 dpl = user ? 0x60 : 0, rpl = user ? 3 : 0;
	const u32 id = probe->vcpu->id;
	int i;

	memset(segs, 0, sizeof(*segs));
	for (i = VMM_ES; i <= VMM_GS; i++)
		segs->seg[i] = segment((user ? GDT_UDATA : GDT_DATA) | rpl, 0xc093 | dpl);
	if (is_long(probe))
		segs->seg[VMM_CS] = segment((user ? GDT_UCODE64 : GDT_CODE64) | rpl, 0xa09b | dpl);
	else
		segs->seg[VMM_CS] = user ? segment(GDT_UCODE32 | rpl, 0xc0fb) :
					   segment(GDT_CODE32, 0xc09f);
	segs->seg[VMM_LDTR] = (struct vmm_segment){ .attr = VMM_SEG_UNUSABLE };
	segs->seg[VMM_TR] = (struct vmm_segment){
		.base = TSS(id), .limit = 0x67, .selector = GDT_TSS(id), .attr = 0x008b,
	};
	segs->gdt = (struct vmm_table){ .base = GDT, .limit = 0xfff };
	segs->idt = (struct vmm_table){ .base = IDT64, .limit = 0x1ff };
	if (!is_long(probe))
		segs->idt.base = user && probe->mode != PROBE_FLAT ? IDT32_USER : IDT32;
}

static void set_pdptes(struct probe *probe, struct vmm_ctrl *ctrl)
{
	memset(ctrl->pdpte, 0, sizeof(ctrl->pdpte));
	if (probe->mode == PROBE_PAE)
		memcpy(ctrl->pdpte, vm_ptr(probe->vcpu->vm, probe->cr3), sizeof(ctrl->pdpte));
}

void probe_enter(struct probe *probe, enum probe_mode mode, u32 env)
{
	const u64 mask = VMM_STATE_REGS | VMM_STATE_SEGS | VMM_STATE_CTRL;
	struct vmm_state state;

	probe->mode = mode;
	probe->env = env;
	probe->cr3 = mode == PROBE_FLAT ? 0 : PROBE_TABLE(0);
	probe->user_code = user_code(mode);
	vcpu_get(probe->vcpu, &state, mask);
	memset(&state.regs, 0, sizeof(state.regs));
	state.regs.rip = CODE;
	state.regs.rflags = RFLAGS_FIXED;
	set_segs(probe, &state.segs, false);
	state.ctrl.cr0 = probe_cr0(probe);
	state.ctrl.cr3 = probe->cr3;
	state.ctrl.cr4 = probe_cr4(probe);
	state.ctrl.efer = probe_efer(probe);
	set_pdptes(probe, &state.ctrl);
	vcpu_set(probe->vcpu, &state, mask);
}

/* ---- running ---- */

struct setting {
	u64 rip;
	u64 rax, rbx, rdx;
	bool user;
	bool ac;
};

static u16 run(struct probe *probe, const struct setting *set)
{
	struct vmm_run *run = probe->vcpu->run;
	struct vmm_regs *regs = &run->state.regs;

	memset(regs, 0, sizeof(*regs));
	regs->rip = set->rip;
	regs->rax = set->rax;
	regs->rbx = set->rbx;
	regs->rdx = set->rdx;
	regs->rsp = STACK(probe->vcpu->id) - 0x800;
	if (set->user)
		regs->rsp += probe->user_code - CODE;
	/* IOPL 3, for the ports. */
	regs->rflags = RFLAGS_FIXED | 0x3000 | (set->ac ? RFLAGS_AC : 0);
	set_segs(probe, &run->state.segs, set->user);
	run->sync_in = VMM_STATE_REGS | VMM_STATE_SEGS;
	run->sync_out = VMM_STATE_REGS | VMM_STATE_CTRL;
	vcpu_expect(probe->vcpu, VMM_EXIT_PIO);
	return run->pio.port;
}

static void must(struct probe *probe, const struct setting *set)
{
	u16 port = run(probe, set);

	if (port != PORT_OK)
		die("%s: code at %#lx left by port %#x, cr2 %#llx", probe_mode_name[probe->mode],
		    set->rip, port, probe->vcpu->run->state.ctrl.cr2);
}

/* The error code is what the handler finds at its stack pointer. */
static u32 pushed_error(struct probe *probe)
{
	u64 rsp = probe->vcpu->run->state.regs.rsp;

	if (rsp >= LOW)
		rsp -= probe->user_code - CODE;
	return *(u32 *)vm_ptr(probe->vcpu->vm, rsp);
}

void probe_do(struct probe *probe, const struct probe_access *access,
	      struct probe_result *result)
{
	const u64 code = access->user ? probe->user_code : CODE;
	const struct setting set = {
		.rip = access->kind == PROBE_EXEC ? access->gva :
		       code + (access->kind == PROBE_READ ? STUB_READ : STUB_WRITE),
		.rbx = access->gva,
		.rax = access->value,
		.user = access->user,
		.ac = access->ac,
	};
	u16 port = run(probe, &set);

	memset(result, 0, sizeof(*result));
	if (port == PORT_FAULT) {
		result->fault = true;
		result->error = pushed_error(probe);
		result->cr2 = probe->vcpu->run->state.ctrl.cr2;
	} else if (access->kind == PROBE_EXEC && port < PROBE_IDS) {
		result->value = port;
	} else if (access->kind != PROBE_EXEC && port == PORT_OK) {
		result->value = probe->vcpu->run->pio.data;
	} else {
		die("%s: access %d to %#lx left by port %#x", probe_mode_name[probe->mode],
		    access->kind, access->gva, port);
	}
}

void probe_invlpg(struct probe *probe, u64 gva)
{
	must(probe, &(struct setting){ .rip = CODE + STUB_INVLPG, .rbx = gva });
}

void probe_load_cr3(struct probe *probe, u64 cr3)
{
	must(probe, &(struct setting){ .rip = CODE + STUB_CR3, .rbx = cr3 });
	probe->cr3 = cr3;
}

void probe_load_cr4(struct probe *probe, u64 cr4)
{
	must(probe, &(struct setting){ .rip = CODE + STUB_CR4, .rbx = cr4 });
}

void probe_load_cr0(struct probe *probe, u64 cr0)
{
	must(probe, &(struct setting){ .rip = CODE + STUB_CR0, .rbx = cr0 });
}

unsigned int probe_entry_size(enum probe_mode mode)
{
	return mode >= PROBE_PAE ? 8 : 4;
}

void probe_store(struct probe *probe, u64 gpa, u64 entry)
{
	struct setting set = { .rip = CODE + STUB_STORE32, .rbx = gpa, .rax = entry };

	if (probe->mode == PROBE_PAE) {
		set.rip = CODE + STUB_STORE_PAE;
		set.rdx = entry >> 32;
	} else if (is_long(probe)) {
		set.rip = CODE + STUB_STORE64;
	}
	must(probe, &set);
}
