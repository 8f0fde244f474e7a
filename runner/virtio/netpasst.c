// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * passt, a user-mode network of its own project, which confines itself: the guest has the
 * host's addresses, and most traffic goes from socket to socket. Facts: passt(1).
 *
 * It is started with one end of a socket for frames, and ends when the other one is closed. It
 * says nothing when it is ready and takes what was sent before, so only what keeps it from
 * starting is waited for here; what it finds later it says on standard error, and the link
 * goes down.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "../usernet/usernet.h"
#include "netdev.h"

#define PROGRAM		"passt"
/* Of the child: its end of the socket. */
#define SOCKET		3
#define FORWARD_SIZE	64
/* "-t" and its value for each hostfwd=, and what is always there. */
#define ARGS_MAX	(2 * WORD_LIST_MAX + 16)

struct passt_args {
	char *arg[ARGS_MAX];
	unsigned int count;
	char forward[WORD_LIST_MAX][FORWARD_SIZE];
	char text[FORWARD_SIZE * 2];		/* of a hostfwd= */
	char mtu[12];
	bool tcp, udp;				/* some port is forwarded */
};

static void add(struct passt_args *args, char *name, char *value)
{
	args->arg[args->count++] = name;
	if (value)
		args->arg[args->count++] = value;
}

/* hostfwd= as passt wants it: ADDRESS/PORT:PORT. */
static enum status add_forward(struct passt_args *args, const struct netdev *dev, unsigned int i)
{
	struct usernet_forward forward;
	char host[INET_ADDRSTRLEN];
	enum status status;

	snprintf(args->text, sizeof(args->text), "%.*s", (int)dev->hostfwd.len[i],
		 dev->hostfwd.item[i]);
	status = usernet_forward(args->text, &forward);
	if (status)
		return status;
	if (forward.guest.s_addr != htonl(USERNET_GUEST)) {
		complain("--net passt: hostfwd=%s: the guest has the host's address; leave it out",
			 args->text);
		return STATUS_USAGE;
	}
	inet_ntop(AF_INET, &forward.host, host, sizeof(host));
	snprintf(args->forward[i], FORWARD_SIZE, "%s/%u:%u", host, forward.host_port,
		 forward.guest_port);
	add(args, forward.udp ? "-u" : "-t", args->forward[i]);
	args->udp |= forward.udp;
	args->tcp |= !forward.udp;
	return STATUS_OK;
}

static enum status make_args(struct passt_args *args, const struct netdev *dev)
{
	enum status status = STATUS_OK;

	add(args, PROGRAM, NULL);
	add(args, "--foreground", NULL);
	add(args, "--quiet", NULL);
	add(args, "--fd", "3");
	if (!dev->loopback)
		add(args, "--no-map-gw", NULL);
	if (dev->mtu) {
		snprintf(args->mtu, sizeof(args->mtu), "%u", dev->mtu);
		add(args, "--mtu", args->mtu);
	}
	for (unsigned int i = 0; !status && i < dev->hostfwd.count; i++)
		status = add_forward(args, dev, i);
	/* No port is anybody's unasked. */
	if (!args->tcp)
		add(args, "-t", "none");
	if (!args->udp)
		add(args, "-u", "none");
	return status;
}

/* In the child; @report gets errno if there is no such program. */
static void run_program(char **args, int fd, int report)
{
	int err, spare = fcntl(report, F_DUPFD_CLOEXEC, SOCKET + 1);
	ssize_t n;

	if (fd == SOCKET)
		fcntl(fd, F_SETFD, 0);
	else
		dup2(fd, SOCKET);
	/* Those that the user handed down are the guest's. */
	close_range(SOCKET + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	execvp(PROGRAM, args);
	err = errno;
	n = write(spare, &err, sizeof(err));
	(void)n;
	_exit(STATUS_HOST);
}

static enum status start(struct netdev *dev, struct passt_args *args)
{
	int ends[2], report[2], err = 0;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		goto none;
	dev->kind = NETDEV_STREAM;
	dev->fd[0] = ends[0];
	if (pipe2(report, O_CLOEXEC)) {
		close(ends[1]);
		goto none;
	}
	pid = fork();
	if (!pid)
		run_program(args->arg, ends[1], report[1]);
	close(ends[1]);
	close(report[1]);
	/* Its end is what says that the program has been found. */
	if (pid > 0 && read(report[0], &err, sizeof(err)) != sizeof(err))
		err = 0;
	close(report[0]);
	if (pid < 0) {
		complain("net passt: cannot start a process; allow more");
		return STATUS_HOST;
	}
	if (!err)
		return STATUS_OK;
	complain("net passt: cannot start it: %s; install passt", strerror(err));
	return STATUS_BAD_FILE;
none:
	complain("net passt: %s; allow more open files", strerror(errno));
	return STATUS_HOST;
}

enum status netdev_open_passt(struct netdev *dev)
{
	struct passt_args args = { 0 };
	enum status status = make_args(&args, dev);

	return status ? status : start(dev, &args);
}
