// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * CPUs that are started by ACPI's mailbox (devices/mailbox.c).
 *
 * The state of a vCPU is its own thread's to set, which waits in VMM_RUN for the INIT that
 * will not come: it is told where to begin, kicked out, and sets its state. Once: the
 * mailbox of version 0 has a CPU no second time before the machine restarts, or the CPU
 * has gone and come again.
 */
#include "../lib/libvmm.h"
#include "machine.h"

void machine_cpu_start(void *opaque, unsigned int cpu, uint64_t vector)
{
	struct machine *machine = opaque;
	struct vcpu *vcpu;

	if (cpu >= machine->vcpus)
		return;
	vcpu = &machine->vcpu[cpu];
	pthread_mutex_lock(&machine->vcpu_lock);
	if (vcpu->presence == VCPU_PRESENT && vcpu->started && !vcpu->woken) {
		vcpu->woken = true;
		vcpu->wakeup_vector = vector;
		atomic_store(&vcpu->wakeup, true);
		vcpu_kick(vcpu);
	}
	pthread_mutex_unlock(&machine->vcpu_lock);
}

bool vcpu_wake_up(struct vcpu *vcpu)
{
	struct vmm_state state = { .mask = VMM_STATE_EVENTS };

	if (!atomic_exchange(&vcpu->wakeup, false))
		return false;
	/* Before the caller looks whether it has to stop: no other kick is lost. */
	vmm_vcpu_clear_exit(vcpu->handle);
	/* One that runs has been started by other means. */
	if (vmm_vcpu_get_state(vcpu->handle, &state) ||
	    (state.events.mp_state != VMM_MP_WAIT_INIT &&
	     state.events.mp_state != VMM_MP_WAIT_SIPI))
		return true;
	boot_wakeup_state(vcpu->wakeup_vector, &state);
	/* A vector that is no address is the guest's mistake: its CPU stays where it is. */
	vmm_vcpu_set_state(vcpu->handle, &state);
	return true;
}
