// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The ACPI tables of runner/boot/acpi.c: found and checked from the RSDP on as a
 * kernel does it, then read by the ACPI project's own disassembler, which must find
 * no fault and compile its own output again.
 */
/* unit-sources: ../runner/boot/acpi_cpus.c */
/* unit-sources: ../runner/boot/acpi.c ../runner/boot/aml.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tap.h"
#include "../runner/boot/aml.h"
#include "../runner/boot/boot.h"
#include "../runner/layout.h"

static struct ram ram;

void complain(const char *fmt, ...)
{
	(void)fmt;
}

enum status boot_place(const struct ram *in, const char *what, uint64_t gpa, uint64_t len,
		       void **to)
{
	(void)what;
	*to = ram_at(in, gpa, len);
	return *to ? STATUS_OK : STATUS_NO_ROOM;
}

static const uint8_t *at(uint64_t gpa)
{
	return ram_at(&ram, gpa, 1);
}

static uint32_t u32(const uint8_t *from)
{
	uint32_t value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static uint64_t u64(const uint8_t *from)
{
	uint64_t value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static uint8_t sum(const uint8_t *from, uint32_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum += *from++;
	return sum;
}

static void check_table(const uint8_t *table, const char *signature)
{
	ok(!memcmp(table, signature, 4), "%s: signature", signature);
	is(sum(table, u32(table + 4)), 0, "%s: checksum", signature);
	is((table - ram.part[0].host) % 16, 0, "%s: alignment", signature);
}

static void check_fadt(const uint8_t *fadt)
{
	check_table(fadt, "FACP");
	is(u32(fadt + 4), 276, "FADT: length of revision 6");
	is(fadt[8], 6, "FADT: revision");
	is(u32(fadt + 112) & (1 << 20), 1 << 20, "FADT: hardware-reduced");
	is(u32(fadt + 112) & (1 << 10), 1 << 10, "FADT: reset register");
	is(fadt[109] | fadt[110] << 8, 0x34, "FADT: no legacy devices, 8042, VGA, RTC");
	is(fadt[108], LAYOUT_RTC_CENTURY, "FADT: the clock's century, for who reads it");
	is(u32(fadt + 76), LAYOUT_PM_TIMER, "FADT: timer");
	is(fadt[91], 4, "FADT: its width");
	is(u64(fadt + 212), LAYOUT_PM_TIMER, "FADT: timer again");
	is(u32(fadt + 112) & (1 << 8), 1 << 8, "FADT: it has 32 bits");
	is(fadt[116], 1, "FADT: reset register is a port");
	is(u64(fadt + 120), LAYOUT_RESET, "FADT: its number");
	is(fadt[128], LAYOUT_RESET_VALUE, "FADT: its value");
	is(u64(fadt + 248), LAYOUT_SLEEP_CONTROL, "FADT: sleep control");
	is(u64(fadt + 260), LAYOUT_SLEEP_STATUS, "FADT: sleep status");
	is(u64(fadt + 140), u32(fadt + 40), "FADT: both DSDT addresses agree");
	check_table(at(u64(fadt + 140)), "DSDT");
}

static void check_madt(const uint8_t *madt, unsigned int cpus, bool mailbox)
{
	const uint8_t *entry = madt + 44, *end = madt + u32(madt + 4);
	unsigned int lapics = 0, ioapics = 0, mailboxes = 0, bad = 0;

	check_table(madt, "APIC");
	is(u32(madt + 36), LAYOUT_LAPIC, "MADT: address of the LAPIC");
	is(u32(madt + 40), 0, "MADT: no 8259");
	for (; entry < end && entry[1]; entry += entry[1]) {
		if (entry[0] == 0)
			bad += entry[3] != lapics++ || lapics > 255 || u32(entry + 4) != 1;
		else if (entry[0] == 9)
			bad += u32(entry + 4) != lapics || u32(entry + 12) != lapics ||
			       lapics++ < 255 || u32(entry + 8) != 1;
		else if (entry[0] == 0x10)
			bad += u64(entry + 8) != LAYOUT_MAILBOX || entry[1] != 16 || mailboxes++;
		else if (entry[0] == 1)
			bad += u32(entry + 4) != LAYOUT_IOAPIC || ioapics++;
		else
			bad++;
	}
	is(entry - end, 0, "MADT: entries fill it");
	is(lapics, cpus, "MADT: a LAPIC for each of %u CPUs", cpus);
	is(ioapics, 1, "MADT: one IOAPIC");
	is(mailboxes, mailbox, "MADT: a mailbox if there is one");
	is(bad, 0, "MADT: with ids in order");
}

static void check_mcfg(const uint8_t *mcfg)
{
	check_table(mcfg, "MCFG");
	is(u32(mcfg + 4), 44 + 16, "MCFG: one segment");
	is(u64(mcfg + 44), LAYOUT_PCI_ECAM, "MCFG: where ECAM is");
	is(u32(mcfg + 52), 0, "MCFG: segment 0, bus 0 to 0");
}

static void test_tables(unsigned int cpus, bool mailbox)
{
	const struct acpi_machine machine = { .cpus = cpus, .mailbox = mailbox };
	const uint8_t *rsdp = at(LAYOUT_ACPI), *xsdt;

	if (!is(acpi_load(&ram, &machine), STATUS_OK, "tables for %u CPUs", cpus))
		return;
	ok(!memcmp(rsdp, "RSD PTR ", 8), "RSDP: signature");
	is(sum(rsdp, 20), 0, "RSDP: checksum");
	is(sum(rsdp, 36), 0, "RSDP: extended checksum");
	is(rsdp[15], 2, "RSDP: revision");
	xsdt = at(u64(rsdp + 24));
	check_table(xsdt, "XSDT");
	is(u32(xsdt + 4), 36 + 3 * 8, "XSDT: three tables");
	check_fadt(at(u64(xsdt + 36)));
	check_madt(at(u64(xsdt + 44)), cpus, mailbox);
	check_mcfg(at(u64(xsdt + 52)));
}

/* ---- the disassembler ---- */

static char dir[32] = "/tmp/runner_acpi_test.XXXXXX";

#define NO_IASL	"no iasl; install acpica-tools"

static bool have_iasl(void)
{
	return !system("iasl -v >/dev/null 2>&1");
}

/* Run a command in the directory; its output is in "out" there. */
static int command(const char *text)
{
	char line[512];

	snprintf(line, sizeof(line), "cd %s && { %s; } >out 2>&1", dir, text);
	return system(line);
}

static void write_table(const uint8_t *table, const char *name)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	if (!file || fwrite(table, u32(table + 4), 1, file) != 1 || fclose(file))
		abort();
}

/* Lines of the disassembly that must be there, blanks squeezed. */
static const struct {
	const char *file, *text;
} facts[] = {
	{ "facp.dsl", "Hardware Reduced (V5) : 1" },
	{ "facp.dsl", "Reset Register Supported (V2) : 1" },
	{ "facp.dsl", "CMOS RTC Not Present (V5) : 1" },
	{ "facp.dsl", "8042 Present on ports 60/64 (V2) : 0" },
	{ "apic.dsl", "Subtable Type : 01 [I/O APIC]" },
	{ "dsdt.dsl", "Name (_HID, EisaId (\"PNP0501\")" },
	{ "dsdt.dsl", "IO (Decode16," },
	{ "dsdt.dsl", "0x03F8, // Range Minimum" },
	{ "dsdt.dsl", "Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive" },
	{ "dsdt.dsl", "Name (_HID, \"QEMU0001\")" },
	{ "dsdt.dsl", "Name (\\_S5, Package (0x04)" },
	{ "mcfg.dsl", "Base Address : 00000000E0000000" },
	{ "mcfg.dsl", "End Bus Number : 00" },
	{ "dsdt.dsl", "Name (_HID, EisaId (\"PNP0A08\")" },
	{ "dsdt.dsl", "Name (_CID, EisaId (\"PNP0A03\")" },
	{ "dsdt.dsl", "WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode," },
	{ "dsdt.dsl", "DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, "
		      "ReadWrite," },
	{ "dsdt.dsl", "0xC0000000, // Range Minimum" },
	{ "dsdt.dsl", "0xDFFFFFFF, // Range Maximum" },
	{ "dsdt.dsl", "Memory32Fixed (ReadWrite," },
};

static void test_iasl(void)
{
	const uint8_t *xsdt = at(u64(at(LAYOUT_ACPI) + 24));
	const uint8_t *fadt = at(u64(xsdt + 36));
	char line[512];

	if (!have_iasl()) {
		tap_skip("the tables are read by iasl", NO_IASL);
		return;
	}
	if (!mkdtemp(dir))
		abort();
	write_table(fadt, "facp.dat");
	write_table(at(u64(xsdt + 44)), "apic.dat");
	write_table(at(u64(xsdt + 52)), "mcfg.dat");
	write_table(at(u64(fadt + 140)), "dsdt.dat");
	is(command("iasl -d facp.dat apic.dat mcfg.dat dsdt.dat"), 0, "iasl reads the tables");
	ok(command("grep -iE 'error|warning|invalid|incorrect|unknown' *.dsl out") != 0,
	   "and finds no fault in them");
	is(command("iasl -we -p again dsdt.dsl && grep -q '^Compilation successful. 0 Errors, "
		   "0 Warnings' out"), 0, "its DSDT compiles without a warning");
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
		snprintf(line, sizeof(line), "tr -s ' ' <%s | grep -F '%s'", facts[i].file,
			 facts[i].text);
		is(command(line), 0, "%s: %s", facts[i].file, facts[i].text);
	}
	snprintf(line, sizeof(line), "rm -r %s", dir);
	is(system(line), 0, "nothing is left");
}

/* With virtio over MMIO there is no bus, and a device for each page. */
static void test_mmio(void)
{
	const struct acpi_machine machine = { .cpus = 1, .virtio_mmio = 19 };
	const uint8_t *xsdt, *dsdt, *found;

	ram_clear(&ram);
	is(acpi_load(&ram, &machine), STATUS_OK, "tables for 19 virtio devices over MMIO");
	xsdt = at(u64(at(LAYOUT_ACPI) + 24));
	check_table(xsdt, "XSDT");
	is(u32(xsdt + 4), 36 + 2 * 8, "XSDT: without MCFG");
	dsdt = at(u64(at(u64(xsdt + 36)) + 140));
	check_table(dsdt, "DSDT");
	found = memmem(dsdt, u32(dsdt + 4), "VR18", 4);
	ok(found && memmem(found, 32, "LNRO0005", 8), "DSDT: the last one");
	ok(!memmem(dsdt, u32(dsdt + 4), "PCI0", 4), "DSDT: no PCI bus");
	if (!mkdtemp(strcpy(dir, "/tmp/runner_acpi_test.XXXXXX")))
		abort();
	write_table(dsdt, "dsdt.dat");
	if (have_iasl())
		is(command("iasl -d dsdt.dat && ! grep -iE 'error|warning' dsdt.dsl && "
			   "grep -q '0xC0012000, *// Address Base' dsdt.dsl && "
			   "grep -q '0x00000017,' dsdt.dsl"), 0,
		   "DSDT: iasl reads its page and line");
	else
		tap_skip("DSDT: iasl reads its page and line", NO_IASL);
	is(command("rm -f *") || rmdir(dir), 0, "nothing is left");
}

/* How many of @count names with a letter and a number are in the table. */
static unsigned int names(const uint8_t *table, char letter, unsigned int count)
{
	unsigned int found = 0;
	char name[8];

	for (unsigned int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%c%03X", letter, i & 0xfff);
		found += !!memmem(table, u32(table + 4), name, 4);
	}
	return found;
}

static void check_capable(const uint8_t *madt, unsigned int cpus, unsigned int max)
{
	unsigned int bad = 0;

	for (unsigned int i = 0; i < max; i++)
		bad += u32(madt + 44 + 8 * i + 4) != (i < cpus ? 1u : 2u);
	is(bad, 0, "MADT: %u CPUs enabled, those up to %u online capable", cpus, max);
}

/* What is in the DSDT for two CPUs, as iasl writes it with blanks squeezed. */
static const char *const cpu_facts[] = {
	"OperationRegion (CPUR, SystemMemory, 0xE0100000, 0x1000)",
	"Field (CPUR, DWordAcc, NoLock, Preserve)",
	"Name (_HID, \"ACPI0007\" /* Processor Device */)",
	"Name (_UID, One)",
	"Method (_STA, 0, Serialized)",
	"Return (S001)",
	"Method (_EJ0, 1, Serialized)",
	"S001 = One",
	"Notify (C001, Arg1)",
	"Name (_HID, \"ACPI0013\" /* Generic Event Device */)",
	"Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive",
	"Method (_EVT, 1, Serialized)",
	"Local0 = EVNT",
	"If ((Local0 == Zero))",
	"NTFY ((Local0 & 0xFFFF), (Local0 >> 0x10))",
};

static void test_hotplug(void)
{
	const struct acpi_machine most = { .cpus = 1, .max_cpus = 512 };
	const struct acpi_machine two = { .cpus = 1, .max_cpus = 2 };
	const uint8_t *xsdt, *dsdt;
	char line[256];

	ram_clear(&ram);
	is(acpi_load(&ram, &most), STATUS_OK, "tables for 512 CPUs that come and go");
	xsdt = at(u64(at(LAYOUT_ACPI) + 24));
	dsdt = at(u64(at(u64(xsdt + 36)) + 140));
	check_capable(at(u64(xsdt + 44)), 1, 255);
	is(names(dsdt, 'C', 512), 512, "DSDT: a device for each");
	is(names(dsdt, 'S', 512), 512, "DSDT: a register for each");

	ram_clear(&ram);
	is(acpi_load(&ram, &two), STATUS_OK, "tables for 2 CPUs that come and go");
	xsdt = at(u64(at(LAYOUT_ACPI) + 24));
	dsdt = at(u64(at(u64(xsdt + 36)) + 140));
	check_table(dsdt, "DSDT");
	if (!have_iasl()) {
		tap_skip("DSDT: iasl reads the CPUs", NO_IASL);
		return;
	}
	if (!mkdtemp(strcpy(dir, "/tmp/runner_acpi_test.XXXXXX")))
		abort();
	write_table(dsdt, "dsdt.dat");
	is(command("iasl -d dsdt.dat && ! grep -iE 'error|warning' dsdt.dsl && "
		   "iasl -we -p again dsdt.dsl && grep -q '0 Errors, 0 Warnings' out"), 0,
	   "DSDT: iasl reads the CPUs and compiles them again");
	for (size_t i = 0; i < sizeof(cpu_facts) / sizeof(cpu_facts[0]); i++) {
		snprintf(line, sizeof(line), "tr -s ' ' <dsdt.dsl | grep -F '%s'", cpu_facts[i]);
		is(command(line), 0, "DSDT: %s", cpu_facts[i]);
	}
	is(command("grep -c _EJ0 dsdt.dsl | grep -qx 1"), 0, "DSDT: the first CPU stays");
	is(command("rm -f *") || rmdir(dir), 0, "nothing is left");
}

static void test_overflow(void)
{
	uint8_t buf[16];
	struct aml aml = { .buf = buf, .max = sizeof(buf) };

	aml_end(&aml, aml_scope_begin(&aml, "\\_SB_"));
	ok(!aml.overflow, "an object that fits is written");
	is(aml.len, 9, "in 9 bytes");
	aml_name_string(&aml, "_HID", "a string too long");
	ok(aml.overflow, "one that does not is dropped and remembered");
	ok(aml.len <= sizeof(buf), "inside the buffer");
}

int main(void)
{
	ram_plan(&ram, 1 << 20);
	if (ram_map(&ram))
		return 1;
	test_tables(512, true);
	ram_clear(&ram);
	test_tables(1, false);
	test_iasl();
	test_overflow();
	test_mmio();
	test_hotplug();
	ram_unmap(&ram);
	return tap_end();
}
