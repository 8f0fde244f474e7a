// SPDX-License-Identifier: GPL-2.0-only
/*
 * The part of an APIC that the CPU may have: in x2APIC mode it reads and writes TPR,
 * PPR, ISR and IRR in a page of the vCPU's, takes interrupts from there and EOIs, and
 * none of that is an exit. The page has the xAPIC's layout.
 *
 * State has one owner: from vmm_apic_give() to apic_take_back() these registers are the
 * page's and by_cpu is true; else they are in vmm_apic.regs and the page's IRR is 0.
 * Whoever needs them in the vCPU's thread says apic_hold(), and the next entry gives
 * them away again, for which section VMM_STATE_APIC is dirty. Interrupts that come
 * meanwhile are bits of regs, as ever, and moved to the page before an entry, because
 * the CPU changes the page's IRR without a lock.
 *
 * In the other modes the registers are reached by memory accesses at an address that
 * each vCPU chooses, but the nested table is the VM's: there the APIC stays software,
 * and so it does for a debugger's steps, which have to see an interrupt come.
 */
#include "irq.h"

/* Words of ISR, TMR and IRR, 32 bits each */
#define BITMAP_WORDS	8

static u32 *page_reg(const struct vmm_apic *apic, u32 offset)
{
	return &apic->page_regs[offset / sizeof(u32)];
}

static u32 page_get(const struct vmm_apic *apic, u32 offset)
{
	return READ_ONCE(*page_reg(apic, offset));
}

static void page_set(const struct vmm_apic *apic, u32 offset, u32 value)
{
	WRITE_ONCE(*page_reg(apic, offset), value);
}

/* As apic_highest(). */
static u8 page_highest(const struct vmm_apic *apic, u32 offset)
{
	int i;

	for (i = BITMAP_WORDS - 1; i >= 0; i--) {
		u32 word = page_get(apic, offset + 16 * i);

		if (word)
			return 32 * i + __fls(word);
	}
	return 0;
}

bool apic_page_pending(const struct vmm_apic *apic, u8 vector)
{
	return page_get(apic, APIC_IRR + vector / 32 * 16) & BIT(vector % 32);
}

u32 apic_page_priority(const struct vmm_apic *apic)
{
	return page_get(apic, APIC_PROCPRI) & 0xff;
}

/* Interrupts that came since the last time. */
static void post(struct vmm_apic *apic)
{
	int i;

	WRITE_ONCE(apic->irr_hint, false);
	/* Pairs with set_bit() before irr_hint = true in raise(). */
	smp_mb();
	for (i = 0; i < BITMAP_WORDS; i++) {
		u32 offset = APIC_IRR + 16 * i, *new = &apic->regs[APIC_N(offset)];

		if (READ_ONCE(*new))
			page_set(apic, offset, page_get(apic, offset) | xchg(new, 0));
	}
	/* After IRR: raise() sets it before. */
	for (i = 0; i < BITMAP_WORDS; i++)
		page_set(apic, APIC_TMR + 16 * i, apic_get(apic, APIC_TMR + 16 * i));
}

static void fill(struct vmm_apic *apic)
{
	static const u16 constant[] = { APIC_ID, APIC_LVR, APIC_LDR, APIC_TASKPRI };
	int i;

	for (i = 0; i < ARRAY_SIZE(constant); i++)
		page_set(apic, constant[i], apic_get(apic, constant[i]));
	page_set(apic, APIC_PROCPRI, apic_priority(apic));
	for (i = 0; i < BITMAP_WORDS; i++)
		page_set(apic, APIC_ISR + 16 * i, apic_get(apic, APIC_ISR + 16 * i));
}

static bool may_give(struct vmm_apic *apic)
{
	struct vmm_vcpu *vcpu = apic->vcpu;

	if (!apic->page_regs || !apic_is_x2(apic->base) ||
	    (vcpu->guest_debug.flags & VMM_DEBUG_STEP))
		return false;
	if (apic_pv_sync(apic))
		return true;
	/* Later, when it is settled. */
	vmm_dirty(vcpu, VMM_STATE_APIC);
	return false;
}

bool vmm_apic_give(struct vmm_vcpu *vcpu, struct vmm_apic_given *given)
{
	struct vmm_apic *apic = vcpu->apic;
	int i;

	if (!apic->by_cpu) {
		if (!may_give(apic))
			return false;
		fill(apic);
		WRITE_ONCE(apic->by_cpu, true);
	}
	post(apic);
	given->requested = page_highest(apic, APIC_IRR);
	given->in_service = page_highest(apic, APIC_ISR);
	for (i = 0; i < ARRAY_SIZE(given->level); i++)
		given->level[i] = page_get(apic, APIC_TMR + 32 * i) |
				  (u64)page_get(apic, APIC_TMR + 32 * i + 16) << 32;
	return true;
}

void apic_take_back(struct vmm_apic *apic)
{
	u32 word;
	int i;

	apic_set(apic, APIC_TASKPRI, page_get(apic, APIC_TASKPRI) & APIC_TPRI_MASK);
	for (i = 0; i < BITMAP_WORDS; i++)
		apic_set(apic, APIC_ISR + 16 * i, page_get(apic, APIC_ISR + 16 * i));
	apic->in_service = apic_highest(apic, APIC_ISR);
	/* In one of the two at any time: see raise(). */
	for (i = 0; i < BITMAP_WORDS; i++) {
		word = page_get(apic, APIC_IRR + 16 * i);
		if (!word)
			continue;
		atomic_or(word, (atomic_t *)&apic->regs[APIC_N(APIC_IRR) + i]);
		page_set(apic, APIC_IRR + 16 * i, 0);
		WRITE_ONCE(apic->irr_hint, true);
	}
	WRITE_ONCE(apic->by_cpu, false);
	vmm_dirty(apic->vcpu, VMM_STATE_APIC);
}

void vmm_apic_hold(struct vmm_vcpu *vcpu)
{
	apic_hold(vcpu->apic);
}

void *vmm_apic_page(const struct vmm_vcpu *vcpu)
{
	return vcpu->apic->page_regs;
}

void vmm_apic_finish(struct vmm_vcpu *vcpu)
{
	struct vmm_apic *apic = vcpu->apic;
	const struct vmm_exit *exit = &vcpu->exit;

	if (exit->apic.eoi)
		apic_after_eoi(apic, exit->apic.vector);
	else if (exit->apic.offset == APIC_SELF_IPI)
		apic_write_self_ipi(apic, page_get(apic, APIC_SELF_IPI));
}
