// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Files without a format: a flat image at an address, entered in the mode that the
 * user says, and a firmware image that ends at 4 GiB and is entered as a CPU is
 * after its reset.
 *
 * Neither is told anything; both find the ACPI tables by their root pointer.
 */
#include <string.h>
#include "../layout.h"
#include "boot.h"

/* Where a segment register and IP of 16 bits reach. */
#define REAL_END	(LAYOUT_HIGH + 0xfff0)
#define RESET_VECTOR	(LAYOUT_HOLE_END - 16)

static enum status flat_plan(const struct boot_source *source, struct boot_plan *plan)
{
	const struct image *kernel = &source->kernel;
	const struct boot_flat *flat = &source->flat;

	if (flat->entry < flat->addr || flat->entry - flat->addr >= kernel->size) {
		complain("the entry %#llx is outside the flat image %s; give an entry inside",
			 (unsigned long long)flat->entry, kernel->path);
		return STATUS_USAGE;
	}
	if (flat->mode == BOOT_REAL && flat->entry >= REAL_END) {
		complain("real mode does not reach the entry %#llx; give one below %#x",
			 (unsigned long long)flat->entry, REAL_END);
		return STATUS_USAGE;
	}
	plan->segment[0] = (struct boot_segment) {
		.file_size = kernel->size,
		.size = kernel->size,
		.gpa = flat->addr,
	};
	plan->segments = 1;
	plan->mode = flat->mode;
	plan->entry = flat->entry;
	plan->layout = &boot_layout_top;
	plan->low_end = flat->mode == BOOT_REAL ? LAYOUT_RESERVED : LAYOUT_LOADER;
	return STATUS_OK;
}

static enum status flat_info(const struct boot_plan *plan, const struct boot_source *source,
			     const struct ram *ram)
{
	(void)plan;
	(void)source;
	(void)ram;
	return STATUS_OK;
}

const struct boot_format boot_flat = {
	.name = "flat image",
	.cmdline = CMDLINE_NONE,
	.plan = flat_plan,
	.info = flat_info,
};

static enum status firmware_plan(const struct boot_source *source, struct boot_plan *plan)
{
	const struct image *image = &source->kernel;

	if (image->size < LAYOUT_HOLE_END - RESET_VECTOR || image->size > LAYOUT_ROM_MAX) {
		complain("the firmware %s has %llu bytes; give an image of 16 bytes to %u MiB",
			 image->path, (unsigned long long)image->size, LAYOUT_ROM_MAX >> 20);
		return STATUS_BAD_FILE;
	}
	plan->mode = BOOT_RESET;
	plan->entry = RESET_VECTOR;
	plan->layout = &boot_layout_top;
	return STATUS_OK;
}

/*
 * The image, and what of its end firmware reaches with a segment of 0xf000: PCs show
 * it below 1 MiB as well, as memory that can be written here.
 */
static enum status firmware_info(const struct boot_plan *plan, const struct boot_source *source,
				 const struct ram *ram)
{
	const struct image *image = &source->kernel;
	uint64_t shadow = image->size < LAYOUT_ROM_SHADOW ? image->size : LAYOUT_ROM_SHADOW;
	enum status status = image_load(image, 0, image->size, ram, LAYOUT_HOLE_END - image->size);

	(void)plan;
	return status ? status : image_load(image, image->size - shadow, shadow, ram,
					    LAYOUT_HIGH - shadow);
}

const struct boot_format boot_firmware = {
	.name = "firmware",
	.cmdline = CMDLINE_NONE,
	.plan = firmware_plan,
	.info = firmware_info,
};
