// SPDX-License-Identifier: GPL-2.0-only
/*
 * One turn of a guest: from vcpu_load to the world switch and back. An exit loads
 * the host-state area; what that does not hold of the host's thread (selectors,
 * LDT, table limits, syscall MSRs, user GS base) comes back with vcpu_put, before
 * anything runs that could see it.
 */
#include <linux/hw_breakpoint.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>
#include <asm/trapnr.h>

#include "vmx.h"

static void save_segments(struct vmx_host *host)
{
	u64 fs_base;

	savesegment(ds, host->ds);
	savesegment(es, host->es);
	savesegment(fs, host->fs);
	savesegment(gs, host->gs);
	store_ldt(host->ldt);
	rdmsrl(MSR_FS_BASE, fs_base);
	if (host->fs_base == fs_base)
		return;
	host->fs_base = fs_base;
	vmcs_write(HOST_FS_BASE, fs_base);
}

/* Selectors a 64-bit process hardly ever has; the bases behind them come after. */
static void restore_selectors(const struct vmx_host *host)
{
	if (host->ldt)
		asm volatile("lldt %0" : : "r" (host->ldt));
	loadsegment(ds, host->ds);
	loadsegment(es, host->es);
	loadsegment(fs, host->fs);
	load_gs_index(host->gs);
	wrmsrl(MSR_FS_BASE, host->fs_base);
}

/* An exit gives GDT, IDT and TSS limits of its own. */
static void restore_tables(void)
{
	native_load_gdt(this_cpu_ptr(&vmx_cpu.gdt));
	native_load_idt(this_cpu_ptr(&vmx_cpu.idt));
	invalidate_tss_limit();
}

static void load_msrs(const struct vmx_vcpu *vmx)
{
	const u64 *host = this_cpu_ptr(vmx_cpu.host_msr);
	enum vmx_switched which;
	unsigned int i;

	for (i = 0; i < vmx_config.nr_switched; i++) {
		which = vmx_config.switched[i];
		if (vmx->msr[which] != host[which])
			wrmsrl(vmx_switched_msr(which), vmx->msr[which]);
	}
}

static void put_msrs(const struct vmx_vcpu *vmx)
{
	const u64 *host = this_cpu_ptr(vmx_cpu.host_msr);
	enum vmx_switched which;
	unsigned int i;

	for (i = 0; i < vmx_config.nr_switched; i++) {
		which = vmx_config.switched[i];
		if (vmx->msr[which] != host[which])
			wrmsrl(vmx_switched_msr(which), host[which]);
	}
}

void vmx_vcpu_load(struct vmm_vcpu *vcpu, int cpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	/* What another guest taught the branch predictor must not steer this one. */
	if (this_cpu_read(vmx_cpu.current_vmcs) != vmx)
		indirect_branch_prediction_barrier();
	vmx_vmcs_load(vmx, cpu);
	save_segments(&vmx->host);
	load_msrs(vmx);
	rdmsrl(MSR_KERNEL_GS_BASE, vmx->host.user_gs_base);
	wrmsrl(MSR_KERNEL_GS_BASE, vmx->kernel_gs_base);
}

void vmx_vcpu_put(struct vmm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vmx_host *host = &vmx->host;

	rdmsrl(MSR_KERNEL_GS_BASE, vmx->kernel_gs_base);
	if (host->clobbered) {
		host->clobbered = false;
		restore_tables();
		if (unlikely(host->ds | host->es | host->fs | host->gs | host->ldt))
			restore_selectors(host);
	}
	/* Loading GS has changed it. */
	wrmsrl(MSR_KERNEL_GS_BASE, host->user_gs_base);
	put_msrs(vmx);
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

/* An exit leaves DR7 with everything off; the host may have had some on. */
static void debug_regs_leave(void)
{
	if (hw_breakpoint_active())
		hw_breakpoint_restore();
}

static void regs_to_vmcs(struct vmx_vcpu *vmx)
{
	const struct vmm_regs *regs = &vmx->vcpu.regs;

	vmcs_write(GUEST_RIP, regs->rip);
	if (vmx->vmcs_rsp != regs->rsp) {
		vmx->vmcs_rsp = regs->rsp;
		vmcs_write(GUEST_RSP, regs->rsp);
	}
	if (vmx->vmcs_rflags != regs->rflags) {
		vmx->vmcs_rflags = regs->rflags;
		vmcs_write(GUEST_RFLAGS, regs->rflags);
	}
}

static void regs_from_vmcs(struct vmx_vcpu *vmx)
{
	struct vmm_regs *regs = &vmx->vcpu.regs;

	regs->rip = vmcs_read(GUEST_RIP);
	regs->rsp = vmcs_read(GUEST_RSP);
	regs->rflags = vmcs_read(GUEST_RFLAGS);
	vmx->vmcs_rsp = regs->rsp;
	vmx->vmcs_rflags = regs->rflags;
}

/* Host registers that change from one entry to the next, if seldom; and our windows. */
static void update_vmcs(struct vmx_vcpu *vmx)
{
	u64 cr3 = __native_read_cr3(), cr4 = native_read_cr4();

	if (unlikely(vmx->host.cr3 != cr3)) {
		vmx->host.cr3 = cr3;
		vmcs_write(HOST_CR3, cr3);
	}
	if (unlikely(vmx->host.cr4 != cr4)) {
		vmx->host.cr4 = cr4;
		vmcs_write(HOST_CR4, cr4);
	}
	if (unlikely(vmx->vmcs_controls != vmx->controls)) {
		vmx->vmcs_controls = vmx->controls;
		vmcs_write(CPU_BASED_VM_EXEC_CONTROL, vmx->controls);
	}
}

void vmx_enter(struct vmm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vmx_cpu *cpu = this_cpu_ptr(&vmx_cpu);
	bool refused;

	if (unlikely(vmx->unrunnable)) {
		vmx->exit_reason = VMX_NO_EXIT_UNRUNNABLE;
		return;
	}
	if (unlikely(!vmx->host.perf_away))
		vmx_perf_begin(&vmx->host);
	if (unlikely(vmx->flat))
		vmx_flat_refresh(vmx);
	if (vmx->vpid_generation != cpu->vpid_generation)
		vmx_assign_vpid(vmx, cpu);
	regs_to_vmcs(vmx);
	update_vmcs(vmx);
	if (unlikely(vmx->wrong_vectoring))
		vmx_apic_note_entry(vmx);
	if (native_read_cr2() != vmx->cr2)
		native_write_cr2(vmx->cr2);
	if (unlikely(vmm_cpu_dr7(vcpu) & (DR_GLOBAL_ENABLE_MASK | DR_LOCAL_ENABLE_MASK)))
		debug_regs_enter(vcpu);

	/* L1TF: a guest can read what the L1 data cache holds. */
	if (static_cpu_has_bug(X86_BUG_L1TF) && static_cpu_has(X86_FEATURE_FLUSH_L1D))
		wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
	refused = vmx_world_switch(vcpu->regs.gpr, &vmx->host_rsp, vmx->launched);
	debug_regs_leave();
	if (unlikely(refused)) {
		vmx->exit_reason = VMX_NO_EXIT_REFUSED;
		return;
	}
	/* VMSCAPE: user space must not run with the guest's branch history either. */
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
	vmx->host.clobbered = true;
	vmx->cr2 = native_read_cr2();
	vmx->exit_reason = vmcs_read(VM_EXIT_REASON);
	/* An entry that fails on the guest's state arrives here too, not launched. */
	vmx->launched |= !(vmx->exit_reason & VMX_EXIT_REASONS_FAILED_VMENTRY);
	regs_from_vmcs(vmx);
	vcpu->have = VMM_STATE_REGS;
	if (unlikely(vcpu->nmi_masked))
		vmx_nmi_progress(vmx);
}

/*
 * "VMX-Preemption Timer": it counts down whenever the lowest bit of the TSC's upper part
 * changes, so an exit comes at the first value that has 0 below it and is not before @tsc.
 * The end of a turn may come first; if it does the field has it from the start.
 */
void vmx_exit_at(struct vmm_vcpu *vcpu, u64 now, u64 tsc)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	const unsigned int shift = vmx->config->timer_shift;
	u64 end = (tsc + BIT(shift) - 1) >> shift;
	u64 ticks = min_t(u64, end - (now >> shift), vmx->config->turn);

	if (vmx->vmcs_timer == ticks)
		return;
	vmx->vmcs_timer = ticks;
	vmcs_write(VMX_PREEMPTION_TIMER_VALUE, ticks);
}

void vmx_exit_irqoff(struct vmm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmx->pml)
		vmx_pml_empty(vmx);
	if (likely(vmx->host.perf_away))
		vmx_perf_end(&vmx->host);
	switch (vmx_exit_vector(vmx)) {
	case X86_TRAP_NMI:
		/* "NMI exiting": they are blocked until an IRET, which the handler has. */
		asm volatile("int %0" :: "i" (X86_TRAP_NMI));
		break;
	case X86_TRAP_MC:
		/* The machine check that the exit took from the host. */
		asm volatile("int %0" :: "i" (X86_TRAP_MC));
		break;
	}
}
