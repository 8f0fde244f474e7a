// SPDX-License-Identifier: GPL-2.0-only
/*
 * VM exits in neutral words: one table from exit reason to kind, one small decoder
 * for each kind that has details. Nothing here reads guest memory.
 */
#include <asm/trapnr.h>
#include <uapi/asm/debugreg.h>

#include "vmx.h"

/* "Exit Qualification for I/O Instructions" */
#define IO_SIZE		0x7	/* bytes - 1 */
#define IO_IN		BIT(3)
#define IO_STRING	BIT(4)
#define IO_REP		BIT(5)
#define IO_PORT_SHIFT	16

/* "Exit Qualification for Debug Exceptions" */
#define DEBUG_BD	BIT(13)
#define DEBUG_BITS	(DR_TRAP_BITS | DEBUG_BD | DR_STEP)

/* "Pending Debug Exceptions": one of B0 to B3 was enabled */
#define PENDING_ENABLED	BIT(12)

/* "Exit Qualification": of virtualized EOIs, of APIC writes */
#define APIC_EOI_VECTOR		0xff
#define APIC_WRITE_OFFSET	0xfff

/* Of EPT violations, full logs (pml.c) and VM_EXIT_INTR_INFO: "NMI unblocking due to IRET" */
#define UNBLOCKED_NMI	INTR_INFO_UNBLOCK_NMI

/* "Interruptibility State" */
#define SHADOWS		(GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS)

/* The header leaves them out; "VMX Basic Exit Reasons". */
#define EXIT_REASON_GETSEC	11
#define EXIT_REASON_SEAMCALL	76
#define EXIT_REASON_TDCALL	77

/* Kinds by exit reason; what is not named is VMM_X_UNKNOWN. INSN: its length is known. */
#define KIND(reason, kind) [reason] = (kind) + 1
#define INSN(reason, kind) [reason] = ((kind) + 1) | HAS_LENGTH
#define HAS_LENGTH	0x80

static const u8 kinds[] = {
	KIND(EXIT_REASON_EXCEPTION_NMI, VMM_X_EXCEPTION),
	KIND(EXIT_REASON_EXTERNAL_INTERRUPT, VMM_X_INTR),
	KIND(EXIT_REASON_TRIPLE_FAULT, VMM_X_SHUTDOWN),
	KIND(EXIT_REASON_INIT_SIGNAL, VMM_X_INTR),
	KIND(EXIT_REASON_INTERRUPT_WINDOW, VMM_X_INTR_WINDOW),
	KIND(EXIT_REASON_NMI_WINDOW, VMM_X_NMI_WINDOW),
	KIND(EXIT_REASON_TASK_SWITCH, VMM_X_TASK_SWITCH),
	INSN(EXIT_REASON_CPUID, VMM_X_CPUID),
	INSN(EXIT_REASON_GETSEC, VMM_X_UNDEFINED),
	INSN(EXIT_REASON_HLT, VMM_X_HLT),
	INSN(EXIT_REASON_INVD, VMM_X_WBINVD),
	INSN(EXIT_REASON_INVLPG, VMM_X_INVLPG),
	INSN(EXIT_REASON_RDPMC, VMM_X_RDPMC),
	INSN(EXIT_REASON_VMCALL, VMM_X_HYPERCALL),
	INSN(EXIT_REASON_VMCLEAR, VMM_X_UNDEFINED),
	INSN(EXIT_REASON_VMLAUNCH, VMM_X_UNDEFINED),
	INSN(EXIT_REASON_VMPTRLD, VMM_X_UNDEFINED),
	INSN(EXIT_REASON_VMPTRST, VMM_X_UNDEFINED),
	INSN(EXIT_REASON_VMREAD, VMM_X_UNDEFINED),
	INSN(EXIT_REASON_VMRESUME, VMM_X_UNDEFINED),
	INSN(EXIT_REASON_VMWRITE, VMM_X_UNDEFINED),
	INSN(EXIT_REASON_VMOFF, VMM_X_UNDEFINED),
	INSN(EXIT_REASON_VMON, VMM_X_UNDEFINED),
	INSN(EXIT_REASON_CR_ACCESS, VMM_X_CR),
	INSN(EXIT_REASON_DR_ACCESS, VMM_X_DR),
	INSN(EXIT_REASON_IO_INSTRUCTION, VMM_X_PIO),
	INSN(EXIT_REASON_MSR_READ, VMM_X_MSR_READ),
	INSN(EXIT_REASON_MSR_WRITE, VMM_X_MSR_WRITE),
	INSN(EXIT_REASON_MWAIT_INSTRUCTION, VMM_X_UNDEFINED),
	INSN(EXIT_REASON_MONITOR_INSTRUCTION, VMM_X_UNDEFINED),
	INSN(EXIT_REASON_PAUSE_INSTRUCTION, VMM_X_PAUSE),
	KIND(EXIT_REASON_EOI_INDUCED, VMM_X_APIC),
	INSN(EXIT_REASON_INVEPT, VMM_X_UNDEFINED),
	KIND(EXIT_REASON_PREEMPTION_TIMER, VMM_X_INTR),
	KIND(EXIT_REASON_PML_FULL, VMM_X_INTR),
	INSN(EXIT_REASON_INVVPID, VMM_X_UNDEFINED),
	INSN(EXIT_REASON_WBINVD, VMM_X_WBINVD),
	INSN(EXIT_REASON_XSETBV, VMM_X_XSETBV),
	KIND(EXIT_REASON_APIC_WRITE, VMM_X_APIC),
	INSN(EXIT_REASON_INVPCID, VMM_X_INVLPG),
	INSN(EXIT_REASON_VMFUNC, VMM_X_UNDEFINED),
	INSN(EXIT_REASON_ENCLS, VMM_X_UNDEFINED),
	/* At any CPL, on a CPU with TDX */
	INSN(EXIT_REASON_SEAMCALL, VMM_X_UNDEFINED),
	INSN(EXIT_REASON_TDCALL, VMM_X_UNDEFINED),
};

/*
 * "Machine-Check Events During VM Entry": that is a failed entry as well, which goes to the
 * process, but the machine check is the host's.
 */
u32 vmx_exit_vector(const struct vmx_vcpu *vmx)
{
	if (vmx->exit_reason == (EXIT_REASON_MCE_DURING_VMENTRY | VMX_EXIT_REASONS_FAILED_VMENTRY))
		return X86_TRAP_MC;
	if (vmx->exit_reason != EXIT_REASON_EXCEPTION_NMI)
		return 0;
	return vmcs_read(VM_EXIT_INTR_INFO) & INTR_INFO_VECTOR_MASK;
}

/* The trap of an instruction in a shadow has to be noted as pending for the next entry. */
static void note_pending_step(struct vmm_vcpu *vcpu)
{
	vmm_pull(vcpu, VMM_STATE_EVENTS);
	if (vcpu->shadow && (vcpu->regs.rflags & X86_EFLAGS_TF))
		vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, DR_STEP);
}

static void decode_debug(struct vmm_vcpu *vcpu, struct vmm_exit *exit, u32 info)
{
	exit->exception.info = vmcs_read(EXIT_QUALIFICATION) & DEBUG_BITS;
	/* INT1's RIP is at it, and its trap behind it. */
	if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_PRIV_SW_EXCEPTION)
		vcpu->regs.rip += vmcs_read(VM_EXIT_INSTRUCTION_LEN);
	if (!vcpu->step_armed)
		note_pending_step(vcpu);
}

static void decode_exception(struct vmx_vcpu *vmx, struct vmm_exit *exit)
{
	u32 info = vmcs_read(VM_EXIT_INTR_INFO);
	u8 vector = info & INTR_INFO_VECTOR_MASK;

	if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR) {
		exit->kind = VMM_X_NMI;
		return;
	}
	if (vector == X86_TRAP_MC) {
		exit->kind = VMM_X_INTR;
		return;
	}
	if ((info & UNBLOCKED_NMI) && vector != X86_TRAP_DF)
		vmx_iret_faulted(vmx);
	exit->exception.vector = vector;
	exit->exception.has_error = info & INTR_INFO_DELIVER_CODE_MASK;
	exit->exception.error = 0;
	exit->exception.info = 0;
	if (exit->exception.has_error)
		exit->exception.error = vmcs_read(VM_EXIT_INTR_ERROR_CODE);
	if (vector == X86_TRAP_PF)
		exit->exception.info = vmcs_read(EXIT_QUALIFICATION);
	if (vector == X86_TRAP_DB)
		decode_debug(&vmx->vcpu, exit, info);
}

static void decode_pio(struct vmm_exit *exit)
{
	u32 info = vmcs_read(EXIT_QUALIFICATION);

	if (info & (IO_STRING | IO_REP)) {
		exit->kind = VMM_X_PIO_STRING;
		return;
	}
	exit->pio.port = info >> IO_PORT_SHIFT;
	exit->pio.size = (info & IO_SIZE) + 1;
	exit->pio.write = !(info & IO_IN);
}

static void decode_memory(struct vmx_vcpu *vmx, struct vmm_exit *exit)
{
	u64 info = vmcs_read(EXIT_QUALIFICATION);

	exit->kind = VMM_X_MEMORY;
	exit->memory.gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
	exit->memory.walk = !(info & EPT_VIOLATION_GVA_TRANSLATED);
	exit->delivering = vmcs_read(IDT_VECTORING_INFO_FIELD) & VECTORING_INFO_VALID_MASK;
	if (info & EPT_VIOLATION_ACC_WRITE)
		exit->memory.access = VMM_ACCESS_WRITE;
	else if (info & EPT_VIOLATION_ACC_INSTR)
		exit->memory.access = VMM_ACCESS_EXEC;
	else
		exit->memory.access = VMM_ACCESS_READ;
	if (unlikely(info & UNBLOCKED_NMI))
		vmx_iret_faulted(vmx);
}

static void decode_raw(struct vmx_vcpu *vmx, struct vmm_exit *exit, enum vmm_exit_kind kind)
{
	exit->kind = kind;
	exit->raw.reason = vmx->exit_reason;
	exit->raw.info[0] = vmcs_read(EXIT_QUALIFICATION);
	exit->raw.info[1] = vmcs_read(VM_INSTRUCTION_ERROR);
	exit->raw.info[2] = vmcs_read(GUEST_CR0);
	exit->raw.info[3] = 0;
	/* The CPU tells the address of a misconfigured entry instead. */
	if (vmx->exit_reason == EXIT_REASON_EPT_MISCONFIG)
		exit->raw.info[0] = vmcs_read(GUEST_PHYSICAL_ADDRESS);
}

/* Trap-like: RIP is behind the instruction. */
static void decode_apic(const struct vmx_vcpu *vmx, struct vmm_exit *exit)
{
	u32 info = vmcs_read(EXIT_QUALIFICATION);

	exit->apic.eoi = vmx->exit_reason == EXIT_REASON_EOI_INDUCED;
	exit->apic.vector = info & APIC_EOI_VECTOR;
	exit->apic.offset = info & APIC_WRITE_OFFSET;
}

/* No guest instruction was executed. */
static void decode_no_entry(struct vmx_vcpu *vmx, struct vmm_exit *exit)
{
	if (vmx->exit_reason == VMX_NO_EXIT_UNRUNNABLE) {
		exit->kind = VMM_X_REAL_MODE;
		return;
	}
	vmx->refused_by = vmx_audit(vmx->config);
	/* Only an exit takes the event out of the field. */
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	decode_raw(vmx, exit, VMM_X_FAIL_ENTRY);
	exit->raw.info[3] = vmx->refused_by;
}

/* Exits that no instruction asked for. */
static noinline void decode_event(struct vmx_vcpu *vmx, struct vmm_exit *exit)
{
	switch (exit->kind) {
	case VMM_X_EXCEPTION:
		decode_exception(vmx, exit);
		break;
	case VMM_X_APIC:
		decode_apic(vmx, exit);
		break;
	case VMM_X_INTR_WINDOW:
		vmx->controls &= ~CPU_BASED_INTR_WINDOW_EXITING;
		break;
	case VMM_X_NMI_WINDOW:
		vmx->controls &= ~CPU_BASED_NMI_WINDOW_EXITING;
		break;
	default:
		/* A deadline that was near is none any more, or comes with the next entry. */
		if (vmx->exit_reason == EXIT_REASON_PREEMPTION_TIMER) {
			vmx->vmcs_timer = vmx->config->turn;
			vmcs_write(VMX_PREEMPTION_TIMER_VALUE, vmx->config->turn);
		}
		if (vmx->exit_reason == EXIT_REASON_PML_FULL &&
		    (vmcs_read(EXIT_QUALIFICATION) & UNBLOCKED_NMI))
			vmx_iret_faulted(vmx);
		break;
	}
}

void vmx_decode_exit(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 reason = vmx->exit_reason;
	u8 kind = reason < ARRAY_SIZE(kinds) ? kinds[reason] : 0;

	exit->length = 0;
	exit->kind = (kind & ~HAS_LENGTH) - 1;
	if (likely(kind & HAS_LENGTH)) {
		exit->length = vmcs_read(VM_EXIT_INSTRUCTION_LEN);
		if (exit->kind == VMM_X_PIO)
			decode_pio(exit);
	} else if (reason == EXIT_REASON_EPT_VIOLATION) {
		decode_memory(vmx, exit);
	} else if (kind) {
		decode_event(vmx, exit);
	} else if (reason >= VMX_NO_EXIT_REFUSED) {
		decode_no_entry(vmx, exit);
	} else {
		decode_raw(vmx, exit, VMM_X_UNKNOWN);
	}
}

/*
 * The shadow is over, so what it held back is due. An event that is injected would make the
 * CPU forget it; a step is seen by TF. A debugger's stay where the CPU reports them.
 */
static noinline u64 end_shadow(struct vmm_vcpu *vcpu, u32 info)
{
	u64 pending = vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS);

	vmcs_write(GUEST_INTERRUPTIBILITY_INFO, info & ~SHADOWS);
	if (vcpu->guest_debug.flags & VMM_DEBUG_HW)
		return 0;
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	return pending & PENDING_ENABLED ? pending & DR_TRAP_BITS : 0;
}

u64 vmx_advance_rip(struct vmm_vcpu *vcpu, unsigned int length)
{
	u64 old = vcpu->regs.rip, rip = old + length;
	u32 info;

	/* Only 64-bit code has more than 32 bits to count with. */
	if (unlikely((rip ^ old) >> 32)) {
		vmm_pull(vcpu, VMM_STATE_CTRL | VMM_STATE_CS);
		if (vmm_insn_mode(vcpu) != INSN_MODE_64)
			rip = (u32)rip;
	}
	vcpu->regs.rip = rip;
	/* In the cache too, whether it had been read or not. */
	vcpu->shadow = 0;
	info = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);
	return unlikely(info & SHADOWS) ? end_shadow(vcpu, info) : 0;
}
