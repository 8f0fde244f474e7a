// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The sandbox of runner/sandbox.c: each case is a process that enters it and then
 * makes one system call. What is not on the list must kill, what a restart of the
 * guest needs must not.
 */
/* unit-sources: ../runner/sandbox.c ../runner/sandbox_filter.c ../runner/sandbox_space.c */
/* unit-flags: -D_GNU_SOURCE */
/* unit-libs: -lseccomp */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/vmm.h>
#include "tap.h"
#include "../runner/sandbox.h"
#include "../runner/terminal.h"

void complain(const char *fmt, ...)
{
	(void)fmt;
}

void terminal_restore(void)
{
}

/* A call by its number: the C library's wrappers may take another one. */
struct attempt {
	const char *name;
	long number;
	long arg[6];
	int err;	/* what an allowed call answers, 0: it succeeds */
};

/* The bit that makes a number one of the x32 ABI; such a call dies without a message. */
#define X32	0x40000000

static const char path[] = "/dev/null";
static const char no_attr[64];
static char *const argv[] = { "/bin/true", NULL };

static const struct attempt forbidden[] = {
	{ "open a file", SYS_openat, { AT_FDCWD, (long)path, O_RDONLY } },
	{ "open a file, old call", SYS_open, { (long)path, O_RDONLY } },
	{ "start a program", SYS_execve, { (long)argv[0], 0, 0 } },
	{ "fork", SYS_fork, { 0 } },
	{ "vfork by clone", SYS_clone, { CLONE_VM | CLONE_VFORK | SIGCHLD } },
	{ "fork by clone", SYS_clone, { SIGCHLD } },
	{ "socket", SYS_socket, { 1, 1, 0 } },
	{ "kill another process", SYS_kill, { 1, 0 } },
	{ "signal another process's thread", SYS_tgkill, { 1, 1, 0 } },
	{ "ptrace", SYS_ptrace, { 0 } },
	{ "executable memory", SYS_mmap, { 0, 4096, PROT_READ | PROT_EXEC,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 } },
	{ "memory made executable", SYS_mprotect, { 0, 4096, PROT_READ | PROT_EXEC } },
	{ "memory made executable by a key", SYS_pkey_mprotect, { 0, 4096, PROT_EXEC, 0 } },
	{ "type into the terminal", SYS_ioctl, { 0, TIOCSTI, (long)path } },
	{ "an ioctl of another kind", SYS_ioctl, { 0, _IO(0xAE, 0), 0 } },
	{ "a new handler for SIGSYS", SYS_rt_sigaction, { SIGSYS, 0, 0, 8 } },
	{ "become another user", SYS_setuid, { 0 } },
	{ "read another process", SYS_process_vm_readv, { 1, 0, 0, 0, 0, 0 } },
	{ "io_uring", SYS_io_uring_setup, { 1, 0 } },
	{ "userfaultfd", SYS_userfaultfd, { 0 } },
	{ "bpf", SYS_bpf, { 0 } },
	{ "a name other than the thread's", SYS_prctl, { PR_SET_DUMPABLE, 1 } },
	{ "nice values of all of the user's processes", SYS_setpriority, { PRIO_USER, 0, 19 } },
	{ "another thread's scheduling", SYS_sched_setattr, { 1, (long)no_attr, 0 } },
	{ "a call of another ABI", SYS_getpid | X32, { 0 } },
};

static const struct attempt allowed[] = {
	{ "ioctl of a vmm descriptor", SYS_ioctl, { -1, VMM_RUN, 0 }, EBADF },
	{ "create a VM", SYS_ioctl, { -1, VMM_CREATE_VM, 0 }, EBADF },
	{ "terminal mode", SYS_ioctl, { -1, TCSETS, 0 }, EBADF },
	{ "read at an offset", SYS_pread64, { -1, 0, 0, 0 }, EBADF },
	{ "eventfd", SYS_eventfd2, { 0, EFD_CLOEXEC }, 0 },
	{ "memory", SYS_mmap, { 0, 4096, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 }, 0 },
	{ "clone3 answers that there is none", SYS_clone3, { 0, 0 }, ENOSYS },
	{ "a thread", SYS_clone, { CLONE_THREAD | CLONE_VM }, EINVAL },
	{ "the thread's name", SYS_prctl, { PR_SET_NAME, (long)path }, 0 },
	{ "the thread's own scheduling", SYS_sched_setattr, { 0, (long)no_attr, 1 }, EINVAL },
	{ "getpid", SYS_getpid, { 0 }, 0 },
};

/* The child's part: exit status 0 if the call answered as expected. */
static void child(const struct attempt *try, int message_fd)
{
	const struct rlimit no_core = { 0, 0 };
	const long *arg = try->arg;
	long got;
	bool good;

	setrlimit(RLIMIT_CORE, &no_core);
	dup2(message_fd, STDERR_FILENO);
	if (sandbox_enter(false, 0))
		_exit(99);
	got = syscall(try->number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	good = try->err ? got == -1 && errno == try->err : got != -1;
	/* Not _exit(): the sanitizers' own tidies up by calls that are not on the list. */
	syscall(SYS_exit_group, !good);
}

static char message[256];

/* The child's wait status; what it said is in message. */
static int outcome(const struct attempt *try)
{
	int fd[2], status;
	ssize_t n;
	pid_t pid;

	if (pipe(fd))
		abort();
	pid = fork();
	if (!pid)
		child(try, fd[1]);
	if (waitpid(pid, &status, 0) != pid)
		abort();
	close(fd[1]);
	for (size_t len = 0; (n = read(fd[0], message + len, sizeof(message) - 1 - len)) >= 0;) {
		len += n;
		message[len] = 0;
		if (!n)
			break;
	}
	close(fd[0]);
	return status;
}

/* Killed by the sandbox, for this very call. */
static void test_forbidden(const struct attempt *try)
{
	int status = outcome(try);
	char want[64];

	snprintf(want, sizeof(want), "system call %ld;", try->number);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "killed for: %s", try->name);
	if (!(try->number & X32))
		ok(strstr(message, want), "and the message names it");
}

int main(void)
{
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		test_forbidden(&forbidden[i]);
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		is(outcome(&allowed[i]), 0, "may do: %s", allowed[i].name);
	return tap_end();
}
