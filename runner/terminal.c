// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Raw mode and its undoing. A process has one terminal, hence the globals; saved
 * is constant once raw can be true.
 *
 * Job control: SIGTSTP and SIGCONT come through the event loop (run.c), which
 * restores and re-enters raw mode around the stop.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>
#include "terminal.h"

static const int fatal_signals[] = {
	SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP,
};

static int terminal_fd = -1;
static struct termios saved;
static atomic_bool raw;

void terminal_restore(void)
{
	if (atomic_exchange(&raw, false))
		tcsetattr(terminal_fd, TCSANOW, &saved);
}

/* SA_RESETHAND made the action the default one again: the second time ends it. */
static void on_fatal_signal(int sig)
{
	terminal_restore();
	raise(sig);
}

void terminal_open(int fd)
{
	struct sigaction action = { .sa_handler = on_fatal_signal, .sa_flags = SA_RESETHAND };

	if (tcgetattr(fd, &saved))
		return;
	terminal_fd = fd;
	atexit(terminal_restore);
	for (size_t i = 0; i < sizeof(fatal_signals) / sizeof(fatal_signals[0]); i++)
		sigaction(fatal_signals[i], &action, NULL);
}

void terminal_raw(void)
{
	struct termios mode = saved;

	/* From the background this would change the mode under another program. */
	if (terminal_fd < 0 || tcgetpgrp(terminal_fd) != getpgrp())
		return;
	cfmakeraw(&mode);
	if (!tcsetattr(terminal_fd, TCSANOW, &mode))
		atomic_store(&raw, true);
}

bool terminal_is_raw(void)
{
	return atomic_load(&raw);
}
