// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What every ioctl promises: the module says who it is, unknown numbers and fds of
 * the wrong kind are -ENOTTY, structs may be shorter or longer than the module's,
 * and lists that do not fit leave the buffer alone.
 */
#include <fcntl.h>
#include <sys/ioctl.h>

#include "lib/test.h"
#include "lib/ioctls.h"

static unsigned long resized(unsigned long number, unsigned long size)
{
	return _IOC(_IOC_DIR(number), _IOC_TYPE(number), _IOC_NR(number), size);
}

TEST(info_tells_versions_and_limits)
{
	struct vmm_info info = get_info();

	EXPECT_EQ(VMM_ABI_VERSION, info.abi_version);
	EXPECT_NE('\0', info.version[0]);
	EXPECT_NE(NULL, memchr(info.version, '\0', sizeof(info.version)));
	EXPECT_TRUE(info.backend == VMM_BACKEND_AMD_V || info.backend == VMM_BACKEND_VT_X);
	EXPECT_TRUE(info.paging == VMM_PAGING_NESTED || info.paging == VMM_PAGING_SHADOW);
	EXPECT_EQ(0, info.features & ~0x7fULL);
	EXPECT_LE(1, info.max_vcpus);
	EXPECT_GE(VMM_MAX_VCPUS, info.max_vcpus);
	EXPECT_LE(1, info.max_slots);
	EXPECT_GE(VMM_MAX_SLOTS, info.max_slots);
	EXPECT_EQ(VMM_RUN_SIZE, info.run_size);
	EXPECT_LE(576, info.xsave_size);
	EXPECT_LT(10000, info.tsc_khz);
	EXPECT_LE(36, info.phys_bits);
	EXPECT_GE(52, info.phys_bits);
	EXPECT_EQ(1, info.xcr0 & 1);
}

TEST(run_state_fits_the_run_page)
{
	EXPECT_GE(VMM_RUN_SIZE, sizeof(struct vmm_run));
}

TEST(every_fd_is_close_on_exec)
{
	struct subject *s = subject_new();

	for (int kind = FD_VM; kind < FD_KINDS; kind++)
		EXPECT_EQ_FOR(FD_CLOEXEC, fcntl(subject_fd(s, kind), F_GETFD), "kind %d", kind);
}

TEST(unknown_numbers_are_enotty)
{
	struct subject *s = subject_new();
	union ioctl_arg arg = { 0 };

	for (u32 nr = 0; nr < 256; nr++) {
		bool known = false;

		for (u32 i = 0; i < ioctl_count; i++)
			known |= _IOC_NR(ioctls[i].number) == nr;
		if (known)
			continue;
		for (int kind = 0; kind < FD_KINDS; kind++) {
			int fd = subject_fd(s, kind);

			EXPECT_EQ_FOR(-ENOTTY, vmm_call(fd, _IO(VMM_IOC, nr), &arg),
				      "_IO %#x on kind %d", nr, kind);
			EXPECT_EQ_FOR(-ENOTTY, vmm_call(fd, _IOWR(VMM_IOC, nr, u64), &arg),
				      "_IOWR %#x on kind %d", nr, kind);
		}
	}
	/* The right number in another driver's space. */
	EXPECT_EQ(-ENOTTY, vmm_call(s->vm->sys, _IOWR('k', 0, struct vmm_info), &arg));
}

TEST(every_ioctl_is_enotty_on_other_fds)
{
	struct subject *s = subject_new();
	union ioctl_arg arg;

	for (u32 i = 0; i < ioctl_count; i++) {
		ioctl_good_arg(s, ioctls[i].number, &arg);
		for (int kind = 0; kind < FD_KINDS; kind++) {
			if (kind == (int)ioctls[i].kind)
				continue;
			EXPECT_EQ_FOR(-ENOTTY,
				      vmm_call(subject_fd(s, kind), ioctls[i].number, &arg),
				      "%s on kind %d", ioctls[i].name, kind);
		}
	}
}

static bool takes_struct(const struct ioctl_info *info)
{
	return _IOC_SIZE(info->number) != 0;
}

TEST(longer_struct_with_zero_tail_is_taken)
{
	union ioctl_arg arg;

	for (u32 i = 0; i < ioctl_count; i++) {
		struct subject *s = subject_new();
		u32 size = _IOC_SIZE(ioctls[i].number);
		int result;

		if (!takes_struct(&ioctls[i]))
			continue;
		ioctl_good_arg(s, ioctls[i].number, &arg);
		result = vmm_call(subject_fd(s, ioctls[i].kind),
				  resized(ioctls[i].number, size + 64), &arg);
		if (result < 0)
			EXPECT_EQ_FOR(0, result, "%s", ioctls[i].name);
		if (result > 2 && ioctls[i].makes_fd)
			close(result);
		vcpu_free(s->vcpu);
		vm_free(s->vm);
	}
}

TEST(longer_struct_with_other_tail_is_e2big)
{
	struct subject *s = subject_new();
	union ioctl_arg arg;

	for (u32 i = 0; i < ioctl_count; i++) {
		u32 size = _IOC_SIZE(ioctls[i].number);

		if (!takes_struct(&ioctls[i]))
			continue;
		for (u32 at = 0; at < 64; at += 63) {
			ioctl_good_arg(s, ioctls[i].number, &arg);
			arg.bytes[size + at] = 1;
			EXPECT_EQ_FOR(-E2BIG,
				      vmm_call(subject_fd(s, ioctls[i].kind),
					       resized(ioctls[i].number, size + 64), &arg),
				      "%s, byte %u behind its struct", ioctls[i].name, at);
		}
	}
}

TEST(shorter_info_is_filled_to_its_end_only)
{
	struct {
		u32 flags;
		u32 abi_version;
		u8 guard[64];
	} info = { 0 };
	int fd = open_vmm();

	memset(info.guard, 0xa5, sizeof(info.guard));
	EXPECT_EQ(0, vmm_call(fd, resized(VMM_GET_INFO, 8), &info));
	EXPECT_EQ(VMM_ABI_VERSION, info.abi_version);
	for (u32 i = 0; i < sizeof(info.guard); i++)
		EXPECT_EQ_FOR(0xa5, info.guard[i], "byte %u behind the short struct", i);
}

TEST(shorter_struct_is_extended_with_zeros)
{
	u64 flags = 0;
	u32 id = 3;
	struct vm *vm = vm_new_bare();
	int fd = vmm_call(vm->sys, resized(VMM_CREATE_VM, sizeof(flags)), &flags);

	EXPECT_LE(0, fd);
	EXPECT_LE(0, vmm_call(vm->fd, resized(VMM_CREATE_VCPU, sizeof(id)), &id));
	/* An MSI without its flags. */
	struct vmm_msi msi = { .address = 0xfee03000, .data = 0x40, .flags = ~0U };

	EXPECT_LE(0, vmm_call(vm->fd, resized(VMM_SIGNAL_MSI, 12), &msi));
	EXPECT_EQ(-EINVAL, vmm_call(vm->fd, VMM_SIGNAL_MSI, &msi));
}

TEST(shorter_state_is_filled_to_its_end_only)
{
	struct subject *s = subject_new();
	const u32 size = offsetof(struct vmm_state, segs);
	union ioctl_arg arg;

	memset(&arg, 0xa5, sizeof(arg));
	arg.state.mask = VMM_STATE_REGS;
	arg.state.flags = 0;
	EXPECT_EQ(0, vmm_call(s->vcpu->fd, resized(VMM_GET_STATE, size), &arg));
	EXPECT_EQ(0xfff0, arg.state.regs.rip);
	for (u32 i = size; i < sizeof(struct vmm_state); i++)
		EXPECT_EQ_FOR(0xa5, arg.bytes[i], "byte %u", i);
}

TEST(lists_that_do_not_fit_are_enospc_and_say_how_long_they_are)
{
	struct subject *s = subject_new();
	struct vmm_cpuid cpuid = { .count = 1, .entries = (u64)s->memory };
	struct vmm_msr_list list = { .count = 1, .indices = (u64)s->memory };

	memset(s->memory, 0xa5, 4096);
	EXPECT_EQ(-ENOSPC, vmm_call(s->vm->sys, VMM_GET_SUPPORTED_CPUID, &cpuid));
	EXPECT_LT(1, cpuid.count);
	EXPECT_GE(VMM_MAX_CPUID, cpuid.count);
	cpuid.count = 1;
	EXPECT_EQ(-ENOSPC, vmm_call(s->vcpu->fd, VMM_GET_CPUID, &cpuid));
	EXPECT_LT(1, cpuid.count);
	EXPECT_EQ(-ENOSPC, vmm_call(s->vm->sys, VMM_GET_MSR_LIST, &list));
	EXPECT_LT(1, list.count);
	for (u32 i = 0; i < 4096; i++)
		EXPECT_EQ_FOR(0xa5, s->memory[i], "byte %u of a buffer too short", i);
	EXPECT_EQ(0, vmm_call(s->vm->sys, VMM_GET_MSR_LIST, &list));
	/* Exactly as many as were asked for. */
	for (u32 i = list.count * 4; i < 4096; i++)
		EXPECT_EQ_FOR(0xa5, s->memory[i], "byte %u behind the list", i);
}

TEST(a_new_vcpu_is_as_after_power_up)
{
	struct vcpu *vcpu = vcpu_new_reset(vm_new_bare(), 0);
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_ALL);
	EXPECT_EQ(0xfff0, state.regs.rip);
	EXPECT_EQ(2, state.regs.rflags);
	EXPECT_EQ(0, state.regs.rsp);
	EXPECT_EQ(0xf000, state.segs.seg[VMM_CS].selector);
	EXPECT_EQ(0xffff0000, state.segs.seg[VMM_CS].base);
	EXPECT_EQ(0xffff, state.segs.seg[VMM_CS].limit);
	EXPECT_EQ(0, state.segs.seg[VMM_DS].base);
	EXPECT_EQ(0xffff, state.segs.gdt.limit);
	EXPECT_EQ(0xffff, state.segs.idt.limit);
	EXPECT_EQ(0x60000010, state.ctrl.cr0);
	EXPECT_EQ(0, state.ctrl.cr4);
	EXPECT_EQ(0, state.ctrl.efer);
	EXPECT_EQ(1, state.ctrl.xcr0);
	EXPECT_EQ(0xffff0ff0, state.debug.dr6);
	EXPECT_EQ(0x400, state.debug.dr7);
	EXPECT_EQ(VMM_MP_RUNNABLE, state.events.mp_state);
	EXPECT_EQ(0xfee00000 | APIC_BASE_BSP | APIC_BASE_ENABLE, state.lapic.base);
	EXPECT_EQ(0xff, state.lapic.regs[APIC_SVR / 16]);
	EXPECT_EQ(VMM_EXIT_NONE, vcpu->run->exit_reason);
}

TEST(other_vcpus_wait_for_init)
{
	struct vcpu *vcpu = vcpu_new_reset(vm_new_bare(), 7);
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_EVENTS | VMM_STATE_LAPIC);
	EXPECT_EQ(VMM_MP_WAIT_INIT, state.events.mp_state);
	EXPECT_EQ(0xfee00000 | APIC_BASE_ENABLE, state.lapic.base);
	EXPECT_EQ(7U << 24, state.lapic.regs[APIC_ID / 16]);
}

static void guest_done(void)
{
	GUEST_DONE();
}

TEST(vcpus_come_in_any_order_and_before_memory)
{
	struct vm *vm = vm_new();
	struct vcpu *second, *first;

	ASSERT_EQ(0, vm_slot(vm, 0, 0, 0, NULL, 0));
	second = vcpu_new(vm, 1, guest_done);
	first = vcpu_new(vm, 0, guest_done);
	ASSERT_EQ(0, vm_slot(vm, 0, 0, GUEST_MEM_SIZE, vm->mem, 0));
	vcpu_done(first);
	vcpu_done(second);
}

VMM_TEST_MAIN
