// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What DR6 and DR7 are in a handler of #DB ("Debug Status Register (DR6)", "Debug Exceptions"),
 * whoever executed the instruction: the CPU, the module, the process. And breakpoints on
 * accesses that the CPU does not make: to devices in memory and to ports.
 */
#include "lib/test.h"

#define DEVICE		GUEST_HOLE
#define PORT		0x700

#define DR6_CLEAR	0xffff0ff0UL
#define DR6_BD		(1UL << 13)
#define DR6_BS		(1UL << 14)
#define DR7_CLEAR	0x400UL
#define DR7_GD		(1UL << 13)
#define CR4_DE		(1UL << 3)

static volatile u64 traps, trap_dr6, trap_dr7, trap_rip;

static void write_dr6(u64 value)
{
	__asm__ volatile("mov %0, %%db6" : : "r"(value) : "memory");
}

static void write_dr7(u64 value)
{
	__asm__ volatile("mov %0, %%db7" : : "r"(value) : "memory");
}

static void on_db(struct guest_frame *frame)
{
	u64 value;

	traps++;
	__asm__ volatile("mov %%db6, %0" : "=r"(value));
	trap_dr6 = value;
	__asm__ volatile("mov %%db7, %0" : "=r"(value));
	trap_dr7 = value;
	trap_rip = frame->rip;
	frame->rflags &= ~RFLAGS_TF;
	write_dr6(DR6_CLEAR);
}

/* One instruction with TF set; @want is where it ends. */
#define STEP(insn, want, ...)								\
	__asm__ volatile("leaq 1f(%%rip), %0\n\t"				\
			 "pushfq; orq $0x100, (%%rsp); popfq\n\t"		\
			 insn "\n1:" : "=&S"(want) : __VA_ARGS__)

/* A macro for the line of a failure. */
#define expect_step(rip, dr6)								\
	do {										\
		GUEST_EQ(dr6, trap_dr6);						\
		GUEST_EQ(rip, trap_rip);						\
		GUEST_EQ(1, traps);							\
		traps = 0;								\
	} while (0)

static void guest_steps(void)
{
	const u64 before = DR6_CLEAR | DR6_BD | 0xb;
	u64 want;

	guest_handlers[VEC_DB] = on_db;
	write_dr6(before);
	STEP("nop", want, "a"(0) : "memory");
	expect_step(want, DR6_CLEAR | DR6_BD | DR6_BS);
	write_dr6(before);
	STEP("cpuid", want, "a"(0), "c"(0) : "rbx", "rdx", "memory");
	expect_step(want, DR6_CLEAR | DR6_BD | DR6_BS);
	write_dr6(before);
	STEP("outb %%al, %%dx", want, "a"(0), "d"(PORT) : "memory");
	expect_step(want, DR6_CLEAR | DR6_BD | DR6_BS);
	GUEST_DONE();
}

TEST(a_step_takes_the_place_of_breakpoints_in_dr6_and_of_nothing_else)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_steps);

	vcpu_expect(vcpu, VMM_EXIT_PIO);
	vcpu_done(vcpu);
}

static void guest_detect(void)
{
	u64 want;

	guest_handlers[VEC_DB] = on_db;
	write_dr6(DR6_CLEAR);
	write_dr7(DR7_CLEAR | DR7_GD);
	STEP("cpuid", want, "a"(0), "c"(0) : "rbx", "rdx", "memory");
	expect_step(want, DR6_CLEAR | DR6_BS);
	GUEST_EQ(DR7_CLEAR, trap_dr7);
	GUEST_DONE();
}

TEST(a_step_of_what_exits_ends_general_detection)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_detect));
}

#define expect_hit(rip, bits) expect_step(rip, DR6_CLEAR | (bits))

#define LOCAL(i)		(1UL << 2 * (i))
#define RW_WRITE		1UL
#define RW_PORT			2UL
#define RW_ACCESS		3UL
#define LEN_1			0UL
#define LEN_2			1UL
#define LEN_8			2UL
#define LEN_4			3UL

#define AT(insn, want, ...)								\
	__asm__ volatile("leaq 1f(%%rip), %0\n\t"				\
			 insn "\n1:" : "=&S"(want) : __VA_ARGS__)

/* Register i, enabled */
static inline u64 watch(u32 i, u64 rw, u64 len)
{
	return (rw | len << 2) << (16 + 4 * i) | LOCAL(i);
}

static void breakpoints(u64 dr0, u64 dr1, u64 dr7)
{
	write_dr6(DR6_CLEAR);
	__asm__ volatile("mov %0, %%db0" : : "r"(dr0));
	__asm__ volatile("mov %0, %%db1" : : "r"(dr1));
	write_dr7(DR7_CLEAR | dr7);
}

static void guest_device(void)
{
	u64 want;

	guest_handlers[VEC_DB] = on_db;
	breakpoints(DEVICE + 4, DEVICE + 8, watch(0, RW_WRITE, LEN_4) | watch(1, RW_ACCESS, LEN_8));
	AT("movb %%al, 7(%2)", want, "a"(0x11), "D"(DEVICE) : "memory");
	expect_hit(want, 1);
	AT("movb 7(%1), %%al", want, "D"(DEVICE) : "rax", "memory");
	GUEST_EQ(0, traps);
	AT("movb %%al, 3(%2)", want, "a"(0x22), "D"(DEVICE) : "memory");
	GUEST_EQ(0, traps);
	AT("movl 12(%1), %%eax", want, "D"(DEVICE) : "rax", "memory");
	expect_hit(want, 2);
	/* Both, by an access that begins before the one and ends behind the other. */
	AT("movq %%rax, 3(%2)", want, "a"(0x33), "D"(DEVICE) : "memory");
	expect_hit(want, 3);
	STEP("movl %%eax, 4(%2)", want, "a"(0x44), "D"(DEVICE) : "memory");
	expect_hit(want, DR6_BS | 1);
	/* Only those that are enabled. */
	breakpoints(DEVICE, DEVICE, watch(0, RW_WRITE, LEN_8) & ~LOCAL(0));
	AT("movq %%rax, (%2)", want, "a"(0x55), "D"(DEVICE) : "memory");
	GUEST_EQ(0, traps);
	GUEST_DONE();
}

TEST(breakpoints_on_a_device_in_memory)
{
	static const u64 data[] = { 0x11, 0, 0x22, 0, 0x33, 0x44, 0x55 };
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_device);

	for (u32 i = 0; i < ARRAY_SIZE(data); i++) {
		vcpu_expect(vcpu, VMM_EXIT_MMIO);
		EXPECT_EQ_FOR(data[i], vcpu->run->mmio.data, "access %u", i);
	}
	vcpu_done(vcpu);
}

static void guest_port(void)
{
	u64 want, rax;

	guest_handlers[VEC_DB] = on_db;
	write_cr4(read_cr4() | CR4_DE);
	breakpoints(PORT, PORT + 4, watch(0, RW_PORT, LEN_1) | watch(1, RW_PORT, LEN_2));
	AT("outb %%al, %%dx", want, "a"(1), "d"(PORT) : "memory");
	expect_hit(want, 1);
	AT("outb %%al, %%dx", want, "a"(2), "d"(PORT + 1) : "memory");
	GUEST_EQ(0, traps);
	/* The answer is there when the trap comes. */
	__asm__ volatile("leaq 1f(%%rip), %0; inw %%dx, %%ax\n1:"
			 : "=&S"(want), "=a"(rax) : "d"(PORT + 5), "1"(0) : "memory");
	expect_hit(want, 2);
	GUEST_EQ(0x4242, rax);
	STEP("outl %%eax, %%dx", want, "a"(3), "d"(PORT + 2) : "memory");
	expect_hit(want, DR6_BS | 2);
	/* A port is no address in memory. */
	breakpoints(PORT, PORT, watch(0, RW_ACCESS, LEN_4) | watch(1, RW_WRITE, LEN_4));
	AT("outb %%al, %%dx", want, "a"(4), "d"(PORT) : "memory");
	GUEST_EQ(0, traps);
	/* "I/O reads or writes": with the debug extensions alone. */
	write_cr4(read_cr4() & ~CR4_DE);
	breakpoints(PORT, PORT, watch(0, RW_PORT, LEN_4));
	AT("outb %%al, %%dx", want, "a"(5), "d"(PORT) : "memory");
	GUEST_EQ(0, traps);
	GUEST_DONE();
}

TEST(breakpoints_on_ports)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_port);

	for (u32 i = 0; i < 6; i++) {
		vcpu_expect(vcpu, VMM_EXIT_PIO);
		vcpu->run->pio.data = 0x4242;
	}
	vcpu_done(vcpu);
}

#define NOT_ARMED \
	"QEMU TCG does not arm the breakpoints of the DR7 that VMRUN loads"

static u16 selector;

/*
 * Once without a breakpoint: if the read of the descriptor leaves the guest, Bochs tells at the
 * next entry of the breakpoint that the read before it hit, and again when all is done anew.
 */
static void load_ss_once(void)
{
	guest_handlers[VEC_DB] = on_db;
	__asm__ volatile("movw %%ss, %0\n\tmovw %0, %%ss" : "=m"(selector));
}

/* The trap of what loads SS comes behind the next instruction ("Debug Exceptions"). */
static void guest_mov_ss(void)
{
	u64 want;

	load_ss_once();
	breakpoints((u64)&selector, 0, watch(0, RW_ACCESS, LEN_2));
	AT("movw (%1), %%ss; nop", want, "D"(&selector) : "memory");
	expect_hit(want, 1);
	AT("movw (%1), %%ss; cpuid", want, "D"(&selector), "a"(0), "c"(0) : "rbx", "rdx", "memory");
	expect_hit(want, 1);
	STEP("movw (%1), %%ss; cpuid", want, "D"(&selector), "a"(0), "c"(0)
	     : "rbx", "rdx", "memory");
	expect_hit(want, DR6_BS | 1);
	AT("movw (%1), %%ss; outb %%al, %%dx", want, "D"(&selector), "a"(1), "d"(PORT) : "memory");
	expect_hit(want, 1);
	GUEST_DONE();
}

/* What was held back, and what the next instruction hit */
static void guest_mov_ss_device(void)
{
	u64 want;

	load_ss_once();
	breakpoints((u64)&selector, DEVICE, watch(0, RW_ACCESS, LEN_2) | watch(1, RW_WRITE, LEN_1));
	AT("movw (%1), %%ss; movb %%al, (%%rdx)", want, "D"(&selector), "a"(2), "d"(DEVICE)
	   : "memory");
	expect_hit(want, 3);
	GUEST_DONE();
}

/* What the CPU cannot tell of breakpoints that MOV SS holds back (docs/exits.md), or NULL */
static const char *untold(void)
{
	if (get_info().backend != VMM_BACKEND_AMD_V)
		return NULL;
	return host_is_tcg() ? NOT_ARMED : "AMD-V does not tell what MOV SS holds back";
}

TEST(a_breakpoint_on_what_mov_ss_reads_waits_for_one_instruction)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_mov_ss);

	if (untold())
		SKIP(return, "%s", untold());
	vcpu_expect(vcpu, VMM_EXIT_PIO);
	vcpu_done(vcpu);
}

TEST(a_breakpoint_on_what_mov_ss_reads_and_one_on_a_device_are_one_trap)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_mov_ss_device);

	if (untold())
		SKIP(return, "%s", untold());
	if (get_info().paging == VMM_PAGING_SHADOW)
		SKIP(return, "the access is a #PF, which forgets what MOV SS holds back");
	vcpu_expect(vcpu, VMM_EXIT_MMIO);
	vcpu_done(vcpu);
}

VMM_TEST_MAIN
