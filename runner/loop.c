// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One poll() for a handful of descriptors. What each signal does is a row of a
 * table; so is where each descriptor's event goes.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "../lib/libvmm.h"
#include "loop.h"
#include "terminal.h"

/*
 * How often to look whether the terminal is ours now: a shell that brings a running
 * job to the foreground sends it no signal.
 */
#define FOREGROUND_MS	300

static void stop_process(const struct loop *loop)
{
	(void)loop;
	terminal_restore();
	raise(SIGSTOP);
	terminal_raw();
}

/* vCPUs tell the guest themselves, but those that were not in it. */
static void continue_process(const struct loop *loop)
{
	if (loop->machine)
		vmm_clock_stopped(loop->machine->vm);
	terminal_raw();
}

/* A disk may have another size. */
static void refresh_devices(const struct loop *loop)
{
	if (loop->machine)
		virtio_bay_refresh(loop->machine->bay);
}

/* What was counted so far. */
static void print_stats(const struct loop *loop)
{
	struct stats stats = *loop->stats;

	if (loop->machine && !stats_add(&stats, loop->machine))
		stats_print(&stats, stderr, terminal_is_raw() ? "\r\n" : "\n");
}

static void resize_terminal(const struct loop *loop)
{
	console_resized(loop->console);
}

/* A signal without an action ends the process. */
static const struct {
	int signal;
	void (*action)(const struct loop *loop);
} signals[] = {
	{ SIGINT, NULL },
	{ SIGTERM, NULL },
	{ SIGHUP, NULL },
	{ SIGQUIT, NULL },
	{ SIGTSTP, stop_process },
	{ SIGCONT, continue_process },
	{ SIGUSR1, refresh_devices },
	{ SIGUSR2, print_stats },
	{ SIGWINCH, resize_terminal },
};

/* Who started us under nohup wants us to outlive the terminal. */
static bool stays_as_it_is(const struct loop *loop, int sig)
{
	struct sigaction action;

	if (sig == SIGUSR2)
		return !loop->stats;
	return sig == SIGHUP && !sigaction(sig, NULL, &action) && action.sa_handler == SIG_IGN;
}

enum status loop_open(struct loop *loop, struct console *console, bool terminal,
		      const struct stats *stats)
{
	sigset_t set;

	loop->stats = stats;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (!stays_as_it_is(loop, signals[i].signal))
			sigaddset(&set, signals[i].signal);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* A reader that went away shows as EPIPE, in the thread that can tell. */
	signal(SIGPIPE, SIG_IGN);
	loop->console = console;
	loop->terminal = terminal;
	loop->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (loop->signal_fd >= 0)
		return STATUS_OK;
	complain("cannot receive signals: %s; allow more open files", strerror(errno));
	return STATUS_HOST;
}

void loop_close(struct loop *loop)
{
	close(loop->signal_fd);
}

/* ---- sources; each returns whether the loop is over ---- */

static bool on_signal(struct loop *loop, struct loop_result *result)
{
	struct signalfd_siginfo info;

	if (read(loop->signal_fd, &info, sizeof(info)) != sizeof(info))
		return false;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		if (signals[i].signal != (int)info.ssi_signo)
			continue;
		if (!signals[i].action) {
			*result = (struct loop_result) { LOOP_SIGNAL, info.ssi_signo };
			return true;
		}
		signals[i].action(loop);
	}
	return false;
}

static const struct {
	bool over;
	enum loop_end end;
} console_ends[] = {
	[CONSOLE_GOES_ON] = { false, LOOP_MACHINE },
	[CONSOLE_END] = { true, LOOP_USER },
	[CONSOLE_LOST] = { true, LOOP_LOST },
	[CONSOLE_DRAINED] = { true, LOOP_DRAINED },
};

static bool on_console(enum console_event event, struct loop_result *result)
{
	if (console_ends[event].over)
		result->end = console_ends[event].end;
	return console_ends[event].over;
}

/* The terminal is another program's now: it must not be read. */
static bool in_background(const struct loop *loop)
{
	return loop->terminal && !terminal_is_raw();
}

enum { SIGNAL, WAKE, INPUT, END, SOURCES };

/* @end_fd: readable when there is nothing more to wait for, or -1. */
static struct loop_result loop_poll(struct loop *loop, int end_fd)
{
	struct loop_result result = { .end = LOOP_MACHINE };
	struct pollfd source[SOURCES] = {
		[SIGNAL] = { .fd = loop->signal_fd, .events = POLLIN },
		[WAKE] = { .fd = console_wake_fd(loop->console), .events = POLLIN },
		[INPUT] = { .events = POLLIN },
		[END] = { .fd = end_fd, .events = POLLIN },
	};

	for (;;) {
		bool background = in_background(loop);
		int ready;

		source[INPUT].fd = background ? -1 : console_input_fd(loop->console);
		ready = poll(source, SOURCES, background ? FOREGROUND_MS : -1);
		if (!ready)
			terminal_raw();
		if (ready <= 0)
			continue;
		if (source[SIGNAL].revents && on_signal(loop, &result))
			return result;
		if (source[END].revents)
			return result;
		if (source[WAKE].revents && on_console(console_wake(loop->console), &result))
			return result;
		if (source[INPUT].revents && on_console(console_input(loop->console), &result))
			return result;
	}
}

struct loop_result loop_run(struct loop *loop, struct machine *machine)
{
	struct loop_result result;

	loop->machine = machine;
	result = loop_poll(loop, machine->end_fd);
	loop->machine = NULL;
	return result;
}

bool loop_wait(struct loop *loop, int fd, struct loop_result *result)
{
	struct pollfd source[] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = loop->signal_fd, .events = POLLIN },
	};

	for (;;) {
		bool asked = result->end != LOOP_MACHINE;
		int ready = poll(source, 2, asked ? LOOP_GRACE_MS : -1);

		if (ready < 0)
			continue;
		if (source[0].revents)
			return true;
		if (!ready || (on_signal(loop, result) && asked))
			return false;
	}
}

struct loop_result loop_drain(struct loop *loop)
{
	struct loop_result result = { .end = LOOP_DRAINED };

	return console_drain(loop->console) == CONSOLE_DRAINED ? result : loop_poll(loop, -1);
}
