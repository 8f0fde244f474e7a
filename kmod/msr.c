// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSRs: one const policy table, sorted by index, says what each is to a guest and
 * to the process that saves it. What it does not name is #GP. docs/cpuid-msr.md
 * explains the rows.
 *
 * A value is checked here before a backend or another file sees it: hardware is
 * never handed one that it would refuse. Rows marked FAST are served with IRQs
 * off; they take no lock, sleep nowhere and allocate nothing.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/msr-index.h>
#include <asm/mtrr.h>
#include <asm/processor.h>
#include <asm/tsc.h>
#include <uapi/asm/kvm_para.h>

#include "vmm.h"

#define MTRR_VARIABLE	8	/* pairs of base and mask: what firmware has had for long */

/* The manual's names; the kernel's are of mixed case. */
#define IA32_MTRRCAP		0xfe
#define IA32_MTRR_PHYSBASE0	0x200	/* then PHYSMASK0, PHYSBASE1 ... */
#define IA32_MTRR_DEF_TYPE	0x2ff

struct vmm_msr_state {
	u64 tsc_adjust;
	u64 misc_enable;
	u64 mtrr_type;
	u64 mtrr[2 * MTRR_VARIABLE];
};

/* msr_rule.flags */
#define VMM_MSR_DIRECT	BIT(0)	/* guests access it without an exit: used at each switch */
#define VMM_MSR_SAVED	BIT(1)	/* part of a vCPU's state: in VMM_GET_MSR_LIST */
#define VMM_MSR_RO	BIT(2)	/* a guest's write is #GP */
#define VMM_MSR_FAST	BIT(3)	/* with IRQs off */

enum msr_kind {
	MSR_CONST,		/* reads .value; writes are dropped, unless RO */
	MSR_KEPT,		/* in struct vmm_msr_state at .offset */
	MSR_HW,			/* the backend keeps it while the guest runs */
	MSR_CALL,		/* .read and .write */
};

struct msr_rule {
	u32 first;
	u32 more;		/* how many follow @first */
	u8 flags;
	u8 kind;
	u16 offset;
	u64 value;
	/* NULL: any value can be written */
	bool (*valid)(struct vmm_vcpu *vcpu, u32 index, u64 value);
	int (*read)(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 *value);
	int (*write)(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 value);
};

/* ---- checks ---- */

static bool valid_canonical(struct vmm_vcpu *vcpu, u32 index, u64 value)
{
	return vmm_canonical_base(vcpu, value);
}

static bool valid_u32(struct vmm_vcpu *vcpu, u32 index, u64 value)
{
	return !(value >> 32);
}

/* "MTRR Memory Types and Their Properties": UC, WC, WT, WP, WB */
static bool memory_type(u8 type)
{
	return type < 8 && (BIT(type) & (BIT(MTRR_TYPE_UNCACHABLE) | BIT(MTRR_TYPE_WRCOMB) |
					 BIT(MTRR_TYPE_WRTHROUGH) | BIT(MTRR_TYPE_WRPROT) |
					 BIT(MTRR_TYPE_WRBACK)));
}

/* "IA32_PAT MSR": eight types, of which 7 (UC-) is the PAT's own */
static bool valid_pat(struct vmm_vcpu *vcpu, u32 index, u64 value)
{
	int i;

	for (i = 0; i < 8; i++, value >>= 8)
		if (!memory_type(value) && (u8)value != 7)
			return false;
	return true;
}

#define MTRR_TYPE_BITS	0xffULL
#define MTRR_ENABLE	BIT_ULL(11)
#define MTRR_MASK_VALID	BIT_ULL(11)

static bool valid_mtrr(struct vmm_vcpu *vcpu, u32 index, u64 value)
{
	u64 reserved = GENMASK_ULL(63, vmm_cpuid_phys_bits(vcpu));

	/* Base and mask alternate. */
	if ((index - IA32_MTRR_PHYSBASE0) & 1)
		return !(value & (reserved | (~PAGE_MASK & ~MTRR_MASK_VALID)));
	return !(value & (reserved | (~PAGE_MASK & ~MTRR_TYPE_BITS))) && memory_type(value);
}

/* There are no fixed ranges to enable: MTRRcap says so. */
static bool valid_mtrr_type(struct vmm_vcpu *vcpu, u32 index, u64 value)
{
	return !(value & ~(MTRR_ENABLE | MTRR_TYPE_BITS)) && memory_type(value);
}

/* What a guest may write back; but for fast strings it stays as it is. */
#define MISC_ENABLE_KNOWN \
	(MSR_IA32_MISC_ENABLE_FAST_STRING | MSR_IA32_MISC_ENABLE_TCC | \
	 MSR_IA32_MISC_ENABLE_EMON | MSR_IA32_MISC_ENABLE_BTS_UNAVAIL | \
	 MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL | MSR_IA32_MISC_ENABLE_ENHANCED_SPEEDSTEP | \
	 MSR_IA32_MISC_ENABLE_LIMIT_CPUID | MSR_IA32_MISC_ENABLE_XTPR_DISABLE | \
	 MSR_IA32_MISC_ENABLE_XD_DISABLE)
#define MISC_ENABLE_FIXED \
	(MSR_IA32_MISC_ENABLE_BTS_UNAVAIL | MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL)

static bool valid_misc_enable(struct vmm_vcpu *vcpu, u32 index, u64 value)
{
	return !(value & ~(u64)MISC_ENABLE_KNOWN);
}

/* XSAVES has no state of the supervisor to save: see fpu.c. */
static bool valid_xss(struct vmm_vcpu *vcpu, u32 index, u64 value)
{
	return !value;
}

/* Stepping by branches is not offered; asking for it has no effect. */
static bool valid_debugctl(struct vmm_vcpu *vcpu, u32 index, u64 value)
{
	return !(value & ~(u64)DEBUGCTLMSR_BTF);
}

/* ---- handlers ---- */

static int read_tsc(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 *value)
{
	*value = vmm_guest_tsc(vcpu);
	return 0;
}

/* "IA32_TSC_ADJUST Register Support": it follows what the guest does to its TSC. */
static int write_tsc(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 value)
{
	u64 delta = value - vmm_guest_tsc(vcpu);

	if (origin == VMM_ORIGIN_GUEST)
		vcpu->msr->tsc_adjust += delta;
	vmm_tsc_move(vcpu, delta);
	return 0;
}

static int read_tsc_adjust(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 *value)
{
	*value = vcpu->msr->tsc_adjust;
	return 0;
}

/* The process restores the TSC itself; this is then only what has been added. */
static int write_tsc_adjust(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 value)
{
	u64 delta = value - vcpu->msr->tsc_adjust;

	vcpu->msr->tsc_adjust = value;
	if (origin == VMM_ORIGIN_GUEST && delta)
		vmm_tsc_move(vcpu, delta);
	return 0;
}

static int write_misc_enable(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 value)
{
	vcpu->msr->misc_enable = MISC_ENABLE_FIXED | (value & MSR_IA32_MISC_ENABLE_FAST_STRING);
	return 0;
}

static int read_misc_enable(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 *value)
{
	*value = vcpu->msr->misc_enable;
	return 0;
}

/* The host's: one vendor has it in the upper half and writes 0 before reading. */
static int read_microcode(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 *value)
{
	u64 revision = boot_cpu_data.microcode;

	*value = boot_cpu_data.x86_vendor == X86_VENDOR_INTEL ? revision << 32 : revision;
	return 0;
}

static int write_nothing(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 value)
{
	return 0;
}

static int read_de_cfg(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 *value)
{
	*value = boot_cpu_has(X86_FEATURE_LFENCE_RDTSC) ? MSR_AMD64_DE_CFG_LFENCE_SERIALIZE : 0;
	return 0;
}

static int read_efer(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 *value)
{
	vmm_pull(vcpu, VMM_STATE_CTRL);
	*value = vcpu->ctrl.efer;
	return 0;
}

static int write_efer(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 value)
{
	return vmm_set_efer(vcpu, value);
}

static int read_pv(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 *value)
{
	return vmm_pv_msr_read(vcpu, index, origin, value);
}

static int write_pv(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 value)
{
	return vmm_pv_msr_write(vcpu, index, origin, value);
}

/* ---- the table ---- */

#define D	VMM_MSR_DIRECT
#define S	VMM_MSR_SAVED
#define RO	VMM_MSR_RO
#define FAST	VMM_MSR_FAST

#define CONST(msr, f, v)	{ (msr), 0, (f) | FAST, MSR_CONST, .value = (v) }
#define HW(msr, f, v)		{ (msr), 0, (f) | FAST, MSR_HW, .valid = (v) }
#define CALL(msr, f, r, w)	{ (msr), 0, (f), MSR_CALL, .read = (r), .write = (w) }
#define AT(member)		offsetof(struct vmm_msr_state, member)

#define X2APIC_FIRST	0x800
#define X2APIC_LAST	0x8ff

/* MTRRcap: write combining, no fixed ranges */
#define MTRR_CAP	(BIT(10) | MTRR_VARIABLE)

/* Sorted by index. Rows not SAVED that a guest can write are state found elsewhere. */
static const struct msr_rule rules[] = {
	CALL(MSR_IA32_TSC, S | FAST, read_tsc, write_tsc),
	CONST(MSR_IA32_PLATFORM_ID, RO, 0),
	/* Switching the APIC off takes an offered EOI back, from the guest's memory. */
	CALL(MSR_IA32_APICBASE, 0, vmm_apic_msr_read, vmm_apic_msr_write),
	CONST(MSR_IA32_FEAT_CTL, RO, FEAT_CTL_LOCKED),
	CALL(MSR_IA32_TSC_ADJUST, S | FAST, read_tsc_adjust, write_tsc_adjust),
	CALL(MSR_IA32_UCODE_REV, FAST, read_microcode, write_nothing),
	CONST(MSR_PLATFORM_INFO, RO, 0),
	CONST(IA32_MTRRCAP, RO, MTRR_CAP),
	HW(MSR_IA32_SYSENTER_CS, S, valid_u32),
	HW(MSR_IA32_SYSENTER_ESP, S, valid_canonical),
	HW(MSR_IA32_SYSENTER_EIP, S, valid_canonical),
	CONST(MSR_IA32_MCG_CAP, RO, 0),
	CONST(MSR_IA32_MCG_STATUS, 0, 0),
	{ MSR_IA32_MISC_ENABLE, 0, S | FAST, MSR_CALL,
	  .valid = valid_misc_enable, .read = read_misc_enable, .write = write_misc_enable },
	{ MSR_IA32_DEBUGCTLMSR, 0, FAST, MSR_CONST, .valid = valid_debugctl },
	{ IA32_MTRR_PHYSBASE0, 2 * MTRR_VARIABLE - 1, S | FAST, MSR_KEPT, AT(mtrr),
	  .valid = valid_mtrr },
	HW(MSR_IA32_CR_PAT, S, valid_pat),
	{ IA32_MTRR_DEF_TYPE, 0, S | FAST, MSR_KEPT, AT(mtrr_type),
	  .valid = valid_mtrr_type },
	CALL(MSR_IA32_TSC_DEADLINE, FAST, vmm_apic_msr_read, vmm_apic_msr_write),
	{ X2APIC_FIRST, X2APIC_LAST - X2APIC_FIRST, FAST, MSR_CALL,
	  .read = vmm_apic_msr_read, .write = vmm_apic_msr_write },
	{ MSR_IA32_XSS, 0, FAST, MSR_CONST, .valid = valid_xss },
	CALL(MSR_KVM_WALL_CLOCK_NEW, 0, read_pv, write_pv),
	CALL(MSR_KVM_SYSTEM_TIME_NEW, S, read_pv, write_pv),
	CALL(MSR_KVM_STEAL_TIME, S, read_pv, write_pv),
	CALL(MSR_KVM_PV_EOI_EN, S, read_pv, write_pv),
	CALL(MSR_KVM_POLL_CONTROL, S, read_pv, write_pv),
	CALL(MSR_EFER, 0, read_efer, write_efer),
	HW(MSR_STAR, S, NULL),
	HW(MSR_LSTAR, S, valid_canonical),
	HW(MSR_CSTAR, S, valid_canonical),
	HW(MSR_SYSCALL_MASK, S, valid_u32),
	HW(MSR_FS_BASE, D, valid_canonical),
	HW(MSR_GS_BASE, D, valid_canonical),
	HW(MSR_KERNEL_GS_BASE, D | S, valid_canonical),
	HW(MSR_TSC_AUX, S, valid_u32),
	CONST(MSR_AMD64_SYSCFG, 0, 0),
	/* TscFreqSel: the TSC counts at the P0 frequency; Linux complains without. */
	CONST(MSR_K7_HWCR, 0, BIT(24)),
	CONST(MSR_AMD64_NB_CFG, 0, 0),
	CONST(MSR_K8_INT_PENDING_MSG, 0, 0),
	CONST(MSR_FAM10H_MMIO_CONF_BASE, 0, 0),
	CALL(MSR_AMD64_DE_CFG, FAST, read_de_cfg, write_nothing),
};

static const struct msr_rule *find(u32 index)
{
	unsigned int low = 0, high = ARRAY_SIZE(rules);

	while (low < high) {
		unsigned int middle = (low + high) / 2;
		const struct msr_rule *rule = &rules[middle];

		if (index < rule->first)
			high = middle;
		else if (index - rule->first > rule->more)
			low = middle + 1;
		else
			return rule;
	}
	return NULL;
}

/* ---- reading and writing ---- */

static u64 *kept(struct vmm_vcpu *vcpu, const struct msr_rule *rule, u32 index)
{
	return (u64 *)((u8 *)vcpu->msr + rule->offset) + (index - rule->first);
}

static int read_rule(struct vmm_vcpu *vcpu, const struct msr_rule *rule, u32 index,
		     enum vmm_origin origin, u64 *value)
{
	switch (rule->kind) {
	case MSR_CONST:
		*value = rule->value;
		return 0;
	case MSR_KEPT:
		*value = *kept(vcpu, rule, index);
		return 0;
	case MSR_HW:
		return vmm_ops->get_msr(vcpu, index, value);
	default:
		return rule->read(vcpu, index, origin, value);
	}
}

static int write_rule(struct vmm_vcpu *vcpu, const struct msr_rule *rule, u32 index,
		      enum vmm_origin origin, u64 value)
{
	if ((rule->flags & RO) || (rule->valid && !rule->valid(vcpu, index, value)))
		return -EINVAL;
	switch (rule->kind) {
	case MSR_CONST:
		return 0;
	case MSR_KEPT:
		*kept(vcpu, rule, index) = value;
		return 0;
	case MSR_HW:
		return vmm_ops->set_msr(vcpu, index, value);
	default:
		return rule->write(vcpu, index, origin, value);
	}
}

int vmm_msr_read(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 *value)
{
	const struct msr_rule *rule = find(index);

	return rule ? read_rule(vcpu, rule, index, origin, value) : -EINVAL;
}

int vmm_msr_write(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 value)
{
	const struct msr_rule *rule = find(index);

	return rule ? write_rule(vcpu, rule, index, origin, value) : -EINVAL;
}

/* The two that a guest uses all the time are not searched for. */
static bool is_hot(u32 index)
{
	return index == MSR_IA32_TSC_DEADLINE ||
	       (index >= X2APIC_FIRST && index <= X2APIC_LAST);
}

int vmm_msr_read_fast(struct vmm_vcpu *vcpu, u32 index, u64 *value)
{
	const struct msr_rule *rule;

	if (is_hot(index))
		return vmm_apic_msr_read_fast(vcpu, index, value);
	rule = find(index);
	if (!rule)
		return -EINVAL;
	if (!(rule->flags & FAST))
		return -EAGAIN;
	return read_rule(vcpu, rule, index, VMM_ORIGIN_GUEST, value);
}

int vmm_msr_write_fast(struct vmm_vcpu *vcpu, u32 index, u64 value)
{
	const struct msr_rule *rule;

	if (is_hot(index))
		return vmm_apic_msr_write_fast(vcpu, index, value);
	rule = find(index);
	if (!rule)
		return -EINVAL;
	if (!(rule->flags & FAST))
		return -EAGAIN;
	return write_rule(vcpu, rule, index, VMM_ORIGIN_GUEST, value);
}

bool vmm_msr_direct(unsigned int n, u32 *index)
{
	const struct msr_rule *rule;

	/* Every DIRECT row is a single MSR. */
	for (rule = rules; rule < rules + ARRAY_SIZE(rules); rule++) {
		if (!(rule->flags & D) || n--)
			continue;
		*index = rule->first;
		return true;
	}
	return false;
}

/* ---- ioctls ---- */

static unsigned int saved_indices(u32 *indices)
{
	const struct msr_rule *rule;
	unsigned int n = 0, i;

	for (rule = rules; rule < rules + ARRAY_SIZE(rules); rule++) {
		if (!(rule->flags & S))
			continue;
		for (i = 0; i <= rule->more; i++, n++)
			if (indices)
				indices[n] = rule->first + i;
	}
	return n;
}

int vmm_msr_get_list(struct vmm_msr_list *args)
{
	unsigned int room = args->count, n = saved_indices(NULL);
	u32 *indices;
	int r = 0;

	if (args->flags)
		return -EINVAL;
	args->count = n;
	if (room < n)
		return -ENOSPC;
	indices = kcalloc(n, sizeof(*indices), GFP_KERNEL);
	if (!indices)
		return -ENOMEM;
	saved_indices(indices);
	if (copy_to_user(u64_to_user_ptr(args->indices), indices, n * sizeof(*indices)))
		r = -EFAULT;
	kfree(indices);
	return r;
}

/* A copy of the process's entries, all checked to be well-formed. */
static struct vmm_msr *copy_entries(const struct vmm_msrs *args)
{
	struct vmm_msr *entries;
	unsigned int i;

	if (args->flags)
		return ERR_PTR(-EINVAL);
	if (args->count > VMM_MAX_MSRS)
		return ERR_PTR(-E2BIG);
	entries = memdup_user(u64_to_user_ptr(args->msrs), args->count * sizeof(*entries));
	if (IS_ERR(entries))
		return entries;
	for (i = 0; i < args->count; i++) {
		if (entries[i].pad) {
			kfree(entries);
			return ERR_PTR(-EINVAL);
		}
	}
	return entries;
}

int vmm_msrs_get(struct vmm_vcpu *vcpu, const struct vmm_msrs *args)
{
	struct vmm_msr *entries;
	int n;

	if (!args->count)
		return args->flags ? -EINVAL : 0;
	entries = copy_entries(args);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	for (n = 0; n < args->count; n++)
		if (vmm_msr_read(vcpu, entries[n].index, VMM_ORIGIN_USER, &entries[n].value))
			break;
	if (copy_to_user(u64_to_user_ptr(args->msrs), entries, n * sizeof(*entries)))
		n = -EFAULT;
	kfree(entries);
	return n;
}

int vmm_msrs_set(struct vmm_vcpu *vcpu, const struct vmm_msrs *args)
{
	struct vmm_msr *entries;
	int n;

	if (!args->count)
		return args->flags ? -EINVAL : 0;
	entries = copy_entries(args);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	for (n = 0; n < args->count; n++)
		if (vmm_msr_write(vcpu, entries[n].index, VMM_ORIGIN_USER, entries[n].value))
			break;
	kfree(entries);
	return n;
}

/* ---- life ---- */

int vmm_msr_create(struct vmm_vcpu *vcpu)
{
	vcpu->msr = kzalloc(sizeof(*vcpu->msr), GFP_KERNEL_ACCOUNT);
	return vcpu->msr ? 0 : -ENOMEM;
}

void vmm_msr_destroy(struct vmm_vcpu *vcpu)
{
	kfree(vcpu->msr);
}

/* "Power-up state of the PAT": WB, WT, UC-, UC, twice */
#define PAT_RESET	0x0007040600070406ULL

void vmm_msr_reset(struct vmm_vcpu *vcpu)
{
	const struct msr_rule *rule;

	*vcpu->msr = (struct vmm_msr_state) {
		.misc_enable = MISC_ENABLE_FIXED | MSR_IA32_MISC_ENABLE_FAST_STRING,
		/* As firmware leaves it: all of memory is write-back. */
		.mtrr_type = MTRR_ENABLE | MTRR_TYPE_WRBACK,
	};
	for (rule = rules; rule < rules + ARRAY_SIZE(rules); rule++)
		if (rule->kind == MSR_HW && (rule->flags & S))
			vmm_ops->set_msr(vcpu, rule->first,
					 rule->first == MSR_IA32_CR_PAT ? PAT_RESET : 0);
	/* All vCPUs of a VM count alike. */
	vmm_tsc_reset(vcpu);
}
