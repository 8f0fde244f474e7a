// SPDX-License-Identifier: GPL-2.0-or-later
/* The encoding of state.h: numbers and bytes in sections. The reader trusts nothing. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include "state.h"

/* A machine's devices take kilobytes; what is larger is a mistake, or an attack. */
#define STATE_MAX	(64UL << 20)
#define NAME_SIZE	16

struct section {
	char name[NAME_SIZE];
	uint32_t version;
	uint32_t len;
};

void state_init(struct state *state)
{
	*state = (struct state) { 0 };
}

void state_free(struct state *state)
{
	free(state->buf);
	state_init(state);
}

bool state_good(const struct state *state)
{
	return !state->bad;
}

static bool grow(struct state *state, size_t len)
{
	size_t room = state->room ? state->room : 256;
	uint8_t *buf;

	if (state->bad || len > STATE_MAX - state->len)
		return false;
	while (room < state->len + len)
		room *= 2;
	buf = realloc(state->buf, room);
	if (!buf)
		return false;
	state->buf = buf;
	state->room = room;
	return true;
}

void state_put_bytes(struct state *state, const void *data, size_t len)
{
	if (!len)
		return;
	if (!grow(state, len)) {
		state->bad = true;
		return;
	}
	memcpy(state->buf + state->len, data, len);
	state->len += len;
}

void state_put(struct state *state, uint64_t value)
{
	value = htole64(value);
	state_put_bytes(state, &value, sizeof(value));
}

size_t state_begin(struct state *state, const char *name, uint32_t version)
{
	struct section section = { .version = htole32(version) };
	size_t start = state->len;

	memcpy(section.name, name, strnlen(name, NAME_SIZE - 1));
	state_put_bytes(state, &section, sizeof(section));
	return start;
}

void state_end(struct state *state, size_t start)
{
	struct section section;

	if (state->bad)
		return;
	memcpy(&section, state->buf + start, sizeof(section));
	section.len = htole32(state->len - start - sizeof(section));
	memcpy(state->buf + start, &section, sizeof(section));
}

void state_get_bytes(struct state *state, void *data, size_t len)
{
	if (state->bad || len > state->len - state->at) {
		state->bad = true;
		memset(data, 0, len);
		return;
	}
	if (len)
		memcpy(data, state->buf + state->at, len);
	state->at += len;
}

uint64_t state_get(struct state *state)
{
	uint64_t value;

	state_get_bytes(state, &value, sizeof(value));
	return le64toh(value);
}

uint64_t state_get_max(struct state *state, uint64_t max)
{
	uint64_t value = state_get(state);

	if (value <= max)
		return value;
	state->bad = true;
	return 0;
}

uint32_t state_enter(struct state *state, const char *name, uint32_t newest,
		     struct state *section)
{
	struct section head;
	uint32_t version;

	state_get_bytes(state, &head, sizeof(head));
	head.name[NAME_SIZE - 1] = 0;
	version = le32toh(head.version);
	*section = (struct state) { .bad = true };
	if (state->bad || strcmp(head.name, name) || !version || version > newest ||
	    le32toh(head.len) > state->len - state->at) {
		state->bad = true;
		return 0;
	}
	*section = (struct state) { .buf = state->buf + state->at, .len = le32toh(head.len) };
	state->at += section->len;
	return version;
}

void state_leave(struct state *state, const struct state *section)
{
	if (section->bad || section->at != section->len)
		state->bad = true;
}
