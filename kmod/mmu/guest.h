/* SPDX-License-Identifier: GPL-2.0-only */
/* Entries of the guest's page tables in the process's memory; mmu/walk.c. */
#ifndef VMM_MMU_GUEST_H
#define VMM_MMU_GUEST_H

#include "mmu/paging.h"
#include "types.h"

/* What the machine's walker adds to the guest's registers. */
const struct paging_cpu *guest_machine(void);

/*
 * One entry of 1 << @shift bytes in one read, or none of it. Sleeps for a page
 * that is not there, unless page faults are disabled.
 */
bool guest_entry_read(hva_t hva, unsigned int shift, u64 *entry);
/* 0; 1: the entry is not *@old any more; -EFAULT: it cannot be written. [sleep] */
int guest_entry_cmpxchg64(hva_t hva, u64 *old, u64 new);
int guest_entry_cmpxchg32(hva_t hva, u32 *old, u32 new);

#endif
