// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The local APIC as its guest sees it: registers in both modes, the timer in its
 * three, self-IPIs, errors, and IPIs that start another vCPU.
 */
#include "lib/test.h"
#include "lib/thread.h"

#define VECTOR	0x61
#define CPUID_1_EDX_APIC	(1U << 9)

static void enable_xapic(void)
{
	write32(APIC_PAGE + APIC_SVR, 0x1ff);
}

static void guest_registers(void)
{
	GUEST_EQ(0, read32(APIC_PAGE + APIC_ID));
	GUEST_EQ(0x10, read32(APIC_PAGE + APIC_VERSION) & 0xf0);
	GUEST_EQ(0xff, read32(APIC_PAGE + APIC_SVR));
	enable_xapic();
	GUEST_EQ(0x1ff, read32(APIC_PAGE + APIC_SVR));
	write32(APIC_PAGE + APIC_TPR, 0x40);
	GUEST_EQ(0x40, read32(APIC_PAGE + APIC_TPR));
	GUEST_EQ(0x40, read32(APIC_PAGE + APIC_PPR));
	GUEST_EQ(4, read_cr8());
	write32(APIC_PAGE + APIC_TPR, 0);
	write32(APIC_PAGE + APIC_LDR, 0x0f123456);
	GUEST_EQ(0x0f000000, read32(APIC_PAGE + APIC_LDR));
	write32(APIC_PAGE + APIC_LVT_LINT0, 0x10700);
	GUEST_EQ(0x10700, read32(APIC_PAGE + APIC_LVT_LINT0));
	write32(APIC_PAGE + APIC_TDCR, 0xff);
	GUEST_EQ(0xb, read32(APIC_PAGE + APIC_TDCR));
	/* Disabled by software: all LVT entries are masked and stay so. */
	write32(APIC_PAGE + APIC_SVR, 0xff);
	write32(APIC_PAGE + APIC_LVT_TIMER, VECTOR);
	GUEST_EQ(APIC_LVT_MASKED | VECTOR, read32(APIC_PAGE + APIC_LVT_TIMER));
	GUEST_DONE();
}

TEST(xapic_registers)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_registers));
}

static void guest_low_tpr(void)
{
	enable_xapic();
	write32(APIC_PAGE + APIC_TPR, 0x25);
	GUEST_SYNC(1);
	GUEST_EQ(0x25, read32(APIC_PAGE + APIC_TPR));
	GUEST_SYNC(2);
	GUEST_EQ(0x30, read32(APIC_PAGE + APIC_TPR));
	write32(APIC_PAGE + APIC_TPR, 0x25);
	write_cr8(2);
	GUEST_EQ(0x20, read32(APIC_PAGE + APIC_TPR));
	GUEST_DONE();
}

/* CR8 has half of TPR. */
TEST(a_state_with_the_same_cr8_leaves_tpr)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_low_tpr);
	struct vmm_state state;

	vcpu_sync(vcpu, 1);
	vcpu_get(vcpu, &state, VMM_STATE_CTRL);
	EXPECT_EQ(2, state.ctrl.cr8);
	vcpu_set(vcpu, &state, VMM_STATE_CTRL);
	vcpu_sync(vcpu, 2);
	state.ctrl.cr8 = 3;
	vcpu_set(vcpu, &state, VMM_STATE_CTRL);
	vcpu_done(vcpu);
}

static void guest_odd_accesses(void)
{
	static const u16 offsets[] = { 0x00, 0x10, 0x40, 0x3f0, 0x400, 0x500, 0xffc, 0x2f0 };

	enable_xapic();
	for (u32 i = 0; i < sizeof(offsets) / 2; i++) {
		read32(APIC_PAGE + offsets[i]);
		write32(APIC_PAGE + offsets[i], ~0U);
	}
	/* Narrow, wide and unaligned: undefined by the manual, harmless here. */
	for (u32 offset = 0; offset < 0x400; offset += 7) {
		read8(APIC_PAGE + offset);
		read16(APIC_PAGE + offset);
		read64(APIC_PAGE + (offset & ~7U));
		write8(APIC_PAGE + 0x3f0 + (offset & 15), 0xff);
	}
	GUEST_DONE();
}

TEST(odd_accesses_stay_in_the_kernel)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_odd_accesses));
}

static void guest_x2apic(void)
{
	u64 value;

	GUEST_EQ(VEC_GP, try_rdmsr(MSR_X2APIC + 2, &value));	/* not in this mode yet */
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
	GUEST_EQ(3, rdmsr(MSR_X2APIC + APIC_ID / 16));
	GUEST_EQ(1U << 3, rdmsr(MSR_X2APIC + APIC_LDR / 16));	/* cluster 0, bit 3 */
	wrmsr(MSR_X2APIC + APIC_SVR / 16, 0x1ff);
	GUEST_EQ(0x1ff, rdmsr(MSR_X2APIC + APIC_SVR / 16));
	wrmsr(MSR_X2APIC + APIC_TPR / 16, 0x20);
	GUEST_EQ(2, read_cr8());
	/* Reserved bits and registers there are not. */
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_X2APIC + APIC_TPR / 16, 0x100));
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_X2APIC + APIC_EOI / 16, 1));
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_X2APIC + APIC_ID / 16, 0));
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_X2APIC + APIC_SVR / 16, 1UL << 32));
	GUEST_EQ(VEC_GP, try_rdmsr(MSR_X2APIC + APIC_DFR / 16, &value));
	GUEST_EQ(VEC_GP, try_rdmsr(MSR_X2APIC + APIC_ICR2 / 16, &value));
	GUEST_EQ(VEC_GP, try_rdmsr(MSR_X2APIC + APIC_EOI / 16, &value));
	GUEST_EQ(VEC_GP, try_rdmsr(MSR_X2APIC + 0x50, &value));
	/* From x2APIC the way leads through "off" only. */
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~APIC_BASE_X2));
	GUEST_EQ(NO_FAULT, try_wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) &
				     ~(APIC_BASE_X2 | APIC_BASE_ENABLE)));
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2));
	GUEST_EQ(NO_FAULT, try_wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE));
	GUEST_DONE();
}

TEST(x2apic_registers_and_modes)
{
	vcpu_done(vcpu_new(vm_new(), 3, guest_x2apic));
}

/* "Local APIC Status and Location": CPUID says what IA32_APIC_BASE does. */
static bool apic_in_cpuid(void)
{
	bool has = cpuid(1, 0).edx & CPUID_1_EDX_APIC;

	/* One vendor's CPUs repeat the bit, the other's have none there. */
	if (cpuid(0x80000001, 0).edx & CPUID_1_EDX_APIC)
		GUEST_EQ(true, has);
	return has;
}

static void guest_apic_in_cpuid(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	GUEST_EQ(true, apic_in_cpuid());
	wrmsr(MSR_APIC_BASE, base & ~APIC_BASE_ENABLE);
	GUEST_EQ(false, apic_in_cpuid());
	wrmsr(MSR_APIC_BASE, base);
	GUEST_EQ(true, apic_in_cpuid());
	wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2);
	GUEST_EQ(true, apic_in_cpuid());
	GUEST_DONE();
}

TEST(cpuid_has_no_apic_that_is_off)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_apic_in_cpuid));
}

static void guest_x2apic_page(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
	GUEST_EQ(0x1234, read32(APIC_PAGE + APIC_VERSION));
	GUEST_DONE();
}

TEST(the_page_is_nobodys_in_x2apic_mode)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_x2apic_page);

	vcpu_expect(vcpu, VMM_EXIT_MMIO);
	vcpu->run->mmio.data = 0x1234;
	vcpu_done(vcpu);
}

/* ---- self-IPI ---- */

static void self_ipi(void)
{
	guest_handlers[VECTOR] = guest_count_irq;
	sti();
	for (u32 i = 0; i < 50; i++) {
		apic_write(APIC_ICR, APIC_ICR_SELF | VECTOR);
		GUEST_EQ(i + 1, guest_irqs[VECTOR]);
		GUEST_EQ(0, apic_read(APIC_ICR) & 1U << 12);	/* delivered */
	}
	cli();
	apic_write(APIC_ICR, APIC_ICR_SELF | VECTOR);
	GUEST_EQ(1U << VECTOR % 32, apic_read(APIC_IRR + VECTOR / 32 * 16));
	GUEST_EQ(0, apic_read(APIC_ISR + VECTOR / 32 * 16));
	sti();
	cpu_relax();
	GUEST_EQ(51, guest_irqs[VECTOR]);
	GUEST_EQ(0, apic_read(APIC_IRR + VECTOR / 32 * 16));
	GUEST_EQ(0, apic_read(APIC_ISR + VECTOR / 32 * 16));
}

static void guest_self_ipi(void)
{
	enable_xapic();
	self_ipi();
	GUEST_DONE();
}

static void guest_self_ipi_x2(void)
{
	guest_apic_enable();
	self_ipi();
	/* x2APIC's own register for it. */
	wrmsr(MSR_X2APIC + 0x3f, VECTOR);
	cpu_relax();
	GUEST_EQ(52, guest_irqs[VECTOR]);
	GUEST_DONE();
}

TEST(a_self_ipi_arrives_at_once)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_self_ipi));
}

TEST(a_self_ipi_arrives_at_once_in_x2apic_mode)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_self_ipi_x2));
}

static void guest_error(void)
{
	enable_xapic();
	write32(APIC_PAGE + APIC_ESR, 0);
	write32(APIC_PAGE + APIC_ICR, APIC_ICR_SELF | 5);	/* an illegal vector */
	write32(APIC_PAGE + APIC_ESR, 0);
	GUEST_EQ(1U << 5, read32(APIC_PAGE + APIC_ESR) & (1U << 5));
	write32(APIC_PAGE + APIC_ESR, 0);
	GUEST_EQ(0, read32(APIC_PAGE + APIC_ESR));
	GUEST_DONE();
}

TEST(an_illegal_vector_is_an_error_in_esr)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_error));
}

static u32 take_errors(void)
{
	write32(APIC_PAGE + APIC_ESR, 0);
	return read32(APIC_PAGE + APIC_ESR);
}

static void guest_error_interrupts(void)
{
	guest_handlers[VECTOR] = guest_count_irq;
	enable_xapic();
	take_errors();
	write32(APIC_PAGE + APIC_LVT_ERROR, VECTOR);
	sti();
	write32(APIC_PAGE + APIC_ICR, APIC_ICR_SELF | 5);
	cpu_relax();
	GUEST_EQ(1, guest_irqs[VECTOR]);
	GUEST_EQ(1U << 5, take_errors());	/* "Send Illegal Vector" */
	/* An interrupt of its own of a vector that there is not. */
	write32(APIC_PAGE + APIC_LVT_TIMER, 5);
	write32(APIC_PAGE + APIC_TMICT, 1);
	while (read32(APIC_PAGE + APIC_TMCCT))
		cpu_relax();
	cpu_relax();
	GUEST_EQ(2, guest_irqs[VECTOR]);
	GUEST_EQ(1U << 6, take_errors());	/* "Receive Illegal Vector" */
	read32(APIC_PAGE + 0x50);
	cpu_relax();
	GUEST_EQ(3, guest_irqs[VECTOR]);
	GUEST_EQ(1U << 7, take_errors());	/* "Illegal Register Address" */
	/* Masked, it is an error all the same. */
	write32(APIC_PAGE + APIC_LVT_ERROR, APIC_LVT_MASKED | VECTOR);
	write32(APIC_PAGE + APIC_ICR, APIC_ICR_SELF | 5);
	cpu_relax();
	GUEST_EQ(3, guest_irqs[VECTOR]);
	GUEST_EQ(1U << 5, take_errors());
	GUEST_DONE();
}

TEST(errors_interrupt_unless_their_entry_is_masked)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_error_interrupts));
}

/* ---- the timer ---- */

static void wait_irq(u64 want)
{
	u64 end = rdtsc() + (20UL << 32);

	while (guest_irqs[VECTOR] < want)
		if (rdtsc() > end)
			GUEST_FAIL("timer interrupts", want, guest_irqs[VECTOR]);
}

static void guest_one_shot(void)
{
	guest_handlers[VECTOR] = guest_count_irq;
	guest_apic_enable();
	sti();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVT_TIMER, VECTOR);
	for (u32 i = 0; i < 5; i++) {
		apic_write(APIC_TMICT, 100000);
		GUEST_TRUE(apic_read(APIC_TMCCT) <= 100000);
		wait_irq(i + 1);
		GUEST_EQ(0, apic_read(APIC_TMCCT));
		GUEST_EQ(i + 1, guest_irqs[VECTOR]);
	}
	/* Stopped by writing 0. */
	apic_write(APIC_TMICT, 0xffffffff);
	GUEST_TRUE(apic_read(APIC_TMCCT) > 0x80000000);
	apic_write(APIC_TMICT, 0);
	GUEST_EQ(0, apic_read(APIC_TMCCT));
	/* Masked: counts, but says nothing. */
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED | VECTOR);
	apic_write(APIC_TMICT, 1000);
	while (apic_read(APIC_TMCCT))
		cpu_relax();
	GUEST_EQ(5, guest_irqs[VECTOR]);
	GUEST_DONE();
}

TEST(one_shot_timer)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_one_shot));
}

static void guest_periodic(void)
{
	guest_handlers[VECTOR] = guest_count_irq;
	guest_apic_enable();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVT_TIMER, VECTOR | APIC_TIMER_PERIODIC);
	apic_write(APIC_TMICT, 2000000);
	sti();
	wait_irq(5);
	apic_write(APIC_TMICT, 0);
	GUEST_DONE();
}

TEST(periodic_timer)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_periodic));
}

static void guest_periodic_hlt(void)
{
	guest_handlers[VECTOR] = guest_count_irq;
	guest_apic_enable();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVT_TIMER, VECTOR | APIC_TIMER_PERIODIC);
	apic_write(APIC_TMICT, 2000000);
	for (u32 i = 0; i < 5; i++) {
		sti_hlt();
		cli();
		GUEST_TRUE(guest_irqs[VECTOR] >= i + 1);
	}
	apic_write(APIC_TMICT, 0);
	GUEST_DONE();
}

TEST(the_timer_ends_hlt)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_periodic_hlt));
}

static void wait_ticks(u64 ticks)
{
	u64 start = rdtsc();

	while (rdtsc() - start < ticks)
		cpu_relax();
}

static void guest_changes_divider(void)
{
	u32 before, after;
	u64 start, ticks;

	guest_apic_enable();
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED | VECTOR);
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_TMICT, ~0U);
	wait_ticks(100000);
	before = apic_read(APIC_TMCCT);
	GUEST_TRUE(before < ~0U - 1000);
	/* By 128: it goes on from where it is, and slower. */
	apic_write(APIC_TDCR, 0xa);
	GUEST_TRUE(apic_read(APIC_TMCCT) <= before);
	start = rdtsc();
	before = apic_read(APIC_TMCCT);
	wait_ticks(1000000);
	after = apic_read(APIC_TMCCT);
	ticks = rdtsc() - start;
	GUEST_TRUE(after < before);
	GUEST_TRUE(before - after < ticks / 64);
	/* A timer that has run down stays so. */
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_TMICT, 1000);
	while (apic_read(APIC_TMCCT))
		cpu_relax();
	apic_write(APIC_TDCR, 0xa);
	GUEST_EQ(0, apic_read(APIC_TMCCT));
	GUEST_DONE();
}

TEST(a_divider_that_changes_goes_on_from_the_count)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_changes_divider));
}

static void guest_changes_mode(void)
{
	u32 tries = 0;
	u64 before;

	guest_handlers[VECTOR] = guest_count_irq;
	guest_apic_enable();
	sti();
	apic_write(APIC_TDCR, 0xb);
	/* CPUs count on between these two, of which only the end of the count tells. */
	do {
		before = guest_irqs[VECTOR];
		apic_write(APIC_LVT_TIMER, VECTOR);
		apic_write(APIC_TMICT, 3000000);
		apic_write(APIC_LVT_TIMER, VECTOR | APIC_TIMER_PERIODIC);
		/* Again if it was too late: the host may have had something else to do. */
	} while (guest_irqs[VECTOR] != before && tries++ < 100);
	wait_irq(before + 3);
	apic_write(APIC_LVT_TIMER, VECTOR);
	while (apic_read(APIC_TMCCT))
		cpu_relax();
	wait_ticks(10000000);
	GUEST_EQ(0, apic_read(APIC_TMCCT));
	/* By the deadline is another matter: what counted is gone. */
	apic_write(APIC_TMICT, ~0U);
	apic_write(APIC_LVT_TIMER, VECTOR | APIC_TIMER_DEADLINE);
	GUEST_EQ(0, apic_read(APIC_TMCCT));
	wrmsr(MSR_TSC_DEADLINE, ~0UL);
	apic_write(APIC_LVT_TIMER, VECTOR | APIC_TIMER_PERIODIC);
	GUEST_EQ(0, rdmsr(MSR_TSC_DEADLINE));
	GUEST_EQ(0, apic_read(APIC_TMCCT));
	GUEST_EQ(0, apic_read(APIC_TMICT));
	GUEST_DONE();
}

TEST(modes_of_the_timer_change_while_it_counts)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_changes_mode));
}

static u32 relax_rounds;

static void guest_shortest_period(void)
{
	guest_handlers[VECTOR] = guest_count_irq;
	guest_apic_enable();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVT_TIMER, VECTOR | APIC_TIMER_PERIODIC);
	apic_write(APIC_TMICT, 1);
	GUEST_SYNC(1);
	for (u32 i = 0; i < relax_rounds; i++)
		cpu_relax();
	apic_write(APIC_TMICT, 0);
	GUEST_DONE();
}

TEST(a_period_of_nothing_does_not_storm_the_host)
{
	struct vcpu *vcpu;
	u64 start;

	/* Each may be an exit. */
	relax_rounds = share_of(2000000);
	vcpu = vcpu_new(vm_new(), 0, guest_shortest_period);
	vcpu_sync(vcpu, 1);
	start = now_ns();
	usleep(200000);
	/* The process's thread still got its turn in time. */
	EXPECT_GT(5000000000UL, now_ns() - start);
	vcpu_done(vcpu);
}

static void guest_deadline(void)
{
	guest_handlers[VECTOR] = guest_count_irq;
	guest_apic_enable();
	apic_write(APIC_LVT_TIMER, VECTOR | APIC_TIMER_DEADLINE);
	sti();
	for (u32 i = 0; i < 5; i++) {
		u64 deadline = rdtsc() + 2000000;

		wrmsr(MSR_TSC_DEADLINE, deadline);
		wait_irq(i + 1);
		GUEST_TRUE(rdtsc() >= deadline);
		GUEST_EQ(0, rdmsr(MSR_TSC_DEADLINE));
	}
	/* In the past: at once. */
	wrmsr(MSR_TSC_DEADLINE, 1);
	wait_irq(6);
	/* Disarmed. */
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + (1UL << 50));
	GUEST_TRUE(rdmsr(MSR_TSC_DEADLINE) != 0);
	wrmsr(MSR_TSC_DEADLINE, 0);
	GUEST_EQ(0, rdmsr(MSR_TSC_DEADLINE));
	/* In this mode the initial count is dead. */
	apic_write(APIC_TMICT, 1000);
	GUEST_EQ(0, apic_read(APIC_TMCCT));
	GUEST_EQ(6, guest_irqs[VECTOR]);
	/* And in the others the deadline is. */
	apic_write(APIC_LVT_TIMER, VECTOR);
	wrmsr(MSR_TSC_DEADLINE, 1);
	GUEST_EQ(0, rdmsr(MSR_TSC_DEADLINE));
	for (u32 i = 0; i < 1000; i++)
		cpu_relax();
	GUEST_EQ(6, guest_irqs[VECTOR]);
	GUEST_DONE();
}

TEST(tsc_deadline_timer)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_deadline));
}

static void guest_arm(void)
{
	guest_apic_enable();
	apic_write(APIC_LVT_TIMER, VECTOR | APIC_TIMER_DEADLINE);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 50000000);
	GUEST_DONE();
}

TEST(a_vcpu_may_go_with_its_timer_armed)
{
	for (int i = 0; i < 50; i++) {
		struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_arm);

		vcpu_done(vcpu);
		vm_free(vcpu->vm);
		vcpu_free(vcpu);
	}
	usleep(100000);
}

/* ---- other vCPUs ---- */

static volatile u32 started;

static void guest_second(void)
{
	guest_handlers[VECTOR] = guest_count_irq;
	guest_apic_enable();
	sti();
	started = 1;
	while (guest_irqs[VECTOR] < 100)
		cpu_relax();
	GUEST_DONE();
}

static void guest_first(void)
{
	guest_apic_enable();
	while (!started)
		cpu_relax();
	for (u32 i = 1; i <= 100; i++) {
		wrmsr(MSR_X2APIC + APIC_ICR / 16, 1UL << 32 | VECTOR);
		while (guest_irqs[VECTOR] < i)
			cpu_relax();
	}
	GUEST_DONE();
}

TEST(ipis_from_one_vcpu_to_another)
{
	struct vm *vm = vm_new();
	struct runner first, second;

	runner_start(&first, vcpu_new(vm, 0, guest_first));
	runner_start(&second, vcpu_new(vm, 1, guest_second));
	runner_join(&first, 20);
	runner_join(&second, 20);
}

/* 16-bit code at page 0x20: says where it is, then that it has, and halts. */
__asm__(".data\n"
	"ap_code:\n"
	"	.code16\n"
	"	movw %cs, %ax\n"
	"	movw %ax, %ds\n"
	"	movw %cs, 0x102\n"
	"	movw $0x1234, 0x100\n"
	"1:	cli\n"
	"	hlt\n"
	"	jmp 1b\n"
	"	.code64\n"
	"ap_code_end:\n"
	".text\n"
);
extern const u8 ap_code[], ap_code_end[];

static void guest_start_ap(void)
{
	guest_apic_enable();
	wrmsr(MSR_X2APIC + APIC_ICR / 16, 1UL << 32 | 0x4500);		/* INIT */
	wrmsr(MSR_X2APIC + APIC_ICR / 16, 1UL << 32 | 0x4620);		/* SIPI, page 0x20 */
	while (read16(0x20100) != 0x1234)
		cpu_relax();
	GUEST_EQ(0x2000, read16(0x20102));
	GUEST_DONE();
}

TEST(init_and_sipi_start_a_vcpu)
{
	struct vm *vm = vm_new();
	struct runner first, second;

	if (!(get_info().features & VMM_FEATURE_REAL_MODE))
		SKIP(return, "this CPU cannot run real mode");
	memcpy(vm_ptr(vm, 0x20000), ap_code, ap_code_end - ap_code);
	runner_start(&second, vcpu_new_reset(vm, 1));
	runner_start(&first, vcpu_new(vm, 0, guest_start_ap));
	runner_join(&first, 20);
	runner_stop(&second);
}

static volatile u64 after_init;

static void guest_init_itself(void)
{
	guest_apic_enable();
	/* A fault on its page would be where the INIT is seen. */
	after_init = 0;
	apic_write(APIC_ICR, 0x4500);	/* to id 0 */
	for (;;)
		after_init++;
}

TEST(an_init_to_itself_comes_at_once)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_init_itself);
	struct vmm_state state;

	/* To the reset vector, where nothing is. */
	vcpu_run(vcpu);
	EXPECT_EQ(0, guest_var(vcpu->vm, after_init));
	vcpu_get(vcpu, &state, VMM_STATE_REGS | VMM_STATE_EVENTS);
	EXPECT_EQ(0xfff0, state.regs.rip);
	EXPECT_EQ(0, state.events.init);
}

/* Else the first CPU of a machine that starts again would leave its kernel for the reset vector. */
TEST(a_reset_forgets_an_init_that_waits)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new_reset(vm, 0);
	struct vmm_msi msi = { .address = 0xfee00000, .data = 5 << 8 };
	struct vmm_state state;

	VMM_MUST(vm->fd, VMM_SIGNAL_MSI, &msi);
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(VMM_INIT_PENDING, state.events.init);
	VMM_MUST(vcpu->fd, VMM_RESET, NULL);
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(0, state.events.init);
}

VMM_TEST_MAIN
