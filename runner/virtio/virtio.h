/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a virtio device is, and what it is handed. docs/devices.md, "A virtio device in
 * ten steps", walks through one.
 *
 * A device is one file with one const struct virtio_type, one row in devices.c, one
 * test. It is handed memory, queues and an event loop, and knows nothing of PCI, MMIO,
 * interrupts or vCPUs. All its functions run in the I/O thread, or while that does not
 * run: it needs no lock. Facts: VIRTIO Specification 1.2.
 */
#ifndef RUNNER_VIRTIO_H
#define RUNNER_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include "../iothread.h"
#include "../state.h"
#include "queue.h"

struct console;
struct ram;

#define VIRTIO_FEATURE(bit)	(1ULL << (bit))

/* A device's side of what its type describes: made by the core. */
struct virtio {
	const struct ram *ram;		/* reached through chains; ram_dma_at() for what is not */
	struct iothread *io;
	struct virtq *queue;		/* queues of them, once create() is over */
	uint16_t queue_size;		/* the largest a queue can be */

	/*
	 * create() finds what its type says and may take from it: bits of features, queues;
	 * config it fills. From activate() to reset() features are the negotiated ones.
	 */
	uint64_t features;
	unsigned int queues;
	void *config;			/* type->config_size bytes, little-endian */
};

struct virtio_type {
	const char *name;		/* the option's, and messages' */
	uint16_t id;			/* VIRTIO_ID_* */
	uint32_t class;			/* PCI class code: base, sub, interface */
	uint64_t features;		/* the device's own bits; the ring's are the core's */
	unsigned int queues;		/* the most it has */
	uint16_t queue_size;		/* of each, a power of two up to VIRTQ_SIZE_MAX */
	size_t config_size;		/* bytes of device-specific configuration */

	/*
	 * Before the sandbox: open what `--NAME @text` says; @text stays. Complains. NULL: there
	 * is no such option, and every machine has one of the devices.
	 */
	enum status (*open)(const char *text, void **backend);
	/* One device for all options of its name: open() is called again, with its *@backend. */
	bool shared;
	void (*close)(void *backend);
	unsigned int descriptors;	/* of the host, that it opens while the guest runs */
	/* Does it write to a file of the host? NULL: it does not. */
	bool (*writes)(const void *backend);
	/*
	 * A device of @backend, which outlives it: a guest that restarts gets a new device.
	 * NULL: no memory. No guest runs yet.
	 */
	void *(*create)(struct virtio *virtio, void *backend);
	void (*destroy)(void *device);
	/* Behind create(): the process's own console, for a device that leads there. Or NULL. */
	void (*connect)(void *device, struct console *console);
	/*
	 * The driver is ready: features are negotiated, queues set up. A false breaks the
	 * device. All queues are notified next. May be NULL, as all that follow.
	 */
	bool (*activate)(void *device);
	/* There may be something in @queue, an index. Pop until there is nothing. */
	void (*notify)(void *device, unsigned int queue);
	/* The driver wrote @len bytes at @offset of the configuration; all inside it. */
	void (*config_write)(void *device, size_t offset, const void *data, size_t len);
	/* Can it work with these features? The driver may choose any subset. */
	bool (*accept)(void *device, uint64_t features);
	/* Forget all of the driver's; no chain is pushed afterwards. */
	void (*reset)(void *device);
	/* The driver resets one queue: as reset(), for its chains. */
	void (*queue_reset)(void *device, unsigned int queue);
	/*
	 * Finish, or take back by virtq_unpop(), what is in flight, and start nothing until
	 * resume(): the state is to be saved, or the machine to pause.
	 */
	void (*quiesce)(void *device);
	void (*resume)(void *device);
	/* The device is broken (virtio_broken()): have nobody else work for it either. */
	void (*broke)(void *device);
	/* The interrupt of a queue goes to another eventfd: virtio_call_fd(). */
	void (*rerouted)(void *device, unsigned int queue);
	/* What is behind the device may have changed: the user says so. At any time. */
	void (*refresh)(void *device);
	/* The user pulls the cable of a network, or puts it in: at any time. */
	void (*set_link)(void *device, bool up);
	/* What the device knows beyond configuration and queues, in a section of its name. */
	uint32_t version;		/* of what save() writes; 0: nothing */
	void (*save)(void *device, struct state *state);
	/* @version is 1 to the type's. What does not fit makes the state bad. */
	void (*load)(void *device, struct state *state, uint32_t version);
};

/* Was a feature negotiated? */
static inline bool virtio_has(const struct virtio *virtio, unsigned int bit)
{
	return virtio->features & VIRTIO_FEATURE(bit);
}

/* Between activate() and reset(), and not broken? */
bool virtio_runs(const struct virtio *virtio);

/* The device changed its configuration: tell the driver. */
void virtio_config_changed(struct virtio *virtio);

/*
 * The driver broke the rules: the device needs a reset, and works on no queue until then.
 * One line for the user, the first time.
 */
void virtio_broken(struct virtio *virtio, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Guest memory at @at has been written: to be called after each write of what may be in a log
 * of written pages. The queues do it for themselves and for a chain's buffers.
 */
void virtio_wrote(struct virtio *virtio, const void *at, size_t len);

/* Is there a log of written pages, so that every write has to be told by virtio_wrote()? */
bool virtio_logged(const struct virtio *virtio);

/*
 * An eventfd whose writes are @queue's interrupt, for the host's kernel to signal; -1: there is
 * none, call virtio_interrupt().
 */
int virtio_call_fd(const struct virtio *virtio, unsigned int queue);

/* Behind virtq_flush(). */
void virtio_interrupt(struct virtio *virtio, unsigned int queue);

/* All types, in the order in which a machine has them. */
extern const struct virtio_type *const virtio_types[];
extern const unsigned int virtio_type_count;

#endif /* RUNNER_VIRTIO_H */
