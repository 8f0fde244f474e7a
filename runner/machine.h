/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine: one VM with its memory, devices and vCPUs, from power-on to its end.
 * A guest that restarts gets a new one.
 *
 * machine.c builds and takes apart, vcpus.c has the vCPUs and their threads, run.c what they
 * do to the end. The event loop's thread calls everything here; devices and vCPU threads call
 * machine_end() alone, and control.c what says so.
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
#include "sched.h"
#include "status.h"
#include "virtio/bay.h"

struct console;
struct control;
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
	struct control *control;		/* NULL: none */
	const struct virtio_slots *devices;
	unsigned int cpus;			/* at the start; topology has how many can be */
	const struct topology *topology;
	const struct config_pin *pin;		/* NULL: none */
	const struct sched_list *sched;
	uint64_t tsc_khz;			/* of the guest, 0: the host's */
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

enum vcpu_presence {
	VCPU_ABSENT,
	VCPU_PRESENT,
	VCPU_LEAVING,			/* the guest is done with it, its thread is not */
};

/* A vCPU that has been there once keeps its handle: the module forgets none. */
struct vcpu {
	struct machine *machine;
	struct vmm_vcpu *handle;	/* vcpu_lock; NULL: it never was there */
	pthread_t thread;
	bool started;			/* vcpu_lock; the thread is to be joined */
	enum vcpu_presence presence;	/* vcpu_lock */
	atomic_bool leave;		/* the thread returns, but for the machine's end */
	bool woken;			/* vcpu_lock; by ACPI's mailbox, see wakeup.c */
	atomic_bool wakeup;		/* the thread is to begin at wakeup_vector, */
	uint64_t wakeup_vector;		/* which is written before */
};

struct machine_device {
	const struct device_type *type;
	void *device;
};

/* Those of every machine, two debug ports, five for test kernels, CPU hotplug, the mailbox. */
#define MACHINE_DEVICES_MAX	(DEVICE_COUNT + 9)

struct machine {
	struct machine_spec spec;
	struct vmm *vm;
	struct bus pio, mmio;
	struct device_env env;
	struct machine_device device[MACHINE_DEVICES_MAX];
	unsigned int devices;
	struct virtio_bay *bay;
	struct vcpu *vcpu;		/* as many as there can be */
	unsigned int vcpus;
	pthread_mutex_t vcpu_lock;	/* within it nothing waits for a vCPU to leave the guest */
	unsigned int wanted;		/* vcpu_lock; the first so many are, or are to be */

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

/* ---- CPUs that come and go (vcpus.c) ---- */

/*
 * Have CPUs 0 to @count - 1 and no other: those that lack come at once, those that are too
 * many go when the guest lets them. NULL, or why not. Any thread but a vCPU's.
 */
const char *machine_set_cpus(struct machine *machine, unsigned int count);

struct machine_cpus {
	unsigned int there, wanted, max;
};

/* Any thread. */
struct machine_cpus machine_get_cpus(struct machine *machine);

/* Callbacks of devices: see struct device_env. */
bool machine_cpu_is_there(void *machine, unsigned int cpu);
void machine_cpu_eject(void *machine, unsigned int cpu);
void machine_cpu_start(void *machine, unsigned int cpu, uint64_t vector);	/* wakeup.c */

/* ---- between the files ---- */

/* vcpus.c: those that are there at the start; all of them. Complains. */
enum status machine_create_vcpus(struct machine *machine);
void machine_destroy_vcpus(struct machine *machine);

/* vcpus.c: have the thread leave the guest, or not enter it. vcpu_lock, started */
void vcpu_kick(struct vcpu *vcpu);

/* wakeup.c, in the vCPU's thread: was it kicked to begin somewhere? Its state is set then. */
bool vcpu_wake_up(struct vcpu *vcpu);

/* run.c, in the vCPU's thread: run the guest until the machine stops or the vCPU leaves. */
void vcpu_run(struct vcpu *vcpu);

/* Once a process, before any machine_start(): the signal that stops a vCPU. */
void machine_setup_signals(void);

#endif /* RUNNER_MACHINE_H */
