// SPDX-License-Identifier: GPL-2.0-only
/*
 * VT-x: what the machine has, the extension on each CPU, and the vendor table.
 * "Intel 64 and IA-32 Architectures Software Developer's Manual, Volume 3",
 * the chapters on virtual-machine extensions; constants are those of asm/vmx.h
 * and asm/msr-index.h.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/gfp.h>
#include <linux/percpu.h>
#include <asm/cpufeature.h>
#include <asm/desc.h>
#include <asm/io.h>
#include <asm/msr.h>
#include <asm/perf_event.h>
#include <asm/tlbflush.h>

#include "../mmu/pte.h"
#include "vmx.h"

DEFINE_PER_CPU(struct vmx_cpu, vmx_cpu);
struct vmx_config vmx_config, vmx_shadow_config;

/*
 * Nested entries: the type that the host maps the memory with, which is write-back but for
 * devices', whatever PAT and page tables of the guest say.
 */
#define EPT_WRITE_BACK	(VMX_EPTP_MT_WB << VMX_EPT_MT_EPTE_SHIFT | VMX_EPT_IPAT_BIT)
#define EPT_TYPE	GENMASK_ULL(5, VMX_EPT_MT_EPTE_SHIFT)
#define EPT_LARGE	BIT_ULL(7)

/* Entries of IA32_PAT are numbered like EPT's types, which lack this one: it is 0 there. */
#define PAT_UNCACHED_MINUS	7

static u64 ept_type_of(unsigned int pat)
{
	u64 entries, type;

	rdmsrl(MSR_IA32_CR_PAT, entries);
	type = (entries >> pat * BITS_PER_BYTE) & 7;
	return type == PAT_UNCACHED_MINUS ? 0 : type << VMX_EPT_MT_EPTE_SHIFT;
}

#define EPT_FORMAT							\
	.present = VMX_EPT_RWX_MASK,					\
	.table = VMX_EPT_RWX_MASK | VMX_EPT_ACCESS_BIT,			\
	.leaf = VMX_EPT_READABLE_MASK | VMX_EPT_EXECUTABLE_MASK | EPT_WRITE_BACK, \
	.write = VMX_EPT_WRITABLE_MASK,					\
	.accessed = VMX_EPT_ACCESS_BIT,					\
	.dirty = VMX_EPT_DIRTY_BIT,					\
	.large = EPT_LARGE,						\
	.address = GENMASK_ULL(51, PAGE_SHIFT),				\
	.type = EPT_TYPE,						\
	.type_of = ept_type_of

const struct vmm_pte_format vmx_nested_format = { EPT_FORMAT };
const struct vmm_pte_format vmx_nested_format_pml = { EPT_FORMAT, .reports = true };

/* Without accessed and dirty flags, whose bits are ignored then. */
const struct vmm_pte_format vmx_nested_format_no_ad = {
	.present = VMX_EPT_RWX_MASK,
	.table = VMX_EPT_RWX_MASK,
	.leaf = VMX_EPT_READABLE_MASK | VMX_EPT_EXECUTABLE_MASK | EPT_WRITE_BACK,
	.write = VMX_EPT_WRITABLE_MASK,
	.large = EPT_LARGE,
	.address = GENMASK_ULL(51, PAGE_SHIFT),
	.type = EPT_TYPE,
	.type_of = ept_type_of,
};

/* Leaf 1 ECX, read from the CPU: the kernel hides the bit when the firmware locked it. */
#define CPUID_1_ECX_VMX	BIT(5)
/* With it the host takes its NMIs otherwise than vmx_exit_irqoff() hands them on. */
#define CR4_FRED	BIT_ULL(32)

static int vmx_probe(struct vmm_caps *caps)
{
	u64 control;

	if (!(cpuid_ecx(1) & CPUID_1_ECX_VMX)) {
		caps->why = NULL;
		return -EOPNOTSUPP;
	}
	if (rdmsrl_safe(MSR_IA32_FEAT_CTL, &control) || !(control & FEAT_CTL_LOCKED) ||
	    !(control & FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX)) {
		caps->why = "VT-x is off by the firmware: enable it there, power-cycle";
		return -EOPNOTSUPP;
	}
	if (__read_cr4() & CR4_FRED) {
		caps->why = "the host's kernel uses FRED, unknown to vmm: boot it with fred=off";
		return -EOPNOTSUPP;
	}
	return vmx_find_controls(caps);
}

static void free_cpus(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct vmx_cpu *c = &per_cpu(vmx_cpu, cpu);

		if (c->vmxon)
			__free_page(c->vmxon);
		*c = (struct vmx_cpu) {};
	}
}

static int vmx_setup(void)
{
	int cpu, r;

	for_each_possible_cpu(cpu) {
		struct vmx_cpu *c = &per_cpu(vmx_cpu, cpu);

		INIT_LIST_HEAD(&c->active);
		c->vmxon = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);
		if (!c->vmxon) {
			r = -ENOMEM;
			goto out_cpus;
		}
		*(u32 *)page_address(c->vmxon) = vmx_config.revision;
	}
	r = vmx_bitmaps_create();
	if (r)
		goto out_cpus;
	r = vmx_flat_setup();
	if (r)
		goto out_bitmaps;
	return 0;

out_bitmaps:
	vmx_bitmaps_destroy();
out_cpus:
	free_cpus();
	return r;
}

static void vmx_teardown(void)
{
	vmx_flat_teardown();
	vmx_bitmaps_destroy();
	free_cpus();
}

static u64 tss_base(const struct desc_ptr *gdt)
{
	const struct ldttss_desc *tss = (void *)(gdt->address + GDT_ENTRY_TSS * 8);

	return tss->base0 | (u64)tss->base1 << 16 | (u64)tss->base2 << 24 | (u64)tss->base3 << 32;
}

/* What of the host is this CPU's own and stays as it is. */
static void save_host(struct vmx_cpu *c)
{
	unsigned int i;

	native_store_gdt(&c->gdt);
	store_idt(&c->idt);
	c->tr_base = tss_base(&c->gdt);
	rdmsrl(MSR_GS_BASE, c->gs_base);
	rdmsrl(MSR_IA32_SYSENTER_ESP, c->sysenter_esp);
	for (i = 0; i < vmx_config.nr_switched; i++)
		rdmsrl(vmx_switched_msr(vmx_config.switched[i]),
		       c->host_msr[vmx_config.switched[i]]);
}

static bool operation_on(u64 pa)
{
	bool done = false;

	asm volatile("1: vmxon %[pa]\n\t"
		     "seta %[done]\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : [done] "+qm" (done) : [pa] "m" (pa) : "cc", "memory");
	return done;
}

static void operation_off(void)
{
	asm volatile("1: vmxoff\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : : : "cc", "memory");
}

static int vmx_cpu_enable(void)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);

	if (__read_cr4() & X86_CR4_VMXE)
		return -EBUSY;
	/* Before the first VMXON: not every CPU traces in VMX operation. */
	intel_pt_handle_vmx(1);
	cr4_set_bits_irqsoff(X86_CR4_VMXE);
	if (!operation_on(page_to_phys(c->vmxon))) {
		cr4_clear_bits_irqsoff(X86_CR4_VMXE);
		intel_pt_handle_vmx(0);
		return -EIO;
	}
	save_host(c);
	/* What an earlier VMX operation left in the TLB. */
	vmx_flush_cpu();
	c->next_vpid = 1;
	c->vpid_generation++;
	c->on = true;
	return 0;
}

static void vmx_cpu_disable(void)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);

	if (!c->on)
		return;
	c->on = false;
	vmx_vmcs_clear_all(c);
	operation_off();
	cr4_clear_bits_irqsoff(X86_CR4_VMXE);
	intel_pt_handle_vmx(0);
}

static int vmx_vm_init(struct vmm_vm *vm)
{
	return 0;
}

static void vmx_vm_destroy(struct vmm_vm *vm)
{
}

const struct vmm_ops vmx_ops = {
	.name = "VT-x",
	.backend = VMM_BACKEND_VT_X,
	.hypercall = INSN_VMCALL,
	.vm_size = sizeof(struct vmx_vm),
	.vcpu_size = sizeof(struct vmx_vcpu),
	.probe = vmx_probe,
	.setup = vmx_setup,
	.teardown = vmx_teardown,
	.cpu_enable = vmx_cpu_enable,
	.cpu_disable = vmx_cpu_disable,
	.vm_init = vmx_vm_init,
	.vm_destroy = vmx_vm_destroy,
	.vcpu_create = vmx_vcpu_create,
	.vcpu_destroy = vmx_vcpu_destroy,
	.vcpu_reset = vmx_vcpu_reset,
	.vcpu_load = vmx_vcpu_load,
	.vcpu_put = vmx_vcpu_put,
	.state_pull = vmx_state_pull,
	.state_push = vmx_state_push,
	.get_msr = vmx_get_msr,
	.set_msr = vmx_set_msr,
	.set_intercepts = vmx_set_intercepts,
	.enter = vmx_enter,
	.exit_at = vmx_exit_at,
	.exit_irqoff = vmx_exit_irqoff,
	.decode_exit = vmx_decode_exit,
	.advance_rip = vmx_advance_rip,
	.event_ready = vmx_event_ready,
	.event_inject = vmx_event_inject,
	.event_window = vmx_event_window,
	.event_interrupted = vmx_event_interrupted,
	.load_root = vmx_load_root,
	.flush_tlb = vmx_flush_tlb,
	.dump = vmx_dump,
};
