// SPDX-License-Identifier: GPL-2.0-only
/*
 * What guests see of CPUID: one const policy table says for each leaf where its
 * answer comes from and which bits of it guests may have. Ended with what the host
 * has it makes the supported table, once, at module load; a vCPU uses that or one
 * that the process gave, each feature of which the supported table has.
 *
 * What the policy does not name reads as zero. docs/cpuid-msr.md says why each
 * group of bits is there or hidden.
 *
 * Invariants of a table: entries are sorted by function and index, the last one
 * is a sentinel; first[] is the 1-based position of a function's first entry. APIC id
 * and the bits that follow CR4, XCR0 and IA32_APIC_BASE are filled in when it is read.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/nospec.h>
#include <linux/sort.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xcr.h>
#include <asm/msr-index.h>
#include <asm/processor.h>
#include <asm/processor-flags.h>
#include <asm/tsc.h>
#include <uapi/asm/kvm_para.h>

#include "vmm.h"

enum { EAX, EBX, ECX, EDX };

/* Functions 0, 0x40000000 and 0x80000000, with this many behind each. */
#define RANGES		4	/* function >> 30; the last one is empty */
#define RANGE_LEAVES	64

#define LAST_BASIC	0x16U
#define LAST_HYPERVISOR	0x40000010U
#define LAST_EXTENDED	0x80000021U
#define LEAF_TOPOLOGY	0xbU
#define LEAF_XSAVE	0xdU
#define LEAF_TSC		0x15U
#define LEAF_FREQUENCY		0x16U
#define LEAF_HV_TIMING	0x40000010U
#define LEAF_SIZES	0x80000008U
#define NO_LEAF		(~0U)

struct vmm_cpuid_table {
	u16 first[RANGES][RANGE_LEAVES];
	u64 cr4;			/* bits that its features allow */
	u64 efer;
	u8 phys_bits;
	u32 pv_features;		/* KVM_FEATURE_*, a bit each */
	unsigned int count;		/* without the sentinel */
	struct vmm_cpuid_entry entries[];
};

static struct vmm_cpuid_table *supported;

/* Of each XSAVE component: for leaf 0xd's sizes by XCR0. */
static struct {
	u32 size;
	u32 offset;		/* in the standard form */
	bool aligned;		/* to 64 bytes in the compacted form */
} xsave_parts[XFEATURE_MAX];
static u64 xcr0_supported;

/* ---- policy ---- */

#define F(name)		(1U << (X86_FEATURE_##name & 31))
#define ALL		(~0U)

/* rule.flags */
#define RULE_INDEXED	BIT(0)	/* the leaf has subleaves; rule.index is the first */
#define RULE_SUBLEAVES	BIT(1)	/* and goes on until one is empty */
#define RULE_IF_HOST	BIT(2)	/* only if the host's highest leaf reaches it */
#define RULE_FREE	BIT(3)	/* no features: the process may set what it likes */

/* Bounds what a leaf without end would make of RULE_SUBLEAVES. */
#define MAX_SUBLEAVES	32

/*
 * @host: bits that pass if the host has them; @soft: bits that are there always,
 * because the module provides them; @may: features that only the process's table may
 * have, as they tell of what it made. @word: W() of the word of the host kernel's
 * own view, CPUID_*, that must agree: what it switched off, guests do not get.
 * @features: registers (1 << EAX ...) whose bits are features: a table
 * of the process may clear, but not set them. @fill: computes what is not a mask.
 */
struct rule {
	u32 function;
	u32 index;
	u8 flags;
	u8 features;
	u32 host[4];
	u32 soft[4];
	u32 may[4];
	u8 word[4];
	void (*fill)(struct vmm_cpuid_entry *e);
};

#define R_EAX	BIT(EAX)
#define R_EBX	BIT(EBX)
#define R_ECX	BIT(ECX)
#define R_EDX	BIT(EDX)
#define R_ALL	(R_EAX | R_EBX | R_ECX | R_EDX)

/* rule.word: 0 is none */
#define W(word)	((word) + 1)

/* Leaf 1 EDX, of which 0x80000001 EDX repeats a part on one vendor's CPUs */
#define FEATURES_1_EDX_COMMON (F(FPU) | F(VME) | F(DE) | F(PSE) | F(TSC) | F(MSR) | F(PAE) | \
	F(MCE) | F(CX8) | F(APIC) | F(MTRR) | F(PGE) | F(MCA) | F(CMOV) | F(PAT) | F(PSE36) | \
	F(MMX) | F(FXSR))

#define FEATURES_1_EDX (FEATURES_1_EDX_COMMON | F(SEP) | F(CLFLUSH) | F(XMM) | F(XMM2) | \
	F(SELFSNOOP))

#define FEATURES_1_ECX (F(XMM3) | F(PCLMULQDQ) | F(SSSE3) | F(FMA) | F(CX16) | F(PCID) | \
	F(XMM4_1) | F(XMM4_2) | F(MOVBE) | F(POPCNT) | F(AES) | F(XSAVE) | F(AVX) | F(F16C) | \
	F(RDRAND))

/* Done by the module: its APIC and timer, MTRRs, and the fact that it is there. */
#define SOFT_1_ECX (F(X2APIC) | F(TSC_DEADLINE_TIMER) | F(HYPERVISOR))
#define SOFT_1_EDX (F(APIC) | F(MTRR))

#define FEATURES_7_EBX (F(FSGSBASE) | F(BMI1) | F(AVX2) | F(FDP_EXCPTN_ONLY) | F(SMEP) | F(BMI2) | \
	F(ERMS) | F(INVPCID) | F(ZERO_FCS_FDS) | F(AVX512F) | F(AVX512DQ) | F(RDSEED) | F(ADX) | \
	F(SMAP) | F(AVX512IFMA) | F(CLFLUSHOPT) | F(CLWB) | F(AVX512PF) | F(AVX512ER) | \
	F(AVX512CD) | F(SHA_NI) | F(AVX512BW) | F(AVX512VL))

#define FEATURES_7_ECX (F(AVX512VBMI) | F(UMIP) | F(AVX512_VBMI2) | F(GFNI) | F(VAES) | \
	F(VPCLMULQDQ) | F(AVX512_VNNI) | F(AVX512_BITALG) | F(AVX512_VPOPCNTDQ) | F(RDPID) | \
	F(CLDEMOTE) | F(MOVDIRI) | F(MOVDIR64B) | F(LA57) | F(PKU))

#define FEATURES_7_EDX (F(AVX512_4VNNIW) | F(AVX512_4FMAPS) | F(FSRM) | F(AVX512_VP2INTERSECT) | \
	F(MD_CLEAR) | F(SERIALIZE) | F(AVX512_FP16))

#define FEATURES_7_1_EAX (F(AVX_VNNI) | F(AVX512_BF16))

#define FEATURES_D_1_EAX (F(XSAVEOPT) | F(XSAVEC) | F(XGETBV1) | F(XSAVES))

#define FEATURES_80000001_ECX (F(LAHF_LM) | F(ABM) | F(SSE4A) | F(MISALIGNSSE) | \
	F(3DNOWPREFETCH) | F(XOP) | F(FMA4) | F(TBM))

#define FEATURES_80000001_EDX (FEATURES_1_EDX_COMMON | F(SYSCALL) | F(NX) | F(MMXEXT) | \
	F(FXSR_OPT) | F(GBPAGES) | F(RDTSCP) | F(LM) | F(3DNOWEXT) | F(3DNOW))

#define FEATURES_80000008_EBX (F(CLZERO) | F(XSAVEERPTR))

/* 0x80000021 EAX: LFENCE serializes; a null selector clears the base */
#define FEATURES_80000021_EAX (BIT(2) | BIT(6))

/* 0x80000008 ECX: number of cores, and the bits of their ids */
#define CORES (GENMASK(7, 0) | GENMASK(15, 12))

#define FEATURES_KVM (BIT(KVM_FEATURE_CLOCKSOURCE2) | BIT(KVM_FEATURE_NOP_IO_DELAY) | \
	BIT(KVM_FEATURE_STEAL_TIME) | BIT(KVM_FEATURE_PV_EOI) | BIT(KVM_FEATURE_PV_UNHALT) | \
	BIT(KVM_FEATURE_PV_TLB_FLUSH) | BIT(KVM_FEATURE_PV_SEND_IPI) | \
	BIT(KVM_FEATURE_POLL_CONTROL) | BIT(KVM_FEATURE_PV_SCHED_YIELD) | \
	BIT(KVM_FEATURE_MSI_EXT_DEST_ID) | BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT))

/* Leaf 4 EAX without the two counts of who shares the cache: one CPU */
#define CACHE_EAX	GENMASK(13, 0)
/* Leaf 1 EBX: CLFLUSH size; leaf 6 EAX: the APIC timer never stops */
#define CLFLUSH_SIZE	GENMASK(15, 8)
#define ARAT		F(ARAT)
/* The parts of an XSAVE area that are always there */
#define XSAVE_FIRST_SIZE	(sizeof(struct fxregs_state) + sizeof(struct xstate_header))
/* Leaf 0xd ECX of a component */
#define XSAVE_ALIGNED	BIT(1)
/* 0x80000007 EDX: the TSC has one rate in all states of power */
#define INVARIANT_TSC	BIT(8)

static void fill_basic(struct vmm_cpuid_entry *e)
{
	e->eax = LAST_BASIC;
}

static void fill_extended(struct vmm_cpuid_entry *e)
{
	e->eax = min(e->eax, LAST_EXTENDED);
}

/* One logical processor in the package; the APIC id is the reader's. */
static void fill_signature(struct vmm_cpuid_entry *e)
{
	e->ebx = (e->ebx & CLFLUSH_SIZE) | 1 << 16;
	if (!xcr0_supported)
		e->ecx &= ~F(XSAVE);
}

static void fill_features_7(struct vmm_cpuid_entry *e)
{
	e->eax = 1;
	if (vmm_caps.no_invpcid)
		e->ebx &= ~F(INVPCID);
	if (vmm_caps.no_rdtscp)
		e->ecx &= ~F(RDPID);
	if (!boot_cpu_has(X86_FEATURE_OSPKE))
		e->ecx &= ~F(PKU);
}

static void fill_features_extended(struct vmm_cpuid_entry *e)
{
	if (vmm_caps.no_rdtscp)
		e->edx &= ~F(RDTSCP);
}

/* "Extended Topology Enumeration": level 1 (thread), 2 (core), each of one */
static void fill_topology(struct vmm_cpuid_entry *e)
{
	e->ebx = 1;
	e->ecx = e->index | (e->index + 1) << 8;
}

static u32 xsave_size(u64 xcr0)
{
	u32 size = XSAVE_FIRST_SIZE;
	unsigned int i;

	for (i = XFEATURE_YMM; xcr0 >> i; i++)
		if (xcr0 & BIT_ULL(i))
			size = max(size, xsave_parts[i].offset + xsave_parts[i].size);
	return size;
}

static u32 compacted_size(u64 xcr0)
{
	u32 size = XSAVE_FIRST_SIZE;
	unsigned int i;

	for (i = XFEATURE_YMM; xcr0 >> i; i++) {
		if (!(xcr0 & BIT_ULL(i)))
			continue;
		if (xsave_parts[i].aligned)
			size = ALIGN(size, 64);
		size += xsave_parts[i].size;
	}
	return size;
}

static void fill_xsave(struct vmm_cpuid_entry *e)
{
	e->eax = lower_32_bits(xcr0_supported);
	e->edx = upper_32_bits(xcr0_supported);
	e->ecx = xcr0_supported ? xsave_size(xcr0_supported) : 0;
	e->ebx = e->ecx;
}

static void fill_xsave_features(struct vmm_cpuid_entry *e)
{
	if (!xcr0_supported)
		e->eax = 0;
	if (vmm_caps.no_xsaves)
		e->eax &= ~F(XSAVES);
}

/*
 * The core crystal's clock is what the APIC timer counts by. With a ratio of
 * one it is the TSC's own frequency, exact, and no guest's multiplication
 * overflows.
 */
static void tell_tsc(struct vmm_cpuid_entry *e, u32 khz)
{
	u64 hz = khz * 1000ULL;

	e->eax = hz <= U32_MAX;
	e->ebx = e->eax;
	e->ecx = e->eax ? hz : 0;
}

static void fill_tsc(struct vmm_cpuid_entry *e)
{
	tell_tsc(e, tsc_khz);
}

static void tell_mhz(struct vmm_cpuid_entry *e, u32 khz)
{
	e->eax = khz / 1000;
	e->ebx = e->eax;
}

static void fill_mhz(struct vmm_cpuid_entry *e)
{
	tell_mhz(e, tsc_khz);
}

static void fill_hypervisor(struct vmm_cpuid_entry *e)
{
	u32 signature[3];

	memcpy(signature, KVM_SIGNATURE, sizeof(signature));
	e->eax = LAST_HYPERVISOR;
	e->ebx = signature[0];
	e->ecx = signature[1];
	e->edx = signature[2];
}

static void tell_timing(struct vmm_cpuid_entry *e, u32 khz)
{
	e->eax = khz;
	e->ebx = khz;
}

static void fill_timing(struct vmm_cpuid_entry *e)
{
	tell_timing(e, tsc_khz);
}

static void fill_invariant_tsc(struct vmm_cpuid_entry *e)
{
	if (!boot_cpu_has(X86_FEATURE_CONSTANT_TSC) || !boot_cpu_has(X86_FEATURE_NONSTOP_TSC) ||
	    check_tsc_unstable())
		e->edx &= ~(u32)INVARIANT_TSC;
}

static unsigned int linear_bits(void)
{
	return boot_cpu_has(X86_FEATURE_LA57) ? 57 : 48;
}

/* Physical and linear address bits */
static void fill_sizes(struct vmm_cpuid_entry *e)
{
	e->eax = vmm_mmu_phys_bits() | linear_bits() << 8;
}

#define AS_HOST(leaf) \
	{ .function = (leaf), .host = { ALL, ALL, ALL, ALL }, .flags = RULE_FREE | RULE_IF_HOST }

static const struct rule rules[] = {
	{ .function = 0, .host = { 0, ALL, ALL, ALL }, .flags = RULE_FREE, .fill = fill_basic },
	{ .function = 1, .host = { ALL, ALL, FEATURES_1_ECX, FEATURES_1_EDX },
	  .soft = { [ECX] = SOFT_1_ECX, [EDX] = SOFT_1_EDX }, .features = R_ECX | R_EDX,
	  .may = { [EDX] = F(HT) },
	  .word = { [ECX] = W(CPUID_1_ECX), [EDX] = W(CPUID_1_EDX) }, .fill = fill_signature },
	{ .function = 2, .host = { ALL, ALL, ALL, ALL }, .flags = RULE_FREE },
	{ .function = 4, .host = { CACHE_EAX, ALL, ALL, ALL },
	  .flags = RULE_INDEXED | RULE_SUBLEAVES | RULE_FREE },
	{ .function = 6, .soft = { ARAT }, .features = R_ALL },
	{ .function = 7, .host = { 0, FEATURES_7_EBX, FEATURES_7_ECX, FEATURES_7_EDX },
	  .soft = { [EBX] = F(TSC_ADJUST) }, .flags = RULE_INDEXED,
	  .features = R_EBX | R_ECX | R_EDX,
	  .word = { 0, W(CPUID_7_0_EBX), W(CPUID_7_ECX), W(CPUID_7_EDX) },
	  .fill = fill_features_7 },
	{ .function = 7, .index = 1, .host = { FEATURES_7_1_EAX }, .flags = RULE_INDEXED,
	  .features = R_ALL, .word = { W(CPUID_7_1_EAX) } },
	{ .function = LEAF_TOPOLOGY, .flags = RULE_INDEXED | RULE_FREE, .fill = fill_topology },
	{ .function = LEAF_TOPOLOGY, .index = 1, .flags = RULE_INDEXED | RULE_FREE,
	  .fill = fill_topology },
	{ .function = LEAF_XSAVE, .flags = RULE_INDEXED, .features = R_EAX | R_EDX,
	  .fill = fill_xsave },
	{ .function = LEAF_XSAVE, .index = 1, .host = { FEATURES_D_1_EAX }, .flags = RULE_INDEXED,
	  .features = R_EAX | R_ECX | R_EDX, .word = { W(CPUID_D_1_EAX) },
	  .fill = fill_xsave_features },
	{ .function = LEAF_TSC, .flags = RULE_FREE, .fill = fill_tsc },
	{ .function = LEAF_FREQUENCY, .flags = RULE_FREE, .fill = fill_mhz },

	{ .function = KVM_CPUID_SIGNATURE, .flags = RULE_FREE, .fill = fill_hypervisor },
	{ .function = KVM_CPUID_FEATURES, .soft = { FEATURES_KVM }, .features = R_ALL },
	{ .function = LEAF_HV_TIMING, .flags = RULE_FREE, .fill = fill_timing },

	{ .function = 0x80000000, .host = { ALL, ALL, ALL, ALL },
	  .flags = RULE_FREE, .fill = fill_extended },
	{ .function = 0x80000001,
	  .host = { ALL, GENMASK(31, 28), FEATURES_80000001_ECX, FEATURES_80000001_EDX },
	  .flags = RULE_IF_HOST, .features = R_ECX | R_EDX,
	  .may = { [ECX] = F(CMP_LEGACY) | F(TOPOEXT) },
	  .word = { 0, 0, W(CPUID_8000_0001_ECX), W(CPUID_8000_0001_EDX) },
	  .fill = fill_features_extended },
	AS_HOST(0x80000002),
	AS_HOST(0x80000003),
	AS_HOST(0x80000004),
	AS_HOST(0x80000005),
	AS_HOST(0x80000006),
	{ .function = 0x80000007, .host = { [EDX] = INVARIANT_TSC }, .flags = RULE_IF_HOST,
	  .features = R_ALL, .fill = fill_invariant_tsc },
	{ .function = LEAF_SIZES, .host = { [EBX] = FEATURES_80000008_EBX },
	  .flags = RULE_IF_HOST, .features = R_EBX | R_ECX | R_EDX, .may = { [ECX] = CORES },
	  .word = { [EBX] = W(CPUID_8000_0008_EBX) }, .fill = fill_sizes },
	AS_HOST(0x80000019),
	AS_HOST(0x8000001a),
	{ .function = 0x8000001e, .flags = RULE_FREE | RULE_IF_HOST },
	{ .function = 0x80000021, .host = { FEATURES_80000021_EAX },
	  .flags = RULE_IF_HOST, .features = R_ALL },
};

/* CR4 and EFER bits that come with a feature. */
static const struct control {
	u32 function;
	u8 reg;
	u32 feature;
	u64 cr4;
	u64 efer;
} controls[] = {
	{ 1, EDX, F(VME), X86_CR4_VME | X86_CR4_PVI },
	{ 1, EDX, F(TSC), X86_CR4_TSD },
	{ 1, EDX, F(DE), X86_CR4_DE },
	{ 1, EDX, F(PSE), X86_CR4_PSE },
	{ 1, EDX, F(PAE), X86_CR4_PAE },
	{ 1, EDX, F(MCE), X86_CR4_MCE },
	{ 1, EDX, F(PGE), X86_CR4_PGE },
	{ 1, EDX, F(FXSR), X86_CR4_OSFXSR },
	{ 1, EDX, F(XMM), X86_CR4_OSXMMEXCPT },
	{ 1, ECX, F(PCID), X86_CR4_PCIDE },
	{ 1, ECX, F(XSAVE), X86_CR4_OSXSAVE },
	{ 7, EBX, F(FSGSBASE), X86_CR4_FSGSBASE },
	{ 7, EBX, F(SMEP), X86_CR4_SMEP },
	{ 7, EBX, F(SMAP), X86_CR4_SMAP },
	{ 7, ECX, F(UMIP), X86_CR4_UMIP },
	{ 7, ECX, F(LA57), X86_CR4_LA57 },
	{ 7, ECX, F(PKU), X86_CR4_PKE },
	{ 0x80000001, EDX, F(SYSCALL), 0, EFER_SCE },
	{ 0x80000001, EDX, F(LM), 0, EFER_LME | EFER_LMA | EFER_SCE },
	{ 0x80000001, EDX, F(NX), 0, EFER_NX },
	{ 0x80000001, EDX, F(FXSR_OPT), 0, EFER_FFXSR },
};

/* ---- tables ---- */

static u32 *reg_of(struct vmm_cpuid_entry *e, unsigned int reg)
{
	return &e->eax + reg;
}

static u32 get_reg(const struct vmm_cpuid_entry *e, unsigned int reg)
{
	return *(&e->eax + reg);
}

static const struct vmm_cpuid_entry *find(const struct vmm_cpuid_table *table, u32 function,
					  u32 index)
{
	u32 leaf = function & GENMASK(29, 0);
	const struct vmm_cpuid_entry *e;
	unsigned int first;

	if (leaf >= RANGE_LEAVES)
		return NULL;
	first = table->first[function >> 30][array_index_nospec(leaf, RANGE_LEAVES)];
	if (!first)
		return NULL;
	e = &table->entries[first - 1];
	if (!(e->flags & VMM_CPUID_INDEXED))
		return e;
	/* Ends at the sentinel at the latest. */
	for (; e->function == function; e++)
		if (e->index == index)
			return e;
	return NULL;
}

static int compare(const void *a, const void *b)
{
	const struct vmm_cpuid_entry *x = a, *y = b;

	if (x->function != y->function)
		return x->function < y->function ? -1 : 1;
	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	return 0;
}

static void find_controls(struct vmm_cpuid_table *table)
{
	const struct vmm_cpuid_entry *e;
	const struct control *c;

	/* RDPMC needs no feature: it exits. */
	table->cr4 = X86_CR4_PCE;
	table->efer = 0;
	for (c = controls; c < controls + ARRAY_SIZE(controls); c++) {
		e = find(table, c->function, 0);
		if (!e || !(get_reg(e, c->reg) & c->feature))
			continue;
		table->cr4 |= c->cr4;
		table->efer |= c->efer;
	}
	e = find(table, KVM_CPUID_FEATURES, 0);
	table->pv_features = e ? e->eax : 0;
	e = find(table, LEAF_SIZES, 0);
	table->phys_bits = e ? e->eax & 0xff : vmm_mmu_phys_bits();
}

/* Sort, index, derive. -EINVAL: a leaf twice, or outside the ranges. */
static int table_finish(struct vmm_cpuid_table *table)
{
	struct vmm_cpuid_entry *e = table->entries;
	unsigned int i;

	sort(e, table->count, sizeof(*e), compare, NULL);
	e[table->count] = (struct vmm_cpuid_entry) { .function = NO_LEAF };
	for (i = 0; i < table->count; i++) {
		u32 leaf = e[i].function & GENMASK(29, 0);
		bool same = i && e[i - 1].function == e[i].function;

		if (leaf >= RANGE_LEAVES)
			return -EINVAL;
		if (!same) {
			table->first[e[i].function >> 30][leaf] = i + 1;
			continue;
		}
		if (e[i - 1].index == e[i].index ||
		    !(e[i].flags & e[i - 1].flags & VMM_CPUID_INDEXED))
			return -EINVAL;
	}
	find_controls(table);
	return 0;
}

static struct vmm_cpuid_table *table_alloc(unsigned int entries)
{
	return kzalloc(struct_size((struct vmm_cpuid_table *)NULL, entries, entries + 1),
		       GFP_KERNEL_ACCOUNT);
}

/* ---- the supported table ---- */

static u32 host_mask(const struct rule *rule, unsigned int reg)
{
	u32 mask = rule->host[reg];

	if (rule->word[reg])
		mask &= boot_cpu_data.x86_capability[rule->word[reg] - 1];
	return mask;
}

/* False: the leaf, or this subleaf of it, is empty on the host. */
static bool make_entry(const struct rule *rule, u32 index, struct vmm_cpuid_entry *e)
{
	bool indexed = rule->flags & RULE_INDEXED;
	u32 host[4] = {};
	unsigned int reg;

	if (memchr_inv(rule->host, 0, sizeof(rule->host)))
		cpuid_count(rule->function, index, &host[EAX], &host[EBX], &host[ECX], &host[EDX]);
	*e = (struct vmm_cpuid_entry) {
		.function = rule->function,
		.index = index,
		.flags = indexed ? VMM_CPUID_INDEXED : 0,
	};
	for (reg = EAX; reg <= EDX; reg++)
		*reg_of(e, reg) = (host[reg] & host_mask(rule, reg)) | rule->soft[reg];
	if (rule->fill)
		rule->fill(e);
	/* "Deterministic Cache Parameters": type 0 ends the list. */
	return !(rule->flags & RULE_SUBLEAVES) || (e->eax & 0x1f);
}

/* The highest leaf of @function's range that the host answers. */
static bool host_has(const struct rule *rule)
{
	u32 base = rule->function & ~GENMASK(29, 0);

	if (rule->flags & RULE_IF_HOST)
		return rule->function <= cpuid_eax(base);
	/* Basic leaves that the module makes up may lie beyond; the rest reads 0. */
	if (memchr_inv(rule->host, 0, sizeof(rule->host)))
		return rule->function <= max(cpuid_eax(base), base) || rule->fill;
	return true;
}

static void add_rule(struct vmm_cpuid_table *table, const struct rule *rule)
{
	unsigned int more = rule->flags & RULE_SUBLEAVES ? MAX_SUBLEAVES : 1;
	u32 index = rule->index;

	if (!host_has(rule))
		return;
	while (more-- && make_entry(rule, index, &table->entries[table->count])) {
		table->count++;
		index++;
	}
}

/* The subleaves of 0xd that give size and offset of a component. */
static void add_xsave_parts(struct vmm_cpuid_table *table)
{
	unsigned int i;

	for (i = XFEATURE_YMM; xcr0_supported >> i; i++) {
		if (!(xcr0_supported & BIT_ULL(i)))
			continue;
		table->entries[table->count++] = (struct vmm_cpuid_entry) {
			.function = LEAF_XSAVE,
			.index = i,
			.flags = VMM_CPUID_INDEXED,
			.eax = xsave_parts[i].size,
			.ebx = xsave_parts[i].offset,
			.ecx = xsave_parts[i].aligned ? XSAVE_ALIGNED : 0,
		};
	}
}

static void find_xsave(void)
{
	u64 known = XFEATURE_MASK_FP | XFEATURE_MASK_SSE | XFEATURE_MASK_YMM |
		    XFEATURE_MASK_AVX512;
	u32 eax, ebx, ecx, edx;
	unsigned int i;

	if (!boot_cpu_has(X86_FEATURE_OSXSAVE))
		return;
	if (boot_cpu_has(X86_FEATURE_OSPKE))
		known |= XFEATURE_MASK_PKRU;
	xcr0_supported = xgetbv(XCR_XFEATURE_ENABLED_MASK) & known;
	if ((xcr0_supported & XFEATURE_MASK_AVX512) != XFEATURE_MASK_AVX512)
		xcr0_supported &= ~(u64)XFEATURE_MASK_AVX512;
	for (i = XFEATURE_YMM; xcr0_supported >> i; i++) {
		cpuid_count(LEAF_XSAVE, i, &eax, &ebx, &ecx, &edx);
		xsave_parts[i].size = eax;
		xsave_parts[i].offset = ebx;
		xsave_parts[i].aligned = ecx & XSAVE_ALIGNED;
	}
}

int vmm_cpuid_init(void)
{
	const struct rule *rule;
	int r;

	if (!tsc_khz) {
		pr_err("the host's TSC has no known frequency; boot it with a stable TSC\n");
		return -ENODEV;
	}
	find_xsave();
	supported = table_alloc(VMM_MAX_CPUID);
	if (!supported)
		return -ENOMEM;
	for (rule = rules; rule < rules + ARRAY_SIZE(rules); rule++)
		add_rule(supported, rule);
	add_xsave_parts(supported);
	r = table_finish(supported);
	if (WARN_ON_ONCE(r))
		kfree(supported);
	return r;
}

void vmm_cpuid_exit(void)
{
	kfree(supported);
}

/* ---- a table from the process ---- */

static const struct rule *rule_of(const struct vmm_cpuid_entry *e)
{
	const struct rule *rule;

	for (rule = rules; rule < rules + ARRAY_SIZE(rules); rule++) {
		if (rule->function != e->function)
			continue;
		if (!(rule->flags & RULE_INDEXED) || (rule->flags & RULE_SUBLEAVES) ||
		    rule->index == e->index)
			return rule;
	}
	return NULL;
}

/* What no rule names is zero, or a subleaf of the supported table as it is. */
static bool unnamed_valid(const struct vmm_cpuid_entry *e)
{
	const struct vmm_cpuid_entry *ours = find(supported, e->function, e->index);
	unsigned int reg;

	for (reg = EAX; reg <= EDX; reg++)
		if (get_reg(e, reg) && (!ours || get_reg(ours, reg) != get_reg(e, reg)))
			return false;
	return !ours || ours->flags == e->flags;
}

static bool sizes_valid(const struct vmm_cpuid_entry *e)
{
	u8 phys = e->eax, linear = e->eax >> 8;

	/* 32 bits at least: below, there is no place for the APIC. */
	return phys >= 32 && phys <= vmm_mmu_phys_bits() && linear <= linear_bits() &&
	       !(e->eax >> 16);
}

static bool entry_valid(const struct vmm_cpuid_entry *e)
{
	const struct rule *rule = rule_of(e);
	const struct vmm_cpuid_entry *ours;
	unsigned int reg;

	if (e->pad || (e->flags & ~VMM_CPUID_INDEXED) ||
	    (!(e->flags & VMM_CPUID_INDEXED) && e->index))
		return false;
	if (!rule)
		return unnamed_valid(e);
	if (!(e->flags & VMM_CPUID_INDEXED) != !(rule->flags & RULE_INDEXED))
		return false;
	if (rule->function == LEAF_SIZES && !sizes_valid(e))
		return false;
	ours = find(supported, e->function, e->index);
	for (reg = EAX; reg <= EDX; reg++) {
		u32 bits = (ours ? get_reg(ours, reg) : 0) | rule->may[reg];

		if ((rule->features & BIT(reg)) && (get_reg(e, reg) & ~bits))
			return false;
	}
	return true;
}

int vmm_cpuid_set(struct vmm_vcpu *vcpu, const struct vmm_cpuid *args)
{
	struct vmm_cpuid_table *table;
	unsigned int i;
	int r;

	lockdep_assert_held(&vcpu->lock);
	if (vcpu->ran)
		return -EBUSY;
	if (args->flags || args->count > VMM_MAX_CPUID)
		return -EINVAL;
	table = table_alloc(args->count);
	if (!table)
		return -ENOMEM;
	r = -EFAULT;
	if (copy_from_user(table->entries, u64_to_user_ptr(args->entries),
			   args->count * sizeof(table->entries[0])))
		goto out_table;
	table->count = args->count;
	r = -EINVAL;
	for (i = 0; i < table->count; i++)
		if (!entry_valid(&table->entries[i]))
			goto out_table;
	r = table_finish(table);
	if (r)
		goto out_table;
	vmm_cpuid_destroy(vcpu);
	vcpu->cpuid = table;
	return 0;

out_table:
	kfree(table);
	return r;
}

/* ---- reading ---- */

/* What depends on the reader. Who writes these bits of CR4 exits, so the cache has them. */
static __always_inline void personalize(struct vmm_vcpu *vcpu,
					const struct vmm_cpuid_entry *e, u32 out[4])
{
	switch (e->function) {
	case 1:
		out[EBX] = (out[EBX] & GENMASK(23, 0)) | vcpu->id << 24;
		out[ECX] &= ~F(OSXSAVE);
		out[ECX] |= vcpu->ctrl.cr4 & X86_CR4_OSXSAVE ? F(OSXSAVE) : 0;
		fallthrough;
	case 0x80000001:
		out[EDX] &= vmm_apic_enabled(vcpu) ? ~0U : ~F(APIC);
		break;
	case 7:
		if (!e->index && (vcpu->ctrl.cr4 & X86_CR4_PKE))
			out[ECX] |= F(OSPKE);
		break;
	case LEAF_TOPOLOGY:
		out[EDX] = vcpu->id;
		break;
	case LEAF_XSAVE:
		if (e->index > 1 || !out[EAX])
			break;
		out[EBX] = e->index ? compacted_size(vmm_fpu_xcr0(vcpu)) :
				      xsave_size(vmm_fpu_xcr0(vcpu));
		break;
	}
}

static __always_inline bool leaf(struct vmm_vcpu *vcpu, u32 function, u32 index, u32 out[4])
{
	const struct vmm_cpuid_entry *e = find(vcpu->cpuid, function, index);

	if (!e) {
		memset(out, 0, 4 * sizeof(out[0]));
		return false;
	}
	out[EAX] = e->eax;
	out[EBX] = e->ebx;
	out[ECX] = e->ecx;
	out[EDX] = e->edx;
	personalize(vcpu, e, out);
	return true;
}

bool vmm_cpuid_leaf(struct vmm_vcpu *vcpu, u32 function, u32 index, u32 out[4])
{
	return leaf(vcpu, function, index, out);
}

void vmm_cpuid_exec(struct vmm_vcpu *vcpu)
{
	u32 out[4];

	leaf(vcpu, vcpu->regs.rax, vcpu->regs.rcx, out);
	vcpu->regs.rax = out[EAX];
	vcpu->regs.rbx = out[EBX];
	vcpu->regs.rcx = out[ECX];
	vcpu->regs.rdx = out[EDX];
}

static int copy_table(const struct vmm_cpuid_table *table, struct vmm_cpuid *args)
{
	unsigned int room = args->count;

	if (args->flags)
		return -EINVAL;
	args->count = table->count;
	if (room < table->count)
		return -ENOSPC;
	if (copy_to_user(u64_to_user_ptr(args->entries), table->entries,
			 table->count * sizeof(table->entries[0])))
		return -EFAULT;
	return 0;
}

int vmm_cpuid_get_supported(struct vmm_cpuid *args)
{
	return copy_table(supported, args);
}

int vmm_cpuid_get(struct vmm_vcpu *vcpu, struct vmm_cpuid *args)
{
	lockdep_assert_held(&vcpu->lock);
	return copy_table(vcpu->cpuid, args);
}

/* ---- a vCPU's ---- */

/* Of a table that is nobody else's */
static void tell_frequency(struct vmm_cpuid_table *table, u32 khz)
{
	struct vmm_cpuid_entry *e;

	for (e = table->entries; e < table->entries + table->count; e++) {
		if (e->function == LEAF_TSC)
			tell_tsc(e, khz);
		else if (e->function == LEAF_FREQUENCY)
			tell_mhz(e, khz);
		else if (e->function == LEAF_HV_TIMING)
			tell_timing(e, khz);
	}
}

int vmm_cpuid_create(struct vmm_vcpu *vcpu)
{
	vcpu->cpuid = supported;
	if (!vcpu->vm->tsc_ratio)
		return 0;
	vcpu->cpuid = kmemdup(supported,
			      struct_size(supported, entries, supported->count + 1),
			      GFP_KERNEL_ACCOUNT);
	if (!vcpu->cpuid)
		return -ENOMEM;
	tell_frequency(vcpu->cpuid, vcpu->vm->tsc_khz);
	return 0;
}

void vmm_cpuid_destroy(struct vmm_vcpu *vcpu)
{
	if (vcpu->cpuid != supported)
		kfree(vcpu->cpuid);
}

u64 vmm_cpuid_cr4_allowed(const struct vmm_vcpu *vcpu)
{
	return vcpu->cpuid->cr4;
}

u64 vmm_cpuid_efer_allowed(const struct vmm_vcpu *vcpu)
{
	return vcpu->cpuid->efer;
}

bool vmm_cpuid_has_invpcid(struct vmm_vcpu *vcpu)
{
	u32 out[4];

	return vmm_cpuid_leaf(vcpu, 7, 0, out) && (out[EBX] & F(INVPCID));
}

u32 vmm_cpuid_pv_features(const struct vmm_vcpu *vcpu)
{
	return vcpu->cpuid->pv_features;
}

/* Without XSAVE, XCR0 is what it is after power-up. */
u64 vmm_cpuid_xcr0_supported(void)
{
	return xcr0_supported ?: XFEATURE_MASK_FP;
}

u8 vmm_cpuid_phys_bits(const struct vmm_vcpu *vcpu)
{
	return vcpu->cpuid->phys_bits;
}
