// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ELF kernels of either class: loadable segments by their physical addresses, the
 * note that names the PVH entry, and the header's entry. Facts: "Tool Interface
 * Standard (TIS) Portable Formats Specification"; ELF-64 Object File Format; Xen,
 * "ELF notes".
 *
 * Both classes are read into one form, then looked at. Every number of the file is
 * checked against the file, never trusted to be ordered, disjoint or sane.
 */
#include <elf.h>
#include <string.h>
#include "../layout.h"
#include "boot.h"

#define NOTE_OWNER	"Xen"
#define NOTE_PHYS32	18	/* XEN_ELFNOTE_PHYS32_ENTRY */

/* Linux has 5 program headers and some dozen notes. */
#define PHDRS_MAX	64
#define NOTES_MAX	256

/* What counts of the file's header. */
struct elf {
	bool wide;		/* ELFCLASS64 */
	uint64_t entry, phoff;
	uint32_t phentsize, phnum;
	uint32_t type, machine;
};

static enum status broken(const struct image *kernel, const char *why)
{
	complain("the kernel %s cannot be booted: %s; give an ELF kernel with a PVH entry or a "
		 "multiboot header", kernel->path, why);
	return STATUS_BAD_FILE;
}

static enum status read_ehdr32(const struct image *kernel, struct elf *elf)
{
	Elf32_Ehdr ehdr;
	enum status status = image_read(kernel, 0, &ehdr, sizeof(ehdr));

	if (!status)
		*elf = (struct elf) {
			.entry = ehdr.e_entry,
			.phoff = ehdr.e_phoff,
			.phentsize = ehdr.e_phentsize,
			.phnum = ehdr.e_phnum,
			.type = ehdr.e_type,
			.machine = ehdr.e_machine,
		};
	return status;
}

static enum status read_ehdr64(const struct image *kernel, struct elf *elf)
{
	Elf64_Ehdr ehdr;
	enum status status = image_read(kernel, 0, &ehdr, sizeof(ehdr));

	if (!status)
		*elf = (struct elf) {
			.wide = true,
			.entry = ehdr.e_entry,
			.phoff = ehdr.e_phoff,
			.phentsize = ehdr.e_phentsize,
			.phnum = ehdr.e_phnum,
			.type = ehdr.e_type,
			.machine = ehdr.e_machine,
		};
	return status;
}

static size_t phdr_size(const struct elf *elf)
{
	return elf->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
}

static enum status read_ehdr(const struct image *kernel, struct elf *elf)
{
	uint8_t ident[EI_NIDENT];
	enum status status = image_read(kernel, 0, ident, sizeof(ident));

	if (status)
		return status;
	if (ident[EI_CLASS] != ELFCLASS32 && ident[EI_CLASS] != ELFCLASS64)
		return broken(kernel, "it is of no known class");
	if (ident[EI_DATA] != ELFDATA2LSB)
		return broken(kernel, "it is not for x86");
	status = ident[EI_CLASS] == ELFCLASS64 ? read_ehdr64(kernel, elf) :
						 read_ehdr32(kernel, elf);
	if (status)
		return status;
	if (elf->machine != EM_X86_64 && elf->machine != EM_386)
		return broken(kernel, "it is not for x86");
	if (elf->type != ET_EXEC && elf->type != ET_DYN)
		return broken(kernel, "it is not a linked program");
	if (elf->phentsize != phdr_size(elf) || !elf->phnum || elf->phnum > PHDRS_MAX)
		return broken(kernel, "its program headers are not usable");
	if (!image_has(kernel, elf->phoff, elf->phnum * phdr_size(elf)))
		return broken(kernel, "the file is truncated");
	return STATUS_OK;
}

/* Program header @i; the wide form holds both. */
static enum status read_phdr(const struct image *kernel, const struct elf *elf, unsigned int i,
			     Elf64_Phdr *phdr)
{
	uint64_t offset = elf->phoff + i * phdr_size(elf);
	enum status status;
	Elf32_Phdr narrow;

	if (elf->wide)
		return image_read(kernel, offset, phdr, sizeof(*phdr));
	status = image_read(kernel, offset, &narrow, sizeof(narrow));
	if (!status)
		*phdr = (Elf64_Phdr) {
			.p_type = narrow.p_type,
			.p_offset = narrow.p_offset,
			.p_vaddr = narrow.p_vaddr,
			.p_paddr = narrow.p_paddr,
			.p_filesz = narrow.p_filesz,
			.p_memsz = narrow.p_memsz,
			.p_align = narrow.p_align,
		};
	return status;
}

/* ---- segments ---- */

static enum status add_segment(const struct image *kernel, const Elf64_Phdr *phdr,
			       struct boot_plan *plan)
{
	if (!phdr->p_memsz)
		return STATUS_OK;
	if (plan->segments == BOOT_SEGMENTS_MAX)
		return broken(kernel, "it has too many segments");
	if (phdr->p_filesz > phdr->p_memsz || phdr->p_memsz > LAYOUT_HOLE_END ||
	    phdr->p_paddr > LAYOUT_HOLE_END)
		return broken(kernel, "a segment is not below 4 GiB");
	if (!image_has(kernel, phdr->p_offset, phdr->p_filesz))
		return broken(kernel, "the file is truncated");
	plan->segment[plan->segments++] = (struct boot_segment) {
		.offset = phdr->p_offset,
		.file_size = phdr->p_filesz,
		.gpa = phdr->p_paddr,
		.size = phdr->p_memsz,
	};
	return STATUS_OK;
}

static bool is_loaded(const struct boot_plan *plan, uint64_t gpa)
{
	for (unsigned int i = 0; i < plan->segments; i++) {
		const struct boot_segment *seg = &plan->segment[i];

		if (gpa >= seg->gpa && gpa - seg->gpa < seg->file_size)
			return true;
	}
	return false;
}

/* ---- notes ---- */

struct note {
	Elf64_Nhdr hdr;			/* both classes have the same */
	uint64_t name, desc, next;	/* offsets in the file */
};

static uint64_t align_up(uint64_t n, uint64_t align)
{
	return (n + align - 1) & ~(align - 1);
}

/* The note at @offset of a segment that ends at @end; both are inside the file. */
static enum status read_note(const struct image *kernel, uint64_t offset, uint64_t end,
			     uint64_t align, struct note *note)
{
	enum status status;

	if (end - offset < sizeof(note->hdr))
		return broken(kernel, "a note is truncated");
	status = image_read(kernel, offset, &note->hdr, sizeof(note->hdr));
	if (status)
		return status;
	/* Sums of the file's size and two 32-bit lengths: no overflow. */
	note->name = offset + sizeof(note->hdr);
	note->desc = note->name + align_up(note->hdr.n_namesz, align);
	note->next = note->desc + align_up(note->hdr.n_descsz, align);
	if (note->desc + note->hdr.n_descsz > end)
		return broken(kernel, "a note is longer than its segment");
	return STATUS_OK;
}

/* If @note names the PVH entry, put it into @entry. */
static enum status take_entry(const struct image *kernel, const struct note *note, uint64_t *entry)
{
	char owner[sizeof(NOTE_OWNER)];
	uint64_t value = 0;
	enum status status;

	if (note->hdr.n_type != NOTE_PHYS32 || note->hdr.n_namesz != sizeof(owner))
		return STATUS_OK;
	status = image_read(kernel, note->name, owner, sizeof(owner));
	if (status || memcmp(owner, NOTE_OWNER, sizeof(owner)))
		return status;
	if (note->hdr.n_descsz != 4 && note->hdr.n_descsz != 8)
		return broken(kernel, "its PVH entry has an odd size");
	status = image_read(kernel, note->desc, &value, note->hdr.n_descsz);
	*entry = value;
	return status;
}

static enum status scan_notes(const struct image *kernel, const Elf64_Phdr *phdr, uint64_t *entry)
{
	uint64_t align = phdr->p_align == 8 ? 8 : 4;
	uint64_t offset = phdr->p_offset;
	uint64_t end;

	if (!image_has(kernel, phdr->p_offset, phdr->p_filesz))
		return broken(kernel, "the file is truncated");
	end = phdr->p_offset + phdr->p_filesz;
	for (unsigned int i = 0; i < NOTES_MAX && offset < end; i++) {
		struct note note;
		enum status status = read_note(kernel, offset, end, align, &note);

		if (!status)
			status = take_entry(kernel, &note, entry);
		if (status)
			return status;
		offset = note.next;
	}
	return STATUS_OK;
}

/* ---- the two ways to enter ---- */

enum status elf_plan_pvh(const struct image *kernel, struct boot_plan *plan)
{
	uint64_t entry = 0;
	struct elf elf;
	enum status status = read_ehdr(kernel, &elf);

	for (unsigned int i = 0; !status && i < elf.phnum; i++) {
		Elf64_Phdr phdr;

		status = read_phdr(kernel, &elf, i, &phdr);
		if (!status && phdr.p_type == PT_LOAD)
			status = add_segment(kernel, &phdr, plan);
		else if (!status && phdr.p_type == PT_NOTE)
			status = scan_notes(kernel, &phdr, &entry);
	}
	if (status)
		return status;
	if (!entry)
		return broken(kernel, "it has no PVH entry");
	if (!is_loaded(plan, entry))
		return broken(kernel, "its PVH entry is outside its segments");
	plan->entry = entry;
	return STATUS_OK;
}

enum status elf_plan_entry(const struct image *kernel, struct boot_plan *plan)
{
	struct elf elf;
	enum status status = read_ehdr(kernel, &elf);

	if (!status)
		plan->entry = elf.entry;
	for (unsigned int i = 0; !status && i < elf.phnum; i++) {
		Elf64_Phdr phdr;

		status = read_phdr(kernel, &elf, i, &phdr);
		if (status || phdr.p_type != PT_LOAD)
			continue;
		status = add_segment(kernel, &phdr, plan);
		/* Linked to run elsewhere: the address is made a physical one. */
		if (elf.entry >= phdr.p_vaddr && elf.entry - phdr.p_vaddr < phdr.p_filesz)
			plan->entry = elf.entry - phdr.p_vaddr + phdr.p_paddr;
	}
	if (status)
		return status;
	return is_loaded(plan, plan->entry) ? STATUS_OK :
					      broken(kernel, "its entry is outside its segments");
}
