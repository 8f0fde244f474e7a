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

/* Offsets are known to the assembly below. */
struct native {
	uint64_t gpr[16];
	uint64_t rflags;
	uint64_t host_rsp;
	uint64_t code;
	uint64_t pad;
	uint8_t xmm[16][16];
};

struct native native __attribute__((aligned(16), visibility("hidden")));
void native_enter(void) __attribute__((visibility("hidden")));
void native_leave(void) __attribute__((visibility("hidden")));

asm(".text\n"
    "native_enter:\n"
    "	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
    "	mov %rsp, native+136(%rip)\n"
    "	lea native+160(%rip), %rax\n"
    "	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
    "	movups \\n*16(%rax), %xmm\\n\n"
    "	.endr\n"
    "	push native+128(%rip)\n"
    "	popf\n"
    "	mov native+0(%rip), %rax\n	mov native+8(%rip), %rcx\n"
    "	mov native+16(%rip), %rdx\n	mov native+24(%rip), %rbx\n"
    "	mov native+32(%rip), %rsp\n	mov native+40(%rip), %rbp\n"
    "	mov native+48(%rip), %rsi\n	mov native+56(%rip), %rdi\n"
    "	mov native+64(%rip), %r8\n	mov native+72(%rip), %r9\n"
    "	mov native+80(%rip), %r10\n	mov native+88(%rip), %r11\n"
    "	mov native+96(%rip), %r12\n	mov native+104(%rip), %r13\n"
    "	mov native+112(%rip), %r14\n	mov native+120(%rip), %r15\n"
    "	jmp *native+144(%rip)\n"
    "native_leave:\n"
    "	mov %rax, native+0(%rip)\n	mov %rcx, native+8(%rip)\n"
    "	mov %rdx, native+16(%rip)\n	mov %rbx, native+24(%rip)\n"
    "	mov %rsp, native+32(%rip)\n	mov %rbp, native+40(%rip)\n"
    "	mov %rsi, native+48(%rip)\n	mov %rdi, native+56(%rip)\n"
    "	mov %r8, native+64(%rip)\n	mov %r9, native+72(%rip)\n"
    "	mov %r10, native+80(%rip)\n	mov %r11, native+88(%rip)\n"
    "	mov %r12, native+96(%rip)\n	mov %r13, native+104(%rip)\n"
    "	mov %r14, native+112(%rip)\n	mov %r15, native+120(%rip)\n"
    "	mov native+136(%rip), %rsp\n"
    "	pushf\n"
    "	pop native+128(%rip)\n"
    "	cld\n"
    "	lea native+160(%rip), %rax\n"
    "	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
    "	movups %xmm\\n, \\n*16(%rax)\n"
    "	.endr\n"
    "	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
    "	ret\n");

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
