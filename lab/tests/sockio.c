// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Programs on both ends of what the runner joins: Unix sockets of the host, AF_VSOCK of the
 * guest, TCP. An ADDRESS is unix:PATH, vsock:CID:PORT or tcp:A.B.C.D:PORT.
 *
 *   sockio connect ADDRESS      standard input goes there, and its end, what comes goes to
 *                               standard output, until the other end closes
 *   sockio echo ADDRESS COUNT   listens, and says so; of COUNT connections, one after the
 *                               other, all goes back that comes until its end
 *   sockio exchange ADDRESS N   sends N MiB, all different, to an echo while it reads them
 *                               back and compares; says how long that took
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <time.h>
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
	struct sockaddr_in *in = (struct sockaddr_in *)to;
	uint16_t port;
	char host[16];

	memset(to, 0, sizeof(*to));
	if (!strncmp(text, "unix:", 5) && strlen(text + 5) < sizeof(path->sun_path)) {
		path->sun_family = AF_UNIX;
		strcpy(path->sun_path, text + 5);
		return sizeof(*path);
	}
	if (sscanf(text, "tcp:%15[0-9.]:%hu", host, &port) == 2) {
		*in = (struct sockaddr_in) { AF_INET, htons(port), { inet_addr(host) }, { 0 } };
		return sizeof(*in);
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

/* The next 64 KiB of a stream that does not repeat itself (a 64-bit xorshift). */
static void fill(uint64_t *words, uint64_t *state)
{
	for (size_t i = 0; i < sizeof(buf) / sizeof(*words); i++) {
		*state ^= *state << 13;
		*state ^= *state >> 7;
		*state ^= *state << 17;
		words[i] = *state;
	}
}

/* The stream comes back, and nothing behind it. */
static int compare(int sock, long pieces)
{
	static uint64_t words[sizeof(buf) / sizeof(uint64_t)];
	uint64_t state = 1;

	for (long i = 0; i < pieces; i++) {
		size_t done = 0;

		while (done < sizeof(buf)) {
			ssize_t n = read(sock, buf + done, sizeof(buf) - done);

			if (n <= 0)
				return 1;
			done += n;
		}
		fill(words, &state);
		if (memcmp(words, buf, sizeof(buf)))
			return 1;
	}
	return read(sock, buf, 1) != 0;
}

static int send_all(int sock, long pieces)
{
	static uint64_t words[sizeof(buf) / sizeof(uint64_t)];
	uint64_t state = 1;

	for (long i = 0; i < pieces; i++) {
		fill(words, &state);
		for (size_t done = 0; done < sizeof(words);) {
			ssize_t n = write(sock, (char *)words + done, sizeof(words) - done);

			if (n <= 0)
				return 1;
			done += n;
		}
	}
	return shutdown(sock, SHUT_WR) != 0;
}

static int exchange(int sock, const struct sockaddr_storage *to, socklen_t len, long mib)
{
	long pieces = mib * (1 << 20) / sizeof(buf);
	struct timespec start, end;
	int status, bad;
	pid_t reader;

	clock_gettime(CLOCK_MONOTONIC, &start);
	if (connect(sock, (const struct sockaddr *)to, len)) {
		perror("connect");
		return 1;
	}
	reader = fork();
	if (!reader)
		_exit(compare(sock, pieces));
	bad = send_all(sock, pieces);
	if (reader < 0 || waitpid(reader, &status, 0) != reader)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("# %ld MiB each way in %.1f s\n", mib, end.tv_sec - start.tv_sec +
	       (end.tv_nsec - start.tv_nsec) / 1e9);
	return bad || status;
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
	if (sock >= 0 && argc == 4 && !strcmp(argv[1], "exchange"))
		return exchange(sock, &address, len, atol(argv[3]));
	fputs("usage: sockio connect ADDRESS | echo ADDRESS COUNT | exchange ADDRESS N\n", stderr);
	return 2;
}
