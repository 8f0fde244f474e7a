// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading guest memory by the guest's own addresses: translations for the
 * process, and the bytes of an instruction that exited.
 *
 * The walk itself is mmu/paging.h's; here it is made twice: once for any mode, and
 * once for what the fast exits of a modern guest need, on CPUs that give no
 * instruction length, where each instruction of ours counts.
 *
 * Physical width and 1 GiB pages are the machine's, not those of the guest's
 * CPUID: it is the machine's walker that the guest's accesses go through.
 */
#include <linux/nospec.h>
#include <linux/uaccess.h>

#include "memslot.h"
#include "mmu/guest.h"

#define LONG_4	(&paging_formats[PAGING_LONG_4])

static struct paging_cpu machine;

void vmm_walk_init(void)
{
	paging_cpu_init(&machine, boot_cpu_data.x86_phys_bits, boot_cpu_has(X86_FEATURE_GBPAGES),
			vmm_caps.pdpte_registers);
}

const struct paging_cpu *guest_machine(void)
{
	return &machine;
}

/* ---- entries ---- */

bool guest_entry_read(hva_t hva, unsigned int shift, u64 *entry)
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

int guest_entry_cmpxchg64(hva_t hva, u64 *old, u64 new)
{
	return __try_cmpxchg_user((u64 __user *)hva, old, new, fault);
}

int guest_entry_cmpxchg32(hva_t hva, u32 *old, u32 new)
{
	return __try_cmpxchg_user((u32 __user *)hva, old, new, fault);
}

/* ---- any mode ---- */

/* Sleeps for a page that is not there, unless page faults are disabled. */
static bool read_any(void *context, u64 gpa, unsigned int shift, u64 *entry)
{
	struct vmm_memory memory;

	return vmm_slot_find(context, gpa >> PAGE_SHIFT, &memory) &&
	       guest_entry_read(memory.hva + offset_in_page(gpa), shift, entry);
}

static bool walk_any(struct vmm_vcpu *vcpu, gva_t gva, u32 access, struct vmm_walk *walk)
{
	struct paging paging;

	if (!(vcpu->ctrl.efer & EFER_LMA))
		gva = (u32)gva;
	paging_setup(&paging, &vcpu->ctrl, vcpu->regs.rflags, vmm_fpu_pkru(vcpu), &machine);
	if (!paging.format) {
		walk->gpa = gva;
		return true;
	}
	switch (paging_walk(&paging, paging.format, gva, access, read_any, vcpu->vm, &walk->gpa,
			    &walk->error)) {
	case PAGING_OK:
		return true;
	case PAGING_UNREADABLE:
		/* All-ones, as from a bus with nobody there. */
		walk->error = paging_error(&paging, access, X86_PF_PROT | X86_PF_RSVD);
		break;
	case PAGING_FAULT:
		break;
	}
	return false;
}

bool vmm_walk(struct vmm_vcpu *vcpu, gva_t gva, u32 access, struct vmm_walk *walk, bool atomic)
{
	bool ok;

	if (!atomic)
		return walk_any(vcpu, gva, access, walk);
	pagefault_disable();
	ok = walk_any(vcpu, gva, access, walk);
	pagefault_enable();
	return ok;
}

static unsigned int fetch_any(struct vmm_vcpu *vcpu, u8 *bytes, bool atomic)
{
	const u32 access = VMM_ACCESS_EXEC | (vmm_cpl(vcpu) == 3 ? VMM_ACCESS_USER : 0);
	const bool flat = vmm_insn_mode(vcpu) == INSN_MODE_64;
	const gva_t start = vcpu->regs.rip + (flat ? 0 : vcpu->segs.seg[VMM_CS].base);
	unsigned int n, done;
	struct vmm_walk walk;

	for (done = 0; done < INSN_MAX_LENGTH; done += n) {
		/* Outside 64-bit mode addresses wrap at 4 GiB. */
		const gva_t gva = flat ? start + done : (u32)(start + done);

		if (!vmm_walk(vcpu, gva, access, &walk, atomic))
			break;
		n = min_t(unsigned int, INSN_MAX_LENGTH - done, PAGE_SIZE - offset_in_page(gva));
		if ((atomic ? vmm_guest_read_atomic(vcpu->vm, walk.gpa, bytes + done, n) :
			      vmm_guest_read(vcpu->vm, walk.gpa, bytes + done, n)))
			break;
	}
	return done;
}

/* ---- the exits of a modern guest: 4-level paging, IRQs off ---- */

/*
 * Reads are loads in one window of user access: the addresses come from a slot,
 * which passed access_ok() when it was made, and a guest cannot steer the CPU's
 * speculation out of it.
 */
struct window {
	const struct vmm_slots *slots;
	gpa_t start;		/* of the slot that was read last */
	u64 size;
	hva_t hva;		/* of start */
};

static __always_inline bool window_find(struct window *window, gpa_t gpa)
{
	const struct slot *slot = slots_search(window->slots, gpa >> PAGE_SHIFT);

	if (!slot)
		return false;
	window->start = slot->first << PAGE_SHIFT;
	window->size = slot->npages << PAGE_SHIFT;
	window->hva = slot->hva;
	return true;
}

static __always_inline bool window_hva(struct window *window, gpa_t gpa, hva_t *hva)
{
	if (unlikely(gpa - window->start >= window->size) && !window_find(window, gpa))
		return false;
	*hva = window->hva + array_index_nospec(gpa - window->start, window->size);
	return true;
}

static __always_inline bool read_window(void *context, u64 gpa, unsigned int shift, u64 *entry)
{
	hva_t hva;

	if (!window_hva(context, gpa, &hva))
		return false;
	unsafe_get_user(*entry, (u64 __user *)hva, fault);
	return true;

fault:
	return false;
}

/* 15 bytes at @gpa as two overlapping pieces of 8, when the page has as much. */
#define FETCH_SECOND	(INSN_MAX_LENGTH - sizeof(u64))

static __always_inline bool read_code(struct window *window, gpa_t gpa, u64 piece[2])
{
	hva_t hva;

	if (offset_in_page(gpa) > PAGE_SIZE - INSN_MAX_LENGTH || !window_hva(window, gpa, &hva))
		return false;
	unsafe_get_user(piece[0], (u64 __user *)hva, fault);
	unsafe_get_user(piece[1], (u64 __user *)(hva + FETCH_SECOND), fault);
	return true;

fault:
	return false;
}

static bool fetch_long(struct vmm_vcpu *vcpu, u8 *bytes)
{
	const u16 cs = vcpu->segs.seg[VMM_CS].attr, ss = vcpu->segs.seg[VMM_SS].attr;
	const bool user = (ss & VMM_SEG_DPL) == VMM_SEG_DPL;
	const u32 access = VMM_ACCESS_EXEC | (user ? VMM_ACCESS_USER : 0);
	struct window window __uninitialized;
	gva_t gva = vcpu->regs.rip;
	struct paging paging __uninitialized;
	enum paging_outcome outcome;
	u64 piece[2] __uninitialized;
	gpa_t gpa;
	u32 error;
	bool ok;

	if (!(cs & VMM_SEG_L))
		gva = (u32)(vcpu->segs.seg[VMM_CS].base + gva);
	paging_setup_as(&paging, LONG_4, &vcpu->ctrl, vcpu->regs.rflags, 0, &machine);
	window.slots = rcu_dereference_check(vcpu->vm->slots, irqs_disabled());
	if (!window_find(&window, paging.root) ||
	    !user_read_access_begin((void __user *)window.hva, window.size))
		return false;
	pagefault_disable();
	outcome = paging_walk(&paging, LONG_4, gva, access, read_window, &window, &gpa, &error);
	ok = outcome == PAGING_OK && read_code(&window, gpa, piece);
	user_read_access_end();
	pagefault_enable();
	if (!ok)
		return false;
	memcpy(bytes, &piece[0], sizeof(u64));
	memcpy(bytes + FETCH_SECOND, &piece[1], sizeof(u64));
	return true;
}

unsigned int vmm_fetch(struct vmm_vcpu *vcpu, u8 bytes[15], bool atomic)
{
	if (atomic) {
		lockdep_assert_irqs_disabled();
		if ((vcpu->ctrl.efer & EFER_LMA) && !(vcpu->ctrl.cr4 & X86_CR4_LA57) &&
		    likely(fetch_long(vcpu, bytes)))
			return INSN_MAX_LENGTH;
	}
	return fetch_any(vcpu, bytes, atomic);
}
