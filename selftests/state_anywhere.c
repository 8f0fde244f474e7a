// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A vCPU may be stopped at any point, saved, freed with its VM, made anew and restored:
 * the program it runs notices nothing. Its digest is that of an undisturbed run.
 */
#include <signal.h>
#include <sys/time.h>

#include "lib/test.h"

#define ROUNDS		400
#define POINTS		1000
#define VECTOR		0x61
#define TIMER		0x72
#define PORT		0x5f0
#define LEAF		0x40000000

static volatile u64 digest;

static void mix(u64 value)
{
	digest = (digest ^ value) * 0x9e3779b97f4a7c15UL;
	digest ^= digest >> 29;
}

/* Vector and x87 registers keep sums over the whole run. */
static void mix_vectors(u64 value)
{
	u64 low;

	__asm__ volatile("movq %1, %%xmm5\n\t"
			 "paddq %%xmm5, %%xmm6\n\t"
			 "pshufd $0x4e, %%xmm6, %%xmm6\n\t"
			 "movq %%xmm6, %0" : "=r"(low) : "r"(value) : "memory");
	mix(low);
}

static void mix_x87(u64 value)
{
	u64 sum;

	value &= 0xffffff;
	__asm__ volatile("fildll %1\n\t"
			 "faddp %%st, %%st(1)\n\t"
			 "fld %%st\n\t"
			 "fistpll %0" : "=m"(sum) : "m"(value) : "memory");
	mix(sum);
}

static void mix_registers(u32 round)
{
	u64 value;

	wrmsr(MSR_KERNEL_GS_BASE, 0x1000UL * round);
	__asm__ volatile("mov %0, %%db1" : : "r"((u64)round << 12));
	write_cr8(round & 7);
	write_cr2(digest);
	mix(rdmsr(MSR_KERNEL_GS_BASE));
	__asm__ volatile("mov %%db1, %0" : "=r"(value));
	mix(value);
	mix(read_cr8() << 32 | apic_read(APIC_TPR));
	mix(read_cr2());
	write_cr8(0);
}

static void mix_memory(u32 round)
{
	u8 *from = (u8 *)GUEST_DATA + round % 64, *to = (u8 *)GUEST_DATA + 4096 - 100;
	u64 count = 300;

	write64(GUEST_DATA + round % 500 * 8, digest);
	__asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
	mix(read64(GUEST_DATA + 4096) + (u64)to);
}

static void mix_interrupts(u32 round)
{
	u64 want = guest_irqs[TIMER] + 1;

	wrmsr(MSR_X2APIC + 0x3f, VECTOR);
	cpu_relax();
	mix(guest_irqs[VECTOR]);
	if (round % 8)
		return;
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 20000);
	cli();
	while (guest_irqs[TIMER] < want) {
		sti_hlt();
		cli();
	}
	sti();
	mix(guest_irqs[TIMER]);
}

static void guest_program(void)
{
	guest_handlers[VECTOR] = guest_count_irq;
	guest_handlers[TIMER] = guest_count_irq;
	guest_apic_enable();
	apic_write(APIC_LVT_TIMER, TIMER | APIC_TIMER_DEADLINE);
	__asm__ volatile("pxor %%xmm6, %%xmm6; fninit; fldz" : : : "memory");
	sti();
	for (u32 round = 1; round <= ROUNDS; round++) {
		mix(cpuid(LEAF, 0).ebx);
		mix(inl(PORT + round % 4 * 4));
		mix(GUEST_TRY("ud2", "c"(0) : "memory"));
		mix_vectors(digest);
		mix_x87(digest);
		mix_registers(round);
		mix_memory(round);
		mix_interrupts(round);
	}
	GUEST_DONE();
}

/* ---- the host's side ---- */

struct saved {
	struct vmm_state state;
	struct vmm_msr msr[VMM_MAX_MSRS];
	u32 msrs;
	u8 *xsave;
	u32 xsave_size;
	struct vmm_clock clock;
};

static struct vcpu *current;

static void on_alarm(int signal)
{
	(void)signal;
	current->run->immediate_exit = 1;
}

static void save_init(struct saved *saved, int sys)
{
	u32 indices[VMM_MAX_MSRS];
	struct vmm_msr_list list = { .count = VMM_MAX_MSRS, .indices = (u64)indices };

	VMM_MUST(sys, VMM_GET_MSR_LIST, &list);
	saved->msrs = list.count;
	for (u32 i = 0; i < list.count; i++)
		saved->msr[i].index = indices[i];
	saved->xsave_size = get_info().xsave_size;
	saved->xsave = map_memory(saved->xsave_size);
}

static void save(struct saved *saved, struct vcpu *vcpu)
{
	struct vmm_msrs msrs = { .count = saved->msrs, .msrs = (u64)saved->msr };
	struct vmm_xsave xsave = { .size = saved->xsave_size, .data = (u64)saved->xsave };
	struct vmm_clock clock = { 0 };

	/* What the last exit asked for is taken before anything is saved. */
	vcpu->run->immediate_exit = 1;
	if (vcpu_run(vcpu) != -EINTR)
		die("VMM_RUN with immediate_exit: expected EINTR");
	vcpu_get(vcpu, &saved->state, VMM_STATE_ALL & ~VMM_STATE_EVENT);
	if (VMM_MUST(vcpu->fd, VMM_GET_MSRS, &msrs) != (int)saved->msrs)
		die("VMM_GET_MSRS: expected all %u", saved->msrs);
	VMM_MUST(vcpu->fd, VMM_GET_XSAVE, &xsave);
	VMM_MUST(vcpu->vm->fd, VMM_GET_CLOCK, &clock);
	saved->clock = clock;
}

static void restore(struct saved *saved, struct vcpu *vcpu)
{
	struct vmm_msrs msrs = { .count = saved->msrs, .msrs = (u64)saved->msr };
	struct vmm_xsave xsave = { .size = saved->xsave_size, .data = (u64)saved->xsave };
	struct vmm_clock clock = saved->clock;

	clock.flags = VMM_CLOCK_TSC;
	clock.realtime = 0;
	VMM_MUST(vcpu->vm->fd, VMM_SET_CLOCK, &clock);
	if (VMM_MUST(vcpu->fd, VMM_SET_MSRS, &msrs) != (int)saved->msrs)
		die("VMM_SET_MSRS: expected all %u", saved->msrs);
	vcpu_set(vcpu, &saved->state, VMM_STATE_ALL & ~VMM_STATE_EVENT);
	VMM_MUST(vcpu->fd, VMM_SET_XSAVE, &xsave);
}

/* A new VM on the same memory, and a new vCPU. */
static struct vcpu *reincarnate(struct saved *saved, struct vcpu *old)
{
	struct vm *vm = vm_new_bare(), *gone = old->vm;
	struct vcpu *vcpu;

	save(saved, old);
	vcpu_free(old);
	vm->mem = gone->mem;
	gone->mem = NULL;
	vm_free(gone);
	if (vm_slot(vm, 0, 0, GUEST_MEM_SIZE, vm->mem, 0))
		die("VMM_SET_SLOT failed");
	vcpu = vcpu_new_reset(vm, 0);
	restore(saved, vcpu);
	return vcpu;
}

static void answer(struct vcpu *vcpu)
{
	struct vmm_exit_pio *pio = &vcpu->run->pio;

	if (vcpu->run->exit_reason != VMM_EXIT_PIO || pio->write)
		die("expected an IN, got %s", exit_text(vcpu));
	pio->data = pio->port * 0x01010101U;
}

static void alarm_in(u32 us)
{
	struct itimerval timer = { .it_value.tv_usec = us };

	setitimer(ITIMER_REAL, &timer, NULL);
}

/* One run; after each stop, of which *@points counts down, a new VM. The digest. */
static u64 run(struct saved *saved, u32 *points, u32 *seed)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_program);
	u64 result;
	u32 value;

	for (;;) {
		bool stopped;
		int error;

		current = vcpu;
		*seed = *seed * 1664525 + 1013904223;
		if (*points)
			alarm_in(1 + (*seed >> 16) % 300);
		error = vcpu_run(vcpu);
		alarm_in(0);
		stopped = error == -EINTR;
		if (error && !stopped)
			die("VMM_RUN: %d", error);
		if (!stopped) {
			if (vcpu_synced(vcpu, &value) && value == GUEST_DONE_VALUE)
				break;
			answer(vcpu);
			/* Every other exit is a point as well. */
			stopped = *seed & 0x100;
		}
		if (stopped && *points) {
			vcpu = reincarnate(saved, vcpu);
			--*points;
		}
		vcpu->run->immediate_exit = 0;
	}
	result = guest_var(vcpu->vm, digest);
	vm_free(vcpu->vm);
	vcpu_free(vcpu);
	return result;
}

TEST_TIMEOUT(a_program_notices_no_stop_and_no_new_vm, 240)
{
	struct sigaction action = { .sa_handler = on_alarm };
	u32 points = share_of(POINTS), none = 0, seed = 12345, before;
	struct saved saved = { 0 };
	u64 want;

	sigaction(SIGALRM, &action, NULL);
	save_init(&saved, open_vmm());
	want = run(&saved, &none, &seed);
	while (points) {
		before = points;
		ASSERT_EQ(want, run(&saved, &points, &seed)) {
			TH_LOG("with %u points to go", points);
		}
		ASSERT_GT(before, points);
	}
}

/* ---- what of it shows only seldom ---- */

static void guest_wait(void)
{
	guest_apic_enable();
	for (;;)
		GUEST_SYNC(1);
}

TEST(messages_that_wait_are_saved)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_wait), *other = vcpu_new_reset(vm, 1);
	struct vmm_msi init = { .address = 0xfee01000, .data = 0x500 };
	struct vmm_state state;

	vcpu_sync(vcpu, 1);
	VMM_MUST(vm->fd, VMM_SIGNAL_MSI, &init);
	vcpu_get(other, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(VMM_INIT_PENDING, state.events.init);
	EXPECT_EQ(VMM_MP_WAIT_INIT, state.events.mp_state);
	state.events.init = VMM_INIT_PENDING | VMM_SIPI_PENDING;
	state.events.sipi_vector = 0x20;
	vcpu_set(other, &state, VMM_STATE_EVENTS);
	vcpu_get(other, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(VMM_INIT_PENDING | VMM_SIPI_PENDING, state.events.init);
	EXPECT_EQ(0x20, state.events.sipi_vector);
	/* Giving the guest an exception leaves them alone. */
	vcpu_set(other, &(struct vmm_state){ 0 }, VMM_STATE_EVENT);
	vcpu_get(other, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(VMM_INIT_PENDING | VMM_SIPI_PENDING, state.events.init);
	state.events.init = 0;
	state.events.sipi_vector = 0;
	vcpu_set(other, &state, VMM_STATE_EVENTS);
	vcpu_get(other, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(0, state.events.init);
}

static void guest_errors(void)
{
	guest_apic_enable();
	apic_write(APIC_ESR, 0);
	wrmsr(MSR_X2APIC + APIC_ICR / 16, APIC_ICR_SELF | 5);
	GUEST_SYNC(1);
	GUEST_EQ(0, apic_read(APIC_ESR));
	apic_write(APIC_ESR, 0);
	GUEST_EQ(1U << 5, apic_read(APIC_ESR));
	GUEST_DONE();
}

TEST(errors_that_esr_does_not_show_yet_are_saved)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_errors);
	struct vmm_state state;

	vcpu_sync(vcpu, 1);
	vcpu_get(vcpu, &state, VMM_STATE_LAPIC);
	EXPECT_EQ(1U << 5, state.lapic.errors);
	EXPECT_EQ(0, state.lapic.regs[APIC_ESR / 16]);
	vcpu_set(vcpu, &state, VMM_STATE_LAPIC);
	vcpu_done(vcpu);
}

VMM_TEST_MAIN
