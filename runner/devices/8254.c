// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a machine without an 8254 has at its ports: counters that read as 0.
 *
 * Before it has found ACPI's tables, Linux reads a counter up to 50,000 times, twice each, for as
 * long as it is 0xff, as ports without a device read; at the first 0 it gives up.
 */
#include "../layout.h"
#include "device.h"

static uint64_t no_counter_read(void *device, uint64_t offset, unsigned int size)
{
	(void)device;
	(void)offset;
	(void)size;
	return 0;
}

static void no_counter_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	(void)device;
	(void)offset;
	(void)size;
	(void)value;
}

static void *no_counter_create(struct device_env *env)
{
	return env;
}

static void no_counter_destroy(void *device)
{
	(void)device;
}

const struct device_type no_8254_type = {
	.name = "no-8254",
	.start = LAYOUT_PIT,
	.size = LAYOUT_PIT_SIZE,
	.ops = { no_counter_read, no_counter_write, 1, 1 },
	.create = no_counter_create,
	.destroy = no_counter_destroy,
};
