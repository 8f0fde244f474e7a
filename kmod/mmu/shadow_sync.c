// SPDX-License-Identifier: GPL-2.0-only
/*
 * In sync, out of sync: who may write a guest's table, and comparing shadow pages
 * with it again.
 *
 * Invariant, with mmu.lock held: a page that is in sync shadows a table whose frame
 * no entry maps writable, nor any TLB; so but for what the process does itself, its
 * entries grant no more than the guest's do.
 */
#include <linux/uaccess.h>

#include "mmu/guest.h"
#include "mmu/mmu.h"
#include "mmu/shadow.h"

/* Guest entries read in one go, on the stack. */
#define BATCH	32

/* ---- write protection ---- */

bool shadow_protected(struct vmm_mmu *mmu, gfn_t gfn)
{
	const struct shadow_page *sp = NULL;

	while ((sp = shadow_next(mmu, gfn, sp)))
		if (!sp->unsync)
			return true;
	return false;
}

void shadow_unsync(struct vmm_mmu *mmu, gfn_t gfn)
{
	struct shadow_page *sp = NULL;

	lockdep_assert_held_write(&mmu->lock);
	while ((sp = shadow_next(mmu, gfn, sp))) {
		if (sp->unsync)
			continue;
		sp->unsync = true;
		list_add(&sp->written,
			 &mmu->shadow->unsync[sp->key.role.level > VMM_LEVEL_4K]);
	}
}

static bool has_entries(const struct list_head *list)
{
	const struct shadow_page *sp;

	list_for_each_entry(sp, list, written)
		if (sp->present)
			return true;
	return false;
}

bool shadow_any_unsync(struct vmm_mmu *mmu)
{
	return has_entries(&mmu->shadow->unsync[0]) || has_entries(&mmu->shadow->unsync[1]);
}

void shadow_protect_frame(struct vmm_mmu *mmu, gfn_t gfn)
{
	struct rmap *rmap = rmap_of(&mmu->shadow->frames, gfn);
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

/* ---- comparing ---- */

static bool leaf_holds(const struct shadow_page *sp, unsigned int index, u64 gpte)
{
	const u64 pte = sp->table[index];
	u8 rights, has = 0;
	gfn_t gfn;

	if (!shadow_leaf(sp, gpte, &gfn, &rights) || gfn != sp->gfns[index])
		return false;
	has |= pte & _PAGE_RW ? RIGHT_W : 0;
	has |= pte & _PAGE_USER ? RIGHT_U : 0;
	has |= pte & _PAGE_NX ? 0 : RIGHT_X;
	return !(has & ~rights);
}

static bool entry_holds(const struct shadow_page *sp, unsigned int index, u64 gpte)
{
	const struct shadow_page *child;
	struct shadow_key key;

	if (sp->key.role.level == VMM_LEVEL_4K)
		return leaf_holds(sp, index, gpte);
	child = shadow_child_of(sp->table[index]);
	return shadow_child(sp, index, gpte, &key) && child->key.gfn == key.gfn &&
	       child->key.role.word == key.role.word;
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
	const unsigned int shift = entry_shift(sp);
	unsigned int i;
	u32 narrow;

	if (!user_read_access_begin((void __user *)hva, PAGE_SIZE))
		return false;
	for (i = 0; i < BATCH; i++) {
		const hva_t at = hva + shadow_gpte_offset(sp, first + i);

		if (!sp->table[first + i])
			continue;
		if (shift == 3) {
			unsafe_get_user(gpte[i], (u64 __user *)at, fault);
		} else {
			unsafe_get_user(narrow, (u32 __user *)at, fault);
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

/*
 * An entry that is gone, or lost its writable bit before, may still be in a TLB: the
 * flush is needed for what was cleared ever since the last one, not here alone.
 */
static void protect_lists(struct vmm_vm *vm, struct list_head *list, struct list_head *more)
{
	struct shadow_page *sp;

	list_for_each_entry(sp, list, written)
		shadow_protect_frame(&vm->mmu, sp->key.gfn);
	if (more)
		list_for_each_entry(sp, more, written)
			shadow_protect_frame(&vm->mmu, sp->key.gfn);
	if (!list_empty(list) || (more && !list_empty(more)))
		vmm_mmu_flush_locked(vm);
}

static void sync_list(struct vmm_vm *vm, struct list_head *list, bool keep)
{
	struct shadow_page *sp;

	while ((sp = list_first_entry_or_null(list, struct shadow_page, written))) {
		list_del_init(&sp->written);
		sp->unsync = false;
		if (keep)
			compare(vm, sp);
		else
			compare_or_zap(vm, sp);
	}
}

/* Comparing dooms pages anywhere on the list: take the first until there is none. */
static void sync_all(struct vmm_vm *vm)
{
	struct shadow_mmu *shadow = vm->mmu.shadow;
	struct shadow_page *sp;
	LIST_HEAD(done);

	while ((sp = list_first_entry_or_null(&shadow->active, struct shadow_page, active))) {
		list_move_tail(&sp->active, &done);
		if (!sp->key.role.direct)
			compare_or_zap(vm, sp);
	}
	list_splice(&done, &shadow->active);
}

void shadow_sync(struct vmm_vm *vm, enum shadow_sync which)
{
	struct vmm_mmu *mmu = &vm->mmu;
	struct list_head *lowest = &mmu->shadow->unsync[0], *above = &mmu->shadow->unsync[1];

	lockdep_assert_held_write(&mmu->lock);
	protect_lists(vm, above, which != SYNC_ABOVE ? lowest : NULL);
	/* From here on nobody writes the tables without a fault. */
	sync_list(vm, above, which == SYNC_FOR_LINK);
	if (which != SYNC_ABOVE)
		sync_list(vm, lowest, which == SYNC_FOR_LINK);
	if (which == SYNC_ALL)
		sync_all(vm);
}
