// SPDX-License-Identifier: GPL-2.0-only
/*
 * #VMEXIT in neutral words: one table from exit code to kind, one small decoder
 * for each kind that has details. Nothing here reads guest memory.
 */
#include <asm/trapnr.h>
#include <uapi/asm/debugreg.h>

#include "svm.h"

/* EXITINFO1 of a nested page fault, "Nested versus Guest Page Faults" */
#define NPF_WRITE	BIT_ULL(1)
#define NPF_FETCH	BIT_ULL(4)
#define NPF_WALK	BIT_ULL(33)	/* translating a guest table's address */

/* EXITINFO1 of IOIO: the port */
#define IOIO_PORT_SHIFT	16

/* Exceptions that are intercepted and push an error code */
#define ERROR_VECTORS	(BIT(X86_TRAP_TS) | BIT(X86_TRAP_NP) | BIT(X86_TRAP_SS) | \
			 BIT(X86_TRAP_GP) | BIT(X86_TRAP_AC) | BIT(X86_TRAP_PF))

/* Kinds by exit code; what is not named is VMM_X_UNKNOWN. */
#define KIND(code, kind) [code] = (kind) + 1

static const u8 kinds[0x100] = {
	KIND(SVM_EXIT_READ_CR0, VMM_X_CR),
	KIND(SVM_EXIT_READ_CR3, VMM_X_CR),
	KIND(SVM_EXIT_READ_CR4, VMM_X_CR),
	KIND(SVM_EXIT_WRITE_CR0, VMM_X_CR),
	KIND(SVM_EXIT_WRITE_CR3, VMM_X_CR),
	KIND(SVM_EXIT_WRITE_CR4, VMM_X_CR),
	KIND(SVM_EXIT_READ_CR8, VMM_X_CR),
	KIND(SVM_EXIT_WRITE_CR8, VMM_X_CR),
	KIND(SVM_EXIT_READ_DR0, VMM_X_DR),
	KIND(SVM_EXIT_READ_DR1, VMM_X_DR),
	KIND(SVM_EXIT_READ_DR2, VMM_X_DR),
	KIND(SVM_EXIT_READ_DR3, VMM_X_DR),
	KIND(SVM_EXIT_READ_DR4, VMM_X_DR),
	KIND(SVM_EXIT_READ_DR5, VMM_X_DR),
	KIND(SVM_EXIT_READ_DR6, VMM_X_DR),
	KIND(SVM_EXIT_READ_DR7, VMM_X_DR),
	KIND(SVM_EXIT_WRITE_DR0, VMM_X_DR),
	KIND(SVM_EXIT_WRITE_DR1, VMM_X_DR),
	KIND(SVM_EXIT_WRITE_DR2, VMM_X_DR),
	KIND(SVM_EXIT_WRITE_DR3, VMM_X_DR),
	KIND(SVM_EXIT_WRITE_DR4, VMM_X_DR),
	KIND(SVM_EXIT_WRITE_DR5, VMM_X_DR),
	KIND(SVM_EXIT_WRITE_DR6, VMM_X_DR),
	KIND(SVM_EXIT_WRITE_DR7, VMM_X_DR),
	KIND(SVM_EXIT_EXCP_BASE + X86_TRAP_DE, VMM_X_EXCEPTION),
	KIND(SVM_EXIT_EXCP_BASE + X86_TRAP_DB, VMM_X_EXCEPTION),
	KIND(SVM_EXIT_EXCP_BASE + X86_TRAP_BP, VMM_X_EXCEPTION),
	KIND(SVM_EXIT_EXCP_BASE + X86_TRAP_BR, VMM_X_EXCEPTION),
	KIND(SVM_EXIT_EXCP_BASE + X86_TRAP_UD, VMM_X_EXCEPTION),
	KIND(SVM_EXIT_EXCP_BASE + X86_TRAP_NM, VMM_X_EXCEPTION),
	KIND(SVM_EXIT_EXCP_BASE + X86_TRAP_TS, VMM_X_EXCEPTION),
	KIND(SVM_EXIT_EXCP_BASE + X86_TRAP_NP, VMM_X_EXCEPTION),
	KIND(SVM_EXIT_EXCP_BASE + X86_TRAP_SS, VMM_X_EXCEPTION),
	KIND(SVM_EXIT_EXCP_BASE + X86_TRAP_MF, VMM_X_EXCEPTION),
	KIND(SVM_EXIT_EXCP_BASE + X86_TRAP_XF, VMM_X_EXCEPTION),
	KIND(SVM_EXIT_EXCP_BASE + X86_TRAP_AC, VMM_X_EXCEPTION),
	KIND(SVM_EXIT_EXCP_BASE + X86_TRAP_GP, VMM_X_EXCEPTION),
	KIND(SVM_EXIT_EXCP_BASE + X86_TRAP_PF, VMM_X_EXCEPTION),
	KIND(SVM_EXIT_EXCP_BASE + X86_TRAP_MC, VMM_X_INTR),
	KIND(SVM_EXIT_INTR, VMM_X_INTR),
	KIND(SVM_EXIT_NMI, VMM_X_NMI),
	KIND(SVM_EXIT_SMI, VMM_X_INTR),
	KIND(SVM_EXIT_INIT, VMM_X_INTR),
	KIND(SVM_EXIT_VINTR, VMM_X_INTR_WINDOW),
	KIND(SVM_EXIT_IRET, VMM_X_NMI_WINDOW),
	KIND(SVM_EXIT_RDPMC, VMM_X_RDPMC),
	KIND(SVM_EXIT_CPUID, VMM_X_CPUID),
	KIND(SVM_EXIT_RSM, VMM_X_UNDEFINED),
	KIND(SVM_EXIT_INVD, VMM_X_WBINVD),
	KIND(SVM_EXIT_PAUSE, VMM_X_PAUSE),
	KIND(SVM_EXIT_HLT, VMM_X_HLT),
	KIND(SVM_EXIT_INVLPG, VMM_X_INVLPG),
	KIND(SVM_EXIT_INVLPGA, VMM_X_UNDEFINED),
	KIND(SVM_EXIT_IOIO, VMM_X_PIO),
	KIND(SVM_EXIT_MSR, VMM_X_MSR_READ),
	KIND(SVM_EXIT_TASK_SWITCH, VMM_X_TASK_SWITCH),
	KIND(SVM_EXIT_FERR_FREEZE, VMM_X_INTR),
	KIND(SVM_EXIT_SHUTDOWN, VMM_X_SHUTDOWN),
	KIND(SVM_EXIT_VMRUN, VMM_X_UNDEFINED),
	KIND(SVM_EXIT_VMMCALL, VMM_X_HYPERCALL),
	KIND(SVM_EXIT_VMLOAD, VMM_X_UNDEFINED),
	KIND(SVM_EXIT_VMSAVE, VMM_X_UNDEFINED),
	KIND(SVM_EXIT_STGI, VMM_X_UNDEFINED),
	KIND(SVM_EXIT_CLGI, VMM_X_UNDEFINED),
	KIND(SVM_EXIT_SKINIT, VMM_X_UNDEFINED),
	KIND(SVM_EXIT_WBINVD, VMM_X_WBINVD),
	KIND(SVM_EXIT_MONITOR, VMM_X_UNDEFINED),
	KIND(SVM_EXIT_MWAIT, VMM_X_UNDEFINED),
	KIND(SVM_EXIT_MWAIT_COND, VMM_X_UNDEFINED),
	KIND(SVM_EXIT_XSETBV, VMM_X_XSETBV),
	KIND(SVM_EXIT_RDPRU, VMM_X_UNDEFINED),
	/* "VMEXIT_INVLPGB", "_ILLEGAL", "_INVPCID", "_MCOMMIT", "_TLBSYNC" */
	KIND(0xa0, VMM_X_UNDEFINED),
	KIND(0xa1, VMM_X_UNDEFINED),
	KIND(0xa2, VMM_X_INVLPG),
	KIND(0xa3, VMM_X_UNDEFINED),
	KIND(0xa4, VMM_X_UNDEFINED),
};

static void decode_exception(struct svm_vcpu *svm, struct vmm_exit *exit)
{
	const struct vmcb *vmcb = svm->vmcb;
	u8 vector = vmcb->control.exit_code - SVM_EXIT_EXCP_BASE;

	exit->exception.vector = vector;
	exit->exception.has_error = BIT(vector) & ERROR_VECTORS;
	exit->exception.error = vmcb->control.exit_info_1;
	exit->exception.info = 0;
	if (vector == X86_TRAP_PF)
		exit->exception.info = vmcb->control.exit_info_2;
	if (vector != X86_TRAP_DB)
		return;
	if (svm_step_done(svm))
		exit->kind = VMM_X_NMI_WINDOW;
	else
		exit->exception.info = vmcb->save.dr6 & ~(u64)DR6_RESERVED;
}

static void decode_pio(struct svm_vcpu *svm, struct vmm_exit *exit)
{
	const struct vmcb_control_area *control = &svm->vmcb->control;
	u64 info = control->exit_info_1;

	/* REP counts for INS and OUTS only. */
	if (info & SVM_IOIO_STR_MASK) {
		exit->kind = VMM_X_PIO_STRING;
		return;
	}
	exit->pio.port = info >> IOIO_PORT_SHIFT;
	exit->pio.size = (info & SVM_IOIO_SIZE_MASK) >> SVM_IOIO_SIZE_SHIFT;
	exit->pio.write = !(info & SVM_IOIO_TYPE_MASK);
	/* The one exit for which every CPU tells the next instruction. */
	exit->length = control->exit_info_2 - svm->vmcb->save.rip;
}

static void decode_memory(struct svm_vcpu *svm, struct vmm_exit *exit)
{
	const struct vmcb_control_area *control = &svm->vmcb->control;
	u64 info = control->exit_info_1;

	exit->kind = VMM_X_MEMORY;
	exit->memory.gpa = control->exit_info_2;
	exit->memory.walk = info & NPF_WALK;
	exit->delivering = (control->exit_int_info & SVM_EXITINTINFO_VALID) ||
			   svm_virtual_waits(control);
	if (info & NPF_WRITE)
		exit->memory.access = VMM_ACCESS_WRITE;
	else if (info & NPF_FETCH)
		exit->memory.access = VMM_ACCESS_EXEC;
	else
		exit->memory.access = VMM_ACCESS_READ;
}

static void decode_raw(struct svm_vcpu *svm, struct vmm_exit *exit, enum vmm_exit_kind kind)
{
	const struct vmcb_control_area *control = &svm->vmcb->control;

	exit->kind = kind;
	exit->raw.reason = control->exit_code | (u64)control->exit_code_hi << 32;
	exit->raw.info[0] = control->exit_info_1;
	exit->raw.info[1] = control->exit_info_2;
	exit->raw.info[2] = svm->vmcb->save.cr0;
	exit->raw.info[3] = svm->vmcb->save.efer;
}

void svm_decode_exit(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;
	u32 code = vmcb->control.exit_code;
	u8 kind;

	exit->length = 0;
	if (code == SVM_EXIT_NPF) {
		decode_memory(svm, exit);
		return;
	}
	if (unlikely(code == (u32)SVM_EXIT_ERR)) {
		decode_raw(svm, exit, VMM_X_FAIL_ENTRY);
		return;
	}
	kind = code < ARRAY_SIZE(kinds) ? kinds[code] : 0;
	if (unlikely(!kind)) {
		decode_raw(svm, exit, VMM_X_UNKNOWN);
		return;
	}
	exit->kind = kind - 1;
	if ((vmm_caps.features & VMM_FEATURE_NEXT_RIP) && vmcb->control.next_rip)
		exit->length = vmcb->control.next_rip - vmcb->save.rip;

	switch (exit->kind) {
	case VMM_X_EXCEPTION:
		decode_exception(svm, exit);
		break;
	case VMM_X_PIO:
		decode_pio(svm, exit);
		break;
	case VMM_X_MSR_READ:
		if (vmcb->control.exit_info_1)
			exit->kind = VMM_X_MSR_WRITE;
		break;
	case VMM_X_INTR_WINDOW:
		vmcb->control.int_ctl &= ~V_IRQ_INJECTION_BITS_MASK;
		svm_no_intercept(vmcb, INTERCEPT_VINTR);
		break;
	case VMM_X_NMI_WINDOW:
		svm_iret_intercepted(svm);
		break;
	default:
		break;
	}
}

/* What a shadow holds back this CPU keeps to itself. */
u64 svm_advance_rip(struct vmm_vcpu *vcpu, unsigned int length)
{
	struct vmcb *vmcb = to_svm(vcpu)->vmcb;
	u64 rip = vcpu->regs.rip + length;

	/* Only 64-bit code has more than 32 bits to count with. */
	if (!(vmcb->save.efer & EFER_LMA) || !(vmcb->save.cs.attrib & SVM_SELECTOR_L_MASK))
		rip = (u32)rip;
	vcpu->regs.rip = rip;
	vmcb->control.int_state &= ~SVM_INTERRUPT_SHADOW_MASK;
	vcpu->shadow = 0;
	return 0;
}
