// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registers of a local APIC: xAPIC through the page at IA32_APIC_BASE, x2APIC
 * through MSRs, one table for both of what a register is; the messages that a write
 * sends; and the modes, with what changing them does to registers.
 *
 * The EOI of a level-triggered vector is broadcast, as on the bus: to the irqfds of
 * that vector that have a resample eventfd, or if there is none, to the process, by an
 * exit. A guest that suppresses the broadcast tells its chips itself.
 */
#include <linux/nospec.h>
#include <asm/msr-index.h>

#include "irq.h"

#define APIC_DFR_ONES		0x0fffffff
#define APIC_NO_PAGE		(~0ULL)

#define X2APIC_MSR(offset)	(APIC_BASE_MSR + APIC_N(offset))

/* ---- messages that this APIC sends ---- */

#define ICR_SHORTHAND		APIC_DEST_ALLBUT

static void send(struct vmm_apic *apic, u32 icr, u32 dest)
{
	struct vmm_vcpu *vcpu = apic->vcpu;
	struct vmm_irq irq = {
		.dest = dest,
		.mode = icr & APIC_MODE_MASK,
		.vector = icr & APIC_VECTOR_MASK,
		.logical = icr & APIC_DEST_LOGICAL,
		.level = (icr & APIC_INT_LEVELTRIG) && (icr & APIC_INT_ASSERT),
		.wide = apic_is_x2(apic->base),
	};

	/* "INIT Level De-assert" has been without effect since the Pentium 4. */
	if (irq.mode == APIC_DM_INIT && (icr & APIC_INT_LEVELTRIG) && !(icr & APIC_INT_ASSERT))
		return;
	if (irq.mode <= APIC_DM_LOWEST && irq.vector < APIC_FIRST_VECTOR) {
		apic_note_error(apic, APIC_ESR_SENDILL);
		return;
	}
	switch (icr & ICR_SHORTHAND) {
	case APIC_DEST_SELF:
		/* "Delivery Mode" is fixed for a message to oneself. */
		if (irq.mode == APIC_DM_FIXED)
			apic_deliver(vcpu, &irq);
		return;
	case APIC_DEST_ALLINC:
		vmm_irq_broadcast(vcpu->vm, &irq, NULL);
		return;
	case APIC_DEST_ALLBUT:
		vmm_irq_broadcast(vcpu->vm, &irq, vcpu);
		return;
	default:
		vmm_irq_send(vcpu->vm, &irq, NULL);
	}
}

/* ---- registers with a meaning of their own ---- */

/* "Handling Level-Triggered Interrupts": the chips that have levels wait for it. */
static noinline void broadcast_eoi(struct vmm_apic *apic, u8 vector)
{
	if (apic_get(apic, APIC_SPIV) & APIC_SPIV_DIRECTED_EOI)
		return;
	if (!vmm_irqfd_eoi(apic->vcpu->vm, vector))
		apic->eoi = vector;
}

static bool is_level(struct vmm_apic *apic, u8 vector)
{
	return test_bit(vector, apic_bitmap(apic, APIC_TMR));
}

void apic_after_eoi(struct vmm_apic *apic, u8 vector)
{
	if (unlikely(is_level(apic, vector)))
		broadcast_eoi(apic, vector);
}

static void write_eoi(struct vmm_apic *apic, u32 value)
{
	u8 vector;

	apic_hold(apic);
	/* Of an earlier interrupt, whose EOI was skipped. IRQs are on then. */
	if (unlikely(apic->pv_eoi))
		vmm_apic_settle_eoi(apic->vcpu);
	vector = apic->in_service;
	if (!vector)
		return;
	__clear_bit(vector, apic_bitmap(apic, APIC_ISR));
	apic->in_service = apic_highest(apic, APIC_ISR);
	apic_after_eoi(apic, vector);
}

u8 vmm_apic_take_eoi(struct vmm_vcpu *vcpu)
{
	u8 vector = vcpu->apic->eoi;

	vcpu->apic->eoi = 0;
	return vector;
}

static void write_tpr(struct vmm_apic *apic, u32 value)
{
	apic_hold(apic);
	apic_set(apic, APIC_TASKPRI, value);
}

static void write_dfr(struct vmm_apic *apic, u32 value)
{
	apic_set(apic, APIC_DFR, value | APIC_DFR_ONES);
}

static const u32 lvts[] = {
	APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC, APIC_LVT0, APIC_LVT1, APIC_LVTERR,
};

void apic_mask_lvts(struct vmm_apic *apic)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(lvts); i++)
		apic_set(apic, lvts[i], apic_get(apic, lvts[i]) | APIC_LVT_MASKED);
}

static void write_spiv(struct vmm_apic *apic, u32 value)
{
	apic_set(apic, APIC_SPIV, value);
	if (!(value & APIC_SPIV_APIC_ENABLED))
		apic_mask_lvts(apic);
}

/* A write latches what has happened since the last one. */
static void write_esr(struct vmm_apic *apic, u32 value)
{
	apic_set(apic, APIC_ESR, xchg(&apic->errors, 0));
}

static void write_icr(struct vmm_apic *apic, u32 value)
{
	apic_set(apic, APIC_ICR, value);
	send(apic, value, apic_get(apic, APIC_ICR2) >> 24);
}

static u32 lvt_value(const struct vmm_apic *apic, u32 value)
{
	bool on = apic_get(apic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED;

	return on ? value : value | APIC_LVT_MASKED;
}

static void write_lvtt(struct vmm_apic *apic, u32 value)
{
	apic_timer_mode(apic, lvt_value(apic, value));
}

static void write_lvtthmr(struct vmm_apic *apic, u32 value)
{
	apic_set(apic, APIC_LVTTHMR, lvt_value(apic, value));
}

static void write_lvtpc(struct vmm_apic *apic, u32 value)
{
	apic_set(apic, APIC_LVTPC, lvt_value(apic, value));
}

static void write_lvt0(struct vmm_apic *apic, u32 value)
{
	apic_set(apic, APIC_LVT0, lvt_value(apic, value));
}

static void write_lvt1(struct vmm_apic *apic, u32 value)
{
	apic_set(apic, APIC_LVT1, lvt_value(apic, value));
}

static void write_lvterr(struct vmm_apic *apic, u32 value)
{
	apic_set(apic, APIC_LVTERR, lvt_value(apic, value));
}

static void write_tmict(struct vmm_apic *apic, u32 value)
{
	if (apic_timer_by_deadline(apic))
		return;
	apic_set(apic, APIC_TMICT, value);
	apic_timer_count(apic, value);
}

void apic_write_self_ipi(struct vmm_apic *apic, u32 value)
{
	send(apic, APIC_DEST_SELF | APIC_DM_FIXED | value, 0);
}

static u32 read_ppr(const struct vmm_apic *apic)
{
	return apic_priority(apic);
}

/* ---- the table of registers ---- */

/* Who may: X through the page, X2 through MSRs. */
#define R1	0x1
#define W1	0x2
#define R2	0x4
#define W2	0x8
#define R	(R1 | R2)
#define W	(W1 | W2)

/* Bits that software can write; xAPIC ignores others, x2APIC raises #GP. */
#define SPIV_BITS	(APIC_SPIV_DIRECTED_EOI | APIC_SPIV_APIC_ENABLED | APIC_VECTOR_MASK)
#define ICR_BITS	(ICR_SHORTHAND | APIC_INT_LEVELTRIG | APIC_INT_ASSERT | \
			 APIC_DEST_LOGICAL | APIC_MODE_MASK | APIC_VECTOR_MASK)
#define LVTT_BITS	(APIC_LVT_TIMER_PERIODIC | APIC_LVT_TIMER_TSCDEADLINE | \
			 APIC_LVT_MASKED | APIC_VECTOR_MASK)
#define LVT_BITS	(APIC_LVT_MASKED | APIC_MODE_MASK | APIC_VECTOR_MASK)
#define LINT_BITS	(LVT_BITS | APIC_LVT_LEVEL_TRIGGER | APIC_INPUT_POLARITY)
#define LVTERR_BITS	(APIC_LVT_MASKED | APIC_VECTOR_MASK)

/* No @read, no @write: plain storage. */
static const struct apic_reg {
	u8 access;
	u32 bits;
	u32 (*read)(const struct vmm_apic *apic);
	void (*write)(struct vmm_apic *apic, u32 value);
} registers[64] = {
	[APIC_N(APIC_ID)]	= { R },
	[APIC_N(APIC_LVR)]	= { R },
	[APIC_N(APIC_TASKPRI)]	= { R | W, APIC_TPRI_MASK, .write = write_tpr },
	[APIC_N(APIC_ARBPRI)]	= { R1 },
	[APIC_N(APIC_PROCPRI)]	= { R, .read = read_ppr },
	[APIC_N(APIC_EOI)]	= { W, .write = write_eoi },
	[APIC_N(APIC_RRR)]	= { R1 },
	[APIC_N(APIC_LDR)]	= { R | W1, APIC_LDR_MASK },
	[APIC_N(APIC_DFR)]	= { R1 | W1, ~APIC_DFR_ONES, .write = write_dfr },
	[APIC_N(APIC_SPIV)]	= { R | W, SPIV_BITS, .write = write_spiv },
	[APIC_N(APIC_ISR) ... APIC_N(APIC_ESR) - 1] = { R },	/* ISR, TMR, IRR */
	[APIC_N(APIC_ESR)]	= { R | W, .write = write_esr },
	[APIC_N(APIC_ICR)]	= { R | W, ICR_BITS, .write = write_icr },
	[APIC_N(APIC_ICR2)]	= { R1 | W1, 0xff000000 },
	[APIC_N(APIC_LVTT)]	= { R | W, LVTT_BITS, .write = write_lvtt },
	[APIC_N(APIC_LVTTHMR)]	= { R | W, LVT_BITS, .write = write_lvtthmr },
	[APIC_N(APIC_LVTPC)]	= { R | W, LVT_BITS, .write = write_lvtpc },
	[APIC_N(APIC_LVT0)]	= { R | W, LINT_BITS, .write = write_lvt0 },
	[APIC_N(APIC_LVT1)]	= { R | W, LINT_BITS, .write = write_lvt1 },
	[APIC_N(APIC_LVTERR)]	= { R | W, LVTERR_BITS, .write = write_lvterr },
	[APIC_N(APIC_TMICT)]	= { R | W, ~0U, .write = write_tmict },
	[APIC_N(APIC_TMCCT)]	= { R, .read = apic_timer_left },
	[APIC_N(APIC_TDCR)]	= { R | W, APIC_TDR_DIV_1, .write = apic_timer_divide },
	[APIC_N(APIC_SELF_IPI)]	= { W2, APIC_VECTOR_MASK, .write = apic_write_self_ipi },
};

u32 apic_reg_bits(unsigned int n)
{
	return registers[n].bits;
}

/* @n is the guest's, and below the size of the table by the caller's check. */
u32 apic_read_reg(const struct vmm_apic *apic, unsigned int n)
{
	n = array_index_nospec(n, ARRAY_SIZE(registers));
	return registers[n].read ? registers[n].read(apic) : READ_ONCE(apic->regs[n]);
}

static void write_reg(struct vmm_apic *apic, unsigned int n, u32 value)
{
	n = array_index_nospec(n, ARRAY_SIZE(registers));
	if (registers[n].write)
		registers[n].write(apic, value);
	else
		WRITE_ONCE(apic->regs[n], value);
}

/* ---- the page ---- */

bool vmm_apic_claims(struct vmm_vcpu *vcpu, gpa_t gpa)
{
	return (gpa & PAGE_MASK) == vcpu->apic->page;
}

/* The register at @offset, if the access is of the one form that reaches it. */
static const struct apic_reg *mmio_reg(u32 offset, unsigned int size)
{
	if (size != sizeof(u32) || (offset & 0xf) || APIC_N(offset) >= ARRAY_SIZE(registers))
		return NULL;
	return &registers[array_index_nospec(APIC_N(offset), ARRAY_SIZE(registers))];
}

void vmm_apic_mmio_read(struct vmm_vcpu *vcpu, u32 offset, unsigned int size, u64 *data)
{
	const struct apic_reg *reg = mmio_reg(offset, size);

	*data = 0;
	vmm_apic_settle_eoi(vcpu);
	if (reg && (reg->access & R1))
		*data = apic_read_reg(vcpu->apic, APIC_N(offset));
	else if (reg && !(reg->access & W1))
		apic_note_error(vcpu->apic, APIC_ESR_ILLREGA);
}

void vmm_apic_mmio_write(struct vmm_vcpu *vcpu, u32 offset, unsigned int size, u64 data)
{
	const struct apic_reg *reg = mmio_reg(offset, size);

	if (reg && (reg->access & W1))
		write_reg(vcpu->apic, APIC_N(offset), data & reg->bits);
	else if (reg && !(reg->access & R1))
		apic_note_error(vcpu->apic, APIC_ESR_ILLREGA);
}

/* ---- MSRs ---- */

static int x2apic_read(struct vmm_apic *apic, unsigned int n, u64 *value)
{
	if (n >= ARRAY_SIZE(registers) || !(registers[n].access & R2))
		return -EINVAL;
	apic_hold(apic);
	/* With IRQs off there is none: vmm_apic_msr_read_fast(). */
	vmm_apic_settle_eoi(apic->vcpu);
	*value = apic_read_reg(apic, n);
	if (n == APIC_N(APIC_ICR))
		*value |= (u64)apic_get(apic, APIC_ICR2) << 32;
	return 0;
}

static int x2apic_write_icr(struct vmm_apic *apic, u64 value)
{
	if ((u32)value & ~(u32)ICR_BITS)
		return -EINVAL;
	apic_set(apic, APIC_ICR, value);
	apic_set(apic, APIC_ICR2, value >> 32);
	send(apic, value, value >> 32);
	return 0;
}

static int x2apic_write(struct vmm_apic *apic, unsigned int n, u64 value)
{
	if (n == APIC_N(APIC_ICR))
		return x2apic_write_icr(apic, value);
	if (n >= ARRAY_SIZE(registers) || !(registers[n].access & W2) ||
	    (value & ~(u64)registers[n].bits))
		return -EINVAL;
	write_reg(apic, n, value);
	return 0;
}

/* ---- modes: IA32_APIC_BASE ---- */

u32 apic_x2_ldr(u32 id)
{
	return (id >> 4) << 16 | 1U << (id & 0xf);
}

/* What base address, reserved bits and mode bits allow, wherever they come from. */
bool apic_base_valid(struct vmm_vcpu *vcpu, u64 base)
{
	u64 known = APIC_MODE_BITS | MSR_IA32_APICBASE_BSP | PAGE_MASK;
	u32 features[4] = {};

	if ((base & ~known) || base >> vmm_cpuid_phys_bits(vcpu))
		return false;
	if (!(base & X2APIC_ENABLE))
		return true;
	vmm_cpuid_leaf(vcpu, 1, 0, features);
	return apic_is_x2(base) && (features[2] & BIT(X86_FEATURE_X2APIC & 31));
}

/* "x2APIC State Transitions" */
static bool transition_valid(u64 from, u64 to)
{
	if (apic_is_x2(from))
		return apic_is_x2(to) || !(to & MSR_IA32_APICBASE_ENABLE);
	return !apic_is_x2(to) || (from & MSR_IA32_APICBASE_ENABLE);
}

void apic_reset_regs(struct vmm_apic *apic)
{
	apic_hold(apic);
	apic_timer_stop(apic);
	WRITE_ONCE(apic->tsc_deadline, 0);
	memset(apic->regs, 0, sizeof(apic->regs));
	WRITE_ONCE(apic->errors, 0);
	apic->in_service = 0;
	apic->eoi = 0;
	apic->pv_eoi = 0;
	apic_set(apic, APIC_LVR, APIC_VERSION_VALUE);
	apic_set(apic, APIC_DFR, APIC_DFR_FLAT);
	apic_set(apic, APIC_SPIV, APIC_VECTOR_MASK);
	apic_mask_lvts(apic);
}

/* Give the registers that mirror id and mode their values. */
void apic_set_base(struct vmm_apic *apic, u64 base)
{
	u32 id = apic->vcpu->id;

	apic_hold(apic);
	/* In x2APIC mode it may be the CPU's. */
	vmm_dirty(apic->vcpu, VMM_STATE_APIC);
	WRITE_ONCE(apic->base, base);
	apic->page = APIC_NO_PAGE;
	if (apic_is_x2(base)) {
		apic_set(apic, APIC_ID, id);
		apic_set(apic, APIC_LDR, apic_x2_ldr(id));
		return;
	}
	apic_set(apic, APIC_ID, id << 24);
	if (base & MSR_IA32_APICBASE_ENABLE)
		apic->page = base & PAGE_MASK;
}

static int write_base(struct vmm_apic *apic, u64 base)
{
	/* Which processor booted is not the guest's to say. */
	base &= ~(u64)MSR_IA32_APICBASE_BSP;
	base |= apic->base & MSR_IA32_APICBASE_BSP;
	if (!apic_base_valid(apic->vcpu, base) || !transition_valid(apic->base, base))
		return -EINVAL;
	if (!(base & MSR_IA32_APICBASE_ENABLE)) {
		/* An offer that is forgotten would stand in the guest's memory. */
		vmm_apic_settle_eoi(apic->vcpu);
		apic_reset_regs(apic);
	}
	apic_set_base(apic, base);
	return 0;
}

int vmm_apic_msr_read(struct vmm_vcpu *vcpu, u32 msr, enum vmm_origin origin, u64 *value)
{
	struct vmm_apic *apic = vcpu->apic;

	if (msr == MSR_IA32_TSC_DEADLINE) {
		apic_timer_settle(apic);
		*value = READ_ONCE(apic->tsc_deadline);
	} else if (msr == MSR_IA32_APICBASE) {
		*value = apic->base;
	} else if (origin != VMM_ORIGIN_GUEST || !apic_is_x2(apic->base)) {
		return -EINVAL;
	} else {
		return x2apic_read(apic, msr - APIC_BASE_MSR, value);
	}
	return 0;
}

int vmm_apic_msr_write(struct vmm_vcpu *vcpu, u32 msr, enum vmm_origin origin, u64 value)
{
	struct vmm_apic *apic = vcpu->apic;

	if (msr == MSR_IA32_TSC_DEADLINE) {
		apic_timer_deadline(apic, value);
		return 0;
	}
	if (msr == MSR_IA32_APICBASE)
		return write_base(apic, value);
	/* The process has the registers in struct vmm_lapic. */
	if (origin != VMM_ORIGIN_GUEST || !apic_is_x2(apic->base))
		return -EINVAL;
	if (msr == X2APIC_MSR(APIC_EOI) && !value) {
		write_eoi(apic, 0);
		return 0;
	}
	return x2apic_write(apic, msr - APIC_BASE_MSR, value);
}

int vmm_apic_msr_read_fast(struct vmm_vcpu *vcpu, u32 msr, u64 *value)
{
	/* The guest's answer to an offered EOI is not to be had: ISR and PPR may be wrong. */
	if (!apic_pv_sync(vcpu->apic))
		return -EAGAIN;
	return vmm_apic_msr_read(vcpu, msr, VMM_ORIGIN_GUEST, value);
}

/*
 * To that many vCPUs nothing is sent with IRQs off. And an INIT, which may be to this one,
 * is served where the run loop begins anew.
 */
static bool is_slow(u64 icr)
{
	return (icr & APIC_DEST_ALLINC) || upper_32_bits(icr) == U32_MAX ||
	       (icr & APIC_MODE_MASK) == APIC_DM_INIT;
}

int vmm_apic_msr_write_fast(struct vmm_vcpu *vcpu, u32 msr, u64 value)
{
	struct vmm_apic *apic = vcpu->apic;

	if (msr == X2APIC_MSR(APIC_ICR) && unlikely(is_slow(value)))
		return -EAGAIN;
	/* An EOI that may have to be told to the process, or asked about. */
	if (msr == X2APIC_MSR(APIC_EOI) &&
	    unlikely(apic->by_cpu || is_level(apic, apic->in_service) || apic->pv_eoi))
		return -EAGAIN;
	return vmm_apic_msr_write(vcpu, msr, VMM_ORIGIN_GUEST, value);
}
