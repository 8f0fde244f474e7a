/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The words of a device's option: `--disk FIRST[,NAME][,NAME=VALUE]...`. One table for
 * each device; each word but a list may be given once. A comma inside FIRST is written twice.
 */
#ifndef RUNNER_WORDS_H
#define RUNNER_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "status.h"

enum word_kind {
	WORD_FLAG,		/* bool */
	WORD_COUNT,		/* uint32_t, @min to @max */
	WORD_COUNT64,		/* uint64_t */
	WORD_TEXT,		/* char[@max], of @min bytes at least; no NUL if it is full */
	WORD_LIST,		/* struct word_list: it may be given again, @max times in all */
};

/* Values as they stand in the text, which stays; the comma behind ends one. */
#define WORD_LIST_MAX	16

struct word_list {
	const char *item[WORD_LIST_MAX];
	unsigned int len[WORD_LIST_MAX];
	unsigned int count;
};

struct word_row {
	const char *name;
	enum word_kind kind;
	size_t offset;		/* of the member */
	uint64_t min, max;
};

struct word_table {
	const char *option;	/* for messages */
	const struct word_row *rows;
	unsigned int count;	/* at most 64 */
};

/*
 * *@first is what stands before the first comma, the caller's to free, also on error;
 * the rest fills @members, which holds the defaults. Complains.
 */
enum status words_parse(const struct word_table *table, const char *text, const char **first,
			void *members);

/* Is @text "fd=N", a descriptor that this process inherited? Also with words behind it. */
bool words_fd(const char *text, int *fd);

/*
 * Bytes, written with one of the units K, M, G, T. The unit is required: of a bare number
 * nobody knows whether it means bytes.
 */
bool words_size(const char *text, uint64_t *size);

#endif /* RUNNER_WORDS_H */
