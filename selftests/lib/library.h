/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMs of libvmm's, for self-tests of what it does with the module. */
#ifndef SELFTESTS_LIBRARY_H
#define SELFTESTS_LIBRARY_H

#include <string.h>
#include <unistd.h>

#include "../../lib/libvmm.h"
#include "vm.h"

static inline void must(int error, const char *what)
{
	if (error < 0)
		die("%s: %s", what, strerror(-error));
}

/* A VM with @size bytes of RAM at 0, which is returned, and one vCPU. */
static inline u8 *library_vm(u64 size, struct vmm **vm, struct vmm_vcpu **vcpu)
{
	u8 *ram = map_memory(size);
	int fd = vmm_open(NULL);

	must(fd, "vmm_open");
	must(vmm_create(fd, vm), "vmm_create");
	close(fd);
	must(vmm_memory_add(*vm, 0, 0, size, ram, 0), "vmm_memory_add");
	must(vmm_vcpu_create(*vm, 0, vcpu), "vmm_vcpu_create");
	return ram;
}

#endif
