// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The list of devices that every machine has. A device that drives an interrupt
 * line stands behind the chip that has the line.
 */
#include "device.h"

const struct device_type *const device_types[DEVICE_COUNT] = {
	&i82093aa_type,
	&pc16550_type,
	&acpi_pm_type,
	&pm_timer_type,
	&pvpanic_type,
	&mc146818_type,
	&no_8254_type,
};
