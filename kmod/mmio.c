// SPDX-License-Identifier: GPL-2.0-only
/*
 * Accesses to addresses where no memory is: what exit.c and the short way of a
 * doorbell both need to know of the instruction.
 */
#include "decode.h"
#include "vmm.h"

static gva_t linear_address(struct vmm_vcpu *vcpu, const struct insn *insn)
{
	gva_t gva = insn_linear_offset(insn, vcpu->regs.gpr, vcpu->regs.rip);

	if (insn->segment != INSN_FLAT) {
		vmm_pull(vcpu, VMM_STATE_SEGS);
		gva += vcpu->segs.seg[insn->segment].base;
	}
	return vmm_insn_mode(vcpu) == INSN_MODE_64 ? gva : (u32)gva;
}

u64 vmm_mmio_hits(struct vmm_vcpu *vcpu, const struct insn *insn, enum vmm_watched access)
{
	if (likely(!(vcpu->debug.dr7 & DR7_ENABLES)))
		return 0;
	return vmm_debug_match(vcpu, access, linear_address(vcpu, insn), insn->size);
}

/*
 * Is @gpa the whole of the access that @insn makes? Not if it crosses a page:
 * then only the process can do it, part by part.
 */
bool vmm_mmio_covers(struct vmm_vcpu *vcpu, const struct insn *insn, gpa_t gpa)
{
	unsigned int offset = gpa & ~PAGE_MASK;

	return offset + insn->size <= PAGE_SIZE &&
	       (linear_address(vcpu, insn) & ~PAGE_MASK) == offset;
}

/*
 * The instruction is decoded even for a doorbell that takes any value: no CPU promises
 * its length for this exit ("VM-exit instruction length", which leaves EPT violations
 * and misconfigurations out).
 */
bool vmm_mmio_doorbell(struct vmm_vcpu *vcpu)
{
	const struct vmm_exit *exit = &vcpu->exit;
	const gpa_t gpa = exit->memory.gpa;
	u8 bytes[INSN_MAX_LENGTH] __uninitialized;
	struct vmm_memory memory;
	struct insn insn;
	unsigned int n;

	if (!(exit->memory.access & VMM_ACCESS_WRITE) || exit->memory.walk || exit->delivering ||
	    !vmm_ioeventfd_maybe(vcpu->vm, gpa))
		return false;
	/* Memory goes before a doorbell, and so does the APIC's page. */
	if (vmm_slot_find(vcpu->vm, gpa >> PAGE_SHIFT, &memory) || vmm_apic_claims(vcpu, gpa))
		return false;
	vmm_pull(vcpu, VMM_STATE_CTRL | VMM_STATE_CS);
	n = vmm_fetch(vcpu, bytes, true);
	if (insn_decode(bytes, n, vmm_insn_mode(vcpu), &insn) || !insn_is_store(&insn) ||
	    !vmm_mmio_covers(vcpu, &insn, gpa) ||
	    !vmm_ioeventfd_signal(vcpu->vm, false, gpa, insn.size,
				  insn_store_value(&insn, vcpu->regs.gpr)))
		return false;
	vmm_skip_hit(vcpu, insn.length, vmm_mmio_hits(vcpu, &insn, VMM_WATCHED_WRITE));
	return true;
}
