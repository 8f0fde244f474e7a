// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instruction decoder: lengths of exiting instructions, and moves to and from
 * memory. decode.h says what is answered and why that little.
 *
 * An instruction is looked up in a table of forms, by opcode and for three
 * groups by ModRM. A form names the class, what follows the opcode, and the
 * conditions under which the bytes mean that class; without a form the
 * instruction is INSN_OTHER and nothing behind its opcode is read.
 *
 * Bytes are taken through a cursor that notes an overrun and then yields zeros,
 * so that the parsing steps need no error paths; insn_decode() looks at the note
 * before it believes anything.
 *
 * Freestanding: unit/ builds this file as it is.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/types.h>

#include "decode.h"

/* form.follows: what comes behind the opcode, and of which size */
#define MODRM	0x01
#define MOFFS	0x02	/* an absolute address instead of ModRM */
#define IMM8	0x04
#define IMMZ	0x08	/* 2 or 4 bytes */
#define BYTE	0x10	/* operands of one byte */
#define PORT	0x20	/* operands of at most 4 bytes */
#define FULL	0x40	/* operands as wide as the mode's registers */
#define CREG	0x80	/* a control or debug register; ModRM.mod is ignored */

/* form.only: conditions, all of which must hold */
#define IN_64	0x01
#define NOT_64	0x02
#define MEM	0x04	/* a memory operand */
#define SLASH_0	0x08	/* ModRM.reg is 0 */
#define WITH_66	0x10	/* 66, F3 and F2 choose between instructions here: */
#define WITH_F3	0x20
#define NO_66	0x40
#define NO_REPS	0x80	/* neither F3 nor F2 */
#define NO_F2	0x100

struct form {
	u8 class;
	u8 follows;
	u16 only;
};

static const struct form one_byte[256] = {
	[0x63] = { INSN_MOVSXD,		MODRM,			IN_64 | MEM },
	[0x6c] = { INSN_INS,		PORT | BYTE },
	[0x6d] = { INSN_INS,		PORT },
	[0x6e] = { INSN_OUTS,		PORT | BYTE },
	[0x6f] = { INSN_OUTS,		PORT },
	[0x88] = { INSN_MOV_STORE_REG,	MODRM | BYTE,		MEM },
	[0x89] = { INSN_MOV_STORE_REG,	MODRM,			MEM },
	[0x8a] = { INSN_MOV_LOAD,	MODRM | BYTE,		MEM },
	[0x8b] = { INSN_MOV_LOAD,	MODRM,			MEM },
	[0x90] = { INSN_PAUSE,		0,			WITH_F3 },
	[0xa0] = { INSN_MOV_LOAD,	MOFFS | BYTE },
	[0xa1] = { INSN_MOV_LOAD,	MOFFS },
	[0xa2] = { INSN_MOV_STORE_REG,	MOFFS | BYTE },
	[0xa3] = { INSN_MOV_STORE_REG,	MOFFS },
	[0xc6] = { INSN_MOV_STORE_IMM,	MODRM | IMM8 | BYTE,	MEM | SLASH_0 },
	[0xc7] = { INSN_MOV_STORE_IMM,	MODRM | IMMZ,		MEM | SLASH_0 },
	[0xcc] = { INSN_INT3 },
	[0xcd] = { INSN_INT_N,		IMM8 },
	[0xce] = { INSN_INTO,		0,			NOT_64 },
	[0xcf] = { INSN_IRET },
	[0xe4] = { INSN_IN,		IMM8 | PORT | BYTE },
	[0xe5] = { INSN_IN,		IMM8 | PORT },
	[0xe6] = { INSN_OUT,		IMM8 | PORT | BYTE },
	[0xe7] = { INSN_OUT,		IMM8 | PORT },
	[0xec] = { INSN_IN,		PORT | BYTE },
	[0xed] = { INSN_IN,		PORT },
	[0xee] = { INSN_OUT,		PORT | BYTE },
	[0xef] = { INSN_OUT,		PORT },
	[0xf1] = { INSN_ICEBP },
	[0xf4] = { INSN_HLT },
};

#define GROUP_7	0x01	/* 0F 01 */
#define GROUP_9	0xc7	/* 0F C7 */

static const struct form map_0f[256] = {
	[0x06] = { INSN_CLTS },
	[0x08] = { INSN_INVD },
	[0x09] = { INSN_WBINVD },
	[0x20] = { INSN_MOV_FROM_CR,	MODRM | FULL | CREG },
	[0x21] = { INSN_MOV_FROM_DR,	MODRM | FULL | CREG },
	[0x22] = { INSN_MOV_TO_CR,	MODRM | FULL | CREG },
	[0x23] = { INSN_MOV_TO_DR,	MODRM | FULL | CREG },
	[0x30] = { INSN_WRMSR },
	[0x31] = { INSN_RDTSC },
	[0x32] = { INSN_RDMSR },
	[0x33] = { INSN_RDPMC },
	[0x37] = { INSN_VIRT,		0,			NO_66 | NO_REPS }, /* GETSEC */
	[0x78] = { INSN_VIRT,		MODRM,			NO_66 | NO_REPS }, /* VMREAD */
	[0x79] = { INSN_VIRT,		MODRM,			NO_66 | NO_REPS }, /* VMWRITE */
	[0xa2] = { INSN_CPUID },
	[0xaa] = { INSN_RSM },
	[0xb6] = { INSN_MOVZX,		MODRM,			MEM },
	[0xb7] = { INSN_MOVZX,		MODRM,			MEM },
	[0xbe] = { INSN_MOVSX,		MODRM,			MEM },
	[0xbf] = { INSN_MOVSX,		MODRM,			MEM },
};

/* From 0F 38 80 on. */
static const struct form map_0f38[] = {
	{ INSN_VIRT,	MODRM,		MEM | WITH_66 | NO_REPS },	/* INVEPT */
	{ INSN_VIRT,	MODRM,		MEM | WITH_66 | NO_REPS },	/* INVVPID */
	{ INSN_INVPCID,	MODRM | FULL,	MEM | WITH_66 | NO_REPS },
};

/* Group 7 with ModRM.mod 3, by the other six bits. */
static const struct form group_7_register[64] = {
	[0x01] = { INSN_VMCALL,		MODRM,	NO_66 | NO_REPS },
	[0x02 ... 0x04] = { INSN_VIRT,	MODRM,	NO_66 | NO_REPS },	/* VMLAUNCH ... VMXOFF */
	[0x08] = { INSN_MONITOR,	MODRM,	NO_66 | NO_REPS },
	[0x09] = { INSN_MWAIT,		MODRM,	NO_66 | NO_REPS },
	[0x11] = { INSN_XSETBV,		MODRM,	NO_66 | NO_REPS },
	[0x14] = { INSN_VIRT,		MODRM,	NO_66 | NO_REPS },	/* VMFUNC */
	[0x18] = { INSN_VIRT,		MODRM },			/* VMRUN */
	[0x19] = { INSN_VMMCALL,	MODRM },
	[0x1a ... 0x1f] = { INSN_VIRT,	MODRM },			/* VMLOAD ... INVLPGA */
	[0x20 ... 0x27] = { INSN_SMSW,	MODRM },
	[0x30 ... 0x37] = { INSN_LMSW,	MODRM },
	[0x39] = { INSN_RDTSCP,		MODRM },
	[0x3a] = { INSN_MONITOR,	MODRM,	NO_66 | NO_REPS },	/* MONITORX */
	[0x3b] = { INSN_MWAIT,		MODRM,	NO_66 | NO_REPS },	/* MWAITX */
	[0x3e ... 0x3f] = { INSN_VIRT,	MODRM,	NO_66 | NO_REPS },	/* INVLPGB, TLBSYNC */
};

/* Groups with a memory operand, by ModRM.reg. */
static const struct form group_7_memory[8] = {
	[4] = { INSN_SMSW,	MODRM },
	[6] = { INSN_LMSW,	MODRM },
	[7] = { INSN_INVLPG,	MODRM },
};

static const struct form group_9_memory[8] = {
	[6] = { INSN_VIRT,	MODRM,	NO_F2 },		/* VMPTRLD, VMCLEAR, VMXON */
	[7] = { INSN_VIRT,	MODRM,	NO_66 | NO_REPS },	/* VMPTRST */
};

static const struct form other;

/* Prefixes: a bit of insn.prefixes, or the segment of an override. */
#define OVERRIDE	0x80
#define REPS		(INSN_REP | INSN_REPNE)

static const u8 prefix_table[256] = {
	[0x26] = OVERRIDE | VMM_ES,
	[0x2e] = OVERRIDE | VMM_CS,
	[0x36] = OVERRIDE | VMM_SS,
	[0x3e] = OVERRIDE | VMM_DS,
	[0x64] = OVERRIDE | VMM_FS,
	[0x65] = OVERRIDE | VMM_GS,
	[0x66] = INSN_OPSIZE,
	[0x67] = INSN_ADDRSIZE,
	[0xf0] = INSN_LOCK,
	[0xf2] = INSN_REPNE,
	[0xf3] = INSN_REP,
};

/* Control registers there are. */
#define CR_VALID	((1U << 0) | (1U << 2) | (1U << 3) | (1U << 4) | (1U << 8))

struct cursor {
	const u8 *bytes;
	unsigned int at;
	unsigned int end;
	bool overrun;
};

/* The next @count bytes as a little-endian number, and past them. */
static u64 take(struct cursor *cursor, unsigned int count)
{
	u64 value = 0;
	unsigned int i;

	if (count > cursor->end - cursor->at) {
		cursor->overrun = true;
		return 0;
	}
	for (i = 0; i < count; i++)
		value |= (u64)cursor->bytes[cursor->at + i] << (8 * i);
	cursor->at += count;
	return value;
}

static u64 low_bytes(u64 value, unsigned int count)
{
	return value & (~0ULL >> (64 - 8 * count));
}

static u64 sign_extend(u64 value, unsigned int count)
{
	unsigned int shift = 64 - 8 * count;

	return (u64)((s64)(value << shift) >> shift);
}

/* A register number's high bit, when @bit of REX is set. */
static u8 rex_extends(const struct insn *insn, u8 bit)
{
	return insn->rex & bit ? 8 : 0;
}

/* In 64-bit mode an override of another segment than FS and GS is ignored. */
static void note_prefix(struct insn *insn, u8 prefix)
{
	if (!(prefix & OVERRIDE)) {
		if (prefix & REPS)
			insn->prefixes &= ~REPS;
		insn->prefixes |= prefix;
		return;
	}
	prefix &= ~OVERRIDE;
	if (insn->mode != INSN_MODE_64 || prefix >= VMM_FS)
		insn->segment = prefix;
}

/* A REX prefix counts only right in front of the opcode. */
static u8 parse_prefixes(struct insn *insn, struct cursor *cursor)
{
	for (;;) {
		u8 byte = take(cursor, 1);

		if (insn->mode == INSN_MODE_64 && (byte & 0xf0) == INSN_REX) {
			insn->rex = byte;
			continue;
		}
		if (!prefix_table[byte])
			return byte;
		note_prefix(insn, prefix_table[byte]);
		insn->rex = 0;
	}
}

static void parse_opcode(struct insn *insn, struct cursor *cursor)
{
	insn->opcode = parse_prefixes(insn, cursor);
	if (insn->opcode != 0x0f)
		return;
	insn->map = INSN_MAP_0F;
	insn->opcode = take(cursor, 1);
	if (insn->opcode != 0x38 && insn->opcode != 0x3a)
		return;
	insn->map = insn->opcode == 0x38 ? INSN_MAP_0F38 : INSN_MAP_0F3A;
	insn->opcode = take(cursor, 1);
}

/* The next byte, not yet taken. */
static u8 peek(struct cursor *cursor)
{
	u8 byte = take(cursor, 1);

	if (!cursor->overrun)
		cursor->at--;
	return byte;
}

static const struct form *find_group(u8 opcode, u8 modrm)
{
	u8 reg = modrm >> 3 & 7;

	if (modrm < 0xc0)
		return opcode == GROUP_7 ? &group_7_memory[reg] : &group_9_memory[reg];
	return opcode == GROUP_7 ? &group_7_register[modrm & 0x3f] : &other;
}

static const struct form *find_form(const struct insn *insn, struct cursor *cursor)
{
	u8 nr = insn->opcode;

	if (insn->map == INSN_MAP_ONE)
		return &one_byte[nr];
	if (insn->map == INSN_MAP_0F && (nr == GROUP_7 || nr == GROUP_9))
		return find_group(nr, peek(cursor));
	if (insn->map == INSN_MAP_0F)
		return &map_0f[nr];
	if (insn->map == INSN_MAP_0F38 && nr >= 0x80 && nr < 0x80 + ARRAY_SIZE(map_0f38))
		return &map_0f38[nr - 0x80];
	return &other;
}

static bool form_fits(const struct form *form, const struct insn *insn)
{
	unsigned int holds = 0;

	holds |= insn->mode == INSN_MODE_64 ? IN_64 : NOT_64;
	holds |= insn->modrm < 0xc0 ? MEM : 0;
	holds |= insn->modrm & 0x38 ? 0 : SLASH_0;
	holds |= insn->prefixes & INSN_OPSIZE ? WITH_66 : NO_66;
	holds |= insn->prefixes & INSN_REP ? WITH_F3 : 0;
	holds |= insn->prefixes & REPS ? 0 : NO_REPS;
	holds |= insn->prefixes & INSN_REPNE ? 0 : NO_F2;
	return !(form->only & ~holds);
}

static u8 operand_size(const struct insn *insn, u8 follows)
{
	bool toggled = insn->prefixes & INSN_OPSIZE;
	u8 size = toggled == (insn->mode == INSN_MODE_16) ? 4 : 2;

	if (follows & BYTE)
		return 1;
	if (follows & FULL)
		return insn->mode == INSN_MODE_64 ? 8 : 4;
	if (insn->rex & INSN_REX_W)
		return follows & PORT ? 4 : 8;
	return size;
}

static u8 address_size(const struct insn *insn)
{
	static const u8 size[][2] = {
		[INSN_MODE_16] = { 2, 4 },
		[INSN_MODE_32] = { 4, 2 },
		[INSN_MODE_64] = { 8, 4 },
	};

	return size[insn->mode][!!(insn->prefixes & INSN_ADDRSIZE)];
}

/* Bytes that a move has in memory. */
static u8 memory_size(const struct insn *insn)
{
	switch (insn->class) {
	case INSN_MOVZX:
	case INSN_MOVSX:
		return insn->opcode & 1 ? 2 : 1;
	case INSN_MOVSXD:
		return min_t(u8, insn->opsize, 4);
	}
	return insn->opsize;
}

/* Settles the segment of a memory operand: an override, or @normal. */
static void default_segment(struct insn *insn, u8 normal)
{
	if (insn->segment == INSN_FLAT && insn->mode != INSN_MODE_64)
		insn->segment = normal;
}

static void take_displacement(struct insn *insn, struct cursor *cursor, unsigned int count)
{
	if (count)
		insn->disp = sign_extend(take(cursor, count), count);
}

/* The eight 16-bit forms; with mod 0, rm 6 is an address without registers. */
static void parse_memory_16(struct insn *insn, struct cursor *cursor)
{
	static const u8 base[] = { VMM_RBX, VMM_RBX, VMM_RBP, VMM_RBP,
				   VMM_RSI, VMM_RDI, VMM_RBP, VMM_RBX };
	static const u8 index[] = { VMM_RSI, VMM_RDI, VMM_RSI, VMM_RDI };
	u8 mod = insn->modrm >> 6, rm = insn->modrm & 7;

	if (mod == 0 && rm == 6) {
		take_displacement(insn, cursor, 2);
		return;
	}
	insn->base = base[rm];
	if (rm < ARRAY_SIZE(index))
		insn->index = index[rm];
	take_displacement(insn, cursor, mod);
}

static void parse_sib(struct insn *insn, struct cursor *cursor)
{
	u8 sib = take(cursor, 1);
	u8 index = (sib >> 3 & 7) | rex_extends(insn, INSN_REX_X);

	insn->scale = sib >> 6;
	insn->base = (sib & 7) | rex_extends(insn, INSN_REX_B);
	if (index != VMM_RSP)
		insn->index = index;
}

/*
 * 32 and 64-bit addressing: rm 4 has a SIB byte; with mod 0, base 5 (whatever
 * REX.B says) is none but a 32-bit displacement, which without a SIB byte is
 * relative to RIP in 64-bit mode.
 */
static void parse_memory_32(struct insn *insn, struct cursor *cursor)
{
	u8 mod = insn->modrm >> 6;
	bool sib = (insn->modrm & 7) == 4;

	insn->base = insn->rm;
	if (sib)
		parse_sib(insn, cursor);
	if (mod == 0 && (insn->base & 7) == 5) {
		insn->base = insn->mode == INSN_MODE_64 && !sib ? INSN_REG_RIP : INSN_NO_REG;
		mod = 2;
	}
	take_displacement(insn, cursor, mod == 2 ? 4 : mod);
}

static void parse_modrm(struct insn *insn, struct cursor *cursor, u8 follows)
{
	insn->reg = (insn->modrm >> 3 & 7) | rex_extends(insn, INSN_REX_R);
	insn->rm = (insn->modrm & 7) | rex_extends(insn, INSN_REX_B);
	if (follows & BYTE && !insn->rex && insn->reg >= 4) {
		insn->high_byte = true;
		insn->reg -= 4;
	}
	insn->memory = insn->modrm < 0xc0 && !(follows & CREG);
	if (!insn->memory)
		return;
	if (insn->addrsize == 2)
		parse_memory_16(insn, cursor);
	else
		parse_memory_32(insn, cursor);
	default_segment(insn, insn->base == VMM_RBP || insn->base == VMM_RSP ? VMM_SS : VMM_DS);
}

static void parse_operands(struct insn *insn, struct cursor *cursor, u8 follows)
{
	if (follows & MODRM)
		parse_modrm(insn, cursor, follows);
	if (follows & MOFFS) {
		insn->memory = true;
		insn->disp = take(cursor, insn->addrsize);
	}
	if (insn->class == INSN_INS)
		insn->segment = insn->mode == INSN_MODE_64 ? INSN_FLAT : VMM_ES;
	default_segment(insn, VMM_DS);
	if (follows & IMM8)
		insn->imm_length = 1;
	if (follows & IMMZ)
		insn->imm_length = min_t(u8, insn->opsize, 4);
	insn->imm = take(cursor, insn->imm_length);
	if (follows & IMMZ)
		insn->imm = low_bytes(sign_extend(insn->imm, insn->imm_length), insn->opsize);
}

/*
 * None of the classes takes LOCK, but that AMD reaches CR8 outside 64-bit mode
 * as LOCK MOV CR0.
 */
static int check_operands(struct insn *insn)
{
	bool to_cr = insn->class == INSN_MOV_FROM_CR || insn->class == INSN_MOV_TO_CR;
	bool to_dr = insn->class == INSN_MOV_FROM_DR || insn->class == INSN_MOV_TO_DR;

	if (insn->prefixes & INSN_LOCK) {
		if (!to_cr || insn->reg)
			return -EINVAL;
		insn->reg = 8;
	}
	if (to_cr && !(CR_VALID & 1U << insn->reg))
		return -EINVAL;
	return to_dr && insn->reg > 7 ? -EINVAL : 0;
}

/* What an overrun means: the bytes handed in end, or those an instruction may have. */
static int overrun_error(const struct cursor *cursor)
{
	return cursor->end == INSN_MAX_LENGTH ? -EINVAL : -ENODATA;
}

int insn_decode(const u8 *bytes, unsigned int len, enum insn_mode mode, struct insn *insn)
{
	struct cursor cursor = { .bytes = bytes, .end = min(len, 0U + INSN_MAX_LENGTH) };
	const struct form *form;

	*insn = (struct insn){
		.mode = mode,
		.segment = INSN_FLAT,
		.base = INSN_NO_REG,
		.index = INSN_NO_REG,
	};
	parse_opcode(insn, &cursor);
	form = find_form(insn, &cursor);
	if (form->follows & MODRM)
		insn->modrm = take(&cursor, 1);
	if (cursor.overrun)
		return overrun_error(&cursor);
	if (form->class == INSN_OTHER || !form_fits(form, insn))
		return 0;

	insn->class = form->class;
	insn->opsize = operand_size(insn, form->follows);
	insn->addrsize = address_size(insn);
	insn->size = memory_size(insn);
	parse_operands(insn, &cursor, form->follows);
	if (cursor.overrun)
		return overrun_error(&cursor);
	insn->length = cursor.at;
	return check_operands(insn);
}

/* The usual encoding of classes that have but one: its length, then its bytes. */
static const u8 usual[INSN_NR_CLASS][4] = {
	[INSN_INT3]	= { 1, 0xcc },
	[INSN_ICEBP]	= { 1, 0xf1 },
	[INSN_CLTS]	= { 2, 0x0f, 0x06 },
	[INSN_CPUID]	= { 2, 0x0f, 0xa2 },
	[INSN_HLT]	= { 1, 0xf4 },
	[INSN_INVD]	= { 2, 0x0f, 0x08 },
	[INSN_WBINVD]	= { 2, 0x0f, 0x09 },
	[INSN_MONITOR]	= { 3, 0x0f, 0x01, 0xc8 },
	[INSN_MWAIT]	= { 3, 0x0f, 0x01, 0xc9 },
	[INSN_PAUSE]	= { 2, 0xf3, 0x90 },
	[INSN_RDMSR]	= { 2, 0x0f, 0x32 },
	[INSN_WRMSR]	= { 2, 0x0f, 0x30 },
	[INSN_RDPMC]	= { 2, 0x0f, 0x33 },
	[INSN_RDTSC]	= { 2, 0x0f, 0x31 },
	[INSN_RDTSCP]	= { 3, 0x0f, 0x01, 0xf9 },
	[INSN_RSM]	= { 2, 0x0f, 0xaa },
	[INSN_XSETBV]	= { 3, 0x0f, 0x01, 0xd1 },
	[INSN_VMCALL]	= { 3, 0x0f, 0x01, 0xc1 },
	[INSN_VMMCALL]	= { 3, 0x0f, 0x01, 0xd9 },
};

int insn_length_of(const u8 *bytes, unsigned int len, enum insn_mode mode,
		   enum insn_class expected)
{
	const u8 *known = usual[expected];
	struct insn insn;
	int ret;

	if (known[0] && len >= known[0] && !memcmp(bytes, known + 1, known[0]))
		return known[0];
	ret = insn_decode(bytes, len, mode, &insn);
	if (ret)
		return ret;
	return insn.class == expected && expected != INSN_OTHER ? insn.length : -EINVAL;
}

u64 insn_linear_offset(const struct insn *insn, const u64 gpr[VMM_NR_GPR], u64 rip)
{
	u64 offset = insn->disp;

	if (insn->base == INSN_REG_RIP)
		offset += rip + insn->length;
	else if (insn->base != INSN_NO_REG)
		offset += gpr[insn->base];
	if (insn->index != INSN_NO_REG)
		offset += gpr[insn->index] << insn->scale;
	return low_bytes(offset, insn->addrsize);
}

/* A register takes 32-bit results zero-extended and keeps the rest of shorter ones. */
u64 insn_load_result(const struct insn *insn, u64 old, u64 data)
{
	unsigned int shift = insn->high_byte ? 8 : 0;
	u64 value = low_bytes(data, insn->size);
	u64 taken;

	if (insn->class == INSN_MOVSX || insn->class == INSN_MOVSXD)
		value = sign_extend(value, insn->size);
	value = low_bytes(value, insn->opsize);
	if (insn->opsize >= 4)
		return value;
	taken = low_bytes(~0ULL, insn->opsize) << shift;
	return (old & ~taken) | value << shift;
}

u64 insn_store_value(const struct insn *insn, const u64 gpr[VMM_NR_GPR])
{
	if (insn->class == INSN_MOV_STORE_IMM)
		return insn->imm;
	return low_bytes(gpr[insn->reg] >> (insn->high_byte ? 8 : 0), insn->size);
}
