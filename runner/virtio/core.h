/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state machine that all virtio devices share, as the transports drive it. Facts:
 * VIRTIO Specification 1.2, "Basic Facilities of a Virtio Device".
 *
 * Everything here runs in the I/O thread (a transport's register is an iothread_call()),
 * except virtio_isr().
 *
 * Invariants: active implies DRIVER_OK, and so FEATURES_OK; a queue is enabled only with
 * FEATURES_OK; broken implies NEEDS_RESET, and stays until the reset.
 */
#ifndef RUNNER_VIRTIO_CORE_H
#define RUNNER_VIRTIO_CORE_H

#include <stdatomic.h>
#include "virtio.h"

/* What interrupts are for, as the ISR's bits have them: a queue, the configuration. */
#define VIRTIO_ISR_QUEUE	1
#define VIRTIO_ISR_CONFIG	2

#define VIRTIO_CONFIG_INTERRUPT	UINT32_MAX

struct virtio_core {
	struct virtio pub;
	const struct virtio_type *type;
	void *device;

	uint64_t offered;		/* all that the driver may take */
	uint64_t wanted;		/* what it wrote, fixed with FEATURES_OK */
	uint8_t status;
	uint8_t generation;		/* of the configuration */
	bool active;
	bool broken;
	bool complained;		/* one line a machine, not a reset */
	bool paused;
	atomic_uint *isr;		/* own_isr, or where the transport shows it */
	atomic_uint own_isr;

	/* As device_env's; NULL: nobody wants to know. Its opaque is the memory. */
	void (*wrote)(void *memory, uint64_t gpa, uint64_t len);
	void *memory;
	bool logged;

	/* The transport: raise @what, a queue or VIRTIO_CONFIG_INTERRUPT. */
	void (*interrupt)(void *transport, unsigned int what);
	/* Status or configuration changed, and no register was written. NULL: no matter. */
	void (*changed)(void *transport);
	/* The eventfd that raises queue @queue, or -1. NULL: there are none. */
	int (*call_fd)(void *transport, unsigned int queue);
	void *transport;
};

/* A device of @type on @backend, in its reset state; NULL: no memory or descriptors. */
struct virtio_core *virtio_create(const struct virtio_type *type, void *backend,
				  const struct ram *ram, struct iothread *io);
void virtio_destroy(struct virtio_core *core);
/* Behind the creation: let the driver choose packed rings, which most then do. */
void virtio_offer_packed(struct virtio_core *core);

/* ---- registers, for transports ---- */

/* Words of 32 bits; beyond what there is: zero, ignored. */
uint32_t virtio_get_offered(const struct virtio_core *core, uint32_t word);
uint32_t virtio_get_wanted(const struct virtio_core *core, uint32_t word);
void virtio_set_wanted(struct virtio_core *core, uint32_t word, uint32_t value);
void virtio_set_status(struct virtio_core *core, uint8_t status);

/* @n may be anything: a queue that is not there is NULL. */
struct virtq *virtio_get_queue(struct virtio_core *core, unsigned int n);
/* May its size and addresses be set now? */
bool virtio_queue_settable(const struct virtio_core *core, const struct virtq *vq);
/* Of such a queue; a size that is too large is not taken. */
void virtio_queue_set_size(struct virtq *vq, uint32_t size);
/* One half of the address of an area, which drivers write by 32 bits. */
void virtio_set_half(uint64_t *gpa, bool high, uint32_t value);
void virtio_queue_enable(struct virtio_core *core, struct virtq *vq);
void virtio_queue_reset(struct virtio_core *core, struct virtq *vq);
/* The same without VIRTIO_F_RING_RESET, for a transport whose queues can be stopped. */
void virtio_queue_stop(struct virtio_core *core, struct virtq *vq);
/* A notification that came by a register. */
void virtio_notify(struct virtio_core *core, unsigned int n);

/* Bytes outside read as zero and are not written. */
void virtio_config_read(const struct virtio_core *core, size_t offset, void *data, size_t len);
void virtio_config_write(struct virtio_core *core, size_t offset, const void *data, size_t len);

/* Any thread: the bits that are set; @clear of them no longer. */
uint32_t virtio_isr(struct virtio_core *core, uint32_t clear);

/* The user says that what is behind the device may have changed. */
void virtio_refresh(struct virtio_core *core);

/* Do status and features go together as the invariants say? For what comes from outside. */
bool virtio_consistent(const struct virtio_core *core);

/* The interrupt of queue @n goes to another eventfd from now on. */
void virtio_rerouted(struct virtio_core *core, unsigned int n);

/* ---- pause and state ---- */

/* A log of written pages is to begin, or has ended. */
void virtio_set_logged(struct virtio_core *core, bool logged);

/* After it no guest memory changes and no request is in flight, until resume. */
void virtio_quiesce(struct virtio_core *core);
void virtio_resume(struct virtio_core *core);

/* Of a quiesced device; and into one that is as created, and of the same type and backend. */
void virtio_save(struct virtio_core *core, struct state *state);
void virtio_load(struct virtio_core *core, struct state *state);

#endif /* RUNNER_VIRTIO_CORE_H */
