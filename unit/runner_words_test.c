// SPDX-License-Identifier: GPL-2.0-or-later
/* The words of a device's option. */
/* unit-sources: ../runner/words.c */
/* unit-flags: -D_GNU_SOURCE */
#include <stdarg.h>
#include <stdlib.h>
#include "tap.h"
#include "../runner/words.h"

static char complaint[256];

void complain(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(complaint, sizeof(complaint), fmt, args);
	va_end(args);
}

struct members {
	bool flag;
	uint32_t count;
	uint64_t large;
	char text[4];
};

static const struct word_row rows[] = {
	{ "flag", WORD_FLAG, offsetof(struct members, flag), 0, 0 },
	{ "count", WORD_COUNT, offsetof(struct members, count), 1, 16 },
	{ "large", WORD_COUNT64, offsetof(struct members, large), 0, UINT64_MAX },
	{ "text", WORD_TEXT, offsetof(struct members, text), 1, 4 },
};

static const struct word_table table = { "thing", rows, 4 };
static struct members members;
static char *first;

static enum status parse(const char *text)
{
	const char *got;
	enum status status;

	free(first);
	complaint[0] = 0;
	members = (struct members) { .count = 7 };
	status = words_parse(&table, text, &got, &members);
	first = (char *)got;
	return status;
}

static void test_good(void)
{
	is(parse("file"), STATUS_OK, "a name alone");
	is_str(first, "file", "is taken");
	is(members.count, 7, "defaults stay");
	is(parse("a,,b,flag,count=16,large=18446744073709551615,text=abcd"), STATUS_OK,
	   "all kinds of words");
	is_str(first, "a,b", "a doubled comma is one");
	ok(members.flag && members.count == 16 && members.large == UINT64_MAX &&
	   !memcmp(members.text, "abcd", 4), "and all are taken");
	is(parse(",,,,"), STATUS_OK, "a name of commas");
	is_str(first, ",,", "is half as long");
}

static void test_bad(void)
{
	static const char *const bad[] = {
		"", ",flag", "f,", "f,,", "f,other", "f,flag=1", "f,flag,flag", "f,count",
		"f,count=",
		"f,count=0", "f,count=17", "f,count=1x", "f,count=-1", "f,count= 1", "f,text=",
		"f,text=abcde", "f,large=18446744073709551616", "f,fla", "f,flags", "f,=1",
	};
	unsigned int refused = 0, told = 0;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (!strcmp(bad[i], "f,,"))
			continue;	/* a name with a comma */
		if (parse(bad[i]) == STATUS_USAGE)
			refused++;
		else
			tap_note("taken: %s", bad[i]);
		told += !strncmp(complaint, "--thing: ", 9) && strchr(complaint, ';');
	}
	is(refused, 19, "what is wrong is refused");
	ok(told >= 17, "with the option, the word, and what to do");
	parse("f,flag,");
	is_str(complaint, "--thing: ',': nothing behind it; leave it out", "a comma too many");
}

static void test_fd(void)
{
	int fd = -1;

	ok(words_fd("fd=3", &fd) && fd == 3, "a descriptor");
	ok(words_fd("fd=17,ro", &fd) && fd == 17, "with words behind it");
	ok(!words_fd("fd=", &fd) && !words_fd("fd=x", &fd) && !words_fd("fd=3x", &fd) &&
	   !words_fd("fd=-1", &fd) && !words_fd("fd=99999999999", &fd) && !words_fd("file", &fd),
	   "is a number");
}

int main(void)
{
	test_good();
	test_bad();
	test_fd();
	free(first);
	return tap_end();
}
