// SPDX-License-Identifier: GPL-2.0-only
/*
 * The TSC of a VM: its frequency, which stays what it was created with, and how a
 * value of the host's becomes one of a guest's. The CPU does the same at each RDTSC:
 * guest TSC = (host TSC * ratio >> fraction) + offset; "Time-Stamp Counter Offsetting
 * and Scaling" of the one manual, "TSC Ratio MSR (C000_0104h)" of the other.
 *
 * The offset has two parts: a VM's TSC, which VMM_SET_CLOCK sets, and what a vCPU's own was
 * moved by against that. So vCPUs that nobody wrote to count alike, and all can be saved and
 * restored to the tick. A vCPU takes a new one of the VM's at a moment of its own: what the
 * CPU, kvmclock's page and the APIC's timer have is then all of one time.
 *
 * A host that was suspended may come back with a TSC that began anew. What it lost is
 * added wherever it is read for a guest, so for guests it stood still meanwhile.
 *
 * All that counts in the guest's ticks - its APIC's timer, kvmclock, the leaves of CPUID
 * that tell frequencies - goes by vm->tsc_khz.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/math64.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <asm/tsc.h>

#include "vmm.h"

static bool tsc_scaling = true;
module_param(tsc_scaling, bool, 0444);
MODULE_PARM_DESC(tsc_scaling, "Give guests a TSC of another frequency where the CPU can (default: y)");

/*
 * Without scaling a frequency that is nearer to the host's than this is taken for the
 * host's: two machines of one model differ by as much as they were calibrated, and clocks
 * of guests are corrected by up to 500 ppm anyway (NTP).
 */
#define TOLERANCE_PPM	250

static u64 at_suspend;		/* of the host, raw */
static u64 lost;		/* changes while all tasks are frozen, so others just read it */

void vmm_tsc_suspend(void)
{
	at_suspend = rdtsc();
}

void vmm_tsc_resume(void)
{
	u64 now = rdtsc();

	if (now < at_suspend)
		lost += at_suspend - now;
}

u64 vmm_host_tsc(void)
{
	return rdtsc_ordered() + lost;
}

void vmm_tsc_init(void)
{
	if (!tsc_scaling)
		vmm_caps.tsc_fraction = 0;
	if (vmm_caps.tsc_fraction)
		vmm_caps.features |= VMM_FEATURE_TSC_SCALING;
}

static bool near_host(u32 khz)
{
	u32 distance = khz > tsc_khz ? khz - tsc_khz : tsc_khz - khz;

	return distance <= mul_u64_u32_div(tsc_khz, TOLERANCE_PPM, 1000000);
}

int vmm_tsc_set(struct vmm_vm *vm, u32 khz)
{
	u64 ratio;

	vm->tsc_khz = tsc_khz;
	vm->tsc_ratio = 0;
	if (!khz || khz == tsc_khz)
		return 0;
	if (!vmm_caps.tsc_fraction) {
		if (near_host(khz))
			return 0;
		pr_info_ratelimited("no VM with a TSC of %u kHz: the host's has %u kHz and %s\n",
				    khz, tsc_khz,
				    tsc_scaling ? "this CPU cannot scale it" :
						  "the module's parameter tsc_scaling is off");
		return -EOPNOTSUPP;
	}
	ratio = mul_u64_u64_div_u64(khz, BIT_ULL(vmm_caps.tsc_fraction), tsc_khz);
	if (ratio > vmm_caps.tsc_ratio_max) {
		pr_info_ratelimited("no VM with a TSC of %u kHz: too far from the host's %u kHz\n",
				    khz, tsc_khz);
		return -EOPNOTSUPP;
	}
	vm->tsc_khz = khz;
	vm->tsc_ratio = ratio;
	return 0;
}

u64 vmm_tsc_scale(const struct vmm_vm *vm, u64 host)
{
	return vm->tsc_ratio ? mul_u64_u64_shr(host, vm->tsc_ratio, vmm_caps.tsc_fraction) : host;
}

u64 vmm_vm_tsc(const struct vmm_vm *vm, u64 host)
{
	return vmm_tsc_scale(vm, host) + READ_ONCE(vm->tsc_offset);
}

void vmm_vm_set_tsc(struct vmm_vm *vm, u64 host, u64 tsc)
{
	lockdep_assert_held(&vm->lock);
	WRITE_ONCE(vm->tsc_offset, tsc - vmm_tsc_scale(vm, host));
	vmm_vm_kick(vm, VMM_REQ_TSC);
}

/* The caller's ns may be any: no division here may overflow. */
u64 vmm_ns_to_tsc(const struct vmm_vm *vm, u64 ns)
{
	const u32 ns_khz = NSEC_PER_SEC / 1000;
	u32 rest;
	u64 units = div_u64_rem(ns, ns_khz, &rest);

	return units * vm->tsc_khz + mul_u64_u32_div(vm->tsc_khz, rest, ns_khz);
}

static u64 guest_tsc_at(const struct vmm_vcpu *vcpu, u64 host)
{
	return vmm_tsc_scale(vcpu->vm, host + lost) + vcpu->tsc_offset;
}

u64 vmm_guest_tsc(const struct vmm_vcpu *vcpu)
{
	return guest_tsc_at(vcpu, rdtsc());
}

/* Ticks of the host's that make @guest; one too many rather than one too few. */
static u64 unscale(const struct vmm_vm *vm, u64 guest)
{
	const unsigned int fraction = vmm_caps.tsc_fraction;

	/* The quotient would have more than 63 bits. */
	if (guest >> (64 - fraction) >= vm->tsc_ratio / 2)
		return U64_MAX;
	return mul_u64_u64_div_u64(guest, BIT_ULL(fraction), vm->tsc_ratio) + 1;
}

u64 vmm_tsc_when(const struct vmm_vcpu *vcpu, u64 guest, u64 host)
{
	u64 now = guest_tsc_at(vcpu, host), left = guest - now;

	if (guest <= now)
		return host;
	if (vcpu->vm->tsc_ratio)
		left = unscale(vcpu->vm, left);
	return host + min_t(u64, left, S64_MAX - host);
}

static void take_vms(struct vmm_vcpu *vcpu)
{
	u64 base = READ_ONCE(vcpu->vm->tsc_offset);

	vcpu->tsc_offset += base - vcpu->tsc_base;
	vcpu->tsc_base = base;
}

void vmm_tsc_reset(struct vmm_vcpu *vcpu)
{
	take_vms(vcpu);
	vcpu->tsc_offset = vcpu->tsc_base;
	vmm_dirty(vcpu, VMM_STATE_TSC);
}

void vmm_tsc_move(struct vmm_vcpu *vcpu, u64 ticks)
{
	take_vms(vcpu);
	vcpu->tsc_offset += ticks;
	vmm_dirty(vcpu, VMM_STATE_TSC);
	vmm_apic_tsc_changed(vcpu);
	/* kvmclock's page names a value of the guest's TSC. */
	vmm_request(vcpu, VMM_REQ_CLOCK);
}

u64 vmm_tsc_own(const struct vmm_vcpu *vcpu)
{
	return vcpu->tsc_offset - vcpu->tsc_base;
}

/* Also where the thread is scheduled in. One that was frozen slept, so it changes nothing. */
void vmm_tsc_load(struct vmm_vcpu *vcpu)
{
	if (likely(vcpu->tsc_lost == lost))
		return;
	vcpu->tsc_lost = lost;
	vmm_dirty(vcpu, VMM_STATE_TSC);
	/* The hrtimer's clock stood still as well. */
	if (vcpu->deadline)
		vmm_apic_tsc_changed(vcpu);
}

u64 vmm_tsc_offset(const struct vmm_vcpu *vcpu)
{
	return vmm_tsc_scale(vcpu->vm, vcpu->tsc_lost) + vcpu->tsc_offset;
}
