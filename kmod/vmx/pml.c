// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page-modification logging, "Page-Modification Logging": when a write sets the dirty flag of
 * an EPT leaf, the CPU puts the frame's address into a page of ours, from the last entry
 * down, and exits before the write that finds no room.
 *
 * The page is emptied when a turn ends, with IRQs off and before vcpu->mode says so: outside
 * of VMM_IN_GUEST it holds nothing, so whoever takes the vCPUs out of there has all reports
 * in the logs. Exits in the middle of a turn leave it alone; a full page ends the turn.
 */
#include <linux/io.h>

#include "vmx.h"

#define PML_ENTRIES	512

int vmx_pml_create(struct vmx_vcpu *vmx)
{
	if (!vmx->config->pml)
		return 0;
	vmx->pml = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	return vmx->pml ? 0 : -ENOMEM;
}

void vmx_pml_destroy(struct vmx_vcpu *vmx)
{
	if (vmx->pml)
		__free_page(vmx->pml);
}

void vmx_pml_reset(struct vmx_vcpu *vmx)
{
	if (!vmx->pml)
		return;
	vmcs_write(PML_ADDRESS, page_to_phys(vmx->pml));
	vmcs_write(GUEST_PML_INDEX, PML_ENTRIES - 1);
}

/* The index is that of the next entry; of a full page it is 0xffff. */
void vmx_pml_empty(struct vmx_vcpu *vmx)
{
	const u64 *entry = page_address(vmx->pml);
	u16 next = vmcs_read(GUEST_PML_INDEX);
	unsigned int i;

	if (likely(next == PML_ENTRIES - 1))
		return;
	for (i = next < PML_ENTRIES ? next + 1 : 0; i < PML_ENTRIES; i++)
		vmm_dirty_report(vmx->vcpu.vm, entry[i] >> PAGE_SHIFT);
	vmcs_write(GUEST_PML_INDEX, PML_ENTRIES - 1);
}
