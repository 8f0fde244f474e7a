// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which of the machine's devices a kernel can drive, from the configuration it was
 * built with. That is inside an image built with CONFIG_IKCONFIG, in the clear in a
 * vmlinux and in the packed part of a bzImage; distributions put it into a file
 * config-RELEASE beside the image instead. Facts: kernel documentation, "The
 * Linux/x86 Boot Protocol".
 */
#include <elf.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <asm/bootparam.h>
#include "doctor.h"

#define HEADER_AT	0x1f1	/* of struct setup_header */
#define VERSION_BASE	0x200	/* what its kernel_version counts from */
#define VERSION_MIN	0x020c	/* 2.12, which the loader wants */
#define SECTOR		512
#define SETUP_SECTS_OLD	4	/* what 0 means */

/* Multiboot Specification 0.6.96, "Header layout": three words that add up to 0. */
#define MULTIBOOT_MAGIC	0x1badb002
#define MULTIBOOT_END	8192

static const char config_mark[] = "IKCFG_ST";

enum format {
	FORMAT_UNKNOWN,
	FORMAT_BZIMAGE,
	FORMAT_MULTIBOOT,
	FORMAT_ELF,
};

struct kernel {
	const char *path;
	char *data;
	size_t len;
	enum format format;
	struct setup_header header;	/* of a bzImage */
	char release[80];		/* of a bzImage; may be empty */
};

/* One thing of the machine, and the options that a kernel needs for it: all of them. */
static const struct guest_row {
	const char *name;
	const char *options[4];
	enum doctor_level absent, module;
	const char *text;
	const char *lost;		/* without it */
} guest_rows[] = {
	{ "long-mode", { "64BIT" }, DOCTOR_OK, DOCTOR_OK,
	  "a 64-bit kernel", "a 32-bit kernel" },
	{ "local-apic", { "X86_LOCAL_APIC" }, DOCTOR_FAIL, DOCTOR_FAIL,
	  "takes interrupts, and ticks from the TSC-deadline timer", "no interrupts, no ticks" },
	{ "acpi", { "ACPI" }, DOCTOR_WARN, DOCTOR_WARN,
	  "finds the machine's parts; powers off, restarts",
	  "finds one CPU and no I/O APIC, cannot power off" },
	{ "ioapic", { "X86_IO_APIC" }, DOCTOR_WARN, DOCTOR_WARN,
	  "82093AA: the serial port's interrupts", "the serial port has no interrupts" },
	{ "16550", { "SERIAL_8250" }, DOCTOR_WARN, DOCTOR_WARN,
	  "serial port ttyS0", "nothing can be typed or read until a driver is loaded" },
	{ "console", { "SERIAL_8250", "SERIAL_8250_CONSOLE" }, DOCTOR_WARN, DOCTOR_WARN,
	  "console=ttyS0", "boots without a word: console=ttyS0 has no driver" },
	{ "kvmclock", { "HYPERVISOR_GUEST", "PARAVIRT", "KVM_GUEST" }, DOCTOR_WARN, DOCTOR_WARN,
	  "takes the time from the host", "takes the time from the TSC, and must measure it" },
	{ "x2apic", { "X86_X2APIC" }, DOCTOR_WARN, DOCTOR_WARN,
	  "interrupts through MSRs", "interrupts through memory: each costs more" },
	{ "smp", { "SMP" }, DOCTOR_WARN, DOCTOR_WARN,
	  "more than one CPU", "uses the first CPU only" },
	{ "initrd", { "BLK_DEV_INITRD" }, DOCTOR_WARN, DOCTOR_WARN,
	  "takes --initrd", "ignores --initrd" },
	{ "virtio-pci", { "PCI", "PCI_MSI", "VIRTIO_PCI" }, DOCTOR_WARN, DOCTOR_OK,
	  "finds the virtio devices on the PCI bus", "finds no virtio device" },
	{ "virtio-mmio", { "ACPI", "VIRTIO_MMIO" }, DOCTOR_OK, DOCTOR_OK,
	  "finds the virtio devices of --transport mmio", "--transport mmio is not for it" },
	{ "virtio-blk", { "VIRTIO_BLK" }, DOCTOR_WARN, DOCTOR_OK,
	  "disks /dev/vda, ...", "sees no disk" },
	{ "virtio-console", { "VIRTIO_CONSOLE" }, DOCTOR_OK, DOCTOR_OK,
	  "consoles /dev/hvc0, ... and ports of --console", "sees no --console" },
	{ "virtio-vsock", { "VSOCKETS", "VIRTIO_VSOCKETS" }, DOCTOR_OK, DOCTOR_OK,
	  "AF_VSOCK for --vsock", "has no use for --vsock" },
	{ "virtio-balloon", { "VIRTIO_BALLOON" }, DOCTOR_OK, DOCTOR_OK,
	  "gives memory back for --balloon", "keeps the memory it has" },
	{ "virtio-net", { "NET", "VIRTIO_NET" }, DOCTOR_OK, DOCTOR_OK,
	  "networks eth0, ...", "--net is not for it" },
	{ "virtio-rng", { "HW_RANDOM", "HW_RANDOM_VIRTIO" }, DOCTOR_OK, DOCTOR_OK,
	  "takes random bytes from the host", "has the CPU's random bytes only" },
	{ "pvpanic", { "PVPANIC", "PVPANIC_MMIO" }, DOCTOR_OK, DOCTOR_OK,
	  "tells of panics", "panics are known from the console's text alone" },
};

/* ---- the image ---- */

static bool is_multiboot(const struct kernel *kernel)
{
	size_t end = kernel->len < MULTIBOOT_END ? kernel->len : MULTIBOOT_END;
	uint32_t word[3];

	for (size_t at = 0; at + sizeof(word) <= end; at += 4) {
		memcpy(word, kernel->data + at, sizeof(word));
		if (word[0] == MULTIBOOT_MAGIC && !(word[0] + word[1] + word[2]))
			return true;
	}
	return false;
}

/* What `vmm run` would take it for. */
static void read_header(struct kernel *kernel)
{
	struct setup_header *header = &kernel->header;
	size_t at;

	if (is_multiboot(kernel))
		kernel->format = FORMAT_MULTIBOOT;
	else if (kernel->len >= SELFMAG && !memcmp(kernel->data, ELFMAG, SELFMAG))
		kernel->format = FORMAT_ELF;
	if (kernel->len < HEADER_AT + sizeof(*header))
		return;
	memcpy(header, kernel->data + HEADER_AT, sizeof(*header));
	if (memcmp(&header->header, "HdrS", 4))
		return;
	kernel->format = FORMAT_BZIMAGE;
	at = VERSION_BASE + header->kernel_version;
	if (header->kernel_version && at < kernel->len)
		snprintf(kernel->release, sizeof(kernel->release), "%.*s",
			 (int)strcspn(kernel->data + at, " "), kernel->data + at);
}

/* The packed kernel in a bzImage, @len bytes; NULL: there is none. */
static const char *payload(const struct kernel *kernel, size_t *len)
{
	const struct setup_header *header = &kernel->header;
	uint64_t sectors = header->setup_sects ? header->setup_sects : SETUP_SECTS_OLD;
	uint64_t start = (sectors + 1) * SECTOR + header->payload_offset;

	if (kernel->format != FORMAT_BZIMAGE || start > kernel->len ||
	    header->payload_length > kernel->len - start)
		return NULL;
	*len = header->payload_length;
	return kernel->data + start;
}

/* The configuration in an unpacked kernel. */
static char *embedded(const char *data, size_t len)
{
	size_t mark = sizeof(config_mark) - 1;
	const char *at = memmem(data, len, config_mark, mark);

	return at ? doctor_gunzip(at + mark, len - (at + mark - data), DOCTOR_TEXT_MAX, NULL) :
		    NULL;
}

static char *config_inside(const struct kernel *kernel)
{
	char *config = embedded(kernel->data, kernel->len), *unpacked;
	const char *packed;
	size_t len;

	if (config)
		return config;
	packed = payload(kernel, &len);
	unpacked = packed ? doctor_gunzip(packed, len, DOCTOR_IMAGE_MAX, &len) : NULL;
	if (!unpacked)
		return NULL;
	config = embedded(unpacked, len);
	free(unpacked);
	return config;
}

/* ---- the file beside it ---- */

static const struct doctor here = { .root = "" };

/* @path as text, unpacked if need be. */
static char *config_file(const char *path)
{
	size_t len;
	char *data = doctor_read(&here, DOCTOR_TEXT_MAX, &len, "%s", path), *text;

	if (!data || len < 2 || memcmp(data, "\x1f\x8b", 2))
		return data;
	text = doctor_gunzip(data, len, DOCTOR_TEXT_MAX, NULL);
	free(data);
	return text;
}

/* The text of the file that @fmt names; its path is left in @found, of PATH_MAX bytes. */
__attribute__((format(printf, 2, 3)))
static char *try_config(char *found, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(found, PATH_MAX, fmt, ap);
	va_end(ap);
	return config_file(found);
}

/*
 * The configuration of @kernel from a file that is named after it. The image's name
 * counts before what it says of itself.
 */
static char *config_beside(const struct kernel *kernel, char *found)
{
	const char *slash = strrchr(kernel->path, '/');
	const char *name = slash ? slash + 1 : kernel->path, *dash = strchr(name, '-');
	int dir = name - kernel->path;
	char *text = NULL;

	if (dash)
		text = try_config(found, "%.*sconfig%s", dir, kernel->path, dash);
	if (!text && kernel->release[0])
		text = try_config(found, "%.*sconfig-%s", dir, kernel->path, kernel->release);
	if (!text && kernel->release[0])
		text = try_config(found, "/boot/config-%s", kernel->release);
	if (!text)
		text = try_config(found, "%.*sconfig", dir, kernel->path);
	return text;
}

/* The configuration, or NULL with a complaint. */
static char *find_config(const struct kernel *kernel, const char *file, char *found)
{
	char *text;

	if (file) {
		text = try_config(found, "%s", file);
		if (!text)
			complain("doctor: the configuration %s cannot be read; give a kernel's "
				 ".config", file);
		return text;
	}
	text = config_inside(kernel);
	if (text)
		snprintf(found, PATH_MAX, "%s", kernel->path);
	else
		text = config_beside(kernel, found);
	if (!text)
		complain("doctor: no configuration of the kernel %s: none inside that can be "
			 "unpacked, no config-%s beside it; give it with --config FILE",
			 kernel->path, kernel->release[0] ? kernel->release : "RELEASE");
	return text;
}

/* ---- findings ---- */

static void judge_format(const struct kernel *kernel, const char *config,
			 struct doctor_finding *finding)
{
	const struct setup_header *header = &kernel->header;

	if (kernel->format == FORMAT_ELF) {
		bool pvh = doctor_config_value(config, "PVH");

		finding->value = pvh ? "y" : "absent";
		if (pvh) {
			doctor_say(finding, DOCTOR_OK, "ELF with a PVH entry");
			return;
		}
		doctor_fail(finding, STATUS_BAD_FILE, "ELF without a PVH entry cannot be booted");
		doctor_cure(finding, "boot the bzImage, or build with CONFIG_PVH");
	} else if (kernel->format == FORMAT_MULTIBOOT) {
		finding->value = "y";
		doctor_say(finding, DOCTOR_OK, "multiboot 1");
	} else if (kernel->format == FORMAT_BZIMAGE && header->version >= VERSION_MIN) {
		doctor_say(finding, DOCTOR_OK, "bzImage with a %s-bit entry%s%s",
			   header->xloadflags & XLF_KERNEL_64 ? "64" : "32",
			   kernel->release[0] ? ", release " : "", kernel->release);
	} else {
		doctor_fail(finding, STATUS_BAD_FILE,
			    "neither a bzImage of boot protocol 2.12 or later nor ELF");
		doctor_cure(finding, "give a newer bzImage or a vmlinux");
	}
}

/* Of several options the weakest counts; it is the one to name. */
static void judge_row(const struct guest_row *row, const char *config,
		      struct doctor_finding *finding)
{
	const char *weak = row->options[0];
	char value = 'y';

	for (unsigned int i = 0; i < 4 && row->options[i]; i++) {
		char one = doctor_config_value(config, row->options[i]);

		if (!one || (one == 'm' && value == 'y')) {
			value = one;
			weak = row->options[i];
		}
		if (!one)
			break;
	}
	finding->value = value == 'y' ? "y" : value == 'm' ? "m" : "absent";
	finding->level = value == 'y' ? DOCTOR_OK : value == 'm' ? row->module : row->absent;
	if (finding->level == DOCTOR_FAIL)
		finding->status = STATUS_BAD_FILE;
	doctor_say(finding, finding->level, "%s",
		   value == 'y' || (value == 'm' && row->module == DOCTOR_OK) ? row->text :
									       row->lost);
	if (finding->level != DOCTOR_OK)
		doctor_cure(finding, "build it with CONFIG_%s=y", weak);
}

enum status doctor_guest(const char *path, const char *config, struct doctor_report *report)
{
	struct kernel kernel = { .path = path };
	char *text;

	kernel.data = doctor_read(&here, DOCTOR_IMAGE_MAX, &kernel.len, "%s", path);
	if (!kernel.data) {
		complain("doctor: cannot read the kernel %s; give a kernel image", path);
		return STATUS_BAD_FILE;
	}
	read_header(&kernel);
	/* No Linux, unless somebody says so. */
	if (kernel.format == FORMAT_MULTIBOOT && !config) {
		judge_format(&kernel, "", doctor_add(report, "format"));
		free(kernel.data);
		return STATUS_OK;
	}
	text = find_config(&kernel, config, report->config);
	doctor_clean(report->config);
	if (text) {
		judge_format(&kernel, text, doctor_add(report, "format"));
		for (size_t i = 0; i < sizeof(guest_rows) / sizeof(guest_rows[0]); i++)
			judge_row(&guest_rows[i], text, doctor_add(report, guest_rows[i].name));
	}
	free(text);
	free(kernel.data);
	return text ? STATUS_OK : STATUS_BAD_FILE;
}
