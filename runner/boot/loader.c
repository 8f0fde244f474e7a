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
 * Words for Linux that go behind the user's, unless the user says otherwise with a
 * word of the same start.
 */
static const struct {
	const char *start, *word;
} defaults[] = {
	/*
	 * A panicked kernel would hang for ever: let it restart at once, which the
	 * machine then tells from a wanted restart.
	 */
	{ "panic=", "panic=-1" },
	/*
	 * On hardware-reduced ACPI Linux expects EFI to restart the machine, and
	 * without EFI jumps into a BIOS; the reset register is the way here.
	 */
	{ "reboot=", "reboot=acpi" },
};

/* Room for all of them, each behind a space. */
#define DEFAULTS_SIZE	32

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

/* Is there a word in @append that starts with @start? */
static bool has_word(const char *append, const char *start)
{
	const char *at = append;

	while ((at = strstr(at, start))) {
		if (at == append || at[-1] == ' ')
			return true;
		at++;
	}
	return false;
}

static void compose_cmdline(struct boot_plan *plan, const char *append)
{
	char *end = stpcpy(plan->cmdline, append);

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
		if (has_word(append, defaults[i].start))
			continue;
		if (end != plan->cmdline)
			*end++ = ' ';
		end = stpcpy(end, defaults[i].word);
	}
	plan->cmdline_len = end - plan->cmdline;
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
	size_t room = strlen(source->append) + 1 + DEFAULTS_SIZE;
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
