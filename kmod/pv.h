/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What pv.c and pv_sched.c share: a vCPU's part of KVM's documented paravirtual
 * interface. Written by the vCPU's thread, or under vcpu->lock while that is idle.
 */
#ifndef VMM_PV_H
#define VMM_PV_H

#include <linux/sched.h>
#include <uapi/asm/kvm_para.h>
#include <uapi/linux/kvm_para.h>

#include "vmm.h"

struct vmm_pv {
	u64 system_time;	/* MSR_KVM_SYSTEM_TIME_NEW */
	u32 version;		/* of the clock page, even */
	int clock_cpu;		/* whose TSC the page goes by, or -1; vmm_pv_load() */
	u32 stops_told;		/* value of vm->clock_stops that the page has told of */
	u64 steal;		/* MSR_KVM_STEAL_TIME */
	u64 poll_control;	/* MSR_KVM_POLL_CONTROL */
	const struct task_struct *waiter;	/* whose waiting was last counted; compared only */
	u64 waited;		/* its time on the run queue then, ns */
};

/* Areas are aligned to @align bytes, within one page, and where memory can be. */
bool pv_area_valid(struct vmm_vcpu *vcpu, u64 gpa, size_t size, size_t align);

/* Has the vCPU's CPUID the feature KVM_FEATURE_@feature? */
static inline bool pv_has(const struct vmm_vcpu *vcpu, unsigned int feature)
{
	return vmm_cpuid_pv_features(vcpu) & BIT(feature);
}

/* In VMM_RUN: the thread may have waited for a CPU since the last one. */
static inline void pv_run_begin(struct vmm_vcpu *vcpu)
{
	const struct vmm_pv *pv = vcpu->pv;

	if (unlikely(pv->steal & KVM_MSR_ENABLED) && pv->waited != current->sched_info.run_delay)
		vmm_request(vcpu, VMM_REQ_STEAL);
}

/* ---- pv_sched.c ---- */
int pv_steal_write(struct vmm_vcpu *vcpu, u64 value);
long pv_kick_vcpu(struct vmm_vm *vm, u64 apic_id);
long pv_yield_to(struct vmm_vm *vm, u64 apic_id);

#endif
