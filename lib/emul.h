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
#define EMUL_MAX_OPERAND	16	/* bytes of the widest memory operand but a vector's */
#define EMUL_VECTOR_SIZE	32	/* bytes of a vector register */
#define EMUL_MAX_FRAME		8	/* values that one instruction pushes or pops: PUSHA */

/*
 * Elements of one REP run: a signal has to get through to the vCPU's thread, so
 * the instruction is entered again after so many. A page of bytes: what a driver's
 * rep insw moves at a time stays one exit.
 */
#define EMUL_MAX_REP		4096

/*
 * Instructions of one stretch, for the same reason: a few milliseconds. A boot
 * loader's loop takes a thousandth of it to leave and enter again.
 */
#define EMUL_MAX_STRETCH	4096

#define EMUL_CF		(1ull << 0)
#define EMUL_PF		(1ull << 2)
#define EMUL_AF		(1ull << 4)
#define EMUL_ZF		(1ull << 6)
#define EMUL_SF		(1ull << 7)
#define EMUL_TF		(1ull << 8)
#define EMUL_IF		(1ull << 9)
#define EMUL_DF		(1ull << 10)
#define EMUL_OF		(1ull << 11)
#define EMUL_IOPL_SHIFT	12
#define EMUL_IOPL	(3ull << EMUL_IOPL_SHIFT)
#define EMUL_NT		(1ull << 14)
#define EMUL_RF		(1ull << 16)
#define EMUL_VM		(1ull << 17)
#define EMUL_AC		(1ull << 18)
#define EMUL_ID		(1ull << 21)
#define EMUL_STATUS	(EMUL_CF | EMUL_PF | EMUL_AF | EMUL_ZF | EMUL_SF | EMUL_OF)

#define EMUL_CR0_PE	(1ull << 0)
#define EMUL_CR0_MP	(1ull << 1)
#define EMUL_CR0_EM	(1ull << 2)
#define EMUL_CR0_TS	(1ull << 3)
#define EMUL_CR0_ET	(1ull << 4)
#define EMUL_CR0_NE	(1ull << 5)
#define EMUL_CR0_WP	(1ull << 16)
#define EMUL_CR0_AM	(1ull << 18)
#define EMUL_CR0_NW	(1ull << 29)
#define EMUL_CR0_CD	(1ull << 30)
#define EMUL_CR0_PG	(1ull << 31)
#define EMUL_CR4_TSD	(1ull << 2)
#define EMUL_CR4_PSE	(1ull << 4)
#define EMUL_CR4_PAE	(1ull << 5)
#define EMUL_CR4_OSFXSR	(1ull << 9)
#define EMUL_CR4_UMIP	(1ull << 11)
#define EMUL_CR4_LA57	(1ull << 12)
#define EMUL_CR4_PCIDE	(1ull << 17)
#define EMUL_CR4_OSXSAVE	(1ull << 18)
#define EMUL_XCR0_AVX	6	/* the state of SSE and of AVX */
#define EMUL_EFER_LME	(1ull << 8)
#define EMUL_EFER_LMA	(1ull << 10)

#define EMUL_VECTOR_DE	0
#define EMUL_VECTOR_DB	1
#define EMUL_VECTOR_BP	3
#define EMUL_VECTOR_OF	4
#define EMUL_VECTOR_BR	5
#define EMUL_VECTOR_UD	6
#define EMUL_VECTOR_NM	7
#define EMUL_VECTOR_DF	8
#define EMUL_VECTOR_TS	10
#define EMUL_VECTOR_NP	11
#define EMUL_VECTOR_SS	12
#define EMUL_VECTOR_GP	13
#define EMUL_VECTOR_PF	14
#define EMUL_VECTOR_MF	16
#define EMUL_VECTOR_AC	17

/* Types of code and data segments: VMM_SEG_TYPE with VMM_SEG_S set. */
#define EMUL_TYPE_ACCESSED	1
#define EMUL_TYPE_WRITE		2	/* data: writable */
#define EMUL_TYPE_READ		2	/* code: readable */
#define EMUL_TYPE_DOWN		4	/* data: expands down */
#define EMUL_TYPE_CONFORMING	4	/* code */
#define EMUL_TYPE_CODE		8

enum emul_status {
	EMUL_OK,		/* go on; from emul_step(): the instruction is done */
	EMUL_PARTIAL,		/* ctx->done holds; the instruction is to be entered again */
	EMUL_FAULT,		/* ctx->done holds; ctx->event is to be delivered */
	EMUL_UNSUPPORTED,	/* nothing happened */
	EMUL_KERNEL,		/* nothing happened: the instruction is the kernel's */
	EMUL_SHUTDOWN,		/* a fault that even the double fault's handler met */
	EMUL_ERROR,		/* ctx->error says why; the VM cannot go on */
};

/* The x87 unit without its registers. */
struct emul_x87 {
	uint16_t control;
	uint16_t status;
	uint8_t tags;		/* as FXSAVE has them: 1 for a register in use */
};

#define EMUL_X87_CONTROL	0x37f	/* after FNINIT */

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
	/* The first @size bytes, 16 or 32, of vector register @n; 0 or -errno. */
	int (*vector_get)(void *data, unsigned int n, unsigned int size, void *val);
	int (*vector_set)(void *data, unsigned int n, unsigned int size, const void *val);
	/* The x87 unit's words; setting the initial state empties its registers. */
	int (*x87_get)(void *data, struct emul_x87 *x87);
	int (*x87_set)(void *data, const struct emul_x87 *x87);
	/*
	 * Read or write MMX register @n, which puts all x87 registers to use and their top to
	 * 0 ("MMX State and MMX Register Aliasing"); 0 or -errno.
	 */
	int (*mmx)(void *data, unsigned int n, bool write, uint64_t *val);
	/* Replace the control registers: 0, -EINVAL if no CPU could hold them, -errno. */
	int (*set_ctrl)(void *data, const struct vmm_ctrl *ctrl);
	/* The value that RDMSR would give; 0 or -errno. */
	int (*get_msr)(void *data, uint32_t index, uint64_t *val);
	/* Is the thread wanted elsewhere? A stretch ends then. */
	bool (*interrupted)(void *data);
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
	uint8_t shadow;		/* VMM_SHADOW_* */
	bool nmi_masked;

	/*
	 * Out: with EMUL_FAULT, and with EMUL_OK when a single step traps. A stretch
	 * begins with delivering the one it is given.
	 */
	struct vmm_event event;
	uint64_t cr2;
	bool cr2_set;
	bool single_step;	/* DR6.BS is to be set */
	bool segs_changed;
	int error;

	/* In: bytes at RIP known already; the rest is fetched. */
	unsigned int length;
	uint8_t bytes[EMUL_MAX_INSN];
	bool whole;		/* no CPU has looked at the instruction: unknown bytes are #UD */

	/* Of the instruction under way. */
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	bool long64;
	bool too_long;		/* more than EMUL_MAX_INSN bytes */
	bool element_done;	/* TF is set and REP did one of several elements */
	bool no_trap;		/* no single-step trap follows */
	bool stop;		/* the CPU may be able to run what follows */
	uint8_t new_shadow;	/* in force behind the instruction */
	uint64_t next;		/* RIP behind the instruction */
	uint32_t external;	/* EXT of error codes: 1 while an event is delivered */
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
 * memory; without it, too few bytes are EMUL_UNSUPPORTED. What is no instruction at
 * all is EMUL_UNSUPPORTED, and ctx->insn.length is 0.
 */
enum emul_status emul_decode(struct emul_ctx *ctx, bool fetch);

unsigned int emul_cpl(const struct emul_ctx *ctx);
bool emul_long64(const struct emul_ctx *ctx);
/* Protected mode and not virtual-8086 mode: selectors name descriptors. */
bool emul_protected(const struct emul_ctx *ctx);

/* Before each instruction and each delivery: what is not kept from the last one. */
void emul_begin(struct emul_ctx *ctx);

/* Regard what was done so far as completed: a later fault does not undo it. */
void emul_checkpoint(struct emul_ctx *ctx);

/* Make an exception; returns EMUL_FAULT. The error code is left out in real mode. */
enum emul_status emul_raise(struct emul_ctx *ctx, unsigned int vector);
enum emul_status emul_raise_error(struct emul_ctx *ctx, unsigned int vector, uint32_t error);

/* The instruction's row in the table of those that are known, or NULL. */
const struct emul_insn *emul_lookup(ZydisMnemonic mnemonic);	/* emul_table.c */

/* ---- emul_real.c ---- */

/*
 * Deliver ctx->event, then carry out instructions until the CPU might be able to go
 * on by itself, @budget of them at most. EMUL_OK or EMUL_PARTIAL: something was
 * done; ctx->event, if there is one, is still to be delivered.
 */
enum emul_status emul_stretch(struct emul_ctx *ctx, unsigned int budget);

/* ---- emul_event.c ---- */

/* Deliver ctx->event as the CPU does between two instructions. */
enum emul_status emul_deliver(struct emul_ctx *ctx);

/* INT n and its like: enter the handler, @rip being where it returns to. */
enum emul_status emul_interrupt(struct emul_ctx *ctx, const struct vmm_event *event,
				uint64_t rip);

/* ---- emul_segment.c ---- */

/* Load any segment register but CS. */
enum emul_status emul_load_segment(struct emul_ctx *ctx, enum vmm_sreg sreg, uint16_t selector);

enum emul_transfer { EMUL_JUMP, EMUL_CALL, EMUL_RETURN, EMUL_GATE };

/*
 * Check that @selector:@offset may be gone to and make the CS for it. The caller
 * pushes what it has to, then takes it with emul_set_code().
 */
enum emul_status emul_open_code(struct emul_ctx *ctx, uint16_t selector, uint64_t offset,
				enum emul_transfer how, struct vmm_segment *cs);
void emul_set_code(struct emul_ctx *ctx, const struct vmm_segment *cs, uint64_t offset);

/* ---- emul_stack.c ---- */

/* Push @count values of @size bytes, the first one first: all or none. */
enum emul_status emul_push_frame(struct emul_ctx *ctx, unsigned int size, const uint64_t *vals,
				 unsigned int count);
/* Resolve the place of the @size bytes that the instruction pushes next. */
enum emul_status emul_reserve(struct emul_ctx *ctx, unsigned int size, struct emul_span *span);
/* Read @count values from the stack's top down; it is emul_drop() that pops them. */
enum emul_status emul_peek_frame(struct emul_ctx *ctx, unsigned int size, uint64_t *vals,
				 unsigned int count);
/* The same for an offset, a selector and, if @count is 3, flags. */
enum emul_status emul_peek_far(struct emul_ctx *ctx, unsigned int size, uint64_t *vals,
			       unsigned int count);
void emul_drop(struct emul_ctx *ctx, uint64_t bytes);

/* POPF and IRET: @val of @size bytes into the flags that the CPL may change. */
void emul_set_flags(struct emul_ctx *ctx, unsigned int size, uint64_t val, uint64_t also);

/* ---- emul_system.c ---- */

/* MOV to and from control registers. */
enum emul_status emul_read_cr(const struct emul_ctx *ctx, unsigned int n, uint64_t *val);
enum emul_status emul_write_cr(struct emul_ctx *ctx, unsigned int n, uint64_t val);

/* ---- emul_mem.c ---- */

/* Check and translate @size bytes at @seg:@offset for VMM_ACCESS_READ or WRITE. */
enum emul_status emul_resolve(struct emul_ctx *ctx, enum vmm_sreg seg, uint64_t offset,
			      unsigned int size, uint32_t access, struct emul_span *span);
/* The same for what the CPU reads and writes of its own accord, at CPL 0. */
enum emul_status emul_resolve_system(struct emul_ctx *ctx, uint64_t linear, unsigned int size,
				     uint32_t access, struct emul_span *span);
enum emul_status emul_read_system(struct emul_ctx *ctx, uint64_t linear, void *buf,
				  unsigned int size);
enum emul_status emul_read(struct emul_ctx *ctx, const struct emul_span *span, void *buf);
enum emul_status emul_write(struct emul_ctx *ctx, const struct emul_span *span, const void *buf);

/*
 * Write @new if memory still holds @old, in one step where it is RAM and aligned;
 * else EMUL_PARTIAL. A device is written in any case.
 */
enum emul_status emul_replace(struct emul_ctx *ctx, const struct emul_span *span,
			      const void *old, const void *new);

bool emul_canonical(const struct emul_ctx *ctx, uint64_t linear);
uint64_t emul_linear(const struct emul_ctx *ctx, enum vmm_sreg seg, uint64_t offset);

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

/*
 * Read the far pointer of memory operand @i: an offset of @size bytes and a selector
 * behind it, two accesses.
 */
enum emul_status emul_load_pointer(struct emul_ctx *ctx, unsigned int i, unsigned int size,
				   uint64_t *offset, uint16_t *selector);

/* emul_open() for reading and emul_get() in one. */
enum emul_status emul_load(struct emul_ctx *ctx, unsigned int i, uint64_t *val);
/* Open operand 0 for @access, load operand 1 into @src, then get what the first holds. */
enum emul_status emul_open_pair(struct emul_ctx *ctx, uint32_t access, struct emul_ref *dst,
				uint64_t *val, uint64_t *src);

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

/* emul_insn.c */
emul_handler emul_do_alu, emul_do_unary;
emul_handler emul_do_mov, emul_do_movx, emul_do_movbe, emul_do_cmov, emul_do_setcc;
emul_handler emul_do_xchg, emul_do_xadd, emul_do_cmpxchg, emul_do_cmpxchg_pair;
emul_handler emul_do_bit;

/* emul_arith.c */
emul_handler emul_do_multiply, emul_do_divide, emul_do_double_shift, emul_do_scan, emul_do_bswap;
emul_handler emul_do_decimal, emul_do_aam, emul_do_aad, emul_do_widen, emul_do_lea;
emul_handler emul_do_xlat, emul_do_lahf, emul_do_sahf, emul_do_salc;

/* emul_flow.c */
emul_handler emul_do_jcc, emul_do_jcxz, emul_do_loop, emul_do_jmp, emul_do_call, emul_do_ret;
emul_handler emul_do_int, emul_do_into, emul_do_iret, emul_do_bound;

/* emul_segment.c */
emul_handler emul_do_load_far, emul_do_system_segment;

/* emul_stack.c */
emul_handler emul_do_push, emul_do_pop, emul_do_pusha, emul_do_popa, emul_do_pushf;
emul_handler emul_do_popf, emul_do_enter, emul_do_leave;

/* emul_system.c */
emul_handler emul_do_nothing, emul_do_kernel, emul_do_flag, emul_do_cli, emul_do_sti;
emul_handler emul_do_load_table, emul_do_store_table, emul_do_smsw, emul_do_lmsw;
emul_handler emul_do_clts, emul_do_rdtsc, emul_do_in, emul_do_out, emul_do_invlpg;
emul_handler emul_do_undefined;

enum emul_decimal { EMUL_AAA, EMUL_AAS, EMUL_DAA, EMUL_DAS };
enum emul_scan { EMUL_BSF, EMUL_BSR, EMUL_TZCNT, EMUL_LZCNT };
enum emul_loop { EMUL_LOOP, EMUL_LOOPE, EMUL_LOOPNE };
enum emul_table { EMUL_GDT, EMUL_IDT };
enum emul_system_segment { EMUL_LLDT, EMUL_LTR, EMUL_SLDT, EMUL_STR };
/* emul_do_flag: the flag's bit number above what becomes of it */
enum emul_flag_op { EMUL_CLEAR, EMUL_SET, EMUL_COMPLEMENT };
#define EMUL_FLAG(number, op)	((number) << 2 | (op))

enum emul_bit_op { EMUL_BT, EMUL_BTS, EMUL_BTR, EMUL_BTC };
enum emul_extend { EMUL_ZERO_EXTEND, EMUL_SIGN_EXTEND };

/* emul_string.c */
enum emul_string_op {
	EMUL_MOVS, EMUL_CMPS, EMUL_STOS, EMUL_LODS, EMUL_SCAS, EMUL_INS, EMUL_OUTS
};
emul_handler emul_do_string;

/* emul_x87.c */
enum emul_x87_op { EMUL_FNINIT, EMUL_FNCLEX, EMUL_FNOP, EMUL_FNSTCW, EMUL_FNSTSW };
emul_handler emul_do_x87, emul_do_x87_store, emul_do_fldcw, emul_do_fwait;
/* What FNINIT makes. */
extern const struct emul_x87 emul_x87_initial;
/* #NM or #MF, if an instruction that waits for the unit has to raise it. */
enum emul_status emul_x87_ready(struct emul_ctx *ctx);

/* emul_mmx.c */
emul_handler emul_do_mmx;
/* Is one of the first two operands an MMX register? */
bool emul_moves_mmx(const struct emul_ctx *ctx);

/* emul_sse.c; arg: enum emul_sse_op */
enum emul_sse_op { EMUL_SSE_ANY, EMUL_SSE_ALIGNED };
emul_handler emul_do_sse, emul_do_avx;

/*
 * emul_walk.c: set the accessed bits, and for @write the dirty bit, of the guest's
 * page-table entries that translate @gva to @gpa. -EAGAIN: they do so no longer.
 */
int emul_mark_accessed(const struct emul_env *env, void *data, const struct vmm_ctrl *ctrl,
		       uint64_t gva, bool write, uint64_t gpa);

#endif /* LIBVMM_EMUL_H */
