// SPDX-License-Identifier: GPL-2.0-only
/*
 * Delivery of events: the VM-entry interruption information and the
 * IDT-vectoring information, and windows, which are exits of their own. With
 * virtual NMIs the CPU tracks which of them is in service; without, the guest is
 * taken to be done with one when interrupts are enabled again.
 */
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "vmx.h"

/* Interruption type, by vmm_event.type */
static const u32 inject_type[] = {
	[VMM_EVENT_EXCEPTION] = INTR_TYPE_HARD_EXCEPTION,
	[VMM_EVENT_INTR] = INTR_TYPE_EXT_INTR,
	[VMM_EVENT_NMI] = INTR_TYPE_NMI_INTR,
	[VMM_EVENT_SOFT_INT] = INTR_TYPE_SOFT_INTR,
};

/* "Checks on VM-Entry Control Fields": these have an error code, the others have none. */
#define ERROR_VECTORS	(BIT(X86_TRAP_DF) | BIT(X86_TRAP_TS) | BIT(X86_TRAP_NP) | \
			 BIT(X86_TRAP_SS) | BIT(X86_TRAP_GP) | BIT(X86_TRAP_PF) | BIT(X86_TRAP_AC))

/* In a mode that the CPU cannot run too: what is injected there the process delivers. */
bool vmx_event_ready(struct vmm_vcpu *vcpu, enum vmm_event_kind kind)
{
	vmm_pull(vcpu, VMM_STATE_EVENTS);
	if (vcpu->shadow)
		return false;
	if (kind == VMM_KIND_NMI)
		return !vcpu->nmi_masked;
	return vcpu->regs.rflags & X86_EFLAGS_IF;
}

/* "VM-Entry Interruption-Information Field"; the length makes it the guest's own. */
static u32 type_of(const struct vmm_event *event)
{
	bool own = event->vector == X86_TRAP_BP || event->vector == X86_TRAP_OF;

	if (event->type == VMM_EVENT_EXCEPTION && event->length && own)
		return INTR_TYPE_SOFT_EXCEPTION;
	return inject_type[event->type];
}

static bool has_error(struct vmm_vcpu *vcpu, const struct vmm_event *event)
{
	/* PE exits when it changes, so the cache has it. */
	return event->type == VMM_EVENT_EXCEPTION && event->vector < 32 &&
	       (BIT(event->vector) & ERROR_VECTORS) && (vcpu->ctrl.cr0 & X86_CR0_PE);
}

/* The entry that delivers an NMI sets it, and wants it clear before. */
static void clear_nmi_blocking(void)
{
	u32 info = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);

	if (info & GUEST_INTR_STATE_NMI)
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO, info & ~GUEST_INTR_STATE_NMI);
}

/*
 * Of an instruction of no length, which the process may ask for: not every CPU
 * takes that. One byte from one byte before is the same return address.
 */
static void write_length(struct vmm_vcpu *vcpu, const struct vmm_event *event)
{
	u8 length = event->length;

	if (unlikely(!length && !vmx_config.zero_length)) {
		length = 1;
		vcpu->regs.rip--;
		vmm_pull(vcpu, VMM_STATE_CTRL | VMM_STATE_CS);
		if (vmm_insn_mode(vcpu) != INSN_MODE_64)
			vcpu->regs.rip = (u32)vcpu->regs.rip;
	}
	vmcs_write(VM_ENTRY_INSTRUCTION_LEN, length);
}

void vmx_event_inject(struct vmm_vcpu *vcpu, const struct vmm_event *event)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 info = event->vector | type_of(event) | INTR_INFO_VALID_MASK;

	if (unlikely(vmx->unrunnable)) {
		vmx->injected = *event;
		return;
	}
	switch (info & INTR_INFO_INTR_TYPE_MASK) {
	case INTR_TYPE_SOFT_EXCEPTION:
	case INTR_TYPE_SOFT_INTR:
		write_length(vcpu, event);
		break;
	default:
		/* The return address of an instruction's own event is behind it. */
		vcpu->regs.rip += event->length;
		break;
	}
	if (has_error(vcpu, event)) {
		info |= INTR_INFO_DELIVER_CODE_MASK;
		vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, event->error);
	}
	if (event->type == VMM_EVENT_NMI) {
		clear_nmi_blocking();
		vcpu->nmi_masked = true;
		vmx->controls &= ~CPU_BASED_NMI_WINDOW_EXITING;
	} else if (event->type == VMM_EVENT_INTR) {
		vmx->controls &= ~CPU_BASED_INTR_WINDOW_EXITING;
	}
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, info);
}

/* "Injected-Event Delivery": an event that the entry brings ends the shadow. */
static bool in_sti_shadow(struct vmm_vcpu *vcpu)
{
	vmm_pull(vcpu, VMM_STATE_EVENTS);
	return vcpu->shadow & VMM_SHADOW_STI &&
	       !(vmcs_read(VM_ENTRY_INTR_INFO_FIELD) & INTR_INFO_VALID_MASK);
}

void vmx_event_window(struct vmm_vcpu *vcpu, enum vmm_event_kind kind)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	/*
	 * Not every CPU waits for the end of STI's shadow with an NMI window; then,
	 * and without virtual NMIs, IF has to serve.
	 */
	if (kind == VMM_KIND_NMI && vmx_config.virtual_nmi && !in_sti_shadow(vcpu))
		vmx->controls |= CPU_BASED_NMI_WINDOW_EXITING;
	else
		vmx->controls |= CPU_BASED_INTR_WINDOW_EXITING;
}

/* False: nothing that has to be delivered again. */
static bool event_of(struct vmm_vcpu *vcpu, u32 info, struct vmm_event *event)
{
	*event = (struct vmm_event) { .vector = info & VECTORING_INFO_VECTOR_MASK };

	switch (info & VECTORING_INFO_TYPE_MASK) {
	case INTR_TYPE_EXT_INTR:
		event->type = VMM_EVENT_INTR;
		return true;
	case INTR_TYPE_NMI_INTR:
		event->type = VMM_EVENT_NMI;
		clear_nmi_blocking();
		return true;
	case INTR_TYPE_HARD_EXCEPTION:
		event->type = VMM_EVENT_EXCEPTION;
		break;
	case INTR_TYPE_PRIV_SW_EXCEPTION:
		event->type = VMM_EVENT_EXCEPTION;
		event->length = vmcs_read(VM_EXIT_INSTRUCTION_LEN);
		break;
	case INTR_TYPE_SOFT_EXCEPTION:
		event->type = VMM_EVENT_EXCEPTION;
		event->length = vmcs_read(VM_EXIT_INSTRUCTION_LEN);
		return true;
	case INTR_TYPE_SOFT_INTR:
		event->type = VMM_EVENT_SOFT_INT;
		event->length = vmcs_read(VM_EXIT_INSTRUCTION_LEN);
		return true;
	default:
		return false;
	}
	if (info & VECTORING_INFO_DELIVER_CODE_MASK) {
		event->flags = VMM_EVENT_HAS_ERROR;
		event->error = vmcs_read(IDT_VECTORING_ERROR_CODE);
	}
	return true;
}

bool vmx_event_interrupted(struct vmm_vcpu *vcpu, struct vmm_event *event)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vmm_event interrupted;
	u32 info;

	if (unlikely(vmx->injected.type != VMM_EVENT_NONE)) {
		*event = vmx->injected;
		vmx->injected.type = VMM_EVENT_NONE;
		return true;
	}
	/* An instruction that exits is not in the middle of a delivery. */
	if (vcpu->exit.length || unlikely(vmx->exit_reason >= VMX_NO_EXIT_REFUSED))
		return false;
	info = vmcs_read(IDT_VECTORING_INFO_FIELD);
	if (likely(!(info & VECTORING_INFO_VALID_MASK)))
		return false;
	if (unlikely(vmx->wrong_vectoring))
		info = vmx_apic_vectoring(vmx, info);
	if (event_of(vcpu, info, &interrupted))
		*event = interrupted;
	return true;
}

/* IRET ended NMI blocking, then faulted: it will be executed again. */
void vmx_iret_faulted(struct vmx_vcpu *vmx)
{
	if (!vmx_config.virtual_nmi ||
	    (vmcs_read(IDT_VECTORING_INFO_FIELD) & VECTORING_INFO_VALID_MASK))
		return;
	vmx->vcpu.nmi_masked = true;
	vmcs_write(GUEST_INTERRUPTIBILITY_INFO,
		   vmcs_read(GUEST_INTERRUPTIBILITY_INFO) | GUEST_INTR_STATE_NMI);
}

/* An exit while an NMI is in service: still? */
void vmx_nmi_progress(struct vmx_vcpu *vmx)
{
	u32 info = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);

	if (vmx_config.virtual_nmi)
		vmx->vcpu.nmi_masked = info & GUEST_INTR_STATE_NMI;
	else if (!(info & (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS)))
		vmx->vcpu.nmi_masked = !(vmx->vcpu.regs.rflags & X86_EFLAGS_IF);
}
