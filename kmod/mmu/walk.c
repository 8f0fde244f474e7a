// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading guest memory by the guest's own addresses: translations for the
 * process, and the bytes of an instruction that exited.
 *
 * The walk itself is mmu/paging.h's; here are the two ways to read an entry. With
 * IRQs off, on the fast exits of CPUs that give no instruction length, each level
 * is a handful of instructions: the slot found for one table serves the next.
 *
 * Physical width and 1 GiB pages are the machine's, not those of the guest's
 * CPUID: it is the machine's walker that the guest's accesses go through.
 */
#include <linux/uaccess.h>

#include "memslot.h"
#include "mmu/paging.h"

/* Where entries and code are read from. */
struct reader {
	struct vmm_vm *vm;
	const struct vmm_slots *slots;	/* atomic reads only, under rcu_read_lock */
	const struct slot *slot;	/* that held the last one */
};

static __always_inline bool get_entry(hva_t hva, unsigned int shift, u64 *entry)
{
	u32 narrow;

	if (!user_read_access_begin((void __user *)hva, 1U << shift))
		return false;
	if (shift == 3) {
		unsafe_get_user(*entry, (u64 __user *)hva, fault);
	} else {
		unsafe_get_user(narrow, (u32 __user *)hva, fault);
		*entry = narrow;
	}
	user_read_access_end();
	return true;

fault:
	user_read_access_end();
	return false;
}

static bool read_sleep(void *context, u64 gpa, unsigned int shift, u64 *entry)
{
	struct reader *reader = context;
	struct vmm_memory memory;

	return vmm_slot_find(reader->vm, gpa >> PAGE_SHIFT, &memory) &&
	       get_entry(memory.hva + offset_in_page(gpa), shift, entry);
}

static __always_inline bool find_atomic(struct reader *reader, gpa_t gpa, hva_t *hva)
{
	const gfn_t gfn = gpa >> PAGE_SHIFT;

	if (!reader->slot || !slot_holds(reader->slot, gfn))
		reader->slot = slots_search(reader->slots, gfn);
	if (!reader->slot)
		return false;
	*hva = reader->slot->hva + (gpa - (reader->slot->first << PAGE_SHIFT));
	return true;
}

static __always_inline bool read_atomic(void *context, u64 gpa, unsigned int shift, u64 *entry)
{
	hva_t hva;

	return find_atomic(context, gpa, &hva) && get_entry(hva, shift, entry);
}

/* Until atomic_end() nothing sleeps and reader->slots stays. */
static __always_inline void atomic_begin(struct reader *reader)
{
	rcu_read_lock();
	pagefault_disable();
	reader->slots = rcu_dereference(reader->vm->slots);
}

static __always_inline void atomic_end(void)
{
	pagefault_enable();
	rcu_read_unlock();
}

static __always_inline void setup(struct paging *paging, const struct vmm_vcpu *vcpu)
{
	const struct paging_cpu cpu = {
		.phys_bits = boot_cpu_data.x86_phys_bits,
		.gbpages = boot_cpu_has(X86_FEATURE_GBPAGES),
	};

	paging_setup(paging, &vcpu->ctrl, vcpu->regs.rflags, &cpu, vmm_caps.pdpte_registers);
}

static __always_inline bool walk_with(const struct paging *paging, struct reader *reader,
				      gva_t gva, u32 access, struct vmm_walk *walk,
				      paging_read_fn read)
{
	if (!paging->format) {
		walk->gpa = (u32)gva;
		return true;
	}
	switch (paging_walk(paging, gva, access, read, reader, &walk->gpa, &walk->error)) {
	case PAGING_OK:
		return true;
	case PAGING_UNREADABLE:
		/* All-ones, as from a bus with nobody there. */
		walk->error = paging_error(paging, access, X86_PF_PROT | X86_PF_RSVD);
		break;
	case PAGING_FAULT:
		break;
	}
	return false;
}

static noinline bool walk_sleep(const struct paging *paging, struct reader *reader, gva_t gva,
				u32 access, struct vmm_walk *walk)
{
	return walk_with(paging, reader, gva, access, walk, read_sleep);
}

/* Between atomic_begin() and atomic_end(). */
static noinline bool walk_atomic(const struct paging *paging, struct reader *reader, gva_t gva,
				 u32 access, struct vmm_walk *walk)
{
	return walk_with(paging, reader, gva, access, walk, read_atomic);
}

bool vmm_walk(struct vmm_vcpu *vcpu, gva_t gva, u32 access, struct vmm_walk *walk, bool atomic)
{
	struct reader reader = { .vm = vcpu->vm };
	struct paging paging;
	bool ok;

	setup(&paging, vcpu);
	if (!(vcpu->ctrl.efer & EFER_LMA))
		gva = (u32)gva;
	if (!atomic)
		return walk_sleep(&paging, &reader, gva, access, walk);
	atomic_begin(&reader);
	ok = walk_atomic(&paging, &reader, gva, access, walk);
	atomic_end();
	return ok;
}

/* ---- instruction fetch ---- */

/* The next byte's linear address after @done bytes. */
static gva_t fetch_address(const struct vmm_vcpu *vcpu, unsigned int done)
{
	const u64 rip = vcpu->regs.rip + done;

	if (vmm_insn_mode(vcpu) == INSN_MODE_64)
		return rip;
	return (u32)(vcpu->segs.seg[VMM_CS].base + rip);
}

/* @n bytes of one page. */
static __always_inline bool fetch_part(struct reader *reader, gpa_t gpa, u8 *bytes, unsigned int n,
				       bool atomic)
{
	hva_t hva;

	if (!atomic)
		return !vmm_guest_read(reader->vm, gpa, bytes, n);
	return find_atomic(reader, gpa, &hva) &&
	       !__copy_from_user_inatomic(bytes, (void __user *)hva, n);
}

static __always_inline unsigned int fetch(struct vmm_vcpu *vcpu, struct reader *reader, u8 *bytes,
					  bool atomic)
{
	u32 access = VMM_ACCESS_EXEC | (vmm_cpl(vcpu) == 3 ? VMM_ACCESS_USER : 0);
	unsigned int n, done = 0;
	struct vmm_walk walk;
	struct paging paging;

	setup(&paging, vcpu);
	for (; done < INSN_MAX_LENGTH; done += n) {
		const gva_t gva = fetch_address(vcpu, done);

		if (!(atomic ? walk_atomic : walk_sleep)(&paging, reader, gva, access, &walk))
			break;
		n = min_t(unsigned int, INSN_MAX_LENGTH - done, PAGE_SIZE - offset_in_page(gva));
		if (!fetch_part(reader, walk.gpa, bytes + done, n, atomic))
			break;
	}
	return done;
}

unsigned int vmm_fetch(struct vmm_vcpu *vcpu, u8 bytes[15], bool atomic)
{
	struct reader reader = { .vm = vcpu->vm };
	unsigned int n;

	if (!atomic)
		return fetch(vcpu, &reader, bytes, false);
	atomic_begin(&reader);
	n = fetch(vcpu, &reader, bytes, true);
	atomic_end();
	return n;
}
