/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An address space of device registers: ports, or guest-physical addresses that
 * are not RAM.
 *
 * A bus is filled while the machine is built and constant while it runs, so it
 * needs no lock. Devices see only accesses of a width they declared, naturally
 * aligned and inside their range; all else is settled here.
 */
#ifndef RUNNER_BUS_H
#define RUNNER_BUS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Registers of a device. Offsets are from the start of the range; @size is 1, 2,
 * 4 or 8 bytes. Called on any vCPU's thread: the device locks.
 */
struct bus_ops {
	uint64_t (*read)(void *device, uint64_t offset, unsigned int size);
	void (*write)(void *device, uint64_t offset, unsigned int size, uint64_t value);
	unsigned int min, max;	/* widths of the registers in bytes, powers of two */
};

struct bus_range {
	uint64_t start;
	uint64_t size;
	const struct bus_ops *ops;
	void *device;
};

/* One device file gives one or two ranges, all of PCI two. */
#define BUS_RANGES_MAX	32

struct bus {
	struct bus_range range[BUS_RANGES_MAX];	/* sorted by start, disjoint */
	unsigned int count;
};

/*
 * Add a range. false: it is empty or wraps, overlaps another, its ends are not
 * multiples of the smallest width, or the bus is full.
 */
bool bus_add(struct bus *bus, const struct bus_range *range);

/*
 * An access of 1 to 8 bytes at any address. Bytes that nobody owns read all-ones;
 * writes to them go nowhere. An access wider than a device's registers becomes
 * several in ascending order, one that straddles ranges is divided between them,
 * a read narrower than a register takes its part, a narrower write is dropped.
 */
uint64_t bus_read(const struct bus *bus, uint64_t addr, unsigned int size);
void bus_write(const struct bus *bus, uint64_t addr, unsigned int size, uint64_t value);

#endif /* RUNNER_BUS_H */
