// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty logs: which frames of a slot were written since they were asked for last.
 *
 * A bit is set when a frame is mapped writable, which is why frames of a slot with a
 * log are mapped so for writes only; it is taken together with the permission to
 * write, both under mmu.lock, and TLBs are flushed before the ioctl returns. So a
 * write is in the harvest that took its bit, or happens behind a later fault that
 * sets the bit again. Where the CPU reports first writes (PML), the dirty flag stands for the
 * permission, and the report for the fault.
 *
 * Bits come in chunks that are made when the first of their frames is written. The
 * array of chunks knows by a mark, which its tree keeps at each level, which of them
 * have bits: to start, to stop and to harvest nothing cost the same for any size.
 *
 * Invariant: a chunk with a bit set is marked, or its marker is about to do so, which
 * has not returned to the guest then. Chunks stay until the log goes.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "memslot.h"
#include "mmu/dirty.h"
#include "mmu/mmu.h"

#define CHUNK_SHIFT	9	/* frames; what one table of the lowest level maps */
#define CHUNK_WORDS	(BIT(CHUNK_SHIFT) / BITS_PER_LONG)
#define HAS_BITS	XA_MARK_0

struct dirty_chunk {
	unsigned long word[CHUNK_WORDS];
};

struct vmm_dirty_log {
	struct kref users;
	struct rcu_head rcu;
	struct xarray chunks;	/* by index of the frame >> CHUNK_SHIFT */
};

struct vmm_dirty_log *dirty_log_create(void)
{
	struct vmm_dirty_log *log = kzalloc(sizeof(*log), GFP_KERNEL_ACCOUNT);

	if (!log)
		return NULL;
	kref_init(&log->users);
	xa_init_flags(&log->chunks, XA_FLAGS_ACCOUNT);
	return log;
}

static void log_free(struct kref *kref)
{
	struct vmm_dirty_log *log = container_of(kref, struct vmm_dirty_log, users);
	struct dirty_chunk *chunk;
	unsigned long at;

	xa_for_each(&log->chunks, at, chunk)
		kfree(chunk);
	xa_destroy(&log->chunks);
	/* Who found it in an old table of slots may still try to get a reference. */
	kfree_rcu(log, rcu);
}

void dirty_log_put(struct vmm_dirty_log *log)
{
	kref_put(&log->users, log_free);
}

/* The log of the slot that holds @gfn, referenced, or NULL. */
static struct vmm_dirty_log *log_get(struct vmm_vm *vm, gfn_t gfn, u64 *index)
{
	struct vmm_dirty_log *log = NULL;
	const struct slot *slot;

	rcu_read_lock();
	slot = slots_search(rcu_dereference(vm->slots), gfn);
	if (slot && slot->log && kref_get_unless_zero(&slot->log->users)) {
		log = slot->log;
		*index = gfn - slot->first;
	}
	rcu_read_unlock();
	return log;
}

/* ---- marking ---- */

static int chunk_make(struct vmm_dirty_log *log, u64 index, gfp_t gfp)
{
	struct dirty_chunk *chunk;
	void *old;

	if (xa_load(&log->chunks, index >> CHUNK_SHIFT))
		return 0;
	chunk = kzalloc(sizeof(*chunk), gfp);
	if (!chunk)
		return -ENOMEM;
	old = xa_cmpxchg(&log->chunks, index >> CHUNK_SHIFT, NULL, chunk, gfp);
	if (old)
		kfree(chunk);
	return xa_err(old);
}

int dirty_log_prepare(struct vmm_vm *vm, gfn_t gfn)
{
	struct vmm_dirty_log *log;
	u64 index;
	int r;

	log = log_get(vm, gfn, &index);
	if (!log)
		return 0;
	r = chunk_make(log, index, GFP_KERNEL_ACCOUNT);
	dirty_log_put(log);
	return r;
}

static void chunk_mark(struct vmm_dirty_log *log, unsigned long at)
{
	if (!xa_get_mark(&log->chunks, at, HAS_BITS))
		xa_set_mark(&log->chunks, at, HAS_BITS);
}

static void mark(struct vmm_dirty_log *log, struct dirty_chunk *chunk, u64 index)
{
	set_bit(index & (BIT(CHUNK_SHIFT) - 1), chunk->word);
	/* The bit before the mark is looked at; pairs with the exchange in harvest(). */
	smp_mb__after_atomic();
	chunk_mark(log, index >> CHUNK_SHIFT);
}

void dirty_log_mark(struct vmm_dirty_log *log, u64 index)
{
	struct dirty_chunk *chunk = xa_load(&log->chunks, index >> CHUNK_SHIFT);

	if (!WARN_ON_ONCE(!chunk))
		mark(log, chunk, index);
}

bool dirty_log_has(struct vmm_dirty_log *log, u64 index)
{
	const struct dirty_chunk *chunk = xa_load(&log->chunks, index >> CHUNK_SHIFT);

	return chunk && test_bit(index & (BIT(CHUNK_SHIFT) - 1), chunk->word);
}

/*
 * After the write, so that a harvest between the two does not take the bit before
 * there is something to see. A write cannot be undone, hence no failure.
 */
void vmm_dirty_mark(struct vmm_vm *vm, gfn_t gfn)
{
	struct vmm_dirty_log *log;
	u64 index;

	might_sleep();
	log = log_get(vm, gfn, &index);
	if (likely(!log))
		return;
	chunk_make(log, index, GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	dirty_log_mark(log, index);
	dirty_log_put(log);
}

/* A frame without a chunk was written before its log began: no fault has mapped it since. */
void vmm_dirty_report(struct vmm_vm *vm, gfn_t gfn)
{
	struct dirty_chunk *chunk;
	struct vmm_dirty_log *log;
	u64 index;

	log = log_get(vm, gfn, &index);
	if (!log)
		return;
	chunk = xa_load(&log->chunks, index >> CHUNK_SHIFT);
	if (chunk)
		mark(log, chunk, index);
	dirty_log_put(log);
}

/* ---- harvesting ---- */

/* All that was written until now is in the logs. */
static void collect_reports(struct vmm_vm *vm)
{
	if (!mmu_reports_late(&vm->mmu))
		return;
	write_lock(&vm->mmu.lock);
	vm->mmu.cleared++;
	write_unlock(&vm->mmu.lock);
	/* Takes vCPUs out of the guest, which is when they report. */
	vmm_mmu_flush(vm);
}

void dirty_log_end(struct vmm_vm *vm, struct vmm_dirty_log *log)
{
	/* Freeing takes its time: not for who reported to it a moment ago, with IRQs off. */
	collect_reports(vm);
	dirty_log_put(log);
}

/* Words [@from, @to) of a chunk, and what was in them. */
struct harvest {
	struct vmm_vm *vm;
	const struct slot *slot;
	bool keep;
	unsigned long at;		/* of the chunk */
	struct dirty_chunk *chunk;
	unsigned int from, to;
	unsigned long word[CHUNK_WORDS];
};

static u64 word_index(const struct harvest *h, unsigned int word)
{
	return ((u64)h->at << CHUNK_SHIFT) + (u64)word * BITS_PER_LONG;
}

static void take_word(struct harvest *h, unsigned int word)
{
	const gfn_t base = h->slot->first + word_index(h, word);
	const unsigned long bits = xchg(&h->chunk->word[word], 0);

	h->word[word] = bits;
	if (bits)
		mmu_watch(&h->vm->mmu, base + __ffs(bits), base + __fls(bits) + 1);
}

static void take(struct harvest *h)
{
	struct vmm_mmu *mmu = &h->vm->mmu;
	struct xarray *chunks = &h->slot->log->chunks;
	unsigned int word;

	write_lock(&mmu->lock);
	/* Before the bits: pairs with dirty_log_mark(). */
	xa_clear_mark(chunks, h->at, HAS_BITS);
	for (word = h->from; word < h->to; word++)
		take_word(h, word);
	if (memchr_inv(h->chunk, 0, sizeof(*h->chunk)))
		chunk_mark(h->slot->log, h->at);
	write_unlock(&mmu->lock);
}

static void look(struct harvest *h)
{
	unsigned int word;

	for (word = h->from; word < h->to; word++)
		h->word[word] = READ_ONCE(h->chunk->word[word]);
}

/* What the caller did not get is dirty still. */
static void give_back(const struct harvest *h, unsigned int from)
{
	struct xarray *chunks = &h->slot->log->chunks;
	unsigned int word, bit;

	for (word = from; word < h->to; word++)
		for_each_set_bit(bit, &h->word[word], BITS_PER_LONG)
			set_bit(word * BITS_PER_LONG + bit, h->chunk->word);
	xa_set_mark(chunks, h->at, HAS_BITS);
}

/* One chunk of the range; only words with bits are written. */
static int harvest(struct harvest *h, struct vmm_dirty *args)
{
	const u64 words = DIV_ROUND_UP(args->first + args->npages, BITS_PER_LONG);
	const u64 start = args->first / BITS_PER_LONG, base = word_index(h, 0) / BITS_PER_LONG;
	u64 __user *bitmap = u64_to_user_ptr(args->bitmap);
	unsigned int word;

	h->from = start > base ? start - base : 0;
	h->to = min_t(u64, CHUNK_WORDS, words - base);
	if (h->keep)
		look(h);
	else
		take(h);
	for (word = h->from; word < h->to; word++) {
		if (!h->word[word])
			continue;
		if (args->bitmap && put_user((u64)h->word[word], bitmap + base + word - start)) {
			if (!h->keep)
				give_back(h, word);
			return -EFAULT;
		}
		args->dirty += hweight_long(h->word[word]);
	}
	return 0;
}

static int dirty_check(const struct slot *slot, const struct vmm_dirty *args)
{
	if ((args->flags & ~VMM_DIRTY_KEEP) || args->dirty ||
	    memchr_inv(args->pad, 0, sizeof(args->pad)))
		return -EINVAL;
	if (!slot || !slot->log)
		return -ENOENT;
	if (args->first > slot->npages || args->npages > slot->npages - args->first)
		return -EINVAL;
	if (args->first % BITS_PER_LONG)
		return -EINVAL;
	if (args->npages % BITS_PER_LONG && args->first + args->npages != slot->npages)
		return -EINVAL;
	return 0;
}

int vmm_dirty_get(struct vmm_vm *vm, struct vmm_dirty *args)
{
	struct harvest h = { .vm = vm, .keep = args->flags & VMM_DIRTY_KEEP };
	unsigned long last;
	int r;

	lockdep_assert_held(&vm->lock);
	h.slot = slot_by_id(rcu_dereference_protected(vm->slots, lockdep_is_held(&vm->lock)),
			    args->slot);
	r = dirty_check(h.slot, args);
	if (r || !args->npages)
		return r;
	collect_reports(vm);
	last = (args->first + args->npages - 1) >> CHUNK_SHIFT;
	h.at = args->first >> CHUNK_SHIFT;
	h.chunk = xa_find(&h.slot->log->chunks, &h.at, last, HAS_BITS);
	while (h.chunk && !r) {
		r = harvest(&h, args);
		cond_resched();
		h.chunk = xa_find_after(&h.slot->log->chunks, &h.at, last, HAS_BITS);
	}
	if (!h.keep)
		vmm_mmu_flush(vm);
	return r;
}
