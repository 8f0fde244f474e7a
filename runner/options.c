// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The reader of command lines, and the options of `vmm run`. `--name VALUE` and
 * `--name=VALUE` are the same; each option but a list or a device may be given once, so
 * that nothing on a command line is silently without effect.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/vmm.h>
#include "keys.h"
#include "options.h"
#include "words.h"

#define AT(member) offsetof(struct config, member)
#define PAGE	4096

static const struct option_row run_rows[] = {
	{ "kernel", "FILE", OPTION_STRING, AT(kernel), 0, 0,
	  "kernel to boot: Linux bzImage, multiboot, ELF with PVH" },
	{ "initrd", "FILE", OPTION_STRING, AT(initrd), 0, 0,
	  "initial RAM disk for the kernel" },
	{ "module", "FILE", OPTION_LIST, AT(module), 0, 0,
	  "a further file for the kernel, as FILE[,ARGUMENTS]" },
	{ "append", "STRING", OPTION_STRING, AT(append), 0, 0,
	  "kernel command line (Linux's default: console=ttyS0)" },
	{ "flat", "FILE", OPTION_STRING, AT(flat), 0, 0,
	  "image to run, as FILE[,addr=A][,entry=E][,mode=M]" },
	{ "firmware", "FILE", OPTION_STRING, AT(firmware), 0, 0,
	  "firmware to run instead, from its reset vector" },
	{ "mem", "SIZE", OPTION_SIZE, AT(mem), CONFIG_MEM_MIN, CONFIG_MEM_MAX,
	  "memory of the guest, in K, M, G or T (default: 256M)" },
	{ "disk", "FILE", OPTION_DEVICE, AT(devices), 0, 0,
	  "disk, as FILE[,ro][,direct][,id=I][,queues=Q][,...]" },
	{ "console", "PORT", OPTION_DEVICE, AT(devices), 0, 0,
	  "port, as stdio|file=F|fd=N|socket=PATH[,name=I]" },
	{ "balloon", "SIZE", OPTION_DEVICE, AT(devices), 0, 0,
	  "memory to leave the guest, as SIZE[,socket=PATH]" },
	{ "vsock", "SOCKET", OPTION_DEVICE, AT(devices), 0, 0,
	  "AF_VSOCK by Unix sockets, as socket=PATH[,cid=N]" },
	{ "net", "KIND", OPTION_DEVICE, AT(devices), 0, 0,
	  "network: user|passt|tap[=NAME]|socket=PATH|fd=N[,...]" },
	{ "transport", "KIND", OPTION_STRING, AT(transport), 0, 0,
	  "how devices are found: pci (default) or mmio" },
	{ "rings", "KIND", OPTION_STRING, AT(rings), 0, 0,
	  "virtqueues: split (default), or packed too" },
	{ "cpus", "N", OPTION_STRING, AT(cpus), 0, 0,
	  "CPUs, as N[,max=M][,sockets=S][,cores=C][,threads=T]" },
	{ "smp-boot", "KIND", OPTION_STRING, AT(smp_boot), 0, 0,
	  "how CPUs are started: sipi (default) or mailbox" },
	{ "pin", "LIST", OPTION_STRING, AT(pin), 0, 0,
	  "host CPUs for the guest's CPUs in turn, like 0,2-3" },
	{ "sched", "LIST", OPTION_STRING, AT(sched), 0, 0,
	  "how the CPUs' threads are scheduled, like fifo:10" },
	{ "tsc-khz", "N", OPTION_NUMBER, AT(tsc_khz), VMM_TSC_KHZ_MIN, VMM_TSC_KHZ_MAX,
	  "frequency of the guest's TSC (default: the host's)" },
	{ "control", "PATH", OPTION_STRING, AT(control), 0, 0,
	  "a socket for 'vmm control', while the guest runs" },
	{ "debug-exit", "PORT", OPTION_PORT, AT(debug_exit), 0, CONFIG_PORT_MAX,
	  "a guest's write of V there ends vmm with 2V+1" },
	{ "debug-console", "PORT", OPTION_PORT, AT(debug_console), 0, CONFIG_PORT_MAX,
	  "a guest's write there goes to standard output" },
	{ "device-tree", NULL, OPTION_FLAG, AT(device_tree), 0, 0,
	  "a device tree for a bzImage, beside ACPI tables" },
	{ "shadow-paging", NULL, OPTION_FLAG, AT(shadow_paging), 0, 0,
	  "use no nested paging for this guest" },
	{ "stats", NULL, OPTION_FLAG, AT(stats), 0, 0,
	  "count exits: a table at the end, and at SIGUSR2" },
	{ "no-reboot", NULL, OPTION_FLAG, AT(no_reboot), 0, 0,
	  "end when the guest restarts itself, with status 0" },
	{ "help", NULL, OPTION_FLAG, AT(help), 0, 0,
	  "print this and end" },
};

const struct option_table run_options = {
	"run", run_rows, sizeof(run_rows) / sizeof(run_rows[0]),
};

static void complain_range(const char *command, const struct option_row *row, const char *text)
{
	bool size = row->kind == OPTION_SIZE;
	unsigned int shift = size ? 20 : 0;

	complain("%s: --%s %s: out of range; use %llu%s to %llu%s", command, row->name, text,
		 (unsigned long long)row->min >> shift, size ? "M" : "",
		 (unsigned long long)row->max >> shift, size ? "M" : "");
}

static enum status add_item(const char *command, const struct option_row *row, const char *text,
			    struct config_list *list)
{
	if (list->count == CONFIG_LIST_MAX) {
		complain("%s: --%s is given more than %u times; give fewer", command, row->name,
			 CONFIG_LIST_MAX);
		return STATUS_USAGE;
	}
	list->item[list->count++] = text;
	return STATUS_OK;
}

static enum status store_device(const char *command, const struct option_row *row,
				const char *text, struct virtio_options *options)
{
	if (options->count == VIRTIO_SLOTS_MAX) {
		complain("%s: --%s %s: more than %u devices; leave some out", command, row->name,
			 text, VIRTIO_SLOTS_MAX);
		return STATUS_USAGE;
	}
	options->option[options->count++] = (struct virtio_option) { row->name, text };
	return STATUS_OK;
}

static enum status store(const char *command, const struct option_row *row, const char *text,
			 void *config)
{
	void *member = (char *)config + row->offset;
	uint64_t value = 0;

	switch (row->kind) {
	case OPTION_FLAG:
		*(bool *)member = true;
		return STATUS_OK;
	case OPTION_STRING:
		*(const char **)member = text;
		return STATUS_OK;
	case OPTION_LIST:
		return add_item(command, row, text, member);
	case OPTION_DEVICE:
		return store_device(command, row, text, member);
	case OPTION_SIZE:
		if (!words_size(text, &value)) {
			complain("%s: --%s '%s': not a size; write it with a unit, such as 256M",
				 command, row->name, text);
			return STATUS_USAGE;
		}
		break;
	case OPTION_NUMBER:
		if (!keys_number(text, strlen(text), &value)) {
			complain("%s: --%s '%s': not a number; use %llu to %llu", command,
				 row->name, text, (unsigned long long)row->min,
				 (unsigned long long)row->max);
			return STATUS_USAGE;
		}
		break;
	case OPTION_PORT:
		if (!keys_number(text, strlen(text), &value)) {
			complain("%s: --%s '%s': not a port; write a number, such as 0xf4",
				 command, row->name, text);
			return STATUS_USAGE;
		}
		break;
	}
	if (value < row->min || value > row->max) {
		complain_range(command, row, text);
		return STATUS_USAGE;
	}
	if (row->kind == OPTION_SIZE && value % PAGE) {
		complain("%s: --%s %s: not whole pages; use a multiple of 4K", command, row->name,
			 text);
		return STATUS_USAGE;
	}
	*(uint64_t *)member = value;
	return STATUS_OK;
}

/* The row of "--name" or "--name=value"; @value is behind the "=", or NULL. */
static const struct option_row *find(const struct option_table *table, const char *arg,
				     const char **value)
{
	size_t len;

	*value = NULL;
	if (strncmp(arg, "--", 2))
		return NULL;
	arg += 2;
	len = strcspn(arg, "=");
	if (arg[len])
		*value = arg + len + 1;
	for (unsigned int i = 0; i < table->count; i++) {
		const struct option_row *row = &table->rows[i];

		if (strlen(row->name) == len && !memcmp(row->name, arg, len))
			return row;
	}
	return NULL;
}

enum status options_parse(const struct option_table *table, int argc, char **argv, void *config)
{
	const char *command = table->command;
	uint64_t seen = 0;

	for (int i = 0; i < argc; i++) {
		const char *value;
		const struct option_row *row = find(table, argv[i], &value);
		enum status status;
		uint64_t bit;

		if (!row) {
			complain("%s: unknown argument '%s'; 'vmm %s --help' lists the options",
				 command, argv[i], command);
			return STATUS_USAGE;
		}
		/* A table has at most as many rows as a word has bits. */
		bit = 1ULL << (row - table->rows);
		if (seen & bit && row->kind != OPTION_LIST && row->kind != OPTION_DEVICE) {
			complain("%s: --%s is given twice; give it once", command, row->name);
			return STATUS_USAGE;
		}
		seen |= bit;
		if (row->kind == OPTION_FLAG && value) {
			complain("%s: --%s takes no value; leave '=%s' out", command, row->name,
				 value);
			return STATUS_USAGE;
		}
		if (row->kind != OPTION_FLAG && !value) {
			if (++i == argc) {
				complain("%s: --%s lacks its value; write --%s %s", command,
					 row->name, row->name, row->value);
				return STATUS_USAGE;
			}
			value = argv[i];
		}
		status = store(command, row, value, config);
		if (status)
			return status;
	}
	return STATUS_OK;
}

void options_print(const struct option_table *table, FILE *out)
{
	for (unsigned int i = 0; i < table->count; i++) {
		const struct option_row *row = &table->rows[i];

		fprintf(out, "  --%s%s%-*s  %s\n", row->name, row->value ? " " : "",
			(int)(20 - strlen(row->name) - !!row->value), row->value ? row->value : "",
			row->text);
	}
}
