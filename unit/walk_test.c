// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The walk of guest page tables (kmod/mmu/paging.h) against a second walker that
 * is written mode by mode, as the manuals describe them, with no table of
 * formats: "Paging" of the Intel manual, "Page Translation and Protection" of
 * AMD's. Both read the same small memory; both answers have to agree.
 */
/* unit-flags: -Ishim -I../kmod -O2 */
#include <stdlib.h>

#include "mmu/paging.h"
#include "tap.h"

#define RAM_SIZE	(256 * 1024)
#define CASES_A_MODE	400000
#define NOTES		5

static union {
	u8 bytes[RAM_SIZE];
	u32 narrow[RAM_SIZE / 4];
	u64 wide[RAM_SIZE / 8];
} ram;

/* ---- deterministic random numbers (xorshift) ---- */

static u64 seed = 0x9e3779b97f4a7c15;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static bool one_in(unsigned int n)
{
	return (rnd() >> 20) % n == 0;
}

/* ---- memory ---- */

/* @context counts the reads: what is read more often than needed may change between. */
static bool ram_read(void *context, u64 gpa, unsigned int shift, u64 *entry)
{
	unsigned int *reads = context;

	++*reads;
	if (gpa > RAM_SIZE - (1U << shift))
		return false;
	*entry = shift == 3 ? ram.wide[gpa / 8] : ram.narrow[gpa / 4];
	return true;
}

/* ---- the reference ---- */

struct guest {
	struct vmm_ctrl ctrl;
	u64 rflags;
	u32 pkru;
	unsigned int phys_bits;
	bool gbpages;
	bool pdpte_registers;
};

struct answer {
	enum paging_outcome outcome;
	u64 gpa;
	u32 error;
	unsigned int reads;
};

/* What the levels so far grant. */
struct grant {
	bool user, write, execute;
};

static bool nx_enabled(const struct guest *g)
{
	return (g->ctrl.efer & EFER_NX) && (g->ctrl.cr4 & X86_CR4_PAE);
}

static struct answer unreadable(void)
{
	return (struct answer) { .outcome = PAGING_UNREADABLE };
}

static struct answer fault(const struct guest *g, u32 access, bool present, bool reserved)
{
	struct answer a = { .outcome = PAGING_FAULT };

	if (present)
		a.error += 1;
	if (access & VMM_ACCESS_WRITE)
		a.error += 2;
	if (access & VMM_ACCESS_USER)
		a.error += 4;
	if (reserved)
		a.error += 8;
	if (access & VMM_ACCESS_EXEC)
		if ((g->ctrl.cr4 & X86_CR4_SMEP) || nx_enabled(g))
			a.error += 16;
	return a;
}

/* "Determination of Access Rights", one sentence a line. */
static bool permitted(const struct guest *g, u32 access, struct grant at)
{
	bool wp = g->ctrl.cr0 & X86_CR0_WP;
	bool smep = g->ctrl.cr4 & X86_CR4_SMEP;
	bool smap = g->ctrl.cr4 & X86_CR4_SMAP;
	bool ac = g->rflags & X86_EFLAGS_AC;

	if (access & VMM_ACCESS_USER) {
		if (!at.user)
			return false;
		if ((access & VMM_ACCESS_WRITE) && !at.write)
			return false;
		if ((access & VMM_ACCESS_EXEC) && !at.execute)
			return false;
		return true;
	}
	if (access & VMM_ACCESS_READ)
		if (at.user && smap && !ac)
			return false;
	if (access & VMM_ACCESS_WRITE) {
		if (at.user && smap && !ac)
			return false;
		if (wp && !at.write)
			return false;
	}
	if (access & VMM_ACCESS_EXEC) {
		if (at.user && smep)
			return false;
		if (!at.execute)
			return false;
	}
	return true;
}

static struct answer finish(const struct guest *g, u32 access, struct grant grant, u64 gpa)
{
	if (!permitted(g, access, grant))
		return fault(g, access, true, false);
	return (struct answer) { .outcome = PAGING_OK, .gpa = gpa };
}

static void narrow_grant(struct grant *grant, u64 entry)
{
	grant->write = grant->write && (entry & 2);
	grant->user = grant->user && (entry & 4);
	if (entry >> 63)
		grant->execute = false;
}

static unsigned int ref_reads;

static bool ref_read(u64 gpa, unsigned int bytes, u64 *entry)
{
	ref_reads++;
	*entry = 0;
	if (gpa + bytes > RAM_SIZE)
		return false;
	memcpy(entry, ram.bytes + gpa, bytes);
	return true;
}

static struct answer ref_32(const struct guest *g, u32 gva, u32 access)
{
	struct grant grant = { true, true, true };
	u64 pde, pte;

	if (!ref_read((g->ctrl.cr3 & 0xfffff000) + (gva >> 22) * 4, 4, &pde))
		return unreadable();
	if (!(pde & 1))
		return fault(g, access, false, false);
	narrow_grant(&grant, pde);
	if ((pde & 0x80) && (g->ctrl.cr4 & X86_CR4_PSE)) {
		u64 high = (pde >> 13) & 0xff;

		if (pde & 0x200000)
			return fault(g, access, true, true);
		if (g->phys_bits < 40 && high >> (g->phys_bits - 32))
			return fault(g, access, true, true);
		return finish(g, access, grant,
			      (high << 32) + (pde & 0xffc00000) + (gva & 0x3fffff));
	}
	if (!ref_read((pde & 0xfffff000) + ((gva >> 12) & 0x3ff) * 4, 4, &pte))
		return unreadable();
	if (!(pte & 1))
		return fault(g, access, false, false);
	narrow_grant(&grant, pte);
	return finish(g, access, grant, (pte & 0xfffff000) + (gva & 0xfff));
}

/* Bits 51 to the physical width must be 0; bit 63 too, unless NX is enabled. */
static bool wide_reserved(const struct guest *g, u64 entry)
{
	u64 address = entry & 0x000ffffffffff000;

	return address >> g->phys_bits || (entry >> 63 && !(g->ctrl.efer & EFER_NX));
}

#define ADDRESS(entry)	((entry) & 0x000ffffffffff000)

static struct answer ref_pae(const struct guest *g, u32 gva, u32 access)
{
	struct grant grant = { true, true, true };
	u64 pdpte, pde, pte;

	if (g->pdpte_registers)
		pdpte = g->ctrl.pdpte[gva >> 30];
	else if (!ref_read((g->ctrl.cr3 & 0xffffffe0) + (gva >> 30) * 8, 8, &pdpte))
		return unreadable();
	if (!(pdpte & 1))
		return fault(g, access, false, false);
	/* In memory the bit of an accessed entry is let pass: see mmu/paging.h. */
	if (wide_reserved(g, pdpte) ||
	    (pdpte & (g->pdpte_registers ? 0xfff00000000001e6 : 0xfff00000000001c6)))
		return fault(g, access, true, true);

	if (!ref_read(ADDRESS(pdpte) + ((gva >> 21) & 0x1ff) * 8, 8, &pde))
		return unreadable();
	if (!(pde & 1))
		return fault(g, access, false, false);
	if (wide_reserved(g, pde) || (pde & 0x7ff0000000000000))
		return fault(g, access, true, true);
	narrow_grant(&grant, pde);
	if (pde & 0x80) {
		if (pde & 0x1fe000)
			return fault(g, access, true, true);
		return finish(g, access, grant,
			      (ADDRESS(pde) & ~0x1fffffULL) + (gva & 0x1fffff));
	}

	if (!ref_read(ADDRESS(pde) + ((gva >> 12) & 0x1ff) * 8, 8, &pte))
		return unreadable();
	if (!(pte & 1))
		return fault(g, access, false, false);
	if (wide_reserved(g, pte) || (pte & 0x7ff0000000000000))
		return fault(g, access, true, true);
	narrow_grant(&grant, pte);
	return finish(g, access, grant, ADDRESS(pte) + (gva & 0xfff));
}

/* Only long mode has keys, and only pages that users may have. */
static struct answer finish_keyed(const struct guest *g, u32 access, struct grant grant, u64 gpa,
				  u64 entry)
{
	const unsigned int bits = g->pkru >> (entry >> 59 & 15) * 2 & 3;
	const bool write = access & VMM_ACCESS_WRITE, user = access & VMM_ACCESS_USER;
	struct answer a;

	if (!(g->ctrl.cr4 & X86_CR4_PKE) || !grant.user || (access & VMM_ACCESS_EXEC))
		return finish(g, access, grant, gpa);
	if (!(bits & 1) && !(bits == 2 && write && (user || (g->ctrl.cr0 & X86_CR0_WP))))
		return finish(g, access, grant, gpa);
	a = fault(g, access, true, false);
	a.error += 32;
	return a;
}

static struct answer ref_long(const struct guest *g, u64 gva, u32 access)
{
	struct grant grant = { true, true, true };
	u64 entry, table = ADDRESS(g->ctrl.cr3);
	int level;

	for (level = g->ctrl.cr4 & X86_CR4_LA57 ? 5 : 4; level >= 1; level--) {
		u64 page = 1ULL << (12 + 9 * (level - 1));

		if (!ref_read(table + gva / page % 512 * 8, 8, &entry))
			return unreadable();
		if (!(entry & 1))
			return fault(g, access, false, false);
		if (wide_reserved(g, entry))
			return fault(g, access, true, true);
		if ((entry & 0x80) && (level > 3 || (level == 3 && !g->gbpages)))
			return fault(g, access, true, true);
		narrow_grant(&grant, entry);
		if (level == 1)
			break;
		if (entry & 0x80) {
			if (ADDRESS(entry) % page & ~0x1000ULL)
				return fault(g, access, true, true);
			return finish_keyed(g, access, grant,
					    ADDRESS(entry) / page * page + gva % page, entry);
		}
		table = ADDRESS(entry);
	}
	return finish_keyed(g, access, grant, ADDRESS(entry) + gva % 4096, entry);
}

static struct answer ref_mode(const struct guest *g, u64 gva, u32 access)
{
	if (g->ctrl.efer & EFER_LMA)
		return ref_long(g, gva, access);
	if (g->ctrl.cr4 & X86_CR4_PAE)
		return ref_pae(g, gva, access);
	return ref_32(g, gva, access);
}

static struct answer ref_walk(const struct guest *g, u64 gva, u32 access)
{
	struct answer a;

	ref_reads = 0;
	a = ref_mode(g, gva, access);
	a.reads = ref_reads;
	return a;
}

/* ---- the comparison ---- */

struct tally {
	unsigned int ok, faults, unreadable, wrong;
};

static struct answer walk(const struct guest *g, u64 gva, u32 access)
{
	struct answer a = { };
	struct paging paging = { };
	struct paging_cpu cpu;

	paging_cpu_init(&cpu, g->phys_bits, g->gbpages, g->pdpte_registers);
	paging_setup(&paging, &g->ctrl, g->rflags, g->pkru, &cpu);
	a.outcome = paging_walk(&paging, paging.format, gva, access, ram_read, &a.reads, &a.gpa,
				&a.error);
	return a;
}

static void compare(const struct guest *g, u64 gva, u32 access, struct tally *tally)
{
	struct answer want = ref_walk(g, gva, access);
	struct answer got = walk(g, gva, access);
	bool same = got.outcome == want.outcome && got.reads == want.reads;

	if (same && want.outcome == PAGING_OK)
		same = got.gpa == want.gpa;
	if (same && want.outcome == PAGING_FAULT)
		same = got.error == want.error;
	tally->ok += want.outcome == PAGING_OK;
	tally->faults += want.outcome == PAGING_FAULT;
	tally->unreadable += want.outcome == PAGING_UNREADABLE;
	if (same)
		return;
	if (tally->wrong++ >= NOTES)
		return;
	tap_note("cr0 %#llx cr3 %#llx cr4 %#llx efer %#llx gva %#llx access %#x:", g->ctrl.cr0,
		 g->ctrl.cr3, g->ctrl.cr4, g->ctrl.efer, gva, access);
	tap_note("  expected outcome %d, gpa %#llx, error %#x after %u reads", want.outcome,
		 want.gpa, want.error, want.reads);
	tap_note("  got      outcome %d, gpa %#llx, error %#x after %u reads", got.outcome,
		 got.gpa, got.error, got.reads);
}

/* ---- random tables ---- */

static const struct mode {
	const char *name;
	u64 cr4, efer;
	unsigned int levels, index_bits, entry_size;
} modes[] = {
	{ "32-bit", 0, 0, 2, 10, 4 },
	{ "32-bit with large pages", X86_CR4_PSE, 0, 2, 10, 4 },
	{ "PAE", X86_CR4_PAE, 0, 3, 9, 8 },
	{ "4-level", X86_CR4_PAE, EFER_LME | EFER_LMA, 4, 9, 8 },
	{ "5-level", X86_CR4_PAE | X86_CR4_LA57, EFER_LME | EFER_LMA, 5, 9, 8 },
};

static void set_mode(struct guest *g, const struct mode *mode)
{
	*g = (struct guest) {
		.ctrl.cr0 = X86_CR0_PE | X86_CR0_PG,
		.ctrl.cr4 = mode->cr4,
		.ctrl.efer = mode->efer,
		.phys_bits = 48,
		.gbpages = true,
	};
}

static void random_controls(struct guest *g)
{
	static const u8 widths[] = { 36, 39, 40, 46, 48, 52 };

	if (one_in(2))
		g->ctrl.cr0 |= X86_CR0_WP;
	if (one_in(2))
		g->ctrl.cr4 |= X86_CR4_SMEP;
	if (one_in(2))
		g->ctrl.cr4 |= X86_CR4_SMAP;
	if ((g->ctrl.cr4 & X86_CR4_PAE) && one_in(3))
		g->ctrl.cr4 |= X86_CR4_PSE;		/* means nothing there */
	if (!one_in(3))
		g->ctrl.efer |= EFER_NX;
	if (one_in(2))
		g->ctrl.cr4 |= X86_CR4_PKE;
	g->pkru = one_in(4) ? 0 : rnd();
	if (one_in(2))
		g->rflags |= X86_EFLAGS_AC;
	g->phys_bits = widths[(rnd() >> 20) % ARRAY_SIZE(widths)];
	g->gbpages = !one_in(3);
}

static u32 random_access(void)
{
	static const u32 kinds[] = {
		VMM_ACCESS_READ, VMM_ACCESS_WRITE, VMM_ACCESS_EXEC,
		VMM_ACCESS_READ | VMM_ACCESS_WRITE,
	};

	return kinds[(rnd() >> 20) % ARRAY_SIZE(kinds)] | (one_in(2) ? VMM_ACCESS_USER : 0);
}

/*
 * Mostly an entry that leads on within memory; now and then an odd bit, a large
 * page, no entry, or one that leads out of memory.
 */
static u64 random_entry(const struct mode *mode, unsigned int level)
{
	u64 entry = ((rnd() >> 20) % RAM_SIZE) & ~0xfffULL;

	entry |= rnd() & 0xe06;			/* RW, US and what software may use */
	if (!one_in(3))
		entry |= 6;
	if (!one_in(20))
		entry |= 1;
	if (one_in(4))
		entry |= 0x80;
	if (one_in(30))
		entry |= 1ULL << (rnd() >> 20) % (mode->entry_size * 8);
	if (one_in(30))
		entry ^= rnd() & 0x000ffffffffff000;
	if (one_in(8))
		entry |= 1ULL << 63;
	if (mode->levels >= 4 && one_in(2))
		entry |= (rnd() & 15) << 59;
	if ((entry & 0x80) && level > 1 && !one_in(10))	/* aligned as such */
		entry &= ~((0x1000ULL << (mode->index_bits * (level - 1))) - 0x1000);
	if (mode->levels == 3 && level == 3 && !one_in(4))
		entry &= 0x000fffffffff0e01;
	return mode->entry_size == 4 ? (u32)entry : entry;
}

static void put_entry(const struct mode *mode, u64 gpa, u64 entry)
{
	if (gpa <= RAM_SIZE - mode->entry_size)
		memcpy(ram.bytes + gpa, &entry, mode->entry_size);
}

/* Lay entries for @gva; the paths may share tables, and overwrite each other. */
static void random_path(const struct mode *mode, u64 root, u64 gva)
{
	u64 mask = mode->entry_size == 4 ? 0xfffff000 : 0x000ffffffffff000;
	unsigned int level;
	u64 table = root;

	for (level = mode->levels; level; level--) {
		u64 index = (gva >> (12 + (level - 1) * mode->index_bits)) &
			    ((1U << mode->index_bits) - 1);
		u64 entry = random_entry(mode, level);

		put_entry(mode, table + index * mode->entry_size, entry);
		table = entry & mask;
	}
}

static void test_random(const struct mode *mode)
{
	struct tally tally = { };
	unsigned int i, j;

	memset(&ram, 0, sizeof(ram));
	for (i = 0; i < CASES_A_MODE; i++) {
		struct guest g;
		u64 gva = rnd();

		set_mode(&g, mode);
		random_controls(&g);
		if (!mode->efer)
			gva = (u32)gva;
		/* Low bits are flags and PCID; PAE's table is 32-byte aligned. */
		g.ctrl.cr3 = ((rnd() >> 20) % RAM_SIZE & ~0xfffULL) | (rnd() & 0xfff);
		random_path(mode, g.ctrl.cr3 & (mode->levels == 3 ? ~0x1fULL : ~0xfffULL), gva);
		if (mode->levels == 3 && one_in(2)) {
			g.pdpte_registers = true;
			for (j = 0; j < 4; j++)
				g.ctrl.pdpte[j] = random_entry(mode, 3) & 0xfffff01;
		}
		compare(&g, gva, random_access(), &tally);
	}
	is(tally.wrong, 0, "%s: random tables, as the reference", mode->name);
	tap_note("%u translated, %u faults, %u unreadable", tally.ok, tally.faults,
		 tally.unreadable);
	/* Else the test tests little. */
	ok(tally.ok > CASES_A_MODE / 50 && tally.faults > CASES_A_MODE / 50 &&
	   tally.unreadable > CASES_A_MODE / 1000, "%s: all outcomes were seen", mode->name);
}

/* ---- the permission matrix ---- */

/* Every combination of RW, US and NX of up to three levels with all controls. */
#define LEVEL_RIGHTS	8

static u64 with_rights(unsigned int rights, u64 address, bool wide)
{
	return address | 1 | (rights & 3) << 1 | (wide && (rights & 4) ? 1ULL << 63 : 0);
}

/* Tables at 0x1000, 0x2000 ... from the top; the page itself at 0x9000. */
static void lay_tables(const struct mode *mode, const unsigned int *rights, unsigned int leaf)
{
	bool wide = mode->entry_size == 8;
	unsigned int level;

	memset(&ram, 0, 0x8000);
	for (level = mode->levels; level >= leaf; level--) {
		u64 table = 0x1000 * (mode->levels - level + 1);
		u64 next = level > leaf ? table + 0x1000 : level == 1 ? 0x9000 : 0x80;
		u64 entry = with_rights(rights[level - 1], next, wide);

		if (mode->levels == 3 && level == 3)
			entry = next | 1;
		put_entry(mode, table, entry);
	}
}

static void set_controls(struct guest *g, unsigned int controls)
{
	if (controls & 1)
		g->ctrl.cr0 |= X86_CR0_WP;
	if (controls & 2)
		g->ctrl.cr4 |= X86_CR4_SMEP;
	if (controls & 4)
		g->ctrl.cr4 |= X86_CR4_SMAP;
	if (controls & 8)
		g->rflags |= X86_EFLAGS_AC;
	if (controls & 16)
		g->ctrl.efer |= EFER_NX;
}

static void matrix_accesses(const struct mode *mode, struct tally *tally)
{
	unsigned int controls, access;
	struct guest g;

	for (controls = 0; controls < 32; controls++) {
		set_mode(&g, mode);
		g.ctrl.cr3 = 0x1000;
		set_controls(&g, controls);
		for (access = 1; access < 16; access++)
			if (access & ~VMM_ACCESS_USER)
				compare(&g, 0x123, access, tally);
	}
}

static void test_matrix(const struct mode *mode, unsigned int leaf)
{
	struct tally tally = { };
	unsigned int combination;

	for (combination = 0; combination < LEVEL_RIGHTS * LEVEL_RIGHTS * LEVEL_RIGHTS;
	     combination++) {
		unsigned int low = combination % 8, middle = combination / 8 % 8;
		unsigned int rights[] = { low, middle, combination / 64, 3, 3 };

		if (leaf == 2)
			memmove(rights + 1, rights, 3 * sizeof(*rights));
		lay_tables(mode, rights, leaf);
		matrix_accesses(mode, &tally);
	}
	is(tally.wrong, 0, "%s: every permission, %s pages", mode->name,
	   leaf == 1 ? "small" : "large");
	ok(tally.ok && tally.faults && !tally.unreadable, "%s: both outcomes were seen",
	   mode->name);
}

/* ---- fixed points, so that both walkers cannot be wrong alike ---- */

static void test_known(void)
{
	struct guest g;
	struct answer a;

	memset(&ram, 0, sizeof(ram));
	set_mode(&g, &modes[3]);
	g.ctrl.cr3 = 0x1000 | 0x18;		/* PWT and PCD are no address */
	ram.wide[0x1000 / 8 + 511] = 0x2000 | 7;
	ram.wide[0x2000 / 8 + 510] = 0x3000 | 7;
	ram.wide[0x3000 / 8 + 8] = 0x1000000 | 0x83;

	a = walk(&g, 0xffffffff81012345, VMM_ACCESS_READ);
	ok(a.outcome == PAGING_OK, "a kernel address of Linux translates");
	is(a.gpa, 0x1012345, "to the offset in its 2 MiB page");
	is(a.reads, 3, "after three entries");

	a = walk(&g, 0xffffffff81012345, VMM_ACCESS_READ | VMM_ACCESS_USER);
	ok(a.outcome == PAGING_FAULT, "user code may not read it");
	is(a.error, X86_PF_PROT | X86_PF_USER, "with the error code of a violation");

	a = walk(&g, 0x1000, VMM_ACCESS_WRITE);
	ok(a.outcome == PAGING_FAULT, "address 4096 is not mapped");
	is(a.error, X86_PF_WRITE, "with the error code of an absent page");
}

int main(void)
{
	unsigned int i;

	test_known();
	for (i = 0; i < ARRAY_SIZE(modes); i++)
		test_random(&modes[i]);
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		test_matrix(&modes[i], 1);
		if (i)
			test_matrix(&modes[i], 2);
	}
	return tap_end();
}
