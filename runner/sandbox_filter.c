// SPDX-License-Identifier: GPL-2.0-or-later
/* A table of system calls made a filter with libseccomp. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "sandbox_filter.h"

static void (*restore_first)(void);

/* ---- a call that is not on the list ---- */

/* Decimal digits of @n before @end, without the C library's locks. */
static char *digits(char *end, unsigned int n)
{
	do {
		*--end = '0' + n % 10;
		n /= 10;
	} while (n);
	return end;
}

/* SA_RESETHAND made the action the default one again: the second signal ends it. */
static void on_forbidden_call(int sig, siginfo_t *info, void *context)
{
	static const char before[] = "vmm: stopped by its sandbox: system call ";
	static const char after[] = "; report this\n";
	char number[16];
	char *start = digits(number + sizeof(number), info->si_syscall);
	ssize_t n;

	(void)context;
	if (restore_first)
		restore_first();
	n = write(STDERR_FILENO, before, sizeof(before) - 1);
	n = write(STDERR_FILENO, start, number + sizeof(number) - start);
	n = write(STDERR_FILENO, after, sizeof(after) - 1);
	(void)n;
	raise(sig);
}

static int add_rule(scmp_filter_ctx filter, const struct sandbox_rule *rule)
{
	uint64_t value = rule->check.value == SANDBOX_PID ? (uint64_t)getpid() :
							      rule->check.value;
	uint32_t action = rule->check.error ? SCMP_ACT_ERRNO(rule->check.error) : SCMP_ACT_ALLOW;
	struct scmp_arg_cmp compare = SCMP_CMP64(rule->check.arg, SCMP_CMP_MASKED_EQ,
						 rule->check.mask, value);

	return seccomp_rule_add_exact_array(filter, action, rule->call, !!rule->check.mask,
					    &compare);
}

static int load_filter(const struct sandbox_rule *rules, unsigned int count)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
	int err = filter ? 0 : -ENOMEM;

	/* Its arguments are in memory, out of a filter's reach; libc falls back to clone. */
	if (!err)
		err = seccomp_rule_add_exact(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	for (unsigned int i = 0; !err && i < count; i++)
		err = add_rule(filter, &rules[i]);
	if (!err)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}

enum status sandbox_confine(const struct sandbox_keep *keep, const struct sandbox_rule *rules,
			    unsigned int count, void (*restore)(void))
{
	struct sigaction action = { .sa_sigaction = on_forbidden_call,
				    .sa_flags = SA_SIGINFO | SA_RESETHAND };
	enum status status = STATUS_OK;
	int err = 0;

	restore_first = restore;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || sigaction(SIGSYS, &action, NULL))
		err = -errno;
	if (!err)
		status = sandbox_leave_host(keep);
	if (status)
		return status;
	if (!err)
		err = load_filter(rules, count);
	if (!err)
		return STATUS_OK;
	complain("cannot enter the sandbox: %s; use a kernel with seccomp filters", strerror(-err));
	return STATUS_HOST;
}
