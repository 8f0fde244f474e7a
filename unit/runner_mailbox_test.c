// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ACPI's mailbox (runner/devices/mailbox.c): whom a command starts and where, what reads
 * back; and what a vCPU makes of it that waits, runs, or is told a second time
 * (runner/wakeup.c). The machine's lock and kick are real, the module is one state.
 */
/* unit-sources: ../runner/devices/mailbox.c ../runner/wakeup.c */
/* unit-sources: ../runner/boot/cpu.c ../runner/bus.c */
/* unit-flags: -D_GNU_SOURCE */
/* unit-libs: -lpthread */
#include <stdlib.h>
#include <string.h>
#include "tap.h"
#include "../lib/libvmm.h"
#include "../runner/devices/device.h"
#include "../runner/layout.h"
#include "../runner/machine.h"

#define COMMAND	0
#define APIC_ID	4
#define VECTOR	8
#define CPUS	3
#define WHERE	0x9a000ULL

static struct bus bus;
static struct machine machine;
static unsigned int kicked, cleared, states_set;
static struct vmm_state vcpu_state;
static uint8_t low[LAYOUT_HIGH];

/* ---- in place of the module, and of the machine's other files ---- */

int vmm_vcpu_get_state(struct vmm_vcpu *vcpu, struct vmm_state *state)
{
	(void)vcpu;
	*state = vcpu_state;
	return 0;
}

int vmm_vcpu_set_state(struct vmm_vcpu *vcpu, const struct vmm_state *state)
{
	(void)vcpu;
	states_set++;
	vcpu_state = *state;
	return 0;
}

void vmm_vcpu_clear_exit(struct vmm_vcpu *vcpu)
{
	(void)vcpu;
	cleared++;
}

void vcpu_kick(struct vcpu *vcpu)
{
	kicked |= 1U << (vcpu - machine.vcpu);
}

enum status boot_place(const struct ram *ram, const char *what, uint64_t gpa, uint64_t len,
		       void **to)
{
	(void)ram;
	(void)what;
	*to = low + gpa;
	return gpa + len <= sizeof(low) ? STATUS_OK : STATUS_INTERNAL;
}

/* ---- tests ---- */

static void put(uint64_t offset, unsigned int size, uint64_t value)
{
	bus_write(&bus, LAYOUT_MAILBOX + offset, size, value);
}

static uint64_t get(uint64_t offset, unsigned int size)
{
	return bus_read(&bus, LAYOUT_MAILBOX + offset, size);
}

static void start(uint32_t cpu, uint64_t vector)
{
	kicked = 0;
	put(APIC_ID, 4, cpu);
	put(VECTOR, 8, vector);
	put(COMMAND, 2, 1);
}

static void test_device(void)
{
	is(get(COMMAND, 2), 0, "no command at first");
	put(APIC_ID, 4, 1);
	put(VECTOR, 8, WHERE);
	is(kicked, 0, "an id and a vector start nothing");
	put(COMMAND, 2, 2);
	is(kicked, 0, "nor does a command that version 0 has not");
	is(get(COMMAND, 2), 2, "which nobody acknowledges");
	put(COMMAND, 2, 1);
	is(kicked, 1 << 1, "the command starts the CPU of that id");
	is(get(COMMAND, 2), 0, "and is acknowledged at once");
	is(get(APIC_ID, 4), 1, "the id can be read");
	is(get(VECTOR, 8), WHERE, "and the vector");
	is(machine.vcpu[1].wakeup_vector, WHERE, "where it is to begin");
	put(0x7f8, 8, 0x123456789abcdef);
	is(get(0x7fc, 4), 0x1234567, "the rest of the page is memory");
	start(1, 0x1000);
	is(kicked, 0, "a second command for the same CPU is without effect");
	is(machine.vcpu[1].wakeup_vector, WHERE, "also on where it begins");
	start(CPUS, 0x1000);
	start(UINT32_MAX, 0x1000);
	is(kicked, 0, "a CPU that there is not is not started");
	machine.vcpu[2].presence = VCPU_ABSENT;
	start(2, 0x1000);
	is(kicked, 0, "nor one that is absent");
	/* As a 32-bit kernel writes it. */
	machine.vcpu[2].presence = VCPU_PRESENT;
	kicked = 0;
	put(APIC_ID, 4, 2);
	put(VECTOR, 4, 0x5000);
	put(VECTOR + 4, 4, 0x1);
	put(COMMAND, 1, 1);
	is(kicked, 1 << 2, "the parts may come in parts");
	is(machine.vcpu[2].wakeup_vector, 0x100005000, "of the vector, too");
}

static void test_wake_up(void)
{
	struct vcpu *vcpu = &machine.vcpu[1];

	vcpu_state.events.mp_state = VMM_MP_WAIT_INIT;
	ok(vcpu_wake_up(vcpu), "a vCPU that was kicked for it wakes up");
	is(cleared, 1, "and will enter the guest");
	is(states_set, 1, "its state is set");
	is(vcpu_state.regs.rip, WHERE, "it begins at the vector");
	is(vcpu_state.events.mp_state, VMM_MP_RUNNABLE, "and runs");
	is(vcpu_state.regs.rflags, 2, "with interrupts off");
	is(vcpu_state.ctrl.efer, 1 << 8 | 1 << 10 | 1 << 11, "in long mode, with NX");
	is(vcpu_state.ctrl.cr3, LAYOUT_WAKEUP_TABLES, "by tables that nobody overwrites");
	ok(!vcpu_wake_up(vcpu), "another signal is another signal");
	atomic_store(&vcpu->wakeup, true);
	ok(vcpu_wake_up(vcpu), "one that runs by then is kicked out,");
	is(states_set, 1, "and stays as it is");
}

static void test_tables(void)
{
	struct ram ram = { 0 };
	uint64_t *top = (uint64_t *)(low + LAYOUT_WAKEUP_TABLES), *next = top + 512;

	is(boot_wakeup_tables(&ram), STATUS_OK, "the tables fit into reserved memory");
	is(top[0], (LAYOUT_WAKEUP_TABLES + 0x1000) | 3, "one entry in the top table");
	for (unsigned int i = 0; i < 4; i++)
		is(next[i], (LAYOUT_WAKEUP_TABLES + 0x2000 + i * 0x1000) | 3, "GiB %u", i);
	is(next[4], 0, "and no more");
	is(next[512], 0x83, "large pages, each at its own address");
	is(next[512 + 2047], 0xffe00083, "up to 4 GiB");
}

int main(void)
{
	struct device_env env = { .cpu_start = machine_cpu_start, .opaque = &machine };
	void *mailbox = mailbox_type.create(&env);
	struct bus_range range = { LAYOUT_MAILBOX, LAYOUT_MAILBOX_SIZE, &mailbox_type.ops,
				   mailbox };

	machine.vcpu = calloc(CPUS, sizeof(*machine.vcpu));
	machine.vcpus = CPUS;
	pthread_mutex_init(&machine.vcpu_lock, NULL);
	for (unsigned int i = 0; i < CPUS; i++)
		machine.vcpu[i] = (struct vcpu) { .machine = &machine, .started = true,
						  .presence = VCPU_PRESENT };
	ok(bus_add(&bus, &range), "the mailbox is on the bus");
	test_device();
	test_wake_up();
	test_tables();
	mailbox_type.destroy(mailbox);
	free(machine.vcpu);
	return tap_end();
}
