// SPDX-License-Identifier: GPL-2.0-only
/*
 * The audit: what docs/mmu.md says of the nested table, asserted over the whole of
 * it while nothing moves (mmu.lock is held for writing). For tests, by parameter:
 * a walk of everything is much too slow for use. It reads and never repairs.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/moduleparam.h>

#include "mmu/host.h"
#include "mmu/mmu.h"

static bool audit;
module_param(audit, bool, 0644);
MODULE_PARM_DESC(audit, "Check the nested page table against slots and process (slow)");

/* One of so many faults and invalidations pays, so that a test gets on. */
#define AUDIT_EVERY	4

static atomic_t audit_turn;

static void complain(const char *what, gfn_t gfn, u64 pte, u64 expected)
{
	WARN_ONCE(1, "vmm: audit: %s: gfn %#llx, entry %#llx, expected %#llx\n", what, gfn, pte,
		  expected);
}

/* The 4 KiB frame @gfn, which the leaf @pte maps to @hpa. */
static void audit_frame(struct vmm_vm *vm, gfn_t gfn, u64 pte, hpa_t hpa)
{
	const bool writable = pte & vmm_caps.nested_format->write;
	struct vmm_memory memory;
	struct host_leaf host;

	if (!vmm_slot_find(vm, gfn, &memory)) {
		complain("mapped without a slot", gfn, pte, 0);
		return;
	}
	if (writable && (memory.flags & VMM_SLOT_READONLY))
		complain("a read-only slot is writable", gfn, pte, memory.flags);
	host_lookup(vm->mm, memory.hva, false, &host);
	if (!host.level)
		complain("not mapped in the process", gfn, pte, memory.hva);
	else if (host.hpa != hpa)
		complain("another page than the process's", gfn, pte, host.hpa);
	else if (writable && !host.writable)
		complain("more than the process may", gfn, pte, memory.hva);
}

static void audit_leaf(struct vmm_vm *vm, gfn_t gfn, u64 pte, unsigned int level)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	const u64 last = vmm_level_frames(level) - 1;
	const hpa_t hpa = vmm_pte_address(format, pte);

	if ((pte & format->leaf) != format->leaf)
		complain("a leaf without the bits of one", gfn, pte, format->leaf);
	if (hpa & ((last << PAGE_SHIFT)))
		complain("a leaf that is not aligned", gfn, pte, last);
	/* A huge page is one entry in the process, or its ends would differ. */
	audit_frame(vm, gfn, pte, hpa);
	if (last)
		audit_frame(vm, gfn + last, pte, hpa + (last << PAGE_SHIFT));
}

/* Tables from @table down, itself included. */
static unsigned long audit_table(struct vmm_vm *vm, const u64 *table, unsigned int level,
				 gfn_t gfn)
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
			audit_leaf(vm, gfn, pte, level);
		} else {
			tables += audit_table(vm, vmm_pte_table(format, pte), level - 1, gfn);
		}
	}
	return tables;
}

void vmm_mmu_audit(struct vmm_vm *vm)
{
	struct vmm_mmu *mmu = &vm->mmu;
	unsigned long tables;

	if (likely(!READ_ONCE(audit)) || !vmm_caps.nested || current->mm != vm->mm ||
	    atomic_inc_return(&audit_turn) % AUDIT_EVERY)
		return;
	write_lock(&mmu->lock);
	/* During an invalidation process and guest may differ until it has zapped. */
	if (mmu->root != VMM_INVALID_HPA && !mmu->invalidating) {
		tables = audit_table(vm, __va(mmu->root), vmm_caps.levels, 0);
		/* Detached ones wait to be freed, and count until then. */
		if (tables > atomic_long_read(&mmu->pages))
			complain("more tables than counted", 0, tables,
				 atomic_long_read(&mmu->pages));
	}
	write_unlock(&mmu->lock);
}
