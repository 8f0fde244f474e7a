// SPDX-License-Identifier: GPL-2.0-or-later
/* The encoding of saved state: what is written is read, and nothing else. */
/* unit-sources: ../runner/state.c */
/* unit-flags: -D_GNU_SOURCE */
#include <stdlib.h>
#include "tap.h"
#include "../runner/state.h"

static void fill(struct state *state, uint32_t version)
{
	size_t start = state_begin(state, "outer", version), inner;

	state_put(state, 7);
	inner = state_begin(state, "inner", 1);
	state_put_bytes(state, "abc", 3);
	state_end(state, inner);
	state_put(state, UINT64_MAX);
	state_end(state, start);
}

static void test_round_trip(void)
{
	struct state state, outer, inner;
	char bytes[3];

	state_init(&state);
	fill(&state, 3);
	ok(state_good(&state), "sections are written");
	is(state_enter(&state, "outer", 5, &outer), 3, "a section tells its version");
	is(state_get(&outer), 7, "a number comes back");
	is(state_enter(&outer, "inner", 1, &inner), 1, "so does a section in a section");
	state_get_bytes(&inner, bytes, 3);
	ok(!memcmp(bytes, "abc", 3), "and bytes");
	state_leave(&outer, &inner);
	is(state_get_max(&outer, UINT64_MAX), UINT64_MAX, "what follows it is read next");
	state_leave(&state, &outer);
	ok(state_good(&state), "all of it is good");
	is(state.at, state.len, "to its end");
	state_free(&state);
}

/* Each makes the state bad. */
static void too_new(struct state *state)
{
	struct state outer;

	is(state_enter(state, "outer", 2, &outer), 0, "a newer version is not entered");
	is(state_get(&outer), 0, "and reads as zeros");
}

static void another(struct state *state)
{
	struct state outer;

	state_enter(state, "other", 9, &outer);
}

static void not_to_the_end(struct state *state)
{
	struct state outer;

	state_enter(state, "outer", 9, &outer);
	state_get(&outer);
	state_leave(state, &outer);
}

static void beyond_the_end(struct state *state)
{
	struct state outer;
	uint8_t bytes[256];

	state_enter(state, "outer", 9, &outer);
	state_get_bytes(&outer, bytes, sizeof(bytes));
	state_leave(state, &outer);
}

static void too_large(struct state *state)
{
	struct state outer;

	state_enter(state, "outer", 9, &outer);
	is(state_get_max(&outer, 6), 0, "a number above its limit reads as zero");
	state_leave(state, &outer);
}

static void test_bad(void (*read)(struct state *state), const char *name)
{
	struct state state;

	state_init(&state);
	fill(&state, 3);
	read(&state);
	ok(!state_good(&state), "%s is bad", name);
	state_free(&state);
}

int main(void)
{
	test_round_trip();
	test_bad(too_new, "a newer version");
	test_bad(another, "a section of another name");
	test_bad(not_to_the_end, "a section that is not read to its end");
	test_bad(beyond_the_end, "reading beyond a section's end");
	test_bad(too_large, "a number above its limit");
	return tap_end();
}
