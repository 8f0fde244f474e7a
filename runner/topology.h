/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How CPUs are arranged: threads in cores in sockets, and what CPUID says of it. CPU
 * number i is thread i % threads of core i / threads % cores of its socket.
 */
#ifndef RUNNER_TOPOLOGY_H
#define RUNNER_TOPOLOGY_H

#include <stdint.h>
#include <linux/vmm.h>

struct topology {
	uint64_t cpus;
	uint64_t sockets, cores, threads;	/* cores a socket, threads a core */
	uint64_t max;				/* with those added later; 0: none ever is */
};

/* All that there can be: these are arranged. */
static inline uint64_t topology_total(const struct topology *topology)
{
	return topology->max ? topology->max : topology->cpus;
}

/*
 * Fill in what the text left 0: threads and cores are 1, sockets what is needed.
 * NULL, or what is wrong: the product must be the number of CPUs, and as APIC ids have
 * no gaps, all levels but the highest with more than one are powers of two.
 */
const char *topology_complete(struct topology *topology);

/*
 * Change the CPUID table of the CPU with APIC id @apic_id. A CPU that is a socket of
 * its own is what the module's table says already.
 */
void topology_cpuid(const struct topology *topology, uint32_t apic_id,
		    struct vmm_cpuid_entry *entries, unsigned int count);

#endif /* RUNNER_TOPOLOGY_H */
