/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the host schedules the threads of the guest's CPUs: --sched, a list of attributes
 * for the CPUs in turn, again from the first when there are fewer.
 */
#ifndef RUNNER_SCHED_H
#define RUNNER_SCHED_H

#include "status.h"

#define SCHED_ATTRIBUTES_MAX	512

struct sched_attribute {
	int policy;		/* SCHED_*, see sched(7) */
	int value;		/* a nice value, or a real-time priority */
};

struct sched_list {
	struct sched_attribute item[SCHED_ATTRIBUTES_MAX];
	unsigned int count;	/* 0: nothing was asked for */
};

/* Read "fifo:10,nice:-5,idle". Complains. */
enum status sched_parse(const char *text, struct sched_list *list);

/*
 * May this process do what @list says? Raises its limits where it may, so that its threads can
 * without privilege, after the sandbox has taken that. Complains, with the cure.
 */
enum status sched_permit(const struct sched_list *list);

/* Give the calling thread the attributes of CPU @cpu. 0 or -errno. */
int sched_apply(const struct sched_list *list, unsigned int cpu);

#endif /* RUNNER_SCHED_H */
