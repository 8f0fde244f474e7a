// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The checks of what the machine has: the CPU's extension, the firmware's lock,
 * and what else decides how fast guests run. Facts: "Intel 64 and IA-32
 * Architectures Software Developer's Manual", "Enabling and Entering VMX Operation";
 * "AMD64 Architecture Programmer's Manual, Volume 2", "Enabling SVM".
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "doctor.h"

static const struct extension {
	const char *name;
	const char *flag;		/* in /proc/cpuinfo */
	const char *nested_flag;
	const char *setting;		/* what firmware setups call it */
	uint32_t msr;			/* the firmware's lock */
	uint64_t mask, open;		/* (msr & mask) == open: not locked */
} extensions[DOCTOR_EXTENSIONS] = {
	[DOCTOR_AMD_V] = { "AMD-V", "svm", "npt", "SVM Mode", 0xc0010114, 1 << 4, 0 },
	[DOCTOR_VT_X] = { "VT-x", "vmx", "ept", "Intel Virtualization Technology", 0x3a,
			  1 << 0 | 1 << 2, 1 << 0 | 1 << 2 },
};

static const char nested_cure[] =
	"switch nested virtualization on in the outer hypervisor (with KVM there: modprobe "
	"kvm_amd or kvm_intel with nested=1) and give this machine the host's CPU model";

static void check_cpu(const struct doctor *doctor, struct doctor_finding *finding)
{
	if (doctor->extension) {
		doctor_say(finding, DOCTOR_OK, "the CPU has %s%s",
			   extensions[doctor->extension].name,
			   doctor->hypervisor ? ", from a hypervisor that this machine runs on" :
						"");
	} else if (doctor->hypervisor) {
		doctor_fail(finding, STATUS_NO_HARDWARE,
			    "this machine is a virtual one, without nested virtualization");
		doctor_cure(finding, "%s", nested_cure);
	} else {
		doctor_fail(finding, STATUS_NO_HARDWARE,
			    "the CPU has neither VT-x nor AMD-V, or the firmware hides it");
		doctor_cure(finding,
			    "look for virtualization in the firmware setup; else use another machine");
	}
}

/* The flags that the kernel uses, of the first CPU. */
static bool has_flag(const struct doctor *doctor, const char *flag)
{
	const char *line = doctor->cpuinfo ? strstr(doctor->cpuinfo, "\nflags") : NULL;
	char *flags;
	bool found;

	if (!line)
		return false;
	flags = strndup(line + 1, strcspn(line + 1, "\n"));
	found = flags && doctor_has_word(flags, flag);
	free(flags);
	return found;
}

static bool read_msr(const struct doctor *doctor, uint32_t msr, uint64_t *value)
{
	char path[PATH_MAX];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "%s/dev/cpu/0/msr", doctor->root);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0) {
		n = pread(fd, value, sizeof(*value), msr);
		close(fd);
	}
	return n == sizeof(*value);
}

static void locked(const struct doctor *doctor, const struct extension *extension,
		   struct doctor_finding *finding)
{
	doctor_fail(finding, STATUS_NO_HARDWARE, "%s is switched off by the firmware",
		    extension->name);
	if (doctor->hypervisor)
		doctor_cure(finding, "%s", nested_cure);
	else
		doctor_cure(finding,
			    "enable \"%s\" in the firmware setup, then switch the machine off and on",
			    extension->setting);
}

static void check_firmware(const struct doctor *doctor, struct doctor_finding *finding)
{
	const struct extension *extension = &extensions[doctor->extension];
	uint64_t value;

	if (!doctor->extension) {
		doctor_say(finding, DOCTOR_UNKNOWN, "there is nothing to lock");
	} else if (read_msr(doctor, extension->msr, &value)) {
		if ((value & extension->mask) == extension->open)
			doctor_say(finding, DOCTOR_OK, "the firmware leaves %s on",
				   extension->name);
		else
			locked(doctor, extension, finding);
	} else if (doctor->fd >= 0 && !doctor->abi && doctor->info.backend) {
		doctor_say(finding, DOCTOR_OK, "the firmware leaves %s on: the module has it",
			   extension->name);
	} else if (!doctor->cpuinfo) {
		doctor_say(finding, DOCTOR_UNKNOWN, "/proc/cpuinfo cannot be read");
		doctor_cure(finding, "mount /proc, or run this as root with the module msr");
	} else if (has_flag(doctor, extension->flag)) {
		doctor_say(finding, DOCTOR_OK, "the kernel sees %s and says of no lock",
			   extension->name);
	} else {
		/* The CPU says it has it, and the kernel took it back. */
		locked(doctor, extension, finding);
	}
}

/* A guess from the kernel's flags; with the module loaded, "mode" knows. */
static void check_paging(const struct doctor *doctor, struct doctor_finding *finding)
{
	const struct extension *extension = &extensions[doctor->extension];

	if (!doctor->extension || !doctor->cpuinfo) {
		doctor_say(finding, DOCTOR_UNKNOWN, "cannot be told");
	} else if (has_flag(doctor, extension->nested_flag)) {
		doctor_say(finding, DOCTOR_OK, "the CPU has nested paging");
	} else {
		doctor_say(finding, DOCTOR_WARN,
			   "the CPU has no nested paging: guests need shadow paging and are slow");
		doctor_cure(finding, "%s", doctor->hypervisor ? nested_cure :
								"use a newer CPU for speed");
	}
}

static void check_large_pages(const struct doctor *doctor, struct doctor_finding *finding)
{
	static const char path[] = "/sys/kernel/mm/transparent_hugepage/enabled";
	char *mode = doctor_read(doctor, DOCTOR_TEXT_MAX, NULL, "%s", path);

	if (mode && !strstr(mode, "[never]")) {
		doctor_say(finding, DOCTOR_OK, "guests' memory gets huge pages");
	} else {
		doctor_say(finding, DOCTOR_WARN, "%s: guests are slower",
			   mode ? "huge pages are switched off" :
				  "the kernel has no transparent huge pages");
		doctor_cure(finding, mode ? "echo madvise >%s, as root" :
					    "use a kernel with TRANSPARENT_HUGEPAGE (no %s)", path);
	}
	free(mode);
}

const struct doctor_check doctor_hardware[] = {
	{ "cpu", check_cpu },
	{ "firmware", check_firmware },
	{ "paging", check_paging },
	{ "huge-pages", check_large_pages },
};

const unsigned int doctor_hardware_count = sizeof(doctor_hardware) / sizeof(doctor_hardware[0]);
