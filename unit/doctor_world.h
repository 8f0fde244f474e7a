/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file system of a test of `vmm doctor`, below a temporary directory, its complaint
 * and its report. One test includes this once; -lz.
 */
#ifndef UNIT_DOCTOR_WORLD_H
#define UNIT_DOCTOR_WORLD_H

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "../runner/doctor.h"

static struct doctor_report report;

static char complaint[512];

void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(complaint, sizeof(complaint), fmt, ap);
	va_end(ap);
}

/* ---- files ---- */

static char root[32];

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static const char *in_root(const char *path)
{
	static char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s%s", root, path);
	return full;
}

static void put_bytes(const char *path, const void *data, size_t len)
{
	char full[PATH_MAX];
	int fd;

	snprintf(full, sizeof(full), "%s", in_root(path));
	for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		mkdir(full, 0755);
		*slash = '/';
	}
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		abort();
	close(fd);
}

static void put(const char *path, const char *text)
{
	put_bytes(path, text, strlen(text));
}

/* Empty. */
static void root_clear(void)
{
	nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	if (mkdir(root, 0755))
		abort();
}

static void root_create(void)
{
	strcpy(root, "/tmp/doctor.XXXXXX");
	if (!mkdtemp(root))
		abort();
}

static void root_remove(void)
{
	nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static size_t gzip(const void *data, size_t len, void *out, size_t room)
{
	z_stream stream = { .next_in = (void *)data, .avail_in = len,
			    .next_out = out, .avail_out = room };

	if (deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, 0) != Z_OK ||
	    deflate(&stream, Z_FINISH) != Z_STREAM_END)
		abort();
	deflateEnd(&stream);
	return stream.total_out;
}

static const struct doctor_finding *find(const char *name)
{
	for (unsigned int i = 0; i < report.count; i++)
		if (!strcmp(report.finding[i].name, name))
			return &report.finding[i];
	return NULL;
}

#endif
