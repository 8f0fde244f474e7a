// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * To whom a message goes that a vCPU sends by its ICR: every kind of destination, in
 * both modes of the APIC and both models of xAPIC's logical addresses. The targets do
 * not run: what they were sent is read from their APICs.
 */
#include "lib/test.h"

#define VECTOR		0x61
#define VCPUS		4

#define LOGICAL		0x00800
#define LOWEST		0x00100
#define SMI		0x00200
#define NMI		0x00400
#define EXTINT		0x00700
#define SELF		0x40000
#define ALL		0x80000
#define ALL_BUT		0xc0000

enum model { FLAT, CLUSTER, X2APIC };

static volatile enum model model;
static volatile u32 send_icr, send_dest, esr_seen;

static void setup(u32 id)
{
	if (model == X2APIC) {
		guest_apic_enable();
		return;
	}
	write32(APIC_PAGE + APIC_SVR, 0x1ff);
	write32(APIC_PAGE + APIC_DFR, model == FLAT ? 0xffffffff : 0x0fffffff);
	write32(APIC_PAGE + APIC_LDR,
		(model == FLAT ? 1U << id : (id / 2) << 4 | 1U << id % 2) << 24);
}

static void guest_target(void)
{
	setup(cpuid(1, 0).ebx >> 24);
	GUEST_SYNC(1);
	GUEST_DONE();
}

static void guest_sender(void)
{
	setup(0);
	for (;;) {
		GUEST_SYNC(1);
		apic_write(APIC_ESR, 0);
		if (model == X2APIC) {
			wrmsr(MSR_X2APIC + APIC_ICR / 16, (u64)send_dest << 32 | send_icr);
		} else {
			write32(APIC_PAGE + APIC_ICR2, send_dest << 24);
			write32(APIC_PAGE + APIC_ICR, send_icr);
		}
		/* In x2APIC mode only 0 may be written. */
		apic_write(APIC_ESR, 0);
		esr_seen = apic_read(APIC_ESR);
	}
}

struct group {
	struct vm *vm;
	struct vcpu *vcpu[VCPUS];
};

static void group_make(struct group *group, enum model kind)
{
	group->vm = vm_new();
	guest_var(group->vm, model) = kind;
	for (u32 id = 0; id < VCPUS; id++) {
		group->vcpu[id] = vcpu_new(group->vm, id, id ? guest_target : guest_sender);
		vcpu_sync(group->vcpu[id], 1);
	}
}

static void group_free(struct group *group)
{
	for (u32 id = 0; id < VCPUS; id++)
		vcpu_free(group->vcpu[id]);
	vm_free(group->vm);
}

static void group_send(struct group *group, u32 icr, u32 dest)
{
	guest_var(group->vm, send_icr) = icr;
	guest_var(group->vm, send_dest) = dest;
	vcpu_sync(group->vcpu[0], 1);
}

/* A bit for each vCPU whose IRR has VECTOR; it is taken out again. */
static u32 group_received(struct group *group)
{
	struct vmm_state state;
	u32 *irr = &state.lapic.regs[APIC_IRR / 16 + VECTOR / 32];
	u32 mask = 0;

	for (u32 id = 0; id < VCPUS; id++) {
		vcpu_get(group->vcpu[id], &state, VMM_STATE_LAPIC);
		if (*irr & 1U << VECTOR % 32)
			mask |= 1U << id;
		*irr &= ~(1U << VECTOR % 32);
		vcpu_set(group->vcpu[id], &state, VMM_STATE_LAPIC);
	}
	return mask;
}

static u32 group_nmis(struct group *group)
{
	struct vmm_state state;
	u32 mask = 0;

	for (u32 id = 0; id < VCPUS; id++) {
		vcpu_get(group->vcpu[id], &state, VMM_STATE_EVENTS);
		mask |= state.events.nmi_pending << id;
		state.events.nmi_pending = 0;
		vcpu_set(group->vcpu[id], &state, VMM_STATE_EVENTS);
	}
	return mask;
}

/* @want: who has to have it; with LOWEST one of them. */
static const struct row {
	enum model model;
	u32 icr, dest, want;
} rows[] = {
	{ FLAT, 0, 0, 0x1 },
	{ FLAT, 0, 2, 0x4 },
	{ FLAT, 0, 9, 0 },
	{ FLAT, 0, 0xff, 0xf },
	{ FLAT, LOGICAL, 0x5, 0x5 },
	{ FLAT, LOGICAL, 0xf0, 0 },
	{ FLAT, LOGICAL, 0, 0 },
	{ FLAT, LOGICAL, 0xff, 0xf },
	{ FLAT, LOGICAL | LOWEST, 0xe, 0xe },
	{ FLAT, LOWEST, 3, 0x8 },
	{ FLAT, LOGICAL | LOWEST, 0xf0, 0 },
	{ FLAT, LOWEST, 0xff, 0xf },
	{ FLAT, ALL_BUT | LOWEST, 0, 0xe },
	{ FLAT, SELF, 3, 0x1 },
	{ FLAT, ALL, 3, 0xf },
	{ FLAT, ALL_BUT, 3, 0xe },
	{ FLAT, SMI, 1, 0 },
	{ FLAT, EXTINT, 1, 0 },
	{ CLUSTER, LOGICAL, 0x01, 0x1 },
	{ CLUSTER, LOGICAL, 0x03, 0x3 },
	{ CLUSTER, LOGICAL, 0x13, 0xc },
	{ CLUSTER, LOGICAL, 0x1e, 0x8 },
	{ CLUSTER, LOGICAL, 0x23, 0 },
	{ CLUSTER, LOGICAL, 0xff, 0xf },
	{ CLUSTER, LOGICAL | LOWEST, 0x13, 0xc },
	{ CLUSTER, 0, 1, 0x2 },
	{ X2APIC, 0, 3, 0x8 },
	{ X2APIC, 0, 0xff, 0 },
	{ X2APIC, 0, 0x100, 0 },
	{ X2APIC, 0, ~0U, 0xf },
	{ X2APIC, LOGICAL, 0x0000000a, 0xa },
	{ X2APIC, LOGICAL, 0x0000ffff, 0xf },
	{ X2APIC, LOGICAL, 0x0001000f, 0 },
	{ X2APIC, LOGICAL, ~0U, 0xf },
	{ X2APIC, EXTINT, 1, 0 },
	{ X2APIC, SELF, 0, 0x1 },
	{ X2APIC, ALL, 0, 0xf },
	{ X2APIC, ALL_BUT, 0, 0xe },
};

static bool as_wanted(const struct row *row, u32 got)
{
	if (!(row->icr & LOWEST) || !row->want)
		return got == row->want;
	return __builtin_popcount(got) == 1 && !(got & ~row->want);
}

TEST(every_kind_of_destination_names_whom_it_should)
{
	struct group group = { 0 };

	for (u32 i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		u32 got;

		if (!i || row->model != rows[i - 1].model) {
			if (i)
				group_free(&group);
			group_make(&group, row->model);
		}
		group_send(&group, row->icr | VECTOR, row->dest);
		got = group_received(&group);
		EXPECT_TRUE(as_wanted(row, got)) {
			TH_LOG("row %u, ICR %#x, destination %#x: expected %#x, got %#x", i,
			       row->icr, row->dest, row->want, got);
		}
	}
	group_free(&group);
}

TEST(lowest_priority_goes_to_the_one_with_the_lowest)
{
	struct vmm_state state;
	struct group group;

	group_make(&group, FLAT);
	for (u32 low = 1; low < VCPUS; low++) {
		for (u32 id = 1; id < VCPUS; id++) {
			vcpu_get(group.vcpu[id], &state, VMM_STATE_LAPIC);
			state.lapic.regs[APIC_TPR / 16] = id == low ? 0x10 : 0x20;
			vcpu_set(group.vcpu[id], &state, VMM_STATE_LAPIC);
		}
		group_send(&group, LOGICAL | LOWEST | VECTOR, 0xe);
		EXPECT_EQ(1U << low, group_received(&group));
	}
	/* One that is switched off is not asked. */
	vcpu_get(group.vcpu[3], &state, VMM_STATE_LAPIC);
	state.lapic.regs[APIC_SVR / 16] = 0xff;
	vcpu_set(group.vcpu[3], &state, VMM_STATE_LAPIC);
	group_send(&group, LOGICAL | LOWEST | VECTOR, 0x8);
	EXPECT_EQ(0, group_received(&group));
}

TEST(nmis_go_the_same_ways)
{
	struct group group;

	for (enum model kind = FLAT; kind <= X2APIC; kind++) {
		group_make(&group, kind);
		group_send(&group, NMI, 2);
		EXPECT_EQ(0x4, group_nmis(&group));
		group_send(&group, NMI | ALL_BUT, 0);
		EXPECT_EQ(0xe, group_nmis(&group));
		group_send(&group, NMI | LOGICAL, kind == CLUSTER ? 0x13 : 0xc);
		EXPECT_EQ(0xc, group_nmis(&group));
		/* A message to oneself is fixed, or nothing. */
		group_send(&group, NMI | SELF, 0);
		EXPECT_EQ(0, group_nmis(&group));
		group_free(&group);
	}
}

TEST(an_illegal_vector_is_an_error_and_goes_nowhere)
{
	struct vmm_state state;
	struct group group;

	for (enum model kind = FLAT; kind <= X2APIC; kind++) {
		group_make(&group, kind);
		group_send(&group, 5, 2);
		EXPECT_EQ(1U << 5, guest_var(group.vm, esr_seen));
		vcpu_get(group.vcpu[2], &state, VMM_STATE_LAPIC);
		EXPECT_EQ(0, state.lapic.regs[APIC_IRR / 16]);
		group_send(&group, VECTOR, 2);
		EXPECT_EQ(0, guest_var(group.vm, esr_seen));
		group_free(&group);
	}
}

/* xAPIC here, x2APIC there: wide destinations do not alias. */
TEST(an_apic_in_the_other_mode_is_reached_by_its_id)
{
	struct group group;

	group_make(&group, X2APIC);
	guest_var(group.vm, model) = FLAT;
	vcpu_restart(group.vcpu[2], guest_target);
	/* Through "off", the only way back. */
	{
		struct vmm_state state;

		vcpu_get(group.vcpu[2], &state, VMM_STATE_LAPIC);
		state.lapic.base &= ~APIC_BASE_X2;
		state.lapic.regs[APIC_ID / 16] = 2 << 24;
		state.lapic.regs[APIC_LDR / 16] = 0x04000000;
		vcpu_set(group.vcpu[2], &state, VMM_STATE_LAPIC);
	}
	guest_var(group.vm, model) = X2APIC;
	group_send(&group, VECTOR, 2);
	EXPECT_EQ(0x4, group_received(&group));
	group_send(&group, LOGICAL | VECTOR, 0x4);
	EXPECT_EQ(0x4, group_received(&group));
	group_send(&group, LOGICAL | VECTOR, 0x00010004);
	EXPECT_EQ(0, group_received(&group));
	group_send(&group, VECTOR, ~0U);
	EXPECT_EQ(0xf, group_received(&group));
}

VMM_TEST_MAIN
