// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Virtio over PCI. Facts: VIRTIO Specification 1.2, "Virtio Over PCI Bus".
 *
 * One BAR has it all, a page each: common configuration, ISR, device configuration,
 * notifications, MSI-X table, pending bits. The members below are the I/O thread's, but
 * for function, whose lock is the host's, and bells_at, which that lock guards too.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_pci.h>
#include "../pci/pci.h"
#include "transport.h"

#define VENDOR			0x1af4
#define DEVICE_BASE		0x1040
#define SUBSYSTEM_BASE		0x40	/* what is not transitional starts there */
#define REVISION		1

#define BAR			0
#define BAR_SIZE		0x8000
#define PAGE			0x1000
#define COMMON			0x0000
#define ISR			0x1000
#define DEVICE			0x2000
#define NOTIFY			0x3000
#define TABLE			0x4000
#define PBA			0x5000

#define NOTIFY_MULTIPLIER	4
#define PCI_VERSION		1

/* The common configuration with what version 1.2 added. */
struct common {
	struct virtio_pci_common_cfg old;
	uint16_t queue_notify_data;
	uint16_t queue_reset;
};

_Static_assert(offsetof(struct common, queue_notify_data) == VIRTIO_PCI_COMMON_Q_NDATA, "spec");
_Static_assert(offsetof(struct common, queue_reset) == VIRTIO_PCI_COMMON_Q_RESET, "spec");

struct virtio_pci {
	struct pci_function function;
	struct virtio_core *core;
	uint32_t offered_select, wanted_select;
	uint16_t queue_select;
	uint16_t config_vector;
	uint16_t *vector;		/* of each queue */
	uint32_t bells_at;		/* where the doorbells are, 0: nowhere */
	unsigned int cfg_cap;		/* offset of the capability with the window */
};

static void interrupt(void *transport, unsigned int what)
{
	struct virtio_pci *pci = transport;

	pci_msix_raise(&pci->function, what == VIRTIO_CONFIG_INTERRUPT ? pci->config_vector :
									   pci->vector[what]);
}

/* Nobody is interrupted without a vector, whatever eventfd there were. */
static int call_fd(void *transport, unsigned int queue)
{
	struct virtio_pci *pci = transport;
	uint16_t vector = pci->vector[queue];

	return vector < pci->function.msix.count ? pci->function.msix.vector[vector].fd : -1;
}

/* ---- common configuration ---- */

static struct virtq *selected(struct virtio_pci *pci)
{
	return virtio_get_queue(pci->core, pci->queue_select);
}

static void fill_queue(struct virtio_pci *pci, struct common *common)
{
	const struct virtq *vq = selected(pci);

	if (!vq)
		return;
	common->old.queue_size = vq->size;
	common->old.queue_msix_vector = pci->vector[vq->index];
	common->old.queue_enable = vq->enabled;
	common->old.queue_notify_off = vq->index;
	common->old.queue_desc_lo = vq->desc;
	common->old.queue_desc_hi = vq->desc >> 32;
	common->old.queue_avail_lo = vq->driver;
	common->old.queue_avail_hi = vq->driver >> 32;
	common->old.queue_used_lo = vq->device;
	common->old.queue_used_hi = vq->device >> 32;
	common->queue_notify_data = vq->index;
}

static uint32_t common_read(struct virtio_pci *pci, uint32_t offset, unsigned int size)
{
	const struct virtio_core *core = pci->core;
	struct common common = {
		.old = {
			.device_feature_select = pci->offered_select,
			.device_feature = virtio_get_offered(core, pci->offered_select),
			.guest_feature_select = pci->wanted_select,
			.guest_feature = virtio_get_wanted(core, pci->wanted_select),
			.msix_config = pci->config_vector,
			.num_queues = core->pub.queues,
			.device_status = core->status,
			.config_generation = core->generation,
			.queue_select = pci->queue_select,
			.queue_msix_vector = VIRTIO_MSI_NO_VECTOR,
		},
	};
	uint32_t value = 0;

	fill_queue(pci, &common);
	if (offset + size <= sizeof(common))
		memcpy(&value, (uint8_t *)&common + offset, size);
	return value;
}

static uint16_t usable_vector(const struct virtio_pci *pci, uint32_t vector)
{
	return vector < pci->function.msix.count ? vector : VIRTIO_MSI_NO_VECTOR;
}

static void forget_vectors(struct virtio_pci *pci)
{
	pci->config_vector = VIRTIO_MSI_NO_VECTOR;
	for (unsigned int i = 0; i < pci->core->pub.queues; i++)
		pci->vector[i] = VIRTIO_MSI_NO_VECTOR;
}

/* A register of the selected queue that can be set until it is enabled. */
static void setup_write(struct virtq *vq, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		virtio_queue_set_size(vq, value);
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		virtio_set_half(&vq->desc, offset == VIRTIO_PCI_COMMON_Q_DESCHI, value);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		virtio_set_half(&vq->driver, offset == VIRTIO_PCI_COMMON_Q_AVAILHI, value);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		virtio_set_half(&vq->device, offset == VIRTIO_PCI_COMMON_Q_USEDHI, value);
		break;
	}
}

static void queue_write(struct virtio_pci *pci, uint32_t offset, uint32_t value)
{
	struct virtq *vq = selected(pci);

	if (!vq)
		return;
	if (offset == VIRTIO_PCI_COMMON_Q_MSIX) {
		pci->vector[vq->index] = usable_vector(pci, value);
		virtio_rerouted(pci->core, vq->index);
		return;
	}
	if (offset == VIRTIO_PCI_COMMON_Q_ENABLE && value == 1)
		virtio_queue_enable(pci->core, vq);
	else if (offset == VIRTIO_PCI_COMMON_Q_RESET && value == 1)
		virtio_queue_reset(pci->core, vq);
	else if (virtio_queue_settable(pci->core, vq))
		setup_write(vq, offset, value);
}

static void status_write(struct virtio_pci *pci, uint32_t value)
{
	virtio_set_status(pci->core, value);
	if (!value)
		forget_vectors(pci);
}

static void common_write(struct virtio_pci *pci, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		pci->offered_select = value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		pci->wanted_select = value;
		break;
	case VIRTIO_PCI_COMMON_GF:
		virtio_set_wanted(pci->core, pci->wanted_select, value);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		pci->config_vector = usable_vector(pci, value);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		status_write(pci, value);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		pci->queue_select = value;
		break;
	default:
		queue_write(pci, offset, value);
		break;
	}
}

/* The size of the register at @offset: a write of another one goes nowhere. */
static unsigned int common_size(uint32_t offset)
{
	if (offset == VIRTIO_PCI_COMMON_STATUS || offset == VIRTIO_PCI_COMMON_CFGGENERATION)
		return 1;
	if (offset >= VIRTIO_PCI_COMMON_Q_NDATA ||
	    (offset >= VIRTIO_PCI_COMMON_MSIX && offset < VIRTIO_PCI_COMMON_Q_DESCLO))
		return 2;
	return 4;
}

/* ---- the BAR ---- */

struct access {
	struct virtio_pci *pci;
	uint32_t offset;
	unsigned int size;
	bool write;
	uint32_t value;
};

/* In the I/O thread. */
static void serve(void *opaque)
{
	struct access *access = opaque;
	struct virtio_pci *pci = access->pci;
	uint32_t page = access->offset & ~(PAGE - 1), offset = access->offset & (PAGE - 1);

	if (page == COMMON && access->write) {
		if (access->size == common_size(offset) && offset % access->size == 0)
			common_write(pci, offset, access->value);
	} else if (page == COMMON) {
		access->value = common_read(pci, offset, access->size);
	} else if (page == DEVICE && access->write) {
		virtio_config_write(pci->core, offset, &access->value, access->size);
	} else if (page == DEVICE) {
		virtio_config_read(pci->core, offset, &access->value, access->size);
	}
}

static uint64_t bar_read(void *device, uint64_t offset, unsigned int size)
{
	struct virtio_pci *pci = device;
	struct access access = { .pci = pci, .offset = offset, .size = size };

	if (offset == ISR)
		return virtio_isr(pci->core, UINT32_MAX);
	iothread_call(pci->core->pub.io, serve, &access);
	return access.value;
}

/* Doorbells come here only from accesses that the module does not decode. */
static void bar_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	struct virtio_pci *pci = device;
	struct access access = { pci, offset, size, true, value };

	if (offset >= NOTIFY && offset < NOTIFY + PAGE)
		virtio_notify(pci->core, (offset - NOTIFY) / NOTIFY_MULTIPLIER);
	else
		iothread_call(pci->core->pub.io, serve, &access);
}

static const struct bus_ops bar_ops = { bar_read, bar_write, 1, 4 };

/* ---- doorbells ---- */

static void place_bells(struct virtio_pci *pci, bool add)
{
	const struct device_env *env = pci->function.host->env;

	for (unsigned int i = 0; pci->bells_at && i < pci->core->pub.queues; i++) {
		const struct device_doorbell bell = {
			.gpa = pci->bells_at + i * NOTIFY_MULTIPLIER,
			.fd = pci->core->pub.queue[i].doorbell.fd,
		};

		env->doorbell(env->opaque, &bell, add);
	}
}

/* Where a doorbell cannot be had, the write exits and comes by bar_write(). */
static void moved(void *opaque)
{
	struct virtio_pci *pci = opaque;
	uint32_t base = pci->function.bar[BAR].base;

	place_bells(pci, false);
	pci->bells_at = base ? base + NOTIFY : 0;
	place_bells(pci, true);
}

/* ---- capabilities ---- */

/* The window that VIRTIO_PCI_CAP_PCI_CFG is: its members say which register. */
static void window(void *opaque, unsigned int offset, unsigned int size, bool write,
		   uint32_t *value)
{
	struct virtio_pci *pci = opaque;
	struct pci_function *function = &pci->function;
	struct virtio_pci_cap cap;

	pthread_mutex_lock(&function->host->lock);
	memcpy(&cap, function->config + pci->cfg_cap, sizeof(cap));
	pthread_mutex_unlock(&function->host->lock);
	if (offset != function->window_start || size != cap.length || cap.bar != BAR ||
	    (size != 1 && size != 2 && size != 4) || cap.offset % size || cap.offset >= BAR_SIZE)
		return;
	pci_bar_access(function, BAR, cap.offset, size, write, value);
}

static uint8_t add_cap(struct virtio_pci *pci, uint8_t type, uint32_t offset, uint32_t length)
{
	struct virtio_pci_notify_cap cap = {
		.cap = {
			.cap_len = type == VIRTIO_PCI_CAP_NOTIFY_CFG ||
				   type == VIRTIO_PCI_CAP_PCI_CFG ?
				   sizeof(cap) : sizeof(cap.cap),
			.cfg_type = type,
			.bar = BAR,
			.offset = offset,
			.length = length,
		},
	};

	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
		cap.notify_off_multiplier = NOTIFY_MULTIPLIER;
	return pci_add_capability(&pci->function, PCI_CAP_ID_VNDR, &cap, cap.cap.cap_len);
}

static void add_window(struct virtio_pci *pci)
{
	struct pci_function *function = &pci->function;
	unsigned int at = add_cap(pci, VIRTIO_PCI_CAP_PCI_CFG, 0, 0);

	function->writable[at + offsetof(struct virtio_pci_cap, bar)] = 0xff;
	memset(function->writable + at + offsetof(struct virtio_pci_cap, offset), 0xff, 8);
	pci->cfg_cap = at;
	function->window_start = at + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
	function->window_end = function->window_start + 4;
	function->window = window;
}

static void add_caps(struct virtio_pci *pci)
{
	size_t config_size = pci->core->type->config_size;

	add_cap(pci, VIRTIO_PCI_CAP_COMMON_CFG, COMMON, sizeof(struct common));
	add_cap(pci, VIRTIO_PCI_CAP_ISR_CFG, ISR, 1);
	if (config_size)
		add_cap(pci, VIRTIO_PCI_CAP_DEVICE_CFG, DEVICE, config_size);
	add_cap(pci, VIRTIO_PCI_CAP_NOTIFY_CFG, NOTIFY,
		pci->core->pub.queues * NOTIFY_MULTIPLIER);
	add_window(pci);
}

/* ---- making ---- */

struct virtio_pci *virtio_pci_create(struct pci_host *host, struct virtio_core *core)
{
	const struct pci_id id = {
		.vendor = VENDOR,
		.device = DEVICE_BASE + core->type->id,
		.subsystem_vendor = VENDOR,
		.subsystem = SUBSYSTEM_BASE + core->type->id,
		.revision = REVISION,
		.class = core->type->class,
	};
	struct virtio_pci *pci = calloc(1, sizeof(*pci));

	if (!pci) {
		virtio_destroy(core);
		return NULL;
	}
	pci->core = core;
	core->interrupt = interrupt;
	core->call_fd = call_fd;
	core->transport = pci;
	pci->vector = calloc(core->pub.queues, sizeof(*pci->vector));
	pci_function_init(&pci->function, &id);
	pci->function.host = host;
	pci->function.moved = moved;
	pci->function.opaque = pci;
	pci_set_bar(&pci->function, BAR, BAR_SIZE, &bar_ops, pci);
	add_caps(pci);
	if (!pci->vector || !pci_msix_init(&pci->function, core->pub.queues + 1, BAR, TABLE, PBA) ||
	    !pci_add(host, &pci->function)) {
		virtio_pci_destroy(pci);
		return NULL;
	}
	forget_vectors(pci);
	return pci;
}

void virtio_pci_destroy(struct virtio_pci *pci)
{
	if (!pci)
		return;
	place_bells(pci, false);
	pci_msix_destroy(&pci->function);
	virtio_destroy(pci->core);
	free(pci->vector);
	free(pci);
}

/* ---- state ---- */

void virtio_pci_save(struct virtio_pci *pci, struct state *state)
{
	size_t start;

	pci_save(&pci->function, state);
	start = state_begin(state, "virtio-pci", PCI_VERSION);
	state_put(state, pci->offered_select);
	state_put(state, pci->wanted_select);
	state_put(state, pci->queue_select);
	state_put(state, pci->config_vector);
	for (unsigned int i = 0; i < pci->core->pub.queues; i++)
		state_put(state, pci->vector[i]);
	state_end(state, start);
	virtio_save(pci->core, state);
}

void virtio_pci_load(struct virtio_pci *pci, struct state *state)
{
	struct state section;

	pci_load(&pci->function, state);
	state_enter(state, "virtio-pci", PCI_VERSION, &section);
	pci->offered_select = state_get_max(&section, UINT32_MAX);
	pci->wanted_select = state_get_max(&section, UINT32_MAX);
	pci->queue_select = state_get_max(&section, UINT16_MAX);
	pci->config_vector = usable_vector(pci, state_get_max(&section, UINT16_MAX));
	for (unsigned int i = 0; i < pci->core->pub.queues; i++)
		pci->vector[i] = usable_vector(pci, state_get_max(&section, UINT16_MAX));
	state_leave(state, &section);
	virtio_load(pci->core, state);
}
