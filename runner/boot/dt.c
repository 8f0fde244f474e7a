// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A flattened device tree in Linux's setup_data, for kernels with CONFIG_OF: the machine
 * that the ACPI tables (acpi.c) describe, from the same layout and the same source. Facts:
 * Devicetree Specification, "Device Node Requirements" and "Flattened Devicetree (DTB)
 * Format"; kernel documentation, "The Linux/x86 Boot Protocol", setup_data; the bindings
 * that each compatible string names.
 */
#include <stdio.h>
#include <string.h>
#include <asm/bootparam.h>
#include <libfdt.h>
#include "../layout.h"
#include "boot.h"

#define PHANDLE_IOAPIC	1
#define LINE_EDGE	3	/* "intel,ce4100-ioapic": rising edge */

/* Types of the first cell of a PCI address, and of an ISA address */
#define PCI_MEMORY32	0x02000000
#define ISA_PORTS	1
#define ISA_PORTS_SIZE	0x10000
#define UART_CLOCK	1843200
#define UART_SPEED	115200

/* One in the making; what comes behind its first error is without effect. */
struct tree {
	void *fdt;
	int err;
};

static void note(struct tree *tree, int err)
{
	if (!tree->err)
		tree->err = err;
}

static void property(struct tree *tree, const char *name, const void *value, int len)
{
	if (!tree->err)
		tree->err = fdt_property(tree->fdt, name, value, len);
}

static void string(struct tree *tree, const char *name, const char *value)
{
	property(tree, name, value, strlen(value) + 1);
}

static void number(struct tree *tree, const char *name, uint32_t value)
{
	fdt32_t be = cpu_to_fdt32(value);

	property(tree, name, &be, sizeof(be));
}

static void open_node(struct tree *tree, const char *name)
{
	if (!tree->err)
		tree->err = fdt_begin_node(tree->fdt, name);
}

static void close_node(struct tree *tree)
{
	if (!tree->err)
		tree->err = fdt_end_node(tree->fdt);
}

static void cells(struct tree *tree, const char *name, const uint32_t *value, unsigned int count)
{
	fdt32_t be[16];

	for (unsigned int i = 0; i < count; i++)
		be[i] = cpu_to_fdt32(value[i]);
	property(tree, name, be, count * sizeof(be[0]));
}

#define CELLS(tree, name, ...)							\
	cells(tree, name, (const uint32_t[]) { __VA_ARGS__ },			\
	      sizeof((const uint32_t[]) { __VA_ARGS__ }) / sizeof(uint32_t))

/* What is at an address of 64 bits, with a size of as many. */
static void reg(struct tree *tree, uint64_t addr, uint64_t size)
{
	CELLS(tree, "reg", addr >> 32, addr, size >> 32, size);
}

static void begin(struct tree *tree, const char *name, uint64_t unit)
{
	char full[48];

	snprintf(full, sizeof(full), "%s@%llx", name, (unsigned long long)unit);
	open_node(tree, full);
}

static void memory(struct tree *tree, const struct ram *ram)
{
	struct ram_range range[RAM_RANGES_MAX];
	unsigned int count = ram_ranges(ram, range);

	for (unsigned int i = 0; i < count; i++) {
		if (range[i].type != RAM_RANGE_USABLE)
			continue;
		begin(tree, "memory", range[i].start);
		string(tree, "device_type", "memory");
		reg(tree, range[i].start, range[i].size);
		close_node(tree);
	}
}

static void cpus(struct tree *tree, unsigned int count)
{
	open_node(tree, "cpus");
	number(tree, "#address-cells", 1);
	number(tree, "#size-cells", 0);
	for (unsigned int i = 0; i < count; i++) {
		begin(tree, "cpu", i);
		string(tree, "device_type", "cpu");
		string(tree, "compatible", "intel,ce4100");
		number(tree, "reg", i);	/* APIC id */
		close_node(tree);
	}
	close_node(tree);
}

static void apics(struct tree *tree)
{
	begin(tree, "interrupt-controller", LAYOUT_IOAPIC);
	string(tree, "compatible", "intel,ce4100-ioapic");
	property(tree, "interrupt-controller", NULL, 0);
	number(tree, "#interrupt-cells", 2);
	number(tree, "#address-cells", 0);
	number(tree, "phandle", PHANDLE_IOAPIC);
	reg(tree, LAYOUT_IOAPIC, LAYOUT_IOAPIC_SIZE);
	close_node(tree);

	begin(tree, "lapic", LAYOUT_LAPIC);
	string(tree, "compatible", "intel,ce4100-lapic");
	reg(tree, LAYOUT_LAPIC, LAYOUT_LAPIC_SIZE);
	close_node(tree);
}

static void ports(struct tree *tree)
{
	open_node(tree, "isa");
	string(tree, "compatible", "isa");
	number(tree, "#address-cells", 2);
	number(tree, "#size-cells", 1);
	/* Ports are the parent's addresses of the same number, without the cell that says so. */
	CELLS(tree, "ranges", ISA_PORTS, 0, 0, 0, ISA_PORTS_SIZE);
	open_node(tree, "serial@1,3f8");
	_Static_assert(LAYOUT_COM1 == 0x3f8, "the node's name says so");
	string(tree, "device_type", "serial");
	string(tree, "compatible", "ns16550a");
	CELLS(tree, "reg", ISA_PORTS, LAYOUT_COM1, LAYOUT_COM1_SIZE);
	number(tree, "clock-frequency", UART_CLOCK);
	number(tree, "current-speed", UART_SPEED);
	CELLS(tree, "interrupts", LAYOUT_COM1_IRQ, LINE_EDGE);
	close_node(tree);
	/* It has no interrupt, which the binding allows. */
	open_node(tree, "rtc@1,70");
	_Static_assert(LAYOUT_RTC == 0x70, "the node's name says so");
	string(tree, "compatible", "motorola,mc146818");
	CELLS(tree, "reg", ISA_PORTS, LAYOUT_RTC, LAYOUT_RTC_SIZE);
	close_node(tree);
	close_node(tree);
}

static void virtio_device(struct tree *tree, unsigned int slot)
{
	uint64_t addr = LAYOUT_VIRTIO_MMIO + slot * LAYOUT_VIRTIO_MMIO_SIZE;

	begin(tree, "virtio", addr);
	string(tree, "compatible", "virtio,mmio");
	reg(tree, addr, LAYOUT_VIRTIO_MMIO_SIZE);
	CELLS(tree, "interrupts", LAYOUT_VIRTIO_MMIO_IRQ + slot, LINE_EDGE);
	close_node(tree);
}

static void pci(struct tree *tree)
{
	begin(tree, "pci", LAYOUT_PCI_ECAM);
	string(tree, "device_type", "pci");
	string(tree, "compatible", "pci-host-ecam-generic");
	number(tree, "#address-cells", 3);
	number(tree, "#size-cells", 2);
	CELLS(tree, "bus-range", 0, 0);
	reg(tree, LAYOUT_PCI_ECAM, LAYOUT_PCI_ECAM_SIZE);
	CELLS(tree, "ranges", PCI_MEMORY32, 0, LAYOUT_PCI_MMIO, 0, LAYOUT_PCI_MMIO, 0,
	      LAYOUT_PCI_MMIO_SIZE);
	close_node(tree);
}

static void soc(struct tree *tree, const struct boot_source *source)
{
	open_node(tree, "soc");
	string(tree, "compatible", "simple-bus");
	number(tree, "#address-cells", 2);
	number(tree, "#size-cells", 2);
	number(tree, "interrupt-parent", PHANDLE_IOAPIC);
	property(tree, "ranges", NULL, 0);
	apics(tree);
	ports(tree);
	for (unsigned int i = 0; i < source->virtio_mmio; i++)
		virtio_device(tree, i);
	if (!source->virtio_mmio)
		pci(tree);
	close_node(tree);
}

static void root(struct tree *tree, const struct boot_plan *plan, const struct boot_source *source,
		 const struct ram *ram)
{
	note(tree, fdt_finish_reservemap(tree->fdt));
	open_node(tree, "");
	string(tree, "model", "vmm");
	string(tree, "compatible", "vmm,guest");
	number(tree, "#address-cells", 2);
	number(tree, "#size-cells", 2);
	open_node(tree, "chosen");
	string(tree, "bootargs", plan->cmdline);
	string(tree, "stdout-path", "/soc/isa/serial@1,3f8");
	close_node(tree);
	memory(tree, ram);
	cpus(tree, source->cpus);
	soc(tree, source);
	close_node(tree);
}

enum status dt_load(const struct boot_plan *plan, const struct boot_source *source,
		    const struct ram *ram)
{
	struct setup_data *data;
	struct tree tree;
	void *to;
	enum status status = boot_place(ram, "device tree", LAYOUT_DT, LAYOUT_DT_MAX, &to);

	if (status)
		return status;
	data = to;
	tree.fdt = data->data;
	tree.err = fdt_create(tree.fdt, LAYOUT_DT_MAX - sizeof(*data));
	root(&tree, plan, source, ram);
	note(&tree, fdt_finish(tree.fdt));
	if (tree.err) {
		complain("cannot make a device tree of %u bytes for %u CPUs: %s; leave it out",
			 LAYOUT_DT_MAX, source->cpus, fdt_strerror(tree.err));
		return STATUS_NO_ROOM;
	}
	*data = (struct setup_data) { .type = SETUP_DTB, .len = fdt_totalsize(data->data) };
	return STATUS_OK;
}
