/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transports: how a driver finds a device's registers and rings its doorbells. A
 * transport owns its registers' addresses and interrupts, the core all else.
 *
 * A register's access is an iothread_call() from the vCPU's thread. Doorbells are
 * ioeventfds and interrupts irqfds: neither meets a vCPU's thread.
 */
#ifndef RUNNER_VIRTIO_TRANSPORT_H
#define RUNNER_VIRTIO_TRANSPORT_H

#include "../bus.h"
#include "../devices/device.h"
#include "../state.h"
#include "core.h"

struct pci_host;
struct virtio_pci;

/* Put @core, which is taken over, on the bus. NULL: no memory, descriptors or room. */
struct virtio_pci *virtio_pci_create(struct pci_host *host, struct virtio_core *core);
void virtio_pci_destroy(struct virtio_pci *pci);

/* The device is quiesced; the vCPUs do not run. */
void virtio_pci_save(struct virtio_pci *pci, struct state *state);
void virtio_pci_load(struct virtio_pci *pci, struct state *state);

struct virtio_mmio;

/* The same in the page of @slot, a number below LAYOUT_VIRTIO_MMIO_MAX, with its line. */
struct virtio_mmio *virtio_mmio_create(const struct device_env *env, struct bus *bus,
				       unsigned int slot, struct virtio_core *core);
void virtio_mmio_destroy(struct virtio_mmio *mmio);
void virtio_mmio_save(struct virtio_mmio *mmio, struct state *state);
void virtio_mmio_load(struct virtio_mmio *mmio, struct state *state);

#endif /* RUNNER_VIRTIO_TRANSPORT_H */
