/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A world for a virtio device: RAM, an I/O thread that does not run (its work is done in
 * world_settle()), the core with the device, and a scripted driver, well-behaved or not.
 *
 *   struct world *world = world_open(&virtio_rng, NULL);
 *   driver_start(world, features);              all queues set up, DRIVER_OK
 *   uint64_t gpa = world_alloc(world, 64);
 *   driver_add(world, 0, (struct buffer[]) { { gpa, 64, true } }, 1);
 *   driver_kick(world, 0);                      notifies and settles
 *   driver_used(world, 0, &len);                the id of a chain that came back, or -1
 *   world_watch(world);
 *   world_missed(world, &marked)                pages that the device wrote and did not mark
 *   world_close(world);
 *
 * The line a broken device makes is in world_complaint.
 */
#ifndef UNIT_VIRTIO_WORLD_H
#define UNIT_VIRTIO_WORLD_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../runner/ram.h"
#include "../runner/virtio/core.h"

#define WORLD_RAM	(16UL << 20)
#define WORLD_ROM	0xffff0000	/* firmware, to the end of 4 GiB */
#define WORLD_HEAP	0x100000	/* where world_alloc() starts */
#define WORLD_QUEUES	64
#define WORLD_PAGE	4096
#define WORLD_PAGES	(WORLD_RAM / WORLD_PAGE)

/* What driver_add() gets: where, how long, for the device to write? */
struct buffer {
	uint64_t gpa;
	uint32_t len;
	bool write;
};

struct driver_queue {
	uint16_t size;
	uint64_t desc, driver, device;
	uint16_t free;			/* the next descriptor */
	uint16_t avail, used;
	bool avail_wrap, used_wrap;	/* packed */
	uint16_t slots[VIRTQ_SIZE_MAX];	/* packed: of each id */
};

struct world {
	struct ram ram;
	struct iothread *io;
	struct virtio_core *core;
	uint64_t heap;
	unsigned int interrupts[WORLD_QUEUES], config_interrupts;
	struct driver_queue queue[WORLD_QUEUES];
	uint8_t *before;		/* RAM when the watch began */
	bool marked[WORLD_PAGES];
};

static char world_complaint[512];
static unsigned int world_complaints;

void complain(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(world_complaint, sizeof(world_complaint), fmt, args);
	va_end(args);
	world_complaints++;
}

static inline void world_interrupt(void *opaque, unsigned int what)
{
	struct world *world = opaque;

	if (what == VIRTIO_CONFIG_INTERRUPT)
		world->config_interrupts++;
	else
		world->interrupts[what]++;
}

/* As the machine does: the end is inclusive, the range within RAM. */
static inline void world_wrote(void *opaque, uint64_t gpa, uint64_t len)
{
	struct world *world = opaque;

	if (!len || !ram_dma_at(&world->ram, gpa, len))
		abort();
	for (uint64_t page = gpa / WORLD_PAGE; page <= (gpa + len - 1) / WORLD_PAGE; page++)
		world->marked[page] = true;
}

/* The device in its reset state, nothing negotiated. */
static inline struct world *world_open(const struct virtio_type *type, void *backend)
{
	struct world *world = calloc(1, sizeof(*world));

	world_complaints = 0;
	world_complaint[0] = 0;
	if (!world)
		abort();
	ram_plan(&world->ram, WORLD_RAM);
	ram_plan_rom(&world->ram, 0x10000);
	if (ram_map(&world->ram) || iothread_create(&world->io))
		abort();
	world->core = virtio_create(type, backend, &world->ram, world->io);
	if (!world->core)
		abort();
	virtio_offer_packed(world->core);
	world->core->interrupt = world_interrupt;
	world->core->transport = world;
	world->core->wrote = world_wrote;
	world->core->memory = world;
	world->heap = WORLD_HEAP;
	return world;
}

static inline void world_close(struct world *world)
{
	virtio_destroy(world->core);
	iothread_destroy(world->io);
	ram_unmap(&world->ram);
	free(world->before);
	free(world);
}

/* All that is there to do, but no more than any test needs. */
static inline void world_settle(struct world *world)
{
	for (int i = 0; i < 10000; i++)
		if (iothread_poll(world->io, 0) <= 0)
			return;
	abort();
}

/* The same for work of other threads: wait up to a second for the first event. */
static inline void world_wait(struct world *world)
{
	iothread_poll(world->io, 1000);
	world_settle(world);
}

static inline void *world_at(struct world *world, uint64_t gpa, uint64_t len)
{
	void *at = ram_at(&world->ram, gpa, len);

	if (!at)
		abort();
	return at;
}

/* Forget all marks; from here on the device is the only one to write. */
static inline void world_watch(struct world *world)
{
	memset(world->marked, 0, sizeof(world->marked));
	if (!world->before)
		world->before = malloc(WORLD_RAM);
	if (!world->before)
		abort();
	memcpy(world->before, world_at(world, 0, WORLD_RAM), WORLD_RAM);
}

/* Pages that changed without a mark; @marked, if not NULL: pages with one. */
static inline unsigned int world_missed(struct world *world, unsigned int *marked)
{
	const uint8_t *now = world_at(world, 0, WORLD_RAM);
	unsigned int missed = 0, marks = 0;

	for (size_t i = 0; i < WORLD_PAGES; i++) {
		marks += world->marked[i];
		missed += !world->marked[i] &&
			  memcmp(now + i * WORLD_PAGE, world->before + i * WORLD_PAGE, WORLD_PAGE);
	}
	if (marked)
		*marked = marks;
	return missed;
}

/* Zeroed bytes of RAM, aligned to 64. */
static inline uint64_t world_alloc(struct world *world, uint64_t len)
{
	uint64_t gpa = world->heap;

	world->heap += (len + 63) & ~63ULL;
	memset(world_at(world, gpa, len), 0, len);
	return gpa;
}

/* ---- the driver ---- */

static inline void driver_reset(struct world *world)
{
	virtio_set_status(world->core, 0);
	memset(world->queue, 0, sizeof(world->queue));
}

/* Up to FEATURES_OK; false: the device does not take the features. */
static inline bool driver_negotiate(struct world *world, uint64_t features)
{
	virtio_set_status(world->core, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	virtio_set_status(world->core, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	virtio_set_wanted(world->core, 0, features);
	virtio_set_wanted(world->core, 1, features >> 32);
	virtio_set_status(world->core, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
				       VIRTIO_CONFIG_S_FEATURES_OK);
	return world->core->status & VIRTIO_CONFIG_S_FEATURES_OK;
}

static inline void driver_place(struct world *world, unsigned int n, uint16_t size)
{
	struct driver_queue *q = &world->queue[n];
	struct virtq *vq = virtio_get_queue(world->core, n);

	*q = (struct driver_queue) { .size = size, .avail_wrap = true, .used_wrap = true };
	q->desc = world_alloc(world, size * 16);
	q->driver = world_alloc(world, 6 + size * 2);
	q->device = world_alloc(world, 6 + size * 8);
	vq->size = size;
	vq->desc = q->desc;
	vq->driver = q->driver;
	vq->device = q->device;
}

static inline void driver_enable(struct world *world, unsigned int n)
{
	virtio_queue_enable(world->core, virtio_get_queue(world->core, n));
}

static inline void driver_ok(struct world *world)
{
	virtio_set_status(world->core, world->core->status | VIRTIO_CONFIG_S_DRIVER_OK);
	world_settle(world);
}

/* Everything up to DRIVER_OK with queues of the largest size. */
static inline bool driver_start(struct world *world, uint64_t features)
{
	if (!driver_negotiate(world, features | VIRTIO_FEATURE(VIRTIO_F_VERSION_1)))
		return false;
	for (unsigned int i = 0; i < world->core->pub.queues; i++) {
		driver_place(world, i, world->core->pub.queue_size);
		driver_enable(world, i);
	}
	driver_ok(world);
	return true;
}

static inline struct vring_desc *driver_desc(struct world *world, unsigned int n, unsigned int i)
{
	struct driver_queue *q = &world->queue[n];

	return (struct vring_desc *)world_at(world, q->desc, q->size * 16) + i;
}

static inline struct vring_avail *driver_avail(struct world *world, unsigned int n)
{
	return world_at(world, world->queue[n].driver, 6 + world->queue[n].size * 2);
}

static inline struct vring_used *driver_used_ring(struct world *world, unsigned int n)
{
	return world_at(world, world->queue[n].device, 6 + world->queue[n].size * 8);
}

/* Make chain @head available. */
static inline void driver_publish(struct world *world, unsigned int n, uint16_t head)
{
	struct driver_queue *q = &world->queue[n];
	struct vring_avail *avail = driver_avail(world, n);

	avail->ring[q->avail++ % q->size] = head;
	__atomic_store_n(&avail->idx, q->avail, __ATOMIC_RELEASE);
}

static inline bool driver_packed(const struct world *world)
{
	return virtio_has(&world->core->pub, VIRTIO_F_RING_PACKED);
}

static inline struct vring_packed_desc *driver_packed_desc(struct world *world, unsigned int n,
							   unsigned int i)
{
	struct driver_queue *q = &world->queue[n];

	return (struct vring_packed_desc *)world_at(world, q->desc, q->size * 16) + i;
}

/* The two bits that make a descriptor the device's. */
static inline uint16_t driver_packed_flags(const struct driver_queue *q)
{
	return q->avail_wrap ? 1 << VRING_PACKED_DESC_F_AVAIL : 1 << VRING_PACKED_DESC_F_USED;
}

static inline uint16_t driver_add_packed(struct world *world, unsigned int n,
					 const struct buffer *buffers, unsigned int count)
{
	struct driver_queue *q = &world->queue[n];
	struct vring_packed_desc *first = NULL;
	uint16_t id = q->avail, first_flags = 0;

	for (unsigned int i = 0; i < count; i++) {
		struct vring_packed_desc *desc = driver_packed_desc(world, n, q->avail);
		uint16_t flags = driver_packed_flags(q) |
				 (buffers[i].write ? VRING_DESC_F_WRITE : 0) |
				 (i + 1 == count ? 0 : VRING_DESC_F_NEXT);

		desc->addr = buffers[i].gpa;
		desc->len = buffers[i].len;
		desc->id = id;
		if (i) {
			desc->flags = flags;
		} else {
			first = desc;
			first_flags = flags;
		}
		if (++q->avail == q->size) {
			q->avail = 0;
			q->avail_wrap = !q->avail_wrap;
		}
	}
	q->slots[id] = count;
	__atomic_store_n(&first->flags, first_flags, __ATOMIC_RELEASE);
	return id;
}

static inline int driver_used_packed(struct world *world, unsigned int n, uint32_t *len)
{
	struct driver_queue *q = &world->queue[n];
	struct vring_packed_desc *desc = driver_packed_desc(world, n, q->used);
	uint16_t flags = __atomic_load_n(&desc->flags, __ATOMIC_ACQUIRE);
	bool avail = flags & 1 << VRING_PACKED_DESC_F_AVAIL;
	bool used = flags & 1 << VRING_PACKED_DESC_F_USED;

	if (avail != used || used != q->used_wrap)
		return -1;
	if (len)
		*len = desc->len;
	q->used += q->slots[desc->id];
	if (q->used >= q->size) {
		q->used -= q->size;
		q->used_wrap = !q->used_wrap;
	}
	return desc->id;
}

/* A chain of @count buffers from the next descriptors on; returns its head. */
static inline uint16_t driver_add(struct world *world, unsigned int n, const struct buffer *buffers,
				  unsigned int count)
{
	struct driver_queue *q = &world->queue[n];
	uint16_t head = q->free % q->size;

	if (driver_packed(world))
		return driver_add_packed(world, n, buffers, count);
	for (unsigned int i = 0; i < count; i++) {
		bool last = i + 1 == count;

		*driver_desc(world, n, (head + i) % q->size) = (struct vring_desc) {
			.addr = buffers[i].gpa,
			.len = buffers[i].len,
			.flags = (buffers[i].write ? VRING_DESC_F_WRITE : 0) |
				 (last ? 0 : VRING_DESC_F_NEXT),
			.next = last ? 0 : (head + i + 1) % q->size,
		};
	}
	q->free = (head + count) % q->size;
	driver_publish(world, n, head);
	return head;
}

static inline void driver_kick(struct world *world, unsigned int n)
{
	virtio_notify(world->core, n);
	world_settle(world);
}

/* A chain that came back: its id, and in @len, if not NULL, what was written; -1: none. */
static inline int driver_used(struct world *world, unsigned int n, uint32_t *len)
{
	struct driver_queue *q = &world->queue[n];
	struct vring_used *used = driver_used_ring(world, n);
	const struct vring_used_elem *elem = &used->ring[q->used % q->size];

	if (driver_packed(world))
		return driver_used_packed(world, n, len);
	if (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) == q->used)
		return -1;
	q->used++;
	if (len)
		*len = elem->len;
	return elem->id;
}

#endif /* UNIT_VIRTIO_WORLD_H */
