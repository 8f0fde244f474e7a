// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * In the emulated host: starts a virtual machine in which bench/io/guest.c runs, and
 * looks at the host's counters at each mark of it.
 *
 *	bench-io vmm|kvm ticks|syscalls COMMAND...
 *
 * "ticks": one line a load, "figure NAME OPERATIONS TICKS EXITS INTERRUPTS", ticks
 * being the TSC's, less those of the process that spins while nobody else runs; exits
 * without those by the host's own interrupts. "syscalls": "syscalls NAME OPERATIONS N",
 * those of COMMAND's threads. They are counted in a run of their own, because counting
 * makes every one of them longer. Exit status 3: the guest makes no progress.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"

/* Instructions in a turn of the spinner. */
#define SPIN_LENGTH	2
/* Seconds of the host's in which a guest starts, and in which a load ends. */
#define LIMIT_START	8
#define LIMIT		2
#define STATUS_STUCK	3
#define KVM_STATS	"/sys/kernel/debug/kvm/"
#define SYSCALL_EVENT	"/sys/kernel/tracing/events/raw_syscalls/sys_enter/id"

struct sample {
	uint64_t ticks;
	uint64_t syscalls;
	uint64_t exits;
};

static volatile uint64_t *spins;
static bool is_vmm, count_syscalls;
static FILE *from_vm, *errors;
static int to_vm, syscall_counter = -1;
static pid_t vm;

/* Its disk and its tap are free after that. */
static void end_vm(void)
{
	if (vm <= 0)
		return;
	kill(vm, SIGKILL);
	waitpid(vm, NULL, 0);
}

static void die(const char *what)
{
	fprintf(stderr, "bench-io: %s: %s\n", what, strerror(errno));
	end_vm();
	exit(1);
}

static void stuck(int sig)
{
	(void)sig;
	end_vm();
	_exit(STATUS_STUCK);
}

static uint64_t read_number(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned long long value;

	if (!file || fscanf(file, "%llu", &value) != 1)
		die(path);
	fclose(file);
	return value;
}

/* A process of this one's own that ends with it. */
static pid_t child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void start_spinner(void)
{
	const struct sched_param param = { 0 };

	spins = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (spins == MAP_FAILED)
		die("mmap");
	if (child())
		return;
	if (sched_setscheduler(0, SCHED_IDLE, &param))
		die("SCHED_IDLE");
	/* SPIN_LENGTH instructions a turn */
	__asm__ volatile("1: addq $1, (%0)\n\t"
			 "jmp 1b" :: "r"(spins) : "memory");
}

/* The guest's peer: packets on demand. Of those that demand none, the kernel keeps few. */
static void serve(int fd)
{
	static char data[2048];
	struct sockaddr_in guest;
	struct order order;

	for (;;) {
		socklen_t length = sizeof(guest);

		if (recvfrom(fd, &order, sizeof(order), 0, (struct sockaddr *)&guest, &length) !=
		    sizeof(order))
			die("receive");
		for (; order.count; order.count--)
			if (order.size > sizeof(data) ||
			    sendto(fd, data, order.size, 0, (struct sockaddr *)&guest, length) < 0)
				die("send");
	}
}

static void start_peer(void)
{
	const struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&any, sizeof(any)))
		die("socket");
	if (!child())
		serve(fd);
	close(fd);
}

/* Counts system calls of @pid and of all its threads from its next exec on. */
static void open_counter(pid_t pid)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.config = read_number(SYSCALL_EVENT),
		.disabled = 1,
		.enable_on_exec = 1,
		.inherit = 1,
	};

	syscall_counter = syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (syscall_counter < 0)
		die("perf_event_open");
}

static void start_vm(char **command)
{
	int in[2], out[2], err[2], go[2];
	char byte;

	if (pipe(in) || pipe(out) || pipe(err) || pipe(go))
		die("pipe");
	vm = child();
	if (!vm) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		if (read(go[0], &byte, 1) != 1)
			die("start");
		for (int fd = 3; fd < 64; fd++)
			close(fd);
		execvp(command[0], command);
		die(command[0]);
	}
	close(in[0]);
	close(out[1]);
	close(err[1]);
	to_vm = in[1];
	from_vm = fdopen(out[0], "r");
	errors = fdopen(err[0], "r");
	if (!from_vm || !errors)
		die("pipe");
	if (count_syscalls)
		open_counter(vm);
	if (write(go[1], "", 1) != 1)
		die("start");
}

/* The runner prints its table at SIGUSR2. */
static uint64_t vmm_exits(void)
{
	unsigned long long exits = 0;
	char line[256];

	kill(vm, SIGUSR2);
	while (fgets(line, sizeof(line), errors)) {
		if (!strncmp(line, "pages of page tables", 20))
			return exits;
		if (sscanf(line, "but host interrupts %llu", &exits) != 1 &&
		    !strstr(line, "  "))
			fputs(line, stderr);
	}
	die("no table of exits");
	return 0;
}

static uint64_t kvm_exits(void)
{
	return read_number(KVM_STATS "exits") - read_number(KVM_STATS "irq_exits");
}

static uint64_t exits(void)
{
	return is_vmm ? vmm_exits() : kvm_exits();
}

static uint64_t syscalls(void)
{
	uint64_t n = 0;

	if (syscall_counter >= 0 && read(syscall_counter, &n, sizeof(n)) != sizeof(n))
		die("the counter of system calls");
	return n;
}

/* Inside of a pair of samples is what the guest did, and not what they cost. */
static void sample(struct sample *s, bool begin)
{
	if (begin)
		s->exits = exits();
	s->syscalls = syscalls();
	s->ticks = __builtin_ia32_rdtsc() - *spins * SPIN_LENGTH;
	if (!begin)
		s->exits = exits();
}

static void end_of_load(const char *name, unsigned int count, unsigned long irqs,
			const struct sample *before)
{
	struct sample after;

	sample(&after, false);
	if (count_syscalls)
		printf("syscalls %s %u %lu\n", name, count, after.syscalls - before->syscalls);
	else
		printf("figure %s %u %lu %lu %lu\n", name, count, after.ticks - before->ticks,
		       after.exits - before->exits, irqs);
	fflush(stdout);
}

static void answer(void)
{
	if (write(to_vm, "\n", 1) != 1)
		die("answer");
}

/* Until the guest says that it is done. */
static void watch(void)
{
	struct sample before = { 0 };
	char line[512], name[32];
	unsigned int count;
	unsigned long irqs;

	while (fgets(line, sizeof(line), from_vm)) {
		if (!strncmp(line, "mark bye", 8))
			return;
		if (sscanf(line, "mark begin %31s", name) == 1) {
			alarm(LIMIT);
			sample(&before, true);
			answer();
		} else if (sscanf(line, "mark end %31s %u %lu", name, &count, &irqs) == 3) {
			end_of_load(name, count, irqs, &before);
			answer();
		} else {
			fputs(line, stderr);
		}
	}
	while (fgets(line, sizeof(line), errors))
		fputs(line, stderr);
	errno = 0;
	die("the guest did not come to its end");
}

int main(int argc, char **argv)
{
	if (argc < 4 || (strcmp(argv[1], "vmm") && strcmp(argv[1], "kvm")) ||
	    (strcmp(argv[2], "ticks") && strcmp(argv[2], "syscalls"))) {
		fprintf(stderr, "usage: bench-io vmm|kvm ticks|syscalls COMMAND...\n");
		return 2;
	}
	is_vmm = !strcmp(argv[1], "vmm");
	count_syscalls = !strcmp(argv[2], "syscalls");
	start_spinner();
	start_peer();
	signal(SIGALRM, stuck);
	start_vm(argv + 3);
	alarm(LIMIT_START);
	watch();
	end_vm();
	printf("end\n");
	return 0;
}
