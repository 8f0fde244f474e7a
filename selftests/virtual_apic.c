// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An APIC whose priorities, requests and EOIs are the CPU's in x2APIC mode: no exits
 * for them where VMM_FEATURE_VIRTUAL_APIC is, and the same results with and without.
 */
#include "lib/test.h"
#include "lib/thread.h"

#define LOW		0x41
#define HIGH		0x83
#define X2(offset)	(MSR_X2APIC + (offset) / 16)
#define SELF_IPI	0x3f0
#define ROUNDS		10

static u64 exits(struct vcpu *vcpu, enum vmm_stat_exit exit)
{
	struct vmm_vcpu_stats stats = { 0 };

	VMM_MUST(vcpu->fd, VMM_GET_VCPU_STATS, &stats);
	return stats.exits[exit];
}

static bool by_cpu(void)
{
	return get_info().features & VMM_FEATURE_VIRTUAL_APIC && !getenv("SELFTEST_SHADOW");
}

static volatile u32 taken[256];

static void on_irq(struct guest_frame *frame)
{
	taken[frame->vector & 0xff]++;
	wrmsr(X2(APIC_EOI), 0);
}

static void x2apic_on(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2 | APIC_BASE_ENABLE);
	wrmsr(X2(APIC_SVR), 0x1ff);
}

static bool irr(u32 vector)
{
	return rdmsr(X2(APIC_IRR + vector / 32 * 16)) >> vector % 32 & 1;
}

static bool isr(u32 vector)
{
	return rdmsr(X2(APIC_ISR + vector / 32 * 16)) >> vector % 32 & 1;
}

/* ---- what exits ---- */

static void guest_rounds(void)
{
	guest_handlers[LOW] = on_irq;
	guest_handlers[HIGH] = on_irq;
	x2apic_on();
	GUEST_SYNC(1);
	for (u32 i = 1; i <= ROUNDS; i++) {
		cli();
		wrmsr(X2(SELF_IPI), LOW);
		wrmsr(X2(APIC_TPR), 0x40);
		GUEST_TRUE(irr(LOW));
		sti();
		cpu_relax();
		GUEST_EQ(i - 1, taken[LOW]);	/* held back by TPR */
		wrmsr(X2(SELF_IPI), HIGH);
		cpu_relax();
		GUEST_EQ(i, taken[HIGH]);
		GUEST_EQ(4, read_cr8());
		GUEST_EQ(0x40, rdmsr(X2(APIC_PPR)));
		write_cr8(0);
		cpu_relax();
		GUEST_EQ(i, taken[LOW]);
		GUEST_EQ(0, rdmsr(X2(APIC_TPR)));
	}
	GUEST_SYNC(2);
	GUEST_DONE();
}

TEST(where_the_cpu_has_the_apic_nothing_of_it_exits)
{
	static const struct {
		enum vmm_stat_exit exit;
		u64 without;		/* at least so many a round */
	} cases[] = {
		{ VMM_STAT_MSR_WRITE, 5 },
		{ VMM_STAT_MSR_READ, 3 },
		{ VMM_STAT_CR, 2 },
		{ VMM_STAT_INTR_WINDOW, 0 },
		{ VMM_STAT_APIC, 0 },
	};
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_rounds);
	u64 before[ARRAY_SIZE(cases)], seen;
	u32 i;

	vcpu_sync(vcpu, 1);
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		before[i] = exits(vcpu, cases[i].exit);
	vcpu_sync(vcpu, 2);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		seen = exits(vcpu, cases[i].exit) - before[i];
		if (by_cpu())
			EXPECT_EQ_FOR(0, seen, "exit %u", cases[i].exit);
		else
			EXPECT_TRUE(seen >= cases[i].without * ROUNDS);
	}
	vcpu_done(vcpu);
}

/* ---- state ---- */

static void on_high(struct guest_frame *frame)
{
	GUEST_TRUE(isr(HIGH) && irr(LOW) && !isr(LOW) && !irr(HIGH));
	GUEST_SYNC(HIGH);
	GUEST_TRUE(isr(HIGH) && irr(LOW));
	wrmsr(X2(APIC_TPR), 0x5a);
	wrmsr(X2(APIC_EOI), 0);
	GUEST_TRUE(!isr(HIGH) && irr(LOW));
}

static void guest_state(void)
{
	guest_handlers[LOW] = on_irq;
	guest_handlers[HIGH] = on_high;
	x2apic_on();
	wrmsr(X2(SELF_IPI), LOW);
	wrmsr(X2(SELF_IPI), HIGH);
	sti();
	cpu_relax();
	GUEST_EQ(0, taken[LOW]);
	GUEST_SYNC(2);
	GUEST_EQ(0x5a, rdmsr(X2(APIC_TPR)));
	GUEST_EQ(0, taken[LOW]);
	wrmsr(X2(APIC_TPR), 0);
	cpu_relax();
	GUEST_EQ(1, taken[LOW]);
	GUEST_DONE();
}

static void expect(u32 want, const u32 *regs, u32 offset)
{
	if (regs[offset / 16] != want)
		die("APIC register %#x: expected %#x, got %#x", offset, want, regs[offset / 16]);
}

/* LOW waits, @in_service is so or, if it is 0, none is. */
static void expect_regs(struct vcpu *vcpu, u32 in_service, u32 tpr, u32 ppr)
{
	struct vmm_state state;
	const u32 *regs = state.lapic.regs;

	vcpu_get(vcpu, &state, VMM_STATE_LAPIC);
	for (u32 i = 0; i < 8; i++) {
		u32 want = in_service && in_service / 32 == i ? 1U << in_service % 32 : 0;

		expect(want, regs, APIC_ISR + 16 * i);
		expect(LOW / 32 == i ? 1U << LOW % 32 : 0, regs, APIC_IRR + 16 * i);
		expect(0, regs, APIC_TMR + 16 * i);
	}
	expect(tpr, regs, APIC_TPR);
	expect(ppr, regs, APIC_PPR);
}

static struct vcpu *moved(struct vcpu *vcpu)
{
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_ALL);
	vcpu_set(vcpu, &state, VMM_STATE_ALL);
	return vcpu;
}

static void look_at_each_stop(struct vcpu *(*at_stop)(struct vcpu *vcpu))
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_state);

	vcpu_sync(vcpu, HIGH);
	expect_regs(vcpu, HIGH, 0, HIGH & 0xf0);
	vcpu = at_stop(vcpu);
	vcpu_sync(vcpu, 2);
	expect_regs(vcpu, 0, 0x5a, 0x5a);
	vcpu_done(at_stop(vcpu));
}

static struct vcpu *as_it_is(struct vcpu *vcpu)
{
	return vcpu;
}

TEST(the_registers_are_right_at_each_stop)
{
	look_at_each_stop(as_it_is);
}

TEST(and_go_on_from_where_they_were_saved)
{
	look_at_each_stop(moved);
}

/* ---- errors, modes ---- */

static void guest_errors(void)
{
	u64 value;

	x2apic_on();
	GUEST_EQ(VEC_GP, try_wrmsr(X2(SELF_IPI), 0x100));
	GUEST_EQ(VEC_GP, try_wrmsr(X2(APIC_TPR), 0x100));
	GUEST_EQ(VEC_GP, try_wrmsr(X2(APIC_EOI), 1));
	GUEST_EQ(VEC_GP, try_rdmsr(X2(APIC_EOI), &value));
	GUEST_EQ(VEC_GP, try_rdmsr(X2(SELF_IPI), &value));
	wrmsr(X2(APIC_ESR), 0);
	GUEST_EQ(NO_FAULT, try_wrmsr(X2(SELF_IPI), 5));
	wrmsr(X2(APIC_ESR), 0);
	GUEST_EQ(1U << 5, rdmsr(X2(APIC_ESR)));		/* "Send Illegal Vector" */
	/* An EOI of nothing. */
	wrmsr(X2(APIC_EOI), 0);
	GUEST_DONE();
}

TEST(errors_are_those_of_an_apic)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_errors);

	vcpu_done(vcpu);
	EXPECT_EQ(by_cpu() ? 1 : 0, exits(vcpu, VMM_STAT_APIC));
}

static void guest_modes(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	guest_handlers[LOW] = on_irq;
	x2apic_on();
	wrmsr(X2(SELF_IPI), LOW);
	wrmsr(X2(APIC_TPR), 0x20);
	GUEST_TRUE(irr(LOW));
	/* What waits goes with the APIC that is switched off. */
	wrmsr(MSR_APIC_BASE, base & ~(u64)APIC_BASE_ENABLE);
	sti();
	cpu_relax();
	cli();
	GUEST_EQ(0, read_cr8());
	wrmsr(MSR_APIC_BASE, base);
	write32(APIC_PAGE + APIC_SVR, 0x1ff);
	write32(APIC_PAGE + APIC_TPR, 0x60);
	write32(APIC_PAGE + APIC_ICR, APIC_ICR_SELF | LOW);
	/* But comes along into x2APIC mode. */
	wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2);
	GUEST_EQ(0x60, rdmsr(X2(APIC_TPR)));
	GUEST_TRUE(irr(LOW));
	sti();
	cpu_relax();
	GUEST_EQ(0, taken[LOW]);
	write_cr8(0);
	cpu_relax();
	GUEST_EQ(1, taken[LOW]);
	GUEST_TRUE(!irr(LOW) && !isr(LOW));
	GUEST_DONE();
}

TEST(modes_change_with_an_interrupt_waiting)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_modes));
}

/* ---- HLT, and messages to a guest that runs ---- */

static void guest_takes(void)
{
	guest_handlers[LOW] = on_irq;
	x2apic_on();
	GUEST_SYNC(1);
	/* It waits already: HLT must not sleep. */
	wrmsr(X2(SELF_IPI), LOW);
	sti_hlt();
	cli();
	GUEST_EQ(1, taken[LOW]);
	sti();
	GUEST_SYNC(2);
	while (taken[LOW] < 1 + ROUNDS)
		cpu_relax();
	GUEST_DONE();
}

TEST(messages_arrive_at_a_guest_that_runs)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_takes);
	struct vmm_msi msi = { .address = 0xfee00000, .data = LOW };
	struct runner runner;

	runner_start(&runner, vcpu);
	runner_wait_sync(&runner, 2, 10);
	for (u32 i = 1; i <= ROUNDS; i++) {
		u64 end = now_ns() + 10000000000UL;

		VMM_MUST(vcpu->vm->fd, VMM_SIGNAL_MSI, &msi);
		while (guest_var(vcpu->vm, taken[LOW]) < 1 + i)
			ASSERT_LT(now_ns(), end);
	}
	runner_join(&runner, 10);
}

VMM_TEST_MAIN
