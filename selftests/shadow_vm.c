// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * VMs that ask for shadow paging (VMM_VM_SHADOW) beside those that take what the CPU has:
 * both run, on one CPU in turns; tables that are written in a way that no fault tells of are
 * seen with the next flush; large pages of guest and host become large leaves; and PCID
 * and INVPCID do for a guest of either kind what the manual says, "Process-Context Identifiers
 * (PCIDs)".
 */
#include <errno.h>
#include <sys/mman.h>

#include "lib/test.h"
#include "lib/thread.h"

#define PAGE		4096UL
#define WINDOW		(GUEST_DATA + 0x100000)	/* linear; 512 pages of a table of its own */
#define TABLE(i)	(GUEST_DATA + (i) * PAGE)	/* 0 to 9: tables, 16 and up: pages */
#define FRAME(i)	TABLE(16 + (i))
#define LARGE		(2UL << 20)
#define FLAGS		(PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)
#define KEEP		(1UL << 63)		/* MOV to CR3: what is cached stays */
#define BEHIND		(1UL << 39)		/* linear: the second entry of the top table */

static u64 stat_of(struct vcpu *vcpu, u32 which)
{
	struct vmm_vcpu_stats stats = { 0 };

	VMM_MUST(vcpu->fd, VMM_GET_VCPU_STATS, &stats);
	return stats.exits[which];
}

static struct vcpu *new_vcpu(u64 flags, void (*guest)(void))
{
	vm_flags = flags;
	return vcpu_new(vm_new(), 0, guest);
}

/* ---- two kinds side by side ---- */

/* A page table of its own behind the second entry of the top table at @pml4. */
static void map_behind(u64 pml4, u64 first_table, u64 frame)
{
	write64(first_table, (first_table + PAGE) | FLAGS);
	write64(first_table + PAGE, (first_table + 2 * PAGE) | FLAGS);
	write64(first_table + 2 * PAGE, frame | FLAGS);
	write64(pml4 + 8, first_table | FLAGS);
}

static void guest_moves_a_page(void)
{
	u64 round;

	write64(FRAME(0), 100);
	write64(FRAME(1), 101);
	map_behind(GUEST_PML4, TABLE(0), FRAME(0));
	for (round = 0;; round++) {
		GUEST_EQ(100 + round % 2, read64(BEHIND));
		write64(TABLE(2), FRAME((round + 1) % 2) | FLAGS);
		invlpg(BEHIND);
		GUEST_SYNC(1);
	}
}

TEST(a_vm_with_shadow_paging_runs_beside_others)
{
	struct vcpu *shadow = new_vcpu(VMM_VM_SHADOW, guest_moves_a_page);
	struct vcpu *other = new_vcpu(0, guest_moves_a_page);
	struct vmm_info info = get_info();

	for (int i = 0; i < 20; i++) {
		vcpu_sync(shadow, 1);
		vcpu_sync(other, 1);
	}
	EXPECT_EQ(20, stat_of(shadow, VMM_STAT_INVLPG));
	EXPECT_EQ(info.paging == VMM_PAGING_SHADOW ? 20 : 0, stat_of(other, VMM_STAT_INVLPG));
	EXPECT_EQ(0, stat_of(shadow, VMM_STAT_MEMORY));
}

/* ---- a slot that moves ---- */

#define PLACES	64U

static u64 place;

static void guest_follows(void)
{
	for (;;) {
		GUEST_EQ(0x5a5a, read64(*(volatile u64 *)&place));
		GUEST_SYNC(1);
	}
}

/* What is kept for frames is given back with their slot: a VM that moves it costs no more. */
TEST(a_slot_that_moves_leaves_nothing_behind)
{
	struct vcpu *vcpu = new_vcpu(VMM_VM_SHADOW, guest_follows);
	struct vmm_vm_stats stats = { 0 };
	u64 *memory = map_memory(LARGE), first = 0;

	memory[0] = 0x5a5a;
	for (u32 i = 0; i < PLACES; i++) {
		const u64 gpa = GUEST_HOLE + i * 2 * LARGE;

		ASSERT_EQ(0, vm_slot(vcpu->vm, 1, gpa, LARGE, memory, 0));
		guest_var(vcpu->vm, place) = gpa;
		vcpu_sync(vcpu, 1);
		VMM_MUST(vcpu->vm->fd, VMM_GET_VM_STATS, &stats);
		if (!i)
			first = stats.aux_pages;
	}
	EXPECT_LE(stats.aux_pages, first + 8);
}

/* ---- tables that are written where no fault tells ---- */

#define ALIAS(gpa)	(GUEST_HOLE + (gpa) - GUEST_DATA)	/* the same memory */
#define PORT		0x80

static void add_alias(struct vcpu *vcpu)
{
	if (vm_slot(vcpu->vm, 1, GUEST_HOLE, LARGE, vm_ptr(vcpu->vm, GUEST_DATA), 0))
		die("no second slot on the same memory");
}

/* Tables 0 to 2 map the page at BEHIND, and table 3 could be in the place of 2. */
static void begin_behind(void)
{
	for (u64 i = 0; i < 4; i++)
		write64(FRAME(i), 100 + i);
	map_behind(GUEST_PML4, TABLE(0), FRAME(0));
	write64(TABLE(3), FRAME(2) | FLAGS);
	write64(TABLE(3) + 8, FRAME(2) | FLAGS);
	write64(TABLE(2) + 8, FRAME(0) | FLAGS);
}

/* What was read is in the shadow, and that in sync. */
static void settle(u64 value)
{
	GUEST_EQ(value, read64(BEHIND));
	write_cr3(read_cr3());
	GUEST_EQ(value, read64(BEHIND));
}

static void guest_writes_through_alias(void)
{
	begin_behind();
	for (u64 i = 0; i < 8; i++) {
		settle(100);
		/* A leaf, seen by both ways to flush it. */
		write64(ALIAS(TABLE(2)), FRAME(1) | FLAGS);
		invlpg(BEHIND);
		settle(101);
		write64(ALIAS(TABLE(2)), FRAME(0) | FLAGS);
		write_cr3(read_cr3());
		settle(100);
		/* A link: what was not used through it is new by whatever INVLPG. */
		write64(ALIAS(TABLE(1)), TABLE(3) | FLAGS);
		invlpg(GUEST_HOLE);
		GUEST_EQ(102, read64(BEHIND + PAGE));
		invlpg(BEHIND);
		settle(102);
		/* The table that is not linked changes, and needs no flush to come back. */
		write64(ALIAS(TABLE(2)), FRAME(3) | FLAGS);
		write64(ALIAS(TABLE(1)), 0);
		invlpg(BEHIND);
		write64(ALIAS(TABLE(1)), TABLE(2) | FLAGS);
		settle(103);
		write64(ALIAS(TABLE(2)), FRAME(0) | FLAGS);
		write_cr3(read_cr3());
	}
	/* The other slot goes, with what was written through it a moment ago. */
	settle(100);
	write64(ALIAS(TABLE(2)), FRAME(1) | FLAGS);
	GUEST_SYNC(1);
	write_cr3(read_cr3());
	GUEST_EQ(101, read64(BEHIND));
	GUEST_DONE();
}

static void write_through_alias(u64 flags)
{
	struct vcpu *vcpu = new_vcpu(flags, guest_writes_through_alias);

	add_alias(vcpu);
	vcpu_sync(vcpu, 1);
	if (vm_slot(vcpu->vm, 1, 0, 0, NULL, 0))
		die("the slot does not go");
	vcpu_done(vcpu);
}

TEST(tables_written_through_another_slot_on_the_same_memory)
{
	set_audit(true);
	write_through_alias(0);
	write_through_alias(VMM_VM_SHADOW);
	set_audit(false);
}

/* The only page that two links lead to in turns, one instruction needing both. */
static void guest_needs_two_links(void)
{
	begin_behind();
	write64(TABLE(1) + 8, TABLE(2) | FLAGS);
	for (u64 i = 0; i < 8; i++) {
		write64(ALIAS(TABLE(2)), FRAME(i & 1) | FLAGS);
		write64(ALIAS(TABLE(2)) + 8, FRAME(2) | FLAGS);
		write_cr3(read_cr3());
		asm volatile("movsq" : : "S"(BEHIND), "D"(BEHIND + LARGE + PAGE) : "memory");
		GUEST_EQ(100 + (i & 1), read64(FRAME(2)));
	}
	GUEST_DONE();
}

TEST(an_instruction_needs_two_ways_to_a_table_that_another_slot_shows)
{
	struct vcpu *vcpu = new_vcpu(VMM_VM_SHADOW, guest_needs_two_links);

	add_alias(vcpu);
	vcpu_done(vcpu);
}

static void guest_inputs_entries(void)
{
	begin_behind();
	for (u64 i = 0; i < 8; i++) {
		settle(100 + i % 4);
		asm volatile("insl" : : "d"(PORT), "D"(TABLE(2)) : "memory");
		if (i & 4)
			invlpg(BEHIND);
		else
			write_cr3(read_cr3());
	}
	GUEST_DONE();
}

/* The process carries the instruction out, which writes the table for the guest. */
static void input_entries(u64 flags)
{
	struct vcpu *vcpu = new_vcpu(flags, guest_inputs_entries);
	struct vmm_state state;

	for (u64 i = 0; i < 8; i++) {
		vcpu_expect(vcpu, VMM_EXIT_INSN);
		*(u32 *)vm_ptr(vcpu->vm, TABLE(2)) = FRAME((i + 1) % 4) | FLAGS;
		vcpu_get(vcpu, &state, VMM_STATE_REGS);
		state.regs.rip++;
		vcpu_set(vcpu, &state, VMM_STATE_REGS);
	}
	vcpu_done(vcpu);
}

TEST(tables_written_by_an_instruction_that_the_process_carries_out)
{
	input_entries(0);
	input_entries(VMM_VM_SHADOW);
}

/* ---- tables in a read-only slot ---- */

#define IN_ROM	(ALIAS(TABLE(2)) + 8)	/* an entry whose bits the CPU would set */

static void guest_has_table_in_rom(void)
{
	begin_behind();
	write64(TABLE(2) + 8, FRAME(1) | (FLAGS & ~(PTE_A | PTE_D)));
	write64(TABLE(1), ALIAS(TABLE(2)) | FLAGS);
	settle(100);
	write64(BEHIND, 105);
	GUEST_EQ(105, read64(FRAME(0)));
	GUEST_EQ(101, read64(BEHIND + PAGE));
	write64(BEHIND + PAGE, 106);
	GUEST_EQ(106, read64(FRAME(1)));
	GUEST_DONE();
}

/* The CPU's write to the entry is the process's to allow: it does so, and the guest goes on. */
TEST(accessed_bits_in_a_read_only_slot_are_the_process_s_affair)
{
	struct vcpu *vcpu = new_vcpu(VMM_VM_SHADOW, guest_has_table_in_rom);
	const u64 bits[] = { PTE_A, PTE_A | PTE_D };
	u8 *table = vm_ptr(vcpu->vm, GUEST_DATA);

	ASSERT_EQ(0, vm_slot(vcpu->vm, 1, GUEST_HOLE, LARGE, table, VMM_SLOT_READONLY));
	for (int i = 0; i < 2; i++) {
		vcpu_expect(vcpu, VMM_EXIT_MEMORY);
		EXPECT_EQ(IN_ROM, vcpu->run->memory.gpa);
		EXPECT_EQ(VMM_ACCESS_WRITE, vcpu->run->memory.access);
		EXPECT_EQ(EFAULT, vcpu->run->memory.error);
		*(u64 *)(table + IN_ROM - GUEST_HOLE) |= bits[i];
	}
	vcpu_done(vcpu);
}

/* There the CPU's walk asks for more than to read, sooner or later. */
TEST(tables_in_a_read_only_slot_and_nested_paging)
{
	struct vcpu *vcpu = new_vcpu(0, guest_has_table_in_rom);
	u8 *table = vm_ptr(vcpu->vm, GUEST_DATA);

	if (get_info().paging == VMM_PAGING_SHADOW)
		SKIP(return, "the CPU has no nested paging");
	if (!host_is_tcg())
		SKIP(return, "Bochs sets accessed bits without asking the nested tables");
	ASSERT_EQ(0, vm_slot(vcpu->vm, 1, GUEST_HOLE, LARGE, table, VMM_SLOT_READONLY));
	vcpu_expect(vcpu, VMM_EXIT_MEMORY);
	EXPECT_EQ(IN_ROM & ~0xfffUL, vcpu->run->memory.gpa & ~0xfffUL);
	EXPECT_TRUE(vcpu->run->memory.access & VMM_ACCESS_WRITE);
	EXPECT_EQ(EFAULT, vcpu->run->memory.error);
}

/* ---- large leaves ---- */

#define SMALL_PAGES	512UL

static void guest_uses_large_page(void)
{
	u64 i;

	/* All of it, through the identity map of large pages. */
	for (i = 0; i < SMALL_PAGES; i++) {
		GUEST_EQ(i, read64(GUEST_HOLE + i * PAGE));
		write64(GUEST_HOLE + i * PAGE, i + 1);
	}
	GUEST_SYNC(1);
	/* Some of its pages become tables, and are changed through the same map. */
	map_behind(GUEST_PML4, GUEST_HOLE + 8 * PAGE, GUEST_HOLE);
	for (i = 0; i < 20; i++) {
		GUEST_EQ(i % 2 ? 2 : 1, read64(BEHIND));
		write64(GUEST_HOLE + 10 * PAGE, (GUEST_HOLE + (i % 2 ? 0 : 1) * PAGE) | FLAGS);
		invlpg(BEHIND);
		/* Neighbours can be written as before. */
		write64(GUEST_HOLE + (20 + i) * PAGE, i);
	}
	GUEST_SYNC(2);
	/* The process took one page away. */
	for (i = 100; i < SMALL_PAGES; i++)
		GUEST_EQ(i == 300 ? 0 : i + 1, read64(GUEST_HOLE + i * PAGE));
	GUEST_DONE();
}

/* 2 MiB in one piece, by the kernel's word or with luck; NULL: there is none. */
static u8 *large_page(void)
{
	u8 *memory = map_memory(2 * LARGE);
	char line[128];
	long kib = 0;
	FILE *file;

	memory += LARGE - (u64)memory % LARGE;
	if (madvise(memory, LARGE, MADV_HUGEPAGE))
		return NULL;
	for (u64 i = 0; i < SMALL_PAGES; i++)
		*(u64 *)(memory + i * PAGE) = i;
	file = fopen("/proc/self/smaps_rollup", "r");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "AnonHugePages: %ld", &kib);
	if (file)
		fclose(file);
	return kib >= 2048 ? memory : NULL;
}

TEST(a_large_page_of_guest_and_host_takes_one_fault)
{
	struct vcpu *vcpu = new_vcpu(VMM_VM_SHADOW, guest_uses_large_page);
	u8 *memory = large_page();
	u64 before;

	if (!memory)
		SKIP(return, "the host gives no huge page");
	ASSERT_EQ(0, vm_slot(vcpu->vm, 1, GUEST_HOLE, LARGE, memory, 0));
	set_audit(true);
	before = stat_of(vcpu, VMM_STAT_EXCEPTION);
	vcpu_sync(vcpu, 1);
	/* Beside those of code, stack and tables. */
	EXPECT_GT(SMALL_PAGES / 8, stat_of(vcpu, VMM_STAT_EXCEPTION) - before);
	EXPECT_EQ(512, *(u64 *)(memory + 511 * PAGE));
	vcpu_sync(vcpu, 2);
	ASSERT_EQ(0, madvise(memory + 300 * PAGE, PAGE, MADV_DONTNEED));
	vcpu_done(vcpu);
	set_audit(false);
}

/* ---- PCID ---- */

static bool has_pcid(void)
{
	return cpuid(1, 0).ecx & 1U << 17;
}

static bool has_invpcid(void)
{
	return cpuid(7, 0).ebx & 1U << 10;
}

#define CR3(n)	(TABLE(4 * (n)) | (n))		/* roots 1 and 2, with PCIDs to match */

/* Root @n: like that of the test, and @frame at BEHIND. */
static void make_root(u64 n, u64 frame)
{
	write64(TABLE(4 * n), read64(GUEST_PML4));
	map_behind(TABLE(4 * n), TABLE(4 * n + 1), frame);
}

static void set_frame(u64 n, u64 frame)
{
	write64(TABLE(4 * n + 3), frame | FLAGS);
}

static void pcid_begin(void)
{
	if (!has_pcid()) {
		GUEST_SYNC(2);
		GUEST_DONE();
	}
	for (u64 i = 0; i < 4; i++)
		write64(FRAME(i), 100 + i);
	make_root(1, FRAME(0));
	make_root(2, FRAME(1));
	GUEST_EQ(VEC_GP, GUEST_TRY("mov %0, %%cr3", "r"(GUEST_PML4 | KEEP) : "memory"));
	write_cr4(read_cr4() | X86_CR4_PCIDE);
}

static void guest_pcid(void)
{
	pcid_begin();
	/* A PCID comes back with CR3, the bit that keeps does not. */
	write_cr3(CR3(1));
	GUEST_EQ(CR3(1), read_cr3());
	GUEST_EQ(100, read64(BEHIND));
	write_cr3(CR3(2) | KEEP);
	GUEST_EQ(CR3(2), read_cr3());
	GUEST_EQ(101, read64(BEHIND));
	for (u64 i = 0; i < 20; i++) {
		write_cr3(CR3(1) | KEEP);
		GUEST_EQ(100, read64(BEHIND));
		write_cr3(CR3(2) | KEEP);
		GUEST_EQ(101, read64(BEHIND));
	}
	/* Without the bit, the PCID that is loaded is flushed. */
	set_frame(1, FRAME(2));
	write_cr3(CR3(1));
	GUEST_EQ(102, read64(BEHIND));
	/* To be switched off at any time, and on only while the PCID is 0. */
	write_cr4(read_cr4() & ~X86_CR4_PCIDE);
	GUEST_EQ(102, read64(BEHIND));
	GUEST_EQ(VEC_GP, GUEST_TRY("mov %0, %%cr4", "r"(read_cr4() | X86_CR4_PCIDE) : "memory"));
	GUEST_DONE();
}

static u64 try_invpcid(u64 type, u64 pcid, u64 address)
{
	/* Across two pages. */
	const u64 at = FRAME(9) - 8;

	write64(at, pcid);
	write64(at + 8, address);
	return GUEST_TRY("invpcid (%0), %1", "r"(at), "r"(type) : "memory");
}

static u64 user_vector;

static void user_invpcid(void)
{
	user_vector = try_invpcid(2, 0, 0);
}

static void invpcid_refuses(void)
{
	GUEST_EQ(VEC_GP, try_invpcid(4, 0, 0));
	GUEST_EQ(VEC_GP, try_invpcid(2, 1UL << 12, 0));
	GUEST_EQ(VEC_GP, try_invpcid(0, 1, 1UL << 48));
	GUEST_EQ(VEC_PF, GUEST_TRY("invpcid (%0), %1", "r"(2 * BEHIND), "r"(2UL) : "memory"));
	GUEST_EQ(2 * BEHIND, guest_fault.cr2);
	GUEST_EQ(VEC_GP, GUEST_TRY("invpcid (%0), %1", "r"(1UL << 62), "r"(2UL) : "memory"));
}

static void guest_invpcid(void)
{
	u64 type;

	pcid_begin();
	if (!has_invpcid()) {
		GUEST_EQ(VEC_UD, try_invpcid(2, 0, 0));
		GUEST_SYNC(2);
		GUEST_DONE();
	}
	write_cr3(CR3(2));
	GUEST_EQ(101, read64(BEHIND));
	write_cr3(CR3(1));
	/* Each type, for the PCID in use and for the other one. */
	for (type = 0; type < 4; type++) {
		GUEST_EQ(100, read64(BEHIND));
		set_frame(1, FRAME(2));
		GUEST_EQ(NO_FAULT, try_invpcid(type, 1, BEHIND));
		GUEST_EQ(102, read64(BEHIND));
		set_frame(1, FRAME(0));
		set_frame(2, FRAME(3));
		GUEST_EQ(NO_FAULT, try_invpcid(type, 2, BEHIND));
		write_cr3(CR3(2) | KEEP);
		GUEST_EQ(103, read64(BEHIND));
		set_frame(2, FRAME(1));
		write_cr3(CR3(2));
		GUEST_EQ(101, read64(BEHIND));
		write_cr3(CR3(1));
	}
	invpcid_refuses();
	write_cr3(CR3(1) & ~0xfffUL);
	write_cr4(read_cr4() & ~X86_CR4_PCIDE);
	GUEST_EQ(VEC_GP, try_invpcid(0, 1, BEHIND));
	GUEST_EQ(VEC_GP, try_invpcid(1, 1, BEHIND));
	GUEST_EQ(NO_FAULT, try_invpcid(1, 0, 0));
	guest_call_user(user_invpcid);
	GUEST_EQ(VEC_GP, user_vector);
	GUEST_DONE();
}

/* False: the guest's CPU has no such thing. */
static bool runs(u64 flags, void (*guest)(void))
{
	struct vcpu *vcpu = new_vcpu(flags, guest);
	u32 value;

	vcpu_expect(vcpu, VMM_EXIT_PIO);
	if (!vcpu_synced(vcpu, &value) || (value != 2 && value != GUEST_DONE_VALUE))
		die("expected the guest to be done, got %s", exit_text(vcpu));
	return value == GUEST_DONE_VALUE;
}

TEST(pcids)
{
	bool known = runs(0, guest_pcid);

	EXPECT_EQ(known, runs(VMM_VM_SHADOW, guest_pcid));
	if (!known)
		SKIP(return, "the CPU has no PCIDs");
}

TEST(invpcid)
{
	bool known = runs(0, guest_invpcid);

	EXPECT_EQ(known, runs(VMM_VM_SHADOW, guest_invpcid));
	if (!known)
		SKIP(return, "the CPU has no INVPCID");
}

VMM_TEST_MAIN
