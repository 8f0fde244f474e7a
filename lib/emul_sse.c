// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Plain moves between memory and a vector register. The legacy encodings touch its
 * low 16 bytes only; a VEX one that loads clears what is above its operand. EVEX
 * and masks are EMUL_UNSUPPORTED.
 */
#include <errno.h>
#include <string.h>

#include "emul.h"

#define XMM_SIZE	16

/* The operands of a move, as far as they are not the decoder's. */
struct move {
	const ZydisDecodedOperand *mem;
	unsigned int reg;
	unsigned int size;		/* bytes moved */
	unsigned int written;		/* bytes of the register that a load sets */
	bool stores;
};

static enum emul_status check_sse(struct emul_ctx *ctx)
{
	if (ctx->insn.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return EMUL_UNSUPPORTED;
	if ((ctx->ctrl.cr0 & EMUL_CR0_EM) || !(ctx->ctrl.cr4 & EMUL_CR4_OSFXSR))
		return emul_raise(ctx, EMUL_VECTOR_UD);
	if (ctx->ctrl.cr0 & EMUL_CR0_TS)
		return emul_raise(ctx, EMUL_VECTOR_NM);
	return EMUL_OK;
}

static enum emul_status check_avx(struct emul_ctx *ctx)
{
	if (ctx->insn.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
		return EMUL_UNSUPPORTED;
	/* VEX prefixes are for protected mode. */
	if (!emul_protected(ctx) || !(ctx->ctrl.cr4 & EMUL_CR4_OSXSAVE) ||
	    (ctx->ctrl.xcr0 & EMUL_XCR0_AVX) != EMUL_XCR0_AVX)
		return emul_raise(ctx, EMUL_VECTOR_UD);
	if (ctx->ctrl.cr0 & EMUL_CR0_TS)
		return emul_raise(ctx, EMUL_VECTOR_NM);
	return EMUL_OK;
}

static bool vector_register(const ZydisDecodedOperand *op, unsigned int *n)
{
	if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return false;
	if (op->reg.value >= ZYDIS_REGISTER_XMM0 && op->reg.value <= ZYDIS_REGISTER_XMM15)
		*n = op->reg.value - ZYDIS_REGISTER_XMM0;
	else if (op->reg.value >= ZYDIS_REGISTER_YMM0 && op->reg.value <= ZYDIS_REGISTER_YMM15)
		*n = op->reg.value - ZYDIS_REGISTER_YMM0;
	else
		return false;
	return true;
}

static enum emul_status io_status(struct emul_ctx *ctx, int ret)
{
	if (!ret)
		return EMUL_OK;
	ctx->error = ret;
	return EMUL_ERROR;
}

/* Shorter loads clear the rest of what they set. */
static enum emul_status load(struct emul_ctx *ctx, const struct move *move,
			     const struct emul_span *span)
{
	uint8_t val[EMUL_VECTOR_SIZE] = {};

	emul_read(ctx, span, val);
	return io_status(ctx, ctx->env->vector_set(ctx->data, move->reg, move->written, val));
}

static enum emul_status store(struct emul_ctx *ctx, const struct move *move,
			      const struct emul_span *span)
{
	unsigned int size = move->size > XMM_SIZE ? EMUL_VECTOR_SIZE : XMM_SIZE;
	uint8_t val[EMUL_VECTOR_SIZE];
	enum emul_status status;

	status = io_status(ctx, ctx->env->vector_get(ctx->data, move->reg, size, val));
	return status ? status : emul_write(ctx, span, val);
}

static enum emul_status move(struct emul_ctx *ctx, bool aligned, unsigned int written)
{
	bool stores = ctx->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
	struct move move = {
		.mem = &ctx->operands[!stores],
		.size = ctx->operands[!stores].size / 8,
		.written = written,
		.stores = stores,
	};
	enum emul_status status;
	struct emul_span span;
	enum vmm_sreg seg;
	uint64_t offset;

	if (ctx->insn.operand_count_visible != 2 ||
	    move.mem->type != ZYDIS_OPERAND_TYPE_MEMORY || move.size > EMUL_VECTOR_SIZE ||
	    !vector_register(&ctx->operands[stores], &move.reg))
		return EMUL_UNSUPPORTED;
	offset = emul_offset(ctx, move.mem);
	seg = emul_segment(move.mem);
	if (aligned && emul_linear(ctx, seg, offset) % move.size)
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	status = emul_resolve(ctx, seg, offset, move.size,
			      stores ? VMM_ACCESS_WRITE : VMM_ACCESS_READ, &span);
	if (status)
		return status;
	return stores ? store(ctx, &move, &span) : load(ctx, &move, &span);
}

enum emul_status emul_do_sse(struct emul_ctx *ctx, unsigned int op)
{
	enum emul_status status;

	if (emul_moves_mmx(ctx))
		return emul_do_mmx(ctx, 0);
	status = check_sse(ctx);
	return status ? status : move(ctx, op == EMUL_SSE_ALIGNED, XMM_SIZE);
}

enum emul_status emul_do_avx(struct emul_ctx *ctx, unsigned int op)
{
	enum emul_status status = check_avx(ctx);

	return status ? status : move(ctx, op == EMUL_SSE_ALIGNED, EMUL_VECTOR_SIZE);
}
