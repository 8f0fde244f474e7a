// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The table of exit statuses, which `vmm run --help` prints and vmm.1 repeats
 * (unit/runner_options_test.c compares them), and the line of an error.
 */
#include <stdarg.h>
#include "status.h"

const struct status_row status_rows[] = {
	{ STATUS_OK, "the guest powered off, or restarted under --no-reboot, or Ctrl-A x" },
	{ STATUS_USAGE, "wrong command line" },
	{ STATUS_BAD_FILE, "a file cannot be read or is not what it has to be" },
	{ STATUS_NO_ROOM, "kernel, initrd or command line do not fit" },
	{ STATUS_NO_DEVICE, "no /dev/vmm: the module is not loaded" },
	{ STATUS_NO_PERMISSION, "no permission to open /dev/vmm" },
	{ STATUS_NO_HARDWARE, "the CPU has no virtualization, or firmware disabled it" },
	{ STATUS_BUSY, "another hypervisor has the virtualization, or another machine a disk" },
	{ STATUS_VERSION, "program and module have different versions of the ABI" },
	{ STATUS_HOST, "the host refused a resource: memory, threads, descriptors" },
	{ STATUS_TRIPLE_FAULT, "the guest died of a triple fault" },
	{ STATUS_PANIC, "the guest's kernel panicked" },
	{ STATUS_FAIL_ENTRY, "the CPU refused the guest's state" },
	{ STATUS_MEMORY, "memory of the guest is not there, or the host could not provide it" },
	{ STATUS_INTERNAL, "a bug of vmm or of the machine" },
	{ STATUS_EMULATION, "an instruction that vmm cannot emulate" },
	{ STATUS_SIGNAL, "plus N: ended by signal N" },
};

const unsigned int status_row_count = sizeof(status_rows) / sizeof(status_rows[0]);

void status_print(FILE *out)
{
	for (unsigned int i = 0; i < status_row_count; i++)
		fprintf(out, "  %3d  %s\n", status_rows[i].status, status_rows[i].text);
}

void complain(const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "vmm: %s\n", line);
}
