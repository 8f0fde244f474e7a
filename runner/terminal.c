// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Raw mode and its undoing. A process has one terminal, hence the globals; saved
 * is constant once raw can be true, and raw is true before the mode is, so that a
 * signal in between undoes what may have been done.
 *
 * Job control: SIGTSTP and SIGCONT come through the event loop (loop.c), which
 * restores and re-enters raw mode around the stop. In the background the mode is
 * another program's: neither set nor restored, and the attempt would stop us.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>
#include "terminal.h"

/* What ends a process unless it sees to it, but those that the event loop takes. */
static const int fatal_signals[] = {
	SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGUSR1, SIGUSR2, SIGALRM,
	SIGVTALRM, SIGPROF, SIGXCPU, SIGXFSZ, SIGIO, SIGPWR, SIGSTKFLT,
};

static int terminal_fd = -1;
static struct termios saved;
static atomic_bool raw;

/* A terminal without a foreground group, or that is not this session's, is anyone's. */
static bool in_background(void)
{
	pid_t foreground = tcgetpgrp(terminal_fd);

	return foreground > 0 && foreground != getpgrp();
}

void terminal_restore(void)
{
	if (atomic_exchange(&raw, false) && !in_background())
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

	if (terminal_fd < 0)
		return;
	atomic_store(&raw, !in_background());
	if (!atomic_load(&raw))
		return;
	cfmakeraw(&mode);
	if (tcsetattr(terminal_fd, TCSANOW, &mode))
		atomic_store(&raw, false);
}

bool terminal_is_raw(void)
{
	return atomic_load(&raw);
}
