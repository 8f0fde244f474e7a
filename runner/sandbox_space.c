// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Namespaces, the empty root, the user, Landlock, and limits.
 *
 * Root makes the namespaces with its rights and then becomes nobody. A user makes
 * them through a user namespace in which no user at all is mapped: so even its own
 * root does not exist there. A process namespace is not among them, because it would
 * take a second process: without /proc, with no ids but its own that the filter lets
 * it signal, the process cannot tell.
 *
 * Namespaces are refused by container runtimes and by systems whose administrator
 * forbade them to users (kernel.unprivileged_userns_clone, user.max_user_namespaces,
 * AppArmor). That is no reason not to run: the filter allows no call that names a
 * file, an address or another process anyway. All other failures are.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include "sandbox_space.h"

/* "nobody" of every distribution, and what the kernel shows for ids it cannot map. */
#define NOBODY	65534

/* A restarted guest needs the descriptors of the one before it; this is for anything else. */
#define FILES_MARGIN	64

/* Where the new root is mounted for a moment: the one directory that must exist. */
#define MOUNT_POINT	"/dev"

/* ---- the root ---- */

/*
 * The new root takes the place of the old, which goes. An initramfs cannot go: it is
 * covered, and what is below cannot be reached without the right to unmount.
 */
static int swap_roots(void)
{
	if (!syscall(SYS_pivot_root, ".", "."))
		return umount2(".", MNT_DETACH) ? -errno : 0;
	if (errno != EINVAL)
		return -errno;
	return mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") ? -errno : 0;
}

static int empty_root(void)
{
	const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
	int err;

	/* Nothing mounted here may show elsewhere. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", MOUNT_POINT, "tmpfs", flags, "size=4k,nr_inodes=1,mode=0111") ||
	    chdir(MOUNT_POINT))
		return -errno;
	err = swap_roots();
	if (!err && chdir("/"))
		err = -errno;
	return err;
}

/* ---- the user ---- */

static int drop_root(void)
{
	if (geteuid() && getuid())
		return 0;
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return -errno;
	return 0;
}

/* ---- namespaces ---- */

static int enter_namespaces(const struct sandbox_keep *keep, int more)
{
	const int spaces = CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
			   (keep->network ? 0 : CLONE_NEWNET) | (keep->file ? 0 : CLONE_NEWNS);

	if (unshare(spaces | more))
		return -errno;
	return keep->file ? 0 : empty_root();
}

/*
 * Root's rights are used, then gone; a container's root may lack them and try as a
 * user does. Only what drop_root() answers is fatal.
 */
static int leave_namespaces(const struct sandbox_keep *keep)
{
	int spaces = geteuid() ? -EPERM : enter_namespaces(keep, 0);
	int err = drop_root();

	if (err)
		return err;
	if (spaces)
		spaces = enter_namespaces(keep, CLONE_NEWUSER);
	if (spaces)
		complain("the sandbox is without namespaces: %s; 'vmm doctor' tells more",
			 strerror(-spaces));
	return 0;
}

/* Those of the user namespace; root's went with its user. */
static int drop_capabilities(const struct sandbox_keep *keep)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	(void)keep;
	return syscall(SYS_capset, &header, none) ? -errno : 0;
}

/* ---- Landlock ---- */

/* The newest form of struct landlock_ruleset_attr: older headers have its start. */
struct ruleset {
	uint64_t fs, net, scoped;
};

/*
 * All rights that each version of Landlock's ABI knows, and the size of its attribute.
 * Kernel documentation, "Landlock: unprivileged access control", "Previous limitations".
 */
static const struct {
	unsigned int fs, net, scoped;	/* how many bits */
	size_t size;
} landlock_abis[] = {
	{ 13, 0, 0, 8 },	/* 1: files */
	{ 14, 0, 0, 8 },	/* 2: moves between directories */
	{ 15, 0, 0, 8 },	/* 3: truncation */
	{ 15, 2, 0, 16 },	/* 4: TCP */
	{ 16, 2, 0, 16 },	/* 5: ioctls of devices opened later */
	{ 16, 2, 2, 24 },	/* 6: abstract sockets, signals */
};

static uint64_t bits(unsigned int count)
{
	return (1ULL << count) - 1;
}

/* Reading one file, which need not be there. */
static int allow_file(int rules, const char *file)
{
	struct landlock_path_beneath_attr beneath = {
		.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE,
		.parent_fd = open(file, O_PATH | O_CLOEXEC),
	};
	int err;

	if (beneath.parent_fd < 0)
		return 0;
	err = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) ?
	      -errno : 0;
	close(beneath.parent_fd);
	return err;
}

bool sandbox_has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;
}

/* A ruleset that handles every right and grants none but @keep; a kernel without has none. */
static int enter_landlock(const struct sandbox_keep *keep)
{
	const long known = sizeof(landlock_abis) / sizeof(landlock_abis[0]);
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset rules;
	int fd, err;

	if (abi < 1)
		return 0;
	abi = (abi < known ? abi : known) - 1;
	rules = (struct ruleset) { bits(landlock_abis[abi].fs),
				   keep->network ? 0 : bits(landlock_abis[abi].net),
				   bits(landlock_abis[abi].scoped) };
	fd = syscall(SYS_landlock_create_ruleset, &rules, landlock_abis[abi].size, 0);
	if (fd < 0)
		return -errno;
	err = keep->file ? allow_file(fd, keep->file) : 0;
	if (!err && syscall(SYS_landlock_restrict_self, fd, 0))
		err = -errno;
	close(fd);
	return err;
}

/* ---- limits ---- */

static bool is_file(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode);
}

/* The limit is one of numbers: a descriptor behind a gap of the margin is no new one. */
static rlim_t files_needed(unsigned int more)
{
	int last = 0;

	for (int fd = 0; fd <= last + FILES_MARGIN; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			last = fd;
	return last + 1 + FILES_MARGIN + more;
}

static int limit_files(const struct sandbox_keep *keep)
{
	rlim_t needed = files_needed(keep->files);
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return -errno;
	if (files.rlim_max > needed)
		files.rlim_max = needed;
	files.rlim_cur = files.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &files) ? -errno : 0;
}

static int limit_core(const struct sandbox_keep *keep)
{
	const struct rlimit none = { 0, 0 };

	(void)keep;
	return setrlimit(RLIMIT_CORE, &none) ? -errno : 0;
}

/* The limit counts from a file's start: who writes disks, or output, to one has none. */
static int limit_growth(const struct sandbox_keep *keep)
{
	const struct rlimit none = { 0, 0 };

	if (keep->growth || is_file(STDOUT_FILENO) || is_file(STDERR_FILENO))
		return 0;
	return setrlimit(RLIMIT_FSIZE, &none) ? -errno : 0;
}

/* Guests of one user share its uid: none may look into another's process. */
static int hide(const struct sandbox_keep *keep)
{
	(void)keep;
	return prctl(PR_SET_DUMPABLE, 0) ? -errno : 0;
}

/* ---- all of it ---- */

struct step {
	int (*run)(const struct sandbox_keep *keep);
	const char *what, *cure;
};

static const struct step steps[] = {
	{ limit_growth, "limit its files", "raise the limits it was started with" },
	{ leave_namespaces, "give up root's rights", "run it as a user of the group vmm" },
	{ drop_capabilities, "give up its capabilities", "report this" },
	{ enter_landlock, "enter a Landlock domain", "report this" },
	{ limit_core, "limit itself", "raise the limits it was started with" },
	{ hide, "hide its memory", "report this" },
	{ limit_files, "limit its descriptors", "raise the limits it was started with" },
};

enum status sandbox_leave_host(const struct sandbox_keep *keep)
{
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int err = steps[i].run(keep);

		if (!err)
			continue;
		complain("cannot %s: %s; %s", steps[i].what, strerror(-err), steps[i].cure);
		return STATUS_HOST;
	}
	return STATUS_OK;
}
