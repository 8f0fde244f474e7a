// SPDX-License-Identifier: GPL-2.0-or-later
/* unit-sources: decode_oracle.c ../kmod/decode.c */
/* unit-libs: -lZydis */
/*
 * kmod/decode.c: cases written from the manuals, each class in each mode that
 * has it, what loads and stores yield, and some millions of strings against
 * Zydis, the same in each run.
 */
#include <errno.h>
#include <stdlib.h>
#include <linux/kernel.h>

#include "decode.h"
#include "decode_oracle.h"
#include "tap.h"

static const char * const mode_name[] = {
	[INSN_MODE_16] = "16", [INSN_MODE_32] = "32", [INSN_MODE_64] = "64",
};

static const char * const class_name[INSN_NR_CLASS] = {
	[INSN_OTHER] = "other",
	[INSN_MOV_LOAD] = "load", [INSN_MOVZX] = "movzx",
	[INSN_MOVSX] = "movsx", [INSN_MOVSXD] = "movsxd",
	[INSN_MOV_STORE_REG] = "store", [INSN_MOV_STORE_IMM] = "store_imm",
	[INSN_MOV_FROM_CR] = "from_cr", [INSN_MOV_TO_CR] = "to_cr",
	[INSN_MOV_FROM_DR] = "from_dr", [INSN_MOV_TO_DR] = "to_dr",
	[INSN_LMSW] = "lmsw", [INSN_SMSW] = "smsw",
	[INSN_INVLPG] = "invlpg", [INSN_INVPCID] = "invpcid",
	[INSN_IN] = "in", [INSN_OUT] = "out", [INSN_INS] = "ins", [INSN_OUTS] = "outs",
	[INSN_INT_N] = "int", [INSN_IRET] = "iret",
	[INSN_INT3] = "int3", [INSN_INTO] = "into", [INSN_ICEBP] = "icebp",
	[INSN_CLTS] = "clts", [INSN_CPUID] = "cpuid", [INSN_HLT] = "hlt",
	[INSN_INVD] = "invd", [INSN_WBINVD] = "wbinvd",
	[INSN_MONITOR] = "monitor", [INSN_MWAIT] = "mwait", [INSN_PAUSE] = "pause",
	[INSN_RDMSR] = "rdmsr", [INSN_WRMSR] = "wrmsr", [INSN_RDPMC] = "rdpmc",
	[INSN_RDTSC] = "rdtsc", [INSN_RDTSCP] = "rdtscp", [INSN_RSM] = "rsm",
	[INSN_XSETBV] = "xsetbv", [INSN_VMCALL] = "vmcall", [INSN_VMMCALL] = "vmmcall",
	[INSN_VIRT] = "virt",
};

/* "0f a2" -> bytes; the number of them. */
static unsigned int parse_hex(const char *hex, u8 bytes[32])
{
	unsigned int count = 0;
	char *end;

	while (*hex && count < 32) {
		bytes[count++] = strtoul(hex, &end, 16);
		hex = end;
	}
	return count;
}

/* Room for one description, filled from the left. */
struct text {
	char buf[128];
	size_t used;
};

__printf(2, 3)
static void add(struct text *text, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text->used += vsnprintf(text->buf + text->used, sizeof(text->buf) - text->used,
				format, args);
	va_end(args);
}

static void add_memory(struct text *text, const struct insn *insn)
{
	static const char * const segment[] = { "es", "cs", "ss", "ds", "fs", "gs" };
	long long disp = insn->disp;

	add(text, " %s[", insn->segment == INSN_FLAT ? "flat" : segment[insn->segment]);
	if (insn->base == INSN_REG_RIP)
		add(text, "rip");
	else if (insn->base != INSN_NO_REG)
		add(text, "r%u", insn->base);
	if (insn->index != INSN_NO_REG)
		add(text, "+r%u*%u", insn->index, 1 << insn->scale);
	add(text, "%c%#llx]a%u", disp < 0 ? '-' : '+', disp < 0 ? -insn->disp : insn->disp,
	    insn->addrsize);
}

/*
 * One line for an instruction: length, class, then as the class has them the
 * register and its size, the memory operand (segment, address, address size), its
 * size, the immediate.
 */
static const char *describe(int ret, const struct insn *insn, struct text *text)
{
	bool move = insn_is_load(insn) || insn_is_store(insn);

	text->used = 0;
	if (ret == -EINVAL || ret == -ENODATA)
		return ret == -EINVAL ? "EINVAL" : "ENODATA";
	if (insn->class == INSN_OTHER)
		return "other";
	add(text, "%u %s", insn->length, class_name[insn->class]);
	if (insn->class >= INSN_MOV_FROM_CR && insn->class <= INSN_MOV_TO_DR)
		add(text, " %u r%u", insn->reg, insn->rm);
	else if ((move && insn->class != INSN_MOV_STORE_IMM) || insn->class == INSN_INVPCID)
		add(text, " r%u%s/%u", insn->reg, insn->high_byte ? "h" : "", insn->opsize);
	else if ((insn->class == INSN_LMSW || insn->class == INSN_SMSW) && !insn->memory)
		add(text, " r%u/%u", insn->rm, insn->opsize);
	else if (insn->class >= INSN_IN && insn->class <= INSN_OUTS)
		add(text, "/%u", insn->opsize);
	if (insn->memory || insn->class == INSN_OUTS || insn->class == INSN_INS)
		add_memory(text, insn);
	if (move)
		add(text, " m%u", insn->size);
	if (insn->imm_length)
		add(text, " $%#llx", (unsigned long long)insn->imm);
	return text->buf;
}

struct decoded {
	int mode;
	const char *hex;
	const char *want;
};

#define M16	INSN_MODE_16
#define M32	INSN_MODE_32
#define M64	INSN_MODE_64

static const struct decoded decoded[] = {
	/* stores and loads, operand sizes */
	{ M64, "88 08",				"2 store r1/1 flat[r0+0]a8 m1" },
	{ M64, "89 08",				"2 store r1/4 flat[r0+0]a8 m4" },
	{ M64, "66 89 08",			"3 store r1/2 flat[r0+0]a8 m2" },
	{ M64, "48 89 08",			"3 store r1/8 flat[r0+0]a8 m8" },
	{ M64, "66 48 89 08",			"4 store r1/8 flat[r0+0]a8 m8" },
	{ M32, "89 08",				"2 store r1/4 ds[r0+0]a4 m4" },
	{ M32, "66 89 08",			"3 store r1/2 ds[r0+0]a4 m2" },
	{ M16, "89 0f",				"2 store r1/2 ds[r3+0]a2 m2" },
	{ M16, "66 89 0f",			"3 store r1/4 ds[r3+0]a2 m4" },
	{ M64, "8a 08",				"2 load r1/1 flat[r0+0]a8 m1" },
	{ M64, "8b 08",				"2 load r1/4 flat[r0+0]a8 m4" },
	{ M16, "8b 07",				"2 load r0/2 ds[r3+0]a2 m2" },

	/* high bytes without REX, SPL to DIL with any */
	{ M64, "8a 20",				"2 load r0h/1 flat[r0+0]a8 m1" },
	{ M64, "88 38",				"2 store r3h/1 flat[r0+0]a8 m1" },
	{ M64, "40 8a 20",			"3 load r4/1 flat[r0+0]a8 m1" },
	{ M64, "44 88 38",			"3 store r15/1 flat[r0+0]a8 m1" },
	{ M32, "8a 28",				"2 load r1h/1 ds[r0+0]a4 m1" },
	{ M64, "8b 20",				"2 load r4/4 flat[r0+0]a8 m4" },

	/* immediates */
	{ M64, "c6 00 ff",			"3 store_imm flat[r0+0]a8 m1 $0xff" },
	{ M64, "c7 00 78 56 34 92",		"6 store_imm flat[r0+0]a8 m4 $0x92345678" },
	{ M64, "48 c7 00 78 56 34 92",		"7 store_imm flat[r0+0]a8 m8 $0xffffffff92345678" },
	{ M64, "66 c7 00 34 92",		"5 store_imm flat[r0+0]a8 m2 $0x9234" },
	{ M16, "c7 07 34 92",			"4 store_imm ds[r3+0]a2 m2 $0x9234" },
	{ M16, "66 c7 07 78 56 34 92",		"7 store_imm ds[r3+0]a2 m4 $0x92345678" },
	{ M64, "c7 08 78 56 34 12",		"other" },
	{ M64, "c6 f8 01",			"other" },

	/* extensions */
	{ M64, "0f b6 08",			"3 movzx r1/4 flat[r0+0]a8 m1" },
	{ M64, "0f b7 08",			"3 movzx r1/4 flat[r0+0]a8 m2" },
	{ M64, "66 0f b6 08",			"4 movzx r1/2 flat[r0+0]a8 m1" },
	{ M64, "0f b6 20",			"3 movzx r4/4 flat[r0+0]a8 m1" },
	{ M64, "48 0f be 08",			"4 movsx r1/8 flat[r0+0]a8 m1" },
	{ M32, "0f bf 08",			"3 movsx r1/4 ds[r0+0]a4 m2" },
	{ M64, "48 63 08",			"3 movsxd r1/8 flat[r0+0]a8 m4" },
	{ M64, "63 08",				"2 movsxd r1/4 flat[r0+0]a8 m4" },
	{ M64, "66 63 08",			"3 movsxd r1/2 flat[r0+0]a8 m2" },
	{ M32, "63 08",				"other" },

	/* moffs */
	{ M64, "a1 88 77 66 55 44 33 22 91",	"9 load r0/4 flat[-0x6eddccbbaa998878]a8 m4" },
	{ M64, "67 a1 78 56 34 12",		"6 load r0/4 flat[+0x12345678]a4 m4" },
	{ M64, "67 a1 78 56 34 92",		"6 load r0/4 flat[+0x92345678]a4 m4" },
	{ M64, "49 a3 01 00 00 00 00 00 00 00",	"10 store r0/8 flat[+0x1]a8 m8" },
	{ M64, "64 a0 01 00 00 00 00 00 00 00",	"10 load r0/1 fs[+0x1]a8 m1" },
	{ M32, "a2 78 56 34 12",		"5 store r0/1 ds[+0x12345678]a4 m1" },
	{ M32, "67 a3 34 12",			"4 store r0/4 ds[+0x1234]a2 m4" },
	{ M16, "26 a1 34 12",			"4 load r0/2 es[+0x1234]a2 m2" },

	/* 16-bit addresses */
	{ M16, "8b 00",				"2 load r0/2 ds[r3+r6*1+0]a2 m2" },
	{ M16, "8b 41 80",			"3 load r0/2 ds[r3+r7*1-0x80]a2 m2" },
	{ M16, "8b 82 34 12",			"4 load r0/2 ss[r5+r6*1+0x1234]a2 m2" },
	{ M16, "8b 03",				"2 load r0/2 ss[r5+r7*1+0]a2 m2" },
	{ M16, "8b 04",				"2 load r0/2 ds[r6+0]a2 m2" },
	{ M16, "8b 05",				"2 load r0/2 ds[r7+0]a2 m2" },
	{ M16, "8b 06 34 12",			"4 load r0/2 ds[+0x1234]a2 m2" },
	{ M16, "8b 46 01",			"3 load r0/2 ss[r5+0x1]a2 m2" },
	{ M16, "67 8b 04 8b",			"4 load r0/2 ds[r3+r1*4+0]a4 m2" },
	{ M32, "67 8b 00",			"3 load r0/4 ds[r3+r6*1+0]a2 m4" },

	/* 32 and 64-bit addresses */
	{ M64, "8b 04 8b",			"3 load r0/4 flat[r3+r1*4+0]a8 m4" },
	{ M64, "8b 44 8b 10",			"4 load r0/4 flat[r3+r1*4+0x10]a8 m4" },
	{ M64, "8b 84 8b 00 00 00 80",		"7 load r0/4 flat[r3+r1*4-0x80000000]a8 m4" },
	{ M64, "8b 04 24",			"3 load r0/4 flat[r4+0]a8 m4" },
	{ M64, "42 8b 04 20",			"4 load r0/4 flat[r0+r12*1+0]a8 m4" },
	{ M64, "47 8b 3c 7f",			"4 load r15/4 flat[r15+r15*2+0]a8 m4" },
	{ M64, "8b 05 04 00 00 00",		"6 load r0/4 flat[rip+0x4]a8 m4" },
	{ M64, "67 8b 05 fc ff ff ff",		"7 load r0/4 flat[rip-0x4]a4 m4" },
	{ M64, "41 8b 05 04 00 00 00",		"7 load r0/4 flat[rip+0x4]a8 m4" },
	{ M64, "41 8b 45 04",			"4 load r0/4 flat[r13+0x4]a8 m4" },
	{ M64, "41 8b 04 24",			"4 load r0/4 flat[r12+0]a8 m4" },
	{ M64, "8b 04 25 00 00 e0 fe",		"7 load r0/4 flat[-0x1200000]a8 m4" },
	{ M64, "41 8b 04 25 00 00 e0 fe",	"8 load r0/4 flat[-0x1200000]a8 m4" },
	{ M64, "67 41 8b 04 45 08 00 00 00",	"9 load r0/4 flat[+r0*2+0x8]a4 m4" },
	{ M32, "8b 05 04 00 00 00",		"6 load r0/4 ds[+0x4]a4 m4" },
	{ M32, "8b 45 04",			"3 load r0/4 ss[r5+0x4]a4 m4" },
	{ M32, "8b 04 24",			"3 load r0/4 ss[r4+0]a4 m4" },
	{ M32, "8b 04 2d 04 00 00 00",		"7 load r0/4 ds[+r5*1+0x4]a4 m4" },

	/* prefixes */
	{ M64, "2e 8b 00",			"3 load r0/4 flat[r0+0]a8 m4" },
	{ M64, "65 3e 8b 00",			"4 load r0/4 gs[r0+0]a8 m4" },
	{ M64, "65 64 8b 00",			"4 load r0/4 fs[r0+0]a8 m4" },
	{ M32, "65 3e 8b 00",			"4 load r0/4 ds[r0+0]a4 m4" },
	{ M32, "36 8b 00",			"3 load r0/4 ss[r0+0]a4 m4" },
	{ M64, "48 66 8b 00",			"4 load r0/2 flat[r0+0]a8 m2" },
	{ M64, "44 48 8b 00",			"4 load r0/8 flat[r0+0]a8 m8" },
	{ M64, "f3 89 08",			"3 store r1/4 flat[r0+0]a8 m4" },
	{ M32, "48 8b 00",			"other" },
	{ M64, "f0 89 08",			"EINVAL" },
	{ M64, "f0 0f a2",			"EINVAL" },
	{ M64, "f0 01 08",			"other" },
	{ M64, "66 66 66 66 66 66 66 66 66 66 66 66 66 0f a2",		"15 cpuid" },
	{ M64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 0f a2",	"EINVAL" },
	{ M64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66",		"EINVAL" },
	{ M64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66",		"ENODATA" },

	/* not moves to or from memory */
	{ M64, "89 c8",				"other" },
	{ M64, "0f b6 c8",			"other" },
	{ M64, "8e 00",				"other" },
	{ M64, "c5 f8 28 00",			"other" },
	{ M64, "01 08",				"other" },
	{ M64, "f3 a4",				"other" },

	/* control and debug registers; ModRM.mod is ignored */
	{ M64, "0f 20 d8",			"3 from_cr 3 r0" },
	{ M64, "0f 22 e1",			"3 to_cr 4 r1" },
	{ M64, "44 0f 20 c1",			"4 from_cr 8 r1" },
	{ M64, "41 0f 22 c7",			"4 to_cr 0 r15" },
	{ M64, "0f 20 1d",			"3 from_cr 3 r5" },
	{ M32, "f0 0f 20 c3",			"4 from_cr 8 r3" },
	{ M32, "f0 0f 22 03",			"4 to_cr 8 r3" },
	{ M32, "f0 0f 22 d8",			"EINVAL" },
	{ M64, "0f 20 c8",			"EINVAL" },
	{ M64, "0f 22 e8",			"EINVAL" },
	{ M64, "44 0f 22 d0",			"EINVAL" },
	{ M16, "0f 21 f8",			"3 from_dr 7 r0" },
	{ M64, "41 0f 23 f0",			"4 to_dr 6 r8" },
	{ M64, "44 0f 23 c0",			"EINVAL" },

	/* the rest with operands */
	{ M64, "0f 01 f0",			"3 lmsw r0/4" },
	{ M16, "0f 01 37",			"3 lmsw ds[r3+0]a2" },
	{ M64, "48 0f 01 e3",			"4 smsw r3/8" },
	{ M64, "0f 01 63 10",			"4 smsw flat[r3+0x10]a8" },
	{ M64, "0f 01 3c 08",			"4 invlpg flat[r0+r1*1+0]a8" },
	{ M64, "65 0f 01 38",			"4 invlpg gs[r0+0]a8" },
	{ M64, "66 0f 38 82 08",		"5 invpcid r1/8 flat[r0+0]a8" },
	{ M32, "66 0f 38 82 0d 01 00 00 00",	"9 invpcid r1/4 ds[+0x1]a4" },
	{ M64, "0f 38 82 08",			"other" },
	{ M64, "e4 ff",				"2 in/1 $0xff" },
	{ M64, "66 e5 80",			"3 in/2 $0x80" },
	{ M64, "48 e7 80",			"3 out/4 $0x80" },
	{ M16, "ed",				"1 in/2" },
	{ M32, "ef",				"1 out/4" },
	{ M32, "ee",				"1 out/1" },
	{ M32, "f3 6c",				"2 ins/1 es[+0]a4" },
	{ M32, "26 67 66 6f",			"4 outs/2 es[+0]a2" },
	{ M32, "64 6d",				"2 ins/4 es[+0]a4" },
	{ M64, "65 6e",				"2 outs/1 gs[+0]a8" },
	{ M64, "65 6c",				"2 ins/1 flat[+0]a8" },
	{ M64, "cd 80",				"2 int $0x80" },
	{ M64, "48 cf",				"2 iret" },
	{ M32, "ce",				"1 into" },
	{ M64, "ce",				"other" },
	{ M64, "90",				"other" },
	{ M64, "f2 90",				"other" },
	{ M64, "f3 0f 09",			"3 wbinvd" },

	/* cut short */
	{ M64, "",				"ENODATA" },
	{ M64, "0f",				"ENODATA" },
	{ M64, "0f 01",				"ENODATA" },
	{ M64, "0f 38",				"ENODATA" },
	{ M64, "48",				"ENODATA" },
	{ M64, "8b",				"ENODATA" },
	{ M64, "8b 04",				"ENODATA" },
	{ M64, "c7 80 00 00 00 00 01 02 03",	"ENODATA" },
};

static void test_decoded(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(decoded); i++) {
		const struct decoded *d = &decoded[i];
		struct insn insn;
		struct text text;
		u8 bytes[32];
		unsigned int len = parse_hex(d->hex, bytes);
		int ret = insn_decode(bytes, len, d->mode, &insn);

		is_str(describe(ret, &insn, &text), d->want, "%s-bit %s", mode_name[d->mode],
		       d->hex);
	}
}

struct bare {
	enum insn_class class;
	const char *hex;
};

/* Instructions whose length is the same in all modes, and that ignore 67 and segments. */
static const struct bare bare[] = {
	{ INSN_INT3, "cc" }, { INSN_ICEBP, "f1" }, { INSN_HLT, "f4" }, { INSN_IRET, "cf" },
	{ INSN_INT_N, "cd 20" }, { INSN_CLTS, "0f 06" }, { INSN_CPUID, "0f a2" },
	{ INSN_INVD, "0f 08" }, { INSN_WBINVD, "0f 09" }, { INSN_RDMSR, "0f 32" },
	{ INSN_WRMSR, "0f 30" }, { INSN_RDPMC, "0f 33" }, { INSN_RDTSC, "0f 31" },
	{ INSN_RSM, "0f aa" }, { INSN_PAUSE, "f3 90" }, { INSN_RDTSCP, "0f 01 f9" },
	{ INSN_MONITOR, "0f 01 c8" }, { INSN_MONITOR, "0f 01 fa" }, { INSN_MWAIT, "0f 01 c9" },
	{ INSN_MWAIT, "0f 01 fb" }, { INSN_XSETBV, "0f 01 d1" }, { INSN_VMCALL, "0f 01 c1" },
	{ INSN_VMMCALL, "0f 01 d9" }, { INSN_IN, "e4 60" }, { INSN_IN, "ed" },
	{ INSN_OUT, "e7 60" }, { INSN_OUT, "ee" }, { INSN_INS, "6c" }, { INSN_OUTS, "6f" },
	{ INSN_MOV_TO_CR, "0f 22 d8" }, { INSN_MOV_FROM_DR, "0f 21 f8" },
	{ INSN_VIRT, "0f 01 c2" }, { INSN_VIRT, "0f 01 c3" }, { INSN_VIRT, "0f 01 c4" },
	{ INSN_VIRT, "0f 01 d4" }, { INSN_VIRT, "0f 01 d8" }, { INSN_VIRT, "0f 01 da" },
	{ INSN_VIRT, "0f 01 db" }, { INSN_VIRT, "0f 01 dc" }, { INSN_VIRT, "0f 01 dd" },
	{ INSN_VIRT, "0f 01 de" }, { INSN_VIRT, "0f 01 df" }, { INSN_VIRT, "0f 01 fe" },
	{ INSN_VIRT, "0f 01 ff" }, { INSN_VIRT, "0f 37" }, { INSN_VIRT, "0f 78 c0" },
	{ INSN_VIRT, "0f 79 c0" }, { INSN_VIRT, "0f c7 37" }, { INSN_VIRT, "66 0f c7 37" },
	{ INSN_VIRT, "f3 0f c7 37" }, { INSN_VIRT, "0f c7 3f" },
	{ INSN_VIRT, "66 0f 38 80 0f" }, { INSN_VIRT, "66 0f 38 81 0f" },
};

static int prefixed_length(const u8 *bytes, unsigned int len, const char *prefixes, int mode,
			   enum insn_class class)
{
	u8 all[32];
	unsigned int count = parse_hex(prefixes, all);

	memcpy(all + count, bytes, len);
	return insn_length_of(all, count + len, mode, class);
}

static bool bare_holds(const struct bare *b, int mode)
{
	u8 bytes[32];
	int len = parse_hex(b->hex, bytes);
	enum insn_class wrong = b->class == INSN_CPUID ? INSN_HLT : INSN_CPUID;

	return insn_length_of(bytes, len, mode, b->class) == len &&
	       insn_length_of(bytes, len - 1, mode, b->class) == -ENODATA &&
	       insn_length_of(bytes, len, mode, wrong) == -EINVAL &&
	       insn_length_of(bytes, len, mode, INSN_OTHER) == -EINVAL &&
	       prefixed_length(bytes, len, "3e", mode, b->class) == len + 1 &&
	       prefixed_length(bytes, len, "2e 65 36", mode, b->class) == len + 3 &&
	       prefixed_length(bytes, len, "67 64", mode, b->class) == len + 2 &&
	       (mode != INSN_MODE_64 ||
		prefixed_length(bytes, len, "67 64 48", mode, b->class) == len + 3) &&
	       prefixed_length(bytes, len, "f0", mode, b->class) == -EINVAL;
}

static void test_bare(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(bare); i++)
		for (int mode = INSN_MODE_16; mode <= INSN_MODE_64; mode++)
			ok(bare_holds(&bare[i], mode), "%s-bit %s (%s): length, prefixes, LOCK",
			   mode_name[mode], bare[i].hex, class_name[bare[i].class]);
}

struct loaded {
	const char *claim;
	const char *hex;
	u64 data;
	u64 want;
};

#define OLD	0x1122334455667788ULL

static const struct loaded loaded[] = {
	{ "8 bits merge",		"8a 08",	0xfedcba9876543281, 0x1122334455667781 },
	{ "a high byte merges",		"8a 20",	0xfedcba9876543281, 0x1122334455668188 },
	{ "16 bits merge",		"66 8b 08",	0xfedcba9876543281, 0x1122334455663281 },
	{ "32 bits extend with zero",	"8b 08",	0xfedcba98f6543281, 0x00000000f6543281 },
	{ "64 bits replace",		"48 8b 08",	0xfedcba98f6543281, 0xfedcba98f6543281 },
	{ "movzx 8 to 16 merges",	"66 0f b6 08",	0xffffffffffffff81, 0x1122334455660081 },
	{ "movzx 8 to 32",		"0f b6 08",	0xffffffffffffff81, 0x0000000000000081 },
	{ "movzx 16 to 32",		"0f b7 08",	0xffffffffffff8281, 0x0000000000008281 },
	{ "movzx 16 to 64",		"48 0f b7 08",	0xffffffffffff8281, 0x0000000000008281 },
	{ "movsx 8 to 16 merges",	"66 0f be 08",	0x81, 0x112233445566ff81 },
	{ "movsx 8 to 32",		"0f be 08",	0x81, 0x00000000ffffff81 },
	{ "movsx 8 to 32, positive",	"0f be 08",	0xff71, 0x71 },
	{ "movsx 16 to 64",		"48 0f bf 08",	0x8281, 0xffffffffffff8281 },
	{ "movsxd 32 to 64",		"48 63 08",	0x84838281, 0xffffffff84838281 },
	{ "movsxd 32 to 32",		"63 08",	0x84838281, 0x84838281 },
};

static void test_loads(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(loaded); i++) {
		struct insn insn;
		u8 bytes[32];
		unsigned int len = parse_hex(loaded[i].hex, bytes);

		insn_decode(bytes, len, INSN_MODE_64, &insn);
		is(insn_load_result(&insn, OLD, loaded[i].data), loaded[i].want, "load: %s",
		   loaded[i].claim);
	}
}

static u64 stored(const char *hex)
{
	u64 gpr[VMM_NR_GPR] = { OLD, 0x99aabbccddeeff00ULL };
	struct insn insn;
	u8 bytes[32];
	unsigned int len = parse_hex(hex, bytes);

	insn_decode(bytes, len, INSN_MODE_64, &insn);
	return insn_store_value(&insn, gpr);
}

static void test_stores(void)
{
	is(stored("88 00"), 0x88, "store: the low byte");
	is(stored("88 20"), 0x77, "store: a high byte");
	is(stored("66 89 00"), 0x7788, "store: 16 bits");
	is(stored("89 08"), 0xddeeff00, "store: 32 bits");
	is(stored("48 89 08"), 0x99aabbccddeeff00, "store: 64 bits");
	is(stored("c6 00 81"), 0x81, "store: an 8-bit immediate");
	is(stored("48 c7 00 01 00 00 80"), 0xffffffff80000001, "store: 32 bits extended to 64");
}

static u64 address(int mode, const char *hex, u64 rip)
{
	u64 gpr[VMM_NR_GPR] = {
		[VMM_RBX] = 0xfffffffffffffff0ULL, [VMM_RSI] = 0x1fff8, [VMM_RCX] = 0x10,
	};
	struct insn insn;
	u8 bytes[32];
	unsigned int len = parse_hex(hex, bytes);

	insn_decode(bytes, len, mode, &insn);
	return insn_linear_offset(&insn, gpr, rip);
}

static void test_addresses(void)
{
	is(address(M64, "8b 04 8b", 0), 0x30, "address: 64 bits wrap");
	is(address(M64, "67 8b 04 8b", 0), 0x30, "address: 32 bits wrap");
	is(address(M64, "67 8b 03", 0), 0xfffffff0, "address: 67 cuts to 32 bits");
	is(address(M16, "8b 00", 0), 0xffe8, "address: 16 bits wrap");
	is(address(M64, "8b 05 10 00 00 00", 0x1000), 0x1016, "address: RIP is the next one");
	is(address(M64, "c7 05 10 00 00 00 1 2 3 4", 0x1000), 0x101a,
	   "address: the immediate counts for RIP");
	is(address(M64, "67 8b 05 f0 ff ff ff", 0x100000000), 0xfffffff7,
	   "address: EIP-relative wraps at 32 bits");
	is(address(M64, "a1 00 00 e0 fe 00 00 00 00", 5), 0xfee00000, "address: absolute");
}

/* ---- against Zydis ---- */

#define SHOWN		10	/* differences that are printed */
#define RANDOM_STRINGS	2000000

static unsigned long long differences;
static unsigned long long met[INSN_NR_CLASS];

static void compare(const u8 *bytes, unsigned int len, int mode)
{
	struct text text = {};
	unsigned int class;
	const char *differs = decode_oracle(bytes, len, mode, &class);

	met[class]++;
	if (!differs || ++differences > SHOWN)
		return;
	for (unsigned int i = 0; i < len; i++)
		add(&text, " %02x", bytes[i]);
	tap_note("%s-bit%s: %s", mode_name[mode], text.buf, differs);
}

/* xorshift64*: the same numbers in each run */
static u64 next_random(void)
{
	static u64 state = 0x853c49e6748fea9bULL;

	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (state * 0x2545f4914f6cdd1dULL) >> 16;
}

static const char * const prefix_sets[] = {
	"", "66", "67", "f0", "f2", "f3", "66 f3", "64", "26", "66 67",
	"40", "41", "44", "48", "67 4f", "66 48", "48 66", "f3 48", "f2 f3", "f3 f2 45",
};

/* Every opcode of three maps with every byte behind it. */
static void compare_opcodes(const char *prefixes, int mode)
{
	static const char * const maps[] = { "", "0f", "0f 38" };

	for (unsigned int map = 0; map < 3; map++) {
		for (unsigned int i = 0; i < 0x10000; i++) {
			u8 bytes[48];
			unsigned int len = parse_hex(prefixes, bytes);

			len += parse_hex(maps[map], bytes + len);
			bytes[len++] = i >> 8;
			bytes[len++] = i;
			while (len < INSN_MAX_LENGTH)
				bytes[len++] = next_random();
			compare(bytes, len, mode);
		}
	}
}

static void test_opcodes(void)
{
	differences = 0;
	for (size_t i = 0; i < ARRAY_SIZE(prefix_sets); i++)
		for (int mode = INSN_MODE_16; mode <= INSN_MODE_64; mode++)
			compare_opcodes(prefix_sets[i], mode);
	is(differences, 0, "every opcode and ModRM with %zu sets of prefixes: as Zydis",
	   ARRAY_SIZE(prefix_sets));
}

/* Some prefixes, an opcode that decode.c knows or is near to one, anything. */
static void compare_random(void)
{
	static const u8 prefixes[] = {
		0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x66, 0xf3,
		0x40, 0x41, 0x42, 0x44, 0x48, 0x4f,
	};
	u64 dice = next_random();
	unsigned int wanted = dice % 32 ? dice / 32 % 4 : dice / 32 % 16;
	unsigned int len = dice / 512 % 8 ? INSN_MAX_LENGTH : dice / 4096 % 16;
	u8 bytes[32];
	unsigned int i;

	for (i = 0; i < wanted; i++)
		bytes[i] = prefixes[next_random() % sizeof(prefixes)];
	if (dice >> 20 & 1)
		bytes[i++] = 0x0f;
	if ((dice >> 20 & 7) == 1)
		bytes[i++] = 0x38;
	if ((dice >> 20 & 7) == 3)
		bytes[i++] = 0x01;
	while (i < sizeof(bytes))
		bytes[i++] = next_random();
	compare(bytes, len, (dice >> 24) % 3);
}

static void test_random(void)
{
	differences = 0;
	for (unsigned int i = 0; i < RANDOM_STRINGS; i++)
		compare_random();
	is(differences, 0, "%u random strings: as Zydis", RANDOM_STRINGS);
}

/* insn_length_of() says a length for the class that insn_decode() finds, and no other. */
static bool lengths_agree(const u8 *bytes, int mode)
{
	struct insn insn;
	int ret = insn_decode(bytes, INSN_MAX_LENGTH, mode, &insn);

	for (int class = 0; class < INSN_NR_CLASS; class++) {
		bool right = !ret && class != INSN_OTHER && class == insn.class;

		if (insn_length_of(bytes, INSN_MAX_LENGTH, mode, class) !=
		    (right ? insn.length : -EINVAL))
			return false;
	}
	return true;
}

static void test_lengths(void)
{
	unsigned int wrong = 0;

	for (unsigned int i = 0; i < 0x10000; i++) {
		u8 two[INSN_MAX_LENGTH] = { i >> 8, i, next_random() };
		u8 three[INSN_MAX_LENGTH] = { 0x0f, 0x01, i };

		for (int mode = INSN_MODE_16; mode <= INSN_MODE_64; mode++)
			wrong += !lengths_agree(two, mode) + !lengths_agree(three, mode);
	}
	is(wrong, 0, "insn_length_of() gives a length for the right class only");
}

static void test_coverage(void)
{
	unsigned int missing = 0;

	for (int class = 0; class < INSN_NR_CLASS; class++)
		if (met[class] < 100) {
			tap_note("%s was met %llu times", class_name[class], met[class]);
			missing++;
		}
	is(missing, 0, "Zydis was asked about each class a hundred times or more");
}

int main(void)
{
	test_decoded();
	test_bare();
	test_loads();
	test_stores();
	test_addresses();
	test_opcodes();
	test_random();
	test_lengths();
	test_coverage();
	return tap_end();
}
