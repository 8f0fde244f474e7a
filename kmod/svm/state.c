// SPDX-License-Identifier: GPL-2.0-only
/*
 * State between the vCPU's cache and the VMCB, section by section, and the MSRs
 * that live in the VMCB. The CPU keeps in the VMCB what VMRUN or VMLOAD loads,
 * so pulling is only a copy; values pushed were checked by ../state.c.
 */
#include <asm/msr.h>
#include <asm/processor-flags.h>
#include <uapi/asm/debugreg.h>

#include "svm.h"

/* "System Descriptor Types": what LTR sets in the type of a task's segment */
#define SEG_TSS_BUSY	0x2

/* attrib: bits 0-7 as in the descriptor, then AVL, L, D/B, G without a gap */
static u16 attr_from_vmcb(u16 attrib)
{
	u16 attr = (attrib & 0xff) | (attrib & 0xf00) << 4;

	return (attrib & SVM_SELECTOR_P_MASK) ? attr : attr | VMM_SEG_UNUSABLE;
}

static u16 attr_to_vmcb(u16 attr)
{
	/* A null selector is "not present" to this CPU. */
	if (attr & VMM_SEG_UNUSABLE)
		attr &= ~VMM_SEG_P;
	return (attr & 0xff) | (attr & 0xf000) >> 4;
}

static void seg_from_vmcb(struct vmm_segment *to, const struct vmcb_seg *from)
{
	to->base = from->base;
	to->limit = from->limit;
	to->selector = from->selector;
	to->attr = attr_from_vmcb(from->attrib);
}

static void seg_to_vmcb(struct vmcb_seg *to, const struct vmm_segment *from)
{
	to->base = from->base;
	to->limit = from->limit;
	to->selector = from->selector;
	to->attrib = attr_to_vmcb(from->attr);
}

/* Where each segment is in the save area, by enum vmm_sreg */
static const u16 seg_offset[VMM_NR_SREG] = {
	[VMM_ES] = offsetof(struct vmcb_save_area, es),
	[VMM_CS] = offsetof(struct vmcb_save_area, cs),
	[VMM_SS] = offsetof(struct vmcb_save_area, ss),
	[VMM_DS] = offsetof(struct vmcb_save_area, ds),
	[VMM_FS] = offsetof(struct vmcb_save_area, fs),
	[VMM_GS] = offsetof(struct vmcb_save_area, gs),
	[VMM_LDTR] = offsetof(struct vmcb_save_area, ldtr),
	[VMM_TR] = offsetof(struct vmcb_save_area, tr),
};

static struct vmcb_seg *seg_of(struct vmcb_save_area *save, enum vmm_sreg sreg)
{
	return (void *)save + seg_offset[sreg];
}

/* CS, and SS with the CPL, which this CPU keeps apart */
static void pull_cs(struct vmm_vcpu *vcpu, struct vmcb_save_area *save)
{
	struct vmm_segment *ss = &vcpu->segs.seg[VMM_SS];

	seg_from_vmcb(&vcpu->segs.seg[VMM_CS], &save->cs);
	seg_from_vmcb(ss, &save->ss);
	ss->attr = (ss->attr & ~VMM_SEG_DPL) | save->cpl << VMM_SEG_DPL_SHIFT;
}

static void pull_segs(struct vmm_vcpu *vcpu, struct vmcb_save_area *save)
{
	int i;

	for (i = 0; i < VMM_NR_SREG; i++)
		seg_from_vmcb(&vcpu->segs.seg[i], seg_of(save, i));
	/* Some CPUs keep TR as LTR found it; to the architecture it is busy. */
	vcpu->segs.seg[VMM_TR].attr |= SEG_TSS_BUSY;
	pull_cs(vcpu, save);
	vcpu->segs.gdt = (struct vmm_table) { .base = save->gdtr.base, .limit = save->gdtr.limit };
	vcpu->segs.idt = (struct vmm_table) { .base = save->idtr.base, .limit = save->idtr.limit };
}

static void push_segs(struct vmm_vcpu *vcpu, struct vmcb_save_area *save)
{
	int i;

	for (i = 0; i < VMM_NR_SREG; i++)
		seg_to_vmcb(seg_of(save, i), &vcpu->segs.seg[i]);
	save->cpl = (vcpu->segs.seg[VMM_SS].attr & VMM_SEG_DPL) >> VMM_SEG_DPL_SHIFT;
	if (vcpu->regs.rflags & X86_EFLAGS_VM)
		save->cpl = 3;
	save->gdtr.base = vcpu->segs.gdt.base;
	save->gdtr.limit = vcpu->segs.gdt.limit;
	save->idtr.base = vcpu->segs.idt.base;
	save->idtr.limit = vcpu->segs.idt.limit;
}

void svm_cpu_ctrl(const struct vmm_vcpu *vcpu, struct vmm_ctrl *cpu)
{
	if (vmm_vcpu_nested(vcpu))
		*cpu = vcpu->ctrl;
	else
		vmm_shadow_ctrl(&vcpu->ctrl, cpu);
	cpu->cr0 &= ~(u64)(X86_CR0_CD | X86_CR0_NW);
}

/*
 * CR0 as the guest knows it: the CPU runs without CD and NW. With shadow paging the
 * cache is right but for CR2, because every change of the others exits.
 */
static void pull_ctrl(struct vmm_vcpu *vcpu, struct vmcb_save_area *save)
{
	struct vmm_ctrl *ctrl = &vcpu->ctrl;
	u64 hidden = ctrl->cr0 & (X86_CR0_CD | X86_CR0_NW);

	ctrl->cr2 = save->cr2;
	if (!vmm_vcpu_nested(vcpu))
		return;
	ctrl->cr0 = (save->cr0 & ~(u64)(X86_CR0_CD | X86_CR0_NW)) | hidden;
	ctrl->cr3 = save->cr3;
	ctrl->cr4 = save->cr4;
	ctrl->efer = save->efer & ~(u64)EFER_SVME;
}

static void push_ctrl(struct vmm_vcpu *vcpu, struct vmcb_save_area *save)
{
	struct vmm_ctrl cpu;

	svm_cpu_ctrl(vcpu, &cpu);
	save->cr0 = cpu.cr0;
	save->cr2 = cpu.cr2;
	if (vmm_vcpu_nested(vcpu))
		save->cr3 = cpu.cr3;
	save->cr4 = cpu.cr4;
	/* VMRUN wants SVME set; the guest is never shown it. */
	save->efer = cpu.efer | EFER_SVME;
}

static void push_events(struct svm_vcpu *svm)
{
	struct vmcb_control_area *control = &svm->vmcb->control;

	if (svm->vcpu.shadow)
		control->int_state |= SVM_INTERRUPT_SHADOW_MASK;
	else
		control->int_state &= ~SVM_INTERRUPT_SHADOW_MASK;
	if (!svm->vcpu.nmi_masked) {
		svm->iret_pending = false;
		svm_no_intercept(svm->vmcb, INTERCEPT_IRET);
	} else if (!svm->iret_pending) {
		svm_intercept(svm->vmcb, INTERCEPT_IRET);
	}
}

void svm_state_pull(struct vmm_vcpu *vcpu, u64 mask)
{
	struct vmcb *vmcb = to_svm(vcpu)->vmcb;

	if (mask & VMM_STATE_SEGS)
		pull_segs(vcpu, &vmcb->save);
	else if (mask & VMM_STATE_CS)
		pull_cs(vcpu, &vmcb->save);
	if (mask & VMM_STATE_CTRL)
		pull_ctrl(vcpu, &vmcb->save);
	/* A debugger's are in hardware then: the guest's are here. */
	if ((mask & VMM_STATE_DEBUG) && !(vcpu->guest_debug.flags & VMM_DEBUG_HW)) {
		vcpu->debug.dr6 = vmcb->save.dr6;
		vcpu->debug.dr7 = vmcb->save.dr7;
	}
	/* The CPU has one bit for both shadows. */
	if (mask & VMM_STATE_EVENTS)
		vcpu->shadow = (vmcb->control.int_state & SVM_INTERRUPT_SHADOW_MASK) ?
			       VMM_SHADOW_STI : 0;
}

void svm_state_push(struct vmm_vcpu *vcpu, u64 mask)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;

	if (mask & VMM_STATE_SEGS)
		push_segs(vcpu, &vmcb->save);
	if (mask & VMM_STATE_CTRL)
		push_ctrl(vcpu, &vmcb->save);
	if (mask & VMM_STATE_DEBUG) {
		vmcb->save.dr6 = vcpu->guest_debug.flags & VMM_DEBUG_HW ? DR6_RESERVED :
									 vcpu->debug.dr6;
		vmcb->save.dr7 = vmm_cpu_dr7(vcpu);
	}
	if (mask & VMM_STATE_EVENTS)
		push_events(svm);
	if (mask & VMM_STATE_TSC)
		vmcb->control.tsc_offset = vmm_tsc_offset(vcpu);
}

/* MSRs that VMRUN, VMLOAD and VMSAVE carry: where they are in the save area */
static const struct {
	u32 index;
	u16 offset;
} save_msrs[] = {
	{ MSR_STAR, offsetof(struct vmcb_save_area, star) },
	{ MSR_LSTAR, offsetof(struct vmcb_save_area, lstar) },
	{ MSR_CSTAR, offsetof(struct vmcb_save_area, cstar) },
	{ MSR_SYSCALL_MASK, offsetof(struct vmcb_save_area, sfmask) },
	{ MSR_KERNEL_GS_BASE, offsetof(struct vmcb_save_area, kernel_gs_base) },
	{ MSR_IA32_SYSENTER_CS, offsetof(struct vmcb_save_area, sysenter_cs) },
	{ MSR_IA32_SYSENTER_ESP, offsetof(struct vmcb_save_area, sysenter_esp) },
	{ MSR_IA32_SYSENTER_EIP, offsetof(struct vmcb_save_area, sysenter_eip) },
	{ MSR_IA32_CR_PAT, offsetof(struct vmcb_save_area, g_pat) },
	{ MSR_IA32_DEBUGCTLMSR, offsetof(struct vmcb_save_area, dbgctl) },
};

static u64 *save_msr(struct vmm_vcpu *vcpu, u32 index)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(save_msrs); i++)
		if (save_msrs[i].index == index)
			return (void *)&to_svm(vcpu)->vmcb->save + save_msrs[i].offset;
	return NULL;
}

/* FS and GS bases are part of SEGS, which may be newer in the cache. */
static u64 *base_msr(struct vmm_vcpu *vcpu, u32 index)
{
	if (index != MSR_FS_BASE && index != MSR_GS_BASE)
		return NULL;
	vmm_pull(vcpu, VMM_STATE_SEGS);
	return &vcpu->segs.seg[index == MSR_FS_BASE ? VMM_FS : VMM_GS].base;
}

int svm_get_msr(struct vmm_vcpu *vcpu, u32 index, u64 *value)
{
	u64 *msr;

	if (index == MSR_TSC_AUX) {
		*value = to_svm(vcpu)->tsc_aux;
		return 0;
	}
	msr = base_msr(vcpu, index) ?: save_msr(vcpu, index);
	if (!msr)
		return -EINVAL;
	*value = *msr;
	return 0;
}

int svm_set_msr(struct vmm_vcpu *vcpu, u32 index, u64 value)
{
	u64 *msr;

	if (index == MSR_TSC_AUX) {
		/* vcpu_load put the old one there; this CPU is loaded. */
		to_svm(vcpu)->tsc_aux = value;
		if (boot_cpu_has(X86_FEATURE_RDTSCP))
			wrmsrl(MSR_TSC_AUX, value);
		return 0;
	}
	msr = base_msr(vcpu, index);
	if (msr) {
		*msr = value;
		vmm_dirty(vcpu, VMM_STATE_SEGS);
		return 0;
	}
	msr = save_msr(vcpu, index);
	if (!msr)
		return -EINVAL;
	*msr = value;
	return 0;
}
