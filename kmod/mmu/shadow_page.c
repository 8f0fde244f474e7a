// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow pages as objects: made, found, linked, zapped, freed.
 *
 * Invariants, with mmu.lock held:
 *  - each present entry of a page on the active list is in one reverse map: that of
 *    the frame it maps, or of the page it points to;
 *  - a page that is zapped is empty, and no entry points to it; its memory is
 *    freed after a flush of all TLBs, which hold paging-structure entries too;
 *  - a page that is not on the active list is in no look-up;
 *  - entries that were dropped or lost a right count in mmu.cleared.
 */
#include <linux/gfp.h>
#include <linux/hash.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "memslot.h"
#include "mmu/mmu.h"
#include "mmu/shadow.h"

static unsigned int shadow_pages;
module_param(shadow_pages, uint, 0644);
MODULE_PARM_DESC(shadow_pages, "Shadow paging: most tables a VM may have (0: by its memory)");

/* One for so many frames: guests' own tables take one for 512 where memory is dense. */
#define FRAMES_A_PAGE	32
#define PAGES_AT_LEAST	1024
/* Recycled at a time, since each time all vCPUs are interrupted. */
#define RECYCLE_BATCH	32

const struct vmm_pte_format shadow_format = {
	.present = _PAGE_PRESENT,
	.table = _PAGE_PRESENT | _PAGE_RW | _PAGE_USER | _PAGE_ACCESSED,
	.leaf = _PAGE_PRESENT,
	.write = _PAGE_RW,
	.accessed = _PAGE_ACCESSED,
	.dirty = _PAGE_DIRTY,
	.large = _PAGE_PSE,
	.address = GENMASK_ULL(51, PAGE_SHIFT),
	.type = VMM_PTE_TYPE,
	.type_of = vmm_pte_type_of,
};

/* ---- spare memory ---- */

int shadow_spare_fill(struct shadow_spare *spare)
{
	while (spare->pages < SPARE_PAGES) {
		struct shadow_page *sp = kzalloc(sizeof(*sp), GFP_KERNEL_ACCOUNT);

		if (!sp)
			return -ENOMEM;
		spare->page[spare->pages++] = sp;
	}
	while (spare->tables < SPARE_TABLES) {
		void *table = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);

		if (!table)
			return -ENOMEM;
		spare->table[spare->tables++] = table;
	}
	/* A link for each level and a leaf; those of the window are left out without. */
	return rmap_pool_fill(&spare->pool, PAGING_MAX_LEVELS + 1);
}

void shadow_spare_drain(struct shadow_spare *spare)
{
	while (spare->pages)
		kfree(spare->page[--spare->pages]);
	while (spare->tables)
		free_page((unsigned long)spare->table[--spare->tables]);
	rmap_pool_drain(&spare->pool);
}

/* ---- look-up ---- */

static struct hlist_head *bucket(struct vmm_mmu *mmu, gfn_t gfn)
{
	return &mmu->shadow->hash[hash_64(gfn, SHADOW_HASH_BITS)];
}

struct shadow_page *shadow_next(struct vmm_mmu *mmu, gfn_t gfn, const struct shadow_page *after)
{
	struct hlist_node *node = after ? after->hash.next : bucket(mmu, gfn)->first;
	struct shadow_page *sp;

	for (; node; node = node->next) {
		sp = hlist_entry(node, struct shadow_page, hash);
		if (sp->key.gfn == gfn && !sp->key.role.direct)
			return sp;
	}
	return NULL;
}

struct shadow_page *shadow_find(struct vmm_mmu *mmu, const struct shadow_key *key)
{
	struct shadow_page *sp;

	lockdep_assert_held_write(&mmu->lock);
	hlist_for_each_entry(sp, bucket(mmu, key->gfn), hash)
		if (sp->key.gfn == key->gfn && sp->key.role.word == key->role.word)
			return sp;
	return NULL;
}

static u32 *tables_near(struct vmm_mmu *mmu, gfn_t gfn)
{
	return &mmu->shadow->tables[hash_64(gfn >> REGION_SHIFT, REGION_HASH_BITS)];
}

bool shadow_has_tables(struct vmm_mmu *mmu, gfn_t gfn)
{
	return *tables_near(mmu, gfn);
}

void shadow_want_gfns(struct vmm_mmu *mmu, struct shadow_page *sp, struct shadow_spare *spare)
{
	if (sp->gfns || sp->key.role.direct)
		return;
	sp->gfns = spare->table[--spare->tables];
	atomic_long_inc(&mmu->aux);
}

static struct shadow_page *make(struct vmm_mmu *mmu, const struct shadow_key *key,
				struct shadow_spare *spare)
{
	struct shadow_mmu *shadow = mmu->shadow;
	struct shadow_page *sp = spare->page[--spare->pages];
	const bool lowest = key->role.level == VMM_LEVEL_4K;

	sp->key = *key;
	sp->epoch = shadow->epoch;
	sp->compared = shadow->comparison;
	sp->table = spare->table[--spare->tables];
	if (lowest)
		shadow_want_gfns(mmu, sp, spare);
	set_page_private(virt_to_page(sp->table), (unsigned long)sp);
	hlist_add_head(&sp->hash, bucket(mmu, key->gfn));
	list_add(&sp->active, &shadow->active);
	INIT_LIST_HEAD(&sp->written);
	if (!key->role.direct) {
		shadow_list_unsync(mmu, sp);
		++*tables_near(mmu, key->gfn);
	}
	shadow->count++;
	atomic_long_inc(&mmu->pages);
	return sp;
}

struct shadow_page *shadow_get(struct vmm_mmu *mmu, const struct shadow_key *key,
			       struct shadow_spare *spare, bool *made)
{
	struct shadow_page *sp = shadow_find(mmu, key);

	*made = !sp;
	if (!sp)
		return make(mmu, key, spare);
	list_move(&sp->active, &mmu->shadow->active);
	return sp;
}

struct shadow_page *shadow_of(const u64 *entry)
{
	return (struct shadow_page *)page_private(virt_to_page(entry));
}

struct shadow_page *shadow_child_of(u64 pte)
{
	return shadow_of(vmm_pte_table(&shadow_format, pte));
}

/*
 * No flush: since the epoch began no TLB was filled through a way that permitted writes
 * and led here.
 */
void shadow_catch_up(struct vmm_mmu *mmu, struct shadow_page *sp)
{
	unsigned int i;

	lockdep_assert_held_write(&mmu->lock);
	if (likely(sp->epoch == mmu->shadow->epoch))
		return;
	sp->epoch = mmu->shadow->epoch;
	for (i = 0; sp->present && i < VMM_PTES; i++)
		if (sp->table[i] & shadow_format.write)
			clear_bit(__ffs(shadow_format.write), (unsigned long *)&sp->table[i]);
}

/* ---- entries ---- */

static unsigned int index_of(const u64 *entry)
{
	return offset_in_page(entry) / sizeof(*entry);
}

gfn_t shadow_gfn(const struct shadow_page *sp, unsigned int index)
{
	return sp->gfns ? sp->gfns[index] :
			  sp->key.gfn + index * vmm_level_frames(sp->key.role.level);
}

static void set_entry(u64 *entry, u64 pte)
{
	struct shadow_page *sp = shadow_of(entry);

	/* The CPU's walker must find what was written behind the entry. */
	smp_wmb();
	WRITE_ONCE(*entry, pte);
	if (sp)
		sp->present++;
}

static void unlink_parents(struct vmm_mmu *mmu, struct shadow_page *sp)
{
	struct rmap_cursor cursor;
	u64 *entry;

	while ((entry = rmap_first(&sp->parents, &cursor))) {
		struct shadow_page *parent = shadow_of(entry);

		WRITE_ONCE(*entry, 0);
		mmu->cleared++;
		if (parent)
			parent->present--;
		rmap_remove(&sp->parents, entry);
	}
}

void shadow_link(struct vmm_mmu *mmu, u64 *entry, struct shadow_page *child,
		 struct rmap_pool *pool)
{
	u64 pte = vmm_pte_make_table(&shadow_format, __pa(child->table));

	lockdep_assert_held_write(&mmu->lock);
	/* Faults bring back the links that are still of use. */
	if (unlikely(rmap_full(&child->parents)))
		unlink_parents(mmu, child);
	rmap_add(&child->parents, entry, pool);
	/* In a PAE root all bits of permission are reserved. */
	if (!shadow_of(entry))
		pte &= shadow_format.address | _PAGE_PRESENT;
	set_entry(entry, pte);
}

/* The map of a leaf of @sp for @gfn. */
static struct rmap *leaf_rmap(struct vmm_mmu *mmu, const struct shadow_page *sp, gfn_t gfn)
{
	if (sp->key.role.level == VMM_LEVEL_4K)
		return rmap_of(&mmu->shadow->frames, gfn);
	return rmap_of(&mmu->shadow->regions, gfn >> REGION_SHIFT);
}

void shadow_map(struct vmm_mmu *mmu, u64 *entry, u64 pte, gfn_t gfn, struct rmap_pool *pool)
{
	struct shadow_page *sp = shadow_of(entry);
	struct rmap *rmap = leaf_rmap(mmu, sp, gfn);

	lockdep_assert_held_write(&mmu->lock);
	if (unlikely(rmap_full(rmap)))
		shadow_drop_all(mmu, rmap);
	if (sp->gfns)
		sp->gfns[index_of(entry)] = gfn;
	rmap_add(rmap, entry, pool);
	set_entry(entry, pte);
}

void shadow_drop(struct vmm_mmu *mmu, u64 *entry)
{
	struct shadow_page *sp = shadow_of(entry), *child;
	const u64 pte = *entry;

	lockdep_assert_held_write(&mmu->lock);
	WRITE_ONCE(*entry, 0);
	mmu->cleared++;
	if (sp)
		sp->present--;
	if (sp && shadow_is_leaf(sp, pte)) {
		rmap_remove(leaf_rmap(mmu, sp, shadow_gfn(sp, index_of(entry))), entry);
		return;
	}
	child = shadow_child_of(pte);
	rmap_remove(&child->parents, entry);
	if (child->key.role.direct && rmap_empty(&child->parents))
		list_move_tail(&child->active, &mmu->shadow->active);
}

void shadow_drop_all(struct vmm_mmu *mmu, struct rmap *rmap)
{
	struct rmap_cursor cursor;
	u64 *entry;

	while ((entry = rmap_first(rmap, &cursor)))
		shadow_drop(mmu, entry);
}

/* ---- ends ---- */

void shadow_empty(struct vmm_mmu *mmu, struct shadow_page *sp)
{
	unsigned int i;

	for (i = 0; sp->present && i < VMM_PTES; i++)
		if (sp->table[i])
			shadow_drop(mmu, &sp->table[i]);
}

void shadow_zap(struct vmm_mmu *mmu, struct shadow_page *sp)
{
	struct shadow_mmu *shadow = mmu->shadow;

	lockdep_assert_held_write(&mmu->lock);
	hlist_del(&sp->hash);
	if (sp->unsync)
		shadow_unlist_unsync(mmu, sp);
	if (!sp->key.role.direct)
		--*tables_near(mmu, sp->key.gfn);
	unlink_parents(mmu, sp);
	shadow_empty(mmu, sp);
	/* Even an empty one may be in a paging-structure cache. */
	mmu->cleared++;
	shadow->count--;
	if (sp->users) {
		sp->invalid = true;
		shadow->roots_gone = true;
		list_del_init(&sp->active);
	} else {
		list_move(&sp->active, &shadow->doomed);
	}
}

void shadow_root_get(struct shadow_page *sp)
{
	sp->users++;
}

void shadow_root_put(struct vmm_mmu *mmu, struct shadow_page *sp)
{
	lockdep_assert_held_write(&mmu->lock);
	if (!--sp->users && sp->invalid)
		list_add(&sp->active, &mmu->shadow->doomed);
}

void shadow_free(struct list_head *doomed)
{
	struct shadow_page *sp, *next;

	list_for_each_entry_safe(sp, next, doomed, active) {
		set_page_private(virt_to_page(sp->table), 0);
		free_page((unsigned long)sp->table);
		free_page((unsigned long)sp->gfns);
		kfree(sp);
	}
}

void shadow_unlock(struct vmm_vm *vm)
	__releases(&vm->mmu.lock)
{
	struct vmm_mmu *mmu = &vm->mmu;
	const bool roots_gone = mmu->shadow->roots_gone;
	struct shadow_page *sp;
	LIST_HEAD(doomed);

	mmu->shadow->roots_gone = false;
	list_splice_init(&mmu->shadow->doomed, &doomed);
	write_unlock(&mmu->lock);
	if (roots_gone)
		vmm_vm_request(vm, VMM_REQ_ROOT);
	if (list_empty(&doomed))
		return;
	list_for_each_entry(sp, &doomed, active) {
		atomic_long_dec(&mmu->pages);
		if (sp->gfns)
			atomic_long_dec(&mmu->aux);
	}
	vmm_mmu_flush(vm);
	shadow_free(&doomed);
}

static void forget(struct vmm_vm *vm, struct xarray *maps, gfn_t first, gfn_t last)
{
	struct vmm_mmu *mmu = &vm->mmu;
	unsigned int n;

	do {
		write_lock(&mmu->lock);
		n = rmap_forget(maps, &first, last);
		write_unlock(&mmu->lock);
		atomic_long_sub(n, &mmu->aux);
		cond_resched();
	} while (n);
}

void shadow_forget(struct vmm_vm *vm, gfn_t first, gfn_t last)
{
	struct shadow_mmu *shadow = vm->mmu.shadow;

	forget(vm, &shadow->frames, first, last);
	forget(vm, &shadow->regions, DIV_ROUND_UP(first, REGION_FRAMES), last >> REGION_SHIFT);
}

/* ---- the limit ---- */

unsigned long vmm_mmu_table_limit(struct vmm_vm *vm)
{
	const struct vmm_slots *slots;
	unsigned long frames = 0;
	unsigned int i;

	if (vmm_vm_nested(vm))
		return 0;
	if (READ_ONCE(shadow_pages))
		return max_t(unsigned long, shadow_pages, 2 * RECYCLE_BATCH);
	rcu_read_lock();
	slots = rcu_dereference(vm->slots);
	for (i = 0; i < slots->count; i++)
		frames += slots->slot[i].npages;
	rcu_read_unlock();
	return max_t(unsigned long, frames / FRAMES_A_PAGE, PAGES_AT_LEAST);
}

unsigned int shadow_reclaim(struct vmm_vm *vm, unsigned int max)
{
	struct vmm_mmu *mmu = &vm->mmu;
	struct shadow_mmu *shadow = mmu->shadow;
	struct shadow_page *sp;
	unsigned int n = 0;
	LIST_HEAD(used);

	write_lock(&mmu->lock);
	while (n < max && !list_empty(&shadow->active)) {
		sp = list_last_entry(&shadow->active, struct shadow_page, active);
		if (sp->users) {
			list_move(&sp->active, &used);
			continue;
		}
		shadow_zap(mmu, sp);
		n++;
		if (need_resched() || rwlock_needbreak(&mmu->lock))
			break;
	}
	list_splice(&used, &shadow->active);
	atomic_long_add(n, &mmu->reclaimed);
	shadow_unlock(vm);
	return n;
}

void shadow_recycle(struct vmm_vm *vm)
{
	const struct shadow_mmu *shadow = vm->mmu.shadow;

	while (unlikely(READ_ONCE(shadow->count) + SPARE_PAGES > vmm_mmu_table_limit(vm)) &&
	       shadow_reclaim(vm, RECYCLE_BATCH))
		cond_resched();
}
