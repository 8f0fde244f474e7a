// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One instruction at a time: fetch, decode, look up, carry out, retire.
 *
 * What is emulated is the table in emul_table.c. Nothing is kept between two steps
 * but the registers: emul_real.c makes a stretch of them.
 */
#include <cpuid.h>
#include <stdatomic.h>
#include <string.h>

#include "emul.h"

/* ---- modes ---- */

static bool protected_mode(const struct emul_ctx *ctx)
{
	return ctx->ctrl.cr0 & EMUL_CR0_PE;
}

bool emul_protected(const struct emul_ctx *ctx)
{
	return protected_mode(ctx) && !(ctx->regs.rflags & EMUL_VM);
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

/* CPUID may be an exit of a hypervisor above: once is enough. */
static bool has_lzcnt(void)
{
	static atomic_int known;	/* 0: not asked yet; 1: no; 2: yes */
	unsigned int eax, ebx, ecx, edx;

	if (!known)
		known = __get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) &&
			(ecx & bit_LZCNT) ? 2 : 1;
	return known == 2;
}

/*
 * TZCNT and LZCNT are BSF and BSR on CPUs that lack them, their prefix ignored. The
 * CPU at hand is the one that runs the guest, whatever the guest's CPUID says.
 */
static void match_cpu(ZydisDecoder *decoder)
{
	ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_TZCNT, !!__builtin_cpu_supports("bmi"));
	ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_LZCNT, has_lzcnt());
}

enum emul_status emul_decode(struct emul_ctx *ctx, bool fetch)
{
	ZydisDecoder decoder;
	enum emul_status status;
	unsigned int len;
	ZyanStatus zyan;

	ctx->long64 = emul_long64(ctx);
	ctx->cpl = emul_cpl(ctx);
	ctx->insn.length = 0;
	if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, machine_mode(ctx), stack_width(ctx))))
		return EMUL_UNSUPPORTED;
	match_cpu(&decoder);
	for (;;) {
		zyan = ZydisDecoderDecodeFull(&decoder, ctx->bytes, ctx->length, &ctx->insn,
					      ctx->operands);
		if (ZYAN_SUCCESS(zyan))
			return EMUL_OK;
		ctx->insn.length = 0;
		ctx->too_long = zyan == ZYDIS_STATUS_INSTRUCTION_TOO_LONG ||
			(zyan == ZYDIS_STATUS_NO_MORE_DATA && ctx->length == EMUL_MAX_INSN);
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

void emul_begin(struct emul_ctx *ctx)
{
	emul_checkpoint(ctx);
	ctx->event = (struct vmm_event) {};
	ctx->long64 = emul_long64(ctx);
	ctx->cpl = emul_cpl(ctx);
	ctx->element_done = false;
	ctx->no_trap = false;
	ctx->stop = false;
	ctx->new_shadow = 0;
	ctx->external = 0;
	memset(ctx->pages, 0, sizeof(ctx->pages));
}

/* RIP is as wide as the code segment that it is in says. */
static uint64_t next_rip(const struct emul_ctx *ctx)
{
	uint64_t next = ctx->regs.rip + ctx->insn.length;

	return ctx->long64 ? next : (uint32_t)next;
}

static void retire(struct emul_ctx *ctx)
{
	ctx->regs.rip = ctx->next;
	/* An IRET may have set it, for the instruction that it returns to. */
	if (emul_lookup(ctx->insn.mnemonic)->handle != emul_do_iret)
		ctx->regs.rflags &= ~EMUL_RF;
	ctx->shadow = ctx->new_shadow;
	emul_checkpoint(ctx);
}

/* What is kept across an exit in the middle and a completed instruction alike. */
static enum emul_status finish(struct emul_ctx *ctx, enum emul_status status, bool traced)
{
	if (status == EMUL_OK)
		retire(ctx);
	/* "Instruction-Breakpoint Exception Condition": between two elements it is set as well. */
	if (status == EMUL_FAULT || ctx->element_done)
		ctx->done.rflags |= EMUL_RF;
	if (status == EMUL_FAULT || ctx->element_done)
		ctx->shadow = 0;
	if (traced && !ctx->no_trap && ctx->new_shadow != VMM_SHADOW_MOV_SS &&
	    (status == EMUL_OK || ctx->element_done)) {
		emul_raise(ctx, EMUL_VECTOR_DB);
		ctx->single_step = true;
	}
	ctx->regs = ctx->done;
	ctx->length = 0;
	return status;
}

/*
 * What is no instruction: #UD, or #GP if it is too long for one. In a mode that the CPU
 * runs, it has seen to that itself before the exit.
 */
static enum emul_status no_instruction(struct emul_ctx *ctx)
{
	if (!ctx->whole || ctx->insn.length || !ctx->length)
		return EMUL_UNSUPPORTED;
	if (ctx->too_long)
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	return emul_raise(ctx, EMUL_VECTOR_UD);
}

enum emul_status emul_step(struct emul_ctx *ctx)
{
	const struct emul_insn *insn;
	bool traced = ctx->regs.rflags & EMUL_TF;
	enum emul_status status;

	emul_begin(ctx);
	status = emul_decode(ctx, true);
	if (status == EMUL_UNSUPPORTED)
		status = no_instruction(ctx);
	if (status)
		return finish(ctx, status, traced);
	ctx->next = next_rip(ctx);
	insn = emul_lookup(ctx->insn.mnemonic);
	status = insn ? insn->handle(ctx, insn->arg) : EMUL_UNSUPPORTED;
	return finish(ctx, status, traced);
}
