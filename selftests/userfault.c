// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory whose pages a thread of the process supplies (userfaultfd): a vCPU that waits
 * for a page that does not come is not lost. Any signal ends VMM_RUN, and when the page
 * is there the guest goes on as if nothing had been.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "lib/test.h"
#include "lib/thread.h"

#define WINDOW		GUEST_HOLE	/* guest-physical; the four pages */
#define PAGE		4096UL
#define PAGES		4UL
#define TABLE		(WINDOW + 0x2000)	/* the third becomes a table of the guest */
#define BEHIND_TABLE	(1UL << 39)
#define VALUE		0x1122334455667788UL
#define MSR_STEAL	0x4b564d03
#define STEAL_AREA	GUEST_DATA
#define PREEMPTED_AT	16	/* of a steal area; its bits: */
#define PREEMPTED	1
#define FLUSH_TLB	2

struct uffd {
	int fd;
	u8 *memory;
};

static struct uffd uffd_new(u64 mode)
{
	struct uffd uffd = { .fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK) };
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = mode };

	if (uffd.fd < 0 || ioctl(uffd.fd, UFFDIO_API, &api))
		die("userfaultfd: %s", strerror(errno));
	uffd.memory = map_memory(PAGES * PAGE);
	reg.range.start = (u64)uffd.memory;
	reg.range.len = PAGES * PAGE;
	/* Pages that are there are what can be protected. */
	if (mode == UFFDIO_REGISTER_MODE_WP)
		memset(uffd.memory, 0, PAGES * PAGE);
	if (ioctl(uffd.fd, UFFDIO_REGISTER, &reg))
		die("UFFDIO_REGISTER: %s", strerror(errno));
	return uffd;
}

/* The page that somebody waits for, within so many seconds. */
static u64 wait_for_fault(const struct uffd *uffd, u32 seconds)
{
	struct pollfd poll_fd = { .fd = uffd->fd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&poll_fd, 1, seconds * 1000) != 1)
		die("expected a fault in %u s", seconds);
	if (read(uffd->fd, &msg, sizeof(msg)) != sizeof(msg) || msg.event != UFFD_EVENT_PAGEFAULT)
		die("no fault to read");
	return (msg.arg.pagefault.address - (u64)uffd->memory) / PAGE;
}

static void supply(const struct uffd *uffd, u64 page, u64 first)
{
	u64 *source = map_memory(PAGE);
	struct uffdio_copy copy = {
		.dst = (u64)uffd->memory + page * PAGE,
		.src = (u64)source,
		.len = PAGE,
	};

	source[0] = first;
	if (ioctl(uffd->fd, UFFDIO_COPY, &copy))
		die("UFFDIO_COPY: %s", strerror(errno));
	munmap(source, PAGE);
}

static void protect(const struct uffd *uffd, u64 page, u64 mode)
{
	struct uffdio_writeprotect args = {
		.range = { .start = (u64)uffd->memory + page * PAGE, .len = PAGE },
		.mode = mode,
	};

	if (ioctl(uffd->fd, UFFDIO_WRITEPROTECT, &args))
		die("UFFDIO_WRITEPROTECT: %s", strerror(errno));
}

/* ---- a vCPU that counts what ends its VMM_RUN ---- */

struct waiter {
	struct vcpu *vcpu;
	pthread_t thread;
	volatile u32 interrupted;	/* VMM_RUN said -EINTR */
	volatile bool done;
};

static void *wait_in_guest(void *arg)
{
	struct waiter *waiter = arg;
	u32 value;
	int r;

	for (;;) {
		r = vcpu_run(waiter->vcpu);
		if (r == -EINTR) {
			waiter->interrupted++;
			continue;
		}
		if (r || !vcpu_synced(waiter->vcpu, &value) || value != GUEST_DONE_VALUE)
			die("VMM_RUN: %d, %s", r, exit_text(waiter->vcpu));
		waiter->done = true;
		return NULL;
	}
}

static void waiter_start(struct waiter *waiter, const struct uffd *uffd, void (*guest)(void))
{
	struct vm *vm = vm_new();

	*waiter = (struct waiter){ .vcpu = vcpu_new(vm, 0, guest) };
	if (vm_slot(vm, 1, WINDOW, PAGES * PAGE, uffd->memory, 0))
		die("VMM_SET_SLOT failed");
	catch_signal(SIGUSR1);
	if (pthread_create(&waiter->thread, NULL, wait_in_guest, waiter))
		die("pthread_create failed");
}

/* It waits for @page; a signal gets it out, and it comes back to wait, some times. */
static void interrupt_wait(struct waiter *waiter, const struct uffd *uffd, u64 page)
{
	for (u32 round = 0; round < 3; round++) {
		const u64 end = now_ns() + 20 * 1000000000UL;
		const u32 before = waiter->interrupted;
		const u64 faulted = wait_for_fault(uffd, 20);

		if (faulted != page)
			die("expected a fault on page %lu, got page %lu", page, faulted);
		while (waiter->interrupted == before) {
			if (now_ns() > end)
				die("expected the signal to end VMM_RUN on page %lu", page);
			pthread_kill(waiter->thread, SIGUSR1);
			usleep(2000);
		}
	}
}

static void waiter_join(struct __test_metadata *_metadata, struct waiter *waiter)
{
	ASSERT_EQ(0, pthread_join(waiter->thread, NULL));
	EXPECT_TRUE(waiter->done);
	EXPECT_LE(3, waiter->interrupted);
}

/* ---- what is waited for ---- */

static void guest_reads(void)
{
	GUEST_EQ(VALUE, read64(WINDOW));
	GUEST_DONE();
}

TEST(a_signal_ends_the_wait_for_a_page_that_is_read)
{
	struct uffd uffd = uffd_new(UFFDIO_REGISTER_MODE_MISSING);
	struct waiter waiter;

	waiter_start(&waiter, &uffd, guest_reads);
	interrupt_wait(&waiter, &uffd, 0);
	supply(&uffd, 0, VALUE);
	waiter_join(_metadata, &waiter);
}

static void guest_writes(void)
{
	write64(WINDOW + PAGE + 8, VALUE);
	GUEST_EQ(VALUE, read64(WINDOW + PAGE + 8));
	GUEST_EQ(1, read64(WINDOW + PAGE));
	GUEST_DONE();
}

TEST(a_signal_ends_the_wait_for_a_page_that_is_written)
{
	struct uffd uffd = uffd_new(UFFDIO_REGISTER_MODE_MISSING);
	struct waiter waiter;

	waiter_start(&waiter, &uffd, guest_writes);
	interrupt_wait(&waiter, &uffd, 1);
	supply(&uffd, 1, 1);
	waiter_join(_metadata, &waiter);
	EXPECT_EQ(VALUE, *(u64 *)(uffd.memory + PAGE + 8));
}

static void guest_walks(void)
{
	/* CR3 was not loaded since: what is absent no TLB holds. */
	write64(GUEST_PML4 + 8, TABLE | PTE_P | PTE_W | PTE_U);
	write64(GUEST_DATA, VALUE);
	GUEST_EQ(VALUE, read64(BEHIND_TABLE + GUEST_DATA));
	GUEST_DONE();
}

TEST(a_signal_ends_the_wait_for_a_page_of_the_guests_tables)
{
	struct uffd uffd = uffd_new(UFFDIO_REGISTER_MODE_MISSING);
	struct waiter waiter;

	waiter_start(&waiter, &uffd, guest_walks);
	interrupt_wait(&waiter, &uffd, 2);
	/* To the first page directory that is there already. */
	supply(&uffd, 2, (GUEST_PML4 + 2 * PAGE) | PTE_P | PTE_W | PTE_U);
	waiter_join(_metadata, &waiter);
	/* The guest's CPU set the accessed bit in the page that came late. */
	EXPECT_TRUE(*(u64 *)(uffd.memory + 2 * PAGE) & PTE_A);
}

static void guest_writes_protected(void)
{
	GUEST_EQ(0, read64(WINDOW + 3 * PAGE));
	write64(WINDOW + 3 * PAGE, VALUE);
	GUEST_EQ(VALUE, read64(WINDOW + 3 * PAGE));
	GUEST_DONE();
}

TEST(a_signal_ends_the_wait_for_the_right_to_write)
{
	struct uffd uffd = uffd_new(UFFDIO_REGISTER_MODE_WP);
	struct waiter waiter;

	protect(&uffd, 3, UFFDIO_WRITEPROTECT_MODE_WP);
	waiter_start(&waiter, &uffd, guest_writes_protected);
	interrupt_wait(&waiter, &uffd, 3);
	EXPECT_EQ(0, *(u64 *)(uffd.memory + 3 * PAGE));
	protect(&uffd, 3, 0);
	waiter_join(_metadata, &waiter);
	EXPECT_EQ(VALUE, *(u64 *)(uffd.memory + 3 * PAGE));
}

/* ---- a flush of the TLB that another vCPU leaves for one that waits ---- */

static volatile u64 seen_before, seen_after;

static void guest_waits_for_a_flush(void)
{
	volatile u64 *there = (void *)GUEST_DATA2;

	there[0] = 1;
	there[0x200000 / 8] = 2;
	wrmsr(MSR_STEAL, STEAL_AREA | 1);
	seen_before = *there;
	read64(WINDOW);
	/* The host moved the page meanwhile. */
	seen_after = *there;
	GUEST_DONE();
}

static void wait_until_away(volatile u8 *preempted)
{
	const u64 end = now_ns() + 20 * 1000000000UL;

	while (*preempted != PREEMPTED)
		if (now_ns() > end)
			die("expected the vCPU to be away, the area says %u", *preempted);
}

/* Its thread is away once more before it enters: the area says so anew. */
TEST(a_flush_that_was_left_outlives_a_second_wait)
{
	struct uffd uffd = uffd_new(UFFDIO_REGISTER_MODE_MISSING);
	struct uffdio_range range = { .start = (u64)uffd.memory, .len = PAGE };
	struct waiter waiter;
	volatile u8 *preempted;
	u64 *pd;

	waiter_start(&waiter, &uffd, guest_waits_for_a_flush);
	preempted = (u8 *)vm_ptr(waiter.vcpu->vm, STEAL_AREA) + PREEMPTED_AT;
	pd = vm_ptr(waiter.vcpu->vm, GUEST_PML4 + 2 * PAGE);
	ASSERT_EQ(0, wait_for_fault(&uffd, 20));
	wait_until_away(preempted);
	pd[GUEST_DATA2 >> 21] = pd[(GUEST_DATA2 >> 21) + 1];
	__atomic_fetch_or(preempted, FLUSH_TLB, __ATOMIC_SEQ_CST);
	ASSERT_EQ(0, ioctl(uffd.fd, UFFDIO_WAKE, &range));
	ASSERT_EQ(0, wait_for_fault(&uffd, 20));
	wait_until_away(preempted);
	supply(&uffd, 0, 0);
	pthread_join(waiter.thread, NULL);
	EXPECT_EQ(1, guest_var(waiter.vcpu->vm, seen_before));
	EXPECT_EQ(2, guest_var(waiter.vcpu->vm, seen_after));
}

VMM_TEST_MAIN
