// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Every ioctl with each field invalid once: the errno is the documented one, and
 * the object still works afterwards.
 */
#include <fcntl.h>
#include <sys/eventfd.h>

#include "lib/test.h"
#include "lib/ioctls.h"

#define BAD_POINTER	0x10UL			/* below mmap_min_addr */
#define KERNEL_POINTER	0xffff888000001000UL

/* Set @number's good argument up, spoil it with @edit, expect @want. */
#define REFUSED(want, number_, edit)					\
	do {								\
		struct ioctl_info info_ = find_ioctl(number_);		\
		union ioctl_arg arg_, *a = &arg_;			\
									\
		ioctl_good_arg(s, number_, a);				\
		edit;							\
		EXPECT_EQ_FOR(want, vmm_call(subject_fd(s, info_.kind), number_, a), \
			      "%s with " #edit, info_.name);		\
	} while (0)

static struct ioctl_info find_ioctl(unsigned long number)
{
	for (u32 i = 0; i < ioctl_count; i++)
		if (ioctls[i].number == number)
			return ioctls[i];
	die("no ioctl %#lx in the table", number);
}

FIXTURE(invalid) {
	struct subject *s;
};

FIXTURE_SETUP(invalid)
{
	self->s = subject_new();
}

/* All good arguments still work: nothing was spoilt. */
FIXTURE_TEARDOWN(invalid)
{
	struct subject *s = self->s;
	union ioctl_arg arg;

	for (u32 i = 0; i < ioctl_count; i++) {
		int result;

		if (ioctls[i].number == VMM_RUN)
			continue;
		ioctl_good_arg(s, ioctls[i].number, &arg);
		result = vmm_call(subject_fd(s, ioctls[i].kind), ioctls[i].number, &arg);
		if (result < 0)
			EXPECT_EQ_FOR(0, result, "%s afterwards", ioctls[i].name);
	}
}

TEST_F(invalid, pointers_to_nowhere)
{
	struct subject *s = self->s;
	u8 *pages = map_memory(8192);
	void *edge = pages + 4092;

	munmap(pages + 4096, 4096);
	for (u32 i = 0; i < ioctl_count; i++) {
		int fd = subject_fd(s, ioctls[i].kind);
		unsigned long number = ioctls[i].number;

		if (!_IOC_SIZE(number))
			continue;
		EXPECT_EQ_FOR(-EFAULT, vmm_call(fd, number, NULL), "%s(NULL)", ioctls[i].name);
		EXPECT_EQ_FOR(-EFAULT, vmm_call(fd, number, (void *)KERNEL_POINTER),
			      "%s(kernel address)", ioctls[i].name);
		EXPECT_EQ_FOR(-EFAULT, vmm_call(fd, number, (void *)-8L),
			      "%s(top of the address space)", ioctls[i].name);
		EXPECT_EQ_FOR(-EFAULT, vmm_call(fd, number, edge),
			      "%s(struct over the end of a mapping)", ioctls[i].name);
	}
}

TEST_F(invalid, system)
{
	struct subject *s = self->s;

	REFUSED(-EINVAL, VMM_GET_INFO, a->info.flags = 1);
	REFUSED(-EINVAL, VMM_GET_SUPPORTED_CPUID, a->cpuid.flags = 1);
	REFUSED(-EFAULT, VMM_GET_SUPPORTED_CPUID, a->cpuid.entries = BAD_POINTER);
	REFUSED(-EFAULT, VMM_GET_SUPPORTED_CPUID, a->cpuid.entries = KERNEL_POINTER);
	REFUSED(-ENOSPC, VMM_GET_SUPPORTED_CPUID, a->cpuid.count = 0);
	REFUSED(-EINVAL, VMM_GET_MSR_LIST, a->msr_list.flags = 1);
	REFUSED(-EFAULT, VMM_GET_MSR_LIST, a->msr_list.indices = BAD_POINTER);
	REFUSED(-ENOSPC, VMM_GET_MSR_LIST, a->msr_list.count = 0);
	REFUSED(-EINVAL, VMM_CREATE_VM, a->create_vm.flags = 2);
	REFUSED(-EINVAL, VMM_CREATE_VM, a->create_vm.flags = 1ULL << 63);
	REFUSED(-EINVAL, VMM_CREATE_VM, a->create_vm.tsc_khz = VMM_TSC_KHZ_MIN - 1);
	REFUSED(-EINVAL, VMM_CREATE_VM, a->create_vm.tsc_khz = VMM_TSC_KHZ_MAX + 1);
	REFUSED(-EINVAL, VMM_CREATE_VM, a->create_vm.pad0 = 1);
	for (int i = 0; i < 2; i++)
		REFUSED(-EINVAL, VMM_CREATE_VM, a->create_vm.pad[i] = 1);
}

TEST_F(invalid, slots)
{
	struct subject *s = self->s;
	u64 top = 1UL << s->info.phys_bits;

	REFUSED(-EINVAL, VMM_SET_SLOT, a->slot.slot = s->info.max_slots);
	REFUSED(-EINVAL, VMM_SET_SLOT, a->slot.slot = ~0U);
	REFUSED(-EINVAL, VMM_SET_SLOT, a->slot.flags = 4);
	REFUSED(-EINVAL, VMM_SET_SLOT, a->slot.gpa += 1);
	REFUSED(-EINVAL, VMM_SET_SLOT, a->slot.size += 8);
	REFUSED(-EINVAL, VMM_SET_SLOT, a->slot.hva += 0x10);
	REFUSED(-EINVAL, VMM_SET_SLOT, a->slot.gpa = -4096UL);
	REFUSED(-EINVAL, VMM_SET_SLOT, a->slot.gpa = top);
	REFUSED(-EINVAL, VMM_SET_SLOT, (a->slot.gpa = top - 4096, a->slot.size = 8192));
	REFUSED(-EINVAL, VMM_SET_SLOT, a->slot.size = -4096UL);
	REFUSED(-EINVAL, VMM_SET_SLOT, a->slot.size = 1UL << 63);
	REFUSED(-EINVAL, VMM_SET_SLOT, a->slot.hva = KERNEL_POINTER);
	REFUSED(-EINVAL, VMM_SET_SLOT, a->slot.hva = -4096UL);
	REFUSED(-EINVAL, VMM_SET_SLOT,
		(a->slot.hva = 0xffffffffffe000, a->slot.size = 8192));
	REFUSED(-EEXIST, VMM_SET_SLOT, a->slot.gpa = 0);
	REFUSED(-ENOENT, VMM_SET_SLOT, (a->slot.gpa = a->slot.hva = a->slot.size = 0));
	REFUSED(-EINVAL, VMM_SET_SLOT, (a->slot.slot = 0, a->slot.size = 0));
	REFUSED(-EINVAL, VMM_SET_SLOT,
		(a->slot.slot = 0, a->slot.gpa = 0, a->slot.size = 0));
	REFUSED(-EINVAL, VMM_SET_SLOT,
		(a->slot.slot = 0, a->slot.gpa = a->slot.hva = a->slot.size = 0,
		 a->slot.flags = VMM_SLOT_READONLY));
}

TEST_F(invalid, create_vcpu)
{
	struct subject *s = self->s;

	REFUSED(-EINVAL, VMM_CREATE_VCPU, a->create_vcpu.id = s->info.max_vcpus);
	REFUSED(-EINVAL, VMM_CREATE_VCPU, a->create_vcpu.id = ~0U);
	REFUSED(-EEXIST, VMM_CREATE_VCPU, a->create_vcpu.id = 0);
	REFUSED(-EINVAL, VMM_CREATE_VCPU, a->create_vcpu.flags = 1);
	for (int i = 0; i < 3; i++)
		REFUSED(-EINVAL, VMM_CREATE_VCPU, a->create_vcpu.pad[i] = 1);
}

TEST_F(invalid, msi)
{
	struct subject *s = self->s;

	REFUSED(-EINVAL, VMM_SIGNAL_MSI, a->msi.flags = 1);
	REFUSED(-EINVAL, VMM_SIGNAL_MSI, a->msi.address = 0);
	REFUSED(-EINVAL, VMM_SIGNAL_MSI, a->msi.address = 0xfed00000);
	REFUSED(-EINVAL, VMM_SIGNAL_MSI, a->msi.address = 0xfef00000);
	REFUSED(-EINVAL, VMM_SIGNAL_MSI, a->msi.address = 0x1fee00000);
	for (u32 vector = 0; vector < 16; vector++)
		REFUSED(-EINVAL, VMM_SIGNAL_MSI, a->msi.data = vector);
	REFUSED(-EINVAL, VMM_SIGNAL_MSI, a->msi.data = 0x100);	/* lowest priority, vector 0 */
	REFUSED(-EINVAL, VMM_SIGNAL_MSI, a->msi.data = 0x340);	/* reserved mode */
}

TEST_F(invalid, irqfd)
{
	struct subject *s = self->s;
	int null = open("/dev/null", O_RDWR);

	REFUSED(-EBADF, VMM_IRQFD, a->irqfd.fd = -1);
	REFUSED(-EBADF, VMM_IRQFD, a->irqfd.fd = 9999);
	REFUSED(-EINVAL, VMM_IRQFD, a->irqfd.fd = null);
	REFUSED(-EINVAL, VMM_IRQFD, a->irqfd.fd = s->vm->sys);
	REFUSED(-EINVAL, VMM_IRQFD, a->irqfd.fd = s->vm->fd);
	REFUSED(-EINVAL, VMM_IRQFD, a->irqfd.fd = s->vcpu->fd);
	REFUSED(-EINVAL, VMM_IRQFD, a->irqfd.flags = VMM_EVENTFD_PIO);
	REFUSED(-EINVAL, VMM_IRQFD, a->irqfd.flags = VMM_EVENTFD_DATAMATCH);
	REFUSED(-EINVAL, VMM_IRQFD, a->irqfd.flags = 1U << 31);
	REFUSED(-EINVAL, VMM_IRQFD, a->irqfd.msi.address = 0x1000);
	REFUSED(-EINVAL, VMM_IRQFD, a->irqfd.msi.data = 5);
	REFUSED(-EINVAL, VMM_IRQFD, a->irqfd.msi.flags = 1);
	REFUSED(-ENOENT, VMM_IRQFD, a->irqfd.flags = VMM_EVENTFD_REMOVE);
}

TEST_F(invalid, ioeventfd)
{
	struct subject *s = self->s;
	int null = open("/dev/null", O_RDWR);

	REFUSED(-EBADF, VMM_IOEVENTFD, a->ioeventfd.fd = -1);
	REFUSED(-EINVAL, VMM_IOEVENTFD, a->ioeventfd.fd = null);
	REFUSED(-EINVAL, VMM_IOEVENTFD, a->ioeventfd.fd = s->vm->fd);
	REFUSED(-EINVAL, VMM_IOEVENTFD, a->ioeventfd.length = 3);
	REFUSED(-EINVAL, VMM_IOEVENTFD, a->ioeventfd.length = 16);
	REFUSED(-EINVAL, VMM_IOEVENTFD, a->ioeventfd.length = ~0U);
	REFUSED(-EINVAL, VMM_IOEVENTFD,
		(a->ioeventfd.flags = VMM_EVENTFD_PIO, a->ioeventfd.address = 0x80,
		 a->ioeventfd.length = 8));
	REFUSED(-EINVAL, VMM_IOEVENTFD,
		(a->ioeventfd.flags = VMM_EVENTFD_PIO, a->ioeventfd.address = 0x10000));
	REFUSED(-EINVAL, VMM_IOEVENTFD, a->ioeventfd.address = -2UL);
	REFUSED(-EINVAL, VMM_IOEVENTFD, a->ioeventfd.data = 1);
	REFUSED(-EINVAL, VMM_IOEVENTFD, a->ioeventfd.flags = 1U << 3);
	REFUSED(-EINVAL, VMM_IOEVENTFD, a->ioeventfd.flags = 1U << 31);
	for (int i = 0; i < 5; i++)
		REFUSED(-EINVAL, VMM_IOEVENTFD, a->ioeventfd.pad[i] = 1);
	REFUSED(-ENOENT, VMM_IOEVENTFD, a->ioeventfd.flags = VMM_EVENTFD_REMOVE);
}

TEST_F(invalid, clock)
{
	struct subject *s = self->s;

	REFUSED(-EINVAL, VMM_GET_CLOCK, a->clock.flags = VMM_CLOCK_TSC);
	REFUSED(-EINVAL, VMM_SET_CLOCK, a->clock.flags = 8);
	REFUSED(-EINVAL, VMM_GET_CLOCK, a->clock.realtime = 1);
	REFUSED(-EINVAL, VMM_GET_CLOCK, a->clock.tsc = 1);
	REFUSED(-EINVAL, VMM_SET_CLOCK, a->clock.realtime = 1);
}

TEST_F(invalid, dirty)
{
	struct subject *s = self->s;

	REFUSED(-EINVAL, VMM_GET_DIRTY, a->dirty.flags = 2);
	REFUSED(-EINVAL, VMM_GET_DIRTY, a->dirty.flags = 1U << 31);
	REFUSED(-EINVAL, VMM_GET_DIRTY, a->dirty.dirty = 1);
	for (int i = 0; i < 3; i++)
		REFUSED(-EINVAL, VMM_GET_DIRTY, a->dirty.pad[i] = 1);
	REFUSED(-ENOENT, VMM_GET_DIRTY, a->dirty.slot = 0);
	REFUSED(-ENOENT, VMM_GET_DIRTY, a->dirty.slot = 500);
	REFUSED(-ENOENT, VMM_GET_DIRTY, a->dirty.slot = ~0U);
	REFUSED(-EINVAL, VMM_GET_DIRTY, a->dirty.npages = 257);
	REFUSED(-EINVAL, VMM_GET_DIRTY, a->dirty.npages = 63);
	REFUSED(-EINVAL, VMM_GET_DIRTY, a->dirty.npages = ~0ULL);
	REFUSED(-EINVAL, VMM_GET_DIRTY, a->dirty.first = 64);
	REFUSED(-EINVAL, VMM_GET_DIRTY, a->dirty.first = -64ULL);
	REFUSED(-EINVAL, VMM_GET_DIRTY, (a->dirty.first = 1, a->dirty.npages = 255));
	REFUSED(0, VMM_GET_DIRTY, (a->dirty.first = 256, a->dirty.npages = 0));
	REFUSED(0, VMM_GET_DIRTY, a->dirty.bitmap = 0);
}

TEST_F(invalid, stats)
{
	struct subject *s = self->s;

	REFUSED(-EINVAL, VMM_GET_VM_STATS, a->vm_stats.flags = 1);
	REFUSED(-EINVAL, VMM_GET_VCPU_STATS, a->vcpu_stats.flags = 1ULL << 63);
}

TEST_F(invalid, state)
{
	struct subject *s = self->s;

	REFUSED(-EINVAL, VMM_GET_STATE, a->state.mask = VMM_STATE_ALL + 1);
	REFUSED(-EINVAL, VMM_GET_STATE, a->state.mask = 1ULL << 63);
	/* Bits that mean something inside the module. */
	REFUSED(-EINVAL, VMM_GET_STATE, a->state.mask = 1ULL << 32);
	REFUSED(-EINVAL, VMM_SET_STATE, a->state.mask = 1ULL << 33);
	REFUSED(-EINVAL, VMM_GET_STATE, a->state.flags = 1);
	REFUSED(-EINVAL, VMM_SET_STATE, a->state.mask |= VMM_STATE_ALL + 1);
	REFUSED(-EINVAL, VMM_SET_STATE, a->state.flags = 1);
	REFUSED(-EINVAL, VMM_SET_STATE, a->state.segs.gdt.pad[0] = 1);
	REFUSED(-EINVAL, VMM_SET_STATE, a->state.segs.idt.pad[2] = 1);
	for (int i = 0; i < 4; i++)
		REFUSED(-EINVAL, VMM_SET_STATE, a->state.events.pad[i] = 1);
	REFUSED(-EINVAL, VMM_SET_STATE, a->state.events.pad0 = 1);
	REFUSED(-EINVAL, VMM_SET_STATE, a->state.events.init = 4);
	REFUSED(-EINVAL, VMM_SET_STATE, a->state.events.sipi_vector = 1);
	REFUSED(-EINVAL, VMM_SET_STATE, a->state.events.kicked = 2);
	REFUSED(-EINVAL, VMM_SET_STATE, a->state.lapic.pad = 1);
	REFUSED(-EINVAL, VMM_SET_STATE, a->state.lapic.errors = 0x100);
}

TEST_F(invalid, msrs)
{
	struct subject *s = self->s;

	REFUSED(-E2BIG, VMM_GET_MSRS, a->msrs.count = VMM_MAX_MSRS + 1);
	REFUSED(-E2BIG, VMM_SET_MSRS, a->msrs.count = ~0U);
	REFUSED(-EINVAL, VMM_GET_MSRS, a->msrs.flags = 1);
	REFUSED(-EINVAL, VMM_SET_MSRS, a->msrs.flags = 1);
	REFUSED(-EFAULT, VMM_GET_MSRS, a->msrs.msrs = BAD_POINTER);
	REFUSED(-EFAULT, VMM_SET_MSRS, a->msrs.msrs = KERNEL_POINTER);
	REFUSED(-EINVAL, VMM_GET_MSRS, s->msrs[0].pad = 1);
	REFUSED(-EINVAL, VMM_SET_MSRS, s->msrs[0].pad = 1);
	REFUSED(0, VMM_GET_MSRS, a->msrs.count = 0);
	REFUSED(0, VMM_SET_MSRS, s->msrs[0].index = 0x12345678);
}

TEST_F(invalid, xsave)
{
	struct subject *s = self->s;

	REFUSED(-ENOSPC, VMM_GET_XSAVE, a->xsave.size = s->info.xsave_size - 1);
	REFUSED(-ENOSPC, VMM_SET_XSAVE, a->xsave.size = 0);
	REFUSED(-EINVAL, VMM_GET_XSAVE, a->xsave.flags = 1);
	REFUSED(-EINVAL, VMM_SET_XSAVE, a->xsave.flags = 1);
	REFUSED(-EFAULT, VMM_GET_XSAVE, a->xsave.data = BAD_POINTER);
	REFUSED(-EFAULT, VMM_SET_XSAVE, a->xsave.data = KERNEL_POINTER);
}

TEST_F(invalid, cpuid)
{
	struct subject *s = self->s;

	REFUSED(-EINVAL, VMM_GET_CPUID, a->cpuid.flags = 1);
	REFUSED(-ENOSPC, VMM_GET_CPUID, a->cpuid.count = 0);
	REFUSED(-EFAULT, VMM_GET_CPUID, a->cpuid.entries = BAD_POINTER);
	REFUSED(-EINVAL, VMM_SET_CPUID, a->cpuid.flags = 1);
	REFUSED(-EINVAL, VMM_SET_CPUID, a->cpuid.count = VMM_MAX_CPUID + 1);
	REFUSED(-EINVAL, VMM_SET_CPUID, a->cpuid.count = ~0U);
	REFUSED(-EFAULT, VMM_SET_CPUID, a->cpuid.entries = BAD_POINTER);
	REFUSED(-EINVAL, VMM_SET_CPUID, s->cpuid[0].pad = 1);
	REFUSED(-EINVAL, VMM_SET_CPUID, s->cpuid[0].flags = 2);
	/* An index without the flag that makes it count. */
	REFUSED(-EINVAL, VMM_SET_CPUID, (s->cpuid[0].flags = 0, s->cpuid[0].index = 1));
	REFUSED(-EINVAL, VMM_SET_CPUID, s->cpuid[1] = s->cpuid[0]);
}

TEST_F(invalid, translate)
{
	struct subject *s = self->s;

	REFUSED(-EINVAL, VMM_TRANSLATE, a->translate.access = 0);
	REFUSED(-EINVAL, VMM_TRANSLATE, a->translate.access = VMM_ACCESS_USER);
	REFUSED(-EINVAL, VMM_TRANSLATE, a->translate.access |= 1U << 4);
	REFUSED(-EINVAL, VMM_TRANSLATE, a->translate.pad = 1);
}

TEST_F(invalid, run_page)
{
	int fd = self->s->vcpu->fd;
	static const struct {
		const char *what;
		size_t size;
		off_t offset;
	} bad[] = {
		{ "two pages", 8192, 0 },
		{ "the second page", 4096, 4096 },
		{ "a far page", 4096, 1L << 40 },
	};

	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		void *page = mmap(NULL, bad[i].size, PROT_READ, MAP_SHARED, fd,
				  bad[i].offset);

		EXPECT_EQ_FOR(-1, (long)page, "mmap of %s", bad[i].what);
		EXPECT_EQ_FOR(EINVAL, errno, "mmap of %s", bad[i].what);
	}
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->s->vm->fd, 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->s->vm->sys, 0));
	/* A process cannot make the page grow. */
	EXPECT_EQ(MAP_FAILED, mremap(self->s->vcpu->run, 4096, 8192, MREMAP_MAYMOVE));
}

VMM_TEST_MAIN
