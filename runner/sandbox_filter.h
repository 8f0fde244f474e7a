/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filter of system calls as a const table, each row with its use: what is not in it
 * ends the process by SIGSYS, with a message. The runner, its user-mode network and the
 * switch have one each.
 */
#ifndef RUNNER_SANDBOX_FILTER_H
#define RUNNER_SANDBOX_FILTER_H

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include "sandbox_space.h"

/* What an argument must be for the call to pass: (argument & mask) == value. */
struct sandbox_check {
	unsigned int arg;
	uint64_t mask, value;
	int error;		/* not 0: a call that passes fails with this errno */
};

#define SANDBOX_ANY		{ 0, 0, 0, 0 }
#define SANDBOX_IS(arg, value)	{ arg, UINT32_MAX, value, 0 }
#define SANDBOX_IOCTL_OF(type)	{ 1, _IOC_TYPEMASK << _IOC_TYPESHIFT, \
				  (type) << _IOC_TYPESHIFT, 0 }
#define SANDBOX_NO_EXEC		{ 2, PROT_EXEC, 0, 0 }
#define SANDBOX_THREAD		{ 0, CLONE_THREAD | CLONE_VM, \
				  CLONE_THREAD | CLONE_VM, 0 }
#define SANDBOX_OWN_PID		{ 0, UINT32_MAX, SANDBOX_PID, 0 }
#define SANDBOX_PID		UINT64_MAX	/* replaced by getpid() */

struct sandbox_rule {
	int call;
	struct sandbox_check check;
};

/*
 * What all the programs do before they serve a guest, and before there are threads: no new
 * privileges, what sandbox_space.h says, and the filter. @restore, if not NULL, is called
 * before a forbidden call ends the process; it may do what signal handlers may. Complains.
 */
enum status sandbox_confine(const struct sandbox_keep *keep, const struct sandbox_rule *rules,
			    unsigned int count, void (*restore)(void));

#endif /* RUNNER_SANDBOX_FILTER_H */
