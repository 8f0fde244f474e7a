// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * `vmm doctor` on machines made of files below a temporary directory, with a CPU and
 * a module that are fakes. Each case is a machine on which guests run, changed in one
 * thing, and the finding that must come of it.
 */
/* unit-sources: ../runner/doctor.c ../runner/doctor_findings.c ../runner/doctor_files.c */
/* unit-sources: ../runner/doctor_hardware.c */
/* unit-sources: ../runner/doctor_module.c ../runner/doctor_guest.c ../runner/doctor_report.c */
/* unit-sources: ../runner/command_doctor.c ../runner/options.c ../runner/keys.c */
/* unit-sources: ../runner/words.c */
/* unit-flags: -D_GNU_SOURCE -DVMM_VERSION='"1.2"' */
/* unit-libs: -ljson-c -lz */
#include <errno.h>
#include <json-c/json.h>
#include "doctor_world.h"
#include "tap.h"
#include "../lib/libvmm.h"
#include "../runner/command.h"
#include "../runner/options.h"

#define RELEASE	"6.1.0-test"
#define GROUP_VMM "root:x:0:\nvmm:x:123:anna\nother:x:1000:\n"
#define CONFIG	"CONFIG_X86_64=y\nCONFIG_MODULES=y\nCONFIG_MMU_NOTIFIER=y\nCONFIG_KVM=m\n" \
		"CONFIG_PREEMPT_NOTIFIERS=y\nCONFIG_EVENTFD=y\nCONFIG_HIGH_RES_TIMERS=y\n"
#define MODULE(release) "ELF\0..vermagic=" release " SMP preempt\0.."
#define SIGNED	"~Module signature appended~\n"
#define SECURE_BOOT \
	"/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

/* ---- the fakes ---- */

static int open_answer, abi_answer, create_answer;
static struct vmm_info info_answer;
static unsigned int closed_vms;

int vmm_open(const char *path)
{
	(void)path;
	return open_answer ? open_answer : open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int vmm_check_abi(int fd)
{
	(void)fd;
	return abi_answer;
}

int vmm_get_info(int fd, struct vmm_info *info)
{
	(void)fd;
	*info = info_answer;
	return 0;
}

int vmm_create(int fd, struct vmm **vm)
{
	(void)fd;
	*vm = NULL;
	return create_answer;
}

void vmm_destroy(struct vmm *vm)
{
	(void)vm;
	closed_vms++;
}

const char *vmm_strerror_open(int err)
{
	return err == -EBUSY ? "unload it" : "?";
}

static uint32_t features_ecx, extended_ecx;

static void fake_cpuid(uint32_t leaf, uint32_t regs[4])
{
	memset(regs, 0, 16);
	regs[2] = leaf == 1 ? features_ecx : leaf == 0x80000001 ? extended_ecx : 0;
}

static void put_msr(uint32_t msr, uint64_t value)
{
	int fd;

	put("/dev/cpu/0/msr", "");
	fd = open(in_root("/dev/cpu/0/msr"), O_WRONLY);
	if (pwrite(fd, &value, sizeof(value), msr) != sizeof(value))
		abort();
	close(fd);
}

/* ---- the host ---- */

static struct doctor doctor;

static void good_machine(void)
{
	root_clear();
	put("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu svm npt\n");
	put("/proc/self/ns/user", "");
	put("/proc/sys/user/max_user_namespaces", "1000\n");
	put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
	put("/sys/module/vmm/refcnt", "0\n");
	put("/boot/config-" RELEASE, CONFIG "CONFIG_KVM_XFER_TO_GUEST_WORK=y\n");
	put_bytes("/lib/modules/" RELEASE "/extra/vmm.ko", MODULE(RELEASE),
		  sizeof(MODULE(RELEASE)));
	put("/etc/group", GROUP_VMM);
	put("/dev/vmm", "");
	features_ecx = 0;
	extended_ecx = 1 << 2;
	open_answer = 0;
	abi_answer = 0;
	create_answer = 0;
	info_answer = (struct vmm_info) {
		.abi_version = VMM_ABI_VERSION, .version = "1.2", .backend = VMM_BACKEND_AMD_V,
		.paging = VMM_PAGING_NESTED, .features = VMM_FEATURE_LARGE_2M,
		.max_vcpus = 255, .phys_bits = 40,
	};
	doctor = (struct doctor) { .root = root, .release = RELEASE, .uid = 1000, .user = "bob",
				   .cpuid = fake_cpuid };
}

static void not_loaded(void)
{
	open_answer = -ENOENT;
	unlink(in_root("/sys/module/vmm/refcnt"));
	rmdir(in_root("/sys/module/vmm"));
	unlink(in_root("/dev/vmm"));
}

static void intel(void)
{
	extended_ecx = 0;
	features_ecx = 1 << 5;
	put("/proc/cpuinfo", "flags\t: vmx ept\n");
}

static void no_cpu(void)
{
	extended_ecx = 0;
}

static void no_cpu_virtual(void)
{
	no_cpu();
	features_ecx = 1U << 31;
}

static void svm_msr_locked(void)
{
	put_msr(0xc0010114, 1 << 4);
}

static void svm_msr_open(void)
{
	put_msr(0xc0010114, 1 << 3);
}

static void vtx_msr_locked(void)
{
	intel();
	put_msr(0x3a, 1);
}

static void vtx_msr_unset(void)
{
	intel();
	put_msr(0x3a, 1 << 2);
}

static void vtx_msr_open(void)
{
	intel();
	put_msr(0x3a, 5);
}

static void flag_hidden(void)
{
	not_loaded();
	put("/proc/cpuinfo", "flags\t: fpu svm_lock npt\n");
}

static void flag_there(void)
{
	not_loaded();
}

static void no_cpuinfo(void)
{
	not_loaded();
	unlink(in_root("/proc/cpuinfo"));
}

static void no_npt(void)
{
	put("/proc/cpuinfo", "x: y\nflags\t: fpu svm\n");
}

static void thp_never(void)
{
	put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
}

static void thp_none(void)
{
	unlink(in_root("/sys/kernel/mm/transparent_hugepage/enabled"));
}

static void kvm_idle(void)
{
	put("/sys/module/kvm_amd/refcnt", "0\n");
}

static void kvm_runs(void)
{
	put("/sys/module/kvm_amd/refcnt", "3\n");
}

static void kvm_other(void)
{
	put("/sys/module/kvm_intel/refcnt", "3\n");
}

static void kvm_at_load(void)
{
	kvm_idle();
	put("/sys/module/kvm/parameters/enable_virt_at_load", "Y\n");
}

static void kvm_not_at_load(void)
{
	kvm_idle();
	put("/sys/module/kvm/parameters/enable_virt_at_load", "N\n");
}

static void kvm_built_in(void)
{
	put("/sys/module/kvm_amd/parameters/npt", "Y\n");
	put("/sys/module/kvm/parameters/enable_virt_at_load", "Y\n");
}

static void config_unloaded(void)
{
	not_loaded();
}

static void config_none(void)
{
	not_loaded();
	unlink(in_root("/boot/config-" RELEASE));
}

static void config_short(void)
{
	not_loaded();
	put("/boot/config-" RELEASE, "# CONFIG_KVM is not set\n"
	    "CONFIG_X86_64=y\nCONFIG_MODULES=y\nCONFIG_EVENTFD=y\nCONFIG_HIGH_RES_TIMERS=y\n"
	    "CONFIG_MMU_NOTIFIER=y\nX_CONFIG_PREEMPT_NOTIFIERS=y\n"
	    "CONFIG_VIRT_XFER_TO_GUEST_WORK=y\n");
}

static void config_gz(void)
{
	char packed[4096];
	static const char text[] = CONFIG "CONFIG_VIRT_XFER_TO_GUEST_WORK=y\n";

	config_short();
	put_bytes("/proc/config.gz", packed, gzip(text, sizeof(text) - 1, packed, sizeof(packed)));
}

static void config_gz_broken(void)
{
	config_gz();
	if (truncate(in_root("/proc/config.gz"), 40))
		abort();
}

static void not_installed(void)
{
	not_loaded();
	unlink(in_root("/lib/modules/" RELEASE "/extra/vmm.ko"));
}

static void installed_elsewhere(void)
{
	not_installed();
	put("/lib/modules/6.9-old/updates/dkms/vmm.ko", "x");
}

static void wrong_vermagic(void)
{
	not_loaded();
	put_bytes("/lib/modules/" RELEASE "/extra/vmm.ko", MODULE("5.0\033[31m"),
		  sizeof(MODULE("5.0\033[31m")));
}

static void no_vermagic(void)
{
	not_loaded();
	put("/lib/modules/" RELEASE "/extra/vmm.ko", "vermagic");
}

static void lockdown(void)
{
	not_loaded();
	put("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
}

static void lockdown_none(void)
{
	not_loaded();
	put("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
	put_bytes(SECURE_BOOT, "\6\0\0\0\1", 5);
}

static void lockdown_secure_boot(void)
{
	lockdown();
	put_bytes(SECURE_BOOT, "\6\0\0\0\1", 5);
}

static void lockdown_signed(void)
{
	lockdown();
	put("/lib/modules/" RELEASE "/extra/vmm.ko", "vermagic=" RELEASE " " SIGNED);
}

static void sig_enforce(void)
{
	not_loaded();
	put("/sys/module/module/parameters/sig_enforce", "Y\n");
}

static void no_access(gid_t gid)
{
	open_answer = -EACCES;
	doctor.device_gid = gid;
}

static void no_access_group(void)
{
	no_access(123);
}

static void no_access_member(void)
{
	no_access(123);
	strcpy(doctor.user, "anna");
}

static void no_access_root(void)
{
	no_access(0);
}

static void no_device_node(void)
{
	open_answer = -ENOENT;
}

static void abi_other(void)
{
	abi_answer = -EPROTO;
}

static void not_vmm(void)
{
	abi_answer = -ENOTTY;
}

static void version_other(void)
{
	strcpy(info_answer.version, "1.1");
}

static void no_backend(void)
{
	info_answer.backend = 0;
	put("/dev/kmsg", "6,1,1,-;vmm: no VMs can run: old\n6,2,2,-;vmm: no VMs can run: new\n");
}

static void no_backend_no_log(void)
{
	info_answer.backend = 0;
}

static void create_busy(void)
{
	create_answer = -EBUSY;
}

static void create_no_memory(void)
{
	create_answer = -ENOMEM;
}

static void no_namespaces(void)
{
	put("/proc/sys/user/max_user_namespaces", "0\n");
}

static void no_clone(void)
{
	put("/proc/sys/kernel/unprivileged_userns_clone", "0\n");
}

static void no_namespaces_root(void)
{
	no_namespaces();
	doctor.uid = 0;
}

static void no_user_ns(void)
{
	unlink(in_root("/proc/self/ns/user"));
}

static void nothing(void)
{
}

/* @level and, for DOCTOR_FAIL, @status of finding @name; parts of its two texts. */
static const struct host_case {
	const char *claim;
	void (*change)(void);
	const char *name;
	enum doctor_level level;
	enum status status;
	const char *text, *cure;
} host_cases[] = {
	{ "AMD-V is there", nothing, "cpu", DOCTOR_OK, 0, "AMD-V", "" },
	{ "VT-x is there", intel, "cpu", DOCTOR_OK, 0, "VT-x", "" },
	{ "no extension", no_cpu, "cpu", DOCTOR_FAIL, STATUS_NO_HARDWARE, "neither", "firmware" },
	{ "no extension in a VM", no_cpu_virtual, "cpu", DOCTOR_FAIL, STATUS_NO_HARDWARE,
	  "without nested", "nested=1" },
	{ "nothing to lock", no_cpu, "firmware", DOCTOR_UNKNOWN, 0, "nothing", "" },
	{ "SVMDIS is set", svm_msr_locked, "firmware", DOCTOR_FAIL, STATUS_NO_HARDWARE,
	  "AMD-V is switched off", "SVM Mode" },
	{ "SVMDIS is clear", svm_msr_open, "firmware", DOCTOR_OK, 0, "leaves AMD-V on", "" },
	{ "VT-x is locked off", vtx_msr_locked, "firmware", DOCTOR_FAIL, STATUS_NO_HARDWARE,
	  "VT-x is switched off", "Intel Virtualization" },
	{ "VT-x is not locked on", vtx_msr_unset, "firmware", DOCTOR_FAIL, STATUS_NO_HARDWARE,
	  "VT-x is switched off", "firmware setup" },
	{ "VT-x is locked on", vtx_msr_open, "firmware", DOCTOR_OK, 0, "leaves VT-x on", "" },
	{ "without the MSR the module knows", nothing, "firmware", DOCTOR_OK, 0, "module", "" },
	{ "without both the kernel's flags tell of a lock", flag_hidden, "firmware", DOCTOR_FAIL,
	  STATUS_NO_HARDWARE, "switched off", "SVM Mode" },
	{ "or of none", flag_there, "firmware", DOCTOR_OK, 0, "kernel sees", "" },
	{ "or nothing tells", no_cpuinfo, "firmware", DOCTOR_UNKNOWN, 0, "cpuinfo", "/proc" },
	{ "nested paging", nothing, "paging", DOCTOR_OK, 0, "nested", "" },
	{ "no nested paging", no_npt, "paging", DOCTOR_WARN, 0, "shadow", "CPU" },
	{ "huge pages", nothing, "huge-pages", DOCTOR_OK, 0, "huge", "" },
	{ "huge pages are off", thp_never, "huge-pages", DOCTOR_WARN, 0,
	  "off", "echo madvise >/sys" },
	{ "no huge pages at all", thp_none, "huge-pages", DOCTOR_WARN, 0, "no transparent",
	  "TRANSPARENT_HUGEPAGE" },
	{ "no KVM", nothing, "kvm", DOCTOR_OK, 0, "not loaded", "" },
	{ "KVM without VMs", kvm_idle, "kvm", DOCTOR_WARN, 0, "exclude", "end" },
	{ "KVM with VMs", kvm_runs, "kvm", DOCTOR_FAIL, STATUS_BUSY, "kvm_amd holds",
	  "(3), then rmmod kvm_amd" },
	{ "KVM of the other vendor", kvm_other, "kvm", DOCTOR_OK, 0, "not loaded", "" },
	{ "KVM that takes the CPU at load", kvm_at_load, "kvm", DOCTOR_FAIL, STATUS_BUSY,
	  "kvm_amd holds", "rmmod kvm_amd" },
	{ "KVM told not to", kvm_not_at_load, "kvm", DOCTOR_WARN, 0, "exclude", "end" },
	{ "KVM built in", kvm_built_in, "kvm", DOCTOR_FAIL, STATUS_BUSY, "holds",
	  "enable_virt_at_load=0" },
	{ "the configuration is good", config_unloaded,
	  "kernel-config", DOCTOR_OK, 0, RELEASE, "" },
	{ "the configuration lacks two options", config_short, "kernel-config", DOCTOR_FAIL,
	  STATUS_NO_DEVICE, "lacks CONFIG_PREEMPT_NOTIFIERS CONFIG_KVM", "boot a kernel" },
	{ "the running configuration goes first", config_gz, "kernel-config", DOCTOR_OK, 0,
	  "has", "" },
	{ "unless it is broken", config_gz_broken, "kernel-config", DOCTOR_FAIL, STATUS_NO_DEVICE,
	  "lacks", "" },
	{ "no configuration", config_none, "kernel-config", DOCTOR_UNKNOWN, 0,
	  "no configuration", "" },
	{ "the module is loaded", nothing, "module", DOCTOR_OK, 0, "loaded", "" },
	{ "the module is not loaded", not_loaded, "module", DOCTOR_FAIL, STATUS_NO_DEVICE,
	  "not loaded", "modprobe vmm" },
	{ "the module is not installed", not_installed, "module", DOCTOR_FAIL, STATUS_NO_DEVICE,
	  "not installed for kernel " RELEASE, "modules_install" },
	{ "the module is another kernel's", installed_elsewhere, "module", DOCTOR_FAIL,
	  STATUS_NO_DEVICE, "for kernel 6.9-old, but " RELEASE, "headers of kernel " RELEASE },
	{ "the module is built for another kernel", wrong_vermagic, "module", DOCTOR_FAIL,
	  STATUS_NO_DEVICE, "'5.0?[31m'", "modules_install" },
	{ "the module does not say for which", no_vermagic, "module", DOCTOR_FAIL,
	  STATUS_NO_DEVICE, "''", "modules_install" },
	{ "no signature is needed", not_loaded, "signature", DOCTOR_OK, 0, "without", "" },
	{ "Secure Boot without lockdown", lockdown_none, "signature", DOCTOR_OK, 0,
	  "Secure Boot", "" },
	{ "locked down, unsigned", lockdown, "signature", DOCTOR_FAIL, STATUS_NO_DEVICE,
	  "locked down", "lockdown=" },
	{ "locked down by Secure Boot", lockdown_secure_boot, "signature", DOCTOR_FAIL,
	  STATUS_NO_DEVICE, "locked down", "mokutil" },
	{ "locked down, signed", lockdown_signed, "signature", DOCTOR_WARN, 0,
	  "some key", "mokutil" },
	{ "signatures are enforced", sig_enforce, "signature", DOCTOR_FAIL, STATUS_NO_DEVICE,
	  "sig_enforce", "sign vmm.ko" },
	{ "the device opens", nothing, "device", DOCTOR_OK, 0, "opened", "" },
	{ "no permission, no member", no_access_group, "device", DOCTOR_FAIL,
	  STATUS_NO_PERMISSION, "bob may not", "usermod -aG vmm bob" },
	{ "no permission, new member", no_access_member, "device", DOCTOR_FAIL,
	  STATUS_NO_PERMISSION, "anna may not", "log in anew" },
	{ "no permission, no group", no_access_root, "device", DOCTOR_FAIL,
	  STATUS_NO_PERMISSION, "group root", "60-vmm.rules" },
	{ "the module without a device", no_device_node, "device", DOCTOR_FAIL, STATUS_NO_DEVICE,
	  "No such file", "devtmpfs" },
	{ "no module, no device", not_loaded, "device", DOCTOR_FAIL, STATUS_NO_DEVICE,
	  "without the module", "modprobe" },
	{ "one version", nothing, "version", DOCTOR_OK, 0, "both 1.2", "" },
	{ "another version", version_other, "version", DOCTOR_WARN, 0, "1.1", "one build" },
	{ "another ABI", abi_other, "version", DOCTOR_FAIL, STATUS_VERSION, "ABI", "rmmod vmm" },
	{ "another device", not_vmm, "version", DOCTOR_FAIL, STATUS_VERSION, "no vmm", "" },
	{ "nobody to ask", not_loaded, "version", DOCTOR_UNKNOWN, 0, "cannot", "" },
	{ "a machine", nothing, "machine", DOCTOR_OK, 0, "created", "" },
	{ "a CPU the module refuses", no_backend, "machine", DOCTOR_FAIL, STATUS_NO_HARDWARE,
	  "this CPU: new", "rmmod vmm" },
	{ "and nobody knows why", no_backend_no_log, "machine", DOCTOR_FAIL, STATUS_NO_HARDWARE,
	  "log tells why", "dmesg" },
	{ "a CPU that is taken", create_busy, "machine", DOCTOR_FAIL, STATUS_BUSY, "busy",
	  "unload it" },
	{ "no memory", create_no_memory, "machine", DOCTOR_FAIL, STATUS_HOST, "memory", "?" },
	{ "namespaces", nothing, "sandbox", DOCTOR_OK, 0, "namespaces", "" },
	{ "namespaces are off", no_namespaces, "sandbox", DOCTOR_WARN, 0, "weaker", "max_user" },
	{ "namespaces are root's", no_clone, "sandbox", DOCTOR_WARN, 0, "weaker", "userns_clone" },
	{ "root has them", no_namespaces_root, "sandbox", DOCTOR_OK, 0, "namespaces", "" },
	{ "no namespaces", no_user_ns, "sandbox", DOCTOR_WARN, 0, "weaker", "USER_NS" },
};

static void examine(void (*change)(void))
{
	good_machine();
	change();
	memset(&report, 0, sizeof(report));
	doctor_examine(&doctor, &report);
}

static void test_host(const struct host_case *test)
{
	const struct doctor_finding *finding;
	bool good;

	examine(test->change);
	finding = find(test->name);
	good = finding && finding->level == test->level && finding->status == test->status &&
	       strstr(finding->text, test->text) && strstr(finding->cure, test->cure) &&
	       (*test->cure || test->level == DOCTOR_FAIL || !finding->cure[0]);
	if (!ok(good, "%s: %s", test->name, test->claim) && finding)
		tap_note("level %d, status %d: %s -> %s", finding->level, finding->status,
			 finding->text, finding->cure);
	/* Whatever fails has a cure, and makes the whole fail. */
	if (test->level == DOCTOR_FAIL)
		ok(finding && finding->cure[0] && doctor_status(&report), "and says what to do");
}

static void test_whole(void)
{
	closed_vms = 0;
	examine(nothing);
	is(doctor_status(&report), STATUS_OK, "a good machine can run guests");
	is(closed_vms, 1, "the machine made to try is removed");
	for (unsigned int i = 0; i < report.count; i++)
		is(report.finding[i].level, DOCTOR_OK, "all is well: %s", report.finding[i].name);
	examine(not_installed);
	is(doctor_status(&report), STATUS_NO_DEVICE, "the first failure's status is the whole's");
	examine(no_cpu);
	is(doctor_status(&report), STATUS_NO_HARDWARE, "and hardware goes before software");
}

/* ---- the report ---- */

static char *print(bool json, bool guest)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (json)
		doctor_print_json(out, &report, guest);
	else
		doctor_print(out, &report, guest);
	fclose(out);
	return text;
}

static const char *json_string(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value))
		return NULL;
	return json_object_get_string(value);
}

static void test_json(void)
{
	struct json_object *top, *checks, *mode;
	char *text;

	examine(wrong_vermagic);
	doctor_say(&report.finding[0], DOCTOR_OK, "%s",
		   "\"\\\b\n\x7f\xff\xc3\xa4\xc2\x9b\xe2\x82\xac\xed\xa0\x80 </x>");
	is_str(report.finding[0].text, "\"\\????\xc3\xa4??\xe2\x82\xac??? </x>",
	       "what is no text becomes question marks");
	text = print(true, false);
	top = json_tokener_parse(text);
	ok(top, "the JSON can be read back");
	json_object_object_get_ex(top, "checks", &checks);
	is(json_object_array_length(checks), report.count, "with an entry for each finding");
	is_str(json_string(json_object_array_get_idx(checks, 0), "text"), report.finding[0].text,
	       "quotes and backslashes are escaped");
	is_str(json_string(top, "can_run"), "false", "can_run");
	is_str(json_string(top, "status"), "5", "status");
	is_str(json_string(top, "version"), "1.2", "version");
	ok(json_object_object_get_ex(top, "mode", &mode) && !mode, "no mode without a module");
	json_object_put(top);
	free(text);

	examine(nothing);
	text = print(true, false);
	top = json_tokener_parse(text);
	ok(json_object_object_get_ex(top, "mode", &mode), "a mode with one");
	is_str(json_string(mode, "extension"), "AMD-V", "extension");
	is_str(json_string(mode, "paging"), "nested", "paging");
	is_str(json_string(mode, "features"), "[ \"large-2m\" ]", "features");
	json_object_put(top);
	free(text);
	text = print(false, false);
	ok(strstr(text, "\nmode: AMD-V, nested paging, addresses of 40 bits"), "the mode in words");
	ok(strstr(text, "\nThis machine can run virtual machines.\n"), "the verdict in words");
	free(text);
}

/* ---- the command ---- */

static void test_command(void)
{
	static char page[65536];
	FILE *file = fopen("../runner/vmm.1", "r");
	size_t len = 0;
	char want[128];
	int c;

	is(command_doctor(2, (char *[]) { "--config", "x" }), STATUS_USAGE,
	   "--config without --kernel");
	is(command_doctor(1, (char *[]) { "--jason" }), STATUS_USAGE, "an unknown option");
	while (file && (c = getc(file)) != EOF && len < sizeof(page) - 1)
		if (c != '\\')
			page[len++] = c;
	if (file)
		fclose(file);
	for (unsigned int i = 0; i < doctor_options.count; i++) {
		const struct option_row *row = &doctor_options.rows[i];

		snprintf(want, sizeof(want), ".TP\n.B%s --%s%s", row->value ? "I" : "", row->name,
			 row->value ? " \" FILE\"\n" : "\n");
		ok(strstr(strstr(page, ".SH OPTIONS OF DOCTOR") ?: "", want),
		   "the man page has --%s", row->name);
	}
}

int main(void)
{
	root_create();
	test_whole();
	for (size_t i = 0; i < sizeof(host_cases) / sizeof(host_cases[0]); i++)
		test_host(&host_cases[i]);
	test_json();
	test_command();
	root_remove();
	return tap_end();
}
