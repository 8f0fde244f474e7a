// SPDX-License-Identifier: GPL-2.0-or-later
/* Ports come and go, frames go from one to another; see switch.h. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "switch.h"

/* Frames of one port between two looks at the others. */
#define BATCH		64
/* For how long a port waits that the host had no descriptor for, in milliseconds. */
#define RETRY		500
/* The address of a frame's receiver comes first, then its sender's. */
#define SOURCE		ETH_ALEN
#define GROUP		0x01
/* What a port may be behind, where the host allows it. */
#define PORT_BUFFER	(1 << 20)

void switch_init(struct net_switch *sw, int fd)
{
	memset(sw, 0, sizeof(*sw));
	sw->fds[0] = (struct pollfd) { .fd = fd, .events = POLLIN };
}

/* ---- addresses ---- */

static struct switch_slot *slot_of(struct net_switch *sw, const uint8_t *mac)
{
	uint32_t hash = 2166136261U;

	for (unsigned int i = 0; i < ETH_ALEN; i++)
		hash = (hash ^ mac[i]) * 16777619U;
	return &sw->slot[(hash ^ hash >> 16) % SWITCH_SLOTS];
}

static void learn(struct net_switch *sw, const uint8_t *mac, int fd)
{
	struct switch_slot *slot = slot_of(sw, mac);

	if (mac[0] & GROUP)
		return;
	memcpy(slot->mac, mac, ETH_ALEN);
	slot->fd = fd;
}

/* The port of an address; 0: nobody knows. */
static int find(struct net_switch *sw, const uint8_t *mac)
{
	const struct switch_slot *slot = slot_of(sw, mac);

	return mac[0] & GROUP || memcmp(slot->mac, mac, ETH_ALEN) ? 0 : slot->fd;
}

static void forget(struct net_switch *sw, int fd)
{
	for (unsigned int i = 0; i < SWITCH_SLOTS; i++)
		if (sw->slot[i].fd == fd)
			sw->slot[i].fd = 0;
}

/* ---- ports ---- */

static void add_port(struct net_switch *sw)
{
	int fd = accept4(sw->fds[0].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int size = PORT_BUFFER;

	if (fd < 0) {
		sw->refused = errno != EAGAIN && errno != EINTR && errno != ECONNABORTED;
		return;
	}
	/* The other side finds that it has gone. */
	if (sw->ports == SWITCH_PORTS_MAX) {
		close(fd);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	sw->fds[++sw->ports] = (struct pollfd) { .fd = fd, .events = POLLIN };
}

/* The last one takes its place. */
static void remove_port(struct net_switch *sw, unsigned int i)
{
	forget(sw, sw->fds[i].fd);
	close(sw->fds[i].fd);
	sw->fds[i] = sw->fds[sw->ports--];
}

/* ---- frames ---- */

static void forward(struct net_switch *sw, int from, size_t len)
{
	int to = find(sw, sw->frame);

	learn(sw, sw->frame + SOURCE, from);
	if (to) {
		if (to != from)
			send(to, sw->frame, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		return;
	}
	for (unsigned int i = 1; i <= sw->ports; i++)
		if (sw->fds[i].fd != from)
			send(sw->fds[i].fd, sw->frame, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* false: the port has gone. */
static bool serve(struct net_switch *sw, int fd)
{
	for (unsigned int i = 0; i < BATCH; i++) {
		ssize_t n = recv(fd, sw->frame, sizeof(sw->frame), MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (!n)
			return false;
		if (n >= ETH_HLEN)
			forward(sw, fd, n);
	}
	return true;
}

void switch_turn(struct net_switch *sw, int timeout)
{
	unsigned int i = sw->ports;

	/* Who waits to be a port is there all the time: nothing would end the wait but time. */
	sw->fds[0].events = sw->refused ? 0 : POLLIN;
	if (sw->refused && (timeout < 0 || timeout > RETRY))
		timeout = RETRY;
	sw->refused = false;
	if (poll(sw->fds, sw->ports + 1, timeout) <= 0)
		return;
	/* From the end: a port that goes is replaced by one that was served. */
	for (; i; i--)
		if (sw->fds[i].revents && !serve(sw, sw->fds[i].fd))
			remove_port(sw, i);
	if (sw->fds[0].revents)
		add_port(sw);
}
