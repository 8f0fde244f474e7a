/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The process's side of a fault: pages by get_user_pages, and what the process's
 * own page table says about their neighbours. For files of mmu/ only.
 */
#ifndef VMM_MMU_HOST_H
#define VMM_MMU_HOST_H

#include "mmu/tdp.h"

/*
 * Frames that one fault maps beside the one asked for: those of the same aligned
 * 64 KiB of the process that are in its page table already. More would save few
 * exits, and reading entries that are absent costs every fault.
 */
#define HOST_WINDOW_SHIFT	4
#define HOST_WINDOW		BIT(HOST_WINDOW_SHIFT)

/*
 * Take a reference on the page at @hva, faulting it in; for reads never by
 * breaking copy-on-write. @may_write: the slot can be written; @write: it is
 * about to be. *@writable: the page may be mapped so, after host_mark_dirty(). [sleep]
 * *@page NULL: memory of a device, which the process maps by frame number (VM_PFNMAP,
 * VM_IO); the driver has mapped it, and host_lookup() tells the frame.
 * -EINTR, -EAGAIN: a signal, or try again; else why there is none.
 */
int host_get_page(hva_t hva, bool may_write, bool write, struct page **page, bool *writable);

static inline void host_put_page(struct page *page)
{
	if (page)
		put_page(page);
}

static inline hpa_t host_page_hpa(struct page *page)
{
	return page ? page_to_phys(page) : VMM_INVALID_HPA;
}

/*
 * Could the process map @page with another memory type than write-back? Drivers do so with
 * pages of their own, which belong to no file and are not anonymous; NULL: a device's memory.
 */
static inline bool host_page_is_drivers(struct page *page)
{
	return !page || !page_folio(page)->mapping;
}

/*
 * The page at @hpa, referenced and found writable, is about to be mapped so.
 * mmu.lock held, and what was found is not stale.
 */
void host_mark_dirty(hpa_t hpa);

/* What maps an address in the process. */
struct host_leaf {
	unsigned int level;	/* VMM_LEVEL_* at most, 0: nothing of use */
	bool writable;
	u8 pat;			/* which entry of the PAT it is mapped with */
	hpa_t hpa;		/* of the 4 KiB page asked for */
	hpa_t window[HOST_WINDOW];	/* for VMM_LEVEL_4K; 0: not to be mapped */
};

/* Does the process have the memory as a fault wants to map it? */
static inline bool host_leaf_permits(const struct host_leaf *leaf, bool writable)
{
	return leaf->level && (leaf->writable || !writable);
}

/*
 * Look @hva up in the page table of @mm. The answer holds while mmu.lock is held
 * and no invalidation of that address is under way, because every change of it
 * starts with one. @write: window lists only pages that may be mapped writable.
 */
void host_lookup(struct mm_struct *mm, hva_t hva, bool write, struct host_leaf *leaf);

#endif
