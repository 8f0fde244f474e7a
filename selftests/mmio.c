// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Accesses to addresses without memory: moves of 1 to 8 bytes leave as MMIO with
 * RIP past them, and an answer goes into the register as the instruction says;
 * all other forms and accesses over a page's end leave as instructions, and what
 * has to be memory (code, the stack of a handler) leaves as such.
 */
#include "lib/test.h"

#define DEVICE	GUEST_HOLE

static void guest_store(void)
{
	u64 rax = 0x1122334455667788;

	__asm__ volatile("movb %%al, (%1)" : : "a"(rax), "r"(DEVICE) : "memory");
	__asm__ volatile("movb %%ah, 1(%1)" : : "a"(rax), "r"(DEVICE) : "memory");
	__asm__ volatile("movw %%ax, 2(%1)" : : "a"(rax), "r"(DEVICE) : "memory");
	__asm__ volatile("movl %%eax, 4(%1)" : : "a"(rax), "r"(DEVICE) : "memory");
	__asm__ volatile("movq %%rax, 8(%1)" : : "a"(rax), "r"(DEVICE) : "memory");
	__asm__ volatile("movb $0x5a, 3(%0)" : : "r"(DEVICE) : "memory");
	__asm__ volatile("movw $0x5a5b, 4(%0)" : : "r"(DEVICE) : "memory");
	__asm__ volatile("movl $0x5a5b5c5d, 8(%0)" : : "r"(DEVICE) : "memory");
	__asm__ volatile("movq $-2, 16(%0)" : : "r"(DEVICE) : "memory");
	__asm__ volatile("movb %%r9b, (%0)" : : "r"(DEVICE) : "memory");
	GUEST_DONE();
}

TEST(stores_of_every_size_exit_with_their_data)
{
	static const struct {
		u32 offset, size;
		u64 data;
	} want[] = {
		{ 0, 1, 0x88 }, { 1, 1, 0x77 }, { 2, 2, 0x7788 }, { 4, 4, 0x55667788 },
		{ 8, 8, 0x1122334455667788 }, { 3, 1, 0x5a }, { 4, 2, 0x5a5b },
		{ 8, 4, 0x5a5b5c5d }, { 16, 8, -2UL }, { 0, 1, 0 },
	};
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_store);
	struct vmm_exit_mmio *mmio = &vcpu->run->mmio;

	for (u32 i = 0; i < ARRAY_SIZE(want); i++) {
		vcpu_expect(vcpu, VMM_EXIT_MMIO);
		EXPECT_EQ_FOR(DEVICE + want[i].offset, mmio->gpa, "store %u", i);
		EXPECT_EQ_FOR(want[i].size, mmio->size, "store %u", i);
		EXPECT_EQ_FOR(1, mmio->write, "store %u", i);
		EXPECT_EQ_FOR(want[i].data, mmio->data, "store %u", i);
		EXPECT_EQ_FOR(vcpu_rip(vcpu), vcpu->run->rip, "store %u", i);
	}
	vcpu_done(vcpu);
}

#define OLD	0x1122334455667788UL
#define ANSWER	0x9abcdef081828384UL
#define LOAD(insn, want)						\
	do {								\
		u64 rax = OLD;						\
									\
		__asm__ volatile(insn : "+a"(rax) : "r"(DEVICE) : "memory"); \
		if (rax != (want))					\
			GUEST_FAIL(insn, want, rax);			\
	} while (0)

static void guest_load(void)
{
	LOAD("movb (%1), %%al", 0x1122334455667784);
	LOAD("movb (%1), %%ah", 0x1122334455668488);
	LOAD("movw (%1), %%ax", 0x1122334455668384);
	LOAD("movl (%1), %%eax", 0x81828384);
	LOAD("movq (%1), %%rax", ANSWER);
	LOAD("movzbw (%1), %%ax", 0x1122334455660084);
	LOAD("movzbl (%1), %%eax", 0x84);
	LOAD("movzbq (%1), %%rax", 0x84);
	LOAD("movzwl (%1), %%eax", 0x8384);
	LOAD("movzwq (%1), %%rax", 0x8384);
	LOAD("movsbw (%1), %%ax", 0x112233445566ff84);
	LOAD("movsbl (%1), %%eax", 0xffffff84);
	LOAD("movsbq (%1), %%rax", 0xffffffffffffff84);
	LOAD("movswl (%1), %%eax", 0xffff8384);
	LOAD("movswq (%1), %%rax", 0xffffffffffff8384);
	LOAD("movslq (%1), %%rax", 0xffffffff81828384);
	/* The absolute form, 64 bits of address. */
	LOAD("movabs 0x10000000, %%eax", 0x81828384);
	GUEST_DONE();
}

TEST(loads_of_every_form_take_the_answer)
{
	static const u8 sizes[] = { 1, 1, 2, 4, 8, 1, 1, 1, 2, 2, 1, 1, 1, 2, 2, 4, 4 };
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_load);
	struct vmm_exit_mmio *mmio = &vcpu->run->mmio;

	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
		vcpu_expect(vcpu, VMM_EXIT_MMIO);
		EXPECT_EQ_FOR(DEVICE, mmio->gpa, "load %u", i);
		EXPECT_EQ_FOR(sizes[i], mmio->size, "load %u", i);
		EXPECT_EQ_FOR(0, mmio->write, "load %u", i);
		/* Bytes beyond the size must not count. */
		mmio->data = ANSWER;
	}
	vcpu_done(vcpu);
}

TEST(an_answer_is_taken_even_when_no_guest_is_entered)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_load);
	struct vmm_state state;

	vcpu_expect(vcpu, VMM_EXIT_MMIO);
	vcpu->run->mmio.data = ANSWER;
	vcpu->run->immediate_exit = 1;
	EXPECT_EQ(-EINTR, vcpu_run(vcpu));
	EXPECT_EQ(VMM_EXIT_INTR, vcpu->run->exit_reason);
	vcpu_get(vcpu, &state, VMM_STATE_REGS);
	EXPECT_EQ(0x1122334455667784, state.regs.rax);
}

static void guest_other_forms(void)
{
	u64 rax = 1;
	void *rdi = (void *)DEVICE;

	__asm__ volatile("lock xaddl %%eax, (%1)" : "+a"(rax) : "r"(DEVICE) : "memory");
	__asm__ volatile("xchgl %%eax, 4(%1)" : "+a"(rax) : "r"(DEVICE) : "memory");
	__asm__ volatile("addl $1, 8(%0)" : : "r"(DEVICE) : "memory");
	__asm__ volatile("cmpl $1, 12(%0)" : : "r"(DEVICE) : "memory", "cc");
	__asm__ volatile("stosl" : "+D"(rdi) : "a"(5) : "memory");
	__asm__ volatile("pushq (%0); popq %%rcx" : : "r"(DEVICE) : "memory", "rcx");
	__asm__ volatile("movups %%xmm0, (%0)" : : "r"(DEVICE) : "memory");
	GUEST_DONE();
}

/* Read, then written: CPUs may fault on the read already. */
#define EITHER	~0U

TEST(other_forms_leave_as_instructions)
{
	static const struct {
		u32 offset, length, access;
	} want[] = {
		{ 0, 4, EITHER }, { 4, 3, EITHER }, { 8, 4, EITHER },
		{ 12, 4, 0 }, { 0, 1, VMM_ACCESS_WRITE }, { 0, 2, 0 }, { 0, 3, VMM_ACCESS_WRITE },
	};
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_other_forms);
	struct vmm_exit_insn *insn = &vcpu->run->insn;
	struct vmm_state state;

	for (u32 i = 0; i < ARRAY_SIZE(want); i++) {
		vcpu_expect(vcpu, VMM_EXIT_INSN);
		EXPECT_EQ_FOR(VMM_INSN_MMIO, insn->cause, "form %u", i);
		EXPECT_EQ_FOR(DEVICE + want[i].offset, insn->gpa, "form %u", i);
		EXPECT_EQ_FOR(15, insn->length, "form %u", i);
		if (want[i].access != EITHER)
			EXPECT_EQ_FOR(want[i].access, insn->access & VMM_ACCESS_WRITE, "form %u",
				      i);
		vcpu_get(vcpu, &state, VMM_STATE_REGS);
		EXPECT_EQ_FOR(state.regs.rip, vcpu->run->rip, "form %u", i);
		EXPECT_EQ_FOR(0, memcmp(vm_ptr(vcpu->vm, state.regs.rip), insn->bytes, 15),
			      "bytes of form %u", i);
		state.regs.rip += want[i].length;
		if (i == 5)
			state.regs.rsp -= 8;	/* as if PUSH were done */
		vcpu_set(vcpu, &state, VMM_STATE_REGS);
	}
	vcpu_done(vcpu);
}

static void guest_read_crossing(void)
{
	read64(DEVICE + 0x1000 - 4);
	GUEST_DONE();
}

static void guest_write_crossing(void)
{
	write32(DEVICE + 0x1000 - 2, 1);
	GUEST_DONE();
}

static void guest_half_memory(void)
{
	write64(GUEST_MEM_SIZE - 4, 1);
	GUEST_DONE();
}

TEST(accesses_over_a_page_end_leave_as_instructions)
{
	static void (*const guests[])(void) = {
		guest_read_crossing, guest_write_crossing, guest_half_memory,
	};

	for (u32 i = 0; i < ARRAY_SIZE(guests); i++) {
		struct vcpu *vcpu = vcpu_new(vm_new(), 0, guests[i]);

		*(u32 *)vm_ptr(vcpu->vm, GUEST_MEM_SIZE - 4) = 0x77;
		vcpu_exit(vcpu);
		EXPECT_EQ_FOR(VMM_EXIT_INSN, vcpu->run->exit_reason, "guest %u: %s", i,
			      exit_text(vcpu));
		EXPECT_EQ_FOR(VMM_INSN_MMIO, vcpu->run->insn.cause, "guest %u", i);
		/* Nothing of it was done. */
		EXPECT_EQ(0x77, *(u32 *)vm_ptr(vcpu->vm, GUEST_MEM_SIZE - 4));
	}
}

static void guest_fetch(void)
{
	((void (*)(void))DEVICE)();
}

/* No device answers a fetch: it is memory that is missing. */
TEST(a_fetch_from_nowhere_is_a_memory_exit)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_fetch);

	vcpu_expect(vcpu, VMM_EXIT_MEMORY);
	EXPECT_EQ(VMM_ACCESS_EXEC, vcpu->run->memory.access & VMM_ACCESS_EXEC);
	EXPECT_EQ(DEVICE, vcpu->run->memory.gpa & ~0xfffUL);
	EXPECT_EQ(EFAULT, vcpu->run->memory.error);
	EXPECT_EQ(DEVICE, vcpu->run->rip);
}

/*
 * Stores and an INT whose exception is pushed at the device's 0x7f8, which is also
 * the offset in its page that the stores aim at: to who looks only at the
 * instruction, the push is its access.
 */
void guest_gp_to_device(void);
void guest_pf_to_device(void);
void guest_int_to_device(void);
extern const char at_gp[], at_pf[], at_int[], after_int[];

__asm__(".text\n"
	"guest_gp_to_device:\n"
	"	mov	$0x10000800, %esp\n"
	"	movabs	$0x80000000000007f8, %rbx\n"	/* not canonical */
	"at_gp:	mov	%rax, (%rbx)\n"
	"	hlt\n"
	"guest_pf_to_device:\n"
	"	mov	$0x10000800, %esp\n"
	"	movabs	$0x1000007f8, %rbx\n"		/* not in the guest's page table */
	"at_pf:	mov	%rax, (%rbx)\n"
	"	hlt\n"
	"guest_int_to_device:\n"
	"	mov	$0x10000800, %esp\n"
	"at_int: int	$0x30\n"
	"after_int:\n"
	"	hlt\n");

static volatile u64 delivered_vector, delivered_rip;

static void keep_delivery(struct guest_frame *frame)
{
	delivered_vector = frame->vector;
	delivered_rip = frame->rip;
	GUEST_DONE();
}

TEST(delivery_of_an_event_to_nowhere_is_a_memory_exit)
{
	static const struct {
		void (*guest)(void);
		const char *at, *saved;
		u64 vector;
	} cases[] = {
		{ guest_gp_to_device, at_gp, at_gp, VEC_GP },
		{ guest_pf_to_device, at_pf, at_pf, VEC_PF },
		{ guest_int_to_device, at_int, after_int, 0x30 },
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vcpu *vcpu;

		guest_handlers[cases[i].vector] = keep_delivery;
		vcpu = vcpu_new(vm_new(), 0, cases[i].guest);
		vcpu_expect(vcpu, VMM_EXIT_MEMORY);
		EXPECT_EQ_FOR(DEVICE, vcpu->run->memory.gpa & ~0xfffUL, "case %u", i);
		EXPECT_EQ_FOR(VMM_ACCESS_WRITE, vcpu->run->memory.access & VMM_ACCESS_WRITE,
			      "case %u", i);
		EXPECT_EQ_FOR(EFAULT, vcpu->run->memory.error, "case %u", i);
		EXPECT_EQ_FOR((u64)cases[i].at, vcpu->run->rip, "case %u", i);
		/* With memory there, delivery goes on as if nothing had been. */
		ASSERT_EQ(0, vm_slot(vcpu->vm, 5, DEVICE, 0x1000, map_memory(0x1000), 0));
		vcpu_done(vcpu);
		EXPECT_EQ_FOR(cases[i].vector, guest_var(vcpu->vm, delivered_vector),
			      "case %u", i);
		EXPECT_EQ_FOR((u64)cases[i].saved, guest_var(vcpu->vm, delivered_rip),
			      "case %u", i);
	}
}

VMM_TEST_MAIN
