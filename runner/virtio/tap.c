// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A tap of the host. Facts: Linux kernel documentation, "Universal TUN/TAP device driver",
 * and linux/if_tun.h.
 *
 * Frames have a virtio header of the size that drivers of virtio 1.x use, so that checksums
 * and segmentation are left to whoever does them at the end. Without rights a tap can be
 * used that root made for this user: `ip tuntap add NAME mode tap user USER`.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/if_tun.h>
#include "netdev.h"
#include "vhost.h"

#define TUN_FILE	"/dev/net/tun"
#define HAS(features, bit)	((features) & 1ULL << (bit))

static enum status complain_file(const struct netdev *dev)
{
	bool missing = errno == ENOENT || errno == ENODEV || errno == ENXIO;

	complain("net %s: " TUN_FILE ": %s; %s", dev->name, strerror(errno),
		 missing ? "load the module tun" : "let this user open it");
	return missing ? STATUS_NO_DEVICE : STATUS_NO_PERMISSION;
}

static enum status complain_tap(const struct netdev *dev, const char *name)
{
	const char *of = name ? name : "a new tap";

	switch (errno) {
	case EPERM:
		complain("net %s: %s is not this user's; "
			 "as root: ip tuntap add %s mode tap user NAME", dev->name, of,
			 name ? name : "TAP");
		return STATUS_NO_PERMISSION;
	case EBUSY:
		complain("net %s: %s is in use; end what uses it, or name another", dev->name, of);
		return STATUS_BUSY;
	case EINVAL:
		complain("net %s: %s is no tap, or one made for another number of queues; "
			 "name another, or make it with 'multi_queue' for queues=", dev->name, of);
		return STATUS_BAD_FILE;
	default:
		complain("net %s: %s cannot be had: %s; name another", dev->name, of,
			 strerror(errno));
		return STATUS_HOST;
	}
}

static enum status open_queue(struct netdev *dev, unsigned int i, struct ifreq *request)
{
	bool named = request->ifr_name[0];
	int size = NETDEV_HEADER;

	dev->fd[i] = open(TUN_FILE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (dev->fd[i] < 0)
		return complain_file(dev);
	request->ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
			     (dev->pairs > 1 ? IFF_MULTI_QUEUE : 0);
	if (ioctl(dev->fd[i], TUNSETIFF, request) ||
	    ioctl(dev->fd[i], TUNSETVNETHDRSZ, &size))
		return complain_tap(dev, named ? request->ifr_name : NULL);
	return STATUS_OK;
}

enum status netdev_open_tap(struct netdev *dev, const char *name)
{
	struct ifreq request = { 0 };
	enum status status = STATUS_OK;

	dev->kind = NETDEV_TAP;
	if (name && (!*name || strlen(name) >= IFNAMSIZ || strpbrk(name, "/%: "))) {
		complain("net %s: not a name of 1 to %d letters; name a tap", dev->name,
			 IFNAMSIZ - 1);
		return STATUS_USAGE;
	}
	if (name)
		strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	/* The kernel completes the name with the first queue. */
	for (unsigned int i = 0; !status && i < dev->pairs; i++)
		status = open_queue(dev, i, &request);
	return status;
}

/* ---- vhost ---- */

static enum status refuse_vhost(const struct netdev *dev)
{
	bool refused = errno == EACCES || errno == EPERM;

	complain("net %s: /dev/vhost-net: %s; %s, or leave vhost=on out", dev->name,
		 strerror(errno), refused ? "let this user open it" : "load the module vhost_net");
	return refused ? STATUS_NO_PERMISSION : STATUS_NO_DEVICE;
}

enum status netdev_open_vhost(struct netdev *dev)
{
	bool on = netdev_vhost_is(dev, "on");

	if (on && dev->kind != NETDEV_TAP) {
		complain("--net %s: only a tap can have vhost; leave it out", dev->name);
		return STATUS_USAGE;
	}
	/* vhost knows no limits. */
	if (dev->kind != NETDEV_TAP || netdev_vhost_is(dev, "off") || dev->pps || dev->bps)
		return STATUS_OK;
	for (unsigned int i = 0; i < dev->pairs; i++) {
		dev->vhost[i] = vhost_open();
		if (dev->vhost[i] < 0 && on)
			return refuse_vhost(dev);
	}
	return STATUS_OK;
}

/* ---- what a driver changes ---- */

void netdev_tap_offloads(const struct netdev *dev, uint64_t features)
{
	unsigned int offloads = 0;

	if (dev->kind != NETDEV_TAP)
		return;
	if (HAS(features, VIRTIO_NET_F_GUEST_CSUM)) {
		offloads |= TUN_F_CSUM;
		offloads |= HAS(features, VIRTIO_NET_F_GUEST_TSO4) ? TUN_F_TSO4 : 0;
		offloads |= HAS(features, VIRTIO_NET_F_GUEST_TSO6) ? TUN_F_TSO6 : 0;
		/* It goes with one of the others only. */
		if (offloads & (TUN_F_TSO4 | TUN_F_TSO6) &&
		    HAS(features, VIRTIO_NET_F_GUEST_ECN))
			offloads |= TUN_F_TSO_ECN;
	}
	/* A tap without them gives what the driver can bear in any case. */
	ioctl(dev->fd[0], TUNSETOFFLOAD, offloads);
}

bool netdev_tap_pairs(const struct netdev *dev, unsigned int pairs)
{
	if (dev->kind != NETDEV_TAP || dev->pairs == 1)
		return true;
	for (unsigned int i = 0; i < dev->pairs; i++) {
		struct ifreq request = {
			.ifr_flags = i < pairs ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE,
		};

		/* It may be so already, which is an error of this call's. */
		if (ioctl(dev->fd[i], TUNSETQUEUE, &request) && errno != EINVAL)
			return false;
	}
	return true;
}
