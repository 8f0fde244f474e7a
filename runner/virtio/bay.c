// SPDX-License-Identifier: GPL-2.0-or-later
/* All virtio devices of a machine; see bay.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../layout.h"
#include "../pci/pci.h"
#include "../words.h"
#include "bay.h"
#include "transport.h"

#define BAY_VERSION	1

struct virtio_bay {
	struct iothread *io;
	struct pci_host *host;
	const struct device_env *env;
	struct bus *mmio;
	const struct transport *transport;
	void *device[VIRTIO_SLOTS_MAX];			/* the transport's */
	struct virtio_core *core[VIRTIO_SLOTS_MAX];	/* each its device's */
	unsigned int count;
};

/* ---- transports ---- */

struct transport {
	void *(*create)(struct virtio_bay *bay, struct virtio_core *core);
	void (*destroy)(void *device);
	void (*save)(void *device, struct state *state);
	void (*load)(void *device, struct state *state);
};

static void *create_pci(struct virtio_bay *bay, struct virtio_core *core)
{
	return virtio_pci_create(bay->host, core);
}

static void destroy_pci(void *device)
{
	virtio_pci_destroy(device);
}

static void save_pci(void *device, struct state *state)
{
	virtio_pci_save(device, state);
}

static void load_pci(void *device, struct state *state)
{
	virtio_pci_load(device, state);
}

static void *create_mmio(struct virtio_bay *bay, struct virtio_core *core)
{
	return virtio_mmio_create(bay->env, bay->mmio, bay->count, core);
}

static void destroy_mmio(void *device)
{
	virtio_mmio_destroy(device);
}

static void save_mmio(void *device, struct state *state)
{
	virtio_mmio_save(device, state);
}

static void load_mmio(void *device, struct state *state)
{
	virtio_mmio_load(device, state);
}

static const struct transport over_pci = { create_pci, destroy_pci, save_pci, load_pci };
static const struct transport over_mmio = { create_mmio, destroy_mmio, save_mmio, load_mmio };

/* ---- slots ---- */

/* The device that one more option of its name belongs to; NULL: it makes one of its own. */
static struct virtio_slot *shared_slot(struct virtio_slots *slots, const struct virtio_type *type)
{
	struct virtio_slot *last = slots->count ? &slots->slot[slots->count - 1] : NULL;

	return last && type->shared && last->type == type ? last : NULL;
}

static enum status add_slot(struct virtio_slots *slots, const struct virtio_type *type,
			    const char *text)
{
	struct virtio_slot *slot = shared_slot(slots, type);
	enum status status;

	if (slot)
		return type->open(text, &slot->backend);
	slot = &slots->slot[slots->count];
	if (slots->count == VIRTIO_SLOTS_MAX) {
		complain("more than %u devices, with those every machine has; leave some out",
			 VIRTIO_SLOTS_MAX);
		return STATUS_USAGE;
	}
	*slot = (struct virtio_slot) { .type = type };
	status = type->open ? type->open(text, &slot->backend) : STATUS_OK;
	if (!status)
		slots->count++;
	return status;
}

enum status virtio_slots_open(struct virtio_slots *slots, const struct virtio_options *options)
{
	enum status status = STATUS_OK;

	for (unsigned int i = 0; i < virtio_type_count; i++) {
		const struct virtio_type *type = virtio_types[i];

		if (!type->open)
			status = add_slot(slots, type, NULL);
		for (unsigned int n = 0; !status && type->open && n < options->count; n++)
			if (!strcmp(options->option[n].name, type->name))
				status = add_slot(slots, type, options->option[n].text);
		if (status)
			return status;
	}
	if (!slots->mmio || slots->count <= LAYOUT_VIRTIO_MMIO_MAX)
		return STATUS_OK;
	complain("more than %u devices, with those every machine has, for --transport mmio; "
		 "leave some out, or use pci",
		 LAYOUT_VIRTIO_MMIO_MAX);
	return STATUS_USAGE;
}

void virtio_slots_close(struct virtio_slots *slots)
{
	while (slots->count) {
		struct virtio_slot *slot = &slots->slot[--slots->count];

		if (slot->type->close)
			slot->type->close(slot->backend);
	}
}

/* Into @fds, in its place. */
static enum status add_fd(const struct virtio_option *option, int fd, int *fds,
			  unsigned int *count)
{
	const char *wrong = NULL;
	unsigned int at = *count;

	while (at && fds[at - 1] >= fd)
		at--;
	if (fd <= STDERR_FILENO)
		wrong = "is the console's; use another number";
	else if (at < *count && fds[at] == fd)
		wrong = "given twice; give it once";
	if (wrong) {
		complain("%s fd=%d: %s", option->name, fd, wrong);
		return STATUS_USAGE;
	}
	if (fcntl(fd, F_GETFD) < 0) {
		complain("%s fd=%d: not open; open it in the caller", option->name, fd);
		return STATUS_BAD_FILE;
	}
	memmove(&fds[at + 1], &fds[at], ((*count)++ - at) * sizeof(*fds));
	fds[at] = fd;
	return STATUS_OK;
}

enum status virtio_options_fds(const struct virtio_options *options, int *fds,
			       unsigned int *count)
{
	enum status status = STATUS_OK;
	int fd;

	*count = 0;
	for (unsigned int i = 0; !status && i < options->count; i++)
		if (words_fd(options->option[i].text, &fd))
			status = add_fd(&options->option[i], fd, fds, count);
	return status;
}

bool virtio_slots_write(const struct virtio_slots *slots)
{
	for (unsigned int i = 0; i < slots->count; i++) {
		const struct virtio_slot *slot = &slots->slot[i];

		if (slot->type->writes && slot->type->writes(slot->backend))
			return true;
	}
	return false;
}

unsigned int virtio_slots_descriptors(const struct virtio_slots *slots)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < slots->count; i++)
		count += slots->slot[i].type->descriptors;
	return count;
}

/* ---- the bay ---- */

static enum status add_device(struct virtio_bay *bay, const struct virtio_slot *slot,
			      const struct ram *ram, bool packed)
{
	struct virtio_core *core = virtio_create(slot->type, slot->backend, ram, bay->io);
	void *device;

	if (core) {
		core->wrote = bay->env->wrote;
		core->memory = bay->env->opaque;
	}
	if (core && packed)
		virtio_offer_packed(core);
	device = core ? bay->transport->create(bay, core) : NULL;
	if (!device) {
		complain("cannot create the device %s: %s; allow more open files, or free memory",
			 slot->type->name, strerror(errno));
		return STATUS_HOST;
	}
	if (slot->type->connect)
		slot->type->connect(core->device, bay->env->console);
	bay->core[bay->count] = core;
	bay->device[bay->count++] = device;
	return STATUS_OK;
}

static enum status create_bus(struct virtio_bay *bay, const struct virtio_slots *slots,
			      const struct virtio_site *site)
{
	bay->env = site->env;
	bay->mmio = site->mmio;
	bay->transport = slots->mmio ? &over_mmio : &over_pci;
	if (slots->mmio)
		return STATUS_OK;
	bay->host = pci_host_create(site->env, site->pio, site->mmio);
	if (bay->host)
		return STATUS_OK;
	complain("cannot create the PCI bus: no memory; free some");
	return STATUS_HOST;
}

enum status virtio_bay_create(const struct virtio_slots *slots, const struct virtio_site *site,
			      struct virtio_bay **out)
{
	struct virtio_bay *bay = calloc(1, sizeof(*bay));
	enum status status = STATUS_HOST;

	if (bay)
		status = iothread_create(&bay->io);
	else
		complain("no memory for the devices; free some");
	if (!status)
		status = create_bus(bay, slots, site);
	for (unsigned int i = 0; !status && i < slots->count; i++)
		status = add_device(bay, &slots->slot[i], site->ram, slots->packed);
	if (status) {
		virtio_bay_destroy(bay);
		return status;
	}
	*out = bay;
	return STATUS_OK;
}

void virtio_bay_destroy(struct virtio_bay *bay)
{
	if (!bay)
		return;
	while (bay->count)
		bay->transport->destroy(bay->device[--bay->count]);
	pci_host_destroy(bay->host);
	iothread_destroy(bay->io);
	free(bay);
}

enum status virtio_bay_start(struct virtio_bay *bay)
{
	return iothread_start(bay->io);
}

void virtio_bay_stop(struct virtio_bay *bay)
{
	if (bay)
		iothread_stop(bay->io);
}

/* ---- pause and state ---- */

static void quiesce(void *opaque)
{
	struct virtio_bay *bay = opaque;

	for (unsigned int i = 0; i < bay->count; i++)
		virtio_quiesce(bay->core[i]);
}

static void resume(void *opaque)
{
	struct virtio_bay *bay = opaque;

	for (unsigned int i = 0; i < bay->count; i++)
		virtio_resume(bay->core[i]);
}

void virtio_bay_quiesce(struct virtio_bay *bay)
{
	iothread_call(bay->io, quiesce, bay);
}

void virtio_bay_resume(struct virtio_bay *bay)
{
	iothread_call(bay->io, resume, bay);
}

static void refresh(void *opaque)
{
	struct virtio_bay *bay = opaque;

	for (unsigned int i = 0; i < bay->count; i++)
		virtio_refresh(bay->core[i]);
}

struct iothread *virtio_bay_thread(const struct virtio_bay *bay)
{
	return bay->io;
}

void virtio_bay_refresh(struct virtio_bay *bay)
{
	iothread_call(bay->io, refresh, bay);
}

struct log_call {
	struct virtio_bay *bay;
	bool on;
};

static void set_logged(void *opaque)
{
	const struct log_call *call = opaque;

	for (unsigned int i = 0; i < call->bay->count; i++)
		virtio_set_logged(call->bay->core[i], call->on);
}

void virtio_bay_log(struct virtio_bay *bay, bool on)
{
	struct log_call call = { bay, on };

	iothread_call(bay->io, set_logged, &call);
}

/* Device @name: its type's name, then which of these it is. */
static struct virtio_core *find_device(const struct virtio_bay *bay, const char *name)
{
	for (unsigned int i = 0, n = 0; i < bay->count; i++) {
		char own[24];

		/* Those of one type stand together. */
		n = i && bay->core[i]->type == bay->core[i - 1]->type ? n + 1 : 0;
		snprintf(own, sizeof(own), "%s%u", bay->core[i]->type->name, n);
		if (!strcmp(name, own))
			return bay->core[i];
	}
	return NULL;
}

const char *virtio_bay_set_link(struct virtio_bay *bay, const char *name, bool up)
{
	struct virtio_core *core = find_device(bay, name);

	if (!core || !core->type->set_link)
		return "there is no such network; the first is net0";
	core->type->set_link(core->device, up);
	return NULL;
}

void virtio_bay_save(struct virtio_bay *bay, struct state *state)
{
	size_t start = state_begin(state, "devices", BAY_VERSION);

	state_put(state, bay->count);
	for (unsigned int i = 0; i < bay->count; i++)
		bay->transport->save(bay->device[i], state);
	state_end(state, start);
}

void virtio_bay_load(struct virtio_bay *bay, struct state *state)
{
	struct state section;

	state_enter(state, "devices", BAY_VERSION, &section);
	if (state_get(&section) != bay->count)
		section.bad = true;
	for (unsigned int i = 0; i < bay->count && state_good(&section); i++)
		bay->transport->load(bay->device[i], &section);
	state_leave(state, &section);
}
