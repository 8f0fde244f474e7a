/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the program ends: its exit statuses and the one way to say why.
 *
 * A function that can fail for a reason the user must hear returns enum status;
 * it has called complain() where it found the cause, so callers only pass the
 * value on. The numbers are part of the program's interface: see status.c.
 */
#ifndef RUNNER_STATUS_H
#define RUNNER_STATUS_H

#include <stdio.h>

enum status {
	STATUS_OK = 0,
	STATUS_USAGE = 2,
	STATUS_BAD_FILE = 3,
	STATUS_NO_ROOM = 4,
	STATUS_NO_DEVICE = 5,
	STATUS_NO_PERMISSION = 6,
	STATUS_NO_HARDWARE = 7,
	STATUS_BUSY = 8,
	STATUS_VERSION = 9,
	STATUS_HOST = 10,
	STATUS_TRIPLE_FAULT = 20,
	STATUS_PANIC = 21,
	STATUS_FAIL_ENTRY = 22,
	STATUS_MEMORY = 23,
	STATUS_INTERNAL = 24,
	STATUS_EMULATION = 25,
	STATUS_SIGNAL = 128,	/* plus the signal's number */
};

struct status_row {
	enum status status;
	const char *text;
};

extern const struct status_row status_rows[];
extern const unsigned int status_row_count;

/* Print the table, a line a row. */
void status_print(FILE *out);

/* One line on standard error, "vmm: " before it; @fmt ends without a newline. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif /* RUNNER_STATUS_H */
