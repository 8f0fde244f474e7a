// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guests' TSC over what no emulated host does: a suspend from which the host's TSC comes
 * back set to 0, with scaling and without (kmod/tsc.c); and the frequencies at the limits.
 */
/* unit-flags: -Ishim -I../kmod -Wno-unused-parameter -Wno-unused-value */
#include <errno.h>

#include <linux/bits.h>
#include <linux/kernel.h>
#include <asm/tsc.h>

#include "tap.h"

/* ---- in place of vmm.h ---- */

#define VMM_H
#define likely(condition)		(condition)
#define VMM_FEATURE_TSC_SCALING		1
#define VMM_STATE_TSC			2
#define lockdep_assert_held(lock)
#define VMM_TSC_KHZ_MIN			10000
#define VMM_TSC_KHZ_MAX			10000000

static struct {
	u64 features, tsc_ratio_max;
	unsigned int tsc_fraction;
} vmm_caps;

enum vmm_request { VMM_REQ_CLOCK, VMM_REQ_TSC };

struct vmm_vm {
	u64 tsc_offset, tsc_ratio;
	u32 tsc_khz;
};

struct vmm_vcpu {
	struct vmm_vm *vm;
	u64 tsc_offset, tsc_base, tsc_lost, dirty;
	u64 deadline;
};

static void vmm_dirty(struct vmm_vcpu *vcpu, u64 mask)
{
	vcpu->dirty |= mask;
}

static unsigned int changes;

static void vmm_apic_tsc_changed(struct vmm_vcpu *vcpu)
{
	changes++;
}

static void vmm_request(struct vmm_vcpu *vcpu, enum vmm_request request)
{
}

static void vmm_vm_kick(struct vmm_vm *vm, enum vmm_request request)
{
}

u64 vmm_vm_tsc(const struct vmm_vm *vm, u64 host);

#include "../kmod/tsc.c"

/* ---- the tests ---- */

/* What RDTSC gives in the guest, by the offset that the backend got. */
static u64 in_guest(const struct vmm_vcpu *vcpu)
{
	return vmm_tsc_scale(vcpu->vm, rdtsc()) + vmm_tsc_offset(vcpu);
}

static void suspend(u64 before, u64 after)
{
	unit_shim_tsc = before;
	vmm_tsc_suspend();
	unit_shim_tsc = after;
	vmm_tsc_resume();
}

/* Scaled values are rounded down once or twice. */
static bool near(u64 a, u64 b)
{
	return a - b + 1 <= 2;
}

static void suspends(u32 khz, const char *what)
{
	struct vmm_vm vm = { .tsc_offset = -1ULL << 39 };
	struct vmm_vcpu vcpu = { .vm = &vm, .tsc_offset = -12345ULL };
	u64 host, guest;

	unit_shim_tsc = 1ULL << 40;
	is(vmm_tsc_set(&vm, khz), 0, "a VM %s", what);
	vmm_tsc_load(&vcpu);
	host = vmm_host_tsc();
	guest = vmm_guest_tsc(&vcpu);
	ok(near(in_guest(&vcpu), guest), "its guest sees what the module says");
	vcpu.dirty = 0;
	vmm_tsc_load(&vcpu);
	is(vcpu.dirty, 0, "and the backend is told once");

	suspend(unit_shim_tsc, 500);
	is(vmm_host_tsc(), host, "a TSC set back stood still for guests");
	ok(near(vmm_guest_tsc(&vcpu), guest), "so did the guest's");
	vmm_tsc_load(&vcpu);
	is(vcpu.dirty, VMM_STATE_TSC, "of which the backend is told before it enters");
	ok(near(in_guest(&vcpu), guest), "and the guest sees that, too");

	suspend(900, 1000);
	is(vmm_host_tsc(), host + 500, "one that went on goes on");
	vcpu.dirty = 0;
	vmm_tsc_load(&vcpu);
	is(vcpu.dirty, 0, "for the backend as well");
	suspend(2000, 0);
	is(vmm_host_tsc(), host + 1500, "and one set back again adds up");
	is(changes, 0, "there is no deadline to be found anew");
	vcpu.deadline = 1;
	vmm_tsc_load(&vcpu);
	is(changes, 1, "but now there is");
	changes = 0;
}

/* A deadline comes no sooner than its guest's TSC, and at most two ticks later. */
static void deadlines(u32 khz, const char *what)
{
	static const u64 ahead[] = { 1, 2, 3, 1000, 999999937, 1ULL << 45 };
	struct vmm_vm vm = {};
	struct vmm_vcpu vcpu = { .vm = &vm, .tsc_offset = -98765ULL };
	const u64 host = 1ULL << 40;
	u64 guest, when;

	unit_shim_tsc = host;
	is(vmm_tsc_set(&vm, khz), 0, "deadlines %s", what);
	guest = vmm_guest_tsc(&vcpu);
	is(vmm_tsc_when(&vcpu, guest, host), host, "now is now");
	is(vmm_tsc_when(&vcpu, guest - 5, host), host, "and so is the past");
	for (unsigned int i = 0; i < sizeof(ahead) / sizeof(*ahead); i++) {
		when = vmm_tsc_when(&vcpu, guest + ahead[i], host);
		unit_shim_tsc = when;
		ok(when > host && vmm_guest_tsc(&vcpu) >= guest + ahead[i],
		   "%llu ahead: not before", (unsigned long long)ahead[i]);
		unit_shim_tsc = when - 2 - tsc_khz / vm.tsc_khz;
		ok(vmm_guest_tsc(&vcpu) < guest + ahead[i], "nor much later");
	}
	when = vmm_tsc_when(&vcpu, ~0ULL, host);
	ok(when >> 60 && when <= S64_MAX, "the furthest is never");
}

static void limits(void)
{
	static const u32 khz[] = { VMM_TSC_KHZ_MIN, VMM_TSC_KHZ_MAX };
	struct vmm_vm vm;

	for (unsigned int i = 0; i < 2; i++) {
		is(vmm_tsc_set(&vm, khz[i]), 0, "a VM with %u kHz", khz[i]);
		is(vm.tsc_khz, khz[i], "has them");
		ok(near(vmm_tsc_scale(&vm, 1000000000000ULL), 1000000ULL * khz[i]),
		   "so many in 1,000 s of the host's");
	}
	vmm_caps.tsc_ratio_max = 1;
	is(vmm_tsc_set(&vm, VMM_TSC_KHZ_MAX), -EOPNOTSUPP, "none beyond what the CPU can");
}

/* A time that somebody hostile gives must not be a division's overflow: #DE in the kernel. */
static void conversions(void)
{
	static const u32 khz[] = { VMM_TSC_KHZ_MIN, 2999999, VMM_TSC_KHZ_MAX };
	static const u64 ns[] = { 0, 1, 999999, 1000000, 1000001, 1ULL << 62, ~0ULL };
	struct vmm_vm vm;

	for (unsigned int i = 0; i < sizeof(khz) / sizeof(*khz); i++)
		for (unsigned int j = 0; j < sizeof(ns) / sizeof(*ns); j++) {
			vm.tsc_khz = khz[i];
			is(vmm_ns_to_tsc(&vm, ns[j]),
			   (u64)((__uint128_t)ns[j] * khz[i] / 1000000),
			   "%llu ns of %u kHz", (unsigned long long)ns[j], khz[i]);
		}
}

/* What VMM_SET_CLOCK and VMM_STATE_TSC set is what a guest reads. */
static void settings(void)
{
	struct vmm_vm vm = { .tsc_offset = 5 };
	struct vmm_vcpu vcpus[] = { { .vm = &vm }, { .vm = &vm } };

	vmm_tsc_set(&vm, 2500000);
	unit_shim_tsc = 1ULL << 42;
	for (unsigned int i = 0; i < 2; i++)
		vmm_tsc_reset(&vcpus[i]);
	vcpus[1].dirty = 0;
	vmm_tsc_move(&vcpus[1], -7ULL);
	is(vcpus[1].dirty, VMM_STATE_TSC, "an offset is told to the backend");
	vmm_vm_set_tsc(&vm, vmm_host_tsc(), 1ULL << 60);
	for (unsigned int i = 0; i < 2; i++) {
		u64 before = vmm_guest_tsc(&vcpus[i]);

		vmm_tsc_load(&vcpus[i]);
		ok(near(in_guest(&vcpus[i]), before), "vCPU %u has not taken it yet", i);
		vmm_tsc_move(&vcpus[i], 0);
		is(vmm_tsc_own(&vcpus[i]), i * -7ULL, "now it has, and its own offset");
		ok(near(vmm_guest_tsc(&vcpus[i]), (1ULL << 60) - i * 7), "vCPU %u has it", i);
		ok(near(in_guest(&vcpus[i]), (1ULL << 60) - i * 7), "and its guest");
	}
	is(vmm_guest_tsc(&vcpus[0]) - vmm_guest_tsc(&vcpus[1]), 7, "to the tick");
}

int main(void)
{
	conversions();
	suspends(0, "with the host's frequency");
	deadlines(0, "of the host's frequency");
	vmm_caps.tsc_fraction = 48;
	vmm_caps.tsc_ratio_max = ~0ULL;
	vmm_tsc_init();
	suspends(2500000, "with another frequency");
	settings();
	deadlines(2500000, "of a higher one");
	deadlines(VMM_TSC_KHZ_MIN, "of the lowest");
	deadlines(VMM_TSC_KHZ_MAX, "of the highest");
	limits();
	return tap_end();
}
