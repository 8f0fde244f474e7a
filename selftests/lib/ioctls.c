// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The table of ioctls and arguments that work; see ioctls.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "ioctls.h"

#define IOCTL(number_, kind_, makes_fd_) \
	{ .name = #number_, .number = number_, .kind = kind_, .makes_fd = makes_fd_ }

const struct ioctl_info ioctls[] = {
	IOCTL(VMM_GET_INFO, FD_SYSTEM, false),
	IOCTL(VMM_GET_SUPPORTED_CPUID, FD_SYSTEM, false),
	IOCTL(VMM_GET_MSR_LIST, FD_SYSTEM, false),
	IOCTL(VMM_CREATE_VM, FD_SYSTEM, true),
	IOCTL(VMM_SET_SLOT, FD_VM, false),
	IOCTL(VMM_CREATE_VCPU, FD_VM, true),
	IOCTL(VMM_SIGNAL_MSI, FD_VM, false),
	IOCTL(VMM_IRQFD, FD_VM, false),
	IOCTL(VMM_IOEVENTFD, FD_VM, false),
	IOCTL(VMM_GET_CLOCK, FD_VM, false),
	IOCTL(VMM_SET_CLOCK, FD_VM, false),
	IOCTL(VMM_GET_DIRTY, FD_VM, false),
	IOCTL(VMM_GET_VM_STATS, FD_VM, false),
	IOCTL(VMM_RUN, FD_VCPU, false),
	IOCTL(VMM_GET_STATE, FD_VCPU, false),
	IOCTL(VMM_SET_STATE, FD_VCPU, false),
	IOCTL(VMM_GET_MSRS, FD_VCPU, false),
	IOCTL(VMM_SET_MSRS, FD_VCPU, false),
	IOCTL(VMM_GET_XSAVE, FD_VCPU, false),
	IOCTL(VMM_SET_XSAVE, FD_VCPU, false),
	IOCTL(VMM_GET_CPUID, FD_VCPU, false),
	IOCTL(VMM_SET_CPUID, FD_VCPU, false),
	IOCTL(VMM_TRANSLATE, FD_VCPU, false),
	IOCTL(VMM_NMI, FD_VCPU, false),
	IOCTL(VMM_SET_GUEST_DEBUG, FD_VCPU, false),
	IOCTL(VMM_GET_VCPU_STATS, FD_VCPU, false),
	IOCTL(VMM_RESET, FD_VCPU, false),
};

const u32 ioctl_count = sizeof(ioctls) / sizeof(ioctls[0]);

struct subject *subject_new(void)
{
	struct subject *subject = calloc(1, sizeof(*subject));

	if (!subject)
		die("no memory");
	subject->vm = vm_new();
	subject->vcpu = vcpu_new_reset(subject->vm, 0);
	subject->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	subject->memory = map_memory(1 << 20);
	subject->info = get_info();
	subject->cpuid = calloc(VMM_MAX_CPUID, sizeof(*subject->cpuid));
	subject->msrs = calloc(VMM_MAX_MSRS, sizeof(*subject->msrs));
	subject->xsave = calloc(1, subject->info.xsave_size);
	return subject;
}

int subject_fd(const struct subject *subject, enum fd_kind kind)
{
	const int fds[FD_KINDS] = {
		[FD_SYSTEM] = subject->vm->sys,
		[FD_VM] = subject->vm->fd,
		[FD_VCPU] = subject->vcpu->fd,
	};

	return fds[kind];
}

static struct vmm_msi good_msi(void)
{
	return (struct vmm_msi){ .address = 0xfee00000, .data = 0x40 };
}

static void ask(struct subject *subject, unsigned long number, union ioctl_arg *arg)
{
	VMM_MUST(subject->vcpu->fd, number, arg);
}

void ioctl_good_arg(struct subject *subject, unsigned long number, union ioctl_arg *arg)
{
	struct vmm_cpuid cpuid = { .count = VMM_MAX_CPUID, .entries = (u64)subject->cpuid };
	struct vmm_msrs msrs = { .count = 1, .msrs = (u64)subject->msrs };
	struct vmm_xsave xsave = { .size = subject->info.xsave_size,
				   .data = (u64)subject->xsave };

	memset(arg, 0, sizeof(*arg));
	switch (number) {
	case VMM_GET_SUPPORTED_CPUID:
	case VMM_GET_CPUID:
		arg->cpuid = cpuid;
		break;
	case VMM_GET_MSR_LIST:
		arg->msr_list = (struct vmm_msr_list){ .count = 1024,
						       .indices = (u64)subject->memory };
		break;
	case VMM_SET_SLOT:
		arg->slot = (struct vmm_slot){ .slot = 5, .gpa = 1UL << 30, .size = 4096,
					       .hva = (u64)subject->memory };
		break;
	case VMM_GET_DIRTY:
		/* The memory behind is the list of VMM_SET_SLOT's. */
		vm_slot(subject->vm, 6, (1UL << 30) + (1 << 20), 1 << 20, subject->memory,
			VMM_SLOT_LOG_DIRTY);
		arg->dirty = (struct vmm_dirty){ .slot = 6, .npages = 256,
						 .bitmap = (u64)subject->memory };
		break;
	case VMM_CREATE_VCPU:
		arg->create_vcpu.id = 1;
		break;
	case VMM_SIGNAL_MSI:
		arg->msi = good_msi();
		break;
	case VMM_IRQFD:
		arg->irqfd.fd = subject->eventfd;
		arg->irqfd.msi = good_msi();
		break;
	case VMM_IOEVENTFD:
		arg->ioeventfd.fd = subject->eventfd;
		arg->ioeventfd.address = GUEST_HOLE;
		arg->ioeventfd.length = 4;
		break;
	case VMM_GET_STATE:
		arg->state.mask = VMM_STATE_ALL;
		break;
	case VMM_SET_STATE:
		arg->state.mask = VMM_STATE_ALL;
		ask(subject, VMM_GET_STATE, arg);
		break;
	case VMM_GET_MSRS:
	case VMM_SET_MSRS:
		subject->msrs[0] = (struct vmm_msr){ .index = 0xc0000081 };
		arg->msrs = msrs;
		break;
	case VMM_GET_XSAVE:
		arg->xsave = xsave;
		break;
	case VMM_SET_XSAVE:
		arg->xsave = xsave;
		ask(subject, VMM_GET_XSAVE, arg);
		break;
	case VMM_SET_CPUID:
		arg->cpuid = cpuid;
		ask(subject, VMM_GET_CPUID, arg);
		break;
	case VMM_TRANSLATE:
		arg->translate.access = VMM_ACCESS_READ;
		break;
	}
}
