// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The TSCs of a VM as state: VMM_GET_CLOCK and VMM_SET_CLOCK have the VM's, the section
 * VMM_STATE_TSC what a vCPU's own has been moved by, and both together bring all vCPUs back
 * to the tick, beside kvmclock.
 */
#include "lib/kvmclock.h"
#include "lib/test.h"
#include "lib/thread.h"

#define VECTOR		0x41
#define FAR		(1ULL << 50)	/* ticks: days, and more than any test takes */
#define HOUR_NS		(3600ULL * 1000000000)
#define ROUNDS		20		/* of a measurement that the host may disturb */

static volatile u64 tsc_seen;

static void guest_looks(void)
{
	for (;;) {
		tsc_seen = rdtsc();
		GUEST_SYNC(1);
	}
}

static struct vmm_clock get_clock(struct vm *vm)
{
	struct vmm_clock clock = { 0 };

	VMM_MUST(vm->fd, VMM_GET_CLOCK, &clock);
	return clock;
}

static void set_tsc(struct vm *vm, u64 tsc)
{
	struct vmm_clock clock = { .flags = VMM_CLOCK_TSC, .tsc = tsc };

	VMM_MUST(vm->fd, VMM_SET_CLOCK, &clock);
}

static u64 offset_of(struct vcpu *vcpu)
{
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_TSC);
	return state.tsc.offset;
}

static void set_offset(struct vcpu *vcpu, u64 offset)
{
	struct vmm_state state = { .tsc.offset = offset };

	vcpu_set(vcpu, &state, VMM_STATE_TSC);
}

TEST(the_vms_tsc_is_that_of_a_vcpu_nobody_wrote)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_looks);
	u64 before, after;

	pin_to_cpu(0);
	for (int i = 0; i < ROUNDS; i++) {
		before = get_clock(vm).tsc;
		vcpu_sync(vcpu, 1);
		after = get_clock(vm).tsc;
		EXPECT_LE(before, guest_var(vm, tsc_seen));
		EXPECT_GE(after, guest_var(vm, tsc_seen));
	}
	EXPECT_EQ(0, offset_of(vcpu));
}

TEST(what_is_written_to_a_tsc_is_its_offset)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_looks);
	u64 before = get_clock(vm).tsc;
	u64 offset;

	ASSERT_EQ(1, vcpu_set_msr(vcpu, MSR_TSC, FAR));
	/* The VM's went on until then by an unknown, short time. */
	offset = offset_of(vcpu);
	EXPECT_GE(FAR - before, offset);
	EXPECT_LT(FAR / 2, offset);
	/* IA32_TSC_ADJUST of the process is a value to keep: nothing moves. */
	ASSERT_EQ(1, vcpu_set_msr(vcpu, MSR_TSC_ADJUST, 12345));
	EXPECT_EQ(offset, offset_of(vcpu));
	VMM_MUST(vcpu->fd, VMM_RESET, NULL);
	EXPECT_EQ(0, offset_of(vcpu));
}

/*
 * By how many ticks @later is further by the TSC than by @ns of kvmclock, from @earlier on.
 */
static u64 apart(const struct vmm_clock *earlier, const struct vmm_clock *later)
{
	u64 ticks = (u64)((__uint128_t)(later->ns - earlier->ns) *
			  get_info().tsc_khz / 1000000);
	long long more = later->tsc - earlier->tsc - ticks;

	return more < 0 ? -more : more;
}

TEST(a_vm_is_restored_to_the_tick)
{
	static const u64 offsets[] = { 0, FAR, -(u64)5000 };
	struct vm *vm = vm_new(), *copy;
	struct vmm_clock saved, now;
	struct vcpu *vcpus[3];
	u64 nearest = ~0ULL, reads[3];

	pin_to_cpu(0);
	for (int i = 0; i < 3; i++)
		set_offset(vcpu_new(vm, i, guest_looks), offsets[i]);
	saved = get_clock(vm);
	copy = vm_new();
	for (int i = 0; i < 3; i++) {
		vcpus[i] = vcpu_new(copy, i, guest_looks);
		/* As one does who does not know of offsets; made good below. */
		ASSERT_EQ(1, vcpu_set_msr(vcpus[i], MSR_TSC, saved.tsc + offsets[i]));
	}
	for (int i = 0; i < ROUNDS; i++) {
		saved.flags = VMM_CLOCK_TSC;
		saved.realtime = 0;
		VMM_MUST(copy->fd, VMM_SET_CLOCK, &saved);
		now = get_clock(copy);
		EXPECT_LE(saved.tsc, now.tsc);
		EXPECT_GT(saved.tsc + FAR / 2, now.tsc);
		if (apart(&saved, &now) < nearest)
			nearest = apart(&saved, &now);
	}
	/* 20 us, for hosts whose kvmclock is not made of the TSC. */
	EXPECT_GE(get_info().tsc_khz / 50, nearest);
	for (int i = 0; i < 3; i++) {
		set_offset(vcpus[i], offsets[i]);
		EXPECT_EQ(offsets[i], offset_of(vcpus[i]));
	}
	/* One after the other, the first again: in this order without their offsets. */
	for (int i = 0; i < ROUNDS; i++) {
		u64 last = 0;

		for (int j = 0; j < 3; j++) {
			reads[j] = vcpu_get_msr(vcpus[j], MSR_TSC) - offsets[j];
			EXPECT_LE(last, reads[j]);
			last = reads[j];
			vcpu_sync(vcpus[j], 1);
			EXPECT_LE(last, guest_var(copy, tsc_seen) - offsets[j]);
			last = guest_var(copy, tsc_seen) - offsets[j];
		}
		EXPECT_GE(get_clock(copy).tsc, last);
	}
}

TEST(the_time_since_counts_for_the_tsc_as_well)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_looks);
	struct vmm_clock clock = get_clock(vm), now;
	u64 ticks = (u64)get_info().tsc_khz * 3600 * 1000;

	clock.flags = VMM_CLOCK_TSC | VMM_CLOCK_REALTIME;
	clock.realtime -= HOUR_NS;
	VMM_MUST(vm->fd, VMM_SET_CLOCK, &clock);
	now = get_clock(vm);
	EXPECT_LE(clock.tsc + ticks, now.tsc);
	EXPECT_GT(clock.tsc + ticks + ticks / 10, now.tsc);
	EXPECT_LE(clock.tsc + ticks, vcpu_get_msr(vcpu, MSR_TSC));
	/* Of a caller who means no good: any time since, and any TSC. */
	for (u64 realtime = 1; realtime; realtime <<= 1) {
		clock.realtime = realtime;
		clock.tsc = -realtime;
		VMM_MUST(vm->fd, VMM_SET_CLOCK, &clock);
		vcpu_sync(vcpu, 1);
	}
}

static void guest_waits_for_tsc(void)
{
	GUEST_SYNC(1);
	while (rdtsc() < FAR)
		cpu_relax();
	GUEST_TRUE(rdtsc() < FAR + FAR / 2);
	GUEST_EQ(0, cpuid(7, 0).ebx & 2 ? rdmsr(MSR_TSC_ADJUST) : 0);
	GUEST_DONE();
}

static void guest_halts_for_tsc(void)
{
	guest_apic_enable();
	guest_handlers[VECTOR] = guest_count_irq;
	apic_write(APIC_LVT_TIMER, VECTOR | APIC_TIMER_DEADLINE);
	wrmsr(MSR_TSC_DEADLINE, FAR);
	GUEST_SYNC(1);
	while (!guest_irqs[VECTOR]) {
		sti_hlt();
		cli();
	}
	GUEST_TRUE(rdtsc() >= FAR);
	GUEST_DONE();
}

TEST(vcpus_that_run_or_halt_follow_the_vms_tsc)
{
	struct vm *vm = vm_new();
	struct runner runs, halts;

	runner_start(&runs, vcpu_new(vm, 0, guest_waits_for_tsc));
	runner_start(&halts, vcpu_new(vm, 1, guest_halts_for_tsc));
	runner_wait_sync(&runs, 1, 30);
	runner_wait_sync(&halts, 1, 30);
	runner_wait_asleep(&halts, 30);
	set_tsc(vm, FAR);
	runner_join(&runs, 30);
	runner_join(&halts, 30);
}

static void guest_reads_clock(void)
{
	volatile struct time_info *info = (void *)GUEST_DATA;
	u64 last, now;

	wrmsr(MSR_KVM_SYSTEM_TIME, GUEST_DATA | 1);
	last = read_clock(info);
	GUEST_SYNC(1);
	for (;;) {
		now = read_clock(info);
		if (now - last + HOUR_NS > 2 * HOUR_NS)
			GUEST_FAIL("kvmclock jumped", last, now);
		last = now;
		/* Where nothing else ends a turn this does, in Bochs. */
		cpu_relax();
	}
}

TEST(kvmclock_does_not_jump_with_the_tsc)
{
	struct vm *vm = vm_new();
	struct runner runner;

	runner_start(&runner, vcpu_new(vm, 0, guest_reads_clock));
	runner_wait_sync(&runner, 1, 30);
	for (u32 i = 0; i < share_of(10000); i++) {
		struct vmm_clock clock = get_clock(vm);

		clock.flags = VMM_CLOCK_TSC;
		clock.realtime = 0;
		clock.tsc = i & 1 ? 0 : FAR;
		VMM_MUST(vm->fd, VMM_SET_CLOCK, &clock);
	}
	runner_stop(&runner);
}

static void guest_arms(void)
{
	guest_apic_enable();
	guest_handlers[VECTOR] = guest_count_irq;
	apic_write(APIC_LVT_TIMER, VECTOR | APIC_TIMER_DEADLINE);
	wrmsr(MSR_TSC_DEADLINE, FAR);
	GUEST_SYNC(1);
	GUEST_SYNC(2);
	GUEST_DONE();
}

TEST(a_vcpu_outside_of_the_guest_follows_the_vms_tsc)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_arms);
	struct vmm_state state;

	vcpu_sync(vcpu, 1);
	vcpu_get(vcpu, &state, VMM_STATE_LAPIC);
	EXPECT_EQ(FAR, state.lapic.tsc_deadline);
	set_tsc(vm, FAR);
	EXPECT_LE(FAR, vcpu_get_msr(vcpu, MSR_TSC));
	/* What it waited for came with that. */
	vcpu_get(vcpu, &state, VMM_STATE_LAPIC);
	EXPECT_EQ(0, state.lapic.tsc_deadline);
	EXPECT_EQ(1U << VECTOR % 32, state.lapic.regs[APIC_IRR / 16 + VECTOR / 32]);
	vcpu_sync(vcpu, 2);
}

VMM_TEST_MAIN
