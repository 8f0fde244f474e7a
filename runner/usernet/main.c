// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vmm-usernet MTU [loopback] [hostfwd=...]...: started by the runner with its end of a socket
 * as descriptor 3; says with one message of a byte that it is ready.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "../sandbox_filter.h"
#include "usernet.h"

#define RESOLVERS	"/etc/resolv.conf"

static struct sandbox_rule rules[] = {
	/* the runner, and connections of the guest */
	{ SCMP_SYS(socket), SANDBOX_IS(0, AF_INET) },
	{ SCMP_SYS(socket), SANDBOX_IS(0, AF_INET6) },
	/* a name server's scope, as in fe80::1%eth0, is not looked up */
	{ SCMP_SYS(socket), { 0, UINT32_MAX, AF_UNIX, EACCES } },
	{ SCMP_SYS(connect), SANDBOX_ANY },
	{ SCMP_SYS(bind), SANDBOX_ANY },
	{ SCMP_SYS(listen), SANDBOX_ANY },
	{ SCMP_SYS(accept), SANDBOX_ANY },
	{ SCMP_SYS(shutdown), SANDBOX_ANY },
	{ SCMP_SYS(getsockname), SANDBOX_ANY },
	{ SCMP_SYS(getpeername), SANDBOX_ANY },
	{ SCMP_SYS(getsockopt), SANDBOX_ANY },
	{ SCMP_SYS(setsockopt), SANDBOX_ANY },
	{ SCMP_SYS(sendto), SANDBOX_ANY },
	{ SCMP_SYS(recvfrom), SANDBOX_ANY },
	{ SCMP_SYS(recvmsg), SANDBOX_ANY },
	{ SCMP_SYS(fcntl), SANDBOX_IS(1, F_GETFL) },
	{ SCMP_SYS(fcntl), SANDBOX_IS(1, F_SETFL) },
	{ SCMP_SYS(fcntl), SANDBOX_IS(1, F_GETFD) },
	{ SCMP_SYS(fcntl), SANDBOX_IS(1, F_SETFD) },
	{ SCMP_SYS(ioctl), SANDBOX_IS(1, FIONBIO) },
	{ SCMP_SYS(ioctl), SANDBOX_IS(1, FIONREAD) },
	{ SCMP_SYS(poll), SANDBOX_ANY },
	{ SCMP_SYS(restart_syscall), SANDBOX_ANY },
	{ SCMP_SYS(close), SANDBOX_ANY },
	{ SCMP_SYS(clock_gettime), SANDBOX_ANY },
	{ SCMP_SYS(getrandom), SANDBOX_ANY },
	/* the host's name servers, which may change */
	{ SCMP_SYS(newfstatat), SANDBOX_ANY },
	{ SCMP_SYS(read), SANDBOX_ANY },
	{ SCMP_SYS(lseek), SANDBOX_ANY },
	/* messages, memory, the end */
	{ SCMP_SYS(write), SANDBOX_ANY },
	{ SCMP_SYS(brk), SANDBOX_ANY },
	{ SCMP_SYS(mmap), SANDBOX_NO_EXEC },
	{ SCMP_SYS(mprotect), SANDBOX_NO_EXEC },
	{ SCMP_SYS(mremap), SANDBOX_ANY },
	{ SCMP_SYS(munmap), SANDBOX_ANY },
	{ SCMP_SYS(madvise), SANDBOX_ANY },
	{ SCMP_SYS(futex), SANDBOX_ANY },
	{ SCMP_SYS(gettid), SANDBOX_ANY },
	{ SCMP_SYS(getpid), SANDBOX_ANY },
	{ SCMP_SYS(tgkill), SANDBOX_OWN_PID },
	{ SCMP_SYS(rt_sigprocmask), SANDBOX_ANY },
	{ SCMP_SYS(rt_sigreturn), SANDBOX_ANY },
	{ SCMP_SYS(exit_group), SANDBOX_ANY },
	/* files to read, of which there is one: the last row, see confine() */
	{ SCMP_SYS(openat), { 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY, 0 } },
};

/* Nothing of the caller's but the socket and its standard error; no terminal's signals. */
static void leave_caller(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	} else {
		close(STDIN_FILENO);
		close(STDOUT_FILENO);
	}
	close_range(USERNET_FD + 1, UINT32_MAX, 0);
	setsid();
	signal(SIGPIPE, SIG_IGN);
}

static enum status confine(void)
{
	const struct sandbox_keep keep = {
		.network = true, .files = USERNET_FILES, .file = RESOLVERS,
	};
	const unsigned int count = sizeof(rules) / sizeof(rules[0]);

	mallopt(M_ARENA_MAX, 1);
	/* Without it nothing would keep the process from other files. */
	if (!sandbox_has_landlock()) {
		complain("the user-mode network has no name server: the kernel has no Landlock; "
			 "give the guest one, or use such a kernel");
		rules[count - 1].check.error = EACCES;
	}
	return sandbox_confine(&keep, rules, count, NULL);
}

int main(int argc, char **argv)
{
	bool loopback = argc > 2 && !strcmp(argv[2], "loopback");
	int first = loopback ? 3 : 2;
	struct usernet *net = NULL;
	enum status status;

	if (getsockname(USERNET_FD, &(struct sockaddr) { 0 }, &(socklen_t) { 0 })) {
		complain("vmm-usernet is started by 'vmm run --net user'; use that");
		return STATUS_USAGE;
	}
	leave_caller();
	status = usernet_create(loopback, argc > 1 ? atoi(argv[1]) : 0, &net);
	for (int i = first; !status && i < argc; i++)
		status = usernet_add(net, argv[i]);
	if (!status)
		status = confine();
	if (status)
		return status;
	if (send(USERNET_FD, "", 1, 0) == 1)
		usernet_run(net);
	return STATUS_OK;
}
