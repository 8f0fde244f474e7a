// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A machine's vCPUs and their threads: those that are there from the start, and those that
 * come and go.
 *
 * Stopping, one or all: the flag leave or stopping is set, immediate_exit is set, the signal
 * is sent. A thread in the guest leaves it through the signal, one on its way into it sees
 * immediate_exit, one outside sees the flag: no wake-up can be lost.
 *
 * A guest ejects a CPU from another one's thread, which must not wait: the thread of the
 * ejected one resets its vCPU when it has left, marks it absent, and is joined when the CPU
 * comes again or the machine stops.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include "../lib/libvmm.h"
#include "console.h"
#include "devices/cpu_hotplug.h"
#include "machine.h"

#define KICK_SIGNAL	SIGRTMIN

/* ---- making one ---- */

/* The module's table, changed where the arrangement of the CPUs shows. */
static enum status set_topology(const struct machine *machine, struct vmm_vcpu *vcpu)
{
	struct vmm_cpuid_entry entries[VMM_MAX_CPUID];
	unsigned int count = VMM_MAX_CPUID;
	int err = vmm_vcpu_get_cpuid(vcpu, entries, &count);

	if (!err) {
		topology_cpuid(machine->spec.topology, vmm_vcpu_id(vcpu), entries, count);
		err = vmm_vcpu_set_cpuid(vcpu, entries, count);
	}
	if (!err)
		return STATUS_OK;
	complain("the module refused the CPUs' topology: %s; report this", strerror(-err));
	return STATUS_INTERNAL;
}

static enum status create_vcpu(struct machine *machine, unsigned int cpu)
{
	struct vcpu *vcpu = &machine->vcpu[cpu];
	int err = vmm_vcpu_create(machine->vm, cpu, &vcpu->handle);

	if (!err)
		return set_topology(machine, vcpu->handle);
	complain("cannot create a CPU of the guest: %s", vmm_strerror_open(err));
	return host_status(err);
}

enum status machine_create_vcpus(struct machine *machine)
{
	const unsigned int total = topology_total(machine->spec.topology);
	enum status status = STATUS_OK;

	machine->wanted = machine->spec.cpus;
	machine->vcpu = calloc(total, sizeof(*machine->vcpu));
	if (!machine->vcpu) {
		complain("no memory for the guest's CPUs; free some");
		return STATUS_HOST;
	}
	machine->vcpus = total;
	for (unsigned int i = 0; i < total; i++)
		machine->vcpu[i].machine = machine;
	for (unsigned int i = 0; !status && i < machine->spec.cpus; i++) {
		status = create_vcpu(machine, i);
		machine->vcpu[i].presence = VCPU_PRESENT;
	}
	return status;
}

void machine_destroy_vcpus(struct machine *machine)
{
	for (unsigned int i = 0; i < machine->vcpus; i++)
		vmm_vcpu_destroy(machine->vcpu[i].handle);
	free(machine->vcpu);
}

/* ---- threads ---- */

static bool place_failed(struct vcpu *vcpu, const char *what)
{
	machine_end(vcpu->machine, MACHINE_FAILED, STATUS_HOST, what);
	return false;
}

/* To the host CPU that the user named; one that is not there ends the machine. */
static bool pin_thread(struct vcpu *vcpu)
{
	const struct config_pin *pin = vcpu->machine->spec.pin;
	unsigned int i = vcpu - vcpu->machine->vcpu;
	cpu_set_t *set;
	size_t size = CPU_ALLOC_SIZE(CONFIG_HOST_CPUS_MAX);
	char what[96];
	int cpu, err;

	if (!pin)
		return true;
	cpu = pin->cpu[i % pin->count];
	set = CPU_ALLOC(CONFIG_HOST_CPUS_MAX);
	if (!set)
		return place_failed(vcpu, "no memory to pin a CPU's thread");
	CPU_ZERO_S(size, set);
	CPU_SET_S(cpu, size, set);
	err = sched_setaffinity(0, size, set);
	CPU_FREE(set);
	if (!err)
		return true;
	snprintf(what, sizeof(what), "cannot pin a CPU's thread to host CPU %d: %s; see --pin", cpu,
		 strerror(errno));
	return place_failed(vcpu, what);
}

/* As --sched says; it was asked before whether that is allowed. */
static bool schedule_thread(struct vcpu *vcpu)
{
	unsigned int i = vcpu - vcpu->machine->vcpu;
	int err = sched_apply(vcpu->machine->spec.sched, i);
	char what[96];

	if (!err)
		return true;
	snprintf(what, sizeof(what), "cannot schedule a CPU's thread so: %s; see --sched",
		 strerror(-err));
	return place_failed(vcpu, what);
}

/* The guest is done with it; so is its thread now. */
static void leave(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	int err;

	pthread_mutex_lock(&machine->vcpu_lock);
	vmm_vcpu_clear_exit(vcpu->handle);
	err = vmm_vcpu_reset(vcpu->handle);
	vcpu->presence = VCPU_ABSENT;
	pthread_mutex_unlock(&machine->vcpu_lock);
	if (err)
		machine_end(machine, MACHINE_FAILED, STATUS_INTERNAL,
			    "the module refused to reset a CPU");
}

static void *vcpu_thread(void *opaque)
{
	struct vcpu *vcpu = opaque;
	char name[16];
	sigset_t kick;

	snprintf(name, sizeof(name), "vcpu%u", vmm_vcpu_id(vcpu->handle));
	prctl(PR_SET_NAME, name);
	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);

	if (!pin_thread(vcpu) || !schedule_thread(vcpu))
		return NULL;
	vcpu_run(vcpu);
	if (atomic_load(&vcpu->leave))
		leave(vcpu);
	return NULL;
}

/* vcpu_lock is held. 0 or an errno. */
static int start(struct vcpu *vcpu)
{
	int err = pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);

	vcpu->started = !err;
	return err;
}

void vcpu_kick(struct vcpu *vcpu)
{
	vmm_vcpu_request_exit(vcpu->handle);
	pthread_kill(vcpu->thread, KICK_SIGNAL);
}

enum status machine_start(struct machine *machine)
{
	enum status status = virtio_bay_start(machine->bay);
	int err = 0;

	if (status)
		return status;
	pthread_mutex_lock(&machine->vcpu_lock);
	for (unsigned int i = 0; !err && i < machine->vcpus; i++)
		if (machine->vcpu[i].presence == VCPU_PRESENT && !machine->vcpu[i].started)
			err = start(&machine->vcpu[i]);
	pthread_mutex_unlock(&machine->vcpu_lock);
	if (!err)
		return STATUS_OK;
	machine_stop(machine);
	complain("cannot start a thread for each CPU: %s; allow more threads", strerror(err));
	return STATUS_HOST;
}

/* Tell its thread to return; false: it has none. */
static bool ask_to_stop(struct machine *machine, struct vcpu *vcpu)
{
	bool started;

	pthread_mutex_lock(&machine->vcpu_lock);
	started = vcpu->started;
	if (started)
		vcpu_kick(vcpu);
	vcpu->started = false;
	pthread_mutex_unlock(&machine->vcpu_lock);
	return started;
}

void machine_stop(struct machine *machine)
{
	/* With the lock: from here on no vCPU is started. */
	pthread_mutex_lock(&machine->vcpu_lock);
	atomic_store(&machine->stopping, true);
	pthread_mutex_unlock(&machine->vcpu_lock);
	console_release(machine->spec.console);
	for (unsigned int i = 0; i < machine->vcpus; i++)
		if (ask_to_stop(machine, &machine->vcpu[i]))
			pthread_join(machine->vcpu[i].thread, NULL);
	/* The last: a vCPU may wait for it. */
	virtio_bay_stop(machine->bay);
}

/* ---- coming and going; vcpu_lock is held ---- */

static const char *add(struct machine *machine, unsigned int cpu)
{
	struct vcpu *vcpu = &machine->vcpu[cpu];

	if (vcpu->presence == VCPU_LEAVING)
		return "a CPU is still on its way out; ask again";
	/* Its last act was to give the lock back. */
	if (vcpu->started)
		pthread_join(vcpu->thread, NULL);
	vcpu->started = false;
	if (!vcpu->handle) {
		if (create_vcpu(machine, cpu)) {
			vmm_vcpu_destroy(vcpu->handle);
			vcpu->handle = NULL;
			return "the host refused another CPU";
		}
	} else if (vmm_vcpu_reset(vcpu->handle)) {
		/* Again: a guest may send INIT to where there is nobody. */
		return "the module refused to reset a CPU";
	}
	atomic_store(&vcpu->leave, false);
	atomic_store(&vcpu->wakeup, false);
	vcpu->woken = false;
	vcpu->presence = VCPU_PRESENT;
	if (!start(vcpu))
		return NULL;
	vcpu->presence = VCPU_ABSENT;
	return "the host refused another thread";
}

/* What is to be done about @cpu so that the first @count are there. */
static const char *adjust(struct machine *machine, unsigned int cpu, unsigned int count)
{
	bool there = machine->vcpu[cpu].presence == VCPU_PRESENT;
	const char *wrong = cpu < count && !there ? add(machine, cpu) : NULL;

	if (wrong || (cpu >= count && !there) || (cpu < machine->wanted && cpu < count && there))
		return wrong;
	/* Also for one that was to leave: what the guest has not yet heard of is taken back. */
	cpu_hotplug_event(machine->env.cpu_hotplug, cpu,
			  cpu < count ? CPU_EVENT_CHECK : CPU_EVENT_EJECT);
	return NULL;
}

const char *machine_set_cpus(struct machine *machine, unsigned int count)
{
	const char *wrong = NULL;
	unsigned int done = 1;

	if (!machine->env.cpu_hotplug)
		return "the machine was started without --cpus N,max=M";
	if (!count)
		return "the first CPU stays";
	if (count > machine->vcpus)
		return "that is more than --cpus allows by max";
	pthread_mutex_lock(&machine->vcpu_lock);
	if (atomic_load(&machine->stopping))
		wrong = "the machine ends";
	while (!wrong && done < machine->vcpus) {
		wrong = adjust(machine, done, count);
		done += !wrong;
	}
	if (!wrong)
		machine->wanted = count;
	else if (done > machine->wanted)
		machine->wanted = done;
	pthread_mutex_unlock(&machine->vcpu_lock);
	return wrong;
}

/* ---- what others see ---- */

struct machine_cpus machine_get_cpus(struct machine *machine)
{
	struct machine_cpus cpus = { .max = machine->vcpus };

	pthread_mutex_lock(&machine->vcpu_lock);
	cpus.wanted = machine->wanted;
	for (unsigned int i = 0; i < machine->vcpus; i++)
		cpus.there += machine->vcpu[i].presence == VCPU_PRESENT;
	pthread_mutex_unlock(&machine->vcpu_lock);
	return cpus;
}

bool machine_cpu_is_there(void *opaque, unsigned int cpu)
{
	struct machine *machine = opaque;
	bool there;

	pthread_mutex_lock(&machine->vcpu_lock);
	there = machine->vcpu[cpu].presence == VCPU_PRESENT;
	pthread_mutex_unlock(&machine->vcpu_lock);
	return there;
}

/* A CPU that ejects itself gets as far as the end of this exit. */
void machine_cpu_eject(void *opaque, unsigned int cpu)
{
	struct machine *machine = opaque;
	struct vcpu *vcpu = &machine->vcpu[cpu];

	pthread_mutex_lock(&machine->vcpu_lock);
	/* The first one is the machine's own; one without a thread is being started. */
	if (cpu && vcpu->presence == VCPU_PRESENT && vcpu->started) {
		vcpu->presence = VCPU_LEAVING;
		atomic_store(&vcpu->leave, true);
		vcpu_kick(vcpu);
	}
	pthread_mutex_unlock(&machine->vcpu_lock);
}

/* ---- signals ---- */

/* The signal's arrival is all it is for. */
static void on_kick(int sig)
{
	(void)sig;
}

void machine_setup_signals(void)
{
	struct sigaction action = { .sa_handler = on_kick };
	sigset_t kick;

	sigaction(KICK_SIGNAL, &action, NULL);
	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	sigprocmask(SIG_BLOCK, &kick, NULL);
}
