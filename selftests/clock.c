// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Time: the TSC runs as told and does not stop or jump back, kvmclock's page is
 * sane and agrees with it, VMM_GET_CLOCK and VMM_SET_CLOCK read and move it.
 */
#include <time.h>

#include "lib/kvmclock.h"
#include "lib/test.h"

#define MSR_KVM_WALL_CLOCK	0x4b564d00
#define TIME_PAGE		GUEST_DATA

static volatile u64 clock_ns;

static void guest_clock(void)
{
	volatile struct time_info *info = (void *)TIME_PAGE;
	u64 last = 0;

	wrmsr(MSR_KVM_SYSTEM_TIME, TIME_PAGE | 1);
	GUEST_EQ(TIME_PAGE | 1, rdmsr(MSR_KVM_SYSTEM_TIME));
	GUEST_EQ(0, info->version & 1);
	GUEST_TRUE(info->version != 0);
	GUEST_TRUE(info->tsc_to_system_mul != 0);
	for (u32 i = 0; i < 2000; i++) {
		u64 now = read_clock(info);

		if (now < last)
			GUEST_FAIL("kvmclock went back", last, now);
		last = now;
		if (i % 100 == 0)
			cpuid(0, 0);
	}
	for (;;) {
		clock_ns = read_clock(info);
		GUEST_SYNC(1);
	}
}

/*
 * Half a second by the host's clock between two readings of a guest's, which were
 * taken at unknown moments of the runs around it.
 */
struct span {
	u64 first;
	u64 second;
	u64 shortest;
	u64 longest;
};

static struct span span_begin(void)
{
	return (struct span){ .first = now_ns() };
}

static void span_middle(struct span *span)
{
	span->second = now_ns();
	usleep(500000);
	span->shortest = now_ns() - span->second;
}

static void span_end(struct span *span)
{
	span->longest = now_ns() - span->first;
}

static u64 get_clock(struct vm *vm)
{
	struct vmm_clock clock = { 0 };

	VMM_MUST(vm->fd, VMM_GET_CLOCK, &clock);
	return clock.ns;
}

TEST(kvmclock_is_monotonic_and_agrees_with_the_process)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_clock);

	for (int i = 0; i < 5; i++) {
		u64 before = get_clock(vm), after;

		vcpu_sync(vcpu, 1);
		after = get_clock(vm);
		/* Both ends are read at other moments: the guest's is in between. */
		EXPECT_LE(before, guest_var(vm, clock_ns) + 1000000);
		EXPECT_GE(after + 1000000, guest_var(vm, clock_ns));
		usleep(20000);
	}
}

TEST(kvmclock_runs_at_the_speed_of_time)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_clock);
	struct span span = span_begin();
	u64 guest;

	vcpu_sync(vcpu, 1);
	guest = guest_var(vm, clock_ns);
	span_middle(&span);
	vcpu_sync(vcpu, 1);
	guest = guest_var(vm, clock_ns) - guest;
	span_end(&span);
	/* As long as the host says, give or take a hundredth for two clocks. */
	EXPECT_LE(span.shortest - span.shortest / 100, guest);
	EXPECT_GE(span.longest + span.longest / 100, guest);
}

TEST(set_clock_moves_it)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_clock);
	const u64 day = 86400 * 1000000000UL;
	struct vmm_clock clock = { .ns = day };

	vcpu_sync(vcpu, 1);
	EXPECT_GT(day, guest_var(vm, clock_ns));
	VMM_MUST(vm->fd, VMM_SET_CLOCK, &clock);
	EXPECT_LE(day, get_clock(vm));
	EXPECT_GT(day + 10000000000UL, get_clock(vm));
	vcpu_sync(vcpu, 1);
	vcpu_sync(vcpu, 1);
	EXPECT_LE(day, guest_var(vm, clock_ns));
	EXPECT_GT(day + 10000000000UL, guest_var(vm, clock_ns));
	/* And back again: a restored VM starts where it was saved. */
	clock.ns = 5000000000;
	VMM_MUST(vm->fd, VMM_SET_CLOCK, &clock);
	EXPECT_GT(day, get_clock(vm));
	EXPECT_LE(5000000000, get_clock(vm));
}

TEST(a_new_vm_starts_at_zero)
{
	struct vm *vm = vm_new_bare();
	u64 first = get_clock(vm), second;

	EXPECT_GT(5000000000UL, first);
	usleep(10000);
	second = get_clock(vm);
	EXPECT_LE(first + 10000000, second);
}

static void guest_bad_pages(void)
{
	/* A page that is no memory, or crosses two: the guest's trouble alone. */
	try_wrmsr(MSR_KVM_SYSTEM_TIME, GUEST_HOLE | 1);
	cpuid(0, 0);
	try_wrmsr(MSR_KVM_SYSTEM_TIME, (GUEST_DATA + 0xff8) | 1);
	cpuid(0, 0);
	try_wrmsr(MSR_KVM_SYSTEM_TIME, (GUEST_DATA + 2) | 1);
	try_wrmsr(MSR_KVM_SYSTEM_TIME, -1UL);
	try_wrmsr(MSR_KVM_WALL_CLOCK, GUEST_HOLE);
	try_wrmsr(MSR_KVM_WALL_CLOCK, GUEST_DATA + 0xffc);
	cpuid(0, 0);
	GUEST_EQ(NO_FAULT, try_wrmsr(MSR_KVM_SYSTEM_TIME, 0));
	GUEST_SYNC(1);
	GUEST_EQ(NO_FAULT, try_wrmsr(MSR_KVM_SYSTEM_TIME, GUEST_HOLE | 1));
	GUEST_SYNC(2);
	GUEST_DONE();
}

TEST(a_page_on_a_slot_that_goes_is_harmless)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_bad_pages);
	void *memory = map_memory(4096);
	struct vmm_clock clock = { .ns = 1 };

	vcpu_sync(vcpu, 1);
	ASSERT_EQ(0, vm_slot(vm, 1, GUEST_HOLE, 4096, memory, 0));
	vcpu_sync(vcpu, 2);
	ASSERT_EQ(0, vm_slot(vm, 1, 0, 0, NULL, 0));
	munmap(memory, 4096);
	VMM_MUST(vm->fd, VMM_SET_CLOCK, &clock);
	vcpu_done(vcpu);
}

static void guest_wall(void)
{
	wrmsr(MSR_KVM_WALL_CLOCK, GUEST_DATA + 0x100);
	GUEST_EQ(0, read32(GUEST_DATA + 0x100) & 1);
	GUEST_SYNC(read32(GUEST_DATA + 0x104));
	GUEST_DONE();
}

TEST(the_wall_clock_is_the_time_of_day_at_clock_zero)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_wall);
	u32 seconds;
	long now;

	vcpu_exit(vcpu);
	ASSERT_TRUE(vcpu_synced(vcpu, &seconds));
	now = time(NULL) - get_clock(vcpu->vm) / 1000000000;
	EXPECT_GE(2, labs(now - (long)seconds)) {
		TH_LOG("expected about %ld, got %u", now, seconds);
	}
}

/* ---- the TSC ---- */

static volatile u64 tsc_seen;

static void guest_tsc(void)
{
	u64 last = rdtsc();

	for (u32 i = 0; i < 1000; i++) {
		u64 now = rdtsc();

		if (now < last)
			GUEST_FAIL("TSC went back", last, now);
		last = now;
		if (i % 50 == 0)
			cpuid(0, 0);
	}
	last = rdtsc();
	GUEST_TRUE(rdmsr(MSR_TSC) - last < 1UL << 40);
	for (;;) {
		tsc_seen = rdtsc();
		GUEST_SYNC(1);
	}
}

TEST(the_tsc_starts_near_zero_and_runs_at_the_told_frequency)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_tsc);
	u64 khz = get_info().tsc_khz, ticks, ns;
	struct span span = span_begin();

	vcpu_sync(vcpu, 1);
	/* Ten seconds of it would be much too late. */
	EXPECT_GT(khz * 10000, guest_var(vm, tsc_seen));
	ticks = guest_var(vm, tsc_seen);
	span_middle(&span);
	vcpu_sync(vcpu, 1);
	ns = (guest_var(vm, tsc_seen) - ticks) * 1000000 / khz;
	span_end(&span);
	/* Within a hundredth of what the host's other clock says. */
	EXPECT_LE(span.shortest - span.shortest / 100, ns);
	EXPECT_GE(span.longest + span.longest / 100, ns);
}

TEST(the_tsc_can_be_set)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_tsc);
	const u64 start = 1UL << 50;

	ASSERT_EQ(1, vcpu_set_msr(vcpu, MSR_TSC, start));
	EXPECT_LE(start, vcpu_get_msr(vcpu, MSR_TSC));
	vcpu_sync(vcpu, 1);
	EXPECT_LE(start, guest_var(vm, tsc_seen));
	EXPECT_GT(start + (1UL << 45), guest_var(vm, tsc_seen));
}

static void guest_write_tsc(void)
{
	wrmsr(MSR_TSC, 1UL << 52);
	GUEST_TRUE(rdtsc() >= 1UL << 52);
	GUEST_TRUE(rdtsc() < (1UL << 52) + (1UL << 45));
	GUEST_TRUE(rdmsr(MSR_TSC) >= 1UL << 52);
	wrmsr(MSR_TSC, 0);
	GUEST_TRUE(rdtsc() < 1UL << 45);
	GUEST_DONE();
}

TEST(the_guest_can_write_its_tsc)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_write_tsc));
}

static void guest_adjust(void)
{
	u64 before;

	if (!(cpuid(7, 0).ebx & 2))
		GUEST_DONE();
	before = rdtsc();
	wrmsr(MSR_TSC_ADJUST, 1UL << 48);
	GUEST_EQ(1UL << 48, rdmsr(MSR_TSC_ADJUST));
	GUEST_TRUE(rdtsc() - before >= 1UL << 48);
	GUEST_TRUE(rdtsc() - before < (1UL << 48) + (1UL << 45));
	wrmsr(MSR_TSC_ADJUST, 0);
	GUEST_TRUE(rdtsc() < 1UL << 48);
	GUEST_DONE();
}

TEST(tsc_adjust_moves_the_tsc)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_adjust));
}

static void user_rdtsc(void)
{
	GUEST_TRY("rdtsc", "c"(0) : "eax", "edx", "memory");
}

static void guest_tsd(void)
{
	guest_call_user(user_rdtsc);
	GUEST_EQ(NO_FAULT, guest_fault.vector);
	write_cr4(read_cr4() | X86_CR4_TSD);
	guest_call_user(user_rdtsc);
	GUEST_EQ(VEC_GP, guest_fault.vector);
	rdtsc();
	GUEST_DONE();
}

TEST(rdtsc_at_cpl_3_follows_cr4_tsd)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_tsd));
}

#define CPUID_RDTSCP	(1U << 27)	/* leaf 0x80000001, EDX */

static void guest_rdtscp(void)
{
	u32 aux;

	wrmsr(MSR_TSC_AUX, 0x12345);
	for (u32 i = 0; i < 5; i++) {
		__asm__ volatile("rdtscp" : "=c"(aux) : : "eax", "edx");
		GUEST_EQ(0x12345, aux);
		GUEST_SYNC(i);
	}
	GUEST_DONE();
}

TEST(rdtscp_gives_the_guests_own_aux)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_rdtscp);
	u32 value, mine, after;

	if (!(cpuid(0x80000001, 0).edx & CPUID_RDTSCP))
		SKIP(return, "the CPU has no RDTSCP");
	__asm__ volatile("rdtscp" : "=c"(mine) : : "eax", "edx");
	do {
		vcpu_exit(vcpu);
		ASSERT_TRUE(vcpu_synced(vcpu, &value));
	} while (value != GUEST_DONE_VALUE);
	/* The process's, the CPU number in Linux, is its own again. */
	__asm__ volatile("rdtscp" : "=c"(after) : : "eax", "edx");
	EXPECT_GT((u32)sysconf(_SC_NPROCESSORS_CONF), after & 0xfff);
	if (host_cpus() == 1)
		EXPECT_EQ(mine, after);
}

VMM_TEST_MAIN
