// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The device tree of runner/boot/dt.c, read back: it is well formed, and each node says
 * what the layout says.
 */
/* unit-sources: ../runner/boot/dt.c ../runner/ram.c */
/* unit-libs: -lfdt */
/* unit-flags: -D_GNU_SOURCE */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <asm/bootparam.h>
#include <libfdt.h>
#include "tap.h"
#include "../runner/boot/boot.h"
#include "../runner/layout.h"

static unsigned int complaints;

void complain(const char *fmt, ...)
{
	(void)fmt;
	complaints++;
}

enum status boot_place(const struct ram *ram, const char *what, uint64_t gpa, uint64_t len,
		       void **to)
{
	(void)what;
	*to = ram_at(ram, gpa, len);
	return *to ? STATUS_OK : STATUS_NO_ROOM;
}

static struct ram ram;
static struct boot_plan *plan;

/* The tree of a machine with that many CPUs and devices; NULL: none. */
static const void *tree(unsigned int cpus, unsigned int devices, const char *cmdline)
{
	struct boot_source source = { .cpus = cpus, .virtio_mmio = devices, .device_tree = true };
	const struct setup_data *data;

	free(plan);
	plan = calloc(1, sizeof(*plan) + strlen(cmdline) + 1);
	strcpy(plan->cmdline, cmdline);
	if (dt_load(plan, &source, &ram))
		return NULL;
	data = ram_at(&ram, LAYOUT_DT, sizeof(*data));
	if (data->next || data->type != SETUP_DTB || data->len > LAYOUT_DT_MAX - sizeof(*data) ||
	    fdt_check_full(data->data, data->len))
		return NULL;
	return data->data;
}

static int node(const void *fdt, const char *path)
{
	int at = fdt_path_offset(fdt, path);

	if (at < 0)
		tap_note("%s: %s", path, fdt_strerror(at));
	return at;
}

/* Does the property @name of @path have just these cells? */
#define CELLS(...)	(const uint32_t[]) { __VA_ARGS__ }, \
			sizeof((const uint32_t[]) { __VA_ARGS__ }) / 4

static bool has_cells(const void *fdt, const char *path, const char *name, const uint32_t *want,
		      unsigned int count)
{
	int len, at = node(fdt, path);
	const fdt32_t *value = at < 0 ? NULL : fdt_getprop(fdt, at, name, &len);

	if (!value || len != (int)(count * 4))
		return false;
	for (unsigned int i = 0; i < count; i++)
		if (fdt32_to_cpu(value[i]) != want[i])
			return false;
	return true;
}

static const char *text(const void *fdt, const char *path, const char *name)
{
	int at = node(fdt, path);
	const char *value = at < 0 ? NULL : fdt_getprop(fdt, at, name, NULL);

	return value ? value : "(none)";
}

static unsigned int children(const void *fdt, const char *path)
{
	unsigned int n = 0;
	int child;

	fdt_for_each_subnode(child, fdt, node(fdt, path))
		n++;
	return n;
}

static void test_pci(void)
{
	const void *fdt = tree(3, 0, "quiet acpi=off");

	ok(fdt, "a machine with a PCI bus has a well formed tree");
	if (!fdt)
		return;
	is_str(text(fdt, "/chosen", "bootargs"), "quiet acpi=off", "the command line");
	is(node(fdt, text(fdt, "/chosen", "stdout-path")) > 0, 1, "the console is a node");
	ok(has_cells(fdt, "/memory@0", "reg", CELLS(0, 0, 0, 0xa0000)), "low memory");
	ok(has_cells(fdt, "/memory@100000", "reg", CELLS(0, 0x100000, 0, 0xbff00000)),
	   "memory below the hole");
	ok(has_cells(fdt, "/memory@100000000", "reg", CELLS(1, 0, 0, 0x40000000)),
	   "memory above 4 GiB");
	is(children(fdt, "/cpus"), 3, "three CPUs");
	ok(has_cells(fdt, "/cpus/cpu@2", "reg", CELLS(2)), "by their APIC ids");
	ok(has_cells(fdt, "/soc/interrupt-controller@fec00000", "reg",
		     CELLS(0, LAYOUT_IOAPIC, 0, LAYOUT_IOAPIC_SIZE)), "I/O APIC");
	ok(has_cells(fdt, "/soc/isa", "ranges", CELLS(1, 0, 0, 0, 0x10000)),
	   "ports are the bus's addresses of the same number");
	ok(has_cells(fdt, "/soc/isa/serial@1,3f8", "interrupts", CELLS(LAYOUT_COM1_IRQ, 3)),
	   "the serial port's line");
	ok(has_cells(fdt, "/soc/isa/rtc@1,70", "reg", CELLS(1, LAYOUT_RTC, 2)),
	   "the clock's ports");
	ok(has_cells(fdt, "/soc/pci@e0000000", "reg",
		     CELLS(0, LAYOUT_PCI_ECAM, 0, LAYOUT_PCI_ECAM_SIZE)), "PCI");
	is(fdt_get_phandle(fdt, node(fdt, "/soc/interrupt-controller@fec00000")), 1,
	   "interrupts go to the I/O APIC");
}

static void test_mmio(void)
{
	const void *fdt = tree(1, 2, "");

	ok(fdt, "a machine with devices over MMIO");
	if (!fdt)
		return;
	is_str(text(fdt, "/soc/virtio@c0001000", "compatible"), "virtio,mmio", "the second device");
	ok(has_cells(fdt, "/soc/virtio@c0001000", "reg", CELLS(0, 0xc0001000, 0, 0x1000)),
	   "its registers");
	ok(has_cells(fdt, "/soc/virtio@c0001000", "interrupts",
		     CELLS(LAYOUT_VIRTIO_MMIO_IRQ + 1, 3)), "its line");
	ok(fdt_path_offset(fdt, "/soc/pci@e0000000") < 0, "no PCI bus");
}

static void test_limits(void)
{
	static char line[LAYOUT_DT_MAX];

	ok(tree(255, LAYOUT_VIRTIO_MMIO_MAX, ""), "the largest machine fits");
	memset(line, 'a', sizeof(line) - 1);
	ok(!tree(1, 0, line), "a command line that does not fit is refused");
	is(complaints, 1, "with a message");
}

int main(void)
{
	ram_plan(&ram, 4ULL << 30);
	if (ram_map(&ram))
		abort();
	test_pci();
	test_mmio();
	test_limits();
	free(plan);
	ram_unmap(&ram);
	return tap_end();
}
