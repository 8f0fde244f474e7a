// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Kernels with a multiboot 1 header: ELF of either class, or a flat file whose
 * header has its addresses ("a.out kludge"). Facts: GNU, "Multiboot Specification
 * version 0.6.96": "OS image format", "Machine state", "Boot information format".
 *
 * Kernel and modules are told their file's name before their arguments, as GRUB
 * and QEMU do. Of a video mode that a header asks for the kernel learns that there
 * is none: bits 11 and 12 of the information's flags are clear.
 */
#include <elf.h>
#include <stdio.h>
#include <string.h>
#include "../layout.h"
#include "boot.h"

#define HEADER_MAGIC	0x1badb002
#define HEADER_ALIGN	4
#define FLAG_PAGE_ALIGN	(1 << 0)	/* modules on page boundaries: they always are */
#define FLAG_MEMORY	(1 << 1)	/* the memory map: it is always there */
#define FLAG_VIDEO	(1 << 2)
#define FLAG_ADDRESSES	(1 << 16)
#define FLAGS_MUST	0xffff		/* a loader that does not know one must give up */
#define FLAGS_KNOWN	(FLAG_PAGE_ALIGN | FLAG_MEMORY | FLAG_VIDEO)

struct header {
	uint32_t magic;
	uint32_t flags;
	uint32_t checksum;
	uint32_t header_addr;
	uint32_t load_addr;
	uint32_t load_end_addr;
	uint32_t bss_end_addr;
	uint32_t entry_addr;
};

#define HEADER_SHORT	offsetof(struct header, header_addr)

struct info {
	uint32_t flags;
	uint32_t mem_lower, mem_upper;	/* KiB from 0 and from 1 MiB */
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t mods_count, mods_addr;
	uint32_t syms[4];
	uint32_t mmap_length, mmap_addr;
	uint32_t drives_length, drives_addr;
	uint32_t config_table;
	uint32_t boot_loader_name;
	uint32_t apm_table;
	uint32_t vbe[4];
	uint32_t framebuffer[7];
};

#define INFO_MEMORY	(1 << 0)
#define INFO_CMDLINE	(1 << 2)
#define INFO_MODS	(1 << 3)
#define INFO_MMAP	(1 << 6)
#define INFO_NAME	(1 << 9)

struct module {
	uint32_t start, end;
	uint32_t string;
	uint32_t reserved;
};

struct mmap_entry {
	uint32_t size;		/* of what follows it */
	uint64_t base, length;
	uint32_t type;		/* as E820 numbers them */
} __attribute__((packed));

_Static_assert(offsetof(struct info, boot_loader_name) == 64, "as the specification has it");
_Static_assert(sizeof(struct info) == 116, "as the specification has it");
_Static_assert(sizeof(struct mmap_entry) == 24, "as the specification has it");

/* All that EBX leads to but the command line, in one piece; the strings come last. */
struct area {
	struct info info;
	char name[4];
	struct module module[BOOT_MODULES_MAX];
	struct mmap_entry mmap[RAM_RANGES_MAX];
	char strings[];
};

static enum status broken(const struct image *kernel, const char *why)
{
	complain("the multiboot kernel %s cannot be booted: %s; give another", kernel->path, why);
	return STATUS_BAD_FILE;
}

/* Where the header is in @start, BOOT_MAGIC_SIZE bytes; -1: nowhere. */
static int find_header(const uint8_t *start, struct header *header)
{
	for (size_t at = 0; at + HEADER_SHORT <= BOOT_MAGIC_SIZE; at += HEADER_ALIGN) {
		size_t len = BOOT_MAGIC_SIZE - at;

		memset(header, 0, sizeof(*header));
		memcpy(header, start + at, len < sizeof(*header) ? len : sizeof(*header));
		if (header->magic != HEADER_MAGIC ||
		    header->magic + header->flags + header->checksum)
			continue;
		if (!(header->flags & FLAG_ADDRESSES) || len >= sizeof(*header))
			return at;
	}
	return -1;
}

static int multiboot_detect(const uint8_t *start)
{
	struct header header;

	return find_header(start, &header) >= 0;
}

/* The file from the header's place on goes where the header says. */
static enum status plan_addresses(const struct image *kernel, const struct header *header,
				  uint32_t header_at, struct boot_plan *plan)
{
	uint32_t before = header->header_addr - header->load_addr;
	struct boot_segment *seg = &plan->segment[0];
	uint64_t end;

	if (header->load_addr > header->header_addr || before > header_at)
		return broken(kernel, "its header is not where it says");
	seg->gpa = header->load_addr;
	seg->offset = header_at - before;
	seg->file_size = kernel->size - seg->offset;
	if (header->load_end_addr) {
		if (header->load_end_addr <= header->load_addr)
			return broken(kernel, "its end is before its start");
		seg->file_size = header->load_end_addr - header->load_addr;
	}
	if (!image_has(kernel, seg->offset, seg->file_size))
		return broken(kernel, "the file is truncated");
	end = seg->gpa + seg->file_size;
	if (header->bss_end_addr && header->bss_end_addr < end)
		return broken(kernel, "its memory ends before its file");
	seg->size = (header->bss_end_addr ? header->bss_end_addr : end) - seg->gpa;
	if (header->entry_addr < seg->gpa || header->entry_addr >= end)
		return broken(kernel, "its entry is outside its code");
	plan->segments = 1;
	plan->entry = header->entry_addr;
	return STATUS_OK;
}

static uint64_t string_size(const struct boot_module *module)
{
	return strlen(module->image.path) + 1 + strlen(module->args) + 1;
}

static enum status check_strings(const struct boot_source *source)
{
	uint64_t size = sizeof(struct area);

	for (unsigned int i = 0; i < source->modules; i++)
		size += string_size(&source->module[i]);
	if (size <= LAYOUT_LOADER_INFO_MAX)
		return STATUS_OK;
	complain("the names and arguments of the modules take %llu bytes, of %u; shorten them",
		 (unsigned long long)size, LAYOUT_LOADER_INFO_MAX);
	return STATUS_NO_ROOM;
}

static enum status multiboot_plan(const struct boot_source *source, struct boot_plan *plan)
{
	const struct image *kernel = &source->kernel;
	uint8_t start[BOOT_MAGIC_SIZE];
	enum status status = image_start(kernel, start, sizeof(start));
	struct header header;
	int at;

	if (status)
		return status;
	at = find_header(start, &header);
	if (at < 0)
		return broken(kernel, "its header has changed");
	if (header.flags & FLAGS_MUST & ~FLAGS_KNOWN)
		return broken(kernel, "it demands what this loader does not know");

	plan->mode = BOOT_MULTIBOOT;
	plan->layout = &boot_layout_top;
	plan->low_end = LAYOUT_LOADER;
	plan->info = LAYOUT_LOADER_INFO;
	plan->module_max = UINT32_MAX;
	plan->modules_up = true;
	plan->cmdline_max = LAYOUT_CMDLINE_MAX - 1;
	status = header.flags & FLAG_ADDRESSES ? plan_addresses(kernel, &header, at, plan) :
						 elf_plan_entry(kernel, plan);
	return status ? status : check_strings(source);
}

static void fill_memory(struct area *area, const struct ram *ram)
{
	struct ram_range range[RAM_RANGES_MAX];
	unsigned int count = ram_ranges(ram, range);

	for (unsigned int i = 0; i < count; i++)
		area->mmap[i] = (struct mmap_entry) {
			.size = sizeof(area->mmap[i]) - sizeof(area->mmap[i].size),
			.base = range[i].start,
			.length = range[i].size,
			.type = range[i].type,
		};
	area->info.mem_lower = LAYOUT_RESERVED >> 10;
	area->info.mem_upper = (ram_low_end(ram) - LAYOUT_HIGH) >> 10;
	area->info.mmap_length = count * sizeof(area->mmap[0]);
	area->info.mmap_addr = LAYOUT_LOADER_INFO + offsetof(struct area, mmap);
}

static void fill_modules(struct area *area, const struct boot_plan *plan,
			 const struct boot_source *source)
{
	char *string = area->strings;

	for (unsigned int i = 0; i < source->modules; i++) {
		const struct boot_module *module = &source->module[i];

		area->module[i] = (struct module) {
			.start = plan->module[i].gpa,
			.end = plan->module[i].gpa + plan->module[i].size,
			.string = LAYOUT_LOADER_INFO + (string - (char *)area),
		};
		string += sprintf(string, "%s%s%s", module->image.path, *module->args ? " " : "",
				  module->args) + 1;
	}
	area->info.mods_count = source->modules;
	area->info.mods_addr = LAYOUT_LOADER_INFO + offsetof(struct area, module);
}

static enum status multiboot_info(const struct boot_plan *plan, const struct boot_source *source,
				  const struct ram *ram)
{
	struct area *area;
	void *to;
	enum status status = boot_place(ram, "multiboot information", plan->info,
					LAYOUT_LOADER_INFO_MAX, &to);

	if (status)
		return status;
	area = to;
	memset(area, 0, sizeof(*area));
	strcpy(area->name, "vmm");
	area->info.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODS | INFO_MMAP | INFO_NAME;
	area->info.cmdline = plan->layout->cmdline;
	area->info.boot_loader_name = LAYOUT_LOADER_INFO + offsetof(struct area, name);
	fill_memory(area, ram);
	fill_modules(area, plan, source);
	return STATUS_OK;
}

const struct boot_format boot_multiboot = {
	.name = "multiboot kernel",
	.cmdline = CMDLINE_WITH_NAME,
	.modules_max = BOOT_MODULES_MAX,
	.detect = multiboot_detect,
	.plan = multiboot_plan,
	.info = multiboot_info,
};
