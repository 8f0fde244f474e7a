// SPDX-License-Identifier: GPL-2.0-or-later
/* The balloon, driven by device_fuzz.h's inputs, with lines on its socket. */
/* unit-sources: ../runner/virtio/balloon.c ../runner/virtio/lines.c ../runner/listener.c */
/* unit-sources: ../runner/words.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include <sys/socket.h>
#include <unistd.h>
#include <linux/virtio_balloon.h>
#include "device_fuzz.h"

extern const struct virtio_type virtio_balloon;

static int peer_fd = -1;

static struct world *make(void)
{
	return fuzz_listener(&virtio_balloon, "12M,socket=%s");
}

static uint64_t features(uint8_t byte)
{
	return (byte & 1 ? VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ) : 0) |
	       (byte & 2 ? VIRTIO_FEATURE(VIRTIO_BALLOON_F_REPORTING) : 0) |
	       (byte & 4 ? VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) : 0);
}

static void peer(struct world *world, uint8_t what)
{
	static const char *const lines[] = {
		"show\n", "target 8M\n", "target", "\n", "target 99999999999999T\n", "sh",
		"ow\ntarget 1K\n", "nonsense that is as long as a line can be, and then some more ",
	};
	char buf[1024];
	ssize_t n;

	if (peer_fd < 0) {
		peer_fd = fuzz_connect();
		world_settle(world);
	}
	n = write(peer_fd, lines[what % 8], strlen(lines[what % 8]));
	world_settle(world);
	if (what & 8)
		n = read(peer_fd, buf, sizeof(buf));
	if (n < 0 || what & 16) {
		close(peer_fd);
		peer_fd = -1;
	}
	world_settle(world);
}

FUZZ_DEVICE(make, features, peer)
