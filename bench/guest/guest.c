// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guest: does what the order says, again and again, and reads the TSC around
 * it. The same image runs on every hypervisor, so what a loop itself costs is in
 * both columns.
 *
 * A window is a number of operations between two reads of the TSC, short enough
 * that most windows see no interrupt of the host; the host program takes the
 * cheapest. Operations that need an interrupt to finish are measured one by one
 * and added up.
 */
#include <stdbool.h>
#include <stddef.h>

#include "layout.h"

#define MSR_TSC_ADJUST		0x3b
#define MSR_TSC_DEADLINE	0x6e0
#define APIC_EOI		0x0b0
#define APIC_SVR		0x0f0
#define APIC_ICR		0x300
#define APIC_LVT_TIMER		0x320
#define ICR_SELF		0x40000
#define LVT_TSC_DEADLINE	0x40000
#define SVR_ENABLE		0x1ff

/* Vectors, one for each thing that a handler does. */
#define VECTOR_ROUND		0x40	/* EOI */
#define VECTOR_EOI		0x41	/* EOI, timed */
#define VECTOR_WAKE		0x42	/* reads the TSC at once, then EOI */
#define VECTOR_TIMER		0x43	/* the same for the timer */

/* Ticks that OP_HLT_TIMER sleeps: longer than any path to sleep. */
#define SLEEP_TICKS		200000
/* A deadline that does not come: about an hour where a tick is a nanosecond. */
#define FAR_TICKS		(1ULL << 42)
/* No hypercall of any hypervisor's has this number. */
#define HYPERCALL_UNKNOWN	0x7fff

struct gate {
	uint16_t offset0;
	uint16_t selector;
	uint16_t type;
	uint16_t offset1;
	uint32_t offset2;
	uint32_t zero;
};

struct frame;

extern char exception_stubs[];
void guest_main(void);

static struct gate idt[256];
static volatile uint64_t handled;	/* interrupts taken */
static volatile uint64_t eoi_ticks;	/* of the last VECTOR_EOI */
static volatile uint64_t woken;		/* TSC, less the spinner's, in the last handler */
static bool amd;

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) :: "memory");
	return low | (uint64_t)high << 32;
}

/* Time that was not the spinner's. */
static inline uint64_t now(void)
{
	return rdtsc() - *(volatile uint64_t *)SPINS * SPIN_LENGTH;
}

static inline void wrmsr(uint32_t index, uint64_t value)
{
	__asm__ volatile("wrmsr" :: "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

static inline void cpuid(uint32_t leaf, uint32_t *b, uint32_t *c, uint32_t *d)
{
	__asm__ volatile("cpuid" : "+a"(leaf), "=b"(*b), "=c"(*c), "=d"(*d) : "2"(0) : "memory");
}

static inline void write32(uint64_t address, uint32_t value)
{
	__asm__ volatile("movl %0, (%1)" :: "r"(value), "r"(address) : "memory");
}

static inline uint32_t read32(uint64_t address)
{
	uint32_t value;

	__asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(address) : "memory");
	return value;
}

static inline void outl(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %w1" :: "a"(value), "d"(port) : "memory");
}

static inline void apic_write(uint32_t offset, uint32_t value)
{
	write32(APIC_PAGE + offset, value);
}

static inline void interrupts_off(void)
{
	__asm__ volatile("cli" ::: "memory");
}

/* Interrupts are taken after the instruction behind STI. */
static inline void take_interrupts(void)
{
	__asm__ volatile("sti; nop; cli" ::: "memory");
}

static inline void sleep(void)
{
	__asm__ volatile("sti; hlt; cli" ::: "memory");
}

/* ---- handlers ---- */

static __attribute__((interrupt)) void handle_round(struct frame *frame)
{
	(void)frame;
	apic_write(APIC_EOI, 0);
	handled++;
}

static __attribute__((interrupt)) void handle_eoi(struct frame *frame)
{
	uint64_t start = rdtsc();

	(void)frame;
	apic_write(APIC_EOI, 0);
	eoi_ticks = rdtsc() - start;
}

static __attribute__((interrupt)) void handle_wake(struct frame *frame)
{
	woken = now();
	(void)frame;
	apic_write(APIC_EOI, 0);
	handled++;
}

/* ---- operations: @count of them, and the ticks they took ---- */

static uint64_t op_nothing(const struct order *order)
{
	uint64_t start = rdtsc();

	for (uint32_t i = order->count; i; i--)
		__asm__ volatile("" ::: "memory");
	return rdtsc() - start;
}

static uint64_t op_cpuid(const struct order *order)
{
	uint64_t start = rdtsc();
	uint32_t b, c, d;

	for (uint32_t i = order->count; i; i--)
		cpuid(1, &b, &c, &d);
	return rdtsc() - start;
}

static uint64_t hypercalls_amd(const struct order *order)
{
	uint64_t start = rdtsc();
	uint64_t rax;

	for (uint32_t i = order->count; i; i--) {
		rax = HYPERCALL_UNKNOWN;
		__asm__ volatile("vmmcall" : "+a"(rax) :: "memory");
	}
	return rdtsc() - start;
}

static uint64_t hypercalls_intel(const struct order *order)
{
	uint64_t start = rdtsc();
	uint64_t rax;

	for (uint32_t i = order->count; i; i--) {
		rax = HYPERCALL_UNKNOWN;
		__asm__ volatile("vmcall" : "+a"(rax) :: "memory");
	}
	return rdtsc() - start;
}

static uint64_t op_hypercall(const struct order *order)
{
	return amd ? hypercalls_amd(order) : hypercalls_intel(order);
}

static uint64_t op_tsc_adjust(const struct order *order)
{
	uint64_t start = rdtsc();

	for (uint32_t i = order->count; i; i--)
		wrmsr(MSR_TSC_ADJUST, 0);
	return rdtsc() - start;
}

static uint64_t op_tsc_deadline(const struct order *order)
{
	uint64_t start, end, deadline;

	apic_write(APIC_LVT_TIMER, LVT_TSC_DEADLINE | VECTOR_TIMER);
	start = rdtsc();
	deadline = start + FAR_TICKS;
	for (uint32_t i = order->count; i; i--)
		wrmsr(MSR_TSC_DEADLINE, deadline++);
	end = rdtsc();
	wrmsr(MSR_TSC_DEADLINE, 0);
	return end - start;
}

static uint64_t op_pio_out(const struct order *order)
{
	uint64_t start = rdtsc();

	for (uint32_t i = order->count; i; i--)
		outl(PORT_ECHO, i);
	return rdtsc() - start;
}

static uint64_t op_pio_in(const struct order *order)
{
	uint64_t start = rdtsc();
	uint32_t value;

	for (uint32_t i = order->count; i; i--)
		__asm__ volatile("inl %w1, %0" : "=a"(value) : "d"(PORT_ECHO) : "memory");
	return rdtsc() - start;
}

static uint64_t op_mmio_write(const struct order *order)
{
	uint64_t start = rdtsc();

	for (uint32_t i = order->count; i; i--)
		write32(MMIO_ECHO, i);
	return rdtsc() - start;
}

static uint64_t op_mmio_read(const struct order *order)
{
	uint64_t start = rdtsc();

	for (uint32_t i = order->count; i; i--)
		read32(MMIO_ECHO);
	return rdtsc() - start;
}

static uint64_t op_doorbell_pio(const struct order *order)
{
	uint64_t start = rdtsc();

	for (uint32_t i = order->count; i; i--)
		__asm__ volatile("outw %w0, %w1" :: "a"(i), "d"(PORT_DOORBELL) : "memory");
	return rdtsc() - start;
}

static uint64_t op_doorbell_mmio(const struct order *order)
{
	uint64_t start = rdtsc();

	for (uint32_t i = order->count; i; i--)
		write32(MMIO_DOORBELL, i);
	return rdtsc() - start;
}

/* The write alone: the interrupt is taken after the clock was read. */
static uint64_t op_icr_write(const struct order *order)
{
	uint64_t sum = 0, start;

	for (uint32_t i = order->count; i; i--) {
		start = rdtsc();
		apic_write(APIC_ICR, ICR_SELF | VECTOR_ROUND);
		sum += rdtsc() - start;
		take_interrupts();
	}
	return sum;
}

static uint64_t op_eoi(const struct order *order)
{
	uint64_t sum = 0;

	for (uint32_t i = order->count; i; i--) {
		apic_write(APIC_ICR, ICR_SELF | VECTOR_EOI);
		take_interrupts();
		sum += eoi_ticks;
	}
	return sum;
}

static uint64_t op_ipi_round(const struct order *order)
{
	uint64_t start, end, target;

	__asm__ volatile("sti" ::: "memory");
	start = rdtsc();
	for (uint32_t i = order->count; i; i--) {
		target = handled + 1;
		apic_write(APIC_ICR, ICR_SELF | VECTOR_ROUND);
		while (handled != target)
			;
	}
	end = rdtsc();
	interrupts_off();
	return end - start;
}

static uint64_t op_hlt_pending(const struct order *order)
{
	uint64_t sum = 0, start;

	for (uint32_t i = order->count; i; i--) {
		apic_write(APIC_ICR, ICR_SELF | VECTOR_WAKE);
		start = now();
		sleep();
		sum += woken - start;
	}
	return sum;
}

static uint64_t op_hlt_timer(const struct order *order)
{
	uint64_t sum = 0, start;

	apic_write(APIC_LVT_TIMER, LVT_TSC_DEADLINE | VECTOR_TIMER);
	for (uint32_t i = order->count; i; i--) {
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + SLEEP_TICKS);
		start = now();
		sleep();
		sum += woken - start;
	}
	return sum;
}

static uint64_t op_touch(const struct order *order)
{
	/* Every window has addresses of its own. */
	static uint64_t next;
	uint64_t start, address;

	if (order->base)
		next = order->base;
	address = next;
	start = rdtsc();
	for (uint32_t i = order->count; i; i--) {
		write32(address, i);
		address += order->stride;
	}
	next = address;
	return rdtsc() - start;
}

static uint64_t (*const operations[])(const struct order *order) = {
	[OP_NOTHING] = op_nothing,
	[OP_CPUID] = op_cpuid,
	[OP_HYPERCALL] = op_hypercall,
	[OP_MSR_TSC_ADJUST] = op_tsc_adjust,
	[OP_MSR_TSC_DEADLINE] = op_tsc_deadline,
	[OP_PIO_OUT] = op_pio_out,
	[OP_PIO_IN] = op_pio_in,
	[OP_MMIO_WRITE] = op_mmio_write,
	[OP_MMIO_READ] = op_mmio_read,
	[OP_DOORBELL_PIO] = op_doorbell_pio,
	[OP_DOORBELL_MMIO] = op_doorbell_mmio,
	[OP_ICR_WRITE] = op_icr_write,
	[OP_EOI] = op_eoi,
	[OP_IPI_ROUND] = op_ipi_round,
	[OP_HLT_PENDING] = op_hlt_pending,
	[OP_HLT_TIMER] = op_hlt_timer,
	[OP_TOUCH] = op_touch,
};

/* ---- set-up ---- */

static void set_gate(unsigned int vector, const void *handler)
{
	uint64_t offset = (uint64_t)handler;

	idt[vector] = (struct gate) {
		.offset0 = offset,
		.selector = 0x08,
		.type = 0x8e00,		/* present, 64-bit interrupt gate */
		.offset1 = offset >> 16,
		.offset2 = offset >> 32,
	};
}

static void set_up(void)
{
	const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = { sizeof(idt) - 1, (uint64_t)idt };
	uint32_t b, c, d;

	for (unsigned int i = 0; i < 32; i++)
		set_gate(i, exception_stubs + i * 16);
	set_gate(VECTOR_ROUND, handle_round);
	set_gate(VECTOR_EOI, handle_eoi);
	set_gate(VECTOR_WAKE, handle_wake);
	set_gate(VECTOR_TIMER, handle_wake);
	__asm__ volatile("lidt %0" :: "m"(pointer));
	cpuid(0, &b, &c, &d);
	amd = b == 0x68747541;		/* "Auth" */
	apic_write(APIC_SVR, SVR_ENABLE);
}

void guest_main(void)
{
	struct order *order = (struct order *)ORDER;

	set_up();
	for (;;) {
		outl(PORT_DONE, 0);
		for (uint32_t i = 0; i < order->windows && i < MAX_WINDOWS; i++) {
			order->ticks[i] = operations[order->operation](order);
			order->base = 0;
		}
	}
}
