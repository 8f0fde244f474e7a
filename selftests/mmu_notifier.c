// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The process changes its own memory under a running guest: once the system call
 * has returned, the guest has no access through the old mapping any more.
 *
 * The guest counts in a page of a slot without ever exiting. Whatever the call
 * replaced that page by, the guest's next stores must land there; and whatever
 * the process had kept of the old page must stay as it was.
 */
#include <pthread.h>
#include <signal.h>
#include <fcntl.h>

#include "lib/test.h"

#define WINDOW		GUEST_HOLE
#define HUGE		(2UL << 20)
#define WINDOW_SIZE	(2 * HUGE)
/* Of @all on a slow host: with two at least, the first after nothing has changed yet. */
#define ROUNDS(all)	(2 + share_of((all) - 2))

/* Adds 1 to the first word of every page of the window for ever. */
static void guest_count(void)
{
	for (;;) {
		for (u64 page = WINDOW; page < WINDOW + 16 * 4096; page += 4096)
			write64(page, read64(page) + 1);
		cpu_relax();
	}
}

FIXTURE(notifier) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *window;		/* 2M-aligned, WINDOW_SIZE bytes */
	pthread_t thread;
	volatile bool stop;
	volatile u32 faults;	/* VMM_EXIT_MEMORY seen */
};

static void *run_guest(void *arg)
{
	FIXTURE_DATA(notifier) *self = arg;

	while (!self->stop) {
		u32 reason = vcpu_exit(self->vcpu);

		if (reason == VMM_EXIT_MEMORY) {
			self->faults++;
			usleep(1000);
		} else if (!self->stop) {
			die("guest: expected no exit, got %s", exit_text(self->vcpu));
		}
	}
	return NULL;
}

static u8 *map_window(int flags, int fd)
{
	u8 *memory = mmap(NULL, WINDOW_SIZE + HUGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	u8 *aligned = (u8 *)(((u64)memory + HUGE - 1) & -HUGE);

	if (mmap(aligned, WINDOW_SIZE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) !=
	    aligned)
		die("mmap: %s", strerror(errno));
	return aligned;
}

#define COUNTER(page)	(*(volatile u64 *)(self->window + (page) * 4096UL))

static void start(FIXTURE_DATA(notifier) *self, u8 *window)
{
	self->window = window;
	if (vm_slot(self->vm, 1, WINDOW, WINDOW_SIZE, window, 0))
		die("VMM_SET_SLOT failed");
	if (pthread_create(&self->thread, NULL, run_guest, self))
		die("pthread_create failed");
}

/* Does the guest's count in @page still move? */
static bool counts(FIXTURE_DATA(notifier) *self, u32 page)
{
	u64 before = COUNTER(page);

	for (int i = 0; i < 10000; i++) {
		if (COUNTER(page) != before)
			return true;
		usleep(200);
	}
	return false;
}

FIXTURE_SETUP(notifier)
{
	catch_signal(SIGUSR1);
	set_audit(true);
	self->vm = vm_new();
	self->vcpu = vcpu_new(self->vm, 0, guest_count);
}

FIXTURE_TEARDOWN(notifier)
{
	self->stop = true;
	while (self->thread && pthread_tryjoin_np(self->thread, NULL)) {
		self->vcpu->run->immediate_exit = 1;
		pthread_kill(self->thread, SIGUSR1);
		usleep(1000);
	}
	set_audit(false);
}

TEST_F(notifier, dontneed_gives_zeros_and_no_stale_stores)
{
	start(self, map_window(MAP_PRIVATE | MAP_ANONYMOUS, -1));
	for (u32 i = 0; i < ROUNDS(50); i++) {
		ASSERT_TRUE(counts(self, 3));
		COUNTER(3) = 1UL << 40;
		ASSERT_EQ(0, madvise(self->window, 16 * 4096, MADV_DONTNEED));
		/* A stale mapping would go on behind 2^40, in a page we no longer have. */
		EXPECT_GT(1UL << 40, COUNTER(3));
	}
	EXPECT_EQ(0, self->faults);
}

TEST_F(notifier, munmap_and_map_again)
{
	start(self, map_window(MAP_PRIVATE | MAP_ANONYMOUS, -1));
	for (u32 i = 0; i < ROUNDS(50); i++) {
		u32 faults = self->faults;

		ASSERT_TRUE(counts(self, 5));
		ASSERT_EQ(0, munmap(self->window, HUGE));
		for (int wait = 0; wait < 5000 && self->faults == faults; wait++)
			usleep(200);
		EXPECT_NE(faults, self->faults) {
			TH_LOG("the guest still had the unmapped page");
		}
		ASSERT_EQ(self->window,
			  mmap(self->window, HUGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	}
}

TEST_F(notifier, mprotect_stops_stores)
{
	start(self, map_window(MAP_PRIVATE | MAP_ANONYMOUS, -1));
	for (u32 i = 0; i < ROUNDS(50); i++) {
		u64 before;

		ASSERT_TRUE(counts(self, 0));
		ASSERT_EQ(0, mprotect(self->window, 16 * 4096, PROT_READ));
		before = COUNTER(0);
		usleep(2000);
		EXPECT_EQ(before, COUNTER(0));
		ASSERT_EQ(0, mprotect(self->window, 16 * 4096, PROT_READ | PROT_WRITE));
	}
	EXPECT_NE(0, self->faults);
}

TEST_F(notifier, mremap_takes_the_pages_away)
{
	u8 *to = map_memory(16 * 4096);

	start(self, map_window(MAP_PRIVATE | MAP_ANONYMOUS, -1));
	for (u32 i = 0; i < ROUNDS(20); i++) {
		volatile u64 *moved = (u64 *)(to + 7 * 4096);
		u64 before;

		ASSERT_TRUE(counts(self, 7));
		ASSERT_EQ(to, mremap(self->window, 16 * 4096, 16 * 4096,
				     MREMAP_MAYMOVE | MREMAP_FIXED, to));
		before = *moved;
		EXPECT_NE(0, before);
		usleep(2000);
		EXPECT_EQ(before, *moved);
		ASSERT_EQ(self->window,
			  mmap(self->window, 16 * 4096, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	}
}

TEST_F(notifier, map_fixed_over_it)
{
	start(self, map_window(MAP_PRIVATE | MAP_ANONYMOUS, -1));
	for (u32 i = 0; i < ROUNDS(50); i++) {
		ASSERT_TRUE(counts(self, 1));
		COUNTER(1) = 1UL << 40;
		ASSERT_EQ(self->window,
			  mmap(self->window, HUGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		EXPECT_GT(1UL << 40, COUNTER(1));
	}
}

TEST_F(notifier, huge_pages_split_and_come_back)
{
	start(self, map_window(MAP_PRIVATE | MAP_ANONYMOUS, -1));
	for (u32 i = 0; i < ROUNDS(10); i++) {
		/* Kernels without THP answer EINVAL: then it is a test of 4K pages. */
		madvise(self->window, WINDOW_SIZE, MADV_HUGEPAGE);
		ASSERT_EQ(0, madvise(self->window, HUGE, MADV_DONTNEED));
		memset(self->window, 0, HUGE);
		ASSERT_TRUE(counts(self, 2));
		/* One 4K page out of the huge one. */
		COUNTER(2) = 1UL << 40;
		ASSERT_EQ(0, madvise(self->window + 2 * 4096, 4096, MADV_DONTNEED));
		EXPECT_GT(1UL << 40, COUNTER(2));
		ASSERT_TRUE(counts(self, 2));
		ASSERT_TRUE(counts(self, 3));
		madvise(self->window, WINDOW_SIZE, MADV_NOHUGEPAGE);
		ASSERT_EQ(0, mprotect(self->window + 4096, 4096, PROT_READ));
		ASSERT_EQ(0, mprotect(self->window + 4096, 4096, PROT_READ | PROT_WRITE));
		ASSERT_TRUE(counts(self, 1));
	}
}

TEST_F(notifier, a_child_sees_the_memory_of_the_fork)
{
	start(self, map_window(MAP_PRIVATE | MAP_ANONYMOUS, -1));
	for (u32 i = 0; i < ROUNDS(10); i++) {
		int status;
		pid_t pid;

		ASSERT_TRUE(counts(self, 9));
		pid = fork();
		if (!pid) {
			/* Copy on write: the guest's stores must not come through. */
			u64 before = COUNTER(9);

			usleep(5000);
			_exit(COUNTER(9) != before);
		}
		waitpid(pid, &status, 0);
		EXPECT_EQ(0, status) {
			TH_LOG("the child's copy changed under it");
		}
		EXPECT_TRUE(counts(self, 9));
	}
}

TEST_F(notifier, truncate_of_a_memfd)
{
	int fd = memfd_create("window", MFD_CLOEXEC);

	ASSERT_EQ(0, ftruncate(fd, WINDOW_SIZE));
	start(self, map_window(MAP_SHARED, fd));
	for (u32 i = 0; i < ROUNDS(20); i++) {
		u32 faults = self->faults;

		ASSERT_TRUE(counts(self, 4));
		ASSERT_EQ(0, ftruncate(fd, 0));
		for (int wait = 0; wait < 5000 && self->faults == faults; wait++)
			usleep(200);
		EXPECT_NE(faults, self->faults) {
			TH_LOG("the guest still had the truncated page");
		}
		ASSERT_EQ(0, ftruncate(fd, WINDOW_SIZE));
		EXPECT_GT(1UL << 30, COUNTER(4));
	}
}

TEST_F(notifier, a_hole_punched_into_a_memfd)
{
	int fd = memfd_create("window", MFD_CLOEXEC);

	ASSERT_EQ(0, ftruncate(fd, WINDOW_SIZE));
	start(self, map_window(MAP_SHARED, fd));
	for (u32 i = 0; i < ROUNDS(20); i++) {
		ASSERT_TRUE(counts(self, 4));
		COUNTER(4) = 1UL << 40;
		ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, HUGE));
		EXPECT_GT(1UL << 40, COUNTER(4));
	}
	EXPECT_EQ(0, self->faults);
}

TEST_F(notifier, a_private_file_mapping_is_copied_on_write)
{
	int fd = memfd_create("window", MFD_CLOEXEC);
	u64 word = 0;

	ASSERT_EQ(0, ftruncate(fd, WINDOW_SIZE));
	start(self, map_window(MAP_PRIVATE, fd));
	EXPECT_TRUE(counts(self, 6));
	ASSERT_EQ(8, pread(fd, &word, 8, 6 * 4096));
	EXPECT_EQ(0, word);
}

static volatile u64 first_read;

static void guest_zero_page(void)
{
	/* A read maps the host's zero page; the write must get a page of its own. */
	first_read = read64(WINDOW + 0x3000);
	GUEST_SYNC(1);
	write64(WINDOW + 0x3000, 0x55);
	GUEST_EQ(0x55, read64(WINDOW + 0x3000));
	GUEST_EQ(0, read64(WINDOW + 0x4000));
	GUEST_DONE();
}

TEST(the_zero_page_is_never_written)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_zero_page);
	u64 *window = map_memory(WINDOW_SIZE);

	ASSERT_EQ(0, vm_slot(vm, 1, WINDOW, WINDOW_SIZE, window, 0));
	EXPECT_EQ(0, window[0x3000 / 8]);	/* the process read first */
	vcpu_sync(vcpu, 1);
	vcpu_done(vcpu);
	EXPECT_EQ(0x55, window[0x3000 / 8]);
	EXPECT_EQ(0, window[0x4000 / 8]);
	EXPECT_EQ(0, *(u64 *)map_memory(4096));
}

VMM_TEST_MAIN
