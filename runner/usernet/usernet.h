/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm-usernet: the user-mode network of one guest's device, as a process of its own. It is
 * started by `vmm run --net user` and ends with it.
 *
 * libslirp reads what the guest sends, and it opens sockets of the host while the guest
 * runs. So it lives outside of the runner: whoever takes it over has the network of the
 * user who started it, and a socket to the runner that carries frames; no guest memory, no
 * vmm descriptors, no files but /etc/resolv.conf, no programs, no other processes.
 *
 * main.c starts and confines, stack.c moves frames, forward.c reads hostfwd=.
 */
#ifndef RUNNER_USERNET_H
#define RUNNER_USERNET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include "../status.h"

/* The end of the socket that the runner hands over. */
#define USERNET_FD	3

/* The guest's network; the addresses are those that everybody knows from QEMU. */
#define USERNET_NET	0x0a000200	/* 10.0.2.0 */
#define USERNET_MASK	0xffffff00
#define USERNET_HOST	0x0a000202	/* the gateway, and with loopback the host */
#define USERNET_DNS	0x0a000203
#define USERNET_GUEST	0x0a00020f	/* the first that DHCP gives */

/* fd00:a02::/64, which the router advertises; a unique local prefix, so IPv4 goes first. */
#define USERNET_IP6(last)	{ { { 0xfd, 0, 0x0a, 0x02, [15] = (last) } } }
#define USERNET_NET6		USERNET_IP6(0)
#define USERNET_PREFIX6		64
#define USERNET_HOST6		USERNET_IP6(2)
#define USERNET_DNS6		USERNET_IP6(3)

/*
 * The largest IP packet either way, as large as libslirp takes: the work is one a frame, and no
 * wire asks for less. Both ends of a TCP connection agree on what they can bear, so a guest
 * whose interface has a smaller one loses nothing but speed.
 */
#define USERNET_MTU	65520

/* Connections at once, each a descriptor. */
#define USERNET_FILES	512

struct usernet_forward {
	bool udp;
	struct in_addr host, guest;
	uint16_t host_port, guest_port;
};

/* `tcp:[ADDR]:PORT-[GUESTADDR]:PORT`. Complains. */
enum status usernet_forward(const char *text, struct usernet_forward *forward);

struct usernet;

/*
 * @loopback: the gateway's address is the host's 127.0.0.1. @mtu: bytes of an IP packet, 0: as
 * many as can be. Complains.
 */
enum status usernet_create(bool loopback, unsigned int mtu, struct usernet **net);
enum status usernet_add(struct usernet *net, const char *text);
/* Move frames until the runner has gone. */
void usernet_run(struct usernet *net);

/* Would the frame reach the host itself by an address that the guest has no right to? */
bool usernet_forbidden(const void *frame, size_t len);

#endif /* RUNNER_USERNET_H */
