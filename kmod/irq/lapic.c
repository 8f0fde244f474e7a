// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC of one vCPU: registers, priorities, delivery; timer.c counts.
 * xAPIC through the page at IA32_APIC_BASE, x2APIC through MSRs, one table for
 * both of what a register is.
 *
 * Registers are kept as struct vmm_lapic has them. ISR, TMR and IRR are then 256
 * bits in a row each. Any context sets a bit of IRR; only the vCPU's thread moves
 * it to ISR. Invariants:
 *  - irr_hint is true, or about to become so, when a bit of IRR is set;
 *  - in_service is the highest bit of ISR;
 *  - while the guest has the APIC disabled every LVT is masked.
 *
 * Level-triggered messages are recorded in TMR; their EOI goes nowhere, because
 * chips that have levels are the process's.
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <asm/msr-index.h>

#include "irq.h"

/* "Local APIC Version Register": xAPIC, six LVT entries */
#define APIC_VERSION_VALUE	(0x14 | 5 << 16)
#define APIC_DFR_ONES		0x0fffffff
#define APIC_NO_PAGE		(~0ULL)

#define X2APIC_MSR(offset)	(APIC_BASE_MSR + APIC_N(offset))
#define APIC_MODE_BITS		((u64)MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE)

/* A vector's priority class */
#define PRIORITY_CLASS(vector)		((vector) & 0xf0)

static bool is_x2apic(u64 base)
{
	return (base & APIC_MODE_BITS) == APIC_MODE_BITS;
}

static bool is_enabled(const struct vmm_apic *apic)
{
	return READ_ONCE(apic->base) & MSR_IA32_APICBASE_ENABLE;
}

/* ---- bitmaps of 256 vectors ---- */

static unsigned long *bitmap(struct vmm_apic *apic, u32 offset)
{
	return (unsigned long *)&apic->regs[APIC_N(offset)];
}

/* The highest vector in the bitmap at @offset, 0 if none (0 to 15 never are). */
static u8 highest(const struct vmm_apic *apic, u32 offset)
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

/* ---- priorities ---- */

static u32 priority(u32 tpr, u8 in_service)
{
	return PRIORITY_CLASS(tpr) >= PRIORITY_CLASS(in_service) ? tpr : PRIORITY_CLASS(in_service);
}

u32 apic_priority(const struct vmm_apic *apic)
{
	return priority(apic_get(apic, APIC_TASKPRI), READ_ONCE(apic->in_service));
}

static u8 highest_request(struct vmm_apic *apic)
{
	u8 vector = highest(apic, APIC_IRR);

	if (vector)
		return vector;
	WRITE_ONCE(apic->irr_hint, false);
	/* Pairs with set_bit() before irr_hint = true in raise(). */
	smp_mb();
	vector = highest(apic, APIC_IRR);
	if (vector)
		WRITE_ONCE(apic->irr_hint, true);
	return vector;
}

int vmm_apic_pending(struct vmm_vcpu *vcpu)
{
	struct vmm_apic *apic = vcpu->apic;
	u8 vector;

	if (likely(!READ_ONCE(apic->irr_hint)))
		return -1;
	vector = highest_request(apic);
	if (!vector || !is_enabled(apic))
		return -1;
	return PRIORITY_CLASS(vector) > PRIORITY_CLASS(apic_priority(apic)) ? vector : -1;
}

void vmm_apic_accept(struct vmm_vcpu *vcpu, u8 vector)
{
	struct vmm_apic *apic = vcpu->apic;

	__set_bit(vector, bitmap(apic, APIC_ISR));
	apic->in_service = vector;
	clear_bit(vector, bitmap(apic, APIC_IRR));
}

void vmm_apic_unaccept(struct vmm_vcpu *vcpu, u8 vector)
{
	struct vmm_apic *apic = vcpu->apic;

	if (!__test_and_clear_bit(vector, bitmap(apic, APIC_ISR)))
		return;
	apic->in_service = highest(apic, APIC_ISR);
	set_bit(vector, bitmap(apic, APIC_IRR));
	WRITE_ONCE(apic->irr_hint, true);
}

u64 vmm_apic_get_cr8(struct vmm_vcpu *vcpu)
{
	return apic_get(vcpu->apic, APIC_TASKPRI) >> 4;
}

void vmm_apic_set_cr8(struct vmm_vcpu *vcpu, u64 cr8)
{
	apic_set(vcpu->apic, APIC_TASKPRI, cr8 << 4);
}

/* ---- taking interrupts ---- */

/* True: @vector was not pending before. Any context. */
static bool raise(struct vmm_apic *apic, u8 vector, bool level)
{
	if (level)
		set_bit(vector, bitmap(apic, APIC_TMR));
	else if (test_bit(vector, bitmap(apic, APIC_TMR)))
		clear_bit(vector, bitmap(apic, APIC_TMR));
	/* The bit before the hint: pairs with smp_mb() in highest_request(). */
	if (test_and_set_bit(vector, bitmap(apic, APIC_IRR)))
		return false;
	WRITE_ONCE(apic->irr_hint, true);
	vmm_vcpu_kick(apic->vcpu);
	return true;
}

static void note_error(struct vmm_apic *apic, unsigned long error)
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
		note_error(apic, APIC_ESR_RECVILL);
	else
		raise(apic, vector, false);
}

/* ---- messages, from any context ---- */

static bool matches_logical(const struct vmm_apic *apic, u32 dest)
{
	u32 ldr = apic_get(apic, APIC_LDR);

	if (is_x2apic(READ_ONCE(apic->base)))
		return (ldr >> 16) == (dest >> 16) && (ldr & dest & 0xffff);
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

bool apic_takes_vectors(const struct vmm_vcpu *vcpu)
{
	const struct vmm_apic *apic = vcpu->apic;

	return is_enabled(apic) && (apic_get(apic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED);
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
		.wide = is_x2apic(apic->base),
	};

	/* "INIT Level De-assert" has been without effect since the Pentium 4. */
	if (irq.mode == APIC_DM_INIT && (icr & APIC_INT_LEVELTRIG) && !(icr & APIC_INT_ASSERT))
		return;
	if (irq.mode <= APIC_DM_LOWEST && irq.vector < APIC_FIRST_VECTOR) {
		note_error(apic, APIC_ESR_SENDILL);
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

static void write_eoi(struct vmm_apic *apic, u32 value)
{
	if (!apic->in_service)
		return;
	__clear_bit(apic->in_service, bitmap(apic, APIC_ISR));
	apic->in_service = highest(apic, APIC_ISR);
}

static void write_dfr(struct vmm_apic *apic, u32 value)
{
	apic_set(apic, APIC_DFR, value | APIC_DFR_ONES);
}

static const u32 lvts[] = {
	APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC, APIC_LVT0, APIC_LVT1, APIC_LVTERR,
};

static void mask_lvts(struct vmm_apic *apic)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(lvts); i++)
		apic_set(apic, lvts[i], apic_get(apic, lvts[i]) | APIC_LVT_MASKED);
}

static void write_spiv(struct vmm_apic *apic, u32 value)
{
	apic_set(apic, APIC_SPIV, value);
	if (!(value & APIC_SPIV_APIC_ENABLED))
		mask_lvts(apic);
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

static void write_self_ipi(struct vmm_apic *apic, u32 value)
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
#define SPIV_BITS	(APIC_SPIV_APIC_ENABLED | APIC_VECTOR_MASK)
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
	[APIC_N(APIC_TASKPRI)]	= { R | W, APIC_TPRI_MASK },
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
	[APIC_N(APIC_SELF_IPI)]	= { W2, APIC_VECTOR_MASK, .write = write_self_ipi },
};

/* @n is the guest's, and below the size of the table by the caller's check. */
static u32 read_reg(const struct vmm_apic *apic, unsigned int n)
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
	if (reg && (reg->access & R1))
		*data = read_reg(vcpu->apic, APIC_N(offset));
	else if (reg && !(reg->access & W1))
		note_error(vcpu->apic, APIC_ESR_ILLREGA);
}

void vmm_apic_mmio_write(struct vmm_vcpu *vcpu, u32 offset, unsigned int size, u64 data)
{
	const struct apic_reg *reg = mmio_reg(offset, size);

	if (reg && (reg->access & W1))
		write_reg(vcpu->apic, APIC_N(offset), data & reg->bits);
	else if (reg && !(reg->access & R1))
		note_error(vcpu->apic, APIC_ESR_ILLREGA);
}

/* ---- MSRs ---- */

static int x2apic_read(struct vmm_apic *apic, unsigned int n, u64 *value)
{
	if (n >= ARRAY_SIZE(registers) || !(registers[n].access & R2))
		return -EINVAL;
	*value = read_reg(apic, n);
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

static u32 x2apic_ldr(u32 id)
{
	return (id >> 4) << 16 | 1U << (id & 0xf);
}

/* What base address, reserved bits and mode bits allow, wherever they come from. */
static bool base_valid(struct vmm_vcpu *vcpu, u64 base)
{
	u64 known = APIC_MODE_BITS | MSR_IA32_APICBASE_BSP | PAGE_MASK;
	u32 features[4] = {};

	if ((base & ~known) || base >> vmm_cpuid_phys_bits(vcpu))
		return false;
	if (!(base & X2APIC_ENABLE))
		return true;
	vmm_cpuid_leaf(vcpu, 1, 0, features);
	return is_x2apic(base) && (features[2] & BIT(X86_FEATURE_X2APIC & 31));
}

/* "x2APIC State Transitions" */
static bool transition_valid(u64 from, u64 to)
{
	if (is_x2apic(from))
		return is_x2apic(to) || !(to & MSR_IA32_APICBASE_ENABLE);
	return !is_x2apic(to) || (from & MSR_IA32_APICBASE_ENABLE);
}

static void reset_regs(struct vmm_apic *apic)
{
	apic_timer_stop(apic);
	WRITE_ONCE(apic->tsc_deadline, 0);
	memset(apic->regs, 0, sizeof(apic->regs));
	WRITE_ONCE(apic->errors, 0);
	apic->in_service = 0;
	apic_set(apic, APIC_LVR, APIC_VERSION_VALUE);
	apic_set(apic, APIC_DFR, APIC_DFR_FLAT);
	apic_set(apic, APIC_SPIV, APIC_VECTOR_MASK);
	mask_lvts(apic);
}

/* Give the registers that mirror id and mode their values. */
static void set_base(struct vmm_apic *apic, u64 base)
{
	u32 id = apic->vcpu->id;

	WRITE_ONCE(apic->base, base);
	apic->page = APIC_NO_PAGE;
	if (is_x2apic(base)) {
		apic_set(apic, APIC_ID, id);
		apic_set(apic, APIC_LDR, x2apic_ldr(id));
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
	if (!base_valid(apic->vcpu, base) || !transition_valid(apic->base, base))
		return -EINVAL;
	if (!(base & MSR_IA32_APICBASE_ENABLE))
		reset_regs(apic);
	set_base(apic, base);
	return 0;
}

int vmm_apic_msr_read(struct vmm_vcpu *vcpu, u32 msr, enum vmm_origin origin, u64 *value)
{
	struct vmm_apic *apic = vcpu->apic;

	if (msr == MSR_IA32_TSC_DEADLINE)
		*value = READ_ONCE(apic->tsc_deadline);
	else if (msr == MSR_IA32_APICBASE)
		*value = apic->base;
	else if (origin != VMM_ORIGIN_GUEST || !is_x2apic(apic->base))
		return -EINVAL;
	else
		return x2apic_read(apic, msr - APIC_BASE_MSR, value);
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
	if (origin != VMM_ORIGIN_GUEST || !is_x2apic(apic->base))
		return -EINVAL;
	if (msr == X2APIC_MSR(APIC_EOI) && !value) {
		write_eoi(apic, 0);
		return 0;
	}
	return x2apic_write(apic, msr - APIC_BASE_MSR, value);
}

/* ---- life ---- */

int vmm_apic_create(struct vmm_vcpu *vcpu)
{
	struct vmm_apic *apic = kzalloc(sizeof(*apic), GFP_KERNEL_ACCOUNT);

	if (!apic)
		return -ENOMEM;
	apic->vcpu = vcpu;
	apic->page = APIC_NO_PAGE;
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
	reset_regs(apic);
	set_base(apic, base);
}

/* ---- state ---- */

void vmm_apic_get_state(struct vmm_vcpu *vcpu, struct vmm_lapic *lapic)
{
	const struct vmm_apic *apic = vcpu->apic;
	u32 left = apic_timer_left(apic);
	unsigned int n;

	/* The timer before IRR: one that expires meanwhile shows twice, not never. */
	*lapic = (struct vmm_lapic) {
		.base = apic->base,
		.tsc_deadline = READ_ONCE(apic->tsc_deadline),
	};
	/* As just said; the other side is the order in expired(), timer.c. */
	smp_rmb();
	for (n = 0; n < ARRAY_SIZE(registers); n++)
		lapic->regs[n] = read_reg(apic, n);
	lapic->regs[APIC_N(APIC_TMCCT)] = left;
	/* Errors not yet latched are not lost: they show one write early. */
	lapic->regs[APIC_N(APIC_ESR)] |= READ_ONCE(apic->errors);
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
		return is_x2apic(lapic->base) ? ~0U : registers[n].bits;
	case APIC_N(APIC_SELF_IPI):
		return 0;
	default:
		return registers[n].bits;
	}
}

static bool mirrors_valid(struct vmm_vcpu *vcpu, const struct vmm_lapic *lapic)
{
	const u32 *regs = lapic->regs;
	bool x2apic = is_x2apic(lapic->base);

	if (regs[APIC_N(APIC_LVR)] != APIC_VERSION_VALUE ||
	    (~regs[APIC_N(APIC_DFR)] & APIC_DFR_ONES))
		return false;
	if (!x2apic)
		return regs[APIC_N(APIC_ID)] == vcpu->id << 24 &&
		       !(regs[APIC_N(APIC_LDR)] & ~APIC_LDR_MASK);
	return regs[APIC_N(APIC_ID)] == vcpu->id &&
	       regs[APIC_N(APIC_LDR)] == x2apic_ldr(vcpu->id);
}

int vmm_apic_check_state(struct vmm_vcpu *vcpu, const struct vmm_lapic *lapic)
{
	u64 bsp = vcpu->id ? 0 : MSR_IA32_APICBASE_BSP;
	const u32 *regs = lapic->regs;
	unsigned int n;

	if (lapic->pad[0] || lapic->pad[1] || !base_valid(vcpu, lapic->base) ||
	    (lapic->base & MSR_IA32_APICBASE_BSP) != bsp || !mirrors_valid(vcpu, lapic))
		return -EINVAL;
	for (n = 0; n < ARRAY_SIZE(registers); n++) {
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

	reset_regs(apic);
	memcpy(apic->regs, lapic->regs, sizeof(apic->regs));
	apic->regs[APIC_N(APIC_PROCPRI)] = 0;
	apic->regs[APIC_N(APIC_TMCCT)] = 0;
	set_base(apic, lapic->base);
	if (!(apic_get(apic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED))
		mask_lvts(apic);
	WRITE_ONCE(apic->errors, apic_get(apic, APIC_ESR));
	apic->in_service = highest(apic, APIC_ISR);
	WRITE_ONCE(apic->irr_hint, true);
	if (apic_timer_by_deadline(apic))
		apic_timer_deadline(apic, lapic->tsc_deadline);
	else
		apic_timer_count(apic, lapic->regs[APIC_N(APIC_TMCCT)]);
}

void vmm_apic_tsc_changed(struct vmm_vcpu *vcpu)
{
	struct vmm_apic *apic = vcpu->apic;
	u64 deadline;

	if (!READ_ONCE(apic->tsc_deadline))
		return;
	/* Not one that has just expired: that would come a second time. */
	apic_timer_stop(apic);
	deadline = READ_ONCE(apic->tsc_deadline);
	if (deadline)
		apic_timer_deadline(apic, deadline);
}
