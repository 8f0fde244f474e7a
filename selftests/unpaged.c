// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Protected mode without paging runs on every CPU, also on one that runs no guest
 * without paging: there the module lends it an identity map. The guest must not be
 * able to tell: control registers read as written, all 4 GiB are where they are, and the
 * lent tables are nowhere in its memory. An instruction that leaves to be emulated
 * fails these tests.
 */
#include "lib/test.h"

#define CODE		GUEST_DATA
#define RESULTS		(GUEST_DATA + 0x10000)	/* what the guest found, one by one */
#define TABLES		(GUEST_DATA + 0x20000)	/* its own page tables */
#define TABLE(n)	(TABLES + (n) * 4096UL)
#define FAR		0x20000000U		/* a page; its tables map it to GUEST_DATA2 */
#define HOLE		0xf0000000U
#define FOUR_GIB	0x100000000UL

extern const u8 registers_start[], registers_end[], reach_start[], reach_end[];
extern const u8 modes_start[], modes_end[];

/* EDI: where the next result goes. Each program ends with GUEST_DONE(). */
#define DONE								\
"	movl	$0xd05e, %eax\n"					\
"	movw	$0x5e0, %dx\n"						\
"	outl	%eax, %dx\n"
#define SYNC(n)								\
"	movl	$" #n ", %eax\n"					\
"	movw	$0x5e0, %dx\n"						\
"	outl	%eax, %dx\n"
#define WRITE_CR(n, value)						\
"	movl	$" #value ", %eax\n"					\
"	movl	%eax, %cr" #n "\n"
#define TELL_CR(n)							\
"	movl	%cr" #n ", %eax\n"					\
"	stosl\n"

/* CR3 leads to no tables; PGE and PAE are bits for which a CPU reads its PDPTEs anew. */
__asm__(".pushsection .rodata\n"
"	.code32\n"
"registers_start:\n"
TELL_CR(0) TELL_CR(3) TELL_CR(4)
WRITE_CR(3, 0xfffff018) TELL_CR(3)
WRITE_CR(4, 0x10) TELL_CR(4)
WRITE_CR(4, 0x90) TELL_CR(4)
WRITE_CR(4, 0xa0) TELL_CR(4)
WRITE_CR(3, 0x7ffff000) TELL_CR(3)
WRITE_CR(4, 0x20) TELL_CR(4)
WRITE_CR(4, 0) TELL_CR(4)
WRITE_CR(0, 0x1003b) TELL_CR(0)
"	clts\n"
TELL_CR(0)
"	xorl	%eax, %eax\n"
"	smsw	%ax\n"
"	stosl\n"
"	invlpg	(%edi)\n"
DONE
"registers_end:\n"
/* ESI: addresses, the last one 0. Tell what is there, and add 1. */
"reach_start:\n"
"1:	lodsl\n"
"	testl	%eax, %eax\n"
"	jz	2f\n"
"	movl	%eax, %ebx\n"
"	movl	(%ebx), %eax\n"
"	stosl\n"
"	incl	(%ebx)\n"
"	jmp	1b\n"
"2:\n"
SYNC(1)
"	jmp	1b\n"
"reach_end:\n"
/* Off, 32-bit, off, PAE, off: the same address. */
"modes_start:\n"
"	movl	$0x20000000, %ebx\n"
"	movl	%cr0, %ebp\n"
"	movl	%ebp, %ecx\n"
"	orl	$0x80000000, %ecx\n"
"	movl	(%ebx), %eax\n"
"	stosl\n"
WRITE_CR(4, 0x10)
WRITE_CR(3, 0x220000)
"	movl	%ecx, %cr0\n"
"	movl	(%ebx), %eax\n"
"	stosl\n"
TELL_CR(3)
"	movl	%ebp, %cr0\n"
"	movl	(%ebx), %eax\n"
"	stosl\n"
WRITE_CR(4, 0x20)
WRITE_CR(3, 0x221000)
"	movl	%ecx, %cr0\n"
"	movl	(%ebx), %eax\n"
"	stosl\n"
TELL_CR(3)
"	movl	%ebp, %cr0\n"
"	movl	(%ebx), %eax\n"
"	stosl\n"
DONE
"modes_end:\n"
"	.code64\n"
"	.popsection\n");

static struct vcpu *start(struct vm *vm, const u8 *from, const u8 *to)
{
	struct vcpu *vcpu = vcpu_new_reset(vm, 0);
	struct vmm_state state;

	memcpy(vm_ptr(vm, CODE), from, to - from);
	vcpu_mode32(vcpu, CODE);
	vcpu_get(vcpu, &state, VMM_STATE_REGS);
	state.regs.rdi = RESULTS;
	vcpu_set(vcpu, &state, VMM_STATE_REGS);
	return vcpu;
}

static u32 result(struct vm *vm, u32 n)
{
	return ((u32 *)vm_ptr(vm, RESULTS))[n];
}

TEST(control_registers_read_as_written)
{
	const u32 cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;
	const u32 want[] = {
		cr0, 0, 0, 0xfffff018, X86_CR4_PSE, X86_CR4_PSE | X86_CR4_PGE,
		X86_CR4_PAE | X86_CR4_PGE, 0x7ffff000, X86_CR4_PAE, 0,
		cr0 | X86_CR0_WP | X86_CR0_MP | X86_CR0_TS, cr0 | X86_CR0_WP | X86_CR0_MP,
		(u16)(cr0 | X86_CR0_MP),
	};
	struct vm *vm = vm_new();
	struct vcpu *vcpu = start(vm, registers_start, registers_end);
	struct vmm_state state;

	vcpu_done(vcpu);
	for (u32 i = 0; i < ARRAY_SIZE(want); i++)
		EXPECT_EQ_FOR(want[i], result(vm, i), "result %u", i);
	vcpu_get(vcpu, &state, VMM_STATE_CTRL);
	EXPECT_EQ(cr0 | X86_CR0_WP | X86_CR0_MP, state.ctrl.cr0);
	EXPECT_EQ(0x7ffff000, state.ctrl.cr3);
	EXPECT_EQ(0, state.ctrl.cr4);
	EXPECT_EQ(0, state.ctrl.efer);
}

/* Pages far apart, as slots 1, 2 ...; each word holds its address. */
static const u32 far_pages[] = { FAR, 0x3ffff000, 0x40000000, 0x80200000, 0xc0000000, 0xfffff000 };

static u32 *far_memory(struct vm *vm)
{
	u32 *memory = map_memory(ARRAY_SIZE(far_pages) * 4096);

	for (u32 i = 0; i < ARRAY_SIZE(far_pages); i++) {
		for (u32 j = 0; j < 1024; j++)
			memory[1024 * i + j] = far_pages[i] + 4 * j;
		if (vm_slot(vm, i + 1, far_pages[i], 4096, memory + 1024 * i, 0))
			die("no slot at %#x", far_pages[i]);
	}
	return memory;
}

/* From the start of the list at @list on, once through. */
static void reach(struct vcpu *vcpu, const u32 *list, u32 n)
{
	u32 *to = vm_ptr(vcpu->vm, CODE + 0x1000);
	struct vmm_state state;

	memcpy(to, list, n * sizeof(*list));
	to[n] = 0;
	vcpu_get(vcpu, &state, VMM_STATE_REGS);
	state.regs.rsi = CODE + 0x1000;
	state.regs.rdi = RESULTS;
	vcpu_set(vcpu, &state, VMM_STATE_REGS);
}


static void reach_far(struct vcpu *vcpu)
{
	u32 list[ARRAY_SIZE(far_pages)];

	for (u32 i = 0; i < ARRAY_SIZE(far_pages); i++)
		list[i] = far_pages[i] + 0xffc;
	reach(vcpu, list, ARRAY_SIZE(list));
}

#define EXPECT_REACHED(memory, before)					\
	do {								\
		for (u32 i_ = 0; i_ < ARRAY_SIZE(far_pages); i_++) {	\
			EXPECT_EQ_FOR(far_pages[i_] + 0xffc + (before), \
				      result(vcpu->vm, i_), "page %u", i_); \
			EXPECT_EQ_FOR(far_pages[i_] + 0xffc + (before) + 1, \
				      (memory)[1024 * i_ + 1023], "memory %u", i_); \
		}							\
	} while (0)

TEST(four_gib_are_where_they_are)
{
	const u32 hole[] = { HOLE + 0x123 };
	struct vm *vm = vm_new();
	u32 *memory = far_memory(vm);
	struct vcpu *vcpu = start(vm, reach_start, reach_end);

	reach_far(vcpu);
	vcpu_sync(vcpu, 1);
	EXPECT_REACHED(memory, 0);
	reach(vcpu, hole, 1);
	vcpu_expect(vcpu, VMM_EXIT_MMIO);
	EXPECT_EQ(HOLE + 0x123, vcpu->run->mmio.gpa);
	EXPECT_EQ(4, vcpu->run->mmio.size);
	EXPECT_EQ(0, vcpu->run->mmio.write);
}

TEST(new_memory_in_a_slot_is_seen)
{
	struct vm *vm = vm_new();
	u32 *memory = far_memory(vm);
	struct vcpu *vcpu = start(vm, reach_start, reach_end);

	reach_far(vcpu);
	vcpu_sync(vcpu, 1);
	EXPECT_REACHED(memory, 0);
	for (u32 i = 0; i < ARRAY_SIZE(far_pages); i++)
		EXPECT_EQ(0, vm_slot(vm, i + 1, 0, 0, NULL, 0));
	memory = far_memory(vm);
	reach_far(vcpu);
	vcpu_sync(vcpu, 1);
	EXPECT_REACHED(memory, 0);
	reach_far(vcpu);
	vcpu_sync(vcpu, 1);
	EXPECT_REACHED(memory, 1);
}

TEST(paging_is_switched_on_and_off)
{
	const u32 want[] = { FAR, 0x1234, TABLE(0), FAR, 0x1234, TABLE(1), FAR };
	struct vm *vm = vm_new();
	struct vcpu *vcpu = start(vm, modes_start, modes_end);
	u32 *pd32 = vm_ptr(vm, TABLE(0));
	u64 *pdpt = vm_ptr(vm, TABLE(1)), *pd = vm_ptr(vm, TABLE(2));

	far_memory(vm);
	*(u32 *)vm_ptr(vm, GUEST_DATA2) = 0x1234;
	memset(pd32, 0, 3 * 4096);
	pd32[0] = PTE_P | PTE_W | PTE_PS;
	pd32[FAR >> 22] = GUEST_DATA2 | PTE_P | PTE_W | PTE_PS;
	pdpt[0] = TABLE(2) | PTE_P;
	pd[CODE >> 21] = CODE | PTE_P | PTE_W | PTE_PS;
	pd[FAR >> 21] = GUEST_DATA2 | PTE_P | PTE_W | PTE_PS;
	vcpu_done(vcpu);
	for (u32 i = 0; i < ARRAY_SIZE(want); i++)
		EXPECT_EQ_FOR(want[i], result(vm, i), "result %u", i);
}

static volatile u64 above[4];

/* 64-bit; what is at and above 4 GiB, where the first entries of its own table lead. */
static void guest_look_above(void)
{
	for (u32 i = 0; i < 4; i++)
		above[i] = *(volatile u64 *)(FOUR_GIB + i * 4096);
	GUEST_SYNC(2);
	for (u32 i = 0; i < 4; i++) {
		above[i] = *(volatile u64 *)(FOUR_GIB + i * 4096);
		*(volatile u64 *)(FOUR_GIB + i * 4096) = 0;
	}
	GUEST_DONE();
}

TEST(nothing_is_lent_to_where_the_guest_can_look)
{
	struct vm *vm = vm_new();
	u32 *memory = far_memory(vm);
	u64 *own = map_memory(4 * 4096), *pdpt = vm_ptr(vm, GUEST_PML4 + 4096);
	u64 *pd = vm_ptr(vm, TABLE(0));
	struct vcpu *vcpu = start(vm, reach_start, reach_end);
	struct vcpu *other = vcpu_new(vm, 1, guest_look_above);

	pd[0] = FOUR_GIB | PTE_P | PTE_W | PTE_PS;
	pdpt[4] = TABLE(0) | PTE_P | PTE_W;
	reach_far(vcpu);
	vcpu_sync(vcpu, 1);
	for (u32 i = 0; i < 4; i++) {
		vcpu_expect(other, VMM_EXIT_MMIO);
		EXPECT_EQ(FOUR_GIB + i * 4096, other->run->mmio.gpa);
		other->run->mmio.data = i;
	}
	vcpu_sync(other, 2);
	for (u32 i = 0; i < 4; i++)
		own[i * 512] = 100 + i;
	EXPECT_EQ(0, vm_slot(vm, 20, FOUR_GIB, 4 * 4096, own, 0));
	vcpu_done(other);
	for (u32 i = 0; i < 4; i++) {
		EXPECT_EQ(100 + i, guest_var(vm, above[i]));
		EXPECT_EQ(0, own[i * 512]);
	}
	reach_far(vcpu);
	vcpu_sync(vcpu, 1);
	EXPECT_REACHED(memory, 1);
}

VMM_TEST_MAIN
