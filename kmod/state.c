// SPDX-License-Identifier: GPL-2.0-only
/*
 * The architectural state in neutral form: reset values, VMM_GET_STATE and
 * VMM_SET_STATE, and the guest's writes to control registers. Nothing reaches
 * the hardware that was not checked here, so a backend can push it as it is.
 *
 * Sections are cached: vcpu->have says which are current, vcpu->dirty which the
 * hardware has to be told. REGS is always current outside the guest.
 */
#include <linux/mm.h>
#include <linux/string.h>
#include <asm/fpu/types.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <uapi/asm/debugreg.h>

#include "vmm.h"

/* CR0 bits that exist; the others are reserved. */
#define CR0_VALID (X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | \
		   X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)
/* Changes of these make cached translations wrong. */
#define CR0_PAGING (X86_CR0_PG | X86_CR0_WP)
#define CR4_PAGING (X86_CR4_PAE | X86_CR4_PSE | X86_CR4_PGE | X86_CR4_PCIDE | \
		    X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE | X86_CR4_LA57)
#define CR3_KEEP BIT_ULL(63)		/* MOV to CR3 with CR4.PCIDE: no flush */
#define CR4_IN_CR3_LOW 0xfffULL		/* PCID, which CR4.PCIDE wants zero */
/* "PDPTE Registers": changes of these load them anew. */
#define CR0_PDPTE (X86_CR0_CD | X86_CR0_NW | X86_CR0_PG)
#define CR4_PDPTE (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP)
#define CR3_PDPT GENMASK_ULL(31, 5)

#define RFLAGS_VALID (X86_EFLAGS_CF | X86_EFLAGS_FIXED | X86_EFLAGS_PF | X86_EFLAGS_AF | \
		      X86_EFLAGS_ZF | X86_EFLAGS_SF | X86_EFLAGS_TF | X86_EFLAGS_IF | \
		      X86_EFLAGS_DF | X86_EFLAGS_OF | X86_EFLAGS_IOPL | X86_EFLAGS_NT | \
		      X86_EFLAGS_RF | X86_EFLAGS_VM | X86_EFLAGS_AC | X86_EFLAGS_VIF | \
		      X86_EFLAGS_VIP | X86_EFLAGS_ID)

#define SEG_VALID (VMM_SEG_TYPE | VMM_SEG_S | VMM_SEG_DPL | VMM_SEG_P | VMM_SEG_UNUSABLE | \
		   VMM_SEG_AVL | VMM_SEG_L | VMM_SEG_DB | VMM_SEG_G)

/* Descriptor types, "Code- and Data-Segment Types", "System Descriptor Types" */
#define TYPE_CODE	0x8	/* of a descriptor with VMM_SEG_S */
#define TYPE_TSS16_BUSY	0x3
#define TYPE_TSS32_BUSY	0xb
#define TYPE_LDT	0x2

#define DR6_RESET	0xffff0ff0UL
#define DR7_RESET	0x400UL
/* "Debug Status Register (DR6)": the others are DR6_RESERVED, or read 0 */
#define DR6_WRITABLE	(DR_TRAP_BITS | DR6_BD | DR_STEP | DR_SWITCH)

/* ---- questions ---- */

enum insn_mode vmm_insn_mode(const struct vmm_vcpu *vcpu)
{
	u16 cs = vcpu->segs.seg[VMM_CS].attr;

	if (!(vcpu->ctrl.cr0 & X86_CR0_PE) || (vcpu->regs.rflags & X86_EFLAGS_VM))
		return INSN_MODE_16;
	if ((vcpu->ctrl.efer & EFER_LMA) && (cs & VMM_SEG_L))
		return INSN_MODE_64;
	return (cs & VMM_SEG_DB) ? INSN_MODE_32 : INSN_MODE_16;
}

unsigned int vmm_cpl(const struct vmm_vcpu *vcpu)
{
	if (!(vcpu->ctrl.cr0 & X86_CR0_PE))
		return 0;
	if (vcpu->regs.rflags & X86_EFLAGS_VM)
		return 3;
	return (vcpu->segs.seg[VMM_SS].attr & VMM_SEG_DPL) >> VMM_SEG_DPL_SHIFT;
}

static bool canonical(u64 address, u64 cr4)
{
	unsigned int unused = 64 - (cr4 & X86_CR4_LA57 ? 57 : 48);

	return (u64)((s64)(address << unused) >> unused) == address;
}

bool vmm_canonical(const struct vmm_vcpu *vcpu, u64 address)
{
	return canonical(address, vcpu->ctrl.cr4);
}

bool vmm_canonical_base(const struct vmm_vcpu *vcpu, u64 address)
{
	return canonical(address, vmm_cpuid_cr4_allowed(vcpu));
}

/* ---- checks ---- */

static bool cr0_valid(u64 cr0)
{
	if (cr0 & ~(u64)CR0_VALID)
		return false;
	if ((cr0 & X86_CR0_PG) && !(cr0 & X86_CR0_PE))
		return false;
	return !(cr0 & X86_CR0_NW) || (cr0 & X86_CR0_CD);
}

static bool xcr0_valid(u64 xcr0)
{
	if ((xcr0 & ~vmm_cpuid_xcr0_supported()) || !(xcr0 & XFEATURE_MASK_FP))
		return false;
	if ((xcr0 & XFEATURE_MASK_YMM) && !(xcr0 & XFEATURE_MASK_SSE))
		return false;
	if (xcr0 & XFEATURE_MASK_AVX512)
		return (xcr0 & XFEATURE_MASK_YMM) &&
		       (xcr0 & XFEATURE_MASK_AVX512) == XFEATURE_MASK_AVX512;
	return true;
}

static bool regs_valid(const struct vmm_regs *regs, const struct vmm_ctrl *ctrl)
{
	if ((regs->rflags & ~(u64)RFLAGS_VALID) || !(regs->rflags & X86_EFLAGS_FIXED))
		return false;
	if ((regs->rflags & X86_EFLAGS_VM) && (ctrl->efer & EFER_LMA))
		return false;
	return canonical(regs->rip, ctrl->cr4);
}

static bool ctrl_valid(const struct vmm_vcpu *vcpu, const struct vmm_ctrl *ctrl)
{
	bool paging = ctrl->cr0 & X86_CR0_PG;
	bool lma = ctrl->efer & EFER_LMA;

	if (!cr0_valid(ctrl->cr0) || !xcr0_valid(ctrl->xcr0) || ctrl->cr8 > 15)
		return false;
	if ((ctrl->cr4 & ~vmm_cpuid_cr4_allowed(vcpu)) ||
	    (ctrl->efer & ~(vmm_cpuid_efer_allowed(vcpu) | EFER_LMA)))
		return false;
	if (lma != (paging && (ctrl->efer & EFER_LME)))
		return false;
	if (lma && !(ctrl->cr4 & X86_CR4_PAE))
		return false;
	if ((ctrl->cr4 & X86_CR4_PCIDE) && !lma)
		return false;
	return !(ctrl->cr3 >> vmm_cpuid_phys_bits(vcpu));
}

static bool limit_valid(const struct vmm_segment *seg)
{
	if (seg->attr & VMM_SEG_G)
		return (seg->limit & 0xfff) == 0xfff;
	return seg->limit <= 0xfffff;
}

static bool seg_valid(const struct vmm_segment *seg)
{
	if (seg->attr & ~SEG_VALID)
		return false;
	return (seg->attr & VMM_SEG_UNUSABLE) || limit_valid(seg);
}

static bool usable(const struct vmm_segment *seg)
{
	return !(seg->attr & VMM_SEG_UNUSABLE);
}

static bool cs_valid(const struct vmm_segment *cs, const struct vmm_ctrl *ctrl)
{
	if (!usable(cs) || !(cs->attr & VMM_SEG_P) || !(cs->attr & VMM_SEG_S))
		return false;
	/* Real mode loads it as data, and it stays so until the first far jump. */
	if (!(cs->attr & TYPE_CODE) && (ctrl->efer & EFER_LMA))
		return false;
	return !(ctrl->efer & EFER_LMA) || !(cs->attr & VMM_SEG_L) || !(cs->attr & VMM_SEG_DB);
}

static bool tr_valid(const struct vmm_segment *tr, const struct vmm_ctrl *ctrl)
{
	u8 type = tr->attr & VMM_SEG_TYPE;

	if (!usable(tr) || (tr->attr & VMM_SEG_S) || !(tr->attr & VMM_SEG_P))
		return false;
	return type == TYPE_TSS32_BUSY || (type == TYPE_TSS16_BUSY && !(ctrl->efer & EFER_LMA));
}

static bool ldtr_valid(const struct vmm_segment *ldtr)
{
	return !usable(ldtr) ||
	       (ldtr->attr & (VMM_SEG_S | VMM_SEG_TYPE | VMM_SEG_P)) == (TYPE_LDT | VMM_SEG_P);
}

static bool segs_valid(const struct vmm_vcpu *vcpu, const struct vmm_segs *segs,
		       const struct vmm_ctrl *ctrl)
{
	int i;

	for (i = 0; i < VMM_NR_SREG; i++)
		if (!seg_valid(&segs->seg[i]) || !vmm_canonical_base(vcpu, segs->seg[i].base))
			return false;
	for (i = 0; i < VMM_LDTR; i++)
		if (usable(&segs->seg[i]) && !(segs->seg[i].attr & VMM_SEG_S))
			return false;
	if (!cs_valid(&segs->seg[VMM_CS], ctrl) || !tr_valid(&segs->seg[VMM_TR], ctrl) ||
	    !ldtr_valid(&segs->seg[VMM_LDTR]))
		return false;
	if (memchr_inv(segs->gdt.pad, 0, sizeof(segs->gdt.pad)) ||
	    memchr_inv(segs->idt.pad, 0, sizeof(segs->idt.pad)))
		return false;
	return vmm_canonical_base(vcpu, segs->gdt.base) && vmm_canonical_base(vcpu, segs->idt.base);
}

/* Exceptions that push an error code; guests have no CET and no encrypted state. */
#define ERROR_VECTORS (BIT(X86_TRAP_DF) | BIT(X86_TRAP_TS) | BIT(X86_TRAP_NP) | BIT(X86_TRAP_SS) | \
		       BIT(X86_TRAP_GP) | BIT(X86_TRAP_PF) | BIT(X86_TRAP_AC))

static bool event_valid(const struct vmm_event *event)
{
	bool error = event->flags & VMM_EVENT_HAS_ERROR;

	if ((event->flags & ~VMM_EVENT_HAS_ERROR) || event->length > INSN_MAX_LENGTH ||
	    (!error && event->error) || event->error > U16_MAX)
		return false;
	switch (event->type) {
	case VMM_EVENT_NONE:
		return !event->vector && !error && !event->length;
	case VMM_EVENT_EXCEPTION:
		if (event->vector > 31 || event->vector == X86_TRAP_NMI)
			return false;
		return !error || (BIT(event->vector) & ERROR_VECTORS);
	case VMM_EVENT_NMI:
		return event->vector == X86_TRAP_NMI && !error;
	case VMM_EVENT_INTR:
	case VMM_EVENT_SOFT_INT:
		return !error;
	default:
		return false;
	}
}

/* The section EVENT */
static bool delivery_valid(const struct vmm_events *events)
{
	if ((events->shadow != 0 && events->shadow != VMM_SHADOW_STI &&
	     events->shadow != VMM_SHADOW_MOV_SS) || events->nmi_masked > 1)
		return false;
	return event_valid(&events->event);
}

static bool events_valid(const struct vmm_events *events)
{
	if (memchr_inv(events->pad, 0, sizeof(events->pad)) ||
	    events->nmi_pending > 2 || events->mp_state > VMM_MP_WAIT_SIPI ||
	    (events->init & ~(VMM_INIT_PENDING | VMM_SIPI_PENDING)) || events->kicked > 1 ||
	    (events->sipi_vector && !(events->init & VMM_SIPI_PENDING)) || events->pad0)
		return false;
	return delivery_valid(events);
}

static bool debug_valid(const struct vmm_debug *debug)
{
	return !(debug->dr6 >> 32) && !(debug->dr7 >> 32);
}

/*
 * Sections of @mask are judged by the CTRL among them, or by the one there is. Those
 * not in @mask may come later, so they are not judged by a new CTRL: what does not
 * fit together in the end is VMM_EXIT_FAIL_ENTRY.
 */
static bool state_valid(struct vmm_vcpu *vcpu, u64 mask, const struct vmm_state *state)
{
	const struct vmm_ctrl *ctrl = &vcpu->ctrl;

	if (mask & VMM_STATE_CTRL) {
		ctrl = &state->ctrl;
		if (!ctrl_valid(vcpu, ctrl))
			return false;
	}
	if ((mask & VMM_STATE_REGS) && !regs_valid(&state->regs, ctrl))
		return false;
	if ((mask & VMM_STATE_SEGS) && !segs_valid(vcpu, &state->segs, ctrl))
		return false;
	if ((mask & VMM_STATE_DEBUG) && !debug_valid(&state->debug))
		return false;
	if ((mask & VMM_STATE_EVENTS) && !events_valid(&state->events))
		return false;
	if ((mask & VMM_STATE_EVENT) && !delivery_valid(&state->events))
		return false;
	if ((mask & VMM_STATE_LAPIC) && vmm_apic_check_state(vcpu, &state->lapic))
		return false;
	return !(mask & VMM_STATE_TSC) ||
	       !memchr_inv(state->tsc.pad, 0, sizeof(state->tsc.pad));
}

/* ---- get and set ---- */

static void get_events(struct vmm_vcpu *vcpu, struct vmm_events *events)
{
	*events = (struct vmm_events) {
		.nmi_pending = atomic_read(&vcpu->nmi_pending),
		.nmi_masked = vcpu->nmi_masked,
		.shadow = vcpu->shadow,
		.mp_state = vcpu->mp_state,
		.kicked = READ_ONCE(vcpu->kicked),
	};
	/* Of an event that was delivered only the type is cleared. */
	if (vcpu->event.type != VMM_EVENT_NONE)
		events->event = vcpu->event;
	vmm_apic_get_init(vcpu, events);
}

static void set_event(struct vmm_vcpu *vcpu, const struct vmm_events *events)
{
	vcpu->event = events->event;
	vcpu->shadow = events->shadow;
	vcpu->nmi_masked = events->nmi_masked;
	vcpu->triple_fault = false;
}

static void set_events(struct vmm_vcpu *vcpu, const struct vmm_events *events)
{
	set_event(vcpu, events);
	atomic_set(&vcpu->nmi_pending, events->nmi_pending);
	WRITE_ONCE(vcpu->mp_state, events->mp_state);
	WRITE_ONCE(vcpu->kicked, events->kicked);
}

/* Messages that wait are no part of what a reset sets. */
static void restore_events(struct vmm_vcpu *vcpu, const struct vmm_events *events)
{
	set_events(vcpu, events);
	vmm_apic_set_init(vcpu, events);
}

/* What the cache has under another name, or elsewhere. */
static u64 cached(u64 mask)
{
	if (mask & VMM_STATE_EVENT)
		mask |= VMM_STATE_EVENTS;
	return mask & ~(VMM_STATE_LAPIC | VMM_STATE_EVENT | VMM_STATE_TSC);
}

void vmm_get_pdptes(struct vmm_vcpu *vcpu, u64 pdpte[4])
{
	const struct vmm_ctrl *ctrl = &vcpu->ctrl;
	const size_t size = sizeof(ctrl->pdpte);

	memset(pdpte, 0, size);
	if (!vmm_pae_paging(ctrl))
		return;
	if (vmm_caps.pdpte_registers)
		memcpy(pdpte, ctrl->pdpte, size);
	else if (vmm_guest_read(vcpu->vm, ctrl->cr3 & CR3_PDPT, pdpte, size))
		memset(pdpte, 0, size);
}

void vmm_state_get(struct vmm_vcpu *vcpu, u64 mask, struct vmm_state *state)
{
	vmm_pull(vcpu, cached(mask));
	if (mask & VMM_STATE_REGS)
		state->regs = vcpu->regs;
	if (mask & VMM_STATE_SEGS)
		state->segs = vcpu->segs;
	if (mask & VMM_STATE_CTRL) {
		state->ctrl = vcpu->ctrl;
		state->ctrl.cr8 = vmm_apic_get_cr8(vcpu);
		vmm_get_pdptes(vcpu, state->ctrl.pdpte);
	}
	if (mask & VMM_STATE_DEBUG)
		state->debug = vcpu->debug;
	if (mask & (VMM_STATE_EVENTS | VMM_STATE_EVENT))
		get_events(vcpu, &state->events);
	if (mask & VMM_STATE_LAPIC)
		vmm_apic_get_state(vcpu, &state->lapic);
	if (mask & VMM_STATE_TSC)
		state->tsc = (struct vmm_tsc) { .offset = vmm_tsc_own(vcpu) };
}

int vmm_state_set(struct vmm_vcpu *vcpu, u64 mask, const struct vmm_state *state)
{
	/* What is replaced as a whole and what the checks look at. */
	vmm_pull(vcpu, VMM_STATE_CTRL | cached(mask));
	if (!state_valid(vcpu, mask, state))
		return -EINVAL;

	if (mask & VMM_STATE_REGS)
		vcpu->regs = state->regs;
	if (mask & VMM_STATE_SEGS)
		vcpu->segs = state->segs;
	/* Before the deadline that is compared with it. */
	if (mask & VMM_STATE_TSC)
		vmm_tsc_move(vcpu, state->tsc.offset - vmm_tsc_own(vcpu));
	if (mask & VMM_STATE_LAPIC)
		vmm_apic_set_state(vcpu, &state->lapic);
	if (mask & VMM_STATE_CTRL) {
		vcpu->ctrl = state->ctrl;
		vcpu->ctrl.cr0 |= X86_CR0_ET;
		/* A write makes the low half of TPR 0. */
		if (!(mask & VMM_STATE_LAPIC) && state->ctrl.cr8 != vmm_apic_get_cr8(vcpu))
			vmm_apic_set_cr8(vcpu, state->ctrl.cr8);
		vmm_ops->set_intercepts(vcpu);
		vmm_mmu_reload(vcpu, true);
	}
	if (mask & VMM_STATE_DEBUG)
		vcpu->debug = state->debug;
	if (mask & VMM_STATE_EVENTS)
		restore_events(vcpu, &state->events);
	else if (mask & VMM_STATE_EVENT)
		set_event(vcpu, &state->events);
	vmm_dirty(vcpu, cached(mask));
	return 0;
}

/* ---- reset ---- */

static void reset_segs(struct vmm_segs *segs)
{
	static const struct vmm_segment data = {
		.limit = 0xffff,
		.attr = VMM_SEG_P | VMM_SEG_S | 0x3,	/* read, write, accessed */
	};
	int i;

	for (i = 0; i < VMM_LDTR; i++)
		segs->seg[i] = data;
	segs->seg[VMM_CS] = (struct vmm_segment) {
		.base = 0xffff0000,
		.limit = 0xffff,
		.selector = 0xf000,
		.attr = VMM_SEG_P | VMM_SEG_S | TYPE_CODE | 0x3,
	};
	segs->seg[VMM_LDTR] = (struct vmm_segment) {
		.limit = 0xffff,
		.attr = VMM_SEG_P | TYPE_LDT,
	};
	segs->seg[VMM_TR] = (struct vmm_segment) {
		.limit = 0xffff,
		.attr = VMM_SEG_P | TYPE_TSS32_BUSY,
	};
	segs->gdt = (struct vmm_table) { .limit = 0xffff };
	segs->idt = (struct vmm_table) { .limit = 0xffff };
}

/* "Processor State After Reset" */
void vmm_state_reset(struct vmm_vcpu *vcpu)
{
	u32 signature[4] = {};

	vmm_cpuid_leaf(vcpu, 1, 0, signature);
	vcpu->regs = (struct vmm_regs) {
		.rdx = signature[0],
		.rip = 0xfff0,
		.rflags = X86_EFLAGS_FIXED,
	};
	reset_segs(&vcpu->segs);
	vcpu->ctrl = (struct vmm_ctrl) {
		.cr0 = X86_CR0_CD | X86_CR0_NW | X86_CR0_ET,
		.xcr0 = XFEATURE_MASK_FP,
	};
	vcpu->debug = (struct vmm_debug) {
		.dr6 = DR6_RESET,
		.dr7 = DR7_RESET,
	};
	set_events(vcpu, &(const struct vmm_events) { .mp_state = vcpu->mp_state });
	vcpu->pending = VMM_PENDING_NONE;
	vcpu->have = cached(VMM_STATE_ALL) | VMM_STATE_CS;
	vmm_dirty(vcpu, cached(VMM_STATE_ALL));
	vmm_ops->set_intercepts(vcpu);
	vmm_mmu_reload(vcpu, true);
}

/* ---- the guest's own writes ---- */

static void ctrl_changed(struct vmm_vcpu *vcpu, bool flush)
{
	vmm_dirty(vcpu, VMM_STATE_CTRL);
	vmm_ops->set_intercepts(vcpu);
	if (flush)
		vmm_mmu_reload(vcpu, true);
}

/* Bits of PAE's top entries that must be 0 if the entry is present */
static u64 pdpte_reserved(const struct vmm_vcpu *vcpu)
{
	return GENMASK_ULL(63, vmm_cpuid_phys_bits(vcpu)) | GENMASK_ULL(8, 5) | GENMASK_ULL(2, 1);
}

/*
 * @ctrl: as the registers are about to be. Where the CPU has PAE's top table in
 * registers, fill them from memory. -EINVAL: #GP. [sleep]
 */
static int load_pdptes(struct vmm_vcpu *vcpu, struct vmm_ctrl *ctrl)
{
	int i;

	if (!vmm_caps.pdpte_registers || !vmm_pae_paging(ctrl))
		return 0;
	if (vmm_guest_read(vcpu->vm, ctrl->cr3 & CR3_PDPT, ctrl->pdpte, sizeof(ctrl->pdpte)))
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(ctrl->pdpte); i++)
		if ((ctrl->pdpte[i] & _PAGE_PRESENT) && (ctrl->pdpte[i] & pdpte_reserved(vcpu)))
			return -EINVAL;
	return 0;
}

int vmm_set_cr0(struct vmm_vcpu *vcpu, u64 value)
{
	struct vmm_ctrl new, *ctrl = &vcpu->ctrl;
	u64 changed, efer;

	vmm_pull(vcpu, VMM_STATE_CTRL | VMM_STATE_CS);
	/* Bits 63:32 raise #GP, other reserved bits are ignored. */
	if (value >> 32)
		return -EINVAL;
	value = (value & CR0_VALID) | X86_CR0_ET;
	if (!cr0_valid(value))
		return -EINVAL;
	changed = value ^ ctrl->cr0;
	efer = ctrl->efer;
	if ((changed & X86_CR0_PG) && (efer & EFER_LME)) {
		bool long_code = vcpu->segs.seg[VMM_CS].attr & VMM_SEG_L;

		if ((value & X86_CR0_PG) && (!(ctrl->cr4 & X86_CR4_PAE) || long_code))
			return -EINVAL;
		if (!(value & X86_CR0_PG) && ((ctrl->cr4 & X86_CR4_PCIDE) || long_code))
			return -EINVAL;
		efer ^= EFER_LMA;
	}
	new = *ctrl;
	new.cr0 = value;
	new.efer = efer;
	if ((changed & CR0_PDPTE) && load_pdptes(vcpu, &new))
		return -EINVAL;
	*ctrl = new;
	ctrl_changed(vcpu, changed & CR0_PAGING);
	return 0;
}

/*
 * With shadow paging, where the hardware has another one; else only while the CPU runs
 * with other tables than the guest's.
 */
int vmm_set_cr3(struct vmm_vcpu *vcpu, u64 value)
{
	struct vmm_ctrl new, *ctrl = &vcpu->ctrl;

	vmm_pull(vcpu, VMM_STATE_CTRL);
	/* To keep what is cached would be allowed, and is not done. */
	if (ctrl->cr4 & X86_CR4_PCIDE)
		value &= ~CR3_KEEP;
	if (value >> vmm_cpuid_phys_bits(vcpu))
		return -EINVAL;
	new = *ctrl;
	new.cr3 = value;
	if (load_pdptes(vcpu, &new))
		return -EINVAL;
	*ctrl = new;
	if (vmm_vcpu_nested(vcpu))
		vmm_dirty(vcpu, VMM_STATE_CTRL);
	vmm_mmu_reload(vcpu, false);
	return 0;
}

int vmm_set_cr4(struct vmm_vcpu *vcpu, u64 value)
{
	struct vmm_ctrl new, *ctrl = &vcpu->ctrl;
	u64 changed;

	vmm_pull(vcpu, VMM_STATE_CTRL);
	changed = value ^ ctrl->cr4;
	if (value & ~vmm_cpuid_cr4_allowed(vcpu))
		return -EINVAL;
	if (ctrl->efer & EFER_LMA) {
		if (!(value & X86_CR4_PAE) || (changed & X86_CR4_LA57))
			return -EINVAL;
	} else if (value & X86_CR4_PCIDE) {
		return -EINVAL;
	}
	if ((changed & value & X86_CR4_PCIDE) && (ctrl->cr3 & CR4_IN_CR3_LOW))
		return -EINVAL;
	new = *ctrl;
	new.cr4 = value;
	if ((changed & CR4_PDPTE) && load_pdptes(vcpu, &new))
		return -EINVAL;
	*ctrl = new;
	ctrl_changed(vcpu, changed & CR4_PAGING);
	return 0;
}

int vmm_set_efer(struct vmm_vcpu *vcpu, u64 value)
{
	struct vmm_ctrl *ctrl = &vcpu->ctrl;
	u64 changed;

	vmm_pull(vcpu, VMM_STATE_CTRL);
	/* LMA cannot be written: what the guest gives for it is ignored. */
	value = (value & ~(u64)EFER_LMA) | (ctrl->efer & EFER_LMA);
	if (value & ~(vmm_cpuid_efer_allowed(vcpu) | EFER_LMA))
		return -EINVAL;
	changed = value ^ ctrl->efer;
	if ((changed & EFER_LME) && (ctrl->cr0 & X86_CR0_PG))
		return -EINVAL;
	ctrl->efer = value;
	ctrl_changed(vcpu, changed & EFER_NX);
	return 0;
}

/* DR7: "Debug Control Register"; bits that read as 0 and as 1 */
#define DR7_ALWAYS_0	0xd000ULL
#define DR7_ALWAYS_1	0x0400ULL

int vmm_set_dr7(struct vmm_vcpu *vcpu, u64 value)
{
	if (value >> 32)
		return -EINVAL;
	vmm_pull(vcpu, VMM_STATE_DEBUG);
	vcpu->debug.dr7 = (value & ~DR7_ALWAYS_0) | DR7_ALWAYS_1;
	vmm_dirty(vcpu, VMM_STATE_DEBUG);
	return 0;
}

int vmm_set_dr(struct vmm_vcpu *vcpu, u8 dr, u64 value)
{
	if (dr == 5 || dr == 7)
		return vmm_set_dr7(vcpu, value);
	if (dr < 4) {
		vcpu->debug.dr[dr] = value;
		return 0;
	}
	if (value >> 32)
		return -EINVAL;
	vcpu->debug.dr6 = (value & DR6_WRITABLE) | DR6_RESERVED;
	vmm_dirty(vcpu, VMM_STATE_DEBUG);
	return 0;
}

u64 vmm_get_dr(const struct vmm_vcpu *vcpu, u8 dr)
{
	if (dr < 4)
		return vcpu->debug.dr[dr];
	return dr & 1 ? vcpu->debug.dr7 : vcpu->debug.dr6;
}

int vmm_set_xcr0(struct vmm_vcpu *vcpu, u64 value)
{
	vmm_pull(vcpu, VMM_STATE_CTRL);
	if (!xcr0_valid(value))
		return -EINVAL;
	vcpu->ctrl.xcr0 = value;
	return 0;
}
