// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See lines.h. The listener is watched while there is no peer; of a peer that is busy only
 * its end is, so that one whose answer never comes does not keep its turn.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "../listener.h"
#include "lines.h"

/*
 * Each watch tells of who waits then, and of each that comes: one whom the host has no descriptor
 * for waits for the next to come, and does not wake the thread all the time.
 */
#define ARRIVALS	(EPOLLIN | EPOLLET)

static void hang_up(struct lines *lines)
{
	if (lines->peer.fd < 0)
		return;
	iothread_unwatch(lines->io, &lines->peer);
	close(lines->peer.fd);
	lines->peer.fd = -1;
	lines->busy = false;
	lines->len = 0;
	iothread_watch(lines->io, &lines->listener, ARRIVALS);
}

/* The lines that are there, as far as they are answered. */
static void serve(struct lines *lines)
{
	char line[LINES_MAX + 1];
	char *end;

	lines->serving = true;
	while (!lines->busy && (end = memchr(lines->text, '\n', lines->len))) {
		size_t len = end - lines->text;

		memcpy(line, lines->text, len);
		line[len] = 0;
		lines->len -= len + 1;
		memmove(lines->text, end + 1, lines->len);
		lines->busy = true;
		iothread_watch(lines->io, &lines->peer, 0);
		lines->command(lines->opaque, line);
	}
	lines->serving = false;
	if (!lines->busy && lines->len == LINES_MAX)
		hang_up(lines);
}

static void on_peer(void *opaque)
{
	struct lines *lines = opaque;
	ssize_t n = lines->busy ? 0 : read(lines->peer.fd, lines->text + lines->len,
					   LINES_MAX - lines->len);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		hang_up(lines);
		return;
	}
	lines->len += n;
	serve(lines);
}

static void on_listener(void *opaque)
{
	struct lines *lines = opaque;
	int fd = listener_accept(lines->listener.fd);

	if (fd < 0)
		return;
	lines->peer.fd = fd;
	if (iothread_watch(lines->io, &lines->peer, EPOLLIN)) {
		close(fd);
		lines->peer.fd = -1;
		return;
	}
	iothread_unwatch(lines->io, &lines->listener);
}

void lines_reply(struct lines *lines, const char *text)
{
	size_t len = strlen(text);

	if (!lines->busy)
		return;
	lines->busy = false;
	if (write(lines->peer.fd, text, len) != (ssize_t)len ||
	    iothread_watch(lines->io, &lines->peer, EPOLLIN))
		hang_up(lines);
	if (!lines->serving)
		serve(lines);
}

bool lines_attach(struct lines *lines, struct iothread *io,
		  void (*command)(void *opaque, const char *line), void *opaque)
{
	lines->io = io;
	lines->command = command;
	lines->opaque = opaque;
	return lines->listener.fd < 0 || !iothread_watch(io, &lines->listener, ARRIVALS);
}

void lines_detach(struct lines *lines)
{
	hang_up(lines);
	if (lines->listener.fd >= 0)
		iothread_unwatch(lines->io, &lines->listener);
}

enum status lines_open(struct lines *lines, const char *what, const char *path)
{
	*lines = (struct lines) {
		.listener = { -1, on_listener, lines },
		.peer = { -1, on_peer, lines },
	};
	return *path ? listener_open(what, path, &lines->listener.fd) : STATUS_OK;
}

void lines_close(struct lines *lines)
{
	if (lines->listener.fd >= 0)
		close(lines->listener.fd);
}
