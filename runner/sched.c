// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Scheduling attributes of the vCPUs' threads. Facts: sched(7), getrlimit(2).
 *
 * The threads set them themselves, in the sandbox, where they have no privilege: what they may
 * is in two limits of the process, which are raised before, if somebody privileged started it.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include "keys.h"
#include "sched.h"

#define NICE_MIN	(-20)
#define NICE_MAX	19
#define RT_MIN		1
#define RT_MAX		99
#define NICE_LIMIT(n)	(20 - (n))	/* as RLIMIT_NICE counts */

static const struct {
	const char *name;
	int policy;
	bool has_value;
	int min, max;
} policies[] = {
	{ "nice", SCHED_NORMAL, true, NICE_MIN, NICE_MAX },
	{ "other", SCHED_NORMAL, false, 0, 0 },
	{ "batch", SCHED_BATCH, false, 0, 0 },
	{ "idle", SCHED_IDLE, false, 0, 0 },
	{ "fifo", SCHED_FIFO, true, RT_MIN, RT_MAX },
	{ "rr", SCHED_RR, true, RT_MIN, RT_MAX },
};

static bool is_real_time(int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

/* "N" or "-N", @len characters. */
static bool parse_value(const char *text, size_t len, int min, int max, int *value)
{
	bool negative = len && *text == '-';
	uint64_t number;

	if (!keys_number(text + negative, len - negative, &number) || number > RT_MAX)
		return false;
	*value = negative ? -(int)number : (int)number;
	return *value >= min && *value <= max;
}

static bool parse_item(const char *text, size_t len, struct sched_attribute *item)
{
	const char *colon = memchr(text, ':', len);
	size_t name = colon ? (size_t)(colon - text) : len;

	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		if (strlen(policies[i].name) != name || memcmp(policies[i].name, text, name) ||
		    policies[i].has_value != !!colon)
			continue;
		*item = (struct sched_attribute) { policies[i].policy, 0 };
		return !colon || parse_value(colon + 1, len - name - 1, policies[i].min,
					     policies[i].max, &item->value);
	}
	return false;
}

enum status sched_parse(const char *text, struct sched_list *list)
{
	const char *at = text;

	list->count = 0;
	for (;;) {
		size_t len = strcspn(at, ",");

		if (list->count == SCHED_ATTRIBUTES_MAX ||
		    !parse_item(at, len, &list->item[list->count++])) {
			complain("run: --sched %s: not a list of nice:N (-20 to 19), fifo:P, rr:P "
				 "(1 to 99), other, batch, idle; write it like fifo:10,nice:5",
				 text);
			return STATUS_USAGE;
		}
		if (!at[len])
			return STATUS_OK;
		at += len + 1;
	}
}

/* Have the limit @resource be at least @want. False: it may not. */
static bool raise_limit(int resource, rlim_t want)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit))
		return false;
	if (limit.rlim_cur >= want)
		return true;
	limit.rlim_cur = want;
	if (limit.rlim_max < want)
		limit.rlim_max = want;
	return !setrlimit(resource, &limit);
}

enum status sched_permit(const struct sched_list *list)
{
	int nice = getpriority(PRIO_PROCESS, 0), rt = 0;

	for (unsigned int i = 0; i < list->count; i++) {
		const struct sched_attribute *item = &list->item[i];

		if (is_real_time(item->policy) && item->value > rt)
			rt = item->value;
		if (!is_real_time(item->policy) && item->value < nice)
			nice = item->value;
	}
	if (rt && !raise_limit(RLIMIT_RTPRIO, rt)) {
		complain("--sched: no right to real-time priority %d; start vmm as root, or allow "
			 "it with 'ulimit -r %d'", rt, rt);
		return STATUS_NO_PERMISSION;
	}
	if (list->count && nice < getpriority(PRIO_PROCESS, 0) &&
	    !raise_limit(RLIMIT_NICE, NICE_LIMIT(nice))) {
		complain("--sched: no right to nice value %d; start vmm as root, or allow it with "
			 "'ulimit -e %d'", nice, NICE_LIMIT(nice));
		return STATUS_NO_PERMISSION;
	}
	return STATUS_OK;
}

/* One call for both: setpriority() would have to be let pass for the user's other processes. */
int sched_apply(const struct sched_list *list, unsigned int cpu)
{
	struct sched_attr attr = { .size = sizeof(attr) };
	const struct sched_attribute *item;

	if (!list->count)
		return 0;
	item = &list->item[cpu % list->count];
	attr.sched_policy = item->policy;
	if (is_real_time(item->policy))
		attr.sched_priority = item->value;
	else
		attr.sched_nice = item->value;
	return syscall(SYS_sched_setattr, 0, &attr, 0) ? -errno : 0;
}
