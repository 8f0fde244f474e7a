// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Slots over every kind of mapping: anonymous, shared, file, private file, huge
 * pages, a mapping that grows, the program's own text, and the run page itself.
 * The guest sees the bytes, and closing, unmapping and the end of the VM leave no
 * page behind.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

#include "lib/test.h"
#include "lib/ioctls.h"

#define WINDOW	GUEST_HOLE

static void guest_copy(void)
{
	GUEST_EQ(0x1122334455667788, read64(WINDOW + 0x1000));
	write64(WINDOW + 0x1000, 0x8877665544332211);
	GUEST_EQ(0x8877665544332211, read64(WINDOW + 0x1000));
	write64(WINDOW + 0x1ff8, 1);
	GUEST_DONE();
}

static void check(struct __test_metadata *_metadata, u8 *memory, size_t size)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_copy);
	volatile u64 *word = (u64 *)(memory + 0x1000);

	*word = 0x1122334455667788;
	ASSERT_EQ(0, vm_slot(vcpu->vm, 1, WINDOW, size, memory, 0));
	vcpu_done(vcpu);
	EXPECT_EQ(0x8877665544332211, *word);
	vm_free(vcpu->vm);
	vcpu_free(vcpu);
}

static int new_memfd(size_t size, unsigned int flags)
{
	int fd = memfd_create("memory", MFD_CLOEXEC | flags);

	if (fd >= 0 && ftruncate(fd, size))
		die("ftruncate: %s", strerror(errno));
	return fd;
}

static u8 *map(size_t size, int flags, int fd)
{
	u8 *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (memory == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	return memory;
}

TEST(anonymous_private_and_shared)
{
	check(_metadata, map(0x4000, MAP_PRIVATE | MAP_ANONYMOUS, -1), 0x4000);
	check(_metadata, map(0x4000, MAP_SHARED | MAP_ANONYMOUS, -1), 0x4000);
}

TEST(shared_and_private_memfd)
{
	int fd = new_memfd(0x4000, 0);
	u64 word = 0;

	check(_metadata, map(0x4000, MAP_SHARED, fd), 0x4000);
	ASSERT_EQ(8, pread(fd, &word, 8, 0x1000));
	EXPECT_EQ(0x8877665544332211, word);
	check(_metadata, map(0x4000, MAP_PRIVATE, fd), 0x4000);
	/* The private copy's last word did not reach the file. */
	word = 0x77;
	ASSERT_EQ(8, pwrite(fd, &word, 8, 0x1ff8));
	check(_metadata, map(0x4000, MAP_PRIVATE, fd), 0x4000);
	ASSERT_EQ(8, pread(fd, &word, 8, 0x1ff8));
	EXPECT_EQ(0x77, word);
}

TEST(a_file)
{
	char name[] = "/tmp/vmm-memory-XXXXXX";
	int fd = mkstemp(name);
	u64 word = 0;

	ASSERT_LE(0, fd);
	unlink(name);
	ASSERT_EQ(0, ftruncate(fd, 0x4000));
	check(_metadata, map(0x4000, MAP_SHARED, fd), 0x4000);
	ASSERT_EQ(8, pread(fd, &word, 8, 0x1000));
	EXPECT_EQ(0x8877665544332211, word);
}

static void reserve_huge_pages(const char *count)
{
	int fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY);

	if (fd >= 0) {
		if (write(fd, count, strlen(count)) < 0)
			die("nr_hugepages: %s", strerror(errno));
		close(fd);
	}
}

TEST(huge_pages)
{
	int fd;
	u8 *memory;

	reserve_huge_pages("4");
	fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	ASSERT_LE(0, fd) {
		TH_LOG("memfd of huge pages: %s", strerror(errno));
	}
	ASSERT_EQ(0, ftruncate(fd, 4 << 20));
	memory = map(4 << 20, MAP_SHARED, fd);
	check(_metadata, memory, 4 << 20);
	munmap(memory, 4 << 20);
	close(fd);
	reserve_huge_pages("0");
	/* Given back: a page still referenced would stay. */
	for (int i = 0; i < 50; i++) {
		char text[16] = { 0 };

		fd = open("/proc/sys/vm/nr_hugepages", O_RDONLY);
		ASSERT_LT(0, read(fd, text, sizeof(text) - 1));
		close(fd);
		if (atoi(text) == 0)
			return;
		usleep(20000);
	}
	EXPECT_EQ(0, 1) {
		TH_LOG("huge pages are still in use after the VM is gone");
	}
}

#define GIB		(1UL << 30)
#define NR_GIB_PAGES	"/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"

static void guest_touch_gib(void)
{
	GUEST_SYNC(1);
	for (u64 at = GIB; at < 2 * GIB; at += GIB / 8)
		write64(at, at);
	GUEST_DONE();
}

static bool reserve_gib(const char *count)
{
	char text[16] = { 0 };
	int fd = open(NR_GIB_PAGES, O_RDWR);
	bool ok;

	ok = fd >= 0 && write(fd, count, 1) == 1 && pread(fd, text, 15, 0) > 0 &&
		text[0] == *count;
	if (fd >= 0)
		close(fd);
	return ok;
}

static u64 memory_exits(struct vcpu *vcpu)
{
	struct vmm_vcpu_stats stats = { 0 };

	VMM_MUST(vcpu->fd, VMM_GET_VCPU_STATS, &stats);
	return stats.exits[VMM_STAT_MEMORY];
}

TEST(huge_pages_of_a_gib)
{
	struct vmm_info info = get_info();
	struct vcpu *vcpu;
	u64 before;
	u8 *memory;
	int fd;

	if (!reserve_gib("1"))
		SKIP(return, "the host has no GiB in one piece");
	fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | 30U << 26 /* MFD_HUGE_1GB */);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, GIB));
	memory = map(GIB, MAP_SHARED, fd);
	vcpu = vcpu_new(vm_new(), 0, guest_touch_gib);
	ASSERT_EQ(0, vm_slot(vcpu->vm, 1, GIB, GIB, memory, 0));
	vcpu_sync(vcpu, 1);
	before = memory_exits(vcpu);
	vcpu_done(vcpu);
	for (u64 at = 0; at < GIB; at += GIB / 8)
		EXPECT_EQ(GIB + at, *(volatile u64 *)(memory + at));
	/* One fault for eight places. */
	EXPECT_GT(before + (info.features & VMM_FEATURE_LARGE_1G ? 4 : 40),
		  memory_exits(vcpu));
	vm_free(vcpu->vm);
	vcpu_free(vcpu);
	munmap(memory, GIB);
	close(fd);
	EXPECT_TRUE(reserve_gib("0"));
}

static void guest_read_text(void)
{
	GUEST_EQ(read64((u64)guest_copy), read64(WINDOW + ((u64)guest_copy & 0xfff)));
	GUEST_DONE();
}

TEST(the_programs_own_text_read_only)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_read_text);

	ASSERT_EQ(0, vm_slot(vcpu->vm, 1, WINDOW, 4096, (void *)((u64)guest_copy & -4096UL),
			     VMM_SLOT_READONLY));
	vcpu_done(vcpu);
}

static void guest_read_once(void)
{
	read64(WINDOW);
	write64(WINDOW + 0x200, 1);
	GUEST_DONE();
}

/* Allowed or refused at the touch, but never a dangling page. */
TEST(a_run_page_as_guest_memory)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_read_once);
	struct vcpu *other = vcpu_new_reset(vm, 1);
	u32 reason;

	ASSERT_EQ(0, vm_slot(vm, 1, WINDOW, 4096, other->run, 0));
	reason = vcpu_exit(vcpu);
	EXPECT_TRUE(reason == VMM_EXIT_MEMORY || reason == VMM_EXIT_PIO) {
		TH_LOG("got %s", exit_text(vcpu));
	}
	vcpu_free(other);
	vm_free(vm);
	vcpu_free(vcpu);
}

static void guest_far(void)
{
	write64(WINDOW, 1);
	write64(WINDOW + 0x1000, 1);
	GUEST_DONE();
}

TEST(a_touch_behind_the_end_of_a_file_is_a_memory_exit)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_far);
	int fd = new_memfd(0x1000, 0);
	u8 *memory = map(0x2000, MAP_SHARED, fd);

	ASSERT_EQ(0, vm_slot(vcpu->vm, 1, WINDOW, 0x2000, memory, 0));
	vcpu_expect(vcpu, VMM_EXIT_MEMORY);
	EXPECT_EQ(WINDOW + 0x1000, vcpu->run->memory.gpa & ~0xfffUL);
	EXPECT_EQ(EFAULT, vcpu->run->memory.error);
	ASSERT_EQ(0, ftruncate(fd, 0x2000));
	vcpu_done(vcpu);
}

TEST(a_slot_may_be_larger_than_its_mapping)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_far);
	u8 *memory = map_memory(0x2000);

	munmap(memory + 0x1000, 0x1000);
	ASSERT_EQ(0, vm_slot(vcpu->vm, 1, WINDOW, 0x2000, memory, 0));
	vcpu_expect(vcpu, VMM_EXIT_MEMORY);
	EXPECT_EQ(WINDOW + 0x1000, vcpu->run->memory.gpa & ~0xfffUL);
}

TEST(prot_none_is_a_memory_exit)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_far);
	u8 *memory = map_memory(0x2000);

	ASSERT_EQ(0, mprotect(memory + 0x1000, 0x1000, PROT_NONE));
	ASSERT_EQ(0, vm_slot(vcpu->vm, 1, WINDOW, 0x2000, memory, 0));
	vcpu_expect(vcpu, VMM_EXIT_MEMORY);
	EXPECT_EQ(EFAULT, vcpu->run->memory.error);
	EXPECT_EQ(VMM_ACCESS_WRITE, vcpu->run->memory.access & VMM_ACCESS_WRITE);
}

VMM_TEST_MAIN
