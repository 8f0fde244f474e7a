// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A vCPU: its life, its run page, and one function per ioctl on it.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

int vmm_vcpu_create(struct vmm *vm, unsigned int id, struct vmm_vcpu **out)
{
	const struct vmm_create_vcpu arg = { .id = id };
	struct vmm_vcpu *vcpu = calloc(1, sizeof(*vcpu));
	void *run;
	int ret;

	if (!vcpu)
		return -ENOMEM;
	ret = device_ioctl(vm->fd, VMM_CREATE_VCPU, &arg);
	if (ret < 0)
		goto free_vcpu;
	vcpu->fd = ret;
	run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED) {
		ret = -errno;
		goto close_fd;
	}
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->run = run;
	*out = vcpu;
	return 0;

close_fd:
	close(vcpu->fd);
free_vcpu:
	free(vcpu);
	return ret;
}

void vmm_vcpu_destroy(struct vmm_vcpu *vcpu)
{
	if (!vcpu)
		return;
	munmap(vcpu->run, vcpu->vm->run_size);
	close(vcpu->fd);
	free(vcpu->xsave);
	free(vcpu);
}

int vmm_vcpu_fd(const struct vmm_vcpu *vcpu)
{
	return vcpu->fd;
}

unsigned int vmm_vcpu_id(const struct vmm_vcpu *vcpu)
{
	return vcpu->id;
}

struct vmm *vmm_vcpu_vm(const struct vmm_vcpu *vcpu)
{
	return vcpu->vm;
}

struct vmm_run *vmm_vcpu_run_page(const struct vmm_vcpu *vcpu)
{
	return vcpu->run;
}

int vmm_vcpu_run(struct vmm_vcpu *vcpu)
{
	return device_ioctl(vcpu->fd, VMM_RUN, NULL);
}

/* Stores that a signal handler in the vCPU's thread and the kernel see whole. */
void vmm_vcpu_request_exit(struct vmm_vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

void vmm_vcpu_clear_exit(struct vmm_vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

int vmm_vcpu_get_state(struct vmm_vcpu *vcpu, struct vmm_state *state)
{
	state->flags = 0;
	return device_ioctl(vcpu->fd, VMM_GET_STATE, state);
}

int vmm_vcpu_set_state(struct vmm_vcpu *vcpu, const struct vmm_state *state)
{
	return device_ioctl(vcpu->fd, VMM_SET_STATE, state);
}

static int vcpu_msrs(struct vmm_vcpu *vcpu, unsigned long request, const struct vmm_msr *msrs,
		     unsigned int count, unsigned int *done)
{
	struct vmm_msrs arg = { .count = count, .msrs = (uintptr_t)msrs };
	int ret = device_ioctl(vcpu->fd, request, &arg);

	if (done)
		*done = ret < 0 ? 0 : ret;
	if (ret < 0)
		return ret;
	return (unsigned int)ret == count ? 0 : -EINVAL;
}

int vmm_vcpu_get_msrs(struct vmm_vcpu *vcpu, struct vmm_msr *msrs, unsigned int count,
		      unsigned int *done)
{
	return vcpu_msrs(vcpu, VMM_GET_MSRS, msrs, count, done);
}

int vmm_vcpu_set_msrs(struct vmm_vcpu *vcpu, const struct vmm_msr *msrs, unsigned int count,
		      unsigned int *done)
{
	return vcpu_msrs(vcpu, VMM_SET_MSRS, msrs, count, done);
}

static int vcpu_xsave(struct vmm_vcpu *vcpu, unsigned long request, const void *area,
		      size_t size)
{
	struct vmm_xsave arg = { .size = size, .data = (uintptr_t)area };

	return size == arg.size ? device_ioctl(vcpu->fd, request, &arg) : -EINVAL;
}

int vmm_vcpu_get_xsave(struct vmm_vcpu *vcpu, void *area, size_t size)
{
	return vcpu_xsave(vcpu, VMM_GET_XSAVE, area, size);
}

int vmm_vcpu_set_xsave(struct vmm_vcpu *vcpu, const void *area, size_t size)
{
	return vcpu_xsave(vcpu, VMM_SET_XSAVE, area, size);
}

int vmm_vcpu_get_cpuid(struct vmm_vcpu *vcpu, struct vmm_cpuid_entry *entries,
		       unsigned int *count)
{
	struct vmm_cpuid arg = { .count = *count, .entries = (uintptr_t)entries };
	int ret = device_ioctl(vcpu->fd, VMM_GET_CPUID, &arg);

	*count = arg.count;
	return ret;
}

int vmm_vcpu_set_cpuid(struct vmm_vcpu *vcpu, const struct vmm_cpuid_entry *entries,
		       unsigned int count)
{
	const struct vmm_cpuid arg = { .count = count, .entries = (uintptr_t)entries };

	return device_ioctl(vcpu->fd, VMM_SET_CPUID, &arg);
}

int vmm_vcpu_translate(struct vmm_vcpu *vcpu, struct vmm_translate *tr)
{
	tr->gpa = 0;
	tr->fault = 0;
	tr->error = 0;
	tr->pad = 0;
	return device_ioctl(vcpu->fd, VMM_TRANSLATE, tr);
}

int vmm_vcpu_reset(struct vmm_vcpu *vcpu)
{
	return device_ioctl(vcpu->fd, VMM_RESET, NULL);
}

int vmm_vcpu_nmi(struct vmm_vcpu *vcpu)
{
	return device_ioctl(vcpu->fd, VMM_NMI, NULL);
}
