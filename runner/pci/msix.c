// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * MSI-X: a vector is an eventfd, and while it may interrupt the module sends its message
 * at each write. Facts: PCI Local Bus Specification 3.0, "MSI-X Capability and Table
 * Structures".
 *
 * A masked vector's eventfd keeps its count, which is the pending bit, and sends when it
 * is unmasked.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "pci.h"

struct capability {
	uint8_t id, next;
	uint16_t control;
	uint32_t table, pba;
};

bool pci_msix_init(struct pci_function *function, unsigned int count, uint8_t bar,
		   uint32_t table, uint32_t pba)
{
	struct pci_msix *msix = &function->msix;
	struct capability cap = { .control = count - 1, .table = table | bar, .pba = pba | bar };

	msix->vector = calloc(count, sizeof(*msix->vector));
	if (!msix->vector)
		return false;
	msix->count = count;
	msix->bar = bar;
	msix->table = table;
	msix->pba = pba;
	for (unsigned int i = 0; i < count; i++)
		msix->vector[i] = (struct pci_vector) { .fd = -1,
							.control = PCI_MSIX_ENTRY_CTRL_MASKBIT };
	for (unsigned int i = 0; i < count; i++) {
		msix->vector[i].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (msix->vector[i].fd < 0)
			return false;
	}
	msix->cap = pci_add_capability(function, PCI_CAP_ID_MSIX, &cap, sizeof(cap));
	function->writable[msix->cap + PCI_MSIX_FLAGS + 1] =
		(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) >> 8;
	return true;
}

static uint16_t flags(const struct pci_function *function)
{
	uint16_t value = 0;

	if (function->msix.cap)
		memcpy(&value, function->config + function->msix.cap + PCI_MSIX_FLAGS,
		       sizeof(value));
	return value;
}

bool pci_msix_enabled(const struct pci_function *function)
{
	return flags(function) & PCI_MSIX_FLAGS_ENABLE;
}

/* ---- routes ---- */

static void unroute(struct pci_function *function, struct pci_vector *vector)
{
	const struct device_env *env = function->host->env;

	if (vector->is_routed)
		env->route(env->opaque, vector->fd, &vector->routed, false);
	vector->is_routed = false;
}

static void update(struct pci_function *function, struct pci_vector *vector)
{
	const struct device_env *env = function->host->env;
	uint16_t on = flags(function) & (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	bool open = on == PCI_MSIX_FLAGS_ENABLE &&
		    !(vector->control & PCI_MSIX_ENTRY_CTRL_MASKBIT);

	if (vector->is_routed && open && vector->msi.address == vector->routed.address &&
	    vector->msi.data == vector->routed.data)
		return;
	unroute(function, vector);
	if (!open)
		return;
	/* What a guest wrote may be no message at all; then nobody gets it. */
	vector->routed = vector->msi;
	vector->is_routed = !env->route(env->opaque, vector->fd, &vector->routed, true);
}

static void forget_pending(struct pci_vector *vector)
{
	uint64_t count;
	ssize_t n = read(vector->fd, &count, sizeof(count));

	(void)n;
}

void pci_msix_update(struct pci_function *function, bool was_enabled)
{
	bool starts = !was_enabled && pci_msix_enabled(function);

	for (unsigned int i = 0; i < function->msix.count; i++) {
		struct pci_vector *vector = &function->msix.vector[i];

		/* Interrupts of the time without MSI-X are nobody's. */
		if (starts)
			forget_pending(vector);
		update(function, vector);
	}
}

void pci_msix_destroy(struct pci_function *function)
{
	struct pci_msix *msix = &function->msix;

	for (unsigned int i = 0; i < msix->count; i++) {
		unroute(function, &msix->vector[i]);
		if (msix->vector[i].fd >= 0)
			close(msix->vector[i].fd);
	}
	free(msix->vector);
	*msix = (struct pci_msix) { 0 };
}

void pci_msix_raise(struct pci_function *function, unsigned int vector)
{
	uint64_t one = 1;
	ssize_t n;

	if (vector >= function->msix.count)
		return;
	n = write(function->msix.vector[vector].fd, &one, sizeof(one));
	/* It can fail only when the counter is at its end, and so not 0. */
	(void)n;
}

/* ---- the table ---- */

static uint32_t table_size(const struct pci_msix *msix)
{
	return msix->count * PCI_MSIX_ENTRY_SIZE;
}

static uint32_t pba_size(const struct pci_msix *msix)
{
	return (msix->count + 63) / 64 * 8;
}

bool pci_msix_owns(const struct pci_function *function, unsigned int bar, uint32_t offset)
{
	const struct pci_msix *msix = &function->msix;

	return msix->count && bar == msix->bar &&
	       ((offset >= msix->table && offset - msix->table < table_size(msix)) ||
		(offset >= msix->pba && offset - msix->pba < pba_size(msix)));
}

static uint32_t pending(const struct pci_msix *msix, uint32_t word)
{
	uint32_t bits = 0;

	for (unsigned int i = 0; i < 32 && word * 32 + i < msix->count; i++) {
		struct pollfd fd = { .fd = msix->vector[word * 32 + i].fd, .events = POLLIN };

		if (poll(&fd, 1, 0) > 0)
			bits |= 1U << i;
	}
	return bits;
}

static uint32_t read_entry(const struct pci_vector *vector, uint32_t reg)
{
	switch (reg) {
	case PCI_MSIX_ENTRY_LOWER_ADDR:
		return vector->msi.address;
	case PCI_MSIX_ENTRY_UPPER_ADDR:
		return vector->msi.address >> 32;
	case PCI_MSIX_ENTRY_DATA:
		return vector->msi.data;
	default:
		return vector->control;
	}
}

/* Registers are whole words: a part of one is taken from it. */
uint32_t pci_msix_read(struct pci_function *function, uint32_t offset, unsigned int size)
{
	const struct pci_msix *msix = &function->msix;
	uint32_t word = offset & ~3U, value;

	if (offset - msix->table < table_size(msix))
		value = read_entry(&msix->vector[(word - msix->table) / PCI_MSIX_ENTRY_SIZE],
				   (word - msix->table) % PCI_MSIX_ENTRY_SIZE);
	else
		value = pending(msix, (word - msix->pba) / 4);
	value >>= offset % 4 * 8;
	return size < 4 ? value & ((1U << size * 8) - 1) : value;
}

void pci_msix_write(struct pci_function *function, uint32_t offset, unsigned int size,
		    uint32_t value)
{
	struct pci_msix *msix = &function->msix;
	struct pci_vector *vector;

	if (size != 4 || offset - msix->table >= table_size(msix))
		return;
	offset -= msix->table;
	vector = &msix->vector[offset / PCI_MSIX_ENTRY_SIZE];
	switch (offset % PCI_MSIX_ENTRY_SIZE) {
	case PCI_MSIX_ENTRY_LOWER_ADDR:
		vector->msi.address = (vector->msi.address & ~0xffffffffULL) | (value & ~3U);
		break;
	case PCI_MSIX_ENTRY_UPPER_ADDR:
		vector->msi.address = (uint32_t)vector->msi.address | (uint64_t)value << 32;
		break;
	case PCI_MSIX_ENTRY_DATA:
		vector->msi.data = value;
		break;
	default:
		vector->control = value & PCI_MSIX_ENTRY_CTRL_MASKBIT;
		break;
	}
	update(function, vector);
}

/* ---- state ---- */

void pci_msix_save(const struct pci_function *function, struct state *state)
{
	const struct pci_msix *msix = &function->msix;

	state_put(state, msix->count);
	for (unsigned int i = 0; i < msix->count; i++) {
		const struct pci_vector *vector = &msix->vector[i];

		state_put(state, vector->msi.address);
		state_put(state, vector->msi.data);
		state_put(state, vector->control);
		state_put(state, pending(msix, i / 32) >> i % 32 & 1);
	}
}

void pci_msix_load(struct pci_function *function, struct state *state)
{
	struct pci_msix *msix = &function->msix;

	if (state_get(state) != msix->count)
		state->bad = true;
	for (unsigned int i = 0; i < msix->count && state_good(state); i++) {
		struct pci_vector *vector = &msix->vector[i];

		vector->msi.address = state_get(state);
		vector->msi.data = state_get_max(state, UINT32_MAX);
		vector->control = state_get_max(state, PCI_MSIX_ENTRY_CTRL_MASKBIT);
		if (state_get_max(state, 1))
			pci_msix_raise(function, i);
	}
}
