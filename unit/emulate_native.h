/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One instruction on the CPU this runs on: all general registers, status flags
 * and vector registers loaded, the instruction executed, all stored again.
 *
 * The instruction lies in the first page of an arena, its operands in the pages
 * behind, so RIP-relative forms reach them. The stack pointer is the instruction's
 * too: no signal may arrive meanwhile, and none is expected.
 */
#ifndef UNIT_EMULATE_NATIVE_H
#define UNIT_EMULATE_NATIVE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE		4096u
#define DATA_PAGES	4u
#define DATA_SIZE	(DATA_PAGES * PAGE)

/* Offsets are known to emulate_native.S. */
struct native {
	uint64_t gpr[16];
	uint64_t rflags;
	uint64_t host_rsp;
	uint64_t code;
	uint64_t pad;
	uint8_t vector[16][32];
};

extern struct native native;
extern uint32_t native_avx;		/* set by the test if the CPU has it */

/* emulate_native.S: load all from native, jump to its code; it comes back to leave. */
void native_enter(void);
void native_leave(void);

/*
 * The arena: a page of code, then DATA_SIZE bytes of operands, where addresses of
 * 32 bits reach.
 */
static inline uint8_t *native_arena(void)
{
	uint8_t *arena = mmap(NULL, PAGE + DATA_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (arena == MAP_FAILED)
		abort();
	return arena;
}

/* Put an instruction and the way back at @code. */
static inline void native_place(uint8_t *code, const uint8_t *insn, unsigned int len)
{
	static const uint8_t jump[] = { 0xff, 0x25, 0, 0, 0, 0 };
	uint64_t back = (uintptr_t)native_leave;

	memcpy(code, insn, len);
	memcpy(code + len, jump, sizeof(jump));
	memcpy(code + len + sizeof(jump), &back, sizeof(back));
	native.code = (uintptr_t)code;
}

#endif /* UNIT_EMULATE_NATIVE_H */
