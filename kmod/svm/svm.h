/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The AMD-V backend: what its files share. Each file has a twin of the same
 * name for the other vendor, with the functions in the same order.
 */
#ifndef VMM_SVM_H
#define VMM_SVM_H

#include <asm/svm.h>

#include "../vmm.h"

struct svm_vcpu {
	struct vmm_vcpu vcpu;		/* first */
	struct vmcb *vmcb;
	u64 vmcb_pa;
	u64 tsc_aux;
	int last_cpu;
	u64 asid_generation;		/* 0: needs a new ASID */
	struct vmm_event injected;	/* at the last entry */
	bool iret_pending;		/* IRET exited, not yet executed */
	bool stepping;			/* TF is ours, for the NMI window */
	u64 iret_rip;
	u64 stepped_flags;		/* the guest's RFLAGS.TF and RF while stepping */
};

struct svm_vm {
	struct vmm_vm vm;		/* first */
};

/* What AMD-V needs on each CPU. */
struct svm_cpu {
	struct page *host_save;		/* VM_HSAVE_PA: the CPU's own */
	struct page *host_vmcb;		/* for VMSAVE and VMLOAD of the host's state */
	u64 host_vmcb_pa;
	u64 host_tsc_aux;
	u64 tsc_ratio;			/* in its MSR; of no effect on the host */
	u64 asid_generation;
	u32 next_asid;
	u32 max_asid;
	const struct svm_vcpu *last;	/* loaded here; may be gone, only compared */
	bool on;
};

extern const struct vmm_ops svm_ops;
extern const struct vmm_pte_format svm_nested_format;
DECLARE_PER_CPU(struct svm_cpu, svm_cpu);

static inline struct svm_vcpu *to_svm(struct vmm_vcpu *vcpu)
{
	return container_of(vcpu, struct svm_vcpu, vcpu);
}

/* One bit of the intercept vector, by its number in asm/svm.h. */
static inline void svm_intercept(struct vmcb *vmcb, unsigned int bit)
{
	vmcb->control.intercepts[bit / 32] |= 1U << (bit % 32);
}

static inline void svm_no_intercept(struct vmcb *vmcb, unsigned int bit)
{
	vmcb->control.intercepts[bit / 32] &= ~(1U << (bit % 32));
}

/* vmcb.c */
int svm_bitmaps_create(void);
void svm_bitmaps_destroy(void);
int svm_vcpu_create(struct vmm_vcpu *vcpu);
void svm_vcpu_destroy(struct vmm_vcpu *vcpu);
void svm_vcpu_reset(struct vmm_vcpu *vcpu);
void svm_set_intercepts(struct vmm_vcpu *vcpu);
void svm_load_root(struct vmm_vcpu *vcpu, hpa_t root);
void svm_flush_tlb(struct vmm_vcpu *vcpu, enum vmm_flush scope, gva_t gva);
void svm_assign_asid(struct svm_vcpu *svm, struct svm_cpu *cpu);

/* run.c */
void svm_vcpu_load(struct vmm_vcpu *vcpu, int cpu);
void svm_vcpu_put(struct vmm_vcpu *vcpu);
void svm_enter(struct vmm_vcpu *vcpu);
void svm_exit_at(struct vmm_vcpu *vcpu, u64 now, u64 tsc);
void svm_exit_irqoff(struct vmm_vcpu *vcpu);

/* enter.S: GPRs but RAX and RSP, which are in the VMCB; GIF is 0 */
asmlinkage void svm_world_switch(u64 *gpr, u64 vmcb_pa, u64 host_vmcb_pa, bool shadow);

/* exit.c */
void svm_decode_exit(struct vmm_vcpu *vcpu, struct vmm_exit *exit);
u64 svm_advance_rip(struct vmm_vcpu *vcpu, unsigned int length);

/* state.c */
/* The guest's control registers as the CPU has to run with them; CR3 is load_root's. */
void svm_cpu_ctrl(const struct vmm_vcpu *vcpu, struct vmm_ctrl *cpu);
void svm_state_pull(struct vmm_vcpu *vcpu, u64 mask);
void svm_state_push(struct vmm_vcpu *vcpu, u64 mask);
int svm_get_msr(struct vmm_vcpu *vcpu, u32 index, u64 *value);
int svm_set_msr(struct vmm_vcpu *vcpu, u32 index, u64 value);

/* event.c */
/* Is there a virtual interrupt, other than a window's, that the guest has not taken? */
static inline bool svm_virtual_waits(const struct vmcb_control_area *control)
{
	return (control->int_ctl & V_IRQ_MASK) && control->int_vector;
}

/* Is something to be delivered at the next VMRUN? */
static inline bool svm_injects(const struct vmcb_control_area *control)
{
	return (control->event_inj & SVM_EVTINJ_VALID) || svm_virtual_waits(control);
}

bool svm_event_ready(struct vmm_vcpu *vcpu, enum vmm_event_kind kind);
void svm_event_inject(struct vmm_vcpu *vcpu, const struct vmm_event *event);
void svm_event_window(struct vmm_vcpu *vcpu, enum vmm_event_kind kind);
bool svm_event_interrupted(struct vmm_vcpu *vcpu, struct vmm_event *event);
void svm_iret_intercepted(struct svm_vcpu *svm);
void svm_nmi_progress(struct svm_vcpu *svm);
void svm_step_undo(struct svm_vcpu *svm);
bool svm_step_done(struct svm_vcpu *svm);

/* dump.c */
void svm_dump(struct vmm_vcpu *vcpu);

#endif
