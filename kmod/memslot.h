/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of slots itself, for memslot.c and for mmu/walk.c, whose reads of
 * guest page tables on the exit path cannot afford a copy for each. Everyone
 * else asks vmm_slot_find().
 */
#ifndef VMM_MEMSLOT_H
#define VMM_MEMSLOT_H

#include "vmm.h"

struct slot {
	gfn_t first;
	u64 npages;
	hva_t hva;
	u32 flags;		/* VMM_SLOT_* */
	u16 id;
	struct vmm_dirty_log *log;	/* NULL without VMM_SLOT_LOG_DIRTY; referenced */
	bool retiring;		/* the only member that changes; see memslot.c */
};

struct vmm_slots {
	struct rcu_head rcu;
	unsigned int count;
	bool aliased;		/* what one maps writable another maps, too */
	struct slot slot[];	/* sorted by first, apart from each other */
};

/* vm->lock */
static inline const struct slot *slot_by_id(const struct vmm_slots *slots, u32 id)
{
	unsigned int i;

	for (i = 0; i < slots->count; i++)
		if (slots->slot[i].id == id)
			return &slots->slot[i];
	return NULL;
}

static __always_inline bool slot_holds(const struct slot *slot, gfn_t gfn)
{
	return gfn - slot->first < slot->npages;
}

/* How many slots start at or before @gfn. */
static __always_inline unsigned int slots_until(const struct vmm_slots *slots, gfn_t gfn)
{
	unsigned int low = 0, high = slots->count;

	/* Of them are all below low, and none from high on. */
	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (slots->slot[middle].first <= gfn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The slot that holds @gfn, or NULL. Under rcu_read_lock. No call: see mmu/walk.c. */
static __always_inline const struct slot *slots_search(const struct vmm_slots *slots, gfn_t gfn)
{
	unsigned int n = slots_until(slots, gfn);

	return n && slot_holds(&slots->slot[n - 1], gfn) ? &slots->slot[n - 1] : NULL;
}

#endif
