// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entries of nested page tables: made here, and only here, out of the format's
 * bits; and the check that a format makes sense, run once for each VM because
 * it costs less than finding out later.
 */
#include <linux/log2.h>

#include "mmu/pte.h"

u64 vmm_pte_make_leaf(const struct vmm_pte_format *format, hpa_t address,
		      unsigned int level, bool writable)
{
	u64 pte = (address & format->address) | format->leaf;

	if (level > VMM_LEVEL_4K)
		pte |= format->large;
	if (writable)
		pte |= format->write | (format->reports ? format->dirty : 0);
	return pte;
}

u64 vmm_pte_type_of(unsigned int pat)
{
	return (pat & BIT(0) ? _PAGE_PWT : 0) | (pat & BIT(1) ? _PAGE_PCD : 0) |
	       (pat & BIT(2) ? _PAGE_PAT : 0);
}

u64 vmm_pte_retype(const struct vmm_pte_format *format, u64 pte, unsigned int pat)
{
	return (pte & ~format->type) | format->type_of(pat);
}

u64 vmm_pte_make_table(const struct vmm_pte_format *format, hpa_t address)
{
	return (address & format->address) | format->table;
}

/* Each pair of @large, @accessed, @dirty and the address must be apart. */
static bool bits_collide(const struct vmm_pte_format *format)
{
	const u64 apart[] = {
		format->large, format->accessed, format->dirty, format->write,
		format->address,
	};
	u64 seen = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(apart); i++) {
		if (seen & apart[i])
			return true;
		seen |= apart[i];
	}
	return false;
}

/*
 * vmm_pte_format_valid - could the engine work with @format?
 *
 * Encryption bits may lie among those of the address: a mask of the address that
 * leaves them out is the backend's business.
 */
bool vmm_pte_format_valid(const struct vmm_pte_format *format)
{
	const u64 made = format->table | format->leaf;

	return !bits_collide(format) &&
	       is_power_of_2(format->write) && is_power_of_2(format->large) &&
	       (!format->accessed || is_power_of_2(format->accessed)) &&
	       (!format->dirty || is_power_of_2(format->dirty)) &&
	       (!format->reports || format->dirty) &&
	       !(format->address & (PAGE_SIZE - 1)) && format->type && format->type_of &&
	       !(made & (format->address | format->large | format->dirty)) &&
	       !(format->leaf & (format->write | format->accessed)) &&
	       (format->table & format->present) && (format->leaf & format->present) &&
	       (format->table & format->write);
}
