// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The debug-exit port of test kernels: a write of v ends the process with the
 * status (v << 1) | 1, of which a process has the low eight bits. So a status of 0
 * can only be a power-off. Facts: QEMU's device isa-debug-exit.
 *
 * The register is one byte: of a wider write, which the bus divides, only the
 * lowest byte can show in a status.
 */
#include <stdlib.h>
#include "device.h"

struct debug_exit {
	const struct device_env *env;
};

static uint64_t debug_exit_read(void *device, uint64_t offset, unsigned int size)
{
	(void)device;
	(void)offset;
	(void)size;
	return 0;
}

static void debug_exit_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	struct debug_exit *debug_exit = device;

	(void)offset;
	(void)size;
	debug_exit->env->exit(debug_exit->env->opaque, value << 1 | 1);
}

static void *debug_exit_create(struct device_env *env)
{
	struct debug_exit *debug_exit = malloc(sizeof(*debug_exit));

	if (debug_exit)
		debug_exit->env = env;
	return debug_exit;
}

const struct device_type debug_exit_type = {
	.name = "debug-exit",
	.size = 1,
	.ops = { debug_exit_read, debug_exit_write, 1, 1 },
	.create = debug_exit_create,
	.destroy = free,
};
