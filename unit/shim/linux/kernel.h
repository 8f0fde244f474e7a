/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for the kernel's <linux/kernel.h>: the few macros kmod/ files use. */
#ifndef UNIT_SHIM_KERNEL_H
#define UNIT_SHIM_KERNEL_H

#include <linux/types.h>

#define U64_MAX			((u64)~0ULL)
#define S64_MAX			((s64)(U64_MAX >> 1))

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

#define NSEC_PER_SEC		1000000000L

#define READ_ONCE(variable)		(*(const volatile __typeof__(variable) *)&(variable))
#define WRITE_ONCE(variable, value)	(*(volatile __typeof__(variable) *)&(variable) = (value))

#define min(a, b) ({				\
	__typeof__(a) _min_a = (a);		\
	__typeof__(b) _min_b = (b);		\
	_min_a < _min_b ? _min_a : _min_b;	\
})

#define max(a, b) ({				\
	__typeof__(a) _max_a = (a);		\
	__typeof__(b) _max_b = (b);		\
	_max_a > _max_b ? _max_a : _max_b;	\
})

#define min_t(type, a, b)	min((type)(a), (type)(b))
#define max_t(type, a, b)	max((type)(a), (type)(b))

#endif /* UNIT_SHIM_KERNEL_H */
