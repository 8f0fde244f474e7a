/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the guest's UART and the process's standard input and output. Lives as
 * long as the process; the UART comes and goes with each start of the machine. So does a
 * port of a virtio console that is led here: output of both is mixed, and input is the
 * port's while the guest has it open.
 *
 * Both directions are bounded: output that the reader has not taken stays in a
 * ring, and a full ring stops the UART's transmitter; input that the guest has not
 * taken stops the reading of standard input.
 */
#ifndef RUNNER_CONSOLE_H
#define RUNNER_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
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

/* A port beside the UART: called from the console's threads, which it must not keep. */
struct console_port {
	void (*room)(void *opaque);	/* console_room() was 0 and is not any more */
	/* Input: returns how much it took; console_wants_input() brings the rest. */
	size_t (*receive)(void *opaque, const uint8_t *data, size_t len);
	void (*resized)(void *opaque);	/* console_size() may be another */
	void *opaque;
};

/* Connect a port, or with NULL disconnect: then no call of it is under way. */
void console_attach_port(struct console *console, const struct console_port *port);

/* From the port, in a thread of its own: is input its own, not the UART's? */
void console_port_takes(struct console *console, bool takes);
/* Bytes that console_write() takes. */
size_t console_room(struct console *console);
/* Returns how many it took: with one port, what console_room() said, or all after a loss. */
size_t console_write(struct console *console, const uint8_t *data, size_t len);
/* Of the terminal that output goes to; false: it goes to none, or that has no size. */
bool console_size(const struct console *console, uint16_t *cols, uint16_t *rows);

/* From the event loop: the terminal's size changed. */
void console_resized(struct console *console);

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
