// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rmmod is refused with EWOULDBLOCK while a VM, a vCPU, or /dev/vmm is open, works
 * when the last is closed, and the module loads again.
 */
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "lib/test.h"

static void guest_done(void)
{
	GUEST_DONE();
}

static int unload(void)
{
	return syscall(SYS_delete_module, "vmm", O_NONBLOCK) ? -errno : 0;
}

/* What a dead VM still does in the background may take a moment. */
static int unload_soon(void)
{
	int result = -EAGAIN;

	for (int i = 0; i < 200 && result == -EAGAIN; i++) {
		result = unload();
		if (result)
			usleep(10000);
	}
	return result;
}

static int open_module(void)
{
	const char *path = getenv("VMM_KO");
	char standard[256];
	struct utsname uts;
	int fd;

	uname(&uts);
	snprintf(standard, sizeof(standard), "/lib/modules/%s/extra/vmm.ko", uts.release);
	fd = open(path ? path : "/lib/modules/vmm.ko", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fd = open(standard, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("no vmm.ko in /lib/modules; VMM_KO names it");
	return fd;
}

static int load(void)
{
	int fd = open_module();
	int result = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;

	close(fd);
	return result;
}

TEST(refused_while_the_device_is_open)
{
	int fd = open_vmm();

	EXPECT_EQ(-EAGAIN, unload());
	close(fd);
}

TEST(refused_while_a_vm_lives)
{
	struct vm *vm = vm_new();

	close(vm->sys);
	EXPECT_EQ(-EAGAIN, unload());
	close(vm->fd);
}

TEST(refused_while_a_vcpu_lives)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);

	close(vcpu->vm->sys);
	close(vcpu->vm->fd);
	EXPECT_EQ(-EAGAIN, unload());
	vcpu_done(vcpu);
}

TEST(refused_while_a_run_page_is_mapped)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);

	close(vcpu->vm->sys);
	close(vcpu->vm->fd);
	close(vcpu->fd);
	/* A mapping holds its file. */
	EXPECT_EQ(-EAGAIN, unload());
}

TEST_TIMEOUT(unloads_and_loads_again, 60)
{
	for (int i = 0; i < 10; i++) {
		struct vcpu *vcpu;

		ASSERT_EQ(0, unload_soon());
		ASSERT_NE(0, access("/sys/module/vmm", F_OK));
		ASSERT_EQ(0, load());
		for (int wait = 0; wait < 100 && access("/dev/vmm", F_OK); wait++)
			usleep(10000);
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
		load();
	EXPECT_EQ(0, access("/sys/module/vmm", F_OK));
	EXPECT_EQ(0, access("/dev/vmm", F_OK));
}

VMM_TEST_MAIN
