// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What CPUID says of an arrangement of CPUs: the ids that a guest takes apart by it
 * must give back thread, core and socket of each CPU, by either vendor's leaves.
 */
/* unit-sources: ../runner/topology.c */
#include "tap.h"
#include "../runner/topology.h"

#define TOPOEXT	(1u << 22)

enum { ONE, FOUR, B0, B1, EXT1, EXT8, EXT1E, COUNT };

static struct vmm_cpuid_entry table[COUNT];

static void make_table(void)
{
	memset(table, 0, sizeof(table));
	table[ONE].function = 1;
	table[ONE].ebx = 0x00010800;
	table[FOUR].function = 4;
	table[FOUR].eax = 0x163;	/* of the third level */
	table[B0].function = 0xb;
	table[B1].function = 0xb;
	table[B1].index = 1;
	table[EXT1].function = 0x80000001;
	table[EXT8].function = 0x80000008;
	table[EXT8].eax = 0x3028;
	table[EXT1E].function = 0x8000001e;
}

/* CPU @i by leaf 0xb, as both vendors' CPUs have it. */
static void check_cpu(const struct topology *t, uint32_t i)
{
	uint32_t thread_bits, socket_bits, ids;

	make_table();
	topology_cpuid(t, i, table, COUNT);
	thread_bits = table[B0].eax;
	socket_bits = table[B1].eax;
	ids = 1u << socket_bits;
	is(i & ((1u << thread_bits) - 1), i % t->threads, "CPU %u: thread by leaf 0xb", i);
	is((i & (ids - 1)) >> thread_bits, i / t->threads % t->cores, "core");
	is(i >> socket_bits, i / t->threads / t->cores, "socket");
	is(table[ONE].ebx >> 16 & 0xff, ids, "ids a socket by leaf 1");
	is(table[ONE].edx, 1u << 28, "which count");
	is(table[ONE].ebx & 0xff00, 0x800, "the rest of EBX stays");
	is((table[FOUR].eax >> 26) + 1, ids >> thread_bits, "cores by leaf 4");
	is((table[FOUR].eax >> 14 & 0xfff) + 1, ids, "who share the last cache");
	is(table[FOUR].eax & 0x3fff, 0x163, "the rest of EAX stays");
	is((table[EXT8].ecx & 0xff) + 1, t->cores * t->threads, "threads by leaf 0x80000008");
	is(table[EXT8].ecx >> 12, socket_bits, "and their bits");
	is(table[EXT8].eax, 0x3028, "EAX stays");
	is(!!(table[EXT1].ecx & TOPOEXT), t->threads > 1, "leaf 0x8000001e is there for threads");
	if (t->threads == 1)
		return;
	is(table[EXT1E].eax, i, "it has the APIC id");
	is(table[EXT1E].ebx, (t->threads - 1) << 8 | i / t->threads % t->cores, "the core");
	is(table[EXT1E].ecx, i / t->threads / t->cores, "the socket");
}

static void test_ids(void)
{
	static const struct topology cases[] = {
		{ 4, 1, 4, 1 }, { 4, 2, 2, 1 }, { 4, 2, 1, 2 }, { 8, 2, 2, 2 }, { 6, 1, 3, 2 },
		{ 3, 1, 1, 3 }, { 12, 3, 2, 2 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct topology t = cases[i];

		ok(!topology_complete(&t), "%llu CPUs can be arranged",
		   (unsigned long long)t.cpus);
		for (uint32_t cpu = 0; cpu < t.cpus; cpu++)
			check_cpu(&t, cpu);
	}
}

static void test_others(void)
{
	struct topology t = { 4, 4, 1, 1 };
	struct vmm_cpuid_entry before[COUNT];

	make_table();
	memcpy(before, table, sizeof(table));
	topology_cpuid(&t, 3, table, COUNT);
	ok(!memcmp(before, table, sizeof(table)), "CPUs that are sockets change nothing");
	t = (struct topology) { 4, 1, 4, 1 };
	topology_cpuid(&t, 3, table, EXT1E);
	is(table[EXT1].ecx | table[EXT8].ecx, 0, "nor do leaves of the other vendor");
	t = (struct topology) { 255, 1, 255, 1 };
	make_table();
	topology_cpuid(&t, 254, table, COUNT);
	is(table[ONE].ebx >> 16 & 0xff, 0xff, "more than fits is the most that does");
	is(table[FOUR].eax >> 26, 0x3f, "in leaf 4 as well");
	t = (struct topology) { 512, 1, 512, 1 };
	make_table();
	topology_cpuid(&t, 300, table, COUNT);
	is(table[EXT8].ecx, 0xff | 9 << 12, "and in leaf 0x80000008");
}

int main(void)
{
	test_ids();
	test_others();
	return tap_end();
}
