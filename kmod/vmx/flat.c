// SPDX-License-Identifier: GPL-2.0-only
/*
 * Protected mode without paging, with nested paging on a CPU that runs no guest
 * without paging ("unrestricted guest" is missing or off): the CPU is given tables of
 * ours that map 4 GiB to themselves, and CR0.PG, CR4.PAE, which the guest's reads do
 * not show. With shadow paging the engine's tables for such a guest serve.
 *
 * The CPU translates the addresses of those tables through the nested table like any
 * address of the guest's. So that no guest can come upon them, they are in the nested
 * table of a vCPU in this mode only, at 4 GiB and above, where the identity map does
 * not lead. Such a vCPU has the top of its nested table for itself:
 *
 *   flat_table[]: level 3, entries 0 to 3	as in the VM's table, copied at each entry
 *                 level 3, entry 4		-> window -> the four page directories
 *
 * The four page directories and the window are the same for all VMs and never change:
 * accessed and dirty flags are set from the start.
 *
 * The copies are as good as the VM's own entries: they are taken after vcpu->mode
 * says IN_GUEST, and who makes entries of the VM's table absent waits until each vCPU
 * in that state has left the guest, before tables are freed (mmu/mmu.c, flush()).
 * Of a leaf of 1 GiB the CPU sets flags in the copy: such memory may look idle to the
 * host once too often, and dirty flags are not used.
 */
#include <linux/gfp.h>
#include <asm/io.h>

#include "../mmu/pte.h"
#include "vmx.h"

/* Guest-physical address of the page directories; entry of the level-3 table. */
#define FLAT_BASE	BIT_ULL(32)
#define FLAT_ENTRY	4
#define FLAT_GIB	4	/* what 32-bit addresses reach; a page directory each */

/* "PDE that Maps a 2-MByte Page": for user and supervisor, nothing left to be set */
#define PDE		(_PAGE_PRESENT | _PAGE_RW | _PAGE_USER | _PAGE_ACCESSED | \
			 _PAGE_DIRTY | _PAGE_PSE)

static u64 *directory[FLAT_GIB];
static u64 *window[2];		/* nested tables of level 1 and 2 */

static bool flat_is_used(void)
{
	return vmm_caps.nested && !vmx_config.unrestricted;
}

static u64 *table_alloc(gfp_t flags)
{
	return (u64 *)get_zeroed_page(flags);
}

static void table_free(u64 **table)
{
	free_page((unsigned long)*table);
	*table = NULL;
}

static void fill(void)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	unsigned int i, j;

	for (i = 0; i < FLAT_GIB; i++) {
		for (j = 0; j < VMM_PTES; j++)
			directory[i][j] = (u64)(i * VMM_PTES + j) << PMD_SHIFT | PDE;
		window[0][i] = vmm_pte_make_leaf(format, __pa(directory[i]), VMM_LEVEL_4K, true);
	}
	window[1][0] = vmm_pte_make_table(format, __pa(window[0]));
}

int vmx_flat_setup(void)
{
	bool complete = true;
	unsigned int i;

	if (!flat_is_used())
		return 0;
	for (i = 0; i < ARRAY_SIZE(directory); i++)
		complete &= !!(directory[i] = table_alloc(GFP_KERNEL));
	for (i = 0; i < ARRAY_SIZE(window); i++)
		complete &= !!(window[i] = table_alloc(GFP_KERNEL));
	if (!complete) {
		vmx_flat_teardown();
		return -ENOMEM;
	}
	fill();
	return 0;
}

void vmx_flat_teardown(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(window); i++)
		table_free(&window[i]);
	for (i = 0; i < ARRAY_SIZE(directory); i++)
		table_free(&directory[i]);
}

/* The vCPU's tables, from level 3 to the root. [sleep] */
int vmx_flat_create(struct vmx_vcpu *vmx)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	unsigned int i;

	if (!flat_is_used() || !vmx->config->ept)
		return 0;
	for (i = 0; i <= vmm_caps.levels - VMX_FLAT_LEVEL; i++) {
		vmx->flat_table[i] = table_alloc(GFP_KERNEL_ACCOUNT);
		if (!vmx->flat_table[i]) {
			vmx_flat_destroy(vmx);
			return -ENOMEM;
		}
		if (i)
			vmx->flat_table[i][0] =
				vmm_pte_make_table(format, __pa(vmx->flat_table[i - 1]));
	}
	vmx->flat_table[0][FLAT_ENTRY] = vmm_pte_make_table(format, __pa(window[1]));
	return 0;
}

void vmx_flat_destroy(struct vmx_vcpu *vmx)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vmx->flat_table); i++)
		table_free(&vmx->flat_table[i]);
}

bool vmx_flat_needed(const struct vmm_vcpu *vcpu)
{
	return flat_is_used() && vmm_vcpu_nested(vcpu) && !(vcpu->ctrl.cr0 & X86_CR0_PG);
}

/* To the identity map, or away from it. [load] */
void vmx_flat_set(struct vmx_vcpu *vmx, bool flat)
{
	if (vmx->flat == flat)
		return;
	vmx->flat = flat;
	/* The CPU would load PDPTEs from where the guest's CR3 points. */
	if (flat)
		vmx->controls |= CPU_BASED_CR3_LOAD_EXITING;
	else
		vmx->controls &= ~CPU_BASED_CR3_LOAD_EXITING;
	/* A root of old: vmm_mmu_load() is not asked again, so forget what is cached. */
	if (vmx->eptp)
		vmx_write_eptp(vmx);
	vmx->vpid_generation = 0;
}

void vmx_flat_push_pdptes(void)
{
	unsigned int i;

	for (i = 0; i < FLAT_GIB; i++)
		vmcs_write(GUEST_PDPTR0 + 2 * i, (FLAT_BASE + i * PAGE_SIZE) | _PAGE_PRESENT);
}

/* Before each turn on the identity map. [entry] */
void vmx_flat_refresh(struct vmx_vcpu *vmx)
{
	const struct vmm_pte_format *format = vmm_caps.nested_format;
	const u64 *table = __va(vmx->root);
	unsigned int level, i;
	u64 entry;

	for (level = vmm_caps.levels; level > VMX_FLAT_LEVEL && table; level--) {
		entry = READ_ONCE(table[0]);
		table = vmm_pte_present(format, entry) ? vmm_pte_table(format, entry) : NULL;
	}
	for (i = 0; i < FLAT_GIB; i++)
		vmx->flat_table[0][i] = table ? READ_ONCE(table[i]) : 0;
}
