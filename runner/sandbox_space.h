/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of the sandbox that takes the process's surroundings away: file systems,
 * network, other processes' objects, root's rights. sandbox.c does the rest.
 */
#ifndef RUNNER_SANDBOX_SPACE_H
#define RUNNER_SANDBOX_SPACE_H

#include <stdbool.h>
#include "status.h"

/*
 * Before there are threads, with no_new_privs set: namespaces of its own with an empty
 * root, no capabilities, an unprivileged user if it was root, Landlock, and limits.
 * Descriptors that are open stay. Where the system grants no namespaces, one line says
 * so and the rest is done. @writes_files: files may grow. Complains.
 */
enum status sandbox_leave_host(bool writes_files, unsigned int descriptors);

#endif /* RUNNER_SANDBOX_SPACE_H */
