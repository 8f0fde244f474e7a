// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * VMM_TRANSLATE against page tables that the test made: addresses, large pages,
 * permissions and error codes in every paging mode, and no accessed or dirty bits
 * set by it.
 */
#include "lib/test.h"

#define TABLES	GUEST_DATA		/* page tables of the test, from here */
#define TABLE(n) (TABLES + (n) * 4096UL)
#define R	VMM_ACCESS_READ
#define W	VMM_ACCESS_WRITE
#define X	VMM_ACCESS_EXEC
#define U	VMM_ACCESS_USER
/* Page-fault error code */
#define EP	1U
#define EW	2U
#define EU	4U
#define ERSVD	8U
#define EX	16U

static void guest_done(void)
{
	GUEST_DONE();
}

static struct vmm_translate translate(struct vcpu *vcpu, u64 gva, u32 access)
{
	struct vmm_translate args = { .gva = gva, .access = access };

	VMM_MUST(vcpu->fd, VMM_TRANSLATE, &args);
	return args;
}

#define MAPS(gva_, access_, gpa_)					\
	do {								\
		struct vmm_translate t_ = translate(vcpu, gva_, access_); \
									\
		EXPECT_EQ_FOR(0, t_.fault, "%#lx, access %#x: error %#x", (u64)(gva_), \
			      access_, t_.error);			\
		if (!t_.fault)						\
			EXPECT_EQ_FOR(gpa_, t_.gpa, "%#lx, access %#x", (u64)(gva_), access_); \
	} while (0)
#define FAULTS(gva_, access_, error_)					\
	do {								\
		struct vmm_translate t_ = translate(vcpu, gva_, access_); \
									\
		EXPECT_EQ_FOR(1, t_.fault, "%#lx, access %#x: gpa %#llx", (u64)(gva_), \
			      access_, t_.gpa);				\
		if (t_.fault)						\
			EXPECT_EQ_FOR(error_, t_.error, "%#lx, access %#x", (u64)(gva_), \
				      access_);				\
	} while (0)

static u64 *table(struct vm *vm, u32 n)
{
	return vm_ptr(vm, TABLE(n));
}

static void set_ctrl(struct vcpu *vcpu, u64 cr0, u64 cr3, u64 cr4, u64 efer, bool long_code)
{
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_CTRL | VMM_STATE_SEGS);
	state.ctrl.cr0 = cr0;
	state.ctrl.cr3 = cr3;
	state.ctrl.cr4 = cr4;
	state.ctrl.efer = efer;
	memset(state.ctrl.pdpte, 0, sizeof(state.ctrl.pdpte));
	state.segs.seg[VMM_CS].attr = long_code ? 0xa09b : 0xc09b;
	state.segs.seg[VMM_CS].selector = long_code ? SEL_CODE64 : SEL_CODE32;
	vcpu_set(vcpu, &state, VMM_STATE_CTRL | VMM_STATE_SEGS);
}

#define CR0	(X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_PG)

/* 4 levels: table 0 PML4, 1 PDPT, 2 PD, 3 PT, everything at the bottom. */
static struct vcpu *four_levels(u64 cr0, u64 cr4, u64 efer)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_done);
	const u64 p = PTE_P | PTE_W | PTE_U;

	memset(table(vm, 0), 0, 4 * 4096);
	table(vm, 0)[0] = TABLE(1) | p;
	table(vm, 0)[256] = TABLE(1) | p;	/* the lowest of the upper half */
	table(vm, 0)[2] = TABLE(1) | PTE_P | PTE_U;
	table(vm, 0)[3] = TABLE(1) | PTE_P | PTE_W;
	table(vm, 0)[4] = TABLE(1) | p | PTE_NX;
	table(vm, 0)[5] = (1UL << get_info().phys_bits) | p;
	table(vm, 1)[0] = TABLE(2) | p;
	table(vm, 1)[1] = 0x40000000 | p | PTE_PS;		/* 1 GiB */
	table(vm, 2)[0] = TABLE(3) | p;
	table(vm, 2)[1] = 0x600000 | p | PTE_PS;		/* 2 MiB */
	table(vm, 2)[2] = 0x602000 | p | PTE_PS;		/* reserved bits set */
	table(vm, 3)[0] = 0x5000 | p;
	table(vm, 3)[1] = 0x6000 | PTE_P | PTE_U;
	table(vm, 3)[2] = 0x7000 | PTE_P | PTE_W;
	table(vm, 3)[3] = 0x8000 | p | PTE_NX;
	table(vm, 3)[4] = 0x9000;				/* not present */
	set_ctrl(vcpu, cr0, TABLE(0), X86_CR4_PAE | cr4, EFER_LME | EFER_LMA | efer, true);
	return vcpu;
}

/* "Page1GB"; where it is not there, the bit of the size is reserved. */
static bool has_1g_pages(void)
{
	return cpuid(0x80000001, 0).edx & 1U << 26;
}

TEST(four_levels_of_every_page_size)
{
	struct vcpu *vcpu = four_levels(CR0 | X86_CR0_WP, 0, EFER_NX);

	MAPS(0x123, R, 0x5123);
	MAPS(0xfff, W, 0x5fff);
	MAPS(0x200000, R, 0x600000);
	MAPS(0x2abcde, W, 0x6abcde);
	if (has_1g_pages()) {
		MAPS(0x40000000, R, 0x40000000);
		MAPS(0x7fffffff, X, 0x7fffffff);
	} else {
		FAULTS(0x40000000, R, EP | ERSVD);
	}
	MAPS(0xffff800000000123, R, 0x5123);
	FAULTS(0x4000, R, 0);
	FAULTS(0x4000, W, EW);
	FAULTS(0x4000, X, EX);
	FAULTS(0x4000, R | U, EU);
	FAULTS(0x80000000, R, 0);
	FAULTS(0x8000000000, R, 0);
}

TEST(permissions_are_those_of_all_levels)
{
	struct vcpu *vcpu = four_levels(CR0 | X86_CR0_WP, 0, EFER_NX);

	FAULTS(0x1000, W, EP | EW);
	FAULTS(0x1000, W | U, EP | EW | EU);
	MAPS(0x1000, R | U, 0x6000);
	MAPS(0x2000, W, 0x7000);
	FAULTS(0x2000, R | U, EP | EU);
	FAULTS(0x2000, W | U, EP | EW | EU);
	MAPS(0x3000, R, 0x8000);
	FAULTS(0x3000, X, EP | EX);
	FAULTS(0x3000, X | U, EP | EX | EU);
	/* The same page through entries of the first level that take away. */
	FAULTS(2UL << 39, W, EP | EW);
	MAPS(2UL << 39, R | U, 0x5000);
	FAULTS(3UL << 39, R | U, EP | EU);
	MAPS(3UL << 39, W, 0x5000);
	FAULTS(4UL << 39, X, EP | EX);
	MAPS(4UL << 39, R, 0x5000);
}

TEST(write_protection_of_supervisor_writes_follows_cr0_wp)
{
	struct vcpu *vcpu = four_levels(CR0, 0, EFER_NX);

	MAPS(0x1000, W, 0x6000);
	FAULTS(0x1000, W | U, EP | EW | EU);
}

TEST(reserved_bits_fault)
{
	struct vcpu *vcpu = four_levels(CR0 | X86_CR0_WP, 0, EFER_NX);

	FAULTS(0x400000, R, EP | ERSVD);
	FAULTS(0x400000, W | U, EP | ERSVD | EW | EU);
	FAULTS(5UL << 39, R, EP | ERSVD);
}

TEST(without_efer_nx_the_bit_is_reserved)
{
	struct vcpu *vcpu = four_levels(CR0 | X86_CR0_WP, 0, 0);

	FAULTS(0x3000, R, EP | ERSVD);
	FAULTS(4UL << 39, R, EP | ERSVD);
	/* And a fetch is not told from a read. */
	FAULTS(0x4000, X, 0);
}

static bool has_leaf7_ebx(u32 bit)
{
	struct vmm_cpuid_entry entries[VMM_MAX_CPUID];
	struct vmm_cpuid args = { .count = VMM_MAX_CPUID, .entries = (u64)entries };
	int fd = open_vmm();

	VMM_MUST(fd, VMM_GET_SUPPORTED_CPUID, &args);
	close(fd);
	for (u32 i = 0; i < args.count; i++)
		if (entries[i].function == 7 && !entries[i].index)
			return entries[i].ebx & (1U << bit);
	return false;
}

TEST(smep_keeps_the_supervisor_from_user_code)
{
	struct vcpu *vcpu = four_levels(CR0 | X86_CR0_WP, has_leaf7_ebx(7) ? X86_CR4_SMEP : 0,
					EFER_NX);

	if (has_leaf7_ebx(7))
		FAULTS(0x0, X, EP | EX);
	else
		MAPS(0x0, X, 0x5000);
	MAPS(0x2000, X, 0x7000);
	MAPS(0x0, X | U, 0x5000);
	MAPS(0x0, R, 0x5000);
}

TEST(smap_keeps_the_supervisor_from_user_data)
{
	bool has = has_leaf7_ebx(20);
	struct vcpu *vcpu = four_levels(CR0 | X86_CR0_WP, has ? X86_CR4_SMAP : 0, EFER_NX);
	struct vmm_state state;

	if (has) {
		FAULTS(0x0, R, EP);
		FAULTS(0x0, W, EP | EW);
	} else {
		MAPS(0x0, R, 0x5000);
	}
	MAPS(0x2000, W, 0x7000);
	MAPS(0x0, R | U, 0x5000);
	vcpu_get(vcpu, &state, VMM_STATE_REGS);
	state.regs.rflags |= RFLAGS_AC;
	vcpu_set(vcpu, &state, VMM_STATE_REGS);
	MAPS(0x0, R, 0x5000);
}

TEST(pae_paging)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_done);
	const u64 p = PTE_P | PTE_W | PTE_U;

	memset(table(vm, 0), 0, 4 * 4096);
	table(vm, 0)[0] = TABLE(1) | PTE_P;	/* PDPTE */
	table(vm, 0)[3] = TABLE(1) | PTE_P;
	table(vm, 1)[0] = TABLE(2) | p;
	table(vm, 1)[1] = 0x600000 | p | PTE_PS;
	table(vm, 2)[0] = 0x5000 | p;
	table(vm, 2)[1] = 0x6000 | PTE_P;
	table(vm, 2)[2] = 0x7000 | p | PTE_NX;
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_CTRL | VMM_STATE_SEGS);
	state.ctrl.cr0 = CR0 | X86_CR0_WP;
	state.ctrl.cr3 = TABLE(0);
	state.ctrl.cr4 = X86_CR4_PAE;
	state.ctrl.efer = EFER_NX;
	state.ctrl.pdpte[0] = table(vm, 0)[0];
	state.ctrl.pdpte[3] = table(vm, 0)[3];
	state.segs.seg[VMM_CS].attr = 0xc09b;
	vcpu_set(vcpu, &state, VMM_STATE_CTRL | VMM_STATE_SEGS);
	MAPS(0x123, W | U, 0x5123);
	FAULTS(0x1000, W, EP | EW);
	FAULTS(0x1000, R | U, EP | EU);
	FAULTS(0x2000, X, EP | EX);
	MAPS(0x2abcde, R, 0x6abcde);
	MAPS(0xc0000000, R, 0x5000);
	FAULTS(0x40000000, R, 0);
	FAULTS(0x3000, R, 0);
}

/* Memory's or the registers', by the host: who walks on from it has to find the same. */
TEST(the_state_has_the_top_table_of_pae_that_is_in_force)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_done);
	const u64 p = PTE_P | PTE_W | PTE_U;
	struct vmm_translate walk;
	struct vmm_state state;
	unsigned int i;

	memset(table(vm, 0), 0, 2 * 4096);
	table(vm, 0)[1] = TABLE(1) | PTE_P;
	table(vm, 1)[0] = 0x600000 | p | PTE_PS;
	set_ctrl(vcpu, CR0, TABLE(0), X86_CR4_PAE, 0, false);
	vcpu_get(vcpu, &state, VMM_STATE_CTRL);
	for (i = 0; i < 4; i++) {
		walk = translate(vcpu, (u64)i << 30, R);
		EXPECT_EQ(walk.fault ? 0 : TABLE(1) | PTE_P, state.ctrl.pdpte[i]);
	}
	set_ctrl(vcpu, CR0 & ~X86_CR0_PG, TABLE(0), X86_CR4_PAE, 0, false);
	vcpu_get(vcpu, &state, VMM_STATE_CTRL);
	EXPECT_EQ(0, state.ctrl.pdpte[1]);
}

TEST(two_levels_with_and_without_4m_pages)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_done);
	u32 *pd = (u32 *)table(vm, 0), *pt = (u32 *)table(vm, 1);
	const u32 p = PTE_P | PTE_W | PTE_U;

	memset(pd, 0, 2 * 4096);
	pd[0] = TABLE(1) | p;
	pd[1] = 0x800000 | p | PTE_PS;
	pd[1023] = TABLE(1) | PTE_P;
	pt[0] = 0x5000 | p;
	pt[1] = 0x6000 | PTE_P | PTE_U;
	set_ctrl(vcpu, CR0 | X86_CR0_WP, TABLE(0), X86_CR4_PSE, 0, false);
	MAPS(0x123, W | U, 0x5123);
	FAULTS(0x1000, W, EP | EW);
	MAPS(0x7abcde, W, 0x800000 + 0x3abcde);
	FAULTS(0xffc00000, W, EP | EW);
	MAPS(0xffc00000, R, 0x5000);
	FAULTS(0x800000, R, 0);
	/* Without PSE bit 7 is ignored: the page is a table, full of zeros. */
	set_ctrl(vcpu, CR0 | X86_CR0_WP, TABLE(0), 0, 0, false);
	FAULTS(0x400000, R, 0);
}

TEST(paging_off_is_the_identity)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);

	set_ctrl(vcpu, CR0 & ~X86_CR0_PG, 0, 0, 0, false);
	MAPS(0x123, R, 0x123);
	MAPS(0xfffffff0, W | U, 0xfffffff0);
	MAPS(0x456, X, 0x456);
}

TEST(tables_outside_memory_fault_and_do_no_harm)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	struct vmm_translate args = { .gva = 0x1000, .access = R };
	int result;

	set_ctrl(vcpu, CR0, GUEST_HOLE, X86_CR4_PAE, EFER_LME | EFER_LMA, true);
	result = vmm_call(vcpu->fd, VMM_TRANSLATE, &args);
	EXPECT_EQ(0, result);
	EXPECT_EQ(1, args.fault);
}

TEST(accessed_and_dirty_bits_stay_as_they_are)
{
	struct vcpu *vcpu = four_levels(CR0 | X86_CR0_WP, 0, EFER_NX);
	u8 before[4 * 4096];

	memcpy(before, table(vcpu->vm, 0), sizeof(before));
	for (u64 gva = 0; gva < 0x800000; gva += 4096)
		translate(vcpu, gva, W);
	EXPECT_EQ(0, memcmp(before, table(vcpu->vm, 0), sizeof(before)));
}

VMM_TEST_MAIN
