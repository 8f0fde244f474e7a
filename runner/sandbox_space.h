/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of the sandbox that takes the process's surroundings away: file systems,
 * network, other processes' objects, root's rights. sandbox.c does the rest.
 */
#ifndef RUNNER_SANDBOX_SPACE_H
#define RUNNER_SANDBOX_SPACE_H

#include <stdbool.h>
#include "status.h"

/* What a process keeps; the runner nothing but growing files, when it has disks. */
struct sandbox_keep {
	bool growth;		/* files may grow */
	bool network;		/* the host's network is its own */
	unsigned int files;	/* descriptors it will open, beyond a margin */
	/*
	 * The one file that may be read, by Landlock alone: the root then stays the old one. A
	 * kernel without Landlock would leave it all to the filter.
	 */
	const char *file;
};

/*
 * Before there are threads, with no_new_privs set: namespaces of its own with an empty
 * root, no capabilities, an unprivileged user if it was root, Landlock, and limits.
 * Descriptors that are open stay. Where the system grants no namespaces, one line says
 * so and the rest is done. Complains.
 */
enum status sandbox_leave_host(const struct sandbox_keep *keep);

/* Does the kernel have Landlock, and is it on? */
bool sandbox_has_landlock(void);

#endif /* RUNNER_SANDBOX_SPACE_H */
