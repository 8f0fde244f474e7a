// SPDX-License-Identifier: GPL-2.0-or-later
/* `vmm doctor --kernel`: kernels and configurations, whole and broken. */
/* unit-sources: ../runner/doctor_findings.c ../runner/doctor_files.c ../runner/doctor_guest.c */
/* unit-flags: -D_GNU_SOURCE -DVMM_VERSION='"1.2"' */
/* unit-libs: -lz */
#include <asm/bootparam.h>
#include "doctor_world.h"
#include "tap.h"

#define GUEST_CONFIG \
	"CONFIG_64BIT=y\nCONFIG_X86_LOCAL_APIC=y\nCONFIG_ACPI=y\nCONFIG_SERIAL_8250=m\n" \
	"# CONFIG_SMP is not set\nCONFIG_HYPERVISOR_GUEST=y\nCONFIG_PARAVIRT=y\n"

static unsigned char image[65536];

/* A bzImage whose packed part is @len bytes at @packed; @xloadflags of its header. */
static void put_bzimage(const void *packed, size_t len, unsigned int xloadflags)
{
	struct setup_header *header = (void *)(image + 0x1f1);

	memset(image, 0, sizeof(image));
	header->setup_sects = 3;
	header->boot_flag = 0xaa55;
	header->header = 0x53726448;
	header->version = 0x020f;
	header->xloadflags = xloadflags;
	header->kernel_version = 0x300;
	header->payload_offset = 16;
	header->payload_length = len;
	strcpy((char *)image + 0x500, "9.9-x (builder)");
	memcpy(image + 4 * 512 + 16, packed, len);
	put_bytes("/boot/vmlinuz-9.9", image, 4 * 512 + 16 + len);
}

static enum status guest(const char *file, const char *config)
{
	char path[PATH_MAX], config_path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", in_root(file));
	if (config)
		snprintf(config_path, sizeof(config_path), "%s", in_root(config));
	memset(&report, 0, sizeof(report));
	complaint[0] = 0;
	return doctor_guest(path, config ? config_path : NULL, &report);
}

static const char *value_of(const char *name)
{
	const struct doctor_finding *finding = find(name);

	return finding ? finding->value : "no such row";
}

static void test_guest_rows(void)
{
	root_clear();
	put_bzimage("", 0, XLF_KERNEL_64);
	put("/boot/config-9.9", GUEST_CONFIG);
	is(guest("/boot/vmlinuz-9.9", NULL), STATUS_OK, "the configuration beside the image");
	ok(strstr(report.config, "/boot/config-9.9"), "is named");
	is(doctor_status(&report), STATUS_OK, "the kernel can run");
	is_str(value_of("long-mode"), "y", "an option that is built in");
	is_str(value_of("16550"), "m", "one that is a module");
	is(find("16550")->level, DOCTOR_WARN, "which is worth a word here");
	is_str(value_of("console"), "absent", "of two the absent one counts");
	ok(strstr(find("console")->cure, "SERIAL_8250_CONSOLE=y"), "and is named");
	is_str(value_of("smp"), "absent", "an option that is not set");
	is_str(value_of("kvmclock"), "absent", "the last of three is missing");
	is(find("pvpanic")->level, DOCTOR_OK, "some are no loss");
	is(find("virtio-pci")->level, DOCTOR_WARN, "without a bus there are no virtio devices");
	ok(strstr(find("format")->text, "9.9-x"), "the release is told");

	put("/boot/config-9.9", "CONFIG_ACPI=y\n");
	guest("/boot/vmlinuz-9.9", NULL);
	is(doctor_status(&report), STATUS_BAD_FILE, "one without a local APIC cannot run");
	put("/boot/config-9.9-x", "CONFIG_64BIT=y\nCONFIG_X86_LOCAL_APIC=y\n");
	unlink(in_root("/boot/config-9.9"));
	is(guest("/boot/vmlinuz-9.9", NULL), STATUS_OK, "the image's own release names a file too");
	is(doctor_status(&report), STATUS_OK, "that is read");
	put_bzimage("", 0, 0);
	guest("/boot/vmlinuz-9.9", NULL);
	is(doctor_status(&report), STATUS_OK, "a 32-bit kernel can run");
	ok(strstr(find("format")->text, "32-bit entry"), "and is told from the others");
	((struct setup_header *)(image + 0x1f1))->version = 0x020b;
	put_bytes("/boot/vmlinuz-9.9", image, 4 * 512 + 16);
	guest("/boot/vmlinuz-9.9", NULL);
	is(doctor_status(&report), STATUS_BAD_FILE, "boot protocol 2.11");
}

static void test_guest_multiboot(void)
{
	const uint32_t header[] = { 0x1badb002, 3, -(0x1badb002 + 3u) };
	unsigned char kernel[8192 + 12] = "\177ELF";

	root_clear();
	memcpy(kernel + 8192 - sizeof(header), header, sizeof(header));
	put_bytes("/boot/multi", kernel, sizeof(kernel));
	is(guest("/boot/multi", NULL), STATUS_OK, "a multiboot kernel needs no configuration");
	is(doctor_status(&report), STATUS_OK, "and can run");
	is_str(find("format")->text, "multiboot 1", "as such");
	memset(kernel, 0, sizeof(kernel));
	memcpy(kernel + 8192, header, sizeof(header));
	put_bytes("/boot/multi", kernel, sizeof(kernel));
	is(guest("/boot/multi", NULL), STATUS_BAD_FILE, "a header too far behind is none");
}

static void test_guest_inside(void)
{
	char config[1024], vmlinux[4096] = "\177ELF....IKCFG_ST", packed[4096];
	size_t len = gzip(GUEST_CONFIG, sizeof(GUEST_CONFIG) - 1, config, sizeof(config));

	root_clear();
	memcpy(vmlinux + 16, config, len);
	len = gzip(vmlinux, sizeof(vmlinux), packed, sizeof(packed));
	put_bzimage(packed, len, XLF_KERNEL_64);
	put("/boot/config-9.9", "");
	is(guest("/boot/vmlinuz-9.9", NULL), STATUS_OK, "the configuration inside a bzImage");
	is_str(value_of("16550"), "m", "goes before the file beside it");
	is(guest("/boot/vmlinuz-9.9", "/boot/config-9.9"), STATUS_OK, "--config");
	is_str(value_of("16550"), "absent", "goes before both");

	put_bytes("/boot/vmlinux", vmlinux, sizeof(vmlinux));
	is(guest("/boot/vmlinux", NULL), STATUS_OK, "the configuration inside a vmlinux");
	is(doctor_status(&report), STATUS_BAD_FILE, "which needs PVH");
	put("/boot/config-pvh", "CONFIG_PVH=y\nCONFIG_64BIT=y\nCONFIG_X86_LOCAL_APIC=y\n");
	guest("/boot/vmlinux", "/boot/config-pvh");
	is(doctor_status(&report), STATUS_OK, "and has it");
}

/* Files that are nothing, or lie. */
static void test_guest_broken(void)
{
	unsigned int lived = 0;
	char packed[256];
	size_t len = gzip("IKCFG_ST\x1f\x8b", 10, packed, sizeof(packed)), whole;

	root_clear();
	is(guest("/boot/none", NULL), STATUS_BAD_FILE, "no such kernel");
	ok(strstr(complaint, "cannot read"), "is told");
	put("/boot/vmlinuz-9.9", "short");
	is(guest("/boot/vmlinuz-9.9", NULL), STATUS_BAD_FILE, "a kernel without configuration");
	ok(strstr(complaint, "--config"), "is told");
	is(guest("/boot/vmlinuz-9.9", "/none"), STATUS_BAD_FILE, "no such configuration");
	put_bzimage(packed, len, XLF_KERNEL_64);
	whole = 4 * 512 + 16 + len;
	for (size_t cut = 0; cut <= whole; cut++) {
		put_bytes("/boot/vmlinuz-9.9", image, cut);
		lived += guest("/boot/vmlinuz-9.9", NULL) == STATUS_BAD_FILE;
	}
	is(lived, whole + 1, "cut at every length");
	memset(image + 0x1f1 + offsetof(struct setup_header, payload_offset), 0xff, 8);
	put_bytes("/boot/vmlinuz-9.9", image, whole);
	is(guest("/boot/vmlinuz-9.9", NULL), STATUS_BAD_FILE, "a packed part outside the file");
}

int main(void)
{
	root_create();
	test_guest_rows();
	test_guest_inside();
	test_guest_multiboot();
	test_guest_broken();
	root_remove();
	return tap_end();
}
