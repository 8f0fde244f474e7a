/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections between programs of the guest (AF_VSOCK) and of the host (Unix sockets).
 *
 * vsock.c is the device: packets in and out, and which connection each is for. A connection
 * is vsock_link.c's: what the guest sent and its peer has not taken waits in a ring of
 * VSOCK_RING bytes, which is all the credit that the guest gets; what the peer sends is
 * read only as far as the guest has given credit. Packets that are owed to the guest are
 * bits of their connection. So nobody who does not read makes memory grow.
 */
#ifndef RUNNER_VIRTIO_VSOCK_H
#define RUNNER_VIRTIO_VSOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/virtio_vsock.h>
#include "../iothread.h"
#include "../status.h"

#define VSOCK_RING	(64 * 1024)
/* Connections at once; further ones are refused. */
#define VSOCK_LINKS	256

/* What a connection owes the guest. */
#define OWES_REQUEST	1
#define OWES_RESPONSE	2
#define OWES_CREDIT	4
#define OWES_SHUTDOWN	8
#define OWES_RST	16

enum link_state {
	LINK_GREETING,		/* the peer has yet to say which port it wants */
	LINK_ASKED,		/* the guest has yet to answer our request */
	LINK_DIALLING,		/* the broker has yet to connect for the guest */
	LINK_OPEN,		/* and has its ring */
	LINK_DEAD,		/* only owes its RST */
};

struct vsock;

struct link {
	struct vsock *vsock;
	struct iothread *io;
	enum link_state state;
	uint32_t host_port, guest_port;
	uint32_t question;		/* while dialling: what the broker was asked */
	struct iowatch peer;		/* fd -1: gone */
	uint32_t events;		/* that epoll waits for */
	uint8_t owes;

	bool guest_sends, guest_reads;	/* it has not shut that down */
	bool peer_sends, peer_reads;
	bool readable;			/* epoll said so, and nothing was read since */

	/* From the guest: a ring, and what the credit is counted from. */
	unsigned int head, tail;
	uint32_t forwarded;		/* bytes that have left the ring, ever */
	uint32_t announced;		/* what the guest knows of them */
	uint8_t *ring;			/* NULL before it is open */

	/* To the guest. */
	uint32_t sent;			/* bytes, ever */
	uint32_t credit, taken;		/* of the guest: its buffer, what it took from it */

	char greeting[32];		/* the peer's first line */
	unsigned int greeted;
};

/* ---- of the device ---- */

/* Something of @link's is to be sent to the guest, or may be: its owes, or its peer's bytes. */
void vsock_ready(struct link *link);
/* Its peer asks for @port of the guest. */
void vsock_greeted(struct link *link, uint32_t port);

/* ---- of connections ---- */

/* A peer for a link that has none. */
void link_adopt(struct link *link, int fd);
/* Both sides are there. false: no memory. */
bool link_open(struct link *link);
/* The peer is closed, the ring freed. */
void link_close(struct link *link);
/* The same, and the guest is told. */
void link_kill(struct link *link);
/* Watch what is of use now: whenever what the guest allows or wants has changed. */
void link_update(struct link *link);

/* Bytes from the guest; false: more than it has credit for. */
bool link_put(struct link *link, const uint8_t *data, size_t len);
/* The guest sends or reads no more. */
void link_shut(struct link *link, bool sends, bool reads);
/* Bytes of the peer's that can be sent to the guest now, if there are any. */
uint32_t link_window(const struct link *link);
/* Up to @len bytes of the peer's; 0: none now. */
size_t link_get(struct link *link, uint8_t *data, size_t len);
/* A line to the peer, before anything else. */
void link_say(struct link *link, const char *text);

/* ---- of the broker ---- */

/*
 * A process outside of the sandbox that does one thing: connect to the Unix socket
 * PATH_PORT for any PORT, and hand over the descriptor. Before there are threads. Returns
 * the descriptor to it, or -errno. It ends when that is closed.
 */
int broker_start(const char *path);
/* Ask for @port; @id comes back with the answer. false: it is too busy, or gone. */
bool broker_ask(int broker, uint32_t id, uint32_t port);
/* An answer, if there is one: *@fd is the connection or -1. */
bool broker_hear(int broker, uint32_t *id, int *fd);

#endif /* RUNNER_VIRTIO_VSOCK_H */
