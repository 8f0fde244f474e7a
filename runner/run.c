// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a vCPU's thread does: run the guest, serve the exit, again.
 *
 * What an exit means is one row of the table; a row either serves the guest, and
 * it goes on, or ends the machine with a line that names the exit and RIP.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../lib/libvmm.h"
#include "console.h"
#include "devices/82093aa.h"
#include "machine.h"

enum next {
	GO_ON,		/* the guest goes on */
	STOP,		/* the machine has ended */
};

struct exit_row {
	const char *name;
	enum next (*serve)(struct vcpu *vcpu, struct vmm_run *run);
};

static const struct exit_row *exit_row(uint32_t reason);

/* The vCPU whose thread this is, NULL in the event loop's. */
static _Thread_local const struct vcpu *current;

/* ---- the end ---- */

static void describe_end(struct machine_end *end, const char *reason)
{
	const struct vmm_run *run;

	if (!current) {
		snprintf(end->reason, sizeof(end->reason), "%s", reason);
		return;
	}
	run = vmm_vcpu_run_page(current->handle);
	snprintf(end->reason, sizeof(end->reason), "%s; CPU %u, last exit %s, RIP %#llx", reason,
		 vmm_vcpu_id(current->handle), exit_row(run->exit_reason)->name,
		 (unsigned long long)run->rip);
}

void machine_end(struct machine *machine, enum machine_end_kind kind, int status,
		 const char *reason)
{
	struct machine_end *end = &machine->end;
	uint64_t one = 1;

	atomic_store(&machine->stopping, true);
	pthread_mutex_lock(&machine->end_lock);
	if (end->kind == MACHINE_RUNS) {
		end->kind = kind;
		end->status = status;
		describe_end(end, reason);
		/* An eventfd at 0 takes a 1. */
		if (write(machine->end_fd, &one, sizeof(one)) < 0)
			abort();
	}
	pthread_mutex_unlock(&machine->end_lock);
}

struct machine_end machine_get_end(struct machine *machine)
{
	struct machine_end end;

	pthread_mutex_lock(&machine->end_lock);
	end = machine->end;
	pthread_mutex_unlock(&machine->end_lock);
	return end;
}

static enum next fail(struct vcpu *vcpu, enum status status, const char *what)
{
	machine_end(vcpu->machine, MACHINE_FAILED, status, what);
	return STOP;
}

/* ---- accesses ---- */

static enum next serve_pio(struct vcpu *vcpu, struct vmm_run *run)
{
	struct vmm_exit_pio *pio = &run->pio;
	const struct bus *bus = &vcpu->machine->pio;

	if (pio->write)
		bus_write(bus, pio->port, pio->size, pio->data);
	else
		pio->data = bus_read(bus, pio->port, pio->size);
	return GO_ON;
}

static enum next serve_mmio(struct vcpu *vcpu, struct vmm_run *run)
{
	struct vmm_exit_mmio *mmio = &run->mmio;
	const struct bus *bus = &vcpu->machine->mmio;

	if (mmio->write)
		bus_write(bus, mmio->gpa, mmio->size, mmio->data);
	else
		mmio->data = bus_read(bus, mmio->gpa, mmio->size);
	return GO_ON;
}

/* The emulator's accesses: the same buses, with the value in memory. */
static void emulated(const struct bus *bus, uint64_t addr, unsigned int size, bool write,
		     void *data)
{
	uint64_t value = 0;

	if (write) {
		memcpy(&value, data, size);
		bus_write(bus, addr, size, value);
	} else {
		value = bus_read(bus, addr, size);
		memcpy(data, &value, size);
	}
}

static void emulated_pio(void *opaque, uint16_t port, unsigned int size, bool write, void *data)
{
	struct machine *machine = opaque;

	emulated(&machine->pio, port, size, write, data);
}

static void emulated_mmio(void *opaque, uint64_t gpa, unsigned int size, bool write, void *data)
{
	struct machine *machine = opaque;

	emulated(&machine->mmio, gpa, size, write, data);
}

static enum next serve_shutdown(struct vcpu *vcpu, struct vmm_run *run)
{
	(void)run;
	return fail(vcpu, STATUS_TRIPLE_FAULT, "the guest died of a triple fault");
}

static const struct vmm_emul_ops emul_ops = { emulated_pio, emulated_mmio };

static enum next serve_insn(struct vcpu *vcpu, struct vmm_run *run)
{
	char insn[128], what[192];

	switch (vmm_emulate(vcpu->handle, &emul_ops, vcpu->machine)) {
	case VMM_EMUL_OK:
		return GO_ON;
	case VMM_EMUL_ERROR:
		snprintf(what, sizeof(what), "emulating an instruction failed: %s",
			 strerror(-vmm_emul_error(vcpu->handle)));
		return fail(vcpu, STATUS_INTERNAL, what);
	case VMM_EMUL_SHUTDOWN:
		return serve_shutdown(vcpu, run);
	case VMM_EMUL_UNSUPPORTED:
		break;
	}
	vmm_emul_describe(vcpu->handle, insn, sizeof(insn));
	snprintf(what, sizeof(what), "cannot emulate an instruction: %s", insn);
	return fail(vcpu, STATUS_EMULATION, what);
}

/* A CPU is done with a level-triggered interrupt: only the IOAPIC sends such. */
static enum next serve_eoi(struct vcpu *vcpu, struct vmm_run *run)
{
	i82093aa_eoi(vcpu->machine->env.ioapic, run->eoi.vector);
	return GO_ON;
}

/* ---- ends ---- */

static enum next serve_none(struct vcpu *vcpu, struct vmm_run *run)
{
	(void)run;
	return fail(vcpu, STATUS_INTERNAL, "the module gave no reason for an exit");
}

/* VMM_RUN tells of signals by its errno; with 0 there is nothing to serve. */
static enum next serve_intr(struct vcpu *vcpu, struct vmm_run *run)
{
	(void)vcpu;
	(void)run;
	return GO_ON;
}

static enum next serve_fail_entry(struct vcpu *vcpu, struct vmm_run *run)
{
	char what[128];

	snprintf(what, sizeof(what), "the CPU refused the guest's state (reason %#llx)",
		 (unsigned long long)run->fail_entry.hardware_reason);
	return fail(vcpu, STATUS_FAIL_ENTRY, what);
}

/* Can the guest have meant it? ROM takes fetches only, and no page tables' bits. */
static bool has_memory(const struct ram *ram, const struct vmm_exit_memory *memory)
{
	return memory->access & VMM_ACCESS_EXEC ? ram_at(ram, memory->gpa, 1) :
						  ram_dma_at(ram, memory->gpa, 1);
}

static enum next serve_memory(struct vcpu *vcpu, struct vmm_run *run)
{
	const struct vmm_exit_memory *memory = &run->memory;
	unsigned long long gpa = memory->gpa;
	char what[160];

	if (memory->error != EFAULT || has_memory(vcpu->machine->spec.ram, memory))
		snprintf(what, sizeof(what),
			 "the host could not provide the guest's memory at %#llx: %s", gpa,
			 strerror(memory->error));
	else if (memory->access & VMM_ACCESS_EXEC)
		snprintf(what, sizeof(what), "the guest runs code at %#llx, where it has no memory",
			 gpa);
	else
		snprintf(what, sizeof(what), "the guest has page tables, descriptor tables or a "
			 "stack at %#llx, where it has no memory to write", gpa);
	return fail(vcpu, STATUS_MEMORY, what);
}

static enum next serve_internal(struct vcpu *vcpu, struct vmm_run *run)
{
	char what[128];

	if (run->internal.code == VMM_INTERNAL_TASK_SWITCH)
		return fail(vcpu, STATUS_EMULATION,
			    "the guest wants a hardware task switch, which is not emulated");
	snprintf(what, sizeof(what), "internal error %u of the module (%#llx %#llx)",
		 run->internal.code, (unsigned long long)run->internal.info[0],
		 (unsigned long long)run->internal.info[1]);
	return fail(vcpu, STATUS_INTERNAL, what);
}

static const struct exit_row exits[] = {
	[VMM_EXIT_NONE]		= { "NONE", serve_none },
	[VMM_EXIT_INTR]		= { "INTR", serve_intr },
	[VMM_EXIT_PIO]		= { "PIO", serve_pio },
	[VMM_EXIT_MMIO]		= { "MMIO", serve_mmio },
	[VMM_EXIT_INSN]		= { "INSN", serve_insn },
	[VMM_EXIT_SHUTDOWN]	= { "SHUTDOWN", serve_shutdown },
	[VMM_EXIT_FAIL_ENTRY]	= { "FAIL_ENTRY", serve_fail_entry },
	[VMM_EXIT_MEMORY]	= { "MEMORY", serve_memory },
	[VMM_EXIT_INTERNAL]	= { "INTERNAL", serve_internal },
	[VMM_EXIT_EOI]		= { "EOI", serve_eoi },
};

/* A reason this program does not know is as good as none. */
static const struct exit_row *exit_row(uint32_t reason)
{
	return &exits[reason < sizeof(exits) / sizeof(exits[0]) ? reason : VMM_EXIT_NONE];
}

/* ---- the loop ---- */

/*
 * A signal that was not to end the thread's work: a CPU is started, or the process was stopped
 * and goes on. Before the guest is entered again, as its watchdogs look at the clock first.
 */
static enum next after_signal(struct vcpu *vcpu)
{
	if (vcpu_wake_up(vcpu))
		return GO_ON;
	if (!atomic_load(&vcpu->machine->stopping) && !atomic_load(&vcpu->leave))
		vmm_clock_stopped(vcpu->machine->vm);
	return GO_ON;
}

static enum next run_once(struct vcpu *vcpu)
{
	struct vmm_run *run = vmm_vcpu_run_page(vcpu->handle);
	int err = vmm_vcpu_run(vcpu->handle);
	char what[128];

	if (err == -EINTR)
		return after_signal(vcpu);
	if (err == -EAGAIN)
		return GO_ON;
	if (!err)
		return exit_row(run->exit_reason)->serve(vcpu, run);
	snprintf(what, sizeof(what), "running the guest failed: %s", strerror(-err));
	return fail(vcpu, STATUS_INTERNAL, what);
}

void vcpu_run(struct vcpu *vcpu)
{
	current = vcpu;
	while (!atomic_load(&vcpu->machine->stopping) && !atomic_load(&vcpu->leave) &&
	       run_once(vcpu) == GO_ON)
		;
}
