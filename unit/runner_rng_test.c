// SPDX-License-Identifier: GPL-2.0-or-later
/* The entropy device against a scripted driver. */
/* unit-sources: ../runner/virtio/rng.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include "tap.h"
#include "virtio_world.h"

extern const struct virtio_type virtio_rng;

/* Do the @len bytes at @gpa look random? 256 of them have each bit set at least once. */
static bool random_enough(struct world *world, uint64_t gpa, uint32_t len)
{
	const uint8_t *at = world_at(world, gpa, len);
	uint8_t all = 0, same = 0xff;

	for (uint32_t i = 0; i < len; i++) {
		all |= at[i];
		same &= at[i];
	}
	return all == 0xff && !same;
}

static void test_fills(void)
{
	struct world *world = world_open(&virtio_rng, NULL);
	uint64_t gpa = world_alloc(world, 0x10000);
	uint32_t len;

	driver_start(world, 0);
	driver_add(world, 0, (struct buffer[]) { { gpa, 200, true }, { gpa + 300, 56, true } }, 2);
	driver_kick(world, 0);
	is(driver_used(world, 0, &len), 0, "a request comes back");
	is(len, 256, "filled whole");
	ok(random_enough(world, gpa, 200), "with random bytes");
	is(*(uint8_t *)world_at(world, gpa + 200, 1), 0, "and nothing behind the first buffer");
	is(*(uint8_t *)world_at(world, gpa + 356, 1), 0, "nor behind the second");

	driver_add(world, 0, (struct buffer[]) { { gpa, 0x10000, true } }, 1);
	driver_kick(world, 0);
	driver_used(world, 0, &len);
	is(len, 4096, "a large request gets what one turn may take");
	driver_add(world, 0, (struct buffer[]) { { gpa, 16, false } }, 1);
	driver_kick(world, 0);
	ok(driver_used(world, 0, &len) >= 0 && !len, "one without room gets nothing");
	is(world_complaints, 0, "no complaint");
	world_close(world);
}

static void test_round_trip(void)
{
	struct world *world = world_open(&virtio_rng, NULL);
	struct state state;

	driver_start(world, 0);
	virtio_quiesce(world->core);
	state_init(&state);
	virtio_save(world->core, &state);
	virtio_load(world->core, &state);
	ok(state_good(&state) && state.at == state.len, "saved and loaded");
	virtio_resume(world->core);
	driver_add(world, 0, (struct buffer[]) { { 0x800000, 16, true } }, 1);
	driver_kick(world, 0);
	is(driver_used(world, 0, NULL), 0, "it goes on");
	world_close(world);
	state_free(&state);
}

int main(void)
{
	test_fills();
	test_round_trip();
	return tap_end();
}
