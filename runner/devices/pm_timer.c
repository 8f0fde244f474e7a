// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The ACPI power-management timer: a counter of 32 bits that programs for bare machines
 * calibrate by. Facts: ACPI Specification, "Power Management Timer" and "Power
 * Management Timer (PM_TMR)".
 *
 * It goes on while the guest does not run, as the host's clock does. There is no
 * status bit and no interrupt for its overflow: hardware-reduced ACPI has neither.
 */
#include <stdlib.h>
#include <time.h>
#include "../layout.h"
#include "device.h"

#define FREQUENCY	3579545ULL
#define NS		1000000000ULL

struct pm_timer {
	struct timespec start;
};

static uint64_t pm_timer_read(void *device, uint64_t offset, unsigned int size)
{
	const struct pm_timer *timer = device;
	struct timespec now;
	int64_t seconds, ns;

	(void)offset;
	(void)size;
	clock_gettime(CLOCK_MONOTONIC, &now);
	seconds = now.tv_sec - timer->start.tv_sec;
	ns = now.tv_nsec - timer->start.tv_nsec;
	if (ns < 0) {
		seconds--;
		ns += NS;
	}
	return (uint32_t)(seconds * FREQUENCY + ns * FREQUENCY / NS);
}

static void pm_timer_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	(void)device;
	(void)offset;
	(void)size;
	(void)value;
}

static void *pm_timer_create(struct device_env *env)
{
	struct pm_timer *timer = malloc(sizeof(*timer));

	(void)env;
	if (timer)
		clock_gettime(CLOCK_MONOTONIC, &timer->start);
	return timer;
}

const struct device_type pm_timer_type = {
	.name = "pm-timer",
	.start = LAYOUT_PM_TIMER,
	.size = LAYOUT_PM_TIMER_SIZE,
	.ops = { pm_timer_read, pm_timer_write, 4, 4 },
	.create = pm_timer_create,
	.destroy = free,
};
