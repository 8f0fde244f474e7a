// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The audit of a guest's state that VT-x refused (kmod/vmx/audit.c): good states
 * of three modes pass, and for each check of the manual's "Checks on the Guest
 * State Area" a state that fails this one is told by its name.
 */
/* unit-flags: -Ishim -I../kmod -Wno-unused-parameter -Wno-sign-compare */
#include <stdlib.h>

#include <asm/debugreg.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/vmx.h>
#include <linux/bits.h>
#include <linux/kernel.h>
#include <linux/vmm.h>

#include "tap.h"

/* ---- in place of vmx.h ---- */

#define VMM_VMX_H
#define MSR_IA32_VMX_CR0_FIXED1	0x487
#define MSR_IA32_VMX_CR4_FIXED1	0x489
#define DEBUGCTLMSR_BTF		(1UL << 1)
#define rdmsrl(msr, value)	((value) = (msr) == MSR_IA32_VMX_CR0_FIXED1 ? 0xffffffff : 0xbfffff)

struct vmx_config {
	u64 cr0_fixed, cr4_fixed;
	bool unrestricted, virtual_nmi, efer, ept;
};

unsigned int vmx_audit(const struct vmx_config *config);
const char *vmx_audit_claim(unsigned int number);

static struct vmx_config vmx_config = { .efer = true, .ept = true };

#define FIELDS	0x8000
static u64 vmcs[FIELDS];

static unsigned long vmcs_read(unsigned long field)
{
	return vmcs[field];
}

#include "../kmod/vmx/audit.c"

/* ---- states ---- */

#define SEL(sreg)	(GUEST_ES_SELECTOR + 2 * (sreg))
#define BASE(sreg)	(GUEST_ES_BASE + 2 * (sreg))
#define LIMIT(sreg)	(GUEST_ES_LIMIT + 2 * (sreg))
#define AR(sreg)	(GUEST_ES_AR_BYTES + 2 * (sreg))
#define INTERRUPT	(INTR_INFO_VALID_MASK | INTR_TYPE_EXT_INTR | 0x20)
#define NMI		(INTR_INFO_VALID_MASK | INTR_TYPE_NMI_INTR | 2)
#define UNUSABLE	VMX_AR_UNUSABLE_MASK

static void segment(enum vmm_sreg sreg, u16 sel, u32 ar, u32 lim, u64 at)
{
	vmcs[SEL(sreg)] = sel;
	vmcs[AR(sreg)] = ar;
	vmcs[LIMIT(sreg)] = lim;
	vmcs[BASE(sreg)] = at;
}

static void common(void)
{
	enum vmm_sreg i;

	memset(vmcs, 0, sizeof(vmcs));
	vmcs[GUEST_CR0] = X86_CR0_PE | X86_CR0_NE | X86_CR0_PG;
	vmcs[GUEST_CR4] = X86_CR4_VMXE | X86_CR4_PAE;
	vmcs[GUEST_DR7] = 0x400;
	vmcs[GUEST_RFLAGS] = X86_EFLAGS_FIXED | X86_EFLAGS_IF;
	vmcs[VMCS_LINK_POINTER] = ~0UL;
	for (i = VMM_ES; i <= VMM_GS; i++)
		segment(i, 0x10, 0xc093, 0xffffffff, 0);
	segment(VMM_CS, 8, 0xc09b, 0xffffffff, 0);
	segment(VMM_LDTR, 0, UNUSABLE, 0, 0);
	segment(VMM_TR, 0x48, 0x8b, 0x67, 0x1000);
}

static void long_mode(void)
{
	common();
	vmcs[GUEST_IA32_EFER] = EFER_LME | EFER_LMA | EFER_NX;
	vmcs[VM_ENTRY_CONTROLS] = VM_ENTRY_IA32E_MODE;
	vmcs[AR(VMM_CS)] = 0xa09b;
	vmcs[GUEST_RIP] = 0xffffffff81000000;
}

static void legacy_pae(void)
{
	common();
	vmcs[GUEST_PDPTR0] = 0x2001;
}

static void virtual_8086(void)
{
	enum vmm_sreg i;

	common();
	vmcs[GUEST_RFLAGS] |= X86_EFLAGS_VM;
	for (i = VMM_ES; i <= VMM_GS; i++)
		segment(i, 0x1234, 0xf3, 0xffff, 0x12340);
}

/* ---- what is wrong with them ---- */

struct edit {
	unsigned int field;
	u64 value;
};

static const struct {
	const char *claim;
	void (*state)(void);
	struct edit edits[3];
	bool unrestricted;
} cases[] = {
	{ "CR0 has the fixed bits and none that is not supported", long_mode,
	  { { GUEST_CR0, X86_CR0_PE | X86_CR0_PG } } },
	{ "CR0 has the fixed bits and none that is not supported", long_mode,
	  { { GUEST_CR0, X86_CR0_PE | X86_CR0_NE | X86_CR0_PG | 1UL << 32 } } },
	{ "CR0.PG comes with PE", long_mode, { { GUEST_CR0, X86_CR0_NE | X86_CR0_PG } }, true },
	{ "CR4 has the fixed bits and none that is not supported", long_mode,
	  { { GUEST_CR4, X86_CR4_PAE } } },
	{ "CR4 has the fixed bits and none that is not supported", long_mode,
	  { { GUEST_CR4, X86_CR4_VMXE | X86_CR4_PAE | 1UL << 40 } } },
	{ "CR4.CET comes with CR0.WP", long_mode,
	  { { GUEST_CR4, X86_CR4_VMXE | X86_CR4_PAE | 1UL << 23 } } },
	{ "reserved bits of IA32_DEBUGCTL are 0", long_mode, { { GUEST_IA32_DEBUGCTL, 4 } } },
	{ "IA-32e mode has CR0.PG and CR4.PAE", long_mode, { { GUEST_CR4, X86_CR4_VMXE } } },
	{ "CR4.PCIDE is in IA-32e mode only", legacy_pae,
	  { { GUEST_CR4, X86_CR4_VMXE | X86_CR4_PAE | X86_CR4_PCIDE } } },
	{ "CR3 is a physical address", long_mode, { { GUEST_CR3, 1UL << 40 } } },
	{ "DR7 has 32 bits", long_mode, { { GUEST_DR7, 1UL << 32 } } },
	{ "IA32_SYSENTER_ESP and _EIP are canonical", long_mode,
	  { { GUEST_SYSENTER_ESP, 1UL << 47 } } },
	{ "IA32_SYSENTER_ESP and _EIP are canonical", long_mode,
	  { { GUEST_SYSENTER_EIP, 1UL << 47 } } },
	{ "reserved bits of EFER are 0", long_mode,
	  { { GUEST_IA32_EFER, EFER_LME | EFER_LMA | 1UL << 12 } } },
	{ "EFER.LMA follows from LME and CR0.PG", long_mode, { { GUEST_IA32_EFER, EFER_LME } } },
	{ "EFER.LMA follows from LME and CR0.PG", legacy_pae, { { GUEST_IA32_EFER, EFER_LME } } },
	{ "TR and LDTR are in the GDT", long_mode, { { SEL(VMM_TR), 0x4c } } },
	{ "TR and LDTR are in the GDT", long_mode,
	  { { SEL(VMM_LDTR), 4 }, { AR(VMM_LDTR), 0x82 } } },
	{ "SS.RPL is CS.RPL", long_mode, { { SEL(VMM_SS), 0x13 } } },
	{ "segments of virtual-8086 mode", virtual_8086, { { BASE(VMM_DS), 0x12350 } } },
	{ "segments of virtual-8086 mode", virtual_8086, { { LIMIT(VMM_FS), 0xfffff } } },
	{ "segments of virtual-8086 mode", virtual_8086, { { AR(VMM_SS), 0x93 } } },
	{ "bases of TR, FS, GS and LDTR are canonical", long_mode,
	  { { BASE(VMM_GS), 1UL << 47 } } },
	{ "bases of TR, FS, GS and LDTR are canonical", long_mode,
	  { { BASE(VMM_TR), 1UL << 63 } } },
	{ "bases of CS, SS, DS and ES have 32 bits", long_mode, { { BASE(VMM_CS), 1UL << 32 } } },
	{ "bases of CS, SS, DS and ES have 32 bits", long_mode, { { BASE(VMM_ES), 1UL << 32 } } },
	{ "CS is accessed code", long_mode, { { AR(VMM_CS), 0xa09a } } },
	{ "CS is accessed code", long_mode, { { AR(VMM_CS), 0xc093 } } },
	{ "SS is accessed, writable data", long_mode, { { AR(VMM_SS), 0xc091 } } },
	{ "DS, ES, FS and GS are accessed and readable", long_mode, { { AR(VMM_DS), 0xc092 } } },
	{ "DS, ES, FS and GS are accessed and readable", long_mode, { { AR(VMM_GS), 0xc099 } } },
	{ "CS.DPL suits SS.DPL", long_mode, { { AR(VMM_CS), 0xa0fb } } },
	{ "CS.DPL suits SS.DPL", long_mode, { { AR(VMM_CS), 0xc0f3 } }, true },
	{ "SS.DPL is SS.RPL, or 0", long_mode,
	  { { AR(VMM_SS), 0xc0f3 }, { AR(VMM_CS), 0xa0fb } } },
	{ "DPL of DS, ES, FS and GS is RPL or more", long_mode, { { SEL(VMM_FS), 0x13 } } },
	{ "code and data segments are present and not system segments", long_mode,
	  { { AR(VMM_ES), 0xc013 } } },
	{ "code and data segments are present and not system segments", long_mode,
	  { { AR(VMM_CS), 0xa08b } } },
	{ "reserved access rights are 0", long_mode, { { AR(VMM_CS), 0xa19b } } },
	{ "reserved access rights are 0", long_mode, { { AR(VMM_CS), 0x2a09b } } },
	{ "CS has not both L and D", long_mode, { { AR(VMM_CS), 0xe09b } } },
	{ "limits agree with G", long_mode, { { LIMIT(VMM_DS), 0xfffff000 } } },
	{ "limits agree with G", long_mode, { { LIMIT(VMM_TR), 0x100000 } } },
	{ "TR is a busy TSS", long_mode, { { AR(VMM_TR), 0x89 } } },
	{ "TR is a busy TSS", long_mode, { { AR(VMM_TR), 0x83 } } },
	{ "TR is a busy TSS", long_mode, { { AR(VMM_TR), UNUSABLE | 0x8b } } },
	{ "LDTR is an LDT", long_mode, { { AR(VMM_LDTR), 0x83 } } },
	{ "GDTR and IDTR are canonical, their limits 16 bits", long_mode,
	  { { GUEST_GDTR_BASE, 1UL << 47 } } },
	{ "GDTR and IDTR are canonical, their limits 16 bits", long_mode,
	  { { GUEST_IDTR_LIMIT, 0x10000 } } },
	{ "RIP suits the mode", long_mode, { { GUEST_RIP, 1UL << 47 } } },
	{ "RIP suits the mode", legacy_pae, { { GUEST_RIP, 1UL << 32 } } },
	{ "reserved bits of RFLAGS are as they have to be", long_mode, { { GUEST_RFLAGS, 0 } } },
	{ "reserved bits of RFLAGS are as they have to be", long_mode,
	  { { GUEST_RFLAGS, X86_EFLAGS_FIXED | 1UL << 15 } } },
	{ "RFLAGS.VM is in legacy protected mode only", virtual_8086,
	  { { VM_ENTRY_CONTROLS, VM_ENTRY_IA32E_MODE },
	    { GUEST_IA32_EFER, EFER_LME | EFER_LMA } } },
	{ "an external interrupt comes with IF and without shadow", long_mode,
	  { { VM_ENTRY_INTR_INFO_FIELD, INTERRUPT }, { GUEST_RFLAGS, X86_EFLAGS_FIXED } } },
	{ "an external interrupt comes with IF and without shadow", long_mode,
	  { { VM_ENTRY_INTR_INFO_FIELD, INTERRUPT },
	    { GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_STI } } },
	{ "the activity state is active", long_mode, { { GUEST_ACTIVITY_STATE, 3 } } },
	{ "reserved bits of the interruptibility state are 0", long_mode,
	  { { GUEST_INTERRUPTIBILITY_INFO, 0x20 } } },
	{ "reserved bits of the interruptibility state are 0", long_mode,
	  { { GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_SMI } } },
	{ "one shadow at most, and STI's with IF", long_mode,
	  { { GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS } } },
	{ "one shadow at most, and STI's with IF", long_mode,
	  { { GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_STI },
	    { GUEST_RFLAGS, X86_EFLAGS_FIXED } } },
	{ "an NMI comes without shadow and not while one is in service", long_mode,
	  { { VM_ENTRY_INTR_INFO_FIELD, NMI },
	    { GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_MOV_SS } } },
	{ "an NMI comes without shadow and not while one is in service", long_mode,
	  { { VM_ENTRY_INTR_INFO_FIELD, NMI },
	    { GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_NMI } } },
	{ "reserved bits of the pending debug exceptions are 0", long_mode,
	  { { GUEST_PENDING_DBG_EXCEPTIONS, 1UL << 13 } } },
	{ "in a shadow a step is pending if TF is set, and only then", long_mode,
	  { { GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_MOV_SS },
	    { GUEST_RFLAGS, X86_EFLAGS_FIXED | X86_EFLAGS_TF } } },
	{ "in a shadow a step is pending if TF is set, and only then", long_mode,
	  { { GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_MOV_SS },
	    { GUEST_PENDING_DBG_EXCEPTIONS, DR_STEP } } },
	{ "there is no VMCS link pointer", long_mode, { { VMCS_LINK_POINTER, 0 } } },
	{ "reserved bits of PDPTEs are 0", legacy_pae, { { GUEST_PDPTR0 + 6, 0x2003 } } },
	{ "reserved bits of PDPTEs are 0", legacy_pae, { { GUEST_PDPTR0, 1UL << 40 | 1 } } },
};

static void configure(bool unrestricted)
{
	vmx_config.unrestricted = unrestricted;
	vmx_config.virtual_nmi = true;
	vmx_config.cr0_fixed = X86_CR0_NE | (unrestricted ? 0 : X86_CR0_PE | X86_CR0_PG);
	vmx_config.cr4_fixed = X86_CR4_VMXE;
}

static void good(const char *name, void (*state)(void))
{
	configure(false);
	state();
	is_str(vmx_audit_claim(vmx_audit(&vmx_config)), "none that is known",
	       "a good state passes: %s", name);
}

static void bad(unsigned int n)
{
	unsigned int i;

	configure(cases[n].unrestricted);
	cases[n].state();
	for (i = 0; i < ARRAY_SIZE(cases[n].edits) && cases[n].edits[i].field; i++)
		vmcs[cases[n].edits[i].field] = cases[n].edits[i].value;
	is_str(vmx_audit_claim(vmx_audit(&vmx_config)), cases[n].claim, "case %u is told: %s", n,
	       cases[n].claim);
}

/* A check without a case is one that nothing tests. */
static void every_check_has_a_case(void)
{
	bool told[ARRAY_SIZE(checks) + 1] = { false };
	unsigned int i, n, untold = 0;

	for (n = 0; n < ARRAY_SIZE(cases); n++)
		for (i = 0; i < ARRAY_SIZE(checks); i++)
			if (!strcmp(checks[i].claim, cases[n].claim))
				told[i] = true;
	for (i = 0; i < ARRAY_SIZE(checks); i++)
		if (!told[i]) {
			tap_note("no case for: %s", checks[i].claim);
			untold++;
		}
	ok(untold == 0, "every check has a case");
}

int main(void)
{
	unsigned int n;

	good("long mode", long_mode);
	good("PAE paging", legacy_pae);
	good("virtual-8086 mode", virtual_8086);
	for (n = 0; n < ARRAY_SIZE(cases); n++)
		bad(n);
	every_check_has_a_case();
	return tap_end();
}
