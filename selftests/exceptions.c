// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Exceptions: those that the process gives to the guest and those that the guest
 * raises reach its IDT with the right frame; a fault in their delivery becomes a
 * double fault, one in that a shutdown; and none of them can loop in the CPU for
 * ever.
 */
#include <signal.h>
#include <sys/time.h>

#include "lib/test.h"

static volatile struct guest_frame frame_seen;
static volatile u64 frames;

static void keep_frame(struct guest_frame *frame)
{
	frame_seen.vector = frame->vector;
	frame_seen.error = frame->error;
	frame_seen.rip = frame->rip;
	frame_seen.rflags = frame->rflags;
	frame_seen.cs = frame->cs;
	frame_seen.rsp = frame->rsp;
	frames++;
	GUEST_SYNC(0x1000 | frame->vector);
	GUEST_DONE();
}

static void guest_wait(void)
{
	for (;;)
		GUEST_SYNC(1);
}

static bool has_error(u32 vector)
{
	return vector == VEC_DF || (vector >= VEC_TS && vector <= VEC_PF) || vector == VEC_AC;
}

static void inject(struct vcpu *vcpu, u32 type, u32 vector, u32 flags, u32 error, u32 length)
{
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
	state.events.event = (struct vmm_event){
		.type = type, .vector = vector, .flags = flags, .error = error, .length = length,
	};
	vcpu_set(vcpu, &state, VMM_STATE_EVENTS);
}

TEST(every_exception_the_process_gives_is_delivered)
{
	for (u32 vector = 0; vector < 32; vector++) {
		struct vcpu *vcpu;
		u64 rip;

		/* Reserved ones, and those of features that guests do not have. */
		if (vector == VEC_NMI || vector == 9 || vector == 15 || vector > 20)
			continue;
		vcpu = vcpu_new(vm_new(), 0, guest_wait);
		guest_var(vcpu->vm, guest_handlers[vector]) = keep_frame;
		vcpu_sync(vcpu, 1);
		rip = vcpu_rip(vcpu);
		inject(vcpu, VMM_EVENT_EXCEPTION, vector,
		       has_error(vector) ? VMM_EVENT_HAS_ERROR : 0, has_error(vector) ? 0x10 : 0,
		       vector == VEC_BP || vector == VEC_OF ? 1 : 0);
		vcpu_sync(vcpu, 0x1000 | vector);
		EXPECT_EQ_FOR(vector, guest_var(vcpu->vm, frame_seen.vector), "vector %u", vector);
		EXPECT_EQ_FOR(has_error(vector) ? 0x10 : 0,
			      guest_var(vcpu->vm, frame_seen.error), "vector %u", vector);
		/* #BP and #OF are traps: RIP is behind the instruction. */
		EXPECT_EQ_FOR(rip + (vector == VEC_BP || vector == VEC_OF),
			      guest_var(vcpu->vm, frame_seen.rip), "vector %u", vector);
		EXPECT_EQ_FOR(SEL_CODE64, guest_var(vcpu->vm, frame_seen.cs), "vector %u",
			      vector);
		vm_free(vcpu->vm);
		vcpu_free(vcpu);
	}
}

TEST(a_page_fault_is_given_with_cr2)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_wait);
	struct vmm_state state;

	guest_var(vcpu->vm, guest_handlers[VEC_PF]) = keep_frame;
	vcpu_sync(vcpu, 1);
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS | VMM_STATE_CTRL);
	state.ctrl.cr2 = 0x123456789000;
	state.events.event = (struct vmm_event){
		.type = VMM_EVENT_EXCEPTION, .vector = VEC_PF,
		.flags = VMM_EVENT_HAS_ERROR, .error = 6,
	};
	vcpu_set(vcpu, &state, VMM_STATE_EVENTS | VMM_STATE_CTRL);
	vcpu_sync(vcpu, 0x1000 | VEC_PF);
	EXPECT_EQ(6, guest_var(vcpu->vm, frame_seen.error));
	vcpu_get(vcpu, &state, VMM_STATE_CTRL);
	EXPECT_EQ(0x123456789000, state.ctrl.cr2);
}

TEST(an_interrupt_the_process_gives_is_delivered)
{
	static const u32 vectors[] = { 32, 0x80, 0x41, 255 };

	for (u32 i = 0; i < ARRAY_SIZE(vectors); i++) {
		struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_wait);
		struct vmm_state state;
		u32 vector = vectors[i];

		if (vector == VEC_CALL)
			continue;
		guest_var(vcpu->vm, guest_handlers[vector]) = keep_frame;
		vcpu_sync(vcpu, 1);
		vcpu_get(vcpu, &state, VMM_STATE_REGS);
		state.regs.rflags |= RFLAGS_IF;
		vcpu_set(vcpu, &state, VMM_STATE_REGS);
		inject(vcpu, VMM_EVENT_INTR, vector, 0, 0, 0);
		vcpu_sync(vcpu, 0x1000 | vector);
	}
}

TEST(a_software_interrupt_the_process_gives_skips_its_instruction)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_wait);
	u64 rip;

	guest_var(vcpu->vm, guest_handlers[0x41]) = keep_frame;
	vcpu_sync(vcpu, 1);
	rip = vcpu_rip(vcpu);
	inject(vcpu, VMM_EVENT_SOFT_INT, 0x41, 0, 0, 2);
	vcpu_sync(vcpu, 0x1041);
	EXPECT_EQ(rip + 2, guest_var(vcpu->vm, frame_seen.rip));
}

static volatile u64 soft_ints, soft_int_rip;

/* Its last exit before the return is of a kind that the module finishes at once. */
static void count_soft_int(struct guest_frame *frame)
{
	soft_ints++;
	soft_int_rip = frame->rip;
	cpuid(0, 0);
}

/*
 * INT n on a stack in memory that nothing has touched, so that its delivery is
 * interrupted; the address behind it is kept.
 */
static void guest_int_on_new_stack(void)
{
	static u64 behind;

	__asm__ volatile("outl %0, %w1; nop; nop" : : "a"(1), "Nd"(PORT_SYNC) : "memory");
	__asm__ volatile("movq %%rsp, %%rbx\n\t"
			 "movq %0, %%rsp\n\t"
			 "int $0x41\n"
			 "1:\tmovq %%rbx, %%rsp\n\t"
			 "movq $1b, %1"
			 : : "r"(GUEST_DATA2 + 0x1000), "m"(behind) : "rbx", "memory");
	GUEST_EQ(2, soft_ints);
	GUEST_EQ(behind, soft_int_rip);
	GUEST_DONE();
}

TEST(an_event_that_was_delivered_does_not_come_back_with_the_next)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_int_on_new_stack);

	guest_var(vcpu->vm, guest_handlers[0x41]) = count_soft_int;
	vcpu_sync(vcpu, 1);
	/* As if the two NOPs were an INT n. */
	inject(vcpu, VMM_EVENT_SOFT_INT, 0x41, 0, 0, 2);
	vcpu_done(vcpu);
}

/* ---- raised by the guest ---- */

static void guest_raise(void)
{
	u64 rip;

	GUEST_EQ(VEC_DE, GUEST_TRY("xorl %%ecx, %%ecx; divl %%ecx", "a"(1), "d"(0)
				   : "ecx", "memory"));
	GUEST_EQ(VEC_UD, GUEST_TRY("ud2", "a"(0) : "memory"));
	GUEST_EQ(VEC_GP, GUEST_TRY("movl (%0), %%eax", "r"(0x8000000000000000) : "memory"));
	GUEST_EQ(0, guest_fault.error);
	GUEST_EQ(VEC_GP, GUEST_TRY("movw %w0, %%ds", "r"(0x1000) : "memory"));
	GUEST_EQ(0x1000, guest_fault.error);
	GUEST_EQ(VEC_PF, GUEST_TRY("movl (%0), %%ecx", "r"(0x200000000000) : "ecx", "memory"));
	GUEST_EQ(0, guest_fault.error);
	GUEST_EQ(0x200000000000, guest_fault.cr2);
	GUEST_EQ(VEC_PF, GUEST_TRY("movl %%eax, (%0)", "r"(0x200000000008) : "memory"));
	GUEST_EQ(2, guest_fault.error);
	GUEST_EQ(0x200000000008, guest_fault.cr2);
	GUEST_EQ(VEC_BP, GUEST_TRY("int3", "a"(0) : "memory"));
	__asm__ volatile("leaq 2f, %0; int3; 2:" : "=r"(rip) : : "memory");
	GUEST_EQ(VEC_NP, GUEST_TRY("int $0x2c", "a"(0) : "memory"));
	/* "IDT", not "external"; TCG scales the vector by 16 where CPUs do by 8. */
	GUEST_EQ(2, guest_fault.error & 7);
	GUEST_DONE();
}

static void skip_bp(struct guest_frame *frame)
{
	if (!guest_fixup)
		return;
	guest_fault.vector = frame->vector;
	frame->rip = guest_fixup;
}

TEST(faults_of_the_guest_reach_its_handlers)
{
	struct vm *vm = vm_new();
	u64 *idt = vm_ptr(vm, GUEST_IDT);

	idt[2 * 0x2c] &= ~(0x80UL << 40);	/* a gate that is not present */
	guest_var(vm, guest_handlers[VEC_BP]) = skip_bp;
	vcpu_done(vcpu_new(vm, 0, guest_raise));
}

static volatile u64 ac_address = GUEST_DATA + 1;
static volatile bool cpu_checks_alignment;

static void user_ac(void)
{
	__asm__ volatile("pushfq; orq $0x40000, (%%rsp); popfq" : : : "memory", "cc");
	GUEST_TRY("movl (%0), %%ecx", "r"(ac_address) : "ecx", "memory");
}

static void guest_ac(void)
{
	write_cr0(read_cr0() | X86_CR0_AM);
	guest_call_user(user_ac);
	GUEST_EQ(cpu_checks_alignment ? VEC_AC : NO_FAULT, guest_fault.vector);
	GUEST_EQ(0, guest_fault.error);
	GUEST_DONE();
}

/* Emulated CPUs do not: then the guest's must not either. */
static bool host_checks_alignment(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		u64 word[2] = { 0 };

		__asm__ volatile("pushfq; orq $0x40000, (%%rsp); popfq; movl (%0), %%ecx"
				 : : "r"((u8 *)word + 1) : "ecx", "memory", "cc");
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS;
}

TEST(alignment_checks_at_cpl_3_are_as_on_the_host)
{
	cpu_checks_alignment = host_checks_alignment();
	vcpu_done(vcpu_new(vm_new(), 0, guest_ac));
}

/* ---- #DB ---- */

static volatile u64 db_count, db_dr6, db_rip;

static void on_db(struct guest_frame *frame)
{
	u64 dr6;

	__asm__ volatile("mov %%db6, %0" : "=r"(dr6));
	db_count++;
	db_dr6 = dr6;
	db_rip = frame->rip;
	frame->rflags &= ~RFLAGS_TF;
	frame->rflags |= 1UL << 16;	/* RF: go on at a breakpoint */
	__asm__ volatile("mov %0, %%db6" : : "r"(0xffff0ff0UL));
}

static void guest_single_step(void)
{
	u64 want;

	guest_handlers[VEC_DB] = on_db;
	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; leaq ., %0"
			 : "=r"(want) : : "memory");
	GUEST_EQ(1, db_count);
	GUEST_EQ(1UL << 14, db_dr6 & (1UL << 14));
	/* The trap comes behind an instruction that exits, too. */
	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; cpuid; leaq ., %0"
			 : "=S"(want) : "a"(0), "c"(0) : "ebx", "edx", "memory");
	GUEST_EQ(2, db_count);
	GUEST_EQ(want, db_rip);
	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; outl %%eax, %%dx; leaq ., %0"
			 : "=S"(want) : "a"(0x77), "d"(PORT_SYNC) : "memory");
	GUEST_EQ(3, db_count);
	GUEST_EQ(want, db_rip);
	GUEST_DONE();
}

TEST(single_step_traps_behind_each_instruction)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_single_step);

	vcpu_sync(vcpu, 0x77);
	vcpu_done(vcpu);
}

static volatile u64 watched;

static void guest_breakpoints(void)
{
	guest_handlers[VEC_DB] = on_db;
	__asm__ volatile("mov %0, %%db0" : : "r"(&watched));
	__asm__ volatile("mov %0, %%db7" : : "r"(0x000d0402UL));	/* write, 4 bytes, global */
	watched = 1;
	GUEST_EQ(1, db_count);
	GUEST_EQ(1, db_dr6 & 0xf);
	GUEST_SYNC(1);
	watched = 2;
	GUEST_EQ(2, db_count);
	__asm__ volatile("mov %0, %%db7" : : "r"(0x400UL));
	watched = 3;
	GUEST_EQ(2, db_count);
	GUEST_DONE();
}

TEST(hardware_breakpoints_of_the_guest)
{
	struct vmm_state state;
	struct vcpu *vcpu;

	if (host_is_tcg())
		SKIP(return, "QEMU TCG does not arm the breakpoints of the DR7 that VMRUN loads");
	vcpu = vcpu_new(vm_new(), 0, guest_breakpoints);

	vcpu_sync(vcpu, 1);
	vcpu_get(vcpu, &state, VMM_STATE_DEBUG);
	EXPECT_EQ((u64)&watched, state.debug.dr[0]);
	EXPECT_EQ(0x000d0402, state.debug.dr7 & ~0x400UL ? state.debug.dr7 : 0);
	vcpu_done(vcpu);
}

/* ---- faults in faults ---- */

static void guest_fault_in_fault(void)
{
	guest_handlers[VEC_DF] = keep_frame;
	/*
	 * The tables are in the nested page table after this: a nested fault in the
	 * delivery of #DE makes it an injected event, which TCG does not count.
	 */
	GUEST_TRY("ud2", "a"(0) : "memory");
	__asm__ volatile("divl %%ecx" : : "a"(1), "c"(0), "d"(0) : "memory");
}

TEST(a_fault_in_a_fault_is_a_double_fault)
{
	struct vm *vm = vm_new();
	u64 *idt = vm_ptr(vm, GUEST_IDT);

	idt[2 * VEC_DE] &= ~(0x80UL << 40);	/* #NP in the delivery of #DE */
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_fault_in_fault);

	vcpu_sync(vcpu, 0x1000 | VEC_DF);
	EXPECT_EQ(0, guest_var(vm, frame_seen.error));
}

static void set_idt_limit(struct vcpu *vcpu, u16 limit)
{
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_SEGS);
	state.segs.idt.limit = limit;
	vcpu_set(vcpu, &state, VMM_STATE_SEGS);
}

static void guest_ud(void)
{
	__asm__ volatile("ud2");
}

TEST(a_triple_fault_is_a_shutdown)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_ud);

	set_idt_limit(vcpu, 0);
	vcpu_expect(vcpu, VMM_EXIT_SHUTDOWN);
	/* The process may bring it back to life. */
	vcpu_restart(vcpu, guest_wait);
	vcpu_sync(vcpu, 1);
}

TEST(a_fault_in_a_given_exception_is_handled_like_any_other)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_wait);

	vcpu_sync(vcpu, 1);
	set_idt_limit(vcpu, 0);
	inject(vcpu, VMM_EVENT_EXCEPTION, VEC_GP, VMM_EVENT_HAS_ERROR, 0, 0);
	vcpu_expect(vcpu, VMM_EXIT_SHUTDOWN);
}

/* ---- exceptions that raise themselves ---- */

static void alarm_in(u32 us)
{
	struct itimerval timer = { .it_value.tv_usec = us };

	catch_signal(SIGALRM);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void guest_db_storm(void)
{
	/* A data breakpoint on the stack where #DB is delivered. */
	__asm__ volatile("mov %0, %%db0" : : "r"(GUEST_STACK(0) - 0x400));
	__asm__ volatile("mov %0, %%db7" : : "r"(0x000f0402UL));
	__asm__ volatile("movq %0, %%rsp; movq $0, (%%rsp); 1: pause; jmp 1b"
			 : : "r"(GUEST_STACK(0) - 0x400 + 8) : "memory");
}

static void user_ac_storm(void)
{
	__asm__ volatile("pushfq; orq $0x40000, (%%rsp); popfq; movl (%0), %%ecx; 1: pause; jmp 1b"
			 : : "r"(GUEST_DATA + 1) : "ecx", "memory", "cc");
}

static void guest_ac_storm(void)
{
	write_cr0(read_cr0() | X86_CR0_AM);
	guest_call_user(user_ac_storm);
}

/* Runs until a signal: the test is that it can be stopped at all. */
static void expect_stoppable(struct __test_metadata *_metadata, struct vcpu *vcpu)
{
	u64 start = now_ns();
	int result;

	alarm_in(200000);
	do {
		result = vcpu_run(vcpu);
	} while (!result && vcpu->run->exit_reason == VMM_EXIT_PIO &&
		 now_ns() - start < 5000000000UL);
	/* Or it ended in a triple fault, which is no loop either. */
	if (result || vcpu->run->exit_reason != VMM_EXIT_SHUTDOWN)
		EXPECT_EQ_FOR(-EINTR, result, "%s", exit_text(vcpu));
	EXPECT_GT(5000000000UL, now_ns() - start);
}

TEST(a_storm_of_debug_exceptions_can_be_interrupted)
{
	struct vm *vm = vm_new();
	u64 *idt = vm_ptr(vm, GUEST_IDT);

	/* The handler is the faulting code itself: IRET, watched again, and so on. */
	memcpy(vm_ptr(vm, GUEST_DATA), "\x48\xcf", 2);
	idt[2 * VEC_DB] = (GUEST_DATA & 0xffff) | SEL_CODE64 << 16 | 0x8eUL << 40 |
		(GUEST_DATA >> 16) << 48;
	idt[2 * VEC_DB + 1] = 0;
	expect_stoppable(_metadata, vcpu_new(vm, 0, guest_db_storm));
}

TEST(a_storm_of_alignment_checks_can_be_interrupted)
{
	struct vm *vm = vm_new();
	u64 *idt = vm_ptr(vm, GUEST_IDT);
	struct vcpu *vcpu;

	/* #AC to a handler that returns at once to the unaligned access. */
	memcpy(vm_ptr(vm, GUEST_DATA + 0x100), "\x48\x83\xc4\x08\x48\xcf", 6);
	idt[2 * VEC_AC] = ((GUEST_DATA + 0x100) & 0xffff) | SEL_CODE64 << 16 | 0x8eUL << 40 |
		(GUEST_DATA >> 16) << 48;
	idt[2 * VEC_AC + 1] = 0;
	vcpu = vcpu_new(vm, 0, guest_ac_storm);
	expect_stoppable(_metadata, vcpu);
}

/* 32-bit code at CPL 3 whose #AC is delivered to CPL 3, on an unaligned stack. */
TEST(an_alignment_check_in_its_own_delivery_can_be_interrupted)
{
	static const u8 code[] = {
		0xbc, 0x01, 0x80, 0x20, 0x00,			/* mov esp, 0x208001 */
		0x9c, 0x81, 0x0c, 0x24, 0, 0, 4, 0, 0x9d,	/* pushf; or [esp], AC; popf */
		0x50, 0xf3, 0x90, 0xeb, 0xfc,			/* push eax; pause; jmp -2 */
	};
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new_reset(vm, 0);
	struct vmm_state state;
	u32 *gate = vm_ptr(vm, GUEST_DATA + 0x1000 + VEC_AC * 8);
	u32 *gdt = vm_ptr(vm, GUEST_GDT);

	memcpy(vm_ptr(vm, GUEST_DATA), code, sizeof(code));
	vcpu_mode32(vcpu, GUEST_DATA);
	/* A DPL 3 interrupt gate to the user code segment. */
	gate[0] = SEL_USER_CODE32 << 16 | (GUEST_DATA & 0xffff);
	gate[1] = (GUEST_DATA & 0xffff0000) | 0xee00;
	(void)gdt;
	vcpu_get(vcpu, &state, VMM_STATE_SEGS | VMM_STATE_CTRL | VMM_STATE_REGS);
	for (int i = VMM_ES; i <= VMM_GS; i++) {
		state.segs.seg[i].selector = SEL_USER_DATA;
		state.segs.seg[i].attr = 0xc0f3;
	}
	state.segs.seg[VMM_CS].selector = SEL_USER_CODE32;
	state.segs.seg[VMM_CS].attr = 0xc0fb;
	state.segs.idt = (struct vmm_table){ .base = GUEST_DATA + 0x1000, .limit = 0xff };
	state.ctrl.cr0 |= X86_CR0_AM;
	vcpu_set(vcpu, &state, VMM_STATE_SEGS | VMM_STATE_CTRL | VMM_STATE_REGS);
	expect_stoppable(_metadata, vcpu);
}

VMM_TEST_MAIN
