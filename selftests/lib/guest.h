/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's side of a test: what a guest function may use.
 *
 * Guest code is ordinary C in the test's file, compiled like the rest of it:
 * general registers only, no red zone, no stack protector. It must not call the C
 * library (which uses vector registers and TLS). It talks to the host by port
 * writes: GUEST_SYNC(), GUEST_DONE(), and the asserts.
 */
#ifndef SELFTESTS_GUEST_H
#define SELFTESTS_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "vm.h"

/* Ports of the guest's calls to the host; each takes 4 bytes. */
#define PORT_SYNC		0x5e0
#define PORT_FAIL		0x5e4		/* the address of a struct guest_failure */
#define GUEST_DONE_VALUE	0xd05e

struct guest_failure {
	const char *file;
	const char *what;
	u64 expected;
	u64 got;
	u32 line;
};

/* ---- instructions ---- */

#define GUEST_IN(suffix, type)						\
static inline type in##suffix(u16 port)					\
{									\
	type value;							\
									\
	__asm__ volatile("in" #suffix " %w1, %0"			\
			 : "=a"(value) : "Nd"(port) : "memory");	\
	return value;							\
}
GUEST_IN(b, u8)
GUEST_IN(w, u16)
GUEST_IN(l, u32)

#define GUEST_OUT(suffix, type)						\
static inline void out##suffix(u16 port, type value)			\
{									\
	__asm__ volatile("out" #suffix " %0, %w1"			\
			 : : "a"(value), "Nd"(port) : "memory");	\
}
GUEST_OUT(b, u8)
GUEST_OUT(w, u16)
GUEST_OUT(l, u32)

static inline u64 rdmsr(u32 index)
{
	u32 low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index) : "memory");
	return low | (u64)high << 32;
}

static inline void wrmsr(u32 index, u64 value)
{
	__asm__ volatile("wrmsr" : : "a"((u32)value), "d"((u32)(value >> 32)), "c"(index)
			 : "memory");
}

struct cpuid {
	u32 eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(u32 function, u32 index)
{
	struct cpuid out;

	__asm__ volatile("cpuid" : "=a"(out.eax), "=b"(out.ebx), "=c"(out.ecx), "=d"(out.edx)
			 : "0"(function), "2"(index));
	return out;
}

static inline u64 rdtsc(void)
{
	u32 low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return low | (u64)high << 32;
}

#define GUEST_READ_CR(n)						\
static inline u64 read_cr##n(void)					\
{									\
	u64 value;							\
									\
	__asm__ volatile("mov %%cr" #n ", %0" : "=r"(value) : : "memory");	\
	return value;							\
}									\
static inline void write_cr##n(u64 value)				\
{									\
	__asm__ volatile("mov %0, %%cr" #n : : "r"(value) : "memory");	\
}
GUEST_READ_CR(0)
GUEST_READ_CR(2)
GUEST_READ_CR(3)
GUEST_READ_CR(4)
GUEST_READ_CR(8)

static inline void cli(void)
{
	__asm__ volatile("cli" : : : "memory");
}

static inline void sti(void)
{
	__asm__ volatile("sti" : : : "memory");
}

/* STI and HLT in one: no interrupt can come between them. */
static inline void sti_hlt(void)
{
	__asm__ volatile("sti; hlt" : : : "memory");
}

/*
 * In every loop that goes on without an exit: where nothing else ends the turn of a guest
 * that was entered with IF clear (docs/testing.md), PAUSE does.
 */
static inline void cpu_relax(void)
{
	/* PAUSE not at once: QEMU lets it extend the shadow of an STI before it. */
	__asm__ volatile("nop; pause" : : : "memory");
}

static inline void invlpg(u64 address)
{
	__asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

#define GUEST_ACCESS(bits)						\
static inline u##bits read##bits(u64 address)				\
{									\
	return *(volatile u##bits *)address;				\
}									\
static inline void write##bits(u64 address, u##bits value)		\
{									\
	*(volatile u##bits *)address = value;				\
}
GUEST_ACCESS(8)
GUEST_ACCESS(16)
GUEST_ACCESS(32)
GUEST_ACCESS(64)

/* ---- calls to the host ---- */

#define GUEST_SYNC(value)	outl(PORT_SYNC, value)
/* Does not return. */
#define GUEST_DONE()							\
	do {								\
		for (;;)						\
			outl(PORT_SYNC, GUEST_DONE_VALUE);		\
	} while (0)

#define GUEST_FAIL(what, expected, got)					\
	guest_fail(__FILE__, __LINE__, what, (u64)(expected), (u64)(got))
#define GUEST_EQ(want, seen)						\
	do {								\
		u64 want_ = (u64)(want), seen_ = (u64)(seen);		\
									\
		if (want_ != seen_)					\
			GUEST_FAIL(#seen, want_, seen_);		\
	} while (0)
#define GUEST_TRUE(claim)						\
	do {								\
		if (!(claim))						\
			GUEST_FAIL(#claim, 1, 0);			\
	} while (0)

void guest_fail(const char *file, u32 line, const char *what, u64 expected, u64 got);

/* ---- exceptions and interrupts ---- */

struct guest_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error;		/* error is 0 where the CPU gives none */
	u64 rip, cs, rflags, rsp, ss;
};

/*
 * By vector. Set by the guest or, before the VM is made, by the test. May change
 * the frame. The default is a failure, but see GUEST_TRY().
 */
extern void (*guest_handlers[256])(struct guest_frame *frame);

/* A handler that counts in guest_irqs[] and ends the interrupt at the APIC. */
void guest_count_irq(struct guest_frame *frame);
extern volatile u64 guest_irqs[256];

/* Write EOI in the mode the APIC is in. */
void guest_eoi(void);
u32 apic_read(u32 offset);		/* offset of the xAPIC page; in either mode */
void apic_write(u32 offset, u32 value);
/* x2APIC mode if the CPU has it, else xAPIC; enabled by the spurious vector. */
void guest_apic_enable(void);

#define NO_FAULT	0x100
struct guest_fault {
	u64 vector;		/* NO_FAULT: none */
	u64 error;
	u64 rip;		/* of the frame */
	u64 cr2;
	u64 rflags;
};
extern volatile struct guest_fault guest_fault;
extern volatile u64 guest_fixup;	/* where GUEST_TRY() goes on; 0: not in one */

/*
 * Execute @insn; the value is the vector of the exception it raised, or NO_FAULT.
 * More is in guest_fault. Operands as those of an asm statement after the outputs.
 */
#define GUEST_TRY(insn, ...)						\
({									\
	guest_fault.vector = NO_FAULT;					\
	__asm__ volatile("movq $1f, guest_fixup\n\t"			\
			 insn "\n"					\
			 "1:\tmovq $0, guest_fixup"			\
			 : : __VA_ARGS__);				\
	guest_fault.vector;						\
})

u64 try_rdmsr(u32 index, u64 *value);	/* vector or NO_FAULT */
u64 try_wrmsr(u32 index, u64 value);

/* An entry: spoils every register that a guest can reach, GUEST_SYNC(1), again. */
void guest_spoil(void);

/* Call @fn at CPL 3, with IOPL 3; its return comes back here at CPL 0. */
void guest_call_user(void (*fn)(void));

#define VEC_DE	0
#define VEC_DB	1
#define VEC_NMI	2
#define VEC_BP	3
#define VEC_OF	4
#define VEC_BR	5
#define VEC_UD	6
#define VEC_NM	7
#define VEC_DF	8
#define VEC_TS	10
#define VEC_NP	11
#define VEC_SS	12
#define VEC_GP	13
#define VEC_PF	14
#define VEC_MF	16
#define VEC_AC	17
#define VEC_MC	18
#define VEC_XM	19
#define VEC_CALL 0x80		/* the way back from CPL 3 */

#define X86_CR0_PE	(1UL << 0)
#define X86_CR0_MP	(1UL << 1)
#define X86_CR0_EM	(1UL << 2)
#define X86_CR0_TS	(1UL << 3)
#define X86_CR0_ET	(1UL << 4)
#define X86_CR0_NE	(1UL << 5)
#define X86_CR0_WP	(1UL << 16)
#define X86_CR0_AM	(1UL << 18)
#define X86_CR0_NW	(1UL << 29)
#define X86_CR0_CD	(1UL << 30)
#define X86_CR0_PG	(1UL << 31)
#define X86_CR4_TSD	(1UL << 2)
#define X86_CR4_DE	(1UL << 3)
#define X86_CR4_PSE	(1UL << 4)
#define X86_CR4_PAE	(1UL << 5)
#define X86_CR4_PGE	(1UL << 7)
#define X86_CR4_OSFXSR	(1UL << 9)
#define X86_CR4_OSXMMEXCPT (1UL << 10)
#define X86_CR4_UMIP	(1UL << 11)
#define X86_CR4_LA57	(1UL << 12)
#define X86_CR4_VMXE	(1UL << 13)
#define X86_CR4_PCIDE	(1UL << 17)
#define X86_CR4_OSXSAVE	(1UL << 18)
#define X86_CR4_SMEP	(1UL << 20)
#define X86_CR4_SMAP	(1UL << 21)
#define X86_CR4_PKE	(1UL << 22)
#define EFER_SCE	(1UL << 0)
#define EFER_LME	(1UL << 8)
#define EFER_LMA	(1UL << 10)
#define EFER_NX		(1UL << 11)
#define EFER_SVME	(1UL << 12)
#define RFLAGS_FIXED	(1UL << 1)
#define RFLAGS_TF	(1UL << 8)
#define RFLAGS_IF	(1UL << 9)
#define RFLAGS_RF	(1UL << 16)
#define RFLAGS_AC	(1UL << 18)
#define PTE_P		(1UL << 0)
#define PTE_W		(1UL << 1)
#define PTE_U		(1UL << 2)
#define PTE_A		(1UL << 5)
#define PTE_D		(1UL << 6)
#define PTE_PS		(1UL << 7)
#define PTE_NX		(1UL << 63)

#define MSR_TSC			0x10
#define MSR_APIC_BASE		0x1b
#define MSR_TSC_ADJUST		0x3b
#define MSR_TSC_DEADLINE	0x6e0
#define MSR_PAT			0x277
#define MSR_MTRR_DEF_TYPE	0x2ff
#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_X2APIC		0x800
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_SFMASK		0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_TSC_AUX		0xc0000103

#define APIC_BASE_BSP		(1UL << 8)
#define APIC_BASE_X2		(1UL << 10)
#define APIC_BASE_ENABLE	(1UL << 11)
#define APIC_PAGE		0xfee00000UL
#define APIC_ID			0x20
#define APIC_VERSION		0x30
#define APIC_TPR		0x80
#define APIC_PPR		0xa0
#define APIC_EOI		0xb0
#define APIC_LDR		0xd0
#define APIC_DFR		0xe0
#define APIC_SVR		0xf0
#define APIC_ISR		0x100
#define APIC_TMR		0x180
#define APIC_IRR		0x200
#define APIC_ESR		0x280
#define APIC_ICR		0x300
#define APIC_ICR2		0x310
#define APIC_LVT_TIMER		0x320
#define APIC_LVT_LINT0		0x350
#define APIC_LVT_ERROR		0x370
#define APIC_TMICT		0x380
#define APIC_TMCCT		0x390
#define APIC_TDCR		0x3e0
#define APIC_LVT_MASKED		(1U << 16)
#define APIC_TIMER_PERIODIC	(1U << 17)
#define APIC_TIMER_DEADLINE	(2U << 17)
#define APIC_ICR_SELF		(1U << 18)

#endif
