// SPDX-License-Identifier: GPL-2.0-only
/*
 * EOIs without an exit: "MSR_KVM_EOI_EN" in Documentation/virt/kvm/x86/msr.rst. A bit
 * in the guest's memory says that the interrupt in service needs no EOI at the APIC;
 * the guest clears it instead. It is set only where nothing waits for that EOI: IRR is
 * empty and the interrupt is edge-triggered.
 *
 * Whether the guest has cleared it matters to nobody until ISR is looked at, so it is
 * asked then and not at every exit: apic_pv_sync(). Invariant: pv_eoi is a vector that
 * is the highest in ISR, unless the guest has ended it.
 */
#include <uapi/asm/kvm_para.h>

#include "irq.h"

/* Did the guest skip the EOI? Then it is done now. Takes the offer back if not. */
static bool settle(struct vmm_apic *apic, bool atomic)
{
	struct vmm_vcpu *vcpu = apic->vcpu;
	u8 vector = apic->pv_eoi;
	u32 old;

	if (vmm_guest_xchg(vcpu->vm, apic->pv_eoi_area & ~(u64)KVM_MSR_ENABLED, 0, &old, atomic))
		return false;
	apic->pv_eoi = 0;
	if (old & KVM_PV_EOI_ENABLED)
		return true;
	__clear_bit(vector, apic_bitmap(apic, APIC_ISR));
	apic->in_service = apic_highest(apic, APIC_ISR);
	return true;
}

bool apic_pv_settle(struct vmm_apic *apic)
{
	if (settle(apic, true))
		return true;
	vmm_request(apic->vcpu, VMM_REQ_EOI);
	return false;
}

void vmm_apic_settle_eoi(struct vmm_vcpu *vcpu)
{
	struct vmm_apic *apic = vcpu->apic;

	/* Memory that is gone: the guest's EOIs are written from now on. */
	if (apic->pv_eoi && !settle(apic, false)) {
		apic->pv_eoi = 0;
		apic->pv_eoi_area = 0;
	}
}

void vmm_apic_offer_eoi(struct vmm_vcpu *vcpu)
{
	struct vmm_apic *apic = vcpu->apic;
	u8 vector = apic->in_service;
	u32 old;

	if (likely(!apic->pv_eoi_area) || READ_ONCE(apic->irr_hint) || !vector ||
	    test_bit(vector, apic_bitmap(apic, APIC_TMR)))
		return;
	if (!vmm_guest_xchg(vcpu->vm, apic->pv_eoi_area & ~(u64)KVM_MSR_ENABLED,
			    KVM_PV_EOI_ENABLED, &old, true))
		apic->pv_eoi = vector;
}

u64 vmm_apic_get_pv_eoi(struct vmm_vcpu *vcpu)
{
	return vcpu->apic->pv_eoi_area;
}

void vmm_apic_set_pv_eoi(struct vmm_vcpu *vcpu, u64 value)
{
	u32 old;

	vmm_apic_settle_eoi(vcpu);
	vcpu->apic->pv_eoi_area = value & KVM_MSR_ENABLED ? value : 0;
	/* Offers are made with IRQs off: let the process have the page by then. */
	if (value & KVM_MSR_ENABLED)
		vmm_guest_xchg(vcpu->vm, value & ~(u64)KVM_MSR_ENABLED, 0, &old, false);
}
