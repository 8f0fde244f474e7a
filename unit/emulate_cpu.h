/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One instruction on the CPU this runs on, in 64-bit code or in a 16-bit or 32-bit
 * segment of this process's LDT, from any registers and vector registers: a signal's
 * frame is made and returned from, and the signal that the instruction's trap or
 * fault becomes tells what it left.
 *
 * What it may reach is an arena of 64 KiB with pages of different rights, absent ones
 * around it, and nothing below 64 KiB. All else is the test's own: keep away from it.
 */
#ifndef UNIT_EMULATE_CPU_H
#define UNIT_EMULATE_CPU_H

#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "../lib/emul.h"

#define SIZE		0x10000u
#define GUARD		0x100000u	/* absent on both sides of the arena */
#define LDT_SELECTOR(n)	((n) << 3 | 7)
#define LDT_WRITE	0x11		/* modify_ldt() */
#define CODE64		0x33		/* Linux's own */
#define DATA64		0x2b

enum cpu_mode { CPU_64, CPU_32, CPU_16 };

/* The pages of the arena that are not plain RAM. */
#define PAGE_OF(offset)	((offset) / EMUL_PAGE_SIZE)
#define DEVICE_PAGES	(1u << 4 | 1u << 6 | 1u << 7)	/* for the emulator only */
#define ABSENT_PAGE	9u
#define READONLY_PAGE	10u

/* LDT entries; all at the arena but the last. */
enum {
	CODE16, CODE32, DATA16, DATA32, ABSENT_DATA, ABSENT_CODE, READONLY_DATA, DOWN_DATA,
	CONFORMING_CODE, UNREADABLE_CODE, SHORT_DATA, DOWN_DATA16, LDT_ENTRIES
};

/* As struct user_desc has them, one bit-field above the other. */
#define DESC_WIDE	(1u << 0)
#define DESC_DOWN	(1u << 1)	/* data */
#define DESC_CONFORMING	(3u << 1)	/* code */
#define DESC_CODE	(2u << 1)
#define DESC_READONLY	(1u << 3)	/* data; of code: not readable */
#define DESC_ABSENT	(1u << 5)
#define DESC_AVAILABLE	(1u << 6)

#define SHORT_LIMIT	0x2fffu

static const struct {
	uint32_t limit, flags;
} ldt_entries[LDT_ENTRIES] = {
	[CODE16] = { SIZE - 1, DESC_CODE },
	[CODE32] = { SIZE - 1, DESC_CODE | DESC_WIDE },
	[DATA16] = { SIZE - 1, 0 },
	[DATA32] = { SIZE - 1, DESC_WIDE },
	[ABSENT_DATA] = { SIZE - 1, DESC_WIDE | DESC_ABSENT },
	[ABSENT_CODE] = { SIZE - 1, DESC_CODE | DESC_WIDE | DESC_ABSENT },
	[READONLY_DATA] = { SIZE - 1, DESC_WIDE | DESC_READONLY },
	[DOWN_DATA] = { SHORT_LIMIT, DESC_WIDE | DESC_DOWN },
	/* Linux makes no other. */
	[CONFORMING_CODE] = { SIZE - 1, DESC_CONFORMING | DESC_WIDE | DESC_ABSENT },
	[UNREADABLE_CODE] = { SIZE - 1, DESC_CODE | DESC_READONLY | DESC_WIDE },
	[SHORT_DATA] = { SHORT_LIMIT, DESC_WIDE },
	[DOWN_DATA16] = { SHORT_LIMIT, DESC_DOWN },
};

/* XSAVE area, standard form; what Linux says of it lies in its unused bytes. */
#define FRAME_SIZE	304		/* of struct ucontext as the kernel has it */
#define XSAVE_MAX	16384
#define XSAVE_CONTROL	0
#define XSAVE_STATUS	2
#define XSAVE_TAGS	4
#define XSAVE_XMM	160
#define XSAVE_EXTENDED	468		/* the area's size */
#define XSAVE_BV	512
#define XSAVE_YMM	576

/* All that an instruction can find, and what it left. */
struct cpu_state {
	struct vmm_regs regs;
	uint16_t selector[VMM_GS + 1];	/* FS is the process's own */
	struct emul_x87 x87;
	uint8_t vector[16][EMUL_VECTOR_SIZE];
	unsigned int event;		/* the exception's vector */
	uint32_t error;
	uint64_t cr2;
};

static uint8_t *arena;
static bool cpu_avx;
static struct cpu_state cpu_out;
static struct {
	_Alignas(16) uint8_t frame[FRAME_SIZE];
	_Alignas(64) uint8_t xsave[XSAVE_MAX];
} cpu;

static const int greg_of[] = {
	[VMM_RAX] = REG_RAX, [VMM_RCX] = REG_RCX, [VMM_RDX] = REG_RDX, [VMM_RBX] = REG_RBX,
	[VMM_RSP] = REG_RSP, [VMM_RBP] = REG_RBP, [VMM_RSI] = REG_RSI, [VMM_RDI] = REG_RDI,
	[VMM_R8] = REG_R8, [VMM_R9] = REG_R9, [VMM_R10] = REG_R10, [VMM_R11] = REG_R11,
	[VMM_R12] = REG_R12, [VMM_R13] = REG_R13, [VMM_R14] = REG_R14, [VMM_R15] = REG_R15,
};

/* Return from the signal whose frame is at @frame; the handler comes back to cpu_leave. */
void cpu_enter(const void *frame);
asm(".pushsection .text\n"
"cpu_enter:\n"
"	push	%rbx\n"
"	push	%rbp\n"
"	push	%r12\n"
"	push	%r13\n"
"	push	%r14\n"
"	push	%r15\n"
"	mov	%rsp, cpu_stack(%rip)\n"
"	mov	%rdi, %rsp\n"
"	mov	$15, %eax\n"		/* rt_sigreturn */
"	syscall\n"
"cpu_leave:\n"
"	mov	cpu_stack(%rip), %rsp\n"
"	pop	%r15\n"
"	pop	%r14\n"
"	pop	%r13\n"
"	pop	%r12\n"
"	pop	%rbp\n"
"	pop	%rbx\n"
"	ret\n"
"	.popsection\n"
"	.local	cpu_stack\n"
"	.comm	cpu_stack, 8, 8\n");

/* A component in its initial state is zero. */
static inline void cpu_get_vectors(const uint8_t *xsave)
{
	uint64_t bv;
	unsigned int i;

	memcpy(&bv, xsave + XSAVE_BV, sizeof(bv));
	memset(cpu_out.vector, 0, sizeof(cpu_out.vector));
	for (i = 0; i < 16; i++) {
		if (bv & 2)
			memcpy(cpu_out.vector[i], xsave + XSAVE_XMM + i * 16, 16);
		if (bv & 4)
			memcpy(cpu_out.vector[i] + 16, xsave + XSAVE_YMM + i * 16, 16);
	}
	cpu_out.x87 = (struct emul_x87) { .control = EMUL_X87_CONTROL };
	if (!(bv & 1))
		return;
	memcpy(&cpu_out.x87.control, xsave + XSAVE_CONTROL, 2);
	memcpy(&cpu_out.x87.status, xsave + XSAVE_STATUS, 2);
	cpu_out.x87.tags = xsave[XSAVE_TAGS];
}

/* The handler of all that an instruction can end with. */
static __attribute__((no_sanitize("address", "undefined")))
void cpu_on_event(int signal, siginfo_t *info, void *context)
{
	const mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;
	unsigned int i;

	(void)signal;
	(void)info;
	/*
	 * The kernel leaves AC set, and the handler's own accesses are not all aligned.
	 * Nor does it clear NT and ID, which would stay for the next instruction.
	 */
	asm volatile("pushf; andl %0, (%%rsp); popf" : : "i" (~(EMUL_AC | EMUL_NT | EMUL_ID))
		     : "memory", "cc");
	asm("mov %%ds, %0" : "=r" (cpu_out.selector[VMM_DS]));
	asm("mov %%es, %0" : "=r" (cpu_out.selector[VMM_ES]));
	asm("mov %%gs, %0" : "=r" (cpu_out.selector[VMM_GS]));
	cpu_out.selector[VMM_CS] = m->gregs[REG_CSGSFS];
	cpu_out.selector[VMM_SS] = m->gregs[REG_CSGSFS] >> 48;
	for (i = 0; i < ARRAY_SIZE(greg_of); i++)
		cpu_out.regs.gpr[i] = m->gregs[greg_of[i]];
	cpu_out.regs.rip = m->gregs[REG_RIP];
	cpu_out.regs.rflags = m->gregs[REG_EFL];
	cpu_out.event = m->gregs[REG_TRAPNO];
	cpu_out.error = m->gregs[REG_ERR];
	cpu_out.cr2 = m->gregs[REG_CR2];
	cpu_get_vectors((const uint8_t *)m->fpregs);
	asm volatile("jmp cpu_leave");
	__builtin_unreachable();
}

/* What the kernel makes of a frame is the pattern for ours. */
static void cpu_on_start(int signal, siginfo_t *info, void *context)
{
	const ucontext_t *from = context;
	const uint8_t *xsave = (const uint8_t *)from->uc_mcontext.fpregs;
	uint32_t size;

	(void)signal;
	(void)info;
	memcpy(&size, xsave + XSAVE_EXTENDED, sizeof(size));
	if (size > XSAVE_MAX)
		abort();
	memcpy(cpu.frame, context, FRAME_SIZE);
	memcpy(cpu.xsave, xsave, size);
}

static inline void cpu_put_vectors(const struct cpu_state *in)
{
	uint64_t bv;
	unsigned int i;

	memcpy(&bv, cpu.xsave + XSAVE_BV, sizeof(bv));
	bv |= cpu_avx ? 7 : 3;
	memcpy(cpu.xsave + XSAVE_BV, &bv, sizeof(bv));
	for (i = 0; i < 16; i++) {
		memcpy(cpu.xsave + XSAVE_XMM + i * 16, in->vector[i], 16);
		if (cpu_avx)
			memcpy(cpu.xsave + XSAVE_YMM + i * 16, in->vector[i] + 16, 16);
	}
	memcpy(cpu.xsave + XSAVE_CONTROL, &in->x87.control, 2);
	memcpy(cpu.xsave + XSAVE_STATUS, &in->x87.status, 2);
	cpu.xsave[XSAVE_TAGS] = in->x87.tags;
}

/* Load @in, go on at its RIP until something happens: cpu_out. */
static inline void cpu_execute(const struct cpu_state *in)
{
	mcontext_t *m = &((ucontext_t *)(void *)cpu.frame)->uc_mcontext;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(greg_of); i++)
		m->gregs[greg_of[i]] = in->regs.gpr[i];
	m->gregs[REG_RIP] = in->regs.rip;
	m->gregs[REG_EFL] = in->regs.rflags;
	m->gregs[REG_CSGSFS] = in->selector[VMM_CS] | (uint64_t)in->selector[VMM_SS] << 48;
	m->fpregs = (void *)cpu.xsave;
	cpu_put_vectors(in);
	if (cpu_out.selector[VMM_GS] != in->selector[VMM_GS])
		asm volatile("mov %0, %%gs" : : "r" (in->selector[VMM_GS]));
	asm volatile("mov %0, %%ds; mov %1, %%es" : :
		     "r" (in->selector[VMM_DS]), "r" (in->selector[VMM_ES]));
	cpu_enter(cpu.frame);
	asm volatile("mov %0, %%ds; mov %0, %%es" : : "r" (0));
}

static inline bool cpu_make_segment(unsigned int n)
{
	const uint32_t desc[] = {
		n, (uintptr_t)arena, ldt_entries[n].limit, ldt_entries[n].flags | DESC_AVAILABLE,
	};

	return !syscall(SYS_modify_ldt, LDT_WRITE, desc, sizeof(desc));
}

/* The arena, the handlers, the frame. False: errno says why there are no segments. */
static inline bool cpu_prepare(void)
{
	static const int events[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	static uint8_t stack[1 << 16];
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction start = { .sa_sigaction = cpu_on_start, .sa_flags = SA_SIGINFO };
	struct sigaction event = {
		.sa_sigaction = cpu_on_event, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
	};
	unsigned int i;
	bool good = true;

	cpu_avx = __builtin_cpu_supports("avx");
	arena = mmap(NULL, SIZE + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
		     -1, 0);
	if (arena == MAP_FAILED || sigaltstack(&alternate, NULL))
		abort();
	arena += GUARD;
	if (mprotect(arena, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC))
		abort();
	for (i = 0; i < ARRAY_SIZE(events); i++)
		sigaction(events[i], &event, NULL);
	sigaction(SIGUSR1, &start, NULL);
	raise(SIGUSR1);
	for (i = 0; i < LDT_ENTRIES; i++)
		good &= cpu_make_segment(i);
	return good;
}

/* After the arena has been filled. */
static inline void cpu_protect(void)
{
	if (mprotect(arena + ABSENT_PAGE * EMUL_PAGE_SIZE, EMUL_PAGE_SIZE, PROT_NONE) ||
	    mprotect(arena + READONLY_PAGE * EMUL_PAGE_SIZE, EMUL_PAGE_SIZE,
		     PROT_READ | PROT_EXEC))
		abort();
}

#endif /* UNIT_EMULATE_CPU_H */
