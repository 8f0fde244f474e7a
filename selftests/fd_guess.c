// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A thread guesses the next fds and closes, dups and uses them while another
 * thread is inside the ioctls that make them: no object may be used that has lost
 * its last reference.
 */
#include <pthread.h>
#include <fcntl.h>

#include "lib/test.h"

#define ROUNDS	share_of(2000)
#define GUESSES	12

static volatile bool stop;

static void *guess(void *arg)
{
	int lowest = *(int *)arg;
	struct vmm_clock clock = { 0 };
	struct vmm_create_vcpu vcpu = { 0 };

	while (!stop) {
		for (int fd = lowest; fd < lowest + GUESSES; fd++) {
			vmm_call(fd, VMM_GET_CLOCK, &clock);
			vmm_call(fd, VMM_CREATE_VCPU, &vcpu);
			vmm_call(fd, VMM_NMI, NULL);
			close(dup(fd));
			close(fd);
		}
	}
	return NULL;
}

TEST_TIMEOUT(closing_guessed_fds_of_vms_and_vcpus, 240)
{
	int sys = open_vmm(), lowest = dup(sys);
	u32 made = 0, vcpus = 0;
	pthread_t thread;

	close(lowest);
	ASSERT_EQ(0, pthread_create(&thread, NULL, guess, &lowest));
	for (int i = 0; i < ROUNDS; i++) {
		struct vmm_create_vm vm_args = { 0 };
		struct vmm_create_vcpu vcpu_args = { .id = i % 200 };
		int vm = vmm_call(sys, VMM_CREATE_VM, &vm_args), vcpu;

		if (vm < 0)
			continue;
		made++;
		vcpu = vmm_call(vm, VMM_CREATE_VCPU, &vcpu_args);
		if (vcpu >= 0) {
			vcpus++;
			close(vcpu);
		} else if (vcpu != -EBADF && vcpu != -EEXIST && vcpu != -ENOTTY) {
			EXPECT_EQ_FOR(-EBADF, vcpu, "round %d", i);
		}
		close(vm);
	}
	stop = true;
	pthread_join(thread, NULL);
	/* Most rounds have to get that far, or nothing was tried. */
	EXPECT_LT(ROUNDS / 2, made);
	EXPECT_LT(0, vcpus);
}

VMM_TEST_MAIN
