// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Port accesses of every size leave the guest with port, size, direction and
 * data; an answer reaches only the register's bytes that the size names; string
 * forms are the process's to emulate.
 */
#include "lib/test.h"

#define PORT	0x3f8

static void guest_out(void)
{
	outb(PORT, 0x12);
	outw(PORT + 1, 0x3456);
	outl(PORT + 2, 0x789abcde);
	__asm__ volatile("outb %%al, $0x80" : : "a"(0x55));
	__asm__ volatile("outw %%ax, $0x81" : : "a"(0x6677));
	__asm__ volatile("outl %%eax, $0xff" : : "a"(0x8899aabb));
	outb(0xffff, 0xee);
	outb(0, 0xdd);
	GUEST_DONE();
}

TEST(out_of_every_size_exits_with_its_data)
{
	static const struct {
		u16 port;
		u8 size;
		u32 data;
	} want[] = {
		{ PORT, 1, 0x12 }, { PORT + 1, 2, 0x3456 }, { PORT + 2, 4, 0x789abcde },
		{ 0x80, 1, 0x55 }, { 0x81, 2, 0x6677 }, { 0xff, 4, 0x8899aabb },
		{ 0xffff, 1, 0xee }, { 0, 1, 0xdd },
	};
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_out);
	struct vmm_exit_pio *pio = &vcpu->run->pio;

	for (u32 i = 0; i < ARRAY_SIZE(want); i++) {
		vcpu_expect(vcpu, VMM_EXIT_PIO);
		EXPECT_EQ_FOR(want[i].port, pio->port, "OUT %u", i);
		EXPECT_EQ_FOR(want[i].size, pio->size, "OUT %u", i);
		EXPECT_EQ_FOR(1, pio->write, "OUT %u", i);
		EXPECT_EQ_FOR(want[i].data, pio->data, "OUT %u", i);
	}
	vcpu_done(vcpu);
}

static void guest_in(void)
{
	u64 rax;

	rax = 0x1122334455667788;
	__asm__ volatile("inb %w1, %%al" : "+a"(rax) : "d"(PORT));
	GUEST_EQ(0x11223344556677efUL, rax);
	rax = 0x1122334455667788;
	__asm__ volatile("inw %w1, %%ax" : "+a"(rax) : "d"(PORT + 1));
	GUEST_EQ(0x112233445566cdefUL, rax);
	rax = 0x1122334455667788;
	__asm__ volatile("inl %w1, %%eax" : "+a"(rax) : "d"(PORT + 2));
	GUEST_EQ(0x89abcdefUL, rax);
	rax = 0x1122334455667788;
	__asm__ volatile("inl $0x80, %%eax" : "+a"(rax));
	GUEST_EQ(0x89abcdefUL, rax);
	GUEST_DONE();
}

TEST(in_takes_the_answer_by_size)
{
	static const struct {
		u16 port;
		u8 size;
	} want[] = { { PORT, 1 }, { PORT + 1, 2 }, { PORT + 2, 4 }, { 0x80, 4 } };
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_in);
	struct vmm_exit_pio *pio = &vcpu->run->pio;

	for (u32 i = 0; i < ARRAY_SIZE(want); i++) {
		vcpu_expect(vcpu, VMM_EXIT_PIO);
		EXPECT_EQ_FOR(want[i].port, pio->port, "IN %u", i);
		EXPECT_EQ_FOR(want[i].size, pio->size, "IN %u", i);
		EXPECT_EQ_FOR(0, pio->write, "IN %u", i);
		pio->data = 0x89abcdef;
	}
	vcpu_done(vcpu);
}

static u8 buffer[64];

static void guest_strings(void)
{
	const void *from = buffer;
	void *to = buffer;
	u64 count = 4;

	__asm__ volatile("outsb; outsw; outsl; rep outsb; rep outsw; rep outsl;"
			 "insb; insw; insl; rep insb; rep insw; rep insl;"
			 "rep outsl (%%esi), %%dx; rep outsl %%fs:(%%rsi), %%dx"
			 : "+S"(from), "+D"(to), "+c"(count) : "d"(PORT) : "memory");
	GUEST_DONE();
}

/* Does what an emulator would: nothing but go on behind the instruction. */
static void skip(struct vcpu *vcpu, u32 length)
{
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_REGS);
	state.regs.rip += length;
	vcpu_set(vcpu, &state, VMM_STATE_REGS);
}

TEST(string_forms_leave_as_instructions)
{
	static const struct {
		const char *name;
		u8 length, opcode;	/* the opcode is the last byte */
	} forms[] = {
		{ "outsb", 1, 0x6e }, { "outsw", 2, 0x6f }, { "outsl", 1, 0x6f },
		{ "rep outsb", 2, 0x6e }, { "rep outsw", 3, 0x6f }, { "rep outsl", 2, 0x6f },
		{ "insb", 1, 0x6c }, { "insw", 2, 0x6d }, { "insl", 1, 0x6d },
		{ "rep insb", 2, 0x6c }, { "rep insw", 3, 0x6d }, { "rep insl", 2, 0x6d },
		{ "with 32 bits of address", 3, 0x6f }, { "with a segment", 3, 0x6f },
	};
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_strings);
	struct vmm_exit_insn *insn = &vcpu->run->insn;

	for (u32 i = 0; i < ARRAY_SIZE(forms); i++) {
		const char *name = forms[i].name;

		vcpu_expect(vcpu, VMM_EXIT_INSN);
		EXPECT_EQ_FOR(VMM_INSN_PIO, insn->cause, "%s", name);
		EXPECT_EQ_FOR(15, insn->length, "%s", name);
		EXPECT_EQ_FOR(forms[i].opcode, insn->bytes[forms[i].length - 1], "%s", name);
		EXPECT_EQ_FOR(vcpu_rip(vcpu), vcpu->run->rip, "%s", name);
		EXPECT_EQ_FOR(0, memcmp(vm_ptr(vcpu->vm, vcpu->run->rip), insn->bytes, 15),
			      "bytes of %s", name);
		/* RIP is at the instruction: unless something is done it comes again. */
		vcpu_expect(vcpu, VMM_EXIT_INSN);
		EXPECT_EQ_FOR(vcpu_rip(vcpu), vcpu->run->rip, "%s again", name);
		skip(vcpu, forms[i].length);
	}
	vcpu_done(vcpu);
}

static void guest_user(void)
{
	/* Without IOPL and without a bitmap in the TSS a port is #GP at CPL 3. */
	__asm__ volatile("pushfq; andq $~0x3000, (%%rsp); popfq" : : : "memory", "cc");
	GUEST_TRY("outb %%al, $0x80", "a"(0) : "memory");
}

static void guest_iopl(void)
{
	guest_call_user(guest_user);
	/* POPF at CPL 3 does not change IOPL: the OUT was done and no fault seen. */
	GUEST_EQ(NO_FAULT, guest_fault.vector);
	GUEST_DONE();
}

TEST(cpl_3_with_iopl_3_reaches_the_process)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_iopl);

	vcpu_expect(vcpu, VMM_EXIT_PIO);
	EXPECT_EQ(0x80, vcpu->run->pio.port);
	vcpu_done(vcpu);
}

VMM_TEST_MAIN
