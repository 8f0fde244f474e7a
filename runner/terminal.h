/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mode of the user's terminal: raw while the guest has it, and as it was
 * before at every way out of the process but SIGKILL.
 */
#ifndef RUNNER_TERMINAL_H
#define RUNNER_TERMINAL_H

#include <stdbool.h>

/*
 * Remember the mode of @fd, a terminal, and see to its restoration at exit() and at
 * the signals that end a process by default. Once a process, before threads exist.
 */
void terminal_open(int fd);

/*
 * Enter raw mode, if a terminal is open. In the background the terminal is not the
 * guest's and its mode stays.
 */
void terminal_raw(void);

/* Undo terminal_raw(). Any number of times, from signal handlers too. */
void terminal_restore(void);

/* Is the terminal the guest's? */
bool terminal_is_raw(void);

#endif /* RUNNER_TERMINAL_H */
