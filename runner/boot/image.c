// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Files to boot from. A file may change or shrink between two starts: each read
 * is checked, and what was learned from its headers is learned anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "image.h"

enum status image_open(struct image *image, const char *what, const char *path)
{
	struct stat st;

	*image = (struct image) { .what = what, .path = path };
	/* Non-blocking: to open a FIFO that nobody writes must not hang. */
	image->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (image->fd < 0) {
		complain("cannot open the %s %s: %s; give a file that can be read", what, path,
			 strerror(errno));
		return STATUS_BAD_FILE;
	}
	if (fstat(image->fd, &st) || !S_ISREG(st.st_mode)) {
		complain("the %s %s is not a regular file; give the image itself", what, path);
		goto close;
	}
	if (!st.st_size) {
		complain("the %s %s is empty; give a complete file", what, path);
		goto close;
	}
	image->size = st.st_size;
	return STATUS_OK;
close:
	image_close(image);
	return STATUS_BAD_FILE;
}

void image_close(struct image *image)
{
	if (image->fd >= 0)
		close(image->fd);
	image->fd = -1;
}

bool image_has(const struct image *image, uint64_t offset, uint64_t len)
{
	return offset <= image->size && len <= image->size - offset;
}

enum status image_read(const struct image *image, uint64_t offset, void *buf, size_t len)
{
	uint8_t *to = buf;

	if (!image_has(image, offset, len)) {
		complain("the %s %s is truncated: %llu bytes, %llu needed; give a complete file",
			 image->what, image->path, (unsigned long long)image->size,
			 (unsigned long long)(offset + len));
		return STATUS_BAD_FILE;
	}
	while (len) {
		ssize_t n = pread(image->fd, to, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			complain("cannot read the %s %s: %s; give a file that stays as it is",
				 image->what, image->path, n ? strerror(errno) : "it has shrunk");
			return STATUS_BAD_FILE;
		}
		to += n;
		offset += n;
		len -= n;
	}
	return STATUS_OK;
}

enum status image_start(const struct image *image, uint8_t *buf, size_t size)
{
	size_t len = image->size < size ? image->size : size;

	memset(buf + len, 0, size - len);
	return image_read(image, 0, buf, len);
}

enum status image_load(const struct image *image, uint64_t offset, uint64_t len,
		       const struct ram *ram, uint64_t gpa)
{
	void *to = ram_at(ram, gpa, len);

	if (!to) {
		complain("the %s %s does not fit at %#llx; use a larger --mem", image->what,
			 image->path, (unsigned long long)gpa);
		return STATUS_NO_ROOM;
	}
	return image_read(image, offset, to, len);
}
