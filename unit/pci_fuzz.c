// SPDX-License-Identifier: GPL-2.0-or-later
/* PCI and virtio over it, driven by transport_fuzz.h's inputs. */
/* unit-sources: ../runner/pci/host.c ../runner/pci/function.c ../runner/pci/msix.c */
/* unit-sources: ../runner/virtio/pci.c ../runner/bus.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include "transport_fuzz.h"
#include "../runner/layout.h"
#include "../runner/pci/pci.h"

#define CONFIG(slot)	(LAYOUT_PCI_ECAM + ((slot) << 15))

static struct bus pio, mmio;
static struct pci_host *host;
static struct virtio_pci *device;

static void fuzz_open(struct world *world)
{
	memset(&pio, 0, sizeof(pio));
	memset(&mmio, 0, sizeof(mmio));
	host = pci_host_create(&fuzz_env, &pio, &mmio);
	if (!host)
		abort();
	device = virtio_pci_create(host, world->core);
	if (!device)
		abort();
}

/* The doorbells are all there while the BAR answers, else none. */
static void fuzz_close(struct world *world)
{
	const struct pci_function *function = host->function[1];

	(void)world;
	if (module.bells != (function->bar[0].base ? FUZZ_QUEUES : 0) ||
	    module.routes > FUZZ_QUEUES + 1)
		abort();
	virtio_pci_destroy(device);
	pci_host_destroy(host);
}

/* 0: ports; 1-4: configuration; 5-12: a page of the BAR; others: the BAR, and all around. */
static const struct bus *fuzz_address(unsigned int space, unsigned int offset, uint64_t *address)
{
	uint32_t bar = bus_read(&mmio, CONFIG(1) + PCI_BASE_ADDRESS_0, 4) & ~0xfU;

	switch (space) {
	case 0:
		*address = LAYOUT_PCI_PORTS + offset % 16;
		return &pio;
	case 1:
	case 2:
	case 3:
		*address = CONFIG(space - 1) + offset % PCI_CONFIG_SIZE;
		break;
	case 4:
		*address = LAYOUT_PCI_ECAM + (uint64_t)offset * 16;
		break;
	case 13:
	case 14:
		*address = bar + offset;
		break;
	case 15:
		*address = LAYOUT_PCI_MMIO + (uint64_t)offset * 0x4000;
		break;
	default:
		*address = bar + (space - 5) * 0x1000 + offset % 64;
		break;
	}
	return &mmio;
}

static void fuzz_save(struct state *state)
{
	virtio_pci_save(device, state);
}

static void fuzz_load(struct state *state)
{
	virtio_pci_load(device, state);
}
