// SPDX-License-Identifier: GPL-2.0-or-later
/* The socket device, driven by device_fuzz.h's inputs, with peers on its socket. */
/* unit-sources: ../runner/virtio/vsock.c ../runner/virtio/vsock_link.c ../runner/listener.c */
/* unit-sources: ../runner/virtio/vsock_broker.c ../runner/words.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
/* unit-libs: -lseccomp */
#include <sys/socket.h>
#include <unistd.h>
#include "device_fuzz.h"

#define PEERS	4

extern const struct virtio_type virtio_vsock;

static int peers[PEERS] = { -1, -1, -1, -1 };

static struct world *make(void)
{
	return fuzz_listener(&virtio_vsock, "socket=%s");
}

static uint64_t features(uint8_t byte)
{
	return byte & 1 ? VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) : 0;
}

/* One of a few connects, asks for a small port, speaks, listens or goes. */
static void peer(struct world *world, uint8_t what)
{
	int *fd = &peers[what % PEERS];
	char buf[4096] = { 0 };
	ssize_t n = 0;

	if (*fd < 0) {
		*fd = fuzz_connect();
		world_settle(world);
	}
	switch (what / PEERS % 8) {
	case 0:
		n = snprintf(buf, sizeof(buf), "CONNECT %u\n", what / 32U);
		n = write(*fd, buf, n);
		break;
	case 1:
		n = write(*fd, buf, 100);
		break;
	case 2:
		shutdown(*fd, SHUT_WR);
		break;
	case 3:
		close(*fd);
		*fd = -1;
		break;
	default:
		n = read(*fd, buf, sizeof(buf));
	}
	(void)n;
	world_settle(world);
}

FUZZ_DEVICE(make, features, peer)
