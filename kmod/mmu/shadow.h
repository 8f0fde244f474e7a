/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow paging: what its files share. docs/mmu.md tells how it works; all
 * functions need mmu.lock held for writing unless said otherwise.
 */
#ifndef VMM_MMU_SHADOW_H
#define VMM_MMU_SHADOW_H

#include "mmu/paging.h"
#include "mmu/rmap.h"

/* What a translation grants beside reading. */
#define RIGHT_W		1
#define RIGHT_U		2
#define RIGHT_X		4
#define RIGHTS_ALL	(RIGHT_W | RIGHT_U | RIGHT_X)
/* With those of a leaf is, above them, the protection key of the guest's. */
#define RIGHT_KEY_SHIFT	3

/* The entries of guests whose CPU walks a PAE table are below this level. */
#define PAE_ROOT_LEVEL	3
#define PAE_ROOT_ENTRIES 4

/*
 * All that tells shadow pages of one frame apart, and all that the meaning of
 * their entries depends on.
 * @level: 1: entries map 4 KiB
 * @direct: no table of the guest is behind it
 * @mode: enum paging_mode of the table; 0 if direct
 * @quadrant: which part of a table of 1024 entries
 * @rights: RIGHT_*, what the levels above grant
 * @wp: CR0.WP; without it @smep and @guarded, else 0
 * @smep: CR4.SMEP
 * @guarded: CR4.SMAP, or protection keys that are in force
 * @nxe: EFER.NXE; 0 if direct
 * @dirty: direct, without @wp: the guest's entry is, so that what @rights forbid a
 *	supervisor may have written
 * @key: direct: the protection key of the guest's entry
 */
union shadow_role {
	u32 word;
	struct {
		u32 level : 3;
		u32 direct : 1;
		u32 mode : 3;
		u32 quadrant : 2;
		u32 rights : 3;
		u32 wp : 1;
		u32 smep : 1;
		u32 guarded : 1;
		u32 nxe : 1;
		u32 dirty : 1;
		u32 key : 4;
	};
};

struct shadow_key {
	gfn_t gfn;		/* of the guest's table; direct: first that is mapped */
	union shadow_role role;
};

struct shadow_page {
	struct shadow_key key;	/* (c) */
	unsigned long epoch;	/* (m) of shadow_mmu when its entries were protected last */
	u64 compared;		/* (m) shadow_mmu.comparison that it was part of last */
	bool unsync;		/* (m) the guest can write the table */
	bool invalid;		/* (m) zapped, kept for the vCPUs that use it as root */
	unsigned int present;	/* (m) entries that are */
	unsigned int users;	/* (m) vCPUs whose root it is */
	u64 *table;		/* (c) the page that the CPU walks */
	gfn_t *gfns;		/* (m) indirect: what each leaf maps; NULL before the first */
	struct rmap parents;	/* (m) entries that point here */
	struct hlist_node hash;
	struct list_head active;	/* (m) or among the doomed */
	struct list_head written;	/* (m) on shadow_mmu.unsync if it is */
};

#define SHADOW_HASH_BITS	10

/* A region: the frames that a leaf of 2 MiB maps. */
#define REGION_SHIFT		VMM_PTE_INDEX_BITS
#define REGION_FRAMES		BIT(REGION_SHIFT)
#define REGION_HASH_BITS	12

struct shadow_mmu {
	struct hlist_head hash[BIT(SHADOW_HASH_BITS)];	/* (m) by frame */
	struct list_head active;	/* (m) looked up last comes first */
	struct list_head doomed;	/* (m) to be freed after a flush */
	struct list_head unsync[2];	/* (m) of the lowest level, and above it */
	unsigned long nr_unsync[2];	/* (m) on those lists */
	u64 unseen;			/* (m) how often tables in sync may have been written */
	u64 seen;			/* (m) how many of these all was compared after */
	u64 comparison;			/* (m) counts those of pages in sync */
	unsigned long count;		/* (m) on active */
	unsigned long epoch;		/* (m) how often all was write-protected */
	bool roots_gone;		/* (m) vCPUs have to be told, by shadow_unlock() */
	struct xarray frames;		/* maps of frames: mmu/rmap.h */
	struct xarray regions;		/* the same of regions, by number: large leaves */
	u32 tables[BIT(REGION_HASH_BITS)];	/* (m) indirect pages, by hash of their region */
};

/* What one fault may need, allocated before mmu.lock is taken. */
#define SPARE_PAGES	(PAGING_MAX_LEVELS)
#define SPARE_TABLES	(PAGING_MAX_LEVELS + 2)	/* the two lowest levels take two each */

struct shadow_spare {
	struct shadow_page *page[SPARE_PAGES];
	void *table[SPARE_TABLES];
	unsigned int pages;
	unsigned int tables;
	struct rmap_pool pool;
};

/* A vCPU's part. */
struct shadow_vcpu {
	hpa_t hpa;		/* (t) of the root in force */
	struct shadow_page *root;	/* (m) NULL: the PAE root */
	u64 *pae;		/* (c) the PAE root's page, (m) its entries */
	u64 cleared;		/* (m) of vmm_mmu: what this vCPU's TLB does not lag behind */
	bool compare_all;	/* (t) before the next entry */
	struct shadow_spare spare;	/* (t) */
};

/* ---- shadow_page.c ---- */

/* The host's own format. */
extern const struct vmm_pte_format shadow_format;

int shadow_spare_fill(struct shadow_spare *spare);	/* [sleep], no lock. -ENOMEM */
void shadow_spare_drain(struct shadow_spare *spare);	/* no lock */

/*
 * Entries of @sp, if it was not used since all was write-protected, forbid writes from
 * now on: before an entry that permits them, or a root, leads there.
 */
void shadow_catch_up(struct vmm_mmu *mmu, struct shadow_page *sp);

struct shadow_page *shadow_find(struct vmm_mmu *mmu, const struct shadow_key *key);
/* Find or make it; @spare is full. *@made: it is new, and out of sync. */
struct shadow_page *shadow_get(struct vmm_mmu *mmu, const struct shadow_key *key,
			       struct shadow_spare *spare, bool *made);
/* The page whose table @entry is in; NULL: a PAE root. */
struct shadow_page *shadow_of(const u64 *entry);
/* Does @entry of @sp map memory? Else, if it is present, it is a link. */
static inline bool shadow_is_leaf(const struct shadow_page *sp, u64 pte)
{
	return vmm_pte_is_leaf(&shadow_format, pte, sp->key.role.level);
}

/* The page that the link @pte points to. */
struct shadow_page *shadow_child_of(u64 pte);
/* @entry is absent: let it point to @child; to @hpa, which is @gfn. */
void shadow_link(struct vmm_mmu *mmu, u64 *entry, struct shadow_page *child,
		 struct rmap_pool *pool);
void shadow_map(struct vmm_mmu *mmu, u64 *entry, u64 pte, gfn_t gfn, struct rmap_pool *pool);
/* @sp is about to have leaves; @spare is full. */
void shadow_want_gfns(struct vmm_mmu *mmu, struct shadow_page *sp, struct shadow_spare *spare);
/* Could there be a table of the guest's with a shadow in the region of @gfn? */
bool shadow_has_tables(struct vmm_mmu *mmu, gfn_t gfn);
/*
 * Make a present entry absent. A direct page below that has no parent left is the next to
 * be recycled: to zap it here, and all below it, would take as long as a GiB has frames.
 */
void shadow_drop(struct vmm_mmu *mmu, u64 *entry);
/* The same for all entries that map a frame, of which @rmap is the map. */
void shadow_drop_all(struct vmm_mmu *mmu, struct rmap *rmap);
gfn_t shadow_gfn(const struct shadow_page *sp, unsigned int index);	/* of a leaf */
void shadow_empty(struct vmm_mmu *mmu, struct shadow_page *sp);	/* drop all entries */
/* Empty it, unlink it, doom it. */
void shadow_zap(struct vmm_mmu *mmu, struct shadow_page *sp);
/* vCPUs come and go as users of a root. */
void shadow_root_get(struct shadow_page *sp);
void shadow_root_put(struct vmm_mmu *mmu, struct shadow_page *sp);
/* Zap the ones not used for longest until a fault has room. */
void shadow_recycle(struct vmm_vm *vm);
/* Zap up to @max of those, fewer when the host wants the CPU; returns how many. No lock. */
unsigned int shadow_reclaim(struct vmm_vm *vm, unsigned int max);
/* Drop the lock; then tell vCPUs of roots that are gone, flush, free what was doomed. */
void shadow_unlock(struct vmm_vm *vm) __releases(&vm->mmu.lock);
void shadow_free(struct list_head *doomed);	/* no lock; TLBs were flushed */

/*
 * Nothing maps frames [@first, @last), nor will anything while this runs: give back the memory
 * of their reverse maps. [sleep], no lock.
 */
void shadow_forget(struct vmm_vm *vm, gfn_t first, gfn_t last);

/* The pages that shadow the table in frame @gfn, one by one; @after: NULL for the first. */
struct shadow_page *shadow_next(struct vmm_mmu *mmu, gfn_t gfn, const struct shadow_page *after);

/* ---- shadow_walk.c ---- */

struct shadow_step {
	gpa_t gpa;
	hva_t hva;
	u64 entry;		/* accessed and dirty bits as they are now */
	bool readonly;		/* the slot */
};

/* A walk of the guest's tables for one access. */
struct shadow_walk {
	struct vmm_vcpu *vcpu;
	gva_t gva;
	u32 access;		/* VMM_ACCESS_* */
	struct paging paging;
	unsigned int top;	/* level of step[0] */
	unsigned int steps;
	struct shadow_step step[PAGING_MAX_LEVELS];
	bool retiring;		/* a table is in a slot about to go */
	gpa_t gpa;		/* that @gva is at */
	u32 error;		/* SHADOW_FAULT: for the guest */
};

enum shadow_outcome {
	SHADOW_OK,
	SHADOW_FAULT,		/* #PF */
	SHADOW_UNREADABLE,	/* the last step's entry is not in readable memory */
	SHADOW_UNWRITABLE,	/* step[steps - 1]'s accessed or dirty bit cannot be set */
	SHADOW_AGAIN,		/* an entry changed meanwhile, or its slot goes */
};

/* [sleep], no lock. @walk: vcpu, gva and access are set. Needs CTRL, CS, REGS. */
enum shadow_outcome shadow_walk(struct shadow_walk *walk, bool implicit);
/* Are all entries still as they were? Does not sleep. */
bool shadow_walk_holds(const struct shadow_walk *walk);
/* The entry of @level. */
static inline u64 shadow_step(const struct shadow_walk *walk, unsigned int level)
{
	return walk->step[walk->top - level].entry;
}

/* A walk's settings for tables of @role; no lock. */
void shadow_paging(struct paging *paging, union shadow_role role);
/* What the present guest entry @gpte grants at the level of @sp. */
bool shadow_gpte_valid(const struct shadow_page *sp, u64 gpte, bool *large);
/*
 * What entry @index of @sp has to point to, by the guest's entry @gpte (of
 * indirect pages); false: it may point nowhere.
 */
bool shadow_child(const struct shadow_page *sp, unsigned int index, u64 gpte,
		  struct shadow_key *key);
/* What a leaf of a direct page may grant, RIGHT_*. */
static inline u8 shadow_direct_rights(union shadow_role role)
{
	return role.rights | role.key << RIGHT_KEY_SHIFT;
}

/* For level 1: frame and RIGHT_* that the guest's entry @gpte grants in all. */
bool shadow_leaf(const struct shadow_page *sp, u64 gpte, gfn_t *gfn, u8 *rights);
/* Where in the table's frame the guest's entry is that entry @index of @sp shadows. */
static __always_inline unsigned int shadow_gpte_offset(const struct shadow_page *sp,
						       unsigned int index)
{
	const union shadow_role role = sp->key.role;

	if (paging_formats[role.mode].entry_shift == 3)
		return index * sizeof(u64);
	index += role.quadrant * VMM_PTES;
	return (role.level == VMM_LEVEL_4K ? index : index / 2) * sizeof(u32);
}

/* ---- shadow_sync.c ---- */

/* Is there a page in sync for @gfn, so that the guest must not write there? */
bool shadow_protected(struct vmm_mmu *mmu, gfn_t gfn);
/* Let the next write through the leaves of @rmap, or NULL, be a fault. Counts in mmu.cleared. */
void shadow_protect_leaves(struct vmm_mmu *mmu, const struct rmap *rmap);
/* @sp is out of sync from now on; in sync, or going. */
void shadow_list_unsync(struct vmm_mmu *mmu, struct shadow_page *sp);
void shadow_unlist_unsync(struct vmm_mmu *mmu, struct shadow_page *sp);
/* The guest is about to write @gfn. */
void shadow_unsync(struct vmm_mmu *mmu, gfn_t gfn);

/*
 * Could a table have been written behind a page that is in sync? By the guest, through
 * another frame of a slot on the same memory, or by the process that emulated an instruction.
 */
bool shadow_writes_unseen(struct vmm_vm *vm);
/* Could a page be out of sync? Those without entries are not. */
bool shadow_any_unsync(struct vmm_mmu *mmu);

enum shadow_sync {
	SYNC_ABOVE,		/* pages above the lowest level that may be written */
	SYNC_WRITTEN,		/* all pages that may be written */
	SYNC_ALL,		/* and those in sync */
};

/*
 * Compare with the guest's tables as they are now, or later. [sleep], current->mm ==
 * vm->mm. The lock is dropped between two batches when the host wants it or the CPU.
 */
void shadow_sync(struct vmm_vm *vm, enum shadow_sync which);
/*
 * The same for all pages out of sync, in one hold of the lock, and no page is freed. False:
 * there are too many for that, and some are done. IRQs on, current->mm == vm->mm.
 */
bool shadow_sync_for_link(struct vmm_vm *vm);
/* Compare one entry, present. False: it was dropped. */
bool shadow_compare_entry(struct vmm_vm *vm, struct shadow_page *sp, unsigned int index);
/* Is entry @index ^ 1 of @sp the other half of what the guest has as one entry? */
static inline bool shadow_has_halves(const struct shadow_page *sp)
{
	return !sp->key.role.direct && sp->key.role.level > VMM_LEVEL_4K &&
	       paging_formats[sp->key.role.mode].entry_shift == 2;
}

/* ---- shadow.c, for mmu.c and notifier.c ---- */

int shadow_init(struct vmm_vm *vm);
void shadow_destroy(struct vmm_vm *vm);
void shadow_fini(struct vmm_vm *vm);	/* no notifier comes any more */

/* ---- shadow_range.c ---- */

/* Frames [@first, @last), and how far the zap has come. */
struct shadow_range {
	gfn_t first;
	gfn_t last;
	gfn_t tables;		/* frames, or buckets, whose tables are gone; starts as 0 */
};

/* Counts in *@done what was dropped: true when the host wants the CPU or the lock. */
bool shadow_zap_enough(struct vmm_mmu *mmu, unsigned int *done);
/*
 * Drop what maps @range, and pages that shadow tables there. False: the host wants the CPU
 * or the lock; to go on, call it again with the lock dropped between.
 */
bool shadow_zap_range(struct vmm_mmu *mmu, struct shadow_range *range);
/* Let the next write to frames [@first, @last) be a fault. */
void shadow_protect(struct vmm_mmu *mmu, gfn_t first, gfn_t last);
/* The next write to any frame, once all vCPUs have looked for their roots. */
void shadow_protect_all(struct vmm_mmu *mmu);
/* As tdp_age(). mmu.lock, also for reading. */
bool shadow_age(struct vmm_mmu *mmu, gfn_t first, gfn_t last, bool clear);

#endif
