// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The reader of "VALUE,key=value,...". Nothing is copied or changed: parts are a
 * start and a length.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "keys.h"

/* Longer than any number that fits. */
#define NUMBER_MAX	24

size_t keys_split(const char *text, const char **keys)
{
	size_t len = strcspn(text, ",");

	*keys = text + len;
	return len;
}

int keys_number(const char *text, size_t len, uint64_t *value)
{
	char copy[NUMBER_MAX];
	bool hex = len > 2 && text[0] == '0' && (text[1] | 0x20) == 'x';
	const char *digits = hex ? copy + 2 : copy;
	char *end;

	if (!len || len >= sizeof(copy))
		return 0;
	memcpy(copy, text, len);
	copy[len] = 0;
	if (!isxdigit((unsigned char)*digits))
		return 0;
	errno = 0;
	*value = strtoull(digits, &end, hex ? 16 : 10);
	return !errno && end == copy + len;
}

static const struct key_row *find(const struct key_row *rows, unsigned int count, const char *text,
				  size_t len)
{
	for (unsigned int i = 0; i < count; i++)
		if (strlen(rows[i].name) == len && !memcmp(rows[i].name, text, len))
			return &rows[i];
	return NULL;
}

static bool parse_word(const struct key_row *row, const char *text, size_t len, uint64_t *value)
{
	for (uint64_t i = 0; row->words[i]; i++) {
		if (strlen(row->words[i]) != len || memcmp(row->words[i], text, len))
			continue;
		*value = i;
		return true;
	}
	return false;
}

static bool parse_value(const struct key_row *row, const char *text, size_t len, uint64_t *value)
{
	if (row->words)
		return parse_word(row, text, len, value);
	return keys_number(text, len, value) && *value >= row->min && *value <= row->max;
}

/* Longer than the names of any table. */
#define NAMES_MAX	128

static enum status refuse(const char *option, const char *part, size_t len, const char *why)
{
	complain("run: --%s: '%.*s': %s", option, (int)len, part, why);
	return STATUS_USAGE;
}

static enum status refuse_key(const char *option, const char *part, size_t len,
			      const struct key_row *rows, unsigned int count)
{
	char names[NAMES_MAX] = "";
	size_t end = 0;

	for (unsigned int i = 0; i < count && end < sizeof(names); i++)
		end += snprintf(names + end, sizeof(names) - end, "%s%s=", i ? ", " : "",
				rows[i].name);
	complain("run: --%s: '%.*s': not one of its keys; there are %s", option, (int)len, part,
		 names);
	return STATUS_USAGE;
}

static enum status refuse_value(const char *option, const char *part, size_t len,
				const struct key_row *row)
{
	char words[NAMES_MAX] = "";
	size_t end = 0;

	if (!row->words) {
		complain("run: --%s: '%.*s': not a number from %llu to %llu; write one", option,
			 (int)len, part, (unsigned long long)row->min,
			 (unsigned long long)row->max);
		return STATUS_USAGE;
	}
	for (unsigned int i = 0; row->words[i] && end < sizeof(words); i++)
		end += snprintf(words + end, sizeof(words) - end, "%s%s", i ? ", " : "",
				row->words[i]);
	complain("run: --%s: '%.*s': no such value; there are %s", option, (int)len, part, words);
	return STATUS_USAGE;
}

enum status keys_parse(const char *option, const char *keys, const struct key_row *rows,
		       unsigned int count, void *out)
{
	uint64_t seen = 0;

	while (*keys) {
		size_t len = strcspn(++keys, ",");
		size_t name_len = strcspn(keys, "=");
		const struct key_row *row = name_len < len ? find(rows, count, keys, name_len) :
							     NULL;
		uint64_t value, bit;

		if (!len)
			return refuse(option, ",", 1, "nothing behind it; leave it out");
		if (!row)
			return refuse_key(option, keys, len, rows, count);
		bit = 1ULL << (row - rows);
		if (seen & bit)
			return refuse(option, keys, len, "given twice; give it once");
		seen |= bit;
		if (!parse_value(row, keys + name_len + 1, len - name_len - 1, &value))
			return refuse_value(option, keys, len, row);
		*(uint64_t *)((char *)out + row->offset) = value;
		keys += len;
	}
	return STATUS_OK;
}
