// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The shim over /dev/kvm, by its documented API (Documentation/virt/kvm/api.rst).
 * KVM gets its best case: of its chips only the local APIC (split irqchip), the
 * table of CPUID read once, no halt polling, which would count as work.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine.h"
#include "shim.h"

#define MAX_CPUID	256
#define CPUID_1_ECX_TSC_DEADLINE	(1U << 24)
/* Where Intel CPUs without unrestricted guest want their real-mode helpers. */
#define TSS_ADDRESS	0xfffbd000

struct shim_vm {
	int fd;
	int vcpu;
	struct kvm_run *run;
};

const char *const shim_name = "kvm";

static int device;
static size_t run_size;
static bool intel;
static struct {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[MAX_CPUID];
} cpuid = { .head.nent = MAX_CPUID };

static int must(int ret, const char *what)
{
	if (ret < 0)
		die(what, strerror(errno));
	return ret;
}

static void no_halt_polling(void)
{
	FILE *file = fopen("/sys/module/kvm/parameters/halt_poll_ns", "w");

	if (!file || fputs("0\n", file) < 0 || fclose(file))
		die("/sys/module/kvm/parameters/halt_poll_ns", strerror(errno));
}

/* KVM_GET_SUPPORTED_CPUID leaves this bit to a capability of its own. */
static void add_tsc_deadline(void)
{
	struct kvm_cpuid_entry2 *entry = cpuid.entries;

	if (ioctl(device, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) <= 0)
		die("/dev/kvm", "no TSC-deadline timer");
	while (entry->function != 1)
		entry++;
	entry->ecx |= CPUID_1_ECX_TSC_DEADLINE;
}

void shim_open(void)
{
	device = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	run_size = must(ioctl(device, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	must(ioctl(device, KVM_GET_SUPPORTED_CPUID, &cpuid), "KVM_GET_SUPPORTED_CPUID");
	intel = cpuid.entries[0].ebx == 0x756e6547;	/* "Genu" */
	add_tsc_deadline();
	no_halt_polling();
}

struct shim_vm *shim_create(void)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP };
	struct shim_vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		die("create", "no memory");
	vm->fd = must(ioctl(device, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	if (intel)
		must(ioctl(vm->fd, KVM_SET_TSS_ADDR, TSS_ADDRESS), "KVM_SET_TSS_ADDR");
	must(ioctl(vm->fd, KVM_ENABLE_CAP, &split), "KVM_CAP_SPLIT_IRQCHIP");
	vm->vcpu = must(ioctl(vm->fd, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	vm->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
	if (vm->run == MAP_FAILED)
		die("map the run page", strerror(errno));
	must(ioctl(vm->vcpu, KVM_SET_CPUID2, &cpuid), "KVM_SET_CPUID2");
	return vm;
}

void shim_destroy(struct shim_vm *vm)
{
	munmap(vm->run, run_size);
	close(vm->vcpu);
	close(vm->fd);
	free(vm);
}

void shim_slot(struct shim_vm *vm, unsigned int slot, uint64_t gpa, uint64_t size, void *hva)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	must(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

void shim_start(struct shim_vm *vm, uint64_t rip, uint64_t cr3)
{
	struct kvm_regs regs = { .rip = rip, .rflags = RFLAGS_START };
	struct kvm_segment data = {
		.limit = ~0U,
		.selector = SELECTOR_DATA,
		.type = SEG_TYPE_DATA,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};
	struct kvm_segment code = data;
	struct kvm_sregs sregs;

	code.selector = SELECTOR_CODE;
	code.type = SEG_TYPE_CODE;
	code.db = 0;
	code.l = 1;
	must(ioctl(vm->vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = data;
	sregs.es = data;
	sregs.fs = data;
	sregs.gs = data;
	sregs.ss = data;
	sregs.cr0 = CR0_START;
	sregs.cr3 = cr3;
	sregs.cr4 = CR4_START;
	sregs.efer = EFER_START;
	must(ioctl(vm->vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	must(ioctl(vm->vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void doorbell(struct shim_vm *vm, const struct kvm_ioeventfd *ev)
{
	must(ioctl(vm->fd, KVM_IOEVENTFD, ev), "KVM_IOEVENTFD");
}

void shim_doorbell_port(struct shim_vm *vm, uint16_t port, int fd)
{
	const struct kvm_ioeventfd ev = {
		.addr = port,
		.len = 2,
		.fd = fd,
		.flags = KVM_IOEVENTFD_FLAG_PIO,
	};

	doorbell(vm, &ev);
}

void shim_doorbell_mmio(struct shim_vm *vm, uint64_t gpa, int fd)
{
	const struct kvm_ioeventfd ev = { .addr = gpa, .fd = fd };

	doorbell(vm, &ev);
}

void shim_run(struct shim_vm *vm, struct shim_exit *exit)
{
	struct kvm_run *run = vm->run;
	int ret;

	do
		ret = ioctl(vm->vcpu, KVM_RUN, 0);
	while (ret < 0 && errno == EINTR);
	must(ret, "KVM_RUN");
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		exit->kind = SHIM_PIO;
		exit->address = run->io.port;
		exit->write = run->io.direction == KVM_EXIT_IO_OUT;
		exit->data = (char *)run + run->io.data_offset;
		break;
	case KVM_EXIT_MMIO:
		exit->kind = SHIM_MMIO;
		exit->address = run->mmio.phys_addr;
		exit->write = run->mmio.is_write;
		exit->data = run->mmio.data;
		break;
	default:
		exit->kind = SHIM_OTHER;
		exit->reason = run->exit_reason;
	}
}
