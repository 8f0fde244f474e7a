// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mmu notifier: the process's mappings change, and the guest follows.
 *
 * What an invalidation is about to take away is unmapped, and flushed from every
 * TLB, before invalidate_range_start() returns; until invalidate_range_end() no
 * fault maps it again, and a fault that looked anything up before that starts
 * over. Every change of a mapping, copy-on-write and KSM included, comes in such a
 * pair, so the callbacks that tell of single entries are not needed.
 *
 * None of it sleeps when the kernel says that it must not: the lock spins, the
 * flush waits for interrupts of other CPUs.
 */
#include <linux/mmu_notifier.h>

#include "mmu/mmu.h"
#include "mmu/shadow.h"

static struct vmm_vm *vm_of(struct mmu_notifier *notifier)
{
	return container_of(notifier, struct vmm_vm, notifier);
}

static void invalidating_begin(struct vmm_mmu *mmu, hva_t start, hva_t end)
{
	write_lock(&mmu->lock);
	if (!mmu->invalidating++) {
		mmu->invalid_start = start;
		mmu->invalid_end = end;
	} else {
		mmu->invalid_start = min(mmu->invalid_start, start);
		mmu->invalid_end = max(mmu->invalid_end, end);
	}
	write_unlock(&mmu->lock);
}

static void invalidating_end(struct vmm_vm *vm)
{
	struct vmm_mmu *mmu = &vm->mmu;
	bool unbalanced;

	write_lock(&mmu->lock);
	mmu->seq++;
	unbalanced = --mmu->invalidating < 0;
	write_unlock(&mmu->lock);
	if (WARN_ON_ONCE(unbalanced))
		vmm_vm_kill(vm);
}

static void zap_hva(struct vmm_vm *vm, hva_t start, hva_t end, bool may_sleep)
{
	gfn_t cursor = 0, first, last;

	while (vmm_slots_next_hva(vm, start, end, &cursor, &first, &last)) {
		write_lock(&vm->mmu.lock);
		mmu_zap_unlock(vm, first, last, may_sleep);
	}
}

static int invalidate_range_start(struct mmu_notifier *notifier,
				  const struct mmu_notifier_range *range)
{
	struct vmm_vm *vm = vm_of(notifier);

	invalidating_begin(&vm->mmu, range->start, range->end);
	zap_hva(vm, range->start, range->end, mmu_notifier_range_blockable(range));
	return 0;
}

static void invalidate_range_end(struct mmu_notifier *notifier,
				 const struct mmu_notifier_range *range)
{
	struct vmm_vm *vm = vm_of(notifier);

	invalidating_end(vm);
	vmm_mmu_audit(vm);
}

static bool age_hva(struct vmm_vm *vm, hva_t start, hva_t end, bool clear)
{
	gfn_t cursor = 0, first, last;
	bool young = false;

	while (vmm_slots_next_hva(vm, start, end, &cursor, &first, &last)) {
		read_lock(&vm->mmu.lock);
		young |= mmu_age(&vm->mmu, first, last, clear);
		read_unlock(&vm->mmu.lock);
	}
	return young;
}

/*
 * The TLBs are not flushed: a page whose entry stays in one may look idle once
 * too often, which costs a fault. Without accessed bits all pages look idle.
 */
static int clear_young(struct mmu_notifier *notifier, struct mm_struct *mm,
		       unsigned long start, unsigned long end)
{
	return age_hva(vm_of(notifier), start, end, true);
}

static int test_young(struct mmu_notifier *notifier, struct mm_struct *mm, unsigned long address)
{
	return age_hva(vm_of(notifier), address, address + PAGE_SIZE, false);
}

/* The address space goes, or the VM does. Faults end with current->mm, in ioctl.c. */
static void release(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	struct vmm_vm *vm = vm_of(notifier);

	write_lock(&vm->mmu.lock);
	vm->mmu.seq++;
	mmu_zap_unlock(vm, 0, ~(gfn_t)0, true);
}

static const struct mmu_notifier_ops notifier_ops = {
	.invalidate_range_start = invalidate_range_start,
	.invalidate_range_end = invalidate_range_end,
	.clear_flush_young = clear_young,
	.clear_young = clear_young,
	.test_young = test_young,
	.release = release,
};

int vmm_notifier_register(struct vmm_vm *vm)
{
	vm->notifier.ops = &notifier_ops;
	return mmu_notifier_register(&vm->notifier, vm->mm);
}

void vmm_mmu_unregister(struct vmm_vm *vm)
{
	mmu_notifier_unregister(&vm->notifier, vm->mm);
	/* No zap is under way any more, in whose hands a table could be. */
	WARN_ON_ONCE(atomic_long_read(&vm->mmu.pages));
	if (vm->mmu.shadow)
		shadow_fini(vm);
}
