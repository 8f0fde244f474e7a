/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The arena of emulate_cpu.h as the emulator sees it: the same pages with the same
 * rights, some of them a device's, in guest-physical memory in reverse, so that an
 * access that runs over the end of a page goes astray; and the process's LDT, which
 * the CPU has in the kernel's memory.
 */
#ifndef UNIT_EMULATE_OUTSIDE_H
#define UNIT_EMULATE_OUTSIDE_H

#include "emulate_cpu.h"

#define ARENA_PAGES	(SIZE / EMUL_PAGE_SIZE)
#define GPA_BASE	0x40000000ull
#define ARENA_BASE	((uintptr_t)arena)
#define LOW		0x10000u	/* nothing is mapped below */
#define TABLES		0xfff00000ull	/* linear and guest-physical: LDT, then IDT */
#define IDT		(TABLES + 0x1000)
#define GDT		(TABLES + 0x10000)	/* the host's, which is not known */

/* Of a page fault's error code */
#define PF_PRESENT	1u
#define PF_WRITE	2u
#define PF_USER		4u
#define PF_FETCH	16u

static uint8_t emulated[SIZE];
static uint8_t tables[GDT - TABLES];
#define X87_TOP	0x3800u	/* in the status word */

static struct cpu_state emulated_unit;	/* vectors and x87 */
/* The emulator asked for what the arena does not say: the CPU is not to be asked. */
static bool unknown;
static bool bad_device_access;

static int translate(void *data, uint64_t gva, uint32_t access, uint64_t *gpa, uint32_t *error)
{
	uint64_t offset = gva - ARENA_BASE, page = PAGE_OF(offset);

	(void)data;
	*gpa = gva;
	*error = (access & VMM_ACCESS_USER ? PF_USER : 0) |
		(access & VMM_ACCESS_WRITE ? PF_WRITE : 0) |
		(access & VMM_ACCESS_EXEC ? PF_FETCH : 0);
	if (!(access & VMM_ACCESS_USER)) {
		unknown |= gva < TABLES || gva >= GDT;
		return unknown;
	}
	if (offset >= SIZE) {
		unknown |= gva >= LOW && offset + GUARD >= SIZE + 2 * (uint64_t)GUARD;
		return 1;
	}
	if (page == ABSENT_PAGE)
		return 1;
	if (page == READONLY_PAGE && (access & VMM_ACCESS_WRITE)) {
		*error |= PF_PRESENT;
		return 1;
	}
	*gpa = GPA_BASE + (ARENA_PAGES - 1 - page) * EMUL_PAGE_SIZE + offset % EMUL_PAGE_SIZE;
	return 0;
}

/* The byte at @offset of the arena, as the emulator has it. */
static uint8_t *emulated_byte(uint32_t offset)
{
	return emulated + (ARENA_PAGES - 1 - PAGE_OF(offset)) * EMUL_PAGE_SIZE +
	       offset % EMUL_PAGE_SIZE;
}

static uint8_t *place(uint64_t gpa, unsigned int len, bool device)
{
	uint64_t offset = gpa - GPA_BASE;

	if (!device && gpa >= TABLES && gpa + len <= GDT)
		return tables + (gpa - TABLES);
	if (offset >= SIZE || offset % EMUL_PAGE_SIZE + len > EMUL_PAGE_SIZE ||
	    (DEVICE_PAGES >> (ARENA_PAGES - 1 - PAGE_OF(offset)) & 1) != device)
		return NULL;
	return emulated + offset;
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

/* No program of this process's gets at a port. */
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
	memcpy(val, emulated_unit.vector[n], size);
	return 0;
}

static int vector_set(void *data, unsigned int n, unsigned int size, const void *val)
{
	(void)data;
	memcpy(emulated_unit.vector[n], val, size);
	return 0;
}

static int x87_get(void *data, struct emul_x87 *x87)
{
	(void)data;
	*x87 = emulated_unit.x87;
	return 0;
}

static int x87_set(void *data, const struct emul_x87 *x87)
{
	(void)data;
	emulated_unit.x87 = *x87;
	return 0;
}

/* Registers are 0 and are not compared with the CPU's; what an access does to the unit is. */
static int mmx(void *data, unsigned int n, bool write, uint64_t *val)
{
	(void)data;
	(void)n;
	if (!write)
		*val = 0;
	emulated_unit.x87.status &= ~X87_TOP;
	emulated_unit.x87.tags = UINT8_MAX;
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
	.x87_get = x87_get, .x87_set = x87_set, .mmx = mmx,
	.set_ctrl = set_ctrl, .get_msr = get_msr, .interrupted = interrupted,
};

/* ---- segments ---- */

static uint64_t descriptor(unsigned int n)
{
	const uint32_t flags = ldt_entries[n].flags, limit = ldt_entries[n].limit;
	const uint64_t base = ARENA_BASE;
	unsigned int kind = flags >> 1 & 3;
	uint64_t type = kind << 2 | (flags & DESC_READONLY ? 0 : EMUL_TYPE_WRITE) |
		EMUL_TYPE_ACCESSED;

	return (limit & 0xffff) | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56 |
	       (limit & 0xf0000ull) << 32 |
	       (type | VMM_SEG_S | VMM_SEG_DPL | (flags & DESC_ABSENT ? 0 : VMM_SEG_P)) << 40 |
	       (flags & DESC_WIDE ? 1ull << 54 : 0) | 1ull << 52;
}

/* Gates for CPL 0 alone, but for the three that Linux opens. */
static void make_tables(void)
{
	unsigned int i;

	for (i = 0; i < LDT_ENTRIES; i++) {
		uint64_t desc = descriptor(i);

		memcpy(tables + i * 8, &desc, sizeof(desc));
	}
	for (i = 0; i < 256; i++) {
		bool open = i == 3 || i == 4 || i == 0x80;
		uint64_t gate = (open ? 0xee00ull : 0x8e00ull) << 32 | 0x100000;

		memcpy(tables + (IDT - TABLES) + i * 8, &gate, sizeof(gate));
	}
}

static struct vmm_segment segment_of(uint16_t selector)
{
	unsigned int n = (selector >> 3) % LDT_ENTRIES;
	uint64_t raw = descriptor(n);

	return (struct vmm_segment) {
		.base = ARENA_BASE, .limit = ldt_entries[n].limit, .selector = selector,
		.attr = raw >> 40 & 0xf0ff,
	};
}

static struct vmm_segment flat(uint16_t selector, unsigned int attr)
{
	return (struct vmm_segment) {
		.limit = UINT32_MAX, .selector = selector,
		.attr = attr | VMM_SEG_P | VMM_SEG_S | VMM_SEG_DPL | VMM_SEG_G,
	};
}

static void make_context(struct emul_ctx *ctx, const struct cpu_state *in, enum cpu_mode mode)
{
	unsigned int i;

	memset(ctx, 0, sizeof(*ctx));
	ctx->env = &env;
	ctx->regs = in->regs;
	ctx->whole = true;
	ctx->ctrl.cr0 = EMUL_CR0_PE | EMUL_CR0_PG | EMUL_CR0_AM | EMUL_CR0_NE | EMUL_CR0_MP;
	ctx->ctrl.cr4 = EMUL_CR4_PAE | EMUL_CR4_OSFXSR | EMUL_CR4_OSXSAVE;
	ctx->ctrl.xcr0 = EMUL_XCR0_AVX | 1;
	ctx->segs.gdt = (struct vmm_table) { .base = GDT, .limit = UINT16_MAX };
	ctx->segs.idt = (struct vmm_table) { .base = IDT, .limit = 256 * 8 - 1 };
	ctx->segs.seg[VMM_LDTR] = (struct vmm_segment) {
		.base = TABLES, .limit = LDT_ENTRIES * 8 - 1, .attr = VMM_SEG_P | 2,
	};
	for (i = VMM_ES; i <= VMM_GS; i++)
		if (in->selector[i])
			ctx->segs.seg[i] = segment_of(in->selector[i]);
		else
			ctx->segs.seg[i].attr = VMM_SEG_UNUSABLE;
	if (mode != CPU_64)
		return;
	ctx->ctrl.efer = EMUL_EFER_LMA;
	ctx->segs.seg[VMM_CS] = flat(CODE64, VMM_SEG_L | 0xb);
	ctx->segs.seg[VMM_SS] = flat(DATA64, VMM_SEG_DB | 3);
}

#endif /* UNIT_EMULATE_OUTSIDE_H */
