/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for the kernel's <asm/cpufeature.h>: what a test says the CPU is. */
#ifndef UNIT_SHIM_CPUFEATURE_H
#define UNIT_SHIM_CPUFEATURE_H

static const struct {
	unsigned char x86_phys_bits;
	unsigned char x86_virt_bits;
} boot_cpu_data = { 40, 48 };

#endif /* UNIT_SHIM_CPUFEATURE_H */
