// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The console of runner/console.c between pipes: order, bounds, keys, panics, and
 * what a slow or vanished reader does.
 */
/* unit-sources: ../runner/console.c */
/* unit-flags: -D_GNU_SOURCE */
/* unit-libs: -lpthread */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tap.h"
#include "../runner/console.h"
#include "../runner/devices/16550.h"

void complain(const char *fmt, ...)
{
	(void)fmt;
}

/* ---- a UART that keeps what it gets ---- */

struct pc16550 {
	pthread_mutex_t lock;
	uint8_t data[65536];
	size_t len, room;
	unsigned int resumed;
};

static struct pc16550 uart = { .lock = PTHREAD_MUTEX_INITIALIZER };

size_t pc16550_receive(struct pc16550 *to, const uint8_t *data, size_t len)
{
	pthread_mutex_lock(&to->lock);
	if (len > to->room)
		len = to->room;
	memcpy(to->data + to->len, data, len);
	to->len += len;
	to->room -= len;
	pthread_mutex_unlock(&to->lock);
	return len;
}

void pc16550_resume(struct pc16550 *to)
{
	pthread_mutex_lock(&to->lock);
	to->resumed++;
	pthread_mutex_unlock(&to->lock);
}

/* ---- both ends ---- */

static struct console *console;
static int in[2], out[2];

static void create(bool escapes)
{
	if (pipe(in) || pipe(out))
		abort();
	uart.len = 0;
	uart.room = sizeof(uart.data);
	uart.resumed = 0;
	console = console_create(in[0], out[1], escapes);
	if (!console || console_start(console))
		abort();
	console_attach(console, &uart);
}

static void destroy(void)
{
	console_attach(console, NULL);
	console_destroy(console);
	close(in[0]);
	close(in[1]);
	close(out[0]);
	close(out[1]);
}

static void put(const char *text)
{
	while (*text)
		if (!console_put(console, *text++))
			abort();
}

/* Read @len bytes of output, however they come. */
static const char *get(size_t len)
{
	static char data[256];
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(out[0], data + done, len - done);

		if (n <= 0)
			abort();
		done += n;
	}
	data[done] = 0;
	return data;
}

/* Feed input and let the event loop's part happen. */
static enum console_event type(const char *text, size_t len)
{
	if (write(in[1], text, len) != (ssize_t)len)
		abort();
	return console_input(console);
}

/* Wait for the wake descriptor, as the event loop does. */
static enum console_event wait_wake(void)
{
	struct pollfd pollfd = { .fd = console_wake_fd(console), .events = POLLIN };

	if (poll(&pollfd, 1, 10000) != 1)
		abort();
	return console_wake(console);
}

/* ---- tests ---- */

static void test_output(void)
{
	create(false);
	put("hello\n");
	is_str(get(6), "hello\n", "a line arrives");
	put("no end");
	is_str(get(6), "no end", "so does one without an end");
	put("last");
	if (console_drain(console) != CONSOLE_DRAINED)
		is(wait_wake(), CONSOLE_DRAINED, "draining tells when all is written");
	is_str(get(4), "last", "then it is in the pipe");
	ok(uart.resumed > 0, "the UART is told after writes");
	destroy();
}

/* Nobody reads: the pipe fills, then the ring, then the guest waits. */
static void test_bound(void)
{
	size_t put_count = 0, got = 0, bad = 0;
	uint8_t data[4096];

	create(false);
	fcntl(out[1], F_SETPIPE_SZ, 4096);
	for (unsigned int quiet = 0; quiet < 20;) {
		if (console_put(console, put_count % 251)) {
			put_count++;
			quiet = 0;
		} else {
			quiet++;
			usleep(5000);
		}
		if (put_count > 1 << 20)
			break;
	}
	ok(put_count >= 65536 && put_count <= 65536 + 3 * 4096,
	   "a stuck reader stops output after %zu bytes", put_count);
	is(console_drain(console), CONSOLE_GOES_ON, "there is something to drain");
	uart.resumed = 0;
	while (got < put_count) {
		ssize_t n = read(out[0], data, sizeof(data));

		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			bad += data[i] != got++ % 251;
	}
	is(got, put_count, "a reader that comes back gets every byte");
	is(bad, 0, "in order");
	is(wait_wake(), CONSOLE_DRAINED, "then all is drained");
	ok(uart.resumed > 0, "and the UART went on");
	destroy();
}

#define WAITED	(65536 + 3 * 4096 + 1000)	/* more than pipe and ring take */

static void *put_waiting(void *opaque)
{
	(void)opaque;
	for (unsigned int i = 0; i < WAITED; i++)
		console_put_wait(console, i % 251);
	return NULL;
}

/* A debug port's bytes wait for a reader, or until the machine stops. */
static void test_wait(void)
{
	static uint8_t data[WAITED];
	pthread_t thread;
	size_t got = 0, bad = 0;

	create(false);
	fcntl(out[1], F_SETPIPE_SZ, 4096);
	if (pthread_create(&thread, NULL, put_waiting, NULL))
		abort();
	while (got < WAITED) {
		ssize_t n = read(out[0], data, sizeof(data));

		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			bad += data[i] != got++ % 251;
	}
	is(got, WAITED, "bytes that wait for room are all written");
	is(bad, 0, "in order");
	pthread_join(thread, NULL);

	if (pthread_create(&thread, NULL, put_waiting, NULL))
		abort();
	usleep(20000);
	console_release(console);
	is(pthread_join(thread, NULL), 0, "a machine that stops does not wait for a reader");
	close(out[0]);
	out[0] = dup(0);
	destroy();
}

static void test_lost(void)
{
	create(false);
	close(out[0]);
	put("nobody reads\n");
	is(wait_wake(), CONSOLE_LOST, "a reader that went away is noticed");
	is(console_error(console), EPIPE, "with its cause");
	for (unsigned int i = 0; i < 200000; i++)
		if (!console_put(console, 'x'))
			usleep(1000);
	is(console_drain(console), CONSOLE_DRAINED, "output then goes nowhere, without waiting");
	out[0] = dup(0);
	destroy();
}

static void test_panic(void)
{
	create(false);
	put("Kernel panic - not syncin. Kernel panic - Kernel panic - not sync");
	ok(!console_saw_panic(console), "parts of Linux's words are no panic");
	put("ing");
	ok(console_saw_panic(console), "all of them are");
	console_attach(console, NULL);
	console_attach(console, &uart);
	ok(!console_saw_panic(console), "a new machine has not panicked");
	put("KKernel panic - not syncing: VFS");
	ok(console_saw_panic(console), "a false start does not hide it");
	destroy();
}

static void test_pipe_input(void)
{
	char flood[4096];

	create(false);
	type("a\1xb\0c", 6);
	is(uart.len, 6, "a pipe's bytes all go to the guest");
	ok(!memcmp(uart.data, "a\1xb\0c", 6), "as they are");
	uart.room = 0;
	memset(flood, 'f', sizeof(flood));
	if (write(in[1], flood, sizeof(flood)) != sizeof(flood))
		abort();
	for (unsigned int i = 0; i < 16; i++)
		console_input(console);
	is(console_input_fd(console), -1, "a guest that does not read stops the reading");
	uart.room = 10;
	console_wants_input(console);
	is(wait_wake(), CONSOLE_GOES_ON, "a guest that asks again");
	is(uart.len, 16, "gets what it has room for");
	is(console_input_fd(console), in[0], "and the reading goes on");
	close(in[1]);
	uart.room = 65536 - 16;
	console_input(console);
	console_input(console);
	is(console_input_fd(console), -1, "the end of input is no event");
	is(uart.len, 6 + sizeof(flood), "nothing was lost");
	in[1] = dup(0);
	destroy();
}

static void test_keys(void)
{
	create(true);
	is(type("ls\1", 3), CONSOLE_GOES_ON, "Ctrl-A is held back");
	is(uart.len, 2, "the keys before it are not");
	is(type("a", 1), CONSOLE_GOES_ON, "Ctrl-A a");
	ok(uart.len == 3 && uart.data[2] == 1, "sends Ctrl-A");
	type("\1\1", 2);
	ok(uart.len == 4 && uart.data[3] == 1, "so does Ctrl-A Ctrl-A");
	type("\1q", 2);
	is(uart.len, 4, "an unknown key behind Ctrl-A is dropped");
	type("q", 1);
	is(uart.len, 5, "the next one is the guest's again");
	uart.room = 0;
	for (unsigned int i = 0; i < 40; i++) {
		char keys[256];

		memset(keys, 'k', sizeof(keys));
		type(keys, sizeof(keys));
	}
	is(console_input_fd(console), in[0], "a guest that hangs does not stop the keys");
	is(type("\1x", 2), CONSOLE_END, "so Ctrl-A x ends it");
	destroy();
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_output();
	test_bound();
	test_wait();
	test_lost();
	test_panic();
	test_pipe_input();
	test_keys();
	return tap_end();
}
