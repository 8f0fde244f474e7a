// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * CPUs that come and go (runner/vcpus.c): who is there, who hears of it, which threads run,
 * and what a guest can do that ejects as it likes. The module is a table of flags here.
 */
/* unit-sources: ../runner/vcpus.c */
/* unit-flags: -D_GNU_SOURCE */
/* unit-libs: -lpthread */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tap.h"
#include "../lib/libvmm.h"
#include "../runner/devices/cpu_hotplug.h"
#include "../runner/machine.h"
#include "machine_world.h"

#define CPUS		4
#define PATIENCE	5000	/* of a ms */

struct vmm_vcpu {
	unsigned int id;
	atomic_int kicked, running, resets;
	atomic_bool ejects_itself;
};

static struct vmm_vcpu vcpus[CPUS];
static enum cpu_event heard[CPUS];
static unsigned int created, refuse_from = CPUS;
static int reset_result;
static atomic_int ended;

/* ---- in place of the module and of the other files ---- */

int vmm_vcpu_create(struct vmm *vm, unsigned int id, struct vmm_vcpu **vcpu)
{
	(void)vm;
	if (id >= refuse_from)
		return -ENOMEM;
	created++;
	vcpus[id].id = id;
	*vcpu = &vcpus[id];
	return 0;
}

int vmm_vcpu_get_cpuid(struct vmm_vcpu *vcpu, struct vmm_cpuid_entry *entries,
		       unsigned int *count)
{
	(void)vcpu;
	(void)entries;
	*count = 0;
	return 0;
}

int vmm_vcpu_set_cpuid(struct vmm_vcpu *vcpu, const struct vmm_cpuid_entry *entries,
		       unsigned int count)
{
	(void)vcpu;
	(void)entries;
	(void)count;
	return 0;
}

void topology_cpuid(const struct topology *topology, uint32_t apic_id,
		    struct vmm_cpuid_entry *entries, unsigned int count)
{
	(void)topology;
	(void)apic_id;
	(void)entries;
	(void)count;
}

unsigned int vmm_vcpu_id(const struct vmm_vcpu *vcpu)
{
	return vcpu->id;
}

void vmm_vcpu_request_exit(struct vmm_vcpu *vcpu)
{
	atomic_fetch_add(&vcpu->kicked, 1);
}

void vmm_vcpu_clear_exit(struct vmm_vcpu *vcpu)
{
	atomic_store(&vcpu->kicked, 0);
}

int vmm_vcpu_reset(struct vmm_vcpu *vcpu)
{
	if (atomic_load(&vcpu->running))
		return -EBUSY;
	atomic_fetch_add(&vcpu->resets, 1);
	return reset_result;
}

const char *vmm_strerror_open(int err)
{
	return strerror(-err);
}

enum status host_status(int err)
{
	(void)err;
	return STATUS_HOST;
}

void complain(const char *fmt, ...)
{
	(void)fmt;
}

void machine_end(struct machine *machine, enum machine_end_kind kind, int status,
		 const char *reason)
{
	(void)machine;
	(void)kind;
	(void)status;
	(void)reason;
	atomic_fetch_add(&ended, 1);
}

void cpu_hotplug_event(struct cpu_hotplug *hotplug, unsigned int cpu, enum cpu_event event)
{
	(void)hotplug;
	heard[cpu] = event;
}

/* A guest that runs until somebody wants its thread back. */
void vcpu_run(struct vcpu *vcpu)
{
	struct vmm_vcpu *handle = vcpu->handle;

	atomic_store(&handle->running, 1);
	while (!atomic_load(&vcpu->machine->stopping) && !atomic_load(&vcpu->leave)) {
		if (atomic_exchange(&handle->ejects_itself, false))
			machine_cpu_eject(vcpu->machine, handle->id);
		while (!atomic_load(&handle->kicked) && !atomic_load(&handle->ejects_itself))
			usleep(100);
	}
	atomic_store(&handle->running, 0);
}

/* ---- the machine ---- */

static struct machine machine;
static const struct topology topology = { .cpus = 1, .max = CPUS };

static void begin(void)
{
	memset(vcpus, 0, sizeof(vcpus));
	memset(heard, 0, sizeof(heard));
	machine = (struct machine) { .spec.cpus = 1, .spec.topology = &topology };
	/* Only whether there is one counts. */
	machine.env.cpu_hotplug = (struct cpu_hotplug *)&machine;
	pthread_mutex_init(&machine.vcpu_lock, NULL);
	is(machine_create_vcpus(&machine), STATUS_OK, "a machine with one CPU of %u", CPUS);
	is(machine_start(&machine), STATUS_OK, "starts");
}

static void end(void)
{
	machine_stop(&machine);
	machine_destroy_vcpus(&machine);
	pthread_mutex_destroy(&machine.vcpu_lock);
}

static void is_cpus(unsigned int there, unsigned int wanted, const char *when)
{
	struct machine_cpus cpus = machine_get_cpus(&machine);

	is(cpus.there, there, "%s: CPUs there", when);
	is(cpus.wanted, wanted, "%s: CPUs wanted", when);
	is(cpus.max, CPUS, "%s: CPUs that can be", when);
}

static bool within(const atomic_int *value, int want)
{
	for (int i = 0; i < PATIENCE; i++) {
		if (atomic_load(value) == want)
			return true;
		usleep(1000);
	}
	return false;
}

static bool refused(unsigned int count)
{
	return machine_set_cpus(&machine, count);
}

/* One that leaves cannot come at once. */
static const char *set_cpus_soon(unsigned int count)
{
	const char *wrong = machine_set_cpus(&machine, count);

	for (int i = 0; wrong && i < PATIENCE; i++) {
		usleep(1000);
		wrong = machine_set_cpus(&machine, count);
	}
	return wrong;
}

static void test_coming(void)
{
	begin();
	is_cpus(1, 1, "at the start");
	ok(within(&vcpus[0].running, 1), "the first runs");
	is(created, 1, "no other has been made");
	ok(!machine_set_cpus(&machine, 3), "three CPUs");
	is_cpus(3, 3, "three CPUs");
	ok(heard[1] == CPU_EVENT_CHECK && heard[2] == CPU_EVENT_CHECK && !heard[3],
	   "the guest hears of two");
	ok(within(&vcpus[1].running, 1) && within(&vcpus[2].running, 1), "they run");
	ok(!machine_cpu_is_there(&machine, 3), "the fourth is not there");
	heard[1] = CPU_EVENT_NONE;
	ok(!machine_set_cpus(&machine, 3), "the same again");
	is(heard[1], CPU_EVENT_NONE, "is no news");
	ok(refused(0), "none is refused");
	ok(refused(CPUS + 1), "more than can be are refused");
	is_cpus(3, 3, "after that");
	end();
	is(atomic_load(&vcpus[2].running), 0, "all threads have ended");
}

static void test_going(void)
{
	begin();
	ok(!machine_set_cpus(&machine, 3), "three CPUs");
	ok(!machine_set_cpus(&machine, 1), "one is enough");
	ok(heard[1] == CPU_EVENT_EJECT && heard[2] == CPU_EVENT_EJECT, "the guest is asked");
	is_cpus(3, 1, "before it answers");
	ok(!machine_set_cpus(&machine, 2), "two are");
	is(heard[1], CPU_EVENT_CHECK, "what it was asked is taken back");
	is(heard[2], CPU_EVENT_EJECT, "for one of them");
	machine_cpu_eject(&machine, 2);
	ok(!machine_cpu_is_there(&machine, 2), "ejected: it is not there any more");
	is_cpus(2, 2, "after that");
	ok(within(&vcpus[2].running, 0) && within(&vcpus[2].resets, 1),
	   "its thread leaves and resets it");
	ok(!set_cpus_soon(4), "it comes again, with another");
	ok(within(&vcpus[2].running, 1) && within(&vcpus[3].running, 1), "both run");
	is(atomic_load(&vcpus[2].resets), 2, "reset once more");
	is_cpus(4, 4, "at last");
	end();
}

static void test_as_it_likes(void)
{
	begin();
	ok(!machine_set_cpus(&machine, CPUS), "all CPUs");
	machine_cpu_eject(&machine, 0);
	ok(machine_cpu_is_there(&machine, 0), "the first one stays");
	machine_cpu_eject(&machine, 1);
	machine_cpu_eject(&machine, 1);
	ok(within(&vcpus[1].resets, 1), "one that is ejected twice goes once");
	machine_cpu_eject(&machine, 1);
	is(atomic_load(&vcpus[1].resets), 1, "and not again");
	ok(within(&vcpus[2].running, 1), "a third runs");
	atomic_store(&vcpus[2].ejects_itself, true);
	ok(within(&vcpus[2].resets, 1), "it ejects itself");
	is_cpus(2, CPUS, "what is left");
	ok(!set_cpus_soon(CPUS), "they come back");
	is_cpus(CPUS, CPUS, "all");
	machine_cpu_eject(&machine, 3);
	end();
	ok(refused(1), "a machine that has ended takes none");
	is(atomic_load(&ended), 0, "nothing of this ended the machine");
}

static void test_refused(void)
{
	begin();
	refuse_from = 2;
	ok(refused(CPUS), "the host refuses the third CPU");
	is_cpus(2, 2, "the second is there");
	refuse_from = CPUS;
	ok(!machine_set_cpus(&machine, CPUS), "later it does not");
	is_cpus(CPUS, CPUS, "then");
	reset_result = -EIO;
	machine_cpu_eject(&machine, 1);
	ok(within(&ended, 1), "a vCPU that cannot be reset ends the machine");
	reset_result = 0;
	end();
}

static void test_without(void)
{
	begin();
	machine.env.cpu_hotplug = NULL;
	ok(refused(1), "without max= nothing comes or goes");
	end();
}

int main(void)
{
	machine_setup_signals();
	test_coming();
	test_going();
	test_as_it_likes();
	test_refused();
	test_without();
	return tap_end();
}
