// SPDX-License-Identifier: GPL-2.0-or-later
/* Virtio over MMIO with the I/O APIC's edges, driven by transport_fuzz.h's inputs. */
/* unit-sources: ../runner/virtio/mmio.c ../runner/devices/82093aa.c ../runner/bus.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include <linux/virtio_mmio.h>
#include "transport_fuzz.h"
#include "../runner/devices/82093aa.h"
#include "../runner/layout.h"

#define SLOT	2
#define BASE	(LAYOUT_VIRTIO_MMIO + SLOT * LAYOUT_VIRTIO_MMIO_SIZE)

static struct bus bus;
static struct virtio_mmio *device;
static const uint32_t *shown;

static int show(void *opaque, unsigned int n, uint64_t gpa, void *page)
{
	shown = page;
	return fuzz_show(opaque, n, gpa, page);
}

static void fuzz_open(struct world *world)
{
	const struct device_type *ioapic = &i82093aa_type;
	struct bus_range range = { ioapic->start, ioapic->size, &ioapic->ops, NULL };

	memset(&bus, 0, sizeof(bus));
	fuzz_env.show = show;
	range.device = ioapic->create(&fuzz_env);
	if (!range.device || !bus_add(&bus, &range))
		abort();
	device = virtio_mmio_create(&fuzz_env, &bus, SLOT, world->core);
	if (!device)
		abort();
}

/* What a driver reads without an exit is what a register's read would give. */
static void fuzz_close(struct world *world)
{
	(void)world;
	for (unsigned int at = 0; at < VIRTIO_MMIO_CONFIG + FUZZ_CONFIG; at += 4)
		if (shown[at / 4] != bus_read(&bus, BASE + at, 4))
			abort();
	if (module.bells != FUZZ_QUEUES || module.routes > 1)
		abort();
	virtio_mmio_destroy(device);
	i82093aa_type.destroy(fuzz_env.ioapic);
}

/* 0-7: registers by their number; 8-11: by their offset; others: the I/O APIC, and all around. */
static const struct bus *fuzz_address(unsigned int space, unsigned int offset, uint64_t *address)
{
	if (space < 8)
		*address = BASE + offset % 128 * 4;
	else if (space < 12)
		*address = BASE + offset % 0x200;
	else if (space < 14)
		*address = LAYOUT_IOAPIC + offset % 0x20;
	else
		*address = BASE - 0x8000 + offset;
	return &bus;
}

static void fuzz_save(struct state *state)
{
	virtio_mmio_save(device, state);
}

static void fuzz_load(struct state *state)
{
	virtio_mmio_load(device, state);
}
