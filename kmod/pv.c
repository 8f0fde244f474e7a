// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's documented paravirtual interface: kvmclock, the wall clock, the MSRs and the
 * hypercalls. pv_sched.c has what is about vCPUs that do not run, irq/pv_eoi.c EOIs.
 * A guest has what its CPUID says; the process sets MSRs whatever that says.
 *
 * A VM has one clock: a pair (host TSC, clock ns) that all its vCPUs extrapolate
 * from with the same factor, so it never runs backwards from one vCPU to another.
 * While the host's TSC is stable the pair is taken once and whenever the process
 * sets the clock; on a host whose TSC is not, it is taken anew from the host's
 * clock for each update, and guests are told that vCPUs may disagree. What a page says
 * is then true on the CPU alone where its pair was taken: it is renewed on another.
 *
 * Memory of the guest is written through the process's mapping, in the vCPU's
 * thread. A guest that names memory it does not have loses the update.
 */
#include <linux/math64.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>

#include "pv.h"

#define NO_CPU	(-1)	/* vmm_pv.clock_cpu */

/* ---- the VM's clock ---- */

struct clock_base {
	u64 tsc;		/* of the host */
	u64 ns;			/* that kvmclock shows then */
	bool stable;
};

/* The host's TSC and its clock since boot at the same moment. IRQs are off. */
static void sample(u64 *tsc, u64 *ns)
{
	u64 before;

	before = vmm_host_tsc();
	*ns = ktime_get_boottime_ns();
	*tsc = before + (vmm_host_tsc() - before) / 2;
}

/* ns = (guest's cycles << shift) * mul >> 32, as pvclock_scale_delta() has it */
static void tsc_factor(const struct vmm_vm *vm, u32 *mul, s8 *shift)
{
	u64 factor = div_u64(NSEC_PER_SEC << 32, vm->tsc_khz) / 1000;
	s8 n = 0;

	while (factor >> 32) {
		factor >>= 1;
		n++;
	}
	*mul = factor;
	*shift = n;
}

/* Returns the CPU whose TSC @base is about, or NO_CPU: they are all alike. */
static int clock_now(struct vmm_vm *vm, struct clock_base *base)
{
	unsigned long flags;
	unsigned int seq;
	s64 offset;
	int cpu;

	do {
		seq = read_seqcount_begin(&vm->clock_seq);
		base->tsc = vm->clock_tsc;
		base->ns = vm->clock_ns;
		offset = vm->clock_offset;
	} while (read_seqcount_retry(&vm->clock_seq, seq));
	base->stable = !check_tsc_unstable();
	if (base->stable)
		return NO_CPU;
	local_irq_save(flags);
	sample(&base->tsc, &base->ns);
	cpu = smp_processor_id();
	local_irq_restore(flags);
	base->ns += offset;
	return cpu;
}

/* What the clock shows now, and the host's TSC at the same moment. */
static u64 clock_ns(struct vmm_vm *vm, u64 *tsc)
{
	struct clock_base base;
	u64 cycles;
	u32 mul;
	s8 shift;

	clock_now(vm, &base);
	*tsc = base.tsc;
	if (!base.stable)
		return base.ns;
	/* As guests calculate it: rounded alike, however long they run. */
	*tsc = vmm_host_tsc();
	tsc_factor(vm, &mul, &shift);
	cycles = vmm_tsc_scale(vm, *tsc) - vmm_tsc_scale(vm, base.tsc);
	return base.ns + pvclock_scale_delta(cycles, mul, shift);
}

u64 vmm_pv_clock_ns(struct vmm_vm *vm)
{
	u64 tsc;

	return clock_ns(vm, &tsc);
}

void vmm_pv_get_clock(struct vmm_vm *vm, struct vmm_clock *clock)
{
	unsigned long flags;
	u64 tsc;

	lockdep_assert_held(&vm->lock);
	/* "At the same moment": nothing may come between. */
	local_irq_save(flags);
	clock->ns = clock_ns(vm, &tsc);
	clock->realtime = ktime_get_real_ns();
	local_irq_restore(flags);
	clock->tsc = vmm_vm_tsc(vm, tsc);
}

void vmm_pv_set_clock(struct vmm_vm *vm, const struct vmm_clock *clock)
{
	u64 tsc, boot, now, since = 0;
	unsigned long flags;

	lockdep_assert_held(&vm->lock);
	local_irq_save(flags);
	sample(&tsc, &boot);
	now = ktime_get_real_ns();
	local_irq_restore(flags);
	if ((clock->flags & VMM_CLOCK_REALTIME) && now > clock->realtime)
		since = now - clock->realtime;
	write_seqcount_begin(&vm->clock_seq);
	vm->clock_tsc = tsc;
	vm->clock_ns = clock->ns + since;
	vm->clock_offset = vm->clock_ns - boot;
	write_seqcount_end(&vm->clock_seq);
	/* Behind it: who takes the new TSC writes the page by the new pair before it enters. */
	if (clock->flags & VMM_CLOCK_TSC)
		vmm_vm_set_tsc(vm, tsc, clock->tsc + vmm_ns_to_tsc(vm, since));
	WRITE_ONCE(vm->clock_stops,
		   vm->clock_stops + !!(clock->flags & VMM_CLOCK_STOPPED));
	vmm_vm_request(vm, VMM_REQ_CLOCK);
}

/* ---- the pages ---- */

bool pv_area_valid(struct vmm_vcpu *vcpu, u64 gpa, size_t size, size_t align)
{
	return IS_ALIGNED(gpa, align) && (gpa & ~PAGE_MASK) + size <= PAGE_SIZE &&
	       !(gpa >> vmm_cpuid_phys_bits(vcpu));
}

/* Clocks are aligned to 4 bytes: "MSR_KVM_SYSTEM_TIME_NEW". */
static bool area_valid(struct vmm_vcpu *vcpu, u64 gpa, size_t size)
{
	return pv_area_valid(vcpu, gpa, size, sizeof(u32));
}

/*
 * Write an area that begins with a version: odd while the rest changes, so that
 * a reader, who may be another vCPU, takes no half of it. @area has the version
 * from before and gets the one after.
 */
static int write_versioned(struct vmm_vm *vm, gpa_t gpa, void *area, unsigned int size)
{
	u32 *version = area;
	int r;

	++*version;
	r = vmm_guest_write(vm, gpa, version, sizeof(*version));
	if (r)
		return r;
	/* Odd before the rest: pairs with the guest's barriers, as in pvclock-abi.h. */
	smp_wmb();
	r = vmm_guest_write(vm, gpa + sizeof(*version), version + 1, size - sizeof(*version));
	if (r)
		return r;
	/* The rest before even. */
	smp_wmb();
	++*version;
	return vmm_guest_write(vm, gpa, version, sizeof(*version));
}

/* The notice of a stop is the guest's to take from the page. */
static u8 stop_not_seen(struct vmm_vm *vm, gpa_t page)
{
	u8 flags;

	if (vmm_guest_read(vm, page + offsetof(struct pvclock_vcpu_time_info, flags), &flags,
			   sizeof(flags)))
		return 0;
	return flags & PVCLOCK_GUEST_STOPPED;
}

void vmm_pv_update_clock(struct vmm_vcpu *vcpu)
{
	struct vmm_pv *pv = vcpu->pv;
	const gpa_t gpa = pv->system_time & ~(u64)KVM_MSR_ENABLED;
	struct pvclock_vcpu_time_info info = { .version = pv->version };
	struct clock_base base;

	BUILD_BUG_ON(offsetof(struct pvclock_vcpu_time_info, version) ||
		     offsetof(struct pvclock_wall_clock, version));
	if (!(pv->system_time & KVM_MSR_ENABLED))
		return;
	/* A thread that moves before the CPU is known asks for the next update. */
	WRITE_ONCE(pv->clock_cpu, NO_CPU);
	barrier();
	WRITE_ONCE(pv->clock_cpu, clock_now(vcpu->vm, &base));
	info.tsc_timestamp = vmm_tsc_scale(vcpu->vm, base.tsc) + vcpu->tsc_offset;
	info.system_time = base.ns;
	tsc_factor(vcpu->vm, &info.tsc_to_system_mul, &info.tsc_shift);
	info.flags = stop_not_seen(vcpu->vm, gpa);
	info.flags |= base.stable ? PVCLOCK_TSC_STABLE_BIT : 0;
	if (pv->stops_told != READ_ONCE(vcpu->vm->clock_stops)) {
		pv->stops_told = READ_ONCE(vcpu->vm->clock_stops);
		info.flags |= PVCLOCK_GUEST_STOPPED;
	}
	write_versioned(vcpu->vm, gpa, &info, sizeof(info));
	/* Even, whether or not the memory was there. */
	pv->version = ALIGN(info.version, 2);
}

void vmm_pv_load(struct vmm_vcpu *vcpu, int cpu)
{
	const struct vmm_pv *pv = vcpu->pv;

	if ((pv->system_time & KVM_MSR_ENABLED) && unlikely(check_tsc_unstable()) &&
	    READ_ONCE(pv->clock_cpu) != cpu)
		vmm_request(vcpu, VMM_REQ_CLOCK);
}

static int write_wall_clock(struct vmm_vcpu *vcpu, gpa_t gpa)
{
	struct pvclock_wall_clock wall = {};
	struct timespec64 start;
	int r;

	if (!area_valid(vcpu, gpa, sizeof(wall)))
		return -EINVAL;
	/* The guest's own version, so that a reader of an earlier one notices. */
	r = vmm_guest_read(vcpu->vm, gpa, &wall.version, sizeof(wall.version));
	if (r)
		return -EINVAL;
	wall.version &= ~1U;
	start = ns_to_timespec64(ktime_get_real_ns() - vmm_pv_clock_ns(vcpu->vm));
	wall.sec = start.tv_sec;
	wall.nsec = start.tv_nsec;
	return write_versioned(vcpu->vm, gpa, &wall, sizeof(wall)) ? -EINVAL : 0;
}

/* ---- MSRs ---- */

static int write_system_time(struct vmm_vcpu *vcpu, u64 value)
{
	if (!area_valid(vcpu, value & ~(u64)KVM_MSR_ENABLED,
			sizeof(struct pvclock_vcpu_time_info)))
		return -EINVAL;
	vcpu->pv->system_time = value;
	vmm_request(vcpu, VMM_REQ_CLOCK);
	return 0;
}

static int write_pv_eoi(struct vmm_vcpu *vcpu, u64 value)
{
	if (!area_valid(vcpu, value & ~(u64)KVM_MSR_ENABLED, sizeof(u32)))
		return -EINVAL;
	vmm_apic_set_pv_eoi(vcpu, value);
	return 0;
}

static int write_poll_control(struct vmm_vcpu *vcpu, u64 value)
{
	if (value > 1)
		return -EINVAL;
	vcpu->pv->poll_control = value;
	return 0;
}

bool vmm_pv_may_poll(const struct vmm_vcpu *vcpu)
{
	return vcpu->pv->poll_control;
}

/* The feature that brings an MSR. */
static unsigned int feature_of(u32 msr)
{
	switch (msr) {
	case MSR_KVM_STEAL_TIME:
		return KVM_FEATURE_STEAL_TIME;
	case MSR_KVM_PV_EOI_EN:
		return KVM_FEATURE_PV_EOI;
	case MSR_KVM_POLL_CONTROL:
		return KVM_FEATURE_POLL_CONTROL;
	default:
		return KVM_FEATURE_CLOCKSOURCE2;
	}
}

static bool has_msr(const struct vmm_vcpu *vcpu, u32 msr, enum vmm_origin origin)
{
	return origin == VMM_ORIGIN_USER || pv_has(vcpu, feature_of(msr));
}

int vmm_pv_msr_read(struct vmm_vcpu *vcpu, u32 msr, enum vmm_origin origin, u64 *value)
{
	if (!has_msr(vcpu, msr, origin))
		return -EINVAL;
	switch (msr) {
	case MSR_KVM_SYSTEM_TIME_NEW:
		*value = vcpu->pv->system_time;
		return 0;
	case MSR_KVM_WALL_CLOCK_NEW:
		/* A command, not a register: there is nothing to save. */
		*value = 0;
		return 0;
	case MSR_KVM_STEAL_TIME:
		*value = vcpu->pv->steal;
		return 0;
	case MSR_KVM_PV_EOI_EN:
		*value = vmm_apic_get_pv_eoi(vcpu);
		return 0;
	case MSR_KVM_POLL_CONTROL:
		*value = vcpu->pv->poll_control;
		return 0;
	default:
		return -EINVAL;
	}
}

int vmm_pv_msr_write(struct vmm_vcpu *vcpu, u32 msr, enum vmm_origin origin, u64 value)
{
	if (!has_msr(vcpu, msr, origin))
		return -EINVAL;
	switch (msr) {
	case MSR_KVM_SYSTEM_TIME_NEW:
		return write_system_time(vcpu, value);
	case MSR_KVM_WALL_CLOCK_NEW:
		return write_wall_clock(vcpu, value);
	case MSR_KVM_STEAL_TIME:
		return pv_steal_write(vcpu, value);
	case MSR_KVM_PV_EOI_EN:
		return write_pv_eoi(vcpu, value);
	case MSR_KVM_POLL_CONTROL:
		return write_poll_control(vcpu, value);
	default:
		return -EINVAL;
	}
}

/* ---- hypercalls ---- */

/* Arguments: RBX, RCX, RDX, RSI; "Linux KVM Hypercall" */
struct hypercall {
	u64 number;
	u64 arg[4];
	unsigned int bits;	/* of each */
};

static long hypercall(struct vmm_vcpu *vcpu, const struct hypercall *call)
{
	const u64 *arg = call->arg;

	if (vmm_cpl(vcpu))
		return -KVM_EPERM;
	switch (call->number) {
	case KVM_HC_VAPIC_POLL_IRQ:
		/* It asks for an exit and nothing else. */
		return 0;
	case KVM_HC_KICK_CPU:
		if (pv_has(vcpu, KVM_FEATURE_PV_UNHALT))
			return pv_kick_vcpu(vcpu->vm, arg[1]);
		break;
	case KVM_HC_SEND_IPI:
		if (pv_has(vcpu, KVM_FEATURE_PV_SEND_IPI))
			return vmm_send_ipis(vcpu->vm, arg, call->bits, arg[2], arg[3]);
		break;
	case KVM_HC_SCHED_YIELD:
		if (pv_has(vcpu, KVM_FEATURE_PV_SCHED_YIELD))
			return pv_yield_to(vcpu->vm, arg[0]);
		break;
	}
	return -KVM_ENOSYS;
}

bool vmm_pv_hypercall_sleeps(const struct vmm_vcpu *vcpu)
{
	return (u32)vcpu->regs.rax == KVM_HC_SCHED_YIELD;
}

void vmm_pv_hypercall(struct vmm_vcpu *vcpu)
{
	struct vmm_regs *regs = &vcpu->regs;
	struct hypercall call = {
		.number = regs->rax,
		.arg = { regs->rbx, regs->rcx, regs->rdx, regs->rsi },
		.bits = 64,
	};
	long result;
	int i;

	vmm_pull(vcpu, VMM_STATE_CTRL | VMM_STATE_CS);
	if (vmm_insn_mode(vcpu) != INSN_MODE_64) {
		call.bits = 32;
		call.number = (u32)call.number;
		for (i = 0; i < ARRAY_SIZE(call.arg); i++)
			call.arg[i] = (u32)call.arg[i];
	}
	result = hypercall(vcpu, &call);
	regs->rax = call.bits == 64 ? result : (u32)result;
}

/* ---- life ---- */

int vmm_pv_create(struct vmm_vcpu *vcpu)
{
	vcpu->pv = kzalloc(sizeof(*vcpu->pv), GFP_KERNEL_ACCOUNT);
	return vcpu->pv ? 0 : -ENOMEM;
}

void vmm_pv_destroy(struct vmm_vcpu *vcpu)
{
	kfree(vcpu->pv);
}

void vmm_pv_reset(struct vmm_vcpu *vcpu)
{
	*vcpu->pv = (struct vmm_pv) {
		.poll_control = 1,
		.stops_told = READ_ONCE(vcpu->vm->clock_stops),
	};
	vmm_apic_set_pv_eoi(vcpu, 0);
}
