// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Counters: each exit is counted once, under its reason, also those that the process
 * never sees; page tables are counted while they are there.
 */
#include "lib/test.h"
#include "lib/thread.h"

static struct vmm_vcpu_stats vcpu_stats(struct vcpu *vcpu)
{
	struct vmm_vcpu_stats stats = { 0 };

	VMM_MUST(vcpu->fd, VMM_GET_VCPU_STATS, &stats);
	return stats;
}

static struct vmm_vm_stats vm_stats(struct vm *vm)
{
	struct vmm_vm_stats stats = { 0 };

	VMM_MUST(vm->fd, VMM_GET_VM_STATS, &stats);
	return stats;
}

static void guest_exits(void)
{
	for (u32 i = 0; i < 7; i++)
		cpuid(0, 0);
	GUEST_SYNC(1);
	for (u32 i = 0; i < 5; i++)
		rdmsr(MSR_MTRR_DEF_TYPE);
	for (u32 i = 0; i < 3; i++)
		inb(0x99);
	GUEST_SYNC(2);
	GUEST_DONE();
}

TEST(exits_are_counted_by_reason)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_exits);
	struct vmm_vcpu_stats before = vcpu_stats(vcpu), now;
	u64 sum = 0;

	for (u32 i = 0; i < ARRAY_SIZE(before.exits); i++)
		sum += before.exits[i];
	EXPECT_EQ(0, sum);
	EXPECT_EQ(0, before.returns);
	vcpu_sync(vcpu, 1);
	now = vcpu_stats(vcpu);
	EXPECT_EQ(7, now.exits[VMM_STAT_CPUID]);
	EXPECT_EQ(1, now.exits[VMM_STAT_PIO]);
	EXPECT_EQ(1, now.returns);
	EXPECT_EQ(0, now.exits[VMM_STAT_MSR_READ]);
	for (u32 i = 0; i < 3; i++)
		vcpu_expect(vcpu, VMM_EXIT_PIO);
	vcpu_sync(vcpu, 2);
	now = vcpu_stats(vcpu);
	EXPECT_EQ(7, now.exits[VMM_STAT_CPUID]);
	EXPECT_EQ(5, now.exits[VMM_STAT_MSR_READ]);
	EXPECT_EQ(5, now.exits[VMM_STAT_PIO]);
	EXPECT_EQ(5, now.returns);
	/* The guest's code and stack had to be mapped. */
	EXPECT_LT(0, now.exits[VMM_STAT_MEMORY] + now.exits[VMM_STAT_EXCEPTION]);
}

/* With interrupts on: Bochs gives none to its host otherwise, and no exit here ends a turn. */
static void guest_spin(void)
{
	sti();
	for (;;)
		cpuid(0, 0);
}

TEST(counters_can_be_read_while_the_guest_runs)
{
	struct runner runner;
	u64 first, now;

	runner_start(&runner, vcpu_new(vm_new(), 0, guest_spin));
	first = vcpu_stats(runner.vcpu).exits[VMM_STAT_CPUID];
	do {
		now = vcpu_stats(runner.vcpu).exits[VMM_STAT_CPUID];
		EXPECT_LE(first, now);
	} while (now < first + 1000);
	runner_stop(&runner);
}

#define REGIONS	40UL

static void guest_touch(void)
{
	for (u64 i = 0; i < REGIONS; i++)
		read64(GUEST_HOLE + (i << 21));
	GUEST_DONE();
}

TEST(page_tables_are_counted)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_touch);
	u8 *memory = map_memory(4096);
	u64 before;
	bool shadow;

	EXPECT_GE(1, vm_stats(vm).table_pages);
	/* Pages so far apart that each takes a table. */
	for (u64 i = 0; i < REGIONS; i++)
		ASSERT_EQ(0, vm_slot(vm, 1 + i, GUEST_HOLE + (i << 21), 4096, memory, 0));
	before = vm_stats(vm).table_pages;
	vcpu_done(vcpu);
	EXPECT_LE(before + REGIONS, vm_stats(vm).table_pages);
	EXPECT_GE(before + REGIONS + 40, vm_stats(vm).table_pages);
	shadow = get_info().paging == VMM_PAGING_SHADOW;
	EXPECT_EQ(shadow, vm_stats(vm).aux_pages != 0);
	EXPECT_EQ(shadow, vm_stats(vm).table_limit >= vm_stats(vm).table_pages);
	EXPECT_EQ(0, vm_stats(vm).reclaimed);
}

VMM_TEST_MAIN
