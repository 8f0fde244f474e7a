// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Level-triggered interrupts: who learns of their end, and that of others nobody does;
 * irqfds that resample, and irqfds whose message changes.
 */
#include <poll.h>
#include <sys/eventfd.h>

#include "lib/test.h"
#include "lib/thread.h"

#define LEVEL		0x61
#define EDGE		0x72
#define OTHER		0x83
#define DATA_LEVEL	0xc000	/* asserted */
#define DATA_DEASSERT	0x8000
#define SVR_DIRECTED	(1U << 12)

static volatile u32 tmr_seen;

/* Says which vector it is between the handler's start and its end. */
static void on_irq(struct guest_frame *frame)
{
	tmr_seen = apic_read(APIC_TMR + frame->vector / 32 * 16) >> frame->vector % 32 & 1;
	GUEST_SYNC(frame->vector);
	guest_eoi();
	guest_irqs[frame->vector & 0xff]++;
}

static void wait_here(void)
{
	guest_handlers[LEVEL] = on_irq;
	guest_handlers[EDGE] = on_irq;
	guest_handlers[OTHER] = on_irq;
	sti();
	for (;;)
		GUEST_SYNC(1);
}

static void guest_x2apic(void)
{
	guest_apic_enable();
	wait_here();
}

static void guest_xapic(void)
{
	write32(APIC_PAGE + APIC_SVR, 0x1ff);
	wait_here();
}

static void guest_directed(void)
{
	guest_apic_enable();
	GUEST_EQ(1, apic_read(APIC_VERSION) >> 24 & 1);
	apic_write(APIC_SVR, SVR_DIRECTED | 0x1ff);
	GUEST_EQ(SVR_DIRECTED | 0x1ff, apic_read(APIC_SVR));
	wait_here();
}

static int send(struct vm *vm, u32 data)
{
	struct vmm_msi msi = { .address = 0xfee00000, .data = data };

	return VMM_MUST(vm->fd, VMM_SIGNAL_MSI, &msi);
}

static void expect_eoi(struct vcpu *vcpu, u32 vector)
{
	vcpu_expect(vcpu, VMM_EXIT_EOI);
	if (vcpu->run->eoi.vector != vector)
		die("EOI: expected vector %#x, got %#x", vector, vcpu->run->eoi.vector);
}

static void level_and_edge(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	vcpu_sync(vcpu, 1);
	for (u64 i = 1; i <= 3; i++) {
		send(vm, LEVEL | DATA_LEVEL);
		vcpu_sync(vcpu, LEVEL);
		expect_eoi(vcpu, LEVEL);
		/* The EOI was done: another one may come at once. */
		if (guest_var(vm, guest_irqs[LEVEL]) != i - 1 || !guest_var(vm, tmr_seen))
			die("expected TMR set and the handler at its EOI");
		vcpu_sync(vcpu, 1);
		send(vm, EDGE);
		vcpu_sync(vcpu, EDGE);
		vcpu_sync(vcpu, 1);
		if (guest_var(vm, tmr_seen))
			die("an edge set the vector's bit in TMR");
	}
}

TEST(the_end_of_a_level_is_told_and_that_of_an_edge_is_not)
{
	level_and_edge(vcpu_new(vm_new(), 0, guest_x2apic));
}

TEST(the_same_through_the_page_of_xapic)
{
	level_and_edge(vcpu_new(vm_new(), 0, guest_xapic));
}

TEST(a_vector_is_what_its_last_message_was)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_x2apic);

	vcpu_sync(vcpu, 1);
	send(vcpu->vm, LEVEL | DATA_LEVEL);
	vcpu_sync(vcpu, LEVEL);
	expect_eoi(vcpu, LEVEL);
	vcpu_sync(vcpu, 1);
	send(vcpu->vm, LEVEL);
	vcpu_sync(vcpu, LEVEL);
	vcpu_sync(vcpu, 1);
}

TEST(a_level_that_is_still_active_comes_again)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_x2apic);

	vcpu_sync(vcpu, 1);
	send(vcpu->vm, LEVEL | DATA_LEVEL);
	for (u32 i = 0; i < 5; i++) {
		vcpu_sync(vcpu, LEVEL);
		expect_eoi(vcpu, LEVEL);
		send(vcpu->vm, LEVEL | DATA_LEVEL);
	}
	vcpu_sync(vcpu, LEVEL);
	expect_eoi(vcpu, LEVEL);
	vcpu_sync(vcpu, 1);
}

TEST(a_level_that_is_no_longer_asserted_is_no_interrupt)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_x2apic);
	struct vmm_state state;

	vcpu_sync(vcpu, 1);
	EXPECT_EQ(0, send(vcpu->vm, LEVEL | DATA_DEASSERT));
	EXPECT_EQ(0, send(vcpu->vm, 0x400 | DATA_DEASSERT));	/* NMI */
	EXPECT_EQ(0, send(vcpu->vm, 0x500 | DATA_DEASSERT));	/* INIT */
	vcpu_get(vcpu, &state, VMM_STATE_EVENTS);
	EXPECT_EQ(0, state.events.nmi_pending);
	EXPECT_EQ(0, state.events.init);
	vcpu_sync(vcpu, 1);
	/* Nor does it take the interrupt back that is on its way. */
	EXPECT_EQ(1, send(vcpu->vm, LEVEL | DATA_LEVEL));
	EXPECT_EQ(0, send(vcpu->vm, LEVEL | DATA_DEASSERT));
	vcpu_sync(vcpu, LEVEL);
	expect_eoi(vcpu, LEVEL);
}

TEST(a_guest_that_suppresses_the_broadcast_is_not_reported)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_directed);

	vcpu_sync(vcpu, 1);
	send(vcpu->vm, LEVEL | DATA_LEVEL);
	vcpu_sync(vcpu, LEVEL);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(1, guest_var(vcpu->vm, guest_irqs[LEVEL]));
}

TEST(the_bit_of_tmr_is_saved_and_restored)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_x2apic);
	struct vmm_state state;

	vcpu_sync(vcpu, 1);
	send(vcpu->vm, LEVEL | DATA_LEVEL);
	vcpu_get(vcpu, &state, VMM_STATE_LAPIC);
	EXPECT_EQ(1U << LEVEL % 32, state.lapic.regs[APIC_TMR / 16 + LEVEL / 32]);
	vcpu_set(vcpu, &state, VMM_STATE_LAPIC);
	vcpu_sync(vcpu, LEVEL);
	expect_eoi(vcpu, LEVEL);
}

/* ---- irqfds ---- */

static void ring(int fd)
{
	u64 one = 1;

	if (write(fd, &one, 8) != 8)
		die("write to an eventfd failed");
}

static u64 rings(int fd)
{
	u64 count = 0;

	return read(fd, &count, 8) == 8 ? count : 0;
}

static int irqfd(struct vm *vm, int fd, u32 data, u32 flags, int resample)
{
	struct vmm_irqfd args = {
		.fd = fd, .flags = flags, .resample_fd = resample,
		.msi = { .address = 0xfee00000, .data = data },
	};

	return vmm_call(vm->fd, VMM_IRQFD, &args);
}

TEST(an_irqfd_with_resample_signals_the_end_instead)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_x2apic);
	int line = eventfd(0, 0), again = eventfd(0, EFD_NONBLOCK);
	struct vm *vm = vcpu->vm;

	ASSERT_EQ(0, irqfd(vm, line, LEVEL | DATA_LEVEL, VMM_EVENTFD_RESAMPLE, again));
	vcpu_sync(vcpu, 1);
	for (u32 i = 0; i < 3; i++) {
		ring(line);
		vcpu_sync(vcpu, LEVEL);
		EXPECT_EQ(0, rings(again));
		vcpu_sync(vcpu, 1);
		EXPECT_EQ(1, rings(again));
	}
	/* Other vectors are not its. */
	send(vm, OTHER | DATA_LEVEL);
	vcpu_sync(vcpu, OTHER);
	expect_eoi(vcpu, OTHER);
	EXPECT_EQ(0, rings(again));
	vcpu_sync(vcpu, 1);
	/* Removed, its vector is as any other. */
	ASSERT_EQ(0, irqfd(vm, line, LEVEL | DATA_LEVEL, VMM_EVENTFD_REMOVE, 0));
	send(vm, LEVEL | DATA_LEVEL);
	vcpu_sync(vcpu, LEVEL);
	expect_eoi(vcpu, LEVEL);
	EXPECT_EQ(0, rings(again));
}

TEST(two_lines_of_one_vector_resample_both)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_x2apic);
	int line[2] = { eventfd(0, 0), eventfd(0, 0) };
	int again[2] = { eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK) };

	for (u32 i = 0; i < 2; i++)
		ASSERT_EQ(0, irqfd(vcpu->vm, line[i], LEVEL | DATA_LEVEL, VMM_EVENTFD_RESAMPLE,
				   again[i]));
	vcpu_sync(vcpu, 1);
	ring(line[1]);
	vcpu_sync(vcpu, LEVEL);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(1, rings(again[0]));
	EXPECT_EQ(1, rings(again[1]));
	/* And the VM may go with them. */
	vm_free(vcpu->vm);
	vcpu_free(vcpu);
	ring(line[0]);
}

TEST(resample_wants_a_level_and_an_eventfd)
{
	struct vm *vm = vm_new_bare();
	int line = eventfd(0, 0), again = eventfd(0, 0);

	EXPECT_EQ(-EINVAL, irqfd(vm, line, LEVEL, VMM_EVENTFD_RESAMPLE, again));
	EXPECT_EQ(-EINVAL, irqfd(vm, line, 0x400 | DATA_LEVEL, VMM_EVENTFD_RESAMPLE, again));
	EXPECT_EQ(-EINVAL, irqfd(vm, line, LEVEL | DATA_DEASSERT, VMM_EVENTFD_RESAMPLE, again));
	EXPECT_EQ(-EBADF, irqfd(vm, line, LEVEL | DATA_LEVEL, VMM_EVENTFD_RESAMPLE, 9999));
	EXPECT_EQ(-EINVAL, irqfd(vm, line, LEVEL | DATA_LEVEL, VMM_EVENTFD_RESAMPLE, 0));
	EXPECT_EQ(-EINVAL, irqfd(vm, line, LEVEL | DATA_LEVEL, 0, again));
	EXPECT_EQ(-EINVAL, irqfd(vm, line, LEVEL | DATA_LEVEL,
				 VMM_EVENTFD_RESAMPLE | VMM_EVENTFD_REMOVE, again));
	EXPECT_EQ(0, irqfd(vm, line, LEVEL | DATA_LEVEL, VMM_EVENTFD_RESAMPLE, again));
	EXPECT_EQ(-EINVAL, irqfd(vm, line, LEVEL, VMM_EVENTFD_UPDATE, 0));
	EXPECT_EQ(0, irqfd(vm, line, OTHER | DATA_LEVEL, VMM_EVENTFD_UPDATE, 0));
}

TEST(an_update_changes_the_message_and_loses_no_signal)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_x2apic);
	struct vm *vm = vcpu->vm;
	int line = eventfd(0, 0);

	EXPECT_EQ(-ENOENT, irqfd(vm, line, EDGE, VMM_EVENTFD_UPDATE, 0));
	ASSERT_EQ(0, irqfd(vm, line, EDGE, 0, 0));
	vcpu_sync(vcpu, 1);
	ring(line);
	vcpu_sync(vcpu, EDGE);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(0, irqfd(vm, line, OTHER, VMM_EVENTFD_UPDATE, 0));
	ring(line);
	vcpu_sync(vcpu, OTHER);
	vcpu_sync(vcpu, 1);
	/* It is removed by what it is now. */
	EXPECT_EQ(-ENOENT, irqfd(vm, line, EDGE, VMM_EVENTFD_REMOVE, 0));
	EXPECT_EQ(0, irqfd(vm, line, OTHER, VMM_EVENTFD_REMOVE, 0));
	/* What comes while there is none waits in the eventfd: so a device is masked. */
	ring(line);
	vcpu_sync(vcpu, 1);
	ASSERT_EQ(0, irqfd(vm, line, EDGE, 0, 0));
	vcpu_sync(vcpu, EDGE);
	vcpu_sync(vcpu, 1);
}

static volatile u64 taken_either;

static void count_either(struct guest_frame *frame)
{
	taken_either++;
	guest_eoi();
}

static void guest_either(void)
{
	guest_handlers[EDGE] = count_either;
	guest_handlers[OTHER] = count_either;
	guest_apic_enable();
	sti();
	GUEST_SYNC(1);
	for (;;)
		cpu_relax();
}

struct updater {
	struct vm *vm;
	int fd;
	volatile bool stop;
};

static void *update(void *arg)
{
	struct updater *updater = arg;

	for (u32 i = 0; !updater->stop; i++)
		if (irqfd(updater->vm, updater->fd, i & 1 ? EDGE : OTHER, VMM_EVENTFD_UPDATE, 0))
			die("an update failed");
	return NULL;
}

TEST(signals_during_updates_arrive_once_each)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_either);
	struct updater updater = { .vm = vcpu->vm, .fd = eventfd(0, 0) };
	struct runner runner;
	pthread_t thread;

	ASSERT_EQ(0, irqfd(vcpu->vm, updater.fd, EDGE, 0, 0));
	runner_start(&runner, vcpu);
	runner_wait_sync(&runner, 1, 10);
	pthread_create(&thread, NULL, update, &updater);
	for (u64 i = 1; i <= share_of(50); i++) {
		u64 end = now_ns() + 10000000000UL;

		ring(updater.fd);
		while (guest_var(vcpu->vm, taken_either) < i)
			ASSERT_LT(now_ns(), end);
	}
	updater.stop = true;
	pthread_join(thread, NULL);
	runner_stop(&runner);
	EXPECT_EQ(share_of(50), guest_var(vcpu->vm, taken_either));
}

VMM_TEST_MAIN
