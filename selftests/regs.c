// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * VMM_GET_STATE and VMM_SET_STATE: each section comes back as it was set, a guest
 * sees what was set, and values that a CPU cannot hold are refused with nothing
 * changed, also not in the other sections of the same call.
 */
#include "lib/test.h"

#define NONCANONICAL	0x100000000000000UL	/* with 57 bits, too */

static void guest_done(void)
{
	GUEST_DONE();
}

static void expect_same(struct __test_metadata *_metadata, const char *what,
			const void *want, const void *got, size_t size)
{
	for (size_t i = 0; i < size; i += 4)
		EXPECT_EQ_FOR(*(u32 *)((u8 *)want + i), *(u32 *)((u8 *)got + i),
			      "%s, offset %#zx", what, i);
}

TEST(general_registers_come_back)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	struct vmm_state set, got;

	vcpu_get(vcpu, &set, VMM_STATE_REGS);
	for (int i = 0; i < VMM_NR_GPR; i++)
		set.regs.gpr[i] = 0x1111111111111111UL * i + 0x8000000000000001;
	set.regs.rip = 0xffff800000001234;
	set.regs.rflags = 0x3f0cd7 | RFLAGS_FIXED;
	set.regs.rflags &= ~(1UL << 17);	/* virtual-8086 mode: not in long mode */
	vcpu_set(vcpu, &set, VMM_STATE_REGS);
	vcpu_get(vcpu, &got, VMM_STATE_REGS);
	expect_same(_metadata, "regs", &set.regs, &got.regs, sizeof(set.regs));
}

TEST(segments_come_back)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	struct vmm_state set, got;

	vcpu_get(vcpu, &set, VMM_STATE_SEGS);
	set.segs.seg[VMM_FS].base = 0xffff812345678000;
	set.segs.seg[VMM_FS].selector = 0x13;
	set.segs.seg[VMM_GS].base = 0x7fff12345678;
	set.segs.seg[VMM_DS].limit = 0x12345;
	set.segs.seg[VMM_DS].attr = 0x40f3;	/* byte-granular, DPL 3 */
	set.segs.seg[VMM_DS].selector = 0x33;
	set.segs.seg[VMM_ES] = (struct vmm_segment){ .attr = VMM_SEG_UNUSABLE };
	set.segs.seg[VMM_LDTR] = (struct vmm_segment){ .selector = 0x50, .base = 0x3000,
						       .limit = 0xfff, .attr = 0x0082 };
	set.segs.seg[VMM_TR].base = 0xffff800000123000;
	set.segs.gdt = (struct vmm_table){ .base = 0xffff800000001000, .limit = 0x7f };
	set.segs.idt = (struct vmm_table){ .base = 0x7000, .limit = 0xffe };
	vcpu_set(vcpu, &set, VMM_STATE_SEGS);
	vcpu_get(vcpu, &got, VMM_STATE_SEGS);
	for (int i = 0; i < VMM_NR_SREG; i++) {
		EXPECT_EQ_FOR(set.segs.seg[i].attr & VMM_SEG_UNUSABLE,
			      got.segs.seg[i].attr & VMM_SEG_UNUSABLE, "segment %d", i);
		if (set.segs.seg[i].attr & VMM_SEG_UNUSABLE)
			continue;
		EXPECT_EQ_FOR(set.segs.seg[i].attr, got.segs.seg[i].attr, "segment %d", i);
		EXPECT_EQ_FOR(set.segs.seg[i].base, got.segs.seg[i].base, "segment %d", i);
		EXPECT_EQ_FOR(set.segs.seg[i].limit, got.segs.seg[i].limit, "segment %d", i);
		EXPECT_EQ_FOR(set.segs.seg[i].selector, got.segs.seg[i].selector,
			      "segment %d", i);
	}
	expect_same(_metadata, "gdt", &set.segs.gdt, &got.segs.gdt, sizeof(set.segs.gdt));
	expect_same(_metadata, "idt", &set.segs.idt, &got.segs.idt, sizeof(set.segs.idt));
}

TEST(control_and_debug_registers_come_back)
{
	const u64 mask = VMM_STATE_CTRL | VMM_STATE_DEBUG;
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	struct vmm_state set, got;

	vcpu_get(vcpu, &set, mask);
	set.ctrl.cr0 |= X86_CR0_AM | X86_CR0_TS;
	set.ctrl.cr2 = 0xdeadbeefcafe;
	set.ctrl.cr3 = 0x123000;
	set.ctrl.cr4 |= X86_CR4_PGE | X86_CR4_TSD | X86_CR4_DE;
	set.ctrl.cr8 = 7;
	set.ctrl.efer &= ~EFER_SCE;
	for (int i = 0; i < 4; i++)
		set.debug.dr[i] = 0x1000UL + i;
	set.debug.dr6 = 0xffff0ff5;
	set.debug.dr7 = 0x455;
	vcpu_set(vcpu, &set, mask);
	vcpu_get(vcpu, &got, mask);
	expect_same(_metadata, "ctrl", &set.ctrl, &got.ctrl, sizeof(set.ctrl));
	expect_same(_metadata, "debug", &set.debug, &got.debug, sizeof(set.debug));
}

TEST(events_come_back)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	struct vmm_state set = { 0 }, got;

	set.events.event = (struct vmm_event){
		.type = VMM_EVENT_EXCEPTION, .vector = VEC_GP,
		.flags = VMM_EVENT_HAS_ERROR, .error = 0x18,
	};
	set.events.nmi_pending = 2;
	set.events.nmi_masked = 1;
	set.events.shadow = VMM_SHADOW_STI;
	set.events.mp_state = VMM_MP_HALTED;
	vcpu_set(vcpu, &set, VMM_STATE_EVENTS);
	vcpu_get(vcpu, &got, VMM_STATE_EVENTS);
	expect_same(_metadata, "events", &set.events, &got.events, sizeof(set.events));
}

TEST(an_event_alone_leaves_waiting_nmis_and_the_mp_state_as_they_are)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	struct vmm_state state = { 0 };

	state.events.nmi_pending = 1;
	state.events.nmi_masked = 1;
	vcpu_set(vcpu, &state, VMM_STATE_EVENTS);
	memset(&state.events, 0, sizeof(state.events));
	state.events.event = (struct vmm_event){
		.type = VMM_EVENT_EXCEPTION, .vector = VEC_UD,
	};
	state.events.mp_state = VMM_MP_HALTED;	/* not of the section EVENT */
	vcpu_set(vcpu, &state, VMM_STATE_EVENT);
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(VMM_EVENT_EXCEPTION, state.events.event.type);
	EXPECT_EQ(VEC_UD, state.events.event.vector);
	EXPECT_EQ(1, state.events.nmi_pending);
	EXPECT_EQ(0, state.events.nmi_masked);
	EXPECT_EQ(VMM_MP_RUNNABLE, state.events.mp_state);
}

TEST(the_lapic_comes_back)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	struct vmm_state set, got;

	vcpu_get(vcpu, &set, VMM_STATE_LAPIC);
	set.lapic.regs[APIC_SVR / 16] = 0x1fe;
	set.lapic.regs[APIC_TPR / 16] = 0x30;
	set.lapic.regs[APIC_LVT_TIMER / 16] = 0x10055;
	set.lapic.regs[APIC_LVT_ERROR / 16] = 0x10066;
	set.lapic.regs[APIC_IRR / 16 + 2] = 1U << 5;	/* vector 0x45 */
	set.lapic.regs[APIC_ISR / 16 + 1] = 1U << 9;	/* vector 0x29 */
	set.lapic.regs[APIC_TDCR / 16] = 0xb;
	set.lapic.regs[APIC_LDR / 16] = 0x02000000;
	vcpu_set(vcpu, &set, VMM_STATE_LAPIC);
	vcpu_get(vcpu, &got, VMM_STATE_LAPIC);
	/* PPR follows from TPR and ISR. */
	set.lapic.regs[APIC_PPR / 16] = got.lapic.regs[APIC_PPR / 16];
	EXPECT_EQ(0x30, got.lapic.regs[APIC_PPR / 16]);
	expect_same(_metadata, "lapic", &set.lapic, &got.lapic, sizeof(set.lapic));
}

TEST(cr8_is_the_tpr)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_CTRL | VMM_STATE_LAPIC);
	state.ctrl.cr8 = 5;
	vcpu_set(vcpu, &state, VMM_STATE_CTRL);
	vcpu_get(vcpu, &state, VMM_STATE_CTRL | VMM_STATE_LAPIC);
	EXPECT_EQ(5, state.ctrl.cr8);
	EXPECT_EQ(0x50, state.lapic.regs[APIC_TPR / 16]);
	state.lapic.regs[APIC_TPR / 16] = 0x93;
	vcpu_set(vcpu, &state, VMM_STATE_LAPIC);
	vcpu_get(vcpu, &state, VMM_STATE_CTRL | VMM_STATE_LAPIC);
	EXPECT_EQ(9, state.ctrl.cr8);
	EXPECT_EQ(0x93, state.lapic.regs[APIC_TPR / 16]);
}

/* ---- refused ---- */

FIXTURE(refused) {
	struct vcpu *vcpu;
	struct vmm_state good;
};

FIXTURE_SETUP(refused)
{
	self->vcpu = vcpu_new(vm_new(), 0, guest_done);
	vcpu_get(self->vcpu, &self->good, VMM_STATE_ALL);
}

FIXTURE_TEARDOWN(refused)
{
	vcpu_done(self->vcpu);
}

/*
 * Spoil one value; RAX changes with it, so that a set that stops half-way shows.
 */
#define REFUSED(edit)							\
	do {								\
		struct vmm_state bad_ = self->good, after_, *s = &bad_;	\
									\
		bad_.regs.rax = 0xbad;					\
		edit;							\
		bad_.mask = VMM_STATE_ALL;				\
		EXPECT_EQ_FOR(-EINVAL, vmm_call(self->vcpu->fd, VMM_SET_STATE, &bad_), \
			      "VMM_SET_STATE with " #edit);		\
		vcpu_get(self->vcpu, &after_, VMM_STATE_ALL);		\
		expect_same(_metadata, "after " #edit, &self->good, &after_, \
			    sizeof(after_));				\
		if (!_metadata->passed)					\
			vcpu_set(self->vcpu, &self->good, VMM_STATE_ALL); \
	} while (0)

TEST_F(refused, registers)
{
	REFUSED(s->regs.rip = NONCANONICAL);
	REFUSED(s->regs.rflags |= 1UL << 22);
	REFUSED(s->regs.rflags |= 1UL << 63);
	REFUSED(s->regs.rflags |= 1UL << 3);
	REFUSED(s->regs.rflags &= ~RFLAGS_FIXED);
}

TEST_F(refused, segments)
{
	REFUSED(s->segs.seg[VMM_FS].base = NONCANONICAL);
	REFUSED(s->segs.seg[VMM_GS].base = NONCANONICAL);
	REFUSED(s->segs.seg[VMM_TR].base = NONCANONICAL);
	REFUSED(s->segs.gdt.base = NONCANONICAL);
	REFUSED(s->segs.idt.base = NONCANONICAL);
	/* CS that is no code segment, is not present, or is both L and D. */
	REFUSED(s->segs.seg[VMM_CS].attr = 0xa093);
	REFUSED(s->segs.seg[VMM_CS].attr = 0xa01b);
	REFUSED(s->segs.seg[VMM_CS].attr = 0xe09b);
	REFUSED(s->segs.seg[VMM_CS].attr = VMM_SEG_UNUSABLE);
	REFUSED(s->segs.seg[VMM_TR].attr = VMM_SEG_UNUSABLE);
	REFUSED(s->segs.seg[VMM_TR].attr = 0x0092);
	REFUSED(s->segs.seg[VMM_LDTR] = ((struct vmm_segment){ .attr = 0x008b }));
	/* A limit that the granularity cannot express. */
	REFUSED(s->segs.seg[VMM_DS].limit = 0x123456);
	REFUSED(s->segs.seg[VMM_DS].attr &= ~VMM_SEG_G);
	/* Bits of attr that no descriptor has. */
	REFUSED(s->segs.seg[VMM_DS].attr |= 0x0200);
}

TEST_F(refused, control_registers)
{
	u64 above = 1UL << get_info().phys_bits;

	REFUSED(s->ctrl.cr0 |= 1UL << 63);
	REFUSED(s->ctrl.cr0 &= ~X86_CR0_PE);
	REFUSED(s->ctrl.cr0 |= X86_CR0_NW);
	REFUSED(s->ctrl.cr3 |= above);
	REFUSED(s->ctrl.cr4 |= 1UL << 31);
	REFUSED(s->ctrl.cr4 |= 1UL << 63);
	REFUSED(s->ctrl.cr4 |= X86_CR4_VMXE);
	REFUSED(s->ctrl.cr4 &= ~X86_CR4_PAE);
	REFUSED(s->ctrl.cr8 = 16);
	REFUSED(s->ctrl.efer |= EFER_SVME);
	REFUSED(s->ctrl.efer |= 1UL << 1);
	REFUSED(s->ctrl.efer |= 1UL << 63);
	REFUSED(s->ctrl.efer &= ~EFER_LMA);
	REFUSED(s->ctrl.efer &= ~EFER_LME);
	REFUSED(s->ctrl.xcr0 = 0);
	REFUSED(s->ctrl.xcr0 = 5);
	REFUSED(s->ctrl.xcr0 |= 1UL << 62);
}

TEST_F(refused, debug_registers)
{
	REFUSED(s->debug.dr6 |= 1UL << 32);
	REFUSED(s->debug.dr7 |= 1UL << 32);
}

TEST_F(refused, events)
{
	REFUSED(s->events.event.type = 5);
	REFUSED((s->events.event.type = VMM_EVENT_EXCEPTION, s->events.event.vector = 32));
	REFUSED((s->events.event.type = VMM_EVENT_EXCEPTION, s->events.event.flags = 2));
	/* VT-x takes 16 bits of an error code. */
	REFUSED((s->events.event = (struct vmm_event){
		.type = VMM_EVENT_EXCEPTION, .vector = VEC_GP,
		.flags = VMM_EVENT_HAS_ERROR, .error = 0x10000,
	}));
	REFUSED(s->events.nmi_pending = 3);
	REFUSED(s->events.nmi_masked = 2);
	REFUSED(s->events.shadow = 4);
	REFUSED(s->events.mp_state = 4);
}

TEST_F(refused, lapic)
{
	REFUSED(s->lapic.base |= 1UL << get_info().phys_bits);
	REFUSED(s->lapic.base |= 1);
	REFUSED(s->lapic.base = (s->lapic.base | APIC_BASE_X2) & ~APIC_BASE_ENABLE);
}

/* ---- as the guest sees it ---- */

static volatile u64 seen[VMM_NR_GPR];

/* Stores all registers, RSP included, without a stack. */
__asm__(".text\n"
	"guest_store:\n"
	"	movq %rax, seen + 0\n"
	"	movq %rcx, seen + 8\n"
	"	movq %rdx, seen + 16\n"
	"	movq %rbx, seen + 24\n"
	"	movq %rsp, seen + 32\n"
	"	movq %rbp, seen + 40\n"
	"	movq %rsi, seen + 48\n"
	"	movq %rdi, seen + 56\n"
	"	movq %r8, seen + 64\n"
	"	movq %r9, seen + 72\n"
	"	movq %r10, seen + 80\n"
	"	movq %r11, seen + 88\n"
	"	movq %r12, seen + 96\n"
	"	movq %r13, seen + 104\n"
	"	movq %r14, seen + 112\n"
	"	movq %r15, seen + 120\n"
	"	leaq 0x111(%rax), %rax\n"
	"	leaq 0x111(%r15), %r15\n"
	"	movl $0x5e0, %edx\n"
	"	outl %eax, %dx\n"
);
extern void guest_store(void);

TEST(the_guest_has_the_registers_that_were_set)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_store);
	struct vmm_state state, after;

	vcpu_get(vcpu, &state, VMM_STATE_REGS);
	for (int i = 0; i < VMM_NR_GPR; i++)
		state.regs.gpr[i] = 0x0101010101010101UL * (i + 1);
	vcpu_set(vcpu, &state, VMM_STATE_REGS);
	vcpu_expect(vcpu, VMM_EXIT_PIO);
	for (int i = 0; i < VMM_NR_GPR; i++)
		EXPECT_EQ_FOR(state.regs.gpr[i], guest_var(vcpu->vm, seen[i]), "register %d", i);
	state.regs.rax += 0x111;
	state.regs.r15 += 0x111;
	state.regs.rdx = PORT_SYNC;
	vcpu_get(vcpu, &after, VMM_STATE_REGS);
	for (int i = 0; i < VMM_NR_GPR; i++)
		EXPECT_EQ_FOR(state.regs.gpr[i], after.regs.gpr[i], "register %d after the exit",
			      i);
}

static void guest_control(void)
{
	GUEST_EQ(0xabc000, read_cr2());
	GUEST_EQ(3, read_cr8());
	GUEST_TRUE(read_cr0() & X86_CR0_AM);
	GUEST_TRUE(read_cr4() & X86_CR4_PGE);
	write_cr2(0x123456);
	write_cr8(9);
	write_cr0(read_cr0() & ~X86_CR0_AM);
	write_cr4(read_cr4() & ~X86_CR4_PGE);
	__asm__ volatile("mov %0, %%db0" : : "r"(0x7777UL));
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SCE);
	GUEST_DONE();
}

TEST(control_registers_reach_the_guest_and_come_back)
{
	const u64 mask = VMM_STATE_CTRL | VMM_STATE_DEBUG;
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_control);
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_CTRL);
	state.ctrl.cr2 = 0xabc000;
	state.ctrl.cr8 = 3;
	state.ctrl.cr0 |= X86_CR0_AM;
	state.ctrl.cr4 |= X86_CR4_PGE;
	vcpu_set(vcpu, &state, VMM_STATE_CTRL);
	vcpu_done(vcpu);
	vcpu_get(vcpu, &state, mask);
	EXPECT_EQ(0x123456, state.ctrl.cr2);
	EXPECT_EQ(9, state.ctrl.cr8);
	EXPECT_EQ(0, state.ctrl.cr0 & X86_CR0_AM);
	EXPECT_EQ(0, state.ctrl.cr4 & X86_CR4_PGE);
	EXPECT_EQ(EFER_LME | EFER_LMA | EFER_NX, state.ctrl.efer);
	EXPECT_EQ(0x7777, state.debug.dr[0]);
}

/* ---- the run page ---- */

static void guest_sync_twice(void)
{
	GUEST_SYNC(1);
	GUEST_SYNC(2);
	GUEST_DONE();
}

TEST(sync_out_fills_the_run_page)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_sync_twice);
	struct vmm_state want;

	vcpu->run->sync_out = VMM_STATE_ALL;
	vcpu_sync(vcpu, 1);
	vcpu_get(vcpu, &want, VMM_STATE_ALL);
	expect_same(_metadata, "regs", &want.regs, &vcpu->run->state.regs, sizeof(want.regs));
	expect_same(_metadata, "segs", &want.segs, &vcpu->run->state.segs, sizeof(want.segs));
	expect_same(_metadata, "ctrl", &want.ctrl, &vcpu->run->state.ctrl, sizeof(want.ctrl));
	expect_same(_metadata, "debug", &want.debug, &vcpu->run->state.debug,
		    sizeof(want.debug));
	expect_same(_metadata, "events", &want.events, &vcpu->run->state.events,
		    sizeof(want.events));
	EXPECT_EQ(want.lapic.base, vcpu->run->state.lapic.base);
	/* Only what is asked for. */
	vcpu->run->sync_out = VMM_STATE_CTRL;
	memset(&vcpu->run->state.regs, 0xa5, sizeof(want.regs));
	vcpu_sync(vcpu, 2);
	EXPECT_EQ(0xa5a5a5a5a5a5a5a5, vcpu->run->state.regs.rip);
}

TEST(sync_in_sets_the_registers)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_sync_twice);
	struct vmm_state state;

	vcpu->run->sync_out = VMM_STATE_REGS;
	vcpu_sync(vcpu, 1);
	vcpu->run->state.regs.rip = (u64)guest_done;
	vcpu->run->sync_in = VMM_STATE_REGS;
	vcpu_done(vcpu);
	EXPECT_EQ(0, vcpu->run->sync_in);
	vcpu_get(vcpu, &state, VMM_STATE_REGS);
	EXPECT_EQ(state.regs.rip, vcpu->run->rip);
}

TEST(sync_in_of_bad_values_is_einval_and_does_not_run)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_sync_twice);
	struct vmm_state before, after;

	vcpu->run->sync_out = VMM_STATE_REGS | VMM_STATE_CTRL;
	vcpu_sync(vcpu, 1);
	vcpu_get(vcpu, &before, VMM_STATE_REGS | VMM_STATE_CTRL);
	vcpu->run->state.ctrl.cr4 |= 1UL << 31;
	vcpu->run->state.regs.rax = 0xbad;
	vcpu->run->sync_in = VMM_STATE_REGS | VMM_STATE_CTRL;
	EXPECT_EQ(-EINVAL, vcpu_run(vcpu));
	vcpu->run->sync_in = 0;
	vcpu_get(vcpu, &after, VMM_STATE_REGS | VMM_STATE_CTRL);
	expect_same(_metadata, "state", &before, &after, sizeof(before));
	vcpu->run->sync_in = VMM_STATE_ALL + 1;
	EXPECT_EQ(-EINVAL, vcpu_run(vcpu));
	vcpu->run->sync_in = 0;
	vcpu_sync(vcpu, 2);
}

TEST(every_field_of_the_run_page_may_be_garbage)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_sync_twice);
	u32 seed = 1;

	for (int round = 0; round < 200; round++) {
		u8 *page = (u8 *)vcpu->run;
		int result;

		for (u32 i = 0; i < VMM_RUN_SIZE; i++)
			page[i] = (seed = seed * 1103515245 + 12345) >> 16;
		vcpu->run->immediate_exit = 1;
		vcpu->run->sync_in &= round & 1 ? VMM_STATE_ALL : 0;
		result = vcpu_run(vcpu);
		if (result != -EINVAL)
			EXPECT_EQ_FOR(-EINTR, result, "round %d", round);
	}
	memset(vcpu->run, 0, VMM_RUN_SIZE);
	vcpu_restart(vcpu, guest_done);
	vcpu_done(vcpu);
}

/* ---- reset ---- */

#define XSAVE_MXCSR_MASK	0x1c
#define XSAVE_HEADER		0x200

struct whole {
	struct vmm_state state;
	struct vmm_msr msr[VMM_MAX_MSRS];
	u32 msrs;
	u8 *xsave;
};

/* All that there is of a vCPU but its TSC, which runs. */
static void get_whole(struct whole *whole, struct vcpu *vcpu)
{
	u32 indices[VMM_MAX_MSRS], size = get_info().xsave_size;
	struct vmm_msr_list list = { .count = VMM_MAX_MSRS, .indices = (u64)indices };
	struct vmm_msrs msrs = { .msrs = (u64)whole->msr };
	struct vmm_xsave xsave = { .size = size };

	VMM_MUST(vcpu->vm->sys, VMM_GET_MSR_LIST, &list);
	memset(whole->msr, 0, sizeof(whole->msr));
	whole->msrs = 0;
	for (u32 i = 0; i < list.count; i++)
		if (indices[i] != MSR_TSC)
			whole->msr[whole->msrs++].index = indices[i];
	msrs.count = whole->msrs;
	vcpu_get(vcpu, &whole->state, VMM_STATE_ALL & ~VMM_STATE_EVENT);
	if (VMM_MUST(vcpu->fd, VMM_GET_MSRS, &msrs) != (int)whole->msrs)
		die("VMM_GET_MSRS: expected all");
	whole->xsave = map_memory(size);
	xsave.data = (u64)whole->xsave;
	VMM_MUST(vcpu->fd, VMM_GET_XSAVE, &xsave);
}

static void expect_whole(struct __test_metadata *_metadata, const struct whole *want,
			 const struct whole *got)
{
	expect_same(_metadata, "state", &want->state, &got->state, sizeof(want->state));
	EXPECT_EQ(want->msrs, got->msrs);
	for (u32 i = 0; i < want->msrs; i++)
		EXPECT_EQ_FOR(want->msr[i].value, got->msr[i].value, "MSR %#x",
			      want->msr[i].index);
	/*
	 * MXCSR_MASK is the CPU's; XSTATE_BV may say of a component that it is in use whose
	 * values are the initial ones.
	 */
	memset(want->xsave + XSAVE_MXCSR_MASK, 0, sizeof(u32));
	memset(got->xsave + XSAVE_MXCSR_MASK, 0, sizeof(u32));
	memset(want->xsave + XSAVE_HEADER, 0, sizeof(u64));
	memset(got->xsave + XSAVE_HEADER, 0, sizeof(u64));
	expect_same(_metadata, "xsave", want->xsave, got->xsave, get_info().xsave_size);
}

#define RESET_VECTOR	0x61

/* Leaves something in each kind of state, then waits for a port. */
static void guest_leaves_traces(void)
{
	guest_apic_enable();
	apic_write(APIC_LVT_TIMER, RESET_VECTOR | APIC_TIMER_DEADLINE);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + (1UL << 40));
	wrmsr(MSR_KERNEL_GS_BASE, 0x1234000);
	wrmsr(MSR_LSTAR, 0x5678000);
	wrmsr(0x4b564d01, GUEST_DATA | 1);	/* kvmclock */
	wrmsr(0x4b564d04, (GUEST_DATA + 64) | 1);	/* EOIs in memory */
	__asm__ volatile("mov %0, %%db1" : : "r"(0x1000UL));
	__asm__ volatile("pcmpeqd %%xmm3, %%xmm3; fldpi" : : : "memory");
	wrmsr(MSR_X2APIC + 0x3f, RESET_VECTOR);	/* stays in IRR: IF is clear */
	inl(0x5f0);
	GUEST_FAIL("went on behind a reset", 0, 0);
}

static void test_reset(struct __test_metadata *_metadata, u32 id)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new_reset(vm, id);
	struct whole before, traces, after;
	int err;

	get_whole(&before, vcpu);
	EXPECT_EQ(id ? VMM_MP_WAIT_INIT : VMM_MP_RUNNABLE, before.state.events.mp_state);
	vcpu_restart(vcpu, guest_leaves_traces);
	EXPECT_EQ(VMM_EXIT_PIO, vcpu_exit(vcpu));
	VMM_MUST(vcpu->fd, VMM_NMI, NULL);
	get_whole(&traces, vcpu);
	EXPECT_NE(0, memcmp(&before.state.lapic, &traces.state.lapic,
			    sizeof(before.state.lapic)));
	EXPECT_NE(0, memcmp(before.xsave, traces.xsave, get_info().xsave_size));
	EXPECT_EQ(1, traces.state.events.nmi_pending);
	VMM_MUST(vcpu->fd, VMM_RESET, NULL);
	get_whole(&after, vcpu);
	expect_whole(_metadata, &before, &after);
	/* What the exit waited for is forgotten, too. */
	vcpu->run->immediate_exit = 1;
	err = vcpu_run(vcpu);
	EXPECT_EQ(-EINTR, err);
	get_whole(&after, vcpu);
	expect_whole(_metadata, &before, &after);
	vcpu->run->immediate_exit = 0;
	vcpu_restart(vcpu, guest_done);
	vcpu_done(vcpu);
}

TEST(reset_is_what_a_vcpu_powers_up_with)
{
	test_reset(_metadata, 0);
	test_reset(_metadata, 1);
}

VMM_TEST_MAIN
