// SPDX-License-Identifier: GPL-2.0-or-later
/* unit-sources: ../lib/emul_*.c */
/* unit-sources: emulate_native.S */
/* unit-flags: -fno-strict-aliasing */
/* unit-libs: -lZydis */
/*
 * The emulator against the CPU: each form is executed natively and emulated from
 * the same registers, flags and memory, with random operands, addresses, operand
 * sizes and encodings, and everything is compared. Flags that the manuals leave
 * undefined are not. Pages of the emulated memory are RAM or a device at random,
 * so operands cross from one to the other; they lie in guest-physical memory in
 * reverse, so an access that runs over the end of a page goes astray.
 */
#include <errno.h>
#include <inttypes.h>

#include "../lib/emul.h"
#include "emulate_native.h"
#include "tap.h"

#define ROUNDS		800	/* of each form: hundreds of each operand size */
#define GPA_BASE	0x40000000ull
#define MAX_NOTES	3	/* failures shown of each form */

static uint8_t *arena;			/* code page, native data */
static uint8_t *data_pages;		/* native data */
static uint8_t memory[DATA_SIZE];	/* the emulated data, by guest-physical address */
static uint8_t initial[DATA_SIZE];
static bool is_device[DATA_PAGES];
static uint8_t vectors[16][EMUL_VECTOR_SIZE];
static bool bad_device_access;

static uint64_t random64(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static unsigned int below(unsigned int limit)
{
	return (random64() >> 20) % limit;
}

/* Values near the edges of every width are worth more than random ones. */
static uint64_t interesting(void)
{
	static const uint64_t edges[] = {
		0, 1, 2, 0x7f, 0x80, 0x81, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000,
		0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff,
		0x8000000000000000, 0xffffffffffffffff, 0xaaaaaaaaaaaaaaaa, 0x0f0f0f0f0f0f0f0f,
	};

	return below(2) ? random64() : edges[below(ARRAY_SIZE(edges))];
}

/* ---- the emulator's outside ---- */

static int translate(void *data, uint64_t gva, uint32_t access, uint64_t *gpa, uint32_t *error)
{
	uint64_t offset = gva - (uintptr_t)data_pages;

	(void)data;
	(void)access;
	*error = 0;
	if (offset >= DATA_SIZE)
		return 1;
	*gpa = GPA_BASE + (DATA_PAGES - 1 - offset / PAGE) * PAGE + offset % PAGE;
	return 0;
}

static uint8_t *place(uint64_t gpa, unsigned int len, bool device)
{
	uint64_t offset = gpa - GPA_BASE;

	if (offset >= DATA_SIZE || offset % PAGE + len > PAGE ||
	    is_device[offset / PAGE] != device)
		return NULL;
	return memory + offset;
}

static int ram_read(void *data, uint64_t gpa, void *buf, unsigned int len)
{
	const uint8_t *from = place(gpa, len, false);

	(void)data;
	if (!from)
		return -EFAULT;
	memcpy(buf, from, len);
	return 0;
}

static int ram_write(void *data, uint64_t gpa, const void *buf, unsigned int len)
{
	uint8_t *to = place(gpa, len, false);

	(void)data;
	if (!to)
		return -EFAULT;
	memcpy(to, buf, len);
	return 0;
}

static int ram_replace(void *data, uint64_t gpa, const void *old, const void *new,
		       unsigned int len)
{
	uint8_t *to = place(gpa, len, false);

	(void)data;
	if (!to)
		return -EFAULT;
	if (memcmp(to, old, len))
		return 0;
	memcpy(to, new, len);
	return 1;
}

static void mmio(void *data, uint64_t gpa, unsigned int size, bool write, void *val)
{
	uint8_t *at = place(gpa, size, true);

	(void)data;
	if (!at || size > 8 || (size & (size - 1)) || gpa % size) {
		bad_device_access = true;
		return;
	}
	if (write)
		memcpy(at, val, size);
	else
		memcpy(val, at, size);
}

static void pio(void *data, uint16_t port, unsigned int size, bool write, void *val)
{
	(void)data;
	(void)port;
	(void)size;
	(void)write;
	(void)val;
	bad_device_access = true;
}

static int vector_get(void *data, unsigned int n, unsigned int size, void *val)
{
	(void)data;
	memcpy(val, vectors[n], size);
	return 0;
}

static int vector_set(void *data, unsigned int n, unsigned int size, const void *val)
{
	(void)data;
	memcpy(vectors[n], val, size);
	return 0;
}

static int set_ctrl(void *data, const struct vmm_ctrl *ctrl)
{
	(void)data;
	(void)ctrl;
	return -EINVAL;
}

static int get_msr(void *data, uint32_t index, uint64_t *val)
{
	(void)data;
	(void)index;
	*val = 0;
	return 0;
}

static bool interrupted(void *data)
{
	(void)data;
	return false;
}

static const struct emul_env env = {
	.translate = translate, .ram_read = ram_read, .ram_write = ram_write,
	.ram_replace = ram_replace, .pio = pio, .mmio = mmio,
	.vector_get = vector_get, .vector_set = vector_set,
	.set_ctrl = set_ctrl, .get_msr = get_msr, .interrupted = interrupted,
};

/* ---- making instructions ---- */

#define BYTE	(1u << 0)	/* the operand is a byte */
#define NO16	(1u << 1)
#define NO32	(1u << 2)
#define NO64	(1u << 3)
#define IMM8	(1u << 4)
#define IMMZ	(1u << 5)	/* as wide as the operand, four bytes at most */
#define SHIFT	(1u << 6)	/* flags depend on the count */
#define LOCK	(1u << 7)	/* may carry the prefix */
#define BITS	(1u << 8)	/* a bit number in the register operand */
#define ALIGN	(1u << 9)	/* 16 bytes, aligned */
#define WIDE	(1u << 10)	/* 16 bytes */
#define STACK	(1u << 11)
#define REP	(1u << 12)
#define REPNE	(1u << 13)
#define ACC	(1u << 14)	/* make the accumulator equal to memory half the time */
#define MANDATORY (1u << 15)	/* op[0] is a prefix that goes before REX */
#define VEX	(1u << 16)	/* op[0] is what VEX says of the prefix: 0 to 3 */
#define YMM	(1u << 17)	/* 32 bytes */

struct form {
	const char *name;
	uint8_t op[4];
	uint8_t len;		/* of op */
	int8_t ext;		/* ModRM.reg; -1: a register; -2: no ModRM, a string form */
	unsigned int flags;
};

#define ALU(name, op, ext)							\
	{ name " m8, r8", { op }, 1, -1, BYTE | LOCK },				\
	{ name " m, r", { op + 1 }, 1, -1, LOCK },				\
	{ name " r8, m8", { op + 2 }, 1, -1, BYTE },				\
	{ name " r, m", { op + 3 }, 1, -1, 0 },					\
	{ name " m8, imm8", { 0x80 }, 1, ext, BYTE | IMM8 | LOCK },		\
	{ name " m, imm", { 0x81 }, 1, ext, IMMZ | LOCK },			\
	{ name " m, imm8", { 0x83 }, 1, ext, IMM8 | LOCK }

#define UNARY(name, op, ext)							\
	{ name " m8", { op }, 1, ext, BYTE | LOCK }, { name " m", { op + 1 }, 1, ext, LOCK }

#define SHIFTS(name, ext)							\
	{ name " m8, 1", { 0xd0 }, 1, ext, BYTE | SHIFT },			\
	{ name " m, 1", { 0xd1 }, 1, ext, SHIFT },				\
	{ name " m8, imm8", { 0xc0 }, 1, ext, BYTE | SHIFT | IMM8 },		\
	{ name " m, imm8", { 0xc1 }, 1, ext, SHIFT | IMM8 },			\
	{ name " m8, cl", { 0xd2 }, 1, ext, BYTE | SHIFT },			\
	{ name " m, cl", { 0xd3 }, 1, ext, SHIFT }

#define BIT(name, op, ext, flags)						\
	{ name " m, r", { 0x0f, op }, 2, -1, BITS | (flags) },			\
	{ name " m, imm8", { 0x0f, 0xba }, 2, ext, IMM8 | (flags) }

#define STRING(name, op, flags)							\
	{ name "b", { op }, 1, -2, BYTE }, { name, { op + 1 }, 1, -2, 0 },	\
	{ "rep " name "b", { op }, 1, -2, BYTE | (flags) },			\
	{ "rep " name, { op + 1 }, 1, -2, (flags) }

#define CC(name, n)								\
	{ "set" name, { 0x0f, 0x90 + (n) }, 2, 0, BYTE },			\
	{ "cmov" name, { 0x0f, 0x40 + (n) }, 2, -1, 0 }

#define SSE(name, prefix, op, flags)						\
	{ name, { prefix, 0x0f, op }, 3, -1, MANDATORY | NO16 | NO64 | (flags) }

/* Both widths; bytes move as they are. */
#define AVX(name, pp, op, flags)						\
	{ name " x", { pp, op }, 2, -1, VEX | NO16 | NO64 | (flags) },		\
	{ name " y", { pp, op }, 2, -1, VEX | YMM | NO16 | NO64 | (flags) }

static const struct form forms[] = {
	ALU("add", 0x00, 0), ALU("or", 0x08, 1), ALU("adc", 0x10, 2), ALU("sbb", 0x18, 3),
	ALU("and", 0x20, 4), ALU("sub", 0x28, 5), ALU("xor", 0x30, 6),
	{ "cmp m8, r8", { 0x38 }, 1, -1, BYTE }, { "cmp m, r", { 0x39 }, 1, -1, 0 },
	{ "cmp r8, m8", { 0x3a }, 1, -1, BYTE }, { "cmp r, m", { 0x3b }, 1, -1, 0 },
	{ "cmp m8, imm8", { 0x80 }, 1, 7, BYTE | IMM8 }, { "cmp m, imm", { 0x81 }, 1, 7, IMMZ },
	{ "cmp m, imm8", { 0x83 }, 1, 7, IMM8 },
	{ "test m8, r8", { 0x84 }, 1, -1, BYTE }, { "test m, r", { 0x85 }, 1, -1, 0 },
	{ "test m8, imm8", { 0xf6 }, 1, 0, BYTE | IMM8 }, { "test m, imm", { 0xf7 }, 1, 0, IMMZ },
	UNARY("inc", 0xfe, 0), UNARY("dec", 0xfe, 1), UNARY("not", 0xf6, 2), UNARY("neg", 0xf6, 3),
	SHIFTS("rol", 0), SHIFTS("ror", 1), SHIFTS("rcl", 2), SHIFTS("rcr", 3), SHIFTS("shl", 4),
	SHIFTS("shr", 5), SHIFTS("sar", 7),
	{ "mul m8", { 0xf6 }, 1, 4, BYTE }, { "mul m", { 0xf7 }, 1, 4, 0 },
	{ "imul m8", { 0xf6 }, 1, 5, BYTE }, { "imul m", { 0xf7 }, 1, 5, 0 },
	{ "imul r, m", { 0x0f, 0xaf }, 2, -1, 0 }, { "imul r, m, imm8", { 0x6b }, 1, -1, IMM8 },
	{ "imul r, m, imm", { 0x69 }, 1, -1, IMMZ },

	{ "mov m8, r8", { 0x88 }, 1, -1, BYTE }, { "mov m, r", { 0x89 }, 1, -1, 0 },
	{ "mov r8, m8", { 0x8a }, 1, -1, BYTE }, { "mov r, m", { 0x8b }, 1, -1, 0 },
	{ "mov m8, imm8", { 0xc6 }, 1, 0, BYTE | IMM8 }, { "mov m, imm", { 0xc7 }, 1, 0, IMMZ },
	{ "mov m16, ds", { 0x8c }, 1, 3, 0 },
	{ "movzx r, m8", { 0x0f, 0xb6 }, 2, -1, 0 }, { "movzx r, m16", { 0x0f, 0xb7 }, 2, -1, 0 },
	{ "movsx r, m8", { 0x0f, 0xbe }, 2, -1, 0 }, { "movsx r, m16", { 0x0f, 0xbf }, 2, -1, 0 },
	{ "movsxd r64, m32", { 0x63 }, 1, -1, NO16 | NO32 },
	{ "movbe r, m", { 0x0f, 0x38, 0xf0 }, 3, -1, 0 },
	{ "movbe m, r", { 0x0f, 0x38, 0xf1 }, 3, -1, 0 },
	{ "movnti m, r", { 0x0f, 0xc3 }, 2, -1, NO16 },
	{ "xchg m8, r8", { 0x86 }, 1, -1, BYTE | LOCK }, { "xchg m, r", { 0x87 }, 1, -1, LOCK },
	{ "xadd m8, r8", { 0x0f, 0xc0 }, 2, -1, BYTE | LOCK },
	{ "xadd m, r", { 0x0f, 0xc1 }, 2, -1, LOCK },
	{ "cmpxchg m8, r8", { 0x0f, 0xb0 }, 2, -1, BYTE | LOCK | ACC },
	{ "cmpxchg m, r", { 0x0f, 0xb1 }, 2, -1, LOCK | ACC },
	{ "cmpxchg8b m64", { 0x0f, 0xc7 }, 2, 1, NO16 | NO64 | LOCK | ACC },
	{ "cmpxchg16b m128", { 0x0f, 0xc7 }, 2, 1, NO16 | NO32 | LOCK | ACC | ALIGN },
	BIT("bt", 0xa3, 4, 0), BIT("bts", 0xab, 5, LOCK), BIT("btr", 0xb3, 6, LOCK),
	BIT("btc", 0xbb, 7, LOCK),
	{ "push m", { 0xff }, 1, 6, STACK | NO32 }, { "pop m", { 0x8f }, 1, 0, STACK | NO32 },
	CC("o", 0), CC("no", 1), CC("b", 2), CC("nb", 3), CC("z", 4), CC("nz", 5), CC("be", 6),
	CC("nbe", 7), CC("s", 8), CC("ns", 9), CC("p", 10), CC("np", 11), CC("l", 12),
	CC("nl", 13), CC("le", 14), CC("nle", 15),

	STRING("movs", 0xa4, REP), STRING("stos", 0xaa, REP), STRING("lods", 0xac, REP),
	STRING("cmps", 0xa6, REP | REPNE), STRING("scas", 0xae, REP | REPNE),

	{ "movups x, m", { 0x0f, 0x10 }, 2, -1, WIDE | NO16 | NO64 },
	{ "movups m, x", { 0x0f, 0x11 }, 2, -1, WIDE | NO16 | NO64 },
	{ "movaps x, m", { 0x0f, 0x28 }, 2, -1, ALIGN | NO16 | NO64 },
	{ "movaps m, x", { 0x0f, 0x29 }, 2, -1, ALIGN | NO16 | NO64 },
	{ "movntps m, x", { 0x0f, 0x2b }, 2, -1, ALIGN | NO16 | NO64 },
	SSE("movupd x, m", 0x66, 0x10, WIDE), SSE("movapd m, x", 0x66, 0x29, ALIGN),
	SSE("movdqa x, m", 0x66, 0x6f, ALIGN), SSE("movdqa m, x", 0x66, 0x7f, ALIGN),
	SSE("movdqu x, m", 0xf3, 0x6f, WIDE), SSE("movdqu m, x", 0xf3, 0x7f, WIDE),
	SSE("movntdq m, x", 0x66, 0xe7, ALIGN), SSE("lddqu x, m", 0xf2, 0xf0, WIDE),
	SSE("movd x, m32", 0x66, 0x6e, 0), SSE("movd m32, x", 0x66, 0x7e, 0),
	SSE("movq x, m64", 0xf3, 0x7e, 0), SSE("movq m64, x", 0x66, 0xd6, 0),
	SSE("movss x, m32", 0xf3, 0x10, 0), SSE("movss m32, x", 0xf3, 0x11, 0),
	SSE("movsd x, m64", 0xf2, 0x10, 0), SSE("movsd m64, x", 0xf2, 0x11, 0),

	AVX("vmovups v, m", 0, 0x10, WIDE), AVX("vmovups m, v", 0, 0x11, WIDE),
	AVX("vmovupd v, m", 1, 0x10, WIDE), AVX("vmovapd m, v", 1, 0x29, ALIGN),
	AVX("vmovaps v, m", 0, 0x28, ALIGN), AVX("vmovaps m, v", 0, 0x29, ALIGN),
	AVX("vmovdqu v, m", 2, 0x6f, WIDE), AVX("vmovdqu m, v", 2, 0x7f, WIDE),
	AVX("vmovdqa v, m", 1, 0x6f, ALIGN), AVX("vmovdqa m, v", 1, 0x7f, ALIGN),
	AVX("vmovntdq m, v", 1, 0xe7, ALIGN), AVX("vmovntps m, v", 0, 0x2b, ALIGN),
	AVX("vlddqu v, m", 3, 0xf0, WIDE),
	{ "vmovd x, m32", { 1, 0x6e }, 2, -1, VEX | NO16 | NO64 },
	{ "vmovd m32, x", { 1, 0x7e }, 2, -1, VEX | NO16 | NO64 },
	{ "vmovq x, m64", { 2, 0x7e }, 2, -1, VEX | NO16 | NO64 },
	{ "vmovq m64, x", { 1, 0xd6 }, 2, -1, VEX | NO16 | NO64 },
	{ "vmovss x, m32", { 2, 0x10 }, 2, -1, VEX | NO16 | NO64 },
	{ "vmovsd m64, x", { 3, 0x11 }, 2, -1, VEX | NO16 | NO64 },
};

struct trial {
	const struct form *form;
	uint8_t insn[15];
	unsigned int len;
	unsigned int size;	/* of the operand, bytes */
	uint64_t gpr[16];
	uint64_t rflags;
	uint64_t address;	/* of the operand */
	bool narrow;		/* addresses of 32 bits; the registers' upper halves are noise */
};

static void emit(struct trial *t, uint8_t byte)
{
	t->insn[t->len++] = byte;
}

static void emit_le(struct trial *t, uint64_t val, unsigned int len)
{
	while (len--) {
		emit(t, val);
		val >>= 8;
	}
}

static unsigned int pick_size(const struct form *f)
{
	unsigned int size;

	if (f->flags & BYTE)
		return 1;
	do
		size = 2u << below(3);
	while ((size == 2 && (f->flags & NO16)) || (size == 4 && (f->flags & NO32)) ||
	       (size == 8 && (f->flags & NO64)));
	return size;
}

static unsigned int imm_length(const struct trial *t)
{
	if (t->form->flags & IMM8)
		return 1;
	if (t->form->flags & IMMZ)
		return t->size < 4 ? t->size : 4;
	return 0;
}

/* Somewhere in the middle pages, often across a page's end. */
static uint64_t pick_address(const struct trial *t)
{
	uint64_t offset = below(2) ? 2 * PAGE - below(20) : PAGE + below(PAGE);

	if (t->form->flags & ALIGN)
		offset &= t->form->flags & YMM ? ~31ull : ~15ull;
	return (uintptr_t)data_pages + offset;
}

/*
 * Where the base points, so that base + index * scale + displacement is the operand;
 * a bit number in a register moves the operand itself.
 */
static void set_base(struct trial *t, unsigned int base, int64_t rest)
{
	t->gpr[base] = t->address - rest;
	if (t->narrow)
		t->gpr[base] = (uint32_t)t->gpr[base] | random64() << 32;
}

/* Bit numbers stay within a page of the operand, in both directions. */
static void limit_bit_number(struct trial *t, unsigned int reg)
{
	int64_t bit = (int64_t)below(2 * 8 * (PAGE - 64)) - 8 * (PAGE - 64);

	if (t->form->flags & BITS)
		t->gpr[reg] = bit;
}

/* REX or VEX, with the upper bits of ModRM's three registers, and the opcode. */
static void emit_opcode(struct trial *t, bool r, bool x, bool b)
{
	const struct form *f = t->form;
	unsigned int i, rex = 0x40 | r << 2 | x << 1 | b;

	if (f->flags & VEX) {
		emit(t, 0xc4);
		emit(t, (!r << 7 | !x << 6 | !b << 5) | 1);
		emit(t, 0x78 | (f->flags & YMM ? 4 : 0) | f->op[0]);
		emit(t, f->op[1]);
		return;
	}
	if (t->size == 8 && !(f->flags & STACK))
		rex |= 8;
	/* Without REX the byte registers 4 to 7 are AH to BH. */
	if (rex != 0x40 || below(2))
		emit(t, rex);
	for (i = !!(f->flags & MANDATORY); i < f->len; i++)
		emit(t, f->op[i]);
}

static void emit_modrm(struct trial *t, unsigned int reg, unsigned int imm)
{
	static const unsigned int bases[] = { 3, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15 };
	unsigned int base = bases[below(ARRAY_SIZE(bases))];
	unsigned int index = 10, scale = below(4), kind = below(5);
	int32_t disp = 0;

	if (reg == base && (t->form->flags & BITS))
		reg = 2;
	limit_bit_number(t, reg);

	if (t->narrow)
		emit(t, 0x67);
	if (t->size == 2 && !(t->form->flags & MANDATORY))
		emit(t, 0x66);
	if ((t->form->flags & LOCK) && below(2))
		emit(t, 0xf0);
	if (t->form->flags & MANDATORY)
		emit(t, t->form->op[0]);
	emit_opcode(t, reg >> 3, kind == 3, kind != 4 && base >> 3);
	reg &= 7;
	switch (kind) {
	case 0:		/* [base], which R13 and RBP lack */
		disp = 0;
		emit(t, ((base & 7) == 5 ? 0x40 : 0) | reg << 3 | (base & 7));
		break;
	case 1:
		disp = (int8_t)random64();
		emit(t, 0x40 | reg << 3 | (base & 7));
		break;
	case 2:
		disp = (int32_t)random64();
		emit(t, 0x80 | reg << 3 | (base & 7));
		break;
	case 3:		/* [base + index * scale + disp8] */
		disp = (int8_t)random64();
		emit(t, 0x44 | reg << 3);
		emit(t, scale << 6 | (index & 7) << 3 | (base & 7));
		break;
	default:	/* [rip + disp32] */
		emit(t, 5 | reg << 3);
		emit_le(t, t->address - ((uintptr_t)arena + t->len + 4 + imm), 4);
		return;
	}
	if (kind != 3 && (base & 7) == 4)
		emit(t, 0x24);
	if (kind == 2)
		emit_le(t, disp, 4);
	else if (kind || (base & 7) == 5)
		emit(t, disp);
	set_base(t, base, disp + (kind == 3 ? t->gpr[index] << scale : 0));
}

/* Both strings in the data pages, room for the longest run in both directions. */
static void make_string(struct trial *t)
{
	t->gpr[6] = (uintptr_t)data_pages + PAGE + below(2 * PAGE);
	t->gpr[7] = below(3) ? (uintptr_t)data_pages + PAGE + below(2 * PAGE) :
			       t->gpr[6] + below(16) - 8;
	t->gpr[1] = below(100);
	if (below(2))
		t->rflags |= EMUL_DF;
	if (t->form->flags & REP)
		emit(t, (t->form->flags & REPNE) && below(2) ? 0xf2 : 0xf3);
	if (t->narrow) {
		emit(t, 0x67);
		t->gpr[6] |= random64() << 32;
		t->gpr[7] |= random64() << 32;
		t->gpr[1] |= random64() << 32;
	}
	if (t->size == 2)
		emit(t, 0x66);
	if (t->size == 8)
		emit(t, 0x48);
	emit(t, t->form->op[0]);
}

/* Half of the compare-exchanges find what they expect. */
static void set_accumulator(struct trial *t)
{
	const uint8_t *operand = (const uint8_t *)(uintptr_t)t->address;

	if (below(2))
		return;
	if (t->form->ext == 1) {
		unsigned int half = t->size == 8 ? 8 : 4;

		memcpy(&t->gpr[0], operand, half);
		memcpy(&t->gpr[2], operand + half, half);
	} else {
		memcpy(&t->gpr[0], operand, t->size);
	}
}

static void make_trial(struct trial *t, const struct form *form)
{
	unsigned int i, imm, reg;

	memset(t, 0, sizeof(*t));
	t->form = form;
	t->size = pick_size(form);
	t->narrow = !below(4);
	for (i = 0; i < 16; i++)
		t->gpr[i] = interesting();
	t->gpr[4] = (uintptr_t)data_pages + PAGE + (below(PAGE) & ~7u);
	t->rflags = 2 | (random64() & EMUL_STATUS);
	t->address = pick_address(t);
	imm = imm_length(t);
	if (form->ext == -2) {
		make_string(t);
		return;
	}
	/* Not the stack pointer: its value must stay an address only where it is used. */
	do
		reg = form->ext >= 0 ? (unsigned int)form->ext : below(16);
	while (form->ext < 0 && reg == 10);
	emit_modrm(t, reg, imm);
	emit_le(t, interesting(), imm);
	if (form->flags & ACC)
		set_accumulator(t);
}

/* ---- comparing ---- */

/* Flags of a shift by more than one, or by more than there is, are undefined. */
static uint64_t undefined_flags(const struct emul_ctx *ctx, const struct trial *t)
{
	uint64_t mask = ctx->insn.cpu_flags ? ctx->insn.cpu_flags->undefined : 0;
	unsigned int count;

	if (!(t->form->flags & SHIFT))
		return mask;
	count = t->form->flags & IMM8 ? t->insn[t->len - 1] :
		t->form->op[0] >= 0xd2 ? (uint8_t)t->gpr[1] : 1;
	count &= t->size == 8 ? 63 : 31;
	/* The decoder's mask is for any count; count 0 changes nothing. */
	if (!count)
		return 0;
	mask = count == 1 ? 0 : EMUL_OF;
	if (t->form->ext >= 4)
		mask |= EMUL_AF;
	if ((t->form->ext == 4 || t->form->ext == 5) && count >= t->size * 8)
		mask |= EMUL_CF;
	return mask;
}

static void note_trial(const struct trial *t, const char *what, uint64_t got, uint64_t want)
{
	char bytes[64] = "";
	unsigned int i;

	for (i = 0; i < t->len; i++)
		sprintf(bytes + 3 * i, "%02x ", t->insn[i]);
	tap_note("%s [%s] size %u: %s is %#" PRIx64 ", the CPU says %#" PRIx64, t->form->name,
		 bytes, t->size, what, got, want);
}

static bool same(const struct trial *t, const char *what, uint64_t got, uint64_t want, bool quiet)
{
	if (got != want && !quiet)
		note_trial(t, what, got, want);
	return got == want;
}

static bool same_memory(const struct trial *t, bool quiet)
{
	unsigned int i;

	for (i = 0; i < DATA_SIZE; i++) {
		unsigned int page = DATA_PAGES - 1 - i / PAGE;
		char what[32];

		if (memory[page * PAGE + i % PAGE] == data_pages[i])
			continue;
		sprintf(what, "byte %#x of memory", i);
		return same(t, what, memory[page * PAGE + i % PAGE], data_pages[i], quiet);
	}
	return true;
}

/*
 * CPUs differ in what a repetition of no element with 32-bit addresses does to the
 * upper halves of its registers: Intel's clear those of RCX and of some pointers,
 * AMD's leave them all.
 */
static uint64_t defined_bits(const struct trial *t, unsigned int reg)
{
	bool nothing = t->narrow && (t->form->flags & REP) && !(uint32_t)t->gpr[1];

	return nothing && (reg == 1 || reg == 6 || reg == 7) ? UINT32_MAX : UINT64_MAX;
}

static bool compare(const struct trial *t, const struct emul_ctx *ctx, enum emul_status status,
		    bool quiet)
{
	uint64_t mask = EMUL_STATUS & ~undefined_flags(ctx, t);
	bool good = same(t, "the status", status, EMUL_OK, quiet);
	unsigned int i;
	char name[16];

	if (!good)
		return false;
	for (i = 0; i < 16; i++) {
		const uint64_t defined = defined_bits(t, i);

		sprintf(name, "register %u", i);
		good &= same(t, name, ctx->regs.gpr[i] & defined, native.gpr[i] & defined, quiet);
	}
	good &= same(t, "RIP", ctx->regs.rip, (uintptr_t)arena + t->len, quiet);
	good &= same(t, "flags", ctx->regs.rflags & mask, native.rflags & mask, quiet);
	good &= same(t, "vectors", !memcmp(vectors, native.vector, sizeof(vectors)), 1, quiet);
	good &= same(t, "a wrong device access", bad_device_access, false, quiet);
	return good && same_memory(t, quiet);
}

static void fill(void)
{
	unsigned int i;

	for (i = 0; i < DATA_SIZE; i += 8) {
		uint64_t val = i % 64 ? random64() : interesting();

		memcpy(initial + i, &val, sizeof(val));
	}
	for (i = 0; i < sizeof(vectors); i++)
		((uint8_t *)vectors)[i] = random64();
}

/* Runs of equal bytes, so that comparisons go on for a while. */
static void fill_runs(void)
{
	unsigned int i;

	for (i = 0; i < DATA_SIZE; i++)
		initial[i] = below(30) ? 0x55 : random64();
}

static void spread(void)
{
	unsigned int i;

	memcpy(data_pages, initial, DATA_SIZE);
	for (i = 0; i < DATA_PAGES; i++) {
		is_device[i] = below(2);
		memcpy(memory + (DATA_PAGES - 1 - i) * PAGE, initial + i * PAGE, PAGE);
	}
}

static struct emul_ctx *context(const struct trial *t)
{
	static struct emul_ctx ctx;

	memset(&ctx, 0, sizeof(ctx));
	ctx.env = &env;
	memcpy(ctx.regs.gpr, t->gpr, sizeof(t->gpr));
	ctx.regs.rip = (uintptr_t)arena;
	ctx.regs.rflags = t->rflags;
	ctx.ctrl.cr0 = EMUL_CR0_PE | EMUL_CR0_PG;
	ctx.ctrl.cr4 = EMUL_CR4_PAE | EMUL_CR4_OSFXSR | EMUL_CR4_OSXSAVE;
	ctx.ctrl.xcr0 = EMUL_XCR0_AVX | 1;
	ctx.ctrl.efer = EMUL_EFER_LMA;
	ctx.segs.seg[VMM_CS].attr = VMM_SEG_P | VMM_SEG_S | VMM_SEG_L | 0xb;
	ctx.segs.seg[VMM_SS].attr = VMM_SEG_P | VMM_SEG_S | VMM_SEG_DB | 0x3;
	asm("mov %%ds, %0" : "=r" (ctx.segs.seg[VMM_DS].selector));
	memcpy(ctx.bytes, t->insn, t->len);
	ctx.length = t->len;
	return &ctx;
}

static bool try(const struct form *form, bool quiet)
{
	struct emul_ctx *ctx;
	enum emul_status status;
	struct trial t;

	if (form->ext == -2 && below(2))
		fill_runs();
	else
		fill();
	spread();
	make_trial(&t, form);
	ctx = context(&t);
	memcpy(native.gpr, t.gpr, sizeof(t.gpr));
	native.rflags = t.rflags;
	memcpy(native.vector, vectors, sizeof(vectors));
	native_place(arena, t.insn, t.len);
	bad_device_access = false;
	status = emul_step(ctx);
	native_enter();
	return compare(&t, ctx, status, quiet);
}

int main(void)
{
	unsigned int i, round, failures;

	arena = native_arena();
	data_pages = arena + PAGE;
	native_avx = !!__builtin_cpu_supports("avx");
	for (i = 0; i < ARRAY_SIZE(forms); i++) {
		failures = 0;
		if ((forms[i].flags & VEX) && !native_avx)
			continue;
		for (round = 0; round < ROUNDS; round++)
			failures += !try(&forms[i], failures >= MAX_NOTES);
		is(failures, 0, "%s does what the CPU does, %u times", forms[i].name, ROUNDS);
	}
	return tap_end();
}
