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
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
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

static bool forbidden6(const char *to, size_t len)
{
	uint8_t frame[64] = { 0 };
	struct ether_header *ether = (void *)frame;
	struct ip6_hdr ip = { .ip6_vfc = 0x60 };

	if (inet_pton(AF_INET6, to, &ip.ip6_dst) != 1)
		abort();
	ether->ether_type = htons(ETHERTYPE_IPV6);
	memcpy(frame + sizeof(*ether), &ip, sizeof(ip));
	return usernet_forbidden(frame, len);
}

static void test_forbidden6(void)
{
	ok(forbidden6("::1", 64) && forbidden6("::", 54), "the loopback of IPv6 is forbidden");
	ok(forbidden6("::ffff:127.0.0.1", 64) && forbidden6("::127.0.0.1", 64),
	   "and that of IPv4 by an address of IPv6");
	ok(!forbidden6("fd00:a02::2", 64) && !forbidden6("2001:db8::1", 64) &&
	   !forbidden6("::1:0:0:1", 64) && !forbidden6("ff02::2", 64), "nothing else is");
	ok(!forbidden6("::1", 53), "what is too short is nobody's");
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
		if (!usernet_create(false, 0, &net))
			usernet_run(net);
		_exit(0);
	}
	close(ends[1]);
	return ends[0];
}

/* The next frame of a type; 0: none comes. */
static ssize_t next(int fd, uint8_t *frame, size_t size, uint16_t type)
{
	const struct ether_header *ether = (void *)frame;
	ssize_t n;

	do {
		n = recv(fd, frame, size, 0);
	} while (n >= (ssize_t)sizeof(*ether) && ntohs(ether->ether_type) != type);
	return n < 0 ? 0 : n;
}

/* Internet checksum of ICMPv6: RFC 4443, "Message Checksum Calculation". */
static uint16_t checksum(const struct ip6_hdr *ip, const void *message, size_t len)
{
	uint8_t text[40 + 64] = { 0 };
	uint32_t sum = 0;

	memcpy(text, &ip->ip6_src, 32);
	text[35] = len;
	text[39] = IPPROTO_ICMPV6;
	memcpy(text + 40, message, len);
	for (size_t i = 0; i < 40 + len; i += 2)
		sum += text[i] << 8 | text[i + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	return htons(~(sum + (sum >> 16)));
}

/* A router is asked for, and says the prefix. */
static void test_router(void)
{
	static const uint8_t prefix[] = { 3, 4, USERNET_PREFIX6 };
	const struct in6_addr net = USERNET_NET6;
	int fd = start(), status;
	struct timeval patience = { .tv_sec = 10 };
	/* So that what is behind the Ethernet header is aligned. */
	uint8_t buf[2048] __attribute__((aligned(8))) = { 0 }, *frame = buf + 2;
	struct ether_header *ether = (void *)frame;
	struct ip6_hdr *ip = (void *)(ether + 1);
	struct nd_router_solicit *ask = (void *)(ip + 1);
	const struct nd_router_advert *answer = (void *)(ip + 1);
	const uint8_t *option = NULL;
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	memcpy(ether->ether_dhost, "\x33\x33\x00\x00\x00\x02", ETH_ALEN);
	memcpy(ether->ether_shost, "\x52\x54\x00\x00\x00\x01", ETH_ALEN);
	ether->ether_type = htons(ETHERTYPE_IPV6);
	*ip = (struct ip6_hdr) { .ip6_hlim = 255, .ip6_nxt = IPPROTO_ICMPV6,
				 .ip6_plen = htons(sizeof(*ask)) };
	ip->ip6_vfc = 0x60;
	inet_pton(AF_INET6, "fe80::1", &ip->ip6_src);
	inet_pton(AF_INET6, "ff02::2", &ip->ip6_dst);
	ask->nd_rs_type = ND_ROUTER_SOLICIT;
	ask->nd_rs_cksum = checksum(ip, ask, sizeof(*ask));
	send(fd, frame, sizeof(*ether) + sizeof(*ip) + sizeof(*ask), 0);
	n = next(fd, frame, sizeof(buf) - 2, ETHERTYPE_IPV6);
	ok(n > (ssize_t)(sizeof(*ether) + sizeof(*ip) + sizeof(*answer)) &&
	   answer->nd_ra_type == ND_ROUTER_ADVERT, "a router answers");
	for (ssize_t at = sizeof(*ether) + sizeof(*ip) + sizeof(*answer); at + 32 <= n;
	     at += frame[at + 1] * 8) {
		if (!memcmp(frame + at, prefix, sizeof(prefix)))
			option = frame + at;
		if (!frame[at + 1])
			break;
	}
	ok(option && !memcmp(option + 16, &net, sizeof(net)), "with the prefix");
	close(fd);
	ok(wait(&status) > 0 && WIFEXITED(status) && !WEXITSTATUS(status),
	   "and it ends with the runner");
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
	n = next(fd, frame, sizeof(frame), ETHERTYPE_ARP);
	ok(n >= (ssize_t)(sizeof(*ether) + sizeof(*arp)) &&
	   arp->ea_hdr.ar_op == htons(ARPOP_REPLY) &&
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
	test_forbidden6();
	test_arp();
	test_router();
	return tap_end();
}
