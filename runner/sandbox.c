// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The list of system calls that the process keeps, and what it drops at its start.
 *
 * Every call is here for a use that the comment names; restarting a guest is one of
 * them, which is why a VM can be created but no file opened. No memory becomes
 * executable, and clone() makes threads only.
 */
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <linux/vmm.h>
#include "sandbox.h"
#include "sandbox_filter.h"
#include "terminal.h"

/* glibc takes the second real-time signal for itself with the first thread. */
#define LIBC_SIGNAL	(__SIGRTMIN + 1)

static const struct sandbox_rule rules[] = {
	/* the guest */
	{ SCMP_SYS(ioctl), SANDBOX_IOCTL_OF(VMM_IOC) },
	/* the console, the event loop, messages */
	{ SCMP_SYS(read), SANDBOX_ANY },
	{ SCMP_SYS(write), SANDBOX_ANY },
	{ SCMP_SYS(poll), SANDBOX_ANY },
	{ SCMP_SYS(ppoll), SANDBOX_ANY },
	{ SCMP_SYS(epoll_create1), SANDBOX_ANY },
	{ SCMP_SYS(epoll_ctl), SANDBOX_ANY },
	{ SCMP_SYS(epoll_wait), SANDBOX_ANY },
	{ SCMP_SYS(restart_syscall), SANDBOX_ANY },
	{ SCMP_SYS(clock_gettime), SANDBOX_ANY },
	/* the terminal's mode */
	{ SCMP_SYS(ioctl), SANDBOX_IS(1, TCGETS) },
	{ SCMP_SYS(ioctl), SANDBOX_IS(1, TCSETS) },
	{ SCMP_SYS(ioctl), SANDBOX_IS(1, TIOCGPGRP) },
	{ SCMP_SYS(ioctl), SANDBOX_IS(1, TIOCGWINSZ) },
	{ SCMP_SYS(getpgrp), SANDBOX_ANY },
	/* Unix sockets that were opened before: who connects there, whom a broker connects to */
	{ SCMP_SYS(accept4), SANDBOX_ANY },
	{ SCMP_SYS(recvmsg), SANDBOX_ANY },
	{ SCMP_SYS(shutdown), SANDBOX_ANY },
	/* networks: a tap's offloads and queues, as the driver chooses; frames */
	{ SCMP_SYS(ioctl), SANDBOX_IS(1, TUNSETOFFLOAD) },
	{ SCMP_SYS(ioctl), SANDBOX_IS(1, TUNSETQUEUE) },
	{ SCMP_SYS(ioctl), SANDBOX_IOCTL_OF(VHOST_VIRTIO) },
	/* disks: the two engines, limits, another size */
	{ SCMP_SYS(preadv), SANDBOX_ANY },
	{ SCMP_SYS(pwritev), SANDBOX_ANY },
	{ SCMP_SYS(pwritev2), SANDBOX_ANY },
	{ SCMP_SYS(fdatasync), SANDBOX_ANY },
	{ SCMP_SYS(fallocate), SANDBOX_ANY },
	{ SCMP_SYS(lseek), SANDBOX_ANY },
	{ SCMP_SYS(io_submit), SANDBOX_ANY },
	{ SCMP_SYS(io_getevents), SANDBOX_ANY },
	{ SCMP_SYS(timerfd_create), SANDBOX_ANY },
	{ SCMP_SYS(timerfd_settime), SANDBOX_ANY },
	/* a new machine at a restart: images read anew, descriptors of VM and vCPUs */
	{ SCMP_SYS(pread64), SANDBOX_ANY },
	{ SCMP_SYS(eventfd2), SANDBOX_ANY },
	{ SCMP_SYS(close), SANDBOX_ANY },
	/* memory: the heap, stacks of threads, run pages, the guest's RAM cleared */
	{ SCMP_SYS(brk), SANDBOX_ANY },
	{ SCMP_SYS(mmap), SANDBOX_NO_EXEC },
	{ SCMP_SYS(mprotect), SANDBOX_NO_EXEC },
	{ SCMP_SYS(mremap), SANDBOX_ANY },
	{ SCMP_SYS(munmap), SANDBOX_ANY },
	{ SCMP_SYS(madvise), SANDBOX_ANY },
	{ SCMP_SYS(getrandom), SANDBOX_ANY },	/* the entropy device */
	/* threads and their signals */
	{ SCMP_SYS(clone), SANDBOX_THREAD },
	{ SCMP_SYS(rt_sigaction), SANDBOX_IS(0, LIBC_SIGNAL) },
	{ SCMP_SYS(set_robust_list), SANDBOX_ANY },
	{ SCMP_SYS(rseq), SANDBOX_ANY },
	{ SCMP_SYS(sched_yield), SANDBOX_ANY },
	{ SCMP_SYS(prctl), SANDBOX_IS(0, PR_SET_NAME) },
	{ SCMP_SYS(sched_setaffinity), SANDBOX_IS(0, 0) },	/* a thread's own, --pin */
	{ SCMP_SYS(sched_setattr), SANDBOX_IS(0, 0) },		/* the same, --sched */
	{ SCMP_SYS(futex), SANDBOX_ANY },
	{ SCMP_SYS(gettid), SANDBOX_ANY },
	{ SCMP_SYS(getpid), SANDBOX_ANY },
	{ SCMP_SYS(tgkill), SANDBOX_OWN_PID },
	{ SCMP_SYS(rt_sigprocmask), SANDBOX_ANY },
	{ SCMP_SYS(rt_sigreturn), SANDBOX_ANY },
	{ SCMP_SYS(exit), SANDBOX_ANY },
	{ SCMP_SYS(exit_group), SANDBOX_ANY },
};

enum status sandbox_enter(bool writes_files, unsigned int descriptors)
{
	const struct sandbox_keep keep = { .growth = writes_files, .files = descriptors };

	/* With a heap a thread the C library would open files: to count CPUs, to shrink one. */
	mallopt(M_ARENA_MAX, 1);
	return sandbox_confine(&keep, rules, sizeof(rules) / sizeof(rules[0]), terminal_restore);
}

void sandbox_clean(const int *keep, unsigned int count)
{
	unsigned int first = STDERR_FILENO + 1;

	/* Descriptors that leaked in; an old kernel without the call keeps them. */
	for (unsigned int i = 0; i < count; i++) {
		if ((unsigned int)keep[i] < first)
			continue;
		if ((unsigned int)keep[i] > first)
			close_range(first, keep[i] - 1, 0);
		first = keep[i] + 1;
	}
	close_range(first, UINT32_MAX, 0);
	/* The strings are on the stack, which clearenv() leaves as it is. */
	for (char **variable = environ; variable && *variable; variable++)
		explicit_bzero(*variable, strlen(*variable));
	clearenv();
}
