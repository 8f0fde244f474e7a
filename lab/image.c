// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The initramfs of one run, in memory: layers prepared by lab/lab, then one
 * cpio archive with what belongs to this run only. Nothing is left behind on
 * a disk, because nothing was ever put there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"

#define COPY_SIZE (1 << 16)

int image_file(const char *name)
{
	return memfd_create(name, 0);
}

static int put(int image, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(image, p, len);

		if (n < 0)
			return -1;
		p += n;
		len -= n;
	}
	return 0;
}

static int pad(int image)
{
	off_t at = lseek(image, 0, SEEK_CUR);

	return at < 0 ? -1 : put(image, "\0\0\0", -at & 3);
}

/* Copies size bytes; a file that shrinks under the copy is an error. */
static int copy(int image, int fd, off_t size)
{
	static char buf[COPY_SIZE];

	while (size) {
		ssize_t n = read(fd, buf, size < COPY_SIZE ? (size_t)size : COPY_SIZE);

		if (n == 0)
			errno = EIO;
		if (n <= 0 || put(image, buf, n))
			return -1;
		size -= n;
	}
	return pad(image);
}

static int open_file(const char *path, struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (!fstat(fd, st) && S_ISREG(st->st_mode))
		return fd;
	close(fd);
	errno = EINVAL;
	return -1;
}

int image_add_layer(int image, const char *path)
{
	struct stat st;
	int fd = open_file(path, &st);
	int ret;

	if (fd < 0)
		return -1;
	ret = copy(image, fd, st.st_size);
	close(fd);
	return ret;
}

/* Header and name of one entry in the "new ASCII" format of cpio(5). */
static int put_header(int image, const char *name, unsigned int mode, size_t size)
{
	char header[111];

	snprintf(header, sizeof(header),
		 "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		 0, mode, 0, 0, 1, 0, (unsigned int)size, 0, 0, 0, 0,
		 (unsigned int)strlen(name) + 1, 0);
	if (put(image, header, 110) || put(image, name, strlen(name) + 1))
		return -1;
	return pad(image);
}

static int put_words(int image, char *const *words)
{
	size_t size = 0;
	int i;

	for (i = 0; words[i]; i++)
		size += strlen(words[i]) + 1;
	if (put_header(image, "lab/argv", S_IFREG | 0644, size))
		return -1;
	for (i = 0; words[i]; i++)
		if (put(image, words[i], strlen(words[i]) + 1))
			return -1;
	return pad(image);
}

static int put_file(int image, const char *path)
{
	const char *last = strrchr(path, '/');
	char name[300];
	struct stat st;
	int fd = open_file(path, &st);
	int ret;

	if (fd < 0)
		return -1;
	if (st.st_size > UINT32_MAX) {
		close(fd);
		errno = EFBIG;
		return -1;
	}
	snprintf(name, sizeof(name), "root/%s", last ? last + 1 : path);
	ret = put_header(image, name, S_IFREG | (st.st_mode & 07777), st.st_size);
	if (!ret)
		ret = copy(image, fd, st.st_size);
	close(fd);
	return ret;
}

int image_add_run(int image, char *const *words, char *const *files, const char **culprit)
{
	*culprit = "the command line";
	if (put_header(image, "lab", S_IFDIR | 0755, 0) ||
	    put_header(image, "root", S_IFDIR | 0700, 0) || put_words(image, words))
		return -1;
	for (; *files; files++) {
		*culprit = *files;
		if (put_file(image, *files))
			return -1;
	}
	*culprit = "the image";
	return put_header(image, "TRAILER!!!", 0, 0);
}
