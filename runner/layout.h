/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where things are in a guest's address spaces: the one list of addresses, ports
 * and interrupt lines. Devices answer there, and the ACPI tables say so.
 */
#ifndef RUNNER_LAYOUT_H
#define RUNNER_LAYOUT_H

/* What the loaders put into the first page frames, each a page unless said. */
#define LAYOUT_GDT		0x1000
#define LAYOUT_PAGE_TABLES	0x2000		/* six pages */
#define LAYOUT_BOOT_PARAMS	0x8000		/* Linux: struct boot_params */
#define LAYOUT_START_INFO	0x8000		/* PVH: struct hvm_start_info and its tables */
#define LAYOUT_CMDLINE		0x10000
#define LAYOUT_CMDLINE_MAX	0x10000		/* with its NUL */

/* What a BIOS leaves behind for whoever looks: the BIOS data area. */
#define LAYOUT_BDA		0x400
#define LAYOUT_BDA_SIZE		0x100

/* The same, and page tables, for kernels that may be loaded into the first frames. */
#define LAYOUT_LOADER		0x80000		/* from here to LAYOUT_RESERVED */
#define LAYOUT_LOADER_GDT	0x80000
#define LAYOUT_LOADER_TABLES	0x81000		/* six pages */
#define LAYOUT_LOADER_INFO	0x87000
#define LAYOUT_LOADER_INFO_MAX	0x9000
#define LAYOUT_LOADER_CMDLINE	0x90000		/* LAYOUT_CMDLINE_MAX */

/* The PC's reserved range. Kernels search its end for ACPI's root pointer. */
#define LAYOUT_RESERVED		0xa0000
#define LAYOUT_WAKEUP_TABLES	0xc0000		/* six pages: of CPUs that the mailbox starts */
#define LAYOUT_WAKEUP_GDT	0xc6000
#define LAYOUT_DT		0xd0000		/* Linux: setup_data with a device tree */
#define LAYOUT_DT_MAX		0x10000
#define LAYOUT_ACPI		0xe0000
#define LAYOUT_ACPI_MAX		0x10000
#define LAYOUT_MP		0xf0000		/* kernels search from here on for its start */
#define LAYOUT_MP_MAX		0x2000
#define LAYOUT_ROM_SHADOW	0x10000		/* firmware's end, up to LAYOUT_HIGH */
#define LAYOUT_HIGH		0x100000	/* where memory for a kernel starts */

/* Addresses below 4 GiB that are never RAM: MMIO, IOAPIC, LAPIC, MSI. */
#define LAYOUT_HOLE		0xc0000000
#define LAYOUT_HOLE_END		0x100000000
#define LAYOUT_ROM_MAX		0x1000000	/* before LAYOUT_HOLE_END: behind the APICs */

#define LAYOUT_PCI_MMIO		0xc0000000	/* where BARs are */
#define LAYOUT_PCI_MMIO_SIZE	0x20000000
#define LAYOUT_VIRTIO_MMIO	LAYOUT_PCI_MMIO	/* instead: a page for each device */
#define LAYOUT_VIRTIO_MMIO_SIZE	0x1000
#define LAYOUT_VIRTIO_MMIO_IRQ	5		/* the first one's line; each has its own */
#define LAYOUT_VIRTIO_MMIO_MAX	19		/* then the I/O APIC has no more lines */
#define LAYOUT_PCI_ECAM		0xe0000000	/* bus 0: 32 devices, 8 functions, a page each */
#define LAYOUT_PCI_ECAM_SIZE	0x100000
#define LAYOUT_CPUS		0xe0100000	/* devices/cpu_hotplug.c */
#define LAYOUT_CPUS_SIZE	0x1000
#define LAYOUT_MAILBOX		0xe0101000	/* devices/mailbox.c */
#define LAYOUT_MAILBOX_SIZE	0x1000
#define LAYOUT_GED_IRQ		3		/* the line of the Generic Event Device */
#define LAYOUT_IOAPIC		0xfec00000
#define LAYOUT_IOAPIC_SIZE	0x1000
#define LAYOUT_LAPIC		0xfee00000
#define LAYOUT_TEST_MEMORY	0xff000000	/* firmware, if there is as much, hides it */
#define LAYOUT_TEST_MEMORY_SIZE	0x10000
#define LAYOUT_LAPIC_SIZE	0x1000
#define LAYOUT_X2APIC_FIRST	255	/* from this APIC id on a CPU needs x2APIC mode */

/* Ports */
#define LAYOUT_PIT		0x40		/* devices/8254.c */
#define LAYOUT_PIT_SIZE		4
#define LAYOUT_RTC		0x70
#define LAYOUT_RTC_SIZE		2
#define LAYOUT_RTC_CENTURY	0x32		/* a register of it */
#define LAYOUT_PCI_PORTS	0xcf8
#define LAYOUT_PCI_PORTS_SIZE	8
#define LAYOUT_COM1		0x3f8
#define LAYOUT_COM1_SIZE	8
#define LAYOUT_COM1_IRQ		4
#define LAYOUT_PVPANIC		0x505		/* by pvpanic's specification */
/* Two ports, if there is a debug-exit port. */
#define LAYOUT_FW_CFG		0x510
#define LAYOUT_FW_CFG_SIZE	2
#define LAYOUT_TEST_LATCH	0xe0		/* devices/test_device.c */
#define LAYOUT_TEST_LATCH_SIZE	8
#define LAYOUT_TEST_LATCH_AGAIN	0xe8
#define LAYOUT_TEST_LINES	0x2000		/* a port for each of the I/O APIC's lines */

#define LAYOUT_ACPI_PM		0x600
#define LAYOUT_SLEEP_CONTROL	0x600
#define LAYOUT_SLEEP_STATUS	0x601
#define LAYOUT_RESET		0x602
#define LAYOUT_ACPI_PM_SIZE	3
#define LAYOUT_PM_TIMER		0x608
#define LAYOUT_PM_TIMER_SIZE	4

/* Values that tables and device agree on. */
#define LAYOUT_SLEEP_S5		5		/* SLP_TYP of the soft-off state */
#define LAYOUT_RESET_VALUE	1

/*
 * Registers at LAYOUT_CPUS, 32 bits each: the next event, 0 if there is none, else a
 * CPU and above it what to notify its device of; then one for each CPU, which reads as its
 * _STA; 1 written there ejects it.
 */
#define LAYOUT_CPU_EVENT	0
#define LAYOUT_CPU_EVENT_SHIFT	16
#define LAYOUT_CPU(n)		(((n) + 1) * 4)
#define LAYOUT_CPU_PRESENT	0xf		/* _STA: present, enabled, shown, working */
#define LAYOUT_CPU_EJECT	1

#endif /* RUNNER_LAYOUT_H */
