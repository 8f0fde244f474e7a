/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of a command: one table for parsing, for --help and for the man
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
	OPTION_LIST,		/* may be given again, up to CONFIG_LIST_MAX times */
	OPTION_NUMBER,		/* as a port */
	OPTION_PORT,		/* a number, with 0x before it a hexadecimal one */
	OPTION_DEVICE,		/* one more of them: it may be given again */
};

struct option_row {
	const char *name;	/* without the dashes */
	const char *value;	/* what --help calls the value, NULL for a flag */
	enum option_kind kind;
	size_t offset;		/* of the member of the command's config */
	uint64_t min, max;	/* of a size, number or port */
	const char *text;
};

struct option_table {
	const char *command;
	const struct option_row *rows;
	unsigned int count;	/* at most 64 */
};

extern const struct option_table run_options;		/* of struct config */
extern const struct option_table doctor_options;	/* in command_doctor.c */

/*
 * Fill @config, which holds the defaults, from the arguments behind the
 * subcommand. STATUS_USAGE, with a message, for an option that is unknown, given
 * twice, lacks its value or has one that is out of range.
 */
enum status options_parse(const struct option_table *table, int argc, char **argv, void *config);

void options_print(const struct option_table *table, FILE *out);

#endif /* RUNNER_OPTIONS_H */
