// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Multiboot kernels, flat images and firmware: what a plan puts where, and that a
 * crafted header is refused. The rest of the loaders is in runner_boot_test.c.
 */
/* unit-sources: ../runner/boot/loader.c ../runner/boot/image.c ../runner/boot/linux.c */
/* unit-sources: ../runner/boot/elf.c ../runner/boot/pvh.c ../runner/boot/cpu.c */
/* unit-sources: ../runner/boot/multiboot.c ../runner/boot/flat.c ../runner/boot/bda.c */
/* unit-sources: ../runner/boot/acpi_cpus.c */
/* unit-sources: ../runner/boot/acpi.c ../runner/boot/aml.c ../runner/boot/dt.c */
/* unit-sources: ../runner/boot/mptable.c ../runner/ram.c */
/* unit-libs: -lfdt */
/* unit-flags: -D_GNU_SOURCE */
#include <elf.h>
#include "boot_world.h"

#define MAGIC		0x1badb002
#define HEADER_AT	0x40
#define LOAD_AT		0x100000
#define FILE_SIZE	0x3000

/* A flat file whose header has its addresses. */
static struct {
	uint32_t before[HEADER_AT / 4];
	uint32_t magic, flags, checksum;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
	uint8_t code[FILE_SIZE - HEADER_AT - 32];
} kludge;

static void make_kludge(void)
{
	memset(&kludge, 0xcc, sizeof(kludge));
	kludge.magic = MAGIC;
	kludge.flags = 0x10003;
	kludge.header_addr = LOAD_AT + HEADER_AT;
	kludge.load_addr = LOAD_AT;
	kludge.load_end_addr = LOAD_AT + 0x2000;
	kludge.bss_end_addr = LOAD_AT + 0x5000;
	kludge.entry_addr = LOAD_AT + 0x100;
}

static enum status plan_kludge(void)
{
	kludge.checksum = -(kludge.magic + kludge.flags);
	set_kernel(&kludge, sizeof(kludge));
	return plan_for(64 * MIB);
}

static void add_module(const char *name, const char *args, uint64_t size)
{
	struct boot_module *module = &source.module[source.modules++];

	module->args = args;
	put_file(&module->image, name, name, strlen(name));
	if (ftruncate(module->image.fd, size))
		abort();
	module->image.size = size;
}

static void drop_modules(void)
{
	while (source.modules)
		image_close(&source.module[--source.modules].image);
}

static uint32_t read_u32(uint64_t gpa)
{
	return read_u64(gpa);
}

static const char *text_at(uint64_t gpa)
{
	const char *text = ram_at(&ram, gpa, 256);

	return text ? text : "(nowhere)";
}

static void test_information(void)
{
	struct vmm_state state;
	uint64_t info;

	make_kludge();
	kludge.checksum = -(kludge.magic + kludge.flags);
	set_kernel(&kludge, sizeof(kludge));
	source.append = "one two";
	add_module("first", "", 5000);
	add_module("second", "with words", 7);
	if (!is(load(64 * MIB), STATUS_OK, "a multiboot kernel is loaded"))
		return;
	is(read_u32(LOAD_AT + HEADER_AT), MAGIC, "where its header says");
	is(read_u32(LOAD_AT + 0x1ffc), 0xcccccccc, "up to the end of its load");
	is(read_u32(LOAD_AT + 0x2000), 0, "behind which are zeros");
	boot_cpu_state(plan, &state);
	info = state.regs.rbx;
	is(state.regs.rax, 0x2badb002, "EAX has the loader's magic");
	is(state.regs.rip, LOAD_AT + 0x100, "RIP is the entry");
	is(state.ctrl.cr0, 0x11, "protected mode without paging");
	is(state.segs.seg[VMM_CS].attr, 0xc09b, "32-bit code");
	is(read_u64(state.segs.gdt.base + 0x10), 0x00cf9b000000ffff, "in the GDT as well");
	is(state.segs.idt.base, 0, "IDTR is real mode's");
	is(state.segs.idt.limit, 0xffff, "and reaches all its vectors");
	is(read_u32(0x400), 0x3f8, "the BIOS data area has COM1");
	is(read_u32(0x40e) & 0xffff, 0, "no EBDA");
	is(read_u32(0x413) & 0xffff, 640, "and 640 KiB");
	is(read_u32(info), 0x24d, "memory, command line, modules, map and name are given");
	is(read_u32(info + 4), 640, "KiB of low memory");
	is(read_u32(info + 8), 63 * 1024, "KiB from 1 MiB");
	is_str(text_at(read_u32(info + 16)), "kernel one two", "the command line");
	is(read_u32(info + 20), 2, "two modules");
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t module = read_u32(info + 24) + i * 16;

		is(read_u32(module), plan->module[i].gpa, "module %u: start", i);
		is(read_u32(module + 4), plan->module[i].gpa + (i ? 7 : 5000), "end");
		is(read_u32(module) % 4096, 0, "on a page");
		is_str(text_at(read_u32(module + 8)), i ? "second with words" : "first", "string");
		ok(!memcmp(text_at(read_u32(module)), i ? "second" : "first", 5), "contents");
	}
	is(plan->module[0].gpa, LOAD_AT + 0x5000, "modules are behind the kernel's memory");
	is(plan->module[1].gpa, LOAD_AT + 0x7000, "one behind the other");
	is(read_u32(info + 44), 3 * 24, "a map of three ranges");
	is(read_u32(read_u32(info + 48) + 24), 20, "each with its size");
	is(read_u64(read_u32(info + 48) + 24 + 4), 0xa0000, "the second is the PC's");
	is_str(text_at(read_u32(info + 64)), "vmm", "the loader's name");
	is(load(LOAD_AT + 0x7000), STATUS_NO_ROOM, "modules need their memory");
	refusals++;
	drop_modules();
}

static void test_modules_max(void)
{
	static char args[0x9000];

	make_kludge();
	memset(args, 'a', sizeof(args) - 1);
	add_module("long", args, 1);
	is(plan_kludge(), STATUS_NO_ROOM, "arguments longer than their place");
	drop_modules();
	for (unsigned int i = 0; i < BOOT_MODULES_MAX; i++)
		add_module("many", "", 1);
	is(plan_kludge(), STATUS_OK, "as many modules as there may be");
	drop_modules();
}

static void test_kludge_broken(void)
{
	static const struct {
		const char *what;
		enum status status;
		size_t at;
		uint32_t value;
	} cases[] = {
#define AT(member) offsetof(typeof(kludge), member)
		{ "a video mode, which is not demanded", STATUS_OK, AT(flags), 0x10007 },
		{ "a demand unknown", STATUS_BAD_FILE, AT(flags), 0x1000b },
		{ "a wish unknown", STATUS_OK, AT(flags), 0x30003 },
		{ "no end", STATUS_OK, AT(load_end_addr), 0 },
		{ "no memory behind the file", STATUS_OK, AT(bss_end_addr), 0 },
		{ "a header before the load", STATUS_BAD_FILE, AT(header_addr), LOAD_AT - 4 },
		{ "a load before the file", STATUS_BAD_FILE, AT(load_addr), LOAD_AT - 4 },
		{ "an end before the start", STATUS_BAD_FILE, AT(load_end_addr), LOAD_AT },
		{ "an end behind the file", STATUS_BAD_FILE, AT(load_end_addr),
		  LOAD_AT + FILE_SIZE + 1 },
		{ "an end at the top", STATUS_BAD_FILE, AT(load_end_addr), UINT32_MAX },
		{ "memory that ends in the file", STATUS_BAD_FILE, AT(bss_end_addr),
		  LOAD_AT + 0x1fff },
		{ "memory to the top", STATUS_NO_ROOM, AT(bss_end_addr), UINT32_MAX },
		{ "an entry before the code", STATUS_BAD_FILE, AT(entry_addr), LOAD_AT - 1 },
		{ "an entry behind the file", STATUS_BAD_FILE, AT(entry_addr), LOAD_AT + 0x2000 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make_kludge();
		memcpy((uint8_t *)&kludge + cases[i].at, &cases[i].value, sizeof(uint32_t));
		is(plan_kludge(), cases[i].status, "header: %s", cases[i].what);
	}
	/* The whole moves to where the loader's own things or the PC's hole are. */
	for (uint32_t at = 0; at < LOAD_AT; at += 0x10000) {
		bool fits = at + 0x5000 <= 0x80000;

		make_kludge();
		kludge.header_addr = at + HEADER_AT;
		kludge.load_addr = at;
		kludge.load_end_addr = at + 0x2000;
		kludge.bss_end_addr = at + 0x5000;
		kludge.entry_addr = at + 0x100;
		is(plan_kludge(), fits ? STATUS_OK : STATUS_BAD_FILE, "loaded at %#x", at);
	}
	make_kludge();
	kludge.checksum = 1;
	set_kernel(&kludge, sizeof(kludge));
	is(plan_for(64 * MIB), STATUS_BAD_FILE, "a header with a bad sum is none");
}

/* The header at each place: the first 8,192 bytes, on a multiple of 4. */
static void test_search(void)
{
	static uint8_t file[3 * 8192];
	static const struct {
		size_t at;
		enum status status;
	} cases[] = {
		{ 0, STATUS_OK }, { 4, STATUS_OK }, { 2, STATUS_BAD_FILE },
		{ 8192 - 32, STATUS_OK }, { 8192 - 12, STATUS_BAD_FILE },
		{ 8192 - 8, STATUS_BAD_FILE }, { 8192, STATUS_BAD_FILE },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t header[] = { MAGIC, 0x10000, -(MAGIC + 0x10000), LOAD_AT + cases[i].at,
				      LOAD_AT, 0, 0, LOAD_AT };

		memset(file, 0, sizeof(file));
		memcpy(file + cases[i].at, header, sizeof(header));
		set_kernel(file, sizeof(file));
		is(plan_for(64 * MIB), cases[i].status, "a header at %zu", cases[i].at);
	}
}

/* ---- ELF ---- */

static union {
	struct {
		Elf32_Ehdr ehdr;
		Elf32_Phdr phdr[2];
	} narrow;
	struct {
		Elf64_Ehdr ehdr;
		Elf64_Phdr phdr[2];
	} wide;
	uint8_t bytes[0x3000];
} elf;

#define FILL(e, class, machine, virtual) do {						\
	memset(&elf, 0, sizeof(elf));							\
	memcpy((e).ehdr.e_ident, ELFMAG, SELFMAG);					\
	(e).ehdr.e_ident[EI_CLASS] = class;						\
	(e).ehdr.e_ident[EI_DATA] = ELFDATA2LSB;					\
	(e).ehdr.e_type = ET_EXEC;							\
	(e).ehdr.e_machine = machine;							\
	(e).ehdr.e_phoff = sizeof((e).ehdr);						\
	(e).ehdr.e_phentsize = sizeof((e).phdr[0]);					\
	(e).ehdr.e_phnum = 2;								\
	(e).ehdr.e_entry = (virtual) + 0x10;						\
	(e).phdr[0].p_type = (e).phdr[1].p_type = PT_LOAD;				\
	(e).phdr[0].p_offset = 0x1000;							\
	(e).phdr[0].p_vaddr = virtual;							\
	(e).phdr[0].p_paddr = LOAD_AT;							\
	(e).phdr[0].p_filesz = 0x1000;							\
	(e).phdr[0].p_memsz = 0x2000;							\
	(e).phdr[1].p_offset = 0x2000;							\
	(e).phdr[1].p_vaddr = (virtual) + 0x2000;					\
	(e).phdr[1].p_paddr = LOAD_AT + 0x2000;						\
	(e).phdr[1].p_filesz = (e).phdr[1].p_memsz = 0x100;				\
	memcpy(elf.bytes + 0x1000, (uint32_t []) { MAGIC, 0, -MAGIC }, 12);		\
} while (0)

static enum status plan_elf(void)
{
	set_kernel(&elf, sizeof(elf));
	return plan_for(64 * MIB);
}

static void test_elf(void)
{
	FILL(elf.narrow, ELFCLASS32, EM_386, LOAD_AT);
	is(plan_elf(), STATUS_OK, "ELF of 32 bits");
	is(plan->mode, BOOT_MULTIBOOT, "is entered as a multiboot kernel");
	is(plan->entry, LOAD_AT + 0x10, "at the header's entry");
	is(plan->segments, 2, "with its segments");
	FILL(elf.narrow, ELFCLASS32, EM_386, 0xc0100000);
	is(plan_elf(), STATUS_OK, "ELF that is linked to run elsewhere");
	is(plan->entry, LOAD_AT + 0x10, "is entered at the physical address");
	FILL(elf.wide, ELFCLASS64, EM_X86_64, LOAD_AT);
	is(plan_elf(), STATUS_OK, "ELF of 64 bits");
	is(plan->mode, BOOT_MULTIBOOT, "is entered in 32-bit mode as well");
	is(plan->entry, LOAD_AT + 0x10, "at the header's entry");
	FILL(elf.wide, ELFCLASS64, EM_X86_64, 0xffffffff80100000);
	is(plan_elf(), STATUS_OK, "ELF of 64 bits, linked to run elsewhere");
	is(plan->entry, LOAD_AT + 0x10, "is entered at the physical address");

	FILL(elf.narrow, ELFCLASS32, EM_ARM, LOAD_AT);
	is(plan_elf(), STATUS_BAD_FILE, "ELF for another machine");
	FILL(elf.narrow, ELFCLASS32, EM_386, LOAD_AT);
	elf.narrow.ehdr.e_phentsize = sizeof(Elf64_Phdr);
	is(plan_elf(), STATUS_BAD_FILE, "ELF with the other class's headers");
	FILL(elf.narrow, ELFCLASS32, EM_386, LOAD_AT);
	elf.narrow.ehdr.e_entry = LOAD_AT + 0x1000;
	is(plan_elf(), STATUS_BAD_FILE, "ELF with its entry in zeros");
	FILL(elf.narrow, ELFCLASS32, EM_386, LOAD_AT);
	elf.narrow.phdr[0].p_offset = UINT32_MAX;
	is(plan_elf(), STATUS_BAD_FILE, "ELF with a segment behind the file");
	FILL(elf.narrow, ELFCLASS32, EM_386, LOAD_AT);
	elf.narrow.phdr[1].p_paddr = 0x1ff;
	is(plan_elf(), STATUS_OK, "ELF with a low segment");
	elf.narrow.phdr[1].p_paddr = 0x7ff01;
	is(plan_elf(), STATUS_BAD_FILE, "ELF with one where the information is");
}

/* ---- no format ---- */

static void test_flat(void)
{
	static const struct {
		struct boot_flat flat;
		enum status status;
		uint64_t rip, selector, cr0;
	} cases[] = {
		{ { 0x7c00, 0x7c00, BOOT_REAL }, STATUS_OK, 0x7c00, 0, 0x10 },
		{ { 0, 0, BOOT_REAL }, STATUS_OK, 0, 0, 0x10 },
		{ { 0x98000, 0x98010, BOOT_REAL }, STATUS_OK, 0x8010, 0x9000, 0x10 },
		{ { 0x100000, 0x100010, BOOT_REAL }, STATUS_OK, 0x20, 0xffff, 0x10 },
		{ { 0x10fff0, 0x10fff0, BOOT_REAL }, STATUS_USAGE },
		{ { 0x9f000, 0x9f000, BOOT_REAL }, STATUS_BAD_FILE },
		{ { 0xe0000, 0xe0000, BOOT_REAL }, STATUS_BAD_FILE },
		{ { 0x1000, 0x1000, BOOT_PROTECTED }, STATUS_OK, 0x1000, 0x10, 0x11 },
		{ { 0x7e000, 0x7e000, BOOT_PROTECTED }, STATUS_BAD_FILE },
		{ { 0x100000, 0x102fff, BOOT_LONG }, STATUS_OK, 0x102fff, 0x10, 0x80000031 },
		{ { 0x100000, 0x103000, BOOT_LONG }, STATUS_USAGE },
		{ { 0x100000, 0xfffff, BOOT_LONG }, STATUS_USAGE },
		{ { 64 * MIB - 0x3000, 64 * MIB - 1, BOOT_LONG }, STATUS_OK, 64 * MIB - 1, 0x10,
		  0x80000031 },
		{ { 64 * MIB - 0x2fff, 64 * MIB - 1, BOOT_LONG }, STATUS_NO_ROOM },
		{ { UINT32_MAX, UINT32_MAX, BOOT_LONG }, STATUS_NO_ROOM },
	};

	source.kind = BOOT_FLAT;
	source.append = NULL;
	set_kernel(&elf, sizeof(elf));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vmm_state state;

		source.flat = cases[i].flat;
		is(plan_for(64 * MIB), cases[i].status, "flat at %#llx, entry %#llx",
		   (unsigned long long)cases[i].flat.addr,
		   (unsigned long long)cases[i].flat.entry);
		if (!plan)
			continue;
		boot_cpu_state(plan, &state);
		is(state.regs.rip, cases[i].rip, "its RIP");
		is(state.segs.seg[VMM_CS].selector, cases[i].selector, "CS");
		is(state.ctrl.cr0, cases[i].cr0, "and CR0");
	}
	source.flat = (struct boot_flat) { 0x1000, 0x1000, BOOT_LONG };
	is(load(64 * MIB), STATUS_OK, "a flat image over the first frames");
	ok(!memcmp(ram_at(&ram, 0x1000, sizeof(elf)), &elf, sizeof(elf)), "is all there");
}

static void test_firmware(void)
{
	static uint8_t rom[0x21000];
	struct vmm_state state;

	for (size_t i = 0; i < sizeof(rom); i++)
		rom[i] = i * 31 >> 4;
	source.kind = BOOT_FIRMWARE;
	set_kernel(rom, 15);
	is(plan_for(64 * MIB), STATUS_BAD_FILE, "firmware without a reset vector");
	set_kernel(rom, sizeof(rom) - 100);
	ram_unmap(&ram);
	free(plan);
	ram_plan(&ram, 4096 * MIB);
	ram_plan_rom(&ram, source.kernel.size);
	is(boot_plan(&source, &ram, &plan), STATUS_OK, "firmware");
	if (!plan || ram_map(&ram))
		abort();
	is(ram.part[RAM_ROM].size, sizeof(rom), "takes whole pages");
	is(boot_load(plan, &source, &ram), STATUS_OK, "is loaded");
	ok(!memcmp(ram_at(&ram, 0x100000000 - sizeof(rom) + 100, sizeof(rom) - 100), rom,
		   sizeof(rom) - 100), "so that it ends at 4 GiB");
	ok(!memcmp(ram_at(&ram, 0xf0000, 0x10000), rom + sizeof(rom) - 100 - 0x10000, 0x10000),
	   "its end is below 1 MiB as well");
	is_str(ram_at(&ram, LAYOUT_ACPI, 8) ? "RSD PTR " : "", "RSD PTR ", "ACPI is where it was");
	boot_cpu_state(plan, &state);
	is(state.regs.rip, 0xfff0, "IP after reset");
	is(state.segs.seg[VMM_CS].base, 0xffff0000, "the base of CS");
	is(state.segs.seg[VMM_CS].selector, 0xf000, "and its selector");
	is(state.ctrl.cr0, 0x60000010, "CR0");
	source.kind = BOOT_KERNEL;
}

/* ---- anything ---- */

static void test_random(void)
{
	uint32_t seed = 7;
	unsigned int ok_count = 0;

	for (unsigned int i = 0; i < 20000; i++) {
		uint8_t *file = i % 2 ? (uint8_t *)&kludge : elf.bytes;
		size_t size = i % 2 ? HEADER_AT + 32 : sizeof(elf.wide);

		make_kludge();
		kludge.checksum = -(kludge.magic + kludge.flags);
		if (i % 4)
			FILL(elf.narrow, ELFCLASS32, EM_386, LOAD_AT);
		else
			FILL(elf.wide, ELFCLASS64, EM_X86_64, LOAD_AT);
		for (unsigned int j = 0; j < 3; j++) {
			seed = seed * 1664525 + 1013904223;
			file[(seed >> 8) % size] = seed >> 24;
		}
		set_kernel(file, i % 2 ? sizeof(kludge) : sizeof(elf));
		ok_count += plan_for(64 * MIB) == STATUS_OK;
	}
	ok(ok_count > 0, "random damage does no harm (%u of 20000 can still boot)", ok_count);
}

int main(void)
{
	test_information();
	test_modules_max();
	test_kludge_broken();
	test_search();
	test_elf();
	test_flat();
	test_firmware();
	test_random();
	is(complaints, refusals, "each of %u refusals says why and what to do in one line",
	   refusals);
	release();
	return tap_end();
}
