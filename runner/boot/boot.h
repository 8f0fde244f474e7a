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

/* How a vCPU is entered. */
enum boot_mode {
	BOOT_LONG,		/* 64-bit, identity-mapped, RSI = info */
	BOOT_PROTECTED,		/* 32-bit, paging off, EBX = info */
	BOOT_LINUX32,		/* the same, ESI = info */
	BOOT_MULTIBOOT,		/* the same, EBX = info, EAX = a magic number */
	BOOT_REAL,		/* CS 0 where that reaches the entry */
	BOOT_RESET,		/* as a CPU is after its reset */
};

/* A file for the kernel beside its own. */
struct boot_module {
	struct image image;
	const char *args;	/* "": none */
	bool initrd;		/* given as that; a bzImage has no other */
};

/* GRUB's users have a dozen at most; nobody has more, and tables of them are small. */
#define BOOT_MODULES_MAX	16

/* Of a flat image: where it goes, where and how it is entered. */
struct boot_flat {
	uint64_t addr, entry;
	enum boot_mode mode;	/* REAL, PROTECTED, LONG */
};

enum boot_kind {
	BOOT_KERNEL,		/* the file says what it is */
	BOOT_FLAT,
	BOOT_FIRMWARE,
};

struct boot_source {
	enum boot_kind kind;
	struct image kernel;	/* of any kind */
	struct boot_flat flat;	/* of BOOT_FLAT */
	struct boot_module module[BOOT_MODULES_MAX];
	unsigned int modules;
	const char *append;	/* NULL: what suits the format */
	uint64_t tsc_khz;	/* the guest's; 0: not known yet, boot_plan_tsc() */
	bool tsc_in_cpuid;	/* any Linux finds it there */
	unsigned int cpus;
	unsigned int max_cpus;	/* CPUs may come and go; 0: those are all */
	unsigned int virtio_mmio;	/* devices; 0: there is a PCI bus instead */
	bool device_tree;	/* a bzImage gets one, beside the ACPI tables */
	bool mailbox;		/* CPUs are started by ACPI's mailbox: devices/mailbox.c */
};

struct boot_segment {
	uint64_t offset;	/* in the kernel file */
	uint64_t file_size;
	uint64_t gpa;
	uint64_t size;		/* in memory, zeros behind file_size */
};

/* A kernel has a handful; a table of more is none of a kernel. */
#define BOOT_SEGMENTS_MAX	16

/* Where things that the CPU and the kernel find are: gpa of each. */
struct boot_layout {
	uint64_t gdt;
	uint64_t page_tables;		/* six pages */
	uint64_t cmdline;
};

/*
 * Linux and PVH kernels are loaded high and get the first page frames; the others
 * may want these for themselves and get the end of low memory.
 */
extern const struct boot_layout boot_layout_bottom, boot_layout_top;

struct boot_range {
	uint64_t gpa;
	uint64_t size;
};

struct boot_plan {
	const struct boot_format *format;
	const struct boot_layout *layout;
	enum boot_mode mode;
	uint64_t entry;
	uint64_t info;			/* gpa of the format's information */
	struct boot_segment segment[BOOT_SEGMENTS_MAX];
	unsigned int segments;
	uint64_t low_end;		/* segments below 1 MiB end here; 0: there are none */
	uint64_t module_max;		/* highest address of a module's last byte */
	bool modules_up;		/* they go behind the kernel, else as high as may be */
	uint64_t cmdline_max;		/* characters, NUL not counted */

	/* decided by boot_plan() */
	struct boot_range module[BOOT_MODULES_MAX];
	uint64_t cmdline_len;
	char cmdline[];			/* in the struct's tail, see boot_plan() */
};

/* What a kernel's command line is made of. */
enum boot_cmdline {
	CMDLINE_NONE,		/* it has none */
	CMDLINE_LINUX,		/* the user's, and words that Linux wants */
	CMDLINE_WITH_NAME,	/* the file's name, then the user's */
};

struct boot_format {
	const char *name;
	enum boot_cmdline cmdline;
	unsigned int modules_max;
	/* Does the file's start, BOOT_MAGIC_SIZE bytes, look like one? NULL: not asked. */
	int (*detect)(const uint8_t *start);
	/* Fill the plan's first part. Complains. */
	enum status (*plan)(const struct boot_source *source, struct boot_plan *plan);
	/* Write the information at plan->info. */
	enum status (*info)(const struct boot_plan *plan, const struct boot_source *source,
			    const struct ram *ram);
};

/* Enough for the magic of every format: multiboot's may be anywhere in it. */
#define BOOT_MAGIC_SIZE	8192

extern const struct boot_format boot_linux;
extern const struct boot_format boot_multiboot;
extern const struct boot_format boot_pvh;
extern const struct boot_format boot_flat;
extern const struct boot_format boot_firmware;

/*
 * Check @source against a RAM that is only planned. On success *@plan is the
 * caller's to free().
 */
enum status boot_plan(const struct boot_source *source, const struct ram *ram,
		      struct boot_plan **plan);

/* Say the TSC's frequency, @source->tsc_khz, to a Linux that has no other way to know it. */
enum status boot_plan_tsc(struct boot_plan *plan, const struct boot_source *source);

/* Fill @ram, mapped and all zero: kernel, initrd, command line, ACPI, CPU tables. */
enum status boot_load(const struct boot_plan *plan, const struct boot_source *source,
		      const struct ram *ram);

/* The state of the vCPU that enters the kernel: sections REGS, SEGS, CTRL, EVENTS. */
void boot_cpu_state(const struct boot_plan *plan, struct vmm_state *state);

/*
 * The state of a vCPU that ACPI's mailbox starts at @vector: 64-bit mode, interrupts off, flat
 * segments, the first 4 GiB identity-mapped by tables in reserved memory. Same sections.
 */
void boot_wakeup_state(uint64_t vector, struct vmm_state *state);

/* Write what that state refers to. */
enum status boot_wakeup_tables(const struct ram *ram);

/* Write what the state of boot_cpu_state() refers to: GDT and page tables. */
enum status boot_cpu_tables(const struct boot_plan *plan, const struct ram *ram);

/*
 * The segments of an ELF kernel and its entry (elf.c), that of the PVH note or that
 * of the header; the rest of the plan is the caller's. Complain.
 */
enum status elf_plan_pvh(const struct image *kernel, struct boot_plan *plan);
enum status elf_plan_entry(const struct image *kernel, struct boot_plan *plan);

/*
 * Write the BIOS data area (bda.c): the first serial port and how much memory is
 * below 1 MiB. What the plan loads there stays.
 */
enum status bda_load(const struct boot_plan *plan, const struct ram *ram);

/* What the ACPI tables tell of: as in struct boot_source. */
struct acpi_machine {
	unsigned int cpus, max_cpus;
	unsigned int virtio_mmio;
	bool mailbox;		/* CPUs are started by it */
};

/* What makes the bytes of a table add up to 0, as ACPI's and the MP table's do. */
static inline uint8_t boot_checksum(const void *data, size_t len)
{
	const uint8_t *byte = data;
	uint8_t sum = 0;

	while (len--)
		sum += *byte++;
	return -sum;
}

/* Write the ACPI tables at LAYOUT_ACPI, where the RSDP is. Complains. */
enum status acpi_load(const struct ram *ram, const struct acpi_machine *machine);

/*
 * Write the MultiProcessor Specification's table of @cpus CPUs and the I/O APIC's lines at
 * LAYOUT_MP (mptable.c). Complains.
 */
enum status mp_load(const struct ram *ram, unsigned int cpus);

/*
 * Write a device tree of the machine at LAYOUT_DT, as struct setup_data (dt.c). STATUS_NO_ROOM
 * if it is larger than its place, as a long command line makes it. Complains.
 */
enum status dt_load(const struct boot_plan *plan, const struct boot_source *source,
		    const struct ram *ram);

/* For a table that must lie in RAM: ram_at(), or a complaint. */
enum status boot_place(const struct ram *ram, const char *what, uint64_t gpa, uint64_t len,
		       void **to);

#endif /* RUNNER_BOOT_H */
