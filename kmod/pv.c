// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's documented paravirtual interface, as far as guests need it here:
 * kvmclock, the wall clock, and the answer to hypercalls.
 *
 * A VM has one clock: a pair (host TSC, clock ns) that all its vCPUs extrapolate
 * from with the same factor, so it never runs backwards from one vCPU to another.
 * While the host's TSC is stable the pair is taken once and whenever the process
 * sets the clock; on a host whose TSC is not, it is taken anew from the host's
 * clock for each update, and guests are told that vCPUs may disagree.
 *
 * Memory of the guest is written through the process's mapping, in the vCPU's
 * thread. A guest that names memory it does not have loses the update.
 */
#include <linux/math64.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>
#include <uapi/asm/kvm_para.h>
#include <uapi/linux/kvm_para.h>

#include "vmm.h"

struct vmm_pv {
	u64 system_time;	/* (t) MSR_KVM_SYSTEM_TIME_NEW */
	u32 version;		/* (t) of the clock page, even */
};

/* ---- the VM's clock ---- */

struct clock_base {
	u64 tsc;		/* of the host */
	u64 ns;			/* that kvmclock shows then */
	bool stable;
};

/* The host's TSC and its clock since boot at the same moment. */
static void sample(u64 *tsc, u64 *ns)
{
	unsigned long flags;
	u64 before;

	local_irq_save(flags);
	before = rdtsc_ordered();
	*ns = ktime_get_boottime_ns();
	*tsc = before + (rdtsc_ordered() - before) / 2;
	local_irq_restore(flags);
}

/* ns = (cycles << shift) * mul >> 32, as pvclock_scale_delta() has it */
static void tsc_factor(u32 *mul, s8 *shift)
{
	u64 factor = div_u64(NSEC_PER_SEC << 32, tsc_khz) / 1000;
	s8 n = 0;

	while (factor >> 32) {
		factor >>= 1;
		n++;
	}
	*mul = factor;
	*shift = n;
}

static void clock_now(struct vmm_vm *vm, struct clock_base *base)
{
	s64 offset;
	unsigned int seq;

	do {
		seq = read_seqcount_begin(&vm->clock_seq);
		base->tsc = vm->clock_tsc;
		base->ns = vm->clock_ns;
		offset = vm->clock_offset;
	} while (read_seqcount_retry(&vm->clock_seq, seq));
	base->stable = !check_tsc_unstable();
	if (base->stable)
		return;
	sample(&base->tsc, &base->ns);
	base->ns += offset;
}

u64 vmm_pv_clock_ns(struct vmm_vm *vm)
{
	struct clock_base base;
	u32 mul;
	s8 shift;

	clock_now(vm, &base);
	if (!base.stable)
		return base.ns;
	tsc_factor(&mul, &shift);
	return base.ns + pvclock_scale_delta(rdtsc_ordered() - base.tsc, mul, shift);
}

void vmm_pv_set_clock_ns(struct vmm_vm *vm, u64 ns)
{
	u64 tsc, boot;

	lockdep_assert_held(&vm->lock);
	sample(&tsc, &boot);
	/* The VM's first: guests' TSCs start at 0 here. */
	if (!vm->tsc_start)
		vm->tsc_start = tsc;
	write_seqcount_begin(&vm->clock_seq);
	vm->clock_tsc = tsc;
	vm->clock_ns = ns;
	vm->clock_offset = ns - boot;
	write_seqcount_end(&vm->clock_seq);
	vmm_vm_request(vm, VMM_REQ_CLOCK);
}

u64 vmm_guest_tsc(const struct vmm_vcpu *vcpu)
{
	return rdtsc() + vcpu->tsc_offset;
}

/* ---- the pages ---- */

/* Areas are aligned to 4 bytes and within one page: "MSR_KVM_SYSTEM_TIME_NEW". */
static bool area_valid(struct vmm_vcpu *vcpu, u64 gpa, size_t size)
{
	return !(gpa & 3) && (gpa & ~PAGE_MASK) + size <= PAGE_SIZE &&
	       !(gpa >> vmm_cpuid_phys_bits(vcpu));
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

void vmm_pv_update_clock(struct vmm_vcpu *vcpu)
{
	struct vmm_pv *pv = vcpu->pv;
	struct pvclock_vcpu_time_info info = { .version = pv->version };
	struct clock_base base;

	BUILD_BUG_ON(offsetof(struct pvclock_vcpu_time_info, version) ||
		     offsetof(struct pvclock_wall_clock, version));
	if (!(pv->system_time & KVM_MSR_ENABLED))
		return;
	clock_now(vcpu->vm, &base);
	info.tsc_timestamp = base.tsc + vcpu->tsc_offset;
	info.system_time = base.ns;
	tsc_factor(&info.tsc_to_system_mul, &info.tsc_shift);
	info.flags = base.stable ? PVCLOCK_TSC_STABLE_BIT : 0;
	write_versioned(vcpu->vm, pv->system_time & ~(u64)KVM_MSR_ENABLED, &info, sizeof(info));
	/* Even, whether or not the memory was there. */
	pv->version = ALIGN(info.version, 2);
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

int vmm_pv_msr_read(struct vmm_vcpu *vcpu, u32 msr, u64 *value)
{
	switch (msr) {
	case MSR_KVM_SYSTEM_TIME_NEW:
		*value = vcpu->pv->system_time;
		return 0;
	case MSR_KVM_WALL_CLOCK_NEW:
		/* A command, not a register: there is nothing to save. */
		*value = 0;
		return 0;
	default:
		return -EINVAL;
	}
}

int vmm_pv_msr_write(struct vmm_vcpu *vcpu, u32 msr, u64 value)
{
	switch (msr) {
	case MSR_KVM_SYSTEM_TIME_NEW:
		if (!area_valid(vcpu, value & ~(u64)KVM_MSR_ENABLED,
				sizeof(struct pvclock_vcpu_time_info)))
			return -EINVAL;
		vcpu->pv->system_time = value;
		vmm_request(vcpu, VMM_REQ_CLOCK);
		return 0;
	case MSR_KVM_WALL_CLOCK_NEW:
		return write_wall_clock(vcpu, value);
	default:
		return -EINVAL;
	}
}

/* ---- hypercalls ---- */

static long hypercall(struct vmm_vcpu *vcpu, u64 number)
{
	if (vmm_cpl(vcpu))
		return -KVM_EPERM;
	/* It asks for an exit and nothing else. */
	if (number == KVM_HC_VAPIC_POLL_IRQ)
		return 0;
	return -KVM_ENOSYS;
}

void vmm_pv_hypercall(struct vmm_vcpu *vcpu)
{
	bool wide;
	u64 number = vcpu->regs.rax;
	long result;

	vmm_pull(vcpu, VMM_STATE_CTRL | VMM_STATE_CS);
	wide = vmm_insn_mode(vcpu) == INSN_MODE_64;
	result = hypercall(vcpu, wide ? number : (u32)number);
	vcpu->regs.rax = wide ? result : (u32)result;
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
	*vcpu->pv = (struct vmm_pv) {};
}
