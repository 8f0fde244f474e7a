/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /dev/vmm as this process has it: opened and understood before anything is built. */
#ifndef RUNNER_HOST_H
#define RUNNER_HOST_H

#include <stdbool.h>
#include <linux/vmm.h>
#include "status.h"

struct host {
	int fd;
	struct vmm_info info;
};

/* Open the device and check that the module is one this program can use. Complains. */
enum status host_open(struct host *host);
void host_close(struct host *host);

/* Is this CPU Intel's, as the guest's is then? */
bool host_is_intel(void);

/* The status for an errno of /dev/vmm's open and of creating VMs. */
enum status host_status(int err);

#endif /* RUNNER_HOST_H */
