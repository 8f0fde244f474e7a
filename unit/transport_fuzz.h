/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A transport under a fuzzer: a device that echoes, with a configuration that can be written,
 * behind registers that a guest reads and writes by any width at any offset, and with rings
 * in memory that is whatever the fuzzer likes. An input is steps: a byte says what, the next
 * ones of what.
 *
 *   0-127    an access: bit 0: a write; bits 1-2: its width; bits 3-6: fuzz_address()'s space;
 *            two bytes of offset; of a write as many bytes as it is wide
 *   128-191  memory is filled: a place in units of 64 bytes; a length; so many bytes
 *   192-207  one more entry of a queue is made available: bits 0-1 are the queue
 *   208-223  save, and load into another machine: a byte to flip, and how
 *   224-255  the device's configuration changes
 *
 * A transport supplies what is declared here. FUZZ_AT() says where a queue is easily filled.
 */
#ifndef UNIT_TRANSPORT_FUZZ_H
#define UNIT_TRANSPORT_FUZZ_H

#include "virtio_world.h"
#include "../runner/devices/device.h"
#include "../runner/virtio/transport.h"

#define FUZZ_QUEUES	3
#define FUZZ_QUEUE_SIZE	8
#define FUZZ_CONFIG	20
/* Descriptors of queue @n, with the driver's area at DRIVER_AT and the device's behind it. */
#define FUZZ_AT(n)	((n) * 0x400ULL)
#define FUZZ_DRIVER_AT	0x100
#define FUZZ_SEEN	0x4000	/* what is filled, and kept when a machine is saved */

/* The machine with its transport, in its state at power-on, around world->core. */
static void fuzz_open(struct world *world);
/* Look whether what must hold does, then take all away but the world. */
static void fuzz_close(struct world *world);
/* The bus and the address of @offset of @space. */
static const struct bus *fuzz_address(unsigned int space, unsigned int offset, uint64_t *address);
static void fuzz_save(struct state *state);
static void fuzz_load(struct state *state);

/* ---- the device ---- */

static void echo_notify(void *device, unsigned int queue)
{
	struct world *world = device;
	struct virtq *vq = virtio_get_queue(world->core, queue);
	struct virtq_chain chain;
	uint8_t bytes[512];

	while (virtq_pop(vq, &chain))
		virtq_push(vq, &chain, virtq_write(&chain, 0, bytes,
						   virtq_read(&chain, 0, bytes, sizeof(bytes))));
}

static void *echo_create(struct virtio *virtio, void *backend)
{
	(void)virtio;
	return backend;
}

static void echo_destroy(void *device)
{
	(void)device;
}

/* The middle of it can be written. */
static void echo_config_write(void *device, size_t offset, const void *data, size_t len)
{
	struct world *world = device;

	if (offset >= 4 && offset + len <= 12)
		memcpy((uint8_t *)world->core->pub.config + offset, data, len);
}

static const struct virtio_type echo_type = {
	.name = "echo", .id = 1, .queues = FUZZ_QUEUES, .queue_size = FUZZ_QUEUE_SIZE,
	.config_size = FUZZ_CONFIG, .create = echo_create, .destroy = echo_destroy,
	.notify = echo_notify, .config_write = echo_config_write,
};

/* ---- what the module would know ---- */

static struct {
	int routes, bells, pages;
} module;

static int fuzz_route(void *opaque, int fd, const struct vmm_msi *msi, bool add)
{
	(void)opaque;
	if (fd < 0)
		abort();
	if (add && msi->address >> 20 != 0xfee)
		return -22;
	module.routes += add ? 1 : -1;
	return 0;
}

static int fuzz_doorbell(void *opaque, const struct device_doorbell *bell, bool add)
{
	(void)opaque;
	if (bell->fd < 0)
		abort();
	module.bells += add ? 1 : -1;
	return 0;
}

static int fuzz_show(void *opaque, unsigned int n, uint64_t gpa, void *page)
{
	(void)opaque;
	(void)n;
	(void)gpa;
	module.pages += page ? 1 : -1;
	return 0;
}

static void fuzz_send(void *opaque, const struct vmm_msi *msi)
{
	(void)opaque;
	(void)msi;
}

static struct device_env fuzz_env = {
	.send_msi = fuzz_send, .route = fuzz_route, .doorbell = fuzz_doorbell,
	.show = fuzz_show,
};

/* ---- the machine ---- */

static void machine_open(struct world *world)
{
	memset(&module, 0, sizeof(module));
	if (iothread_create(&world->io))
		abort();
	world->core = virtio_create(&echo_type, world, &world->ram, world->io);
	if (!world->core)
		abort();
	virtio_offer_packed(world->core);
	world->core->wrote = world_wrote;
	world->core->memory = world;
	fuzz_open(world);
}

/* Nothing of it is left with the module. */
static void machine_close(struct world *world)
{
	fuzz_close(world);
	iothread_destroy(world->io);
	if (module.routes || module.bells || module.pages)
		abort();
}

/* ---- steps ---- */

struct input {
	const uint8_t *data;
	size_t size;
};

static uint8_t input_byte(struct input *input)
{
	if (!input->size)
		return 0;
	input->size--;
	return *input->data++;
}

static void step_access(struct world *world, struct input *input, uint8_t what)
{
	unsigned int size = 1U << (what >> 1 & 3), offset = input_byte(input);
	uint64_t address, value = 0;
	const struct bus *bus;

	offset |= input_byte(input) << 8;
	bus = fuzz_address(what >> 3 & 15, offset, &address);
	if (!(what & 1)) {
		value = bus_read(bus, address, size);
		if (size < 8 && value >> size * 8)
			abort();
		return;
	}
	for (unsigned int i = 0; i < size; i++)
		value |= (uint64_t)input_byte(input) << i * 8;
	bus_write(bus, address, size, value);
	world_settle(world);
}

static void step_fill(struct world *world, struct input *input)
{
	uint64_t at = input_byte(input) * 64;
	uint8_t len = input_byte(input);

	for (uint64_t i = at; i < at + len && i < FUZZ_SEEN; i++)
		*(uint8_t *)world_at(world, i, 1) = input_byte(input);
}

/* The next index of a split ring, a descriptor of a packed one. */
static void step_available(struct world *world, unsigned int n)
{
	if (driver_packed(world))
		*(uint16_t *)world_at(world, FUZZ_AT(n) + 14, 2) ^= 0x8080;
	else
		++*(uint16_t *)world_at(world, FUZZ_AT(n) + FUZZ_DRIVER_AT + 2, 2);
}

static void step_state(struct world *world, struct input *input)
{
	struct state state;
	uint8_t flip = input_byte(input);

	virtio_quiesce(world->core);
	state_init(&state);
	fuzz_save(&state);
	if (!state_good(&state))
		abort();
	if (flip && state.len)
		state.buf[state.len - 1 - flip % state.len] ^= input_byte(input);
	machine_close(world);
	machine_open(world);
	virtio_quiesce(world->core);
	fuzz_load(&state);
	if (state_good(&state)) {
		virtio_resume(world->core);
	} else if (!flip) {
		abort();
	} else {
		machine_close(world);
		machine_open(world);
	}
	state_free(&state);
	world_settle(world);
}

static void step_changed(struct world *world)
{
	++*(uint8_t *)world->core->pub.config;
	virtio_config_changed(&world->core->pub);
	world_settle(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	static struct world world;
	static bool mapped;

	if (!mapped) {
		ram_plan(&world.ram, WORLD_RAM);
		mapped = !ram_map(&world.ram);
		if (!mapped)
			abort();
	}
	memset(world_at(&world, 0, FUZZ_SEEN), 0, FUZZ_SEEN);
	machine_open(&world);
	while (input.size) {
		uint8_t what = input_byte(&input);

		if (what < 128)
			step_access(&world, &input, what);
		else if (what < 192)
			step_fill(&world, &input);
		else if (what < 208)
			step_available(&world, what & 3);
		else if (what < 224)
			step_state(&world, &input);
		else
			step_changed(&world);
	}
	machine_close(&world);
	return 0;
}

#endif /* UNIT_TRANSPORT_FUZZ_H */
