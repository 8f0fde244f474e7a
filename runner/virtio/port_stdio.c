// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The port that leads to this process's own console, which it shares with the UART.
 *
 * The console's ring keeps the output; its thread and the event loop's call here from
 * their threads, and what they leave is taken in the I/O thread when the bell rings.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "../console.h"
#include "port.h"

/* As far as a terminal types ahead. */
#define INPUT_SIZE	4096

struct stdio {
	struct port *port;
	struct console_port console_port;
	struct iowatch bell;		/* an eventfd */
	bool wanted;
	atomic_bool room, resized;	/* why the bell rings */
	pthread_mutex_t lock;
	size_t len;			/* lock */
	uint8_t input[INPUT_SIZE];	/* lock */
};

static bool taken;			/* a process has one console */

static void ring(struct stdio *stdio)
{
	uint64_t one = 1;
	ssize_t n = write(stdio->bell.fd, &one, sizeof(one));

	/* It can fail only when the counter is at its end, and so not 0. */
	(void)n;
}

/* ---- what other threads call ---- */

static void on_room(void *opaque)
{
	struct stdio *stdio = opaque;

	atomic_store(&stdio->room, true);
	ring(stdio);
}

static void on_resized(void *opaque)
{
	struct stdio *stdio = opaque;

	atomic_store(&stdio->resized, true);
	ring(stdio);
}

static size_t on_receive(void *opaque, const uint8_t *data, size_t len)
{
	struct stdio *stdio = opaque;

	pthread_mutex_lock(&stdio->lock);
	if (len > INPUT_SIZE - stdio->len)
		len = INPUT_SIZE - stdio->len;
	memcpy(stdio->input + stdio->len, data, len);
	stdio->len += len;
	pthread_mutex_unlock(&stdio->lock);
	ring(stdio);
	return len;
}

/* ---- in the I/O thread ---- */

static void on_bell(void *opaque)
{
	struct stdio *stdio = opaque;
	struct port *port = stdio->port;
	uint64_t count;
	ssize_t n = read(stdio->bell.fd, &count, sizeof(count));

	(void)n;
	if (atomic_exchange(&stdio->room, false))
		port_progress(port);
	if (atomic_exchange(&stdio->resized, false))
		port->user.resized(port->user.opaque);
	if (stdio->wanted)
		port->user.input(port->user.opaque);
}

static size_t stdio_room(const struct port *port)
{
	return port->console ? console_room(port->console) : 0;
}

static void stdio_put(struct port *port, const uint8_t *data, size_t len)
{
	console_write(port->console, data, len);
}

static bool stdio_alone(const struct port *port)
{
	return !port->console;
}

static bool stdio_forget(struct port *port)
{
	(void)port;
	return false;
}

static size_t stdio_get(struct port *port, uint8_t *data, size_t len)
{
	struct stdio *stdio = port->own;
	bool full;

	pthread_mutex_lock(&stdio->lock);
	full = stdio->len == INPUT_SIZE;
	if (len > stdio->len)
		len = stdio->len;
	memcpy(data, stdio->input, len);
	stdio->len -= len;
	memmove(stdio->input, stdio->input + len, stdio->len);
	pthread_mutex_unlock(&stdio->lock);
	if (full && len && port->console)
		console_wants_input(port->console);
	return len;
}

static void stdio_want(struct port *port, bool input)
{
	struct stdio *stdio = port->own;
	bool left;

	stdio->wanted = input;
	pthread_mutex_lock(&stdio->lock);
	left = stdio->len;
	pthread_mutex_unlock(&stdio->lock);
	if (input && left)
		ring(stdio);
}

static void stdio_set_open(struct port *port, bool open)
{
	if (port->console)
		console_port_takes(port->console, open);
}

static bool stdio_size(const struct port *port, uint16_t *cols, uint16_t *rows)
{
	return port->console && console_size(port->console, cols, rows);
}

/* ---- life ---- */

static bool stdio_attach(struct port *port)
{
	struct stdio *stdio = port->own;

	stdio->bell = (struct iowatch) { eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), on_bell, stdio };
	if (stdio->bell.fd < 0)
		return false;
	if (iothread_watch(port->io, &stdio->bell, EPOLLIN)) {
		close(stdio->bell.fd);
		return false;
	}
	return true;
}

static void stdio_connect(struct port *port)
{
	struct stdio *stdio = port->own;

	console_attach_port(port->console, &stdio->console_port);
}

static void stdio_detach(struct port *port)
{
	struct stdio *stdio = port->own;

	if (port->console)
		console_attach_port(port->console, NULL);
	port->console = NULL;
	iothread_unwatch(port->io, &stdio->bell);
	close(stdio->bell.fd);
	stdio->len = 0;
	stdio->wanted = false;
}

static enum status stdio_open(struct port *port, const char *arg)
{
	struct stdio *stdio;

	(void)arg;
	if (taken) {
		complain("--console: '%s': given twice; give it once", port->text);
		return STATUS_USAGE;
	}
	stdio = calloc(1, sizeof(*stdio));
	if (!stdio) {
		complain("no memory for a port of the console; free some");
		return STATUS_HOST;
	}
	taken = true;
	stdio->port = port;
	stdio->console_port = (struct console_port) { on_room, on_receive, on_resized, stdio };
	pthread_mutex_init(&stdio->lock, NULL);
	port->own = stdio;
	return STATUS_OK;
}

static void stdio_close(struct port *port)
{
	struct stdio *stdio = port->own;

	if (!stdio)
		return;
	pthread_mutex_destroy(&stdio->lock);
	free(stdio);
	taken = false;
}

const struct port_kind port_stdio = {
	.prefix = "stdio",
	.open = stdio_open,
	.close = stdio_close,
	.attach = stdio_attach,
	.detach = stdio_detach,
	.connect = stdio_connect,
	.room = stdio_room,
	.put = stdio_put,
	.alone = stdio_alone,
	.forget = stdio_forget,
	.get = stdio_get,
	.want = stdio_want,
	.set_open = stdio_set_open,
	.size = stdio_size,
};
