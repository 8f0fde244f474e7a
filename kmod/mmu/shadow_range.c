// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ranges of frames, for mmu.c and the notifier: what maps them is dropped, made read-only or
 * asked whether it was used, through the reverse maps.
 */
#include "mmu/mmu.h"
#include "mmu/shadow.h"

/* Dropped between two looks at whether the host has more urgent things to do. */
#define ZAP_BATCH	64

bool shadow_zap_enough(struct vmm_mmu *mmu, unsigned int *done)
{
	return !(++*done % ZAP_BATCH) && (need_resched() || rwlock_needbreak(&mmu->lock));
}

/* All that shadow the table in frame @gfn. */
static void zap_tables_of(struct vmm_mmu *mmu, gfn_t gfn)
{
	struct shadow_page *sp;

	while ((sp = shadow_next(mmu, gfn, NULL)))
		shadow_zap(mmu, sp);
}

/* Those of bucket @at that lie in @range. False: enough for now, the rest is to come. */
static bool zap_bucket(struct vmm_mmu *mmu, unsigned int at, const struct shadow_range *range,
		       unsigned int *done)
{
	struct shadow_page *sp;
	struct hlist_node *next;

	hlist_for_each_entry_safe(sp, next, &mmu->shadow->hash[at], hash) {
		if (sp->key.role.direct || sp->key.gfn < range->first ||
		    sp->key.gfn >= range->last)
			continue;
		shadow_zap(mmu, sp);
		if (shadow_zap_enough(mmu, done))
			return false;
	}
	return true;
}

/*
 * A short range is looked up frame by frame, a long one bucket by bucket. Behind where
 * it has come to only pages without entries appear, the roots of vCPUs: faults on tables in
 * the range wait (is_stale()).
 */
static bool zap_tables(struct vmm_mmu *mmu, struct shadow_range *range, unsigned int *done)
{
	const gfn_t frames = range->last - range->first;
	const gfn_t end = min_t(gfn_t, frames, BIT(SHADOW_HASH_BITS));

	while (range->tables < end) {
		if (frames > end) {
			if (!zap_bucket(mmu, range->tables, range, done))
				return false;
		} else {
			zap_tables_of(mmu, range->first + range->tables);
		}
		range->tables++;
		if (shadow_zap_enough(mmu, done))
			return false;
	}
	return true;
}

/* Frames @first to @last as regions. */
static gfn_t last_region(gfn_t last)
{
	return last ? ((last - 1) >> REGION_SHIFT) + 1 : 0;
}

/* All leaves of [@first, @last) in @maps. False: mmu.lock was held long enough, go on later. */
static bool zap_leaves(struct vmm_mmu *mmu, struct xarray *maps, gfn_t first, gfn_t last,
		       unsigned int *done)
{
	struct rmap *rmap;

	for (; (rmap = rmap_find(maps, &first, last)); first++) {
		shadow_drop_all(mmu, rmap);
		if (shadow_zap_enough(mmu, done))
			return false;
	}
	return true;
}

bool shadow_zap_range(struct vmm_mmu *mmu, struct shadow_range *range)
{
	struct shadow_mmu *shadow = mmu->shadow;
	unsigned int done = 0;

	lockdep_assert_held_write(&mmu->lock);
	return zap_tables(mmu, range, &done) &&
	       zap_leaves(mmu, &shadow->regions, range->first >> REGION_SHIFT,
			  last_region(range->last), &done) &&
	       zap_leaves(mmu, &shadow->frames, range->first, range->last, &done);
}

static void protect_leaves(struct vmm_mmu *mmu, struct xarray *maps, gfn_t first, gfn_t last)
{
	struct rmap *rmap;

	for (; (rmap = rmap_find(maps, &first, last)); first++)
		shadow_protect_leaves(mmu, rmap);
}

void shadow_protect(struct vmm_mmu *mmu, gfn_t first, gfn_t last)
{
	protect_leaves(mmu, &mmu->shadow->frames, first, last);
	protect_leaves(mmu, &mmu->shadow->regions, first >> REGION_SHIFT, last_region(last));
}

void shadow_protect_all(struct vmm_mmu *mmu)
{
	lockdep_assert_held_write(&mmu->lock);
	mmu->shadow->epoch++;
	mmu->cleared++;
}

static bool age_leaves(struct xarray *maps, gfn_t first, gfn_t last, bool clear)
{
	const u64 accessed = shadow_format.accessed;
	struct rmap_cursor cursor;
	struct rmap *rmap;
	bool young = false;
	u64 *entry;

	for (; (rmap = rmap_find(maps, &first, last)); first++) {
		for (entry = rmap_first(rmap, &cursor); entry; entry = rmap_next(&cursor)) {
			u64 pte = READ_ONCE(*entry);

			young |= !!(pte & accessed);
			while (clear && (pte & accessed))
				if (try_cmpxchg64(entry, &pte, pte & ~accessed))
					break;
		}
	}
	return young;
}

bool shadow_age(struct vmm_mmu *mmu, gfn_t first, gfn_t last, bool clear)
{
	struct shadow_mmu *shadow = mmu->shadow;

	lockdep_assert_held(&mmu->lock);
	return age_leaves(&shadow->frames, first, last, clear) |
	       age_leaves(&shadow->regions, first >> REGION_SHIFT, last_region(last), clear);
}
