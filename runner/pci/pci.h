/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI: a host bridge with bus 0, and what a function on it is. Facts: PCI Local Bus
 * Specification 3.0 and PCI Express Base Specification, "Enhanced Configuration Access
 * Mechanism".
 *
 * A function has configuration bytes with a mask of what a driver may write, memory
 * BARs of 32 bits and an MSI-X table. All functions share the host's lock, taken here on
 * vCPU threads; what answers behind a BAR is called without it. There are no interrupt
 * pins: MSI-X or nothing.
 *
 * Invariant: a vector's eventfd sends its message exactly while MSI-X is enabled, the
 * function and the vector are not masked, and the message is one.
 */
#ifndef RUNNER_PCI_H
#define RUNNER_PCI_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <linux/pci_regs.h>
#include <linux/vmm.h>
#include "../bus.h"
#include "../devices/device.h"
#include "../state.h"

#define PCI_DEVICES		32	/* of a bus, each with function 0 */
#define PCI_CONFIG_SIZE		256	/* conventional; extended space is empty */
#define PCI_BARS		6
#define PCI_VECTORS_MAX		128	/* of a function */

struct pci_host;

struct pci_bar {
	uint32_t size;			/* a power of two, 0: there is none */
	const struct bus_ops *ops;
	void *device;
	uint32_t base;			/* where it answers, 0: nowhere */
};

struct pci_vector {
	int fd;				/* eventfd: who writes it interrupts */
	struct vmm_msi msi;		/* as the driver wrote it */
	uint32_t control;
	struct vmm_msi routed;		/* what fd sends, if is_routed */
	bool is_routed;
};

struct pci_msix {
	unsigned int count;
	struct pci_vector *vector;
	uint8_t cap;			/* where the capability is */
	uint8_t bar;
	uint32_t table, pba;		/* offsets in the BAR */
};

struct pci_function {
	struct pci_host *host;
	unsigned int slot;
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE];	/* bits that a driver sets */
	uint8_t next_cap;			/* where the next capability goes */
	struct pci_bar bar[PCI_BARS];
	struct pci_msix msix;

	/*
	 * The BARs came, went or moved: all of them are where base says. With the lock.
	 * May be NULL.
	 */
	void (*moved)(void *opaque);
	/*
	 * A register that is a window to a BAR (VIRTIO_PCI_CAP_PCI_CFG): @window_start to
	 * @window_end of the configuration. Without the lock. NULL: there is none.
	 */
	void (*window)(void *opaque, unsigned int offset, unsigned int size, bool write,
		       uint32_t *value);
	unsigned int window_start, window_end;
	void *opaque;
};

struct pci_host {
	pthread_mutex_t lock;
	const struct device_env *env;
	struct pci_function *function[PCI_DEVICES];
	uint32_t address;		/* the last written to the address port */
	uint32_t free;			/* where the next BAR goes at power-on */
	struct pci_function bridge;	/* the host bridge itself, device 0 */
};

/* ---- host.c ---- */

/* The bridge; its ranges are added to @pio and @mmio. NULL: no memory, or addresses. */
struct pci_host *pci_host_create(const struct device_env *env, struct bus *pio,
				 struct bus *mmio);
void pci_host_destroy(struct pci_host *host);

/* Put a function that is set up into the next free device. false: there is no room. */
bool pci_add(struct pci_host *host, struct pci_function *function);

/* An access to a BAR of @function, as if by the CPU; what is wrong with it reads zero. */
void pci_bar_access(struct pci_function *function, unsigned int bar, uint32_t offset,
		    unsigned int size, bool write, uint32_t *value);

/* ---- function.c ---- */

struct pci_id {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint8_t revision;
	uint32_t class;
};

void pci_function_init(struct pci_function *function, const struct pci_id *id);

/* Memory of @size bytes behind @bar; where it is, pci_add() decides. */
void pci_set_bar(struct pci_function *function, unsigned int bar, uint32_t size,
		 const struct bus_ops *ops, void *device);

/*
 * Append a capability: @size bytes at @data, of which the first two, its id and the
 * pointer to the next, are filled in. Returns its offset.
 */
uint8_t pci_add_capability(struct pci_function *function, uint8_t id, const void *data,
			   unsigned int size);

/* The host's lock is held. @size is 1, 2 or 4, @offset aligned to it. */
uint32_t pci_config_read(struct pci_function *function, unsigned int offset, unsigned int size);
void pci_config_write(struct pci_function *function, unsigned int offset, unsigned int size,
		      uint32_t value);

void pci_save(struct pci_function *function, struct state *state);
void pci_load(struct pci_function *function, struct state *state);

/* ---- msix.c ---- */

/* @count vectors, with table and PBA in @bar. false: no memory or descriptors. */
bool pci_msix_init(struct pci_function *function, unsigned int count, uint8_t bar,
		   uint32_t table, uint32_t pba);
void pci_msix_destroy(struct pci_function *function);

/* Any thread: interrupt. A vector that is not there is nobody's. */
void pci_msix_raise(struct pci_function *function, unsigned int vector);

/* The host's lock is held, for all that follow. */
void pci_msix_update(struct pci_function *function, bool was_enabled);
bool pci_msix_enabled(const struct pci_function *function);
/* Does the table or the PBA answer at @offset of @bar? */
bool pci_msix_owns(const struct pci_function *function, unsigned int bar, uint32_t offset);
uint32_t pci_msix_read(struct pci_function *function, uint32_t offset, unsigned int size);
void pci_msix_write(struct pci_function *function, uint32_t offset, unsigned int size,
		    uint32_t value);
void pci_msix_save(const struct pci_function *function, struct state *state);
void pci_msix_load(struct pci_function *function, struct state *state);

#endif /* RUNNER_PCI_H */
