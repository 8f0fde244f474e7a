/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The little of TAP that a unit test needs.
 *
 * A test is main() with ok(), is() and is_str() calls, closed by
 * `return tap_end();`. Each call is one numbered point whose name states the
 * claim. The plan comes last, so a test that dies on the way shows no plan and
 * no zero status: neither can be taken for a pass. A loop over many cases
 * reports its first failures with tap_note() and closes with one ok().
 */
#ifndef UNIT_TAP_H
#define UNIT_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#ifndef __printf
#define __printf(text, args)	__attribute__((format(printf, text, args)))
#endif

static unsigned int tap_points;
static unsigned int tap_failures;

/* A line of explanation, printed below the point it belongs to. */
static inline __printf(1, 2) void tap_note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("# ", stdout);
	vprintf(format, args);
	putchar('\n');
	va_end(args);
}

static inline __printf(2, 3) bool tap_point(bool good, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("%sok %u - ", good ? "" : "not ", ++tap_points);
	vprintf(format, args);
	putchar('\n');
	fflush(stdout);		/* what was reached stays visible if the next step dies */
	va_end(args);
	tap_failures += !good;
	return good;
}

static inline bool tap_same(unsigned long long got, unsigned long long want)
{
	if (got != want)
		tap_note("expected %#llx (%lld), got %#llx (%lld)", want, want, got, got);
	return got == want;
}

static inline bool tap_same_str(const char *got, const char *want)
{
	bool same = got && want ? !strcmp(got, want) : got == want;

	if (!same)
		tap_note("expected \"%s\", got \"%s\"", want ? want : "(null)",
			 got ? got : "(null)");
	return same;
}

/* ok(condition, claim, ...): the claim is a printf format with its arguments. */
#define ok(condition, ...) ({							\
	bool _good = tap_point(!!(condition), __VA_ARGS__);			\
	if (!_good)								\
		tap_note("%s:%d: %s", __FILE__, __LINE__, #condition);		\
	_good;									\
})

/* is(got, want, claim, ...): integers of any width. */
#define is(got, want, ...) ({							\
	bool _good = tap_point(tap_same((got), (want)),	\
			       __VA_ARGS__);					\
	if (!_good)								\
		tap_note("%s:%d: %s", __FILE__, __LINE__, #got);		\
	_good;									\
})

/* is_str(got, want, claim, ...): strings; either may be NULL. */
#define is_str(got, want, ...) ({						\
	bool _good = tap_point(tap_same_str((got), (want)), __VA_ARGS__);	\
	if (!_good)								\
		tap_note("%s:%d: %s", __FILE__, __LINE__, #got);		\
	_good;									\
})

/* A point that cannot be tested here; the reason is what a user can change. */
static inline void tap_skip(const char *claim, const char *reason)
{
	printf("ok %u - %s # SKIP %s\n", ++tap_points, claim, reason);
	fflush(stdout);
}

/* Prints the plan; the program's exit status. A test without a point failed. */
static inline int tap_end(void)
{
	printf("1..%u\n", tap_points);
	if (!tap_points)
		tap_note("no test point was reached");
	return tap_failures || !tap_points;
}

#endif /* UNIT_TAP_H */
