/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processors in the ACPI tables: their MADT entries, and those that come and go. */
#ifndef RUNNER_BOOT_ACPI_CPUS_H
#define RUNNER_BOOT_ACPI_CPUS_H

#include <stdbool.h>
#include <stdint.h>
#include "aml.h"

/* "Processor Local APIC Structure" */
struct madt_lapic {
	uint8_t type, length;
	uint8_t uid;
	uint8_t apic_id;
	uint32_t flags;
} __attribute__((packed));

/* "Processor Local x2APIC Structure" */
struct madt_x2apic {
	uint8_t type, length;
	uint16_t reserved;
	uint32_t apic_id;
	uint32_t flags;
	uint32_t uid;
} __attribute__((packed));

union madt_processor {
	struct madt_lapic lapic;
	struct madt_x2apic x2apic;
};

/*
 * Of CPU @cpu: enabled, or such that it can become so while the system runs. Returns the
 * size of the one that its id needs.
 */
unsigned int acpi_lapic(unsigned int cpu, bool enabled, union madt_processor *entry);

/*
 * In the scope of the system bus: a device for each of @count CPUs, with its status and
 * eject registers at LAYOUT_CPUS, and the event device that notifies them.
 */
void acpi_cpus(struct aml *aml, unsigned int count);

#endif /* RUNNER_BOOT_ACPI_CPUS_H */
