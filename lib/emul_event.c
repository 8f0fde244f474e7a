// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Entering an interrupt's or exception's handler, where the CPU cannot: through the
 * vector table of real mode, or through an interrupt or trap gate of protected mode
 * at the same privilege level. Other gates, a change of level and long mode are
 * EMUL_UNSUPPORTED: a CPU that needs the emulator has them only in states it can run.
 */
#include "emul.h"

#define GATE_TYPE	0x1f	/* S among them, which is 0 */
#define GATE_INT16	0x06
#define GATE_TRAP16	0x07
#define GATE_INT32	0x0e
#define GATE_TRAP32	0x0f
#define GATE_IDT	2u	/* of an error code: its index is one of the IDT */

/* ---- real mode ---- */

static enum emul_status interrupt_real(struct emul_ctx *ctx, unsigned int vector, uint64_t rip)
{
	uint64_t frame[] = { ctx->regs.rflags, ctx->segs.seg[VMM_CS].selector, rip };
	uint32_t place = vector * 4, entry;
	struct vmm_segment cs;
	enum emul_status status;

	if (place + 3 > ctx->segs.idt.limit)
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	status = emul_read_system(ctx, ctx->segs.idt.base + place, &entry, sizeof(entry));
	if (!status)
		status = emul_open_code(ctx, entry >> 16, entry & UINT16_MAX, EMUL_GATE, &cs);
	if (!status)
		status = emul_push_frame(ctx, 2, frame, ARRAY_SIZE(frame));
	if (status)
		return status;
	emul_set_code(ctx, &cs, entry & UINT16_MAX);
	ctx->regs.rflags &= ~(EMUL_IF | EMUL_TF | EMUL_AC | EMUL_RF);
	return EMUL_OK;
}

/* ---- protected mode ---- */

struct gate {
	uint64_t offset;
	uint16_t selector;
	unsigned int size;	/* of what is pushed, bytes */
	bool masks;		/* clears IF */
};

static enum emul_status gate_fault(struct emul_ctx *ctx, unsigned int vector, unsigned int number)
{
	return emul_raise_error(ctx, vector, number * 8 | GATE_IDT | ctx->external);
}

static enum emul_status read_gate(struct emul_ctx *ctx, const struct vmm_event *event,
				  struct gate *gate)
{
	unsigned int type, place = event->vector * 8;
	uint64_t raw;
	enum emul_status status;

	if (place + 7 > ctx->segs.idt.limit)
		return gate_fault(ctx, EMUL_VECTOR_GP, event->vector);
	status = emul_read_system(ctx, ctx->segs.idt.base + place, &raw, sizeof(raw));
	if (status)
		return status;
	type = raw >> 40 & GATE_TYPE;
	if (type != GATE_INT16 && type != GATE_TRAP16 && type != GATE_INT32 &&
	    type != GATE_TRAP32)
		return type == 5 ? EMUL_UNSUPPORTED :
				   gate_fault(ctx, EMUL_VECTOR_GP, event->vector);
	if (event->type == VMM_EVENT_SOFT_INT && (raw >> 45 & 3) < ctx->cpl)
		return gate_fault(ctx, EMUL_VECTOR_GP, event->vector);
	if (!(raw >> 47 & 1))
		return gate_fault(ctx, EMUL_VECTOR_NP, event->vector);
	gate->size = type & 8 ? 4 : 2;
	gate->masks = !(type & 1);
	gate->selector = raw >> 16;
	gate->offset = (raw & UINT16_MAX) | (gate->size == 4 ? raw >> 48 << 16 : 0);
	return EMUL_OK;
}

static enum emul_status interrupt_protected(struct emul_ctx *ctx, const struct vmm_event *event,
					    uint64_t rip)
{
	uint64_t frame[] = {
		ctx->regs.rflags, ctx->segs.seg[VMM_CS].selector, rip, event->error,
	};
	bool has_error = event->flags & VMM_EVENT_HAS_ERROR;
	struct vmm_segment cs;
	struct gate gate = {};
	enum emul_status status;

	if ((ctx->regs.rflags & EMUL_VM) || (ctx->ctrl.efer & EMUL_EFER_LMA))
		return EMUL_UNSUPPORTED;
	status = read_gate(ctx, event, &gate);
	if (!status)
		status = emul_open_code(ctx, gate.selector, gate.offset, EMUL_GATE, &cs);
	if (!status)
		status = emul_push_frame(ctx, gate.size, frame, has_error ? 4 : 3);
	if (status)
		return status;
	emul_set_code(ctx, &cs, gate.offset);
	ctx->regs.rflags &= ~(EMUL_TF | EMUL_NT | EMUL_RF | EMUL_VM);
	if (gate.masks)
		ctx->regs.rflags &= ~EMUL_IF;
	return EMUL_OK;
}

enum emul_status emul_interrupt(struct emul_ctx *ctx, const struct vmm_event *event, uint64_t rip)
{
	if (!(ctx->ctrl.cr0 & EMUL_CR0_PE))
		return interrupt_real(ctx, event->vector, rip);
	return interrupt_protected(ctx, event, rip);
}

/* ---- between instructions ---- */

/* "Double Fault Exception": which pairs are one. */
static bool contributory(unsigned int vector)
{
	return vector == EMUL_VECTOR_DE || (vector >= EMUL_VECTOR_TS && vector <= EMUL_VECTOR_GP);
}

/* @second was met while @first was delivered. False: there is nothing after that. */
static bool combine(const struct vmm_event *first, struct vmm_event *second)
{
	unsigned int a = first->vector, b = second->vector;

	if (first->type != VMM_EVENT_EXCEPTION)
		return true;
	if (a == EMUL_VECTOR_DF && (contributory(b) || b == EMUL_VECTOR_PF))
		return false;
	if ((contributory(a) && contributory(b)) ||
	    (a == EMUL_VECTOR_PF && (contributory(b) || b == EMUL_VECTOR_PF)))
		*second = (struct vmm_event) {
			.type = VMM_EVENT_EXCEPTION, .vector = EMUL_VECTOR_DF,
			.flags = second->flags,
		};
	return true;
}

static enum emul_status deliver_one(struct emul_ctx *ctx, const struct vmm_event *event)
{
	enum emul_status status;

	emul_begin(ctx);
	/* A length makes it the instruction's own: it returns behind that. */
	ctx->external = event->type != VMM_EVENT_SOFT_INT && !event->length;
	status = emul_interrupt(ctx, event, ctx->regs.rip + event->length);
	ctx->external = 0;
	if (status) {
		ctx->regs = ctx->done;
		return status;
	}
	ctx->regs.rip = ctx->next;
	ctx->shadow = 0;
	ctx->length = 0;
	emul_checkpoint(ctx);
	return EMUL_OK;
}

enum emul_status emul_deliver(struct emul_ctx *ctx)
{
	struct vmm_event event = ctx->event;
	enum emul_status status;

	/* Each turn but the last two makes the event a graver one: there are four. */
	for (;;) {
		status = deliver_one(ctx, &event);
		if (status != EMUL_FAULT)
			break;
		if (!combine(&event, &ctx->event))
			return EMUL_SHUTDOWN;
		event = ctx->event;
	}
	/* What could not be delivered is still to be. */
	ctx->event = status ? event : (struct vmm_event) {};
	return status;
}
