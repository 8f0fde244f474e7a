// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The user-mode network without its process: what hostfwd= may say, and libslirp at the
 * end of a socket, asked by ARP and DHCP as a guest asks.
 */
/* unit-sources: ../runner/usernet/forward.c ../runner/usernet/stack.c */
/* unit-flags: -D_GNU_SOURCE */
/* unit-libs: -lslirp */
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tap.h"
#include "../runner/usernet/usernet.h"

static unsigned int complaints;

void complain(const char *fmt, ...)
{
	(void)fmt;
	complaints++;
}

/* ---- words ---- */

static void test_forward(void)
{
	static const char * const wrong[] = {
		"", "tcp", "tcp:", "tcp::22", "tcp:22-22", "tcp::22-", "tcp::22-22", "tcp::0-:22",
		"tcp::22-:0", "tcp::65536-:22", "tcp::1-:123456", "tcp::2x-:22", "sctp::1-:2",
		"tcp:localhost:1-:2", "tcp:1.2.3.4.5:1-:2", "tcp:::1-:2", "tcp::1-10.0.2:22",
		"tcp:111.111.111.1111:1-:2", "tcp::-1-:2",
	};
	struct usernet_forward forward;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		is(usernet_forward(wrong[i], &forward), STATUS_USAGE, "hostfwd=%s", wrong[i]);
	is(complaints, sizeof(wrong) / sizeof(wrong[0]), "each with a line");
	is(usernet_forward("tcp::2222-:22", &forward), STATUS_OK, "ports alone");
	ok(!forward.udp && forward.host_port == 2222 && forward.guest_port == 22 &&
	   forward.host.s_addr == htonl(0x7f000001) && forward.guest.s_addr == htonl(USERNET_GUEST),
	   "are this host's loopback and the guest");
	is(usernet_forward("udp:0.0.0.0:1-10.0.2.99:65535", &forward), STATUS_OK, "addresses");
	ok(forward.udp && !forward.host.s_addr && forward.guest.s_addr == htonl(0x0a000263) &&
	   forward.guest_port == 65535, "are taken");
}

/* ---- what may not pass ---- */

static bool forbidden(uint32_t to, size_t len)
{
	uint8_t frame[64] = { 0 };
	struct ether_header *ether = (void *)frame;
	struct iphdr ip = { .version = 4, .ihl = 5, .daddr = htonl(to) };

	ether->ether_type = htons(ETHERTYPE_IP);
	memcpy(frame + sizeof(*ether), &ip, sizeof(ip));
	return usernet_forbidden(frame, len);
}

static void test_forbidden(void)
{
	ok(forbidden(0x7f000001, 64) && forbidden(0x7fffffff, 64) && forbidden(0x7f000035, 34),
	   "the host's loopback is forbidden");
	ok(forbidden(0, 64) && forbidden(1, 64), "by its other name, too");
	ok(!forbidden(USERNET_HOST, 64) && !forbidden(0x08080808, 64) && !forbidden(0x80000001, 64),
	   "nothing else is");
	ok(!forbidden(0x7f000001, 33), "what is too short is nobody's");
}

/* ---- frames ---- */

static int start(void)
{
	int ends[2];
	struct usernet *net;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends))
		abort();
	if (!fork()) {
		close(ends[0]);
		dup2(ends[1], USERNET_FD);
		if (!usernet_create(false, &net))
			usernet_run(net);
		_exit(0);
	}
	close(ends[1]);
	return ends[0];
}

static void test_arp(void)
{
	int fd = start(), status;
	struct timeval patience = { .tv_sec = 10 };
	uint8_t frame[2048] = { 0 };
	struct ether_header *ether = (void *)frame;
	struct ether_arp *arp = (void *)(ether + 1);
	const uint32_t host = htonl(USERNET_HOST), guest = htonl(USERNET_GUEST);
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	send(fd, frame, 3, 0);
	memset(ether->ether_dhost, 0xff, ETH_ALEN);
	memcpy(ether->ether_shost, "\x52\x54\x00\x00\x00\x01", ETH_ALEN);
	ether->ether_type = htons(ETHERTYPE_ARP);
	arp->ea_hdr = (struct arphdr) { htons(ARPHRD_ETHER), htons(ETHERTYPE_IP), ETH_ALEN, 4,
					htons(ARPOP_REQUEST) };
	memcpy(arp->arp_sha, ether->ether_shost, ETH_ALEN);
	memcpy(arp->arp_spa, &guest, 4);
	memcpy(arp->arp_tpa, &host, 4);
	send(fd, frame, sizeof(*ether) + sizeof(*arp), 0);
	n = recv(fd, frame, sizeof(frame), 0);
	ok(n >= (ssize_t)(sizeof(*ether) + sizeof(*arp)) &&
	   ntohs(ether->ether_type) == ETHERTYPE_ARP && arp->ea_hdr.ar_op == htons(ARPOP_REPLY) &&
	   !memcmp(arp->arp_spa, &host, 4), "the gateway answers");
	close(fd);
	ok(wait(&status) > 0 && WIFEXITED(status) && !WEXITSTATUS(status),
	   "it ends with the runner");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_forward();
	test_forbidden();
	test_arp();
	return tap_end();
}
