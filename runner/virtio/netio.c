// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Frames to and from a descriptor, which never blocks.
 *
 * A tap and a socket that keeps messages apart take a frame in one call. In a stream
 * each has its length before it, 32 bits in network order, as QEMU's stream back end and
 * passt have it; what a call leaves of a frame waits here. The other end is not trusted:
 * a length that no frame has ends the connection.
 *
 * Calls are those that the sandbox allows: SIGPIPE is ignored by the process.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include "netdev.h"

#define PREFIX	sizeof(uint32_t)

static ssize_t read_some(int fd, void *buf, size_t size)
{
	ssize_t n;

	do {
		n = read(fd, buf, size);
	} while (n < 0 && errno == EINTR);
	return n;
}

/* The positioned call without a position, for the sandbox knows no other. */
static ssize_t write_some(int fd, const struct iovec *iov, unsigned int count)
{
	ssize_t n;

	do {
		n = pwritev2(fd, iov, count, -1, 0);
	} while (n < 0 && errno == EINTR);
	return n;
}

static bool try_again(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ENOMEM;
}

/* Errors of datagram sockets about a peer that comes and goes. */
static bool peer_pauses(void)
{
	return errno == ECONNREFUSED || errno == ENOTCONN;
}

/* An empty message and the end look alike. */
static bool ended(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLRDHUP };

	return poll(&poll_fd, 1, 0) > 0 && poll_fd.revents & (POLLHUP | POLLRDHUP | POLLERR);
}

/* ---- messages ---- */

static ssize_t read_message(struct netdev *dev, unsigned int pair, uint8_t *buf)
{
	bool tap = dev->kind == NETDEV_TAP;
	size_t head = tap ? 0 : NETDEV_HEADER;
	int fd = dev->fd[pair];
	ssize_t n = read_some(fd, buf + head, NETDEV_HEADER + NETDEV_FRAME_MAX - head);

	if (n < 0)
		return try_again() || (!tap && peer_pauses()) ? 0 : -1;
	if (!n)
		return tap || ended(fd) ? -1 : 0;
	memset(buf, 0, head);
	return head + n;
}

static enum netdev_sent write_message(struct netdev *dev, unsigned int pair,
				      const struct iovec *iov, unsigned int count)
{
	unsigned int skip = dev->kind != NETDEV_TAP;

	if (write_some(dev->fd[pair], iov + skip, count - skip) >= 0)
		return NETDEV_SENT;
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return NETDEV_FULL;
	if (errno == EPIPE || errno == ECONNRESET || errno == EBADFD)
		return NETDEV_GONE;
	/* A tap that is down, a frame that it does not understand, a peer not yet there. */
	return NETDEV_SENT;
}

/* ---- streams ---- */

/* The length that goes before a frame; 0: it is none. */
static size_t frame_length(const struct netdev_part *part)
{
	uint32_t len;

	memcpy(&len, part->bytes, PREFIX);
	len = ntohl(len);
	return len <= NETDEV_FRAME_MAX ? len : 0;
}

/* Until @want bytes are there: 1, 0 when some are missing, -1 at the end. */
static int read_part(struct netdev_part *part, int fd, size_t want)
{
	while (part->done < want) {
		ssize_t n = read_some(fd, part->bytes + part->done, want - part->done);

		if (n < 0 && try_again())
			return 0;
		if (n <= 0)
			return -1;
		part->done += n;
	}
	return 1;
}

static ssize_t read_stream(struct netdev *dev, uint8_t *buf)
{
	struct netdev_part *part = dev->in;
	int got = read_part(part, dev->fd[0], PREFIX);
	size_t len;

	if (got <= 0)
		return got;
	len = frame_length(part);
	if (!len)
		return -1;
	got = read_part(part, dev->fd[0], PREFIX + len);
	if (got <= 0)
		return got;
	part->done = 0;
	memset(buf, 0, NETDEV_HEADER);
	memcpy(buf + NETDEV_HEADER, part->bytes + PREFIX, len);
	return NETDEV_HEADER + len;
}

enum netdev_sent netdev_flush(struct netdev *dev)
{
	struct netdev_part *part = dev->out;

	if (!part)
		return NETDEV_SENT;
	while (part->done < part->len) {
		const struct iovec rest = { part->bytes + part->done, part->len - part->done };
		ssize_t n = write_some(dev->fd[0], &rest, 1);

		if (n < 0)
			return try_again() ? NETDEV_FULL : NETDEV_GONE;
		part->done += n;
	}
	part->len = 0;
	return NETDEV_SENT;
}

static enum netdev_sent write_stream(struct netdev *dev, const struct iovec *iov,
				     unsigned int count)
{
	struct netdev_part *part = dev->out;
	enum netdev_sent sent = netdev_flush(dev);
	size_t len = 0;
	uint32_t prefix;

	if (sent != NETDEV_SENT)
		return sent;
	for (unsigned int i = 1; i < count; i++) {
		if (iov[i].iov_len > NETDEV_FRAME_MAX - len)
			return NETDEV_SENT;
		memcpy(part->bytes + PREFIX + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	prefix = htonl(len);
	memcpy(part->bytes, &prefix, PREFIX);
	part->len = PREFIX + len;
	part->done = 0;
	/* It is ours now, whatever of it the socket takes. */
	return netdev_flush(dev) == NETDEV_GONE ? NETDEV_GONE : NETDEV_SENT;
}

/* ---- both ---- */

ssize_t netdev_read(struct netdev *dev, unsigned int pair, void *buf)
{
	return dev->kind == NETDEV_STREAM ? read_stream(dev, buf) : read_message(dev, pair, buf);
}

enum netdev_sent netdev_write(struct netdev *dev, unsigned int pair, const struct iovec *iov,
			      unsigned int count)
{
	return dev->kind == NETDEV_STREAM ? write_stream(dev, iov, count) :
					    write_message(dev, pair, iov, count);
}
