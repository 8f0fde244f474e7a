// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The virtio core: negotiation with all kinds of drivers, configuration, reset, pause,
 * and state that is saved and loaded, whole and damaged.
 */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include "tap.h"
#include "virtio_world.h"

#define SIZE		8
#define FEATURE_A	VIRTIO_FEATURE(0)
#define FEATURE_B	VIRTIO_FEATURE(5)	/* needs A */
#define VERSION_1	VIRTIO_FEATURE(VIRTIO_F_VERSION_1)

/* A device that counts what it is told. */
struct probe {
	struct virtio *virtio;
	unsigned int activated, notified, reset, quiesced, resumed, written;
	uint64_t secret;
	bool refuse;
};

static struct probe probe;

static void *probe_create(struct virtio *virtio, void *backend)
{
	bool refuse = probe.refuse;

	(void)backend;
	probe = (struct probe) { .virtio = virtio, .refuse = refuse };
	memcpy(virtio->config, "configur", 8);
	return &probe;
}

static void probe_destroy(void *device)
{
	(void)device;
}

static bool probe_activate(void *device)
{
	(void)device;
	probe.activated++;
	return !probe.refuse;
}

static void probe_notify(void *device, unsigned int queue)
{
	struct virtq *vq = &probe.virtio->queue[queue];
	struct virtq_chain chain;

	(void)device;
	probe.notified++;
	while (virtq_pop(vq, &chain))
		virtq_push(vq, &chain, 0);
}

static void probe_reset(void *device)
{
	(void)device;
	probe.reset++;
}

static bool probe_accept(void *device, uint64_t features)
{
	(void)device;
	return !(features & FEATURE_B) || features & FEATURE_A;
}

static void probe_config_write(void *device, size_t offset, const void *data, size_t len)
{
	(void)device;
	memcpy((uint8_t *)probe.virtio->config + offset, data, len);
	probe.written++;
}

static void probe_quiesce(void *device)
{
	(void)device;
	probe.quiesced++;
}

static void probe_resume(void *device)
{
	(void)device;
	probe.resumed++;
}

static void probe_save(void *device, struct state *state)
{
	(void)device;
	state_put(state, probe.secret);
}

static void probe_load(void *device, struct state *state, uint32_t version)
{
	(void)device;
	(void)version;
	probe.secret = state_get(state);
}

static const struct virtio_type probe_type = {
	.name = "probe", .id = 4, .features = FEATURE_A | FEATURE_B, .queues = 2,
	.queue_size = SIZE, .config_size = 8, .version = 2,
	.create = probe_create, .destroy = probe_destroy, .activate = probe_activate,
	.notify = probe_notify, .reset = probe_reset, .accept = probe_accept,
	.config_write = probe_config_write, .quiesce = probe_quiesce, .resume = probe_resume,
	.save = probe_save, .load = probe_load,
};

/* ---- negotiation ---- */

static void test_features(void)
{
	struct world *world = world_open(&probe_type, NULL);
	const uint64_t bits[] = { FEATURE_A, FEATURE_B, VERSION_1,
				  VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX),
				  VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC),
				  VIRTIO_FEATURE(45) };
	unsigned int bad = 0;

	for (unsigned int set = 0; set < 64; set++) {
		uint64_t features = 0;
		bool good;

		for (unsigned int i = 0; i < 6; i++)
			features |= set & 1 << i ? bits[i] : 0;
		good = features & VERSION_1 && !(features & VIRTIO_FEATURE(45)) &&
		       (!(features & FEATURE_B) || features & FEATURE_A);
		driver_reset(world);
		bad += driver_negotiate(world, features) != good;
		bad += good && probe.virtio->features != features;
	}
	is(bad, 0, "of all subsets of features just the possible are taken");
	is(virtio_get_offered(world->core, 2), 0, "words of features beyond 64 bits are zero");
	virtio_set_wanted(world->core, UINT32_MAX, UINT32_MAX);

	driver_reset(world);
	driver_negotiate(world, VERSION_1);
	virtio_set_wanted(world->core, 0, FEATURE_A);
	is(world->core->wanted, VERSION_1, "features are fixed by FEATURES_OK");
	world_close(world);
}

static void test_status(void)
{
	struct world *world = world_open(&probe_type, NULL);

	virtio_set_status(world->core, VIRTIO_CONFIG_S_DRIVER_OK);
	is(world->core->status, 0, "DRIVER_OK without FEATURES_OK is not taken");
	virtio_set_status(world->core, 0xff & ~VIRTIO_CONFIG_S_FEATURES_OK);
	ok(!(world->core->status & VIRTIO_CONFIG_S_NEEDS_RESET),
	   "NEEDS_RESET is not the driver's to set");
	is(probe.activated, 0, "and nothing was activated");
	driver_reset(world);
	driver_start(world, 0);
	is(probe.activated, 1, "a driver that does all in order activates the device");
	is(probe.notified, 2, "and each queue is looked at once");
	virtio_set_status(world->core, world->core->status);
	is(probe.activated, 1, "DRIVER_OK again does nothing");
	virtio_set_status(world->core, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	ok(world->core->status & VIRTIO_CONFIG_S_DRIVER_OK, "bits are not cleared but by a reset");
	driver_reset(world);
	is(probe.reset, 1, "a reset reaches the device");
	is(world->core->status, 0, "and clears the status");
	ok(!virtio_get_queue(world->core, 0)->enabled, "and the queues");
	driver_reset(world);
	is(probe.reset, 1, "a reset of what is not active does not");
	world_close(world);

	probe.refuse = true;
	world = world_open(&probe_type, NULL);
	driver_start(world, 0);
	probe.refuse = false;
	ok(world->core->status & VIRTIO_CONFIG_S_NEEDS_RESET,
	   "a device that cannot start needs a reset");
	is(probe.notified, 0, "and is not notified");
	world_close(world);
}

static void test_config(void)
{
	struct world *world = world_open(&probe_type, NULL);
	char got[16];

	virtio_config_read(world->core, 4, got, 8);
	ok(!memcmp(got, "igur\0\0\0\0", 8), "configuration behind its end reads as zero");
	virtio_config_read(world->core, SIZE_MAX, got, 8);
	ok(!memcmp(got, "\0\0\0\0\0\0\0\0", 8), "wherever that is");
	virtio_config_write(world->core, 6, "XY", 2);
	is(probe.written, 1, "a write inside arrives");
	virtio_config_write(world->core, 7, "XY", 2);
	virtio_config_write(world->core, 8, "X", 1);
	virtio_config_write(world->core, SIZE_MAX, "XY", 2);
	is(probe.written, 1, "one that is not inside does not");
	virtio_config_changed(&world->core->pub);
	is(world->config_interrupts, 0, "a change before DRIVER_OK interrupts nobody");
	is(world->core->generation, 1, "but is another generation");
	driver_start(world, 0);
	virtio_config_changed(&world->core->pub);
	is(world->config_interrupts, 1, "after it, it does");
	is(virtio_isr(world->core, UINT32_MAX), VIRTIO_ISR_CONFIG, "and is in the ISR");
	is(virtio_isr(world->core, UINT32_MAX), 0, "until that is read");
	world_close(world);
}

/* ---- pause and state ---- */

static void test_pause(void)
{
	struct world *world = world_open(&probe_type, NULL);
	unsigned int before;

	driver_start(world, 0);
	before = probe.notified;
	virtio_quiesce(world->core);
	is(probe.quiesced, 1, "a quiesced device was told so");
	driver_add(world, 0, (struct buffer[]) { { WORLD_HEAP, 4, true } }, 1);
	driver_kick(world, 0);
	is(probe.notified, before, "it hears of no notification");
	is(driver_used(world, 0, NULL), -1, "and uses nothing");
	virtio_resume(world->core);
	world_settle(world);
	is(probe.resumed, 1, "resumed, it is told so");
	is(driver_used(world, 0, NULL), 0, "and finds what came meanwhile");
	world_close(world);
}

/* Save @world's device and load it into a new one over a copy of its RAM. */
static void test_round_trip(void)
{
	struct world *old = world_open(&probe_type, NULL), *new;
	struct state state;
	struct virtq saved;

	driver_start(old, FEATURE_A);
	for (int i = 0; i < 5; i++) {
		driver_add(old, 0, (struct buffer[]) { { 0x800000, 4, true } }, 1);
		driver_kick(old, 0);
	}
	probe.secret = 0x1234567890;
	virtio_quiesce(old->core);
	state_init(&state);
	virtio_save(old->core, &state);
	ok(state_good(&state), "a device is saved");
	saved = *virtio_get_queue(old->core, 0);

	new = world_open(&probe_type, NULL);
	memcpy(world_at(new, 0, WORLD_RAM), world_at(old, 0, WORLD_RAM), WORLD_RAM);
	memcpy(new->queue, old->queue, sizeof(new->queue));
	virtio_load(new->core, &state);
	ok(state_good(&state), "and loaded into another");
	is(state.at, state.len, "to the last byte");
	is(new->core->status, old->core->status, "with its status");
	is(probe.virtio->features, FEATURE_A | VERSION_1, "its features");
	is(probe.secret, 0x1234567890, "what it alone knows");
	is(virtio_get_queue(new->core, 0)->avail, saved.avail, "and its place in the rings");
	is(virtio_get_queue(new->core, 0)->used, 5, "in both of them");
	driver_add(new, 0, (struct buffer[]) { { 0x800000, 4, true } }, 1);
	virtio_resume(new->core);
	world_settle(new);
	for (int i = 0; i < 5; i++)
		driver_used(new, 0, NULL);
	is(driver_used(new, 0, NULL), 5, "the driver goes on where it was");
	world_close(old);
	world_close(new);
	state_free(&state);
}

/* Every shorter state, and each byte damaged: refused, or at least survived. */
static void test_bad_state(void)
{
	struct world *world = world_open(&probe_type, NULL);
	unsigned int taken = 0, refused = 0;
	struct state state;

	driver_start(world, FEATURE_A);
	virtio_quiesce(world->core);
	state_init(&state);
	virtio_save(world->core, &state);
	for (size_t len = 0; len < state.len; len++) {
		struct state part = { .buf = state.buf, .len = len };

		virtio_load(world->core, &part);
		taken += state_good(&part);
	}
	is(taken, 0, "no state that lacks its end is taken");
	world_close(world);
	for (size_t i = 0; i < state.len * 8; i++) {
		struct state bent = { .buf = state.buf, .len = state.len };

		world = world_open(&probe_type, NULL);
		state.buf[i / 8] ^= 1 << i % 8;
		virtio_load(world->core, &bent);
		refused += !state_good(&bent);
		virtio_resume(world->core);
		driver_kick(world, 0);
		driver_kick(world, 1);
		state.buf[i / 8] ^= 1 << i % 8;
		world_close(world);
	}
	ok(refused > state.len * 2, "a state with any bit wrong is survived, and often refused");
	world = world_open(&probe_type, NULL);
	virtio_load(world->core, &state);
	ok(state_good(&state), "and the good one is still taken");
	world_close(world);
	state_free(&state);
}

/* States that no device ever had, each of one that is otherwise good. */
static void test_impossible_state(void)
{
	static const struct {
		const char *what;
		uint8_t flip;		/* bits of the status */
		uint64_t unwanted;	/* features taken back */
		bool broken;
	} cases[] = {
		{ "a status with bits that there are not", 0x10, 0, false },
		{ "one that is active without its driver", VIRTIO_CONFIG_S_DRIVER_OK, 0, false },
		{ "or without features", VIRTIO_CONFIG_S_FEATURES_OK, 0, false },
		{ "a driver of before version 1", 0, VERSION_1, false },
		{ "one that needs a reset, unbroken", VIRTIO_CONFIG_S_NEEDS_RESET, 0, false },
		{ "one that is broken and needs none", 0, 0, true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world *world = world_open(&probe_type, NULL);
		struct state state;

		driver_start(world, FEATURE_A);
		virtio_quiesce(world->core);
		world->core->status ^= cases[i].flip;
		world->core->wanted &= ~cases[i].unwanted;
		world->core->broken ^= cases[i].broken;
		state_init(&state);
		virtio_save(world->core, &state);
		world_close(world);
		world = world_open(&probe_type, NULL);
		virtio_load(world->core, &state);
		ok(!state_good(&state) && !world->core->active, "%s", cases[i].what);
		world_close(world);
		state_free(&state);
	}
}

int main(void)
{
	test_features();
	test_status();
	test_config();
	test_pause();
	test_round_trip();
	test_bad_state();
	test_impossible_state();
	return tap_end();
}
