// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's FPU and vector state, in the kernel's own container for guests: it
 * is in the CPU, or where a context switch put it, from vmm_fpu_load() to
 * vmm_fpu_put(), that is for one VMM_RUN; else in memory.
 *
 * XCR0 and IA32_XSS are the guest's only between vmm_fpu_enter() and
 * vmm_fpu_leave(), with IRQs off, because the host's XSAVE obeys them too.
 * CR4.OSXSAVE in the cache is always current, since every write of that bit exits;
 * while it is clear the guest can neither use XSAVE nor vector registers, and XCR0
 * is left alone. XSETBV exits as well, and vcpu->ctrl.xcr0 is the guest's value;
 * but there is an emulator (QEMU 7.2) that lacks that intercept, where the guest
 * sets the CPU's XCR0. So the CPU is asked before its value counts: the host never
 * goes on with a guest's, and what the guest set is not lost.
 *
 * PKRU is changed by instructions that do not exit, as XCR0 in that emulator; so it is
 * read from the CPU in the same places. The kernel's container has a place for it that the
 * kernel leaves alone.
 *
 * Supervisor state (XSS) is hidden from guests: IA32_XSS is 0 in the guest.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/fpu/api.h>
#include <asm/fpu/xcr.h>
#include <asm/pkru.h>

#include "vmm.h"

/* Power-up values (manual: "State of the processor after power-up, reset, INIT"). */
#define FPU_FCW_POWER_UP	0x0040
#define FPU_FTW_POWER_UP	0xff	/* abridged: all registers valid, +0.0 */
#define FPU_MXCSR_POWER_UP	0x1f80

/* "Initial configuration" of XRSTOR: as FNINIT leaves it, all registers empty */
#define FPU_FCW_INITIAL		0x037f

#define FPU_LEGACY_MASK		(XFEATURE_MASK_FP | XFEATURE_MASK_SSE)

struct vmm_fpu {
	struct fpu_guest guest;
	u64 host_xcr0;
	u64 host_xss;
	u32 host_pkru;
	u32 pkru;		/* the guest's, but for what it has changed since it was entered */
	bool entered;		/* between vmm_fpu_enter() and vmm_fpu_leave() */
};

static u64 guest_features(void)
{
	return vmm_cpuid_xcr0_supported() | FPU_LEGACY_MASK;
}

/* CPUID leaf "Processor Extended State Enumeration": size and offset of component @i. */
static u32 component_end(unsigned int i)
{
	u32 size, offset, c, d;

	cpuid_count(0xd, i, &size, &offset, &c, &d);
	return offset + size;
}

u32 vmm_fpu_size(void)
{
	static u32 known;
	u32 size = READ_ONCE(known);
	u64 extended;
	unsigned int i;

	if (size)
		return size;
	size = offsetof(struct xregs_state, extended_state_area);
	extended = guest_features() & ~(u64)FPU_LEGACY_MASK;
	for (i = 2; i < 63; i++)
		if (extended & BIT_ULL(i))
			size = max(size, component_end(i));
	WRITE_ONCE(known, size);
	return size;
}

/*
 * -EINVAL as VMM_SET_XSAVE; PKRU is initial without its component. The kernel's copy reads
 * the components that the header names, and of those only what guest_features() has.
 */
static int set_image(struct vmm_fpu *fpu, const struct xregs_state *image)
{
	u32 pkru = 0;
	int r;

	if (image->header.xcomp_bv ||
	    memchr_inv(image->header.reserved, 0, sizeof(image->header.reserved)))
		return -EINVAL;
	r = fpu_copy_uabi_to_guest_fpstate(&fpu->guest, image, guest_features(), &pkru);
	if (!r)
		fpu->pkru = pkru;
	return r;
}

static const struct xregs_state power_up = {
	.i387.cwd = FPU_FCW_POWER_UP,
	.i387.twd = FPU_FTW_POWER_UP,
	.i387.mxcsr = FPU_MXCSR_POWER_UP,
	.header.xfeatures = FPU_LEGACY_MASK,
};

int vmm_fpu_create(struct vmm_vcpu *vcpu)
{
	struct vmm_fpu *fpu = kzalloc(sizeof(*fpu), GFP_KERNEL_ACCOUNT);

	if (!fpu)
		return -ENOMEM;
	if (!fpu_alloc_guest_fpstate(&fpu->guest)) {
		kfree(fpu);
		return -ENOMEM;
	}
	if (boot_cpu_has(X86_FEATURE_OSXSAVE))
		fpu->host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl(MSR_IA32_XSS, fpu->host_xss);
	vcpu->fpu = fpu;
	return 0;
}

void vmm_fpu_destroy(struct vmm_vcpu *vcpu)
{
	fpu_free_guest_fpstate(&vcpu->fpu->guest);
	kfree(vcpu->fpu);
	vcpu->fpu = NULL;
}

/* Power-up; INIT leaves the state as it is. Not between load and put. */
void vmm_fpu_reset(struct vmm_vcpu *vcpu)
{
	WARN_ON_ONCE(set_image(vcpu->fpu, &power_up));
}

void vmm_fpu_load(struct vmm_vcpu *vcpu)
{
	fpu_swap_kvm_fpstate(&vcpu->fpu->guest, true);
}

void vmm_fpu_put(struct vmm_vcpu *vcpu)
{
	fpu_swap_kvm_fpstate(&vcpu->fpu->guest, false);
}

/* Does XCR0 matter to the guest, so that the CPU has to hold its value? */
static bool uses_xcr0(const struct vmm_vcpu *vcpu)
{
	return vcpu->ctrl.cr4 & X86_CR4_OSXSAVE;
}

/* Does PKRU, by its own instructions or as a component of XSAVE's? Writes of CR4.PKE exit, too. */
static bool uses_pkru(const struct vmm_vcpu *vcpu)
{
	return (vcpu->ctrl.cr4 & X86_CR4_PKE) || (vcpu->ctrl.xcr0 & XFEATURE_MASK_PKRU);
}

static void enter_pkru(struct vmm_vcpu *vcpu)
{
	struct vmm_fpu *fpu = vcpu->fpu;

	fpu->host_pkru = rdpkru();
	if (uses_pkru(vcpu) && fpu->pkru != fpu->host_pkru)
		wrpkru(fpu->pkru);
}

/* Behind that of XCR0: what the guest can have loaded is known. */
static void leave_pkru(struct vmm_vcpu *vcpu)
{
	struct vmm_fpu *fpu = vcpu->fpu;
	const u32 pkru = rdpkru();

	if (uses_pkru(vcpu))
		fpu->pkru = pkru;
	if (pkru != fpu->host_pkru)
		wrpkru(fpu->host_pkru);
}

u32 vmm_fpu_pkru(const struct vmm_vcpu *vcpu)
{
	const struct vmm_fpu *fpu = vcpu->fpu;

	return fpu->entered && uses_pkru(vcpu) ? rdpkru() : fpu->pkru;
}

void vmm_fpu_enter(struct vmm_vcpu *vcpu)
{
	struct vmm_fpu *fpu = vcpu->fpu;

	lockdep_assert_irqs_disabled();
	/* Since vmm_fpu_load() a context switch, or the kernel, used the FPU. */
	if (unlikely(test_thread_flag(TIF_NEED_FPU_LOAD)))
		switch_fpu_return();
	if (uses_xcr0(vcpu) && vcpu->ctrl.xcr0 != fpu->host_xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, vcpu->ctrl.xcr0);
	if (unlikely(fpu->host_xss))
		wrmsrl(MSR_IA32_XSS, 0);
	if (cpu_feature_enabled(X86_FEATURE_OSPKE))
		enter_pkru(vcpu);
	fpu->entered = true;
}

/* Take what the CPU holds for the guest's; returns it as it is. */
static u64 sync_xcr0(struct vmm_vcpu *vcpu)
{
	u64 xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);

	vcpu->ctrl.xcr0 = xcr0 & vmm_cpuid_xcr0_supported();
	return xcr0;
}

u64 vmm_fpu_xcr0(struct vmm_vcpu *vcpu)
{
	if (vcpu->fpu->entered && uses_xcr0(vcpu))
		sync_xcr0(vcpu);
	return vcpu->ctrl.xcr0;
}

void vmm_fpu_leave(struct vmm_vcpu *vcpu)
{
	struct vmm_fpu *fpu = vcpu->fpu;

	if (unlikely(fpu->host_xss))
		wrmsrl(MSR_IA32_XSS, fpu->host_xss);
	if (uses_xcr0(vcpu) && sync_xcr0(vcpu) != fpu->host_xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, fpu->host_xcr0);
	if (cpu_feature_enabled(X86_FEATURE_OSPKE))
		leave_pkru(vcpu);
	fpu->entered = false;
}

/* ---- VMM_GET_XSAVE, VMM_SET_XSAVE; the state is in memory ---- */

int vmm_fpu_get(struct vmm_vcpu *vcpu, const struct vmm_xsave *args)
{
	const u32 size = vmm_fpu_size();
	struct xregs_state *image;
	int r = 0;

	if (args->flags)
		return -EINVAL;
	if (args->size < size)
		return -ENOSPC;
	image = kvzalloc(size, GFP_KERNEL_ACCOUNT);
	if (!image)
		return -ENOMEM;
	fpu_copy_guest_fpstate_to_uabi(&vcpu->fpu->guest, image, size, guest_features(),
				       vcpu->fpu->pkru);
	/* Whether the component is initial the kernel says of its own value. */
	image->header.xfeatures |= guest_features() & XFEATURE_MASK_PKRU;
	/* Left to software by XSAVE; the kernel's marks for signal frames are not state. */
	memset(image->i387.sw_reserved, 0, sizeof(image->i387.sw_reserved));
	if (copy_to_user(u64_to_user_ptr(args->data), image, size))
		r = -EFAULT;
	kvfree(image);
	return r;
}

/*
 * Components of the legacy area that the header does not name are initial. The
 * kernel's copy knows that, but for a CPU without XSAVE, where it takes all.
 */
static void init_absent(struct xregs_state *image)
{
	if (!(image->header.xfeatures & XFEATURE_MASK_FP)) {
		image->i387.cwd = FPU_FCW_INITIAL;
		image->i387.swd = 0;
		image->i387.twd = 0;
		image->i387.fop = 0;
		image->i387.rip = 0;
		image->i387.rdp = 0;
		memset(image->i387.st_space, 0, sizeof(image->i387.st_space));
	}
	if (!(image->header.xfeatures & XFEATURE_MASK_SSE))
		memset(image->i387.xmm_space, 0, sizeof(image->i387.xmm_space));
}

int vmm_fpu_set(struct vmm_vcpu *vcpu, const struct vmm_xsave *args)
{
	const u32 size = vmm_fpu_size();
	struct xregs_state *image;
	int r;

	if (args->flags)
		return -EINVAL;
	if (args->size < size)
		return -ENOSPC;
	image = vmemdup_user(u64_to_user_ptr(args->data), size);
	if (IS_ERR(image))
		return PTR_ERR(image);
	init_absent(image);
	r = set_image(vcpu->fpu, image);
	kvfree(image);
	return r;
}
