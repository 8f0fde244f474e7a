// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A run of instructions in a mode that the CPU cannot run: real mode, big real mode,
 * and the few instructions around the switches to and from protected mode.
 *
 * Which modes those are is the kernel's to know. So a stretch ends, and the kernel is
 * asked again, behind every instruction that may have led out of them: a write of a
 * control register, a segment loaded in protected mode. It ends as well where an
 * interrupt that waits could be taken from now on, before an instruction that is the
 * kernel's, and when the thread is wanted elsewhere.
 */
#include "emul.h"

static bool interruptible(const struct emul_ctx *ctx)
{
	return (ctx->regs.rflags & EMUL_IF) && !ctx->shadow;
}

/* Has anything to be told to the kernel before the next instruction? */
static bool must_stop(const struct emul_ctx *ctx, bool was_interruptible)
{
	return ctx->stop || (interruptible(ctx) && !was_interruptible) ||
	       ctx->env->interrupted(ctx->data);
}

enum emul_status emul_stretch(struct emul_ctx *ctx, unsigned int budget)
{
	enum emul_status status;
	bool progress = false;

	while (budget--) {
		bool was_interruptible = interruptible(ctx);

		if (ctx->event.type != VMM_EVENT_NONE)
			status = emul_deliver(ctx);
		else
			status = emul_step(ctx);
		/* A fault is delivered by the next turn, or is the kernel's at the end. */
		if (status == EMUL_FAULT)
			status = EMUL_OK;
		if (status == EMUL_UNSUPPORTED || status == EMUL_KERNEL)
			return progress ? EMUL_OK : EMUL_UNSUPPORTED;
		if (status || must_stop(ctx, was_interruptible))
			return status;
		progress = true;
	}
	return EMUL_OK;
}
