// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The sockets for lines against peers that mean no good: half a message, a message of 1 GiB, ten
 * thousand connections, a peer that never reads, a host without descriptors. Whatever they do,
 * the next peer is answered, and memory does not grow.
 */
/* unit-sources: ../runner/virtio/lines.c ../runner/listener.c ../runner/iothread.c */
/* unit-flags: -D_GNU_SOURCE */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "tap.h"
#include "../runner/virtio/lines.h"

#define CONNECTIONS	10000
#define GIB		(1UL << 30)

static struct iothread *io;
static struct lines lines;
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static unsigned int commands;

void complain(const char *fmt, ...)
{
	(void)fmt;
}

static void on_command(void *opaque, const char *line)
{
	(void)opaque;
	(void)line;
	commands++;
	lines_reply(&lines, "ok\n");
}

static unsigned int settle(void)
{
	unsigned int turns = 0;

	while (turns < 1000 && iothread_poll(io, 0) > 0)
		turns++;
	return turns;
}

/* -1: the listener has no room for more who wait. */
static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

/* A peer that comes now is answered. */
static bool answers(void)
{
	char got[16] = "";
	int fd = dial();
	bool good;

	good = fd >= 0 && write(fd, "show\n", 5) == 5;
	settle();
	good = good && read(fd, got, sizeof(got)) == 3 && !memcmp(got, "ok\n", 3);
	close(fd);
	settle();
	return good;
}

static void test_half(void)
{
	int fd = dial();

	ok(write(fd, "sho", 3) == 3, "half a message");
	settle();
	is(commands, 0, "is none");
	close(fd);
	ok(answers(), "and the next peer is answered");
	is(commands, 1, "for what it said");
}

/* As much of it is taken as a line can have. */
static void test_endless(void)
{
	static char piece[1 << 16];
	size_t sent = 0;
	int fd = dial();
	ssize_t n;

	memset(piece, 'x', sizeof(piece));
	do {
		n = write(fd, piece, sizeof(piece));
		sent += n > 0 ? n : 0;
		settle();
	} while (sent < GIB && (n > 0 || errno == EAGAIN));
	ok(sent < GIB, "a message of 1 GiB is not heard to its end (%zu bytes)", sent);
	close(fd);
	ok(answers(), "and the next peer is answered");
}

static void test_many(void)
{
	unsigned int waited = 0;
	struct rusage before, after;

	getrusage(RUSAGE_SELF, &before);
	for (unsigned int i = 0; i < CONNECTIONS; i++) {
		int fd = dial();

		waited += fd >= 0;
		close(fd);
		settle();
	}
	getrusage(RUSAGE_SELF, &after);
	is(waited, CONNECTIONS, "connections one after the other");
	ok(after.ru_maxrss - before.ru_maxrss < 8192, "take no memory (%ld KiB)",
	   after.ru_maxrss - before.ru_maxrss);
	ok(answers(), "and the next peer is answered");
}

static void test_deaf(void)
{
	unsigned int before = commands, turns;
	int fd = dial();

	for (turns = 0; turns < 200000; turns++) {
		if (write(fd, "show\n", 5) != 5 && errno != EAGAIN)
			break;
		settle();
	}
	ok(turns < 200000, "a peer that never reads is hung up on (%u answers)",
	   commands - before);
	close(fd);
	ok(answers(), "and the next peer is answered");
}

static void test_no_descriptors(void)
{
	int waits = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), next = dup(0);
	struct rlimit old, limit;

	close(next);
	getrlimit(RLIMIT_NOFILE, &old);
	limit = (struct rlimit) { next, old.rlim_max };
	setrlimit(RLIMIT_NOFILE, &limit);
	if (connect(waits, (struct sockaddr *)&address, sizeof(address)))
		abort();
	ok(settle() < 10, "without descriptors a peer waits, and nobody turns round and round");
	setrlimit(RLIMIT_NOFILE, &old);
	close(waits);
	ok(answers(), "and the next peer is answered");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	strcpy(address.sun_path, "runner_lines_test.XXXXXX");
	close(mkstemp(address.sun_path));
	unlink(address.sun_path);
	if (iothread_create(&io) || lines_open(&lines, "--control", address.sun_path) ||
	    !lines_attach(&lines, io, on_command, NULL))
		return 1;
	test_half();
	test_endless();
	test_many();
	test_deaf();
	test_no_descriptors();
	lines_detach(&lines);
	lines_close(&lines);
	iothread_destroy(io);
	unlink(address.sun_path);
	return tap_end();
}
