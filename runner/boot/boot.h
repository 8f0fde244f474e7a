/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From files to a guest that can be entered: plan, then load.
 *
 * Planning reads headers, checks everything and decides where each part goes,
 * with no VM and no memory taken, so that a bad file costs nothing. Loading
 * fills a zeroed guest memory by the plan. A format is one file and one row in
 * loader.c; it places only its kernel, the rest is common.
 */
#ifndef RUNNER_BOOT_H
#define RUNNER_BOOT_H

#include <stdint.h>
#include <linux/vmm.h>
#include "../ram.h"
#include "image.h"

struct boot_source {
	struct image kernel;
	struct image initrd;	/* fd -1: none */
	const char *append;
	unsigned int cpus;
};

/* How a vCPU is entered. */
enum boot_mode {
	BOOT_LONG,		/* 64-bit, identity-mapped, RSI = info */
	BOOT_PROTECTED,		/* 32-bit, paging off, EBX = info */
};

struct boot_segment {
	uint64_t offset;	/* in the kernel file */
	uint64_t file_size;
	uint64_t gpa;
	uint64_t size;		/* in memory, zeros behind file_size */
};

/* A kernel has a handful; a table of more is none of a kernel. */
#define BOOT_SEGMENTS_MAX	16

struct boot_plan {
	const struct boot_format *format;
	enum boot_mode mode;
	uint64_t entry;
	uint64_t info;			/* gpa of the format's information */
	struct boot_segment segment[BOOT_SEGMENTS_MAX];
	unsigned int segments;
	uint64_t initrd_max;		/* highest address of the initrd's last byte */
	uint64_t cmdline_max;		/* characters, NUL not counted */

	/* decided by boot_plan() */
	uint64_t initrd;		/* gpa */
	uint64_t initrd_size;		/* 0: none */
	uint64_t cmdline_len;
	char cmdline[];			/* in the struct's tail, see boot_plan() */
};

struct boot_format {
	const char *name;
	/* Does the file's start, BOOT_MAGIC_SIZE bytes, look like one? */
	int (*detect)(const uint8_t *start);
	/* Fill the plan's first part. Complains. */
	enum status (*plan)(const struct image *kernel, struct boot_plan *plan);
	/* Write the information at plan->info. */
	enum status (*info)(const struct boot_plan *plan, const struct image *kernel,
			    const struct ram *ram);
};

/* Enough for the magic of every format. */
#define BOOT_MAGIC_SIZE	0x268

extern const struct boot_format boot_linux;
extern const struct boot_format boot_pvh;

/*
 * Check @source against a RAM that is only planned. On success *@plan is the
 * caller's to free().
 */
enum status boot_plan(const struct boot_source *source, const struct ram *ram,
		      struct boot_plan **plan);

/* Fill @ram, mapped and all zero: kernel, initrd, command line, ACPI, CPU tables. */
enum status boot_load(const struct boot_plan *plan, const struct boot_source *source,
		      const struct ram *ram);

/* The state of the vCPU that enters the kernel: sections REGS, SEGS, CTRL, EVENTS. */
void boot_cpu_state(const struct boot_plan *plan, struct vmm_state *state);

/* Write what that state refers to: GDT and page tables. */
enum status boot_cpu_tables(const struct boot_plan *plan, const struct ram *ram);

/*
 * Find the PVH entry of an ELF kernel and its segments (elf.c); the rest of the
 * plan is pvh.c's. Complains.
 */
enum status elf_plan(const struct image *kernel, struct boot_plan *plan);

/* Write the ACPI tables for @cpus processors at LAYOUT_ACPI; the RSDP is there. */
enum status acpi_load(const struct ram *ram, unsigned int cpus);

/* For a table that must lie in RAM: ram_at(), or a complaint. */
enum status boot_place(const struct ram *ram, const char *what, uint64_t gpa, uint64_t len,
		       void **to);

#endif /* RUNNER_BOOT_H */
