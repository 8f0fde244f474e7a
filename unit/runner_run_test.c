// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What each exit of a vCPU does to the machine: it goes on, or ends with the status
 * of the table in status.c and one line that names the exit and RIP. The module and
 * the emulator are replaced here by a list of what they answer.
 */
/* unit-sources: ../runner/run.c ../runner/vcpus.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
/* unit-libs: -lpthread */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "tap.h"
#include "../lib/libvmm.h"
#include "../runner/devices/cpu_hotplug.h"
#include "../runner/machine.h"
#include "../runner/ram.h"
#include "machine_world.h"

#define RIP	0xffffffff81000123ULL
#define MEMORY	0x200000ULL
#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))

/* One answer of VMM_RUN, and of the emulator if that is asked then. */
struct answer {
	int result;		/* of VMM_RUN: 0 or -errno */
	struct vmm_run run;
	enum vmm_emul_result emul;
	int emul_error;
};

struct vmm_vcpu {
	struct vmm_run run;
	const struct answer *answers;
	unsigned int given, count;
};

static uint64_t bus_written, bus_reads;
static unsigned int eoi_vector;
static char complaint[256];

/* ---- in place of the library, the buses and the message ---- */

int vmm_vcpu_run(struct vmm_vcpu *vcpu)
{
	const struct answer *answer = &vcpu->answers[vcpu->given];

	/* Past the last answer: as if the guest ran until it is stopped. */
	if (vcpu->given == vcpu->count) {
		usleep(1000);
		return -EINTR;
	}
	vcpu->given++;
	vcpu->run = answer->run;
	vcpu->run.rip = RIP;
	return answer->result;
}

struct vmm_run *vmm_vcpu_run_page(const struct vmm_vcpu *vcpu)
{
	return (struct vmm_run *)&vcpu->run;
}

unsigned int vmm_vcpu_id(const struct vmm_vcpu *vcpu)
{
	(void)vcpu;
	return 0;
}

void vmm_vcpu_request_exit(struct vmm_vcpu *vcpu)
{
	(void)vcpu;
}

static atomic_uint told_of_stops;

int vmm_clock_stopped(struct vmm *vm)
{
	(void)vm;
	atomic_fetch_add(&told_of_stops, 1);
	return 0;
}

void vmm_vcpu_clear_exit(struct vmm_vcpu *vcpu)
{
	(void)vcpu;
}

int vmm_vcpu_reset(struct vmm_vcpu *vcpu)
{
	(void)vcpu;
	return 0;
}

/* The machine of this test has its vCPU, and gets no other. */
int vmm_vcpu_create(struct vmm *vm, unsigned int id, struct vmm_vcpu **vcpu)
{
	(void)vm;
	(void)id;
	(void)vcpu;
	return -ENOMEM;
}

int vmm_vcpu_get_cpuid(struct vmm_vcpu *vcpu, struct vmm_cpuid_entry *entries,
		       unsigned int *count)
{
	(void)vcpu;
	(void)entries;
	(void)count;
	return -EIO;
}

int vmm_vcpu_set_cpuid(struct vmm_vcpu *vcpu, const struct vmm_cpuid_entry *entries,
		       unsigned int count)
{
	(void)vcpu;
	(void)entries;
	(void)count;
	return -EIO;
}

void topology_cpuid(const struct topology *topology, uint32_t apic_id,
		    struct vmm_cpuid_entry *entries, unsigned int count)
{
	(void)topology;
	(void)apic_id;
	(void)entries;
	(void)count;
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

void cpu_hotplug_event(struct cpu_hotplug *hotplug, unsigned int cpu, enum cpu_event event)
{
	(void)hotplug;
	(void)cpu;
	(void)event;
}

enum vmm_emul_result vmm_emulate(struct vmm_vcpu *vcpu, const struct vmm_emul_ops *ops,
				 void *opaque)
{
	(void)ops;
	(void)opaque;
	return vcpu->answers[vcpu->given - 1].emul;
}

int vmm_emul_error(const struct vmm_vcpu *vcpu)
{
	return vcpu->answers[vcpu->given - 1].emul_error;
}

int vmm_emul_describe(struct vmm_vcpu *vcpu, char *buf, size_t size)
{
	(void)vcpu;
	return snprintf(buf, size, "0f 0b ud2");
}

uint64_t bus_read(const struct bus *bus, uint64_t addr, unsigned int size)
{
	(void)bus;
	bus_reads += addr * 16 + size;
	return 0x1122334455667788;
}

void bus_write(const struct bus *bus, uint64_t addr, unsigned int size, uint64_t value)
{
	(void)bus;
	bus_written = addr + size + value;
}

void i82093aa_eoi(struct i82093aa *chip, uint8_t vector)
{
	(void)chip;
	eoi_vector = vector;
}

void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(complaint, sizeof(complaint), fmt, ap);
	va_end(ap);
}

/* ---- a machine of one vCPU ---- */

static void with_machine(const struct answer *answers, unsigned int count,
			 struct machine_end *end, struct vmm_vcpu *handle)
{
	struct vcpu vcpu = { .handle = handle, .presence = VCPU_PRESENT };
	struct ram ram;
	struct machine machine = { .spec = { .cpus = 1, .ram = &ram }, .vcpu = &vcpu, .vcpus = 1 };
	uint64_t ended;

	ram_plan(&ram, MEMORY);
	ram_plan_rom(&ram, 0x1000);
	is(ram_map(&ram), STATUS_OK, "memory is reserved");

	*handle = (struct vmm_vcpu) { .answers = answers, .count = count };
	vcpu.machine = &machine;
	pthread_mutex_init(&machine.end_lock, NULL);
	pthread_mutex_init(&machine.vcpu_lock, NULL);
	machine.end_fd = eventfd(0, EFD_CLOEXEC);
	is(machine_start(&machine), STATUS_OK, "the machine starts");
	is(read(machine.end_fd, &ended, sizeof(ended)), sizeof(ended), "and ends");
	machine_stop(&machine);
	*end = machine_get_end(&machine);
	ram_unmap(&ram);
	close(machine.end_fd);
	pthread_mutex_destroy(&machine.vcpu_lock);
	pthread_mutex_destroy(&machine.end_lock);
}

static const struct {
	const char *name;
	struct answer answer;
	enum status status;
	const char *reason;	/* what comes before "; CPU 0, last exit " */
	const char *exit;
} ends[] = {
	{ "a triple fault", { .run.exit_reason = VMM_EXIT_SHUTDOWN },
	  STATUS_TRIPLE_FAULT, "the guest died of a triple fault", "SHUTDOWN" },
	{ "a triple fault of an emulated event",
	  { .run.exit_reason = VMM_EXIT_INSN, .emul = VMM_EMUL_SHUTDOWN },
	  STATUS_TRIPLE_FAULT, "the guest died of a triple fault", "INSN" },
	{ "a refused entry",
	  { .run = { .exit_reason = VMM_EXIT_FAIL_ENTRY,
		     .fail_entry.hardware_reason = 0x80000021 } },
	  STATUS_FAIL_ENTRY, "the CPU refused the guest's state (reason 0x80000021)",
	  "FAIL_ENTRY" },
	{ "memory that is not there",
	  { .run = { .exit_reason = VMM_EXIT_MEMORY, .memory.gpa = 0xfee00000,
		     .memory.error = ENOMEM } },
	  STATUS_MEMORY, "the host could not provide the guest's memory at 0xfee00000: "
	  "Cannot allocate memory", "MEMORY" },
	{ "memory that the process does not have",
	  { .run = { .exit_reason = VMM_EXIT_MEMORY,
		     .memory = { MEMORY - 1, VMM_ACCESS_READ, EFAULT } } },
	  STATUS_MEMORY, "the host could not provide the guest's memory at 0x1fffff: Bad address",
	  "MEMORY" },
	{ "code where there is no memory",
	  { .run = { .exit_reason = VMM_EXIT_MEMORY,
		     .memory = { MEMORY, VMM_ACCESS_EXEC, EFAULT } } },
	  STATUS_MEMORY, "the guest runs code at 0x200000, where it has no memory", "MEMORY" },
	{ "code in ROM that the process does not have",
	  { .run = { .exit_reason = VMM_EXIT_MEMORY,
		     .memory = { 0xfffffff0, VMM_ACCESS_EXEC, EFAULT } } },
	  STATUS_MEMORY, "the host could not provide the guest's memory at 0xfffffff0: "
	  "Bad address", "MEMORY" },
	{ "page tables in ROM",
	  { .run = { .exit_reason = VMM_EXIT_MEMORY,
		     .memory = { 0xfffff000, VMM_ACCESS_WRITE, EFAULT } } },
	  STATUS_MEMORY, "the guest has page tables, descriptor tables or a stack at 0xfffff000, "
	  "where it has no memory to write", "MEMORY" },
	{ "an internal error of the module",
	  { .run = { .exit_reason = VMM_EXIT_INTERNAL, .internal.code = 3,
		     .internal.info = { 0x11, 0x22 } } },
	  STATUS_INTERNAL, "internal error 3 of the module (0x11 0x22)", "INTERNAL" },
	{ "an exit without a reason", { .run.exit_reason = VMM_EXIT_NONE },
	  STATUS_INTERNAL, "the module gave no reason for an exit", "NONE" },
	{ "a reason of a newer module", { .run.exit_reason = 1000 },
	  STATUS_INTERNAL, "the module gave no reason for an exit", "NONE" },
	{ "the largest reason there is", { .run.exit_reason = ~0U },
	  STATUS_INTERNAL, "the module gave no reason for an exit", "NONE" },
	{ "an instruction nobody knows",
	  { .run.exit_reason = VMM_EXIT_INSN, .emul = VMM_EMUL_UNSUPPORTED },
	  STATUS_EMULATION, "cannot emulate an instruction: 0f 0b ud2", "INSN" },
	{ "an emulator that fails",
	  { .run.exit_reason = VMM_EXIT_INSN, .emul = VMM_EMUL_ERROR, .emul_error = -EIO },
	  STATUS_INTERNAL, "emulating an instruction failed: Input/output error", "INSN" },
	{ "a VMM_RUN that fails", { .result = -EIO },
	  STATUS_INTERNAL, "running the guest failed: Input/output error", "NONE" },
};

static void test_ends(void)
{
	for (size_t i = 0; i < COUNT(ends); i++) {
		char want[MACHINE_REASON_SIZE];
		struct machine_end end;
		struct vmm_vcpu vcpu;

		with_machine(&ends[i].answer, 1, &end, &vcpu);
		snprintf(want, sizeof(want), "%s; CPU 0, last exit %s, RIP %#llx",
			 ends[i].reason, ends[i].exit, RIP);
		is(end.kind, MACHINE_FAILED, "%s ends the machine", ends[i].name);
		is(end.status, ends[i].status, "%s has its status", ends[i].name);
		is_str(end.reason, want, "%s has its line", ends[i].name);
		is(vcpu.given, 1, "%s: the guest is not entered again", ends[i].name);
	}
}

/* What goes on, in front of an end. */
static void test_goes_on(void)
{
	static const struct answer answers[] = {
		{ .result = -EINTR },
		{ .result = -EAGAIN },
		{ .run.exit_reason = VMM_EXIT_INTR },
		{ .run = { .exit_reason = VMM_EXIT_PIO,
			   .pio = { .port = 0x80, .size = 1, .write = 1, .data = 0x55 } } },
		{ .run = { .exit_reason = VMM_EXIT_PIO, .pio = { .port = 0x3f8, .size = 2 } } },
		{ .run = { .exit_reason = VMM_EXIT_MMIO,
			   .mmio = { .gpa = 0xfec00000, .size = 4 } } },
		{ .run.exit_reason = VMM_EXIT_INSN, .emul = VMM_EMUL_OK },
		{ .run = { .exit_reason = VMM_EXIT_EOI, .eoi.vector = 0x31 } },
		{ .run.exit_reason = VMM_EXIT_SHUTDOWN },
	};
	struct machine_end end;
	struct vmm_vcpu vcpu;

	atomic_store(&told_of_stops, 0);
	with_machine(answers, COUNT(answers), &end, &vcpu);
	is(atomic_load(&told_of_stops), 1, "of a signal that ends nothing the guest is told");
	is(vcpu.given, COUNT(answers), "signals, accesses and emulated instructions go on");
	is(end.status, STATUS_TRIPLE_FAULT, "until the end");
	is(bus_written, 0x80 + 1 + 0x55, "a write reaches the bus with port, size and data");
	is(eoi_vector, 0x31, "the end of an interrupt reaches the IOAPIC");
	is(bus_reads, 0x3f8 * 16 + 2 + 0xfec00000ULL * 16 + 4, "so do reads of ports and memory");
}

/* A device, another vCPU and this one may all see an end: the first counts. */
static void test_first_end_counts(void)
{
	struct vcpu vcpu = { 0 };
	struct machine machine = { .spec.cpus = 1, .vcpu = &vcpu };
	struct machine_end end;

	pthread_mutex_init(&machine.end_lock, NULL);
	pthread_mutex_init(&machine.vcpu_lock, NULL);
	machine.end_fd = eventfd(0, EFD_CLOEXEC);
	is(machine_get_end(&machine).kind, MACHINE_RUNS, "a machine runs at first");
	machine_end(&machine, MACHINE_POWEROFF, STATUS_OK, "");
	machine_end(&machine, MACHINE_FAILED, STATUS_PANIC, "too late");
	end = machine_get_end(&machine);
	is(end.kind, MACHINE_POWEROFF, "the first end stays");
	is(end.status, STATUS_OK, "with its status");
	is_str(end.reason, "", "and reason, without an exit if no vCPU gave it");
	close(machine.end_fd);
	pthread_mutex_destroy(&machine.vcpu_lock);
	pthread_mutex_destroy(&machine.end_lock);
}

int main(void)
{
	machine_setup_signals();
	test_ends();
	test_goes_on();
	test_first_end_counts();
	return tap_end();
}
