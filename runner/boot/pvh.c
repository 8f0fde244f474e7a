// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An ELF kernel through the PVH entry. Facts: Xen documentation, "x86/HVM direct
 * boot ABI": 32-bit protected mode without paging, EBX at struct hvm_start_info,
 * whose layout the structs below restate.
 */
#include <elf.h>
#include <string.h>
#include "../layout.h"
#include "boot.h"

#define START_INFO_MAGIC	0x336ec578
#define START_INFO_VERSION	1		/* with the memory map */

struct start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist;
	uint64_t cmdline;
	uint64_t rsdp;
	uint64_t memmap;
	uint32_t memmap_entries;
	uint32_t reserved;
};

struct module {
	uint64_t start;
	uint64_t size;
	uint64_t cmdline;
	uint64_t reserved;
};

struct memmap_entry {
	uint64_t start;
	uint64_t size;
	uint32_t type;		/* as E820 numbers them */
	uint32_t reserved;
};

_Static_assert(sizeof(struct start_info) == 56, "as the ABI has it");
_Static_assert(sizeof(struct module) == 32, "as the ABI has it");
_Static_assert(sizeof(struct memmap_entry) == 24, "as the ABI has it");

/* All that EBX leads to, in one piece. */
struct info {
	struct start_info start;
	struct module module[BOOT_MODULES_MAX];
	struct memmap_entry memmap[RAM_RANGES_MAX];
};

static int pvh_detect(const uint8_t *start)
{
	return !memcmp(start, ELFMAG, SELFMAG);
}

static enum status pvh_plan(const struct boot_source *source, struct boot_plan *plan)
{
	plan->mode = BOOT_PROTECTED;
	plan->info = LAYOUT_START_INFO;
	plan->layout = &boot_layout_bottom;
	plan->module_max = LAYOUT_HOLE_END - 1;
	plan->cmdline_max = LAYOUT_CMDLINE_MAX - 1;
	return elf_plan_pvh(&source->kernel, plan);
}

/* A module's arguments are not passed on: no kernel known asks for them. */
static enum status pvh_info(const struct boot_plan *plan, const struct boot_source *source,
			    const struct ram *ram)
{
	struct info info = {
		.start = {
			.magic = START_INFO_MAGIC,
			.version = START_INFO_VERSION,
			.cmdline = LAYOUT_CMDLINE,
			.rsdp = LAYOUT_ACPI,
			.memmap = plan->info + offsetof(struct info, memmap),
		},
	};
	struct ram_range range[RAM_RANGES_MAX];
	enum status status;
	void *to;

	info.start.memmap_entries = ram_ranges(ram, range);
	for (unsigned int i = 0; i < info.start.memmap_entries; i++)
		info.memmap[i] = (struct memmap_entry) {
			.start = range[i].start,
			.size = range[i].size,
			.type = range[i].type,
		};
	info.start.nr_modules = source->modules;
	if (source->modules)
		info.start.modlist = plan->info + offsetof(struct info, module);
	for (unsigned int i = 0; i < source->modules; i++) {
		info.module[i].start = plan->module[i].gpa;
		info.module[i].size = plan->module[i].size;
	}
	status = boot_place(ram, "start information", plan->info, sizeof(info), &to);
	if (!status)
		memcpy(to, &info, sizeof(info));
	return status;
}

const struct boot_format boot_pvh = {
	.name = "ELF with PVH entry",
	.cmdline = CMDLINE_LINUX,
	.modules_max = BOOT_MODULES_MAX,
	.detect = pvh_detect,
	.plan = pvh_plan,
	.info = pvh_info,
};
