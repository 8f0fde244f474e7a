// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The C part of the multiboot kernel for tests. It prints what it was told, to the
 * serial port and the debug console, finds ACPI's root pointer, visits long mode, asks
 * QEMU's firmware configuration, uses QEMU's test device, starts the other processors, and
 * ends through the debug-exit port with the number that its command line has.
 *
 * Words of the command line: exit=N (the value written), cpus=N (how many there are),
 * reset (through the port of the FADT's usual place instead of an exit).
 */
#include <stdint.h>

#define PORT_EXIT	0xf4
#define PORT_CONSOLE	0xe9
#define PORT_SERIAL	0x3f8
#define PORT_FW_CFG	0x510		/* the data is at the next one */
#define FW_CFG_RAM_SIZE	3
#define FW_CFG_CPUS	5
#define PORT_LATCH	0xe0
#define PORT_LINES	0x2000		/* a port for each line of the I/O APIC */
#define TEST_MEMORY	0xff000000
#define SERIAL_LSR	5
#define LSR_THRE	0x20

#define BOOT_MAGIC	0x2badb002

#define IOAPIC		0xfec00000
#define IOAPIC_ENTRY(n)	(0x10 + 2 * (n))
#define LINE		20
#define VECTOR		0x40
#define LAPIC		0xfee00000
#define LAPIC_IRR(v)	(0x200 + (v) / 32 * 0x10)
#define LAPIC_SVR	0xf0
#define LAPIC_ICR	0x300
#define SVR_ENABLE	0x1ff
#define ICR_PENDING	(1 << 12)
#define ICR_INIT	0x000c4500	/* all but self, assert */
#define ICR_SIPI	0x000c4600
#define AP_PAGE		8
#define WAIT_ROUNDS	50000000

struct info {
	uint32_t flags;
	uint32_t mem_lower, mem_upper;
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t mods_count, mods_addr;
	uint32_t syms[4];
	uint32_t mmap_length, mmap_addr;
	uint32_t drives_length, drives_addr;
	uint32_t config_table;
	uint32_t name;
};

struct module {
	uint32_t start, end, string, reserved;
};

struct range {
	uint32_t size;
	uint64_t base, length;
	uint32_t type;
} __attribute__((packed));

extern const char ap_start[], ap_end[];
uint64_t long_mode(uint64_t a, uint64_t b);
uint32_t pae_cpuid(void);
void main(uint32_t magic, const struct info *info);

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

/* ---- output ---- */

static int serial;

static void put(char c)
{
	if (!serial) {
		outb(PORT_CONSOLE, c);
		return;
	}
	while (!(inb(PORT_SERIAL + SERIAL_LSR) & LSR_THRE))
		;
	outb(PORT_SERIAL, c);
}

static void print(const char *text)
{
	while (*text)
		put(*text++);
}

static void print_hex(uint64_t value)
{
	int shift = 60;

	print("0x");
	while (shift && !(value >> shift & 15))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		put("0123456789abcdef"[value >> shift & 15]);
}

static void print_line(const char *name, uint64_t value)
{
	print(name);
	print_hex(value);
	put('\n');
}

/* ---- what the loader said ---- */

static const void *at(uint32_t address)
{
	return (const void *)(uintptr_t)address;
}

/* The number behind @word in @line, or -1. */
static int number(const char *line, const char *word)
{
	for (; *line; line++) {
		const char *a = line, *b = word;
		int value = 0;

		while (*b && *a == *b) {
			a++;
			b++;
		}
		if (*b)
			continue;
		while (*a >= '0' && *a <= '9')
			value = value * 10 + *a++ - '0';
		return value;
	}
	return -1;
}

static void print_modules(const struct info *info)
{
	const struct module *module = at(info->mods_addr);

	for (uint32_t i = 0; i < info->mods_count; i++) {
		const char *text = at(module[i].start);

		print("module ");
		print(at(module[i].string));
		print(": ");
		for (uint32_t j = 0; j < module[i].end - module[i].start && text[j] != '\n'; j++)
			put(text[j]);
		print(module[i].start & 0xfff ? " UNALIGNED\n" : "\n");
	}
}

static void print_memory(const struct info *info)
{
	const char *next = at(info->mmap_addr), *end = next + info->mmap_length;

	print_line("lower KiB ", info->mem_lower);
	print_line("upper KiB ", info->mem_upper);
	while (next < end) {
		const struct range *range = (const void *)next;

		print("memory ");
		print_hex(range->base);
		print_line(range->type == 1 ? " usable " : " reserved ", range->length);
		next += range->size + sizeof(range->size);
	}
}

static void find_acpi(void)
{
	for (uint32_t address = 0xe0000; address < 0x100000; address += 16) {
		const char *text = at(address), *want = "RSD PTR ";
		uint8_t sum = 0;
		int i = 0;

		while (want[i] && text[i] == want[i])
			i++;
		if (want[i])
			continue;
		for (i = 0; i < 20; i++)
			sum += text[i];
		print(sum ? "ACPI has a bad sum\n" : "ACPI is found\n");
		return;
	}
	print("no ACPI\n");
}

/* ---- the firmware configuration of QEMU ---- */

static uint64_t fw_cfg(uint16_t item, unsigned int size)
{
	uint64_t value = 0;

	outw(PORT_FW_CFG, item);
	for (unsigned int i = 0; i < size; i++)
		value |= (uint64_t)inb(PORT_FW_CFG + 1) << 8 * i;
	return value;
}

/* ---- QEMU's test device ---- */

static void ioapic_write(uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)IOAPIC = reg;
	*(volatile uint32_t *)(uintptr_t)(IOAPIC + 0x10) = value;
}

/* Interrupts are off, so what a line sends stays in the local APIC. */
static void use_test_device(volatile uint32_t *irr)
{
	volatile uint32_t *memory = (volatile uint32_t *)(uintptr_t)TEST_MEMORY;

	outl(PORT_LATCH, 0x89abcdef);
	print_line("latch ", inb(PORT_LATCH + 2));
	memory[1] = 0x13579bdf;
	print_line("memory that exits ", memory[1]);
	ioapic_write(IOAPIC_ENTRY(LINE) + 1, 0);
	ioapic_write(IOAPIC_ENTRY(LINE), VECTOR);
	print_line("requested before ", *irr);
	outb(PORT_LINES + LINE, 1);
	print_line("requested by the line ", *irr);
	outb(PORT_LINES + LINE, 0);
	ioapic_write(IOAPIC_ENTRY(LINE), 0x10000);
}

/* ---- other processors ---- */

static volatile uint32_t *lapic(uint32_t reg)
{
	return (volatile uint32_t *)(uintptr_t)(LAPIC + reg);
}

static void send(uint32_t icr)
{
	*lapic(LAPIC_ICR) = icr;
	while (*lapic(LAPIC_ICR) & ICR_PENDING)
		;
}

static void start_processors(uint32_t cpus)
{
	volatile uint32_t *count = (volatile uint32_t *)(uintptr_t)AP_COUNT;
	char *page = (char *)(uintptr_t)(AP_PAGE << 12);

	for (int i = 0; i < ap_end - ap_start; i++)
		page[i] = ap_start[i];
	*count = 1;
	*lapic(LAPIC_SVR) = SVR_ENABLE;
	send(ICR_INIT);
	send(ICR_SIPI | AP_PAGE);
	for (uint32_t i = 0; i < WAIT_ROUNDS && *count < cpus; i++)
		__asm__ volatile("pause");
	print_line("processors ", *count);
}

void main(uint32_t magic, const struct info *info)
{
	const char *cmdline = at(info->cmdline);
	int cpus = number(cmdline, "cpus=");

	print_line("debug console ", inb(PORT_CONSOLE));
	serial = 1;
	print(magic == BOOT_MAGIC ? "booted by " : "NOT BOOTED by ");
	print(at(info->name));
	print("\ncommand line: ");
	print(cmdline);
	print_line("\nflags ", info->flags);
	print_modules(info);
	print_memory(info);
	find_acpi();
	print(pae_cpuid() > 1 ? "PAE paging works\n" : "PAE paging is broken\n");
	print_line("long mode ", long_mode(0x100000001, 0x1234567));
	print_line("fw_cfg CPUs ", fw_cfg(FW_CFG_CPUS, 2));
	print_line("fw_cfg memory ", fw_cfg(FW_CFG_RAM_SIZE, 8));
	*lapic(LAPIC_SVR) = SVR_ENABLE;
	use_test_device(lapic(LAPIC_IRR(VECTOR)));
	if (cpus > 0)
		start_processors(cpus);
	outl(PORT_EXIT, number(cmdline, "exit="));
	print("still here\n");
}
