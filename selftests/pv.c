// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KVM's documented paravirtual interface: what a vCPU's CPUID offers works, and what it
 * does not offer is not there. Steal time, EOIs without an exit, IPIs and kicks by
 * hypercall, notices in the clock's page.
 */
#include <signal.h>
#include <sys/wait.h>

#include "lib/test.h"
#include "lib/thread.h"

#define LEAF_FEATURES		0x40000001
#define FEATURE_CLOCK2		3
#define FEATURE_STEAL		5
#define FEATURE_EOI		6
#define FEATURE_UNHALT		7
#define FEATURE_FLUSH		9
#define FEATURE_IPI		11
#define FEATURE_POLL		12
#define FEATURE_YIELD		13
#define MSR_WALL_CLOCK		0x4b564d00
#define MSR_SYSTEM_TIME		0x4b564d01
#define MSR_STEAL		0x4b564d03
#define MSR_EOI			0x4b564d04
#define MSR_POLL		0x4b564d05
#define HC_KICK			5
#define HC_SEND_IPI		10
#define HC_YIELD		11
#define ENOSYS_KVM		1000

#define LOW	0x41
#define MIDDLE	0x52
#define HIGH	0x63

/* Areas in memory that nothing else uses. */
#define STEAL_AREA	GUEST_DATA
#define EOI_WORD	(GUEST_DATA + 0x100)
#define CLOCK_AREA	(GUEST_DATA + 0x200)

static long hypercall(u64 number, u64 a, u64 b, u64 c, u64 d)
{
	bool amd = cpuid(0, 0).ecx == 0x444d4163;
	long result;

	if (amd)
		__asm__ volatile("vmmcall" : "=a"(result)
				 : "0"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	else
		__asm__ volatile("vmcall" : "=a"(result)
				 : "0"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	return result;
}

static void send(struct vcpu *vcpu, u32 data)
{
	struct vmm_msi msi = { .address = 0xfee00000, .data = data };

	VMM_MUST(vcpu->vm->fd, VMM_SIGNAL_MSI, &msi);
}

static void without_features(struct vcpu *vcpu)
{
	static struct vmm_cpuid_entry table[VMM_MAX_CPUID];
	struct vmm_cpuid args = { .count = VMM_MAX_CPUID, .entries = (u64)table };

	VMM_MUST(vcpu->fd, VMM_GET_CPUID, &args);
	for (u32 i = 0; i < args.count; i++)
		if (table[i].function == LEAF_FEATURES)
			table[i].eax = 0;
	VMM_MUST(vcpu->fd, VMM_SET_CPUID, &args);
}

/* ---- offered or not ---- */

static void guest_offered(void)
{
	static const u8 bits[] = { FEATURE_CLOCK2, FEATURE_STEAL, FEATURE_EOI, FEATURE_UNHALT,
				   FEATURE_FLUSH, FEATURE_IPI, FEATURE_POLL, FEATURE_YIELD };
	u32 features = cpuid(LEAF_FEATURES, 0).eax;
	u64 value;

	for (u32 i = 0; i < sizeof(bits); i++)
		if (!(features & 1U << bits[i]))
			GUEST_FAIL("feature bit", bits[i], features);
	GUEST_EQ(NO_FAULT, try_rdmsr(MSR_STEAL, &value));
	GUEST_EQ(0, value);
	GUEST_EQ(NO_FAULT, try_rdmsr(MSR_EOI, &value));
	GUEST_EQ(0, value);
	GUEST_EQ(NO_FAULT, try_rdmsr(MSR_POLL, &value));
	GUEST_EQ(1, value);
	GUEST_EQ(NO_FAULT, try_wrmsr(MSR_POLL, 0));
	GUEST_EQ(0, rdmsr(MSR_POLL));
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_POLL, 2));
	/* Reserved bits, alignment, no memory there can be. */
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_STEAL, STEAL_AREA | 3));
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_STEAL, (STEAL_AREA + 32) | 1));
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_STEAL, 1UL << 60 | 1));
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_EOI, EOI_WORD | 3));
	GUEST_EQ(NO_FAULT, try_wrmsr(MSR_STEAL, GUEST_HOLE | 1));
	GUEST_EQ(NO_FAULT, try_wrmsr(MSR_EOI, GUEST_HOLE | 1));
	GUEST_SYNC(1);
	GUEST_EQ(NO_FAULT, try_wrmsr(MSR_STEAL, 0));
	GUEST_EQ(0, hypercall(HC_YIELD, 0, 0, 0, 0));
	GUEST_EQ(0, hypercall(HC_YIELD, 12345, 0, 0, 0));
	GUEST_EQ(0, hypercall(HC_KICK, 0, 12345, 0, 0));
	GUEST_EQ(-ENOSYS_KVM, hypercall(9999, 0, 0, 0, 0));
	GUEST_DONE();
}

TEST(what_is_offered_is_there)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_offered);

	vcpu_sync(vcpu, 1);
	/* An interrupt whose offer finds no memory. */
	send(vcpu, LOW);
	vcpu_done(vcpu);
}

static void guest_not_offered(void)
{
	u64 value;

	GUEST_EQ(0, cpuid(LEAF_FEATURES, 0).eax);
	GUEST_EQ(VEC_GP, try_rdmsr(MSR_STEAL, &value));
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_STEAL, STEAL_AREA | 1));
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_EOI, EOI_WORD | 1));
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_POLL, 1));
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_SYSTEM_TIME, CLOCK_AREA | 1));
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_WALL_CLOCK, CLOCK_AREA));
	GUEST_EQ(-ENOSYS_KVM, hypercall(HC_KICK, 0, 0, 0, 0));
	GUEST_EQ(-ENOSYS_KVM, hypercall(HC_SEND_IPI, 1, 0, 0, LOW));
	GUEST_EQ(-ENOSYS_KVM, hypercall(HC_YIELD, 0, 0, 0, 0));
	GUEST_DONE();
}

TEST(what_is_not_offered_is_not_there)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_not_offered);

	without_features(vcpu);
	vcpu_done(vcpu);
	/* The process may restore it all the same. */
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_STEAL, STEAL_AREA | 1));
	EXPECT_EQ(0, vcpu_set_msr(vcpu, MSR_STEAL, STEAL_AREA | 2));
}

static void guest_user_calls(void)
{
	GUEST_EQ(-1, hypercall(HC_YIELD, 0, 0, 0, 0));
}

static void guest_calls(void)
{
	guest_call_user(guest_user_calls);
	GUEST_DONE();
}

TEST(hypercalls_are_the_kernels)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_calls));
}

/* ---- steal time ---- */

struct steal {
	u64 steal;
	u32 version;
	u32 flags;
	u8 preempted;
	u8 pad[3];
};

static volatile bool spin_on;

static void *spin(void *arg)
{
	pin_to_cpu(0);
	while (spin_on)
		__asm__ volatile("" : : : "memory");
	return arg;
}

static void guest_steal(void)
{
	volatile struct steal *steal = (void *)STEAL_AREA;
	u64 last = 0;

	wrmsr(MSR_STEAL, STEAL_AREA | 1);
	GUEST_EQ(STEAL_AREA | 1, rdmsr(MSR_STEAL));
	for (;;) {
		GUEST_EQ(0, steal->version & 1);
		GUEST_TRUE(steal->version != 0);
		GUEST_TRUE(steal->steal >= last);
		/* Who runs is not preempted. */
		GUEST_EQ(0, steal->preempted);
		last = steal->steal;
		for (u32 i = 0; i < 100000; i++)
			cpu_relax();
		GUEST_SYNC(1);
	}
}

TEST(time_that_another_thread_had_is_stolen)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_steal);
	volatile struct steal *steal = vm_ptr(vcpu->vm, STEAL_AREA);
	u64 end = now_ns() + 20000000000UL;
	pthread_t thread;

	pin_to_cpu(0);
	vcpu_sync(vcpu, 1);
	spin_on = true;
	pthread_create(&thread, NULL, spin, NULL);
	while (steal->steal < 1000000) {
		ASSERT_LT(now_ns(), end);
		vcpu_sync(vcpu, 1);
	}
	spin_on = false;
	pthread_join(thread, NULL);
}

static volatile u64 flushed_seen;

static void guest_sleeper(void)
{
	volatile struct steal *steal = (void *)STEAL_AREA;
	volatile u64 *there = (void *)GUEST_DATA2;

	guest_handlers[LOW] = guest_count_irq;
	guest_apic_enable();
	wrmsr(MSR_STEAL, STEAL_AREA | 1);
	flushed_seen = *there;
	GUEST_EQ(0, steal->preempted);
	GUEST_SYNC(1);
	sti_hlt();
	/* The host moved the page and asked for a flush, by the bit alone. */
	flushed_seen = *there;
	GUEST_EQ(0, steal->preempted);
	GUEST_DONE();
}

TEST(a_sleeping_vcpu_is_preempted_and_flushes_when_it_wakes)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_sleeper);
	struct vm *vm = vcpu->vm;
	volatile struct steal *steal = vm_ptr(vm, STEAL_AREA);
	u64 *pd = vm_ptr(vm, GUEST_PML4 + 2 * 4096);
	struct runner runner;

	*(u64 *)vm_ptr(vm, GUEST_DATA2) = 1;
	*(u64 *)vm_ptr(vm, GUEST_DATA2 + 0x200000) = 2;
	runner_start(&runner, vcpu);
	runner_wait_sync(&runner, 1, 10);
	runner_wait_asleep(&runner, 10);
	EXPECT_EQ(1, guest_var(vm, flushed_seen));
	EXPECT_EQ(1, steal->preempted);
	pd[GUEST_DATA2 >> 21] = pd[(GUEST_DATA2 >> 21) + 1];
	__atomic_fetch_or(&steal->preempted, 2, __ATOMIC_SEQ_CST);
	send(vcpu, LOW);
	runner_join(&runner, 10);
	EXPECT_EQ(2, guest_var(vm, flushed_seen));
}

/* As if another vCPU had left the flush between an exit and the write of the MSR. */
TEST(a_flush_that_waits_is_not_lost_with_the_area)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_steal);
	volatile struct steal *steal = vm_ptr(vcpu->vm, STEAL_AREA);
	volatile struct steal *next = vm_ptr(vcpu->vm, STEAL_AREA + 64);

	vcpu_sync(vcpu, 1);
	steal->preempted = 3;
	vcpu_set_msr(vcpu, MSR_STEAL, (STEAL_AREA + 64) | 1);
	EXPECT_EQ(0, steal->preempted);
	next->preempted = 3;
	vcpu_set_msr(vcpu, MSR_STEAL, 0);
	EXPECT_EQ(0, next->preempted);
}

/* ---- EOIs ---- */

static volatile u32 order[16], offers[16], isr_after[16], taken;
static volatile bool switch_off;
static volatile bool sync_late;	/* between the end of an interrupt and a look at ISR */

static bool skip_eoi(void)
{
	bool was;

	__asm__ volatile("btrl $0, %1" : "=@ccc"(was), "+m"(*(u32 *)EOI_WORD) : : "memory");
	return was;
}

static void on_irq(struct guest_frame *frame)
{
	u32 n = taken++ & 15, vector = frame->vector;

	order[n] = vector;
	offers[n] = read32(EOI_WORD) & 1;
	if (vector == MIDDLE)
		GUEST_SYNC(MIDDLE);	/* what the host does here is the test's */
	if (switch_off) {
		wrmsr(MSR_APIC_BASE,
		      rdmsr(MSR_APIC_BASE) & ~(APIC_BASE_X2 | APIC_BASE_ENABLE));
		GUEST_SYNC(2);
	}
	if (!skip_eoi())
		guest_eoi();
	else
		offers[n] |= 0x10;
	if (sync_late)
		GUEST_SYNC(3);
	isr_after[n] = apic_read(APIC_ISR + vector / 32 * 16) >> vector % 32 & 1;
}

static void guest_eois(void)
{
	guest_handlers[LOW] = on_irq;
	guest_handlers[MIDDLE] = on_irq;
	guest_handlers[HIGH] = on_irq;
	/* In x2APIC mode the CPU may take EOIs, and nobody offers to do without. */
	write32(APIC_PAGE + APIC_SVR, 0x1ff);
	wrmsr(MSR_EOI, EOI_WORD | 1);
	GUEST_EQ(EOI_WORD | 1, rdmsr(MSR_EOI));
	for (;;) {
		GUEST_SYNC(1);
		sti();
		cpu_relax();
		cli();
	}
}

static struct vcpu *eoi_vcpu(void)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_eois);

	vcpu_sync(vcpu, 1);
	return vcpu;
}

#define SEEN(n, what)	guest_var(vcpu->vm, what[n])

TEST(one_interrupt_needs_no_eoi)
{
	struct vcpu *vcpu = eoi_vcpu();

	for (u32 i = 0; i < 3; i++) {
		send(vcpu, LOW);
		vcpu_sync(vcpu, 1);
		EXPECT_EQ(i + 1, guest_var(vcpu->vm, taken));
		EXPECT_EQ(LOW, SEEN(i, order));
		EXPECT_EQ(0x11, SEEN(i, offers));
		EXPECT_EQ(0, SEEN(i, isr_after));
	}
}

TEST(of_two_the_first_needs_one)
{
	struct vcpu *vcpu = eoi_vcpu();

	send(vcpu, LOW);
	send(vcpu, HIGH);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(2, guest_var(vcpu->vm, taken));
	EXPECT_EQ(HIGH, SEEN(0, order));
	EXPECT_EQ(0, SEEN(0, offers));
	EXPECT_EQ(LOW, SEEN(1, order));
	EXPECT_EQ(0x11, SEEN(1, offers));
	EXPECT_EQ(0, SEEN(1, isr_after));
}

TEST(a_level_needs_one)
{
	struct vcpu *vcpu = eoi_vcpu();

	send(vcpu, LOW | 0xc000);
	vcpu_expect(vcpu, VMM_EXIT_EOI);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(0, SEEN(0, offers));
}

TEST(the_offer_is_taken_back_when_another_one_comes)
{
	struct vcpu *vcpu = eoi_vcpu();

	send(vcpu, MIDDLE);
	vcpu_sync(vcpu, MIDDLE);
	EXPECT_EQ(1, SEEN(0, offers));
	send(vcpu, LOW);
	vcpu_sync(vcpu, 1);
	/* Or LOW would wait for an EOI that nobody writes. */
	EXPECT_EQ(2, guest_var(vcpu->vm, taken));
	EXPECT_EQ(1, SEEN(0, offers));
	EXPECT_EQ(LOW, SEEN(1, order));
	EXPECT_EQ(0x11, SEEN(1, offers));
}

static u32 eoi_word(struct vcpu *vcpu)
{
	return *(volatile u32 *)vm_ptr(vcpu->vm, EOI_WORD);
}

/* Or the next interrupt would find a 1 there that nobody has offered. */
TEST(the_offer_goes_with_the_apic_that_made_it)
{
	struct vcpu *vcpu = eoi_vcpu();

	send(vcpu, MIDDLE);
	vcpu_sync(vcpu, MIDDLE);
	EXPECT_EQ(1, eoi_word(vcpu));
	guest_var(vcpu->vm, switch_off) = true;
	vcpu_sync(vcpu, 2);
	EXPECT_EQ(0, eoi_word(vcpu));
}

TEST(an_init_takes_the_offer_and_the_areas)
{
	struct vcpu *vcpu = eoi_vcpu();

	send(vcpu, MIDDLE);
	vcpu_sync(vcpu, MIDDLE);
	EXPECT_EQ(1, eoi_word(vcpu));
	send(vcpu, 5 << 8);	/* delivery mode INIT */
	/* To the reset vector, where nothing is. */
	vcpu_run(vcpu);
	EXPECT_EQ(0, eoi_word(vcpu));
	EXPECT_EQ(0, vcpu_get_msr(vcpu, MSR_EOI));
}

/* The word cannot be asked for with IRQs off: a write to its page is a fault of the host. */
TEST(a_page_that_was_forked_is_asked)
{
	struct vcpu *vcpu = eoi_vcpu();
	pid_t child;

	guest_var(vcpu->vm, sync_late) = true;
	send(vcpu, LOW);
	vcpu_sync(vcpu, 3);
	child = fork();
	if (!child) {
		pause();
		_exit(0);
	}
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(0x11, SEEN(0, offers));
	EXPECT_EQ(0, SEEN(0, isr_after));
	kill(child, SIGKILL);
	EXPECT_EQ(child, waitpid(child, NULL, 0));
}

TEST(a_saved_apic_says_what_is_in_service)
{
	struct vcpu *vcpu = eoi_vcpu();
	struct vmm_state state;

	send(vcpu, MIDDLE);
	vcpu_sync(vcpu, MIDDLE);
	vcpu_get(vcpu, &state, VMM_STATE_LAPIC);
	EXPECT_EQ(1U << MIDDLE % 32, state.lapic.regs[APIC_ISR / 16 + MIDDLE / 32]);
	vcpu_set(vcpu, &state, VMM_STATE_LAPIC);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(1, SEEN(0, offers));
	EXPECT_EQ(0, SEEN(0, isr_after));
	send(vcpu, LOW);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(0x11, SEEN(1, offers));
	/* What the guest ended without telling is ended in what is saved. */
	vcpu_get(vcpu, &state, VMM_STATE_LAPIC);
	EXPECT_EQ(0, state.lapic.regs[APIC_ISR / 16 + LOW / 32]);
}

/* ---- kicks ---- */

static volatile u32 halts;

static void guest_halts(void)
{
	cli();
	for (;;) {
		__asm__ volatile("hlt" : : : "memory");
		halts++;
	}
}

static void guest_kicks(void)
{
	for (u32 i = 1; i <= 20; i++) {
		GUEST_EQ(0, hypercall(HC_KICK, 0, 1, 0, 0));
		while (halts < i)
			cpu_relax();
	}
	GUEST_DONE();
}

TEST(a_kick_ends_a_halt_with_interrupts_off)
{
	struct vm *vm = vm_new();
	struct runner halter, kicker;

	runner_start(&halter, vcpu_new(vm, 1, guest_halts));
	runner_start(&kicker, vcpu_new(vm, 0, guest_kicks));
	runner_join(&kicker, 20);
	runner_wait_asleep(&halter, 10);
	EXPECT_EQ(20, guest_var(vm, halts));
	runner_stop(&halter);
}

static void guest_kick_self(void)
{
	/* An id has 64 bits here. */
	GUEST_EQ(0, hypercall(HC_KICK, 0, 1UL << 32, 0, 0));
	GUEST_SYNC(0);
	GUEST_EQ(0, hypercall(HC_KICK, 0, 0, 0, 0));
	GUEST_SYNC(1);
	/* The kick came first. */
	__asm__ volatile("hlt" : : : "memory");
	GUEST_DONE();
}

TEST(a_kick_that_comes_first_is_not_lost)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_kick_self);
	struct vmm_state state;

	vcpu_sync(vcpu, 0);
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(0, state.events.kicked);
	vcpu_sync(vcpu, 1);
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(1, state.events.kicked);
	vcpu_set(vcpu, &state, VMM_STATE_EVENTS);
	vcpu_done(vcpu);
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(0, state.events.kicked);
}

/* ---- IPIs ---- */

#define FAR_ID	67	/* of the last of four */

static void guest_target(void)
{
	guest_apic_enable();
	GUEST_SYNC(1);
	GUEST_DONE();
}

static void guest_sends(void)
{
	guest_apic_enable();
	GUEST_SYNC(1);
	GUEST_EQ(2, hypercall(HC_SEND_IPI, 0x6, 0, 0, LOW));
	GUEST_SYNC(2);
	/* The second word is 64 ids further on. */
	GUEST_EQ(1, hypercall(HC_SEND_IPI, 0, 0x1, FAR_ID - 64, LOW));
	GUEST_SYNC(3);
	GUEST_EQ(0, hypercall(HC_SEND_IPI, ~0UL, ~0UL, FAR_ID + 1, LOW));
	/* No id begins again at 0 behind the last that 64 bits have. */
	GUEST_EQ(0, hypercall(HC_SEND_IPI, ~0UL, ~0UL, -61UL, LOW));
	GUEST_EQ(0, hypercall(HC_SEND_IPI, ~0UL, ~0UL, 1UL << 32, LOW));
	GUEST_EQ(0, hypercall(HC_SEND_IPI, ~0UL, ~0UL, ~0UL - 3, 5));
	GUEST_EQ(0, hypercall(HC_SEND_IPI, 0xe, 0, 0, 5));
	GUEST_EQ(0, hypercall(HC_SEND_IPI, 0xe, 0, 0, 0x500));
	GUEST_SYNC(4);
	GUEST_EQ(3, hypercall(HC_SEND_IPI, 0x3, 0x1UL << (FAR_ID - 65), 1, 0x400));
	GUEST_SYNC(5);
	GUEST_DONE();
}

/* It does not run, but its APIC is on. */
static struct vcpu *far_target(struct vm *vm)
{
	struct vcpu *vcpu = vcpu_new_reset(vm, FAR_ID);
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_LAPIC);
	state.lapic.regs[APIC_SVR / 16] = 0x1ff;
	vcpu_set(vcpu, &state, VMM_STATE_LAPIC);
	return vcpu;
}

static u32 received(struct vcpu *vcpu[4])
{
	struct vmm_state state;
	u32 mask = 0;

	for (u32 id = 0; id < 4; id++) {
		vcpu_get(vcpu[id], &state, VMM_STATE_LAPIC);
		if (state.lapic.regs[APIC_IRR / 16 + LOW / 32] & 1U << LOW % 32)
			mask |= 1U << id;
		state.lapic.regs[APIC_IRR / 16 + LOW / 32] = 0;
		vcpu_set(vcpu[id], &state, VMM_STATE_LAPIC);
	}
	return mask;
}

TEST(ipis_by_hypercall_go_to_the_bits_of_the_map)
{
	struct vm *vm = vm_new();
	struct vmm_state state;
	struct vcpu *vcpu[4];

	for (u32 id = 0; id < 4; id++) {
		if (id == 3) {
			vcpu[id] = far_target(vm);
			continue;
		}
		vcpu[id] = vcpu_new(vm, id, id ? guest_target : guest_sends);
		vcpu_sync(vcpu[id], 1);
	}
	vcpu_sync(vcpu[0], 2);
	EXPECT_EQ(0x6, received(vcpu));
	vcpu_sync(vcpu[0], 3);
	EXPECT_EQ(0x8, received(vcpu));
	vcpu_sync(vcpu[0], 4);
	EXPECT_EQ(0, received(vcpu));
	vcpu_sync(vcpu[0], 5);
	for (u32 id = 0; id < 4; id++) {
		vcpu_get(vcpu[id], &state, VMM_STATE_EVENTS);
		EXPECT_EQ(!!id, state.events.nmi_pending);
	}
}

/* ---- notices of the clock ---- */

struct clock_area {
	u32 version, pad0;
	u64 tsc, ns;
	u32 mul;
	u8 shift, flags, pad[2];
};

static void guest_clock(void)
{
	wrmsr(MSR_SYSTEM_TIME, CLOCK_AREA | 1);
	for (;;)
		GUEST_SYNC(1);
}

TEST(the_page_tells_of_a_stop_until_the_guest_has_seen_it)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_clock);
	volatile struct clock_area *area = vm_ptr(vcpu->vm, CLOCK_AREA);
	struct vmm_clock clock = { 0 };

	vcpu_sync(vcpu, 1);
	EXPECT_EQ(0, area->flags & 2);
	VMM_MUST(vcpu->vm->fd, VMM_GET_CLOCK, &clock);
	clock.realtime = 0;
	VMM_MUST(vcpu->vm->fd, VMM_SET_CLOCK, &clock);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(0, area->flags & 2);
	clock.flags = VMM_CLOCK_STOPPED;
	VMM_MUST(vcpu->vm->fd, VMM_SET_CLOCK, &clock);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(2, area->flags & 2);
	/* An update for another reason comes first. */
	clock.flags = 0;
	VMM_MUST(vcpu->vm->fd, VMM_SET_CLOCK, &clock);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(2, area->flags & 2);
	/* As a guest does, which has no watchdog bark then. */
	area->flags &= ~2;
	VMM_MUST(vcpu->vm->fd, VMM_SET_CLOCK, &clock);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(0, area->flags & 2);
}

TEST(the_page_is_renewed_for_another_cpu_where_their_tscs_differ)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_clock);
	volatile struct clock_area *area = vm_ptr(vcpu->vm, CLOCK_AREA);
	u32 version, moves = 0;
	bool stable;

	if (host_cpus() < 2)
		SKIP(return, "the host has one CPU");
	pin_to_cpu(0);
	vcpu_sync(vcpu, 1);
	vcpu_sync(vcpu, 1);
	stable = area->flags & 1;
	version = area->version;
	for (u32 i = 0; i < 10; i++) {
		vcpu_sync(vcpu, 1);
		EXPECT_EQ(version + (stable ? 0 : moves) * 2, area->version);
		pin_to_cpu(i & 1 ? 0 : 1);
		moves++;
		vcpu_sync(vcpu, 1);
		EXPECT_EQ(version + (stable ? 0 : moves) * 2, area->version);
	}
}

TEST(a_clock_set_by_real_time_includes_the_pause)
{
	struct vm *vm = vm_new_bare();
	struct vmm_clock before = { 0 }, after, now = { 0 };

	VMM_MUST(vm->fd, VMM_GET_CLOCK, &before);
	EXPECT_GT(before.realtime, 1000000000000000000UL);
	/* As if an hour had passed since. */
	after = before;
	after.flags = VMM_CLOCK_REALTIME;
	after.realtime -= 3600UL * 1000000000;
	VMM_MUST(vm->fd, VMM_SET_CLOCK, &after);
	VMM_MUST(vm->fd, VMM_GET_CLOCK, &now);
	EXPECT_GE(now.ns, before.ns + 3600UL * 1000000000);
	EXPECT_LT(now.ns, before.ns + 3700UL * 1000000000);
	/* A real time that is still to come adds nothing. */
	after.realtime = now.realtime + 3600UL * 1000000000;
	now = (struct vmm_clock){ 0 };
	VMM_MUST(vm->fd, VMM_SET_CLOCK, &after);
	VMM_MUST(vm->fd, VMM_GET_CLOCK, &now);
	EXPECT_LT(now.ns, before.ns + 100UL * 1000000000);
	/* And one without the flag is refused. */
	after.flags = 0;
	EXPECT_EQ(-EINVAL, vmm_call(vm->fd, VMM_SET_CLOCK, &after));
}

VMM_TEST_MAIN
