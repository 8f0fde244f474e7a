// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module load and unload: choose the backend that the CPU has, set up what all
 * VMs share, publish /dev/vmm last. The module loads on a machine without the
 * hardware too; then VMM_CREATE_VM says what is missing.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/miscdevice.h>
#include <linux/module.h>

#include "svm/svm.h"
#include "vmm.h"
#include "vmx/vmx.h"

const struct vmm_ops *vmm_ops;
struct vmm_caps vmm_caps;

#define VMM_HOT_OP(name, member) DEFINE_STATIC_CALL_NULL(vmm_op_##name, *(member))
#include "hot_ops.h"

static void patch_hot_ops(void)
{
#define VMM_HOT_OP(name, member) static_call_update(vmm_op_##name, member)
#include "hot_ops.h"
}

static bool nested = true;
module_param(nested, bool, 0444);
MODULE_PARM_DESC(nested, "Use nested paging where the CPU has it; else shadow paging (default: y)");

static const struct vmm_ops *const backends[] = {
	&svm_ops,
	&vmx_ops,
};

static struct miscdevice vmm_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vmm",
	.fops = &vmm_system_fops,
	.mode = 0660,
};

/* Leaves vmm_ops NULL and vmm_caps.why set when there is none. */
static int choose_backend(void)
{
	int i, r;

	for (i = 0; i < ARRAY_SIZE(backends); i++) {
		struct vmm_caps caps = { .nested = nested };

		if (backends[i]->probe(&caps)) {
			if (!vmm_caps.why)
				vmm_caps.why = caps.why;
			continue;
		}
		vmm_caps = caps;
		vmm_tsc_init();
		vmm_ops = backends[i];
		r = vmm_ops->setup();
		if (r)
			vmm_ops = NULL;
		else
			patch_hot_ops();
		return r;
	}
	if (!vmm_caps.why)
		vmm_caps.why = "this CPU has neither VT-x nor AMD-V (in a VM: not nested)";
	pr_info("no VMs can run: %s\n", vmm_caps.why);
	return 0;
}

static void drop_backend(void)
{
	if (vmm_ops)
		vmm_ops->teardown();
	vmm_ops = NULL;
}

static int __init vmm_init(void)
{
	int r;

	r = choose_backend();
	if (r)
		return r;
	vmm_walk_init();
	r = vmm_cpuid_init();
	if (r)
		goto out_backend;
	r = vmm_reclaim_init();
	if (r)
		goto out_cpuid;
	r = vmm_vm_init();
	if (r)
		goto out_reclaim;
	r = vmm_irqfd_init();
	if (r)
		goto out_vm;
	r = vmm_hw_init();
	if (r)
		goto out_irqfd;
	r = misc_register(&vmm_device);
	if (r)
		goto out_hw;
	if (vmm_ops)
		pr_info("%s with %s paging\n", vmm_ops->name,
			vmm_caps.nested ? "nested" : "shadow");
	return 0;

out_hw:
	vmm_hw_exit();
out_irqfd:
	vmm_irqfd_exit();
out_vm:
	vmm_vm_exit();
out_reclaim:
	vmm_reclaim_exit();
out_cpuid:
	vmm_cpuid_exit();
out_backend:
	drop_backend();
	return r;
}
module_init(vmm_init);

static void __exit vmm_exit(void)
{
	misc_deregister(&vmm_device);
	vmm_hw_exit();
	vmm_irqfd_exit();
	vmm_vm_exit();
	vmm_reclaim_exit();
	vmm_cpuid_exit();
	drop_backend();
}
module_exit(vmm_exit);

MODULE_AUTHOR("The vmm developers");
MODULE_DESCRIPTION("Virtual machines with VT-x and AMD-V behind /dev/vmm");
MODULE_LICENSE("GPL");
MODULE_VERSION(VMM_VERSION);
