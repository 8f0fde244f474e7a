// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The console device. Facts: VIRTIO Specification 1.2, "Console Device".
 *
 * Every --console is a port of it; where a port leads is port.h's. Messages that the
 * driver is to get are bits of what each port owes, so that however long it gives no
 * buffers for them, they take no memory.
 *
 * Invariant: no chain is in flight outside of a call. What a port has taken of a chain that
 * is longer than its room is in taken; the chain is popped again when there is room.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_console.h>
#include "port.h"
#include "virtio.h"

#define PORTS_MAX	8

/* Queues beside the first port's two. */
#define CONTROL_RX	2
#define CONTROL_TX	3

/* Chains of input, bytes of output at once: other devices have their turn in between. */
#define TURN		16
#define TURN_BYTES	(256 * 1024)
#define PIECE		4096

/* What a port owes the driver; the lowest first. */
#define OWES_ADD	1
#define OWES_CONSOLE	2
#define OWES_NAME	4
#define OWES_RESIZE	8
#define OWES_OPEN	16
#define OWES_ALL	31

/* Behind the message VIRTIO_CONSOLE_RESIZE. */
struct virtio_console_size {
	uint16_t cols, rows;
};

struct serial {
	struct hvc *hvc;
	struct port *end;
	unsigned int id;
	bool open;			/* by the guest; without messages always */
	uint8_t owes;
	size_t taken;			/* bytes, of the next chain of output */
};

struct hvc {
	struct virtio *virtio;
	struct ports *ports;
	struct serial serial[PORTS_MAX];
};

/* All of --console. */
struct ports {
	struct port *port[PORTS_MAX];
	unsigned int count;
};

static bool has_messages(const struct hvc *hvc)
{
	return virtio_has(hvc->virtio, VIRTIO_CONSOLE_F_MULTIPORT);
}

static bool is_console(const struct serial *serial)
{
	return !serial->end->name[0];
}

static unsigned int rx_queue(const struct serial *serial)
{
	return serial->id ? 2 * serial->id + 2 : 0;
}

static struct virtq *rx(const struct serial *serial)
{
	return &serial->hvc->virtio->queue[rx_queue(serial)];
}

static struct virtq *tx(const struct serial *serial)
{
	return &serial->hvc->virtio->queue[rx_queue(serial) + 1];
}

/* ---- data ---- */

static void take_output(struct serial *serial)
{
	struct virtq *vq = tx(serial);
	struct virtq_chain chain;
	size_t left = TURN_BYTES;

	while (virtq_pop(vq, &chain)) {
		size_t n = 0;

		/* A driver may give another chain than the one that it gave before. */
		if (serial->taken < chain.out_size)
			n = port_put(serial->end, &chain, serial->taken, left);
		serial->taken += n;
		left -= n < left ? n : left;
		if (serial->taken < chain.out_size) {
			virtq_unpop(vq, &chain);
			break;
		}
		serial->taken = 0;
		virtq_push(vq, &chain, 0);
	}
	if (!left)
		virtq_again(vq);
}

/* One chain of input; false: there is none, or no chain for it. */
static bool give_chain(struct serial *serial)
{
	struct virtq *vq = rx(serial);
	struct virtq_chain chain;
	uint8_t piece[PIECE];
	size_t len;

	if (!serial->open || !virtq_pop(vq, &chain)) {
		port_want(serial->end, false);
		return false;
	}
	len = chain.in_size < PIECE ? chain.in_size : PIECE;
	if (len)
		len = port_get(serial->end, piece, len);
	if (!len && chain.in_size) {
		virtq_unpop(vq, &chain);
		port_want(serial->end, true);
		return false;
	}
	virtq_push(vq, &chain, virtq_write(&chain, 0, piece, len));
	return true;
}

static void give_input(struct serial *serial)
{
	for (unsigned int i = 0; i < TURN; i++)
		if (!give_chain(serial))
			return;
	/* The port says at once when there is more. */
	port_want(serial->end, true);
}

static void set_open(struct serial *serial, bool open)
{
	serial->open = open;
	port_set_open(serial->end, open);
	give_input(serial);
	virtq_flush(rx(serial));
}

/* ---- messages ---- */

static size_t name_message(const struct serial *serial, void *text)
{
	size_t len = strlen(serial->end->name);

	memcpy(text, serial->end->name, len);
	return len;
}

/*
 * As the specification has it. Drivers of Linux took rows for columns until 6.15; stable
 * kernels have the correction too.
 */
static size_t size_message(const struct serial *serial, void *text)
{
	struct virtio_console_size size = { 0, 0 };

	port_size(serial->end, &size.cols, &size.rows);
	size.cols = htole16(size.cols);
	size.rows = htole16(size.rows);
	memcpy(text, &size, sizeof(size));
	return sizeof(size);
}

static const struct {
	uint8_t owes;
	uint16_t event, value;
	size_t (*text)(const struct serial *serial, void *text);
} messages[] = {
	{ OWES_ADD, VIRTIO_CONSOLE_PORT_ADD, 0, NULL },
	{ OWES_CONSOLE, VIRTIO_CONSOLE_CONSOLE_PORT, 1, NULL },
	{ OWES_NAME, VIRTIO_CONSOLE_PORT_NAME, 1, name_message },
	{ OWES_RESIZE, VIRTIO_CONSOLE_RESIZE, 0, size_message },
	{ OWES_OPEN, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL },
};

/* false: the driver has given no buffer for it. */
static bool send_message(struct serial *serial, unsigned int n)
{
	struct virtq *vq = &serial->hvc->virtio->queue[CONTROL_RX];
	struct {
		struct virtio_console_control control;
		char text[PORT_NAME_MAX];
	} message = { .control = { htole32(serial->id), htole16(messages[n].event),
				   htole16(messages[n].value) } };
	size_t len = sizeof(message.control);
	struct virtq_chain chain;

	if (!virtq_pop(vq, &chain))
		return false;
	if (messages[n].text)
		len += messages[n].text(serial, message.text);
	if (chain.in_size < len) {
		virtio_broken(serial->hvc->virtio, "a buffer for messages that is too small");
		return false;
	}
	virtq_push(vq, &chain, virtq_write(&chain, 0, &message, len));
	serial->owes &= ~messages[n].owes;
	return true;
}

static bool pay(struct serial *serial)
{
	for (unsigned int n = 0; n < sizeof(messages) / sizeof(messages[0]); n++)
		if (serial->owes & messages[n].owes && !send_message(serial, n))
			return false;
	return true;
}

static void send_messages(struct hvc *hvc)
{
	for (unsigned int i = 0; i < hvc->ports->count && pay(&hvc->serial[i]); i++)
		;
	virtq_flush(&hvc->virtio->queue[CONTROL_RX]);
}

/* The driver has made its side of the port. */
static void on_port_ready(struct serial *serial)
{
	uint16_t cols, rows;

	serial->owes |= OWES_OPEN | (is_console(serial) ? OWES_CONSOLE : OWES_NAME);
	if (is_console(serial) && port_size(serial->end, &cols, &rows))
		serial->owes |= OWES_RESIZE;
}

static void take_message(struct hvc *hvc, const struct virtio_console_control *control)
{
	uint32_t id = le32toh(control->id);
	uint16_t event = le16toh(control->event), value = le16toh(control->value);

	if (event == VIRTIO_CONSOLE_DEVICE_READY) {
		for (unsigned int i = 0; value && i < hvc->ports->count; i++)
			hvc->serial[i].owes |= OWES_ADD;
		return;
	}
	/* A port that is not there has nothing to be told, nor has one that failed. */
	if (id >= hvc->ports->count)
		return;
	if (event == VIRTIO_CONSOLE_PORT_READY && value)
		on_port_ready(&hvc->serial[id]);
	else if (event == VIRTIO_CONSOLE_PORT_OPEN)
		set_open(&hvc->serial[id], value);
}

static void take_messages(struct hvc *hvc)
{
	struct virtq *vq = &hvc->virtio->queue[CONTROL_TX];
	struct virtio_console_control control;
	struct virtq_chain chain;

	while (virtq_pop(vq, &chain)) {
		if (virtq_read(&chain, 0, &control, sizeof(control)) != sizeof(control)) {
			virtio_broken(hvc->virtio, "a message that is too short");
			return;
		}
		take_message(hvc, &control);
		virtq_push(vq, &chain, 0);
	}
	send_messages(hvc);
}

static void hvc_notify(void *device, unsigned int queue)
{
	struct hvc *hvc = device;
	struct serial *serial = &hvc->serial[queue < CONTROL_RX ? 0 : queue / 2 - 1];

	/* Without messages there is the first port only. */
	if (queue >= CONTROL_RX && !has_messages(hvc))
		return;
	if (queue == CONTROL_RX)
		send_messages(hvc);
	else if (queue == CONTROL_TX)
		take_messages(hvc);
	else if (queue % 2)
		take_output(serial);
	else
		give_input(serial);
}

/* ---- what ports say ---- */

static void on_room(void *opaque)
{
	struct serial *serial = opaque;

	virtq_again(tx(serial));
}

static void on_input(void *opaque)
{
	struct serial *serial = opaque;

	give_input(serial);
	virtq_flush(rx(serial));
}

/* The first port's size is in the configuration too. */
static void set_size(struct hvc *hvc)
{
	struct virtio_console_config *config = hvc->virtio->config;
	uint16_t cols, rows;

	if (!port_size(hvc->serial[0].end, &cols, &rows))
		return;
	config->cols = htole16(cols);
	config->rows = htole16(rows);
}

static void on_resized(void *opaque)
{
	struct serial *serial = opaque;
	struct hvc *hvc = serial->hvc;

	if (!serial->id) {
		set_size(hvc);
		virtio_config_changed(hvc->virtio);
	}
	if (!has_messages(hvc) || !serial->open || !is_console(serial))
		return;
	serial->owes |= OWES_RESIZE;
	send_messages(hvc);
}

/* ---- life ---- */

static bool hvc_activate(void *device)
{
	struct hvc *hvc = device;

	if (!has_messages(hvc))
		set_open(&hvc->serial[0], true);
	return true;
}

static void hvc_reset(void *device)
{
	struct hvc *hvc = device;

	for (unsigned int i = 0; i < hvc->ports->count; i++) {
		struct serial *serial = &hvc->serial[i];

		serial->open = false;
		serial->owes = 0;
		serial->taken = 0;
		port_set_open(serial->end, false);
		port_want(serial->end, false);
	}
}

static void hvc_queue_reset(void *device, unsigned int queue)
{
	struct hvc *hvc = device;

	for (unsigned int i = 0; i < hvc->ports->count; i++)
		if (queue == rx_queue(&hvc->serial[i]) + 1)
			hvc->serial[i].taken = 0;
}

static void hvc_destroy(void *device)
{
	struct hvc *hvc = device;

	for (unsigned int i = 0; i < hvc->ports->count; i++)
		port_detach(hvc->ports->port[i]);
	free(hvc);
}

static void *hvc_create(struct virtio *virtio, void *backend)
{
	struct virtio_console_config *config = virtio->config;
	struct hvc *hvc = calloc(1, sizeof(*hvc));

	if (!hvc)
		return NULL;
	hvc->virtio = virtio;
	hvc->ports = backend;
	for (unsigned int i = 0; i < hvc->ports->count; i++) {
		struct serial *serial = &hvc->serial[i];
		const struct port_user user = { on_room, on_input, on_resized, serial };

		*serial = (struct serial) { .hvc = hvc, .end = hvc->ports->port[i], .id = i };
		if (!port_attach(serial->end, virtio->io, &user)) {
			hvc_destroy(hvc);
			return NULL;
		}
	}
	virtio->queues = 2 + 2 * hvc->ports->count;
	config->max_nr_ports = htole32(hvc->ports->count);
	if (!hvc->serial[0].end->kind->size)
		virtio->features &= ~VIRTIO_FEATURE(VIRTIO_CONSOLE_F_SIZE);
	return hvc;
}

static void hvc_connect(void *device, struct console *console)
{
	struct hvc *hvc = device;

	for (unsigned int i = 0; i < hvc->ports->count; i++)
		port_connect(hvc->ports->port[i], console);
	set_size(hvc);
}

static enum status hvc_open(const char *text, void **backend)
{
	struct ports *ports = *backend;
	enum status status;

	if (!ports)
		ports = calloc(1, sizeof(*ports));
	if (!ports) {
		complain("no memory for a console; free some");
		return STATUS_HOST;
	}
	if (ports->count == PORTS_MAX) {
		complain("--console: '%s': more than %u of them; leave some out", text, PORTS_MAX);
		return STATUS_USAGE;
	}
	status = port_open(text, &ports->port[ports->count]);
	if (!status)
		ports->count++;
	else if (!*backend)
		free(ports);
	if (!status)
		*backend = ports;
	return status;
}

static void hvc_close(void *backend)
{
	struct ports *ports = backend;

	while (ports->count)
		port_close(ports->port[--ports->count]);
	free(ports);
}

static bool hvc_writes(const void *backend)
{
	const struct ports *ports = backend;
	bool writes = false;

	for (unsigned int i = 0; i < ports->count; i++)
		writes |= port_writes(ports->port[i]);
	return writes;
}

/* What ports keep is the host's, and stays with the process. */
static void hvc_save(void *device, struct state *state)
{
	struct hvc *hvc = device;

	for (unsigned int i = 0; i < hvc->ports->count; i++) {
		state_put(state, hvc->serial[i].open);
		state_put(state, hvc->serial[i].owes);
		state_put(state, hvc->serial[i].taken);
	}
}

static void hvc_load(void *device, struct state *state, uint32_t version)
{
	struct hvc *hvc = device;

	(void)version;
	for (unsigned int i = 0; i < hvc->ports->count; i++) {
		struct serial *serial = &hvc->serial[i];

		serial->open = state_get_max(state, 1);
		serial->owes = state_get_max(state, OWES_ALL);
		serial->taken = state_get(state);
		port_set_open(serial->end, serial->open);
	}
}

const struct virtio_type virtio_console = {
	.name = "console",
	.id = VIRTIO_ID_CONSOLE,
	.class = 0x078000,	/* communication controller */
	.features = VIRTIO_FEATURE(VIRTIO_CONSOLE_F_SIZE) |
		    VIRTIO_FEATURE(VIRTIO_CONSOLE_F_MULTIPORT),
	.queues = 2 + 2 * PORTS_MAX,
	.queue_size = 128,
	.config_size = offsetof(struct virtio_console_config, emerg_wr),
	.shared = true,
	.open = hvc_open,
	.close = hvc_close,
	.writes = hvc_writes,
	.create = hvc_create,
	.destroy = hvc_destroy,
	.connect = hvc_connect,
	.activate = hvc_activate,
	.notify = hvc_notify,
	.reset = hvc_reset,
	.queue_reset = hvc_queue_reset,
	.version = 1,
	.save = hvc_save,
	.load = hvc_load,
};
