// SPDX-License-Identifier: GPL-2.0-or-later
/* See probe.h. Everything is laid out by hand here, in the guest's GUEST_DATA. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <cpuid.h>

#include "guest.h"
#include "probe.h"
#include "probe_guest.h"

const char *const probe_mode_name[PROBE_MODES] = {
	"flat", "32-bit", "32-bit with PSE", "PAE", "long mode",
};

#define CPUID7_EBX_SMEP	(1U << 7)
#define CPUID7_EBX_SMAP	(1U << 20)
#define CPUID7_ECX_OSPKE (1U << 4)

#define CODE32		GUEST_DATA
#define CODE64		(GUEST_DATA + 0x800)
#define GDT		(GUEST_DATA + 0x1000)
#define IDT64		(GUEST_DATA + 0x2000)
#define IDT32		(GUEST_DATA + 0x3000)
#define TSS64(id)	(GUEST_DATA + 0x4000 + (id) * 0x80)
#define TSS32(id)	(GUEST_DATA + 0x4800 + (id) * 0x80)
#define STACK(id)	(GUEST_DATA + 0x6000 + ((id) + 1) * 0x1000)
#define FIXED		(GUEST_DATA + 0x10000)	/* tables below the root's fixed entries */
#define OPS(id)		(GUEST_DATA + 0x40000 + (id) * 0x8000)
#define ENDS(id)	(GUEST_DATA + 0x60000 + (id) * 0x4000)
#define LOW		(16UL << 20)

#define GDT_CODE64	0x08
#define GDT_CODE32	0x10
#define GDT_DATA	0x18
#define GDT_UCODE64	0x20
#define GDT_UCODE32	0x28
#define GDT_UDATA	0x30
#define GDT_TSS(id)	(0x40 + (id) * 0x10)
#define GDT_LDT(n)	(0x800 + (n) * 0x10)
#define LDT_FIRST	0x7	/* the first descriptor of the LDT, RPL 3 */

struct probe_op {
	u64 rip, cs, rflags, rsp, ss;
	u64 rax, rbx;
	u32 rdx, ldt;
};

struct probe_end {
	u64 rax, cr2;
	u32 error, vector;
	u64 unused;
};

_Static_assert(sizeof(struct probe_op) == OP_SIZE, "probe_guest.h");
_Static_assert(sizeof(struct probe_end) == END_SIZE, "probe_guest.h");

/* A data segment of DPL 3 that was not loaded yet. */
#define NEW_DESCRIPTOR	0x00cff2000000fffeUL

static u64 descriptor(u32 base, u32 limit, u16 attr)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(attr & 0xff) << 40 |
	       (u64)((limit >> 16) & 0xf) << 48 | (u64)(attr >> 12) << 52 |
	       (u64)(base >> 24) << 56;
}

/* DPL 3, for INT. */
static u64 gate(u16 selector, u32 offset)
{
	return (offset & 0xffff) | (u64)selector << 16 | (u64)0xee00 << 32 |
	       (u64)(offset >> 16) << 48;
}

static void make_tss(struct vm *vm, u32 id)
{
	const u64 stack = STACK(id), stack_segment = GDT_DATA;

	memcpy((u8 *)vm_ptr(vm, TSS64(id)) + 4, &stack, 8);
	memcpy((u8 *)vm_ptr(vm, TSS32(id)) + 4, &stack, 4);
	memcpy((u8 *)vm_ptr(vm, TSS32(id)) + 8, &stack_segment, 4);
}

static void make_machine(struct vm *vm)
{
	u64 *gdt = vm_ptr(vm, GDT), *idt64 = vm_ptr(vm, IDT64), *idt32 = vm_ptr(vm, IDT32);
	unsigned int i;

	memcpy(vm_ptr(vm, CODE32), probe_code32, PROBE_CODE_SIZE);
	memcpy(vm_ptr(vm, CODE64), probe_code64, PROBE_CODE_SIZE);
	gdt[GDT_CODE64 / 8] = descriptor(0, 0xfffff, 0xa09b);
	gdt[GDT_CODE32 / 8] = descriptor(0, 0xfffff, 0xc09b);
	gdt[GDT_DATA / 8] = descriptor(0, 0xfffff, 0xc093);
	gdt[GDT_UCODE64 / 8] = descriptor(0, 0xfffff, 0xa0fb);
	gdt[GDT_UCODE32 / 8] = descriptor(0, 0xfffff, 0xc0fb);
	gdt[GDT_UDATA / 8] = descriptor(0, 0xfffff, 0xc0f3);
	for (i = 0; i < PROBE_VECTOR_COUNT; i++) {
		const u64 entry = PROBE_VECTORS + i * PROBE_VECTOR_SIZE;

		idt64[2 * i] = gate(GDT_CODE64, CODE64 + entry);
		idt64[2 * i + 1] = 0;
		idt32[i] = gate(GDT_CODE32, CODE32 + entry);
	}
}

struct probe probe_new(struct vm *vm, u32 id)
{
	struct probe probe = { .vcpu = vcpu_new(vm, id, (void (*)(void))CODE64) };

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
		/* mov $id, %al; int $PROBE_VEC_OK. As entries of a table they are absent. */
		wmemset(vm_ptr(vm, gpa), 0x00cd00b0U | probe_id(gpa) << 8 | PROBE_VEC_OK << 24,
			4096 / sizeof(wchar_t));
		*(u64 *)vm_ptr(vm, gpa + PROBE_DESCRIPTOR) = NEW_DESCRIPTOR;
	}
}

/* ---- modes ---- */

unsigned int probe_levels(enum probe_mode mode)
{
	if (mode == PROBE_LONG)
		return getenv("SELFTEST_LA57") ? 5 : 4;
	return mode == PROBE_PAE ? 3 : 2;
}

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
		env |= c & CPUID7_ECX_OSPKE ? PROBE_PKE : 0;
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
	if (probe_levels(probe->mode) == 5)
		cr4 |= X86_CR4_LA57;
	cr4 |= probe->env & PROBE_SMEP ? X86_CR4_SMEP : 0;
	cr4 |= probe->env & PROBE_SMAP ? X86_CR4_SMAP : 0;
	cr4 |= probe->env & PROBE_PKE ? X86_CR4_PKE : 0;
	return cr4 | (probe->env & PROBE_PGE ? X86_CR4_PGE : 0);
}

static u64 probe_efer(const struct probe *probe)
{
	u64 efer = is_long(probe) ? EFER_LME | EFER_LMA : 0;

	return efer | (probe->env & PROBE_NXE ? EFER_NX : 0);
}

/* The code as users see it, in the fixed part, and the supervisor's. */
static u64 code_at(const struct probe *probe, bool user)
{
	const u64 code = is_long(probe) ? CODE64 : CODE32;

	if (!user || probe->mode == PROBE_FLAT)
		return code;
	return code - CODE32 + (is_long(probe) ? 1UL << 30 : LOW);
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
		((u32 *)vm_ptr(vm, FIXED + n * 4096))[i] = (CODE32 + i * 4096) | ENTRY_U;
}

/* 2 MiB pages in the first table, then the user's view. */
static void tables_wide(struct vm *vm, enum probe_mode mode)
{
	u64 *root = vm_ptr(vm, PROBE_TABLE(0)), *directory = vm_ptr(vm, FIXED);
	u64 *pdpt = vm_ptr(vm, FIXED + 4096), *user = vm_ptr(vm, FIXED + 2 * 4096);
	u64 *pml4 = vm_ptr(vm, FIXED + 3 * 4096);
	unsigned int i, n = LOW / (2UL << 20);

	for (i = 0; i < n; i++)
		directory[i] = (u64)i << 21 | ENTRY_S | PTE_PS;
	if (mode == PROBE_PAE) {
		root[0] = FIXED | PTE_P;
		directory[n] = CODE32 | ENTRY_U | PTE_PS;
		return;
	}
	pml4[0] = (FIXED + 4096) | ENTRY_U;
	root[0] = probe_levels(mode) == 5 ? (FIXED + 3 * 4096) | ENTRY_U : pml4[0];
	pdpt[0] = FIXED | ENTRY_S;
	pdpt[1] = (FIXED + 2 * 4096) | ENTRY_U;
	user[0] = CODE32 | ENTRY_U | PTE_PS;
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

/* Data segments are the user's always: IRET takes those away that he may not have. */
static void set_segs(struct probe *probe, struct vmm_segs *segs)
{
	const u32 id = probe->vcpu->id;
	const u64 tss = is_long(probe) ? TSS64(id) : TSS32(id);
	u64 *gdt = vm_ptr(probe->vcpu->vm, GDT);
	int i;

	memset(segs, 0, sizeof(*segs));
	for (i = VMM_ES; i <= VMM_GS; i++)
		segs->seg[i] = segment(GDT_UDATA | 3, 0xc0f3);
	segs->seg[VMM_SS] = segment(GDT_DATA, 0xc093);
	segs->seg[VMM_CS] = is_long(probe) ? segment(GDT_CODE64, 0xa09b) :
					     segment(GDT_CODE32, 0xc09b);
	segs->seg[VMM_LDTR] = (struct vmm_segment){ .attr = VMM_SEG_UNUSABLE };
	segs->seg[VMM_TR] = (struct vmm_segment){
		.base = tss, .limit = 0x67, .selector = GDT_TSS(id), .attr = 0x008b,
	};
	/* LTR will say that it is busy. */
	gdt[GDT_TSS(id) / 8] = descriptor(tss, 0x67, 0x0089);
	gdt[GDT_TSS(id) / 8 + 1] = 0;
	segs->gdt = (struct vmm_table){ .base = GDT, .limit = 0xfff };
	segs->idt = (struct vmm_table){ .base = is_long(probe) ? IDT64 : IDT32, .limit = 0x3ff };
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
	vcpu_get(probe->vcpu, &state, mask);
	memset(&state.regs, 0, sizeof(state.regs));
	state.regs.rip = code_at(probe, false);
	state.regs.rflags = RFLAGS_FIXED;
	set_segs(probe, &state.segs);
	state.ctrl.cr0 = probe_cr0(probe);
	state.ctrl.cr3 = probe->cr3;
	state.ctrl.cr4 = probe_cr4(probe);
	state.ctrl.efer = probe_efer(probe);
	set_pdptes(probe, &state.ctrl);
	vcpu_set(probe->vcpu, &state, mask);
	/* QEMU's TCG gives no stack of a TSS that was not loaded by LTR: it aborts. */
	probe_must(probe, PROBE_LOAD_TR, 0, GDT_TSS(probe->vcpu->id));
}

/* ---- running ---- */

/* The LDT is where the access is to go to; each access has a descriptor for that. */
static void put_ldt(struct probe *probe, u32 n, u64 gva)
{
	u64 *gdt = vm_ptr(probe->vcpu->vm, GDT + GDT_LDT(n));

	if (n >= PROBE_SYSTEM_MAX)
		die("more than %u accesses to system tables", n);

	gdt[0] = descriptor(gva, 7, 0x0082);
	gdt[1] = is_long(probe) ? gva >> 32 : 0;
}

static const u16 entry_point[] = {
	[PROBE_READ] = PROBE_DO_READ,
	[PROBE_WRITE] = PROBE_DO_WRITE,
	[PROBE_SYSTEM_READ] = PROBE_DO_LAR,
	[PROBE_SYSTEM_WRITE] = PROBE_DO_MOV_FS,
	[PROBE_INVLPG] = PROBE_DO_INVLPG,
	[PROBE_LOAD_CR3] = PROBE_DO_CR3,
	[PROBE_LOAD_CR4] = PROBE_DO_CR4,
	[PROBE_LOAD_CR0] = PROBE_DO_CR0,
	[PROBE_STORE] = PROBE_DO_STORE,
	[PROBE_LOAD_TR] = PROBE_DO_LTR,
	[PROBE_LOAD_PKRU] = PROBE_DO_PKRU,
};

/* @ldts: how many LDTs the list has so far. */
static void put(struct probe *probe, struct probe_op *op, const struct probe_access *access,
		u32 *ldts)
{
	const bool system = probe_is_system(access->kind);
	const bool user = access->user || system;

	op->rip = access->kind == PROBE_EXEC ? access->gva :
		  code_at(probe, user) + entry_point[access->kind];
	if (access->kind == PROBE_STORE && probe->mode == PROBE_PAE)
		op->rip = code_at(probe, user) + PROBE_DO_STORE_PAE;
	op->cs = is_long(probe) ? GDT_CODE64 : GDT_CODE32;
	op->ss = GDT_DATA;
	if (user) {
		op->cs = (is_long(probe) ? GDT_UCODE64 : GDT_UCODE32) | 3;
		op->ss = GDT_UDATA | 3;
	}
	op->rflags = RFLAGS_FIXED | (access->ac ? RFLAGS_AC : 0);
	op->rsp = STACK(probe->vcpu->id) - 0x800;
	op->rax = access->value;
	op->rdx = access->value >> 32;
	op->rbx = access->gva;
	op->ldt = 0;
	if (system) {
		put_ldt(probe, *ldts, access->gva);
		op->ldt = GDT_LDT((*ldts)++);
		op->rax = LDT_FIRST;
	}
}

static void go(struct probe *probe, u32 count)
{
	struct vmm_run *run = probe->vcpu->run;
	struct vmm_regs *regs = &run->state.regs;
	const u32 id = probe->vcpu->id;

	memset(vm_ptr(probe->vcpu->vm, ENDS(id)), 0, count * sizeof(struct probe_end));
	memset(regs, 0, sizeof(*regs));
	regs->rip = code_at(probe, false);
	regs->rsi = OPS(id);
	regs->rdi = ENDS(id);
	regs->rcx = count;
	regs->rbp = STACK(id) - 0x400;
	regs->rsp = regs->rbp;
	regs->rflags = RFLAGS_FIXED;
	run->sync_in = VMM_STATE_REGS;
	run->sync_out = 0;
	while (vcpu_exit(probe->vcpu) == VMM_EXIT_INSN && run->insn.cause == VMM_INSN_WRITE) {
		probe_emulate(probe->vcpu);
		probe->emulated++;
	}
	if (run->exit_reason != VMM_EXIT_PIO || run->pio.port != PROBE_PORT_DONE)
		die("%s: %s", probe_mode_name[probe->mode], exit_text(probe->vcpu));
}

void probe_run(struct probe *probe, const struct probe_access *list, u32 count,
	       struct probe_result *results)
{
	const struct probe_end *end = vm_ptr(probe->vcpu->vm, ENDS(probe->vcpu->id));
	struct probe_op *op = vm_ptr(probe->vcpu->vm, OPS(probe->vcpu->id));
	u32 i, ldts = 0;

	for (i = 0; i < count; i++)
		put(probe, &op[i], &list[i], &ldts);
	go(probe, count);
	for (i = 0; i < count; i++, end++) {
		const bool fault = end->vector == VEC_PF;

		if (end->vector != PROBE_VEC_OK && (!fault || list[i].kind >= PROBE_INVLPG))
			die("%s: operation %d on %#lx (%#lx): vector %u, error %#x, cr2 %#lx",
			    probe_mode_name[probe->mode], list[i].kind, list[i].gva,
			    list[i].value, end->vector, end->error, end->cr2);
		results[i].fault = fault;
		results[i].error = fault ? end->error : 0;
		results[i].cr2 = fault ? end->cr2 : 0;
		results[i].value = end->rax;
	}
}

void probe_do(struct probe *probe, const struct probe_access *access,
	      struct probe_result *result)
{
	probe_run(probe, access, 1, result);
}

void probe_must(struct probe *probe, enum probe_kind kind, u64 gva, u64 value)
{
	struct probe_result result;

	probe_do(probe, &(struct probe_access){ .kind = kind, .gva = gva, .value = value },
		 &result);
	if (kind == PROBE_LOAD_CR3)
		probe->cr3 = gva;
}

unsigned int probe_entry_size(enum probe_mode mode)
{
	return mode >= PROBE_PAE ? 8 : 4;
}
