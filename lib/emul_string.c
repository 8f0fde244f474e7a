// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * String instructions, ports included, with and without REP.
 *
 * Each element is a step of its own: once it is done, its change of rSI, rDI and
 * rCX holds, so a fault or an exit in the middle leaves the registers where the CPU
 * would, RIP at the instruction. REP is cut after EMUL_MAX_REP elements.
 */
#include "emul.h"

struct string {
	enum emul_string_op op;
	unsigned int size;		/* of an element, bytes */
	unsigned int address;		/* of rSI, rDI and rCX, bytes */
	enum vmm_sreg segment;		/* of the source */
};

static void advance(struct emul_ctx *ctx, const struct string *s, enum vmm_gpr index)
{
	uint64_t step = ctx->regs.rflags & EMUL_DF ? -(uint64_t)s->size : s->size;

	emul_gpr_write(ctx, index, s->address, ctx->regs.gpr[index] + step);
}

/* The source is at seg:rSI, the destination at ES:rDI. */
static enum emul_status resolve_source(struct emul_ctx *ctx, const struct string *s,
				       struct emul_span *span)
{
	return emul_resolve(ctx, s->segment, emul_gpr_read(ctx, VMM_RSI, s->address), s->size,
			    VMM_ACCESS_READ, span);
}

static enum emul_status resolve_target(struct emul_ctx *ctx, const struct string *s,
				       uint32_t access, struct emul_span *span)
{
	return emul_resolve(ctx, VMM_ES, emul_gpr_read(ctx, VMM_RDI, s->address), s->size,
			    access, span);
}

static enum emul_status step_movs(struct emul_ctx *ctx, const struct string *s)
{
	struct emul_span from, to;
	enum emul_status status;
	uint64_t val = 0;

	status = resolve_source(ctx, s, &from);
	if (!status)
		status = resolve_target(ctx, s, VMM_ACCESS_WRITE, &to);
	if (status)
		return status;
	emul_read(ctx, &from, &val);
	emul_write(ctx, &to, &val);
	advance(ctx, s, VMM_RSI);
	advance(ctx, s, VMM_RDI);
	return EMUL_OK;
}

static void compare(struct emul_ctx *ctx, const struct string *s, uint64_t a, uint64_t b)
{
	uint64_t flags = ctx->regs.rflags;

	emul_alu(EMUL_CMP, s->size, a, b, &flags);
	ctx->regs.rflags = flags;
}

static enum emul_status step_cmps(struct emul_ctx *ctx, const struct string *s)
{
	struct emul_span a, b;
	enum emul_status status;
	uint64_t va = 0, vb = 0;

	/* If both fault, Intel's CPUs tell of the second operand. */
	status = resolve_target(ctx, s, VMM_ACCESS_READ, &b);
	if (!status)
		status = resolve_source(ctx, s, &a);
	if (status)
		return status;
	emul_read(ctx, &a, &va);
	emul_read(ctx, &b, &vb);
	compare(ctx, s, va, vb);
	advance(ctx, s, VMM_RSI);
	advance(ctx, s, VMM_RDI);
	return EMUL_OK;
}

static enum emul_status step_stos(struct emul_ctx *ctx, const struct string *s)
{
	struct emul_span to;
	enum emul_status status = resolve_target(ctx, s, VMM_ACCESS_WRITE, &to);
	uint64_t val = emul_gpr_read(ctx, VMM_RAX, s->size);

	if (status)
		return status;
	emul_write(ctx, &to, &val);
	advance(ctx, s, VMM_RDI);
	return EMUL_OK;
}

static enum emul_status step_lods(struct emul_ctx *ctx, const struct string *s)
{
	struct emul_span from;
	enum emul_status status = resolve_source(ctx, s, &from);
	uint64_t val = 0;

	if (status)
		return status;
	emul_read(ctx, &from, &val);
	emul_gpr_write(ctx, VMM_RAX, s->size, val);
	advance(ctx, s, VMM_RSI);
	return EMUL_OK;
}

static enum emul_status step_scas(struct emul_ctx *ctx, const struct string *s)
{
	struct emul_span with;
	enum emul_status status = resolve_target(ctx, s, VMM_ACCESS_READ, &with);
	uint64_t val = 0;

	if (status)
		return status;
	emul_read(ctx, &with, &val);
	compare(ctx, s, emul_gpr_read(ctx, VMM_RAX, s->size), val);
	advance(ctx, s, VMM_RDI);
	return EMUL_OK;
}

static enum emul_status step_ins(struct emul_ctx *ctx, const struct string *s)
{
	struct emul_span to;
	enum emul_status status = resolve_target(ctx, s, VMM_ACCESS_WRITE, &to);
	uint64_t val = UINT64_MAX;

	if (status)
		return status;
	ctx->env->pio(ctx->data, emul_gpr_read(ctx, VMM_RDX, 2), s->size, false, &val);
	emul_write(ctx, &to, &val);
	advance(ctx, s, VMM_RDI);
	return EMUL_OK;
}

static enum emul_status step_outs(struct emul_ctx *ctx, const struct string *s)
{
	struct emul_span from;
	enum emul_status status = resolve_source(ctx, s, &from);
	uint64_t val = 0;

	if (status)
		return status;
	emul_read(ctx, &from, &val);
	ctx->env->pio(ctx->data, emul_gpr_read(ctx, VMM_RDX, 2), s->size, true, &val);
	advance(ctx, s, VMM_RSI);
	return EMUL_OK;
}

static const struct {
	enum emul_status (*step)(struct emul_ctx *ctx, const struct string *s);
	bool compares;		/* REP goes on only while ZF is as the prefix says */
	bool ports;
} ops[] = {
	[EMUL_MOVS] = { step_movs, false, false },
	[EMUL_CMPS] = { step_cmps, true, false },
	[EMUL_STOS] = { step_stos, false, false },
	[EMUL_LODS] = { step_lods, false, false },
	[EMUL_SCAS] = { step_scas, true, false },
	[EMUL_INS] = { step_ins, false, true },
	[EMUL_OUTS] = { step_outs, false, true },
};

/* The one operand that a prefix can move to another segment is at rSI. */
static enum vmm_sreg source_segment(const struct emul_ctx *ctx)
{
	unsigned int i;

	for (i = 0; i < ctx->insn.operand_count; i++) {
		const ZydisDecodedOperand *op = &ctx->operands[i];

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    ZydisRegisterGetLargestEnclosing(ctx->insn.machine_mode, op->mem.base) ==
		    ZydisRegisterGetLargestEnclosing(ctx->insn.machine_mode, ZYDIS_REGISTER_ESI))
			return emul_segment(op);
	}
	return VMM_DS;
}

/*
 * "REP": what was compared before a fault leaves no flags, as if the instruction had
 * not begun. The same for one that is left in the middle: it does not ask for them.
 */
static enum emul_status repeat(struct emul_ctx *ctx, const struct string *s)
{
	const uint64_t flags = ctx->regs.rflags;
	bool while_zero = ctx->insn.attributes & (ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REP);
	bool traced = ctx->regs.rflags & EMUL_TF;
	unsigned int left = traced ? 1 : EMUL_MAX_REP;
	enum emul_status status;
	uint64_t count = emul_gpr_read(ctx, VMM_RCX, s->address);

	while (count && left--) {
		status = ops[s->op].step(ctx, s);
		if (status)
			return status;
		emul_gpr_write(ctx, VMM_RCX, s->address, --count);
		if (ops[s->op].compares && !!(ctx->regs.rflags & EMUL_ZF) != while_zero)
			return EMUL_OK;
		if (!count)
			return EMUL_OK;
		emul_checkpoint(ctx);
		ctx->done.rflags = flags;
	}
	ctx->element_done = traced && count;
	return count ? EMUL_PARTIAL : EMUL_OK;
}

/* Ports are four bytes wide at most: REX.W changes nothing. */
static unsigned int element_size(const struct emul_ctx *ctx, enum emul_string_op op)
{
	unsigned int size = ctx->insn.operand_width / 8;

	return ops[op].ports && size > 4 ? 4 : size;
}

enum emul_status emul_do_string(struct emul_ctx *ctx, unsigned int op)
{
	const struct string s = {
		.op = op,
		.size = element_size(ctx, op),
		.address = ctx->insn.address_width / 8,
		.segment = source_segment(ctx),
	};
	bool repeated = ctx->insn.attributes &
		(ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);
	enum emul_status status = EMUL_OK;

	/* MOVSD and CMPSD are names of vector instructions as well. */
	if (ctx->insn.meta.category != ZYDIS_CATEGORY_STRINGOP &&
	    ctx->insn.meta.category != ZYDIS_CATEGORY_IOSTRINGOP)
		return op == EMUL_MOVS ? emul_do_sse(ctx, EMUL_SSE_ANY) : EMUL_UNSUPPORTED;
	if (ops[op].ports)
		status = emul_check_port(ctx, emul_gpr_read(ctx, VMM_RDX, 2), s.size);
	if (status)
		return status;
	return repeated ? repeat(ctx, &s) : ops[op].step(ctx, &s);
}
