/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop of the main thread: signals, the console, the machine's end. It
 * never blocks in anything but poll().
 */
#ifndef RUNNER_LOOP_H
#define RUNNER_LOOP_H

#include "console.h"
#include "machine.h"
#include "stats.h"

/* For what the host does not finish: a disk may not answer any more. */
#define LOOP_GRACE_MS	2000

struct loop {
	int signal_fd;
	bool terminal;		/* input is one, and not always ours */
	struct console *console;
	struct machine *machine;	/* while it runs */
	const struct stats *stats;	/* of machines before it; NULL: nobody wants them */
};

enum loop_end {
	LOOP_MACHINE,		/* machine_get_end() has more */
	LOOP_USER,		/* Ctrl-A x */
	LOOP_SIGNAL,		/* @signal */
	LOOP_LOST,		/* the output cannot be written: console_error() */
	LOOP_DRAINED,
};

struct loop_result {
	enum loop_end end;
	int signal;
};

/*
 * Block the signals that the loop handles, for all threads to come, and open the
 * descriptor they arrive at. @stats: SIGUSR2 prints them, with the machine's; NULL: the
 * signal is not taken. Complains.
 */
enum status loop_open(struct loop *loop, struct console *console, bool terminal,
		      const struct stats *stats);
void loop_close(struct loop *loop);

/* Until the machine, the user or a signal ends it. The machine is still to be stopped. */
struct loop_result loop_run(struct loop *loop, struct machine *machine);

/*
 * Until @fd is readable, which says that the machine of @result is stopped. false: somebody asked
 * for the end, before or meanwhile, which then is in @result, and LOOP_GRACE_MS later it is not;
 * or asked again.
 */
bool loop_wait(struct loop *loop, int fd, struct loop_result *result);

/* Until all output is written, or the user or a signal gives up on it. */
struct loop_result loop_drain(struct loop *loop);

#endif /* RUNNER_LOOP_H */
