// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The block device on a file in memory, driven by device_fuzz.h's inputs, while somebody
 * makes the file longer and shorter.
 */
/* unit-sources: ../runner/virtio/block.c ../runner/virtio/disk.c ../runner/virtio/engine.c */
/* unit-sources: ../runner/virtio/tokens.c ../runner/words.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include <sys/mman.h>
#include <unistd.h>
#include <linux/virtio_blk.h>
/* A request ends in a thread of the engine's. */
#define FUZZ_WAITS
#include "device_fuzz.h"

#define SIZE	(1U << 20)

extern const struct virtio_type virtio_block;

static int file;

static struct world *make(void)
{
	void *backend = NULL;
	char text[64];

	signal(SIGPIPE, SIG_IGN);
	file = memfd_create("block_fuzz", 0);
	if (file < 0 || ftruncate(file, SIZE))
		abort();
	snprintf(text, sizeof(text), "/proc/self/fd/%d,queues=2,id=fuzz", file);
	if (virtio_block.open(text, &backend))
		abort();
	return world_open(&virtio_block, backend);
}

/* Each input begins with the same disk. */
static uint64_t features(uint8_t byte)
{
	if (ftruncate(file, SIZE))
		abort();
	return (byte & 1 ? VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH) : 0) |
	       (byte & 2 ? VIRTIO_FEATURE(VIRTIO_BLK_F_MQ) : 0) |
	       (byte & 4 ? VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD) : 0) |
	       (byte & 8 ? VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES) : 0) |
	       (byte & 16 ? VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) : 0);
}

/* Another size, in sectors and sometimes not, of which the device may be told. */
static void peer(struct world *world, uint8_t what)
{
	if (ftruncate(file, (what >> 2) * (SIZE / 32) + (what & 2 ? 1 : 0)))
		abort();
	if (what & 1)
		virtio_refresh(world->core);
	world_settle(world);
}

FUZZ_DEVICE(make, features, peer)
