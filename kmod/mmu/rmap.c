// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reverse maps of shadow paging. Most have one entry, which needs no memory; what
 * has more is a chain of lists, of which only the first may have room. Nothing is
 * allocated under mmu.lock: lists come from a pool, maps of frames from
 * rmap_prepare(), in chunks of one page.
 */
#include <linux/slab.h>

#include "mmu/rmap.h"

#define RMAP_IS_LIST	1UL
#define CHUNK_SHIFT	9	/* frames whose maps fill a page */

struct rmap_chunk {
	struct rmap rmap[BIT(CHUNK_SHIFT)];
};

static_assert(sizeof(struct rmap_chunk) == PAGE_SIZE);

int rmap_pool_fill(struct rmap_pool *pool, unsigned int want)
{
	while (pool->count < want) {
		struct rmap_list *list = kzalloc(sizeof(*list), GFP_KERNEL_ACCOUNT);

		if (!list)
			return -ENOMEM;
		list->next = pool->free;
		pool->free = list;
		pool->count++;
	}
	return 0;
}

static struct rmap_list *pool_take(struct rmap_pool *pool)
{
	struct rmap_list *list = pool->free;

	pool->free = list->next;
	pool->count--;
	list->next = NULL;
	return list;
}

void rmap_pool_drain(struct rmap_pool *pool)
{
	while (pool->count)
		kfree(pool_take(pool));
}

/* ---- one map ---- */

static struct rmap_list *list_of(const struct rmap *rmap)
{
	return rmap->value & RMAP_IS_LIST ? (void *)(rmap->value & ~RMAP_IS_LIST) : NULL;
}

static void set_list(struct rmap *rmap, struct rmap_list *list)
{
	rmap->value = (unsigned long)list | RMAP_IS_LIST;
}

bool rmap_full(const struct rmap *rmap)
{
	const struct rmap_list *first = list_of(rmap);

	return first && first->depth == RMAP_MAX_LISTS && first->count == RMAP_LIST_ENTRIES;
}

void rmap_add(struct rmap *rmap, u64 *entry, struct rmap_pool *pool)
{
	struct rmap_list *list = list_of(rmap), *first;

	if (rmap_empty(rmap)) {
		rmap->value = (unsigned long)entry;
		return;
	}
	if (!list || list->count == RMAP_LIST_ENTRIES) {
		first = pool_take(pool);
		first->depth = list ? list->depth + 1 : 1;
		if (list)
			first->next = list;
		else
			first->entry[first->count++] = (u64 *)rmap->value;
		set_list(rmap, first);
		list = first;
	}
	list->entry[list->count++] = entry;
}

void rmap_remove(struct rmap *rmap, u64 *entry)
{
	struct rmap_list *first = list_of(rmap), *list;
	unsigned int i;

	if (!first) {
		WARN_ON_ONCE(rmap->value != (unsigned long)entry);
		rmap->value = 0;
		return;
	}
	for (list = first; list; list = list->next) {
		for (i = 0; i < list->count && list->entry[i] != entry; i++)
			;
		if (i < list->count)
			break;
	}
	if (WARN_ON_ONCE(!list))
		return;
	/* The hole is filled from the first list, the only one that is not full. */
	list->entry[i] = first->entry[--first->count];
	if (first->count)
		return;
	if (first->next)
		set_list(rmap, first->next);
	else
		rmap->value = 0;
	kfree(first);
}

u64 *rmap_next(struct rmap_cursor *cursor)
{
	while (cursor->list && cursor->at == cursor->list->count) {
		cursor->list = cursor->list->next;
		cursor->at = 0;
	}
	return cursor->list ? cursor->list->entry[cursor->at++] : NULL;
}

u64 *rmap_first(const struct rmap *rmap, struct rmap_cursor *cursor)
{
	cursor->list = list_of(rmap);
	cursor->at = 0;
	return cursor->list ? rmap_next(cursor) : (u64 *)rmap->value;
}

/* ---- frames ---- */

int rmap_prepare(struct xarray *frames, gfn_t gfn)
{
	struct rmap_chunk *chunk;
	void *old;

	if (xa_load(frames, gfn >> CHUNK_SHIFT))
		return 0;
	chunk = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!chunk)
		return -ENOMEM;
	old = xa_cmpxchg(frames, gfn >> CHUNK_SHIFT, NULL, chunk, GFP_KERNEL_ACCOUNT);
	if (!old)
		return 1;
	free_page((unsigned long)chunk);
	return xa_err(old);
}

struct rmap *rmap_of(struct xarray *frames, gfn_t gfn)
{
	struct rmap_chunk *chunk = xa_load(frames, gfn >> CHUNK_SHIFT);

	return chunk ? &chunk->rmap[gfn & (BIT(CHUNK_SHIFT) - 1)] : NULL;
}

struct rmap *rmap_find(struct xarray *frames, gfn_t *gfn, gfn_t last)
{
	unsigned long index = *gfn >> CHUNK_SHIFT;
	struct rmap_chunk *chunk;

	if (*gfn >= last)
		return NULL;
	chunk = xa_find(frames, &index, (last - 1) >> CHUNK_SHIFT, XA_PRESENT);
	while (chunk) {
		gfn_t at = max_t(gfn_t, *gfn, (gfn_t)index << CHUNK_SHIFT);
		const gfn_t end = min_t(gfn_t, last, (gfn_t)(index + 1) << CHUNK_SHIFT);

		for (; at < end; at++) {
			struct rmap *rmap = &chunk->rmap[at & (BIT(CHUNK_SHIFT) - 1)];

			if (rmap_empty(rmap))
				continue;
			*gfn = at;
			return rmap;
		}
		chunk = xa_find_after(frames, &index, (last - 1) >> CHUNK_SHIFT, XA_PRESENT);
	}
	return NULL;
}

/* Freed in one go. */
#define FORGET_BATCH	64

unsigned int rmap_forget(struct xarray *frames, gfn_t *first, gfn_t last)
{
	unsigned long index = (*first + BIT(CHUNK_SHIFT) - 1) >> CHUNK_SHIFT;
	const unsigned long end = last >> CHUNK_SHIFT;
	struct rmap_chunk *chunk;
	unsigned int n = 0;

	if (index >= end)
		return 0;
	xa_for_each_range(frames, index, chunk, index, end - 1) {
		if (n == FORGET_BATCH)
			break;
		/* An entry that nobody could find any more would be worse than a lost page. */
		if (!WARN_ON_ONCE(memchr_inv(chunk, 0, sizeof(*chunk))))
			free_page((unsigned long)chunk);
		xa_erase(frames, index);
		n++;
	}
	*first = (gfn_t)index << CHUNK_SHIFT;
	return n;
}
