// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Operands as the decoder gives them: general registers of every width, selectors,
 * immediates and memory, behind one interface.
 */
#include <string.h>

#include "emul.h"

uint64_t emul_mask(unsigned int size)
{
	return size >= 8 ? UINT64_MAX : (1ull << size * 8) - 1;
}

uint64_t emul_sign_extend(uint64_t val, unsigned int size)
{
	unsigned int unused = 64 - size * 8;

	return (uint64_t)((int64_t)(val << unused) >> unused);
}

/* ---- registers ---- */

uint64_t emul_gpr_read(const struct emul_ctx *ctx, enum vmm_gpr n, unsigned int size)
{
	return ctx->regs.gpr[n] & emul_mask(size);
}

/* A doubleword clears the upper half, bytes and words leave the rest alone. */
void emul_gpr_write(struct emul_ctx *ctx, enum vmm_gpr n, unsigned int size, uint64_t val)
{
	uint64_t mask = size == 4 ? UINT64_MAX : emul_mask(size);

	ctx->regs.gpr[n] = (ctx->regs.gpr[n] & ~mask) | (val & emul_mask(size));
}

struct gpr_place {
	enum vmm_gpr n;
	unsigned int shift;
	unsigned int size;
};

/* Where in vmm_regs.gpr a register is; false: it is no general register. */
static bool gpr_place(ZydisRegister reg, struct gpr_place *place)
{
	static const struct {
		ZydisRegister first, last;
		enum vmm_gpr n;
		unsigned int shift, size;
	} ranges[] = {
		{ ZYDIS_REGISTER_AL, ZYDIS_REGISTER_BL, VMM_RAX, 0, 1 },
		{ ZYDIS_REGISTER_AH, ZYDIS_REGISTER_BH, VMM_RAX, 8, 1 },
		{ ZYDIS_REGISTER_SPL, ZYDIS_REGISTER_R15B, VMM_RSP, 0, 1 },
		{ ZYDIS_REGISTER_AX, ZYDIS_REGISTER_R15W, VMM_RAX, 0, 2 },
		{ ZYDIS_REGISTER_EAX, ZYDIS_REGISTER_R15D, VMM_RAX, 0, 4 },
		{ ZYDIS_REGISTER_RAX, ZYDIS_REGISTER_R15, VMM_RAX, 0, 8 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		if (reg < ranges[i].first || reg > ranges[i].last)
			continue;
		place->n = ranges[i].n + (reg - ranges[i].first);
		place->shift = ranges[i].shift;
		place->size = ranges[i].size;
		return true;
	}
	return false;
}

static bool is_selector(ZydisRegister reg)
{
	return reg >= ZYDIS_REGISTER_ES && reg <= ZYDIS_REGISTER_GS;
}

static bool is_control(ZydisRegister reg)
{
	return reg >= ZYDIS_REGISTER_CR0 && reg <= ZYDIS_REGISTER_CR15;
}

static bool is_debug(ZydisRegister reg)
{
	return reg >= ZYDIS_REGISTER_DR0 && reg <= ZYDIS_REGISTER_DR15;
}

static enum emul_status reg_read(const struct emul_ctx *ctx, ZydisRegister reg, uint64_t *val)
{
	struct gpr_place place;

	if (gpr_place(reg, &place)) {
		*val = (ctx->regs.gpr[place.n] >> place.shift) & emul_mask(place.size);
		return EMUL_OK;
	}
	if (is_selector(reg)) {
		*val = ctx->segs.seg[reg - ZYDIS_REGISTER_ES].selector;
		return EMUL_OK;
	}
	if (is_control(reg))
		return emul_read_cr(ctx, reg - ZYDIS_REGISTER_CR0, val);
	return EMUL_UNSUPPORTED;
}

static enum emul_status special_write(struct emul_ctx *ctx, ZydisRegister reg, uint64_t val)
{
	if (is_selector(reg))
		return emul_load_segment(ctx, reg - ZYDIS_REGISTER_ES, val);
	if (is_control(reg))
		return emul_write_cr(ctx, reg - ZYDIS_REGISTER_CR0, val);
	return EMUL_UNSUPPORTED;
}

static enum emul_status reg_write(struct emul_ctx *ctx, ZydisRegister reg, uint64_t val)
{
	struct gpr_place place;
	uint64_t mask;

	if (!gpr_place(reg, &place))
		return special_write(ctx, reg, val);
	if (!place.shift) {
		emul_gpr_write(ctx, place.n, place.size, val);
		return EMUL_OK;
	}
	mask = emul_mask(place.size) << place.shift;
	ctx->regs.gpr[place.n] = (ctx->regs.gpr[place.n] & ~mask) | ((val << place.shift) & mask);
	return EMUL_OK;
}

/* ---- addresses ---- */

enum vmm_sreg emul_segment(const ZydisDecodedOperand *op)
{
	return is_selector(op->mem.segment) ? op->mem.segment - ZYDIS_REGISTER_ES : VMM_DS;
}

static uint64_t address_part(const struct emul_ctx *ctx, ZydisRegister reg)
{
	struct gpr_place place;

	if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
		return ctx->next;
	if (!gpr_place(reg, &place))
		return 0;
	return ctx->regs.gpr[place.n] & emul_mask(place.size);
}

/*
 * "64-Bit Mode Uses of REX": no base register if SIB.base is 5 and ModRM.mod 0, whatever
 * REX.B is. The decoder takes R13 for one then, and no displacement.
 */
static bool baseless(const ZydisDecodedInstruction *insn)
{
	return (insn->attributes & ZYDIS_ATTRIB_HAS_SIB) && insn->raw.sib.base == 5 &&
	       insn->raw.modrm.mod == 0;
}

uint64_t emul_offset(const struct emul_ctx *ctx, const ZydisDecodedOperand *op)
{
	uint64_t offset = op->mem.disp.has_displacement ? (uint64_t)op->mem.disp.value : 0;

	if (baseless(&ctx->insn))
		offset = (uint64_t)ctx->insn.raw.disp.value;
	else
		offset += address_part(ctx, op->mem.base);
	offset += address_part(ctx, op->mem.index) * op->mem.scale;
	return offset & emul_mask(ctx->insn.address_width / 8);
}

/* ---- operands ---- */

static enum emul_status open_mem(struct emul_ctx *ctx, const ZydisDecodedOperand *op,
				 uint32_t access, struct emul_ref *ref)
{
	ref->kind = EMUL_MEM;
	if (op->mem.type != ZYDIS_MEMOP_TYPE_MEM || !ref->size || ref->size > EMUL_MAX_OPERAND)
		return EMUL_UNSUPPORTED;
	return emul_resolve(ctx, emul_segment(op), emul_offset(ctx, op), ref->size, access,
			    &ref->span);
}

/* Control and debug registers are for CPL 0; the kernel has the latter. */
static enum emul_status open_reg(struct emul_ctx *ctx, ZydisRegister reg)
{
	if (!is_control(reg) && !is_debug(reg))
		return EMUL_OK;
	if (ctx->cpl)
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	return is_debug(reg) ? EMUL_KERNEL : EMUL_OK;
}

enum emul_status emul_open(struct emul_ctx *ctx, unsigned int i, uint32_t access,
			   struct emul_ref *ref)
{
	const ZydisDecodedOperand *op = &ctx->operands[i];

	if (i >= ctx->insn.operand_count)
		return EMUL_UNSUPPORTED;
	ref->size = op->size / 8;
	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		ref->kind = EMUL_REG;
		ref->reg = op->reg.value;
		return open_reg(ctx, ref->reg);
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		ref->kind = EMUL_IMM;
		ref->imm = op->imm.value.u;
		return EMUL_OK;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		return open_mem(ctx, op, access, ref);
	default:
		return EMUL_UNSUPPORTED;
	}
}

enum emul_status emul_get(struct emul_ctx *ctx, const struct emul_ref *ref, uint64_t *val)
{
	*val = 0;
	switch (ref->kind) {
	case EMUL_REG:
		return reg_read(ctx, ref->reg, val);
	case EMUL_IMM:
		*val = ref->imm;
		return EMUL_OK;
	default:
		if (ref->size > sizeof(*val))
			return EMUL_UNSUPPORTED;
		return emul_read(ctx, &ref->span, val);
	}
}

enum emul_status emul_put(struct emul_ctx *ctx, const struct emul_ref *ref, uint64_t val)
{
	switch (ref->kind) {
	case EMUL_REG:
		return reg_write(ctx, ref->reg, val);
	case EMUL_MEM:
		if (ref->size > sizeof(val))
			return EMUL_UNSUPPORTED;
		return emul_write(ctx, &ref->span, &val);
	default:
		return EMUL_UNSUPPORTED;
	}
}

enum emul_status emul_update(struct emul_ctx *ctx, const struct emul_ref *ref, uint64_t old,
			     uint64_t val)
{
	if (ref->kind != EMUL_MEM || ref->size > sizeof(val))
		return emul_put(ctx, ref, val);
	return emul_replace(ctx, &ref->span, &old, &val);
}

enum emul_status emul_load(struct emul_ctx *ctx, unsigned int i, uint64_t *val)
{
	struct emul_ref ref;
	enum emul_status status = emul_open(ctx, i, VMM_ACCESS_READ, &ref);

	return status ? status : emul_get(ctx, &ref, val);
}

enum emul_status emul_open_pair(struct emul_ctx *ctx, uint32_t access, struct emul_ref *dst,
				uint64_t *val, uint64_t *src)
{
	enum emul_status status = emul_open(ctx, 0, access, dst);

	if (!status)
		status = emul_load(ctx, 1, src);
	return status ? status : emul_get(ctx, dst, val);
}

enum emul_status emul_load_pointer(struct emul_ctx *ctx, unsigned int i, unsigned int size,
				   uint64_t *offset, uint16_t *selector)
{
	const ZydisDecodedOperand *op = &ctx->operands[i];
	uint64_t mask = emul_mask(ctx->insn.address_width / 8);
	struct emul_span offset_span, selector_span;
	enum emul_status status;
	uint64_t place;

	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY)
		return EMUL_UNSUPPORTED;
	place = emul_offset(ctx, op);
	status = emul_resolve(ctx, emul_segment(op), place, size, VMM_ACCESS_READ, &offset_span);
	if (!status)
		status = emul_resolve(ctx, emul_segment(op), (place + size) & mask,
				      sizeof(*selector), VMM_ACCESS_READ, &selector_span);
	if (status)
		return status;
	*offset = 0;
	emul_read(ctx, &offset_span, offset);
	return emul_read(ctx, &selector_span, selector);
}
