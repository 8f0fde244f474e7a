/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the user asked for: the one struct between the command line and the
 * machine. Plain data; strings are borrowed from argv.
 */
#ifndef RUNNER_CONFIG_H
#define RUNNER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include "status.h"
#include "topology.h"
#include "virtio/bay.h"

/* The values of an option that may be given several times. */
#define CONFIG_LIST_MAX	15	/* with the initrd that is BOOT_MODULES_MAX */

struct config_list {
	const char *item[CONFIG_LIST_MAX];
	unsigned int count;
};

struct config {
	const char *kernel;	/* one of these three, the others are NULL */
	const char *flat;	/* with keys, see config_flat() */
	const char *firmware;
	const char *initrd;	/* NULL: none */
	struct config_list module;
	const char *append;	/* NULL: what suits the kernel */
	uint64_t mem;		/* bytes */
	const char *cpus;	/* with keys, see config_cpus() */
	const char *pin;	/* host CPUs, NULL: the host's scheduler decides */
	uint64_t debug_exit, debug_console;	/* ports, or CONFIG_NO_PORT */
	struct virtio_options devices;
	const char *control;	/* a socket's path, NULL: none */
	const char *transport;	/* "pci" or "mmio" */
	const char *rings;	/* "split" or "packed" */
	bool device_tree;
	uint64_t tsc_khz;	/* of the guest, 0: the host's */
	const char *sched;	/* attributes, see sched.h; NULL: none */
	const char *smp_boot;	/* "sipi" or "mailbox" */
	bool shadow_paging;
	bool stats;
	bool no_reboot;
	bool help;
};

/* A guest without a megabyte cannot hold its own tables; 1 TiB of address space is plenty. */
#define CONFIG_MEM_MIN	(1ULL << 20)
#define CONFIG_MEM_MAX	(1ULL << 40)
#define CONFIG_CPUS_MAX	512	/* the module takes more; files a process may have open are 1024 */
#define CONFIG_HOST_CPUS_MAX	8192	/* what Linux can be built for */

#define CONFIG_PORT_MAX	0xffff
#define CONFIG_NO_PORT	UINT64_MAX

#define CONFIG_MEM_DEFAULT	(256ULL << 20)

void config_defaults(struct config *config);

enum config_mode { CONFIG_REAL, CONFIG_PROTECTED, CONFIG_LONG };

struct config_flat {
	uint64_t addr, entry;
	uint64_t mode;		/* enum config_mode */
};

/* As many host CPUs may be named as a guest may have. */
struct config_pin {
	uint16_t cpu[CONFIG_CPUS_MAX];
	unsigned int count;
};

/* Read the keys of --flat. Complains. */
enum status config_flat(const char *text, struct config_flat *flat);

/* Read a number of CPUs and its keys. Complains. */
enum status config_cpus(const char *text, struct topology *topology);

/*
 * Read host CPUs, "0,2-3": those for the guest's CPUs in turn, again from the first
 * when there are fewer. Complains.
 */
enum status config_pin(const char *text, struct config_pin *pin);

/* "/boot/initrd.img-" and the release of a kernel. */
#define CONFIG_BOOT_FILE	128

/*
 * A machine with a disk, and nothing that says what to boot, boots the kernel that this host
 * runs, with the initial RAM disk made for it, from its first disk. Done once.
 */
void config_host_kernel(struct config *config);

/* What no single option can tell: is the whole usable? Complains if not. */
enum status config_check(const struct config *config);

#endif /* RUNNER_CONFIG_H */
