// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Init of the emulated host: makes the machine usable, loads the hypervisor,
 * runs the one command, relays it over a serial port (proto.h), checks that
 * the module can leave, and switches the machine off.
 *
 * Configuration comes from the kernel command line: lab.hv=vmm|kvm|none,
 * lab.line=<tty>, lab.out=e9 (write to that port of the emulator instead of the
 * line), lab.tty=<rows>x<columns> (the command gets a terminal),
 * lab.term=<TERM>, lab.first_cpu=<first CPU for the command>, lab.scale=<how much
 * slower than usual the host is>. The command is /lab/argv, each word ended by a NUL.
 *
 * Invariants: the agent writes to the line only whole frames; it never waits
 * for the command without serving the line; it ends in power-off, and if it
 * cannot go on it says why in a LAB_FAIL frame first.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <linux/perf_event.h>

#include "proto.h"

#define ARGS_MAX	512
/* Bytes written to this port appear on the standard output of Bochs. */
#define DEBUG_PORT	0xe9
#define VMM_MODULE	"/lib/modules/vmm.ko"
/* What a killed process may take until it has closed the last VM. */
#define UNLOAD_TRIES	100
#define UNLOAD_WAIT_US	20000

static struct {
	int fd, port;
	unsigned char buf[LAB_HEADER + LAB_PAYLOAD];
	size_t have;
} line = { .fd = -1 };

/* Input on its way to the command: never more than the relay's window. */
static struct {
	int fd;
	int eof;
	size_t start, end;
	unsigned char buf[2 * LAB_WINDOW];
} input = { .fd = -1 };

static struct {
	pid_t pid;
	int out, err, tty;
	int status;
} cmd = { .out = -1, .err = -1, .tty = -1, .status = -1 };

static char cmdline[4096];

/* ---- the line ---- */

static void write_line(const void *data, size_t len)
{
	const char *p = data;

	if (line.port) {
		outsb(line.port, data, len);
		return;
	}
	while (len) {
		ssize_t n = write(line.fd, p, len);

		if (n < 0 && errno != EINTR)
			return;
		if (n > 0) {
			p += n;
			len -= n;
		}
	}
}

static void send_frame(enum lab_frame type, const void *data, size_t len)
{
	unsigned char frame[LAB_HEADER + LAB_PAYLOAD];

	frame[0] = type;
	lab_put16(frame + 1, len);
	memcpy(frame + LAB_HEADER, data, len);
	write_line(frame, LAB_HEADER + len);
}

static void send_u32(enum lab_frame type, unsigned int v)
{
	unsigned char data[4];

	lab_put32(data, v);
	send_frame(type, data, sizeof(data));
}

static void power_off(void)
{
	sync();
	if (line.fd >= 0)
		tcdrain(line.fd);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *fmt, ...)
{
	char text[LAB_PAYLOAD];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(text))
		n = sizeof(text) - 1;
	if (line.fd >= 0)
		send_frame(LAB_FAIL, text, n);
	else
		fprintf(stderr, "agent: %s\n", text);
	power_off();
	__builtin_unreachable();
}

/* ---- the machine ---- */

static const char *option(const char *name, const char *otherwise)
{
	static char value[8][64];
	static int next;
	char *out = value[next++ % 8];
	const char *p = cmdline;
	size_t len = strlen(name);

	while ((p = strstr(p, name))) {
		if ((p == cmdline || p[-1] == ' ') && p[len] == '=') {
			p += len + 1;
			snprintf(out, sizeof(value[0]), "%.*s", (int)strcspn(p, "\n "), p);
			return out;
		}
		p += len;
	}
	return otherwise;
}

static void read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0, got;

	while (fd >= 0 && (got = read(fd, buf + n, size - 1 - n)) > 0)
		n += got;
	buf[n] = 0;
	if (fd >= 0)
		close(fd);
}

static void set_up_machine(void)
{
	static const struct {
		const char *type, *dir, *options;
	} mounts[] = {
		{ "proc", "/proc", NULL },
		{ "sysfs", "/sys", NULL },
		{ "devtmpfs", "/dev", NULL },
		{ "devpts", "/dev/pts", "mode=620,ptmxmode=666" },
		{ "tmpfs", "/dev/shm", NULL },
		{ "debugfs", "/sys/kernel/debug", NULL },
		{ "tracefs", "/sys/kernel/tracing", NULL },
		{ "cgroup2", "/sys/fs/cgroup", NULL },
	};
	size_t i;

	/* Kernels without one of the last are fine: a test that needs it says so. */
	for (i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].dir, 0755);
		mount(mounts[i].type, mounts[i].dir, mounts[i].type, MS_NOSUID,
		      mounts[i].options);
	}
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("/proc/self/fd/0", "/dev/stdin") ||
	    symlink("/proc/self/fd/1", "/dev/stdout") || symlink("/proc/self/fd/2", "/dev/stderr"))
		perror("agent: /dev/fd");
	if (sethostname("lab", 3))
		perror("agent: hostname");
	read_file("/proc/cmdline", cmdline, sizeof(cmdline));
}

static void open_line(void)
{
	struct termios t;
	char path[80];

	snprintf(path, sizeof(path), "/dev/%s", option("lab.line", "ttyS1"));
	line.fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (line.fd < 0 || tcgetattr(line.fd, &t))
		fail("cannot open %s: %s", path, strerror(errno));
	cfmakeraw(&t);
	t.c_cflag |= CLOCAL | CREAD;
	t.c_cflag &= ~(CRTSCTS | HUPCL);
	cfsetspeed(&t, B115200);
	tcsetattr(line.fd, TCSANOW, &t);
	if (!strcmp(option("lab.out", ""), "e9")) {
		if (ioperm(DEBUG_PORT, 1, 1))
			fail("cannot use port %#x: %s", DEBUG_PORT, strerror(errno));
		line.port = DEBUG_PORT;
	}
	write_line(LAB_HELLO, strlen(LAB_HELLO));
}

static int load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -1;
	ret = syscall(SYS_finit_module, fd, "", 0);
	if (ret && errno == EEXIST)
		ret = 0;
	close(fd);
	return ret;
}

static int has_cpu_flag(const char *flag)
{
	static char info[8192];
	char word[16];

	if (!info[0])
		read_file("/proc/cpuinfo", info, sizeof(info));
	snprintf(word, sizeof(word), " %s ", flag);
	return !!strstr(info, word);
}

/* /lab/modules.<name> lists a module with what it needs, in loading order. */
static void load_list(const char *name)
{
	char path[64], text[4096], *p, *save;

	snprintf(path, sizeof(path), "/lab/modules.%s", name);
	read_file(path, text, sizeof(text));
	if (!text[0])
		fail("the lab's image has no list of modules for %s", name);
	for (p = strtok_r(text, "\n", &save); p; p = strtok_r(NULL, "\n", &save))
		if (load(p))
			fail("cannot load %s: %s", p, strerror(errno));
}

/* Is this one of QEMU's hosts with several? They leave CPUs to themselves. */
static bool several_cpus(void)
{
	return option("lab.first_cpu", NULL);
}

/*
 * Linux patches its scheduler when the first perf event comes, and again a second after the last
 * one went; QEMU with several CPUs then runs what stood there for a moment (docs/testing.md). With
 * an event of the agent's own, which counts nothing, a test's are neither first nor last.
 */
static void hold_perf_key(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
	};

	if (syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC) < 0)
		dprintf(2, "lab: no perf event: %s\n", strerror(errno));
}

static void load_hypervisor(const char *hv)
{
	if (!strcmp(hv, "none"))
		return;
	if (!strcmp(hv, "kvm"))
		load_list(has_cpu_flag("vmx") ? "kvm-intel" : "kvm-amd");
	else if (load(VMM_MODULE))
		fail("cannot load vmm.ko: %s", strerror(errno));
}

/*
 * Unloading patches the scheduler's code, and QEMU with several CPUs may run what stood there for
 * a moment (docs/testing.md): only one is left then. One that does not go is not ours to judge.
 */
static void leave_one_cpu(void)
{
	char path[64];
	long n;
	int fd;

	for (n = sysconf(_SC_NPROCESSORS_CONF) - 1; n > 0; n--) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%ld/online", n);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (write(fd, "0", 1) != 1)
			dprintf(2, "lab: CPU %ld stays: %s\n", n, strerror(errno));
		close(fd);
	}
}

/*
 * With every process gone nothing can hold the module, so a module that stays
 * has leaked a reference: the run fails whatever the command said.
 */
static void unload_hypervisor(void)
{
	int i;

	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	if (access("/sys/module/vmm", F_OK))
		return;
	if (several_cpus())
		leave_one_cpu();
	for (i = 0; i < UNLOAD_TRIES; i++) {
		if (!syscall(SYS_delete_module, "vmm", O_NONBLOCK) || errno == ENOENT)
			return;
		usleep(UNLOAD_WAIT_US);
	}
	fail("vmm.ko does not unload after the command and all its children ended: %s",
	     strerror(errno));
}

/* ---- the command ---- */

/* lab.first_cpu=N: the CPUs below are not the command's. */
static void leave_first_cpus(void)
{
	int cpu, first = atoi(option("lab.first_cpu", "0"));
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	for (cpu = 0; cpu < first; cpu++)
		CPU_CLR(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		dprintf(2, "lab: cannot keep off CPU 0: %s\n", strerror(errno));
}

static void exec_command(void)
{
	static char text[65536];
	char *argv[ARGS_MAX + 1];
	int argc = 0, code;
	char *p = text;

	read_file("/lab/argv", text, sizeof(text));
	while (*p && argc < ARGS_MAX) {
		argv[argc++] = p;
		p += strlen(p) + 1;
	}
	argv[argc] = NULL;
	leave_first_cpus();
	clearenv();
	setenv("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/selftests", 1);
	setenv("HOME", "/root", 1);
	setenv("TERM", option("lab.term", "dumb"), 1);
	setenv("USER", "root", 1);
	if (*option("lab.tunables", ""))
		setenv("GLIBC_TUNABLES", option("lab.tunables", ""), 1);
	/* How much of its work a test that counts rounds does here. */
	setenv("SELFTEST_SCALE", option("lab.scale", "1"), 1);
	if (argc && !chdir("/root"))
		execvp(argv[0], argv);
	code = errno == ENOENT ? 127 : 126;
	dprintf(2, "lab: %s: %s\n", argc ? argv[0] : "no command", strerror(errno));
	_exit(code);
}

static void make_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC))
		fail("cannot make a pipe: %s", strerror(errno));
}

static void reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
}

static void start_on_tty(const char *size)
{
	struct winsize ws = { .ws_row = 24, .ws_col = 80 };

	if (sscanf(size, "%hux%hu", &ws.ws_row, &ws.ws_col) != 2)
		fail("lab.tty=%s is not <rows>x<columns>", size);
	cmd.pid = forkpty(&cmd.tty, NULL, NULL, &ws);
	if (cmd.pid < 0)
		fail("cannot make a terminal: %s", strerror(errno));
	if (!cmd.pid) {
		reset_signals();
		exec_command();
	}
	fcntl(cmd.tty, F_SETFD, FD_CLOEXEC);
	input.fd = dup(cmd.tty);
	cmd.out = cmd.tty;
}

static void start_on_pipes(void)
{
	int in[2], out[2], err[2];

	make_pipe(in);
	make_pipe(out);
	make_pipe(err);
	cmd.pid = fork();
	if (cmd.pid < 0)
		fail("cannot fork: %s", strerror(errno));
	if (!cmd.pid) {
		setsid();
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		reset_signals();
		exec_command();
	}
	close(in[0]);
	close(out[1]);
	close(err[1]);
	input.fd = in[1];
	cmd.out = out[0];
	cmd.err = err[0];
}

static void close_input(void)
{
	if (input.fd >= 0)
		close(input.fd);
	input.fd = -1;
}

/* Hands buffered input to the command; what it will not take is dropped. */
static void feed_command(void)
{
	ssize_t n;

	if (input.fd < 0) {
		n = input.end - input.start;
	} else {
		n = write(input.fd, input.buf + input.start, input.end - input.start);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			close_input();
			n = input.end - input.start;
		}
	}
	input.start += n;
	if (n)
		send_u32(LAB_ACK, n);
	if (input.start != input.end)
		return;
	input.start = 0;
	input.end = 0;
	if (input.eof)
		close_input();
}

static void take_input(const unsigned char *data, size_t len)
{
	if (sizeof(input.buf) - input.end < len) {
		memmove(input.buf, input.buf + input.start, input.end - input.start);
		input.end -= input.start;
		input.start = 0;
	}
	if (sizeof(input.buf) - input.end < len)
		fail("the relay sent more input than its window");
	memcpy(input.buf + input.end, data, len);
	input.end += len;
	feed_command();
}

static void end_input(void)
{
	static const unsigned char eof = 4;

	if (cmd.tty >= 0) {
		take_input(&eof, 1);
		return;
	}
	input.eof = 1;
	if (input.start == input.end)
		close_input();
}

static void serve_frame(unsigned int type, const unsigned char *data, size_t len)
{
	struct winsize ws = { 0 };

	switch (type) {
	case LAB_IN:
		take_input(data, len);
		break;
	case LAB_EOF:
		end_input();
		break;
	case LAB_PING:
		send_frame(LAB_PONG, "", 0);
		break;
	case LAB_SIZE:
		if (len < 4 || cmd.tty < 0)
			break;
		ws.ws_row = lab_get16(data);
		ws.ws_col = lab_get16(data + 2);
		ioctl(cmd.tty, TIOCSWINSZ, &ws);
		break;
	default:
		fail("bad frame %#x from the relay: input was lost on the line", type);
	}
}

static void serve_line(void)
{
	size_t len;
	ssize_t n = read(line.fd, line.buf + line.have, sizeof(line.buf) - line.have);

	if (n <= 0)
		return;
	line.have += n;
	while (line.have >= LAB_HEADER) {
		len = lab_get16(line.buf + 1);
		if (len > LAB_PAYLOAD)
			fail("frame of %zu bytes from the relay: input was lost on the line", len);
		if (line.have < LAB_HEADER + len)
			return;
		serve_frame(line.buf[0], line.buf + LAB_HEADER, len);
		line.have -= LAB_HEADER + len;
		memmove(line.buf, line.buf + LAB_HEADER + len, line.have);
	}
}

/* Passes output on; a stream that ended is closed and forgotten. */
static void relay_output(int *fd, enum lab_frame type)
{
	unsigned char data[LAB_PAYLOAD];
	ssize_t n = read(*fd, data, sizeof(data));

	if (n > 0) {
		send_frame(type, data, n);
	} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
		if (*fd != cmd.tty)
			close(*fd);
		*fd = -1;
	}
}

static void reap(int sigfd)
{
	struct signalfd_siginfo info;
	pid_t pid;
	int status;

	if (read(sigfd, &info, sizeof(info)) < 0)
		return;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == cmd.pid)
			cmd.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
							   WEXITSTATUS(status);
}

/*
 * Until the command is gone and its output drained. Daemons it left may hold
 * the output open: then silence ends the wait.
 */
static void relay_command(int sigfd)
{
	for (;;) {
		struct pollfd p[] = {
			{ line.fd, POLLIN, 0 },
			{ sigfd, POLLIN, 0 },
			{ cmd.out, POLLIN, 0 },
			{ cmd.err, POLLIN, 0 },
			{ input.start != input.end ? input.fd : -1, POLLOUT, 0 },
		};
		int n = poll(p, 5, cmd.status < 0 ? -1 : 50);

		if (n < 0 && errno == EINTR)
			continue;
		if (cmd.status >= 0 && (n == 0 || (cmd.out < 0 && cmd.err < 0)))
			return;
		if (p[2].revents)
			relay_output(&cmd.out, LAB_OUT);
		if (p[3].revents)
			relay_output(&cmd.err, LAB_ERR);
		if (p[4].revents)
			feed_command();
		if (p[1].revents)
			reap(sigfd);
		if (p[0].revents)
			serve_line();
	}
}

int main(void)
{
	struct sched_param first = { .sched_priority = 1 };
	const char *size;
	sigset_t set;
	int sigfd;

	set_up_machine();
	open_line();
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sigfd < 0)
		fail("cannot make a signalfd: %s", strerror(errno));
	if (several_cpus())
		hold_perf_key();
	load_hypervisor(option("lab.hv", "none"));
	size = option("lab.tty", NULL);
	if (size)
		start_on_tty(size);
	else
		start_on_pipes();
	fcntl(input.fd, F_SETFL, fcntl(input.fd, F_GETFL) | O_NONBLOCK);
	/* A busy command must not keep the relay waiting for a pong. */
	sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first);
	relay_command(sigfd);
	unload_hypervisor();
	send_u32(LAB_EXIT, cmd.status);
	power_off();
}
