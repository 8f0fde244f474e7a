/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for the kernel's <asm/msr-index.h>: the bits of EFER. */
#ifndef UNIT_SHIM_MSR_INDEX_H
#define UNIT_SHIM_MSR_INDEX_H

#define EFER_SCE	(1UL << 0)
#define EFER_LME	(1UL << 8)
#define EFER_LMA	(1UL << 10)
#define EFER_NX		(1UL << 11)

#endif /* UNIT_SHIM_MSR_INDEX_H */
