// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The deadline of an APIC's timer comes by the guest's TSC, once and not before it,
 * wherever the vCPU and its thread are meanwhile: in the guest, asleep, with the process,
 * waiting for a CPU.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/test.h"
#include "lib/thread.h"

#define VECTOR		0x61
#define OTHER		0x71
#define LEAF_KHZ	0x40000010
#define HOUR(khz)	((khz) * 3600000UL)

static volatile u64 arrived;	/* TSC in the handler */
static volatile u64 deadline;
static volatile u32 rounds = 1;
static volatile u32 late;	/* by more than half a tick of the host */

static void note_arrival(struct guest_frame *frame)
{
	arrived = rdtsc();
	guest_count_irq(frame);
}

/* Ticks of a millisecond */
static u64 begin(void)
{
	guest_handlers[VECTOR] = note_arrival;
	guest_handlers[OTHER] = guest_count_irq;
	guest_apic_enable();
	apic_write(APIC_LVT_TIMER, VECTOR | APIC_TIMER_DEADLINE);
	return cpuid(LEAF_KHZ, 0).eax;
}

static void arm(u64 ticks)
{
	deadline = rdtsc() + ticks;
	wrmsr(MSR_TSC_DEADLINE, deadline);
}

static void spin(u64 ticks)
{
	for (u64 end = rdtsc() + ticks; rdtsc() < end;)
		cpu_relax();
}

/* That many by now, and no more soon; the last one not before its time. */
static void guest_got(u64 want, u64 ms)
{
	u64 end = rdtsc() + (20UL << 32);

	while (guest_irqs[VECTOR] < want)
		if (rdtsc() > end)
			GUEST_FAIL("timer interrupts", want, guest_irqs[VECTOR]);
	GUEST_TRUE(arrived >= deadline);
	GUEST_EQ(0, rdmsr(MSR_TSC_DEADLINE));
	spin(ms);
	GUEST_EQ(want, guest_irqs[VECTOR]);
}

static bool requested(u8 vector)
{
	return apic_read(APIC_IRR + vector / 32 * 16) & 1U << vector % 32;
}

/* What the process sees of it. */
static bool is_requested(struct vcpu *vcpu, u8 vector)
{
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_LAPIC);
	return state.lapic.regs[APIC_IRR / 16 + vector / 32] & 1U << vector % 32;
}

static u64 armed_for(struct vcpu *vcpu)
{
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_LAPIC);
	return state.lapic.tsc_deadline;
}

/* ---- the guest runs ---- */

static void guest_spins(void)
{
	u64 ms = begin();

	sti();
	for (u32 i = 0; i < rounds; i++) {
		arm(100 + i * 7919 % 60000);
		/* No PAUSE: nothing here exits. */
		while (guest_irqs[VECTOR] == i)
			;
		GUEST_TRUE(arrived >= deadline);
		GUEST_EQ(0, rdmsr(MSR_TSC_DEADLINE));
		late += arrived > deadline + 2 * ms;
	}
	GUEST_DONE();
}

TEST(a_guest_that_spins)
{
	struct vcpu *vcpu;

	rounds = share_of(2000);
	vcpu = vcpu_new(vm_new(), 0, guest_spins);
	vcpu_done(vcpu);
	/* The host's tick, each 4 ms, would end the turns as well. QEMU's time is the machine's. */
	if (!host_is_tcg())
		EXPECT_GE(rounds / 4, guest_var(vcpu->vm, late));
}

static void guest_exits(void)
{
	u64 ms = begin();

	sti();
	for (u32 i = 1; i <= 20; i++) {
		arm(ms);
		/* The kernel is done with each of these at once. */
		while (guest_irqs[VECTOR] < i)
			cpuid(0, 0);
		GUEST_TRUE(arrived >= deadline);
	}
	guest_got(20, ms);
	GUEST_DONE();
}

TEST(a_guest_that_does_nothing_but_exit)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_exits));
}

static void guest_masked(void)
{
	u64 ms = begin();

	for (u32 i = 1; i <= 20; i++) {
		cli();
		arm(ms / 4);
		do
			spin(ms / 2);
		while (!requested(VECTOR));
		GUEST_TRUE(rdtsc() >= deadline);
		GUEST_EQ(0, rdmsr(MSR_TSC_DEADLINE));
		GUEST_EQ(i - 1, guest_irqs[VECTOR]);
		sti();
		guest_got(i, 0);
		GUEST_TRUE(!requested(VECTOR));
	}
	GUEST_DONE();
}

TEST(it_waits_in_irr_while_if_is_clear)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_masked));
}

/* ---- what is not to come ---- */

/* Armed, and @stop, in time: a slow host may need another try. */
#define ARM_AND(ticks, stop)					\
do {								\
	u64 before_ = guest_irqs[VECTOR], first_;		\
								\
	for (;;) {						\
		arm(ticks);					\
		first_ = deadline;				\
		stop;						\
		if (rdtsc() < first_)				\
			break;					\
		wrmsr(MSR_TSC_DEADLINE, 0);			\
		guest_irqs[VECTOR] = before_;			\
	}							\
} while (0)

static void guest_cancels(void)
{
	u64 ms = begin();

	sti();
	ARM_AND(2 * ms, wrmsr(MSR_TSC_DEADLINE, 0));
	spin(4 * ms);
	GUEST_EQ(0, guest_irqs[VECTOR]);
	/* One that takes the place of another. */
	ARM_AND(10 * ms, arm(40 * ms));
	spin(15 * ms);
	if (rdtsc() < deadline)
		GUEST_EQ(0, guest_irqs[VECTOR]);
	guest_got(1, ms);
	/* And one that is sooner. */
	arm(HOUR(ms));
	arm(ms);
	guest_got(2, ms);
	/* Another mode of the timer, and back. */
	ARM_AND(2 * ms, apic_write(APIC_LVT_TIMER, VECTOR));
	apic_write(APIC_LVT_TIMER, VECTOR | APIC_TIMER_DEADLINE);
	GUEST_EQ(0, rdmsr(MSR_TSC_DEADLINE));
	spin(4 * ms);
	/* Masked when it comes. */
	ARM_AND(2 * ms, apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED | VECTOR |
				   APIC_TIMER_DEADLINE));
	spin(4 * ms);
	GUEST_EQ(0, rdmsr(MSR_TSC_DEADLINE));
	apic_write(APIC_LVT_TIMER, VECTOR | APIC_TIMER_DEADLINE);
	/* Further than time goes. */
	wrmsr(MSR_TSC_DEADLINE, ~0UL);
	spin(ms);
	GUEST_EQ(~0UL, rdmsr(MSR_TSC_DEADLINE));
	GUEST_EQ(2, guest_irqs[VECTOR]);
	GUEST_DONE();
}

TEST(what_is_cancelled_does_not_come)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_cancels));
}

/* ---- the process has the vCPU ---- */

static void guest_waits_outside(void)
{
	u64 ms = begin();

	sti();
	arm(HOUR(ms));
	GUEST_SYNC(1);
	for (u32 i = 1; i <= 4; i++) {
		/* On a slow host it comes before the process has the vCPU: not taken yet. */
		cli();
		arm(ms);
		GUEST_SYNC(2);
		sti();
		guest_got(i, ms);
	}
	/* HLT finds that it has come. */
	cli();
	arm(ms);
	GUEST_SYNC(3);
	sti_hlt();
	guest_got(5, ms);
	GUEST_DONE();
}

TEST(it_comes_while_the_process_has_the_vcpu)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_waits_outside);
	u64 far;

	vcpu_sync(vcpu, 1);
	EXPECT_EQ(guest_var(vcpu->vm, deadline), armed_for(vcpu));
	EXPECT_EQ(guest_var(vcpu->vm, deadline), vcpu_get_msr(vcpu, MSR_TSC_DEADLINE));
	EXPECT_FALSE(is_requested(vcpu, VECTOR));

	vcpu_sync(vcpu, 2);
	usleep(20000);
	EXPECT_TRUE(is_requested(vcpu, VECTOR));
	EXPECT_EQ(0, armed_for(vcpu));
	vcpu_sync(vcpu, 2);
	usleep(20000);
	EXPECT_EQ(0, vcpu_get_msr(vcpu, MSR_TSC_DEADLINE));
	EXPECT_TRUE(is_requested(vcpu, VECTOR));

	/* A new deadline takes no place of one that has come, nor does a TSC that is set back. */
	vcpu_sync(vcpu, 2);
	far = guest_var(vcpu->vm, deadline) + (1UL << 45);
	usleep(20000);
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_TSC_DEADLINE, far));
	EXPECT_EQ(far, armed_for(vcpu));
	EXPECT_TRUE(is_requested(vcpu, VECTOR));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_TSC_DEADLINE, 0));
	vcpu_sync(vcpu, 2);
	usleep(20000);
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_TSC, guest_var(vcpu->vm, deadline) + 1 - 1000));
	EXPECT_EQ(0, armed_for(vcpu));
	EXPECT_TRUE(is_requested(vcpu, VECTOR));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_TSC, guest_var(vcpu->vm, deadline) + 1));

	vcpu_sync(vcpu, 3);
	usleep(20000);
	vcpu_done(vcpu);
}

static void guest_is_restored(void)
{
	u64 ms = begin();

	sti();
	arm(500 * ms);
	GUEST_SYNC(1);
	guest_got(1, ms);
	GUEST_DONE();
}

/* Not armed by this one, but by its state. */
static void guest_inherits(void)
{
	guest_handlers[VECTOR] = note_arrival;
	guest_apic_enable();
	sti();
	GUEST_SYNC(1);
	guest_got(1, 1000);
	GUEST_DONE();
}

TEST(saved_and_restored)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_is_restored);
	struct vcpu *other = vcpu_new(vm_new(), 0, guest_inherits);
	struct vmm_state state;

	vcpu_sync(other, 1);
	vcpu_sync(vcpu, 1);
	vcpu_get(vcpu, &state, VMM_STATE_LAPIC);
	EXPECT_EQ(guest_var(vcpu->vm, deadline), state.lapic.tsc_deadline);
	/* Its own state again, and another's. */
	vcpu_set(vcpu, &state, VMM_STATE_LAPIC);
	EXPECT_EQ(1, vcpu_set_msr(other, MSR_TSC, vcpu_get_msr(vcpu, MSR_TSC)));
	vcpu_set(other, &state, VMM_STATE_LAPIC);
	guest_var(other->vm, deadline) = state.lapic.tsc_deadline;
	EXPECT_EQ(state.lapic.tsc_deadline, armed_for(other));
	vcpu_done(other);
	vcpu_done(vcpu);
}

/* ---- the thread waits for a CPU ---- */

static void guest_is_preempted(void)
{
	u64 ms = begin();

	sti();
	for (u32 i = 0; i < rounds; i++) {
		arm(ms);
		while (guest_irqs[VECTOR] == i)
			;
		GUEST_TRUE(arrived >= deadline);
	}
	guest_got(rounds, ms);
	GUEST_DONE();
}

TEST(another_thread_wants_the_cpu)
{
	pid_t child;

	pin_to_cpu(0);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			;
	}
	ASSERT_LT(0, child);
	rounds = 50;
	vcpu_done(vcpu_new(vm_new(), 0, guest_is_preempted));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* ---- HLT ---- */

static void guest_halts(void)
{
	u64 ms = begin();

	for (u32 i = 1; i <= 10; i++) {
		arm(ms * i / 2);
		while (guest_irqs[VECTOR] < i) {
			sti_hlt();
			cli();
		}
		GUEST_EQ(i, guest_irqs[VECTOR]);
		GUEST_TRUE(arrived >= deadline);
	}
	/* Woken by another interrupt: it still comes, and once. */
	arm(500 * ms);
	GUEST_SYNC(1);
	sti_hlt();
	if (rdtsc() < deadline) {
		GUEST_EQ(10, guest_irqs[VECTOR]);
		GUEST_EQ(1, guest_irqs[OTHER]);
	}
	guest_got(11, 300 * ms);
	/* The same, and cancelled then: what woke it is not kept anywhere. */
	arm(200 * ms);
	GUEST_SYNC(2);
	sti_hlt();
	wrmsr(MSR_TSC_DEADLINE, 0);
	if (guest_irqs[VECTOR] == 11) {
		spin(300 * ms);
		GUEST_EQ(11, guest_irqs[VECTOR]);
	}
	GUEST_DONE();
}

static void wake(struct vcpu *vcpu)
{
	struct vmm_msi msi = { .address = 0xfee00000, .data = OTHER };

	VMM_MUST(vcpu->vm->fd, VMM_SIGNAL_MSI, &msi);
}

TEST(hlt_ends_by_it_or_by_another)
{
	struct runner runner;

	runner_start(&runner, vcpu_new(vm_new(), 0, guest_halts));
	for (u32 i = 1; i <= 2; i++) {
		runner_wait_sync(&runner, i, 60);
		runner_wait_asleep(&runner, 30);
		wake(runner.vcpu);
	}
	runner_join(&runner, 60);
}

static void guest_sleeps(void)
{
	u64 ms = begin();

	arm(30 * ms);
	GUEST_SYNC(1);
	sti_hlt();
	GUEST_DONE();
}

TEST(a_vcpu_may_go_that_slept_with_it)
{
	for (int i = 0; i < 5; i++) {
		struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_sleeps);
		struct runner runner;

		runner_start(&runner, vcpu);
		runner_wait_sync(&runner, 1, 10);
		runner_stop(&runner);
		vm_free(vcpu->vm);
		vcpu_free(vcpu);
	}
	usleep(100000);
}

/* ---- its TSC is moved ---- */

static void guest_moves(void)
{
	u64 ms = begin(), jump;

	sti();
	arm(HOUR(ms));
	wrmsr(MSR_TSC, rdtsc() + 2 * HOUR(ms));
	guest_got(1, ms);
	arm(HOUR(ms));
	wrmsr(MSR_TSC_ADJUST, rdmsr(MSR_TSC_ADJUST) + 2 * HOUR(ms));
	guest_got(2, ms);
	/* Back: it takes longer, and not for ever. */
	jump = HOUR(ms);
	do {
		guest_irqs[VECTOR] = 2;
		arm(3 * ms);
		wrmsr(MSR_TSC_ADJUST, rdmsr(MSR_TSC_ADJUST) - jump);
	} while (rdtsc() + jump >= deadline);
	spin(6 * ms);
	GUEST_EQ(2, guest_irqs[VECTOR]);
	GUEST_EQ(deadline, rdmsr(MSR_TSC_DEADLINE));
	wrmsr(MSR_TSC_ADJUST, rdmsr(MSR_TSC_ADJUST) + jump);
	guest_got(3, ms);
	/* By the process */
	arm(HOUR(ms));
	GUEST_SYNC(1);
	guest_got(4, ms);
	GUEST_DONE();
}

TEST(the_tsc_is_moved_under_it)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_moves);

	vcpu_sync(vcpu, 1);
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_TSC, guest_var(vcpu->vm, deadline)));
	vcpu_done(vcpu);
}

VMM_TEST_MAIN
