// SPDX-License-Identifier: GPL-2.0-only
/*
 * The nested page table: one for a VM, walked by the hardware of all its vCPUs
 * while it is changed here.
 *
 * Invariants, with mmu.lock held:
 *  - a table is reachable by one entry only, and zeroed before that entry is
 *    written;
 *  - a present leaf is never pointed elsewhere: it becomes absent, TLBs are
 *    flushed, and only a later fault makes it present again. A leaf may gain
 *    write permission in place, since a TLB that lags behind costs one more
 *    fault and nothing else;
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

static u64 add_table(struct vmm_mmu *mmu, u64 *entry, struct page *page)
{
	u64 pte = vmm_pte_make_table(vmm_caps.nested_format, page_to_phys(page));

	/* The CPU's walker must find zeros behind the entry. */
	smp_wmb();
	WRITE_ONCE(*entry, pte);
	atomic_long_inc(&mmu->pages);
	return pte;
}

/*
 * The entry for @gfn at @level, or above it where a leaf is in the way, or below
 * it where a table is. Sets *@level to where it was found. NULL: spare->want
 * tables are missing.
 */
static u64 *find_entry(struct vmm_mmu *mmu, gfn_t gfn, unsigned int *level,
		       struct tdp_spare *spare)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	u64 *table = tdp_root(mmu);
	unsigned int at;

	for (at = vmm_caps.levels; at > VMM_LEVEL_4K; at--) {
		u64 *entry = &table[vmm_pte_index(gfn, at)];
		u64 pte = READ_ONCE(*entry);

		if (!vmm_pte_present(format, pte)) {
			if (at <= *level)
				break;
			if (spare->count < at - *level) {
				spare->want = at - *level;
				return NULL;
			}
			pte = add_table(mmu, entry, spare->page[--spare->count]);
		} else if (vmm_pte_is_leaf(format, pte, at)) {
			break;
		}
		table = vmm_pte_table(format, pte);
	}
	*level = at;
	return &table[vmm_pte_index(gfn, at)];
}

static hpa_t leaf_address(const struct tdp_map *map, unsigned int level)
{
	return map->hpa & ~((vmm_level_frames(level) << PAGE_SHIFT) - 1);
}

enum tdp_result tdp_map(struct vmm_mmu *mmu, const struct tdp_map *map, struct tdp_spare *spare)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	unsigned int level = map->level;
	u64 *entry, old, new;

	lockdep_assert_held_write(&mmu->lock);
	entry = find_entry(mmu, map->gfn, &level, spare);
	if (!entry)
		return TDP_NEED_TABLES;
	new = vmm_pte_make_leaf(format, leaf_address(map, level), level, map->writable);
	old = READ_ONCE(*entry);
	if (vmm_pte_present(format, old)) {
		if (vmm_pte_address(format, old) != vmm_pte_address(format, new))
			return TDP_CONFLICT;
		if ((old & format->write) || !map->writable)
			return TDP_MAPPED;
		if (level > map->level)
			return TDP_CONFLICT;
	}
	/* The CPU is about to use it and would set the bit itself. */
	WRITE_ONCE(*entry, new | format->accessed);
	return TDP_MAPPED;
}

void tdp_map_around(struct vmm_mmu *mmu, gfn_t beside, gfn_t gfn, const hpa_t *hpa,
		    unsigned int count, bool writable)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	struct tdp_spare none = { };
	unsigned int level = VMM_LEVEL_4K, i;
	u64 *entry;

	lockdep_assert_held_write(&mmu->lock);
	entry = find_entry(mmu, beside, &level, &none);
	if (!entry || level != VMM_LEVEL_4K)
		return;
	entry -= vmm_pte_index(beside, level);
	for (i = 0; i < count; i++, gfn++) {
		u64 *at = &entry[vmm_pte_index(gfn, level)];

		if (!hpa[i] || (gfn ^ beside) >> VMM_PTE_INDEX_BITS)
			continue;
		if (!vmm_pte_present(format, READ_ONCE(*at)))
			WRITE_ONCE(*at, vmm_pte_make_leaf(format, hpa[i], level, writable));
	}
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
