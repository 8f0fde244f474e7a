/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device's state as bytes: what a snapshot or a migration carries.
 *
 * A record is a sequence of sections; a section has a name, a version and a length, so
 * that a reader can tell what it does not know. Numbers are 64-bit little-endian.
 * Errors are remembered: a writer without memory, a reader whose bytes end or do not
 * fit. state_good() at the end is the one check.
 */
#ifndef RUNNER_STATE_H
#define RUNNER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct state {
	uint8_t *buf;
	size_t len;		/* bytes written, or to read */
	size_t room;		/* bytes allocated */
	size_t at;		/* of a reader */
	bool bad;
};

void state_init(struct state *state);
void state_free(struct state *state);
bool state_good(const struct state *state);

void state_put(struct state *state, uint64_t value);
void state_put_bytes(struct state *state, const void *data, size_t len);
/* Start a section; what is returned goes to state_end(). */
size_t state_begin(struct state *state, const char *name, uint32_t version);
void state_end(struct state *state, size_t start);

/* 0 when nothing is left, and then state_good() is false. */
uint64_t state_get(struct state *state);
/* A number that must not be above @max: else 0, and state_good() is false. */
uint64_t state_get_max(struct state *state, uint64_t max);
void state_get_bytes(struct state *state, void *data, size_t len);
/*
 * The next section, which must be called @name and have a version from 1 to @newest.
 * @section reads it and must be left with state_leave(), which also finds out whether
 * it was read to its end. Returns the version, 0 on error.
 */
uint32_t state_enter(struct state *state, const char *name, uint32_t newest,
		     struct state *section);
void state_leave(struct state *state, const struct state *section);

#endif /* RUNNER_STATE_H */
