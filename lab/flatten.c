// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * flatten VMLINUZ: writes the packed kernel of that bzImage to standard output.
 * flatten VMLINUZ ELF LOADER: writes a bzImage that is VMLINUZ but for having nothing to
 * unpack: behind the real-mode part comes LOADER (flatten.S), then the
 * memory that the segments of ELF, the unpacked kernel, describe. Unpacking is up to half of
 * the instructions of a boot. Such a kernel runs where it was linked to.
 */
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fields of the boot protocol's header */
#define SETUP_SECTORS	0x1f1
#define SYSTEM_SIZE	0x1f4	/* in 16 bytes */
#define RELOCATABLE	0x234
#define LOAD_FLAGS	0x236	/* entry points that LOADER has not */
#define PAYLOAD		0x248	/* offset and size */

#define LOADER_SIZE	4096
#define LOADER_WORDS	8	/* where the loader has the next */

enum {
	IMAGE_TO,
	IMAGE_SIZE,
	IMAGE_ENTRY,
	NR_WORDS,
};

struct file {
	uint8_t *data;
	size_t size;
};

static void die(const char *what)
{
	fprintf(stderr, "flatten: %s\n", what);
	exit(1);
}

static struct file read_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct file file = { 0 };
	long size;

	if (!f || fseek(f, 0, SEEK_END))
		die(path);
	size = ftell(f);
	if (size < 0)
		die(path);
	rewind(f);
	file.size = size;
	file.data = malloc(size + 1);
	if (!file.data || fread(file.data, 1, file.size, f) != file.size)
		die(path);
	fclose(f);
	return file;
}

/* Physical memory as the segments fill it; a multiple of 16 bytes. */
static struct file image_of(const struct file *elf, uint32_t words[NR_WORDS])
{
	const Elf64_Ehdr *header = (const void *)elf->data;
	const Elf64_Phdr *segments = (const void *)(elf->data + header->e_phoff);
	uint64_t low = UINT64_MAX, high = 0;
	struct file image;

	if (elf->size < sizeof(*header) || memcmp(header->e_ident, ELFMAG, SELFMAG) ||
	    header->e_phoff + header->e_phnum * sizeof(*segments) > elf->size)
		die("no kernel in there");
	for (int i = 0; i < header->e_phnum; i++) {
		const Elf64_Phdr *s = &segments[i];

		if (s->p_type != PT_LOAD)
			continue;
		if (s->p_offset + s->p_filesz > elf->size)
			die("a segment is missing");
		low = s->p_paddr < low ? s->p_paddr : low;
		high = s->p_paddr + s->p_filesz > high ? s->p_paddr + s->p_filesz : high;
	}
	if (header->e_entry < low || header->e_entry >= high || high >> 31)
		die("not a kernel's addresses");
	image.size = (high - low + 15) & ~15UL;
	image.data = calloc(1, image.size);
	if (!image.data)
		die("no memory");
	for (int i = 0; i < header->e_phnum; i++)
		if (segments[i].p_type == PT_LOAD)
			memcpy(image.data + segments[i].p_paddr - low,
			       elf->data + segments[i].p_offset, segments[i].p_filesz);
	words[IMAGE_TO] = low;
	words[IMAGE_SIZE] = image.size;
	words[IMAGE_ENTRY] = header->e_entry;
	return image;
}

static void write_all(const void *data, size_t size)
{
	if (fwrite(data, 1, size, stdout) != size)
		die("cannot write");
}

/* The kernel as it is packed, without the size that follows it. */
static void write_payload(const struct file *bzimage, size_t start)
{
	uint32_t payload[2];

	memcpy(payload, bzimage->data + PAYLOAD, sizeof(payload));
	start += payload[0];
	if (payload[1] < 4 || start + payload[1] > bzimage->size)
		die("no payload");
	write_all(bzimage->data + start, payload[1] - 4);
}

static void write_flat(struct file *bzimage, size_t start, const char *elf_path,
		       const char *loader_path)
{
	struct file elf = read_file(elf_path), loader = read_file(loader_path), image;
	uint32_t words[NR_WORDS], units;

	if (loader.size != LOADER_SIZE)
		die("another loader");
	image = image_of(&elf, words);
	memcpy(loader.data + LOADER_WORDS, words, sizeof(words));
	units = (LOADER_SIZE + image.size) / 16;
	memcpy(bzimage->data + SYSTEM_SIZE, &units, sizeof(units));
	bzimage->data[RELOCATABLE] = 0;
	memset(bzimage->data + LOAD_FLAGS, 0, 2);
	memset(bzimage->data + PAYLOAD, 0, 8);
	write_all(bzimage->data, start);
	write_all(loader.data, LOADER_SIZE);
	write_all(image.data, image.size);
}

int main(int argc, char **argv)
{
	struct file bzimage;
	size_t start;

	if (argc != 2 && argc != 4)
		die("usage: flatten VMLINUZ [ELF LOADER]");
	bzimage = read_file(argv[1]);
	if (bzimage.size < PAYLOAD + 8)
		die("no bzImage");
	start = 512 * (bzimage.data[SETUP_SECTORS] + 1);
	if (start > bzimage.size)
		die("no bzImage");
	if (argc == 2)
		write_payload(&bzimage, start);
	else
		write_flat(&bzimage, start, argv[2], argv[3]);
	if (fflush(stdout))
		die("cannot write");
	return 0;
}
