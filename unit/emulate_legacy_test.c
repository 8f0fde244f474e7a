// SPDX-License-Identifier: GPL-2.0-or-later
/* unit-sources: ../lib/emul_*.c */
/* unit-flags: -fno-strict-aliasing -D_GNU_SOURCE -mno-red-zone */
/* unit-libs: -lZydis */
/*
 * The emulator against the CPU in 16-bit and 32-bit code, where most instructions of
 * boot code live: random instructions from random registers, executed with the trap
 * flag set in segments of this process's LDT and emulated from the same state. All
 * registers, flags, 64 KiB of memory, RIP and the exception with its error code are
 * compared; the trap itself is one of them.
 *
 * Left out: what needs privilege to succeed (the faults are in), what enters the
 * kernel, and segment registers, of which the process itself needs some.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "../lib/emul.h"
#include "tap.h"

#define SIZE		0x10000u
#define ROUNDS		30000u
#define MAX_NOTES	10
#define LDT_SELECTOR(n)	((n) << 3 | 7)
#define LDT_WRITE	0x11		/* modify_ldt() */
#define DESC_CODE	(2u << 1)
#define DESC_AVAILABLE	(1u << 6)
#define COMPARED	(EMUL_STATUS | EMUL_TF | EMUL_IF | EMUL_DF | EMUL_IOPL | EMUL_NT | \
			 EMUL_AC | EMUL_ID)

/* LDT entries: code and stack, each of 16 and of 32 bits; data is the 32-bit stack. */
enum { CODE16, CODE32, DATA16, DATA32 };

static uint8_t *native;			/* what the segments show */
static uint8_t emulated[SIZE];
static sigjmp_buf back;
static ucontext_t entry;		/* the state to execute one instruction from */
static struct {
	struct vmm_regs regs;
	unsigned int vector;
	uint32_t error;
} outcome;

static uint64_t random64(void)
{
	static uint64_t state = 0xd1b54a32d192ed03ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static unsigned int below(unsigned int limit)
{
	return (random64() >> 20) % limit;
}

/* ---- on the CPU ---- */

static const int greg_of[] = {
	[VMM_RAX] = REG_RAX, [VMM_RCX] = REG_RCX, [VMM_RDX] = REG_RDX, [VMM_RBX] = REG_RBX,
	[VMM_RSP] = REG_RSP, [VMM_RBP] = REG_RBP, [VMM_RSI] = REG_RSI, [VMM_RDI] = REG_RDI,
};

static void on_event(int signal, siginfo_t *info, void *context)
{
	const greg_t *gregs = ((ucontext_t *)context)->uc_mcontext.gregs;
	unsigned int i;

	(void)signal;
	(void)info;
	/*
	 * The kernel leaves AC set, and the handler's own accesses are not all aligned.
	 * Nor does it clear NT and ID, which would stay for the next instruction.
	 */
	asm volatile("pushf; andl %0, (%%rsp); popf" : : "i" (~(EMUL_AC | EMUL_NT | EMUL_ID))
		     : "memory", "cc");
	for (i = 0; i < ARRAY_SIZE(greg_of); i++)
		outcome.regs.gpr[i] = (uint32_t)gregs[greg_of[i]];
	outcome.regs.rip = (uint32_t)gregs[REG_RIP];
	outcome.regs.rflags = gregs[REG_EFL];
	outcome.vector = gregs[REG_TRAPNO];
	outcome.error = gregs[REG_ERR];
	siglongjmp(back, 1);
}

/* Return from the signal into the segments. */
static void on_start(int signal, siginfo_t *info, void *context)
{
	greg_t *gregs = ((ucontext_t *)context)->uc_mcontext.gregs;
	unsigned int i;

	(void)signal;
	(void)info;
	for (i = 0; i < ARRAY_SIZE(greg_of); i++)
		gregs[greg_of[i]] = entry.uc_mcontext.gregs[greg_of[i]];
	gregs[REG_RIP] = entry.uc_mcontext.gregs[REG_RIP];
	gregs[REG_EFL] = entry.uc_mcontext.gregs[REG_EFL];
	gregs[REG_CSGSFS] = entry.uc_mcontext.gregs[REG_CSGSFS];
}

static void execute(const struct vmm_regs *regs, bool code32, bool stack32)
{
	uint16_t data = LDT_SELECTOR(DATA32);
	greg_t *gregs = entry.uc_mcontext.gregs;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(greg_of); i++)
		gregs[greg_of[i]] = regs->gpr[i];
	gregs[REG_RIP] = regs->rip;
	gregs[REG_EFL] = regs->rflags;
	gregs[REG_CSGSFS] = LDT_SELECTOR(code32 ? CODE32 : CODE16) |
		(greg_t)LDT_SELECTOR(stack32 ? DATA32 : DATA16) << 48;
	if (sigsetjmp(back, 1))
		return;
	asm volatile("mov %0, %%ds; mov %0, %%es" : : "r" (data));
	raise(SIGUSR1);
	abort();
}

static bool make_segment(unsigned int n, bool code, bool wide)
{
	/* struct user_desc: the last word is its bit-fields. */
	const uint32_t desc[] = {
		n, (uintptr_t)native, SIZE - 1, wide | (code ? DESC_CODE : 0) | DESC_AVAILABLE,
	};

	return !syscall(SYS_modify_ldt, LDT_WRITE, desc, sizeof(desc));
}

static bool prepare(void)
{
	static const int events[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	static uint8_t stack[1 << 16];
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction start = { .sa_sigaction = on_start, .sa_flags = SA_SIGINFO };
	struct sigaction event = { .sa_sigaction = on_event, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	unsigned int i;

	native = mmap(NULL, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (native == MAP_FAILED || sigaltstack(&alternate, NULL))
		abort();
	sigaction(SIGUSR1, &start, NULL);
	for (i = 0; i < ARRAY_SIZE(events); i++)
		sigaction(events[i], &event, NULL);
	return make_segment(CODE16, true, false) && make_segment(CODE32, true, true) &&
	       make_segment(DATA16, false, false) && make_segment(DATA32, false, true);
}

/* ---- in the emulator ---- */

static int translate(void *data, uint64_t gva, uint32_t access, uint64_t *gpa, uint32_t *error)
{
	(void)data;
	(void)access;
	*error = 0;
	*gpa = gva;
	return gva >= SIZE;
}

static int ram_read(void *data, uint64_t gpa, void *buf, unsigned int len)
{
	(void)data;
	memcpy(buf, emulated + gpa, len);
	return 0;
}

static int ram_write(void *data, uint64_t gpa, const void *buf, unsigned int len)
{
	(void)data;
	memcpy(emulated + gpa, buf, len);
	return 0;
}

static int ram_replace(void *data, uint64_t gpa, const void *old, const void *new,
		       unsigned int len)
{
	(void)old;
	ram_write(data, gpa, new, len);
	return 1;
}

static const struct emul_env env = {
	.translate = translate, .ram_read = ram_read, .ram_write = ram_write,
	.ram_replace = ram_replace,
};

static struct vmm_segment segment(unsigned int n, unsigned int type, bool wide)
{
	return (struct vmm_segment) {
		.limit = SIZE - 1, .selector = LDT_SELECTOR(n),
		.attr = type | VMM_SEG_S | VMM_SEG_P | VMM_SEG_DPL | (wide ? VMM_SEG_DB : 0),
	};
}

static void make_context(struct emul_ctx *ctx, const struct vmm_regs *regs, bool code32,
			 bool stack32)
{
	memset(ctx, 0, sizeof(*ctx));
	ctx->env = &env;
	ctx->regs = *regs;
	ctx->whole = true;
	ctx->ctrl.cr0 = EMUL_CR0_PE | EMUL_CR0_PG | EMUL_CR0_AM;
	ctx->segs.seg[VMM_ES] = segment(DATA32, EMUL_TYPE_WRITE, true);
	ctx->segs.seg[VMM_DS] = segment(DATA32, EMUL_TYPE_WRITE, true);
	ctx->segs.seg[VMM_CS] = segment(code32 ? CODE32 : CODE16,
					EMUL_TYPE_CODE | EMUL_TYPE_READ, code32);
	ctx->segs.seg[VMM_SS] = segment(stack32 ? DATA32 : DATA16, EMUL_TYPE_WRITE, stack32);
}

/* ---- choosing ---- */

static bool is_segment(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->reg.value >= ZYDIS_REGISTER_ES &&
	       op->reg.value <= ZYDIS_REGISTER_GS;
}

static bool uses_fs_or_gs(const struct emul_ctx *ctx)
{
	unsigned int i;

	for (i = 0; i < ctx->insn.operand_count; i++)
		if (ctx->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (ctx->operands[i].mem.segment == ZYDIS_REGISTER_FS ||
		     ctx->operands[i].mem.segment == ZYDIS_REGISTER_GS))
			return true;
	return false;
}

/* Is it one that both sides can be asked about? */
static bool wanted(const struct emul_ctx *ctx)
{
	static emul_handler *const left_out[] = {
		emul_do_sse, emul_do_iret, emul_do_rdtsc, emul_do_store_table, emul_do_smsw,
		emul_do_system_segment, emul_do_load_far, emul_do_kernel, emul_do_int,
		emul_do_into, emul_do_x87, emul_do_x87_store, emul_do_fldcw, emul_do_fwait,
	};
	const struct emul_insn *row = emul_lookup(ctx->insn.mnemonic);
	bool selector = ctx->insn.operand_count && is_segment(&ctx->operands[0]);
	unsigned int i;

	if (!row || ctx->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR || uses_fs_or_gs(ctx) ||
	    ctx->insn.meta.isa_set == ZYDIS_ISA_SET_SSE2)
		return false;
	for (i = 0; i < ARRAY_SIZE(left_out); i++)
		if (row->handle == left_out[i])
			return false;
	/* Of a selector that is pushed as a doubleword, CPUs write two or four bytes. */
	return !selector || (row->handle == emul_do_push && ctx->insn.operand_width == 16);
}

/* Prefixes and opcodes that are of interest, then anything. */
static void random_insn(uint8_t *insn)
{
	static const uint8_t prefixes[] = { 0x66, 0x67, 0x26, 0x2e, 0x36, 0x3e, 0xf0, 0xf2, 0xf3 };
	unsigned int i, n = 0;

	while (below(3) == 0 && n < 3)
		insn[n++] = prefixes[below(ARRAY_SIZE(prefixes))];
	if (below(4) == 0)
		insn[n++] = 0x0f;
	for (i = n; i < EMUL_MAX_INSN; i++)
		insn[i] = random64() >> 24;
}

/* Small and large, near both ends of the segment and of every width. */
static uint32_t random_value(void)
{
	static const uint32_t edges[] = {
		0, 1, 2, 7, 8, 15, 16, 17, 31, 32, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000,
		0xfff0, 0xfffd, 0xfffe, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff,
	};

	switch (below(3)) {
	case 0:
		return edges[below(ARRAY_SIZE(edges))];
	case 1:
		return below(SIZE);
	default:
		return random64() >> 16;
	}
}

static void random_regs(struct vmm_regs *regs)
{
	unsigned int i;

	memset(regs, 0, sizeof(*regs));
	for (i = 0; i < ARRAY_SIZE(greg_of); i++)
		regs->gpr[i] = random_value();
	if (below(2))
		regs->rcx = below(4);
	if (below(4))
		regs->rsp = below(SIZE);
	regs->rip = below(8) ? below(SIZE - 32) : SIZE - 1 - below(16);
	regs->rflags = 2 | EMUL_TF | EMUL_IF | (random64() & (EMUL_STATUS | EMUL_DF));
	if (below(4) == 0)
		regs->rflags |= EMUL_AC;
}

/* ---- comparing ---- */

/* Comparisons in the middle of a repetition: the CPU may keep the old flags. */
static uint64_t undefined_flags(const struct emul_ctx *ctx, enum emul_status status)
{
	if (status == EMUL_PARTIAL)
		return EMUL_STATUS;
	if (status == EMUL_FAULT)
		return 0;
	return ctx->insn.cpu_flags ? ctx->insn.cpu_flags->undefined : 0;
}

/*
 * BSF and BSR of 0, SHLD and SHRD of words by more than they have: anything goes. So
 * does the order of faults and stores in instructions of several, if both fault.
 */
static bool defined(const struct emul_ctx *ctx, enum emul_status status,
		    const struct vmm_regs *before)
{
	const struct emul_insn *row = emul_lookup(ctx->insn.mnemonic);
	unsigned int i;

	if (status == EMUL_FAULT)
		return outcome.vector == EMUL_VECTOR_DB ||
		       (row->handle != emul_do_call && row->handle != emul_do_enter &&
			row->handle != emul_do_string &&
			row->handle != emul_do_pusha && row->handle != emul_do_popa);
	if (row->handle == emul_do_bswap)
		return ctx->operands[0].size == 32;
	if (row->handle == emul_do_scan && (row->arg == EMUL_BSF || row->arg == EMUL_BSR))
		return !(ctx->regs.rflags & EMUL_ZF);
	if (row->handle != emul_do_double_shift || ctx->operands[0].size != 16)
		return true;
	for (i = 0; i < ctx->insn.operand_count; i++)
		if (ctx->operands[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			return (ctx->operands[i].imm.value.u & 31) <= 16;
	return (before->rcx & 31) <= 16;
}

static bool same(const char *what, uint64_t got, uint64_t want, bool quiet)
{
	if (got != want && !quiet)
		tap_note("%s: %#" PRIx64 ", the CPU says %#" PRIx64, what, got, want);
	return got == want;
}

static bool compare(const struct emul_ctx *ctx, enum emul_status status, bool quiet)
{
	uint64_t flags = COMPARED & ~undefined_flags(ctx, status);
	const struct vmm_event *event = &ctx->event;
	char name[] = "register 0";
	bool good;
	unsigned int i;

	good = same("the vector", event->type ? event->vector : 999, outcome.vector, quiet);
	if (status == EMUL_FAULT)
		good &= same("its error", event->error, outcome.error, quiet);
	for (i = 0; i < ARRAY_SIZE(greg_of); i++) {
		name[9] = '0' + i;
		good &= same(name, (uint32_t)ctx->regs.gpr[i], outcome.regs.gpr[i], quiet);
	}
	good &= same("RIP", ctx->regs.rip, outcome.regs.rip, quiet);
	good &= same("flags", ctx->regs.rflags & flags, outcome.regs.rflags & flags, quiet);
	if (!memcmp(emulated, native, SIZE))
		return good;
	for (i = 0; emulated[i] == native[i]; i++)
		;
	return same("memory differs first at", i, SIZE, quiet);
}

static void note(const struct emul_ctx *ctx, const uint8_t *insn, const struct vmm_regs *regs)
{
	char bytes[64] = "", text[96] = "";
	ZydisFormatter formatter;
	unsigned int i;

	for (i = 0; i < ctx->insn.length; i++)
		sprintf(bytes + 3 * i, "%02x ", insn[i]);
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterFormatInstruction(&formatter, &ctx->insn, ctx->operands,
					ctx->insn.operand_count_visible, text, sizeof(text),
					regs->rip, NULL);
	tap_note("%s %s  at %#" PRIx64 " flags %#" PRIx64 " ax %#" PRIx64 " cx %#" PRIx64
		 " dx %#" PRIx64 " bx %#" PRIx64 " sp %#" PRIx64 " bp %#" PRIx64 " si %#" PRIx64
		 " di %#" PRIx64, bytes, text, (uint64_t)regs->rip, (uint64_t)regs->rflags,
		 (uint64_t)regs->rax, (uint64_t)regs->rcx, (uint64_t)regs->rdx,
		 (uint64_t)regs->rbx, (uint64_t)regs->rsp, (uint64_t)regs->rbp,
		 (uint64_t)regs->rsi, (uint64_t)regs->rdi);
}

/* ---- trials ---- */

static unsigned int seen[ZYDIS_MNEMONIC_MAX_VALUE + 1], faults;

/* False: they differ. Trials that cannot be compared count as equal. */
static bool try(bool code32, bool stack32, bool quiet)
{
	uint8_t insn[EMUL_MAX_INSN];
	struct emul_ctx ctx;
	struct vmm_regs regs;
	enum emul_status status;
	unsigned int len;
	bool good;

	random_regs(&regs);
	random_insn(insn);
	len = SIZE - regs.rip < EMUL_MAX_INSN ? SIZE - regs.rip : EMUL_MAX_INSN;
	make_context(&ctx, &regs, code32, stack32);
	memcpy(ctx.bytes, insn, len);
	ctx.length = len;
	if (emul_decode(&ctx, false) || !wanted(&ctx))
		return true;
	len = ctx.insn.length;
	memcpy(native + regs.rip, insn, len);
	memcpy(emulated + regs.rip, insn, len);
	ctx.length = 0;
	status = emul_step(&ctx);
	execute(&regs, code32, stack32);
	good = !defined(&ctx, status, &regs) || compare(&ctx, status, quiet);
	if (!good && !quiet)
		note(&ctx, insn, &regs);
	if (memcmp(emulated, native, SIZE))
		memcpy(emulated, native, SIZE);
	seen[ctx.insn.mnemonic]++;
	faults += status == EMUL_FAULT;
	return good;
}

static void trials(bool code32, bool stack32)
{
	unsigned int i, bad = 0, kinds = 0, done = 0;

	memset(seen, 0, sizeof(seen));
	faults = 0;
	for (i = 0; i < SIZE; i++)
		native[i] = random64() >> 30;
	memcpy(emulated, native, SIZE);
	for (i = 0; i < ROUNDS; i++)
		bad += !try(code32, stack32, bad >= MAX_NOTES);
	for (i = 0; i < ARRAY_SIZE(seen); i++) {
		kinds += !!seen[i];
		done += seen[i];
	}
	is(bad, 0, "%u-bit code on a %u-bit stack does what the CPU does", code32 ? 32 : 16,
	   stack32 ? 32 : 16);
	ok(done > ROUNDS / 4 && kinds > 110, "in %u trials of %u instructions", done, kinds);
	ok(faults > done / 20, "of which %u faulted", faults);
}

int main(void)
{
	if (!prepare()) {
		ok(true, "no LDT on this machine # SKIP modify_ldt: %s", strerror(errno));
		return tap_end();
	}
	trials(false, false);
	trials(true, true);
	trials(false, true);
	trials(true, false);
	return tap_end();
}
