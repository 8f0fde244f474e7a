// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See vhost.h. Facts: linux/vhost.h, and Linux kernel documentation.
 *
 * The kernel has a thread for each descriptor once it has an owner. Since Linux 6.4 that is one of
 * this process, and a process with threads may not enter a user namespace: so it gets
 * its owner with the first start, behind the sandbox.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/vhost.h>
#include <linux/virtio_net.h>
#include "../ram.h"
#include "vhost.h"

#define VHOST_FILE	"/dev/vhost-net"
/* Of a pair: to receive, to send. */
#define QUEUES		2

/* What changes a ring or a frame's header, of which vhost must know. */
#define RELEVANT	(VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |		\
			 VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |	\
			 VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) |	\
			 VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) |		\
			 VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF))

struct vhost_queue {
	struct vhost *vhost;
	unsigned int number;		/* the device's */
	struct virtq *vq;		/* once it has started */
	struct iowatch call;		/* where a transport has no eventfd of the interrupt's */
	struct iowatch error;
};

struct vhost {
	struct virtio *virtio;
	int fd;
	bool runs;
	struct vhost_queue queue[QUEUES];
};

int vhost_open(void)
{
	return open(VHOST_FILE, O_RDWR | O_CLOEXEC);
}

bool vhost_runs(const struct vhost *vhost)
{
	return vhost && vhost->runs;
}

/* ---- events ---- */

static bool take(const struct iowatch *watch)
{
	uint64_t count;

	return read(watch->fd, &count, sizeof(count)) == sizeof(count);
}

static void on_call(void *opaque)
{
	struct vhost_queue *queue = opaque;

	if (take(&queue->call))
		virtio_interrupt(queue->vhost->virtio, queue->number);
}

/* The core has the device stop, and with it this. */
static void on_error(void *opaque)
{
	struct vhost_queue *queue = opaque;

	if (take(&queue->error))
		virtio_broken(queue->vhost->virtio, "queue %u: vhost-net cannot read its ring",
			      queue->number);
}

/* ---- what vhost is told ---- */

static int set_features(const struct vhost *vhost)
{
	uint64_t wanted = vhost->virtio->features & RELEVANT, offered;

	if (ioctl(vhost->fd, VHOST_GET_FEATURES, &offered))
		return -errno;
	if (wanted & ~offered)
		return -EOPNOTSUPP;
	return ioctl(vhost->fd, VHOST_SET_FEATURES, &wanted) ? -errno : 0;
}

/* RAM, as chains may reach it: no firmware. */
static int set_memory(const struct vhost *vhost)
{
	static const unsigned int parts[] = { RAM_LOW, RAM_ABOVE };
	const struct ram *ram = vhost->virtio->ram;
	_Alignas(struct vhost_memory) uint8_t room[sizeof(struct vhost_memory) +
						   2 * sizeof(struct vhost_memory_region)] = { 0 };
	struct vhost_memory *table = (struct vhost_memory *)room;

	for (unsigned int i = 0; i < 2; i++) {
		const struct ram_part *part = &ram->part[parts[i]];

		if (part->size)
			table->regions[table->nregions++] = (struct vhost_memory_region) {
				.guest_phys_addr = part->gpa,
				.memory_size = part->size,
				.userspace_addr = (uintptr_t)part->host,
			};
	}
	return ioctl(vhost->fd, VHOST_SET_MEM_TABLE, table) ? -errno : 0;
}

/* The transport's eventfd, which may be another each time; else ours. */
static int call_fd(const struct vhost_queue *queue)
{
	int fd = virtio_call_fd(queue->vhost->virtio, queue->number);

	return fd < 0 ? queue->call.fd : fd;
}

static int set_file(const struct vhost_queue *queue, unsigned long request, int fd)
{
	struct vhost_vring_file file = { queue - queue->vhost->queue, fd };

	return ioctl(queue->vhost->fd, request, &file) ? -errno : 0;
}

static int set_ring(const struct vhost_queue *queue)
{
	const struct virtq *vq = queue->vq;
	unsigned int n = queue - queue->vhost->queue;
	struct vhost_vring_state size = { n, vq->size }, base = { n, vq->avail };
	struct vhost_vring_addr addr = {
		.index = n,
		.desc_user_addr = (uintptr_t)vq->desc_at,
		.avail_user_addr = (uintptr_t)vq->driver_at,
		.used_user_addr = (uintptr_t)vq->device_at,
	};
	int fd = queue->vhost->fd, err;

	if (ioctl(fd, VHOST_SET_VRING_NUM, &size) || ioctl(fd, VHOST_SET_VRING_BASE, &base) ||
	    ioctl(fd, VHOST_SET_VRING_ADDR, &addr))
		return -errno;
	err = set_file(queue, VHOST_SET_VRING_CALL, call_fd(queue));
	if (!err)
		err = set_file(queue, VHOST_SET_VRING_ERR, queue->error.fd);
	return err ? err : set_file(queue, VHOST_SET_VRING_KICK, vq->doorbell.fd);
}

static int set_owner(const struct vhost *vhost)
{
	/* A guest that restarted had it done. */
	if (ioctl(vhost->fd, VHOST_SET_OWNER, NULL) && errno != EBUSY)
		return -errno;
	return 0;
}

/* ---- changing hands ---- */

/* The queue's place in its ring is where vhost stopped. */
static void take_back(struct vhost_queue *queue)
{
	struct vhost_vring_state base = { .index = queue - queue->vhost->queue };

	set_file(queue, VHOST_NET_SET_BACKEND, VHOST_FILE_UNBIND);
	set_file(queue, VHOST_SET_VRING_KICK, VHOST_FILE_UNBIND);
	set_file(queue, VHOST_SET_VRING_CALL, VHOST_FILE_UNBIND);
	if (!ioctl(queue->vhost->fd, VHOST_GET_VRING_BASE, &base))
		virtq_take_back(queue->vq, base.num);
	/* A call that was on its way. */
	on_call(queue);
}

static int lend(struct vhost_queue *queue, int tap)
{
	int err = set_ring(queue);

	if (err)
		return err;
	virtq_lend(queue->vq);
	err = set_file(queue, VHOST_NET_SET_BACKEND, tap);
	if (err)
		take_back(queue);
	return err;
}

static bool startable(const struct vhost *vhost)
{
	return !virtio_logged(vhost->virtio) && vhost->queue[0].vq->enabled &&
	       vhost->queue[1].vq->enabled;
}

bool vhost_start(struct vhost *vhost, int tap)
{
	int err;

	if (vhost->runs)
		return true;
	for (unsigned int i = 0; i < QUEUES; i++)
		vhost->queue[i].vq = &vhost->virtio->queue[vhost->queue[i].number];
	if (!startable(vhost))
		return false;
	/* The owner behind what it may refuse: it brings a thread. */
	err = set_features(vhost);
	if (!err)
		err = set_owner(vhost);
	if (!err)
		err = set_memory(vhost);
	if (!err)
		err = lend(&vhost->queue[0], tap);
	if (err)
		return false;
	err = lend(&vhost->queue[1], tap);
	if (err)
		take_back(&vhost->queue[0]);
	vhost->runs = !err;
	return !err;
}

void vhost_stop(struct vhost *vhost)
{
	if (!vhost_runs(vhost))
		return;
	vhost->runs = false;
	for (unsigned int i = 0; i < QUEUES; i++)
		take_back(&vhost->queue[i]);
}

/* ---- life ---- */

static bool add_watch(struct vhost *vhost, struct iowatch *watch, void (*ready)(void *),
		      struct vhost_queue *queue)
{
	*watch = (struct iowatch) { eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), ready, queue };
	return watch->fd >= 0 && !iothread_watch(vhost->virtio->io, watch, EPOLLIN);
}

static void remove_watch(struct vhost *vhost, struct iowatch *watch)
{
	if (watch->fd < 0)
		return;
	iothread_unwatch(vhost->virtio->io, watch);
	close(watch->fd);
}

struct vhost *vhost_create(struct virtio *virtio, int fd, unsigned int first)
{
	struct vhost *vhost = calloc(1, sizeof(*vhost));
	bool good = true;

	if (!vhost)
		return NULL;
	vhost->virtio = virtio;
	vhost->fd = fd;
	for (unsigned int i = 0; i < QUEUES; i++) {
		struct vhost_queue *queue = &vhost->queue[i];

		queue->vhost = vhost;
		queue->number = first + i;
		good = add_watch(vhost, &queue->call, on_call, queue) && good;
		good = add_watch(vhost, &queue->error, on_error, queue) && good;
	}
	if (good)
		return vhost;
	vhost_destroy(vhost);
	return NULL;
}

void vhost_destroy(struct vhost *vhost)
{
	for (unsigned int i = 0; vhost && i < QUEUES; i++) {
		remove_watch(vhost, &vhost->queue[i].call);
		remove_watch(vhost, &vhost->queue[i].error);
	}
	free(vhost);
}
