/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's clock: KVM's documented layout of the page that an MSR names, and its use. */
#ifndef SELFTESTS_KVMCLOCK_H
#define SELFTESTS_KVMCLOCK_H

#include "guest.h"

#define MSR_KVM_SYSTEM_TIME	0x4b564d01

struct time_info {
	u32 version;
	u32 pad0;
	u64 tsc_timestamp;
	u64 system_time;
	u32 tsc_to_system_mul;
	signed char tsc_shift;
	u8 flags;
	u8 pad[2];
} __attribute__((packed));

/* In flags: the clocks of all vCPUs are one. Else each reading may be a little off another. */
#define KVMCLOCK_STABLE		(1U << 0)

static inline u64 read_clock(const volatile struct time_info *info)
{
	u64 delta, ns;
	u32 version;

	do {
		version = info->version;
		__asm__ volatile("" : : : "memory");
		delta = rdtsc() - info->tsc_timestamp;
		delta = info->tsc_shift < 0 ? delta >> -info->tsc_shift : delta << info->tsc_shift;
		/* 64 x 32 bits, without the library's 128-bit help */
		ns = info->system_time + (delta >> 32) * info->tsc_to_system_mul +
			((delta & 0xffffffff) * info->tsc_to_system_mul >> 32);
		__asm__ volatile("" : : : "memory");
	} while (version & 1 || version != info->version);
	return ns;
}

#endif
