/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A writer of ACPI Machine Language: the few objects that describe devices, and the
 * little code that some need.
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

/* Operators, and what they work on where that has no name. */
enum aml_op {
	AML_NOWHERE = 0x00,	/* for a result that is used where it is */
	AML_LOCAL0 = 0x60,
	AML_ARG0 = 0x68,
	AML_ARG1 = 0x69,
	AML_STORE = 0x70,	/* from, to */
	AML_SHIFT_RIGHT = 0x7a,	/* value, count, result */
	AML_AND = 0x7b,		/* two, result */
	AML_NOTIFY = 0x86,	/* object, value */
	AML_EQUAL = 0x93,	/* two */
	AML_IF = 0xa0,
	AML_WHILE = 0xa2,
	AML_RETURN = 0xa4,	/* value */
	AML_BREAK = 0xa5,
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

/* Field (@region, DWordAcc, NoLock, Preserve) { ... } */
size_t aml_field_begin(struct aml *aml, const char *region);
/* Method (@name, @args, Serialized) { ... } */
size_t aml_method_begin(struct aml *aml, const char *name, uint8_t args);
/* AML_IF or AML_WHILE; the predicate is the first thing inside. */
size_t aml_block_begin(struct aml *aml, enum aml_op op);

void aml_end(struct aml *aml, size_t start);
void aml_resources_end(struct aml *aml, size_t start);

void aml_integer(struct aml *aml, uint32_t value);
void aml_name_integer(struct aml *aml, const char *name, uint32_t value);
void aml_name_string(struct aml *aml, const char *name, const char *text);
/* Name (@name, EISAID (@id)), three letters and four hexadecimal digits */
void aml_name_eisaid(struct aml *aml, const char *name, const char *id);

/* Name (@name, Buffer () { ... }), up to 255 bytes */
void aml_name_buffer(struct aml *aml, const char *name, const void *data, uint8_t len);

/* OperationRegion (@name, SystemMemory, @start, @size); inside a field: its next 32 bits */
void aml_memory_region(struct aml *aml, const char *name, uint32_t start, uint32_t size);
void aml_field_dword(struct aml *aml, const char *name);

/* Code: operators and what they work on, operator first. */
void aml_op(struct aml *aml, enum aml_op op);
/* An object, or a method that is called with what follows. */
void aml_name(struct aml *aml, const char *name);

/* Inside resources: fixed ports, 16 bits decoded; an interrupt, active high. */
void aml_ports(struct aml *aml, uint16_t port, uint8_t count);
void aml_edge_interrupt(struct aml *aml, uint32_t gsi);
void aml_level_interrupt(struct aml *aml, uint32_t gsi);
/* Memory at a fixed address, read and written. */
void aml_memory(struct aml *aml, uint32_t start, uint32_t size);
/* What a bridge passes on: bus numbers, memory that is not cached. */
void aml_buses(struct aml *aml, uint16_t first, uint16_t count);
void aml_memory_window(struct aml *aml, uint32_t start, uint32_t size);

#endif /* RUNNER_BOOT_AML_H */
