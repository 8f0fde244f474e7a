// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Connects to a Unix socket: standard input goes there, what comes goes to standard
 * output, until the other end closes. The end of the input is told the other end.
 *
 *   unixio PATH
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char buf[65536];

/* Copy once; 0 at the end of @from, -1 on error. */
static int copy(int from, int to)
{
	ssize_t n = read(from, buf, sizeof(buf));

	for (ssize_t done = 0; done < n;) {
		ssize_t some = write(to, buf + done, n - done);

		if (some <= 0)
			return -1;
		done += some;
	}
	return n < 0 ? -1 : n > 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct pollfd fds[2] = { { .fd = 0, .events = POLLIN }, { .events = POLLIN } };
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);

	if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path)) {
		fputs("usage: unixio PATH\n", stderr);
		return 2;
	}
	memcpy(address.sun_path, argv[1], strlen(argv[1]));
	if (sock < 0 || connect(sock, (struct sockaddr *)&address, sizeof(address))) {
		perror(argv[1]);
		return 1;
	}
	fds[1].fd = sock;
	for (;;) {
		int more;

		if (poll(fds, 2, -1) < 0)
			return 1;
		if (fds[0].revents && copy(0, sock) <= 0) {
			shutdown(sock, SHUT_WR);
			fds[0].fd = -1;
		}
		if (!fds[1].revents)
			continue;
		more = copy(sock, 1);
		if (more <= 0)
			return more ? 1 : 0;
	}
}
