// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMCS in the host's log, for a bug report. Once, because a guest may be able
 * to get here as often as it likes.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/printk.h>

#include "vmx.h"

static void dump_seg(const char *name, enum vmm_sreg sreg)
{
	pr_info("%-4s %04lx access rights %05lx limit %08lx base %016lx\n", name,
		vmcs_read(GUEST_ES_SELECTOR + 2 * sreg), vmcs_read(GUEST_ES_AR_BYTES + 2 * sreg),
		vmcs_read(GUEST_ES_LIMIT + 2 * sreg), vmcs_read(GUEST_ES_BASE + 2 * sreg));
}

static void dump_table(const char *name, enum vmcs_field base, enum vmcs_field limit)
{
	pr_info("%-4s limit %08lx base %016lx\n", name, vmcs_read(limit), vmcs_read(base));
}

/* Fields that not every CPU has */
static unsigned long optional(bool there, enum vmcs_field field)
{
	return there ? vmcs_read(field) : 0;
}

void vmx_dump(struct vmm_vcpu *vcpu)
{
	const struct vmx_vcpu *vmx = to_vmx(vcpu);
	static atomic_t dumped;

	if (atomic_xchg(&dumped, 1))
		return;
	pr_info("vCPU %u: exit %x qualification %lx instruction error %lu intr_info %lx:%lx idt_info %lx\n",
		vcpu->id, vmx->exit_reason, vmcs_read(EXIT_QUALIFICATION),
		vmcs_read(VM_INSTRUCTION_ERROR), vmcs_read(VM_EXIT_INTR_INFO),
		vmcs_read(VM_EXIT_INTR_ERROR_CODE), vmcs_read(IDT_VECTORING_INFO_FIELD));
	if (vmx->exit_reason >= VMX_NO_EXIT_REFUSED)
		pr_info("check on the guest's state that failed: %s\n",
			vmx_audit_claim(vmx->refused_by));
	pr_info("pin %lx primary %lx secondary %lx exit %lx entry %lx\n",
		vmcs_read(PIN_BASED_VM_EXEC_CONTROL), vmcs_read(CPU_BASED_VM_EXEC_CONTROL),
		optional(vmx->config->secondary, SECONDARY_VM_EXEC_CONTROL),
		vmcs_read(VM_EXIT_CONTROLS),
		vmcs_read(VM_ENTRY_CONTROLS));
	pr_info("exceptions %lx eptp %lx entry event %lx:%lx interruptibility %lx activity %lx pending debug %lx\n",
		vmcs_read(EXCEPTION_BITMAP), optional(vmx->config->ept, EPT_POINTER),
		vmcs_read(VM_ENTRY_INTR_INFO_FIELD), vmcs_read(VM_ENTRY_EXCEPTION_ERROR_CODE),
		vmcs_read(GUEST_INTERRUPTIBILITY_INFO), vmcs_read(GUEST_ACTIVITY_STATE),
		vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS));
	pr_info("rip %016lx rsp %016lx rflags %lx\n", vmcs_read(GUEST_RIP),
		vmcs_read(GUEST_RSP), vmcs_read(GUEST_RFLAGS));
	pr_info("cr0 %lx (mask %lx shadow %lx) cr3 %lx cr4 %lx (mask %lx shadow %lx) efer %lx dr7 %lx\n",
		vmcs_read(GUEST_CR0), vmcs_read(CR0_GUEST_HOST_MASK), vmcs_read(CR0_READ_SHADOW),
		vmcs_read(GUEST_CR3), vmcs_read(GUEST_CR4), vmcs_read(CR4_GUEST_HOST_MASK),
		vmcs_read(CR4_READ_SHADOW), optional(vmx_config.efer, GUEST_IA32_EFER),
		vmcs_read(GUEST_DR7));
	dump_seg("es", VMM_ES);
	dump_seg("cs", VMM_CS);
	dump_seg("ss", VMM_SS);
	dump_seg("ds", VMM_DS);
	dump_seg("fs", VMM_FS);
	dump_seg("gs", VMM_GS);
	dump_seg("ldtr", VMM_LDTR);
	dump_seg("tr", VMM_TR);
	dump_table("gdtr", GUEST_GDTR_BASE, GUEST_GDTR_LIMIT);
	dump_table("idtr", GUEST_IDTR_BASE, GUEST_IDTR_LIMIT);
	pr_info("host cr0 %lx cr3 %lx cr4 %lx rsp %lx efer %lx fs %lx gs %lx tr %lx gdtr %lx idtr %lx\n",
		vmcs_read(HOST_CR0), vmcs_read(HOST_CR3), vmcs_read(HOST_CR4),
		vmcs_read(HOST_RSP), optional(vmx_config.efer, HOST_IA32_EFER),
		vmcs_read(HOST_FS_BASE),
		vmcs_read(HOST_GS_BASE), vmcs_read(HOST_TR_BASE), vmcs_read(HOST_GDTR_BASE),
		vmcs_read(HOST_IDTR_BASE));
}
