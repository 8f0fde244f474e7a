// SPDX-License-Identifier: GPL-2.0-only
/*
 * Offsets that enter.S needs; the build turns this into offsets.h. It is never
 * linked into the module.
 */
#include <linux/kbuild.h>
#include <linux/vmm.h>

#include <asm/msr-index.h>
#include <asm/vmx.h>

#define GPR(name, index) DEFINE(GPR_ ## name, (index) * sizeof(__u64))

int main(void)
{
	GPR(RAX, VMM_RAX);
	GPR(RCX, VMM_RCX);
	GPR(RDX, VMM_RDX);
	GPR(RBX, VMM_RBX);
	GPR(RBP, VMM_RBP);
	GPR(RSI, VMM_RSI);
	GPR(RDI, VMM_RDI);
	GPR(R8, VMM_R8);
	GPR(R9, VMM_R9);
	GPR(R10, VMM_R10);
	GPR(R11, VMM_R11);
	GPR(R12, VMM_R12);
	GPR(R13, VMM_R13);
	GPR(R14, VMM_R14);
	GPR(R15, VMM_R15);
	DEFINE(FIELD_HOST_RSP, HOST_RSP);
	return 0;
}
