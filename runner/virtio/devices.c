// SPDX-License-Identifier: GPL-2.0-or-later
/* The list of virtio devices; a machine has them in this order. */
#include "virtio.h"

extern const struct virtio_type virtio_balloon;
extern const struct virtio_type virtio_block;
extern const struct virtio_type virtio_console;
extern const struct virtio_type virtio_net;
extern const struct virtio_type virtio_rng;
extern const struct virtio_type virtio_vsock;

const struct virtio_type *const virtio_types[] = {
	&virtio_block,
	&virtio_console,
	&virtio_vsock,
	&virtio_balloon,
	&virtio_net,
	&virtio_rng,
};

const unsigned int virtio_type_count = sizeof(virtio_types) / sizeof(virtio_types[0]);
