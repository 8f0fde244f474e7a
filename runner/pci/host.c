// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The host bridge: three ways in. The address and data ports ("Configuration Mechanism
 * #1" of the PCI Local Bus Specification), with which a kernel looks early; ECAM, a page
 * a function, which MCFG names; and the window in which BARs answer, which _CRS names.
 *
 * BARs are placed at power-on, as a firmware would; a kernel may move them.
 */
#include <stdlib.h>
#include "../layout.h"
#include "pci.h"

#define ECAM_SHIFT		15	/* a device's 8 functions of a page each */
#define ECAM_OFFSET		0xfff
#define ECAM_FUNCTION		0x7000

/* The address port */
#define ADDRESS_ENABLE		0x80000000U
#define ADDRESS_WRITABLE	0x80fffffcU
#define ADDRESS_BUS		0x00ff0000U
#define ADDRESS_DEVICE_SHIFT	11
#define ADDRESS_FUNCTION	0x00000700U
#define ADDRESS_REGISTER	0xfcU
#define DATA_OFFSET		4

/* QEMU's "PCIe Host bridge", docs/specs/pci-ids: a bridge without registers of its own. */
#define BRIDGE_VENDOR		0x1b36
#define BRIDGE_DEVICE		0x0008
#define BRIDGE_CLASS		0x060000

static uint32_t ones(unsigned int size)
{
	return size < 4 ? (1U << size * 8) - 1 : UINT32_MAX;
}

/* ---- configuration ---- */

static uint32_t config_access(struct pci_host *host, unsigned int slot, unsigned int offset,
			      unsigned int size, bool write, uint32_t value)
{
	struct pci_function *function = slot < PCI_DEVICES ? host->function[slot] : NULL;

	if (!function)
		return ones(size);
	pthread_mutex_lock(&host->lock);
	if (write)
		pci_config_write(function, offset, size, value);
	else
		value = pci_config_read(function, offset, size);
	pthread_mutex_unlock(&host->lock);
	if (function->window && offset >= function->window_start && offset < function->window_end)
		function->window(function->opaque, offset, size, write, &value);
	return value;
}

static uint64_t ecam_read(void *device, uint64_t offset, unsigned int size)
{
	if (offset & ECAM_FUNCTION)
		return ones(size);
	return config_access(device, offset >> ECAM_SHIFT, offset & ECAM_OFFSET, size, false, 0);
}

static void ecam_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	if (!(offset & ECAM_FUNCTION))
		config_access(device, offset >> ECAM_SHIFT, offset & ECAM_OFFSET, size, true,
			      value);
}

/* The device that the address port names, PCI_DEVICES for none. */
static unsigned int named_slot(uint32_t address)
{
	if (!(address & ADDRESS_ENABLE) || address & (ADDRESS_BUS | ADDRESS_FUNCTION))
		return PCI_DEVICES;
	return address >> ADDRESS_DEVICE_SHIFT & (PCI_DEVICES - 1);
}

static uint32_t get_address(struct pci_host *host)
{
	uint32_t address;

	pthread_mutex_lock(&host->lock);
	address = host->address;
	pthread_mutex_unlock(&host->lock);
	return address;
}

static uint64_t port_read(void *device, uint64_t offset, unsigned int size)
{
	struct pci_host *host = device;
	uint32_t address = get_address(host);

	if (offset < DATA_OFFSET)
		return size == 4 ? address : ones(size);
	return config_access(host, named_slot(address),
			     (address & ADDRESS_REGISTER) + offset - DATA_OFFSET, size, false, 0);
}

/* The address is taken as a whole only: byte ports there were other chips' once. */
static void port_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pci_host *host = device;
	uint32_t address = get_address(host);

	if (offset >= DATA_OFFSET) {
		config_access(host, named_slot(address),
			      (address & ADDRESS_REGISTER) + offset - DATA_OFFSET, size, true,
			      value);
		return;
	}
	if (size != 4)
		return;
	pthread_mutex_lock(&host->lock);
	host->address = value & ADDRESS_WRITABLE;
	pthread_mutex_unlock(&host->lock);
}

/* ---- BARs ---- */

void pci_bar_access(struct pci_function *function, unsigned int bar, uint32_t offset,
		    unsigned int size, bool write, uint32_t *value)
{
	struct pci_host *host = function->host;
	const struct pci_bar *at = &function->bar[bar];

	if (pci_msix_owns(function, bar, offset)) {
		pthread_mutex_lock(&host->lock);
		if (write)
			pci_msix_write(function, offset, size, *value);
		else
			*value = pci_msix_read(function, offset, size);
		pthread_mutex_unlock(&host->lock);
	} else if (write) {
		at->ops->write(at->device, offset, size, *value);
	} else {
		*value = at->ops->read(at->device, offset, size);
	}
}

/* Who answers at @address of the window; of two, the first. */
static struct pci_function *find(struct pci_host *host, uint32_t address, unsigned int *bar,
				 uint32_t *offset)
{
	struct pci_function *found = NULL;

	pthread_mutex_lock(&host->lock);
	for (unsigned int i = 0; !found && i < PCI_DEVICES * PCI_BARS; i++) {
		struct pci_function *function = host->function[i / PCI_BARS];
		const struct pci_bar *at = function ? &function->bar[i % PCI_BARS] : NULL;

		if (!at || !at->base || address < at->base || address - at->base >= at->size)
			continue;
		*bar = i % PCI_BARS;
		*offset = address - at->base;
		found = function;
	}
	pthread_mutex_unlock(&host->lock);
	return found;
}

static uint64_t window_read(void *device, uint64_t offset, unsigned int size)
{
	uint32_t value = ones(size), at;
	unsigned int bar;
	struct pci_function *function = find(device, LAYOUT_PCI_MMIO + offset, &bar, &at);

	if (function)
		pci_bar_access(function, bar, at, size, false, &value);
	return value;
}

static void window_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	uint32_t word = value, at;
	unsigned int bar;
	struct pci_function *function = find(device, LAYOUT_PCI_MMIO + offset, &bar, &at);

	if (function)
		pci_bar_access(function, bar, at, size, true, &word);
}

/* ---- making ---- */

static const struct bus_ops ecam_ops = { ecam_read, ecam_write, 1, 4 };
static const struct bus_ops port_ops = { port_read, port_write, 1, 4 };
static const struct bus_ops window_ops = { window_read, window_write, 1, 4 };

bool pci_add(struct pci_host *host, struct pci_function *function)
{
	unsigned int slot = 0;

	while (slot < PCI_DEVICES && host->function[slot])
		slot++;
	if (slot == PCI_DEVICES)
		return false;
	for (unsigned int i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *bar = &function->bar[i];
		uint32_t base;

		if (!bar->size)
			continue;
		base = (host->free + bar->size - 1) & ~(bar->size - 1);
		if (base - LAYOUT_PCI_MMIO > LAYOUT_PCI_MMIO_SIZE - bar->size)
			return false;
		host->free = base + bar->size;
		for (unsigned int byte = 0; byte < 4; byte++)
			function->config[PCI_BASE_ADDRESS_0 + i * 4 + byte] = base >> byte * 8;
	}
	function->host = host;
	function->slot = slot;
	host->function[slot] = function;
	return true;
}

struct pci_host *pci_host_create(const struct device_env *env, struct bus *pio, struct bus *mmio)
{
	const struct pci_id id = { .vendor = BRIDGE_VENDOR, .device = BRIDGE_DEVICE,
				   .class = BRIDGE_CLASS };
	struct pci_host *host = calloc(1, sizeof(*host));
	const struct bus_range ports = { LAYOUT_PCI_PORTS, LAYOUT_PCI_PORTS_SIZE, &port_ops, host };
	const struct bus_range ecam = { LAYOUT_PCI_ECAM, LAYOUT_PCI_ECAM_SIZE, &ecam_ops, host };
	const struct bus_range window = { LAYOUT_PCI_MMIO, LAYOUT_PCI_MMIO_SIZE, &window_ops,
					  host };

	if (!host)
		return NULL;
	pthread_mutex_init(&host->lock, NULL);
	host->env = env;
	host->free = LAYOUT_PCI_MMIO;
	pci_function_init(&host->bridge, &id);
	if (bus_add(pio, &ports) && bus_add(mmio, &ecam) && bus_add(mmio, &window) &&
	    pci_add(host, &host->bridge))
		return host;
	pci_host_destroy(host);
	return NULL;
}

void pci_host_destroy(struct pci_host *host)
{
	if (!host)
		return;
	pthread_mutex_destroy(&host->lock);
	free(host);
}
