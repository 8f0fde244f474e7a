// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The MP table of runner/boot/mptable.c, read as the specification has it, by offsets.
 */
/* unit-sources: ../runner/boot/mptable.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include <stdarg.h>
#include <string.h>
#include "tap.h"
#include "../runner/boot/boot.h"
#include "../runner/layout.h"

void complain(const char *fmt, ...)
{
	(void)fmt;
}

enum status boot_place(const struct ram *ram, const char *what, uint64_t gpa, uint64_t len,
		       void **to)
{
	(void)what;
	*to = ram_at(ram, gpa, len);
	return *to ? STATUS_OK : STATUS_NO_ROOM;
}

static struct ram ram;

static uint32_t le(const uint8_t *at, unsigned int len)
{
	return len ? *at | le(at + 1, len - 1) << 8 : 0;
}

static uint8_t sum(const uint8_t *at, size_t len)
{
	return len ? *at + sum(at + 1, len - 1) : 0;
}

static void test_table(unsigned int cpus, unsigned int listed)
{
	static const uint8_t sizes[] = { 20, 8, 8, 8 };
	unsigned int count[4] = { 0 }, wrong = 0, entries = 0;
	const uint8_t *floating, *config, *at, *end;

	is(mp_load(&ram, cpus), STATUS_OK, "%u CPUs: there is a table", cpus);
	floating = ram_at(&ram, LAYOUT_MP, 16);
	ok(!memcmp(floating, "_MP_", 4) && floating[8] == 1 && floating[9] == 4,
	   "a floating pointer of 16 bytes, revision 1.4");
	is(sum(floating, 16), 0, "whose bytes add up to 0");
	is(floating[11] | floating[12], 0, "there is a configuration table, and no PIC mode");
	config = ram_at(&ram, le(floating + 4, 4), 44);
	ok(config && !memcmp(config, "PCMP", 4), "it leads to the configuration table");
	is(sum(config, le(config + 4, 2)), 0, "whose bytes add up to 0");
	is(le(config + 36, 4), LAYOUT_LAPIC, "which says where local APICs are");
	end = config + le(config + 4, 2);
	for (at = config + 44; at < end && *at < 4; at += sizes[*at], entries++) {
		switch (*at) {
		case 0:
			wrong += at[1] != count[0] || at[3] != (count[0] ? 1 : 3);
			break;
		case 1:
			wrong += !!memcmp(at + 2, "ISA   ", 6);
			break;
		case 2:
			wrong += !(at[3] & 1) || le(at + 4, 4) != LAYOUT_IOAPIC;
			break;
		case 3:
			wrong += at[1] || at[5] != count[3] || at[7] != count[3];
			break;
		}
		count[*at]++;
	}
	ok(at == end && entries == le(config + 34, 2), "as many entries as it says, to its end");
	is(count[0], listed, "CPUs that a byte can name");
	ok(count[1] == 1 && count[2] == 1 && count[3] == 24, "a bus, an I/O APIC, its 24 lines");
	is(wrong, 0, "each of them right");
}

int main(void)
{
	ram_plan(&ram, 64 << 20);
	if (ram_map(&ram))
		return 1;
	test_table(1, 1);
	test_table(16, 16);
	test_table(255, 255);
	test_table(512, 255);
	return tap_end();
}
