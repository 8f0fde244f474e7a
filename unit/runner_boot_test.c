// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The loaders of runner/boot/: what a plan puts where, and that a crafted, cut or
 * oversized file is refused with its own status and nothing worse.
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
#include <inttypes.h>
#include <asm/bootparam.h>
#include "boot_world.h"

#define SETUP_SECTS	4
#define PAYLOAD_AT	((SETUP_SECTS + 1) * 512)
#define PAYLOAD_SIZE	4096
#define LOAD_AT		(16 * MIB)
#define INIT_SIZE	(8 * MIB)

/* What goes behind the user's words. */
#define AHEAD		"sysctl.vm.compaction_proactiveness="
#define THRESHOLD	"sysctl.kernel.watchdog_thresh="
#define INTERVAL	"sysctl.vm.stat_interval="
#define IDLE		AHEAD "0 psi=0 " THRESHOLD "60 " INTERVAL "10"
#define DEFAULTS	"panic=-1 reboot=acpi " IDLE

static void set_initrd(uint64_t size)
{
	if (source.modules)
		image_close(&source.module[0].image);
	source.modules = 0;
	if (!size)
		return;
	source.modules = 1;
	source.module[0].args = "";
	source.module[0].initrd = true;
	put_file(&source.module[0].image, "initrd", "initrd!", 7);
	if (ftruncate(source.module[0].image.fd, size))
		abort();
	source.module[0].image.size = size;
}

/* ---- Linux ---- */

static uint8_t bzimage[PAYLOAD_AT + PAYLOAD_SIZE];

static struct setup_header *header(void)
{
	return (struct setup_header *)(bzimage + 0x1f1);
}

/* The least that the 64-bit protocol accepts. */
static void make_bzimage(void)
{
	struct setup_header *hdr = header();

	memset(bzimage, 0, sizeof(bzimage));
	hdr->setup_sects = SETUP_SECTS;
	hdr->syssize = PAYLOAD_SIZE / 16;
	hdr->boot_flag = 0xaa55;
	hdr->jump = 0x6aeb;
	hdr->header = 0x53726448;
	hdr->version = 0x020f;
	hdr->loadflags = LOADED_HIGH;
	hdr->xloadflags = XLF_KERNEL_64;
	hdr->initrd_addr_max = 0x7fffffff;
	hdr->cmdline_size = 2047;
	hdr->pref_address = LOAD_AT;
	hdr->init_size = INIT_SIZE;
	hdr->setup_data = 0x4141414141414141;
	memset(bzimage + PAYLOAD_AT, 0xc3, PAYLOAD_SIZE);
}

static enum status plan_bzimage(uint64_t mem)
{
	set_kernel(bzimage, sizeof(bzimage));
	return plan_for(mem);
}

static void test_linux_plan(void)
{
	source.append = "quiet";
	source.cpus = 1;
	make_bzimage();
	set_initrd(0);
	is(plan_bzimage(64 * MIB), STATUS_OK, "a bzImage is planned");
	is(plan->mode, BOOT_LONG, "for the 64-bit entry");
	is(plan->entry, LOAD_AT + 0x200, "which is at 0x200");
	is_str(plan->cmdline, "quiet " DEFAULTS, "defaults go behind the user's words");
	is(plan_bzimage(24 * MIB), STATUS_OK, "it may fill the memory to the last byte");
	is(plan_bzimage(24 * MIB - 4096), STATUS_NO_ROOM, "and needs the last page");

	set_initrd(5000);
	is(plan_bzimage(64 * MIB), STATUS_OK, "an initrd is planned");
	is(plan->module[0].gpa, 64 * MIB - 8192, "at the end of memory, on a page");
	is(plan_bzimage(24 * MIB + 8192), STATUS_OK, "it may touch the kernel");
	is(plan_bzimage(24 * MIB + 4096), STATUS_NO_ROOM, "but not overlap it");
	is(plan_bzimage(8192 * MIB), STATUS_OK, "with much memory");
	is(plan->module[0].gpa, 0x80000000 - 8192, "it stays below the kernel's limit");
	header()->initrd_addr_max = LOAD_AT - 1;
	is(plan_bzimage(64 * MIB), STATUS_NO_ROOM, "a limit below the kernel leaves no room");
	header()->initrd_addr_max = 0;
	is(plan_bzimage(64 * MIB), STATUS_NO_ROOM, "nor does one of 0");
	set_initrd(1ULL << 40);
	header()->initrd_addr_max = UINT32_MAX;
	is(plan_bzimage(64 * MIB), STATUS_NO_ROOM, "an enormous initrd has no room");
	set_initrd(0);
}

static void test_linux_end(void)
{
	make_bzimage();
	set_kernel(bzimage, sizeof(bzimage) - 15);
	is(plan_for(64 * MIB), STATUS_OK, "a file may end within the last paragraph");
	is(plan->segment[0].file_size, PAYLOAD_SIZE - 15, "and is read to its end");
	set_kernel(bzimage, sizeof(bzimage) - 16);
	is(plan_for(64 * MIB), STATUS_BAD_FILE, "but not a paragraph before");
}

static void test_linux_narrow(void)
{
	struct vmm_state state;

	make_bzimage();
	header()->xloadflags = 0;
	is(plan_bzimage(64 * MIB), STATUS_OK, "a bzImage without a 64-bit entry");
	boot_cpu_state(plan, &state);
	is(state.regs.rip, LOAD_AT, "starts where it is loaded");
	is(state.regs.rsi, LAYOUT_BOOT_PARAMS, "with ESI at boot_params");
	is(state.regs.rbx | state.regs.rbp | state.regs.rdi, 0, "EBX, EBP, EDI 0");
	is(state.ctrl.cr0, 0x11, "in protected mode without paging");
	is(state.segs.seg[VMM_CS].selector, 0x10, "CS is __BOOT_CS");
	is(state.segs.seg[VMM_CS].attr, 0xc09b, "32-bit code");
	source.append = NULL;
	plan_bzimage(64 * MIB);
	is_str(plan->cmdline, "console=ttyS0 " DEFAULTS, "the default command line");
	source.append = "quiet";
	set_initrd(5000);
	source.modules = 2;
	is(plan_bzimage(64 * MIB), STATUS_USAGE, "Linux has no modules beside the initrd");
	source.modules = 1;
	source.module[0].initrd = false;
	is(plan_bzimage(64 * MIB), STATUS_USAGE, "nor in its place");
	ok(strstr(complaint, "as --initrd"), "but takes it as one");
	set_initrd(0);
}

static void test_linux_cmdline(void)
{
	static char line[70000];
	static const struct {
		const char *append, *want;
	} cases[] = {
		{ "", DEFAULTS },
		{ "panic=5", "panic=5 reboot=acpi " IDLE },
		{ "a reboot=t", "a reboot=t panic=-1 " IDLE },
		{ "softlockup_panic=1", "softlockup_panic=1 " DEFAULTS },
		{ AHEAD "20",
		  AHEAD "20 panic=-1 reboot=acpi psi=0 " THRESHOLD "60 " INTERVAL "10" },
		{ "psi=1 " THRESHOLD "10 " INTERVAL "1",
		  "psi=1 " THRESHOLD "10 " INTERVAL "1 panic=-1 reboot=acpi " AHEAD "0" },
		{ "x_panic=1 panic=0 reboot=k", "x_panic=1 panic=0 reboot=k " IDLE },
	};

	static const struct {
		const char *append;
		bool in_cpuid, told;
	} clocks[] = {
		{ "quiet", false, true }, { "quiet", true, false }, { "nopv", true, false },
		{ "x_tsc_early_khz=5", false, true }, { "a tsc_early_khz=5 b", false, false },
	};

	make_bzimage();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		source.append = cases[i].append;
		plan_bzimage(64 * MIB);
		is_str(plan ? plan->cmdline : NULL, cases[i].want, "command line of '%s'",
		       cases[i].append);
	}
	for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		source.append = clocks[i].append;
		source.tsc_khz = 0;
		plan_bzimage(64 * MIB);
		source.tsc_khz = 2000000;
		source.tsc_in_cpuid = clocks[i].in_cpuid;
		is(boot_plan_tsc(plan, &source), STATUS_OK, "the TSC is known");
		is(!!strstr(plan->cmdline, " tsc_early_khz=2000000"), clocks[i].told,
		   "and '%s' is told of it: %d", clocks[i].append, clocks[i].told);
	}
	source.tsc_khz = 0;
	source.tsc_in_cpuid = false;
	memset(line, 'a', 2047 - strlen(" " DEFAULTS));
	source.append = line;
	is(plan_bzimage(64 * MIB), STATUS_OK, "a command line may have the kernel's limit");
	strcat(line, "a");
	is(plan_bzimage(64 * MIB), STATUS_NO_ROOM, "and not a character more");
	header()->cmdline_size = UINT32_MAX;
	memset(line, 'a', sizeof(line) - 1);
	is(plan_bzimage(64 * MIB), STATUS_NO_ROOM, "nor more than its place in memory");
	source.append = "quiet";
}

/* Each line breaks one thing of a good header. */
static void test_linux_broken(void)
{
	static const struct {
		const char *what;
		size_t at;
		uint8_t size;
		enum status status;
		uint64_t value;
	} cases[] = {
#define FIELD(member) offsetof(struct setup_header, member), \
		      sizeof(((struct setup_header *)NULL)->member)
		{ "boot flag", FIELD(boot_flag), STATUS_BAD_FILE, 0 },
		{ "magic", FIELD(header), STATUS_BAD_FILE, 0x53726449 },
		{ "old protocol", FIELD(version), STATUS_BAD_FILE, 0x020b },
		{ "low kernel", FIELD(loadflags), STATUS_BAD_FILE, 0 },
		{ "no code", FIELD(syssize), STATUS_BAD_FILE, 0 },
		{ "code shorter than its entry", FIELD(syssize), STATUS_BAD_FILE, 0x20 },
		{ "code longer than the file", FIELD(syssize), STATUS_BAD_FILE,
		  PAYLOAD_SIZE / 16 + 1 },
		{ "code of 64 GiB", FIELD(syssize), STATUS_BAD_FILE, UINT32_MAX },
		{ "setup longer than the file", FIELD(setup_sects), STATUS_BAD_FILE, 255 },
		{ "less memory than code", FIELD(init_size), STATUS_BAD_FILE, PAYLOAD_SIZE - 1 },
		{ "4 GiB of memory", FIELD(init_size), STATUS_NO_ROOM, UINT32_MAX },
		{ "address off a page", FIELD(pref_address), STATUS_BAD_FILE, LOAD_AT + 1 },
		{ "address at the top", FIELD(pref_address), STATUS_BAD_FILE, -4096ULL },
		{ "address at 4 GiB", FIELD(pref_address), STATUS_BAD_FILE, 1ULL << 32 },
		{ "address in the hole", FIELD(pref_address), STATUS_NO_ROOM, 0xc0000000 },
		{ "address 0", FIELD(pref_address), STATUS_BAD_FILE, 0 },
		{ "short header", FIELD(jump), STATUS_BAD_FILE, 0x00eb },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make_bzimage();
		memcpy((uint8_t *)header() + cases[i].at, &cases[i].value, cases[i].size);
		is(plan_bzimage(64 * MIB), cases[i].status, "bzImage: %s", cases[i].what);
	}
	make_bzimage();
	header()->pref_address = LAYOUT_HOLE - 4096;
	plan_bzimage(64 * MIB);
	ok(strstr(complaint, "no machine has memory"), "more memory is no cure above all memory");
	header()->pref_address = LAYOUT_HOLE - 64 * MIB;
	plan_bzimage(64 * MIB);
	ok(strstr(complaint, "a larger --mem"), "but below it is");
}

static void test_cut(const char *what, const uint8_t *file, size_t size)
{
	unsigned int bad = 0;

	for (size_t cut = 1; cut < size; cut += cut < 0x300 ? 1 : 97) {
		set_kernel(file, cut);
		bad += plan_for(64 * MIB) != STATUS_BAD_FILE;
	}
	is(bad, 0, "%s: cut anywhere, it is a bad file", what);
}

/* Walk the identity map as a CPU would. */
static uint64_t translate(uint64_t cr3, uint64_t addr)
{
	uint64_t table = cr3;

	for (int shift = 39; shift >= 21; shift -= 9) {
		uint64_t entry = read_u64(table + (addr >> shift & 511) * 8);

		if ((entry & 3) != 3)
			return UINT64_MAX;
		if (entry & 0x80)
			return (entry & 0xffffffffff000ULL & -(1ULL << shift)) |
			       (addr & ((1ULL << shift) - 1));
		table = entry & 0xffffffffff000ULL;
	}
	return UINT64_MAX;
}

static void test_long_state(void)
{
	struct vmm_state state;

	boot_cpu_state(plan, &state);
	is(state.mask, VMM_STATE_REGS | VMM_STATE_SEGS | VMM_STATE_CTRL | VMM_STATE_EVENTS,
	   "the state has its four sections");
	is(state.regs.rip, LOAD_AT + 0x200, "RIP is the entry");
	is(state.regs.rsi, LAYOUT_BOOT_PARAMS, "RSI is at boot_params");
	is(state.regs.rflags, 2, "interrupts are off");
	is(state.ctrl.cr0, 0x80000031, "CR0 has paging");
	is(state.ctrl.cr4, 0x20, "CR4 has PAE");
	is(state.ctrl.efer, 0x500, "EFER has LME and LMA");
	is(state.segs.seg[VMM_CS].selector, 0x10, "CS is __BOOT_CS");
	is(state.segs.seg[VMM_CS].attr, 0xa09b, "64-bit code");
	is(state.segs.seg[VMM_SS].selector, 0x18, "SS is __BOOT_DS");
	is(state.segs.seg[VMM_SS].attr, 0xc093, "flat data");
	is(state.segs.seg[VMM_TR].attr, 0x8b, "TR is a busy TSS");
	is(read_u64(state.segs.gdt.base + 0x10), 0x00af9b000000ffff, "the GDT has __BOOT_CS");
	is(read_u64(state.segs.gdt.base + 0x18), 0x00cf93000000ffff, "and __BOOT_DS");
	for (uint64_t at = 0x12345; at < 1ULL << 32; at += 0x3fffffff)
		is(translate(state.ctrl.cr3, at), at, "%#" PRIx64 " is identity-mapped", at);
	is(translate(state.ctrl.cr3, 1ULL << 32), UINT64_MAX, "4 GiB is not");
}

static void test_linux_load(void)
{
	const struct boot_params *params;

	make_bzimage();
	set_kernel(bzimage, sizeof(bzimage));
	set_initrd(5000);
	if (!is(load(64 * MIB), STATUS_OK, "a bzImage is loaded"))
		return;
	is(read_u64(LOAD_AT), 0xc3c3c3c3c3c3c3c3, "its code is where it wants to be");
	is(read_u64(LOAD_AT + PAYLOAD_SIZE), 0, "behind it is nothing");
	ok(!memcmp(ram_at(&ram, plan->module[0].gpa, 7), "initrd!", 7), "the initrd is there");
	is_str(ram_at(&ram, LAYOUT_CMDLINE, 256), "quiet " DEFAULTS,
	       "so is the command line");

	params = ram_at(&ram, LAYOUT_BOOT_PARAMS, sizeof(*params));
	is(params->hdr.header, 0x53726448, "boot_params has the header");
	is(params->hdr.type_of_loader, 0xff, "the loader's type");
	is(params->hdr.cmd_line_ptr, LAYOUT_CMDLINE, "the command line's address");
	is(params->hdr.ramdisk_image, plan->module[0].gpa, "the initrd's address");
	is(params->hdr.ramdisk_size, 5000, "and size");
	is(params->hdr.setup_data, 0, "no setup_data, whatever the file has");
	is(params->acpi_rsdp_addr, LAYOUT_ACPI, "the RSDP's address");
	is(params->e820_entries, 3, "a memory map of three ranges");
	is(params->e820_table[1].addr, 0xa0000, "with the PC's reserved one");
	is(params->e820_table[1].type, RAM_RANGE_RESERVED, "reserved");
	is(params->e820_table[2].size, 63 * MIB, "and the rest");
	test_long_state();
	source.device_tree = true;
	is(load(64 * MIB), STATUS_OK, "with a device tree");
	source.device_tree = false;
	params = ram_at(&ram, LAYOUT_BOOT_PARAMS, sizeof(*params));
	is(params->hdr.setup_data, LAYOUT_DT, "setup_data is where it was put");
	is(*(const uint32_t *)ram_at(&ram, LAYOUT_DT + 8, 4), SETUP_DTB, "and says what it is");

	is(load(4096 * MIB), STATUS_OK, "with 4 GiB of memory");
	params = ram_at(&ram, LAYOUT_BOOT_PARAMS, sizeof(*params));
	is(params->e820_entries, 4, "the map has a range more");
	is(params->e820_table[2].addr + params->e820_table[2].size, LAYOUT_HOLE,
	   "low memory ends at the hole");
	is(params->e820_table[3].addr, 1ULL << 32, "the rest starts at 4 GiB");
	is(params->e820_table[3].size, 1024 * MIB, "and is the rest");
	ok(!ram_at(&ram, LAYOUT_HOLE - 1, 2), "no access crosses into the hole");
	ok(!ram_at(&ram, LAYOUT_HOLE, 1), "the hole is no memory");
	ok(ram_at(&ram, 5120 * MIB - 1, 1), "the last byte is memory");
	ok(!ram_at(&ram, 5120 * MIB - 1, 2), "one more is not");
	ok(!ram_at(&ram, 1, UINT64_MAX), "a length that wraps is none");

	/* The file shrinks between two starts of the machine. */
	if (ftruncate(source.kernel.fd, PAYLOAD_AT + 100))
		abort();
	refusals++;
	is(boot_load(plan, &source, &ram), STATUS_BAD_FILE, "a file that shrank is refused");
}

/* ---- PVH ---- */

#define ELF_CODE_AT	0x1000
#define ELF_NOTE_AT	0x2000

struct elf_note {
	Elf64_Nhdr hdr;
	char name[4];
	uint32_t entry;
};

struct elf_file {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[4];
	uint8_t pad1[ELF_CODE_AT - sizeof(Elf64_Ehdr) - 4 * sizeof(Elf64_Phdr)];
	uint8_t code[ELF_NOTE_AT - ELF_CODE_AT];
	struct elf_note other, note;
};

static struct elf_file elf;

static void make_elf(void)
{
	memset(&elf, 0, sizeof(elf));
	memcpy(elf.ehdr.e_ident, ELFMAG, SELFMAG);
	elf.ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	elf.ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	elf.ehdr.e_type = ET_EXEC;
	elf.ehdr.e_machine = EM_X86_64;
	elf.ehdr.e_phoff = offsetof(struct elf_file, phdr);
	elf.ehdr.e_phentsize = sizeof(Elf64_Phdr);
	elf.ehdr.e_phnum = 3;
	elf.phdr[0] = (Elf64_Phdr) { .p_type = PT_LOAD, .p_offset = ELF_CODE_AT,
				     .p_paddr = 0x1000000, .p_filesz = 0x1000,
				     .p_memsz = 0x3000 };
	elf.phdr[1] = (Elf64_Phdr) { .p_type = PT_NOTE, .p_offset = ELF_NOTE_AT,
				     .p_filesz = 2 * sizeof(struct elf_note), .p_align = 4 };
	elf.phdr[2] = (Elf64_Phdr) { .p_type = PT_LOAD, .p_offset = ELF_CODE_AT,
				     .p_paddr = 0x1003000, .p_filesz = 0x10, .p_memsz = 0x10 };
	memset(elf.code, 0xf4, sizeof(elf.code));
	elf.other = (struct elf_note) { { 4, 4, 6 }, "Xen", 0x999 };
	elf.note = (struct elf_note) { { 4, 4, 18 }, "Xen", 0x1000040 };
}

static enum status plan_elf(uint64_t mem)
{
	set_kernel(&elf, sizeof(elf));
	return plan_for(mem);
}

static void test_pvh(void)
{
	struct vmm_state state;

	make_elf();
	set_kernel(&elf, sizeof(elf));
	set_initrd(5000);
	if (!is(load(64 * MIB), STATUS_OK, "an ELF kernel is loaded"))
		return;
	is(plan->entry, 0x1000040, "its entry is that of the note");
	is(read_u64(0x1000000), 0xf4f4f4f4f4f4f4f4, "segments are in place");
	is(read_u64(0x1001000), 0, "zeros behind the file's part");
	is(read_u64(0x1003000), 0xf4f4f4f4f4f4f4f4, "the second one too");
	is(read_u64(plan->info), 0x1336ec578, "magic and version of the start information");
	is(read_u64(plan->info + 8), 1ULL << 32, "one module");
	is(read_u64(read_u64(plan->info + 16)), plan->module[0].gpa, "which is the initrd");
	is(read_u64(read_u64(plan->info + 16) + 8), 5000, "with its size");
	is_str(ram_at(&ram, read_u64(plan->info + 24), 256), "quiet " DEFAULTS,
	       "the command line");
	is(read_u64(plan->info + 32), LAYOUT_ACPI, "the RSDP");
	is(read_u64(plan->info + 48), 3, "a memory map of three ranges");
	is(read_u64(read_u64(plan->info + 40) + 24), 0xa0000, "with the reserved one");

	boot_cpu_state(plan, &state);
	is(state.regs.rip, 0x1000040, "RIP is the entry");
	is(state.regs.rbx, plan->info, "EBX is at the start information");
	is(state.ctrl.cr0, 0x11, "protected mode without paging");
	is(state.ctrl.cr4 | state.ctrl.efer | state.ctrl.cr3, 0, "and nothing else");
	is(state.segs.seg[VMM_CS].attr, 0xc09b, "32-bit code");
	is(read_u64(state.segs.gdt.base + 0x10), 0x00cf9b000000ffff, "in the GDT as well");
}

static void test_pvh_broken(void)
{
	static const struct {
		const char *what;
		size_t at;
		uint8_t size;
		enum status status;
		uint64_t value;
	} cases[] = {
#define ELF(member) offsetof(struct elf_file, member), sizeof(((struct elf_file *)NULL)->member)
		{ "no class", ELF(ehdr.e_ident[EI_CLASS]), STATUS_BAD_FILE, ELFCLASSNONE },
		{ "another class", ELF(ehdr.e_ident[EI_CLASS]), STATUS_BAD_FILE, ELFCLASS32 },
		{ "big-endian", ELF(ehdr.e_ident[EI_DATA]), STATUS_BAD_FILE, ELFDATA2MSB },
		{ "another machine", ELF(ehdr.e_machine), STATUS_BAD_FILE, EM_AARCH64 },
		{ "an object file", ELF(ehdr.e_type), STATUS_BAD_FILE, ET_REL },
		{ "odd program headers", ELF(ehdr.e_phentsize), STATUS_BAD_FILE, 32 },
		{ "no program headers", ELF(ehdr.e_phnum), STATUS_BAD_FILE, 0 },
		{ "65535 program headers", ELF(ehdr.e_phnum), STATUS_BAD_FILE, 65535 },
		{ "headers behind the end", ELF(ehdr.e_phoff), STATUS_BAD_FILE, sizeof(elf) - 100 },
		{ "headers that wrap", ELF(ehdr.e_phoff), STATUS_BAD_FILE, -100ULL },
		{ "file part behind the end", ELF(phdr[0].p_offset), STATUS_BAD_FILE, sizeof(elf) },
		{ "file part that wraps", ELF(phdr[0].p_offset), STATUS_BAD_FILE, -8ULL },
		{ "more file than memory", ELF(phdr[0].p_memsz), STATUS_BAD_FILE, 0xfff },
		{ "endless memory", ELF(phdr[0].p_memsz), STATUS_BAD_FILE, UINT64_MAX },
		{ "64 MiB of memory", ELF(phdr[2].p_memsz), STATUS_NO_ROOM, 64 * MIB },
		{ "high address", ELF(phdr[0].p_paddr), STATUS_BAD_FILE, -4096ULL },
		{ "low address", ELF(phdr[2].p_paddr), STATUS_BAD_FILE, 0x1000 },
		{ "overlap", ELF(phdr[2].p_paddr), STATUS_BAD_FILE, 0x1002fff },
		{ "overlap from below", ELF(phdr[2].p_paddr), STATUS_BAD_FILE, 0xfffff1 },
		{ "no note", ELF(phdr[1].p_type), STATUS_BAD_FILE, PT_NULL },
		{ "empty notes", ELF(phdr[1].p_filesz), STATUS_BAD_FILE, 0 },
		{ "a cut note", ELF(phdr[1].p_filesz), STATUS_BAD_FILE, 25 },
		{ "a note over its segment's end", ELF(phdr[1].p_filesz), STATUS_BAD_FILE,
		  2 * sizeof(struct elf_note) - 2 },
		{ "notes behind the end", ELF(phdr[1].p_filesz), STATUS_BAD_FILE, 1 << 20 },
		{ "notes that wrap", ELF(phdr[1].p_offset), STATUS_BAD_FILE, -4ULL },
		{ "a note of 4 GiB", ELF(other.hdr.n_descsz), STATUS_BAD_FILE, UINT32_MAX },
		{ "a name of 4 GiB", ELF(other.hdr.n_namesz), STATUS_BAD_FILE, UINT32_MAX },
		{ "another's note", ELF(note.name), STATUS_BAD_FILE, 0x6e6558 - 1 },
		{ "another note", ELF(note.hdr.n_type), STATUS_BAD_FILE, 17 },
		{ "an odd entry", ELF(note.hdr.n_descsz), STATUS_BAD_FILE, 2 },
		{ "entry 0", ELF(note.entry), STATUS_BAD_FILE, 0 },
		{ "entry in zeros", ELF(note.entry), STATUS_BAD_FILE, 0x1001000 },
		{ "entry outside", ELF(note.entry), STATUS_BAD_FILE, 0x2000000 },
	};

	make_elf();
	is(plan_elf(64 * MIB), STATUS_OK, "ELF: the good one");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make_elf();
		memcpy((uint8_t *)&elf + cases[i].at, &cases[i].value, cases[i].size);
		is(plan_elf(64 * MIB), cases[i].status, "ELF: %s", cases[i].what);
	}
}

/* ---- anything ---- */

static void test_random(void)
{
	uint32_t seed = 7;
	unsigned int ok_count = 0;

	for (unsigned int i = 0; i < 20000; i++) {
		uint8_t *file = i % 2 ? bzimage : (uint8_t *)&elf;
		size_t size = i % 2 ? 0x280 : 0x240;

		make_bzimage();
		make_elf();
		for (unsigned int j = 0; j < 3; j++) {
			seed = seed * 1664525 + 1013904223;
			file[(seed >> 8) % size] = seed >> 24;
		}
		set_kernel(file, i % 2 ? sizeof(bzimage) : sizeof(elf));
		ok_count += plan_for(64 * MIB) == STATUS_OK;
	}
	ok(ok_count > 0, "random damage does no harm (%u of 20000 can still boot)", ok_count);
}

static void test_no_kernels(void)
{
	static const struct {
		const char *start, *says;
	} cases[] = {
		{ "\x1f\x8b\x08", "gzip; unpack" }, { "\3757zXZ", "xz; unpack" },
		{ "\x28\xb5\x2f\xfd", "zstd; unpack" }, { "MZ", "an EFI program" },
		{ "\x1f", "is no Linux bzImage" },
	};
	uint8_t file[4096] = { 0 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(file, 0, sizeof(file));
		memcpy(file, cases[i].start, strlen(cases[i].start));
		set_kernel(file, sizeof(file));
		is(plan_for(64 * MIB), STATUS_BAD_FILE, "a file that is no kernel");
		ok(strstr(complaint, cases[i].says), "and is told as: %s", cases[i].says);
	}
}

int main(void)
{
	test_linux_plan();
	test_linux_end();
	test_linux_narrow();
	test_linux_cmdline();
	test_linux_broken();
	make_bzimage();
	test_cut("bzImage", bzimage, sizeof(bzimage));
	test_linux_load();
	test_pvh();
	test_pvh_broken();
	test_no_kernels();
	make_elf();
	test_cut("ELF", (uint8_t *)&elf, sizeof(elf));
	test_random();
	is(complaints, refusals, "each of %u refusals says why and what to do in one line",
	   refusals);
	release();
	return tap_end();
}
