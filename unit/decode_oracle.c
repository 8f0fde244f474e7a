// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Compares kmod/decode.c with Zydis. Nothing of decode.c's tables is used: the
 * class that is expected follows from Zydis's mnemonic and operands alone.
 *
 * Three differences are known, and looked for:
 * - MOVSXD with a 16-bit operand reads 32 bits of memory in Zydis 4.0, 16 in
 *   Intel's manual ("MOVSX/MOVSXD");
 * - LOCK MOV CR0 is AMD's other name of CR8, which Zydis does not have;
 * - Zydis 4.0 takes R13D for the base where a SIB byte without base is used
 *   with an address-size prefix and REX.B.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <Zydis/Zydis.h>

#include "decode.h"
#include "decode_oracle.h"

#define M(name)	ZYDIS_MNEMONIC_##name

/* Classes by mnemonic; the moves are told apart by their operands, see expected_class(). */
static const u8 class_of[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
	[M(MOVZX)] = INSN_MOVZX,	[M(MOVSX)] = INSN_MOVSX,	[M(MOVSXD)] = INSN_MOVSXD,
	[M(LMSW)] = INSN_LMSW,		[M(SMSW)] = INSN_SMSW,		[M(INVLPG)] = INSN_INVLPG,
	[M(INVPCID)] = INSN_INVPCID,	[M(IN)] = INSN_IN,		[M(OUT)] = INSN_OUT,
	[M(INSB)] = INSN_INS,		[M(INSW)] = INSN_INS,		[M(INSD)] = INSN_INS,
	[M(OUTSB)] = INSN_OUTS,		[M(OUTSW)] = INSN_OUTS,		[M(OUTSD)] = INSN_OUTS,
	[M(INT)] = INSN_INT_N,		[M(IRET)] = INSN_IRET,		[M(IRETD)] = INSN_IRET,
	[M(IRETQ)] = INSN_IRET,		[M(INT3)] = INSN_INT3,		[M(INTO)] = INSN_INTO,
	[M(INT1)] = INSN_ICEBP,		[M(CLTS)] = INSN_CLTS,		[M(CPUID)] = INSN_CPUID,
	[M(HLT)] = INSN_HLT,		[M(INVD)] = INSN_INVD,		[M(WBINVD)] = INSN_WBINVD,
	[M(MONITOR)] = INSN_MONITOR,	[M(MONITORX)] = INSN_MONITOR,	[M(MWAIT)] = INSN_MWAIT,
	[M(MWAITX)] = INSN_MWAIT,	[M(PAUSE)] = INSN_PAUSE,	[M(RDMSR)] = INSN_RDMSR,
	[M(WRMSR)] = INSN_WRMSR,	[M(RDPMC)] = INSN_RDPMC,	[M(RDTSC)] = INSN_RDTSC,
	[M(RDTSCP)] = INSN_RDTSCP,	[M(RSM)] = INSN_RSM,		[M(XSETBV)] = INSN_XSETBV,
	[M(VMCALL)] = INSN_VMCALL,	[M(VMMCALL)] = INSN_VMMCALL,	[M(VMRUN)] = INSN_VIRT,
	[M(VMLOAD)] = INSN_VIRT,	[M(VMSAVE)] = INSN_VIRT,	[M(STGI)] = INSN_VIRT,
	[M(CLGI)] = INSN_VIRT,		[M(SKINIT)] = INSN_VIRT,	[M(INVLPGA)] = INSN_VIRT,
	[M(INVLPGB)] = INSN_VIRT,	[M(TLBSYNC)] = INSN_VIRT,	[M(VMREAD)] = INSN_VIRT,
	[M(VMWRITE)] = INSN_VIRT,	[M(VMPTRLD)] = INSN_VIRT,	[M(VMPTRST)] = INSN_VIRT,
	[M(VMCLEAR)] = INSN_VIRT,	[M(VMXON)] = INSN_VIRT,		[M(VMXOFF)] = INSN_VIRT,
	[M(VMLAUNCH)] = INSN_VIRT,	[M(VMRESUME)] = INSN_VIRT,	[M(VMFUNC)] = INSN_VIRT,
	[M(INVEPT)] = INSN_VIRT,	[M(INVVPID)] = INSN_VIRT,	[M(GETSEC)] = INSN_VIRT,
};

struct opinion {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

static const ZydisMachineMode machine_mode[] = {
	[INSN_MODE_16] = ZYDIS_MACHINE_MODE_LEGACY_16,
	[INSN_MODE_32] = ZYDIS_MACHINE_MODE_LEGACY_32,
	[INSN_MODE_64] = ZYDIS_MACHINE_MODE_LONG_64,
};

static bool takes_r13d(const ZydisDecodedInstruction *insn)
{
	return insn->machine_mode == ZYDIS_MACHINE_MODE_LONG_64 && insn->address_width == 32 &&
	       insn->attributes & ZYDIS_ATTRIB_HAS_SIB && insn->raw.modrm.mod == 0 &&
	       insn->raw.sib.base == 5 && insn->raw.rex.B;
}

static ZyanStatus ask(const u8 *bytes, size_t len, int mode, struct opinion *opinion)
{
	static const ZydisStackWidth width[] = {
		[INSN_MODE_16] = ZYDIS_STACK_WIDTH_16,
		[INSN_MODE_32] = ZYDIS_STACK_WIDTH_32,
		[INSN_MODE_64] = ZYDIS_STACK_WIDTH_64,
	};
	u8 without_b[INSN_MAX_LENGTH];
	ZydisDecoder decoder;
	ZyanStatus status;

	ZydisDecoderInit(&decoder, machine_mode[mode], width[mode]);
	status = ZydisDecoderDecodeFull(&decoder, bytes, len, &opinion->insn, opinion->op);
	if (!ZYAN_SUCCESS(status) || !takes_r13d(&opinion->insn))
		return status;
	memcpy(without_b, bytes, opinion->insn.length);
	without_b[opinion->insn.raw.rex.offset] &= ~INSN_REX_B;
	return ZydisDecoderDecodeFull(&decoder, without_b, opinion->insn.length,
				      &opinion->insn, opinion->op);
}

static const ZydisDecodedOperand *memory_operand(const struct opinion *opinion)
{
	for (int i = 0; i < opinion->insn.operand_count; i++)
		if (opinion->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return &opinion->op[i];
	return NULL;
}

static const ZydisDecodedOperand *immediate_operand(const struct opinion *opinion)
{
	for (int i = 0; i < opinion->insn.operand_count_visible; i++)
		if (opinion->op[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			return &opinion->op[i];
	return NULL;
}

static bool is_gpr(const ZydisDecodedOperand *op)
{
	if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return false;
	switch (ZydisRegisterGetClass(op->reg.value)) {
	case ZYDIS_REGCLASS_GPR8:
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return true;
	default:
		return false;
	}
}

/* The first visible operand that is a general register. */
static const ZydisDecodedOperand *gpr_operand(const struct opinion *opinion)
{
	for (int i = 0; i < opinion->insn.operand_count_visible; i++)
		if (is_gpr(&opinion->op[i]))
			return &opinion->op[i];
	return NULL;
}

static ZydisRegisterClass register_class(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER ? ZydisRegisterGetClass(op->reg.value) :
							 ZYDIS_REGCLASS_INVALID;
}

static enum insn_class class_of_mov(const struct opinion *opinion)
{
	const ZydisDecodedOperand *to = &opinion->op[0], *from = &opinion->op[1];

	if (register_class(to) == ZYDIS_REGCLASS_CONTROL)
		return INSN_MOV_TO_CR;
	if (register_class(from) == ZYDIS_REGCLASS_CONTROL)
		return INSN_MOV_FROM_CR;
	if (register_class(to) == ZYDIS_REGCLASS_DEBUG)
		return INSN_MOV_TO_DR;
	if (register_class(from) == ZYDIS_REGCLASS_DEBUG)
		return INSN_MOV_FROM_DR;
	if (is_gpr(to) && from->type == ZYDIS_OPERAND_TYPE_MEMORY)
		return INSN_MOV_LOAD;
	if (to->type == ZYDIS_OPERAND_TYPE_MEMORY && is_gpr(from))
		return INSN_MOV_STORE_REG;
	if (to->type == ZYDIS_OPERAND_TYPE_MEMORY && from->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return INSN_MOV_STORE_IMM;
	return INSN_OTHER;
}

static enum insn_class expected_class(const struct opinion *opinion)
{
	switch (opinion->insn.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return class_of_mov(opinion);
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
		if (!memory_operand(opinion))
			return INSN_OTHER;
		break;
	default:
		break;
	}
	return class_of[opinion->insn.mnemonic];
}

static u8 gpr_number(ZydisRegister reg)
{
	return ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg) -
	       ZYDIS_REGISTER_RAX;
}

static u64 cut(u64 value, unsigned int size)
{
	return size < 8 ? value & ((1ULL << (8 * size)) - 1) : value;
}

static const char *check_register(const ZydisDecodedOperand *op, u8 number, bool high, u8 size)
{
	ZydisRegister reg = op->reg.value;

	if (number != gpr_number(reg))
		return "register";
	if (high != (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH))
		return "high byte";
	return size == op->size / 8 ? NULL : "operand size";
}

static bool base_agrees(const struct insn *insn, ZydisRegister base)
{
	if (base == ZYDIS_REGISTER_NONE)
		return insn->base == INSN_NO_REG;
	if (base == ZYDIS_REGISTER_RIP || base == ZYDIS_REGISTER_EIP)
		return insn->base == INSN_REG_RIP;
	return insn->base == gpr_number(base);
}

static bool segment_agrees(const struct insn *insn, ZydisRegister segment)
{
	unsigned int number = segment - ZYDIS_REGISTER_ES;

	if (insn->mode == INSN_MODE_64 && number < VMM_FS)
		return insn->segment == INSN_FLAT;
	return insn->segment == number;
}

/* Registers that differ from each other and between strings. */
static void make_registers(const u8 *bytes, u64 gpr[VMM_NR_GPR], ZydisRegisterContext *context)
{
	u64 seed = 0x9e3779b97f4a7c15ULL;

	memset(context, 0, sizeof(*context));
	for (int i = 0; i < VMM_NR_GPR; i++) {
		seed = (seed ^ bytes[0] ^ i) * 0xbf58476d1ce4e5b9ULL;
		seed ^= seed >> 29;
		gpr[i] = seed;
		context->values[ZYDIS_REGISTER_RAX + i] = seed;
		context->values[ZYDIS_REGISTER_EAX + i] = cut(seed, 4);
		context->values[ZYDIS_REGISTER_AX + i] = cut(seed, 2);
	}
}

static const char *check_address(const struct insn *insn, const u8 *bytes,
				 const struct opinion *opinion, const ZydisDecodedOperand *op)
{
	const u64 rip = 0x00007ffffffffff0ULL;
	ZydisRegisterContext context;
	u64 gpr[VMM_NR_GPR];
	ZyanU64 want;

	make_registers(bytes, gpr, &context);
	if (!ZYAN_SUCCESS(ZydisCalcAbsoluteAddressEx(&opinion->insn, op, rip, &context, &want)))
		return "Zydis computes no address";
	return insn_linear_offset(insn, gpr, rip) == cut(want, insn->addrsize) ?
	       NULL : "effective address";
}

static const char *check_memory(const struct insn *insn, const u8 *bytes,
				const struct opinion *opinion)
{
	const ZydisDecodedOperand *op = memory_operand(opinion);

	if (insn->memory != !!op)
		return "memory or register";
	if (!op)
		return NULL;
	if (insn->addrsize != opinion->insn.address_width / 8)
		return "address size";
	if (!segment_agrees(insn, op->mem.segment))
		return "segment";
	if (!base_agrees(insn, op->mem.base))
		return "base register";
	if (op->mem.index == ZYDIS_REGISTER_NONE ? insn->index != INSN_NO_REG :
						   insn->index != gpr_number(op->mem.index))
		return "index register";
	if (op->mem.index != ZYDIS_REGISTER_NONE && 1 << insn->scale != op->mem.scale)
		return "scale";
	if (cut(insn->disp, insn->addrsize) != cut(op->mem.disp.value, insn->addrsize))
		return "displacement";
	return check_address(insn, bytes, opinion, op);
}

static const char *check_immediate(const struct insn *insn, const struct opinion *opinion,
				   unsigned int size)
{
	const ZydisDecodedOperand *op = immediate_operand(opinion);

	if (!op)
		return insn->imm_length ? "immediate there is not" : NULL;
	if (insn->imm_length != opinion->insn.raw.imm[0].size / 8)
		return "size of the immediate";
	return insn->imm == cut(op->imm.value.u, size) ? NULL : "immediate";
}

static unsigned int memory_size(const struct insn *insn, const struct opinion *opinion)
{
	if (opinion->insn.mnemonic == ZYDIS_MNEMONIC_MOVSXD && insn->opsize == 2)
		return 2;
	return memory_operand(opinion)->size / 8;
}

static const char *check_move(const struct insn *insn, const u8 *bytes,
			      const struct opinion *opinion)
{
	const ZydisDecodedOperand *reg = gpr_operand(opinion);
	const char *differs;

	if (insn->size != memory_size(insn, opinion))
		return "size in memory";
	differs = check_memory(insn, bytes, opinion);
	if (differs)
		return differs;
	if (insn->class == INSN_MOV_STORE_IMM)
		return insn->opsize == insn->size ?
		       check_immediate(insn, opinion, insn->opsize) : "operand size";
	if (!reg)
		return "register there is not";
	return check_register(reg, insn->reg, insn->high_byte, insn->opsize);
}

static const char *check_system_register(const struct insn *insn, const struct opinion *opinion)
{
	bool to = insn->class == INSN_MOV_TO_CR || insn->class == INSN_MOV_TO_DR;
	const ZydisDecodedOperand *system = &opinion->op[to ? 0 : 1];

	if (insn->reg != ZydisRegisterGetId(system->reg.value))
		return "control or debug register";
	return check_register(&opinion->op[to ? 1 : 0], insn->rm, false, insn->opsize);
}

/* LMSW, SMSW, INVLPG, INVPCID: a memory operand, or a register in rm. */
static const char *check_rm(const struct insn *insn, const u8 *bytes,
			    const struct opinion *opinion)
{
	const ZydisDecodedOperand *reg = gpr_operand(opinion);
	const char *differs = check_memory(insn, bytes, opinion);

	if (differs || !reg)
		return differs;
	if (insn->class == INSN_INVPCID)
		return check_register(reg, insn->reg, false, insn->opsize);
	if (insn->class == INSN_LMSW)
		return insn->rm == gpr_number(reg->reg.value) ? NULL : "register";
	return check_register(reg, insn->rm, false, insn->opsize);
}

static const char *check_port(const struct insn *insn, const struct opinion *opinion)
{
	bool in = insn->class == INSN_IN;

	if (insn->opsize != opinion->op[in ? 0 : 1].size / 8)
		return "operand size";
	return check_immediate(insn, opinion, 1);
}

static const char *check_string(const struct insn *insn, const struct opinion *opinion)
{
	const ZydisDecodedOperand *op = memory_operand(opinion);

	if (insn->opsize != op->size / 8)
		return "operand size";
	if (insn->addrsize != opinion->insn.address_width / 8)
		return "address size";
	return segment_agrees(insn, op->mem.segment) ? NULL : "segment";
}

static const char *check_operands(const struct insn *insn, const u8 *bytes,
				  const struct opinion *opinion)
{
	if (insn_is_load(insn) || insn_is_store(insn))
		return check_move(insn, bytes, opinion);
	switch (insn->class) {
	case INSN_MOV_FROM_CR:
	case INSN_MOV_TO_CR:
	case INSN_MOV_FROM_DR:
	case INSN_MOV_TO_DR:
		return check_system_register(insn, opinion);
	case INSN_LMSW:
	case INSN_SMSW:
	case INSN_INVLPG:
	case INSN_INVPCID:
		return check_rm(insn, bytes, opinion);
	case INSN_IN:
	case INSN_OUT:
		return check_port(insn, opinion);
	case INSN_INS:
	case INSN_OUTS:
		return check_string(insn, opinion);
	case INSN_INT_N:
		return check_immediate(insn, opinion, 1);
	case INSN_IRET:
		return insn->opsize == opinion->insn.operand_width / 8 ? NULL : "operand size";
	}
	return NULL;
}

static const char *check_lengths(const u8 *bytes, size_t len, int mode, const struct insn *insn)
{
	enum insn_class wrong = insn->class == INSN_CPUID ? INSN_HLT : INSN_CPUID;
	struct insn cut_short;

	if (insn_length_of(bytes, len, mode, insn->class) != insn->length)
		return "insn_length_of() of the right class";
	if (insn_length_of(bytes, len, mode, wrong) != -EINVAL)
		return "insn_length_of() of a wrong class";
	for (size_t i = 0; i < insn->length; i++)
		if (insn_decode(bytes, i, mode, &cut_short) != -ENODATA)
			return "no -ENODATA for a string cut short";
	return NULL;
}

/* Zydis sees an instruction; @ret and @insn are what decode.c sees. */
static const char *check_seen(const u8 *bytes, size_t len, int ret, const struct insn *insn,
			      const struct opinion *opinion)
{
	enum insn_class want = expected_class(opinion);
	const char *differs;

	if (ret)
		return ret == -ENODATA ? "-ENODATA for a whole instruction" :
					 "-EINVAL for an instruction there is";
	if (insn->class != want)
		return want == INSN_OTHER ? "a class for an instruction of none" :
		       insn->class == INSN_OTHER ? "INSN_OTHER for an instruction of a class" :
						   "another class";
	if (want == INSN_OTHER)
		return NULL;
	if (insn->length != opinion->insn.length)
		return "length";
	differs = check_lengths(bytes, len, insn->mode, insn);
	return differs ? differs : check_operands(insn, bytes, opinion);
}

static bool is_lock_mov_cr8(const struct insn *insn, ZyanStatus status)
{
	return status == ZYDIS_STATUS_ILLEGAL_LOCK && insn->prefixes & INSN_LOCK &&
	       (insn->class == INSN_MOV_FROM_CR || insn->class == INSN_MOV_TO_CR) &&
	       (insn->modrm & 0x38) == 0 && insn->reg == 8;
}

const char *decode_oracle(const uint8_t *bytes, size_t len, int mode, unsigned int *class)
{
	struct opinion opinion;
	struct insn insn;
	int ret = insn_decode(bytes, len, mode, &insn);
	ZyanStatus status = ask(bytes, len, mode, &opinion);

	if (class)
		*class = ret ? INSN_OTHER : insn.class;
	if (ZYAN_SUCCESS(status))
		return check_seen(bytes, len, ret, &insn, &opinion);
	if (status == ZYDIS_STATUS_NO_MORE_DATA && ret == -EINVAL)
		return "-EINVAL for a string cut short";
	if (!ret && insn.class != INSN_OTHER && !is_lock_mov_cr8(&insn, status))
		return status == ZYDIS_STATUS_NO_MORE_DATA ? "a class for a string cut short" :
							     "a class for bytes that Zydis rejects";
	return NULL;
}
