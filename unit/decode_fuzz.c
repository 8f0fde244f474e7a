// SPDX-License-Identifier: GPL-2.0-or-later
/* unit-sources: decode_oracle.c ../kmod/decode.c */
/* unit-libs: -lZydis */
/*
 * kmod/decode.c against Zydis under libFuzzer: the first byte chooses the mode,
 * the rest is the instruction, in a buffer of exactly its size.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decode_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *differs;
	uint8_t *bytes;
	int mode;

	if (!size)
		return 0;
	mode = data[0] % 3;
	bytes = malloc(size - 1);
	memcpy(bytes, data + 1, size - 1);
	differs = decode_oracle(bytes, size - 1, mode, NULL);
	if (differs) {
		fprintf(stderr, "mode %d differs from Zydis: %s\n", mode, differs);
		abort();
	}
	free(bytes);
	return 0;
}
