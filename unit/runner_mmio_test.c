// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Virtio over MMIO with the I/O APIC's edges, as a kernel and as a vandal see them.
 */
/* unit-sources: ../runner/virtio/mmio.c ../runner/devices/82093aa.c ../runner/bus.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c ../runner/virtio/rng.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include <fcntl.h>
#include <linux/virtio_mmio.h>
#include <unistd.h>
#include "tap.h"
#include "virtio_world.h"
#include "../runner/devices/82093aa.h"
#include "../runner/layout.h"
#include "../runner/virtio/transport.h"

extern const struct virtio_type virtio_rng;

#define SLOT	2
#define BASE	(LAYOUT_VIRTIO_MMIO + SLOT * LAYOUT_VIRTIO_MMIO_SIZE)
#define LINE	(LAYOUT_VIRTIO_MMIO_IRQ + SLOT)

/* What the module would know. */
static struct {
	unsigned int routes, bells;
	int fd;
	struct vmm_msi msi;
	struct device_doorbell bell;
	const uint32_t *page;		/* that is shown at BASE */
	uint32_t seen[LAYOUT_VIRTIO_MMIO_SIZE / 4];	/* what it was when it was hidden last */
} module;

static int fake_route(void *opaque, int fd, const struct vmm_msi *msi, bool add)
{
	(void)opaque;
	module.routes += add ? 1 : -1;
	module.fd = fd;
	module.msi = *msi;
	return 0;
}

static int fake_doorbell(void *opaque, const struct device_doorbell *bell, bool add)
{
	(void)opaque;
	module.bells += add ? 1 : -1;
	module.bell = *bell;
	return 0;
}

static int fake_show(void *opaque, unsigned int n, uint64_t gpa, void *page)
{
	(void)opaque;
	if (n != SLOT || gpa != BASE)
		abort();
	if (module.page && !page)
		memcpy(module.seen, module.page, sizeof(module.seen));
	module.page = page;
	return 0;
}

static struct device_env env = {
	.route = fake_route, .doorbell = fake_doorbell, .show = fake_show,
};

static struct bus bus;
static struct world world;
static struct virtio_mmio *device;
static const struct virtio_type *type = &virtio_rng;

static void open_machine(void)
{
	const struct device_type *ioapic = &i82093aa_type;
	struct bus_range range = { ioapic->start, ioapic->size, &ioapic->ops, NULL };

	memset(&bus, 0, sizeof(bus));
	memset(&world, 0, sizeof(world));
	memset(&module, 0, sizeof(module));
	range.device = ioapic->create(&env);
	ram_plan(&world.ram, WORLD_RAM);
	if (!bus_add(&bus, &range) || ram_map(&world.ram) || iothread_create(&world.io))
		abort();
	world.core = virtio_create(type, NULL, &world.ram, world.io);
	world.heap = WORLD_HEAP;
	device = virtio_mmio_create(&env, &bus, SLOT, world.core);
	if (!device)
		abort();
}

static void close_machine(void)
{
	virtio_mmio_destroy(device);
	i82093aa_type.destroy(env.ioapic);
	iothread_destroy(world.io);
	ram_unmap(&world.ram);
	is(module.routes, 0, "no route is left");
	is(module.bells, 0, "no doorbell is left");
	ok(!module.page, "no page is left");
}

static uint32_t reg(unsigned int offset)
{
	return bus_read(&bus, BASE + offset, 4);
}

static void set(unsigned int offset, uint32_t value)
{
	bus_write(&bus, BASE + offset, 4, value);
}

static void ioapic_entry(uint64_t entry)
{
	for (unsigned int half = 0; half < 2; half++) {
		bus_write(&bus, LAYOUT_IOAPIC, 4, 0x10 + LINE * 2 + half);
		bus_write(&bus, LAYOUT_IOAPIC + 0x10, 4, entry >> half * 32);
	}
}

static void drive(void)
{
	struct driver_queue *q = &world.queue[0];

	q->size = 8;
	q->desc = world_alloc(&world, 128);
	q->driver = world_alloc(&world, 64);
	q->device = world_alloc(&world, 128);
	set(VIRTIO_MMIO_STATUS, 3);
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set(VIRTIO_MMIO_DRIVER_FEATURES, 1);
	set(VIRTIO_MMIO_STATUS, 11);
	set(VIRTIO_MMIO_QUEUE_SEL, 0);
	set(VIRTIO_MMIO_QUEUE_NUM, 8);
	bus_write(&bus, BASE + VIRTIO_MMIO_QUEUE_DESC_LOW, 8, q->desc);
	set(VIRTIO_MMIO_QUEUE_AVAIL_LOW, q->driver);
	set(VIRTIO_MMIO_QUEUE_AVAIL_HIGH, q->driver >> 32);
	set(VIRTIO_MMIO_QUEUE_USED_LOW, q->device);
	set(VIRTIO_MMIO_QUEUE_USED_HIGH, q->device >> 32);
	set(VIRTIO_MMIO_QUEUE_READY, 1);
	set(VIRTIO_MMIO_STATUS, 15);
}

/* What a driver reads without an exit is what a register's read would give. */
static bool page_is_right(void)
{
	unsigned int bad = 0;

	for (unsigned int at = 0; at < LAYOUT_VIRTIO_MMIO_SIZE; at += 4)
		bad += module.page[at / 4] != reg(at);
	return !bad;
}

static void test_driver(void)
{
	uint64_t count = 0;

	open_machine();
	is(reg(VIRTIO_MMIO_MAGIC_VALUE), 0x74726976, "the magic value");
	is(reg(VIRTIO_MMIO_VERSION), 2, "version 2");
	is(reg(VIRTIO_MMIO_DEVICE_ID), 4, "an entropy device");
	is(reg(VIRTIO_MMIO_QUEUE_NUM_MAX), 64, "with a queue");
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	is(reg(VIRTIO_MMIO_DEVICE_FEATURES) & 1, 1, "of version 1");
	is(module.bell.gpa, BASE + VIRTIO_MMIO_QUEUE_NOTIFY, "its doorbell is the register");
	ok(module.bell.match && module.bell.value == 0, "with the queue's number");
	ok(page_is_right(), "the page has it all");
	drive();
	ok(page_is_right(), "and follows the driver");
	is(reg(VIRTIO_MMIO_STATUS), 15, "a driver brings it up");
	is(reg(VIRTIO_MMIO_QUEUE_READY), 1, "with its queue");
	set(VIRTIO_MMIO_QUEUE_NUM, 16);
	is(virtio_get_queue(world.core, 0)->size, 8, "whose size stays then (CVE-2026-5747)");

	is(module.routes, 0, "a masked line is not routed");
	ioapic_entry(0x31);
	is(module.routes, 1, "an open one is");
	is(module.msi.data & 0xff, 0x31, "with its vector");
	driver_add(&world, 0, (struct buffer[]) { { 0x800000, 16, true } }, 1);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	world_settle(&world);
	is(driver_used(&world, 0, NULL), 0, "a request is served");
	ok(read(module.fd, &count, sizeof(count)) == 8 && count == 1, "and is an edge of the line");
	is(reg(VIRTIO_MMIO_INTERRUPT_STATUS), 1, "the status says why");
	is(module.page[VIRTIO_MMIO_INTERRUPT_STATUS / 4], 1, "in the page, too");
	set(VIRTIO_MMIO_INTERRUPT_ACK, 1);
	is(reg(VIRTIO_MMIO_INTERRUPT_STATUS), 0, "until it is acknowledged");
	ok(page_is_right(), "and so has the page");
	driver_publish(&world, 0, 8);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	world_settle(&world);
	is(module.page[VIRTIO_MMIO_STATUS / 4], 15 | VIRTIO_CONFIG_S_NEEDS_RESET,
	   "a broken device is seen there");
	ok(page_is_right() && module.page[VIRTIO_MMIO_INTERRUPT_STATUS / 4] == 2,
	   "with its interrupt");
	ioapic_entry(0x8032);
	is(module.routes, 0, "a level-triggered line is silent");
	ioapic_entry(0x8400);
	is(module.routes, 1, "but not for an NMI, which is an edge");
	ioapic_entry(0x10000);
	set(VIRTIO_MMIO_STATUS, 0);
	is(reg(VIRTIO_MMIO_STATUS), 0, "a reset");
	is(reg(VIRTIO_MMIO_QUEUE_READY), 0, "takes the queue");
	ok(page_is_right(), "and the page has that");
	close_machine();
}

/* A configuration that changes by itself, and by the driver. */
static void *changing_create(struct virtio *virtio, void *backend)
{
	(void)backend;
	memcpy(virtio->config, "abcdefgh", 8);
	return virtio;
}

/* As one whose backend changes just then. */
static void changing_destroy(void *device)
{
	virtio_config_changed(device);
}

static void changing_write(void *device, size_t offset, const void *data, size_t len)
{
	struct virtio *virtio = device;

	memcpy((char *)virtio->config + offset, data, len);
}

static void test_config(void)
{
	static const struct virtio_type changing_type = {
		.name = "changing", .id = 1, .queues = 1, .queue_size = 8, .config_size = 8,
		.create = changing_create, .destroy = changing_destroy,
		.config_write = changing_write,
	};
	uint32_t before;

	type = &changing_type;
	open_machine();
	type = &virtio_rng;
	ok(page_is_right() && !memcmp(&module.page[VIRTIO_MMIO_CONFIG / 4], "abcdefgh", 9),
	   "the configuration is in the page");
	before = module.page[VIRTIO_MMIO_CONFIG_GENERATION / 4];
	memcpy(world.core->pub.config, "ABCD", 4);
	virtio_config_changed(&world.core->pub);
	ok(page_is_right() && !memcmp(&module.page[VIRTIO_MMIO_CONFIG / 4], "ABCDefgh", 9),
	   "and what changes in it");
	ok(module.page[VIRTIO_MMIO_CONFIG_GENERATION / 4] != before, "with another generation");
	ok(module.seen[VIRTIO_MMIO_CONFIG_GENERATION / 4] == before &&
	   !memcmp(&module.seen[VIRTIO_MMIO_CONFIG / 4], "abcdefgh", 9),
	   "and not while a driver can see the page");
	bus_write(&bus, BASE + VIRTIO_MMIO_CONFIG + 5, 1, 'x');
	ok(page_is_right() && !memcmp(&module.page[VIRTIO_MMIO_CONFIG / 4], "ABCDexgh", 9),
	   "the driver's changes, too");
	close_machine();
}

static void test_stop(void)
{
	open_machine();
	drive();
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	is(reg(VIRTIO_MMIO_QUEUE_READY), 0, "a queue is stopped without VIRTIO_F_RING_RESET");
	driver_add(&world, 0, (struct buffer[]) { { 0x800000, 16, true } }, 1);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	world_settle(&world);
	is(driver_used(&world, 0, NULL), -1, "and takes no request");
	is(reg(VIRTIO_MMIO_STATUS), 15, "the device goes on");
	drive();
	driver_add(&world, 0, (struct buffer[]) { { 0x800000, 16, true } }, 1);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	world_settle(&world);
	ok(driver_used(&world, 0, NULL) >= 0, "and so does the queue, when it is set up anew");
	close_machine();
}

/* A device whose end interrupts, as a disk's with requests in flight does. */
static struct virtio *last_virtio;
static int last_fd;
static bool fd_was_open;

static void *last_create(struct virtio *virtio, void *backend)
{
	(void)backend;
	last_virtio = virtio;
	return &last_virtio;
}

static void last_destroy(void *device)
{
	(void)device;
	fd_was_open = fcntl(last_fd, F_GETFD) >= 0;
	virtio_interrupt(last_virtio, 0);
}

static void test_last_interrupt(void)
{
	static const struct virtio_type last_type = {
		.name = "last", .id = 1, .queues = 1, .queue_size = 8,
		.create = last_create, .destroy = last_destroy,
	};

	type = &last_type;
	open_machine();
	type = &virtio_rng;
	ioapic_entry(0x31);
	last_fd = module.fd;
	close_machine();
	ok(fd_was_open, "the line's eventfd is there until the device is gone");
}

static void test_vandal(void)
{
	unsigned int bad = 0;

	open_machine();
	set(VIRTIO_MMIO_QUEUE_SEL, 1);
	is(reg(VIRTIO_MMIO_QUEUE_NUM_MAX), 0, "a queue that is not there has no size");
	set(VIRTIO_MMIO_QUEUE_SEL, UINT32_MAX);
	set(VIRTIO_MMIO_QUEUE_READY, 1);
	bus_write(&bus, BASE + VIRTIO_MMIO_STATUS, 1, 3);
	is(reg(VIRTIO_MMIO_STATUS), 0, "a register is not written in part");
	for (unsigned int size = 1; size <= 4; size *= 2)
		for (unsigned int at = 0; at < 0x1000; at++)
			bad += bus_read(&bus, BASE + at, size) >> size * 8 != 0;
	is(bad, 0, "reads of 1, 2, 4 bytes at any offset are survived");
	for (unsigned int size = 1; size <= 8; size *= 2)
		for (unsigned int at = 0; at < 0x1000; at++)
			bus_write(&bus, BASE + at, size, 0x0101010101010101ULL * (at + size));
	for (unsigned int i = 0; i < 32; i++)
		set(VIRTIO_MMIO_QUEUE_NOTIFY, UINT32_MAX >> i);
	world_settle(&world);
	set(VIRTIO_MMIO_STATUS, 0);
	drive();
	driver_add(&world, 0, (struct buffer[]) { { 0x800000, 16, true } }, 1);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	world_settle(&world);
	is(driver_used(&world, 0, NULL), 0, "so are writes, and the device works afterwards");
	close_machine();
}

static void test_round_trip(void)
{
	struct state first, second;

	open_machine();
	drive();
	virtio_quiesce(world.core);
	state_init(&first);
	virtio_mmio_save(device, &first);
	close_machine();
	open_machine();
	virtio_mmio_load(device, &first);
	ok(state_good(&first) && first.at == first.len, "saved and loaded");
	is(reg(VIRTIO_MMIO_STATUS), 15, "with its status");
	ok(page_is_right(), "in the page as well");
	state_init(&second);
	virtio_mmio_save(device, &second);
	ok(second.len == first.len && !memcmp(second.buf, first.buf, first.len),
	   "and it saves the same");
	close_machine();
	state_free(&first);
	state_free(&second);
}

int main(void)
{
	test_driver();
	test_stop();
	test_config();
	test_last_interrupt();
	test_vandal();
	test_round_trip();
	return tap_end();
}
