// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The BIOS data area. There is no BIOS, but programs for PCs take the size of
 * conventional memory from here, Xen among them, and ports of serial lines. There is no
 * extended BIOS data area. Facts: "BIOS data area" of IBM's PC/AT Technical Reference.
 */
#include <string.h>
#include "../layout.h"
#include "boot.h"

struct bda {
	uint16_t com[4];	/* ports; 0: none */
	uint16_t lpt[3];
	uint16_t ebda;		/* segment; 0: none */
	uint16_t equipment;
	uint8_t test;
	uint16_t memory;	/* KiB */
} __attribute__((packed));

#define EQUIPMENT_ONE_COM	(1 << 9)

_Static_assert(offsetof(struct bda, ebda) == 0x0e, "as programs expect it");
_Static_assert(offsetof(struct bda, memory) == 0x13, "as programs expect it");

static bool is_taken(const struct boot_plan *plan)
{
	for (unsigned int i = 0; i < plan->segments; i++)
		if (plan->segment[i].gpa < LAYOUT_BDA + LAYOUT_BDA_SIZE &&
		    plan->segment[i].gpa + plan->segment[i].size > LAYOUT_BDA)
			return true;
	return false;
}

enum status bda_load(const struct boot_plan *plan, const struct ram *ram)
{
	const struct bda bda = {
		.com = { LAYOUT_COM1 },
		.equipment = EQUIPMENT_ONE_COM,
		.memory = LAYOUT_RESERVED >> 10,
	};
	void *to;
	enum status status;

	if (is_taken(plan))
		return STATUS_OK;
	status = boot_place(ram, "BIOS data area", LAYOUT_BDA, LAYOUT_BDA_SIZE, &to);
	if (!status)
		memcpy(to, &bda, sizeof(bda));
	return status;
}
