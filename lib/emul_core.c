// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One instruction at a time: fetch, decode, look up, carry out, retire.
 *
 * The table of instructions is here and is the list of what is emulated. To run
 * many instructions in a stretch, call emul_step() again while it says EMUL_OK and
 * no event is pending: nothing is kept between two steps but the registers.
 */
#include <string.h>

#include "emul.h"

#define CC(suffix, cc)								\
	[ZYDIS_MNEMONIC_SET##suffix] = { emul_do_setcc, cc },			\
	[ZYDIS_MNEMONIC_CMOV##suffix] = { emul_do_cmov, cc }

static const struct emul_insn instructions[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
	[ZYDIS_MNEMONIC_ADD] = { emul_do_alu, EMUL_ADD },
	[ZYDIS_MNEMONIC_OR] = { emul_do_alu, EMUL_OR },
	[ZYDIS_MNEMONIC_ADC] = { emul_do_alu, EMUL_ADC },
	[ZYDIS_MNEMONIC_SBB] = { emul_do_alu, EMUL_SBB },
	[ZYDIS_MNEMONIC_AND] = { emul_do_alu, EMUL_AND },
	[ZYDIS_MNEMONIC_SUB] = { emul_do_alu, EMUL_SUB },
	[ZYDIS_MNEMONIC_XOR] = { emul_do_alu, EMUL_XOR },
	[ZYDIS_MNEMONIC_CMP] = { emul_do_alu, EMUL_CMP },
	[ZYDIS_MNEMONIC_TEST] = { emul_do_alu, EMUL_TEST },
	[ZYDIS_MNEMONIC_INC] = { emul_do_unary, EMUL_INC },
	[ZYDIS_MNEMONIC_DEC] = { emul_do_unary, EMUL_DEC },
	[ZYDIS_MNEMONIC_NEG] = { emul_do_unary, EMUL_NEG },
	[ZYDIS_MNEMONIC_NOT] = { emul_do_unary, EMUL_NOT },
	[ZYDIS_MNEMONIC_ROL] = { emul_do_shift, EMUL_ROL },
	[ZYDIS_MNEMONIC_ROR] = { emul_do_shift, EMUL_ROR },
	[ZYDIS_MNEMONIC_RCL] = { emul_do_shift, EMUL_RCL },
	[ZYDIS_MNEMONIC_RCR] = { emul_do_shift, EMUL_RCR },
	[ZYDIS_MNEMONIC_SHL] = { emul_do_shift, EMUL_SHL },
	[ZYDIS_MNEMONIC_SHR] = { emul_do_shift, EMUL_SHR },
	[ZYDIS_MNEMONIC_SAR] = { emul_do_shift, EMUL_SAR },
	[ZYDIS_MNEMONIC_IMUL] = { emul_do_multiply, EMUL_SIGN_EXTEND },
	[ZYDIS_MNEMONIC_MUL] = { emul_do_multiply, EMUL_ZERO_EXTEND },

	[ZYDIS_MNEMONIC_MOV] = { emul_do_mov, 0 },
	[ZYDIS_MNEMONIC_MOVNTI] = { emul_do_mov, 0 },
	[ZYDIS_MNEMONIC_MOVZX] = { emul_do_movx, EMUL_ZERO_EXTEND },
	[ZYDIS_MNEMONIC_MOVSX] = { emul_do_movx, EMUL_SIGN_EXTEND },
	[ZYDIS_MNEMONIC_MOVSXD] = { emul_do_movx, EMUL_SIGN_EXTEND },
	[ZYDIS_MNEMONIC_MOVBE] = { emul_do_movbe, 0 },
	[ZYDIS_MNEMONIC_XCHG] = { emul_do_xchg, 0 },
	[ZYDIS_MNEMONIC_XADD] = { emul_do_xadd, 0 },
	[ZYDIS_MNEMONIC_CMPXCHG] = { emul_do_cmpxchg, 0 },
	[ZYDIS_MNEMONIC_CMPXCHG8B] = { emul_do_cmpxchg_pair, 4 },
	[ZYDIS_MNEMONIC_CMPXCHG16B] = { emul_do_cmpxchg_pair, 8 },
	[ZYDIS_MNEMONIC_BT] = { emul_do_bit, EMUL_BT },
	[ZYDIS_MNEMONIC_BTS] = { emul_do_bit, EMUL_BTS },
	[ZYDIS_MNEMONIC_BTR] = { emul_do_bit, EMUL_BTR },
	[ZYDIS_MNEMONIC_BTC] = { emul_do_bit, EMUL_BTC },
	[ZYDIS_MNEMONIC_PUSH] = { emul_do_push, 0 },
	[ZYDIS_MNEMONIC_POP] = { emul_do_pop, 0 },

	CC(O, 0), CC(NO, 1), CC(B, 2), CC(NB, 3), CC(Z, 4), CC(NZ, 5), CC(BE, 6), CC(NBE, 7),
	CC(S, 8), CC(NS, 9), CC(P, 10), CC(NP, 11), CC(L, 12), CC(NL, 13), CC(LE, 14),
	CC(NLE, 15),

	[ZYDIS_MNEMONIC_MOVSB] = { emul_do_string, EMUL_MOVS },
	[ZYDIS_MNEMONIC_MOVSW] = { emul_do_string, EMUL_MOVS },
	[ZYDIS_MNEMONIC_MOVSD] = { emul_do_string, EMUL_MOVS },
	[ZYDIS_MNEMONIC_MOVSQ] = { emul_do_string, EMUL_MOVS },
	[ZYDIS_MNEMONIC_CMPSB] = { emul_do_string, EMUL_CMPS },
	[ZYDIS_MNEMONIC_CMPSW] = { emul_do_string, EMUL_CMPS },
	[ZYDIS_MNEMONIC_CMPSD] = { emul_do_string, EMUL_CMPS },
	[ZYDIS_MNEMONIC_CMPSQ] = { emul_do_string, EMUL_CMPS },
	[ZYDIS_MNEMONIC_STOSB] = { emul_do_string, EMUL_STOS },
	[ZYDIS_MNEMONIC_STOSW] = { emul_do_string, EMUL_STOS },
	[ZYDIS_MNEMONIC_STOSD] = { emul_do_string, EMUL_STOS },
	[ZYDIS_MNEMONIC_STOSQ] = { emul_do_string, EMUL_STOS },
	[ZYDIS_MNEMONIC_LODSB] = { emul_do_string, EMUL_LODS },
	[ZYDIS_MNEMONIC_LODSW] = { emul_do_string, EMUL_LODS },
	[ZYDIS_MNEMONIC_LODSD] = { emul_do_string, EMUL_LODS },
	[ZYDIS_MNEMONIC_LODSQ] = { emul_do_string, EMUL_LODS },
	[ZYDIS_MNEMONIC_SCASB] = { emul_do_string, EMUL_SCAS },
	[ZYDIS_MNEMONIC_SCASW] = { emul_do_string, EMUL_SCAS },
	[ZYDIS_MNEMONIC_SCASD] = { emul_do_string, EMUL_SCAS },
	[ZYDIS_MNEMONIC_SCASQ] = { emul_do_string, EMUL_SCAS },
	[ZYDIS_MNEMONIC_INSB] = { emul_do_string, EMUL_INS },
	[ZYDIS_MNEMONIC_INSW] = { emul_do_string, EMUL_INS },
	[ZYDIS_MNEMONIC_INSD] = { emul_do_string, EMUL_INS },
	[ZYDIS_MNEMONIC_OUTSB] = { emul_do_string, EMUL_OUTS },
	[ZYDIS_MNEMONIC_OUTSW] = { emul_do_string, EMUL_OUTS },
	[ZYDIS_MNEMONIC_OUTSD] = { emul_do_string, EMUL_OUTS },

	[ZYDIS_MNEMONIC_MOVUPS] = { emul_do_sse, EMUL_SSE_ANY },
	[ZYDIS_MNEMONIC_MOVUPD] = { emul_do_sse, EMUL_SSE_ANY },
	[ZYDIS_MNEMONIC_MOVDQU] = { emul_do_sse, EMUL_SSE_ANY },
	[ZYDIS_MNEMONIC_LDDQU] = { emul_do_sse, EMUL_SSE_ANY },
	[ZYDIS_MNEMONIC_MOVAPS] = { emul_do_sse, EMUL_SSE_ALIGNED },
	[ZYDIS_MNEMONIC_MOVAPD] = { emul_do_sse, EMUL_SSE_ALIGNED },
	[ZYDIS_MNEMONIC_MOVDQA] = { emul_do_sse, EMUL_SSE_ALIGNED },
	[ZYDIS_MNEMONIC_MOVNTPS] = { emul_do_sse, EMUL_SSE_ALIGNED },
	[ZYDIS_MNEMONIC_MOVNTPD] = { emul_do_sse, EMUL_SSE_ALIGNED },
	[ZYDIS_MNEMONIC_MOVNTDQ] = { emul_do_sse, EMUL_SSE_ALIGNED },
	[ZYDIS_MNEMONIC_MOVNTDQA] = { emul_do_sse, EMUL_SSE_ALIGNED },
	[ZYDIS_MNEMONIC_MOVD] = { emul_do_sse, EMUL_SSE_ANY },
	[ZYDIS_MNEMONIC_MOVQ] = { emul_do_sse, EMUL_SSE_ANY },
	[ZYDIS_MNEMONIC_MOVSS] = { emul_do_sse, EMUL_SSE_ANY },
};

#undef CC

/* ---- modes ---- */

static bool protected_mode(const struct emul_ctx *ctx)
{
	return ctx->ctrl.cr0 & EMUL_CR0_PE;
}

unsigned int emul_cpl(const struct emul_ctx *ctx)
{
	if (!protected_mode(ctx))
		return 0;
	if (ctx->regs.rflags & EMUL_VM)
		return 3;
	return (ctx->segs.seg[VMM_SS].attr & VMM_SEG_DPL) >> VMM_SEG_DPL_SHIFT;
}

bool emul_long64(const struct emul_ctx *ctx)
{
	return (ctx->ctrl.efer & EMUL_EFER_LMA) && (ctx->segs.seg[VMM_CS].attr & VMM_SEG_L);
}

static ZydisMachineMode machine_mode(const struct emul_ctx *ctx)
{
	bool wide = ctx->segs.seg[VMM_CS].attr & VMM_SEG_DB;

	if (emul_long64(ctx))
		return ZYDIS_MACHINE_MODE_LONG_64;
	if (ctx->ctrl.efer & EMUL_EFER_LMA)
		return wide ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32 : ZYDIS_MACHINE_MODE_LONG_COMPAT_16;
	if (wide)
		return ZYDIS_MACHINE_MODE_LEGACY_32;
	return protected_mode(ctx) ? ZYDIS_MACHINE_MODE_LEGACY_16 : ZYDIS_MACHINE_MODE_REAL_16;
}

static ZydisStackWidth stack_width(const struct emul_ctx *ctx)
{
	if (emul_long64(ctx))
		return ZYDIS_STACK_WIDTH_64;
	return ctx->segs.seg[VMM_SS].attr & VMM_SEG_DB ? ZYDIS_STACK_WIDTH_32 :
							 ZYDIS_STACK_WIDTH_16;
}

/* ---- exceptions ---- */

enum emul_status emul_raise(struct emul_ctx *ctx, unsigned int vector)
{
	ctx->event = (struct vmm_event) { .type = VMM_EVENT_EXCEPTION, .vector = vector };
	return EMUL_FAULT;
}

enum emul_status emul_raise_error(struct emul_ctx *ctx, unsigned int vector, uint32_t error)
{
	emul_raise(ctx, vector);
	if (protected_mode(ctx)) {
		ctx->event.flags = VMM_EVENT_HAS_ERROR;
		ctx->event.error = error;
	}
	return EMUL_FAULT;
}

/* ---- one step ---- */

enum emul_status emul_decode(struct emul_ctx *ctx, bool fetch)
{
	ZydisDecoder decoder;
	enum emul_status status;
	unsigned int len;
	ZyanStatus zyan;

	ctx->long64 = emul_long64(ctx);
	ctx->cpl = emul_cpl(ctx);
	if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, machine_mode(ctx), stack_width(ctx))))
		return EMUL_UNSUPPORTED;
	for (;;) {
		zyan = ZydisDecoderDecodeFull(&decoder, ctx->bytes, ctx->length, &ctx->insn,
					      ctx->operands);
		if (ZYAN_SUCCESS(zyan))
			return EMUL_OK;
		if (!fetch || ctx->length == EMUL_MAX_INSN ||
		    (ctx->length && zyan != ZYDIS_STATUS_NO_MORE_DATA))
			return EMUL_UNSUPPORTED;
		/* Each turn adds a byte at least, so there are EMUL_MAX_INSN at most. */
		len = EMUL_MAX_INSN - ctx->length;
		status = emul_fetch(ctx, ctx->length, ctx->bytes + ctx->length, &len);
		if (status)
			return status;
		ctx->length += len;
	}
}

void emul_checkpoint(struct emul_ctx *ctx)
{
	ctx->done = ctx->regs;
}

static void retire(struct emul_ctx *ctx)
{
	ctx->regs.rip += ctx->insn.length;
	if (!ctx->long64)
		ctx->regs.rip = (uint32_t)ctx->regs.rip;
	ctx->regs.rflags &= ~EMUL_RF;
	emul_checkpoint(ctx);
}

/* What is kept across an exit in the middle and a completed instruction alike. */
static enum emul_status finish(struct emul_ctx *ctx, enum emul_status status, bool traced)
{
	if (status == EMUL_OK)
		retire(ctx);
	if (status == EMUL_FAULT)
		ctx->done.rflags |= EMUL_RF;
	if (traced && (status == EMUL_OK || ctx->element_done)) {
		emul_raise(ctx, EMUL_VECTOR_DB);
		ctx->single_step = true;
	}
	ctx->regs = ctx->done;
	ctx->length = 0;
	return status;
}

enum emul_status emul_step(struct emul_ctx *ctx)
{
	const struct emul_insn *insn;
	bool traced = ctx->regs.rflags & EMUL_TF;
	enum emul_status status;

	emul_checkpoint(ctx);
	ctx->element_done = false;
	memset(ctx->pages, 0, sizeof(ctx->pages));
	status = emul_decode(ctx, true);
	if (status)
		return finish(ctx, status, traced);
	insn = &instructions[ctx->insn.mnemonic];
	status = insn->handle ? insn->handle(ctx, insn->arg) : EMUL_UNSUPPORTED;
	return finish(ctx, status, traced);
}
