// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The entropy device: fills what the driver offers with random bytes of the host. Facts:
 * VIRTIO Specification 1.2, "Entropy Device". The worked example of docs/devices.md.
 *
 * It has no features, no configuration and no state: a request is done at once.
 */
#include <stdlib.h>
#include <sys/random.h>
#include "virtio.h"

#define REQUESTS	0	/* the one queue */

/*
 * More is not given at once, however large the buffers: a request must not keep the
 * thread from other devices. The driver asks again for what is missing.
 */
#define BYTES_MAX	4096

struct rng {
	struct virtio *virtio;
};

static void rng_notify(void *device, unsigned int queue)
{
	struct rng *rng = device;
	struct virtq *vq = &rng->virtio->queue[queue];
	struct virtq_chain chain;
	uint8_t bytes[BYTES_MAX];

	while (virtq_pop(vq, &chain)) {
		size_t len = chain.in_size < sizeof(bytes) ? chain.in_size : sizeof(bytes);
		/* The host's generator is ready since its boot: it does not block. */
		ssize_t n = getrandom(bytes, len, 0);

		virtq_push(vq, &chain, n > 0 ? virtq_write(&chain, 0, bytes, n) : 0);
	}
}

static void *rng_create(struct virtio *virtio, void *backend)
{
	struct rng *rng = malloc(sizeof(*rng));

	(void)backend;
	if (rng)
		rng->virtio = virtio;
	return rng;
}

const struct virtio_type virtio_rng = {
	.name = "rng",
	.id = VIRTIO_ID_RNG,
	.class = 0x100000,	/* encryption controller */
	.queues = REQUESTS + 1,
	.queue_size = 64,
	.create = rng_create,
	.destroy = free,
	.notify = rng_notify,
};
