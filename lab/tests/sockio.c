// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Programs on both ends of what the runner joins: Unix sockets of the host, AF_VSOCK of the
 * guest. An ADDRESS is unix:PATH or vsock:CID:PORT.
 *
 *   sockio connect ADDRESS      standard input goes there, and its end, what comes goes to
 *                               standard output, until the other end closes
 *   sockio echo ADDRESS COUNT   listens, and says so; of COUNT connections, one after the
 *                               other, all goes back that comes until its end
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

static char buf[65536];

/* To the end of @from. */
static int copy(int from, int to)
{
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		for (ssize_t done = 0; done < n;) {
			ssize_t some = write(to, buf + done, n - done);

			if (some <= 0)
				return -1;
			done += some;
		}
	}
	return n;
}

static socklen_t parse(const char *text, struct sockaddr_storage *to)
{
	struct sockaddr_un *path = (struct sockaddr_un *)to;
	struct sockaddr_vm *vm = (struct sockaddr_vm *)to;

	memset(to, 0, sizeof(*to));
	if (!strncmp(text, "unix:", 5) && strlen(text + 5) < sizeof(path->sun_path)) {
		path->sun_family = AF_UNIX;
		strcpy(path->sun_path, text + 5);
		return sizeof(*path);
	}
	vm->svm_family = AF_VSOCK;
	return sscanf(text, "vsock:%u:%u", &vm->svm_cid, &vm->svm_port) == 2 ? sizeof(*vm) : 0;
}

static int talk(int sock, const struct sockaddr_storage *to, socklen_t len)
{
	int status, bad;
	pid_t reader;

	if (connect(sock, (const struct sockaddr *)to, len)) {
		perror("connect");
		return 1;
	}
	reader = fork();
	if (!reader)
		_exit(copy(sock, STDOUT_FILENO) ? 1 : 0);
	bad = copy(STDIN_FILENO, sock) || shutdown(sock, SHUT_WR);
	if (reader < 0 || waitpid(reader, &status, 0) != reader)
		return 1;
	return bad || status;
}

static int echo(int sock, const struct sockaddr_storage *at, socklen_t len, long count)
{
	if (bind(sock, (const struct sockaddr *)at, len) || listen(sock, 128)) {
		perror("listen");
		return 1;
	}
	puts("listening");
	fflush(stdout);
	while (count--) {
		int fd = accept(sock, NULL, NULL);

		if (fd < 0 || copy(fd, fd)) {
			perror("echo");
			return 1;
		}
		close(fd);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_storage address;
	socklen_t len = argc > 2 ? parse(argv[2], &address) : 0;
	int sock = len ? socket(address.ss_family, SOCK_STREAM, 0) : -1;

	if (sock >= 0 && argc == 3 && !strcmp(argv[1], "connect"))
		return talk(sock, &address, len);
	if (sock >= 0 && argc == 4 && !strcmp(argv[1], "echo"))
		return echo(sock, &address, len, atol(argv[3]));
	fputs("usage: sockio connect ADDRESS | echo ADDRESS COUNT\n", stderr);
	return 2;
}
