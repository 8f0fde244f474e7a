// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the process had in its registers it has after VMM_RUN, whatever the guest
 * did to its own: vector and x87 state, XCR0, debug registers, FS and GS; and a
 * process that shares the CPU with a running guest notices nothing.
 */
#include <asm/prctl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include "lib/test.h"

struct vectors {
	u8 ymm[16][32];
	u32 mxcsr;
	u16 fcw;
	u64 xcr0;
} __attribute__((aligned(32)));

static bool has_avx;

static void load_vectors(const struct vectors *v)
{
	if (has_avx)
		__asm__ volatile("vmovdqa 0(%0), %%ymm0; vmovdqa 32(%0), %%ymm1;"
				 "vmovdqa 64(%0), %%ymm2; vmovdqa 96(%0), %%ymm3;"
				 "vmovdqa 128(%0), %%ymm4; vmovdqa 160(%0), %%ymm5;"
				 "vmovdqa 192(%0), %%ymm6; vmovdqa 224(%0), %%ymm7;"
				 "vmovdqa 256(%0), %%ymm8; vmovdqa 288(%0), %%ymm9;"
				 "vmovdqa 320(%0), %%ymm10; vmovdqa 352(%0), %%ymm11;"
				 "vmovdqa 384(%0), %%ymm12; vmovdqa 416(%0), %%ymm13;"
				 "vmovdqa 448(%0), %%ymm14; vmovdqa 480(%0), %%ymm15"
				 : : "r"(v->ymm) : "memory");
	else
		__asm__ volatile("movaps 0(%0), %%xmm0; movaps 32(%0), %%xmm1;"
				 "movaps 224(%0), %%xmm7; movaps 480(%0), %%xmm15"
				 : : "r"(v->ymm) : "memory");
	__asm__ volatile("ldmxcsr %0; fldcw %1" : : "m"(v->mxcsr), "m"(v->fcw) : "memory");
}

static void store_vectors(struct vectors *v)
{
	u32 low, high;

	if (has_avx)
		__asm__ volatile("vmovdqa %%ymm0, 0(%0); vmovdqa %%ymm1, 32(%0);"
				 "vmovdqa %%ymm2, 64(%0); vmovdqa %%ymm3, 96(%0);"
				 "vmovdqa %%ymm4, 128(%0); vmovdqa %%ymm5, 160(%0);"
				 "vmovdqa %%ymm6, 192(%0); vmovdqa %%ymm7, 224(%0);"
				 "vmovdqa %%ymm8, 256(%0); vmovdqa %%ymm9, 288(%0);"
				 "vmovdqa %%ymm10, 320(%0); vmovdqa %%ymm11, 352(%0);"
				 "vmovdqa %%ymm12, 384(%0); vmovdqa %%ymm13, 416(%0);"
				 "vmovdqa %%ymm14, 448(%0); vmovdqa %%ymm15, 480(%0)"
				 : : "r"(v->ymm) : "memory");
	else
		__asm__ volatile("movaps %%xmm0, 0(%0); movaps %%xmm1, 32(%0);"
				 "movaps %%xmm7, 224(%0); movaps %%xmm15, 480(%0)"
				 : : "r"(v->ymm) : "memory");
	__asm__ volatile("stmxcsr %0; fstcw %1" : "=m"(v->mxcsr), "=m"(v->fcw) : : "memory");
	v->xcr0 = 0;
	if (cpuid(1, 0).ecx & 1U << 27) {
		__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
		v->xcr0 = low | (u64)high << 32;
	}
}

/* A system call without the C library, which may use vector registers. */
static long raw_run(int fd)
{
	long result;

	__asm__ volatile("syscall" : "=a"(result)
			 : "0"(SYS_ioctl), "D"(fd), "S"(VMM_RUN), "d"(0)
			 : "rcx", "r11", "memory");
	return result;
}

static void fill(struct vectors *v, u8 seed)
{
	for (u32 i = 0; i < sizeof(v->ymm); i++)
		((u8 *)v->ymm)[i] = i * 7 + seed;
	v->mxcsr = 0x1fa0;
	v->fcw = 0x027f;
}

/* 0, or the byte at which the vector state differs from @want. */
static u32 difference(const struct vectors *want, const struct vectors *got, u64 xcr0)
{
	u32 used = has_avx ? 32 : 16;

	for (u32 reg = 0; reg < 16; reg++) {
		if (!has_avx && reg != 0 && reg != 1 && reg != 7 && reg != 15)
			continue;
		for (u32 i = 0; i < used; i++)
			if (want->ymm[reg][i] != got->ymm[reg][i])
				return reg * 32 + i + 1;
	}
	if (want->mxcsr != got->mxcsr)
		return 1000;
	if (want->fcw != got->fcw)
		return 1001;
	return got->xcr0 == xcr0 ? 0 : 1002;
}

TEST(vector_and_x87_registers_stay_the_processs)
{
	static struct vectors want, got;
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_spoil);
	u64 xcr0;
	long result;

	has_avx = (cpuid(1, 0).ecx & 1U << 28) && (cpuid(1, 0).ecx & 1U << 27);
	store_vectors(&got);
	xcr0 = got.xcr0;
	for (int i = 0; i < 50; i++) {
		fill(&want, i);
		load_vectors(&want);
		result = raw_run(vcpu->fd);
		store_vectors(&got);
		ASSERT_TRUE(result == 0 || result == -EINTR);
		EXPECT_EQ_FOR(0, difference(&want, &got, xcr0),
			      "round %d, first byte that differs + 1", i);
	}
}

static volatile bool finished;

/* Spin until this thread was preempted, in favour of the guest if there is no other. */
static void wait_for_preemption(void)
{
	struct rusage before, now;

	getrusage(RUSAGE_THREAD, &before);
	do {
		for (volatile u32 i = 0; i < 10000; i++)
			;
		getrusage(RUSAGE_THREAD, &now);
	} while (now.ru_nivcsw == before.ru_nivcsw);
}

/* The second process: its registers change only by its own hand. */
static int watch_registers(void)
{
	static struct vectors want, got;
	u64 xcr0, gs = 0x12345678;

	store_vectors(&got);
	xcr0 = got.xcr0;
	syscall(SYS_arch_prctl, ARCH_SET_GS, gs);
	for (u32 round = 0; round < 60; round++) {
		fill(&want, round);
		load_vectors(&want);
		wait_for_preemption();
		store_vectors(&got);
		if (difference(&want, &got, xcr0))
			return 1;
		gs = 0;
		syscall(SYS_arch_prctl, ARCH_GET_GS, &gs);
		if (gs != 0x12345678)
			return 2;
	}
	return 0;
}

TEST_TIMEOUT(a_second_process_on_the_cpu_notices_nothing, 60)
{
	int status, end;
	pid_t guest, watcher;

	has_avx = (cpuid(1, 0).ecx & 1U << 28) && (cpuid(1, 0).ecx & 1U << 27);
	pin_to_cpu(0);
	guest = fork();
	if (!guest) {
		struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_spoil);

		for (;;)
			vcpu_sync(vcpu, 1);
	}
	watcher = fork();
	if (!watcher)
		_exit(watch_registers());
	waitpid(watcher, &status, 0);
	kill(guest, SIGKILL);
	waitpid(guest, &end, 0);
	EXPECT_EQ(0, WEXITSTATUS(status)) {
		TH_LOG("1: vector state changed, 2: the GS base did");
	}
	EXPECT_EQ(SIGKILL, WIFSIGNALED(end) ? WTERMSIG(end) : 0) {
		TH_LOG("the guest did not live to the end");
	}
}

TEST(segment_bases_stay_the_processs)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_spoil);
	u64 fs_before, fs_after, gs_after;

	syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_before);
	syscall(SYS_arch_prctl, ARCH_SET_GS, 0x5555000);
	for (int i = 0; i < 20; i++) {
		vcpu_sync(vcpu, 1);
		syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_after);
		syscall(SYS_arch_prctl, ARCH_GET_GS, &gs_after);
		EXPECT_EQ(fs_before, fs_after);
		EXPECT_EQ(0x5555000, gs_after);
	}
}

static u16 selector_of(const char which)
{
	u16 value;

	if (which == 'd')
		__asm__ volatile("mov %%ds, %0" : "=r"(value));
	else if (which == 'e')
		__asm__ volatile("mov %%es, %0" : "=r"(value));
	else if (which == 'f')
		__asm__ volatile("mov %%fs, %0" : "=r"(value));
	else
		__asm__ volatile("mov %%gs, %0" : "=r"(value));
	return value;
}

static void guest_selectors(void)
{
	for (;;) {
		__asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%fs; mov %0, %%gs"
				 : : "r"(SEL_USER_DATA));
		GUEST_SYNC(1);
	}
}

TEST(selectors_stay_the_processs)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_selectors);
	const char *names = "defg";
	u16 before[4];

	for (int i = 0; i < 4; i++)
		before[i] = selector_of(names[i]);
	for (int round = 0; round < 10; round++) {
		vcpu_sync(vcpu, 1);
		for (int i = 0; i < 4; i++)
			EXPECT_EQ_FOR(before[i], selector_of(names[i]), "%cs", names[i]);
	}
}

/* ---- debug registers, set by a tracer ---- */

static volatile u64 watched;

static long debug_offset(int n)
{
	return offsetof(struct user, u_debugreg) + n * sizeof(u64);
}

/* The child, once it has stopped, gets a breakpoint on @watched. Its next wait status. */
static int watch_and_continue(pid_t pid)
{
	int status;

	waitpid(pid, &status, 0);
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP ||
	    ptrace(PTRACE_POKEUSER, pid, debug_offset(0), &watched) ||
	    ptrace(PTRACE_POKEUSER, pid, debug_offset(7), 0xd0001) ||
	    ptrace(PTRACE_CONT, pid, 0, 0))
		die("the child takes no breakpoint: status %#x", status);
	waitpid(pid, &status, 0);
	return status;
}

TEST(breakpoints_of_a_debugger_survive_and_do_not_reach_the_guest)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_spoil);

		ptrace(PTRACE_TRACEME, 0, 0, 0);
		vcpu_sync(vcpu, 1);
		raise(SIGSTOP);			/* the tracer sets the breakpoint */
		for (int i = 0; i < 10; i++)
			vcpu_sync(vcpu, 1);
		/* At once: a sleep would let the scheduler set it up again. */
		watched = 1;
		raise(SIGSTOP);			/* the tracer looks at it */
		_exit(7);
	}
	status = watch_and_continue(pid);
	ASSERT_TRUE(WIFSTOPPED(status));
	EXPECT_EQ(SIGTRAP, WSTOPSIG(status)) {
		TH_LOG("the breakpoint was gone after VMM_RUN");
	}
	EXPECT_EQ((long)&watched, ptrace(PTRACE_PEEKUSER, pid, debug_offset(0), 0));
	EXPECT_EQ(0xd0001, ptrace(PTRACE_PEEKUSER, pid, debug_offset(7), 0));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

static void guest_dr6(void)
{
	/* BS and all of B0 to B3, as if each had just struck */
	__asm__ volatile("mov %0, %%db6" : : "r"(0xffff4fffUL));
	GUEST_SYNC(1);
	GUEST_DONE();
}

/* As the kernel tells the process, and not as the guest left DR6 on that CPU. */
TEST(what_a_breakpoint_hits_is_not_mixed_with_the_guests)
{
	int status;
	pid_t pid;
	siginfo_t info;

	pin_to_cpu(0);
	pid = fork();
	if (!pid) {
		struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_dr6);

		ptrace(PTRACE_TRACEME, 0, 0, 0);
		vcpu_sync(vcpu, 1);
		raise(SIGSTOP);			/* the tracer sets the breakpoint */
		watched = 1;
		_exit(7);
	}
	status = watch_and_continue(pid);
	ASSERT_TRUE(WIFSTOPPED(status));
	EXPECT_EQ(SIGTRAP, WSTOPSIG(status));
	ASSERT_EQ(0, ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
	EXPECT_EQ(TRAP_HWBKPT, info.si_code);
	EXPECT_EQ(1, ptrace(PTRACE_PEEKUSER, pid, debug_offset(6), 0) & 0xf);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

static void guest_compute(void)
{
	u64 a = 1, b = 2;

	/* Nothing of it may come from another vCPU or the host. */
	__asm__ volatile("movq %0, %%xmm3; movq %1, %%xmm4" : : "r"(0x3333333333333333),
			 "r"(0x4444444444444444));
	for (u32 i = 0; i < 500; i++) {
		GUEST_SYNC(1);
		__asm__ volatile("movq %%xmm3, %0; movq %%xmm4, %1" : "=r"(a), "=r"(b));
		GUEST_EQ(0x3333333333333333, a);
		GUEST_EQ(0x4444444444444444, b);
	}
	GUEST_DONE();
}

TEST(the_guests_vectors_survive_the_process)
{
	static struct vectors mine;
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_compute);

	for (int i = 0; i < 500; i++) {
		fill(&mine, i);
		load_vectors(&mine);
		vcpu_sync(vcpu, 1);
	}
	vcpu_done(vcpu);
}

VMM_TEST_MAIN
