// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The checks of what the system has: other hypervisors, the kernel's configuration,
 * the module, its signature and its device, the program's fit to it.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/libvmm.h"
#include "doctor.h"

#ifndef VMM_VERSION
#define VMM_VERSION "0"
#endif

#define LOADED	"/sys/module/vmm"

static bool usable(const struct doctor *doctor)
{
	return doctor->fd >= 0 && !doctor->abi;
}

/* ---- KVM ---- */

static void kvm_holds(const char *name, bool removable, unsigned long users,
		      struct doctor_finding *finding)
{
	doctor_fail(finding, STATUS_BUSY, "%s holds the CPU's virtualization", name);
	if (!removable)
		doctor_cure(finding,
			    "boot the kernel with kvm.enable_virt_at_load=0; %s is built into it",
			    name);
	else if (users)
		doctor_cure(finding, "end KVM's virtual machines (%lu), then rmmod %s as root",
			    users, name);
	else
		doctor_cure(finding, "rmmod %s as root", name);
}

/*
 * KVM takes the CPUs with its first VM, and since 6.12 when it is loaded, unless told
 * not to. A module that is built in has no count of its users.
 */
static void check_kvm(const struct doctor *doctor, struct doctor_finding *finding)
{
	const char *name = doctor->extension == DOCTOR_VT_X ? "kvm_intel" : "kvm_amd";
	char path[PATH_MAX];
	unsigned long users = 0;
	char *count, *at_load;

	snprintf(path, sizeof(path), "/sys/module/%s", name);
	if (!doctor_exists(doctor, path)) {
		doctor_say(finding, DOCTOR_OK, "KVM is not loaded");
		return;
	}
	count = doctor_read(doctor, DOCTOR_TEXT_MAX, NULL, "%s/refcnt", path);
	at_load = doctor_read(doctor, DOCTOR_TEXT_MAX, NULL,
			      "/sys/module/kvm/parameters/enable_virt_at_load");
	if (count)
		users = strtoul(count, NULL, 10);
	if (users || (at_load && *at_load == 'Y')) {
		kvm_holds(name, count, users, finding);
	} else {
		doctor_say(finding, DOCTOR_WARN,
			   "%s is loaded: its virtual machines and vmm's exclude each other", name);
		doctor_cure(finding, "end the one's before the other's");
	}
	free(count);
	free(at_load);
}

/* ---- the kernel's configuration ---- */

/* What the module calls exists only with these; names for one thing divided by '|'. */
static const char *const needed_options[] = {
	"X86_64", "MODULES", "MMU_NOTIFIER", "PREEMPT_NOTIFIERS", "EVENTFD", "HIGH_RES_TIMERS",
	"KVM", "KVM_XFER_TO_GUEST_WORK|VIRT_XFER_TO_GUEST_WORK",
};

static bool has_option(const char *config, const char *names)
{
	char name[80];

	for (; *names; names += strspn(names, "|")) {
		size_t len = strcspn(names, "|");

		snprintf(name, sizeof(name), "%.*s", (int)len, names);
		if (doctor_config_value(config, name))
			return true;
		names += len;
	}
	return false;
}

static void check_config(const struct doctor *doctor, struct doctor_finding *finding)
{
	char *config = doctor_host_config(doctor);
	char missing[DOCTOR_LINE] = "";
	size_t len = 0;

	if (doctor_exists(doctor, LOADED)) {
		free(config);
		doctor_say(finding, DOCTOR_OK, "the module is loaded, so it has all it needs");
		return;
	}
	if (!config) {
		doctor_say(finding, DOCTOR_UNKNOWN, "no configuration of kernel %s is to be found",
			   doctor->release);
		return;
	}
	for (size_t i = 0; i < sizeof(needed_options) / sizeof(needed_options[0]); i++)
		if (!has_option(config, needed_options[i]))
			len += snprintf(missing + len, sizeof(missing) - len, " CONFIG_%s",
					needed_options[i]);
	free(config);
	if (!len) {
		doctor_say(finding, DOCTOR_OK, "kernel %s has what the module needs",
			   doctor->release);
		return;
	}
	doctor_fail(finding, STATUS_NO_DEVICE, "kernel %s lacks%s", doctor->release, missing);
	doctor_cure(finding, "boot a kernel that has them, such as Debian's (KVM may be =m)");
}

/* ---- the module ---- */

/* Where installations put it, below /lib/modules/RELEASE. */
static const char *const module_places[] = {
	"extra/vmm.ko", "updates/vmm.ko", "updates/dkms/vmm.ko",
};

static char *installed_module(const struct doctor *doctor, const char *release, size_t *len)
{
	char *data = NULL;

	for (size_t i = 0; !data && i < sizeof(module_places) / sizeof(module_places[0]); i++)
		data = doctor_read(doctor, DOCTOR_IMAGE_MAX, len, "/lib/modules/%s/%s", release,
				   module_places[i]);
	return data;
}

/* The release that a module of @len bytes at @data was built for; empty: it does not say. */
static void built_for(const char *data, size_t len, char *release, size_t size)
{
	static const char key[] = "vermagic=";
	const char *at = memmem(data, len, key, sizeof(key) - 1);

	*release = 0;
	if (!at)
		return;
	/* doctor_read() has put a NUL behind the file. */
	at += sizeof(key) - 1;
	snprintf(release, size, "%.*s", (int)strcspn(at, " "), at);
}

/* Another kernel that the module is installed for; false: none. */
static bool installed_elsewhere(const struct doctor *doctor, char *release, size_t size)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/lib/modules", doctor->root);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		char *data;

		if (entry->d_name[0] == '.')
			continue;
		data = installed_module(doctor, entry->d_name, NULL);
		found = data;
		free(data);
		if (found)
			snprintf(release, size, "%s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

static const char install_cure[] =
	"install the headers of kernel %s and run make modules_install in vmm's sources, as root";

static void not_installed(const struct doctor *doctor, struct doctor_finding *finding)
{
	char other[NAME_MAX + 1];

	if (installed_elsewhere(doctor, other, sizeof(other)))
		doctor_fail(finding, STATUS_NO_DEVICE,
			    "the module is installed for kernel %s, but %s runs", other,
			    doctor->release);
	else
		doctor_fail(finding, STATUS_NO_DEVICE,
			    "the module is not installed for kernel %s", doctor->release);
	doctor_cure(finding, install_cure, doctor->release);
}

static void check_module(const struct doctor *doctor, struct doctor_finding *finding)
{
	char release[80];
	size_t len;
	char *data;

	if (doctor_exists(doctor, LOADED)) {
		doctor_say(finding, DOCTOR_OK, "the module is loaded");
		return;
	}
	data = installed_module(doctor, doctor->release, &len);
	if (!data) {
		not_installed(doctor, finding);
		return;
	}
	built_for(data, len, release, sizeof(release));
	free(data);
	if (strcmp(release, doctor->release)) {
		doctor_fail(finding, STATUS_NO_DEVICE,
			    "the installed module is built for kernel '%s', but %s runs", release,
			    doctor->release);
		doctor_cure(finding, install_cure, doctor->release);
	} else {
		doctor_fail(finding, STATUS_NO_DEVICE, "the module is not loaded");
		doctor_cure(finding,
			    "modprobe vmm as root; at each boot: echo vmm >/etc/modules-load.d/vmm.conf");
	}
}

/* ---- signatures ---- */

#define SECURE_BOOT \
	"/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define VARIABLE_VALUE	4	/* behind the variable's attributes */

/* Why the kernel takes signed modules only; NULL: it takes all. */
static const char *signatures_wanted(const struct doctor *doctor)
{
	char *lockdown = doctor_read(doctor, DOCTOR_TEXT_MAX, NULL,
				     "/sys/kernel/security/lockdown");
	char *enforced = doctor_read(doctor, DOCTOR_TEXT_MAX, NULL,
				     "/sys/module/module/parameters/sig_enforce");
	const char *why = NULL;

	if (lockdown && !strstr(lockdown, "[none]"))
		why = "it is locked down";
	else if (enforced && *enforced == 'Y')
		why = "module.sig_enforce is set";
	free(lockdown);
	free(enforced);
	return why;
}

static bool secure_boot(const struct doctor *doctor)
{
	size_t len;
	char *value = doctor_read(doctor, DOCTOR_TEXT_MAX, &len, "%s", SECURE_BOOT);
	bool on = value && len > VARIABLE_VALUE && value[VARIABLE_VALUE] == 1;

	free(value);
	return on;
}

/* 1: it is, 0: it is not, -1: there is no module to look at. */
static int is_signed(const struct doctor *doctor)
{
	static const char mark[] = "~Module signature appended~\n";
	size_t len, tail = sizeof(mark) - 1;
	char *data = installed_module(doctor, doctor->release, &len);
	int answer = data ? len >= tail && !memcmp(data + len - tail, mark, tail) : -1;

	free(data);
	return answer;
}

static void check_signature(const struct doctor *doctor, struct doctor_finding *finding)
{
	const char *why = signatures_wanted(doctor);

	if (doctor_exists(doctor, LOADED)) {
		doctor_say(finding, DOCTOR_OK, "the kernel has taken the module");
	} else if (!why) {
		doctor_say(finding, DOCTOR_OK, "the kernel takes modules without a signature%s",
			   secure_boot(doctor) ? ", with Secure Boot on" : "");
	} else if (is_signed(doctor) > 0) {
		doctor_say(finding, DOCTOR_WARN,
			   "the kernel wants modules signed (%s), and vmm.ko is, by some key", why);
		doctor_cure(finding, "if modprobe is refused, enrol that key: mokutil --import");
	} else {
		doctor_fail(finding, STATUS_NO_DEVICE,
			    "the kernel takes signed modules only (%s), and vmm.ko is not", why);
		doctor_cure(finding, secure_boot(doctor) ?
			    "sign vmm.ko with a key of yours (the kernel's scripts/sign-file), enrol "
			    "the key (mokutil --import), restart; or switch Secure Boot off" :
			    "sign vmm.ko with a key that the kernel trusts, or boot without lockdown= "
			    "and module.sig_enforce");
	}
}

/* ---- the device ---- */

/* The group of @gid's name, and whether @user is one of its members in the file. */
static bool find_group(const struct doctor *doctor, gid_t gid, char *name, size_t size)
{
	char *text = doctor_read(doctor, DOCTOR_TEXT_MAX, NULL, "/etc/group"), *next = text;
	bool member = false;

	snprintf(name, size, "%u", gid);
	for (char *line; (line = strsep(&next, "\n"));) {
		char *group = strsep(&line, ":"), *password = strsep(&line, ":");
		char *number = strsep(&line, ":"), *user;

		if (!password || !number || !line || strtoul(number, NULL, 10) != gid)
			continue;
		snprintf(name, size, "%s", group);
		while ((user = strsep(&line, ",")))
			member |= !strcmp(user, doctor->user);
		break;
	}
	free(text);
	return member;
}

static void no_permission(const struct doctor *doctor, struct doctor_finding *finding)
{
	char group[64];
	bool member = find_group(doctor, doctor->device_gid, group, sizeof(group));

	doctor_fail(finding, STATUS_NO_PERMISSION, "user %s may not open %s (group %s)",
		    doctor->user, VMM_DEVICE, group);
	if (!doctor->device_gid)
		doctor_cure(finding,
			    "install 60-vmm.rules and the group vmm (make install, "
			    "systemd-sysusers), then udevadm trigger %s, as root", VMM_DEVICE);
	else if (member)
		doctor_cure(finding, "log in anew: the membership in %s is newer than this session",
			    group);
	else
		doctor_cure(finding, "usermod -aG %s %s as root, then log in anew", group,
			    doctor->user);
}

static void check_device(const struct doctor *doctor, struct doctor_finding *finding)
{
	if (doctor->fd >= 0) {
		doctor_say(finding, DOCTOR_OK, "%s can be opened", VMM_DEVICE);
	} else if (doctor->fd == -EACCES || doctor->fd == -EPERM) {
		no_permission(doctor, finding);
	} else if (!doctor_exists(doctor, LOADED)) {
		doctor_fail(finding, STATUS_NO_DEVICE, "there is no %s without the module",
			    VMM_DEVICE);
		doctor_cure(finding, "modprobe vmm as root, once nothing above stands in its way");
	} else {
		doctor_fail(finding, STATUS_NO_DEVICE, "the module is loaded, but %s: %s",
			    VMM_DEVICE, strerror(-doctor->fd));
		doctor_cure(finding, "mount devtmpfs at /dev, or udevadm trigger as root");
	}
}

static void check_version(const struct doctor *doctor, struct doctor_finding *finding)
{
	if (doctor->fd < 0) {
		doctor_say(finding, DOCTOR_UNKNOWN, "the module cannot be asked");
	} else if (doctor->abi) {
		doctor_fail(finding, STATUS_VERSION, "%s",
			    doctor->abi == -EPROTO ?
			    "the module speaks another version of the ABI than this program" :
			    VMM_DEVICE " is no vmm device");
		doctor_cure(finding,
			    "install both from one build, then rmmod vmm and modprobe vmm");
	} else if (strcmp(doctor->info.version, VMM_VERSION)) {
		doctor_say(finding, DOCTOR_WARN, "module %.32s, program %s, of the same ABI",
			   doctor->info.version, VMM_VERSION);
		doctor_cure(finding, "install both from one build");
	} else {
		doctor_say(finding, DOCTOR_OK, "module and program are both %s", VMM_VERSION);
	}
}

/* ---- a virtual machine ---- */

/* Why the module has no backend: the last reason in the kernel's log, or words for none. */
static void refused(const struct doctor *doctor, struct doctor_finding *finding)
{
	static const char mark[] = "vmm: no VMs can run: ";
	char *log = doctor_read(doctor, DOCTOR_TEXT_MAX, NULL, "/dev/kmsg"), *last = NULL;

	for (char *at = log; at && (at = strstr(at, mark)); at += sizeof(mark) - 1)
		last = at + sizeof(mark) - 1;
	doctor_fail(finding, STATUS_NO_HARDWARE, "the module cannot use this CPU: %.*s",
		    last ? (int)strcspn(last, "\n") : INT_MAX, last ? last : "its log tells why");
	doctor_cure(finding,
		    "see to it, or to what failed above, then rmmod vmm and modprobe vmm%s",
		    last ? "" : "; dmesg | grep vmm");
	free(log);
}

/* The proof: everything else is about why not. */
static void check_machine(const struct doctor *doctor, struct doctor_finding *finding)
{
	struct vmm *vm;
	int err;

	if (!usable(doctor)) {
		doctor_say(finding, DOCTOR_UNKNOWN, "the module cannot be asked for one");
		return;
	}
	if (!doctor->info.backend) {
		refused(doctor, finding);
		return;
	}
	err = vmm_create(doctor->fd, &vm);
	if (!err) {
		vmm_destroy(vm);
		doctor_say(finding, DOCTOR_OK, "a virtual machine was created, and removed");
		return;
	}
	doctor_fail(finding, err == -EBUSY ? STATUS_BUSY : STATUS_HOST,
		    "no virtual machine can be created: %s", strerror(-err));
	doctor_cure(finding, "%s", vmm_strerror_open(err));
}

/* ---- the sandbox ---- */

/* A switch that is there and is 0. */
static bool is_off(const struct doctor *doctor, const char *path)
{
	char *value = doctor_read(doctor, DOCTOR_TEXT_MAX, NULL, "%s", path);
	bool off = value && !strtoul(value, NULL, 10);

	free(value);
	return off;
}

static void check_sandbox(const struct doctor *doctor, struct doctor_finding *finding)
{
	static const char *const switches[] = {
		"/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/unprivileged_userns_clone",
	};

	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		if (!doctor->uid || !is_off(doctor, switches[i]))
			continue;
		doctor_say(finding, DOCTOR_WARN,
			   "users may make no namespaces: guests' processes have a weaker sandbox");
		doctor_cure(finding, "set %s to more than 0, as root", switches[i]);
		return;
	}
	if (!doctor_exists(doctor, "/proc/self/ns/user")) {
		doctor_say(finding, DOCTOR_WARN,
			   "no user namespaces: guests' processes have a weaker sandbox");
		doctor_cure(finding, "use a kernel with USER_NS, and mount /proc");
		return;
	}
	doctor_say(finding, DOCTOR_OK, "namespaces can be had for guests' processes");
}

const struct doctor_check doctor_software[] = {
	{ "kvm", check_kvm },
	{ "kernel-config", check_config },
	{ "module", check_module },
	{ "signature", check_signature },
	{ "device", check_device },
	{ "version", check_version },
	{ "machine", check_machine },
	{ "sandbox", check_sandbox },
};

const unsigned int doctor_software_count = sizeof(doctor_software) / sizeof(doctor_software[0]);
