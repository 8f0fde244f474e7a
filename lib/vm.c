// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A VM: its life, and the ioctls on it that have nothing to do with memory
 * (those are memory.c's).
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

/* More than the moments are apart at which the module reads two clocks together. */
#define CLOCK_MARGIN_NS	1000

/* Take from the system what the handle needs to know later on. */
static int vm_learn(struct vmm *vm, int fd)
{
	struct vmm_info info;
	int ret = vmm_get_info(fd, &info);

	if (ret < 0)
		return ret;
	if (info.abi_version != VMM_ABI_VERSION)
		return -EPROTO;
	vm->run_size = info.run_size;
	vm->xsave_size = info.xsave_size;
	vm->max_slots = info.max_slots;
	return vm->run_size >= sizeof(struct vmm_run) ? 0 : -EPROTO;
}

int vmm_create(int fd, struct vmm **out)
{
	return vmm_create_with(fd, &(struct vmm_create_vm){ 0 }, out);
}

int vmm_create_with(int fd, const struct vmm_create_vm *how, struct vmm **out)
{
	struct vmm *vm = calloc(1, sizeof(*vm));
	int ret;

	if (!vm)
		return -ENOMEM;
	ret = vm_learn(vm, fd);
	if (ret < 0)
		goto free_vm;
	vm->regions = calloc(vm->max_slots, sizeof(*vm->regions));
	if (!vm->regions) {
		ret = -ENOMEM;
		goto free_vm;
	}
	ret = -pthread_rwlock_init(&vm->lock, NULL);
	if (ret < 0)
		goto free_regions;
	ret = device_ioctl(fd, VMM_CREATE_VM, how);
	if (ret < 0)
		goto destroy_lock;
	vm->fd = ret;
	*out = vm;
	return 0;

destroy_lock:
	pthread_rwlock_destroy(&vm->lock);
free_regions:
	free(vm->regions);
free_vm:
	free(vm);
	return ret;
}

void vmm_destroy(struct vmm *vm)
{
	unsigned int i;

	if (!vm)
		return;
	close(vm->fd);
	for (i = 0; i < vm->nr_regions; i++)
		written_destroy(vm->regions[i].written);
	pthread_rwlock_destroy(&vm->lock);
	free(vm->regions);
	free(vm);
}

int vmm_fd(const struct vmm *vm)
{
	return vm->fd;
}

int vmm_signal_msi(struct vmm *vm, const struct vmm_msi *msi)
{
	return device_ioctl(vm->fd, VMM_SIGNAL_MSI, msi);
}

static int vm_irqfd(struct vmm *vm, int fd, const struct vmm_msi *msi, unsigned int flags)
{
	const struct vmm_irqfd arg = { .fd = fd, .flags = flags, .msi = *msi };

	return device_ioctl(vm->fd, VMM_IRQFD, &arg);
}

int vmm_irqfd_add(struct vmm *vm, int fd, const struct vmm_msi *msi)
{
	return vm_irqfd(vm, fd, msi, 0);
}

int vmm_irqfd_remove(struct vmm *vm, int fd, const struct vmm_msi *msi)
{
	return vm_irqfd(vm, fd, msi, VMM_EVENTFD_REMOVE);
}

int vmm_ioeventfd_add(struct vmm *vm, const struct vmm_ioeventfd *ev)
{
	struct vmm_ioeventfd arg = *ev;

	arg.flags &= ~VMM_EVENTFD_REMOVE;
	return device_ioctl(vm->fd, VMM_IOEVENTFD, &arg);
}

int vmm_ioeventfd_remove(struct vmm *vm, const struct vmm_ioeventfd *ev)
{
	struct vmm_ioeventfd arg = *ev;

	arg.flags |= VMM_EVENTFD_REMOVE;
	return device_ioctl(vm->fd, VMM_IOEVENTFD, &arg);
}

int vmm_get_clock(struct vmm *vm, uint64_t *ns)
{
	struct vmm_clock arg = {};
	int ret = device_ioctl(vm->fd, VMM_GET_CLOCK, &arg);

	if (ret >= 0)
		*ns = arg.ns;
	return ret;
}

int vmm_set_clock(struct vmm *vm, uint64_t ns)
{
	const struct vmm_clock arg = { .ns = ns };

	return device_ioctl(vm->fd, VMM_SET_CLOCK, &arg);
}

int vmm_clock_stopped(struct vmm *vm)
{
	struct vmm_clock arg = {};
	int ret = device_ioctl(vm->fd, VMM_GET_CLOCK, &arg);

	if (ret < 0)
		return ret;
	/* What passes until it is set again is added; a clock never goes back. */
	arg.ns += CLOCK_MARGIN_NS;
	arg.flags = VMM_CLOCK_STOPPED | VMM_CLOCK_REALTIME;
	return device_ioctl(vm->fd, VMM_SET_CLOCK, &arg);
}
