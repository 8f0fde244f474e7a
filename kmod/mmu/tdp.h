/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The nested page table as an object: map, zap, age. For files of mmu/ only.
 */
#ifndef VMM_MMU_TDP_H
#define VMM_MMU_TDP_H

#include "mmu/pte.h"
#include "vmm.h"

enum tdp_result {
	TDP_MAPPED,		/* the access is possible now, or was already */
	TDP_NEED_TABLES,	/* nothing done: spare->want tables are missing */
	TDP_CONFLICT,		/* another mapping is there: zap it first */
	TDP_STALE,		/* of mmu.c: what the fault knows may be old */
};

/* What a leaf is to say about the frame that contains @gfn. */
struct tdp_map {
	gfn_t gfn;
	hpa_t hpa;		/* of @gfn's 4 KiB */
	unsigned int level;	/* the highest that the leaf may have */
	bool writable;
	u8 pat;			/* with the memory type of this entry of the PAT; 0: write-back */
};

/* Tables that were allocated before mmu.lock was taken. */
struct tdp_spare {
	struct page *page[VMM_MAX_LEVELS];
	unsigned int count;
	unsigned int want;	/* what TDP_NEED_TABLES asks for */
};

/* [sleep] Allocate until there are spare->want. -ENOMEM: fewer. */
int tdp_spare_fill(struct tdp_spare *spare);
void tdp_spare_free(struct tdp_spare *spare);

/*
 * mmu.lock held, for reading is enough, and there is a root. @map->writable is for what
 * may be written at once, by any access. TDP_CONFLICT: the whole leaf that was wanted.
 */
enum tdp_result tdp_map(struct vmm_mmu *mmu, const struct tdp_map *map, struct tdp_spare *spare);
/*
 * Map the frame @gfn + n to the address @hpa[n], 0: leave it, where nothing is
 * mapped yet or less is permitted than by @beside; only within the table of lowest
 * level that maps @beside, which tdp_map() has mapped at that level. mmu.lock.
 */
void tdp_map_around(struct vmm_mmu *mmu, const struct tdp_map *beside, gfn_t gfn,
		    const hpa_t *hpa, unsigned int count);

/*
 * Let the next write to frames [@first, @last) be a fault. Counts in mmu.cleared what
 * a TLB may hold. mmu.lock held for writing.
 */
void tdp_protect(struct vmm_mmu *mmu, gfn_t first, gfn_t last);

/* The same, but where the CPU reports writes (struct vmm_pte_format) it will report it. */
void tdp_watch(struct vmm_mmu *mmu, gfn_t first, gfn_t last);

/*
 * Unmap frames [@first, @last). Tables without use go to @free, and to
 * tdp_free() after the TLBs were flushed. mmu.lock held for writing.
 */
void tdp_zap(struct vmm_mmu *mmu, gfn_t first, gfn_t last, struct list_head *free);
/*
 * Detach up to @max tables of the lowest level, from mmu.reclaim_at on, in turn. Returns
 * how many. mmu.lock held for writing.
 */
unsigned int tdp_reclaim(struct vmm_mmu *mmu, unsigned int max, struct list_head *free);
/* Detach the whole table: mmu.root is invalid then. */
void tdp_zap_root(struct vmm_mmu *mmu, struct list_head *free);
/* Any context but [sleep] if @may_sleep; no lock needed. */
void tdp_free(struct vmm_mmu *mmu, struct list_head *free, bool may_sleep);

/*
 * Was a frame of [@first, @last) used since the last @clear? mmu.lock held. False
 * where the CPU keeps no accessed bits.
 */
bool tdp_age(struct vmm_mmu *mmu, gfn_t first, gfn_t last, bool clear);

#endif
