/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of irq/ share: an interrupt message in one form, wherever it
 * comes from (MSI, ICR), and the local APIC as lapic.c and timer.c see it.
 *
 * Who writes what: an APIC's registers are written by its vCPU's thread, or
 * under vcpu->lock while that is idle. IRR, TMR, errors, init and sipi_vector are
 * atomics that any context writes; others read the thread's registers with
 * READ_ONCE() and live with a value that is just about to change.
 */
#ifndef VMM_IRQ_H
#define VMM_IRQ_H

#include <linux/hrtimer.h>
#include <asm/apicdef.h>

#include "vmm.h"

/* Vectors below are reserved: "Valid Interrupt Vectors". */
#define APIC_FIRST_VECTOR	16

/* A register's index in struct vmm_lapic.regs */
#define APIC_N(offset)		((offset) >> 4)

/* "Local APIC Version Register": xAPIC, six LVT entries, broadcast of EOIs can be off */
#define APIC_VERSION_VALUE	(0x14 | 5 << 16 | APIC_LVR_DIRECTED_EOI)

#define APIC_MODE_BITS		((u64)MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE)
/* DFR: what is not the model reads as ones */
#define APIC_DFR_MODEL		0xf0000000U

/* An interrupt message: from an ICR or an MSI. */
struct vmm_irq {
	u32 dest;
	u32 mode;		/* APIC_DM_* */
	u8 vector;
	bool logical;		/* dest is matched against LDR, not the id */
	bool level;
	bool wide;		/* dest has 32 bits, so that 255 is not everyone, else 8 */
};

/* Bits of vmm_apic.init */
enum {
	APIC_INIT,
	APIC_SIPI,
};

struct vmm_apic {
	u32 regs[64] __aligned(64);	/* by APIC_N(); IRR and TMR (a), else (t) */
	bool irr_hint;			/* (a) false: no bit of IRR is set */
	u8 in_service;			/* (t) highest vector in ISR, 0: none */
	u8 eoi;				/* (t) vector whose EOI the process is to be told, or 0 */
	bool by_cpu;			/* (t) TPR, ISR and the older IRR are in page_regs */
	u32 *page_regs;			/* (c) vapic.c; NULL: the CPU can have nothing of it */
	u8 pv_eoi;			/* (t) vector whose EOI the guest may skip, 0: none */
	u64 pv_eoi_area;		/* (t) MSR_KVM_PV_EOI_EN, 0: off */
	u64 base;			/* (t) IA32_APIC_BASE */
	gpa_t page;			/* (t) of xAPIC mode, else not an address */
	unsigned long errors;		/* (a) ESR bits since its last write */
	unsigned long init;		/* (a) APIC_INIT, APIC_SIPI */
	u8 sipi_vector;			/* (a) */

	struct hrtimer timer;
	u64 tsc_deadline;		/* (a) 0: not armed */
	u64 expires;			/* (a) of the counting timer, in ktime ns; 0: stopped */
	u64 period;			/* (t) ns of one count-down from TMICT, while armed */
	struct vmm_vcpu *vcpu;
	struct rcu_head rcu;
};

static inline u32 apic_get(const struct vmm_apic *apic, u32 offset)
{
	return READ_ONCE(apic->regs[APIC_N(offset)]);
}

static inline void apic_set(struct vmm_apic *apic, u32 offset, u32 value)
{
	WRITE_ONCE(apic->regs[APIC_N(offset)], value);
}

static inline bool apic_is_x2(u64 base)
{
	return (base & APIC_MODE_BITS) == APIC_MODE_BITS;
}

static inline bool apic_is_enabled(const struct vmm_apic *apic)
{
	return READ_ONCE(apic->base) & MSR_IA32_APICBASE_ENABLE;
}

/* The 256 bits of ISR, TMR or IRR */
static inline unsigned long *apic_bitmap(struct vmm_apic *apic, u32 offset)
{
	return (unsigned long *)&apic->regs[APIC_N(offset)];
}

/* The highest vector in the bitmap at @offset, 0 if none (0 to 15 never are). */
static inline u8 apic_highest(const struct vmm_apic *apic, u32 offset)
{
	const unsigned long *map = (const unsigned long *)&apic->regs[APIC_N(offset)];
	int i;

	for (i = 256 / BITS_PER_LONG - 1; i >= 0; i--) {
		unsigned long word = READ_ONCE(map[i]);

		if (word)
			return i * BITS_PER_LONG + __fls(word);
	}
	return 0;
}

/* ---- lapic.c, for msi.c; any context, under rcu_read_lock ---- */
bool apic_matches(const struct vmm_vcpu *vcpu, const struct vmm_irq *irq);
/* Does the guest's software have it switched on? Else it takes no vectors. */
bool apic_takes_vectors(const struct vmm_vcpu *vcpu);
u32 apic_priority(const struct vmm_apic *apic);		/* PPR */
/* True: it was not pending before. An APIC that IA32_APIC_BASE disables takes nothing. */
bool apic_deliver(struct vmm_vcpu *vcpu, const struct vmm_irq *irq);
/* ---- lapic.c, for its siblings ---- */
void apic_local(struct vmm_apic *apic, u32 lvt_offset);
void apic_note_error(struct vmm_apic *apic, unsigned long error);	/* one ESR bit */

/* ---- vapic.c ---- */
void apic_take_back(struct vmm_apic *apic);
/* TPR, ISR, IRR and in_service are the thread's, in regs, until the next entry. */
static inline void apic_hold(struct vmm_apic *apic)
{
	if (unlikely(apic->by_cpu))
		apic_take_back(apic);
}

/* Is @vector's bit set in the page's IRR? Any context. */
bool apic_page_pending(const struct vmm_apic *apic, u8 vector);
u32 apic_page_priority(const struct vmm_apic *apic);	/* PPR; any context */

/* ---- pv_eoi.c: before ISR is looked at ---- */
/* False: the guest's memory is not there with IRQs off; VMM_REQ_EOI was set. */
bool apic_pv_settle(struct vmm_apic *apic);
static inline bool apic_pv_sync(struct vmm_apic *apic)
{
	return likely(!apic->pv_eoi) || apic_pv_settle(apic);
}

/* ---- lapic_regs.c, for vapic.c: what is left of a write when the CPU has done its part ---- */
void apic_after_eoi(struct vmm_apic *apic, u8 vector);
void apic_write_self_ipi(struct vmm_apic *apic, u32 value);
/* ---- lapic_regs.c, for lapic_state.c ---- */
u32 apic_read_reg(const struct vmm_apic *apic, unsigned int n);
u32 apic_reg_bits(unsigned int n);		/* that software can write */
u32 apic_x2_ldr(u32 id);
void apic_mask_lvts(struct vmm_apic *apic);
void apic_reset_regs(struct vmm_apic *apic);
/* Is @base one that the vCPU's IA32_APIC_BASE could hold? */
bool apic_base_valid(struct vmm_vcpu *vcpu, u64 base);
/* Switch to the mode of @base: the registers that mirror id and mode get their values. */
void apic_set_base(struct vmm_apic *apic, u64 base);

/* ---- msi.c ---- */
/* Deliver to all that match but @but (or NULL); how many accepted it. Any context. */
int vmm_irq_send(struct vmm_vm *vm, const struct vmm_irq *irq, const struct vmm_vcpu *but);
/* Of a message that was checked: its vector; does it record a level in TMR? */
u8 vmm_msi_vector(u32 data);
bool vmm_msi_level(const struct vmm_msi *msi);
/* Deliver to every vCPU but @but. */
int vmm_irq_broadcast(struct vmm_vm *vm, const struct vmm_irq *irq, const struct vmm_vcpu *but);

/* ---- timer.c: the thread's, IRQs may be off ---- */
void apic_timer_create(struct vmm_apic *apic);
void apic_timer_stop(struct vmm_apic *apic);	/* no interrupt of it comes after */
void apic_timer_count(struct vmm_apic *apic, u32 count);	/* start from @count */
u32 apic_timer_left(const struct vmm_apic *apic);		/* TMCCT */
void apic_timer_divide(struct vmm_apic *apic, u32 tdcr);	/* TDCR was written */
void apic_timer_mode(struct vmm_apic *apic, u32 lvtt);		/* LVTT was written */
void apic_timer_deadline(struct vmm_apic *apic, u64 guest_tsc);
/* Before IRR or what the timer is set to matters: has a deadline that the CPU keeps come? */
void apic_timer_settle(struct vmm_apic *apic);
bool apic_timer_by_deadline(const struct vmm_apic *apic);

#endif
