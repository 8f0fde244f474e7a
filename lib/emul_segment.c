// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Segment registers: in real mode a selector is a paragraph's number and the rest
 * of the register stays, which is what makes big real mode; in protected mode it
 * names a descriptor, which is checked as "Protection" wants and marked accessed.
 *
 * Not here: gates and task-state segments as the target of a jump, transfers to
 * another privilege level, virtual-8086 mode. They are EMUL_UNSUPPORTED.
 */
#include "emul.h"

#define SELECTOR_RPL	3u
#define SELECTOR_LOCAL	4u
#define SELECTOR_INDEX	0xfff8u

#define TYPE_LDT	2
#define TYPE_TSS16	1
#define TYPE_TSS32	9
#define TYPE_BUSY	2	/* of a TSS */

/* A descriptor as read from its table. */
struct descriptor {
	uint64_t raw;
	uint64_t linear;	/* where it is */
	struct vmm_segment seg;
};

static unsigned int dpl(const struct vmm_segment *seg)
{
	return (seg->attr & VMM_SEG_DPL) >> VMM_SEG_DPL_SHIFT;
}

static bool null(uint16_t selector)
{
	return !(selector & ~SELECTOR_RPL);
}

static enum emul_status selector_fault(struct emul_ctx *ctx, unsigned int vector,
				       uint16_t selector)
{
	return emul_raise_error(ctx, vector, (selector & ~SELECTOR_RPL) | ctx->external);
}

static struct vmm_segment decode(uint16_t selector, uint64_t raw)
{
	struct vmm_segment seg = {
		.base = (raw >> 16 & 0xffffff) | (raw >> 56) << 24,
		.limit = (raw & 0xffff) | (raw >> 32 & 0xf0000),
		.selector = selector,
		.attr = raw >> 40 & (VMM_SEG_TYPE | VMM_SEG_S | VMM_SEG_DPL | VMM_SEG_P |
				     VMM_SEG_AVL | VMM_SEG_L | VMM_SEG_DB | VMM_SEG_G),
	};

	if (seg.attr & VMM_SEG_G)
		seg.limit = seg.limit << 12 | 0xfff;
	return seg;
}

static enum emul_status read_descriptor(struct emul_ctx *ctx, uint16_t selector,
					struct descriptor *d)
{
	const struct vmm_segment *ldtr = &ctx->segs.seg[VMM_LDTR];
	bool local = selector & SELECTOR_LOCAL;
	uint64_t base = local ? ldtr->base : ctx->segs.gdt.base;
	uint32_t limit = local ? ldtr->limit : ctx->segs.gdt.limit;
	enum emul_status status;

	if ((local && (ldtr->attr & VMM_SEG_UNUSABLE)) || (selector | 7u) > limit)
		return selector_fault(ctx, EMUL_VECTOR_GP, selector);
	d->linear = base + (selector & SELECTOR_INDEX);
	status = emul_read_system(ctx, d->linear, &d->raw, sizeof(d->raw));
	if (!status)
		d->seg = decode(selector, d->raw);
	return status;
}

/* Set bits of the type, in the table as in what was read from it. */
static enum emul_status mark(struct emul_ctx *ctx, struct descriptor *d, uint8_t bits)
{
	uint8_t old = d->raw >> 40, new = old | bits;
	struct emul_span span;
	enum emul_status status;

	d->seg.attr |= bits;
	if (old == new)
		return EMUL_OK;
	status = emul_resolve_system(ctx, d->linear + 5, sizeof(new), VMM_ACCESS_WRITE, &span);
	return status ? status : emul_replace(ctx, &span, &old, &new);
}

/* ---- data ---- */

static enum emul_status check_stack(struct emul_ctx *ctx, const struct vmm_segment *seg)
{
	uint16_t attr = seg->attr;

	if ((seg->selector & SELECTOR_RPL) != ctx->cpl || dpl(seg) != ctx->cpl ||
	    !(attr & VMM_SEG_S) || (attr & EMUL_TYPE_CODE) || !(attr & EMUL_TYPE_WRITE))
		return selector_fault(ctx, EMUL_VECTOR_GP, seg->selector);
	if (!(attr & VMM_SEG_P))
		return selector_fault(ctx, EMUL_VECTOR_SS, seg->selector);
	return EMUL_OK;
}

static enum emul_status check_data(struct emul_ctx *ctx, const struct vmm_segment *seg)
{
	bool code = seg->attr & EMUL_TYPE_CODE;
	bool conforming = code && (seg->attr & EMUL_TYPE_CONFORMING);
	unsigned int rpl = seg->selector & SELECTOR_RPL;

	if (!(seg->attr & VMM_SEG_S) || (code && !(seg->attr & EMUL_TYPE_READ)) ||
	    (!conforming && (rpl > dpl(seg) || ctx->cpl > dpl(seg))))
		return selector_fault(ctx, EMUL_VECTOR_GP, seg->selector);
	if (!(seg->attr & VMM_SEG_P))
		return selector_fault(ctx, EMUL_VECTOR_NP, seg->selector);
	return EMUL_OK;
}

/* No stack without a segment, but 64-bit mode has one below CPL 3. */
static enum emul_status load_null(struct emul_ctx *ctx, enum vmm_sreg sreg, uint16_t selector)
{
	uint16_t level = ctx->cpl << VMM_SEG_DPL_SHIFT;

	if (sreg == VMM_SS && (!ctx->long64 || ctx->cpl == 3 || selector != ctx->cpl))
		return emul_raise_error(ctx, EMUL_VECTOR_GP, ctx->external);
	ctx->segs.seg[sreg] = (struct vmm_segment) {
		.selector = selector,
		.attr = VMM_SEG_UNUSABLE | (sreg == VMM_SS ? level : 0),
	};
	return EMUL_OK;
}

static enum emul_status load_descriptor(struct emul_ctx *ctx, enum vmm_sreg sreg,
					uint16_t selector)
{
	struct descriptor d;
	enum emul_status status;

	if (null(selector))
		return load_null(ctx, sreg, selector);
	status = read_descriptor(ctx, selector, &d);
	if (!status)
		status = sreg == VMM_SS ? check_stack(ctx, &d.seg) : check_data(ctx, &d.seg);
	if (!status)
		status = mark(ctx, &d, EMUL_TYPE_ACCESSED);
	if (!status)
		ctx->segs.seg[sreg] = d.seg;
	return status;
}

/* What protected mode made unusable is a plain segment again. */
static struct vmm_segment real_segment(const struct vmm_segment *old, uint16_t selector)
{
	struct vmm_segment seg = *old;

	if ((seg.attr & VMM_SEG_UNUSABLE) || !(seg.attr & VMM_SEG_P)) {
		seg.limit = UINT16_MAX;
		seg.attr = VMM_SEG_P | VMM_SEG_S | EMUL_TYPE_WRITE | EMUL_TYPE_ACCESSED;
	}
	seg.selector = selector;
	seg.base = (uint32_t)selector << 4;
	return seg;
}

enum emul_status emul_load_segment(struct emul_ctx *ctx, enum vmm_sreg sreg, uint16_t selector)
{
	enum emul_status status = EMUL_OK;

	if (ctx->regs.rflags & EMUL_VM)
		return EMUL_UNSUPPORTED;
	if (emul_protected(ctx))
		status = load_descriptor(ctx, sreg, selector);
	else
		ctx->segs.seg[sreg] = real_segment(&ctx->segs.seg[sreg], selector);
	if (status)
		return status;
	ctx->segs_changed = true;
	ctx->stop |= emul_protected(ctx);
	/* LSS needs no shadow: it loads the pointer as well. */
	if (sreg == VMM_SS && (ctx->insn.mnemonic == ZYDIS_MNEMONIC_MOV ||
			       ctx->insn.mnemonic == ZYDIS_MNEMONIC_POP))
		ctx->new_shadow = VMM_SHADOW_MOV_SS;
	return EMUL_OK;
}

/* LDS and its like: the selector lies behind the offset. */
enum emul_status emul_do_load_far(struct emul_ctx *ctx, unsigned int sreg)
{
	enum emul_status status;
	struct emul_ref dst;
	uint16_t selector;
	uint64_t offset;

	status = emul_open(ctx, 0, VMM_ACCESS_WRITE, &dst);
	if (!status)
		status = emul_load_pointer(ctx, 1, dst.size, &offset, &selector);
	if (!status)
		status = emul_load_segment(ctx, sreg, selector);
	return status ? status : emul_put(ctx, &dst, offset);
}

/* ---- code ---- */

static enum emul_status check_code(struct emul_ctx *ctx, const struct vmm_segment *cs,
				   enum emul_transfer how)
{
	unsigned int rpl = cs->selector & SELECTOR_RPL, target = dpl(cs);
	bool conforming = cs->attr & EMUL_TYPE_CONFORMING, good = false;

	/* Gates and tasks for jumps and calls; nothing at all for the others. */
	if (!(cs->attr & VMM_SEG_S) && how <= EMUL_CALL)
		return EMUL_UNSUPPORTED;
	switch (how) {
	case EMUL_JUMP:
	case EMUL_CALL:
		good = conforming ? target <= ctx->cpl : target == ctx->cpl && rpl <= ctx->cpl;
		break;
	case EMUL_RETURN:
		good = rpl >= ctx->cpl && (conforming ? target <= rpl : target == rpl);
		break;
	case EMUL_GATE:
		good = target <= ctx->cpl;
		break;
	}
	if (!good || !(cs->attr & VMM_SEG_S) || !(cs->attr & EMUL_TYPE_CODE) ||
	    ((ctx->ctrl.efer & EMUL_EFER_LMA) && (cs->attr & VMM_SEG_L) &&
	     (cs->attr & VMM_SEG_DB)))
		return selector_fault(ctx, EMUL_VECTOR_GP, cs->selector);
	if (!(cs->attr & VMM_SEG_P))
		return selector_fault(ctx, EMUL_VECTOR_NP, cs->selector);
	/* To another level: that takes another stack. */
	if ((how == EMUL_RETURN && rpl > ctx->cpl) ||
	    (how == EMUL_GATE && !conforming && target < ctx->cpl))
		return EMUL_UNSUPPORTED;
	return EMUL_OK;
}

static enum emul_status open_descriptor(struct emul_ctx *ctx, uint16_t selector,
					enum emul_transfer how, struct vmm_segment *cs)
{
	struct descriptor d;
	enum emul_status status;

	if (null(selector))
		return emul_raise_error(ctx, EMUL_VECTOR_GP, ctx->external);
	status = read_descriptor(ctx, selector, &d);
	if (!status)
		status = check_code(ctx, &d.seg, how);
	if (!status)
		status = mark(ctx, &d, EMUL_TYPE_ACCESSED);
	*cs = d.seg;
	cs->selector = (selector & ~SELECTOR_RPL) | ctx->cpl;
	return status;
}

enum emul_status emul_open_code(struct emul_ctx *ctx, uint16_t selector, uint64_t offset,
				enum emul_transfer how, struct vmm_segment *cs)
{
	enum emul_status status = EMUL_OK;
	bool wide;

	if (ctx->regs.rflags & EMUL_VM)
		return EMUL_UNSUPPORTED;
	if (emul_protected(ctx))
		status = open_descriptor(ctx, selector, how, cs);
	else
		*cs = real_segment(&ctx->segs.seg[VMM_CS], selector);
	if (status)
		return status;
	wide = (ctx->ctrl.efer & EMUL_EFER_LMA) && (cs->attr & VMM_SEG_L);
	if (wide ? !emul_canonical(ctx, offset) : (uint32_t)offset > cs->limit)
		return emul_raise_error(ctx, EMUL_VECTOR_GP, ctx->external);
	return EMUL_OK;
}

void emul_set_code(struct emul_ctx *ctx, const struct vmm_segment *cs, uint64_t offset)
{
	ctx->segs.seg[VMM_CS] = *cs;
	ctx->segs_changed = true;
	ctx->stop |= emul_protected(ctx);
	/* What comes from 64-bit mode may be wider than where it leads. */
	ctx->next = emul_long64(ctx) ? offset : (uint32_t)offset;
}

/* ---- system segments ---- */

/* In IA-32e mode there are none of 16 bits. */
static bool is_tss(const struct emul_ctx *ctx, const struct vmm_segment *seg)
{
	unsigned int type = seg->attr & (VMM_SEG_TYPE | VMM_SEG_S);

	return type == TYPE_TSS32 || (type == TYPE_TSS16 && !ctx->long64);
}

/*
 * "Segment Descriptor Tables in IA-32e Mode": the second half has the base's upper half, and
 * zeros where a first one has its type.
 */
static enum emul_status read_second_half(struct emul_ctx *ctx, struct descriptor *d)
{
	uint16_t selector = d->seg.selector;
	enum emul_status status;
	uint64_t upper;

	if ((selector | 7u) + sizeof(upper) > ctx->segs.gdt.limit)
		return selector_fault(ctx, EMUL_VECTOR_GP, selector);
	status = emul_read_system(ctx, d->linear + sizeof(d->raw), &upper, sizeof(upper));
	if (status)
		return status;
	d->seg.base |= upper << 32;
	if ((upper >> 40 & (VMM_SEG_TYPE | VMM_SEG_S)) || !emul_canonical(ctx, d->seg.base))
		return selector_fault(ctx, EMUL_VECTOR_GP, selector);
	return EMUL_OK;
}

static enum emul_status load_system_segment(struct emul_ctx *ctx, bool task, uint16_t selector)
{
	enum vmm_sreg sreg = task ? VMM_TR : VMM_LDTR;
	struct descriptor d;
	enum emul_status status;

	/* Vendors differ in what it is in compatibility mode, where no kernel does it. */
	if ((ctx->ctrl.efer & EMUL_EFER_LMA) && !ctx->long64)
		return EMUL_UNSUPPORTED;
	if (null(selector) && task)
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	if (null(selector)) {
		ctx->segs.seg[sreg] = (struct vmm_segment) {
			.selector = selector, .attr = VMM_SEG_UNUSABLE,
		};
		ctx->segs_changed = true;
		return EMUL_OK;
	}
	if (selector & SELECTOR_LOCAL)
		return selector_fault(ctx, EMUL_VECTOR_GP, selector);
	status = read_descriptor(ctx, selector, &d);
	if (!status && ctx->long64)
		status = read_second_half(ctx, &d);
	if (status)
		return status;
	if (task ? !is_tss(ctx, &d.seg) : (d.seg.attr & (VMM_SEG_TYPE | VMM_SEG_S)) != TYPE_LDT)
		return selector_fault(ctx, EMUL_VECTOR_GP, selector);
	if (!(d.seg.attr & VMM_SEG_P))
		return selector_fault(ctx, EMUL_VECTOR_NP, selector);
	status = task ? mark(ctx, &d, TYPE_BUSY) : EMUL_OK;
	if (status)
		return status;
	ctx->segs.seg[sreg] = d.seg;
	ctx->segs_changed = true;
	return EMUL_OK;
}

enum emul_status emul_do_system_segment(struct emul_ctx *ctx, unsigned int op)
{
	bool stores = op == EMUL_SLDT || op == EMUL_STR;
	bool task = op == EMUL_LTR || op == EMUL_STR;
	struct emul_ref ref;
	enum emul_status status;
	uint64_t val;

	if (!emul_protected(ctx))
		return emul_raise(ctx, EMUL_VECTOR_UD);
	if (ctx->cpl && (!stores || (ctx->ctrl.cr4 & EMUL_CR4_UMIP)))
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	status = emul_open(ctx, 0, stores ? VMM_ACCESS_WRITE : VMM_ACCESS_READ, &ref);
	if (status)
		return status;
	if (stores)
		return emul_put(ctx, &ref, ctx->segs.seg[task ? VMM_TR : VMM_LDTR].selector);
	status = emul_get(ctx, &ref, &val);
	return status ? status : load_system_segment(ctx, task, val);
}
