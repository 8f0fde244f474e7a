// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's tables as shadow paging reads them: the walk of a fault, which also
 * sets accessed and dirty bits as the CPU would, and the meaning of single entries.
 * Tables are reached through the process's addresses; no lock is needed.
 */
#include <linux/uaccess.h>

#include "mmu/guest.h"
#include "mmu/shadow.h"

#define PAGING_D	BIT_ULL(6)

/* ---- the walk ---- */

static bool read_step(void *context, u64 gpa, unsigned int shift, u64 *entry)
{
	struct shadow_walk *walk = context;
	struct shadow_step *step = &walk->step[walk->steps];
	struct vmm_memory memory;
	bool ok;

	step->gpa = gpa;
	step->hva = 0;
	if (!vmm_slot_find(walk->vcpu->vm, gpa >> PAGE_SHIFT, &memory))
		return false;
	step->hva = memory.hva + offset_in_page(gpa);
	step->readonly = memory.flags & VMM_SLOT_READONLY;
	/* What it holds must not get into a table: the slot's pages were zapped already. */
	walk->retiring |= memory.retiring;
	/* A page that is not there is waited for by table_fault(), which signals end. */
	pagefault_disable();
	ok = guest_entry_read(step->hva, shift, &step->entry);
	pagefault_enable();
	if (!ok)
		return false;
	walk->steps++;
	*entry = step->entry;
	return true;
}

static int exchange(struct vmm_vm *vm, const struct shadow_step *step, unsigned int shift, u64 new)
{
	u64 old = step->entry;
	u32 narrow = old;
	int r;

	pagefault_disable();
	if (shift == 3)
		r = guest_entry_cmpxchg64(step->hva, &old, new);
	else
		r = guest_entry_cmpxchg32(step->hva, &narrow, new);
	pagefault_enable();
	if (!r)
		vmm_dirty_mark(vm, step->gpa >> PAGE_SHIFT);
	return r;
}

/* Bits that the CPU sets for this access in the entry of @level. */
static u64 used_bits(const struct shadow_walk *walk, unsigned int level, bool last)
{
	if (walk->paging.format->pae_top && level == PAGING_PDPT_LEVEL)
		return 0;
	return PAGING_A | (last && (walk->access & VMM_ACCESS_WRITE) ? PAGING_D : 0);
}

static enum shadow_outcome set_used(struct shadow_walk *walk)
{
	unsigned int i;

	for (i = 0; i < walk->steps; i++) {
		struct shadow_step *step = &walk->step[i];
		u64 new = step->entry | used_bits(walk, walk->top - i, i == walk->steps - 1);
		int r;

		if (new == step->entry)
			continue;
		r = step->readonly ? -EFAULT :
				     exchange(walk->vcpu->vm, step,
					      walk->paging.format->entry_shift, new);
		if (r > 0)
			return SHADOW_AGAIN;
		if (r < 0) {
			walk->steps = i + 1;
			return SHADOW_UNWRITABLE;
		}
		step->entry = new;
	}
	return SHADOW_OK;
}

/* @implicit: an access of the CPU's own to a system table, by a program at CPL 3. */
enum shadow_outcome shadow_walk(struct shadow_walk *walk, bool implicit)
{
	const struct vmm_vcpu *vcpu = walk->vcpu;
	const u64 rflags = vcpu->regs.rflags & ~(implicit ? (u64)X86_EFLAGS_AC : 0);
	const struct paging_format *format;

	walk->steps = 0;
	walk->retiring = false;
	paging_setup(&walk->paging, &vcpu->ctrl, rflags, vmm_fpu_pkru(vcpu), guest_machine());
	format = walk->paging.format;
	if (!format) {
		walk->gpa = walk->gva;
		return SHADOW_OK;
	}
	walk->top = format->levels - (walk->paging.pdpte ? 1 : 0);
	switch (paging_walk(&walk->paging, format, walk->gva, walk->access, read_step, walk,
			    &walk->gpa, &walk->error)) {
	case PAGING_OK:
		return walk->retiring ? SHADOW_AGAIN : set_used(walk);
	case PAGING_FAULT:
		return SHADOW_FAULT;
	default:
		return SHADOW_UNREADABLE;
	}
}

bool shadow_walk_holds(const struct shadow_walk *walk)
{
	bool holds = true;
	unsigned int i;
	u64 now;

	pagefault_disable();
	for (i = 0; i < walk->steps && holds; i++)
		holds = guest_entry_read(walk->step[i].hva, walk->paging.format->entry_shift,
					 &now) && now == walk->step[i].entry;
	pagefault_enable();
	return holds;
}

/* ---- entries ---- */

void shadow_paging(struct paging *paging, union shadow_role role)
{
	const struct vmm_ctrl ctrl = { .efer = role.nxe ? EFER_NX : 0 };

	paging_setup_as(paging, &paging_formats[role.mode], &ctrl, 0, 0, guest_machine());
}

/* Could the CPU use @gpte of the table behind @sp without setting a bit in it? */
bool shadow_gpte_valid(const struct shadow_page *sp, u64 gpte, bool *large)
{
	const unsigned int level = sp->key.role.level;
	struct paging paging;

	shadow_paging(&paging, sp->key.role);
	*large = (gpte & PAGING_PS) && (paging.large & BIT(level));
	return (gpte & PAGING_P) && (gpte & PAGING_A) &&
	       !(gpte & (paging.reserved |
			 paging_reserved(&paging, paging.format, level, *large)));
}

static u8 rights_of(u64 gpte, bool leaf)
{
	u8 rights = (gpte & PAGING_US ? RIGHT_U : 0) | (gpte & PAGING_NX ? 0 : RIGHT_X);

	/* The first write has to set the dirty bit. */
	if ((gpte & PAGING_RW) && (!leaf || (gpte & PAGING_D)))
		rights |= RIGHT_W;
	return rights;
}

/* Other formats have no bits there, or reserve them. */
static u8 key_of(u64 gpte)
{
	return (gpte & PAGING_KEY) >> PAGING_KEY_SHIFT;
}

static bool is_wide(const struct shadow_page *sp)
{
	return paging_formats[sp->key.role.mode].entry_shift == 2;
}

bool shadow_child(const struct shadow_page *sp, unsigned int index, u64 gpte,
		  struct shadow_key *key)
{
	const unsigned int level = sp->key.role.level;
	const struct paging_format *format = &paging_formats[sp->key.role.mode];
	bool large;

	key->role = sp->key.role;
	key->role.level--;
	key->role.quadrant = 0;
	if (sp->key.role.direct) {
		key->gfn = sp->key.gfn + index * vmm_level_frames(level);
		return true;
	}
	if (!shadow_gpte_valid(sp, gpte, &large))
		return false;
	key->role.rights &= rights_of(gpte, large);
	if (large) {
		key->gfn = paging_leaf(format, gpte, level, 0) >> PAGE_SHIFT;
		/* An entry of two levels of 1024 takes two of ours: its other half. */
		if (is_wide(sp) && (index & 1))
			key->gfn += vmm_level_frames(level);
		key->role.direct = 1;
		key->role.mode = 0;
		key->role.nxe = 0;
		key->role.dirty = !key->role.wp && (gpte & PAGING_D);
		key->role.key = key_of(gpte);
	} else {
		key->gfn = (gpte & format->address) >> PAGE_SHIFT;
		if (is_wide(sp))
			key->role.quadrant = index & 1;
	}
	return true;
}

bool shadow_leaf(const struct shadow_page *sp, u64 gpte, gfn_t *gfn, u8 *rights)
{
	bool large;

	if (!shadow_gpte_valid(sp, gpte, &large))
		return false;
	*gfn = (gpte & paging_formats[sp->key.role.mode].address) >> PAGE_SHIFT;
	*rights = (sp->key.role.rights & rights_of(gpte, true)) | key_of(gpte) << RIGHT_KEY_SHIFT;
	return true;
}
