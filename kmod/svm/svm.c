// SPDX-License-Identifier: GPL-2.0-only
/*
 * AMD-V: what the machine has, the extension on each CPU, and the vendor table.
 * "AMD64 Architecture Programmer's Manual, Volume 2", chapter "Secure Virtual
 * Machine"; constants are those of asm/svm.h and asm/msr-index.h.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/gfp.h>
#include <linux/percpu.h>
#include <asm/cpufeature.h>
#include <asm/io.h>
#include <asm/mem_encrypt.h>
#include <asm/msr.h>

#include "../mmu/pte.h"
#include "svm.h"

DEFINE_PER_CPU(struct svm_cpu, svm_cpu);

/* Nested entries are the CPU's own format; every guest access is a user one. */
const struct vmm_pte_format svm_nested_format = {
	.present = _PAGE_PRESENT,
	.table = _PAGE_PRESENT | _PAGE_RW | _PAGE_USER | _PAGE_ACCESSED,
	.leaf = _PAGE_PRESENT | _PAGE_USER,
	.write = _PAGE_RW,
	.accessed = _PAGE_ACCESSED,
	.dirty = _PAGE_DIRTY,
	.large = _PAGE_PSE,
	.address = GENMASK_ULL(51, PAGE_SHIFT),
	.type = VMM_PTE_TYPE,
	.type_of = vmm_pte_type_of,
};

static int svm_probe(struct vmm_caps *caps)
{
	u64 vm_cr;

	if (!boot_cpu_has(X86_FEATURE_SVM)) {
		caps->why = NULL;
		return -EOPNOTSUPP;
	}
	if (rdmsrl_safe(MSR_VM_CR, &vm_cr) || (vm_cr & SVM_VM_CR_SVM_DIS_MASK)) {
		caps->why = "AMD-V is switched off by the firmware: enable SVM in its setup";
		return -EOPNOTSUPP;
	}
	if (!boot_cpu_has(X86_FEATURE_NPT))
		caps->nested = false;
	caps->shadow = boot_cpu_has(X86_FEATURE_NX);
	if (!caps->nested && !caps->shadow) {
		caps->why = "this CPU has neither nested paging nor no-execute pages";
		return -EOPNOTSUPP;
	}
	caps->features = VMM_FEATURE_REAL_MODE;
	if (caps->nested) {
		caps->levels = pgtable_l5_enabled() ? 5 : 4;
		caps->nested_format = &svm_nested_format;
		caps->features |= VMM_FEATURE_LARGE_2M;
		if (boot_cpu_has(X86_FEATURE_GBPAGES))
			caps->features |= VMM_FEATURE_LARGE_1G;
	}
	if (boot_cpu_has(X86_FEATURE_NRIPS))
		caps->features |= VMM_FEATURE_NEXT_RIP;
	if (boot_cpu_has(X86_FEATURE_FLUSHBYASID))
		caps->features |= VMM_FEATURE_FLUSH_BY_TAG;
	/* "TSC Ratio MSR (C000_0104h)": 8.32 bits */
	if (boot_cpu_has(X86_FEATURE_TSCRATEMSR)) {
		caps->tsc_fraction = 32;
		caps->tsc_ratio_max = SVM_TSC_RATIO_MAX;
	}
	return 0;
}

static void free_cpus(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *c = &per_cpu(svm_cpu, cpu);

		if (c->host_save)
			__free_page(c->host_save);
		if (c->host_vmcb)
			__free_page(c->host_vmcb);
		*c = (struct svm_cpu) {};
	}
}

static int svm_setup(void)
{
	int cpu, r;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *c = &per_cpu(svm_cpu, cpu);

		c->host_save = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);
		c->host_vmcb = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);
		if (!c->host_save || !c->host_vmcb) {
			r = -ENOMEM;
			goto out_cpus;
		}
		c->host_vmcb_pa = __sme_set(page_to_phys(c->host_vmcb));
	}
	r = svm_bitmaps_create();
	if (r)
		goto out_cpus;
	return 0;

out_cpus:
	free_cpus();
	return r;
}

static void svm_teardown(void)
{
	svm_bitmaps_destroy();
	free_cpus();
}

static void set_tsc_ratio(u64 ratio)
{
	wrmsrl(MSR_AMD64_TSC_RATIO, ratio);
}

static int svm_cpu_enable(void)
{
	struct svm_cpu *c = this_cpu_ptr(&svm_cpu);
	u64 efer;

	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME)
		return -EBUSY;
	wrmsrl(MSR_EFER, efer | EFER_SVME);
	wrmsrl(MSR_VM_HSAVE_PA, __sme_set(page_to_phys(c->host_save)));
	if (boot_cpu_has(X86_FEATURE_RDTSCP))
		rdmsrl(MSR_TSC_AUX, c->host_tsc_aux);
	if (boot_cpu_has(X86_FEATURE_TSCRATEMSR))
		set_tsc_ratio(SVM_TSC_RATIO_DEFAULT);
	c->tsc_ratio = SVM_TSC_RATIO_DEFAULT;
	c->max_asid = cpuid_ebx(SVM_CPUID_FUNC) - 1;
	/* The first vCPU starts a generation, and with it an empty TLB. */
	c->next_asid = c->max_asid + 1;
	c->asid_generation++;
	c->on = true;
	return 0;
}

static void svm_cpu_disable(void)
{
	u64 efer;

	if (!__this_cpu_read(svm_cpu.on))
		return;
	__this_cpu_write(svm_cpu.on, false);
	/* With GIF clear the CPU would take no interrupt any more. */
	asm volatile("stgi" ::: "memory");
	wrmsrl(MSR_VM_HSAVE_PA, 0);
	if (__this_cpu_read(svm_cpu.tsc_ratio) != SVM_TSC_RATIO_DEFAULT)
		set_tsc_ratio(SVM_TSC_RATIO_DEFAULT);
	rdmsrl(MSR_EFER, efer);
	wrmsrl(MSR_EFER, efer & ~(u64)EFER_SVME);
}

static int svm_vm_init(struct vmm_vm *vm)
{
	return 0;
}

static void svm_vm_destroy(struct vmm_vm *vm)
{
}

const struct vmm_ops svm_ops = {
	.name = "AMD-V",
	.backend = VMM_BACKEND_AMD_V,
	.hypercall = INSN_VMMCALL,
	.vm_size = sizeof(struct svm_vm),
	.vcpu_size = sizeof(struct svm_vcpu),
	.probe = svm_probe,
	.setup = svm_setup,
	.teardown = svm_teardown,
	.cpu_enable = svm_cpu_enable,
	.cpu_disable = svm_cpu_disable,
	.vm_init = svm_vm_init,
	.vm_destroy = svm_vm_destroy,
	.vcpu_create = svm_vcpu_create,
	.vcpu_destroy = svm_vcpu_destroy,
	.vcpu_reset = svm_vcpu_reset,
	.vcpu_load = svm_vcpu_load,
	.vcpu_put = svm_vcpu_put,
	.state_pull = svm_state_pull,
	.state_push = svm_state_push,
	.get_msr = svm_get_msr,
	.set_msr = svm_set_msr,
	.set_intercepts = svm_set_intercepts,
	.enter = svm_enter,
	.exit_at = svm_exit_at,
	.exit_irqoff = svm_exit_irqoff,
	.decode_exit = svm_decode_exit,
	.advance_rip = svm_advance_rip,
	.event_ready = svm_event_ready,
	.event_inject = svm_event_inject,
	.event_window = svm_event_window,
	.event_interrupted = svm_event_interrupted,
	.load_root = svm_load_root,
	.flush_tlb = svm_flush_tlb,
	.dump = svm_dump,
};
