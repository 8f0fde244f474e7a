// SPDX-License-Identifier: GPL-2.0-only
/*
 * One turn of a guest: from vcpu_load to the world switch and back. Between
 * CLGI and STGI nothing, not even an NMI, interrupts; the host's FS, GS, TR,
 * LDTR and syscall MSRs come back with VMLOAD before STGI.
 */
#include <linux/hw_breakpoint.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/processor.h>
#include <asm/trapnr.h>

#include "svm.h"

/* It stays when the vCPU goes: the host's own RDTSC is not scaled. */
static void load_tsc_ratio(const struct vmm_vm *vm)
{
	u64 ratio = vm->tsc_ratio ?: SVM_TSC_RATIO_DEFAULT;

	if (likely(ratio == this_cpu_read(svm_cpu.tsc_ratio)))
		return;
	this_cpu_write(svm_cpu.tsc_ratio, ratio);
	wrmsrl(MSR_AMD64_TSC_RATIO, ratio);
}

void svm_vcpu_load(struct vmm_vcpu *vcpu, int cpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (svm->last_cpu != cpu) {
		svm->last_cpu = cpu;
		svm->asid_generation = 0;
	}
	/* What another guest taught the branch predictor must not steer this one. */
	if (this_cpu_read(svm_cpu.last) != svm) {
		this_cpu_write(svm_cpu.last, svm);
		indirect_branch_prediction_barrier();
	}
	if (svm->tsc_aux != this_cpu_read(svm_cpu.host_tsc_aux) &&
	    boot_cpu_has(X86_FEATURE_RDTSCP))
		wrmsrl(MSR_TSC_AUX, svm->tsc_aux);
	load_tsc_ratio(vcpu->vm);
}

void svm_vcpu_put(struct vmm_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	u64 host = this_cpu_read(svm_cpu.host_tsc_aux);

	if (svm->tsc_aux != host && boot_cpu_has(X86_FEATURE_RDTSCP))
		wrmsrl(MSR_TSC_AUX, host);
}

/* The guest's breakpoints are in the CPU only while DR7 enables one. */
static void debug_regs_enter(struct vmm_vcpu *vcpu)
{
	const u64 *dr = vmm_cpu_dr(vcpu);

	/* The host's breakpoints must not watch the guest's addresses meanwhile. */
	if (hw_breakpoint_active())
		set_debugreg(0UL, 7);
	set_debugreg(dr[0], 0);
	set_debugreg(dr[1], 1);
	set_debugreg(dr[2], 2);
	set_debugreg(dr[3], 3);
}

/*
 * #VMEXIT leaves DR7 with everything off; the host may have had some on. DR6 it leaves as the
 * guest had it, and the host's next #DB would tell of the guest's steps and breakpoints.
 */
static void debug_regs_leave(const struct vmcb *vmcb)
{
	if (unlikely(vmcb->save.dr6 != DR6_RESERVED))
		set_debugreg(DR6_RESERVED, 6);
	if (hw_breakpoint_active())
		hw_breakpoint_restore();
}

static void regs_to_vmcb(const struct vmm_regs *regs, struct vmcb_save_area *save)
{
	save->rax = regs->rax;
	save->rsp = regs->rsp;
	save->rip = regs->rip;
	save->rflags = regs->rflags;
}

static void regs_from_vmcb(struct vmm_regs *regs, const struct vmcb_save_area *save)
{
	regs->rax = save->rax;
	regs->rsp = save->rsp;
	regs->rip = save->rip;
	regs->rflags = save->rflags;
}

void svm_enter(struct vmm_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct svm_cpu *cpu = this_cpu_ptr(&svm_cpu);
	struct vmcb *vmcb = svm->vmcb;

	if (svm->asid_generation != cpu->asid_generation)
		svm_assign_asid(svm, cpu);
	/* Fast exits do not ask what became of the last event: it was delivered. */
	if (!svm_injects(&vmcb->control))
		svm->injected.type = VMM_EVENT_NONE;
	regs_to_vmcb(&vcpu->regs, &vmcb->save);
	if (unlikely(vmcb->save.dr7 & DR_GLOBAL_ENABLE_MASK ||
		     vmcb->save.dr7 & DR_LOCAL_ENABLE_MASK))
		debug_regs_enter(vcpu);
	/* Zen 1: the host's last quotient must not be the guest's to guess. */
	if (static_cpu_has_bug(X86_BUG_DIV0))
		amd_clear_divider();

	asm volatile("clgi" ::: "memory");
	svm_world_switch(vcpu->regs.gpr, svm->vmcb_pa, cpu->host_vmcb_pa,
			 vmcb->control.int_state & SVM_INTERRUPT_SHADOW_MASK);
	debug_regs_leave(vmcb);
	asm volatile("stgi" ::: "memory");

	/* VMSCAPE: user space must not run with the guest's branch history either. */
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
	vmcb->control.tlb_ctl = TLB_CONTROL_DO_NOTHING;
	regs_from_vmcb(&vcpu->regs, &vmcb->save);
	vcpu->have = VMM_STATE_REGS;
	if (unlikely(svm->stepping))
		svm_step_undo(svm);
	if (unlikely(svm->iret_pending))
		svm_nmi_progress(svm);
}

/* There is no such timer: not called, as vmm_caps.deadline is false. */
void svm_exit_at(struct vmm_vcpu *vcpu, u64 now, u64 tsc)
{
}

void svm_exit_irqoff(struct vmm_vcpu *vcpu)
{
	/* The machine check that the intercept took from the host. */
	if (unlikely(to_svm(vcpu)->vmcb->control.exit_code == SVM_EXIT_EXCP_BASE + X86_TRAP_MC))
		asm volatile("int %0" :: "i" (X86_TRAP_MC));
}
