/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread in which virtio devices live: an epoll loop, and calls into it.
 *
 * All that a device does happens here, one thing after the other, so devices need no
 * locks. Other threads reach a device by iothread_call() alone. While the thread does
 * not run (before start and after stop) calls and iothread_poll() run in the caller.
 */
#ifndef RUNNER_IOTHREAD_H
#define RUNNER_IOTHREAD_H

#include <stdint.h>
#include "status.h"

struct iothread;

/* A descriptor to watch; the caller keeps it until iothread_unwatch(). */
struct iowatch {
	int fd;
	void (*ready)(void *opaque);
	void *opaque;
};

/* Complains. */
enum status iothread_create(struct iothread **io);
void iothread_destroy(struct iothread *io);

/* Complains. */
enum status iothread_start(struct iothread *io);
/* Returns when the thread has ended; what is pending stays pending. NULL is fine. */
void iothread_stop(struct iothread *io);

/*
 * Call watch->ready() in the thread whenever one of @events (EPOLLIN, EPOLLOUT, or 0 for
 * errors alone) is there; again with other events to change them. 0 or -errno.
 * In the thread, or while it does not run.
 */
int iothread_watch(struct iothread *io, struct iowatch *watch, uint32_t events);
/* No call follows, not even for an event that has happened. */
void iothread_unwatch(struct iothread *io, struct iowatch *watch);

/* Any thread: call @function in the thread and return when it has. */
void iothread_call(struct iothread *io, void (*function)(void *arg), void *arg);

/* While the thread does not run: serve what is there within @timeout ms; returns how many. */
int iothread_poll(struct iothread *io, int timeout);

#endif /* RUNNER_IOTHREAD_H */
