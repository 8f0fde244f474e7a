// SPDX-License-Identifier: GPL-2.0-or-later
/* unit-sources: ../lib/emul_*.c */
/* unit-flags: -fno-strict-aliasing */
/* unit-libs: -lZydis */
/*
 * Random instructions on random machines: whatever a guest gives the emulator, the
 * registers it shows hold, devices see only accesses that a CPU makes, an unknown
 * instruction changes nothing and no more than EMUL_MAX_REP elements are done.
 */
#include "emulate_random.h"
#include "random.h"

#define ROUNDS		200000
#define MAX_NOTES	5

/* Opcodes that the emulator knows are made likely, prefixes as well. */
static void choose(uint8_t *bytes)
{
	static const uint8_t prefixes[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x36, 0x64, 0x48 };
	uint8_t *insn = bytes + RANDOM_STATE;
	unsigned int i;

	for (i = 0; i < RANDOM_BYTES; i++)
		bytes[i] = random64() >> 24;
	while (random64() % 3 == 0 && insn < bytes + RANDOM_STATE + 5)
		*insn++ = prefixes[(random64() >> 20) % ARRAY_SIZE(prefixes)];
	if (random64() % 4 == 0)
		*insn = 0x6c + (random64() >> 30) % 4;
	else if (random64() % 4 == 0)
		*insn = 0xa4 + (random64() >> 30) % 12;
	else if (random64() % 3 == 0)
		*insn = 0x0f;
}

int main(void)
{
	unsigned int seen[EMUL_ERROR + 1] = {}, bad = 0, round;

	for (round = 0; round < ROUNDS; round++) {
		uint8_t bytes[RANDOM_BYTES];
		enum emul_status status;
		const char *verdict;

		choose(bytes);
		verdict = random_round(bytes, sizeof(bytes), &status);
		seen[status]++;
		if (verdict && ++bad <= MAX_NOTES)
			tap_note("round %u: %s (status %u, opcode %#x)", round, verdict, status,
				 world.ctx.insn.opcode);
	}
	is(bad, 0, "what must hold holds for %u instructions", ROUNDS);
	ok(seen[EMUL_OK] > ROUNDS / 10, "many of them were emulated (%u)", seen[EMUL_OK]);
	ok(seen[EMUL_FAULT] > ROUNDS / 20, "many raised an exception (%u)", seen[EMUL_FAULT]);
	ok(seen[EMUL_UNSUPPORTED] > ROUNDS / 20, "many were unknown (%u)", seen[EMUL_UNSUPPORTED]);
	is(seen[EMUL_ERROR], 0, "none was an error");
	return tap_end();
}
