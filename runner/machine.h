/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine: one VM with its memory, devices and vCPUs, from power-on to its end.
 * A guest that restarts gets a new one.
 *
 * machine.c builds and takes apart, run.c runs the vCPUs to the end. The event loop's thread
 * calls everything here; devices and vCPU threads call machine_end() alone.
 */
#ifndef RUNNER_MACHINE_H
#define RUNNER_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "boot/boot.h"
#include "bus.h"
#include "config.h"
#include "devices/device.h"
#include "host.h"
#include "status.h"
#include "virtio/bay.h"

struct console;
struct machine;
struct vmm;
struct vmm_vcpu;

/* What every start of the machine is made from; constant, borrowed. */
struct machine_spec {
	const struct host *host;
	const struct ram *ram;			/* mapped */
	const struct boot_source *source;
	const struct boot_plan *plan;
	struct console *console;
	const struct virtio_slots *devices;
	unsigned int cpus;
	const struct topology *topology;
	const struct config_pin *pin;		/* NULL: none */
	bool shadow_paging;			/* even where the CPU has nested paging */
	uint64_t debug_exit, debug_console;	/* ports, or CONFIG_NO_PORT */
};

enum machine_end_kind {
	MACHINE_RUNS,
	MACHINE_POWEROFF,
	MACHINE_RESET,
	MACHINE_FAILED,
	MACHINE_EXIT,			/* the guest chose the process's status */
};

#define MACHINE_REASON_SIZE	384

struct machine_end {
	enum machine_end_kind kind;
	int status;				/* of MACHINE_FAILED, MACHINE_EXIT */
	char reason[MACHINE_REASON_SIZE];	/* of MACHINE_FAILED */
};

struct vcpu {
	struct machine *machine;
	struct vmm_vcpu *handle;
	pthread_t thread;
	bool started;
};

struct machine_device {
	const struct device_type *type;
	void *device;
};

/* Those of every machine, and two debug ports. */
#define MACHINE_DEVICES_MAX	(DEVICE_COUNT + 2)

struct machine {
	struct machine_spec spec;
	struct vmm *vm;
	struct bus pio, mmio;
	struct device_env env;
	struct machine_device device[MACHINE_DEVICES_MAX];
	unsigned int devices;
	struct virtio_bay *bay;
	struct vcpu *vcpu;

	int end_fd;			/* eventfd, readable when the machine has ended */
	atomic_bool stopping;		/* vCPU threads return */
	atomic_bool panicked;		/* a device was told so */
	pthread_mutex_t end_lock;
	struct machine_end end;		/* end_lock; the first end stays */
};

/* Build a machine that is ready for its first instruction. Complains. */
enum status machine_create(const struct machine_spec *spec, struct machine **machine);

/* Undo machine_create(). The machine has been stopped, or never started. */
void machine_destroy(struct machine *machine);

/* Start a thread for each vCPU. Complains; what has started is stopped again. */
enum status machine_start(struct machine *machine);

/* Undo machine_start(): all vCPU threads are joined. */
void machine_stop(struct machine *machine);

/*
 * Any thread: the machine's life is over. Called from a vCPU's thread the reason is
 * completed with that CPU's last exit and RIP. Only the first call counts.
 */
void machine_end(struct machine *machine, enum machine_end_kind kind, int status,
		 const char *reason);

/* A copy of how the machine ended, or MACHINE_RUNS. */
struct machine_end machine_get_end(struct machine *machine);

/* Once a process, before any machine_start(): the signal that stops a vCPU. */
void machine_setup_signals(void);

#endif /* RUNNER_MACHINE_H */
