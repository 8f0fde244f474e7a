// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Arithmetic and its flags: pure functions of operands and the flags word.
 *
 * Operands come masked to their size, results leave so. Flags that the manuals call
 * undefined are left as they were, or cleared (AF after a logical operation).
 */
#include "emul.h"

static uint64_t msb(unsigned int size)
{
	return 1ull << (size * 8 - 1);
}

static uint64_t set_if(uint64_t flag, bool condition)
{
	return condition ? flag : 0;
}

/* SF, ZF and PF of a result. */
static uint64_t result_flags(unsigned int size, uint64_t res)
{
	return set_if(EMUL_ZF, !res) | set_if(EMUL_SF, res & msb(size)) |
	       set_if(EMUL_PF, !__builtin_parity(res & 0xff));
}

static void set_flags(uint64_t *flags, uint64_t mask, uint64_t val)
{
	*flags = (*flags & ~mask) | (val & mask);
}

static uint64_t add(unsigned int size, uint64_t a, uint64_t b, unsigned int carry,
		    uint64_t *flags)
{
	uint64_t res = (a + b + carry) & emul_mask(size);
	uint64_t carries = (a & b) | ((a | b) & ~res);

	set_flags(flags, EMUL_STATUS, result_flags(size, res) |
		  set_if(EMUL_CF, carries & msb(size)) | set_if(EMUL_AF, carries & 8) |
		  set_if(EMUL_OF, (a ^ res) & (b ^ res) & msb(size)));
	return res;
}

static uint64_t sub(unsigned int size, uint64_t a, uint64_t b, unsigned int borrow,
		    uint64_t *flags)
{
	uint64_t res = (a - b - borrow) & emul_mask(size);
	uint64_t borrows = (~a & b) | ((~a | b) & res);

	set_flags(flags, EMUL_STATUS, result_flags(size, res) |
		  set_if(EMUL_CF, borrows & msb(size)) | set_if(EMUL_AF, borrows & 8) |
		  set_if(EMUL_OF, (a ^ b) & (a ^ res) & msb(size)));
	return res;
}

static uint64_t logic(unsigned int size, uint64_t res, uint64_t *flags)
{
	set_flags(flags, EMUL_STATUS, result_flags(size, res));
	return res;
}

static uint64_t do_add(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	return add(size, a, b, 0, flags);
}

static uint64_t do_adc(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	return add(size, a, b, *flags & EMUL_CF, flags);
}

static uint64_t do_sub(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	return sub(size, a, b, 0, flags);
}

static uint64_t do_sbb(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	return sub(size, a, b, *flags & EMUL_CF, flags);
}

static uint64_t do_or(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	return logic(size, a | b, flags);
}

static uint64_t do_and(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	return logic(size, a & b, flags);
}

static uint64_t do_xor(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	return logic(size, a ^ b, flags);
}

/* INC and DEC leave CF alone. */
static uint64_t do_inc(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	uint64_t carry = *flags & EMUL_CF;
	uint64_t res = add(size, a, 1, 0, flags);

	(void)b;
	set_flags(flags, EMUL_CF, carry);
	return res;
}

static uint64_t do_dec(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	uint64_t carry = *flags & EMUL_CF;
	uint64_t res = sub(size, a, 1, 0, flags);

	(void)b;
	set_flags(flags, EMUL_CF, carry);
	return res;
}

static uint64_t do_neg(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	(void)b;
	return sub(size, 0, a, 0, flags);
}

static uint64_t do_not(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	(void)b;
	(void)flags;
	return ~a & emul_mask(size);
}

/* A count is taken modulo 32, or 64 for quadwords; 0 leaves all flags alone. */
static unsigned int shift_count(unsigned int size, uint64_t b)
{
	return b & (size == 8 ? 63 : 31);
}

static uint64_t do_shl(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	unsigned int bits = size * 8, count = shift_count(size, b);
	uint64_t res = count < bits ? (a << count) & emul_mask(size) : 0;
	bool carry = count <= bits && count && (a >> (bits - count)) & 1;

	if (!count)
		return a;
	set_flags(flags, EMUL_STATUS & ~EMUL_AF, result_flags(size, res) |
		  set_if(EMUL_CF, carry) | set_if(EMUL_OF, !!(res & msb(size)) != carry));
	return res;
}

static uint64_t do_shr(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	unsigned int bits = size * 8, count = shift_count(size, b);
	uint64_t res = count < bits ? a >> count : 0;

	if (!count)
		return a;
	set_flags(flags, EMUL_STATUS & ~EMUL_AF, result_flags(size, res) |
		  set_if(EMUL_CF, count <= bits && (a >> (count - 1)) & 1) |
		  set_if(EMUL_OF, a & msb(size)));
	return res;
}

static uint64_t do_sar(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	unsigned int count = shift_count(size, b);
	int64_t wide = emul_sign_extend(a, size);
	uint64_t res = (uint64_t)(wide >> count) & emul_mask(size);

	if (!count)
		return a;
	set_flags(flags, EMUL_STATUS & ~EMUL_AF, result_flags(size, res) |
		  set_if(EMUL_CF, (wide >> (count - 1)) & 1));
	return res;
}

static uint64_t rotate_left(unsigned int size, uint64_t a, unsigned int count)
{
	unsigned int bits = size * 8;

	count %= bits;
	if (!count)
		return a;
	return ((a << count) | (a >> (bits - count))) & emul_mask(size);
}

static uint64_t do_rol(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	unsigned int count = shift_count(size, b);
	uint64_t res = rotate_left(size, a, count);

	if (count)
		set_flags(flags, EMUL_CF | EMUL_OF, set_if(EMUL_CF, res & 1) |
			  set_if(EMUL_OF, !!(res & msb(size)) != (res & 1)));
	return res;
}

static uint64_t do_ror(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	unsigned int count = shift_count(size, b);
	uint64_t res = rotate_left(size, a, size * 8 - count % (size * 8));

	if (count)
		set_flags(flags, EMUL_CF | EMUL_OF, set_if(EMUL_CF, res & msb(size)) |
			  set_if(EMUL_OF, !!(res & msb(size)) != !!(res & (msb(size) >> 1))));
	return res;
}

/* RCL turns the operand and CF above it as one ring, a bit at a time. */
static uint64_t do_rcl(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	unsigned int i, count = shift_count(size, b) % (size * 8 + 1);
	bool carry = *flags & EMUL_CF;

	if (!shift_count(size, b))
		return a;
	for (i = 0; i < count; i++) {
		bool out = a & msb(size);

		a = ((a << 1) | carry) & emul_mask(size);
		carry = out;
	}
	set_flags(flags, EMUL_CF | EMUL_OF, set_if(EMUL_CF, carry) |
		  set_if(EMUL_OF, !!(a & msb(size)) != carry));
	return a;
}

static uint64_t do_rcr(unsigned int size, uint64_t a, uint64_t b, uint64_t *flags)
{
	unsigned int i, count = shift_count(size, b) % (size * 8 + 1);
	bool carry = *flags & EMUL_CF;

	if (!shift_count(size, b))
		return a;
	for (i = 0; i < count; i++) {
		bool out = a & 1;

		a = (a >> 1) | (carry ? msb(size) : 0);
		carry = out;
	}
	set_flags(flags, EMUL_CF | EMUL_OF, set_if(EMUL_CF, carry) |
		  set_if(EMUL_OF, !!(a & msb(size)) != !!(a & (msb(size) >> 1))));
	return a;
}

static uint64_t (*const alu_ops[EMUL_NR_ALU])(unsigned int size, uint64_t a, uint64_t b,
					      uint64_t *flags) = {
	[EMUL_ADD] = do_add, [EMUL_OR] = do_or, [EMUL_ADC] = do_adc, [EMUL_SBB] = do_sbb,
	[EMUL_AND] = do_and, [EMUL_SUB] = do_sub, [EMUL_XOR] = do_xor, [EMUL_CMP] = do_sub,
	[EMUL_TEST] = do_and, [EMUL_INC] = do_inc, [EMUL_DEC] = do_dec, [EMUL_NEG] = do_neg,
	[EMUL_NOT] = do_not, [EMUL_ROL] = do_rol, [EMUL_ROR] = do_ror, [EMUL_RCL] = do_rcl,
	[EMUL_RCR] = do_rcr, [EMUL_SHL] = do_shl, [EMUL_SHR] = do_shr, [EMUL_SAR] = do_sar,
};

uint64_t emul_alu(enum emul_alu_op op, unsigned int size, uint64_t a, uint64_t b,
		  uint64_t *flags)
{
	return alu_ops[op](size, a, b, flags);
}

bool emul_condition(unsigned int cc, uint64_t flags)
{
	bool sign = flags & EMUL_SF, overflow = flags & EMUL_OF, zero = flags & EMUL_ZF;
	const bool conditions[8] = {
		overflow, flags & EMUL_CF, zero, zero || (flags & EMUL_CF),
		sign, flags & EMUL_PF, sign != overflow, zero || sign != overflow,
	};

	/* The lowest bit of the encoding negates. */
	return conditions[cc >> 1] != (cc & 1);
}
