/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU in a thread of its own, for tests that act while it runs.
 *
 * runner_start() runs it until GUEST_DONE(); any other exit but GUEST_SYNC()
 * ends the test. runner_stop() ends it wherever it is.
 */
#ifndef SELFTESTS_THREAD_H
#define SELFTESTS_THREAD_H

#include <pthread.h>

#include "vm.h"

struct runner {
	struct vcpu *vcpu;
	pthread_t thread;
	volatile pid_t tid;
	volatile bool stop;
	volatile bool done;		/* the guest said GUEST_DONE() */
	volatile u32 synced;		/* value of the last GUEST_SYNC() */
	volatile u32 syncs;		/* how many */
};

/* SIGUSR1 is the runner's. */
void runner_start(struct runner *runner, struct vcpu *vcpu);
void runner_stop(struct runner *runner);
/* Wait for GUEST_DONE(); the test fails after @seconds. */
void runner_join(struct runner *runner, u32 seconds);
/* Wait until the guest's last sync was @value. */
void runner_wait_sync(struct runner *runner, u32 value, u32 seconds);
/* Wait until the vCPU's thread sleeps in the kernel: the guest halts. */
void runner_wait_asleep(struct runner *runner, u32 seconds);

#endif
