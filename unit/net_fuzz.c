// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The network device, driven by device_fuzz.h's inputs, with sockets in place of a tap's two
 * queues: what the other end sends has a header that is whatever the fuzzer likes.
 */
/* unit-sources: ../runner/virtio/net.c ../runner/virtio/netdev.c ../runner/virtio/netio.c */
/* unit-sources: ../runner/virtio/netmac.c ../runner/virtio/netuser.c ../runner/virtio/tap.c */
/* unit-sources: ../runner/virtio/vhost.c ../runner/virtio/netpasst.c ../runner/usernet/forward.c */
/* unit-sources: ../runner/virtio/tokens.c ../runner/words.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include <sys/socket.h>
#include <unistd.h>
#include <linux/vhost.h>
#include "device_fuzz.h"
#include "../runner/virtio/netdev.h"

#define PAIRS	2

extern const struct virtio_type virtio_net;

static int peers[PAIRS];

/* In place of the C library's: no tap is there to be told, and a vhost that agrees to all. */
int ioctl(int fd, unsigned long request, ...)
{
	(void)fd;
	if (request == VHOST_GET_FEATURES) {
		va_list args;

		va_start(args, request);
		*va_arg(args, uint64_t *) = UINT64_MAX;
		va_end(args);
	}
	return 0;
}

static struct world *make(void)
{
	struct netdev *dev = calloc(1, sizeof(*dev));

	signal(SIGPIPE, SIG_IGN);
	if (!dev)
		abort();
	dev->name = "tap";
	dev->kind = NETDEV_TAP;
	dev->pairs = PAIRS;
	for (unsigned int i = 0; i < PAIRS; i++) {
		int ends[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends))
			abort();
		dev->fd[i] = ends[0];
		/* A pair with vhost, and one without. */
		dev->vhost[i] = i ? ends[0] : -1;
		peers[i] = ends[1];
	}
	return world_open(&virtio_net, dev);
}

static uint64_t features(uint8_t byte)
{
	static const uint64_t some[] = {
		VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF),
		VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ),
		VIRTIO_FEATURE(VIRTIO_NET_F_MQ) | VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ),
		VIRTIO_FEATURE(VIRTIO_NET_F_CSUM),
		VIRTIO_FEATURE(VIRTIO_NET_F_CSUM) | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4),
		VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM),
		VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4),
		VIRTIO_FEATURE(VIRTIO_F_RING_PACKED),
	};
	uint64_t all = 0;

	for (unsigned int i = 0; i < 8; i++)
		all |= byte & 1 << i ? some[i] : 0;
	return all;
}

/* A frame of up to 64 KiB with a header of the byte's bits, or a look at what there is. */
static void peer(struct world *world, uint8_t what)
{
	static uint8_t frame[NETDEV_HEADER + NETDEV_FRAME_MAX];
	struct virtio_net_hdr_v1 header = {
		.flags = what >> 3 & 3,
		.gso_type = what >> 5,
		.num_buffers = what,
	};
	int fd = peers[what & 1];
	size_t len = what & 2 ? what * 4U : what * 256U;
	ssize_t n;

	memcpy(frame, &header, sizeof(header));
	if (what & 4)
		while (recv(fd, frame, sizeof(frame), 0) > 0)
			;
	else
		n = send(fd, frame, len, 0);
	(void)n;
	world_settle(world);
}

FUZZ_DEVICE(make, features, peer)
