// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The order of a boot, whatever the kernel's format: detect, place the kernel's
 * segments, the initrd and the command line, later copy them.
 *
 * Invariant of a plan: segments and initrd are disjoint, at or above LAYOUT_HIGH,
 * below the end of low RAM.
 */
#include <stdlib.h>
#include <string.h>
#include "../layout.h"
#include "boot.h"

#define PAGE		4096ULL
#define MIB(bytes)	((unsigned long long)(((bytes) + (1 << 20) - 1) >> 20))

static const struct boot_format *const formats[] = {
	&boot_linux,
	&boot_pvh,
};

/*
 * A panicked kernel would hang for ever: let it restart at once, which the machine
 * then tells from a wanted restart. The user's own panic= goes before.
 */
#define PANIC_OPTION	"panic=-1"

static enum status detect(const struct image *kernel, struct boot_plan *plan)
{
	uint8_t start[BOOT_MAGIC_SIZE] = { 0 };
	uint64_t size = kernel->size < sizeof(start) ? kernel->size : sizeof(start);
	enum status status = image_read(kernel, 0, start, size);

	if (status)
		return status;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (formats[i]->detect(start)) {
			plan->format = formats[i];
			return STATUS_OK;
		}
	}
	complain("the kernel %s is neither a Linux bzImage nor an ELF file; give one of these",
		 kernel->path);
	return STATUS_BAD_FILE;
}

/* ---- segments ---- */

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b ? a_size > b - a : b_size > a - b;
}

/* The format has checked that no segment wraps. */
static enum status check_segments(const struct boot_plan *plan, const struct image *kernel,
				  const struct ram *ram)
{
	for (unsigned int i = 0; i < plan->segments; i++) {
		const struct boot_segment *seg = &plan->segment[i];

		if (seg->gpa < LAYOUT_HIGH) {
			complain("the kernel %s wants to be below 1 MiB, at %#llx; give another",
				 kernel->path, (unsigned long long)seg->gpa);
			return STATUS_BAD_FILE;
		}
		for (unsigned int j = 0; j < i; j++) {
			const struct boot_segment *other = &plan->segment[j];

			if (!overlap(seg->gpa, seg->size, other->gpa, other->size))
				continue;
			complain("the kernel %s has overlapping segments; give another",
				 kernel->path);
			return STATUS_BAD_FILE;
		}
		if (seg->gpa > ram_low_end(ram) || seg->size > ram_low_end(ram) - seg->gpa) {
			complain("the kernel %s does not fit: it needs memory up to %llu MiB; "
				 "use a larger --mem", kernel->path, MIB(seg->gpa + seg->size));
			return STATUS_NO_ROOM;
		}
	}
	return STATUS_OK;
}

static uint64_t kernel_end(const struct boot_plan *plan)
{
	uint64_t end = LAYOUT_HIGH;

	for (unsigned int i = 0; i < plan->segments; i++) {
		uint64_t this = plan->segment[i].gpa + plan->segment[i].size;

		if (this > end)
			end = this;
	}
	return end;
}

static enum status load_segments(const struct boot_plan *plan, const struct image *kernel,
				 const struct ram *ram)
{
	for (unsigned int i = 0; i < plan->segments; i++) {
		const struct boot_segment *seg = &plan->segment[i];
		enum status status = image_load(kernel, seg->offset, seg->file_size, ram, seg->gpa);

		if (status)
			return status;
	}
	return STATUS_OK;
}

/* ---- initrd ---- */

/* As high as it may be: kernels unpack themselves upwards from their own place. */
static enum status place_initrd(struct boot_plan *plan, const struct image *initrd,
				const struct ram *ram)
{
	uint64_t end = ram_low_end(ram);
	uint64_t start = kernel_end(plan);

	if (initrd->fd < 0)
		return STATUS_OK;
	if (end - 1 > plan->initrd_max)
		end = plan->initrd_max + 1;
	if (end < start || initrd->size > end - start ||
	    ((end - initrd->size) & ~(PAGE - 1)) < start) {
		complain("the initrd %s does not fit: %llu MiB behind a kernel that ends at "
			 "%llu MiB; use a larger --mem", initrd->path, MIB(initrd->size),
			 MIB(start));
		return STATUS_NO_ROOM;
	}
	plan->initrd = (end - initrd->size) & ~(PAGE - 1);
	plan->initrd_size = initrd->size;
	return STATUS_OK;
}

/* ---- command line ---- */

/* Is there a word that starts with "panic="? */
static bool has_panic_option(const char *append)
{
	const char *at = append;

	while ((at = strstr(at, "panic="))) {
		if (at == append || at[-1] == ' ')
			return true;
		at++;
	}
	return false;
}

static void compose_cmdline(struct boot_plan *plan, const char *append)
{
	size_t len = strlen(append);

	memcpy(plan->cmdline, append, len + 1);
	if (!has_panic_option(append)) {
		if (len)
			strcat(plan->cmdline, " ");
		strcat(plan->cmdline, PANIC_OPTION);
	}
	plan->cmdline_len = strlen(plan->cmdline);
}

static enum status check_cmdline(const struct boot_plan *plan)
{
	uint64_t max = plan->cmdline_max;

	if (max > LAYOUT_CMDLINE_MAX - 1)
		max = LAYOUT_CMDLINE_MAX - 1;
	if (plan->cmdline_len <= max)
		return STATUS_OK;
	complain("the command line has %llu characters, the kernel takes %llu; shorten --append",
		 (unsigned long long)plan->cmdline_len, (unsigned long long)max);
	return STATUS_NO_ROOM;
}

static enum status load_cmdline(const struct boot_plan *plan, const struct ram *ram)
{
	void *to;
	enum status status = boot_place(ram, "command line", LAYOUT_CMDLINE, plan->cmdline_len + 1,
					&to);

	if (!status)
		memcpy(to, plan->cmdline, plan->cmdline_len + 1);
	return status;
}

/* ---- the whole ---- */

enum status boot_place(const struct ram *ram, const char *what, uint64_t gpa, uint64_t len,
		       void **to)
{
	*to = ram_at(ram, gpa, len);
	if (*to)
		return STATUS_OK;
	complain("the %s does not fit: %llu bytes at %#llx; use a larger --mem", what,
		 (unsigned long long)len, (unsigned long long)gpa);
	return STATUS_NO_ROOM;
}

static enum status fill_plan(const struct boot_source *source, const struct ram *ram,
			     struct boot_plan *plan)
{
	enum status status = detect(&source->kernel, plan);

	if (!status)
		status = plan->format->plan(&source->kernel, plan);
	if (!status)
		status = check_segments(plan, &source->kernel, ram);
	if (!status)
		status = place_initrd(plan, &source->initrd, ram);
	if (!status) {
		compose_cmdline(plan, source->append);
		status = check_cmdline(plan);
	}
	return status;
}

enum status boot_plan(const struct boot_source *source, const struct ram *ram,
		      struct boot_plan **plan)
{
	size_t room = strlen(source->append) + sizeof(" " PANIC_OPTION);
	enum status status;

	*plan = calloc(1, sizeof(**plan) + room);
	if (!*plan) {
		complain("no memory for the boot plan; free some");
		return STATUS_HOST;
	}
	status = fill_plan(source, ram, *plan);
	if (status) {
		free(*plan);
		*plan = NULL;
	}
	return status;
}

enum status boot_load(const struct boot_plan *plan, const struct boot_source *source,
		      const struct ram *ram)
{
	enum status status = load_segments(plan, &source->kernel, ram);

	if (!status && plan->initrd_size)
		status = image_load(&source->initrd, 0, plan->initrd_size, ram, plan->initrd);
	if (!status)
		status = load_cmdline(plan, ram);
	if (!status)
		status = acpi_load(ram, source->cpus);
	if (!status)
		status = boot_cpu_tables(plan, ram);
	if (!status)
		status = plan->format->info(plan, &source->kernel, ram);
	return status;
}
