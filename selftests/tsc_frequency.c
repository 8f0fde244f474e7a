// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The frequency of a VM's TSC: as it was asked for where the CPU can scale, refused
 * where not; and all that counts in ticks or tells frequencies goes by it. The host's own
 * TSC is the measure: a guest's reading lies between two of the host's, scaled.
 */
#include <stdio.h>
#include <string.h>

#include "lib/kvmclock.h"
#include "lib/test.h"

#define TIME_PAGE		GUEST_DATA
#define VECTOR			0x61
#define NO_SCALING		"the CPU has no TSC scaling"

static bool scales(void)
{
	return get_info().features & VMM_FEATURE_TSC_SCALING;
}

/* By the kernel's words: tsc_scale is AMD's, tsc_scaling Intel's. */
TEST(it_is_there_where_the_cpu_has_it)
{
	bool wanted = file_has("/sys/module/vmm/parameters/tsc_scaling", "Y");

	EXPECT_EQ(wanted && file_has("/proc/cpuinfo", " tsc_scal"), scales());
}

/* VMM_CREATE_VM with @khz: 0 or -errno. */
static int try_khz(u32 khz)
{
	struct vmm_create_vm args = { .flags = vm_flags, .tsc_khz = khz };
	int sys = open_vmm(), fd = vmm_call(sys, VMM_CREATE_VM, &args);

	if (fd >= 0)
		close(fd);
	close(sys);
	return fd < 0 ? fd : 0;
}

static struct vcpu *vcpu_at(u32 khz, void (*guest)(void))
{
	struct vcpu *vcpu;

	vm_tsc_khz = khz;
	vcpu = vcpu_new(vm_new(), 0, guest);
	vm_tsc_khz = 0;
	return vcpu;
}

static volatile u64 seen;

static void guest_read(void)
{
	for (;;) {
		seen = rdtsc();
		GUEST_SYNC(1);
	}
}

/* A guest's reading, and the host's TSC before and after it. */
struct reading {
	u64 before, guest, after;
};

static struct reading read_guest(struct vcpu *vcpu)
{
	struct reading r = { .before = rdtsc() };

	vcpu_sync(vcpu, 1);
	r.after = rdtsc();
	r.guest = guest_var(vcpu->vm, seen);
	return r;
}

static u64 scaled(u64 host, u64 khz)
{
	return host * khz / get_info().tsc_khz;
}

/* From @first to @second it counted at @khz, give or take @slack. */
#define EXPECT_RATE(khz, first, second, slack) do {					\
	u64 ticks = (second).guest - (first).guest;					\
											\
	EXPECT_LE(scaled((second).before - (first).after, khz), ticks + (slack));	\
	EXPECT_GE(scaled((second).after - (first).before, khz) + (slack), ticks);	\
} while (0)

#define ROUNDING	4	/* a tick for each */
#define NS_KHZ		1000000	/* what a clock of nanoseconds counts at */

TEST(what_cannot_be_had_is_refused)
{
	const u32 host = get_info().tsc_khz;
	int expected = scales() ? 0 : -EOPNOTSUPP;

	EXPECT_EQ(expected, try_khz(host * 2));
	EXPECT_EQ(expected, try_khz(host / 2));
	EXPECT_EQ(expected, try_khz(host + host / 1000));
	EXPECT_EQ(expected, try_khz(host - host / 1000));
	/* Nobody sees so little: it needs no scaling. */
	EXPECT_EQ(0, try_khz(host));
	EXPECT_EQ(0, try_khz(host + host / 5000));
	EXPECT_EQ(0, try_khz(host - host / 5000));
	EXPECT_EQ(-EINVAL, try_khz(VMM_TSC_KHZ_MIN - 1));
	EXPECT_EQ(-EINVAL, try_khz(VMM_TSC_KHZ_MAX + 1));
}

static volatile u32 told_khz, told_timer, told_mhz, told_hz, told_ratio[2];

static void guest_ask(void)
{
	struct cpuid e = cpuid(0x40000010, 0);

	told_khz = e.eax;
	told_timer = e.ebx;
	e = cpuid(0x15, 0);
	told_ratio[0] = e.eax;
	told_ratio[1] = e.ebx;
	told_hz = e.ecx;
	told_mhz = cpuid(0x16, 0).eax;
	GUEST_DONE();
}

TEST(cpuid_tells_what_there_is)
{
	const u32 host = get_info().tsc_khz, near = host + host / 5000, wanted[] = {
		0, near, host / 2, host * 2
	};

	for (u32 i = 0; i < (scales() ? 4 : 2); i++) {
		struct vcpu *vcpu = vcpu_at(wanted[i], guest_ask);
		/* What is near is the host's without scaling, and exact with it. */
		u32 khz = !i || (i == 1 && !scales()) ? host : wanted[i];

		vcpu_done(vcpu);
		EXPECT_EQ(khz, guest_var(vcpu->vm, told_khz));
		EXPECT_EQ(khz, guest_var(vcpu->vm, told_timer));
		EXPECT_EQ(khz / 1000, guest_var(vcpu->vm, told_mhz));
		EXPECT_EQ(khz * 1000UL < 1UL << 32 ? khz * 1000 : 0, guest_var(vcpu->vm, told_hz));
		EXPECT_EQ(khz * 1000UL < 1UL << 32, guest_var(vcpu->vm, told_ratio)[0]);
		EXPECT_EQ(khz * 1000UL < 1UL << 32, guest_var(vcpu->vm, told_ratio)[1]);
	}
}

TEST(tscs_of_several_frequencies_beside_each_other)
{
	const u32 host = get_info().tsc_khz, khz[] = { host, host / 2, host * 2, host / 7 * 3 };
	struct reading first[ARRAY_SIZE(khz)], second[ARRAY_SIZE(khz)];
	struct vcpu *vcpu[ARRAY_SIZE(khz)];

	if (!scales())
		SKIP(return, NO_SCALING);
	pin_to_cpu(0);
	for (u32 i = 0; i < ARRAY_SIZE(khz); i++) {
		vcpu[i] = vcpu_at(i ? khz[i] : 0, guest_read);
		first[i] = read_guest(vcpu[i]);
		/* It began at 0 when the VM did, which was not ten seconds ago. */
		EXPECT_GT(khz[i] * 10000UL, first[i].guest);
	}
	for (u32 round = 0; round < 5; round++) {
		usleep(2000);
		for (u32 i = 0; i < ARRAY_SIZE(khz); i++) {
			second[i] = read_guest(vcpu[i]);
			EXPECT_RATE(khz[i], first[i], second[i], ROUNDING);
		}
	}
}

TEST(the_process_reads_and_sets_the_same)
{
	const u32 khz = get_info().tsc_khz / 4 * 3;
	struct reading first, second;
	struct vcpu *vcpu, *restored;

	if (!scales())
		SKIP(return, NO_SCALING);
	pin_to_cpu(0);
	vcpu = vcpu_at(khz, guest_read);
	first = read_guest(vcpu);
	usleep(2000);
	second.before = rdtsc();
	second.guest = vcpu_get_msr(vcpu, MSR_TSC);
	second.after = rdtsc();
	EXPECT_RATE(khz, first, second, ROUNDING);
	/* A vCPU of another VM takes over where the first one stopped. */
	restored = vcpu_at(khz, guest_read);
	first.before = rdtsc();
	first.guest = 1UL << 40;
	ASSERT_EQ(1, vcpu_set_msr(restored, MSR_TSC, first.guest));
	first.after = rdtsc();
	usleep(2000);
	second = read_guest(restored);
	EXPECT_RATE(khz, first, second, ROUNDING);
}

static void guest_clock(void)
{
	wrmsr(MSR_KVM_SYSTEM_TIME, TIME_PAGE | 1);
	for (;;) {
		seen = read_clock((void *)TIME_PAGE);
		GUEST_SYNC(1);
	}
}

static u64 get_clock(struct vm *vm)
{
	struct vmm_clock clock = { 0 };

	VMM_MUST(vm->fd, VMM_GET_CLOCK, &clock);
	return clock.ns;
}

TEST(kvmclock_goes_by_it)
{
	const u32 host = get_info().tsc_khz, khz[] = { host / 2, host * 2 };

	if (!scales())
		SKIP(return, NO_SCALING);
	pin_to_cpu(0);
	for (u32 i = 0; i < ARRAY_SIZE(khz); i++) {
		struct vcpu *vcpu = vcpu_at(khz[i], guest_clock);
		struct reading first = read_guest(vcpu), now;

		for (u32 round = 0; round < 5; round++) {
			u64 before, after;

			usleep(2000);
			before = get_clock(vcpu->vm);
			now = read_guest(vcpu);
			after = get_clock(vcpu->vm);
			/* A tick's worth for rounding. */
			EXPECT_LE(before, now.guest + 100);
			EXPECT_GE(after + 100, now.guest);
		}
		/* Both go by one factor, so by the host's TSC as well; a thousandth of it all. */
		EXPECT_RATE(NS_KHZ, first, now, 10000);
	}
}

static volatile u64 asked;	/* ticks until the timer's interrupt */

static void guest_timer(void)
{
	u64 start;

	guest_handlers[VECTOR] = guest_count_irq;
	guest_apic_enable();
	sti();
	apic_write(APIC_LVT_TIMER, VECTOR | APIC_TIMER_DEADLINE);
	start = rdtsc();
	wrmsr(MSR_TSC_DEADLINE, start + asked);
	while (guest_irqs[VECTOR] < 1)
		cpu_relax();
	GUEST_TRUE(rdtsc() >= start + asked);
	apic_write(APIC_LVT_TIMER, VECTOR);
	apic_write(APIC_TDCR, 0xb);
	start = rdtsc();
	apic_write(APIC_TMICT, asked);
	GUEST_TRUE(apic_read(APIC_TMCCT) <= asked);
	while (guest_irqs[VECTOR] < 2)
		cpu_relax();
	GUEST_TRUE(rdtsc() >= start + asked);
	GUEST_DONE();
}

/* Never early: with the host's ticks those of the slower VM would be. */
TEST(timers_go_by_it)
{
	const u32 host = get_info().tsc_khz, khz[] = { host / 2, host * 2 };

	if (!scales())
		SKIP(return, NO_SCALING);
	for (u32 i = 0; i < ARRAY_SIZE(khz); i++) {
		struct vcpu *vcpu = vcpu_at(khz[i], guest_timer);

		guest_var(vcpu->vm, asked) = khz[i] * 20;
		vcpu_done(vcpu);
	}
}

VMM_TEST_MAIN
