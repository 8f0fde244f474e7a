// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow paging: the fault, the roots of vCPUs, INVLPG. docs/mmu.md tells the whole story;
 * this file owns its plot: what is looked up before the lock, what is checked again behind it.
 */
#include <linux/slab.h>
#include <asm/trap_pf.h>

#include "mmu/dirty.h"
#include "mmu/host.h"
#include "mmu/mmu.h"
#include "mmu/shadow.h"

struct fault {
	struct shadow_walk walk;
	unsigned long seq;	/* of mmu, before anything was looked up */
	struct vmm_memory memory;
	gfn_t gfn;
	bool write;
	hpa_t hpa;		/* of the page, but for @device's, until mmu.lock is held */
	bool device;
	bool drivers;		/* a page or memory of a driver's, whose type is to be looked up */
	u8 pat;			/* the memory type is that of this entry */
	bool writable;		/* the page, and the slot */
};

/* ---- what the CPU runs with ---- */

void vmm_shadow_ctrl(const struct vmm_ctrl *guest, struct vmm_ctrl *cpu)
{
	*cpu = *guest;
	cpu->cr0 |= X86_CR0_PG | X86_CR0_WP;
	/* Address-space tags are ours to use; all of the guest's are one. */
	cpu->cr4 &= ~(u64)X86_CR4_PCIDE;
	cpu->efer |= EFER_NX;
	if (!(guest->efer & EFER_LMA)) {
		cpu->cr4 |= X86_CR4_PAE;
		/* With CR0.PG set it would be long mode at once. */
		cpu->efer &= ~(u64)EFER_LME;
	}
	/*
	 * Without paging there is no supervisor page to keep from a user. Keys are long mode's
	 * anyway; CR4.PKE stays for RDPKRU and WRPKRU, which ask for nothing else.
	 */
	if (!(guest->cr0 & X86_CR0_PG))
		cpu->cr4 &= ~(u64)(X86_CR4_SMEP | X86_CR4_SMAP);
}

/* ---- roles ---- */

static bool is_long(const struct vmm_ctrl *ctrl)
{
	return ctrl->efer & EFER_LMA;
}

/* Of the highest pages that are found by key. */
static union shadow_role top_role(const struct vmm_ctrl *ctrl)
{
	union shadow_role role = { .word = 0 };
	const bool paging = ctrl->cr0 & X86_CR0_PG;

	role.rights = RIGHTS_ALL;
	role.wp = !paging || (ctrl->cr0 & X86_CR0_WP);
	role.smep = !role.wp && (ctrl->cr4 & X86_CR4_SMEP);
	role.guarded = !role.wp && ((ctrl->cr4 & X86_CR4_SMAP) ||
				    (is_long(ctrl) && (ctrl->cr4 & X86_CR4_PKE)));
	if (!paging) {
		role.direct = 1;
		role.level = PAE_ROOT_LEVEL - 1;
		return role;
	}
	role.mode = paging_mode(ctrl);
	role.nxe = !!(ctrl->efer & EFER_NX);
	role.level = is_long(ctrl) ? paging_formats[role.mode].levels : PAE_ROOT_LEVEL - 1;
	return role;
}

/* Its top table is read when CR3 is loaded: a walk would find what it has of reserved bits. */
static bool pdpte_valid(u64 pdpte, union shadow_role role)
{
	struct paging paging;

	shadow_paging(&paging, role);
	return (pdpte & PAGING_P) &&
	       !(pdpte & (paging.reserved |
			  paging_reserved(&paging, paging.format, PAGING_PDPT_LEVEL, false)));
}

/* What entry @index of the PAE root points to. @pdpte: the guest's entry there. */
static bool pae_child(const struct vmm_ctrl *ctrl, unsigned int index, u64 pdpte,
		      struct shadow_key *key)
{
	key->role = top_role(ctrl);
	if (key->role.direct) {
		key->gfn = index * vmm_level_frames(PAE_ROOT_LEVEL);
	} else if (key->role.mode == PAGING_PAE) {
		if (!pdpte_valid(pdpte, key->role))
			return false;
		key->gfn = (pdpte & paging_formats[PAGING_PAE].address) >> PAGE_SHIFT;
	} else {
		key->gfn = (ctrl->cr3 & paging_formats[key->role.mode].root) >> PAGE_SHIFT;
		key->role.quadrant = index;
	}
	return true;
}

static bool same_key(const struct shadow_key *a, const struct shadow_key *b)
{
	return a->gfn == b->gfn && a->role.word == b->role.word;
}

/* ---- going down ---- */

/* The link @entry may permit writes, since the page below forbids what it has to. */
static void permit_writes(struct vmm_mmu *mmu, u64 *entry, struct shadow_page *child)
{
	shadow_catch_up(mmu, child);
	/* A PAE root has no such bit. */
	if (shadow_of(entry) && !(*entry & shadow_format.write))
		set_bit(__ffs(shadow_format.write), (unsigned long *)entry);
}

/*
 * Let @entry point to the page of @key. A new way to an old page has no translations
 * in any TLB, which alone would excuse what is out of sync behind it: so that is
 * compared first. Where pages in sync are no better it starts empty, and keeps the links to it,
 * so that an instruction that needs two of them is done in the end. NULL: @walk does not hold
 * any more, the fault must start over.
 */
static struct shadow_page *link_child(struct vmm_vcpu *vcpu, const struct shadow_walk *walk,
				      u64 *entry, const struct shadow_key *key)
{
	struct vmm_mmu *mmu = &vcpu->vm->mmu;
	struct shadow_spare *spare = &vcpu->shadow_mmu->spare;
	struct shadow_page *child;
	bool made;

	if (*entry && shadow_of(entry) && shadow_is_leaf(shadow_of(entry), *entry)) {
		shadow_drop(mmu, entry);
	} else if (*entry) {
		child = shadow_child_of(*entry);
		if (same_key(&child->key, key)) {
			permit_writes(mmu, entry, child);
			return child;
		}
		shadow_drop(mmu, entry);
	}
	child = shadow_get(mmu, key, spare, &made);
	shadow_catch_up(mmu, child);
	if (!made && !child->key.role.direct && shadow_writes_unseen(vcpu->vm))
		shadow_empty(mmu, child);
	if (!made && child->present && !child->key.role.direct && shadow_any_unsync(mmu) &&
	    !(shadow_sync_for_link(vcpu->vm) && shadow_walk_holds(walk)))
		return NULL;
	shadow_link(mmu, entry, child, &spare->pool);
	return child;
}

static unsigned int index_at(gva_t gva, unsigned int level)
{
	return vmm_pte_index(gva >> PAGE_SHIFT, level);
}

static struct shadow_page *pae_page(struct vmm_vcpu *vcpu, const struct shadow_walk *walk)
{
	const unsigned int index = index_at(walk->gva, PAE_ROOT_LEVEL) % PAE_ROOT_ENTRIES;
	const struct vmm_ctrl *ctrl = &vcpu->ctrl;
	struct shadow_key key;
	u64 pdpte = 0;

	if (walk->paging.pdpte)
		pdpte = walk->paging.pdpte[index];
	else if (vmm_pae_paging(ctrl))
		pdpte = shadow_step(walk, PAGING_PDPT_LEVEL);
	if (!pae_child(ctrl, index, pdpte, &key))
		return NULL;
	return link_child(vcpu, walk, &vcpu->shadow_mmu->pae[index], &key);
}

/*
 * CR0.WP clear: a supervisor may write what it may only read. As long as the leaf
 * lets it, users are kept out by making it the supervisor's, which must not let the
 * supervisor execute it where SMEP forbids.
 */
static u8 supervisor_write(const struct shadow_page *sp, const struct fault *fault, u8 rights)
{
	if (!fault->write || sp->key.role.wp || (rights & RIGHT_W) ||
	    (fault->walk.access & VMM_ACCESS_USER))
		return rights;
	if (sp->key.role.smep && (rights & RIGHT_U))
		rights &= ~RIGHT_X;
	return (rights | RIGHT_W) & ~RIGHT_U;
}

/*
 * A write that the guest's CPU allows its supervisor because CR0.WP is clear, and that no leaf
 * can: the user's forbids it, since ours is set, and the supervisor's would be guarded neither
 * by SMAP nor by a protection key when EFLAGS.AC or PKRU changes. Where the user may write
 * it is the key alone that forbids it to a supervisor with CR0.WP.
 */
static bool no_leaf_allows(const struct shadow_page *sp, const struct fault *fault, u8 rights)
{
	const u32 key = rights >> RIGHT_KEY_SHIFT;

	if (!sp->key.role.guarded || !fault->write || !(rights & RIGHT_U) ||
	    (fault->walk.access & VMM_ACCESS_USER))
		return false;
	return !(rights & RIGHT_W) ||
	       (fault->walk.paging.pkru >> (key * PAGING_PKRU_BITS) & PAGING_PKRU_WD);
}

static u64 make_leaf(hpa_t hpa, unsigned int level, u8 rights, bool writable)
{
	return vmm_pte_make_leaf(&shadow_format, hpa, level, writable) |
	       shadow_format.accessed | (rights & RIGHT_U ? _PAGE_USER : 0) |
	       (rights & RIGHT_X ? 0 : _PAGE_NX) |
	       (u64)(rights >> RIGHT_KEY_SHIFT) << PAGING_KEY_SHIFT;
}

/*
 * Does @new take a right away that @old gave, or could it by another key, or by SMEP and
 * SMAP from a supervisor, who must not have what becomes the user's?
 */
static bool takes_away(u64 old, u64 new)
{
	return (old & ~new & _PAGE_RW) || (new & ~old & _PAGE_NX) ||
	       ((old ^ new) & (_PAGE_USER | PAGING_KEY));
}

static void mark_dirty(const struct fault *fault)
{
	if (!fault->device)
		host_mark_dirty(fault->hpa);
	if (fault->memory.log)
		dirty_log_mark(fault->memory.log, fault->gfn - fault->memory.first);
}

/* Of level 1; above it the caller made sure that there is no table. */
static bool may_be_written(struct vmm_mmu *mmu, const struct fault *fault, unsigned int level)
{
	if (level > VMM_LEVEL_4K || !shadow_protected(mmu, fault->gfn))
		return true;
	if (fault->write)
		shadow_unsync(mmu, fault->gfn);
	return fault->write;
}

static enum vmm_fault set_leaf(struct vmm_vcpu *vcpu, struct shadow_page *sp, unsigned int index,
			       const struct fault *fault, u8 rights)
{
	struct shadow_spare *spare = &vcpu->shadow_mmu->spare;
	const unsigned int level = sp->key.role.level;
	const u64 inside = vmm_level_frames(level) - 1;
	const gfn_t gfn = fault->gfn & ~inside;
	struct vmm_mmu *mmu = &vcpu->vm->mmu;
	u64 *entry = &sp->table[index];
	bool writable;
	u64 new;

	if (no_leaf_allows(sp, fault, rights))
		return VMM_FAULT_EMULATE;
	shadow_want_gfns(mmu, sp, spare);
	rights = supervisor_write(sp, fault, rights);
	writable = (rights & RIGHT_W) && fault->writable && may_be_written(mmu, fault, level);
	if (writable)
		mark_dirty(fault);
	new = make_leaf(fault->hpa & ~(inside << PAGE_SHIFT), level, rights, writable);
	if (unlikely(fault->pat))
		new = vmm_pte_retype(&shadow_format, new, fault->pat);
	if (*entry && (!shadow_is_leaf(sp, *entry) || shadow_gfn(sp, index) != gfn ||
		       vmm_pte_address(&shadow_format, *entry ^ new)))
		shadow_drop(mmu, entry);
	if (*entry) {
		if (takes_away(*entry, new))
			mmu->cleared++;
		WRITE_ONCE(*entry, new);
	} else {
		shadow_map(mmu, entry, new, gfn, &spare->pool);
	}
	return VMM_FAULT_FIXED;
}

/*
 * Can one leaf map the region around the fault? @key: the direct page that would map it
 * frame by frame. Tables of the guest are protected frame by frame, and logs kept so.
 */
static bool fits_large(struct vmm_vcpu *vcpu, const struct fault *fault,
		       const struct shadow_key *key)
{
	const struct vmm_memory *memory = &fault->memory;
	const gfn_t first = round_down(fault->gfn, REGION_FRAMES);
	struct vmm_mmu *mmu = &vcpu->vm->mmu;
	struct host_leaf leaf;

	if (key->role.level != VMM_LEVEL_4K || !key->role.direct || memory->log ||
	    fault->device || fault->pat ||
	    ((fault->gfn ^ (memory->hva >> PAGE_SHIFT)) & (REGION_FRAMES - 1)) ||
	    first < memory->first || first + REGION_FRAMES > memory->first + memory->npages)
		return false;
	/* What CR0.WP allows is for single pages, and for the moment. */
	if (fault->write && !(key->role.rights & RIGHT_W))
		return false;
	if (shadow_has_tables(mmu, first) ||
	    !rmap_of(&mmu->shadow->regions, first >> REGION_SHIFT) ||
	    mmu_is_stale(mmu, fault->seq, memory->hva, REGION_FRAMES << PAGE_SHIFT))
		return false;
	host_lookup(vcpu->vm->mm, memory->hva, fault->writable, &leaf);
	return leaf.level >= VMM_LEVEL_2M && leaf.hpa == fault->hpa &&
	       (leaf.writable || !fault->writable);
}

static enum vmm_fault descend(struct vmm_vcpu *vcpu, const struct fault *fault)
{
	const struct shadow_walk *walk = &fault->walk;
	struct shadow_page *sp = vcpu->shadow_mmu->root;
	struct shadow_key key;
	unsigned int index, level;
	u8 rights;
	u64 gpte = 0;

	if (!sp)
		sp = pae_page(vcpu, walk);
	while (sp) {
		level = sp->key.role.level;
		index = index_at(walk->gva, level);
		if (!sp->key.role.direct)
			gpte = shadow_step(walk, level);
		if (level == VMM_LEVEL_4K)
			break;
		if (!shadow_child(sp, index, gpte, &key))
			return VMM_FAULT_RETRY;
		if (fits_large(vcpu, fault, &key))
			return set_leaf(vcpu, sp, index, fault, shadow_direct_rights(key.role));
		sp = link_child(vcpu, walk, &sp->table[index], &key);
	}
	if (!sp)
		return VMM_FAULT_RETRY;
	rights = shadow_direct_rights(sp->key.role);
	if (!sp->key.role.direct) {
		if (!shadow_leaf(sp, gpte, &key.gfn, &rights) || key.gfn != fault->gfn)
			return VMM_FAULT_RETRY;
	}
	return set_leaf(vcpu, sp, index, fault, rights);
}

/* ---- the fault ---- */

static enum vmm_fault no_memory(struct vmm_vcpu *vcpu, int error)
{
	vcpu->fault_errno = error;
	return VMM_FAULT_ERROR;
}

/*
 * What was read may be old: the page, or an entry of the walk. Were a table's page about to
 * be taken from the process, its shadow, zapped for that, would be there again.
 */
static bool is_stale(const struct fault *fault)
{
	const struct vmm_mmu *mmu = &fault->walk.vcpu->vm->mmu;
	unsigned int i;

	if (mmu_is_stale(mmu, fault->seq, fault->memory.hva, PAGE_SIZE))
		return true;
	for (i = 0; mmu->invalidating && i < fault->walk.steps; i++)
		if (mmu_is_stale(mmu, fault->seq, fault->walk.step[i].hva, PAGE_SIZE))
			return true;
	return false;
}

static bool root_is_gone(const struct vmm_vcpu *vcpu)
{
	return vcpu->shadow_mmu->root && vcpu->shadow_mmu->root->invalid;
}

static int prepare_maps(struct vmm_mmu *mmu, gfn_t gfn)
{
	int frames = rmap_prepare(&mmu->shadow->frames, gfn);
	int regions = rmap_prepare(&mmu->shadow->regions, gfn >> REGION_SHIFT);

	atomic_long_add((frames > 0) + (regions > 0), &mmu->aux);
	return frames < 0 || regions < 0 ? -ENOMEM : 0;
}

/* mmu.lock. What the process maps now is what its driver mapped for this fault; see host.h. */
static bool find_drivers(struct fault *fault)
{
	struct host_leaf leaf;

	host_lookup(fault->walk.vcpu->vm->mm, fault->memory.hva, fault->writable, &leaf);
	if (fault->device) {
		fault->hpa = leaf.hpa;
		fault->pat = leaf.pat;
		return host_leaf_permits(&leaf, fault->writable);
	}
	fault->pat = leaf.hpa == fault->hpa ? leaf.pat : 0;
	return true;
}

static enum vmm_fault install(struct vmm_vcpu *vcpu, struct fault *fault)
{
	struct vmm_vm *vm = vcpu->vm;
	struct vmm_mmu *mmu = &vm->mmu;
	enum vmm_fault outcome = VMM_FAULT_RETRY;

	if (prepare_maps(mmu, fault->gfn) || shadow_spare_fill(&vcpu->shadow_mmu->spare) ||
	    (fault->memory.log && dirty_log_prepare(vm, fault->gfn)))
		return no_memory(vcpu, -ENOMEM);
	shadow_recycle(vm);
	write_lock(&mmu->lock);
	if (!is_stale(fault) && !root_is_gone(vcpu) && shadow_walk_holds(&fault->walk) &&
	    (!fault->drivers || find_drivers(fault)))
		outcome = descend(vcpu, fault);
	shadow_unlock(vm);
	return outcome;
}

static enum vmm_fault page_error(struct vmm_vcpu *vcpu, int error)
{
	if (error == -EINTR || error == -EAGAIN || error == -ERESTARTSYS)
		return VMM_FAULT_RETRY;
	return no_memory(vcpu, error);
}

/* The entry that the CPU could not read, or not set a bit in, is not plain memory. */
static enum vmm_fault table_fault(struct vmm_vcpu *vcpu, const struct shadow_step *step,
				  bool write, struct vmm_exit *exit)
{
	struct page *page;
	bool writable;
	int r;

	exit->memory.gpa = step->gpa;
	exit->memory.access = write ? VMM_ACCESS_WRITE : VMM_ACCESS_READ;
	exit->memory.walk = true;
	if (!step->hva || (write && step->readonly))
		return VMM_FAULT_MMIO;
	r = host_get_page(step->hva, write, write, &page, &writable);
	if (r)
		return page_error(vcpu, r);
	host_put_page(page);
	return VMM_FAULT_RETRY;
}

static enum vmm_fault map_page(struct vmm_vcpu *vcpu, struct fault *fault)
{
	enum vmm_fault outcome;
	struct page *page;
	bool may_write;
	int r;

	fault->gfn = fault->walk.gpa >> PAGE_SHIFT;
	fault->write = fault->walk.access & VMM_ACCESS_WRITE;
	if (!vmm_slot_find(vcpu->vm, fault->gfn, &fault->memory))
		return VMM_FAULT_MMIO;
	if (fault->memory.retiring)
		return VMM_FAULT_RETRY;
	may_write = !(fault->memory.flags & VMM_SLOT_READONLY);
	if (fault->write && !may_write)
		return VMM_FAULT_MMIO;
	/* What may be written is in the log: no more than what is. */
	if (fault->memory.log)
		may_write = fault->write;
	r = host_get_page(fault->memory.hva, may_write, fault->write, &page, &fault->writable);
	if (r)
		return page_error(vcpu, r);
	fault->hpa = host_page_hpa(page);
	fault->device = !page;
	fault->drivers = host_page_is_drivers(page);
	outcome = install(vcpu, fault);
	host_put_page(page);
	vmm_mmu_audit(vcpu->vm);
	return outcome;
}

static u32 access_of(u32 error)
{
	u32 access = error & X86_PF_USER ? VMM_ACCESS_USER : 0;

	if (error & X86_PF_WRITE)
		return access | VMM_ACCESS_WRITE;
	return access | (error & X86_PF_INSTR ? VMM_ACCESS_EXEC : VMM_ACCESS_READ);
}

enum vmm_fault vmm_shadow_fault(struct vmm_vcpu *vcpu, struct vmm_exit *exit)
{
	const u32 error = exit->exception.error;
	struct fault fault = {
		.walk.vcpu = vcpu,
		.walk.gva = exit->exception.info,
		.walk.access = access_of(error),
		.seq = READ_ONCE(vcpu->vm->mmu.seq),
	};
	struct shadow_walk *walk = &fault.walk;
	bool implicit;

	/* seq before slots and pages; pairs with slot_retire() in memslot.c. */
	smp_rmb();
	vmm_pull(vcpu, VMM_STATE_CTRL | VMM_STATE_CS);
	if (!is_long(&vcpu->ctrl))
		walk->gva = (u32)walk->gva;
	implicit = !(error & X86_PF_USER) && vmm_cpl(vcpu) == 3;
	switch (shadow_walk(walk, implicit)) {
	case SHADOW_FAULT:
		vmm_queue_page_fault(vcpu, walk->gva, walk->error);
		return VMM_FAULT_GUEST;
	case SHADOW_UNREADABLE:
		return table_fault(vcpu, &walk->step[walk->steps], false, exit);
	case SHADOW_UNWRITABLE:
		return table_fault(vcpu, &walk->step[walk->steps - 1], true, exit);
	case SHADOW_AGAIN:
		return VMM_FAULT_RETRY;
	case SHADOW_OK:
		break;
	}
	exit->memory.gpa = walk->gpa;
	exit->memory.access = walk->access & ~VMM_ACCESS_USER;
	exit->memory.walk = false;
	return map_page(vcpu, &fault);
}

/* ---- roots ---- */

void vmm_mmu_reload(struct vmm_vcpu *vcpu, bool all)
{
	if (vmm_vcpu_nested(vcpu)) {
		vmm_request(vcpu, VMM_REQ_FLUSH);
		return;
	}
	vcpu->shadow_mmu->compare_all |= all;
	vmm_request(vcpu, VMM_REQ_ROOT);
}

/* Keep what of the PAE root is still right: the next faults find the rest. */
static void refresh_pae(struct vmm_vcpu *vcpu, const u64 pdpte[PAE_ROOT_ENTRIES])
{
	struct vmm_mmu *mmu = &vcpu->vm->mmu;
	u64 *pae = vcpu->shadow_mmu->pae;
	struct shadow_key key;
	unsigned int i;

	for (i = 0; i < PAE_ROOT_ENTRIES; i++)
		if (pae[i] && (is_long(&vcpu->ctrl) ||
			       !pae_child(&vcpu->ctrl, i, pdpte[i], &key) ||
			       !same_key(&shadow_child_of(pae[i])->key, &key)))
			shadow_drop(mmu, &pae[i]);
		else if (pae[i])
			shadow_catch_up(mmu, shadow_child_of(pae[i]));
}

static void set_root(struct vmm_vcpu *vcpu, const u64 pdpte[PAE_ROOT_ENTRIES])
{
	struct shadow_vcpu *shadow = vcpu->shadow_mmu;
	const struct vmm_ctrl *ctrl = &vcpu->ctrl;
	struct vmm_mmu *mmu = &vcpu->vm->mmu;
	struct shadow_page *old = shadow->root;
	struct shadow_key key;
	bool made;

	refresh_pae(vcpu, pdpte);
	shadow->root = NULL;
	shadow->hpa = __pa(shadow->pae);
	if (is_long(ctrl)) {
		key.role = top_role(ctrl);
		key.gfn = (ctrl->cr3 & paging_formats[key.role.mode].root) >> PAGE_SHIFT;
		shadow->root = shadow_get(mmu, &key, &shadow->spare, &made);
		shadow->hpa = __pa(shadow->root->table);
		shadow_catch_up(mmu, shadow->root);
		shadow_root_get(shadow->root);
	}
	if (old)
		shadow_root_put(mmu, old);
}

int vmm_mmu_make_root(struct vmm_vcpu *vcpu)
{
	struct shadow_vcpu *shadow = vcpu->shadow_mmu;
	struct vmm_vm *vm = vcpu->vm;
	u64 pdpte[PAE_ROOT_ENTRIES];

	vmm_pull(vcpu, VMM_STATE_CTRL);
	if (shadow_spare_fill(&shadow->spare)) {
		vmm_request(vcpu, VMM_REQ_ROOT);
		return -ENOMEM;
	}
	vmm_get_pdptes(vcpu, pdpte);
	shadow_recycle(vm);
	write_lock(&vm->mmu.lock);
	shadow_sync(vm, shadow->compare_all ? SYNC_ALL : SYNC_WRITTEN);
	shadow->compare_all = false;
	set_root(vcpu, pdpte);
	/* With the flush below. */
	shadow->cleared = vm->mmu.cleared;
	shadow_unlock(vm);
	/* Loaded anew, with a flush, even if it is where the old one was. */
	vcpu->root = VMM_INVALID_HPA;
	vmm_mmu_audit(vm);
	return 0;
}

/* ---- INVLPG ---- */

/* Compare the way to @gva, and drop what is old of it: of a large page all, not a half. */
static void compare_way(struct vmm_vcpu *vcpu, gva_t gva)
{
	struct shadow_page *sp = vcpu->shadow_mmu->root;
	unsigned int index;
	u64 entry;

	if (!sp) {
		index = index_at(gva, PAE_ROOT_LEVEL) % PAE_ROOT_ENTRIES;
		entry = vcpu->shadow_mmu->pae[index];
		sp = entry ? shadow_child_of(entry) : NULL;
	}
	while (sp && !sp->key.role.direct) {
		index = index_at(gva, sp->key.role.level);
		entry = sp->table[index];
		if (shadow_has_halves(sp) && sp->table[index ^ 1])
			shadow_compare_entry(vcpu->vm, sp, index ^ 1);
		if (!entry || !shadow_compare_entry(vcpu->vm, sp, index) ||
		    shadow_is_leaf(sp, entry))
			return;
		sp = shadow_child_of(entry);
	}
}

void vmm_mmu_invlpg(struct vmm_vcpu *vcpu, gva_t gva)
{
	struct vmm_vm *vm = vcpu->vm;
	u64 pdpte[PAE_ROOT_ENTRIES];
	bool behind;

	if (!is_long(&vcpu->ctrl))
		gva = (u32)gva;
	vmm_get_pdptes(vcpu, pdpte);
	write_lock(&vm->mmu.lock);
	/* Paging-structure caches are forgotten for all addresses. */
	shadow_sync(vm, SYNC_ABOVE);
	if (!root_is_gone(vcpu)) {
		refresh_pae(vcpu, pdpte);
		compare_way(vcpu, gva);
	}
	/* The TLB holds what the tables do, but for what was dropped since its last flush. */
	behind = vcpu->shadow_mmu->cleared != vm->mmu.cleared;
	vcpu->shadow_mmu->cleared = vm->mmu.cleared;
	shadow_unlock(vm);
	if (behind)
		vmm_request(vcpu, VMM_REQ_FLUSH);
}

/* ---- the VM ---- */

int shadow_init(struct vmm_vm *vm)
{
	struct shadow_mmu *shadow;

	shadow = kvzalloc(sizeof(*shadow), GFP_KERNEL_ACCOUNT);
	if (!shadow)
		return -ENOMEM;
	INIT_LIST_HEAD(&shadow->active);
	INIT_LIST_HEAD(&shadow->doomed);
	INIT_LIST_HEAD(&shadow->unsync[0]);
	INIT_LIST_HEAD(&shadow->unsync[1]);
	xa_init_flags(&shadow->frames, XA_FLAGS_ACCOUNT);
	xa_init_flags(&shadow->regions, XA_FLAGS_ACCOUNT);
	vm->mmu.shadow = shadow;
	return 0;
}

/* The notifier may still come, until it is unregistered, and finds nothing. */
void shadow_destroy(struct vmm_vm *vm)
{
	struct vmm_mmu *mmu = &vm->mmu;
	struct shadow_mmu *shadow = mmu->shadow;
	unsigned int done = 0;

	write_lock(&mmu->lock);
	while (!list_empty(&shadow->active)) {
		shadow_zap(mmu, list_first_entry(&shadow->active, struct shadow_page, active));
		if (!shadow_zap_enough(mmu, &done))
			continue;
		shadow_unlock(vm);
		cond_resched();
		write_lock(&mmu->lock);
	}
	/* No vCPU is left that could have a TLB. */
	atomic64_set(&mmu->flushed, mmu->cleared);
	shadow_unlock(vm);
}

void shadow_fini(struct vmm_vm *vm)
{
	struct shadow_mmu *shadow = vm->mmu.shadow;

	shadow_forget(vm, 0, ~(gfn_t)0);
	xa_destroy(&shadow->frames);
	xa_destroy(&shadow->regions);
	kvfree(shadow);
}

/* ---- vCPUs ---- */

int vmm_shadow_vcpu_create(struct vmm_vcpu *vcpu)
{
	struct shadow_vcpu *shadow;
	struct page *page;

	vcpu->root_wanted = &vcpu->vm->mmu.root;
	if (vmm_vm_nested(vcpu->vm))
		return 0;
	shadow = kzalloc(sizeof(*shadow), GFP_KERNEL_ACCOUNT);
	/* CR3 has 32 bits outside long mode. */
	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_DMA32);
	if (!shadow || !page) {
		kfree(shadow);
		if (page)
			__free_page(page);
		return -ENOMEM;
	}
	set_page_private(page, 0);
	shadow->pae = page_address(page);
	shadow->hpa = page_to_phys(page);
	vcpu->shadow_mmu = shadow;
	vcpu->root_wanted = &shadow->hpa;
	vmm_request(vcpu, VMM_REQ_ROOT);
	return 0;
}

void vmm_shadow_vcpu_destroy(struct vmm_vcpu *vcpu)
{
	struct shadow_vcpu *shadow = vcpu->shadow_mmu;
	struct vmm_vm *vm = vcpu->vm;
	unsigned int i;

	if (!shadow)
		return;
	write_lock(&vm->mmu.lock);
	for (i = 0; i < PAE_ROOT_ENTRIES; i++)
		if (shadow->pae[i])
			shadow_drop(&vm->mmu, &shadow->pae[i]);
	if (shadow->root)
		shadow_root_put(&vm->mmu, shadow->root);
	shadow_unlock(vm);
	shadow_spare_drain(&shadow->spare);
	free_page((unsigned long)shadow->pae);
	kfree(shadow);
	vcpu->shadow_mmu = NULL;
}
