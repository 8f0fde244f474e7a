/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions and the state to execute them from: an opcode, ModRM.reg and a set of
 * prefixes are given, all else is random but such that operands are where it matters:
 * in the arena, across the ends of pages, segments and the arena itself.
 */
#ifndef UNIT_EMULATE_FORMS_H
#define UNIT_EMULATE_FORMS_H

#include "emulate_outside.h"
#include "random.h"

#define MAX_RUN		40	/* elements of a repetition that is not traced */

static unsigned int below(unsigned int limit)
{
	return (random64() >> 20) % limit;
}

/* ---- encodings ---- */

enum map { ONE_BYTE, MAP_0F, MAP_0F38, VEX_0F, VEX_0F38, MAPS };

struct form {
	enum cpu_mode mode;
	enum map map;
	uint8_t opcode;
	uint8_t reg;		/* ModRM.reg */
	uint8_t rm;		/* of the register form */
	bool memory;
	unsigned int prefixes;	/* row of prefix_sets; of VEX: pp and L */
};

struct trial {
	const struct form *form;
	uint8_t insn[EMUL_MAX_INSN];
	unsigned int len;		/* emitted */
	struct cpu_state in;
	bool wide_stack;
	bool traced;
};

static const char *const mode_names[] = { "64", "32", "16" };

static const char *const prefix_sets[] = {
	"", "\x66", "\xf2", "\xf3",	/* these may make another instruction of it */
	"\x67", "\x66\x67", "\xf0", "\xf0\x66", "\xf3\x66", "\xf2\x67", "\x26", "\x2e", "\x36",
	"\x3e", "\x65", "\x65\x66",
};
#define MANDATORY_SETS	4u
#define VEX_SETS	8u

static void emit(struct trial *t, uint8_t byte)
{
	t->insn[t->len++] = byte;
}

static void emit_prefixes(struct trial *t)
{
	const struct form *f = t->form;
	const char *prefix;

	if (f->map >= VEX_0F) {
		/* Three bytes: R, X and B are inverted, 32-bit code needs them set. */
		emit(t, 0xc4);
		emit(t, (f->mode == CPU_64 ? below(8) << 5 : 0xe0) | (f->map == VEX_0F ? 1 : 2));
		emit(t, below(2) << 7 | 0x78 | (f->prefixes & 7));
		return;
	}
	for (prefix = prefix_sets[f->prefixes]; *prefix; prefix++)
		emit(t, *prefix);
	/* REX.W more often than the rest. */
	if (f->mode == CPU_64 && below(2))
		emit(t, 0x40 | below(2) << 3 | (below(2) ? below(8) : 0));
	if (f->map != ONE_BYTE)
		emit(t, 0x0f);
	if (f->map == MAP_0F38)
		emit(t, 0x38);
}

/* All that follows ModRM is random until the operand's address is chosen. */
static void make_insn(struct trial *t)
{
	const struct form *f = t->form;

	t->len = 0;
	emit_prefixes(t);
	emit(t, f->opcode);
	if (f->memory)
		emit(t, below(3) << 6 | f->reg << 3 | below(8));
	else
		emit(t, 0xc0 | f->reg << 3 | f->rm);
	while (t->len < EMUL_MAX_INSN)
		emit(t, random64() >> 24);
}

/* ---- state ---- */

/* In the arena: often across a page's end, sometimes across its own. */
static uint32_t pick_offset(void)
{
	switch (below(8)) {
	case 0:
		return SIZE - below(20);
	case 1:
	case 2:
	case 3:
		return (3 + below(ARENA_PAGES - 3)) * EMUL_PAGE_SIZE - below(20);
	case 4:
		return below(SIZE) & ~31u;
	default:
		return below(SIZE);
	}
}

static uint64_t pick_address(const struct form *f)
{
	return (f->mode == CPU_64 ? ARENA_BASE : 0) + pick_offset();
}

/* Values near the edges of every width are worth more than random ones. */
static uint64_t pick_value(const struct form *f)
{
	static const uint64_t edges[] = {
		0, 1, 2, 7, 8, 15, 16, 17, 31, 32, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000,
		0xfffe, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
		0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0x0f0f0f0f0f0f0f0f,
		0x5555555555555555,
	};
	uint64_t val;

	switch (below(8)) {
	case 0:
	case 1:
		val = edges[below(ARRAY_SIZE(edges))];
		break;
	case 2:
		val = LDT_SELECTOR(below(LDT_ENTRIES + 1));
		break;
	case 3:
		val = random64();
		break;
	case 4:
		val = below(64);
		break;
	default:
		val = pick_address(f);
	}
	return f->mode == CPU_64 ? val : (uint32_t)val;
}

static uint64_t pick_rip(const struct form *f)
{
	uint32_t offset = below(2 * EMUL_PAGE_SIZE);

	if (!below(16))
		offset = SIZE - 1 - below(16);
	else if (!below(16))
		offset = ABSENT_PAGE * EMUL_PAGE_SIZE - 1 - below(16);
	return (f->mode == CPU_64 ? ARENA_BASE : 0) + offset;
}

static void make_state(struct trial *t)
{
	const struct form *f = t->form;
	struct cpu_state *in = &t->in;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(greg_of); i++)
		in->regs.gpr[i] = pick_value(f);
	if (below(4))
		in->regs.rcx = below(MAX_RUN);
	if (below(8))
		in->regs.rsp = pick_address(f);
	for (i = VMM_RBP; i <= VMM_RDI; i++)
		if (below(4))
			in->regs.gpr[i] = pick_address(f);
	in->regs.rip = pick_rip(f);
	in->regs.rflags = 2 | EMUL_IF | (random64() & (EMUL_STATUS | EMUL_DF));
	if (below(8) == 0)
		in->regs.rflags |= EMUL_AC;
	for (i = 0; i <= VMM_GS; i++)
		in->selector[i] = i == VMM_FS ? 0 : LDT_SELECTOR(DATA32);
	in->selector[VMM_CS] = f->mode == CPU_64 ? CODE64 :
		LDT_SELECTOR(f->mode == CPU_32 ? CODE32 : CODE16);
	t->wide_stack = below(4) ? f->mode == CPU_32 : f->mode != CPU_32;
	in->selector[VMM_SS] = f->mode == CPU_64 ? DATA64 :
		LDT_SELECTOR(t->wide_stack ? DATA32 : DATA16);
	/* No exception waits, and none comes of what is done here. */
	in->x87 = (struct emul_x87) {
		.control = EMUL_X87_CONTROL | (random64() & 0xf00), .status = random64() & 0x7f00,
	};
}

static bool is_gpr(ZydisRegister reg, unsigned int *n)
{
	ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	*n = whole - ZYDIS_REGISTER_RAX;
	return whole >= ZYDIS_REGISTER_RAX && whole <= ZYDIS_REGISTER_R15;
}

static void patch(struct trial *t, unsigned int at, uint64_t val, unsigned int len)
{
	memcpy(t->insn + at, &val, len);
}

/*
 * The memory operand's address: what is added to it goes into the base register, or
 * into the displacement where there is none.
 */
static void aim(struct trial *t, const struct emul_ctx *ctx, const ZydisDecodedOperand *op)
{
	const bool based = op->mem.segment == ZYDIS_REGISTER_GS || t->form->mode != CPU_64;
	uint64_t target = (based ? 0 : ARENA_BASE) + pick_offset(), delta;
	unsigned int n;

	if (op->size >= 128 && below(2))
		target &= ~31ull;
	delta = target - emul_offset(ctx, op);

	if (is_gpr(op->mem.base, &n) && op->mem.base != ZYDIS_REGISTER_NONE) {
		t->in.regs.gpr[n] += delta;
		if (t->form->mode != CPU_64)
			t->in.regs.gpr[n] = (uint32_t)t->in.regs.gpr[n];
		else if (ctx->insn.address_width == 32)
			t->in.regs.gpr[n] = (uint32_t)t->in.regs.gpr[n] | random64() << 32;
		else if (below(32) == 0)
			t->in.regs.gpr[n] ^= 1ull << 50;	/* not canonical */
	} else if (ctx->insn.raw.disp.size) {
		patch(t, ctx->insn.raw.disp.offset, ctx->insn.raw.disp.value + delta,
		      ctx->insn.raw.disp.size / 8);
	}
}

static uint32_t code_offset(const struct trial *t)
{
	return t->in.regs.rip - (t->form->mode == CPU_64 ? ARENA_BASE : 0);
}

static bool is_ram(uint32_t offset, unsigned int len)
{
	return offset + len <= SIZE && PAGE_OF(offset) != ABSENT_PAGE &&
	       PAGE_OF(offset + len - 1) != ABSENT_PAGE && PAGE_OF(offset) != READONLY_PAGE &&
	       PAGE_OF(offset + len - 1) != READONLY_PAGE;
}

static void put_memory(uint32_t offset, const void *bytes, unsigned int len)
{
	unsigned int i;

	if (!is_ram(offset, len))
		return;
	memcpy(arena + offset, bytes, len);
	for (i = 0; i < len; i++)
		*emulated_byte(offset + i) = arena[offset + i];
}

/* A frame on the stack that can be returned by, half the time. */
static void make_frame(struct trial *t, unsigned int size)
{
	uint64_t base = t->form->mode == CPU_64 ? ARENA_BASE : 0, frame[3] = {
		pick_offset(), LDT_SELECTOR(below(2) ? CODE32 : CODE16), random64() >> 40,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(frame) && below(8); i++)
		put_memory((uint16_t)(t->in.regs.rsp - base + i * size), &frame[i], size);
}

/* CMPXCHG and its like find what they expect, half the time. */
static void make_equal(struct trial *t, struct emul_ctx *ctx)
{
	const ZydisDecodedOperand *op = &ctx->operands[0];
	uint64_t offset = emul_offset(ctx, op) - (t->form->mode == CPU_64 ? ARENA_BASE : 0);
	unsigned int size = op->size / 8, half = size > 8 || t->form->reg == 1 ? size / 2 : size;

	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY || offset >= SIZE || !is_ram(offset, size))
		return;
	memcpy(&t->in.regs.rax, arena + offset, half);
	if (half < size)
		memcpy(&t->in.regs.rdx, arena + offset + half, half);
}

/* Operands that random bytes would hardly ever make useful. */
static void refine(struct trial *t, struct emul_ctx *ctx)
{
	emul_handler *const handle = emul_lookup(ctx->insn.mnemonic)->handle;
	const ZydisDecodedOperand *op;
	unsigned int i, n, size;

	ctx->next = t->in.regs.rip + ctx->insn.length;
	if (t->form->mode != CPU_64)
		ctx->next = (uint32_t)ctx->next;
	if (handle == emul_do_bit && is_gpr(ctx->operands[1].reg.value, &n) && below(2)) {
		ctx->regs.gpr[n] = below(1 << 16) - (1 << 15);
		t->in.regs.gpr[n] = ctx->regs.gpr[n];
	}
	if (handle == emul_do_ret || handle == emul_do_iret)
		make_frame(t, ctx->insn.operand_width / 8);
	for (i = 0; i < ctx->insn.operand_count_visible; i++) {
		op = &ctx->operands[i];
		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
			aim(t, ctx, op);
		} else if (op->type == ZYDIS_OPERAND_TYPE_POINTER) {
			size = ctx->insn.raw.imm[0].size / 8;
			patch(t, ctx->insn.raw.imm[0].offset, pick_offset(), size);
			patch(t, ctx->insn.raw.imm[1].offset,
			      LDT_SELECTOR(below(LDT_ENTRIES)), 2);
		}
	}
}

#endif /* UNIT_EMULATE_FORMS_H */
