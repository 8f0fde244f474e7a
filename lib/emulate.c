// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * vmm_emulate(): the emulator's core between a run page and a VM's memory.
 *
 * State comes from the run page or VMM_GET_STATE and goes back through sync_in, so
 * an emulated instruction costs the ioctls of its translations and one more. Control
 * registers go to the vCPU at once: its answer is part of the instruction, and
 * translations that follow depend on them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emul.h"
#include "internal.h"

#define NEEDED	(VMM_STATE_REGS | VMM_STATE_SEGS | VMM_STATE_CTRL | VMM_STATE_EVENT)

#define DR6_TRAPS	0xfull
#define DR6_BS		(1ull << 14)
#define DR7_GD		(1ull << 13)

/*
 * XSAVE area, standard form: the legacy region, the header's XSTATE_BV, and the upper
 * halves of YMM registers, which are the first behind the header on every CPU.
 */
#define XSAVE_FCW	0
#define XSAVE_FSW	2
#define XSAVE_FTW	4
#define XSAVE_MXCSR	24
#define XSAVE_ST	32
#define XSAVE_XMM	160
#define XSAVE_BV	512
#define XSAVE_HEADER	64
#define XSAVE_YMM	(XSAVE_BV + XSAVE_HEADER)
#define XSAVE_HALF	16
#define XSAVE_HALVES	(16 * XSAVE_HALF)
#define XSAVE_BV_X87	1
#define XSAVE_BV_SSE	2
#define XSAVE_BV_AVX	4

#define X87_REGS	8
#define X87_TOP		0x3800u		/* in the status word */
#define X87_TOP_ONE	0x0800u
#define X87_EXPONENT	2		/* bytes, with the sign */

struct session {
	struct vmm_vcpu *vcpu;
	const struct vmm_emul_ops *ops;
	void *opaque;
	bool mark;		/* set accessed and dirty bits */
	struct vmm_state state;	/* as it was; ctrl and debug as the vCPU has them now */
	struct emul_ctx ctx;
};

/* ---- the core's outside ---- */

static int env_ram_read(void *data, uint64_t gpa, void *buf, unsigned int len)
{
	return ram_read(((struct session *)data)->vcpu->vm, gpa, buf, len);
}

static int env_ram_write(void *data, uint64_t gpa, const void *buf, unsigned int len)
{
	return ram_write(((struct session *)data)->vcpu->vm, gpa, buf, len);
}

static int env_ram_replace(void *data, uint64_t gpa, const void *old, const void *new,
			   unsigned int len)
{
	return ram_replace(((struct session *)data)->vcpu->vm, gpa, old, new, len);
}

static void env_pio(void *data, uint16_t port, unsigned int size, bool write, void *val)
{
	struct session *s = data;

	s->ops->pio(s->opaque, port, size, write, val);
}

static void env_mmio(void *data, uint64_t gpa, unsigned int size, bool write, void *val)
{
	struct session *s = data;

	s->ops->mmio(s->opaque, gpa, size, write, val);
}

static int env_translate(void *data, uint64_t gva, uint32_t access, uint64_t *gpa,
			 uint32_t *error);

/* A component that is in its initial state may have anything in its place. */
static void validate(unsigned char *area, uint64_t component, unsigned int place)
{
	uint64_t bv;

	memcpy(&bv, area + XSAVE_BV, sizeof(bv));
	if (!(bv & component))
		memset(area + place, 0, XSAVE_HALVES);
	bv |= component;
	memcpy(area + XSAVE_BV, &bv, sizeof(bv));
}

/* @size: of the registers that are asked for */
static int xsave_read(struct vmm_vcpu *vcpu, unsigned int size)
{
	unsigned int have = vcpu->vm->xsave_size;
	bool upper = size > XSAVE_HALF;
	int ret;

	if (have < XSAVE_YMM + (upper ? XSAVE_HALVES : 0))
		return -ENOSPC;
	if (!vcpu->xsave)
		vcpu->xsave = malloc(have);
	if (!vcpu->xsave)
		return -ENOMEM;
	ret = vmm_vcpu_get_xsave(vcpu, vcpu->xsave, have);
	if (ret < 0)
		return ret;
	validate(vcpu->xsave, XSAVE_BV_SSE, XSAVE_XMM);
	if (upper)
		validate(vcpu->xsave, XSAVE_BV_AVX, XSAVE_YMM);
	return 0;
}

static int env_vector_get(void *data, unsigned int n, unsigned int size, void *val)
{
	struct vmm_vcpu *vcpu = ((struct session *)data)->vcpu;
	int ret = xsave_read(vcpu, size);

	if (ret)
		return ret;
	memcpy(val, vcpu->xsave + XSAVE_XMM + n * XSAVE_HALF, XSAVE_HALF);
	if (size > XSAVE_HALF)
		memcpy((unsigned char *)val + XSAVE_HALF,
		       vcpu->xsave + XSAVE_YMM + n * XSAVE_HALF, XSAVE_HALF);
	return 0;
}

static int env_vector_set(void *data, unsigned int n, unsigned int size, const void *val)
{
	struct vmm_vcpu *vcpu = ((struct session *)data)->vcpu;
	int ret = xsave_read(vcpu, size);

	if (ret)
		return ret;
	memcpy(vcpu->xsave + XSAVE_XMM + n * XSAVE_HALF, val, XSAVE_HALF);
	if (size > XSAVE_HALF)
		memcpy(vcpu->xsave + XSAVE_YMM + n * XSAVE_HALF,
		       (const unsigned char *)val + XSAVE_HALF, XSAVE_HALF);
	return vmm_vcpu_set_xsave(vcpu, vcpu->xsave, vcpu->vm->xsave_size);
}

static struct emul_x87 get_x87(const unsigned char *area)
{
	struct emul_x87 x87 = emul_x87_initial;
	uint64_t bv;

	memcpy(&bv, area + XSAVE_BV, sizeof(bv));
	if (!(bv & XSAVE_BV_X87))
		return x87;
	memcpy(&x87.control, area + XSAVE_FCW, sizeof(x87.control));
	memcpy(&x87.status, area + XSAVE_FSW, sizeof(x87.status));
	x87.tags = area[XSAVE_FTW];
	return x87;
}

static void put_x87(unsigned char *area, const struct emul_x87 *x87)
{
	uint64_t bv;

	memcpy(&bv, area + XSAVE_BV, sizeof(bv));
	/* Pointers and registers go with the initial state, or were in it. */
	if (!(bv & XSAVE_BV_X87) || !memcmp(x87, &emul_x87_initial, sizeof(*x87))) {
		memset(area, 0, XSAVE_MXCSR);
		memset(area + XSAVE_ST, 0, XSAVE_XMM - XSAVE_ST);
	}
	memcpy(area + XSAVE_FCW, &x87->control, sizeof(x87->control));
	memcpy(area + XSAVE_FSW, &x87->status, sizeof(x87->status));
	area[XSAVE_FTW] = x87->tags;
	bv |= XSAVE_BV_X87;
	memcpy(area + XSAVE_BV, &bv, sizeof(bv));
}

static int env_x87_get(void *data, struct emul_x87 *x87)
{
	struct vmm_vcpu *vcpu = ((struct session *)data)->vcpu;
	int ret = xsave_read(vcpu, XSAVE_HALF);

	if (!ret)
		*x87 = get_x87(vcpu->xsave);
	return ret;
}

static int env_x87_set(void *data, const struct emul_x87 *x87)
{
	struct vmm_vcpu *vcpu = ((struct session *)data)->vcpu;
	int ret = xsave_read(vcpu, XSAVE_HALF);

	if (ret)
		return ret;
	put_x87(vcpu->xsave, x87);
	return vmm_vcpu_set_xsave(vcpu, vcpu->xsave, vcpu->vm->xsave_size);
}

/* The image begins with the register that is the top. */
static int env_mmx(void *data, unsigned int n, bool write, uint64_t *val)
{
	struct vmm_vcpu *vcpu = ((struct session *)data)->vcpu;
	unsigned char regs[X87_REGS][XSAVE_HALF];
	int ret = xsave_read(vcpu, XSAVE_HALF);
	struct emul_x87 x87;
	unsigned int i, top;

	if (ret)
		return ret;
	x87 = get_x87(vcpu->xsave);
	top = (x87.status & X87_TOP) / X87_TOP_ONE;
	x87.status &= ~X87_TOP;
	x87.tags = UINT8_MAX;
	put_x87(vcpu->xsave, &x87);
	for (i = 0; i < X87_REGS; i++)
		memcpy(regs[(top + i) % X87_REGS], vcpu->xsave + XSAVE_ST + i * XSAVE_HALF,
		       XSAVE_HALF);
	if (write) {
		memcpy(regs[n], val, sizeof(*val));
		memset(regs[n] + sizeof(*val), UINT8_MAX, X87_EXPONENT);
	} else {
		memcpy(val, regs[n], sizeof(*val));
	}
	memcpy(vcpu->xsave + XSAVE_ST, regs, sizeof(regs));
	return vmm_vcpu_set_xsave(vcpu, vcpu->xsave, vcpu->vm->xsave_size);
}

static int env_set_ctrl(void *data, const struct vmm_ctrl *ctrl)
{
	struct session *s = data;
	struct vmm_run *run = s->vcpu->run;
	struct vmm_state state = { .mask = VMM_STATE_CTRL, .ctrl = *ctrl };
	int ret = vmm_vcpu_set_state(s->vcpu, &state);

	if (ret < 0)
		return ret;
	s->state.ctrl = *ctrl;
	/* Or the next VMM_RUN would take back the old ones. */
	if (run->sync_in & VMM_STATE_CTRL)
		run->state.ctrl = *ctrl;
	return 0;
}

static int env_get_msr(void *data, uint32_t index, uint64_t *val)
{
	struct session *s = data;
	struct vmm_msr msr = { .index = index };
	int ret = vmm_vcpu_get_msrs(s->vcpu, &msr, 1, NULL);

	*val = msr.value;
	return ret;
}

static bool env_interrupted(void *data)
{
	const volatile struct vmm_run *run = ((struct session *)data)->vcpu->run;

	return run->immediate_exit;
}

static const struct emul_env env = {
	.translate = env_translate,
	.ram_read = env_ram_read,
	.ram_write = env_ram_write,
	.ram_replace = env_ram_replace,
	.pio = env_pio,
	.mmio = env_mmio,
	.vector_get = env_vector_get,
	.vector_set = env_vector_set,
	.x87_get = env_x87_get,
	.x87_set = env_x87_set,
	.mmx = env_mmx,
	.set_ctrl = env_set_ctrl,
	.get_msr = env_get_msr,
	.interrupted = env_interrupted,
};

static int env_translate(void *data, uint64_t gva, uint32_t access, uint64_t *gpa,
			 uint32_t *error)
{
	struct session *s = data;
	struct vmm_translate tr = { .gva = gva, .access = access };
	int ret;

	/* Most of what is emulated in a stretch: not worth a call. */
	if (s->ctx.whole && !(s->state.ctrl.cr0 & EMUL_CR0_PG)) {
		*gpa = gva;
		return 0;
	}
	/* A signal's handler has run when the call is made again. */
	do
		ret = vmm_vcpu_translate(s->vcpu, &tr);
	while (ret == -EINTR);
	if (ret < 0)
		return ret == -EAGAIN ? -EBUSY : ret;
	*error = tr.error;
	*gpa = tr.gpa;
	if (tr.fault)
		return 1;
	if (!s->mark)
		return 0;
	return emul_mark_accessed(&env, s, &s->state.ctrl, gva, access & VMM_ACCESS_WRITE, tr.gpa);
}

/* ---- state in and out ---- */

static int session_begin(struct session *s)
{
	struct vmm_run *run = s->vcpu->run;
	uint64_t there = (run->sync_in | run->sync_out) & NEEDED;
	int ret = 0;

	memset(&s->ctx, 0, sizeof(s->ctx));
	memset(&s->state, 0, sizeof(s->state));
	s->state.mask = NEEDED & ~there;
	if (s->state.mask)
		ret = vmm_vcpu_get_state(s->vcpu, &s->state);
	if (ret < 0)
		return ret;
	if (there & VMM_STATE_REGS)
		s->state.regs = run->state.regs;
	if (there & VMM_STATE_SEGS)
		s->state.segs = run->state.segs;
	if (there & VMM_STATE_CTRL)
		s->state.ctrl = run->state.ctrl;
	if (there & VMM_STATE_EVENT)
		s->state.events = run->state.events;

	s->ctx.env = &env;
	s->ctx.data = s;
	s->ctx.regs = s->state.regs;
	s->ctx.segs = s->state.segs;
	s->ctx.ctrl = s->state.ctrl;
	s->ctx.shadow = s->state.events.shadow;
	s->ctx.nmi_masked = s->state.events.nmi_masked;
	if (run->exit_reason == VMM_EXIT_INSN && run->insn.length <= EMUL_MAX_INSN) {
		s->ctx.length = run->insn.length;
		memcpy(s->ctx.bytes, run->insn.bytes, s->ctx.length);
	}
	return 0;
}

/* Leave a section to the next VMM_RUN. */
static void give_events(struct session *s)
{
	s->vcpu->run->state.events = s->state.events;
	s->vcpu->run->sync_in |= VMM_STATE_EVENT;
}

static void give_ctrl(struct session *s)
{
	s->vcpu->run->state.ctrl = s->state.ctrl;
	s->vcpu->run->sync_in |= VMM_STATE_CTRL;
}

static int give_single_step(struct session *s)
{
	struct vmm_run *run = s->vcpu->run;
	int ret = 0;

	if (!(run->sync_in & VMM_STATE_DEBUG)) {
		s->state.mask = VMM_STATE_DEBUG;
		ret = vmm_vcpu_get_state(s->vcpu, &s->state);
		run->state.debug = s->state.debug;
	}
	if (ret < 0)
		return ret;
	/* "Debug Exceptions": breakpoints of before make room, and GD is cleared. */
	run->state.debug.dr6 = (run->state.debug.dr6 & ~DR6_TRAPS) | DR6_BS;
	run->state.debug.dr7 &= ~DR7_GD;
	run->sync_in |= VMM_STATE_DEBUG;
	return 0;
}

/* Only what changed: an event that the kernel has is not to be given it again. */
static void give_changed_events(struct session *s)
{
	const struct emul_ctx *ctx = &s->ctx;
	struct vmm_events *events = &s->state.events;

	if (!memcmp(&events->event, &ctx->event, sizeof(ctx->event)) &&
	    events->shadow == ctx->shadow && events->nmi_masked == ctx->nmi_masked)
		return;
	events->event = ctx->event;
	events->shadow = ctx->shadow;
	events->nmi_masked = ctx->nmi_masked;
	give_events(s);
}

static int session_end(struct session *s)
{
	struct emul_ctx *ctx = &s->ctx;
	struct vmm_run *run = s->vcpu->run;

	if (ctx->single_step) {
		int ret = give_single_step(s);

		if (ret < 0)
			return ret;
	}
	run->state.regs = ctx->regs;
	run->sync_in |= VMM_STATE_REGS;
	if (ctx->segs_changed) {
		run->state.segs = ctx->segs;
		run->sync_in |= VMM_STATE_SEGS;
	}
	if (ctx->cr2_set) {
		s->state.ctrl.cr2 = ctx->cr2;
		give_ctrl(s);
	}
	give_changed_events(s);
	return 0;
}

static enum vmm_emul_result fail(struct vmm_vcpu *vcpu, int error)
{
	vcpu->emul_error = error;
	return VMM_EMUL_ERROR;
}

/* One instruction that the CPU left to the process. */
static enum emul_status emulate_one(struct session *s)
{
	struct emul_ctx *ctx = &s->ctx;
	struct vmm_event event = s->state.events.event;
	enum emul_status status = emul_step(ctx);

	if (status == EMUL_KERNEL)
		status = EMUL_UNSUPPORTED;
	/* A program of the guest's must not be able to end the whole of it. */
	if (status == EMUL_UNSUPPORTED && emul_cpl(ctx) == 3)
		status = emul_raise(ctx, EMUL_VECTOR_UD);
	if (status == EMUL_FAULT)
		ctx->regs.rflags |= EMUL_RF;
	/* An event that waits is not this instruction's: it still does. */
	if (ctx->event.type == VMM_EVENT_NONE)
		ctx->event = event;
	return status;
}

static enum emul_status emulate_stretch(struct session *s)
{
	s->ctx.whole = true;
	s->ctx.event = s->state.events.event;
	return emul_stretch(&s->ctx, EMUL_MAX_STRETCH);
}

enum vmm_emul_result vmm_emulate(struct vmm_vcpu *vcpu, const struct vmm_emul_ops *ops,
				 void *opaque)
{
	struct session s = { .vcpu = vcpu, .ops = ops, .opaque = opaque, .mark = true };
	const struct vmm_run *run = vcpu->run;
	enum emul_status status;
	int ret = session_begin(&s);

	if (ret < 0)
		return fail(vcpu, ret);
	if (run->exit_reason == VMM_EXIT_INSN && run->insn.cause == VMM_INSN_REAL_MODE)
		status = emulate_stretch(&s);
	else
		status = emulate_one(&s);
	switch (status) {
	case EMUL_UNSUPPORTED:
		return VMM_EMUL_UNSUPPORTED;
	case EMUL_SHUTDOWN:
		return VMM_EMUL_SHUTDOWN;
	case EMUL_ERROR:
		return fail(vcpu, s.ctx.error);
	default:
		ret = session_end(&s);
		return ret < 0 ? fail(vcpu, ret) : VMM_EMUL_OK;
	}
}

int vmm_emul_error(const struct vmm_vcpu *vcpu)
{
	return vcpu->emul_error;
}

/* ---- describing ---- */

static void format_bytes(const struct emul_ctx *ctx, unsigned int len, char *text)
{
	unsigned int i;

	*text = '\0';
	for (i = 0; i < len; i++)
		text += sprintf(text, "%s%02x", i ? " " : "", ctx->bytes[i]);
}

static void format_insn(const struct emul_ctx *ctx, char *text, size_t size)
{
	ZydisFormatter formatter;

	if (!ZYAN_SUCCESS(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL)) ||
	    !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &ctx->insn, ctx->operands,
							  ctx->insn.operand_count_visible, text,
							  size, ctx->regs.rip, NULL)))
		snprintf(text, size, "(cannot be shown)");
}

static const char *mode_name(const struct emul_ctx *ctx)
{
	if (ctx->long64)
		return "64-bit";
	return ctx->segs.seg[VMM_CS].attr & VMM_SEG_DB ? "32-bit" : "16-bit";
}

int vmm_emul_describe(struct vmm_vcpu *vcpu, char *buf, size_t size)
{
	struct session s = { .vcpu = vcpu };
	char bytes[3 * EMUL_MAX_INSN + 1], text[128] = "(no instruction)";
	int ret = session_begin(&s);
	unsigned int len;

	if (ret < 0)
		return snprintf(buf, size, "rip 0x%" PRIx64 ": (state cannot be read: %s)",
				(uint64_t)vcpu->run->rip, strerror(-ret));
	if (emul_decode(&s.ctx, true) == EMUL_OK) {
		format_insn(&s.ctx, text, sizeof(text));
		len = s.ctx.insn.length;
	} else {
		len = s.ctx.length;
	}
	format_bytes(&s.ctx, len, bytes);
	return snprintf(buf, size, "rip 0x%" PRIx64 " cpl %u %s: %s: %s",
			(uint64_t)s.ctx.regs.rip, s.ctx.cpl, mode_name(&s.ctx), bytes, text);
}
