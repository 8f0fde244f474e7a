// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the host does to a process's pages behind its back, or at its wish, under running
 * vCPUs: merge equal ones, move them about, swap them out, copy them for a child, find errors
 * in them, or give memory that has no pages at all.
 */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/test.h"
#include "lib/thread.h"

#define WINDOW	GUEST_HOLE
#define PAGES	512UL

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Of the line that starts with @key. */
static u64 read_number(const char *path, const char *key)
{
	FILE *file = fopen(path, "r");
	u64 value = 0;
	char line[128];

	if (!file)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)))
			value = strtoul(line + strlen(key), NULL, 10);
	fclose(file);
	return value;
}

/* ---- pages that are merged and moved ---- */

/*
 * Words that grow, of which each vCPU owns one a page in the first half of the window;
 * the second half is only read and equal all over, for KSM to merge.
 */
static void guest_pattern(u64 id)
{
	u64 seed = id + 1, count = 0, page, at;

	for (;;) {
		seed = seed * 6364136223846793005UL + 1442695040888963407UL;
		page = (seed >> 33) % (PAGES / 2);
		at = WINDOW + page * 4096 + id * 8;
		if (read64(at) > count)
			GUEST_FAIL("a count that was never written", count, read64(at));
		write64(at, ++count);
		GUEST_EQ(count, read64(at));
		GUEST_EQ(0x5a5a5a5a5a5a5a5a, read64(at + PAGES / 2 * 4096));
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

/* Runs @disturb @times under two vCPUs that check the pattern. */
static void under_pattern(u8 *window, void (*disturb)(u8 *window), u32 times)
{
	static void (*const guests[])(void) = { guest0, guest1 };
	struct runner runners[2];
	struct vm *vm = vm_new();

	memset(window + PAGES / 2 * 4096, 0x5a, PAGES / 2 * 4096);
	if (vm_slot(vm, 1, WINDOW, PAGES * 4096, window, 0))
		die("VMM_SET_SLOT failed");
	for (u32 i = 0; i < 2; i++)
		runner_start(&runners[i], vcpu_new(vm, i, guests[i]));
	while (times--)
		disturb(window);
	for (u32 i = 0; i < 2; i++)
		runner_stop(&runners[i]);
}

#define PAGES_MOVED	"pgmigrate_success "

static u64 holes_size;

static void make_holes_and_compact(u8 *window)
{
	const u64 size = holes_size;
	u8 *holes = map_memory(size);

	(void)window;
	/* Every second page goes: what is left has to be moved to make large blocks. */
	madvise(holes, size, MADV_NOHUGEPAGE);
	memset(holes, 1, size);
	for (u64 at = 0; at < size; at += 2 * 4096)
		if (madvise(holes + at, 4096, MADV_DONTNEED))
			die("MADV_DONTNEED: %s", strerror(errno));
	if (!write_text("/proc/sys/vm/compact_memory", "1"))
		die("compact_memory: %s", strerror(errno));
}

/* Runs @act in a child, which has the window only if this process lets it. */
static void in_child(u8 *window, void (*act)(u8 *window))
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		act(window);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		die("fork: %s, status %#x", strerror(errno), status);
}

/*
 * The pages that make holes are another process's: to move one of this one's interrupts the
 * CPUs of both vCPUs, which is for the window's sake only.
 */
static void compact(u8 *window)
{
	if (madvise(window, PAGES * 4096, MADV_DONTFORK))
		die("MADV_DONTFORK: %s", strerror(errno));
	holes_size += 4UL << 20;
	in_child(window, make_holes_and_compact);
}

/* Whole entries of /proc/self/pagemap: without a right to see frames all are alike. */
static void get_frames(u8 *window, u64 frames[PAGES])
{
	int fd = open("/proc/self/pagemap", O_RDONLY);

	if (fd < 0 || pread(fd, frames, PAGES * 8, (u64)window / 4096 * 8) != PAGES * 8)
		die("pagemap: %s", strerror(errno));
	close(fd);
}

static u64 window_moved;	/* pages of it */

/* Where all pages lie together already, nothing moves: then with more holes. */
static void compact_until_some_move(u8 *window)
{
	const u64 of_all = read_number("/proc/vmstat", PAGES_MOVED);
	static u64 before[PAGES], after[PAGES];

	get_frames(window, before);
	for (u32 tries = 0; tries < 8; tries++) {
		compact(window);
		if (read_number("/proc/vmstat", PAGES_MOVED) != of_all)
			break;
	}
	get_frames(window, after);
	for (u64 i = 0; i < PAGES; i++)
		window_moved += before[i] != after[i];
}

/* Small pages: large ones lie as compaction wants them. */
static u8 *small_window(void)
{
	const u64 size = PAGES * 4096;
	u8 *window = (u8 *)(((u64)map_memory(2 * size) + size - 1) & -size);

	if (madvise(window, PAGES * 4096, MADV_NOHUGEPAGE))
		die("MADV_NOHUGEPAGE: %s", strerror(errno));
	memset(window, 0, PAGES * 4096);
	return window;
}

TEST_TIMEOUT(pages_that_are_moved, 60)
{
	const u64 of_all = read_number("/proc/vmstat", PAGES_MOVED);

	/* What compaction finds to do in memory as empty as here is chance. */
	holes_size = 0;
	compact_until_some_move(small_window());
	if (read_number("/proc/vmstat", PAGES_MOVED) == of_all)
		SKIP(return, "the kernel's compaction moves nothing");
	holes_size = 0;
	window_moved = 0;
	under_pattern(small_window(), compact_until_some_move, 2 + share_of(4));
	printf("# %lu moves of %lu pages\n", window_moved, PAGES);
	if (!window_moved)
		SKIP(return, "the kernel's compaction moves nothing");
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25	/* Linux 6.1's, younger than the library's header */
#endif

static u64 collapse_failed;
static int collapse_error;

/* Into one large page, to which all is copied; then mapped in small ones again. */
static void collapse(u8 *window)
{
	static u64 before[PAGES], after[PAGES];

	get_frames(window, before);
	if (madvise(window, PAGES * 4096, MADV_COLLAPSE)) {
		collapse_failed++;
		collapse_error = errno;
	}
	get_frames(window, after);
	for (u64 i = 0; i < PAGES; i++)
		window_moved += before[i] != after[i];
	if (mprotect(window, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) ||
	    mprotect(window, 4096, PROT_READ | PROT_WRITE))
		die("mprotect: %s", strerror(errno));
}

TEST_TIMEOUT(pages_that_become_a_large_one, 60)
{
	u8 *window = small_window();

	if (access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK))
		SKIP(return, "the kernel has no huge pages");
	if (madvise(window, PAGES * 4096, MADV_HUGEPAGE))
		die("MADV_HUGEPAGE: %s", strerror(errno));
	window_moved = 0;
	collapse_failed = 0;
	under_pattern(window, collapse, 5 + share_of(50));
	printf("# %lu moves of %lu pages, %lu in vain (%s)\n", window_moved, PAGES,
	       collapse_failed, strerror(collapse_error));
	EXPECT_LE(PAGES, window_moved);
}

/* ---- nodes ---- */

static bool has_nodes(void)
{
	return !access("/sys/devices/system/node/node1", F_OK);
}

#define NO_NODES	"the host has one node"

static u64 pages_moved;

/* All of them to the one node, then to the other. */
static void move_to_nodes(u8 *window)
{
	static void *pages[PAGES];
	static int nodes[PAGES], status[PAGES];

	for (int node = 0; node < 2; node++) {
		for (u64 i = 0; i < PAGES; i++) {
			pages[i] = window + i * 4096;
			nodes[i] = node;
			status[i] = -1;
		}
		if (syscall(SYS_move_pages, 0, PAGES, pages, nodes, status, MPOL_MF_MOVE) < 0)
			die("move_pages: %s", strerror(errno));
		for (u64 i = 0; i < PAGES; i++)
			pages_moved += status[i] == node;
		usleep(1000);
	}
}

TEST_TIMEOUT(pages_that_are_moved_to_another_node, 60)
{
	u64 before = read_number("/proc/vmstat", PAGES_MOVED);
	const u32 rounds = 1 + share_of(2);

	if (!has_nodes())
		SKIP(return, NO_NODES);
	pages_moved = 0;
	under_pattern(map_memory(PAGES * 4096), move_to_nodes, rounds);
	/* Some may be busy just then. */
	EXPECT_LT(rounds * PAGES, pages_moved);
	EXPECT_LT(before + rounds * PAGES / 2, read_number("/proc/vmstat", PAGES_MOVED));
}

/* The same by a policy for the range, small pages and large ones. */
static void bind_to_nodes(u8 *window)
{
	for (int node = 0; node < 2; node++) {
		const unsigned long mask = 1UL << node;

		madvise(window, PAGES * 4096, node ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		madvise(window, PAGES * 4096, MADV_COLLAPSE);
		if (syscall(SYS_mbind, window, PAGES * 4096, MPOL_BIND, &mask, 8, MPOL_MF_MOVE))
			die("mbind: %s", strerror(errno));
		usleep(1000);
	}
}

TEST_TIMEOUT(pages_that_a_policy_moves, 60)
{
	u8 *window = map_memory(2 * PAGES * 4096);
	u64 before = read_number("/proc/vmstat", PAGES_MOVED);
	const u32 rounds = 1 + share_of(2);

	if (!has_nodes())
		SKIP(return, NO_NODES);
	under_pattern(window + PAGES * 4096 - (u64)window % (PAGES * 4096), bind_to_nodes, rounds);
	EXPECT_LT(before + PAGES / 2, read_number("/proc/vmstat", PAGES_MOVED));
}

#define SCHED	"/sys/kernel/debug/sched/numa_balancing/"

static bool balance(bool on)
{
	mount("none", "/sys/kernel/debug", "debugfs", 0, NULL);
	return write_text(SCHED "scan_delay_ms", on ? "1" : "1000") &&
	       write_text(SCHED "scan_period_min_ms", on ? "10" : "1000") &&
	       write_text(SCHED "scan_period_max_ms", on ? "20" : "60000") &&
	       write_text("/proc/sys/kernel/numa_balancing", on ? "1" : "0");
}

static u64 balance_end, hints;

/* Until the host has looked for who uses the pages, and somebody did. */
static void wait_for_hints(u8 *window)
{
	(void)window;
	while (read_number("/proc/vmstat", "numa_pte_updates ") <= hints && now_ns() < balance_end)
		usleep(1000);
	hints = read_number("/proc/vmstat", "numa_pte_updates ");
}

TEST_TIMEOUT(pages_that_are_balanced_among_nodes, 60)
{
	const u64 before = read_number("/proc/vmstat", "numa_pte_updates ");

	if (!has_nodes())
		SKIP(return, NO_NODES);
	ASSERT_TRUE(balance(true));
	hints = before;
	balance_end = now_ns() + 40000000000UL;
	under_pattern(map_memory(PAGES * 4096), wait_for_hints, 2 + share_of(8));
	EXPECT_LT(before, read_number("/proc/vmstat", "numa_pte_updates "));
	balance(false);
}

/* ---- pages that are taken away ---- */

static u32 taken;

/* Each page is moved, and the one it was in is used no more. */
static void take_out_of_use(u8 *window)
{
	for (u32 i = 0; i < 8; i++)
		taken += !madvise(window + (taken * 37 + i) % PAGES * 4096, 4096,
				  MADV_SOFT_OFFLINE);
}

TEST_TIMEOUT(pages_that_are_taken_out_of_use, 60)
{
	u8 *window = map_memory(PAGES * 4096);

	madvise(window, PAGES * 4096, MADV_NOHUGEPAGE);
	memset(window, 0, PAGES * 4096);
	if (madvise(window, 4096, MADV_SOFT_OFFLINE) && errno == EINVAL)
		SKIP(return, "the kernel takes no pages out of use");
	taken = 0;
	under_pattern(window, take_out_of_use, 2 + share_of(8));
	EXPECT_LT(0, taken);
}

/* ---- swap ---- */

#define SWAP_DEVICE	"/dev/ram0"
#define SWAP_PAGES	(8 * PAGES)

/*
 * A swap area in memory, which has a page the moment it is written: so it is read again, and
 * not found on the way there. False: the kernel has no RAM disk.
 */
static bool make_swap(void)
{
	const u32 info[] = { 1, SWAP_PAGES - 1, 0 };	/* version, last page, bad pages */
	bool good;
	int disk;

	/* A module, or part of the kernel. */
	system("modprobe brd rd_nr=1 rd_size=16384 2>/dev/null");
	disk = open(SWAP_DEVICE, O_RDWR | O_CLOEXEC);
	if (disk < 0)
		return false;
	good = pwrite(disk, info, sizeof(info), 1024) == sizeof(info) &&
	       pwrite(disk, "SWAPSPACE2", 10, 4096 - 10) == 10 && !fsync(disk);
	close(disk);
	if (!good || swapon(SWAP_DEVICE, 0))
		die("swapon: %s", strerror(errno));
	return true;
}

static void swap_out(u8 *window)
{
	if (madvise(window, PAGES * 4096, MADV_PAGEOUT))
		die("MADV_PAGEOUT: %s", strerror(errno));
	usleep(1000);
}

/* The last disturbance of the vCPUs: all of it comes back at once. */
static void swap_out_and_end(u8 *window)
{
	static u32 rounds;

	swap_out(window);
	if (++rounds == 1 + share_of(3) && swapoff(SWAP_DEVICE))
		die("swapoff: %s", strerror(errno));
}

TEST_TIMEOUT(pages_that_are_swapped_out, 60)
{
	u64 out = read_number("/proc/vmstat", "pswpout ");
	u64 in = read_number("/proc/vmstat", "pswpin ");
	u8 *window = map_memory(PAGES * 4096);

	if (!make_swap())
		SKIP(return, "the kernel has no RAM disk to swap to");
	madvise(window, PAGES * 4096, MADV_NOHUGEPAGE);
	under_pattern(window, swap_out_and_end, 1 + share_of(3));
	EXPECT_LT(out, read_number("/proc/vmstat", "pswpout "));
	EXPECT_LT(in, read_number("/proc/vmstat", "pswpin "));
	for (u64 page = PAGES / 2; page < PAGES; page++)
		ASSERT_EQ(0x5a, window[page * 4096 + 2048]);
	/* What it holds is free again, if it is no part of the kernel. */
	if (!access("/sys/module/brd/initstate", F_OK))
		EXPECT_EQ(0, system("rmmod brd"));
}

/* ---- advice, and children ---- */

/* All that has to do with where the pages are; what a kernel does not know it refuses. */
static void advise(u8 *window)
{
	static const int advice[] = { MADV_COLD, MADV_HUGEPAGE, MADV_COLLAPSE, MADV_PAGEOUT,
				      MADV_NOHUGEPAGE, MADV_WILLNEED, MADV_POPULATE_WRITE };

	for (u32 i = 0; i < sizeof(advice) / sizeof(advice[0]); i++) {
		madvise(window, PAGES * 4096, advice[i]);
		usleep(1000);
	}
	if (mlock(window, PAGES * 4096) || munlock(window, PAGES * 4096))
		die("mlock: %s", strerror(errno));
}

TEST_TIMEOUT(pages_that_advice_is_given_for, 60)
{
	u8 *window = map_memory(2 * PAGES * 4096);

	/* So that huge pages fit. */
	under_pattern(window + PAGES * 4096 - (u64)window % (PAGES * 4096), advise,
		      1 + share_of(2));
}

static void write_all_pages(u8 *window)
{
	for (u64 at = 2048; at < PAGES * 4096; at += 4096)
		window[at] = 1;
}

/* A child has a copy of its own to write to, and goes. */
static void fork_once(u8 *window)
{
	in_child(window, write_all_pages);
}

TEST_TIMEOUT(pages_that_a_child_has_too, 60)
{
	u8 *window = map_memory(PAGES * 4096);

	under_pattern(window, fork_once, 1 + share_of(3));
	for (u64 page = 0; page < PAGES; page++)
		ASSERT_EQ(page < PAGES / 2 ? 0 : 0x5a, window[page * 4096 + 2048]);
}

#define KSM	"/sys/kernel/mm/ksm/"

static u64 merged, ksm_end;

static void wait_for_ksm(u8 *window)
{
	u64 shared = 0;

	while (!shared && now_ns() < ksm_end) {
		usleep(10000);
		shared = read_number(KSM "pages_sharing", "");
	}
	merged += shared;
	/* One of them is the process's own again, without the guest having written. */
	*(volatile u8 *)(window + (PAGES - 1) * 4096 + 8) = 0x5b;
	*(volatile u8 *)(window + (PAGES - 1) * 4096 + 8) = 0x5a;
}

TEST_TIMEOUT(pages_that_are_merged, 60)
{
	u8 *window = map_memory(PAGES * 4096);

	if (madvise(window, PAGES * 4096, MADV_MERGEABLE) ||
	    !write_text(KSM "pages_to_scan", "2000") || !write_text(KSM "sleep_millisecs", "1") ||
	    !write_text(KSM "run", "1"))
		SKIP(return, "the kernel has no KSM");
	merged = 0;
	/* Of all rounds: a host that is busy elsewhere may merge in the first one only. */
	ksm_end = now_ns() + 40000000000UL;
	under_pattern(window, wait_for_ksm, 2 + share_of(8));
	EXPECT_LT(0, merged);
	write_text(KSM "run", "2");
	write_text(KSM "run", "0");
}

/* ---- memory without pages, or without good ones ---- */

static void guest_read_once(void)
{
	read64(WINDOW);
	GUEST_DONE();
}

static void on_bus_error(int signal)
{
	(void)signal;
}

TEST(a_page_with_an_error_is_a_memory_exit)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_read_once);
	u8 *window = map_memory(2 * 4096);
	int error;

	madvise(window, 2 * 4096, MADV_NOHUGEPAGE);
	memset(window, 0, 2 * 4096);
	/* The process is told as well. */
	signal(SIGBUS, on_bus_error);
	error = madvise(window, 4096, MADV_HWPOISON) ? errno : 0;
	if (error == EINVAL)
		SKIP(return, "the kernel takes no pages out of use");
	ASSERT_EQ(0, error);
	ASSERT_EQ(0, vm_slot(vcpu->vm, 1, WINDOW, 2 * 4096, window, 0));
	vcpu_expect(vcpu, VMM_EXIT_MEMORY);
	EXPECT_EQ(EHWPOISON, vcpu->run->memory.error);
	EXPECT_EQ(WINDOW, vcpu->run->memory.gpa & -4096UL);
	/* Another page there, and the guest goes on. */
	if (mmap(window, 4096, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != window)
		die("mmap: %s", strerror(errno));
	vcpu_done(vcpu);
}

/* The kernel's own data for the process's clock: mapped by frame number alone. */
static u8 *find_vvar(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start = 0;
	char line[256];

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vvar]"))
			start = strtoul(line, NULL, 16);
	if (maps)
		fclose(maps);
	return (u8 *)start;
}

TEST(memory_of_the_kernels_is_read_by_frame_number)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_read_once);
	u8 *vvar = find_vvar();

	if (!vvar)
		SKIP(return, "no [vvar] in this process");
	ASSERT_EQ(0, vm_slot(vcpu->vm, 1, WINDOW, 4096, vvar, VMM_SLOT_READONLY));
	vcpu_done(vcpu);
}

#define FREE_AT		0x700UL		/* of the first page of memory, which nobody uses */

static volatile u64 device_word;

static void guest_device(void)
{
	for (;;) {
		device_word = read64(WINDOW + FREE_AT);
		GUEST_SYNC(1);
		write64(WINDOW + FREE_AT, ~device_word);
		GUEST_SYNC(2);
	}
}

static u8 *map_first_page(int flags)
{
	int fd = open("/dev/mem", O_RDWR | flags);
	u8 *page = MAP_FAILED;

	if (fd >= 0)
		page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return page == MAP_FAILED ? NULL : page;
}

/* What a driver maps has no references; with O_SYNC it is uncached. */
TEST(memory_of_a_device_is_mapped_as_long_as_the_process_maps_it)
{
	for (u32 i = 0; i < 2; i++) {
		struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_device);
		u8 *page = map_first_page(i ? O_SYNC : 0), *other;
		volatile u64 *word = (u64 *)(page + FREE_AT);
		u64 old;

		if (!page)
			SKIP(return, "no /dev/mem, or not for this");
		old = *word;
		set_audit(true);
		ASSERT_EQ(0, vm_slot(vcpu->vm, 1, WINDOW, 4096, page, 0));
		for (u64 n = 0; n < 3; n++) {
			*word = 0x1234 + n;
			vcpu_sync(vcpu, 1);
			EXPECT_EQ(0x1234 + n, guest_var(vcpu->vm, device_word));
			vcpu_sync(vcpu, 2);
			EXPECT_EQ(~(0x1234 + n), *word);
		}
		*word = old;
		/* Other memory in its place, which then is nowhere. */
		other = mmap(page, 4096, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		ASSERT_EQ(page, other);
		*word = 0x5678;
		vcpu_sync(vcpu, 1);
		EXPECT_EQ(0x5678, guest_var(vcpu->vm, device_word));
		munmap(page, 4096);
		vcpu_expect(vcpu, VMM_EXIT_MEMORY);
		EXPECT_EQ(EFAULT, vcpu->run->memory.error);
		set_audit(false);
		vm_free(vcpu->vm);
		/* No write of the guest's got there since. */
		page = map_first_page(0);
		ASSERT_NE(NULL, page);
		EXPECT_EQ(old, *(u64 *)(page + FREE_AT));
		munmap(page, 4096);
	}
}

VMM_TEST_MAIN
