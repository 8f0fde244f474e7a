// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The order of a boot, whatever the kernel's format: detect, place the kernel's
 * segments, the modules and the command line, later copy them.
 *
 * Invariant of a plan: segments and modules are disjoint, below the end of low RAM,
 * and at or above LAYOUT_HIGH; segments also below the plan's low_end.
 */
#include <stdlib.h>
#include <string.h>
#include "../layout.h"
#include "boot.h"

#define PAGE		4096ULL
#define MIB(bytes)	((unsigned long long)(((bytes) + (1 << 20) - 1) >> 20))

static const struct boot_format *const formats[] = {
	&boot_linux,
	&boot_multiboot,
	&boot_pvh,
};

const struct boot_layout boot_layout_bottom = {
	.gdt = LAYOUT_GDT,
	.page_tables = LAYOUT_PAGE_TABLES,
	.cmdline = LAYOUT_CMDLINE,
};

const struct boot_layout boot_layout_top = {
	.gdt = LAYOUT_LOADER_GDT,
	.page_tables = LAYOUT_LOADER_TABLES,
	.cmdline = LAYOUT_LOADER_CMDLINE,
};

#define LINUX_DEFAULT	"console=ttyS0"

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
	/*
	 * The rest is what an idle Linux wakes up for, each some exits (docs/performance.md):
	 * whether its memory wants to be compacted ahead of need, twice a second; averages
	 * of who waits for what, every other second; whether a CPU is stuck, every four, or
	 * with the longest threshold every 24; counters of memory, every second.
	 */
	{ "sysctl.vm.compaction_proactiveness=", "sysctl.vm.compaction_proactiveness=0" },
	{ "psi=", "psi=0" },
	{ "sysctl.kernel.watchdog_thresh=", "sysctl.kernel.watchdog_thresh=60" },
	{ "sysctl.vm.stat_interval=", "sysctl.vm.stat_interval=10" },
};

#define TSC_WORD	"tsc_early_khz="

/* Room for all of them and the TSC's, each behind a space. */
#define DEFAULTS_SIZE	256

/* What users have instead of a kernel, and what to do about it. */
static const struct {
	const char *magic;
	size_t size;
	const char *what;
} others[] = {
	{ "\x1f\x8b", 2, "packed with gzip; unpack it before" },
	{ "\3757zXZ", 5, "packed with xz; unpack it before" },
	{ "\x28\xb5\x2f\xfd", 4, "packed with zstd; unpack it before" },
	{ "MZ", 2, "an EFI program, and there is no EFI; give a bzImage, a multiboot kernel or "
	  "an ELF file with a PVH entry" },
};

static enum status detect(const struct image *kernel, struct boot_plan *plan)
{
	uint8_t start[BOOT_MAGIC_SIZE];
	enum status status = image_start(kernel, start, sizeof(start));

	if (status)
		return status;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (formats[i]->detect(start)) {
			plan->format = formats[i];
			return STATUS_OK;
		}
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (memcmp(start, others[i].magic, others[i].size))
			continue;
		complain("the kernel %s is %s", kernel->path, others[i].what);
		return STATUS_BAD_FILE;
	}
	complain("the kernel %s is no Linux bzImage, has no multiboot header and is no ELF file; "
		 "give one of these, or use --flat", kernel->path);
	return STATUS_BAD_FILE;
}

static enum status choose_format(const struct boot_source *source, struct boot_plan *plan)
{
	switch (source->kind) {
	case BOOT_FLAT:
		plan->format = &boot_flat;
		return STATUS_OK;
	case BOOT_FIRMWARE:
		plan->format = &boot_firmware;
		return STATUS_OK;
	case BOOT_KERNEL:
		break;
	}
	return detect(&source->kernel, plan);
}

/* ---- segments ---- */

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b ? a_size > b - a : b_size > a - b;
}

/* Of what the kernel's formats load below 1 MiB, all must be before low_end. */
static bool is_misplaced(const struct boot_plan *plan, const struct boot_segment *seg)
{
	return seg->gpa < LAYOUT_HIGH &&
	       (seg->gpa > plan->low_end || seg->size > plan->low_end - seg->gpa);
}

/* The format has checked that no segment wraps. */
static enum status check_segments(const struct boot_plan *plan, const struct image *kernel,
				  const struct ram *ram)
{
	for (unsigned int i = 0; i < plan->segments; i++) {
		const struct boot_segment *seg = &plan->segment[i];

		if (is_misplaced(plan, seg)) {
			complain("the %s %s cannot be at %#llx, or not all of it; give one that "
				 "ends at %#llx, or loads to 1 MiB or above", kernel->what,
				 kernel->path, (unsigned long long)seg->gpa,
				 (unsigned long long)plan->low_end);
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
		if (seg->gpa > LAYOUT_HOLE || seg->size > LAYOUT_HOLE - seg->gpa) {
			complain("the %s %s ends at %#llx, where no machine has memory; give one "
				 "that ends at %#x or below", kernel->what, kernel->path,
				 (unsigned long long)(seg->gpa + seg->size), LAYOUT_HOLE);
			return STATUS_NO_ROOM;
		}
		if (seg->gpa > ram_low_end(ram) || seg->size > ram_low_end(ram) - seg->gpa) {
			complain("the %s %s does not fit: it needs memory up to %llu MiB; "
				 "use a larger --mem", kernel->what, kernel->path,
				 MIB(seg->gpa + seg->size));
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

/* ---- modules ---- */

static enum status no_room(const struct image *image, uint64_t start)
{
	complain("the %s %s does not fit: %llu MiB behind a kernel that ends at %llu MiB; "
		 "use a larger --mem", image->what, image->path, MIB(image->size), MIB(start));
	return STATUS_NO_ROOM;
}

/* Behind the kernel and the module before it, on a page. */
static enum status place_up(const struct image *image, uint64_t *start, uint64_t end,
			    struct boot_range *range)
{
	uint64_t gpa = (*start + PAGE - 1) & ~(PAGE - 1);

	if (end < gpa || image->size > end - gpa)
		return no_room(image, *start);
	*range = (struct boot_range) { gpa, image->size };
	*start = gpa + image->size;
	return STATUS_OK;
}

/* As high as it may be: kernels unpack themselves upwards from their own place. */
static enum status place_down(const struct image *image, uint64_t start, uint64_t *end,
			      struct boot_range *range)
{
	if (*end < start || image->size > *end - start ||
	    ((*end - image->size) & ~(PAGE - 1)) < start)
		return no_room(image, start);
	*end = (*end - image->size) & ~(PAGE - 1);
	*range = (struct boot_range) { *end, image->size };
	return STATUS_OK;
}

static enum status place_modules(struct boot_plan *plan, const struct boot_source *source,
				 const struct ram *ram)
{
	uint64_t end = ram_low_end(ram);
	uint64_t start = kernel_end(plan);
	enum status status = STATUS_OK;

	if (source->modules > plan->format->modules_max) {
		complain("a %s takes %u files beside it, not %u; leave some out",
			 plan->format->name, plan->format->modules_max, source->modules);
		return STATUS_USAGE;
	}
	if (end - 1 > plan->module_max)
		end = plan->module_max + 1;
	for (unsigned int i = 0; !status && i < source->modules; i++) {
		const struct image *image = &source->module[i].image;
		struct boot_range *range = &plan->module[i];

		status = plan->modules_up ? place_up(image, &start, end, range) :
					    place_down(image, start, &end, range);
	}
	return status;
}

static enum status load_modules(const struct boot_plan *plan, const struct boot_source *source,
				const struct ram *ram)
{
	enum status status = STATUS_OK;

	for (unsigned int i = 0; !status && i < source->modules; i++)
		status = image_load(&source->module[i].image, 0, plan->module[i].size, ram,
				    plan->module[i].gpa);
	return status;
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

/*
 * A Linux without kvmclock reads the TSC's frequency from CPUID if the CPU is Intel's; on others it
 * knows no way but timers that are not here. Whether a kernel has kvmclock cannot be seen.
 */
static bool wants_tsc_word(const struct boot_source *source, const char *append)
{
	return source->tsc_khz && !source->tsc_in_cpuid && !has_word(append, TSC_WORD);
}

/* Append @word to the line that ends at @end. */
static char *add_word(struct boot_plan *plan, char *end, const char *word)
{
	if (end != plan->cmdline && *word)
		*end++ = ' ';
	return stpcpy(end, word);
}

static void compose_cmdline(struct boot_plan *plan, const struct boot_source *source)
{
	bool linux_words = plan->format->cmdline == CMDLINE_LINUX;
	const char *append = source->append;
	char *end = plan->cmdline;
	char tsc[sizeof(TSC_WORD) + 20];

	if (!append)
		append = linux_words ? LINUX_DEFAULT : "";
	if (plan->format->cmdline == CMDLINE_WITH_NAME)
		end = add_word(plan, end, source->kernel.path);
	end = add_word(plan, end, append);
	for (size_t i = 0; linux_words && i < sizeof(defaults) / sizeof(defaults[0]); i++)
		if (!has_word(append, defaults[i].start))
			end = add_word(plan, end, defaults[i].word);
	if (linux_words && wants_tsc_word(source, append)) {
		snprintf(tsc, sizeof(tsc), TSC_WORD "%llu", (unsigned long long)source->tsc_khz);
		end = add_word(plan, end, tsc);
	}
	plan->cmdline_len = end - plan->cmdline;
}

static enum status check_cmdline(const struct boot_plan *plan)
{
	uint64_t max = plan->cmdline_max;

	if (plan->format->cmdline == CMDLINE_NONE)
		return STATUS_OK;
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
	enum status status;

	if (plan->format->cmdline == CMDLINE_NONE)
		return STATUS_OK;
	status = boot_place(ram, "command line", plan->layout->cmdline, plan->cmdline_len + 1, &to);
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
	enum status status = choose_format(source, plan);

	if (!status)
		status = plan->format->plan(source, plan);
	if (!status)
		status = check_segments(plan, &source->kernel, ram);
	if (!status)
		status = place_modules(plan, source, ram);
	if (!status) {
		compose_cmdline(plan, source);
		status = check_cmdline(plan);
	}
	return status;
}

enum status boot_plan(const struct boot_source *source, const struct ram *ram,
		      struct boot_plan **plan)
{
	size_t room = strlen(source->append ? source->append : LINUX_DEFAULT) + 1 +
		      strlen(source->kernel.path) + 1 + DEFAULTS_SIZE;
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

enum status boot_plan_tsc(struct boot_plan *plan, const struct boot_source *source)
{
	compose_cmdline(plan, source);
	return check_cmdline(plan);
}

enum status boot_load(const struct boot_plan *plan, const struct boot_source *source,
		      const struct ram *ram)
{
	const struct acpi_machine machine = { source->cpus, source->max_cpus,
					      source->virtio_mmio, source->mailbox };
	enum status status = load_segments(plan, &source->kernel, ram);

	if (!status)
		status = load_modules(plan, source, ram);
	if (!status)
		status = load_cmdline(plan, ram);
	if (!status)
		status = bda_load(plan, ram);
	if (!status)
		status = acpi_load(ram, &machine);
	/* Firmware has that place, and CPUs that the mailbox starts no other way to be started. */
	if (!status && source->kind != BOOT_FIRMWARE && !source->mailbox)
		status = mp_load(ram, source->cpus);
	if (!status && source->mailbox)
		status = boot_wakeup_tables(ram);
	if (!status)
		status = boot_cpu_tables(plan, ram);
	if (!status)
		status = plan->format->info(plan, source, ram);
	return status;
}
