// SPDX-License-Identifier: GPL-2.0-or-later
/* unit-sources: ../lib/emul_*.c */
/* unit-flags: -fno-strict-aliasing */
/* unit-libs: -lZydis */
/* The rounds of emulate_random_test, on bytes that a fuzzer chooses. */
#include <stdlib.h>

#include "emulate_random.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	enum emul_status status;

	if (size > RANDOM_STATE && random_round(bytes, size, &status))
		abort();
	return 0;
}
