/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for the kernel's <linux/bits.h>. */
#ifndef UNIT_SHIM_BITS_H
#define UNIT_SHIM_BITS_H

#define BIT(n)			(1UL << (n))
#define BIT_ULL(n)		(1ULL << (n))
#define GENMASK_ULL(high, low)	((~0ULL >> (63 - (high))) & (~0ULL << (low)))
#define GENMASK(high, low)	((unsigned long)GENMASK_ULL(high, low))

#endif /* UNIT_SHIM_BITS_H */
