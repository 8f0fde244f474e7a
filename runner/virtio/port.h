/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a port of the console device leads: this terminal, a file, an inherited
 * descriptor, or whoever connects to a Unix socket.
 *
 * What the guest writes is kept in a ring of PORT_RING bytes from its first byte on, until
 * somebody takes it. When the ring is full:
 *   nobody is there		the oldest gives way to the newest
 *   a named port's peer is slow	the guest's program waits, as at a pipe
 *   a console's peer is slow	the guest's CPU waits, PORT_PATIENCE_MS since the peer last
 *				took something; then the oldest gives way until it takes more
 * So no peer makes our memory grow or stops a guest.
 *
 * A port is opened before the sandbox and outlives restarts of the guest, with what it
 * keeps. All else is called in the I/O thread, and its user is called there.
 */
#ifndef RUNNER_VIRTIO_PORT_H
#define RUNNER_VIRTIO_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../iothread.h"
#include "../status.h"
#include "queue.h"

#define PORT_NAME_MAX		63
#define PORT_RING		(64 * 1024)
#define PORT_PATIENCE_MS	250

struct console;
struct port;

struct port_user {
	void (*room)(void *opaque);	/* port_put() may take more */
	void (*input)(void *opaque);	/* port_get() may have something */
	void (*resized)(void *opaque);	/* port_size() may be another */
	void *opaque;
};

/* What differs between the places a port leads to. */
struct port_kind {
	const char *prefix;		/* of the option's text */
	enum status (*open)(struct port *port, const char *arg);
	void (*close)(struct port *port);
	bool (*attach)(struct port *port);
	void (*detach)(struct port *port);
	void (*connect)(struct port *port);	/* console is known; or NULL */
	size_t (*room)(const struct port *port);
	void (*put)(struct port *port, const uint8_t *data, size_t len);
	/* Is nobody there to take output? */
	bool (*alone)(const struct port *port);
	/* Make room by forgetting the oldest output; false: the newest must go. */
	bool (*forget)(struct port *port);
	size_t (*get)(struct port *port, uint8_t *data, size_t len);
	void (*want)(struct port *port, bool input);
	void (*set_open)(struct port *port, bool open);			/* or NULL */
	bool (*size)(const struct port *port, uint16_t *cols, uint16_t *rows);	/* or NULL */
	bool (*writes)(const struct port *port);			/* or NULL */
};

extern const struct port_kind port_stdio, port_file, port_fd, port_socket;

struct port {
	const struct port_kind *kind;
	void *own;			/* the kind's */
	const char *text;		/* the option's first word, for messages */
	char name[PORT_NAME_MAX + 1];	/* empty: a console */
	struct console *console;	/* of the process, for who leads there */

	/* While attached. */
	struct iothread *io;
	struct port_user user;
	struct iowatch timer;
	bool waiting;			/* the last port_put() did not take all */
	bool hurry;			/* the peer has used up the patience */
};

/* Parse `stdio|file=PATH|fd=N|socket=PATH[,name=NAME]` and open it. Complains. */
enum status port_open(const char *text, struct port **port);
/* NULL is fine. */
void port_close(struct port *port);

/* Does it write to a file of the host? */
bool port_writes(const struct port *port);

/* false: no descriptors. */
bool port_attach(struct port *port, struct iothread *io, const struct port_user *user);
/* The user is not called any more. Does nothing if it is not attached. */
void port_detach(struct port *port);

/* Tell it of the process's own console, when it is attached. */
void port_connect(struct port *port, struct console *console);

/*
 * Take what the driver gave to read from @offset on, about @len bytes of it; returns how
 * many. When it is less than both, user->room() follows.
 */
size_t port_put(struct port *port, const struct virtq_chain *chain, size_t offset, size_t len);

/* Up to @len bytes of input; 0: none now, and user->input() follows if it is wanted. */
size_t port_get(struct port *port, uint8_t *data, size_t len);
/* Is input wanted? What is not stays where it comes from. */
void port_want(struct port *port, bool input);
/* The guest opened or closed the port. */
void port_set_open(struct port *port, bool open);

/* The terminal's size; false: there is none. */
bool port_size(const struct port *port, uint16_t *cols, uint16_t *rows);

/* ---- for the kinds ---- */

/* Output has moved on, or its peer has gone: there is room. */
void port_progress(struct port *port);

#endif /* RUNNER_VIRTIO_PORT_H */
