// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The socket device. Facts: VIRTIO Specification 1.2, "Socket Device".
 *
 * A program of the host connects to the socket of --vsock, says "CONNECT PORT" and a line's
 * end, is answered "OK" and a number when the guest accepts, and hung up on when not. A program
 * of the guest that connects to CID 2 and a port reaches the socket PATH_PORT.
 *
 * Invariants: no chain is in flight outside of a call. A packet of the guest is taken only
 * when there is a place for the RST that it may want.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "../listener.h"
#include "../words.h"
#include "virtio.h"
#include "vsock.h"

#define RX		0
#define TX		1
#define EVENTS		2
#define QUEUES		3

#define HOST_CID	2
#define CID_MIN		3
#define CID_DEFAULT	3
#define CID_MAX		(UINT32_MAX - 1)

/* The first port of ours for connections that the host begins. */
#define PORT_FIRST	1024
#define ORPHANS		64
#define PIECE		4096
#define HEADER		sizeof(struct virtio_vsock_hdr)

/* What outlives restarts of the guest. */
struct wire {
	uint32_t cid;
	int listener, broker;
};

/* An RST for a packet that belongs to no connection. */
struct orphan {
	uint32_t host_port, guest_port;
};

struct vsock {
	struct virtio *virtio;
	struct wire *wire;
	struct iowatch listener, broker;
	struct link *link[VSOCK_LINKS];
	unsigned int links;
	unsigned int turn;		/* the link that is looked at first */
	struct orphan orphan[ORPHANS];
	unsigned int orphans;
	uint32_t next_port;
	uint32_t questions;		/* to the broker, ever */
	bool owes_reset;		/* an event: all connections are gone */
};

static struct virtq *queue(const struct vsock *vsock, unsigned int n)
{
	return &vsock->virtio->queue[n];
}

/* ---- the set of links ---- */

static void remove_link(struct vsock *vsock, unsigned int n)
{
	struct link *link = vsock->link[n];

	link_close(link);
	free(link);
	vsock->link[n] = vsock->link[--vsock->links];
}

/* Those that have ended and owe nothing more. Never while a link is on the stack. */
static void reap(struct vsock *vsock)
{
	for (unsigned int i = vsock->links; i--;)
		if (vsock->link[i]->state == LINK_DEAD && !vsock->link[i]->owes)
			remove_link(vsock, i);
}

static void remove_all(struct vsock *vsock)
{
	while (vsock->links)
		remove_link(vsock, vsock->links - 1);
	vsock->orphans = 0;
}

/* One that owes its RST is still there, one that has ended without is not. */
static struct link *find(const struct vsock *vsock, uint32_t host_port, uint32_t guest_port)
{
	for (unsigned int i = 0; i < vsock->links; i++) {
		struct link *link = vsock->link[i];

		if (link->state != LINK_GREETING &&
		    (link->state != LINK_DEAD || link->owes) && link->host_port == host_port &&
		    link->guest_port == guest_port)
			return link;
	}
	return NULL;
}

/* NULL: there are enough. */
static struct link *add_link(struct vsock *vsock, enum link_state state)
{
	struct link *link;

	reap(vsock);
	if (vsock->links == VSOCK_LINKS)
		return NULL;
	link = calloc(1, sizeof(*link));
	if (!link)
		return NULL;
	link->vsock = vsock;
	link->io = vsock->virtio->io;
	link->state = state;
	link->peer.fd = -1;
	vsock->link[vsock->links++] = link;
	return link;
}

void vsock_ready(struct link *link)
{
	virtq_again(queue(link->vsock, RX));
}

/* ---- to the guest ---- */

static bool send_packet(struct vsock *vsock, const struct virtq_chain *chain,
			struct virtio_vsock_hdr *hdr)
{
	hdr->src_cid = htole64(HOST_CID);
	hdr->dst_cid = htole64(vsock->wire->cid);
	hdr->type = htole16(VIRTIO_VSOCK_TYPE_STREAM);
	if (chain->in_size < HEADER) {
		virtio_broken(vsock->virtio, "a buffer for packets that is too small");
		return false;
	}
	virtq_push(queue(vsock, RX), chain,
		   virtq_write(chain, 0, hdr, HEADER) + le32toh(hdr->len));
	return true;
}

/* Of a link: its ports, and how much of what the guest sent has been passed on. */
static struct virtio_vsock_hdr header(struct link *link, uint16_t op)
{
	link->announced = link->forwarded;
	return (struct virtio_vsock_hdr) {
		.src_port = htole32(link->host_port),
		.dst_port = htole32(link->guest_port),
		.op = htole16(op),
		.buf_alloc = htole32(VSOCK_RING),
		.fwd_cnt = htole32(link->forwarded),
	};
}

/* The order in which debts are paid: nothing of a connection comes before its beginning. */
static const struct {
	uint8_t owes;
	uint16_t op;
} debts[] = {
	{ OWES_RST, VIRTIO_VSOCK_OP_RST },
	{ OWES_REQUEST, VIRTIO_VSOCK_OP_REQUEST },
	{ OWES_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE },
	{ OWES_CREDIT, VIRTIO_VSOCK_OP_CREDIT_UPDATE },
	{ OWES_SHUTDOWN, VIRTIO_VSOCK_OP_SHUTDOWN },
};

static bool pay(struct link *link, const struct virtq_chain *chain)
{
	struct virtio_vsock_hdr hdr;
	unsigned int n = 0;

	while (!(link->owes & debts[n].owes))
		n++;
	hdr = header(link, debts[n].op);
	if (debts[n].owes == OWES_SHUTDOWN)
		hdr.flags = htole32(VIRTIO_VSOCK_SHUTDOWN_SEND |
				    (link->peer_reads ? 0 : VIRTIO_VSOCK_SHUTDOWN_RCV));
	link->owes &= ~debts[n].owes;
	return send_packet(link->vsock, chain, &hdr);
}

/* Bytes of the peer's; false: there were none, and the chain is still ours. */
static bool send_bytes(struct link *link, const struct virtq_chain *chain)
{
	struct virtio_vsock_hdr hdr;
	uint8_t piece[PIECE];
	size_t room = chain->in_size > HEADER ? chain->in_size - HEADER : 0;
	size_t len = link_window(link);

	if (!room) {
		virtio_broken(link->vsock->virtio, "a buffer for packets without room for bytes");
		return false;
	}
	if (len > sizeof(piece))
		len = sizeof(piece);
	if (len > room)
		len = room;
	len = len ? link_get(link, piece, len) : 0;
	if (!len)
		return false;
	hdr = header(link, VIRTIO_VSOCK_OP_RW);
	hdr.len = htole32(len);
	virtq_write(chain, HEADER, piece, len);
	return send_packet(link->vsock, chain, &hdr);
}

static bool send_orphan(struct vsock *vsock, const struct virtq_chain *chain)
{
	const struct orphan *orphan = &vsock->orphan[--vsock->orphans];
	struct virtio_vsock_hdr hdr = {
		.src_port = htole32(orphan->host_port),
		.dst_port = htole32(orphan->guest_port),
		.op = htole16(VIRTIO_VSOCK_OP_RST),
	};

	/* The guest's packets wait for places. */
	virtq_again(queue(vsock, TX));
	return send_packet(vsock, chain, &hdr);
}

static bool has_something(const struct link *link)
{
	return link->owes || (link->readable && link_window(link));
}

/* The next link in turn with something to send, NULL: none. */
static struct link *next_link(struct vsock *vsock)
{
	for (unsigned int i = 0; i < vsock->links; i++) {
		struct link *link = vsock->link[(vsock->turn + i) % vsock->links];

		if (!has_something(link))
			continue;
		vsock->turn = (vsock->turn + i + 1) % vsock->links;
		return link;
	}
	return NULL;
}

/* One packet; false: there is none, or no chain. */
static bool send_next(struct vsock *vsock)
{
	struct virtq *vq = queue(vsock, RX);
	struct link *link = vsock->orphans ? NULL : next_link(vsock);
	struct virtq_chain chain;

	if ((!link && !vsock->orphans) || !virtq_pop(vq, &chain))
		return false;
	if (!link)
		return send_orphan(vsock, &chain);
	if (link->owes)
		return pay(link, &chain);
	if (!send_bytes(link, &chain))
		virtq_unpop(vq, &chain);
	link_update(link);
	return true;
}

static void send_all(struct vsock *vsock)
{
	/* A link that has nothing after all counts too: nobody keeps the thread. */
	for (unsigned int i = 0; i < VIRTQ_SIZE_MAX; i++)
		if (!send_next(vsock))
			return;
	virtq_again(queue(vsock, RX));
}

static void send_event(struct vsock *vsock)
{
	const struct virtio_vsock_event event = {
		.id = htole32(VIRTIO_VSOCK_EVENT_TRANSPORT_RESET),
	};
	struct virtq_chain chain;

	if (!vsock->owes_reset || !virtq_pop(queue(vsock, EVENTS), &chain))
		return;
	vsock->owes_reset = false;
	virtq_push(queue(vsock, EVENTS), &chain, virtq_write(&chain, 0, &event, sizeof(event)));
}

/* ---- from the guest ---- */

static void refuse(struct vsock *vsock, const struct virtio_vsock_hdr *hdr)
{
	if (le16toh(hdr->op) == VIRTIO_VSOCK_OP_RST)
		return;
	vsock->orphan[vsock->orphans++] =
		(struct orphan) { le32toh(hdr->dst_port), le32toh(hdr->src_port) };
	virtq_again(queue(vsock, RX));
}

static void on_request(struct vsock *vsock, struct link *link, const struct virtio_vsock_hdr *hdr)
{
	if (link)
		link_close(link);
	link = link ? NULL : add_link(vsock, LINK_DIALLING);
	if (!link) {
		refuse(vsock, hdr);
		return;
	}
	link->host_port = le32toh(hdr->dst_port);
	link->guest_port = le32toh(hdr->src_port);
	link->credit = le32toh(hdr->buf_alloc);
	link->taken = le32toh(hdr->fwd_cnt);
	link->question = vsock->questions++;
	if (!broker_ask(vsock->wire->broker, link->question, link->host_port))
		link_kill(link);
}

static void on_response(struct link *link)
{
	char text[32];

	if (link->state != LINK_ASKED || link->owes & OWES_REQUEST || !link_open(link)) {
		link_kill(link);
		return;
	}
	snprintf(text, sizeof(text), "OK %u\n", link->host_port);
	link_say(link, text);
}

/* Bytes as far as the packet says, and it must not say more than there is. */
static void on_bytes(struct link *link, const struct virtq_chain *chain, size_t len)
{
	uint8_t piece[PIECE];
	bool good = link->state == LINK_OPEN && link->guest_sends;

	for (size_t done = 0; good && done < len;) {
		size_t n = virtq_read(chain, HEADER + done, piece,
				      len - done < PIECE ? len - done : PIECE);

		good = link_put(link, piece, n) && link->state == LINK_OPEN;
		done += n;
	}
	if (!good && link->state != LINK_DEAD)
		link_kill(link);
}

static void on_packet(struct link *link, const struct virtq_chain *chain,
		      const struct virtio_vsock_hdr *hdr)
{
	uint32_t flags = le32toh(hdr->flags);

	link->credit = le32toh(hdr->buf_alloc);
	link->taken = le32toh(hdr->fwd_cnt);
	switch (le16toh(hdr->op)) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		on_response(link);
		break;
	case VIRTIO_VSOCK_OP_RST:
		link_close(link);
		link->owes = 0;
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		link_shut(link, flags & VIRTIO_VSOCK_SHUTDOWN_SEND,
			  flags & VIRTIO_VSOCK_SHUTDOWN_RCV);
		break;
	case VIRTIO_VSOCK_OP_RW:
		on_bytes(link, chain, le32toh(hdr->len));
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		link->owes |= OWES_CREDIT;
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break;
	default:
		link_kill(link);
	}
	link_update(link);
	if (has_something(link))
		vsock_ready(link);
}

/* false: it is no packet. */
static bool take_packet(struct vsock *vsock, const struct virtq_chain *chain)
{
	struct virtio_vsock_hdr hdr;
	struct link *link;

	if (virtq_read(chain, 0, &hdr, HEADER) != HEADER ||
	    le32toh(hdr.len) > chain->out_size - HEADER) {
		virtio_broken(vsock->virtio, "a packet shorter than it says");
		return false;
	}
	/* Another's packets are nobody's. */
	if (le64toh(hdr.dst_cid) != HOST_CID || le64toh(hdr.src_cid) != vsock->wire->cid)
		return true;
	link = find(vsock, le32toh(hdr.dst_port), le32toh(hdr.src_port));
	if (link && link->state == LINK_DEAD)
		return true;
	if (le16toh(hdr.type) != VIRTIO_VSOCK_TYPE_STREAM)
		refuse(vsock, &hdr);
	else if (le16toh(hdr.op) == VIRTIO_VSOCK_OP_REQUEST)
		on_request(vsock, link, &hdr);
	else if (link)
		on_packet(link, chain, &hdr);
	else
		refuse(vsock, &hdr);
	return true;
}

static void take_packets(struct vsock *vsock)
{
	struct virtq *vq = queue(vsock, TX);
	struct virtq_chain chain;

	/* With no place left it is the guest's turn to take some of its RSTs. */
	while (vsock->orphans < ORPHANS && virtq_pop(vq, &chain)) {
		if (!take_packet(vsock, &chain))
			return;
		virtq_push(vq, &chain, 0);
	}
}

static void vsock_notify(void *device, unsigned int n)
{
	struct vsock *vsock = device;

	if (n == TX)
		take_packets(vsock);
	else if (n == EVENTS)
		send_event(vsock);
	else
		send_all(vsock);
	reap(vsock);
}

/* ---- from the host ---- */

static void on_listener(void *opaque)
{
	struct vsock *vsock = opaque;
	int fd = listener_accept(vsock->listener.fd);
	struct link *link;

	if (fd < 0)
		return;
	link = add_link(vsock, LINK_GREETING);
	if (link)
		link_adopt(link, fd);
	else
		close(fd);
}

void vsock_greeted(struct link *link, uint32_t port)
{
	struct vsock *vsock = link->vsock;

	/* There are far more ports than links. */
	do {
		if (++vsock->next_port < PORT_FIRST)
			vsock->next_port = PORT_FIRST;
	} while (find(vsock, vsock->next_port, port));
	link->host_port = vsock->next_port;
	link->guest_port = port;
	link->state = LINK_ASKED;
	link->owes |= OWES_REQUEST;
	vsock_ready(link);
}

/* Who asked the broker that question; NULL: nobody any more. */
static struct link *dialling(const struct vsock *vsock, uint32_t question)
{
	for (unsigned int i = 0; i < vsock->links; i++)
		if (vsock->link[i]->state == LINK_DIALLING &&
		    vsock->link[i]->question == question)
			return vsock->link[i];
	return NULL;
}

static void on_broker(void *opaque)
{
	struct vsock *vsock = opaque;
	struct link *link;
	uint32_t id;
	int fd;

	if (!broker_hear(vsock->broker.fd, &id, &fd)) {
		/* It is gone: nobody can be connected to any more. */
		iothread_unwatch(vsock->virtio->io, &vsock->broker);
		for (unsigned int i = 0; i < vsock->links; i++)
			if (vsock->link[i]->state == LINK_DIALLING)
				link_kill(vsock->link[i]);
		return;
	}
	link = dialling(vsock, id);
	if (!link) {
		if (fd >= 0)
			close(fd);
		return;
	}
	if (fd < 0 || !link_open(link)) {
		if (fd >= 0)
			close(fd);
		link_kill(link);
		return;
	}
	link->owes |= OWES_RESPONSE;
	link_adopt(link, fd);
	vsock_ready(link);
}

/* ---- life ---- */

static void vsock_reset(void *device)
{
	struct vsock *vsock = device;

	remove_all(vsock);
	vsock->owes_reset = false;
}

static void vsock_destroy(void *device)
{
	struct vsock *vsock = device;

	remove_all(vsock);
	iothread_unwatch(vsock->virtio->io, &vsock->listener);
	iothread_unwatch(vsock->virtio->io, &vsock->broker);
	free(vsock);
}

static void *vsock_create(struct virtio *virtio, void *backend)
{
	struct virtio_vsock_config *config = virtio->config;
	struct vsock *vsock = calloc(1, sizeof(*vsock));

	if (!vsock)
		return NULL;
	vsock->virtio = virtio;
	vsock->wire = backend;
	vsock->next_port = PORT_FIRST;
	vsock->listener = (struct iowatch) { vsock->wire->listener, on_listener, vsock };
	vsock->broker = (struct iowatch) { vsock->wire->broker, on_broker, vsock };
	config->guest_cid = htole64(vsock->wire->cid);
	if (iothread_watch(virtio->io, &vsock->listener, EPOLLIN) ||
	    iothread_watch(virtio->io, &vsock->broker, EPOLLIN)) {
		vsock_destroy(vsock);
		return NULL;
	}
	return vsock;
}

static const struct word_row vsock_words[] = {
	{ "cid", WORD_COUNT, offsetof(struct wire, cid), CID_MIN, CID_MAX },
};

static const struct word_table vsock_table = {
	"vsock", vsock_words, sizeof(vsock_words) / sizeof(vsock_words[0]),
};

static void vsock_close(void *backend)
{
	struct wire *wire = backend;

	if (wire->listener >= 0)
		close(wire->listener);
	if (wire->broker >= 0)
		close(wire->broker);
	free(wire);
}

static enum status open_wire(const char *text, struct wire *wire)
{
	static const char prefix[] = "socket=";
	const size_t len = sizeof(prefix) - 1;
	enum status status;

	if (strncmp(text, prefix, len) || !text[len]) {
		complain("--vsock: '%s': has no socket; write socket=PATH", text);
		return STATUS_USAGE;
	}
	status = listener_open("vsock", text + len, &wire->listener);
	if (status)
		return status;
	wire->broker = broker_start(text + len);
	if (wire->broker >= 0)
		return STATUS_OK;
	complain("--vsock: cannot start a process: %s; allow more", strerror(-wire->broker));
	return STATUS_HOST;
}

static enum status vsock_open(const char *text, void **backend)
{
	struct wire *wire = calloc(1, sizeof(*wire));
	const char *socket = NULL;
	enum status status;

	if (!wire) {
		complain("no memory for a vsock; free some");
		return STATUS_HOST;
	}
	*wire = (struct wire) { .cid = CID_DEFAULT, .listener = -1, .broker = -1 };
	status = words_parse(&vsock_table, text, &socket, wire);
	if (!status)
		status = open_wire(socket, wire);
	free((char *)socket);
	if (status)
		vsock_close(wire);
	else
		*backend = wire;
	return status;
}

/* Connections stay behind: a guest that is loaded is told that they are gone. */
static void vsock_save(void *device, struct state *state)
{
	struct vsock *vsock = device;

	state_put(state, vsock->links || vsock->owes_reset);
}

static void vsock_load(void *device, struct state *state, uint32_t version)
{
	struct vsock *vsock = device;

	(void)version;
	remove_all(vsock);
	vsock->owes_reset = state_get_max(state, 1);
}

const struct virtio_type virtio_vsock = {
	.name = "vsock",
	.id = VIRTIO_ID_VSOCK,
	.class = 0x078000,	/* communication controller */
	.queues = QUEUES,
	.queue_size = 128,
	.config_size = sizeof(struct virtio_vsock_config),
	.descriptors = VSOCK_LINKS,
	.open = vsock_open,
	.close = vsock_close,
	.create = vsock_create,
	.destroy = vsock_destroy,
	.notify = vsock_notify,
	.reset = vsock_reset,
	.version = 1,
	.save = vsock_save,
	.load = vsock_load,
};
