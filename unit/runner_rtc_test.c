// SPDX-License-Identifier: GPL-2.0-or-later
/* The real-time clock on a bus as the machine has it, against this machine's time. */
/* unit-sources: ../runner/devices/mc146818.c ../runner/devices/8254.c ../runner/bus.c */
#include <stdlib.h>
#include <time.h>
#include "tap.h"
#include "../runner/bus.h"
#include "../runner/layout.h"
#include "../runner/devices/device.h"

static struct bus bus;

static uint8_t get(uint8_t index)
{
	bus_write(&bus, 0x70, 1, index);
	return bus_read(&bus, 0x71, 1);
}

static void put(uint8_t index, uint8_t value)
{
	bus_write(&bus, 0x70, 1, index);
	bus_write(&bus, 0x71, 1, value);
}

static int from_bcd(uint8_t value)
{
	return (value >> 4) * 10 + (value & 0xf);
}

/* Time and date in BCD and of 24 hours, as drivers read them. */
static time_t clock_bcd(void)
{
	struct tm tm;
	uint8_t seconds;

	do {
		seconds = get(0);
		tm = (struct tm) {
			.tm_sec = from_bcd(seconds), .tm_min = from_bcd(get(2)),
			.tm_hour = from_bcd(get(4)), .tm_mday = from_bcd(get(7)),
			.tm_mon = from_bcd(get(8)) - 1,
			.tm_year = from_bcd(get(0x32)) * 100 + from_bcd(get(9)) - 1900,
		};
	} while (seconds != get(0));
	return timegm(&tm);
}

static bool is_near(time_t a, time_t b)
{
	return a >= b && a - b <= 30;
}

static void test_reads(void)
{
	time_t now = time(NULL);
	struct tm tm;

	ok(is_near(clock_bcd(), now), "time and date are the host's, in UTC");
	gmtime_r(&now, &tm);
	ok(get(6) == tm.tm_wday + 1 || now % 86400 > 86300, "the day of the week");
	is(get(10) & 0x7f, 0x26, "register A");
	is(get(11), 0x02, "register B: BCD, 24 hours");
	is(get(13), 0x80, "register D: time and memory are valid");
	is(bus_read(&bus, 0x70, 1), 0xff, "the index cannot be read");
	is(bus_read(&bus, 0x70, 2) & 0xff, 0xff, "by two bytes neither");
	is(get(0x80 | 13), 0x80, "bit 7 of the index is not of it");
}

static struct timespec now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t;
}

static bool is_before_update(const struct timespec *t)
{
	return t->tv_nsec >= 1000000000 - 244000;
}

/*
 * Each reading lies between two of this machine's clock, which say what it must be unless the
 * second or the moment before its end began in between. A process that seldom runs sees less, not
 * wrong things; the limit is for a clock that never says it.
 */
static void test_update(void)
{
	unsigned int ended = 0, progress = 0, wrong = 0;
	struct timespec before, after, last_before = now(), last_after;
	const time_t limit = last_before.tv_sec + 60;
	bool flag;

	get(12);
	last_after = now();
	while ((ended < 2 || !progress) && last_after.tv_sec < limit) {
		before = now();
		flag = get(12) == 0x10;
		after = now();
		if (before.tv_sec > last_after.tv_sec)
			wrong += !flag;
		if (after.tv_sec == last_before.tv_sec)
			wrong += flag;
		ended += flag;
		last_before = before;
		last_after = after;

		before = now();
		flag = get(10) & 0x80;
		after = now();
		if (before.tv_sec == after.tv_sec && is_before_update(&before))
			wrong += !flag;
		if (before.tv_sec == after.tv_sec && !is_before_update(&after))
			wrong += flag;
		progress += flag;
	}
	ok(ended >= 2, "an update ends");
	ok(progress, "and is in progress before");
	is(wrong, 0, "once a second, and for 244 us");
}

/* The leap day of a year that is no leap year, the last second of a century. */
static void set(uint8_t century, uint8_t year, uint8_t month, uint8_t day, uint8_t hour)
{
	put(11, 0x82);
	put(0x32, century);
	put(9, year);
	put(8, month);
	put(7, day);
	put(4, hour);
	put(2, 0x59);
	put(0, 0x10);
	put(11, 0x02);
}

static void test_set(void)
{
	const time_t last = 4102444750;	/* 2099-12-31 23:59:10 */
	time_t held;

	set(0x20, 0x99, 0x12, 0x31, 0x23);
	ok(is_near(clock_bcd(), last), "a guest sets time and date");
	is(get(6), 5, "the day of the week is that of the date");
	put(6, 1);
	is(get(6), 5, "and not of who writes it");
	put(0, 0x55);
	ok(is_near(clock_bcd(), last + 45), "one of them alone goes on from there");
	put(11, 0x82);
	held = clock_bcd();
	is(get(10) & 0x80, 0, "while it is set no update is in progress");
	is(clock_bcd(), held, "and time stands");
	put(11, 0x02);
	ok(is_near(clock_bcd(), held), "and goes on from there");
	set(0x20, 0x25, 0x02, 0x29, 0x00);
	is(get(8), 3, "a day that the month has not is one of the next");
	is(get(7), 1, "the first");
	set(0xff, 0xff, 0xff, 0xff, 0xff);
	ok(get(7) >= 1 && get(8) <= 0x12, "nonsense makes some date");
	set(0x00, 0x00, 0x00, 0x00, 0x00);
	ok(get(7) >= 1 && get(8) <= 0x12, "zeros, too");
	set(0x00, 0x00, 0x01, 0x01, 0x00);
	put(8, 0x00);
	is(get(0x32) << 8 | get(9), 0x9999, "before the first year is the last");
	put(8, 0x13);
	is(get(0x32) << 8 | get(9), 0x0000, "behind which it begins anew");
}

static void test_formats(void)
{
	static const struct {
		uint8_t hour, b, want;
	} hours[] = {
		{ 0x00, 0x00, 0x12 }, { 0x01, 0x00, 0x01 }, { 0x11, 0x00, 0x11 },
		{ 0x12, 0x00, 0x92 }, { 0x13, 0x00, 0x81 }, { 0x23, 0x00, 0x91 },
		{ 0x23, 0x04, 0x8b }, { 0x12, 0x04, 0x8c }, { 0x23, 0x06, 23 }, { 0x00, 0x04, 12 },
	};

	for (size_t i = 0; i < sizeof(hours) / sizeof(hours[0]); i++) {
		set(0x20, 0x26, 0x11, 0x27, hours[i].hour);
		put(11, hours[i].b);
		is(get(4), hours[i].want, "hour %02x in format %x", hours[i].hour, hours[i].b);
		put(4, hours[i].want);
		put(11, 0x02);
		is(get(4), hours[i].hour, "and back");
	}
	put(11, 0x06);
	is(get(9), 26, "the year in binary");
	put(11, 0x02);
	is(get(9), 0x26, "and in BCD");
}

static void test_memory(void)
{
	for (unsigned int i = 14; i < 128; i++) {
		if (i == 0x32)
			continue;
		if (get(i))
			ok(false, "byte %u is 0 at first", i);
		put(i, i);
	}
	for (unsigned int i = 14; i < 128; i++)
		if (i != 0x32 && get(i) != i)
			ok(false, "byte %u is as it was written", i);
	put(12, 0xff);
	put(13, 0);
	is(get(13), 0x80, "registers C and D are not written");
}

int main(void)
{
	static const struct device_type *const types[] = { &mc146818_type, &no_8254_type };
	struct device_env env = { 0 };
	struct bus_range range[2];

	setenv("TZ", "ABC+7", 1);
	for (size_t i = 0; i < 2; i++) {
		range[i] = (struct bus_range) { types[i]->start, types[i]->size, &types[i]->ops,
						types[i]->create(&env) };
		ok(bus_add(&bus, &range[i]), "%s", types[i]->name);
	}
	test_memory();
	test_reads();
	test_update();
	test_set();
	test_formats();
	bus_write(&bus, 0x43, 1, 0x34);
	is(bus_read(&bus, 0x42, 1), 0, "counters of no PIT read as 0");
	for (size_t i = 0; i < 2; i++)
		types[i]->destroy(range[i].device);
	return tap_end();
}
