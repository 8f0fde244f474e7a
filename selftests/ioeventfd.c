// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Doorbells: a write that matches signals the eventfd and does not exit, every
 * other write and every read does; collisions are refused.
 */
#include <poll.h>
#include <sys/eventfd.h>

#include "lib/test.h"

#define BELL		GUEST_HOLE
#define PORT		0x700

static int add(struct vm *vm, u64 address, u32 length, u32 flags, u64 data, int fd)
{
	struct vmm_ioeventfd args = {
		.address = address, .length = length, .flags = flags, .data = data, .fd = fd,
	};

	return vmm_call(vm->fd, VMM_IOEVENTFD, &args);
}

static u64 rings(int fd)
{
	u64 count = 0;

	if (read(fd, &count, 8) != 8)
		return 0;
	return count;
}

static int new_eventfd(void)
{
	return eventfd(0, EFD_NONBLOCK);
}

static void guest_mmio(void)
{
	write32(BELL, 1);
	write32(BELL, 2);
	write32(BELL, 3);
	GUEST_SYNC(1);
	write16(BELL, 4);		/* another length */
	write32(BELL + 4, 5);		/* another address */
	write8(BELL, 6);
	write64(BELL, 7);
	read32(BELL);
	GUEST_DONE();
}

TEST(writes_of_its_length_ring_and_do_not_exit)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_mmio);
	int fd = new_eventfd();

	ASSERT_EQ(0, add(vcpu->vm, BELL, 4, 0, 0, fd));
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(3, rings(fd));
	for (u32 data = 4; data < 8; data++) {
		vcpu_expect(vcpu, VMM_EXIT_MMIO);
		EXPECT_EQ(1, vcpu->run->mmio.write);
		EXPECT_EQ(data, vcpu->run->mmio.data);
	}
	vcpu_expect(vcpu, VMM_EXIT_MMIO);
	EXPECT_EQ(0, vcpu->run->mmio.write);
	vcpu_done(vcpu);
	EXPECT_EQ(0, rings(fd));
}

static void guest_any_length(void)
{
	write8(BELL, 1);
	write16(BELL, 1);
	write32(BELL, 1);
	write64(BELL, 1);
	GUEST_DONE();
}

TEST(length_0_takes_any_length)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_any_length);
	int fd = new_eventfd();

	ASSERT_EQ(0, add(vcpu->vm, BELL, 0, 0, 0, fd));
	vcpu_done(vcpu);
	EXPECT_EQ(4, rings(fd));
}

static void guest_match(void)
{
	for (u32 i = 0; i < 4; i++)
		write32(BELL, i);
	GUEST_DONE();
}

TEST(datamatch_takes_only_its_value)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_match);
	int one = new_eventfd(), two = new_eventfd();

	ASSERT_EQ(0, add(vcpu->vm, BELL, 4, VMM_EVENTFD_DATAMATCH, 1, one));
	ASSERT_EQ(0, add(vcpu->vm, BELL, 4, VMM_EVENTFD_DATAMATCH, 2, two));
	vcpu_expect(vcpu, VMM_EXIT_MMIO);
	EXPECT_EQ(0, vcpu->run->mmio.data);
	vcpu_expect(vcpu, VMM_EXIT_MMIO);
	EXPECT_EQ(3, vcpu->run->mmio.data);
	vcpu_done(vcpu);
	EXPECT_EQ(1, rings(one));
	EXPECT_EQ(1, rings(two));
}

static void guest_pio(void)
{
	outw(PORT, 1);
	outw(PORT, 2);
	GUEST_SYNC(1);
	outb(PORT, 3);
	outw(PORT + 1, 4);
	outl(PORT, 5);
	inw(PORT);
	/* The same number as an address is something else. */
	write16(BELL + PORT, 6);
	GUEST_DONE();
}

TEST(ports_ring_too)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_pio);
	int fd = new_eventfd();

	ASSERT_EQ(0, add(vcpu->vm, PORT, 2, VMM_EVENTFD_PIO, 0, fd));
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(2, rings(fd));
	for (u32 data = 3; data < 6; data++) {
		vcpu_expect(vcpu, VMM_EXIT_PIO);
		EXPECT_EQ(data, vcpu->run->pio.data);
	}
	vcpu_expect(vcpu, VMM_EXIT_PIO);
	EXPECT_EQ(0, vcpu->run->pio.write);
	vcpu_expect(vcpu, VMM_EXIT_MMIO);
	vcpu_done(vcpu);
	EXPECT_EQ(0, rings(fd));
}

/* For each length the value that is waited for, then one that differs in its highest bit. */
#define VALUE		0x8182838485868788UL
#define VALUE_OF(length)	(VALUE >> (64 - 8 * (length)))
#define OTHER_OF(length)	(VALUE_OF(length) ^ 1UL << (8 * (length) - 1))

static void guest_matches_all(void)
{
	write8(BELL, VALUE_OF(1));
	write16(BELL, VALUE_OF(2));
	write32(BELL, VALUE_OF(4));
	write64(BELL, VALUE_OF(8));
	outb(PORT, VALUE_OF(1));
	outw(PORT, VALUE_OF(2));
	outl(PORT, VALUE_OF(4));
	GUEST_SYNC(1);
	write8(BELL, OTHER_OF(1));
	write16(BELL, OTHER_OF(2));
	write32(BELL, OTHER_OF(4));
	write64(BELL, OTHER_OF(8));
	outb(PORT, OTHER_OF(1));
	outw(PORT, OTHER_OF(2));
	outl(PORT, OTHER_OF(4));
	GUEST_DONE();
}

TEST(datamatch_is_of_all_bytes_for_each_length_in_memory_and_of_ports)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_matches_all);
	int memory[4], port[3];

	for (u32 i = 0; i < 4; i++) {
		memory[i] = new_eventfd();
		ASSERT_EQ(0, add(vcpu->vm, BELL, 1U << i, VMM_EVENTFD_DATAMATCH,
				 VALUE_OF(1U << i), memory[i]));
	}
	for (u32 i = 0; i < 3; i++) {
		port[i] = new_eventfd();
		ASSERT_EQ(0, add(vcpu->vm, PORT, 1U << i, VMM_EVENTFD_DATAMATCH | VMM_EVENTFD_PIO,
				 VALUE_OF(1U << i), port[i]));
	}
	vcpu_sync(vcpu, 1);
	for (u32 i = 0; i < 4; i++)
		EXPECT_EQ_FOR(1, rings(memory[i]), "%u bytes of memory", 1U << i);
	for (u32 i = 0; i < 3; i++)
		EXPECT_EQ_FOR(1, rings(port[i]), "%u bytes of a port", 1U << i);
	for (u32 i = 0; i < 4; i++) {
		vcpu_expect(vcpu, VMM_EXIT_MMIO);
		EXPECT_EQ(1U << i, vcpu->run->mmio.size);
		EXPECT_EQ(OTHER_OF(1U << i), vcpu->run->mmio.data);
	}
	for (u32 i = 0; i < 3; i++) {
		vcpu_expect(vcpu, VMM_EXIT_PIO);
		EXPECT_EQ(1U << i, vcpu->run->pio.size);
		EXPECT_EQ(OTHER_OF(1U << i), vcpu->run->pio.data);
	}
	vcpu_done(vcpu);
	for (u32 i = 0; i < 4; i++)
		EXPECT_EQ(0, rings(memory[i]));
	for (u32 i = 0; i < 3; i++)
		EXPECT_EQ(0, rings(port[i]));
}

TEST(collisions_are_refused)
{
	static const struct {
		u32 length, flags;
		u64 data;
		int want;
	} cases[] = {
		{ 4, 0, 0, -EEXIST },
		{ 4, VMM_EVENTFD_DATAMATCH, 1, -EEXIST },	/* inside "any value" */
		{ 0, 0, 0, -EEXIST },				/* around it */
		{ 2, 0, 0, 0 },					/* another length */
		{ 8, VMM_EVENTFD_DATAMATCH, 1, 0 },
		{ 8, VMM_EVENTFD_DATAMATCH, 2, 0 },
		{ 8, VMM_EVENTFD_DATAMATCH, 2, -EEXIST },
		{ 8, 0, 0, -EEXIST },
	};
	struct vm *vm = vm_new_bare();
	int fd = new_eventfd();

	ASSERT_EQ(0, add(vm, BELL, 4, 0, 0, fd));
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++)
		EXPECT_EQ_FOR(cases[i].want,
			      add(vm, BELL, cases[i].length, cases[i].flags, cases[i].data, fd),
			      "case %u", i);
	/* Ports and addresses are two spaces. */
	EXPECT_EQ(0, add(vm, PORT, 4, 0, 0, fd));
	EXPECT_EQ(0, add(vm, PORT, 4, VMM_EVENTFD_PIO, 0, fd));
}

TEST(remove_wants_what_was_added)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_match);
	struct vm *vm = vcpu->vm;
	int fd = new_eventfd(), other = new_eventfd();
	const u32 gone = VMM_EVENTFD_REMOVE | VMM_EVENTFD_DATAMATCH;

	ASSERT_EQ(0, add(vm, BELL, 4, VMM_EVENTFD_DATAMATCH, 0, fd));
	EXPECT_EQ(-ENOENT, add(vm, BELL + 4, 4, gone, 0, fd));
	EXPECT_EQ(-ENOENT, add(vm, BELL, 8, gone, 0, fd));
	EXPECT_EQ(-ENOENT, add(vm, BELL, 4, gone, 1, fd));
	EXPECT_EQ(-ENOENT, add(vm, BELL, 4, VMM_EVENTFD_REMOVE, 0, fd));
	EXPECT_EQ(-ENOENT, add(vm, BELL, 4, gone, 0, other));
	EXPECT_EQ(0, add(vm, BELL, 4, gone, 0, fd));
	EXPECT_EQ(-ENOENT, add(vm, BELL, 4, gone, 0, fd));
	for (u32 i = 0; i < 4; i++)
		vcpu_expect(vcpu, VMM_EXIT_MMIO);
	vcpu_done(vcpu);
	EXPECT_EQ(0, rings(fd));
}

static void guest_loop(void)
{
	for (u32 i = 0; i < 1000; i++)
		write32(BELL, i);
	GUEST_DONE();
}

TEST(none_of_a_thousand_is_lost)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_loop);
	int fd = new_eventfd();

	ASSERT_EQ(0, add(vcpu->vm, BELL, 4, 0, 0, fd));
	vcpu_done(vcpu);
	EXPECT_EQ(1000, rings(fd));
}

TEST(a_full_eventfd_does_not_block_the_guest)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_loop);
	int fd = new_eventfd();
	u64 almost = -2UL - 10;

	ASSERT_EQ(0, add(vcpu->vm, BELL, 4, 0, 0, fd));
	ASSERT_EQ(8, write(fd, &almost, 8));
	vcpu_done(vcpu);
}

TEST(memory_goes_before_a_doorbell)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_match);
	u32 *memory = map_memory(4096);
	int fd = new_eventfd();

	ASSERT_EQ(0, add(vcpu->vm, BELL, 4, 0, 0, fd));
	ASSERT_EQ(0, vm_slot(vcpu->vm, 1, BELL, 4096, memory, 0));
	vcpu_done(vcpu);
	EXPECT_EQ(0, rings(fd));
	EXPECT_EQ(3, memory[0]);
}

/* A frame's first word, SS, goes to the doorbell while RIP is at a store to such an offset. */
static void guest_frame_on_a_bell(void)
{
	__asm__ volatile("mov %0, %%rsp\n\tmov %%rax, (%1)" : :
			 "r"(BELL + 16), "r"(1UL << 32 | 8) : "memory");
	GUEST_FAIL("no fault", 1, 0);
}

TEST(a_frame_does_not_ring)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_frame_on_a_bell);
	int fd = new_eventfd();

	ASSERT_EQ(0, add(vcpu->vm, BELL + 8, 0, 0, 0, fd));
	vcpu_expect(vcpu, VMM_EXIT_MEMORY);
	EXPECT_EQ(0, rings(fd));
}

TEST(the_promised_number_of_doorbells_and_no_more)
{
	struct vm *vm = vm_new_bare();
	int fd = new_eventfd();

	for (u32 i = 0; i < VMM_MAX_IOEVENTFDS; i++)
		EXPECT_EQ_FOR(0, add(vm, BELL + i * 8, 4, 0, 0, fd), "doorbell %u", i);
	EXPECT_EQ(-ENOSPC, add(vm, BELL + (1 << 20), 4, 0, 0, fd));
}

VMM_TEST_MAIN
