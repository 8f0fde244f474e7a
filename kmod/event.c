// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is delivered to the guest, and in which order: first vcpu->event (an
 * event whose delivery was interrupted, or an exception that an exit raised),
 * then an NMI, then the APIC's highest interrupt. One at an entry; for what is
 * left a window is opened, that is, the backend exits when it can be taken. An
 * interrupt controller of the process has its turn before the APIC: it is told when
 * one can be taken, and gives it as vcpu->event.
 *
 * Two exceptions at once combine as in "Interrupt and Exception Handling",
 * "Double Fault Exception": to both in turn, to #DF, or to a shutdown.
 */
#include <asm/trapnr.h>
#include <asm/processor-flags.h>
#include <uapi/asm/debugreg.h>

#include "vmm.h"

enum fault_class {
	BENIGN,
	CONTRIBUTORY,
	PAGE_FAULT,
	DOUBLE_FAULT,
};

static enum fault_class class_of(u8 vector)
{
	switch (vector) {
	case X86_TRAP_DE:
	case X86_TRAP_TS:
	case X86_TRAP_NP:
	case X86_TRAP_SS:
	case X86_TRAP_GP:
		return CONTRIBUTORY;
	case X86_TRAP_PF:
		return PAGE_FAULT;
	case X86_TRAP_DF:
		return DOUBLE_FAULT;
	default:
		return BENIGN;
	}
}

enum combined {
	SECOND_ONLY,		/* the first comes again when its instruction does */
	MAKE_DOUBLE_FAULT,
	MAKE_SHUTDOWN,
};

static enum combined combine(enum fault_class first, enum fault_class second)
{
	if (second == BENIGN || first == BENIGN)
		return SECOND_ONLY;
	if (first == DOUBLE_FAULT)
		return MAKE_SHUTDOWN;
	if (first == PAGE_FAULT || second == CONTRIBUTORY)
		return MAKE_DOUBLE_FAULT;
	return SECOND_ONLY;
}

/* The event that @vcpu was about to take gives way to an exception. */
static enum combined displace(struct vmm_vcpu *vcpu, u8 vector)
{
	struct vmm_event *first = &vcpu->event;

	switch (first->type) {
	case VMM_EVENT_EXCEPTION:
		return combine(class_of(first->vector), class_of(vector));
	case VMM_EVENT_INTR:
		vmm_apic_unaccept(vcpu, first->vector);
		break;
	case VMM_EVENT_NMI:
		vcpu->nmi_masked = false;
		atomic_add_unless(&vcpu->nmi_pending, 1, 2);
		break;
	}
	return SECOND_ONLY;
}

/* "Exception Classifications": their handler returns to the instruction itself. */
#define FAULTS	(BIT(X86_TRAP_DE) | BIT(X86_TRAP_BR) | BIT(X86_TRAP_UD) | BIT(X86_TRAP_NM) | \
		 BIT(X86_TRAP_TS) | BIT(X86_TRAP_NP) | BIT(X86_TRAP_SS) | BIT(X86_TRAP_GP) | \
		 BIT(X86_TRAP_PF) | BIT(X86_TRAP_MF) | BIT(X86_TRAP_AC) | BIT(X86_TRAP_XF))

static void queue(struct vmm_vcpu *vcpu, u8 vector, u8 flags, u32 error)
{
	/* A fault pushes RF as 1; not every CPU makes it so for one that is injected. */
	if (BIT(vector & 31) & FAULTS)
		vcpu->regs.rflags |= X86_EFLAGS_RF;
	switch (displace(vcpu, vector)) {
	case MAKE_SHUTDOWN:
		vcpu->triple_fault = true;
		return;
	case MAKE_DOUBLE_FAULT:
		vector = X86_TRAP_DF;
		flags = VMM_EVENT_HAS_ERROR;
		error = 0;
		break;
	case SECOND_ONLY:
		break;
	}
	vcpu->event = (struct vmm_event) {
		.type = VMM_EVENT_EXCEPTION,
		.vector = vector,
		.flags = flags,
		.error = error,
	};
}

void vmm_queue_exception(struct vmm_vcpu *vcpu, u8 vector)
{
	queue(vcpu, vector, 0, 0);
}

void vmm_queue_exception_error(struct vmm_vcpu *vcpu, u8 vector, u32 error)
{
	queue(vcpu, vector, VMM_EVENT_HAS_ERROR, error);
}

/* "Debug Exceptions": of what DR6 has only the breakpoints before make room; GD is cleared. */
void vmm_queue_debug(struct vmm_vcpu *vcpu, u64 bits)
{
	vmm_pull(vcpu, VMM_STATE_DEBUG);
	vcpu->debug.dr6 = (vcpu->debug.dr6 & ~(u64)DR_TRAP_BITS) | bits;
	vcpu->debug.dr7 &= ~(u64)DR7_GENERAL_DETECT;
	vmm_dirty(vcpu, VMM_STATE_DEBUG);
	vmm_queue_exception(vcpu, X86_TRAP_DB);
}

void vmm_queue_page_fault(struct vmm_vcpu *vcpu, gva_t gva, u32 error)
{
	vmm_pull(vcpu, VMM_STATE_CTRL);
	vcpu->ctrl.cr2 = gva;
	vmm_dirty(vcpu, VMM_STATE_CTRL);
	vmm_queue_exception_error(vcpu, X86_TRAP_PF, error);
}

bool vmm_events_pending(struct vmm_vcpu *vcpu)
{
	if (vmm_apic_init_pending(vcpu))
		return true;
	/* A processor that nobody started takes nothing else. */
	if (vcpu->mp_state == VMM_MP_WAIT_INIT || vcpu->mp_state == VMM_MP_WAIT_SIPI)
		return false;
	if (vcpu->event.type != VMM_EVENT_NONE)
		return true;
	if (atomic_read(&vcpu->nmi_pending) && !vcpu->nmi_masked)
		return true;
	if (READ_ONCE(vcpu->kicked))
		return true;
	if (!(vcpu->regs.rflags & X86_EFLAGS_IF))
		return false;
	return vmm_apic_waiting(vcpu);
}

void vmm_nmi(struct vmm_vcpu *vcpu)
{
	/* One in service and one that waits: more are lost, as on the CPU. */
	int limit = READ_ONCE(vcpu->nmi_masked) ? 1 : 2;
	int pending = atomic_read(&vcpu->nmi_pending);

	while (pending < limit)
		if (atomic_try_cmpxchg(&vcpu->nmi_pending, &pending, pending + 1))
			break;
	vmm_vcpu_kick(vcpu);
}

static bool deliver_nmi(struct vmm_vcpu *vcpu)
{
	static const struct vmm_event nmi = {
		.type = VMM_EVENT_NMI,
		.vector = X86_TRAP_NMI,
	};

	if (!vmm_op(event_ready)(vcpu, VMM_KIND_NMI))
		return false;
	if (unlikely(vcpu->stepping))
		vmm_step_disarm(vcpu);
	atomic_dec(&vcpu->nmi_pending);
	vcpu->nmi_masked = true;
	vmm_op(event_inject)(vcpu, &nmi);
	return true;
}

static noinline bool deliver_interrupt(struct vmm_vcpu *vcpu, u8 vector)
{
	struct vmm_event event = {
		.type = VMM_EVENT_INTR,
		.vector = vector,
	};

	if (!vmm_op(event_ready)(vcpu, VMM_KIND_INTR))
		return false;
	if (unlikely(vcpu->stepping))
		vmm_step_disarm(vcpu);
	vmm_apic_accept(vcpu, vector);
	vmm_op(event_inject)(vcpu, &event);
	return true;
}

void vmm_events_deliver(struct vmm_vcpu *vcpu)
{
	bool taken = false;
	int vector;

	if (vcpu->event.type != VMM_EVENT_NONE) {
		if (unlikely(vcpu->stepping))
			vmm_step_disarm(vcpu);
		vmm_op(event_inject)(vcpu, &vcpu->event);
		vcpu->event.type = VMM_EVENT_NONE;
		taken = true;
	}
	if (atomic_read(&vcpu->nmi_pending)) {
		if (!taken)
			taken = deliver_nmi(vcpu);
		if (atomic_read(&vcpu->nmi_pending))
			vmm_ops->event_window(vcpu, VMM_KIND_NMI);
	}
	vector = vmm_apic_pending(vcpu);
	if (vector >= 0 && !taken && vector != VMM_APIC_ASK && deliver_interrupt(vcpu, vector)) {
		vector = vmm_apic_pending(vcpu);
		if (vector < 0)
			vmm_apic_offer_eoi(vcpu);
	}
	if (unlikely(vector >= 0 || vcpu->wants_window))
		vmm_ops->event_window(vcpu, VMM_KIND_INTR);
}

bool vmm_interrupt_window(struct vmm_vcpu *vcpu)
{
	if (vcpu->mp_state != VMM_MP_RUNNABLE && vcpu->mp_state != VMM_MP_HALTED)
		return false;
	if (vcpu->event.type != VMM_EVENT_NONE || !(vcpu->regs.rflags & X86_EFLAGS_IF))
		return false;
	vmm_pull(vcpu, VMM_STATE_EVENTS);
	if (atomic_read(&vcpu->nmi_pending) && !vcpu->nmi_masked)
		return false;
	return !vcpu->shadow;
}
