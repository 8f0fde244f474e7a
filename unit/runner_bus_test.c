// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The bus of runner/bus.c: who gets an access, in which pieces, and what nobody
 * answers.
 */
/* unit-sources: ../runner/bus.c */
#include "tap.h"
#include "../runner/bus.h"

/* A device that notes its accesses and reads its offset's bytes. */
#define NOTES	16

struct recorder {
	unsigned int count;
	struct {
		uint64_t offset, value;
		unsigned int size;
	} note[NOTES];
};

static void take(struct recorder *rec, uint64_t offset, unsigned int size, uint64_t value)
{
	if (rec->count < NOTES) {
		rec->note[rec->count].offset = offset;
		rec->note[rec->count].size = size;
		rec->note[rec->count].value = value;
	}
	rec->count++;
}

/* Byte n of the device reads as n. */
static uint64_t recorder_read(void *device, uint64_t offset, unsigned int size)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < size; i++)
		value |= (offset + i) << (i * 8);
	take(device, offset, size, value);
	return value;
}

static void recorder_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	take(device, offset, size, value);
}

static const struct bus_ops bytes = { recorder_read, recorder_write, 1, 1 };
static const struct bus_ops words = { recorder_read, recorder_write, 4, 4 };
static const struct bus_ops wide = { recorder_read, recorder_write, 1, 8 };

static bool add(struct bus *bus, uint64_t start, uint64_t size, const struct bus_ops *ops,
		void *device)
{
	struct bus_range range = { start, size, ops, device };

	return bus_add(bus, &range);
}

static void test_add(void)
{
	struct bus bus = { 0 };
	struct recorder rec = { 0 };

	ok(add(&bus, 0x100, 0x10, &bytes, &rec), "a range can be added");
	ok(add(&bus, 0x80, 0x80, &bytes, &rec), "so can one that ends where it starts");
	ok(add(&bus, 0x110, 1, &bytes, &rec), "and one that starts where it ends");
	ok(!add(&bus, 0x10f, 1, &bytes, &rec), "its last byte is taken");
	ok(!add(&bus, 0x100, 1, &bytes, &rec), "its first byte is taken");
	ok(!add(&bus, 0, 0x81, &bytes, &rec), "an overlap from below is refused");
	ok(!add(&bus, 0, 0x1000, &bytes, &rec), "one over everything is refused");
	ok(!add(&bus, 0x200, 0, &bytes, &rec), "an empty range is refused");
	ok(!add(&bus, UINT64_MAX, 2, &bytes, &rec), "a range that wraps is refused");
	ok(add(&bus, UINT64_MAX, 1, &bytes, &rec), "the last address can be owned");
	ok(!add(&bus, 0x202, 8, &words, &rec), "a range that cuts registers is refused");
	is(bus.count, 4, "what was refused left nothing");
	for (uint64_t at = 0x1000; bus.count < BUS_RANGES_MAX; at += 0x10)
		add(&bus, at, 1, &bytes, &rec);
	ok(!add(&bus, 0x10, 1, &bytes, &rec), "a full bus refuses");
	for (unsigned int i = 1; i < bus.count; i++)
		if (bus.range[i].start <= bus.range[i - 1].start)
			ok(false, "ranges are sorted");
}

static void test_unowned(void)
{
	struct bus bus = { 0 };
	struct recorder rec = { 0 };

	is(bus_read(&bus, 0x100, 1), 0xff, "an empty bus reads all-ones, 1 byte");
	is(bus_read(&bus, 0x100, 4), 0xffffffff, "4 bytes");
	is(bus_read(&bus, 0x100, 8), UINT64_MAX, "8 bytes");
	add(&bus, 0x100, 4, &bytes, &rec);
	bus_write(&bus, 0xfc, 4, 0x12345678);
	bus_write(&bus, 0x104, 8, 0x12345678);
	is(rec.count, 0, "writes beside a device do not reach it");
	is(bus_read(&bus, 0xffff, 4), 0xffffffff, "an access behind the last port is nobody's");
	is(bus_read(&bus, UINT64_MAX, 8), UINT64_MAX, "so is one that wraps");
}

static void test_split(void)
{
	struct bus bus = { 0 };
	struct recorder rec = { 0 };

	add(&bus, 0x100, 8, &bytes, &rec);
	is(bus_read(&bus, 0x102, 4), 0x05040302, "byte registers answer a wide read");
	is(rec.count, 4, "byte by byte");
	rec.count = 0;
	bus_write(&bus, 0x106, 2, 0xbbaa);
	is(rec.count, 2, "a wide write comes byte by byte");
	is(rec.note[0].value, 0xaa, "the low byte first");
	is(rec.note[1].offset, 7, "the high byte behind it");
	is(rec.note[1].value, 0xbb, "with its value");
	rec.count = 0;
	is(bus_read(&bus, 0x106, 4), 0xffff0706, "a read over the end is half all-ones");
	is(bus_read(&bus, 0xfe, 4), 0x0100ffff, "so is one over the start");
	rec.count = 0;
	bus_write(&bus, 0x107, 8, 0x1122334455667788);
	is(rec.count, 1, "a write over the end gives the device its part");
	is(rec.note[0].value, 0x88, "and no more");
}

static void test_words(void)
{
	struct bus bus = { 0 };
	struct recorder rec = { 0 };

	add(&bus, 0x1000, 0x20, &words, &rec);
	is(bus_read(&bus, 0x1004, 4), 0x07060504, "a register is read whole");
	is(bus_read(&bus, 0x1006, 1), 0x06, "a narrow read takes its byte");
	is(rec.note[1].offset, 4, "from the register it is in");
	is(rec.note[1].size, 4, "which is read whole");
	is(bus_read(&bus, 0x1007, 2), 0x0807, "a read over two registers takes from both");
	is(bus_read(&bus, 0x1008, 8), 0x0f0e0d0c0b0a0908, "a wide read is two registers");
	rec.count = 0;
	bus_write(&bus, 0x1004, 1, 0x12);
	bus_write(&bus, 0x1006, 2, 0x1234);
	is(rec.count, 0, "narrow writes are dropped");
	bus_write(&bus, 0x1004, 8, 0x1122334455667788);
	is(rec.count, 2, "a wide write is two registers");
	is(rec.note[1].value, 0x11223344, "in ascending order");
	rec.count = 0;
	bus_write(&bus, 0x1002, 8, 0x1122334455667788);
	is(rec.count, 1, "of a misaligned write the whole register is written");
	is(rec.note[0].value, 0x33445566, "with its part");
}

static void test_wide(void)
{
	struct bus bus = { 0 };
	struct recorder rec = { 0 };

	add(&bus, 0x2000, 0x0c, &wide, &rec);
	bus_read(&bus, 0x2000, 8);
	is(rec.note[0].size, 8, "a device of 8 bytes gets 8 bytes at once");
	rec.count = 0;
	bus_read(&bus, 0x2008, 8);
	is(rec.count, 1, "an access over its end is cut");
	is(rec.note[0].size, 4, "to what is inside");
	rec.count = 0;
	bus_read(&bus, 0x2000, 2);
	is(rec.note[0].size, 2, "a narrow access stays narrow");
	rec.count = 0;
	bus_read(&bus, 0x2001, 8);
	is(rec.count, 4, "a misaligned access comes in aligned pieces");
	is(rec.note[2].size, 4, "as wide as alignment lets them be");
}

/* Two devices side by side, every address and size: each byte from its owner. */
static void test_every_byte(void)
{
	struct bus bus = { 0 };
	struct recorder rec = { 0 };
	unsigned int bad = 0;

	add(&bus, 0x10, 8, &wide, &rec);
	add(&bus, 0x18, 8, &bytes, &rec);
	for (uint64_t addr = 0; addr < 0x28; addr++) {
		for (unsigned int size = 1; size <= 8; size++) {
			uint64_t value = bus_read(&bus, addr, size);

			for (unsigned int i = 0; i < size; i++) {
				uint64_t at = addr + i;
				uint8_t want = at >= 0x10 && at < 0x20 ? at % 8 : 0xff;

				bad += (uint8_t)(value >> (i * 8)) != want;
			}
		}
	}
	is(bad, 0, "every byte of every access comes from its owner");
}

int main(void)
{
	test_add();
	test_unowned();
	test_split();
	test_words();
	test_wide();
	test_every_byte();
	return tap_end();
}
