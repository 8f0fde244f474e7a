// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * PKRU, which guest and process write by an instruction that does not exit: each has
 * its own, and the guest's is part of its state. What keys forbid is paging.c's.
 */
#include <cpuid.h>

#include "lib/test.h"

#define CPUID7_ECX_PKU		(1U << 3)
#define CPUID7_ECX_OSPKE	(1U << 4)
#define XSAVE_PKRU		(1UL << 9)
#define HEADER			512

/* Key 0, which all memory of a process has, stays allowed. */
#define OF_PROCESS	0x5a5a5a54U
#define OF_GUEST	0xc0ffee30U

static u32 read_pkru(void)
{
	u32 pkru;

	__asm__ volatile("rdpkru" : "=a"(pkru) : "c"(0) : "edx");
	return pkru;
}

static void write_pkru(u32 pkru)
{
	__asm__ volatile("wrpkru" : : "a"(pkru), "c"(0), "d"(0) : "memory");
}

static bool has_keys(void)
{
	u32 a, b, c = 0, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & CPUID7_ECX_OSPKE);
}

/* With SELFTEST_PKU in the environment the host was to have them. */
#define NEED_KEYS()							\
	do {								\
		if (!has_keys()) {					\
			ASSERT_EQ(NULL, getenv("SELFTEST_PKU"));	\
			SKIP(return, "the CPU has no protection keys");	\
		}							\
	} while (0)

/* The component of an image, or NULL. */
static u32 *get_pkru(struct vcpu *vcpu, u8 *image)
{
	struct vmm_xsave args = { .size = get_info().xsave_size, .data = (u64)image };
	u32 size, offset, c, d;

	VMM_MUST(vcpu->fd, VMM_GET_XSAVE, &args);
	if (!__get_cpuid_count(0xd, 9, &size, &offset, &c, &d) || !size)
		return NULL;
	return (u32 *)(image + offset);
}

static int set_image(struct vcpu *vcpu, u8 *image)
{
	struct vmm_xsave args = { .size = get_info().xsave_size, .data = (u64)image };

	return vmm_call(vcpu->fd, VMM_SET_XSAVE, &args);
}

static volatile u32 seen;

static void switch_on(void)
{
	GUEST_EQ(CPUID7_ECX_PKU, cpuid(7, 0).ecx & (CPUID7_ECX_PKU | CPUID7_ECX_OSPKE));
	write_cr4(read_cr4() | X86_CR4_PKE);
	GUEST_EQ(CPUID7_ECX_PKU | CPUID7_ECX_OSPKE,
		 cpuid(7, 0).ecx & (CPUID7_ECX_PKU | CPUID7_ECX_OSPKE));
}

static void guest_writes(void)
{
	switch_on();
	GUEST_EQ(0, read_pkru());
	for (u32 i = 0; i < 50; i++) {
		write_pkru(OF_GUEST + i);
		/* Exits that end in the module, and one that does not. */
		cpuid(0, 0);
		GUEST_EQ(OF_GUEST + i, read_pkru());
		GUEST_SYNC(i);
		GUEST_EQ(OF_GUEST + i, read_pkru());
	}
	GUEST_DONE();
}

TEST(guest_and_process_have_their_own)
{
	struct vcpu *vcpu;
	u32 i, *image;
	u8 *data;

	NEED_KEYS();
	data = calloc(1, get_info().xsave_size);
	vcpu = vcpu_new(vm_new(), 0, guest_writes);
	for (i = 0; i < 50; i++) {
		write_pkru(OF_PROCESS + i * 4);
		vcpu_sync(vcpu, i);
		EXPECT_EQ(OF_PROCESS + i * 4, read_pkru());
		image = get_pkru(vcpu, data);
		ASSERT_NE(NULL, image);
		EXPECT_EQ(OF_GUEST + i, *image);
		EXPECT_EQ(XSAVE_PKRU, *(u64 *)(data + HEADER) & XSAVE_PKRU);
	}
	vcpu_done(vcpu);
	EXPECT_EQ(OF_PROCESS + 49 * 4, read_pkru());
}

static void guest_reads(void)
{
	switch_on();
	for (;;) {
		seen = read_pkru();
		GUEST_SYNC(1);
	}
}

TEST(it_is_state_that_comes_back)
{
	struct vcpu *vcpu;
	u32 *image;
	u8 *data;

	NEED_KEYS();
	data = calloc(1, get_info().xsave_size);
	vcpu = vcpu_new(vm_new(), 0, guest_reads);
	image = get_pkru(vcpu, data);
	ASSERT_NE(NULL, image);
	EXPECT_EQ(0, *image);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(0, guest_var(vcpu->vm, seen));
	*image = OF_GUEST;
	*(u64 *)(data + HEADER) |= XSAVE_PKRU;
	ASSERT_EQ(0, set_image(vcpu, data));
	get_pkru(vcpu, data);
	EXPECT_EQ(OF_GUEST, *image);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(OF_GUEST, guest_var(vcpu->vm, seen));
	/* The guest has it through a run of another vCPU of this thread, too. */
	vcpu_sync(vcpu_new(vcpu->vm, 1, guest_reads), 1);
	EXPECT_EQ(0, guest_var(vcpu->vm, seen));
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(OF_GUEST, guest_var(vcpu->vm, seen));
	/* Without the component: as after power-up. */
	*(u64 *)(data + HEADER) &= ~XSAVE_PKRU;
	ASSERT_EQ(0, set_image(vcpu, data));
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(0, guest_var(vcpu->vm, seen));
}

/* XRSTOR writes it as well, with CR4.PKE clear even: it is not the process's then. */
static void guest_restores(void)
{
	static u8 image[4096] __attribute__((aligned(64)));
	const u32 offset = cpuid(0xd, 9).ebx;

	GUEST_TRUE(offset && offset + 4 <= sizeof(image));
	write_cr4(read_cr4() | X86_CR4_OSXSAVE);
	__asm__ volatile("xsetbv" : : "a"((u32)(1 | XSAVE_PKRU)), "d"(0), "c"(0));
	*(u32 *)(image + offset) = OF_GUEST;
	*(u64 *)(image + HEADER) = XSAVE_PKRU;
	__asm__ volatile("xrstor %0" : : "m"(image), "a"((u32)XSAVE_PKRU), "d"(0));
	GUEST_SYNC(1);
	write_cr4(read_cr4() | X86_CR4_PKE);
	GUEST_EQ(OF_GUEST, read_pkru());
	GUEST_DONE();
}

TEST(xrstor_loads_the_guests)
{
	struct vcpu *vcpu;

	NEED_KEYS();
	write_pkru(OF_PROCESS);
	vcpu = vcpu_new(vm_new(), 0, guest_restores);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(OF_PROCESS, read_pkru());
	vcpu_done(vcpu);
	EXPECT_EQ(OF_PROCESS, read_pkru());
}

VMM_TEST_MAIN
