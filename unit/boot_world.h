/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of runner/boot/ share: files made of memory, a plan, a loaded
 * guest memory, and the count of messages, one for each refusal.
 */
#ifndef UNIT_BOOT_WORLD_H
#define UNIT_BOOT_WORLD_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "tap.h"
#include "../runner/boot/boot.h"
#include "../runner/layout.h"

#define MIB		(1ULL << 20)

static unsigned int complaints, refusals;

/* The last one. */
static char complaint[1024];

void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(complaint, sizeof(complaint), fmt, ap);
	va_end(ap);
	complaints += strchr(complaint, ';') && !strchr(complaint, '\n');
}

/* ---- files ---- */

static struct boot_source source;

static void put_file(struct image *image, const char *what, const void *data, size_t size)
{
	*image = (struct image) { .what = what, .path = what, .size = size };
	image->fd = memfd_create(what, 0);
	if (write(image->fd, data, size) != (ssize_t)size)
		abort();
}

static void set_kernel(const void *data, size_t size)
{
	if (source.kernel.fd > 0)
		image_close(&source.kernel);
	put_file(&source.kernel, "kernel", data, size);
}

static struct boot_plan *plan;

/* Plan for @mem bytes; the plan stays for those who look at it. */
static enum status plan_for(uint64_t mem)
{
	enum status status;
	struct ram ram;

	free(plan);
	plan = NULL;
	ram_plan(&ram, mem);
	status = boot_plan(&source, &ram, &plan);
	refusals += status != STATUS_OK;
	return status;
}

static struct ram ram;

static enum status load(uint64_t mem)
{
	enum status status;

	ram_unmap(&ram);
	ram_plan(&ram, mem);
	free(plan);
	status = boot_plan(&source, &ram, &plan);
	if (!status)
		status = ram_map(&ram);
	return status ? status : boot_load(plan, &source, &ram);
}

static inline uint64_t read_u64(uint64_t gpa)
{
	uint64_t value = 0;
	const void *at = ram_at(&ram, gpa, sizeof(value));

	if (at)
		memcpy(&value, at, sizeof(value));
	return value;
}

static inline void release(void)
{
	ram_unmap(&ram);
	free(plan);
	image_close(&source.kernel);
}

#endif /* UNIT_BOOT_WORLD_H */
