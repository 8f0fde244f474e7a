// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What only an operating system does: control registers, descriptor tables, the
 * interrupt flag, ports. New control registers go to the vCPU at once, which refuses
 * what no CPU could hold: that is a #GP, and nothing changed.
 *
 * CPUID, HLT, RDMSR, WRMSR and others that the kernel has tables or a thread to put
 * to sleep for are EMUL_KERNEL: VMM_RUN carries them out at RIP in any mode.
 */
#include <errno.h>
#include <string.h>

#include "emul.h"

#define MSR_TSC		0x10
#define MSR_TSC_AUX	0xc0000103

#define CR0_EXISTS	(EMUL_CR0_PE | EMUL_CR0_MP | EMUL_CR0_EM | EMUL_CR0_TS | EMUL_CR0_ET | \
			 EMUL_CR0_NE | EMUL_CR0_WP | EMUL_CR0_AM | EMUL_CR0_NW | EMUL_CR0_CD | \
			 EMUL_CR0_PG)
/* What LMSW writes. PE it can only set. */
#define CR0_LMSW	(EMUL_CR0_MP | EMUL_CR0_EM | EMUL_CR0_TS)

/* "PDPTE Registers": bits that must be 0 in a present entry, whatever the width. */
#define PDPTE_PRESENT	1ull
#define PDPTE_RESERVED	0xfff00000000001e6ull
#define CR3_PDPT	0xffffffe0ull

static enum emul_status privileged(struct emul_ctx *ctx)
{
	return ctx->cpl ? emul_raise_error(ctx, EMUL_VECTOR_GP, 0) : EMUL_OK;
}

enum emul_status emul_do_nothing(struct emul_ctx *ctx, unsigned int arg)
{
	(void)ctx;
	(void)arg;
	return EMUL_OK;
}

/* @arg: only at CPL 0 */
enum emul_status emul_do_kernel(struct emul_ctx *ctx, unsigned int arg)
{
	enum emul_status status = arg ? privileged(ctx) : EMUL_OK;

	return status ? status : EMUL_KERNEL;
}

enum emul_status emul_do_undefined(struct emul_ctx *ctx, unsigned int arg)
{
	(void)arg;
	return emul_raise(ctx, EMUL_VECTOR_UD);
}

/* ---- control registers ---- */

enum emul_status emul_read_cr(const struct emul_ctx *ctx, unsigned int n, uint64_t *val)
{
	const uint64_t regs[] = {
		ctx->ctrl.cr0, 0, ctx->ctrl.cr2, ctx->ctrl.cr3, ctx->ctrl.cr4, 0, 0, 0,
		ctx->ctrl.cr8,
	};

	if (n >= ARRAY_SIZE(regs))
		return EMUL_UNSUPPORTED;
	*val = regs[n];
	return EMUL_OK;
}

static bool pae_paging(const struct vmm_ctrl *ctrl)
{
	return (ctrl->cr0 & EMUL_CR0_PG) && (ctrl->cr4 & EMUL_CR4_PAE) &&
	       !(ctrl->efer & EMUL_EFER_LMA);
}

/* PAE's top table is in registers, filled when CR0, CR3 or CR4 is written. */
static bool load_pdptes(struct emul_ctx *ctx, struct vmm_ctrl *ctrl)
{
	unsigned int i;

	memset(ctrl->pdpte, 0, sizeof(ctrl->pdpte));
	if (!pae_paging(ctrl))
		return true;
	if (ctx->env->ram_read(ctx->data, ctrl->cr3 & CR3_PDPT, ctrl->pdpte,
			       sizeof(ctrl->pdpte)) < 0)
		return false;
	for (i = 0; i < ARRAY_SIZE(ctrl->pdpte); i++)
		if ((ctrl->pdpte[i] & PDPTE_PRESENT) && (ctrl->pdpte[i] & PDPTE_RESERVED))
			return false;
	return true;
}

/* PG switches long mode on and off with it. */
static bool new_cr0(const struct emul_ctx *ctx, struct vmm_ctrl *ctrl, uint64_t val)
{
	bool long_code = ctx->segs.seg[VMM_CS].attr & VMM_SEG_L;
	bool paging = val & EMUL_CR0_PG;

	if (val >> 32 || (paging && !(val & EMUL_CR0_PE)) ||
	    ((val & EMUL_CR0_NW) && !(val & EMUL_CR0_CD)))
		return false;
	if (((val ^ ctrl->cr0) & EMUL_CR0_PG) && (ctrl->efer & EMUL_EFER_LME)) {
		if (long_code || (paging && !(ctrl->cr4 & EMUL_CR4_PAE)) ||
		    (!paging && (ctrl->cr4 & EMUL_CR4_PCIDE)))
			return false;
		ctrl->efer ^= EMUL_EFER_LMA;
	}
	ctrl->cr0 = (val & CR0_EXISTS) | EMUL_CR0_ET;
	return true;
}

static bool new_cr4(struct vmm_ctrl *ctrl, uint64_t val)
{
	uint64_t changed = val ^ ctrl->cr4;
	bool lma = ctrl->efer & EMUL_EFER_LMA;

	if (lma && (!(val & EMUL_CR4_PAE) || (changed & EMUL_CR4_LA57)))
		return false;
	if ((changed & val & EMUL_CR4_PCIDE) && (!lma || (ctrl->cr3 & 0xfff)))
		return false;
	ctrl->cr4 = val;
	return true;
}

static bool new_value(const struct emul_ctx *ctx, struct vmm_ctrl *ctrl, unsigned int n,
		      uint64_t val)
{
	switch (n) {
	case 0:
		return new_cr0(ctx, ctrl, val);
	case 2:
		ctrl->cr2 = val;
		return true;
	case 3:
		/* With PCIDE the highest bit asks for the TLB to be kept. */
		ctrl->cr3 = ctrl->cr4 & EMUL_CR4_PCIDE ? val & ~(1ull << 63) : val;
		return true;
	case 4:
		return new_cr4(ctrl, val);
	default:
		ctrl->cr8 = val;
		return val < 16;
	}
}

static enum emul_status set_ctrl(struct emul_ctx *ctx, const struct vmm_ctrl *ctrl)
{
	int ret = ctx->env->set_ctrl(ctx->data, ctrl);

	if (!ret)
		return EMUL_OK;
	if (ret == -EINVAL)
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	ctx->error = ret;
	return EMUL_ERROR;
}

enum emul_status emul_write_cr(struct emul_ctx *ctx, unsigned int n, uint64_t val)
{
	struct vmm_ctrl ctrl = ctx->ctrl;
	enum emul_status status = privileged(ctx);

	if (status)
		return status;
	if (!new_value(ctx, &ctrl, n, val) ||
	    ((n == 0 || n == 3 || n == 4) && !load_pdptes(ctx, &ctrl)))
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	status = set_ctrl(ctx, &ctrl);
	if (status)
		return status;
	ctx->ctrl = ctrl;
	ctx->cr2 = ctrl.cr2;
	ctx->stop = true;
	return EMUL_OK;
}

static bool hidden_from_user(const struct emul_ctx *ctx)
{
	return ctx->cpl && (ctx->ctrl.cr4 & EMUL_CR4_UMIP);
}

/* A register gets as much of CR0 as it has room for, memory a word. */
enum emul_status emul_do_smsw(struct emul_ctx *ctx, unsigned int arg)
{
	struct emul_ref dst;
	enum emul_status status;

	(void)arg;
	if (hidden_from_user(ctx))
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	status = emul_open(ctx, 0, VMM_ACCESS_WRITE, &dst);
	return status ? status : emul_put(ctx, &dst, ctx->ctrl.cr0 & emul_mask(dst.size));
}

enum emul_status emul_do_lmsw(struct emul_ctx *ctx, unsigned int arg)
{
	uint64_t val, cr0 = ctx->ctrl.cr0;
	enum emul_status status = privileged(ctx);

	(void)arg;
	if (!status)
		status = emul_load(ctx, 0, &val);
	if (status)
		return status;
	return emul_write_cr(ctx, 0, (cr0 & ~CR0_LMSW) | (val & (CR0_LMSW | EMUL_CR0_PE)));
}

enum emul_status emul_do_clts(struct emul_ctx *ctx, unsigned int arg)
{
	(void)arg;
	return emul_write_cr(ctx, 0, ctx->ctrl.cr0 & ~EMUL_CR0_TS);
}

/* ---- descriptor tables ---- */

struct table_operand {
	uint8_t bytes[10];		/* limit, then base */
};

static enum emul_status open_table(struct emul_ctx *ctx, uint32_t access, struct emul_span *span)
{
	const ZydisDecodedOperand *mem = &ctx->operands[0];

	if (mem->type != ZYDIS_OPERAND_TYPE_MEMORY)
		return EMUL_UNSUPPORTED;
	return emul_resolve(ctx, emul_segment(mem), emul_offset(ctx, mem), ctx->long64 ? 10 : 6,
			    access, span);
}

/* With 16-bit operands the base has 24 bits. */
enum emul_status emul_do_load_table(struct emul_ctx *ctx, unsigned int table)
{
	struct vmm_table new = {}, *to = table == EMUL_GDT ? &ctx->segs.gdt : &ctx->segs.idt;
	enum emul_status status = privileged(ctx);
	struct table_operand op = {};
	struct emul_span span;

	if (!status)
		status = open_table(ctx, VMM_ACCESS_READ, &span);
	if (!status)
		status = emul_read(ctx, &span, &op);
	if (status)
		return status;
	memcpy(&new.limit, op.bytes, 2);
	memcpy(&new.base, op.bytes + 2, 8);
	if (!ctx->long64)
		new.base &= ctx->insn.operand_width == 16 ? 0xffffff : UINT32_MAX;
	if (!emul_canonical(ctx, new.base))
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	*to = new;
	ctx->segs_changed = true;
	return EMUL_OK;
}

enum emul_status emul_do_store_table(struct emul_ctx *ctx, unsigned int table)
{
	const struct vmm_table *from = table == EMUL_GDT ? &ctx->segs.gdt : &ctx->segs.idt;
	struct table_operand op;
	enum emul_status status;
	struct emul_span span;

	if (hidden_from_user(ctx))
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	status = open_table(ctx, VMM_ACCESS_WRITE, &span);
	if (status)
		return status;
	memcpy(op.bytes, &from->limit, 2);
	memcpy(op.bytes + 2, &from->base, 8);
	return emul_write(ctx, &span, &op);
}

/*
 * The emulator keeps no translation longer than an instruction, but the vCPU may have
 * some from where it ran: setting control registers, the same ones, drops them all.
 */
enum emul_status emul_do_invlpg(struct emul_ctx *ctx, unsigned int arg)
{
	enum emul_status status = privileged(ctx);

	(void)arg;
	return status ? status : set_ctrl(ctx, &ctx->ctrl);
}

/* ---- flags ---- */

enum emul_status emul_do_flag(struct emul_ctx *ctx, unsigned int arg)
{
	uint64_t flag = 1ull << (arg >> 2);

	switch (arg & 3) {
	case EMUL_CLEAR:
		ctx->regs.rflags &= ~flag;
		break;
	case EMUL_SET:
		ctx->regs.rflags |= flag;
		break;
	default:
		ctx->regs.rflags ^= flag;
	}
	return EMUL_OK;
}

static bool may_change_if(const struct emul_ctx *ctx)
{
	return ctx->cpl <= (ctx->regs.rflags & EMUL_IOPL) >> EMUL_IOPL_SHIFT;
}

/* Without the virtual interrupt flags of CR4.PVI and CR4.VME. */
enum emul_status emul_do_cli(struct emul_ctx *ctx, unsigned int arg)
{
	(void)arg;
	if (!may_change_if(ctx))
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	ctx->regs.rflags &= ~EMUL_IF;
	return EMUL_OK;
}

enum emul_status emul_do_sti(struct emul_ctx *ctx, unsigned int arg)
{
	(void)arg;
	if (!may_change_if(ctx))
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	if (!(ctx->regs.rflags & EMUL_IF))
		ctx->new_shadow = VMM_SHADOW_STI;
	ctx->regs.rflags |= EMUL_IF;
	return EMUL_OK;
}

/* ---- time and ports ---- */

static enum emul_status get_msr(struct emul_ctx *ctx, uint32_t index, uint64_t *val)
{
	int ret = ctx->env->get_msr(ctx->data, index, val);

	if (!ret)
		return EMUL_OK;
	ctx->error = ret;
	return EMUL_ERROR;
}

/* @arg: RDTSCP */
enum emul_status emul_do_rdtsc(struct emul_ctx *ctx, unsigned int arg)
{
	enum emul_status status;
	uint64_t tsc, aux = 0;

	if (ctx->cpl && (ctx->ctrl.cr4 & EMUL_CR4_TSD))
		return emul_raise_error(ctx, EMUL_VECTOR_GP, 0);
	status = get_msr(ctx, MSR_TSC, &tsc);
	if (!status && arg)
		status = get_msr(ctx, MSR_TSC_AUX, &aux);
	if (status)
		return status;
	emul_gpr_write(ctx, VMM_RAX, 4, tsc);
	emul_gpr_write(ctx, VMM_RDX, 4, tsc >> 32);
	if (arg)
		emul_gpr_write(ctx, VMM_RCX, 4, aux);
	return EMUL_OK;
}

/* The port is DX or a byte of the instruction. */
static enum emul_status open_port(struct emul_ctx *ctx, unsigned int op, unsigned int size,
				  uint16_t *port)
{
	uint64_t val;
	enum emul_status status = emul_load(ctx, op, &val);

	*port = ctx->operands[op].type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? val & 0xff : val;
	return status ? status : emul_check_port(ctx, *port, size);
}

enum emul_status emul_do_in(struct emul_ctx *ctx, unsigned int arg)
{
	unsigned int size = ctx->operands[0].size / 8;
	uint64_t val = UINT64_MAX;
	enum emul_status status;
	uint16_t port;

	(void)arg;
	status = open_port(ctx, 1, size, &port);
	if (status)
		return status;
	ctx->env->pio(ctx->data, port, size, false, &val);
	emul_gpr_write(ctx, VMM_RAX, size, val);
	return EMUL_OK;
}

enum emul_status emul_do_out(struct emul_ctx *ctx, unsigned int arg)
{
	unsigned int size = ctx->operands[1].size / 8;
	enum emul_status status;
	uint64_t val;
	uint16_t port;

	(void)arg;
	status = open_port(ctx, 0, size, &port);
	if (status)
		return status;
	val = emul_gpr_read(ctx, VMM_RAX, size);
	ctx->env->pio(ctx->data, port, size, true, &val);
	return EMUL_OK;
}
