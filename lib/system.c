// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The system fd: opening /dev/vmm, what it can do, and why it cannot be had.
 * The only call of ioctl(2) of the library is here.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include "internal.h"

int device_ioctl(int fd, unsigned long request, const void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

int vmm_open(const char *path)
{
	int fd = open(path ? path : VMM_DEVICE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int vmm_get_info(int fd, struct vmm_info *info)
{
	memset(info, 0, sizeof(*info));
	return device_ioctl(fd, VMM_GET_INFO, info);
}

/*
 * A module of another ABI may know a longer or a shorter struct vmm_info. It fills
 * a shorter one, and refuses a longer one only if the rest is not zero, so the
 * answer always comes; abi_version has its place for good.
 */
int vmm_check_abi(int fd)
{
	struct vmm_info info;
	int ret = vmm_get_info(fd, &info);

	if (ret == -EINVAL || ret == -E2BIG)
		return -EPROTO;
	if (ret < 0)
		return ret;
	return info.abi_version == VMM_ABI_VERSION ? 0 : -EPROTO;
}

static const struct {
	int err;
	const char *text;
} open_errors[] = {
	{ ENOENT, "the module vmm is not loaded; run modprobe vmm as root" },
	{ ENODEV, "the module vmm is not loaded; run modprobe vmm as root" },
	{ ENXIO, "the module vmm is not loaded; run modprobe vmm as root" },
	{ EACCES, "no permission; become a member of the group that owns the device, or root" },
	{ EPERM, "no permission; become a member of the group that owns the device, or root" },
	{ EBUSY, "another hypervisor holds the CPUs; unload it (rmmod kvm_amd or kvm_intel)" },
	{ EOPNOTSUPP, "no virtualization to be used; switch on SVM or VT-x in the firmware setup" },
	{ EPROTO, "module and program are of different versions; install both from one build" },
	{ ENOTTY, "it is not a vmm device; give the path of one" },
	{ EMFILE, "the process has too many open files; raise ulimit -n" },
	{ ENFILE, "the system has too many open files; raise fs.file-max" },
	{ ENOMEM, "the system is out of memory; free some" },
	{ EIO, "the module met a bug of its own or of the machine; see dmesg" },
};

const char *vmm_strerror_open(int err)
{
	size_t i;

	if (err < 0)
		err = -err;
	for (i = 0; i < ARRAY_SIZE(open_errors); i++)
		if (open_errors[i].err == err)
			return open_errors[i].text;
	return strerror(err);
}

/* The three ioctls that fill a table share the shape of struct vmm_cpuid. */
int vmm_get_supported_cpuid(int fd, struct vmm_cpuid_entry *entries, unsigned int *count)
{
	struct vmm_cpuid arg = { .count = *count, .entries = (uintptr_t)entries };
	int ret = device_ioctl(fd, VMM_GET_SUPPORTED_CPUID, &arg);

	*count = arg.count;
	return ret;
}

int vmm_get_msr_list(int fd, uint32_t *indices, unsigned int *count)
{
	struct vmm_msr_list arg = { .count = *count, .indices = (uintptr_t)indices };
	int ret = device_ioctl(fd, VMM_GET_MSR_LIST, &arg);

	*count = arg.count;
	return ret;
}
