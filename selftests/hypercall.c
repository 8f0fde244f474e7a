// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Hypercalls by either vendor's instruction: the CPU's own exits, the other one is #UD for
 * the CPU and is taken there. What else is #UD reaches the guest as it would without that:
 * once, with RIP at the instruction and RF in the frame.
 */
#include "lib/test.h"

#define NO_SUCH_CALL	0x7fff
#define ENOSYS_KVM	1000
#define EPERM_KVM	1

/* @insn with a number that is no call's; the result is RAX. */
#define CALL(insn) ({								\
	long result_;								\
	__asm__ volatile(insn : "=a"(result_)					\
			 : "0"(NO_SUCH_CALL), "b"(0), "c"(0), "d"(0), "S"(0)	\
			 : "memory", "cc");					\
	result_;								\
})

static void call_both(long expected)
{
	GUEST_EQ(expected, CALL("vmcall"));
	GUEST_EQ(expected, CALL("vmmcall"));
	/* A REX prefix means nothing to either. */
	GUEST_EQ(expected, CALL(".byte 0x48; vmcall"));
	GUEST_EQ(expected, CALL(".byte 0x48; vmmcall"));
}

static void guest_kernel(void)
{
	call_both(-ENOSYS_KVM);
	GUEST_DONE();
}

TEST(either_instruction_is_a_hypercall)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_kernel));
}

static void user_both(void)
{
	call_both(-EPERM_KVM);
}

static void guest_user(void)
{
	guest_call_user(user_both);
	GUEST_DONE();
}

TEST(neither_is_one_for_cpl_3)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_user));
}

/* ---- it is an instruction like others ---- */

static volatile u64 db_count, db_rip, db_flags;

static void on_db(struct guest_frame *frame)
{
	db_count++;
	db_rip = frame->rip;
	db_flags = frame->rflags;
	frame->rflags &= ~RFLAGS_TF;
}

/* The trap comes behind it, with the flags of an instruction that is done. */
#define STEP(insn) ({								\
	u64 after_;								\
	db_count = 0;								\
	GUEST_EQ(-ENOSYS_KVM, CALL("pushfq; orq $0x100, (%%rsp); popfq\n\t" insn));	\
	__asm__ volatile("leaq ., %0" : "=r"(after_));				\
	GUEST_EQ(1, db_count);							\
	GUEST_EQ(true, db_rip < after_ && db_rip + 128 > after_);		\
	GUEST_EQ(0, db_flags & RFLAGS_RF);					\
})

static void guest_step(void)
{
	guest_handlers[VEC_DB] = on_db;
	STEP("vmcall");
	STEP("vmmcall");
	GUEST_DONE();
}

TEST(a_single_step_ends_behind_either)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_step));
}

/* Its last byte, or its last two, on another page. */
static void call_at(u64 address)
{
	long result;

	__asm__ volatile("leaq 1f(%%rip), %%r8; jmp *%1\n1:"
			 : "=a"(result) : "r"(address), "0"(NO_SUCH_CALL), "b"(0), "c"(0), "d"(0),
			 "S"(0) : "r8", "memory", "cc");
	GUEST_EQ(-ENOSYS_KVM, result);
}

static void guest_crossing(void)
{
	for (int i = 1; i <= 4; i++)
		call_at(GUEST_DATA + i * 0x2000 - (i & 1) - 1);
	GUEST_DONE();
}

TEST(either_may_cross_a_page)
{
	struct vm *vm = vm_new();

	for (int i = 1; i <= 4; i++)
		memcpy(vm_ptr(vm, GUEST_DATA + i * 0x2000 - (i & 1) - 1),
		       i <= 2 ? "\x0f\x01\xc1\x41\xff\xe0" : "\x0f\x01\xd9\x41\xff\xe0", 6);
	vcpu_done(vcpu_new(vm, 0, guest_crossing));
}

/*
 * 32-bit protected mode without paging: EAX is the result, cut to 32 bits, and what comes
 * out of the port.
 */
TEST(either_is_one_in_32_bit_mode)
{
	static const u8 insns[2][3] = { { 0x0f, 0x01, 0xc1 }, { 0x0f, 0x01, 0xd9 } };
	static const u8 report[] = {
		0xba, 0xe0, 0x05, 0, 0,		/* mov edx, PORT_SYNC */
		0xef,				/* out dx, eax */
		0xeb, 0xfe,			/* jmp . */
	};

	for (int i = 0; i < 2; i++) {
		struct vm *vm = vm_new();
		struct vcpu *vcpu = vcpu_new_reset(vm, 0);
		u8 *code = vm_ptr(vm, GUEST_DATA);
		struct vmm_state state;
		u32 value = 0;

		memcpy(code, insns[i], 3);
		memcpy(code + 3, report, sizeof(report));
		vcpu_mode32(vcpu, GUEST_DATA);
		vcpu_get(vcpu, &state, VMM_STATE_REGS);
		state.regs.rax = 0xffffffff00000000 | NO_SUCH_CALL;
		vcpu_set(vcpu, &state, VMM_STATE_REGS);
		vcpu_exit(vcpu);
		if (!vcpu_synced(vcpu, &value))
			EXPECT_EQ_FOR(0, 1, "%d: %s", i, exit_text(vcpu));
		EXPECT_EQ_FOR((u32)-ENOSYS_KVM, value, "%d", i);
		vm_free(vm);
		vcpu_free(vcpu);
	}
}

/* ---- all else is #UD ---- */

static volatile u64 ud_count, ud_rip, ud_flags;

static void on_ud(struct guest_frame *frame)
{
	ud_count++;
	ud_rip = frame->rip;
	ud_flags = frame->rflags;
	frame->rip = guest_fixup;
	guest_fixup = 0;
}

#define UNDEFINED(insn) ({							\
	u64 at_;								\
	ud_count = 0;								\
	__asm__ volatile("movq $2f, guest_fixup; leaq 1f(%%rip), %0\n1:\t" insn "\n2:"	\
			 : "=&S"(at_) : "a"(NO_SUCH_CALL), "b"(0), "c"(0), "d"(0)	\
			 : "memory", "cc");					\
	GUEST_EQ(1, ud_count);							\
	GUEST_EQ(at_, ud_rip);							\
	GUEST_EQ(RFLAGS_RF, ud_flags & RFLAGS_RF);				\
})

static volatile bool on_amd;

static void undefined(void)
{
	UNDEFINED("ud2");
	/* With LOCK neither is one. QEMU takes the CPU's own nevertheless, for ever. */
	if (on_amd)
		UNDEFINED(".byte 0xf0; vmcall");
	else
		UNDEFINED(".byte 0xf0; vmmcall");
	UNDEFINED(".byte 0x0f, 0x01, 0xc5");		/* a neighbour: PCONFIG */
	UNDEFINED(".byte 0x0f, 0x01, 0xdf");		/* INVLPGA */
	UNDEFINED(".byte 0x0f, 0x0b, 0x0f, 0x01, 0xc1");	/* UD2 before one */
}

static void guest_undefined(void)
{
	guest_handlers[VEC_UD] = on_ud;
	on_amd = cpuid(0, 0).ecx == 0x444d4163;
	undefined();
	guest_call_user(undefined);
	GUEST_DONE();
}

TEST(all_else_is_undefined_once)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_undefined));
}

VMM_TEST_MAIN
