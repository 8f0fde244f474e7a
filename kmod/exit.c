// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an exit leads to: one table of handlers for those that may take their
 * time, one for the few that are finished with IRQs off and the guest's state
 * still in the CPU. A handler says ENTER (go on in the guest) or USER (the run
 * page is filled). What a guest does never warns on the host: it is an exception
 * in the guest, or an exit to its process.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/sched.h>
#include <asm/fpu/xcr.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <uapi/asm/debugreg.h>

#include "vmm.h"

/* ---- instructions ---- */

void vmm_skip(struct vmm_vcpu *vcpu, unsigned int length)
{
	vmm_skip_hit(vcpu, length, 0);
}

void vmm_skip_hit(struct vmm_vcpu *vcpu, unsigned int length, u64 hits)
{
	bool trap = (vcpu->regs.rflags & X86_EFLAGS_TF) && !vcpu->step_armed;

	hits |= vmm_op(advance_rip)(vcpu, length);
	if (unlikely(trap || hits))
		vmm_queue_debug(vcpu, hits | (trap ? DR_STEP : 0));
}

/* Bytes at RIP and the mode they are decoded in. */
static unsigned int fetch(struct vmm_vcpu *vcpu, u8 *bytes, enum insn_mode *mode, bool atomic)
{
	unsigned int n;

	vmm_pull(vcpu, VMM_STATE_CTRL | VMM_STATE_CS);
	*mode = vmm_insn_mode(vcpu);
	if (atomic)
		return vmm_fetch(vcpu, bytes, true);
	/* The page has just been executed: most often the short way will do. */
	local_irq_disable();
	n = vmm_fetch(vcpu, bytes, true);
	local_irq_enable();
	return n == INSN_MAX_LENGTH ? n : vmm_fetch(vcpu, bytes, false);
}

/* Once for an exit: a fast handler that gives up leaves the length to the other. */
static noinline int find_length(struct vmm_vcpu *vcpu, enum insn_class class, bool atomic)
{
	u8 bytes[INSN_MAX_LENGTH] __uninitialized;
	enum insn_mode mode;
	unsigned int n;
	int length;

	n = fetch(vcpu, bytes, &mode, atomic);
	length = insn_length_of(bytes, n, mode, class);
	if (length > 0)
		vcpu->exit.length = length;
	return length;
}

/*
 * Length of the instruction that exited, which is one of @class; negative if
 * it is not, or not any more: then the guest is entered again to run what is
 * there now.
 */
static inline int length_of(struct vmm_vcpu *vcpu, enum insn_class class, bool atomic)
{
	return vcpu->exit.length ? vcpu->exit.length : find_length(vcpu, class, atomic);
}

static enum vmm_next skip_class(struct vmm_vcpu *vcpu, enum insn_class class)
{
	int length = length_of(vcpu, class, false);

	if (length > 0)
		vmm_skip(vcpu, length);
	return VMM_ENTER;
}

static enum vmm_next raise_gp(struct vmm_vcpu *vcpu)
{
	vmm_queue_exception_error(vcpu, X86_TRAP_GP, 0);
	return VMM_ENTER;
}

/* ---- to the process ---- */

static enum vmm_next to_user(struct vmm_vcpu *vcpu, u32 reason)
{
	vcpu->run->exit_reason = reason;
	return VMM_USER;
}

static enum vmm_next internal_error(struct vmm_vcpu *vcpu, u32 code, u64 info)
{
	vcpu->run->internal = (struct vmm_exit_internal) {
		.code = code,
		.info = { info },
	};
	return to_user(vcpu, VMM_EXIT_INTERNAL);
}

static enum vmm_next insn_to_user(struct vmm_vcpu *vcpu, u32 cause, gpa_t gpa, u32 access,
				  const u8 *bytes, unsigned int length)
{
	struct vmm_exit_insn insn = {
		.cause = cause,
		.access = access,
		.gpa = gpa,
		.length = length,
	};

	memcpy(insn.bytes, bytes, length);
	vcpu->run->insn = insn;
	vcpu->emulated = true;
	return to_user(vcpu, VMM_EXIT_INSN);
}

static enum vmm_next memory_to_user(struct vmm_vcpu *vcpu, gpa_t gpa, u32 access, int error)
{
	vcpu->run->memory = (struct vmm_exit_memory) {
		.gpa = gpa,
		.access = access,
		.error = -error,
	};
	return to_user(vcpu, VMM_EXIT_MEMORY);
}

/* ---- handlers ---- */

static enum vmm_next exit_nothing(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	return VMM_ENTER;
}

static enum vmm_next exit_cpuid(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	int length = length_of(vcpu, INSN_CPUID, false);

	if (length > 0) {
		vmm_cpuid_exec(vcpu);
		vmm_skip(vcpu, length);
	}
	return VMM_ENTER;
}

static enum vmm_next exit_hlt(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	int length = length_of(vcpu, INSN_HLT, false);

	if (length > 0) {
		vmm_skip(vcpu, length);
		WRITE_ONCE(vcpu->mp_state, VMM_MP_HALTED);
	}
	return VMM_ENTER;
}

/* The guest wrote to its APIC: does the process have to know? */
static enum vmm_next after_apic_write(struct vmm_vcpu *vcpu)
{
	u8 vector = vmm_apic_take_eoi(vcpu);

	if (likely(!vector))
		return VMM_ENTER;
	vcpu->run->eoi = (struct vmm_exit_eoi) { .vector = vector };
	return to_user(vcpu, VMM_EXIT_EOI);
}

static enum vmm_next exit_msr_read(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	int length = length_of(vcpu, INSN_RDMSR, false);
	u64 value;

	if (length <= 0)
		return VMM_ENTER;
	if (vmm_msr_read(vcpu, vcpu->regs.rcx, VMM_ORIGIN_GUEST, &value))
		return raise_gp(vcpu);
	vcpu->regs.rax = lower_32_bits(value);
	vcpu->regs.rdx = upper_32_bits(value);
	vmm_skip(vcpu, length);
	return VMM_ENTER;
}

static u64 msr_operand(const struct vmm_vcpu *vcpu)
{
	return (u32)vcpu->regs.rax | vcpu->regs.rdx << 32;
}

static enum vmm_next exit_msr_write(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	int length = length_of(vcpu, INSN_WRMSR, false);

	if (length <= 0)
		return VMM_ENTER;
	if (vmm_msr_write(vcpu, vcpu->regs.rcx, VMM_ORIGIN_GUEST, msr_operand(vcpu)))
		return raise_gp(vcpu);
	vmm_skip(vcpu, length);
	return after_apic_write(vcpu);
}

static enum vmm_next exit_hypercall(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	/* Both vendors' instructions are three bytes; this one is the CPU's own. */
	int length = length_of(vcpu, vmm_ops->hypercall, false);

	if (length > 0) {
		vmm_skip(vcpu, length);
		vmm_pv_hypercall(vcpu);
	}
	return VMM_ENTER;
}

static enum vmm_next exit_apic(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	vmm_apic_finish(vcpu);
	return after_apic_write(vcpu);
}

static enum vmm_next exit_xsetbv(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	int length = length_of(vcpu, INSN_XSETBV, false);

	if (length <= 0)
		return VMM_ENTER;
	vmm_pull(vcpu, VMM_STATE_CTRL | VMM_STATE_CS);
	if (!(vcpu->ctrl.cr4 & X86_CR4_OSXSAVE)) {
		vmm_queue_exception(vcpu, X86_TRAP_UD);
		return VMM_ENTER;
	}
	if (vmm_cpl(vcpu) || (u32)vcpu->regs.rcx != XCR_XFEATURE_ENABLED_MASK ||
	    vmm_set_xcr0(vcpu, msr_operand(vcpu)))
		return raise_gp(vcpu);
	vmm_skip(vcpu, length);
	return VMM_ENTER;
}

static enum vmm_next exit_wbinvd(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	int length = length_of(vcpu, INSN_WBINVD, false);

	if (length <= 0)
		length = length_of(vcpu, INSN_INVD, false);
	if (length > 0)
		vmm_skip(vcpu, length);
	return VMM_ENTER;
}

static enum vmm_next exit_pause(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	vmm_pv_spin(vcpu);
	return skip_class(vcpu, INSN_PAUSE);
}

static enum vmm_next exit_rdpmc(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	return raise_gp(vcpu);
}

static enum vmm_next exit_undefined(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	vmm_queue_exception(vcpu, X86_TRAP_UD);
	return VMM_ENTER;
}

/*
 * The extension is on while a guest runs, so its instructions raise #GP instead
 * of #UD at CPL 3; the guest, which has no such extension, is told #UD.
 */
static bool gp_hides_undefined(struct vmm_vcpu *vcpu)
{
	u8 bytes[INSN_MAX_LENGTH];
	enum insn_mode mode;
	struct insn insn;
	unsigned int n;

	n = fetch(vcpu, bytes, &mode, false);
	return !insn_decode(bytes, n, mode, &insn) && insn.class == INSN_VIRT;
}

/*
 * The other vendor's hypercall instruction is #UD on this CPU, and guests of a host that
 * shows KVM's signature use either. What is at RIP is looked at once; anything else that
 * may be there by now is the #UD it was.
 */
static bool ud_is_hypercall(struct vmm_vcpu *vcpu)
{
	enum insn_class foreign = vmm_ops->hypercall == INSN_VMCALL ? INSN_VMMCALL : INSN_VMCALL;
	u8 bytes[INSN_MAX_LENGTH];
	enum insn_mode mode;
	unsigned int n;
	int length;

	if (vcpu->event.type != VMM_EVENT_NONE)
		return false;
	n = fetch(vcpu, bytes, &mode, false);
	length = insn_length_of(bytes, n, mode, foreign);
	if (length <= 0)
		return false;
	/* The exit has it as a fault pushes it; an instruction that is done clears it. */
	vcpu->regs.rflags &= ~(u64)X86_EFLAGS_RF;
	vmm_skip(vcpu, length);
	vmm_pv_hypercall(vcpu);
	return true;
}

static enum vmm_next memory_outcome(struct vmm_vcpu *vcpu, struct vmm_exit *exit,
				    enum vmm_fault outcome);

static enum vmm_next exit_exception(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	u8 vector = exit->exception.vector;

	if (unlikely(vcpu->guest_debug.flags) && vmm_debug_takes(vcpu, exit))
		return VMM_USER;
	if (vector == X86_TRAP_PF && !vmm_vcpu_nested(vcpu))
		return memory_outcome(vcpu, exit, vmm_shadow_fault(vcpu, exit));
	if (vector == X86_TRAP_GP && !exit->exception.error && gp_hides_undefined(vcpu))
		return exit_undefined(vcpu, exit);
	if (vector == X86_TRAP_UD && ud_is_hypercall(vcpu))
		return VMM_ENTER;
	if (vector == X86_TRAP_DB)
		vmm_queue_debug(vcpu, exit->exception.info);
	else if (vector == X86_TRAP_PF)
		vmm_queue_page_fault(vcpu, exit->exception.info, exit->exception.error);
	else if (exit->exception.has_error)
		vmm_queue_exception_error(vcpu, vector, exit->exception.error);
	else
		vmm_queue_exception(vcpu, vector);
	return VMM_ENTER;
}

static u64 read_cr(struct vmm_vcpu *vcpu, u8 cr)
{
	vmm_pull(vcpu, VMM_STATE_CTRL);
	switch (cr) {
	case 0:
		return vcpu->ctrl.cr0;
	case 3:
		return vcpu->ctrl.cr3;
	case 4:
		return vcpu->ctrl.cr4;
	default:
		return vmm_apic_get_cr8(vcpu);
	}
}

static int write_cr(struct vmm_vcpu *vcpu, u8 cr, u64 value)
{
	switch (cr) {
	case 0:
		return vmm_set_cr0(vcpu, value);
	case 3:
		return vmm_set_cr3(vcpu, value);
	case 4:
		return vmm_set_cr4(vcpu, value);
	default:
		if (value > 15)
			return -EINVAL;
		vmm_apic_set_cr8(vcpu, value);
		return 0;
	}
}

/* LMSW: bits 3:0 of CR0, of which PE can be set but not cleared. */
static u64 lmsw_value(struct vmm_vcpu *vcpu, u64 operand)
{
	u64 cr0 = read_cr(vcpu, 0);
	u64 low = X86_CR0_MP | X86_CR0_EM | X86_CR0_TS;

	return (cr0 & ~low) | (operand & (low | X86_CR0_PE));
}

static enum vmm_next finish_cr_write(struct vmm_vcpu *vcpu, u8 cr, u64 value, u8 length)
{
	if (write_cr(vcpu, cr, value))
		return raise_gp(vcpu);
	vmm_skip(vcpu, length);
	return VMM_ENTER;
}

static void write_gpr(struct vmm_vcpu *vcpu, u8 gpr, u64 value, u8 size)
{
	u64 *reg = &vcpu->regs.gpr[gpr];

	switch (size) {
	case 8:
		*reg = value;
		break;
	case 4:
		*reg = (u32)value;
		break;
	case 2:
		*reg = (*reg & ~0xffffULL) | (value & 0xffff);
		break;
	}
}

static enum vmm_next exit_cr(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	u8 bytes[INSN_MAX_LENGTH];
	enum insn_mode mode;
	struct insn insn;
	unsigned int n;
	u64 value;

	n = fetch(vcpu, bytes, &mode, false);
	if (insn_decode(bytes, n, mode, &insn))
		return VMM_ENTER;
	if (insn.memory && (insn.class == INSN_LMSW || insn.class == INSN_SMSW))
		return insn_to_user(vcpu, VMM_INSN_CR, 0, 0, bytes, n);
	switch (insn.class) {
	case INSN_MOV_TO_CR:
		/* CR2 is not intercepted: the code is another one by now. */
		if (insn.reg == 2)
			return VMM_ENTER;
		value = vcpu->regs.gpr[insn.rm];
		if (mode != INSN_MODE_64)
			value = (u32)value;
		return finish_cr_write(vcpu, insn.reg, value, insn.length);
	case INSN_MOV_FROM_CR:
		if (insn.reg == 2)
			return VMM_ENTER;
		write_gpr(vcpu, insn.rm, read_cr(vcpu, insn.reg), mode == INSN_MODE_64 ? 8 : 4);
		break;
	case INSN_CLTS:
		return finish_cr_write(vcpu, 0, read_cr(vcpu, 0) & ~(u64)X86_CR0_TS, insn.length);
	case INSN_LMSW:
		return finish_cr_write(vcpu, 0, lmsw_value(vcpu, vcpu->regs.gpr[insn.rm]),
				       insn.length);
	case INSN_SMSW:
		write_gpr(vcpu, insn.rm, read_cr(vcpu, 0), insn.opsize);
		break;
	default:
		return VMM_ENTER;
	}
	vmm_skip(vcpu, insn.length);
	return VMM_ENTER;
}

static enum vmm_next exit_invlpg(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	u8 bytes[INSN_MAX_LENGTH];
	enum insn_mode mode;
	struct insn insn;
	unsigned int n;

	n = fetch(vcpu, bytes, &mode, false);
	if (insn_decode(bytes, n, mode, &insn) ||
	    (insn.class != INSN_INVLPG && insn.class != INSN_INVPCID))
		return VMM_ENTER;
	if (vmm_invalidate(vcpu, &insn))
		vmm_skip(vcpu, insn.length);
	return VMM_ENTER;
}

static enum vmm_next exit_dr(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	u8 bytes[INSN_MAX_LENGTH];
	enum insn_mode mode;
	struct insn insn;
	unsigned int n;
	u64 value;

	n = fetch(vcpu, bytes, &mode, false);
	if (insn_decode(bytes, n, mode, &insn) ||
	    (insn.class != INSN_MOV_TO_DR && insn.class != INSN_MOV_FROM_DR))
		return VMM_ENTER;
	/* Some CPUs exit before they look for these faults, others after. */
	if ((insn.reg == 4 || insn.reg == 5) && (vcpu->ctrl.cr4 & X86_CR4_DE))
		return exit_undefined(vcpu, exit);
	if (vmm_cpl(vcpu))
		return raise_gp(vcpu);
	vmm_pull(vcpu, VMM_STATE_DEBUG);
	if (vcpu->debug.dr7 & DR7_GENERAL_DETECT) {
		vmm_queue_debug(vcpu, DR6_BD);
		return VMM_ENTER;
	}
	if (insn.class == INSN_MOV_TO_DR) {
		value = vcpu->regs.gpr[insn.rm];
		if (mode != INSN_MODE_64)
			value = (u32)value;
		if (vmm_set_dr(vcpu, insn.reg, value))
			return raise_gp(vcpu);
	} else {
		write_gpr(vcpu, insn.rm, vmm_get_dr(vcpu, insn.reg), mode == INSN_MODE_64 ? 8 : 4);
	}
	vmm_skip(vcpu, insn.length);
	return VMM_ENTER;
}

/* ---- ports ---- */

static u32 pio_mask(u8 size)
{
	return size == 4 ? ~0U : (1U << (size * 8)) - 1;
}

static u64 port_hits(struct vmm_vcpu *vcpu, const struct vmm_exit *exit)
{
	return vmm_debug_hits(vcpu, VMM_WATCHED_PORT, exit->pio.port, exit->pio.size);
}

/* Doorbells were fast_pio()'s. */
static enum vmm_next exit_pio(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	bool write = exit->pio.write;
	u32 data = write ? vcpu->regs.rax & pio_mask(exit->pio.size) : 0;
	int length = length_of(vcpu, write ? INSN_OUT : INSN_IN, false);

	if (length <= 0)
		return VMM_ENTER;
	vmm_skip_hit(vcpu, length, port_hits(vcpu, exit));
	vcpu->run->pio = (struct vmm_exit_pio) {
		.port = exit->pio.port,
		.size = exit->pio.size,
		.write = write,
		.data = data,
	};
	if (!write) {
		vcpu->pending = VMM_PENDING_PIO;
		vcpu->pending_size = exit->pio.size;
	}
	return to_user(vcpu, VMM_EXIT_PIO);
}

static void complete_pio(struct vmm_vcpu *vcpu)
{
	u32 data = READ_ONCE(vcpu->run->pio.data);
	u64 *rax = &vcpu->regs.rax;

	switch (vcpu->pending_size) {
	case 1:
		*rax = (*rax & ~0xffULL) | (u8)data;
		break;
	case 2:
		*rax = (*rax & ~0xffffULL) | (u16)data;
		break;
	case 4:
		*rax = data;
		break;
	}
}

static enum vmm_next exit_pio_string(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	u8 bytes[INSN_MAX_LENGTH];
	enum insn_mode mode;
	unsigned int n;

	n = fetch(vcpu, bytes, &mode, false);
	return insn_to_user(vcpu, VMM_INSN_PIO, 0, 0, bytes, n);
}

/* ---- memory ---- */

static void complete_load(struct vmm_vcpu *vcpu, const struct insn *insn, u64 data)
{
	u64 *reg = &vcpu->regs.gpr[insn->reg];

	*reg = insn_load_result(insn, *reg, data);
}

static enum vmm_next mmio_store(struct vmm_vcpu *vcpu, gpa_t gpa, const struct insn *insn)
{
	u64 data = insn_store_value(insn, vcpu->regs.gpr);

	vmm_skip_hit(vcpu, insn->length, vmm_mmio_hits(vcpu, insn, VMM_WATCHED_WRITE));
	if (vmm_apic_claims(vcpu, gpa)) {
		vmm_apic_mmio_write(vcpu, gpa & ~PAGE_MASK, insn->size, data);
		return after_apic_write(vcpu);
	}
	if (vmm_ioeventfd_signal(vcpu->vm, false, gpa, insn->size, data))
		return VMM_ENTER;
	vcpu->run->mmio = (struct vmm_exit_mmio) {
		.gpa = gpa,
		.data = data,
		.size = insn->size,
		.write = 1,
	};
	return to_user(vcpu, VMM_EXIT_MMIO);
}

static enum vmm_next mmio_load(struct vmm_vcpu *vcpu, gpa_t gpa, const struct insn *insn)
{
	u64 data;

	vmm_skip_hit(vcpu, insn->length, vmm_mmio_hits(vcpu, insn, VMM_WATCHED_READ));
	if (vmm_apic_claims(vcpu, gpa)) {
		vmm_apic_mmio_read(vcpu, gpa & ~PAGE_MASK, insn->size, &data);
		complete_load(vcpu, insn, data);
		return VMM_ENTER;
	}
	vcpu->run->mmio = (struct vmm_exit_mmio) {
		.gpa = gpa,
		.size = insn->size,
	};
	vcpu->pending = VMM_PENDING_MMIO;
	vcpu->pending_insn = *insn;
	return to_user(vcpu, VMM_EXIT_MMIO);
}

static enum vmm_next mmio(struct vmm_vcpu *vcpu, gpa_t gpa, u32 access)
{
	u8 bytes[INSN_MAX_LENGTH];
	enum insn_mode mode;
	struct insn insn;
	unsigned int n;

	n = fetch(vcpu, bytes, &mode, false);
	if (!n)
		return VMM_ENTER;
	/* Sizes are known of loads and stores only. */
	if (!insn_decode(bytes, n, mode, &insn) &&
	    (insn_is_store(&insn) || insn_is_load(&insn)) &&
	    vmm_mmio_covers(vcpu, &insn, gpa)) {
		if (insn_is_store(&insn) && (access & VMM_ACCESS_WRITE))
			return mmio_store(vcpu, gpa, &insn);
		if (insn_is_load(&insn) && !(access & VMM_ACCESS_WRITE))
			return mmio_load(vcpu, gpa, &insn);
	}
	return insn_to_user(vcpu, VMM_INSN_MMIO, gpa, access, bytes, n);
}

/* The process writes, perhaps to one of the guest's tables: those that are in sync, too. */
static enum vmm_next emulated_write(struct vmm_vcpu *vcpu, gpa_t gpa, u32 access)
{
	u8 bytes[INSN_MAX_LENGTH];
	enum insn_mode mode;
	unsigned int n;

	n = fetch(vcpu, bytes, &mode, false);
	if (!n)
		return VMM_ENTER;
	vmm_mmu_reload(vcpu, true);
	return insn_to_user(vcpu, VMM_INSN_WRITE, gpa, access, bytes, n);
}

static enum vmm_next memory_outcome(struct vmm_vcpu *vcpu, struct vmm_exit *exit,
				    enum vmm_fault outcome)
{
	gpa_t gpa = exit->memory.gpa;
	u32 access = exit->memory.access;

	switch (outcome) {
	case VMM_FAULT_FIXED:
	case VMM_FAULT_RETRY:
	case VMM_FAULT_GUEST:
		return VMM_ENTER;
	case VMM_FAULT_ERROR:
		return memory_to_user(vcpu, gpa, access, vcpu->fault_errno);
	case VMM_FAULT_EMULATE:
	case VMM_FAULT_MMIO:
		break;
	}
	/* Code, page tables, descriptor tables and the stack of a handler have to be memory. */
	if (exit->memory.walk || (access & VMM_ACCESS_EXEC) || exit->delivering)
		return memory_to_user(vcpu, gpa, access, -EFAULT);
	if (outcome == VMM_FAULT_EMULATE)
		return emulated_write(vcpu, gpa, access);
	return mmio(vcpu, gpa, access);
}

static enum vmm_next exit_memory(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	return memory_outcome(vcpu, exit,
			      vmm_mmu_fault(vcpu, exit->memory.gpa, exit->memory.access));
}

/* ---- ends ---- */

/*
 * Instructions that need what only the kernel has, in a mode that the CPU cannot
 * run: as if they had exited. The rest is the process's.
 */
static enum vmm_next (*const real_mode_handlers[INSN_NR_CLASS])(struct vmm_vcpu *,
								 struct vmm_exit *) = {
	[INSN_CPUID]		= exit_cpuid,
	[INSN_HLT]		= exit_hlt,
	[INSN_INVD]		= exit_wbinvd,
	[INSN_MONITOR]		= exit_undefined,
	[INSN_MOV_FROM_DR]	= exit_dr,
	[INSN_MOV_TO_DR]	= exit_dr,
	[INSN_MWAIT]		= exit_undefined,
	[INSN_RDMSR]		= exit_msr_read,
	[INSN_RDPMC]		= exit_rdpmc,
	[INSN_RSM]		= exit_undefined,
	[INSN_VIRT]		= exit_undefined,
	[INSN_VMCALL]		= exit_hypercall,
	[INSN_VMMCALL]		= exit_hypercall,
	[INSN_WBINVD]		= exit_wbinvd,
	[INSN_WRMSR]		= exit_msr_write,
	[INSN_XSETBV]		= exit_xsetbv,
};

static enum vmm_next exit_real_mode(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	u8 bytes[INSN_MAX_LENGTH];
	enum insn_mode mode;
	struct insn insn;
	unsigned int n;

	n = fetch(vcpu, bytes, &mode, false);
	/* An event comes before the instruction; who may not execute it gets a #GP. */
	if (vcpu->event.type == VMM_EVENT_NONE && !insn_decode(bytes, n, mode, &insn) &&
	    real_mode_handlers[insn.class] && !(insn.prefixes & INSN_LOCK) &&
	    (!vmm_cpl(vcpu) || insn.class == INSN_CPUID)) {
		exit->length = insn.length;
		return real_mode_handlers[insn.class](vcpu, exit);
	}
	return insn_to_user(vcpu, VMM_INSN_REAL_MODE, 0, 0, bytes, n);
}

static enum vmm_next exit_shutdown(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	return to_user(vcpu, VMM_EXIT_SHUTDOWN);
}

static enum vmm_next exit_task_switch(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	return internal_error(vcpu, VMM_INTERNAL_TASK_SWITCH, 0);
}

static enum vmm_next exit_fail_entry(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	struct vmm_exit_fail_entry fail = { .hardware_reason = exit->raw.reason };

	BUILD_BUG_ON(sizeof(fail.info) != sizeof(exit->raw.info));
	memcpy(fail.info, exit->raw.info, sizeof(fail.info));
	vmm_ops->dump(vcpu);
	vcpu->run->fail_entry = fail;
	return to_user(vcpu, VMM_EXIT_FAIL_ENTRY);
}

static enum vmm_next exit_unknown(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	pr_info_once("vCPU %u: unknown hardware exit %#llx\n", vcpu->id, exit->raw.reason);
	vmm_ops->dump(vcpu);
	return internal_error(vcpu, VMM_INTERNAL_UNKNOWN_EXIT, exit->raw.reason);
}

static enum vmm_next (*const handlers[VMM_X_NR])(struct vmm_vcpu *, struct vmm_exit *) = {
	[VMM_X_INTR]		= exit_nothing,
	[VMM_X_NMI]		= exit_nothing,
	[VMM_X_EXCEPTION]	= exit_exception,
	[VMM_X_INTR_WINDOW]	= exit_nothing,
	[VMM_X_NMI_WINDOW]	= exit_nothing,
	[VMM_X_CPUID]		= exit_cpuid,
	[VMM_X_HLT]		= exit_hlt,
	[VMM_X_PIO]		= exit_pio,
	[VMM_X_PIO_STRING]	= exit_pio_string,
	[VMM_X_MSR_READ]	= exit_msr_read,
	[VMM_X_MSR_WRITE]	= exit_msr_write,
	[VMM_X_CR]		= exit_cr,
	[VMM_X_INVLPG]		= exit_invlpg,
	[VMM_X_DR]		= exit_dr,
	[VMM_X_XSETBV]		= exit_xsetbv,
	[VMM_X_HYPERCALL]	= exit_hypercall,
	[VMM_X_MEMORY]		= exit_memory,
	[VMM_X_WBINVD]		= exit_wbinvd,
	[VMM_X_PAUSE]		= exit_pause,
	[VMM_X_RDPMC]		= exit_rdpmc,
	[VMM_X_UNDEFINED]	= exit_undefined,
	[VMM_X_TASK_SWITCH]	= exit_task_switch,
	[VMM_X_REAL_MODE]	= exit_real_mode,
	[VMM_X_SHUTDOWN]	= exit_shutdown,
	[VMM_X_FAIL_ENTRY]	= exit_fail_entry,
	[VMM_X_UNKNOWN]		= exit_unknown,
	[VMM_X_APIC]		= exit_apic,
};

enum vmm_next vmm_exit_handle(struct vmm_vcpu *vcpu)
{
	struct vmm_exit *exit = &vcpu->exit;
	enum vmm_next next;

	exit->delivering = vmm_op(event_interrupted)(vcpu, &vcpu->event);
	next = handlers[exit->kind](vcpu, exit);
	if (unlikely(vcpu->triple_fault)) {
		vcpu->triple_fault = false;
		vcpu->event.type = VMM_EVENT_NONE;
		return exit_shutdown(vcpu, exit);
	}
	return next;
}

int vmm_exit_complete(struct vmm_vcpu *vcpu)
{
	enum vmm_pending pending = vcpu->pending;

	vcpu->pending = VMM_PENDING_NONE;
	if (pending == VMM_PENDING_PIO)
		complete_pio(vcpu);
	else if (pending == VMM_PENDING_MMIO)
		complete_load(vcpu, &vcpu->pending_insn, READ_ONCE(vcpu->run->mmio.data));
	return 0;
}

/* ---- the fast ones ---- */

static bool fast_cpuid(struct vmm_vcpu *vcpu)
{
	int length = length_of(vcpu, INSN_CPUID, true);

	if (unlikely(length <= 0))
		return false;
	vmm_cpuid_exec(vcpu);
	vmm_skip(vcpu, length);
	return true;
}

static bool fast_msr_read(struct vmm_vcpu *vcpu)
{
	int length = length_of(vcpu, INSN_RDMSR, true);
	u64 value;

	if (length <= 0 || vmm_msr_read_fast(vcpu, vcpu->regs.rcx, &value))
		return false;
	vcpu->regs.rax = lower_32_bits(value);
	vcpu->regs.rdx = upper_32_bits(value);
	vmm_skip(vcpu, length);
	return true;
}

static bool fast_msr_write(struct vmm_vcpu *vcpu)
{
	int length = length_of(vcpu, INSN_WRMSR, true);

	if (length <= 0 || vmm_msr_write_fast(vcpu, vcpu->regs.rcx, msr_operand(vcpu)))
		return false;
	vmm_skip(vcpu, length);
	return true;
}

static bool fast_hypercall(struct vmm_vcpu *vcpu)
{
	int length = length_of(vcpu, vmm_ops->hypercall, true);

	if (length <= 0 || vmm_pv_hypercall_sleeps(vcpu))
		return false;
	vmm_skip(vcpu, length);
	vmm_pv_hypercall(vcpu);
	return true;
}

/* A doorbell. The length is known, as every CPU tells it for this exit. */
static bool fast_pio(struct vmm_vcpu *vcpu)
{
	const struct vmm_exit *exit = &vcpu->exit;
	u32 data = vcpu->regs.rax & pio_mask(exit->pio.size);

	if (!exit->pio.write || !exit->length ||
	    !vmm_ioeventfd_signal(vcpu->vm, true, exit->pio.port, exit->pio.size, data))
		return false;
	vmm_skip_hit(vcpu, exit->length, port_hits(vcpu, exit));
	return true;
}

/* Nothing but a window: the next event is delivered at once, if it is not the process's. */
static bool fast_window(struct vmm_vcpu *vcpu)
{
	return !vcpu->wants_window;
}

static bool (*const fast_handlers[VMM_X_NR])(struct vmm_vcpu *) = {
	[VMM_X_INTR_WINDOW]	= fast_window,
	[VMM_X_CPUID]		= fast_cpuid,
	[VMM_X_PIO]		= fast_pio,
	[VMM_X_MSR_READ]	= fast_msr_read,
	[VMM_X_MSR_WRITE]	= fast_msr_write,
	[VMM_X_HYPERCALL]	= fast_hypercall,
	[VMM_X_MEMORY]		= vmm_mmio_doorbell,
};

bool vmm_exit_fast(struct vmm_vcpu *vcpu)
{
	bool (*handler)(struct vmm_vcpu *) = fast_handlers[vcpu->exit.kind];

	return handler && handler(vcpu);
}
