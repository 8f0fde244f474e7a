// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What lab/tests/hostlife.sh needs in the emulated host and busybox does not
 * have. It knows nothing of vmm but its device; each command prints one line a
 * result and fails with a message and status 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/kvm.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <linux/vmm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE		4096
#define MAX_CPUS	64
/* A ring of so many pages holds ten seconds of samples of one CPU. */
#define PERF_PAGES	64
#define PERF_HZ		1000

static int must(int ret, const char *what)
{
	if (ret < 0) {
		fprintf(stderr, "hostprobe: %s: %s\n", what, strerror(errno));
		exit(1);
	}
	return ret;
}

/* msr CPU INDEX: its value in hex. */
static int probe_msr(char **argv)
{
	unsigned long long value;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/cpu/%s/msr", argv[0]);
	fd = must(open(path, O_RDONLY), path);
	must(pread(fd, &value, sizeof(value), strtoul(argv[1], NULL, 0)), argv[1]);
	printf("%llx\n", value);
	return 0;
}

/* perf SECONDS: samples every CPU by the software clock; their number. */
static int probe_perf(char **argv)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.size = sizeof(attr),
		.sample_freq = PERF_HZ,
		.freq = 1,
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_CALLCHAIN,
	};
	struct perf_event_mmap_page *ring[MAX_CPUS];
	int cpus = sysconf(_SC_NPROCESSORS_ONLN), i, fd;
	unsigned long bytes = 0;

	for (i = 0; i < cpus && i < MAX_CPUS; i++) {
		fd = must(syscall(SYS_perf_event_open, &attr, -1, i, -1, 0), "perf_event_open");
		ring[i] = mmap(NULL, (1 + PERF_PAGES) * PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED, fd, 0);
		must(ring[i] == MAP_FAILED ? -1 : 0, "map the ring");
	}
	sleep(atoi(argv[0]));
	while (i--)
		bytes += ring[i]->data_head;
	printf("%lu\n", bytes);
	return 0;
}

/* A KVM guest of one HLT in real mode; each line of input runs it once. */
static int probe_kvm(char **argv)
{
	int sys = must(open("/dev/kvm", O_RDWR), "/dev/kvm");
	int vm = must(ioctl(sys, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	int vcpu = must(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	int size = must(ioctl(sys, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	struct kvm_run *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	unsigned char *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = PAGE,
		.memory_size = PAGE,
		.userspace_addr = (unsigned long)code,
	};
	struct kvm_regs regs = { .rip = PAGE, .rflags = 2 };
	struct kvm_sregs sregs;
	char line[16];

	(void)argv;
	must(run == MAP_FAILED || code == MAP_FAILED ? -1 : 0, "map");
	code[0] = 0xf4;		/* HLT */
	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
	must(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	must(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	while (fgets(line, sizeof(line), stdin)) {
		must(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
		must(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
		printf("exit %u\n", run->exit_reason);
		fflush(stdout);
	}
	return 0;
}

/* vmm: creates a VM; its errno by name, or "made" and waits for the input's end. */
static int probe_vmm(char **argv)
{
	struct vmm_create_vm create = { 0 };
	int sys = must(open("/dev/vmm", O_RDWR), "/dev/vmm");
	int vm = ioctl(sys, VMM_CREATE_VM, &create);

	(void)argv;
	puts(vm >= 0 ? "made" : strerrorname_np(errno));
	fflush(stdout);
	while (vm >= 0 && getchar() != EOF)
		;
	return 0;
}

/* kexec KERNEL INITRD CMDLINE now|crash: loads; "now" goes there at once. */
static int probe_kexec(char **argv)
{
	int kernel = must(open(argv[0], O_RDONLY), argv[0]);
	int initrd = must(open(argv[1], O_RDONLY), argv[1]);
	int crash = !strcmp(argv[3], "crash");

	must(syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[2]) + 1, argv[2],
		     crash ? KEXEC_FILE_ON_CRASH : 0UL), "kexec_file_load");
	if (crash)
		return 0;
	sync();
	return must(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
			    LINUX_REBOOT_CMD_KEXEC, NULL), "reboot");
}

static const struct {
	const char *name;
	int args;
	int (*run)(char **argv);
} probes[] = {
	{ "msr", 2, probe_msr },
	{ "perf", 1, probe_perf },
	{ "kvm", 0, probe_kvm },
	{ "vmm", 0, probe_vmm },
	{ "kexec", 4, probe_kexec },
};

int main(int argc, char **argv)
{
	size_t i;

	for (i = 0; argc > 1 && i < sizeof(probes) / sizeof(probes[0]); i++)
		if (!strcmp(argv[1], probes[i].name) && argc == 2 + probes[i].args)
			return probes[i].run(argv + 2);
	fprintf(stderr, "usage: hostprobe msr|perf|kvm|vmm|kexec ARG...\n");
	return 2;
}
