/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The dirty log of a slot: one bit for each of its frames, for those that the guest,
 * or the kernel for it, has written since the bit was taken last.
 */
#ifndef VMM_MMU_DIRTY_H
#define VMM_MMU_DIRTY_H

#include "vmm.h"

/* An empty log with one reference; NULL. [sleep] Costs the same for any slot. */
struct vmm_dirty_log *dirty_log_create(void);
/* Any context but hard interrupts. */
void dirty_log_put(struct vmm_dirty_log *log);
/* The same, for the slot that had it: no vCPU can find it any more. vm->lock. */
void dirty_log_end(struct vmm_vm *vm, struct vmm_dirty_log *log);

/*
 * [sleep] Make room for dirty_log_mark() of frame @gfn, if its slot has a log. -ENOMEM.
 * What it made room in stays the slot's until a slot changes, and mmu.seq with it.
 */
int dirty_log_prepare(struct vmm_vm *vm, gfn_t gfn);
/* Frame @index of the slot was written, or is about to be mapped so. mmu.lock. */
void dirty_log_mark(struct vmm_dirty_log *log, u64 index);
bool dirty_log_has(struct vmm_dirty_log *log, u64 index);

#endif
