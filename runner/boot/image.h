/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that a guest boots from. Opened once and read at each start of the
 * machine, because nothing can be opened any more when a guest restarts.
 */
#ifndef RUNNER_BOOT_IMAGE_H
#define RUNNER_BOOT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../ram.h"
#include "../status.h"

struct image {
	const char *what;	/* "kernel", "initrd": for messages */
	const char *path;
	int fd;			/* -1: no file */
	uint64_t size;
};

/* Open @path, a regular file that is not empty. Complains. */
enum status image_open(struct image *image, const char *what, const char *path);
void image_close(struct image *image);

/* Are @len bytes at @offset inside the file? */
bool image_has(const struct image *image, uint64_t offset, uint64_t len);

/* Read exactly @len bytes at @offset; complains if they cannot be had. */
enum status image_read(const struct image *image, uint64_t offset, void *buf, size_t len);

/* The same into guest memory at @gpa, a place that was planned for it. */
enum status image_load(const struct image *image, uint64_t offset, uint64_t len,
		       const struct ram *ram, uint64_t gpa);

/* The first @size bytes; zeros behind the end of a shorter file. */
enum status image_start(const struct image *image, uint8_t *buf, size_t size);

#endif /* RUNNER_BOOT_IMAGE_H */
