// SPDX-License-Identifier: GPL-2.0-or-later
/* unit-sources: ../lib/emul_*.c */
/* unit-flags: -fno-strict-aliasing */
/* unit-libs: -lZydis */
/*
 * What devices see: string port I/O in every mode with the rights to it, and memory
 * accesses in pieces that are naturally aligned, in order, once each.
 */
#include <inttypes.h>

#include "emulate_world.h"

static void ins(void)
{
	static const struct {
		const char *name;
		unsigned int size;
		uint8_t insn[3], len;
	} forms[] = {
		{ "insb", 1, { 0x6c }, 1 }, { "insw", 2, { 0x66, 0x6d }, 2 },
		{ "insd", 4, { 0x6d }, 1 }, { "insd with REX.W", 4, { 0x48, 0x6d }, 2 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(forms); i++) {
		uint64_t mask = emul_mask(forms[i].size), val = 0;

		world_reset(LONG64);
		world.ctx.regs.rdi = PAGE_AT(1) + 0x10;
		world.ctx.regs.rdx = 0xfff0170;
		memcpy(world.ctx.bytes, forms[i].insn, forms[i].len);
		world.ctx.length = forms[i].len;
		is(emul_step(&world.ctx), EMUL_OK, "%s", forms[i].name);
		is_access(0, true, false, forms[i].size, 0x170, 0x1122334455667788 & mask,
			  "reads the port once");
		memcpy(&val, world.memory + EMUL_PAGE_SIZE + 0x10, 8);
		is(val, 0x1122334455667788 & mask, "the value is in memory");
		is(world.ctx.regs.rdi, PAGE_AT(1) + 0x10 + forms[i].size, "RDI moved up");
		is(world.ctx.regs.rip, PAGE_AT(0) + forms[i].len, "RIP is past it");
	}

	world_reset(LONG64);
	world.ctx.regs.rdi = PAGE_AT(2) - 4;
	world.ctx.regs.rdx = 0x1f0;
	world.ctx.regs.rcx = 5;
	is(step(0xf3, 0x66, 0x6d), EMUL_OK, "rep insw across a page");
	is(world.logged, 5, "five reads");
	is(world.ctx.regs.rcx, 0, "RCX is 0");
	is(world.ctx.regs.rdi, PAGE_AT(2) + 6, "RDI is past the last");
	is(world.memory[2 * EMUL_PAGE_SIZE + 4], 0x8c, "the last value is in its place");

	world_reset(LONG64);
	world.ctx.regs.rflags |= EMUL_DF;
	world.ctx.regs.rdi = PAGE_AT(1) + 8;
	world.ctx.regs.rcx = 3;
	is(step(0xf3, 0x6d), EMUL_OK, "rep insd downwards");
	is(world.ctx.regs.rdi, PAGE_AT(1) - 4, "RDI moved down");

	world_reset(LONG64);
	world.kind[2] = ABSENT;
	world.ctx.regs.rdi = PAGE_AT(2);
	is(step(0x6c), EMUL_FAULT, "insb into an absent page faults");
	is(world.logged, 0, "before the port is read");

	world_reset(LONG64);
	world.ctx.regs.rdi = 0x1234567800000000 | PAGE_AT(1);
	world.ctx.regs.rcx = 0xffffffff00000002;
	is(step(0xf3, 0x67, 0x6c), EMUL_OK, "rep insb with 32-bit addresses");
	is(world.ctx.regs.rdi, PAGE_AT(1) + 2, "uses EDI");
	is(world.ctx.regs.rcx, 0, "and ECX");
	is(world.logged, 2, "two reads");

	world_reset(PROTECTED16);
	world.ctx.regs.rdi = 0xabcdffff;
	world.ctx.regs.rcx = 0x10002;
	is(step(0xf3, 0x6c), EMUL_OK, "rep insb with 16-bit addresses");
	is(world.ctx.regs.rdi, 0xabcd0001, "DI wraps");
	is(world.ctx.regs.rcx, 0x10000, "CX counts");
}

static void outs(void)
{
	world_reset(LONG64);
	world.ctx.regs.rsi = PAGE_AT(1);
	world.ctx.regs.rdx = 0x3f8;
	world.ctx.regs.rcx = 3;
	memcpy(world.memory + EMUL_PAGE_SIZE, "abc", 3);
	is(step(0xf3, 0x6e), EMUL_OK, "rep outsb");
	is(world.logged, 3, "three writes");
	is_access(0, true, true, 1, 0x3f8, 'a', "first");
	is_access(2, true, true, 1, 0x3f8, 'c', "last");
	is(world.ctx.regs.rsi, PAGE_AT(1) + 3, "RSI is past the last");

	world_reset(LONG64);
	world.ctx.segs.seg[VMM_FS].base = PAGE_AT(1);
	world.ctx.regs.rsi = 4;
	world.memory[EMUL_PAGE_SIZE + 4] = 0x5a;
	is(step(0x64, 0x6e), EMUL_OK, "outsb from FS");
	is_access(0, true, true, 1, 0, 0x5a, "takes the byte at FS:RSI");

	world_reset(REAL16);
	world_segment(VMM_ES, PAGE_AT(1), UINT16_MAX, 0x93);
	world.ctx.regs.rsi = 2;
	memcpy(world.memory + EMUL_PAGE_SIZE + 2, "\x78\x56\x34\x12", 4);
	is(step(0x26, 0x66, 0x6f), EMUL_OK, "outsd from ES in real mode");
	is_access(0, true, true, 4, 0, 0x12345678, "writes a doubleword");

	world_reset(LONG64);
	world.ctx.regs.rsi = PAGE_AT(1);
	world.ctx.regs.rcx = EMUL_MAX_REP + 7;
	is(step(0xf3, 0x6e), EMUL_PARTIAL, "a long rep outsb is cut");
	is(world.logged, EMUL_MAX_REP, "after EMUL_MAX_REP writes");
	is(world.ctx.regs.rcx, 7, "seven are left");
}

static enum emul_status user_outsb(unsigned int port, unsigned int tr_attr, uint32_t tr_limit)
{
	world_reset(LONG64);
	world_user();
	world.ctx.regs.rsi = PAGE_AT(1);
	world.ctx.regs.rdx = port;
	world_segment(VMM_TR, PAGE_AT(2), tr_limit, tr_attr);
	world.memory[2 * EMUL_PAGE_SIZE + 102] = 104;
	memset(world.memory + 2 * EMUL_PAGE_SIZE + 104, 0xff, 64);
	world.memory[2 * EMUL_PAGE_SIZE + 104 + 0x70 / 8] = 0xfc;	/* 0x70, 0x71 */
	return step(0x6e);
}

static void rights(void)
{
	unsigned int tss = VMM_SEG_P | 0xb;

	is(user_outsb(0x71, tss, 0x1ff), EMUL_OK, "a user may use a port of the bitmap");
	is(world.asked[2], VMM_ACCESS_READ, "the bitmap is read as the system does");
	is(user_outsb(0x72, tss, 0x1ff), EMUL_FAULT, "but not the next one");
	is_exception(13, 0, "that is #GP(0)");
	is(world.logged, 0, "and no access");
	is(user_outsb(0x70, tss, 104 + 0x70 / 8), EMUL_FAULT, "nor one whose bits end the TSS");
	is(user_outsb(0x70, tss, 104 + 0x70 / 8 + 1), EMUL_OK, "one byte more is enough");
	is(user_outsb(0x70, VMM_SEG_P | 3, 0x1ff), EMUL_FAULT, "a 16-bit TSS has no bitmap");

	user_outsb(0x70, tss, 0x1ff);
	world.logged = 0;
	world.ctx.regs.rdx = 0x71;
	is(step(0x66, 0x6f), EMUL_FAULT, "a word needs the rights to both ports");
	is(world.logged, 0, "and no access");
	world.ctx.regs.rdx = 0x72;
	world.ctx.regs.rflags |= 3 << EMUL_IOPL_SHIFT;
	is(step(0x6e), EMUL_OK, "IOPL 3 gives all ports");
	world.ctx.regs.rflags |= EMUL_VM;
	world.ctx.ctrl.efer = 0;
	world.ctx.regs.rsi = 0;
	is(step(0x6e), EMUL_FAULT, "not in virtual-8086 mode");
}

#define HIGH	0xffffff0000000000ull

static int translate_high(void *data, uint64_t gva, uint32_t access, uint64_t *gpa,
			  uint32_t *error)
{
	*error = 0;
	return gva < HIGH ? 1 : world_translate(data, gva - HIGH, access, gpa, error);
}

/* A 32-bit program of a 64-bit system: its task's segment is above 4 GiB. */
static void high_task_segment(void)
{
	struct emul_env env = world_env;

	env.translate = translate_high;
	world_reset(PROTECTED32);
	world_user();
	world.ctx.env = &env;
	world.ctx.ctrl.efer = EMUL_EFER_LMA;
	world_segment(VMM_TR, HIGH + PAGE_AT(2) - 0x200, 0x2fff, VMM_SEG_P | 0xb);
	memset(world.memory + 2 * EMUL_PAGE_SIZE - 0x200, 0, 0x1000);
	world.memory[2 * EMUL_PAGE_SIZE - 0x200 + 102] = 104;
	/* The bitmap's two bytes for this port are in two pages. */
	world.ctx.regs.rdx = (0x200 - 104 - 1) * 8;
	is(step(0xec), EMUL_OK, "in al, dx by a map over a page's end, high up");
	is(world.logged, 1, "the port is read");
}

static void pieces(void)
{
	static const struct {
		unsigned int offset, size, count, sizes[4];
	} cases[] = {
		{ 0, 8, 1, { 8 } }, { 4, 8, 2, { 4, 4 } }, { 1, 4, 3, { 1, 2, 1 } },
		{ 2, 4, 2, { 2, 2 } }, { 7, 8, 4, { 1, 4, 2, 1 } }, { 3, 2, 2, { 1, 1 } },
		{ 6, 8, 3, { 2, 4, 2 } },
	};
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t at = PAGE_AT(1) + cases[i].offset;
		bool good = true;

		world_reset(LONG64);
		world.kind[1] = DEVICE;
		world.ctx.regs.rbx = at;
		if (cases[i].size == 8)
			step(0x48, 0x89, 0x03);
		else if (cases[i].size == 4)
			step(0x89, 0x03);
		else
			step(0x66, 0x89, 0x03);
		for (k = 0; k < cases[i].count; k++) {
			good &= world.log[k].address == at;
			good &= world.log[k].size == cases[i].sizes[k];
			at += cases[i].sizes[k];
		}
		ok(good && world.logged == cases[i].count,
		   "a write of %u at offset %u comes in %u aligned pieces", cases[i].size,
		   cases[i].offset, cases[i].count);
	}

	world_reset(LONG64);
	world.kind[2] = DEVICE;
	world.ctx.regs.rbx = PAGE_AT(2) - 3;
	world.ctx.regs.rax = 0x8877665544332211;
	is(step(0x48, 0x89, 0x03), EMUL_OK, "a write half in RAM, half in a device");
	is(world.memory[2 * EMUL_PAGE_SIZE - 1], 0x33, "RAM has its part");
	is_access(0, false, true, 4, PAGE_AT(2), 0x77665544, "the device the rest");
	is_access(1, false, true, 1, PAGE_AT(2) + 4, 0x88, "to the last byte");
	is(world.memory[2 * EMUL_PAGE_SIZE], 0, "and RAM nothing of it");

	world_reset(LONG64);
	world.kind[1] = DEVICE;
	world.ctx.regs.rbx = PAGE_AT(1);
	is(step(0x0f, 0x10, 0x1b), EMUL_OK, "movups from a device");
	is(world.logged, 2, "is two reads");
	is(world.log[1].address, PAGE_AT(1) + 8, "in ascending order");
}

static void once(void)
{
	world_reset(LONG64);
	world.kind[1] = DEVICE;
	world.ctx.regs.rbx = PAGE_AT(1);
	world.ctx.regs.rax = 1;
	is(step(0xf0, 0x01, 0x03), EMUL_OK, "lock add [device], eax");
	is(world.logged, 2, "is a read and a write");
	is_access(0, false, false, 4, PAGE_AT(1), 0x55667788, "reads");
	is_access(1, false, true, 4, PAGE_AT(1), 0x55667789, "writes the sum");

	world_reset(LONG64);
	world.kind[1] = DEVICE;
	world.ctx.regs.rbx = PAGE_AT(1);
	is(step(0x85, 0x03), EMUL_OK, "test [device], eax");
	is(world.logged, 1, "is one read");

	world_reset(LONG64);
	world.kind[1] = DEVICE;
	world.ctx.regs.rbx = PAGE_AT(1);
	is(step(0x0f, 0xb1, 0x0b), EMUL_OK, "cmpxchg that fails");
	is_access(1, false, true, 4, PAGE_AT(1), 0x55667788, "writes the old value back");
	is(world.ctx.regs.rax, 0x55667788, "and loads it");

	world_reset(LONG64);
	world.kind[1] = DEVICE;
	world.kind[2] = ABSENT;
	world.ctx.regs.rsi = PAGE_AT(1);
	world.ctx.regs.rdi = PAGE_AT(2);
	is(step(0xa4), EMUL_FAULT, "movsb from a device to an absent page faults");
	is(world.logged, 0, "before the device is read");

	world_reset(LONG64);
	world.kind[1] = DEVICE;
	world.ctx.regs.rdi = PAGE_AT(1);
	world.ctx.regs.rcx = 4;
	world.ctx.regs.rax = 0x20;
	is(step(0xf3, 0xab), EMUL_OK, "rep stosd to a device");
	is(world.logged, 4, "is four writes");
	is_access(3, false, true, 4, PAGE_AT(1) + 12, 0x20, "the last at its address");
}

int main(void)
{
	ins();
	outs();
	rights();
	high_task_segment();
	pieces();
	once();
	return tap_end();
}
