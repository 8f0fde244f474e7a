// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a vCPU and the run loop. A vCPU is IDLE, LOADED, IN_GUEST or
 * BLOCKED; docs/locking.md has the edges. One thread runs it, holding
 * vcpu->lock; others only set bits (requests, IRR, NMIs) and kick.
 *
 * Invariant: between mode = VMM_IN_GUEST and the entry nothing sleeps and IRQs
 * are off, so whoever sets a bit and then sees IN_GUEST can count on his
 * interrupt to end the guest's turn, and whoever sees another mode can count on
 * the vCPU to look at the bit before it enters.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/entry-kvm.h>
#include <linux/context_tracking.h>
#include <linux/sched/signal.h>
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <linux/sched/stat.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/vtime.h>

#include "pv.h"

/* Requests that need the vCPU's thread with IRQs on. */
#define REQUESTS_OUTSIDE (BIT(VMM_REQ_CLOCK) | BIT(VMM_REQ_TSC) | BIT(VMM_REQ_DEAD) | \
			  BIT(VMM_REQ_ROOT) | BIT(VMM_REQ_STEAL) | BIT(VMM_REQ_EOI) | \
			  BIT(VMM_REQ_STEPPED))

static unsigned int halt_poll_ns = 200000;
module_param(halt_poll_ns, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns,
		 "longest time to look for events before a halted vCPU sleeps, in ns; 0: none (default: 200000)");

/* The first step on the way to halt_poll_ns. */
#define MIN_POLL_NS	10000U

static struct vmm_vcpu *vcpu_of(struct preempt_notifier *notifier)
{
	return container_of(notifier, struct vmm_vcpu, preempt);
}

static void load_on(struct vmm_vcpu *vcpu, int cpu)
{
	WRITE_ONCE(vcpu->cpu, cpu);
	vmm_op(vcpu_load)(vcpu, cpu);
	vmm_tsc_load(vcpu);
	vmm_pv_load(vcpu, cpu);
}

static void unload(struct vmm_vcpu *vcpu)
{
	vmm_op(vcpu_put)(vcpu);
	WRITE_ONCE(vcpu->cpu, -1);
}

static void vcpu_sched_in(struct preempt_notifier *notifier, int cpu)
{
	struct vmm_vcpu *vcpu = vcpu_of(notifier);

	load_on(vcpu, cpu);
	vmm_pv_sched_in(vcpu);
}

static void vcpu_sched_out(struct preempt_notifier *notifier, struct task_struct *next)
{
	struct vmm_vcpu *vcpu = vcpu_of(notifier);

	unload(vcpu);
	vmm_pv_sched_out(vcpu);
}

static struct preempt_ops vcpu_preempt_ops = {
	.sched_in = vcpu_sched_in,
	.sched_out = vcpu_sched_out,
};

void vmm_vcpu_load(struct vmm_vcpu *vcpu)
{
	int cpu = get_cpu();

	lockdep_assert_held(&vcpu->lock);
	preempt_notifier_register(&vcpu->preempt);
	load_on(vcpu, cpu);
	vcpu->loaded = true;
	put_cpu();
}

void vmm_vcpu_put(struct vmm_vcpu *vcpu)
{
	preempt_disable();
	vcpu->loaded = false;
	unload(vcpu);
	preempt_notifier_unregister(&vcpu->preempt);
	preempt_enable();
}

/* ---- life ---- */

/* What a vCPU is made of, in the order of making; unmade in reverse. */
static const struct vcpu_part {
	int (*create)(struct vmm_vcpu *vcpu);
	void (*destroy)(struct vmm_vcpu *vcpu);
} parts[] = {
	{ vmm_cpuid_create, vmm_cpuid_destroy },
	{ vmm_fpu_create, vmm_fpu_destroy },
	{ vmm_msr_create, vmm_msr_destroy },
	{ vmm_pv_create, vmm_pv_destroy },
	{ vmm_apic_create, vmm_apic_destroy },
	{ vmm_shadow_vcpu_create, vmm_shadow_vcpu_destroy },
};

static void destroy_parts(struct vmm_vcpu *vcpu, int n)
{
	while (n--)
		parts[n].destroy(vcpu);
}

static int create_parts(struct vmm_vcpu *vcpu)
{
	int i, r;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		r = parts[i].create(vcpu);
		if (r) {
			destroy_parts(vcpu, i);
			return r;
		}
	}
	return 0;
}

/* "Processor State After Reset", power-up; only the bootstrap processor is running then. */
void vmm_vcpu_power_up(struct vmm_vcpu *vcpu)
{
	lockdep_assert_held(&vcpu->lock);
	vmm_ops->vcpu_reset(vcpu);
	vmm_fpu_reset(vcpu);
	vmm_msr_reset(vcpu);
	/* Before the APIC forgets an EOI that was offered in the guest's memory. */
	vmm_pv_reset(vcpu);
	vmm_apic_reset(vcpu, false);
	/* Unlike an INIT, after which a start-up message may have come already. */
	vmm_apic_set_init(vcpu, &(const struct vmm_events){});
	vcpu->mp_state = vcpu->id ? VMM_MP_WAIT_INIT : VMM_MP_RUNNABLE;
	vmm_state_reset(vcpu);
	vcpu->step_done = false;
}

static void first_power_up(struct vmm_vcpu *vcpu)
{
	mutex_lock(&vcpu->lock);
	vmm_vcpu_load(vcpu);
	vmm_vcpu_power_up(vcpu);
	vmm_vcpu_put(vcpu);
	mutex_unlock(&vcpu->lock);
}

struct vmm_vcpu *vmm_vcpu_create(struct vmm_vm *vm, u32 id)
{
	struct vmm_vcpu *vcpu;
	int r = -ENOMEM;

	lockdep_assert_held(&vm->lock);
	BUILD_BUG_ON(sizeof(struct vmm_run) > VMM_RUN_SIZE || VMM_RUN_SIZE != PAGE_SIZE);

	vcpu = kzalloc(vmm_ops->vcpu_size, GFP_KERNEL_ACCOUNT);
	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->cpu = -1;
	vcpu->root = VMM_INVALID_HPA;
	mutex_init(&vcpu->lock);
	rcuwait_init(&vcpu->wait);
	spin_lock_init(&vcpu->task_lock);
	preempt_notifier_init(&vcpu->preempt, &vcpu_preempt_ops);

	vcpu->run_page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!vcpu->run_page)
		goto out_vcpu;
	vcpu->run = page_address(vcpu->run_page);
	r = vmm_ops->vcpu_create(vcpu);
	if (r)
		goto out_page;
	r = create_parts(vcpu);
	if (r)
		goto out_ops;
	first_power_up(vcpu);
	return vcpu;

out_ops:
	vmm_ops->vcpu_destroy(vcpu);
out_page:
	put_page(vcpu->run_page);
out_vcpu:
	kfree(vcpu);
	return ERR_PTR(r);
}

/* vmm_vm_request() may still look at it: the struct itself goes by RCU. */
void vmm_vcpu_destroy(struct vmm_vcpu *vcpu)
{
	vmm_vcpu_put_task(vcpu);
	destroy_parts(vcpu, ARRAY_SIZE(parts));
	vmm_ops->vcpu_destroy(vcpu);
	put_page(vcpu->run_page);
	kfree_rcu(vcpu, rcu);
}

void vmm_vcpu_reset(struct vmm_vcpu *vcpu)
{
	/* "Processor State After Reset": INIT leaves it as it is. */
	const u64 xcr0 = vcpu->ctrl.xcr0;

	vmm_ops->vcpu_reset(vcpu);
	/*
	 * Who comes up is asked for its pages anew: they may be another kernel's memory by
	 * then. Before the APIC forgets an EOI that was offered there.
	 */
	vmm_pv_reset(vcpu);
	vmm_apic_reset(vcpu, true);
	vmm_state_reset(vcpu);
	vcpu->ctrl.xcr0 = xcr0;
}

/* ---- kicks and sleep ---- */

void vmm_vcpu_kick(struct vmm_vcpu *vcpu)
{
	enum vmm_mode mode;
	int cpu;

	/* The data of the kick before the mode; pairs with smp_store_mb() below. */
	smp_mb();
	mode = READ_ONCE(vcpu->mode);
	if (mode == VMM_BLOCKED) {
		rcuwait_wake_up(&vcpu->wait);
		return;
	}
	if (mode != VMM_IN_GUEST)
		return;
	preempt_disable();
	cpu = READ_ONCE(vcpu->cpu);
	if (cpu >= 0 && cpu != smp_processor_id())
		smp_send_reschedule(cpu);
	preempt_enable();
}

/* Is there what the process asked to be told of? */
static bool is_at_window(struct vmm_vcpu *vcpu)
{
	return unlikely(vcpu->wants_window) && vmm_interrupt_window(vcpu);
}

static bool must_wake(struct vmm_vcpu *vcpu)
{
	return vmm_events_pending(vcpu) || is_at_window(vcpu) ||
	       (READ_ONCE(vcpu->requests) & REQUESTS_OUTSIDE) ||
	       READ_ONCE(vcpu->run->immediate_exit);
}

/* An event soon to come costs less looked for than slept for. True: it came. */
static bool poll_for_event(struct vmm_vcpu *vcpu, u64 until)
{
	while (!must_wake(vcpu)) {
		/* Nobody else waits for this CPU, or this is his time. */
		if (need_resched() || !single_task_running() || signal_pending(current) ||
		    ktime_get_ns() >= until)
			return false;
		cpu_relax();
	}
	return true;
}

/* Poll longer while events come within the limit, not at all when they do not. */
static void adapt_poll(struct vmm_vcpu *vcpu, u64 slept)
{
	unsigned int limit = READ_ONCE(halt_poll_ns);

	if (slept > limit)
		vcpu->poll_ns = 0;
	else if (slept > vcpu->poll_ns)
		vcpu->poll_ns = min(max(vcpu->poll_ns * 2, MIN_POLL_NS), limit);
}

static void wait_for_event(struct vmm_vcpu *vcpu)
{
	bool poll = vcpu->mp_state == VMM_MP_HALTED && READ_ONCE(halt_poll_ns) &&
		    vmm_pv_may_poll(vcpu);
	u64 start;

	start = poll ? ktime_get_ns() : 0;
	if (poll && vcpu->poll_ns && poll_for_event(vcpu, start + vcpu->poll_ns))
		return;
	rcuwait_wait_event(&vcpu->wait, must_wake(vcpu), TASK_INTERRUPTIBLE);
	if (poll)
		adapt_poll(vcpu, ktime_get_ns() - start);
}

/* HLT, or wait for INIT or SIPI: until there is an event or a signal. */
static void vcpu_block(struct vmm_vcpu *vcpu)
{
	/* Before looking for events; pairs with vmm_vcpu_kick(). */
	smp_store_mb(vcpu->mode, VMM_BLOCKED);
	if (!must_wake(vcpu)) {
		vmm_apic_sleep(vcpu);
		wait_for_event(vcpu);
		vmm_apic_wake(vcpu);
	}
	WRITE_ONCE(vcpu->mode, VMM_LOADED);
	/* INIT is the loop's, and so is a start-up message, which ends no HLT. */
	if (vcpu->mp_state != VMM_MP_HALTED || vmm_apic_init_pending(vcpu) ||
	    !vmm_events_pending(vcpu))
		return;
	WRITE_ONCE(vcpu->mp_state, VMM_MP_RUNNABLE);
	WRITE_ONCE(vcpu->kicked, false);
}

/* ---- entering ---- */

/* The host goes down, or the extension did not come back when the CPU did. */
static bool may_not_enter(void)
{
	return unlikely(!__this_cpu_read(vmm_hw_enabled));
}

/* The host, or a request, wants the thread back before the guest goes on. */
static bool must_leave(struct vmm_vcpu *vcpu)
{
	return (READ_ONCE(vcpu->requests) & REQUESTS_OUTSIDE) ||
	       __xfer_to_guest_mode_work_pending();
}

static void serve_requests(struct vmm_vcpu *vcpu)
{
	if (!READ_ONCE(vcpu->requests))
		return;
	clear_bit(VMM_REQ_EVENT, &vcpu->requests);
	if (test_and_clear_bit(VMM_REQ_STEP, &vcpu->requests))
		vmm_step_arm(vcpu);
	if (test_and_clear_bit(VMM_REQ_FLUSH, &vcpu->requests))
		vmm_ops->flush_tlb(vcpu, VMM_FLUSH_ALL, 0);
}

static void push_state(struct vmm_vcpu *vcpu)
{
	u64 dirty = vcpu->dirty;

	if (dirty) {
		vcpu->dirty = 0;
		vmm_op(state_push)(vcpu, dirty);
	}
}

/* For context tracking the guest is a kind of user space. */
static void enter_guest(struct vmm_vcpu *vcpu)
{
	context_tracking_guest_enter();
	vmm_op(enter)(vcpu);
	context_tracking_guest_exit();
	vcpu->ran = true;
	vmm_op(decode_exit)(vcpu, &vcpu->exit);
	vcpu->exits[vcpu->exit.kind]++;
}

/*
 * IRQs on again. The host's tick, if that is what ended the guest's turn, comes
 * while the time still counts as the guest's.
 */
static void leave_guest_time(void)
{
	local_irq_enable();
	/* STI holds interrupts back for one instruction. */
	asm volatile("nop");
	local_irq_disable();
	vtime_account_guest_exit();
	local_irq_enable();
}

/*
 * One turn of the guest: in, and in again for as long as exits are of the fast
 * kind. True: an exit is to be handled. False: there is none, the host wants
 * something first.
 */
static bool vcpu_enter(struct vmm_vcpu *vcpu)
{
	bool done;

	preempt_disable();
	local_irq_disable();
	/* Pairs with the barriers in vmm_vcpu_kick() and vmm_request(). */
	smp_store_mb(vcpu->mode, VMM_IN_GUEST);
	if (must_leave(vcpu) || may_not_enter()) {
		WRITE_ONCE(vcpu->mode, VMM_LOADED);
		local_irq_enable();
		preempt_enable();
		return false;
	}
	vtime_account_guest_enter();
	/* Once a turn is enough for RCU: the host's tick ends it. */
	compat_rcu_virt_note_context_switch();
	vmm_fpu_enter(vcpu);
	do {
		serve_requests(vcpu);
		push_state(vcpu);
		vmm_mmu_load(vcpu);
		if (vcpu->deadline)
			vmm_apic_keep_deadline(vcpu);
		vmm_events_deliver(vcpu);
		enter_guest(vcpu);
		done = vmm_exit_fast(vcpu);
	} while (done && !must_leave(vcpu));
	vmm_op(exit_irqoff)(vcpu);
	vmm_fpu_leave(vcpu);
	WRITE_ONCE(vcpu->mode, VMM_LOADED);
	leave_guest_time();
	preempt_enable();
	return !done;
}

/* ---- the loop ---- */

static int leave_for_signal(struct vmm_vcpu *vcpu)
{
	vcpu->run->exit_reason = VMM_EXIT_INTR;
	return -EINTR;
}

static int serve_outside(struct vmm_vcpu *vcpu)
{
	clear_bit(VMM_REQ_DEAD, &vcpu->requests);
	/* Asks for the clock's page, which belongs to it. */
	if (test_and_clear_bit(VMM_REQ_TSC, &vcpu->requests))
		vmm_tsc_move(vcpu, 0);
	if (test_and_clear_bit(VMM_REQ_CLOCK, &vcpu->requests))
		vmm_pv_update_clock(vcpu);
	if (test_and_clear_bit(VMM_REQ_STEAL, &vcpu->requests))
		vmm_pv_update_steal(vcpu);
	if (test_and_clear_bit(VMM_REQ_EOI, &vcpu->requests))
		vmm_apic_settle_eoi(vcpu);
	if (test_and_clear_bit(VMM_REQ_ROOT, &vcpu->requests) && vmm_mmu_make_root(vcpu))
		return -ENOMEM;
	return 0;
}

/* What has to be done with IRQs on before the guest may be entered. */
static int before_entry(struct vmm_vcpu *vcpu)
{
	int r = 0;

	if (unlikely(READ_ONCE(vcpu->vm->dead)))
		return -EIO;
	if (unlikely(READ_ONCE(vcpu->requests) & REQUESTS_OUTSIDE))
		r = serve_outside(vcpu);
	if (unlikely(r))
		return r;
	if (__xfer_to_guest_mode_work_pending())
		return vmm_guest_work() ? leave_for_signal(vcpu) : 0;
	return 0;
}

/* One instruction, for a debugger; or none if the host wants something first. */
static enum vmm_next step_guest(struct vmm_vcpu *vcpu)
{
	enum vmm_next next = VMM_ENTER;
	bool handle;

	if (vcpu->step_done)
		return vmm_step_report(vcpu);
	vmm_step_begin(vcpu);
	handle = vcpu_enter(vcpu);
	if (!vmm_step_end(vcpu, handle) && handle)
		next = vmm_exit_handle(vcpu);
	/* At an instruction again that could not be done yet, or a new one? */
	if (vcpu->regs.rip != vcpu->step_rip && vcpu->event.type == VMM_EVENT_NONE)
		vcpu->step_done = true;
	return vcpu->step_done && next != VMM_USER ? vmm_step_report(vcpu) : next;
}

static enum vmm_next turn(struct vmm_vcpu *vcpu)
{
	if (unlikely(vcpu->guest_debug.flags & VMM_DEBUG_STEP))
		return step_guest(vcpu);
	return vcpu_enter(vcpu) ? vmm_exit_handle(vcpu) : VMM_ENTER;
}

static int vcpu_loop(struct vmm_vcpu *vcpu)
{
	int r;

	for (;;) {
		if (READ_ONCE(vcpu->run->immediate_exit))
			return leave_for_signal(vcpu);
		r = before_entry(vcpu);
		if (r)
			return r;
		vmm_apic_accept_init(vcpu);
		if (is_at_window(vcpu) && !vcpu->step_done) {
			vcpu->run->exit_reason = VMM_EXIT_WINDOW;
			return 0;
		}
		if (vcpu->mp_state != VMM_MP_RUNNABLE && !vcpu->step_done) {
			vcpu_block(vcpu);
			if (signal_pending(current))
				return leave_for_signal(vcpu);
			continue;
		}
		if (turn(vcpu) == VMM_USER)
			return 0;
	}
}

/* Sections that the process left in the run page. */
static int sync_in(struct vmm_vcpu *vcpu)
{
	u64 mask = READ_ONCE(vcpu->run->sync_in);
	struct vmm_state *state;
	int r;

	if (!mask)
		return 0;
	if (mask & ~VMM_STATE_ALL)
		return -EINVAL;
	/* A copy, because the page may change while it is looked at. */
	state = kmemdup(&vcpu->run->state, sizeof(*state), GFP_KERNEL_ACCOUNT);
	if (!state)
		return -ENOMEM;
	r = vmm_state_set(vcpu, mask, state);
	kfree(state);
	if (!r)
		vcpu->run->sync_in = 0;
	return r;
}

static void sync_out(struct vmm_vcpu *vcpu)
{
	u64 mask = READ_ONCE(vcpu->run->sync_out) & VMM_STATE_ALL;

	vcpu->run->rip = vcpu->regs.rip;
	if (mask)
		vmm_state_get(vcpu, mask, &vcpu->run->state);
}

int vmm_vcpu_run(struct vmm_vcpu *vcpu)
{
	int r;

	lockdep_assert_held(&vcpu->lock);
	if (unlikely(READ_ONCE(vcpu->vm->mmu.root) == VMM_INVALID_HPA)) {
		r = vmm_mmu_alloc_root(vcpu->vm);
		if (r)
			return r;
	}
	if (unlikely(vcpu->emulated)) {
		vcpu->emulated = false;
		vmm_mmu_unseen(vcpu->vm);
	}
	if (unlikely(vcpu->task != current))
		vmm_vcpu_set_task(vcpu);
	pv_run_begin(vcpu);
	vmm_vcpu_load(vcpu);
	vmm_fpu_load(vcpu);
	WRITE_ONCE(vcpu->mode, VMM_LOADED);
	vcpu->wants_window = READ_ONCE(vcpu->run->interrupt_window);

	r = vcpu->pending == VMM_PENDING_NONE ? 0 : vmm_exit_complete(vcpu);
	if (!r)
		r = sync_in(vcpu);
	if (!r)
		r = vcpu_loop(vcpu);
	vcpu->returns += !r;
	sync_out(vcpu);

	WRITE_ONCE(vcpu->mode, VMM_IDLE);
	vmm_fpu_put(vcpu);
	vmm_vcpu_put(vcpu);
	return r;
}
