/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What probe_guest.S and probe.c both know: a guest's loop over single instructions
 * ("operations"), and where in it what is. The loop is there twice, as 32-bit and as
 * 64-bit code; offsets are the same in both.
 */
#ifndef SELFTESTS_PROBE_GUEST_H
#define SELFTESTS_PROBE_GUEST_H

/* Offsets of entry points. All but the first are entered by the loop's IRET. */
#define PROBE_LOOP		0x000
#define PROBE_COMMON		0x080
#define PROBE_DO_READ		0x100	/* AL from (RBX) */
#define PROBE_DO_WRITE		0x110	/* AL to (RBX) */
#define PROBE_DO_INVLPG		0x120	/* of RBX */
#define PROBE_DO_CR3		0x130	/* from RBX, and so on */
#define PROBE_DO_CR4		0x140
#define PROBE_DO_CR0		0x150
#define PROBE_DO_STORE		0x160	/* EAX or RAX to (RBX) */
#define PROBE_DO_STORE_PAE	0x170	/* EDX:EAX to (EBX) */
#define PROBE_DO_LTR		0x180	/* from AX */
#define PROBE_DO_LAR		0x190	/* of AX */
#define PROBE_DO_MOV_FS		0x1a0	/* from AX */
#define PROBE_DO_PKRU		0x1b0	/* from EBX */
#define PROBE_VECTORS		0x200	/* PROBE_VECTOR_SIZE bytes each */
#define PROBE_VECTOR_SIZE	16
#define PROBE_VECTOR_COUNT	33
#define PROBE_CODE_SIZE		0x420

#define PROBE_VEC_OK		32	/* the INT after each operation */
#define PROBE_PORT_DONE		0xf0

/* Offsets in struct probe_op and struct probe_end, and their sizes. */
#define OP_RIP			0
#define OP_CS			8
#define OP_RFLAGS		16
#define OP_RSP			24
#define OP_SS			32
#define OP_RAX			40
#define OP_RBX			48
#define OP_RDX			56
#define OP_LDT			60
#define OP_SIZE			64
#define END_RAX			0
#define END_CR2			8
#define END_ERROR		16
#define END_VECTOR		20
#define END_SIZE		32

#ifndef __ASSEMBLER__
extern const unsigned char probe_code32[], probe_code64[];
#endif

#endif
