// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The yardstick's host program, the same source for every hypervisor: it lets the
 * guest measure what a guest can, measures the life of a VM itself, and prints one
 * line a figure: its name, the ticks of the cheapest window, and the operations in
 * a window. bench/run makes the table of these.
 *
 * Ticks are instructions in the hosts this runs on, but for the time that nobody
 * runs. So where something sleeps, a process of the idle class spins and counts its
 * turns, and what it used is taken off: see now() here and in the guest.
 *
 *	bench-vmm | bench-kvm			all figures
 *	bench-vmm --forever OPERATION		one operation without end, for bench/profile
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/layout.h"
#include "shim.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define SIZE_2M		0x200000

#define PTE_TABLE	0x3	/* present, writable */
#define PTE_LARGE	0x83	/* and a 2 MiB page */

/* What an IN or a load from nowhere reads. */
#define ECHO_VALUE	0x5a5a5a5a

/* VMs made and unmade, one a window. */
#define LIVES		24
/* By then the kernel has done what it had put off. */
#define SETTLE_US	40000

extern const char guest_image[], guest_image_end[];

/*
 * struct measure - a figure that the guest takes
 * @windows: the first one is warm-up
 * @spin: somebody sleeps: needs the spinner
 */
static const struct measure {
	const char *name;
	enum operation operation;
	unsigned int windows;
	unsigned int count;
	uint64_t base;
	uint64_t stride;
	bool spin;
} measures[] = {
	{ "nothing", OP_NOTHING, 17, 32 },
	{ "cpuid", OP_CPUID, 33, 32 },
	{ "hypercall", OP_HYPERCALL, 33, 32 },
	{ "msr_tsc_adjust", OP_MSR_TSC_ADJUST, 33, 32 },
	{ "msr_tsc_deadline", OP_MSR_TSC_DEADLINE, 33, 32 },
	{ "pio_out", OP_PIO_OUT, 33, 32 },
	{ "pio_in", OP_PIO_IN, 33, 32 },
	{ "mmio_write", OP_MMIO_WRITE, 33, 32 },
	{ "mmio_read", OP_MMIO_READ, 33, 32 },
	{ "doorbell_pio", OP_DOORBELL_PIO, 33, 32 },
	{ "doorbell_mmio", OP_DOORBELL_MMIO, 33, 32 },
	{ "icr_write", OP_ICR_WRITE, 33, 32 },
	{ "eoi", OP_EOI, 33, 32 },
	{ "ipi_round", OP_IPI_ROUND, 33, 32 },
	{ "hlt_pending", OP_HLT_PENDING, 33, 32 },
	{ "hlt_timer", OP_HLT_TIMER, 33, 8, .spin = true },
	{ "fault_4k", OP_TOUCH, 17, 64, SMALL_BASE, 0x1000 },
	{ "fault_4k_apart", OP_TOUCH, 17, 32, SMALL_BASE + 0x1000000, 0x10000 },
	{ "fault_2m", OP_TOUCH, 17, 3, LARGE_BASE, SIZE_2M },
};

static char *ram;		/* shared with the spinner */
static char *small, *large;
static struct order *order;
static volatile uint64_t *spins;
static pid_t spinner;

void die(const char *what, const char *cause)
{
	fprintf(stderr, "bench: %s: %s\n", what, cause);
	exit(1);
}

/* ---- the spinner ---- */

static void spin(void)
{
	const struct sched_param param = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sched_setscheduler(0, SCHED_IDLE, &param))
		die("SCHED_IDLE", strerror(errno));
	raise(SIGSTOP);
	/* SPIN_LENGTH instructions a turn */
	__asm__ volatile("1: addq $1, (%0)\n\t"
			 "jmp 1b" :: "r"(spins) : "memory");
}

static void start_spinner(void)
{
	spinner = fork();
	if (spinner < 0)
		die("fork", strerror(errno));
	if (!spinner)
		spin();
	waitpid(spinner, NULL, WUNTRACED);
}

static void set_spinning(bool on)
{
	kill(spinner, on ? SIGCONT : SIGSTOP);
	if (!on)
		waitpid(spinner, NULL, WUNTRACED);
}

/* Time that was not the spinner's. */
static uint64_t now(void)
{
	return __builtin_ia32_rdtsc() - *spins * SPIN_LENGTH;
}

/* ---- memory ---- */

static char *map(size_t size, int flags)
{
	char *p = mmap(NULL, size + SIZE_2M, PROT_READ | PROT_WRITE,
		       flags | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("memory", strerror(errno));
	return (char *)(((uintptr_t)p + SIZE_2M - 1) & ~(uintptr_t)(SIZE_2M - 1));
}

/* Present and written, in pages of the wanted size. */
static char *populate(size_t size, int advice)
{
	char *p = map(size, MAP_PRIVATE);

	if (madvise(p, size, advice))
		die("madvise", strerror(errno));
	memset(p, 1, size);
	return p;
}

static size_t huge_kib(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "r");
	size_t kib = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "AnonHugePages: %zu", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib;
}

/* An identity mapping of the first 4 GiB in pages of 2 MiB. */
static void make_page_tables(void)
{
	uint64_t *pml4 = (uint64_t *)(ram + PAGE_TABLES);
	uint64_t *pdpt = pml4 + 512;
	uint64_t *pd = pdpt + 512;

	pml4[0] = (PAGE_TABLES + 0x1000) | PTE_TABLE;
	for (uint64_t i = 0; i < 4; i++)
		pdpt[i] = (PAGE_TABLES + 0x2000 + i * 0x1000) | PTE_TABLE;
	for (uint64_t i = 0; i < 4 * 512; i++)
		pd[i] = i * SIZE_2M | PTE_LARGE;
}

/* What the spinner shares. */
static void make_ram(void)
{
	static const uint8_t one_exit[] = { 0xe7, PORT_DONE };	/* out %eax, $PORT_DONE */

	ram = map(RAM_SIZE, MAP_SHARED);
	memset(ram, 0, RAM_SIZE);
	memcpy(ram + IMAGE, guest_image, guest_image_end - guest_image);
	memcpy(ram + ONE_EXIT, one_exit, sizeof(one_exit));
	make_page_tables();
	order = (struct order *)(ram + ORDER);
	spins = (uint64_t *)(ram + SPINS);
}

/* After fork(): of memory that a child has too, a write makes a copy. */
static void make_memory(void)
{
	small = populate(SMALL_SIZE, MADV_NOHUGEPAGE);
	large = populate(LARGE_SIZE, MADV_HUGEPAGE);
	if (huge_kib() < LARGE_SIZE / 1024)
		die("memory", "the host gave no 2 MiB pages");
}

/* ---- the guest's turn ---- */

static void answer(struct shim_exit *exit)
{
	const uint32_t value = ECHO_VALUE;

	if (!exit->write)
		memcpy(exit->data, &value, sizeof(value));
}

/* The smallest runner: a device that answers at once, until the order is done. */
static void run_order(struct shim_vm *vm)
{
	struct shim_exit exit;
	char text[64];

	for (;;) {
		shim_run(vm, &exit);
		if (exit.kind == SHIM_PIO) {
			if (exit.address == PORT_ECHO) {
				answer(&exit);
				continue;
			}
			if (exit.address == PORT_DONE)
				return;
			snprintf(text, sizeof(text), "port %#lx, value %#x", exit.address,
				 *(uint32_t *)exit.data);
		} else if (exit.kind == SHIM_MMIO && exit.address == MMIO_ECHO) {
			answer(&exit);
			continue;
		} else {
			snprintf(text, sizeof(text), "kind %d, address %#lx, reason %u",
				 exit.kind, exit.address, exit.reason);
		}
		die("unexpected exit", text);
	}
}

static struct shim_vm *make_vm(void)
{
	struct shim_vm *vm = shim_create();
	int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (bell < 0)
		die("eventfd", strerror(errno));
	shim_slot(vm, 0, 0, RAM_SIZE, ram);
	shim_slot(vm, 1, SMALL_BASE, SMALL_SIZE, small);
	shim_slot(vm, 2, LARGE_BASE, LARGE_SIZE, large);
	shim_doorbell_port(vm, PORT_DOORBELL, bell);
	shim_doorbell_mmio(vm, MMIO_DOORBELL, bell);
	shim_start(vm, IMAGE, PAGE_TABLES);
	run_order(vm);
	return vm;
}

static uint64_t cheapest(const uint64_t *ticks, unsigned int n)
{
	uint64_t least = ticks[0];

	for (unsigned int i = 1; i < n; i++)
		if (ticks[i] < least)
			least = ticks[i];
	return least;
}

static void print_figure(const char *name, uint64_t ticks, unsigned int count)
{
	printf("figure %s %lu %u\n", name, ticks, count);
	fflush(stdout);
}

static void give_order(struct shim_vm *vm, const struct measure *m)
{
	*order = (struct order){
		.operation = m->operation,
		.windows = m->windows,
		.count = m->count,
		.base = m->base,
		.stride = m->stride,
	};
	run_order(vm);
}

static void measure(struct shim_vm *vm, const struct measure *m)
{
	if (m->spin)
		set_spinning(true);
	give_order(vm, m);
	if (m->spin)
		set_spinning(false);
	print_figure(m->name, cheapest((const uint64_t *)order->ticks + 1, m->windows - 1),
		     m->count);
}

/* ---- the life of a VM ---- */

enum stage {
	CREATE,		/* VM, vCPU, slot, state */
	RUN,		/* up to the first exit to the process */
	DESTROY,
	STAGES
};

static void live_once(uint64_t (*ticks)[LIVES], unsigned int n)
{
	uint64_t at[STAGES + 1];
	struct shim_exit exit;
	struct shim_vm *vm;

	set_spinning(true);
	at[CREATE] = now();
	vm = shim_create();
	shim_slot(vm, 0, 0, RAM_SIZE, ram);
	shim_start(vm, ONE_EXIT, PAGE_TABLES);
	at[RUN] = now();
	shim_run(vm, &exit);
	at[DESTROY] = now();
	shim_destroy(vm);
	at[STAGES] = now();
	set_spinning(false);
	usleep(SETTLE_US);
	if (exit.kind != SHIM_PIO || exit.address != PORT_DONE)
		die("unexpected exit", "of the guest with one instruction");
	for (unsigned int i = 0; i < STAGES; i++)
		ticks[i][n] = at[i + 1] - at[i];
	ticks[STAGES][n] = at[STAGES] - at[CREATE];
}

static void measure_life(void)
{
	static uint64_t ticks[STAGES + 1][LIVES];

	for (unsigned int i = 0; i < LIVES; i++)
		live_once(ticks, i);
	print_figure("vm_create", cheapest(ticks[CREATE], LIVES), 1);
	print_figure("vm_first_exit", cheapest(ticks[RUN], LIVES), 1);
	print_figure("vm_destroy", cheapest(ticks[DESTROY], LIVES), 1);
	print_figure("vm_life", cheapest(ticks[STAGES], LIVES), 1);
}

/* ---- main ---- */

static const struct measure *find_measure(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(measures); i++)
		if (!strcmp(name, measures[i].name))
			return &measures[i];
	die(name, "no such operation");
}

int main(int argc, char **argv)
{
	struct shim_vm *vm;

	if (argc != 1 && (argc != 3 || strcmp(argv[1], "--forever")))
		die("usage", "bench-HYPERVISOR [--forever OPERATION]");
	make_ram();
	start_spinner();
	make_memory();
	shim_open();
	vm = make_vm();
	if (argc == 3) {
		printf("ready\n");
		fflush(stdout);
		for (;;)
			give_order(vm, find_measure(argv[2]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(measures); i++)
		measure(vm, &measures[i]);
	shim_destroy(vm);
	measure_life();
	kill(spinner, SIGKILL);
	printf("end %s\n", shim_name);
	return 0;
}
