// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The broker of a vsock device; see vsock.h. The sandbox has no call that names anything, so
 * a process beside it connects where the guest may want to: to names that start as the
 * user said and end in a number. It has that, one socket, and a filter of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/capability.h>
#include "vsock.h"

struct question {
	uint32_t id, port;
};

struct answer {
	uint32_t id;
	uint32_t good;
};

/* The one descriptor beside the answer's. */
union control {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

/* ---- the process ---- */

static const int calls[] = {
	SCMP_SYS(read), SCMP_SYS(connect), SCMP_SYS(sendmsg), SCMP_SYS(close),
	SCMP_SYS(exit_group), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigreturn),
};

static int confine(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int err = filter ? 0 : -ENOMEM;

	if (!err && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0) ||
		     syscall(SYS_capset, &header, none)))
		err = -errno;
	for (size_t i = 0; !err && i < sizeof(calls) / sizeof(calls[0]); i++)
		err = seccomp_rule_add_exact(filter, SCMP_ACT_ALLOW, calls[i], 0);
	if (!err)
		err = seccomp_rule_add_exact(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
					     SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	if (!err)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}

/* Waits for nobody: who does not accept at once is not there. */
static int dial(const char *path, uint32_t port)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s_%u", path, port);
	int fd;

	if (n < 0 || (size_t)n >= sizeof(address.sun_path))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

static bool tell(int to, uint32_t id, int fd)
{
	struct answer answer = { id, fd >= 0 };
	struct iovec iov = { &answer, sizeof(answer) };
	union control control = { .buf = { 0 } };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	if (fd >= 0) {
		message.msg_control = control.buf;
		message.msg_controllen = sizeof(control.buf);
		cmsg = CMSG_FIRSTHDR(&message);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	}
	return sendmsg(to, &message, MSG_NOSIGNAL) == sizeof(answer);
}

static __attribute__((noreturn)) void serve(const char *path)
{
	struct question question;

	while (read(STDIN_FILENO, &question, sizeof(question)) == sizeof(question)) {
		int fd = dial(path, question.port);
		bool told = tell(STDIN_FILENO, question.id, fd);

		if (fd >= 0)
			close(fd);
		if (!told)
			break;
	}
	_exit(0);
}

/* A child of the process: nothing of it is left but the path and the way back. */
static __attribute__((noreturn)) void broker(const char *path, int sock)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	prctl(PR_SET_NAME, "vmm-vsock");
	if (dup2(sock, STDIN_FILENO) < 0 || close_range(1, UINT32_MAX, 0) || setsid() < 0 ||
	    confine())
		_exit(1);
	serve(path);
}

int broker_start(const char *path)
{
	int pair[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	/* It may wait for us, we never for it. */
	if (fcntl(pair[0], F_SETFL, O_NONBLOCK)) {
		err = -errno;
		close(pair[0]);
		close(pair[1]);
		return err;
	}
	pid = fork();
	if (!pid)
		broker(path, pair[1]);
	err = -errno;
	close(pair[1]);
	if (pid > 0)
		return pair[0];
	close(pair[0]);
	return err;
}

/* ---- its side in the sandbox ---- */

bool broker_ask(int broker, uint32_t id, uint32_t port)
{
	const struct question question = { id, port };

	return write(broker, &question, sizeof(question)) == sizeof(question);
}

bool broker_hear(int broker, uint32_t *id, int *fd)
{
	struct answer answer;
	struct iovec iov = { &answer, sizeof(answer) };
	union control control = { .buf = { 0 } };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1,
				  .msg_control = control.buf,
				  .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *cmsg;

	*fd = -1;
	if (recvmsg(broker, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof(answer))
		return false;
	cmsg = CMSG_FIRSTHDR(&message);
	if (answer.good && cmsg && cmsg->cmsg_type == SCM_RIGHTS &&
	    cmsg->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(cmsg), sizeof(int));
	*id = answer.id;
	return true;
}
