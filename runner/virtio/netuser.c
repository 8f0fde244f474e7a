// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Starting vmm-usernet, the user-mode network: a program beside this one, so that it shares
 * no memory and no addresses with the runner. It complains itself, and its exit status is
 * then the runner's.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../usernet/usernet.h"
#include "netdev.h"

#define PROGRAM		"vmm-usernet"
#define ARGS_MAX	(WORD_LIST_MAX + 4)

/* Beside the running program. */
static bool find_program(char path[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return false;
	self[n] = 0;
	return snprintf(path, PATH_MAX, "%s/" PROGRAM, dirname(self)) < PATH_MAX;
}

/* In the child. Its end may be any number, also the one that it is to become. */
static void run_program(const struct netdev *dev, const char *path, char **args, int fd)
{
	if (fd == USERNET_FD)
		fcntl(fd, F_SETFD, 0);
	else
		dup2(fd, USERNET_FD);
	execv(path, args);
	complain("net %s: cannot start %s: %s; install it beside vmm", dev->name, path,
		 strerror(errno));
	_exit(STATUS_HOST);
}

/* What it says first; else its end. */
static enum status wait_ready(const struct netdev *dev, pid_t pid)
{
	int status;
	char byte;
	ssize_t n;

	do {
		n = recv(dev->fd[0], &byte, 1, 0);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		return STATUS_OK;
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status))
		return WEXITSTATUS(status);
	complain("net %s: " PROGRAM " did not start; report this", dev->name);
	return STATUS_HOST;
}

static enum status start(struct netdev *dev, const char *path, char **args)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
		complain("net %s: %s; allow more open files", dev->name, strerror(errno));
		return STATUS_HOST;
	}
	dev->kind = NETDEV_MESSAGES;
	dev->fd[0] = ends[0];
	pid = fork();
	if (!pid)
		run_program(dev, path, args, ends[1]);
	close(ends[1]);
	if (pid > 0)
		return wait_ready(dev, pid);
	complain("net %s: cannot start a process: %s; allow more", dev->name, strerror(errno));
	return STATUS_HOST;
}

enum status netdev_open_user(struct netdev *dev)
{
	char path[PATH_MAX], mtu[12], *args[ARGS_MAX] = { PROGRAM, mtu };
	enum status status = STATUS_OK;
	unsigned int count = 2, first;

	if (!find_program(path)) {
		complain("net %s: cannot tell where this program is; mount /proc", dev->name);
		return STATUS_HOST;
	}
	if (!dev->mtu)
		dev->mtu = USERNET_MTU;
	snprintf(mtu, sizeof(mtu), "%u", dev->mtu);
	if (dev->loopback)
		args[count++] = "loopback";
	first = count;
	for (unsigned int i = 0; !status && i < dev->hostfwd.count; i++) {
		args[count] = strndup(dev->hostfwd.item[i], dev->hostfwd.len[i]);
		status = args[count++] ? STATUS_OK : STATUS_HOST;
	}
	if (!status)
		status = start(dev, path, args);
	while (count-- > first)
		free(args[count]);
	return status;
}
