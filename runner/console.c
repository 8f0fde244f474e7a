// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The console: a ring and a thread for output, a buffer and the event loop's
 * thread for input.
 *
 * Output is written by a thread of its own, since a descriptor that others share
 * cannot be made non-blocking; it may block for ever while the event loop goes on.
 *
 * Locks: attach_lock, then the UART's or the port's, then ring_lock. Both are called with
 * attach_lock only. Input members belong to the event loop's thread.
 * Invariant: head - tail is at most RING_SIZE; the thread alone moves tail, so it
 * reads the bytes between the two without the lock.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "console.h"
#include "devices/16550.h"

/* What a slow reader may lag behind before the guest waits; a power of two. */
#define RING_SIZE	(64 * 1024)
/* One write: what a pipe takes at once. */
#define CHUNK		4096
/* How long a line may grow before it is written: bounds an echo's delay. */
#define GATHER_NS	2000000
/* Typing ahead of the guest, and a pipe's reading ahead. */
#define INPUT_SIZE	4096

#define ESCAPE		0x01	/* Ctrl-A */

static const char panic_text[] = "Kernel panic - not syncing";

static const char help_text[] =
	"\r\nvmm: Ctrl-A x ends the guest, Ctrl-A a or Ctrl-A Ctrl-A sends Ctrl-A, "
	"Ctrl-A h prints this\r\n";

struct console {
	int in, out;
	bool escapes;
	int wake_fd;

	pthread_mutex_t attach_lock;
	struct pc16550 *uart;		/* attach_lock */
	const struct console_port *port;	/* attach_lock */
	bool port_takes;		/* attach_lock; input is the port's */

	pthread_mutex_t ring_lock;
	pthread_cond_t ring_cond;	/* for the thread: something to do */
	unsigned int head, tail;	/* ring_lock; free-running */
	bool line;			/* ring_lock; a line's end is in the ring */
	bool draining;			/* ring_lock; the event loop waits for the end */
	bool stop;			/* ring_lock */
	bool released;			/* ring_lock; nobody waits for room */
	pthread_cond_t room_cond;	/* for console_put_wait(): there is room */
	int error;			/* ring_lock; errno, 0: the output works */
	bool port_waits;		/* ring_lock; the port found no room */
	unsigned int matched;		/* ring_lock; characters of panic_text from the UART */
	unsigned int port_matched;	/* ring_lock; and from the port */
	atomic_bool panic;
	pthread_t thread;
	bool started;

	bool eof;
	bool escape;			/* the last key was ESCAPE */
	unsigned int input_len;
	uint8_t input[INPUT_SIZE];

	uint8_t ring[RING_SIZE];
};

static void wake(struct console *console)
{
	uint64_t one = 1;
	ssize_t n = write(console->wake_fd, &one, sizeof(one));

	/* It can fail only when the counter is at its end, and so not 0. */
	(void)n;
}

/* ---- output ---- */

/* The text's first character occurs once in it, so a mismatch restarts at 0 or 1. */
static void watch_for_panic(struct console *console, unsigned int *matched, uint8_t byte)
{
	if (byte == panic_text[*matched])
		++*matched;
	else
		*matched = byte == panic_text[0];
	if (!panic_text[*matched]) {
		*matched = 0;
		atomic_store(&console->panic, true);
	}
}

static bool is_full(const struct console *console)
{
	return console->head - console->tail == RING_SIZE;
}

/* With the lock held, and room. @matched is the source's. */
static void put(struct console *console, unsigned int *matched, uint8_t byte)
{
	unsigned int fill = console->head - console->tail;

	watch_for_panic(console, matched, byte);
	console->ring[console->head++ % RING_SIZE] = byte;
	if (byte == '\n' || fill + 1 >= CHUNK)
		console->line = true;
	if (!fill || console->line)
		pthread_cond_signal(&console->ring_cond);
}

bool console_put(struct console *console, uint8_t byte)
{
	bool full;

	pthread_mutex_lock(&console->ring_lock);
	full = is_full(console);
	if (!full)
		put(console, &console->matched, byte);
	pthread_mutex_unlock(&console->ring_lock);
	return !full;
}

void console_put_wait(struct console *console, uint8_t byte)
{
	pthread_mutex_lock(&console->ring_lock);
	while (is_full(console) && !console->released)
		pthread_cond_wait(&console->room_cond, &console->ring_lock);
	if (!is_full(console))
		put(console, &console->matched, byte);
	pthread_mutex_unlock(&console->ring_lock);
}

void console_release(struct console *console)
{
	pthread_mutex_lock(&console->ring_lock);
	console->released = true;
	pthread_cond_broadcast(&console->room_cond);
	pthread_mutex_unlock(&console->ring_lock);
}

size_t console_room(struct console *console)
{
	size_t room;

	pthread_mutex_lock(&console->ring_lock);
	room = RING_SIZE - (console->head - console->tail);
	console->port_waits = !room;
	pthread_mutex_unlock(&console->ring_lock);
	return room;
}

size_t console_write(struct console *console, const uint8_t *data, size_t len)
{
	size_t done = 0;

	pthread_mutex_lock(&console->ring_lock);
	while (done < len && !is_full(console))
		put(console, &console->port_matched, data[done++]);
	pthread_mutex_unlock(&console->ring_lock);
	return done;
}

/* Let a line gather; its characters come one at a time. */
static void gather(struct console *console)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += GATHER_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (!console->line && !console->stop && !console->draining)
		if (pthread_cond_timedwait(&console->ring_cond, &console->ring_lock, &until))
			break;
	console->line = false;
}

/* Write @len bytes; 0 or an errno. */
static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd pollfd = { .fd = fd, .events = POLLOUT };

			poll(&pollfd, 1, -1);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		data += n;
		len -= n;
	}
	return 0;
}

/* There is room: for the UART, and for the port if it waits for it. */
static void resume_guest(struct console *console, bool port)
{
	pthread_mutex_lock(&console->attach_lock);
	if (console->uart)
		pc16550_resume(console->uart);
	if (console->port && port)
		console->port->room(console->port->opaque);
	pthread_mutex_unlock(&console->attach_lock);
}

/* One chunk from the ring to the descriptor; entered and left with the lock. */
static void write_chunk(struct console *console)
{
	unsigned int start = console->tail % RING_SIZE;
	unsigned int len = console->head - console->tail;
	int error = console->error;
	bool port;

	if (len > RING_SIZE - start)
		len = RING_SIZE - start;
	if (len > CHUNK)
		len = CHUNK;
	pthread_mutex_unlock(&console->ring_lock);
	/* Once broken, output goes nowhere, so that the guest need not wait for it. */
	if (!error)
		error = write_all(console->out, console->ring + start, len);
	pthread_mutex_lock(&console->ring_lock);
	console->tail += len;
	pthread_cond_broadcast(&console->room_cond);
	if (error && !console->error) {
		console->error = error;
		wake(console);
	}
	if (console->draining && console->head == console->tail)
		wake(console);
	port = console->port_waits;
	console->port_waits = false;
	pthread_mutex_unlock(&console->ring_lock);
	resume_guest(console, port);
	pthread_mutex_lock(&console->ring_lock);
}

static void *writer(void *opaque)
{
	struct console *console = opaque;

	pthread_mutex_lock(&console->ring_lock);
	while (!console->stop) {
		if (console->head == console->tail) {
			pthread_cond_wait(&console->ring_cond, &console->ring_lock);
			continue;
		}
		gather(console);
		while (console->head != console->tail && !console->stop)
			write_chunk(console);
	}
	pthread_mutex_unlock(&console->ring_lock);
	return NULL;
}

enum status console_start(struct console *console)
{
	int err = pthread_create(&console->thread, NULL, writer, console);

	if (err) {
		complain("cannot start the console's thread: %s; allow more threads",
			 strerror(err));
		return STATUS_HOST;
	}
	console->started = true;
	return STATUS_OK;
}

enum console_event console_drain(struct console *console)
{
	bool empty;

	pthread_mutex_lock(&console->ring_lock);
	console->draining = true;
	empty = console->head == console->tail || console->error;
	pthread_cond_signal(&console->ring_cond);
	pthread_mutex_unlock(&console->ring_lock);
	return empty ? CONSOLE_DRAINED : CONSOLE_GOES_ON;
}

bool console_saw_panic(const struct console *console)
{
	return atomic_load(&console->panic);
}

int console_error(const struct console *console)
{
	return console->error;
}

/* ---- input ---- */

/* Hand to the UART or the port what it has room for; the rest waits for its call. */
static void deliver(struct console *console)
{
	size_t n = 0;

	pthread_mutex_lock(&console->attach_lock);
	if (console->port && console->port_takes)
		n = console->port->receive(console->port->opaque, console->input,
					   console->input_len);
	else if (console->uart && console->input_len)
		n = pc16550_receive(console->uart, console->input, console->input_len);
	pthread_mutex_unlock(&console->attach_lock);
	console->input_len -= n;
	memmove(console->input, console->input + n, console->input_len);
}

void console_wants_input(struct console *console)
{
	wake(console);
}

/* A terminal's line discipline drops what nobody reads, and so does this. */
static void accept(struct console *console, uint8_t byte)
{
	if (console->input_len < INPUT_SIZE)
		console->input[console->input_len++] = byte;
}

/* The key behind Ctrl-A. */
static enum console_event command(struct console *console, uint8_t key)
{
	console->escape = false;
	if (key == 'x')
		return CONSOLE_END;
	if (key == 'h')
		write_all(STDERR_FILENO, (const uint8_t *)help_text, sizeof(help_text) - 1);
	if (key == 'a' || key == ESCAPE)
		accept(console, ESCAPE);
	return CONSOLE_GOES_ON;
}

enum console_event console_input(struct console *console)
{
	uint8_t data[256];
	size_t room = INPUT_SIZE - console->input_len;
	enum console_event event = CONSOLE_GOES_ON;
	ssize_t n;

	if (console->escapes || room > sizeof(data))
		room = sizeof(data);
	n = read(console->in, data, room);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return CONSOLE_GOES_ON;
	console->eof = n <= 0;
	for (ssize_t i = 0; i < n && event == CONSOLE_GOES_ON; i++) {
		if (console->escape)
			event = command(console, data[i]);
		else if (console->escapes && data[i] == ESCAPE)
			console->escape = true;
		else
			accept(console, data[i]);
	}
	deliver(console);
	return event;
}

int console_input_fd(const struct console *console)
{
	bool full = console->input_len == INPUT_SIZE && !console->escapes;

	return console->eof || full ? -1 : console->in;
}

/* ---- events, life ---- */

int console_wake_fd(const struct console *console)
{
	return console->wake_fd;
}

enum console_event console_wake(struct console *console)
{
	enum console_event event = CONSOLE_GOES_ON;
	uint64_t count;
	ssize_t n = read(console->wake_fd, &count, sizeof(count));

	(void)n;
	pthread_mutex_lock(&console->ring_lock);
	if (console->error)
		event = CONSOLE_LOST;
	else if (console->draining && console->head == console->tail)
		event = CONSOLE_DRAINED;
	pthread_mutex_unlock(&console->ring_lock);
	deliver(console);
	return event;
}

void console_attach(struct console *console, struct pc16550 *uart)
{
	if (uart) {
		atomic_store(&console->panic, false);
		pthread_mutex_lock(&console->ring_lock);
		console->released = false;
		pthread_mutex_unlock(&console->ring_lock);
	}
	pthread_mutex_lock(&console->attach_lock);
	console->uart = uart;
	pthread_mutex_unlock(&console->attach_lock);
	deliver(console);
}

void console_attach_port(struct console *console, const struct console_port *port)
{
	pthread_mutex_lock(&console->attach_lock);
	console->port = port;
	console->port_takes = false;
	pthread_mutex_unlock(&console->attach_lock);
}

void console_port_takes(struct console *console, bool takes)
{
	pthread_mutex_lock(&console->attach_lock);
	console->port_takes = takes;
	pthread_mutex_unlock(&console->attach_lock);
	console_wants_input(console);
}

void console_resized(struct console *console)
{
	pthread_mutex_lock(&console->attach_lock);
	if (console->port)
		console->port->resized(console->port->opaque);
	pthread_mutex_unlock(&console->attach_lock);
}

bool console_size(const struct console *console, uint16_t *cols, uint16_t *rows)
{
	struct winsize size;

	if (ioctl(console->out, TIOCGWINSZ, &size))
		return false;
	*cols = size.ws_col;
	*rows = size.ws_row;
	return size.ws_col && size.ws_row;
}

struct console *console_create(int in, int out, bool escapes)
{
	struct console *console = calloc(1, sizeof(*console));
	pthread_condattr_t attr;

	if (!console)
		return NULL;
	console->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (console->wake_fd < 0) {
		free(console);
		return NULL;
	}
	console->in = in;
	console->out = out;
	console->escapes = escapes;
	pthread_mutex_init(&console->attach_lock, NULL);
	pthread_mutex_init(&console->ring_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&console->ring_cond, &attr);
	pthread_condattr_destroy(&attr);
	pthread_cond_init(&console->room_cond, NULL);
	return console;
}

/* The UART is detached and the output either drained or given up. */
void console_destroy(struct console *console)
{
	if (!console)
		return;
	if (console->started) {
		pthread_mutex_lock(&console->ring_lock);
		console->stop = true;
		pthread_cond_signal(&console->ring_cond);
		pthread_mutex_unlock(&console->ring_lock);
		pthread_join(console->thread, NULL);
	}
	pthread_cond_destroy(&console->room_cond);
	pthread_cond_destroy(&console->ring_cond);
	pthread_mutex_destroy(&console->ring_lock);
	pthread_mutex_destroy(&console->attach_lock);
	close(console->wake_fd);
	free(console);
}
