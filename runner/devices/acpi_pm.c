// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The power registers of hardware-reduced ACPI: sleep control, sleep status and
 * reset, a byte each, at the ports that the FADT names (boot/acpi.c). Facts: ACPI
 * Specification, "Sleep Control and Status Registers" and "Reset Register".
 *
 * There is no state: the machine ends at the write that means something.
 */
#include <stdlib.h>
#include "../layout.h"
#include "device.h"

#define SLEEP_CONTROL_SLP_TYP_SHIFT	2
#define SLEEP_CONTROL_SLP_TYP_MASK	7
#define SLEEP_CONTROL_SLP_EN		0x20

struct acpi_pm {
	const struct device_env *env;
};

/* Control bits read as zero; WAK_STS is never set, as nothing ever slept. */
static uint64_t acpi_pm_read(void *device, uint64_t offset, unsigned int size)
{
	(void)device;
	(void)offset;
	(void)size;
	return 0;
}

static enum device_event sleep_event(uint64_t value)
{
	unsigned int type = value >> SLEEP_CONTROL_SLP_TYP_SHIFT & SLEEP_CONTROL_SLP_TYP_MASK;

	return value & SLEEP_CONTROL_SLP_EN && type == LAYOUT_SLEEP_S5 ? EVENT_POWEROFF :
									 EVENT_NONE;
}

static void acpi_pm_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	struct acpi_pm *pm = device;
	enum device_event event = EVENT_NONE;

	(void)size;
	if (offset == LAYOUT_SLEEP_CONTROL - LAYOUT_ACPI_PM)
		event = sleep_event(value);
	else if (offset == LAYOUT_RESET - LAYOUT_ACPI_PM && value == LAYOUT_RESET_VALUE)
		event = EVENT_RESET;
	if (event != EVENT_NONE)
		pm->env->event(pm->env->opaque, event);
}

static void *acpi_pm_create(struct device_env *env)
{
	struct acpi_pm *pm = malloc(sizeof(*pm));

	if (pm)
		pm->env = env;
	return pm;
}

const struct device_type acpi_pm_type = {
	.name = "acpi-pm",
	.start = LAYOUT_ACPI_PM,
	.size = LAYOUT_ACPI_PM_SIZE,
	.ops = { acpi_pm_read, acpi_pm_write, 1, 1 },
	.create = acpi_pm_create,
	.destroy = free,
};
