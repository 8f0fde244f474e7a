// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Plain moves between memory and the low 16 bytes of a vector register. Only the
 * legacy encodings: a VEX one would also change the upper half.
 */
#include <errno.h>
#include <string.h>

#include "emul.h"

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

static bool vector_register(const ZydisDecodedOperand *op, unsigned int *n)
{
	if (op->type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    op->reg.value < ZYDIS_REGISTER_XMM0 || op->reg.value > ZYDIS_REGISTER_XMM15)
		return false;
	*n = op->reg.value - ZYDIS_REGISTER_XMM0;
	return true;
}

static enum emul_status io_status(struct emul_ctx *ctx, int ret)
{
	if (!ret)
		return EMUL_OK;
	ctx->error = ret;
	return EMUL_ERROR;
}

/* Shorter loads clear the rest of the register. */
static enum emul_status load(struct emul_ctx *ctx, unsigned int n, const struct emul_span *span)
{
	uint8_t val[EMUL_MAX_OPERAND] = {};

	emul_read(ctx, span, val);
	return io_status(ctx, ctx->env->xmm_set(ctx->data, n, val));
}

static enum emul_status store(struct emul_ctx *ctx, unsigned int n, const struct emul_span *span)
{
	uint8_t val[EMUL_MAX_OPERAND];
	enum emul_status status = io_status(ctx, ctx->env->xmm_get(ctx->data, n, val));

	return status ? status : emul_write(ctx, span, val);
}

enum emul_status emul_do_sse(struct emul_ctx *ctx, unsigned int arg)
{
	bool stores = ctx->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
	const ZydisDecodedOperand *mem = &ctx->operands[!stores];
	enum emul_status status = check_sse(ctx);
	unsigned int n, size = mem->size / 8;
	struct emul_span span;
	uint64_t offset;

	if (status)
		return status;
	if (mem->type != ZYDIS_OPERAND_TYPE_MEMORY || size > EMUL_MAX_OPERAND ||
	    !vector_register(&ctx->operands[stores], &n))
		return EMUL_UNSUPPORTED;
	offset = emul_offset(ctx, mem);
	/* Segment bases that are no multiple of 16 are the guest's own trouble. */
	if (arg == EMUL_SSE_ALIGNED && offset % EMUL_MAX_OPERAND)
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	status = emul_resolve(ctx, emul_segment(mem), offset, size,
			      stores ? VMM_ACCESS_WRITE : VMM_ACCESS_READ, &span);
	if (status)
		return status;
	return stores ? store(ctx, n, &span) : load(ctx, n, &span);
}
