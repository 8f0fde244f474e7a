// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the host does to a process's pages behind its back, or at its wish, under running
 * vCPUs: merge equal ones, move them about, copy them for a child, or give memory that has
 * no pages at all.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "lib/test.h"
#include "lib/thread.h"

#define WINDOW	GUEST_HOLE
#define PAGES	512UL

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
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

static void compact(u8 *window)
{
	const u64 size = 4UL << 20;
	u8 *holes = map_memory(size);

	/* Every second page goes: what is left has to be moved to make large blocks. */
	memset(holes, 1, size);
	for (u64 at = 0; at < size; at += 2 * 4096)
		if (madvise(holes + at, 4096, MADV_DONTNEED))
			die("MADV_DONTNEED: %s", strerror(errno));
	if (!write_text("/proc/sys/vm/compact_memory", "1"))
		die("compact_memory: %s", strerror(errno));
	munmap(holes, size);
}

TEST_TIMEOUT(pages_that_are_moved, 60)
{
	const char *moved = "pgmigrate_success ";
	u64 before = read_number("/proc/vmstat", moved);

	under_pattern(map_memory(PAGES * 4096), compact, 2 + share_of(4));
	EXPECT_LT(before, read_number("/proc/vmstat", moved));
}

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

/* A child has a copy of its own to write to, and goes. */
static void fork_once(u8 *window)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		for (u64 at = 2048; at < PAGES * 4096; at += 4096)
			window[at] = 1;
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		die("fork: %s, status %#x", strerror(errno), status);
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

/* ---- memory without pages ---- */

static void guest_read_once(void)
{
	read64(WINDOW);
	GUEST_DONE();
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

TEST(memory_without_pages_is_a_memory_exit)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_read_once);
	u8 *vvar = find_vvar();

	if (!vvar)
		SKIP(return, "no [vvar] in this process");
	ASSERT_EQ(0, vm_slot(vcpu->vm, 1, WINDOW, 4096, vvar, VMM_SLOT_READONLY));
	vcpu_expect(vcpu, VMM_EXIT_MEMORY);
	EXPECT_EQ(EFAULT, vcpu->run->memory.error);
	EXPECT_EQ(WINDOW, vcpu->run->memory.gpa & -4096UL);
	/* And once more: nothing was mapped meanwhile. */
	vcpu_expect(vcpu, VMM_EXIT_MEMORY);
}

VMM_TEST_MAIN
