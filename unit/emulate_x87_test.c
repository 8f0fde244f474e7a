// SPDX-License-Identifier: GPL-2.0-or-later
/* unit-sources: ../lib/emul_*.c */
/* unit-flags: -fno-strict-aliasing */
/* unit-libs: -lZydis */
/*
 * x87 instructions of boot code: control words and what they make of the status word
 * against the CPU; absent, switched-away and excepting units against the manuals.
 */
#include "emulate_world.h"

#define OPERAND		0x100u		/* offset from BASE, in page 0 */

static struct emul_ctx *const ctx = &world.ctx;

static void reset(void)
{
	world_reset(REAL16);
	ctx->whole = true;
	ctx->ctrl.cr0 |= EMUL_CR0_NE;
	ctx->regs.rbx = OPERAND;
	world.x87 = (struct emul_x87) { .control = 0x1234, .status = 0x3800, .tags = 0xff };
}

static void put(uint16_t val)
{
	memcpy(world.memory + OPERAND, &val, sizeof(val));
}

static uint16_t operand(void)
{
	uint16_t val;

	memcpy(&val, world.memory + OPERAND, sizeof(val));
	return val;
}

/* As setup code looks for a coprocessor. */
static void probe(void)
{
	reset();
	put(0x5a5a);
	ctx->regs.rax = 0x5a5a5a5a;
	is(step(0xdb, 0xe3), EMUL_OK, "fninit");
	ok(!memcmp(&world.x87, &emul_x87_initial, sizeof(world.x87)), "makes the initial state");
	is(step(0xdf, 0xe0), EMUL_OK, "fnstsw ax");
	is(ctx->regs.rax, 0x5a5a0000, "clears AX alone");
	is(step(0xd9, 0x3f), EMUL_OK, "fnstcw [bx]");
	is(operand(), 0x37f, "stores the control word");
	is(step(0xdd, 0x3f), EMUL_OK, "fnstsw [bx]");
	is(operand(), 0, "stores the status word");
	is(step(0x9b), EMUL_OK, "fwait");
	is(step(0xd9, 0xd0), EMUL_OK, "fnop");
	is(ctx->regs.rip, 11, "they are left behind");
}

/* ---- against the CPU ---- */

struct environment {
	uint32_t control, status, tags, ip, cs_opcode, dp, ds;
};

static void native_fldcw(uint16_t before, uint16_t status, uint16_t control,
			 struct emul_x87 *result)
{
	struct environment env;

	asm volatile("fninit; fnstenv %0" : "=m" (env));
	env.control = 0xffff0000 | before;
	env.status = 0xffff0000 | status;
	asm volatile("fldenv %1; fldcw %2; fnstenv %0; fninit"
		     : "=m" (env) : "m" (env), "m" (control));
	result->control = env.control;
	result->status = env.status;
}

static void control_words(void)
{
	static const uint16_t statuses[] = { 0, 0x01, 0x3f, 0x24, 0x7f00, 0x4741 };
	unsigned int control, i, bad = 0;
	struct emul_x87 native;

	reset();
	for (control = 0; control <= UINT16_MAX; control++) {
		for (i = 0; i < ARRAY_SIZE(statuses); i++) {
			/* All masked until then, so that nothing waits. */
			world.x87 = (struct emul_x87) { .control = 0x37f, .status = statuses[i] };
			native_fldcw(0x37f, statuses[i], control, &native);
			put(control);
			ctx->regs.rip = 0;
			bad += step(0xd9, 0x2f) != EMUL_OK || world.x87.control != native.control ||
			       world.x87.status != native.status;
		}
	}
	is(bad, 0, "fldcw does to both words what the CPU does");
}

static void clear(void)
{
	struct environment env;
	unsigned int status, bad = 0;

	reset();
	for (status = 0; status <= UINT16_MAX; status++) {
		asm volatile("fninit; fnstenv %0" : "=m" (env));
		/* The CPU makes the summary and the busy bit itself. */
		env.status = 0xffff0000 | status;
		asm volatile("fldenv %1; fnstenv %0; fldenv %0" : "=m" (env) : "m" (env));
		world.x87 = (struct emul_x87) { .control = 0x37f, .status = env.status };
		asm volatile("fnclex; fnstenv %0; fninit" : "=m" (env));
		ctx->regs.rip = 0;
		bad += step(0xdb, 0xe2) != EMUL_OK || world.x87.status != (uint16_t)env.status;
	}
	is(bad, 0, "fnclex leaves what the CPU leaves");
}

/* ---- faults ---- */

static void unit_not_available(void)
{
	static const uint64_t bits[] = { EMUL_CR0_EM, EMUL_CR0_TS };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bits); i++) {
		reset();
		ctx->ctrl.cr0 |= bits[i];
		is(step(0xdb, 0xe3), EMUL_FAULT, "fninit without a unit");
		is_exception(EMUL_VECTOR_NM, -1, "is #NM");
		is(step(0xdd, 0x3f), EMUL_FAULT, "so is fnstsw");
		is(step(0xd9, 0x2f), EMUL_FAULT, "and fldcw");
		is(step(0x9b), EMUL_OK, "fwait is not");
	}
	ctx->ctrl.cr0 |= EMUL_CR0_MP;
	is(step(0x9b), EMUL_FAULT, "fwait with MP and TS");
	is_exception(EMUL_VECTOR_NM, -1, "is #NM");
	is(world.x87.control, 0x1234, "nothing changed");
}

static void exception_waits(void)
{
	reset();
	put(0x37f);
	world.x87.status |= 0x8081;
	is(step(0x9b), EMUL_FAULT, "fwait when an exception waits");
	is_exception(EMUL_VECTOR_MF, -1, "is #MF");
	is(step(0xd9, 0x2f), EMUL_FAULT, "so is fldcw");
	is(step(0xd9, 0xd0), EMUL_FAULT, "and fnop");
	is(step(0xdd, 0x3f), EMUL_OK, "fnstsw does not wait");
	is(operand(), 0xb881, "and tells");
	ctx->ctrl.cr0 &= ~EMUL_CR0_NE;
	is(step(0x9b), EMUL_UNSUPPORTED, "no pin for it without NE");
	is(step(0xdb, 0xe2), EMUL_OK, "fnclex");
	is(step(0x9b), EMUL_OK, "ends it");
}

/* MOVs of MMX registers, with OSFXSR or without */
static void mmx_moves(void)
{
	world_reset(LONG64);
	world.kind[1] = DEVICE;
	ctx->regs.rbx = PAGE_AT(1);
	ctx->ctrl.cr4 = EMUL_CR4_PAE;
	world.mmx[7] = 0xffeeddccbbaa9988;
	is(step(0x0f, 0x7f, 0x3b), EMUL_OK, "movq [device], mm7");
	is_access(0, false, true, 8, PAGE_AT(1), 0xffeeddccbbaa9988, "one write of 8 bytes");
	is(step(0x0f, 0x7e, 0x3b), EMUL_OK, "movd [device], mm7");
	is_access(1, false, true, 4, PAGE_AT(1), 0xbbaa9988, "one write of 4 bytes");
	is(step(0x48, 0x0f, 0x7e, 0x3b), EMUL_OK, "movq [device], mm7 with REX.W");
	is_access(2, false, true, 8, PAGE_AT(1), 0xffeeddccbbaa9988, "one write of 8 bytes");
	is(step(0x0f, 0x6f, 0x1b), EMUL_OK, "movq mm3, [device]");
	is(world.mmx[3], 0x1122334455667788, "what was read");
	is(step(0x0f, 0x6e, 0x1b), EMUL_OK, "movd mm3, [device]");
	is(world.mmx[3], 0x55667789, "what was read, and zeros");
	is(world.logged, 5, "five accesses in all");

	is(step(0x0f, 0x6f, 0xd9), EMUL_UNSUPPORTED, "movq mm3, mm1");
	world.kind[1] = ABSENT;
	ctx->ctrl.cr0 |= EMUL_CR0_NE;
	world.x87.status = 0x8081;
	is(step(0x0f, 0x6f, 0x1b), EMUL_FAULT, "movq mm3, [absent] when an exception waits");
	is_exception(EMUL_VECTOR_MF, -1, "is #MF");
	ctx->ctrl.cr0 |= EMUL_CR0_TS;
	is(step(0x0f, 0x6f, 0x1b), EMUL_FAULT, "with TS");
	is_exception(EMUL_VECTOR_NM, -1, "is #NM");
	ctx->ctrl.cr0 |= EMUL_CR0_EM;
	is(step(0x0f, 0x6f, 0x1b), EMUL_FAULT, "with EM");
	is_exception(EMUL_VECTOR_UD, -1, "is #UD");
	ctx->ctrl.cr0 &= ~(EMUL_CR0_TS | EMUL_CR0_EM);
	world.x87.status = 0;
	is(step(0x0f, 0x6f, 0x1b), EMUL_FAULT, "movq mm3, [absent]");
	is_exception(EMUL_VECTOR_PF, ERROR_BASE + VMM_ACCESS_READ, "is #PF");
	is(world.mmx[3], 0x55667789, "and loads nothing");
}

int main(void)
{
	probe();
	control_words();
	clear();
	unit_not_available();
	exception_waits();
	mmx_moves();
	return tap_end();
}
