/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values of options that are made of parts: "VALUE,key=value,key=value". A table
 * says which keys there are, like that of the options.
 */
#ifndef RUNNER_KEYS_H
#define RUNNER_KEYS_H

#include <stddef.h>
#include <stdint.h>
#include "status.h"

struct key_row {
	const char *name;
	size_t offset;			/* of a uint64_t in what is filled */
	uint64_t min, max;		/* of a number */
	const char *const *words;	/* ended by NULL; the value is the word's index */
};

/*
 * Fill *@out from @keys, ",key=value,..." or "". Numbers are decimal, or hexadecimal
 * with 0x before them. STATUS_USAGE, with a message that names @option, for a key
 * that is missing behind its comma, unknown, given twice, or whose value is none of it.
 */
enum status keys_parse(const char *option, const char *keys, const struct key_row *rows,
		       unsigned int count, void *out);

/* The length of what stands before the first comma, and the rest with it: "" if there is none. */
size_t keys_split(const char *text, const char **keys);

/* A decimal or, with 0x before it, hexadecimal number that is all of @len bytes. */
int keys_number(const char *text, size_t len, uint64_t *value);

#endif /* RUNNER_KEYS_H */
