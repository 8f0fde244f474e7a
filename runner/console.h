/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the guest's UART and the process's standard input and output. Lives as
 * long as the process; the UART comes and goes with each start of the machine.
 *
 * Both directions are bounded: output that the reader has not taken stays in a
 * ring, and a full ring stops the UART's transmitter; input that the guest has not
 * taken stops the reading of standard input.
 */
#ifndef RUNNER_CONSOLE_H
#define RUNNER_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>
#include "status.h"

struct console;
struct pc16550;

/* @in, @out: descriptors, borrowed. @escapes: Ctrl-A commands are recognized. */
struct console *console_create(int in, int out, bool escapes);

/*
 * Undo console_create(). Waits for the write under way; a process whose reader is
 * stuck exits without it. NULL is fine.
 */
void console_destroy(struct console *console);

/* Start the thread that writes. Before the first character of output. */
enum status console_start(struct console *console);

/* Connect a UART, or with NULL disconnect: then no call into it is under way. */
void console_attach(struct console *console, struct pc16550 *uart);

/*
 * From the UART, with its lock held. After each console_put(), whether it took the
 * byte (true) or was full (false), a pc16550_resume() follows.
 */
bool console_put(struct console *console, uint8_t byte);
void console_wants_input(struct console *console);

/*
 * A byte from a port without flow control: waits for room. Any vCPU thread, without
 * locks of a UART. console_release() ends the waiting, also that to come, until the
 * next console_attach() of a UART; the bytes are lost then.
 */
void console_put_wait(struct console *console, uint8_t byte);
void console_release(struct console *console);

/* The guest printed what Linux prints when it panics, since the last attach. */
bool console_saw_panic(const struct console *console);

/* For the event loop (run.c). */
enum console_event {
	CONSOLE_GOES_ON,
	CONSOLE_END,		/* Ctrl-A x */
	CONSOLE_LOST,		/* output cannot be written any more */
	CONSOLE_DRAINED,	/* all output is written */
};

/* A descriptor to poll for reading, then console_wake() handles it. */
int console_wake_fd(const struct console *console);
enum console_event console_wake(struct console *console);

/*
 * From now on the event loop only waits for the last output: CONSOLE_DRAINED if
 * there is none, else console_wake() will say so.
 */
enum console_event console_drain(struct console *console);

/* The descriptor to poll for input, -1 when none is wanted; then console_input(). */
int console_input_fd(const struct console *console);
enum console_event console_input(struct console *console);

/* The errno of CONSOLE_LOST. */
int console_error(const struct console *console);

#endif /* RUNNER_CONSOLE_H */
