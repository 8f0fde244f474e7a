/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `vmm run --stats`: why the guest's CPUs left the guest, counted by the module, and
 * what the VM's page tables take.
 */
#ifndef RUNNER_STATS_H
#define RUNNER_STATS_H

#include <stdint.h>
#include <stdio.h>
#include <linux/vmm.h>
#include "config.h"

struct machine;

struct stats_cpu {
	uint64_t exits;
	uint64_t returns;	/* those that vmm had to serve */
};

struct stats {
	uint64_t exits[VMM_NR_STAT_EXIT];	/* of all CPUs */
	struct stats_cpu cpu[CONFIG_CPUS_MAX];
	unsigned int cpus;
	uint64_t table_pages;			/* of the last machine */
	uint64_t table_limit;			/* of them; 0: nested paging, which has none */
};

/*
 * Add what @machine has counted so far; it may run. A machine that restarts is another
 * one: what was added stays. Returns 0, or -errno of what the module refused.
 */
int stats_add(struct stats *stats, struct machine *machine);

/*
 * The table, most frequent reason first, reasons that never were left out. Each line ends
 * with @eol, as a terminal in raw mode wants another.
 */
void stats_print(const struct stats *stats, FILE *out, const char *eol);

#endif /* RUNNER_STATS_H */
