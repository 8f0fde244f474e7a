// SPDX-License-Identifier: GPL-2.0-only
/*
 * The extension on every CPU: on while there is a VM, off otherwise, so that
 * another hypervisor can have it in between. CPUs that come and go follow.
 *
 * Invariant: with hw_lock held and hw_users > 0, vmm_hw_enabled is set on every online
 * CPU; with hw_users == 0 on none. A CPU that goes offline keeps it until no thread is
 * left there: a vCPU's may be in the middle of an exit, and needs what the CPU has of it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/reboot.h>
#include <asm/reboot.h>

#include "vmm.h"

static DEFINE_MUTEX(hw_lock);
static unsigned int hw_users;
static int hw_hotplug_state;
DEFINE_PER_CPU(bool, vmm_hw_enabled);

static int enable_this_cpu(void)
{
	int r = 0;

	lockdep_assert_irqs_disabled();
	if (!__this_cpu_read(vmm_hw_enabled)) {
		r = vmm_ops->cpu_enable();
		if (!r)
			__this_cpu_write(vmm_hw_enabled, true);
	}
	return r;
}

static void disable_this_cpu(void *unused)
{
	if (__this_cpu_read(vmm_hw_enabled)) {
		vmm_ops->cpu_disable();
		__this_cpu_write(vmm_hw_enabled, false);
	}
}

struct enable_all {
	atomic_t error;		/* of any CPU that failed */
};

static void enable_one_of_all(void *data)
{
	struct enable_all *all = data;
	int r = enable_this_cpu();

	if (r)
		atomic_set(&all->error, r);
}

int vmm_hw_get(void)
{
	struct enable_all all = { .error = ATOMIC_INIT(0) };
	int r = 0;

	if (!vmm_ops)
		return -EOPNOTSUPP;
	cpus_read_lock();
	mutex_lock(&hw_lock);
	if (!hw_users) {
		on_each_cpu(enable_one_of_all, &all, 1);
		r = atomic_read(&all.error);
	}
	if (!r) {
		hw_users++;
	} else {
		on_each_cpu(disable_this_cpu, NULL, 1);
		pr_warn_ratelimited("another hypervisor uses this CPU's virtualization extension: unload it (modprobe -r kvm_amd kvm_intel) and try again\n");
	}
	mutex_unlock(&hw_lock);
	cpus_read_unlock();
	return r;
}

void vmm_hw_put(void)
{
	cpus_read_lock();
	mutex_lock(&hw_lock);
	if (!--hw_users)
		on_each_cpu(disable_this_cpu, NULL, 1);
	mutex_unlock(&hw_lock);
	cpus_read_unlock();
}

static int hw_cpu_online(unsigned int cpu)
{
	int r = 0;

	mutex_lock(&hw_lock);
	if (hw_users) {
		local_irq_disable();
		r = enable_this_cpu();
		local_irq_enable();
	}
	mutex_unlock(&hw_lock);
	return r;
}

/* All other CPUs wait, so hw_lock is not needed; IRQs are off. */
static int hw_cpu_dying(unsigned int cpu)
{
	disable_this_cpu(NULL);
	return 0;
}

/*
 * Suspend: the other CPUs went offline above, tasks are frozen, and the firmware
 * will not remember the extension.
 */
static int hw_suspend(void)
{
	disable_this_cpu(NULL);
	vmm_tsc_suspend();
	return 0;
}

static void hw_resume(void)
{
	vmm_tsc_resume();
	if (hw_users && enable_this_cpu())
		pr_warn("the virtualization extension did not come back after suspend\n");
}

static struct compat_syscore hw_syscore = {
	.suspend = hw_suspend,
	.resume = hw_resume,
};

/*
 * INIT is blocked while the extension is on, so a warm reset would hang. A guest
 * that still runs is not entered any more: see enter() of the backends.
 */
static int reboot_notify(struct notifier_block *block, unsigned long event, void *unused)
{
	on_each_cpu(disable_this_cpu, NULL, 1);
	return NOTIFY_OK;
}

static struct notifier_block reboot_block = {
	.notifier_call = reboot_notify,
};

/* ---- crash and emergency restart ---- */

static const char *const kvm_modules[] = { "kvm_amd", "kvm_intel" };
static DEFINE_MUTEX(emergency_lock);
static bool emergency_asked;

/* On each CPU that a crash stops, in an NMI. */
static void emergency_disable(void)
{
	disable_this_cpu(NULL);
}

/*
 * The kernel asks one hypervisor, and warns if there is a second. KVM, when it
 * is loaded, has to be that one; it switches off what it finds on, so that serves
 * for us as well.
 */
static void emergency_ask(bool ask)
{
	mutex_lock(&emergency_lock);
	if (ask && !emergency_asked)
		cpu_emergency_register_virt_callback(emergency_disable);
	else if (!ask && emergency_asked)
		cpu_emergency_unregister_virt_callback(emergency_disable);
	emergency_asked = ask;
	mutex_unlock(&emergency_lock);
}

/* GOING comes after KVM's exit, or its refusal to load; COMING before its init. */
static int module_notify(struct notifier_block *block, unsigned long state, void *data)
{
	const struct module *mod = data;

	if (match_string(kvm_modules, ARRAY_SIZE(kvm_modules), mod->name) < 0)
		return NOTIFY_DONE;
	if (state == MODULE_STATE_COMING)
		emergency_ask(false);
	else if (state == MODULE_STATE_GOING)
		emergency_ask(true);
	return NOTIFY_OK;
}

static struct notifier_block module_block = {
	.notifier_call = module_notify,
};

/* Modules and what could be one have a directory in /sys/module: our siblings. */
static bool kvm_is_there(void)
{
	struct kobject *kobj;
	int i;

	for (i = 0; i < ARRAY_SIZE(kvm_modules); i++) {
		kobj = kset_find_obj(THIS_MODULE->mkobj.kobj.kset, kvm_modules[i]);
		if (kobj) {
			kobject_put(kobj);
			return true;
		}
	}
	return false;
}

int vmm_hw_init(void)
{
	int r;

	r = cpuhp_setup_state_nocalls(COMPAT_CPUHP_DYING, "vmm:dying", NULL, hw_cpu_dying);
	if (r)
		return r;
	r = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "vmm:online", hw_cpu_online, NULL);
	if (r < 0) {
		cpuhp_remove_state_nocalls(COMPAT_CPUHP_DYING);
		return r;
	}
	hw_hotplug_state = r;
	register_reboot_notifier(&reboot_block);
	compat_register_syscore(&hw_syscore);
	register_module_notifier(&module_block);
	emergency_ask(!kvm_is_there());
	return 0;
}

void vmm_hw_exit(void)
{
	unregister_module_notifier(&module_block);
	emergency_ask(false);
	compat_unregister_syscore(&hw_syscore);
	unregister_reboot_notifier(&reboot_block);
	cpuhp_remove_state(hw_hotplug_state);
	cpuhp_remove_state_nocalls(COMPAT_CPUHP_DYING);
}
