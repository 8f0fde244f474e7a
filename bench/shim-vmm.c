// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The shim over /dev/vmm, by way of libvmm. A new vCPU has a local APIC and the
 * supported CPUID table, so there is nothing to choose.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libvmm.h"
#include "machine.h"
#include "shim.h"

struct shim_vm {
	struct vmm *vm;
	struct vmm_vcpu *vcpu;
	struct vmm_run *run;
};

const char *const shim_name = "vmm";

static int device;

static void must(int ret, const char *what)
{
	if (ret < 0)
		die(what, strerror(-ret));
}

void shim_open(void)
{
	device = vmm_open(NULL);
	if (device < 0)
		die("/dev/vmm", vmm_strerror_open(device));
	must(vmm_check_abi(device), "/dev/vmm");
}

struct shim_vm *shim_create(void)
{
	struct shim_vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		die("create", "no memory");
	must(vmm_create(device, &vm->vm), "create a VM");
	must(vmm_vcpu_create(vm->vm, 0, &vm->vcpu), "create a vCPU");
	vm->run = vmm_vcpu_run_page(vm->vcpu);
	return vm;
}

void shim_destroy(struct shim_vm *vm)
{
	vmm_vcpu_destroy(vm->vcpu);
	vmm_destroy(vm->vm);
	free(vm);
}

void shim_slot(struct shim_vm *vm, unsigned int slot, uint64_t gpa, uint64_t size, void *hva)
{
	must(vmm_memory_add(vm->vm, slot, gpa, size, hva, 0), "add a slot");
}

void shim_start(struct shim_vm *vm, uint64_t rip, uint64_t cr3)
{
	const uint16_t data = VMM_SEG_P | VMM_SEG_S | VMM_SEG_G | VMM_SEG_DB | SEG_TYPE_DATA;
	const uint16_t code = VMM_SEG_P | VMM_SEG_S | VMM_SEG_G | VMM_SEG_L | SEG_TYPE_CODE;
	struct vmm_state state = {
		.mask = VMM_STATE_REGS | VMM_STATE_SEGS | VMM_STATE_CTRL,
	};

	must(vmm_vcpu_get_state(vm->vcpu, &state), "read the state");
	state.regs.rip = rip;
	state.regs.rflags = RFLAGS_START;
	for (int i = VMM_ES; i <= VMM_GS; i++)
		state.segs.seg[i] = (struct vmm_segment){
			.limit = ~0U,
			.selector = i == VMM_CS ? SELECTOR_CODE : SELECTOR_DATA,
			.attr = i == VMM_CS ? code : data,
		};
	state.ctrl.cr0 = CR0_START;
	state.ctrl.cr3 = cr3;
	state.ctrl.cr4 = CR4_START;
	state.ctrl.efer = EFER_START;
	must(vmm_vcpu_set_state(vm->vcpu, &state), "set the state");
}

static void doorbell(struct shim_vm *vm, const struct vmm_ioeventfd *ev)
{
	must(vmm_ioeventfd_add(vm->vm, ev), "add a doorbell");
}

void shim_doorbell_port(struct shim_vm *vm, uint16_t port, int fd)
{
	const struct vmm_ioeventfd ev = {
		.address = port,
		.length = 2,
		.fd = fd,
		.flags = VMM_EVENTFD_PIO,
	};

	doorbell(vm, &ev);
}

void shim_doorbell_mmio(struct shim_vm *vm, uint64_t gpa, int fd)
{
	const struct vmm_ioeventfd ev = { .address = gpa, .fd = fd };

	doorbell(vm, &ev);
}

void shim_run(struct shim_vm *vm, struct shim_exit *exit)
{
	struct vmm_run *run = vm->run;
	int ret;

	do
		ret = vmm_vcpu_run(vm->vcpu);
	while (ret == -EINTR);
	must(ret, "run the vCPU");
	switch (run->exit_reason) {
	case VMM_EXIT_PIO:
		exit->kind = SHIM_PIO;
		exit->address = run->pio.port;
		exit->write = run->pio.write;
		exit->data = &run->pio.data;
		break;
	case VMM_EXIT_MMIO:
		exit->kind = SHIM_MMIO;
		exit->address = run->mmio.gpa;
		exit->write = run->mmio.write;
		exit->data = &run->mmio.data;
		break;
	default:
		exit->kind = SHIM_OTHER;
		exit->reason = run->exit_reason;
	}
}
