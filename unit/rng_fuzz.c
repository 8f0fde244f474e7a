// SPDX-License-Identifier: GPL-2.0-or-later
/* The entropy device, driven by device_fuzz.h's inputs; there is nobody on its other side. */
/* unit-sources: ../runner/virtio/rng.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include "device_fuzz.h"

extern const struct virtio_type virtio_rng;

static struct world *make(void)
{
	return world_open(&virtio_rng, NULL);
}

static uint64_t features(uint8_t byte)
{
	return (byte & 1 ? VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) : 0) |
	       (byte & 2 ? VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) : 0);
}

static void peer(struct world *world, uint8_t what)
{
	(void)what;
	world_settle(world);
}

FUZZ_DEVICE(make, features, peer)
