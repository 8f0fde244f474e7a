// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The controls of speculation are the host's: no guest sees one in CPUID, reads or
 * writes one of their MSRs, and the process cannot give it one. See
 * docs/mitigations.md.
 */
#include "lib/test.h"

static const struct {
	u32 index;
	const char *name;
} hidden_msrs[] = {
	{ 0x48, "SPEC_CTRL" },
	{ 0x49, "PRED_CMD" },
	{ 0x10a, "ARCH_CAPABILITIES" },
	{ 0x10b, "FLUSH_CMD" },
	{ 0x122, "TSX_CTRL" },
	{ 0x123, "MCU_OPT_CTRL" },
	{ 0xc001011f, "VIRT_SPEC_CTRL" },
};

/* IBRS and IBPB, STIBP, L1D_FLUSH, ARCH_CAPABILITIES, SSBD */
#define HIDDEN_7_EDX		(3U << 26 | 7U << 28 | 1U << 31)
/* IBPB, IBRS, STIBP, their always-on and preferred bits, SSBD in its forms, IBPB_RET */
#define HIDDEN_80000008_EBX	(1U << 12 | 0x3fU << 14 | 7U << 24 | 1U << 30)

static void guest_looks(void)
{
	u64 value;

	for (u32 i = 0; i < ARRAY_SIZE(hidden_msrs); i++) {
		if (try_rdmsr(hidden_msrs[i].index, &value) != VEC_GP)
			GUEST_FAIL("RDMSR that should be #GP; got is the MSR", VEC_GP,
				   hidden_msrs[i].index);
		if (try_wrmsr(hidden_msrs[i].index, 1) != VEC_GP)
			GUEST_FAIL("WRMSR that should be #GP; got is the MSR", VEC_GP,
				   hidden_msrs[i].index);
	}
	GUEST_EQ(0, cpuid(7, 0).edx & HIDDEN_7_EDX);
	GUEST_EQ(0, cpuid(0x80000008, 0).ebx & HIDDEN_80000008_EBX);
	GUEST_DONE();
}

TEST(a_guest_has_no_speculation_control)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_looks));
}

static void guest_done(void)
{
	GUEST_DONE();
}

TEST(a_process_cannot_give_it_one)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);

	for (u32 i = 0; i < ARRAY_SIZE(hidden_msrs); i++)
		EXPECT_EQ_FOR(0, vcpu_set_msr(vcpu, hidden_msrs[i].index, 0), "%s",
			      hidden_msrs[i].name);
	vcpu_done(vcpu);
}

VMM_TEST_MAIN
