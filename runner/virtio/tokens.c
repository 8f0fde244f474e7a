// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Token buckets. A level is in billionths of a token, so that a slow bucket loses nothing
 * to rounding; it may be negative, which is the debt.
 */
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include "tokens.h"

#define SECOND		1000000000LL
#define BURST		(SECOND / 10)	/* what a full bucket holds, in time */
/* No wait is shorter: what comes in between is let through at once. */
#define TICK		(SECOND / 1000)
/* Nor longer: a larger debt is looked at again. */
#define WAIT_MAX	(3600 * SECOND)

struct bucket {
	uint64_t rate;			/* tokens a second, 0: no limit */
	__int128 level;
};

struct tokens {
	struct bucket operations, bytes;
	uint64_t then;			/* of the levels */
	struct iothread *io;
	struct iowatch timer;
	void (*more)(void *opaque);
	void *opaque;
};

static __int128 full(const struct bucket *bucket)
{
	__int128 level = (__int128)bucket->rate * BURST;

	/* One token must fit, however slow. */
	return level < SECOND ? SECOND : level;
}

static void fill(struct bucket *bucket, uint64_t elapsed)
{
	bucket->level += (__int128)bucket->rate * elapsed;
	if (bucket->level > full(bucket))
		bucket->level = full(bucket);
}

static bool empty(const struct bucket *bucket)
{
	return bucket->rate && bucket->level <= 0;
}

static void take(struct bucket *bucket, uint64_t count)
{
	if (bucket->rate)
		bucket->level -= (__int128)count * SECOND;
}

bool tokens_take_at(struct tokens *tokens, uint64_t bytes, uint64_t now)
{
	uint64_t elapsed = now - tokens->then;

	tokens->then = now;
	fill(&tokens->operations, elapsed);
	fill(&tokens->bytes, elapsed);
	if (empty(&tokens->operations) || empty(&tokens->bytes))
		return false;
	take(&tokens->operations, 1);
	take(&tokens->bytes, bytes);
	return true;
}

static uint64_t clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

/* How long until it is not empty. */
static uint64_t wait_for(const struct bucket *bucket)
{
	__int128 wait = empty(bucket) ? -bucket->level / bucket->rate + 1 : 0;

	return wait < WAIT_MAX ? wait : WAIT_MAX;
}

static void arm(struct tokens *tokens)
{
	uint64_t first = wait_for(&tokens->operations), second = wait_for(&tokens->bytes);
	uint64_t wait = first > second ? first : second;
	struct itimerspec when = { 0 };

	if (wait < TICK)
		wait = TICK;
	when.it_value.tv_sec = wait / SECOND;
	when.it_value.tv_nsec = wait % SECOND;
	timerfd_settime(tokens->timer.fd, 0, &when, NULL);
}

bool tokens_take(struct tokens *tokens, uint64_t bytes)
{
	if (tokens_take_at(tokens, bytes, clock_now()))
		return true;
	arm(tokens);
	return false;
}

void tokens_charge(struct tokens *tokens, uint64_t bytes)
{
	take(&tokens->operations, 1);
	take(&tokens->bytes, bytes);
}

static void on_timer(void *opaque)
{
	struct tokens *tokens = opaque;
	uint64_t count;
	ssize_t n = read(tokens->timer.fd, &count, sizeof(count));

	(void)n;
	tokens->more(tokens->opaque);
}

struct tokens *tokens_create(struct iothread *io, uint64_t operations, uint64_t bytes,
			     void (*more)(void *opaque), void *opaque)
{
	struct tokens *tokens = calloc(1, sizeof(*tokens));

	if (!tokens)
		return NULL;
	tokens->operations.rate = operations;
	tokens->operations.level = full(&tokens->operations);
	tokens->bytes.rate = bytes;
	tokens->bytes.level = full(&tokens->bytes);
	tokens->then = clock_now();
	tokens->io = io;
	tokens->more = more;
	tokens->opaque = opaque;
	tokens->timer = (struct iowatch) {
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), on_timer, tokens,
	};
	if (tokens->timer.fd >= 0 && !iothread_watch(io, &tokens->timer, EPOLLIN))
		return tokens;
	tokens_destroy(tokens);
	return NULL;
}

void tokens_destroy(struct tokens *tokens)
{
	if (!tokens)
		return;
	if (tokens->timer.fd >= 0) {
		iothread_unwatch(tokens->io, &tokens->timer);
		close(tokens->timer.fd);
	}
	free(tokens);
}
