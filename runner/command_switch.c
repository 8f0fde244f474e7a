// SPDX-License-Identifier: GPL-2.0-or-later
/* `vmm switch`: make the socket, go into the sandbox, and switch until a signal ends it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "command.h"
#include "sandbox.h"
#include "sandbox_filter.h"
#include "status.h"
#include "switch.h"

static const char usage[] =
	"Usage: vmm switch PATH\n"
	"Connect guests that are run with --net socket=PATH, until a signal ends it.\n"
	"\n"
	"Options:\n"
	"  --help         print this and end\n"
	"\n"
	"Exit status:\n";

void command_switch_help(void)
{
	fputs(usage, stdout);
	status_print(stdout);
}

static const struct sandbox_rule rules[] = {
	/* ports and frames */
	{ SCMP_SYS(poll), SANDBOX_ANY },
	{ SCMP_SYS(restart_syscall), SANDBOX_ANY },
	{ SCMP_SYS(accept4), SANDBOX_ANY },
	{ SCMP_SYS(setsockopt), SANDBOX_IS(2, SO_SNDBUF) },
	{ SCMP_SYS(recvfrom), SANDBOX_ANY },
	{ SCMP_SYS(sendto), SANDBOX_ANY },
	{ SCMP_SYS(close), SANDBOX_ANY },
	/* messages, the end */
	{ SCMP_SYS(write), SANDBOX_ANY },
	{ SCMP_SYS(getpid), SANDBOX_ANY },
	{ SCMP_SYS(gettid), SANDBOX_ANY },
	{ SCMP_SYS(tgkill), SANDBOX_OWN_PID },
	{ SCMP_SYS(rt_sigprocmask), SANDBOX_ANY },
	{ SCMP_SYS(rt_sigreturn), SANDBOX_ANY },
	{ SCMP_SYS(exit_group), SANDBOX_ANY },
};

static int bind_to(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* For this user alone. */
	mode_t mask = umask(0177);
	int err = fd < 0 || bind(fd, (const struct sockaddr *)address, sizeof(*address)) ||
		  listen(fd, SWITCH_PORTS_MAX) ? errno : 0;

	umask(mask);
	if (!err)
		return fd;
	if (fd >= 0)
		close(fd);
	return -err;
}

/* Is it a socket that a switch before this one left? */
static bool left_over(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool refused = fd >= 0 && connect(fd, (const struct sockaddr *)address,
					  sizeof(*address)) && errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return refused;
}

static enum status open_switch(const char *path, int *fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (!*path || strlen(path) >= sizeof(address.sun_path)) {
		complain("switch: '%s': not a path of 1 to %zu bytes; give another", path,
			 sizeof(address.sun_path) - 1);
		return STATUS_USAGE;
	}
	strcpy(address.sun_path, path);
	*fd = bind_to(&address);
	if (*fd == -EADDRINUSE && left_over(&address) && !unlink(path))
		*fd = bind_to(&address);
	if (*fd >= 0)
		return STATUS_OK;
	if (*fd == -EADDRINUSE) {
		complain("switch %s: there is a file or a switch; give another path", path);
		return STATUS_BUSY;
	}
	complain("switch %s: %s; give a path where a socket can be made", path, strerror(-*fd));
	return STATUS_BAD_FILE;
}

int command_switch(int argc, char **argv)
{
	static struct net_switch sw;
	const struct sandbox_keep keep = { .files = SWITCH_PORTS_MAX };
	enum status status;
	int fd;

	if (argc == 1 && !strcmp(argv[0], "--help")) {
		command_switch_help();
		return STATUS_OK;
	}
	if (argc != 1 || argv[0][0] == '-') {
		complain("switch: takes one path; 'vmm switch --help' tells more");
		return STATUS_USAGE;
	}
	sandbox_clean(NULL, 0);
	status = open_switch(argv[0], &fd);
	if (!status)
		status = sandbox_confine(&keep, rules, sizeof(rules) / sizeof(rules[0]), NULL);
	if (status)
		return status;
	switch_init(&sw, fd);
	for (;;)
		switch_turn(&sw, -1);
}
