// SPDX-License-Identifier: GPL-2.0-or-later
/* What an examination found, in words that a terminal can show whatever they quote. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "doctor.h"

struct doctor_finding *doctor_add(struct doctor_report *report, const char *name)
{
	struct doctor_finding *finding;

	/* The tables are constant; a row too many is seen by the first test. */
	if (report->count == DOCTOR_FINDINGS_MAX)
		abort();
	finding = &report->finding[report->count++];
	*finding = (struct doctor_finding) { .name = name };
	return finding;
}

enum status doctor_status(const struct doctor_report *report)
{
	for (unsigned int i = 0; i < report->count; i++)
		if (report->finding[i].level == DOCTOR_FAIL)
			return report->finding[i].status;
	return STATUS_OK;
}

/*
 * How many bytes make up the character at @s; 0: they are no UTF-8, a control, or one
 * of the rare characters that are not worth their special cases.
 */
static unsigned int character(const unsigned char *s)
{
	unsigned int len = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 :
			   s[0] >= 0xe1 && s[0] < 0xed ? 3 : 0;

	if (len == 1)
		return s[0] >= ' ' && s[0] != 0x7f;
	for (unsigned int i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* The controls of Latin-1. */
	return len == 2 && s[0] == 0xc2 && s[1] < 0xa0 ? 0 : len;
}

void doctor_clean(char *text)
{
	unsigned char *s = (unsigned char *)text;

	while (*s) {
		unsigned int len = character(s);

		if (!len)
			*s = '?';
		s += len ? len : 1;
	}
}

static void set(char *text, const char *fmt, va_list ap)
{
	vsnprintf(text, DOCTOR_LINE, fmt, ap);
	doctor_clean(text);
}

void doctor_say(struct doctor_finding *finding, enum doctor_level level, const char *fmt, ...)
{
	va_list ap;

	finding->level = level;
	va_start(ap, fmt);
	set(finding->text, fmt, ap);
	va_end(ap);
}

void doctor_fail(struct doctor_finding *finding, enum status status, const char *fmt, ...)
{
	va_list ap;

	finding->level = DOCTOR_FAIL;
	finding->status = status;
	va_start(ap, fmt);
	set(finding->text, fmt, ap);
	va_end(ap);
}

void doctor_cure(struct doctor_finding *finding, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set(finding->cure, fmt, ap);
	va_end(ap);
}
