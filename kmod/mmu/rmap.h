/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reverse maps: which entries point here? A list of entries for each shadow page
 * (its parents) and for each guest frame (the leaves that map it). For shadow
 * paging; all of it under mmu.lock held for writing unless said otherwise.
 */
#ifndef VMM_MMU_RMAP_H
#define VMM_MMU_RMAP_H

#include "mmu/pte.h"
#include "vmm.h"

/* 0: none; one entry's address; or a struct rmap_list's address with bit 0 set. */
struct rmap {
	unsigned long value;
};

/* 14 make the list 128 bytes long, two cache lines. */
#define RMAP_LIST_ENTRIES	14

/*
 * Lists of one map. A guest can let all its tables map one frame; to take the entries
 * out one by one, each looked for in all the lists, would hold the lock for hours.
 */
#define RMAP_MAX_LISTS		64

struct rmap_list {
	struct rmap_list *next;
	u32 count;
	u32 depth;		/* lists from here on */
	u64 *entry[RMAP_LIST_ENTRIES];
};

/* Lists allocated before the lock was taken. */
struct rmap_pool {
	struct rmap_list *free;
	unsigned int count;
};

int rmap_pool_fill(struct rmap_pool *pool, unsigned int want);	/* [sleep] -ENOMEM */
void rmap_pool_drain(struct rmap_pool *pool);

/* Is there no room for another entry? Then all have to go first. */
bool rmap_full(const struct rmap *rmap);
/* Takes at most one list out of @pool, which must have one. @rmap is not full. */
void rmap_add(struct rmap *rmap, u64 *entry, struct rmap_pool *pool);
void rmap_remove(struct rmap *rmap, u64 *entry);

struct rmap_cursor {
	struct rmap_list *list;
	unsigned int at;
};

/* All entries one by one; the map must not change meanwhile. mmu.lock. */
u64 *rmap_first(const struct rmap *rmap, struct rmap_cursor *cursor);
u64 *rmap_next(struct rmap_cursor *cursor);

static inline bool rmap_empty(const struct rmap *rmap)
{
	return !rmap->value;
}

/* ---- frames ---- */

/*
 * [sleep] Make rmap_of(@gfn) exist until a slot changes: 0; 1: it took a page; -ENOMEM.
 */
int rmap_prepare(struct xarray *frames, gfn_t gfn);
/* mmu.lock; NULL: no entry maps @gfn or ever did. */
struct rmap *rmap_of(struct xarray *frames, gfn_t gfn);
/*
 * The first frame from *@gfn on, below @last, that has a map which is not empty;
 * NULL: there is none. Sets *@gfn.
 */
struct rmap *rmap_find(struct xarray *frames, gfn_t *gfn, gfn_t last);
/*
 * Free what rmap_prepare() made for [*@first, @last) alone, whose maps are empty, some pages
 * at a time: returns how many, 0 at the end, and sets *@first to where it goes on. mmu.lock,
 * unless nobody else is left.
 */
unsigned int rmap_forget(struct xarray *frames, gfn_t *first, gfn_t last);

#endif
