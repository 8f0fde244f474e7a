// SPDX-License-Identifier: GPL-2.0-or-later
/* The switch of runner/switch.c with ports that are this test's. */
/* unit-sources: ../runner/switch.c */
/* unit-flags: -D_GNU_SOURCE */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "tap.h"
#include "../runner/switch.h"

#define LEN	60

static struct net_switch sw;
static struct sockaddr_un address = { .sun_family = AF_UNIX };

static void settle(void)
{
	for (unsigned int i = 0; i < 20; i++)
		switch_turn(&sw, 0);
}

static void open_switch(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, "runner_switch_test.XXXXXX");
	close(mkstemp(address.sun_path));
	unlink(address.sun_path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 8))
		abort();
	switch_init(&sw, fd);
}

static int port(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		abort();
	settle();
	return fd;
}

/* Addresses by their last byte; 0xff is everybody's. */
static void send_frame(int fd, uint8_t to, uint8_t from, size_t len)
{
	uint8_t frame[2048] = { 2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from };

	if (to == 0xff)
		memset(frame, 0xff, ETH_ALEN);
	if (send(fd, frame, len, 0) != (ssize_t)len)
		abort();
	settle();
}

/* The sender of the next frame, -1: there is none. */
static int got(int fd)
{
	uint8_t frame[2048];

	return recv(fd, frame, sizeof(frame), MSG_DONTWAIT) == LEN ? frame[11] : -1;
}

static void test_learning(void)
{
	int a = port(), b = port(), c = port();

	send_frame(a, 2, 1, LEN);
	ok(got(b) == 1 && got(c) == 1 && got(a) < 0, "a frame for nobody known goes to all others");
	send_frame(b, 1, 2, LEN);
	ok(got(a) == 2 && got(c) < 0, "one for a known address to its port alone");
	send_frame(a, 0xff, 1, LEN);
	ok(got(b) == 1 && got(c) == 1 && got(a) < 0, "one for everybody to all others");
	send_frame(a, 1, 3, LEN);
	ok(got(a) < 0 && got(b) < 0 && got(c) < 0, "one for the port it came from to nobody");
	send_frame(c, 2, 1, LEN);
	ok(got(b) == 1, "an address that has moved");
	send_frame(b, 1, 2, LEN);
	ok(got(c) == 2 && got(a) < 0, "is found where it is");
	send_frame(a, 2, 0xff, LEN);
	got(b);
	send_frame(a, 2, 1, 13);
	is(got(b), -1, "less than an Ethernet header goes nowhere");

	close(b);
	settle();
	is(sw.ports, 2, "a port goes");
	send_frame(a, 2, 1, LEN);
	is(got(c), 1, "and its addresses are forgotten");
	close(a);
	close(c);
	settle();
	is(sw.ports, 0, "as do the others");
}

static void test_slow(void)
{
	int a = port(), slow = port(), b = port();
	unsigned int kept = 0, other = 0;

	send_frame(b, 1, 2, LEN);
	got(a);
	got(slow);
	for (unsigned int i = 0; i < 20000; i++) {
		send_frame(a, 0xff, 1, LEN);
		other += got(b) == 1;
	}
	while (got(slow) == 1)
		kept++;
	is(other, 20000, "a port that does not read takes nothing from the others");
	ok(kept > 10 && kept < 20000, "it gets what its socket holds: %u frames", kept);
	send_frame(a, 0xff, 1, LEN);
	is(got(slow), 1, "and the next when it reads again");
	close(a);
	close(b);
	close(slow);
	settle();
}

static void test_many(void)
{
	int fd[SWITCH_PORTS_MAX + 1];
	char byte;

	for (unsigned int i = 0; i <= SWITCH_PORTS_MAX; i++)
		fd[i] = port();
	is(sw.ports, SWITCH_PORTS_MAX, "there is an end to ports");
	is(recv(fd[SWITCH_PORTS_MAX], &byte, 1, MSG_DONTWAIT), 0, "one more is sent away");
	send_frame(fd[SWITCH_PORTS_MAX - 1], 0xff, 1, LEN);
	ok(got(fd[0]) == 1 && got(fd[SWITCH_PORTS_MAX - 2]) == 1, "the rest goes on");
	for (unsigned int i = 0; i <= SWITCH_PORTS_MAX; i++)
		close(fd[i]);
	settle();
	is(sw.ports, 0, "all go at once");
}

/* The host has no more descriptors: who waits for a port costs no time. */
static void test_no_descriptors(void)
{
	struct sockaddr *at = (struct sockaddr *)&address;
	int a = port(), waits = socket(AF_UNIX, SOCK_SEQPACKET, 0), next = dup(0);
	struct rlimit old, limit;

	close(next);
	getrlimit(RLIMIT_NOFILE, &old);
	limit = (struct rlimit) { next, old.rlim_max };
	setrlimit(RLIMIT_NOFILE, &limit);
	if (connect(waits, at, sizeof(address)))
		abort();
	switch_turn(&sw, 0);
	ok(sw.ports == 1 && sw.refused, "no descriptor for a port");
	switch_turn(&sw, 0);
	ok(!sw.refused && !sw.fds[0].revents, "it is not asked for again at once");
	setrlimit(RLIMIT_NOFILE, &old);
	settle();
	is(sw.ports, 2, "and is one when there is");
	close(a);
	close(waits);
	settle();
}

int main(void)
{
	open_switch();
	test_learning();
	test_slow();
	test_many();
	test_no_descriptors();
	unlink(address.sun_path);
	return tap_end();
}
