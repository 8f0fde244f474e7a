// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * FPU and vector state: get and set move it between process and guest, bad images
 * are refused, XSETBV and XCR0 follow the policy, and vCPUs do not share it.
 */
#include "lib/test.h"

#define MXCSR_OFFSET	24
#define XMM_OFFSET	160
#define HEADER		512

static void get(struct vcpu *vcpu, u8 *data, u32 size)
{
	struct vmm_xsave args = { .size = size, .data = (u64)data };

	VMM_MUST(vcpu->fd, VMM_GET_XSAVE, &args);
}

static int set(struct vcpu *vcpu, u8 *data, u32 size)
{
	struct vmm_xsave args = { .size = size, .data = (u64)data };

	return vmm_call(vcpu->fd, VMM_SET_XSAVE, &args);
}

static u64 xmm0[2];
static u32 mxcsr;

static void guest_store_xmm0(void)
{
	__asm__ volatile("movups %%xmm0, xmm0; stmxcsr mxcsr" : : : "memory");
	GUEST_SYNC(1);
	__asm__ volatile("movups %%xmm0, xmm0" : : : "memory");
	GUEST_DONE();
}

static void guest_load_xmm(void)
{
	xmm0[0] = 0x1122334455667788;
	xmm0[1] = 0x99aabbccddeeff00;
	mxcsr = 0x1f00;
	__asm__ volatile("movups xmm0, %%xmm0; movups xmm0, %%xmm15; ldmxcsr mxcsr" : : : "memory");
	GUEST_SYNC(1);
	__asm__ volatile("movups %%xmm15, xmm0" : : : "memory");
	GUEST_EQ(0x1122334455667788, xmm0[0]);
	GUEST_EQ(0x99aabbccddeeff00, xmm0[1]);
	GUEST_DONE();
}

TEST(a_new_vcpu_has_the_initial_state)
{
	struct vmm_info info = get_info();
	struct vcpu *vcpu = vcpu_new_reset(vm_new_bare(), 0);
	u8 *data = calloc(1, info.xsave_size);

	memset(data, 0xa5, info.xsave_size);
	get(vcpu, data, info.xsave_size);
	EXPECT_EQ(0x1f80, *(u32 *)(data + MXCSR_OFFSET));
	EXPECT_EQ(0, *(u64 *)(data + HEADER + 8));	/* XCOMP_BV: standard form */
	/* x87 and SSE are there on a CPU without XSAVE, too. */
	EXPECT_EQ(0, *(u64 *)(data + HEADER) & ~(info.xcr0 | 3));
	for (u32 i = HEADER + 16; i < HEADER + 64; i++)
		EXPECT_EQ_FOR(0, data[i], "byte %u of the header", i - HEADER);
	for (u32 i = XMM_OFFSET; i < XMM_OFFSET + 256; i++)
		EXPECT_EQ_FOR(0, data[i], "byte %u of the XMM registers", i - XMM_OFFSET);
}

TEST(what_the_process_sets_the_guest_has)
{
	struct vmm_info info = get_info();
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_store_xmm0);
	u8 *data = calloc(1, info.xsave_size);
	u64 want[2] = { 0xfeedfacecafebeef, 0x0123456789abcdef };

	get(vcpu, data, info.xsave_size);
	memcpy(data + XMM_OFFSET, want, 16);
	*(u32 *)(data + MXCSR_OFFSET) = 0x1fa0;
	*(u64 *)(data + HEADER) |= 3;
	ASSERT_EQ(0, set(vcpu, data, info.xsave_size));
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(want[0], guest_var(vcpu->vm, xmm0[0]));
	EXPECT_EQ(want[1], guest_var(vcpu->vm, xmm0[1]));
	EXPECT_EQ(0x1fa0, guest_var(vcpu->vm, mxcsr));
	/* XSTATE_BV without SSE: the initial state. */
	*(u64 *)(data + HEADER) = 0;
	ASSERT_EQ(0, set(vcpu, data, info.xsave_size));
	vcpu_done(vcpu);
	EXPECT_EQ(0, guest_var(vcpu->vm, xmm0[0]));
}

TEST(what_the_guest_has_the_process_gets)
{
	struct vmm_info info = get_info();
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_load_xmm);
	u8 *data = calloc(1, info.xsave_size + 64);

	memset(data + info.xsave_size, 0xa5, 64);
	vcpu_sync(vcpu, 1);
	get(vcpu, data, info.xsave_size);
	EXPECT_EQ(0x1122334455667788, *(u64 *)(data + XMM_OFFSET));
	EXPECT_EQ(0x99aabbccddeeff00, *(u64 *)(data + XMM_OFFSET + 15 * 16 + 8));
	EXPECT_EQ(0x1f00, *(u32 *)(data + MXCSR_OFFSET));
	EXPECT_EQ(2, *(u64 *)(data + HEADER) & 2);
	for (u32 i = 0; i < 64; i++)
		EXPECT_EQ_FOR(0xa5, data[info.xsave_size + i], "byte %u behind the image", i);
	vcpu_done(vcpu);
}

TEST(bad_images_are_refused)
{
	struct vmm_info info = get_info();
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_load_xmm);
	u8 *good = calloc(1, info.xsave_size), *bad = calloc(1, info.xsave_size);
	u8 *after = calloc(1, info.xsave_size);

	get(vcpu, good, info.xsave_size);
#define REFUSED(edit)							\
	do {								\
		memcpy(bad, good, info.xsave_size);			\
		bad[XMM_OFFSET] = 0x77;					\
		*(u64 *)(bad + HEADER) |= 3;				\
		edit;							\
		EXPECT_EQ_FOR(-EINVAL, set(vcpu, bad, info.xsave_size), #edit); \
		get(vcpu, after, info.xsave_size);			\
		EXPECT_EQ_FOR(0, memcmp(good, after, info.xsave_size), "state after " #edit); \
	} while (0)
	REFUSED(*(u32 *)(bad + MXCSR_OFFSET) = 0x80001f80);
	REFUSED(*(u64 *)(bad + HEADER) |= 1UL << 62);
	REFUSED(*(u64 *)(bad + HEADER) |= 1UL << 63);
	REFUSED(*(u64 *)(bad + HEADER + 8) = 1UL << 63);
	REFUSED(*(u64 *)(bad + HEADER + 8) = 3);
	REFUSED(*(u64 *)(bad + HEADER + 16) = 1);
	REFUSED(bad[HEADER + 63] = 1);
	vcpu_sync(vcpu, 1);
	vcpu_done(vcpu);
}

static volatile u32 values[2];

static void guest_own(u32 id)
{
	for (int i = 0; i < 20; i++) {
		u32 value = id * 1000 + i;

		__asm__ volatile("movd %0, %%xmm7" : : "r"(value));
		GUEST_SYNC(i);
		__asm__ volatile("movd %%xmm7, %0" : "=r"(values[id]));
		GUEST_EQ(value, values[id]);
	}
	GUEST_DONE();
}

static void guest_own0(void)
{
	guest_own(0);
}

static void guest_own1(void)
{
	guest_own(1);
}

TEST(two_vcpus_of_one_thread_keep_their_own)
{
	struct vm *vm = vm_new();
	struct vcpu *a = vcpu_new(vm, 0, guest_own0), *b = vcpu_new(vm, 1, guest_own1);

	for (int i = 0; i < 20; i++) {
		vcpu_sync(a, i);
		vcpu_sync(b, i);
	}
	vcpu_done(a);
	vcpu_done(b);
}

static u64 xsetbv(u32 index, u64 value)
{
	return GUEST_TRY("xsetbv", "a"((u32)value), "d"((u32)(value >> 32)), "c"(index) : "memory");
}

static u64 xgetbv(u32 index)
{
	u32 low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
	return low | (u64)high << 32;
}

static void guest_xsetbv_user(void)
{
	xsetbv(0, 3);
}

static void guest_xcr0(void)
{
	u64 allowed = 0;

	if (!(cpuid(1, 0).ecx & 1U << 26)) {
		/* A CPU without XSAVE: its instructions are #UD. */
		GUEST_EQ(VEC_UD, xsetbv(0, 1));
		GUEST_DONE();
	}
	GUEST_EQ(0, cpuid(1, 0).ecx & 1U << 27);
	GUEST_EQ(VEC_UD, xsetbv(0, 1));			/* CR4.OSXSAVE is off */
	write_cr4(read_cr4() | X86_CR4_OSXSAVE);
	GUEST_EQ(1U << 27, cpuid(1, 0).ecx & 1U << 27);	/* CPUID follows */
	GUEST_EQ(1, xgetbv(0));
	allowed = cpuid(0xd, 0).eax | (u64)cpuid(0xd, 0).edx << 32;
	GUEST_EQ(3, allowed & 3);
	GUEST_EQ(NO_FAULT, xsetbv(0, 3));
	GUEST_EQ(3, xgetbv(0));
	GUEST_EQ(NO_FAULT, xsetbv(0, allowed));
	GUEST_EQ(allowed, xgetbv(0));
	GUEST_SYNC((u32)allowed);
	GUEST_EQ(allowed, xgetbv(0));
	GUEST_EQ(VEC_GP, xsetbv(0, 0));
	GUEST_EQ(VEC_GP, xsetbv(0, 2));
	GUEST_EQ(VEC_GP, xsetbv(0, 5));
	GUEST_EQ(VEC_GP, xsetbv(0, allowed | 1UL << 62));
	GUEST_EQ(VEC_GP, xsetbv(1, 1));
	GUEST_EQ(allowed, xgetbv(0));
	guest_call_user(guest_xsetbv_user);
	GUEST_EQ(VEC_GP, guest_fault.vector);
	GUEST_DONE();
}

TEST(xsetbv_takes_what_cpuid_offers)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_xcr0);
	struct vmm_state state;
	u32 xcr0;

	vcpu_exit(vcpu);
	if (vcpu_synced(vcpu, &xcr0) && xcr0 != GUEST_DONE_VALUE) {
		EXPECT_EQ((u32)get_info().xcr0, xcr0);
		vcpu_get(vcpu, &state, VMM_STATE_CTRL);
		EXPECT_EQ(get_info().xcr0, state.ctrl.xcr0);
		vcpu_done(vcpu);
	}
}

static void guest_ts(void)
{
	write_cr0(read_cr0() | X86_CR0_TS);
	GUEST_EQ(VEC_NM, GUEST_TRY("movups %%xmm0, %%xmm1", "a"(0) : "memory"));
	__asm__ volatile("clts");
	GUEST_EQ(NO_FAULT, GUEST_TRY("movups %%xmm0, %%xmm1", "a"(0) : "memory"));
	write_cr0(read_cr0() | X86_CR0_EM);
	GUEST_EQ(VEC_UD, GUEST_TRY("movups %%xmm0, %%xmm1", "a"(0) : "memory"));
	GUEST_EQ(VEC_NM, GUEST_TRY("fnop", "a"(0) : "memory"));
	write_cr0(read_cr0() & ~X86_CR0_EM);
	__asm__ volatile("smsw %%ax; or $8, %%ax; lmsw %%ax" : : : "eax");
	GUEST_EQ(VEC_NM, GUEST_TRY("fwait; fnop", "a"(0) : "memory"));
	__asm__ volatile("clts");
	GUEST_DONE();
}

TEST(ts_and_em_of_cr0_are_the_guests_own)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_ts));
}

/* ---- XSAVES ---- */

#define XSAVES		(1U << 3)	/* leaf 0xd, index 1, EAX */
#define MSR_XSS		0xda0
#define XSAVE_OPERANDS	"D"(GUEST_DATA), "a"(3), "d"(0) : "memory"

static void guest_xsaves(void)
{
	bool there = cpuid(0xd, 0).eax && (cpuid(0xd, 1).eax & XSAVES);
	u64 value;

	if (cpuid(1, 0).ecx & 1U << 26)
		write_cr4(read_cr4() | X86_CR4_OSXSAVE);
	if (!there) {
		GUEST_EQ(VEC_UD, GUEST_TRY("xsaves (%0)", XSAVE_OPERANDS));
		GUEST_EQ(VEC_UD, GUEST_TRY("xrstors (%0)", XSAVE_OPERANDS));
		GUEST_DONE();
	}
	/* Of the supervisor's state there is none. */
	GUEST_EQ(NO_FAULT, try_rdmsr(MSR_XSS, &value));
	GUEST_EQ(0, value);
	GUEST_EQ(NO_FAULT, try_wrmsr(MSR_XSS, 0));
	for (u32 bit = 0; bit < 64; bit++)
		GUEST_EQ(VEC_GP, try_wrmsr(MSR_XSS, 1UL << bit));
	GUEST_EQ(NO_FAULT, GUEST_TRY("xsaves (%0)", XSAVE_OPERANDS));
	/* XCOMP_BV: compacted, the legacy components only */
	GUEST_EQ(1UL << 63 | 3, read64(GUEST_DATA + HEADER + 8));
	GUEST_EQ(NO_FAULT, GUEST_TRY("xrstors (%0)", XSAVE_OPERANDS));
	GUEST_DONE();
}

TEST(xsaves_is_there_if_cpuid_says_so_and_without_supervisor_state)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_xsaves));
}

VMM_TEST_MAIN
