/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this process may still do once a guest runs. A guest that takes over a
 * device or the emulator finds a process that can compute, talk to its vmm
 * descriptors and write its console: no files, programs, processes, sockets; and if a
 * hole in the kernel lets it past that, an empty file system, no network, no rights.
 */
#ifndef RUNNER_SANDBOX_H
#define RUNNER_SANDBOX_H

#include <stdbool.h>
#include "status.h"

/*
 * Before anything is opened: drop what the process inherited but did not ask for. It did
 * for the @count descriptors of @keep, in ascending order.
 */
void sandbox_clean(const int *keep, unsigned int count);

/*
 * Before the first guest instruction and before there are threads: no new privileges,
 * what sandbox_space.h says, and system calls by the list in sandbox.c. A call that is
 * not on it ends the process by SIGSYS, with a message. @writes_files: there are disks to
 * be written. @descriptors: as many are opened while the guest runs. Complains.
 */
enum status sandbox_enter(bool writes_files, unsigned int descriptors);

#endif /* RUNNER_SANDBOX_H */
