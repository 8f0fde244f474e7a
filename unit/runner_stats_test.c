// SPDX-License-Identifier: GPL-2.0-or-later
/* What --stats prints of what the module, here a table, has counted. */
/* unit-sources: ../runner/stats.c ../lib/stats.c */
/* unit-flags: -D_GNU_SOURCE */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "tap.h"
#include "../lib/internal.h"
#include "../runner/machine.h"
#include "../runner/stats.h"

#define CPUS	2

static struct vmm_vcpu vcpu_handle[CPUS] = { { .fd = 0 }, { .fd = 1 } };
static struct vmm vm = { .fd = 10 };
static struct vmm_vcpu_stats counted[CPUS];
static int refuse;

static uint64_t table_limit;

int device_ioctl(int fd, unsigned long request, const void *arg)
{
	/* As the module does: what it is given is written to. */
	void *stats = (void *)arg;

	if (refuse)
		return refuse;
	if (request == VMM_GET_VM_STATS)
		*(struct vmm_vm_stats *)stats = (struct vmm_vm_stats) {
			.table_pages = 7, .table_limit = table_limit,
		};
	else
		*(struct vmm_vcpu_stats *)stats = counted[fd];
	return 0;
}

static char *printed(const struct stats *stats, const char *eol)
{
	static char text[8192];
	FILE *out = fmemopen(text, sizeof(text), "w");

	stats_print(stats, out, eol);
	fclose(out);
	return text;
}

static struct machine *machine_of(unsigned int cpus)
{
	static struct vcpu vcpu[CPUS];
	static struct machine machine = { .vm = &vm, .vcpu = vcpu,
					  .vcpu_lock = PTHREAD_MUTEX_INITIALIZER };

	machine.vcpus = cpus;
	for (unsigned int i = 0; i < CPUS; i++)
		vcpu[i].handle = &vcpu_handle[i];
	return &machine;
}

static void test_table(void)
{
	static struct stats stats;

	counted[0] = (struct vmm_vcpu_stats) { .returns = 5 };
	counted[0].exits[VMM_STAT_INTR] = 100;
	counted[0].exits[VMM_STAT_NMI] = 1;
	counted[0].exits[VMM_STAT_PIO] = 5;
	counted[1] = (struct vmm_vcpu_stats) { .returns = 2 };
	counted[1].exits[VMM_STAT_MEMORY] = 40;
	counted[1].exits[VMM_STAT_PIO] = 3;
	is(stats_add(&stats, machine_of(1)), 0, "one CPU");
	is_str(printed(&stats, "\n"),
	       "all exits                         106\n"
	       "but host interrupts                 5\n"
	       "served by vmm                       5\n"
	       "host interrupt                    100\n"
	       "port I/O                            5\n"
	       "host NMI                            1\n"
	       "pages of page tables                7\n", "is a table of what there was");
	is(stats_add(&stats, machine_of(2)), 0, "after a restart, with two CPUs");
	is_str(printed(&stats, "\r\n"),
	       "all exits                         255\r\n"
	       "but host interrupts                53\r\n"
	       "served by vmm                      12\r\n"
	       "host interrupt                    200\r\n"
	       "memory                             40\r\n"
	       "port I/O                           13\r\n"
	       "host NMI                            2\r\n"
	       "CPU 0                             212, 10 served by vmm\r\n"
	       "CPU 1                              43, 2 served by vmm\r\n"
	       "pages of page tables                7\r\n", "the sums go on, each CPU has a line");
	table_limit = 1024;
	is(stats_add(&stats, machine_of(1)), 0, "with shadow paging");
	ok(strstr(printed(&stats, "\n"), "pages of page tables                7\n"
		  "shadow paging allows             1024\n"), "it has the limit of tables");
	refuse = -ENOTTY;
	is(stats_add(&stats, machine_of(1)), -ENOTTY, "a module that does not count");
}

int main(void)
{
	test_table();
	return tap_end();
}
