// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a VM: created by VMM_CREATE_VM, freed when the last of its VM fd
 * and vCPU fds is closed. Nothing here waits for an RCU grace period: the mmu
 * notifier's is left to a work item, the rest of the VM is gone when close()
 * returns.
 */
#include <linux/cpumask.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "vmm.h"

static struct workqueue_struct *free_queue;
static DEFINE_PER_CPU(cpumask_var_t, request_mask);

static void vm_free(struct work_struct *work)
{
	struct vmm_vm *vm = container_of(work, struct vmm_vm, free_work);

	vmm_mmu_unregister(vm);
	mmdrop(vm->mm);
	kfree(vm);
}

struct vmm_vm *vmm_vm_create(const struct vmm_create_vm *args)
{
	struct vmm_vm *vm;
	int r;

	r = vmm_hw_get();
	if (r)
		return ERR_PTR(r);
	r = -ENOMEM;
	vm = kzalloc(vmm_ops->vm_size, GFP_KERNEL_ACCOUNT);
	if (!vm)
		goto out_hw;
	r = vmm_tsc_set(vm, args->tsc_khz);
	if (r)
		goto out_vm;
	kref_init(&vm->users);
	mutex_init(&vm->lock);
	seqcount_mutex_init(&vm->clock_seq, &vm->lock);
	xa_init(&vm->vcpus);
	INIT_LIST_HEAD(&vm->irqfds);
	INIT_LIST_HEAD(&vm->resamplers);
	INIT_LIST_HEAD(&vm->ioeventfds);
	INIT_WORK(&vm->free_work, vm_free);
	vm->mm = current->mm;
	mmgrab(vm->mm);

	r = vmm_slots_init(vm);
	if (r)
		goto out_mm;
	r = vmm_ops->vm_init(vm);
	if (r)
		goto out_slots;
	r = vmm_mmu_init(vm, args->flags & VMM_VM_SHADOW);
	if (r)
		goto out_ops;
	mutex_lock(&vm->lock);
	vmm_pv_set_clock(vm, &(struct vmm_clock){ .flags = VMM_CLOCK_TSC });
	mutex_unlock(&vm->lock);
	return vm;

out_ops:
	vmm_ops->vm_destroy(vm);
out_slots:
	vmm_slots_destroy(vm);
out_mm:
	mmdrop(vm->mm);
out_vm:
	kfree(vm);
out_hw:
	vmm_hw_put();
	return ERR_PTR(r);
}

static void vm_destroy(struct kref *kref)
{
	struct vmm_vm *vm = container_of(kref, struct vmm_vm, users);
	struct vmm_vcpu *vcpu;
	unsigned long id;

	vmm_reclaim_remove(vm);
	vmm_irqfd_release(vm);
	xa_for_each(&vm->vcpus, id, vcpu)
		vmm_vcpu_destroy(vcpu);
	xa_destroy(&vm->vcpus);
	vmm_mmu_destroy(vm);
	vmm_ops->vm_destroy(vm);
	vmm_ioeventfd_release(vm);
	vmm_slots_destroy(vm);
	vmm_hw_put();
	queue_work(free_queue, &vm->free_work);
}

void vmm_vm_get(struct vmm_vm *vm)
{
	kref_get(&vm->users);
}

void vmm_vm_put(struct vmm_vm *vm)
{
	kref_put(&vm->users, vm_destroy);
}

void vmm_vm_kill(struct vmm_vm *vm)
{
	WRITE_ONCE(vm->dead, true);
	vmm_vm_request(vm, VMM_REQ_DEAD);
}

/* The interrupt itself is what counts: it makes the CPU leave the guest. */
static void acknowledge(void *unused)
{
}

void vmm_vm_kick(struct vmm_vm *vm, enum vmm_request req)
{
	struct vmm_vcpu *vcpu;
	unsigned long id;

	rcu_read_lock();
	xa_for_each(&vm->vcpus, id, vcpu) {
		vmm_request(vcpu, req);
		vmm_vcpu_kick(vcpu);
	}
	rcu_read_unlock();
}

void vmm_vm_request(struct vmm_vm *vm, enum vmm_request req)
{
	struct cpumask *mask;
	struct vmm_vcpu *vcpu;
	unsigned long id;
	int cpu;

	preempt_disable();
	mask = this_cpu_cpumask_var_ptr(request_mask);
	cpumask_clear(mask);
	xa_for_each(&vm->vcpus, id, vcpu) {
		vmm_request(vcpu, req);
		/* Pairs with the store of VMM_IN_GUEST in vcpu_enter(). */
		if (READ_ONCE(vcpu->mode) != VMM_IN_GUEST)
			continue;
		cpu = READ_ONCE(vcpu->cpu);
		if (cpu >= 0)
			cpumask_set_cpu(cpu, mask);
	}
	smp_call_function_many(mask, acknowledge, NULL, 1);
	preempt_enable();
}

int vmm_vm_init(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		if (!zalloc_cpumask_var_node(&per_cpu(request_mask, cpu), GFP_KERNEL,
					     cpu_to_node(cpu)))
			goto out_masks;
	free_queue = alloc_workqueue("vmm_free", WQ_UNBOUND, 0);
	if (!free_queue)
		goto out_masks;
	/* The key patches the scheduler's code: not once a VM. */
	preempt_notifier_inc();
	return 0;

out_masks:
	for_each_possible_cpu(cpu)
		free_cpumask_var(per_cpu(request_mask, cpu));
	return -ENOMEM;
}

void vmm_vm_exit(void)
{
	int cpu;

	preempt_notifier_dec();
	destroy_workqueue(free_queue);
	for_each_possible_cpu(cpu)
		free_cpumask_var(per_cpu(request_mask, cpu));
	/* Slots, doorbells: freed by RCU callbacks of the kernel, not ours. */
}
