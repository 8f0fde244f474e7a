// SPDX-License-Identifier: GPL-2.0-only
/*
 * "APIC Virtualization and Virtual Interrupts": the virtual-APIC page, which
 * ../irq/vapic.c fills, and what the VMCS has beside it. The CPU evaluates pending
 * virtual interrupts at each entry.
 *
 * Posted interrupts are not used: no emulated host offers them. An interrupt for a guest
 * that runs ends its turn, and comes with the next.
 */
#include <asm/io.h>

#include "vmx.h"

#define CR8_EXITING	(CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING)
/* "Guest interrupt status": RVI and SVI */
#define STATUS_SVI_SHIFT	8

static unsigned long eoi_exit_bitmap(unsigned int i)
{
	return EOI_EXIT_BITMAP0 + 2 * i;
}

/* As after vmx_vcpu_reset(), which has written the other controls. */
void vmx_reset_apic(struct vmx_vcpu *vmx)
{
	int i;

	vmx->apic_by_cpu = false;
	vmx->wrong_vectoring = false;
	if (!vmx->config->virtual_apic)
		return;
	vmcs_write(VIRTUAL_APIC_PAGE_ADDR, virt_to_phys(vmm_apic_page(&vmx->vcpu)));
	vmcs_write(TPR_THRESHOLD, 0);
	vmcs_write(GUEST_INTR_STATUS, 0);
	for (i = 0; i < ARRAY_SIZE(vmx->eoi_exits); i++) {
		vmx->eoi_exits[i] = 0;
		vmcs_write(eoi_exit_bitmap(i), 0);
	}
}

/*
 * IDT-vectoring information of an exit in the delivery of a virtual interrupt: Bochs
 * leaves there what an earlier event has left. Such a delivery has moved the vector to
 * SVI, and found interrupts enabled.
 */
u32 vmx_apic_vectoring(const struct vmx_vcpu *vmx, u32 info)
{
	u8 svi = vmcs_read(GUEST_INTR_STATUS) >> STATUS_SVI_SHIFT;

	if (!svi || svi == vmx->entry_svi || !(vmx->vcpu.regs.rflags & X86_EFLAGS_IF))
		return info;
	return svi | INTR_TYPE_EXT_INTR | VECTORING_INFO_VALID_MASK;
}

void vmx_apic_note_entry(struct vmx_vcpu *vmx)
{
	vmx->entry_svi = vmcs_read(GUEST_INTR_STATUS) >> STATUS_SVI_SHIFT;
}

static void switch_controls(struct vmx_vcpu *vmx, bool on)
{
	if (vmx->apic_by_cpu == on)
		return;
	vmx->apic_by_cpu = on;
	vmx->wrong_vectoring = on && vmx->config->wrong_vectoring;
	vmx->controls &= ~(CR8_EXITING | CPU_BASED_TPR_SHADOW);
	vmx->controls |= on ? CPU_BASED_TPR_SHADOW : vmx->config->primary & CR8_EXITING;
	vmcs_write(SECONDARY_VM_EXEC_CONTROL,
		   vmx_secondary(vmx) | (on ? VMX_APIC_CONTROLS : 0));
	vmcs_write(MSR_BITMAP, vmx_bitmap(on));
}

void vmx_push_apic(struct vmm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vmm_apic_given given;
	bool on;
	int i;

	if (!vmx->config->virtual_apic)
		return;
	on = vmm_apic_give(vcpu, &given);
	switch_controls(vmx, on);
	if (!on)
		return;
	vmcs_write(GUEST_INTR_STATUS, given.requested | given.in_service << STATUS_SVI_SHIFT);
	for (i = 0; i < ARRAY_SIZE(vmx->eoi_exits); i++) {
		if (vmx->eoi_exits[i] == given.level[i])
			continue;
		vmx->eoi_exits[i] = given.level[i];
		vmcs_write(eoi_exit_bitmap(i), given.level[i]);
	}
}
