// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why did the CPU refuse the guest's state? It does not say, so after a failed
 * entry the checks of "Checking and Loading Guest State" are made again, on the
 * VMCS, and the first that fails is named. Only a diagnosis: what ../state.c lets
 * through and the CPU does not is the business of whoever set it.
 *
 * One table, in the manual's order; a row is a claim that holds in a good state.
 */
#include <asm/cpufeature.h>
#include <asm/processor-flags.h>
#include <uapi/asm/debugreg.h>

#include "vmx.h"

#define CR4_CET			BIT_ULL(23)
#define EFER_DEFINED		(EFER_SCE | EFER_LME | EFER_LMA | EFER_NX)
/* "Guest Register State", IA32_DEBUGCTL: 5:2 and the upper ones are reserved */
#define DEBUGCTL_RESERVED	(GENMASK_ULL(63, 16) | GENMASK_ULL(5, 2))
/* "Pending debug exceptions": B0 to B3, enabled breakpoint, BS, RTM */
#define PENDING_DEFINED		(DR_TRAP_BITS | BIT_ULL(12) | DR_STEP | BIT_ULL(16))
#define RFLAGS_RESERVED		(GENMASK_ULL(63, 22) | BIT_ULL(15) | BIT_ULL(5) | BIT_ULL(3))
/* "PDPTE with 4-KByte Pages", less the bits of an address */
#define PDPTE_RESERVED		(GENMASK_ULL(8, 5) | GENMASK_ULL(2, 1))
#define INTERRUPTIBILITY_DEFINED GENMASK(4, 0)
#define SHADOWS			(GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS)

/* What most checks depend on. */
struct guest {
	const struct vmx_config *config;
	u64 cr0;
	u64 cr4;
	u64 rflags;
	u64 rip;
	u64 efer;
	bool long_mode;		/* the "IA-32e mode guest" control */
	bool v8086;
	u32 interruptibility;
	u32 event;		/* VM-entry interruption information */
};

static u32 ar(enum vmm_sreg sreg)
{
	return vmcs_read(GUEST_ES_AR_BYTES + 2 * sreg);
}

static u16 selector(enum vmm_sreg sreg)
{
	return vmcs_read(GUEST_ES_SELECTOR + 2 * sreg);
}

static u64 base(enum vmm_sreg sreg)
{
	return vmcs_read(GUEST_ES_BASE + 2 * sreg);
}

static u32 limit(enum vmm_sreg sreg)
{
	return vmcs_read(GUEST_ES_LIMIT + 2 * sreg);
}

static bool usable(enum vmm_sreg sreg)
{
	return !(ar(sreg) & VMX_AR_UNUSABLE_MASK);
}

static u8 type(enum vmm_sreg sreg)
{
	return ar(sreg) & VMX_AR_TYPE_MASK;
}

static u8 dpl(enum vmm_sreg sreg)
{
	return VMX_AR_DPL(ar(sreg));
}

static u8 rpl(enum vmm_sreg sreg)
{
	return selector(sreg) & 3;
}

/* Of CS even what makes it unusable is checked. */
static bool checked(enum vmm_sreg sreg)
{
	return sreg == VMM_CS || usable(sreg);
}

/* To the linear-address width that the CPU supports, whatever CR4.LA57 says. */
static bool canonical(u64 address)
{
	unsigned int unused = 64 - boot_cpu_data.x86_virt_bits;

	return (u64)((s64)(address << unused) >> unused) == address;
}

/* ---- "Checks on Guest Control Registers, Debug Registers, and MSRs" ---- */

static bool cr0_fixed(const struct guest *g)
{
	u64 allowed;

	rdmsrl(MSR_IA32_VMX_CR0_FIXED1, allowed);
	return (g->cr0 & g->config->cr0_fixed) == g->config->cr0_fixed && !(g->cr0 & ~allowed);
}

static bool cr0_paging(const struct guest *g)
{
	return !(g->cr0 & X86_CR0_PG) || (g->cr0 & X86_CR0_PE);
}

static bool cr4_fixed(const struct guest *g)
{
	u64 allowed;

	rdmsrl(MSR_IA32_VMX_CR4_FIXED1, allowed);
	return (g->cr4 & vmx_config.cr4_fixed) == vmx_config.cr4_fixed && !(g->cr4 & ~allowed);
}

static bool cet_protected(const struct guest *g)
{
	return !(g->cr4 & CR4_CET) || (g->cr0 & X86_CR0_WP);
}

static bool debugctl_reserved(const struct guest *g)
{
	return !(vmcs_read(GUEST_IA32_DEBUGCTL) & DEBUGCTL_RESERVED);
}

static bool long_mode_paged(const struct guest *g)
{
	return !g->long_mode || ((g->cr0 & X86_CR0_PG) && (g->cr4 & X86_CR4_PAE));
}

static bool pcide_in_long_mode(const struct guest *g)
{
	return g->long_mode || !(g->cr4 & X86_CR4_PCIDE);
}

static bool cr3_width(const struct guest *g)
{
	return !(vmcs_read(GUEST_CR3) >> boot_cpu_data.x86_phys_bits);
}

static bool dr7_width(const struct guest *g)
{
	return !(vmcs_read(GUEST_DR7) >> 32);
}

static bool sysenter_canonical(const struct guest *g)
{
	return canonical(vmcs_read(GUEST_SYSENTER_ESP)) &&
	       canonical(vmcs_read(GUEST_SYSENTER_EIP));
}

static bool efer_reserved(const struct guest *g)
{
	return !(g->efer & ~(u64)EFER_DEFINED);
}

static bool efer_follows(const struct guest *g)
{
	bool lma = g->efer & EFER_LMA, lme = g->efer & EFER_LME;

	return lma == g->long_mode && (!(g->cr0 & X86_CR0_PG) || lma == lme);
}

/* ---- "Checks on Guest Segment Registers" ---- */

static bool tr_ti(const struct guest *g)
{
	return !(selector(VMM_TR) & 4) && (!usable(VMM_LDTR) || !(selector(VMM_LDTR) & 4));
}

static bool ss_rpl(const struct guest *g)
{
	return g->v8086 || g->config->unrestricted || rpl(VMM_SS) == rpl(VMM_CS);
}

static bool v8086_segments(const struct guest *g)
{
	enum vmm_sreg i;

	for (i = VMM_ES; g->v8086 && i <= VMM_GS; i++)
		if (base(i) != selector(i) << 4 || limit(i) != 0xffff || ar(i) != 0xf3)
			return false;
	return true;
}

static bool bases_canonical(const struct guest *g)
{
	return canonical(base(VMM_TR)) && canonical(base(VMM_FS)) &&
	       canonical(base(VMM_GS)) && (!usable(VMM_LDTR) || canonical(base(VMM_LDTR)));
}

static bool bases_narrow(const struct guest *g)
{
	return !(base(VMM_CS) >> 32) && (!usable(VMM_SS) || !(base(VMM_SS) >> 32)) &&
	       (!usable(VMM_DS) || !(base(VMM_DS) >> 32)) &&
	       (!usable(VMM_ES) || !(base(VMM_ES) >> 32));
}

static bool cs_type(const struct guest *g)
{
	u8 t = type(VMM_CS);

	return g->v8086 || (t & 9) == 9 || (g->config->unrestricted && t == 3);
}

static bool ss_type(const struct guest *g)
{
	return g->v8086 || !usable(VMM_SS) || type(VMM_SS) == 3 || type(VMM_SS) == 7;
}

static bool data_types(const struct guest *g)
{
	static const u8 data[] = { VMM_DS, VMM_ES, VMM_FS, VMM_GS };
	int i;

	for (i = 0; !g->v8086 && i < ARRAY_SIZE(data); i++) {
		u8 t = type(data[i]);

		/* accessed; readable, if it is code */
		if (usable(data[i]) && (!(t & 1) || ((t & 8) && !(t & 2))))
			return false;
	}
	return true;
}

static bool cs_dpl(const struct guest *g)
{
	u8 t = type(VMM_CS);

	if (g->v8086)
		return true;
	if (t == 3)
		return dpl(VMM_CS) == 0;
	return t == 9 || t == 11 ? dpl(VMM_CS) == dpl(VMM_SS) : dpl(VMM_CS) <= dpl(VMM_SS);
}

static bool ss_dpl(const struct guest *g)
{
	if (g->v8086)
		return true;
	if (!(g->cr0 & X86_CR0_PE) || type(VMM_CS) == 3)
		return dpl(VMM_SS) == 0;
	return g->config->unrestricted || dpl(VMM_SS) == rpl(VMM_SS);
}

static bool data_dpl(const struct guest *g)
{
	static const u8 data[] = { VMM_DS, VMM_ES, VMM_FS, VMM_GS };
	int i;

	for (i = 0; !g->v8086 && !g->config->unrestricted && i < ARRAY_SIZE(data); i++)
		/* Conforming code runs at any privilege. */
		if (usable(data[i]) && type(data[i]) < 12 && dpl(data[i]) < rpl(data[i]))
			return false;
	return true;
}

static bool data_present(const struct guest *g)
{
	enum vmm_sreg i;

	for (i = VMM_ES; !g->v8086 && i <= VMM_GS; i++)
		if (checked(i) &&
		    (ar(i) & (VMX_AR_P_MASK | VMX_AR_S_MASK)) != (VMX_AR_P_MASK | VMX_AR_S_MASK))
			return false;
	return true;
}

static bool ar_reserved(const struct guest *g)
{
	enum vmm_sreg i;

	for (i = VMM_ES; i <= VMM_TR; i++)
		if (checked(i) && (ar(i) & VMX_AR_RESERVD_MASK))
			return false;
	return true;
}

static bool cs_sizes(const struct guest *g)
{
	return !g->long_mode || !(ar(VMM_CS) & VMX_AR_L_MASK) || !(ar(VMM_CS) & VMX_AR_DB_MASK);
}

static bool granularity(const struct guest *g)
{
	enum vmm_sreg i;

	for (i = VMM_ES; !g->v8086 && i <= VMM_TR; i++) {
		bool pages = ar(i) & VMX_AR_G_MASK;

		if (checked(i) && (pages ? (limit(i) & 0xfff) != 0xfff : limit(i) >> 20))
			return false;
	}
	return true;
}

static bool tr_busy(const struct guest *g)
{
	return usable(VMM_TR) && (ar(VMM_TR) & VMX_AR_P_MASK) && !(ar(VMM_TR) & VMX_AR_S_MASK) &&
	       (type(VMM_TR) == VMX_AR_TYPE_BUSY_64_TSS ||
		(type(VMM_TR) == VMX_AR_TYPE_BUSY_16_TSS && !g->long_mode));
}

static bool ldtr_type(const struct guest *g)
{
	return !usable(VMM_LDTR) || (type(VMM_LDTR) == VMX_AR_TYPE_LDT &&
				     (ar(VMM_LDTR) & VMX_AR_P_MASK) &&
				     !(ar(VMM_LDTR) & VMX_AR_S_MASK));
}

/* ---- descriptor tables, RIP, RFLAGS, the rest ---- */

static bool tables(const struct guest *g)
{
	return canonical(vmcs_read(GUEST_GDTR_BASE)) &&
	       canonical(vmcs_read(GUEST_IDTR_BASE)) &&
	       !(vmcs_read(GUEST_GDTR_LIMIT) >> 16) && !(vmcs_read(GUEST_IDTR_LIMIT) >> 16);
}

static bool rip(const struct guest *g)
{
	if (g->long_mode && (ar(VMM_CS) & VMX_AR_L_MASK))
		return canonical(g->rip);
	return !(g->rip >> 32);
}

static bool rflags_reserved(const struct guest *g)
{
	return !(g->rflags & RFLAGS_RESERVED) && (g->rflags & X86_EFLAGS_FIXED);
}

static bool rflags_vm(const struct guest *g)
{
	return !g->v8086 || (!g->long_mode && (g->cr0 & X86_CR0_PE));
}

static bool injects(const struct guest *g, u32 type)
{
	return (g->event & (INTR_INFO_VALID_MASK | INTR_INFO_INTR_TYPE_MASK)) ==
	       (INTR_INFO_VALID_MASK | type);
}

static bool injected_interrupt(const struct guest *g)
{
	return !injects(g, INTR_TYPE_EXT_INTR) ||
	       ((g->rflags & X86_EFLAGS_IF) && !(g->interruptibility & SHADOWS));
}

static bool injected_nmi(const struct guest *g)
{
	u32 masked = vmx_config.virtual_nmi ? GUEST_INTR_STATE_NMI : 0;

	/* Not every CPU minds the STI. */
	return !injects(g, INTR_TYPE_NMI_INTR) || !(g->interruptibility & (SHADOWS | masked));
}

static bool active(const struct guest *g)
{
	return vmcs_read(GUEST_ACTIVITY_STATE) == GUEST_ACTIVITY_ACTIVE;
}

static bool interruptibility_reserved(const struct guest *g)
{
	return !(g->interruptibility & ~(u32)INTERRUPTIBILITY_DEFINED) &&
	       !(g->interruptibility & GUEST_INTR_STATE_SMI);
}

static bool shadow(const struct guest *g)
{
	return (g->interruptibility & SHADOWS) != SHADOWS &&
	       (!(g->interruptibility & GUEST_INTR_STATE_STI) || (g->rflags & X86_EFLAGS_IF));
}

static bool pending_reserved(const struct guest *g)
{
	return !(vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS) & ~(u64)PENDING_DEFINED);
}

static bool pending_step(const struct guest *g)
{
	bool step = vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS) & DR_STEP;
	bool due = (g->rflags & X86_EFLAGS_TF) &&
		   !(vmcs_read(GUEST_IA32_DEBUGCTL) & DEBUGCTLMSR_BTF);

	return !(g->interruptibility & SHADOWS) || step == due;
}

static bool link_pointer(const struct guest *g)
{
	return vmcs_read(VMCS_LINK_POINTER) == ~0UL;
}

/* ---- "Checks on Guest Page-Directory-Pointer-Table Entries" ---- */

static bool pdptes(const struct guest *g)
{
	u64 reserved = PDPTE_RESERVED | GENMASK_ULL(63, boot_cpu_data.x86_phys_bits);
	int i;

	/* With shadow paging the CPU reads our own from memory. */
	if (g->long_mode || !(g->cr0 & X86_CR0_PG) || !(g->cr4 & X86_CR4_PAE) || !g->config->ept)
		return true;
	for (i = 0; i < 4; i++) {
		u64 entry = vmcs_read(GUEST_PDPTR0 + 2 * i);

		if ((entry & 1) && (entry & reserved))
			return false;
	}
	return true;
}

static const struct {
	const char *claim;
	bool (*holds)(const struct guest *g);
} checks[] = {
	{ "CR0 has the fixed bits and none that is not supported", cr0_fixed },
	{ "CR0.PG comes with PE", cr0_paging },
	{ "CR4 has the fixed bits and none that is not supported", cr4_fixed },
	{ "CR4.CET comes with CR0.WP", cet_protected },
	{ "reserved bits of IA32_DEBUGCTL are 0", debugctl_reserved },
	{ "IA-32e mode has CR0.PG and CR4.PAE", long_mode_paged },
	{ "CR4.PCIDE is in IA-32e mode only", pcide_in_long_mode },
	{ "CR3 is a physical address", cr3_width },
	{ "DR7 has 32 bits", dr7_width },
	{ "IA32_SYSENTER_ESP and _EIP are canonical", sysenter_canonical },
	{ "reserved bits of EFER are 0", efer_reserved },
	{ "EFER.LMA follows from LME and CR0.PG", efer_follows },
	{ "TR and LDTR are in the GDT", tr_ti },
	{ "SS.RPL is CS.RPL", ss_rpl },
	{ "segments of virtual-8086 mode", v8086_segments },
	{ "bases of TR, FS, GS and LDTR are canonical", bases_canonical },
	{ "bases of CS, SS, DS and ES have 32 bits", bases_narrow },
	{ "CS is accessed code", cs_type },
	{ "SS is accessed, writable data", ss_type },
	{ "DS, ES, FS and GS are accessed and readable", data_types },
	{ "CS.DPL suits SS.DPL", cs_dpl },
	{ "SS.DPL is SS.RPL, or 0", ss_dpl },
	{ "DPL of DS, ES, FS and GS is RPL or more", data_dpl },
	{ "code and data segments are present and not system segments", data_present },
	{ "reserved access rights are 0", ar_reserved },
	{ "CS has not both L and D", cs_sizes },
	{ "limits agree with G", granularity },
	{ "TR is a busy TSS", tr_busy },
	{ "LDTR is an LDT", ldtr_type },
	{ "GDTR and IDTR are canonical, their limits 16 bits", tables },
	{ "RIP suits the mode", rip },
	{ "reserved bits of RFLAGS are as they have to be", rflags_reserved },
	{ "RFLAGS.VM is in legacy protected mode only", rflags_vm },
	{ "an external interrupt comes with IF and without shadow", injected_interrupt },
	{ "the activity state is active", active },
	{ "reserved bits of the interruptibility state are 0", interruptibility_reserved },
	{ "one shadow at most, and STI's with IF", shadow },
	{ "an NMI comes without shadow and not while one is in service", injected_nmi },
	{ "reserved bits of the pending debug exceptions are 0", pending_reserved },
	{ "in a shadow a step is pending if TF is set, and only then", pending_step },
	{ "there is no VMCS link pointer", link_pointer },
	{ "reserved bits of PDPTEs are 0", pdptes },
};

static void collect(struct guest *g, const struct vmx_config *config)
{
	*g = (struct guest) {
		.config = config,
		.cr0 = vmcs_read(GUEST_CR0),
		.cr4 = vmcs_read(GUEST_CR4),
		.rflags = vmcs_read(GUEST_RFLAGS),
		.rip = vmcs_read(GUEST_RIP),
		.long_mode = vmcs_read(VM_ENTRY_CONTROLS) & VM_ENTRY_IA32E_MODE,
		.interruptibility = vmcs_read(GUEST_INTERRUPTIBILITY_INFO),
		.event = vmcs_read(VM_ENTRY_INTR_INFO_FIELD),
	};
	g->v8086 = g->rflags & X86_EFLAGS_VM;
	/* Where the VMCS does not hold it, the entry lets it follow. */
	if (config->efer)
		g->efer = vmcs_read(GUEST_IA32_EFER);
	else
		g->efer = g->long_mode ? EFER_LME | EFER_LMA : 0;
}

/* For @config, number of the first check that fails, from 1; 0: none, the CPU knows more. [load] */
unsigned int vmx_audit(const struct vmx_config *config)
{
	struct guest g;
	unsigned int i;

	collect(&g, config);
	for (i = 0; i < ARRAY_SIZE(checks); i++)
		if (!checks[i].holds(&g))
			return i + 1;
	return 0;
}

/* What check @number claims. */
const char *vmx_audit_claim(unsigned int number)
{
	return number && number <= ARRAY_SIZE(checks) ? checks[number - 1].claim :
							"none that is known";
}
