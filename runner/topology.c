// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Topology in CPUID, for both vendors' ways to tell it. Facts: Intel SDM, "CPUID -
 * CPU Identification"; AMD APM volume 3, "Obtaining Processor Information Via the
 * CPUID Instruction".
 *
 * A leaf that the table lacks is left out: the other vendor's.
 */
#include <stdbool.h>
#include <stddef.h>
#include "topology.h"

/* Leaf 1 */
#define LOGICAL_SHIFT		16		/* EBX: APIC ids a socket */
#define LOGICAL_MASK		0x00ff0000u
#define HTT			(1u << 28)	/* EDX: that field counts */
/* Leaf 4, EAX */
#define CACHE_LEVEL_SHIFT	5
#define CACHE_LEVEL_MASK	7
#define CACHE_SHARED_LEVEL	3		/* the last one is the socket's */
#define CACHE_SHARING_SHIFT	14
#define CACHE_CORES_SHIFT	26
#define CACHE_CORES_MAX		0x3f
#define CACHE_KEEP		0x3fffu
/* Leaf 0xb, ECX: the level's type */
#define LEVEL_TYPE_SHIFT	8
#define LEVEL_THREAD		1
#define LEVEL_CORE		2
/* 0x80000001, ECX */
#define CMP_LEGACY		(1u << 1)
#define TOPOEXT			(1u << 22)
#define BYTE_MAX		0xffu		/* what the fields below hold */
/* 0x80000008, ECX */
#define ID_SIZE_SHIFT		12
/* 0x8000001e, EBX */
#define THREADS_SHIFT		8

/* Bits that count @n things. */
static unsigned int bits(uint64_t n)
{
	unsigned int count = 0;

	while (1ULL << count < n)
		count++;
	return count;
}

static bool is_power(uint64_t n)
{
	return !(n & (n - 1));
}

const char *topology_complete(struct topology *t)
{
	const uint64_t total = topology_total(t);

	if (total < t->cpus)
		return "there are more CPUs than max";
	if (!t->threads)
		t->threads = 1;
	if (!t->cores)
		t->cores = t->sockets ? total / t->sockets / t->threads : 1;
	if (!t->sockets)
		t->sockets = total / t->cores / t->threads;
	if (t->sockets * t->cores * t->threads != total)
		return "sockets times cores times threads are not the number of CPUs, or max";
	if ((t->cores * t->sockets > 1 && !is_power(t->threads)) ||
	    (t->sockets > 1 && !is_power(t->cores)))
		return "threads, and cores of several sockets, must be powers of two";
	return NULL;
}

struct view {
	const struct topology *t;
	uint32_t apic_id;
	unsigned int thread_bits, socket_bits;	/* of an APIC id, below core and socket */
};

static void leaf_1(const struct view *view, struct vmm_cpuid_entry *e)
{
	/* 256 does not fit; who has that many asks leaf 0xb. */
	uint32_t ids = view->socket_bits < 8 ? 1u << view->socket_bits : 0xff;

	e->ebx = (e->ebx & ~LOGICAL_MASK) | ids << LOGICAL_SHIFT;
	e->edx |= HTT;
}

static void leaf_4(const struct view *view, struct vmm_cpuid_entry *e)
{
	bool shared = (e->eax >> CACHE_LEVEL_SHIFT & CACHE_LEVEL_MASK) >= CACHE_SHARED_LEVEL;
	uint32_t cores = (1u << (view->socket_bits - view->thread_bits)) - 1;
	uint32_t sharing = (1u << (shared ? view->socket_bits : view->thread_bits)) - 1;

	if (cores > CACHE_CORES_MAX)
		cores = CACHE_CORES_MAX;
	e->eax = (e->eax & CACHE_KEEP) | sharing << CACHE_SHARING_SHIFT |
		 cores << CACHE_CORES_SHIFT;
}

static void leaf_b(const struct view *view, struct vmm_cpuid_entry *e)
{
	const struct topology *t = view->t;

	if (!e->index) {
		e->eax = view->thread_bits;
		e->ebx = t->threads;
		e->ecx = LEVEL_THREAD << LEVEL_TYPE_SHIFT;
	} else if (e->index == 1) {
		e->eax = view->socket_bits;
		e->ebx = t->threads * t->cores;
		e->ecx = 1 | LEVEL_CORE << LEVEL_TYPE_SHIFT;
	}
}

static void leaf_80000001(const struct view *view, struct vmm_cpuid_entry *e)
{
	e->ecx |= view->t->threads > 1 ? TOPOEXT : CMP_LEGACY;
}

static void leaf_80000008(const struct view *view, struct vmm_cpuid_entry *e)
{
	uint64_t others = view->t->cores * view->t->threads - 1;

	/* More do not fit; who has them asks leaf 0xb. */
	if (others > BYTE_MAX)
		others = BYTE_MAX;
	e->ecx = others | view->socket_bits << ID_SIZE_SHIFT;
}

static void leaf_8000001e(const struct view *view, struct vmm_cpuid_entry *e)
{
	uint32_t core = (view->apic_id & ((1u << view->socket_bits) - 1)) >> view->thread_bits;

	if (view->t->threads == 1)
		return;
	e->eax = view->apic_id;
	e->ebx = ((view->t->threads - 1) & BYTE_MAX) << THREADS_SHIFT | (core & BYTE_MAX);
	e->ecx = (view->apic_id >> view->socket_bits) & BYTE_MAX;
}

static const struct {
	uint32_t function;
	bool amd;
	void (*fill)(const struct view *view, struct vmm_cpuid_entry *e);
} leaves[] = {
	{ 1, false, leaf_1 },
	{ 4, false, leaf_4 },
	{ 0xb, false, leaf_b },
	{ 0x80000001, true, leaf_80000001 },
	{ 0x80000008, true, leaf_80000008 },
	{ 0x8000001e, true, leaf_8000001e },
};

/* "AuthenticAMD" and "HygonGenuine" have leaf 0x8000001e, other vendors have not. */
static bool is_amd(const struct vmm_cpuid_entry *entries, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (entries[i].function == 0x8000001e)
			return true;
	return false;
}

void topology_cpuid(const struct topology *t, uint32_t apic_id, struct vmm_cpuid_entry *entries,
		    unsigned int count)
{
	struct view view = {
		.t = t,
		.apic_id = apic_id,
		.thread_bits = bits(t->threads),
		.socket_bits = bits(t->threads) + bits(t->cores),
	};
	bool amd = is_amd(entries, count);

	if (t->cores * t->threads == 1)
		return;
	for (unsigned int i = 0; i < count; i++)
		for (size_t j = 0; j < sizeof(leaves) / sizeof(leaves[0]); j++)
			if (leaves[j].function == entries[i].function && (amd || !leaves[j].amd))
				leaves[j].fill(&view, &entries[i]);
}
