// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Every ordered pair of ioctls, with arguments that work and with zeros, on a
 * fresh VM: nothing crashes, every errno is one that the ABI names, and the VM
 * still runs its guest afterwards.
 */
#include "lib/test.h"
#include "lib/ioctls.h"

static const int allowed[] = {
	0, -EINVAL, -EEXIST, -ENOENT, -EBUSY, -ENOSPC, -E2BIG, -EBADF, -EFAULT, -EINTR,
};

static bool sane(int result)
{
	if (result > 0)
		return true;
	for (u32 i = 0; i < ARRAY_SIZE(allowed); i++)
		if (result == allowed[i])
			return true;
	return false;
}

/* Returns -errno or what the ioctl gave; closes what it made. */
static int call(struct subject *s, const struct ioctl_info *info, bool zeroed)
{
	union ioctl_arg arg;
	int result;

	if (zeroed)
		memset(&arg, 0, sizeof(arg));
	else
		ioctl_good_arg(s, info->number, &arg);
	/* The guest would fetch from a hole for ever: only its entry is wanted. */
	s->vcpu->run->immediate_exit = 1;
	result = vmm_call(subject_fd(s, info->kind), info->number, &arg);
	if (result > 0 && info->makes_fd)
		close(result);
	return result;
}

/* A slot of zeros deletes the guest's memory; a CPUID table of zeros is empty. */
static void undo_zeros(struct subject *s)
{
	struct vmm_cpuid all = { .count = VMM_MAX_CPUID, .entries = (u64)s->cpuid };

	vm_slot(s->vm, 0, 0, GUEST_MEM_SIZE, s->vm->mem, 0);
	VMM_MUST(s->vm->sys, VMM_GET_SUPPORTED_CPUID, &all);
	VMM_MUST(s->vcpu->fd, VMM_SET_CPUID, &all);
}

static void guest(void)
{
	GUEST_DONE();
}

static void pairs(struct __test_metadata *_metadata, bool first_zeroed, bool second_zeroed)
{
	/* On a slow host each is first and second in some pairs only. */
	u32 stride = ioctl_count / share_of(ioctl_count);

	for (u32 i = 0; i < ioctl_count; i++) {
		for (u32 j = i % stride; j < ioctl_count; j += stride) {
			struct subject *s = subject_new();
			int first = call(s, &ioctls[i], first_zeroed);
			int second = call(s, &ioctls[j], second_zeroed);

			if (!sane(first) || !sane(second))
				EXPECT_EQ_FOR(0, first < 0 ? first : second, "%s then %s",
					      ioctls[i].name, ioctls[j].name);
			s->vcpu->run->immediate_exit = 0;
			s->vcpu->run->sync_in = 0;
			undo_zeros(s);
			vcpu_restart(s->vcpu, guest);
			vcpu_done(s->vcpu);
			vcpu_free(s->vcpu);
			vm_free(s->vm);
			munmap(s->memory, 1 << 20);
			close(s->eventfd);
			free(s->cpuid);
			free(s->msrs);
			free(s->xsave);
			free(s);
		}
	}
}

TEST_TIMEOUT(good_then_good, 100)
{
	pairs(_metadata, false, false);
}

TEST_TIMEOUT(good_then_zero, 100)
{
	pairs(_metadata, false, true);
}

TEST_TIMEOUT(zero_then_good, 100)
{
	pairs(_metadata, true, false);
}

VMM_TEST_MAIN
