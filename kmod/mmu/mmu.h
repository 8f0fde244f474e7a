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

int vmm_notifier_register(struct vmm_vm *vm);

/*
 * With the module's parameter audit: check the whole nested table against slots
 * and process, if that is the current one. mmu.lock is not held.
 */
void vmm_mmu_audit(struct vmm_vm *vm);

#endif
