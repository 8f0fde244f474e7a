// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Code that changes: written by the code itself, through another mapping of its page, by
 * another vCPU and by the process. What is executed is what was written last, wherever the
 * manual promises that ("Handling Self- and Cross-Modifying Code").
 */
#include "lib/test.h"
#include "lib/thread.h"

#define PAGE	4096UL
#define CODE	GUEST_DATA2		/* where a function is made */
#define TABLE(i) (GUEST_DATA + (i) * PAGE)
#define ALIAS	(1UL << 39)		/* linear: CODE's page once more */
#define ROUNDS	500U

typedef u32 (*function)(void);

/* mov $value, %eax; ret */
static void make_function(u64 at, u32 value)
{
	write8(at, 0xb8);
	*(volatile u32 *)(at + 1) = value;
	write8(at + 5, 0xc3);
}

static u32 call(u64 at)
{
	return ((function)at)();
}

static void guest_own_code(void)
{
	for (u32 i = 0; i < ROUNDS; i++) {
		make_function(CODE + i % 7 * 1024, i);
		GUEST_EQ(i, call(CODE + i % 7 * 1024));
	}
	/* Across two pages. */
	for (u32 i = 0; i < ROUNDS; i++) {
		make_function(CODE + PAGE - 3, i);
		GUEST_EQ(i, call(CODE + PAGE - 3));
	}
	GUEST_DONE();
}

TEST(code_that_is_made_and_called)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_own_code));
}

/*
 * movb $value, next(%rip); next: mov $0, %al; ret - the instruction behind the store is the
 * one that it changes.
 */
static void guest_next_instruction(void)
{
	static const u8 bytes[] = { 0xc6, 0x05, 1, 0, 0, 0, 0, 0xb0, 0, 0x0f, 0xb6, 0xc0, 0xc3 };

	for (u32 round = 0; round < ROUNDS; round++) {
		for (u32 i = 0; i < sizeof(bytes); i++)
			write8(CODE + i, bytes[i]);
		write8(CODE + 6, round);
		GUEST_EQ(round & 0xff, call(CODE));
	}
	GUEST_DONE();
}

TEST(code_that_changes_its_next_instruction)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_next_instruction));
}

static void map_alias(void)
{
	const u64 flags = PTE_P | PTE_W | PTE_U;

	write64(TABLE(0), TABLE(1) | flags);
	write64(TABLE(1), TABLE(2) | flags);
	write64(TABLE(2), CODE | flags);
	write64(GUEST_PML4 + 8, TABLE(0) | flags);
}

static void guest_alias(void)
{
	map_alias();
	for (u32 i = 0; i < ROUNDS; i++) {
		/* Written by one name and executed by the other: that takes a serializing one. */
		make_function(i & 1 ? ALIAS : CODE, i);
		cpuid(0, 0);
		GUEST_EQ(i, call(i & 1 ? CODE : ALIAS));
	}
	GUEST_DONE();
}

TEST(code_that_is_written_by_another_name)
{
	vcpu_done(vcpu_new(vm_new(), 0, guest_alias));
}

/* ---- another vCPU, the process ---- */

static volatile u32 written, called;

static void guest_caller(void)
{
	for (u32 i = 1; i <= ROUNDS; i++) {
		while (written != i)
			cpu_relax();
		cpuid(0, 0);
		GUEST_EQ(i, call(CODE));
		called = i;
	}
	GUEST_DONE();
}

static void guest_writer(void)
{
	for (u32 i = 1; i <= ROUNDS; i++) {
		make_function(CODE, i);
		written = i;
		while (called != i)
			cpu_relax();
	}
	GUEST_DONE();
}

TEST(code_that_another_vcpu_writes)
{
	struct vm *vm = vm_new();
	struct runner caller, writer;

	runner_start(&caller, vcpu_new(vm, 0, guest_caller));
	runner_start(&writer, vcpu_new(vm, 1, guest_writer));
	runner_join(&caller, 25);
	runner_join(&writer, 25);
}

static void guest_told(void)
{
	for (;;)
		GUEST_SYNC(1000 + call(CODE));
}

TEST(code_that_the_process_writes)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_told);
	u8 *code = vm_ptr(vcpu->vm, CODE);

	code[0] = 0xb8;
	code[5] = 0xc3;
	for (u32 i = 0; i < 50; i++) {
		*(u32 *)(code + 1) = i;
		vcpu_sync(vcpu, 1000 + i);
	}
}

VMM_TEST_MAIN
