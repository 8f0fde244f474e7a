// SPDX-License-Identifier: GPL-2.0-only
/*
 * Host pages behind guest memory.
 *
 * No page stays referenced or pinned: the reference that finds a page is dropped
 * once its address is in the nested table, and the mmu notifier tells when to
 * take it out again.
 *
 * Dirty state. Guest writes set no dirty bit in the process's page table. It is
 * enough to mark a page dirty when it is mapped writable: whoever cleans a page
 * (writeback, reclaim, MADV_FREE) has to write-protect or unmap it first, which
 * goes through the notifier; so the guest's next write faults, and marks it again.
 * Marked it is under mmu.lock, when no such thing is under way: a page that was
 * cleaned since it was found must not become dirty behind its file system's back.
 *
 * Devices' memory has no reference to take, which is none that is missed: like all else it
 * is mapped only while the process maps it, and goes when its driver takes it from the
 * process. A write to it is mapped after the process's own entry is for writing.
 */
#include <linux/mm.h>
#include <linux/pgtable.h>

#include "mmu/host.h"

void host_mark_dirty(hpa_t hpa)
{
	struct page *page = pfn_to_page(PHYS_PFN(hpa));

	/* A page that the process could write is dirty already in most cases. */
	if (!PageDirty(page))
		set_page_dirty(page);
}

static bool get_page_fast(hva_t hva, unsigned int flags, struct page **page)
{
	return get_user_pages_fast_only(hva, 1, flags, page) == 1;
}

/* Where no page can be referenced: 0 if a device's memory is mapped there now. */
static int map_device(hva_t hva, bool write)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	bool unlocked = false;
	int r = -EFAULT;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, hva);
	if (vma && (vma->vm_flags & (VM_PFNMAP | VM_IO)))
		r = fixup_user_fault(mm, hva, write ? FAULT_FLAG_WRITE : 0, &unlocked);
	mmap_read_unlock(mm);
	return r;
}

int host_get_page(hva_t hva, bool may_write, bool write, struct page **page, bool *writable)
{
	struct page *again;
	int r;

	/* A page that is writable anyway saves the fault of the first write. */
	*writable = may_write && get_page_fast(hva, FOLL_WRITE, page);
	if (*writable)
		return 0;
	if (!write && get_page_fast(hva, 0, page))
		return 0;
	*writable = write;
	r = compat_get_user_page(hva, write ? FOLL_WRITE : 0, page);
	if (r == -EFAULT) {
		*page = NULL;
		return map_device(hva, write);
	}
	if (r)
		return r;
	if (!write && may_write && get_page_fast(hva, FOLL_WRITE, &again)) {
		put_page(*page);
		*page = again;
		*writable = true;
	}
	return 0;
}

/* ---- the process's page table ---- */

/* Flags of a present user mapping; an entry for PROT_NONE or NUMA lacks them. */
static bool usable(u64 flags, bool write)
{
	const u64 need = _PAGE_PRESENT | _PAGE_USER | (write ? _PAGE_RW : 0);

	return (flags & need) == need;
}

static u8 pat_entry(u64 flags, u64 high)
{
	return (flags & _PAGE_PWT ? BIT(0) : 0) | (flags & _PAGE_PCD ? BIT(1) : 0) |
	       (flags & high ? BIT(2) : 0);
}

/* A page that may enter the nested table although nobody took a reference. */
static hpa_t window_page(pte_t pte, bool write)
{
	if (!usable(pte_flags(pte), write) || pte_special(pte) || pte_devmap(pte))
		return 0;
	/* Leaves of the window are write-back. */
	if (pte_flags(pte) & VMM_PTE_TYPE)
		return 0;
	/* Nobody can mark it dirty here; see the top of this file. */
	if (write && !pte_dirty(pte))
		return 0;
	return PFN_PHYS(pte_pfn(pte));
}

static void lookup_pte(pmd_t pmd, hva_t hva, bool write, struct host_leaf *leaf)
{
	const hva_t start = round_down(hva, HOST_WINDOW * PAGE_SIZE);
	pte_t *ptep = pte_offset_kernel(&pmd, start);
	unsigned int i;

	for (i = 0; i < HOST_WINDOW; i++) {
		pte_t pte = READ_ONCE(ptep[i]);

		leaf->window[i] = window_page(pte, write);
		if (start + i * PAGE_SIZE != (hva & PAGE_MASK) || !usable(pte_flags(pte), false))
			continue;
		leaf->level = VMM_LEVEL_4K;
		leaf->writable = usable(pte_flags(pte), true);
		leaf->pat = pat_entry(pte_flags(pte), _PAGE_PAT);
		leaf->hpa = PFN_PHYS(pte_pfn(pte));
	}
}

static void set_leaf(struct host_leaf *leaf, unsigned int level, u64 flags, unsigned long pfn,
		     hva_t inside)
{
	if (!usable(flags, false))
		return;
	leaf->level = level;
	leaf->writable = flags & _PAGE_RW;
	leaf->pat = pat_entry(flags, _PAGE_PAT_LARGE);
	leaf->hpa = PFN_PHYS(pfn) + (inside & PAGE_MASK);
}

/* IRQs are off: no table on the way is freed, as for get_user_pages_fast(). */
static void lookup(struct mm_struct *mm, hva_t hva, bool write, struct host_leaf *leaf)
{
	pgd_t *pgdp = pgd_offset(mm, hva);
	pgd_t pgd = READ_ONCE(*pgdp);
	p4d_t *p4dp, p4d;
	pud_t *pudp, pud;
	pmd_t *pmdp, pmd;

	if (pgd_none(pgd))
		return;
	p4dp = p4d_offset_lockless(pgdp, pgd, hva);
	p4d = READ_ONCE(*p4dp);
	if (p4d_none(p4d) || !p4d_present(p4d))
		return;
	pudp = pud_offset_lockless(p4dp, p4d, hva);
	pud = READ_ONCE(*pudp);
	if (pud_none(pud) || !pud_present(pud))
		return;
	if (pud_leaf(pud)) {
		set_leaf(leaf, VMM_LEVEL_1G, pud_flags(pud), pud_pfn(pud), hva & ~PUD_MASK);
		return;
	}
	pmdp = pmd_offset_lockless(pudp, pud, hva);
	pmd = READ_ONCE(*pmdp);
	if (pmd_none(pmd) || !pmd_present(pmd))
		return;
	if (pmd_leaf(pmd))
		set_leaf(leaf, VMM_LEVEL_2M, pmd_flags(pmd), pmd_pfn(pmd), hva & ~PMD_MASK);
	else
		lookup_pte(pmd, hva, write, leaf);
}

void host_lookup(struct mm_struct *mm, hva_t hva, bool write, struct host_leaf *leaf)
{
	unsigned long flags;

	memset(leaf, 0, sizeof(*leaf));
	local_irq_save(flags);
	lookup(mm, hva, write, leaf);
	local_irq_restore(flags);
}
