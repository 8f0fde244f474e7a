/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for the kernel's <linux/math64.h>. A quotient that has no room is #DE on the CPU. */
#ifndef UNIT_SHIM_MATH64_H
#define UNIT_SHIM_MATH64_H

#include <stdlib.h>
#include <linux/types.h>

static inline u64 mul_u64_u64_div_u64(u64 a, u64 b, u64 divisor)
{
	unsigned __int128 quotient = (unsigned __int128)a * b / divisor;

	if (quotient >> 64)
		abort();
	return quotient;
}

static inline u64 mul_u64_u32_div(u64 a, u32 b, u32 divisor)
{
	return mul_u64_u64_div_u64(a, b, divisor);
}

static inline u64 div_u64_rem(u64 dividend, u32 divisor, u32 *remainder)
{
	*remainder = dividend % divisor;
	return dividend / divisor;
}

static inline u64 mul_u64_u64_shr(u64 a, u64 b, unsigned int shift)
{
	return (unsigned __int128)a * b >> shift;
}

#endif /* UNIT_SHIM_MATH64_H */
