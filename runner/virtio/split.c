// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Split virtqueues. Facts: VIRTIO Specification 1.2, "Split Virtqueues".
 *
 * The areas are aligned as the specification demands, so indices are read and written
 * whole. avail and used run freely in 16 bits, as the ring's indices do.
 */
#include <linux/virtio_config.h>
#include "queue.h"
#include "virtio.h"

#define DESC_ALIGN	16
#define AVAIL_ALIGN	2
#define USED_ALIGN	4

static struct vring_avail *avail_ring(const struct virtq *vq)
{
	return vq->driver_at;
}

static struct vring_used *used_ring(const struct virtq *vq)
{
	return vq->device_at;
}

/* Behind each ring is a word for the event index. */
static uint16_t *used_event(const struct virtq *vq)
{
	return &avail_ring(vq)->ring[vq->size];
}

static uint16_t *avail_event(const struct virtq *vq)
{
	return (uint16_t *)&used_ring(vq)->ring[vq->size];
}

static bool split_map(struct virtq *vq)
{
	uint64_t size = vq->size;

	vq->desc_at = virtq_area(vq, vq->desc, size * sizeof(struct vring_desc), DESC_ALIGN);
	vq->driver_at = virtq_area(vq, vq->driver, sizeof(struct vring_avail) +
				   (size + 1) * sizeof(uint16_t), AVAIL_ALIGN);
	vq->device_at = virtq_area(vq, vq->device, sizeof(struct vring_used) +
				   size * sizeof(struct vring_used_elem) + sizeof(uint16_t),
				   USED_ALIGN);
	return vq->desc_at && vq->driver_at && vq->device_at;
}

/* ---- pop ---- */

static bool broken(struct virtq *vq, const char *what)
{
	virtio_broken(vq->virtio, "queue %u: %s", vq->index, what);
	return false;
}

static uint16_t pending(const struct virtq *vq)
{
	return __atomic_load_n(&avail_ring(vq)->idx, __ATOMIC_ACQUIRE) - vq->avail;
}

/* Nothing there: ask for a notification, then look again. */
static uint16_t pending_at_last(struct virtq *vq)
{
	if (vq->event_idx) {
		__atomic_store_n(avail_event(vq), vq->avail, __ATOMIC_RELAXED);
		virtio_wrote(vq->virtio, avail_event(vq), sizeof(*avail_event(vq)));
	}
	/* Pairs with the driver's barrier between its index and this look. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return pending(vq);
}

/* A table of descriptors: the queue's own, or an indirect one. */
struct table {
	const struct vring_desc *desc;
	unsigned int count;
	bool indirect;
};

static bool enter_indirect(struct virtq *vq, const struct vring_desc *desc, struct table *table)
{
	uint32_t count = desc->len / sizeof(*desc);

	if (!vq->indirect || table->indirect)
		return broken(vq, "an indirect descriptor where none may be");
	if (desc->flags & VRING_DESC_F_NEXT)
		return broken(vq, "an indirect descriptor with a next one");
	if (!count || desc->len % sizeof(*desc) || count > vq->size)
		return broken(vq, "an indirect table of a wrong length");
	table->desc = virtq_area(vq, desc->addr, desc->len, 1);
	table->count = count;
	table->indirect = true;
	return table->desc || broken(vq, "an indirect table outside of RAM");
}

/* The chain from descriptor @i on, in at most as many steps as the queue is long. */
static bool walk(struct virtq *vq, unsigned int i, struct virtq_chain *chain)
{
	struct table table = { vq->desc_at, vq->size, false };

	for (unsigned int steps = 0; steps <= vq->size; steps++) {
		struct vring_desc desc;

		if (i >= table.count)
			return broken(vq, "a descriptor's number is too large");
		virtq_copy(&desc, &table.desc[i], sizeof(desc));
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			if (!enter_indirect(vq, &desc, &table))
				return false;
			i = 0;
			continue;
		}
		if (!virtq_add_buffer(vq, chain, desc.addr, desc.len,
				      desc.flags & VRING_DESC_F_WRITE))
			return false;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return true;
		i = desc.next;
	}
	return broken(vq, "a chain longer than the queue");
}

static bool split_pop(struct virtq *vq, struct virtq_chain *chain)
{
	uint16_t count = pending(vq);

	if (!count)
		count = pending_at_last(vq);
	if (!count)
		return false;
	if (count > vq->size)
		return broken(vq, "the available index jumped");
	if (vq->in_flight == vq->size)
		return broken(vq, "more requests than the queue has room for");
	chain->id = __atomic_load_n(&avail_ring(vq)->ring[vq->avail % vq->size], __ATOMIC_RELAXED);
	chain->slots = 1;
	if (!walk(vq, chain->id, chain))
		return false;
	vq->avail++;
	return true;
}

static void split_unpop(struct virtq *vq, const struct virtq_chain *chain)
{
	(void)chain;
	vq->avail--;
}

/* ---- push ---- */

static void split_push(struct virtq *vq, const struct virtq_chain *chain, uint32_t written)
{
	uint16_t at = vq->used + vq->staged;
	struct vring_used_elem elem = { .id = chain->id, .len = written };
	void *slot = &used_ring(vq)->ring[at % vq->size];

	__builtin_memcpy(slot, &elem, sizeof(elem));
	virtio_wrote(vq->virtio, slot, sizeof(elem));
}

static bool split_flush(struct virtq *vq)
{
	uint16_t old = vq->signalled;
	bool valid = vq->signalled_valid;

	vq->used += vq->staged;
	__atomic_store_n(&used_ring(vq)->idx, vq->used, __ATOMIC_RELEASE);
	virtio_wrote(vq->virtio, &used_ring(vq)->idx, sizeof(used_ring(vq)->idx));
	/* Pairs with the driver's barrier between its wish and its look at the index. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!vq->event_idx)
		return !(__atomic_load_n(&avail_ring(vq)->flags, __ATOMIC_RELAXED) &
			 VRING_AVAIL_F_NO_INTERRUPT);
	vq->signalled = vq->used;
	vq->signalled_valid = true;
	return !valid || vring_need_event(__atomic_load_n(used_event(vq), __ATOMIC_RELAXED),
					  vq->used, old);
}

void virtq_split_resync(struct virtq *vq)
{
	vq->used = __atomic_load_n(&used_ring(vq)->idx, __ATOMIC_ACQUIRE);
	vq->signalled_valid = false;
}

const struct virtq_ops virtq_split = {
	split_map, split_pop, split_unpop, split_push, split_flush,
};
