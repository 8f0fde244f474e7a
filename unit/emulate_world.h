/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small machine around the emulator's core: a few linear pages, each of which is
 * RAM, a device, read-only or absent, and a record of everything that happened.
 * Linear page n is guest-physical page GPA_PAGE + n.
 */
#ifndef UNIT_EMULATE_WORLD_H
#define UNIT_EMULATE_WORLD_H

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "../lib/emul.h"
#include "tap.h"

#define PAGES		17		/* 64 KiB for the 16-bit modes, and one */
#define BASE		0x10000ull	/* linear address of page 0 */
#define GPA_PAGE	0x80000ull
#define PAGE_AT(n)	(BASE + (n) * (uint64_t)EMUL_PAGE_SIZE)
#define ABSENT		1u
#define READONLY	2u		/* by the page tables */
#define DEVICE		4u
#define CONTENDED	8u		/* another CPU is always faster */
#define SHIFTING	16u		/* the tables change under each walk */
#define ERROR_BASE	0x40u		/* the access asked for is added to it */
#define MAX_LOG		16384
#define WORLD_CR4_REFUSED (1ull << 13)

struct access {
	bool port, write;
	unsigned int size;
	uint64_t address, val;
};

static struct world {
	struct emul_ctx ctx;
	uint8_t memory[PAGES * EMUL_PAGE_SIZE];
	unsigned int kind[PAGES];
	uint32_t asked[PAGES];		/* access of the last translation */
	struct access log[MAX_LOG];
	unsigned int logged;
	uint64_t answer;		/* what devices and ports read, one more each time */
	uint8_t vector[16][EMUL_VECTOR_SIZE];
	struct emul_x87 x87;
	uint64_t mmx[8];
	struct vmm_ctrl ctrl;		/* as set last */
	bool interrupted;
} world;

static int world_translate(void *data, uint64_t gva, uint32_t access, uint64_t *gpa,
			   uint32_t *error)
{
	uint64_t page = (gva - BASE) / EMUL_PAGE_SIZE;

	(void)data;
	*error = ERROR_BASE + access;
	if (gva < BASE || page >= PAGES)
		return 1;
	world.asked[page] = access;
	if (world.kind[page] & SHIFTING)
		return -EAGAIN;
	if ((world.kind[page] & ABSENT) ||
	    ((access & VMM_ACCESS_WRITE) && (world.kind[page] & READONLY)))
		return 1;
	*gpa = GPA_PAGE * EMUL_PAGE_SIZE + (gva - BASE);
	return 0;
}

static uint8_t *world_place(uint64_t gpa, unsigned int len)
{
	uint64_t offset = gpa - GPA_PAGE * EMUL_PAGE_SIZE;

	if (offset >= sizeof(world.memory) || offset % EMUL_PAGE_SIZE + len > EMUL_PAGE_SIZE ||
	    (world.kind[offset / EMUL_PAGE_SIZE] & DEVICE))
		return NULL;
	return world.memory + offset;
}

static int world_ram_read(void *data, uint64_t gpa, void *buf, unsigned int len)
{
	const uint8_t *from = world_place(gpa, len);

	(void)data;
	if (!from)
		return -EFAULT;
	memcpy(buf, from, len);
	return 0;
}

static int world_ram_write(void *data, uint64_t gpa, const void *buf, unsigned int len)
{
	uint8_t *to = world_place(gpa, len);

	(void)data;
	if (!to)
		return -EFAULT;
	memcpy(to, buf, len);
	return 0;
}

static int world_ram_replace(void *data, uint64_t gpa, const void *old, const void *new,
			     unsigned int len)
{
	uint8_t *to = world_place(gpa, len);

	(void)data;
	if (!to)
		return -EFAULT;
	if ((world.kind[(to - world.memory) / EMUL_PAGE_SIZE] & CONTENDED) ||
	    memcmp(to, old, len))
		return 0;
	memcpy(to, new, len);
	return 1;
}

static void world_access(bool port, uint64_t address, unsigned int size, bool write, void *val)
{
	struct access *a = &world.log[world.logged++ % MAX_LOG];

	*a = (struct access) { .port = port, .write = write, .size = size, .address = address };
	if (!write) {
		memcpy(val, &world.answer, size);
		world.answer++;
	}
	memcpy(&a->val, val, size);
}

static void world_pio(void *data, uint16_t port, unsigned int size, bool write, void *val)
{
	(void)data;
	world_access(true, port, size, write, val);
}

static void world_mmio(void *data, uint64_t gpa, unsigned int size, bool write, void *val)
{
	(void)data;
	world_access(false, gpa - GPA_PAGE * EMUL_PAGE_SIZE + BASE, size, write, val);
}

static int world_vector_get(void *data, unsigned int n, unsigned int size, void *val)
{
	(void)data;
	memcpy(val, world.vector[n], size);
	return 0;
}

static int world_vector_set(void *data, unsigned int n, unsigned int size, const void *val)
{
	(void)data;
	memcpy(world.vector[n], val, size);
	return 0;
}

static int world_mmx(void *data, unsigned int n, bool write, uint64_t *val)
{
	(void)data;
	if (write)
		world.mmx[n] = *val;
	else
		*val = world.mmx[n];
	return 0;
}

static int world_x87_get(void *data, struct emul_x87 *x87)
{
	(void)data;
	*x87 = world.x87;
	return 0;
}

static int world_x87_set(void *data, const struct emul_x87 *x87)
{
	(void)data;
	world.x87 = *x87;
	return 0;
}

/* CR4.VMXE stands for all bits that the vCPU does not have. */
static int world_set_ctrl(void *data, const struct vmm_ctrl *ctrl)
{
	(void)data;
	if (ctrl->cr4 & WORLD_CR4_REFUSED)
		return -EINVAL;
	world.ctrl = *ctrl;
	return 0;
}

static int world_get_msr(void *data, uint32_t index, uint64_t *val)
{
	(void)data;
	*val = 0x1000000000ull * index;
	return 0;
}

static bool world_interrupted(void *data)
{
	(void)data;
	return world.interrupted;
}

static const struct emul_env world_env = {
	.translate = world_translate, .ram_read = world_ram_read,
	.ram_write = world_ram_write, .ram_replace = world_ram_replace,
	.pio = world_pio, .mmio = world_mmio,
	.vector_get = world_vector_get, .vector_set = world_vector_set,
	.x87_get = world_x87_get, .x87_set = world_x87_set, .mmx = world_mmx,
	.set_ctrl = world_set_ctrl, .get_msr = world_get_msr, .interrupted = world_interrupted,
};

enum world_mode { LONG64, PROTECTED32, PROTECTED16, REAL16 };

static void world_segment(enum vmm_sreg n, uint64_t base, uint32_t limit, unsigned int attr)
{
	world.ctx.segs.seg[n] = (struct vmm_segment) { .base = base, .limit = limit, .attr = attr };
}

/*
 * Everything present RAM, registers zero but RSP, code at page 0. Segments start at
 * 0, in the 16-bit modes at BASE, and end at their mode's limit.
 */
static void world_reset(enum world_mode mode)
{
	unsigned int data = VMM_SEG_P | VMM_SEG_S | 3, code = VMM_SEG_P | VMM_SEG_S | 0xb, n;
	uint64_t base = mode >= PROTECTED16 ? BASE : 0;
	uint32_t limit = mode >= PROTECTED16 ? UINT16_MAX : UINT32_MAX;

	memset(&world, 0, sizeof(world));
	world.answer = 0x1122334455667788;
	world.ctx.env = &world_env;
	world.ctx.regs.rflags = 2;
	world.ctx.regs.rip = PAGE_AT(0) - base;
	world.ctx.regs.rsp = PAGE_AT(5) - base;
	if (mode == PROTECTED32)
		data |= VMM_SEG_DB, code |= VMM_SEG_DB;
	if (mode == LONG64)
		data |= VMM_SEG_DB, code |= VMM_SEG_L;
	for (n = VMM_ES; n <= VMM_GS; n++)
		world_segment(n, base, limit, n == VMM_CS ? code : data);
	if (mode != REAL16)
		world.ctx.ctrl.cr0 = EMUL_CR0_PE | EMUL_CR0_PG;
	world.ctx.ctrl.cr4 = EMUL_CR4_PAE | EMUL_CR4_OSFXSR;
	if (mode == LONG64)
		world.ctx.ctrl.efer = EMUL_EFER_LMA;
}

static inline void world_user(void)
{
	world.ctx.segs.seg[VMM_CS].attr |= VMM_SEG_DPL;
	world.ctx.segs.seg[VMM_SS].attr |= VMM_SEG_DPL;
}

/* One instruction, its bytes known from the exit. */
#define step(...) ({								\
	const uint8_t _insn[] = { __VA_ARGS__ };				\
	memcpy(world.ctx.bytes, _insn, sizeof(_insn));				\
	world.ctx.length = sizeof(_insn);					\
	emul_step(&world.ctx);							\
})

static inline void is_exception(unsigned int vector, int64_t error, const char *claim)
{
	const struct vmm_event *e = &world.ctx.event;

	ok(e->type == VMM_EVENT_EXCEPTION && e->vector == vector &&
	   e->flags == (error < 0 ? 0 : VMM_EVENT_HAS_ERROR) &&
	   e->error == (error < 0 ? 0 : error) && (world.ctx.regs.rflags & EMUL_RF),
	   "%s (got type %u vector %u flags %u error %#x)", claim, e->type, e->vector, e->flags,
	   e->error);
}

static inline void is_access(unsigned int n, bool port, bool write, unsigned int size,
			     uint64_t address, uint64_t val, const char *claim)
{
	const struct access *a = &world.log[n];

	ok(n < world.logged && a->port == port && a->write == write && a->size == size &&
	   a->address == address && a->val == val,
	   "%s (got %s %s of %u at %#" PRIx64 ": %#" PRIx64 ", %u in all)", claim,
	   a->port ? "port" : "memory", a->write ? "write" : "read", a->size, a->address, a->val,
	   world.logged);
}

#endif /* UNIT_EMULATE_WORLD_H */
