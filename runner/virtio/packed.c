// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Packed virtqueues. Facts: VIRTIO Specification 1.2, "Packed Virtqueues".
 *
 * One ring of descriptors serves both sides; two bits of its flags, compared with the
 * ring's turn, say whose a descriptor is. avail and used are places in the ring below its
 * size, each with the turn it is in. What is staged is published by the first one's
 * flags, written last.
 */
#include <linux/virtio_config.h>
#include "queue.h"
#include "virtio.h"

#define RING_ALIGN	16
#define EVENT_ALIGN	4

#define AVAIL		(1U << VRING_PACKED_DESC_F_AVAIL)
#define USED		(1U << VRING_PACKED_DESC_F_USED)
#define EVENT_WRAP	(1U << VRING_PACKED_EVENT_F_WRAP_CTR)

static struct vring_packed_desc *ring(const struct virtq *vq)
{
	return vq->desc_at;
}

static bool packed_map(struct virtq *vq)
{
	uint64_t size = vq->size;

	vq->desc_at = virtq_area(vq, vq->desc, size * sizeof(struct vring_packed_desc),
				 RING_ALIGN);
	vq->driver_at = virtq_area(vq, vq->driver, sizeof(struct vring_packed_desc_event),
				   EVENT_ALIGN);
	vq->device_at = virtq_area(vq, vq->device, sizeof(struct vring_packed_desc_event),
				   EVENT_ALIGN);
	return vq->desc_at && vq->driver_at && vq->device_at;
}

static bool broken(struct virtq *vq, const char *what)
{
	virtio_broken(vq->virtio, "queue %u: %s", vq->index, what);
	return false;
}

/* @at moved on by @count places, with the turn. */
static void advance(const struct virtq *vq, uint16_t *at, bool *wrap, uint16_t count)
{
	*at += count;
	if (*at >= vq->size) {
		*at -= vq->size;
		*wrap = !*wrap;
	}
}

/* ---- pop ---- */

static bool available(const struct virtq *vq)
{
	uint16_t flags = __atomic_load_n(&ring(vq)[vq->avail].flags, __ATOMIC_ACQUIRE);

	return !!(flags & AVAIL) == vq->avail_wrap && !!(flags & USED) != vq->avail_wrap;
}

/* Nothing there: ask for a notification, then look again. */
static bool available_at_last(struct virtq *vq)
{
	struct vring_packed_desc_event *event = vq->device_at;

	if (vq->event_idx) {
		__atomic_store_n(&event->off_wrap, vq->avail | (vq->avail_wrap ? EVENT_WRAP : 0),
				 __ATOMIC_RELAXED);
		__atomic_store_n(&event->flags, VRING_PACKED_EVENT_FLAG_DESC, __ATOMIC_RELEASE);
		virtio_wrote(vq->virtio, event, sizeof(*event));
	}
	/* Pairs with the driver's barrier between its flags and this look. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return available(vq);
}

/* A table has no next flags: all its entries are the chain. */
static bool add_indirect(struct virtq *vq, struct virtq_chain *chain,
			 const struct vring_packed_desc *desc)
{
	uint32_t count = desc->len / sizeof(*desc);
	const struct vring_packed_desc *table;

	if (!vq->indirect)
		return broken(vq, "an indirect descriptor where none may be");
	if (desc->flags & VRING_DESC_F_NEXT)
		return broken(vq, "an indirect descriptor with a next one");
	if (!count || desc->len % sizeof(*desc) || count > vq->size)
		return broken(vq, "an indirect table of a wrong length");
	table = virtq_area(vq, desc->addr, desc->len, 1);
	if (!table)
		return broken(vq, "an indirect table outside of RAM");
	for (uint32_t i = 0; i < count; i++) {
		struct vring_packed_desc entry;

		virtq_copy(&entry, &table[i], sizeof(entry));
		if (entry.flags & VRING_DESC_F_INDIRECT)
			return broken(vq, "an indirect descriptor where none may be");
		if (!virtq_add_buffer(vq, chain, entry.addr, entry.len,
				      entry.flags & VRING_DESC_F_WRITE))
			return false;
	}
	return true;
}

/* The chain that starts at avail; its slots are counted. */
static bool walk(struct virtq *vq, struct virtq_chain *chain)
{
	struct vring_packed_desc desc;
	uint16_t at = vq->avail;
	bool wrap = vq->avail_wrap;

	for (chain->slots = 1; chain->slots <= vq->size; chain->slots++) {
		virtq_copy(&desc, &ring(vq)[at], sizeof(desc));
		chain->id = desc.id;
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			if (chain->slots > 1)
				return broken(vq, "an indirect descriptor where none may be");
			return add_indirect(vq, chain, &desc);
		}
		if (!virtq_add_buffer(vq, chain, desc.addr, desc.len,
				      desc.flags & VRING_DESC_F_WRITE))
			return false;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return true;
		advance(vq, &at, &wrap, 1);
	}
	return broken(vq, "a chain longer than the queue");
}

static bool packed_pop(struct virtq *vq, struct virtq_chain *chain)
{
	if (!available(vq) && !available_at_last(vq))
		return false;
	if (!walk(vq, chain))
		return false;
	if (chain->slots > vq->size - vq->slots)
		return broken(vq, "more requests than the queue has room for");
	vq->slots += chain->slots;
	advance(vq, &vq->avail, &vq->avail_wrap, chain->slots);
	return true;
}

static void packed_unpop(struct virtq *vq, const struct virtq_chain *chain)
{
	vq->slots -= chain->slots;
	/* Once around but for the slots, which is one turn less. */
	advance(vq, &vq->avail, &vq->avail_wrap, vq->size - chain->slots);
	vq->avail_wrap = !vq->avail_wrap;
}

/* ---- push ---- */

static void packed_push(struct virtq *vq, const struct virtq_chain *chain, uint32_t written)
{
	struct vring_packed_desc *desc = &ring(vq)[vq->used];
	uint16_t flags = (vq->used_wrap ? AVAIL | USED : 0) | (written ? VRING_DESC_F_WRITE : 0);

	__atomic_store_n(&desc->id, chain->id, __ATOMIC_RELAXED);
	__atomic_store_n(&desc->len, written, __ATOMIC_RELAXED);
	if (!vq->staged) {
		vq->first = desc;
		vq->first_flags = flags;
	} else {
		__atomic_store_n(&desc->flags, flags, __ATOMIC_RELEASE);
	}
	virtio_wrote(vq->virtio, desc, sizeof(*desc));
	vq->slots -= chain->slots;
	vq->staged_slots += chain->slots;
	advance(vq, &vq->used, &vq->used_wrap, chain->slots);
}

static bool packed_flush(struct virtq *vq)
{
	const struct vring_packed_desc_event *event = vq->driver_at;
	uint16_t old = vq->used - vq->staged_slots, mark, flags;

	vq->staged_slots = 0;
	__atomic_store_n(&vq->first->flags, vq->first_flags, __ATOMIC_RELEASE);
	virtio_wrote(vq->virtio, vq->first, sizeof(*vq->first));
	/* Pairs with the driver's barrier between its wish and its look at the ring. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	flags = __atomic_load_n(&event->flags, __ATOMIC_RELAXED);
	if (!vq->event_idx || flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	flags = __atomic_load_n(&event->off_wrap, __ATOMIC_RELAXED);
	mark = flags & ~EVENT_WRAP;
	/* Of the turn before, or of the next, which is as far from here. */
	if (!!(flags & EVENT_WRAP) != vq->used_wrap)
		mark -= vq->size;
	return vring_need_event(mark, vq->used, old);
}

const struct virtq_ops virtq_packed = {
	packed_map, packed_pop, packed_unpop, packed_push, packed_flush,
};
