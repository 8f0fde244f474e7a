// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The log of the emulated host's kernel: what counts as a complaint, and
 * showing it. All output goes to standard error.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <fcntl.h>

#include "hostlog.h"

/* A complaint is shown with so many lines: dumps and traces of a few CPUs. */
#define SHOW_LINES 120

/* A leading ^ stands for the start of the message, after the time stamp. */
static const char *const complaints[] = {
	"Kernel panic",
	"[ cut here ]",			/* before the text of a WARN() */
	"^WARNING:",
	"BUG:",
	"kernel BUG at",
	"Oops:",
	"general protection fault",
	"double fault",
	"INFO: possible",		/* lockdep */
	"INFO: trying to register",	/* lockdep without a key */
	"INFO: rcu",
	"rcu: INFO:",
	"INFO: task",			/* hung task */
	"ODEBUG:",
	"UBSAN:",
	"KASAN:",
	"KFENCE:",
	"KCSAN:",
	"new suspected memory leaks",	/* kmemleak */
	"unchecked MSR access error",
	"sleeping function called",
	"scheduling while atomic",
	"bad page state",
	"Bad rss-counter",
	"list_add corruption",
	"list_del corruption",
	"refcount_t:",
	"use-after-free",
	"NMI watchdog",
	"Uhhuh",			/* unknown NMI */
};

static char *map(int fd, size_t *size)
{
	struct stat st;
	char *p;

	*size = 0;
	if (fstat(fd, &st) || !st.st_size)
		return NULL;
	p = malloc(st.st_size + 1);
	if (!p || pread(fd, p, st.st_size, 0) != st.st_size) {
		free(p);
		return NULL;
	}
	*size = st.st_size;
	p[*size] = 0;
	return p;
}

static int is_complaint(const char *line, size_t len)
{
	const char *message = line, *close;
	size_t i;

	close = len && *line == '[' ? memmem(line, len, "] ", 2) : NULL;
	if (close)
		message = close + 2;
	for (i = 0; i < sizeof(complaints) / sizeof(complaints[0]); i++) {
		const char *text = complaints[i];

		if (*text == '^' ? !strncmp(message, text + 1, strlen(text + 1)) :
				   !!memmem(line, len, text, strlen(text)))
			return 1;
	}
	return 0;
}

static void show(const char *prefix, const char *line, size_t len)
{
	while (len && line[len - 1] == '\r')
		len--;
	fprintf(stderr, "%s%.*s\n", prefix, (int)len, line);
}

int hostlog_complaints(int fd, off_t from)
{
	size_t size;
	char *text = map(fd, &size), *p, *end;
	int count = 0, left = 0;

	for (p = text ? text + from : NULL; p && p < text + size; p = end + 1) {
		end = memchr(p, '\n', text + size - p);
		if (!end)
			end = text + size;
		if (is_complaint(p, end - p)) {
			count++;
			left = SHOW_LINES;
		}
		/* What a trace marks with ? is not known to have been called. */
		if (left && !memmem(p, end - p, "]  ? ", 5)) {
			left--;
			show("host: ", p, end - p);
		}
	}
	free(text);
	return count;
}

int hostlog_panicked(int fd)
{
	static const char mark[] = "Kernel panic - not syncing";
	static off_t seen;
	char buf[8192];
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), seen)) > 0) {
		if (memmem(buf, n, mark, strlen(mark)))
			return 1;
		if (n < (ssize_t)sizeof(mark))
			return 0;
		/* The mark may lie across two reads. */
		seen += n - (ssize_t)strlen(mark);
	}
	return 0;
}

int hostlog_has(int fd, const char *what)
{
	size_t size;
	char *text = map(fd, &size);
	int has = text && memmem(text, size, what, strlen(what));

	if (text)
		munmap(text, size);
	return has;
}

void hostlog_tail(int fd, int lines, const char *prefix)
{
	size_t size;
	char *text = map(fd, &size), *p, *end;

	if (!text)
		return;
	p = text + size;
	if (p[-1] == '\n')
		p--;
	for (; p > text; p--)
		if (p[-1] == '\n' && !--lines)
			break;
	for (; p < text + size; p = end + 1) {
		end = memchr(p, '\n', text + size - p);
		if (!end)
			end = text + size;
		show(prefix, p, end - p);
	}
	free(text);
}

int hostlog_save(int fd, const char *path)
{
	size_t size;
	char *text = map(fd, &size);
	int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int ret = out < 0 || (text && write(out, text, size) != (ssize_t)size) ? -1 : 0;

	if (out >= 0)
		close(out);
	free(text);
	return ret;
}
