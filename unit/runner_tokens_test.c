// SPDX-License-Identifier: GPL-2.0-or-later
/* Token buckets, on a clock that the test moves. */
/* unit-sources: ../runner/virtio/tokens.c ../runner/iothread.c */
/* unit-flags: -D_GNU_SOURCE */
#include <stdlib.h>
#include <time.h>
#include "tap.h"
#include "../runner/virtio/tokens.h"

#define SECOND	1000000000ULL

void complain(const char *fmt, ...)
{
	(void)fmt;
}

static struct iothread *io;
static unsigned int called;

static void more(void *opaque)
{
	(void)opaque;
	called++;
}

/* Called behind tokens_create(), whose clock it goes on from. */
static uint64_t start(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

/* How many operations of @bytes pass in @seconds, tried every millisecond. */
static unsigned int passed(uint64_t operations, uint64_t rate, uint64_t bytes, int seconds)
{
	struct tokens *tokens = tokens_create(io, operations, rate, more, NULL);
	uint64_t now = start();
	unsigned int count = 0;

	for (int i = 0; i < seconds * 1000; i++, now += SECOND / 1000)
		while (tokens_take_at(tokens, bytes, now))
			count++;
	tokens_destroy(tokens);
	return count;
}

static bool near(unsigned int got, unsigned int want)
{
	if (got < want * 9 / 10 || got > want * 23 / 20) {
		tap_note("got %u, want about %u", got, want);
		return false;
	}
	return true;
}

int main(void)
{
	struct tokens *tokens;

	if (iothread_create(&io))
		return 1;
	ok(near(passed(100, 0, 1 << 20, 10), 1000), "100 operations a second, of any size");
	ok(near(passed(0, 1 << 20, 4096, 10), 2560), "1 MiB a second of 4 KiB");
	ok(near(passed(0, 1 << 20, 4 << 20, 100), 25),
	   "requests larger than the bucket pass, in time");
	ok(near(passed(1000, 1 << 20, 65536, 10), 160), "of two limits the tighter counts");
	ok(near(passed(1, 0, 0, 100), 100), "one a second is one a second");
	tokens = tokens_create(io, 50, 0, more, NULL);
	while (tokens_take(tokens, 0))
		;
	ok(iothread_poll(io, 5000) == 1 && called == 1, "who was refused is called again");
	ok(tokens_take(tokens, 0), "and then may go on");
	tokens_destroy(tokens);
	tokens = tokens_create(io, 4, 0, more, NULL);
	for (int i = 0; i < 41; i++)
		tokens_charge(tokens, 0);
	ok(!tokens_take_at(tokens, 0, start() + 9 * SECOND), "what is charged is a debt");
	ok(tokens_take_at(tokens, 0, start() + 11 * SECOND), "until time has paid it");
	tokens_destroy(tokens);
	tokens = tokens_create(io, 0, 1, more, NULL);
	for (int i = 0; i < 4; i++)
		tokens_charge(tokens, UINT64_MAX);
	ok(!tokens_take(tokens, 0), "no debt is too large to be kept");
	tokens_destroy(tokens);
	iothread_destroy(io);
	return tap_end();
}
