// SPDX-License-Identifier: GPL-2.0-only
/*
 * The nested page table: one for a VM, walked by the hardware of all its vCPUs
 * while it is changed here. With mmu.lock held for reading, entries may become
 * present and gain permissions, each by one compare-and-exchange, so any number of
 * faults do so at a time; whatever takes away holds it for writing.
 *
 * Invariants, with mmu.lock held for writing:
 *  - a table is reachable by one entry only, and filled before that entry is
 *    written;
 *  - a present leaf is never pointed elsewhere: it becomes absent, TLBs are
 *    flushed, and only a later fault makes it present again. A leaf may gain
 *    write permission in place, since a TLB that lags behind costs one more
 *    fault and nothing else; and it may become a table of smaller leaves that say the
 *    same;
 *  - a table that was detached keeps its entries until TLBs, and with them the
 *    paging-structure caches, are flushed; then it belongs to who detached it.
 *
 * The work of one zap is bounded by the levels, not by the range: whole subtrees
 * are detached by one store, so mmu.lock is held for at most two partly covered
 * tables a level, and the subtrees are taken apart after it was dropped.
 */
#include <linux/gfp.h>

#include "mmu/tdp.h"

static u64 *tdp_root(const struct vmm_mmu *mmu)
{
	return __va(mmu->root);
}

/* ---- spare tables ---- */

int tdp_spare_fill(struct tdp_spare *spare)
{
	while (spare->count < spare->want) {
		struct page *page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);

		if (!page)
			return -ENOMEM;
		spare->page[spare->count++] = page;
	}
	return 0;
}

void tdp_spare_free(struct tdp_spare *spare)
{
	while (spare->count)
		__free_page(spare->page[--spare->count]);
}

/* ---- map ---- */

/*
 * Permission to write is what all entries on the way grant. To take it from a range
 * needs one store for what a whole table maps (tdp_protect()); the first write then
 * brings the missing bit down, one level at a time, to the leaves that it is about.
 */
static unsigned int write_bit(void)
{
	return __ffs(vmm_caps.nested_format->write);
}

/* The CPU sets bits of an entry at any time. True: it could be written. */
static bool forbid_write(u64 *entry)
{
	return test_and_clear_bit(write_bit(), (unsigned long *)entry);
}

/*
 * A frame's bit is taken from its log: how is the next write to get there? Where the CPU
 * reports writes, as one that sets the dirty flag again; else as a fault.
 */
static bool watch_write(u64 *entry, unsigned int level)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;

	if (!format->reports || level != VMM_LEVEL_4K)
		return forbid_write(entry);
	return test_and_clear_bit(__ffs(format->dirty), (unsigned long *)entry);
}

static bool is_writable(u64 pte)
{
	return pte & vmm_caps.nested_format->write;
}

/*
 * @entry, of state table, forbids writes for all that is below: from now on the
 * entries there do. No TLB holds any of them as writable, so none is flushed. Not two
 * at a time: the second would take away what the first has mapped since.
 */
static void push_down(struct vmm_mmu *mmu, u64 *entry)
{
	u64 *table = vmm_pte_table(vmm_caps.nested_format, READ_ONCE(*entry));
	unsigned int i;

	spin_lock(&mmu->push_lock);
	if (!is_writable(READ_ONCE(*entry))) {
		for (i = 0; i < VMM_PTES; i++)
			if (is_writable(READ_ONCE(table[i])))
				forbid_write(&table[i]);
		/* Below before above: locked instructions are in order for the walker. */
		set_bit(write_bit(), (unsigned long *)entry);
	}
	spin_unlock(&mmu->push_lock);
}

/* What has been got ready in @page takes the place of @old. False: that has changed. */
static bool add_table(struct vmm_mmu *mmu, u64 *entry, u64 old, struct tdp_spare *spare)
{
	struct page *page = spare->page[spare->count - 1];

	/* Atomic: the CPU's walker finds the contents behind the entry. */
	if (cmpxchg64(entry, old, vmm_pte_make_table(vmm_caps.nested_format,
						     page_to_phys(page))) != old)
		return false;
	spare->count--;
	atomic_long_inc(&mmu->pages);
	return true;
}

/* The same mapping in smaller leaves. TLBs may keep the large one. */
static bool split(struct vmm_mmu *mmu, u64 *entry, u64 old, unsigned int level,
		  struct tdp_spare *spare)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	const hpa_t step = vmm_level_frames(level - 1) << PAGE_SHIFT;
	u64 *table = page_address(spare->page[spare->count - 1]);
	const hpa_t hpa = vmm_pte_address(format, old);
	unsigned int i;

	for (i = 0; i < VMM_PTES; i++)
		table[i] = vmm_pte_make_leaf(format, hpa + i * step, level - 1,
					     is_writable(old)) | (old & format->accessed);
	if (add_table(mmu, entry, old, spare))
		return true;
	memset(table, 0, PAGE_SIZE);
	return false;
}

static hpa_t leaf_address(hpa_t hpa, unsigned int level)
{
	return hpa & ~((vmm_level_frames(level) << PAGE_SHIFT) - 1);
}

/* Must the large leaf @pte be split before @map can be done? */
static bool in_the_way(const struct tdp_map *map, u64 pte, unsigned int level)
{
	return map->writable && !is_writable(pte) &&
	       vmm_pte_address(vmm_caps.nested_format, pte) == leaf_address(map->hpa, level);
}

/*
 * Look at @entry of a level above the wanted one. True: there is a table, which may be
 * written as far as @map needs. False: *@missing tables have to be allocated first, or
 * if that is 0 there is a leaf.
 */
static bool go_down(struct vmm_mmu *mmu, u64 *entry, unsigned int level,
		    const struct tdp_map *map, struct tdp_spare *spare, unsigned int *missing)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	u64 pte;

	*missing = 0;
	for (;;) {
		pte = READ_ONCE(*entry);
		if (vmm_pte_present(format, pte) && !vmm_pte_is_leaf(format, pte, level))
			break;
		if (vmm_pte_present(format, pte) && !in_the_way(map, pte, level))
			return false;
		if (spare->count < level - map->level) {
			*missing = level - map->level;
			return false;
		}
		/* Failing that, somebody else was here: look again. */
		if (vmm_pte_present(format, pte))
			split(mmu, entry, pte, level, spare);
		else
			add_table(mmu, entry, pte, spare);
	}
	if (map->writable && !is_writable(pte))
		push_down(mmu, entry);
	return true;
}

/* Returns the entry for @map at *@level, map->level or above. NULL: spare->want. */
static u64 *find_entry(struct vmm_mmu *mmu, const struct tdp_map *map, unsigned int *level,
		       struct tdp_spare *spare)
{
	u64 *table = tdp_root(mmu), *entry;
	unsigned int missing;

	for (*level = vmm_caps.levels; *level > map->level; --*level) {
		entry = &table[vmm_pte_index(map->gfn, *level)];
		if (!go_down(mmu, entry, *level, map, spare, &missing)) {
			spare->want = missing;
			return missing ? NULL : entry;
		}
		table = vmm_pte_table(vmm_caps.nested_format, READ_ONCE(*entry));
	}
	return &table[vmm_pte_index(map->gfn, *level)];
}

enum tdp_result tdp_map(struct vmm_mmu *mmu, const struct tdp_map *map, struct tdp_spare *spare)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	unsigned int level;
	u64 *entry, old, new;

	lockdep_assert_held(&mmu->lock);
	entry = find_entry(mmu, map, &level, spare);
	if (!entry)
		return TDP_NEED_TABLES;
	new = vmm_pte_make_leaf(format, leaf_address(map->hpa, level), level, map->writable);
	if (unlikely(map->pat))
		new = vmm_pte_retype(format, new, map->pat);
	old = READ_ONCE(*entry);
	do {
		if (!vmm_pte_present(format, old))
			continue;
		/* Small leaves where a large one is possible now: it is to replace them. */
		if (!vmm_pte_is_leaf(format, old, level) ||
		    vmm_pte_address(format, old) != vmm_pte_address(format, new))
			return TDP_CONFLICT;
		if (is_writable(old) || !map->writable)
			return TDP_MAPPED;
		/* The CPU is about to use it and would set the bit itself. */
	} while (!try_cmpxchg64(entry, &old, new | format->accessed));
	return TDP_MAPPED;
}

/* May the leaf @old become @new? If it is absent, or only gains permission. */
static bool may_become(u64 old, u64 new)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;

	if (!vmm_pte_present(format, old))
		return true;
	return is_writable(new) && !is_writable(old) &&
	       vmm_pte_address(format, old) == vmm_pte_address(format, new);
}

void tdp_map_around(struct vmm_mmu *mmu, const struct tdp_map *beside, gfn_t gfn,
		    const hpa_t *hpa, unsigned int count)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	struct tdp_spare none = { };
	unsigned int level, i;
	u64 *entry, old, new;

	lockdep_assert_held(&mmu->lock);
	entry = find_entry(mmu, beside, &level, &none);
	if (!entry || level != VMM_LEVEL_4K)
		return;
	entry -= vmm_pte_index(beside->gfn, level);
	for (i = 0; i < count; i++, gfn++) {
		u64 *at = &entry[vmm_pte_index(gfn, level)];

		if (!hpa[i] || (gfn ^ beside->gfn) >> VMM_PTE_INDEX_BITS)
			continue;
		new = vmm_pte_make_leaf(format, hpa[i], level, beside->writable);
		old = READ_ONCE(*at);
		if (may_become(old, new))
			cmpxchg64(at, old, new);
	}
}

/* ---- protect ---- */

static void protect_table(struct vmm_mmu *mmu, u64 *table, unsigned int level, gfn_t base,
			  gfn_t first, gfn_t last, bool watch)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	const u64 frames = vmm_level_frames(level);
	gfn_t gfn = max(base, round_down(first, frames));
	const gfn_t end = min(base + VMM_PTES * frames, last);

	for (; gfn < end; gfn += frames) {
		u64 *entry = &table[vmm_pte_index(gfn, level)];
		const u64 pte = READ_ONCE(*entry);

		/* What is forbidden here is so below. */
		if (!vmm_pte_present(format, pte) || !is_writable(pte))
			continue;
		if (!vmm_pte_is_leaf(format, pte, level) && (gfn < first || gfn + frames > last))
			protect_table(mmu, vmm_pte_table(format, pte), level - 1, gfn, first,
				      last, watch);
		else if (watch ? watch_write(entry, level) : forbid_write(entry))
			mmu->cleared++;
	}
}

void tdp_protect(struct vmm_mmu *mmu, gfn_t first, gfn_t last)
{
	lockdep_assert_held_write(&mmu->lock);
	if (mmu->root != VMM_INVALID_HPA)
		protect_table(mmu, tdp_root(mmu), vmm_caps.levels, 0, first, last, false);
}

void tdp_watch(struct vmm_mmu *mmu, gfn_t first, gfn_t last)
{
	lockdep_assert_held_write(&mmu->lock);
	if (mmu->root != VMM_INVALID_HPA)
		protect_table(mmu, tdp_root(mmu), vmm_caps.levels, 0, first, last, true);
}

/* ---- zap ---- */

static void detach(struct page *page, unsigned int level, struct list_head *free)
{
	set_page_private(page, level);
	list_add(&page->lru, free);
}

/* Frames [@first, @last) of @table, which maps frames from @base on. */
static void zap_table(struct vmm_mmu *mmu, u64 *table, unsigned int level, gfn_t base,
		      gfn_t first, gfn_t last, struct list_head *free)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	const u64 frames = vmm_level_frames(level);
	gfn_t gfn = max(base, round_down(first, frames));
	const gfn_t end = min(base + VMM_PTES * frames, last);

	for (; gfn < end; gfn += frames) {
		u64 *entry = &table[vmm_pte_index(gfn, level)];
		const u64 pte = READ_ONCE(*entry);
		bool leaf = vmm_pte_is_leaf(format, pte, level);

		if (!vmm_pte_present(format, pte))
			continue;
		if (!leaf && (gfn < first || gfn + frames > last)) {
			zap_table(mmu, vmm_pte_table(format, pte), level - 1, gfn, first, last,
				  free);
			continue;
		}
		WRITE_ONCE(*entry, 0);
		mmu->cleared++;
		if (!leaf)
			detach(pfn_to_page(PHYS_PFN(vmm_pte_address(format, pte))), level - 1,
			       free);
	}
}

void tdp_zap(struct vmm_mmu *mmu, gfn_t first, gfn_t last, struct list_head *free)
{
	lockdep_assert_held_write(&mmu->lock);
	if (mmu->root != VMM_INVALID_HPA)
		zap_table(mmu, tdp_root(mmu), vmm_caps.levels, 0, first, last, free);
}

/* Entries that one reclaim may look at with the lock held. */
#define RECLAIM_ENTRIES	(64 * VMM_PTES)

struct reclaim {
	struct list_head *free;
	unsigned int max;	/* tables still wanted */
	unsigned int entries;	/* that may still be looked at */
};

/* Goes on at mmu->reclaim_at, and moves it. */
static void reclaim_table(struct vmm_mmu *mmu, u64 *table, unsigned int level, gfn_t base,
			  struct reclaim *reclaim)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	const u64 frames = vmm_level_frames(level);
	gfn_t gfn = max(base, round_down(mmu->reclaim_at, frames));

	for (; gfn < base + VMM_PTES * frames && reclaim->max && reclaim->entries; gfn += frames) {
		u64 *entry = &table[vmm_pte_index(gfn, level)];
		const u64 pte = READ_ONCE(*entry);

		reclaim->entries--;
		if (!vmm_pte_present(format, pte) || vmm_pte_is_leaf(format, pte, level)) {
			mmu->reclaim_at = gfn + frames;
			continue;
		}
		if (level - 1 > VMM_LEVEL_4K) {
			reclaim_table(mmu, vmm_pte_table(format, pte), level - 1, gfn, reclaim);
			continue;
		}
		WRITE_ONCE(*entry, 0);
		mmu->cleared++;
		detach(pfn_to_page(PHYS_PFN(vmm_pte_address(format, pte))), level - 1,
		       reclaim->free);
		mmu->reclaim_at = gfn + frames;
		reclaim->max--;
	}
}

unsigned int tdp_reclaim(struct vmm_mmu *mmu, unsigned int max, struct list_head *free)
{
	struct reclaim reclaim = { .free = free, .max = max, .entries = RECLAIM_ENTRIES };

	lockdep_assert_held_write(&mmu->lock);
	if (mmu->root == VMM_INVALID_HPA)
		return 0;
	reclaim_table(mmu, tdp_root(mmu), vmm_caps.levels, 0, &reclaim);
	/* The end was reached: from the start next time. */
	if (reclaim.max && reclaim.entries)
		mmu->reclaim_at = 0;
	return max - reclaim.max;
}

void tdp_zap_root(struct vmm_mmu *mmu, struct list_head *free)
{
	lockdep_assert_held_write(&mmu->lock);
	if (mmu->root == VMM_INVALID_HPA)
		return;
	detach(pfn_to_page(PHYS_PFN(mmu->root)), vmm_caps.levels, free);
	mmu->root = VMM_INVALID_HPA;
}

void tdp_free(struct vmm_mmu *mmu, struct list_head *free, bool may_sleep)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;

	while (!list_empty(free)) {
		struct page *page = list_first_entry(free, struct page, lru);
		unsigned int i, level = page_private(page);
		const u64 *table = page_address(page);

		list_del(&page->lru);
		for (i = 0; level > VMM_LEVEL_4K && i < VMM_PTES; i++) {
			if (!vmm_pte_present(format, table[i]) ||
			    vmm_pte_is_leaf(format, table[i], level))
				continue;
			detach(pfn_to_page(PHYS_PFN(vmm_pte_address(format, table[i]))),
			       level - 1, free);
		}
		set_page_private(page, 0);
		__free_page(page);
		atomic_long_dec(&mmu->pages);
		if (may_sleep)
			cond_resched();
	}
}

/* ---- age ---- */

static bool age_leaf(u64 *entry, bool clear)
{
	const u64 accessed = vmm_caps.nested_format->accessed;
	u64 pte = READ_ONCE(*entry);

	if (!clear)
		return pte & accessed;
	/* The CPU sets bits of this entry at any time. */
	while (pte & accessed)
		if (try_cmpxchg64(entry, &pte, pte & ~accessed))
			return true;
	return false;
}

static bool age_table(u64 *table, unsigned int level, gfn_t base, gfn_t first, gfn_t last,
		      bool clear)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	const u64 frames = vmm_level_frames(level);
	gfn_t gfn = max(base, round_down(first, frames));
	const gfn_t end = min(base + VMM_PTES * frames, last);
	bool young = false;

	for (; gfn < end; gfn += frames) {
		u64 *entry = &table[vmm_pte_index(gfn, level)];
		const u64 pte = READ_ONCE(*entry);

		if (!vmm_pte_present(format, pte))
			continue;
		if (vmm_pte_is_leaf(format, pte, level))
			young |= age_leaf(entry, clear);
		else
			young |= age_table(vmm_pte_table(format, pte), level - 1, gfn, first, last,
					   clear);
	}
	return young;
}

bool tdp_age(struct vmm_mmu *mmu, gfn_t first, gfn_t last, bool clear)
{
	lockdep_assert_held(&mmu->lock);
	if (mmu->root == VMM_INVALID_HPA || !vmm_caps.nested_format->accessed)
		return false;
	return age_table(tdp_root(mmu), vmm_caps.levels, 0, first, last, clear);
}
