// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The table of processors and interrupt lines for kernels without ACPI, or told to do
 * without. Facts: Intel MultiProcessor Specification, "MP Floating Pointer Structure", "MP
 * Configuration Table Header" and "Base MP Configuration Table Entries".
 *
 * It names the first of what the ACPI tables name (acpi.c): CPUs whose id a byte can hold and
 * that are there from the start, and each line of the I/O APIC as the ISA bus's of the same
 * number, so that who is told a line's number (virtio_mmio.device=) has that interrupt.
 */
#include <string.h>
#include "../devices/82093aa.h"
#include "../layout.h"
#include "boot.h"

#define MP_REVISION	4
#define MP_UNIT		16		/* lengths of the floating pointer */
#define LAPIC_VERSION	0x14		/* integrated, as the module's */
#define ID_ALL		0xff		/* of no CPU */

struct mp_floating {
	char signature[4];
	uint32_t config;
	uint8_t length;
	uint8_t revision;
	uint8_t checksum;
	uint8_t features[5];	/* 0: there is a configuration table, no PIC mode */
} __attribute__((packed));

struct mp_config {
	char signature[4];
	uint16_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[8];
	char product_id[12];
	uint32_t oem_table;
	uint16_t oem_size;
	uint16_t entries;
	uint32_t lapic;
	uint32_t extended;	/* length, checksum, reserved */
} __attribute__((packed));

enum { MP_PROCESSOR, MP_BUS, MP_IOAPIC, MP_LINE };

struct mp_processor {
	uint8_t type;
	uint8_t apic_id;
	uint8_t apic_version;
	uint8_t flags;
	uint32_t signature;
	uint32_t features;
	uint32_t reserved[2];
} __attribute__((packed));

#define PROCESSOR_ENABLED	1
#define PROCESSOR_BSP		2
#define PROCESSOR_P6		0x600
#define PROCESSOR_FPU_APIC	0x201

struct mp_bus {
	uint8_t type;
	uint8_t id;
	char name[6];
} __attribute__((packed));

#define BUS_ISA		0

struct mp_ioapic {
	uint8_t type;
	uint8_t id;
	uint8_t version;
	uint8_t flags;
	uint32_t address;
} __attribute__((packed));

#define IOAPIC_ID		0	/* as in the MADT, and in the chip's register */
#define IOAPIC_ENABLED		1

struct mp_line {
	uint8_t type;
	uint8_t kind;		/* 0: vectored */
	uint16_t flags;
	uint8_t bus;
	uint8_t bus_line;
	uint8_t ioapic;
	uint8_t line;
} __attribute__((packed));

#define LINE_HIGH_EDGE		0x5

struct mp_table {
	struct mp_floating floating;
	struct mp_config config;
	uint8_t entry[];	/* LAYOUT_MP_MAX in all */
};

static uint8_t *add(struct mp_config *config, uint8_t *to, const void *entry, size_t len)
{
	config->entries++;
	return (uint8_t *)memcpy(to, entry, len) + len;
}

enum status mp_load(const struct ram *ram, unsigned int cpus)
{
	const struct mp_bus isa = { MP_BUS, BUS_ISA, "ISA   " };
	const struct mp_ioapic ioapic = { MP_IOAPIC, IOAPIC_ID, I82093AA_VERSION,
					  IOAPIC_ENABLED, LAYOUT_IOAPIC };
	struct mp_table *table;
	void *at;
	enum status status = boot_place(ram, "MP table", LAYOUT_MP, LAYOUT_MP_MAX, &at);
	uint8_t *to;

	_Static_assert(sizeof(struct mp_floating) == MP_UNIT && sizeof(struct mp_config) == 44 &&
		       sizeof(struct mp_processor) == 20 && sizeof(struct mp_bus) == 8 &&
		       sizeof(struct mp_ioapic) == 8 && sizeof(struct mp_line) == 8,
		       "as the specification has them");
	_Static_assert(sizeof(*table) + ID_ALL * sizeof(struct mp_processor) + sizeof(isa) +
		       sizeof(ioapic) + I82093AA_LINES * sizeof(struct mp_line) <= LAYOUT_MP_MAX,
		       "room for all entries");
	if (status)
		return status;
	table = at;
	to = table->entry;
	table->config = (struct mp_config) {
		.signature = "PCMP",
		.revision = MP_REVISION,
		.oem_id = "VMM     ",
		.product_id = "VMM         ",
		.lapic = LAYOUT_LAPIC,
	};
	for (unsigned int i = 0; i < cpus && i < ID_ALL; i++) {
		const struct mp_processor processor = {
			MP_PROCESSOR, i, LAPIC_VERSION,
			PROCESSOR_ENABLED | (i ? 0 : PROCESSOR_BSP),
			PROCESSOR_P6, PROCESSOR_FPU_APIC, { 0 },
		};

		to = add(&table->config, to, &processor, sizeof(processor));
	}
	to = add(&table->config, to, &isa, sizeof(isa));
	to = add(&table->config, to, &ioapic, sizeof(ioapic));
	for (unsigned int i = 0; i < I82093AA_LINES; i++) {
		const struct mp_line line = { MP_LINE, 0, LINE_HIGH_EDGE, BUS_ISA, i,
					      IOAPIC_ID, i };

		to = add(&table->config, to, &line, sizeof(line));
	}
	table->config.length = to - (uint8_t *)&table->config;
	table->config.checksum = boot_checksum(&table->config, table->config.length);
	table->floating = (struct mp_floating) {
		.signature = "_MP_",
		.config = LAYOUT_MP + sizeof(table->floating),
		.length = sizeof(table->floating) / MP_UNIT,
		.revision = MP_REVISION,
	};
	table->floating.checksum = boot_checksum(&table->floating, sizeof(table->floating));
	return STATUS_OK;
}
