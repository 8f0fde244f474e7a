// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a probe's guest leaves to the process, carried out by the library's emulator: handles
 * of the library's, on what vm.c made.
 */
#include <string.h>

#include "../../lib/internal.h"
#include "probe.h"
#include "vm.h"

static void no_port(void *opaque, uint16_t port, unsigned int size, bool write, void *data)
{
	die("emulated: an access to port %#x", port);
}

static void no_device(void *opaque, uint64_t gpa, unsigned int size, bool write, void *data)
{
	die("emulated: an access to %#lx, where no memory is", gpa);
}

void probe_emulate(struct vcpu *vcpu)
{
	static const struct vmm_emul_ops ops = { no_port, no_device };
	struct region memory = { .size = GUEST_MEM_SIZE, .hva = vcpu->vm->mem };
	struct vmm vm = {
		.fd = vcpu->vm->fd,
		.lock = PTHREAD_RWLOCK_INITIALIZER,
		.regions = &memory,
		.nr_regions = 1,
	};
	struct vmm_vcpu handle = { .vm = &vm, .fd = vcpu->fd, .id = vcpu->id, .run = vcpu->run };
	char line[160];
	int result = vmm_emulate(&handle, &ops, NULL);

	if (result == VMM_EMUL_OK)
		return;
	vmm_emul_describe(&handle, line, sizeof(line));
	die("vmm_emulate gave %d: %s", result, line);
}
