// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory runs out at every place in turn: each allocation that an ioctl makes
 * fails once, the first, the second and so on. It is -ENOMEM then (or the module
 * did without), the same call works when asked again, the VM runs, and nothing
 * is lost. For kernels with fault injection; kmemleak, if there, looks on.
 */
#include <fcntl.h>

#include "lib/test.h"
#include "lib/ioctls.h"

/* More allocations than that no call makes: it would be a loop. */
#define MAX_ALLOCATIONS		400
/* kmemleak takes nothing younger than five seconds for lost. */
#define LEAK_AGE		6

static const char *const settings[] = {
	"/sys/kernel/debug/failslab/ignore-gfp-wait",
	"/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait",
	"/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem",
};

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t len = strlen(text);
	bool done = fd >= 0 && write(fd, text, len) == len;

	if (fd >= 0)
		close(fd);
	return done;
}

/* Also allocations that may sleep, and also pages; quietly. */
static bool faults_possible(void)
{
	if (access("/proc/thread-self/fail-nth", W_OK))
		return false;
	for (u32 i = 0; i < ARRAY_SIZE(settings); i++)
		if (!write_text(settings[i], "N"))
			return false;
	return write_text("/sys/kernel/debug/fail_page_alloc/min-order", "0") &&
	       write_text("/sys/kernel/debug/failslab/verbose", "0") &&
	       write_text("/sys/kernel/debug/fail_page_alloc/verbose", "0");
}

/* The calling thread's @nth allocation from now on fails; 0: none. */
static void fail_nth(int fd, u32 nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	if (pwrite(fd, text, len, 0) != len)
		die("fail-nth: %s", strerror(errno));
}

/* Ends it; whether it had come to that. */
static bool has_failed(int fd)
{
	char text[16] = { 0 };

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		die("fail-nth: %s", strerror(errno));
	fail_nth(fd, 0);
	return atoi(text) == 0;
}

static int open_fail_nth(void)
{
	int fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("fail-nth: %s", strerror(errno));
	return fd;
}

static void guest_done(void)
{
	GUEST_DONE();
}

static void subject_free(struct subject *s)
{
	vcpu_free(s->vcpu);
	vm_free(s->vm);
	munmap(s->memory, 1 << 20);
	close(s->eventfd);
	free(s->cpuid);
	free(s->msrs);
	free(s->xsave);
	free(s);
}

/* False: @nth is more than the ioctl makes. */
static bool ioctl_with_failure(struct __test_metadata *_metadata, int fd,
			       const struct ioctl_info *info, u32 nth)
{
	struct subject *s = subject_new();
	int target = subject_fd(s, info->kind), result;
	union ioctl_arg arg;
	bool failed;

	ioctl_good_arg(s, info->number, &arg);
	s->vcpu->run->immediate_exit = 1;
	fail_nth(fd, nth);
	result = vmm_call(target, info->number, &arg);
	failed = has_failed(fd);
	if (result == -ENOMEM && failed) {
		ioctl_good_arg(s, info->number, &arg);
		result = vmm_call(target, info->number, &arg);
	}
	if (result < 0 && !(info->number == VMM_RUN && result == -EINTR))
		EXPECT_EQ_FOR(0, result, "%s, allocation %u failed", info->name, nth);
	if (result > 0 && info->makes_fd)
		close(result);
	s->vcpu->run->immediate_exit = 0;
	vcpu_restart(s->vcpu, guest_done);
	vcpu_done(s->vcpu);
	subject_free(s);
	return failed;
}

TEST_TIMEOUT(every_ioctl_survives_each_failed_allocation, 110)
{
	int fd;
	u32 nth;

	if (!faults_possible())
		SKIP(return, "the kernel injects no faults");
	fd = open_fail_nth();
	for (u32 i = 0; i < ioctl_count; i++) {
		for (nth = 1; nth < MAX_ALLOCATIONS; nth++)
			if (!ioctl_with_failure(_metadata, fd, &ioctls[i], nth))
				break;
		TH_LOG("%s makes %u allocations", ioctls[i].name, nth - 1);
		EXPECT_LT(nth, MAX_ALLOCATIONS);
	}
}

/* New memory in tables of their own: each touch allocates in host and module. */
static void guest_touches(void)
{
	for (u32 i = 0; i < 4; i++)
		*(volatile u64 *)(GUEST_DATA2 + (i << 21)) = i;
	GUEST_DONE();
}

/* A failure ends VMM_RUN or is an exit; the guest goes on from there. */
static bool run_with_failure(struct __test_metadata *_metadata, int fd, u32 nth)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_touches);
	struct vmm_run *run = vcpu->run;
	bool failed;
	int result;

	vcpu_get(vcpu, &run->state, VMM_STATE_REGS);
	run->sync_in = VMM_STATE_REGS;
	fail_nth(fd, nth);
	result = vcpu_run(vcpu);
	failed = has_failed(fd);
	if (result)
		EXPECT_EQ_FOR(-ENOMEM, result, "allocation %u failed", nth);
	else if (run->exit_reason == VMM_EXIT_MEMORY)
		EXPECT_EQ_FOR(ENOMEM, run->memory.error, "allocation %u failed", nth);
	if (result || run->exit_reason == VMM_EXIT_MEMORY)
		vcpu_done(vcpu);
	else
		EXPECT_EQ_FOR(VMM_EXIT_PIO, run->exit_reason, "allocation %u failed", nth);
	vcpu_free(vcpu);
	vm_free(vm);
	return failed;
}

TEST_TIMEOUT(a_guest_survives_each_failed_allocation, 110)
{
	u32 nth = 1;
	int fd;

	if (!faults_possible())
		SKIP(return, "the kernel injects no faults");
	fd = open_fail_nth();
	while (nth < MAX_ALLOCATIONS && run_with_failure(_metadata, fd, nth))
		nth++;
	TH_LOG("VMM_RUN makes %u allocations", nth - 1);
	EXPECT_GT(nth, 10);
	EXPECT_LT(nth, MAX_ALLOCATIONS);
}

/* Of the tests above, whose processes are gone. */
TEST_TIMEOUT(kmemleak_finds_nothing, 110)
{
	static const char path[] = "/sys/kernel/debug/kmemleak";
	bool ours = false;
	char line[256];
	FILE *file;

	if (access(path, W_OK) || !write_text(path, "scan"))
		SKIP(return, "the kernel has no kmemleak");
	/* What the first scan sees changing, the second does not count. */
	sleep(LEAK_AGE);
	write_text(path, "scan");
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file)) {
		TH_LOG("%.*s", (int)strcspn(line, "\n"), line);
		ours |= !!strstr(line, "[vmm]");
	}
	EXPECT_TRUE(file);
	EXPECT_FALSE(ours);
}

VMM_TEST_MAIN
