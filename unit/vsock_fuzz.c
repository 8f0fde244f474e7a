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
#include <sys/un.h>
#include <unistd.h>
#include "device_fuzz.h"

#define PEERS	4

extern const struct virtio_type virtio_vsock;

static struct sockaddr_un at = { .sun_family = AF_UNIX };
static int peers[PEERS] = { -1, -1, -1, -1 };

static void unlink_socket(void)
{
	unlink(at.sun_path);
}

static struct world *make(void)
{
	void *backend = NULL;
	char text[160];

	signal(SIGPIPE, SIG_IGN);
	snprintf(at.sun_path, sizeof(at.sun_path), "/tmp/vsock_fuzz.%d", getpid());
	snprintf(text, sizeof(text), "socket=%s", at.sun_path);
	if (virtio_vsock.open(text, &backend))
		abort();
	atexit(unlink_socket);
	return world_open(&virtio_vsock, backend);
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
		*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(*fd, (struct sockaddr *)&at, sizeof(at)))
			abort();
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world *world;

	if (!world)
		world = make();
	fuzz_run(world, data, size, features, peer);
	return 0;
}
