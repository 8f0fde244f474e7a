// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One connection's host side; see vsock.h.
 *
 * Invariants: head - tail is at most VSOCK_RING, which holds because the guest may send
 * only what VSOCK_RING + forwarded allows; events are what epoll waits for at the peer.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "vsock.h"

/* ---- the peer's events ---- */

void link_update(struct link *link)
{
	uint32_t events = 0;

	if (link->peer.fd < 0)
		return;
	if (link->state == LINK_GREETING)
		events = EPOLLIN;
	if (link->state == LINK_OPEN && link_window(link) && !link->readable)
		events |= EPOLLIN;
	if (link->head != link->tail)
		events |= EPOLLOUT;
	if (events == link->events)
		return;
	if (events)
		iothread_watch(link->io, &link->peer, events);
	else
		iothread_unwatch(link->io, &link->peer);
	link->events = events;
}

void link_close(struct link *link)
{
	if (link->peer.fd >= 0) {
		if (link->events)
			iothread_unwatch(link->io, &link->peer);
		close(link->peer.fd);
	}
	link->peer.fd = -1;
	link->events = 0;
	free(link->ring);
	link->ring = NULL;
	link->head = 0;
	link->tail = 0;
	link->state = LINK_DEAD;
}

void link_kill(struct link *link)
{
	/* Who was never heard of needs no farewell. */
	bool known = link->state != LINK_GREETING && !(link->owes & OWES_REQUEST);

	link_close(link);
	link->owes = known ? OWES_RST : 0;
	vsock_ready(link);
}

/* ---- to the peer ---- */

/* What the guest shut down is shut down for the peer when it has all of what came before. */
static void pass_shut(struct link *link)
{
	if (link->state != LINK_OPEN || link->guest_sends || link->head != link->tail)
		return;
	if (!link->guest_reads) {
		link_kill(link);
		return;
	}
	shutdown(link->peer.fd, SHUT_WR);
}

/* As much of the ring as the peer takes. The link may be dead afterwards. */
static void flush(struct link *link)
{
	while (link->head != link->tail) {
		unsigned int start = link->tail % VSOCK_RING;
		size_t len = link->head - link->tail;
		ssize_t n;

		if (len > VSOCK_RING - start)
			len = VSOCK_RING - start;
		n = write(link->peer.fd, link->ring + start, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			link_kill(link);
			return;
		}
		link->tail += n;
		link->forwarded += n;
	}
	/* The guest need not be told of every byte. */
	if (link->forwarded - link->announced >= VSOCK_RING / 2) {
		link->owes |= OWES_CREDIT;
		vsock_ready(link);
	}
	pass_shut(link);
	link_update(link);
}

bool link_put(struct link *link, const uint8_t *data, size_t len)
{
	if (len > VSOCK_RING - (link->head - link->tail))
		return false;
	for (size_t i = 0; i < len; i++)
		link->ring[link->head++ % VSOCK_RING] = data[i];
	flush(link);
	return true;
}

void link_shut(struct link *link, bool sends, bool reads)
{
	link->guest_sends &= !sends;
	link->guest_reads &= !reads;
	if (reads && link->peer.fd >= 0)
		shutdown(link->peer.fd, SHUT_RD);
	if (sends)
		pass_shut(link);
	link_update(link);
}

void link_say(struct link *link, const char *text)
{
	size_t len = strlen(text);

	if (write(link->peer.fd, text, len) != (ssize_t)len)
		link_kill(link);
}

/* ---- from the peer ---- */

uint32_t link_window(const struct link *link)
{
	uint32_t used = link->sent - link->taken;

	if (link->state != LINK_OPEN || !link->guest_reads || !link->peer_sends)
		return 0;
	return used < link->credit ? link->credit - used : 0;
}

/* It says no more, and when it is gone altogether it does not listen either. */
static void end_of_peer(struct link *link)
{
	struct pollfd pollfd = { .fd = link->peer.fd };

	link->peer_sends = false;
	if (poll(&pollfd, 1, 0) && pollfd.revents & POLLHUP)
		link->peer_reads = false;
	link->owes |= OWES_SHUTDOWN;
	vsock_ready(link);
}

size_t link_get(struct link *link, uint8_t *data, size_t len)
{
	ssize_t n;

	do {
		n = read(link->peer.fd, data, len);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		link->sent += n;
		return n;
	}
	link->readable = false;
	if (n == 0)
		end_of_peer(link);
	else if (errno != EAGAIN)
		link_kill(link);
	link_update(link);
	return 0;
}

/* "CONNECT PORT", byte by byte: what follows is the guest's. */
static void greet(struct link *link)
{
	char *byte = &link->greeting[link->greeted];
	unsigned long port;
	char *end;
	ssize_t n;

	while ((n = read(link->peer.fd, byte, 1)) == 1 && *byte != '\n') {
		if (++link->greeted == sizeof(link->greeting)) {
			link_kill(link);
			return;
		}
		byte++;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	*byte = 0;
	errno = 0;
	port = n == 1 && !strncmp(link->greeting, "CONNECT ", 8) && link->greeting[8] >= '0' &&
			       link->greeting[8] <= '9' ?
		       strtoul(link->greeting + 8, &end, 10) : ULONG_MAX;
	if (port == ULONG_MAX || *end || port > UINT32_MAX) {
		link_kill(link);
		return;
	}
	vsock_greeted(link, port);
	link_update(link);
}

static void on_peer(void *opaque)
{
	struct link *link = opaque;

	if (link->state == LINK_GREETING) {
		greet(link);
		return;
	}
	if (link->events & EPOLLIN)
		link->readable = true;
	flush(link);
	if (link->readable)
		vsock_ready(link);
}

/* ---- beginning ---- */

void link_adopt(struct link *link, int fd)
{
	link->peer = (struct iowatch) { fd, on_peer, link };
	link_update(link);
}

bool link_open(struct link *link)
{
	link->ring = malloc(VSOCK_RING);
	if (!link->ring)
		return false;
	link->state = LINK_OPEN;
	link->guest_sends = true;
	link->guest_reads = true;
	link->peer_sends = true;
	link->peer_reads = true;
	return true;
}
