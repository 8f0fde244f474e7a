// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Random page tables, changed at random by the guest, another of its vCPUs and the
 * process; and random accesses, each compared with a reference: outcome, error code,
 * CR2, data, accessed and dirty bits (lib/probe.h). One vCPU at a time runs a list of
 * both, of random length.
 *
 * PAGING_ACCESSES is the number of accesses a mode, PAGING_SEED the seed; a failure tells
 * both seed and step (docs/testing.md).
 *
 * What the guest did not flush may be old, so an access after a change flushes first:
 * its address, or everything. On shadow paging CR3 does not see what the process wrote
 * (docs/mmu.md), which takes INVLPG or a change of CR4.PGE. Tables may be linked in
 * circles, to data, and into the part of the tables that the test needs itself: accesses
 * that would write there, or execute what is no code, are made reads.
 */
#include <stdlib.h>

#include "lib/probe.h"
#include "lib/test.h"

#define TABLES		10U	/* of the pool */
#define VCPUS		2U
#define SLOTS		6U	/* indices that are used in a table */

struct world {
	struct vm *vm;
	struct probe_model *model;
	struct probe probe[VCPUS];
	struct probe_list list;
	u32 vcpu;		/* whose turn it is */
	u32 left;		/* steps of its list */
	enum probe_mode mode;
	u64 seed;
	/* Changed since all was flushed: by a vCPU, by the process. */
	bool stale[VCPUS];
	bool stale_by_process[VCPUS];
	/* Of PAE, whose top table counts when CR3 is loaded, on some CPUs. */
	bool stale_top[VCPUS];
	bool wrote_table;	/* the last access that was found tame will */
};

static u64 setting(const char *name, u64 otherwise)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 0) : otherwise;
}

static u32 below(struct world *w, u32 limit)
{
	w->seed = w->seed * 6364136223846793005UL + 1442695040888963407UL;
	return (w->seed >> 33) % limit;
}

static bool chance(struct world *w, u32 percent)
{
	return below(w, 100) < percent;
}

static bool narrow(const struct world *w)
{
	return w->mode < PROBE_PAE;
}

/* Indices at the ends of tables and of the shadow's parts of them. */
static u32 table_index(struct world *w, bool root)
{
	static const u16 of_512[SLOTS] = { 1, 2, 255, 256, 510, 511 };
	static const u16 of_1024[SLOTS] = { 5, 6, 511, 512, 1022, 1023 };

	if (root && w->mode == PROBE_PAE)
		return 1 + below(w, 3);
	return (narrow(w) ? of_1024 : of_512)[below(w, SLOTS)];
}

static unsigned int levels(const struct world *w)
{
	return probe_levels(w->mode);
}

static u64 random_gva(struct world *w)
{
	const unsigned int bits = narrow(w) ? 10 : 9;
	unsigned int level;
	u64 gva = 0;
	int unused;

	for (level = levels(w); level; level--)
		gva = gva << bits | table_index(w, level == levels(w));
	gva = gva << 12 | below(w, 4096);
	unused = 64 - 12 - bits * levels(w);
	return w->mode == PROBE_LONG ? (u64)((int64_t)(gva << unused) >> unused) : (u32)gva;
}

static u64 random_flags(struct world *w)
{
	u64 flags = chance(w, 92) ? PTE_P : 0;

	flags |= chance(w, 75) ? PTE_W : 0;
	flags |= chance(w, 70) ? PTE_U : 0;
	flags |= chance(w, 50) ? PTE_A : 0;
	flags |= chance(w, 30) ? PTE_D : 0;
	flags |= (u64)below(w, 4) << 3 | (u64)below(w, 8) << 9;
	if (narrow(w))
		return flags;
	flags |= chance(w, 15) ? PTE_NX : 0;
	if (w->mode == PROBE_LONG && (probe_env_supported(w->mode) & PROBE_PKE))
		flags |= (u64)below(w, 16) << 59;
	if (chance(w, 2))
		flags |= 1UL << (get_info().phys_bits + below(w, 52 - get_info().phys_bits));
	return flags;
}

static u64 data_page(struct world *w)
{
	return GUEST_DATA2 + below(w, 2048) * 4096UL;
}

/*
 * A table of the pool. An accessed bit is reserved in PAE's top table, so it cannot be a
 * lower one too, nor the page that some other table's entry makes it.
 */
static u64 any_table(struct world *w)
{
	return PROBE_TABLE(w->mode == PROBE_PAE ? 1 + below(w, TABLES - 1) : below(w, TABLES));
}

/* An entry for a table that is most often of @level. */
static u64 random_entry(struct world *w, unsigned int level)
{
	u64 flags = random_flags(w);

	if (w->mode == PROBE_PAE && level == 3)
		return PROBE_TABLE(1 + below(w, TABLES - 1)) | (flags & PTE_P);
	if (level == 1) {
		if (chance(w, 4))
			return any_table(w) | flags;
		return data_page(w) | flags;
	}
	/* Bit 7 of 32-bit entries without PSE means nothing. */
	if (level <= 3 && w->mode != PROBE_32 && chance(w, level == 2 ? 30 : 4)) {
		const u64 size = narrow(w) ? 4UL << 20 : 2UL << 20;
		const u64 frame = (GUEST_DATA2 + below(w, 4) * (2UL << 20)) & ~(size - 1);

		/* There is no memory for 1 GiB: frames and bits below are reserved. */
		return frame | flags | PTE_PS | (!narrow(w) && chance(w, 3) ? 1UL << 14 : 0);
	}
	if (chance(w, 3))
		return data_page(w) | flags;
	return any_table(w) | flags;
}

static unsigned int likely_level(const struct world *w, unsigned int table)
{
	return table < levels(w) ? levels(w) - table : 1 + table % (levels(w) - 1);
}

/* Most of the pool's tables are of a fixed level, so that walks get to their end. */
static u64 linked_entry(struct world *w, unsigned int level)
{
	u64 entry = random_entry(w, level);
	unsigned int table;

	if (level == 1 || (entry & PTE_PS) || chance(w, 10))
		return entry;
	do
		table = 1 + below(w, TABLES - 1);
	while (likely_level(w, table) != level - 1);
	return (entry & (PTE_NX | 0xfff)) | PROBE_TABLE(table);
}

static u64 random_place(struct world *w, unsigned int *level)
{
	const unsigned int table = below(w, TABLES);

	*level = likely_level(w, table);
	return PROBE_TABLE(table) + table_index(w, !table) * probe_entry_size(w->mode);
}

static void make_tables(struct world *w)
{
	unsigned int table, i;

	probe_tables(w->vm, w->mode);
	memset(vm_ptr(w->vm, PROBE_TABLE(1)), 0, (PROBE_POOL_PAGES - 1) * 4096);
	probe_model_sync(w->model);
	for (table = 0; table < TABLES; table++)
		for (i = 0; i < 8; i++) {
			const unsigned int level = likely_level(w, table);

			const u64 at = PROBE_TABLE(table) + table_index(w, !table) *
				       probe_entry_size(w->mode);

			probe_model_set(w->model, w->mode, at, linked_entry(w, level));
		}
}

static void all_stale(struct world *w)
{
	unsigned int i;

	for (i = 0; i < VCPUS; i++)
		w->stale[i] = true;
}

static void add(struct world *w, enum probe_kind kind, u64 gva, u64 value)
{
	const struct probe_access operation = { .kind = kind, .gva = gva, .value = value };

	probe_list_add(&w->list, &operation);
}

/* A flush of everything, global pages too. */
static void flush_all(struct world *w)
{
	const u64 cr4 = probe_cr4(&w->probe[w->vcpu]);

	add(w, PROBE_LOAD_CR4, cr4 ^ X86_CR4_PGE, 0);
	add(w, PROBE_LOAD_CR4, cr4, 0);
	w->stale[w->vcpu] = false;
	w->stale_by_process[w->vcpu] = false;
}

static void load_cr3(struct world *w)
{
	add(w, PROBE_LOAD_CR3, w->probe[w->vcpu].cr3, 0);
	w->stale[w->vcpu] = false;
	w->stale_top[w->vcpu] = false;
}

/* What is queued has run, and another vCPU has its turn. */
static const char *next_turn(struct world *w)
{
	const char *wrong = probe_list_run(&w->list);

	w->vcpu = below(w, VCPUS);
	w->list.probe = &w->probe[w->vcpu];
	w->left = 1 + below(w, chance(w, 50) ? 20 : 400);
	if (w->stale_top[w->vcpu])
		load_cr3(w);
	return wrong;
}

static void write_by_process(struct world *w, u64 at, u64 entry)
{
	unsigned int i;

	probe_list_run(&w->list);
	probe_model_set(w->model, w->mode, at, entry);
	for (i = 0; i < VCPUS; i++)
		w->stale_by_process[i] = true;
	if (chance(w, 30))
		flush_all(w);
}

/* Who writes is random, and so is whether he flushes at once. */
static void change(struct world *w)
{
	unsigned int level, i;
	const u64 at = random_place(w, &level);
	const u64 entry = linked_entry(w, level);
	const bool top = w->mode == PROBE_PAE && level == 3;

	all_stale(w);
	if (chance(w, 5) && !top)
		write_by_process(w, at, entry);
	else
		add(w, PROBE_STORE, at, entry);
	for (i = 0; top && i < VCPUS; i++)
		w->stale_top[i] = true;
	if (top)
		load_cr3(w);
}

static bool in_data(u64 gpa)
{
	return gpa >= GUEST_DATA2 && gpa < GUEST_MEM_SIZE;
}

static bool in_pool(u64 gpa)
{
	return gpa >= PROBE_TABLE(1) && gpa < PROBE_TABLE(TABLES);
}

/* Is it memory, and may the test lose what is there? */
static bool tame(struct world *w, struct probe_access *access)
{
	struct probe_access first = *access;
	struct reference ref;
	unsigned int i;

	/* A descriptor is read before it is written. */
	if (access->kind == PROBE_SYSTEM_WRITE)
		first.kind = PROBE_SYSTEM_READ;
	probe_reference(&w->probe[w->vcpu], &first, &ref);
	for (i = 0; i < ref.steps; i++)
		if (ref.step[i].gpa >= GUEST_MEM_SIZE)
			return false;
	/* The upper halves of data pages are written, the lower executed to their end. */
	if (access->kind == PROBE_EXEC)
		access->gva &= ~0x80fUL;
	if (probe_is_system(access->kind))
		access->gva = (access->gva & ~0xfffUL) | PROBE_DESCRIPTOR;
	w->wrote_table = false;
	if (ref.fault)
		return true;
	if (ref.gpa >= GUEST_MEM_SIZE)
		return false;
	if ((access->kind == PROBE_EXEC || probe_is_system(access->kind)) && !in_data(ref.gpa))
		access->kind = PROBE_READ;
	if (access->kind == PROBE_WRITE && !in_data(ref.gpa) && !in_pool(ref.gpa))
		access->kind = PROBE_READ;
	if (access->kind == PROBE_WRITE && in_data(ref.gpa))
		access->gva |= 0x801;
	w->wrote_table = access->kind == PROBE_WRITE && in_pool(ref.gpa);
	return true;
}

static enum probe_kind random_kind(struct world *w)
{
	return chance(w, 90) ? below(w, 3) : PROBE_SYSTEM_READ + below(w, 2);
}

static void access_once(struct world *w)
{
	const u32 vcpu = w->vcpu;
	struct probe_access access = {
		.gva = random_gva(w),
		.kind = random_kind(w),
		.user = chance(w, 50),
		.ac = chance(w, 50),
		.value = below(w, 256),
	};

	if ((w->probe[vcpu].env & PROBE_PKE) && chance(w, 10))
		add(w, PROBE_LOAD_PKRU, below(w, 1U << 31) * 2U + below(w, 2), 0);
	if (!tame(w, &access))
		return;
	if (probe_is_system(access.kind) && !probe_system_ac())
		access.ac = false;
	if (w->stale_by_process[vcpu] && chance(w, 20))
		flush_all(w);
	else if (!w->stale_by_process[vcpu] && w->stale[vcpu] && chance(w, 40))
		load_cr3(w);
	else if (w->stale[vcpu] || w->stale_by_process[vcpu])
		add(w, PROBE_INVLPG, access.gva, 0);
	probe_list_add(&w->list, &access);
	if (access.kind == PROBE_WRITE && w->wrote_table)
		all_stale(w);
}

static u32 random_env(struct world *w)
{
	const u32 supported = probe_env_supported(w->mode);
	u32 env = below(w, 16) & supported;

	/* No number is drawn where it has no use: a seed means the same on most hosts. */
	if (supported & PROBE_PKE)
		env |= chance(w, 50) ? PROBE_PKE : 0;
	return env;
}

static void new_environment(struct world *w)
{
	const u32 env = random_env(w);
	unsigned int i;

	/* Both in the same, so that they share tables. */
	for (i = 0; i < VCPUS; i++) {
		probe_enter(&w->probe[i], w->mode, env);
		w->stale[i] = false;
		w->stale_by_process[i] = false;
		w->stale_top[i] = false;
	}
}

static void make_world(struct world *w)
{
	unsigned int i;

	w->vm = vm_new();
	for (i = 0; i < VCPUS; i++)
		w->probe[i] = probe_new(w->vm, i);
	probe_fill(w->vm);
	w->model = probe_model_new(w->vm);
	for (i = 0; i < VCPUS; i++)
		w->probe[i].model = w->model;
	w->list.probe = &w->probe[0];
}

static const char *random_run(enum probe_mode mode, u64 accesses)
{
	static struct world w;
	const char *wrong = NULL;
	u64 step;

	w.mode = mode;
	w.seed = setting("PAGING_SEED", 1) + mode;
	make_world(&w);
	for (step = 0; w.list.compared < accesses && !wrong; step++) {
		if (!w.left--)
			wrong = next_turn(&w);
		if (step % 1000 == 0) {
			wrong = probe_list_run(&w.list);
			if (step % 8000 == 0)
				make_tables(&w);
			new_environment(&w);
		}
		if (chance(&w, 15))
			change(&w);
		access_once(&w);
	}
	if (!wrong)
		wrong = probe_list_run(&w.list);
	printf("# %llu accesses compared; seed %llu, step %llu\n",
	       (unsigned long long)w.list.compared,
	       (unsigned long long)setting("PAGING_SEED", 1), (unsigned long long)step);
	probe_model_free(w.model);
	vm_free(w.vm);
	return wrong;
}

/* By a host's speed: an exit takes shadow paging ten times as long as an access. */
static u64 accesses_here(void)
{
	const bool nested = get_info().paging == VMM_PAGING_NESTED;
	const u32 some = nested ? 300000 : 60000;

	return setting("PAGING_ACCESSES", share_of(some));
}

#define RANDOM(name, mode)						\
TEST_TIMEOUT(random_accesses_in_##name, 280)				\
{									\
	const char *wrong;						\
									\
	if (probe_mode_broken(mode))					\
		SKIP(return, PROBE_BROKEN);				\
	wrong = random_run(mode, accesses_here());			\
	if (wrong)							\
		TH_LOG("%s", wrong);					\
	ASSERT_EQ(NULL, wrong);						\
}

RANDOM(32_bit_paging, PROBE_32)
RANDOM(32_bit_paging_with_pse, PROBE_32_PSE)
RANDOM(pae_paging, PROBE_PAE)
RANDOM(long_mode, PROBE_LONG)

VMM_TEST_MAIN
