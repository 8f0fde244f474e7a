// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory slots: which guest-physical frames are backed by which addresses of the
 * process. A table is sorted by frame, published by RCU and, but for one flag,
 * never changed; a reader copies what it needs and keeps no pointer.
 *
 * The flag is `retiring`. A slot about to go is first marked with it, so that no
 * fault maps it any more; then its frames are unmapped; and only then the table
 * without it is published. Hence an invariant that the mmu notifier rests on:
 * what is mapped, or in a TLB, belongs to a slot of the published table. Were the
 * new table published first, an munmap() of the old memory in between would find
 * no slot there and return with the guest still using it.
 *
 * Nothing here waits for a grace period.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/futex.h>
#include <linux/uaccess.h>
#include <asm/futex.h>

#include "memslot.h"
#include "mmu/dirty.h"
#include "mmu/pte.h"

static struct vmm_slots *slots_alloc(unsigned int count)
{
	struct vmm_slots *slots;

	slots = kvzalloc(struct_size(slots, slot, count), GFP_KERNEL_ACCOUNT);
	if (slots)
		slots->count = count;
	return slots;
}

int vmm_slots_init(struct vmm_vm *vm)
{
	struct vmm_slots *slots = slots_alloc(0);

	if (!slots)
		return -ENOMEM;
	RCU_INIT_POINTER(vm->slots, slots);
	return 0;
}

/* The notifier may still run after this, and finds no slots. */
void vmm_slots_destroy(struct vmm_vm *vm)
{
	struct vmm_slots *slots = rcu_dereference_protected(vm->slots, true);
	unsigned int i;

	RCU_INIT_POINTER(vm->slots, NULL);
	for (i = 0; i < slots->count; i++)
		if (slots->slot[i].log)
			dirty_log_put(slots->slot[i].log);
	kvfree_rcu(slots, rcu);
}

/* ---- changes ---- */

static int slot_check(const struct vmm_slot *args)
{
	const u64 limit = 1ULL << vmm_mmu_phys_bits();

	if (args->slot >= VMM_MAX_SLOTS ||
	    (args->flags & ~(VMM_SLOT_READONLY | VMM_SLOT_LOG_DIRTY)))
		return -EINVAL;
	if (!args->size)
		return args->gpa || args->hva || args->flags ? -EINVAL : 0;
	if (!PAGE_ALIGNED(args->gpa | args->size | args->hva))
		return -EINVAL;
	if (args->size > limit || args->gpa > limit - args->size)
		return -EINVAL;
	if (!access_ok((void __user *)args->hva, args->size))
		return -EINVAL;
	return 0;
}

static bool slot_overlaps(struct vmm_slots *slots, const struct slot *new)
{
	unsigned int i;

	for (i = 0; i < slots->count; i++) {
		const struct slot *slot = &slots->slot[i];

		if (slot->id != new->id && slot->first < new->first + new->npages &&
		    new->first < slot->first + slot->npages)
			return true;
	}
	return false;
}

/* Does the process have some of the two at the same address, and can the guest write it there? */
static bool slots_alias(const struct slot *a, const struct slot *b)
{
	return !(a->flags & b->flags & VMM_SLOT_READONLY) &&
	       a->hva < b->hva + (b->npages << PAGE_SHIFT) &&
	       b->hva < a->hva + (a->npages << PAGE_SHIFT);
}

static bool any_alias(const struct vmm_slots *slots)
{
	unsigned int i, j;

	for (i = 0; i < slots->count; i++)
		for (j = 0; j < i; j++)
			if (slots_alias(&slots->slot[i], &slots->slot[j]))
				return true;
	return false;
}

/* A copy of @old without slot @id and, unless @new has no frames, with @new. */
static struct vmm_slots *slots_copy(const struct vmm_slots *old, u32 id, const struct slot *new)
{
	struct vmm_slots *slots = slots_alloc(old->count + 1);
	unsigned int i, n = 0;
	bool placed = !new->npages;

	if (!slots)
		return NULL;
	for (i = 0; i < old->count; i++) {
		if (old->slot[i].id == id)
			continue;
		if (!placed && old->slot[i].first > new->first) {
			slots->slot[n++] = *new;
			placed = true;
		}
		slots->slot[n++] = old->slot[i];
	}
	if (!placed)
		slots->slot[n++] = *new;
	slots->count = n;
	slots->aliased = any_alias(slots);
	return slots;
}

static void slot_retire(struct vmm_vm *vm, const struct slot *going)
{
	struct slot *slot = (struct slot *)going;

	WRITE_ONCE(slot->retiring, true);
	/*
	 * Before mmu.seq moves on. Pairs with the barrier in vmm_mmu_fault(),
	 * which reads seq, then the slot.
	 */
	smp_wmb();
	vmm_mmu_zap(vm, slot->first, slot->first + slot->npages);
}

/* The same frames at the same addresses, and nothing changes but whether it has a log. */
static bool only_log_changes(const struct slot *old, const struct slot *new)
{
	return old->first == new->first && old->npages == new->npages && old->hva == new->hva &&
	       (old->flags ^ new->flags) == VMM_SLOT_LOG_DIRTY;
}

/*
 * Nothing is zapped for a log, and a slot gets it or loses it in one step with the
 * permission to write.
 */
static void slots_publish(struct vmm_vm *vm, struct vmm_slots *slots, const struct slot *going,
			  const struct slot *new, bool was_aliased)
{
	if (going && only_log_changes(going, new)) {
		vmm_mmu_protect(vm, going->first, going->first + going->npages, slots);
	} else {
		if (going)
			slot_retire(vm, going);
		/* Nothing comes through an alias any more; what did is to be found. */
		if (going && was_aliased)
			vmm_mmu_unseen(vm);
		rcu_assign_pointer(vm->slots, slots);
	}
	if (going && going->log)
		dirty_log_end(vm, going->log);
}

int vmm_slot_set(struct vmm_vm *vm, const struct vmm_slot *args)
{
	struct vmm_slots *old, *slots;
	const struct slot *going;
	struct slot new = {
		.first = args->gpa >> PAGE_SHIFT,
		.npages = args->size >> PAGE_SHIFT,
		.hva = args->hva,
		.flags = args->flags,
		.id = args->slot,
	};
	int r;

	lockdep_assert_held(&vm->lock);
	r = slot_check(args);
	if (r)
		return r;
	old = rcu_dereference_protected(vm->slots, lockdep_is_held(&vm->lock));
	going = slot_by_id(old, new.id);
	if (!new.npages && !going)
		return -ENOENT;
	if (slot_overlaps(old, &new))
		return -EEXIST;
	if (new.flags & VMM_SLOT_LOG_DIRTY) {
		new.log = dirty_log_create();
		if (!new.log)
			return -ENOMEM;
	}
	slots = slots_copy(old, new.id, &new);
	if (!slots) {
		if (new.log)
			dirty_log_put(new.log);
		return -ENOMEM;
	}
	slots_publish(vm, slots, going, &new, old->aliased);
	kvfree_rcu(old, rcu);
	return 0;
}

/* ---- look-ups ---- */

bool vmm_slot_find(struct vmm_vm *vm, gfn_t gfn, struct vmm_memory *memory)
{
	const struct slot *slot;

	rcu_read_lock();
	slot = slots_search(rcu_dereference(vm->slots), gfn);
	if (slot) {
		memory->hva = slot->hva + ((gfn - slot->first) << PAGE_SHIFT);
		memory->first = slot->first;
		memory->npages = slot->npages;
		memory->flags = slot->flags;
		memory->log = slot->log;
		memory->retiring = READ_ONCE(slot->retiring);
	}
	rcu_read_unlock();
	return slot;
}

bool vmm_slots_next_hva(struct vmm_vm *vm, hva_t start, hva_t end,
			gfn_t *cursor, gfn_t *first, gfn_t *last)
{
	const struct vmm_slots *slots;
	unsigned int i = 0, count = 0;
	bool found = false;

	rcu_read_lock();
	slots = rcu_dereference(vm->slots);
	if (slots) {
		count = slots->count;
		i = slots_until(slots, *cursor);
		/* The last of those may hold the cursor. */
		i -= !!i;
	}
	for (; i < count && !found; i++) {
		const struct slot *slot = &slots->slot[i];
		hva_t from = max(start, slot->hva);
		hva_t to = min(end, slot->hva + (hva_t)(slot->npages << PAGE_SHIFT));

		if (from >= to)
			continue;
		*first = max(*cursor, slot->first + ((from - slot->hva) >> PAGE_SHIFT));
		*last = slot->first + (PAGE_ALIGN(to - slot->hva) >> PAGE_SHIFT);
		found = *first < *last;
	}
	rcu_read_unlock();
	if (found)
		*cursor = *last;
	return found;
}

/* ---- copies ---- */

typedef unsigned long (*copy_fn)(void *data, hva_t hva, unsigned int length);

static unsigned long copy_in(void *data, hva_t hva, unsigned int length)
{
	return copy_from_user(data, (void __user *)hva, length);
}

static unsigned long copy_in_atomic(void *data, hva_t hva, unsigned int length)
{
	return copy_from_user_nofault(data, (void __user *)hva, length);
}

static unsigned long copy_out(void *data, hva_t hva, unsigned int length)
{
	return copy_to_user((void __user *)hva, data, length);
}

static int guest_copy(struct vmm_vm *vm, gpa_t gpa, void *data, unsigned int length,
		      bool write, copy_fn copy)
{
	struct vmm_memory memory;
	unsigned long left;
	unsigned int n;

	for (; length; length -= n, gpa += n, data += n) {
		if (!vmm_slot_find(vm, gpa >> PAGE_SHIFT, &memory) ||
		    (write && (memory.flags & VMM_SLOT_READONLY)))
			return -EFAULT;
		n = min_t(unsigned int, length, PAGE_SIZE - offset_in_page(gpa));
		left = copy(data, memory.hva + offset_in_page(gpa), n);
		if (write)
			vmm_dirty_mark(vm, gpa >> PAGE_SHIFT);
		if (left)
			return -EFAULT;
	}
	return 0;
}

int vmm_guest_read(struct vmm_vm *vm, gpa_t gpa, void *data, unsigned int length)
{
	return guest_copy(vm, gpa, data, length, false, copy_in);
}

int vmm_guest_write(struct vmm_vm *vm, gpa_t gpa, const void *data, unsigned int length)
{
	return guest_copy(vm, gpa, (void *)data, length, true, copy_out);
}

int vmm_guest_xchg(struct vmm_vm *vm, gpa_t gpa, u32 value, u32 *old, bool atomic)
{
	struct vmm_memory memory;
	u32 __user *word;
	int was = 0, r;

	/* It may sleep else, which only a debugging kernel would say. */
	WARN_ON_ONCE(!atomic && irqs_disabled());
	if (!vmm_slot_find(vm, gpa >> PAGE_SHIFT, &memory) ||
	    (memory.flags & VMM_SLOT_READONLY) || !IS_ALIGNED(gpa, sizeof(value)))
		return -EFAULT;
	word = (u32 __user *)(memory.hva + offset_in_page(gpa));
	if (atomic)
		pagefault_disable();
	r = arch_futex_atomic_op_inuser(FUTEX_OP_SET, value, &was, word);
	if (atomic)
		pagefault_enable();
	else
		vmm_dirty_mark(vm, gpa >> PAGE_SHIFT);
	*old = was;
	return r;
}

int vmm_guest_read_atomic(struct vmm_vm *vm, gpa_t gpa, void *data, unsigned int length)
{
	return guest_copy(vm, gpa, data, length, false, copy_in_atomic);
}
