// SPDX-License-Identifier: GPL-2.0-or-later
/* unit-sources: ../lib/emul_*.c */
/* unit-flags: -fno-strict-aliasing -D_GNU_SOURCE -mno-red-zone */
/* unit-libs: -lZydis */
/*
 * The emulator against the CPU, form by form: every opcode of the maps with every
 * ModRM.reg, as a register and a memory form, behind every set of prefixes, in 64-bit,
 * 32-bit and 16-bit code. What emul_table.c knows of it is executed on the CPU and
 * emulated from the same state, and everything is compared: registers, selectors,
 * flags, vectors, x87 words, memory, RIP, the exception with its error code and CR2.
 *
 * Operands lie across pages that are RAM, a device's, read-only or absent, and across
 * the ends of segments. Each instruction of the table must have been seen to succeed
 * here, or be in the list of those that a program cannot execute.
 */
#include <inttypes.h>

#include "../selftests/privileged.h"
#include "emulate_forms.h"
#include "tap.h"

#define MAX_NOTES	12
#define COMPARED	(EMUL_STATUS | EMUL_TF | EMUL_IF | EMUL_DF | EMUL_IOPL | EMUL_NT | \
			 EMUL_RF | EMUL_AC | EMUL_ID)
#define MEMORY_ROUNDS	2

/*
 * What the manuals leave to the CPU the emulator does as Intel's, which alone need it
 * for more than devices. On others it is not compared.
 */
static bool intel;

/* ---- choosing ---- */

static bool is_register(const ZydisDecodedOperand *op, ZydisRegister first, ZydisRegister last)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->reg.value >= first &&
	       op->reg.value <= last;
}

/* FS is the process's own. */
static bool uses_fs(const struct emul_ctx *ctx)
{
	unsigned int i;

	for (i = 0; i < ctx->insn.operand_count; i++) {
		const ZydisDecodedOperand *op = &ctx->operands[i];

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    op->mem.segment == ZYDIS_REGISTER_FS)
			return true;
		if (is_register(op, ZYDIS_REGISTER_FS, ZYDIS_REGISTER_FS) &&
		    (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			return true;
	}
	return false;
}

/* Not to be asked of this CPU: what Linux carries out or answers by itself. */
static bool wanted(const struct emul_ctx *ctx)
{
	static emul_handler *const left_out[] = {
		emul_do_rdtsc, emul_do_store_table, emul_do_smsw,
	};
	const struct emul_insn *row = emul_lookup(ctx->insn.mnemonic);
	unsigned int i;

	if (!row || uses_fs(ctx))
		return false;
	for (i = 0; i < ARRAY_SIZE(left_out); i++)
		if (row->handle == left_out[i])
			return false;
	return row->handle != emul_do_system_segment ||
	       (row->arg != EMUL_SLDT && row->arg != EMUL_STR);
}

/* ---- comparing ---- */

static unsigned int shift_count(const struct emul_ctx *ctx, const struct cpu_state *in)
{
	bool twice = emul_lookup(ctx->insn.mnemonic)->handle == emul_do_double_shift;
	const ZydisDecodedOperand *op = &ctx->operands[twice ? 2 : 1];
	unsigned int count = in->regs.rcx;

	if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		count = op->imm.value.u;
	return count & (ctx->operands[0].size == 64 ? 63 : 31);
}

static uint64_t shift_undefined(const struct emul_ctx *ctx, const struct emul_insn *row,
				const struct cpu_state *in)
{
	unsigned int bits = ctx->operands[0].size, count = shift_count(ctx, in);
	bool twice = row->handle == emul_do_double_shift;
	uint64_t mask = 0;

	if (!count)
		return 0;
	if (count > 1)
		mask |= EMUL_OF;
	if (twice || row->arg >= EMUL_SHL)
		mask |= EMUL_AF;
	if ((row->arg == EMUL_SHL || row->arg == EMUL_SHR) && count >= bits && !twice)
		mask |= EMUL_CF;
	return mask;
}

/* What the manual's instruction pages leave undefined. */
static uint64_t undefined_flags(const struct emul_ctx *ctx, const struct cpu_state *in)
{
	static const struct {
		emul_handler *handle;
		uint64_t flags;
	} rows[] = {
		{ emul_do_multiply, EMUL_SF | EMUL_ZF | EMUL_AF | EMUL_PF },
		{ emul_do_divide, EMUL_STATUS },
		{ emul_do_bit, EMUL_OF | EMUL_SF | EMUL_AF | EMUL_PF },
		{ emul_do_aam, EMUL_OF | EMUL_AF | EMUL_CF },
		{ emul_do_aad, EMUL_OF | EMUL_AF | EMUL_CF },
	};
	const struct emul_insn *row = emul_lookup(ctx->insn.mnemonic);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (row->handle == rows[i].handle)
			return rows[i].flags;
	if ((row->handle == emul_do_alu && row->arg >= EMUL_ROL) ||
	    row->handle == emul_do_double_shift)
		return shift_undefined(ctx, row, in);
	if (row->handle == emul_do_scan)
		return EMUL_OF | EMUL_SF | EMUL_AF | EMUL_PF |
		       (row->arg == EMUL_BSF || row->arg == EMUL_BSR ? EMUL_CF : 0);
	if (row->handle == emul_do_decimal)
		return row->arg == EMUL_AAA || row->arg == EMUL_AAS ?
		       EMUL_OF | EMUL_SF | EMUL_ZF | EMUL_PF : EMUL_OF;
	if (row->handle == emul_do_alu && (row->arg == EMUL_AND || row->arg == EMUL_OR ||
					   row->arg == EMUL_XOR || row->arg == EMUL_TEST))
		return EMUL_AF;
	return 0;
}

static bool same(const char *what, uint64_t got, uint64_t want, bool quiet)
{
	if (got != want && !quiet)
		tap_note("%s: %#" PRIx64 ", the CPU says %#" PRIx64, what, got, want);
	return got == want;
}

static bool same_memory(bool quiet)
{
	bool good = true;
	unsigned int i, k;

	for (i = 0; i < ARENA_PAGES; i++) {
		uint8_t *mine = emulated_byte(i * EMUL_PAGE_SIZE);
		const uint8_t *cpus = arena + i * EMUL_PAGE_SIZE;

		if (i == ABSENT_PAGE || !memcmp(mine, cpus, EMUL_PAGE_SIZE))
			continue;
		for (k = 0; mine[k] == cpus[k]; k++)
			;
		if (!quiet)
			tap_note("memory at %#x", i * EMUL_PAGE_SIZE + k);
		memcpy(mine, cpus, EMUL_PAGE_SIZE);
		good = false;
	}
	return good;
}

/* The kernel's way to the handler clears what is left of a null selector. */
static uint16_t visible(uint16_t selector)
{
	return selector & ~3 ? selector : 0;
}

/* Instructions of several steps, which are all done again after a fault in one. */
static bool may_be_half_done(const struct emul_ctx *ctx)
{
	const struct emul_insn *row = emul_lookup(ctx->insn.mnemonic);

	return row->handle == emul_do_pusha || row->handle == emul_do_popa ||
	       row->handle == emul_do_enter || row->handle == emul_do_call;
}

/*
 * CPUs differ in what a repetition of no element with 32-bit addresses does to the
 * upper halves of its registers: Intel's clear those of RCX and of some pointers,
 * AMD's leave them all.
 */
static uint64_t upper_undefined(const struct emul_ctx *ctx, const struct emul_ctx *before,
				unsigned int n)
{
	bool repeated = before->insn.attributes &
		(ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);

	if (!repeated || before->insn.address_width != 32 ||
	    (uint32_t)ctx->regs.rcx != (uint32_t)before->regs.rcx)
		return 0;
	return n == VMM_RCX || n == VMM_RSI || n == VMM_RDI ? ~(uint64_t)UINT32_MAX : 0;
}

/* Outcome of the emulator, as the signal tells that of the CPU. */
static bool compare(const struct emul_ctx *ctx, const struct emul_ctx *before,
		    enum emul_status status, const struct trial *t, bool quiet)
{
	const bool half_done = status == EMUL_FAULT && may_be_half_done(before);
	const uint64_t undefined = undefined_flags(before, &t->in);
	static const enum vmm_sreg selectors[] = { VMM_ES, VMM_CS, VMM_SS, VMM_DS, VMM_GS };
	const struct vmm_event *event = &ctx->event;
	bool breakpoint = status == EMUL_OK && !event->type, good;
	uint64_t flags = COMPARED & ~(status == EMUL_FAULT ? 0 : undefined);
	uint64_t mask = t->form->mode == CPU_64 && ctx->segs.seg[VMM_CS].attr & VMM_SEG_L ?
		UINT64_MAX : UINT32_MAX, defined;
	char name[] = "register 00";
	unsigned int i;

	good = same("the vector", breakpoint ? EMUL_VECTOR_BP : event->vector, cpu_out.event,
		    quiet);
	if (status == EMUL_FAULT) {
		good &= same("its error", event->error, cpu_out.error, quiet);
		if (event->vector == EMUL_VECTOR_PF)
			good &= same("CR2", ctx->cr2, cpu_out.cr2, quiet);
	}
	for (i = 0; i < ARRAY_SIZE(greg_of); i++) {
		name[9] = '0' + i / 10;
		name[10] = '0' + i % 10;
		defined = mask & ~upper_undefined(ctx, before, i);
		good &= half_done || same(name, ctx->regs.gpr[i] & defined,
					  cpu_out.regs.gpr[i] & defined, quiet);
	}
	good &= same("RIP", (ctx->regs.rip + breakpoint) & mask, cpu_out.regs.rip & mask, quiet);
	good &= same("flags", ctx->regs.rflags & flags, cpu_out.regs.rflags & flags, quiet);
	for (i = 0; i < ARRAY_SIZE(selectors); i++)
		if (t->form->mode != CPU_64 || selectors[i] == VMM_CS || selectors[i] == VMM_SS)
			good &= same("a selector", visible(ctx->segs.seg[selectors[i]].selector),
				     cpu_out.selector[selectors[i]], quiet);
	good &= same("vectors", memcmp(emulated_unit.vector, cpu_out.vector,
				       sizeof(cpu_out.vector)), 0, quiet);
	good &= same("x87 control", emulated_unit.x87.control, cpu_out.x87.control, quiet);
	good &= same("x87 status", emulated_unit.x87.status, cpu_out.x87.status, quiet);
	good &= same("a wrong device access", bad_device_access, false, quiet);
	return (same_memory(quiet || half_done) || half_done) && good;
}

static void note(const struct emul_ctx *ctx, const struct trial *t)
{
	const struct vmm_regs *regs = &t->in.regs;
	char bytes[64] = "", text[96] = "";
	ZydisFormatter formatter;
	unsigned int i;

	for (i = 0; i < ctx->insn.length; i++)
		sprintf(bytes + 3 * i, "%02x ", t->insn[i]);
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterFormatInstruction(&formatter, &ctx->insn, ctx->operands,
					ctx->insn.operand_count_visible, text, sizeof(text),
					regs->rip, NULL);
	tap_note("%s-bit: %s %s  at %#llx flags %#llx%s%s arena %p", mode_names[t->form->mode],
		 bytes, text, regs->rip, regs->rflags, t->wide_stack ? " wide stack" : "",
		 t->traced ? " traced" : "", arena);
	for (i = 0; i < 16; i += 8)
		tap_note("  %#llx %#llx %#llx %#llx %#llx %#llx %#llx %#llx", regs->gpr[i],
			 regs->gpr[i + 1], regs->gpr[i + 2], regs->gpr[i + 3], regs->gpr[i + 4],
			 regs->gpr[i + 5], regs->gpr[i + 6], regs->gpr[i + 7]);
}

/* ---- trials ---- */

static unsigned int succeeded[ZYDIS_MNEMONIC_MAX_VALUE + 1][CPU_16 + 1];
static unsigned int faulted[ZYDIS_MNEMONIC_MAX_VALUE + 1][CPU_16 + 1];
static unsigned int made[ZYDIS_MNEMONIC_MAX_VALUE + 1][CPU_16 + 1];
static unsigned int of_vendors[ZYDIS_MNEMONIC_MAX_VALUE + 1][CPU_16 + 1];	/* not compared */

static bool room_behind(const struct trial *t, unsigned int len)
{
	uint32_t end = code_offset(t) + len;

	return end < SIZE && PAGE_OF(end) != ABSENT_PAGE;
}

/* The instruction in both memories, and behind it what ends or takes the trap. */
static void put_code(const struct trial *t, unsigned int len)
{
	uint32_t offset = code_offset(t);
	unsigned int i;

	for (i = 0; i <= len && offset + i < SIZE; i++) {
		uint8_t byte = i < len ? t->insn[i] : t->traced ? 0x90 : 0xcc;

		if (PAGE_OF(offset + i) == ABSENT_PAGE)
			break;
		arena[offset + i] = byte;
		*emulated_byte(offset + i) = byte;
	}
}

/* Of code that changed itself the CPU may execute what was there or what is. */
static bool code_changed(const struct trial *t, unsigned int len)
{
	uint32_t offset = code_offset(t);
	unsigned int i;

	for (i = 0; i <= len && offset + i < SIZE; i++)
		if (*emulated_byte(offset + i) != (i < len ? t->insn[i] : t->traced ? 0x90 : 0xcc))
			return true;
	return false;
}

/* A repetition goes on, and a trap that SS holds back comes an instruction later. */
static enum emul_status emulate(struct emul_ctx *ctx, const struct trial *t)
{
	enum emul_status status = emul_step(ctx);
	unsigned int i;

	for (i = 0; status == EMUL_PARTIAL && !ctx->element_done && i < MAX_RUN; i++)
		status = emul_step(ctx);
	if (status == EMUL_OK && t->traced && !ctx->event.type &&
	    ctx->shadow == VMM_SHADOW_MOV_SS)
		status = emul_step(ctx);
	return status;
}

static void count(const ZydisDecodedInstruction *insn, enum emul_status status,
		  const struct trial *t)
{
	if (status == EMUL_FAULT)
		faulted[insn->mnemonic][t->form->mode]++;
	else
		succeeded[insn->mnemonic][t->form->mode]++;
}

/*
 * Near branches: in 64-bit code AMD's CPUs heed an operand size of 16 bits, and LOOPcc with
 * a REP prefix does something of its own there.
 */
static bool vendor_branches(const struct emul_insn *row, const ZydisDecodedInstruction *insn)
{
	unsigned int i;

	if (row->handle != emul_do_jcc && row->handle != emul_do_jcxz &&
	    row->handle != emul_do_loop)
		return false;
	for (i = 0; i < insn->raw.prefix_count; i++) {
		const uint8_t prefix = insn->raw.prefixes[i].value;

		if (prefix == 0xf2 || prefix == 0xf3)
			return true;
		if (prefix == 0x66 && insn->machine_mode == ZYDIS_MACHINE_MODE_LONG_64)
			return true;
	}
	return false;
}

/*
 * What AMD's CPUs have another meaning for: F3 90 with REX.B is an XCHG, 0F 0D with a register
 * #UD, LOCK MOV CR0 is CR8, UD0 has no ModRM.
 */
static bool vendor_means(const struct emul_ctx *before)
{
	switch (before->insn.mnemonic) {
	case ZYDIS_MNEMONIC_PAUSE:
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_MOVSXD:
		return true;
	case ZYDIS_MNEMONIC_NOP:
		return before->insn.opcode_map == ZYDIS_OPCODE_MAP_0F &&
		       before->insn.opcode == 0x0d;
	case ZYDIS_MNEMONIC_MOV:
		return is_register(&before->operands[0], ZYDIS_REGISTER_CR0, ZYDIS_REGISTER_CR15) ||
		       is_register(&before->operands[1], ZYDIS_REGISTER_CR0, ZYDIS_REGISTER_CR15);
	default:
		return false;
	}
}

/* Faults and alignment checks of a vector's access in two parts. */
static bool vendor_splits(const struct emul_ctx *before, enum emul_status status,
			  const struct trial *t)
{
	unsigned int i;

	for (i = 0; i < before->insn.operand_count_visible; i++)
		if (before->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    before->operands[i].size >= 128)
			return status == EMUL_FAULT || t->in.regs.rflags & EMUL_AC;
	return false;
}

/* Instructions of several accesses, whose order is the CPU's own, and of odd widths. */
static bool vendor_defines(const struct emul_ctx *before, enum emul_status status,
			   const struct trial *t)
{
	static emul_handler *const several[] = {
		emul_do_call, emul_do_enter, emul_do_string, emul_do_pusha, emul_do_popa,
		emul_do_ret, emul_do_iret, emul_do_load_far, emul_do_jmp, emul_do_bound,
		emul_do_cmpxchg,
	};
	const struct emul_insn *row = emul_lookup(before->insn.mnemonic);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(several); i++)
		if (row->handle == several[i])
			return true;
	if (row->handle == emul_do_push || row->handle == emul_do_pop)
		return is_register(&before->operands[0], ZYDIS_REGISTER_ES, ZYDIS_REGISTER_GS);
	return vendor_branches(row, &before->insn) || vendor_means(before) ||
	       vendor_splits(before, status, t);
}

static bool defined(const struct emul_ctx *before, enum emul_status status,
		    const struct trial *t)
{
	const struct emul_insn *row = emul_lookup(before->insn.mnemonic);

	if (row->handle == emul_do_double_shift)
		return shift_count(before, &t->in) <= before->operands[0].size;
	if (row->handle == emul_do_bswap)
		return before->operands[0].size > 16;
	if (intel || !vendor_defines(before, status, t))
		return true;
	of_vendors[before->insn.mnemonic][t->form->mode]++;
	return false;
}

static bool decode(struct trial *t, struct emul_ctx *ctx)
{
	make_context(ctx, &t->in, t->form->mode);
	memcpy(ctx->bytes, t->insn, EMUL_MAX_INSN);
	ctx->length = EMUL_MAX_INSN;
	return !emul_decode(ctx, false) && wanted(ctx);
}

/* LOCK makes #UD of most forms: then it is the one without that is looked up. */
static bool decode_unlocked(struct trial *t, struct emul_ctx *ctx)
{
	bool locked = t->insn[0] == 0xf0, good;

	if (decode(t, ctx))
		return true;
	if (!locked)
		return false;
	t->insn[0] = 0x3e;
	good = decode(t, ctx);
	t->insn[0] = 0xf0;
	return good;
}

static bool is_exchange(const struct emul_ctx *ctx)
{
	emul_handler *const handle = emul_lookup(ctx->insn.mnemonic)->handle;

	return handle == emul_do_cmpxchg || handle == emul_do_cmpxchg_pair;
}

/* Can the CPU be asked about what the emulator did? */
static bool comparable(const struct trial *t, const struct emul_ctx *before,
		       enum emul_status status)
{
	if (unknown || (!t->traced && code_changed(t, before->insn.length)))
		return false;
	return status == EMUL_OK || status == EMUL_FAULT || status == EMUL_PARTIAL;
}

/* False: they differ. Trials that cannot be compared count as equal. */
static bool try(const struct form *form, bool quiet)
{
	struct trial t = { .form = form };
	struct emul_ctx ctx, before;
	enum emul_status status;
	bool good;

	make_insn(&t);
	memcpy(t.in.vector, cpu_out.vector, sizeof(t.in.vector));
	make_state(&t);
	if (!decode_unlocked(&t, &ctx))
		return true;
	refine(&t, &ctx);
	if (!decode_unlocked(&t, &ctx))
		return true;
	if (is_exchange(&ctx) && below(2))
		make_equal(&t, &ctx);
	before = ctx;
	t.traced = emul_lookup(ctx.insn.mnemonic)->handle != emul_do_string || below(2) ||
		!room_behind(&t, ctx.insn.length);
	if (t.traced)
		t.in.regs.rflags |= EMUL_TF;
	put_code(&t, ctx.insn.length);
	make_context(&ctx, &t.in, form->mode);
	unknown = false;
	bad_device_access = false;
	emulated_unit = t.in;
	status = emulate(&ctx, &t);
	made[before.insn.mnemonic][form->mode]++;
	if (!comparable(&t, &before, status)) {
		same_memory(true);
		return true;
	}
	cpu_execute(&t.in);
	if (!defined(&before, status, &t)) {
		same_memory(true);
		return true;
	}
	good = compare(&ctx, &before, status, &t, quiet);
	if (!good && !quiet)
		note(&before, &t);
	count(&before.insn, status, &t);
	return good;
}

static void fill(void)
{
	unsigned int i;

	for (i = 0; i < SIZE; i += 2) {
		uint16_t val = below(4) ? random64() >> 30 : LDT_SELECTOR(below(LDT_ENTRIES));

		memcpy(arena + i, &val, 2);
		memcpy(emulated_byte(i), &val, 2);
	}
	for (i = 0; i < sizeof(cpu_out.vector); i++)
		((uint8_t *)cpu_out.vector)[i] = random64() >> 30;
	for (i = 0; i < 16 && !cpu_avx; i++)
		memset(cpu_out.vector[i] + 16, 0, 16);
}

/* Runs of equal bytes across a device's pages, so that comparisons go on for a while. */
static void fill_runs(void)
{
	uint8_t byte;
	unsigned int i;

	for (i = 3 * EMUL_PAGE_SIZE; i < 9 * EMUL_PAGE_SIZE; i++) {
		byte = below(30) ? 0x55 : random64() >> 30;
		put_memory(i, &byte, 1);
	}
}

/* Does any of the prefixes that select instructions make one that is known? */
static bool interesting(struct form f)
{
	struct trial t = { .form = &f };
	struct emul_ctx ctx;

	for (f.prefixes = 0; f.prefixes < (f.map >= VEX_0F ? VEX_SETS : MANDATORY_SETS);
	     f.prefixes++) {
		make_insn(&t);
		make_state(&t);
		if (decode(&t, &ctx))
			return true;
	}
	return false;
}

static unsigned int try_prefixes(struct form f, unsigned int bad)
{
	const unsigned int sets = f.map >= VEX_0F ? VEX_SETS : ARRAY_SIZE(prefix_sets);
	unsigned int failures = 0, round;

	if (!interesting(f))
		return 0;
	for (round = 0; round < (f.memory ? MEMORY_ROUNDS : 1); round++)
		for (f.prefixes = 0; f.prefixes < sets; f.prefixes++)
			failures += !try(&f, bad + failures >= MAX_NOTES);
	return failures;
}

/* Bytes that are prefixes, or an escape to another map. */
static bool is_opcode(const struct form *f)
{
	static const uint8_t prefixes[] = {
		0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3,
	};

	if (f->map == MAP_0F)
		return f->opcode != 0x38 && f->opcode != 0x3a;
	if (f->map != ONE_BYTE)
		return true;
	if (f->mode == CPU_64 && (f->opcode & 0xf0) == 0x40)
		return false;
	return !memchr(prefixes, f->opcode, sizeof(prefixes));
}

/* Opcodes whose register forms differ in ModRM.rm as well. */
static bool whole_modrm(const struct form *f)
{
	return f->map == ONE_BYTE ? f->opcode >= 0xd8 && f->opcode <= 0xdf :
	       f->map == MAP_0F && (f->opcode == 0x01 || f->opcode == 0x1e || f->opcode == 0xae);
}

static unsigned int try_opcode(struct form f, unsigned int bad)
{
	unsigned int failures = 0, rm;

	for (f.reg = 0; f.reg < 8; f.reg++) {
		f.memory = true;
		failures += try_prefixes(f, bad + failures);
		f.memory = false;
		if (f.map >= VEX_0F)
			continue;
		for (rm = 0; rm < (whole_modrm(&f) ? 8 : 1); rm++) {
			f.rm = whole_modrm(&f) ? rm : below(8);
			failures += try_prefixes(f, bad + failures);
		}
	}
	return failures;
}

static void try_mode(enum cpu_mode mode)
{
	struct form f = { .mode = mode };
	unsigned int opcode, failures = 0;

	for (f.map = 0; f.map < (cpu_avx ? MAPS : VEX_0F); f.map++) {
		for (opcode = 0; opcode < 256; opcode++) {
			f.opcode = opcode;
			/* Where the string instructions begin. */
			if (f.map == ONE_BYTE && opcode == 0xa4)
				fill_runs();
			if (is_opcode(&f))
				failures += try_opcode(f, failures);
		}
	}
	is(failures, 0, "%s-bit code does what the CPU does", mode_names[mode]);
}

/* ---- coverage ---- */

/*
 * What a program cannot succeed with: selftests/privileged executes and emulates it, from
 * these same names. Of UD0 and its like the fault is the success; the kernel's own are
 * not emulated.
 */
#define NAME(name, modes, text)	name,
static const char *const privileged[] = { PRIVILEGED_FORMS(NAME, "") };

static bool is_privileged(ZydisMnemonic m)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(privileged); i++)
		if (!strcmp(privileged[i], ZydisMnemonicGetString(m)))
			return true;
	return false;
}

static unsigned int sum(const unsigned int *counts)
{
	return counts[CPU_64] + counts[CPU_32] + counts[CPU_16];
}

/* Was it compared in every mode in which it was made, as far as a program can? */
static bool covered(ZydisMnemonic m, const struct emul_insn *row, enum cpu_mode mode)
{
	if (row->handle == emul_do_kernel)
		return true;
	if (row->handle == emul_do_undefined)
		return faulted[m][mode] || of_vendors[m][mode];
	/* Its frame in long mode is one that is not emulated. */
	if (row->handle == emul_do_iret && mode == CPU_64)
		return true;
	return !made[m][mode] || succeeded[m][mode] || of_vendors[m][mode] || is_privileged(m);
}

static void report(bool segments, bool avx)
{
	unsigned int m, mode, known = 0, missing = 0, trials = 0, faults = 0;

	for (m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++) {
		const struct emul_insn *row = emul_lookup(m);

		if (!row || (row->handle == emul_do_avx && !avx))
			continue;
		known++;
		trials += sum(succeeded[m]) + sum(faulted[m]);
		faults += sum(faulted[m]);
		for (mode = CPU_64; mode <= (segments ? CPU_16 : CPU_64); mode++)
			if (!covered(m, row, mode)) {
				tap_note("%s of %s-bit code was not compared: %u made, %u faults",
					 ZydisMnemonicGetString(m), mode_names[mode],
					 made[m][mode], faulted[m][mode]);
				missing++;
			}
		if (segments && !sum(made[m]) && !is_privileged(m)) {
			tap_note("%s was not made", ZydisMnemonicGetString(m));
			missing++;
		}
	}
	is(missing, 0, "each of %u instructions that are known was compared, %u times in all, "
	   "%u with a fault, or is in selftests/privileged", known, trials, faults);
}

static bool is_intel(void)
{
	unsigned int eax, ebx, ecx, edx;

	return __get_cpuid(0, &eax, &ebx, &ecx, &edx) && ebx == signature_INTEL_ebx;
}

int main(void)
{
	bool segments = cpu_prepare();

	intel = is_intel();
	fill();
	cpu_protect();
	make_tables();
	try_mode(CPU_64);
	if (segments) {
		try_mode(CPU_32);
		try_mode(CPU_16);
	} else {
		ok(true, "no LDT on this machine # SKIP modify_ldt: %s", strerror(errno));
	}
	report(segments, cpu_avx);
	return tap_end();
}
