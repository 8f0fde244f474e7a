// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The stack: one value or a frame of several, pushed as a whole or not at all, and
 * the flags, which travel over it.
 */
#include "emul.h"

#define ENTER_LEVELS	32	/* the nesting is taken modulo that */

/* Bytes of the stack pointer that count. */
static unsigned int stack_size(const struct emul_ctx *ctx)
{
	if (ctx->long64)
		return 8;
	return ctx->segs.seg[VMM_SS].attr & VMM_SEG_DB ? 4 : 2;
}

/* ---- frames ---- */

static enum emul_status resolve_frame(struct emul_ctx *ctx, uint64_t sp, unsigned int size,
				      unsigned int count, uint32_t access,
				      struct emul_span *spans)
{
	uint64_t mask = emul_mask(stack_size(ctx));
	bool down = access & VMM_ACCESS_WRITE;
	enum emul_status status = EMUL_OK;
	unsigned int i, k;

	/* In the order in which the CPU comes to them: it tells of the first that faults. */
	for (i = 0; i < count && !status; i++) {
		k = down ? count - 1 - i : i;
		status = emul_resolve(ctx, VMM_SS, (sp + k * size) & mask, size, access,
				      &spans[k]);
	}
	return status;
}

enum emul_status emul_push_frame(struct emul_ctx *ctx, unsigned int size, const uint64_t *vals,
				 unsigned int count)
{
	struct emul_span spans[EMUL_MAX_FRAME];
	uint64_t sp = ctx->regs.rsp - (uint64_t)size * count;
	enum emul_status status;
	unsigned int i;

	status = resolve_frame(ctx, sp, size, count, VMM_ACCESS_WRITE, spans);
	if (status)
		return status;
	for (i = 0; i < count; i++)
		emul_write(ctx, &spans[count - 1 - i], &vals[i]);
	emul_gpr_write(ctx, VMM_RSP, stack_size(ctx), sp);
	return EMUL_OK;
}

enum emul_status emul_peek_frame(struct emul_ctx *ctx, unsigned int size, uint64_t *vals,
				 unsigned int count)
{
	struct emul_span spans[EMUL_MAX_FRAME];
	enum emul_status status;
	unsigned int i;

	status = resolve_frame(ctx, ctx->regs.rsp, size, count, VMM_ACCESS_READ, spans);
	for (i = 0; i < count && !status; i++) {
		vals[i] = 0;
		status = emul_read(ctx, &spans[i], &vals[i]);
	}
	return status;
}

/* Of the selector's place a word is read; what is on top is read last. */
enum emul_status emul_peek_far(struct emul_ctx *ctx, unsigned int size, uint64_t *vals,
			       unsigned int count)
{
	struct emul_span spans[EMUL_MAX_FRAME];
	enum emul_status status = EMUL_OK;
	unsigned int i;

	for (i = count; i-- && !status; )
		status = resolve_frame(ctx, ctx->regs.rsp + (uint64_t)i * size,
				       i == 1 ? 2 : size, 1, VMM_ACCESS_READ, &spans[i]);
	for (i = 0; i < count && !status; i++) {
		vals[i] = 0;
		status = emul_read(ctx, &spans[i], &vals[i]);
	}
	return status;
}

void emul_drop(struct emul_ctx *ctx, uint64_t bytes)
{
	emul_gpr_write(ctx, VMM_RSP, stack_size(ctx), ctx->regs.rsp + bytes);
}

static unsigned int operand_size(const struct emul_ctx *ctx)
{
	return ctx->insn.operand_width / 8;
}

/* ---- one value ---- */

/*
 * A selector takes the room of an operand. Intel's CPUs access a word of it, but when
 * they push in 64-bit mode.
 */
static unsigned int value_size(const struct emul_ctx *ctx, bool push)
{
	const ZydisDecodedOperand *op = &ctx->operands[0];
	bool selector = !(push && ctx->long64) && op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		op->reg.value >= ZYDIS_REGISTER_ES && op->reg.value <= ZYDIS_REGISTER_GS;

	return selector ? 2 : operand_size(ctx);
}

enum emul_status emul_reserve(struct emul_ctx *ctx, unsigned int size, struct emul_span *span)
{
	return resolve_frame(ctx, ctx->regs.rsp - operand_size(ctx), size, 1, VMM_ACCESS_WRITE,
			     span);
}

/* What is pushed may be a device's: it is read when nothing can fault any more. */
enum emul_status emul_do_push(struct emul_ctx *ctx, unsigned int arg)
{
	enum emul_status status;
	struct emul_span span;
	struct emul_ref src;
	uint64_t val;

	(void)arg;
	status = emul_open(ctx, 0, VMM_ACCESS_READ, &src);
	if (!status)
		status = emul_reserve(ctx, value_size(ctx, true), &span);
	if (!status)
		status = emul_get(ctx, &src, &val);
	if (status)
		return status;
	emul_drop(ctx, -(uint64_t)operand_size(ctx));
	return emul_write(ctx, &span, &val);
}

/* An address that uses the stack pointer is formed after the pop. */
enum emul_status emul_do_pop(struct emul_ctx *ctx, unsigned int arg)
{
	enum emul_status status;
	struct emul_span span;
	struct emul_ref dst;
	uint64_t val = 0;

	(void)arg;
	status = resolve_frame(ctx, ctx->regs.rsp, value_size(ctx, false), 1, VMM_ACCESS_READ,
			       &span);
	if (status)
		return status;
	emul_drop(ctx, operand_size(ctx));
	status = emul_open(ctx, 0, VMM_ACCESS_WRITE, &dst);
	if (!status)
		status = emul_read(ctx, &span, &val);
	return status ? status : emul_put(ctx, &dst, val);
}

/* ---- all registers ---- */

/* rAX, rCX, rDX, rBX, rSP as it was, rBP, rSI, rDI: in the order of their numbers. */
enum emul_status emul_do_pusha(struct emul_ctx *ctx, unsigned int arg)
{
	uint64_t vals[EMUL_MAX_FRAME];
	unsigned int i;

	(void)arg;
	for (i = 0; i < EMUL_MAX_FRAME; i++)
		vals[i] = ctx->regs.gpr[i];
	return emul_push_frame(ctx, operand_size(ctx), vals, EMUL_MAX_FRAME);
}

/* The stack pointer's place in the frame is skipped. */
enum emul_status emul_do_popa(struct emul_ctx *ctx, unsigned int arg)
{
	unsigned int i, size = operand_size(ctx);
	uint64_t vals[EMUL_MAX_FRAME];
	enum emul_status status = emul_peek_frame(ctx, size, vals, EMUL_MAX_FRAME);

	(void)arg;
	if (status)
		return status;
	for (i = 0; i < EMUL_MAX_FRAME; i++)
		if (i != VMM_RSP)
			emul_gpr_write(ctx, i, size, vals[EMUL_MAX_FRAME - 1 - i]);
	emul_drop(ctx, (uint64_t)size * EMUL_MAX_FRAME);
	return EMUL_OK;
}

/* ---- flags ---- */

enum emul_status emul_do_pushf(struct emul_ctx *ctx, unsigned int arg)
{
	uint64_t val = ctx->regs.rflags & ~(EMUL_RF | EMUL_VM);

	(void)arg;
	if (ctx->regs.rflags & EMUL_VM)
		return EMUL_UNSUPPORTED;
	return emul_push_frame(ctx, operand_size(ctx), &val, 1);
}

void emul_set_flags(struct emul_ctx *ctx, unsigned int size, uint64_t val, uint64_t also)
{
	unsigned int iopl = (ctx->regs.rflags & EMUL_IOPL) >> EMUL_IOPL_SHIFT;
	uint64_t mask = EMUL_STATUS | EMUL_TF | EMUL_DF | EMUL_NT | EMUL_AC | EMUL_ID | also;

	if (!ctx->cpl)
		mask |= EMUL_IOPL;
	if (ctx->cpl <= iopl)
		mask |= EMUL_IF;
	if (size == 2)
		mask &= UINT16_MAX;
	ctx->regs.rflags = (ctx->regs.rflags & ~mask) | (val & mask);
}

enum emul_status emul_do_popf(struct emul_ctx *ctx, unsigned int arg)
{
	unsigned int size = operand_size(ctx);
	enum emul_status status;
	uint64_t val;

	(void)arg;
	if (ctx->regs.rflags & EMUL_VM)
		return EMUL_UNSUPPORTED;
	status = emul_peek_frame(ctx, size, &val, 1);
	if (status)
		return status;
	emul_drop(ctx, size);
	emul_set_flags(ctx, size, val, 0);
	return EMUL_OK;
}

/* ---- procedures ---- */

/* The outer procedures' frame pointers, of which the old frame holds copies, and ours. */
static enum emul_status push_levels(struct emul_ctx *ctx, unsigned int size, unsigned int level,
				    uint64_t frame)
{
	uint64_t mask = emul_mask(stack_size(ctx)), from = ctx->regs.rbp, val = 0;
	enum emul_status status = EMUL_OK;
	struct emul_span span;

	while (--level && !status) {
		from -= size;
		status = emul_resolve(ctx, VMM_SS, from & mask, size, VMM_ACCESS_READ, &span);
		if (!status)
			status = emul_read(ctx, &span, &val);
		if (!status)
			status = emul_push_frame(ctx, size, &val, 1);
	}
	return status ? status : emul_push_frame(ctx, size, &frame, 1);
}

enum emul_status emul_do_enter(struct emul_ctx *ctx, unsigned int arg)
{
	unsigned int size = operand_size(ctx), wide = stack_size(ctx);
	uint64_t room, level, frame, old = ctx->regs.rbp;
	struct emul_span span;
	enum emul_status status;

	(void)arg;
	status = emul_load(ctx, 0, &room);
	if (!status)
		status = emul_load(ctx, 1, &level);
	if (!status)
		status = emul_push_frame(ctx, size, &old, 1);
	if (status)
		return status;
	frame = ctx->regs.rsp;
	level %= ENTER_LEVELS;
	if (level)
		status = push_levels(ctx, size, level, frame);
	if (status)
		return status;
	emul_drop(ctx, -(room & UINT16_MAX));
	/* The CPU looks whether the new top may be written. */
	status = emul_resolve(ctx, VMM_SS, emul_gpr_read(ctx, VMM_RSP, wide), size,
			      VMM_ACCESS_WRITE, &span);
	if (status)
		return status;
	emul_gpr_write(ctx, VMM_RBP, size, frame);
	return EMUL_OK;
}

enum emul_status emul_do_leave(struct emul_ctx *ctx, unsigned int arg)
{
	unsigned int size = operand_size(ctx), wide = stack_size(ctx);
	enum emul_status status;
	uint64_t val;

	(void)arg;
	emul_gpr_write(ctx, VMM_RSP, wide, ctx->regs.rbp);
	status = emul_peek_frame(ctx, size, &val, 1);
	if (status)
		return status;
	emul_drop(ctx, size);
	emul_gpr_write(ctx, VMM_RBP, size, val);
	return EMUL_OK;
}
