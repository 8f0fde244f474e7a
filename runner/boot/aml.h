/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A writer of ACPI Machine Language: the few objects that describe devices.
 * Facts: ACPI Specification, "ACPI Machine Language (AML) Specification" and
 * "Resource Data Types for ACPI".
 *
 * Writing behind the buffer's end is dropped and remembered in overflow, so that
 * only the end of a table needs a check. Objects that hold others come in pairs:
 * what a begin returns is what its end takes.
 */
#ifndef RUNNER_BOOT_AML_H
#define RUNNER_BOOT_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *buf;
	size_t max;
	size_t len;
	bool overflow;
};

void aml_bytes(struct aml *aml, const void *data, size_t len);

/* Scope (@path) { ... }; a path is a root character, or nothing, and one segment. */
size_t aml_scope_begin(struct aml *aml, const char *path);
/* Device (@name) { ... } */
size_t aml_device_begin(struct aml *aml, const char *name);
/* Name (@name, Package (@count) { ... }) */
size_t aml_package_begin(struct aml *aml, const char *name, uint8_t count);
/* Name (@name, ResourceTemplate () { ... }) */
size_t aml_resources_begin(struct aml *aml, const char *name);

void aml_end(struct aml *aml, size_t start);
void aml_resources_end(struct aml *aml, size_t start);

void aml_integer(struct aml *aml, uint32_t value);
void aml_name_integer(struct aml *aml, const char *name, uint32_t value);
void aml_name_string(struct aml *aml, const char *name, const char *text);
/* Name (@name, EISAID (@id)), three letters and four hexadecimal digits */
void aml_name_eisaid(struct aml *aml, const char *name, const char *id);

/* Inside resources: fixed ports, 16 bits decoded; an interrupt, edge, active high. */
void aml_ports(struct aml *aml, uint16_t port, uint8_t count);
void aml_edge_interrupt(struct aml *aml, uint32_t gsi);
/* Memory at a fixed address, read and written. */
void aml_memory(struct aml *aml, uint32_t start, uint32_t size);
/* What a bridge passes on: bus numbers, memory that is not cached. */
void aml_buses(struct aml *aml, uint16_t first, uint16_t count);
void aml_memory_window(struct aml *aml, uint32_t start, uint32_t size);

#endif /* RUNNER_BOOT_AML_H */
