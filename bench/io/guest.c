// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * In a guest: the loads of bench/io/run on its first disk and its network. Each is
 * announced on standard output with "mark begin NAME", goes on when a line comes
 * back, and ends with "mark end NAME OPERATIONS INTERRUPTS", after which a line is
 * waited for as well: so that the host looks at its counters while nothing happens.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
#include <linux/aio_abi.h>

#include "load.h"

#define BLOCK		4096
/* Blocks of the disk that are read: 64 MiB. */
#define BLOCKS		16384
#define READS		4096
#define DEPTH		32
#define PACKETS		4096
#define ROUNDS		1024
#define BURST		32

static char buffer[DEPTH][BLOCK] __attribute__((aligned(BLOCK)));
static int disk, net;

static void die(const char *what)
{
	printf("bench-io: guest: %s: %s\n", what, strerror(errno));
	exit(1);
}

static off_t next_block(void)
{
	static uint32_t x = 1;

	x = x * 1103515245 + 12345;
	return (off_t)((x >> 8) % BLOCKS) * BLOCK;
}

/* One after the other. */
static unsigned int read_1(void)
{
	for (unsigned int i = 0; i < READS; i++)
		if (pread(disk, buffer[0], BLOCK, next_block()) != BLOCK)
			die("read");
	return READS;
}

/* DEPTH at a time: as many go out as have come back. */
static unsigned int read_32(void)
{
	struct iocb iocb[DEPTH], *list[DEPTH];
	struct io_event event[DEPTH];
	aio_context_t aio = 0;
	unsigned int done = 0, begun = 0;
	long n = DEPTH;

	if (syscall(SYS_io_setup, DEPTH, &aio))
		die("io_setup");
	for (unsigned int i = 0; i < DEPTH; i++)
		event[i].data = i;
	while (done < READS) {
		unsigned int batch = 0;

		for (; batch < n && begun < READS; begun++) {
			unsigned int slot = event[batch].data;

			iocb[slot] = (struct iocb){
				.aio_lio_opcode = IOCB_CMD_PREAD,
				.aio_fildes = disk,
				.aio_data = slot,
				.aio_buf = (uintptr_t)buffer[slot],
				.aio_nbytes = BLOCK,
				.aio_offset = next_block(),
			};
			list[batch++] = &iocb[slot];
		}
		if (batch && syscall(SYS_io_submit, aio, (long)batch, list) != batch)
			die("io_submit");
		n = syscall(SYS_io_getevents, aio, 1L, (long)DEPTH, event, NULL);
		if (n < 1)
			die("io_getevents");
		for (long i = 0; i < n; i++)
			if (event[i].res != BLOCK)
				die("read");
		done += n;
	}
	syscall(SYS_io_destroy, aio);
	return READS;
}

/* Asks the host for @count packets of @size bytes, or tells it to drop this one. */
static void send_order(unsigned int count, unsigned int size, size_t length)
{
	const struct order order = { .count = count, .size = size };

	memcpy(buffer[0], &order, sizeof(order));
	if (send(net, buffer[0], length, 0) != (ssize_t)length)
		die("send");
}

static unsigned int send_packets(size_t length)
{
	for (unsigned int i = 0; i < PACKETS; i++)
		send_order(0, 0, length);
	return PACKETS;
}

static unsigned int send_64(void)
{
	return send_packets(64 - HEADERS);
}

static unsigned int send_1500(void)
{
	return send_packets(1500 - HEADERS);
}

static unsigned int receive(unsigned int rounds, unsigned int burst, unsigned int length)
{
	for (unsigned int i = 0; i < rounds; i++) {
		send_order(burst, length, 64 - HEADERS);
		for (unsigned int n = 0; n < burst; n++)
			if (recv(net, buffer[1], BLOCK, 0) != (ssize_t)length)
				die("receive");
	}
	return rounds * burst;
}

static unsigned int receive_64(void)
{
	return receive(PACKETS / BURST, BURST, 64 - HEADERS);
}

static unsigned int receive_1500(void)
{
	return receive(PACKETS / BURST, BURST, 1500 - HEADERS);
}

static unsigned int round_trips(void)
{
	return receive(ROUNDS, 1, 64 - HEADERS);
}

static unsigned int nothing(void)
{
	return 1;
}

/* Interrupts of virtio devices so far. */
static unsigned long interrupts_so_far(void)
{
	FILE *file = fopen("/proc/interrupts", "r");
	unsigned long sum = 0, n;
	char line[512];

	if (!file)
		die("/proc/interrupts");
	while (fgets(line, sizeof(line), file))
		if (strstr(line, "virtio") && sscanf(line, " %*[^:]: %lu", &n) == 1)
			sum += n;
	fclose(file);
	return sum;
}

static void wait_for_line(void)
{
	char line[64];

	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		die("the host's answer");
}

static void measure(const char *name, unsigned int (*load)(void))
{
	unsigned long before = interrupts_so_far();
	unsigned int count;

	printf("mark begin %s\n", name);
	wait_for_line();
	count = load();
	printf("mark end %s %u %lu\n", name, count, interrupts_so_far() - before);
	wait_for_line();
}

static void open_net(void)
{
	const struct sockaddr_in host = {
		.sin_family = AF_INET,
		.sin_port = htons(PORT),
		.sin_addr.s_addr = inet_addr(HOST_ADDRESS),
	};
	const struct timeval limit = { .tv_sec = 20 };

	net = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (net < 0 || connect(net, (const struct sockaddr *)&host, sizeof(host)) ||
	    setsockopt(net, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
		die("socket");
	receive(1, 1, 64 - HEADERS);
}

int main(void)
{
	disk = open("/dev/vda", O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (disk < 0)
		die("/dev/vda");
	open_net();
	measure("nothing", nothing);
	measure("read_1", read_1);
	measure("read_32", read_32);
	measure("send_64", send_64);
	measure("send_1500", send_1500);
	measure("receive_64", receive_64);
	measure("receive_1500", receive_1500);
	measure("round_trip", round_trips);
	printf("mark bye\n");
	fflush(stdout);
	pause();
	return 0;
}
