/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state in which a vCPU starts: 64-bit mode, flat segments. In the words of the
 * manuals, for both shims.
 */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#define SELECTOR_CODE	0x08
#define SELECTOR_DATA	0x10
#define SEG_TYPE_DATA	0x3		/* writable, accessed */
#define SEG_TYPE_CODE	0xb		/* readable, accessed */

#define RFLAGS_START	0x2		/* the bit that is always set */
#define CR0_START	0x80000033	/* PG, NE, ET, MP, PE */
#define CR4_START	0x20		/* PAE */
#define EFER_START	0x500		/* LMA, LME */

#endif
