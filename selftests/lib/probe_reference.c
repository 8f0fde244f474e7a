// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What an access has to do, by the manuals ("Paging"), written without a look at the
 * module's walker; and the comparison with what it did.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cpuid.h>

#include "guest.h"
#include "probe.h"

#define ERR_P	1U
#define ERR_W	2U
#define ERR_U	4U
#define ERR_RSV	8U
#define ERR_I	16U
#define ERR_PK	32U

#define PKRU_AD	1U
#define PKRU_WD	2U

u64 probe_entry(struct vm *vm, enum probe_mode mode, u64 gpa)
{
	u64 entry = 0;

	memcpy(&entry, vm_ptr(vm, gpa), probe_entry_size(mode));
	return entry;
}

void probe_set_entry(struct vm *vm, enum probe_mode mode, u64 gpa, u64 entry)
{
	memcpy(vm_ptr(vm, gpa), &entry, probe_entry_size(mode));
}

/* As the reference sees it: what memory has to be where it does not yet say so. */
static u64 entry_seen(const struct probe *probe, u64 gpa)
{
	u64 entry = 0;

	/* Whoever gives such tables looks at the steps. */
	if (gpa >= GUEST_MEM_SIZE)
		return 0;
	if (!probe->model || gpa < PROBE_POOL ||
	    (gpa >= PROBE_POOL + PROBE_POOL_PAGES * 4096UL && gpa < GUEST_DATA2))
		return probe_entry(probe->vcpu->vm, probe->mode, gpa);
	memcpy(&entry, probe->model->memory + gpa, probe_entry_size(probe->mode));
	return entry;
}

bool probe_system_ac(void)
{
	return host_is_tcg();
}

bool probe_has_gib_pages(void)
{
	u32 a, b, c, d;

	return __get_cpuid(0x80000001, &a, &b, &c, &d) && (d & (1U << 26));
}

static u64 ones(unsigned int from, unsigned int to)
{
	return from > to ? 0 : (~0UL >> (63 - to)) & ~((1UL << from) - 1);
}

/* Bits that must be 0 in an entry of @level that is a page (@page) or a table. */
static u64 reserved(const struct probe *probe, unsigned int level, bool page)
{
	static u32 phys;
	u64 bits;

	if (!phys)
		phys = get_info().phys_bits;
	if (probe->mode == PROBE_32)
		return 0;
	if (probe->mode == PROBE_32_PSE)
		/* Above 40 bits there is nothing to reserve but bit 21. */
		return page && level == 2 ?
		       1UL << 21 | (phys < 40 ? ones(phys - 32 + 13, 20) : 0) : 0;
	bits = ones(phys, 51) | (probe->env & PROBE_NXE ? 0 : PTE_NX);
	if (probe->mode == PROBE_PAE) {
		bits |= ones(52, 62);
		if (level == 3)
			return bits | PTE_NX | ones(5, 8) | PTE_W | PTE_U;
	}
	if (page && level > 1)
		return bits | ones(13, 11 + 9 * (level - 1));
	return bits | (level > 3 || (level == 3 && !probe_has_gib_pages()) ? PTE_PS : 0);
}

static bool is_page(const struct probe *probe, unsigned int level, u64 entry)
{
	if (level == 1)
		return true;
	if (!(entry & PTE_PS))
		return false;
	switch (probe->mode) {
	case PROBE_32_PSE:
	case PROBE_PAE:
		return level == 2;
	case PROBE_LONG:
		return level == 2 || (level == 3 && probe_has_gib_pages());
	default:
		return false;
	}
}

static bool is_write(const struct probe_access *access)
{
	return access->kind == PROBE_WRITE || access->kind == PROBE_SYSTEM_WRITE;
}

/* An implicit access is the supervisor's, whoever runs. */
static bool is_user(const struct probe_access *access)
{
	return access->user && !probe_is_system(access->kind);
}

static bool allowed(const struct probe *probe, const struct probe_access *access, bool w, bool u,
		    bool nx)
{
	if (access->kind == PROBE_EXEC && nx)
		return false;
	if (is_user(access))
		return u && (!is_write(access) || w);
	if (access->kind == PROBE_EXEC)
		return !u || !(probe->env & PROBE_SMEP);
	/* EFLAGS.AC is for explicit accesses only. */
	if (u && (probe->env & PROBE_SMAP) && (!access->ac || probe_is_system(access->kind)))
		return false;
	return !is_write(access) || w || !(probe->env & PROBE_WP);
}

/* Keys are long mode's, and for data of pages that users may have. */
static bool key_forbids(const struct probe *probe, const struct probe_access *access, bool u,
			u64 entry)
{
	const u32 forbidden = probe->pkru >> (entry >> 59 & 15) * 2;

	if (probe->mode != PROBE_LONG || !(probe->env & PROBE_PKE) || !u ||
	    access->kind == PROBE_EXEC)
		return false;
	return (forbidden & PKRU_AD) ||
	       ((forbidden & PKRU_WD) && is_write(access) &&
		(is_user(access) || (probe->env & PROBE_WP)));
}

static u32 error_code(const struct probe *probe, const struct probe_access *access, u32 cause)
{
	bool fetch = (probe->env & PROBE_SMEP) ||
		     ((probe->env & PROBE_NXE) && probe->mode >= PROBE_PAE);

	return cause | (is_write(access) ? ERR_W : 0) | (is_user(access) ? ERR_U : 0) |
	       (access->kind == PROBE_EXEC && fetch ? ERR_I : 0);
}

void probe_reference(const struct probe *probe, const struct probe_access *access,
		     struct reference *ref)
{
	const unsigned int bits = probe->mode < PROBE_PAE ? 10 : 9;
	const unsigned int size = probe_entry_size(probe->mode);
	const u64 address = probe->mode < PROBE_PAE ? 0xfffff000UL : ones(12, 51);
	unsigned int level = probe_levels(probe->mode);
	u64 table = probe->cr3 & ~0x1fUL, gva = access->gva, entry, inside;
	bool w = true, u = true, nx = false, page;

	memset(ref, 0, sizeof(*ref));
	ref->gpa = gva;
	if (probe->mode == PROBE_FLAT)
		return;
	ref->fault = true;
	for (;; level--) {
		const unsigned int shift = 12 + bits * (level - 1);
		const bool top = probe->mode == PROBE_PAE && level == 3;
		const u64 at = table + ((gva >> shift) & ((1U << bits) - 1)) * size;

		entry = entry_seen(probe, at);
		ref->step[ref->steps].gpa = at;
		ref->step[ref->steps].entry = entry;
		ref->step[ref->steps++].no_used = top;
		if (!(entry & PTE_P)) {
			ref->error = error_code(probe, access, 0);
			return;
		}
		page = is_page(probe, level, entry);
		if (entry & reserved(probe, level, page)) {
			ref->error = error_code(probe, access, ERR_P | ERR_RSV);
			return;
		}
		if (!top) {
			w &= !!(entry & PTE_W);
			u &= !!(entry & PTE_U);
			nx |= !!(entry & PTE_NX);
		}
		if (page)
			break;
		table = entry & address;
	}
	if (key_forbids(probe, access, u, entry)) {
		ref->error = error_code(probe, access, ERR_P | ERR_PK);
		return;
	}
	if (!allowed(probe, access, w, u, nx)) {
		ref->error = error_code(probe, access, ERR_P);
		return;
	}
	ref->fault = false;
	inside = (1UL << (12 + bits * (level - 1))) - 1;
	ref->gpa = (entry & address & ~inside) | (gva & inside);
	if (probe->mode == PROBE_32_PSE && level == 2)
		ref->gpa |= ((entry >> 13) & 0xff) << 32;
}

/* ---- comparing ---- */

const char *probe_differs(const struct probe *probe, const struct probe_access *access,
			  const char *format, ...)
{
	static const char *const kinds[] = {
		[PROBE_READ] = "read", [PROBE_WRITE] = "write", [PROBE_EXEC] = "execution",
		[PROBE_SYSTEM_READ] = "implicit read", [PROBE_SYSTEM_WRITE] = "implicit write",
		[PROBE_INVLPG] = "INVLPG", [PROBE_LOAD_CR3] = "CR3", [PROBE_LOAD_CR4] = "CR4",
		[PROBE_LOAD_CR0] = "CR0", [PROBE_STORE] = "store", [PROBE_LOAD_TR] = "LTR",
		[PROBE_LOAD_PKRU] = "PKRU",
	};
	static char text[300];
	va_list args;
	int n;

	n = snprintf(text, sizeof(text), "%s, env %#x, %s%s%s of %#lx: ",
		     probe_mode_name[probe->mode], probe->env, access->user ? "user " : "",
		     access->ac ? "AC " : "", kinds[access->kind], access->gva);
	va_start(args, format);
	vsnprintf(text + n, sizeof(text) - n, format, args);
	va_end(args);
	return text;
}

/* With nested paging it is the emulated CPU that walks. */
static bool tcg_walks(void)
{
	static int known = -1;

	if (known < 0)
		known = host_is_tcg() && get_info().paging == VMM_PAGING_NESTED;
	return known;
}

u32 probe_error(u32 error)
{
	/* QEMU forgets to say that an entry with reserved bits was present. */
	return (error & ERR_RSV) && tcg_walks() ? error | ERR_P : error;
}

/*
 * Accessed bits: all of a translation that was used have one, those of one that
 * faulted may. Dirty: the page's after a write, and no other.
 */
static const char *check_used(struct probe *probe, const struct probe_access *access,
			      const struct reference *ref)
{
	unsigned int i;

	for (i = 0; i < ref->steps; i++) {
		const u64 now = probe_entry(probe->vcpu->vm, probe->mode, ref->step[i].gpa);
		u64 want = ref->step[i].entry, ignore = 0;

		if (!ref->step[i].no_used) {
			if (ref->fault)
				ignore = PTE_A;
			else
				want |= PTE_A;
			if (!ref->fault && access->kind == PROBE_WRITE && i == ref->steps - 1)
				want |= PTE_D;
		}
		if ((now ^ want) & ~ignore)
			return probe_differs(probe, access,
					     "entry %u at %#lx: expected %#lx, got %#lx",
					     i, ref->step[i].gpa, want, now);
	}
	return NULL;
}

static bool in_pool(u64 gpa)
{
	return gpa >= GUEST_DATA && gpa < GUEST_DATA + (2UL << 20);
}

const char *probe_check(struct probe *probe, const struct probe_access *access)
{
	struct vm *vm = probe->vcpu->vm;
	struct probe_result result;
	struct reference ref;
	u8 before = 0, want;

	probe_reference(probe, access, &ref);
	if (!ref.fault && ref.gpa < GUEST_MEM_SIZE)
		before = *(u8 *)vm_ptr(vm, ref.gpa);
	probe_do(probe, access, &result);
	result.error = probe_error(result.error);
	if (result.fault != ref.fault)
		return probe_differs(probe, access, "expected %s, got %s, error %#x, %#lx",
			       ref.fault ? "#PF" : "success", result.fault ? "#PF" : "success",
			       result.fault ? result.error : ref.error,
			       result.fault ? result.cr2 : ref.gpa);
	if (result.fault && result.error != ref.error)
		return probe_differs(probe, access, "error code: expected %#x, got %#x", ref.error,
			       result.error);
	if (result.fault && result.cr2 != access->gva)
		return probe_differs(probe, access, "CR2 is %#lx", result.cr2);
	if (!result.fault && access->kind == PROBE_WRITE) {
		want = access->value;
		result.value = *(u8 *)vm_ptr(vm, ref.gpa);
	} else {
		want = access->kind == PROBE_READ ? before : probe_id(ref.gpa);
		/* Reading a table sees what its own walk has set in it. */
		if (access->kind == PROBE_READ && in_pool(ref.gpa))
			want = *(u8 *)vm_ptr(vm, ref.gpa);
	}
	if (!result.fault && result.value != want)
		return probe_differs(probe, access, "at %#lx: expected %#x, got %#x", ref.gpa, want,
			       result.value);
	/* A write into a table may have hit its own translation. */
	if (!result.fault && access->kind == PROBE_WRITE && in_pool(ref.gpa))
		return NULL;
	return check_used(probe, access, &ref);
}
