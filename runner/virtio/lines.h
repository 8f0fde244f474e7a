/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of one line over a Unix socket, each answered by one line. One peer has its
 * turn until it closes, also while it waits for an answer; others wait. A peer that says
 * too much, or does not take its answer, is hung up on.
 *
 * It is opened before the sandbox. All else is the I/O thread's.
 */
#ifndef RUNNER_VIRTIO_LINES_H
#define RUNNER_VIRTIO_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include "../iothread.h"
#include "../status.h"

#define LINES_MAX	80		/* bytes of a command */

struct lines {
	struct iothread *io;		/* while attached */
	struct iowatch listener, peer;	/* fd -1: none */
	void (*command)(void *opaque, const char *line);
	void *opaque;
	bool busy;			/* with a command that has no answer yet */
	bool serving;			/* in a call of command() */
	size_t len;
	char text[LINES_MAX + 1];
};

/* @what names the device in messages. Complains. */
enum status lines_open(struct lines *lines, const char *what, const char *path);
void lines_close(struct lines *lines);

/* @command gets a line without its end; lines_reply() follows, at once or later. */
bool lines_attach(struct lines *lines, struct iothread *io,
		  void (*command)(void *opaque, const char *line), void *opaque);
void lines_detach(struct lines *lines);

/* The answer to the last command, with its end; nothing when its peer has gone. */
void lines_reply(struct lines *lines, const char *text);

#endif /* RUNNER_VIRTIO_LINES_H */
