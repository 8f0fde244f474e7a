// SPDX-License-Identifier: GPL-2.0-only
/*
 * Delivery of events: EVENTINJ and EXITINTINFO, the interrupt window by a
 * virtual interrupt that is always pending, and the NMI window. This CPU does
 * not track NMI masking for a guest, so IRET is intercepted while an NMI is in
 * service; it has executed once RIP has moved on.
 *
 * An interrupt that the guest can take at once goes as a virtual interrupt ("Virtual
 * Interrupts") and not by EVENTINJ, unless a window is wanted as well. Both serve on
 * a CPU, but QEMU (7.2 at least) keeps an interrupt of EVENTINJ as its exception to
 * deliver, and delivers it again, whatever IF says, if something else makes it look
 * there before the guest's next exception: a guest then waits for a lock of its own.
 */
#include <linux/smp.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <uapi/asm/debugreg.h>

#include "svm.h"

/* Type field of EVENTINJ, by vmm_event.type */
static const u32 inject_type[] = {
	[VMM_EVENT_EXCEPTION] = SVM_EVTINJ_TYPE_EXEPT,
	[VMM_EVENT_INTR] = SVM_EVTINJ_TYPE_INTR,
	[VMM_EVENT_NMI] = SVM_EVTINJ_TYPE_NMI,
	[VMM_EVENT_SOFT_INT] = SVM_EVTINJ_TYPE_SOFT,
};

bool svm_event_ready(struct vmm_vcpu *vcpu, enum vmm_event_kind kind)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (svm->vmcb->control.int_state & SVM_INTERRUPT_SHADOW_MASK)
		return false;
	if (kind == VMM_KIND_NMI)
		return !vcpu->nmi_masked;
	return vcpu->regs.rflags & X86_EFLAGS_IF;
}

static void step_forget(struct svm_vcpu *svm)
{
	struct vmm_regs *regs = &svm->vcpu.regs;

	svm->stepping = false;
	regs->rflags &= ~(u64)(X86_EFLAGS_TF | X86_EFLAGS_RF);
	regs->rflags |= svm->stepped_flags;
}

/*
 * An event comes before the IRET that was about to execute: RIP moves on without it, and the
 * frame must not have a step's flags. The next IRET, whose ever, ends the NMI.
 */
static void iret_put_off(struct svm_vcpu *svm)
{
	svm->iret_pending = false;
	svm_intercept(svm->vmcb, INTERCEPT_IRET);
	if (svm->stepping)
		step_forget(svm);
}

static void inject_virtual(struct vmcb_control_area *control, u8 vector)
{
	control->int_ctl |= V_IRQ_MASK | V_IGN_TPR_MASK | V_INTR_PRIO_MASK;
	control->int_vector = vector;
}

/* The virtual interrupt, taken or not, is no longer one. */
static void end_virtual(struct vmcb_control_area *control)
{
	control->int_ctl &= ~V_IRQ_INJECTION_BITS_MASK;
	control->int_vector = 0;
}

/* A window that is open needs the one there is. */
static bool may_go_virtual(struct vmm_vcpu *vcpu, const struct vmm_event *event)
{
	return event->type == VMM_EVENT_INTR && event->vector &&
	       !(to_svm(vcpu)->vmcb->control.int_ctl & V_IRQ_MASK) &&
	       svm_event_ready(vcpu, VMM_KIND_INTR);
}

void svm_event_inject(struct vmm_vcpu *vcpu, const struct vmm_event *event)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *control = &svm->vmcb->control;

	if (unlikely(svm->iret_pending))
		iret_put_off(svm);
	svm->injected = *event;
	if (may_go_virtual(vcpu, event)) {
		inject_virtual(control, event->vector);
		return;
	}
	/* The return address of an instruction's own event is behind it. */
	vcpu->regs.rip += event->length;
	control->event_inj = event->vector | inject_type[event->type] | SVM_EVTINJ_VALID;
	control->event_inj_err = 0;
	if (event->flags & VMM_EVENT_HAS_ERROR) {
		control->event_inj |= SVM_EVTINJ_VALID_ERR;
		control->event_inj_err = event->error;
	}
	if (event->type == VMM_EVENT_NMI)
		svm_intercept(svm->vmcb, INTERCEPT_IRET);
}

static void open_intr_window(struct vmcb *vmcb)
{
	inject_virtual(&vmcb->control, 0);
	svm_intercept(vmcb, INTERCEPT_VINTR);
}

/* Trap after one instruction: NMIs have no window of their own. */
static void step_once(struct svm_vcpu *svm)
{
	const u64 flags = X86_EFLAGS_TF | X86_EFLAGS_RF;
	struct vmm_regs *regs = &svm->vcpu.regs;

	if (svm->stepping)
		return;
	svm->stepping = true;
	svm->stepped_flags = regs->rflags & flags;
	regs->rflags |= flags;
}

void svm_event_window(struct vmm_vcpu *vcpu, enum vmm_event_kind kind)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *control = &svm->vmcb->control;

	/* A window is behind what is injected: no exit may come before that. */
	if (svm_virtual_waits(control)) {
		control->event_inj = control->int_vector | SVM_EVTINJ_TYPE_INTR |
				     SVM_EVTINJ_VALID;
		end_virtual(control);
	}
	if (kind == VMM_KIND_INTR)
		open_intr_window(svm->vmcb);
	else if (vcpu->nmi_masked && !svm->iret_pending)
		return;		/* the intercept of IRET is the window */
	else if (control->event_inj & SVM_EVTINJ_VALID)
		/* The frame would have TF: exit where the handler begins. */
		smp_send_reschedule(smp_processor_id());
	else
		step_once(svm);
}

bool svm_event_interrupted(struct vmm_vcpu *vcpu, struct vmm_event *event)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	u32 info = svm->vmcb->control.exit_int_info;
	u32 type = info & SVM_EXITINTINFO_TYPE_MASK;
	u8 vector = info & SVM_EXITINTINFO_VEC_MASK;

	/* The host was first, or a page of the IDT or the stack was missing. */
	if (unlikely(svm_virtual_waits(&svm->vmcb->control))) {
		vector = svm->vmcb->control.int_vector;
		type = SVM_EXITINTINFO_TYPE_INTR;
		info = vector | type | SVM_EXITINTINFO_VALID;
		end_virtual(&svm->vmcb->control);
	}
	if (likely(!(info & SVM_EXITINTINFO_VALID)))
		goto out;
	if (svm->injected.type != VMM_EVENT_NONE && svm->injected.vector == vector &&
	    inject_type[svm->injected.type] == type) {
		*event = svm->injected;
		vcpu->regs.rip -= event->length;
		goto out;
	}
	switch (type) {
	case SVM_EXITINTINFO_TYPE_NMI:
		event->type = VMM_EVENT_NMI;
		break;
	case SVM_EXITINTINFO_TYPE_EXEPT:
		/* INT3 and INTO: RIP is still at them, they run again. */
		if (vector == X86_TRAP_BP || vector == X86_TRAP_OF)
			goto out;
		event->type = VMM_EVENT_EXCEPTION;
		break;
	case SVM_EXITINTINFO_TYPE_INTR:
		event->type = VMM_EVENT_INTR;
		break;
	default:
		/* INT n: as INT3 */
		goto out;
	}
	event->vector = vector;
	event->length = 0;
	event->flags = 0;
	event->error = 0;
	if (info & SVM_EXITINTINFO_VALID_ERR) {
		event->flags = VMM_EVENT_HAS_ERROR;
		event->error = svm->vmcb->control.exit_int_info_err;
	}
out:
	svm->injected.type = VMM_EVENT_NONE;
	return info & SVM_EXITINTINFO_VALID;
}

/* The guest is about to execute IRET in its NMI handler. */
void svm_iret_intercepted(struct svm_vcpu *svm)
{
	svm_no_intercept(svm->vmcb, INTERCEPT_IRET);
	svm->iret_pending = true;
	svm->iret_rip = svm->vcpu.regs.rip;
}

/* An exit after that: has it? */
void svm_nmi_progress(struct svm_vcpu *svm)
{
	if (svm->vcpu.regs.rip == svm->iret_rip)
		return;
	svm->iret_pending = false;
	svm->vcpu.nmi_masked = false;
}

/* Anything else ended the turn: the instruction did not run, its flags are the guest's. */
void svm_step_undo(struct svm_vcpu *svm)
{
	if (svm->vmcb->control.exit_code != SVM_EXIT_EXCP_BASE + X86_TRAP_DB)
		step_forget(svm);
}

/* A #DB while stepping: true if it is only ours. */
bool svm_step_done(struct svm_vcpu *svm)
{
	struct vmcb_save_area *save = &svm->vmcb->save;

	if (!svm->stepping)
		return false;
	svm->stepping = false;
	if (svm->stepped_flags & X86_EFLAGS_TF)
		return false;
	/* IRET loaded new flags: what it left is the guest's. */
	if (svm->vcpu.regs.rflags & X86_EFLAGS_TF)
		svm->vcpu.regs.rflags &= ~(u64)X86_EFLAGS_TF;
	if ((save->dr6 & DR_TRAP_BITS) || !(save->dr6 & DR_STEP))
		return false;
	save->dr6 &= ~(u64)DR_STEP;
	return true;
}
