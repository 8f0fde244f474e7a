// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rmmod is refused with EWOULDBLOCK while a VM, a vCPU, or /dev/vmm is open, works
 * when the last is closed, and the module loads again.
 */
#include "lib/module.h"
#include "lib/test.h"

static void guest_done(void)
{
	GUEST_DONE();
}

TEST(refused_while_the_device_is_open)
{
	int fd = open_vmm();

	EXPECT_EQ(-EAGAIN, module_try_unload());
	close(fd);
}

TEST(refused_while_a_vm_lives)
{
	struct vm *vm = vm_new();

	close(vm->sys);
	EXPECT_EQ(-EAGAIN, module_try_unload());
	close(vm->fd);
}

TEST(refused_while_a_vcpu_lives)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);

	close(vcpu->vm->sys);
	close(vcpu->vm->fd);
	EXPECT_EQ(-EAGAIN, module_try_unload());
	vcpu_done(vcpu);
}

TEST(refused_while_a_run_page_is_mapped)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);

	close(vcpu->vm->sys);
	close(vcpu->vm->fd);
	close(vcpu->fd);
	/* A mapping holds its file. */
	EXPECT_EQ(-EAGAIN, module_try_unload());
}

TEST_TIMEOUT(unloads_and_loads_again, 60)
{
	u32 rounds = module_breaks_the_host() ? 1 : 1 + share_of(9);

	for (u32 i = 0; i < rounds; i++) {
		struct vcpu *vcpu;

		ASSERT_EQ(0, module_unload());
		ASSERT_NE(0, access("/sys/module/vmm", F_OK));
		ASSERT_EQ(0, module_load());
		vcpu = vcpu_new(vm_new(), 0, guest_done);
		vcpu_done(vcpu);
		vm_free(vcpu->vm);
		vcpu_free(vcpu);
	}
}

/* Last: leaves the module loaded, whatever happened above. */
TEST(is_there_in_the_end)
{
	if (access("/sys/module/vmm", F_OK))
		module_load();
	EXPECT_EQ(0, access("/sys/module/vmm", F_OK));
	EXPECT_EQ(0, access("/dev/vmm", F_OK));
}

VMM_TEST_MAIN
