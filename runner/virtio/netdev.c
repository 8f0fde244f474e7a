// SPDX-License-Identifier: GPL-2.0-or-later
/* The words behind --net, and what each kind of network is opened by. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/if_tun.h>
#include "netdev.h"

/* A socket holds a few frames of the largest kind, or some hundred of the usual. */
#define SOCKET_BUFFER	(1 << 20)

static const struct word_row net_words[] = {
	{ "mac", WORD_TEXT, offsetof(struct netdev, mac_text), NETDEV_MAC_TEXT, NETDEV_MAC_TEXT },
	{ "queues", WORD_COUNT, offsetof(struct netdev, pairs), 1, NETDEV_PAIRS_MAX },
	{ "mtu", WORD_COUNT, offsetof(struct netdev, mtu), NETDEV_MTU_MIN, NETDEV_MTU_MAX },
	{ "vhost", WORD_TEXT, offsetof(struct netdev, vhost_text), 2, NETDEV_VHOST_TEXT },
	{ "pps", WORD_COUNT64, offsetof(struct netdev, pps), 1, 1ULL << 40 },
	{ "bps", WORD_COUNT64, offsetof(struct netdev, bps), 1, 1ULL << 50 },
	{ "loopback", WORD_FLAG, offsetof(struct netdev, loopback), 0, 0 },
	{ "hostfwd", WORD_LIST, offsetof(struct netdev, hostfwd), 0, WORD_LIST_MAX },
};

static const struct word_table net_table = {
	"net", net_words, sizeof(net_words) / sizeof(net_words[0]),
};

/* ---- sockets ---- */

static int connect_as(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	if (fd < 0 || !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

/* A switch keeps frames apart; passt, and QEMU's stream back end, do not. */
static enum status open_path(struct netdev *dev, const char *path)
{
	struct sockaddr_un address;

	if (!*path || strlen(path) >= sizeof(address.sun_path)) {
		complain("net %s: not a path of 1 to %zu bytes; give the socket's", dev->name,
			 sizeof(address.sun_path) - 1);
		return STATUS_USAGE;
	}
	dev->kind = NETDEV_MESSAGES;
	dev->fd[0] = connect_as(path, SOCK_SEQPACKET);
	if (dev->fd[0] < 0 && errno == EPROTOTYPE) {
		dev->kind = NETDEV_STREAM;
		dev->fd[0] = connect_as(path, SOCK_STREAM);
	}
	if (dev->fd[0] >= 0)
		return STATUS_OK;
	complain("net %s: cannot connect: %s; start 'vmm switch %s' first", dev->name,
		 strerror(errno), path);
	return STATUS_BAD_FILE;
}

static enum status refuse_fd(const struct netdev *dev)
{
	complain("net %s: neither a tap with vnet headers nor a connected socket; give one",
		 dev->name);
	return STATUS_BAD_FILE;
}

static enum status check_tap(struct netdev *dev)
{
	struct ifreq request = { 0 };
	int size = NETDEV_HEADER;

	dev->kind = NETDEV_TAP;
	if (ioctl(dev->fd[0], TUNGETIFF, &request) || !(request.ifr_flags & IFF_TAP) ||
	    !(request.ifr_flags & IFF_VNET_HDR) || ioctl(dev->fd[0], TUNSETVNETHDRSZ, &size))
		return refuse_fd(dev);
	return STATUS_OK;
}

static enum status check_fd(struct netdev *dev)
{
	socklen_t len = sizeof(int);
	struct stat st;
	int type;

	if (fstat(dev->fd[0], &st))
		return refuse_fd(dev);
	if (S_ISCHR(st.st_mode))
		return check_tap(dev);
	if (!S_ISSOCK(st.st_mode) ||
	    getsockopt(dev->fd[0], SOL_SOCKET, SO_TYPE, &type, &len))
		return refuse_fd(dev);
	dev->kind = type == SOCK_STREAM ? NETDEV_STREAM : NETDEV_MESSAGES;
	return STATUS_OK;
}

/* ---- the whole ---- */

static enum status open_kind(struct netdev *dev)
{
	const char *name = dev->name;

	if (words_fd(name, &dev->fd[0]))
		return check_fd(dev);
	if (!strcmp(name, "user"))
		return netdev_open_user(dev);
	if (!strcmp(name, "passt"))
		return netdev_open_passt(dev);
	if (!strcmp(name, "tap"))
		return netdev_open_tap(dev, NULL);
	if (!strncmp(name, "tap=", 4))
		return netdev_open_tap(dev, name + 4);
	if (!strncmp(name, "socket=", 7))
		return open_path(dev, name + 7);
	complain("--net %s: unknown; use user, passt, tap, tap=NAME, socket=PATH or fd=N", name);
	return STATUS_USAGE;
}

bool netdev_vhost_is(const struct netdev *dev, const char *word)
{
	return !strncmp(dev->vhost_text, word, NETDEV_VHOST_TEXT);
}

static const char *check_vhost(const struct netdev *dev)
{
	bool on = netdev_vhost_is(dev, "on");

	if (on && (dev->pps || dev->bps))
		return "vhost knows no limits; leave it out, or pps and bps";
	if (!dev->vhost_text[0] || on || netdev_vhost_is(dev, "off") ||
	    netdev_vhost_is(dev, "auto"))
		return NULL;
	return "vhost is on, off or auto; write one of them";
}

/* Words that only one kind knows. */
static enum status check_words(const struct netdev *dev)
{
	bool user = !strcmp(dev->name, "user") || !strcmp(dev->name, "passt");
	const char *wrong = check_vhost(dev);

	if (!wrong && !user && (dev->loopback || dev->hostfwd.count))
		wrong = "loopback and hostfwd are for user and passt; leave them out";
	else if (!wrong && dev->pairs > 1 && strncmp(dev->name, "tap", 3))
		wrong = "only a tap can have several queues; leave queues out";
	if (!wrong)
		return STATUS_OK;
	complain("--net %s: %s", dev->name, wrong);
	return STATUS_USAGE;
}

static enum status prepare(struct netdev *dev)
{
	int size = SOCKET_BUFFER;

	for (unsigned int i = 0; i < dev->pairs; i++) {
		int flags = fcntl(dev->fd[i], F_GETFL);

		if (flags < 0 || fcntl(dev->fd[i], F_SETFL, flags | O_NONBLOCK)) {
			complain("net %s: %s; give an open descriptor", dev->name, strerror(errno));
			return STATUS_BAD_FILE;
		}
	}
	/* A wish: the host may allow less. */
	if (dev->kind != NETDEV_TAP)
		setsockopt(dev->fd[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (dev->kind != NETDEV_STREAM)
		return netdev_open_vhost(dev);
	dev->in = calloc(1, sizeof(*dev->in));
	dev->out = calloc(1, sizeof(*dev->out));
	if (dev->in && dev->out)
		return netdev_open_vhost(dev);
	complain("no memory for a network; free some");
	return STATUS_HOST;
}

enum status netdev_open(const char *text, struct netdev **out)
{
	/* Machines have at most a handful: their number is part of derived addresses. */
	static unsigned int index;
	struct netdev *dev = calloc(1, sizeof(*dev));
	enum status status;

	if (!dev) {
		complain("no memory for a network; free some");
		return STATUS_HOST;
	}
	for (unsigned int i = 0; i < NETDEV_PAIRS_MAX; i++) {
		dev->fd[i] = -1;
		dev->vhost[i] = -1;
	}
	dev->pairs = 1;
	status = words_parse(&net_table, text, &dev->name, dev);
	if (!status)
		status = check_words(dev);
	if (!status)
		status = netdev_set_mac(dev, index);
	if (!status)
		status = open_kind(dev);
	if (!status)
		status = prepare(dev);
	if (status) {
		netdev_close(dev);
		return status;
	}
	index++;
	*out = dev;
	return STATUS_OK;
}

void netdev_close(struct netdev *dev)
{
	for (unsigned int i = 0; i < NETDEV_PAIRS_MAX; i++) {
		if (dev->fd[i] >= 0)
			close(dev->fd[i]);
		if (dev->vhost[i] >= 0)
			close(dev->vhost[i]);
	}
	free(dev->in);
	free(dev->out);
	free((char *)dev->name);
	free(dev);
}
