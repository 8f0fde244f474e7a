// SPDX-License-Identifier: GPL-2.0-or-later
/* Negotiation, activation, notifications and reset; see core.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "../ram.h"
#include "core.h"

#define STATUS_VALID	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |		\
			 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK |	\
			 VIRTIO_CONFIG_S_FAILED)

/* What the rings and the core can do, for every device. */
#define CORE_FEATURES	(VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |		\
			 VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |	\
			 VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) |	\
			 VIRTIO_FEATURE(VIRTIO_F_RING_RESET))

static struct virtio_core *core_of(const struct virtio *virtio)
{
	return (struct virtio_core *)virtio;
}

_Static_assert(offsetof(struct virtio_core, pub) == 0, "a virtio is the start of its core");

/* ---- what devices call ---- */

bool virtio_runs(const struct virtio *virtio)
{
	const struct virtio_core *core = core_of(virtio);

	return core->active && !core->broken && !core->paused;
}

void virtio_wrote(struct virtio *virtio, const void *at, size_t len)
{
	struct virtio_core *core = core_of(virtio);

	if (core->wrote)
		core->wrote(core->memory, ram_gpa(virtio->ram, at), len);
}

bool virtio_logged(const struct virtio *virtio)
{
	return core_of(virtio)->logged;
}

int virtio_call_fd(const struct virtio *virtio, unsigned int queue)
{
	const struct virtio_core *core = core_of(virtio);

	return core->call_fd ? core->call_fd(core->transport, queue) : -1;
}

void virtio_interrupt(struct virtio *virtio, unsigned int queue)
{
	struct virtio_core *core = core_of(virtio);

	atomic_fetch_or(core->isr, VIRTIO_ISR_QUEUE);
	core->interrupt(core->transport, queue);
}

void virtio_config_changed(struct virtio *virtio)
{
	struct virtio_core *core = core_of(virtio);

	core->generation++;
	if (core->changed)
		core->changed(core->transport);
	if (!(core->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	atomic_fetch_or(core->isr, VIRTIO_ISR_CONFIG);
	core->interrupt(core->transport, VIRTIO_CONFIG_INTERRUPT);
}

void virtio_broken(struct virtio *virtio, const char *fmt, ...)
{
	struct virtio_core *core = core_of(virtio);
	char what[160];
	va_list args;

	if (core->broken)
		return;
	core->broken = true;
	core->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (core->active && core->type->broke)
		core->type->broke(core->device);
	virtio_config_changed(virtio);
	if (core->complained)
		return;
	core->complained = true;
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	complain("the guest broke its device %s: %s; it must reset the device", core->type->name,
		 what);
}

/* ---- notifications ---- */

void virtq_again(struct virtq *vq)
{
	uint64_t one = 1;
	ssize_t n = write(vq->doorbell.fd, &one, sizeof(one));

	/* It can fail only when the counter is at its end, and so not 0. */
	(void)n;
}

static void notify(struct virtio_core *core, struct virtq *vq)
{
	if (!virtio_runs(&core->pub) || !vq->enabled || !core->type->notify)
		return;
	vq->budget = vq->size;
	core->type->notify(core->device, vq->index);
	virtq_flush(vq);
	if (!vq->budget)
		virtq_again(vq);
	vq->budget = VIRTQ_UNLIMITED;
}

/* The doorbell's eventfd is readable. */
static void on_doorbell(void *opaque)
{
	struct virtq *vq = opaque;
	uint64_t count;
	ssize_t n = read(vq->doorbell.fd, &count, sizeof(count));

	if (n == sizeof(count))
		notify(core_of(vq->virtio), vq);
}

void virtio_notify(struct virtio_core *core, unsigned int n)
{
	struct virtq *vq = virtio_get_queue(core, n);

	if (vq)
		virtq_again(vq);
}

/* ---- reset and activation ---- */

static void reset(struct virtio_core *core)
{
	if (core->active && core->type->reset)
		core->type->reset(core->device);
	core->active = false;
	core->broken = false;
	core->status = 0;
	core->wanted = 0;
	core->pub.features = core->offered;
	atomic_store(core->isr, 0);
	for (unsigned int i = 0; i < core->pub.queues; i++)
		virtq_reset(&core->pub.queue[i], core->pub.queue_size);
}

/* The driver asks whether its choice will do. */
static bool acceptable(const struct virtio_core *core)
{
	uint64_t wanted = core->wanted;

	if (wanted & ~core->offered || !(wanted & VIRTIO_FEATURE(VIRTIO_F_VERSION_1)))
		return false;
	return !core->type->accept || core->type->accept(core->device, wanted);
}

bool virtio_consistent(const struct virtio_core *core)
{
	const uint8_t ready = VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;

	if (core->status & ~(STATUS_VALID | VIRTIO_CONFIG_S_NEEDS_RESET))
		return false;
	if (core->broken != !!(core->status & VIRTIO_CONFIG_S_NEEDS_RESET))
		return false;
	if (core->active && (core->status & ready) != ready)
		return false;
	return !(core->status & VIRTIO_CONFIG_S_FEATURES_OK) || acceptable(core);
}

static void activate(struct virtio_core *core)
{
	core->active = true;
	if (core->type->activate && !core->type->activate(core->device)) {
		virtio_broken(&core->pub, "it could not be started");
		return;
	}
	for (unsigned int i = 0; i < core->pub.queues; i++)
		virtq_again(&core->pub.queue[i]);
}

void virtio_set_status(struct virtio_core *core, uint8_t status)
{
	uint8_t new = status & STATUS_VALID & ~core->status;

	if (!status) {
		reset(core);
		return;
	}
	if (new & VIRTIO_CONFIG_S_FEATURES_OK && !acceptable(core))
		new &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	if (new & VIRTIO_CONFIG_S_FEATURES_OK)
		core->pub.features = core->wanted;
	core->status |= new & ~VIRTIO_CONFIG_S_DRIVER_OK;
	if (!(new & VIRTIO_CONFIG_S_DRIVER_OK) || !(core->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	core->status |= VIRTIO_CONFIG_S_DRIVER_OK;
	if (!core->broken)
		activate(core);
}

/* ---- features ---- */

uint32_t virtio_get_offered(const struct virtio_core *core, uint32_t word)
{
	return word < 2 ? core->offered >> (word * 32) : 0;
}

uint32_t virtio_get_wanted(const struct virtio_core *core, uint32_t word)
{
	return word < 2 ? core->wanted >> (word * 32) : 0;
}

void virtio_set_wanted(struct virtio_core *core, uint32_t word, uint32_t value)
{
	unsigned int shift = word * 32;

	if (word >= 2 || core->status & VIRTIO_CONFIG_S_FEATURES_OK)
		return;
	core->wanted = (core->wanted & ~(0xffffffffULL << shift)) | (uint64_t)value << shift;
}

/* ---- queues ---- */

struct virtq *virtio_get_queue(struct virtio_core *core, unsigned int n)
{
	return n < core->pub.queues ? &core->pub.queue[n] : NULL;
}

bool virtio_queue_settable(const struct virtio_core *core, const struct virtq *vq)
{
	return core->status & VIRTIO_CONFIG_S_FEATURES_OK && !vq->enabled;
}

/* What is too large would leave the queue's rings too short. */
void virtio_queue_set_size(struct virtq *vq, uint32_t size)
{
	if (size <= vq->virtio->queue_size)
		vq->size = size;
}

void virtio_set_half(uint64_t *gpa, bool high, uint32_t value)
{
	unsigned int shift = high ? 32 : 0;

	*gpa = (*gpa & ~(0xffffffffULL << shift)) | (uint64_t)value << shift;
}

void virtio_queue_enable(struct virtio_core *core, struct virtq *vq)
{
	if (virtio_queue_settable(core, vq) && !core->broken)
		virtq_enable(vq, core->wanted);
}

void virtio_queue_stop(struct virtio_core *core, struct virtq *vq)
{
	if (core->active && vq->enabled && core->type->queue_reset)
		core->type->queue_reset(core->device, vq->index);
	virtq_reset(vq, core->pub.queue_size);
}

void virtio_queue_reset(struct virtio_core *core, struct virtq *vq)
{
	if (core->status & VIRTIO_CONFIG_S_FEATURES_OK &&
	    virtio_has(&core->pub, VIRTIO_F_RING_RESET))
		virtio_queue_stop(core, vq);
}

/* ---- configuration ---- */

void virtio_config_read(const struct virtio_core *core, size_t offset, void *data, size_t len)
{
	size_t size = core->type->config_size;

	memset(data, 0, len);
	if (offset >= size)
		return;
	memcpy(data, (uint8_t *)core->pub.config + offset,
	       len < size - offset ? len : size - offset);
}

void virtio_config_write(struct virtio_core *core, size_t offset, const void *data, size_t len)
{
	size_t size = core->type->config_size;

	if (core->type->config_write && offset < size && len <= size - offset)
		core->type->config_write(core->device, offset, data, len);
}

uint32_t virtio_isr(struct virtio_core *core, uint32_t clear)
{
	return atomic_fetch_and(core->isr, ~clear);
}

void virtio_rerouted(struct virtio_core *core, unsigned int n)
{
	if (core->active && core->type->rerouted)
		core->type->rerouted(core->device, n);
}

void virtio_refresh(struct virtio_core *core)
{
	if (core->type->refresh)
		core->type->refresh(core->device);
}

/* ---- making ---- */

static bool add_queues(struct virtio_core *core)
{
	struct virtio *pub = &core->pub;

	pub->queue = calloc(pub->queues, sizeof(*pub->queue));
	if (!pub->queue)
		return false;
	for (unsigned int i = 0; i < pub->queues; i++)
		pub->queue[i].doorbell.fd = -1;
	for (unsigned int i = 0; i < pub->queues; i++) {
		struct virtq *vq = &pub->queue[i];

		vq->virtio = pub;
		vq->index = i;
		vq->doorbell = (struct iowatch) { eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
						  on_doorbell, vq };
		if (vq->doorbell.fd < 0 || iothread_watch(pub->io, &vq->doorbell, EPOLLIN))
			return false;
	}
	return true;
}

void virtio_offer_packed(struct virtio_core *core)
{
	core->offered |= VIRTIO_FEATURE(VIRTIO_F_RING_PACKED);
}

struct virtio_core *virtio_create(const struct virtio_type *type, void *backend,
				  const struct ram *ram, struct iothread *io)
{
	struct virtio_core *core = calloc(1, sizeof(*core));

	if (!core)
		return NULL;
	core->type = type;
	core->isr = &core->own_isr;
	core->pub = (struct virtio) { .ram = ram, .io = io, .features = type->features,
				      .queues = type->queues, .queue_size = type->queue_size };
	core->pub.config = calloc(1, type->config_size + 1);
	if (core->pub.config)
		core->device = type->create(&core->pub, backend);
	core->offered = core->pub.features | CORE_FEATURES;
	if (!core->device || !add_queues(core)) {
		virtio_destroy(core);
		return NULL;
	}
	reset(core);
	return core;
}

void virtio_destroy(struct virtio_core *core)
{
	if (!core)
		return;
	/* The first: it may have lent queues, which come back with their doorbells. */
	if (core->device)
		core->type->destroy(core->device);
	for (unsigned int i = 0; core->pub.queue && i < core->pub.queues; i++) {
		struct virtq *vq = &core->pub.queue[i];

		if (vq->doorbell.fd < 0)
			continue;
		iothread_unwatch(core->pub.io, &vq->doorbell);
		close(vq->doorbell.fd);
	}
	free(core->pub.queue);
	free(core->pub.config);
	free(core);
}
