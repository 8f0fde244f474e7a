// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A signal or immediate_exit ends VMM_RUN with -EINTR, soon and always, and the
 * guest loses nothing by it.
 */
#include <signal.h>
#include <sys/time.h>

#include "lib/test.h"

static volatile u64 progress;

static void guest_loop(void)
{
	GUEST_SYNC(1);
	for (;;) {
		progress++;
		cpu_relax();
	}
}

/*
 * SIGALRM in @first_us and then each @every_us. Where a test waits for it in VMM_RUN,
 * it has to come again: on a busy machine the first may come before VMM_RUN.
 */
static void set_timer(u32 first_us, u32 every_us)
{
	struct itimerval timer = {
		.it_value.tv_usec = first_us,
		.it_interval.tv_usec = every_us,
	};

	setitimer(ITIMER_REAL, &timer, NULL);
}

TEST(a_signal_ends_a_loop)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_loop);
	u64 before;

	catch_signal(SIGALRM);
	vcpu_sync(vcpu, 1);
	for (int i = 0; i < 5; i++) {
		before = guest_var(vcpu->vm, progress);
		/* One that comes on the way into the guest ends VMM_RUN before it. */
		do {
			set_timer(20000, 20000);
			ASSERT_EQ(-EINTR, vcpu_run(vcpu));
			ASSERT_EQ(VMM_EXIT_INTR, vcpu->run->exit_reason);
		} while (before == guest_var(vcpu->vm, progress));
	}
	set_timer(0, 0);
}

TEST(immediate_exit_does_not_enter)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_loop);
	u64 before;

	vcpu_sync(vcpu, 1);
	vcpu->run->immediate_exit = 1;
	EXPECT_EQ(-EINTR, vcpu_run(vcpu));		/* completes the sync's OUT */
	before = guest_var(vcpu->vm, progress);
	for (int i = 0; i < 100; i++) {
		EXPECT_EQ(-EINTR, vcpu_run(vcpu));
		EXPECT_EQ(VMM_EXIT_INTR, vcpu->run->exit_reason);
	}
	EXPECT_EQ(before, guest_var(vcpu->vm, progress));
	EXPECT_EQ(1, vcpu->run->immediate_exit);
}

static struct vmm_run *handler_run;

static void set_immediate_exit(int signal)
{
	handler_run->immediate_exit = 1;
}

TEST(a_handler_that_sets_immediate_exit_closes_the_race)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_loop);
	struct sigaction action = { .sa_handler = set_immediate_exit };

	handler_run = vcpu->run;
	sigaction(SIGALRM, &action, NULL);
	vcpu_sync(vcpu, 1);
	for (u32 i = 0; i < 200; i++) {
		vcpu->run->immediate_exit = 0;
		/* Sometimes before the ioctl, sometimes within. */
		set_timer(50 + i * 7, 0);
		EXPECT_EQ(-EINTR, vcpu_run(vcpu));
		EXPECT_EQ(1, vcpu->run->immediate_exit);
	}
}

TEST(a_blocked_signal_does_not_end_it)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_loop);
	sigset_t set;

	catch_signal(SIGALRM);
	catch_signal(SIGUSR1);
	vcpu_sync(vcpu, 1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	set_timer(30000, 30000);
	EXPECT_EQ(-EINTR, vcpu_run(vcpu));
	set_timer(0, 0);
	sigpending(&set);
	EXPECT_EQ(1, sigismember(&set, SIGUSR1));
	EXPECT_EQ(0, sigismember(&set, SIGALRM));
}

static u32 sum, rounds;

/* Ports, memory and CPUID in turn; every value counts once. */
static void guest_work(void)
{
	sum = 0;
	for (u32 i = 0; i < rounds; i++) {
		sum += inl(0x700);
		sum += read32(GUEST_HOLE);
		cpuid(0, 0);
		outl(0x704, sum);
	}
	GUEST_DONE();
}

TEST(a_storm_of_signals_loses_and_repeats_nothing)
{
	struct vcpu *vcpu;
	u32 want = 0, interrupted = 0, value;

	/* So many that a signal comes in the guest for certain, and not between two runs. */
	rounds = 200 + share_of(2800);
	vcpu = vcpu_new(vm_new(), 0, guest_work);
	catch_signal(SIGALRM);
	set_timer(500, 500);
	for (u32 i = 0; i < 3 * rounds;) {
		int result = vcpu_run(vcpu);

		if (result == -EINTR) {
			interrupted++;
			continue;
		}
		ASSERT_EQ(0, result);
		switch (i++ % 3) {
		case 0:
			ASSERT_EQ(VMM_EXIT_PIO, vcpu->run->exit_reason);
			ASSERT_EQ(0x700, vcpu->run->pio.port);
			vcpu->run->pio.data = i;
			want += i;
			break;
		case 1:
			ASSERT_EQ(VMM_EXIT_MMIO, vcpu->run->exit_reason);
			vcpu->run->mmio.data = i * 3;
			want += i * 3;
			break;
		case 2:
			ASSERT_EQ(VMM_EXIT_PIO, vcpu->run->exit_reason);
			ASSERT_EQ(0x704, vcpu->run->pio.port);
			ASSERT_EQ(want, vcpu->run->pio.data);
		}
	}
	set_timer(0, 0);
	vcpu_exit(vcpu);
	EXPECT_TRUE(vcpu_synced(vcpu, &value));
	EXPECT_EQ(want, guest_var(vcpu->vm, sum));
	EXPECT_LT(0, interrupted);
}

TEST(stop_and_continue)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_loop);

		vcpu_sync(vcpu, 1);
		vcpu_exit(vcpu);
		_exit(1);
	}
	for (int i = 0; i < 10; i++) {
		usleep(20000);
		kill(pid, SIGSTOP);
		ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
		ASSERT_TRUE(WIFSTOPPED(status));
		kill(pid, SIGCONT);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	EXPECT_TRUE(WIFSIGNALED(status));
}

VMM_TEST_MAIN
