// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What test kernels built for QEMU's pc-testdev find: a latch in ports, the I/O APIC's lines
 * at their hand, and memory that only exits reach. Facts: QEMU's device pc-testdev.
 *
 * The latch is four bytes, at 0xe0 and again at 0xe8. Between the two is a port that has QEMU
 * take a page's mapping away for a moment, to no effect that a guest could see: here it does
 * nothing. A line is set by the byte written to its port, and stays.
 */
#include <stdlib.h>
#include "../layout.h"
#include "82093aa.h"
#include "device.h"

/* ---- the latch ---- */

#define LATCH_SIZE	DEVICE_TEST_LATCH	/* behind it is the port that does nothing */

/* Each byte for itself: the bus divides what is wider. */
static uint64_t latch_read(void *device, uint64_t offset, unsigned int size)
{
	uint8_t *byte = device;

	(void)size;
	return offset < LATCH_SIZE ? __atomic_load_n(&byte[offset], __ATOMIC_RELAXED) : UINT64_MAX;
}

static void latch_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	uint8_t *byte = device;

	(void)size;
	if (offset < LATCH_SIZE)
		__atomic_store_n(&byte[offset], value, __ATOMIC_RELAXED);
}

/* In both places, or in the one that the user left free, it is the same. */
static void *latch_create(struct device_env *env)
{
	return env->test_latch;
}

/* It is not a device of its own. */
static void keep(void *device)
{
	(void)device;
}

const struct device_type test_latch_type = {
	.name = "test latch",
	.start = LAYOUT_TEST_LATCH,
	.size = LAYOUT_TEST_LATCH_SIZE,
	.ops = { latch_read, latch_write, 1, 1 },
	.create = latch_create,
	.destroy = keep,
};

const struct device_type test_latch_again_type = {
	.name = "test latch, again",
	.start = LAYOUT_TEST_LATCH_AGAIN,
	.size = LATCH_SIZE,
	.ops = { latch_read, latch_write, 1, 1 },
	.create = latch_create,
	.destroy = keep,
};

/* ---- lines ---- */

static uint64_t lines_read(void *device, uint64_t offset, unsigned int size)
{
	(void)device;
	(void)offset;
	(void)size;
	return UINT64_MAX;
}

static void lines_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	(void)size;
	i82093aa_set_line(device, offset, value & 0xff);
}

static void *lines_create(struct device_env *env)
{
	return env->ioapic;
}

const struct device_type test_lines_type = {
	.name = "test lines",
	.start = LAYOUT_TEST_LINES,
	.size = I82093AA_LINES,
	.ops = { lines_read, lines_write, 1, 1 },
	.create = lines_create,
	.destroy = keep,
};

/* ---- memory ---- */

static uint64_t memory_read(void *device, uint64_t offset, unsigned int size)
{
	uint8_t *byte = device;

	(void)size;
	return __atomic_load_n(&byte[offset], __ATOMIC_RELAXED);
}

static void memory_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	uint8_t *byte = device;

	(void)size;
	__atomic_store_n(&byte[offset], value, __ATOMIC_RELAXED);
}

static void *memory_create(struct device_env *env)
{
	(void)env;
	return calloc(1, LAYOUT_TEST_MEMORY_SIZE);
}

const struct device_type test_memory_type = {
	.name = "test memory",
	.mmio = true,
	.start = LAYOUT_TEST_MEMORY,
	.size = LAYOUT_TEST_MEMORY_SIZE,
	.ops = { memory_read, memory_write, 1, 1 },
	.create = memory_create,
	.destroy = free,
};
