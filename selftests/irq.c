// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Interrupts from outside: messages and irqfds reach the handler once each, not
 * before the guest allows them, in the order of their priority; NMIs do not nest.
 */
#include <sys/eventfd.h>

#include "lib/test.h"
#include "lib/thread.h"

#define LOW	0x31
#define MIDDLE	0x52
#define HIGH	0x73

static int send(struct vm *vm, u32 vector)
{
	struct vmm_msi msi = { .address = 0xfee00000, .data = vector };

	return VMM_MUST(vm->fd, VMM_SIGNAL_MSI, &msi);
}

static volatile u64 order[64];
static volatile u32 taken;

static void note(struct guest_frame *frame)
{
	order[taken++ & 63] = frame->vector;
	guest_eoi();
}

static void setup(void)
{
	guest_apic_enable();
	guest_handlers[LOW] = note;
	guest_handlers[MIDDLE] = note;
	guest_handlers[HIGH] = note;
}

static void guest_masked(void)
{
	setup();
	GUEST_SYNC(1);
	GUEST_EQ(0, taken);
	/* The instruction behind STI still runs before the interrupt. */
	__asm__ volatile("sti; movl taken, %%eax; movl %%eax, %0; nop"
			 : "=m"(order[60]) : : "eax", "memory");
	GUEST_EQ(0, (u32)order[60]);
	GUEST_EQ(1, taken);
	GUEST_EQ(LOW, order[0]);
	GUEST_DONE();
}

TEST(waits_for_sti_and_one_instruction_more)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_masked);

	vcpu_sync(vcpu, 1);
	EXPECT_EQ(1, send(vcpu->vm, LOW));
	vcpu_done(vcpu);
}

static void guest_mov_ss(void)
{
	u64 before;

	setup();
	GUEST_SYNC(1);
	__asm__ volatile("movl %%ss, %%ecx; pushfq; orq $0x200, (%%rsp); popfq"
			 : : : "rcx", "memory");
	before = taken;
	GUEST_EQ(1, before);
	GUEST_DONE();
}

TEST(popf_opens_without_a_shadow)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_mov_ss);

	vcpu_sync(vcpu, 1);
	send(vcpu->vm, LOW);
	vcpu_done(vcpu);
}

TEST(a_second_one_of_the_same_vector_is_merged)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_masked);

	vcpu_sync(vcpu, 1);
	EXPECT_EQ(1, send(vcpu->vm, LOW));
	EXPECT_EQ(0, send(vcpu->vm, LOW));
	vcpu_done(vcpu);
}

static void guest_priority(void)
{
	setup();
	GUEST_SYNC(1);
	sti();
	cpu_relax();
	cli();
	GUEST_EQ(3, taken);
	GUEST_EQ(HIGH, order[0]);
	GUEST_EQ(MIDDLE, order[1]);
	GUEST_EQ(LOW, order[2]);
	GUEST_DONE();
}

TEST(the_highest_comes_first)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_priority);

	vcpu_sync(vcpu, 1);
	send(vcpu->vm, LOW);
	send(vcpu->vm, HIGH);
	send(vcpu->vm, MIDDLE);
	vcpu_done(vcpu);
}

static void nested_low(struct guest_frame *frame)
{
	order[taken++ & 63] = frame->vector;
	/* Open again: only what is above this one's class may come. */
	sti();
	cpu_relax();
	cli();
	order[taken++ & 63] = frame->vector | 0x1000;
	guest_eoi();
}

static void guest_nested(void)
{
	setup();
	guest_handlers[MIDDLE] = nested_low;
	GUEST_SYNC(1);
	sti();
	cpu_relax();
	GUEST_SYNC(2);		/* interrupts are open: all three are taken by now */
	cli();
	GUEST_EQ(1, taken >= 4);
	GUEST_EQ(MIDDLE, order[0]);
	GUEST_EQ(HIGH, order[1]);
	GUEST_EQ(MIDDLE | 0x1000, order[2]);
	GUEST_EQ(LOW, order[3]);
	GUEST_DONE();
}

static void nested_send(struct guest_frame *frame)
{
	order[taken++ & 63] = frame->vector;
	GUEST_SYNC(0x52);	/* the host sends the other two now */
	sti();
	cpu_relax();
	cli();
	order[taken++ & 63] = frame->vector | 0x1000;
	guest_eoi();
}

static void guest_in_service(void)
{
	guest_nested();
}

TEST(an_interrupt_in_service_holds_back_its_class_until_eoi)
{
	struct vm *vm;
	struct vcpu *vcpu;

	(void)nested_send;
	vm = vm_new();
	vcpu = vcpu_new(vm, 0, guest_in_service);
	vcpu_sync(vcpu, 1);
	/* Only MIDDLE first; the others while its handler runs. */
	guest_var(vm, guest_handlers[MIDDLE]) = nested_send;
	send(vm, MIDDLE);
	vcpu_sync(vcpu, 0x52);
	send(vm, LOW);
	send(vm, HIGH);
	vcpu_sync(vcpu, 2);
	vcpu_done(vcpu);
}

static void guest_tpr(void)
{
	setup();
	write_cr8(5);
	GUEST_EQ(0x50, apic_read(APIC_TPR));
	GUEST_SYNC(1);
	sti();
	cpu_relax();
	GUEST_EQ(1, taken);
	GUEST_EQ(HIGH, order[0]);	/* LOW and MIDDLE are not above class 5 */
	write_cr8(4);
	cpu_relax();
	GUEST_EQ(2, taken);
	GUEST_EQ(MIDDLE, order[1]);
	apic_write(APIC_TPR, 0x20);
	GUEST_EQ(2, read_cr8());
	cpu_relax();
	GUEST_EQ(3, taken);
	GUEST_DONE();
}

TEST(the_task_priority_holds_back_lower_classes)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_tpr);

	vcpu_sync(vcpu, 1);
	send(vcpu->vm, LOW);
	send(vcpu->vm, MIDDLE);
	send(vcpu->vm, HIGH);
	vcpu_done(vcpu);
}

static void guest_count(void)
{
	setup();
	guest_handlers[LOW] = guest_count_irq;
	sti();
	GUEST_SYNC(1);
	for (;;)
		cpu_relax();
}

static void wait_irqs(struct vm *vm, u32 vector, u64 want)
{
	u64 end = now_ns() + 10000000000UL;

	while (guest_var(vm, guest_irqs[vector]) < want)
		if (now_ns() > end)
			die("vector %#x: expected %lu interrupts, got %lu", vector, want,
			    guest_var(vm, guest_irqs[vector]));
}

TEST(a_running_guest_takes_each_at_once)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_count);
	struct runner runner;

	runner_start(&runner, vcpu);
	runner_wait_sync(&runner, 1, 10);
	for (u64 i = 1; i <= 200; i++) {
		ASSERT_EQ(1, send(vcpu->vm, LOW));
		wait_irqs(vcpu->vm, LOW, i);
	}
	runner_stop(&runner);
	EXPECT_EQ(200, guest_var(vcpu->vm, guest_irqs[LOW]));
}

static volatile u64 progress;

/* Of a chip that is not the APIC: no EOI. */
static void note_progress(struct guest_frame *frame)
{
	order[taken++ & 63] = progress;
	progress = 0;
}

static void guest_window(void)
{
	setup();
	guest_handlers[MIDDLE] = note_progress;
	/* IF is clear: exits, and no window. */
	__asm__ volatile("movl $0, %%eax; cpuid" : : : "rax", "rbx", "rcx", "rdx", "memory");
	GUEST_SYNC(1);
	/* Behind the shadow of STI. */
	__asm__ volatile("movq $1, progress; sti; movq $2, progress; movq $3, progress; cli"
			 : : : "memory");
	GUEST_EQ(1, taken);
	GUEST_EQ(2, order[0]);
	GUEST_EQ(3, progress);
	GUEST_SYNC(2);
	/* Behind POPF at once. */
	__asm__ volatile("cli; movq $4, progress; pushfq; orq $0x200, (%%rsp); popfq;"
			 "movq $5, progress; cli" : : : "memory");
	GUEST_EQ(2, taken);
	GUEST_EQ(4, order[1]);
	GUEST_SYNC(3);
	/* While it is halted. */
	__asm__ volatile("cli; movq $6, progress; sti; hlt; cli" : : : "memory");
	GUEST_EQ(3, taken);
	GUEST_EQ(6, order[2]);
	GUEST_SYNC(4);
	/* The APIC's comes behind it, at the first instruction of a handler that lets it. */
	__asm__ volatile("movq $7, progress; sti; nop; nop; cli" : : : "memory");
	GUEST_EQ(5, taken);
	GUEST_EQ(7, order[3]);
	GUEST_EQ(LOW, order[4]);
	GUEST_DONE();
}

/*
 * What a process does whose 8259 has an interrupt. True: the guest could take it, @halted or
 * not.
 */
static bool deliver_extint(struct vcpu *vcpu, bool halted)
{
	struct vmm_state state;

	vcpu->run->interrupt_window = 1;
	vcpu_expect(vcpu, VMM_EXIT_WINDOW);
	vcpu_get(vcpu, &state, VMM_STATE_REGS | VMM_STATE_EVENTS);
	state.events.event = (struct vmm_event) { .type = VMM_EVENT_INTR, .vector = MIDDLE };
	vcpu_set(vcpu, &state, VMM_STATE_EVENTS);
	vcpu->run->interrupt_window = 0;
	return (state.regs.rflags & 0x200) && !state.events.shadow &&
	       state.events.mp_state == (halted ? VMM_MP_HALTED : VMM_MP_RUNNABLE);
}

TEST(a_chip_of_the_process_is_told_when_an_interrupt_can_be_taken)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_window);

	vcpu->run->interrupt_window = 1;
	vcpu_sync(vcpu, 1);
	EXPECT_TRUE(deliver_extint(vcpu, false));
	vcpu_sync(vcpu, 2);
	EXPECT_TRUE(deliver_extint(vcpu, false));
	vcpu_sync(vcpu, 3);
	/* Who takes nothing finds it halted still, and the window open. */
	vcpu->run->interrupt_window = 1;
	vcpu_expect(vcpu, VMM_EXIT_WINDOW);
	EXPECT_TRUE(deliver_extint(vcpu, true));
	vcpu_sync(vcpu, 4);
	EXPECT_EQ(1, send(vcpu->vm, LOW));
	EXPECT_TRUE(deliver_extint(vcpu, false));
	vcpu_done(vcpu);
}

static void guest_window_in_shadow(void)
{
	setup();
	guest_handlers[MIDDLE] = note_progress;
	/* Written before, as a page fault that shadow paging mends takes the shadow in Bochs. */
	progress = 0;
	/* The host sets IF and the shadow of an STI here. */
	__asm__ volatile("outl %%eax, %%dx; movq $8, progress; movq $9, progress; cli"
			 : : "a"(1), "d"(PORT_SYNC) : "memory");
	GUEST_EQ(1, taken);
	GUEST_EQ(8, order[0]);
	GUEST_DONE();
}

TEST(an_interrupt_cannot_be_taken_in_a_shadow)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_window_in_shadow);
	struct vmm_state state;

	vcpu_sync(vcpu, 1);
	vcpu_get(vcpu, &state, VMM_STATE_REGS | VMM_STATE_EVENTS);
	state.regs.rflags |= 0x200;
	state.events.shadow = VMM_SHADOW_STI;
	vcpu_set(vcpu, &state, VMM_STATE_REGS | VMM_STATE_EVENTS);
	EXPECT_TRUE(deliver_extint(vcpu, false));
	vcpu_done(vcpu);
}

TEST(an_irqfd_sends_its_message_on_each_signal)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_count);
	struct vmm_irqfd args = { .fd = eventfd(0, 0),
				  .msi = { .address = 0xfee00000, .data = LOW } };
	struct runner runner;
	u64 one = 1;

	VMM_MUST(vcpu->vm->fd, VMM_IRQFD, &args);
	EXPECT_EQ(-EBUSY, vmm_call(vcpu->vm->fd, VMM_IRQFD, &args));
	runner_start(&runner, vcpu);
	runner_wait_sync(&runner, 1, 10);
	for (u64 i = 1; i <= 100; i++) {
		ASSERT_EQ(8, write(args.fd, &one, 8));
		wait_irqs(vcpu->vm, LOW, i);
	}
	args.flags = VMM_EVENTFD_REMOVE;
	VMM_MUST(vcpu->vm->fd, VMM_IRQFD, &args);
	EXPECT_EQ(-ENOENT, vmm_call(vcpu->vm->fd, VMM_IRQFD, &args));
	ASSERT_EQ(8, write(args.fd, &one, 8));
	usleep(20000);
	runner_stop(&runner);
	EXPECT_EQ(100, guest_var(vcpu->vm, guest_irqs[LOW]));
}

TEST(an_irqfd_is_removed_only_by_its_own_message)
{
	struct vm *vm = vm_new();
	struct vmm_irqfd args = { .fd = eventfd(0, 0),
				  .msi = { .address = 0xfee00000, .data = LOW } };

	VMM_MUST(vm->fd, VMM_IRQFD, &args);
	args.flags = VMM_EVENTFD_REMOVE;
	args.msi.data = HIGH;
	EXPECT_EQ(-ENOENT, vmm_call(vm->fd, VMM_IRQFD, &args));
	args.msi.data = LOW;
	EXPECT_EQ(0, vmm_call(vm->fd, VMM_IRQFD, &args));
}

TEST(an_irqfd_outlives_its_fd_and_not_its_vm)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_count);
	struct vmm_irqfd args = { .fd = eventfd(0, 0),
				  .msi = { .address = 0xfee00000, .data = LOW } };
	int copy = dup(args.fd);
	u64 one = 1;

	VMM_MUST(vcpu->vm->fd, VMM_IRQFD, &args);
	close(args.fd);
	vcpu_sync(vcpu, 1);
	ASSERT_EQ(8, write(copy, &one, 8));
	vm_free(vcpu->vm);
	vcpu_free(vcpu);
	/* Nobody listens any more. */
	ASSERT_EQ(8, write(copy, &one, 8));
	close(copy);
}

TEST(there_is_room_for_the_promised_number_of_irqfds)
{
	struct vm *vm = vm_new_bare();
	struct vmm_irqfd args = { .msi = { .address = 0xfee00000, .data = LOW } };
	int made = 0;

	for (; made < 500; made++) {
		args.fd = eventfd(0, 0);
		if (args.fd < 0)
			break;
		ASSERT_EQ(0, vmm_call(vm->fd, VMM_IRQFD, &args));
	}
	EXPECT_LT(100, made);
}

/* ---- to whom ---- */

TEST(messages_go_to_the_apic_they_name)
{
	struct vm *vm = vm_new();
	struct vcpu *a = vcpu_new(vm, 0, guest_count), *b = vcpu_new(vm, 1, guest_count);
	struct vmm_msi msi = { .address = 0xfee00000, .data = LOW };
	struct vmm_state state;

	vcpu_sync(a, 1);
	vcpu_sync(b, 1);
	msi.address = 0xfee01000;		/* APIC id 1 */
	EXPECT_EQ(1, VMM_MUST(vm->fd, VMM_SIGNAL_MSI, &msi));
	vcpu_get(a, &state, VMM_STATE_LAPIC);
	EXPECT_EQ(0, state.lapic.regs[APIC_IRR / 16 + LOW / 32]);
	vcpu_get(b, &state, VMM_STATE_LAPIC);
	EXPECT_EQ(1U << LOW % 32, state.lapic.regs[APIC_IRR / 16 + LOW / 32]);
	msi.address = 0xfee05000;		/* nobody */
	EXPECT_EQ(0, VMM_MUST(vm->fd, VMM_SIGNAL_MSI, &msi));
	msi.address = 0xfeeff000;		/* all */
	msi.data = HIGH;
	EXPECT_EQ(2, VMM_MUST(vm->fd, VMM_SIGNAL_MSI, &msi));
}

TEST(a_disabled_apic_takes_nothing)
{
	struct vm *vm = vm_new();
	struct vmm_msi msi = { .address = 0xfee00000, .data = LOW };

	vcpu_new_reset(vm, 0);		/* software-disabled after power-up */
	EXPECT_EQ(0, VMM_MUST(vm->fd, VMM_SIGNAL_MSI, &msi));
}

TEST(an_apic_that_its_base_disables_takes_not_even_an_nmi)
{
	static const u32 modes[] = { 0x400, 0x500, LOW };	/* NMI, INIT, fixed */
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_count);
	struct vmm_state state;

	vcpu_sync(vcpu, 1);
	vcpu_get(vcpu, &state, VMM_STATE_LAPIC);
	state.lapic.base &= ~(u64)(APIC_BASE_ENABLE | APIC_BASE_X2);
	state.lapic.regs[APIC_LDR / 16] = 0;
	vcpu_set(vcpu, &state, VMM_STATE_LAPIC);
	for (u32 i = 0; i < ARRAY_SIZE(modes); i++)
		EXPECT_EQ_FOR(0, send(vm, modes[i]), "message %#x", modes[i]);
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS | VMM_STATE_LAPIC);
	EXPECT_EQ(0, state.events.nmi_pending);
	EXPECT_EQ(0, state.events.init);
	EXPECT_EQ(0, state.lapic.regs[APIC_IRR / 16 + LOW / 32]);
	/* The pin is another matter: it is the processor's then. */
	VMM_MUST(vcpu->fd, VMM_NMI, NULL);
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(1, state.events.nmi_pending);
	/* And so is software's switch, with which NMI and INIT still come. */
	state.events.nmi_pending = 0;
	vcpu_set(vcpu, &state, VMM_STATE_EVENTS);
	vcpu_get(vcpu, &state, VMM_STATE_LAPIC);
	state.lapic.base |= APIC_BASE_ENABLE;
	state.lapic.regs[APIC_SVR / 16] = 0xff;
	vcpu_set(vcpu, &state, VMM_STATE_LAPIC);
	EXPECT_EQ(1, send(vm, 0x400));
	EXPECT_EQ(1, send(vm, 0x500));
	EXPECT_EQ(0, send(vm, LOW));
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(1, state.events.nmi_pending);
	EXPECT_EQ(VMM_INIT_PENDING, state.events.init);
}

/* ---- NMIs ---- */

static volatile u32 nmis, depth, deepest;

static void on_nmi(struct guest_frame *frame)
{
	nmis++;
	if (++depth > deepest)
		deepest = depth;
	if (nmis == 1) {
		GUEST_SYNC(0x11);		/* the host sends two more */
		for (int i = 0; i < 100; i++)
			cpu_relax();
		GUEST_EQ(1, nmis);
	}
	depth--;
}

static void guest_nmi(void)
{
	guest_handlers[VEC_NMI] = on_nmi;
	GUEST_SYNC(1);
	cpu_relax();
	GUEST_EQ(2, nmis);		/* those in the handler became one */
	GUEST_EQ(1, deepest);
	GUEST_DONE();
}

TEST(an_nmi_masks_further_ones_until_iret)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_nmi);
	struct vmm_state state;

	vcpu_sync(vcpu, 1);
	VMM_MUST(vcpu->fd, VMM_NMI, NULL);
	vcpu_sync(vcpu, 0x11);
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(1, state.events.nmi_masked);
	EXPECT_EQ(0, state.events.nmi_pending);
	VMM_MUST(vcpu->fd, VMM_NMI, NULL);
	VMM_MUST(vcpu->fd, VMM_NMI, NULL);
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
	/* A CPU holds one behind the one that is being served. */
	EXPECT_EQ(1, state.events.nmi_pending);
	vcpu_done(vcpu);
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(0, state.events.nmi_masked);
	EXPECT_EQ(0, state.events.nmi_pending);
}

#define HOLE_STACK	(GUEST_HOLE + 0x800)

static volatile u64 iret_frame[5], flags_seen;

static void behind_iret(void)
{
	GUEST_DONE();
}

/* Interrupts are open when IRET finds no memory where its frame should be. */
static void iret_in_a_hole(struct guest_frame *frame)
{
	iret_frame[0] = (u64)behind_iret;
	iret_frame[1] = SEL_CODE64;
	iret_frame[2] = 2;
	iret_frame[3] = (frame->rsp & ~15UL) - 8;
	iret_frame[4] = SEL_DATA;
	__asm__ volatile("movq %0, %%rsp; sti; nop; iretq" : : "r"(HOLE_STACK) : "memory");
}

static void on_irq_in_nmi(struct guest_frame *frame)
{
	flags_seen = frame->rflags;
	GUEST_SYNC(2);
	guest_eoi();
}

static void guest_iret_in_a_hole(void)
{
	guest_apic_enable();
	guest_handlers[VEC_NMI] = iret_in_a_hole;
	guest_handlers[LOW] = on_irq_in_nmi;
	GUEST_SYNC(1);
	for (;;)
		cpu_relax();
}

/* The NMI is served until an IRET executes, and this one did not. */
TEST(an_interrupt_before_the_iret_of_an_nmi_leaves_nmis_masked)
{
	for (u32 second_nmi = 0; second_nmi < 2; second_nmi++) {
		struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_iret_in_a_hole);
		u8 *memory = map_memory(4096);
		struct vmm_state state;

		vcpu_sync(vcpu, 1);
		VMM_MUST(vcpu->fd, VMM_NMI, NULL);
		vcpu_expect(vcpu, VMM_EXIT_INSN);
		for (u32 i = 0; i < 5; i++)
			((u64 *)(memory + 0x800))[i] = guest_var(vcpu->vm, iret_frame[i]);
		ASSERT_EQ(0, vm_slot(vcpu->vm, 1, GUEST_HOLE, 4096, memory, 0));
		ASSERT_EQ(1, send(vcpu->vm, LOW));
		if (second_nmi)
			VMM_MUST(vcpu->fd, VMM_NMI, NULL);
		vcpu_sync(vcpu, 2);
		vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
		EXPECT_EQ(1, state.events.nmi_masked);
		EXPECT_EQ(second_nmi, state.events.nmi_pending);
		EXPECT_EQ(RFLAGS_IF, guest_var(vcpu->vm, flags_seen) & (RFLAGS_IF | RFLAGS_TF));
		if (!second_nmi)
			vcpu_done(vcpu);
		vm_free(vcpu->vm);
		vcpu_free(vcpu);
	}
}

static void guest_nmi_set(void)
{
	guest_handlers[VEC_NMI] = note;
	GUEST_EQ(0, taken);
	__asm__ volatile("movq %%rsp, %%rax; pushq %1; pushq %%rax; pushfq; pushq %0;"
			 "pushq $1f; iretq; 1:"
			 : : "i"(SEL_CODE64), "i"(SEL_DATA) : "rax", "memory");
	cpu_relax();
	GUEST_EQ(1, taken);
	GUEST_DONE();
}

TEST(masked_and_pending_can_be_set_from_outside)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_nmi_set);
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
	state.events.nmi_masked = 1;
	state.events.nmi_pending = 1;
	vcpu_set(vcpu, &state, VMM_STATE_EVENTS);
	/* note() writes EOI in xAPIC mode: nothing is in service, nothing happens. */
	vcpu_done(vcpu);
}

static void guest_nmi_in_shadow(void)
{
	guest_handlers[VEC_NMI] = note;
	/* The host sets an NMI and the shadow of an STI here. */
	__asm__ volatile("outl %%eax, %%dx; cpuid"
			 : : "a"(1), "d"(PORT_SYNC) : "rbx", "rcx", "memory");
	cpu_relax();
	GUEST_EQ(1, taken);
	/* No #DB came: its handler is a failure. */
	GUEST_DONE();
}

TEST(an_nmi_that_waits_for_the_end_of_a_shadow_leaves_no_trap)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_nmi_in_shadow);
	struct vmm_state state;

	vcpu_sync(vcpu, 1);
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS | VMM_STATE_REGS);
	state.regs.rflags |= RFLAGS_IF;
	state.events.shadow = VMM_SHADOW_STI;
	state.events.nmi_pending = 1;
	vcpu_set(vcpu, &state, VMM_STATE_EVENTS | VMM_STATE_REGS);
	vcpu_done(vcpu);
	vcpu_get(vcpu, &state, VMM_STATE_REGS);
	EXPECT_EQ(0, state.regs.rflags & (RFLAGS_TF | RFLAGS_RF));
}

static void guest_nmi_loop(void)
{
	guest_handlers[VEC_NMI] = on_nmi;
	nmis = 1;
	GUEST_SYNC(1);
	for (;;)
		cpu_relax();
}

TEST(a_running_guest_takes_an_nmi_from_another_thread)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_nmi_loop);
	struct runner runner;

	runner_start(&runner, vcpu);
	runner_wait_sync(&runner, 1, 10);
	for (u32 i = 2; i < 50; i++) {
		u64 end = now_ns() + 5000000000UL;

		VMM_MUST(vcpu->fd, VMM_NMI, NULL);
		while (guest_var(vcpu->vm, nmis) < i)
			ASSERT_LT(now_ns(), end);
	}
	runner_stop(&runner);
}

VMM_TEST_MAIN
