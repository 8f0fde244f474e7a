// SPDX-License-Identifier: GPL-2.0-only
/*
 * In sync, out of sync: who may write a guest's table, and comparing shadow pages
 * with it again.
 *
 * Invariant, with mmu.lock held: a page that is in sync shadows a table whose frame
 * no entry maps writable, nor any TLB; so its entries grant no more than the guest's do. But
 * for what is written in other ways: by the process itself, and through other frames that
 * are the same memory (shadow_writes_unseen()).
 */
#include <linux/uaccess.h>

#include "memslot.h"
#include "mmu/guest.h"
#include "mmu/mmu.h"
#include "mmu/shadow.h"

/* Guest entries read in one go, on the stack. */
#define BATCH	32

/* Pages compared, and TLBs flushed for, in one go. */
#define SYNC_BATCH	256
/* And in one hold of the lock, where a fault needs it. */
#define SYNC_FOR_LINK	(4 * SYNC_BATCH)

/* ---- write protection ---- */

bool shadow_protected(struct vmm_mmu *mmu, gfn_t gfn)
{
	const struct shadow_page *sp = NULL;

	while ((sp = shadow_next(mmu, gfn, sp)))
		if (!sp->unsync)
			return true;
	return false;
}

static bool is_above(const struct shadow_page *sp)
{
	return sp->key.role.level > VMM_LEVEL_4K;
}

void shadow_list_unsync(struct vmm_mmu *mmu, struct shadow_page *sp)
{
	sp->unsync = true;
	/* Behind those that somebody is comparing: he gets to an end. */
	list_add_tail(&sp->written, &mmu->shadow->unsync[is_above(sp)]);
	mmu->shadow->nr_unsync[is_above(sp)]++;
}

void shadow_unlist_unsync(struct vmm_mmu *mmu, struct shadow_page *sp)
{
	sp->unsync = false;
	list_del_init(&sp->written);
	mmu->shadow->nr_unsync[is_above(sp)]--;
}

void shadow_unsync(struct vmm_mmu *mmu, gfn_t gfn)
{
	struct shadow_page *sp = NULL;

	lockdep_assert_held_write(&mmu->lock);
	while ((sp = shadow_next(mmu, gfn, sp)))
		if (!sp->unsync)
			shadow_list_unsync(mmu, sp);
}

bool shadow_writes_unseen(struct vmm_vm *vm)
{
	bool aliased;

	lockdep_assert_held_write(&vm->mmu.lock);
	rcu_read_lock();
	aliased = rcu_dereference(vm->slots)->aliased;
	rcu_read_unlock();
	return aliased || vm->mmu.shadow->seen != vm->mmu.shadow->unseen;
}

void vmm_mmu_unseen(struct vmm_vm *vm)
{
	struct vmm_mmu *mmu = &vm->mmu;

	if (!mmu->shadow)
		return;
	write_lock(&mmu->lock);
	mmu->shadow->unseen++;
	write_unlock(&mmu->lock);
}

static bool has_entries(const struct list_head *list)
{
	const struct shadow_page *sp;
	unsigned int n = 0;

	list_for_each_entry(sp, list, written)
		if (sp->present || ++n == SYNC_BATCH)
			return true;
	return false;
}

bool shadow_any_unsync(struct vmm_mmu *mmu)
{
	return has_entries(&mmu->shadow->unsync[0]) || has_entries(&mmu->shadow->unsync[1]);
}

void shadow_protect_leaves(struct vmm_mmu *mmu, const struct rmap *rmap)
{
	struct rmap_cursor cursor;
	u64 *entry;

	if (!rmap)
		return;
	for (entry = rmap_first(rmap, &cursor); entry; entry = rmap_next(&cursor)) {
		u64 pte = READ_ONCE(*entry);

		if (!(pte & shadow_format.write))
			continue;
		/* The CPU sets bits of this entry at any time. */
		while (!try_cmpxchg64(entry, &pte, pte & ~shadow_format.write))
			;
		mmu->cleared++;
	}
}

static void protect_frame(struct vmm_mmu *mmu, gfn_t gfn)
{
	shadow_protect_leaves(mmu, rmap_of(&mmu->shadow->frames, gfn));
	shadow_protect_leaves(mmu, rmap_of(&mmu->shadow->regions, gfn >> REGION_SHIFT));
}

/* ---- comparing ---- */

/*
 * Does a leaf grant no more than @rights, and under the same protection key? One that is
 * the supervisor's grants him what SMEP and SMAP keep from him if it is the user's.
 */
static bool within(u64 pte, u8 rights)
{
	u8 has = 0;

	has |= pte & _PAGE_RW ? RIGHT_W : 0;
	has |= pte & _PAGE_USER ? RIGHT_U : 0;
	has |= pte & _PAGE_NX ? 0 : RIGHT_X;
	return !(has & ~rights & RIGHTS_ALL) && !((has ^ rights) & RIGHT_U) &&
	       (pte & PAGING_KEY) >> PAGING_KEY_SHIFT == rights >> RIGHT_KEY_SHIFT;
}

static bool entry_holds(const struct shadow_page *sp, unsigned int index, u64 gpte)
{
	const u64 pte = sp->table[index];
	const struct shadow_page *child;
	struct shadow_key key;
	u8 rights;
	gfn_t gfn;

	if (sp->key.role.level == VMM_LEVEL_4K)
		return shadow_leaf(sp, gpte, &gfn, &rights) && gfn == sp->gfns[index] &&
		       within(pte, rights);
	if (!shadow_child(sp, index, gpte, &key))
		return false;
	if (shadow_is_leaf(sp, pte))
		return key.role.direct && key.gfn == shadow_gfn(sp, index) &&
		       within(pte, shadow_direct_rights(key.role));
	child = shadow_child_of(pte);
	return child->key.gfn == key.gfn && child->key.role.word == key.role.word;
}

static unsigned int entry_shift(const struct shadow_page *sp)
{
	return paging_formats[sp->key.role.mode].entry_shift;
}

bool shadow_compare_entry(struct vmm_vm *vm, struct shadow_page *sp, unsigned int index)
{
	struct vmm_memory memory;
	bool ok;
	u64 gpte;

	pagefault_disable();
	ok = vmm_slot_find(vm, sp->key.gfn, &memory) &&
	     guest_entry_read(memory.hva + shadow_gpte_offset(sp, index), entry_shift(sp), &gpte);
	pagefault_enable();
	if (ok && entry_holds(sp, index, gpte))
		return true;
	shadow_drop(&vm->mmu, &sp->table[index]);
	return false;
}

/* The guest's entries behind @sp's from @first on, where those are present. */
static bool read_batch(const struct shadow_page *sp, hva_t hva, unsigned int first,
		       u64 gpte[BATCH])
{
	/* What needs a check of bounds is known before: none may be made in between. */
	const bool wide = entry_shift(sp) == 3;
	const bool halves = shadow_has_halves(sp);
	const hva_t at = hva + shadow_gpte_offset(sp, first);
	unsigned int i;
	u32 narrow;

	if (!user_read_access_begin((void __user *)hva, PAGE_SIZE))
		return false;
	for (i = 0; i < BATCH; i++) {
		if (!sp->table[first + i])
			continue;
		if (wide) {
			unsafe_get_user(gpte[i], (u64 __user *)at + i, fault);
		} else {
			unsafe_get_user(narrow, (u32 __user *)at + (halves ? i / 2 : i), fault);
			gpte[i] = narrow;
		}
	}
	user_read_access_end();
	return true;

fault:
	user_read_access_end();
	return false;
}

static void compare(struct vmm_vm *vm, struct shadow_page *sp)
{
	struct vmm_memory memory;
	unsigned int first, i;
	u64 gpte[BATCH];
	bool readable;

	readable = vmm_slot_find(vm, sp->key.gfn, &memory);
	pagefault_disable();
	for (first = 0; first < VMM_PTES && sp->present; first += BATCH) {
		readable = readable && read_batch(sp, memory.hva, first, gpte);
		for (i = first; i < first + BATCH; i++)
			if (sp->table[i] && !(readable && entry_holds(sp, i, gpte[i - first])))
				shadow_drop(&vm->mmu, &sp->table[i]);
	}
	pagefault_enable();
}

/* A page that has nothing left may be no table any more. */
static void compare_or_zap(struct vmm_vm *vm, struct shadow_page *sp)
{
	compare(vm, sp);
	if (!sp->present && !sp->users)
		shadow_zap(&vm->mmu, sp);
}

/* The first @max of the lists go to @batch, those of the lowest level last or not at all. */
static unsigned long take_batch(struct shadow_mmu *shadow, bool above_only, unsigned long max,
				struct list_head *batch)
{
	unsigned long n = 0;
	int i;

	for (i = 1; i >= above_only; i--)
		while (n < max && !list_empty(&shadow->unsync[i])) {
			list_move_tail(shadow->unsync[i].next, batch);
			n++;
		}
	return n;
}

/*
 * An entry that is gone, or lost its writable bit before, may still be in a TLB: the
 * flush is needed for what was cleared ever since the last one, not here alone.
 * Returns how many there were.
 */
static unsigned long sync_batch(struct vmm_vm *vm, bool above_only, unsigned long max, bool keep)
{
	struct vmm_mmu *mmu = &vm->mmu;
	struct shadow_page *sp;
	unsigned long n;
	LIST_HEAD(batch);

	n = take_batch(mmu->shadow, above_only, max, &batch);
	if (!n)
		return 0;
	list_for_each_entry(sp, &batch, written)
		protect_frame(mmu, sp->key.gfn);
	vmm_mmu_flush_locked(vm);
	/* From here on nobody writes the tables without a fault. */
	while ((sp = list_first_entry_or_null(&batch, struct shadow_page, written))) {
		shadow_unlist_unsync(mmu, sp);
		if (keep)
			compare(vm, sp);
		else
			compare_or_zap(vm, sp);
	}
	return n;
}

/* Does the host want the lock, or the CPU? It gets them. */
static bool let_others(struct vmm_vm *vm)
{
	if (!need_resched() && !rwlock_needbreak(&vm->mmu.lock))
		return false;
	shadow_unlock(vm);
	cond_resched();
	write_lock(&vm->mmu.lock);
	return true;
}

/*
 * Those of bucket @at that were not compared since @comparison began; false: the lock was
 * dropped, there may be more.
 */
static bool compare_bucket(struct vmm_vm *vm, unsigned int at, u64 comparison, bool above_only)
{
	struct shadow_page *sp;
	struct hlist_node *next;

	hlist_for_each_entry_safe(sp, next, &vm->mmu.shadow->hash[at], hash) {
		if (sp->key.role.direct || sp->compared >= comparison ||
		    (above_only && !is_above(sp)))
			continue;
		sp->compared = comparison;
		compare_or_zap(vm, sp);
		if (let_others(vm))
			return false;
	}
	return true;
}

static void sync_all(struct vmm_vm *vm, bool above_only)
{
	struct shadow_mmu *shadow = vm->mmu.shadow;
	const u64 comparison = ++shadow->comparison;
	const u64 unseen = shadow->unseen;
	unsigned int at = 0;

	while (at < BIT(SHADOW_HASH_BITS))
		at += compare_bucket(vm, at, comparison, above_only);
	/*
	 * Not before: who flushes while the lock is dropped has to compare all as well. What was
	 * written since the first page is to be found by the next.
	 */
	if (!above_only)
		shadow->seen = max(shadow->seen, unseen);
}

void shadow_sync(struct vmm_vm *vm, enum shadow_sync which)
{
	struct shadow_mmu *shadow = vm->mmu.shadow;
	const bool above_only = which == SYNC_ABOVE;
	const bool all = which == SYNC_ALL || shadow_writes_unseen(vm);
	unsigned long left = shadow->nr_unsync[1] + (above_only ? 0 : shadow->nr_unsync[0]);
	unsigned long n;

	lockdep_assert_held_write(&vm->mmu.lock);
	/* What is written meanwhile was in sync when this began, or is compared already. */
	while (left) {
		n = sync_batch(vm, above_only, min_t(unsigned long, left, SYNC_BATCH), false);
		left -= n;
		if (!n)
			break;
		if (left)
			let_others(vm);
	}
	if (all)
		sync_all(vm, above_only);
}

bool shadow_sync_for_link(struct vmm_vm *vm)
{
	const unsigned long *left = vm->mmu.shadow->nr_unsync;
	unsigned int n = 0;

	lockdep_assert_held_write(&vm->mmu.lock);
	while (n < SYNC_FOR_LINK && left[0] + left[1])
		n += sync_batch(vm, false, SYNC_BATCH, true);
	return !(left[0] + left[1]);
}
