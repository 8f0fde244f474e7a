// SPDX-License-Identifier: GPL-2.0-only
/*
 * A debugger in the process: single steps, breakpoints of its own in place of the guest's,
 * and INT3 as an exit. VMM_SET_GUEST_DEBUG. And the guest's own breakpoints on accesses
 * that the kernel or the process makes for it.
 *
 * A step is a turn with TF set, of one instruction. TF is ours from vmm_step_arm(), which
 * runs with IRQs off before the entry, to vmm_step_end(). What is done for the guest in an
 * exit is done without it, so no trap of ours becomes one of the guest's; and where an
 * event is delivered TF is taken away again, or the frame on the guest's stack would have
 * it: that turn ends by an interrupt that this CPU sends itself, at the first instruction
 * of the handler. So faults exit as well (VMM_STEP_FAULTS), to be delivered that way.
 */
#include <linux/smp.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <uapi/asm/debugreg.h>

#include "vmm.h"

#define DEBUG_FLAGS	(VMM_DEBUG_STEP | VMM_DEBUG_HW | VMM_DEBUG_INT3)

int vmm_set_guest_debug(struct vmm_vcpu *vcpu, const struct vmm_guest_debug *debug)
{
	bool hw = debug->flags & VMM_DEBUG_HW;

	if ((debug->flags & ~DEBUG_FLAGS) || debug->pad ||
	    memchr_inv(debug->pad1, 0, sizeof(debug->pad1)))
		return -EINVAL;
	if (!hw && (debug->dr7 || memchr_inv(debug->dr, 0, sizeof(debug->dr))))
		return -EINVAL;
	/* Enables, kinds and lengths: the rest of DR7 is not a debugger's. */
	if (debug->dr7 & ~(u64)VMM_DEBUG_DR7)
		return -EINVAL;
	/* The guest's, before they are no longer in hardware. */
	vmm_pull(vcpu, VMM_STATE_DEBUG | VMM_STATE_CTRL);
	vmm_apic_hold(vcpu);
	vcpu->guest_debug = *debug;
	vcpu->step_done = false;
	vmm_dirty(vcpu, VMM_STATE_DEBUG | VMM_STATE_APIC);
	vmm_ops->set_intercepts(vcpu);
	return 0;
}

static enum vmm_next report(struct vmm_vcpu *vcpu, u8 vector, u64 dr6)
{
	vcpu->run->debug = (struct vmm_exit_debug) {
		.vector = vector,
		.dr6 = dr6,
	};
	vcpu->run->exit_reason = VMM_EXIT_DEBUG;
	return VMM_USER;
}

bool vmm_debug_takes(struct vmm_vcpu *vcpu, const struct vmm_exit *exit)
{
	const u32 flags = vcpu->guest_debug.flags;
	u64 info = exit->exception.info;

	if (exit->exception.vector == X86_TRAP_BP && (flags & VMM_DEBUG_INT3)) {
		report(vcpu, X86_TRAP_BP, 0);
		return true;
	}
	if (exit->exception.vector != X86_TRAP_DB || !(flags & VMM_DEBUG_HW) ||
	    !(info & DR_TRAP_BITS))
		return false;
	/* Hardware has noted it in its DR6: that starts anew. */
	vmm_pull(vcpu, VMM_STATE_DEBUG);
	vmm_dirty(vcpu, VMM_STATE_DEBUG);
	report(vcpu, X86_TRAP_DB, info & DR_TRAP_BITS);
	return true;
}

/* "Breakpoint Field Recognition": lengths of whole, aligned ranges, by LEN0 to LEN3 */
static bool watches(u64 dr, unsigned int len, u64 address, unsigned int size)
{
	static const u8 lengths[] = { 1, 2, 8, 4 };
	u64 first = dr & ~(u64)(lengths[len] - 1);

	return address - first < lengths[len] || first - address < size;
}

u64 vmm_debug_match(struct vmm_vcpu *vcpu, enum vmm_watched access, u64 address,
		    unsigned int size)
{
	const struct vmm_debug *debug = &vcpu->debug;
	unsigned int i, kind;
	u64 hits = 0;

	/* A debugger's are in place of the guest's. */
	if (vcpu->guest_debug.flags & VMM_DEBUG_HW)
		return 0;
	vmm_pull(vcpu, VMM_STATE_CTRL);
	if (access == VMM_WATCHED_PORT && !(vcpu->ctrl.cr4 & X86_CR4_DE))
		return 0;
	for (i = 0; i < ARRAY_SIZE(debug->dr); i++) {
		if (!(debug->dr7 >> (DR_ENABLE_SIZE * i) & (DR_LOCAL_ENABLE | DR_GLOBAL_ENABLE)))
			continue;
		kind = debug->dr7 >> (DR_CONTROL_SHIFT + DR_CONTROL_SIZE * i) & 0xf;
		if ((kind & 3) != access &&
		    !((kind & 3) == VMM_WATCHED_READ && access == VMM_WATCHED_WRITE))
			continue;
		if (watches(debug->dr[i], kind >> 2, address, size))
			hits |= BIT(i);
	}
	return hits;
}

/* ---- steps ---- */

void vmm_step_begin(struct vmm_vcpu *vcpu)
{
	vmm_pull(vcpu, VMM_STATE_DEBUG | VMM_STATE_EVENTS);
	/* With it the backend drops what the CPU noted of the last step. */
	vmm_dirty(vcpu, VMM_STATE_DEBUG);
	vcpu->step_rip = vcpu->regs.rip;
	vcpu->step_dr6 = vcpu->debug.dr6;
	vcpu->step_done = false;
	/* A trap in a shadow comes one instruction late: the step is the end of it. */
	if (vcpu->shadow) {
		vcpu->shadow = 0;
		vmm_dirty(vcpu, VMM_STATE_EVENTS);
	}
	set_bit(VMM_REQ_STEP, &vcpu->requests);
}

void vmm_step_arm(struct vmm_vcpu *vcpu)
{
	if (!(vcpu->guest_debug.flags & VMM_DEBUG_STEP))
		return;
	/* After one entry the turn is over. */
	set_bit(VMM_REQ_STEPPED, &vcpu->requests);
	vcpu->stepping = true;
	if (vcpu->regs.rflags & X86_EFLAGS_TF)
		return;
	vcpu->step_armed = true;
	vcpu->regs.rflags |= X86_EFLAGS_TF;
}

void vmm_step_disarm(struct vmm_vcpu *vcpu)
{
	if (vcpu->step_armed)
		vcpu->regs.rflags &= ~(u64)X86_EFLAGS_TF;
	vcpu->step_armed = false;
	smp_send_reschedule(smp_processor_id());
}

/* The trap that ends the step, and not one of the guest's own. */
static bool is_our_trap(const struct vmm_vcpu *vcpu)
{
	const struct vmm_exit *exit = &vcpu->exit;

	return vcpu->step_armed && exit->kind == VMM_X_EXCEPTION &&
	       exit->exception.vector == X86_TRAP_DB && (exit->exception.info & DR_STEP);
}

bool vmm_step_end(struct vmm_vcpu *vcpu, bool entered)
{
	bool ours = entered && is_our_trap(vcpu);

	clear_bit(VMM_REQ_STEP, &vcpu->requests);
	clear_bit(VMM_REQ_STEPPED, &vcpu->requests);
	vcpu->stepping = false;
	if (vcpu->step_armed) {
		vcpu->step_armed = false;
		vcpu->regs.rflags &= ~(u64)X86_EFLAGS_TF;
	}
	if (!ours)
		return false;
	vmm_pull(vcpu, VMM_STATE_DEBUG);
	vcpu->debug.dr6 = vcpu->step_dr6;
	vmm_dirty(vcpu, VMM_STATE_DEBUG);
	vcpu->step_done = true;
	return true;
}

enum vmm_next vmm_step_report(struct vmm_vcpu *vcpu)
{
	vcpu->step_done = false;
	return report(vcpu, X86_TRAP_DB, DR_STEP);
}
