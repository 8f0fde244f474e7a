// SPDX-License-Identifier: GPL-2.0-or-later
/* Configuration space of a function: bytes, a mask, and what follows from a write. */
#include <string.h>
#include "../layout.h"
#include "pci.h"

#define FUNCTION_VERSION	1

static uint32_t get(const uint8_t *from, unsigned int size)
{
	uint32_t value = 0;

	memcpy(&value, from, size);
	return value;
}

static void put(struct pci_function *function, unsigned int at, unsigned int size, uint32_t value)
{
	memcpy(function->config + at, &value, size);
}

void pci_function_init(struct pci_function *function, const struct pci_id *id)
{
	const uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
				 PCI_COMMAND_INTX_DISABLE;

	memset(function, 0, sizeof(*function));
	put(function, PCI_VENDOR_ID, 2, id->vendor);
	put(function, PCI_DEVICE_ID, 2, id->device);
	put(function, PCI_CLASS_REVISION, 4, id->class << 8 | id->revision);
	put(function, PCI_SUBSYSTEM_VENDOR_ID, 2, id->subsystem_vendor);
	put(function, PCI_SUBSYSTEM_ID, 2, id->subsystem);
	memcpy(function->writable + PCI_COMMAND, &command, sizeof(command));
	function->writable[PCI_CACHE_LINE_SIZE] = 0xff;
	function->writable[PCI_INTERRUPT_LINE] = 0xff;
	function->next_cap = PCI_STD_HEADER_SIZEOF;
}

void pci_set_bar(struct pci_function *function, unsigned int bar, uint32_t size,
		 const struct bus_ops *ops, void *device)
{
	uint32_t mask = ~(size - 1);

	function->bar[bar] = (struct pci_bar) { .size = size, .ops = ops, .device = device };
	memcpy(function->writable + PCI_BASE_ADDRESS_0 + bar * 4, &mask, sizeof(mask));
}

uint8_t pci_add_capability(struct pci_function *function, uint8_t id, const void *data,
			   unsigned int size)
{
	uint8_t at = function->next_cap, *last = &function->config[PCI_CAPABILITY_LIST];

	while (*last)
		last = &function->config[*last + PCI_CAP_LIST_NEXT];
	*last = at;
	memcpy(function->config + at, data, size);
	function->config[at] = id;
	function->config[at + PCI_CAP_LIST_NEXT] = 0;
	function->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	function->next_cap = (at + size + 3) & ~3;
	return at;
}

/* BARs answer where the driver put them, while it lets them. */
static void update_bars(struct pci_function *function)
{
	bool on = function->config[PCI_COMMAND] & PCI_COMMAND_MEMORY, moved = false;

	for (unsigned int i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &function->bar[i];
		uint32_t base = get(function->config + PCI_BASE_ADDRESS_0 + i * 4, 4);

		if (!bar->size)
			continue;
		if (!on || base < LAYOUT_PCI_MMIO ||
		    base - LAYOUT_PCI_MMIO > LAYOUT_PCI_MMIO_SIZE - bar->size)
			base = 0;
		moved |= base != bar->base;
		bar->base = base;
	}
	if (moved && function->moved)
		function->moved(function->opaque);
}

uint32_t pci_config_read(struct pci_function *function, unsigned int offset, unsigned int size)
{
	return offset + size <= PCI_CONFIG_SIZE ? get(function->config + offset, size) : 0;
}

void pci_config_write(struct pci_function *function, unsigned int offset, unsigned int size,
		      uint32_t value)
{
	bool msix = pci_msix_enabled(function);

	if (offset + size > PCI_CONFIG_SIZE)
		return;
	for (unsigned int i = 0; i < size; i++) {
		uint8_t mask = function->writable[offset + i];
		uint8_t *byte = &function->config[offset + i];

		*byte = (*byte & ~mask) | (value >> (i * 8) & mask);
	}
	update_bars(function);
	pci_msix_update(function, msix);
}

void pci_save(struct pci_function *function, struct state *state)
{
	size_t start = state_begin(state, "pci", FUNCTION_VERSION);

	state_put_bytes(state, function->config, sizeof(function->config));
	pci_msix_save(function, state);
	state_end(state, start);
}

/* Only what a driver can write is taken: the rest is this program's. */
void pci_load(struct pci_function *function, struct state *state)
{
	uint8_t config[PCI_CONFIG_SIZE];
	struct state section;

	state_enter(state, "pci", FUNCTION_VERSION, &section);
	state_get_bytes(&section, config, sizeof(config));
	pci_msix_load(function, &section);
	state_leave(state, &section);
	if (!state_good(state))
		return;
	for (unsigned int i = 0; i < sizeof(config); i++)
		function->config[i] = (function->config[i] & ~function->writable[i]) |
				      (config[i] & function->writable[i]);
	update_bars(function);
	pci_msix_update(function, pci_msix_enabled(function));
}
