// SPDX-License-Identifier: GPL-2.0-or-later
/* What all ports of the console device have in common: the option, and patience. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "../words.h"
#include "port.h"

#define PIECE	4096

static const struct port_kind *const kinds[] = {
	&port_stdio, &port_file, &port_fd, &port_socket,
};

static const struct word_row port_words[] = {
	{ "name", WORD_TEXT, offsetof(struct port, name), 1, PORT_NAME_MAX },
};

static const struct word_table port_table = {
	"console", port_words, sizeof(port_words) / sizeof(port_words[0]),
};

/* ---- opening ---- */

static enum status open_kind(struct port *port)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t len = strlen(kinds[i]->prefix);
		const char *arg = port->text + len;

		if (strncmp(port->text, kinds[i]->prefix, len))
			continue;
		/* A prefix that ends in '=' has something behind it, any other nothing. */
		if ((kinds[i]->prefix[len - 1] == '=') != (*arg != 0))
			continue;
		port->kind = kinds[i];
		return port->kind->open(port, arg);
	}
	complain("--console: '%s': leads nowhere; use stdio, file=PATH, fd=N or socket=PATH",
		 port->text);
	return STATUS_USAGE;
}

enum status port_open(const char *text, struct port **out)
{
	struct port *port = calloc(1, sizeof(*port));
	enum status status;

	if (!port) {
		complain("no memory for a port of the console; free some");
		return STATUS_HOST;
	}
	port->timer.fd = -1;
	status = words_parse(&port_table, text, &port->text, port);
	if (!status)
		status = open_kind(port);
	if (status) {
		port_close(port);
		return status;
	}
	*out = port;
	return STATUS_OK;
}

void port_close(struct port *port)
{
	if (!port)
		return;
	if (port->kind)
		port->kind->close(port);
	free((char *)port->text);
	free(port);
}

bool port_writes(const struct port *port)
{
	return port->kind->writes && port->kind->writes(port);
}

/* ---- patience ---- */

/* 0: no alarm. */
static void set_timer(struct port *port, long ms)
{
	struct itimerspec when = { .it_value = { ms / 1000, ms % 1000 * 1000000 } };

	timerfd_settime(port->timer.fd, 0, &when, NULL);
}

static void on_timer(void *opaque)
{
	struct port *port = opaque;
	uint64_t count;

	if (read(port->timer.fd, &count, sizeof(count)) != sizeof(count) || !port->waiting)
		return;
	port->hurry = true;
	port->waiting = false;
	port->user.room(port->user.opaque);
}

void port_progress(struct port *port)
{
	port->hurry = false;
	if (!port->io || !port->waiting)
		return;
	port->waiting = false;
	set_timer(port, 0);
	port->user.room(port->user.opaque);
}

bool port_attach(struct port *port, struct iothread *io, const struct port_user *user)
{
	port->user = *user;
	port->waiting = false;
	port->hurry = false;
	port->timer = (struct iowatch) {
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), on_timer, port,
	};
	if (port->timer.fd < 0)
		return false;
	port->io = io;
	if (!iothread_watch(io, &port->timer, EPOLLIN) && port->kind->attach(port))
		return true;
	iothread_unwatch(io, &port->timer);
	close(port->timer.fd);
	port->io = NULL;
	return false;
}

void port_detach(struct port *port)
{
	if (!port->io)
		return;
	port->kind->detach(port);
	iothread_unwatch(port->io, &port->timer);
	close(port->timer.fd);
	port->io = NULL;
}

void port_connect(struct port *port, struct console *console)
{
	port->console = console;
	if (port->kind->connect)
		port->kind->connect(port);
}

/* ---- output ---- */

static void wait_for_room(struct port *port)
{
	if (port->waiting)
		return;
	port->waiting = true;
	if (!port->name[0])
		set_timer(port, PORT_PATIENCE_MS);
}

size_t port_put(struct port *port, const struct virtq_chain *chain, size_t offset, size_t len)
{
	const struct port_kind *kind = port->kind;
	uint8_t piece[PIECE];
	size_t at = offset;

	while (at < chain->out_size && at - offset < len) {
		size_t room = kind->room(port);

		if (!room && (port->hurry || kind->alone(port))) {
			/* Of what is longer than the ring only the end could stay. */
			if (chain->out_size - at > PORT_RING)
				at = chain->out_size - PORT_RING;
			if (!kind->forget(port))
				return chain->out_size - offset;
			continue;
		}
		if (!room) {
			wait_for_room(port);
			break;
		}
		room = virtq_read(chain, at, piece, room < PIECE ? room : PIECE);
		kind->put(port, piece, room);
		at += room;
	}
	return at - offset;
}

/* ---- input, size ---- */

size_t port_get(struct port *port, uint8_t *data, size_t len)
{
	return port->kind->get(port, data, len);
}

void port_want(struct port *port, bool input)
{
	port->kind->want(port, input);
}

void port_set_open(struct port *port, bool open)
{
	if (port->kind->set_open)
		port->kind->set_open(port, open);
}

bool port_size(const struct port *port, uint16_t *cols, uint16_t *rows)
{
	return port->kind->size && port->kind->size(port, cols, rows);
}
