// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Page tables of VMs are memory that the host can have back, and that a cgroup pays:
 * they go when memory is short, come again when the guest needs them, and while they
 * go under running vCPUs no access goes wrong.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "lib/test.h"
#include "lib/thread.h"

#define WINDOW	GUEST_HOLE
#define REGIONS	500UL			/* each takes a table; slots are 512 */

static struct vmm_vm_stats vm_stats(struct vm *vm)
{
	struct vmm_vm_stats stats = { 0 };

	VMM_MUST(vm->fd, VMM_GET_VM_STATS, &stats);
	return stats;
}

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return n;
}

/* Twice: how much a shrinker is asked for depends on what it had before. */
static void drop_caches(void)
{
	for (int i = 0; i < 2; i++)
		if (write_text("/proc/sys/vm/drop_caches", "2"))
			die("drop_caches: %s", strerror(errno));
}

/* ---- an idle VM ---- */

static void guest_touch(void)
{
	for (;;) {
		for (u64 i = 0; i < REGIONS; i++)
			GUEST_EQ(0x5a5a, read64(WINDOW + (i << 21)));
		GUEST_SYNC(1);
	}
}

/* All slots show the same page: nearly all that the guest costs is page tables. */
static struct vcpu *sparse_vcpu(void)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_touch);
	u64 *memory = map_memory(4096);

	memory[0] = 0x5a5a;
	for (u64 i = 0; i < REGIONS; i++)
		if (vm_slot(vm, 1 + i, WINDOW + (i << 21), 4096, memory, 0))
			die("VMM_SET_SLOT failed");
	return vcpu;
}

TEST(an_idle_vm_gives_its_tables_back)
{
	struct vcpu *vcpu = sparse_vcpu();
	struct vm *vm = vcpu->vm;

	for (int round = 0; round < 3; round++) {
		u64 reclaimed = vm_stats(vm).reclaimed, full;

		vcpu_sync(vcpu, 1);
		full = vm_stats(vm).table_pages;
		EXPECT_LE(REGIONS, full);
		drop_caches();
		EXPECT_GT(full / 2, vm_stats(vm).table_pages);
		EXPECT_EQ(full - vm_stats(vm).table_pages, vm_stats(vm).reclaimed - reclaimed);
	}
	vcpu_sync(vcpu, 1);
}

/* ---- running ones ---- */

#define PAGES	1024UL

static void guest_pattern(u64 id)
{
	u64 seed = id + 1, count = 0;

	for (;;) {
		u64 at;

		seed = seed * 6364136223846793005UL + 1442695040888963407UL;
		at = WINDOW + (seed >> 33) % PAGES * 4096 + id * 8;
		if (read64(at) > count)
			GUEST_FAIL("a count that was never written", count, read64(at));
		write64(at, ++count);
		GUEST_EQ(count, read64(at));
		cpu_relax();
	}
}

static void guest0(void)
{
	guest_pattern(0);
}

static void guest1(void)
{
	guest_pattern(1);
}

TEST_TIMEOUT(tables_go_while_vcpus_run, 60)
{
	static void (*const guests[])(void) = { guest0, guest1 };
	struct runner runners[2];
	struct vm *vm = vm_new();
	u8 *memory = map_memory(PAGES * 4096);
	bool nested = get_info().paging == VMM_PAGING_NESTED;
	u32 rounds = share_of(60);

	ASSERT_EQ(0, vm_slot(vm, 1, WINDOW, PAGES * 4096, memory, 0));
	for (u32 i = 0; i < 2; i++)
		runner_start(&runners[i], vcpu_new(vm, i, guests[i]));
	for (u32 i = 0; i < 4 + rounds; i++) {
		/* Nested tables go between two runs only, shadow ones at any time. */
		for (u32 j = 0; nested && j < 2; j++)
			runner_stop(&runners[j]);
		drop_caches();
		for (u32 j = 0; nested && j < 2; j++)
			runner_start(&runners[j], runners[j].vcpu);
		usleep(1000);
	}
	for (u32 i = 0; i < 2; i++)
		runner_stop(&runners[i]);
	EXPECT_LT(0, vm_stats(vm).reclaimed);
}

/* ---- cgroups ---- */

#define ROOT	"/tmp/vmm-cgroup"
#define GROUP	ROOT "/vmm"

static u64 read_number(const char *path, const char *key)
{
	FILE *file = fopen(path, "r");
	char line[128];
	u64 value = 0;

	if (!file)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		size_t n = strlen(key);

		if (!strncmp(line, key, n) && (!n || line[n] == ' '))
			value = strtoul(line + n, NULL, 10);
	}
	fclose(file);
	return value;
}

/*
 * The test's own group of the memory controller, with the test in it. Its memory is in small
 * pages: of large ones Linux since 6.12 takes those that hold nothing but zeros, first.
 */
static bool enter_group(void)
{
	if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0))
		die("PR_SET_THP_DISABLE: %s", strerror(errno));
	mkdir(ROOT, 0700);
	umount2(ROOT, MNT_DETACH);
	if (mount("none", ROOT, "cgroup2", 0, NULL))
		return false;
	if (write_text(ROOT "/cgroup.subtree_control", "+memory"))
		return false;
	mkdir(GROUP, 0700);
	return !write_text(GROUP "/cgroup.procs", "0");
}

static void leave_group(void)
{
	write_text(ROOT "/cgroup.procs", "0");
	rmdir(GROUP);
	umount2(ROOT, MNT_DETACH);
	rmdir(ROOT);
}

static void set_limit(u64 bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", bytes);
	if (write_text(GROUP "/memory.max", text))
		die("memory.max: %s", strerror(errno));
}

TEST(a_cgroup_pays_for_the_tables)
{
	struct vcpu *vcpu;
	u64 before, during;

	if (!enter_group())
		SKIP(return, "no memory controller here");
	before = read_number(GROUP "/memory.stat", "kernel");
	vcpu = sparse_vcpu();
	vcpu_sync(vcpu, 1);
	during = read_number(GROUP "/memory.stat", "kernel");
	/* The group is charged in batches and read a little late. */
	EXPECT_LE(before + REGIONS * 4096 * 9 / 10, during);
	leave_group();
}

static bool both_gave(struct vcpu *one, struct vcpu *other)
{
	return vm_stats(one->vm).reclaimed && vm_stats(other->vm).reclaimed;
}

/* Two VMs do not fit: the idle one gives way, and no guest notices. */
TEST(a_limit_holds_and_the_idle_vm_gives_way)
{
	struct vcpu *idle, *busy;
	u64 limit;

	if (!enter_group())
		SKIP(return, "no memory controller here");
	idle = sparse_vcpu();
	busy = sparse_vcpu();
	vcpu_sync(idle, 1);
	/* A quarter of what a VM takes: CPUs hold as much again that is counted and not used. */
	limit = read_number(GROUP "/memory.current", "") + (1 << 19);
	set_limit(limit);
	/*
	 * Which of the two the host asks is chance, where both are between two exits, and what
	 * else the group has cached it may take first.
	 */
	for (int round = 0; round < 3 || (round < 30 && !both_gave(idle, busy)); round++) {
		vcpu_sync(busy, 1);
		EXPECT_GE(limit, read_number(GROUP "/memory.current", ""));
		vcpu_sync(idle, 1);
	}
	EXPECT_LT(0, vm_stats(idle->vm).reclaimed);
	EXPECT_LT(0, vm_stats(busy->vm).reclaimed);
	set_limit(limit + (1UL << 30));
	leave_group();
}

/*
 * RECLAIM_SECONDS of turns: two VMs that need as many tables as fit once, beside one whose
 * vCPUs run all the time, with the host asking for memory in between. The group stays under
 * its limit, kills nobody, and what the host has left at the end is what it had.
 */
struct turns {
	struct vcpu *sparse[2];
	struct runner runners[2];
	u64 limit, peak, rounds;
};

static u64 seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void take_turns(struct turns *turns, u64 seconds)
{
	const u64 end = seconds_now() + seconds;
	u64 current;

	do {
		for (u32 i = 0; i < 2; i++) {
			vcpu_sync(turns->sparse[i], 1);
			current = read_number(GROUP "/memory.current", "");
			if (current > turns->peak)
				turns->peak = current;
		}
		/* Nested tables go between two runs only. */
		if (turns->rounds++ % 16 == 0) {
			runner_stop(&turns->runners[0]);
			runner_stop(&turns->runners[1]);
			drop_caches();
			runner_start(&turns->runners[0], turns->runners[0].vcpu);
			runner_start(&turns->runners[1], turns->runners[1].vcpu);
		}
	} while (seconds_now() < end);
}

TEST_TIMEOUT(a_limit_holds_for_as_long_as_it_is_asked_to, 4000)
{
	static void (*const guests[])(void) = { guest0, guest1 };
	const char *asked = getenv("RECLAIM_SECONDS");
	struct turns turns = { 0 };
	struct vm *vm;
	u8 *memory;
	u64 before;

	if (!enter_group())
		SKIP(return, "no memory controller here");
	vm = vm_new();
	/* What the guests have not touched when the limit is taken would not fit later. */
	memory = map_memory(PAGES * 4096);
	memset(memory, 0, PAGES * 4096);
	ASSERT_EQ(0, vm_slot(vm, 1, WINDOW, PAGES * 4096, memory, 0));
	for (u32 i = 0; i < 2; i++)
		turns.sparse[i] = sparse_vcpu();
	vcpu_sync(turns.sparse[0], 1);
	for (u32 i = 0; i < 2; i++)
		runner_start(&turns.runners[i], vcpu_new(vm, i, guests[i]));
	take_turns(&turns, 0);
	drop_caches();
	/*
	 * Of the two VMs one has room, and half of the other: the group's CPUs hold some pages
	 * that are counted and not used, and the running vCPUs get back what they have just lost.
	 */
	turns.limit = read_number(GROUP "/memory.current", "") + REGIONS * 4096 * 3 / 2;
	set_limit(turns.limit);
	turns.peak = 0;
	turns.rounds = 0;
	before = read_number("/proc/meminfo", "MemFree:");
	take_turns(&turns, asked ? strtoul(asked, NULL, 0) : 0);
	printf("# %lu rounds, %lu and %lu tables taken\n", turns.rounds,
	       (u64)vm_stats(turns.sparse[0]->vm).reclaimed,
	       (u64)vm_stats(turns.sparse[1]->vm).reclaimed);
	printf("# KiB: limit %lu, highest %lu; the host has %lu, had %lu\n", turns.limit >> 10,
	       turns.peak >> 10, read_number("/proc/meminfo", "MemFree:"), before);
	EXPECT_GE(turns.limit, turns.peak);
	EXPECT_EQ(0, read_number(GROUP "/memory.events", "oom"));
	for (u32 i = 0; i < 2; i++)
		runner_stop(&turns.runners[i]);
	set_limit(turns.limit + (1UL << 30));
	leave_group();
}

VMM_TEST_MAIN
