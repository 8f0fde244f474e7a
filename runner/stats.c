// SPDX-License-Identifier: GPL-2.0-or-later
/* Counters of a machine's CPUs, summed and printed. */
#include <stdlib.h>
#include "../lib/libvmm.h"
#include "machine.h"
#include "stats.h"

static int add_vcpu(struct stats *stats, struct vmm_vcpu *vcpu, struct stats_cpu *cpu)
{
	struct vmm_vcpu_stats counted;
	int err = vmm_vcpu_get_stats(vcpu, &counted);

	if (err)
		return err;
	for (unsigned int i = 0; i < VMM_NR_STAT_EXIT; i++) {
		stats->exits[i] += counted.exits[i];
		cpu->exits += counted.exits[i];
	}
	cpu->returns += counted.returns;
	return 0;
}

int stats_add(struct stats *stats, struct machine *machine)
{
	struct vmm_vm_stats vm;
	int err = vmm_get_stats(machine->vm, &vm);
	unsigned int cpus = 0;

	pthread_mutex_lock(&machine->vcpu_lock);
	for (unsigned int i = 0; !err && i < machine->vcpus; i++) {
		if (!machine->vcpu[i].handle)
			continue;
		err = add_vcpu(stats, machine->vcpu[i].handle, &stats->cpu[i]);
		cpus = i + 1;
	}
	pthread_mutex_unlock(&machine->vcpu_lock);
	if (err)
		return err;
	if (stats->cpus < cpus)
		stats->cpus = cpus;
	stats->table_pages = vm.table_pages;
	stats->table_limit = vm.table_limit;
	return 0;
}

struct line {
	const char *name;
	uint64_t count;
};

static int most_first(const void *a, const void *b)
{
	const struct line *one = a, *two = b;

	return (one->count < two->count) - (one->count > two->count);
}

static void print_line(FILE *out, const char *name, uint64_t count, const char *eol)
{
	fprintf(out, "%-24s %12llu%s", name, (unsigned long long)count, eol);
}

void stats_print(const struct stats *stats, FILE *out, const char *eol)
{
	struct line line[VMM_NR_STAT_EXIT];
	uint64_t sum = 0, returns = 0;

	for (unsigned int i = 0; i < VMM_NR_STAT_EXIT; i++) {
		line[i] = (struct line) { vmm_stat_exit_name(i), stats->exits[i] };
		sum += stats->exits[i];
	}
	for (unsigned int i = 0; i < stats->cpus; i++)
		returns += stats->cpu[i].returns;
	qsort(line, VMM_NR_STAT_EXIT, sizeof(line[0]), most_first);
	print_line(out, "all exits", sum, eol);
	print_line(out, "but host interrupts",
		   sum - stats->exits[VMM_STAT_INTR] - stats->exits[VMM_STAT_NMI], eol);
	print_line(out, "served by vmm", returns, eol);
	for (unsigned int i = 0; i < VMM_NR_STAT_EXIT && line[i].count; i++)
		print_line(out, line[i].name, line[i].count, eol);
	for (unsigned int i = 0; stats->cpus > 1 && i < stats->cpus; i++)
		fprintf(out, "CPU %-3u %29llu, %llu served by vmm%s", i,
			(unsigned long long)stats->cpu[i].exits,
			(unsigned long long)stats->cpu[i].returns, eol);
	print_line(out, "pages of page tables", stats->table_pages, eol);
	if (stats->table_limit)
		print_line(out, "shadow paging allows", stats->table_limit, eol);
}
