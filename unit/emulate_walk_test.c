// SPDX-License-Identifier: GPL-2.0-or-later
/* unit-sources: ../lib/emul_walk.c */
/* unit-flags: -fno-strict-aliasing */
/*
 * Accessed and dirty bits: for each paging mode a walk to a page of each size, the
 * bits of every entry before and after, and walks that must not be believed.
 */
#include <errno.h>
#include <string.h>

#include "../lib/emul.h"
#include "tap.h"

#define P	1ull
#define W	2ull
#define A	0x20ull
#define D	0x40ull
#define PS	0x80ull

/* Tables at 0x1000, 0x2000, ... of this memory, the root first. */
static uint64_t memory[8 * 512];
static bool readonly;
static bool contended;

static int ram_read(void *data, uint64_t gpa, void *buf, unsigned int len)
{
	(void)data;
	if (gpa > sizeof(memory) - len)
		return -EFAULT;
	memcpy(buf, (uint8_t *)memory + gpa, len);
	return 0;
}

static int ram_replace(void *data, uint64_t gpa, const void *old, const void *new,
		       unsigned int len)
{
	(void)data;
	if (readonly || gpa > sizeof(memory) - len)
		return -EFAULT;
	if (contended || memcmp((uint8_t *)memory + gpa, old, len))
		return 0;
	memcpy((uint8_t *)memory + gpa, new, len);
	return 1;
}

static const struct emul_env env = { .ram_read = ram_read, .ram_replace = ram_replace };

struct mode {
	const char *name;
	unsigned int levels, entry, bits, leaf;	/* leaf: the level of the last entry */
	struct vmm_ctrl ctrl;
};

#define CR0	(EMUL_CR0_PE | EMUL_CR0_PG)

static const struct mode modes[] = {
	{ "32-bit, 4K", 2, 4, 10, 1, { .cr0 = CR0, .cr3 = 0x1000, .cr4 = EMUL_CR4_PSE } },
	{ "32-bit, 4M", 2, 4, 10, 2, { .cr0 = CR0, .cr3 = 0x1000, .cr4 = EMUL_CR4_PSE } },
	{ "PAE, 4K", 2, 8, 9, 1, { .cr0 = CR0, .cr4 = EMUL_CR4_PAE, .pdpte = { 0, 0x1001 } } },
	{ "PAE, 2M", 2, 8, 9, 2, { .cr0 = CR0, .cr4 = EMUL_CR4_PAE, .pdpte = { 0, 0x1001 } } },
	{ "4 levels, 4K", 4, 8, 9, 1,
	  { .cr0 = CR0, .cr3 = 0x1000, .cr4 = EMUL_CR4_PAE, .efer = EMUL_EFER_LMA } },
	{ "4 levels, 2M", 4, 8, 9, 2,
	  { .cr0 = CR0, .cr3 = 0x1000, .cr4 = EMUL_CR4_PAE, .efer = EMUL_EFER_LMA } },
	{ "4 levels, 1G", 4, 8, 9, 3,
	  { .cr0 = CR0, .cr3 = 0x1fff, .cr4 = EMUL_CR4_PAE, .efer = EMUL_EFER_LMA } },
	{ "5 levels, 4K", 5, 8, 9, 1,
	  { .cr0 = CR0, .cr3 = 0x1018, .cr4 = EMUL_CR4_PAE | EMUL_CR4_LA57,
	    .efer = EMUL_EFER_LMA } },
	{ "5 levels, 2M", 5, 8, 9, 2,
	  { .cr0 = CR0, .cr3 = 0x1000, .cr4 = EMUL_CR4_PAE | EMUL_CR4_LA57,
	    .efer = EMUL_EFER_LMA } },
};

#define GVA	0x4d2b6789ull	/* PDPTE 1, some index at each level */

static uint8_t *entry_at(const struct mode *m, unsigned int level)
{
	uint64_t index = GVA >> (12 + m->bits * (level - 1));

	index &= (1u << m->bits) - 1;
	return (uint8_t *)memory + 0x1000 * (m->levels - level + 1) + index * m->entry;
}

static uint64_t entry_get(const struct mode *m, unsigned int level)
{
	uint64_t entry = 0;

	memcpy(&entry, entry_at(m, level), m->entry);
	return entry;
}

static void entry_set(const struct mode *m, unsigned int level, uint64_t entry)
{
	memcpy(entry_at(m, level), &entry, m->entry);
}

static uint64_t page_size(const struct mode *m)
{
	return 1ull << (12 + m->bits * (m->leaf - 1));
}

/* Fill the tables; returns the address that GVA has. */
static uint64_t build(const struct mode *m)
{
	uint64_t frame = 0x7fc0000000ull & ~(page_size(m) - 1);
	unsigned int level;

	if (m->entry == 4)
		frame &= UINT32_MAX;
	memset(memory, 0, sizeof(memory));
	readonly = false;
	contended = false;
	for (level = m->levels; level > m->leaf; level--)
		entry_set(m, level, 0x1000 * (m->levels - level + 2) | W | P);
	entry_set(m, m->leaf, frame | W | P | (m->leaf > 1 ? PS : 0));
	return frame | (GVA & (page_size(m) - 1));
}

static bool all_accessed(const struct mode *m)
{
	unsigned int level;

	for (level = m->levels; level >= m->leaf; level--)
		if (!(entry_get(m, level) & A))
			return false;
	return true;
}

static bool none_dirty_above(const struct mode *m)
{
	unsigned int level;

	for (level = m->levels; level > m->leaf; level--)
		if (entry_get(m, level) & D)
			return false;
	return true;
}

static int mark(const struct mode *m, bool write, uint64_t gpa)
{
	return emul_mark_accessed(&env, NULL, &m->ctrl, GVA, write, gpa);
}

static void check(const struct mode *m)
{
	uint64_t gpa = build(m), before;

	is(mark(m, false, gpa), 0, "%s: a read", m->name);
	ok(all_accessed(m), "sets every accessed bit");
	ok(!(entry_get(m, m->leaf) & D), "and no dirty bit");
	is(mark(m, true, gpa), 0, "%s: a write", m->name);
	ok(entry_get(m, m->leaf) & D, "sets the leaf's dirty bit");
	ok(none_dirty_above(m), "and none above");

	gpa = build(m);
	is(mark(m, true, gpa ^ 0x1000), -EAGAIN, "%s: another address is refused", m->name);
	ok(!(entry_get(m, m->leaf) & (A | D)), "and the leaf not marked");

	gpa = build(m);
	entry_set(m, m->leaf, 0);
	is(mark(m, false, gpa), -EAGAIN, "%s: an absent leaf is refused", m->name);

	gpa = build(m);
	contended = true;
	is(mark(m, false, gpa), -EAGAIN, "%s: a lost race is reported", m->name);
	contended = false;
	readonly = true;
	before = entry_get(m, m->leaf);
	is(mark(m, true, gpa), 0, "%s: tables in ROM are no error", m->name);
	is(entry_get(m, m->leaf), before, "and stay");
}

static void oddities(void)
{
	struct mode pse36 = modes[1];
	struct vmm_ctrl off = {};
	struct mode no_pse = modes[0];
	uint64_t gpa;

	is(emul_mark_accessed(&env, NULL, &off, GVA, true, GVA), 0, "without paging: no tables");

	gpa = build(&pse36) | 0x5ull << 32;
	entry_set(&pse36, 2, entry_get(&pse36, 2) | 5 << 13);
	is(mark(&pse36, false, gpa), 0, "a 4M page above 4G has its high bits at 13");

	gpa = build(&no_pse);
	no_pse.ctrl.cr4 = 0;
	entry_set(&no_pse, 2, entry_get(&no_pse, 2) | PS);
	is(mark(&no_pse, false, gpa), 0, "without CR4.PSE bit 7 maps no large page");
}

int main(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(modes); i++)
		check(&modes[i]);
	oddities();
	return tap_end();
}
