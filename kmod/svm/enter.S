/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The world switch: general registers and the state that VMLOAD and VMSAVE
 * carry. GIF is 0 throughout; IF is set around VMRUN because with virtual
 * interrupt masking the host's IF decides whether a host interrupt ends the
 * guest's turn.
 */
#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/nospec-branch.h>

#include "offsets.h"

	.text

/*
 * void svm_world_switch(u64 *gpr, u64 vmcb_pa, u64 host_vmcb_pa, bool shadow)
 *
 * QEMU's VMRUN neither loads the guest's interrupt shadow nor drops the one of
 * the host's STI. Real CPUs do both; to be right on either, VMRUN follows STI at
 * once if the guest has a shadow (@shadow), and one instruction later if not.
 */
SYM_FUNC_START(svm_world_switch)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdx			/* host_vmcb_pa */
	push	%rdi			/* gpr */
	push	%rcx			/* shadow */

	mov	%rdx, %rax
	vmsave	%rax
	mov	%rsi, %rax
	vmload	%rax
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
	VM_CLEAR_CPU_BUFFERS

	testb	$1, (%rsp)
	jnz	1f
	sti
	nop
	vmrun	%rax
	jmp	2f
1:	sti
	vmrun	%rax
2:	cli
	vmsave	%rax

	/* RAX is the VMCB's address again; every other register is the guest's. */
	mov	%rdi, %rax
	pop	%rdi			/* shadow */
	pop	%rdi			/* gpr */
	mov	%rax, GPR_RDI(%rdi)
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

	pop	%rax			/* host_vmcb_pa */
	vmload	%rax

	/* No return address that the guest trained may be used from here on. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT

	/* Guest values must not reach a speculative gadget in the host. */
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebx, %ebx
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

	/* No return may be predicted from what the guest left; clobbers RAX, RCX, RDX. */
	UNTRAIN_RET
	ALTERNATIVE "", "call entry_ibpb", X86_FEATURE_IBPB_ON_VMEXIT
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET
SYM_FUNC_END(svm_world_switch)
