// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What runner/sandbox_space.c leaves of a process, asked from inside and without the
 * filter that would forbid the asking: as root, when the test is, and as a user.
 */
/* unit-sources: ../runner/sandbox_space.c */
/* unit-flags: -D_GNU_SOURCE */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tap.h"
#include "../runner/sandbox_space.h"

#define USER	12345
/* As many disks have, and more than any fixed limit. */
#define DESCRIPTORS	600

static unsigned int complaints;
static int old_root;
static dev_t old_device;
static int first_of_many;

void complain(const char *fmt, ...)
{
	(void)fmt;
	complaints++;
}

static bool has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0;
}

/* ---- claims; each is asked in the process ---- */

static bool has_own_root(void)
{
	struct stat st;

	return !stat("/", &st) && st.st_dev != old_device;
}

static bool finds_no_file(void)
{
	return open("/etc/passwd", O_RDONLY) < 0 && open("../../etc/passwd", O_RDONLY) < 0 &&
	       open("/proc/self/mem", O_RDWR) < 0;
}

static bool makes_no_file(void)
{
	return open("/x", O_CREAT | O_WRONLY, 0600) < 0 && open("/", O_TMPFILE | O_RDWR, 0600) < 0;
}

static bool has_no_network(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(53),
				  .sin_addr.s_addr = htonl(0xc0000201) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	return fd < 0 || (connect(fd, (void *)&to, sizeof(to)) && errno == ENETUNREACH);
}

static bool cannot_mount(void)
{
	return syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL) && syscall(SYS_chroot, "/");
}

static bool uses_no_descriptor_of_a_directory(void)
{
	return openat(old_root, "etc/passwd", O_RDONLY) < 0 && errno == EACCES;
}

static bool is_nobody_special(void)
{
	return getuid() && geteuid() && getgid() && getegid() && setuid(0) && setgid(0);
}

static bool is_hidden(void)
{
	return !prctl(PR_GET_DUMPABLE);
}

static bool is_limited(void)
{
	struct rlimit files, core;

	return !getrlimit(RLIMIT_NOFILE, &files) && files.rlim_max <= DESCRIPTORS + 128 &&
	       !getrlimit(RLIMIT_CORE, &core) && !core.rlim_max;
}

/* A guest that restarts closes all of its machine's and wants as many again. */
static bool has_descriptors_for_a_restart(void)
{
	unsigned int count = 0;

	close_range(first_of_many, ~0U, 0);
	while (count < DESCRIPTORS && dup(0) >= 0)
		count++;
	return count == DESCRIPTORS;
}

static bool still_computes(void)
{
	void *memory = malloc(1 << 20);
	bool good = memory;

	free(memory);
	return good;
}

static const struct claim {
	const char *text;
	bool (*holds)(void);
	bool spaces, landlock;	/* what it takes */
} claims[] = {
	{ "has a root of its own", has_own_root, true, false },
	{ "finds no file", finds_no_file, true, false },
	{ "makes no file", makes_no_file, true, false },
	{ "has no network", has_no_network, true, false },
	{ "cannot mount, nor change its root", cannot_mount, false, false },
	{ "makes nothing of an open directory", uses_no_descriptor_of_a_directory, false, true },
	{ "is nobody special, and stays so", is_nobody_special, false, false },
	{ "is hidden from others", is_hidden, false, false },
	{ "is limited", is_limited, false, false },
	{ "has descriptors for a restart", has_descriptors_for_a_restart, false, false },
	{ "can compute", still_computes, false, false },
};

#define CLAIMS	(sizeof(claims) / sizeof(claims[0]))

/* ---- the process ---- */

struct answer {
	bool left;		/* sandbox_leave_host() was content */
	unsigned int complaints;
	bool holds[CLAIMS];
};

static void child(uid_t uid, int to)
{
	struct answer answer = { 0 };

	if (uid && (setgid(uid) || setuid(uid)))
		abort();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	first_of_many = dup(0);
	for (unsigned int i = 1; i < DESCRIPTORS; i++)
		if (dup(0) < 0)
			abort();
	answer.left = !sandbox_leave_host(&(struct sandbox_keep) { 0 });
	answer.complaints = complaints;
	for (size_t i = 0; i < CLAIMS; i++)
		answer.holds[i] = claims[i].holds();
	if (write(to, &answer, sizeof(answer)) != sizeof(answer))
		abort();
	syscall(SYS_exit_group, 0);
}

static void ask(const char *who, uid_t uid, bool landlock)
{
	struct answer answer = { 0 };
	int fd[2], status;
	pid_t pid;

	if (pipe(fd))
		abort();
	pid = fork();
	if (!pid)
		child(uid, fd[1]);
	close(fd[1]);
	if (read(fd[0], &answer, sizeof(answer)) != sizeof(answer))
		tap_note("the process died");
	close(fd[0]);
	waitpid(pid, &status, 0);
	ok(answer.left, "%s leaves the host", who);
	ok(answer.complaints <= 1, "%s says one line at most", who);
	for (size_t i = 0; i < CLAIMS; i++) {
		const struct claim *claim = &claims[i];

		if (claim->spaces && answer.complaints)
			tap_skip(claim->text, "no namespaces here");
		else if (claim->landlock && !landlock)
			tap_skip(claim->text, "no Landlock here");
		else
			ok(answer.holds[i], "%s %s", who, claim->text);
	}
}

int main(void)
{
	bool landlock = has_landlock();
	struct stat st;

	old_root = open("/", O_RDONLY | O_DIRECTORY);
	if (old_root < 0 || fstat(old_root, &st))
		abort();
	old_device = st.st_dev;
	if (!getuid())
		ask("root", 0, landlock);
	ask("a user", getuid() ? getuid() : USER, landlock);
	return tap_end();
}
