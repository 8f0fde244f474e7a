// SPDX-License-Identifier: GPL-2.0-or-later
/* unit-sources: ../lib/emul_*.c */
/* unit-flags: -fno-strict-aliasing */
/* unit-libs: -lZydis */
/*
 * What an instruction does when it cannot be done: page faults, segment checks in
 * every mode, alignment, single steps, instructions that are not known, and code
 * that has to be fetched. After each the registers are what the CPU would leave.
 */
#include <inttypes.h>

#include "emulate_world.h"

static void page_faults(void)
{
	world_reset(LONG64);
	world.kind[2] = ABSENT;
	world.ctx.regs.rbx = PAGE_AT(2) + 5;
	world.ctx.regs.rax = 77;
	is(step(0x8b, 0x03), EMUL_FAULT, "mov eax, [absent] faults");
	is_exception(14, ERROR_BASE + VMM_ACCESS_READ, "it is a page fault with the walk's error");
	is(world.ctx.cr2, PAGE_AT(2) + 5, "CR2 is the address");
	ok(world.ctx.cr2_set, "CR2 is marked as changed");
	is(world.ctx.regs.rax, 77, "the register is as before");
	is(world.ctx.regs.rip, PAGE_AT(0), "RIP is at the instruction");

	world_reset(LONG64);
	world.kind[2] = READONLY;
	world.ctx.regs.rbx = PAGE_AT(2);
	is(step(0x01, 0x03), EMUL_FAULT, "add [readonly], eax faults");
	is_exception(14, ERROR_BASE + VMM_ACCESS_WRITE, "a read-modify-write faults as a write");
	is(step(0x39, 0x03), EMUL_OK, "cmp [readonly], eax does not");

	world_reset(LONG64);
	world_user();
	world.kind[2] = ABSENT;
	world.ctx.regs.rbx = PAGE_AT(2);
	step(0x8b, 0x03);
	is_exception(14, ERROR_BASE + VMM_ACCESS_READ + VMM_ACCESS_USER,
		     "at CPL 3 the walk is a user's");

	world_reset(LONG64);
	world.kind[3] = ABSENT;
	world.ctx.regs.rbx = PAGE_AT(3) - 3;
	world.ctx.regs.rax = UINT64_MAX;
	is(step(0x48, 0x89, 0x03), EMUL_FAULT, "a write that runs into an absent page faults");
	is(world.ctx.cr2, PAGE_AT(3), "CR2 is the start of the absent page");
	is(world.memory[3 * EMUL_PAGE_SIZE - 1], 0, "and the first page is not written");
}

/* One operand is a device's, the other absent. */
static void device_and_absent(uint64_t rbx, uint64_t rsp)
{
	world_reset(LONG64);
	world.kind[2] = DEVICE;
	world.kind[5] = ABSENT;
	world.ctx.regs.rbx = rbx;
	world.ctx.regs.rsp = rsp;
}

static void faults_before_devices(void)
{
	device_and_absent(PAGE_AT(2), PAGE_AT(6));
	is(step(0xff, 0x33), EMUL_FAULT, "push [device] on an absent stack faults");
	is(world.ctx.regs.rsp, PAGE_AT(6), "the stack pointer is as before");
	is(world.logged, 0, "and the device was not read");
	is(step(0xff, 0x13), EMUL_FAULT, "so does call [device]");
	is(world.logged, 0, "which does not read it either");

	device_and_absent(PAGE_AT(5), PAGE_AT(2));
	is(step(0x8f, 0x03), EMUL_FAULT, "pop [absent] from a stack on a device faults");
	is(world.logged, 0, "nor is the device read for it");
}

/* RF is for one instruction, a RET like others. */
static void resume_flag(void)
{
	world_reset(LONG64);
	world.ctx.regs.rflags |= EMUL_RF;
	is(step(0xc3), EMUL_OK, "ret with RF set");
	is(world.ctx.regs.rflags & EMUL_RF, 0, "clears it");
}

/* VEX is for protected mode, whatever XCR0 has. */
static void vector_prefix(void)
{
	world_reset(REAL16);
	world.ctx.whole = true;
	world.ctx.ctrl.cr4 |= EMUL_CR4_OSXSAVE;
	world.ctx.ctrl.xcr0 = EMUL_XCR0_AVX | 1;
	is(step(0xc5, 0xf8, 0x10, 0x00), EMUL_FAULT, "vmovups x, m faults in real mode");
	is_exception(6, -1, "as an invalid opcode");
}

/* Fifteen bytes are the most, whatever prefixes they are. */
static void length_limit(void)
{
	world_reset(LONG64);
	world.ctx.whole = true;
	memset(world.memory, 0x3e, EMUL_MAX_INSN - 1);
	world.memory[EMUL_MAX_INSN - 1] = 0x90;
	is(emul_step(&world.ctx), EMUL_OK, "an instruction of 15 bytes is one");
	is(world.ctx.regs.rip, PAGE_AT(0) + EMUL_MAX_INSN, "and is passed");

	world_reset(LONG64);
	world.ctx.whole = true;
	memset(world.memory, 0x3e, EMUL_MAX_INSN);
	world.memory[EMUL_MAX_INSN] = 0x90;
	is(emul_step(&world.ctx), EMUL_FAULT, "one of 16 bytes is none");
	is_exception(13, 0, "it is a general protection fault");
}

static void repeated_faults(void)
{
	world_reset(LONG64);
	world.kind[3] = ABSENT;
	world.ctx.regs.rsi = PAGE_AT(1);
	world.ctx.regs.rdi = PAGE_AT(3) - 10;
	world.ctx.regs.rcx = 100;
	memset(world.memory + EMUL_PAGE_SIZE, 0xab, 100);
	is(step(0xf3, 0xa4), EMUL_FAULT, "rep movsb into an absent page faults");
	is(world.ctx.regs.rcx, 90, "RCX counts what was done");
	is(world.ctx.regs.rsi, PAGE_AT(1) + 10, "RSI is at the next element");
	is(world.ctx.regs.rdi, PAGE_AT(3), "RDI is at the absent page");
	is(world.ctx.regs.rip, PAGE_AT(0), "RIP is at the instruction");
	is(world.memory[3 * EMUL_PAGE_SIZE - 1], 0xab, "what was done is in memory");
	is_exception(14, ERROR_BASE + VMM_ACCESS_WRITE, "it is a page fault");

	world_reset(LONG64);
	world.ctx.regs.rsi = PAGE_AT(1);
	world.ctx.regs.rdi = PAGE_AT(2);
	world.ctx.regs.rcx = 2 * EMUL_MAX_REP + 1;
	is(step(0xf3, 0xa4), EMUL_PARTIAL, "a long rep movsb is cut");
	is(world.ctx.regs.rcx, EMUL_MAX_REP + 1, "after EMUL_MAX_REP elements");
	is(world.ctx.regs.rip, PAGE_AT(0), "RIP stays");
	is(step(0xf3, 0xa4), EMUL_PARTIAL, "and again");
	is(step(0xf3, 0xa4), EMUL_OK, "and comes to its end");
	is(world.ctx.regs.rip, PAGE_AT(0) + 2, "RIP is past it");
	is(world.ctx.regs.rcx, 0, "RCX is 0");

	world_reset(LONG64);
	is(step(0xf3, 0xa4), EMUL_OK, "rep movsb with RCX 0 touches nothing");
	is(world.ctx.regs.rip, PAGE_AT(0) + 2, "and is done");
}

static void races(void)
{
	world_reset(LONG64);
	world.kind[2] = CONTENDED;
	world.ctx.regs.rbx = PAGE_AT(2);
	world.ctx.regs.rcx = 1;
	is(step(0xf0, 0x0f, 0xc1, 0x0b), EMUL_PARTIAL,
	   "lock xadd that loses the race is entered again");
	is(world.ctx.regs.rcx, 1, "nothing changed");
	is(world.ctx.regs.rip, PAGE_AT(0), "RIP stays");
	is(world.ctx.regs.rflags, 2, "the flags stay");
	is(world.ctx.event.type, VMM_EVENT_NONE, "no exception");

	world_reset(LONG64);
	world.kind[2] = SHIFTING;
	world.ctx.regs.rbx = PAGE_AT(2);
	is(step(0x8b, 0x03), EMUL_PARTIAL, "tables that change under the walk: entered again");
}

static void long_mode_addresses(void)
{
	world_reset(LONG64);
	world.ctx.regs.rbx = 0x0000800000000000;
	is(step(0x8b, 0x03), EMUL_FAULT, "a non-canonical address faults");
	is_exception(13, 0, "as #GP(0)");
	ok(!world.ctx.cr2_set, "CR2 is not touched");

	world_reset(LONG64);
	world.ctx.regs.rbx = 0x00007ffffffffffd;
	step(0x8b, 0x03);
	is_exception(13, 0, "an operand that ends above the hole is #GP(0)");

	world_reset(LONG64);
	world.ctx.regs.rbp = 0x0000800000000000;
	step(0x8b, 0x45, 0x00);
	is_exception(12, 0, "through RBP it is #SS(0)");

	world_reset(LONG64);
	world.ctx.ctrl.cr4 |= EMUL_CR4_LA57;
	world.ctx.regs.rbx = 0x0000800000000000;
	step(0x8b, 0x03);
	is_exception(14, ERROR_BASE + VMM_ACCESS_READ, "with 57 bits it is canonical");

	world_reset(LONG64);
	world.ctx.segs.seg[VMM_GS].base = PAGE_AT(1);
	world.ctx.segs.seg[VMM_DS].base = 0x5000;
	world.memory[EMUL_PAGE_SIZE + 8] = 0x5a;
	world.ctx.regs.rbx = 8;
	is(step(0x65, 0x8a, 0x03), EMUL_OK, "mov al, gs:[8]");
	is(world.ctx.regs.rax, 0x5a, "GS has a base");
	world.ctx.regs.rbx = PAGE_AT(1) + 8;
	world.ctx.regs.rax = 0;
	is(step(0x3e, 0x8a, 0x03), EMUL_OK, "mov al, ds:[...]");
	is(world.ctx.regs.rax, 0x5a, "DS has none");
}

static void segments(void)
{
	unsigned int data = VMM_SEG_P | VMM_SEG_S | VMM_SEG_DB;

	world_reset(PROTECTED32);
	world_segment(VMM_DS, BASE, 0xfff, data | 2);
	world.memory[0xfff] = 0x42;
	world.ctx.regs.rbx = 0xfff;
	is(step(0x8a, 0x03), EMUL_OK, "the last byte of a segment can be read");
	is(world.ctx.regs.rax, 0x42, "its base is added");
	step(0x66, 0x8b, 0x03);
	is_exception(13, 0, "a word there is #GP(0)");

	world_reset(PROTECTED32);
	world_segment(VMM_DS, 0, UINT32_MAX, data | 0);
	world.ctx.regs.rbx = PAGE_AT(1);
	is(step(0x8b, 0x03), EMUL_OK, "a read-only segment can be read");
	step(0x89, 0x03);
	is_exception(13, 0, "not written: #GP(0)");

	world_reset(PROTECTED32);
	world.ctx.segs.seg[VMM_ES].attr |= VMM_SEG_UNUSABLE;
	world.ctx.regs.rbx = PAGE_AT(1);
	step(0x26, 0x8b, 0x03);
	is_exception(13, 0, "a null selector is #GP(0)");

	world_reset(PROTECTED32);
	world_segment(VMM_DS, 0, UINT32_MAX, VMM_SEG_P | VMM_SEG_S | VMM_SEG_DB | 9);
	world.ctx.regs.rbx = PAGE_AT(1);
	step(0x8b, 0x03);
	is_exception(13, 0, "code that may only be executed is #GP(0)");

	world_reset(PROTECTED32);
	world_segment(VMM_SS, BASE, 0xfff, data | 7);
	world.ctx.regs.rbp = 0x1000;
	is(step(0x8b, 0x45, 0x00), EMUL_OK, "above the limit of a segment that expands down");
	world.ctx.regs.rbp = 0xffe;
	step(0x8b, 0x45, 0x00);
	is_exception(12, 0, "below it is #SS(0)");

	world_reset(PROTECTED16);
	world.ctx.regs.rbx = 0xfffe;
	world.ctx.regs.rsi = 0x1003;
	world.memory[0x1001] = 0x99;
	is(step(0x8a, 0x00), EMUL_OK, "mov al, [bx+si] wraps at 64K");
	is(world.ctx.regs.rax, 0x99, "to the start of the segment");

	world_reset(REAL16);
	world.ctx.regs.rbx = 0xffff;
	is(step(0x8b, 0x07), EMUL_FAULT, "a word at 0xffff in real mode faults");
	is_exception(13, -1, "as #GP without an error code");

	world_reset(PROTECTED32);
	world.ctx.regs.rip = 0xfffffffffull;
	world.ctx.regs.rip = 0x2000;
	world_segment(VMM_CS, BASE, 0x2000, VMM_SEG_P | VMM_SEG_S | VMM_SEG_DB | 0xb);
	world.memory[0x2000] = 0x8b;
	is(emul_step(&world.ctx), EMUL_FAULT, "code beyond the limit faults");
	is_exception(13, 0, "as #GP(0)");
}

static void alignment(void)
{
	world_reset(LONG64);
	world_user();
	world.ctx.ctrl.cr0 |= EMUL_CR0_AM;
	world.ctx.regs.rflags |= EMUL_AC;
	world.ctx.regs.rbx = PAGE_AT(1) + 2;
	step(0x8b, 0x03);
	is_exception(17, 0, "a misaligned access of a user who asked is #AC(0)");
	is(step(0x66, 0x8b, 0x03), EMUL_OK, "an aligned one is not");
	world.ctx.regs.rbx = PAGE_AT(1) + 8;
	is(step(0xff, 0x2b), EMUL_FAULT, "ljmp [rbx], a far pointer of 6 bytes");
	ok(world.ctx.event.vector != 17, "is aligned as its offset is");
	world.ctx.regs.rbx = PAGE_AT(1) + 6;
	is(step(0xff, 0x2b), EMUL_FAULT, "ljmp [rbx]");
	is_exception(17, 0, "is #AC(0) where it is not");

	world_reset(LONG64);
	world.ctx.regs.rbx = PAGE_AT(1) + 8;
	step(0x0f, 0x28, 0x03);
	is_exception(13, 0, "movaps at a multiple of 8 is #GP(0)");
	is(step(0x0f, 0x10, 0x03), EMUL_OK, "movups is not");
	step(0xf0, 0x48, 0x0f, 0xc7, 0x0b);
	is_exception(13, 0, "cmpxchg16b at a multiple of 8 is #GP(0)");
	world.ctx.ctrl.cr0 |= EMUL_CR0_TS;
	step(0x0f, 0x10, 0x03);
	is_exception(7, -1, "movups with TS is #NM");
	world.ctx.ctrl.cr0 |= EMUL_CR0_EM;
	step(0x0f, 0x10, 0x03);
	is_exception(6, -1, "with EM #UD");
}

/* What counts is the linear address. */
static void aligned_vectors(void)
{
	world_reset(LONG64);
	world.ctx.segs.seg[VMM_FS].base = PAGE_AT(1) + 8;
	world.ctx.regs.rbx = 8;
	is(step(0x64, 0x0f, 0x28, 0x03), EMUL_OK, "movaps from an odd offset in an odd segment");
	world.ctx.regs.rbx = 16;
	is(step(0x64, 0x0f, 0x28, 0x03), EMUL_FAULT, "and from one that only seems aligned");
	is_exception(13, 0, "is #GP(0)");
}

static void avx(void)
{
	world_reset(LONG64);
	world.ctx.regs.rbx = PAGE_AT(1) + 16;
	memset(world.vector, 0xaa, sizeof(world.vector));
	step(0xc5, 0xfc, 0x10, 0x03);
	is_exception(6, -1, "vmovups without OSXSAVE is #UD");
	world.ctx.ctrl.cr4 |= EMUL_CR4_OSXSAVE;
	world.ctx.ctrl.xcr0 = 3;
	step(0xc5, 0xfc, 0x10, 0x03);
	is_exception(6, -1, "so it is without AVX in XCR0");
	world.ctx.ctrl.xcr0 = 7;
	is(step(0xc5, 0xfc, 0x10, 0x03), EMUL_OK, "with both it is done");
	step(0xc5, 0xfc, 0x28, 0x03);
	is_exception(13, 0, "vmovaps of 32 bytes at a multiple of 16 is #GP(0)");
	is(step(0xc5, 0xf8, 0x28, 0x0b), EMUL_OK, "of 16 bytes it is not");
	is(world.vector[1][31], 0, "and clears the upper half");
	is(step(0x0f, 0x28, 0x13), EMUL_OK, "movaps");
	is(world.vector[2][31], 0xaa, "does not");
	world.ctx.ctrl.cr0 |= EMUL_CR0_TS;
	step(0xc5, 0xfc, 0x10, 0x03);
	is_exception(7, -1, "with TS it is #NM");
}

static void single_steps(void)
{
	world_reset(LONG64);
	world.ctx.regs.rflags |= EMUL_TF | EMUL_RF;
	world.ctx.regs.rbx = PAGE_AT(1);
	is(step(0x8b, 0x03), EMUL_OK, "an instruction with TF");
	is(world.ctx.event.vector, 1, "is followed by #DB");
	ok(world.ctx.single_step, "with BS");
	is(world.ctx.regs.rip, PAGE_AT(0) + 2, "after it");
	is(world.ctx.regs.rflags & EMUL_RF, 0, "RF is clear");

	world_reset(LONG64);
	world.ctx.regs.rflags |= EMUL_TF;
	world.ctx.regs.rsi = PAGE_AT(1);
	world.ctx.regs.rdi = PAGE_AT(2);
	world.ctx.regs.rcx = 2;
	is(step(0xf3, 0xa4), EMUL_PARTIAL, "rep movsb with TF does one element");
	is(world.ctx.event.vector, 1, "and traps");
	is(world.ctx.regs.rcx, 1, "with one left");
	world.ctx.event.type = VMM_EVENT_NONE;
	is(step(0xf3, 0xa4), EMUL_OK, "the last element ends it");
	is(world.ctx.event.type, VMM_EVENT_EXCEPTION, "and traps as well");

	world_reset(LONG64);
	world.ctx.regs.rflags |= EMUL_TF;
	world.kind[2] = ABSENT;
	world.ctx.regs.rbx = PAGE_AT(2);
	step(0x8b, 0x03);
	ok(world.ctx.event.vector == 14 && !world.ctx.single_step, "a fault goes before the trap");
}

static void fetching(void)
{
	static const uint8_t mov[] = { 0x48, 0xc7, 0x03, 0x78, 0x56, 0x34, 0x12 };
	unsigned int known;

	for (known = 0; known <= 5; known += 5) {
		world_reset(LONG64);
		world.ctx.regs.rip = PAGE_AT(1) - 5;
		world.ctx.regs.rbx = PAGE_AT(2);
		memcpy(world.memory + EMUL_PAGE_SIZE - 5, mov, sizeof(mov));
		memcpy(world.ctx.bytes, mov, known);
		world.ctx.length = known;
		is(emul_step(&world.ctx), EMUL_OK, "code across a page, %u bytes known", known);
		is(world.memory[2 * EMUL_PAGE_SIZE + 3], 0x12, "all of it was used");
		is(world.ctx.regs.rip, PAGE_AT(1) + 2, "RIP is past it");
		is(world.asked[1], VMM_ACCESS_EXEC, "it was fetched for execution");
	}

	world_reset(LONG64);
	world.kind[1] = ABSENT;
	world.ctx.regs.rip = PAGE_AT(1) - 5;
	memcpy(world.memory + EMUL_PAGE_SIZE - 5, mov, 5);
	is(emul_step(&world.ctx), EMUL_FAULT, "code that runs into an absent page faults");
	is_exception(14, ERROR_BASE + VMM_ACCESS_EXEC, "as a fetch");
	is(world.ctx.cr2, PAGE_AT(1), "at the page's start");
	is(world.ctx.regs.rip, PAGE_AT(1) - 5, "RIP stays");

	world_reset(LONG64);
	world.kind[0] = DEVICE;
	is(emul_step(&world.ctx), EMUL_UNSUPPORTED, "code in a device is not executed");
}

static void unknown(void)
{
	struct vmm_regs before;

	world_reset(LONG64);
	world.ctx.regs.rbx = PAGE_AT(1);
	before = world.ctx.regs;
	is(step(0x0f, 0xa2), EMUL_KERNEL, "cpuid is the kernel's");
	is(step(0x0f, 0x21, 0xc0), EMUL_KERNEL, "so is mov rax, dr0");
	is(step(0x0f, 0xae, 0x13), EMUL_UNSUPPORTED, "ldmxcsr is not emulated");
	is(step(0x48, 0xcf), EMUL_UNSUPPORTED, "iretq is not");
	is(step(0x62, 0xf1, 0x7f, 0x08, 0x6f, 0x03), EMUL_UNSUPPORTED, "vmovdqu8 is not");
	is(step(0x0f, 0xfc, 0x03), EMUL_UNSUPPORTED, "paddb mm0, [m] is not");
	is(step(0xf2, 0x0f, 0xc2, 0x03, 0x01), EMUL_UNSUPPORTED, "cmpsd of doubles is not");
	is(step(0xf0, 0x8b, 0x03), EMUL_UNSUPPORTED, "lock mov is no instruction");
	is(step(0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
		0x66, 0x8b), EMUL_UNSUPPORTED, "nor are sixteen bytes");
	ok(!memcmp(&before, &world.ctx.regs, sizeof(before)), "no register changed");
	is(world.ctx.event.type, VMM_EVENT_NONE, "no exception was made");
	is(world.logged, 0, "no device was touched");
}

static void stacks(void)
{
	world_reset(PROTECTED16);
	world.ctx.regs.rsp = 0xabcd0002;
	world.ctx.regs.rbx = 0x100;
	world.memory[0x100] = 0x34;
	world.memory[0x101] = 0x12;
	is(step(0xff, 0x37), EMUL_OK, "push word [bx] on a 16-bit stack");
	is(world.ctx.regs.rsp, 0xabcd0000, "moves SP alone");
	is(world.memory[0] | world.memory[1] << 8, 0x1234, "and writes there");
	world.ctx.regs.rsp = 0xabcd0000;
	is(step(0xff, 0x37), EMUL_OK, "at SP 0");
	is(world.ctx.regs.rsp, 0xabcdfffe, "SP wraps");

	world_reset(PROTECTED32);
	world.ctx.regs.rbx = PAGE_AT(1);
	world.ctx.regs.rsp = PAGE_AT(2);
	is(step(0xff, 0x33), EMUL_OK, "push dword [ebx]");
	is(world.ctx.regs.rsp, PAGE_AT(2) - 4, "takes four bytes");

	world_reset(LONG64);
	world.ctx.regs.rsp = PAGE_AT(2);
	world.memory[2 * EMUL_PAGE_SIZE] = 0x77;
	is(step(0x8f, 0x44, 0x24, 0x08), EMUL_OK, "pop [rsp+8]");
	is(world.memory[2 * EMUL_PAGE_SIZE + 16], 0x77, "uses RSP after the pop");

	world_reset(LONG64);
	world.kind[1] = ABSENT;
	world.ctx.regs.rsp = PAGE_AT(2);
	world.ctx.regs.rbx = PAGE_AT(1);
	is(step(0x8f, 0x03), EMUL_FAULT, "pop [absent] faults");
	is(world.ctx.regs.rsp, PAGE_AT(2), "and leaves RSP");
}

/* A descriptor of 16 bytes at @selector in a table at page 2, the selector at page 1 */
static void system_descriptor(uint16_t selector, uint64_t low, uint64_t high)
{
	world_reset(LONG64);
	world.ctx.segs.gdt = (struct vmm_table) { .base = PAGE_AT(2), .limit = 0x3f };
	world.ctx.regs.rbx = PAGE_AT(1);
	memcpy(&world.memory[EMUL_PAGE_SIZE], &selector, sizeof(selector));
	memcpy(&world.memory[2 * EMUL_PAGE_SIZE + (selector & 0x38)], &low, sizeof(low));
	memcpy(&world.memory[2 * EMUL_PAGE_SIZE + (selector & 0x38) + 8], &high, sizeof(high));
}

#define LTR	0x0f, 0x00, 0x1b
#define LLDT	0x0f, 0x00, 0x13
#define TSS64	0x1200893456780067
#define LDT64	0x1200823456780fff
#define UPPER	0xffff8000

static void refused(uint64_t low, uint64_t high, unsigned int vector, const char *claim)
{
	system_descriptor(0x10, low, high);
	is(step(LTR), EMUL_FAULT, "ltr [rbx] is refused");
	is_exception(vector, 0x10, claim);
	is(world.ctx.segs.seg[VMM_TR].selector, 0, "and nothing is loaded");
	ok(!memcmp(&world.memory[2 * EMUL_PAGE_SIZE + 0x10], &low, sizeof(low)),
	   "nor marked in the table");
}

static void system_segments(void)
{
	system_descriptor(0x10, TSS64, UPPER);
	is(step(LTR), EMUL_OK, "ltr [rbx] in 64-bit mode");
	is(world.ctx.segs.seg[VMM_TR].base, 0xffff800012345678, "has 64 bits of base");
	is(world.ctx.segs.seg[VMM_TR].limit, 0x67, "the limit");
	is(world.ctx.segs.seg[VMM_TR].attr, 0x8b, "and is busy");
	is(world.memory[2 * EMUL_PAGE_SIZE + 0x15], 0x8b, "in the table too");
	is(step(LTR), EMUL_FAULT, "again is refused");
	is_exception(EMUL_VECTOR_GP, 0x10, "it is busy: #GP(selector)");
	system_descriptor(0x10, LDT64, UPPER);
	is(step(LLDT), EMUL_OK, "lldt [rbx] in 64-bit mode");
	is(world.ctx.segs.seg[VMM_LDTR].base, 0xffff800012345678, "has 64 bits of base");

	refused(TSS64 & ~(8ull << 40), UPPER, EMUL_VECTOR_GP, "a TSS of 16 bits: #GP(selector)");
	refused(TSS64 & ~(0x80ull << 40), UPPER, EMUL_VECTOR_NP, "absent: #NP(selector)");
	refused(TSS64, 0x7fff8000, EMUL_VECTOR_GP, "no canonical base: #GP(selector)");
	refused(TSS64, 1ull << 40 | UPPER, EMUL_VECTOR_GP, "a type above: #GP(selector)");
	system_descriptor(0x30, TSS64, UPPER);
	is(step(LTR), EMUL_OK, "the last 16 bytes of the table");
	system_descriptor(0x30, TSS64, UPPER);
	world.ctx.segs.gdt.limit--;
	is(step(LTR), EMUL_FAULT, "one byte too many");
	is_exception(EMUL_VECTOR_GP, 0x30, "#GP(selector)");
	system_descriptor(0x10, TSS64, UPPER);
	world.ctx.segs.seg[VMM_CS].attr ^= VMM_SEG_L | VMM_SEG_DB;
	is(step(LTR), EMUL_UNSUPPORTED, "ltr [ebx] in compatibility mode");
}

int main(void)
{
	page_faults();
	faults_before_devices();
	resume_flag();
	vector_prefix();
	length_limit();
	repeated_faults();
	races();
	long_mode_addresses();
	segments();
	alignment();
	aligned_vectors();
	avx();
	single_steps();
	fetching();
	unknown();
	stacks();
	system_segments();
	return tap_end();
}
