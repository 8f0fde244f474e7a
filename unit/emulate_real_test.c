// SPDX-License-Identifier: GPL-2.0-or-later
/* unit-sources: ../lib/emul_*.c */
/* unit-flags: -fno-strict-aliasing */
/* unit-libs: -lZydis */
/*
 * What user mode cannot execute, against the manuals: segments, descriptor tables,
 * control registers, interrupts through real mode's vectors and protected mode's
 * gates, and stretches of instructions with events, bounds and ends.
 *
 * World: linear address BASE + x is x of world.memory; real mode's segments start at
 * BASE, so tables of the machine are at BASE + x as well.
 */
#include "emulate_world.h"

#define GDT	0x6000u		/* offsets from BASE */
#define IDT	0x7000u
#define STACK	0x5000u

static struct emul_ctx *const ctx = &world.ctx;

static void put(uint32_t offset, const void *bytes, unsigned int len)
{
	memcpy(world.memory + offset, bytes, len);
}

static void put64(uint32_t offset, uint64_t val)
{
	put(offset, &val, sizeof(val));
}

static uint16_t word(uint32_t offset)
{
	uint16_t val;

	memcpy(&val, world.memory + offset, sizeof(val));
	return val;
}

static uint64_t descriptor(uint32_t base, uint32_t limit, unsigned int attr)
{
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)attr << 40 |
	       (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)(base >> 24) << 56;
}

/* Selectors of the tables made here */
#define CODE32	0x08
#define DATA32	0x10
#define CODE16	0x18
#define DATA16	0x20
#define ABSENT_DATA 0x28
#define READONLY_DATA 0x30
#define USER_CODE 0x38
#define CONFORMING 0x40
#define TSS	0x48
#define LDT	0x50
#define CALL_GATE 0x58
#define SYSTEM	0x60
#define USER_DATA 0x68
#define END	0x6f

static void tables(void)
{
	static const struct {
		unsigned int selector, limit, attr;
	} rows[] = {
		{ CODE32, 0xfffff, 0xc09a }, { DATA32, 0xfffff, 0xc092 },
		{ CODE16, 0xffff, 0x009a }, { DATA16, 0xffff, 0x0092 },
		{ ABSENT_DATA, 0xffff, 0x0012 }, { READONLY_DATA, 0xffff, 0x0090 },
		{ USER_CODE, 0xffff, 0x00fa }, { CONFORMING, 0xffff, 0x009e },
		{ TSS, 0x67, 0x0089 }, { LDT, 0x17, 0x0082 }, { CALL_GATE, 0, 0x008c },
		{ SYSTEM, 0, 0x0080 }, { USER_DATA, 0xffff, 0x00f2 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		put64(GDT + rows[i].selector,
		      descriptor(rows[i].limit == 0xfffff ? 0 : BASE, rows[i].limit,
				 rows[i].attr));
	ctx->segs.gdt = (struct vmm_table) { .base = BASE + GDT, .limit = END };
	ctx->segs.idt = (struct vmm_table) { .base = BASE + IDT, .limit = 0x3ff };
}

static void reset(enum world_mode mode)
{
	world_reset(mode);
	ctx->whole = true;
	ctx->regs.rsp = STACK;
	tables();
}

/* ---- real mode ---- */

static void real_segments(void)
{
	reset(REAL16);
	ctx->regs.rax = 0x1234;
	ctx->segs.seg[VMM_DS].limit = 0xffffffff;
	ctx->segs.seg[VMM_DS].attr |= VMM_SEG_G;
	is(step(0x8e, 0xd8), EMUL_OK, "mov ds, ax");
	is(ctx->segs.seg[VMM_DS].selector, 0x1234, "the selector");
	is(ctx->segs.seg[VMM_DS].base, 0x12340, "the base");
	is(ctx->segs.seg[VMM_DS].limit, 0xffffffff, "the limit stays: big real mode");
	ok(ctx->segs_changed && !ctx->stop, "the kernel is told, but not at once");

	reset(REAL16);
	ctx->segs.seg[VMM_ES] = (struct vmm_segment) { .attr = VMM_SEG_UNUSABLE };
	is(step(0x8e, 0xc0), EMUL_OK, "mov es, ax after protected mode left it null");
	is(ctx->segs.seg[VMM_ES].limit, 0xffff, "gives it a limit");
	is(ctx->segs.seg[VMM_ES].attr, VMM_SEG_P | VMM_SEG_S | 3, "and makes it data");

	reset(REAL16);
	is(step(0x8e, 0xd0), EMUL_OK, "mov ss, ax");
	is(ctx->shadow, VMM_SHADOW_MOV_SS, "casts a shadow");
	is(step(0x90), EMUL_OK, "nop");
	is(ctx->shadow, 0, "ends it");
	ctx->regs.rflags |= EMUL_TF;
	is(step(0x8e, 0xd0), EMUL_OK, "mov ss, ax with TF");
	is(ctx->event.type, VMM_EVENT_NONE, "no trap in the shadow");

	reset(REAL16);
	put64(0x100, 0x56781234);
	is(step(0xc5, 0x1e, 0x00, 0x01), EMUL_OK, "lds bx, [0x100]");
	ok(ctx->regs.rbx == 0x1234 && ctx->segs.seg[VMM_DS].base == 0x56780, "takes both");
	reset(REAL16);
	put64(0x100, 0x9abc56781234);
	is(step(0x66, 0x0f, 0xb2, 0x26, 0x00, 0x01), EMUL_OK, "lss esp, [0x100]");
	ok(ctx->regs.rsp == 0x56781234 && ctx->segs.seg[VMM_SS].base == 0x9abc0, "takes both");
	is(ctx->shadow, 0, "and casts no shadow");
	is(step(0x0f, 0x00, 0xd8), EMUL_FAULT, "ltr ax");
	is_exception(EMUL_VECTOR_UD, -1, "is no instruction of real mode");
}

static void real_flow(void)
{
	reset(REAL16);
	is(step(0xea, 0x34, 0x12, 0x00, 0x10), EMUL_OK, "jmp 0x1000:0x1234");
	ok(ctx->regs.rip == 0x1234 && ctx->segs.seg[VMM_CS].base == 0x10000 &&
	   ctx->segs.seg[VMM_CS].selector == 0x1000, "goes there");

	reset(REAL16);
	ctx->segs.seg[VMM_CS].selector = 0x1000;
	ctx->regs.rip = 0x100;
	is(step(0x9a, 0x34, 0x12, 0x00, 0x20), EMUL_OK, "call 0x2000:0x1234");
	ok(word(STACK - 2) == 0x1000 && word(STACK - 4) == 0x105, "the way back is on the stack");
	is(ctx->regs.rsp, STACK - 4, "of two words");
	is(step(0xca, 0x06, 0x00), EMUL_OK, "retf 6");
	ok(ctx->regs.rip == 0x105 && ctx->segs.seg[VMM_CS].selector == 0x1000, "comes back");
	is(ctx->regs.rsp, STACK + 6, "and drops the arguments");

	reset(REAL16);
	is(step(0x66, 0xea, 0x00, 0x00, 0x01, 0x00, 0x00, 0x10), EMUL_FAULT,
	   "a jump past the limit");
	is_exception(EMUL_VECTOR_GP, -1, "#GP without an error code");
	is(ctx->segs.seg[VMM_CS].base, BASE, "CS stays");

	reset(REAL16);
	ctx->regs.rsp = 1;
	is(step(0x50), EMUL_FAULT, "a push over the end of the stack");
	is_exception(EMUL_VECTOR_SS, -1, "#SS");
	reset(REAL16);
	ctx->regs.rsp = 0x12340000;
	is(step(0x50), EMUL_OK, "a push at 0");
	is(ctx->regs.rsp, 0x1234fffe, "wraps in 16 bits");
}

static void real_interrupts(void)
{
	reset(REAL16);
	put64(IDT + 0x21 * 4, 0x30001234);
	ctx->segs.seg[VMM_CS].selector = 0x1000;
	ctx->regs.rip = 0x200;
	ctx->regs.rflags = 0x246 | EMUL_IF | EMUL_TF | EMUL_AC;
	is(step(0xcd, 0x21), EMUL_OK, "int 0x21");
	ok(ctx->regs.rip == 0x1234 && ctx->segs.seg[VMM_CS].base == 0x30000, "enters the handler");
	is(ctx->regs.rflags & (EMUL_IF | EMUL_TF | EMUL_AC), 0, "IF, TF and AC are clear");
	ok(word(STACK - 2) == 0x346 && word(STACK - 4) == 0x1000 && word(STACK - 6) == 0x202,
	   "flags, CS and IP are on the stack");
	is(ctx->event.type, VMM_EVENT_NONE, "TF traps no more");
	ctx->nmi_masked = true;
	is(step(0xcf), EMUL_OK, "iret");
	ok(ctx->regs.rip == 0x202 && ctx->segs.seg[VMM_CS].selector == 0x1000, "comes back");
	is(ctx->regs.rflags, 0x346 | EMUL_AC * 0, "with the flags");
	ok(!ctx->nmi_masked, "and takes NMIs again");

	reset(REAL16);
	ctx->segs.idt.limit = 0x83;
	is(step(0xcd, 0x21), EMUL_FAULT, "a vector past the table's end");
	is_exception(EMUL_VECTOR_GP, -1, "#GP");
	reset(REAL16);
	is(step(0xce), EMUL_OK, "into without OF");
	is(ctx->regs.rip, 1, "goes on");
	ctx->regs.rflags |= EMUL_OF;
	put64(IDT + 4 * 4, 0x44);
	is(step(0xce), EMUL_OK, "into with OF");
	is(ctx->regs.rip, 0x44, "vector 4");
	put64(IDT + 3 * 4, 0x33);
	is(step(0xcc), EMUL_OK, "int3");
	is(ctx->regs.rip, 0x33, "vector 3");

	reset(REAL16);
	put64(STACK, 0xffffffff00000100);
	put64(STACK + 8, 0xffffffff);
	is(step(0x66, 0xcf), EMUL_OK, "iretd of all ones");
	is(ctx->regs.rflags & ~0x8028ull & (EMUL_VM | 3ull << 19), 0, "VM, VIF and VIP stay clear");
	ok(ctx->regs.rflags & EMUL_ID && ctx->regs.rflags & EMUL_RF, "ID and RF do not");
	is(ctx->regs.rsp, STACK + 12, "three doublewords");
}

/* ---- system ---- */

static void control_registers(void)
{
	reset(REAL16);
	ctx->ctrl.cr0 = EMUL_CR0_ET;
	ctx->regs.rax = EMUL_CR0_PE | EMUL_CR0_ET;
	is(step(0x0f, 0x22, 0xc0), EMUL_OK, "mov cr0, eax");
	ok(ctx->ctrl.cr0 == 0x11 && world.ctrl.cr0 == 0x11 && ctx->stop,
	   "switches to protected mode at once, and the kernel is asked");
	reset(REAL16);
	ctx->regs.rax = EMUL_CR0_PG;
	is(step(0x0f, 0x22, 0xc0), EMUL_FAULT, "PG without PE");
	is_exception(EMUL_VECTOR_GP, -1, "#GP");
	ctx->regs.rax = EMUL_CR0_NW;
	is(step(0x0f, 0x22, 0xc0), EMUL_FAULT, "NW without CD");
	ctx->regs.rax = WORLD_CR4_REFUSED;
	is(step(0x0f, 0x22, 0xe0), EMUL_FAULT, "a bit of CR4 that the vCPU lacks");
	is_exception(EMUL_VECTOR_GP, -1, "#GP");
	memset(&world.ctrl, 0, sizeof(world.ctrl));
	is(step(0x0f, 0x01, 0x3f), EMUL_OK, "invlpg");
	ok(world.ctrl.cr4 && !memcmp(&world.ctrl, &ctx->ctrl, sizeof(world.ctrl)),
	   "gives the vCPU the same control registers, which drops translations");
	ctx->regs.rax = 0x12345000;
	is(step(0x0f, 0x22, 0xd8), EMUL_OK, "mov cr3, eax");
	is(ctx->ctrl.cr3, 0x12345000, "sets it");
	is(step(0x0f, 0x20, 0xdb), EMUL_OK, "mov ebx, cr3");
	is(ctx->regs.rbx, 0x12345000, "reads it");
	is(step(0x0f, 0x20, 0xc9), EMUL_FAULT, "there is no CR1");
	is_exception(EMUL_VECTOR_UD, -1, "#UD");

	reset(REAL16);
	ctx->ctrl.cr0 = EMUL_CR0_ET | EMUL_CR0_TS;
	ctx->regs.rbx = 0xffff;
	is(step(0x0f, 0x01, 0xf3), EMUL_OK, "lmsw bx");
	is(ctx->ctrl.cr0, 0x1f, "sets the lowest four bits");
	ctx->regs.rbx = 0;
	is(step(0x0f, 0x01, 0xf3), EMUL_OK, "lmsw of 0");
	is(ctx->ctrl.cr0, 0x11, "does not clear PE");
	ctx->ctrl.cr0 |= EMUL_CR0_TS;
	is(step(0x0f, 0x06), EMUL_OK, "clts");
	is(ctx->ctrl.cr0, 0x11, "clears TS");
	ctx->regs.rcx = UINT64_MAX;
	is(step(0x0f, 0x01, 0xe1), EMUL_OK, "smsw cx");
	is(ctx->regs.rcx, 0xffffffffffff0011, "a word of CR0");
}

static void paging_switches(void)
{
	reset(PROTECTED32);
	ctx->ctrl.cr0 = EMUL_CR0_PE;
	ctx->ctrl.efer = EMUL_EFER_LME;
	ctx->regs.rax = EMUL_CR0_PE | EMUL_CR0_PG;
	is(step(0x0f, 0x22, 0xc0), EMUL_OK, "PG with LME and PAE");
	is(ctx->ctrl.efer, EMUL_EFER_LME | EMUL_EFER_LMA, "is long mode");
	ctx->regs.rax = EMUL_CR0_PE;
	is(step(0x0f, 0x22, 0xc0), EMUL_OK, "PG off");
	is(ctx->ctrl.efer, EMUL_EFER_LME, "leaves it");
	ctx->ctrl.cr4 = 0;
	ctx->regs.rax |= EMUL_CR0_PG;
	is(step(0x0f, 0x22, 0xc0), EMUL_FAULT, "PG with LME without PAE");
	is_exception(EMUL_VECTOR_GP, 0, "#GP(0)");

	reset(PROTECTED32);
	ctx->ctrl.cr0 = EMUL_CR0_PE;
	ctx->ctrl.cr3 = GPA_PAGE * EMUL_PAGE_SIZE + 0x40;
	put64(0x40, 0x1001);
	put64(0x58, 0x2001);
	ctx->regs.rax = EMUL_CR0_PE | EMUL_CR0_PG;
	is(step(0x0f, 0x22, 0xc0), EMUL_OK, "PG with PAE");
	ok(world.ctrl.pdpte[0] == 0x1001 && world.ctrl.pdpte[3] == 0x2001,
	   "loads the top table's registers");
	put64(0x58, 0x2003);
	ctx->regs.rax = ctx->ctrl.cr3;
	is(step(0x0f, 0x22, 0xd8), EMUL_FAULT, "a reserved bit in an entry, at mov cr3");
	is_exception(EMUL_VECTOR_GP, 0, "#GP(0)");

	reset(PROTECTED32);
	world_user();
	is(step(0x0f, 0x20, 0xc0), EMUL_FAULT, "mov eax, cr0 at CPL 3");
	is_exception(EMUL_VECTOR_GP, 0, "#GP(0)");
	is(step(0xf4), EMUL_FAULT, "hlt at CPL 3");
	is(step(0x0f, 0x01, 0x13), EMUL_FAULT, "lgdt at CPL 3");
	is(step(0xfa), EMUL_FAULT, "cli at CPL 3");
	ctx->regs.rflags |= EMUL_IOPL;
	is(step(0xfb), EMUL_OK, "sti at CPL 3 with IOPL 3");
}

static void descriptor_tables(void)
{
	reset(REAL16);
	put(0x100, "\x34\x12\x11\x22\x33\x44", 6);
	is(step(0x0f, 0x01, 0x16, 0x00, 0x01), EMUL_OK, "lgdt [0x100]");
	ok(ctx->segs.gdt.limit == 0x1234 && ctx->segs.gdt.base == 0x332211, "24 bits of base");
	is(step(0x66, 0x0f, 0x01, 0x1e, 0x00, 0x01), EMUL_OK, "lidtl [0x100]");
	ok(ctx->segs.idt.limit == 0x1234 && ctx->segs.idt.base == 0x44332211, "32 bits of base");
	is(step(0x0f, 0x01, 0x0e, 0x00, 0x02), EMUL_OK, "sidt [0x200]");
	ok(!memcmp(world.memory + 0x200, world.memory + 0x100, 6), "stores all of it");
	is(step(0x66, 0x0f, 0x01, 0x06, 0x00, 0x02), EMUL_OK, "sgdtl [0x200]");
	ok(!memcmp(world.memory + 0x200, "\x34\x12\x11\x22\x33\0", 6), "stores 32 bits");
	is(step(0x0f, 0x01, 0x16, 0xfc, 0xff), EMUL_FAULT, "lgdt over the segment's end");
	is_exception(EMUL_VECTOR_GP, -1, "#GP");
	is(step(0x0f, 0x31), EMUL_OK, "rdtsc");
	ok(ctx->regs.rdx == 0x100 && ctx->regs.rax == 0, "the vCPU's");
}

/* ---- protected mode ---- */

static void to_protected(void)
{
	reset(REAL16);
	ctx->ctrl.cr0 = EMUL_CR0_PE;
	ctx->regs.rip = 0x300;
	is(step(0x66, 0xea, 0x00, 0x10, 0x01, 0x00, CODE32, 0x00), EMUL_OK,
	   "jmp into a 32-bit segment after PE");
	ok(ctx->regs.rip == 0x11000 && ctx->segs.seg[VMM_CS].base == 0 &&
	   ctx->segs.seg[VMM_CS].limit == UINT32_MAX, "goes there");
	is(ctx->segs.seg[VMM_CS].attr, 0xc09b, "the descriptor's rights, accessed");
	is(world.memory[GDT + CODE32 + 5], 0x9b, "in the table too");
	ok(ctx->stop, "and the kernel is asked");
	ctx->regs.rax = DATA32;
	is(step(0x8e, 0xd0), EMUL_OK, "mov ss, eax");
	is(ctx->segs.seg[VMM_SS].attr, 0xc093, "a 32-bit stack");
	ctx->regs.rsp = BASE + STACK;
	is(step(0x6a, CODE16), EMUL_OK, "push");
	is(step(0x68, 0x00, 0x02, 0x00, 0x00), EMUL_OK, "push");
	is(step(0xcb), EMUL_OK, "retf to a 16-bit segment");
	ok(ctx->regs.rip == 0x200 && ctx->segs.seg[VMM_CS].base == BASE, "goes there");
	is(step(0x0f, 0x00, 0xd8), EMUL_FAULT, "ltr of a data segment");
	is_exception(EMUL_VECTOR_GP, DATA32, "#GP(selector)");
	ctx->regs.rax = TSS;
	is(step(0x0f, 0x00, 0xd8), EMUL_OK, "ltr ax");
	is(ctx->segs.seg[VMM_TR].attr, 0x008b, "is busy");
	is(world.memory[GDT + TSS + 5], 0x8b, "in the table too");
	is(step(0x0f, 0x00, 0xd8), EMUL_FAULT, "ltr of a busy one");
	ctx->regs.rax = LDT;
	is(step(0x0f, 0x00, 0xd0), EMUL_OK, "lldt ax");
	is(ctx->segs.seg[VMM_LDTR].base, BASE, "loads it");
	is(step(0x0f, 0x00, 0xc1), EMUL_OK, "sldt cx");
	is(ctx->regs.rcx & 0xffff, LDT, "reads it");
}

static void refuse(uint16_t selector, unsigned int sreg, unsigned int vector, int64_t error,
		   const char *claim)
{
	reset(PROTECTED16);
	ctx->regs.rax = selector;
	is(step(0x8e, 0xc0 | sreg << 3), EMUL_FAULT, "a segment refused");
	is_exception(vector, error, claim);
	is(ctx->segs.seg[sreg].base, BASE, "and nothing loaded");
}

static void refuse_jump(uint8_t selector, unsigned int vector, int64_t error, const char *claim)
{
	reset(PROTECTED16);
	is(step(0xea, 0x00, 0x00, selector, 0x00), EMUL_FAULT, "a jump refused");
	is_exception(vector, error, claim);
}

static void protection(void)
{
	refuse(END + 1, VMM_DS, EMUL_VECTOR_GP, END + 1, "past the table's end: #GP(selector)");
	refuse(CODE16 | 4, VMM_DS, EMUL_VECTOR_GP, CODE16 | 4, "past the LDT's: #GP(selector)");
	refuse(ABSENT_DATA, VMM_DS, EMUL_VECTOR_NP, ABSENT_DATA, "absent: #NP(selector)");
	refuse(ABSENT_DATA, VMM_SS, EMUL_VECTOR_SS, ABSENT_DATA, "absent stack: #SS(selector)");
	refuse(READONLY_DATA, VMM_SS, EMUL_VECTOR_GP, READONLY_DATA, "read-only stack: #GP");
	refuse(DATA16 | 3, VMM_SS, EMUL_VECTOR_GP, DATA16, "stack of another RPL: #GP");
	refuse(USER_DATA, VMM_SS, EMUL_VECTOR_GP, USER_DATA, "stack of another DPL: #GP");
	refuse(DATA16 | 3, VMM_ES, EMUL_VECTOR_GP, DATA16, "data of a weaker RPL: #GP");
	refuse(0, VMM_SS, EMUL_VECTOR_GP, 0, "null stack: #GP(0)");
	refuse(SYSTEM, VMM_DS, EMUL_VECTOR_GP, SYSTEM, "a system descriptor: #GP(selector)");
	refuse_jump(0, EMUL_VECTOR_GP, 0, "to null: #GP(0)");
	refuse_jump(DATA16, EMUL_VECTOR_GP, DATA16, "to data: #GP(selector)");
	refuse_jump(USER_CODE, EMUL_VECTOR_GP, USER_CODE, "to a weaker level: #GP(selector)");

	reset(PROTECTED16);
	is(step(0xea, 0x00, 0x00, CONFORMING, 0x00), EMUL_OK, "to conforming code");
	is(step(0xea, 0x00, 0x00, CALL_GATE, 0x00), EMUL_UNSUPPORTED, "a gate is not done");
	ctx->regs.rax = 0;
	is(step(0x8e, 0xd8), EMUL_OK, "null into ds");
	is(ctx->segs.seg[VMM_DS].attr, VMM_SEG_UNUSABLE, "makes it unusable");
	is(step(0xa0, 0x00, 0x00), EMUL_FAULT, "which a read finds");
	is_exception(EMUL_VECTOR_GP, 0, "#GP(0)");
}

static void gates(void)
{
	reset(PROTECTED16);
	ctx->regs.rip = 0x400;
	ctx->segs.seg[VMM_CS].selector = CODE16;
	ctx->regs.rflags |= EMUL_IF;
	put64(IDT + 0x30 * 8, (uint64_t)0x8e00 << 32 | CODE16 << 16 | 0x1234);
	put64(IDT + 0x31 * 8, (uint64_t)0x8700 << 32 | CODE16 << 16 | 0x1234);
	put64(IDT + 0x32 * 8, (uint64_t)0x0e00 << 32 | CODE16 << 16 | 0x1234);
	is(step(0xcd, 0x30), EMUL_OK, "int through a 32-bit interrupt gate");
	is(ctx->regs.rip, 0x1234, "enters the handler");
	is(ctx->regs.rsp, STACK - 12, "with three doublewords");
	is(ctx->regs.rflags & EMUL_IF, 0, "and clears IF");
	is(step(0x66, 0xcf), EMUL_OK, "iretd");
	ok(ctx->regs.rip == 0x402 && (ctx->regs.rflags & EMUL_IF), "comes back");
	is(step(0xcd, 0x31), EMUL_OK, "int through a 16-bit trap gate");
	ok(ctx->regs.rsp == STACK - 6 && (ctx->regs.rflags & EMUL_IF), "words, and IF stays");
	is(step(0xcd, 0x32), EMUL_FAULT, "int through an absent gate");
	is_exception(EMUL_VECTOR_NP, 0x32 * 8 + 2, "#NP of the IDT's entry");
	is(step(0xcd, 0x33), EMUL_FAULT, "int through none");
	is_exception(EMUL_VECTOR_GP, 0x33 * 8 + 2, "#GP of the IDT's entry");
}

/* ---- events ---- */

static void deliveries(void)
{
	reset(REAL16);
	put64(IDT + 0x20 * 4, 0x30001234);
	ctx->regs.rip = 0x200;
	ctx->regs.rflags |= EMUL_IF;
	ctx->event = (struct vmm_event) { .type = VMM_EVENT_INTR, .vector = 0x20 };
	is(emul_deliver(ctx), EMUL_OK, "an interrupt");
	ok(ctx->regs.rip == 0x1234 && word(STACK - 6) == 0x200, "returns to where it came");
	is(ctx->event.type, VMM_EVENT_NONE, "is no longer pending");

	reset(REAL16);
	put64(IDT + 3 * 4, 0x33);
	ctx->event = (struct vmm_event) {
		.type = VMM_EVENT_EXCEPTION, .vector = 3, .length = 1,
	};
	is(emul_deliver(ctx), EMUL_OK, "#BP with its length");
	is(word(STACK - 6), 1, "returns behind it");

	reset(PROTECTED16);
	put64(IDT + 13 * 8, (uint64_t)0x8600 << 32 | CODE16 << 16 | 0x1234);
	ctx->event = (struct vmm_event) {
		.type = VMM_EVENT_EXCEPTION, .vector = 13, .error = 0x55,
		.flags = VMM_EVENT_HAS_ERROR,
	};
	is(emul_deliver(ctx), EMUL_OK, "#GP in protected mode");
	is(word(STACK - 8), 0x55, "pushes its error code");

	reset(PROTECTED16);
	put64(IDT + 13 * 8, (uint64_t)0x8600 << 32 | CODE16 << 16 | 0x1234);
	ctx->event = (struct vmm_event) { .type = VMM_EVENT_INTR, .vector = 0x40 };
	is(emul_deliver(ctx), EMUL_OK, "an interrupt without a gate");
	is(word(STACK - 8), 0x40 * 8 + 3, "is #GP of the IDT's entry, from outside");

	reset(PROTECTED16);
	put64(IDT + 8 * 8, (uint64_t)0x8600 << 32 | CODE16 << 16 | 0x1234);
	ctx->event = (struct vmm_event) {
		.type = VMM_EVENT_EXCEPTION, .vector = 13, .flags = VMM_EVENT_HAS_ERROR,
	};
	is(emul_deliver(ctx), EMUL_OK, "#GP without a gate");
	ok(ctx->regs.rip == 0x1234 && !word(STACK - 8), "is #DF with an error of 0");

	reset(PROTECTED16);
	ctx->event = (struct vmm_event) { .type = VMM_EVENT_EXCEPTION, .vector = 0 };
	is(emul_deliver(ctx), EMUL_SHUTDOWN, "and that without a gate a shutdown");
	is(ctx->regs.rip, 0, "with RIP where it was");
}

/* ---- stretches ---- */

static void code(const char *bytes, unsigned int len)
{
	reset(REAL16);
	put(0, bytes, len);
}

static void stretches(void)
{
	code("\x40\x40\x40\x40\xf4", 5);
	is(emul_stretch(ctx, 100), EMUL_OK, "inc, inc, inc, inc, hlt");
	ok(ctx->regs.rax == 4 && ctx->regs.rip == 4, "ends before hlt");
	is(emul_stretch(ctx, 100), EMUL_UNSUPPORTED, "which the kernel should have done");

	code("\xeb\xfe", 2);
	is(emul_stretch(ctx, 100), EMUL_OK, "an endless loop ends");
	world.interrupted = true;
	code("\x40\x40", 2);
	world.interrupted = true;
	is(emul_stretch(ctx, 100), EMUL_OK, "with the thread wanted elsewhere");
	is(ctx->regs.rip, 1, "one instruction is done");

	code("\xfb\x40\x40", 3);
	is(emul_stretch(ctx, 100), EMUL_OK, "sti, inc, inc");
	is(ctx->regs.rip, 2, "ends where an interrupt can be taken");

	code("\x9d\x40", 2);
	put64(STACK, EMUL_IF);
	is(emul_stretch(ctx, 100), EMUL_OK, "popf that sets IF");
	is(ctx->regs.rip, 1, "ends at once");

	code("\x31\xdb\xf7\xf3", 4);
	put64(IDT, 0x10000500);
	put(0x500, "\xf4", 1);
	is(emul_stretch(ctx, 100), EMUL_OK, "xor bx, bx; div bx");
	ok(ctx->regs.rip == 0x500 && word(STACK - 6) == 2, "enters the handler of #DE");

	code("\x0f\xff", 2);
	put64(IDT + 6 * 4, 0x10000500);
	put(0x500, "\xf4", 1);
	is(emul_stretch(ctx, 100), EMUL_OK, "no instruction at all");
	ok(ctx->regs.rip == 0x500 && word(STACK - 6) == 0, "is #UD");

	code("\x40\x0f\xae\x16\x00\x00", 6);
	is(emul_stretch(ctx, 100), EMUL_OK, "inc, then one that is not known");
	is(ctx->regs.rip, 1, "ends before it");
	is(emul_stretch(ctx, 100), EMUL_UNSUPPORTED, "and says so when it comes first");

	code("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90", 16);
	put64(IDT + 13 * 4, 0x10000500);
	put(0x500, "\xf4", 1);
	is(emul_stretch(ctx, 100), EMUL_OK, "an instruction of 16 bytes");
	ok(ctx->regs.rip == 0x500 && word(STACK - 6) == 0, "is #GP");

	code("\x90\x90\xf4", 3);
	put64(IDT + 1 * 4, 0x10000500);
	put(0x500, "\xf4", 1);
	ctx->regs.rflags |= EMUL_TF;
	is(emul_stretch(ctx, 100), EMUL_OK, "nop with TF");
	ok(ctx->regs.rip == 0x500 && word(STACK - 6) == 1 && ctx->single_step, "is #DB");

	code("\xf3\xa4", 2);
	ctx->regs.rcx = EMUL_MAX_REP + 5;
	is(emul_stretch(ctx, 100), EMUL_PARTIAL, "rep movsb of many");
	ok(ctx->regs.rcx == 5 && !ctx->regs.rip, "is cut");
}

/* CR2 is the last fault's or the last write's, whichever is later. */
static void fault_address(void)
{
	reset(PROTECTED32);
	world.kind[9] = ABSENT;
	ctx->regs.rbx = PAGE_AT(9);
	is(step(0x8b, 0x03), EMUL_FAULT, "mov eax, [absent]");
	is(step(0x0f, 0x20, 0xd0), EMUL_OK, "mov eax, cr2 in the same stretch");
	is(ctx->regs.rax, PAGE_AT(9), "is where it was");
	ctx->regs.rax = 0x1234;
	is(step(0x0f, 0x22, 0xd0), EMUL_OK, "mov cr2, eax");
	is(ctx->cr2, 0x1234, "is what the vCPU gets at the end");
}

int main(void)
{
	real_segments();
	fault_address();
	real_flow();
	real_interrupts();
	control_registers();
	paging_switches();
	descriptor_tables();
	to_protected();
	protection();
	gates();
	deliveries();
	stretches();
	return tap_end();
}
