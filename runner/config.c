// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Defaults of a machine and the checks that span options. What a single option
 * may hold is checked by its row in options.c.
 */
#include "config.h"

void config_defaults(struct config *config)
{
	*config = (struct config) {
		.append = CONFIG_APPEND_DEFAULT,
		.mem = CONFIG_MEM_DEFAULT,
		.cpus = 1,
		.debug_exit = CONFIG_NO_PORT,
		.debug_console = CONFIG_NO_PORT,
	};
}

enum status config_check(const struct config *config)
{
	if (!config->kernel) {
		complain("run: no kernel given; name one with --kernel FILE");
		return STATUS_USAGE;
	}
	return STATUS_OK;
}
