// SPDX-License-Identifier: GPL-2.0-only
/*
 * Accesses to addresses where no memory is: what exit.c and the short way of a
 * doorbell both need to know of the instruction.
 */
#include "decode.h"
#include "vmm.h"

/*
 * Is @gpa the whole of the access that @insn makes? Not if it crosses a page:
 * then only the process can do it, part by part.
 */
bool vmm_mmio_covers(struct vmm_vcpu *vcpu, const struct insn *insn, gpa_t gpa)
{
	unsigned int offset = gpa & ~PAGE_MASK;
	gva_t gva;

	if (offset + insn->size > PAGE_SIZE)
		return false;
	gva = insn_linear_offset(insn, vcpu->regs.gpr, vcpu->regs.rip);
	if (insn->segment != INSN_FLAT) {
		vmm_pull(vcpu, VMM_STATE_SEGS);
		gva += vcpu->segs.seg[insn->segment].base;
	}
	return (gva & ~PAGE_MASK) == offset;
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
	vmm_skip(vcpu, insn.length);
	return true;
}
