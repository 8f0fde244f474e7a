// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * AML encoding. Lengths of packages always take three bytes: that covers a MiB,
 * and the place is known before the contents are.
 */
#include <stdlib.h>
#include <string.h>
#include "aml.h"

/* Opcodes and prefixes */
#define OP_NAME		0x08
#define OP_BYTE		0x0a
#define OP_WORD		0x0b
#define OP_DWORD	0x0c
#define OP_STRING	0x0d
#define OP_SCOPE	0x10
#define OP_BUFFER	0x11
#define OP_PACKAGE	0x12
#define OP_METHOD	0x14
#define OP_EXT		0x5b
#define OP_EXT_REGION	0x80
#define OP_EXT_FIELD	0x81
#define OP_EXT_DEVICE	0x82
#define ROOT		'\\'
#define SEGMENT		4

#define PKG_LENGTH_SIZE	3

#define REGION_MEMORY	0x00
#define FIELD_DWORD	0x03
#define METHOD_SERIALIZED 0x08

/* Resource descriptors */
#define RES_IO		0x47
#define RES_IO_DECODE16	0x01
#define RES_INTERRUPT	0x89
#define RES_CONSUMER	0x01
#define RES_EDGE	0x02
#define RES_MEMORY32	0x86
#define RES_DWORD_SPACE	0x87
#define RES_WORD_SPACE	0x88
#define RES_SPACE_MEMORY 0
#define RES_SPACE_BUS	2
#define RES_SPACE_FIXED	0x0c	/* both ends are */
#define RES_WRITABLE	0x01
#define RES_END		0x79

void aml_bytes(struct aml *aml, const void *data, size_t len)
{
	if (len > aml->max - aml->len) {
		aml->overflow = true;
		return;
	}
	memcpy(aml->buf + aml->len, data, len);
	aml->len += len;
}

static void byte(struct aml *aml, uint8_t value)
{
	aml_bytes(aml, &value, 1);
}

static void word(struct aml *aml, uint16_t value)
{
	aml_bytes(aml, &value, sizeof(value));
}

static void dword(struct aml *aml, uint32_t value)
{
	aml_bytes(aml, &value, sizeof(value));
}

/* Names are padded with underscores to whole segments. */
void aml_name(struct aml *aml, const char *text)
{
	char segment[SEGMENT];
	size_t len;

	if (*text == ROOT)
		byte(aml, *text++);
	memset(segment, '_', sizeof(segment));
	len = strnlen(text, SEGMENT);
	memcpy(segment, text, len);
	aml_bytes(aml, segment, sizeof(segment));
}

static size_t length_begin(struct aml *aml)
{
	size_t start = aml->len;

	aml_bytes(aml, "\0\0", PKG_LENGTH_SIZE);
	return start;
}

void aml_end(struct aml *aml, size_t start)
{
	size_t len = aml->len - start;

	if (aml->overflow)
		return;
	aml->buf[start] = (PKG_LENGTH_SIZE - 1) << 6 | (len & 0xf);
	aml->buf[start + 1] = len >> 4;
	aml->buf[start + 2] = len >> 12;
}

size_t aml_scope_begin(struct aml *aml, const char *path)
{
	size_t start;

	byte(aml, OP_SCOPE);
	start = length_begin(aml);
	aml_name(aml, path);
	return start;
}

size_t aml_device_begin(struct aml *aml, const char *device)
{
	size_t start;

	byte(aml, OP_EXT);
	byte(aml, OP_EXT_DEVICE);
	start = length_begin(aml);
	aml_name(aml, device);
	return start;
}

size_t aml_package_begin(struct aml *aml, const char *package, uint8_t count)
{
	size_t start;

	byte(aml, OP_NAME);
	aml_name(aml, package);
	byte(aml, OP_PACKAGE);
	start = length_begin(aml);
	byte(aml, count);
	return start;
}

size_t aml_field_begin(struct aml *aml, const char *region)
{
	size_t start;

	byte(aml, OP_EXT);
	byte(aml, OP_EXT_FIELD);
	start = length_begin(aml);
	aml_name(aml, region);
	byte(aml, FIELD_DWORD);
	return start;
}

size_t aml_method_begin(struct aml *aml, const char *method, uint8_t args)
{
	size_t start;

	byte(aml, OP_METHOD);
	start = length_begin(aml);
	aml_name(aml, method);
	byte(aml, METHOD_SERIALIZED | args);
	return start;
}

size_t aml_block_begin(struct aml *aml, enum aml_op op)
{
	byte(aml, op);
	return length_begin(aml);
}

/* A buffer says its size again, as an integer, which is filled in at the end. */
size_t aml_resources_begin(struct aml *aml, const char *resources)
{
	size_t start;

	byte(aml, OP_NAME);
	aml_name(aml, resources);
	byte(aml, OP_BUFFER);
	start = length_begin(aml);
	byte(aml, OP_WORD);
	word(aml, 0);
	return start;
}

void aml_resources_end(struct aml *aml, size_t start)
{
	size_t contents = start + PKG_LENGTH_SIZE + 1 + sizeof(uint16_t);
	uint16_t len;

	byte(aml, RES_END);
	byte(aml, 0);		/* a checksum that is not to be checked */
	if (aml->overflow)
		return;
	len = aml->len - contents;
	memcpy(aml->buf + contents - sizeof(len), &len, sizeof(len));
	aml_end(aml, start);
}

void aml_integer(struct aml *aml, uint32_t value)
{
	if (value <= 1) {	/* ZeroOp and OneOp are their values */
		byte(aml, value);
	} else if (value <= UINT8_MAX) {
		byte(aml, OP_BYTE);
		byte(aml, value);
	} else if (value <= UINT16_MAX) {
		byte(aml, OP_WORD);
		word(aml, value);
	} else {
		byte(aml, OP_DWORD);
		dword(aml, value);
	}
}

void aml_name_integer(struct aml *aml, const char *object, uint32_t value)
{
	byte(aml, OP_NAME);
	aml_name(aml, object);
	aml_integer(aml, value);
}

void aml_name_string(struct aml *aml, const char *object, const char *text)
{
	byte(aml, OP_NAME);
	aml_name(aml, object);
	byte(aml, OP_STRING);
	aml_bytes(aml, text, strlen(text) + 1);
}

/* Five bits a letter and the number's four digits, all in big-endian order. */
void aml_name_eisaid(struct aml *aml, const char *object, const char *id)
{
	uint32_t value = strtoul(id + 3, NULL, 16);

	for (int i = 0; i < 3; i++)
		value |= (uint32_t)(id[i] - '@') << (26 - 5 * i);
	aml_name_integer(aml, object, __builtin_bswap32(value));
}

void aml_name_buffer(struct aml *aml, const char *object, const void *data, uint8_t len)
{
	size_t start;

	byte(aml, OP_NAME);
	aml_name(aml, object);
	byte(aml, OP_BUFFER);
	start = length_begin(aml);
	aml_integer(aml, len);
	aml_bytes(aml, data, len);
	aml_end(aml, start);
}

void aml_memory_region(struct aml *aml, const char *region, uint32_t start, uint32_t size)
{
	byte(aml, OP_EXT);
	byte(aml, OP_EXT_REGION);
	aml_name(aml, region);
	byte(aml, REGION_MEMORY);
	aml_integer(aml, start);
	aml_integer(aml, size);
}

/* Its length in bits, which fits into the short form. */
void aml_field_dword(struct aml *aml, const char *unit)
{
	aml_name(aml, unit);
	byte(aml, 32);
}

void aml_op(struct aml *aml, enum aml_op op)
{
	byte(aml, op);
}

void aml_ports(struct aml *aml, uint16_t port, uint8_t count)
{
	byte(aml, RES_IO);
	byte(aml, RES_IO_DECODE16);
	word(aml, port);
	word(aml, port);
	byte(aml, 1);		/* alignment */
	byte(aml, count);
}

static void interrupt(struct aml *aml, uint32_t gsi, uint8_t flags)
{
	byte(aml, RES_INTERRUPT);
	word(aml, 2 + sizeof(gsi));
	byte(aml, flags);
	byte(aml, 1);		/* one interrupt */
	dword(aml, gsi);
}

void aml_edge_interrupt(struct aml *aml, uint32_t gsi)
{
	interrupt(aml, gsi, RES_CONSUMER | RES_EDGE);
}

void aml_level_interrupt(struct aml *aml, uint32_t gsi)
{
	interrupt(aml, gsi, RES_CONSUMER);
}

void aml_memory(struct aml *aml, uint32_t start, uint32_t size)
{
	byte(aml, RES_MEMORY32);
	word(aml, 1 + sizeof(start) + sizeof(size));
	byte(aml, RES_WRITABLE);
	dword(aml, start);
	dword(aml, size);
}

void aml_buses(struct aml *aml, uint16_t first, uint16_t count)
{
	byte(aml, RES_WORD_SPACE);
	word(aml, 3 + 5 * sizeof(first));
	byte(aml, RES_SPACE_BUS);
	byte(aml, RES_SPACE_FIXED);
	byte(aml, 0);		/* nothing type-specific */
	word(aml, 0);		/* granularity */
	word(aml, first);
	word(aml, first + count - 1);
	word(aml, 0);		/* translation */
	word(aml, count);
}

void aml_memory_window(struct aml *aml, uint32_t start, uint32_t size)
{
	byte(aml, RES_DWORD_SPACE);
	word(aml, 3 + 5 * sizeof(start));
	byte(aml, RES_SPACE_MEMORY);
	byte(aml, RES_SPACE_FIXED);
	byte(aml, RES_WRITABLE);
	dword(aml, 0);		/* granularity */
	dword(aml, start);
	dword(aml, start + size - 1);
	dword(aml, 0);		/* translation */
	dword(aml, size);
}
