// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Processors that come and go, as a kernel without firmware's help finds them. Facts: ACPI
 * Specification, "Processor Device", "Device Insertion, Removal, and Status Objects",
 * "Generic Event Device" and "Device Object Notifications".
 *
 * The registers behind are devices/cpu_hotplug.c; layout.h has them. Each CPU has one of
 * its own, so that no method has to keep another out.
 */
#include <stdio.h>
#include "../layout.h"
#include "acpi_cpus.h"

#define LAPIC_TYPE		0
#define X2APIC_TYPE		9
#define LAPIC_ENABLED		(1 << 0)
#define LAPIC_ONLINE_CAPABLE	(1 << 1)

#define NAME_SIZE		8

unsigned int acpi_lapic(unsigned int cpu, bool enabled, union madt_processor *entry)
{
	const uint32_t flags = enabled ? LAPIC_ENABLED : LAPIC_ONLINE_CAPABLE;

	/* Ids below have to be in the older form. */
	if (cpu < LAYOUT_X2APIC_FIRST)
		entry->lapic = (struct madt_lapic) {
			.type = LAPIC_TYPE,
			.length = sizeof(entry->lapic),
			.uid = cpu,
			.apic_id = cpu,
			.flags = flags,
		};
	else
		entry->x2apic = (struct madt_x2apic) {
			.type = X2APIC_TYPE,
			.length = sizeof(entry->x2apic),
			.apic_id = cpu,
			.flags = flags,
			.uid = cpu,
		};
	return cpu < LAYOUT_X2APIC_FIRST ? sizeof(entry->lapic) : sizeof(entry->x2apic);
}

/* The CPU's device. */
static const char *cpu_name(char *name, unsigned int cpu)
{
	snprintf(name, NAME_SIZE, "C%03X", cpu & 0xfff);
	return name;
}

/* Its register. */
static const char *register_name(char *name, unsigned int cpu)
{
	snprintf(name, NAME_SIZE, "S%03X", cpu & 0xfff);
	return name;
}

static void registers(struct aml *aml, unsigned int count)
{
	char name[NAME_SIZE];
	size_t field;

	aml_memory_region(aml, "CPUR", LAYOUT_CPUS, LAYOUT_CPUS_SIZE);
	field = aml_field_begin(aml, "CPUR");
	aml_field_dword(aml, "EVNT");
	for (unsigned int i = 0; i < count; i++)
		aml_field_dword(aml, register_name(name, i));
	aml_end(aml, field);
}

static void cpu_device(struct aml *aml, unsigned int cpu)
{
	union madt_processor entry;
	/* Looked at only while _STA says that the CPU is there. */
	unsigned int size = acpi_lapic(cpu, true, &entry);
	char name[NAME_SIZE];
	size_t device = aml_device_begin(aml, cpu_name(name, cpu)), method;

	aml_name_string(aml, "_HID", "ACPI0007");
	aml_name_integer(aml, "_UID", cpu);
	aml_name_buffer(aml, "_MAT", &entry, size);
	register_name(name, cpu);
	method = aml_method_begin(aml, "_STA", 0);
	aml_op(aml, AML_RETURN);
	aml_name(aml, name);
	aml_end(aml, method);
	/* The one that the machine starts with stays. */
	if (cpu) {
		method = aml_method_begin(aml, "_EJ0", 1);
		aml_op(aml, AML_STORE);
		aml_integer(aml, LAYOUT_CPU_EJECT);
		aml_name(aml, name);
		aml_end(aml, method);
	}
	aml_end(aml, device);
}

/* Method (NTFY, 2): tell the device of CPU Arg0 of Arg1. */
static void notify(struct aml *aml, unsigned int count)
{
	size_t method = aml_method_begin(aml, "NTFY", 2);
	char name[NAME_SIZE];

	for (unsigned int i = 0; i < count; i++) {
		size_t block = aml_block_begin(aml, AML_IF);

		aml_op(aml, AML_EQUAL);
		aml_op(aml, AML_ARG0);
		aml_integer(aml, i);
		aml_op(aml, AML_NOTIFY);
		aml_name(aml, cpu_name(name, i));
		aml_op(aml, AML_ARG1);
		aml_end(aml, block);
	}
	aml_end(aml, method);
}

/* While (One) { Local0 = EVNT; If (Local0 == 0) { Break }; NTFY (its halves) } */
static void take_events(struct aml *aml)
{
	size_t loop = aml_block_begin(aml, AML_WHILE), block;

	aml_integer(aml, 1);
	aml_op(aml, AML_STORE);
	aml_name(aml, "EVNT");
	aml_op(aml, AML_LOCAL0);
	block = aml_block_begin(aml, AML_IF);
	aml_op(aml, AML_EQUAL);
	aml_op(aml, AML_LOCAL0);
	aml_integer(aml, 0);
	aml_op(aml, AML_BREAK);
	aml_end(aml, block);
	aml_name(aml, "NTFY");
	aml_op(aml, AML_AND);
	aml_op(aml, AML_LOCAL0);
	aml_integer(aml, (1u << LAYOUT_CPU_EVENT_SHIFT) - 1);
	aml_op(aml, AML_NOWHERE);
	aml_op(aml, AML_SHIFT_RIGHT);
	aml_op(aml, AML_LOCAL0);
	aml_integer(aml, LAYOUT_CPU_EVENT_SHIFT);
	aml_op(aml, AML_NOWHERE);
	aml_end(aml, loop);
}

static void event_device(struct aml *aml)
{
	size_t device = aml_device_begin(aml, "GED"), part;

	aml_name_string(aml, "_HID", "ACPI0013");
	aml_name_integer(aml, "_UID", 0);
	part = aml_resources_begin(aml, "_CRS");
	aml_level_interrupt(aml, LAYOUT_GED_IRQ);
	aml_resources_end(aml, part);
	part = aml_method_begin(aml, "_EVT", 1);
	take_events(aml);
	aml_end(aml, part);
	aml_end(aml, device);
}

void acpi_cpus(struct aml *aml, unsigned int count)
{
	registers(aml, count);
	for (unsigned int i = 0; i < count; i++)
		cpu_device(aml, i);
	notify(aml, count);
	event_device(aml);
}
