// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Ten thousand rounds of entry and exit while a CPU goes off and on and the
 * processes are killed: no round goes wrong, and nothing is left that keeps the next
 * VM from running. And what the CPU has of a vCPU's registers is not lost with the
 * CPU, though the vCPU's thread sleeps in the middle of an exit meanwhile.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "lib/test.h"

#define ROUNDS		10000
#define LIFE		200	/* rounds between kills, at least */
#define HOTPLUGS	20
#define READS		2000	/* while it does */
#define SLEEPERS	4	/* vCPUs that share the CPUs */
#define IMAGE_SIZE	(1UL << 20)	/* of the guest's code, at most */
#define ANSWER		0x1234567890abcdefUL

/* Of the last CPU that the test may use. */
static char online[64];

/* Of all processes of the test. */
static struct shared {
	u32 rounds, kills, hotplugs;
	bool stop;
} *shared;

static void guest_rounds(void)
{
	u32 n = 0;

	for (;; n++) {
		write64(GUEST_DATA2 + (n & 0x3ff) * 0x1000, n);
		cpuid(0, 0);
		GUEST_SYNC(n);
		GUEST_EQ(n, read64(GUEST_DATA2 + (n & 0x3ff) * 0x1000));
	}
}

/* A wrong value ends the process, which is a failure; a kill is none. */
static void *run_rounds(void *vcpu)
{
	for (u32 n = 0;; n++) {
		vcpu_sync(vcpu, n);
		__atomic_add_fetch(&shared->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void run_vm(void)
{
	pthread_t other;

	/* Each in a VM of its own: they write the same memory. */
	pthread_create(&other, NULL, run_rounds, vcpu_new(vm_new(), 0, guest_rounds));
	run_rounds(vcpu_new(vm_new(), 1, guest_rounds));
}

static bool set_online(const char *text)
{
	int fd = open(online, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, 1) == 1;

	if (fd >= 0)
		close(fd);
	return done;
}

/* Which CPU goes off; false: there is none that can. */
static bool find_cpu(void)
{
	snprintf(online, sizeof(online), "/sys/devices/system/cpu/cpu%d/online",
		 host_cpu(host_cpus() - 1));
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return host_cpus() >= 2 && !access(online, W_OK);
}

/* Until told, or the test is dead; the CPU is on then. */
static void hotplug(pid_t parent)
{
	while (!*(volatile bool *)&shared->stop && getppid() == parent)
		if (set_online("0") && set_online("1"))
			__atomic_add_fetch(&shared->hotplugs, 1, __ATOMIC_RELAXED);
	set_online("1");
	_exit(0);
}

/* One life; false: it ended by itself. */
static bool live_and_die(void)
{
	u32 until = __atomic_load_n(&shared->rounds, __ATOMIC_RELAXED) + LIFE;
	int status = 0;
	pid_t pid = fork();

	if (!pid)
		run_vm();
	while (__atomic_load_n(&shared->rounds, __ATOMIC_RELAXED) < until &&
	       !waitpid(pid, &status, WNOHANG))
		usleep(100);
	kill(pid, SIGKILL);
	if (!status)
		waitpid(pid, &status, 0);
	shared->kills++;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void guest_done(void)
{
	GUEST_DONE();
}

TEST_TIMEOUT(rounds_survive_hotplug_and_kills, 580)
{
	pid_t plugger, self = getpid();

	if (!find_cpu())
		SKIP(return, "there is no second CPU to go off");
	plugger = fork();
	if (!plugger)
		hotplug(self);
	while ((shared->rounds < share_of(ROUNDS) || shared->hotplugs < share_of(HOTPLUGS)) &&
	       _metadata->passed)
		EXPECT_TRUE(live_and_die());
	*(volatile bool *)&shared->stop = true;
	waitpid(plugger, NULL, 0);
	TH_LOG("%u rounds, %u kills, %u times off and on", shared->rounds, shared->kills,
	       shared->hotplugs);
	vcpu_done(vcpu_new(vm_new(), 0, guest_done));
}

/* ---- a thread that sleeps in an exit ---- */

static volatile bool guest_stop;

/* Registers that only the CPU has: what an exit here needs of them it asks for late. */
static void guest_registers(void)
{
	const u64 cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();

	for (u64 n = 1; !guest_stop; n++) {
		GUEST_EQ(ANSWER, read64(GUEST_HOLE));
		wrmsr(MSR_SYSENTER_ESP, n);
		write_cr0(cr0 | X86_CR0_CD);
		GUEST_EQ(ANSWER, read64(GUEST_HOLE));
		GUEST_EQ(cr0 | X86_CR0_CD, read_cr0());
		write_cr0(cr0);
		GUEST_EQ(n, rdmsr(MSR_SYSENTER_ESP));
		GUEST_EQ(cr3, read_cr3());
		GUEST_EQ(cr4, read_cr4());
	}
	GUEST_DONE();
}

static void *answer_reads(void *arg)
{
	struct vcpu *vcpu = arg;

	while (vcpu_exit(vcpu) == VMM_EXIT_MMIO) {
		vcpu->run->mmio.data = ANSWER;
		__atomic_add_fetch(&shared->rounds, 1, __ATOMIC_RELAXED);
	}
	if (!vcpu_synced(vcpu, &(u32){ 0 }))
		die("%s", exit_text(vcpu));
	return NULL;
}

/* The guest's code in memory that can be taken away, and comes back as it was. */
static void share_image(struct vm *vm)
{
	void *image = vm_ptr(vm, GUEST_IMAGE), *copy = map_memory(IMAGE_SIZE);

	memcpy(copy, image, IMAGE_SIZE);
	if (mmap(image, IMAGE_SIZE, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != image)
		die("no shared memory");
	memcpy(image, copy, IMAGE_SIZE);
	munmap(copy, IMAGE_SIZE);
}

/* The kernel reads an instruction that exits: it has to be found, and mmap_lock waited for. */
static void take_image(struct vm *vm)
{
	madvise(vm_ptr(vm, GUEST_IMAGE), IMAGE_SIZE, MADV_DONTNEED);
	munmap(map_memory(IMAGE_SIZE), IMAGE_SIZE);
}

TEST_TIMEOUT(registers_survive_the_cpu_they_are_in, 120)
{
	pthread_t threads[SLEEPERS];
	pid_t plugger, self = getpid();
	struct vm *vm;
	int i;

	if (!find_cpu())
		SKIP(return, "there is no second CPU to go off");
	plugger = fork();
	if (!plugger)
		hotplug(self);
	vm = vm_new();
	share_image(vm);
	for (i = 0; i < SLEEPERS; i++)
		pthread_create(&threads[i], NULL, answer_reads, vcpu_new(vm, i, guest_registers));
	while (shared->rounds < share_of(READS) || shared->hotplugs < share_of(HOTPLUGS))
		take_image(vm);
	guest_var(vm, guest_stop) = true;
	for (i = 0; i < SLEEPERS; i++)
		pthread_join(threads[i], NULL);
	shared->stop = true;
	waitpid(plugger, NULL, 0);
	TH_LOG("%u reads answered, %u times off and on", shared->rounds, shared->hotplugs);
}

VMM_TEST_MAIN
