// SPDX-License-Identifier: GPL-2.0-or-later
/* What split and packed rings have in common: setting up, buffers, budget, state. */
#include <sys/epoll.h>
#include <linux/virtio_config.h>
#include "../ram.h"
#include "queue.h"
#include "virtio.h"

#define QUEUE_VERSION	1

void virtq_reset(struct virtq *vq, uint16_t size)
{
	*vq = (struct virtq) {
		.virtio = vq->virtio,
		.index = vq->index,
		.doorbell = vq->doorbell,
		.ops = &virtq_split,
		.size = size,
		.avail_wrap = true,
		.used_wrap = true,
		.budget = VIRTQ_UNLIMITED,
	};
}

void *virtq_area(struct virtq *vq, uint64_t gpa, uint64_t size, uint64_t align)
{
	return gpa % align ? NULL : ram_dma_at(vq->virtio->ram, gpa, size);
}

static void set_features(struct virtq *vq, uint64_t features)
{
	vq->ops = features & 1ULL << VIRTIO_F_RING_PACKED ? &virtq_packed : &virtq_split;
	vq->event_idx = features & 1ULL << VIRTIO_RING_F_EVENT_IDX;
	vq->indirect = features & 1ULL << VIRTIO_RING_F_INDIRECT_DESC;
}

bool virtq_enable(struct virtq *vq, uint64_t features)
{
	set_features(vq, features);
	if (!vq->size || (vq->ops == &virtq_split && vq->size & (vq->size - 1))) {
		virtio_broken(vq->virtio, "queue %u has a size of %u", vq->index, vq->size);
		return false;
	}
	if (!vq->ops->map(vq)) {
		virtio_broken(vq->virtio, "queue %u is not in RAM, or not aligned", vq->index);
		return false;
	}
	vq->enabled = true;
	return true;
}

bool virtq_add_buffer(struct virtq *vq, struct virtq_chain *chain, uint64_t gpa, uint32_t len,
		      bool write)
{
	unsigned int count = chain->outs + chain->ins;
	void *at;

	if (!write && chain->ins) {
		virtio_broken(vq->virtio, "queue %u: a buffer to read behind one to write",
			      vq->index);
		return false;
	}
	if (!len)
		return true;
	if (count == VIRTQ_SIZE_MAX) {
		virtio_broken(vq->virtio, "queue %u: a chain of too many buffers", vq->index);
		return false;
	}
	at = ram_dma_at(vq->virtio->ram, gpa, len);
	if (!at) {
		virtio_broken(vq->virtio, "queue %u: a buffer outside of RAM: %#llx, %u bytes",
			      vq->index, (unsigned long long)gpa, len);
		return false;
	}
	chain->iov[count] = (struct iovec) { at, len };
	if (write) {
		chain->ins++;
		chain->in_size += len;
	} else {
		chain->outs++;
		chain->out_size += len;
	}
	return true;
}

bool virtq_pop(struct virtq *vq, struct virtq_chain *chain)
{
	if (!vq->enabled || vq->lent || !virtio_runs(vq->virtio) || !vq->budget)
		return false;
	chain->outs = 0;
	chain->ins = 0;
	chain->out_size = 0;
	chain->in_size = 0;
	if (!vq->ops->pop(vq, chain))
		return false;
	vq->in_flight++;
	if (vq->budget != VIRTQ_UNLIMITED)
		vq->budget--;
	return true;
}

void virtq_unpop(struct virtq *vq, const struct virtq_chain *chain)
{
	vq->ops->unpop(vq, chain);
	vq->in_flight--;
	if (vq->budget != VIRTQ_UNLIMITED)
		vq->budget++;
}

/*
 * All that the device could write, whatever it says: a read of a disk that fails has written
 * some of it.
 */
static void wrote_buffers(struct virtq *vq, const struct virtq_chain *chain)
{
	const struct iovec *in = chain->iov + chain->outs;

	for (unsigned int i = 0; i < chain->ins; i++)
		virtio_wrote(vq->virtio, in[i].iov_base, in[i].iov_len);
}

/* What comes back after a reset is nobody's any more, but was written. */
void virtq_push(struct virtq *vq, const struct virtq_chain *chain, size_t written)
{
	wrote_buffers(vq, chain);
	if (!vq->enabled || !vq->in_flight)
		return;
	vq->in_flight--;
	vq->ops->push(vq, chain, written > UINT32_MAX ? UINT32_MAX : written);
	vq->staged++;
}

void virtq_flush(struct virtq *vq)
{
	if (!vq->staged || !vq->enabled)
		return;
	if (vq->ops->flush(vq))
		virtio_interrupt(vq->virtio, vq->index);
	vq->staged = 0;
}

/* ---- the host's kernel ---- */

void virtq_lend(struct virtq *vq)
{
	virtq_flush(vq);
	iothread_unwatch(vq->virtio->io, &vq->doorbell);
	vq->lent = true;
}

void virtq_take_back(struct virtq *vq, uint16_t avail)
{
	vq->lent = false;
	vq->avail = avail;
	virtq_split_resync(vq);
	if (iothread_watch(vq->virtio->io, &vq->doorbell, EPOLLIN))
		virtio_broken(vq->virtio, "the host cannot wait for queue %u", vq->index);
	virtq_again(vq);
}

/* ---- buffers ---- */

unsigned int virtq_slice(const struct iovec *from, unsigned int count, size_t offset, size_t len,
			 struct iovec *iov)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < count && len; i++) {
		size_t left = from[i].iov_len;
		uint8_t *at = from[i].iov_base;

		if (offset >= left) {
			offset -= left;
			continue;
		}
		at += offset;
		left -= offset;
		offset = 0;
		if (left > len)
			left = len;
		len -= left;
		iov[n++] = (struct iovec) { at, left };
	}
	return n;
}

size_t virtq_read(const struct virtq_chain *chain, size_t offset, void *buf, size_t len)
{
	struct iovec part[VIRTQ_SIZE_MAX];
	unsigned int n = virtq_slice(chain->iov, chain->outs, offset, len, part);
	size_t done = 0;

	for (unsigned int i = 0; i < n; i++) {
		virtq_copy((uint8_t *)buf + done, part[i].iov_base, part[i].iov_len);
		done += part[i].iov_len;
	}
	return done;
}

size_t virtq_write(const struct virtq_chain *chain, size_t offset, const void *buf, size_t len)
{
	struct iovec part[VIRTQ_SIZE_MAX];
	unsigned int n = virtq_slice(chain->iov + chain->outs, chain->ins, offset, len, part);
	size_t done = 0;

	for (unsigned int i = 0; i < n; i++) {
		__builtin_memcpy(part[i].iov_base, (const uint8_t *)buf + done, part[i].iov_len);
		done += part[i].iov_len;
	}
	return done;
}

/* ---- state ---- */

void virtq_save(const struct virtq *vq, struct state *state)
{
	size_t start = state_begin(state, "queue", QUEUE_VERSION);

	state_put(state, vq->size);
	state_put(state, vq->desc);
	state_put(state, vq->driver);
	state_put(state, vq->device);
	state_put(state, vq->enabled);
	state_put(state, vq->avail);
	state_put(state, vq->used);
	state_put(state, vq->avail_wrap);
	state_put(state, vq->used_wrap);
	state_end(state, start);
}

void virtq_load(struct virtq *vq, struct state *state, uint64_t features, uint16_t size)
{
	struct state section;
	bool enabled;

	virtq_reset(vq, size);
	state_enter(state, "queue", QUEUE_VERSION, &section);
	vq->size = state_get_max(&section, size);
	vq->desc = state_get(&section);
	vq->driver = state_get(&section);
	vq->device = state_get(&section);
	enabled = state_get_max(&section, 1);
	vq->avail = state_get_max(&section, UINT16_MAX);
	vq->used = state_get_max(&section, UINT16_MAX);
	vq->avail_wrap = state_get_max(&section, 1);
	vq->used_wrap = state_get_max(&section, 1);
	state_leave(state, &section);
	if (!state_good(state) || !enabled)
		return;
	if (!virtq_enable(vq, features) ||
	    (vq->ops == &virtq_packed && (vq->avail >= vq->size || vq->used >= vq->size)))
		state->bad = true;
}
