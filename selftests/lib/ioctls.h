/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every ioctl of the ABI, as data, and what a test needs to try them all: three
 * kinds of fd and an argument for each that ought to work.
 */
#ifndef SELFTESTS_IOCTLS_H
#define SELFTESTS_IOCTLS_H

#include "vm.h"

enum fd_kind {
	FD_SYSTEM,
	FD_VM,
	FD_VCPU,
	FD_KINDS
};

struct ioctl_info {
	const char *name;
	unsigned long number;
	enum fd_kind kind;
	bool makes_fd;
};

extern const struct ioctl_info ioctls[];
extern const u32 ioctl_count;

/* A VM with one vCPU, and room for arguments; ready to be asked anything. */
struct subject {
	struct vm *vm;
	struct vcpu *vcpu;
	int eventfd;
	u8 *memory;			/* 1 MiB, page-aligned */
	struct vmm_info info;
	struct vmm_cpuid_entry *cpuid;	/* VMM_MAX_CPUID */
	struct vmm_msr *msrs;		/* VMM_MAX_MSRS */
	u8 *xsave;			/* info.xsave_size */
};

struct subject *subject_new(void);
int subject_fd(const struct subject *subject, enum fd_kind kind);

/* The largest argument, with room behind it. */
union ioctl_arg {
	struct vmm_info info;
	struct vmm_cpuid cpuid;
	struct vmm_msr_list msr_list;
	struct vmm_create_vm create_vm;
	struct vmm_slot slot;
	struct vmm_create_vcpu create_vcpu;
	struct vmm_msi msi;
	struct vmm_irqfd irqfd;
	struct vmm_ioeventfd ioeventfd;
	struct vmm_clock clock;
	struct vmm_dirty dirty;
	struct vmm_vm_stats vm_stats;
	struct vmm_vcpu_stats vcpu_stats;
	struct vmm_state state;
	struct vmm_msrs msrs;
	struct vmm_xsave xsave;
	struct vmm_translate translate;
	struct vmm_guest_debug guest_debug;
	u8 bytes[8192];
};

/* Fill *@arg so that @number succeeds; may use the subject to find out. */
void ioctl_good_arg(struct subject *subject, unsigned long number, union ioctl_arg *arg);

#endif
