// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The module is loaded and unloaded a thousand times, half of them with KVM loaded
 * first, and works after it; nothing of the host's memory is gone. With KVM loaded
 * a VM may be refused with EBUSY, but nothing else.
 */
#include "lib/module.h"
#include "lib/test.h"

#define CYCLES		500
#define VM_EVERY	25
/* What so many cycles would lose of a page each, in KiB. */
#define LOSS_KIB	(CYCLES * 4)

static void guest_done(void)
{
	GUEST_DONE();
}

static void run_a_guest(void)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_done);

	vcpu_done(vcpu);
	vcpu_free(vcpu);
	vm_free(vm);
}

/* What the kernel has for itself: slab that no cache gives back, vmalloc, per CPU. */
static long kernel_kib(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char line[128], name[32];
	long sum = 0, value;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%31[^:]: %ld", name, &value) == 2 &&
		    (!strcmp(name, "SUnreclaim") || !strcmp(name, "VmallocUsed") ||
		     !strcmp(name, "Percpu")))
			sum += value;
	if (file)
		fclose(file);
	return sum;
}

/* 0, or what VMM_CREATE_VM says. */
static int try_a_vm(void)
{
	struct vmm_create_vm args = { 0 };
	int sys = open_vmm(), fd = vmm_call(sys, VMM_CREATE_VM, &args);

	close(sys);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static void cycle(struct __test_metadata *_metadata, u32 count, bool kvm)
{
	for (u32 i = 0; i < count && _metadata->passed; i++) {
		EXPECT_EQ_FOR(0, module_unload(), "cycle %u", i);
		EXPECT_EQ_FOR(-1, access("/sys/module/vmm", F_OK), "cycle %u", i);
		EXPECT_EQ_FOR(0, module_load(), "cycle %u", i);
		if (!_metadata->passed || i % VM_EVERY)
			continue;
		if (!kvm)
			run_a_guest();
		else if (try_a_vm() != -EBUSY)
			EXPECT_EQ_FOR(0, try_a_vm(), "cycle %u", i);
	}
}

/* In Bochs each takes seconds. */
static u32 cycles(void)
{
	return host_slowness() < 50 ? share_of(CYCLES) : 2;
}

TEST_TIMEOUT(loads_and_unloads_alone, 580)
{
	u32 count = cycles();
	long before;

	if (module_breaks_the_host())
		SKIP(return, "QEMU TCG with several CPUs does not stand patched code");
	/* Caches that grow once are no loss. */
	cycle(_metadata, share_of(CYCLES / 10), false);
	before = kernel_kib();
	cycle(_metadata, count, false);
	run_a_guest();
	TH_LOG("%u cycles; the kernel's memory: %ld KiB before, %ld KiB after", count, before,
	       kernel_kib());
	/* A debugging kernel keeps what is freed, and has few rounds. */
	if (count == CYCLES)
		EXPECT_LT(kernel_kib() - before, LOSS_KIB);
}

TEST_TIMEOUT(loads_and_unloads_beside_kvm, 580)
{
	bool kvm;

	if (module_breaks_the_host())
		SKIP(return, "QEMU TCG with several CPUs does not stand patched code");
	kvm = kvm_load();
	if (!kvm)
		SKIP(return, "KVM is not there");
	cycle(_metadata, cycles(), true);
	EXPECT_TRUE(kvm_unload());
	run_a_guest();
}

VMM_TEST_MAIN
