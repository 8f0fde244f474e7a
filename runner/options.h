/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of `vmm run`: one table for parsing, for --help and for the man
 * page's check.
 */
#ifndef RUNNER_OPTIONS_H
#define RUNNER_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "config.h"

enum option_kind {
	OPTION_FLAG,
	OPTION_STRING,
	OPTION_SIZE,		/* bytes, written with a unit: 256M */
	OPTION_COUNT,
};

struct option_row {
	const char *name;	/* without the dashes */
	const char *value;	/* what --help calls the value, NULL for a flag */
	enum option_kind kind;
	size_t offset;		/* of the member of struct config */
	uint64_t min, max;	/* of a size or count */
	const char *text;
};

extern const struct option_row option_rows[];
extern const unsigned int option_row_count;

/*
 * Fill @config, which holds the defaults, from the arguments behind the
 * subcommand. STATUS_USAGE, with a message, for an option that is unknown, given
 * twice, lacks its value or has one that is out of range.
 */
enum status options_parse(int argc, char **argv, struct config *config);

void options_print(FILE *out);

#endif /* RUNNER_OPTIONS_H */
