// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The network device against a scripted driver, with a socket of this test as the other end:
 * messages, streams, and messages with headers in place of a tap.
 */
/* unit-sources: ../runner/virtio/net.c ../runner/virtio/netdev.c ../runner/virtio/netio.c */
/* unit-sources: ../runner/virtio/netmac.c ../runner/virtio/netuser.c ../runner/virtio/tap.c */
/* unit-sources: ../runner/virtio/vhost.c ../runner/virtio/netpasst.c ../runner/usernet/forward.c */
/* unit-sources: ../runner/virtio/tokens.c ../runner/words.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE -Wl,--wrap=ioctl */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/if_tun.h>
#include "tap.h"
#include "virtio_world.h"
#include "../runner/virtio/netdev.h"

extern const struct virtio_type virtio_net;

#define RX		0
#define TX		1
#define CONTROL		6	/* behind three pairs */
#define MERGE		VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF)
#define CSUM		VIRTIO_FEATURE(VIRTIO_NET_F_CSUM)
#define TSO4		VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4)
#define GUEST_CSUM	VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM)
#define GUEST_TSO4	VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4)
#define MQ		(VIRTIO_FEATURE(VIRTIO_NET_F_MQ) | VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ))
#define STATUS		VIRTIO_FEATURE(VIRTIO_NET_F_STATUS)
#define MTU		VIRTIO_FEATURE(VIRTIO_NET_F_MTU)

static struct world *world;
static void *backend;
static int peer;		/* the other end */
static uint64_t buffer;		/* 128 KiB of the guest's */
static uint8_t frame[70000];

/* What a tap is told, in place of the one that is not there. */
static unsigned int told_offloads, attached, detached;

int __wrap_ioctl(int fd, unsigned long request, void *arg);

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	(void)fd;
	switch (request) {
	case TUNSETOFFLOAD:
		told_offloads = (uintptr_t)arg;
		return 0;
	case TUNSETQUEUE:
		attached += ((struct ifreq *)arg)->ifr_flags == IFF_ATTACH_QUEUE;
		detached += ((struct ifreq *)arg)->ifr_flags == IFF_DETACH_QUEUE;
		return 0;
	}
	errno = ENOTTY;
	return -1;
}

/* ---- the two ends ---- */

static void open_world(void)
{
	world = world_open(&virtio_net, backend);
	buffer = world_alloc(world, 0x20000);
}

static void open_net(int type, const char *words)
{
	char text[128];
	int ends[2];

	if (socketpair(AF_UNIX, type, 0, ends))
		abort();
	peer = ends[1];
	snprintf(text, sizeof(text), "fd=%d%s", ends[0], words);
	if (virtio_net.open(text, &backend))
		abort();
	open_world();
}

/* @pairs sockets that stand for a tap's queues; @peer is the first one's other end. */
static void open_tap(unsigned int pairs)
{
	struct netdev *dev = calloc(1, sizeof(*dev));

	dev->name = strdup("tap");
	dev->kind = NETDEV_TAP;
	dev->pairs = pairs;
	for (unsigned int i = 0; i < NETDEV_PAIRS_MAX; i++) {
		dev->fd[i] = -1;
		dev->vhost[i] = -1;
	}
	for (unsigned int i = 0; i < pairs; i++) {
		int ends[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends))
			abort();
		dev->fd[i] = ends[0];
		peer = ends[1];
	}
	backend = dev;
	open_world();
}

static void close_net(void)
{
	world_close(world);
	virtio_net.close(backend);
	close(peer);
}

static void make_frame(size_t len, uint8_t start)
{
	for (size_t i = 0; i < len; i++)
		frame[i] = start + i;
}

/* The guest sends @len bytes behind a header; true: the chain came back. */
static bool guest_sends(const struct virtio_net_hdr_v1 *header, size_t len)
{
	struct buffer buffers[] = { { buffer, NETDEV_HEADER, false },
				    { buffer + 64, len, false } };

	memcpy(world_at(world, buffer, NETDEV_HEADER), header, NETDEV_HEADER);
	memcpy(world_at(world, buffer + 64, len), frame, len);
	driver_add(world, TX, buffers, 2);
	driver_kick(world, TX);
	return driver_used(world, TX, NULL) >= 0;
}

static const struct virtio_net_hdr_v1 plain = { 0 };

static ssize_t peer_gets(uint8_t *buf, size_t size)
{
	return recv(peer, buf, size, MSG_DONTWAIT);
}

static void guest_offers(uint32_t offset, uint32_t len)
{
	driver_add(world, RX, (struct buffer[]) { { buffer + offset, len, true } }, 1);
	driver_kick(world, RX);
}

static void peer_sends(size_t len)
{
	if (send(peer, frame, len, 0) != (ssize_t)len)
		abort();
	world_settle(world);
}

/* ---- what it does ---- */

static void test_frames(void)
{
	const struct virtio_net_hdr_v1 *header;
	uint8_t got[2048];
	uint32_t len = 0;

	open_net(SOCK_SEQPACKET, ",mac=52:54:00:12:34:56");
	driver_start(world, 0);
	ok(!memcmp(world->core->pub.config, "\x52\x54\x00\x12\x34\x56", 6),
	   "mac= is in the configuration");
	make_frame(1000, 1);
	ok(guest_sends(&plain, 1000), "a frame is sent");
	ok(peer_gets(got, sizeof(got)) == 1000 && !memcmp(got, frame, 1000),
	   "and arrives without its header");

	memset(world_at(world, buffer, 2048), 0xee, 2048);
	guest_offers(0, 1600);
	is(driver_used(world, RX, NULL), -1, "a buffer waits for a frame");
	make_frame(500, 7);
	peer_sends(500);
	ok(driver_used(world, RX, &len) >= 0 && len == 500 + NETDEV_HEADER, "a frame is received");
	header = world_at(world, buffer, 2048);
	ok(!header->flags && !header->gso_type && header->num_buffers == 1, "with its header");
	ok(!memcmp(header + 1, frame, 500), "and all its bytes");
	is(*(uint8_t *)world_at(world, buffer + 512, 1), 0xee, "and nothing behind them");

	peer_sends(500);
	peer_sends(400);
	guest_offers(0, 1600);
	ok(driver_used(world, RX, &len) >= 0 && len == 512, "frames wait for buffers");
	guest_offers(0, 1600);
	ok(driver_used(world, RX, &len) >= 0 && len == 412, "in their order");

	peer_sends(600);
	guest_offers(0, 500);
	is(driver_used(world, RX, NULL), -1, "a frame that is too large is dropped");
	peer_sends(300);
	ok(driver_used(world, RX, &len) >= 0 && len == 312, "the buffer is the next one's");
	guest_offers(0, 412);
	peer_sends(400);
	ok(driver_used(world, RX, &len) >= 0 && len == 412, "a frame may fill its buffer");
	peer_sends(13);
	guest_offers(0, 500);
	is(driver_used(world, RX, NULL), -1, "less than an Ethernet header is no frame");
	is(world_complaints, 0, "no complaint");
	close_net();
}

static void test_merge(void)
{
	uint8_t *at;
	uint32_t len[4] = { 0 };

	open_net(SOCK_SEQPACKET, "");
	driver_start(world, MERGE);
	make_frame(3000, 3);
	guest_offers(0, 1000);
	guest_offers(1000, 1000);
	peer_sends(3000);
	is(driver_used(world, RX, NULL), -1, "a frame waits until all of it has room");
	guest_offers(2000, 1000);
	is(driver_used(world, RX, NULL), -1, "even with its last bytes");
	guest_offers(3000, 1000);
	for (unsigned int i = 0; i < 4; i++)
		driver_used(world, RX, &len[i]);
	ok(len[0] == 1000 && len[1] == 1000 && len[2] == 1000 && len[3] == 12,
	   "then it takes several buffers");
	at = world_at(world, buffer, 4000);
	is(((struct virtio_net_hdr_v1 *)at)->num_buffers, 4, "whose number is in the header");
	ok(!memcmp(at + NETDEV_HEADER, frame, 3000), "one behind the other");

	/* More buffers than the queue has: it can never be delivered. */
	for (unsigned int i = 0; i < 256; i++)
		driver_add(world, RX, (struct buffer[]) { { buffer + i * 16, 12, true } }, 1);
	peer_sends(3100);
	driver_kick(world, RX);
	is(driver_used(world, RX, NULL), -1, "a frame for more buffers than can be is dropped");
	peer_sends(14);
	ok(driver_used(world, RX, NULL) >= 0, "and does not stop the next one");
	close_net();
}

static void add_sent(uint32_t len)
{
	struct buffer buffers[] = { { buffer, 12, false }, { buffer + 64, len, false } };

	driver_add(world, TX, buffers, 2);
}

/* Nothing of a slow reader's is kept here: it stays in the guest. */
static void test_slow_peer(void)
{
	unsigned int sent = 0, back = 0, got = 0;
	uint8_t buf[2048];

	open_net(SOCK_SEQPACKET, "");
	driver_start(world, 0);
	make_frame(1500, 1);
	memcpy(world_at(world, buffer + 64, 1500), frame, 1500);
	for (unsigned int turn = 0; turn < 40; turn++) {
		for (; sent - back < 100; sent++)
			add_sent(1500);
		driver_kick(world, TX);
		while (driver_used(world, TX, NULL) >= 0)
			back++;
	}
	is(sent - back, 100, "a peer that does not read: frames stay in the guest's queue");
	while (got < sent) {
		if (peer_gets(buf, sizeof(buf)) == 1500)
			got++;
		else if (iothread_poll(world->io, 100) <= 0)
			break;
	}
	is(got, sent, "and come when it does");
	while (driver_used(world, TX, NULL) >= 0)
		back++;
	is(back, sent, "all of them");
	close_net();
}

static void test_peer_ends(void)
{
	const struct virtio_net_config *config;

	open_net(SOCK_SEQPACKET, "");
	driver_start(world, STATUS);
	config = world->core->pub.config;
	is(config->status, VIRTIO_NET_S_LINK_UP, "the link is up");
	close(peer);
	peer = -1;
	world_settle(world);
	is(config->status, 0, "it is down when the other end has gone");
	is(world->config_interrupts, 1, "the driver is told");
	is(world_complaints, 1, "and the user");
	make_frame(100, 1);
	ok(guest_sends(&plain, 100), "frames go nowhere");
	is(world_complaints, 1, "without more words");
	close_net();
}

/* The user pulls the cable. */
static void test_link(void)
{
	const struct virtio_net_config *config;
	uint8_t got[2048];
	uint32_t len = 0;

	open_net(SOCK_SEQPACKET, "");
	driver_start(world, STATUS);
	config = world->core->pub.config;
	make_frame(100, 1);
	guest_offers(0, 1600);
	virtio_net.set_link(world->core->device, false);
	is(config->status, 0, "the link goes down");
	is(world->config_interrupts, 1, "and the driver is told");
	virtio_net.set_link(world->core->device, false);
	is(world->config_interrupts, 1, "once");
	ok(guest_sends(&plain, 100) && peer_gets(got, sizeof(got)) < 0,
	   "what the guest sends is lost");
	for (unsigned int i = 0; i < 100; i++)
		peer_sends(100);
	is(driver_used(world, RX, NULL), -1, "as is what comes");
	driver_reset(world);
	driver_start(world, STATUS);
	is(config->status, 0, "the next driver finds it so");
	guest_offers(0, 1600);
	virtio_net.set_link(world->core->device, true);
	is(config->status, VIRTIO_NET_S_LINK_UP, "it comes up again");
	is(driver_used(world, RX, NULL), -1, "without what came meanwhile");
	peer_sends(200);
	ok(driver_used(world, RX, &len) >= 0 && len == 212, "and frames pass");
	ok(guest_sends(&plain, 100) && peer_gets(got, sizeof(got)) == 100, "both ways");
	close_net();
}

static void test_mtu(void)
{
	const struct virtio_net_config *config;
	uint32_t len = 0;

	open_net(SOCK_SEQPACKET, "");
	ok(!(world->core->offered & MTU), "without mtu= there is none");
	close_net();
	open_net(SOCK_SEQPACKET, ",mtu=2000");
	driver_start(world, MTU);
	config = world->core->pub.config;
	is(config->mtu, 2000, "mtu= is in the configuration");
	guest_offers(0, 4000);
	make_frame(2019, 1);
	peer_sends(2019);
	is(driver_used(world, RX, NULL), -1, "a larger packet is dropped");
	peer_sends(2018);
	ok(driver_used(world, RX, &len) >= 0 && len == 2030, "one that just fits is not");
	close_net();
}

static void test_stream(void)
{
	uint32_t prefix = htonl(200), len = 0;
	uint8_t got[2048];

	open_net(SOCK_STREAM, "");
	driver_start(world, 0);
	make_frame(200, 9);
	ok(guest_sends(&plain, 200), "a frame is sent to a stream");
	ok(peer_gets(got, sizeof(got)) == 204 && !memcmp(got, &prefix, 4) &&
	   !memcmp(got + 4, frame, 200), "with its length before it");
	guest_offers(0, 1600);
	memcpy(got, &prefix, 4);
	memcpy(got + 4, frame, 200);
	for (unsigned int i = 0; i < 204; i += 3) {
		is(driver_used(world, RX, &len), -1, "a part is no frame");
		if (send(peer, got + i, 3, 0) != 3)
			abort();
		world_settle(world);
	}
	ok(driver_used(world, RX, &len) >= 0 && len == 212, "its parts are one");
	ok(!memcmp(world_at(world, buffer + 12, 200), frame, 200), "with all its bytes");
	prefix = htonl(NETDEV_FRAME_MAX + 1);
	if (send(peer, &prefix, 4, 0) != 4)
		abort();
	world_settle(world);
	ok(world_complaints == 1 && strstr(world_complaint, "has gone"),
	   "a length that no frame has ends it");
	close_net();
}

/* A stream that takes a frame in part, whose rest comes before the next one. */
static void test_stream_parts(void)
{
	static uint8_t all[4 << 20];
	size_t got = 0;
	unsigned int sent = 0, back = 0;
	bool good = true;

	open_net(SOCK_STREAM, "");
	driver_start(world, 0);
	make_frame(60000, 5);
	memcpy(world_at(world, buffer + 64, 60000), frame, 60000);
	for (; sent < 60; sent++)
		add_sent(60000);
	driver_kick(world, TX);
	for (unsigned int idle = 0; idle < 3 && got < sent * 60004UL;) {
		ssize_t n = peer_gets(all + got, sizeof(all) - got);

		got += n > 0 ? n : 0;
		idle = n > 0 || iothread_poll(world->io, 100) > 0 ? 0 : idle + 1;
	}
	is(got, sent * 60004UL, "a stream gets every byte");
	for (unsigned int i = 0; i < sent && good; i++)
		good = ntohl(*(uint32_t *)(all + i * 60004UL)) == 60000 &&
		       !memcmp(all + i * 60004UL + 4, frame, 60000);
	ok(good, "with each frame behind its length");
	while (driver_used(world, TX, NULL) >= 0)
		back++;
	is(back, sent, "and every chain comes back");
	close_net();
}

static void test_limits(void)
{
	unsigned int back = 0;

	open_net(SOCK_SEQPACKET, ",pps=10");
	driver_start(world, 0);
	make_frame(100, 1);
	for (unsigned int i = 0; i < 5; i++)
		back += guest_sends(&plain, 100);
	ok(back >= 1 && back < 5, "frames over the limit wait");
	for (unsigned int i = 0; i < 20 && back < 5; i++) {
		world_wait(world);
		while (driver_used(world, TX, NULL) >= 0)
			back++;
	}
	is(back, 5, "and are sent in their time");
	close_net();
}

/* ---- a tap ---- */

static void test_tap(void)
{
	struct virtio_net_hdr_v1 header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1448,
					    .num_buffers = 0xffff };
	uint8_t got[2048];
	uint32_t len = 0;

	open_tap(1);
	ok(!driver_negotiate(world, VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | TSO4),
	   "segmentation goes with checksums only");
	driver_reset(world);
	ok(!driver_negotiate(world, VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | GUEST_TSO4),
	   "both ways");
	driver_reset(world);
	driver_start(world, CSUM | TSO4 | GUEST_CSUM | GUEST_TSO4);
	is(told_offloads, TUN_F_CSUM | TUN_F_TSO4, "a tap is told what the driver bears");
	make_frame(1000, 1);
	ok(guest_sends(&header, 1000), "a segmented frame is sent");
	header.num_buffers = 0;
	ok(peer_gets(got, sizeof(got)) == 1012 && !memcmp(got, &header, 12),
	   "a tap gets its header");
	guest_offers(0, 2000);
	memcpy(frame, &header, sizeof(header));
	peer_sends(500);
	ok(driver_used(world, RX, &len) >= 0 && len == 500, "a segmented frame is received");
	driver_reset(world);
	driver_start(world, GUEST_CSUM);
	is(told_offloads, TUN_F_CSUM, "the next driver bears less");
	guest_offers(0, 2000);
	peer_sends(500);
	is(driver_used(world, RX, NULL), -1, "and does not get what was made for the other");
	close_net();
}

static uint8_t set_pairs(uint16_t pairs, uint32_t size)
{
	struct buffer buffers[] = { { buffer, size, false }, { buffer + 32, 1, true } };
	struct virtio_net_ctrl_hdr *header = world_at(world, buffer, 64);
	uint8_t *ack = world_at(world, buffer + 32, 1);

	*header = (struct virtio_net_ctrl_hdr) { VIRTIO_NET_CTRL_MQ,
						 VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET };
	memcpy(header + 1, &pairs, 2);
	*ack = 0xee;
	driver_add(world, CONTROL, buffers, 2);
	driver_kick(world, CONTROL);
	return driver_used(world, CONTROL, NULL) < 0 ? 0xdd : *ack;
}

/* A frame each way behind a header of 12 bytes, and not a byte beside them. */
static bool frames_pass(void)
{
	uint8_t got[256];
	uint32_t len = 0;

	memset(world_at(world, buffer + 1024, 256), 0xee, 256);
	if (!guest_sends(&plain, 100) || peer_gets(got, sizeof(got)) != 112 ||
	    memcmp(got + NETDEV_HEADER, frame, 100))
		return false;
	guest_offers(1024, 200);
	memset(frame, 0, NETDEV_HEADER);
	peer_sends(112);
	if (driver_used(world, RX, &len) < 0 || len != 112 ||
	    memcmp(world_at(world, buffer + 1024 + NETDEV_HEADER, 100), frame + NETDEV_HEADER, 100))
		return false;
	return *(uint8_t *)world_at(world, buffer + 1024 + 112, 1) == 0xee;
}

/* In versions before 1.0 the header's length depended on what was negotiated. */
static void test_features(void)
{
	unsigned int taken = 0, good = 0, all = 0;
	uint64_t offered, features = 0, start;

	open_tap(1);
	start = world->heap;
	offered = world->core->offered & ~VIRTIO_FEATURE(VIRTIO_F_VERSION_1);
	do {
		all++;
		if (driver_start(world, features)) {
			make_frame(112, all);
			taken++;
			good += frames_pass();
		}
		driver_reset(world);
		world->heap = start;
		features = (features - offered) & offered;
	} while (features);
	ok(taken && good == taken, "header for every subset of features: %u of the %u that can be, "
	   "of %u", good, taken, all);
	is(world_complaints, 0, "no complaint");
	close_net();
}

static void test_pairs(void)
{
	open_tap(3);
	driver_start(world, MQ);
	is(((struct virtio_net_config *)world->core->pub.config)->max_virtqueue_pairs, 3,
	   "the configuration has the pairs");
	attached = 0;
	detached = 0;
	is(set_pairs(3, 4), VIRTIO_NET_OK, "all pairs are taken");
	ok(attached == 3 && !detached, "and the tap told");
	is(set_pairs(0, 4), VIRTIO_NET_ERR, "no pair is refused");
	is(set_pairs(4, 4), VIRTIO_NET_ERR, "as are more than there are");
	is(set_pairs(2, 3), VIRTIO_NET_ERR, "and half a command");
	is(set_pairs(1, 4), VIRTIO_NET_OK, "one pair is taken again");
	is(detached, 2, "the others rest");
	driver_add(world, CONTROL, (struct buffer[]) { { buffer, 4, false } }, 1);
	driver_kick(world, CONTROL);
	ok(world_complaints == 1 && strstr(world_complaint, "answer"),
	   "a command without room for its answer breaks the device");
	close_net();
}

/* A pair waits for its queue of a tap when another one finds that the tap has gone. */
static void test_blocked_pair(void)
{
	unsigned int sent, back = 0;

	open_tap(3);
	driver_start(world, MQ);
	set_pairs(3, 4);
	make_frame(1500, 1);
	for (sent = 0; sent < 2000 && back == sent; sent++)
		back += guest_sends(&plain, 1500);
	is(sent - back, 1, "a pair waits for the other end");
	close(peer);
	peer = -1;
	world_settle(world);
	is(world_complaints, 1, "another pair finds that there is none");
	ok(driver_used(world, TX, NULL) >= 0, "what the first one held comes back");
	ok(guest_sends(&plain, 1500), "as does what follows");
	close_net();
}

/* ---- rude drivers ---- */

static void is_broken(const char *why, const char *name)
{
	ok(world->core->broken && world_complaints == 1 && strstr(world_complaint, why), "%s: %s",
	   name, world_complaint);
	close_net();
}

static void test_rude(void)
{
	const struct virtio_net_hdr_v1 csum = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM };
	const struct virtio_net_hdr_v1 gso = { .gso_type = VIRTIO_NET_HDR_GSO_TCPV6 };
	const struct virtio_net_hdr_v1 udp = { .gso_type = VIRTIO_NET_HDR_GSO_UDP };
	const struct virtio_net_hdr_v1 ecn = { .gso_type = VIRTIO_NET_HDR_GSO_ECN };

	make_frame(2000, 1);
	open_net(SOCK_SEQPACKET, "");
	driver_start(world, 0);
	driver_add(world, TX, (struct buffer[]) { { buffer, 11, false } }, 1);
	driver_kick(world, TX);
	is_broken("without a header", "half a header");

	open_net(SOCK_SEQPACKET, "");
	driver_start(world, 0);
	driver_add(world, TX, (struct buffer[]) { { buffer, 100, true } }, 1);
	driver_kick(world, TX);
	is_broken("without a header", "a frame to write to");

	open_net(SOCK_SEQPACKET, "");
	driver_start(world, 0);
	guest_sends(&csum, 100);
	is_broken("not negotiated", "a checksum nobody offered");

	open_tap(1);
	driver_start(world, CSUM | TSO4);
	guest_sends(&gso, 100);
	is_broken("not negotiated", "the other kind of segments");

	open_tap(1);
	driver_start(world, CSUM | TSO4);
	guest_sends(&udp, 100);
	is_broken("not negotiated", "segments that are not offered");

	open_tap(1);
	driver_start(world, CSUM | TSO4);
	guest_sends(&ecn, 100);
	is_broken("not negotiated", "ECN that was not taken");

	open_net(SOCK_SEQPACKET, "");
	driver_start(world, MERGE);
	guest_offers(0, 11);
	peer_sends(100);
	is_broken("no room for a header", "a buffer for half a header");

	open_net(SOCK_SEQPACKET, "");
	driver_start(world, 0);
	driver_add(world, TX, (struct buffer[]) { { WORLD_RAM - 16, 64, false } }, 1);
	driver_kick(world, TX);
	is_broken("outside of RAM", "a frame half outside of RAM");
}

static void test_odd_lengths(void)
{
	static const uint32_t lengths[] = { 0, 1, 13, NETDEV_FRAME_MAX + 1 };
	uint8_t got[64];

	open_net(SOCK_SEQPACKET, "");
	driver_start(world, 0);
	for (unsigned int i = 0; i < 4; i++) {
		ok(guest_sends(&plain, lengths[i]), "%u bytes come back", lengths[i]);
		is(peer_gets(got, sizeof(got)), -1, "and are not sent");
	}
	is(world_complaints, 0, "no complaint");
	close_net();
}

/* ---- life ---- */

static void test_round_trip(void)
{
	struct state state;
	uint32_t len = 0;
	uint8_t got[64];

	open_tap(3);
	driver_start(world, MQ | MERGE);
	set_pairs(2, 4);
	virtio_quiesce(world->core);
	make_frame(100, 1);
	memset(frame, 0, 12);
	guest_sends(&plain, 40);
	is(peer_gets(got, sizeof(got)), -1, "a quiet device sends nothing");
	state_init(&state);
	virtio_save(world->core, &state);
	detached = 0;
	virtio_load(world->core, &state);
	ok(state_good(&state) && state.at == state.len, "saved and loaded");
	virtio_resume(world->core);
	world_settle(world);
	is(detached, 1, "the tap is told anew");
	ok(driver_used(world, TX, &len) >= 0, "what waited is sent");
	/* Its last number is of pairs, in 64 bits. */
	memset(state.buf + state.len - 8, 0xff, 8);
	state.at = 0;
	virtio_quiesce(world->core);
	virtio_load(world->core, &state);
	ok(!state_good(&state), "a state of too many pairs is refused");
	close_net();
	state_free(&state);
}

static void refuses(const char *text, enum status want, const char *why)
{
	void *none;

	world_complaint[0] = 0;
	is(virtio_net.open(text, &none), want, "--net %s", text);
	ok(strstr(world_complaint, why), "says why: %s", world_complaint);
}

static void test_words(void)
{
	struct netdev *dev;
	int ends[2], file = open("/dev/null", O_RDWR);
	uint8_t first[ETH_ALEN];
	char text[64];

	refuses("", STATUS_USAGE, "nothing");
	refuses("wifi", STATUS_USAGE, "user, passt, tap");
	refuses("tap=", STATUS_USAGE, "name");
	refuses("tap=a/b", STATUS_USAGE, "name");
	refuses("tap=a-name-that-is-too-long", STATUS_USAGE, "name");
	refuses("tap,hostfwd=tcp::1-:1", STATUS_USAGE, "for user");
	refuses("user,queues=2", STATUS_USAGE, "only a tap");
	refuses("user,queues=9", STATUS_USAGE, "1 to 8");
	refuses("tap,vhost=yes", STATUS_USAGE, "on, off or auto");
	refuses("user,mtu=1279", STATUS_USAGE, "1280 to 65520");
	refuses("tap,mac=52:54:00:12:34", STATUS_USAGE, "mac=");
	refuses("tap,mac=52:54:00:12:34:5g", STATUS_USAGE, "not an address");
	refuses("tap,mac=53:54:00:12:34:56", STATUS_USAGE, "group");
	refuses("tap,mac=00:00:00:00:00:00", STATUS_USAGE, "nobody");
	refuses("socket=", STATUS_USAGE, "path");
	refuses("socket=/nowhere/at/all", STATUS_BAD_FILE, "vmm switch");
	snprintf(text, sizeof(text), "fd=%d", file);
	refuses(text, STATUS_BAD_FILE, "neither");
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends))
		abort();
	snprintf(text, sizeof(text), "fd=%d", ends[0]);
	is(netdev_open(text, &dev), STATUS_OK, "a datagram socket will do");
	memcpy(first, dev->mac, ETH_ALEN);
	ok((first[0] & 3) == 2, "a derived address is local, and no group's");
	netdev_close(dev);
	snprintf(text, sizeof(text), "fd=%d", ends[1]);
	is(netdev_open(text, &dev), STATUS_OK, "as will the other");
	ok(memcmp(first, dev->mac, ETH_ALEN), "whose address is another");
	is(netdev_set_mac(dev, 16), STATUS_OK, "derived again");
	memcpy(first, dev->mac, ETH_ALEN);
	netdev_set_mac(dev, 16);
	ok(!memcmp(first, dev->mac, ETH_ALEN), "it is the same");
	netdev_close(dev);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_frames();
	test_merge();
	test_slow_peer();
	test_peer_ends();
	test_link();
	test_mtu();
	test_stream();
	test_stream_parts();
	test_limits();
	test_tap();
	test_features();
	test_pairs();
	test_blocked_pair();
	test_rude();
	test_odd_lengths();
	test_round_trip();
	test_words();
	return tap_end();
}
