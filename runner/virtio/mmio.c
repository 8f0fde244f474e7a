// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Virtio over MMIO. Facts: VIRTIO Specification 1.2, "Virtio Over MMIO".
 *
 * A device is a page of registers and an interrupt line, edge-triggered: an eventfd that
 * the I/O APIC has sent with its line's message. Doorbells are writes of the queue's
 * number to one register. The members are the I/O thread's.
 *
 * No read of a register changes anything, so the page is memory that the guest cannot write: a
 * driver reads it without an exit, above all the interrupt status at each interrupt. Invariant:
 * when a write of a register has been served, and when an interrupt comes, the page has what
 * the registers have.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/virtio_mmio.h>
#include "../devices/82093aa.h"
#include "../layout.h"
#include "transport.h"

#define MAGIC		0x74726976	/* "virt" */
#define VERSION		2
#define VENDOR		0x1af4
#define QUEUE_RESET	0x0c0		/* of version 1.2, younger than the header */
#define MMIO_VERSION	1

#define CONFIG_WORDS	((LAYOUT_VIRTIO_MMIO_SIZE - VIRTIO_MMIO_CONFIG) / sizeof(uint32_t))

struct virtio_mmio {
	struct virtio_core *core;
	const struct device_env *env;
	uint64_t gpa;
	unsigned int slot;
	uint32_t *page;			/* what a guest reads; the ISR of the core is in it */
	bool shown;
	unsigned int line;
	int irq_fd;
	bool attached;
	unsigned int bells;		/* doorbells that there are */
	uint32_t offered_select, wanted_select, queue_select;
};

static void interrupt(void *transport, unsigned int what)
{
	struct virtio_mmio *mmio = transport;
	uint64_t one = 1;
	ssize_t n = write(mmio->irq_fd, &one, sizeof(one));

	(void)what;
	/* It can fail only when the counter is at its end, and so not 0. */
	(void)n;
}

/* ---- registers ---- */

static uint32_t queue_read(struct virtio_mmio *mmio, uint32_t offset)
{
	const struct virtq *vq = virtio_get_queue(mmio->core, mmio->queue_select);

	if (!vq)
		return 0;
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return vq->virtio->queue_size;
	case VIRTIO_MMIO_QUEUE_READY:
		return vq->enabled;
	default:
		return 0;
	}
}

static uint32_t mmio_read_register(struct virtio_mmio *mmio, uint32_t offset)
{
	const struct virtio_core *core = mmio->core;

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return core->type->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return virtio_get_offered(core, mmio->offered_select);
	case VIRTIO_MMIO_STATUS:
		return core->status;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return core->generation;
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
		return UINT32_MAX;	/* there is no such region */
	default:
		return queue_read(mmio, offset);
	}
}

/* All that can be read, but for the interrupt status. */
static const uint32_t readable[] = {
	VIRTIO_MMIO_MAGIC_VALUE, VIRTIO_MMIO_VERSION, VIRTIO_MMIO_DEVICE_ID, VIRTIO_MMIO_VENDOR_ID,
	VIRTIO_MMIO_DEVICE_FEATURES, VIRTIO_MMIO_QUEUE_NUM_MAX, VIRTIO_MMIO_QUEUE_READY,
	VIRTIO_MMIO_STATUS, VIRTIO_MMIO_SHM_LEN_LOW, VIRTIO_MMIO_SHM_LEN_HIGH,
};

static void show_word(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
	__atomic_store_n(&mmio->page[offset / sizeof(value)], value, __ATOMIC_RELEASE);
}

static void show_config(struct virtio_mmio *mmio)
{
	uint32_t config[CONFIG_WORDS];

	virtio_config_read(mmio->core, 0, config, sizeof(config));
	for (unsigned int i = 0; i < CONFIG_WORDS; i++)
		show_word(mmio, VIRTIO_MMIO_CONFIG + i * sizeof(*config), config[i]);
	show_word(mmio, VIRTIO_MMIO_CONFIG_GENERATION, mmio->core->generation);
}

static void show(struct virtio_mmio *mmio)
{
	for (unsigned int i = 0; i < sizeof(readable) / sizeof(readable[0]); i++)
		show_word(mmio, readable[i], mmio_read_register(mmio, readable[i]));
	show_config(mmio);
}

/* Where it cannot be had, a read exits and comes by mmio_read(). */
static void show_page(struct virtio_mmio *mmio)
{
	const struct device_env *env = mmio->env;

	show(mmio);
	mmio->shown = env->show && !env->show(env->opaque, mmio->slot, mmio->gpa, mmio->page);
}

static void hide_page(struct virtio_mmio *mmio)
{
	if (mmio->shown)
		mmio->env->show(mmio->env->opaque, mmio->slot, mmio->gpa, NULL);
	mmio->shown = false;
}

/*
 * A driver takes what it has read between two reads of one generation for whole, and no order
 * of stores makes that so. While the page is away its reads wait for this thread.
 */
static void config_changed(void *transport)
{
	hide_page(transport);
	show_page(transport);
}

/* A register of the selected queue that can be set until it is enabled. */
static void setup_write(struct virtq *vq, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		virtio_queue_set_size(vq, value);
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		virtio_set_half(&vq->desc, offset == VIRTIO_MMIO_QUEUE_DESC_HIGH, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		virtio_set_half(&vq->driver, offset == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		virtio_set_half(&vq->device, offset == VIRTIO_MMIO_QUEUE_USED_HIGH, value);
		break;
	}
}

static void queue_write(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
	struct virtq *vq = virtio_get_queue(mmio->core, mmio->queue_select);

	if (!vq)
		return;
	if (offset == VIRTIO_MMIO_QUEUE_READY && value == 1)
		virtio_queue_enable(mmio->core, vq);
	else if (offset == VIRTIO_MMIO_QUEUE_READY && !value && vq->enabled)
		virtio_queue_stop(mmio->core, vq);
	else if (offset == QUEUE_RESET && value == 1)
		virtio_queue_reset(mmio->core, vq);
	else if (virtio_queue_settable(mmio->core, vq))
		setup_write(vq, offset, value);
}

static void mmio_write_register(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		mmio->offered_select = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		virtio_set_wanted(mmio->core, mmio->wanted_select, value);
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		mmio->wanted_select = value;
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		mmio->queue_select = value;
		break;
	case VIRTIO_MMIO_STATUS:
		virtio_set_status(mmio->core, value);
		break;
	default:
		queue_write(mmio, offset, value);
		break;
	}
}

struct access {
	struct virtio_mmio *mmio;
	uint32_t offset;
	unsigned int size;
	bool write;
	uint32_t value;
};

/* In the I/O thread. Registers are whole words; the configuration has its own widths. */
static void serve(void *opaque)
{
	struct access *access = opaque;
	struct virtio_mmio *mmio = access->mmio;
	uint32_t config = access->offset - VIRTIO_MMIO_CONFIG;

	if (access->offset >= VIRTIO_MMIO_CONFIG && access->write)
		virtio_config_write(mmio->core, config, &access->value, access->size);
	else if (access->offset >= VIRTIO_MMIO_CONFIG)
		virtio_config_read(mmio->core, config, &access->value, access->size);
	else if (access->size == 4 && access->write)
		mmio_write_register(mmio, access->offset, access->value);
	else if (access->size == 4)
		access->value = mmio_read_register(mmio, access->offset);
	if (access->write)
		show(mmio);
}

/* For where the page cannot be had, or changes. */
static uint64_t mmio_read(void *device, uint64_t offset, unsigned int size)
{
	struct virtio_mmio *mmio = device;
	struct access access = { .mmio = mmio, .offset = offset, .size = size };

	if (offset == VIRTIO_MMIO_INTERRUPT_STATUS && size == 4)
		return virtio_isr(mmio->core, 0);
	iothread_call(mmio->core->pub.io, serve, &access);
	return access.value;
}

/* Doorbells come here only from accesses that the module does not decode. */
static void mmio_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	struct virtio_mmio *mmio = device;
	struct access access = { mmio, offset, size, true, value };

	if (offset == VIRTIO_MMIO_QUEUE_NOTIFY && size == 4)
		virtio_notify(mmio->core, value);
	else if (offset == VIRTIO_MMIO_INTERRUPT_ACK && size == 4)
		virtio_isr(mmio->core, value);
	else
		iothread_call(mmio->core->pub.io, serve, &access);
}

static const struct bus_ops mmio_ops = { mmio_read, mmio_write, 1, 4 };

/* ---- making ---- */

static struct device_doorbell bell(const struct virtio_mmio *mmio, unsigned int n)
{
	return (struct device_doorbell) {
		.gpa = mmio->gpa + VIRTIO_MMIO_QUEUE_NOTIFY,
		.fd = mmio->core->pub.queue[n].doorbell.fd,
		.match = true,
		.value = n,
	};
}

/* Where a doorbell cannot be had, the write exits and comes by mmio_write(). */
static void add_bells(struct virtio_mmio *mmio)
{
	for (; mmio->bells < mmio->core->pub.queues; mmio->bells++) {
		const struct device_doorbell next = bell(mmio, mmio->bells);

		if (mmio->env->doorbell(mmio->env->opaque, &next, true))
			return;
	}
}

static uint32_t *map_page(void)
{
	void *page = mmap(NULL, LAYOUT_VIRTIO_MMIO_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? NULL : page;
}

struct virtio_mmio *virtio_mmio_create(const struct device_env *env, struct bus *bus,
				       unsigned int slot, struct virtio_core *core)
{
	struct virtio_mmio *mmio = calloc(1, sizeof(*mmio));
	struct bus_range range = { .size = LAYOUT_VIRTIO_MMIO_SIZE, .ops = &mmio_ops };

	if (mmio && slot < LAYOUT_VIRTIO_MMIO_MAX)
		mmio->page = map_page();
	if (!mmio || !mmio->page) {
		free(mmio);
		virtio_destroy(core);
		return NULL;
	}
	mmio->core = core;
	mmio->slot = slot;
	mmio->env = env;
	mmio->gpa = LAYOUT_VIRTIO_MMIO + (uint64_t)slot * LAYOUT_VIRTIO_MMIO_SIZE;
	mmio->line = LAYOUT_VIRTIO_MMIO_IRQ + slot;
	mmio->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	core->interrupt = interrupt;
	core->changed = config_changed;
	core->transport = mmio;
	core->isr = (atomic_uint *)&mmio->page[VIRTIO_MMIO_INTERRUPT_STATUS / sizeof(uint32_t)];
	range.start = mmio->gpa;
	range.device = mmio;
	if (mmio->irq_fd < 0 || !bus_add(bus, &range)) {
		virtio_mmio_destroy(mmio);
		return NULL;
	}
	i82093aa_attach(env->ioapic, mmio->line, mmio->irq_fd);
	mmio->attached = true;
	add_bells(mmio);
	show_page(mmio);
	return mmio;
}

void virtio_mmio_destroy(struct virtio_mmio *mmio)
{
	if (!mmio)
		return;
	while (mmio->bells) {
		const struct device_doorbell last = bell(mmio, --mmio->bells);

		mmio->env->doorbell(mmio->env->opaque, &last, false);
	}
	if (mmio->attached)
		i82093aa_detach(mmio->env->ioapic, mmio->line);
	/* What ends then may still interrupt, or show another configuration. */
	virtio_destroy(mmio->core);
	hide_page(mmio);
	munmap(mmio->page, LAYOUT_VIRTIO_MMIO_SIZE);
	if (mmio->irq_fd >= 0)
		close(mmio->irq_fd);
	free(mmio);
}

/* ---- state ---- */

void virtio_mmio_save(struct virtio_mmio *mmio, struct state *state)
{
	size_t start = state_begin(state, "virtio-mmio", MMIO_VERSION);

	state_put(state, mmio->offered_select);
	state_put(state, mmio->wanted_select);
	state_put(state, mmio->queue_select);
	state_end(state, start);
	virtio_save(mmio->core, state);
}

void virtio_mmio_load(struct virtio_mmio *mmio, struct state *state)
{
	struct state section;

	state_enter(state, "virtio-mmio", MMIO_VERSION, &section);
	mmio->offered_select = state_get_max(&section, UINT32_MAX);
	mmio->wanted_select = state_get_max(&section, UINT32_MAX);
	mmio->queue_select = state_get_max(&section, UINT32_MAX);
	state_leave(state, &section);
	virtio_load(mmio->core, state);
	show(mmio);
}
