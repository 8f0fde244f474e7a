// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A Linux bzImage through its 64-bit entry, or its 32-bit entry if it has no other.
 * Facts: kernel documentation, "The Linux/x86 Boot Protocol": "The Real-Mode Kernel
 * Header", "64-bit Boot Protocol", "32-bit Boot Protocol".
 *
 * The kernel is loaded where it prefers to be: elsewhere it would only move itself
 * there.
 */
#include <stddef.h>
#include <string.h>
#include <asm/bootparam.h>
#include "../layout.h"
#include "boot.h"

#define HEADER_AT	0x1f1		/* in the file, and in struct boot_params */
#define HEADER_JUMP	0x201		/* whose displacement tells the header's end */
#define HEADER_BASE	0x202
#define BOOT_FLAG	0xaa55
#define HEADER_MAGIC	0x53726448	/* "HdrS" */
#define VERSION_MIN	0x020c		/* 2.12: xloadflags */
#define SECTOR		512
#define SETUP_SECTS_OLD	4		/* what 0 means */
#define PARAGRAPH	16
#define ENTRY_64	0x200		/* behind the load address */
#define LOADER_UNKNOWN	0xff
#define PAGE		4096

_Static_assert(HEADER_AT + sizeof(struct setup_header) <= BOOT_MAGIC_SIZE + PAGE,
	       "the header is in the file's first sectors");
_Static_assert(sizeof(struct boot_params) == PAGE, "boot_params is the zero page");

static int linux_detect(const uint8_t *start)
{
	struct setup_header hdr;

	memcpy(&hdr, start + HEADER_AT, sizeof(hdr));
	return hdr.boot_flag == BOOT_FLAG && hdr.header == HEADER_MAGIC;
}

static enum status broken(const struct image *kernel, const char *why)
{
	complain("the kernel %s cannot be booted: %s; give another bzImage", kernel->path, why);
	return STATUS_BAD_FILE;
}

/* What the header says of the file's layout is checked where it is used. */
static enum status check_header(const struct image *kernel, const struct setup_header *hdr)
{
	if (hdr->boot_flag != BOOT_FLAG || hdr->header != HEADER_MAGIC)
		return broken(kernel, "its header has no magic");
	if (hdr->version < VERSION_MIN)
		return broken(kernel, "its boot protocol is older than 2.12");
	if (!(hdr->loadflags & LOADED_HIGH))
		return broken(kernel, "it wants to be below 1 MiB");
	if (hdr->pref_address % PAGE || hdr->pref_address >= LAYOUT_HOLE_END)
		return broken(kernel, "its preferred address is not below 4 GiB");
	return STATUS_OK;
}

/* The header as far as this file has one; what is newer than it reads as zero. */
static enum status read_header(const struct image *kernel, struct setup_header *hdr)
{
	uint8_t displacement;
	size_t len;
	enum status status = image_read(kernel, HEADER_JUMP, &displacement, sizeof(displacement));

	if (status)
		return status;
	len = HEADER_BASE + displacement - HEADER_AT;
	if (len > sizeof(*hdr))
		len = sizeof(*hdr);
	memset(hdr, 0, sizeof(*hdr));
	status = image_read(kernel, HEADER_AT, hdr, len);
	return status ? status : check_header(kernel, hdr);
}

/* The header counts whole paragraphs, the file may end within the last. */
static uint64_t code_size(const struct image *kernel, uint64_t offset, uint32_t paragraphs)
{
	uint64_t size = (uint64_t)paragraphs * PARAGRAPH;
	uint64_t there = offset < kernel->size ? kernel->size - offset : 0;

	return there < size && size - there < PARAGRAPH ? there : size;
}

static enum status linux_plan(const struct boot_source *source, struct boot_plan *plan)
{
	const struct image *kernel = &source->kernel;
	struct setup_header hdr;
	enum status status = read_header(kernel, &hdr);
	struct boot_segment *seg = &plan->segment[0];
	bool wide;

	if (status)
		return status;
	if (source->modules && !source->module[0].initrd) {
		complain("a bzImage has no modules; give %s as --initrd, or leave it out",
			 source->module[0].image.path);
		return STATUS_USAGE;
	}
	seg->offset = ((hdr.setup_sects ? hdr.setup_sects : SETUP_SECTS_OLD) + 1) * SECTOR;
	seg->file_size = code_size(kernel, seg->offset, hdr.syssize);
	seg->gpa = hdr.pref_address;
	seg->size = hdr.init_size;
	if (seg->file_size <= ENTRY_64)
		return broken(kernel, "it has no code");
	if (seg->size < seg->file_size)
		return broken(kernel, "it is larger than the memory it asks for");
	if (!image_has(kernel, seg->offset, seg->file_size))
		return broken(kernel, "the file is truncated");

	wide = hdr.xloadflags & XLF_KERNEL_64;
	plan->segments = 1;
	plan->mode = wide ? BOOT_LONG : BOOT_LINUX32;
	plan->entry = wide ? seg->gpa + ENTRY_64 : seg->gpa;
	plan->layout = &boot_layout_bottom;
	plan->info = LAYOUT_BOOT_PARAMS;
	plan->module_max = hdr.initrd_addr_max;
	plan->cmdline_max = hdr.cmdline_size;
	return STATUS_OK;
}

static void fill_e820(struct boot_params *params, const struct ram *ram)
{
	struct ram_range range[RAM_RANGES_MAX];
	unsigned int count = ram_ranges(ram, range);

	for (unsigned int i = 0; i < count; i++)
		params->e820_table[i] = (struct boot_e820_entry) {
			.addr = range[i].start,
			.size = range[i].size,
			.type = range[i].type,
		};
	params->e820_entries = count;
}

static enum status linux_info(const struct boot_plan *plan, const struct boot_source *source,
			      const struct ram *ram)
{
	struct boot_params params = { 0 };
	struct setup_header *hdr = &params.hdr;
	enum status status = read_header(&source->kernel, hdr);
	void *to;

	if (status)
		return status;
	hdr->type_of_loader = LOADER_UNKNOWN;
	hdr->code32_start = plan->segment[0].gpa;
	hdr->cmd_line_ptr = LAYOUT_CMDLINE;
	hdr->ramdisk_image = plan->module[0].gpa;
	hdr->ramdisk_size = plan->module[0].size;
	hdr->setup_data = source->device_tree ? LAYOUT_DT : 0;
	params.acpi_rsdp_addr = LAYOUT_ACPI;
	fill_e820(&params, ram);

	if (source->device_tree)
		status = dt_load(plan, source, ram);
	if (status)
		return status;
	status = boot_place(ram, "boot parameters", plan->info, sizeof(params), &to);
	if (!status)
		memcpy(to, &params, sizeof(params));
	return status;
}

const struct boot_format boot_linux = {
	.name = "Linux bzImage",
	.cmdline = CMDLINE_LINUX,
	.modules_max = 1,
	.detect = linux_detect,
	.plan = linux_plan,
	.info = linux_info,
};
