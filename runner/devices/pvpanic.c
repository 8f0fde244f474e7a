// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The pvpanic port: a guest with a driver for it tells that its kernel panicked,
 * which then needs no guess from the console's text. Facts: QEMU documentation,
 * "PVPANIC DEVICE"; the ACPI id QEMU0001 in boot/dsdt.asl belongs to it.
 *
 * Reading tells the events that are understood, writing reports them. The guest
 * goes on (it may write a crash dump); what it does next ends the machine.
 */
#include <stdlib.h>
#include "../layout.h"
#include "device.h"

#define PVPANIC_PANICKED	0x01
#define PVPANIC_CRASH_LOADED	0x02	/* a crash kernel takes over: nothing ends */

struct pvpanic {
	const struct device_env *env;
};

static uint64_t pvpanic_read(void *device, uint64_t offset, unsigned int size)
{
	(void)device;
	(void)offset;
	(void)size;
	return PVPANIC_PANICKED | PVPANIC_CRASH_LOADED;
}

static void pvpanic_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pvpanic *pvpanic = device;

	(void)offset;
	(void)size;
	if (value & (PVPANIC_PANICKED | PVPANIC_CRASH_LOADED))
		pvpanic->env->event(pvpanic->env->opaque, EVENT_PANIC);
}

static void *pvpanic_create(struct device_env *env)
{
	struct pvpanic *pvpanic = malloc(sizeof(*pvpanic));

	if (pvpanic)
		pvpanic->env = env;
	return pvpanic;
}

const struct device_type pvpanic_type = {
	.name = "pvpanic",
	.start = LAYOUT_PVPANIC,
	.size = 1,
	.ops = { pvpanic_read, pvpanic_write, 1, 1 },
	.create = pvpanic_create,
	.destroy = free,
};
