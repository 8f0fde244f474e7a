// SPDX-License-Identifier: GPL-2.0-or-later
/* The registers of CPU hotplug, as the AML of boot/acpi_cpus.c uses them, and otherwise. */
/* unit-sources: ../runner/devices/cpu_hotplug.c ../runner/bus.c */
/* unit-flags: -D_GNU_SOURCE */
/* unit-libs: -lpthread */
#include <stdlib.h>
#include "tap.h"
#include "../runner/devices/82093aa.h"
#include "../runner/devices/cpu_hotplug.h"
#include "../runner/devices/device.h"
#include "../runner/layout.h"

#define CPUS	3
#define NOTIFY(cpu, event)	((cpu) | (event) << LAYOUT_CPU_EVENT_SHIFT)

static bool line, there[CPUS];
static unsigned int ejected;	/* bits */
static struct bus bus;

void i82093aa_set_line(struct i82093aa *chip, unsigned int number, bool high)
{
	(void)chip;
	is(number, LAYOUT_GED_IRQ, "the line is the event device's");
	ok(line != high, "and changes");
	line = high;
}

static bool cpu_is_there(void *opaque, unsigned int cpu)
{
	(void)opaque;
	return there[cpu];
}

static void cpu_eject(void *opaque, unsigned int cpu)
{
	(void)opaque;
	ejected |= 1u << cpu;
}

static uint32_t get(uint64_t offset)
{
	return bus_read(&bus, LAYOUT_CPUS + offset, 4);
}

static void put(uint64_t offset, uint32_t value)
{
	bus_write(&bus, LAYOUT_CPUS + offset, 4, value);
}

static void test_events(struct cpu_hotplug *hotplug)
{
	is(get(LAYOUT_CPU_EVENT), 0, "no event at first");
	cpu_hotplug_event(hotplug, 2, CPU_EVENT_CHECK);
	ok(line, "an event raises the line");
	cpu_hotplug_event(hotplug, 1, CPU_EVENT_CHECK);
	cpu_hotplug_event(hotplug, 2, CPU_EVENT_EJECT);
	is(get(LAYOUT_CPU_EVENT), NOTIFY(1, 1), "the first CPU's is taken first");
	ok(line, "the line stays for the other");
	is(get(LAYOUT_CPU_EVENT), NOTIFY(2, 3), "of one CPU the last counts");
	ok(!line, "then the line falls");
	is(get(LAYOUT_CPU_EVENT), 0, "and there is none");
	cpu_hotplug_event(hotplug, 0, CPU_EVENT_CHECK);
	cpu_hotplug_event(hotplug, 0, CPU_EVENT_NONE);
	ok(!line, "one that is taken back is none");
	put(LAYOUT_CPU_EVENT, ~0u);
	is(get(LAYOUT_CPU_EVENT), 0, "writing there makes none");
}

static void test_cpus(void)
{
	there[1] = true;
	is(get(LAYOUT_CPU(0)), 0, "_STA of a CPU that is not there");
	is(get(LAYOUT_CPU(1)), LAYOUT_CPU_PRESENT, "_STA of one that is");
	is(get(LAYOUT_CPU(CPUS)), 0, "behind the last: nothing");
	is(get(LAYOUT_CPUS_SIZE - 4), 0, "nor at the end");
	put(LAYOUT_CPU(1), 0);
	put(LAYOUT_CPU(1), 3);
	put(LAYOUT_CPU(CPUS), LAYOUT_CPU_EJECT);
	put(LAYOUT_CPUS_SIZE - 4, LAYOUT_CPU_EJECT);
	bus_write(&bus, LAYOUT_CPUS + LAYOUT_CPU(1), 1, LAYOUT_CPU_EJECT);
	bus_write(&bus, LAYOUT_CPUS + LAYOUT_CPU(1) - 2, 4, LAYOUT_CPU_EJECT << 16);
	is(ejected, 0, "other values, widths and places eject nothing");
	put(LAYOUT_CPU(2), LAYOUT_CPU_EJECT);
	is(ejected, 1u << 2, "_EJ0 ejects its CPU");
	bus_write(&bus, LAYOUT_CPUS + LAYOUT_CPU(0), 8, (uint64_t)LAYOUT_CPU_EJECT << 32);
	is(ejected, 3u << 1, "a wide write is two");
}

int main(void)
{
	struct device_env env = {
		.cpu_is_there = cpu_is_there,
		.cpu_eject = cpu_eject,
		.cpus = CPUS,
	};
	struct bus_range range = { cpu_hotplug_type.start, cpu_hotplug_type.size,
				   &cpu_hotplug_type.ops, NULL };

	range.device = cpu_hotplug_type.create(&env);
	ok(range.device == env.cpu_hotplug && bus_add(&bus, &range), "the device is there");
	test_events(env.cpu_hotplug);
	test_cpus();
	cpu_hotplug_type.destroy(range.device);
	return tap_end();
}
