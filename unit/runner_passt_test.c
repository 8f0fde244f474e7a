// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * --net passt with the real passt: a scripted driver asks by ARP, and a program of the host's
 * connects to a forwarded port. Where passt cannot confine itself there is nothing to test: a
 * passt started without our code is asked first.
 */
/* unit-sources: ../runner/virtio/net.c ../runner/virtio/netdev.c ../runner/virtio/netio.c */
/* unit-sources: ../runner/virtio/netmac.c ../runner/virtio/netuser.c ../runner/virtio/tap.c */
/* unit-sources: ../runner/virtio/vhost.c ../runner/virtio/netpasst.c */
/* unit-sources: ../runner/usernet/forward.c */
/* unit-sources: ../runner/virtio/tokens.c ../runner/words.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tap.h"
#include "virtio_world.h"
#include "../runner/virtio/netdev.h"

extern const struct virtio_type virtio_net;

#define RX		0
#define TX		1
#define SIZE		2048
#define ROOM		16		/* frames that may come unasked */
#define GUEST		{ 0x52, 0x54, 0, 0, 0, 1 }
#define ASKED		0x01020304	/* passt answers for every address */

struct request {
	struct ether_header ether;
	struct ether_arp arp;
} __attribute__((packed));

static struct world *world;
static uint64_t buffer;

static struct request question(void)
{
	struct request request = {
		.ether = { .ether_dhost = { 255, 255, 255, 255, 255, 255 },
			   .ether_shost = GUEST, .ether_type = htons(ETHERTYPE_ARP) },
		.arp = { .ea_hdr = { htons(ARPHRD_ETHER), htons(ETHERTYPE_IP), 6, 4,
				     htons(ARPOP_REQUEST) },
			 .arp_sha = GUEST, .arp_spa = { 192, 0, 2, 77 } },
	};
	uint32_t asked = htonl(ASKED);

	memcpy(request.arp.arp_tpa, &asked, sizeof(asked));
	return request;
}

/* Does a passt answer here at all? */
static bool works_here(void)
{
	const struct timeval limit = { .tv_sec = 20 };
	struct request request = question();
	uint32_t len = htonl(sizeof(request));
	int ends[2];
	bool works;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		abort();
	pid = fork();
	if (!pid) {
		dup2(ends[1], 100);
		execlp("passt", "passt", "-f", "-q", "--fd", "100", "-t", "none", "-u", "none",
		       NULL);
		_exit(1);
	}
	close(ends[1]);
	setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	works = send(ends[0], &len, sizeof(len), 0) == sizeof(len) &&
		send(ends[0], &request, sizeof(request), 0) == sizeof(request) &&
		recv(ends[0], &len, sizeof(len), MSG_WAITALL) == sizeof(len);
	close(ends[0]);
	waitpid(pid, NULL, 0);
	return works;
}

/* ---- the guest ---- */

static void offer(unsigned int i)
{
	driver_add(world, RX, (struct buffer[]) { { buffer + i * SIZE, SIZE, true } }, 1);
	driver_kick(world, RX);
}

/* What is in the next frame of @type, or NULL after a while. */
static const void *next(uint16_t type)
{
	static uint32_t packet[SIZE / sizeof(uint32_t)];

	for (unsigned int turn = 0; turn < 20; turn++) {
		int i = driver_used(world, RX, NULL);
		struct ether_header *ether;

		if (i < 0) {
			world_wait(world);
			continue;
		}
		ether = world_at(world, buffer + i * SIZE + NETDEV_HEADER, SIZE - NETDEV_HEADER);
		if (ntohs(ether->ether_type) != type)
			continue;
		memcpy(packet, ether + 1, SIZE - NETDEV_HEADER - sizeof(*ether));
		return packet;
	}
	return NULL;
}

static void ask(void)
{
	struct request request = question();
	uint64_t at = world_alloc(world, SIZE);
	const struct buffer buffers[] = { { at, NETDEV_HEADER, false },
					  { at + 64, sizeof(request), false } };

	memset(world_at(world, at, NETDEV_HEADER), 0, NETDEV_HEADER);
	memcpy(world_at(world, at + 64, sizeof(request)), &request, sizeof(request));
	driver_add(world, TX, buffers, 2);
	driver_kick(world, TX);
}

/* ---- tests ---- */

/* A port that nobody has at the moment, and a socket to connect to it. */
static int free_port(struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(*at);

	*at = (struct sockaddr_in) { AF_INET, 0, { htonl(INADDR_LOOPBACK) }, { 0 } };
	if (bind(fd, (struct sockaddr *)at, len) || getsockname(fd, (struct sockaddr *)at, &len))
		abort();
	close(fd);
	return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
}

static void test_frames(void)
{
	struct sockaddr_in at;
	int fd = free_port(&at), status;
	const struct ether_arp *arp;
	const struct iphdr *ip;
	void *backend;
	char text[80];

	snprintf(text, sizeof(text), "passt,loopback,hostfwd=tcp::%u-:80", ntohs(at.sin_port));
	is(virtio_net.open(text, &backend), STATUS_OK, "--net %s", text);
	world = world_open(&virtio_net, backend);
	buffer = world_alloc(world, ROOM * SIZE);
	driver_start(world, 0);
	for (unsigned int i = 0; i < ROOM; i++)
		offer(i);
	ask();
	arp = next(ETHERTYPE_ARP);
	ok(arp && arp->ea_hdr.ar_op == htons(ARPOP_REPLY), "a question by ARP is answered");
	ok(!connect(fd, (struct sockaddr *)&at, sizeof(at)) || errno == EINPROGRESS,
	   "a forwarded port is listened at");
	do {
		ip = next(ETHERTYPE_IP);
	} while (ip && ip->protocol != IPPROTO_TCP);
	ok(ip && ((const struct tcphdr *)(ip + 1))->dest == htons(80),
	   "and a connection to it comes to the guest's port");
	world_close(world);
	virtio_net.close(backend);
	close(fd);
	ok(wait(&status) > 0, "it ends with its guest");
}

/* In its place a script, which succeeds if it has the socket and not what our caller left open. */
static void test_descriptors(void)
{
	char dir[] = "runner_passt_test.XXXXXX", name[64], *path = getenv("PATH"), *both;
	int left = dup2(0, 50), status;
	void *backend;
	FILE *script;

	if (!mkdtemp(dir))
		abort();
	snprintf(name, sizeof(name), "%s/passt", dir);
	script = fopen(name, "w");
	fprintf(script, "#!/bin/sh\n[ -e /proc/$$/fd/3 ] && [ ! -e /proc/$$/fd/%d ]\n", left);
	fchmod(fileno(script), 0700);
	fclose(script);
	if (asprintf(&both, "%s:%s", dir, path) < 0)
		abort();
	path = strdup(path);
	setenv("PATH", both, 1);
	is(virtio_net.open("passt", &backend), STATUS_OK, "a passt in the place of the real one");
	ok(wait(&status) > 0 && !status, "has the socket, and no descriptor of the guest's");
	virtio_net.close(backend);
	setenv("PATH", path, 1);
	free(path);
	free(both);
	close(left);
	unlink(name);
	rmdir(dir);
}

static void refuses(const char *text, enum status want, const char *why)
{
	void *none;

	world_complaint[0] = 0;
	is(virtio_net.open(text, &none), want, "--net %s", text);
	ok(strstr(world_complaint, why), "says why: %s", world_complaint);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	refuses("passt,hostfwd=tcp:22-:22", STATUS_USAGE, "not understood");
	refuses("passt,hostfwd=tcp::22-10.0.2.77:22", STATUS_USAGE, "leave it out");
	refuses("passt,queues=2", STATUS_USAGE, "only a tap");
	if (works_here())
		test_frames();
	else
		tap_skip("frames pass", "passt cannot work here");
	test_descriptors();
	setenv("PATH", "/nowhere", 1);
	refuses("passt", STATUS_BAD_FILE, "install passt");
	return tap_end();
}
