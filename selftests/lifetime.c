// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A VM lives as long as any of its fds and no longer: close in every order, dup,
 * fork, another process, kill -9 in guest mode, thread exit. What a process
 * leaves, the host takes back.
 */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "lib/test.h"

static void guest_done(void)
{
	GUEST_DONE();
}

static void guest_loop(void)
{
	GUEST_SYNC(1);
	for (;;)
		cpu_relax();
}

/* /dev/vmm, VM and vCPU fd closed in the order of @order; mapping kept or not. */
static void close_in_order(const char *order, bool unmap_first)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);

	vcpu_done(vcpu);
	if (unmap_first)
		munmap(vcpu->run, VMM_RUN_SIZE);
	for (; *order; order++)
		close(*order == 's' ? vcpu->vm->sys : *order == 'v' ? vcpu->vm->fd : vcpu->fd);
	if (!unmap_first)
		munmap(vcpu->run, VMM_RUN_SIZE);
	munmap(vcpu->vm->mem, GUEST_MEM_SIZE);
}

TEST(fds_close_in_every_order)
{
	static const char *const orders[] = { "svc", "scv", "vsc", "vcs", "csv", "cvs" };

	for (u32 i = 0; i < ARRAY_SIZE(orders); i++) {
		close_in_order(orders[i], false);
		close_in_order(orders[i], true);
	}
	/* And there is nothing left that keeps a new one from being made. */
	vcpu_done(vcpu_new(vm_new(), 0, guest_done));
}

TEST(a_vcpu_runs_without_the_other_fds)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);

	close(vcpu->vm->fd);
	close(vcpu->vm->sys);
	vcpu_done(vcpu);
}

TEST(the_run_page_outlives_its_fd)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	struct vmm_run *run = vcpu->run;

	vcpu_done(vcpu);
	close(vcpu->fd);
	close(vcpu->vm->fd);
	close(vcpu->vm->sys);
	run->immediate_exit = 1;
	EXPECT_EQ(VMM_EXIT_PIO, run->exit_reason);
	EXPECT_EQ(1, run->immediate_exit);
}

TEST(a_dup_keeps_the_vm)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	int copy = dup(vcpu->fd);

	close(vcpu->fd);
	vcpu->fd = copy;
	vcpu_done(vcpu);
}

TEST(a_child_gets_eio)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	struct vmm_clock clock = { 0 };
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct vmm_state state = { .mask = VMM_STATE_REGS };

		if (vmm_call(vcpu->fd, VMM_RUN, NULL) != -EIO)
			_exit(1);
		if (vmm_call(vcpu->fd, VMM_GET_STATE, &state) != -EIO)
			_exit(2);
		if (vmm_call(vcpu->vm->fd, VMM_GET_CLOCK, &clock) != -EIO)
			_exit(3);
		if (vm_slot(vcpu->vm, 1, GUEST_HOLE, 4096, vcpu->vm->mem, 0) != -EIO)
			_exit(4);
		/* /dev/vmm itself is anyone's. */
		if (vmm_call(vcpu->vm->sys, VMM_GET_INFO, &(struct vmm_info){ 0 }))
			_exit(5);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status) {
		TH_LOG("child: step %d was not -EIO", WEXITSTATUS(status));
	}
	vcpu_done(vcpu);
}

static void send_fd(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	if (sendmsg(socket, &msg, 0) != 1)
		die("sendmsg: %s", strerror(errno));
}

static int receive_fd(int socket)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	int fd;

	if (recvmsg(socket, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		die("recvmsg: %s", strerror(errno));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

TEST(a_vm_of_a_dead_process_is_eio_and_closes_cleanly)
{
	int pair[2], status, fd;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid = fork();
	if (!pid) {
		struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);

		vcpu_done(vcpu);
		send_fd(pair[1], vcpu->fd);
		_exit(0);
	}
	fd = receive_fd(pair[0]);
	waitpid(pid, &status, 0);
	ASSERT_EQ(0, status);
	EXPECT_EQ(-EIO, vmm_call(fd, VMM_RUN, NULL));
	close(fd);
}

TEST(kill_9_in_guest_mode_ends_the_process)
{
	for (int i = 0; i < 20; i++) {
		int pipes[2], status;
		pid_t pid;
		char byte;

		ASSERT_EQ(0, pipe(pipes));
		pid = fork();
		if (!pid) {
			struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_loop);

			vcpu_sync(vcpu, 1);
			if (write(pipes[1], "x", 1) != 1)
				_exit(2);
			vcpu_exit(vcpu);
			_exit(3);
		}
		ASSERT_EQ(1, read(pipes[0], &byte, 1));
		usleep(i * 500);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(SIGKILL, WTERMSIG(status));
		close(pipes[0]);
		close(pipes[1]);
	}
	vcpu_done(vcpu_new(vm_new(), 0, guest_done));
}

static void *run_thread(void *arg)
{
	vcpu_done(arg);
	return NULL;
}

static void *exit_in_kernel(void *arg)
{
	struct vcpu *vcpu = arg;

	vcpu_sync(vcpu, 1);
	/* Ends with the answer to an exit still due. */
	syscall(SYS_exit, 0);
	return NULL;
}

TEST(a_vcpu_moves_from_thread_to_thread)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);
	pthread_t thread;

	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(0, pthread_create(&thread, NULL, run_thread, vcpu));
		pthread_join(thread, NULL);
		vcpu_done(vcpu);
	}
}

TEST(a_thread_may_end_and_leave_its_vcpu)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_loop);
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, exit_in_kernel, vcpu));
	pthread_join(thread, NULL);
	vcpu_restart(vcpu, guest_done);
	vcpu_done(vcpu);
}

static void *loop_thread(void *arg)
{
	struct vcpu *vcpu = arg;

	vmm_call(vcpu->fd, VMM_RUN, NULL);
	vmm_call(vcpu->fd, VMM_RUN, NULL);
	return NULL;
}

TEST(exit_group_while_another_thread_is_in_the_guest)
{
	for (int i = 0; i < 5; i++) {
		int status;
		pid_t pid = fork();

		if (!pid) {
			struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_loop);
			pthread_t thread;

			pthread_create(&thread, NULL, loop_thread, vcpu);
			usleep(20000);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		EXPECT_EQ(0, status);
	}
}

TEST(closing_the_fds_under_a_running_vcpu_is_harmless)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_loop);
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, loop_thread, vcpu));
	usleep(20000);
	close(vcpu->fd);
	close(vcpu->vm->fd);
	close(vcpu->vm->sys);
	munmap(vcpu->run, VMM_RUN_SIZE);
	munmap(vcpu->vm->mem, GUEST_MEM_SIZE);
	usleep(20000);
	/* The thread is left in VMM_RUN: the end of the process ends it. */
}

/* Free pages, those on the lists of single CPUs included: these hold megabytes. */
static long free_memory_kb(void)
{
	FILE *file = fopen("/proc/zoneinfo", "r");
	char line[128];
	long pages = 0, n;

	if (!file)
		die("/proc/zoneinfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, " nr_free_pages %ld", &n) == 1 ||
		    sscanf(line, " count: %ld", &n) == 1)
			pages += n;
	fclose(file);
	return pages * 4;
}

static void many_vms(int count)
{
	for (int i = 0; i < count; i++) {
		struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_done);

		vcpu_done(vcpu);
		vm_free(vcpu->vm);
		vcpu_free(vcpu);
	}
}

/* The end of a VM is in part the work of a kernel thread: let it settle. */
static long settled_free_memory_kb(void)
{
	long last = 0, now = free_memory_kb();

	for (int i = 0; i < 20 && labs(now - last) > 128; i++) {
		usleep(100000);
		last = now;
		now = free_memory_kb();
	}
	return now;
}

/* One kilobyte each is more than what is tolerated; noise is below 100. */
#define LEAK_VMS	((int)share_of(600))
#define LEAK_KB		512L

static void expect_no_leak(struct __test_metadata *_metadata, void (*make)(int count),
			   int count)
{
	long before, after;

	/* Caches of the kernel fill up once. */
	make(share_of(100));
	before = settled_free_memory_kb();
	make(count);
	after = settled_free_memory_kb();
	EXPECT_GE(LEAK_KB, before - after) {
		TH_LOG("%d VMs left %ld KiB", count, before - after);
	}
}

TEST_TIMEOUT(hundreds_of_vms_leave_no_memory_behind, 300)
{
	expect_no_leak(_metadata, many_vms, LEAK_VMS);
}

static void many_processes(int count)
{
	for (int i = 0; i < count; i++) {
		int status;
		pid_t pid = fork();

		if (!pid) {
			vcpu_done(vcpu_new(vm_new(), 0, guest_done));
			/* Half of them leave in an orderly way. */
			if (i & 1)
				raise(SIGKILL);
			_exit(0);
		}
		waitpid(pid, &status, 0);
	}
}

TEST_TIMEOUT(hundreds_of_processes_leave_no_memory_behind, 300)
{
	expect_no_leak(_metadata, many_processes, LEAK_VMS);
}

/* Touches new pages, exits in the kernel, and never to the process. */
static void guest_busy(void)
{
	GUEST_SYNC(1);
	for (u32 n = 0;; n++) {
		write64(GUEST_DATA2 + (n & 0x7ff) * 0x1000, n);
		cpuid(0, 0);
	}
}

/* Numbers of no meaning, the same in every run. */
static u32 some_number(u32 below)
{
	static u64 state = 0x9e3779b97f4a7c15;

	state = state * 6364136223846793005 + 1442695040888963407;
	return (state >> 33) % below;
}

/* Make a VM, run its guest, say so to @pipe, and go on until killed. */
static void be_killed(int pipe)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_busy);

	vcpu_sync(vcpu, 1);
	if (write(pipe, "x", 1) == 1)
		vcpu_exit(vcpu);
	_exit(3);
}

/*
 * Half of them are killed at some moment after the guest's first instruction, the
 * others at some moment after fork(), which may be before there is a VM.
 */
static void kill_processes(int count)
{
	for (int i = 0; i < count; i++) {
		int pipes[2], status;
		pid_t pid;
		char byte;

		if (pipe(pipes))
			die("pipe: %s", strerror(errno));
		pid = fork();
		if (!pid)
			be_killed(pipes[1]);
		if (i & 1 && read(pipes[0], &byte, 1) != 1)
			die("a guest did not start");
		usleep(some_number(4000));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
			die("process %d ended with %#x before it was killed", i, status);
		close(pipes[0]);
		close(pipes[1]);
	}
}

/* Of the module's; the end of a VM takes a moment after that of its process. */
static int settled_references(void)
{
	int references = -1;

	for (int i = 0; i < 1000 && references; i++) {
		FILE *file = fopen("/sys/module/vmm/refcnt", "r");

		if (!file || fscanf(file, "%d", &references) != 1)
			die("/sys/module/vmm/refcnt: %s", strerror(errno));
		fclose(file);
		if (references)
			usleep(10000);
	}
	return references;
}

/* A page each would be more than what is tolerated. */
TEST_TIMEOUT(kill_9_at_any_moment_leaves_no_memory_and_no_reference, 300)
{
	expect_no_leak(_metadata, kill_processes, share_of(200));
	EXPECT_EQ(0, settled_references());
}

/* @n descriptors beside those that are open. */
static bool allow_files(unsigned int n)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return false;
	files.rlim_cur += n;
	if (files.rlim_max < files.rlim_cur)
		files.rlim_max = files.rlim_cur;
	return !setrlimit(RLIMIT_NOFILE, &files);
}

TEST(many_vcpus)
{
	struct vmm_info info = get_info();
	struct vm *vm = vm_new_bare();
	struct vmm_create_vcpu args = { 0 };

	ASSERT_TRUE(allow_files(info.max_vcpus));
	for (args.id = 0; args.id < info.max_vcpus; args.id++) {
		int fd = vmm_call(vm->fd, VMM_CREATE_VCPU, &args);

		if (fd < 0)
			EXPECT_EQ_FOR(0, fd, "vCPU %u", args.id);
	}
	EXPECT_EQ(-EINVAL, vmm_call(vm->fd, VMM_CREATE_VCPU, &args));
}

VMM_TEST_MAIN
