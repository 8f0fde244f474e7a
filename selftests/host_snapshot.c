// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the host has in its CPUs' MSRs, tables and registers is the same, byte for
 * byte, before a VM lived and after, and a second process on its CPU sees no other
 * values while the guest spoils its own.
 */
#include <asm/prctl.h>
#include <fcntl.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/test.h"

#define MSR_VM_HSAVE_PA		0xc0010117
#define MSR_MISSING		0xdeadbeefdeadbeef
#define MAX_CPUS		2
#define SPOILS			200

/* Those of the CPU or the kernel; FS and KERNEL_GS are the reading process's. */
static const u32 msrs[] = {
	MSR_APIC_BASE, 0x3a, MSR_TSC_ADJUST, 0x48, MSR_SYSENTER_CS, MSR_SYSENTER_ESP,
	MSR_SYSENTER_EIP, 0x1a0, 0x1d9, 0x200, 0x201, 0x202, 0x203, 0x250, 0x258, 0x259, 0x268,
	0x26f, MSR_PAT, MSR_MTRR_DEF_TYPE, 0x600, 0x6a0, 0x6a2, 0xda0, MSR_EFER, MSR_STAR,
	MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_TSC_AUX, 0xc0010015, 0xc0010114, MSR_VM_HSAVE_PA, 0xc001011f, 0xc0011029,
};

static struct snapshot {
	u64 msr[ARRAY_SIZE(msrs)];
	u8 gdt[10], idt[10];
	u16 ldt, tr, msw, selector[6];
	u64 fs_base, gs_base, xcr0;
	u8 fxsave[512] __attribute__((aligned(16)));
} before[MAX_CPUS], after[MAX_CPUS], now;

static int open_msrs(int cpu)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/cpu/%d/msr", cpu);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static bool has_msrs(void)
{
	return !system("modprobe msr 2>/dev/null; test -e /dev/cpu/0/msr");
}

static void take_registers(struct snapshot *s)
{
	u32 low = 0, high = 0;

	__asm__ volatile("sgdt %0; sidt %1; sldt %2; str %3; smsw %4"
			 : "=m"(s->gdt), "=m"(s->idt), "=m"(s->ldt), "=m"(s->tr), "=m"(s->msw));
	__asm__ volatile("movw %%es, %0; movw %%cs, %1; movw %%ss, %2; movw %%ds, %3;"
			 "movw %%fs, %4; movw %%gs, %5"
			 : "=m"(s->selector[0]), "=m"(s->selector[1]), "=m"(s->selector[2]),
			   "=m"(s->selector[3]), "=m"(s->selector[4]), "=m"(s->selector[5]));
	syscall(SYS_arch_prctl, ARCH_GET_FS, &s->fs_base);
	syscall(SYS_arch_prctl, ARCH_GET_GS, &s->gs_base);
	if (cpuid(1, 0).ecx & 1U << 27)
		__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	s->xcr0 = low | (u64)high << 32;
}

/* On the n-th CPU itself: some of them follow the process. */
static void take(struct snapshot *s, int n)
{
	int fd;

	pin_to_cpu(n);
	memset(s, 0, sizeof(*s));
	fd = open_msrs(host_cpu(n));
	for (u32 i = 0; i < ARRAY_SIZE(msrs); i++)
		if (pread(fd, &s->msr[i], 8, msrs[i]) != 8)
			s->msr[i] = MSR_MISSING;
	close(fd);
	take_registers(s);
}

/* As the CPU is while there is a VM: the extension is on. */
static void forget_extension(struct snapshot *s)
{
	for (u32 i = 0; i < ARRAY_SIZE(msrs); i++) {
		if (msrs[i] == MSR_EFER)
			s->msr[i] &= ~EFER_SVME;
		if (msrs[i] == MSR_VM_HSAVE_PA)
			s->msr[i] = 0;
	}
}

static void expect_same(struct __test_metadata *_metadata, const struct snapshot *want,
			const struct snapshot *got, int cpu)
{
	const u8 *a = (const u8 *)want, *b = (const u8 *)got;

	for (u32 i = 0; i < ARRAY_SIZE(msrs); i++)
		EXPECT_EQ_FOR(want->msr[i], got->msr[i], "CPU %d, MSR %#x", cpu, msrs[i]);
	for (u32 i = offsetof(struct snapshot, gdt); i < sizeof(*want); i++)
		if (a[i] != b[i]) {
			EXPECT_EQ_FOR(a[i], b[i], "CPU %d, byte %u of the snapshot", cpu, i);
			break;
		}
}

/* A process with a guest on @cpu that spoils its registers @times, 0: until killed. */
static pid_t start_guest(int cpu, u32 times)
{
	pid_t pid = fork();
	struct vcpu *vcpu;

	if (pid)
		return pid;
	pin_to_cpu(cpu);
	vcpu = vcpu_new(vm_new(), 0, guest_spoil);
	for (u32 i = 0; !times || i < times; i++)
		vcpu_sync(vcpu, 1);
	_exit(0);
}

/* It must have lived until now, or nothing was tested. */
static void kill_guest(struct __test_metadata *_metadata, pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	EXPECT_EQ_FOR(SIGKILL, WIFSIGNALED(status) ? WTERMSIG(status) : 0, "the guest's end");
}

static int cpus(void)
{
	return host_cpus() < MAX_CPUS ? host_cpus() : MAX_CPUS;
}

TEST(cpus_are_after_a_vm_what_they_were_before)
{
	int n = cpus(), status;

	if (!has_msrs())
		SKIP(return, "the kernel has no /dev/cpu/0/msr");
	for (int cpu = 0; cpu < n; cpu++)
		take(&before[cpu], cpu);
	for (int cpu = 0; cpu < n; cpu++) {
		waitpid(start_guest(cpu, SPOILS), &status, 0);
		EXPECT_EQ(0, status);
	}
	for (int cpu = 0; cpu < n; cpu++) {
		take(&after[cpu], cpu);
		expect_same(_metadata, &before[cpu], &after[cpu], cpu);
	}
}

TEST_TIMEOUT(a_second_process_sees_the_same_while_a_guest_runs, 60)
{
	pid_t guest;

	if (!has_msrs())
		SKIP(return, "the kernel has no /dev/cpu/0/msr");
	take(&before[0], 0);
	forget_extension(&before[0]);
	guest = start_guest(0, 0);
	for (int i = 0; i < 50 && _metadata->passed; i++) {
		sched_yield();
		take(&now, 0);
		forget_extension(&now);
		expect_same(_metadata, &before[0], &now, 0);
	}
	kill_guest(_metadata, guest);
}

/* ---- the image of the vector and x87 registers ---- */

static void load_pattern(u64 seed)
{
	u64 pair[2] = { seed * 0x9e3779b97f4a7c15, ~seed };

	__asm__ volatile("movdqu %0, %%xmm0; movdqa %%xmm0, %%xmm1; pslldq $3, %%xmm1;"
			 "movdqa %%xmm1, %%xmm7; paddq %%xmm0, %%xmm7; movdqa %%xmm7, %%xmm8;"
			 "psubd %%xmm1, %%xmm8; movdqa %%xmm8, %%xmm15; fninit; fldpi; fld1; fld %%st(1)"
			 : : "m"(pair));
}

/* FXSAVE, VMM_RUN without the C library, FXSAVE. */
static long run_between(int fd, u8 *one, u8 *two)
{
	long result;

	__asm__ volatile("fxsave64 %3; syscall; fxsave64 %4"
			 : "=a"(result)
			 : "0"(SYS_ioctl), "D"(fd), "m"(*(u8 (*)[512])one), "m"(*(u8 (*)[512])two),
			   "S"(VMM_RUN), "d"(0)
			 : "rcx", "r11", "memory");
	return result;
}

/* Pointers of x87's last instruction: AMD's CPUs restore them only with an exception. */
static void forget_pointers(u8 *image)
{
	memset(image + 6, 0, 18);
}

TEST(the_fxsave_image_is_the_same_after_a_run)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_spoil);
	u8 *one = before[0].fxsave, *two = after[0].fxsave;
	long result;

	for (u32 i = 0; i < 50; i++) {
		load_pattern(i + 1);
		result = run_between(vcpu->fd, one, two);
		ASSERT_TRUE(result == 0 || result == -EINTR);
		forget_pointers(one);
		forget_pointers(two);
		for (u32 at = 0; at < 464; at++)
			EXPECT_EQ_FOR(one[at], two[at], "round %u, byte %u", i, at);
	}
}

/* ---- debug registers of a second process ---- */

static volatile u64 watched;

static int count_writes_to(volatile void *address)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attr),
		.bp_type = HW_BREAKPOINT_W,
		.bp_addr = (u64)address,
		.bp_len = HW_BREAKPOINT_LEN_8,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

#define WRITES	2000

TEST_TIMEOUT(a_second_processs_breakpoint_counts_every_write, 60)
{
	pid_t guest;
	u64 count = 0;
	int fd;

	pin_to_cpu(0);
	fd = count_writes_to(&watched);
	if (fd < 0)
		SKIP(return, "the kernel counts no breakpoints");
	guest = start_guest(0, 0);
	for (u32 i = 0; i < WRITES; i++) {
		watched = i;
		if (i % 20 == 0)
			sched_yield();
	}
	ASSERT_EQ(8, read(fd, &count, 8));
	EXPECT_EQ(WRITES, count);
	kill_guest(_metadata, guest);
}

VMM_TEST_MAIN
