// SPDX-License-Identifier: GPL-2.0-only
/*
 * Giving back page tables when memory is short, in the host or in a cgroup: a shrinker
 * over all VMs, each of which is listed under the cgroup that made it. What is taken
 * away the next faults make again.
 *
 * With shadow paging those go that were not looked up for the longest time. A nested
 * table does not tell, so only VMs that do not run lose tables of it, in the order of
 * their frames.
 *
 * This runs inside of other people's allocations. It takes mmu.lock and reclaim_lock, under
 * which nothing is allocated; it allocates nothing, and holds no reference that could be a
 * VM's last. Who needs the memory waits for the locks: to say that there is nothing while
 * another task takes it would be a reason to kill somebody. kswapd has others to go on with.
 */
#include <linux/list_lru.h>
#include <linux/slab.h>
#include <linux/swap.h>

#include "mmu/mmu.h"
#include "mmu/shadow.h"

/* Tables at a time: mmu.lock is held and TLBs are flushed for as many. */
#define RECLAIM_BATCH	64

/* A VM on the list, in a piece of memory that its cgroup is charged for. */
struct reclaim_entry {
	struct list_head lru;
	struct vmm_vm *vm;
};

static struct list_lru vms;
static struct kmem_cache *entries;
static bool ready;			/* the list is there */
/* Held while a VM that was found on the list is used: it stays as long. */
static DEFINE_MUTEX(reclaim_lock);

int vmm_reclaim_add(struct vmm_vm *vm)
{
	struct reclaim_entry *entry;

	entry = kmem_cache_alloc_lru(entries, &vms, GFP_KERNEL_ACCOUNT);
	if (!entry)
		return -ENOMEM;
	INIT_LIST_HEAD(&entry->lru);
	entry->vm = vm;
	vm->mmu.reclaim = entry;
	compat_list_lru_add(&vms, &entry->lru);
	return 0;
}

void vmm_reclaim_remove(struct vmm_vm *vm)
{
	mutex_lock(&reclaim_lock);
	compat_list_lru_del(&vms, &vm->mmu.reclaim->lru);
	mutex_unlock(&reclaim_lock);
	kmem_cache_free(entries, vm->mmu.reclaim);
	vm->mmu.reclaim = NULL;
}

/* ---- one VM ---- */

static bool is_idle(struct vmm_vm *vm)
{
	struct vmm_vcpu *vcpu;
	unsigned long id;
	bool idle = true;

	rcu_read_lock();
	xa_for_each(&vm->vcpus, id, vcpu) {
		const enum vmm_mode mode = READ_ONCE(vcpu->mode);

		idle &= mode == VMM_IDLE || mode == VMM_BLOCKED;
	}
	rcu_read_unlock();
	return idle;
}

/* Tables that could go: not the root, of which shadow paging has one a vCPU. */
static unsigned long freeable(struct vmm_vm *vm)
{
	const unsigned long roots = vmm_vm_nested(vm) ? 1 : READ_ONCE(vm->nr_vcpus);
	const unsigned long pages = atomic_long_read(&vm->mmu.pages);

	if (pages <= roots || (vmm_vm_nested(vm) && !is_idle(vm)))
		return 0;
	return pages - roots;
}

static unsigned int reclaim_nested(struct vmm_vm *vm, unsigned int max)
{
	struct vmm_mmu *mmu = &vm->mmu;
	unsigned int n;
	LIST_HEAD(free);

	write_lock(&mmu->lock);
	n = tdp_reclaim(mmu, max, &free);
	write_unlock(&mmu->lock);
	vmm_mmu_flush(vm);
	tdp_free(mmu, &free, false);
	atomic_long_add(n, &mmu->reclaimed);
	return n;
}

/* ---- the shrinker ---- */

static enum lru_status count_one(struct list_head *item, struct list_lru_one *list,
				 spinlock_t *lock, void *sum)
{
	*(unsigned long *)sum += freeable(container_of(item, struct reclaim_entry, lru)->vm);
	return LRU_SKIP;
}

static unsigned long reclaim_count(struct shrinker *shrinker, struct shrink_control *sc)
{
	unsigned long all = ULONG_MAX, sum = 0;

	/* Pairs with vmm_reclaim_init(). */
	if (smp_load_acquire(&ready))
		list_lru_walk_one(&vms, sc->nid, sc->memcg, count_one, &sum, &all);
	return sum;
}

/* The first that has something, which is the last next time. */
static enum lru_status pick_one(struct list_head *item, struct list_lru_one *list,
				spinlock_t *lock, void *found)
{
	struct vmm_vm *vm = container_of(item, struct reclaim_entry, lru)->vm;
	struct vmm_vm **picked = found;

	if (*picked || !freeable(vm))
		return LRU_SKIP;
	*picked = vm;
	return LRU_ROTATE;
}

static bool lock_vms(void)
{
	if (current_is_kswapd())
		return mutex_trylock(&reclaim_lock);
	return !mutex_lock_killable(&reclaim_lock);
}

static unsigned long reclaim_scan(struct shrinker *shrinker, struct shrink_control *sc)
{
	const unsigned int max = min_t(unsigned long, sc->nr_to_scan, RECLAIM_BATCH);
	unsigned long all = ULONG_MAX, n = SHRINK_STOP;
	struct vmm_vm *vm = NULL;

	/* Pairs with vmm_reclaim_init(). */
	if (!smp_load_acquire(&ready) || !lock_vms())
		return SHRINK_STOP;
	list_lru_walk_one(&vms, sc->nid, sc->memcg, pick_one, &vm, &all);
	if (vm)
		n = vmm_vm_nested(vm) ? reclaim_nested(vm, max) : shadow_reclaim(vm, max);
	mutex_unlock(&reclaim_lock);
	/* Upper tables are counted and do not go: nothing more is to be had, or none soon. */
	return n ? n : SHRINK_STOP;
}

static struct compat_shrinker shrinker = {
	.count = reclaim_count,
	.scan = reclaim_scan,
};

int vmm_reclaim_init(void)
{
	int r = -ENOMEM;

	entries = KMEM_CACHE(reclaim_entry, SLAB_ACCOUNT);
	if (!entries)
		return -ENOMEM;
	r = compat_register_shrinker(&shrinker, "vmm");
	if (r)
		goto out_cache;
	/* It knows the list by the shrinker's number, which comes first. */
	r = list_lru_init_memcg(&vms, compat_shrinker(&shrinker));
	if (r)
		goto out_shrinker;
	/* After the list; pairs with reclaim_count() and reclaim_scan(). */
	smp_store_release(&ready, true);
	return 0;

out_shrinker:
	compat_unregister_shrinker(&shrinker);
out_cache:
	kmem_cache_destroy(entries);
	return r;
}

void vmm_reclaim_exit(void)
{
	compat_unregister_shrinker(&shrinker);
	list_lru_destroy(&vms);
	kmem_cache_destroy(entries);
}
