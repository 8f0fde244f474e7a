/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for the kernel's <asm/vmx.h>: fields of the guest-state area and
 * what is in them, by the manual's appendix "Field Encoding in VMCS".
 */
#ifndef UNIT_SHIM_VMX_H
#define UNIT_SHIM_VMX_H

#define GUEST_ES_SELECTOR		0x0800
#define VMCS_LINK_POINTER		0x2800
#define GUEST_IA32_DEBUGCTL		0x2802
#define GUEST_IA32_EFER			0x2806
#define GUEST_PDPTR0			0x280a
#define VM_ENTRY_CONTROLS		0x4012
#define VM_ENTRY_INTR_INFO_FIELD	0x4016
#define GUEST_ES_LIMIT			0x4800
#define GUEST_GDTR_LIMIT		0x4810
#define GUEST_IDTR_LIMIT		0x4812
#define GUEST_ES_AR_BYTES		0x4814
#define GUEST_INTERRUPTIBILITY_INFO	0x4824
#define GUEST_ACTIVITY_STATE		0x4826
#define GUEST_CR0			0x6800
#define GUEST_CR3			0x6802
#define GUEST_CR4			0x6804
#define GUEST_ES_BASE			0x6806
#define GUEST_GDTR_BASE			0x6816
#define GUEST_IDTR_BASE			0x6818
#define GUEST_DR7			0x681a
#define GUEST_RIP			0x681e
#define GUEST_RFLAGS			0x6820
#define GUEST_PENDING_DBG_EXCEPTIONS	0x6822
#define GUEST_SYSENTER_ESP		0x6824
#define GUEST_SYSENTER_EIP		0x6826

#define VM_ENTRY_IA32E_MODE		0x00000200
#define INTR_INFO_INTR_TYPE_MASK	0x00000700
#define INTR_INFO_VALID_MASK		0x80000000
#define INTR_TYPE_EXT_INTR		(0 << 8)
#define INTR_TYPE_NMI_INTR		(2 << 8)
#define GUEST_INTR_STATE_STI		0x00000001
#define GUEST_INTR_STATE_MOV_SS		0x00000002
#define GUEST_INTR_STATE_SMI		0x00000004
#define GUEST_INTR_STATE_NMI		0x00000008
#define GUEST_ACTIVITY_ACTIVE		0

#define VMX_AR_TYPE_MASK		0x0f
#define VMX_AR_TYPE_LDT			2
#define VMX_AR_TYPE_BUSY_16_TSS		3
#define VMX_AR_TYPE_BUSY_64_TSS		11
#define VMX_AR_S_MASK			0x10
#define VMX_AR_P_MASK			0x80
#define VMX_AR_L_MASK			0x2000
#define VMX_AR_DB_MASK			0x4000
#define VMX_AR_G_MASK			0x8000
#define VMX_AR_UNUSABLE_MASK		0x10000
#define VMX_AR_RESERVD_MASK		0xfffe0f00
#define VMX_AR_DPL(ar)			(((ar) >> 5) & 3)

#endif /* UNIT_SHIM_VMX_H */
