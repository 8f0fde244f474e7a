// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The network device. Facts: VIRTIO Specification 1.2, "Network Device".
 *
 * A frame to send goes out of guest memory as it is, behind a header that was copied and
 * checked. A frame that comes is read into a buffer of ours and copied into as many of the
 * driver's as it takes; while there are too few, it waits and nothing more is read. What the
 * other end does not take stays in the driver's queue. So neither side makes memory grow.
 *
 * Invariant: no chain is held from one event to the next, so there is nothing to take back at
 * a reset or a pause.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include "netdev.h"
#include "tokens.h"
#include "vhost.h"
#include "virtio.h"

/* Queues: a pair for each of the host's, then the control queue. */
#define RX(pair)	((pair) * 2)
#define TX(pair)	((pair) * 2 + 1)

/* An Ethernet header, with a VLAN's tag: what a frame may be longer than the MTU. */
#define LINK_ROOM	(ETH_HLEN + 4)

/* More than a tap keeps for a reader. */
#define TAP_FRAMES	1024

/* Frames that one event moves, so that a busy pair does not keep the thread for itself. */
#define BATCH		64

#define HOST_OFFLOADS	(VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4) |	\
			 VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO6) |	\
			 VIRTIO_FEATURE(VIRTIO_NET_F_HOST_ECN))
#define GUEST_OFFLOADS	(VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4) |	\
			 VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO6) |	\
			 VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_ECN))
#define OFFLOADS	(HOST_OFFLOADS | GUEST_OFFLOADS |		\
			 VIRTIO_FEATURE(VIRTIO_NET_F_CSUM) |		\
			 VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM))
#define MULTIQUEUE	(VIRTIO_FEATURE(VIRTIO_NET_F_MQ) |		\
			 VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ))

struct pair {
	struct net *net;
	unsigned int index;
	struct vhost *vhost;		/* of the host's kernel, NULL: there is none */
	struct iowatch watch;
	uint32_t events;		/* that are watched for; 0: it is not watched */
	bool own;			/* not the kernel's until the device is reset */
	bool starved;			/* the frame in @frame waits for buffers */
	bool blocked;			/* the other end takes no more */
	bool rx_late, tx_late;		/* it waits for tokens */
	bool paid;			/* the tokens of @frame are taken */
	size_t len;			/* of @frame; 0: there is none */
	uint8_t frame[NETDEV_HEADER + NETDEV_FRAME_MAX] __attribute__((aligned(8)));
};

struct net {
	struct virtio *virtio;
	struct netdev *dev;
	struct tokens *rx_tokens, *tx_tokens;	/* NULL: no limits */
	unsigned int pairs;		/* in use, as the driver chose */
	bool gone;			/* there is no other end any more */
	struct virtq_chain chain[VIRTQ_SIZE_MAX];	/* of the frame that is delivered */
	struct pair pair[NETDEV_PAIRS_MAX];
};

/* ---- what is waited for ---- */

static bool link_is_up(const struct net *net)
{
	return !net->gone && !net->dev->unplugged;
}

static void watch(struct pair *pair)
{
	struct net *net = pair->net;
	uint32_t events = 0;

	if (virtio_runs(net->virtio) && !net->gone && pair->index < net->pairs) {
		events |= pair->starved || pair->rx_late ? 0 : EPOLLIN;
		events |= pair->blocked ? EPOLLOUT : 0;
	}
	/* The kernel moves frames, and tells nobody when the tap goes. */
	if (vhost_runs(pair->vhost))
		events = EPOLLERR;
	/* Watched for nothing, a descriptor would still tell of its end, again and again. */
	if (!events && pair->events)
		iothread_unwatch(net->virtio->io, &pair->watch);
	else if (events && events != pair->events &&
		 iothread_watch(net->virtio->io, &pair->watch, events))
		virtio_broken(net->virtio, "the host cannot wait for %s", net->dev->name);
	pair->events = events;
}

/* Nothing moves until start_pairs(). */
static void stop_all(struct net *net)
{
	for (unsigned int i = 0; i < net->dev->pairs; i++) {
		struct pair *pair = &net->pair[i];

		vhost_stop(pair->vhost);
		if (pair->events)
			iothread_unwatch(net->virtio->io, &pair->watch);
		pair->events = 0;
	}
}

/* By the host's kernel where that can be; then a frame that waits for buffers is lost. */
static void start_pairs(struct net *net)
{
	for (unsigned int i = 0; i < net->dev->pairs; i++) {
		struct pair *pair = &net->pair[i];

		if (pair->vhost && !pair->own && i < net->pairs && link_is_up(net) &&
		    virtio_runs(net->virtio) && vhost_start(pair->vhost, net->dev->fd[i])) {
			pair->len = 0;
			pair->starved = false;
			pair->blocked = false;
		}
		watch(pair);
	}
}

static void show_link(struct net *net)
{
	struct virtio_net_config *config = net->virtio->config;
	uint16_t status = htole16(link_is_up(net) ? VIRTIO_NET_S_LINK_UP : 0);

	if (config->status == status)
		return;
	config->status = status;
	virtio_config_changed(net->virtio);
}

static void lose(struct net *net)
{
	if (net->gone)
		return;
	net->gone = true;
	stop_all(net);
	show_link(net);
	/* What other pairs hold for it is lost like what follows. */
	for (unsigned int i = 0; i < net->dev->pairs; i++) {
		net->pair[i].blocked = false;
		virtq_again(&net->virtio->queue[TX(i)]);
	}
	complain("net %s: the other end has gone; start it and the guest again", net->dev->name);
}

/* ---- from the host to the guest ---- */

/* Only what the driver can bear: a tap may hold frames of the driver before. @len: the frame's. */
static bool bearable(const struct net *net, const struct virtio_net_hdr_v1 *header, size_t len)
{
	const struct virtio *virtio = net->virtio;

	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
	    !virtio_has(virtio, VIRTIO_NET_F_GUEST_CSUM))
		return false;
	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return !virtio_has(virtio, VIRTIO_NET_F_MTU) || len <= net->dev->mtu + LINK_ROOM;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return virtio_has(virtio, VIRTIO_NET_F_GUEST_TSO4);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return virtio_has(virtio, VIRTIO_NET_F_GUEST_TSO6);
	}
	return false;
}

/* The next frame to deliver; false: there is none now, or enough of none. */
static bool fetch(struct pair *pair)
{
	struct net *net = pair->net;
	ssize_t n;

	for (unsigned int i = 0; !pair->len; i++) {
		if (i == BATCH)
			return false;
		n = netdev_read(net->dev, pair->index, pair->frame);
		if (n < 0)
			lose(net);
		if (n <= 0)
			return false;
		if ((size_t)n < NETDEV_HEADER + ETH_HLEN || !link_is_up(net) ||
		    !bearable(net, (struct virtio_net_hdr_v1 *)pair->frame, n - NETDEV_HEADER))
			continue;
		pair->len = n;
		pair->paid = false;
	}
	if (net->rx_tokens && !pair->paid) {
		pair->rx_late = !tokens_take(net->rx_tokens, pair->len - NETDEV_HEADER);
		pair->paid = !pair->rx_late;
	}
	return !pair->rx_late;
}

/*
 * Chains for the frame into net->chain. Returns how many; 0: there are not enough now; -1:
 * they will never be, so the frame is dropped.
 */
static int gather(struct net *net, struct virtq *vq, size_t len)
{
	bool merge = virtio_has(net->virtio, VIRTIO_NET_F_MRG_RXBUF);
	size_t room = 0;
	int count = 0, result = 0;
	bool spent;

	while (count < vq->size && virtq_pop(vq, &net->chain[count])) {
		room += net->chain[count++].in_size;
		if (net->chain[0].in_size < NETDEV_HEADER) {
			virtio_broken(net->virtio, "queue %u: no room for a header", vq->index);
			break;
		}
		if (room >= len)
			return count;
		if (!merge)
			break;
	}
	if (count == vq->size || (count && !merge))
		result = -1;
	/* If it is the notification that has no more, another one must follow. */
	spent = !vq->budget;
	while (count)
		virtq_unpop(vq, &net->chain[--count]);
	if (spent)
		vq->budget = 0;
	return result;
}

/* false: it must wait for buffers. */
static bool deliver(struct pair *pair)
{
	struct net *net = pair->net;
	struct virtq *vq = &net->virtio->queue[RX(pair->index)];
	struct virtio_net_hdr_v1 *header = (struct virtio_net_hdr_v1 *)pair->frame;
	int count = gather(net, vq, pair->len);
	size_t done = 0;

	header->num_buffers = htole16(count);
	for (int i = 0; i < count; i++) {
		size_t n = virtq_write(&net->chain[i], 0, pair->frame + done, pair->len - done);

		virtq_push(vq, &net->chain[i], n);
		done += n;
	}
	if (count)
		pair->len = 0;
	return count;
}

static void receive(struct pair *pair)
{
	struct net *net = pair->net;

	pair->starved = false;
	pair->rx_late = false;
	for (unsigned int i = 0; i < BATCH && !pair->starved && fetch(pair); i++)
		pair->starved = !deliver(pair);
	virtq_flush(&net->virtio->queue[RX(pair->index)]);
}

/* ---- from the guest to the host ---- */

/* false: the driver asks for what it did not negotiate. */
static bool allowed(const struct net *net, const struct virtio_net_hdr_v1 *header)
{
	const struct virtio *virtio = net->virtio;
	bool csum = virtio_has(virtio, VIRTIO_NET_F_CSUM);

	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && !csum)
		return false;
	if (header->gso_type & VIRTIO_NET_HDR_GSO_ECN &&
	    !virtio_has(virtio, VIRTIO_NET_F_HOST_ECN))
		return false;
	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return virtio_has(virtio, VIRTIO_NET_F_HOST_TSO4);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return virtio_has(virtio, VIRTIO_NET_F_HOST_TSO6);
	}
	return false;
}

/* Send a chain's frame. false: it must stay where it is for now. */
static bool send_frame(struct pair *pair, const struct virtq_chain *chain)
{
	struct net *net = pair->net;
	struct virtio_net_hdr_v1 header;
	struct iovec iov[VIRTQ_SIZE_MAX + 1];
	size_t len = chain->out_size - NETDEV_HEADER;
	unsigned int count;

	if (virtq_read(chain, 0, &header, sizeof(header)) != sizeof(header)) {
		virtio_broken(net->virtio, "a frame without a header");
		return true;
	}
	if (!allowed(net, &header)) {
		virtio_broken(net->virtio, "a frame with an offload that was not negotiated");
		return true;
	}
	/* What no network carries, and what has nowhere to go. */
	if (!link_is_up(net) || len < ETH_HLEN || len > NETDEV_FRAME_MAX)
		return true;
	if (net->tx_tokens && !tokens_take(net->tx_tokens, len)) {
		pair->tx_late = true;
		return false;
	}
	header.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header.num_buffers = 0;
	iov[0] = (struct iovec) { &header, sizeof(header) };
	count = virtq_slice(chain->iov, chain->outs, NETDEV_HEADER, len, iov + 1);
	switch (netdev_write(net->dev, pair->index, iov, count + 1)) {
	case NETDEV_FULL:
		pair->blocked = true;
		return false;
	case NETDEV_GONE:
		lose(net);
		return true;
	case NETDEV_SENT:
		break;
	}
	return true;
}

static void transmit(struct pair *pair)
{
	struct net *net = pair->net;
	struct virtq *vq = &net->virtio->queue[TX(pair->index)];
	struct virtq_chain *chain = &net->chain[0];

	pair->blocked = !net->gone && netdev_flush(net->dev) == NETDEV_FULL;
	pair->tx_late = false;
	for (unsigned int i = 0; !pair->blocked && virtq_pop(vq, chain); i++) {
		if (!send_frame(pair, chain)) {
			virtq_unpop(vq, chain);
			break;
		}
		virtq_push(vq, chain, 0);
		/* Outside of a notification nobody else counts. */
		if (i == VIRTQ_SIZE_MAX)
			pair->blocked = true;
	}
	if (!pair->blocked && !net->gone)
		pair->blocked = netdev_flush(net->dev) == NETDEV_FULL;
	virtq_flush(vq);
}

/* ---- the control queue ---- */

static uint8_t control(struct net *net, const struct virtq_chain *chain)
{
	struct virtio_net_ctrl_hdr header;
	struct virtio_net_ctrl_mq mq;
	unsigned int pairs;

	if (virtq_read(chain, 0, &header, sizeof(header)) != sizeof(header) ||
	    header.class != VIRTIO_NET_CTRL_MQ || header.cmd != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ||
	    virtq_read(chain, sizeof(header), &mq, sizeof(mq)) != sizeof(mq))
		return VIRTIO_NET_ERR;
	pairs = le16toh(mq.virtqueue_pairs);
	if (pairs < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN || pairs > net->dev->pairs ||
	    !virtio_has(net->virtio, VIRTIO_NET_F_MQ))
		return VIRTIO_NET_ERR;
	stop_all(net);
	if (netdev_tap_pairs(net->dev, pairs))
		net->pairs = pairs;
	start_pairs(net);
	return net->pairs == pairs ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
}

static void serve_control(struct net *net, struct virtq *vq)
{
	struct virtq_chain *chain = &net->chain[0];

	while (virtq_pop(vq, chain)) {
		uint8_t ack;

		if (!chain->in_size) {
			virtio_broken(net->virtio, "a command without room for its answer");
			return;
		}
		ack = control(net, chain);
		virtq_push(vq, chain, virtq_write(chain, 0, &ack, sizeof(ack)));
	}
}

/* ---- events ---- */

static void on_ready(void *opaque)
{
	struct pair *pair = opaque;

	/* Of a pair of the kernel's there is nothing to hear but that the tap has gone. */
	vhost_stop(pair->vhost);
	if (virtio_runs(pair->net->virtio)) {
		if (pair->blocked)
			transmit(pair);
		receive(pair);
	}
	watch(pair);
}

static void on_rx_tokens(void *opaque)
{
	struct net *net = opaque;

	for (unsigned int i = 0; i < net->pairs && virtio_runs(net->virtio); i++) {
		if (net->pair[i].rx_late)
			receive(&net->pair[i]);
		watch(&net->pair[i]);
	}
}

static void on_tx_tokens(void *opaque)
{
	struct net *net = opaque;

	for (unsigned int i = 0; i < net->pairs && virtio_runs(net->virtio); i++) {
		if (net->pair[i].tx_late)
			transmit(&net->pair[i]);
		watch(&net->pair[i]);
	}
}

/* The driver's control queue is behind all pairs that it knows of. */
static unsigned int control_index(const struct net *net)
{
	return virtio_has(net->virtio, VIRTIO_NET_F_MQ) ? RX(net->dev->pairs) : RX(1);
}

static void net_notify(void *device, unsigned int queue)
{
	struct net *net = device;
	struct pair *pair = &net->pair[queue / 2];

	if (virtio_has(net->virtio, VIRTIO_NET_F_CTRL_VQ) && queue == control_index(net)) {
		serve_control(net, &net->virtio->queue[queue]);
		return;
	}
	if (queue / 2 >= net->pairs)
		return;
	if (queue == RX(pair->index) && pair->starved)
		receive(pair);
	/* What waits for the other end, or for tokens, goes on by their events. */
	if (queue == TX(pair->index) && !pair->blocked && !pair->tx_late)
		transmit(pair);
	watch(pair);
}

/* ---- life ---- */

/* Tokens that were paid for a frame which then had to stay are a small debt, not a leak. */
static void start(struct net *net)
{
	netdev_tap_offloads(net->dev, net->virtio->features);
	netdev_tap_pairs(net->dev, net->pairs);
	show_link(net);
	for (unsigned int i = 0; i < net->dev->pairs; i++) {
		struct pair *pair = &net->pair[i];

		/* All queues are notified next, which no token's event is waited for then. */
		pair->tx_late = false;
		pair->rx_late = false;
		pair->starved = pair->len;
	}
	start_pairs(net);
}

static bool net_accept(void *device, uint64_t features)
{
	uint64_t host = features & HOST_OFFLOADS, guest = features & GUEST_OFFLOADS;

	(void)device;
	return (!host || features & VIRTIO_FEATURE(VIRTIO_NET_F_CSUM)) &&
	       (!guest || features & VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM)) &&
	       (!(features & VIRTIO_FEATURE(VIRTIO_NET_F_MQ)) ||
		features & VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ));
}

/* A tap may hold frames that the driver before could bear: vhost would not ask. */
static void empty_taps(struct net *net)
{
	for (unsigned int i = 0; i < net->dev->pairs; i++)
		for (unsigned int n = 0; net->pair[i].vhost && n < TAP_FRAMES; n++)
			if (netdev_read(net->dev, i, net->pair[i].frame) <= 0)
				break;
}

static bool net_activate(void *device)
{
	struct net *net = device;

	/* Before: what comes from then on is as this driver can bear it. */
	netdev_tap_offloads(net->dev, net->virtio->features);
	empty_taps(net);
	start(net);
	return true;
}

static void net_set_link(void *device, bool up)
{
	struct net *net = device;

	net->dev->unplugged = !up;
	show_link(net);
	stop_all(net);
	start_pairs(net);
}

static void net_broke(void *device)
{
	stop_all(device);
}

/* A ring of its own comes with the queue; the kernel is asked again after the device's reset. */
static void net_queue_reset(void *device, unsigned int queue)
{
	struct net *net = device;
	struct pair *pair = &net->pair[queue / 2];

	if (queue >= RX(net->dev->pairs) || !pair->vhost)
		return;
	vhost_stop(pair->vhost);
	pair->own = true;
	watch(pair);
}

static void net_rerouted(void *device, unsigned int queue)
{
	struct net *net = device;

	if (queue >= RX(net->dev->pairs))
		return;
	vhost_stop(net->pair[queue / 2].vhost);
	start_pairs(net);
}

static void net_quiesce(void *device)
{
	stop_all(device);
}

static void net_resume(void *device)
{
	start(device);
}

static void net_reset(void *device)
{
	struct net *net = device;

	stop_all(net);
	net->pairs = 1;
	for (unsigned int i = 0; i < net->dev->pairs; i++) {
		struct pair *pair = &net->pair[i];

		pair->len = 0;
		pair->own = false;
		pair->starved = false;
		pair->blocked = false;
		pair->rx_late = false;
		pair->tx_late = false;
	}
}

static void net_destroy(void *device)
{
	struct net *net = device;

	stop_all(net);
	for (unsigned int i = 0; i < net->dev->pairs; i++)
		vhost_destroy(net->pair[i].vhost);
	tokens_destroy(net->rx_tokens);
	tokens_destroy(net->tx_tokens);
	free(net);
}

static void fill_config(const struct net *net)
{
	struct virtio_net_config *config = net->virtio->config;

	memcpy(config->mac, net->dev->mac, ETH_ALEN);
	config->status = htole16(net->dev->unplugged ? 0 : VIRTIO_NET_S_LINK_UP);
	config->max_virtqueue_pairs = htole16(net->dev->pairs);
	config->mtu = htole16(net->dev->mtu);
}

static void *net_create(struct virtio *virtio, void *backend)
{
	struct netdev *dev = backend;
	struct net *net = calloc(1, sizeof(*net));
	bool limited = dev->pps || dev->bps, good = true;

	if (!net)
		return NULL;
	net->virtio = virtio;
	net->dev = dev;
	net->pairs = 1;
	for (unsigned int i = 0; i < dev->pairs; i++) {
		struct pair *pair = &net->pair[i];

		pair->net = net;
		pair->index = i;
		pair->watch = (struct iowatch) { dev->fd[i], on_ready, pair };
		if (dev->vhost[i] >= 0) {
			pair->vhost = vhost_create(virtio, dev->vhost[i], RX(i));
			good = good && pair->vhost;
		}
	}
	if (limited) {
		net->rx_tokens = tokens_create(virtio->io, dev->pps, dev->bps, on_rx_tokens, net);
		net->tx_tokens = tokens_create(virtio->io, dev->pps, dev->bps, on_tx_tokens, net);
		good = good && net->rx_tokens && net->tx_tokens;
	}
	if (!good) {
		net_destroy(net);
		return NULL;
	}
	virtio->queues = dev->pairs > 1 ? RX(dev->pairs) + 1 : RX(1);
	if (dev->pairs == 1)
		virtio->features &= ~MULTIQUEUE;
	if (!dev->mtu)
		virtio->features &= ~VIRTIO_FEATURE(VIRTIO_NET_F_MTU);
	if (dev->kind != NETDEV_TAP)
		virtio->features &= ~OFFLOADS;
	fill_config(net);
	return net;
}

static enum status net_open(const char *text, void **backend)
{
	struct netdev *dev = NULL;
	enum status status = netdev_open(text, &dev);

	*backend = dev;
	return status;
}

static void net_close(void *backend)
{
	netdev_close(backend);
}

/* A frame that waits is not state: networks lose some. */
static void net_save(void *device, struct state *state)
{
	struct net *net = device;

	state_put(state, net->pairs);
}

static void net_load(void *device, struct state *state, uint32_t version)
{
	struct net *net = device;

	(void)version;
	net->pairs = state_get_max(state, net->dev->pairs);
	if (!net->pairs)
		state->bad = true;
}

const struct virtio_type virtio_net = {
	.name = "net",
	.id = VIRTIO_ID_NET,
	.class = 0x020000,	/* Ethernet controller */
	.features = VIRTIO_FEATURE(VIRTIO_NET_F_MAC) | VIRTIO_FEATURE(VIRTIO_NET_F_STATUS) |
		    VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_FEATURE(VIRTIO_NET_F_MTU) |
		    MULTIQUEUE | OFFLOADS,
	.queues = RX(NETDEV_PAIRS_MAX) + 1,
	.queue_size = VIRTQ_SIZE_MAX,
	.config_size = offsetof(struct virtio_net_config, speed),
	.open = net_open,
	.close = net_close,
	.create = net_create,
	.destroy = net_destroy,
	.activate = net_activate,
	.notify = net_notify,
	.accept = net_accept,
	.reset = net_reset,
	.quiesce = net_quiesce,
	.resume = net_resume,
	.queue_reset = net_queue_reset,
	.broke = net_broke,
	.rerouted = net_rerouted,
	.set_link = net_set_link,
	.version = 1,
	.save = net_save,
	.load = net_load,
};
