// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Dirty logs: the pages harvested are the pages written, neither more nor fewer, for
 * all kinds of memory, at any place in a slot, while vCPUs run, while the host moves
 * pages and threads; and what does not depend on the size of a slot.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

#include "lib/test.h"
#include "lib/thread.h"

#define WINDOW		GUEST_HOLE
#define HUGE		(2UL << 20)
#define PAGES		1536UL			/* 6 MiB */
#define WINDOW_SIZE	(PAGES * 4096)
#define WORDS		(PAGES / 64)
#define SLOT		1

/* ---- harvesting ---- */

static int set_log(struct vm *vm, u8 *window, bool on)
{
	return vm_slot(vm, SLOT, WINDOW, WINDOW_SIZE, window, on ? VMM_SLOT_LOG_DIRTY : 0);
}

static int get_dirty(struct vm *vm, u64 first, u64 npages, u32 flags, u64 *bitmap, u64 *count)
{
	struct vmm_dirty args = { .slot = SLOT, .flags = flags, .first = first,
				  .npages = npages, .bitmap = (u64)bitmap };
	int r = vmm_call(vm->fd, VMM_GET_DIRTY, &args);

	*count = args.dirty;
	return r;
}

/* All of the slot into @bitmap; returns the number of pages. */
static u64 harvest(struct vm *vm, u64 *bitmap)
{
	u64 count;

	memset(bitmap, 0, WORDS * 8);
	if (get_dirty(vm, 0, PAGES, 0, bitmap, &count))
		die("VMM_GET_DIRTY failed");
	return count;
}

static void set_bit(u64 *bitmap, u64 page)
{
	bitmap[page / 64] |= 1UL << page % 64;
}

static bool has_bit(const u64 *bitmap, u64 page)
{
	return bitmap[page / 64] >> page % 64 & 1;
}

static u32 random_u32(u64 *seed)
{
	*seed = *seed * 6364136223846793005UL + 1442695040888963407UL;
	return *seed >> 33;
}

/* ---- memory ---- */

static u8 *map_at(u8 *at, size_t size, int flags, int fd)
{
	u8 *memory = mmap(at, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);

	if (memory != at)
		die("mmap: %s", strerror(errno));
	return memory;
}

static u8 *map_window(int flags, int fd)
{
	u8 *memory = mmap(NULL, WINDOW_SIZE + HUGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return map_at((u8 *)(((u64)memory + HUGE - 1) & -HUGE), WINDOW_SIZE, flags, fd);
}

static u8 *small_pages(void)
{
	u8 *window = map_window(MAP_PRIVATE | MAP_ANONYMOUS, -1);

	madvise(window, WINDOW_SIZE, MADV_NOHUGEPAGE);
	return window;
}

static u8 *huge_pages(void)
{
	u8 *window = map_window(MAP_PRIVATE | MAP_ANONYMOUS, -1);

	madvise(window, WINDOW_SIZE, MADV_HUGEPAGE);
	memset(window, 1, WINDOW_SIZE);
	return window;
}

static u8 *shared_file(void)
{
	int fd = memfd_create("window", MFD_CLOEXEC);
	u8 *window;

	if (fd < 0 || ftruncate(fd, WINDOW_SIZE))
		die("memfd: %s", strerror(errno));
	window = map_window(MAP_SHARED, fd);
	close(fd);
	return window;
}

/* ---- the guest that does what it is told ---- */

#define MAX_ORDERS	64

struct order {
	u32 page;
	u32 write;
};

static volatile struct order orders[MAX_ORDERS];
static volatile u32 nr_orders;

static void guest_obey(void)
{
	for (;;) {
		for (u32 i = 0; i < nr_orders; i++) {
			u64 at = WINDOW + orders[i].page * 4096UL + i * 8;

			if (orders[i].write)
				write64(at, read64(at) + 1);
			else
				read64(at);
		}
		GUEST_SYNC(1);
	}
}

static void order(struct vm *vm, u32 page, bool write)
{
	u32 n = guest_var(vm, nr_orders);

	guest_var(vm, orders)[n].page = page;
	guest_var(vm, orders)[n].write = write;
	guest_var(vm, nr_orders) = n + 1;
}

static void carry_out(struct vcpu *vcpu)
{
	vcpu_sync(vcpu, 1);
	guest_var(vcpu->vm, nr_orders) = 0;
}

static void expect_set(struct __test_metadata *_metadata, const u64 *want, const u64 *got,
		       const char *what, u32 round)
{
	for (u32 page = 0; page < PAGES; page++)
		if (has_bit(want, page) != has_bit(got, page))
			EXPECT_EQ_FOR(has_bit(want, page), has_bit(got, page),
				      "%s, round %u, page %u", what, round, page);
}

/* Random accesses in rounds, logged from the start on or from later on. */
static void check_exact(struct __test_metadata *_metadata, u8 *window, const char *what)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_obey);
	u64 want[WORDS], got[WORDS], seed = 7;
	struct vm *vm = vcpu->vm;
	u32 rounds = share_of(30);

	ASSERT_EQ(0, set_log(vm, window, false));
	for (u32 i = 0; i < MAX_ORDERS; i++)
		order(vm, random_u32(&seed) % PAGES, i & 1);
	carry_out(vcpu);
	ASSERT_EQ(0, set_log(vm, window, true));
	EXPECT_EQ(0, harvest(vm, got));
	for (u32 round = 0; round < 3 + rounds; round++) {
		memset(want, 0, sizeof(want));
		for (u32 i = 0; i < MAX_ORDERS; i++) {
			u32 page = random_u32(&seed) % PAGES;
			bool write = random_u32(&seed) & 1;

			if (write)
				set_bit(want, page);
			order(vm, page, write);
		}
		carry_out(vcpu);
		harvest(vm, got);
		expect_set(_metadata, want, got, what, round);
		/* Off and on again: what was written in between nobody knows. */
		if (round % 8 != 7)
			continue;
		ASSERT_EQ(0, set_log(vm, window, false));
		for (u32 i = 0; i < MAX_ORDERS; i++)
			order(vm, random_u32(&seed) % PAGES, true);
		carry_out(vcpu);
		ASSERT_EQ(0, set_log(vm, window, true));
		EXPECT_EQ(0, harvest(vm, got));
	}
	vcpu_free(vcpu);
	vm_free(vm);
	munmap(window, WINDOW_SIZE);
}

TEST_TIMEOUT(harvested_is_what_was_written, 60)
{
	check_exact(_metadata, small_pages(), "small pages");
	check_exact(_metadata, huge_pages(), "huge pages");
	check_exact(_metadata, shared_file(), "a shared file");
}

TEST(parts_are_taken_and_looked_at)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_obey);
	u64 bitmap[WORDS] = { 0 }, count;
	struct vm *vm = vcpu->vm;
	u8 *window = huge_pages();

	EXPECT_EQ(-ENOENT, get_dirty(vm, 0, 64, 0, bitmap, &count));
	ASSERT_EQ(0, set_log(vm, window, false));
	EXPECT_EQ(-ENOENT, get_dirty(vm, 0, 64, 0, bitmap, &count));
	ASSERT_EQ(0, set_log(vm, window, true));
	order(vm, 3, true);
	order(vm, 70, true);
	order(vm, 600, true);
	order(vm, PAGES - 1, true);
	carry_out(vcpu);

	ASSERT_EQ(0, get_dirty(vm, 0, PAGES, VMM_DIRTY_KEEP, bitmap, &count));
	EXPECT_EQ(4, count);
	EXPECT_TRUE(has_bit(bitmap, 3) && has_bit(bitmap, 70) && has_bit(bitmap, 600) &&
		    has_bit(bitmap, PAGES - 1));
	/* A part, whose bits begin at its first page; other words are left alone. */
	memset(bitmap, 0x5a, sizeof(bitmap));
	ASSERT_EQ(0, get_dirty(vm, 64, 512, 0, bitmap, &count));
	EXPECT_EQ(1, count);
	EXPECT_EQ(1UL << (70 - 64), bitmap[0]);
	EXPECT_EQ(0x5a5a5a5a5a5a5a5a, bitmap[1]);
	/* No bitmap: only protected. */
	ASSERT_EQ(0, get_dirty(vm, 576, 64, 0, NULL, &count));
	EXPECT_EQ(1, count);
	/* What cannot be given is kept. */
	EXPECT_EQ(-EFAULT, get_dirty(vm, 0, PAGES, 0, (u64 *)8, &count));
	EXPECT_EQ(2, harvest(vm, bitmap));
	EXPECT_TRUE(has_bit(bitmap, 3) && has_bit(bitmap, PAGES - 1));
	/* Taken means protected: the next write is seen. */
	order(vm, 70, true);
	order(vm, 71, false);
	order(vm, 600, true);
	carry_out(vcpu);
	EXPECT_EQ(2, harvest(vm, bitmap));
	EXPECT_TRUE(has_bit(bitmap, 70) && has_bit(bitmap, 600));
	EXPECT_EQ(0, harvest(vm, bitmap));
	ASSERT_EQ(0, set_log(vm, window, false));
	EXPECT_EQ(-ENOENT, get_dirty(vm, 0, 64, 0, bitmap, &count));
	order(vm, 3, true);
	carry_out(vcpu);
}

TEST(neighbour_slots_are_not_logged_and_keep_their_logs)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_obey);
	u64 bitmap[WORDS] = { 0 }, count;
	struct vm *vm = vcpu->vm;
	u8 *window = small_pages();

	/* Neither border is at a table's; pages 100 to 299 belong to slot 1. */
	ASSERT_EQ(0, vm_slot(vm, 2, WINDOW, 100 * 4096, window, 0));
	ASSERT_EQ(0, vm_slot(vm, SLOT, WINDOW + 100 * 4096, 200 * 4096, window + 100 * 4096, 0));
	ASSERT_EQ(0, vm_slot(vm, 3, WINDOW + 300 * 4096, WINDOW_SIZE - 300 * 4096,
			     window + 300 * 4096, 0));
	for (u32 page = 90; page < 110; page++)
		order(vm, page, true);
	for (u32 page = 290; page < 310; page++)
		order(vm, page, true);
	carry_out(vcpu);
	ASSERT_EQ(0, vm_slot(vm, SLOT, WINDOW + 100 * 4096, 200 * 4096, window + 100 * 4096,
			     VMM_SLOT_LOG_DIRTY));
	order(vm, 99, true);
	order(vm, 100, true);
	order(vm, 299, true);
	order(vm, 300, true);
	carry_out(vcpu);
	ASSERT_EQ(0, vm_slot(vm, 3, 0, 0, NULL, 0));
	ASSERT_EQ(0, get_dirty(vm, 0, 200, 0, bitmap, &count));
	EXPECT_EQ(2, count);
	EXPECT_EQ(1, bitmap[0]);
	EXPECT_EQ(1UL << 199 % 64, bitmap[199 / 64]);
}

static void reserve_huge_pages(const char *count)
{
	int fd = open("/proc/sys/vm/nr_hugepages", O_RDWR);
	char text[16] = { 0 };

	if (fd < 0 || write(fd, count, strlen(count)) < 0)
		die("nr_hugepages: %s", strerror(errno));
	if (pread(fd, text, sizeof(text) - 1, 0) <= 0 || atoi(text) != atoi(count))
		die("nr_hugepages: wanted %s, the host has %d", count, atoi(text));
	close(fd);
}

static u64 table_pages(struct vm *vm)
{
	struct vmm_vm_stats stats = { 0 };

	VMM_MUST(vm->fd, VMM_GET_VM_STATS, &stats);
	return stats.table_pages;
}

static void write_all_regions(struct vcpu *vcpu)
{
	for (u32 page = 5; page < PAGES; page += HUGE / 4096)
		order(vcpu->vm, page, true);
	carry_out(vcpu);
}

TEST(large_leaves_are_split_for_a_log_and_joined_again)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_obey);
	struct vmm_info info = get_info();
	struct vm *vm = vcpu->vm;
	u64 bitmap[WORDS], before, left, regions = WINDOW_SIZE / HUGE;
	bool large, shadow;
	u8 *window;
	int fd;

	reserve_huge_pages("4");
	fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, WINDOW_SIZE));
	window = map_window(MAP_SHARED, fd);
	ASSERT_EQ(0, set_log(vm, window, false));
	write_all_regions(vcpu);
	before = table_pages(vm);
	ASSERT_EQ(0, set_log(vm, window, true));
	EXPECT_EQ(before, table_pages(vm));
	write_all_regions(vcpu);
	EXPECT_EQ(regions, harvest(vm, bitmap));
	shadow = info.paging == VMM_PAGING_SHADOW;
	large = shadow || (info.features & VMM_FEATURE_LARGE_2M);
	EXPECT_EQ(before + (large ? regions : 0), large ? table_pages(vm) : before);
	ASSERT_EQ(0, set_log(vm, window, false));
	write_all_regions(vcpu);
	/* Shadow pages of the small leaves stay until they are recycled. */
	left = shadow ? before + regions : before;
	EXPECT_EQ(left, table_pages(vm));
	write_all_regions(vcpu);
	EXPECT_EQ(left, table_pages(vm));
	vcpu_free(vcpu);
	vm_free(vm);
	munmap(window, WINDOW_SIZE);
	close(fd);
	reserve_huge_pages("0");
}

/* ---- what writes beside the guest's instructions ---- */

#define MSR_KVM_SYSTEM_TIME_NEW	0x4b564d01
#define OWN_TABLES	(WINDOW + 16 * 4096)	/* PML4, PDPT, first PD */

static void guest_tables(void)
{
	u64 *from = (u64 *)GUEST_PML4, *to = (u64 *)OWN_TABLES;

	for (u32 i = 0; i < 3 * 512; i++)
		to[i] = from[i] & ~(PTE_A | PTE_D);
	to[0] = (OWN_TABLES + 4096) | PTE_P | PTE_W | PTE_U;
	to[512] = (OWN_TABLES + 8192) | PTE_P | PTE_W | PTE_U;
	write_cr3(OWN_TABLES);
	GUEST_SYNC(1);
	/* Nothing but an accessed bit in the page directory. */
	read64(GUEST_DATA2);
	GUEST_SYNC(2);
	write64(GUEST_DATA2, 1);
	GUEST_SYNC(3);
	GUEST_DONE();
}

static void guest_clock(void)
{
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (WINDOW + 40 * 4096) | 1);
	GUEST_DONE();
}

/*
 * Page @page is in the log, and beside it at most the three tables, for which the walker
 * of a CPU with nested paging may ask permission to write whether it does or not.
 */
static void expect_logged(struct __test_metadata *_metadata, struct vm *vm, u32 page)
{
	u64 bitmap[WORDS];

	harvest(vm, bitmap);
	EXPECT_EQ_FOR(1, has_bit(bitmap, page), "page %u", page);
	for (u32 i = 0; i < PAGES; i++)
		if (has_bit(bitmap, i) && i != page && (i < 16 || i > 18))
			EXPECT_EQ_FOR(0, 1, "page %u, expected only %u", i, page);
}

/* Where nested tables have accessed and dirty flags it takes its whole walk for writes. */
static bool bochs_does_not_ask(void)
{
	return get_info().paging == VMM_PAGING_NESTED &&
	       file_has("/sys/class/dmi/id/bios_version", "Bochs") &&
	       !(file_has("/proc/cpuinfo", "ept_ad") &&
		 file_has("/sys/module/vmm/parameters/ept_ad", "Y"));
}

static u64 memory_exits(struct vcpu *vcpu)
{
	struct vmm_vcpu_stats stats = { 0 };

	VMM_MUST(vcpu->fd, VMM_GET_VCPU_STATS, &stats);
	return stats.exits[VMM_STAT_MEMORY];
}

static void guest_writes_all(void)
{
	for (;;) {
		for (u64 page = 0; page < PAGES; page++)
			write64(WINDOW + page * 4096, page);
		GUEST_SYNC(1);
	}
}

/* More than the CPU's own log has room for, where it has one. */
TEST(written_again_pages_are_logged_again)
{
	const struct vmm_info info = get_info();
	const bool nested = info.paging == VMM_PAGING_NESTED;
	const bool reports = nested && info.backend == VMM_BACKEND_VT_X &&
			     file_has("/sys/module/vmm/parameters/pml", "Y");
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_writes_all);
	u64 bitmap[WORDS], before;

	ASSERT_EQ(0, set_log(vcpu->vm, small_pages(), true));
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(PAGES, harvest(vcpu->vm, bitmap));
	for (u32 i = 0; i < 3; i++) {
		EXPECT_EQ(0, harvest(vcpu->vm, bitmap));
		before = memory_exits(vcpu);
		vcpu_sync(vcpu, 1);
		EXPECT_EQ(PAGES, harvest(vcpu->vm, bitmap));
		if (nested)
			EXPECT_EQ(reports ? 0 : PAGES, memory_exits(vcpu) - before);
	}
}

TEST(writes_of_the_walker_are_logged)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_tables);
	u64 bitmap[WORDS];
	struct vm *vm = vcpu->vm;

	if (bochs_does_not_ask())
		SKIP(return, "Bochs sets accessed bits without asking the nested tables");
	ASSERT_EQ(0, set_log(vm, small_pages(), true));
	vcpu_sync(vcpu, 1);
	harvest(vm, bitmap);
	for (u32 i = 0; i < 3; i++)
		EXPECT_EQ_FOR(1, has_bit(bitmap, 16 + i), "table %u", i);
	vcpu_sync(vcpu, 2);
	expect_logged(_metadata, vm, 18);
	vcpu_sync(vcpu, 3);
	expect_logged(_metadata, vm, 18);
	vcpu_done(vcpu);
}

TEST(writes_of_the_kernel_are_logged)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_clock);
	struct vm *vm = vcpu->vm;

	ASSERT_EQ(0, set_log(vm, small_pages(), true));
	vcpu_done(vcpu);
	expect_logged(_metadata, vm, 40);
}

/* ---- while vCPUs run ---- */

#define MAX_VCPUS	3

/* Each owns a word a page, whose value only grows. */
static void guest_scribble(u64 id)
{
	u64 seed = id + 1, count = 0;

	for (;;) {
		seed = seed * 6364136223846793005UL + 1442695040888963407UL;
		write64(WINDOW + (seed >> 33) % PAGES * 4096 + id * 8, ++count);
		if (!(count % 64))
			cpu_relax();
	}
}

static void guest0(void)
{
	guest_scribble(0);
}

static void guest1(void)
{
	guest_scribble(1);
}

static void guest2(void)
{
	guest_scribble(2);
}

static void (*const scribblers[MAX_VCPUS])(void) = { guest0, guest1, guest2 };

/* What a migration does: copy what was written since the last time. */
static u64 copy_dirty(struct vm *vm, u8 *copy, const u8 *window)
{
	u64 bitmap[WORDS], count = harvest(vm, bitmap), seen = 0;

	for (u32 page = 0; page < PAGES; page++) {
		if (!has_bit(bitmap, page))
			continue;
		seen++;
		for (u32 i = 0; i < MAX_VCPUS; i++)
			((u64 *)(copy + page * 4096))[i] =
				((volatile u64 *)(window + page * 4096))[i];
	}
	if (seen != count)
		die("expected %lu bits, got %lu", count, seen);
	return count;
}

/* Nothing of this changes contents, but all of it changes mappings. */
static void disturb(u8 *window, struct runner *runners, u64 *seed)
{
	static const int advice[] = {
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, 20 /* COLD */, 21 /* PAGEOUT */,
		25 /* COLLAPSE */, MADV_MERGEABLE, MADV_UNMERGEABLE,
	};
	u64 first = random_u32(seed) % PAGES;
	cpu_set_t set;

	madvise(window + first * 4096, (PAGES - first) * 4096,
		advice[random_u32(seed) % ARRAY_SIZE(advice)]);
	CPU_ZERO(&set);
	CPU_SET(host_cpu(random_u32(seed) % host_cpus()), &set);
	pthread_setaffinity_np(runners[random_u32(seed) % MAX_VCPUS].thread, sizeof(set), &set);
}

static void migrate(struct __test_metadata *_metadata, u8 *window, u32 ms)
{
	struct runner runners[MAX_VCPUS];
	u8 *copy = map_memory(WINDOW_SIZE);
	u64 seed = 3, end, total = 0, differ = 0;
	struct vm *vm = vm_new();

	host_cpus();
	ASSERT_EQ(0, set_log(vm, window, false));
	for (u32 i = 0; i < MAX_VCPUS; i++)
		runner_start(&runners[i], vcpu_new(vm, i, scribblers[i]));
	usleep(20000);
	for (u32 i = 0; i < 3; i++) {
		ASSERT_EQ(0, set_log(vm, window, true));
		usleep(2000);
		ASSERT_EQ(0, set_log(vm, window, false));
		usleep(2000);
	}
	ASSERT_EQ(0, set_log(vm, window, true));
	memcpy(copy, window, WINDOW_SIZE);
	for (end = now_ns() + share_of(ms) * 1000000UL; now_ns() < end; ) {
		disturb(window, runners, &seed);
		total += copy_dirty(vm, copy, window);
	}
	for (u32 i = 0; i < MAX_VCPUS; i++)
		runner_stop(&runners[i]);
	total += copy_dirty(vm, copy, window);
	EXPECT_LT(0, total);
	for (u32 page = 0; page < PAGES; page++)
		differ += !!memcmp(copy + page * 4096, window + page * 4096, MAX_VCPUS * 8);
	EXPECT_EQ(0, differ) {
		TH_LOG("%lu pages were written and not in the log", differ);
	}
	EXPECT_EQ(0, copy_dirty(vm, copy, window));
	for (u32 i = 0; i < MAX_VCPUS; i++)
		vcpu_free(runners[i].vcpu);
	vm_free(vm);
}

TEST_TIMEOUT(a_copy_of_what_was_harvested_is_the_memory, 60)
{
	migrate(_metadata, huge_pages(), 1500);
	migrate(_metadata, shared_file(), 500);
}

/* The log comes and goes under running vCPUs: whenever it is on, nothing is missed. */
TEST_TIMEOUT(logs_start_and_stop_under_running_vcpus, 60)
{
	u32 rounds = share_of(40);

	for (u32 i = 0; i < 2 + rounds / 20; i++)
		migrate(_metadata, huge_pages(), 20);
}

/* ---- cost ---- */

static void guest_done(void)
{
	GUEST_DONE();
}

/* A thousand rounds of something that touched each page's bit would take minutes. */
TEST(an_empty_log_costs_the_same_for_any_size)
{
	const u64 size = 1UL << 39, gpa = 1UL << 32;
	struct vm *vm = vm_new();
	u8 *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	u64 count, all = size >> 12, reach = 1UL << get_info().phys_bits;
	u32 rounds = share_of(1000);

	if (memory == MAP_FAILED || reach < gpa + size)
		SKIP(return, "addresses are too narrow");
	vcpu_done(vcpu_new(vm, 0, guest_done));
	for (u32 i = 0; i < rounds; i++) {
		ASSERT_EQ(0, vm_slot(vm, SLOT, gpa, size, memory, VMM_SLOT_LOG_DIRTY));
		ASSERT_EQ(0, get_dirty(vm, 0, all, 0, (u64 *)memory, &count));
		EXPECT_EQ(0, count);
		ASSERT_EQ(0, vm_slot(vm, SLOT, gpa, size, memory, 0));
	}
}

VMM_TEST_MAIN
