// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMCB of a vCPU: memory, intercepts, ASID, nested root; and the permission
 * maps that all VMs share. What safety needs is intercepted from the start and
 * stays so: see required[] with the reason for each.
 */
#include <linux/gfp.h>
#include <linux/slab.h>
#include <asm/debugreg.h>
#include <asm/io.h>
#include <asm/mem_encrypt.h>
#include <asm/trapnr.h>

#include "svm.h"

/* "I/O Permissions Map", "MSR Permissions Map": pages each takes, as an order */
#define IOPM_ORDER	2	/* 12 KiB */
#define MSRPM_ORDER	1	/* 8 KiB */

static struct page *io_map;
static struct page *msr_map;

/* Byte and bit of an MSR's two bits (read, write) in the map. */
static bool msr_map_slot(u32 index, unsigned int *byte, unsigned int *shift)
{
	static const u32 first[] = { 0, 0xc0000000, 0xc0010000 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(first); i++) {
		if (index - first[i] < 0x2000) {
			*byte = i * 0x800 + (index - first[i]) / 4;
			*shift = (index % 4) * 2;
			return true;
		}
	}
	return false;
}

int svm_bitmaps_create(void)
{
	unsigned int n, byte, shift;
	u8 *map;
	u32 index;

	io_map = alloc_pages(GFP_KERNEL, IOPM_ORDER);
	msr_map = alloc_pages(GFP_KERNEL, MSRPM_ORDER);
	if (!io_map || !msr_map) {
		svm_bitmaps_destroy();
		return -ENOMEM;
	}
	memset(page_address(io_map), 0xff, PAGE_SIZE << IOPM_ORDER);
	map = page_address(msr_map);
	memset(map, 0xff, PAGE_SIZE << MSRPM_ORDER);
	for (n = 0; vmm_msr_direct(n, &index); n++)
		if (msr_map_slot(index, &byte, &shift))
			map[byte] &= ~(3 << shift);
	return 0;
}

void svm_bitmaps_destroy(void)
{
	if (io_map)
		__free_pages(io_map, IOPM_ORDER);
	if (msr_map)
		__free_pages(msr_map, MSRPM_ORDER);
	io_map = NULL;
	msr_map = NULL;
}

int svm_vcpu_create(struct vmm_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	BUILD_BUG_ON(offsetof(struct svm_vcpu, vcpu));
	BUILD_BUG_ON(offsetof(struct svm_vm, vm));
	svm->vmcb = (struct vmcb *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!svm->vmcb)
		return -ENOMEM;
	svm->vmcb_pa = __sme_pa(svm->vmcb);
	svm->last_cpu = -1;
	return 0;
}

void svm_vcpu_destroy(struct vmm_vcpu *vcpu)
{
	int cpu;

	/* A new vCPU at the same address is another one. */
	for_each_possible_cpu(cpu)
		cmpxchg(&per_cpu(svm_cpu, cpu).last, to_svm(vcpu), NULL);
	free_page((unsigned long)to_svm(vcpu)->vmcb);
}

static const u8 required[] = {
	/* the host's own events */
	INTERCEPT_INTR, INTERCEPT_NMI, INTERCEPT_SMI, INTERCEPT_INIT,
	INTERCEPT_SHUTDOWN, INTERCEPT_FERR_FREEZE,
	/* instructions that would reach the host's CPU state */
	INTERCEPT_INVD, INTERCEPT_WBINVD, INTERCEPT_RSM, INTERCEPT_RDPMC, INTERCEPT_XSETBV,
	INTERCEPT_IOIO_PROT, INTERCEPT_MSR_PROT, INTERCEPT_HLT, INTERCEPT_TASK_SWITCH,
	INTERCEPT_MONITOR, INTERCEPT_MWAIT, INTERCEPT_RDPRU,
	/* the extension itself: EFER.SVME is set while a guest runs */
	INTERCEPT_VMRUN, INTERCEPT_VMMCALL, INTERCEPT_VMLOAD, INTERCEPT_VMSAVE,
	INTERCEPT_STGI, INTERCEPT_CLGI, INTERCEPT_SKINIT, INTERCEPT_INVLPGA,
	INTERCEPT_INVLPGB, INTERCEPT_INVLPGB_ILLEGAL, INTERCEPT_TLBSYNC, INTERCEPT_MCOMMIT,
	/* what the guest sees is the policy's, not the CPU's */
	INTERCEPT_CPUID,
	INTERCEPT_CR0_WRITE, INTERCEPT_CR4_WRITE, INTERCEPT_CR8_WRITE, INTERCEPT_CR8_READ,
	INTERCEPT_DR0_READ, INTERCEPT_DR1_READ, INTERCEPT_DR2_READ, INTERCEPT_DR3_READ,
	INTERCEPT_DR0_WRITE, INTERCEPT_DR1_WRITE, INTERCEPT_DR2_WRITE, INTERCEPT_DR3_WRITE,
	/* DR5 is DR7 without CR4.DE: breakpoints have to be loaded when it enables one */
	INTERCEPT_DR5_WRITE, INTERCEPT_DR7_WRITE,
};

/*
 * Exceptions that always exit: delivery of the first two can loop in the CPU for ever,
 * one is the machine's, a CPU without the extension raises #UD for some #GPs, and Intel's
 * hypercall instruction is #UD.
 */
#define EXCEPTIONS	(BIT(X86_TRAP_DB) | BIT(X86_TRAP_UD) | BIT(X86_TRAP_AC) | \
			 BIT(X86_TRAP_MC) | BIT(X86_TRAP_GP))

/* With shadow paging: what the guest's own tables and registers are not used for. */
static const u8 required_shadow[] = {
	INTERCEPT_CR3_READ, INTERCEPT_CR3_WRITE, INTERCEPT_INVLPG, INTERCEPT_INVPCID,
};

/*
 * "PAUSE Intercept Filtering": an exit after so many PAUSEs, none more than the gap of
 * cycles behind the last. It waits for a vCPU that does not run.
 */
#define SPIN_PAUSES		3000
#define SPIN_GAP		128

static void intercept_spinning(struct vmcb *vmcb)
{
	if (!boot_cpu_has(X86_FEATURE_PAUSEFILTER))
		return;
	svm_intercept(vmcb, INTERCEPT_PAUSE);
	vmcb->control.pause_filter_count = SPIN_PAUSES;
	if (boot_cpu_has(X86_FEATURE_PFTHRESHOLD))
		vmcb->control.pause_filter_thresh = SPIN_GAP;
}

void svm_vcpu_reset(struct vmm_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *control = &svm->vmcb->control;
	int i;

	memset(control->intercepts, 0, sizeof(control->intercepts));
	for (i = 0; i < ARRAY_SIZE(required); i++)
		svm_intercept(svm->vmcb, required[i]);
	intercept_spinning(svm->vmcb);
	for (i = 0; !vmm_vcpu_nested(vcpu) && i < ARRAY_SIZE(required_shadow); i++)
		svm_intercept(svm->vmcb, required_shadow[i]);
	control->iopm_base_pa = __sme_set(page_to_phys(io_map));
	control->msrpm_base_pa = __sme_set(page_to_phys(msr_map));
	control->int_ctl = V_INTR_MASKING_MASK;
	control->int_state = 0;
	control->event_inj = 0;
	control->nested_ctl = vmm_vcpu_nested(vcpu) ? SVM_NESTED_CTL_NP_ENABLE : 0;
	svm->asid_generation = 0;
	svm->injected.type = VMM_EVENT_NONE;
	svm->iret_pending = false;
	svm->stepping = false;
}

/* What of the guest's debug registers is not in hardware while a debugger's are. */
static const u8 debug_intercepts[] = {
	INTERCEPT_DR4_READ, INTERCEPT_DR5_READ, INTERCEPT_DR6_READ, INTERCEPT_DR7_READ,
	INTERCEPT_DR4_WRITE, INTERCEPT_DR6_WRITE,
};

static void intercept_if(struct vmcb *vmcb, unsigned int bit, bool on)
{
	if (on)
		svm_intercept(vmcb, bit);
	else
		svm_no_intercept(vmcb, bit);
}

static void set_debug_intercepts(struct vmm_vcpu *vcpu, struct vmcb *vmcb)
{
	u32 exceptions = vmm_debug_exceptions(vcpu) | EXCEPTIONS;
	int i;

	if (!vmm_vcpu_nested(vcpu))
		exceptions |= BIT(X86_TRAP_PF);
	vmcb->control.intercepts[INTERCEPT_EXCEPTION] = exceptions;
	for (i = 0; i < ARRAY_SIZE(debug_intercepts); i++)
		intercept_if(vmcb, debug_intercepts[i], vcpu->guest_debug.flags & VMM_DEBUG_HW);
}

void svm_set_intercepts(struct vmm_vcpu *vcpu)
{
	struct vmcb *vmcb = to_svm(vcpu)->vmcb;
	struct vmm_ctrl cpu;

	/* Where the CPU runs with another value, the guest is told what it wrote. */
	svm_cpu_ctrl(vcpu, &cpu);
	intercept_if(vmcb, INTERCEPT_CR0_READ, vcpu->ctrl.cr0 != cpu.cr0);
	intercept_if(vmcb, INTERCEPT_CR4_READ, vcpu->ctrl.cr4 != cpu.cr4);
	set_debug_intercepts(vcpu, vmcb);
}

void svm_load_root(struct vmm_vcpu *vcpu, hpa_t root)
{
	struct vmcb *vmcb = to_svm(vcpu)->vmcb;

	if (vmm_vcpu_nested(vcpu))
		vmcb->control.nested_cr3 = __sme_set(root);
	else
		vmcb->save.cr3 = __sme_set(root);
}

void svm_flush_tlb(struct vmm_vcpu *vcpu, enum vmm_flush scope, gva_t gva)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (scope == VMM_FLUSH_GVA && svm->asid_generation)
		asm volatile("invlpga %%rax, %%ecx" ::
			     "a" (gva), "c" (svm->vmcb->control.asid) : "memory");
	else if (vmm_caps.features & VMM_FEATURE_FLUSH_BY_TAG)
		svm->vmcb->control.tlb_ctl = TLB_CONTROL_FLUSH_ASID;
	else
		svm->asid_generation = 0;
}

/* A number that no translation in this CPU's TLB carries. */
void svm_assign_asid(struct svm_vcpu *svm, struct svm_cpu *cpu)
{
	struct vmcb_control_area *control = &svm->vmcb->control;

	if (cpu->next_asid > cpu->max_asid) {
		cpu->asid_generation++;
		cpu->next_asid = 1;
		control->tlb_ctl = TLB_CONTROL_FLUSH_ALL_ASID;
	}
	svm->asid_generation = cpu->asid_generation;
	control->asid = cpu->next_asid++;
}
