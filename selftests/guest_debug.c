// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A debugger in the process: steps, breakpoints in hardware and INT3, which the guest does
 * not notice.
 */
#include "lib/test.h"

#define VECTOR		0x61
#define PORT		0x700
#define DR6_CLEAR	0xffff0ff0UL

static void debug(struct vcpu *vcpu, u32 flags)
{
	struct vmm_guest_debug args = { .flags = flags };

	VMM_MUST(vcpu->fd, VMM_SET_GUEST_DEBUG, &args);
}

static u64 step(struct vcpu *vcpu)
{
	vcpu_expect(vcpu, VMM_EXIT_DEBUG);
	if (vcpu->run->debug.vector != VEC_DB || vcpu->run->debug.dr6 != 1U << 14)
		die("step: expected vector 1 and DR6.BS, got %u and %#llx",
		    vcpu->run->debug.vector, vcpu->run->debug.dr6);
	return vcpu->run->rip;
}

static u64 read_dr6(void)
{
	u64 value;

	__asm__ volatile("mov %%db6, %0" : "=r"(value));
	return value;
}

/* Labels l0 to l8, before each instruction of the row. */
extern const u8 step_0[], step_1[], step_2[], step_3[], step_4[], step_5[], step_6[], step_7[];

static void guest_row(void)
{
	GUEST_SYNC(1);
	__asm__ volatile("step_0: nop\n\t"
			 "step_1: cpuid\n\t"			/* done by the kernel */
			 "step_2: movl $0x1b, %%ecx\n\t"
			 "step_3: rdmsr\n\t"
			 "step_4: movl $0x700, %%edx\n\t"
			 "step_5: outb %%al, %%dx\n\t"		/* and by the process */
			 "step_6: jmp step_7\n\t"
			 "ud2\n"
			 "step_7: nop"
			 : : "a"(0), "c"(0) : "rbx", "rdx", "memory");
	GUEST_EQ(DR6_CLEAR, read_dr6());
	GUEST_SYNC(2);
	GUEST_DONE();
}

TEST(each_step_is_one_instruction)
{
	const u8 *const places[] = { step_1, step_2, step_3, step_4, step_5, step_6, step_7 };
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_row);
	u64 rip;

	vcpu_sync(vcpu, 1);
	debug(vcpu, VMM_DEBUG_STEP);
	do
		rip = step(vcpu);
	while (rip != (u64)step_0);
	for (u32 i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (places[i] == step_6) {
			vcpu_expect(vcpu, VMM_EXIT_PIO);
			EXPECT_EQ(PORT, vcpu->run->pio.port);
		}
		EXPECT_EQ((u64)places[i], step(vcpu)) {
			TH_LOG("step %u", i);
		}
	}
	debug(vcpu, 0);
	vcpu_sync(vcpu, 2);
	vcpu_done(vcpu);
}

static void guest_interrupted(void)
{
	guest_handlers[VECTOR] = guest_count_irq;
	guest_apic_enable();
	GUEST_SYNC(1);
	sti();
	cpu_relax();
	cpu_relax();
	GUEST_EQ(1, guest_irqs[VECTOR]);
	GUEST_EQ(DR6_CLEAR, read_dr6());
	GUEST_DONE();
}

extern const u8 guest_stubs[];

/* Step until the handler of @vector begins; its frame must not have TF. */
static void step_into(struct vcpu *vcpu, u32 vector)
{
	struct vmm_state state;
	u64 *frame;

	for (u32 i = 0; step(vcpu) != (u64)guest_stubs + vector * 16; i++)
		if (i > 100)
			die("the handler of vector %#x did not come", vector);
	vcpu_get(vcpu, &state, VMM_STATE_REGS);
	frame = vm_ptr(vcpu->vm, state.regs.rsp);
	/* Below an error code, if there is one: RIP, CS, RFLAGS. */
	if (frame[vector == VEC_GP ? 3 : 2] & RFLAGS_TF)
		die("TF is in the frame of vector %#x", vector);
	if (state.regs.rflags & RFLAGS_TF)
		die("TF is in RFLAGS");
}

TEST(a_step_enters_the_handler_of_an_interrupt)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_interrupted);
	struct vmm_msi msi = { .address = 0xfee00000, .data = VECTOR };

	vcpu_sync(vcpu, 1);
	VMM_MUST(vcpu->vm->fd, VMM_SIGNAL_MSI, &msi);
	debug(vcpu, VMM_DEBUG_STEP);
	step_into(vcpu, VECTOR);
	debug(vcpu, 0);
	vcpu_done(vcpu);
}

static void guest_faults(void)
{
	GUEST_SYNC(1);
	GUEST_EQ(VEC_UD, GUEST_TRY("ud2", "c"(0) : "memory"));
	GUEST_EQ(0, guest_fault.rflags & RFLAGS_TF);
	GUEST_EQ(VEC_GP, GUEST_TRY("rdmsr", "c"(0x12345) : "eax", "edx", "memory"));
	GUEST_EQ(0, guest_fault.rflags & RFLAGS_TF);
	GUEST_EQ(DR6_CLEAR, read_dr6());
	GUEST_DONE();
}

TEST(a_step_enters_the_handler_of_a_fault)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_faults);

	vcpu_sync(vcpu, 1);
	debug(vcpu, VMM_DEBUG_STEP);
	step_into(vcpu, VEC_UD);
	step_into(vcpu, VEC_GP);
	debug(vcpu, 0);
	vcpu_done(vcpu);
}

static volatile u32 traps;

static void on_trap(struct guest_frame *frame)
{
	traps++;
	frame->rflags &= ~RFLAGS_TF;
}

static void guest_steps_itself(void)
{
	guest_handlers[VEC_DB] = on_trap;
	GUEST_SYNC(1);
	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop" : : : "memory", "cc");
	GUEST_EQ(1, traps);
	GUEST_EQ(DR6_CLEAR | 1U << 14, read_dr6());
	GUEST_DONE();
}

TEST(the_guests_own_step_is_its_own)
{
	struct vmm_guest_debug args = { .flags = VMM_DEBUG_HW, .dr7 = 2, .dr = { 0x10 } };
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_steps_itself);

	vcpu_sync(vcpu, 1);
	/* A debugger is there, and waits for something else. */
	VMM_MUST(vcpu->fd, VMM_SET_GUEST_DEBUG, &args);
	vcpu_done(vcpu);
}

/* ---- INT3 ---- */

extern const u8 at_int3[];
static volatile u32 breaks;

static void on_break(struct guest_frame *frame)
{
	breaks++;
}

static void guest_int3(void)
{
	guest_handlers[VEC_BP] = on_break;
	GUEST_SYNC(1);
	__asm__ volatile("at_int3: int3" : : : "memory");
	GUEST_SYNC(breaks + 2);
	__asm__ volatile("int3" : : : "memory");
	GUEST_EQ(1, breaks);
	GUEST_DONE();
}

TEST(int3_is_the_debuggers_if_it_asks)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_int3);
	struct vmm_state state;

	if (host_is_tcg())
		SKIP(return, "QEMU TCG does not intercept INT3");
	vcpu_sync(vcpu, 1);
	debug(vcpu, VMM_DEBUG_INT3);
	vcpu_expect(vcpu, VMM_EXIT_DEBUG);
	EXPECT_EQ(VEC_BP, vcpu->run->debug.vector);
	EXPECT_EQ((u64)at_int3, vcpu->run->rip);
	vcpu_get(vcpu, &state, VMM_STATE_REGS);
	state.regs.rip++;
	vcpu_set(vcpu, &state, VMM_STATE_REGS);
	vcpu_sync(vcpu, 2);
	debug(vcpu, 0);
	vcpu_done(vcpu);
}

/* ---- breakpoints ---- */

extern const u8 at_break[];
static volatile u64 watched;

static void guest_breaks(void)
{
	u64 value;

	__asm__ volatile("mov %0, %%db0" : : "r"(0x123000UL));
	__asm__ volatile("mov %0, %%db7" : : "r"(0x400UL));
	GUEST_SYNC(1);
	__asm__ volatile("at_break: nop" : : : "memory");
	watched = 1;
	cpu_relax();
	/* Its own are as it left them, whatever is in force. */
	__asm__ volatile("mov %%db0, %0" : "=r"(value));
	GUEST_EQ(0x123000, value);
	__asm__ volatile("mov %%db7, %0" : "=r"(value));
	GUEST_EQ(0x400, value);
	GUEST_EQ(DR6_CLEAR, read_dr6());
	GUEST_SYNC(2);
	GUEST_DONE();
}

TEST(the_guest_reads_its_own_debug_registers)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_breaks);
	struct vmm_guest_debug args = { .flags = VMM_DEBUG_HW, .dr7 = 0x2, .dr = { 0x10 } };
	struct vmm_state state;

	vcpu_sync(vcpu, 1);
	VMM_MUST(vcpu->fd, VMM_SET_GUEST_DEBUG, &args);
	vcpu_sync(vcpu, 2);
	vcpu_get(vcpu, &state, VMM_STATE_DEBUG);
	EXPECT_EQ(0x123000, state.debug.dr[0]);
	EXPECT_EQ(0x400, state.debug.dr7);
	vcpu_done(vcpu);
}

TEST(breakpoints_of_code_and_data)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_breaks);
	struct vmm_guest_debug args = {
		/* 0: executed; 1: 8 bytes written */
		.flags = VMM_DEBUG_HW, .dr7 = 0xa | 0x9UL << 20,
		.dr = { (u64)at_break, (u64)&watched },
	};
	struct vmm_state state;

	if (host_is_tcg())
		SKIP(return, "QEMU TCG does not arm the breakpoints of the DR7 that VMRUN loads");
	vcpu_sync(vcpu, 1);
	VMM_MUST(vcpu->fd, VMM_SET_GUEST_DEBUG, &args);
	vcpu_expect(vcpu, VMM_EXIT_DEBUG);
	EXPECT_EQ(1, vcpu->run->debug.dr6);
	EXPECT_EQ((u64)at_break, vcpu->run->rip);
	/* On behind it: the resume flag. */
	vcpu_get(vcpu, &state, VMM_STATE_REGS);
	state.regs.rflags |= RFLAGS_RF;
	vcpu_set(vcpu, &state, VMM_STATE_REGS);
	vcpu_expect(vcpu, VMM_EXIT_DEBUG);
	EXPECT_EQ(2, vcpu->run->debug.dr6);
	EXPECT_EQ(1, guest_var(vcpu->vm, watched));
	vcpu_sync(vcpu, 2);
	debug(vcpu, 0);
	vcpu_done(vcpu);
}

TEST(what_makes_no_sense_is_refused)
{
	struct vcpu *vcpu = vcpu_new_reset(vm_new(), 0);
	struct vmm_guest_debug args[] = {
		{ .flags = 8 }, { .pad = 1 }, { .pad1 = { 1 } }, { .pad1 = { 0, 1 } },
		{ .dr7 = 2 }, { .dr = { 0, 0, 0, 1 } },
		{ .flags = VMM_DEBUG_HW, .dr7 = 0x2000 },
		{ .flags = VMM_DEBUG_HW, .dr7 = 1UL << 32 },
	};

	for (u32 i = 0; i < sizeof(args) / sizeof(args[0]); i++)
		EXPECT_EQ_FOR(-EINVAL, vmm_call(vcpu->fd, VMM_SET_GUEST_DEBUG, &args[i]),
			      "row %u", i);
}

VMM_TEST_MAIN
