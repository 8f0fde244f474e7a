// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * `vmm control PATH COMMAND`: one line to the socket of a machine (control.h) or of its
 * balloon, and the answer.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "command.h"
#include "status.h"

#define LINE_SIZE	256
#define ANSWER_SIZE	1024

static const char error[] = "error: ";

void command_control_help(void)
{
	puts("Usage: vmm control PATH COMMAND [ARGUMENT]...\n"
	     "Tell a machine that runs something, or ask it, at the socket of its --control.\n"
	     "\n"
	     "Commands:\n"
	     "  cpus N         have N CPUs: a guest lets those go that are too many\n"
	     "  link NAME up   plug the cable of a network in, net0 is the first; or down\n"
	     "  show           print how many CPUs there are, are wanted, and can be");
}

/* The words, a blank between two, as a line; false: too long. */
static bool join(char *line, int words, char **word)
{
	size_t len = 0;

	for (int i = 0; i < words; i++) {
		size_t more = strlen(word[i]);

		if (more + 2 > LINE_SIZE - len || strchr(word[i], '\n'))
			return false;
		memcpy(line + len, word[i], more);
		len += more;
		line[len++] = i + 1 < words ? ' ' : '\n';
	}
	line[len] = 0;
	return true;
}

/* A connected socket, or -errno. */
static int reach(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, err;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return fd;
	err = errno;
	close(fd);
	return -err;
}

/* One line each way; 0 or -errno. */
static int ask(int fd, const char *line, char *answer)
{
	size_t len = strlen(line), got = 0;

	if (send(fd, line, len, MSG_NOSIGNAL) != (ssize_t)len)
		return -errno;
	while (got < ANSWER_SIZE - 1) {
		ssize_t n = read(fd, answer + got, ANSWER_SIZE - 1 - got);

		if (n < 0)
			return -errno;
		if (!n)
			return -ECONNRESET;
		got += n;
		answer[got] = 0;
		if (answer[got - 1] == '\n')
			return 0;
	}
	return -EMSGSIZE;
}

static enum status show(char *answer)
{
	if (strncmp(answer, error, sizeof(error) - 1)) {
		fputs(answer, stdout);
		return STATUS_OK;
	}
	answer[strcspn(answer, "\n")] = 0;
	complain("control: %s", answer + sizeof(error) - 1);
	return STATUS_USAGE;
}

int command_control(int argc, char **argv)
{
	char line[LINE_SIZE + 1], answer[ANSWER_SIZE];
	int fd, err;

	if (argc == 1 && !strcmp(argv[0], "--help")) {
		command_control_help();
		return STATUS_OK;
	}
	if (argc < 2 || !join(line, argc - 1, argv + 1)) {
		complain("control: takes a socket and a command; 'vmm control --help' lists them");
		return STATUS_USAGE;
	}
	fd = reach(argv[0]);
	if (fd < 0) {
		complain("control: %s: %s; name the --control socket of a machine that runs",
			 argv[0], strerror(-fd));
		return STATUS_BAD_FILE;
	}
	err = ask(fd, line, answer);
	close(fd);
	if (!err)
		return show(answer);
	complain("control: %s: no answer: %s; see whether the machine still runs", argv[0],
		 strerror(-err));
	return STATUS_BAD_FILE;
}
