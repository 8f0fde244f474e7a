/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's own page tables: every mode of x86 paging as a row of data, and one
 * walk over any of them. Pure functions of registers and of a callback that reads
 * entries, so that unit/walk_test.c runs the same code.
 *
 * The guest changes its tables, and with other vCPUs its registers' meaning, at
 * any time: the mode is fixed before the walk starts, each entry is read once,
 * and the number of levels is the row's.
 *
 * Shadow stacks, linear-address masking and keys of supervisor pages are hidden from
 * guests and do not appear here.
 */
#ifndef VMM_MMU_PAGING_H
#define VMM_MMU_PAGING_H

#include <linux/bits.h>
#include <linux/kernel.h>
#include <linux/types.h>
#include <linux/vmm.h>

#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/trap_pf.h>

/* Bits of guest entries, the same in all modes. */
#define PAGING_P	BIT_ULL(0)
#define PAGING_RW	BIT_ULL(1)
#define PAGING_US	BIT_ULL(2)
#define PAGING_A	BIT_ULL(5)
#define PAGING_PS	BIT_ULL(7)	/* large page, above the lowest level */
#define PAGING_NX	BIT_ULL(63)
#define PAGING_KEY_SHIFT 59	/* of long mode's leaves: the protection key */
#define PAGING_KEY	GENMASK_ULL(62, PAGING_KEY_SHIFT)

/* PKRU has two bits for each key: no access, no writes. */
#define PAGING_PKRU_BITS	2
#define PAGING_PKRU_AD	BIT(0)
#define PAGING_PKRU_WD	BIT(1)

#define PAGING_MAX_LEVELS	5
#define PAGING_PDPT_LEVEL	3	/* of PAE paging: four entries without permissions */

/* Widest physical address that 4-byte entries reach, through PSE-36. */
#define PAGING_PSE36_BITS	40

/*
 * struct paging_format - one mode
 * @levels: tables on the way to a 4 KiB page
 * @index_bits: of the address, a level
 * @entry_shift: log2 of the bytes of an entry
 * @pae_top: the top level is PAE's page-directory-pointer table
 * @large: BIT(level): PAGING_PS makes a page there
 * @ps_reserved: elsewhere PAGING_PS is a reserved bit
 * @root: bits of CR3 that address the top table
 * @address: bits of an entry that address a table or page
 * @reserved: always reserved, beside what the physical width adds
 */
struct paging_format {
	u8 levels;
	u8 index_bits;
	u8 entry_shift;
	bool pae_top;
	u8 large;
	bool ps_reserved;
	u64 root;
	u64 address;
	u64 reserved;
};

enum paging_mode {
	PAGING_32,
	PAGING_32_PSE,
	PAGING_PAE,
	PAGING_LONG_4,
	PAGING_LONG_5,
};

static const struct paging_format paging_formats[] = {
	[PAGING_32] = {
		.levels = 2, .index_bits = 10, .entry_shift = 2,
		.root = GENMASK_ULL(31, 12), .address = GENMASK_ULL(31, 12),
	},
	[PAGING_32_PSE] = {
		.levels = 2, .index_bits = 10, .entry_shift = 2, .large = BIT(2),
		.root = GENMASK_ULL(31, 12), .address = GENMASK_ULL(31, 12),
	},
	[PAGING_PAE] = {
		.levels = 3, .index_bits = 9, .entry_shift = 3, .large = BIT(2),
		.pae_top = true, .ps_reserved = true, .root = GENMASK_ULL(31, 5),
		.address = GENMASK_ULL(51, 12), .reserved = GENMASK_ULL(62, 52),
	},
	[PAGING_LONG_4] = {
		.levels = 4, .index_bits = 9, .entry_shift = 3, .large = BIT(2) | BIT(3),
		.ps_reserved = true, .root = GENMASK_ULL(51, 12),
		.address = GENMASK_ULL(51, 12),
	},
	[PAGING_LONG_5] = {
		.levels = 5, .index_bits = 9, .entry_shift = 3, .large = BIT(2) | BIT(3),
		.ps_reserved = true, .root = GENMASK_ULL(51, 12),
		.address = GENMASK_ULL(51, 12),
	},
};

/* What the CPU adds to the registers; made by paging_cpu_init(). */
struct paging_cpu {
	u64 reserved;		/* bits of an 8-byte entry above the physical width */
	u64 reserved_pse36;	/* the same for a large page of 32-bit paging */
	u8 large;		/* BIT(level): there can be large pages */
	bool pdpte_registers;	/* PAE's top table is ctrl->pdpte, not memory */
};

/*
 * struct paging - a mode made ready for walks by paging_setup()
 * @format: NULL: paging is off
 * @root: address of the top table
 * @pdpte: PAE: the top table in registers, checked when loaded; NULL: in memory
 * @reserved: reserved in every entry
 * @reserved_pse36: reserved in a large page of 32-bit paging
 * @large: as in the format, for this CPU
 * @wp, @smep: by control register
 * @smap: CR4.SMAP, and EFLAGS.AC does not suspend it
 * @fetch_flag: #PF error codes tell instruction fetches
 * @pkru: rights of the protection keys; 0: none is in force
 */
struct paging {
	const struct paging_format *format;
	u64 root;
	const u64 *pdpte;
	u64 reserved;
	u64 reserved_pse36;
	u8 large;
	bool wp;
	bool smep;
	bool smap;
	bool fetch_flag;
	u32 pkru;
};

enum paging_outcome {
	PAGING_OK,
	PAGING_FAULT,		/* #PF with the error code returned */
	PAGING_UNREADABLE,	/* the callback could not read an entry */
};

/* Reads 4 or 8 bytes (@shift: log2) at @gpa, once; false: cannot. */
typedef bool (*paging_read_fn)(void *context, u64 gpa, unsigned int shift, u64 *entry);

static __always_inline enum paging_mode paging_mode(const struct vmm_ctrl *ctrl)
{
	if (ctrl->efer & EFER_LMA)
		return ctrl->cr4 & X86_CR4_LA57 ? PAGING_LONG_5 : PAGING_LONG_4;
	if (ctrl->cr4 & X86_CR4_PAE)
		return PAGING_PAE;
	return ctrl->cr4 & X86_CR4_PSE ? PAGING_32_PSE : PAGING_32;
}

/* Bits @from to @to, none when @from is above @to. */
static inline u64 paging_bits(unsigned int from, unsigned int to)
{
	return from > to ? 0 : GENMASK_ULL(to, from);
}

/* @phys_bits: MAXPHYADDR. @gbpages: 1 GiB pages. */
static inline void paging_cpu_init(struct paging_cpu *cpu, unsigned int phys_bits, bool gbpages,
				   bool pdpte_registers)
{
	cpu->reserved = paging_bits(phys_bits, 51);
	cpu->reserved_pse36 = phys_bits < PAGING_PSE36_BITS ?
			      paging_bits(phys_bits - 32 + 13, 20) : 0;
	cpu->large = BIT(2) | (gbpages ? BIT(3) : 0);
	cpu->pdpte_registers = pdpte_registers;
}

/* paging_setup() for the mode that @ctrl is known to be in. */
static __always_inline void paging_setup_as(struct paging *paging,
					    const struct paging_format *format,
					    const struct vmm_ctrl *ctrl, u64 rflags,
					    u32 pkru, const struct paging_cpu *cpu)
{
	const bool nxe = ctrl->efer & EFER_NX;

	paging->format = format;
	paging->root = ctrl->cr3 & format->root;
	paging->pdpte = format->pae_top && cpu->pdpte_registers ? ctrl->pdpte : NULL;
	paging->large = format->large & cpu->large;
	paging->reserved = format->entry_shift == 2 ? 0 :
			   format->reserved | cpu->reserved | (nxe ? 0 : PAGING_NX);
	paging->reserved_pse36 = cpu->reserved_pse36;
	paging->wp = ctrl->cr0 & X86_CR0_WP;
	paging->smep = ctrl->cr4 & X86_CR4_SMEP;
	paging->smap = (ctrl->cr4 & X86_CR4_SMAP) && !(rflags & X86_EFLAGS_AC);
	paging->fetch_flag = paging->smep || (nxe && (ctrl->cr4 & X86_CR4_PAE));
	paging->pkru = (ctrl->efer & EFER_LMA) && (ctrl->cr4 & X86_CR4_PKE) ? pkru : 0;
}

static __always_inline void paging_setup(struct paging *paging, const struct vmm_ctrl *ctrl,
					 u64 rflags, u32 pkru, const struct paging_cpu *cpu)
{
	paging->format = NULL;
	if (ctrl->cr0 & X86_CR0_PG)
		paging_setup_as(paging, &paging_formats[paging_mode(ctrl)], ctrl, rflags, pkru,
				cpu);
}

/* Do the rights that all levels grant together allow @access? */
static __always_inline bool paging_allows(const struct paging *paging, u32 access, u64 rights,
					  u64 nx)
{
	if ((access & VMM_ACCESS_EXEC) && (nx & PAGING_NX))
		return false;
	if ((access & VMM_ACCESS_WRITE) && !(rights & PAGING_RW) &&
	    (paging->wp || (access & VMM_ACCESS_USER)))
		return false;
	if (access & VMM_ACCESS_USER)
		return rights & PAGING_US;
	if (!(rights & PAGING_US))
		return true;
	if ((access & VMM_ACCESS_EXEC) && paging->smep)
		return false;
	return !(access & (VMM_ACCESS_READ | VMM_ACCESS_WRITE)) || !paging->smap;
}

/*
 * "Protection Keys": does the key of the leaf @entry, of a translation whose levels grant
 * @rights together, forbid @access to data?
 */
static __always_inline bool paging_key_forbids(const struct paging *paging, u32 access, u64 rights,
					       u64 entry)
{
	const u32 key = (entry & PAGING_KEY) >> PAGING_KEY_SHIFT;
	const u32 forbidden = paging->pkru >> (key * PAGING_PKRU_BITS);

	if (!paging->pkru || !(rights & PAGING_US) || (access & VMM_ACCESS_EXEC))
		return false;
	return (forbidden & PAGING_PKRU_AD) ||
	       ((forbidden & PAGING_PKRU_WD) && (access & VMM_ACCESS_WRITE) &&
		(paging->wp || (access & VMM_ACCESS_USER)));
}

static __always_inline u32 paging_error(const struct paging *paging, u32 access, u32 cause)
{
	return cause | (access & VMM_ACCESS_WRITE ? X86_PF_WRITE : 0) |
	       (access & VMM_ACCESS_USER ? X86_PF_USER : 0) |
	       ((access & VMM_ACCESS_EXEC) && paging->fetch_flag ? X86_PF_INSTR : 0);
}

/* Reserved bits of an entry at @level beside paging->reserved. */
static __always_inline u64 paging_reserved(const struct paging *paging,
					   const struct paging_format *format,
					   unsigned int level, bool large)
{
	if (large && format->entry_shift == 2)
		return BIT_ULL(21) | paging->reserved_pse36;
	if (large)
		return GENMASK_ULL(11 + (level - 1) * 9, 13);
	/*
	 * A top table in memory that the machine's walker has used may have accessed
	 * bits: bit 5 must be zero by the manual, but QEMU sets it. To fault here on
	 * what the machine took would be a loop: the instruction that exited runs again.
	 */
	if (format->pae_top && level == PAGING_PDPT_LEVEL)
		return PAGING_NX | GENMASK_ULL(8, 6) | PAGING_US | PAGING_RW |
		       (paging->pdpte ? PAGING_A : 0);
	return level > 1 && format->ps_reserved ? PAGING_PS : 0;
}

static __always_inline u64 paging_leaf(const struct paging_format *format, u64 entry,
				       unsigned int level, u64 gva)
{
	const u64 inside = BIT_ULL(12 + (level - 1) * format->index_bits) - 1;
	u64 high = 0;

	/* PSE-36: bits 39 to 32 of the address are bits 20 to 13 of the entry. */
	if (format->entry_shift == 2 && level > 1)
		high = ((entry >> 13) & 0xff) << 32;
	return high | (entry & format->address & ~inside) | (gva & inside);
}

/*
 * paging_walk - translate @gva for an explicit @access (VMM_ACCESS_*)
 *
 * @format: paging->format, which is not NULL; a caller that knows which one passes
 * the constant, and gets a walk without the other modes. @gva: cut to 32 bits by
 * the caller outside long mode, canonical in it. PAGING_OK sets *@gpa, PAGING_FAULT
 * *@error. Inlined, so that @read is.
 */
static __always_inline enum paging_outcome
paging_walk(const struct paging *paging, const struct paging_format *format, u64 gva, u32 access,
	    paging_read_fn read, void *context, u64 *gpa, u32 *error)
{
	unsigned int level = format->levels;
	u64 table = paging->root;
	u64 rights = PAGING_RW | PAGING_US, nx = 0, entry;

	for (;; level--) {
		const unsigned int shift = 12 + (level - 1) * format->index_bits;
		const bool top = format->pae_top && level == PAGING_PDPT_LEVEL;
		const u64 index = (gva >> shift) & (BIT(format->index_bits) - 1);
		bool large;

		if (top && paging->pdpte)
			entry = paging->pdpte[index & 3];
		else if (!read(context, table + (index << format->entry_shift),
			       format->entry_shift, &entry))
			return PAGING_UNREADABLE;
		if (!(entry & PAGING_P)) {
			*error = paging_error(paging, access, 0);
			return PAGING_FAULT;
		}
		large = (entry & PAGING_PS) && (paging->large & BIT(level));
		if (entry & (paging->reserved | paging_reserved(paging, format, level, large))) {
			*error = paging_error(paging, access, X86_PF_PROT | X86_PF_RSVD);
			return PAGING_FAULT;
		}
		if (!top) {
			rights &= entry;
			nx |= entry;
		}
		if (large || level == 1)
			break;
		table = entry & format->address;
	}
	if (paging_key_forbids(paging, access, rights, entry)) {
		*error = paging_error(paging, access, X86_PF_PROT | X86_PF_PK);
		return PAGING_FAULT;
	}
	if (!paging_allows(paging, access, rights, nx)) {
		*error = paging_error(paging, access, X86_PF_PROT);
		return PAGING_FAULT;
	}
	*gpa = paging_leaf(format, entry, level, gva);
	return PAGING_OK;
}

#endif
