// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Prints the frequency of this machine's TSC in kHz. QEMU's hosts see this TSC as
 * it is, but calibrate it against emulated timers, which on a busy machine is wrong
 * by a factor; so they are told (tsc_early_khz=).
 *
 * Of several short windows the one counts in which the two clocks were read with
 * the least delay between them.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define WINDOWS		5
#define WINDOW_NS	20000000

struct moment {
	uint64_t ns;
	uint64_t tsc;
	uint64_t delay;		/* TSC ticks in which both were read */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static struct moment look(void)
{
	struct moment best = { .delay = UINT64_MAX };
	int i;

	for (i = 0; i < 10; i++) {
		struct moment m = { .tsc = __rdtsc() };

		m.ns = now_ns();
		m.delay = __rdtsc() - m.tsc;
		if (m.delay < best.delay)
			best = m;
	}
	return best;
}

int main(void)
{
	uint64_t least = UINT64_MAX, khz = 0;
	int i;

	for (i = 0; i < WINDOWS; i++) {
		const struct timespec pause = { .tv_nsec = WINDOW_NS };
		struct moment a = look(), b;

		nanosleep(&pause, NULL);
		b = look();
		if (a.delay + b.delay < least) {
			least = a.delay + b.delay;
			khz = (b.tsc - a.tsc) * 1000000 / (b.ns - a.ns);
		}
	}
	printf("%llu\n", (unsigned long long)khz);
	return 0;
}
