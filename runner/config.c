// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Defaults of a machine and the checks that span options. What a single option
 * may hold is checked by its row in options.c.
 */
#include <stddef.h>
#include "config.h"
#include "keys.h"

#define ADDRESS_MAX	UINT32_MAX
#define NOT_GIVEN	UINT64_MAX

/* Where programs of each mode are usually linked to be. */
#define REAL_ADDR	0x7c00
#define OTHER_ADDR	0x100000

void config_defaults(struct config *config)
{
	*config = (struct config) {
		.mem = CONFIG_MEM_DEFAULT,
		.cpus = 1,
		.debug_exit = CONFIG_NO_PORT,
		.debug_console = CONFIG_NO_PORT,
	};
}

static const char *const modes[] = {
	[CONFIG_REAL] = "real",
	[CONFIG_PROTECTED] = "protected",
	[CONFIG_LONG] = "long",
	NULL,
};

static const struct key_row flat_keys[] = {
	{ "addr", offsetof(struct config_flat, addr), 0, ADDRESS_MAX, NULL },
	{ "entry", offsetof(struct config_flat, entry), 0, ADDRESS_MAX, NULL },
	{ "mode", offsetof(struct config_flat, mode), 0, 0, modes },
};

enum status config_flat(const char *text, struct config_flat *flat)
{
	const char *keys;
	enum status status;

	*flat = (struct config_flat) { NOT_GIVEN, NOT_GIVEN, CONFIG_REAL };
	keys_split(text, &keys);
	status = keys_parse("flat", keys, flat_keys, sizeof(flat_keys) / sizeof(flat_keys[0]),
			    flat);
	if (flat->addr == NOT_GIVEN)
		flat->addr = flat->mode == CONFIG_REAL ? REAL_ADDR : OTHER_ADDR;
	if (flat->entry == NOT_GIVEN)
		flat->entry = flat->addr;
	return status;
}

enum status config_check(const struct config *config)
{
	unsigned int given = !!config->kernel + !!config->flat + !!config->firmware;
	struct config_flat flat;

	if (!given) {
		complain("run: no kernel given; name one with --kernel FILE");
		return STATUS_USAGE;
	}
	if (given > 1) {
		complain("run: --kernel, --flat and --firmware exclude each other; give one");
		return STATUS_USAGE;
	}
	if (!config->kernel && (config->append || config->initrd || config->module.count)) {
		complain("run: --append, --initrd and --module are for a --kernel; leave them out");
		return STATUS_USAGE;
	}
	return config->flat ? config_flat(config->flat, &flat) : STATUS_OK;
}
