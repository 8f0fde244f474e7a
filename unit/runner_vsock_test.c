// SPDX-License-Identifier: GPL-2.0-or-later
/* The socket device against a scripted driver and programs on its Unix sockets. */
/* unit-sources: ../runner/virtio/vsock.c ../runner/virtio/vsock_link.c ../runner/listener.c */
/* unit-sources: ../runner/virtio/vsock_broker.c ../runner/words.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
/* unit-libs: -lseccomp */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/virtio_vsock.h>
#include "tap.h"
#include "virtio_world.h"

extern const struct virtio_type virtio_vsock;

#define CID	42
#define HDR	sizeof(struct virtio_vsock_hdr)
#define BUFFER	4096
#define RING	(64 * 1024)
#define CREDIT	10000

static char path[64];
static void *backend;

/* The driver's side: buffers in the order they were given, and where the next one is. */
static uint64_t buffers;
static unsigned int given, got;

static void give(struct world *world, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++, given++) {
		const struct buffer buffer = { buffers + (given % 128) * BUFFER, BUFFER, true };

		driver_add(world, 0, &buffer, 1);
	}
	driver_kick(world, 0);
}

static struct world *open_world(unsigned int count)
{
	struct world *world;
	char text[128];

	snprintf(text, sizeof(text), "socket=%s,cid=%u", path, CID);
	if (virtio_vsock.open(text, &backend))
		abort();
	world = world_open(&virtio_vsock, backend);
	driver_start(world, 0);
	buffers = world_alloc(world, 128 * BUFFER);
	given = 0;
	got = 0;
	give(world, count);
	return world;
}

static void close_world(struct world *world)
{
	world_close(world);
	virtio_vsock.close(backend);
	unlink(path);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

/* The next packet for the driver: what it is; NULL: none. */
static const struct virtio_vsock_hdr *hear(struct world *world)
{
	if (driver_used(world, 0, NULL) < 0)
		return NULL;
	return world_at(world, buffers + (got++ % 128) * BUFFER, BUFFER);
}

static uint16_t hear_op(struct world *world)
{
	const struct virtio_vsock_hdr *hdr = hear(world);

	return hdr ? hdr->op : 0;
}

static struct virtio_vsock_hdr packet(uint16_t op, uint32_t guest_port, uint32_t host_port)
{
	return (struct virtio_vsock_hdr) {
		.src_cid = CID, .dst_cid = 2, .src_port = guest_port, .dst_port = host_port,
		.type = VIRTIO_VSOCK_TYPE_STREAM, .op = op, .buf_alloc = CREDIT,
	};
}

/* @hdr and @len bytes of @data that may be more or less than it says. */
static void send_raw(struct world *world, const struct virtio_vsock_hdr *hdr, const void *data,
		     size_t len)
{
	uint64_t heap = world->heap, gpa = world_alloc(world, HDR + len + 1);

	memcpy(world_at(world, gpa, HDR), hdr, HDR);
	memcpy(world_at(world, gpa + HDR, len + 1), data, len);
	driver_add(world, 1, (struct buffer[]) { { gpa, HDR + len, false } }, 1);
	driver_kick(world, 1);
	/* It has been taken. */
	if (driver_used(world, 1, NULL) >= 0)
		world->heap = heap;
}

static void tell(struct world *world, uint16_t op, uint32_t guest_port, uint32_t host_port)
{
	struct virtio_vsock_hdr hdr = packet(op, guest_port, host_port);

	if (op == VIRTIO_VSOCK_OP_SHUTDOWN)
		hdr.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
	send_raw(world, &hdr, "", 0);
}

static void say(struct world *world, uint32_t guest_port, uint32_t host_port, const void *data,
		size_t len)
{
	struct virtio_vsock_hdr hdr = packet(VIRTIO_VSOCK_OP_RW, guest_port, host_port);

	hdr.len = len;
	send_raw(world, &hdr, data, len);
}

static struct sockaddr_un address(const char *suffix)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s%s", path, suffix);
	return address;
}

static int dial(struct world *world, const char *greeting)
{
	struct sockaddr_un to = address("");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) ||
	    write(fd, greeting, strlen(greeting)) < 0)
		abort();
	world_settle(world);
	return fd;
}

static const char *read_some(int fd)
{
	static char text[256];
	ssize_t n = read(fd, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = 0;
	return n < 0 ? "(nothing)" : n ? text : "(end)";
}

/* A connection that the host begins, to port 7; *@host_port is the device's. */
static int connected(struct world *world, uint32_t *host_port)
{
	int fd = dial(world, "CONNECT 7\n");
	const struct virtio_vsock_hdr *hdr = hear(world);

	if (!hdr || hdr->op != VIRTIO_VSOCK_OP_REQUEST)
		abort();
	*host_port = hdr->src_port;
	tell(world, VIRTIO_VSOCK_OP_RESPONSE, 7, *host_port);
	read_some(fd);
	return fd;
}

/* ---- from the host ---- */

static void test_host_begins(void)
{
	struct world *world = open_world(100);
	const struct virtio_vsock_hdr *hdr;
	uint64_t cid = 0;
	uint32_t port;
	char text[32];
	int fd;

	virtio_config_read(world->core, 0, &cid, sizeof(cid));
	is(cid, CID, "the guest has its number");
	fd = dial(world, "CONN");
	is(hear_op(world), 0, "half a line is no wish");
	is(write(fd, "ECT 7\nearly", 11), 11, "with the rest");
	world_settle(world);
	hdr = hear(world);
	ok(hdr && hdr->op == VIRTIO_VSOCK_OP_REQUEST, "it is a request to the guest");
	ok(hdr->dst_cid == CID && hdr->src_cid == 2 && hdr->dst_port == 7, "for its port");
	is(hdr->buf_alloc, RING, "with what we have room for");
	port = hdr->src_port;
	is_str(read_some(fd), "(nothing)", "the peer waits");
	tell(world, VIRTIO_VSOCK_OP_RESPONSE, 7, port);
	snprintf(text, sizeof(text), "OK %u\n", port);
	is_str(read_some(fd), text, "until the guest accepts");
	hdr = hear(world);
	ok(hdr && hdr->op == VIRTIO_VSOCK_OP_RW && hdr->len == 5 && !memcmp(hdr + 1, "early", 5),
	   "what it said at once comes next");
	say(world, 7, port, "hello", 5);
	is_str(read_some(fd), "hello", "and it hears the guest");

	shutdown(fd, SHUT_WR);
	world_settle(world);
	hdr = hear(world);
	ok(hdr && hdr->op == VIRTIO_VSOCK_OP_SHUTDOWN && hdr->flags == VIRTIO_VSOCK_SHUTDOWN_SEND,
	   "a peer that says no more");
	say(world, 7, port, "after", 5);
	is_str(read_some(fd), "after", "still hears");
	tell(world, VIRTIO_VSOCK_OP_SHUTDOWN, 7, port);
	is_str(read_some(fd), "(end)", "to the guest's end");
	close(fd);

	fd = connected(world, &port);
	tell(world, VIRTIO_VSOCK_OP_RST, 7, port);
	is_str(read_some(fd), "(end)", "a reset closes");
	close(fd);
	fd = dial(world, "CONNECT 8\n");
	port = hear(world)->src_port;
	tell(world, VIRTIO_VSOCK_OP_RST, 8, port);
	is_str(read_some(fd), "(end)", "and is a refusal");
	close(fd);
	fd = connected(world, &port);
	close(fd);
	world_settle(world);
	hdr = hear(world);
	ok(hdr && hdr->op == VIRTIO_VSOCK_OP_SHUTDOWN && hdr->flags == 3, "a peer that is gone");
	say(world, 7, port, "anyone?", 7);
	is(hear_op(world), VIRTIO_VSOCK_OP_RST, "hears nothing");

	fd = dial(world, "HELLO\n");
	is_str(read_some(fd), "(end)", "who does not know the word is hung up on");
	close(fd);
	fd = dial(world, "CONNECT 99999999999\n");
	is_str(read_some(fd), "(end)", "as for a port that cannot be");
	close(fd);
	fd = dial(world, "CONNECT 77777777777777777777777777777777");
	is(write(fd, "7", 1), -1, "or a line that does not end");
	close(fd);
	is(world_complaints, 0, "no complaint");
	close_world(world);
}

/* ---- from the guest ---- */

static void test_guest_begins(void)
{
	struct world *world = open_world(100);
	struct sockaddr_un at = address("_5000");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), peer;
	struct virtio_vsock_hdr hdr;

	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 5))
		abort();
	tell(world, VIRTIO_VSOCK_OP_REQUEST, 1000, 5000);
	world_wait(world);
	is(hear_op(world), VIRTIO_VSOCK_OP_RESPONSE, "a port with a listener accepts");
	peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
	ok(peer >= 0, "who has a connection");
	say(world, 1000, 5000, "from the guest", 14);
	is_str(read_some(peer), "from the guest", "and hears");
	hdr = packet(VIRTIO_VSOCK_OP_SHUTDOWN, 1000, 5000);
	hdr.flags = VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RCV;
	send_raw(world, &hdr, "", 0);
	is(hear_op(world), VIRTIO_VSOCK_OP_RST, "the end of both directions is the end");
	/* The process that connected may still have it for a moment. */
	fcntl(peer, F_SETFL, 0);
	is_str(read_some(peer), "(end)", "for both");
	close(peer);
	tell(world, VIRTIO_VSOCK_OP_REQUEST, 1000, 5001);
	world_wait(world);
	is(hear_op(world), VIRTIO_VSOCK_OP_RST, "one without refuses");
	close(fd);
	tell(world, VIRTIO_VSOCK_OP_REQUEST, 1000, 5000);
	world_wait(world);
	is(hear_op(world), VIRTIO_VSOCK_OP_RST, "and so does one that nobody is at any more");
	unlink(at.sun_path);
	close_world(world);
}

/* ---- credit ---- */

static void test_credit(void)
{
	static char big[RING];
	struct world *world = open_world(100);
	struct virtio_vsock_hdr hdr;
	uint32_t port, sum = 0;
	size_t done = 0;
	ssize_t n;
	int fd = connected(world, &port);

	while (done < 4 * CREDIT && (n = write(fd, big, 1000)) > 0)
		done += n;
	world_settle(world);
	for (const struct virtio_vsock_hdr *next; (next = hear(world));)
		sum += next->len;
	is(sum, CREDIT, "the guest gets what it has room for");
	hdr = packet(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 7, port);
	hdr.fwd_cnt = 4000;
	send_raw(world, &hdr, "", 0);
	sum = 0;
	for (const struct virtio_vsock_hdr *next; (next = hear(world));)
		sum += next->len;
	is(sum, 4000, "and when it has room again, more");
	tell(world, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 7, port);
	is(hear_op(world), VIRTIO_VSOCK_OP_CREDIT_UPDATE, "it may ask for its own");

	/* The other way: what the peer's socket takes, and a ring behind it. */
	done = 0;
	sum = 0;
	for (int i = 0; i < 1000; i++) {
		const struct virtio_vsock_hdr *next;

		while ((next = hear(world))) {
			if (next->op == VIRTIO_VSOCK_OP_RST)
				break;
			sum = next->fwd_cnt;
		}
		if (done - sum + 4096 > RING)
			break;
		say(world, 7, port, big, 4096);
		done += 4096;
		give(world, given - got < 50 ? 10 : 0);
	}
	ok(done < 1 << 20, "a peer that does not read stops the guest");
	say(world, 7, port, big, RING);
	is(hear_op(world), VIRTIO_VSOCK_OP_RST, "a guest that does not stop is cut off");
	close(fd);
	is(world_complaints, 0, "without a complaint");
	close_world(world);
}

/* ---- rude drivers ---- */

static void test_rude(void)
{
	struct world *world = open_world(0);
	struct virtio_vsock_hdr hdr = packet(VIRTIO_VSOCK_OP_RW, 1, 1);
	uint32_t port;
	int back = 0, fd;

	for (int i = 0; i < 120; i++)
		driver_add(world, 1, (struct buffer[]) { { buffers, HDR, false } }, 1);
	memcpy(world_at(world, buffers, HDR), &hdr, HDR);
	driver_kick(world, 1);
	while (driver_used(world, 1, NULL) >= 0)
		back++;
	is(back, 64, "packets of no connection are taken while their answers have places");
	buffers += BUFFER;
	give(world, 100);
	while (driver_used(world, 1, NULL) >= 0)
		back++;
	is(back, 120, "and the rest when the guest takes those");
	back = 0;
	while (hear_op(world) == VIRTIO_VSOCK_OP_RST)
		back++;
	is(back, 100, "each of them a reset");
	give(world, 28);
	for (back = 0; hear_op(world) == VIRTIO_VSOCK_OP_RST; back++)
		;
	is(back, 20, "to the last");

	hdr = packet(VIRTIO_VSOCK_OP_RST, 1, 1);
	send_raw(world, &hdr, "", 0);
	is(hear_op(world), 0, "a reset has no answer");
	hdr = packet(VIRTIO_VSOCK_OP_REQUEST, 1, 1);
	hdr.src_cid = 43;
	send_raw(world, &hdr, "", 0);
	hdr.src_cid = CID;
	hdr.dst_cid = 1;
	send_raw(world, &hdr, "", 0);
	world_settle(world);
	is(hear_op(world), 0, "nor has what is another's");
	hdr = packet(VIRTIO_VSOCK_OP_REQUEST, 1, 1);
	hdr.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	send_raw(world, &hdr, "", 0);
	is(hear_op(world), VIRTIO_VSOCK_OP_RST, "another type is refused");
	for (uint32_t i = 0; i < 600; i++)
		tell(world, VIRTIO_VSOCK_OP_REQUEST, 1, 10000 + i);
	ok(!world->core->broken, "six hundred requests");
	driver_reset(world);
	driver_start(world, 0);
	hdr = packet(VIRTIO_VSOCK_OP_RW, 1, 1);
	hdr.len = 6;
	send_raw(world, &hdr, "short", 5);
	ok(world->core->broken, "a packet that says more than it is breaks the device");
	driver_reset(world);
	driver_start(world, 0);
	driver_add(world, 0, (struct buffer[]) { { buffers, HDR - 1, true } }, 1);
	tell(world, VIRTIO_VSOCK_OP_RW, 1, 1);
	ok(world->core->broken, "and so does a buffer too small for one");
	is(world_complaints, 1, "one complaint");
	driver_reset(world);
	driver_start(world, 0);
	given = 0;
	got = 0;
	give(world, 1);
	fd = connected(world, &port);
	is(write(fd, "bytes", 5), 5, "a peer speaks");
	driver_add(world, 0, (struct buffer[]) { { buffers, HDR, true } }, 1);
	driver_kick(world, 0);
	ok(world->core->broken, "and a buffer for a header alone has no end but this");
	close(fd);
	close_world(world);
}

static void test_round_trip(void)
{
	struct world *world = open_world(100);
	uint64_t event = world_alloc(world, 8);
	struct state state;
	uint32_t port;
	int fd = connected(world, &port);

	*(uint32_t *)world_at(world, event, 4) = 99;
	driver_add(world, 2, (struct buffer[]) { { event, 8, true } }, 1);
	driver_kick(world, 2);
	is(driver_used(world, 2, NULL), -1, "there is no event");
	virtio_quiesce(world->core);
	is(write(fd, "held", 4), 4, "what comes");
	world_settle(world);
	is(hear_op(world), 0, "while the device is quiet waits");
	virtio_resume(world->core);
	world_settle(world);
	is(hear_op(world), VIRTIO_VSOCK_OP_RW, "and comes then");
	virtio_quiesce(world->core);
	state_init(&state);
	virtio_save(world->core, &state);
	virtio_load(world->core, &state);
	ok(state_good(&state) && state.at == state.len, "saved and loaded");
	is_str(read_some(fd), "(end)", "a connection stays behind");
	virtio_resume(world->core);
	world_settle(world);
	is(driver_used(world, 2, NULL), 0, "and the guest has an event");
	is(*(uint32_t *)world_at(world, event, 4), VIRTIO_VSOCK_EVENT_TRANSPORT_RESET,
	   "which says so");
	close(fd);
	fd = connected(world, &port);
	say(world, 7, port, "new", 3);
	is_str(read_some(fd), "new", "a new one can be had");
	state_free(&state);
	close(fd);
	close_world(world);
}

static void test_many(void)
{
	struct world *world = open_world(120);
	int fd[300], ends = 0;

	for (int i = 0; i < 300; i++)
		fd[i] = dial(world, "");
	for (int i = 0; i < 300; i++)
		ends += !strcmp(read_some(fd[i]), "(end)");
	is(ends, 44, "the 257th connection is refused");
	for (int i = 0; i < 300; i++)
		close(fd[i]);
	world_settle(world);
	fd[0] = dial(world, "CONNECT 7\n");
	is(hear_op(world), VIRTIO_VSOCK_OP_REQUEST, "until others have gone");
	close(fd[0]);
	close_world(world);
}

static enum status try(const char *text)
{
	void *wire;
	enum status status = virtio_vsock.open(text, &wire);

	if (!status)
		virtio_vsock.close(wire);
	return status;
}

static void test_option(void)
{
	char text[128];

	is(try("path"), STATUS_USAGE, "a socket is needed");
	is(try("socket="), STATUS_USAGE, "with a name");
	is(try("socket=/nonexistent/a"), STATUS_BAD_FILE, "that can be had");
	snprintf(text, sizeof(text), "socket=%s,cid=2", path);
	is(try(text), STATUS_USAGE, "the guest is not the host");
	text[strlen(text) - 1] = '3';
	is(try(text), STATUS_OK, "but may be the third");
	unlink(path);
}

int main(void)
{
	snprintf(path, sizeof(path), "/tmp/runner_vsock_test.%d", getpid());
	signal(SIGPIPE, SIG_IGN);
	test_host_begins();
	test_guest_begins();
	test_credit();
	test_rude();
	test_round_trip();
	test_many();
	test_option();
	return tap_end();
}
