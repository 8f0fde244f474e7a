/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs of random but legal instructions, the same for the same seed, that run
 * anywhere: in a process, in a guest at CPL 3 or at CPL 0.
 *
 * A program is a row of snippets at PROGRAM_CODE, each of which begins with RSP at
 * PROGRAM_STACK. Whoever runs it calls program_exception() for each exception,
 * which notes the state and says where to go on: behind the snippet. INT3 between
 * snippets makes it note the state where nothing went wrong. What is to be compared
 * is program_record and the memory from PROGRAM_DATA to PROGRAM_END.
 */
#ifndef SELFTESTS_PROGRAM_H
#define SELFTESTS_PROGRAM_H

#include "vm.h"

#define PROGRAM_CODE		GUEST_DATA
#define PROGRAM_CODE_SIZE	0x20000UL
#define PROGRAM_DATA		(PROGRAM_CODE + PROGRAM_CODE_SIZE)	/* not executable */
#define PROGRAM_DATA_SIZE	0x4000UL
#define PROGRAM_STACK		(PROGRAM_DATA + PROGRAM_DATA_SIZE + 0x2000UL)
#define PROGRAM_READ_ONLY	(PROGRAM_STACK + 0x1000UL)	/* one page */
#define PROGRAM_END		(PROGRAM_READ_ONLY + 0x1000UL)
#define PROGRAM_HOLE		(PROGRAM_END)			/* one page that is not there */

/* As Linux has them, on whose processes the programs are tried. */
#define PROGRAM_CODE32		0x23
#define PROGRAM_USER_DATA	0x2b
#define PROGRAM_CODE64		0x33

enum program_kind {
	PROGRAM_ANY_CPL,	/* nothing that tells CPL 0 from CPL 3 */
	PROGRAM_CPL3,		/* segments, far transfers, privileged instructions, 32-bit code */
};

/* Order of the instruction set: RAX RCX RDX RBX RSP RBP RSI RDI R8 to R15. */
struct program_state {
	u64 reg[16];
	u64 rip, rflags, cs;
	u64 vector, error, cr2;
};

#define PROGRAM_SNIPPETS	1500
#define PROGRAM_EVENTS		1500	/* thrice of what they are */

extern struct program_record {
	u64 start[PROGRAM_SNIPPETS + 1];	/* of each snippet; the last is the end's INT3 */
	u32 count;
	struct program_state event[PROGRAM_EVENTS];
} program_record;

/* RETF and IRET among the instructions of PROGRAM_CPL3; false unless set. */
extern bool program_far_returns;
/* Fills PROGRAM_CODE to PROGRAM_END, which is writable, and program_record. */
void program_make(u64 seed, enum program_kind kind);
/* Notes @state and changes it to go on; false: that was the end. */
bool program_exception(struct program_state *state);

#endif
