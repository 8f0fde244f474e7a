// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * MSRs: the list is what can be got and set again, guest and process see the same
 * values, bad values are #GP in the guest and refused from the process, unknown
 * ones are #GP.
 */
#include "lib/test.h"

#define NONCANONICAL	0x100000000000000UL	/* with 57 bits, too */

static u32 list[1024];

static u32 get_list(void)
{
	struct vmm_msr_list args = { .count = ARRAY_SIZE(list), .indices = (u64)list };
	int fd = open_vmm();

	VMM_MUST(fd, VMM_GET_MSR_LIST, &args);
	close(fd);
	return args.count;
}

static void guest_done(void)
{
	GUEST_DONE();
}

TEST(the_list_names_each_msr_once)
{
	u32 count = get_list();

	EXPECT_LT(10, count);
	for (u32 i = 0; i < count; i++)
		for (u32 j = i + 1; j < count; j++)
			EXPECT_NE(list[i], list[j]);
}

TEST(the_list_has_what_an_operating_system_needs)
{
	static const u32 needed[] = {
		MSR_TSC, MSR_PAT, MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
		MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_KERNEL_GS_BASE,
	};
	u32 count = get_list();

	for (u32 i = 0; i < ARRAY_SIZE(needed); i++) {
		bool found = false;

		for (u32 j = 0; j < count; j++)
			found |= list[j] == needed[i];
		EXPECT_EQ_FOR(true, found, "MSR %#x in the list", needed[i]);
	}
}

TEST(every_listed_msr_can_be_got_and_set_back)
{
	u32 count = get_list();
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	struct vmm_msr msrs[VMM_MAX_MSRS] = { 0 };
	struct vmm_msrs args = { .count = count, .msrs = (u64)msrs };
	int done;

	for (u32 i = 0; i < count; i++)
		msrs[i].index = list[i];
	done = VMM_MUST(vcpu->fd, VMM_GET_MSRS, &args);
	EXPECT_EQ_FOR(count, done, "VMM_GET_MSRS; stopped at %#x",
		      done < (int)count ? msrs[done].index : 0);
	done = VMM_MUST(vcpu->fd, VMM_SET_MSRS, &args);
	EXPECT_EQ_FOR(count, done, "VMM_SET_MSRS; stopped at %#x",
		      done < (int)count ? msrs[done].index : 0);
	vcpu_done(vcpu);
}

static const struct {
	u32 index;
	u64 value;
} plain[] = {
	{ MSR_SYSENTER_CS, 0x10 },
	{ MSR_SYSENTER_ESP, 0xffff800000001000 },
	{ MSR_SYSENTER_EIP, 0xffff800000002000 },
	{ MSR_STAR, 0x0023001000000000 },
	{ MSR_LSTAR, 0xffffffff81000000 },
	{ MSR_CSTAR, 0xffffffff82000000 },
	{ MSR_SFMASK, 0x47700 },
	{ MSR_KERNEL_GS_BASE, 0xffff888000000000 },
	{ MSR_FS_BASE, 0x7fff00001000 },
	{ MSR_GS_BASE, 0xffff888000001000 },
	{ MSR_PAT, 0x0007010600070106 },
};

static void guest_plain(void)
{
	for (u32 i = 0; i < ARRAY_SIZE(plain); i++)
		GUEST_EQ(plain[i].value, rdmsr(plain[i].index));
	for (u32 i = 0; i < ARRAY_SIZE(plain); i++)
		wrmsr(plain[i].index, plain[i].value ^ 0x1000000);
	GUEST_DONE();
}

TEST(guest_and_process_see_the_same_values)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_plain);

	for (u32 i = 0; i < ARRAY_SIZE(plain); i++) {
		EXPECT_EQ_FOR(1, vcpu_set_msr(vcpu, plain[i].index, plain[i].value), "MSR %#x",
			      plain[i].index);
		EXPECT_EQ_FOR(plain[i].value, vcpu_get_msr(vcpu, plain[i].index), "MSR %#x",
			      plain[i].index);
	}
	vcpu_done(vcpu);
	for (u32 i = 0; i < ARRAY_SIZE(plain); i++)
		EXPECT_EQ_FOR(plain[i].value ^ 0x1000000, vcpu_get_msr(vcpu, plain[i].index),
			      "MSR %#x, written by the guest", plain[i].index);
}

TEST(values_are_each_vcpus_own)
{
	struct vm *vm = vm_new();
	struct vcpu *a = vcpu_new(vm, 0, guest_plain), *b = vcpu_new(vm, 1, guest_plain);

	for (u32 i = 0; i < ARRAY_SIZE(plain); i++) {
		vcpu_set_msr(a, plain[i].index, plain[i].value);
		vcpu_set_msr(b, plain[i].index, plain[i].value);
	}
	vcpu_done(a);
	vcpu_done(b);
}

/*
 * Bases that guests write without an exit come first: there the CPU checks, or in
 * an emulated host does not.
 */
#define HARDWARE_CHECKS	5

static const struct {
	u32 index;
	u64 value;
} refused[] = {
	{ MSR_LSTAR, NONCANONICAL },
	{ MSR_CSTAR, NONCANONICAL },
	{ MSR_FS_BASE, NONCANONICAL },
	{ MSR_GS_BASE, NONCANONICAL },
	{ MSR_KERNEL_GS_BASE, NONCANONICAL },
	{ MSR_PAT, 2 },				/* a reserved type */
	{ MSR_PAT, 8UL << 56 },
	{ MSR_EFER, 1UL << 63 },
	{ MSR_EFER, 1UL << 1 },
	{ MSR_EFER, EFER_SVME | EFER_LME | EFER_LMA | EFER_NX },
	{ MSR_APIC_BASE, 1 },
	{ 0x12345678, 0 },
	{ 0xc0010117, 0 },			/* VM_HSAVE_PA */
	{ 0xc0010114, 0 },			/* VM_CR */
	{ 0xffffffff, 0 },
	{ 0x2fff, 1 },
};

static void guest_refused(void)
{
	u64 value;

	for (u32 i = HARDWARE_CHECKS; i < ARRAY_SIZE(refused); i++) {
		if (try_wrmsr(refused[i].index, refused[i].value) != VEC_GP)
			GUEST_FAIL("WRMSR that should be #GP; got is the MSR", VEC_GP,
				   refused[i].index);
		if (guest_fault.error)
			GUEST_FAIL("error code of #GP by WRMSR", 0, guest_fault.error);
	}
	GUEST_EQ(VEC_GP, try_rdmsr(0x12345678, &value));
	GUEST_EQ(VEC_GP, try_rdmsr(0xc0010117, &value));
	GUEST_EQ(VEC_GP, try_rdmsr(0x480, &value));	/* IA32_VMX_BASIC */
	GUEST_DONE();
}

TEST(bad_values_and_unknown_msrs_are_gp_in_the_guest)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_refused));
}

TEST(bad_values_and_unknown_msrs_are_refused_from_the_process)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);

	for (u32 i = 0; i < ARRAY_SIZE(refused); i++)
		EXPECT_EQ_FOR(0, vcpu_set_msr(vcpu, refused[i].index, refused[i].value),
			      "MSR %#x = %#lx", refused[i].index, refused[i].value);
	vcpu_done(vcpu);
}

TEST(a_list_stops_at_the_first_that_fails)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	struct vmm_msr msrs[3] = {
		{ .index = MSR_LSTAR, .value = 0x1000 },
		{ .index = MSR_CSTAR, .value = NONCANONICAL },
		{ .index = MSR_STAR, .value = 0x2000 },
	};
	struct vmm_msrs args = { .count = 3, .msrs = (u64)msrs };
	u64 star = vcpu_get_msr(vcpu, MSR_STAR);

	EXPECT_EQ(1, VMM_MUST(vcpu->fd, VMM_SET_MSRS, &args));
	EXPECT_EQ(0x1000, vcpu_get_msr(vcpu, MSR_LSTAR));
	EXPECT_EQ(star, vcpu_get_msr(vcpu, MSR_STAR));
	msrs[1].index = 0x12345678;
	EXPECT_EQ(1, VMM_MUST(vcpu->fd, VMM_GET_MSRS, &args));
}

static void guest_user_msr(void)
{
	u64 value;

	try_rdmsr(MSR_STAR, &value);
}

static void guest_cpl3(void)
{
	guest_call_user(guest_user_msr);
	GUEST_EQ(VEC_GP, guest_fault.vector);
	GUEST_DONE();
}

TEST(msrs_are_gp_at_cpl_3)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_cpl3));
}

static void guest_swapgs(void)
{
	wrmsr(MSR_GS_BASE, 0x1111000);
	wrmsr(MSR_KERNEL_GS_BASE, 0x2222000);
	__asm__ volatile("swapgs" : : : "memory");
	GUEST_EQ(0x2222000, rdmsr(MSR_GS_BASE));
	GUEST_EQ(0x1111000, rdmsr(MSR_KERNEL_GS_BASE));
	GUEST_SYNC(1);
	GUEST_EQ(0x2222000, rdmsr(MSR_GS_BASE));
	GUEST_EQ(0x1111000, rdmsr(MSR_KERNEL_GS_BASE));
	GUEST_DONE();
}

TEST(swapgs_swaps_the_bases)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_swapgs);
	struct vmm_state state;

	vcpu_sync(vcpu, 1);
	vcpu_get(vcpu, &state, VMM_STATE_SEGS);
	EXPECT_EQ(0x2222000, state.segs.seg[VMM_GS].base);
	EXPECT_EQ(0x1111000, vcpu_get_msr(vcpu, MSR_KERNEL_GS_BASE));
	vcpu_done(vcpu);
}

__asm__(".text\n"
	"syscall_target:\n"
	"	movq $1, syscall_seen\n"
	"	jmp *%rcx\n"
);
extern void syscall_target(void);
static volatile u64 syscall_seen __attribute__((used));

static void guest_syscall(void)
{
	wrmsr(MSR_STAR, (u64)SEL_CODE64 << 32);
	wrmsr(MSR_LSTAR, (u64)syscall_target);
	wrmsr(MSR_SFMASK, RFLAGS_IF);
	__asm__ volatile("syscall" : : : "rcx", "r11", "memory");
	GUEST_EQ(1, syscall_seen);
	GUEST_DONE();
}

TEST(syscall_goes_where_lstar_says)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_syscall));
}

VMM_TEST_MAIN
