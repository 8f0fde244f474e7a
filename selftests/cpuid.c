// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * CPUID: what is offered is what a new vCPU and its guest see, virtualization is
 * hidden, the hypervisor leaves are KVM's, and a process can take features away
 * but not add any.
 */
#include "lib/test.h"

#define LEAF1_ECX_VMX		(1U << 5)
#define LEAF1_ECX_MONITOR	(1U << 3)
#define LEAF1_ECX_SMX		(1U << 6)
#define LEAF1_ECX_X2APIC	(1U << 21)
#define LEAF1_ECX_TSC_DEADLINE	(1U << 24)
#define LEAF1_ECX_OSXSAVE	(1U << 27)
#define LEAF1_ECX_HYPERVISOR	(1U << 31)
#define LEAF1_EDX_APIC		(1U << 9)
#define LEAF1_EDX_HTT		(1U << 28)
#define EXT1_ECX_SVM		(1U << 2)
#define EXT1_ECX_TOPOEXT	(1U << 22)

static struct vmm_cpuid_entry table[VMM_MAX_CPUID];

static u32 get(int fd, unsigned long number)
{
	struct vmm_cpuid args = { .count = VMM_MAX_CPUID, .entries = (u64)table };

	VMM_MUST(fd, number, &args);
	return args.count;
}

static int set(struct vcpu *vcpu, u32 count)
{
	struct vmm_cpuid args = { .count = count, .entries = (u64)table };

	return vmm_call(vcpu->fd, VMM_SET_CPUID, &args);
}

static struct vmm_cpuid_entry *find(u32 count, u32 function, u32 index)
{
	for (u32 i = 0; i < count; i++)
		if (table[i].function == function &&
		    (!(table[i].flags & VMM_CPUID_INDEXED) || table[i].index == index))
			return &table[i];
	return NULL;
}

static void guest_done(void)
{
	GUEST_DONE();
}

/* What the guest shall look at, and what it saw. */
static struct vmm_cpuid_entry looked[VMM_MAX_CPUID];
static u32 look_count;

static void guest_look(void)
{
	for (u32 i = 0; i < look_count; i++) {
		struct cpuid out = cpuid(looked[i].function, looked[i].index);

		looked[i].eax = out.eax;
		looked[i].ebx = out.ebx;
		looked[i].ecx = out.ecx;
		looked[i].edx = out.edx;
	}
	GUEST_DONE();
}

TEST(the_table_is_well_formed)
{
	u32 count = get(open_vmm(), VMM_GET_SUPPORTED_CPUID);

	EXPECT_NE(NULL, find(count, 0, 0));
	EXPECT_NE(NULL, find(count, 1, 0));
	EXPECT_NE(NULL, find(count, 0x80000000, 0));
	EXPECT_NE(NULL, find(count, 0x80000001, 0));
	EXPECT_NE(NULL, find(count, 0x40000000, 0));
	for (u32 i = 0; i < count; i++) {
		EXPECT_EQ_FOR(0, table[i].pad, "entry %u", i);
		EXPECT_EQ_FOR(0, table[i].flags & ~VMM_CPUID_INDEXED, "entry %u", i);
		for (u32 j = i + 1; j < count; j++)
			if (table[i].function == table[j].function &&
			    table[i].index == table[j].index)
				EXPECT_EQ_FOR(0, 1, "leaf %#x.%u is there twice",
					      table[i].function, table[i].index);
	}
}

TEST(virtualization_is_hidden)
{
	u32 count = get(open_vmm(), VMM_GET_SUPPORTED_CPUID);

	EXPECT_EQ(0, find(count, 1, 0)->ecx &
		  (LEAF1_ECX_VMX | LEAF1_ECX_SMX | LEAF1_ECX_MONITOR));
	EXPECT_EQ(0, find(count, 0x80000001, 0)->ecx & EXT1_ECX_SVM);
	/* SVM features and encrypted memory. */
	if (find(count, 0x8000000a, 0))
		EXPECT_EQ(0, find(count, 0x8000000a, 0)->edx);
	if (find(count, 0x8000001f, 0))
		EXPECT_EQ(0, find(count, 0x8000001f, 0)->eax);
}

TEST(an_apic_a_tsc_deadline_and_a_hypervisor_are_shown)
{
	u32 count = get(open_vmm(), VMM_GET_SUPPORTED_CPUID);
	const u32 want = LEAF1_ECX_X2APIC | LEAF1_ECX_TSC_DEADLINE | LEAF1_ECX_HYPERVISOR;

	EXPECT_EQ(want, find(count, 1, 0)->ecx & want);
	EXPECT_EQ(LEAF1_EDX_APIC, find(count, 1, 0)->edx & LEAF1_EDX_APIC);
}

TEST(the_hypervisor_leaves_are_kvms)
{
	u32 count = get(open_vmm(), VMM_GET_SUPPORTED_CPUID);
	struct vmm_cpuid_entry *signature = find(count, 0x40000000, 0);
	char name[13] = { 0 };

	memcpy(name, &signature->ebx, 4);
	memcpy(name + 4, &signature->ecx, 4);
	memcpy(name + 8, &signature->edx, 4);
	EXPECT_STREQ("KVMKVMKVM", name);
	EXPECT_LE(0x40000001, signature->eax);
	ASSERT_NE(NULL, find(count, 0x40000001, 0));
	/* kvmclock by the new MSRs, and stable between vCPUs. */
	EXPECT_EQ(1U << 3, find(count, 0x40000001, 0)->eax & (1U << 3));
	EXPECT_EQ(1U << 24, find(count, 0x40000001, 0)->eax & (1U << 24));
}

TEST(the_guest_sees_its_table)
{
	struct vm *vm;
	struct vcpu *vcpu;
	u32 count = get(open_vmm(), VMM_GET_SUPPORTED_CPUID);

	memcpy(looked, table, sizeof(table));
	look_count = count;
	vm = vm_new();
	vcpu = vcpu_new(vm, 0, guest_look);
	count = get(vcpu->fd, VMM_GET_CPUID);
	vcpu_done(vcpu);
	for (u32 i = 0; i < look_count; i++) {
		struct vmm_cpuid_entry *want = find(count, looked[i].function, looked[i].index);
		struct vmm_cpuid_entry got = guest_var(vm, looked[i]);
		u32 f = looked[i].function, x = looked[i].index;

		if (!want) {
			EXPECT_EQ_FOR(0, 1, "leaf %#x.%u is not in the vCPU's table", f, x);
			continue;
		}
		EXPECT_EQ_FOR(want->eax, got.eax, "leaf %#x.%u", f, x);
		/* XSAVE's area in use and OSXSAVE follow XCR0 and CR4. */
		if (f != 0xd || x > 1)
			EXPECT_EQ_FOR(want->ebx, got.ebx, "leaf %#x.%u", f, x);
		if (f != 1)
			EXPECT_EQ_FOR(want->ecx, got.ecx, "leaf %#x.%u", f, x);
		EXPECT_EQ_FOR(want->edx, got.edx, "leaf %#x.%u", f, x);
	}
}

TEST(the_apic_id_is_the_vcpus_own)
{
	struct vm *vm;
	struct vcpu *vcpu;

	looked[0] = (struct vmm_cpuid_entry){ .function = 1 };
	looked[1] = (struct vmm_cpuid_entry){ .function = 0xb };
	looked[2] = (struct vmm_cpuid_entry){ .function = 0x8000001e };
	look_count = 3;
	vm = vm_new();
	vcpu = vcpu_new(vm, 5, guest_look);
	vcpu_done(vcpu);
	EXPECT_EQ(5, guest_var(vm, looked[0].ebx) >> 24);
	if (guest_var(vm, looked[1].ebx))
		EXPECT_EQ(5, guest_var(vm, looked[1].edx));
	if (guest_var(vm, looked[2].ebx))
		EXPECT_EQ(5, guest_var(vm, looked[2].eax));
}

TEST(features_can_be_taken_away)
{
	struct vm *vm;
	struct vcpu *vcpu;
	struct vmm_cpuid_entry *leaf;
	u32 count;

	looked[0] = (struct vmm_cpuid_entry){ .function = 1 };
	looked[1] = (struct vmm_cpuid_entry){ .function = 0x80000002 };
	look_count = 2;
	vm = vm_new();
	vcpu = vcpu_new(vm, 0, guest_look);
	count = get(vcpu->fd, VMM_GET_CPUID);
	leaf = find(count, 1, 0);
	leaf->ecx &= ~LEAF1_ECX_TSC_DEADLINE;
	leaf = find(count, 0x80000002, 0);
	if (leaf)
		leaf->eax = 0x74736554;		/* names are free text */
	ASSERT_EQ(0, set(vcpu, count));
	vcpu_done(vcpu);
	EXPECT_EQ(0, guest_var(vm, looked[0].ecx) & LEAF1_ECX_TSC_DEADLINE);
	if (leaf)
		EXPECT_EQ(0x74736554, guest_var(vm, looked[1].eax));
}

TEST(features_cannot_be_added)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	u32 count = get(vcpu->fd, VMM_GET_CPUID);

	find(count, 1, 0)->ecx |= LEAF1_ECX_VMX;
	EXPECT_EQ(-EINVAL, set(vcpu, count));
	count = get(vcpu->fd, VMM_GET_CPUID);
	EXPECT_EQ(0, find(count, 1, 0)->ecx & LEAF1_ECX_VMX);
	find(count, 1, 0)->ecx |= LEAF1_ECX_MONITOR;
	EXPECT_EQ(-EINVAL, set(vcpu, count));
	count = get(vcpu->fd, VMM_GET_CPUID);
	find(count, 0x80000001, 0)->ecx |= EXT1_ECX_SVM;
	EXPECT_EQ(-EINVAL, set(vcpu, count));
	count = get(vcpu->fd, VMM_GET_CPUID);
	EXPECT_EQ(0, set(vcpu, count));
	vcpu_done(vcpu);
}

/* What the process alone knows: how it arranged its vCPUs. */
TEST(topology_can_be_set)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	u32 count = get(vcpu->fd, VMM_GET_CPUID);
	struct vmm_cpuid_entry *e;

	EXPECT_EQ(0, find(count, 1, 0)->edx & LEAF1_EDX_HTT);
	find(count, 1, 0)->edx |= LEAF1_EDX_HTT;
	find(count, 1, 0)->ebx |= 0x00040000;
	e = find(count, 0xb, 1);
	ASSERT_NE(NULL, e);
	e->eax = 2;
	e->ebx = 4;
	e = find(count, 0x80000008, 0);
	if (e)
		e->ecx |= 0x2003;
	e = find(count, 0x80000001, 0);
	if (e)
		e->ecx |= EXT1_ECX_TOPOEXT;
	EXPECT_EQ(0, set(vcpu, count));
	count = get(vcpu->fd, VMM_GET_CPUID);
	EXPECT_NE(0, find(count, 1, 0)->edx & LEAF1_EDX_HTT);
	EXPECT_EQ(2, find(count, 0xb, 1)->eax);
	vcpu_done(vcpu);
}

TEST(the_table_is_fixed_once_the_vcpu_has_run)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	u32 count = get(vcpu->fd, VMM_GET_CPUID);

	EXPECT_EQ(0, set(vcpu, count));
	vcpu_done(vcpu);
	EXPECT_EQ(-EBUSY, set(vcpu, count));
}

static void guest_unknown(void)
{
	static const u32 leaves[] = { 0x3fffffff, 0x4fffffff, 0x8fffffff, 0xc0000000 };

	/* None of them may be answered with the host's values, or crash. */
	for (u32 i = 0; i < 4; i++)
		cpuid(leaves[i], 0);
	for (u32 i = 0; i < 64; i++)
		cpuid(0xd, i);
	for (u32 i = 0; i < 16; i++)
		cpuid(4, i);
	GUEST_EQ(0, cpuid(0x4fffffff, 0).eax);
	GUEST_DONE();
}

TEST(any_leaf_can_be_asked_for)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_unknown));
}

static void guest_upper_halves(void)
{
	u64 rax = 0xffffffff00000001, rbx = -1UL, rcx = 0xffffffff00000000, rdx = -1UL;

	__asm__ volatile("cpuid" : "+a"(rax), "+b"(rbx), "+c"(rcx), "+d"(rdx));
	GUEST_EQ(0, rax >> 32);
	GUEST_EQ(0, rbx >> 32);
	GUEST_EQ(0, rcx >> 32);
	GUEST_EQ(0, rdx >> 32);
	GUEST_DONE();
}

TEST(upper_halves_are_cleared)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_upper_halves));
}

VMM_TEST_MAIN
