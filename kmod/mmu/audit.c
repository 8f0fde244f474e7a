// SPDX-License-Identifier: GPL-2.0-only
/*
 * The audit: what docs/mmu.md says of the nested table, or of all shadow pages, their
 * links and reverse maps, asserted over the whole while nothing moves (mmu.lock is
 * held for writing). For tests, by parameter: a walk of everything is much too slow
 * for use. It reads and never repairs.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/moduleparam.h>

#include "mmu/dirty.h"
#include "mmu/host.h"
#include "mmu/mmu.h"
#include "mmu/shadow.h"

static bool audit;
module_param(audit, bool, 0644);
MODULE_PARM_DESC(audit, "Check nested or shadow page tables against slots and process (slow)");

/* One of so many faults and invalidations pays, so that a test gets on. */
#define AUDIT_EVERY	4

static atomic_t audit_turn;

static void complain(const char *what, gfn_t gfn, u64 pte, u64 expected)
{
	WARN_ONCE(1, "vmm: audit: %s: gfn %#llx, entry %#llx, expected %#llx\n", what, gfn, pte,
		  expected);
}

/*
 * Linux 6.1 takes an entry away for a moment to make it old (MADV_COLD, MADV_PAGEOUT) and
 * tells nobody, as the page stays: what is absent is looked at again, for up to a second,
 * until that was in vain once.
 */
static void look_up(struct mm_struct *mm, hva_t hva, struct host_leaf *host)
{
	static bool in_vain;
	unsigned int i;

	host_lookup(mm, hva, false, host);
	for (i = 0; !host->level && !in_vain && i < MSEC_PER_SEC; i++) {
		mdelay(1);
		host_lookup(mm, hva, false, host);
	}
	if (!host->level)
		in_vain = true;
}

/*
 * Is the memory type of the leaf @pte of @level the process's? Large leaves are write-back:
 * where they have another bit in the place of one of the type's it says nothing.
 */
static void audit_type(const struct vmm_pte_format *format, gfn_t gfn, u64 pte,
		       unsigned int level, unsigned int pat)
{
	const u64 bits = level > VMM_LEVEL_4K ? format->type & ~format->large : format->type;

	if (((pte ^ format->type_of(pat)) & bits) || (level > VMM_LEVEL_4K && pat))
		complain("another memory type than the process's", gfn, pte, pat);
}

/*
 * The 4 KiB frame @gfn, which the leaf @pte of @level maps to @hpa. @writable: by the
 * leaf; @open: the entries above let the guest write, too.
 */
static void audit_frame(struct vmm_vm *vm, gfn_t gfn, u64 pte, unsigned int level, hpa_t hpa,
			bool open)
{
	const struct vmm_pte_format *format = vmm_vm_nested(vm) ? vmm_caps.nested_format :
								  &shadow_format;
	const bool writable = pte & format->write;
	struct vmm_memory memory;
	struct host_leaf host;

	if (!vmm_slot_find(vm, gfn, &memory)) {
		complain("mapped without a slot", gfn, pte, 0);
		return;
	}
	if (writable && (memory.flags & VMM_SLOT_READONLY))
		complain("a read-only slot is writable", gfn, pte, memory.flags);
	if (writable && open && memory.log && !mmu_reports_late(&vm->mmu) &&
	    !dirty_log_has(memory.log, gfn - memory.first))
		complain("writable and not in the log", gfn, pte, 0);
	look_up(vm->mm, memory.hva, &host);
	if (!host.level)
		complain("not mapped in the process", gfn, pte, memory.hva);
	else if (host.hpa != hpa)
		complain("another page than the process's", gfn, pte, host.hpa);
	else if (writable && !host.writable)
		complain("more than the process may", gfn, pte, memory.hva);
	if (host.level)
		audit_type(format, gfn, pte, level, host.pat);
}

static void audit_leaf(struct vmm_vm *vm, gfn_t gfn, u64 pte, unsigned int level, bool open)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	const u64 last = vmm_level_frames(level) - 1;
	const hpa_t hpa = vmm_pte_address(format, pte);

	/* The memory type is another where it is a device's. */
	if (format->leaf & ~(pte | format->type))
		complain("a leaf without the bits of one", gfn, pte, format->leaf);
	if (hpa & ((last << PAGE_SHIFT)))
		complain("a leaf that is not aligned", gfn, pte, last);
	/* A huge page is one entry in the process, or its ends would differ. */
	audit_frame(vm, gfn, pte, level, hpa, open);
	if (last)
		audit_frame(vm, gfn + last, pte, level, hpa + (last << PAGE_SHIFT), open);
}

/* Tables from @table down, itself included. */
static unsigned long audit_table(struct vmm_vm *vm, const u64 *table, unsigned int level,
				 gfn_t gfn, bool open)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	unsigned long tables = 1;
	unsigned int i;

	for (i = 0; i < VMM_PTES; i++, gfn += vmm_level_frames(level)) {
		const u64 pte = READ_ONCE(table[i]);

		if (!vmm_pte_present(format, pte)) {
			if (pte)
				complain("absent but not zero", gfn, pte, 0);
		} else if (vmm_pte_is_leaf(format, pte, level)) {
			audit_leaf(vm, gfn, pte, level, open);
		} else {
			tables += audit_table(vm, vmm_pte_table(format, pte), level - 1, gfn,
					      open && (pte & format->write));
		}
	}
	return tables;
}

static void audit_nested(struct vmm_vm *vm)
{
	struct vmm_mmu *mmu = &vm->mmu;
	unsigned long tables;

	if (mmu->root == VMM_INVALID_HPA)
		return;
	tables = audit_table(vm, __va(mmu->root), vmm_caps.levels, 0, true);
	/* Detached ones wait to be freed, and count until then. */
	if (tables > atomic_long_read(&mmu->pages))
		complain("more tables than counted", 0, tables, atomic_long_read(&mmu->pages));
}

/* ---- shadow paging ---- */

static bool rmap_has(const struct rmap *rmap, const u64 *entry)
{
	struct rmap_cursor cursor;
	unsigned int count = 0;
	bool found = false;
	const u64 *at;

	if (!rmap)
		return false;
	for (at = rmap_first(rmap, &cursor); at; at = rmap_next(&cursor), count++)
		found |= at == entry;
	if (count > RMAP_MAX_LISTS * RMAP_LIST_ENTRIES)
		complain("a reverse map without bounds", 0, count, 0);
	return found;
}

/* Is one of the frames a table whose shadow is in sync? */
static bool any_protected(struct vmm_mmu *mmu, gfn_t gfn, u64 frames)
{
	for (; frames; frames--)
		if (shadow_protected(mmu, gfn + frames - 1))
			return true;
	return false;
}

static void audit_shadow_leaf(struct vmm_vm *vm, const struct shadow_page *sp, unsigned int index)
{
	const unsigned int level = sp->key.role.level;
	const u64 last = vmm_level_frames(level) - 1;
	const u64 pte = READ_ONCE(sp->table[index]);
	const hpa_t hpa = vmm_pte_address(&shadow_format, pte);
	const bool writable = pte & shadow_format.write;
	struct shadow_mmu *shadow = vm->mmu.shadow;
	const bool open = sp->epoch == shadow->epoch;
	const gfn_t gfn = shadow_gfn(sp, index);

	audit_frame(vm, gfn, pte, level, hpa, open);
	if (last)
		audit_frame(vm, gfn + last, pte, level, hpa + (last << PAGE_SHIFT), open);
	if (!rmap_has(last ? rmap_of(&shadow->regions, gfn >> REGION_SHIFT) :
			     rmap_of(&shadow->frames, gfn), &sp->table[index]))
		complain("a leaf that its frame does not know", gfn, pte, 0);
	if (writable && any_protected(&vm->mmu, gfn, last + 1))
		complain("a table in sync can be written", gfn, pte, 0);
}

static void audit_link(struct vmm_mmu *mmu, const u64 *entry, gfn_t gfn)
{
	const struct shadow_page *child = shadow_child_of(*entry);

	if (!child || shadow_find(mmu, &child->key) != child)
		complain("a link to a page that is gone", gfn, *entry, 0);
	else if (!rmap_has(&child->parents, entry))
		complain("a link that the page below does not know", gfn, *entry, 0);
}

/* Returns how many leaves @sp has. */
static unsigned long audit_page(struct vmm_vm *vm, const struct shadow_page *sp)
{
	unsigned int i, present = 0, leaves = 0;

	for (i = 0; i < VMM_PTES; i++) {
		if (!sp->table[i])
			continue;
		present++;
		if (!(sp->table[i] & shadow_format.present))
			complain("absent but not zero", sp->key.gfn, sp->table[i], i);
		if (shadow_is_leaf(sp, sp->table[i])) {
			audit_shadow_leaf(vm, sp, i);
			leaves++;
		} else {
			audit_link(&vm->mmu, &sp->table[i], sp->key.gfn);
		}
	}
	if (present != sp->present)
		complain("miscounted entries", sp->key.gfn, present, sp->present);
	if (shadow_of(sp->table) != sp || sp->invalid)
		complain("not a live page", sp->key.gfn, sp->key.role.word, 0);
	if (!sp->key.role.direct && sp->unsync == list_empty(&sp->written))
		complain("out of sync and not listed, or the reverse", sp->key.gfn, sp->unsync, 0);
	return leaves;
}

static unsigned long count_known(struct xarray *maps)
{
	struct rmap_cursor cursor;
	unsigned long known = 0;
	struct rmap *rmap;
	gfn_t gfn = 0;
	u64 *entry;

	for (; (rmap = rmap_find(maps, &gfn, ~(gfn_t)0)); gfn++)
		for (entry = rmap_first(rmap, &cursor); entry; entry = rmap_next(&cursor))
			known++;
	return known;
}

static void audit_shadow(struct vmm_vm *vm)
{
	struct shadow_mmu *shadow = vm->mmu.shadow;
	unsigned long leaves = 0, known, pages = 0, unsync = 0;
	struct shadow_page *sp;

	list_for_each_entry(sp, &shadow->active, active) {
		leaves += audit_page(vm, sp);
		unsync += sp->unsync;
		pages++;
	}
	/* Each leaf is in its frame's map: if that is all, no map has a dead one. */
	known = count_known(&shadow->frames) + count_known(&shadow->regions);
	if (leaves != known)
		complain("a reverse map of an entry that is gone", 0, known, leaves);
	if (pages != shadow->count)
		complain("miscounted pages", 0, shadow->count, pages);
	/* A root that was zapped is on neither list. */
	if (unsync != shadow->nr_unsync[0] + shadow->nr_unsync[1])
		complain("miscounted pages out of sync", 0, shadow->nr_unsync[0], unsync);
}

void vmm_mmu_audit(struct vmm_vm *vm)
{
	struct vmm_mmu *mmu = &vm->mmu;

	if (likely(!READ_ONCE(audit)) || current->mm != vm->mm ||
	    atomic_inc_return(&audit_turn) % AUDIT_EVERY)
		return;
	write_lock(&mmu->lock);
	/* During an invalidation process and guest may differ until it has zapped. */
	if (!mmu->invalidating) {
		if (vmm_vm_nested(vm))
			audit_nested(vm);
		else
			audit_shadow(vm);
	}
	write_unlock(&mmu->lock);
}
