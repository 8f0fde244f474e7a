/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A switch among guests: each port is a connected socket of messages, a message is an
 * Ethernet frame. It learns addresses as IEEE 802.1D has it, and drops what a port does not
 * take at once: a guest that does not read costs the others nothing and grows no memory.
 *
 * Invariant: a slot's descriptor is that of a port.
 */
#ifndef RUNNER_SWITCH_H
#define RUNNER_SWITCH_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <linux/if_ether.h>

#define SWITCH_PORTS_MAX	64
/* Slots for addresses; one that takes another's slot has it forgotten, and flooded for. */
#define SWITCH_SLOTS		1024
#define SWITCH_FRAME_MAX	(ETH_HLEN + 65535)

struct switch_slot {
	uint8_t mac[ETH_ALEN];
	int fd;			/* of its port; 0: the slot is empty */
};

struct net_switch {
	struct pollfd fds[SWITCH_PORTS_MAX + 1];	/* what listens, then the ports */
	unsigned int ports;
	bool refused;		/* the host gave no descriptor for a port: wait a while */
	struct switch_slot slot[SWITCH_SLOTS];
	uint8_t frame[SWITCH_FRAME_MAX];
};

/* @fd listens. */
void switch_init(struct net_switch *sw, int fd);
/* Wait up to @timeout ms for something to do, and do it; -1: for ever. */
void switch_turn(struct net_switch *sw, int timeout);

#endif /* RUNNER_SWITCH_H */
