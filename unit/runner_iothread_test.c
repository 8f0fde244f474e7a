// SPDX-License-Identifier: GPL-2.0-or-later
/* The devices' thread: calls from other threads, watches, and their end. */
/* unit-sources: ../runner/iothread.c */
/* unit-flags: -D_GNU_SOURCE */
/* unit-libs: -lpthread */
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "tap.h"
#include "../runner/iothread.h"

void complain(const char *fmt, ...)
{
	(void)fmt;
}

#define CALLERS	4
#define CALLS	2000

static struct iothread *io;
static pthread_t served_in;
static unsigned int served;	/* the I/O thread's: no lock, no atomic */

static void serve(void *arg)
{
	(void)arg;
	served_in = pthread_self();
	served++;
}

static void nested(void *arg)
{
	iothread_call(io, serve, arg);
}

static void *caller(void *arg)
{
	for (int i = 0; i < CALLS; i++)
		iothread_call(io, i % 2 ? serve : nested, arg);
	return NULL;
}

static void test_calls(void)
{
	pthread_t thread[CALLERS];

	iothread_call(io, serve, NULL);
	ok(served == 1 && pthread_equal(served_in, pthread_self()),
	   "a call before the start is made in the caller");
	is(iothread_start(io), STATUS_OK, "the thread starts");
	for (int i = 0; i < CALLERS; i++)
		pthread_create(&thread[i], NULL, caller, NULL);
	for (int i = 0; i < CALLERS; i++)
		pthread_join(thread[i], NULL);
	ok(!pthread_equal(served_in, pthread_self()), "then in the thread");
	iothread_stop(io);
	is(served, 1 + CALLERS * CALLS, "and each is made once, also one from inside of another");
	iothread_stop(io);
	is(iothread_start(io), STATUS_OK, "it starts again after its stop");
	iothread_stop(io);
}

/* Two watches, each of which removes the other. */
static struct iowatch pair[2];
static unsigned int readied[2];

static void on_ready(void *opaque)
{
	unsigned int n = (struct iowatch *)opaque - pair;

	readied[n]++;
	iothread_unwatch(io, &pair[!n]);
}

static void test_watches(void)
{
	for (int i = 0; i < 2; i++) {
		pair[i] = (struct iowatch) { eventfd(1, EFD_CLOEXEC), on_ready, &pair[i] };
		is(iothread_watch(io, &pair[i], EPOLLIN), 0, "a descriptor is watched");
	}
	is(iothread_poll(io, 0), 2, "both are ready at once");
	is(readied[0] + readied[1], 1, "but the one that the other removed is not called");
	is(iothread_watch(io, &pair[readied[1] ? 1 : 0], 0), 0, "events can be changed");
	is(iothread_poll(io, 0), 0, "to none");
	for (int i = 0; i < 2; i++) {
		iothread_unwatch(io, &pair[i]);
		close(pair[i].fd);
	}
	is(iothread_watch(io, &(struct iowatch) { .fd = -1 }, EPOLLIN), -9,
	   "what is no descriptor is refused");
}

int main(void)
{
	if (iothread_create(&io))
		return 1;
	test_calls();
	test_watches();
	iothread_destroy(io);
	return tap_end();
}
