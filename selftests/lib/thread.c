// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs a vCPU in a thread; see thread.h.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"
#include "thread.h"

static void *run(void *arg)
{
	struct runner *runner = arg;

	runner->tid = syscall(SYS_gettid);
	while (!runner->stop) {
		u32 value;

		vcpu_exit(runner->vcpu);
		if (runner->stop)
			break;
		if (!vcpu_synced(runner->vcpu, &value))
			die("vCPU %u: expected a sync, got %s", runner->vcpu->id,
			    exit_text(runner->vcpu));
		if (value == GUEST_DONE_VALUE) {
			runner->done = true;
			break;
		}
		runner->synced = value;
		__atomic_add_fetch(&runner->syncs, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

void runner_start(struct runner *runner, struct vcpu *vcpu)
{
	*runner = (struct runner){ .vcpu = vcpu };
	catch_signal(SIGUSR1);
	if (pthread_create(&runner->thread, NULL, run, runner))
		die("pthread_create failed");
}

void runner_stop(struct runner *runner)
{
	runner->stop = true;
	while (pthread_tryjoin_np(runner->thread, NULL)) {
		runner->vcpu->run->immediate_exit = 1;
		pthread_kill(runner->thread, SIGUSR1);
		usleep(1000);
	}
	runner->vcpu->run->immediate_exit = 0;
}

static void die_stuck(struct runner *runner, u32 seconds)
{
	struct vmm_state state;
	u32 irr = 0, isr = 0;

	vcpu_get(runner->vcpu, &state, VMM_STATE_REGS | VMM_STATE_EVENTS | VMM_STATE_LAPIC);
	for (u32 i = 0; i < 8; i++) {
		irr |= state.lapic.regs[APIC_IRR / 16 + i];
		isr |= state.lapic.regs[APIC_ISR / 16 + i];
	}
	fprintf(stderr, "# rip %#llx rflags %#llx mp_state %u shadow %u irr %#x isr %#x tpr %#x\n",
		state.regs.rip, state.regs.rflags, state.events.mp_state, state.events.shadow,
		irr, isr, state.lapic.regs[APIC_TPR / 16]);
	die("vCPU %u: expected the guest to be done in %u s; its last sync was %#x",
	    runner->vcpu->id, seconds, runner->synced);
}

void runner_join(struct runner *runner, u32 seconds)
{
	u64 end = now_ns() + seconds * 1000000000UL;

	while (!runner->done) {
		if (now_ns() > end) {
			runner_stop(runner);
			die_stuck(runner, seconds);
		}
		usleep(1000);
	}
	pthread_join(runner->thread, NULL);
}

void runner_wait_sync(struct runner *runner, u32 value, u32 seconds)
{
	u64 end = now_ns() + seconds * 1000000000UL;

	while (runner->synced != value) {
		if (now_ns() > end)
			die("vCPU %u: expected sync %#x in %u s, last was %#x",
			    runner->vcpu->id, value, seconds, runner->synced);
		usleep(500);
	}
}

void runner_wait_asleep(struct runner *runner, u32 seconds)
{
	u64 end = now_ns() + seconds * 1000000000UL;
	char path[64], line[256], *state;
	u32 asleep = 0;

	while (asleep < 5) {
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%d/stat", runner->tid);
		file = fopen(path, "r");
		if (file && fgets(line, sizeof(line), file)) {
			state = strrchr(line, ')');
			asleep = state && state[2] == 'S' ? asleep + 1 : 0;
		}
		if (file)
			fclose(file);
		if (now_ns() > end)
			die("vCPU %u: expected its thread to sleep in %u s",
			    runner->vcpu->id, seconds);
		usleep(1000);
	}
}
