// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a module parameter switches off is neither offered to the process nor to
 * guests. lab/run-switches loads the module with each of them off; with all on, as
 * it is by default, this says that none is missing.
 */
#include <stdio.h>

#include "lib/test.h"

#define XSAVES	(1U << 3)	/* leaf 0xd, index 1, EAX */

/*
 * 'Y' and 'N', as 1 (or -1, nobody asked) and 0 are told too, or 0 where the module has
 * no such parameter.
 */
static char parameter(const char *name)
{
	char path[100];
	int value = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/module/vmm/parameters/%s", name);
	file = fopen(path, "r");
	if (file) {
		value = fgetc(file);
		fclose(file);
	}
	if (value == '1' || value == '-')
		return 'Y';
	return value == '0' ? 'N' : value;
}

TEST(what_is_off_is_not_offered_to_the_process)
{
	static const struct {
		const char *parameter;
		u64 feature;
	} cases[] = {
		{ "vpid", VMM_FEATURE_FLUSH_BY_TAG },
		{ "ept_2m", VMM_FEATURE_LARGE_2M },
		{ "unrestricted_guest", VMM_FEATURE_REAL_MODE },
		{ "virtual_nmi", VMM_FEATURE_VIRTUAL_NMI },
		{ "virtual_apic", VMM_FEATURE_VIRTUAL_APIC },
		{ "tsc_scaling", VMM_FEATURE_TSC_SCALING },
	};
	struct vmm_info info = get_info();

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		char value = parameter(cases[i].parameter);

		EXPECT_TRUE(value == 'Y' || value == 'N') {
			TH_LOG("no parameter %s", cases[i].parameter);
		}
		if (value == 'N' && info.backend == VMM_BACKEND_VT_X)
			EXPECT_EQ_FOR(0, info.features & cases[i].feature, "%s is off",
				      cases[i].parameter);
	}
}

static volatile u32 seen;

static void guest_look(void)
{
	seen = cpuid(0xd, 1).eax & XSAVES;
	GUEST_DONE();
}

TEST(what_is_off_is_not_offered_to_guests)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_look);

	vcpu_done(vcpu);
	if (get_info().backend == VMM_BACKEND_VT_X && parameter("xsaves") == 'N')
		EXPECT_EQ(0, guest_var(vcpu->vm, seen));
}

VMM_TEST_MAIN
