// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * RIP after an instruction that exits is right behind it, with every prefix that
 * it may carry and also where it ends on or crosses a page: on CPUs that give no
 * next RIP this is the kernel's decoder at work.
 */
#include "lib/test.h"

#define CODE	(GUEST_DATA + 0x1000)

struct encoding {
	const char *name;
	u8 bytes[15];
	u8 length;
};

#define INSN(name_, ...) \
	{ .name = name_, .bytes = { __VA_ARGS__ }, .length = sizeof((u8[]){ __VA_ARGS__ }) }

static const struct encoding encodings[] = {
	INSN("cpuid", 0x0f, 0xa2),
	INSN("rex.w cpuid", 0x48, 0x0f, 0xa2),
	INSN("66 cpuid", 0x66, 0x0f, 0xa2),
	INSN("f3 cpuid", 0xf3, 0x0f, 0xa2),
	INSN("67 2e 36 65 cpuid", 0x67, 0x2e, 0x36, 0x65, 0x0f, 0xa2),
	INSN("15-byte cpuid", 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
	     0x66, 0x66, 0x0f, 0xa2),
	INSN("rdmsr", 0x0f, 0x32),
	INSN("rex rdmsr", 0x4f, 0x0f, 0x32),
	INSN("f2 rdmsr", 0xf2, 0x0f, 0x32),
	INSN("wrmsr", 0x0f, 0x30),
	INSN("66 wrmsr", 0x66, 0x0f, 0x30),
	INSN("rdtsc", 0x0f, 0x31),
	INSN("wbinvd", 0x0f, 0x09),
	INSN("invd", 0x0f, 0x08),
	INSN("65 wbinvd", 0x65, 0x0f, 0x09),
	INSN("mov cr0, rax", 0x0f, 0x22, 0xc0),
	INSN("mov rax, cr0", 0x0f, 0x20, 0xc0),
	INSN("mov r8, cr4", 0x41, 0x0f, 0x20, 0xe0),
	INSN("mov rsi, cr8", 0x44, 0x0f, 0x20, 0xc6),
	INSN("lock mov rsi, cr0", 0xf0, 0x0f, 0x20, 0xc6),
	INSN("clts", 0x0f, 0x06),
	INSN("mov rsi, dr7", 0x0f, 0x21, 0xfe),
	INSN("mov rsi, dr0", 0x0f, 0x21, 0xc6),
	INSN("pause", 0xf3, 0x90),
	INSN("smsw eax", 0x0f, 0x01, 0xe0),
	INSN("invlpg [rsi]", 0x0f, 0x01, 0x3e),
	INSN("invlpg [rip+0]", 0x0f, 0x01, 0x3d, 0, 0, 0, 0),
	INSN("invlpg [rsi+rbx*4+0x11223344]", 0x0f, 0x01, 0xbc, 0x9e, 0x44, 0x33, 0x22, 0x11),
	INSN("out 0x80, al", 0xe6, 0x80),
	INSN("66 out 0x80, ax", 0x66, 0xe7, 0x80),
	INSN("rex.w out 0x80, eax", 0x48, 0xe7, 0x80),
	INSN("66 rex.w out dx, eax", 0x66, 0x48, 0xef),
	INSN("f3 out dx, al", 0xf3, 0xee),
	INSN("in al, dx", 0xec),
	INSN("2e in eax, 0x80", 0x2e, 0xe5, 0x80),
	INSN("movl [rsi], eax", 0x89, 0x06),
	INSN("movl [rsi+rbx*8+8], eax", 0x89, 0x44, 0xde, 0x08),
	INSN("movq [rsi+0x100], imm32", 0x48, 0xc7, 0x86, 0, 1, 0, 0, 1, 2, 3, 4),
	INSN("movw [rsi], imm16", 0x66, 0xc7, 0x06, 1, 2),
	INSN("addr32 movb [esi], imm8", 0x67, 0xc6, 0x06, 1),
	INSN("movzx eax, word [r9+0x10]", 0x41, 0x0f, 0xb7, 0x41, 0x10),
	INSN("ds movabs eax, [hole]", 0x3e, 0xa1, 0, 0, 0, 0x10, 0, 0, 0, 0),
};

/* Behind the instruction: UD2. Its address is what the test is about. */
static volatile u64 after;

static void on_ud(struct guest_frame *frame)
{
	after = frame->rip;
	GUEST_DONE();
}

static void guest_start(void)
{
	guest_handlers[VEC_UD] = on_ud;
	/* The lock prefix on MOV CR is #UD but where AMD's alternative CR8 says so. */
	GUEST_SYNC(1);
}

static void run_one(struct __test_metadata *_metadata, struct vcpu *vcpu,
		    const struct encoding *e, u64 at)
{
	struct vm *vm = vcpu->vm;
	struct vmm_state state;
	u64 want = at + e->length;
	u32 value, exits = 0;

	vcpu_restart(vcpu, guest_start);
	guest_var(vm, after) = 0;
	memset(vm_ptr(vm, CODE - 64), 0xcc, 0x2000);
	memcpy(vm_ptr(vm, at), e->bytes, e->length);
	memcpy(vm_ptr(vm, want), "\x0f\x0b", 2);
	vcpu_sync(vcpu, 1);
	vcpu_get(vcpu, &state, VMM_STATE_REGS | VMM_STATE_CTRL);
	memset(state.regs.gpr, 0, sizeof(state.regs.gpr));
	state.regs.rip = at;
	state.regs.rsp = GUEST_STACK(0);
	state.regs.rax = state.ctrl.cr0;		/* for MOV to CR0 */
	state.regs.rcx = MSR_SYSENTER_CS;
	state.regs.rdx = 0;
	state.regs.rsi = GUEST_HOLE;
	state.regs.r9 = GUEST_HOLE;
	state.regs.rflags = RFLAGS_FIXED;
	vcpu_set(vcpu, &state, VMM_STATE_REGS);
	while (vcpu_exit(vcpu) == VMM_EXIT_PIO || vcpu->run->exit_reason == VMM_EXIT_MMIO) {
		if (vcpu_synced(vcpu, &value))
			break;
		EXPECT_EQ_FOR(want, vcpu->run->rip, "exit of %s at %#lx", e->name, at);
		if (exits++)
			break;
	}
	EXPECT_EQ_FOR(true, vcpu_synced(vcpu, &value), "%s at %#lx: %s", e->name, at,
		      exit_text(vcpu));
	/* AMD: LOCK makes it CR8, Intel: #UD at the instruction itself. */
	if (e->bytes[0] == 0xf0 && guest_var(vm, after) == at)
		want = at;
	EXPECT_EQ_FOR(want, guest_var(vm, after), "RIP behind %s at %#lx", e->name, at);
}

TEST(rip_is_behind_every_encoding)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_start);

	for (u32 i = 0; i < ARRAY_SIZE(encodings); i++)
		run_one(_metadata, vcpu, &encodings[i], CODE + 0x100);
}

TEST(rip_is_right_when_the_instruction_ends_at_a_page_end)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_start);

	for (u32 i = 0; i < ARRAY_SIZE(encodings); i++)
		run_one(_metadata, vcpu, &encodings[i], CODE + 0x1000 - encodings[i].length);
}

TEST_TIMEOUT(rip_is_right_when_the_instruction_crosses_a_page, 60)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_start);

	for (u32 i = 0; i < ARRAY_SIZE(encodings); i++)
		for (u32 n = 1; n < encodings[i].length; n += n > 3 ? 4 : 1)
			run_one(_metadata, vcpu, &encodings[i], CODE + 0x1000 - n);
}

/* The last instruction before memory that is not there. */
static void guest_at_the_end(void)
{
	guest_handlers[VEC_UD] = on_ud;
	GUEST_SYNC(1);
}

TEST(the_fetch_stops_at_the_end_of_memory)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_at_the_end);
	struct vmm_state state;
	const u64 at = GUEST_MEM_SIZE - 2;

	memcpy(vm_ptr(vm, at), "\x0f\xa2", 2);	/* CPUID, then nothing */
	vcpu_sync(vcpu, 1);
	vcpu_get(vcpu, &state, VMM_STATE_REGS);
	state.regs.rip = at;
	vcpu_set(vcpu, &state, VMM_STATE_REGS);
	vcpu_expect(vcpu, VMM_EXIT_MEMORY);	/* the fetch behind it */
	EXPECT_EQ(GUEST_MEM_SIZE, vcpu->run->rip);
}

/* ---- 32-bit and 16-bit code ---- */

static const struct encoding legacy[] = {
	INSN("cpuid", 0x0f, 0xa2),
	INSN("66 cpuid", 0x66, 0x0f, 0xa2),
	INSN("rdmsr", 0x0f, 0x32),
	INSN("67 66 rdmsr", 0x67, 0x66, 0x0f, 0x32),
	INSN("wbinvd", 0x0f, 0x09),
	INSN("mov eax, cr0", 0x0f, 0x20, 0xc0),
	INSN("out 0x80, al", 0xe6, 0x80),
	INSN("66 out dx, ax", 0x66, 0xef),
	INSN("in al, 0x80", 0xe4, 0x80),
};

static void run_legacy(struct __test_metadata *_metadata, bool real)
{
	for (u32 i = 0; i < ARRAY_SIZE(legacy); i++) {
		struct vm *vm = vm_new();
		struct vcpu *vcpu = vcpu_new_reset(vm, 0);
		struct vmm_state state;
		const u32 at = real ? 0x3000 : GUEST_DATA;
		u32 exits = 0;

		memcpy(vm_ptr(vm, at), legacy[i].bytes, legacy[i].length);
		/* out 0x99, al; jmp . */
		memcpy(vm_ptr(vm, at + legacy[i].length), "\xe6\x99\xeb\xfe", 4);
		if (real)
			vcpu_mode16(vcpu, at);
		else
			vcpu_mode32(vcpu, at);
		vcpu_get(vcpu, &state, VMM_STATE_REGS);
		state.regs.rcx = MSR_SYSENTER_CS;
		vcpu_set(vcpu, &state, VMM_STATE_REGS);
		do {
			vcpu_expect(vcpu, VMM_EXIT_PIO);
		} while (vcpu->run->pio.port != 0x99 && !exits++);
		EXPECT_EQ_FOR(0x99, vcpu->run->pio.port, "%s", legacy[i].name);
		EXPECT_EQ_FOR(at + legacy[i].length + 2, vcpu->run->rip, "behind %s",
			      legacy[i].name);
		vm_free(vm);
		vcpu_free(vcpu);
	}
}

TEST(rip_is_right_in_32_bit_mode)
{
	run_legacy(_metadata, false);
}

TEST(rip_is_right_in_real_mode)
{
	if (!(get_info().features & VMM_FEATURE_REAL_MODE))
		SKIP(return, "this CPU cannot run real mode");
	run_legacy(_metadata, true);
}

VMM_TEST_MAIN
