/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LAB_HOSTLOG_H
#define LAB_HOSTLOG_H

#include <sys/types.h>

/*
 * Looks through the log from an offset on for lines in which the host's kernel
 * complains, and prints them with what follows. Returns how many there are.
 */
int hostlog_complaints(int fd, off_t from);

/* Has the kernel panicked? To be asked often: looks at what is new since. */
int hostlog_panicked(int fd);

/* Is @what anywhere in the log? */
int hostlog_has(int fd, const char *what);

/* Prints the last lines of the file, each after the prefix. */
void hostlog_tail(int fd, int lines, const char *prefix);

/* Copies the log to the path; -1 and errno on failure. */
int hostlog_save(int fd, const char *path);

#endif
