/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a device is, and what it is handed.
 *
 * A device is one file and one row in devices.c. It gets a struct device_env and
 * knows nothing else of the machine: no VM handle, no memory, no other device
 * but the interrupt line it drives. Each device has one lock of its own, taken in
 * its register and input functions; a device may raise a line with its lock held
 * (16550 before 82093AA), never the other way round.
 */
#ifndef RUNNER_DEVICE_H
#define RUNNER_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/vmm.h>
#include "../bus.h"

enum device_event {
	EVENT_NONE,
	EVENT_POWEROFF,		/* the guest switched itself off */
	EVENT_RESET,		/* the guest restarted itself */
	EVENT_PANIC,		/* the guest reports a panic; it may go on */
};

struct cpu_hotplug;
struct i82093aa;
struct pc16550;
struct console;

#define DEVICE_TEST_LATCH	4	/* bytes */

struct device_doorbell {
	uint64_t gpa;
	int fd;			/* eventfd */
	bool match;		/* only writes of value, 32 bits wide */
	uint32_t value;
};

struct device_env {
	/* Send an interrupt message. */
	void (*send_msi)(void *opaque, const struct vmm_msi *msi);
	/*
	 * Have writes to the eventfd @fd send @msi, or no longer. 0 or -errno: what a guest
	 * wrote may be no message at all.
	 */
	int (*route)(void *opaque, int fd, const struct vmm_msi *msi, bool add);
	/* Have a guest's writes signal an eventfd instead of arriving, or no longer. */
	int (*doorbell)(void *opaque, const struct device_doorbell *bell, bool add);
	/*
	 * Have reads of the page at @gpa come from @page of the process and not arrive any more;
	 * NULL: no longer. Writes arrive as before. @n: which of such pages, from 0 on, below
	 * LAYOUT_VIRTIO_MMIO_MAX. 0 or -errno.
	 */
	int (*show)(void *opaque, unsigned int n, uint64_t gpa, void *page);
	/*
	 * The process has written RAM by a pointer of its own: to be called after the write, for
	 * logs of written pages. Any thread.
	 */
	void (*wrote)(void *opaque, uint64_t gpa, uint64_t len);
	/* Tell the machine what a guest asked for. Any vCPU thread. */
	void (*event)(void *opaque, enum device_event event);
	/* End the process with @status. Any vCPU thread. */
	void (*exit)(void *opaque, uint8_t status);
	/* CPUs that come and go: is @cpu there; the guest is done with it. Any vCPU thread. */
	bool (*cpu_is_there)(void *opaque, unsigned int cpu);
	void (*cpu_eject)(void *opaque, unsigned int cpu);
	/* Start @cpu, any number, in 64-bit mode at @vector, if it waits. Any vCPU thread. */
	void (*cpu_start)(void *opaque, unsigned int cpu, uint64_t vector);
	void *opaque;
	unsigned int cpus;	/* that there can be */
	unsigned int cpus_at_start;
	uint64_t memory;	/* bytes of RAM */
	/* The characters' other end. */
	struct console *console;
	/* Filled by the rows of devices.c as they are made, in their order. */
	struct i82093aa *ioapic;
	struct pc16550 *serial;
	struct cpu_hotplug *cpu_hotplug;	/* NULL: no CPU comes or goes */
	uint8_t test_latch[DEVICE_TEST_LATCH];	/* test_device.c */
};

struct device_type {
	const char *name;
	bool mmio;		/* else ports */
	uint64_t start, size;
	struct bus_ops ops;
	/* Returns the device or NULL when there is no memory. */
	void *(*create)(struct device_env *env);
	void (*destroy)(void *device);
};

extern const struct device_type i82093aa_type;
extern const struct device_type pc16550_type;
extern const struct device_type acpi_pm_type;
extern const struct device_type pm_timer_type;
extern const struct device_type pvpanic_type;
extern const struct device_type mc146818_type;
extern const struct device_type no_8254_type;

/* In the order of creation. */
extern const struct device_type *const device_types[];
#define DEVICE_COUNT	7

/* If CPUs can come and go. */
extern const struct device_type cpu_hotplug_type;

/* If CPUs are started by it. */
extern const struct device_type mailbox_type;

/* If there is a debug-exit port: they are what programs built for QEMU expect beside it. */
extern const struct device_type fw_cfg_type;
extern const struct device_type test_latch_type;
extern const struct device_type test_latch_again_type;
extern const struct device_type test_lines_type;
extern const struct device_type test_memory_type;

/* Only where the user says: start is 0 in these, the name is that of the option. */
extern const struct device_type debug_exit_type;
extern const struct device_type debug_console_type;

#endif /* RUNNER_DEVICE_H */
