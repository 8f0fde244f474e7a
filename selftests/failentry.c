// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * States that make no sense: the ioctl refuses them, or the entry fails with an
 * exit that says so, or the guest runs into a fault of its own. The host, the VM
 * and the vCPU are as good as before. Where the CPU does not say what it minded
 * (VT-x), the module found out: info[3] is the number of the check.
 */
#include <signal.h>
#include <sys/time.h>

#include "lib/test.h"

#define ROUNDS	400

static void guest_done(void)
{
	GUEST_DONE();
}

static void tick(u32 us)
{
	struct itimerval timer = { .it_value.tv_usec = us, .it_interval.tv_usec = us };

	setitimer(ITIMER_REAL, &timer, NULL);
}

/* Run in whatever state it is; every outcome but an internal error is fine. */
static void run_anyhow(struct __test_metadata *_metadata, struct vcpu *vcpu, const char *what)
{
	u32 reason, exits = 0;
	int result;

	tick(3000);
	do {
		result = vcpu_run(vcpu);
		reason = vcpu->run->exit_reason;
		if (result && result != -EINTR)
			EXPECT_EQ_FOR(-EINTR, result, "VMM_RUN with %s", what);
		if (!result && reason == VMM_EXIT_INTERNAL)
			EXPECT_EQ_FOR(0, vcpu->run->internal.code, "%s: %s", what,
				      exit_text(vcpu));
		if (!result && reason == VMM_EXIT_FAIL_ENTRY &&
		    get_info().backend == VMM_BACKEND_VT_X)
			EXPECT_LT(0, vcpu->run->fail_entry.info[3]) {
				TH_LOG("%s: refused, and no check names why: reason %#llx", what,
				       vcpu->run->fail_entry.hardware_reason);
			}
	} while (!result && exits++ < 20 && reason != VMM_EXIT_FAIL_ENTRY &&
		 reason != VMM_EXIT_SHUTDOWN);
	tick(0);
}

#define ODD(edit)							\
	do {								\
		struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);	\
		struct vmm_state state, *s = &state;			\
		int set_;						\
									\
		vcpu_get(vcpu, s, VMM_STATE_ALL);			\
		edit;							\
		s->mask = VMM_STATE_ALL;				\
		set_ = vmm_call(vcpu->fd, VMM_SET_STATE, s);		\
		if (set_)						\
			EXPECT_EQ_FOR(-EINVAL, set_, "VMM_SET_STATE with " #edit); \
		else							\
			run_anyhow(_metadata, vcpu, #edit);		\
		/* What it ran may have been anything. */		\
		vm_refill(vcpu->vm);					\
		vcpu_restart(vcpu, guest_done);				\
		vcpu_done(vcpu);					\
		vm_free(vcpu->vm);					\
		vcpu_free(vcpu);					\
	} while (0)

TEST(odd_states_end_in_an_answer)
{
	catch_signal(SIGALRM);
	ODD(s->segs.seg[VMM_CS].attr = 0xa093);
	ODD(s->segs.seg[VMM_CS].attr = 0x209b | VMM_SEG_G | VMM_SEG_DB);
	ODD(s->segs.seg[VMM_CS].attr = 0xc09b);
	ODD(s->segs.seg[VMM_CS].attr |= VMM_SEG_DPL);
	ODD(s->segs.seg[VMM_SS].attr |= VMM_SEG_DPL);
	ODD(s->segs.seg[VMM_SS] = ((struct vmm_segment){ .attr = VMM_SEG_UNUSABLE }));
	ODD(s->segs.seg[VMM_SS].attr = 0xc09b);
	ODD(s->segs.seg[VMM_TR].limit = 0);
	ODD(s->segs.seg[VMM_TR].attr = 0x0089);
	ODD(s->segs.seg[VMM_DS].attr = 0);
	ODD(s->segs.gdt.limit = 0);
	ODD(s->segs.idt.limit = 0);
	ODD(s->ctrl.cr3 = GUEST_HOLE);
	ODD(s->ctrl.cr3 = GUEST_MEM_SIZE);
	ODD(s->ctrl.cr3 |= 0xfff);
	ODD(s->ctrl.cr0 &= ~X86_CR0_PG);
	ODD((s->ctrl.cr0 &= ~X86_CR0_PG, s->ctrl.efer &= ~EFER_LMA));
	ODD((s->ctrl.efer = 0, s->segs.seg[VMM_CS].attr = 0xc09b));
	ODD((s->ctrl.efer = 0, s->ctrl.cr4 = 0));
	ODD(s->ctrl.cr0 |= X86_CR0_CD);
	ODD(s->ctrl.cr0 |= X86_CR0_CD | X86_CR0_NW);
	ODD(s->ctrl.cr0 &= ~X86_CR0_NE);
	ODD(s->ctrl.cr4 |= 1UL << 17);			/* PCIDE */
	ODD(s->ctrl.cr4 |= X86_CR4_LA57);
	ODD(s->ctrl.pdpte[0] = ~0UL);
	ODD(s->debug.dr7 = ~0U);
	ODD(s->debug.dr6 = 0);
	ODD(s->regs.rip = 0);
	ODD(s->regs.rip = GUEST_HOLE);
	ODD(s->regs.rip = 0x7ffffffffffe);
	ODD(s->regs.rsp = 0x8000000000000000);
	ODD(s->regs.rflags |= 1UL << 17);
	ODD(s->regs.rflags |= RFLAGS_TF);
	ODD((s->events.event.type = VMM_EVENT_SOFT_INT, s->events.event.vector = 3));
	ODD((s->events.event.type = VMM_EVENT_SOFT_INT, s->events.event.vector = 0x20,
	     s->events.event.length = 15));
	ODD((s->events.event.type = VMM_EVENT_EXCEPTION, s->events.event.vector = VEC_DF));
	ODD((s->events.event.type = VMM_EVENT_EXCEPTION, s->events.event.vector = VEC_BP));
	ODD((s->events.event.type = VMM_EVENT_EXCEPTION, s->events.event.vector = 31));
	ODD((s->events.event.type = VMM_EVENT_INTR, s->events.event.vector = 0));
	ODD((s->events.event.type = VMM_EVENT_NMI, s->events.event.vector = 2));
	ODD((s->events.nmi_pending = 2, s->events.nmi_masked = 1));
	ODD(s->events.shadow = VMM_SHADOW_STI | VMM_SHADOW_MOV_SS);
	ODD(s->events.mp_state = VMM_MP_WAIT_SIPI);
	ODD(s->lapic.base = 0);
	ODD(s->lapic.regs[APIC_IRR / 16] = ~0U);
	ODD(s->lapic.regs[APIC_SVR / 16] = ~0U);
	ODD(s->lapic.regs[APIC_TMICT / 16] = 1);
	ODD(memset(&s->lapic.regs, 0xff, sizeof(s->lapic.regs)));
	ODD(s->lapic.tsc_deadline = 1);
}

static u32 random_u32(u64 *seed)
{
	*seed = *seed * 6364136223846793005UL + 1442695040888963407UL;
	return *seed >> 33;
}

/* Flip bits in the sections of @mask only; what was refused is refused whole. */
static void fuzz(struct __test_metadata *_metadata, u64 mask, u32 offset, u32 size, u64 seed)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_done);
	struct vmm_state good, state;
	u32 accepted = 0, rounds = share_of(ROUNDS);

	catch_signal(SIGALRM);
	vcpu_get(vcpu, &good, VMM_STATE_ALL);
	/* Of few rounds none may be accepted. */
	for (u32 round = 0; round < rounds || (!accepted && round < ROUNDS); round++) {
		char what[64];
		int result;

		snprintf(what, sizeof(what), "mask %#lx round %u", mask, round);
		state = good;
		for (u32 flips = 1 + random_u32(&seed) % 4; flips; flips--)
			((u8 *)&state)[offset + random_u32(&seed) % size] ^=
				1U << random_u32(&seed) % 8;
		state.mask = mask;
		result = vmm_call(vcpu->fd, VMM_SET_STATE, &state);
		if (result && result != -EINVAL)
			EXPECT_EQ_FOR(-EINVAL, result, "%s", what);
		if (!result) {
			accepted++;
			run_anyhow(_metadata, vcpu, what);
		}
		vcpu_set(vcpu, &good, VMM_STATE_ALL);
	}
	EXPECT_LT(0, accepted);
	vcpu_restart(vcpu, guest_done);
	vcpu_done(vcpu);
}

#define FUZZ(section, member, seed)					\
	fuzz(_metadata, section, offsetof(struct vmm_state, member),	\
	     sizeof(((struct vmm_state *)0)->member), seed)

TEST(random_segments)
{
	FUZZ(VMM_STATE_SEGS, segs, 1);
}

TEST(random_control_registers)
{
	FUZZ(VMM_STATE_CTRL, ctrl, 2);
}

TEST(random_events)
{
	FUZZ(VMM_STATE_EVENTS, events, 3);
}

TEST(random_lapic)
{
	FUZZ(VMM_STATE_LAPIC, lapic, 4);
}

TEST(random_registers_and_debug)
{
	FUZZ(VMM_STATE_REGS, regs, 5);
	FUZZ(VMM_STATE_DEBUG, debug, 6);
}

VMM_TEST_MAIN
