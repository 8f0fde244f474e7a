// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A real-time clock that tells time and date, for kernels that know no other. Facts: MC146818A data
 * sheet, "Address Map", "Registers" and "Update Cycle"; ACPI Specification, "Fixed ACPI
 * Description Table", for the century's place.
 *
 * There is no interrupt and no alarm, so ACPI's table says that there is no such clock: an
 * operating system that wants all of one shall not bind to it. The time is the host's, in UTC, and
 * goes on while the guest does not run. A guest may set it; that moves this machine's alone.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../layout.h"
#include "device.h"

#define PORT_INDEX	0
#define PORT_DATA	1
#define INDEX_MASK	0x7f	/* bit 7 holds back NMIs on a PC */

enum {
	SECONDS = 0,
	MINUTES = 2,
	HOURS = 4,
	WEEKDAY = 6,
	DAY = 7,
	MONTH = 8,
	YEAR = 9,
	REG_A = 10,
	REG_B = 11,
	REG_C = 12,
	REG_D = 13,
	CENTURY = LAYOUT_RTC_CENTURY,
};

#define A_UIP		(1 << 7)
#define A_START		0x26	/* 32,768 Hz, 1,024 periods a second */
#define B_SET		(1 << 7)
#define B_DM		(1 << 2)	/* binary, else BCD */
#define B_24		(1 << 1)
#define C_UF		(1 << 4)
#define D_VRT		(1 << 7)
#define HOUR_PM		(1 << 7)

/* The time is right for so long after UIP read as 0. */
#define NS_BEFORE_UPDATE	244000
#define NS			1000000000

#define YEAR_0			1900	/* of struct tm */
#define YEARS			10000

struct mc146818 {
	pthread_mutex_t lock;
	uint8_t index;
	uint8_t byte[INDEX_MASK + 1];	/* memory, and registers A and B */
	int64_t ahead;			/* of the host's clock, seconds */
	struct tm set;			/* the time while B_SET holds the clock */
	time_t told;			/* the host's second in which C was read last */
};

static struct timespec host_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now;
}

/* There are four digits: what carries over from month to year goes round, not out of range. */
static void wrap_year(struct tm *tm)
{
	int year = (tm->tm_year + YEAR_0) % YEARS;

	tm->tm_year = (year < 0 ? year + YEARS : year) - YEAR_0;
}

/* The guest's clock. */
static struct tm clock_of(const struct mc146818 *rtc)
{
	time_t now = host_time().tv_sec + rtc->ahead;
	struct tm tm = { 0 };

	if (rtc->byte[REG_B] & B_SET)
		return rtc->set;
	gmtime_r(&now, &tm);
	wrap_year(&tm);
	return tm;
}

static void set_clock(struct mc146818 *rtc, struct tm *tm)
{
	if (rtc->byte[REG_B] & B_SET)
		rtc->set = *tm;
	else
		rtc->ahead = timegm(tm) - host_time().tv_sec;
}

static uint8_t encode(const struct mc146818 *rtc, int value)
{
	return rtc->byte[REG_B] & B_DM ? value : value / 10 << 4 | value % 10;
}

static int decode(const struct mc146818 *rtc, uint8_t value)
{
	return rtc->byte[REG_B] & B_DM ? value : (value >> 4) * 10 + (value & 0xf);
}

static uint8_t encode_hours(const struct mc146818 *rtc, int hours)
{
	if (rtc->byte[REG_B] & B_24)
		return encode(rtc, hours);
	return encode(rtc, (hours + 11) % 12 + 1) | (hours >= 12 ? HOUR_PM : 0);
}

static int decode_hours(const struct mc146818 *rtc, uint8_t value)
{
	if (rtc->byte[REG_B] & B_24)
		return decode(rtc, value);
	return decode(rtc, value & ~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

static uint8_t read_register(struct mc146818 *rtc)
{
	const struct tm tm = clock_of(rtc);
	const struct timespec now = host_time();
	uint8_t flags;

	switch (rtc->index) {
	case SECONDS:
		return encode(rtc, tm.tm_sec);
	case MINUTES:
		return encode(rtc, tm.tm_min);
	case HOURS:
		return encode_hours(rtc, tm.tm_hour);
	case WEEKDAY:
		return encode(rtc, tm.tm_wday + 1);
	case DAY:
		return encode(rtc, tm.tm_mday);
	case MONTH:
		return encode(rtc, tm.tm_mon + 1);
	case YEAR:
		return encode(rtc, (tm.tm_year + YEAR_0) % 100);
	case CENTURY:
		return encode(rtc, (tm.tm_year + YEAR_0) / 100);
	case REG_A:
		if (now.tv_nsec < NS - NS_BEFORE_UPDATE || (rtc->byte[REG_B] & B_SET))
			return rtc->byte[REG_A];
		return rtc->byte[REG_A] | A_UIP;
	case REG_C:
		flags = now.tv_sec == rtc->told || (rtc->byte[REG_B] & B_SET) ? 0 : C_UF;
		rtc->told = now.tv_sec;
		return flags;
	case REG_D:
		return D_VRT;
	}
	return rtc->byte[rtc->index];
}

static void write_b(struct mc146818 *rtc, uint8_t value)
{
	struct tm tm = clock_of(rtc);

	rtc->byte[REG_B] = value;
	set_clock(rtc, &tm);
}

static void write_register(struct mc146818 *rtc, uint8_t value)
{
	struct tm tm = clock_of(rtc);
	int year = tm.tm_year + YEAR_0;

	switch (rtc->index) {
	case SECONDS:
		tm.tm_sec = decode(rtc, value);
		break;
	case MINUTES:
		tm.tm_min = decode(rtc, value);
		break;
	case HOURS:
		tm.tm_hour = decode_hours(rtc, value);
		break;
	case DAY:
		tm.tm_mday = decode(rtc, value);
		break;
	case MONTH:
		tm.tm_mon = decode(rtc, value) - 1;
		break;
	case YEAR:
		tm.tm_year = year / 100 * 100 + decode(rtc, value) % 100 - YEAR_0;
		break;
	case CENTURY:
		tm.tm_year = decode(rtc, value) % 100 * 100 + year % 100 - YEAR_0;
		break;
	case REG_A:
		rtc->byte[REG_A] = value & ~A_UIP;
		return;
	case REG_B:
		write_b(rtc, value);
		return;
	case WEEKDAY:	/* is the date's */
	case REG_C:
	case REG_D:
		return;
	default:
		rtc->byte[rtc->index] = value;
		return;
	}
	set_clock(rtc, &tm);
}

static uint64_t mc146818_read(void *device, uint64_t offset, unsigned int size)
{
	struct mc146818 *rtc = device;
	uint8_t value;

	(void)size;
	if (offset == PORT_INDEX)
		return UINT8_MAX;
	pthread_mutex_lock(&rtc->lock);
	value = read_register(rtc);
	pthread_mutex_unlock(&rtc->lock);
	return value;
}

static void mc146818_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	struct mc146818 *rtc = device;

	(void)size;
	pthread_mutex_lock(&rtc->lock);
	if (offset == PORT_INDEX)
		rtc->index = value & INDEX_MASK;
	else
		write_register(rtc, value);
	pthread_mutex_unlock(&rtc->lock);
}

static void *mc146818_create(struct device_env *env)
{
	struct mc146818 *rtc = calloc(1, sizeof(*rtc));
	struct tm tm;

	(void)env;
	if (!rtc)
		return NULL;
	pthread_mutex_init(&rtc->lock, NULL);
	rtc->byte[REG_A] = A_START;
	rtc->byte[REG_B] = B_24;
	rtc->told = host_time().tv_sec;
	/* The C library looks for time zones once, which the sandbox does not allow. */
	gmtime_r(&rtc->told, &tm);
	return rtc;
}

static void mc146818_destroy(void *device)
{
	struct mc146818 *rtc = device;

	pthread_mutex_destroy(&rtc->lock);
	free(rtc);
}

const struct device_type mc146818_type = {
	.name = "mc146818",
	.start = LAYOUT_RTC,
	.size = LAYOUT_RTC_SIZE,
	.ops = { mc146818_read, mc146818_write, 1, 1 },
	.create = mc146818_create,
	.destroy = mc146818_destroy,
};
