// SPDX-License-Identifier: GPL-2.0-only
/*
 * State between the vCPU's cache and the VMCS, section by section, and the MSRs
 * that the CPU has while the guest runs. Values pushed were checked by ../state.c.
 *
 * What the cache holds even while the guest runs, since the guest cannot change
 * it without an exit: EFER, all of DEBUG, and those bits of CR0 and CR4 that are
 * not in cr0_owned() and cr4_owned(). The others are read from the VMCS.
 */
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>
#include <uapi/asm/debugreg.h>

#include "vmx.h"

/*
 * Bits the guest writes without an exit: they change nothing that is derived from
 * the register here or in neutral code. PG and PE switch modes; CD and NW stay as
 * the host has them; NE is fixed.
 */
#define CR0_OWNED	(X86_CR0_TS | X86_CR0_MP | X86_CR0_EM | X86_CR0_AM | X86_CR0_WP)

/* Of these, the ones that the guest's CPUID has. */
#define CR4_OWNED	(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PGE | \
			 X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_FSGSBASE)

/* Of all these, the ones that do when the tables in force are not the guest's. */
#define CR0_NOT_OWNED	X86_CR0_WP
#define CR4_NOT_OWNED	X86_CR4_PGE

/* "Code- and Data-Segment Types": from here on code, and conforming code */
#define SEG_TYPE_CODE		0x8
#define SEG_TYPE_CONFORMING	0xc

/* Access rights: as vmm_segment.attr, but for the mark of a null selector */
#define AR_COMMON	(VMM_SEG_TYPE | VMM_SEG_S | VMM_SEG_DPL | VMM_SEG_P | VMM_SEG_AVL | \
			 VMM_SEG_L | VMM_SEG_DB | VMM_SEG_G)

/* Where each segment's fields are, by enum vmm_sreg: the encodings follow each other */
static unsigned long seg_field(enum vmcs_field of_es, enum vmm_sreg sreg)
{
	return of_es + 2 * sreg;
}

static u16 attr_from_vmcs(u32 ar)
{
	u16 attr = ar & AR_COMMON;

	return (ar & VMX_AR_UNUSABLE_MASK) ? attr | VMM_SEG_UNUSABLE : attr;
}

static u32 attr_to_vmcs(u16 attr)
{
	u32 ar = attr & AR_COMMON;

	if (attr & VMM_SEG_UNUSABLE)
		return ar | VMX_AR_UNUSABLE_MASK;
	/* What is in a segment register has been accessed. */
	return (attr & VMM_SEG_S) ? ar | VMX_AR_TYPE_ACCESSES_MASK : ar;
}

static void seg_from_vmcs(struct vmm_segment *to, enum vmm_sreg sreg)
{
	to->base = vmcs_read(seg_field(GUEST_ES_BASE, sreg));
	to->limit = vmcs_read(seg_field(GUEST_ES_LIMIT, sreg));
	to->selector = vmcs_read(seg_field(GUEST_ES_SELECTOR, sreg));
	to->attr = attr_from_vmcs(vmcs_read(seg_field(GUEST_ES_AR_BYTES, sreg)));
}

static void seg_to_vmcs(enum vmm_sreg sreg, const struct vmm_segment *from)
{
	vmcs_write(seg_field(GUEST_ES_BASE, sreg), from->base);
	vmcs_write(seg_field(GUEST_ES_LIMIT, sreg), from->limit);
	vmcs_write(seg_field(GUEST_ES_SELECTOR, sreg), from->selector);
	vmcs_write(seg_field(GUEST_ES_AR_BYTES, sreg), attr_to_vmcs(from->attr));
}

/* Of CS and SS what the mode, the CPL and the next instruction's address need */
static void pull_cs(struct vmm_vcpu *vcpu)
{
	struct vmm_segment *cs = &vcpu->segs.seg[VMM_CS];

	cs->base = vmcs_read(GUEST_CS_BASE);
	cs->attr = attr_from_vmcs(vmcs_read(GUEST_CS_AR_BYTES));
	/* Its DPL is the CPL, whether it is usable or not. */
	vcpu->segs.seg[VMM_SS].attr = attr_from_vmcs(vmcs_read(GUEST_SS_AR_BYTES));
}

static void pull_segs(struct vmm_vcpu *vcpu)
{
	int i;

	for (i = 0; i < VMM_NR_SREG; i++)
		seg_from_vmcs(&vcpu->segs.seg[i], i);
	vcpu->segs.gdt = (struct vmm_table) {
		.base = vmcs_read(GUEST_GDTR_BASE),
		.limit = vmcs_read(GUEST_GDTR_LIMIT),
	};
	vcpu->segs.idt = (struct vmm_table) {
		.base = vmcs_read(GUEST_IDTR_BASE),
		.limit = vmcs_read(GUEST_IDTR_LIMIT),
	};
}

static void push_segs(struct vmm_vcpu *vcpu)
{
	int i;

	for (i = 0; i < VMM_NR_SREG; i++)
		seg_to_vmcs(i, &vcpu->segs.seg[i]);
	vmcs_write(GUEST_GDTR_BASE, vcpu->segs.gdt.base);
	vmcs_write(GUEST_GDTR_LIMIT, vcpu->segs.gdt.limit);
	vmcs_write(GUEST_IDTR_BASE, vcpu->segs.idt.base);
	vmcs_write(GUEST_IDTR_LIMIT, vcpu->segs.idt.limit);
}

/* Does the CPU walk other tables than the guest's, with registers to match? */
static bool own_paging(const struct vmm_vcpu *vcpu)
{
	return !vmm_vcpu_nested(vcpu) || vmx_flat_needed(vcpu);
}

void vmx_cpu_ctrl(const struct vmm_vcpu *vcpu, struct vmm_ctrl *cpu)
{
	if (own_paging(vcpu))
		vmm_shadow_ctrl(&vcpu->ctrl, cpu);
	else
		*cpu = vcpu->ctrl;
	cpu->cr0 &= ~(u64)(X86_CR0_CD | X86_CR0_NW);
	cpu->cr0 |= container_of(vcpu, struct vmx_vcpu, vcpu)->config->cr0_fixed;
	cpu->cr4 |= vmx_config.cr4_fixed;
	/* A machine check must find it set; the guest has none of its own. */
	cpu->cr4 &= ~(u64)X86_CR4_MCE;
	cpu->cr4 |= native_read_cr4() & X86_CR4_MCE;
}

/*
 * Nothing where an identity map is lent: only a load that changes CD, NW or PG loads PDPTEs
 * from CR3, but Bochs has any do it, and those of the map are not there.
 */
static u64 cr0_owned(const struct vmm_vcpu *vcpu)
{
	if (vmm_vcpu_nested(vcpu) && vmx_flat_needed(vcpu))
		return 0;
	return own_paging(vcpu) ? CR0_OWNED & ~(u64)CR0_NOT_OWNED : CR0_OWNED;
}

static u64 cr4_owned(const struct vmm_vcpu *vcpu)
{
	u64 owned = CR4_OWNED & vmm_cpuid_cr4_allowed(vcpu);

	return own_paging(vcpu) ? owned & ~(u64)CR4_NOT_OWNED : owned;
}

/*
 * CR0 and CR4 as the guest knows them; the other bits are in the cache already. With
 * shadow paging so is the rest but CR2, because every change exits.
 */
static void pull_ctrl(struct vmm_vcpu *vcpu)
{
	const u64 owned0 = cr0_owned(vcpu), owned4 = cr4_owned(vcpu);
	struct vmm_ctrl *ctrl = &vcpu->ctrl;
	int i;

	ctrl->cr0 = (vmcs_read(GUEST_CR0) & owned0) | (ctrl->cr0 & ~owned0);
	ctrl->cr2 = to_vmx(vcpu)->cr2;
	ctrl->cr4 = (vmcs_read(GUEST_CR4) & owned4) | (ctrl->cr4 & ~owned4);
	if (!vmm_vcpu_nested(vcpu))
		return;
	ctrl->cr3 = vmcs_read(GUEST_CR3);
	if (unlikely(vmm_pae_paging(ctrl)))
		for (i = 0; i < ARRAY_SIZE(ctrl->pdpte); i++)
			ctrl->pdpte[i] = vmcs_read(GUEST_PDPTR0 + 2 * i);
}

static void push_cr0_cr4(struct vmm_vcpu *vcpu, const struct vmm_ctrl *cpu)
{
	vmcs_write(CR0_GUEST_HOST_MASK, ~cr0_owned(vcpu));
	vmcs_write(CR0_READ_SHADOW, vcpu->ctrl.cr0);
	vmcs_write(GUEST_CR0, cpu->cr0);
	vmcs_write(CR4_GUEST_HOST_MASK, ~cr4_owned(vcpu));
	vmcs_write(CR4_READ_SHADOW, vcpu->ctrl.cr4);
	vmcs_write(GUEST_CR4, cpu->cr4);
}

/* As vcpu_load will have it from now on; this CPU is loaded. */
static void switch_efer(struct vmx_vcpu *vmx, u64 efer)
{
	u64 *msr = &vmx->msr[VMX_EFER];

	efer = (*msr & ~(u64)EFER_SCE) | (efer & EFER_SCE);
	if (*msr == efer)
		return;
	*msr = efer;
	wrmsrl(MSR_EFER, efer);
}

static void push_efer(struct vmx_vcpu *vmx, u64 efer)
{
	u32 controls = vmx_config.entry | (efer & EFER_LMA ? VM_ENTRY_IA32E_MODE : 0);

	if (vmx_config.efer)
		vmcs_write(GUEST_IA32_EFER, efer);
	else
		switch_efer(vmx, efer);
	if (vmx->entry_controls == controls)
		return;
	vmx->entry_controls = controls;
	vmcs_write(VM_ENTRY_CONTROLS, controls);
}

static unsigned int rpl(const struct vmm_segment *seg)
{
	return seg->selector & 3;
}

static unsigned int dpl(const struct vmm_segment *seg)
{
	return (seg->attr & VMM_SEG_DPL) >> VMM_SEG_DPL_SHIFT;
}

/*
 * "Checks on Guest Segment Registers", those that a selector of real mode may fail
 * until protected mode has loaded another.
 */
static bool segs_runnable(const struct vmm_segs *segs)
{
	const struct vmm_segment *cs = &segs->seg[VMM_CS], *ss = &segs->seg[VMM_SS], *seg;
	int i;

	if (!(cs->attr & SEG_TYPE_CODE))
		return false;
	if (!(ss->attr & VMM_SEG_UNUSABLE) && (rpl(ss) != rpl(cs) || dpl(ss) != rpl(ss)))
		return false;
	for (i = VMM_ES; i <= VMM_GS; i++) {
		seg = &segs->seg[i];
		if (i == VMM_CS || (seg->attr & VMM_SEG_UNUSABLE))
			continue;
		if ((seg->attr & VMM_SEG_TYPE) < SEG_TYPE_CONFORMING && dpl(seg) < rpl(seg))
			return false;
	}
	return true;
}

/*
 * Without unrestricted guest: can the CPU run what the vCPU's state is now? Paging it
 * has always, if not the guest's.
 */
static bool runnable(struct vmm_vcpu *vcpu)
{
	if (!(vcpu->ctrl.cr0 & X86_CR0_PE))
		return false;
	if (vcpu->regs.rflags & X86_EFLAGS_VM)
		return true;
	vmm_pull(vcpu, VMM_STATE_SEGS);
	return segs_runnable(&vcpu->segs);
}

static void push_ctrl(struct vmm_vcpu *vcpu)
{
	const struct vmm_ctrl *ctrl = &vcpu->ctrl;
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vmm_ctrl cpu;
	int i;

	vmx_cpu_ctrl(vcpu, &cpu);
	push_cr0_cr4(vcpu, &cpu);
	push_efer(vmx, cpu.efer);
	vmx->cr2 = ctrl->cr2;
	if (!vmm_vcpu_nested(vcpu))
		return;
	vmx_flat_set(vmx, vmx_flat_needed(vcpu));
	vmcs_write(GUEST_CR3, ctrl->cr3);
	if (vmx->flat)
		vmx_flat_push_pdptes();
	else if (vmm_pae_paging(ctrl))
		for (i = 0; i < ARRAY_SIZE(ctrl->pdpte); i++)
			vmcs_write(GUEST_PDPTR0 + 2 * i, ctrl->pdpte[i]);
}

static void push_events(struct vmm_vcpu *vcpu)
{
	u64 pending = 0;
	u32 info = 0;

	if (vcpu->shadow & VMM_SHADOW_STI)
		info |= GUEST_INTR_STATE_STI;
	if (vcpu->shadow & VMM_SHADOW_MOV_SS)
		info |= GUEST_INTR_STATE_MOV_SS;
	/* The trap of the instruction that cast the shadow waits for its end. */
	if (info && (vcpu->regs.rflags & X86_EFLAGS_TF))
		pending = DR_STEP;
	if (vcpu->nmi_masked && vmx_config.virtual_nmi)
		info |= GUEST_INTR_STATE_NMI;
	vmcs_write(GUEST_INTERRUPTIBILITY_INFO, info);
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, pending);
}

static void pull_events(struct vmm_vcpu *vcpu)
{
	u32 info = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);

	/* nmi_masked is kept up to date at each exit: event.c */
	vcpu->shadow = 0;
	if (info & GUEST_INTR_STATE_STI)
		vcpu->shadow |= VMM_SHADOW_STI;
	if (info & GUEST_INTR_STATE_MOV_SS)
		vcpu->shadow |= VMM_SHADOW_MOV_SS;
}

void vmx_state_pull(struct vmm_vcpu *vcpu, u64 mask)
{
	if (mask & VMM_STATE_SEGS)
		pull_segs(vcpu);
	else if (mask & VMM_STATE_CS)
		pull_cs(vcpu);
	if (mask & VMM_STATE_CTRL)
		pull_ctrl(vcpu);
	if (mask & VMM_STATE_EVENTS)
		pull_events(vcpu);
}

void vmx_state_push(struct vmm_vcpu *vcpu, u64 mask)
{
	if (mask & VMM_STATE_SEGS)
		push_segs(vcpu);
	if (mask & VMM_STATE_CTRL)
		push_ctrl(vcpu);
	if (!to_vmx(vcpu)->config->unrestricted && (mask & (VMM_STATE_SEGS | VMM_STATE_CTRL)))
		to_vmx(vcpu)->unrunnable = !runnable(vcpu);
	if (mask & VMM_STATE_DEBUG) {
		vmcs_write(GUEST_DR7, vmm_cpu_dr7(vcpu));
		/* Bochs has a trap pending after an instruction that exits with TF set. */
		if (vcpu->guest_debug.flags & VMM_DEBUG_STEP)
			vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	}
	if (mask & VMM_STATE_EVENTS)
		push_events(vcpu);
	if (mask & VMM_STATE_APIC)
		vmx_push_apic(vcpu);
	if (mask & VMM_STATE_TSC)
		vmcs_write(TSC_OFFSET, vmm_tsc_offset(vcpu));
}

/* MSRs that the VMCS holds */
static const struct {
	u32 index;
	u32 field;
} field_msrs[] = {
	{ MSR_IA32_SYSENTER_CS, GUEST_SYSENTER_CS },
	{ MSR_IA32_SYSENTER_ESP, GUEST_SYSENTER_ESP },
	{ MSR_IA32_SYSENTER_EIP, GUEST_SYSENTER_EIP },
};

static u32 field_of_msr(u32 index)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(field_msrs); i++)
		if (field_msrs[i].index == index)
			return field_msrs[i].field;
	return 0;
}

u32 vmx_switched_msr(enum vmx_switched which)
{
	static const u32 msrs[VMX_NR_SWITCHED] = {
		[VMX_STAR] = MSR_STAR,
		[VMX_LSTAR] = MSR_LSTAR,
		[VMX_SYSCALL_MASK] = MSR_SYSCALL_MASK,
		[VMX_TSC_AUX] = MSR_TSC_AUX,
		[VMX_EFER] = MSR_EFER,
	};

	return msrs[which];
}

/* MSRs of which the backend has the guest's value in memory */
static u64 *memory_msr(struct vmm_vcpu *vcpu, u32 index)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	switch (index) {
	case MSR_STAR:
		return &vmx->msr[VMX_STAR];
	case MSR_LSTAR:
		return &vmx->msr[VMX_LSTAR];
	case MSR_SYSCALL_MASK:
		return &vmx->msr[VMX_SYSCALL_MASK];
	case MSR_TSC_AUX:
		return &vmx->msr[VMX_TSC_AUX];
	case MSR_CSTAR:
		return &vmx->cstar;
	case MSR_IA32_CR_PAT:
		return &vmx->pat;
	default:
		return NULL;
	}
}

/* FS and GS bases are part of SEGS, which may be newer in the cache. */
static u64 *base_msr(struct vmm_vcpu *vcpu, u32 index)
{
	if (index != MSR_FS_BASE && index != MSR_GS_BASE)
		return NULL;
	vmm_pull(vcpu, VMM_STATE_SEGS);
	return &vcpu->segs.seg[index == MSR_FS_BASE ? VMM_FS : VMM_GS].base;
}

int vmx_get_msr(struct vmm_vcpu *vcpu, u32 index, u64 *value)
{
	u32 field = field_of_msr(index);
	u64 *msr;

	if (field) {
		*value = vmcs_read(field);
		return 0;
	}
	if (index == MSR_KERNEL_GS_BASE) {
		/* The guest's: this CPU is loaded. */
		rdmsrl(MSR_KERNEL_GS_BASE, *value);
		return 0;
	}
	msr = base_msr(vcpu, index) ?: memory_msr(vcpu, index);
	if (!msr)
		return -EINVAL;
	*value = *msr;
	return 0;
}

/* vcpu_load put the old value into the CPU; should it come again, the new one. */
static void switched_changed(u32 index, u64 value)
{
	unsigned int i;

	for (i = 0; i < vmx_config.nr_switched; i++)
		if (vmx_switched_msr(vmx_config.switched[i]) == index)
			wrmsrl(index, value);
}

int vmx_set_msr(struct vmm_vcpu *vcpu, u32 index, u64 value)
{
	u32 field = field_of_msr(index);
	u64 *msr;

	if (field) {
		vmcs_write(field, value);
		return 0;
	}
	if (index == MSR_KERNEL_GS_BASE) {
		wrmsrl(MSR_KERNEL_GS_BASE, value);
		return 0;
	}
	msr = base_msr(vcpu, index);
	if (msr) {
		*msr = value;
		vmm_dirty(vcpu, VMM_STATE_SEGS);
		return 0;
	}
	msr = memory_msr(vcpu, index);
	if (!msr)
		return -EINVAL;
	*msr = value;
	switched_changed(index, value);
	return 0;
}
