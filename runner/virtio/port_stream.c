// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Ports that lead to a descriptor: a file, one that was inherited, a Unix socket's peer.
 *
 * Output goes into the ring and from there, as far as the descriptor takes it, at once;
 * the rest when epoll says so. Input is read straight into what the driver asks for, so
 * that what it does not ask for stays with the sender.
 *
 * Invariants: head - tail is at most PORT_RING; events are what epoll waits for at the
 * peer, 0 when it does not watch it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../listener.h"
#include "../words.h"
#include "port.h"

/* What makes room when nobody takes the output. */
#define FORGOTTEN	4096

struct stream {
	struct port *port;
	struct iowatch listener;	/* fd -1: not a socket to connect to */
	struct iowatch peer;		/* fd -1: nobody is there */
	bool file;			/* a regular one: always ready, unknown to epoll */
	bool reads, writes;		/* what the peer's descriptor is good for */
	bool wanted;			/* input, by the guest */
	uint32_t events;
	int error;			/* of a write, that the user was told of */
	unsigned int head, tail;	/* of the ring; free-running */
	uint8_t ring[PORT_RING];
};

static void hang_up(struct stream *stream);

/* ---- the descriptor's events ---- */

static void update(struct stream *stream)
{
	struct iothread *io = stream->port->io;
	uint32_t events = 0;

	if (!io || stream->peer.fd < 0 || stream->file)
		return;
	if (stream->reads && stream->wanted)
		events |= EPOLLIN;
	if (stream->writes && stream->head != stream->tail)
		events |= EPOLLOUT;
	if (events == stream->events)
		return;
	if (events)
		iothread_watch(io, &stream->peer, events);
	else
		iothread_unwatch(io, &stream->peer);
	stream->events = events;
}

/* ---- output ---- */

static void report(struct stream *stream, int error)
{
	if (stream->error == error)
		return;
	stream->error = error;
	complain("console %s: cannot be written: %s; output is lost", stream->port->text,
		 strerror(error));
}

/* As much of the ring as the peer takes; does any of it move? */
static bool flush(struct stream *stream)
{
	bool moved = false;

	while (stream->head != stream->tail && stream->writes) {
		unsigned int start = stream->tail % PORT_RING;
		size_t len = stream->head - stream->tail;
		ssize_t n;

		if (len > PORT_RING - start)
			len = PORT_RING - start;
		n = write(stream->peer.fd, stream->ring + start, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
			hang_up(stream);
			return true;
		}
		if (n < 0) {
			report(stream, errno);
			n = len;
		}
		stream->tail += n;
		moved = true;
	}
	update(stream);
	return moved;
}

static size_t stream_room(const struct port *port)
{
	const struct stream *stream = port->own;

	return PORT_RING - (stream->head - stream->tail);
}

static void stream_put(struct port *port, const uint8_t *data, size_t len)
{
	struct stream *stream = port->own;

	for (size_t i = 0; i < len; i++)
		stream->ring[stream->head++ % PORT_RING] = data[i];
	if (flush(stream))
		port->hurry = false;
}

static bool stream_alone(const struct port *port)
{
	const struct stream *stream = port->own;

	return !stream->writes;
}

static bool stream_forget(struct port *port)
{
	struct stream *stream = port->own;

	stream->tail += FORGOTTEN;
	return true;
}

/* ---- input ---- */

static size_t stream_get(struct port *port, uint8_t *data, size_t len)
{
	struct stream *stream = port->own;
	ssize_t n;

	if (!stream->reads)
		return 0;
	do {
		n = read(stream->peer.fd, data, len);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (n == 0) {
		/* It says no more, but may still listen. */
		stream->reads = false;
		update(stream);
	} else if (errno != EAGAIN) {
		hang_up(stream);
	}
	return 0;
}

static void stream_want(struct port *port, bool input)
{
	struct stream *stream = port->own;

	stream->wanted = input;
	update(stream);
}

/* ---- peers ---- */

/* The descriptor is of no more use. Who connects next has its place. */
static void hang_up(struct stream *stream)
{
	if (stream->peer.fd < 0)
		return;
	if (stream->events)
		iothread_unwatch(stream->port->io, &stream->peer);
	close(stream->peer.fd);
	stream->peer.fd = -1;
	stream->events = 0;
	stream->reads = false;
	stream->writes = false;
}

static bool has_hung_up(const struct stream *stream)
{
	struct pollfd pollfd = { .fd = stream->peer.fd };

	return stream->peer.fd < 0 || poll(&pollfd, 1, 0) != 0;
}

static void on_peer(void *opaque)
{
	struct stream *stream = opaque;
	struct port *port = stream->port;
	bool moved = flush(stream);

	if (stream->reads && stream->wanted)
		port->user.input(port->user.opaque);
	/* With no input left to come, a peer that hung up is gone. */
	if (!stream->reads && stream->peer.fd >= 0 && has_hung_up(stream)) {
		hang_up(stream);
		moved = true;
	}
	if (moved)
		port_progress(port);
}

/* One at a time: another one has its turn when the first has hung up. */
static void on_listener(void *opaque)
{
	struct stream *stream = opaque;
	int fd = listener_accept(stream->listener.fd);

	if (fd < 0)
		return;
	if (!has_hung_up(stream)) {
		close(fd);
		return;
	}
	hang_up(stream);
	stream->peer.fd = fd;
	stream->reads = true;
	stream->writes = true;
	flush(stream);
	port_progress(stream->port);
}

/* ---- life ---- */

static bool stream_attach(struct port *port)
{
	struct stream *stream = port->own;

	if (stream->listener.fd >= 0 && iothread_watch(port->io, &stream->listener, EPOLLIN))
		return false;
	stream->events = 0;
	update(stream);
	return true;
}

static void stream_detach(struct port *port)
{
	struct stream *stream = port->own;

	stream->wanted = false;
	flush(stream);
	if (stream->events)
		iothread_unwatch(port->io, &stream->peer);
	stream->events = 0;
	if (stream->listener.fd >= 0)
		iothread_unwatch(port->io, &stream->listener);
}

static struct stream *make(struct port *port)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream) {
		complain("no memory for a port of the console; free some");
		return NULL;
	}
	stream->port = port;
	stream->listener = (struct iowatch) { -1, on_listener, stream };
	stream->peer = (struct iowatch) { -1, on_peer, stream };
	port->own = stream;
	return stream;
}

static void stream_close(struct port *port)
{
	struct stream *stream = port->own;

	if (!stream)
		return;
	if (stream->peer.fd >= 0)
		close(stream->peer.fd);
	if (stream->listener.fd >= 0)
		close(stream->listener.fd);
	free(stream);
}

static enum status refuse(const struct port *port, const char *cure)
{
	complain("console %s: cannot be opened: %s; %s", port->text, strerror(errno), cure);
	return STATUS_BAD_FILE;
}

/* What @fd is decides how it is used. A terminal or pipe has our own description. */
static enum status use(struct stream *stream, int fd)
{
	int access = fcntl(fd, F_GETFL) & O_ACCMODE;
	struct stat st;

	stream->peer.fd = fd;
	if (fstat(fd, &st))
		return refuse(stream->port, "give another");
	stream->file = S_ISREG(st.st_mode);
	stream->writes = access != O_RDONLY;
	stream->reads = access != O_WRONLY && !stream->file;
	if (!stream->file || stream->writes)
		return STATUS_OK;
	complain("console %s: a file to read from; give one to write to", stream->port->text);
	return STATUS_BAD_FILE;
}

/* A FIFO that nobody reads opens too when it is opened for both; it is written only. */
static enum status open_file(struct port *port, const char *path)
{
	struct stream *stream = make(port);
	struct stat st;
	int fd, access;

	if (!stream)
		return STATUS_HOST;
	access = !stat(path, &st) && !S_ISREG(st.st_mode) ? O_RDWR : O_WRONLY;
	fd = open(path, access | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
	if (fd < 0)
		return refuse(port, "give a file that can be written");
	if (!fstat(fd, &st) && S_ISFIFO(st.st_mode)) {
		stream->peer.fd = fd;
		stream->writes = true;
		return STATUS_OK;
	}
	return use(stream, fd);
}

/* Others may have the same description, which must not become non-blocking for them. */
static int reopen(int fd)
{
	int access = fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND);
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, access | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static enum status open_fd(struct port *port, const char *arg)
{
	struct stream *stream = make(port);
	struct stat st;
	int fd, own;

	(void)arg;
	if (!stream)
		return STATUS_HOST;
	if (!words_fd(port->text, &fd)) {
		complain("--console: '%s': not a descriptor; write fd= and a number", port->text);
		return STATUS_USAGE;
	}
	if (!fstat(fd, &st) && S_ISSOCK(st.st_mode)) {
		if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK))
			return refuse(port, "give another");
		return use(stream, fd);
	}
	own = reopen(fd);
	if (own < 0)
		return refuse(port, "let this user open it again");
	close(fd);
	return use(stream, own);
}

static enum status open_socket(struct port *port, const char *path)
{
	struct stream *stream = make(port);

	return stream ? listener_open("console", path, &stream->listener.fd) : STATUS_HOST;
}

static bool stream_writes(const struct port *port)
{
	const struct stream *stream = port->own;

	return stream->file;
}

#define STREAM_KIND(text, opener) {							\
	.prefix = text, .open = opener, .close = stream_close,				\
	.attach = stream_attach, .detach = stream_detach,				\
	.room = stream_room, .put = stream_put, .alone = stream_alone,			\
	.forget = stream_forget, .get = stream_get, .want = stream_want,		\
	.writes = stream_writes,							\
}

const struct port_kind port_file = STREAM_KIND("file=", open_file);
const struct port_kind port_fd = STREAM_KIND("fd=", open_fd);
const struct port_kind port_socket = STREAM_KIND("socket=", open_socket);
