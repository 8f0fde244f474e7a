// SPDX-License-Identifier: GPL-2.0-only
/*
 * The timer of a local APIC: an hrtimer that sets the bit of LVTT's vector.
 * Counting modes run in host time; the deadline mode is a time of the guest's
 * TSC, turned into host time when it is armed. A count is one cycle of the guest's TSC
 * before the divider: cpuid.c tells guests so.
 *
 * Where the CPU can end a guest's turn at a time of its TSC (vmm_caps.deadline) that is
 * what keeps a deadline, as vcpu->deadline, and the hrtimer does only while the vCPU
 * sleeps. Else nobody waits for it: not a process that has the vCPU, nor a thread that
 * is away. So whoever looks at the timer settles first whether it has come.
 *
 * The callback runs in interrupt context and touches only @expires, @tsc_deadline
 * and what apic_local() does. The thread stops the timer, waiting for a callback
 * under way, before it changes anything the callback reads. docs/locking.md: the
 * hrtimer is the last in the order, nothing is taken inside.
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <asm/tsc.h>

#include "irq.h"

/* ns = cycles * NS_KHZ / kHz */
#define NS_KHZ			(NSEC_PER_SEC / 1000)

/*
 * A periodic timer costs the host an interrupt a period without the guest having
 * to run. 10,000 a second is ten times what a guest kernel asks for.
 */
#define MIN_PERIOD_NS		(100 * NSEC_PER_USEC)

/* A deadline further away is not armed: no multiplication below overflows. */
#define MAX_DELTA_NS		(365ULL * 24 * 3600 * NSEC_PER_SEC)

static u64 tsc_to_ns(const struct vmm_apic *apic, u64 cycles)
{
	return mul_u64_u64_div_u64(cycles, NS_KHZ, apic->vcpu->vm->tsc_khz);
}

static u64 ns_to_tsc(const struct vmm_apic *apic, u64 ns)
{
	return mul_u64_u64_div_u64(ns, apic->vcpu->vm->tsc_khz, NS_KHZ);
}

/* "Divide Configuration Register": bits 3, 1 and 0; 7 divides by 1. */
static unsigned int shift_of(u32 tdcr)
{
	u32 value = (tdcr & 3) | (tdcr & 8) >> 1;

	return (value + 1) & 7;
}

static u64 count_to_ns(const struct vmm_apic *apic, u32 count)
{
	return tsc_to_ns(apic, (u64)count << shift_of(apic_get(apic, APIC_TDCR)));
}

static bool is_periodic(const struct vmm_apic *apic)
{
	return (apic_get(apic, APIC_LVTT) & APIC_LVT_TIMER_PERIODIC) &&
	       !apic_timer_by_deadline(apic);
}

bool apic_timer_by_deadline(const struct vmm_apic *apic)
{
	return apic_get(apic, APIC_LVTT) & APIC_LVT_TIMER_TSCDEADLINE;
}

static void fire(struct vmm_apic *apic)
{
	apic_local(apic, APIC_LVTT);
	/* IRR before the timer reads as stopped: pairs with vmm_apic_get_state(). */
	smp_wmb();
	WRITE_ONCE(apic->tsc_deadline, 0);
}

/* With vcpu->deadline: has it come, if the host's TSC is @host? */
static void settle_at(struct vmm_apic *apic, u64 host)
{
	if (host < apic->vcpu->deadline)
		return;
	apic->vcpu->deadline = 0;
	fire(apic);
}

static enum hrtimer_restart expired(struct hrtimer *timer)
{
	struct vmm_apic *apic = container_of(timer, struct vmm_apic, timer);

	fire(apic);
	if (!is_periodic(apic) || !READ_ONCE(apic->expires)) {
		WRITE_ONCE(apic->expires, 0);
		return HRTIMER_NORESTART;
	}
	hrtimer_forward_now(timer, ns_to_ktime(READ_ONCE(apic->period)));
	WRITE_ONCE(apic->expires, ktime_to_ns(hrtimer_get_expires(timer)));
	return HRTIMER_RESTART;
}

void apic_timer_create(struct vmm_apic *apic)
{
	hrtimer_init(&apic->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_PINNED_HARD);
	apic->timer.function = expired;
}

void apic_timer_stop(struct vmm_apic *apic)
{
	hrtimer_cancel(&apic->timer);
	WRITE_ONCE(apic->expires, 0);
	apic->vcpu->deadline = 0;
}

static void start_at(struct vmm_apic *apic, u64 expires)
{
	hrtimer_start(&apic->timer, ns_to_ktime(expires), HRTIMER_MODE_ABS_PINNED_HARD);
}

/* Let the running count-down end in @ns, the ones after it (if any) by TMICT. */
static void run(struct vmm_apic *apic, u64 ns)
{
	u64 period = count_to_ns(apic, apic_get(apic, APIC_TMICT));

	WRITE_ONCE(apic->period, max_t(u64, period, MIN_PERIOD_NS));
	if (is_periodic(apic) && period < MIN_PERIOD_NS)
		ns = MIN_PERIOD_NS;
	ns += ktime_get_ns();
	WRITE_ONCE(apic->expires, ns);
	start_at(apic, ns);
}

void apic_timer_count(struct vmm_apic *apic, u32 count)
{
	apic_timer_stop(apic);
	if (count)
		run(apic, count_to_ns(apic, count));
}

u32 apic_timer_left(const struct vmm_apic *apic)
{
	u64 expires = READ_ONCE(apic->expires);
	s64 left = expires - ktime_get_ns();
	u64 count;

	if (!expires || apic_timer_by_deadline(apic))
		return 0;
	/* The callback is late: a periodic timer counts already again. */
	if (left <= 0)
		left = is_periodic(apic) ? apic->period - (u64)-left % apic->period : 0;
	count = ns_to_tsc(apic, left) >> shift_of(apic_get(apic, APIC_TDCR));
	/* Not 0 while it is armed: whoever restores 0 has a stopped timer. */
	return clamp_t(u64, count, 1, apic_get(apic, APIC_TMICT));
}

void apic_timer_divide(struct vmm_apic *apic, u32 tdcr)
{
	u32 left;

	/* Bit 2 is reserved and not in the mask of the register. */
	if (apic_timer_by_deadline(apic)) {
		apic_set(apic, APIC_TDCR, tdcr);
		return;
	}
	/* Stopped first: one that has just expired would count its last tick again. */
	hrtimer_cancel(&apic->timer);
	left = apic_timer_left(apic);
	apic_set(apic, APIC_TDCR, tdcr);
	apic_timer_count(apic, left);
}

void apic_timer_mode(struct vmm_apic *apic, u32 lvtt)
{
	u32 changed = lvtt ^ apic_get(apic, APIC_LVTT);

	apic_timer_settle(apic);
	/* "TSC-Deadline Mode": entering or leaving it disarms the timer. */
	if (changed & APIC_LVT_TIMER_TSCDEADLINE) {
		apic_timer_stop(apic);
		WRITE_ONCE(apic->tsc_deadline, 0);
		apic_set(apic, APIC_TMICT, 0);
	}
	apic_set(apic, APIC_LVTT, lvtt);
}

/* ---- deadlines ---- */

static void by_hrtimer(struct vmm_apic *apic, u64 deadline)
{
	u64 now = vmm_guest_tsc(apic->vcpu), delta = deadline - now;

	if (deadline <= now)
		fire(apic);
	else if (delta < ns_to_tsc(apic, MAX_DELTA_NS))
		/* One more, so that the guest never sees its deadline ahead. */
		start_at(apic, ktime_get_ns() + tsc_to_ns(apic, delta) + 1);
}

/* @host: the host's TSC now */
static void by_cpu(struct vmm_apic *apic, u64 deadline, u64 host)
{
	u64 when = vmm_tsc_when(apic->vcpu, deadline, host);

	apic->vcpu->deadline = when;
	settle_at(apic, host);
}

void apic_timer_deadline(struct vmm_apic *apic, u64 deadline)
{
	u64 host;

	if (!apic_timer_by_deadline(apic))
		return;
	if (!vmm_caps.deadline) {
		apic_timer_stop(apic);
		WRITE_ONCE(apic->tsc_deadline, deadline);
		if (deadline)
			by_hrtimer(apic, deadline);
		return;
	}
	host = rdtsc();
	if (apic->vcpu->deadline)
		settle_at(apic, host);
	apic->vcpu->deadline = 0;
	WRITE_ONCE(apic->tsc_deadline, deadline);
	if (deadline)
		by_cpu(apic, deadline, host);
}

void vmm_apic_tsc_changed(struct vmm_vcpu *vcpu)
{
	struct vmm_apic *apic = vcpu->apic;
	u64 deadline;

	if (!READ_ONCE(apic->tsc_deadline))
		return;
	/* Not one that has just expired, which would come a second time. */
	if (vmm_caps.deadline)
		apic_timer_settle(apic);
	else
		apic_timer_stop(apic);
	deadline = READ_ONCE(apic->tsc_deadline);
	if (!deadline)
		return;
	if (vmm_caps.deadline)
		by_cpu(apic, deadline, rdtsc());
	else
		by_hrtimer(apic, deadline);
}

void apic_timer_settle(struct vmm_apic *apic)
{
	if (apic->vcpu->deadline)
		settle_at(apic, rdtsc());
}

void vmm_apic_keep_deadline(struct vmm_vcpu *vcpu)
{
	u64 host = rdtsc();

	if (host < vcpu->deadline)
		vmm_op(exit_at)(vcpu, host, vcpu->deadline);
	else
		settle_at(vcpu->apic, host);
}

void vmm_apic_sleep(struct vmm_vcpu *vcpu)
{
	u64 left;

	if (!vcpu->deadline)
		return;
	left = vcpu->deadline - rdtsc();
	if ((s64)left <= 0)
		apic_timer_settle(vcpu->apic);
	else if (left < mul_u64_u64_div_u64(MAX_DELTA_NS, tsc_khz, NS_KHZ))
		start_at(vcpu->apic, ktime_get_ns() + 1 +
			 mul_u64_u64_div_u64(left, NS_KHZ, tsc_khz));
}

void vmm_apic_wake(struct vmm_vcpu *vcpu)
{
	struct vmm_apic *apic = vcpu->apic;

	if (!vmm_caps.deadline || !apic_timer_by_deadline(apic))
		return;
	hrtimer_cancel(&apic->timer);
	if (!READ_ONCE(apic->tsc_deadline))
		vcpu->deadline = 0;
}
