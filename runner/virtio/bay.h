/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine's virtio devices: which there are, and all of them together, from making to
 * taking apart, with the I/O thread they live in.
 */
#ifndef RUNNER_VIRTIO_BAY_H
#define RUNNER_VIRTIO_BAY_H

#include "../bus.h"
#include "../devices/device.h"
#include "../state.h"
#include "../status.h"

/* What fits on a PCI bus beside the host bridge. */
#define VIRTIO_SLOTS_MAX	31

/* What the user wants: `--NAME TEXT`. */
struct virtio_option {
	const char *name;
	const char *text;
};

struct virtio_options {
	struct virtio_option option[VIRTIO_SLOTS_MAX];
	unsigned int count;
};

/* A device to be: what was opened for it lives from one start of the machine to the next. */
struct virtio_slot {
	const struct virtio_type *type;
	void *backend;
};

struct virtio_slots {
	struct virtio_slot slot[VIRTIO_SLOTS_MAX];
	unsigned int count;
	bool mmio;			/* the transport; else PCI */
	bool packed;			/* offer packed rings */
};

/* Before the sandbox: open all that @options name, and add what every machine has. Complains. */
enum status virtio_slots_open(struct virtio_slots *slots, const struct virtio_options *options);
void virtio_slots_close(struct virtio_slots *slots);

/*
 * The descriptors among @options, "fd=N", in ascending order into @fds, which has room for
 * all slots', and their number. Before anything is opened: those must be open that the
 * caller says it opened. Complains.
 */
enum status virtio_options_fds(const struct virtio_options *options, int *fds,
			       unsigned int *count);

/* Do devices write files of the host? */
bool virtio_slots_write(const struct virtio_slots *slots);
/* How many descriptors they open while the guest runs. */
unsigned int virtio_slots_descriptors(const struct virtio_slots *slots);

struct iothread;
struct ram;
struct virtio_bay;

/* Where the devices of a machine reach it. */
struct virtio_site {
	const struct ram *ram;
	const struct device_env *env;
	struct bus *pio, *mmio;
};

/* Complains. */
enum status virtio_bay_create(const struct virtio_slots *slots, const struct virtio_site *site,
			      struct virtio_bay **bay);
/* It has been stopped, or never started. NULL is fine. */
void virtio_bay_destroy(struct virtio_bay *bay);

/* Start the thread, before vCPUs run; stop it when none does. Complains. */
enum status virtio_bay_start(struct virtio_bay *bay);
void virtio_bay_stop(struct virtio_bay *bay);

/* The thread, for what else is to be served there. */
struct iothread *virtio_bay_thread(const struct virtio_bay *bay);

/* The vCPUs do not run: no request is in flight, and no guest memory changes until resume. */
void virtio_bay_quiesce(struct virtio_bay *bay);
void virtio_bay_resume(struct virtio_bay *bay);

/* What is behind the devices may have changed. */
void virtio_bay_refresh(struct virtio_bay *bay);

/*
 * In the thread: the link of network @name, "net0" and so on in the order of the options, goes up
 * or down. NULL, or what is wrong with the name.
 */
const char *virtio_bay_set_link(struct virtio_bay *bay, const char *name, bool up);

/*
 * A log of the pages that are written is to begin, or has ended: while it is on, devices do
 * without the host's kernel (vhost), which would tell the log nothing.
 */
void virtio_bay_log(struct virtio_bay *bay, bool on);

/* The state of a quiesced bay; and into one as created, of the same slots. */
void virtio_bay_save(struct virtio_bay *bay, struct state *state);
void virtio_bay_load(struct virtio_bay *bay, struct state *state);

#endif /* RUNNER_VIRTIO_BAY_H */
