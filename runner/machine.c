// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Building a machine and taking it apart, in the order vm, memory, devices, vCPUs,
 * guest memory's contents; the undo reads in reverse.
 *
 * The devices are connected to the console last and disconnected first: from
 * then on input can reach them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "../lib/libvmm.h"
#include "console.h"
#include "control.h"
#include "layout.h"
#include "machine.h"

/* "IA32_APIC_BASE MSR Supporting x2APIC" */
#define MSR_APIC_BASE		0x1b
#define APIC_BASE_X2APIC	0x400
#define APIC_BASE_ENABLE	0x800

/* ---- what devices reach ---- */

static void send_msi(void *opaque, const struct vmm_msi *msi)
{
	struct machine *machine = opaque;

	/* What a guest wrote may be no message at all; then nobody gets it. */
	vmm_signal_msi(machine->vm, msi);
}

static int route(void *opaque, int fd, const struct vmm_msi *msi, bool add)
{
	struct machine *machine = opaque;

	return add ? vmm_irqfd_add(machine->vm, fd, msi) : vmm_irqfd_remove(machine->vm, fd, msi);
}

static int doorbell(void *opaque, const struct device_doorbell *bell, bool add)
{
	struct machine *machine = opaque;
	const struct vmm_ioeventfd ev = {
		.address = bell->gpa,
		.fd = bell->fd,
		.data = bell->value,
		.length = bell->match ? sizeof(bell->value) : 0,
		.flags = bell->match ? VMM_EVENTFD_DATAMATCH : 0,
	};

	return add ? vmm_ioeventfd_add(machine->vm, &ev) : vmm_ioeventfd_remove(machine->vm, &ev);
}

static int show(void *opaque, unsigned int n, uint64_t gpa, void *page)
{
	struct machine *machine = opaque;
	unsigned int slot = RAM_PARTS + n;

	return page ? vmm_memory_add(machine->vm, slot, gpa, LAYOUT_VIRTIO_MMIO_SIZE, page,
				     VMM_SLOT_READONLY) :
		      vmm_memory_remove(machine->vm, slot);
}

static void wrote(void *opaque, uint64_t gpa, uint64_t len)
{
	struct machine *machine = opaque;

	vmm_dirty_mark(machine->vm, gpa, len);
}

static void on_event(void *opaque, enum device_event event)
{
	struct machine *machine = opaque;

	switch (event) {
	case EVENT_POWEROFF:
		machine_end(machine, MACHINE_POWEROFF, STATUS_OK, "");
		break;
	case EVENT_RESET:
		if (atomic_load(&machine->panicked) || console_saw_panic(machine->spec.console))
			machine_end(machine, MACHINE_FAILED, STATUS_PANIC,
				    "the guest's kernel panicked");
		else
			machine_end(machine, MACHINE_RESET, STATUS_OK, "");
		break;
	case EVENT_PANIC:
		atomic_store(&machine->panicked, true);
		break;
	case EVENT_NONE:
		break;
	}
}

static void on_exit_status(void *opaque, uint8_t status)
{
	machine_end(opaque, MACHINE_EXIT, status, "");
}

/* ---- parts ---- */

static enum status refused(const char *what, int err)
{
	complain("cannot create %s: %s", what, vmm_strerror_open(err));
	return host_status(err);
}

static enum status create_vm(struct machine *machine)
{
	const struct machine_spec *spec = &machine->spec;
	const struct vmm_info *info = &spec->host->info;
	const struct vmm_create_vm how = {
		.flags = spec->shadow_paging ? VMM_VM_SHADOW : 0,
		.tsc_khz = spec->tsc_khz,
	};
	int err = vmm_create_with(spec->host->fd, &how, &machine->vm);

	if (err == -EOPNOTSUPP && spec->tsc_khz && info->backend &&
	    !(info->features & VMM_FEATURE_TSC_SCALING)) {
		complain("--tsc-khz %llu: the CPU cannot scale its TSC of %u kHz, or the module's "
			 "tsc_scaling is 0; leave the option out",
			 (unsigned long long)spec->tsc_khz, info->tsc_khz);
		return STATUS_NO_HARDWARE;
	}
	if (err == -EOPNOTSUPP && spec->shadow_paging && info->backend) {
		complain("there is no shadow paging on this CPU; leave --shadow-paging out");
		return STATUS_NO_HARDWARE;
	}
	return err ? refused("a virtual machine", err) : STATUS_OK;
}

static enum status add_memory(struct machine *machine)
{
	for (unsigned int i = 0; i < RAM_PARTS; i++) {
		const struct ram_part *part = &machine->spec.ram->part[i];
		int err;

		if (!part->size)
			continue;
		err = vmm_memory_add(machine->vm, i, part->gpa, part->size, part->host,
				     i == RAM_ROM ? VMM_SLOT_READONLY : 0);
		if (err) {
			complain("cannot give the guest its memory: %s; use a smaller --mem",
				 strerror(-err));
			return STATUS_HOST;
		}
	}
	return STATUS_OK;
}

/* @type at @start of its address space. */
static enum status add_device(struct machine *machine, const struct device_type *type,
			      uint64_t start)
{
	struct bus *bus = type->mmio ? &machine->mmio : &machine->pio;
	struct machine_device *slot = &machine->device[machine->devices];
	struct bus_range range = { start, type->size, &type->ops, NULL };

	slot->type = type;
	slot->device = type->create(&machine->env);
	range.device = slot->device;
	if (!slot->device) {
		complain("cannot create the device %s: no memory; free some", type->name);
		return STATUS_HOST;
	}
	machine->devices++;
	if (bus_add(bus, &range))
		return STATUS_OK;
	if (type->start) {
		complain("cannot create the device %s: its address is taken; report this",
			 type->name);
		return STATUS_INTERNAL;
	}
	complain("--%s %#llx: another device has that port; name a free one", type->name,
		 (unsigned long long)start);
	return STATUS_USAGE;
}

/* A device that is there if the user named a port for it. */
static enum status add_optional(struct machine *machine, const struct device_type *type,
				uint64_t port)
{
	return port == CONFIG_NO_PORT ? STATUS_OK : add_device(machine, type, port);
}

static enum status create_bay(struct machine *machine)
{
	const struct virtio_site site = {
		.ram = machine->spec.ram,
		.env = &machine->env,
		.pio = &machine->pio,
		.mmio = &machine->mmio,
	};

	return virtio_bay_create(machine->spec.devices, &site, &machine->bay);
}

static bool takes(const struct device_type *type, uint64_t port)
{
	return port >= type->start && port - type->start < type->size;
}

/* What kernels that end by the debug-exit port may look for; the user's own ports go first. */
static enum status add_test_devices(struct machine *machine)
{
	static const struct device_type *const types[] = {
		&fw_cfg_type, &test_latch_type, &test_latch_again_type, &test_lines_type,
		&test_memory_type,
	};
	const struct machine_spec *spec = &machine->spec;
	enum status status = STATUS_OK;

	for (size_t i = 0; !status && i < sizeof(types) / sizeof(types[0]); i++)
		if (!takes(types[i], spec->debug_exit) && !takes(types[i], spec->debug_console))
			status = add_device(machine, types[i], types[i]->start);
	return status;
}

static enum status create_devices(struct machine *machine)
{
	enum status status = STATUS_OK;

	machine->env = (struct device_env) {
		.send_msi = send_msi,
		.route = route,
		.doorbell = doorbell,
		.show = show,
		.wrote = wrote,
		.event = on_event,
		.exit = on_exit_status,
		.cpu_is_there = machine_cpu_is_there,
		.cpu_eject = machine_cpu_eject,
		.cpu_start = machine_cpu_start,
		.opaque = machine,
		.cpus = topology_total(machine->spec.topology),
		.cpus_at_start = machine->spec.topology->cpus,
		.memory = machine->spec.ram->part[RAM_LOW].size +
			  machine->spec.ram->part[RAM_ABOVE].size,
		.console = machine->spec.console,
	};
	for (unsigned int i = 0; !status && i < DEVICE_COUNT; i++)
		status = add_device(machine, device_types[i], device_types[i]->start);
	if (!status && machine->spec.topology->max)
		status = add_device(machine, &cpu_hotplug_type, cpu_hotplug_type.start);
	if (!status && machine->spec.source->mailbox)
		status = add_device(machine, &mailbox_type, mailbox_type.start);
	if (!status)
		status = create_bay(machine);
	if (!status)
		status = add_optional(machine, &debug_exit_type, machine->spec.debug_exit);
	if (!status)
		status = add_optional(machine, &debug_console_type, machine->spec.debug_console);
	if (!status && machine->spec.debug_exit != CONFIG_NO_PORT)
		status = add_test_devices(machine);
	return status;
}

/*
 * "Initialization by System Software", of x2APIC mode: a firmware hands over in that mode
 * where ids are above 254. Linux believes in no CPU with such an id else. Kernels that may
 * know xAPIC mode alone start in it.
 */
static int choose_apic_mode(struct machine *machine)
{
	const struct boot_source *source = machine->spec.source;
	const struct vmm_msr base = {
		.index = MSR_APIC_BASE,
		.value = LAYOUT_LAPIC | APIC_BASE_ENABLE | APIC_BASE_X2APIC,
	};

	if (machine->spec.plan->format->cmdline != CMDLINE_LINUX ||
	    (source->cpus <= LAYOUT_X2APIC_FIRST && source->max_cpus <= LAYOUT_X2APIC_FIRST))
		return 0;
	return vmm_vcpu_set_msrs(machine->vcpu[0].handle, &base, 1, NULL);
}

static enum status load(struct machine *machine)
{
	const struct machine_spec *spec = &machine->spec;
	enum status status = ram_clear(spec->ram);
	struct vmm_state state;
	int err;

	if (!status)
		status = boot_load(spec->plan, spec->source, spec->ram);
	if (status)
		return status;
	boot_cpu_state(spec->plan, &state);
	err = vmm_vcpu_set_state(machine->vcpu[0].handle, &state);
	if (!err)
		err = choose_apic_mode(machine);
	if (!err)
		return STATUS_OK;
	complain("the module refused the CPU's first state: %s; report this", strerror(-err));
	return STATUS_INTERNAL;
}

/* ---- the whole ---- */

static enum status build(struct machine *machine)
{
	enum status status = create_vm(machine);

	if (!status)
		status = add_memory(machine);
	if (!status)
		status = create_devices(machine);
	if (!status)
		status = machine_create_vcpus(machine);
	if (!status)
		status = load(machine);
	if (!status)
		console_attach(machine->spec.console, machine->env.serial);
	if (!status && machine->spec.control)
		status = control_attach(machine->spec.control, machine);
	return status;
}

enum status machine_create(const struct machine_spec *spec, struct machine **out)
{
	struct machine *machine = calloc(1, sizeof(*machine));
	enum status status;

	if (!machine)
		return refused("a machine", -ENOMEM);
	machine->spec = *spec;
	pthread_mutex_init(&machine->end_lock, NULL);
	pthread_mutex_init(&machine->vcpu_lock, NULL);
	machine->end_fd = eventfd(0, EFD_CLOEXEC);
	status = machine->end_fd < 0 ? refused("a machine", errno) : build(machine);
	if (status) {
		machine_destroy(machine);
		return status;
	}
	*out = machine;
	return STATUS_OK;
}

void machine_destroy(struct machine *machine)
{
	console_attach(machine->spec.console, NULL);
	if (machine->spec.control)
		control_detach(machine->spec.control);
	machine_destroy_vcpus(machine);
	virtio_bay_destroy(machine->bay);
	while (machine->devices) {
		struct machine_device *last = &machine->device[--machine->devices];

		last->type->destroy(last->device);
	}
	vmm_destroy(machine->vm);
	if (machine->end_fd >= 0)
		close(machine->end_fd);
	pthread_mutex_destroy(&machine->vcpu_lock);
	pthread_mutex_destroy(&machine->end_lock);
	free(machine);
}
