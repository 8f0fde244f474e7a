// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libslirp between the runner's socket and sockets of the host, in one thread.
 *
 * The runner takes frames as its guest has room for them. One that it does not take in time
 * is dropped, as networks do, and as long as it takes none nothing waits for it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <slirp/libslirp.h>
#include "usernet.h"

#define FRAME_MAX	(ETH_HLEN + 65535)
/* Frames of the guest between two looks at the other sockets. */
#define BATCH		64
/* How long the runner may take for a frame, in microseconds. */
#define PATIENCE	200000

/* Bytes of frames that wait for the runner, a handful of the largest. */
#define SEND_BUFFER	(1 << 20)

#define NEVER		INT64_MAX

struct timer {
	SlirpTimerCb call;
	void *opaque;
	int64_t when;		/* milliseconds of on_clock(), or NEVER */
};

struct usernet {
	Slirp *slirp;
	struct timer timer;
	bool stalled;		/* the runner did not take the last frame in time */
	struct pollfd *fds;
	unsigned int count, room;
	uint8_t frame[FRAME_MAX];
};

/* ---- what libslirp calls ---- */

static ssize_t on_packet(const void *frame, size_t len, void *opaque)
{
	struct usernet *net = opaque;
	ssize_t n = send(USERNET_FD, frame, len, net->stalled ? MSG_DONTWAIT : 0);

	net->stalled = n < 0;
	return len;
}

/* The guest's mistakes are no news of the host's. */
static void on_error(const char *message, void *opaque)
{
	(void)message;
	(void)opaque;
}

static int64_t on_clock(void *opaque)
{
	struct timespec now;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* libslirp has one: for the router's advertisements of IPv6. */
static void *on_timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
	struct usernet *net = opaque;

	if (net->timer.call)
		abort();
	net->timer = (struct timer) { cb, cb_opaque, NEVER };
	return &net->timer;
}

static void on_timer_free(void *timer, void *opaque)
{
	(void)opaque;
	*(struct timer *)timer = (struct timer) { NULL, NULL, NEVER };
}

/* @when: milliseconds of on_clock(). */
static void on_timer_mod(void *timer, int64_t when, void *opaque)
{
	(void)opaque;
	((struct timer *)timer)->when = when;
}

/* Descriptors are asked for before each wait. */
static void on_fd(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

static void on_notify(void *opaque)
{
	(void)opaque;
}

static const SlirpCb callbacks = {
	.send_packet = on_packet,
	.guest_error = on_error,
	.clock_get_ns = on_clock,
	.timer_new = on_timer_new,
	.timer_free = on_timer_free,
	.timer_mod = on_timer_mod,
	.register_poll_fd = on_fd,
	.unregister_poll_fd = on_fd,
	.notify = on_notify,
};

/* ---- waiting ---- */

static const struct {
	int slirp;
	short poll;
} events[] = {
	{ SLIRP_POLL_IN, POLLIN },
	{ SLIRP_POLL_OUT, POLLOUT },
	{ SLIRP_POLL_PRI, POLLPRI },
	{ SLIRP_POLL_ERR, POLLERR },
	{ SLIRP_POLL_HUP, POLLHUP },
};

#define EVENTS	(sizeof(events) / sizeof(events[0]))

static int add_fd(int fd, int wanted, void *opaque)
{
	struct usernet *net = opaque;
	short poll_events = 0;

	if (net->count == net->room) {
		unsigned int room = net->room ? net->room * 2 : 64;
		struct pollfd *fds = realloc(net->fds, room * sizeof(*fds));

		/* It is bounded by the limit of descriptors. */
		if (!fds)
			abort();
		net->fds = fds;
		net->room = room;
	}
	for (size_t i = 0; i < EVENTS; i++)
		if (wanted & events[i].slirp)
			poll_events |= events[i].poll;
	net->fds[net->count] = (struct pollfd) { .fd = fd, .events = poll_events };
	return net->count++;
}

static int get_events(int index, void *opaque)
{
	const struct usernet *net = opaque;
	int got = 0;

	for (size_t i = 0; i < EVENTS; i++)
		if (net->fds[index].revents & events[i].poll)
			got |= events[i].slirp;
	return got;
}

/* ---- from the guest ---- */

/*
 * The host's loopback by its own addresses: 0.0.0.0/8 and 127.0.0.0/8. Those of IPv6 are ::
 * and ::1, and with the rest of ::/96, and ::ffff:0:0/96, they are IPv4's in another dress.
 */
static bool forbidden_ip(const uint8_t *packet, size_t len)
{
	struct iphdr ip;
	uint8_t net;

	if (len < sizeof(ip))
		return false;
	memcpy(&ip, packet, sizeof(ip));
	net = ntohl(ip.daddr) >> 24;
	return net == 0 || net == IN_LOOPBACKNET;
}

static bool forbidden_ip6(const uint8_t *packet, size_t len)
{
	static const uint8_t zeros[10];
	struct ip6_hdr ip;
	const uint8_t *to = ip.ip6_dst.s6_addr;

	if (len < sizeof(ip))
		return false;
	memcpy(&ip, packet, sizeof(ip));
	return !memcmp(to, zeros, sizeof(zeros)) &&
	       ((!to[10] && !to[11]) || (to[10] == 0xff && to[11] == 0xff));
}

/* libslirp would connect there as it is told. */
bool usernet_forbidden(const void *frame, size_t len)
{
	const struct ether_header *ether = frame;
	const uint8_t *packet = (const uint8_t *)frame + sizeof(*ether);

	if (len < sizeof(*ether))
		return false;
	switch (ntohs(ether->ether_type)) {
	case ETHERTYPE_IP:
		return forbidden_ip(packet, len - sizeof(*ether));
	case ETHERTYPE_IPV6:
		return forbidden_ip6(packet, len - sizeof(*ether));
	}
	return false;
}

/* false: the runner has gone. */
static bool take_frames(struct usernet *net)
{
	for (unsigned int i = 0; i < BATCH; i++) {
		ssize_t n = recv(USERNET_FD, net->frame, sizeof(net->frame), MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (!n)
			return false;
		if (!usernet_forbidden(net->frame, n))
			slirp_input(net->slirp, net->frame, n);
	}
	return true;
}

static int64_t now_ms(void)
{
	return on_clock(NULL) / 1000000;
}

/* The least of @timeout, in milliseconds, and what is left for the timer. */
static uint32_t until_timer(const struct usernet *net, uint32_t timeout)
{
	int64_t left = net->timer.when == NEVER ? timeout : net->timer.when - now_ms();

	if (left <= 0)
		return 0;
	return left < timeout ? left : timeout;
}

static void run_timer(struct usernet *net)
{
	struct timer *timer = &net->timer;

	if (!timer->call || timer->when == NEVER || timer->when > now_ms())
		return;
	timer->when = NEVER;
	timer->call(timer->opaque);
}

void usernet_run(struct usernet *net)
{
	for (;;) {
		uint32_t timeout = UINT32_MAX;
		bool frames;
		int n;

		net->count = 0;
		add_fd(USERNET_FD, SLIRP_POLL_IN, net);
		slirp_pollfds_fill(net->slirp, &timeout, add_fd, net);
		timeout = until_timer(net, timeout);
		n = poll(net->fds, net->count, timeout > INT32_MAX ? -1 : (int)timeout);
		frames = n > 0 && net->fds[0].revents;
		slirp_pollfds_poll(net->slirp, n < 0, get_events, net);
		run_timer(net);
		if (frames && !take_frames(net))
			return;
	}
}

/* ---- making ---- */

static struct in_addr address(uint32_t value)
{
	return (struct in_addr) { htonl(value) };
}

enum status usernet_create(bool loopback, unsigned int mtu, struct usernet **out)
{
	const SlirpConfig config = {
		.version = 1,
		.in_enabled = true,
		.vnetwork = address(USERNET_NET),
		.vnetmask = address(USERNET_MASK),
		.vhost = address(USERNET_HOST),
		.vdhcp_start = address(USERNET_GUEST),
		.vnameserver = address(USERNET_DNS),
		.in6_enabled = true,
		.vprefix_addr6 = USERNET_NET6,
		.vprefix_len = USERNET_PREFIX6,
		.vhost6 = USERNET_HOST6,
		.vnameserver6 = USERNET_DNS6,
		.vhostname = "guest",
		.disable_host_loopback = !loopback,
		.if_mtu = mtu ? mtu : USERNET_MTU,
		.if_mru = mtu ? mtu : USERNET_MTU,
	};
	const struct timeval patience = { .tv_usec = PATIENCE };
	const int buffer = SEND_BUFFER;
	struct usernet *net = calloc(1, sizeof(*net));

	setsockopt(USERNET_FD, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	/* A wish: the host may allow less. */
	setsockopt(USERNET_FD, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	if (net)
		net->slirp = slirp_new(&config, &callbacks, net);
	if (!net || !net->slirp) {
		complain("cannot create the user-mode network; free some memory");
		return STATUS_HOST;
	}
	*out = net;
	return STATUS_OK;
}

enum status usernet_add(struct usernet *net, const char *text)
{
	struct usernet_forward forward;
	enum status status = usernet_forward(text, &forward);

	if (status)
		return status;
	if (!slirp_add_hostfwd(net->slirp, forward.udp, forward.host, forward.host_port,
			       forward.guest, forward.guest_port))
		return STATUS_OK;
	complain("--net user: hostfwd=%s: %s; %s", text, strerror(errno),
		 errno == EACCES ? "use a port from 1024 on" : "use another port or address");
	return errno == EADDRINUSE ? STATUS_BUSY : STATUS_HOST;
}
