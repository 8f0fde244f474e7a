/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is behind a network device: a tap of the host, or a socket whose other end takes
 * and gives Ethernet frames: a switch, the user-mode network, whatever was inherited.
 *
 * netdev.c parses and opens before the sandbox, each kind by a file of its own; netio.c
 * moves frames, in the I/O thread. A frame is always a struct virtio_net_hdr_v1 with the
 * Ethernet frame behind it: only a tap knows the header, elsewhere it is zeros.
 */
#ifndef RUNNER_VIRTIO_NETDEV_H
#define RUNNER_VIRTIO_NETDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include "../status.h"
#include "../words.h"

#define NETDEV_PAIRS_MAX	8
#define NETDEV_HEADER		sizeof(struct virtio_net_hdr_v1)
/* An IP packet can be no larger, segmented or not. */
#define NETDEV_FRAME_MAX	(ETH_HLEN + 65535)
#define NETDEV_VHOST_TEXT	4		/* on, off, auto */
#define NETDEV_MTU_MIN		1280		/* IPv6 does with no less */
#define NETDEV_MTU_MAX		65520		/* libslirp takes no more */
#define NETDEV_MAC_TEXT		17	/* 52:54:00:12:34:56 */

enum netdev_kind {
	NETDEV_TAP,
	NETDEV_MESSAGES,	/* a socket that keeps frames apart */
	NETDEV_STREAM,		/* one that does not: a length goes before each */
};

/* A frame on its way through a stream, part of which is still to come or to go. */
struct netdev_part {
	size_t done, len;	/* bytes, with the length's own; @len 0: there is none */
	uint8_t bytes[sizeof(uint32_t) + NETDEV_FRAME_MAX];
};

struct netdev {
	const char *name;			/* for messages */
	enum netdev_kind kind;
	int fd[NETDEV_PAIRS_MAX];		/* one a pair of queues; -1: none */
	int vhost[NETDEV_PAIRS_MAX];		/* a tap's, for the host's kernel; -1: none */
	uint32_t pairs;
	uint8_t mac[ETH_ALEN];
	uint32_t mtu;				/* of IP packets, in bytes; 0: the guest's choice */
	uint64_t pps, bps;			/* limits each way, 0: none */
	struct netdev_part *in, *out;		/* of a stream */
	bool unplugged;				/* by the user; a guest that restarts finds it so */
	/* The option's words. */
	char mac_text[NETDEV_MAC_TEXT];
	char vhost_text[NETDEV_VHOST_TEXT];
	bool loopback;
	struct word_list hostfwd;
};

/* Parse `KIND[,mac=][,queues=][,pps=][,bps=]...` and open it. Complains. */
enum status netdev_open(const char *text, struct netdev **dev);
void netdev_close(struct netdev *dev);

/* ---- netio.c ---- */

/*
 * The next frame of pair @pair into @buf of NETDEV_HEADER + NETDEV_FRAME_MAX bytes. Returns
 * its length, 0 when there is none at the moment, -1 when the other end has gone.
 */
ssize_t netdev_read(struct netdev *dev, unsigned int pair, void *buf);

enum netdev_sent {
	NETDEV_SENT,		/* or dropped, as networks do */
	NETDEV_FULL,		/* nothing is sent: wait until it can be written to */
	NETDEV_GONE,
};

/* Send one frame; @iov[0] is its header alone. */
enum netdev_sent netdev_write(struct netdev *dev, unsigned int pair, const struct iovec *iov,
			      unsigned int count);

/* What is left of a frame that was sent in part; NETDEV_FULL: there still is something. */
enum netdev_sent netdev_flush(struct netdev *dev);

/* ---- the kinds; each complains ---- */

/* @name NULL: the kernel chooses one, which goes to dev->name. Fills dev->fd. */
enum status netdev_open_tap(struct netdev *dev, const char *name);
/* The offloads that a driver can bear: VIRTIO_NET_F_GUEST_* among @features. */
void netdev_tap_offloads(const struct netdev *dev, uint64_t features);
/* Let the first @pairs of its queues work, the others rest; false: the host will not. */
bool netdev_tap_pairs(const struct netdev *dev, unsigned int pairs);

/* Is it what vhost= says? */
bool netdev_vhost_is(const struct netdev *dev, const char *word);

/* By what vhost= says, fill dev->vhost for a tap. */
enum status netdev_open_vhost(struct netdev *dev);

/* Start the user-mode network in a process of its own. */
enum status netdev_open_user(struct netdev *dev);

/* Start passt, which must be installed. */
enum status netdev_open_passt(struct netdev *dev);

/* Fill dev->mac from dev->mac_text, or derive it: netmac.c says from what. */
enum status netdev_set_mac(struct netdev *dev, unsigned int index);

#endif /* RUNNER_VIRTIO_NETDEV_H */
