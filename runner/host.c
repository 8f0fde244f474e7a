// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The way to the module. libvmm has the words for what went wrong; the exit status
 * for it is decided here.
 */
#include <cpuid.h>
#include <errno.h>
#include <unistd.h>
#include "../lib/libvmm.h"
#include "host.h"

static const struct {
	int err;
	enum status status;
} statuses[] = {
	{ ENOENT, STATUS_NO_DEVICE },
	{ ENODEV, STATUS_NO_DEVICE },
	{ ENXIO, STATUS_NO_DEVICE },
	{ EACCES, STATUS_NO_PERMISSION },
	{ EPERM, STATUS_NO_PERMISSION },
	{ EOPNOTSUPP, STATUS_NO_HARDWARE },
	{ EBUSY, STATUS_BUSY },
	{ EPROTO, STATUS_VERSION },
	{ ENOTTY, STATUS_VERSION },
};

enum status host_status(int err)
{
	if (err < 0)
		err = -err;
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].err == err)
			return statuses[i].status;
	return STATUS_HOST;
}

enum status host_open(struct host *host)
{
	int err;

	host->fd = vmm_open(NULL);
	err = host->fd < 0 ? host->fd : vmm_check_abi(host->fd);
	if (!err)
		err = vmm_get_info(host->fd, &host->info);
	if (!err)
		return STATUS_OK;
	complain("cannot use %s: %s", VMM_DEVICE, vmm_strerror_open(err));
	host_close(host);
	return host_status(err);
}

void host_close(struct host *host)
{
	if (host->fd >= 0)
		close(host->fd);
	host->fd = -1;
}

bool host_is_intel(void)
{
	unsigned int eax, ebx = 0, ecx = 0, edx = 0;

	return __get_cpuid(0, &eax, &ebx, &ecx, &edx) && ebx == signature_INTEL_ebx &&
	       edx == signature_INTEL_edx && ecx == signature_INTEL_ecx;
}
