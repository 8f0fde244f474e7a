// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Virtqueues, split and packed, whose rings and buffers are whatever the fuzzer likes.
 * The device echoes. An input is a byte of features, one of the queue's size, one of
 * how often to notify, and then the contents of RAM, where the rings are.
 */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include "virtio_world.h"

#define SIZE_MAX_LOG	6
/* Small, so that what is changed between two inputs is, too. */
#define SEEN		0x3000
#define DRIVER_AT	0x1000
#define DEVICE_AT	0x2000

static struct virtio *virtio;

static void fuzz_notify(void *device, unsigned int queue)
{
	struct virtq *vq = &virtio->queue[queue];
	struct virtq_chain chain;
	uint8_t bytes[512];

	(void)device;
	while (virtq_pop(vq, &chain)) {
		if (chain.outs + chain.ins > vq->size || vq->in_flight > vq->size)
			abort();
		virtq_push(vq, &chain, virtq_write(&chain, 0, bytes,
						   virtq_read(&chain, 0, bytes, sizeof(bytes))));
	}
}

static void *fuzz_create(struct virtio *made, void *backend)
{
	(void)backend;
	virtio = made;
	return &virtio;
}

static void fuzz_destroy(void *device)
{
	(void)device;
}

static const struct virtio_type fuzz_type = {
	.name = "fuzz", .id = 1, .queues = 1, .queue_size = 1 << SIZE_MAX_LOG,
	.create = fuzz_create, .destroy = fuzz_destroy, .notify = fuzz_notify,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world *world;
	uint64_t features = VIRTIO_FEATURE(VIRTIO_F_VERSION_1);
	struct virtq *vq;

	if (!world)
		world = world_open(&fuzz_type, NULL);
	if (size < 4 || size > SEEN)
		return 0;
	features |= data[0] & 1 ? VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) : 0;
	features |= data[0] & 2 ? VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) : 0;
	features |= data[0] & 4 ? VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) : 0;
	memset(world_at(world, 0, SEEN), 0, SEEN);
	memcpy(world_at(world, 0, size - 3), data + 3, size - 3);
	driver_reset(world);
	driver_negotiate(world, features);
	vq = virtio_get_queue(world->core, 0);
	vq->size = 1 << data[1] % (SIZE_MAX_LOG + 1);
	vq->desc = 0;
	vq->driver = DRIVER_AT;
	vq->device = DEVICE_AT;
	driver_enable(world, 0);
	driver_ok(world);
	for (unsigned int i = 0; i < data[2] % 8U; i++) {
		/* Make something available again. */
		++*(uint16_t *)world_at(world, DRIVER_AT + 2, 2);
		*(uint16_t *)world_at(world, i * 16 + 14, 2) ^= 0x8080;
		driver_kick(world, 0);
	}
	return 0;
}
