// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * x87 instructions that look for the unit and set it up: initialisation, control and
 * status word, pending exceptions. Boot code does no arithmetic with it, so there is
 * none here; nor are there the images of FNSTENV and FNSAVE.
 */
#include "emul.h"

/* "x87 FPU Status Word": exception flags, stack fault, summary, busy; codes and top */
#define STATUS_EXCEPTIONS	0x003fu
#define STATUS_SUMMARY		0x0080u
#define STATUS_BUSY		0x8000u
#define STATUS_KEPT		0x7f00u	/* by FNCLEX */

/* "x87 FPU Control Word": masks of exceptions; what can be written; what reads as 1 */
#define CONTROL_MASKS		0x003fu
#define CONTROL_WRITABLE	0x1f3fu
#define CONTROL_ALWAYS		0x0040u

const struct emul_x87 emul_x87_initial = { .control = EMUL_X87_CONTROL };

static enum emul_status available(struct emul_ctx *ctx)
{
	if (ctx->ctrl.cr0 & (EMUL_CR0_EM | EMUL_CR0_TS))
		return emul_raise(ctx, EMUL_VECTOR_NM);
	return EMUL_OK;
}

static enum emul_status io_status(struct emul_ctx *ctx, int ret)
{
	if (!ret)
		return EMUL_OK;
	ctx->error = ret;
	return EMUL_ERROR;
}

static enum emul_status get(struct emul_ctx *ctx, struct emul_x87 *x87)
{
	return io_status(ctx, ctx->env->x87_get(ctx->data, x87));
}

static enum emul_status set(struct emul_ctx *ctx, const struct emul_x87 *x87)
{
	return io_status(ctx, ctx->env->x87_set(ctx->data, x87));
}

/* Without CR0.NE it is an interrupt by way of a pin, which nobody has connected. */
static enum emul_status pending(struct emul_ctx *ctx, const struct emul_x87 *x87)
{
	if (!(x87->status & STATUS_SUMMARY))
		return EMUL_OK;
	return ctx->ctrl.cr0 & EMUL_CR0_NE ? emul_raise(ctx, EMUL_VECTOR_MF) : EMUL_UNSUPPORTED;
}

/* A new control word may unmask exceptions that wait, or mask the last of them. */
static void summarize(struct emul_x87 *x87)
{
	x87->status &= ~(STATUS_SUMMARY | STATUS_BUSY);
	if (x87->status & ~x87->control & STATUS_EXCEPTIONS & CONTROL_MASKS)
		x87->status |= STATUS_SUMMARY | STATUS_BUSY;
}

enum emul_status emul_x87_ready(struct emul_ctx *ctx)
{
	enum emul_status status = available(ctx);
	struct emul_x87 x87;

	if (!status)
		status = get(ctx, &x87);
	return status ? status : pending(ctx, &x87);
}

enum emul_status emul_do_fwait(struct emul_ctx *ctx, unsigned int arg)
{
	const uint64_t both = EMUL_CR0_MP | EMUL_CR0_TS;
	struct emul_x87 x87;
	enum emul_status status;

	(void)arg;
	if ((ctx->ctrl.cr0 & both) == both)
		return emul_raise(ctx, EMUL_VECTOR_NM);
	status = get(ctx, &x87);
	return status ? status : pending(ctx, &x87);
}

/* FNINIT, FNCLEX, FNOP: no operands. */
enum emul_status emul_do_x87(struct emul_ctx *ctx, unsigned int op)
{
	enum emul_status status = available(ctx);
	struct emul_x87 x87;

	if (!status)
		status = op == EMUL_FNINIT ? set(ctx, &emul_x87_initial) : get(ctx, &x87);
	if (status || op == EMUL_FNINIT)
		return status;
	if (op == EMUL_FNOP)
		return pending(ctx, &x87);
	x87.status &= STATUS_KEPT;
	return set(ctx, &x87);
}

/* FNSTCW and FNSTSW */
enum emul_status emul_do_x87_store(struct emul_ctx *ctx, unsigned int op)
{
	enum emul_status status = available(ctx);
	struct emul_x87 x87;
	struct emul_ref dst;

	if (!status)
		status = emul_open(ctx, 0, VMM_ACCESS_WRITE, &dst);
	if (!status)
		status = get(ctx, &x87);
	if (status)
		return status;
	return emul_put(ctx, &dst, op == EMUL_FNSTCW ? x87.control : x87.status);
}

enum emul_status emul_do_fldcw(struct emul_ctx *ctx, unsigned int arg)
{
	enum emul_status status = available(ctx);
	struct emul_x87 x87;
	uint64_t val;

	(void)arg;
	if (!status)
		status = get(ctx, &x87);
	if (!status)
		status = pending(ctx, &x87);
	if (!status)
		status = emul_load(ctx, 0, &val);
	if (status)
		return status;
	x87.control = (val & CONTROL_WRITABLE) | CONTROL_ALWAYS;
	summarize(&x87);
	return set(ctx, &x87);
}
