/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio device under a fuzzer: the driver is well-behaved as to the rings, and what it
 * puts into them is the input. An input is a byte of features, then steps: a byte says
 * what, the next ones of what.
 *
 *   0-191    bits 0-4: queue; bit 5: to write to; a length; so many bytes of data. From 64 on,
 *            a buffer to write to is behind it, of 16 times the next byte and 1 more; from
 *            128 on 512 bytes that repeat the last 16 are between them
 *   192-223  the configuration is written: an offset, four bytes
 *   224-239  pause and go on; save and load
 *   240-247  reset and start again
 *   248-255  peer() with the next byte: whoever is on the other side of the device
 *
 * FUZZ_DEVICE() makes the fuzzer of it. With FUZZ_WAITS defined, what a chain asks for is
 * done, if it takes threads, before the next step. A device that listens at a Unix socket is
 * made by fuzz_listener(), and its peers by fuzz_connect().
 */
#ifndef UNIT_DEVICE_FUZZ_H
#define UNIT_DEVICE_FUZZ_H

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "virtio_world.h"

struct input {
	const uint8_t *data;
	size_t size;
};

static inline uint8_t input_byte(struct input *input)
{
	if (!input->size)
		return 0;
	input->size--;
	return *input->data++;
}

/* The rings never fill: what comes back is taken, what does not is forgotten at a reset. */
static inline bool fuzz_room(struct world *world, unsigned int n)
{
	struct virtq *vq = virtio_get_queue(world->core, n);

	while (driver_used(world, n, NULL) >= 0)
		;
	return (uint16_t)(world->queue[n].avail - world->queue[n].used) < vq->size / 4;
}

/* For what other threads do; who never answers is not waited for. */
static inline void fuzz_wait(struct world *world, unsigned int n)
{
#ifdef FUZZ_WAITS
	for (int i = 0; i < 100 && world->core->active && !world->core->broken; i++) {
		if (!virtio_get_queue(world->core, n)->in_flight)
			break;
		iothread_poll(world->io, 100);
	}
#endif
	(void)world;
	(void)n;
}

static inline void fuzz_chain(struct world *world, struct input *input, uint8_t what)
{
	unsigned int n = (what & 31) % world->core->pub.queues, count = 1;
	uint32_t len = input_byte(input);
	struct buffer buffers[3];
	uint8_t *bytes;
	uint64_t gpa;

	if (world->heap > WORLD_HEAP + (4 << 20))
		world->heap = WORLD_HEAP + (1 << 20);
	gpa = world_alloc(world, 3 * 4096);
	for (uint32_t i = 0; i < len && !(what & 32); i++)
		*(uint8_t *)world_at(world, gpa + i, 1) = input_byte(input);
	if (what & 32)
		len *= 16;
	buffers[0] = (struct buffer) { gpa, len, what & 32 };
	bytes = world_at(world, gpa, 3 * 4096);
	for (uint32_t i = len; what >= 128 && len >= 16 && i < len + 512; i++)
		bytes[i] = bytes[i - 16];
	if (what >= 128)
		buffers[count++] = (struct buffer) { gpa + len, 512, what & 32 };
	if (what >= 64)
		buffers[count++] = (struct buffer) { gpa + 2 * 4096,
						     input_byte(input) * 16 + 1, true };
	if (!fuzz_room(world, n))
		return;
	driver_add(world, n, buffers, count);
	driver_kick(world, n);
	fuzz_wait(world, n);
}

static inline void fuzz_state(struct world *world, struct input *input)
{
	struct state state;
	uint8_t flip = input_byte(input);

	virtio_quiesce(world->core);
	state_init(&state);
	virtio_save(world->core, &state);
	/* What comes from outside may be anything; what is refused leaves the device reset. */
	if (flip && state.len)
		state.buf[state.len - 1 - flip % state.len] ^= input_byte(input);
	virtio_load(world->core, &state);
	virtio_resume(world->core);
	if (!state_good(&state))
		driver_reset(world);
	state_free(&state);
	world_settle(world);
}

/* One input to its end. @features: of its first byte. @peer: see above. */
static inline void fuzz_run(struct world *world, const uint8_t *data, size_t size,
			    uint64_t (*features)(uint8_t), void (*peer)(struct world *, uint8_t))
{
	struct input input = { data, size };
	uint64_t wanted = features(input_byte(&input));

	driver_reset(world);
	world->heap = WORLD_HEAP;
	driver_start(world, wanted);
	while (input.size) {
		uint8_t what = input_byte(&input);
		uint32_t value = what * 0x01010101U;

		if (what < 192 && world->core->active)
			fuzz_chain(world, &input, what);
		else if (what >= 192 && what < 224)
			virtio_config_write(world->core, input_byte(&input) % 16, &value, 4);
		else if (what >= 224 && what < 240)
			fuzz_state(world, &input);
		else if (what >= 248)
			peer(world, input_byte(&input));
		if ((what >= 240 && what < 248) || world->core->broken) {
			driver_reset(world);
			world->heap = WORLD_HEAP;
			driver_start(world, wanted);
		}
		world_settle(world);
	}
}

/* ---- devices that listen ---- */

static struct sockaddr_un fuzz_address = { .sun_family = AF_UNIX };

static inline void fuzz_unlink(void)
{
	unlink(fuzz_address.sun_path);
}

/* @option: the device's, with %s for the path of its socket, which is gone at the end. */
static inline struct world *fuzz_listener(const struct virtio_type *type, const char *option)
{
	void *backend = NULL;
	char text[160];

	signal(SIGPIPE, SIG_IGN);
	snprintf(fuzz_address.sun_path, sizeof(fuzz_address.sun_path), "/tmp/%s_fuzz.%d",
		 type->name, getpid());
	snprintf(text, sizeof(text), option, fuzz_address.sun_path);
	if (type->open(text, &backend))
		abort();
	atexit(fuzz_unlink);
	return world_open(type, backend);
}

static inline int fuzz_connect(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (connect(fd, (struct sockaddr *)&fuzz_address, sizeof(fuzz_address)))
		abort();
	return fd;
}

/* @make: the world, once. @features, @peer: fuzz_run()'s. */
#define FUZZ_DEVICE(make, features, peer)					\
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);			\
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)			\
{										\
	static struct world *world;						\
										\
	if (!world)								\
		world = make();							\
	fuzz_run(world, data, size, features, peer);				\
	return 0;								\
}

#endif /* UNIT_DEVICE_FUZZ_H */
