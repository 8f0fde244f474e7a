// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which instruction an event comes before, for every state that may hold it back: IF, the
 * shadows of STI and MOV SS, an NMI in service, the task priority. The guest runs a row
 * of one-byte instructions; where the handlers were called from says the rest. Also what
 * becomes of two faults, of three, and of hardware task switches.
 */
#include "lib/test.h"

#define VECTOR	0x61
#define NOT	0xff		/* it did not come on the row */

#define ROW	8

extern const u8 row_start[], row_after_iret[];

static volatile u32 irq_at, nmi_at, ud_at, order_count, irq_order, nmi_order, ud_order;
static volatile u32 nmi_after_iret;

static u32 place(const struct guest_frame *frame)
{
	return frame->rip - (u64)row_start;
}

static void on_irq(struct guest_frame *frame)
{
	irq_at = place(frame);
	irq_order = ++order_count;
	guest_eoi();
}

static void on_nmi(struct guest_frame *frame)
{
	if (frame->rip >= (u64)row_after_iret)
		nmi_after_iret++;
	else
		nmi_at = place(frame);
	nmi_order = ++order_count;
}

static void on_ud(struct guest_frame *frame)
{
	ud_at = place(frame);
	ud_order = ++order_count;
}

static void guest_row(void)
{
	guest_handlers[VECTOR] = on_irq;
	guest_handlers[VEC_NMI] = on_nmi;
	guest_handlers[VEC_UD] = on_ud;
	guest_apic_enable();
	order_count = 0;
	irq_order = 0;
	irq_at = NOT;
	nmi_at = NOT;
	ud_at = NOT;
	__asm__ volatile("outl %%eax, %%dx\n"
			 "row_start:\n\t"
			 ".fill 8, 1, 0x90\n\t"
			 "cli\n\t"
			 "outl %%eax, %%dx\n\t"
			 /* Ends the blocking of NMIs. */
			 "movq %%rsp, %%rcx; pushq %2; pushq %%rcx; pushfq; pushq %1\n\t"
			 "leaq row_after_iret(%%rip), %%rcx; pushq %%rcx; iretq\n"
			 "row_after_iret:\n\t"
			 "nop; nop"
			 : : "a"(1), "i"(SEL_CODE64), "i"(SEL_DATA), "d"(PORT_SYNC)
			 : "rcx", "memory");
	GUEST_DONE();
}

struct holding {
	bool irqs_on, nmi_masked, high_tpr;
	u8 shadow;
};

static void to_row(struct vcpu *vcpu, const struct holding *holding, struct vmm_state *state)
{
	vcpu_sync(vcpu, 1);
	vcpu_get(vcpu, state, VMM_STATE_REGS | VMM_STATE_EVENTS | VMM_STATE_CTRL);
	if (holding->irqs_on)
		state->regs.rflags |= RFLAGS_IF;
	state->events.nmi_masked = holding->nmi_masked;
	state->events.shadow = holding->shadow;
	state->ctrl.cr8 = holding->high_tpr ? VECTOR >> 4 : 0;
}

static struct vcpu *at_row(const struct holding *holding, struct vmm_state *state)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_row);

	to_row(vcpu, holding, state);
	return vcpu;
}

static void drop(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	vcpu_free(vcpu);
	vm_free(vm);
}

static const u8 shadows[] = { 0, VMM_SHADOW_STI, VMM_SHADOW_MOV_SS };

/* Calls @check for each of the 20 states. */
static void each_state(void (*check)(struct __test_metadata *, const struct holding *),
		       struct __test_metadata *_metadata)
{
	for (u32 i = 0; i < 24; i++) {
		struct holding holding = {
			.irqs_on = i & 1,
			.nmi_masked = i & 2,
			.high_tpr = i & 4,
			.shadow = shadows[i / 8],
		};

		/* STI leaves IF set: no CPU has that, and some refuse it. */
		if (holding.shadow == VMM_SHADOW_STI && !holding.irqs_on)
			continue;
		check(_metadata, &holding);
	}
}

#define STATES	(VMM_STATE_REGS | VMM_STATE_EVENTS | VMM_STATE_CTRL)
#define WHERE	"IF %d, NMI masked %d, TPR %d, shadow %d", holding->irqs_on, \
		holding->nmi_masked, holding->high_tpr, holding->shadow

static void check_interrupt(struct __test_metadata *_metadata, const struct holding *holding)
{
	struct vmm_msi msi = { .address = 0xfee00000, .data = VECTOR };
	bool comes = holding->irqs_on && !holding->high_tpr;
	struct vmm_state state;
	struct vcpu *vcpu = at_row(holding, &state);

	VMM_MUST(vcpu->vm->fd, VMM_SIGNAL_MSI, &msi);
	vcpu_set(vcpu, &state, STATES);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ_FOR(comes ? !!holding->shadow : NOT, guest_var(vcpu->vm, irq_at), WHERE);
	drop(vcpu);
}

TEST(an_interrupt_against_every_state)
{
	each_state(check_interrupt, _metadata);
}

static void check_nmi(struct __test_metadata *_metadata, const struct holding *holding)
{
	struct vmm_state state;
	struct vcpu *vcpu = at_row(holding, &state);

	state.events.nmi_pending = 1;
	vcpu_set(vcpu, &state, STATES);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ_FOR(holding->nmi_masked ? NOT : !!holding->shadow,
		      guest_var(vcpu->vm, nmi_at), WHERE);
	vcpu_done(vcpu);
	EXPECT_EQ_FOR(holding->nmi_masked, guest_var(vcpu->vm, nmi_after_iret), WHERE);
	drop(vcpu);
}

TEST(an_nmi_against_every_state)
{
	each_state(check_nmi, _metadata);
}

static void check_exception(struct __test_metadata *_metadata, const struct holding *holding)
{
	struct vmm_state state;
	struct vcpu *vcpu = at_row(holding, &state);

	state.events.event = (struct vmm_event){ .type = VMM_EVENT_EXCEPTION, .vector = VEC_UD };
	vcpu_set(vcpu, &state, STATES);
	vcpu_sync(vcpu, 1);
	/* Nothing holds a fault back. */
	EXPECT_EQ_FOR(0, guest_var(vcpu->vm, ud_at), WHERE);
	drop(vcpu);
}

TEST(an_exception_against_every_state)
{
	each_state(check_exception, _metadata);
}

static void all_at_once(struct __test_metadata *_metadata, const struct holding *holding,
			struct vcpu *vcpu, struct vmm_state *state)
{
	struct vmm_msi msi = { .address = 0xfee00000, .data = VECTOR };
	bool irq = holding->irqs_on && !holding->high_tpr;
	struct vm *vm = vcpu->vm;

	VMM_MUST(vm->fd, VMM_SIGNAL_MSI, &msi);
	state->events.nmi_pending = 1;
	state->events.event = (struct vmm_event){ .type = VMM_EVENT_EXCEPTION, .vector = VEC_UD };
	vcpu_set(vcpu, state, STATES);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ_FOR(2 + irq, guest_var(vm, order_count), WHERE);
	/*
	 * The exception's frame is pushed first. Then the NMI nests in its handler; one that
	 * is masked comes at that handler's IRET.
	 */
	EXPECT_EQ_FOR(0, guest_var(vm, ud_at), WHERE);
	EXPECT_EQ_FOR(1 + holding->nmi_masked, guest_var(vm, nmi_order), WHERE);
	EXPECT_EQ_FOR(irq ? 3 : 0, guest_var(vm, irq_order), WHERE);
}

/* Twice: pages that the host has still to map make exits in between, which the second has not. */
static void check_all(struct __test_metadata *_metadata, const struct holding *holding)
{
	struct vmm_state state;
	struct vcpu *vcpu = at_row(holding, &state);

	all_at_once(_metadata, holding, vcpu, &state);
	vcpu_restart(vcpu, guest_row);
	to_row(vcpu, holding, &state);
	all_at_once(_metadata, holding, vcpu, &state);
	drop(vcpu);
}

TEST(all_three_at_once)
{
	each_state(check_all, _metadata);
}

/* ---- faults in delivering faults ---- */

static void on_df(struct guest_frame *frame)
{
	GUEST_EQ(0, frame->error);
	GUEST_DONE();
}

/* A selector whose descriptor is not present, and no gate for the #NP of loading it. */
static void fault_twice(void)
{
	write64(GUEST_IDT + VEC_NP * 16, read64(GUEST_IDT + VEC_NP * 16) & ~(0x80UL << 40));
	write64(GUEST_GDT + SEL_DATA16, read64(GUEST_GDT + SEL_DATA16) & ~(0x80UL << 40));
	GUEST_SYNC(1);
	__asm__ volatile("mov %0, %%fs" : : "r"(SEL_DATA16) : "memory");
	GUEST_FAIL("no fault", 1, 0);
}

static void guest_double_fault(void)
{
	guest_handlers[VEC_DF] = on_df;
	fault_twice();
}

TEST(a_fault_in_delivering_a_fault_is_a_double_fault)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_double_fault);

	vcpu_sync(vcpu, 1);
	vcpu_done(vcpu);
}

static void guest_triple_fault(void)
{
	write64(GUEST_IDT + VEC_DF * 16, read64(GUEST_IDT + VEC_DF * 16) & ~(0x80UL << 40));
	fault_twice();
}

TEST(and_one_more_ends_the_guest)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_triple_fault);

	vcpu_sync(vcpu, 1);
	vcpu_expect(vcpu, VMM_EXIT_SHUTDOWN);
}

/* ---- task switches ---- */

#define SEL_TASK	0x58

/* 32-bit: a CALL of a task's segment, or INT through a task gate. */
static const u8 call_task[] = { 0x9a, 0, 0, 0, 0, SEL_TASK, 0 };
static const u8 int_task[] = { 0xcd, 0x40 };

static void refused(const u8 *code, u32 length)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_row);
	struct vmm_state state;

	*(u64 *)vm_ptr(vm, GUEST_GDT + SEL_TASK) = 0x67 | GUEST_DATA << 16 | 0x89ULL << 40;
	*(u64 *)vm_ptr(vm, GUEST_IDT + 0x40 * 8) = SEL_TASK << 16 | 0x85ULL << 40;
	memcpy(vm_ptr(vm, GUEST_DATA2), code, length);
	vcpu_mode32(vcpu, GUEST_DATA2);
	vcpu_get(vcpu, &state, VMM_STATE_SEGS);
	state.segs.gdt.limit = SEL_TASK + 7;
	state.segs.idt = (struct vmm_table){ .base = GUEST_IDT, .limit = 0x7ff };
	vcpu_set(vcpu, &state, VMM_STATE_SEGS);
	vcpu_expect(vcpu, VMM_EXIT_INTERNAL);
	if (vcpu->run->internal.code != VMM_INTERNAL_TASK_SWITCH)
		die("expected a task switch, got %s", exit_text(vcpu));
	if (vcpu->run->rip != GUEST_DATA2)
		die("expected RIP at the instruction, got %#llx", vcpu->run->rip);
	/* It is the same again: nothing was half done. */
	vcpu_expect(vcpu, VMM_EXIT_INTERNAL);
	drop(vcpu);
}

TEST(task_switches_are_refused)
{
	if (host_is_tcg())
		SKIP(return, "QEMU TCG intercepts no task switches");
	refused(call_task, sizeof(call_task));
	refused(int_task, sizeof(int_task));
}

VMM_TEST_MAIN
