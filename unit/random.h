/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random numbers, the same in each run of a program (xorshift). */
#ifndef UNIT_RANDOM_H
#define UNIT_RANDOM_H

#include <stdint.h>

static uint64_t random64(void)
{
	static uint64_t state = 0x2545f4914f6cdd1dull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

#endif /* UNIT_RANDOM_H */
