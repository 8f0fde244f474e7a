/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every test program includes: the kernel's harness and our two halves.
 *
 * VMM_TEST_MAIN stands where TEST_HARNESS_MAIN would: a machine without /dev/vmm
 * gives one skipped program (exit code 4) and not a page of failures.
 */
#ifndef SELFTESTS_TEST_H
#define SELFTESTS_TEST_H

#include <kselftest_harness.h>

#include "guest.h"
#include "vm.h"

/* A test of more than the harness's 30 seconds; without a fixture. */
#define TEST_TIMEOUT(test_name, seconds)					\
	static void test_name(struct __test_metadata *_metadata);		\
	static void wrapper_##test_name(struct __test_metadata *_metadata,	\
				   struct __fixture_variant_metadata *variant) \
	{								\
		(void)variant;						\
		_metadata->setup_completed = true;			\
		if (setjmp(_metadata->env) == 0)			\
			test_name(_metadata);				\
		__test_check_assert(_metadata);				\
	}								\
	static struct __test_metadata _##test_name##_object = {		\
		.name = #test_name,						\
		.fn = &wrapper_##test_name,					\
		.fixture = &_fixture_global,				\
		.termsig = -1,						\
		.timeout = seconds,					\
	};								\
	static void __attribute__((constructor)) _register_##test_name(void)	\
	{								\
		__register_test(&_##test_name##_object);			\
	}								\
	static void test_name(struct __test_metadata __attribute__((unused)) *_metadata)

/* Expectations that say which case of a table or loop they are about. */
#define EXPECT_EQ_FOR(want, seen, ...)					\
	do {								\
		long long want_ = (long long)(want), seen_ = (long long)(seen); \
									\
		if (want_ != seen_) {					\
			char case_[200];				\
									\
			snprintf(case_, sizeof(case_), __VA_ARGS__);	\
			TH_LOG("%s: " #seen ": expected %lld (%#llx), got %lld (%#llx)", \
			       case_, want_, want_, seen_, seen_);	\
			_metadata->passed = 0;				\
		}							\
	} while (0)

/* Time limits are for hosts of the usual speed. */
static void stretch_limits(struct __fixture_metadata *fixture)
{
	struct __test_metadata *test;

	for (; fixture; fixture = fixture->next)
		for (test = fixture->tests; test; test = test->next)
			test->timeout *= host_slowness();
}

#define VMM_TEST_MAIN							\
	static void __attribute__((constructor)) __constructor_order_last(void) \
	{								\
		if (!__constructor_order)				\
			__constructor_order = _CONSTRUCTOR_ORDER_BACKWARD; \
	}								\
	int main(int argc, char **argv)					\
	{								\
		setvbuf(stdout, NULL, _IOLBF, 0);			\
		if (access("/dev/vmm", F_OK)) {				\
			ksft_print_header();				\
			ksft_exit_skip("there is no /dev/vmm\n");	\
		}							\
		stretch_limits(__fixture_list);				\
		return test_harness_run(argc, argv);			\
	}

#endif
