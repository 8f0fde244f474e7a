// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Defaults of a machine and the checks that span options. What a single option
 * may hold is checked by its row in options.c.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
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
		.cpus = "1",
		.transport = "pci",
		.rings = "split",
		.smp_boot = "sipi",
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

static const struct key_row cpus_keys[] = {
	{ "sockets", offsetof(struct topology, sockets), 1, CONFIG_CPUS_MAX, NULL },
	{ "cores", offsetof(struct topology, cores), 1, CONFIG_CPUS_MAX, NULL },
	{ "threads", offsetof(struct topology, threads), 1, CONFIG_CPUS_MAX, NULL },
	{ "max", offsetof(struct topology, max), 1, CONFIG_CPUS_MAX, NULL },
};

enum status config_cpus(const char *text, struct topology *topology)
{
	const char *keys, *wrong;
	size_t len = keys_split(text, &keys);
	enum status status;

	*topology = (struct topology) { 0 };
	if (!keys_number(text, len, &topology->cpus) || !topology->cpus ||
	    topology->cpus > CONFIG_CPUS_MAX) {
		complain("run: --cpus %s: not a number of CPUs; use 1 to %u", text,
			 CONFIG_CPUS_MAX);
		return STATUS_USAGE;
	}
	status = keys_parse("cpus", keys, cpus_keys, sizeof(cpus_keys) / sizeof(cpus_keys[0]),
			    topology);
	wrong = status ? NULL : topology_complete(topology);
	if (!wrong)
		return status;
	complain("run: --cpus %s: %s; change one of them", text, wrong);
	return STATUS_USAGE;
}

/* "N" or "N-M", @len bytes of @text. */
static bool parse_range(const char *text, size_t len, uint64_t *first, uint64_t *last)
{
	const char *dash = memchr(text, '-', len);
	size_t first_len = dash ? (size_t)(dash - text) : len;

	if (!keys_number(text, first_len, first))
		return false;
	*last = *first;
	if (dash && !keys_number(dash + 1, len - first_len - 1, last))
		return false;
	return *first <= *last && *last < CONFIG_HOST_CPUS_MAX;
}

enum status config_pin(const char *text, struct config_pin *pin)
{
	const char *at = text;

	pin->count = 0;
	for (;;) {
		size_t len = strcspn(at, ",");
		uint64_t first, last;

		if (!parse_range(at, len, &first, &last) ||
		    last - first >= CONFIG_CPUS_MAX - pin->count) {
			complain("run: --pin %s: not a list of host CPUs; write it like 0,2-3",
				 text);
			return STATUS_USAGE;
		}
		while (first <= last)
			pin->cpu[pin->count++] = first++;
		if (!at[len])
			return STATUS_OK;
		at += len + 1;
	}
}

static bool has_disk(const struct config *config)
{
	for (unsigned int i = 0; i < config->devices.count; i++)
		if (!strcmp(config->devices.option[i].name, "disk"))
			return true;
	return false;
}

void config_host_kernel(struct config *config)
{
	static char kernel[CONFIG_BOOT_FILE], initrd[CONFIG_BOOT_FILE];
	struct utsname host;

	if (config->kernel || config->flat || config->firmware || !has_disk(config) ||
	    uname(&host))
		return;
	snprintf(kernel, sizeof(kernel), "/boot/vmlinuz-%s", host.release);
	snprintf(initrd, sizeof(initrd), "/boot/initrd.img-%s", host.release);
	config->kernel = kernel;
	if (!config->initrd)
		config->initrd = initrd;
	if (!config->append)
		config->append = "root=/dev/vda console=ttyS0";
}

enum status config_check(const struct config *config)
{
	unsigned int given = !!config->kernel + !!config->flat + !!config->firmware;
	struct config_flat flat;
	struct topology topology;
	struct config_pin pin;
	enum status status;

	if (!given) {
		complain("run: no kernel given; name one with --kernel FILE");
		return STATUS_USAGE;
	}
	if (strcmp(config->transport, "pci") && strcmp(config->transport, "mmio")) {
		complain("run: --transport %s: there is none; use pci or mmio", config->transport);
		return STATUS_USAGE;
	}
	if (strcmp(config->rings, "split") && strcmp(config->rings, "packed")) {
		complain("run: --rings %s: there are none; use split or packed", config->rings);
		return STATUS_USAGE;
	}
	if (strcmp(config->smp_boot, "sipi") && strcmp(config->smp_boot, "mailbox")) {
		complain("run: --smp-boot %s: there is no such way; use sipi or mailbox",
			 config->smp_boot);
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
	status = config_cpus(config->cpus, &topology);
	if (!status && config->pin)
		status = config_pin(config->pin, &pin);
	if (!status && config->flat)
		status = config_flat(config->flat, &flat);
	return status;
}
