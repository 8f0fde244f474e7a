// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Hardware-reduced ACPI tables: RSDP, XSDT, FADT, MADT, MCFG, DSDT. Facts: ACPI
 * Specification, "ACPI Software Programming Model" and "Hardware-Reduced ACPI".
 *
 * They say that there is no legacy hardware, so that a kernel looks for none.
 * Written one behind the other from LAYOUT_ACPI, the RSDP first; a table is
 * written before those that point to it.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "../layout.h"
#include "acpi_cpus.h"
#include "aml.h"
#include "boot.h"

#define OEM_ID		"VMM   "
#define OEM_TABLE_ID	"VMM     "
#define CREATOR_ID	"VMM "
#define TABLE_ALIGN	16

struct table_header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));

struct rsdp {
	char signature[8];
	uint8_t checksum;	/* over the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));

#define RSDP_REVISION		2
#define RSDP_CHECKSUM_SIZE	20

struct xsdt {
	struct table_header header;
	uint64_t entry[3];
} __attribute__((packed));

#define XSDT_REVISION	1

/* Generic address structure */
struct address {
	uint8_t space;
	uint8_t bit_width;
	uint8_t bit_offset;
	uint8_t access_size;
	uint64_t address;
} __attribute__((packed));

#define SPACE_IO	1
#define ACCESS_BYTE	1
#define ACCESS_DWORD	3

/*
 * What hardware-reduced ACPI ignores is left out of the names, but for the power-management
 * timer and the century: programs for bare machines look here for them.
 */
struct fadt {
	struct table_header header;
	uint32_t facs;
	uint32_t dsdt;
	uint8_t ignored1[32];
	uint32_t pm_timer;
	uint8_t ignored2[11];
	uint8_t pm_timer_len;
	uint8_t ignored3[16];
	uint8_t century;
	uint16_t boot_flags;
	uint8_t reserved;
	uint32_t flags;
	struct address reset;
	uint8_t reset_value;
	uint16_t arm_boot_flags;
	uint8_t minor_revision;
	uint64_t x_facs;
	uint64_t x_dsdt;
	uint8_t ignored4[60];
	struct address x_pm_timer;
	uint8_t ignored5[24];
	struct address sleep_control;
	struct address sleep_status;
	uint64_t hypervisor_id;
} __attribute__((packed));

#define FADT_REVISION		6
#define FADT_MINOR_REVISION	3
#define FADT_WBINVD		(1 << 0)
#define FADT_TMR_VAL_EXT	(1 << 8)
#define FADT_RESET_REG_SUP	(1 << 10)
#define FADT_HW_REDUCED		(1 << 20)
#define FADT_BOOT_NO_VGA	(1 << 2)
#define FADT_BOOT_NO_ASPM	(1 << 4)
#define FADT_BOOT_NO_RTC	(1 << 5)

_Static_assert(offsetof(struct fadt, pm_timer) == 76, "as the specification has it");
_Static_assert(offsetof(struct fadt, pm_timer_len) == 91, "as the specification has it");
_Static_assert(offsetof(struct fadt, century) == 108, "as the specification has it");
_Static_assert(offsetof(struct fadt, x_pm_timer) == 208, "as the specification has it");
_Static_assert(offsetof(struct fadt, boot_flags) == 109, "as the specification has it");
_Static_assert(offsetof(struct fadt, x_dsdt) == 140, "as the specification has it");
_Static_assert(offsetof(struct fadt, sleep_control) == 244, "as the specification has it");
_Static_assert(sizeof(struct fadt) == 276, "as the specification has it");

struct madt {
	struct table_header header;
	uint32_t lapic_address;
	uint32_t flags;
} __attribute__((packed));

#define MADT_REVISION		5

struct madt_ioapic {
	uint8_t type, length;
	uint8_t id;
	uint8_t reserved;
	uint32_t address;
	uint32_t gsi_base;
} __attribute__((packed));

#define MADT_IOAPIC		1

/* "Multiprocessor Wakeup Structure", mailbox version 0 */
struct madt_wakeup {
	uint8_t type, length;
	uint16_t version;
	uint32_t reserved;
	uint64_t mailbox;
} __attribute__((packed));

#define MADT_WAKEUP		0x10

/* One segment: the pages of the functions of some buses. */
struct mcfg {
	struct table_header header;
	uint8_t reserved[8];
	uint64_t ecam;
	uint16_t segment;
	uint8_t first_bus, last_bus;
	uint8_t reserved_end[4];
} __attribute__((packed));

#define MCFG_REVISION		1

#define DSDT_REVISION		2

/* ---- the area ---- */

static size_t table_begin(struct aml *area, const char *signature, uint8_t revision)
{
	struct table_header header = { .revision = revision, .oem_revision = 1,
				       .creator_revision = 1 };
	size_t start;

	while (area->len % TABLE_ALIGN)
		aml_bytes(area, "", 1);
	start = area->len;
	memcpy(header.signature, signature, sizeof(header.signature));
	memcpy(header.oem_id, OEM_ID, sizeof(header.oem_id));
	memcpy(header.oem_table_id, OEM_TABLE_ID, sizeof(header.oem_table_id));
	memcpy(header.creator_id, CREATOR_ID, sizeof(header.creator_id));
	aml_bytes(area, &header, sizeof(header));
	return start;
}

/* Fill in length and checksum; returns where the table is. */
static uint64_t table_end(struct aml *area, size_t start)
{
	struct table_header *header = (struct table_header *)(area->buf + start);

	if (!area->overflow) {
		header->length = area->len - start;
		header->checksum = boot_checksum(header, header->length);
	}
	return LAYOUT_ACPI + start;
}

/* A table whose struct is complete but for the header's contents. */
static uint64_t table(struct aml *area, const char *signature, uint8_t revision,
		      const void *contents, size_t size)
{
	size_t start = table_begin(area, signature, revision);

	aml_bytes(area, (const uint8_t *)contents + sizeof(struct table_header),
		  size - sizeof(struct table_header));
	return table_end(area, start);
}

/* ---- the tables ---- */

static void com1(struct aml *aml)
{
	size_t device = aml_device_begin(aml, "COM1");
	size_t resources;

	aml_name_eisaid(aml, "_HID", "PNP0501");
	aml_name_integer(aml, "_UID", 0);
	resources = aml_resources_begin(aml, "_CRS");
	aml_ports(aml, LAYOUT_COM1, LAYOUT_COM1_SIZE);
	aml_edge_interrupt(aml, LAYOUT_COM1_IRQ);
	aml_resources_end(aml, resources);
	aml_end(aml, device);
}

static void pvpanic(struct aml *aml)
{
	size_t device = aml_device_begin(aml, "PEVT");
	size_t resources;

	aml_name_string(aml, "_HID", "QEMU0001");
	resources = aml_resources_begin(aml, "_CRS");
	aml_ports(aml, LAYOUT_PVPANIC, 1);
	aml_resources_end(aml, resources);
	aml_end(aml, device);
}

/* The host bridge of pci/host.c: bus 0, its ports, and where BARs may be. */
static void pci(struct aml *aml)
{
	size_t device = aml_device_begin(aml, "PCI0");
	size_t resources;

	aml_name_eisaid(aml, "_HID", "PNP0A08");
	aml_name_eisaid(aml, "_CID", "PNP0A03");
	aml_name_integer(aml, "_SEG", 0);
	aml_name_integer(aml, "_BBN", 0);
	aml_name_integer(aml, "_UID", 0);
	resources = aml_resources_begin(aml, "_CRS");
	aml_buses(aml, 0, 1);
	aml_ports(aml, LAYOUT_PCI_PORTS, LAYOUT_PCI_PORTS_SIZE);
	aml_memory_window(aml, LAYOUT_PCI_MMIO, LAYOUT_PCI_MMIO_SIZE);
	aml_resources_end(aml, resources);
	aml_end(aml, device);
}

/* Kernels want to hear that ECAM is taken before they believe in MCFG. */
static void ecam(struct aml *aml)
{
	size_t device = aml_device_begin(aml, "ECAM");
	size_t resources;

	aml_name_eisaid(aml, "_HID", "PNP0C02");
	resources = aml_resources_begin(aml, "_CRS");
	aml_memory(aml, LAYOUT_PCI_ECAM, LAYOUT_PCI_ECAM_SIZE);
	aml_resources_end(aml, resources);
	aml_end(aml, device);
}

/* A device of virtio/mmio.c, whose line only edges come from. */
static void virtio_device(struct aml *aml, unsigned int slot)
{
	size_t device, resources;
	char name[8];

	snprintf(name, sizeof(name), "VR%02u", slot % 100);
	device = aml_device_begin(aml, name);
	aml_name_string(aml, "_HID", "LNRO0005");
	aml_name_integer(aml, "_UID", slot);
	resources = aml_resources_begin(aml, "_CRS");
	aml_memory(aml, LAYOUT_VIRTIO_MMIO + slot * LAYOUT_VIRTIO_MMIO_SIZE,
		   LAYOUT_VIRTIO_MMIO_SIZE);
	aml_edge_interrupt(aml, LAYOUT_VIRTIO_MMIO_IRQ + slot);
	aml_resources_end(aml, resources);
	aml_end(aml, device);
}

/* SLP_TYP of both PM1 blocks in the old model; the first counts here. */
static void soft_off(struct aml *aml)
{
	size_t package = aml_package_begin(aml, "\\_S5_", 4);

	aml_integer(aml, LAYOUT_SLEEP_S5);
	for (int i = 1; i < 4; i++)
		aml_integer(aml, 0);
	aml_end(aml, package);
}

static uint64_t dsdt(struct aml *area, const struct acpi_machine *machine)
{
	const unsigned int devices = machine->virtio_mmio;
	size_t start = table_begin(area, "DSDT", DSDT_REVISION);
	size_t scope;

	soft_off(area);
	scope = aml_scope_begin(area, "\\_SB_");
	com1(area);
	pvpanic(area);
	for (unsigned int i = 0; i < devices; i++)
		virtio_device(area, i);
	if (!devices) {
		pci(area);
		ecam(area);
	}
	if (machine->max_cpus)
		acpi_cpus(area, machine->max_cpus);
	aml_end(area, scope);
	return table_end(area, start);
}

static struct address port(uint16_t number)
{
	return (struct address) { .space = SPACE_IO, .bit_width = 8, .access_size = ACCESS_BYTE,
				  .address = number };
}

static uint64_t fadt(struct aml *area, uint64_t dsdt_gpa)
{
	struct fadt fadt = {
		.dsdt = dsdt_gpa,
		.boot_flags = FADT_BOOT_NO_VGA | FADT_BOOT_NO_ASPM | FADT_BOOT_NO_RTC,
		.flags = FADT_WBINVD | FADT_TMR_VAL_EXT | FADT_RESET_REG_SUP | FADT_HW_REDUCED,
		.pm_timer = LAYOUT_PM_TIMER,
		.pm_timer_len = LAYOUT_PM_TIMER_SIZE,
		.x_pm_timer = { .space = SPACE_IO, .bit_width = 32, .access_size = ACCESS_DWORD,
				.address = LAYOUT_PM_TIMER },
		/* No clock for who wants its interrupts, but time and date are there. */
		.century = LAYOUT_RTC_CENTURY,
		.reset = port(LAYOUT_RESET),
		.reset_value = LAYOUT_RESET_VALUE,
		.minor_revision = FADT_MINOR_REVISION,
		.x_dsdt = dsdt_gpa,
		.sleep_control = port(LAYOUT_SLEEP_CONTROL),
		.sleep_status = port(LAYOUT_SLEEP_STATUS),
	};

	return table(area, "FACP", FADT_REVISION, &fadt, sizeof(fadt));
}

static uint64_t madt(struct aml *area, const struct acpi_machine *machine)
{
	const unsigned int cpus = machine->max_cpus ? machine->max_cpus : machine->cpus;
	size_t start = table_begin(area, "APIC", MADT_REVISION);
	struct madt_ioapic ioapic = { .type = MADT_IOAPIC, .length = sizeof(ioapic),
				      .address = LAYOUT_IOAPIC };
	const struct madt_wakeup wakeup = { .type = MADT_WAKEUP, .length = sizeof(wakeup),
					    .mailbox = LAYOUT_MAILBOX };
	uint32_t fixed[2] = { LAYOUT_LAPIC, 0 };

	aml_bytes(area, fixed, sizeof(fixed));
	for (unsigned int i = 0; i < cpus; i++) {
		union madt_processor entry;

		aml_bytes(area, &entry, acpi_lapic(i, i < machine->cpus, &entry));
	}
	aml_bytes(area, &ioapic, sizeof(ioapic));
	if (machine->mailbox)
		aml_bytes(area, &wakeup, sizeof(wakeup));
	return table_end(area, start);
}

static uint64_t mcfg(struct aml *area)
{
	const struct mcfg mcfg = { .ecam = LAYOUT_PCI_ECAM };

	return table(area, "MCFG", MCFG_REVISION, &mcfg, sizeof(mcfg));
}

static void write_rsdp(struct aml *area, uint64_t xsdt_gpa)
{
	struct rsdp rsdp = { .revision = RSDP_REVISION, .length = sizeof(rsdp), .xsdt = xsdt_gpa };

	memcpy(rsdp.signature, "RSD PTR ", sizeof(rsdp.signature));
	memcpy(rsdp.oem_id, OEM_ID, sizeof(rsdp.oem_id));
	rsdp.checksum = boot_checksum(&rsdp, RSDP_CHECKSUM_SIZE);
	rsdp.extended_checksum = boot_checksum(&rsdp, sizeof(rsdp));
	memcpy(area->buf, &rsdp, sizeof(rsdp));
}

enum status acpi_load(const struct ram *ram, const struct acpi_machine *machine)
{
	struct aml area = { .max = LAYOUT_ACPI_MAX, .len = sizeof(struct rsdp) };
	size_t size = sizeof(struct xsdt);
	struct xsdt xsdt;
	void *to;
	enum status status = boot_place(ram, "ACPI tables", LAYOUT_ACPI, LAYOUT_ACPI_MAX, &to);

	if (status)
		return status;
	area.buf = to;
	xsdt.entry[0] = fadt(&area, dsdt(&area, machine));
	xsdt.entry[1] = madt(&area, machine);
	if (machine->virtio_mmio)
		size -= sizeof(xsdt.entry[2]);
	else
		xsdt.entry[2] = mcfg(&area);
	write_rsdp(&area, table(&area, "XSDT", XSDT_REVISION, &xsdt, size));
	if (!area.overflow)
		return STATUS_OK;
	complain("the ACPI tables for %u CPUs take more than %u bytes; use fewer --cpus",
		 machine->max_cpus ? machine->max_cpus : machine->cpus, LAYOUT_ACPI_MAX);
	return STATUS_INTERNAL;
}
