// SPDX-License-Identifier: LGPL-2.1-or-later
/* Counters of VMs and vCPUs, and their names. */
#include "internal.h"

int vmm_get_stats(struct vmm *vm, struct vmm_vm_stats *stats)
{
	*stats = (struct vmm_vm_stats){};
	return device_ioctl(vm->fd, VMM_GET_VM_STATS, stats);
}

int vmm_vcpu_get_stats(struct vmm_vcpu *vcpu, struct vmm_vcpu_stats *stats)
{
	*stats = (struct vmm_vcpu_stats){};
	return device_ioctl(vcpu->fd, VMM_GET_VCPU_STATS, stats);
}

static const char *const exit_names[VMM_NR_STAT_EXIT] = {
	[VMM_STAT_INTR] = "host interrupt",
	[VMM_STAT_NMI] = "host NMI",
	[VMM_STAT_EXCEPTION] = "exception",
	[VMM_STAT_INTR_WINDOW] = "interrupt window",
	[VMM_STAT_NMI_WINDOW] = "NMI window",
	[VMM_STAT_CPUID] = "cpuid",
	[VMM_STAT_HLT] = "hlt",
	[VMM_STAT_PIO] = "port I/O",
	[VMM_STAT_PIO_STRING] = "string port I/O",
	[VMM_STAT_MSR_READ] = "rdmsr",
	[VMM_STAT_MSR_WRITE] = "wrmsr",
	[VMM_STAT_CR] = "control register",
	[VMM_STAT_INVLPG] = "invlpg",
	[VMM_STAT_DR] = "debug register",
	[VMM_STAT_XSETBV] = "xsetbv",
	[VMM_STAT_HYPERCALL] = "hypercall",
	[VMM_STAT_MEMORY] = "memory",
	[VMM_STAT_WBINVD] = "wbinvd",
	[VMM_STAT_PAUSE] = "pause",
	[VMM_STAT_RDPMC] = "rdpmc",
	[VMM_STAT_UNDEFINED] = "undefined instruction",
	[VMM_STAT_TASK_SWITCH] = "task switch",
	[VMM_STAT_REAL_MODE] = "real mode",
	[VMM_STAT_SHUTDOWN] = "shutdown",
	[VMM_STAT_FAIL_ENTRY] = "failed entry",
	[VMM_STAT_UNKNOWN] = "unknown",
	[VMM_STAT_APIC] = "apic",
};

const char *vmm_stat_exit_name(unsigned int exit)
{
	return exit < ARRAY_SIZE(exit_names) ? exit_names[exit] : NULL;
}
