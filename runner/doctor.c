// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The examination: what is known of the machine, then each check in the order in
 * which `vmm run` would stumble, so that the first failure's status is the one it
 * would end with.
 */
#include <cpuid.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "../lib/libvmm.h"
#include "doctor.h"

/* ---- the machine ---- */

static void cpuid(uint32_t leaf, uint32_t regs[4])
{
	memset(regs, 0, 4 * sizeof(*regs));
	__get_cpuid_count(leaf, 0, &regs[0], &regs[1], &regs[2], &regs[3]);
}

void doctor_here(struct doctor *doctor)
{
	const struct passwd *user = getpwuid(getuid());
	struct utsname uts;
	struct stat st;

	*doctor = (struct doctor) { .root = "", .uid = geteuid(), .cpuid = cpuid };
	if (!uname(&uts))
		snprintf(doctor->release, sizeof(doctor->release), "%s", uts.release);
	snprintf(doctor->user, sizeof(doctor->user), "%s", user ? user->pw_name : "USER");
	if (!stat(VMM_DEVICE, &st))
		doctor->device_gid = st.st_gid;
}

#define LEAF_FEATURES		1
#define FEATURES_ECX_VT_X	(1U << 5)
#define FEATURES_ECX_GUEST	(1U << 31)
#define LEAF_EXTENDED_FEATURES	0x80000001
#define EXTENDED_ECX_AMD_V	(1U << 2)

/* From the CPU itself: the kernel hides what the firmware locked. */
static void find_extension(struct doctor *doctor)
{
	uint32_t regs[4];

	doctor->cpuid(LEAF_FEATURES, regs);
	doctor->hypervisor = regs[2] & FEATURES_ECX_GUEST;
	if (regs[2] & FEATURES_ECX_VT_X)
		doctor->extension = DOCTOR_VT_X;
	doctor->cpuid(LEAF_EXTENDED_FEATURES, regs);
	if (regs[2] & EXTENDED_ECX_AMD_V)
		doctor->extension = DOCTOR_AMD_V;
}

static void ask_module(struct doctor *doctor)
{
	doctor->fd = vmm_open(NULL);
	if (doctor->fd < 0)
		return;
	doctor->abi = vmm_check_abi(doctor->fd);
	if (!doctor->abi)
		doctor->abi = vmm_get_info(doctor->fd, &doctor->info);
}

void doctor_examine(struct doctor *doctor, struct doctor_report *report)
{
	find_extension(doctor);
	doctor->cpuinfo = doctor_read(doctor, DOCTOR_TEXT_MAX, NULL, "/proc/cpuinfo");
	ask_module(doctor);
	for (unsigned int i = 0; i < doctor_hardware_count; i++)
		doctor_hardware[i].run(doctor, doctor_add(report, doctor_hardware[i].name));
	for (unsigned int i = 0; i < doctor_software_count; i++)
		doctor_software[i].run(doctor, doctor_add(report, doctor_software[i].name));
	if (doctor->fd >= 0 && !doctor->abi)
		report->info = &doctor->info;
	if (doctor->fd >= 0)
		close(doctor->fd);
	free(doctor->cpuinfo);
	doctor->cpuinfo = NULL;
}
