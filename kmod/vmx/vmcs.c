// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMCS of a vCPU: memory, controls, VPID, nested root; on which CPU it is;
 * and the MSR bitmaps that all VMs share. What safety needs exits from the start
 * and stays so: see caps.c for the controls.
 *
 * Invariant: active_cpu is the one CPU that may hold parts of the VMCS in its
 * caches; it is in that CPU's list then. Only that CPU changes either, with IRQs
 * off, so another one asks it by IPI.
 */
#include <linux/gfp.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <asm/apicdef.h>
#include <asm/io.h>
#include <asm/trapnr.h>

#include "vmx.h"

/*
 * Exceptions that always exit: delivery of two can loop for ever, one is the machine's,
 * and AMD's hypercall instruction is #UD.
 */
#define EXCEPTIONS	(BIT(X86_TRAP_DB) | BIT(X86_TRAP_UD) | BIT(X86_TRAP_AC) | BIT(X86_TRAP_MC))

/* "MSR-Bitmap Address": four parts of one page */
#define BITMAP_READ_LOW		0
#define BITMAP_READ_HIGH	1024
#define BITMAP_WRITE_LOW	2048
#define BITMAP_WRITE_HIGH	3072
#define BITMAP_MSRS		0x2000	/* in one part */
#define MSR_HIGH_FIRST		0xc0000000
#define X2APIC_MSR(offset)	(APIC_BASE_MSR + ((offset) >> 4))

/* VPID 0 is the host's. */
#define VPID_MAX		(VMX_NR_VPIDS - 1)

/*
 * "Pause-loop exiting", in ticks of the TSC: PAUSEs that follow each other within
 * the gap are one loop; longer than a lock is held for, it waits for a vCPU that
 * does not run.
 */
#define SPIN_GAP		128
#define SPIN_WINDOW		8192

static struct page *msr_map, *msr_map_apic;

/* The VMCS or the CPU itself keeps these as the guest leaves them. */
static bool kept_by_cpu(u32 index)
{
	switch (index) {
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE:
	case MSR_IA32_SYSENTER_CS:
	case MSR_IA32_SYSENTER_ESP:
	case MSR_IA32_SYSENTER_EIP:
		return true;
	default:
		return false;
	}
}

static void allow(u8 *map, unsigned int low, unsigned int high, u32 index)
{
	unsigned int part = index < MSR_HIGH_FIRST ? low : high;
	unsigned int bit = index < MSR_HIGH_FIRST ? index : index - MSR_HIGH_FIRST;

	if (bit < BITMAP_MSRS)
		map[part + bit / 8] &= ~(1 << bit % 8);
}

/* "Virtualizing MSR-Based APIC Accesses"; TMCCT and what is no register must exit. */
static void allow_apic(u8 *map)
{
	static const u16 constant[] = { APIC_ID, APIC_LVR, APIC_LDR, APIC_TASKPRI, APIC_PROCPRI };
	static const u16 written[] = { APIC_TASKPRI, APIC_EOI, APIC_SELF_IPI };
	int i;

	for (i = 0; i < ARRAY_SIZE(constant); i++)
		allow(map, BITMAP_READ_LOW, BITMAP_READ_HIGH, X2APIC_MSR(constant[i]));
	/* ISR, TMR and IRR */
	for (i = APIC_ISR; i < APIC_ESR; i += 16)
		allow(map, BITMAP_READ_LOW, BITMAP_READ_HIGH, X2APIC_MSR(i));
	for (i = 0; i < ARRAY_SIZE(written); i++)
		allow(map, BITMAP_WRITE_LOW, BITMAP_WRITE_HIGH, X2APIC_MSR(written[i]));
}

int vmx_bitmaps_create(void)
{
	unsigned int n;
	u32 index;
	u8 *map;

	msr_map = alloc_page(GFP_KERNEL);
	msr_map_apic = alloc_page(GFP_KERNEL);
	if (!msr_map || !msr_map_apic) {
		vmx_bitmaps_destroy();
		return -ENOMEM;
	}
	map = page_address(msr_map);
	memset(map, 0xff, PAGE_SIZE);
	for (n = 0; vmm_msr_direct(n, &index); n++) {
		/* Written once at boot: cheaper than reading them back at each put. */
		if (!kept_by_cpu(index))
			continue;
		allow(map, BITMAP_READ_LOW, BITMAP_READ_HIGH, index);
		allow(map, BITMAP_WRITE_LOW, BITMAP_WRITE_HIGH, index);
	}
	memcpy(page_address(msr_map_apic), map, PAGE_SIZE);
	allow_apic(page_address(msr_map_apic));
	return 0;
}

void vmx_bitmaps_destroy(void)
{
	if (msr_map)
		__free_page(msr_map);
	if (msr_map_apic)
		__free_page(msr_map_apic);
	msr_map = NULL;
	msr_map_apic = NULL;
}

u64 vmx_bitmap(bool apic)
{
	return page_to_phys(apic ? msr_map_apic : msr_map);
}

int vmx_vcpu_create(struct vmm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	BUILD_BUG_ON(offsetof(struct vmx_vcpu, vcpu));
	BUILD_BUG_ON(offsetof(struct vmx_vm, vm));
	vmx->config = vmm_vm_nested(vcpu->vm) ? &vmx_config : &vmx_shadow_config;
	vmx->vmcs = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!vmx->vmcs)
		return -ENOMEM;
	*(u32 *)page_address(vmx->vmcs) = vmx_config.revision;
	vmx->vmcs_pa = page_to_phys(vmx->vmcs);
	vmx->active_cpu = -1;
	INIT_LIST_HEAD(&vmx->active);
	/* vcpu_load comes before the first CTRL that is pushed. */
	rdmsrl(MSR_EFER, vmx->msr[VMX_EFER]);
	if (vmx_flat_create(vmx))
		goto free_vmcs;
	if (vmx_pml_create(vmx))
		goto destroy_flat;
	return 0;

destroy_flat:
	vmx_flat_destroy(vmx);
free_vmcs:
	__free_page(vmx->vmcs);
	return -ENOMEM;
}

void vmx_vcpu_destroy(struct vmm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx_vmcs_unload(vmx);
	vmx_pml_destroy(vmx);
	vmx_flat_destroy(vmx);
	__free_page(vmx->vmcs);
}

/* With shadow paging also those of tables that the guest's own are not used for. */
static u32 exceptions(const struct vmm_vcpu *vcpu)
{
	return vmm_vcpu_nested(vcpu) ? EXCEPTIONS : EXCEPTIONS | BIT(X86_TRAP_PF);
}

/* Fields that never change, "VM-Execution Control Fields" and the host-state area */
static void write_constants(struct vmx_vcpu *vmx)
{
	const struct vmx_config *config = vmx->config;

	vmcs_write(PIN_BASED_VM_EXEC_CONTROL, config->pin);
	if (config->primary & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
		vmcs_write(SECONDARY_VM_EXEC_CONTROL, vmx_secondary(vmx));
	if (vmx->vcpu.vm->tsc_ratio)
		vmcs_write(TSC_MULTIPLIER, vmx->vcpu.vm->tsc_ratio);
	vmcs_write(VM_EXIT_CONTROLS, config->exit);
	vmcs_write(EXCEPTION_BITMAP, exceptions(&vmx->vcpu));
	/* Of page faults all error codes match. */
	vmcs_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
	vmcs_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	vmcs_write(CR3_TARGET_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, 0);
	if (config->primary & CPU_BASED_USE_MSR_BITMAPS)
		vmcs_write(MSR_BITMAP, vmx_bitmap(false));
	vmcs_write(VMCS_LINK_POINTER, ~0ULL);
	/* Exits leave it as it is: each entry starts from there. See vmx_exit_at(). */
	vmx->vmcs_timer = config->turn;
	if (config->turn)
		vmcs_write(VMX_PREEMPTION_TIMER_VALUE, config->turn);
	if (config->secondary & SECONDARY_EXEC_ENCLS_EXITING)
		vmcs_write(ENCLS_EXITING_BITMAP, ~0ULL);
	/* IA32_XSS is 0 while a guest runs (../fpu.c): there is nothing to exit for. */
	if (config->secondary & CONTROL_XSAVES)
		vmcs_write(XSS_EXIT_BITMAP, 0);
	if (config->secondary & SECONDARY_EXEC_PAUSE_LOOP_EXITING) {
		vmcs_write(PLE_GAP, SPIN_GAP);
		vmcs_write(PLE_WINDOW, SPIN_WINDOW);
	}

	vmcs_write(HOST_CR0, read_cr0());
	vmcs_write(HOST_CS_SELECTOR, __KERNEL_CS);
	vmcs_write(HOST_SS_SELECTOR, __KERNEL_DS);
	/* The process's own are put back by vcpu_put. */
	vmcs_write(HOST_DS_SELECTOR, 0);
	vmcs_write(HOST_ES_SELECTOR, 0);
	vmcs_write(HOST_FS_SELECTOR, 0);
	vmcs_write(HOST_GS_SELECTOR, 0);
	vmcs_write(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	vmcs_write(HOST_RIP, (unsigned long)vmx_world_exit);
}

static void write_host_msrs(void)
{
	u64 value;

	if (vmx_config.efer) {
		rdmsrl(MSR_EFER, value);
		vmcs_write(HOST_IA32_EFER, value);
	}
	rdmsrl(MSR_IA32_SYSENTER_CS, value);
	vmcs_write(HOST_IA32_SYSENTER_CS, value);
	rdmsrl(MSR_IA32_SYSENTER_EIP, value);
	vmcs_write(HOST_IA32_SYSENTER_EIP, value);
}

void vmx_vcpu_reset(struct vmm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	write_constants(vmx);
	vmx_pml_reset(vmx);
	write_host_msrs();
	/* What else run.c writes only when it changes. */
	vmcs_write(HOST_FS_BASE, vmx->host.fs_base);
	vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	vmcs_write(GUEST_INTERRUPTIBILITY_INFO, 0);
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	vmcs_write(GUEST_IA32_DEBUGCTL, 0);
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	vmx_flat_set(vmx, false);
	vmx_reset_apic(vmx);
	vmx->controls = vmx->config->primary;
	vmx->vmcs_controls = vmx->config->primary;
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, vmx->vmcs_controls);
	vmx->entry_controls = vmx_config.entry;
	vmcs_write(VM_ENTRY_CONTROLS, vmx->entry_controls);
	vmx->vmcs_rsp = 0;
	vmcs_write(GUEST_RSP, 0);
	vmx->vmcs_rflags = X86_EFLAGS_FIXED;
	vmcs_write(GUEST_RFLAGS, X86_EFLAGS_FIXED);
	vmx->vpid_generation = 0;
	vmx->injected.type = VMM_EVENT_NONE;
}

/* Which bits of CR0 and CR4 exit, and whether CR3 does, comes with the CTRL section: state.c */
void vmx_set_intercepts(struct vmm_vcpu *vcpu)
{
	vmcs_write(EXCEPTION_BITMAP, exceptions(vcpu) | vmm_debug_exceptions(vcpu));
	vmm_dirty(vcpu, VMM_STATE_CTRL);
}

void vmx_load_root(struct vmm_vcpu *vcpu, hpa_t root)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmm_vcpu_nested(vcpu)) {
		vmx->root = root;
		vmx_write_eptp(vmx);
	} else {
		vmcs_write(GUEST_CR3, root);
	}
}

/* The nested table in force: the VM's, or the vCPU's own on top of it. */
void vmx_write_eptp(struct vmx_vcpu *vmx)
{
	const unsigned int top = vmm_caps.levels - VMX_FLAT_LEVEL;
	const hpa_t root = vmx->flat ? __pa(vmx->flat_table[top]) : vmx->root;

	vmx->eptp = root | VMX_EPTP_MT_WB |
		    (vmm_caps.levels == 5 ? VMX_EPTP_PWL_5 : VMX_EPTP_PWL_4) |
		    (vmx_config.ept_ad ? VMX_EPTP_AD_ENABLE_BIT : 0);
	vmcs_write(EPT_POINTER, vmx->eptp);
}

/* Operands of INVEPT and INVVPID, "Instruction Descriptions" of each */
struct invept {
	u64 eptp;
	u64 reserved;
};

struct invvpid {
	u64 vpid;
	u64 gva;
};

/* INVEPT. False: the CPU refused the operand. */
static bool flush_mappings(unsigned long extent, u64 eptp)
{
	const struct invept operand = { .eptp = eptp };
	bool done;

	asm volatile("1: invept %[operand], %[extent]\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : "=@cca" (done) : [operand] "m" (operand), [extent] "r" (extent) : "memory");
	return done;
}

/* INVVPID, likewise */
static bool flush_linear(unsigned long extent, u16 vpid, gva_t gva)
{
	const struct invvpid operand = { .vpid = vpid, .gva = gva };
	bool done;

	asm volatile("1: invvpid %[operand], %[extent]\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : "=@cca" (done) : [operand] "m" (operand), [extent] "r" (extent) : "memory");
	return done;
}

/*
 * Guest-physical mappings and, as all of a guest's translations go through the
 * nested table, its linear ones with them.
 */
static void flush_root(u64 eptp)
{
	if (vmx_config.invept_context && flush_mappings(VMX_EPT_EXTENT_CONTEXT, eptp))
		return;
	vmx_flush_cpu();
}

void vmx_flush_tlb(struct vmm_vcpu *vcpu, enum vmm_flush scope, gva_t gva)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (scope == VMM_FLUSH_GVA && vmx->config->vpid && vmx->config->invvpid_address &&
	    flush_linear(VMX_VPID_EXTENT_INDIVIDUAL_ADDR, vmcs_read(VIRTUAL_PROCESSOR_ID), gva))
		return;
	/*
	 * A new VPID has no translations, and without VPIDs each entry forgets them all.
	 * Without a root the vCPU has not run, and vmm_mmu_load() flushes before it does.
	 */
	if (!vmm_vcpu_nested(vcpu))
		vmx->vpid_generation = 0;
	else if (vmx->eptp)
		flush_root(vmx->eptp);
}

/*
 * A number that no translation in this CPU's TLB carries. The nested table's own
 * carry none: what this CPU has of them may be from before a flush elsewhere.
 */
void vmx_assign_vpid(struct vmx_vcpu *vmx, struct vmx_cpu *cpu)
{
	if (cpu->next_vpid > VPID_MAX) {
		cpu->vpid_generation++;
		cpu->next_vpid = 1;
		vmx_flush_cpu();
	}
	vmx->vpid_generation = cpu->vpid_generation;
	if (vmx->config->vpid)
		vmcs_write(VIRTUAL_PROCESSOR_ID, cpu->next_vpid++);
	if (vmx->config->ept)
		flush_root(vmx->eptp);
}

/* Everything of every guest on this CPU. */
void vmx_flush_cpu(void)
{
	if (vmx_config.ept)
		flush_mappings(VMX_EPT_EXTENT_GLOBAL, 0);
	if (vmx_shadow_config.vpid)
		flush_linear(VMX_VPID_EXTENT_ALL_CONTEXT, 0, 0);
}

/* ---- which CPU has it ---- */

static void clear_vmcs(u64 pa)
{
	asm volatile("1: vmclear %[pa]\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : : [pa] "m" (pa) : "cc", "memory");
}

static void point_to_vmcs(u64 pa)
{
	asm volatile("1: vmptrld %[pa]\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : : [pa] "m" (pa) : "cc", "memory");
}

/* On the CPU that has it, IRQs off. */
static void release(struct vmx_vcpu *vmx)
{
	clear_vmcs(vmx->vmcs_pa);
	vmx->launched = false;
	if (__this_cpu_read(vmx_cpu.current_vmcs) == vmx)
		__this_cpu_write(vmx_cpu.current_vmcs, NULL);
	list_del_init(&vmx->active);
	/* Pairs with smp_load_acquire() in vmx_vmcs_unload(): it is all in memory now. */
	smp_store_release(&vmx->active_cpu, -1);
}

static void release_here(void *data)
{
	struct vmx_vcpu *vmx = data;

	/* This CPU may have been switched off and on in between. */
	if (vmx->active_cpu == smp_processor_id())
		release(vmx);
}

/* No CPU has it any more. Any context with IRQs on. */
void vmx_vmcs_unload(struct vmx_vcpu *vmx)
{
	/* Pairs with smp_store_release() in release(). */
	int cpu = smp_load_acquire(&vmx->active_cpu);

	if (cpu >= 0)
		smp_call_function_single(cpu, release_here, vmx, 1);
}

/* Host state that is the CPU's, not the thread's */
static void write_host_cpu(struct vmx_vcpu *vmx, const struct vmx_cpu *c)
{
	vmcs_write(HOST_GS_BASE, c->gs_base);
	vmcs_write(HOST_TR_BASE, c->tr_base);
	vmcs_write(HOST_GDTR_BASE, c->gdt.address);
	vmcs_write(HOST_IDTR_BASE, c->idt.address);
	vmcs_write(HOST_IA32_SYSENTER_ESP, c->sysenter_esp);
}

/* Make it current on @cpu, this one. Preemption off, IRQs on. */
void vmx_vmcs_load(struct vmx_vcpu *vmx, int cpu)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);
	bool moved = vmx->active_cpu != cpu;

	if (c->current_vmcs == vmx)
		return;
	if (moved)
		vmx_vmcs_unload(vmx);
	local_irq_disable();
	if (likely(c->on)) {
		if (moved) {
			clear_vmcs(vmx->vmcs_pa);
			list_add(&vmx->active, &c->active);
			vmx->active_cpu = cpu;
			vmx->vpid_generation = 0;
		}
		point_to_vmcs(vmx->vmcs_pa);
		c->current_vmcs = vmx;
		if (moved)
			write_host_cpu(vmx, c);
	}
	local_irq_enable();
}

/* The extension goes off on this CPU. IRQs off. */
void vmx_vmcs_clear_all(struct vmx_cpu *cpu)
{
	struct vmx_vcpu *vmx, *next;

	list_for_each_entry_safe(vmx, next, &cpu->active, active)
		release(vmx);
}

/* A bug of ours, or of the machine: which field, once. */
void vmx_write_failed(unsigned long field, unsigned long value)
{
	WARN_ONCE(__this_cpu_read(vmx_cpu.current_vmcs),
		  "vmwrite of %#lx to field %#lx failed: error %lu\n", value, field,
		  vmcs_read(VM_INSTRUCTION_ERROR));
}
