// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Arithmetic beyond what emul_alu.c does in one step: multiplication, division, double
 * shifts, bit scans, decimal adjustment, and moves that only compute.
 */
#include "emul.h"

static void set_flags(struct emul_ctx *ctx, uint64_t mask, uint64_t val)
{
	ctx->regs.rflags = (ctx->regs.rflags & ~mask) | (val & mask);
}

/* SF, ZF and PF of a result; OF, CF and AF are cleared. */
static void result_flags(struct emul_ctx *ctx, unsigned int size, uint64_t val)
{
	uint64_t flags = ctx->regs.rflags;

	emul_alu(EMUL_TEST, size, val, val, &flags);
	ctx->regs.rflags = flags;
}

/* ---- multiplication and division ---- */

typedef unsigned __int128 wide;

/* rDX:rAX, or AX for bytes. */
static wide read_wide(const struct emul_ctx *ctx, unsigned int size)
{
	if (size == 1)
		return emul_gpr_read(ctx, VMM_RAX, 2);
	return (wide)emul_gpr_read(ctx, VMM_RDX, size) << size * 8 |
	       emul_gpr_read(ctx, VMM_RAX, size);
}

static void write_wide(struct emul_ctx *ctx, unsigned int size, uint64_t low, uint64_t high)
{
	if (size == 1) {
		emul_gpr_write(ctx, VMM_RAX, 2, (high & 0xff) << 8 | (low & 0xff));
		return;
	}
	emul_gpr_write(ctx, VMM_RAX, size, low);
	emul_gpr_write(ctx, VMM_RDX, size, high);
}

/* CF and OF say whether the upper half of the product matters. */
static void multiply(struct emul_ctx *ctx, unsigned int size, bool is_signed, uint64_t a,
		     uint64_t b, uint64_t *low, uint64_t *high)
{
	wide product;
	bool matters;

	if (is_signed)
		product = (__int128)(int64_t)emul_sign_extend(a, size) *
			  (int64_t)emul_sign_extend(b, size);
	else
		product = (wide)a * b;
	*low = (uint64_t)product & emul_mask(size);
	*high = (uint64_t)(product >> size * 8) & emul_mask(size);
	if (is_signed)
		matters = (__int128)product != (int64_t)emul_sign_extend(*low, size);
	else
		matters = *high;
	set_flags(ctx, EMUL_CF | EMUL_OF, matters ? EMUL_CF | EMUL_OF : 0);
}

/* rDX:rAX, or AX for bytes, = rAX * operand. */
static enum emul_status multiply_accumulator(struct emul_ctx *ctx, bool is_signed)
{
	unsigned int size = ctx->operands[0].size / 8;
	uint64_t b, low, high;
	enum emul_status status = emul_load(ctx, 0, &b);

	if (status)
		return status;
	multiply(ctx, size, is_signed, emul_gpr_read(ctx, VMM_RAX, size), b, &low, &high);
	write_wide(ctx, size, low, high);
	return EMUL_OK;
}

/* The forms with two and three operands keep the lower half only. */
enum emul_status emul_do_multiply(struct emul_ctx *ctx, unsigned int extend)
{
	unsigned int visible = ctx->insn.operand_count_visible;
	uint64_t a, b, low, high;
	enum emul_status status;
	struct emul_ref dst;

	if (visible == 1)
		return multiply_accumulator(ctx, extend == EMUL_SIGN_EXTEND);
	status = emul_open(ctx, 0, VMM_ACCESS_WRITE, &dst);
	if (!status)
		status = emul_load(ctx, 1, &a);
	if (!status)
		status = emul_load(ctx, visible == 3 ? 2 : 0, &b);
	if (status)
		return status;
	multiply(ctx, dst.size, true, a & emul_mask(dst.size), b & emul_mask(dst.size), &low,
		 &high);
	return emul_put(ctx, &dst, low);
}

static bool divide(wide a, uint64_t b, unsigned int size, uint64_t *quotient, uint64_t *rest)
{
	if (!b || a / b > emul_mask(size))
		return false;
	*quotient = a / b;
	*rest = a % b;
	return true;
}

/* On magnitudes, because the most negative number has none of its own. */
static bool divide_signed(wide a, uint64_t b, unsigned int size, uint64_t *quotient,
			  uint64_t *rest)
{
	uint64_t sign = 1ull << (size * 8 - 1);
	bool a_negative = a >> (size * 16 - 1) & 1, b_negative = b & sign;
	wide mask = size == 8 ? ~(wide)0 : ((wide)1 << size * 16) - 1, limit = sign;

	if (a_negative)
		a = -a & mask;
	if (b_negative)
		b = -b & emul_mask(size);
	if (a_negative == b_negative)
		limit--;
	if (!b || a / b > limit)
		return false;
	*quotient = a_negative == b_negative ? (uint64_t)(a / b) : -(uint64_t)(a / b);
	*rest = a_negative ? -(uint64_t)(a % b) : (uint64_t)(a % b);
	return true;
}

enum emul_status emul_do_divide(struct emul_ctx *ctx, unsigned int extend)
{
	unsigned int size = ctx->operands[0].size / 8;
	uint64_t b, quotient, rest;
	enum emul_status status = emul_load(ctx, 0, &b);
	bool good;

	if (status)
		return status;
	if (extend == EMUL_SIGN_EXTEND)
		good = divide_signed(read_wide(ctx, size), b, size, &quotient, &rest);
	else
		good = divide(read_wide(ctx, size), b, size, &quotient, &rest);
	if (!good)
		return emul_raise(ctx, EMUL_VECTOR_DE);
	write_wide(ctx, size, quotient, rest);
	return EMUL_OK;
}

/* ---- bits ---- */

/* SHLD and SHRD: @op is EMUL_SHL or EMUL_SHR. Bits come in from the second operand. */
enum emul_status emul_do_double_shift(struct emul_ctx *ctx, unsigned int op)
{
	uint64_t a, b, count, res, carry, sign;
	enum emul_status status;
	struct emul_ref dst;
	unsigned int bits;

	status = emul_open_pair(ctx, VMM_ACCESS_WRITE, &dst, &a, &b);
	if (!status)
		status = emul_load(ctx, 2, &count);
	if (status)
		return status;
	bits = dst.size * 8;
	count &= bits == 64 ? 63 : 31;
	/* More than there are bits is undefined: the count then wraps. */
	if (bits == 16 && count > 16)
		count -= 16;
	if (!count)
		return emul_update(ctx, &dst, a, a);
	if (op == EMUL_SHL) {
		res = (count < 64 ? a << count : 0) | (count == bits ? b : b >> (bits - count));
		carry = a >> (bits - count) & 1;
	} else {
		res = (a >> count) | (count == bits ? b : b << (bits - count));
		carry = a >> (count - 1) & 1;
	}
	res &= emul_mask(dst.size);
	sign = 1ull << (bits - 1);
	status = emul_update(ctx, &dst, a, res);
	if (status)
		return status;
	result_flags(ctx, dst.size, res);
	set_flags(ctx, EMUL_CF | EMUL_OF,
		  (carry ? EMUL_CF : 0) | ((a ^ res) & sign ? EMUL_OF : 0));
	return EMUL_OK;
}

/* BSF and BSR leave the register alone if there is no bit; the others count all. */
enum emul_status emul_do_scan(struct emul_ctx *ctx, unsigned int op)
{
	uint64_t val, res, old;
	enum emul_status status;
	struct emul_ref dst;
	unsigned int bits;
	bool low = op == EMUL_BSF || op == EMUL_TZCNT;

	status = emul_open_pair(ctx, VMM_ACCESS_WRITE, &dst, &old, &val);
	if (status)
		return status;
	bits = dst.size * 8;
	if (op == EMUL_BSF || op == EMUL_BSR) {
		set_flags(ctx, EMUL_ZF, val ? 0 : EMUL_ZF);
		if (!val)
			return dst.size == 4 ? EMUL_OK : emul_put(ctx, &dst, old);
		return emul_put(ctx, &dst, low ? __builtin_ctzll(val) : 63 - __builtin_clzll(val));
	}
	res = !val ? bits : low ? (unsigned int)__builtin_ctzll(val) :
				  (unsigned int)__builtin_clzll(val) - (64 - bits);
	set_flags(ctx, EMUL_CF | EMUL_ZF, (val ? 0 : EMUL_CF) | (res ? 0 : EMUL_ZF));
	return emul_put(ctx, &dst, res);
}

/* Of a word the result is undefined; CPUs give 0. */
enum emul_status emul_do_bswap(struct emul_ctx *ctx, unsigned int arg)
{
	enum emul_status status;
	struct emul_ref dst;
	uint64_t val;

	(void)arg;
	status = emul_open(ctx, 0, VMM_ACCESS_WRITE, &dst);
	if (!status)
		status = emul_get(ctx, &dst, &val);
	if (status)
		return status;
	if (dst.size == 2)
		return emul_put(ctx, &dst, 0);
	return emul_put(ctx, &dst, __builtin_bswap64(val) >> (64 - dst.size * 8));
}

/* ---- decimal ---- */

static void ascii_adjust(struct emul_ctx *ctx, bool subtract)
{
	uint64_t ax = emul_gpr_read(ctx, VMM_RAX, 2);
	bool adjust = (ax & 0xf) > 9 || (ctx->regs.rflags & EMUL_AF);

	if (adjust)
		ax += subtract ? -0x106ull : 0x106;
	emul_gpr_write(ctx, VMM_RAX, 2, ax & 0xff0f);
	set_flags(ctx, EMUL_AF | EMUL_CF, adjust ? EMUL_AF | EMUL_CF : 0);
}

static void packed_adjust(struct emul_ctx *ctx, bool subtract)
{
	uint64_t old = emul_gpr_read(ctx, VMM_RAX, 1), al = old, carry = 0, half = 0;
	bool had_carry = ctx->regs.rflags & EMUL_CF;

	if ((old & 0xf) > 9 || (ctx->regs.rflags & EMUL_AF)) {
		al += subtract ? -6ull : 6;
		half = EMUL_AF;
		if (had_carry || al > 0xff)
			carry = EMUL_CF;
	}
	if (old > 0x99 || had_carry) {
		al += subtract ? -0x60ull : 0x60;
		carry = EMUL_CF;
	}
	emul_gpr_write(ctx, VMM_RAX, 1, al);
	result_flags(ctx, 1, al & 0xff);
	set_flags(ctx, EMUL_AF | EMUL_CF, half | carry);
}

enum emul_status emul_do_decimal(struct emul_ctx *ctx, unsigned int op)
{
	bool subtract = op == EMUL_AAS || op == EMUL_DAS;

	if (op == EMUL_AAA || op == EMUL_AAS)
		ascii_adjust(ctx, subtract);
	else
		packed_adjust(ctx, subtract);
	return EMUL_OK;
}

/* The base is an operand, 10 in the assembler's form without one. */
enum emul_status emul_do_aam(struct emul_ctx *ctx, unsigned int arg)
{
	uint64_t al = emul_gpr_read(ctx, VMM_RAX, 1), base;
	enum emul_status status = emul_load(ctx, 0, &base);

	(void)arg;
	base &= 0xff;
	if (status)
		return status;
	if (!base)
		return emul_raise(ctx, EMUL_VECTOR_DE);
	emul_gpr_write(ctx, VMM_RAX, 2, al / base << 8 | al % base);
	result_flags(ctx, 1, al % base);
	return EMUL_OK;
}

enum emul_status emul_do_aad(struct emul_ctx *ctx, unsigned int arg)
{
	uint64_t ax = emul_gpr_read(ctx, VMM_RAX, 2), base;
	enum emul_status status = emul_load(ctx, 0, &base);

	(void)arg;
	if (status)
		return status;
	ax = ((ax & 0xff) + (ax >> 8) * (base & 0xff)) & 0xff;
	emul_gpr_write(ctx, VMM_RAX, 2, ax);
	result_flags(ctx, 1, ax);
	return EMUL_OK;
}

/* ---- moves ---- */

/* CBW and its like (@arg 0) widen rAX in place, CWD and its like (1) into rDX. */
enum emul_status emul_do_widen(struct emul_ctx *ctx, unsigned int arg)
{
	unsigned int size = ctx->insn.operand_width / 8, from = arg ? size : size / 2;
	uint64_t val = emul_sign_extend(emul_gpr_read(ctx, VMM_RAX, from), from);

	if (arg)
		emul_gpr_write(ctx, VMM_RDX, size, val >> 63 ? UINT64_MAX : 0);
	else
		emul_gpr_write(ctx, VMM_RAX, size, val);
	return EMUL_OK;
}

enum emul_status emul_do_lea(struct emul_ctx *ctx, unsigned int arg)
{
	struct emul_ref dst;
	enum emul_status status = emul_open(ctx, 0, VMM_ACCESS_WRITE, &dst);

	(void)arg;
	if (status)
		return status;
	return emul_put(ctx, &dst, emul_offset(ctx, &ctx->operands[1]));
}

/* The one memory operand is a hidden one; its index is AL. */
static enum vmm_sreg table_segment(const struct emul_ctx *ctx)
{
	unsigned int i;

	for (i = 0; i < ctx->insn.operand_count; i++)
		if (ctx->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return emul_segment(&ctx->operands[i]);
	return VMM_DS;
}

enum emul_status emul_do_xlat(struct emul_ctx *ctx, unsigned int arg)
{
	uint64_t offset = ctx->regs.rbx + emul_gpr_read(ctx, VMM_RAX, 1);
	enum emul_status status;
	struct emul_span span;
	uint8_t val;

	(void)arg;
	status = emul_resolve(ctx, table_segment(ctx),
			      offset & emul_mask(ctx->insn.address_width / 8), 1,
			      VMM_ACCESS_READ, &span);
	if (!status)
		status = emul_read(ctx, &span, &val);
	if (!status)
		emul_gpr_write(ctx, VMM_RAX, 1, val);
	return status;
}

#define AH_FLAGS	(EMUL_SF | EMUL_ZF | EMUL_AF | EMUL_PF | EMUL_CF)

enum emul_status emul_do_lahf(struct emul_ctx *ctx, unsigned int arg)
{
	uint64_t ah = (ctx->regs.rflags & AH_FLAGS) | 2;

	(void)arg;
	emul_gpr_write(ctx, VMM_RAX, 2, ah << 8 | emul_gpr_read(ctx, VMM_RAX, 1));
	return EMUL_OK;
}

enum emul_status emul_do_sahf(struct emul_ctx *ctx, unsigned int arg)
{
	(void)arg;
	set_flags(ctx, AH_FLAGS, emul_gpr_read(ctx, VMM_RAX, 2) >> 8);
	return EMUL_OK;
}

/* In no manual of one vendor, but on all CPUs: AL is CF, sign-extended. */
enum emul_status emul_do_salc(struct emul_ctx *ctx, unsigned int arg)
{
	(void)arg;
	emul_gpr_write(ctx, VMM_RAX, 1, ctx->regs.rflags & EMUL_CF ? 0xff : 0);
	return EMUL_OK;
}
