// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * More vCPUs than the host has CPUs: all of them start and get on, and storms of
 * interrupts among them or from outside leave the host its own.
 */
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "lib/kvmclock.h"
#include "lib/test.h"
#include "lib/thread.h"

#define VECTOR		0x61
#define CROWD		16
#define STORMERS	8
#define ICR_ALL_BUT	0xc0000
#define ICR_INIT	0x4500
#define ICR_STARTUP	0x4600
#define AP_PAGE		0x20UL
#define AP_COUNT	(AP_PAGE * 4096 + 0x100)	/* of those that run */

/* 16-bit code at page AP_PAGE: counts itself and spins until all are there. */
__asm__(".data\n"
	"crowd_code:\n"
	"	.code16\n"
	"	movw %cs, %ax\n"
	"	movw %ax, %ds\n"
	"	lock incl 0x100\n"
	"1:	pause\n"
	"	cmpl $15, 0x100\n"
	"	jb 1b\n"
	"2:	cli\n"
	"	hlt\n"
	"	jmp 2b\n"
	"	.code64\n"
	"crowd_code_end:\n"
	".text\n"
);
extern const u8 crowd_code[], crowd_code_end[];

static void guest_starts_crowd(void)
{
	guest_apic_enable();
	for (u32 round = 0; round < 3; round++) {
		write32(AP_COUNT, 0);
		wrmsr(MSR_X2APIC + APIC_ICR / 16, ICR_ALL_BUT | ICR_INIT);
		for (u64 id = 1; id < CROWD; id++)
			wrmsr(MSR_X2APIC + APIC_ICR / 16, id << 32 | ICR_STARTUP | AP_PAGE);
		/* A spin lock's wait, with every CPU of the host busy. */
		while (read32(AP_COUNT) != CROWD - 1)
			__asm__ volatile("pause" : : : "memory");
	}
	GUEST_DONE();
}

TEST(sixteen_vcpus_start_on_fewer_cpus)
{
	struct vm *vm = vm_new();
	struct runner runner[CROWD];

	if (!(get_info().features & VMM_FEATURE_REAL_MODE))
		SKIP(return, "this CPU cannot run real mode");
	memcpy(vm_ptr(vm, AP_PAGE * 4096), crowd_code, crowd_code_end - crowd_code);
	for (u32 id = CROWD - 1; id > 0; id--)
		runner_start(&runner[id], vcpu_new_reset(vm, id));
	runner_start(&runner[0], vcpu_new(vm, 0, guest_starts_crowd));
	runner_join(&runner[0], 25 * host_slowness());
	for (u32 id = 1; id < CROWD; id++)
		runner_stop(&runner[id]);
}

/* ---- storms ---- */

static volatile u64 sent;

static void guest_ipi_storm(void)
{
	guest_handlers[VECTOR] = guest_count_irq;
	guest_apic_enable();
	sti();
	for (;;) {
		wrmsr(MSR_X2APIC + APIC_ICR / 16, ICR_ALL_BUT | VECTOR);
		__atomic_fetch_add(&sent, 1, __ATOMIC_RELAXED);
	}
}

static void guest_timer_storm(void)
{
	guest_handlers[VECTOR] = guest_count_irq;
	guest_apic_enable();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVT_TIMER, VECTOR | APIC_TIMER_PERIODIC);
	apic_write(APIC_TMICT, 1);
	sti();
	for (;;)
		cpu_relax();
}

static void guest_nmi_storm(void)
{
	guest_handlers[VEC_NMI] = guest_count_irq;
	guest_apic_enable();
	/* Bochs holds the host's interrupts back from a guest that was entered without. */
	sti();
	for (;;)
		wrmsr(MSR_X2APIC + APIC_ICR / 16, ICR_ALL_BUT | 0x400);
}

static void guest_takes(void)
{
	guest_handlers[VECTOR] = guest_count_irq;
	guest_apic_enable();
	sti();
	for (;;)
		cpu_relax();
}

/* In a process of its own: it never ends by itself. */
static void storm(void (*guest)(void), int ready)
{
	struct vm *vm = vm_new();
	struct runner runner[STORMERS];
	u64 one = 1;

	for (u32 id = 0; id < STORMERS; id++)
		runner_start(&runner[id], vcpu_new(vm, id, guest));
	while (guest == guest_ipi_storm && !guest_var(vm, sent))
		usleep(1000);
	if (write(ready, &one, 8) != 8)
		die("write to an eventfd failed");
	for (;;)
		pause();
}

static void message_storm(void (*guest)(void), int ready)
{
	struct vmm_irqfd args = { .fd = eventfd(0, 0),
				  .msi = { .address = 0xfeeff000, .data = VECTOR } };
	struct vm *vm = vm_new();
	struct runner runner[2];
	u64 one = 1;

	for (u32 id = 0; id < 2; id++)
		runner_start(&runner[id], vcpu_new(vm, id, guest));
	VMM_MUST(vm->fd, VMM_IRQFD, &args);
	if (write(ready, &one, 8) != 8)
		die("write to an eventfd failed");
	for (;;)
		if (write(args.fd, &one, 8) != 8)
			die("write to an eventfd failed");
}

static const struct {
	const char *name;
	void (*run)(void (*guest)(void), int ready);
	void (*guest)(void);
} storms[] = {
	{ "IPIs", storm, guest_ipi_storm },
	{ "NMIs", storm, guest_nmi_storm },
	{ "timers", storm, guest_timer_storm },
	{ "messages", message_storm, guest_takes },
};

/* The host goes on for a while, then the process dies when it is told to. */
TEST_TIMEOUT(storms_leave_the_host_responsive_and_die_at_once, 60)
{
	for (u32 i = 0; i < sizeof(storms) / sizeof(storms[0]); i++) {
		int ready = eventfd(0, 0), status;
		/* A second; where the host's clock is not what it executed, much more. */
		u64 count, start, limit = 1000000000UL * (host_is_tcg() ? 5 * host_slowness() : 1);
		pid_t pid = fork();

		if (!pid) {
			storms[i].run(storms[i].guest, ready);
			_exit(1);
		}
		ASSERT_EQ(8, read(ready, &count, 8));
		start = now_ns();
		for (u32 nap = 0; nap < 10; nap++)
			usleep(10000);
		EXPECT_GT(limit, now_ns() - start) {
			TH_LOG("%s: ten naps of 10 ms took %lu ms", storms[i].name,
			       (now_ns() - start) / 1000000);
		}
		start = now_ns();
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		EXPECT_GT(limit, now_ns() - start) {
			TH_LOG("%s: it took %lu ms to die", storms[i].name,
			       (now_ns() - start) / 1000000);
		}
		close(ready);
	}
}

/* ---- clocks of several vCPUs on several CPUs ---- */

static volatile u64 last_time;
static volatile u32 rounds_left;

static u64 tsc_behind_loads(void *unused)
{
	(void)unused;
	__asm__ volatile("lfence" : : : "memory");
	return rdtsc();
}

static u64 kvmclock_behind_loads(void *page)
{
	__asm__ volatile("lfence" : : : "memory");
	return read_clock(page);
}

/* Each reading is after the last one that any vCPU has published, but for @slack. */
static void compare_clocks(u64 (*read)(void *), void *page, u64 slack)
{
	while (rounds_left) {
		u64 before = last_time, now = read(page);

		if (now + slack < before)
			GUEST_FAIL("a clock behind another vCPU's", before, now);
		__atomic_compare_exchange_n(&last_time, &before, now, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST);
		cpu_relax();
	}
	GUEST_DONE();
}

static void guest_tscs(void)
{
	compare_clocks(tsc_behind_loads, NULL, 0);
}

/* A page for each vCPU, as Linux has it. */
static void guest_kvmclocks(void)
{
	u64 page = GUEST_DATA + (cpuid(1, 0).ebx >> 24) * 64;

	wrmsr(MSR_KVM_SYSTEM_TIME, page | 1);
	/* Pages of a host without a stable TSC are made anew by another clock: a ms is plenty. */
	compare_clocks(kvmclock_behind_loads, (void *)page,
		       ((struct time_info *)page)->flags & KVMCLOCK_STABLE ? 0 : 1000000);
}

/* Runs @guest on two vCPUs whose threads change their CPUs. */
static void while_threads_move(struct __test_metadata *_metadata, void (*guest)(void))
{
	struct vm *vm = vm_new();
	struct runner runner[2];

	guest_var(vm, rounds_left) = 1;
	for (u32 id = 0; id < 2; id++)
		runner_start(&runner[id], vcpu_new(vm, id, guest));
	for (u32 i = 0; i < share_of(100); i++) {
		for (u32 id = 0; id < 2; id++) {
			cpu_set_t set;

			CPU_ZERO(&set);
			CPU_SET(host_cpu((i + id) % host_cpus()), &set);
			ASSERT_EQ(0, pthread_setaffinity_np(runner[id].thread, sizeof(set), &set));
		}
		usleep(2000);
	}
	guest_var(vm, rounds_left) = 0;
	for (u32 id = 0; id < 2; id++)
		runner_join(&runner[id], 20);
	EXPECT_LT(0, guest_var(vm, last_time));
}

TEST(tscs_agree_while_threads_move_between_cpus)
{
	while_threads_move(_metadata, guest_tscs);
}

TEST(kvmclocks_agree_while_threads_move_between_cpus)
{
	while_threads_move(_metadata, guest_kvmclocks);
}

/* ---- a PAUSE loop ---- */

#define HANDOVERS	200U

static volatile u32 ball;	/* of the vCPU whose id is its lowest bit */

static void play(u32 id)
{
	for (u32 i = 0; i < HANDOVERS; i++) {
		while (ball % 2 != id)
			__asm__ volatile("pause" : : : "memory");
		ball++;
	}
	GUEST_DONE();
}

static void guest_plays_even(void)
{
	play(0);
}

static void guest_plays_odd(void)
{
	play(1);
}

static u64 pause_exits(struct vcpu *vcpu)
{
	struct vmm_vcpu_stats stats = { 0 };

	VMM_MUST(vcpu->fd, VMM_GET_VCPU_STATS, &stats);
	return stats.exits[VMM_STAT_PAUSE];
}

/* By VT-x, by AMD-V. */
static bool cpu_tells_spinning(void)
{
	return file_has("/proc/cpuinfo", " ple") || file_has("/proc/cpuinfo", " pausefilter");
}

/*
 * Two vCPUs of one CPU, each of which waits for the other in turn. Who waits gives its time
 * to the other one: else it would spin until the scheduler takes it, in Bochs for 12 exits.
 */
TEST_TIMEOUT(who_waits_in_a_pause_loop_gives_its_time_to_the_other, 60)
{
	static void (*const guests[])(void) = { guest_plays_even, guest_plays_odd };
	struct vm *vm = vm_new();
	struct runner runners[2];
	u64 exits = 0;
	u32 i;

	pin_to_cpu(0);
	for (i = 0; i < 2; i++)
		runner_start(&runners[i], vcpu_new(vm, i, guests[i]));
	for (i = 0; i < 2; i++)
		runner_join(&runners[i], 50);
	for (i = 0; i < 2; i++)
		exits += pause_exits(runners[i].vcpu);
	printf("# %lu exits for %u times\n", exits, 2 * HANDOVERS);
	if (!exits && !cpu_tells_spinning())
		SKIP(return, "the CPU does not tell who spins");
	EXPECT_LT(0, exits);
	EXPECT_EQ(2 * HANDOVERS, guest_var(vm, ball));
	EXPECT_GT(2 * HANDOVERS * 3, exits);
}

VMM_TEST_MAIN
