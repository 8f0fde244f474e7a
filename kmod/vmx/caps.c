// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the capability MSRs allow, and which controls are used: "VMX Capability
 * Reporting Facility". A control word is the needed bits, those wanted where the
 * CPU has them, and those that it insists on. Module parameters switch single
 * abilities off, for comparison and for tests of what is done without them.
 */
#include <linux/acpi.h>
#include <linux/moduleparam.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "vmx.h"

static bool use_vpid = true;
module_param_named(vpid, use_vpid, bool, 0444);
MODULE_PARM_DESC(vpid, "VT-x: tag translations by vCPU (default: y)");

static bool use_ept_ad = true;
module_param_named(ept_ad, use_ept_ad, bool, 0444);
MODULE_PARM_DESC(ept_ad, "VT-x: accessed and dirty flags in nested page tables (default: y)");

static bool use_pml = true;
module_param_named(pml, use_pml, bool, 0444);
MODULE_PARM_DESC(pml, "VT-x: let the CPU log pages that guests write again (default: y)");

static bool use_ept_2m = true;
module_param_named(ept_2m, use_ept_2m, bool, 0444);
MODULE_PARM_DESC(ept_2m, "VT-x: nested mappings of 2 MiB and 1 GiB (default: y)");

static bool use_unrestricted_guest = true;
module_param_named(unrestricted_guest, use_unrestricted_guest, bool, 0444);
MODULE_PARM_DESC(unrestricted_guest, "VT-x: run real mode on the CPU (default: y)");

static bool use_virtual_nmi = true;
module_param_named(virtual_nmi, use_virtual_nmi, bool, 0444);
MODULE_PARM_DESC(virtual_nmi, "VT-x: let the CPU track NMIs in service (default: y)");

static bool use_preemption_timer = true;
module_param_named(preemption_timer, use_preemption_timer, bool, 0444);
MODULE_PARM_DESC(preemption_timer, "VT-x: bound a guest's turn by a timer of its own (default: y)");

static bool use_msr_bitmap = true;
module_param_named(msr_bitmap, use_msr_bitmap, bool, 0444);
MODULE_PARM_DESC(msr_bitmap, "VT-x: let the guest use MSRs that the CPU keeps for it (default: y)");

static bool use_pause_loop_exiting = true;
module_param_named(pause_loop_exiting, use_pause_loop_exiting, bool, 0444);
MODULE_PARM_DESC(pause_loop_exiting, "VT-x: stop a guest that spins (default: y)");

static bool use_xsaves = true;
module_param_named(xsaves, use_xsaves, bool, 0444);
MODULE_PARM_DESC(xsaves, "VT-x: let the guest use XSAVES and XRSTORS (default: y)");

/* -1, not given: 1, but not in an emulator that does it wrong. */
static int use_virtual_apic = -1;
module_param_named(virtual_apic, use_virtual_apic, bint, 0444);
MODULE_PARM_DESC(virtual_apic,
		 "VT-x: let the CPU deliver interrupts and take EOIs (default: y, in Bochs n)");

/* With shadow paging nothing is used that needs the nested table. */
static bool use_nested;

/*
 * struct word - one control word of the VMCS
 * @msr, @true_msr: without and with VMX_BASIC_TRUE_CTLS; 0: there is none
 * @needed: bits without which guests cannot be run safely
 * @nested: the same with nested paging
 * @shadow: the same with shadow paging; with nested paging they are banned
 * @wanted: bits used where there are
 * @banned: bits that must not be forced on: their exits have no handler
 */
struct word {
	u32 msr;
	u32 true_msr;
	u32 needed;
	u32 nested;
	u32 shadow;
	u32 wanted;
	u32 banned;
};

static const struct word pin_word = {
	.msr = MSR_IA32_VMX_PINBASED_CTLS,
	.true_msr = MSR_IA32_VMX_TRUE_PINBASED_CTLS,
	.needed = PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING,
	.wanted = PIN_BASED_VIRTUAL_NMIS | PIN_BASED_VMX_PREEMPTION_TIMER,
};

static const struct word primary_word = {
	.msr = MSR_IA32_VMX_PROCBASED_CTLS,
	.true_msr = MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
	.needed = CPU_BASED_HLT_EXITING | CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING |
		  CPU_BASED_RDPMC_EXITING | CPU_BASED_CR8_LOAD_EXITING |
		  CPU_BASED_CR8_STORE_EXITING | CPU_BASED_MOV_DR_EXITING |
		  CPU_BASED_UNCOND_IO_EXITING | CPU_BASED_USE_TSC_OFFSETTING |
		  CPU_BASED_INTR_WINDOW_EXITING,
	.nested = CPU_BASED_ACTIVATE_SECONDARY_CONTROLS,
	.shadow = CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING |
		  CPU_BASED_INVLPG_EXITING,
	.wanted = CPU_BASED_NMI_WINDOW_EXITING | CPU_BASED_USE_MSR_BITMAPS |
		  CPU_BASED_ACTIVATE_SECONDARY_CONTROLS | CPU_BASED_PAUSE_EXITING |
		  CPU_BASED_TPR_SHADOW,
};

static const struct word secondary_word = {
	.msr = MSR_IA32_VMX_PROCBASED_CTLS2,
	.nested = SECONDARY_EXEC_ENABLE_EPT,
	.wanted = SECONDARY_EXEC_ENABLE_VPID | SECONDARY_EXEC_UNRESTRICTED_GUEST |
		  SECONDARY_EXEC_ENABLE_RDTSCP | SECONDARY_EXEC_ENABLE_INVPCID |
		  SECONDARY_EXEC_WBINVD_EXITING | SECONDARY_EXEC_ENCLS_EXITING |
		  SECONDARY_EXEC_PAUSE_LOOP_EXITING | CONTROL_XSAVES | VMX_APIC_CONTROLS |
		  SECONDARY_EXEC_ENABLE_PML,
};

static const struct word exit_word = {
	.msr = MSR_IA32_VMX_EXIT_CTLS,
	.true_msr = MSR_IA32_VMX_TRUE_EXIT_CTLS,
	.needed = VM_EXIT_HOST_ADDR_SPACE_SIZE | VM_EXIT_SAVE_DEBUG_CONTROLS,
	.nested = VM_EXIT_LOAD_IA32_EFER,
	.wanted = VM_EXIT_LOAD_IA32_EFER,
	.banned = VM_EXIT_ACK_INTR_ON_EXIT,
};

static const struct word entry_word = {
	.msr = MSR_IA32_VMX_ENTRY_CTLS,
	.true_msr = MSR_IA32_VMX_TRUE_ENTRY_CTLS,
	.needed = VM_ENTRY_LOAD_DEBUG_CONTROLS | VM_ENTRY_IA32E_MODE,
	.nested = VM_ENTRY_LOAD_IA32_EFER,
	.wanted = VM_ENTRY_LOAD_IA32_EFER,
};

/* Controls that a module parameter, or shadow paging, takes off the wanted ones. */
static const struct {
	const bool *use;
	const struct word *word;
	u32 control;
} switches[] = {
	{ &use_virtual_nmi, &pin_word, PIN_BASED_VIRTUAL_NMIS },
	{ &use_preemption_timer, &pin_word, PIN_BASED_VMX_PREEMPTION_TIMER },
	{ &use_msr_bitmap, &primary_word, CPU_BASED_USE_MSR_BITMAPS },
	{ &use_vpid, &secondary_word, SECONDARY_EXEC_ENABLE_VPID },
	{ &use_unrestricted_guest, &secondary_word, SECONDARY_EXEC_UNRESTRICTED_GUEST },
	{ &use_pause_loop_exiting, &secondary_word, SECONDARY_EXEC_PAUSE_LOOP_EXITING },
	{ &use_xsaves, &secondary_word, CONTROL_XSAVES },
	{ &use_pml, &secondary_word, SECONDARY_EXEC_ENABLE_PML },
	{ &use_nested, &secondary_word, SECONDARY_EXEC_UNRESTRICTED_GUEST },
	{ &use_nested, &secondary_word, SECONDARY_EXEC_ENABLE_PML },
};

static u32 needed(const struct word *word)
{
	return word->needed | (use_nested ? word->nested : word->shadow);
}

static u32 banned(const struct word *word)
{
	return word->banned | (use_nested ? word->shadow : 0);
}

static u32 wanted(const struct word *word)
{
	u32 bits = needed(word) | word->wanted;
	int i;

	for (i = 0; i < ARRAY_SIZE(switches); i++)
		if (switches[i].word == word && !*switches[i].use)
			bits &= ~switches[i].control;
	return bits;
}

/* The MSRs' lower half: bits that must be 1; the upper: that may be. */
static bool find_word(const struct word *word, bool true_controls, u32 *value)
{
	u32 msr = true_controls && word->true_msr ? word->true_msr : word->msr;
	u64 allowed;

	if (rdmsrl_safe(msr, &allowed))
		return false;
	*value = (wanted(word) & (allowed >> 32)) | (u32)allowed;
	return (*value & needed(word)) == needed(word) && !(*value & banned(word));
}

/* CPUs without secondary controls have no MSR for them either. */
static bool find_secondary(struct vmx_config *c)
{
	return !(c->primary & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS) ||
	       find_word(&secondary_word, false, &c->secondary);
}

static bool find_words(struct vmx_config *c, bool true_controls)
{
	return find_word(&pin_word, true_controls, &c->pin) &&
	       find_word(&primary_word, true_controls, &c->primary) &&
	       find_secondary(c) &&
	       find_word(&exit_word, true_controls, &c->exit) &&
	       find_word(&entry_word, true_controls, &c->entry);
}

/* Windows are opened when there is something to deliver; long mode is the guest's. */
static void clear_dynamic(struct vmx_config *c)
{
	c->primary &= ~(CPU_BASED_INTR_WINDOW_EXITING | CPU_BASED_NMI_WINDOW_EXITING);
	c->entry &= ~VM_ENTRY_IA32E_MODE;
}

static bool has_secondary(u32 control)
{
	u64 secondary;

	return !rdmsrl_safe(MSR_IA32_VMX_PROCBASED_CTLS2, &secondary) &&
	       (secondary >> 32 & control);
}

/* False: no nested paging, or not with what the engine needs. */
static bool find_ept(struct vmx_config *c, struct vmm_caps *caps)
{
	u64 cap;

	if (!has_secondary(SECONDARY_EXEC_ENABLE_EPT) ||
	    rdmsrl_safe(MSR_IA32_VMX_EPT_VPID_CAP, &cap))
		return false;
	if (!(cap & VMX_EPT_INVEPT_BIT) || !(cap & VMX_EPT_EXTENT_GLOBAL_BIT) ||
	    !(cap & VMX_EPTP_WB_BIT) || !(cap & VMX_EPT_PAGE_WALK_4_BIT))
		return false;
	c->invept_context = cap & VMX_EPT_EXTENT_CONTEXT_BIT;
	c->ept_ad = use_ept_ad && (cap & VMX_EPT_AD_BIT);
	/* A fifth level costs each walk: only where there is memory that needs it. */
	caps->levels = (cap & VMX_EPT_PAGE_WALK_5_BIT) && boot_cpu_data.x86_phys_bits > 48 ? 5 : 4;
	caps->nested_format = c->ept_ad ? &vmx_nested_format : &vmx_nested_format_no_ad;
	/* It is a dirty flag that is set which the CPU logs. */
	use_pml = use_pml && c->ept_ad && has_secondary(SECONDARY_EXEC_ENABLE_PML);
	if (use_pml)
		caps->nested_format = &vmx_nested_format_pml;
	if (use_ept_2m && (cap & VMX_EPT_2MB_PAGE_BIT))
		caps->features |= VMM_FEATURE_LARGE_2M;
	if (use_ept_2m && (cap & VMX_EPT_1GB_PAGE_BIT))
		caps->features |= VMM_FEATURE_LARGE_1G;
	return true;
}

/* VPIDs; with shadow paging they are of use only if all of them can be forgotten. */
static void find_vpids(struct vmx_config *c)
{
	u64 cap;

	if (!(c->secondary & SECONDARY_EXEC_ENABLE_VPID))
		return;
	rdmsrl(MSR_IA32_VMX_EPT_VPID_CAP, cap);
	cap >>= 32;
	if (!use_nested && (!(cap & VMX_VPID_INVVPID_BIT) ||
			    !(cap & VMX_VPID_EXTENT_GLOBAL_CONTEXT_BIT))) {
		c->secondary &= ~SECONDARY_EXEC_ENABLE_VPID;
		return;
	}
	c->vpid = true;
	c->invvpid_address = (cap & VMX_VPID_INVVPID_BIT) &&
			     (cap & VMX_VPID_EXTENT_INDIVIDUAL_ADDR_BIT);
}

/*
 * Without the controls for EFER vcpu_load switches it: the one bit in which the host's
 * may differ then is SCE, because guests run with NXE and the CPU sets LME and LMA.
 */
static void find_switched(struct vmx_config *c)
{
	unsigned int n = 0;

	c->efer = (c->exit & VM_EXIT_LOAD_IA32_EFER) && (c->entry & VM_ENTRY_LOAD_IA32_EFER);
	c->switched[n++] = VMX_STAR;
	c->switched[n++] = VMX_LSTAR;
	c->switched[n++] = VMX_SYSCALL_MASK;
	if (boot_cpu_has(X86_FEATURE_RDTSCP))
		c->switched[n++] = VMX_TSC_AUX;
	if (!c->efer) {
		c->exit &= ~VM_EXIT_LOAD_IA32_EFER;
		c->entry &= ~VM_ENTRY_LOAD_IA32_EFER;
		c->switched[n++] = VMX_EFER;
	}
	c->nr_switched = n;
}

/*
 * One tick of the host, in units of the timer. An entry starts it anew, so where
 * the host's tick ends the guest's turns it never fires. It is there for the host
 * whose interrupt does not: a tickless one, or an emulated CPU that holds
 * interrupts back from a guest that was entered with IF clear (Bochs does).
 */
static u32 longest_turn(u64 misc)
{
	return max_t(u64, (tsc_khz * 1000ULL / HZ) >> vmx_misc_preemption_timer_rate(misc), 1);
}

/* Bochs, whose CPUs say that they are Intel's; QEMU's tables have the name as well. */
static bool is_bochs(void)
{
	return !boot_cpu_has(X86_FEATURE_HYPERVISOR) &&
	       !memcmp(acpi_gbl_FADT.header.oem_id, "BOCHS ", ACPI_OEM_ID_SIZE);
}

/*
 * "The VMX-Preemption Timer Does Not Count Down at the Rate Specified" is an erratum of
 * CPUs that have no deadline timer themselves. For the end of a turn that will do.
 * Bochs' count as they should, though Linux finds none there or switches it off.
 */
static bool timer_is_exact(void)
{
	return boot_cpu_has(X86_FEATURE_TSC_DEADLINE_TIMER) || is_bochs();
}

/*
 * apic.c switches it on and off. In a mode that the CPU cannot run the process delivers
 * interrupts, and without the bitmap all MSRs exit: both would need a third way.
 */
static void find_virtual_apic(struct vmx_config *c)
{
	c->virtual_apic = use_virtual_apic && (c->primary & CPU_BASED_TPR_SHADOW) &&
			  (c->primary & CPU_BASED_USE_MSR_BITMAPS) &&
			  (c->secondary & SECONDARY_EXEC_UNRESTRICTED_GUEST) &&
			  (c->secondary & VMX_APIC_CONTROLS) == VMX_APIC_CONTROLS;
	c->wrong_vectoring = c->virtual_apic && is_bochs();
	c->primary &= ~CPU_BASED_TPR_SHADOW;
	c->secondary &= ~VMX_APIC_CONTROLS;
}

static void find_abilities(struct vmx_config *c, struct vmm_caps *caps)
{
	u64 misc;

	rdmsrl(MSR_IA32_VMX_MISC, misc);
	if (!(c->primary & CPU_BASED_NMI_WINDOW_EXITING))
		c->pin &= ~PIN_BASED_VIRTUAL_NMIS;
	/* What the host does without, guests are not shown. */
	if (!boot_cpu_has(X86_FEATURE_XSAVES))
		c->secondary &= ~CONTROL_XSAVES;
	if (c->pin & PIN_BASED_VMX_PREEMPTION_TIMER) {
		c->turn = longest_turn(misc);
		c->timer_shift = vmx_misc_preemption_timer_rate(misc);
	}
	/* The one way to get a guest out of a loop on a CPU that has none of the others. */
	if (c->turn || (c->secondary & SECONDARY_EXEC_PAUSE_LOOP_EXITING))
		c->primary &= ~CPU_BASED_PAUSE_EXITING;
	c->zero_length = misc & VMX_MISC_ZERO_LEN_INS;
	find_vpids(c);
	find_virtual_apic(c);
	c->pml = c->secondary & SECONDARY_EXEC_ENABLE_PML;
	c->unrestricted = c->secondary & SECONDARY_EXEC_UNRESTRICTED_GUEST;
	c->virtual_nmi = c->pin & PIN_BASED_VIRTUAL_NMIS;
	caps->features |= VMM_FEATURE_NEXT_RIP;
	if (c->vpid)
		caps->features |= VMM_FEATURE_FLUSH_BY_TAG;
	if (c->unrestricted)
		caps->features |= VMM_FEATURE_REAL_MODE;
	caps->virtual_apic = c->virtual_apic;
	caps->deadline = c->turn && timer_is_exact();
	if (c->virtual_apic)
		caps->features |= VMM_FEATURE_VIRTUAL_APIC;
	if (c->virtual_nmi)
		caps->features |= VMM_FEATURE_VIRTUAL_NMI;
	/* Without its control an instruction is #UD in a guest, whatever the CPU has. */
	caps->no_rdtscp = !(c->secondary & SECONDARY_EXEC_ENABLE_RDTSCP);
	caps->no_invpcid = !(c->secondary & SECONDARY_EXEC_ENABLE_INVPCID);
	caps->no_xsaves = !(c->secondary & CONTROL_XSAVES);
}

/* "VMX-Fixed Bits in CR0", "in CR4" */
static void find_fixed(struct vmx_config *c)
{
	rdmsrl(MSR_IA32_VMX_CR0_FIXED0, c->cr0_fixed);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED0, c->cr4_fixed);
	if (c->unrestricted)
		c->cr0_fixed &= ~(u64)(X86_CR0_PE | X86_CR0_PG);
}

/* Of guests with @nested paging, or shadow paging; @c has what find_ept() found. */
static bool find_controls(struct vmx_config *c, struct vmm_caps *caps, bool nested,
			  bool true_controls)
{
	use_nested = nested;
	c->ept = nested;
	if (!find_words(c, true_controls))
		return false;
	find_switched(c);
	find_abilities(c, caps);
	find_fixed(c);
	clear_dynamic(c);
	return true;
}

/* 0, or -EOPNOTSUPP with caps->why. Changes nothing but *@caps and our configurations. */
int vmx_find_controls(struct vmm_caps *caps)
{
	struct vmx_config c = {}, shadow;
	struct vmm_caps beside;
	bool true_controls;
	u64 basic;

	caps->why = "this CPU's VT-x is too old or incomplete: a control that vmm needs is missing";
	if (rdmsrl_safe(MSR_IA32_VMX_BASIC, &basic) || vmx_basic_vmcs_size(basic) > PAGE_SIZE)
		return -EOPNOTSUPP;
	if (use_virtual_apic < 0)
		use_virtual_apic = !is_bochs();
	c.revision = vmx_basic_vmcs_revision_id(basic);
	true_controls = basic & VMX_BASIC_TRUE_CTLS;
	caps->nested = caps->nested && find_ept(&c, caps);
	beside = *caps;
	shadow = c;
	caps->shadow = boot_cpu_has(X86_FEATURE_NX) &&
		       find_controls(&shadow, &beside, false, true_controls);
	if (!caps->nested && !boot_cpu_has(X86_FEATURE_NX))
		caps->why = "this CPU has neither nested paging nor no-execute pages";
	if (caps->nested ? !find_controls(&c, caps, true, true_controls) : !caps->shadow)
		return -EOPNOTSUPP;
	if (!caps->nested) {
		c = shadow;
		caps->features = beside.features;
		caps->no_rdtscp = beside.no_rdtscp;
		caps->no_invpcid = beside.no_invpcid;
		caps->no_xsaves = beside.no_xsaves;
		caps->deadline = beside.deadline;
	}
	caps->pdpte_registers = true;
	/* 16.48 bits; vmx_secondary() adds the control for a VM that needs it. */
	if (has_secondary(SECONDARY_EXEC_TSC_SCALING)) {
		caps->tsc_fraction = 48;
		caps->tsc_ratio_max = U64_MAX;
	}
	caps->why = NULL;
	vmx_config = c;
	vmx_shadow_config = shadow;
	return 0;
}
