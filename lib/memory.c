// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Guest memory as the process sees it: the table of regions behind the slots.
 *
 * Invariants: regions are sorted by gpa and disjoint, none wraps (the module
 * refuses such slots, and the table follows the module); the table says what the
 * module knows, because both change under the write lock.
 * A pointer is formed only after start and length were found inside one region.
 * Copies are made under the read lock, so that a slot's memory is not taken away
 * in the middle; nothing else is called under it.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

/* Index of the first region that ends above @gpa; nr_regions if there is none. */
static unsigned int region_above(const struct vmm *vm, uint64_t gpa)
{
	unsigned int low = 0, high = vm->nr_regions;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;
		const struct region *r = &vm->regions[mid];

		if (gpa > r->gpa && gpa - r->gpa >= r->size)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The region that @gpa lies in, or NULL; *@left: its bytes from @gpa on. */
static const struct region *region_at(const struct vmm *vm, uint64_t gpa, uint64_t *left)
{
	unsigned int i = region_above(vm, gpa);
	const struct region *r = &vm->regions[i];

	if (i == vm->nr_regions || gpa < r->gpa)
		return NULL;
	*left = r->size - (gpa - r->gpa);
	return r;
}

static unsigned char *region_pointer(const struct vmm *vm, uint64_t gpa, uint64_t len,
				     unsigned int refused_flags)
{
	uint64_t left;
	const struct region *r = len ? region_at(vm, gpa, &left) : NULL;

	if (!r || len > left || (r->flags & refused_flags))
		return NULL;
	return r->hva + (gpa - r->gpa);
}

static struct region *region_of_slot(struct vmm *vm, unsigned int slot)
{
	unsigned int i;

	for (i = 0; i < vm->nr_regions; i++)
		if (vm->regions[i].slot == slot)
			return &vm->regions[i];
	return NULL;
}

static void region_forget(struct vmm *vm, unsigned int slot)
{
	struct region *region = region_of_slot(vm, slot);

	if (!region)
		return;
	if (region->written)
		atomic_fetch_sub(&vm->logs, 1);
	written_destroy(region->written);
	vm->nr_regions--;
	memmove(region, region + 1,
		(vm->nr_regions - (region - vm->regions)) * sizeof(*region));
}

static void region_record(struct vmm *vm, const struct region *region)
{
	unsigned int i = region_above(vm, region->gpa);

	memmove(&vm->regions[i + 1], &vm->regions[i],
		(vm->nr_regions - i) * sizeof(vm->regions[0]));
	vm->regions[i] = *region;
	vm->nr_regions++;
	if (region->written)
		atomic_fetch_add(&vm->logs, 1);
}

/* vm->lock, for writing */
static int memory_set(struct vmm *vm, unsigned int slot, uint64_t gpa, uint64_t size, void *hva,
		      unsigned int flags)
{
	const struct vmm_slot arg = {
		.slot = slot, .flags = flags, .gpa = gpa, .size = size, .hva = (uintptr_t)hva,
	};
	struct region region = {
		.gpa = gpa, .size = size, .hva = hva, .slot = slot, .flags = flags,
	};
	int ret;

	/* Size 0 would delete; slots above the limit would overflow the table. */
	if (!size || slot >= vm->max_slots)
		return -EINVAL;
	if (flags & VMM_SLOT_LOG_DIRTY) {
		ret = written_create(size, &region.written);
		if (ret < 0)
			return ret;
	}
	ret = device_ioctl(vm->fd, VMM_SET_SLOT, &arg);
	if (ret >= 0) {
		region_forget(vm, slot);
		region_record(vm, &region);
	} else {
		written_destroy(region.written);
	}
	return ret;
}

int vmm_memory_add(struct vmm *vm, unsigned int slot, uint64_t gpa, uint64_t size, void *hva,
		   unsigned int flags)
{
	int ret;

	pthread_rwlock_wrlock(&vm->lock);
	ret = memory_set(vm, slot, gpa, size, hva, flags);
	pthread_rwlock_unlock(&vm->lock);
	return ret;
}

int vmm_memory_log(struct vmm *vm, unsigned int slot, bool on)
{
	const struct region *region;
	unsigned int flags;
	int ret = -ENOENT;

	pthread_rwlock_wrlock(&vm->lock);
	region = region_of_slot(vm, slot);
	if (region) {
		flags = region->flags & ~VMM_SLOT_LOG_DIRTY;
		flags |= on ? VMM_SLOT_LOG_DIRTY : 0;
		ret = flags == region->flags ? 0 : memory_set(vm, slot, region->gpa, region->size,
							      region->hva, flags);
	}
	pthread_rwlock_unlock(&vm->lock);
	return ret;
}

/* Bytes of one region that were written by the process; vm->lock. */
static void region_written(const struct region *region, uint64_t gpa, uint64_t len)
{
	if (region->written)
		written_mark(region->written, gpa - region->gpa, len);
}

void vmm_dirty_mark(struct vmm *vm, uint64_t gpa, uint64_t len)
{
	const struct region *region;
	uint64_t left;

	/*
	 * No lock for nothing: a log that begins now need not have what was written before it.
	 * The fence makes that so: else the write may still be on its way, behind the look.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load(&vm->logs))
		return;
	pthread_rwlock_rdlock(&vm->lock);
	for (; len; gpa += left, len -= left) {
		region = region_at(vm, gpa, &left);
		if (!region)
			break;
		if (left > len)
			left = len;
		region_written(region, gpa, left);
	}
	pthread_rwlock_unlock(&vm->lock);
}

int vmm_memory_remove(struct vmm *vm, unsigned int slot)
{
	const struct vmm_slot arg = { .slot = slot };
	int ret;

	pthread_rwlock_wrlock(&vm->lock);
	ret = device_ioctl(vm->fd, VMM_SET_SLOT, &arg);
	if (ret >= 0)
		region_forget(vm, slot);
	pthread_rwlock_unlock(&vm->lock);
	return ret;
}

int vmm_dirty_get(struct vmm *vm, unsigned int slot, uint64_t first, uint64_t npages,
		  unsigned int flags, uint64_t *bitmap, uint64_t *dirty)
{
	struct vmm_dirty arg = {
		.slot = slot, .flags = flags, .first = first, .npages = npages,
		.bitmap = (uintptr_t)bitmap,
	};
	const struct region *region;
	int ret;

	if (!bitmap)
		return -EINVAL;
	pthread_rwlock_rdlock(&vm->lock);
	ret = device_ioctl(vm->fd, VMM_GET_DIRTY, &arg);
	if (ret < 0)
		goto unlock;
	*dirty = arg.dirty;
	region = region_of_slot(vm, slot);
	if (region && region->written)
		*dirty += written_take(region->written, first / 64, (first + npages + 63) / 64,
				       flags & VMM_DIRTY_KEEP, bitmap);
unlock:
	pthread_rwlock_unlock(&vm->lock);
	return ret;
}

static unsigned char *memory_translate(struct vmm *vm, uint64_t gpa, uint64_t len,
				       unsigned int refused_flags)
{
	unsigned char *hva;

	pthread_rwlock_rdlock(&vm->lock);
	hva = region_pointer(vm, gpa, len, refused_flags);
	pthread_rwlock_unlock(&vm->lock);
	return hva;
}

void *vmm_gpa_to_hva(struct vmm *vm, uint64_t gpa, uint64_t len)
{
	return memory_translate(vm, gpa, len, VMM_SLOT_READONLY);
}

const void *vmm_gpa_to_hva_ro(struct vmm *vm, uint64_t gpa, uint64_t len)
{
	return memory_translate(vm, gpa, len, 0);
}

/* Is every byte of the range in a region without @refused_flags? */
static bool memory_covers(const struct vmm *vm, uint64_t gpa, uint64_t len,
			  unsigned int refused_flags)
{
	while (len) {
		uint64_t left;
		const struct region *r = region_at(vm, gpa, &left);

		if (!r || (r->flags & refused_flags))
			return false;
		if (left >= len)
			return true;
		gpa += left;
		len -= left;
	}
	return true;
}

/* The next piece of a range that memory_covers() said yes to. */
static unsigned char *memory_piece(const struct vmm *vm, uint64_t gpa, size_t *len)
{
	uint64_t left;
	const struct region *r = region_at(vm, gpa, &left);

	if (left < *len)
		*len = left;
	return r->hva + (gpa - r->gpa);
}

int vmm_guest_read(struct vmm *vm, uint64_t gpa, void *buf, size_t len)
{
	unsigned char *to = buf;
	int ret = -EFAULT;

	pthread_rwlock_rdlock(&vm->lock);
	if (!memory_covers(vm, gpa, len, 0))
		goto unlock;
	while (len) {
		size_t piece = len;
		const unsigned char *from = memory_piece(vm, gpa, &piece);

		memcpy(to, from, piece);
		to += piece;
		gpa += piece;
		len -= piece;
	}
	ret = 0;
unlock:
	pthread_rwlock_unlock(&vm->lock);
	return ret;
}

int vmm_guest_write(struct vmm *vm, uint64_t gpa, const void *buf, size_t len)
{
	const unsigned char *from = buf;
	int ret = -EFAULT;
	uint64_t left;

	pthread_rwlock_rdlock(&vm->lock);
	if (!memory_covers(vm, gpa, len, VMM_SLOT_READONLY))
		goto unlock;
	while (len) {
		size_t piece = len;
		unsigned char *to = memory_piece(vm, gpa, &piece);

		memcpy(to, from, piece);
		region_written(region_at(vm, gpa, &left), gpa, piece);
		from += piece;
		gpa += piece;
		len -= piece;
	}
	ret = 0;
unlock:
	pthread_rwlock_unlock(&vm->lock);
	return ret;
}

/*
 * What a CPU does in one access, other vCPUs must see as one access, which
 * memcpy() does not promise.
 */
static bool is_single(const void *hva, unsigned int len)
{
	return len <= 8 && !(len & (len - 1)) && !((uintptr_t)hva & (len - 1));
}

static uint64_t load_single(const void *hva, unsigned int len)
{
	switch (len) {
	case 1:
		return __atomic_load_n((const uint8_t *)hva, __ATOMIC_RELAXED);
	case 2:
		return __atomic_load_n((const uint16_t *)hva, __ATOMIC_RELAXED);
	case 4:
		return __atomic_load_n((const uint32_t *)hva, __ATOMIC_RELAXED);
	default:
		return __atomic_load_n((const uint64_t *)hva, __ATOMIC_RELAXED);
	}
}

static void store_single(void *hva, uint64_t val, unsigned int len)
{
	switch (len) {
	case 1:
		__atomic_store_n((uint8_t *)hva, val, __ATOMIC_RELAXED);
		break;
	case 2:
		__atomic_store_n((uint16_t *)hva, val, __ATOMIC_RELAXED);
		break;
	case 4:
		__atomic_store_n((uint32_t *)hva, val, __ATOMIC_RELAXED);
		break;
	default:
		__atomic_store_n((uint64_t *)hva, val, __ATOMIC_RELAXED);
		break;
	}
}

static void load_memory(void *buf, const void *hva, unsigned int len)
{
	uint64_t val;

	if (!is_single(hva, len)) {
		memcpy(buf, hva, len);
		return;
	}
	val = load_single(hva, len);
	memcpy(buf, &val, len);
}

static void store_memory(void *hva, const void *buf, unsigned int len)
{
	uint64_t val = 0;

	if (!is_single(hva, len)) {
		memcpy(hva, buf, len);
		return;
	}
	memcpy(&val, buf, len);
	store_single(hva, val, len);
}

int ram_read(struct vmm *vm, uint64_t gpa, void *buf, unsigned int len)
{
	const unsigned char *hva;

	pthread_rwlock_rdlock(&vm->lock);
	hva = region_pointer(vm, gpa, len, 0);
	if (hva)
		load_memory(buf, hva, len);
	pthread_rwlock_unlock(&vm->lock);
	return hva ? 0 : -EFAULT;
}

int ram_write(struct vmm *vm, uint64_t gpa, const void *buf, unsigned int len)
{
	unsigned char *hva;
	uint64_t left;

	pthread_rwlock_rdlock(&vm->lock);
	hva = region_pointer(vm, gpa, len, VMM_SLOT_READONLY);
	if (hva) {
		store_memory(hva, buf, len);
		region_written(region_at(vm, gpa, &left), gpa, len);
	}
	pthread_rwlock_unlock(&vm->lock);
	return hva ? 0 : -EFAULT;
}

static bool replace16(void *hva, const void *old, const void *new)
{
	uint64_t expect[2], want[2];
	bool done;

	memcpy(expect, old, sizeof(expect));
	memcpy(want, new, sizeof(want));
	asm volatile("lock cmpxchg16b %1"
		     : "=@ccz" (done), "+m" (*(unsigned char (*)[16])hva),
		       "+a" (expect[0]), "+d" (expect[1])
		     : "b" (want[0]), "c" (want[1])
		     : "memory");
	return done;
}

static bool replace(void *hva, const void *old, const void *new, unsigned int len)
{
	uint64_t expect = 0, want = 0;

	if (len == 16 && !((uintptr_t)hva & 15))
		return replace16(hva, old, new);
	if (!is_single(hva, len)) {
		memcpy(hva, new, len);
		return true;
	}
	memcpy(&expect, old, len);
	memcpy(&want, new, len);
	switch (len) {
	case 1:
		return __sync_bool_compare_and_swap((uint8_t *)hva, expect, want);
	case 2:
		return __sync_bool_compare_and_swap((uint16_t *)hva, expect, want);
	case 4:
		return __sync_bool_compare_and_swap((uint32_t *)hva, expect, want);
	default:
		return __sync_bool_compare_and_swap((uint64_t *)hva, expect, want);
	}
}

int ram_replace(struct vmm *vm, uint64_t gpa, const void *old, const void *new,
		unsigned int len)
{
	unsigned char *hva;
	int ret = -EFAULT;
	uint64_t left;

	pthread_rwlock_rdlock(&vm->lock);
	hva = region_pointer(vm, gpa, len, VMM_SLOT_READONLY);
	if (hva) {
		ret = replace(hva, old, new, len);
		region_written(region_at(vm, gpa, &left), gpa, len);
	}
	pthread_rwlock_unlock(&vm->lock);
	return ret;
}
