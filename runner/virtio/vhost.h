/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost-net: the host's kernel serves a pair of queues of a network device and moves frames
 * between guest memory and a tap. The doorbells' eventfds are its kicks, those of interrupts
 * its calls, so frames pass without a thread of this process.
 *
 * It reads rings as hostile as a guest can write them, and reaches the RAM it is told of, no more.
 * What it writes is in no log of written pages: while there is one (virtio_logged()) it does not
 * start, and the queues are this process's.
 *
 * A pair starts with the process's queues as they are and stops with them as vhost left them,
 * so a device changes hands at any time. All in the I/O thread.
 */
#ifndef RUNNER_VIRTIO_VHOST_H
#define RUNNER_VIRTIO_VHOST_H

#include <stdbool.h>
#include "virtio.h"

struct vhost;

/* A descriptor of /dev/vhost-net, or -1 with errno. Before the sandbox. */
int vhost_open(void);

/*
 * For queues @first (to receive) and @first + 1 of @virtio, by @fd of vhost_open(), which stays
 * the caller's. NULL: no memory or descriptors.
 */
struct vhost *vhost_create(struct virtio *virtio, int fd, unsigned int first);
/* It does not run. NULL is fine. */
void vhost_destroy(struct vhost *vhost);

/*
 * Let vhost serve the queues, with the tap @tap. false: it cannot with these features or
 * queues, or will not, and the queues are still the process's.
 */
bool vhost_start(struct vhost *vhost, int tap);
/* The queues are the process's again, and nothing of theirs is touched by another. */
void vhost_stop(struct vhost *vhost);
bool vhost_runs(const struct vhost *vhost);

#endif /* RUNNER_VIRTIO_VHOST_H */
