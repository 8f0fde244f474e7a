/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for the kernel's <asm/tsc.h>: the test's CPU has the TSC that it says. */
#ifndef UNIT_SHIM_TSC_H
#define UNIT_SHIM_TSC_H

#include <linux/types.h>

static unsigned int tsc_khz = 1000000;
static u64 unit_shim_tsc;

static inline u64 rdtsc(void)
{
	return unit_shim_tsc;
}

static inline u64 rdtsc_ordered(void)
{
	return unit_shim_tsc;
}

#endif /* UNIT_SHIM_TSC_H */
