/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Limits of operations and bytes a second, as token buckets: each holds at most what a
 * tenth of a second brings, and a request larger than that takes what is there and
 * leaves a debt. All in the I/O thread.
 */
#ifndef RUNNER_VIRTIO_TOKENS_H
#define RUNNER_VIRTIO_TOKENS_H

#include <stdbool.h>
#include <stdint.h>
#include "../iothread.h"

struct tokens;

/* 0: no limit. @more is called when there may be tokens again, after a take that failed. */
struct tokens *tokens_create(struct iothread *io, uint64_t operations, uint64_t bytes,
			     void (*more)(void *opaque), void *opaque);
/* NULL is fine. */
void tokens_destroy(struct tokens *tokens);

/* One operation of @bytes: may it go on? */
bool tokens_take(struct tokens *tokens, uint64_t bytes);

/* One operation of @bytes that goes on whatever the levels: what comes next pays for it. */
void tokens_charge(struct tokens *tokens, uint64_t bytes);

/* The levels at @now, nanoseconds of any clock that does not go back. For tests. */
bool tokens_take_at(struct tokens *tokens, uint64_t bytes, uint64_t now);

#endif /* RUNNER_VIRTIO_TOKENS_H */
