// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPUs that do not run: what guests and other vCPUs are told of it, and done about it.
 * Facts: Documentation/virt/kvm/x86/msr.rst and hypercalls.rst of the kernel.
 *
 * Steal time is what the vCPU's thread waited for a CPU. Its area also says whether the
 * vCPU is preempted (sleeping included); a guest that wants such a one to flush its TLB
 * leaves a bit there and waits for nobody. The bit is taken, with one exchange, between
 * the thread's coming back and the next entry: VMM_REQ_STEAL.
 *
 * A vCPU that spins for another makes better use of its time by giving it away: to the
 * one it names (SCHED_YIELD), or to one that was preempted (a PAUSE loop).
 */
#include <linux/sched.h>
#include <linux/sched/task.h>

#include "pv.h"

#define STEAL_AREA	sizeof(struct kvm_steal_time)
#define PREEMPTED_AT	offsetof(struct kvm_steal_time, preempted)

/* Tries of one PAUSE exit: a VM may have hundreds of vCPUs. */
#define MAX_YIELDS	3

static bool steal_on(const struct vmm_vcpu *vcpu)
{
	return vcpu->pv->steal & KVM_MSR_ENABLED;
}

static gpa_t steal_area(const struct vmm_vcpu *vcpu)
{
	return vcpu->pv->steal & KVM_STEAL_VALID_BITS;
}

/* Takes back that the vCPU is preempted, and a flush that another left there. */
static void settle_preempted(struct vmm_vcpu *vcpu, gpa_t area)
{
	u32 old;

	/* Its upper bytes are padding. */
	if (!vmm_guest_xchg(vcpu->vm, area + PREEMPTED_AT, 0, &old, false) &&
	    (old & KVM_VCPU_FLUSH_TLB))
		vmm_mmu_reload(vcpu, false);
}

int pv_steal_write(struct vmm_vcpu *vcpu, u64 value)
{
	const u64 before = vcpu->pv->steal;

	if ((value & KVM_STEAL_RESERVED_MASK) ||
	    !pv_area_valid(vcpu, value & KVM_STEAL_VALID_BITS, STEAL_AREA, STEAL_AREA))
		return -EINVAL;
	/* Nobody looks at the old area again: no flush may stay there. */
	vcpu->pv->steal = 0;
	/* vmm_pv_sched_out(), which may come at any time, writes to neither meanwhile. */
	barrier();
	if (before & KVM_MSR_ENABLED)
		settle_preempted(vcpu, before & KVM_STEAL_VALID_BITS);
	vcpu->pv->steal = value;
	/* What was waited for before is not the guest's. */
	vcpu->pv->waiter = NULL;
	if (value & KVM_MSR_ENABLED)
		vmm_request(vcpu, VMM_REQ_STEAL);
	return 0;
}

/* ns that this thread has waited for a CPU since the last call. */
static u64 newly_waited(struct vmm_pv *pv)
{
	u64 before = pv->waited;

	pv->waited = current->sched_info.run_delay;
	if (pv->waiter == current)
		return pv->waited - before;
	pv->waiter = current;
	return 0;
}

/* The version, which is not the first member here, is odd while the time changes. */
static void add_steal(struct vmm_vm *vm, gpa_t area, u64 ns)
{
	const gpa_t version_at = area + offsetof(struct kvm_steal_time, version);
	u64 steal;
	u32 version;

	BUILD_BUG_ON(offsetof(struct kvm_steal_time, steal));
	if (vmm_guest_read(vm, area, &steal, sizeof(steal)) ||
	    vmm_guest_read(vm, version_at, &version, sizeof(version)))
		return;
	version |= 1;
	if (vmm_guest_write(vm, version_at, &version, sizeof(version)))
		return;
	/* Odd before the time, the time before even: msr.rst, MSR_KVM_STEAL_TIME */
	smp_wmb();
	steal += ns;
	vmm_guest_write(vm, area, &steal, sizeof(steal));
	/* As just said. */
	smp_wmb();
	version++;
	vmm_guest_write(vm, version_at, &version, sizeof(version));
}

void vmm_pv_update_steal(struct vmm_vcpu *vcpu)
{
	if (!steal_on(vcpu))
		return;
	settle_preempted(vcpu, steal_area(vcpu));
	add_steal(vcpu->vm, steal_area(vcpu), newly_waited(vcpu->pv));
}

void vmm_pv_sched_in(struct vmm_vcpu *vcpu)
{
	WRITE_ONCE(vcpu->preempted, false);
	if (steal_on(vcpu))
		vmm_request(vcpu, VMM_REQ_STEAL);
}

void vmm_pv_sched_out(struct vmm_vcpu *vcpu)
{
	u32 old;

	if (READ_ONCE(current->__state) == TASK_RUNNING)
		WRITE_ONCE(vcpu->preempted, true);
	/* Not told, it is only waited for. */
	if (!steal_on(vcpu) || vmm_guest_xchg(vcpu->vm, steal_area(vcpu) + PREEMPTED_AT,
					      KVM_VCPU_PREEMPTED, &old, true))
		return;
	/* Left when it was away before, and it has not entered since. */
	if (old & KVM_VCPU_FLUSH_TLB)
		vmm_mmu_reload(vcpu, false);
}

/* ---- to whom a spinning vCPU gives its time ---- */

void vmm_vcpu_set_task(struct vmm_vcpu *vcpu)
{
	struct task_struct *old;

	spin_lock(&vcpu->task_lock);
	old = vcpu->task;
	vcpu->task = get_task_struct(current);
	spin_unlock(&vcpu->task_lock);
	if (old)
		put_task_struct(old);
}

void vmm_vcpu_put_task(struct vmm_vcpu *vcpu)
{
	if (vcpu->task)
		put_task_struct(vcpu->task);
}

/*
 * The thread of @vcpu, referenced, or NULL. The caller found @vcpu under RCU and is
 * there still: one whose file could not be made is freed behind a grace period.
 */
static struct task_struct *task_of(struct vmm_vcpu *vcpu)
{
	struct task_struct *task;

	spin_lock(&vcpu->task_lock);
	task = vcpu->task;
	if (task)
		get_task_struct(task);
	spin_unlock(&vcpu->task_lock);
	return task;
}

/* Takes the reference. */
static bool yield_to_task(struct task_struct *task)
{
	bool yielded;

	if (!task)
		return false;
	yielded = task != current && yield_to(task, true) > 0;
	put_task_struct(task);
	return yielded;
}

/* Of those with an id from *@from to @last, which moves behind it. Under RCU. */
static struct vmm_vcpu *next_preempted(struct vmm_vm *vm, unsigned long *from, unsigned long last)
{
	struct vmm_vcpu *vcpu;

	do {
		vcpu = xa_find(&vm->vcpus, from, last, XA_PRESENT);
		++*from;
	} while (vcpu && !READ_ONCE(vcpu->preempted));
	return vcpu;
}

static bool yield_to_one(struct vmm_vcpu *self, unsigned long from, unsigned long last, int *tries)
{
	struct vmm_vm *vm = self->vm;
	struct task_struct *task;
	struct vmm_vcpu *vcpu;
	bool other;

	while (*tries) {
		rcu_read_lock();
		vcpu = next_preempted(vm, &from, last);
		other = vcpu && vcpu != self;
		task = other ? task_of(vcpu) : NULL;
		rcu_read_unlock();
		if (!vcpu)
			return false;
		*tries -= other;
		if (yield_to_task(task)) {
			/* from is behind it. */
			WRITE_ONCE(vm->last_yield, from - 1);
			return true;
		}
	}
	return false;
}

/* Around the VM, from the one behind the last that was given time: each has its turn. */
void vmm_pv_spin(struct vmm_vcpu *vcpu)
{
	unsigned long from = READ_ONCE(vcpu->vm->last_yield) + 1UL;
	int tries = MAX_YIELDS;

	if (!yield_to_one(vcpu, from, ULONG_MAX, &tries) &&
	    !yield_to_one(vcpu, 0, from - 1, &tries))
		cond_resched();
}

long pv_yield_to(struct vmm_vm *vm, u64 apic_id)
{
	struct task_struct *task = NULL;
	struct vmm_vcpu *vcpu;

	rcu_read_lock();
	vcpu = xa_load(&vm->vcpus, apic_id);
	if (vcpu && READ_ONCE(vcpu->preempted))
		task = task_of(vcpu);
	rcu_read_unlock();
	yield_to_task(task);
	return 0;
}

long pv_kick_vcpu(struct vmm_vm *vm, u64 apic_id)
{
	struct vmm_vcpu *vcpu;

	rcu_read_lock();
	vcpu = xa_load(&vm->vcpus, apic_id);
	if (vcpu) {
		WRITE_ONCE(vcpu->kicked, true);
		vmm_vcpu_kick(vcpu);
	}
	rcu_read_unlock();
	return 0;
}
