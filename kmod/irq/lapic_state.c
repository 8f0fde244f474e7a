// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a local APIC, and its registers as the process saves and restores them.
 */
#include <linux/slab.h>

#include "irq.h"

/* ---- life ---- */

int vmm_apic_create(struct vmm_vcpu *vcpu)
{
	bool page = vmm_caps.virtual_apic && vmm_vcpu_nested(vcpu);
	struct vmm_apic *apic;

	/* The page goes with the rest by RCU; what is a power of two is aligned to itself. */
	BUILD_BUG_ON(sizeof(*apic) > PAGE_SIZE);
	apic = kzalloc(page ? 2 * PAGE_SIZE : sizeof(*apic), GFP_KERNEL_ACCOUNT);
	if (!apic)
		return -ENOMEM;
	if (page)
		apic->page_regs = (void *)apic + PAGE_SIZE;
	apic->vcpu = vcpu;
	apic_timer_create(apic);
	vcpu->apic = apic;
	return 0;
}

/* A message may just have found the vCPU: what it touches goes by RCU. */
void vmm_apic_destroy(struct vmm_vcpu *vcpu)
{
	apic_timer_stop(vcpu->apic);
	kfree_rcu(vcpu->apic, rcu);
}

void vmm_apic_reset(struct vmm_vcpu *vcpu, bool init)
{
	struct vmm_apic *apic = vcpu->apic;
	u64 base = VMM_APIC_DEFAULT_BASE | MSR_IA32_APICBASE_ENABLE;

	if (init)
		base = apic->base;
	else if (!vcpu->id)
		base |= MSR_IA32_APICBASE_BSP;
	apic_reset_regs(apic);
	apic_set_base(apic, base);
}

/* ---- state ---- */

void vmm_apic_get_state(struct vmm_vcpu *vcpu, struct vmm_lapic *lapic)
{
	struct vmm_apic *apic = vcpu->apic;
	u32 left;
	unsigned int n;

	apic_hold(apic);
	vmm_apic_settle_eoi(vcpu);
	apic_timer_settle(apic);
	left = apic_timer_left(apic);
	/* The timer before IRR: one that expires meanwhile shows twice, not never. */
	*lapic = (struct vmm_lapic) {
		.base = apic->base,
		.tsc_deadline = READ_ONCE(apic->tsc_deadline),
		.errors = READ_ONCE(apic->errors),
	};
	/* As just said; the other side is the order in fire(), timer.c. */
	smp_rmb();
	for (n = 0; n < ARRAY_SIZE(lapic->regs); n++)
		lapic->regs[n] = apic_read_reg(apic, n);
	lapic->regs[APIC_N(APIC_TMCCT)] = left;
}

/* Bits that register @n of a saved APIC may have. */
static u32 state_bits(const struct vmm_lapic *lapic, unsigned int n)
{
	switch (n) {
	case APIC_N(APIC_ISR):
	case APIC_N(APIC_TMR):
	case APIC_N(APIC_IRR):
		return ~0U << APIC_FIRST_VECTOR;
	case APIC_N(APIC_ISR) + 1 ... APIC_N(APIC_TMR) - 1:
	case APIC_N(APIC_TMR) + 1 ... APIC_N(APIC_IRR) - 1:
	case APIC_N(APIC_IRR) + 1 ... APIC_N(APIC_ESR) - 1:
	case APIC_N(APIC_TMCCT):
		return ~0U;
	case APIC_N(APIC_PROCPRI):
	case APIC_N(APIC_ESR):
		return 0xff;
	case APIC_N(APIC_DFR):
		return ~0U;
	case APIC_N(APIC_ICR2):
		return apic_is_x2(lapic->base) ? ~0U : apic_reg_bits(n);
	case APIC_N(APIC_SELF_IPI):
		return 0;
	default:
		return apic_reg_bits(n);
	}
}

static bool mirrors_valid(struct vmm_vcpu *vcpu, const struct vmm_lapic *lapic)
{
	const u32 *regs = lapic->regs;
	bool x2apic = apic_is_x2(lapic->base);

	if (regs[APIC_N(APIC_LVR)] != APIC_VERSION_VALUE ||
	    (~regs[APIC_N(APIC_DFR)] & ~APIC_DFR_MODEL))
		return false;
	if (!x2apic)
		return regs[APIC_N(APIC_ID)] == vcpu->id << 24 &&
		       !(regs[APIC_N(APIC_LDR)] & ~APIC_LDR_MASK);
	return regs[APIC_N(APIC_ID)] == vcpu->id &&
	       regs[APIC_N(APIC_LDR)] == apic_x2_ldr(vcpu->id);
}

int vmm_apic_check_state(struct vmm_vcpu *vcpu, const struct vmm_lapic *lapic)
{
	u64 bsp = vcpu->id ? 0 : MSR_IA32_APICBASE_BSP;
	const u32 *regs = lapic->regs;
	unsigned int n;

	if (lapic->pad || lapic->errors > 0xff || !apic_base_valid(vcpu, lapic->base) ||
	    (lapic->base & MSR_IA32_APICBASE_BSP) != bsp || !mirrors_valid(vcpu, lapic))
		return -EINVAL;
	for (n = 0; n < ARRAY_SIZE(lapic->regs); n++) {
		if (n == APIC_N(APIC_ID) || n == APIC_N(APIC_LVR) || n == APIC_N(APIC_LDR))
			continue;
		if (regs[n] & ~state_bits(lapic, n))
			return -EINVAL;
	}
	if (regs[APIC_N(APIC_TMCCT)] > regs[APIC_N(APIC_TMICT)])
		return -EINVAL;
	return 0;
}

void vmm_apic_set_state(struct vmm_vcpu *vcpu, const struct vmm_lapic *lapic)
{
	struct vmm_apic *apic = vcpu->apic;

	vmm_apic_settle_eoi(vcpu);
	apic_reset_regs(apic);
	memcpy(apic->regs, lapic->regs, sizeof(apic->regs));
	apic->regs[APIC_N(APIC_PROCPRI)] = 0;
	apic->regs[APIC_N(APIC_TMCCT)] = 0;
	apic_set_base(apic, lapic->base);
	if (!(apic_get(apic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED))
		apic_mask_lvts(apic);
	WRITE_ONCE(apic->errors, lapic->errors);
	apic->in_service = apic_highest(apic, APIC_ISR);
	WRITE_ONCE(apic->irr_hint, true);
	if (apic_timer_by_deadline(apic))
		apic_timer_deadline(apic, lapic->tsc_deadline);
	else
		apic_timer_count(apic, lapic->regs[APIC_N(APIC_TMCCT)]);
}

void vmm_apic_get_init(struct vmm_vcpu *vcpu, struct vmm_events *events)
{
	unsigned long init = READ_ONCE(vcpu->apic->init);

	events->init = init & BIT(APIC_INIT) ? VMM_INIT_PENDING : 0;
	if (!(init & BIT(APIC_SIPI)))
		return;
	events->init |= VMM_SIPI_PENDING;
	events->sipi_vector = READ_ONCE(vcpu->apic->sipi_vector);
}

void vmm_apic_set_init(struct vmm_vcpu *vcpu, const struct vmm_events *events)
{
	unsigned long init = 0;

	if (events->init & VMM_INIT_PENDING)
		init |= BIT(APIC_INIT);
	if (events->init & VMM_SIPI_PENDING)
		init |= BIT(APIC_SIPI);
	WRITE_ONCE(vcpu->apic->sipi_vector, events->sipi_vector);
	WRITE_ONCE(vcpu->apic->init, init);
}
