// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Moves between memory and an MMX register, which is the significand of an x87 register:
 * "MMX State and MMX Register Aliasing". There is no MMX arithmetic here.
 */
#include "emul.h"

static enum emul_status access_register(struct emul_ctx *ctx, unsigned int n, bool write,
					uint64_t *val)
{
	int ret = ctx->env->mmx(ctx->data, n, write, val);

	if (!ret)
		return EMUL_OK;
	ctx->error = ret;
	return EMUL_ERROR;
}

static bool is_mmx(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->reg.value >= ZYDIS_REGISTER_MM0 &&
	       op->reg.value <= ZYDIS_REGISTER_MM7;
}

bool emul_moves_mmx(const struct emul_ctx *ctx)
{
	return is_mmx(&ctx->operands[0]) || is_mmx(&ctx->operands[1]);
}

/* MOVD, MOVQ and MOVNTQ; what MOVD loads is extended with zeros. */
enum emul_status emul_do_mmx(struct emul_ctx *ctx, unsigned int arg)
{
	bool stores = ctx->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
	const ZydisDecodedOperand *reg = &ctx->operands[stores];
	enum emul_status status;
	struct emul_ref ref;
	unsigned int n;
	uint64_t val;

	(void)arg;
	if (ctx->operands[!stores].type != ZYDIS_OPERAND_TYPE_MEMORY || !is_mmx(reg))
		return EMUL_UNSUPPORTED;
	n = reg->reg.value - ZYDIS_REGISTER_MM0;
	if (ctx->ctrl.cr0 & EMUL_CR0_EM)
		return emul_raise(ctx, EMUL_VECTOR_UD);
	status = emul_x87_ready(ctx);
	if (!status)
		status = emul_open(ctx, !stores, stores ? VMM_ACCESS_WRITE : VMM_ACCESS_READ, &ref);
	if (!status)
		status = stores ? access_register(ctx, n, false, &val) : emul_get(ctx, &ref, &val);
	if (status)
		return status;
	return stores ? emul_put(ctx, &ref, val) : access_register(ctx, n, true, &val);
}
