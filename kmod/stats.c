// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters of VMs and vCPUs for the process. They are kept where they are counted;
 * here they are only read, without a lock, while they go on.
 */
#include "vmm.h"

int vmm_vm_stats(struct vmm_vm *vm, struct vmm_vm_stats *stats)
{
	if (stats->flags)
		return -EINVAL;
	*stats = (struct vmm_vm_stats) {
		.table_pages = atomic_long_read(&vm->mmu.pages),
		.aux_pages = atomic_long_read(&vm->mmu.aux),
		.table_limit = vmm_mmu_table_limit(vm),
		.reclaimed = atomic_long_read(&vm->mmu.reclaimed),
	};
	return 0;
}

int vmm_vcpu_stats(const struct vmm_vcpu *vcpu, struct vmm_vcpu_stats *stats)
{
	unsigned int i;

	BUILD_BUG_ON(VMM_NR_STAT_EXIT > ARRAY_SIZE(stats->exits));
	if (stats->flags)
		return -EINVAL;
	*stats = (struct vmm_vcpu_stats) { .returns = READ_ONCE(vcpu->returns) };
	for (i = 0; i < VMM_NR_STAT_EXIT; i++)
		stats->exits[i] = READ_ONCE(vcpu->exits[i]);
	return 0;
}
