// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Guest memory. It is reserved as anonymous memory without a commitment, aligned
 * so that guest-physical and host addresses agree modulo 2 MiB: that is what lets
 * one fault map 2 MiB. Both parts lie one behind the other in the process.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include "layout.h"
#include "ram.h"

#define PAGE		4096ULL
#define LARGE_PAGE	(2ULL << 20)

void ram_plan(struct ram *ram, uint64_t size)
{
	uint64_t low = size < LAYOUT_HOLE ? size : LAYOUT_HOLE;

	*ram = (struct ram) {
		.part = {
			[RAM_LOW] = { .gpa = 0, .size = low },
			[RAM_ABOVE] = { .gpa = LAYOUT_HOLE_END, .size = size - low },
		},
	};
}

void ram_plan_rom(struct ram *ram, uint64_t size)
{
	size = (size + PAGE - 1) & ~(PAGE - 1);
	ram->part[RAM_ROM].gpa = LAYOUT_HOLE_END - size;
	ram->part[RAM_ROM].size = size;
}

enum status ram_map(struct ram *ram)
{
	uint64_t size = 0;
	uint8_t *start;

	for (unsigned int i = 0; i < RAM_PARTS; i++)
		size += ram->part[i].size;
	ram->map_size = size + LARGE_PAGE;
	ram->map = mmap(NULL, ram->map_size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ram->map == MAP_FAILED) {
		ram->map = NULL;
		complain("cannot reserve %llu MiB for the guest: %s; use a smaller --mem",
			 (unsigned long long)size >> 20, strerror(errno));
		return STATUS_HOST;
	}
	start = (uint8_t *)(((uintptr_t)ram->map + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1));
	/* Wishes: without huge pages or core-dump control a guest runs all the same. */
	madvise(start, size, MADV_HUGEPAGE);
	madvise(start, size, MADV_DONTDUMP);
	for (unsigned int i = 0; i < RAM_PARTS; i++) {
		ram->part[i].host = start;
		start += ram->part[i].size;
	}
	return STATUS_OK;
}

void ram_unmap(struct ram *ram)
{
	if (ram->map)
		munmap(ram->map, ram->map_size);
	ram->map = NULL;
}

enum status ram_clear(const struct ram *ram)
{
	if (!madvise(ram->map, ram->map_size, MADV_DONTNEED))
		return STATUS_OK;
	complain("cannot clear the guest's memory: %s; start again", strerror(errno));
	return STATUS_HOST;
}

uint64_t ram_low_end(const struct ram *ram)
{
	return ram->part[RAM_LOW].size;
}

static void *part_at(const struct ram_part *part, uint64_t gpa, uint64_t len)
{
	if (gpa >= part->gpa && gpa - part->gpa < part->size &&
	    len <= part->size - (gpa - part->gpa))
		return part->host + (gpa - part->gpa);
	return NULL;
}

void *ram_dma_at(const struct ram *ram, uint64_t gpa, uint64_t len)
{
	void *at = part_at(&ram->part[RAM_LOW], gpa, len);

	return at ? at : part_at(&ram->part[RAM_ABOVE], gpa, len);
}

void *ram_at(const struct ram *ram, uint64_t gpa, uint64_t len)
{
	void *at = ram_dma_at(ram, gpa, len);

	return at ? at : part_at(&ram->part[RAM_ROM], gpa, len);
}

uint64_t ram_gpa(const struct ram *ram, const void *at)
{
	const struct ram_part *part = ram->part;
	uintptr_t host = (uintptr_t)at;

	while (part < &ram->part[RAM_PARTS - 1] && host - (uintptr_t)part->host >= part->size)
		part++;
	return part->gpa + (host - (uintptr_t)part->host);
}

unsigned int ram_ranges(const struct ram *ram, struct ram_range range[RAM_RANGES_MAX])
{
	unsigned int n = 0;
	uint64_t low = ram_low_end(ram);

	range[n++] = (struct ram_range) { 0, LAYOUT_RESERVED, RAM_RANGE_USABLE };
	range[n++] = (struct ram_range) { LAYOUT_RESERVED, LAYOUT_HIGH - LAYOUT_RESERVED,
					  RAM_RANGE_RESERVED };
	if (low > LAYOUT_HIGH)
		range[n++] = (struct ram_range) { LAYOUT_HIGH, low - LAYOUT_HIGH,
						  RAM_RANGE_USABLE };
	if (ram->part[RAM_ABOVE].size)
		range[n++] = (struct ram_range) { ram->part[RAM_ABOVE].gpa,
						  ram->part[RAM_ABOVE].size, RAM_RANGE_USABLE };
	return n;
}
