// SPDX-License-Identifier: GPL-2.0-or-later
/* See module.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "guest.h"
#include "module.h"

int module_try_unload(void)
{
	return syscall(SYS_delete_module, "vmm", O_NONBLOCK) ? -errno : 0;
}

int module_unload(void)
{
	int result = -EAGAIN;

	for (int i = 0; i < 500 && result == -EAGAIN; i++) {
		result = module_try_unload();
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

int module_load(void)
{
	int fd = open_module();
	int result = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;

	close(fd);
	for (int i = 0; i < 500 && !result && access("/dev/vmm", F_OK); i++)
		usleep(10000);
	return result;
}

/* By the CPU: AMD-V is a bit of its own. */
static const char *kvm_name(void)
{
	return cpuid(0x80000001, 0).ecx & 1U << 2 ? "kvm_amd" : "kvm_intel";
}

bool kvm_load(void)
{
	char command[64];

	snprintf(command, sizeof(command), "modprobe %s 2>/dev/null", kvm_name());
	return !system(command) && !access("/dev/kvm", F_OK);
}

bool kvm_unload(void)
{
	return !syscall(SYS_delete_module, kvm_name(), O_NONBLOCK);
}

bool module_breaks_the_host(void)
{
	return host_is_tcg() && get_nprocs() > 1;
}
