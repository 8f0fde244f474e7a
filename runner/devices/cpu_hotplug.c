// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The registers behind the processor devices of boot/acpi_cpus.c; layout.h has them, and
 * they are this machine's own. The interrupt line is active while there is an event: one
 * that comes before the guest has a driver waits for it.
 *
 * Which CPUs there are is the machine's to know: the lock here is held in no call of it.
 */
#include <pthread.h>
#include <stdlib.h>
#include "../layout.h"
#include "82093aa.h"
#include "cpu_hotplug.h"
#include "device.h"

#define REGISTER_SIZE	4

struct cpu_hotplug {
	const struct device_env *env;
	pthread_mutex_t lock;
	bool line;			/* lock; what it was last told */
	uint8_t event[];		/* lock; env->cpus of them */
};

static void update_line(struct cpu_hotplug *hotplug)
{
	bool active = false;

	for (unsigned int i = 0; i < hotplug->env->cpus && !active; i++)
		active = hotplug->event[i];
	if (active == hotplug->line)
		return;
	hotplug->line = active;
	i82093aa_set_line(hotplug->env->ioapic, LAYOUT_GED_IRQ, active);
}

void cpu_hotplug_event(struct cpu_hotplug *hotplug, unsigned int cpu, enum cpu_event event)
{
	pthread_mutex_lock(&hotplug->lock);
	hotplug->event[cpu] = event;
	update_line(hotplug);
	pthread_mutex_unlock(&hotplug->lock);
}

/* The next, which is forgotten with that. */
static uint32_t take_event(struct cpu_hotplug *hotplug)
{
	uint32_t taken = 0;

	pthread_mutex_lock(&hotplug->lock);
	for (unsigned int i = 0; i < hotplug->env->cpus && !taken; i++) {
		if (!hotplug->event[i])
			continue;
		taken = i | (uint32_t)hotplug->event[i] << LAYOUT_CPU_EVENT_SHIFT;
		hotplug->event[i] = CPU_EVENT_NONE;
	}
	update_line(hotplug);
	pthread_mutex_unlock(&hotplug->lock);
	return taken;
}

/* The CPU of a register; false: it is none's. */
static bool cpu_at(const struct cpu_hotplug *hotplug, uint64_t offset, unsigned int *cpu)
{
	if (offset < LAYOUT_CPU(0))
		return false;
	*cpu = (offset - LAYOUT_CPU(0)) / REGISTER_SIZE;
	return *cpu < hotplug->env->cpus;
}

static uint64_t cpu_hotplug_read(void *device, uint64_t offset, unsigned int size)
{
	struct cpu_hotplug *hotplug = device;
	const struct device_env *env = hotplug->env;
	unsigned int cpu;

	(void)size;
	if (offset == LAYOUT_CPU_EVENT)
		return take_event(hotplug);
	if (!cpu_at(hotplug, offset, &cpu) || !env->cpu_is_there(env->opaque, cpu))
		return 0;
	return LAYOUT_CPU_PRESENT;
}

static void cpu_hotplug_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	struct cpu_hotplug *hotplug = device;
	const struct device_env *env = hotplug->env;
	unsigned int cpu;

	(void)size;
	if (value == LAYOUT_CPU_EJECT && cpu_at(hotplug, offset, &cpu))
		env->cpu_eject(env->opaque, cpu);
}

static void *cpu_hotplug_create(struct device_env *env)
{
	struct cpu_hotplug *hotplug = calloc(1, sizeof(*hotplug) + env->cpus);

	if (!hotplug)
		return NULL;
	hotplug->env = env;
	pthread_mutex_init(&hotplug->lock, NULL);
	env->cpu_hotplug = hotplug;
	return hotplug;
}

static void cpu_hotplug_destroy(void *device)
{
	struct cpu_hotplug *hotplug = device;

	pthread_mutex_destroy(&hotplug->lock);
	free(hotplug);
}

const struct device_type cpu_hotplug_type = {
	.name = "cpu-hotplug",
	.mmio = true,
	.start = LAYOUT_CPUS,
	.size = LAYOUT_CPUS_SIZE,
	.ops = { cpu_hotplug_read, cpu_hotplug_write, REGISTER_SIZE, REGISTER_SIZE },
	.create = cpu_hotplug_create,
	.destroy = cpu_hotplug_destroy,
};
