// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vCPUs with APIC ids of 255 and more: what CPUID and the APIC say of them, to whom
 * messages go that have wide destinations, and that many vCPUs run.
 */
#include "lib/test.h"

#define VECTOR		0x61
#define MSI_BASE	0xfee00000UL
#define MSI_LOGICAL	(1U << 2)
#define LOGICAL		0x00800
#define ALL_BUT		0xc0000
#define EVERYONE	(~0U)

static const u32 ids[] = { 0, 15, 16, 254, 256, 257, 300, 511, 1023, 255 };

/* All but the last, which comes later. */
#define IDS		(ARRAY_SIZE(ids) - 1)
#define WITH_255	(IDS + 1)

static volatile u32 send_icr, send_dest;

static void guest_sender(void)
{
	guest_apic_enable();
	for (;;) {
		GUEST_SYNC(1);
		wrmsr(MSR_X2APIC + APIC_ICR / 16, (u64)send_dest << 32 | send_icr);
	}
}

/* "Logical x2APIC ID" */
static u32 logical(u32 id)
{
	return id / 16 << 16 | 1U << id % 16;
}

struct group {
	struct vm *vm;
	struct vcpu *vcpu[ARRAY_SIZE(ids)];
	u32 count;
};

/* x2APIC mode, switched on by software; it does not run. */
static struct vcpu *target_new(struct vm *vm, u32 id)
{
	struct vcpu *vcpu = vcpu_new_reset(vm, id);
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_LAPIC);
	if (state.lapic.regs[APIC_ID / 16] != id << 24)
		die("vCPU %u: APIC id %#x", id, state.lapic.regs[APIC_ID / 16]);
	state.lapic.base |= APIC_BASE_X2;
	state.lapic.regs[APIC_ID / 16] = id;
	state.lapic.regs[APIC_LDR / 16] = logical(id);
	state.lapic.regs[APIC_SVR / 16] = 0x1ff;
	vcpu_set(vcpu, &state, VMM_STATE_LAPIC);
	return vcpu;
}

static void group_make(struct group *group, u32 count)
{
	group->vm = vm_new();
	group->count = count;
	group->vcpu[0] = vcpu_new(group->vm, 0, guest_sender);
	vcpu_sync(group->vcpu[0], 1);
	for (u32 i = 1; i < count; i++)
		group->vcpu[i] = target_new(group->vm, ids[i]);
}

static u32 group_received(struct group *group)
{
	struct vmm_state state;
	u32 *irr = &state.lapic.regs[APIC_IRR / 16 + VECTOR / 32];
	u32 mask = 0;

	for (u32 i = 0; i < group->count; i++) {
		vcpu_get(group->vcpu[i], &state, VMM_STATE_LAPIC);
		if (*irr & 1U << VECTOR % 32)
			mask |= 1U << i;
		*irr &= ~(1U << VECTOR % 32);
		vcpu_set(group->vcpu[i], &state, VMM_STATE_LAPIC);
	}
	return mask;
}

static u32 by_icr(struct group *group, u32 icr, u32 dest)
{
	guest_var(group->vm, send_icr) = icr | VECTOR;
	guest_var(group->vm, send_dest) = dest;
	vcpu_sync(group->vcpu[0], 1);
	return group_received(group);
}

static u32 by_msi(struct group *group, u32 flags, u32 dest)
{
	struct vmm_msi msi = {
		.address = MSI_BASE | (dest & 0xff) << 12 | (dest >> 8) << 5 | flags,
		.data = VECTOR,
	};

	VMM_MUST(group->vm->fd, VMM_SIGNAL_MSI, &msi);
	return group_received(group);
}

TEST(each_id_is_reached_alone)
{
	struct group group;

	group_make(&group, WITH_255);
	for (u32 i = 0; i < WITH_255; i++) {
		EXPECT_EQ_FOR(1U << i, by_icr(&group, 0, ids[i]), "ICR to %u", ids[i]);
		EXPECT_EQ_FOR(1U << i, by_icr(&group, LOGICAL, logical(ids[i])),
			      "ICR to the logical id of %u", ids[i]);
		EXPECT_EQ_FOR(1U << i, by_msi(&group, 0, ids[i]), "MSI to %u", ids[i]);
	}
	EXPECT_EQ(0, by_icr(&group, 0, 1024));
	EXPECT_EQ(0, by_icr(&group, 0, 0x10000));
	EXPECT_EQ(0, by_msi(&group, 0, 0x7fff));
	/* 256 and 257 are neighbours in cluster 16. */
	EXPECT_EQ(1U << 4 | 1U << 5, by_icr(&group, LOGICAL, 16 << 16 | 0xffff));
}

TEST(everyone_is_reached_at_once)
{
	struct group group;

	group_make(&group, IDS);
	EXPECT_EQ((1U << IDS) - 1, by_icr(&group, 0, EVERYONE));
	EXPECT_EQ((1U << IDS) - 2, by_icr(&group, ALL_BUT, 0));
	/* As on the bus, while nobody has that id. */
	EXPECT_EQ((1U << IDS) - 1, by_msi(&group, 0, 255));
	EXPECT_EQ((1U << IDS) - 1, by_msi(&group, MSI_LOGICAL, 255));
	EXPECT_EQ(0, by_icr(&group, 0, 255));
	group.vcpu[IDS] = target_new(group.vm, 255);
	group.count++;
	EXPECT_EQ(1U << IDS, by_msi(&group, 0, 255));
}

static volatile u32 seen_leaf1, seen_leafb, seen_id, seen_ldr, seen_ext_dest;

static void guest_look(void)
{
	seen_leaf1 = cpuid(1, 0).ebx >> 24;
	seen_leafb = cpuid(0xb, 0).edx;
	seen_ext_dest = cpuid(0x40000001, 0).eax >> 15 & 1;
	guest_apic_enable();
	seen_id = apic_read(APIC_ID);
	seen_ldr = apic_read(APIC_LDR);
	GUEST_DONE();
}

TEST(a_vcpu_sees_the_whole_of_its_id)
{
	struct vcpu *vcpu = vcpu_new_reset(vm_new(), 300);

	vcpu_restart(vcpu, guest_look);
	vcpu_done(vcpu);
	EXPECT_EQ(300 & 0xff, guest_var(vcpu->vm, seen_leaf1));
	EXPECT_EQ(300, guest_var(vcpu->vm, seen_leafb));
	EXPECT_EQ(300, guest_var(vcpu->vm, seen_id));
	EXPECT_EQ(logical(300), guest_var(vcpu->vm, seen_ldr));
	EXPECT_EQ(1, guest_var(vcpu->vm, seen_ext_dest));
}

static volatile u64 sum;

static void guest_add(void)
{
	sum += cpuid(0xb, 0).edx;
	GUEST_DONE();
}

TEST(many_run)
{
	u32 count = 257 + share_of(31);
	struct vm *vm = vm_new();

	for (u32 id = 0; id < count; id++) {
		struct vcpu *vcpu = vcpu_new_reset(vm, id);

		vcpu_restart(vcpu, guest_add);
		vcpu_done(vcpu);
	}
	EXPECT_EQ((u64)count * (count - 1) / 2, guest_var(vm, sum));
}

VMM_TEST_MAIN
