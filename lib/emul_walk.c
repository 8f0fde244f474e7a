// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Accessed and dirty bits. The kernel's VMM_TRANSLATE decides whether an access is
 * allowed and where it goes, but leaves the guest's tables alone; a guest that
 * never sees its pages dirty would drop them. So the walk is made a second time
 * here, to set the bits and nothing else.
 *
 * Another vCPU may change the tables in between: each entry is changed only while
 * it holds what was read, and the walk must end at the address that was
 * translated, else the caller starts over.
 */
#include <errno.h>

#include "emul.h"

#define PTE_PRESENT	(1ull << 0)
#define PTE_ACCESSED	(1ull << 5)
#define PTE_DIRTY	(1ull << 6)
#define PTE_LARGE	(1ull << 7)
#define PTE_ADDRESS	0x000ffffffffff000ull

/* What a paging mode looks like from CR3, or for PAE from a PDPTE, downwards. */
struct format {
	unsigned int levels;
	unsigned int entry;		/* bytes */
	unsigned int index_bits;
	unsigned int large_levels;	/* bit n: level n may map a large page */
};

static struct format format_of(const struct vmm_ctrl *ctrl)
{
	if (ctrl->efer & EMUL_EFER_LMA)
		return (struct format) { ctrl->cr4 & EMUL_CR4_LA57 ? 5 : 4, 8, 9, 0xc };
	if (ctrl->cr4 & EMUL_CR4_PAE)
		return (struct format) { 2, 8, 9, 0x4 };
	return (struct format) { 2, 4, 10, ctrl->cr4 & EMUL_CR4_PSE ? 0x4 : 0 };
}

static uint64_t root_of(const struct vmm_ctrl *ctrl, uint64_t gva)
{
	if (ctrl->efer & EMUL_EFER_LMA)
		return ctrl->cr3 & PTE_ADDRESS;
	if (ctrl->cr4 & EMUL_CR4_PAE)
		return ctrl->pdpte[(gva >> 30) & 3] & PTE_ADDRESS;
	return ctrl->cr3 & PTE_ADDRESS & UINT32_MAX;
}

/* The address in a large page's entry; 32-bit paging keeps high bits at 13 to 20. */
static uint64_t leaf_address(const struct format *f, uint64_t entry, unsigned int shift)
{
	uint64_t address = entry & PTE_ADDRESS & ~((1ull << shift) - 1);

	if (f->entry == 4 && shift > 12)
		address |= (entry >> 13 & 0xff) << 32;
	return address;
}

static int mark(const struct emul_env *env, void *data, uint64_t place, uint64_t entry,
		uint64_t bits, unsigned int size)
{
	uint64_t marked = entry | bits;

	/* Tables in read-only memory cannot be marked, and need not be. */
	if (marked != entry && !env->ram_replace(data, place, &entry, &marked, size))
		return -EAGAIN;
	return 0;
}

int emul_mark_accessed(const struct emul_env *env, void *data, const struct vmm_ctrl *ctrl,
		       uint64_t gva, bool write, uint64_t gpa)
{
	const struct format f = format_of(ctrl);
	uint64_t table = root_of(ctrl, gva);
	unsigned int level;

	if (!(ctrl->cr0 & EMUL_CR0_PG))
		return 0;
	for (level = f.levels; ; level--) {
		unsigned int shift = 12 + f.index_bits * (level - 1);
		uint64_t within = (1ull << shift) - 1, entry = 0;
		uint64_t place = table + ((gva >> shift) & ((1u << f.index_bits) - 1)) * f.entry;
		bool leaf;

		if (env->ram_read(data, place, &entry, f.entry) < 0 || !(entry & PTE_PRESENT))
			return -EAGAIN;
		leaf = level == 1 || ((entry & PTE_LARGE) && (f.large_levels & 1u << level));
		if (!leaf) {
			if (mark(env, data, place, entry, PTE_ACCESSED, f.entry) < 0)
				return -EAGAIN;
			table = entry & PTE_ADDRESS;
			continue;
		}
		if ((leaf_address(&f, entry, shift) | (gva & within)) != gpa)
			return -EAGAIN;
		return mark(env, data, place, entry,
			    PTE_ACCESSED | (write ? PTE_DIRTY : 0), f.entry);
	}
}
