// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Instructions that guests do not have: all of AMD's and Intel's virtualization
 * and trusted-execution extensions, and MONITOR and MWAIT, are #UD at CPL 0 and at
 * CPL 3, in 64-bit and in 32-bit mode, and none of them does anything.
 */
#include "lib/test.h"

struct hidden {
	const char *name;
	u8 bytes[8];
	u8 length;
};

#define INSN(name_, ...) \
	{ .name = name_, .bytes = { __VA_ARGS__ }, .length = sizeof((u8[]){ __VA_ARGS__ }) }

static const struct hidden hidden[] = {
	INSN("vmrun", 0x0f, 0x01, 0xd8),
	INSN("vmload", 0x0f, 0x01, 0xda),
	INSN("vmsave", 0x0f, 0x01, 0xdb),
	INSN("stgi", 0x0f, 0x01, 0xdc),
	INSN("clgi", 0x0f, 0x01, 0xdd),
	INSN("skinit", 0x0f, 0x01, 0xde),
	INSN("invlpga", 0x0f, 0x01, 0xdf),
	INSN("vmxon", 0xf3, 0x0f, 0xc7, 0x36),
	INSN("vmclear", 0x66, 0x0f, 0xc7, 0x36),
	INSN("vmptrld", 0x0f, 0xc7, 0x36),
	INSN("vmptrst", 0x0f, 0xc7, 0x3e),
	INSN("vmread", 0x0f, 0x78, 0xc0),
	INSN("vmwrite", 0x0f, 0x79, 0xc0),
	INSN("vmlaunch", 0x0f, 0x01, 0xc2),
	INSN("vmresume", 0x0f, 0x01, 0xc3),
	INSN("vmxoff", 0x0f, 0x01, 0xc4),
	INSN("vmfunc", 0x0f, 0x01, 0xd4),
	INSN("invept", 0x66, 0x0f, 0x38, 0x80, 0x06),
	INSN("invvpid", 0x66, 0x0f, 0x38, 0x81, 0x06),
	INSN("getsec", 0x0f, 0x37),
	INSN("monitor", 0x0f, 0x01, 0xc8),
	INSN("mwait", 0x0f, 0x01, 0xc9),
	INSN("monitorx", 0x0f, 0x01, 0xfa),
	INSN("mwaitx", 0x0f, 0x01, 0xfb),
	INSN("encls", 0x0f, 0x01, 0xcf),
	INSN("pconfig", 0x0f, 0x01, 0xc5),
	INSN("rsm", 0x0f, 0xaa),
};

#define COUNT	(sizeof(hidden) / sizeof(hidden[0]))
#define CODE	GUEST_DATA
#define SLOT	16			/* bytes an instruction: it, then JMP *%r8 */

static volatile u64 got[COUNT], current;

/* Where the instruction would go on if it did not fault. */
static void try_at(u64 address)
{
	guest_fault.vector = NO_FAULT;
	__asm__ volatile("movq $1f, guest_fixup\n\t"
			 "leaq 1f, %%r8\n\t"
			 "jmp *%0\n"
			 "1:\tmovq $0, guest_fixup"
			 : : "r"(address), "a"(GUEST_DATA + 0x10000), "c"(0), "d"(0),
			 "S"(GUEST_DATA + 0x10000) : "r8", "rbx", "memory", "cc");
}

static void try_all(void)
{
	for (current = 0; current < COUNT; current++) {
		try_at(CODE + current * SLOT);
		got[current] = guest_fault.vector;
	}
}

static void guest_kernel(void)
{
	try_all();
	GUEST_DONE();
}

static void guest_user(void)
{
	guest_call_user(try_all);
	GUEST_DONE();
}

static struct vcpu *new_guest(void (*guest)(void))
{
	struct vm *vm = vm_new();
	u8 *code = vm_ptr(vm, CODE);

	for (u32 i = 0; i < COUNT; i++) {
		memcpy(code + i * SLOT, hidden[i].bytes, hidden[i].length);
		memcpy(code + i * SLOT + hidden[i].length, "\x41\xff\xe0", 3);
	}
	return vcpu_new(vm, 0, guest);
}

static void expect_ud(struct __test_metadata *_metadata, struct vcpu *vcpu)
{
	for (u32 i = 0; i < COUNT; i++)
		EXPECT_EQ_FOR(VEC_UD, guest_var(vcpu->vm, got[i]), "vector of %s", hidden[i].name);
}

TEST(undefined_at_cpl_0)
{
	struct vcpu *vcpu = new_guest(guest_kernel);

	vcpu_done(vcpu);
	expect_ud(_metadata, vcpu);
}

TEST(undefined_at_cpl_3)
{
	struct vcpu *vcpu = new_guest(guest_user);

	vcpu_done(vcpu);
	expect_ud(_metadata, vcpu);
}

/*
 * 32-bit protected mode: the IDT sends #UD to code that puts the instruction's
 * number out of a port; an instruction that is executed reports all ones.
 */
TEST(undefined_in_32_bit_mode)
{
	const u32 handler = GUEST_DATA + 0x8000, idt = GUEST_DATA + 0x9000;
	static const u8 report[] = {
		0x89, 0xd8,			/* mov eax, ebx */
		0xba, 0xe0, 0x05, 0, 0,		/* mov edx, PORT_SYNC */
		0xef,				/* out dx, eax */
		0xeb, 0xfe,			/* jmp . */
	};

	for (u32 i = 0; i < COUNT; i++) {
		struct vm *vm = vm_new();
		struct vcpu *vcpu = vcpu_new_reset(vm, 0);
		u32 *gate = vm_ptr(vm, idt + VEC_UD * 8), value = 0;
		u8 *code = vm_ptr(vm, GUEST_DATA);
		struct vmm_state state;

		gate[0] = SEL_CODE32 << 16 | (handler & 0xffff);
		gate[1] = (handler & 0xffff0000) | 0x8e00;
		memcpy(vm_ptr(vm, handler), report, sizeof(report));
		memcpy(code, hidden[i].bytes, hidden[i].length);
		memcpy(code + hidden[i].length, "\x31\xdb\x4b", 3);	/* xor ebx, ebx; dec ebx */
		memcpy(code + hidden[i].length + 3, report, sizeof(report));
		vcpu_mode32(vcpu, GUEST_DATA);
		vcpu_get(vcpu, &state, VMM_STATE_REGS | VMM_STATE_SEGS);
		state.segs.idt = (struct vmm_table){ .base = idt, .limit = 0xff };
		state.regs.rbx = 0x100 + i;
		state.regs.rax = GUEST_DATA + 0x10000;
		state.regs.rsi = GUEST_DATA + 0x10000;
		vcpu_set(vcpu, &state, VMM_STATE_REGS | VMM_STATE_SEGS);
		vcpu_exit(vcpu);
		if (!vcpu_synced(vcpu, &value))
			EXPECT_EQ_FOR(0, 1, "%s: %s", hidden[i].name, exit_text(vcpu));
		EXPECT_EQ_FOR(0x100 + i, value, "%s", hidden[i].name);
		vm_free(vm);
		vcpu_free(vcpu);
	}
}

static void guest_enable_svm(void)
{
	GUEST_EQ(VEC_GP, try_wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME));
	GUEST_EQ(VEC_GP, GUEST_TRY("movq %0, %%cr4", "r"(read_cr4() | X86_CR4_VMXE) : "memory"));
	GUEST_DONE();
}

TEST(the_extensions_cannot_be_switched_on)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_enable_svm));
}

static void guest_cache(void)
{
	__asm__ volatile("wbinvd" : : : "memory");
	GUEST_EQ(NO_FAULT, GUEST_TRY("invd", "a"(0) : "memory"));
	__asm__ volatile("pause; rep nop" : : : "memory");
	invlpg(GUEST_DATA);
	GUEST_DONE();
}

TEST(harmless_instructions_do_nothing)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_cache));
}

static void guest_rdpmc(void)
{
	u64 vector = GUEST_TRY("rdpmc", "c"(0x12345) : "eax", "edx", "memory");

	GUEST_EQ(VEC_GP, vector);
	GUEST_DONE();
}

TEST(rdpmc_without_counters_is_gp)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_rdpmc));
}

VMM_TEST_MAIN
