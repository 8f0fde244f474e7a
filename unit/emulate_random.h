/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One round of the emulator on bytes that a hostile guest might give it: the first
 * choose the machine's state, the rest are the instruction. What must hold whatever
 * they are is checked here; the sanitizers check the rest.
 */
#ifndef UNIT_EMULATE_RANDOM_H
#define UNIT_EMULATE_RANDOM_H

#include <inttypes.h>

#include "emulate_world.h"

#define RANDOM_STATE	24	/* bytes before the instruction */
#define RANDOM_BYTES	(RANDOM_STATE + EMUL_MAX_INSN)
#define RANDOM_STRETCH	64	/* instructions */

/* Registers mostly point into the pages, else anywhere. */
static uint64_t random_register(uint8_t a, uint8_t b, bool wild)
{
	uint64_t val = BASE + (a & 0x0f) * (uint64_t)EMUL_PAGE_SIZE + (uint64_t)b * 16 - (a >> 4);

	return wild ? val * 0x9e3779b97f4a7c15ull : val;
}

static void random_state(const uint8_t *bytes)
{
	unsigned int i;

	world_reset(bytes[0] & 3);
	if (bytes[0] & 4)
		world_user();
	for (i = 0; i < 16; i++)
		world.ctx.regs.gpr[i] = random_register(bytes[i + 4], bytes[(i * 5) % 16 + 4],
							bytes[1] == i);
	world.ctx.regs.rcx = bytes[2];
	if (bytes[0] & 8)
		world.ctx.regs.rcx <<= 33;
	world.ctx.regs.rflags |= (uint64_t)bytes[3] << 4 | (bytes[0] & 0x10 ? EMUL_AC : 0);
	world.ctx.ctrl.cr0 |= bytes[0] & 0x20 ? EMUL_CR0_AM : 0;
	if (bytes[0] & 0x40)
		world.ctx.regs.rip = PAGE_AT(1) - 3;
	for (i = 0; i < PAGES; i++)
		world.kind[i] = bytes[20 + i % 4] >> (i / 4) & (ABSENT | READONLY | DEVICE);
	/* A device answers its reads with what the guest may make an address of. */
	world.answer = BASE + bytes[5] * 64;
	for (i = VMM_ES; i <= VMM_GS; i++)
		if (bytes[20] == i)
			world.ctx.segs.seg[i].attr ^= bytes[21];
}

static bool device_accesses_sane(void)
{
	unsigned int i;

	if (world.logged > 2 * 4 * EMUL_MAX_REP * RANDOM_STRETCH)
		return false;
	for (i = 0; i < world.logged && i < MAX_LOG; i++) {
		const struct access *a = &world.log[i];

		if (!a->size || a->size > 8 || (a->size & (a->size - 1)))
			return false;
		if (a->port ? a->size == 8 : a->address % a->size)
			return false;
	}
	return true;
}

/* A jump goes anywhere; everything else to the next instruction. */
static bool moved_well(uint64_t moved)
{
	switch (world.ctx.insn.meta.category) {
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_INTERRUPT:
		return true;
	default:
		return !world.ctx.long64 || moved == world.ctx.insn.length;
	}
}

/* What a trap waits for, or what takes its place. */
static bool trap_due(const struct vmm_regs *before)
{
	return (before->rflags & EMUL_TF) && !world.ctx.no_trap &&
	       world.ctx.shadow != VMM_SHADOW_MOV_SS;
}

static const char *random_verdict(enum emul_status status, const struct vmm_regs *before,
				  const struct vmm_segs *segs)
{
	const struct vmm_regs *now = &world.ctx.regs;
	uint64_t moved = now->rip - before->rip;
	bool still = !memcmp(now, before, sizeof(*now));
	bool event = world.ctx.event.type != VMM_EVENT_NONE;

	if (memcmp(now, &world.ctx.done, sizeof(*now)))
		return "registers that do not hold are shown";
	if (!device_accesses_sane())
		return "a device saw an access that no CPU makes";
	if (status != EMUL_OK && memcmp(segs, &world.ctx.segs, sizeof(*segs)))
		return "a segment that does not hold is shown";
	switch (status) {
	case EMUL_OK:
		if (!moved_well(moved))
			return "RIP is not past the instruction";
		return event == trap_due(before) ? NULL : "TF and the trap disagree";
	case EMUL_PARTIAL:
		return moved ? "RIP moved in the middle" : NULL;
	case EMUL_FAULT:
		return moved || !event ? "a fault without an event, or with a moved RIP" : NULL;
	case EMUL_UNSUPPORTED:
	case EMUL_KERNEL:
		return still && !event ? NULL : "an unknown instruction changed something";
	default:
		return "an error that nobody made";
	}
}

/* Of a stretch, the same and what its callers build on. */
static const char *stretch_verdict(enum emul_status status, const struct vmm_regs *before)
{
	const struct vmm_regs *now = &world.ctx.regs;

	if (memcmp(now, &world.ctx.done, sizeof(*now)))
		return "registers that do not hold are shown";
	if (!device_accesses_sane())
		return "a device saw an access that no CPU makes";
	if (!(now->rflags & 2))
		return "a flag that is always set is clear";
	switch (status) {
	case EMUL_OK:
	case EMUL_PARTIAL:
	case EMUL_SHUTDOWN:
		return NULL;
	case EMUL_UNSUPPORTED:
		return memcmp(now, before, sizeof(*now)) ? "an end that did something" : NULL;
	default:
		return "an end that no caller expects";
	}
}

/* @size is at least RANDOM_STATE. NULL if all is well, else what is not. */
static const char *random_round(const uint8_t *bytes, size_t size, enum emul_status *status)
{
	struct vmm_regs before;
	struct vmm_segs segs;
	size_t len = size - RANDOM_STATE;
	uint64_t at;

	random_state(bytes);
	at = world.ctx.regs.rip + (world.ctx.segs.seg[VMM_CS].base - BASE);
	if (len > EMUL_MAX_INSN)
		len = EMUL_MAX_INSN;
	/* Half of the time the code has to be fetched from memory. */
	if (bytes[0] & 0x80) {
		world.ctx.length = len;
		memcpy(world.ctx.bytes, bytes + RANDOM_STATE, len);
	} else if (at < sizeof(world.memory) - EMUL_MAX_INSN) {
		memcpy(world.memory + at, bytes + RANDOM_STATE, len);
	}
	before = world.ctx.regs;
	segs = world.ctx.segs;
	if (bytes[1] & 0x80) {
		world.ctx.whole = true;
		*status = emul_stretch(&world.ctx, RANDOM_STRETCH);
		return stretch_verdict(*status, &before);
	}
	*status = emul_step(&world.ctx);
	return random_verdict(*status, &before, &segs);
}

#endif /* UNIT_EMULATE_RANDOM_H */
