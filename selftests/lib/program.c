// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See program.h. Encodings are made from tables of opcodes and random operands.
 * Operands in memory are absolute, so that no register has to hold an address; RSP
 * is the destination of pushes and pops only. What differs from CPU to CPU or from
 * one moment to the next (CPUID, RDTSC, selectors of the CPU's number) is left out.
 */
#include <string.h>

#include <kselftest.h>

#include "guest.h"
#include "program.h"

#define CHECKPOINT_EVERY	8
#define FXSAVE_AREA		PROGRAM_DATA		/* 512 bytes, at start and end */
#define SELECTORS_AREA		(PROGRAM_DATA + 512)
#define RANDOM_DATA		(PROGRAM_DATA + 1024)
/* String instructions go either way from within. */
#define MARGIN			512

#define FLAGS_ARITHMETIC	0x8d5UL			/* OF SF ZF AF PF CF */
#define FLAGS_DF		(1UL << 10)
#define FLAGS_ID		(1UL << 21)
#define RSP			4

struct program_record program_record;
bool program_far_returns;

static struct {
	u8 *at;
	u64 random;
	enum program_kind kind;
} make;

static u64 random64(void)
{
	make.random ^= make.random >> 12;
	make.random ^= make.random << 25;
	make.random ^= make.random >> 27;
	return make.random * 0x2545f4914f6cdd1dUL;
}

static u32 below(u32 n)
{
	return (random64() >> 32) % n;
}

#define PICK(array)	((array)[below(ARRAY_SIZE(array))])

static u32 any_register(void)
{
	u32 reg = below(15);

	return reg < RSP ? reg : reg + 1;
}

/* ---- encoding ---- */

static void put(u64 value, u32 size)
{
	memcpy(make.at, &value, size);
	make.at += size;
}

#define BYTES(...)							\
	do {								\
		static const u8 bytes_[] = { __VA_ARGS__ };		\
									\
		memcpy(make.at, bytes_, sizeof(bytes_));		\
		make.at += sizeof(bytes_);				\
	} while (0)

/* Now and then it is a page that is read-only or not there, or not aligned. */
static u64 any_address(u32 align)
{
	u64 offset = MARGIN + below(PROGRAM_DATA_SIZE - 1024 - 2 * MARGIN);

	if (below(16))
		offset &= ~(u64)(align - 1);
	switch (below(40)) {
	case 0:
		return PROGRAM_READ_ONLY + offset % 4000;
	case 1:
		return PROGRAM_HOLE + offset % 4000;
	default:
		return RANDOM_DATA + offset;
	}
}

struct form {
	u32 prefix;		/* 0: none */
	u32 opcode;		/* one byte, or 0x0f and another */
	u32 reg;
	u32 rm;
	u64 memory;		/* instead of rm, if not 0 */
	bool wide;		/* REX.W */
};

static void encode(const struct form *f)
{
	u32 rex = f->wide << 3 | (f->reg >> 3) << 2 | (f->memory ? 0 : f->rm >> 3);

	if (f->prefix)
		put(f->prefix, 1);
	if (rex)
		put(0x40 | rex, 1);
	if (f->opcode > 0xff)
		put(f->opcode >> 8, 1);
	put(f->opcode & 0xff, 1);
	if (f->memory) {
		put((f->reg & 7) << 3 | 4, 1);
		put(0x25, 1);
		put(f->memory, 4);
	} else {
		put(0xc0 | (f->reg & 7) << 3 | (f->rm & 7), 1);
	}
}

#define ENCODE(...)	encode(&(struct form){ __VA_ARGS__ })

/* Of 1, 2, 4 or 8 bytes: the low bit of the opcode, 66 or REX.W says which. */
static void integer(u32 opcode, u32 size, u32 reg, u32 rm, u64 memory)
{
	/* Without REX, 4 to 7 are AH to BH. */
	if (size == 1) {
		reg &= 7;
		rm &= 7;
	}
	ENCODE(.prefix = size == 2 ? 0x66 : 0, .opcode = opcode | (size > 1), .reg = reg,
	       .rm = rm, .memory = memory, .wide = size == 8);
}

static u32 any_size(void)
{
	return 1 << below(4);
}

static u64 maybe_memory(u32 size)
{
	return below(3) ? 0 : any_address(size);
}

static void move_imm(u32 reg, u64 value)
{
	put(0x48 | reg >> 3, 1);
	put(0xb8 | (reg & 7), 1);
	put(value, 8);
}

/* ---- integers ---- */

static void arithmetic(void)
{
	u32 size = any_size(), to_reg = below(2) << 1;

	integer(below(8) << 3 | to_reg, size, any_register(), any_register(),
		maybe_memory(size));
}

static void arithmetic_imm(void)
{
	u32 size = any_size();

	integer(0x80, size, below(8), any_register(), maybe_memory(size));
	put(random64(), size > 4 ? 4 : size);
}

/*
 * Counts beyond the width as well. Rotates through carry have no operand in memory:
 * if its store faults, TCG has lost RFLAGS.
 */
static void shift(void)
{
	static const u8 kinds[] = { 0, 1, 2, 3, 4, 5, 7 };
	u32 size = any_size(), form = below(3), kind = PICK(kinds);

	integer(form == 0 ? 0xc0 : form == 1 ? 0xd0 : 0xd2, size, kind, any_register(),
		kind == 2 || kind == 3 ? 0 : maybe_memory(size));
	if (!form)
		put(random64(), 1);
}

static void one_operand(void)
{
	u32 size = any_size(), which = 2 + below(8);
	u64 memory = maybe_memory(size);

	/* NOT NEG MUL IMUL DIV IDIV, INC DEC. Most random divisions are #DE. */
	if (which < 8)
		integer(0xf6, size, which, any_register(), memory);
	else
		integer(0xfe, size, which & 1, any_register(), memory);
}

/* One that has a result. */
static void division(void)
{
	u32 size = 2 << below(3), reg = any_register();

	if (reg == 0 || reg == 2)
		reg = 3;
	move_imm(reg, random64() | 1);
	integer(0x30, 4, 2, 2, 0);		/* XOR EDX, EDX */
	integer(0xf6, size, 6, reg, 0);
}

static void two_byte(void)
{
	/* CMPXCHG XADD IMUL SHLD/SHRD by CL, BT BTS BTR BTC, BSF BSR, CMOVcc. */
	static const u16 opcodes[] = {
		0x0fb1, 0x0fc1, 0x0faf, 0x0fa5, 0x0fad, 0x0fa3, 0x0fab, 0x0fb3, 0x0fbb, 0x0fbc,
		0x0fbd, 0x0f40, 0x0f42, 0x0f44, 0x0f46, 0x0f48, 0x0f4a, 0x0f4c, 0x0f4e,
	};
	u32 opcode = PICK(opcodes), size = 2 << below(3);
	/* The bit string of BT and its kin is longer than the data. */
	bool bits = opcode == 0x0fa3 || opcode == 0x0fab || opcode == 0x0fb3 || opcode == 0x0fbb;

	ENCODE(.prefix = size == 2 ? 0x66 : 0, .opcode = opcode, .reg = any_register(),
	       .rm = any_register(), .memory = bits ? 0 : maybe_memory(size), .wide = size == 8);
}

static void extend(void)
{
	static const u16 opcodes[] = { 0x0fb6, 0x0fb7, 0x0fbe, 0x0fbf };

	ENCODE(.opcode = PICK(opcodes), .reg = any_register(), .rm = below(4),
	       .memory = maybe_memory(2), .wide = below(2));
	BYTES(0x66, 0x98);			/* CBW */
	if (below(2))
		BYTES(0x48, 0x99);		/* CQO */
}

static void locked(void)
{
	static const u8 opcodes[] = { 0x00, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30 };
	u32 size = any_size();

	put(0xf0, 1);
	integer(PICK(opcodes), size, any_register(), 0, any_address(size));
}

static void move(void)
{
	u32 size = any_size();

	switch (below(5)) {
	case 0:
		move_imm(any_register(), random64());
		break;
	case 1:		/* XCHG */
		integer(0x86, size, any_register(), any_register(), maybe_memory(size));
		break;
	case 2:		/* LEA of [r + 4 * r + disp8] */
		put(0x48, 1);
		put(0x8d, 1);
		put(0x44 | below(4) << 3, 1);
		put(0x80 | below(4) << 3 | below(4), 1);
		put(random64(), 1);
		break;
	case 3:		/* SETcc */
		ENCODE(.opcode = 0x0f90 | below(16), .rm = below(4));
		break;
	default:
		integer(0x88 | below(2) << 1, size, any_register(), any_register(),
			maybe_memory(size));
	}
}

/* ---- flags, stack, control flow ---- */

static void push_imm(u32 value)
{
	put(0x68, 1);
	put(value, 4);
}

static void load_flags(u32 flags)
{
	push_imm(flags | RFLAGS_IF | RFLAGS_FIXED);
	put(0x9d, 1);
}

static void flags(void)
{
	static const u8 opcodes[] = { 0xf8, 0xf9, 0xf5, 0xfc, 0xfd, 0x9e, 0x9f };

	switch (below(3)) {
	case 0:
		load_flags(random64() & (FLAGS_ARITHMETIC | FLAGS_DF | FLAGS_ID));
		break;
	case 1:
		BYTES(0x9c);			/* PUSHFQ and into a register */
		put(0x58 | below(4), 1);
		break;
	default:
		put(PICK(opcodes), 1);
	}
}

/* CMPXCHG8B or CMPXCHG16B. After POPF only: else TCG adds bits to RFLAGS at random. */
static void exchange_wide(void)
{
	load_flags(random64() & FLAGS_ARITHMETIC);
	put(0xf0, 1);
	ENCODE(.opcode = 0x0fc7, .reg = 1, .memory = any_address(16), .wide = below(2));
}

static void stack(void)
{
	switch (below(4)) {
	case 0:
		put(0x50 | below(4), 1);
		arithmetic();
		put(0x58 | below(4), 1);
		break;
	case 1:		/* PUSH and POP of memory */
		ENCODE(.opcode = 0xff, .reg = 6, .memory = any_address(8));
		ENCODE(.opcode = 0x8f, .reg = 0, .memory = any_address(8));
		break;
	case 2:		/* ENTER with a nested frame, LEAVE */
		move_imm(5, PROGRAM_STACK - 64);
		BYTES(0xc8, 0x20, 0x00, 0x02, 0xc9);
		break;
	default:	/* 16 bits at a time */
		push_imm(random64());
		BYTES(0x66, 0x59, 0x66, 0x5a, 0x66, 0x58, 0x66, 0x5b);
	}
}

/* @body behind a jump's displacement of one byte, which jumps over it. */
static void jump_over(u32 opcode, void (*body)(void))
{
	u8 *displacement;

	put(opcode, 1);
	displacement = make.at++;
	body();
	*displacement = make.at - displacement - 1;
}

static void branch(void)
{
	u8 *top;

	switch (below(4)) {
	case 0:
		jump_over(0x70 | below(16), arithmetic);
		break;
	case 1:		/* JRCXZ */
		jump_over(0xe3, arithmetic);
		break;
	case 2:		/* LOOP */
		move_imm(1, 1 + below(20));
		top = make.at;
		integer(below(8) << 3, 4, 0, 3, 0);
		BYTES(0xe2);
		put(top - make.at - 1, 1);
		break;
	default:	/* CALL, JMP; RET 8, having pushed 8 bytes */
		push_imm(random64());
		BYTES(0xe8, 2, 0, 0, 0, 0xeb, 3, 0xc2, 8, 0);
	}
}

/* ---- strings ---- */

static void string(void)
{
	static const u8 opcodes[] = { 0xa4, 0xa6, 0xaa, 0xac, 0xae };
	static const u8 prefixes[] = { 0, 0xf2, 0xf3, 0xf3 };
	u32 size = any_size(), prefix = PICK(prefixes);

	move_imm(6, any_address(8));
	move_imm(7, any_address(8));
	move_imm(1, below(60));
	if (!below(3))
		put(0xfc | below(2), 1);
	/* Across the border of a page that is not there. */
	if (!below(8))
		move_imm(6 + below(2), PROGRAM_HOLE + (below(2) ? 0xff0 : -0x10UL));
	if (prefix)
		put(prefix, 1);
	if (size == 2)
		put(0x66, 1);
	if (size == 8)
		put(0x48, 1);
	put(PICK(opcodes) | (size > 1), 1);
}

/* ---- SSE and x87 ---- */

static void vector(void)
{
	/* Prefix and opcode; those with an immediate byte are below. */
	static const u16 opcodes[] = {
		0x0010, 0x0011, 0x0028, 0x0029, 0x0051, 0x0054, 0x0057, 0x0058, 0x0059, 0x005c,
		0x005d, 0x005e, 0x005f, 0x0014, 0x0016, 0x002e, 0x6654, 0x6658, 0x6659, 0x665c,
		0x665e, 0x6651, 0x6660, 0x6662, 0x6666, 0x6667, 0x666c, 0x666f, 0x667f, 0x66d4,
		0x66db, 0x66df, 0x66eb, 0x66ef, 0x66f4, 0x66f6, 0x66fe, 0x66fa, 0x66e5, 0x66d5,
		0xf258, 0xf259, 0xf25e, 0xf251, 0xf25a, 0xf358, 0xf359, 0xf35c, 0xf35e, 0xf351,
		0xf35a, 0x005a, 0x665a, 0x005b, 0x665b, 0xf35b, 0xf2e6, 0x66e6, 0xf3e6, 0xf26f,
		0xf36f, 0xf37f, 0x66e7,
	};
	static const u16 with_imm[] = { 0x6670, 0xf270, 0xf370, 0x00c6, 0x66c6, 0x00c2, 0xf2c2 };
	bool imm = !below(5);
	u32 opcode = imm ? PICK(with_imm) : PICK(opcodes);

	/* MOVNTDQ has no register form, and F2 0F 6F is #UD. */
	ENCODE(.prefix = opcode >> 8, .opcode = 0x0f00 | (opcode & 0xff), .reg = below(16),
	       .rm = below(16), .memory = below(3) ? 0 : any_address(16));
	if (imm)
		put(random64(), 1);
}

static void convert(void)
{
	static const u8 opcodes[] = { 0x2a, 0x2c, 0x2d };

	if (below(2))
		ENCODE(.prefix = 0xf2 | below(2), .opcode = 0x0f00 | PICK(opcodes),
		       .reg = below(4), .rm = below(4), .wide = below(2));
	else	/* MOVD, MOVQ, both ways */
		ENCODE(.prefix = 0x66, .opcode = below(2) ? 0x0f6e : 0x0f7e, .reg = below(16),
		       .rm = any_register(), .wide = below(2));
}

/* Exceptions on or off, rounding, flush to zero; the next instruction raises them. */
static void mxcsr(void)
{
	u64 where = RANDOM_DATA + MARGIN;
	u32 value = below(2) ? 0x1f80 : random64() & 0xffc0;

	integer(0xc6, 4, 0, 0, where);
	put(value, 4);
	ENCODE(.opcode = 0x0fae, .reg = 2, .memory = where);
	vector();
	ENCODE(.opcode = 0x0fae, .reg = 3, .memory = where + 8);
}

static void x87(void)
{
	static const u16 opcodes[] = {
		0xd9c1, 0xd9c9, 0xd9e0, 0xd9e1, 0xd9e8, 0xd9eb, 0xd9ee, 0xd9fa, 0xd9fc, 0xd8c1,
		0xd8ca, 0xd8e1, 0xd8f2, 0xdec1, 0xdec9, 0xdef1, 0xdbe2, 0xdbe3, 0xdff1, 0xdbf1,
	};
	static const u16 memory[] = {
		0xd900, 0xd903, 0xdd00, 0xdd03, 0xdb05, 0xdb07, 0xdf05, 0xdf07,
	};
	u32 opcode;

	for (u32 i = 0; i < 4; i++) {
		if (below(3)) {
			opcode = PICK(opcodes);
			put(opcode >> 8, 1);
			put(opcode, 1);
		} else {
			opcode = PICK(memory);
			ENCODE(.opcode = opcode >> 8, .reg = opcode & 7, .memory = any_address(8));
		}
	}
	BYTES(0x9b);				/* FWAIT */
	if (!below(6)) {			/* #MF: unmask, divide by zero, wait */
		u64 where = RANDOM_DATA + MARGIN;

		integer(0xc6, 4, 0, 0, where);
		put(0x0300 | below(0x40), 4);
		ENCODE(.opcode = 0xd9, .reg = 5, .memory = where);
		BYTES(0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0x9b);
	}
}

static void x87_reset(void)
{
	BYTES(0xdb, 0xe3);
}

/* ---- exceptions ---- */

static void fault(void)
{
	static const u64 addresses[] = {
		0x100000000000000UL, 0x7fffffffffffffffUL, PROGRAM_HOLE + 1, PROGRAM_READ_ONLY,
		PROGRAM_HOLE - 4,
	};
	u32 base = below(2) ? 3 : 5;		/* RBP means #SS and not #GP */

	switch (below(6)) {
	case 0:
		BYTES(0x0f, 0x0b);		/* UD2 */
		break;
	case 1:		/* Load or store of 8 bytes */
		move_imm(base, PICK(addresses));
		put(0x48, 1);
		put(below(2) ? 0x8b : 0x89, 1);
		put(0x40 | base, 1);
		put(0, 1);
		break;
	case 2:		/* TF for one instruction */
		load_flags(RFLAGS_TF);
		BYTES(0x90, 0x90);
		break;
	case 3:		/* CALL of what may not be executed, or is not there */
		move_imm(0, below(2) ? PROGRAM_DATA : PROGRAM_HOLE);
		BYTES(0xff, 0xd0);
		break;
	case 4:		/* Longer than an instruction may be */
		memset(make.at, 0x66, 15);
		make.at += 15;
		BYTES(0x90);
		break;
	default:	/* LOCK where it may not be */
		BYTES(0xf0, 0x89, 0xc0);
	}
}

/* ---- what tells CPL 3 ---- */

static void privileged(void)
{
	static const u8 insns[][3] = {
		{ 0xf4, 0x90, 0x90 }, { 0xfa, 0x90, 0x90 }, { 0xfb, 0x90, 0x90 },
		{ 0x0f, 0x20, 0xc0 }, { 0x0f, 0x22, 0xd8 }, { 0x0f, 0x21, 0xf8 },
		{ 0x0f, 0x32, 0x90 }, { 0x0f, 0x30, 0x90 }, { 0x0f, 0x06, 0x90 },
		{ 0x0f, 0x08, 0x90 }, { 0x0f, 0x09, 0x90 }, { 0x0f, 0x01, 0x10 },
		{ 0x0f, 0x01, 0x18 }, { 0x0f, 0x00, 0xd0 }, { 0x0f, 0x00, 0xd8 },
		{ 0x0f, 0x01, 0xf0 }, { 0x0f, 0x01, 0xf8 }, { 0xe4, 0x80, 0x90 },
		{ 0xee, 0x90, 0x90 }, { 0x6c, 0x90, 0x90 }, { 0x6f, 0x90, 0x90 },
	};

	memcpy(make.at, PICK(insns), 3);
	make.at += 3;
}

/* Gates of privilege 0; 0x80 is a system call of Linux. */
static void int_n(void)
{
	static const u8 vectors[] = {
		0, 1, 5, 8, 13, 14, 18, 0x21, 0x30, 0x7f, 0x81, 0xef, 0xff,
	};

	put(0xcd, 1);
	put(PICK(vectors), 1);
}

static u32 any_selector(void)
{
	static const u16 selectors[] = {
		0, 3, 0x08, 0x0b, 0x10, 0x13, 0x18, 0x1b, 0x20, 0x23, 0x28, 0x2b, 0x2a, 0x30, 0x33,
		0x38, 0x40, 0x43, 0x63, 0x80, 0xfff8, 0x07, 0x2f,
	};

	return PICK(selectors);
}

static void segment(void)
{
	/* ES, DS, GS; the C library lives in FS. */
	static const u8 registers[] = { 0, 3, 5, 0, 3, 5, 2 };
	static const u16 checks[] = { 0x0f02, 0x0f03 };

	move_imm(1, any_selector());
	switch (below(5)) {
	case 0:		/* MOV to it, and a use of it */
		ENCODE(.opcode = 0x8e, .reg = PICK(registers), .rm = 1);
		arithmetic();
		break;
	case 1:		/* MOV from it, of each size */
		ENCODE(.prefix = below(2) ? 0x66 : 0, .opcode = 0x8c, .reg = below(6),
		       .rm = below(4), .wide = below(2));
		break;
	case 2:		/* LAR LSL */
		ENCODE(.opcode = PICK(checks), .reg = below(4), .rm = 1);
		break;
	case 3:		/* VERR VERW */
		ENCODE(.opcode = 0x0f00, .reg = 4 + below(2), .rm = 1);
		break;
	default:	/* PUSH FS or GS, POP GS */
		BYTES(0x51, 0x0f, 0xa9, 0x0f, 0xa0, 0x59, 0x0f, 0xa8, 0x5a);
	}
}

/* Far JMP through memory. */
static void jump_far(u32 selector, u64 target)
{
	u64 where = RANDOM_DATA + MARGIN;

	integer(0xc6, 4, 0, 0, where);
	put(target, 4);
	integer(0xc6, 4, 0, 0, where + 4);
	put(selector, 4);
	ENCODE(.opcode = 0xff, .reg = 5, .memory = where);
}

#define JUMP_FAR_SIZE	29

/* To the instruction after it; RETF and IRETQ have their words pushed before. */
static void far_transfer(void)
{
	u64 at = (u64)make.at;

	switch (below(program_far_returns ? 4 : 2)) {
	case 0:
		jump_far(PROGRAM_CODE64, at + JUMP_FAR_SIZE);
		break;
	case 1:		/* Through what is a data segment's selector at best */
		jump_far(below(2) ? PROGRAM_USER_DATA : 0x38 + 8 * below(4), at);
		break;
	case 2:
		push_imm(PROGRAM_CODE64);
		push_imm(at + 12);
		BYTES(0x48, 0xcb);
		break;
	default:
		push_imm(PROGRAM_USER_DATA);
		push_imm(PROGRAM_STACK);
		push_imm((random64() & FLAGS_ARITHMETIC) | RFLAGS_IF | RFLAGS_FIXED);
		push_imm(PROGRAM_CODE64);
		push_imm(at + 27);
		BYTES(0x48, 0xcf);
	}
}

/* Into 32-bit code, some of whose instructions 64-bit code does not have, and back. */
static void code32(void)
{
	static const u8 insns[][8] = {
		{ 0x37, 0x27, 0xd4, 10, 0x40, 0x90, 0x90, 0x90 },	/* AAA DAA AAM INC */
		{ 0x60, 0x61, 0xd5, 7, 0x3f, 0x2f, 0x90, 0x90 },	/* PUSHA POPA AAD AAS DAS */
		{ 0x31, 0xc0, 0x40, 0xc1, 0xe0, 31, 0x01, 0xc0 },	/* an overflow */
		{ 0xd6, 0xb0, 0x01, 0x06, 0x1f, 0x90, 0x90, 0x90 },	/* SALC, PUSH ES, POP DS */
		{ 0x67, 0x8d, 0x07, 0xf9, 0x11, 0xc0, 0x90, 0x90 },	/* LEA of 16 bits */
	};

	jump_far(PROGRAM_CODE32, (u64)make.at + JUMP_FAR_SIZE);
	memcpy(make.at, PICK(insns), 8);
	make.at += 8;
	switch (below(4)) {
	case 0:
		BYTES(0xce);			/* INTO */
		break;
	case 1:					/* BOUND */
		put(0x62, 1);
		put(0x05, 1);
		put(RANDOM_DATA + MARGIN, 4);
		break;
	case 2:
		BYTES(0x0f, 0x0b);
		break;
	}
	put(0xea, 1);				/* far JMP */
	put((u64)make.at + 6, 4);
	put(PROGRAM_CODE64, 2);
}

static void alignment_check(void)
{
	load_flags(RFLAGS_AC);
	integer(0x8a, 4, 0, 0, RANDOM_DATA + MARGIN + 1);
	load_flags(0);
}

/* ---- programs ---- */

static void (*const snippets[])(void) = {
	arithmetic, arithmetic, arithmetic, arithmetic_imm, arithmetic_imm, shift, shift,
	one_operand, division, two_byte, two_byte, extend, locked, exchange_wide, move, move, flags,
	flags, stack, branch, branch, string, vector, vector, vector, convert, mxcsr, x87,
	x87_reset, fault,
	/* Of CPL 3: */
	privileged, int_n, segment, segment, segment, far_transfer, code32, alignment_check,
};
#define CPL3_SNIPPETS	8

static void fill_random(u64 from, u64 to)
{
	for (; from < to; from += 8)
		*(u64 *)from = random64();
}

static void save_selectors(void)
{
	for (u32 i = 0; i < 6; i++)
		ENCODE(.opcode = 0x8c, .reg = i, .memory = SELECTORS_AREA + 2 * i);
}

/* All registers as the seed says. */
static void prologue(void)
{
	u8 *image = (u8 *)FXSAVE_AREA;

	memset(image, 0, 160);
	*(u16 *)image = 0x037f;
	*(u32 *)(image + 24) = 0x1f80;
	ENCODE(.opcode = 0x0fae, .reg = 1, .memory = FXSAVE_AREA, .wide = true);
	move_imm(0, 0);
	for (u32 i = 0; i < 6; i++)
		if (i == 0 || i == 3 || i == 5)
			ENCODE(.opcode = 0x8e, .reg = i, .rm = 0);
	for (u32 i = 0; i < 16; i++)
		move_imm(i, i == RSP ? PROGRAM_STACK : random64());
	load_flags(0);
}

static void epilogue(void)
{
	ENCODE(.opcode = 0x0fae, .reg = 0, .memory = FXSAVE_AREA, .wide = true);
	if (make.kind == PROGRAM_CPL3)
		save_selectors();
	load_flags(0);
}

void program_make(u64 seed, enum program_kind kind)
{
	u32 kinds = ARRAY_SIZE(snippets) - (kind == PROGRAM_CPL3 ? 0 : CPL3_SNIPPETS);

	make.at = (u8 *)PROGRAM_CODE;
	make.random = seed * 0x9e3779b97f4a7c15UL + 1;
	make.kind = kind;
	memset(&program_record, 0, sizeof(program_record));
	memset((void *)PROGRAM_CODE, 0xcc, PROGRAM_CODE_SIZE);
	fill_random(PROGRAM_DATA, PROGRAM_END);
	for (u32 i = 0; i < PROGRAM_SNIPPETS; i++) {
		program_record.start[i] = (u64)make.at;
		if (i == 0)
			prologue();
		else if (i == PROGRAM_SNIPPETS - 1)
			epilogue();
		else
			snippets[below(kinds)]();
		if (i % CHECKPOINT_EVERY == 0)
			BYTES(0xcc);
	}
	program_record.start[PROGRAM_SNIPPETS] = (u64)make.at;
	if ((u64)make.at > PROGRAM_CODE + PROGRAM_CODE_SIZE - 16)
		die("the program of seed %lu needs more room", seed);
}

/* Of the snippet behind the one that @rip is in. */
static u64 next_snippet(u64 rip)
{
	u32 i = 0;

	while (i < PROGRAM_SNIPPETS && program_record.start[i] <= rip)
		i++;
	return program_record.start[i];
}

bool program_exception(struct program_state *state)
{
	struct program_record *record = &program_record;

	if (record->count == PROGRAM_EVENTS)
		return false;
	record->event[record->count++] = *state;
	if (state->vector == VEC_BP && state->rip == record->start[PROGRAM_SNIPPETS] + 1)
		return false;
	state->rflags &= ~RFLAGS_TF;
	if (state->vector == VEC_BP || state->vector == VEC_DB)
		return true;
	/* A CALL has left the address behind it. */
	if (state->rip - PROGRAM_CODE >= PROGRAM_CODE_SIZE)
		state->rip = *(u64 *)state->reg[RSP] - 1;
	state->rip = next_snippet(state->rip);
	state->reg[RSP] = PROGRAM_STACK;
	state->rflags &= ~RFLAGS_AC;
	if (state->cs == PROGRAM_CODE32)
		state->cs = PROGRAM_CODE64;
	return true;
}
