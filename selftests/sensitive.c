// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The instructions that show or use privileged state and need not trap: SGDT SIDT
 * SLDT STR SMSW, PUSHF POPF, LAR LSL VERR VERW, MOV PUSH POP of segment registers,
 * far CALL JMP RET, INT and IRET. At CPL 0 and 3 they see what is the guest's.
 */
#include "lib/test.h"

/* Behind the library's descriptors; no Linux has such ones at these places. */
#define SEL_LDT		0x58
#define SEL_READ_ONLY	0x6b
#define SEL_CODE_OTHER	0x70
#define SEL_EXECUTE	0x7b
#define SEL_BASED	0x83
#define SEL_IN_LDT	0x07
#define GDT_LIMIT	0x8f
#define IDT_LIMIT	0xfef
#define LDT		GUEST_DATA
#define LDT_LIMIT	0x1f
#define BASE		(GUEST_DATA + 0x1000)
#define VEC_OWN		0x50

static u64 descriptor(u32 base, u32 limit, u32 attr)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 |
		(u64)(attr | (limit >> 16) << 8) << 40 | (u64)(base >> 24) << 56;
}

static struct vcpu *sensitive_new(void (*entry)(void))
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, entry);
	u64 *gdt = vm_ptr(vm, GUEST_GDT);
	struct vmm_state state;

	gdt[SEL_LDT / 8] = descriptor(LDT, LDT_LIMIT, 0x0082);
	gdt[SEL_READ_ONLY / 8] = descriptor(0, 0x12345, 0x40f1);
	gdt[SEL_CODE_OTHER / 8] = descriptor(0, 0xfffff, 0xa09b);
	gdt[SEL_EXECUTE / 8] = descriptor(0, 0x54321, 0x40f9);
	gdt[SEL_BASED / 8] = descriptor(BASE, 0xfff, 0x40f3);
	*(u64 *)vm_ptr(vm, LDT) = descriptor(0, 0x777, 0x40f3);
	vcpu_get(vcpu, &state, VMM_STATE_SEGS);
	state.segs.gdt.limit = GDT_LIMIT;
	state.segs.idt.limit = IDT_LIMIT;
	state.segs.seg[VMM_LDTR] = (struct vmm_segment){
		.base = LDT, .limit = LDT_LIMIT, .selector = SEL_LDT, .attr = 0x0082,
	};
	vcpu_set(vcpu, &state, VMM_STATE_SEGS);
	return vcpu;
}

/* ---- SGDT SIDT SLDT STR SMSW ---- */

struct table {
	u16 limit;
	u64 base;
} __attribute__((packed));

static volatile struct seen {
	struct table gdt, idt;
	u16 ldt, tr, msw;
} seen[2];

static void store_all(volatile struct seen *to)
{
	__asm__ volatile("sgdt %0; sidt %1; sldt %2; str %3; smsw %4"
			 : "=m"(to->gdt), "=m"(to->idt), "=m"(to->ldt), "=m"(to->tr),
			   "=m"(to->msw));
}

static void user_stores_all(void)
{
	store_all(&seen[1]);
}

static void guest_stores_all(void)
{
	store_all(&seen[0]);
	guest_call_user(user_stores_all);
	GUEST_DONE();
}

TEST(tables_selectors_and_machine_status_are_the_guests)
{
	struct vcpu *vcpu = sensitive_new(guest_stores_all);
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_CTRL);
	vcpu_done(vcpu);
	for (int cpl = 0; cpl <= 3; cpl += 3) {
		struct seen s = guest_var(vcpu->vm, seen[!!cpl]);

		EXPECT_EQ_FOR(GUEST_GDT, s.gdt.base, "SGDT at CPL %d", cpl);
		EXPECT_EQ_FOR(GDT_LIMIT, s.gdt.limit, "SGDT at CPL %d", cpl);
		EXPECT_EQ_FOR(GUEST_IDT, s.idt.base, "SIDT at CPL %d", cpl);
		EXPECT_EQ_FOR(IDT_LIMIT, s.idt.limit, "SIDT at CPL %d", cpl);
		EXPECT_EQ_FOR(SEL_LDT, s.ldt, "SLDT at CPL %d", cpl);
		EXPECT_EQ_FOR(SEL_TSS, s.tr, "STR at CPL %d", cpl);
		EXPECT_EQ_FOR(state.ctrl.cr0 & 0xffff, s.msw, "SMSW at CPL %d", cpl);
	}
}

/* What the guest itself loads shows at once, and in the state. */
static void guest_loads_tables(void)
{
	struct table gdt = { .base = GUEST_GDT, .limit = 0x77 };
	struct table idt = { .base = GUEST_IDT, .limit = 0x777 };

	__asm__ volatile("lgdt %0; lidt %1; lldt %w2" : : "m"(gdt), "m"(idt), "r"(0));
	write_cr0(read_cr0() | X86_CR0_TS);
	store_all(&seen[0]);
	GUEST_DONE();
}

TEST(what_the_guest_loads_it_sees)
{
	struct vcpu *vcpu = sensitive_new(guest_loads_tables);
	struct vmm_state state;
	struct seen s;

	vcpu_done(vcpu);
	s = guest_var(vcpu->vm, seen[0]);
	vcpu_get(vcpu, &state, VMM_STATE_SEGS | VMM_STATE_CTRL);
	EXPECT_EQ(0x77, s.gdt.limit);
	EXPECT_EQ(0x777, s.idt.limit);
	EXPECT_EQ(0, s.ldt);
	EXPECT_EQ(X86_CR0_TS, s.msw & X86_CR0_TS);
	EXPECT_EQ(0x77, state.segs.gdt.limit);
	EXPECT_EQ(0x777, state.segs.idt.limit);
	EXPECT_EQ(0, state.segs.seg[VMM_LDTR].selector);
	EXPECT_EQ(X86_CR0_TS, state.ctrl.cr0 & X86_CR0_TS);
}

static void user_tries_stores(void)
{
	u64 memory[2];

	GUEST_EQ(VEC_GP, GUEST_TRY("sgdt (%0)", "r"(memory) : "memory"));
	GUEST_EQ(VEC_GP, GUEST_TRY("sidt (%0)", "r"(memory) : "memory"));
	GUEST_EQ(VEC_GP, GUEST_TRY("sldt %%ax", "r"(0) : "rax"));
	GUEST_EQ(VEC_GP, GUEST_TRY("str %%ax", "r"(0) : "rax"));
	GUEST_EQ(VEC_GP, GUEST_TRY("smsw %%ax", "r"(0) : "rax"));
}

static void guest_forbids_stores(void)
{
	write_cr4(read_cr4() | X86_CR4_UMIP);
	guest_call_user(user_tries_stores);
	GUEST_DONE();
}

TEST(umip_hides_them_from_cpl3)
{
	if (!(cpuid(7, 0).ecx & 1U << 2))
		SKIP(return, "the CPU has no UMIP");
	vcpu_done(sensitive_new(guest_forbids_stores));
}

/* ---- PUSHF POPF ---- */

static volatile u64 flags_seen[4];

static u64 exchange_flags(u64 flags)
{
	u64 now;

	__asm__ volatile("pushq %1; popfq; pushfq; popq %0"
			 : "=r"(now) : "r"(flags) : "memory", "cc");
	return now;
}

#define FLAGS_ASKED	(RFLAGS_FIXED | 0x3000UL | RFLAGS_AC | 1UL << 14)	/* IF off */

/* guest_call_user() gave it IOPL 3. */
static void user_flags_iopl3(void)
{
	flags_seen[1] = exchange_flags(FLAGS_ASKED & ~0x3000UL);
	exchange_flags(RFLAGS_FIXED | RFLAGS_IF);
}

static void guest_flags(void)
{
	flags_seen[0] = exchange_flags(FLAGS_ASKED | RFLAGS_IF);
	exchange_flags(RFLAGS_FIXED);
	guest_call_user(user_flags_iopl3);
	GUEST_DONE();
}

TEST(flags_are_the_guests_by_its_cpl)
{
	struct vcpu *vcpu = sensitive_new(guest_flags);
	struct vmm_state state;

	vcpu_done(vcpu);
	EXPECT_EQ(FLAGS_ASKED | RFLAGS_IF, guest_var(vcpu->vm, flags_seen[0]));
	/* IOPL stays 3 at CPL 3, and lets IF be changed. */
	EXPECT_EQ(FLAGS_ASKED, guest_var(vcpu->vm, flags_seen[1]));
	vcpu_get(vcpu, &state, VMM_STATE_REGS);
	EXPECT_EQ(RFLAGS_FIXED, state.regs.rflags & ~0x3000UL & ~0xad5UL);
}

/* ---- LAR LSL VERR VERW ---- */

static volatile struct rights {
	u32 lar, lsl;
	u8 has_lar, has_lsl, read, write;
} rights[2][6];

static const u16 checked[] = {
	SEL_READ_ONLY, SEL_EXECUTE, SEL_IN_LDT, SEL_CODE_OTHER, 0x98, SEL_BASED,
};

static void check_rights(volatile struct rights *to)
{
	for (u32 i = 0; i < ARRAY_SIZE(checked); i++) {
		u32 value = 0, selector = checked[i];
		u8 ok;

		__asm__ volatile("lar %2, %0; setz %1"
				 : "+r"(value), "=q"(ok) : "r"(selector) : "cc");
		to[i].lar = value & 0x00f0ff00;
		to[i].has_lar = ok;
		value = 0;
		__asm__ volatile("lsl %2, %0; setz %1"
				 : "+r"(value), "=q"(ok) : "r"(selector) : "cc");
		to[i].lsl = value;
		to[i].has_lsl = ok;
		__asm__ volatile("verr %w1; setz %0" : "=q"(ok) : "r"(selector) : "cc");
		to[i].read = ok;
		__asm__ volatile("verw %w1; setz %0" : "=q"(ok) : "r"(selector) : "cc");
		to[i].write = ok;
	}
}

static void user_checks_rights(void)
{
	check_rights(rights[1]);
}

static void guest_checks_rights(void)
{
	check_rights(rights[0]);
	guest_call_user(user_checks_rights);
	GUEST_DONE();
}

TEST(descriptors_are_the_guests)
{
	/* CPL 3 may not look at the code segment of CPL 0; 0x98 is behind the table. */
	static const struct rights want[6] = {
		{ 0x0040f100, 0x12345, 1, 1, 1, 0 }, { 0x0040f900, 0x54321, 1, 1, 0, 0 },
		{ 0x0040f300, 0x777, 1, 1, 1, 1 }, { 0x00a09b00, 0xffffffff, 1, 1, 1, 0 },
		{ 0, 0, 0, 0, 0, 0 }, { 0x0040f300, 0xfff, 1, 1, 1, 1 },
	};
	struct vcpu *vcpu = sensitive_new(guest_checks_rights);

	vcpu_done(vcpu);
	for (int cpl = 0; cpl <= 3; cpl += 3)
		for (u32 i = 0; i < ARRAY_SIZE(want); i++) {
			struct rights got = guest_var(vcpu->vm, rights[!!cpl][i]), w = want[i];

			if (cpl && checked[i] == SEL_CODE_OTHER)
				w = (struct rights){ 0 };
			EXPECT_EQ_FOR(w.has_lar, got.has_lar, "LAR %#x at CPL %d", checked[i], cpl);
			EXPECT_EQ_FOR(w.lar, got.lar, "LAR %#x at CPL %d", checked[i], cpl);
			EXPECT_EQ_FOR(w.has_lsl, got.has_lsl, "LSL %#x at CPL %d", checked[i], cpl);
			EXPECT_EQ_FOR(w.lsl, got.lsl, "LSL %#x at CPL %d", checked[i], cpl);
			EXPECT_EQ_FOR(w.read, got.read, "VERR %#x at CPL %d", checked[i], cpl);
			EXPECT_EQ_FOR(w.write, got.write, "VERW %#x at CPL %d", checked[i], cpl);
		}
}

/* ---- MOV, PUSH and POP of segment registers ---- */

static void use_segments(void)
{
	u64 selector;

	__asm__ volatile("movl %1, %%fs; movq %%fs:8, %0"
			 : "=r"(selector) : "r"(SEL_BASED) : "memory");
	GUEST_EQ(0x1122334455667788, selector);
	__asm__ volatile("movq %%fs, %0" : "=r"(selector));
	GUEST_EQ(SEL_BASED, selector);
	__asm__ volatile("pushq %1; popq %%gs; pushq %%gs; popq %0" : "=r"(selector)
			 : "r"((u64)SEL_IN_LDT) : "memory");
	GUEST_EQ(SEL_IN_LDT, selector);
	GUEST_EQ(VEC_GP, GUEST_TRY("movl %0, %%es", "r"(SEL_EXECUTE) : "memory"));
	GUEST_EQ(SEL_EXECUTE & ~3, guest_fault.error);
	GUEST_EQ(VEC_GP, GUEST_TRY("movl %0, %%ds", "r"(0x98) : "memory"));
	GUEST_EQ(0x98, guest_fault.error);
}

static void guest_uses_segments(void)
{
	write64(BASE + 8, 0x1122334455667788);
	use_segments();
	guest_call_user(use_segments);
	GUEST_DONE();
}

TEST(segment_registers_take_the_guests_descriptors)
{
	struct vcpu *vcpu = sensitive_new(guest_uses_segments);
	struct vmm_state state;

	vcpu_done(vcpu);
	vcpu_get(vcpu, &state, VMM_STATE_SEGS);
	EXPECT_EQ(BASE, state.segs.seg[VMM_FS].base);
	EXPECT_EQ(SEL_BASED, state.segs.seg[VMM_FS].selector);
	EXPECT_EQ(0x777, state.segs.seg[VMM_GS].limit);
}

/* ---- far CALL JMP RET, INT, IRET ---- */

struct far_pointer {
	u32 offset;
	u16 selector;
} __attribute__((packed));

/* Where the far CALL goes: the selector it runs with. */
void far_called(void);
__asm__(".pushsection .text; .globl far_called; far_called: movl %cs, %eax; lretl; .popsection");

static volatile u32 handler_cs;

static void note_cs(struct guest_frame *frame)
{
	u32 cs;

	(void)frame;
	__asm__ volatile("movl %%cs, %0" : "=r"(cs));
	handler_cs = cs;
}

static u32 call_far(u16 selector)
{
	struct far_pointer to = { (u32)(u64)far_called, selector };
	u32 cs;

	__asm__ volatile("lcall *%1" : "=a"(cs) : "m"(to) : "memory");
	return cs;
}

/* There, and back by RETF. */
static u32 jump_far(u16 selector)
{
	struct far_pointer to = { 0, selector };
	u32 cs;

	__asm__ volatile("movl $1f, %1; ljmp *%1\n"
			 "1:	movl %%cs, %0; pushq %2; pushq $2f; lretq\n"
			 "2:" : "=&r"(cs), "+m"(to) : "r"((u64)SEL_CODE64) : "memory");
	return cs;
}

static u32 iret_far(u16 selector)
{
	u32 cs;

	__asm__ volatile("movq %%rsp, %%rax; pushq %2; pushq %%rax; pushfq; pushq %1; pushq $1f;"
			 "iretq\n"
			 "1:	movl %%cs, %0; pushq %3; pushq $2f; lretq\n"
			 "2:" : "=&r"(cs)
			 : "r"((u64)selector), "r"((u64)SEL_DATA), "r"((u64)SEL_CODE64)
			 : "rax", "memory");
	return cs;
}

static void user_transfers(void)
{
	struct far_pointer to = { (u32)(u64)far_called, SEL_CODE_OTHER };

	GUEST_EQ(SEL_USER_CODE64, call_far(SEL_USER_CODE64));
	GUEST_EQ(VEC_GP, GUEST_TRY("ljmp *%0", "m"(to) : "memory"));
	GUEST_EQ(SEL_CODE_OTHER, guest_fault.error);
	GUEST_EQ(VEC_GP, GUEST_TRY("int $0x50", "r"(0) : "memory"));
	/* A gate of the IDT. Not its number: TCG gives twice of what it is. */
	GUEST_EQ(2, guest_fault.error & 7);
}

static void guest_transfers(void)
{
	GUEST_EQ(SEL_CODE_OTHER, call_far(SEL_CODE_OTHER));
	GUEST_EQ(SEL_CODE_OTHER, jump_far(SEL_CODE_OTHER));
	GUEST_EQ(SEL_CODE_OTHER, iret_far(SEL_CODE_OTHER));
	__asm__ volatile("int $0x50" : : : "memory");
	GUEST_EQ(SEL_CODE_OTHER, handler_cs);
	guest_call_user(user_transfers);
	GUEST_DONE();
}

TEST(far_transfers_go_through_the_guests_tables)
{
	struct vcpu *vcpu;
	u32 *gate;

	guest_handlers[VEC_OWN] = note_cs;
	vcpu = sensitive_new(guest_transfers);
	gate = vm_ptr(vcpu->vm, GUEST_IDT + VEC_OWN * 16);
	gate[0] = (gate[0] & 0xffff) | SEL_CODE_OTHER << 16;
	vcpu_done(vcpu);
}

VMM_TEST_MAIN
