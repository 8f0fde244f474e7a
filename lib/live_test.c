// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The library on a real /dev/vmm: a guest makes the same accesses to RAM, where the
 * CPU executes them, and to a device, where vmm_emulate() does, and both must leave
 * the same registers, flags and memory. It prints TAP; 4 is the status of a machine
 * without /dev/vmm. Built into O/lib/live_test.
 *
 * Linear layout: 0 to 2M identical, page GUEST_ABSENT absent; at GUEST_TRIO three
 * pages of which the middle one is a device's; at GUEST_PLAIN three of RAM.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libvmm.h"

#define PAGE		4096u
#define RAM_SIZE	0x200000u
#define GUEST_IDT	0x7000u
#define GUEST_GDT	0x8000u
#define GUEST_STACK	0xa000u		/* top */
#define GUEST_CODE	0x10000u
#define GUEST_LOG	0x40000u
#define GUEST_SCRATCH	0x60000u
#define GUEST_ABSENT	0x70000u
#define GUEST_TRIO	0x8000000u
#define GUEST_PLAIN	0x8200000u
#define TRIO_RAM	0x80000u	/* guest-physical: first page, third follows */
#define PLAIN_RAM	0x84000u
#define DEVICE_GPA	0x10000000u
#define LOG_SIZE	0x8000u
#define EXIT_PORT	0xf4
#define FIFO_PORT	0x300
#define FIFO_SIZE	8192		/* bytes; the guest sends 6000 */

/* Of a page-table entry. */
#define P	1u
#define W	2u
#define A	0x20u
#define D	0x40u
#define PS	0x80u

extern const unsigned char live_forms[], live_fault[], live_fault_handler[], live_ports[];
extern const unsigned char live_end[];

static struct vmm *vm;
static struct vmm_vcpu *vcpu;
static unsigned char *ram;
static unsigned char device[PAGE];
static unsigned char fifo[FIFO_SIZE];
static unsigned int fifo_in, fifo_out;
static unsigned int emulated, points, failures;

static void point(bool good, const char *claim)
{
	printf("%sok %u - %s\n", good ? "" : "not ", ++points, claim);
	failures += !good;
}

static void must(int err, const char *what)
{
	if (err >= 0)
		return;
	printf("Bail out! %s: %s\n", what, strerror(-err));
	exit(1);
}

/* ---- devices ---- */

static void on_mmio(void *opaque, uint64_t gpa, unsigned int size, bool write, void *data)
{
	uint64_t offset = gpa - DEVICE_GPA;

	(void)opaque;
	if (offset >= PAGE || size > PAGE - offset || gpa % size) {
		printf("# an access of %u at %#lx\n", size, gpa);
		failures++;
	} else if (write) {
		memcpy(device + offset, data, size);
	} else {
		memcpy(data, device + offset, size);
	}
}

static void on_pio(void *opaque, uint16_t port, unsigned int size, bool write, void *data)
{
	(void)opaque;
	if (port != FIFO_PORT || fifo_in > FIFO_SIZE - size || fifo_out > FIFO_SIZE - size)
		return;
	if (write) {
		memcpy(fifo + fifo_in, data, size);
		fifo_in += size;
	} else {
		memcpy(data, fifo + fifo_out, size);
		fifo_out += size;
	}
}

static const struct vmm_emul_ops ops = { .pio = on_pio, .mmio = on_mmio };

static void emulate(void)
{
	char line[160];

	emulated++;
	switch (vmm_emulate(vcpu, &ops, NULL)) {
	case VMM_EMUL_OK:
		return;
	case VMM_EMUL_ERROR:
		must(vmm_emul_error(vcpu), "vmm_emulate");
		return;
	case VMM_EMUL_SHUTDOWN:
		printf("Bail out! a triple fault\n");
		exit(1);
	case VMM_EMUL_UNSUPPORTED:
		vmm_emul_describe(vcpu, line, sizeof(line));
		printf("Bail out! cannot emulate: %s\n", line);
		exit(1);
	}
}

/* Until the guest's OUT to EXIT_PORT. */
static void run_guest(void)
{
	struct vmm_run *run = vmm_vcpu_run_page(vcpu);
	int err;

	for (;;) {
		err = vmm_vcpu_run(vcpu);
		if (err == -EINTR)
			continue;
		must(err, "vmm_vcpu_run");
		if (run->exit_reason == VMM_EXIT_PIO && run->pio.port == EXIT_PORT)
			return;
		if (run->exit_reason == VMM_EXIT_INSN) {
			emulate();
		} else if (run->exit_reason == VMM_EXIT_MMIO) {
			on_mmio(NULL, run->mmio.gpa, run->mmio.size, run->mmio.write,
				&run->mmio.data);
		} else {
			printf("Bail out! exit %u at %#llx\n", run->exit_reason, run->rip);
			exit(1);
		}
	}
}

/* ---- the guest ---- */

static void put(uint32_t gpa, uint64_t val)
{
	memcpy(ram + gpa, &val, sizeof(val));
}

static uint64_t get(uint32_t gpa)
{
	uint64_t val;

	memcpy(&val, ram + gpa, sizeof(val));
	return val;
}

static void page_tables(void)
{
	unsigned int i;

	put(0x1000, 0x2000 | W | P);
	put(0x2000, 0x3000 | W | P);
	put(0x3000, 0x4000 | W | P);
	for (i = 0; i < 512; i++)
		put(0x4000 + i * 8, i * PAGE | W | P);
	put(0x4000 + GUEST_ABSENT / PAGE * 8, 0);
	put(0x3000 + (GUEST_TRIO >> 21) * 8, 0x5000 | W | P);
	put(0x5000, TRIO_RAM | W | P);
	put(0x5008, DEVICE_GPA | W | P);
	put(0x5010, (TRIO_RAM + PAGE) | W | P);
	put(0x3000 + (GUEST_PLAIN >> 21) * 8, 0x6000 | W | P);
	for (i = 0; i < 3; i++)
		put(0x6000 + i * 8, (PLAIN_RAM + i * PAGE) | W | P);
}

static uint32_t guest_address(const unsigned char *label)
{
	return GUEST_CODE + (label - live_forms);
}

/* Vector 14 only; the code is below 64K of its segment's base, which is 0. */
static void descriptors(void)
{
	uint32_t handler = guest_address(live_fault_handler);

	put(GUEST_GDT + 8, 0x00209b0000000000);		/* 64-bit code */
	put(GUEST_GDT + 16, 0x00cf93000000ffff);	/* data */
	put(GUEST_IDT + 14 * 16, (handler & 0xffff) | 8 << 16 |
	    (0x8e00ull << 32) | (uint64_t)(handler >> 16) << 48);
	put(GUEST_IDT + 14 * 16 + 8, 0);
}

static void set_state(const unsigned char *entry, uint64_t rdi, uint64_t r8)
{
	struct vmm_state s = {};
	unsigned int i;

	s.mask = VMM_STATE_REGS | VMM_STATE_SEGS | VMM_STATE_CTRL;
	must(vmm_vcpu_get_state(vcpu, &s), "vmm_vcpu_get_state");
	memset(&s.regs, 0, sizeof(s.regs));
	s.regs.rip = guest_address(entry);
	s.regs.rflags = 2;
	s.regs.rsp = GUEST_STACK;
	s.regs.rdi = rdi;
	s.regs.r8 = r8;
	s.regs.r15 = GUEST_LOG;
	for (i = VMM_ES; i <= VMM_GS; i++)
		s.segs.seg[i] = (struct vmm_segment) {
			.limit = UINT32_MAX, .selector = 16,
			.attr = VMM_SEG_P | VMM_SEG_S | VMM_SEG_G | VMM_SEG_DB | 3,
		};
	s.segs.seg[VMM_CS].selector = 8;
	s.segs.seg[VMM_CS].attr = VMM_SEG_P | VMM_SEG_S | VMM_SEG_G | VMM_SEG_L | 0xb;
	s.segs.gdt = (struct vmm_table) { .base = GUEST_GDT, .limit = 0xff };
	s.segs.idt = (struct vmm_table) { .base = GUEST_IDT, .limit = 0xfff };
	s.ctrl.cr0 = 0x80000011;	/* PG, ET, PE */
	s.ctrl.cr3 = 0x1000;
	s.ctrl.cr4 = 0x220;		/* PAE, OSFXSR */
	s.ctrl.efer = 0x500 | (s.ctrl.efer & 0x1000);	/* LME, LMA; SVME as it was */
	must(vmm_vcpu_set_state(vcpu, &s), "vmm_vcpu_set_state");
}

static struct vmm_regs get_regs(void)
{
	struct vmm_state s = { .mask = VMM_STATE_REGS };

	must(vmm_vcpu_get_state(vcpu, &s), "vmm_vcpu_get_state");
	return s.regs;
}

static void machine(void)
{
	int fd = vmm_open(NULL), err = fd < 0 ? fd : vmm_check_abi(fd);

	if (err == -ENOENT) {
		printf("1..0 # SKIP %s\n", vmm_strerror_open(err));
		exit(4);
	}
	must(err, "vmm_open");
	must(vmm_create(fd, &vm), "vmm_create");
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(ram == MAP_FAILED ? -errno : 0, "mmap");
	must(vmm_memory_add(vm, 0, 0, RAM_SIZE, ram, 0), "vmm_memory_add");
	must(vmm_vcpu_create(vm, 0, &vcpu), "vmm_vcpu_create");
	page_tables();
	descriptors();
	must(vmm_guest_write(vm, GUEST_CODE, live_forms, live_end - live_forms),
	     "vmm_guest_write");
}

/* ---- tests ---- */

static void pattern(unsigned char *page, unsigned int seed)
{
	unsigned int i;

	for (i = 0; i < PAGE; i++)
		page[i] = (i + seed * PAGE) * 167 + (i >> 5) * 13;
}

/* The forms at @offset from the middle page's start, on RAM and on the device. */
static void forms(int offset, const char *claim)
{
	unsigned char log[LOG_SIZE];
	unsigned int i, count;
	bool good = true;

	for (i = 0; i < 3; i++)
		pattern(ram + PLAIN_RAM + i * PAGE, i);
	pattern(ram + TRIO_RAM, 0);
	pattern(device, 1);
	pattern(ram + TRIO_RAM + PAGE, 2);

	memset(ram + GUEST_LOG, 0, LOG_SIZE);
	emulated = 0;
	set_state(live_forms, GUEST_PLAIN + PAGE + offset, 0);
	run_guest();
	good &= !emulated;
	memcpy(log, ram + GUEST_LOG, LOG_SIZE);

	memset(ram + GUEST_LOG, 0, LOG_SIZE);
	set_state(live_forms, GUEST_TRIO + PAGE + offset, 0);
	run_guest();
	count = emulated;
	for (i = 0; i < LOG_SIZE; i += 8) {
		/* RBX holds the memory's address from the string forms on. */
		uint64_t got = get(GUEST_LOG + i), want;

		memcpy(&want, log + i, sizeof(want));
		if (got == want || (i % 48 == 8 && got - want == GUEST_TRIO - GUEST_PLAIN))
			continue;
		if (good)
			printf("# record %u, word %u: %#lx, the CPU says %#lx\n", i / 48,
			       i % 48 / 8, got, want);
		good = false;
	}
	good &= !memcmp(ram + TRIO_RAM, ram + PLAIN_RAM, PAGE);
	good &= !memcmp(device, ram + PLAIN_RAM + PAGE, PAGE);
	good &= !memcmp(ram + TRIO_RAM + PAGE, ram + PLAIN_RAM + 2 * PAGE, PAGE);
	point(good, claim);
	printf("# %u instructions were emulated\n", count);
	point(count > 50, "and most of it was emulated");
}

static void fault(void)
{
	uint64_t target = GUEST_ABSENT - 10;
	struct vmm_regs regs;

	pattern(device, 5);
	set_state(live_fault, GUEST_TRIO + PAGE, target);
	run_guest();
	regs = get_regs();
	point(regs.rbx == GUEST_ABSENT, "a fault found by the emulator reaches the guest: CR2");
	point(regs.rax == 2, "its error code: a write to an absent page");
	point(regs.rcx == 30 && regs.rdi == GUEST_ABSENT &&
	      regs.rsi == GUEST_TRIO + PAGE + 10, "and what was done before it counts");
	point(!memcmp(ram + target, device, 10), "and is in memory");
	point(regs.rdx == guest_address(live_fault) + 11, "the frame points at the instruction");
}

static void ports(void)
{
	unsigned int i, entry = 0x4000 + GUEST_SCRATCH / PAGE * 8;

	for (i = 0; i < 3; i++) {
		pattern(ram + PLAIN_RAM + i * PAGE, i + 9);
		put(entry + i * 8, get(entry + i * 8) & ~(uint64_t)(A | D));
	}
	set_state(live_ports, GUEST_PLAIN, GUEST_SCRATCH);
	run_guest();
	point(fifo_in == 6000 && fifo_out == 6000, "rep outsw and insw move every word once");
	point(!memcmp(ram + GUEST_SCRATCH, ram + PLAIN_RAM, 6000), "and unchanged");
	point((get(entry) & (A | D)) == (A | D), "the pages written are marked dirty");
	point(!(get(entry + 16) & (A | D)), "the page behind them is not");
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n");
	machine();
	forms(0, "every form on a device does what it does on RAM");
	forms(16, "and at another address");
	forms(1, "and misaligned");
	forms(-3, "and from RAM into the device");
	forms((int)PAGE - 101, "and from the device into RAM");
	fault();
	ports();
	vmm_vcpu_destroy(vcpu);
	vmm_destroy(vm);
	printf("1..%u\n", points);
	return failures != 0;
}
