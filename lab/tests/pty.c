// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs a program on a terminal of its own as a shell with job control does, and does
 * with both what standard input says, one step a line:
 *
 *   expect TEXT      until the terminal has shown TEXT, behind what was expected before
 *   send TEXT        type; \r, \\ and \xHH are what they are in C
 *   signal NAME      to the program: TERM, HUP, ...
 *   mode raw         until the terminal's mode is raw
 *   mode cooked      until it is, to the bit, what it was before
 *   stopped          until the program is stopped
 *   size COLS ROWS   the user makes the terminal this large
 *   reset            the shell sets the mode that it likes
 *   background       the shell takes the terminal; as the first step: does not give it
 *   foreground       the shell gives the terminal to the program
 *   status N         until the program has ended; with status N, or by signal N - 128
 *
 * Status 0 if all steps were done, else 1 with a line that names the step, and what
 * the terminal has shown. A step may take PTY_LIMIT seconds (120).
 *
 *   pty COMMAND [ARG]...
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define SHOWN_MAX	(1 << 20)
#define TAIL		800	/* what a failure shows */
#define TICK_MS		20

enum progress { WAIT, DONE, WRONG };

static int master, slave;
static pid_t program;
static bool stopped, ended;
static int status;
static struct termios before;
static char shown[SHOWN_MAX + 1];
static size_t shown_len, expected_to;

static __attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("pty: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	if (program > 0 && !ended)
		kill(program, SIGKILL);
	fprintf(stderr, "%s\n", shown + (shown_len > TAIL ? shown_len - TAIL : 0));
	exit(1);
}

static void must(bool good, const char *what)
{
	if (!good)
		die("%s: %s", what, strerror(errno));
}

/* ---- what goes on ---- */

/* Take what the terminal shows within @ms; more than the buffer holds is an error. */
static void watch(int ms)
{
	struct pollfd pollfd = { .fd = master, .events = POLLIN };

	while (poll(&pollfd, 1, ms) > 0) {
		ssize_t n = read(master, shown + shown_len, SHOWN_MAX - shown_len);

		if (n <= 0)
			die("the terminal cannot be read");
		shown_len += n;
		shown[shown_len] = 0;
		ms = 0;
	}
}

static void look_after_program(void)
{
	int news;

	if (ended || waitpid(program, &news, WNOHANG | WUNTRACED | WCONTINUED) != program)
		return;
	stopped = WIFSTOPPED(news);
	ended = WIFEXITED(news) || WIFSIGNALED(news);
	if (ended)
		status = WIFEXITED(news) ? WEXITSTATUS(news) : 128 + WTERMSIG(news);
}

/* ---- steps ---- */

static enum progress is_shown(const char *text)
{
	char *at = memmem(shown + expected_to, shown_len - expected_to, text, strlen(text));

	if (!at)
		return WAIT;
	expected_to = at - shown + strlen(text);
	return DONE;
}

static enum progress type(const char *text)
{
	while (*text) {
		char byte = *text++;
		int used = 1;

		if (byte == '\\' && *text == 'r') {
			byte = '\r';
		} else if (byte == '\\' && *text == '\\') {
			byte = '\\';
		} else if (byte == '\\' && *text == 'x') {
			unsigned int code;

			if (sscanf(text, "x%2x%n", &code, &used) != 1)
				return WRONG;
			byte = code;
		} else {
			used = 0;
		}
		text += used;
		must(write(master, &byte, 1) == 1, "write");
	}
	return DONE;
}

static enum progress send_signal(const char *name)
{
	for (int sig = 1; sig < NSIG; sig++) {
		const char *abbrev = sigabbrev_np(sig);

		if (abbrev && !strcmp(abbrev, name)) {
			must(!kill(program, sig), "kill");
			return DONE;
		}
	}
	return WRONG;
}

static enum progress has_mode(const char *name)
{
	struct termios now;
	bool raw, cooked;

	must(!tcgetattr(slave, &now), "tcgetattr");
	raw = !(now.c_lflag & (ICANON | ECHO | ISIG | IEXTEN)) && !(now.c_oflag & OPOST) &&
	      !(now.c_iflag & (ICRNL | IXON));
	cooked = now.c_iflag == before.c_iflag && now.c_oflag == before.c_oflag &&
		 now.c_cflag == before.c_cflag && now.c_lflag == before.c_lflag &&
		 !memcmp(now.c_cc, before.c_cc, sizeof(now.c_cc));
	if (!strcmp(name, "raw"))
		return raw ? DONE : WAIT;
	if (!strcmp(name, "cooked"))
		return cooked ? DONE : WAIT;
	return WRONG;
}

static enum progress is_stopped(const char *unused)
{
	(void)unused;
	return stopped ? DONE : WAIT;
}

static enum progress resize(const char *text)
{
	struct winsize size = { 0 };

	if (sscanf(text, "%hu %hu", &size.ws_col, &size.ws_row) != 2)
		return WRONG;
	must(!ioctl(master, TIOCSWINSZ, &size), "TIOCSWINSZ");
	return DONE;
}

static enum progress reset(const char *unused)
{
	(void)unused;
	must(!tcsetattr(slave, TCSANOW, &before), "tcsetattr");
	return DONE;
}

static enum progress to_background(const char *unused)
{
	(void)unused;
	must(!tcsetpgrp(slave, getpgrp()), "tcsetpgrp");
	return DONE;
}

static enum progress to_foreground(const char *unused)
{
	(void)unused;
	must(!tcsetpgrp(slave, program), "tcsetpgrp");
	return DONE;
}

static enum progress has_ended(const char *want)
{
	if (!ended)
		return WAIT;
	return status == atoi(want) ? DONE : WRONG;
}

static const struct {
	const char *name;
	enum progress (*step)(const char *arg);
} steps[] = {
	{ "expect", is_shown },
	{ "send", type },
	{ "signal", send_signal },
	{ "mode", has_mode },
	{ "stopped", is_stopped },
	{ "size", resize },
	{ "reset", reset },
	{ "background", to_background },
	{ "foreground", to_foreground },
	{ "status", has_ended },
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* One step, until it is done. A program that ended does nothing more. */
static void do_step(unsigned int row, const char *line, const char *arg)
{
	const char *limit = getenv("PTY_LIMIT");
	double until = now() + (limit ? atoi(limit) : 120);

	for (;;) {
		bool last = ended || now() > until;
		enum progress progress;

		watch(last ? 0 : TICK_MS);
		progress = steps[row].step(arg);
		if (progress == DONE)
			return;
		if (progress == WRONG || last)
			die("'%s' failed; the program %s (status %d) and has shown:", line,
			    ended ? "ended" : stopped ? "is stopped" : "runs", status);
		look_after_program();
	}
}

/* ---- the shell ---- */

/* A mode that nobody sets by chance. */
static void open_terminal(void)
{
	master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	must(master >= 0 && !grantpt(master) && !unlockpt(master), "pty");
	slave = open(ptsname(master), O_RDWR | O_CLOEXEC);
	must(slave >= 0, "open");
	must(!ioctl(slave, TIOCSCTTY, 0), "TIOCSCTTY");
	must(!tcgetattr(slave, &before), "tcgetattr");
	before.c_iflag |= IXANY;
	before.c_lflag &= ~ECHOK;
	before.c_cc[VERASE] = 'H' - '@';
	must(!tcsetattr(slave, TCSANOW, &before), "tcsetattr");
	must(!tcgetattr(slave, &before), "tcgetattr");
}

/* Parent and child both do it: whoever comes first is early enough. */
static void place(pid_t pid, bool foreground)
{
	setpgid(pid, pid);
	if (foreground)
		tcsetpgrp(slave, pid);
}

static void start(char **argv, bool foreground)
{
	program = fork();
	must(program >= 0, "fork");
	if (program) {
		place(program, foreground);
		return;
	}
	place(getpid(), foreground);
	signal(SIGTTOU, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	for (int fd = 0; fd < 3; fd++)
		dup2(slave, fd);
	execvp(argv[0], argv);
	fprintf(stderr, "pty: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static void run(char **argv)
{
	char line[1024];

	open_terminal();
	while (fgets(line, sizeof(line), stdin)) {
		char *arg = line;
		size_t row = 0;

		line[strcspn(line, "\n")] = 0;
		if (!program) {
			start(argv, !!strcmp(line, "background"));
			if (!strcmp(line, "background"))
				continue;
		}
		while (row < sizeof(steps) / sizeof(steps[0]) &&
		       strncmp(line, steps[row].name, strlen(steps[row].name)))
			row++;
		if (row == sizeof(steps) / sizeof(steps[0]))
			die("no step '%s'", line);
		arg += strlen(steps[row].name);
		do_step(row, line, arg + (*arg == ' '));
	}
	if (!ended)
		die("no step waits for the end of the program");
	exit(0);
}

/* The leader of the terminal's session does all: only it may give the terminal away. */
int main(int argc, char **argv)
{
	pid_t leader;
	int news;

	if (argc < 2)
		die("no command");
	leader = fork();
	if (!leader) {
		setsid();
		signal(SIGTTOU, SIG_IGN);
		/* The terminal hangs up when it ends, which is no reason to die of. */
		signal(SIGHUP, SIG_IGN);
		run(argv + 1);
	}
	must(leader > 0 && waitpid(leader, &news, 0) == leader, "fork");
	return WIFEXITED(news) ? WEXITSTATUS(news) : 1;
}
