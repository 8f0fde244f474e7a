/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Nested page tables as data: one engine, and a const table of bits for each
 * hardware format. A backend defines its format and names it in
 * vmm_caps.nested_format; nothing in mmu/ knows which one is in use.
 *
 * Entries are 64 bits wide, 512 a table, 4 KiB at the lowest level. Levels count
 * from 1, whose entries map 4 KiB, upwards.
 *
 * An entry is in one of three states:
 *   absent   no bit of format->present is set; the engine writes 0
 *   table    level above 1, no format->large: address of the next table
 *   leaf     level 1, or format->large: address of memory
 */
#ifndef VMM_MMU_PTE_H
#define VMM_MMU_PTE_H

#include <linux/io.h>
#include <linux/mm.h>

#include "types.h"

#define VMM_MAX_LEVELS		5
#define VMM_PTE_INDEX_BITS	9
#define VMM_PTES		BIT(VMM_PTE_INDEX_BITS)

#define VMM_LEVEL_4K		1
#define VMM_LEVEL_2M		2
#define VMM_LEVEL_1G		3

/*
 * struct vmm_pte_format - the bits of a nested page table
 * @present: an entry with one of these bits is there. One bit, or all the
 *	permissions of a format that has no bit of its own for it.
 * @table: bits of an entry that points to a table: everything is permitted, the
 *	leaf decides. Memory type and encryption bit of the tables included.
 * @leaf: bits of every leaf: readable, executable, for the guest's user and
 *	supervisor, memory type write-back, encryption bit
 * @write: a leaf with it can be written
 * @large: a leaf above the lowest level
 * @accessed: set by the CPU on use; 0: this CPU does not tell
 * @dirty: set by the CPU on a write; 0: this CPU does not tell
 * @reports: when the CPU sets @dirty it reports the frame to the backend, which hands it
 *	to vmm_dirty_report() before the exit is over. Leaves are made with @dirty set, so
 *	that only those are reported from which a harvest has taken it.
 * @address: bits of the physical address
 * @type: bits of a leaf of the lowest level that say the memory type, of which @leaf has
 *	those of write-back
 * @type_of: what they are for memory that the process maps with the PAT entry @pat
 */
struct vmm_pte_format {
	u64 present;
	u64 table;
	u64 leaf;
	u64 write;
	u64 large;
	u64 accessed;
	u64 dirty;
	u64 address;
	u64 type;
	u64 (*type_of)(unsigned int pat);
	bool reports;
};

static inline unsigned int vmm_level_shift(unsigned int level)
{
	return (level - 1) * VMM_PTE_INDEX_BITS;
}

/* Frames that one entry of a table at @level covers. */
static inline u64 vmm_level_frames(unsigned int level)
{
	return 1ULL << vmm_level_shift(level);
}

static inline unsigned int vmm_pte_index(gfn_t gfn, unsigned int level)
{
	return (gfn >> vmm_level_shift(level)) & (VMM_PTES - 1);
}

static inline bool vmm_pte_present(const struct vmm_pte_format *format, u64 pte)
{
	return pte & format->present;
}

static inline bool vmm_pte_is_leaf(const struct vmm_pte_format *format, u64 pte,
				   unsigned int level)
{
	return level == VMM_LEVEL_4K || (pte & format->large);
}

static inline hpa_t vmm_pte_address(const struct vmm_pte_format *format, u64 pte)
{
	return pte & format->address;
}

/* The table that entry @pte, of state table, points to. */
static inline u64 *vmm_pte_table(const struct vmm_pte_format *format, u64 pte)
{
	return __va(vmm_pte_address(format, pte));
}

u64 vmm_pte_make_leaf(const struct vmm_pte_format *format, hpa_t address,
		      unsigned int level, bool writable);
/* The leaf @pte of the lowest level, with the memory type of PAT entry @pat instead. */
u64 vmm_pte_retype(const struct vmm_pte_format *format, u64 pte, unsigned int pat);
/* vmm_pte_format.type and .type_of of tables that are the CPU's own format. */
#define VMM_PTE_TYPE	(_PAGE_PWT | _PAGE_PCD | _PAGE_PAT)
u64 vmm_pte_type_of(unsigned int pat);
u64 vmm_pte_make_table(const struct vmm_pte_format *format, hpa_t address);
bool vmm_pte_format_valid(const struct vmm_pte_format *format);

#endif
