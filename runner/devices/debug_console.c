// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The debug-console port of test kernels: each byte written goes to standard
 * output, a read gives 0xe9, which tells a program that the port is there. Facts:
 * Bochs' port 0xe9; QEMU's device isa-debugcon.
 *
 * There is no status to ask for: a write waits until the console has room.
 */
#include <stdlib.h>
#include "../console.h"
#include "device.h"

#define READBACK	0xe9

struct debug_console {
	struct console *console;
};

static uint64_t debug_console_read(void *device, uint64_t offset, unsigned int size)
{
	(void)device;
	(void)offset;
	(void)size;
	return READBACK;
}

static void debug_console_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	struct debug_console *port = device;

	(void)offset;
	(void)size;
	console_put_wait(port->console, value);
}

static void *debug_console_create(struct device_env *env)
{
	struct debug_console *port = malloc(sizeof(*port));

	if (port)
		port->console = env->console;
	return port;
}

const struct device_type debug_console_type = {
	.name = "debug-console",
	.size = 1,
	.ops = { debug_console_read, debug_console_write, 1, 1 },
	.create = debug_console_create,
	.destroy = free,
};
