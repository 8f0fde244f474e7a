// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC of one vCPU: priorities, and taking interrupts, wherever they come
 * from. lapic_regs.c has its registers, lapic_state.c its life, timer.c counts.
 *
 * Registers are kept as struct vmm_lapic has them. ISR, TMR and IRR are then 256
 * bits in a row each. Any context sets a bit of IRR; only the vCPU's thread moves
 * it to ISR. Invariants:
 *  - irr_hint is true, or about to become so, when a bit of IRR is set;
 *  - in_service is the highest bit of ISR;
 *  - while the guest has the APIC disabled every LVT is masked.
 *
 * Level-triggered messages are recorded in TMR. Chips that have levels are the
 * process's or behind an irqfd; they learn of the EOI as lapic_regs.c says.
 */
#include "irq.h"

/* A vector's priority class */
#define PRIORITY_CLASS(vector)		((vector) & 0xf0)

/* ---- priorities ---- */

static u32 priority(u32 tpr, u8 in_service)
{
	return PRIORITY_CLASS(tpr) >= PRIORITY_CLASS(in_service) ? tpr : PRIORITY_CLASS(in_service);
}

u32 apic_priority(const struct vmm_apic *apic)
{
	if (READ_ONCE(apic->by_cpu))
		return apic_page_priority(apic);
	return priority(apic_get(apic, APIC_TASKPRI), READ_ONCE(apic->in_service));
}

static u8 highest_request(struct vmm_apic *apic)
{
	u8 vector = apic_highest(apic, APIC_IRR);

	if (vector)
		return vector;
	WRITE_ONCE(apic->irr_hint, false);
	/* Pairs with set_bit() before irr_hint = true in raise(). */
	smp_mb();
	vector = apic_highest(apic, APIC_IRR);
	if (vector)
		WRITE_ONCE(apic->irr_hint, true);
	return vector;
}

/* vmm_apic_pending() when there may be one. */
static noinline int pending(struct vmm_vcpu *vcpu)
{
	struct vmm_apic *apic = vcpu->apic;
	u8 vector;

	if (apic->by_cpu) {
		vmm_op(state_push)(vcpu, VMM_STATE_APIC);
		return -1;
	}
	vector = highest_request(apic);
	if (!vector || !apic_is_enabled(apic))
		return -1;
	if (!apic_pv_sync(apic))
		return VMM_APIC_ASK;
	return PRIORITY_CLASS(vector) > PRIORITY_CLASS(apic_priority(apic)) ? vector : -1;
}

int vmm_apic_pending(struct vmm_vcpu *vcpu)
{
	return unlikely(READ_ONCE(vcpu->apic->irr_hint)) ? pending(vcpu) : -1;
}

bool vmm_apic_waiting(struct vmm_vcpu *vcpu)
{
	int vector;

	apic_hold(vcpu->apic);
	vector = vmm_apic_pending(vcpu);
	return vector >= 0 && vector != VMM_APIC_ASK;
}

void vmm_apic_accept(struct vmm_vcpu *vcpu, u8 vector)
{
	struct vmm_apic *apic = vcpu->apic;

	__set_bit(vector, apic_bitmap(apic, APIC_ISR));
	apic->in_service = vector;
	clear_bit(vector, apic_bitmap(apic, APIC_IRR));
}

void vmm_apic_unaccept(struct vmm_vcpu *vcpu, u8 vector)
{
	struct vmm_apic *apic = vcpu->apic;

	apic_hold(apic);
	apic_pv_sync(apic);
	if (!__test_and_clear_bit(vector, apic_bitmap(apic, APIC_ISR)))
		return;
	apic->in_service = apic_highest(apic, APIC_ISR);
	set_bit(vector, apic_bitmap(apic, APIC_IRR));
	WRITE_ONCE(apic->irr_hint, true);
}

u64 vmm_apic_get_cr8(struct vmm_vcpu *vcpu)
{
	apic_hold(vcpu->apic);
	return apic_get(vcpu->apic, APIC_TASKPRI) >> 4;
}

void vmm_apic_set_cr8(struct vmm_vcpu *vcpu, u64 cr8)
{
	apic_hold(vcpu->apic);
	apic_set(vcpu->apic, APIC_TASKPRI, cr8 << 4);
}

/* ---- taking interrupts ---- */

/* True: @vector was not pending before. Any context. */
static bool raise(struct vmm_apic *apic, u8 vector, bool level)
{
	bool was;

	if (level)
		set_bit(vector, apic_bitmap(apic, APIC_TMR));
	else if (test_bit(vector, apic_bitmap(apic, APIC_TMR)))
		clear_bit(vector, apic_bitmap(apic, APIC_TMR));
	/* The bit before the hint: pairs with smp_mb() in highest_request(). */
	if (test_and_set_bit(vector, apic_bitmap(apic, APIC_IRR)))
		return false;
	/* A bit more here than in the page is one interrupt, too. */
	was = apic->page_regs && apic_page_pending(apic, vector);
	WRITE_ONCE(apic->irr_hint, true);
	vmm_vcpu_kick(apic->vcpu);
	return !was;
}

void apic_note_error(struct vmm_apic *apic, unsigned long error)
{
	u32 lvt = apic_get(apic, APIC_LVTERR);
	u8 vector = lvt & APIC_VECTOR_MASK;

	if (test_and_set_bit(__ffs(error), &apic->errors) || (lvt & APIC_LVT_MASKED))
		return;
	if (vector >= APIC_FIRST_VECTOR)
		raise(apic, vector, false);
}

/* An interrupt of the APIC's own: the timer's. */
void apic_local(struct vmm_apic *apic, u32 lvt_offset)
{
	u32 lvt = apic_get(apic, lvt_offset);
	u8 vector = lvt & APIC_VECTOR_MASK;

	if (lvt & APIC_LVT_MASKED)
		return;
	if (vector < APIC_FIRST_VECTOR)
		apic_note_error(apic, APIC_ESR_RECVILL);
	else
		raise(apic, vector, false);
}

/* ---- messages, from any context ---- */

static bool matches_logical(const struct vmm_apic *apic, u32 dest)
{
	u32 ldr = apic_get(apic, APIC_LDR);

	if (apic_is_x2(READ_ONCE(apic->base)))
		return (ldr >> 16) == (dest >> 16) && (ldr & dest & 0xffff);
	/* A message of x2APIC's may name more than an xAPIC has bits for. */
	if (dest > APIC_ALL_CPUS)
		return false;
	ldr >>= 24;
	if (apic_get(apic, APIC_DFR) == APIC_DFR_FLAT)
		return ldr & dest;
	return (ldr >> 4) == (dest >> 4) && (ldr & dest & 0xf);
}

bool apic_matches(const struct vmm_vcpu *vcpu, const struct vmm_irq *irq)
{
	u32 everyone = irq->wide ? ~0U : APIC_ALL_CPUS;

	if (irq->dest == everyone)
		return true;
	if (!irq->logical)
		return irq->dest == vcpu->id;
	return matches_logical(vcpu->apic, irq->dest);
}

bool vmm_apic_enabled(const struct vmm_vcpu *vcpu)
{
	return apic_is_enabled(vcpu->apic);
}

bool apic_takes_vectors(const struct vmm_vcpu *vcpu)
{
	const struct vmm_apic *apic = vcpu->apic;

	return apic_is_enabled(apic) && (apic_get(apic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED);
}

static void take_init(struct vmm_apic *apic)
{
	/* A start-up message that came before it has no effect any more. */
	clear_bit(APIC_SIPI, &apic->init);
	set_bit(APIC_INIT, &apic->init);
	vmm_vcpu_kick(apic->vcpu);
}

static void take_startup(struct vmm_apic *apic, u8 vector)
{
	WRITE_ONCE(apic->sipi_vector, vector);
	/* The vector before the bit: pairs with vmm_apic_accept_init(). */
	smp_mb__before_atomic();
	set_bit(APIC_SIPI, &apic->init);
	vmm_vcpu_kick(apic->vcpu);
}

bool apic_deliver(struct vmm_vcpu *vcpu, const struct vmm_irq *irq)
{
	struct vmm_apic *apic = vcpu->apic;

	/* "Enabling or Disabling the Local APIC": it is as if there were none. */
	if (!apic_is_enabled(apic))
		return false;
	switch (irq->mode) {
	case APIC_DM_FIXED:
	case APIC_DM_LOWEST:
		return apic_takes_vectors(vcpu) && raise(apic, irq->vector, irq->level);
	case APIC_DM_NMI:
		vmm_nmi(vcpu);
		return true;
	case APIC_DM_INIT:
		take_init(apic);
		return true;
	case APIC_DM_STARTUP:
		take_startup(apic, irq->vector);
		return true;
	default:
		/* No system management mode, no 8259: nobody takes SMI and ExtINT. */
		return false;
	}
}

bool vmm_apic_init_pending(struct vmm_vcpu *vcpu)
{
	return READ_ONCE(vcpu->apic->init);
}

void vmm_apic_accept_init(struct vmm_vcpu *vcpu)
{
	struct vmm_apic *apic = vcpu->apic;
	u8 vector;

	if (likely(!READ_ONCE(apic->init)))
		return;
	if (test_and_clear_bit(APIC_INIT, &apic->init)) {
		vmm_vcpu_reset(vcpu);
		WRITE_ONCE(vcpu->mp_state, vcpu->id ? VMM_MP_WAIT_SIPI : VMM_MP_RUNNABLE);
	}
	/* Pairs with take_startup(). */
	if (!test_and_clear_bit(APIC_SIPI, &apic->init) || vcpu->mp_state != VMM_MP_WAIT_SIPI)
		return;
	vector = READ_ONCE(apic->sipi_vector);
	vmm_pull(vcpu, VMM_STATE_SEGS);
	vcpu->segs.seg[VMM_CS].selector = vector << 8;
	vcpu->segs.seg[VMM_CS].base = vector << 12;
	vcpu->regs.rip = 0;
	vmm_dirty(vcpu, VMM_STATE_SEGS);
	WRITE_ONCE(vcpu->mp_state, VMM_MP_RUNNABLE);
}
