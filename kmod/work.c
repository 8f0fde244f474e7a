// SPDX-License-Identifier: GPL-2.0-only
/*
 * The work that a thread has to do before it may enter a guest: signals,
 * rescheduling, restartable sequences, task work.
 *
 * The kernel exports one helper for all of it, made for the in-tree hypervisor:
 * where a signal waits, it writes that down in a struct kvm_vcpu before it returns
 * -EINTR. It is handed one that nobody reads. Looking for signals first instead
 * would leave a gap in which one may come.
 */
#include <linux/kvm_host.h>
#include <linux/entry-kvm.h>

int vmm_guest_work(void);

static struct kvm_run work_run;
static struct kvm_vcpu work_vcpu = {
	.run = &work_run,
};

int vmm_guest_work(void)
{
	return xfer_to_guest_mode_handle_work(&work_vcpu);
}
