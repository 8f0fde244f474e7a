// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The debug ports of test kernels, and those they ask for CPUs and memory, on a bus as
 * the machine has it.
 */
/* unit-sources: ../runner/devices/debug_exit.c ../runner/devices/debug_console.c */
/* unit-sources: ../runner/devices/fw_cfg.c ../runner/devices/test_device.c ../runner/bus.c */
#include <stdlib.h>
#include "tap.h"
#include "../runner/bus.h"
#include "../runner/console.h"
#include "../runner/devices/82093aa.h"
#include "../runner/devices/device.h"

static char output[64];
static unsigned int written;

void console_put_wait(struct console *console, uint8_t byte)
{
	(void)console;
	output[written++] = byte;
}

static int exit_status;
static unsigned int exits;

/* The first one counts, as in machine_end(). */
static void on_exit_status(void *opaque, uint8_t status)
{
	(void)opaque;
	if (!exits++)
		exit_status = status;
}

static uint32_t lines_high;

void i82093aa_set_line(struct i82093aa *chip, unsigned int line, bool high)
{
	(void)chip;
	lines_high = (lines_high & ~(1U << line)) | (uint32_t)high << line;
}

static struct bus bus;

static void *add(const struct device_type *type, struct device_env *env, uint64_t port)
{
	struct bus_range range = { port, type->size, &type->ops, type->create(env) };

	ok(bus_add(&bus, &range), "%s at %#llx", type->name, (unsigned long long)port);
	return range.device;
}

static void test_exit(void)
{
	static const struct {
		uint64_t port;
		unsigned int size, exits;
		uint64_t value;
		int status;
	} cases[] = {
		{ 0xf5, 1, 1, 0, 1 }, { 0xf5, 1, 1, 0x10, 0x21 }, { 0xf5, 1, 1, 0xff, 0xff },
		{ 0xf5, 2, 1, 0x0102, 5 }, { 0xf5, 4, 1, 0x80, 1 }, { 0xf4, 4, 1, 0x0a99, 0x15 },
		{ 0xf6, 1, 0, 0, 0 }, { 0xf4, 1, 0, 0, 0 }, { 0xf6, 4, 0, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		exits = 0;
		exit_status = 0;
		bus_write(&bus, cases[i].port, cases[i].size, cases[i].value);
		is(exits, cases[i].exits, "a write of %u at %#llx ends it or not", cases[i].size,
		   (unsigned long long)cases[i].port);
		is(exit_status, cases[i].status, "with 2V+1 in eight bits");
	}
	is(bus_read(&bus, 0xf5, 1), 0, "the exit port reads as 0");
}

static void test_console(void)
{
	for (const char *text = "hello"; *text; text++)
		bus_write(&bus, 0xe9, 1, *text);
	is(written, 5, "a write a byte");
	is_str(output, "hello", "in order");
	is(bus_read(&bus, 0xe9, 1), 0xe9, "the console's port reads as 0xe9");
	is(bus_read(&bus, 0xe8, 4), 0xffffe9ff, "its neighbours are nobody's");
	bus_write(&bus, 0xe9, 4, 0x21212121);
	is(written, 6, "a wide write is one byte for the port");
}

#define SELECTOR	0x510
#define DATA		0x511

/* The item's first @size bytes, as a program reads them. */
static uint64_t item(uint16_t key, unsigned int size)
{
	uint64_t value = 0;

	bus_write(&bus, SELECTOR, 2, key);
	for (unsigned int i = 0; i < size; i++)
		value |= bus_read(&bus, DATA, 1) << 8 * i;
	return value;
}

static void test_fw_cfg(void)
{
	static const struct {
		const char *name;
		uint16_t key;
		unsigned int size;
		uint64_t value;
	} cases[] = {
		{ "signature", 0, 4, 0x554d4551 }, { "ID: the two ports", 1, 4, 1 },
		{ "RAM", 3, 8, 0x180000000 }, { "CPUs", 5, 2, 3 },
		{ "CPUs with those to come", 0xf, 2, 300 },
		{ "no file", 0x19, 4, 0 }, { "nothing there", 0xffff, 8, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is(item(cases[i].key, cases[i].size), cases[i].value, "fw_cfg: %s",
		   cases[i].name);
	item(3, 7);
	is(bus_read(&bus, DATA, 1), 0, "the last byte");
	is(bus_read(&bus, DATA, 1), 0, "and a zero behind it");
	is(item(5, 2), 3, "an item chosen again begins again");
	bus_write(&bus, SELECTOR, 1, 0);
	bus_write(&bus, DATA, 1, 0xff);
	bus_write(&bus, DATA, 2, 0);
	bus_write(&bus, SELECTOR, 2, 5);
	bus_write(&bus, DATA, 1, 0xff);
	is(bus_read(&bus, DATA, 1), 3, "no other write chooses, and none changes anything");
	is(bus_read(&bus, SELECTOR, 2), 0xffff, "the selector cannot be read");
}

static void test_devices_of_tests(void)
{
	bus_write(&bus, 0xe0, 4, 0x12345678);
	is(bus_read(&bus, 0xe0, 4), 0x12345678, "a latch keeps what is written");
	bus_write(&bus, 0xe2, 1, 0xab);
	is(bus_read(&bus, 0xe1, 2), 0xab56, "byte by byte");
	bus_write(&bus, 0xe4, 4, 0);
	is(bus_read(&bus, 0xe0, 8), 0xffffffff12ab5678, "the port behind it changes nothing");
	is(bus_read(&bus, 0x1e8, 4), 0x12ab5678, "it is there again");
	bus_write(&bus, 0x1e8, 2, 0xcdef);
	is(bus_read(&bus, 0xe0, 4), 0x12abcdef, "and is the same");
	bus_write(&bus, 0x2000 + 23, 1, 0x80);
	bus_write(&bus, 0x2000, 1, 1);
	is(lines_high, 0x800001, "a line is high by any byte but 0");
	bus_write(&bus, 0x2000, 1, 0);
	is(lines_high, 0x800000, "and low by 0");
	bus_write(&bus, 0x2018, 1, 1);
	is(lines_high, 0x800000, "there are 24");
	bus_write(&bus, 0xff00fffc, 8, 0x1122334455667788);
	is(bus_read(&bus, 0xff00fffc, 8), 0xffffffff55667788, "memory, to its end");
	is(bus_read(&bus, 0xff00fffe, 1), 0x66, "of bytes");
	is(bus_read(&bus, 0xff000000, 8), 0, "which is zero at first");
}

int main(void)
{
	struct device_env env = {
		.exit = on_exit_status,
		.cpus = 300,
		.cpus_at_start = 3,
		.memory = 0x180000000,
	};
	void *debug_exit = add(&debug_exit_type, &env, 0xf5);
	void *debug_console = add(&debug_console_type, &env, 0xe9);
	void *fw_cfg = add(&fw_cfg_type, &env, fw_cfg_type.start);
	void *memory = add(&test_memory_type, &env, test_memory_type.start);

	add(&test_latch_type, &env, test_latch_type.start);
	/* The console is in the latch's second place. */
	add(&test_latch_again_type, &env, test_latch_again_type.start + 0x100);
	env.ioapic = (struct i82093aa *)&env;
	add(&test_lines_type, &env, test_lines_type.start);
	test_exit();
	test_console();
	test_fw_cfg();
	test_devices_of_tests();
	debug_exit_type.destroy(debug_exit);
	debug_console_type.destroy(debug_console);
	fw_cfg_type.destroy(fw_cfg);
	test_memory_type.destroy(memory);
	return tap_end();
}
