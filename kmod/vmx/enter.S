/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The world switch: general registers. IF is 0 throughout; a host interrupt ends
 * the guest's turn all the same, and waits until the host enables interrupts. An
 * NMI can come at any point but while the guest runs, where it is an exit.
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/percpu.h>
#include <asm/unwind_hints.h>

#include "offsets.h"

	.text

/* u32 vmx_world_switch(u64 *gpr, u64 *host_rsp, bool launched) */
SYM_FUNC_START(vmx_world_switch)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi			/* gpr */

	/* The stack is the same from one turn to the next, mostly. */
	cmp	(%rsi), %rsp
	je	.Lhost_rsp_known
	mov	%rsp, (%rsi)
	mov	$FIELD_HOST_RSP, %eax
	vmwrite	%rsp, %rax
.Lhost_rsp_known:
	bt	$0, %edx		/* launched, in CF: only ZF changes from here on */

	mov	GPR_RAX(%rdi), %rax
	mov	GPR_RCX(%rdi), %rcx
	mov	GPR_RDX(%rdi), %rdx
	mov	GPR_RBX(%rdi), %rbx
	mov	GPR_RBP(%rdi), %rbp
	mov	GPR_RSI(%rdi), %rsi
	mov	GPR_R8(%rdi), %r8
	mov	GPR_R9(%rdi), %r9
	mov	GPR_R10(%rdi), %r10
	mov	GPR_R11(%rdi), %r11
	mov	GPR_R12(%rdi), %r12
	mov	GPR_R13(%rdi), %r13
	mov	GPR_R14(%rdi), %r14
	mov	GPR_R15(%rdi), %r15
	mov	GPR_RDI(%rdi), %rdi

	/* Nothing of the host is left in the CPU's buffers. Clobbers ZF. */
	CLEAR_CPU_BUFFERS
	VM_CLEAR_CPU_BUFFERS

	UNWIND_HINT_SAVE
	jnc	.Llaunch
.Lresume:
	vmresume
	jmp	.Lrefused
.Llaunch:
	vmlaunch
	jmp	.Lrefused

	_ASM_EXTABLE(.Lresume, .Lrefused)
	_ASM_EXTABLE(.Llaunch, .Lrefused)

SYM_INNER_LABEL(vmx_world_exit, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ANNOTATE_NOENDBR

	/* The stack is as at the entry; every register but RSP is the guest's. */
	push	%rdi
	mov	8(%rsp), %rdi		/* gpr */
	pop	GPR_RDI(%rdi)
	mov	%rax, GPR_RAX(%rdi)
	mov	%rcx, GPR_RCX(%rdi)
	mov	%rdx, GPR_RDX(%rdi)
	mov	%rbx, GPR_RBX(%rdi)
	mov	%rbp, GPR_RBP(%rdi)
	mov	%rsi, GPR_RSI(%rdi)
	mov	%r8,  GPR_R8(%rdi)
	mov	%r9,  GPR_R9(%rdi)
	mov	%r10, GPR_R10(%rdi)
	mov	%r11, GPR_R11(%rdi)
	mov	%r12, GPR_R12(%rdi)
	mov	%r13, GPR_R13(%rdi)
	mov	%r14, GPR_R14(%rdi)
	mov	%r15, GPR_R15(%rdi)
	xor	%ebx, %ebx		/* what to return */

.Lleave:
	pop	%rdi			/* gpr */

	/* No return address that the guest trained may be used from here on. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, \
			   X86_FEATURE_RSB_VMEXIT_LITE

	/* Nor an indirect branch: where the kernel runs with IBRS, writing it is the barrier. */
	ALTERNATIVE "jmp .Librs_done", "", X86_FEATURE_KERNEL_IBRS
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	mov	PER_CPU_VAR(x86_spec_ctrl_current), %rax
	mov	%rax, %rdx
	shr	$32, %rdx
	wrmsr
.Librs_done:
	/* Nor may the guest's branches steer the host's; clobbers RCX. */
	CLEAR_BRANCH_HISTORY_VMEXIT

	/* Guest values must not reach a speculative gadget in the host. */
	mov	%ebx, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebp, %ebp
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d

	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

	/* Nothing ran, and the VMCS still says why. */
.Lrefused:
	mov	$1, %ebx
	jmp	.Lleave
SYM_FUNC_END(vmx_world_switch)
