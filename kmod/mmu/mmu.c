// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest-physical memory of a VM: the root of its nested table, the fault that
 * fills it, the zap that empties it. The table itself is tdp.c's, the process's
 * pages are host.c's, and notifier.c hears when those change.
 *
 * A fault looks everything up without a lock and then, under mmu.lock, asks
 * whether an invalidation ended since or is under way: if so, what it knows may
 * be old, and the guest faults again. So nothing is ever mapped that belongs to
 * no slot, or that is not in the process's page table at that moment.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "mmu/dirty.h"
#include "mmu/host.h"
#include "mmu/mmu.h"
#include "mmu/shadow.h"

unsigned int vmm_mmu_phys_bits(void)
{
	if (!vmm_caps.nested)
		return boot_cpu_data.x86_phys_bits;
	return min_t(unsigned int, boot_cpu_data.x86_phys_bits,
		     PAGE_SHIFT + vmm_caps.levels * VMM_PTE_INDEX_BITS);
}

int vmm_mmu_init(struct vmm_vm *vm, bool shadow)
{
	struct vmm_mmu *mmu = &vm->mmu;
	int r;

	rwlock_init(&mmu->lock);
	spin_lock_init(&mmu->push_lock);
	mmu->root = VMM_INVALID_HPA;
	if (vmm_caps.nested && !shadow) {
		if (WARN_ON_ONCE(!vmm_caps.nested_format || vmm_caps.levels > VMM_MAX_LEVELS ||
				 !vmm_pte_format_valid(vmm_caps.nested_format)))
			return -EOPNOTSUPP;
	} else {
		r = shadow_init(vm);
		if (r)
			return r;
	}
	r = vmm_reclaim_add(vm);
	if (r)
		goto out_shadow;
	r = vmm_notifier_register(vm);
	if (r)
		goto out_reclaim;
	return 0;

out_reclaim:
	vmm_reclaim_remove(vm);
out_shadow:
	if (mmu->shadow)
		shadow_fini(vm);
	return r;
}

void vmm_mmu_destroy(struct vmm_vm *vm)
{
	struct vmm_mmu *mmu = &vm->mmu;
	LIST_HEAD(free);

	if (mmu->shadow) {
		shadow_destroy(vm);
		return;
	}
	write_lock(&mmu->lock);
	tdp_zap_root(mmu, &free);
	/* No vCPU is left that could have a TLB. */
	atomic64_set(&mmu->flushed, mmu->cleared);
	write_unlock(&mmu->lock);
	tdp_free(mmu, &free, true);
}

int vmm_mmu_alloc_root(struct vmm_vm *vm)
{
	struct vmm_mmu *mmu = &vm->mmu;
	struct tdp_spare spare = { .want = 1 };
	int r;

	if (READ_ONCE(mmu->root) != VMM_INVALID_HPA || mmu->shadow)
		return 0;
	r = tdp_spare_fill(&spare);
	if (r)
		return r;
	write_lock(&mmu->lock);
	if (mmu->root == VMM_INVALID_HPA) {
		atomic_long_inc(&mmu->pages);
		WRITE_ONCE(mmu->root, page_to_phys(spare.page[--spare.count]));
	}
	write_unlock(&mmu->lock);
	tdp_spare_free(&spare);
	return 0;
}

void vmm_mmu_load(struct vmm_vcpu *vcpu)
{
	hpa_t root = READ_ONCE(*vcpu->root_wanted);

	if (likely(vcpu->root == root))
		return;
	vcpu->root = root;
	vmm_ops->load_root(vcpu, root);
	vmm_ops->flush_tlb(vcpu, VMM_FLUSH_ALL, 0);
}

/* ---- zap ---- */

/*
 * A zap that finds its range empty must not return while another one, which
 * emptied it, has still to flush. So entries made absent are counted, and a flush
 * is done unless one that covers the count so far has ended.
 */
static void flush(struct vmm_vm *vm, s64 cleared)
{
	struct vmm_mmu *mmu = &vm->mmu;
	s64 flushed;

	flushed = atomic64_read(&mmu->flushed);
	if (flushed >= cleared)
		return;
	vmm_vm_request(vm, VMM_REQ_FLUSH);
	while (flushed < cleared)
		if (atomic64_try_cmpxchg(&mmu->flushed, &flushed, cleared))
			break;
}

void vmm_mmu_flush_locked(struct vmm_vm *vm)
{
	lockdep_assert_held_write(&vm->mmu.lock);
	flush(vm, vm->mmu.cleared);
}

void vmm_mmu_flush(struct vmm_vm *vm)
{
	s64 cleared;

	read_lock(&vm->mmu.lock);
	cleared = vm->mmu.cleared;
	read_unlock(&vm->mmu.lock);
	flush(vm, cleared);
}

void mmu_zap_unlock(struct vmm_vm *vm, gfn_t first, gfn_t last, bool may_sleep)
	__releases(&vm->mmu.lock)
{
	struct shadow_range range = { .first = first, .last = last };
	struct vmm_mmu *mmu = &vm->mmu;
	LIST_HEAD(free);

	if (mmu->shadow) {
		while (!shadow_zap_range(mmu, &range)) {
			shadow_unlock(vm);
			if (may_sleep)
				cond_resched();
			write_lock(&mmu->lock);
		}
		shadow_unlock(vm);
		vmm_mmu_flush(vm);
		return;
	}
	tdp_zap(mmu, first, last, &free);
	write_unlock(&mmu->lock);
	vmm_mmu_flush(vm);
	tdp_free(mmu, &free, may_sleep);
}

bool mmu_age(struct vmm_mmu *mmu, gfn_t first, gfn_t last, bool clear)
{
	if (mmu->shadow)
		return shadow_age(mmu, first, last, clear);
	return tdp_age(mmu, first, last, clear);
}

void vmm_mmu_zap(struct vmm_vm *vm, gfn_t first, gfn_t last)
{
	might_sleep();
	write_lock(&vm->mmu.lock);
	vm->mmu.seq++;
	mmu_zap_unlock(vm, first, last, true);
	/* With shadow paging it is a slot that goes, whose frames no fault maps meanwhile. */
	if (vm->mmu.shadow)
		shadow_forget(vm, first, last);
}

void mmu_watch(struct vmm_mmu *mmu, gfn_t first, gfn_t last)
{
	if (mmu->shadow)
		shadow_protect(mmu, first, last);
	else
		tdp_watch(mmu, first, last);
}

void vmm_mmu_protect(struct vmm_vm *vm, gfn_t first, gfn_t last, struct vmm_slots *slots)
{
	struct vmm_mmu *mmu = &vm->mmu;

	might_sleep();
	write_lock(&mmu->lock);
	rcu_assign_pointer(vm->slots, slots);
	/* A fault that found the slot as it was before starts over. */
	smp_wmb();
	mmu->seq++;
	if (mmu->shadow)
		shadow_protect_all(mmu);
	else
		tdp_protect(mmu, first, last);
	write_unlock(&mmu->lock);
	/* With shadow paging it is the roots that are protected, before the next entry. */
	if (mmu->shadow)
		vmm_vm_request(vm, VMM_REQ_ROOT);
	vmm_mmu_flush(vm);
}

/* ---- fault ---- */

struct fault {
	struct vmm_vm *vm;
	gfn_t gfn;
	bool write;
	unsigned long seq;	/* of mmu, before anything was looked up */
	struct vmm_memory memory;
	hpa_t hpa;		/* of the page, but for @device's, which has none */
	bool device;
	bool writable;		/* the page, and the slot */
};

bool mmu_is_stale(const struct vmm_mmu *mmu, unsigned long seq, hva_t hva, hva_t size)
{
	const hva_t window = round_down(hva, size);

	if (mmu->seq != seq)
		return true;
	return mmu->invalidating && window < mmu->invalid_end &&
	       window + size > mmu->invalid_start;
}

/* By level: could the CPU have a leaf there? */
static const u64 level_features[] = {
	[VMM_LEVEL_2M] = VMM_FEATURE_LARGE_2M,
	[VMM_LEVEL_1G] = VMM_FEATURE_LARGE_1G,
};

static bool level_fits(const struct fault *fault, unsigned int level)
{
	const struct vmm_memory *memory = &fault->memory;
	const u64 frames = vmm_level_frames(level);
	const gfn_t first = round_down(fault->gfn, frames);

	return (vmm_caps.features & level_features[level]) &&
	       !((fault->gfn ^ (memory->hva >> PAGE_SHIFT)) & (frames - 1)) &&
	       first >= memory->first && first + frames <= memory->first + memory->npages;
}

/* The highest level that one leaf for @fault may have. */
static unsigned int fault_level(const struct fault *fault, const struct host_leaf *leaf)
{
	unsigned int level = leaf->level;

	/* The log knows pages of 4 KiB, and so do memory types. */
	if (fault->memory.log || leaf->pat || leaf->hpa != fault->hpa ||
	    (fault->writable && !leaf->writable))
		return VMM_LEVEL_4K;
	while (level > VMM_LEVEL_4K && !level_fits(fault, level))
		level--;
	return max_t(unsigned int, level, VMM_LEVEL_4K);
}

/* Map what else of the window is in the slot and in the process's page table. */
static void fault_around(const struct fault *fault, const struct tdp_map *map,
			 const struct host_leaf *leaf)
{
	const struct vmm_memory *memory = &fault->memory;
	const u64 at = (memory->hva >> PAGE_SHIFT) & (HOST_WINDOW - 1);
	const u64 before = fault->gfn - memory->first;
	unsigned int from = at > before ? at - before : 0;
	unsigned int to = min_t(u64, HOST_WINDOW, at + memory->npages - before);

	/* Neighbours of a page that is written are not written for that. */
	if (map->writable && fault->memory.log)
		return;
	tdp_map_around(&fault->vm->mmu, map, fault->gfn - at + from, leaf->window + from,
		       to - from);
}

static bool is_stale(const struct fault *fault, unsigned int level)
{
	return mmu_is_stale(&fault->vm->mmu, fault->seq, fault->memory.hva,
			    vmm_level_frames(level) << PAGE_SHIFT);
}

/* What the process maps now is what its driver mapped for this fault; see host.h. */
static bool find_device(const struct fault *fault, const struct host_leaf *leaf,
			struct tdp_map *map)
{
	map->level = VMM_LEVEL_4K;
	map->hpa = leaf->hpa;
	map->pat = leaf->pat;
	return host_leaf_permits(leaf, fault->writable);
}

/* mmu.lock. Sets map->level. */
static enum tdp_result fault_map(const struct fault *fault, struct tdp_map *map,
				 struct tdp_spare *spare)
{
	struct vmm_mmu *mmu = &fault->vm->mmu;
	enum tdp_result result;
	struct host_leaf leaf;

	/* The window of host_lookup() is less than 2 MiB. */
	if (is_stale(fault, VMM_LEVEL_2M) || mmu->root == VMM_INVALID_HPA)
		return TDP_STALE;
	host_lookup(fault->vm->mm, fault->memory.hva, fault->writable, &leaf);
	if (unlikely(fault->device)) {
		if (!find_device(fault, &leaf, map))
			return TDP_STALE;
	} else {
		map->level = fault_level(fault, &leaf);
		map->pat = leaf.hpa == fault->hpa ? leaf.pat : 0;
	}
	if (map->level > VMM_LEVEL_2M && is_stale(fault, map->level))
		return TDP_STALE;
	if (fault->writable) {
		if (!fault->device)
			host_mark_dirty(fault->hpa);
		if (fault->memory.log)
			dirty_log_mark(fault->memory.log, fault->gfn - fault->memory.first);
	}
	result = tdp_map(mmu, map, spare);
	if (result == TDP_MAPPED && leaf.level == VMM_LEVEL_4K && !fault->device)
		fault_around(fault, map, &leaf);
	return result;
}

/* Lock, check, map; tables are allocated on the way when some are missing. */
static enum vmm_fault fault_install(const struct fault *fault)
{
	struct vmm_mmu *mmu = &fault->vm->mmu;
	struct tdp_spare spare = { };
	struct tdp_map map = {
		.gfn = fault->gfn,
		.hpa = fault->hpa,
		.writable = fault->writable,
	};
	enum tdp_result result;
	u64 frames;

	do {
		if (tdp_spare_fill(&spare)) {
			tdp_spare_free(&spare);
			return VMM_FAULT_ERROR;
		}
		read_lock(&mmu->lock);
		result = fault_map(fault, &map, &spare);
		read_unlock(&mmu->lock);
	} while (result == TDP_NEED_TABLES);

	tdp_spare_free(&spare);
	if (result == TDP_MAPPED)
		return VMM_FAULT_FIXED;
	if (result == TDP_CONFLICT) {
		frames = vmm_level_frames(map.level);
		vmm_mmu_zap(fault->vm, round_down(map.gfn, frames),
			    round_down(map.gfn, frames) + frames);
	}
	return VMM_FAULT_RETRY;
}

static enum vmm_fault fault_error(struct vmm_vcpu *vcpu, int error)
{
	if (error == -EINTR || error == -EAGAIN || error == -ERESTARTSYS)
		return VMM_FAULT_RETRY;
	vcpu->fault_errno = error;
	return VMM_FAULT_ERROR;
}

enum vmm_fault vmm_mmu_fault(struct vmm_vcpu *vcpu, gpa_t gpa, u32 access)
{
	struct vmm_vm *vm = vcpu->vm;
	struct fault fault = {
		.vm = vm,
		.gfn = gpa >> PAGE_SHIFT,
		.write = access & VMM_ACCESS_WRITE,
		.seq = READ_ONCE(vm->mmu.seq),
	};
	enum vmm_fault outcome;
	struct page *page;
	bool may_write;
	int r;

	/* seq before slot and page; pairs with slot_retire() in memslot.c. */
	smp_rmb();
	if (!vmm_slot_find(vm, fault.gfn, &fault.memory))
		return VMM_FAULT_MMIO;
	if (fault.memory.retiring)
		return VMM_FAULT_RETRY;
	may_write = !(fault.memory.flags & VMM_SLOT_READONLY);
	if (fault.write && !may_write)
		return VMM_FAULT_MMIO;
	if (fault.memory.log) {
		/* What may be written is in the log: no more than what is. */
		may_write = fault.write;
		if (dirty_log_prepare(vm, fault.gfn))
			return fault_error(vcpu, -ENOMEM);
	}

	r = host_get_page(fault.memory.hva, may_write, fault.write, &page, &fault.writable);
	if (r)
		return fault_error(vcpu, r);
	fault.hpa = host_page_hpa(page);
	fault.device = !page;
	outcome = fault_install(&fault);
	host_put_page(page);
	if (outcome == VMM_FAULT_ERROR)
		vcpu->fault_errno = -ENOMEM;
	vmm_mmu_audit(vm);
	return outcome;
}
