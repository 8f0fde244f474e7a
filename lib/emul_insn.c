// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Moves, arithmetic, bits and exchanges: one function a group of instructions, the
 * operand size being the decoder's business.
 *
 * A read-modify-write resolves its operand for writing before it reads, as the CPU
 * does, and stores through emul_update(), which is atomic on RAM with or without
 * LOCK.
 */
#include <string.h>

#include "emul.h"

/* ---- arithmetic ---- */

/* Shifts too: their count is one byte whatever the operand's size, an immediate, 1, or CL. */
enum emul_status emul_do_alu(struct emul_ctx *ctx, unsigned int op)
{
	bool writes = op != EMUL_CMP && op != EMUL_TEST;
	uint64_t a, b, res, flags = ctx->regs.rflags;
	enum emul_status status;
	struct emul_ref dst;

	status = emul_open_pair(ctx, writes ? VMM_ACCESS_WRITE : VMM_ACCESS_READ, &dst, &a, &b);
	if (status)
		return status;
	res = emul_alu(op, dst.size, a, b & emul_mask(dst.size), &flags);
	if (writes)
		status = emul_update(ctx, &dst, a, res);
	ctx->regs.rflags = flags;
	return status;
}

enum emul_status emul_do_unary(struct emul_ctx *ctx, unsigned int op)
{
	uint64_t a, res, flags = ctx->regs.rflags;
	enum emul_status status;
	struct emul_ref dst;

	status = emul_open(ctx, 0, VMM_ACCESS_WRITE, &dst);
	if (!status)
		status = emul_get(ctx, &dst, &a);
	if (status)
		return status;
	res = emul_alu(op, dst.size, a, 0, &flags);
	status = emul_update(ctx, &dst, a, res);
	ctx->regs.rflags = flags;
	return status;
}

/* ---- moves ---- */

enum emul_status emul_do_mov(struct emul_ctx *ctx, unsigned int arg)
{
	enum emul_status status;
	struct emul_ref dst;
	uint64_t val;

	(void)arg;
	status = emul_open(ctx, 0, VMM_ACCESS_WRITE, &dst);
	if (!status)
		status = emul_load(ctx, 1, &val);
	return status ? status : emul_put(ctx, &dst, val);
}

enum emul_status emul_do_movx(struct emul_ctx *ctx, unsigned int extend)
{
	enum emul_status status;
	struct emul_ref dst, src;
	uint64_t val;

	/* MOVSXD to a word reads a word, of which the decoder makes a doubleword. */
	if (ctx->operands[0].size < ctx->operands[1].size)
		ctx->operands[1].size = ctx->operands[0].size;
	status = emul_open(ctx, 0, VMM_ACCESS_WRITE, &dst);
	if (!status)
		status = emul_open(ctx, 1, VMM_ACCESS_READ, &src);
	if (!status)
		status = emul_get(ctx, &src, &val);
	if (status)
		return status;
	if (extend == EMUL_SIGN_EXTEND)
		val = emul_sign_extend(val, src.size);
	return emul_put(ctx, &dst, val);
}

enum emul_status emul_do_movbe(struct emul_ctx *ctx, unsigned int arg)
{
	enum emul_status status;
	struct emul_ref dst;
	uint64_t val;

	(void)arg;
	status = emul_open(ctx, 0, VMM_ACCESS_WRITE, &dst);
	if (!status)
		status = emul_load(ctx, 1, &val);
	if (status)
		return status;
	return emul_put(ctx, &dst, __builtin_bswap64(val) >> (64 - dst.size * 8));
}

/* The source is read, and the upper half of a doubleword cleared, in either case. */
enum emul_status emul_do_cmov(struct emul_ctx *ctx, unsigned int cc)
{
	enum emul_status status;
	struct emul_ref dst;
	uint64_t old, val;

	status = emul_open_pair(ctx, VMM_ACCESS_WRITE, &dst, &old, &val);
	if (status)
		return status;
	return emul_put(ctx, &dst, emul_condition(cc, ctx->regs.rflags) ? val : old);
}

enum emul_status emul_do_setcc(struct emul_ctx *ctx, unsigned int cc)
{
	struct emul_ref dst;
	enum emul_status status = emul_open(ctx, 0, VMM_ACCESS_WRITE, &dst);

	return status ? status : emul_put(ctx, &dst, emul_condition(cc, ctx->regs.rflags));
}

/* ---- exchanges ---- */

/* Memory, if any, is written before the register: only its write can fail. */
enum emul_status emul_do_xchg(struct emul_ctx *ctx, unsigned int arg)
{
	unsigned int mem = ctx->operands[1].type == ZYDIS_OPERAND_TYPE_MEMORY;
	enum emul_status status;
	struct emul_ref a, b;
	uint64_t va, vb;

	(void)arg;
	status = emul_open(ctx, mem, VMM_ACCESS_WRITE, &a);
	if (!status)
		status = emul_open(ctx, !mem, VMM_ACCESS_WRITE, &b);
	if (!status)
		status = emul_get(ctx, &a, &va);
	if (!status)
		status = emul_get(ctx, &b, &vb);
	if (!status)
		status = emul_update(ctx, &a, va, vb);
	return status ? status : emul_put(ctx, &b, va);
}

enum emul_status emul_do_xadd(struct emul_ctx *ctx, unsigned int arg)
{
	uint64_t a, b, sum, flags = ctx->regs.rflags;
	enum emul_status status;
	struct emul_ref dst, src;

	(void)arg;
	status = emul_open(ctx, 0, VMM_ACCESS_WRITE, &dst);
	if (!status)
		status = emul_open(ctx, 1, VMM_ACCESS_WRITE, &src);
	if (!status)
		status = emul_get(ctx, &dst, &a);
	if (!status)
		status = emul_get(ctx, &src, &b);
	if (status)
		return status;
	sum = emul_alu(EMUL_ADD, dst.size, a, b, &flags);
	/* The source first: with one register for both, the sum stays. */
	status = emul_put(ctx, &src, a);
	if (!status)
		status = emul_update(ctx, &dst, a, sum);
	ctx->regs.rflags = flags;
	return status;
}

/*
 * The CPU writes memory in any case: the old value if they differ. A register that
 * differs stays as it is, its upper half too.
 */
enum emul_status emul_do_cmpxchg(struct emul_ctx *ctx, unsigned int arg)
{
	uint64_t old, new, flags = ctx->regs.rflags;
	enum emul_status status;
	struct emul_ref dst;
	bool equal;

	(void)arg;
	status = emul_open_pair(ctx, VMM_ACCESS_WRITE, &dst, &old, &new);
	if (status)
		return status;
	emul_alu(EMUL_CMP, dst.size, emul_gpr_read(ctx, VMM_RAX, dst.size), old, &flags);
	equal = flags & EMUL_ZF;
	if (equal || dst.kind == EMUL_MEM)
		status = emul_update(ctx, &dst, old, equal ? new : old);
	if (!equal)
		emul_gpr_write(ctx, VMM_RAX, dst.size, old);
	ctx->regs.rflags = flags;
	return status;
}

/* CMPXCHG8B and 16B; @half: bytes of each register of the pairs. */
enum emul_status emul_do_cmpxchg_pair(struct emul_ctx *ctx, unsigned int half)
{
	uint8_t old[EMUL_MAX_OPERAND], expect[EMUL_MAX_OPERAND], new[EMUL_MAX_OPERAND];
	uint64_t offset = emul_offset(ctx, &ctx->operands[0]);
	enum vmm_sreg seg = emul_segment(&ctx->operands[0]);
	enum emul_status status;
	struct emul_span span;
	uint64_t low = 0, high = 0;
	bool equal;

	if (half == 8 && emul_linear(ctx, seg, offset) % EMUL_MAX_OPERAND)
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	status = emul_resolve(ctx, seg, offset, half * 2, VMM_ACCESS_WRITE, &span);
	if (status)
		return status;
	emul_read(ctx, &span, old);
	memcpy(expect, &ctx->regs.rax, half);
	memcpy(expect + half, &ctx->regs.rdx, half);
	memcpy(new, &ctx->regs.rbx, half);
	memcpy(new + half, &ctx->regs.rcx, half);
	equal = !memcmp(old, expect, half * 2);
	status = emul_replace(ctx, &span, old, equal ? new : old);
	if (status)
		return status;
	ctx->regs.rflags &= ~EMUL_ZF;
	if (equal) {
		ctx->regs.rflags |= EMUL_ZF;
		return EMUL_OK;
	}
	memcpy(&low, old, half);
	memcpy(&high, old + half, half);
	emul_gpr_write(ctx, VMM_RAX, half, low);
	emul_gpr_write(ctx, VMM_RDX, half, high);
	return EMUL_OK;
}

/* ---- bits ---- */

static uint64_t change_bit(enum emul_bit_op op, uint64_t val, uint64_t bit)
{
	switch (op) {
	case EMUL_BTS:
		return val | bit;
	case EMUL_BTR:
		return val & ~bit;
	case EMUL_BTC:
		return val ^ bit;
	default:
		return val;
	}
}

/* With its number in a register, a bit may lie far from the operand's address. */
static enum emul_status open_bits(struct emul_ctx *ctx, uint32_t access, uint64_t number,
				  struct emul_ref *ref)
{
	const ZydisDecodedOperand *op = &ctx->operands[0];
	unsigned int size = op->size / 8;
	int64_t index = (int64_t)emul_sign_extend(number, size);
	uint64_t offset;

	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY ||
	    ctx->operands[1].type != ZYDIS_OPERAND_TYPE_REGISTER)
		return emul_open(ctx, 0, access, ref);
	/* Arithmetic shift: whole operands away, down for negative numbers. */
	offset = emul_offset(ctx, op) + (uint64_t)(index >> __builtin_ctz(size * 8)) * size;
	ref->kind = EMUL_MEM;
	ref->size = size;
	return emul_resolve(ctx, emul_segment(op), offset & emul_mask(ctx->insn.address_width / 8),
			    size, access, &ref->span);
}

enum emul_status emul_do_bit(struct emul_ctx *ctx, unsigned int op)
{
	uint64_t number, val, bit;
	enum emul_status status;
	struct emul_ref dst;

	status = emul_load(ctx, 1, &number);
	if (!status)
		status = open_bits(ctx, op == EMUL_BT ? VMM_ACCESS_READ : VMM_ACCESS_WRITE,
				   number, &dst);
	if (!status)
		status = emul_get(ctx, &dst, &val);
	if (status)
		return status;
	bit = 1ull << number % (dst.size * 8);
	ctx->regs.rflags &= ~EMUL_CF;
	if (val & bit)
		ctx->regs.rflags |= EMUL_CF;
	return op == EMUL_BT ? EMUL_OK : emul_update(ctx, &dst, val, change_bit(op, val, bit));
}
