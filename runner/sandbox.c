// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The order in which the process gives things up, the list of system calls that it
 * keeps, and the filter made from it with libseccomp.
 *
 * Every call is here for a use that the comment names; restarting a guest is one of
 * them, which is why a VM can be created but no file opened. No memory becomes
 * executable, and clone() makes threads only.
 */
#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>
#include <linux/vmm.h>
#include "sandbox.h"
#include "sandbox_space.h"
#include "terminal.h"

/* What an argument must be for the call to pass: (argument & mask) == value. */
struct check {
	unsigned int arg;
	uint64_t mask, value;
};

#define ANY		{ 0, 0, 0 }
#define OWN_PID		{ 0, UINT32_MAX, VALUE_OWN_PID }
#define VALUE_OWN_PID	UINT64_MAX	/* replaced by getpid() */
#define IOCTL_IS(nr)	{ 1, UINT32_MAX, nr }
#define IOCTL_OF_TYPE(type) { 1, _IOC_TYPEMASK << _IOC_TYPESHIFT, (type) << _IOC_TYPESHIFT }
/* glibc takes the second real-time signal for itself with the first thread. */
#define LIBC_SIGNAL	(__SIGRTMIN + 1)
#define NO_EXEC		{ 2, PROT_EXEC, 0 }
#define THREAD		{ 0, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM }

static const struct rule {
	int call;
	struct check check;
} rules[] = {
	/* the guest */
	{ SCMP_SYS(ioctl), IOCTL_OF_TYPE(VMM_IOC) },
	/* the console, the event loop, messages */
	{ SCMP_SYS(read), ANY },
	{ SCMP_SYS(write), ANY },
	{ SCMP_SYS(poll), ANY },
	{ SCMP_SYS(ppoll), ANY },
	{ SCMP_SYS(epoll_create1), ANY },
	{ SCMP_SYS(epoll_ctl), ANY },
	{ SCMP_SYS(epoll_wait), ANY },
	{ SCMP_SYS(restart_syscall), ANY },
	{ SCMP_SYS(clock_gettime), ANY },
	/* the terminal's mode */
	{ SCMP_SYS(ioctl), IOCTL_IS(TCGETS) },
	{ SCMP_SYS(ioctl), IOCTL_IS(TCSETS) },
	{ SCMP_SYS(ioctl), IOCTL_IS(TIOCGPGRP) },
	{ SCMP_SYS(ioctl), IOCTL_IS(TIOCGWINSZ) },
	{ SCMP_SYS(getpgrp), ANY },
	/* Unix sockets that were opened before: who connects there, whom a broker connects to */
	{ SCMP_SYS(accept4), ANY },
	{ SCMP_SYS(recvmsg), ANY },
	{ SCMP_SYS(shutdown), ANY },
	/* disks: the two engines, limits, another size */
	{ SCMP_SYS(preadv), ANY },
	{ SCMP_SYS(pwritev), ANY },
	{ SCMP_SYS(pwritev2), ANY },
	{ SCMP_SYS(fdatasync), ANY },
	{ SCMP_SYS(fallocate), ANY },
	{ SCMP_SYS(lseek), ANY },
	{ SCMP_SYS(io_submit), ANY },
	{ SCMP_SYS(io_getevents), ANY },
	{ SCMP_SYS(timerfd_create), ANY },
	{ SCMP_SYS(timerfd_settime), ANY },
	/* a new machine at a restart: images read anew, descriptors of VM and vCPUs */
	{ SCMP_SYS(pread64), ANY },
	{ SCMP_SYS(eventfd2), ANY },
	{ SCMP_SYS(close), ANY },
	/* memory: the heap, stacks of threads, run pages, the guest's RAM cleared */
	{ SCMP_SYS(brk), ANY },
	{ SCMP_SYS(mmap), NO_EXEC },
	{ SCMP_SYS(mprotect), NO_EXEC },
	{ SCMP_SYS(mremap), ANY },
	{ SCMP_SYS(munmap), ANY },
	{ SCMP_SYS(madvise), ANY },
	{ SCMP_SYS(getrandom), ANY },	/* the entropy device */
	/* threads and their signals */
	{ SCMP_SYS(clone), THREAD },
	{ SCMP_SYS(rt_sigaction), { 0, UINT32_MAX, LIBC_SIGNAL } },
	{ SCMP_SYS(set_robust_list), ANY },
	{ SCMP_SYS(rseq), ANY },
	{ SCMP_SYS(sched_yield), ANY },
	{ SCMP_SYS(prctl), { 0, UINT32_MAX, PR_SET_NAME } },
	{ SCMP_SYS(sched_setaffinity), { 0, UINT32_MAX, 0 } },	/* a thread's own, --pin */
	{ SCMP_SYS(futex), ANY },
	{ SCMP_SYS(gettid), ANY },
	{ SCMP_SYS(getpid), ANY },
	{ SCMP_SYS(tgkill), OWN_PID },
	{ SCMP_SYS(rt_sigprocmask), ANY },
	{ SCMP_SYS(rt_sigreturn), ANY },
	{ SCMP_SYS(exit), ANY },
	{ SCMP_SYS(exit_group), ANY },
};

/* ---- a call that is not on the list ---- */

/* Decimal digits of @n before @end, without the C library's locks. */
static char *digits(char *end, unsigned int n)
{
	do {
		*--end = '0' + n % 10;
		n /= 10;
	} while (n);
	return end;
}

/* SA_RESETHAND made the action the default one again: the second signal ends it. */
static void on_forbidden_call(int sig, siginfo_t *info, void *context)
{
	static const char before[] = "vmm: stopped by its sandbox: system call ";
	static const char after[] = "; report this\n";
	char number[16];
	char *start = digits(number + sizeof(number), info->si_syscall);
	ssize_t n;

	(void)context;
	terminal_restore();
	n = write(STDERR_FILENO, before, sizeof(before) - 1);
	n = write(STDERR_FILENO, start, number + sizeof(number) - start);
	n = write(STDERR_FILENO, after, sizeof(after) - 1);
	(void)n;
	raise(sig);
}

static int add_rule(scmp_filter_ctx filter, const struct rule *rule)
{
	uint64_t value = rule->check.value == VALUE_OWN_PID ? (uint64_t)getpid() :
							      rule->check.value;
	struct scmp_arg_cmp compare = SCMP_CMP64(rule->check.arg, SCMP_CMP_MASKED_EQ,
						 rule->check.mask, value);

	return seccomp_rule_add_exact_array(filter, SCMP_ACT_ALLOW, rule->call, !!rule->check.mask,
					    &compare);
}

static int load_filter(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
	int err = filter ? 0 : -ENOMEM;

	/* Its arguments are in memory, out of a filter's reach; libc falls back to clone. */
	if (!err)
		err = seccomp_rule_add_exact(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	for (size_t i = 0; !err && i < sizeof(rules) / sizeof(rules[0]); i++)
		err = add_rule(filter, &rules[i]);
	if (!err)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}

enum status sandbox_enter(bool writes_files, unsigned int descriptors)
{
	struct sigaction action = { .sa_sigaction = on_forbidden_call,
				    .sa_flags = SA_SIGINFO | SA_RESETHAND };
	enum status status;
	int err = 0;

	/* With a heap a thread the C library would open files: to count CPUs, to shrink one. */
	mallopt(M_ARENA_MAX, 1);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || sigaction(SIGSYS, &action, NULL))
		err = -errno;
	status = err ? STATUS_OK : sandbox_leave_host(writes_files, descriptors);
	if (status)
		return status;
	if (!err)
		err = load_filter();
	if (!err)
		return STATUS_OK;
	complain("cannot enter the sandbox: %s; use a kernel with seccomp filters", strerror(-err));
	return STATUS_HOST;
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
