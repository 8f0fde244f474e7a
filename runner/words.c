// SPDX-License-Identifier: GPL-2.0-or-later
/* Words with commas between them, by a table. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "words.h"

#define FD_MAX	0x7fffffffUL

/* The end of FIRST in @text: a comma that is not doubled, or the end. */
static size_t first_end(const char *text)
{
	size_t i = 0;

	while (text[i] && !(text[i] == ',' && text[i + 1] != ','))
		i += text[i] == ',' ? 2 : 1;
	return i;
}

static char *copy_first(const char *text, size_t len)
{
	char *first = malloc(len + 1), *to = first;

	for (size_t i = 0; first && i < len; i++) {
		*to++ = text[i];
		if (text[i] == ',')
			i++;
	}
	if (first)
		*to = 0;
	return first;
}

static enum status refuse(const struct word_table *table, const char *word, size_t len,
			  const char *why)
{
	complain("--%s: '%.*s': %s", table->option, (int)len, word, why);
	return STATUS_USAGE;
}

static bool parse_number(const char *text, size_t len, const struct word_row *row,
			 uint64_t *value)
{
	char *end;

	if (!len || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return !errno && end == text + len && *value >= row->min && *value <= row->max;
}

static enum status add_item(const struct word_table *table, const struct word_row *row,
			    const char *word, size_t len, struct word_list *list)
{
	size_t name = strlen(row->name) + 1;

	if (len == name)
		return refuse(table, word, len, "is empty; write a value");
	if (list->count == row->max)
		return refuse(table, word, len, "is given too often; leave some out");
	list->item[list->count] = word + name;
	list->len[list->count++] = len - name;
	return STATUS_OK;
}

static enum status store(const struct word_table *table, const struct word_row *row,
			 const char *word, size_t len, void *members)
{
	void *member = (char *)members + row->offset;
	size_t name = strlen(row->name);
	const char *value = word + name + 1;
	size_t value_len = len > name ? len - name - 1 : 0;
	uint64_t number = 0;

	if (row->kind == WORD_FLAG) {
		if (len > name)
			return refuse(table, word, len, "takes no value; leave it out");
		*(bool *)member = true;
		return STATUS_OK;
	}
	if (len == name)
		return refuse(table, word, len, "lacks its value; write '=' and one");
	if (row->kind == WORD_LIST)
		return add_item(table, row, word, len, member);
	if (row->kind == WORD_TEXT) {
		if (value_len < row->min || value_len > row->max)
			return refuse(table, word, len, "is empty or too long");
		memcpy(member, value, value_len);
		return STATUS_OK;
	}
	if (!parse_number(value, value_len, row, &number)) {
		complain("--%s: '%.*s': not a number from %llu to %llu; write one", table->option,
			 (int)len, word, (unsigned long long)row->min,
			 (unsigned long long)row->max);
		return STATUS_USAGE;
	}
	if (row->kind == WORD_COUNT)
		*(uint32_t *)member = number;
	else
		*(uint64_t *)member = number;
	return STATUS_OK;
}

static enum status parse_word(const struct word_table *table, const char *word, size_t len,
			      void *members, uint64_t *seen)
{
	size_t name = 0;

	if (!len)
		return refuse(table, ",", 1, "nothing behind it; leave it out");
	while (name < len && word[name] != '=')
		name++;
	for (unsigned int i = 0; i < table->count; i++) {
		const struct word_row *row = &table->rows[i];

		if (strlen(row->name) != name || memcmp(row->name, word, name))
			continue;
		if (*seen & 1ULL << i && row->kind != WORD_LIST)
			return refuse(table, word, len, "is given twice; give it once");
		*seen |= 1ULL << i;
		return store(table, row, word, len, members);
	}
	return refuse(table, word, len, "unknown; the manual page lists the words");
}

enum status words_parse(const struct word_table *table, const char *text, const char **first,
			void *members)
{
	size_t len = first_end(text);
	enum status status = STATUS_OK;
	uint64_t seen = 0;

	*first = copy_first(text, len);
	if (!*first) {
		complain("no memory for --%s; free some", table->option);
		return STATUS_HOST;
	}
	if (!len)
		return refuse(table, text, strlen(text), "starts with nothing; name something");
	for (text += len; !status && *text; text += len) {
		text++;
		len = strcspn(text, ",");
		status = parse_word(table, text, len, members, &seen);
	}
	return status;
}

bool words_fd(const char *text, int *fd)
{
	unsigned long value;
	char *end;

	if (strncmp(text, "fd=", 3) || text[3] < '0' || text[3] > '9')
		return false;
	errno = 0;
	value = strtoul(text + 3, &end, 10);
	if (errno || value > FD_MAX || (*end && *end != ','))
		return false;
	*fd = value;
	return true;
}

static const struct {
	char letter;
	unsigned int shift;
} units[] = {
	{ 'K', 10 }, { 'M', 20 }, { 'G', 30 }, { 'T', 40 },
};

bool words_size(const char *text, uint64_t *size)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*size = strtoull(text, &end, 10);
	if (errno || !end[0] || end[1])
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if ((*end & ~0x20) != units[i].letter)
			continue;
		if (*size > UINT64_MAX >> units[i].shift)
			return false;
		*size <<= units[i].shift;
		return true;
	}
	return false;
}
