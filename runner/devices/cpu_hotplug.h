/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUs that come and go: what the machine tells the guest of. */
#ifndef RUNNER_CPU_HOTPLUG_H
#define RUNNER_CPU_HOTPLUG_H

struct cpu_hotplug;

/* "Device Object Notifications", what a processor's device is notified of. */
enum cpu_event {
	CPU_EVENT_NONE = 0,
	CPU_EVENT_CHECK = 1,	/* it may have come, or gone */
	CPU_EVENT_EJECT = 3,	/* let it go */
};

/*
 * The guest is to hear of @event of @cpu, in place of what it has not yet heard of that one.
 * Any thread.
 */
void cpu_hotplug_event(struct cpu_hotplug *hotplug, unsigned int cpu, enum cpu_event event);

#endif /* RUNNER_CPU_HOTPLUG_H */
