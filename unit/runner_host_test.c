// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The way to the module when it is not there, not ours, or of another version: each
 * failure has its exit status and one line that says what and what to do. open() and
 * ioctl() are replaced here.
 */
/* unit-sources: ../runner/host.c ../lib/system.c ../lib/vm.c ../lib/dirty.c */
/* unit-flags: -D_GNU_SOURCE -Dopen=fake_open -Dioctl=fake_ioctl */
/* unit-libs: -lpthread */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "tap.h"
#include "../lib/libvmm.h"
#include "../runner/host.h"

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))

static int open_error, info_error, create_error;	/* errno, or 0 */
static uint32_t module_abi;
static int given_fd, given_flags, creations;
static char complaint[1024];
static unsigned int complaints;

int open(const char *path, int flags, ...)
{
	given_flags = strcmp(path, VMM_DEVICE) ? -1 : flags;
	if (open_error) {
		errno = open_error;
		return -1;
	}
	given_fd = eventfd(0, 0);
	return given_fd;
}

int ioctl(int fd, unsigned long request, ...)
{
	struct vmm_info *info;
	va_list ap;

	(void)fd;
	va_start(ap, request);
	info = va_arg(ap, void *);
	va_end(ap);
	errno = request == VMM_GET_INFO ? info_error : create_error;
	creations += request == VMM_CREATE_VM;
	if (errno)
		return -1;
	if (request != VMM_GET_INFO)
		return eventfd(0, 0);
	*info = (struct vmm_info) { .abi_version = module_abi, .run_size = 4096,
				    .max_slots = 16, .max_vcpus = 7 };
	return 0;
}

void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(complaint, sizeof(complaint), fmt, ap);
	va_end(ap);
	complaints++;
}

static void reset(void)
{
	open_error = 0;
	info_error = 0;
	create_error = 0;
	creations = 0;
	complaints = 0;
	module_abi = VMM_ABI_VERSION;
	given_fd = -1;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_good(void)
{
	struct host host = { .fd = -1 };

	reset();
	is(host_open(&host), STATUS_OK, "a module of the same ABI is taken");
	is(given_flags, O_RDWR | O_CLOEXEC, "/dev/vmm is opened, not for children");
	is(host.info.max_vcpus, 7, "what it can do is known");
	is(complaints, 0, "without a word");
	host_close(&host);
	ok(!is_open(given_fd), "closed again");
}

/* Each refusal has a status, one line with a cure, and leaves no descriptor. */
static void refused(const char *name, enum status want, const char *text)
{
	struct host host = { .fd = -1 };

	complaints = 0;
	is(host_open(&host), want, "%s: status", name);
	is(complaints, 1, "%s: one line", name);
	ok(!strchr(complaint, '\n') && strstr(complaint, text), "%s: the cause", name);
	ok(strstr(complaint, "; "), "%s: what to do", name);
	is(host.fd, -1, "%s: no host", name);
	ok(given_fd < 0 || !is_open(given_fd), "%s: no descriptor is left", name);
	if (strstr(complaint, "\n") || !strstr(complaint, text))
		tap_note("%s", complaint);
}

static void test_open_errors(void)
{
	static const struct {
		int err;
		enum status status;
		const char *text;
	} cases[] = {
		{ ENOENT, STATUS_NO_DEVICE, "not loaded; run modprobe vmm" },
		{ ENODEV, STATUS_NO_DEVICE, "not loaded; run modprobe vmm" },
		{ ENXIO, STATUS_NO_DEVICE, "not loaded; run modprobe vmm" },
		{ EACCES, STATUS_NO_PERMISSION, "no permission; become a member" },
		{ EPERM, STATUS_NO_PERMISSION, "no permission; become a member" },
		{ EBUSY, STATUS_BUSY, "another hypervisor holds the CPUs; unload it" },
		{ EOPNOTSUPP, STATUS_NO_HARDWARE, "no virtualization to be used; switch on" },
		{ EMFILE, STATUS_HOST, "too many open files; raise" },
		{ ENFILE, STATUS_HOST, "too many open files; raise" },
		{ ENOMEM, STATUS_HOST, "out of memory; free some" },
		{ EIO, STATUS_HOST, "a bug of its own or of the machine; see dmesg" },
	};
	char name[64];

	for (size_t i = 0; i < COUNT(cases); i++) {
		reset();
		open_error = cases[i].err;
		snprintf(name, sizeof(name), "open with %s", strerrorname_np(cases[i].err));
		refused(name, cases[i].status, cases[i].text);
		is(host_status(-cases[i].err), cases[i].status, "%s: either sign", name);
	}
}

static void test_versions(void)
{
	static const char text[] = "of different versions; install both from one build";
	static const uint32_t others[] = { 0, VMM_ABI_VERSION - 1, VMM_ABI_VERSION + 1, ~0U };
	struct vmm *vm = NULL;

	for (size_t i = 0; i < COUNT(others); i++) {
		char name[64];

		if (others[i] == VMM_ABI_VERSION)
			continue;
		reset();
		module_abi = others[i];
		snprintf(name, sizeof(name), "ABI %u", others[i]);
		is(vmm_check_abi(3), -EPROTO, "%s: vmm_check_abi()", name);
		refused(name, STATUS_VERSION, text);
		is(vmm_create(3, &vm), -EPROTO, "%s: vmm_create()", name);
		is(creations, 0, "%s: no VM was made", name);
	}
	/* What modules say that know a struct vmm_info of another size. */
	reset();
	info_error = E2BIG;
	refused("a module with a shorter struct", STATUS_VERSION, text);
	info_error = EINVAL;
	refused("a module with other flags", STATUS_VERSION, text);
	info_error = ENOTTY;
	refused("a device that is none of ours", STATUS_VERSION, "not a vmm device; give");
	info_error = EIO;
	is(vmm_check_abi(3), -EIO, "other errors are not taken for versions");
}

static void test_create(void)
{
	struct vmm *vm = NULL;

	reset();
	is(vmm_create(3, &vm), 0, "a VM can be made");
	vmm_destroy(vm);
	reset();
	create_error = EOPNOTSUPP;
	vm = NULL;
	is(vmm_create(3, &vm), -EOPNOTSUPP, "a CPU without the extension says so");
	ok(!vm, "and nothing is left");
}

int main(void)
{
	test_good();
	test_open_errors();
	test_versions();
	test_create();
	return tap_end();
}
