/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtqueue: the only code that touches a ring. Facts: Virtual I/O Device (VIRTIO)
 * Specification 1.2, "Virtqueues", "Split Virtqueues", "Packed Virtqueues".
 *
 * A device pops a chain, uses its buffers, pushes it back, and at the end flushes.
 * What the driver wrote is read once and checked; what is wrong breaks the device
 * (virtio_broken()) and looks to it like an empty queue. All in the I/O thread.
 *
 * Invariants: in_flight chains are popped and not yet pushed, at most size; staged of
 * the pushed ones are not yet flushed; the rings' pointers are of RAM while enabled.
 */
#ifndef RUNNER_VIRTIO_QUEUE_H
#define RUNNER_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <linux/virtio_ring.h>
#include "../iothread.h"
#include "../state.h"

/* Bounds a chain, and with it what one request can hold of our memory and time. */
#define VIRTQ_SIZE_MAX	256

/* The budget outside of a notification: there the device sees to an end. */
#define VIRTQ_UNLIMITED	UINT32_MAX

struct virtio;
struct virtq;

/* A request of the driver: buffers to read from, then buffers to write to. */
struct virtq_chain {
	uint16_t id;			/* the driver's name for it */
	uint16_t slots;			/* of the ring that it takes */
	unsigned int outs, ins;		/* iov[0..outs) to read, iov[outs..outs+ins) to write */
	size_t out_size, in_size;	/* bytes of each */
	struct iovec iov[VIRTQ_SIZE_MAX];
};

/* What differs between split and packed rings. */
struct virtq_ops {
	/* Are the areas where the driver says usable? Sets the pointers. */
	bool (*map)(struct virtq *vq);
	/* Another chain, with notifications on if there is none. */
	bool (*pop)(struct virtq *vq, struct virtq_chain *chain);
	void (*unpop)(struct virtq *vq, const struct virtq_chain *chain);
	void (*push)(struct virtq *vq, const struct virtq_chain *chain, uint32_t written);
	/* Publish what is staged; does the driver want an interrupt for it? */
	bool (*flush)(struct virtq *vq);
};

extern const struct virtq_ops virtq_split;
extern const struct virtq_ops virtq_packed;

struct virtq {
	struct virtio *virtio;
	const struct virtq_ops *ops;
	unsigned int index;

	/* What the driver sets before it enables the queue. */
	uint16_t size;
	uint64_t desc, driver, device;	/* gpa of the three areas */
	bool enabled;

	/* Of an enabled queue. */
	bool event_idx, indirect;
	void *desc_at, *driver_at, *device_at;
	uint16_t avail, used;		/* where the next pop and push are */
	bool avail_wrap, used_wrap;	/* packed: the ring's turn there */
	uint16_t signalled;		/* used at the last question for an interrupt */
	bool signalled_valid;
	uint16_t in_flight;
	uint16_t staged;
	/* Packed: slots of what is in flight and of what is staged, whose first comes last. */
	uint16_t slots, staged_slots;
	struct vring_packed_desc *first;
	uint16_t first_flags;
	unsigned int budget;		/* pops left in a notification */
	bool lent;			/* to the host's kernel: it is touched by nobody here */

	struct iowatch doorbell;	/* an eventfd */
};

/*
 * The next chain, false when there is none; then a notification will follow when there
 * is one. A notification gives at most a queue's size of chains: what is left is the
 * next notification's, so that no driver keeps the thread for itself.
 */
bool virtq_pop(struct virtq *vq, struct virtq_chain *chain);

/* Undo the last pop: the next one gives the same chain again. */
void virtq_unpop(struct virtq *vq, const struct virtq_chain *chain);

/* Give a chain back, with the first @written bytes of its buffers to write to written. */
void virtq_push(struct virtq *vq, const struct virtq_chain *chain, size_t written);

/* Show the driver, all at once, what was pushed. After a notification this is done for you. */
void virtq_flush(struct virtq *vq);

/* Look at the queue again: a notification follows, as if the driver had sent it. */
void virtq_again(struct virtq *vq);

/*
 * Copy bytes from the buffers to read or into those to write, starting @offset bytes
 * into them. Returns how many there were.
 */
size_t virtq_read(const struct virtq_chain *chain, size_t offset, void *buf, size_t len);
size_t virtq_write(const struct virtq_chain *chain, size_t offset, const void *buf, size_t len);

/*
 * The part of the buffers from @offset, @len bytes of it, as iovecs in @iov, which has
 * room for VIRTQ_SIZE_MAX. Returns how many; fewer bytes if there are not so many.
 */
unsigned int virtq_slice(const struct iovec *from, unsigned int count, size_t offset, size_t len,
			 struct iovec *iov);

/*
 * Let the host's kernel (vhost) have a split queue of which nothing is in flight, with its
 * doorbell; and take it back when the kernel has stopped at @avail. Then a notification follows.
 */
void virtq_lend(struct virtq *vq);
void virtq_take_back(struct virtq *vq, uint16_t avail);

/* ---- for the core ---- */

/* The queue as after a reset; @size is the largest. */
void virtq_reset(struct virtq *vq, uint16_t size);
/* Check what the driver set and take it. false: the device is broken. */
bool virtq_enable(struct virtq *vq, uint64_t features);
void virtq_save(const struct virtq *vq, struct state *state);
/* @features are the negotiated ones, @size the largest. */
void virtq_load(struct virtq *vq, struct state *state, uint64_t features, uint16_t size);

/* ---- for the two kinds of ring ---- */

/* What was used is what the ring says: another has written it. */
void virtq_split_resync(struct virtq *vq);

/* The start and size of a ring's part as the process sees it, aligned; NULL: not RAM. */
void *virtq_area(struct virtq *vq, uint64_t gpa, uint64_t size, uint64_t align);

/*
 * Append a descriptor's buffer. false: the device is broken.
 * A buffer to read behind one to write is against the specification.
 */
bool virtq_add_buffer(struct virtq *vq, struct virtq_chain *chain, uint64_t gpa, uint32_t len,
		      bool write);

/* One look at what a driver may change at any time. */
static inline void virtq_copy(void *to, const void *from, size_t size)
{
	__builtin_memcpy(to, from, size);
	__asm__ volatile("" : : : "memory");
}

#endif /* RUNNER_VIRTIO_QUEUE_H */
