/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's RAM: one range of this process's memory, seen by the guest as a
 * part below the hole and a part above 4 GiB. Firmware is a third part: read-only, and
 * in no memory map.
 *
 * Loaders write through these functions only; each checks start AND length.
 */
#ifndef RUNNER_RAM_H
#define RUNNER_RAM_H

#include <stddef.h>
#include <stdint.h>
#include "status.h"

struct ram_part {
	uint64_t gpa;
	uint64_t size;		/* bytes, 0: the part is not there */
	uint8_t *host;
};

/* Below the hole, above 4 GiB, and firmware that the guest cannot write. */
enum { RAM_LOW, RAM_ABOVE, RAM_ROM, RAM_PARTS };

struct ram {
	struct ram_part part[RAM_PARTS];
	void *map;
	size_t map_size;
};

/* Divide @size bytes into parts; no memory is taken yet. */
void ram_plan(struct ram *ram, uint64_t size);

/* Plan a ROM of at least @size bytes that ends where RAM_ABOVE may start. */
void ram_plan_rom(struct ram *ram, uint64_t size);

/* Take the address space for a planned RAM; pages come with their first touch. */
enum status ram_map(struct ram *ram);
void ram_unmap(struct ram *ram);

/* Make all of it zero again, giving the pages back. */
enum status ram_clear(const struct ram *ram);

/* End of the part below the hole, and so the limit for all that is loaded. */
uint64_t ram_low_end(const struct ram *ram);

/* Where [@gpa, @gpa + @len) is, if all of it is in one part, else NULL. */
void *ram_at(const struct ram *ram, uint64_t gpa, uint64_t len);

/* The same for devices, which reach RAM only, and no firmware. */
void *ram_dma_at(const struct ram *ram, uint64_t gpa, uint64_t len);

/* The guest's address of @at, which is in one of the parts. */
uint64_t ram_gpa(const struct ram *ram, const void *at);

/* Types of memory ranges, as E820 and PVH number them. */
#define RAM_RANGE_USABLE	1
#define RAM_RANGE_RESERVED	2

struct ram_range {
	uint64_t start;
	uint64_t size;
	uint32_t type;
};

#define RAM_RANGES_MAX	4

/* The memory map that a kernel is told. Returns the number of ranges. */
unsigned int ram_ranges(const struct ram *ram, struct ram_range range[RAM_RANGES_MAX]);

#endif /* RUNNER_RAM_H */
