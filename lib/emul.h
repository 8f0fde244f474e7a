/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The emulator's core, free of /dev/vmm: registers and one instruction in, changed
 * registers or an exception out. All that is outside it - page tables, RAM, devices,
 * vector registers - is reached through struct emul_env, so the unit tests run the
 * same code on plain buffers.
 *
 * Order inside every instruction, so that a fault leaves nothing half done: resolve
 * all operands (each fault comes from there), read, compute, write memory, write
 * registers. What a repeated instruction has completed is kept in ctx->done.
 *
 * The guest is hostile: it rewrites code, page tables and operands from other vCPUs
 * while the emulator works. So the instruction's bytes and each operand are read
 * once, and rights are checked here although the CPU checked them before the exit.
 */
#ifndef LIBVMM_EMUL_H
#define LIBVMM_EMUL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/vmm.h>
#include <Zydis/Zydis.h>

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

#define EMUL_PAGE_SIZE		4096u
#define EMUL_MAX_INSN		15	/* bytes of the longest instruction */
#define EMUL_MAX_OPERAND	16	/* bytes of the widest memory operand */

/*
 * Elements of one REP run: a signal has to get through to the vCPU's thread, so
 * the instruction is entered again after so many. A page of bytes: what a driver's
 * rep insw moves at a time stays one exit.
 */
#define EMUL_MAX_REP		4096

#define EMUL_CF		(1ull << 0)
#define EMUL_PF		(1ull << 2)
#define EMUL_AF		(1ull << 4)
#define EMUL_ZF		(1ull << 6)
#define EMUL_SF		(1ull << 7)
#define EMUL_TF		(1ull << 8)
#define EMUL_DF		(1ull << 10)
#define EMUL_OF		(1ull << 11)
#define EMUL_IOPL_SHIFT	12
#define EMUL_RF		(1ull << 16)
#define EMUL_VM		(1ull << 17)
#define EMUL_AC		(1ull << 18)
#define EMUL_STATUS	(EMUL_CF | EMUL_PF | EMUL_AF | EMUL_ZF | EMUL_SF | EMUL_OF)

#define EMUL_CR0_PE	(1ull << 0)
#define EMUL_CR0_EM	(1ull << 2)
#define EMUL_CR0_TS	(1ull << 3)
#define EMUL_CR0_AM	(1ull << 18)
#define EMUL_CR0_PG	(1ull << 31)
#define EMUL_CR4_PSE	(1ull << 4)
#define EMUL_CR4_PAE	(1ull << 5)
#define EMUL_CR4_OSFXSR	(1ull << 9)
#define EMUL_CR4_LA57	(1ull << 12)
#define EMUL_EFER_LMA	(1ull << 10)

#define EMUL_VECTOR_DB	1
#define EMUL_VECTOR_UD	6
#define EMUL_VECTOR_NM	7
#define EMUL_VECTOR_SS	12
#define EMUL_VECTOR_GP	13
#define EMUL_VECTOR_PF	14
#define EMUL_VECTOR_AC	17
#define EMUL_VECTOR_DE	0

enum emul_status {
	EMUL_OK,		/* go on; from emul_step(): the instruction is done */
	EMUL_PARTIAL,		/* ctx->done holds; the instruction is to be entered again */
	EMUL_FAULT,		/* ctx->done holds; ctx->event is to be delivered */
	EMUL_UNSUPPORTED,	/* nothing happened */
	EMUL_ERROR,		/* ctx->error says why; the VM cannot go on */
};

/* @data of each call is emul_ctx.data. gpa ranges do not cross a page. */
struct emul_env {
	/*
	 * Translate the page of @gva for VMM_ACCESS_* @access as the CPU would, setting
	 * accessed and dirty bits. 0: *@gpa; 1: it faults with *@error; -EAGAIN: the
	 * tables changed under the walk; else -errno.
	 */
	int (*translate)(void *data, uint64_t gva, uint32_t access, uint64_t *gpa,
			 uint32_t *error);
	/* As ram_read() and its sisters of internal.h. */
	int (*ram_read)(void *data, uint64_t gpa, void *buf, unsigned int len);
	int (*ram_write)(void *data, uint64_t gpa, const void *buf, unsigned int len);
	int (*ram_replace)(void *data, uint64_t gpa, const void *old, const void *new,
			   unsigned int len);
	/* As struct vmm_emul_ops. */
	void (*pio)(void *data, uint16_t port, unsigned int size, bool write, void *val);
	void (*mmio)(void *data, uint64_t gpa, unsigned int size, bool write, void *val);
	/* 16 bytes of vector register @n; 0 or -errno. */
	int (*xmm_get)(void *data, unsigned int n, void *val);
	int (*xmm_set)(void *data, unsigned int n, const void *val);
};

struct emul_page {
	uint64_t gva;		/* of the page; access 0: the entry is empty */
	uint64_t gpa;
	uint32_t access;
};

#define EMUL_NR_PAGES	4	/* source, destination, and a crossing of each */

struct emul_ctx {
	const struct emul_env *env;
	void *data;

	/* In and out: the vCPU. regs is work in progress, done is what holds. */
	struct vmm_regs regs;
	struct vmm_regs done;
	struct vmm_segs segs;
	struct vmm_ctrl ctrl;

	/* Out: with EMUL_FAULT, and with EMUL_OK when a single step traps. */
	struct vmm_event event;
	uint64_t cr2;
	bool cr2_set;
	bool single_step;	/* DR6.BS is to be set */
	int error;

	/* In: bytes at RIP known already; the rest is fetched. */
	unsigned int length;
	uint8_t bytes[EMUL_MAX_INSN];

	/* Of the instruction under way. */
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	bool long64;
	bool element_done;	/* TF is set and REP did one of several elements */
	unsigned int cpl;
	struct emul_page pages[EMUL_NR_PAGES];
	unsigned int next_page;
};

/* Guest-physical places of one access: two when it crosses a page. */
struct emul_span {
	unsigned int count;
	struct {
		uint64_t gpa;
		unsigned int len;
	} part[2];
};

enum emul_kind { EMUL_REG, EMUL_MEM, EMUL_IMM };

/* A resolved operand. */
struct emul_ref {
	enum emul_kind kind;
	unsigned int size;	/* bytes */
	ZydisRegister reg;
	uint64_t imm;
	struct emul_span span;
};

typedef enum emul_status emul_handler(struct emul_ctx *ctx, unsigned int arg);

struct emul_insn {
	emul_handler *handle;
	unsigned int arg;
};

/* ---- emul_core.c ---- */

/* Fetch, decode and carry out the instruction at regs.rip. */
enum emul_status emul_step(struct emul_ctx *ctx);

/*
 * Decode the instruction at regs.rip. @fetch: read what ctx->bytes lacks from guest
 * memory; without it, too few bytes are EMUL_UNSUPPORTED.
 */
enum emul_status emul_decode(struct emul_ctx *ctx, bool fetch);

unsigned int emul_cpl(const struct emul_ctx *ctx);
bool emul_long64(const struct emul_ctx *ctx);

/* Regard what was done so far as completed: a later fault does not undo it. */
void emul_checkpoint(struct emul_ctx *ctx);

/* Make an exception; returns EMUL_FAULT. The error code is left out in real mode. */
enum emul_status emul_raise(struct emul_ctx *ctx, unsigned int vector);
enum emul_status emul_raise_error(struct emul_ctx *ctx, unsigned int vector, uint32_t error);

/* ---- emul_mem.c ---- */

/* Check and translate @size bytes at @seg:@offset for VMM_ACCESS_READ or WRITE. */
enum emul_status emul_resolve(struct emul_ctx *ctx, enum vmm_sreg seg, uint64_t offset,
			      unsigned int size, uint32_t access, struct emul_span *span);
enum emul_status emul_read(struct emul_ctx *ctx, const struct emul_span *span, void *buf);
enum emul_status emul_write(struct emul_ctx *ctx, const struct emul_span *span, const void *buf);

/*
 * Write @new if memory still holds @old, in one step where it is RAM and aligned;
 * else EMUL_PARTIAL. A device is written in any case.
 */
enum emul_status emul_replace(struct emul_ctx *ctx, const struct emul_span *span,
			      const void *old, const void *new);

/* Read code at regs.rip + @skip: at least one byte, at most *@len, which is set. */
enum emul_status emul_fetch(struct emul_ctx *ctx, unsigned int skip, uint8_t *buf,
			    unsigned int *len);

/* May the guest access @size ports from @port on? #GP if not. */
enum emul_status emul_check_port(struct emul_ctx *ctx, uint16_t port, unsigned int size);

/* ---- emul_operand.c ---- */

uint64_t emul_mask(unsigned int size);
uint64_t emul_sign_extend(uint64_t val, unsigned int size);
uint64_t emul_gpr_read(const struct emul_ctx *ctx, enum vmm_gpr n, unsigned int size);
void emul_gpr_write(struct emul_ctx *ctx, enum vmm_gpr n, unsigned int size, uint64_t val);

/* The segment and offset of memory operand @i. */
enum vmm_sreg emul_segment(const ZydisDecodedOperand *op);
uint64_t emul_offset(const struct emul_ctx *ctx, const ZydisDecodedOperand *op);

/* Resolve operand @i for @access, WRITE meaning read and write. */
enum emul_status emul_open(struct emul_ctx *ctx, unsigned int i, uint32_t access,
			   struct emul_ref *ref);
enum emul_status emul_get(struct emul_ctx *ctx, const struct emul_ref *ref, uint64_t *val);
enum emul_status emul_put(struct emul_ctx *ctx, const struct emul_ref *ref, uint64_t val);
enum emul_status emul_update(struct emul_ctx *ctx, const struct emul_ref *ref, uint64_t old,
			     uint64_t val);

/* emul_open() for reading and emul_get() in one. */
enum emul_status emul_load(struct emul_ctx *ctx, unsigned int i, uint64_t *val);

/* ---- emul_alu.c: no state but the flags word given ---- */

enum emul_alu_op {
	EMUL_ADD, EMUL_OR, EMUL_ADC, EMUL_SBB, EMUL_AND, EMUL_SUB, EMUL_XOR, EMUL_CMP,
	EMUL_TEST, EMUL_INC, EMUL_DEC, EMUL_NEG, EMUL_NOT,
	EMUL_ROL, EMUL_ROR, EMUL_RCL, EMUL_RCR, EMUL_SHL, EMUL_SHR, EMUL_SAR,
	EMUL_NR_ALU
};

/* The result of @size bytes; *@flags is updated. */
uint64_t emul_alu(enum emul_alu_op op, unsigned int size, uint64_t a, uint64_t b,
		  uint64_t *flags);

/* Is condition @cc (the low four bits of a Jcc opcode) true? */
bool emul_condition(unsigned int cc, uint64_t flags);

/* ---- instruction groups ---- */

emul_handler emul_do_alu, emul_do_unary, emul_do_shift;
emul_handler emul_do_mov, emul_do_movx, emul_do_movbe, emul_do_cmov, emul_do_setcc;
emul_handler emul_do_xchg, emul_do_xadd, emul_do_cmpxchg, emul_do_cmpxchg_pair;
emul_handler emul_do_bit, emul_do_push, emul_do_pop, emul_do_multiply;

enum emul_bit_op { EMUL_BT, EMUL_BTS, EMUL_BTR, EMUL_BTC };
enum emul_extend { EMUL_ZERO_EXTEND, EMUL_SIGN_EXTEND };

/* emul_string.c */
enum emul_string_op {
	EMUL_MOVS, EMUL_CMPS, EMUL_STOS, EMUL_LODS, EMUL_SCAS, EMUL_INS, EMUL_OUTS
};
emul_handler emul_do_string;

/* emul_sse.c; arg: enum emul_sse_op */
enum emul_sse_op { EMUL_SSE_ANY, EMUL_SSE_ALIGNED };
emul_handler emul_do_sse;

/*
 * emul_walk.c: set the accessed bits, and for @write the dirty bit, of the guest's
 * page-table entries that translate @gva to @gpa. -EAGAIN: they do so no longer.
 */
int emul_mark_accessed(const struct emul_env *env, void *data, const struct vmm_ctrl *ctrl,
		       uint64_t gva, bool write, uint64_t gpa);

#endif /* LIBVMM_EMUL_H */
