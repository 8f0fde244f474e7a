// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs one command in one emulated host and looks like that command: its
 * input, output and exit status are the relay's own.
 *
 *   relay [--layer FILE]... [--put FILE]... [--timeout S] [--boot-limit S]
 *         [--panic-limit S] [--silence-limit S] [--tty] [--no-ping] [--unlock FD]
 *         [--off-status N] [--disk PROGRAM] --emulator ARG... --command ARG...
 *
 * In the emulator's arguments @INITRD@, @LOG@ and @DISK@ stand for files that
 * exist only as descriptors of this process. The emulator's standard input and
 * output are the line to the agent (proto.h); if the arguments have @PTY@, that
 * terminal carries what goes to the agent instead. @DISK@ is what PROGRAM, called
 * with the path of the initrd, writes to its standard output. @MONITOR@ is the
 * number of a descriptor on which the emulator takes QEMU's monitor commands: a
 * host that hangs gets an NMI, so that it says where. N is the status
 * with which the emulator reports that the host switched itself off.
 *
 * Exit status beside the command's own: see enum verdict.
 *
 * Invariants: the emulator never outlives the relay (parent-death signal); the
 * terminal gets its old mode back on every way out; no write to our output can
 * block the loop, so time limits hold against a reader that never reads; what
 * the host may take does not count while other programs have the emulator's CPU.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "hostlog.h"
#include "image.h"
#include "proto.h"

enum verdict {
	USAGE		= 2,
	EMULATOR_FAILED	= 123,
	TIMED_OUT	= 124,
	HOST_FAILED	= 125,
};

#define LIST_MAX	256
#define TAIL_LINES	40
#define PING_EVERY	2.0
/*
 * What a panic may take to print its trace, where it does not end the host, and
 * nobody says how long its crash kernel wants.
 */
#define PANIC_LIMIT	3.0
/* What a hanging host may take to say where it hangs, given an NMI. */
#define NMI_LIMIT	6.0
/* A host without a sign of life for so long hangs, unless told; a slow one never did. */
#define SILENCE_LIMIT	60.0
/* From the command's end to the emulator's: power-off and nothing else. */
#define OFF_LIMIT	20.0
/* A write of so much to a pipe that polls writable does not block: PIPE_BUF. */
#define WRITE_CHUNK	4096

struct stream {
	int fd;
	size_t start, end;
	unsigned char buf[1 << 16];
};

static struct {
	char *layers[LIST_MAX], *puts[LIST_MAX];
	int nr_layers, nr_puts;
	double timeout, boot_limit, panic_limit, silence_limit;
	int tty, ping, lock, off_status;
	char *disk;
	char **emulator, **command;
} opt = { .boot_limit = 60, .panic_limit = PANIC_LIMIT, .silence_limit = SILENCE_LIMIT, .ping = 1,
	  .lock = -1 };

static struct {
	pid_t pid;
	int line;		/* -1 once the emulator closed it */
	int input;		/* line or pty */
	int monitor, monitor_end;
	int initrd, log, errors, disk;
	char pty[64];
	int wait_status, gone;
} emu = { .line = -1, .input = -1 };

static struct {
	int hello, exited, status;
	int chatter;		/* in a line of the emulator's own, see skip_chatter() */
	size_t matched;		/* bytes of LAB_HELLO seen so far */
	off_t log_start;	/* where the log was then: before is not ours */
	unsigned char buf[LAB_HEADER + LAB_PAYLOAD];
	size_t have;
	char failure[LAB_PAYLOAD + 1];
} host;

static struct stream to_host, out = { .fd = 1 }, err = { .fd = 2 };
static size_t credit = LAB_WINDOW;
static int input_open = 1;
static int caught;
static struct termios saved;
static int raw;
static double started, last_sign, last_ping, exited_at, panicked_at;

/* ---- small things ---- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Seconds that a thread of the emulator was ready and waited for a CPU, the worst. */
static double kept_waiting(void)
{
	static double worst;
	char path[320];
	struct dirent *entry;
	double nanoseconds;
	FILE *file;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)emu.pid);
	dir = emu.pid > 0 ? opendir(path) : NULL;
	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)emu.pid,
			 entry->d_name);
		file = fopen(path, "r");
		if (!file)
			continue;
		if (fscanf(file, "%*s %lf", &nanoseconds) == 1 && nanoseconds / 1e9 > worst)
			worst = nanoseconds / 1e9;
		fclose(file);
	}
	if (dir)
		closedir(dir);
	return worst;
}

/* The clock of what the host may take: a busy machine does not make a host hang. */
static double host_now(void)
{
	return now() - kept_waiting();
}

static void restore_terminal(void)
{
	if (raw)
		tcsetattr(0, TCSAFLUSH, &saved);
	raw = 0;
}

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	va_list ap;

	restore_terminal();
	va_start(ap, fmt);
	fputs("lab: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

static void make_raw(void)
{
	struct termios t;

	if (tcgetattr(0, &saved))
		return;
	t = saved;
	cfmakeraw(&t);
	raw = !tcsetattr(0, TCSAFLUSH, &t);
	atexit(restore_terminal);
}

static size_t room(const struct stream *s)
{
	return sizeof(s->buf) - (s->end - s->start);
}

static void append(struct stream *s, const void *data, size_t len)
{
	if (sizeof(s->buf) - s->end < len) {
		memmove(s->buf, s->buf + s->start, s->end - s->start);
		s->end -= s->start;
		s->start = 0;
	}
	memcpy(s->buf + s->end, data, len);
	s->end += len;
}

static int pending(const struct stream *s)
{
	return s->start != s->end;
}

/* Returns 0 when the other side is gone. */
static int flush_some(struct stream *s, size_t limit)
{
	size_t len = s->end - s->start;
	ssize_t n = write(s->fd, s->buf + s->start, len < limit ? len : limit);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	s->start += n;
	return 1;
}

static void frame(enum lab_frame type, const void *data, size_t len)
{
	unsigned char head[LAB_HEADER] = { type };

	lab_put16(head + 1, len);
	append(&to_host, head, sizeof(head));
	append(&to_host, data, len);
}

/* ---- from the host ---- */

__attribute__((format(printf, 1, 2))) static void fail_host(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(host.failure, sizeof(host.failure), fmt, ap);
	va_end(ap);
	host.exited = 1;
	exited_at = host_now();
}

static void serve_frame(unsigned int type, const unsigned char *data, size_t len)
{
	last_sign = host_now();
	switch (type) {
	case LAB_OUT:
		append(&out, data, len);
		break;
	case LAB_ERR:
		append(&err, data, len);
		break;
	case LAB_ACK:
		credit += len >= 4 ? lab_get32(data) : 0;
		break;
	case LAB_EXIT:
		host.exited = 1;
		host.status = len >= 4 ? (int)lab_get32(data) : HOST_FAILED;
		exited_at = last_sign;
		break;
	case LAB_FAIL:
		fail_host("%.*s", (int)len, (const char *)data);
		break;
	case LAB_PONG:
		break;
	default:
		fail_host("bad frame %#x from the agent: output was lost on the line", type);
	}
}

/* Drops everything before the agent's hello. Returns the bytes used. */
static size_t seek_hello(const unsigned char *p, size_t len)
{
	static const char hello[] = LAB_HELLO;
	size_t i;

	for (i = 0; i < len && !host.hello; i++) {
		if (p[i] != hello[host.matched])
			host.matched = 0;
		if (p[i] == hello[host.matched])
			host.matched++;
		host.hello = host.matched == strlen(hello);
	}
	if (host.hello) {
		last_sign = host_now();
		host.log_start = lseek(emu.log, 0, SEEK_END);
	}
	return i;
}

/*
 * Bochs' debugger tells of a triple fault, also of one that only ends a guest's guest: a
 * line "(0).[tick] ..." between two frames, and one before it, "bx_dbg_read_linear: ...",
 * where the instruction's bytes might go on in a page that is not there. No frame begins
 * so. Returns the bytes of it.
 */
static size_t skip_chatter(const unsigned char *p, size_t len)
{
	size_t i;

	if (!host.have && (*p == '(' || *p == 'b'))
		host.chatter = 1;
	for (i = 0; i < len && host.chatter; i++)
		host.chatter = p[i] != '\n';
	return i;
}

static void take_from_host(const unsigned char *p, size_t len)
{
	size_t want, n;

	while (len && !host.exited) {
		n = host.hello ? skip_chatter(p, len) : seek_hello(p, len);
		if (n) {
			p += n;
			len -= n;
			continue;
		}
		want = LAB_HEADER;
		if (host.have >= LAB_HEADER)
			want += lab_get16(host.buf + 1);
		if (want > sizeof(host.buf)) {
			serve_frame(0, NULL, 0);
			return;
		}
		n = want - host.have < len ? want - host.have : len;
		memcpy(host.buf + host.have, p, n);
		host.have += n;
		p += n;
		len -= n;
		if (host.have < LAB_HEADER ||
		    host.have < LAB_HEADER + lab_get16(host.buf + 1))
			continue;
		serve_frame(host.buf[0], host.buf + LAB_HEADER, host.have - LAB_HEADER);
		host.have = 0;
	}
}

static void read_line(void)
{
	unsigned char buf[4096];
	ssize_t n = read(emu.line, buf, sizeof(buf));

	if (n > 0) {
		take_from_host(buf, n);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		close(emu.line);
		emu.line = -1;
	}
}

/* ---- to the host ---- */

static void read_input(void)
{
	unsigned char buf[LAB_PAYLOAD];
	ssize_t n = read(0, buf, credit < sizeof(buf) ? credit : sizeof(buf));

	if (n > 0) {
		frame(LAB_IN, buf, n);
		credit -= n;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		frame(LAB_EOF, "", 0);
		input_open = 0;
	}
}

static void send_size(void)
{
	struct winsize ws;
	unsigned char data[4];

	if (!opt.tty || ioctl(0, TIOCGWINSZ, &ws))
		return;
	lab_put16(data, ws.ws_row);
	lab_put16(data + 2, ws.ws_col);
	frame(LAB_SIZE, data, sizeof(data));
}

static void ping(double t)
{
	if (!opt.ping || !host.hello || host.exited || t - last_ping < PING_EVERY)
		return;
	last_ping = t;
	if (room(&to_host) > LAB_PAYLOAD)
		frame(LAB_PING, "", 0);
}

/* ---- the emulator ---- */

static char *substitute(char *arg)
{
	char fd[4][32], *new, *at;
	const struct {
		const char *name, *value;
	} table[] = {
		{ "@INITRD@", fd[0] }, { "@LOG@", fd[1] },
		{ "@DISK@", fd[2] }, { "@PTY@", emu.pty }, { "@MONITOR@", fd[3] },
	};
	size_t i;

	sprintf(fd[0], "/dev/fd/%d", emu.initrd);
	sprintf(fd[1], "/dev/fd/%d", emu.log);
	sprintf(fd[2], "/dev/fd/%d", emu.disk);
	sprintf(fd[3], "%d", emu.monitor_end);
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		at = strstr(arg, table[i].name);
		if (!at)
			continue;
		if (asprintf(&new, "%.*s%s%s", (int)(at - arg), arg, table[i].value,
			     at + strlen(table[i].name)) < 0)
			_exit(EMULATOR_FAILED);
		return new;
	}
	return arg;
}

static void exec_emulator(int line, pid_t parent, const sigset_t *mask)
{
	char **arg;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EMULATOR_FAILED);
	/* Keys like Ctrl-C of a cooked terminal are for the relay to judge. */
	setsid();
	sigprocmask(SIG_SETMASK, mask, NULL);
	signal(SIGPIPE, SIG_DFL);
	dup2(emu.pty[0] ? open("/dev/null", O_RDONLY) : line, 0);
	dup2(line, 1);
	dup2(emu.errors, 2);
	for (arg = opt.emulator; *arg; arg++)
		*arg = substitute(*arg);
	execvp(opt.emulator[0], opt.emulator);
	dprintf(2, "%s: %s\n", opt.emulator[0], strerror(errno));
	_exit(EMULATOR_FAILED);
}

static int wants(const char *name)
{
	char **arg;

	for (arg = opt.emulator; *arg; arg++)
		if (strstr(*arg, name))
			return 1;
	return 0;
}

/* A terminal in raw mode; the slave stays open, or reading would fail early. */
static int open_pty(void)
{
	struct termios t;
	int slave;

	emu.input = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (emu.input < 0 || grantpt(emu.input) || unlockpt(emu.input) ||
	    ptsname_r(emu.input, emu.pty, sizeof(emu.pty)))
		return -1;
	slave = open(emu.pty, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || tcgetattr(slave, &t))
		return -1;
	cfmakeraw(&t);
	fcntl(emu.input, F_SETFL, O_NONBLOCK);
	return tcsetattr(slave, TCSANOW, &t);
}

static int open_monitor(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -1;
	emu.monitor = pair[0];
	emu.monitor_end = pair[1];
	return fcntl(emu.monitor, F_SETFD, FD_CLOEXEC);
}

/* Makes a host that hangs panic with the traces of all its CPUs in the log. */
static void send_nmi(void)
{
	static const char command[] = "nmi\n";
	double until = host_now() + NMI_LIMIT;
	int status;

	if (emu.monitor <= 0 || write(emu.monitor, command, strlen(command)) < 0)
		return;
	while (host_now() < until && !waitpid(emu.pid, &status, WNOHANG))
		usleep(100000);
}

static int start_emulator(const sigset_t *mask)
{
	pid_t parent = getpid();
	int pair[2];

	if (wants("@PTY@") && open_pty())
		return -1;
	if (wants("@MONITOR@") && open_monitor())
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	emu.pid = fork();
	if (emu.pid < 0)
		return -1;
	if (!emu.pid)
		exec_emulator(pair[1], parent, mask);
	close(pair[1]);
	if (emu.monitor_end)
		close(emu.monitor_end);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	emu.line = pair[0];
	if (emu.input < 0)
		emu.input = pair[0];
	to_host.fd = emu.input;
	return 0;
}

static void kill_emulator(void)
{
	if (emu.gone || kill(emu.pid, 0))
		return;
	kill(emu.pid, SIGKILL);
	waitpid(emu.pid, &emu.wait_status, 0);
	emu.gone = 1;
}

static int build_disk(void)
{
	char initrd[64];
	int status;
	pid_t pid;

	snprintf(initrd, sizeof(initrd), "/proc/%d/fd/%d", getpid(), emu.initrd);
	pid = fork();
	if (!pid) {
		dup2(emu.disk, 1);
		execl(opt.disk, opt.disk, initrd, NULL);
		_exit(127);
	}
	if (pid > 0 && waitpid(pid, &status, 0) == pid && !status)
		return 0;
	say("%s cannot build the disk", opt.disk);
	return -1;
}

static int build_image(void)
{
	const char *culprit;
	int i;

	emu.initrd = image_file("initrd");
	emu.log = image_file("log");
	emu.errors = image_file("errors");
	if (emu.initrd < 0 || emu.log < 0 || emu.errors < 0) {
		say("cannot make files in memory: %s", strerror(errno));
		return -1;
	}
	for (i = 0; i < opt.nr_layers; i++)
		if (image_add_layer(emu.initrd, opt.layers[i])) {
			say("cannot use %s: %s", opt.layers[i], strerror(errno));
			return -1;
		}
	emu.disk = image_file("disk");
	if (image_add_run(emu.initrd, opt.command, opt.puts, &culprit)) {
		say("cannot put %s into the host: %s", culprit,
		    errno == EINVAL ? "not a regular file" : strerror(errno));
		return -1;
	}
	return opt.disk ? build_disk() : 0;
}

/* ---- the loop ---- */

static void serve_signal(int sigfd)
{
	struct signalfd_siginfo info;

	if (read(sigfd, &info, sizeof(info)) < 0)
		return;
	switch (info.ssi_signo) {
	case SIGCHLD:
		if (waitpid(emu.pid, &emu.wait_status, WNOHANG) == emu.pid)
			emu.gone = 1;
		break;
	case SIGWINCH:
		send_size();
		break;
	default:
		caught = info.ssi_signo;
	}
}

/* What ends the run from outside, or 0. Says why. */
static int out_of_time(void)
{
	double t = host_now();
	int stuck = room(&out) < LAB_PAYLOAD || room(&err) < LAB_PAYLOAD;

	if (opt.timeout && now() - started > opt.timeout) {
		say("timed out after %g s", opt.timeout);
		return TIMED_OUT;
	}
	if (!host.hello && t - started > opt.boot_limit) {
		say("the host has not started after %g s", opt.boot_limit);
		return HOST_FAILED;
	}
	if (host.exited && t - exited_at > OFF_LIMIT) {
		say("%s", host.failure[0] ? host.failure :
					    "the host hangs: it does not switch off");
		return HOST_FAILED;
	}
	if (!panicked_at && hostlog_panicked(emu.log))
		panicked_at = t;
	if (panicked_at && t - panicked_at > opt.panic_limit) {
		say("the host panicked");
		return HOST_FAILED;
	}
	if (stuck)
		last_sign = t;
	if (opt.ping && host.hello && !host.exited && t - last_sign > opt.silence_limit) {
		say("the host hangs: no sign of life for %g s", opt.silence_limit);
		send_nmi();
		return HOST_FAILED;
	}
	return 0;
}

static int relay(int sigfd)
{
	int verdict;

	for (;;) {
		int full = room(&out) < sizeof(host.buf) + 4096 ||
			   room(&err) < sizeof(host.buf) + 4096;
		int reading = input_open && host.hello && !host.exited && credit &&
			      room(&to_host) > 2 * (LAB_HEADER + LAB_PAYLOAD);
		struct pollfd p[] = {
			{ emu.line, full ? 0 : POLLIN, 0 },
			{ sigfd, POLLIN, 0 },
			{ reading ? 0 : -1, POLLIN, 0 },
			{ pending(&out) ? 1 : -1, POLLOUT, 0 },
			{ pending(&err) ? 2 : -1, POLLOUT, 0 },
			{ pending(&to_host) && emu.line >= 0 ? emu.input : -1, POLLOUT, 0 },
		};

		if (emu.gone && emu.line < 0 && !pending(&out) && !pending(&err))
			return 0;
		if (poll(p, 6, 500) < 0 && errno != EINTR)
			return HOST_FAILED;
		if (p[1].revents)
			serve_signal(sigfd);
		if (caught)
			return 128 + caught;
		if ((p[3].revents && !flush_some(&out, WRITE_CHUNK)) ||
		    (p[4].revents && !flush_some(&err, WRITE_CHUNK)))
			return 128 + SIGPIPE;
		if (p[2].revents)
			read_input();
		if (p[5].revents & POLLOUT)
			flush_some(&to_host, sizeof(to_host.buf));
		if (!full && p[0].revents & (POLLIN | POLLHUP | POLLERR))
			read_line();
		ping(now());
		verdict = out_of_time();
		if (verdict)
			return verdict;
	}
}

/* ---- the verdict ---- */

static int emulator_failed(void)
{
	if (WIFSIGNALED(emu.wait_status))
		say("the emulator died of signal %d (%s): this tests nothing",
		    WTERMSIG(emu.wait_status), strsignal(WTERMSIG(emu.wait_status)));
	else if (WEXITSTATUS(emu.wait_status) != opt.off_status)
		say("the emulator failed with status %d", WEXITSTATUS(emu.wait_status));
	else
		return 0;
	hostlog_tail(emu.errors, TAIL_LINES, "emulator: ");
	return 1;
}

/* The emulator ended by itself: what does the run amount to? */
static int judge(void)
{
	if (emulator_failed()) {
		hostlog_tail(emu.log, TAIL_LINES, "host: ");
		return EMULATOR_FAILED;
	}
	if (hostlog_complaints(emu.log, host.log_start)) {
		say("%s", host.failure[0] ? host.failure :
					    "the host's kernel complained: see above");
		return HOST_FAILED;
	}
	if (host.exited && !host.failure[0])
		return host.status;
	hostlog_tail(emu.log, TAIL_LINES, "host: ");
	if (opt.off_status && !host.failure[0])
		hostlog_tail(emu.errors, TAIL_LINES, "emulator: ");
	say("%s", host.failure[0] ? host.failure : "the host went down under the command");
	return HOST_FAILED;
}

/* So often a host is started anew that met QEMU's fault before it said hello. */
#define STARTS_MAX	3
#define STARTS_VARIABLE	"LAB_STARTS"

/*
 * QEMU's CPUs now and then run an INT3 that is not in memory any more, while the host's kernel
 * patches itself (docs/testing.md). Nothing of the command has begun by then, so the same
 * is tried again, from the beginning: returns only if there is no reason to.
 */
static void start_again(char **argv, const sigset_t *mask)
{
	const char *text = getenv(STARTS_VARIABLE);
	int i, starts = text ? atoi(text) : 1;
	char value[16];

	if (host.hello || starts >= STARTS_MAX || !hostlog_has(emu.log, "Oops: int3") ||
	    !hostlog_panicked(emu.log))
		return;
	say("QEMU ran a breakpoint that is not in memory any more: the host starts anew");
	snprintf(value, sizeof(value), "%d", starts + 1);
	setenv(STARTS_VARIABLE, value, 1);
	for (i = 1; strcmp(argv[i], "--emulator"); i++)
		if (!strcmp(argv[i], "--unlock"))
			argv[i + 1] = "-1";	/* closed already */
	/* Where parse() cut them. */
	for (; argv[i]; i++)
		;
	argv[i] = "--command";
	sigprocmask(SIG_SETMASK, mask, NULL);
	signal(SIGPIPE, SIG_DFL);
	execv("/proc/self/exe", argv);
	say("cannot start it: %s", strerror(errno));
}

static int number(const char *text, double *value)
{
	char *end;

	*value = strtod(text, &end);
	return end != text && !*end && *value >= 0;
}

static int parse(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		char *arg = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (!strcmp(arg, "--emulator"))
			break;
		if (!strcmp(arg, "--tty"))
			opt.tty = 1;
		else if (!strcmp(arg, "--no-ping"))
			opt.ping = 0;
		else if (!value)
			return 0;
		else if (!strcmp(arg, "--unlock"))
			opt.lock = atoi(argv[++i]);
		else if (!strcmp(arg, "--layer") && opt.nr_layers < LIST_MAX - 1)
			opt.layers[opt.nr_layers++] = argv[++i];
		else if (!strcmp(arg, "--put") && opt.nr_puts < LIST_MAX - 1)
			opt.puts[opt.nr_puts++] = argv[++i];
		else if (!strcmp(arg, "--off-status"))
			opt.off_status = atoi(argv[++i]);
		else if (!strcmp(arg, "--disk"))
			opt.disk = argv[++i];
		else if (!strcmp(arg, "--timeout") && number(value, &opt.timeout))
			i++;
		else if (!strcmp(arg, "--boot-limit") && number(value, &opt.boot_limit))
			i++;
		else if (!strcmp(arg, "--panic-limit") && number(value, &opt.panic_limit))
			i++;
		else if (!strcmp(arg, "--silence-limit") && number(value, &opt.silence_limit))
			i++;
		else
			return 0;
	}
	opt.emulator = argv + i + 1;
	for (i++; i < argc && strcmp(argv[i], "--command"); i++)
		;
	if (i + 1 >= argc || opt.emulator == argv + i)
		return 0;
	argv[i] = NULL;
	opt.command = argv + i + 1;
	return 1;
}

int main(int argc, char **argv)
{
	const char *save = getenv("LAB_LOG");
	sigset_t set, mask;
	int sigfd, verdict;

	if (!parse(argc, argv)) {
		say("relay: bad arguments; it is lab/lab that calls it");
		return USAGE;
	}
	if (build_image())
		return USAGE;
	close(opt.lock);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, &mask);
	signal(SIGPIPE, SIG_IGN);
	sigfd = signalfd(-1, &set, SFD_CLOEXEC);
	started = now();
	if (sigfd < 0 || start_emulator(&mask)) {
		say("cannot start the emulator: %s", strerror(errno));
		return EMULATOR_FAILED;
	}
	if (opt.tty)
		make_raw();
	verdict = relay(sigfd);
	restore_terminal();
	kill_emulator();
	if (!verdict || verdict == HOST_FAILED)
		start_again(argv, &mask);
	if (!verdict)
		verdict = judge();
	else if (verdict == HOST_FAILED && hostlog_complaints(emu.log, host.log_start))
		;
	else if (verdict == TIMED_OUT || verdict == HOST_FAILED)
		hostlog_tail(emu.log, TAIL_LINES, "host: ");
	if (save && hostlog_save(emu.log, save))
		say("cannot write %s: %s", save, strerror(errno));
	return verdict;
}
