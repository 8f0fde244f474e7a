// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Dispatch of port and MMIO accesses. The odd cases (straddling, wrong width,
 * nobody there) are resolved by next_piece() alone: it names the longest start of
 * an access that one register access, or nobody, answers.
 */
#include <string.h>
#include "bus.h"

/* The first range that ends behind @addr, or the count. */
static unsigned int lower_bound(const struct bus *bus, uint64_t addr)
{
	unsigned int low = 0, high = bus->count;

	while (low < high) {
		unsigned int mid = (low + high) / 2;
		const struct bus_range *range = &bus->range[mid];

		if (addr >= range->start && addr - range->start >= range->size)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool bus_add(struct bus *bus, const struct bus_range *range)
{
	unsigned int at = lower_bound(bus, range->start);

	if (!range->size || range->size - 1 > UINT64_MAX - range->start ||
	    (range->start | range->size) % range->ops->min || bus->count == BUS_RANGES_MAX)
		return false;
	if (at < bus->count && (bus->range[at].start <= range->start ||
				bus->range[at].start - range->start < range->size))
		return false;
	memmove(&bus->range[at + 1], &bus->range[at],
		(bus->count - at) * sizeof(bus->range[0]));
	bus->range[at] = *range;
	bus->count++;
	return true;
}

struct piece {
	const struct bus_range *range;	/* NULL: nobody's */
	uint64_t offset;		/* of the register access */
	unsigned int width;		/* of the register access */
	unsigned int skip;		/* bytes of it before the piece */
	unsigned int size;		/* bytes of the piece */
};

static uint64_t ones(unsigned int size)
{
	return size >= 8 ? UINT64_MAX : (1ULL << (size * 8)) - 1;
}

/* The piece at the start of the @left bytes from @addr. */
static struct piece next_piece(const struct bus *bus, uint64_t addr, unsigned int left)
{
	unsigned int at = lower_bound(bus, addr);
	const struct bus_range *range = at < bus->count ? &bus->range[at] : NULL;
	struct piece piece = { .size = 1 };
	uint64_t offset;

	if (!range || addr < range->start)
		return piece;

	offset = addr - range->start;
	piece.range = range;
	piece.width = range->ops->max;
	while (piece.width > range->ops->min &&
	       (piece.width > left || addr % piece.width || piece.width > range->size - offset))
		piece.width /= 2;
	piece.skip = addr % piece.width;
	piece.offset = offset - piece.skip;
	piece.size = piece.width - piece.skip;
	if (piece.size > left)
		piece.size = left;
	return piece;
}

static uint64_t read_piece(const struct piece *piece)
{
	const struct bus_ops *ops;

	if (!piece->range)
		return ones(piece->size);
	ops = piece->range->ops;
	return ops->read(piece->range->device, piece->offset, piece->width) >> (piece->skip * 8) &
	       ones(piece->size);
}

uint64_t bus_read(const struct bus *bus, uint64_t addr, unsigned int size)
{
	uint64_t value = 0;
	unsigned int done = 0;

	while (done < size) {
		struct piece piece = next_piece(bus, addr + done, size - done);

		value |= read_piece(&piece) << (done * 8);
		done += piece.size;
	}
	return value;
}

void bus_write(const struct bus *bus, uint64_t addr, unsigned int size, uint64_t value)
{
	unsigned int done = 0;

	while (done < size) {
		struct piece piece = next_piece(bus, addr + done, size - done);

		if (piece.range && piece.size == piece.width)
			piece.range->ops->write(piece.range->device, piece.offset, piece.width,
						value >> (done * 8) & ones(piece.width));
		done += piece.size;
	}
}
