// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A thread scribbles over the run page while another is in VMM_RUN, and over the
 * structs of other ioctls while they are read: the kernel reads each field once
 * and trusts none. The test is that the host stays well and that every answer is
 * one of the documented ones.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "lib/test.h"
#include "lib/ioctls.h"

static volatile bool stop;

static void guest_exits(void)
{
	for (;;) {
		inl(0x700);
		outb(0x80, 1);
		read8(GUEST_HOLE);
		read64(GUEST_HOLE + 8);
		cpuid(0, 0);
	}
}

static void *scribble(void *arg)
{
	u8 *page = arg;
	u64 seed = 1;

	while (!stop) {
		seed = seed * 6364136223846793005UL + 1442695040888963407UL;
		/*
		 * All of it. What would keep the guest from being entered is taken
		 * back every second time, else it stands until its byte is hit again.
		 */
		page[(seed >> 33) % VMM_RUN_SIZE] = seed >> 55;
		if (seed & 1UL << 40) {
			((struct vmm_run *)page)->sync_in = 0;
			((struct vmm_run *)page)->immediate_exit = 0;
		}
	}
	return NULL;
}

TEST(the_run_page_changes_under_vmm_run)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_exits);
	u32 ran = 0;
	pthread_t thread;
	u64 end = now_ns() + (100 + share_of(4900)) * 1000000UL;

	ASSERT_EQ(0, pthread_create(&thread, NULL, scribble, vcpu->run));
	while (now_ns() < end) {
		int result = vcpu_run(vcpu);

		ran += !result;
		if (result && result != -EINVAL)
			EXPECT_EQ_FOR(-EINTR, result, "after %u exits", ran);
		/* What was taken in may be anything: start over now and then. */
		if (!(ran & 15))
			vcpu_restart(vcpu, guest_exits);
	}
	stop = true;
	pthread_join(thread, NULL);
	EXPECT_LT(0, ran);
}

struct flip {
	u8 *bytes;
	u32 size;
};

static void *flip_bytes(void *arg)
{
	struct flip *flip = arg;
	u64 seed = 1;

	while (!stop) {
		u32 at;

		seed = seed * 6364136223846793005UL + 1442695040888963407UL;
		at = (seed >> 33) % flip->size;
		flip->bytes[at] ^= 0xff;
		flip->bytes[at] ^= 0xff;
	}
	return NULL;
}

/* What only a VM may lack is a clock of that frequency. */
static bool documented(unsigned long number, int result)
{
	return result >= 0 || result == -EINVAL || result == -E2BIG || result == -ENOSPC ||
		result == -EFAULT || result == -EBADF || result == -EEXIST ||
		result == -ENOENT || result == -EBUSY || result == -EINTR ||
		(result == -EOPNOTSUPP && number == VMM_CREATE_VM);
}

/*
 * The @n-th buffer, all alone in its 16 MiB and these in their part of the address
 * space: a pointer to it with any byte flipped points into them or nowhere, so what
 * the kernel writes through one destroys nothing of the test.
 */
#define LONELY		0x200000000000UL
#define LONELY_SIZE	(16UL << 20)

static void *lonely_buffer(u32 n)
{
	u8 *block = mmap((void *)(LONELY + n * LONELY_SIZE), LONELY_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (block == MAP_FAILED)
		die("no room at %#lx", LONELY + n * LONELY_SIZE);
	return block + LONELY_SIZE / 2;
}

TEST_TIMEOUT(arguments_change_under_their_ioctls, 60)
{
	struct subject *s = subject_new();
	union ioctl_arg *arg = map_memory(sizeof(*arg));

	s->cpuid = lonely_buffer(0);
	s->msrs = lonely_buffer(1);
	s->xsave = lonely_buffer(2);

	for (u32 i = 0; i < ioctl_count; i++) {
		struct flip flip = { (u8 *)arg, _IOC_SIZE(ioctls[i].number) };
		pthread_t thread;

		if (!flip.size)
			continue;
		ioctl_good_arg(s, ioctls[i].number, arg);
		stop = false;
		ASSERT_EQ(0, pthread_create(&thread, NULL, flip_bytes, &flip));
		for (u32 n = 0; n < share_of(500); n++) {
			int result = vmm_call(subject_fd(s, ioctls[i].kind), ioctls[i].number,
					      arg);

			if (result > 2 && ioctls[i].makes_fd)
				close(result);
			if (!documented(ioctls[i].number, result))
				EXPECT_EQ_FOR(0, result, "%s", ioctls[i].name);
		}
		stop = true;
		pthread_join(thread, NULL);
	}
}

/* The arrays behind count fields. */
TEST(tables_change_under_their_ioctls)
{
	struct subject *s = subject_new();
	union ioctl_arg arg;
	struct flip flip = { (u8 *)s->cpuid, 64 * sizeof(*s->cpuid) };
	pthread_t thread;

	ioctl_good_arg(s, VMM_SET_CPUID, &arg);
	ASSERT_EQ(0, pthread_create(&thread, NULL, flip_bytes, &flip));
	for (u32 n = 0; n < share_of(1000); n++) {
		int result = vmm_call(s->vcpu->fd, VMM_SET_CPUID, &arg);

		if (result)
			EXPECT_EQ_FOR(-EINVAL, result, "round %u", n);
	}
	stop = true;
	pthread_join(thread, NULL);
}

VMM_TEST_MAIN
