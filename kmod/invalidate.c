// SPDX-License-Identifier: GPL-2.0-only
/*
 * INVLPG and INVPCID of guests with shadow paging. No PCID is in use on the CPU then: all
 * of a guest's are one, and more is forgotten than asked for. The shadow of another PCID's
 * tables differs from them only where those were written since (mmu/shadow_sync.c), so it
 * is enough to compare what was written.
 */
#include <asm/trapnr.h>

#include "vmm.h"

/* "INVPCID - Invalidate Process-Context Identifier": the type, and the descriptor */
enum invpcid_type {
	INVPCID_ADDRESS,
	INVPCID_CONTEXT,
	INVPCID_ALL,
	INVPCID_ALL_BUT_GLOBAL,
	INVPCID_NR_TYPE
};

#define DESCRIPTOR_PCID	GENMASK_ULL(11, 0)

struct descriptor {
	u64 pcid;
	u64 gva;
};

static gva_t operand(struct vmm_vcpu *vcpu, const struct insn *insn)
{
	gva_t gva = insn_linear_offset(insn, vcpu->regs.gpr, vcpu->regs.rip);

	if (insn->segment == INSN_FLAT)
		return gva;
	vmm_pull(vcpu, VMM_STATE_SEGS);
	return gva + vcpu->segs.seg[insn->segment].base;
}

/* False: an exception was queued. */
static bool read_descriptor(struct vmm_vcpu *vcpu, const struct insn *insn,
			    struct descriptor *descriptor)
{
	unsigned int done, n;
	gva_t gva = operand(vcpu, insn);
	struct vmm_walk walk;

	for (done = 0; done < sizeof(*descriptor); done += n, gva += n) {
		if (insn->mode != INSN_MODE_64) {
			gva = (u32)gva;
		} else if (!vmm_canonical(vcpu, gva)) {
			vmm_queue_exception_error(vcpu, insn->base == VMM_RSP ||
						  insn->base == VMM_RBP ? X86_TRAP_SS :
									  X86_TRAP_GP, 0);
			return false;
		}
		if (!vmm_walk(vcpu, gva, VMM_ACCESS_READ, &walk, false)) {
			vmm_queue_page_fault(vcpu, gva, walk.error);
			return false;
		}
		n = min_t(unsigned int, sizeof(*descriptor) - done,
			  PAGE_SIZE - offset_in_page(gva));
		/* All-ones, as from a bus with nobody there. */
		if (vmm_guest_read(vcpu->vm, walk.gpa, (u8 *)descriptor + done, n))
			memset((u8 *)descriptor + done, 0xff, n);
	}
	return true;
}

/* "Operation" and the exceptions of the instruction */
static bool invpcid_valid(struct vmm_vcpu *vcpu, u64 type, const struct descriptor *descriptor)
{
	if (type >= INVPCID_NR_TYPE || (descriptor->pcid & ~DESCRIPTOR_PCID))
		return false;
	if (type <= INVPCID_CONTEXT && descriptor->pcid && !(vcpu->ctrl.cr4 & X86_CR4_PCIDE))
		return false;
	return type != INVPCID_ADDRESS || vmm_canonical(vcpu, descriptor->gva);
}

static u64 pcid_in_use(const struct vmm_ctrl *ctrl)
{
	return ctrl->cr4 & X86_CR4_PCIDE ? ctrl->cr3 & DESCRIPTOR_PCID : 0;
}

static bool invpcid(struct vmm_vcpu *vcpu, const struct insn *insn)
{
	struct descriptor descriptor;
	u64 type = vcpu->regs.gpr[insn->reg];

	vmm_pull(vcpu, VMM_STATE_CTRL | VMM_STATE_CS);
	if (!vmm_cpuid_has_invpcid(vcpu)) {
		vmm_queue_exception(vcpu, X86_TRAP_UD);
		return false;
	}
	if (insn->mode != INSN_MODE_64)
		type = (u32)type;
	if (vmm_cpl(vcpu)) {
		vmm_queue_exception_error(vcpu, X86_TRAP_GP, 0);
		return false;
	}
	if (!read_descriptor(vcpu, insn, &descriptor))
		return false;
	if (!invpcid_valid(vcpu, type, &descriptor)) {
		vmm_queue_exception_error(vcpu, X86_TRAP_GP, 0);
		return false;
	}
	if (type == INVPCID_ADDRESS && descriptor.pcid == pcid_in_use(&vcpu->ctrl))
		vmm_mmu_invlpg(vcpu, descriptor.gva);
	else
		vmm_mmu_reload(vcpu, false);
	return true;
}

bool vmm_invalidate(struct vmm_vcpu *vcpu, const struct insn *insn)
{
	if (insn->class == INSN_INVPCID)
		return invpcid(vcpu, insn);
	vmm_mmu_invlpg(vcpu, operand(vcpu, insn));
	return true;
}
