// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory slots: what is refused, what a guest sees of memory, of read-only memory
 * and of holes, and that deleting, moving and replacing a slot under a running
 * vCPU takes effect before the ioctl returns.
 */
#include <pthread.h>

#include "lib/test.h"

#define SLOT_GPA	GUEST_HOLE
#define SLOT_SIZE	(4UL << 20)

static void guest_done(void)
{
	GUEST_DONE();
}

TEST(overlaps_are_refused_and_neighbours_taken)
{
	static const struct {
		u64 gpa, size;
		int want;
	} cases[] = {
		{ SLOT_GPA, 0x10000, -EEXIST },
		{ SLOT_GPA - 0x1000, 0x2000, -EEXIST },
		{ SLOT_GPA + 0xf000, 0x1000, -EEXIST },
		{ SLOT_GPA + 0x4000, 0x1000, -EEXIST },
		{ SLOT_GPA - 0x1000, 0x20000, -EEXIST },
		{ SLOT_GPA - 0x1000, 0x1000, 0 },
		{ SLOT_GPA + 0x10000, 0x1000, 0 },
	};
	struct vm *vm = vm_new_bare();
	u8 *memory = map_memory(1 << 20);

	ASSERT_EQ(0, vm_slot(vm, 3, SLOT_GPA, 0x10000, memory, 0));
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++)
		EXPECT_EQ_FOR(cases[i].want,
			      vm_slot(vm, 4 + i, cases[i].gpa, cases[i].size, memory, 0),
			      "gpa %#lx size %#lx", cases[i].gpa, cases[i].size);
	/* A slot does not overlap itself. */
	EXPECT_EQ(0, vm_slot(vm, 3, SLOT_GPA + 0x1000, 0xf000, memory, 0));
	EXPECT_EQ(-EEXIST, vm_slot(vm, 3, SLOT_GPA + 0x1000, 0x10000, memory, 0));
	/* Two slots may show the same memory. */
	EXPECT_EQ(0, vm_slot(vm, 20, 1UL << 30, 0x10000, memory, 0));
}

TEST(every_slot_number_works)
{
	struct vmm_info info = get_info();
	struct vm *vm = vm_new_bare();
	u8 *memory = map_memory(4096);

	for (u32 i = 0; i < info.max_slots; i++)
		EXPECT_EQ_FOR(0, vm_slot(vm, i, i * 8192UL, 4096, memory, 0), "slot %u", i);
	EXPECT_EQ(-EINVAL, vm_slot(vm, info.max_slots, 1UL << 30, 4096, memory, 0));
	for (u32 i = 0; i < info.max_slots; i++)
		EXPECT_EQ_FOR(0, vm_slot(vm, i, 0, 0, NULL, 0), "deleting slot %u", i);
	EXPECT_EQ(-ENOENT, vm_slot(vm, 0, 0, 0, NULL, 0));
}

TEST(a_slot_may_end_at_the_top_of_the_address_space)
{
	u64 top = 1UL << get_info().phys_bits;
	struct vm *vm = vm_new_bare();
	u8 *memory = map_memory(8192);

	EXPECT_EQ(0, vm_slot(vm, 0, top - 8192, 8192, memory, 0));
	EXPECT_EQ(-EINVAL, vm_slot(vm, 1, top - 4096, 8192, memory, 0));
}

TEST(memory_need_not_be_mapped_yet)
{
	struct vm *vm = vm_new();
	u8 *hole = map_memory(4096);

	munmap(hole, 4096);
	EXPECT_EQ(0, vm_slot(vm, 1, SLOT_GPA, 4096, hole, 0));
	vcpu_done(vcpu_new(vm, 0, guest_done));
}

static void guest_touch(void)
{
	write32(SLOT_GPA + 0x1000, 0x11111111);
	GUEST_EQ(0x11111111, read32(SLOT_GPA + 0x1000));
	GUEST_SYNC(1);
	GUEST_EQ(0x22222222, read32(SLOT_GPA + 0x1000));
	GUEST_DONE();
}

TEST(guest_and_process_see_the_same_bytes)
{
	struct vm *vm = vm_new();
	u8 *memory = map_memory(SLOT_SIZE);
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_touch);

	ASSERT_EQ(0, vm_slot(vm, 1, SLOT_GPA, SLOT_SIZE, memory, 0));
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(0x11111111, *(volatile u32 *)(memory + 0x1000));
	*(volatile u32 *)(memory + 0x1000) = 0x22222222;
	vcpu_done(vcpu);
}

TEST(a_touch_of_unmapped_memory_is_a_memory_exit)
{
	struct vm *vm = vm_new();
	u8 *memory = map_memory(SLOT_SIZE);
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_touch);

	ASSERT_EQ(0, vm_slot(vm, 1, SLOT_GPA, SLOT_SIZE, memory, 0));
	munmap(memory, SLOT_SIZE);
	vcpu_expect(vcpu, VMM_EXIT_MEMORY);
	EXPECT_EQ(SLOT_GPA + 0x1000, vcpu->run->memory.gpa & ~0xfffUL);
	EXPECT_EQ(VMM_ACCESS_WRITE, vcpu->run->memory.access & VMM_ACCESS_WRITE);
	EXPECT_EQ(EFAULT, vcpu->run->memory.error);
	/* Mapped again, the guest goes on where it was. */
	ASSERT_EQ(memory, mmap(memory, SLOT_SIZE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	vcpu_sync(vcpu, 1);
}

static void guest_readonly(void)
{
	GUEST_EQ(0x12345678, read32(SLOT_GPA));
	write32(SLOT_GPA, 0xdeadbeef);		/* leaves as MMIO */
	GUEST_EQ(0x12345678, read32(SLOT_GPA));
	GUEST_SYNC(1);
	write32(SLOT_GPA, 0xdeadbeef);		/* read-write by now */
	GUEST_EQ(0xdeadbeef, read32(SLOT_GPA));
	GUEST_SYNC(2);
	write32(SLOT_GPA, 0);			/* and read-only again */
	GUEST_EQ(0xdeadbeef, read32(SLOT_GPA));
	GUEST_DONE();
}

TEST(a_write_to_a_read_only_slot_goes_to_the_process)
{
	struct vm *vm = vm_new();
	u32 *memory = map_memory(SLOT_SIZE);
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_readonly);

	memory[0] = 0x12345678;
	ASSERT_EQ(0, vm_slot(vm, 1, SLOT_GPA, SLOT_SIZE, memory, VMM_SLOT_READONLY));
	vcpu_expect(vcpu, VMM_EXIT_MMIO);
	EXPECT_EQ(SLOT_GPA, vcpu->run->mmio.gpa);
	EXPECT_EQ(1, vcpu->run->mmio.write);
	EXPECT_EQ(0xdeadbeef, vcpu->run->mmio.data);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(0x12345678, memory[0]);
	ASSERT_EQ(0, vm_slot(vm, 1, SLOT_GPA, SLOT_SIZE, memory, 0));
	vcpu_sync(vcpu, 2);
	ASSERT_EQ(0, vm_slot(vm, 1, SLOT_GPA, SLOT_SIZE, memory, VMM_SLOT_READONLY));
	vcpu_expect(vcpu, VMM_EXIT_MMIO);
	vcpu_done(vcpu);
}

TEST(a_read_only_slot_may_show_read_only_memory)
{
	struct vm *vm = vm_new();
	u32 *memory = map_memory(SLOT_SIZE);
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_readonly);

	memory[0] = 0x12345678;
	ASSERT_EQ(0, mprotect(memory, SLOT_SIZE, PROT_READ));
	ASSERT_EQ(0, vm_slot(vm, 1, SLOT_GPA, SLOT_SIZE, memory, VMM_SLOT_READONLY));
	vcpu_expect(vcpu, VMM_EXIT_MMIO);
	vcpu_sync(vcpu, 1);
	/* The slot allows writes now, but the process's mapping does not. */
	ASSERT_EQ(0, vm_slot(vm, 1, SLOT_GPA, SLOT_SIZE, memory, 0));
	vcpu_expect(vcpu, VMM_EXIT_MEMORY);
	EXPECT_EQ(EFAULT, vcpu->run->memory.error);
}

static void guest_read_forever(void)
{
	for (;;) {
		GUEST_SYNC(read32(SLOT_GPA));
		for (int i = 0; i < 100; i++)
			read32(SLOT_GPA + i * 4096);
	}
}

TEST(delete_and_recreate)
{
	struct vm *vm = vm_new();
	u32 *one = map_memory(SLOT_SIZE), *two = map_memory(SLOT_SIZE);
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_read_forever);

	one[0] = 1;
	two[0] = 2;
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, vm_slot(vm, 1, SLOT_GPA, SLOT_SIZE, one, 0));
		vcpu_sync(vcpu, 1);
		ASSERT_EQ(0, vm_slot(vm, 1, 0, 0, NULL, 0));
		vcpu_expect(vcpu, VMM_EXIT_MMIO);
		EXPECT_EQ(0, vcpu->run->mmio.write);
		vcpu->run->mmio.data = 0;
		/* Replaced in one step, here by other memory. */
		ASSERT_EQ(0, vm_slot(vm, 1, SLOT_GPA, SLOT_SIZE, two, 0));
		while (vcpu_exit(vcpu) != VMM_EXIT_PIO || vcpu->run->pio.data != 2)
			ASSERT_EQ(VMM_EXIT_PIO, vcpu->run->exit_reason);
		ASSERT_EQ(0, vm_slot(vm, 1, 0, 0, NULL, 0));
		vcpu_expect(vcpu, VMM_EXIT_MMIO);
		ASSERT_EQ(0, vm_slot(vm, 1, SLOT_GPA, SLOT_SIZE, one, 0));
		while (vcpu_exit(vcpu) != VMM_EXIT_PIO || vcpu->run->pio.data != 1)
			ASSERT_EQ(VMM_EXIT_PIO, vcpu->run->exit_reason);
	}
}

static volatile u64 seen;

/* Writes what it reads, without an exit, so that only the slot decides. */
static void guest_poll(void)
{
	for (;;) {
		seen = read64(SLOT_GPA);
		cpu_relax();
	}
}

struct poller {
	struct vcpu *vcpu;
	volatile bool stop;
	volatile u32 mmio;		/* exits while the slot was away */
};

static void *poll_thread(void *arg)
{
	struct poller *p = arg;

	while (!p->stop) {
		u32 reason = vcpu_exit(p->vcpu);

		if (reason == VMM_EXIT_MMIO) {
			p->vcpu->run->mmio.data = 0xaaaa;
			p->mmio++;
		} else if (!p->stop) {
			die("poller: expected MMIO, got %s", exit_text(p->vcpu));
		}
	}
	return NULL;
}

static void stop_poller(struct poller *p, pthread_t thread)
{
	p->stop = true;
	while (pthread_tryjoin_np(thread, NULL)) {
		p->vcpu->run->immediate_exit = 1;
		pthread_kill(thread, SIGUSR1);
		usleep(1000);
	}
}

/* What the guest reads once a change is in force: all later reads say so too. */
static u64 next_seen(struct vm *vm)
{
	guest_var(vm, seen) = ~0UL;
	for (int i = 0; i < 20000 && guest_var(vm, seen) == ~0UL; i++)
		usleep(100);
	/* The first store may come from a load before the change. */
	guest_var(vm, seen) = ~0UL;
	for (int i = 0; i < 20000 && guest_var(vm, seen) == ~0UL; i++)
		usleep(100);
	return guest_var(vm, seen);
}

TEST_TIMEOUT(replace_move_and_delete_under_a_running_vcpu, 60)
{
	struct vm *vm = vm_new();
	u64 *one = map_memory(SLOT_SIZE), *two = map_memory(SLOT_SIZE);
	struct poller p = { .vcpu = vcpu_new(vm, 0, guest_poll) };
	pthread_t thread;

	catch_signal(SIGUSR1);
	one[0] = 1;
	two[0] = 2;
	two[512] = 3;
	ASSERT_EQ(0, vm_slot(vm, 1, SLOT_GPA, SLOT_SIZE, one, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, poll_thread, &p));
	for (int i = 0; i < 30; i++) {
		EXPECT_EQ(1, next_seen(vm));
		ASSERT_EQ(0, vm_slot(vm, 1, SLOT_GPA, SLOT_SIZE, two, 0));
		EXPECT_EQ(2, next_seen(vm));
		/* Moved one page down, the next page is what the guest sees. */
		ASSERT_EQ(0, vm_slot(vm, 1, SLOT_GPA - 4096, SLOT_SIZE, two, 0));
		EXPECT_EQ(3, next_seen(vm));
		ASSERT_EQ(0, vm_slot(vm, 1, 0, 0, NULL, 0));
		EXPECT_EQ(0xaaaa, next_seen(vm));
		ASSERT_EQ(0, vm_slot(vm, 1, SLOT_GPA, SLOT_SIZE, one, VMM_SLOT_READONLY));
	}
	stop_poller(&p, thread);
	EXPECT_LT(0, p.mmio);
}

static void guest_two_slots(void)
{
	/* 8 bytes over the border of two slots are plain memory. */
	write64(SLOT_GPA + 0x1000 - 4, 0x1122334455667788);
	GUEST_EQ(0x1122334455667788, read64(SLOT_GPA + 0x1000 - 4));
	GUEST_DONE();
}

TEST(an_access_may_cross_from_slot_to_slot)
{
	struct vm *vm = vm_new();
	u8 *a = map_memory(4096), *b = map_memory(4096);
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_two_slots);

	ASSERT_EQ(0, vm_slot(vm, 1, SLOT_GPA, 4096, a, 0));
	ASSERT_EQ(0, vm_slot(vm, 2, SLOT_GPA + 4096, 4096, b, 0));
	vcpu_done(vcpu);
	EXPECT_EQ(0x55667788, *(u32 *)(a + 4092));
	EXPECT_EQ(0x11223344, *(u32 *)b);
}

VMM_TEST_MAIN
