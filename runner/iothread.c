// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An epoll loop and its mailbox.
 *
 * A call is a record on its caller's stack, in a list under the lock; the caller sleeps
 * until it is marked done. Events are fetched in batches: who removes a watch also takes
 * it out of the batch that is being served.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "iothread.h"

#define BATCH	16

struct call {
	void (*function)(void *arg);
	void *arg;
	bool done;
	struct call *next;
};

struct iothread {
	int epoll_fd;
	struct iowatch wake;		/* its fd is the mailbox's bell */
	struct epoll_event batch[BATCH];
	int batched;			/* the batch's events; 0 outside of it */

	pthread_mutex_t lock;
	pthread_cond_t done;
	struct call *first, **last;	/* lock */
	bool stop;			/* lock */
	bool runs;			/* changes only while no other thread calls */
	pthread_t thread;
};

static void ring(struct iothread *io)
{
	uint64_t one = 1;
	ssize_t n = write(io->wake.fd, &one, sizeof(one));

	/* It can fail only when the counter is at its end, and so not 0. */
	(void)n;
}

static struct call *next_call(struct iothread *io)
{
	struct call *call;

	pthread_mutex_lock(&io->lock);
	call = io->first;
	if (call) {
		io->first = call->next;
		if (!io->first)
			io->last = &io->first;
	}
	pthread_mutex_unlock(&io->lock);
	return call;
}

/* false: there is none. */
static bool serve_call(struct iothread *io)
{
	struct call *call = next_call(io);

	if (!call)
		return false;
	call->function(call->arg);
	pthread_mutex_lock(&io->lock);
	call->done = true;
	pthread_cond_broadcast(&io->done);
	pthread_mutex_unlock(&io->lock);
	return true;
}

static void silence(struct iothread *io)
{
	uint64_t count;
	ssize_t n = read(io->wake.fd, &count, sizeof(count));

	(void)n;
}

/* As many as events at once: callers that never cease must not keep events out. */
static void serve_calls(void *opaque)
{
	struct iothread *io = opaque;

	silence(io);
	for (int i = 0; i < BATCH; i++)
		if (!serve_call(io))
			return;
	ring(io);
}

void iothread_call(struct iothread *io, void (*function)(void *arg), void *arg)
{
	struct call call = { .function = function, .arg = arg };

	if (!io->runs || pthread_equal(pthread_self(), io->thread)) {
		function(arg);
		return;
	}
	pthread_mutex_lock(&io->lock);
	*io->last = &call;
	io->last = &call.next;
	ring(io);
	while (!call.done)
		pthread_cond_wait(&io->done, &io->lock);
	pthread_mutex_unlock(&io->lock);
}

int iothread_watch(struct iothread *io, struct iowatch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	if (!epoll_ctl(io->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event))
		return 0;
	if (errno == ENOENT && !epoll_ctl(io->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event))
		return 0;
	return -errno;
}

void iothread_unwatch(struct iothread *io, struct iowatch *watch)
{
	struct epoll_event event = { 0 };

	epoll_ctl(io->epoll_fd, EPOLL_CTL_DEL, watch->fd, &event);
	for (int i = 0; i < io->batched; i++)
		if (io->batch[i].data.ptr == watch)
			io->batch[i].data.ptr = NULL;
}

int iothread_poll(struct iothread *io, int timeout)
{
	int n = epoll_wait(io->epoll_fd, io->batch, BATCH, timeout);

	io->batched = n < 0 ? 0 : n;
	for (int i = 0; i < io->batched; i++) {
		struct iowatch *watch = io->batch[i].data.ptr;

		if (watch)
			watch->ready(watch->opaque);
	}
	io->batched = 0;
	return n;
}

static bool stopping(struct iothread *io)
{
	bool stop;

	pthread_mutex_lock(&io->lock);
	stop = io->stop;
	pthread_mutex_unlock(&io->lock);
	return stop;
}

static void *io_thread(void *opaque)
{
	struct iothread *io = opaque;

	prctl(PR_SET_NAME, "io");
	while (!stopping(io))
		iothread_poll(io, -1);
	return NULL;
}

enum status iothread_start(struct iothread *io)
{
	int err;

	io->stop = false;
	io->runs = true;
	err = pthread_create(&io->thread, NULL, io_thread, io);
	if (!err)
		return STATUS_OK;
	io->runs = false;
	complain("cannot start a thread for the devices: %s; allow more threads", strerror(err));
	return STATUS_HOST;
}

void iothread_stop(struct iothread *io)
{
	if (!io || !io->runs)
		return;
	pthread_mutex_lock(&io->lock);
	io->stop = true;
	pthread_mutex_unlock(&io->lock);
	ring(io);
	pthread_join(io->thread, NULL);
	io->runs = false;
	/* It may have ended without hearing the last ring. */
	silence(io);
	while (serve_call(io))
		;
}

enum status iothread_create(struct iothread **out)
{
	struct iothread *io = calloc(1, sizeof(*io));

	if (!io) {
		complain("no memory for the devices' thread; free some");
		return STATUS_HOST;
	}
	pthread_mutex_init(&io->lock, NULL);
	pthread_cond_init(&io->done, NULL);
	io->last = &io->first;
	io->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	io->wake = (struct iowatch) { eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), serve_calls, io };
	if (io->epoll_fd < 0 || io->wake.fd < 0 || iothread_watch(io, &io->wake, EPOLLIN)) {
		complain("cannot wait for the devices' events: %s; allow more open files",
			 strerror(errno));
		iothread_destroy(io);
		return STATUS_HOST;
	}
	*out = io;
	return STATUS_OK;
}

void iothread_destroy(struct iothread *io)
{
	if (!io)
		return;
	if (io->wake.fd >= 0)
		close(io->wake.fd);
	if (io->epoll_fd >= 0)
		close(io->epoll_fd);
	pthread_cond_destroy(&io->done);
	pthread_mutex_destroy(&io->lock);
	free(io);
}
