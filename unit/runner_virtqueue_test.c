// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Virtqueues against a scripted driver, good and hostile. The device echoes: what it
 * reads of a chain it writes back into it.
 */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include "tap.h"
#include "virtio_world.h"

#define SIZE	16
#define SCRATCH	0x800000	/* RAM that is none of the rings' */

struct echo {
	struct virtio *virtio;
	bool hold;			/* push nothing */
	unsigned int popped;
};

static struct echo echo;

static void echo_notify(void *device, unsigned int queue)
{
	struct virtq *vq = &echo.virtio->queue[queue];
	struct virtq_chain chain;
	static uint8_t bytes[1 << 16];
	size_t len;

	(void)device;
	while (virtq_pop(vq, &chain)) {
		echo.popped++;
		if (echo.hold)
			continue;
		len = virtq_read(&chain, 0, bytes, sizeof(bytes));
		virtq_push(vq, &chain, virtq_write(&chain, 0, bytes, len));
	}
}

static void *echo_create(struct virtio *virtio, void *backend)
{
	(void)backend;
	echo = (struct echo) { .virtio = virtio };
	return &echo;
}

static void echo_destroy(void *device)
{
	(void)device;
}

static const struct virtio_type echo_type = {
	.name = "echo", .id = 1, .queues = 2, .queue_size = SIZE,
	.create = echo_create, .destroy = echo_destroy, .notify = echo_notify,
};

#define VERSION_1	VIRTIO_FEATURE(VIRTIO_F_VERSION_1)
#define INDIRECT	VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC)
#define EVENT		VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX)
#define PACKED		VIRTIO_FEATURE(VIRTIO_F_RING_PACKED)

static struct world *start(uint64_t features)
{
	struct world *world = world_open(&echo_type, NULL);

	if (!driver_start(world, features))
		abort();
	world->interrupts[0] = 0;
	return world;
}

/* ---- good drivers ---- */

static void test_echo(uint64_t features, const char *name)
{
	struct world *world = start(features);
	uint64_t out = world_alloc(world, 64), in = world_alloc(world, 64);
	unsigned int bad = 0;
	uint32_t len;

	for (unsigned int i = 0; i < 70000; i++) {
		struct buffer buffers[] = { { out, 8, false }, { out + 8, 4, false },
					    { in, 5, true }, { in + 5, 59, true } };
		int head;

		memcpy(world_at(world, out, 64), &i, sizeof(i));
		memcpy(world_at(world, out + 8, 4), &i, sizeof(i));
		head = driver_add(world, 0, buffers, 4);
		driver_kick(world, 0);
		bad += driver_used(world, 0, &len) != head || len != 12 ||
		       memcmp(world_at(world, in, 4), &i, 4) ||
		       memcmp(world_at(world, in + 8, 4), &i, 4);
	}
	is(bad, 0, "%s: 70000 chains, over the indices' wrap, come back as they are", name);
	is(world_complaints, 0, "%s: without a complaint", name);
	world_close(world);
}

static void test_indirect(void)
{
	struct world *world = start(INDIRECT);
	uint64_t table = world_alloc(world, 3 * 16), data = world_alloc(world, 64);
	struct vring_desc *desc = world_at(world, table, 3 * 16);
	uint32_t len;

	memcpy(world_at(world, data, 8), "abcdefgh", 8);
	desc[0] = (struct vring_desc) { data, 4, VRING_DESC_F_NEXT, 2 };
	desc[2] = (struct vring_desc) { data + 4, 4, VRING_DESC_F_NEXT, 1 };
	desc[1] = (struct vring_desc) { data + 16, 8, VRING_DESC_F_WRITE, 0 };
	*driver_desc(world, 0, 3) = (struct vring_desc) { table, 48, VRING_DESC_F_INDIRECT, 0 };
	driver_publish(world, 0, 3);
	driver_kick(world, 0);
	is(driver_used(world, 0, &len), 3, "an indirect chain comes back under its head");
	is(len, 8, "with its bytes written");
	ok(!memcmp(world_at(world, data + 16, 8), "abcdefgh", 8), "in the table's order");

	/* Direct descriptors first, then the table. */
	*driver_desc(world, 0, 5) = (struct vring_desc) { data, 2, VRING_DESC_F_NEXT, 3 };
	driver_publish(world, 0, 5);
	driver_kick(world, 0);
	is(driver_used(world, 0, &len), 5, "a chain may end in an indirect table");
	is(world_complaints, 0, "none of it is a complaint");
	world_close(world);
}

static void add_one(struct world *world)
{
	driver_add(world, 0, (struct buffer[]) { { SCRATCH, 4, true } }, 1);
}

static void test_interrupts(void)
{
	struct world *world = start(0);
	uint16_t *event;

	add_one(world);
	driver_kick(world, 0);
	is(world->interrupts[0], 1, "a used chain interrupts");
	driver_avail(world, 0)->flags = VRING_AVAIL_F_NO_INTERRUPT;
	add_one(world);
	driver_kick(world, 0);
	is(world->interrupts[0], 1, "but not a driver that does not want it");
	world_close(world);

	world = start(EVENT);
	event = &driver_avail(world, 0)->ring[SIZE];
	add_one(world);
	driver_kick(world, 0);
	is(world->interrupts[0], 1, "event index: the first chain interrupts");
	*event = 3;
	add_one(world);
	driver_kick(world, 0);
	add_one(world);
	driver_kick(world, 0);
	is(world->interrupts[0], 1, "event index: not before the driver's mark");
	add_one(world);
	driver_kick(world, 0);
	is(world->interrupts[0], 2, "event index: at the mark");
	is(*(uint16_t *)&driver_used_ring(world, 0)->ring[SIZE], 4,
	   "event index: the device asks for a notification at the next chain");
	for (unsigned int i = 0; i < 5; i++)
		add_one(world);
	*event = 6;
	driver_kick(world, 0);
	is(world->interrupts[0], 3, "event index: one interrupt for a batch over the mark");
	world_close(world);
}

/* A device that is fed as fast as it works must give others a turn. */
static void test_budget(void)
{
	struct world *world = start(0);
	unsigned int before;

	echo.hold = false;
	for (unsigned int i = 0; i < SIZE; i++)
		add_one(world);
	before = echo.popped;
	virtio_notify(world->core, 0);
	iothread_poll(world->io, 0);
	is(echo.popped - before, SIZE, "one notification gives at most a queue's size of chains");
	ok(iothread_poll(world->io, 0) > 0, "a loop that never yields: what may be left is "
	   "looked at in the next turn (CVE-2019-3900)");
	ok(iothread_poll(world->io, 0) <= 0, "and an empty queue ends it");
	world_close(world);
}

static void test_unpop(void)
{
	struct world *world = start(0);
	struct virtq *vq = virtio_get_queue(world->core, 0);
	struct virtq_chain first, again;

	add_one(world);
	ok(virtq_pop(vq, &first), "a chain is popped");
	ok(!virtq_pop(vq, &again), "and there is no second");
	virtq_unpop(vq, &first);
	ok(virtq_pop(vq, &again) && again.id == first.id, "taken back, it comes again");
	virtq_push(vq, &again, 0);
	is(driver_used(world, 0, NULL), -1, "what is pushed is not seen before the flush");
	virtq_flush(vq);
	is(driver_used(world, 0, NULL), first.id, "but after it");
	world_close(world);
}

static void test_slice(void)
{
	uint8_t a[4] = "abcd", b[4] = "efgh";
	struct virtq_chain chain = { .outs = 2, .iov = { { a, 4 }, { b, 4 } } };
	uint8_t got[8] = { 0 };

	is(virtq_read(&chain, 3, got, 3), 3, "reading over the border of two buffers");
	ok(!memcmp(got, "def", 3), "gets the right bytes");
	is(virtq_read(&chain, 6, got, 8), 2, "the end is the end");
	is(virtq_read(&chain, 8, got, 8), 0, "behind it is nothing");
	is(virtq_read(&chain, SIZE_MAX, got, 8), 0, "nor at the largest offset");
}

/* ---- packed rings ---- */

static void test_packed_indirect(void)
{
	struct world *world = start(PACKED | INDIRECT);
	struct vring_packed_desc *table = world_at(world, SCRATCH, 64);
	struct vring_packed_desc *desc = driver_packed_desc(world, 0, 0);
	uint32_t len;

	memcpy(world_at(world, SCRATCH + 64, 4), "abcd", 4);
	table[0] = (struct vring_packed_desc) { SCRATCH + 64, 4, 0, 0 };
	table[1] = (struct vring_packed_desc) { SCRATCH + 128, 9, 0, VRING_DESC_F_WRITE };
	*desc = (struct vring_packed_desc) { SCRATCH, 32, 5, VRING_DESC_F_INDIRECT |
					     driver_packed_flags(&world->queue[0]) };
	world->queue[0].slots[5] = 1;
	driver_kick(world, 0);
	is(driver_used(world, 0, &len), 5, "packed: an indirect chain comes back under its id");
	is(len, 4, "packed: with its bytes written");
	ok(!memcmp(world_at(world, SCRATCH + 128, 4), "abcd", 4), "packed: which are right");
	world_close(world);
}

static void test_packed_interrupts(void)
{
	struct world *world = start(PACKED | EVENT);
	struct vring_packed_desc_event *event = world_at(world, world->queue[0].driver, 4);
	const struct vring_packed_desc_event *wish = world_at(world, world->queue[0].device, 4);

	event->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	add_one(world);
	driver_kick(world, 0);
	is(world->interrupts[0], 0, "packed: no interrupt for who wants none");
	is(wish->off_wrap, 1 | 1 << VRING_PACKED_EVENT_F_WRAP_CTR,
	   "packed: the device asks for a notification at the next slot");
	event->flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	add_one(world);
	driver_kick(world, 0);
	is(world->interrupts[0], 1, "packed: one for who wants it");
	event->off_wrap = 4 | 1 << VRING_PACKED_EVENT_F_WRAP_CTR;
	event->flags = VRING_PACKED_EVENT_FLAG_DESC;
	for (unsigned int i = 0; i < 2; i++) {
		add_one(world);
		driver_kick(world, 0);
	}
	is(world->interrupts[0], 1, "packed: none before the driver's mark");
	add_one(world);
	driver_kick(world, 0);
	is(world->interrupts[0], 2, "packed: one at the mark");
	/* In the next turn of the ring. */
	event->off_wrap = 1;
	for (unsigned int i = 5; i < SIZE + 1; i++) {
		add_one(world);
		driver_kick(world, 0);
	}
	is(world->interrupts[0], 2, "packed: none before a mark in the next turn");
	add_one(world);
	driver_kick(world, 0);
	is(world->interrupts[0], 3, "packed: one at it");
	/* Two slots from here on are the last two of the turn. */
	for (unsigned int i = 2; i < SIZE - 2; i++) {
		add_one(world);
		driver_kick(world, 0);
	}
	event->off_wrap = SIZE - 1;
	for (unsigned int i = 0; i < 3; i++)
		add_one(world);
	driver_kick(world, 0);
	is(world->interrupts[0], 4, "packed: one for a batch over the mark and the ring's end");
	world_close(world);
}

static void test_packed_unpop(void)
{
	struct world *world = start(PACKED);
	struct virtq *vq = virtio_get_queue(world->core, 0);
	const struct buffer three[] = { { SCRATCH, 4, true }, { SCRATCH, 4, true },
					{ SCRATCH, 4, true } };
	struct virtq_chain chain;
	unsigned int bad = 0;

	for (unsigned int i = 0; i < 3 * SIZE; i++) {
		uint16_t id;

		driver_add(world, 0, three, 3);
		bad += !virtq_pop(vq, &chain);
		id = chain.id;
		virtq_unpop(vq, &chain);
		bad += !virtq_pop(vq, &chain) || chain.id != id;
		virtq_push(vq, &chain, 4);
		bad += driver_used(world, 0, NULL) >= 0;
		virtq_flush(vq);
		bad += driver_used(world, 0, NULL) != id;
	}
	is(bad, 0, "packed: taken back at any place of the ring, a chain comes again");
	world_close(world);
}

/* ---- the log of written pages ---- */

/* Rings and buffers on pages of their own, so that no mark hides that another is missing. */
static void apart(struct world *world)
{
	struct virtq *vq = virtio_get_queue(world->core, 0);
	struct driver_queue *q = &world->queue[0];

	driver_place(world, 0, SIZE);
	vq->desc = SCRATCH + 0x10000;
	vq->driver = SCRATCH + 0x12000;
	vq->device = SCRATCH + 0x14000;
	q->desc = vq->desc;
	q->driver = vq->driver;
	q->device = vq->device;
	driver_enable(world, 0);
}

static void test_wrote(uint64_t features, const char *name)
{
	const struct buffer buffers[] = { { SCRATCH, 8, false }, { SCRATCH + 0x2ffe, 4, true },
					  { SCRATCH + 0x5000, 4, true } };
	struct world *world = world_open(&echo_type, NULL);
	unsigned int marked, bad = 0, most = 0;

	driver_negotiate(world, features | VERSION_1);
	apart(world);
	driver_ok(world);
	for (unsigned int i = 0; i < 3 * SIZE; i++) {
		memset(world_at(world, SCRATCH, 8), i + 1, 8);
		driver_add(world, 0, buffers, 3);
		world_watch(world);
		driver_kick(world, 0);
		bad += world_missed(world, &marked) || driver_used(world, 0, NULL) < 0;
		most = marked > most ? marked : most;
	}
	is(bad, 0, "%s: all pages that the device writes are marked", name);
	/* Three of the buffers, the used ring or descriptors, the device's event. */
	ok(most <= 5, "%s: and no others (%u)", name, most);
	/* What is kept writes nothing, but the look at the queue behind it its event's index. */
	echo.hold = true;
	driver_add(world, 0, buffers, 3);
	world_watch(world);
	driver_kick(world, 0);
	is(world_missed(world, NULL), 0, "%s: nor is one missed while a request is kept", name);
	world_close(world);
}

static void test_wrote_reset(uint64_t features, const char *name)
{
	struct world *world = start(features);
	struct virtq *vq = virtio_get_queue(world->core, 0);
	struct virtq_chain chain;

	add_one(world);
	world_watch(world);
	ok(virtq_pop(vq, &chain), "%s: a chain is in flight", name);
	virtq_write(&chain, 0, "abcd", 4);
	virtio_set_status(world->core, 0);
	virtq_push(vq, &chain, 4);
	is(world_missed(world, NULL), 0, "%s: what comes back after a reset is marked all the same",
	   name);
	world_close(world);
}

static void test_queue_reset(uint64_t features, const char *name)
{
	struct world *world = start(features | VIRTIO_FEATURE(VIRTIO_F_RING_RESET));

	for (unsigned int i = 0; i < 5; i++) {
		add_one(world);
		driver_kick(world, 0);
	}
	virtio_queue_reset(world->core, virtio_get_queue(world->core, 0));
	ok(!virtio_get_queue(world->core, 0)->enabled, "%s: a queue is reset alone", name);
	ok(virtio_get_queue(world->core, 1)->enabled, "%s: the other goes on", name);
	driver_place(world, 0, SIZE / 2);
	driver_enable(world, 0);
	add_one(world);
	driver_kick(world, 0);
	ok(driver_used(world, 0, NULL) >= 0, "%s: set up anew with another size, it works", name);
	world_close(world);
}

/* ---- hostile drivers ---- */

/* One step of mischief on queue 0; the device must be broken by it, with one line. */
struct mischief {
	const char *name;
	uint64_t features;
	void (*act)(struct world *world);
	const char *complaint;
};

static void put(struct world *world, unsigned int i, uint64_t addr, uint32_t len, uint16_t flags,
		uint16_t next)
{
	*driver_desc(world, 0, i) = (struct vring_desc) { addr, len, flags, next };
}

static void loop_of_one(struct world *world)
{
	put(world, 0, SCRATCH, 4, VRING_DESC_F_NEXT, 0);
	driver_publish(world, 0, 0);
}

static void loop_of_empty(struct world *world)
{
	put(world, 0, SCRATCH, 0, VRING_DESC_F_NEXT, 1);
	put(world, 1, SCRATCH, 0, VRING_DESC_F_NEXT, 0);
	driver_publish(world, 0, 0);
}

static void head_too_large(struct world *world)
{
	driver_publish(world, 0, SIZE);
}

static void next_too_large(struct world *world)
{
	put(world, 0, SCRATCH, 4, VRING_DESC_F_NEXT, 0xffff);
	driver_publish(world, 0, 0);
}

static void index_jumps(struct world *world)
{
	driver_avail(world, 0)->idx = world->queue[0].avail + SIZE + 1;
}

static void index_goes_back(struct world *world)
{
	driver_avail(world, 0)->idx = world->queue[0].avail - 1;
}

static void wrapped_length(struct world *world)
{
	put(world, 0, UINT64_MAX - 3, 8, 0, 0);
	driver_publish(world, 0, 0);
}

static void longest_length(struct world *world)
{
	put(world, 0, 0, UINT32_MAX, 0, 0);
	driver_publish(world, 0, 0);
}

static void over_the_end(struct world *world)
{
	put(world, 0, WORLD_RAM - 4, 8, VRING_DESC_F_WRITE, 0);
	driver_publish(world, 0, 0);
}

static void in_a_register(struct world *world)
{
	put(world, 0, 0xc0000000, 4, VRING_DESC_F_WRITE, 0);
	driver_publish(world, 0, 0);
}

static void in_firmware(struct world *world)
{
	put(world, 0, WORLD_ROM, 4, VRING_DESC_F_WRITE, 0);
	driver_publish(world, 0, 0);
}

static void read_behind_write(struct world *world)
{
	put(world, 0, SCRATCH, 4, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	put(world, 1, SCRATCH, 4, 0, 0);
	driver_publish(world, 0, 0);
}

/* An indirect table at the heap's start; @len of it. */
static void indirect(struct world *world, uint64_t addr, uint32_t len, uint16_t flags)
{
	put(world, 0, addr, len, VRING_DESC_F_INDIRECT | flags, 1);
	driver_publish(world, 0, 0);
}

static void indirect_unasked(struct world *world)
{
	indirect(world, SCRATCH, 16, 0);
}

static void indirect_in_indirect(struct world *world)
{
	struct vring_desc *desc = world_at(world, SCRATCH, 16);

	*desc = (struct vring_desc) { SCRATCH, 16, VRING_DESC_F_INDIRECT, 0 };
	indirect(world, SCRATCH, 16, 0);
}

static void indirect_with_next(struct world *world)
{
	indirect(world, SCRATCH, 16, VRING_DESC_F_NEXT);
}

static void indirect_empty(struct world *world)
{
	indirect(world, SCRATCH, 0, 0);
}

static void indirect_crooked(struct world *world)
{
	indirect(world, SCRATCH, 17, 0);
}

static void indirect_too_long(struct world *world)
{
	indirect(world, SCRATCH, (SIZE + 1) * 16, 0);
}

static void indirect_outside(struct world *world)
{
	indirect(world, WORLD_RAM - 16, 32, 0);
}

static void indirect_loop(struct world *world)
{
	struct vring_desc *desc = world_at(world, SCRATCH, 32);

	desc[0] = (struct vring_desc) { SCRATCH, 4, VRING_DESC_F_NEXT, 1 };
	desc[1] = (struct vring_desc) { SCRATCH, 4, VRING_DESC_F_NEXT, 0 };
	indirect(world, SCRATCH, 32, 0);
}

/* @len descriptors of a packed ring, all the device's, with @flags more. */
static void put_packed(struct world *world, unsigned int count, uint64_t addr, uint32_t len,
		       uint16_t flags)
{
	for (unsigned int i = 0; i < count; i++)
		*driver_packed_desc(world, 0, i) = (struct vring_packed_desc) {
			addr, len, i, driver_packed_flags(&world->queue[0]) | flags };
}

static void packed_endless(struct world *world)
{
	put_packed(world, SIZE, SCRATCH, 4, VRING_DESC_F_NEXT);
}

static void packed_outside(struct world *world)
{
	put_packed(world, 1, WORLD_RAM - 4, 8, VRING_DESC_F_WRITE);
}

static void packed_indirect_unasked(struct world *world)
{
	put_packed(world, 1, SCRATCH, 16, VRING_DESC_F_INDIRECT);
}

static void packed_indirect_second(struct world *world)
{
	put_packed(world, 2, SCRATCH, 16, VRING_DESC_F_INDIRECT);
	driver_packed_desc(world, 0, 0)->flags ^= VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT;
}

static void packed_indirect_next(struct world *world)
{
	put_packed(world, 1, SCRATCH, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT);
}

static void packed_indirect_long(struct world *world)
{
	put_packed(world, 1, SCRATCH, (SIZE + 1) * 16, VRING_DESC_F_INDIRECT);
}

static void packed_indirect_crooked(struct world *world)
{
	put_packed(world, 1, SCRATCH, 15, VRING_DESC_F_INDIRECT);
}

static void packed_indirect_outside(struct world *world)
{
	put_packed(world, 1, WORLD_RAM - 16, 32, VRING_DESC_F_INDIRECT);
}

static void packed_indirect_twice(struct world *world)
{
	struct vring_packed_desc *table = world_at(world, SCRATCH, 16);

	*table = (struct vring_packed_desc) { SCRATCH, 16, 0, VRING_DESC_F_INDIRECT };
	put_packed(world, 1, SCRATCH, 16, VRING_DESC_F_INDIRECT);
}

/* The device keeps all; the driver gives the whole ring, and once more in its next turn. */
static void packed_more_than_room(struct world *world)
{
	echo.hold = true;
	put_packed(world, SIZE, SCRATCH, 4, 0);
	driver_kick(world, 0);
	world->queue[0].avail_wrap = false;
	put_packed(world, SIZE, SCRATCH, 4, 0);
}

/* The device keeps all it gets; the driver makes the same head available for ever. */
static void more_than_room(struct world *world)
{
	echo.hold = true;
	put(world, 0, SCRATCH, 4, 0, 0);
	for (unsigned int i = 0; i < SIZE; i++)
		driver_publish(world, 0, 0);
	driver_kick(world, 0);
	driver_publish(world, 0, 0);
}

static const struct mischief mischiefs[] = {
	{ "descriptor loop", 0, loop_of_one, "longer than the queue" },
	{ "descriptor loop of zero-length buffers", 0, loop_of_empty, "longer than the queue" },
	{ "head beyond the table", 0, head_too_large, "number is too large" },
	{ "next beyond the table", 0, next_too_large, "number is too large" },
	{ "index jumping", 0, index_jumps, "jumped" },
	{ "index jumping back", 0, index_goes_back, "jumped" },
	{ "wrapped length", 0, wrapped_length, "outside of RAM" },
	{ "length of 4 GiB", 0, longest_length, "outside of RAM" },
	{ "buffer that starts inside and ends outside RAM", 0, over_the_end, "outside of RAM" },
	{ "buffer in a device's registers (CVE-2021-3416)", 0, in_a_register, "outside of RAM" },
	{ "buffer in firmware", 0, in_firmware, "outside of RAM" },
	{ "buffer to read behind one to write", 0, read_behind_write, "behind one to write" },
	{ "indirect that was not negotiated", 0, indirect_unasked, "where none may be" },
	{ "indirect inside indirect", INDIRECT, indirect_in_indirect, "where none may be" },
	{ "indirect with a next one", INDIRECT, indirect_with_next, "with a next one" },
	{ "empty indirect table", INDIRECT, indirect_empty, "wrong length" },
	{ "indirect table of half an entry", INDIRECT, indirect_crooked, "wrong length" },
	{ "indirect table longer than the queue", INDIRECT, indirect_too_long, "wrong length" },
	{ "indirect table outside of RAM", INDIRECT, indirect_outside, "outside of RAM" },
	{ "indirect table that loops", INDIRECT, indirect_loop, "longer than the queue" },
	{ "packed: chain without an end", PACKED, packed_endless, "longer than the queue" },
	{ "packed: buffer over RAM's end", PACKED, packed_outside, "outside of RAM" },
	{ "packed: indirect that was not negotiated", PACKED, packed_indirect_unasked,
	  "where none may be" },
	{ "packed: indirect behind a direct one", PACKED | INDIRECT, packed_indirect_second,
	  "where none may be" },
	{ "packed: indirect with a next one", PACKED | INDIRECT, packed_indirect_next,
	  "with a next one" },
	{ "packed: indirect table longer than the queue", PACKED | INDIRECT, packed_indirect_long,
	  "wrong length" },
	{ "packed: indirect table of half an entry", PACKED | INDIRECT, packed_indirect_crooked,
	  "wrong length" },
	{ "packed: indirect table outside of RAM", PACKED | INDIRECT, packed_indirect_outside,
	  "outside of RAM" },
	{ "packed: indirect inside indirect", PACKED | INDIRECT, packed_indirect_twice,
	  "where none may be" },
	{ "packed: more requests outstanding than the ring has", PACKED, packed_more_than_room,
	  "more requests" },
	{ "more requests outstanding than the ring has (CVE-2016-5403)", 0, more_than_room,
	  "more requests" },
};

static void test_mischief(const struct mischief *mischief)
{
	struct world *world = start(mischief->features);

	mischief->act(world);
	driver_kick(world, 0);
	ok(world->core->status & VIRTIO_CONFIG_S_NEEDS_RESET, "%s: the device needs a reset",
	   mischief->name);
	ok(strstr(world_complaint, mischief->complaint), "%s: and says why", mischief->name);
	is(world->config_interrupts, 1, "%s: the driver is told", mischief->name);
	driver_kick(world, 0);
	driver_kick(world, 1);
	is(world_complaints, 1, "%s: one line", mischief->name);
	is(driver_used(world, 0, NULL), -1, "%s: nothing comes back", mischief->name);

	driver_reset(world);
	echo.hold = false;
	ok(driver_start(world, 0), "%s: a reset mends it", mischief->name);
	add_one(world);
	driver_kick(world, 0);
	ok(driver_used(world, 0, NULL) >= 0, "%s: then it works", mischief->name);
	world_close(world);
}

/* ---- setting up ---- */

static void test_setup(void)
{
	static const struct {
		const char *name;
		uint16_t size;
		uint64_t desc, driver, device;
	} cases[] = {
		{ "queue size 0", 0, 0x1000, 0x2000, 0x3000 },
		{ "queue size 12, not a power of two", 12, 0x1000, 0x2000, 0x3000 },
		{ "descriptors not aligned", SIZE, 0x1008, 0x2000, 0x3000 },
		{ "available ring not aligned", SIZE, 0x1000, 0x2001, 0x3000 },
		{ "used ring not aligned", SIZE, 0x1000, 0x2000, 0x3002 },
		{ "descriptors over RAM's end", SIZE, WORLD_RAM - 16, 0x2000, 0x3000 },
		{ "available ring over RAM's end", SIZE, 0x1000, WORLD_RAM - 4, 0x3000 },
		{ "used ring over RAM's end", SIZE, 0x1000, 0x2000, WORLD_RAM - 4 },
		{ "used ring in device memory", SIZE, 0x1000, 0x2000, 0xc0000000 },
		{ "rings at the top of the address space", SIZE, UINT64_MAX - 15, 0x2000, 0x3000 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world *world = world_open(&echo_type, NULL);
		struct virtq *vq = virtio_get_queue(world->core, 0);

		driver_negotiate(world, VERSION_1);
		vq->size = cases[i].size;
		vq->desc = cases[i].desc;
		vq->driver = cases[i].driver;
		vq->device = cases[i].device;
		driver_enable(world, 0);
		ok(!vq->enabled, "%s: the queue is not enabled", cases[i].name);
		ok(world->core->status & VIRTIO_CONFIG_S_NEEDS_RESET, "%s: it needs a reset",
		   cases[i].name);
		driver_ok(world);
		driver_kick(world, 0);
		ok(!virtio_runs(&world->core->pub), "%s: and does not run", cases[i].name);
		world_close(world);
	}
}

static void test_early(void)
{
	struct world *world = world_open(&echo_type, NULL);

	for (unsigned int i = 0; i < 4; i++)
		virtio_notify(world->core, 1U << (i * 10));
	virtio_notify(world->core, UINT32_MAX);
	driver_kick(world, 0);
	is(echo.popped, 0, "notify before setup, of any number, is nothing");
	driver_negotiate(world, VERSION_1);
	driver_place(world, 0, SIZE);
	driver_enable(world, 0);
	add_one(world);
	driver_kick(world, 0);
	is(echo.popped, 0, "nor is it before DRIVER_OK");
	driver_ok(world);
	is(echo.popped, 1, "then the queue is looked at");
	ok(!virtio_queue_settable(world->core, virtio_get_queue(world->core, 0)),
	   "an enabled queue cannot be changed (CVE-2026-5747)");
	world_close(world);
}

int main(void)
{
	test_echo(0, "split");
	test_echo(EVENT, "split with event index");
	test_echo(PACKED, "packed");
	test_echo(PACKED | EVENT, "packed with event index");
	test_indirect();
	test_packed_indirect();
	test_packed_interrupts();
	test_packed_unpop();
	test_wrote(0, "split");
	test_wrote(EVENT, "split with event index");
	test_wrote(PACKED, "packed");
	test_wrote(PACKED | EVENT, "packed with event index");
	test_wrote_reset(0, "split");
	test_wrote_reset(PACKED, "packed");
	test_queue_reset(0, "split");
	test_queue_reset(PACKED, "packed");
	test_interrupts();
	test_budget();
	test_unpop();
	test_slice();
	for (size_t i = 0; i < sizeof(mischiefs) / sizeof(mischiefs[0]); i++)
		test_mischief(&mischiefs[i]);
	test_setup();
	test_early();
	return tap_end();
}
