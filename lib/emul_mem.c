// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * From a segment and an offset to bytes: segment and canonical checks, paging,
 * and the split between RAM and devices.
 *
 * Resolving comes first and is the only part that faults; reading and writing a
 * resolved span cannot fail. A page lies in RAM or with a device as a whole,
 * because slots are page-aligned.
 */
#include <errno.h>
#include <string.h>

#include "emul.h"

/* Of a task-state segment, for the I/O permission bitmap. */
#define TSS_MAP_BASE	102
#define TSS_TYPE_MASK	0xd	/* the busy bit left out */
#define TSS_TYPE	9	/* 32-bit or 64-bit TSS */

static enum emul_status segment_fault(struct emul_ctx *ctx, enum vmm_sreg seg)
{
	return emul_raise_error(ctx, seg == VMM_SS ? EMUL_VECTOR_SS : EMUL_VECTOR_GP, 0);
}

bool emul_canonical(const struct emul_ctx *ctx, uint64_t linear)
{
	unsigned int unused = ctx->ctrl.cr4 & EMUL_CR4_LA57 ? 64 - 57 : 64 - 48;

	return (uint64_t)((int64_t)(linear << unused) >> unused) == linear;
}

static bool segment_type_allows(const struct vmm_segment *seg, uint32_t access)
{
	if ((seg->attr & VMM_SEG_UNUSABLE) || !(seg->attr & VMM_SEG_P))
		return false;
	if (seg->attr & EMUL_TYPE_CODE)
		return !(access & VMM_ACCESS_WRITE) && (seg->attr & EMUL_TYPE_READ);
	return !(access & VMM_ACCESS_WRITE) || (seg->attr & EMUL_TYPE_WRITE);
}

static bool segment_limit_allows(const struct emul_ctx *ctx, const struct vmm_segment *seg,
				 uint64_t offset, unsigned int size)
{
	uint64_t last = offset + size - 1;
	bool down = (seg->attr & (EMUL_TYPE_CODE | EMUL_TYPE_DOWN)) == EMUL_TYPE_DOWN;

	if (down && emul_protected(ctx))
		return offset > seg->limit &&
		       last <= (seg->attr & VMM_SEG_DB ? UINT32_MAX : UINT16_MAX);
	return last <= seg->limit;
}

uint64_t emul_linear(const struct emul_ctx *ctx, enum vmm_sreg seg, uint64_t offset)
{
	if (!ctx->long64)
		return (uint32_t)(ctx->segs.seg[seg].base + offset);
	return offset + (seg == VMM_FS || seg == VMM_GS ? ctx->segs.seg[seg].base : 0);
}

static enum emul_status linear_long(struct emul_ctx *ctx, enum vmm_sreg seg, uint64_t offset,
				    unsigned int size, uint64_t *linear)
{
	*linear = emul_linear(ctx, seg, offset);
	if (!emul_canonical(ctx, *linear) || !emul_canonical(ctx, *linear + size - 1))
		return segment_fault(ctx, seg);
	return EMUL_OK;
}

static enum emul_status linear_legacy(struct emul_ctx *ctx, enum vmm_sreg seg, uint64_t offset,
				      unsigned int size, uint32_t access, uint64_t *linear)
{
	const struct vmm_segment *s = &ctx->segs.seg[seg];

	if (emul_protected(ctx) && !segment_type_allows(s, access))
		return segment_fault(ctx, seg);
	if (!segment_limit_allows(ctx, s, offset, size))
		return segment_fault(ctx, seg);
	*linear = emul_linear(ctx, seg, offset);
	return EMUL_OK;
}

/* ---- paging ---- */

static enum emul_status page_fault(struct emul_ctx *ctx, uint64_t linear, uint32_t error)
{
	ctx->cr2 = linear;
	ctx->cr2_set = true;
	/* The handler may run in the same stretch, and asks for it. */
	ctx->ctrl.cr2 = linear;
	return emul_raise_error(ctx, EMUL_VECTOR_PF, error);
}

static const struct emul_page *page_lookup(const struct emul_ctx *ctx, uint64_t gva,
					   uint32_t access)
{
	unsigned int i;

	for (i = 0; i < EMUL_NR_PAGES; i++) {
		const struct emul_page *page = &ctx->pages[i];

		if (page->access == access && page->gva == gva)
			return page;
	}
	return NULL;
}

static void page_remember(struct emul_ctx *ctx, uint64_t gva, uint64_t gpa, uint32_t access)
{
	ctx->pages[ctx->next_page] = (struct emul_page) {
		.gva = gva, .gpa = gpa, .access = access,
	};
	ctx->next_page = (ctx->next_page + 1) % EMUL_NR_PAGES;
}

static enum emul_status translate(struct emul_ctx *ctx, uint64_t linear, uint32_t access,
				  uint64_t *gpa)
{
	uint64_t within = linear % EMUL_PAGE_SIZE;
	const struct emul_page *page = page_lookup(ctx, linear - within, access);
	uint32_t error;
	int ret;

	if (page) {
		*gpa = page->gpa + within;
		return EMUL_OK;
	}
	ret = ctx->env->translate(ctx->data, linear, access, gpa, &error);
	if (ret == -EAGAIN)
		return EMUL_PARTIAL;
	if (ret < 0) {
		ctx->error = ret;
		return EMUL_ERROR;
	}
	if (ret)
		return page_fault(ctx, linear, error);
	page_remember(ctx, linear - within, *gpa - within, access);
	return EMUL_OK;
}

/* @wrap: bits of a linear address that count */
static enum emul_status resolve_linear(struct emul_ctx *ctx, uint64_t linear, uint64_t wrap,
				       unsigned int size, uint32_t access,
				       struct emul_span *span)
{
	unsigned int left = EMUL_PAGE_SIZE - linear % EMUL_PAGE_SIZE;
	enum emul_status status;

	span->count = 1;
	span->part[0].len = size < left ? size : left;
	status = translate(ctx, linear, access, &span->part[0].gpa);
	if (status || size <= left)
		return status;
	span->count = 2;
	span->part[1].len = size - left;
	return translate(ctx, (linear + left) & wrap, access, &span->part[1].gpa);
}

/* "Alignment Check Exception": table registers as their base. */
static bool misaligned(const struct emul_ctx *ctx, uint64_t linear, unsigned int size)
{
	return ctx->cpl == 3 && (ctx->ctrl.cr0 & EMUL_CR0_AM) &&
	       (ctx->regs.rflags & EMUL_AC) && size <= 8 && linear % (size == 6 ? 4 : size);
}

enum emul_status emul_resolve(struct emul_ctx *ctx, enum vmm_sreg seg, uint64_t offset,
			      unsigned int size, uint32_t access, struct emul_span *span)
{
	enum emul_status status;
	uint64_t linear = 0;

	if (ctx->long64)
		status = linear_long(ctx, seg, offset, size, &linear);
	else
		status = linear_legacy(ctx, seg, offset, size, access, &linear);
	if (status)
		return status;
	if (misaligned(ctx, linear, size))
		return emul_raise_error(ctx, EMUL_VECTOR_AC, 0);
	if (ctx->cpl == 3)
		access |= VMM_ACCESS_USER;
	return resolve_linear(ctx, linear, ctx->long64 ? UINT64_MAX : UINT32_MAX, size, access,
			      span);
}

/* In long mode the tables are anywhere, whatever the code's segment is. */
enum emul_status emul_resolve_system(struct emul_ctx *ctx, uint64_t linear, unsigned int size,
				     uint32_t access, struct emul_span *span)
{
	uint64_t wrap = ctx->ctrl.efer & EMUL_EFER_LMA ? UINT64_MAX : UINT32_MAX;

	return resolve_linear(ctx, linear & wrap, wrap, size, access, span);
}

/* ---- bytes ---- */

/* The widest naturally aligned access that starts at @gpa and stays in @len. */
static unsigned int device_piece(uint64_t gpa, unsigned int len)
{
	unsigned int size = 8;

	while (size > len || gpa % size)
		size /= 2;
	return size;
}

static void device_read(struct emul_ctx *ctx, uint64_t gpa, uint8_t *buf, unsigned int len)
{
	while (len) {
		unsigned int size = device_piece(gpa, len);
		uint64_t val = UINT64_MAX;

		ctx->env->mmio(ctx->data, gpa, size, false, &val);
		memcpy(buf, &val, size);
		gpa += size;
		buf += size;
		len -= size;
	}
}

static void device_write(struct emul_ctx *ctx, uint64_t gpa, const uint8_t *buf,
			 unsigned int len)
{
	while (len) {
		unsigned int size = device_piece(gpa, len);
		uint64_t val = 0;

		memcpy(&val, buf, size);
		ctx->env->mmio(ctx->data, gpa, size, true, &val);
		gpa += size;
		buf += size;
		len -= size;
	}
}

enum emul_status emul_read(struct emul_ctx *ctx, const struct emul_span *span, void *buf)
{
	uint8_t *to = buf;
	unsigned int i;

	for (i = 0; i < span->count; i++) {
		uint64_t gpa = span->part[i].gpa;
		unsigned int len = span->part[i].len;

		if (ctx->env->ram_read(ctx->data, gpa, to, len) < 0)
			device_read(ctx, gpa, to, len);
		to += len;
	}
	return EMUL_OK;
}

enum emul_status emul_read_system(struct emul_ctx *ctx, uint64_t linear, void *buf,
				  unsigned int size)
{
	struct emul_span span;
	enum emul_status status = emul_resolve_system(ctx, linear, size, VMM_ACCESS_READ, &span);

	return status ? status : emul_read(ctx, &span, buf);
}

enum emul_status emul_write(struct emul_ctx *ctx, const struct emul_span *span, const void *buf)
{
	const uint8_t *from = buf;
	unsigned int i;

	for (i = 0; i < span->count; i++) {
		uint64_t gpa = span->part[i].gpa;
		unsigned int len = span->part[i].len;

		if (ctx->env->ram_write(ctx->data, gpa, from, len) < 0)
			device_write(ctx, gpa, from, len);
		from += len;
	}
	return EMUL_OK;
}

enum emul_status emul_replace(struct emul_ctx *ctx, const struct emul_span *span,
			      const void *old, const void *new)
{
	int ret;

	if (span->count > 1)
		return emul_write(ctx, span, new);
	ret = ctx->env->ram_replace(ctx->data, span->part[0].gpa, old, new, span->part[0].len);
	if (ret < 0)
		return emul_write(ctx, span, new);
	return ret ? EMUL_OK : EMUL_PARTIAL;
}

/* ---- code and ports ---- */

enum emul_status emul_fetch(struct emul_ctx *ctx, unsigned int skip, uint8_t *buf,
			    unsigned int *len)
{
	const struct vmm_segment *cs = &ctx->segs.seg[VMM_CS];
	uint64_t offset = ctx->regs.rip + skip, linear, gpa;
	unsigned int left;
	enum emul_status status;

	if (ctx->long64) {
		linear = offset;
		if (!emul_canonical(ctx, linear))
			return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	} else {
		offset = (uint32_t)offset;
		if (offset > cs->limit)
			return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
		linear = (uint32_t)(cs->base + offset);
		if (*len > cs->limit - offset + 1)
			*len = cs->limit - offset + 1;
	}
	left = EMUL_PAGE_SIZE - linear % EMUL_PAGE_SIZE;
	if (*len > left)
		*len = left;
	status = translate(ctx, linear,
			   VMM_ACCESS_EXEC | (ctx->cpl == 3 ? VMM_ACCESS_USER : 0), &gpa);
	if (status)
		return status;
	return ctx->env->ram_read(ctx->data, gpa, buf, *len) < 0 ? EMUL_UNSUPPORTED : EMUL_OK;
}

/* Read two bytes of the TSS, as the CPU does whatever the privilege level. */
static enum emul_status tss_word(struct emul_ctx *ctx, uint32_t offset, uint16_t *val)
{
	const struct vmm_segment *tr = &ctx->segs.seg[VMM_TR];

	if (offset >= tr->limit)
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	return emul_read_system(ctx, tr->base + offset, val, sizeof(*val));
}

enum emul_status emul_check_port(struct emul_ctx *ctx, uint16_t port, unsigned int size)
{
	unsigned int iopl = (ctx->regs.rflags >> EMUL_IOPL_SHIFT) & 3;
	bool vm86 = ctx->regs.rflags & EMUL_VM;
	enum emul_status status;
	uint16_t map, bits;

	if (!(ctx->ctrl.cr0 & EMUL_CR0_PE) || (!vm86 && ctx->cpl <= iopl))
		return EMUL_OK;
	if ((ctx->segs.seg[VMM_TR].attr & TSS_TYPE_MASK) != TSS_TYPE)
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	status = tss_word(ctx, TSS_MAP_BASE, &map);
	if (!status)
		status = tss_word(ctx, map + port / 8, &bits);
	if (status)
		return status;
	if ((bits >> port % 8) & ((1u << size) - 1))
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	return EMUL_OK;
}
