// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Where execution goes on: jumps, calls, returns, loops, software interrupts.
 *
 * ctx->next is where RIP will be; a handler that says nothing leaves it behind the
 * instruction. Targets are checked before anything is pushed.
 */
#include "emul.h"

/* ---- near ---- */

static uint64_t truncate(const struct emul_ctx *ctx, uint64_t target)
{
	return target & emul_mask(ctx->insn.operand_width / 8);
}

static enum emul_status check_target(struct emul_ctx *ctx, uint64_t target)
{
	if (ctx->long64 ? !emul_canonical(ctx, target) : target > ctx->segs.seg[VMM_CS].limit)
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	return EMUL_OK;
}

static enum emul_status go_near(struct emul_ctx *ctx, uint64_t target)
{
	enum emul_status status = check_target(ctx, target);

	if (!status)
		ctx->next = target;
	return status;
}

/* Operand 0 as a near target: relative to the next instruction, or absolute. */
static enum emul_status near_target(struct emul_ctx *ctx, const struct emul_ref *ref,
				    uint64_t *target)
{
	const ZydisDecodedOperand *op = &ctx->operands[0];
	enum emul_status status = emul_get(ctx, ref, target);

	if (status)
		return status;
	if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && op->imm.is_relative)
		*target += ctx->next;
	*target = truncate(ctx, *target);
	return EMUL_OK;
}

static enum emul_status go_relative(struct emul_ctx *ctx, bool taken)
{
	enum emul_status status;
	struct emul_ref ref;
	uint64_t target;

	if (!taken)
		return EMUL_OK;
	status = emul_open(ctx, 0, VMM_ACCESS_READ, &ref);
	if (!status)
		status = near_target(ctx, &ref, &target);
	return status ? status : go_near(ctx, target);
}

enum emul_status emul_do_jcc(struct emul_ctx *ctx, unsigned int cc)
{
	return go_relative(ctx, emul_condition(cc, ctx->regs.rflags));
}

enum emul_status emul_do_jcxz(struct emul_ctx *ctx, unsigned int arg)
{
	(void)arg;
	return go_relative(ctx, !emul_gpr_read(ctx, VMM_RCX, ctx->insn.address_width / 8));
}

enum emul_status emul_do_loop(struct emul_ctx *ctx, unsigned int op)
{
	unsigned int size = ctx->insn.address_width / 8;
	uint64_t count = emul_gpr_read(ctx, VMM_RCX, size) - 1;
	bool zero = ctx->regs.rflags & EMUL_ZF;

	emul_gpr_write(ctx, VMM_RCX, size, count);
	return go_relative(ctx, (count & emul_mask(size)) &&
			   (op == EMUL_LOOP || zero == (op == EMUL_LOOPE)));
}

/* ---- far ---- */

static bool is_far(const struct emul_ctx *ctx)
{
	return ctx->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

static enum emul_status far_target(struct emul_ctx *ctx, uint16_t *selector, uint64_t *offset)
{
	const ZydisDecodedOperand *op = &ctx->operands[0];

	if (op->type != ZYDIS_OPERAND_TYPE_POINTER)
		return emul_load_pointer(ctx, 0, ctx->insn.operand_width / 8, offset, selector);
	*selector = op->ptr.segment;
	*offset = op->ptr.offset;
	return EMUL_OK;
}

static enum emul_status go_far(struct emul_ctx *ctx, enum emul_transfer how)
{
	uint64_t offset = 0, frame[2] = { ctx->segs.seg[VMM_CS].selector, ctx->next };
	struct vmm_segment cs;
	uint16_t selector = 0;
	enum emul_status status;

	status = far_target(ctx, &selector, &offset);
	if (!status)
		status = emul_open_code(ctx, selector, offset, how, &cs);
	if (!status && how == EMUL_CALL)
		status = emul_push_frame(ctx, ctx->insn.operand_width / 8, frame, 2);
	if (!status)
		emul_set_code(ctx, &cs, offset);
	return status;
}

/* ---- both ---- */

enum emul_status emul_do_jmp(struct emul_ctx *ctx, unsigned int arg)
{
	(void)arg;
	return is_far(ctx) ? go_far(ctx, EMUL_JUMP) : go_relative(ctx, true);
}

enum emul_status emul_do_call(struct emul_ctx *ctx, unsigned int arg)
{
	unsigned int size = ctx->insn.operand_width / 8;
	uint64_t target, back = ctx->next;
	enum emul_status status;
	struct emul_span span;
	struct emul_ref ref;

	(void)arg;
	if (is_far(ctx))
		return go_far(ctx, EMUL_CALL);
	/* The target may be a device's: it is read when only its value can fault. */
	status = emul_open(ctx, 0, VMM_ACCESS_READ, &ref);
	if (!status)
		status = emul_reserve(ctx, size, &span);
	if (!status)
		status = near_target(ctx, &ref, &target);
	if (!status)
		status = check_target(ctx, target);
	if (!status)
		status = emul_push_frame(ctx, size, &back, 1);
	if (!status)
		ctx->next = target;
	return status;
}

/* The immediate says how many bytes of arguments go as well. */
enum emul_status emul_do_ret(struct emul_ctx *ctx, unsigned int arg)
{
	unsigned int size = ctx->insn.operand_width / 8, count = is_far(ctx) ? 2 : 1;
	uint64_t frame[2], arguments = 0;
	struct vmm_segment cs;
	enum emul_status status;

	(void)arg;
	if (ctx->insn.operand_count_visible)
		arguments = ctx->operands[0].imm.value.u & UINT16_MAX;
	status = emul_peek_far(ctx, size, frame, count);
	if (status)
		return status;
	if (count == 2)
		status = emul_open_code(ctx, frame[1], frame[0], EMUL_RETURN, &cs);
	else
		status = check_target(ctx, frame[0]);
	if (status)
		return status;
	emul_drop(ctx, (uint64_t)size * count + arguments);
	if (count == 2)
		emul_set_code(ctx, &cs, frame[0]);
	else
		ctx->next = frame[0];
	return EMUL_OK;
}

/* ---- interrupts ---- */

/* @vector: of INT3 and INT1; INT n has it in its operand. */
enum emul_status emul_do_int(struct emul_ctx *ctx, unsigned int vector)
{
	struct vmm_event event = { .type = VMM_EVENT_SOFT_INT, .vector = vector };

	if (!vector)
		event.vector = ctx->operands[0].imm.value.u;
	if (vector == EMUL_VECTOR_DB)
		event.type = VMM_EVENT_EXCEPTION;
	ctx->no_trap = true;
	return emul_interrupt(ctx, &event, ctx->next);
}

enum emul_status emul_do_into(struct emul_ctx *ctx, unsigned int arg)
{
	(void)arg;
	return ctx->regs.rflags & EMUL_OF ? emul_do_int(ctx, EMUL_VECTOR_OF) : EMUL_OK;
}

enum emul_status emul_do_iret(struct emul_ctx *ctx, unsigned int arg)
{
	unsigned int size = ctx->insn.operand_width / 8;
	struct vmm_segment cs;
	uint64_t frame[3];
	enum emul_status status;

	(void)arg;
	/* Tasks, 64-bit frames with a stack in them, virtual-8086 mode */
	if (emul_protected(ctx) && ((ctx->regs.rflags & EMUL_NT) ||
				    (ctx->ctrl.efer & EMUL_EFER_LMA)))
		return EMUL_UNSUPPORTED;
	status = emul_peek_far(ctx, size, frame, 3);
	if (status)
		return status;
	/* Only CPL 0 gets there; from others the bit is ignored. */
	if (emul_protected(ctx) && !ctx->cpl && size == 4 && (frame[2] & EMUL_VM))
		return EMUL_UNSUPPORTED;
	status = emul_open_code(ctx, frame[1], frame[0], EMUL_RETURN, &cs);
	if (status)
		return status;
	emul_drop(ctx, (uint64_t)size * 3);
	emul_set_code(ctx, &cs, frame[0]);
	emul_set_flags(ctx, size, frame[2], EMUL_RF);
	ctx->nmi_masked = false;
	return EMUL_OK;
}

/* One of the bounds, which are signed and follow each other. */
static enum emul_status load_bound(struct emul_ctx *ctx, unsigned int n, int64_t *bound)
{
	const ZydisDecodedOperand *mem = &ctx->operands[1];
	unsigned int size = ctx->operands[0].size / 8;
	uint64_t offset = emul_offset(ctx, mem) + (uint64_t)n * size, val = 0;
	enum emul_status status;
	struct emul_span span;

	status = emul_resolve(ctx, emul_segment(mem),
			      offset & emul_mask(ctx->insn.address_width / 8), size,
			      VMM_ACCESS_READ, &span);
	if (!status)
		status = emul_read(ctx, &span, &val);
	*bound = (int64_t)emul_sign_extend(val, size);
	return status;
}

/* Both may be met. The upper one is not looked at if the lower one is not. */
enum emul_status emul_do_bound(struct emul_ctx *ctx, unsigned int arg)
{
	enum emul_status status;
	int64_t index, bound;
	uint64_t val;

	(void)arg;
	if (ctx->operands[1].type != ZYDIS_OPERAND_TYPE_MEMORY)
		return EMUL_UNSUPPORTED;
	status = emul_load(ctx, 0, &val);
	if (!status)
		status = load_bound(ctx, 0, &bound);
	if (status)
		return status;
	index = (int64_t)emul_sign_extend(val, ctx->operands[0].size / 8);
	if (index < bound)
		return emul_raise(ctx, EMUL_VECTOR_BR);
	status = load_bound(ctx, 1, &bound);
	if (!status && index > bound)
		return emul_raise(ctx, EMUL_VECTOR_BR);
	return status;
}
