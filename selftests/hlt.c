// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * HLT blocks the vCPU's thread and nothing but an event of the guest, a signal or
 * immediate_exit ends that; what comes after is as the manuals say.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "lib/test.h"
#include "lib/thread.h"

#define VECTOR	0x41
#define MSR_POLL	0x4b564d05
#define NAPS	64

static void send(struct vm *vm, u32 vector)
{
	struct vmm_msi msi = { .address = 0xfee00000, .data = vector };

	if (VMM_MUST(vm->fd, VMM_SIGNAL_MSI, &msi) != 1)
		die("VMM_SIGNAL_MSI: expected 1 vCPU to take it, got 0");
}

static void guest_halt(void)
{
	guest_apic_enable();
	guest_handlers[VECTOR] = guest_count_irq;
	GUEST_SYNC(1);
	sti_hlt();
	cli();
	GUEST_EQ(1, guest_irqs[VECTOR]);
	GUEST_DONE();
}

TEST(blocks_and_an_msi_wakes_it)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_halt);
	struct runner runner;

	runner_start(&runner, vcpu);
	runner_wait_sync(&runner, 1, 10);
	runner_wait_asleep(&runner, 10);
	EXPECT_FALSE(runner.done);
	send(vcpu->vm, VECTOR);
	runner_join(&runner, 10);
}

TEST(a_halted_vcpu_costs_no_cpu_time)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_halt);
	struct rusage before, after;
	struct runner runner;
	long us;

	runner_start(&runner, vcpu);
	runner_wait_sync(&runner, 1, 10);
	runner_wait_asleep(&runner, 10);
	getrusage(RUSAGE_SELF, &before);
	usleep(300000);
	getrusage(RUSAGE_SELF, &after);
	us = (after.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_utime.tv_sec -
	      before.ru_stime.tv_sec) * 1000000L + after.ru_utime.tv_usec +
		after.ru_stime.tv_usec - before.ru_utime.tv_usec - before.ru_stime.tv_usec;
	EXPECT_GT(50000, us);
	send(vcpu->vm, VECTOR);
	runner_join(&runner, 10);
}

TEST_TIMEOUT(an_interrupt_before_hlt_is_not_lost, 120)
{
	for (u32 i = 0; i < share_of(200); i++) {
		struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_halt);
		struct runner runner;

		vcpu_sync(vcpu, 1);
		runner_start(&runner, vcpu);
		if (i & 1)
			usleep(i);
		send(vcpu->vm, VECTOR);
		runner_join(&runner, 10);
		vm_free(vcpu->vm);
		vcpu_free(vcpu);
	}
}

static void alarm_in(u32 us)
{
	struct itimerval timer = { .it_value.tv_usec = us };

	setitimer(ITIMER_REAL, &timer, NULL);
}

TEST(a_signal_interrupts_it_and_it_stays_halted)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_halt);
	struct vmm_state state;

	catch_signal(SIGALRM);
	vcpu_sync(vcpu, 1);
	for (int i = 0; i < 3; i++) {
		alarm_in(20000);
		EXPECT_EQ(-EINTR, vcpu_run(vcpu));
		EXPECT_EQ(VMM_EXIT_INTR, vcpu->run->exit_reason);
		vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
		EXPECT_EQ(VMM_MP_HALTED, state.events.mp_state);
	}
	send(vcpu->vm, VECTOR);
	vcpu_done(vcpu);
}

TEST(immediate_exit_does_not_block)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_halt);

	vcpu_sync(vcpu, 1);
	vcpu->run->immediate_exit = 1;
	EXPECT_EQ(-EINTR, vcpu_run(vcpu));
	vcpu->run->immediate_exit = 0;
	send(vcpu->vm, VECTOR);
	vcpu_done(vcpu);
}

static void guest_masked(void)
{
	guest_apic_enable();
	guest_handlers[VECTOR] = guest_count_irq;
	cli();
	GUEST_SYNC(1);
	__asm__ volatile("hlt");
	GUEST_DONE();
}

static void guest_starts_another(void)
{
	guest_apic_enable();
	apic_write(APIC_ESR, 0);
	/* SIPI, page 0x20, to id 1: it waits for none. */
	wrmsr(MSR_X2APIC + APIC_ICR / 16, 1UL << 32 | 0x4620);
	GUEST_SYNC(1);
	GUEST_DONE();
}

/* The second of the two that software sends may find the processor halted again. */
TEST(a_start_up_message_does_not_end_it)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 1, guest_masked);
	struct vcpu *sender = vcpu_new(vm, 0, guest_starts_another);
	struct vmm_state state;
	struct runner runner;

	runner_start(&runner, vcpu);
	runner_wait_sync(&runner, 1, 10);
	runner_wait_asleep(&runner, 10);
	vcpu_sync(sender, 1);
	usleep(20000);
	runner_wait_asleep(&runner, 10);
	EXPECT_FALSE(runner.done);
	runner_stop(&runner);
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(VMM_MP_HALTED, state.events.mp_state);
	EXPECT_EQ(0, state.events.init);
}

TEST(a_masked_interrupt_does_not_end_it)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_masked);

	catch_signal(SIGALRM);
	vcpu_sync(vcpu, 1);
	send(vcpu->vm, VECTOR);
	alarm_in(50000);
	EXPECT_EQ(-EINTR, vcpu_run(vcpu));
}

TEST(setting_the_state_runnable_ends_it)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_masked);
	struct vmm_state state;

	catch_signal(SIGALRM);
	vcpu_sync(vcpu, 1);
	alarm_in(20000);
	EXPECT_EQ(-EINTR, vcpu_run(vcpu));
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(VMM_MP_HALTED, state.events.mp_state);
	state.events.mp_state = VMM_MP_RUNNABLE;
	vcpu_set(vcpu, &state, VMM_STATE_EVENTS);
	vcpu_done(vcpu);
}

static void count_nmi(struct guest_frame *frame)
{
	guest_irqs[frame->vector]++;
}

static void guest_nmi(void)
{
	guest_handlers[VEC_NMI] = count_nmi;
	cli();
	GUEST_SYNC(1);
	__asm__ volatile("hlt");
	GUEST_EQ(1, guest_irqs[VEC_NMI]);
	GUEST_DONE();
}

TEST(an_nmi_ends_it_with_interrupts_off)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_nmi);
	struct runner runner;

	runner_start(&runner, vcpu);
	runner_wait_sync(&runner, 1, 10);
	runner_wait_asleep(&runner, 10);
	VMM_MUST(vcpu->fd, VMM_NMI, NULL);
	runner_join(&runner, 10);
}

TEST(a_vcpu_that_nobody_started_blocks)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new_reset(vm, 1);

	catch_signal(SIGALRM);
	alarm_in(30000);
	EXPECT_EQ(-EINTR, vcpu_run(vcpu));
}

/* Each ends by the timer after a millisecond. */
static void take_naps(void)
{
	u64 ticks = cpuid(0x40000010, 0).eax;

	for (u32 i = 0; i < NAPS; i++) {
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + ticks);
		sti_hlt();
		cli();
	}
}

static void guest_naps(void)
{
	guest_apic_enable();
	guest_handlers[VECTOR] = guest_count_irq;
	apic_write(APIC_LVT_TIMER, VECTOR | APIC_TIMER_DEADLINE);
	for (u32 poll = 2; poll--;) {
		wrmsr(MSR_POLL, poll);
		GUEST_SYNC(poll);
		take_naps();
		GUEST_SYNC(2);
	}
	GUEST_DONE();
}

static void set_halt_poll_ns(const char *ns, char *was, size_t size)
{
	int fd = open("/sys/module/vmm/parameters/halt_poll_ns", O_RDWR);
	ssize_t got = was ? pread(fd, was, size - 1, 0) : 0;

	if (fd < 0 || got < 0 || write(fd, ns, strlen(ns)) < 0)
		die("the module's parameter halt_poll_ns: %s", strerror(errno));
	if (was)
		was[got] = 0;
	close(fd);
}

/* How often the thread slept in the naps of @vcpu with that value of POLL_CONTROL. */
static long sleeps(struct vcpu *vcpu, u32 poll)
{
	struct rusage before, after;

	vcpu_sync(vcpu, poll);
	getrusage(RUSAGE_THREAD, &before);
	vcpu_sync(vcpu, 2);
	getrusage(RUSAGE_THREAD, &after);
	return after.ru_nvcsw - before.ru_nvcsw;
}

/* Where other threads want the CPU it sleeps now and then all the same. */
TEST(it_polls_before_it_sleeps_if_module_and_guest_allow)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_naps);
	long polled, slept, limited;
	char was[16];

	set_halt_poll_ns("1000000000", was, sizeof(was));
	polled = sleeps(vcpu, 1);
	slept = sleeps(vcpu, 0);
	vcpu_done(vcpu);
	set_halt_poll_ns("0", NULL, 0);
	limited = sleeps(vcpu_new(vm_new(), 0, guest_naps), 1);
	set_halt_poll_ns(was, NULL, 0);
	TH_LOG("of %u it slept in %ld; in %ld as the guest wants, in %ld as the module does",
	       NAPS, polled, slept, limited);
	EXPECT_GT(slept, 2 * polled);
	EXPECT_LE(NAPS / 2, slept);
	EXPECT_LE(NAPS / 2, limited);
}

static void guest_user_hlt(void)
{
	GUEST_TRY("hlt", "a"(0) : "memory");
}

static void guest_hlt_cpl3(void)
{
	guest_call_user(guest_user_hlt);
	GUEST_EQ(VEC_GP, guest_fault.vector);
	GUEST_DONE();
}

TEST(hlt_is_gp_at_cpl_3)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_hlt_cpl3));
}

VMM_TEST_MAIN
