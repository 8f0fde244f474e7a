/* SPDX-License-Identifier: GPL-2.0-only */
/* What mmu.c and notifier.c offer each other. */
#ifndef VMM_MMU_MMU_H
#define VMM_MMU_MMU_H

#include "mmu/tdp.h"

/*
 * Wait until no TLB holds an entry that was made absent before the call. IRQs on,
 * mmu.lock not held; does not sleep.
 */
void vmm_mmu_flush(struct vmm_vm *vm);

/* The same with mmu.lock held for writing. */
void vmm_mmu_flush_locked(struct vmm_vm *vm);

/*
 * mmu.lock held: could an invalidation have changed what is known about the @size
 * bytes, a power of 2, around @hva since mmu.seq was @seq?
 */
bool mmu_is_stale(const struct vmm_mmu *mmu, unsigned long seq, hva_t hva, hva_t size);

/* Drop what maps frames [@first, @last), then the lock, which is held for writing; flush. */
void mmu_zap_unlock(struct vmm_vm *vm, gfn_t first, gfn_t last, bool may_sleep)
	__releases(&vm->mmu.lock);
/*
 * Let the next write to frames [@first, @last) of a slot with a log get there: by a fault, or
 * by a report of the CPU's. mmu.lock held for writing.
 */
void mmu_watch(struct vmm_mmu *mmu, gfn_t first, gfn_t last);
/* Is what a running vCPU wrote in its log only after an exit? */
static inline bool mmu_reports_late(const struct vmm_mmu *mmu)
{
	return !mmu->shadow && vmm_caps.nested_format->reports;
}

/* Was one of these frames used since the last @clear? mmu.lock held. */
bool mmu_age(struct vmm_mmu *mmu, gfn_t first, gfn_t last, bool clear);

int vmm_notifier_register(struct vmm_vm *vm);

/*
 * With the module's parameter audit: check the whole nested table against slots
 * and process, if that is the current one. mmu.lock is not held.
 */
void vmm_mmu_audit(struct vmm_vm *vm);

#endif
