// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Ten thousand rounds of entry and exit while a CPU goes off and on and the
 * processes are killed: no round goes wrong, and nothing is left that keeps the next
 * VM from running.
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

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(online, sizeof(online), "/sys/devices/system/cpu/cpu%d/online",
		 host_cpu(host_cpus() - 1));
	if (host_cpus() < 2 || access(online, W_OK))
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

VMM_TEST_MAIN
