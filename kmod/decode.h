/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's instruction decoder: a pure function of bytes.
 *
 * It knows two things. The length of every instruction that can exit, for
 * CPUs that give no next RIP; and moves between one general register (or an
 * immediate) and memory, in full, for the LAPIC page, doorbells and the common
 * device access. All else is INSN_OTHER, and libvmm's to emulate. It executes
 * nothing and reads no guest state but the registers it is handed.
 *
 * The bytes are the guest's and hostile: any string of them is answered in
 * bounded time, and what is answered is in range (register numbers below 16,
 * sizes 1, 2, 4 or 8). The guest can change its code between the exit and the
 * fetch, so a class that does not fit the exit is the guest's doing: the caller
 * enters it again, with no warning.
 */
#ifndef VMM_DECODE_H
#define VMM_DECODE_H

#include <linux/types.h>
#include <linux/vmm.h>

#define INSN_MAX_LENGTH		15

/* How CS makes the CPU decode: CS.L with EFER.LMA, else CS.D. */
enum insn_mode {
	INSN_MODE_16,
	INSN_MODE_32,
	INSN_MODE_64,
};

enum insn_class {
	INSN_OTHER,

	/*
	 * Moves with a memory operand. The moffs forms (A0-A3) are MOV_LOAD and
	 * MOV_STORE_REG of rAX. A move between registers is INSN_OTHER.
	 */
	INSN_MOV_LOAD,		/* the five loads first, */
	INSN_MOVZX,
	INSN_MOVSX,
	INSN_MOVSXD,
	INSN_MOV_STORE_REG,	/* then the two stores: insn_is_load(), insn_is_store() */
	INSN_MOV_STORE_IMM,

	/* Operands in struct insn: reg, rm, memory or imm as noted. */
	INSN_MOV_FROM_CR,	/* reg: 0, 2, 3, 4 or 8; rm: general register */
	INSN_MOV_TO_CR,
	INSN_MOV_FROM_DR,	/* reg: 0 to 7; rm: general register */
	INSN_MOV_TO_DR,
	INSN_LMSW,		/* rm, or memory of 2 bytes */
	INSN_SMSW,		/* rm of opsize bytes, or memory of 2 bytes */
	INSN_INVLPG,		/* memory: the address is what counts */
	INSN_INVPCID,		/* reg; memory of 16 bytes */
	INSN_IN,		/* imm: port, when imm_length is 1, else DX; opsize 1, 2, 4 */
	INSN_OUT,
	INSN_INS,		/* opsize; segment ES */
	INSN_OUTS,		/* opsize; segment */
	INSN_INT_N,		/* imm: vector */
	INSN_IRET,		/* opsize */

	/* No operands. */
	INSN_INT3,
	INSN_INTO,
	INSN_ICEBP,
	INSN_CLTS,
	INSN_CPUID,
	INSN_HLT,
	INSN_INVD,
	INSN_WBINVD,		/* WBNOINVD too */
	INSN_MONITOR,		/* MONITORX too */
	INSN_MWAIT,		/* MWAITX too */
	INSN_PAUSE,
	INSN_RDMSR,
	INSN_WRMSR,
	INSN_RDPMC,
	INSN_RDTSC,
	INSN_RDTSCP,
	INSN_RSM,
	INSN_XSETBV,
	INSN_VMCALL,		/* Intel's hypercall */
	INSN_VMMCALL,		/* AMD's; VMGEXIT too */
	INSN_VIRT,		/* every other one of virtualization and safer mode */
	INSN_NR_CLASS
};

/* insn.prefixes */
#define INSN_OPSIZE	0x01	/* 66 */
#define INSN_ADDRSIZE	0x02	/* 67 */
#define INSN_LOCK	0x04	/* F0 */
#define INSN_REP	0x08	/* F3; of F3 and F2 only the later one is noted */
#define INSN_REPNE	0x10	/* F2 */

/* insn.rex: the low bits of a REX prefix that counts, and INSN_REX itself. */
#define INSN_REX_B	0x01
#define INSN_REX_X	0x02
#define INSN_REX_R	0x04
#define INSN_REX_W	0x08
#define INSN_REX	0x40

/* insn.map */
#define INSN_MAP_ONE	0	/* one byte */
#define INSN_MAP_0F	1
#define INSN_MAP_0F38	2
#define INSN_MAP_0F3A	3

#define INSN_NO_REG	0xff	/* base, index: none */
#define INSN_REG_RIP	0xfe	/* base: the next instruction's address */
#define INSN_FLAT	0xff	/* segment: base 0 (64-bit mode without FS or GS) */

/*
 * struct insn - one decoded instruction
 * @class: enum insn_class; with INSN_OTHER nothing behind @opcode is valid
 * @mode: enum insn_mode it was decoded for
 * @prefixes, @rex: see above
 * @map, @opcode: opcode map and the byte in it
 * @length: bytes of the whole instruction, 1 to 15
 * @opsize: bytes of the register operand or of the port access
 * @addrsize: bytes of an address: 2, 4 or 8
 * @modrm: the byte, 0 if there is none
 * @reg, @rm: register numbers with REX.R and REX.B added; an enum vmm_gpr but
 *	for control and debug registers. @rm is a register only if !@memory.
 * @high_byte: @reg is bits 8 to 15 of the register (AH, CH, DH, BH)
 * @memory: there is a memory operand, described by:
 * @size: bytes moved from or to memory (moves only)
 * @segment: enum vmm_sreg whose base is to be added, override or default, or
 *	INSN_FLAT
 * @base: enum vmm_gpr, INSN_REG_RIP or INSN_NO_REG
 * @index: enum vmm_gpr or INSN_NO_REG
 * @scale: shift for the index, 0 to 3
 * @disp: sign-extended (absolute address of a moffs form: zero-extended)
 * @imm_length: bytes of the immediate in the encoding
 * @imm: for a move, sign-extended and cut to @opsize; else zero-extended
 */
struct insn {
	u8 class;
	u8 mode;
	u8 prefixes;
	u8 rex;
	u8 map;
	u8 opcode;
	u8 length;
	u8 opsize;
	u8 addrsize;
	u8 modrm;
	u8 reg;
	u8 rm;
	bool high_byte;
	bool memory;
	u8 size;
	u8 segment;
	u8 base;
	u8 index;
	u8 scale;
	u8 imm_length;
	u64 disp;
	u64 imm;
};

static inline bool insn_is_load(const struct insn *insn)
{
	return insn->class >= INSN_MOV_LOAD && insn->class <= INSN_MOVSXD;
}

static inline bool insn_is_store(const struct insn *insn)
{
	return insn->class == INSN_MOV_STORE_REG || insn->class == INSN_MOV_STORE_IMM;
}

/*
 * insn_decode - decode the instruction at the start of @bytes
 * @len: bytes there are; more than 15 are not looked at
 *
 * Returns 0 and *@insn. -ENODATA: the instruction goes on behind @len bytes.
 * -EINVAL: it raises #UD or #GP before it could do anything: longer than 15
 * bytes, LOCK where there may be none, a control or debug register there is
 * not. On an error *@insn is not to be used. No context or locks needed.
 */
int insn_decode(const u8 *bytes, unsigned int len, enum insn_mode mode, struct insn *insn);

/*
 * insn_length_of - length of an instruction that is known to be of a class
 * @expected: what the exit said
 *
 * Returns the length, 1 to 15; -ENODATA as insn_decode(); -EINVAL: it is none
 * of class @expected.
 */
int insn_length_of(const u8 *bytes, unsigned int len, enum insn_mode mode,
		   enum insn_class expected);

/*
 * insn_linear_offset - effective address of the memory operand
 * @gpr: by enum vmm_gpr
 * @rip: of the instruction's first byte
 *
 * Cut to the address size; the segment's base is not added.
 */
u64 insn_linear_offset(const struct insn *insn, const u64 gpr[VMM_NR_GPR], u64 rip);

/*
 * insn_load_result - what a load leaves in its register
 * @old: the whole register before
 * @data: what memory held; bits above insn->size bytes are ignored
 */
u64 insn_load_result(const struct insn *insn, u64 old, u64 data);

/* insn_store_value - what a store puts into memory, zero above insn->size bytes */
u64 insn_store_value(const struct insn *insn, const u64 gpr[VMM_NR_GPR]);

#endif /* VMM_DECODE_H */
