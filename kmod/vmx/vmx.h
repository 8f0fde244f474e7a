/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VT-x backend: what its files share. Each file has a twin of the same
 * name for the other vendor, with the functions in the same order; apic.c, audit.c, caps.c,
 * flat.c, perf.c and pml.c have none: only this vendor's controls have to be negotiated, only
 * its CPUs are given a part of the APIC, forget what the host measures with and log pages,
 * and only they refuse to run without paging, and most states that do not fit together.
 */
#ifndef VMM_VMX_H
#define VMM_VMX_H

#include <asm/asm.h>
#include <asm/desc_defs.h>
#include <asm/vmx.h>

#include "../vmm.h"

/* Secondary control; asm/vmx.h has it, but not always by the same name. */
#define CONTROL_XSAVES	VMCS_CONTROL_BIT(XSAVES)

/* Those that let the CPU do an APIC's work. */
#define VMX_APIC_CONTROLS	(SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE | \
				 SECONDARY_EXEC_APIC_REGISTER_VIRT | \
				 SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY)

/*
 * MSRs that instructions of the guest use and the VMCS does not hold: switched
 * by vcpu_load and vcpu_put. vmx_config.switched has those of this CPU.
 */
enum vmx_switched {
	VMX_STAR,
	VMX_LSTAR,
	VMX_SYSCALL_MASK,
	VMX_TSC_AUX,
	VMX_EFER,
	VMX_NR_SWITCHED
};

/* What of the host's thread an exit does not bring back. */
struct vmx_host {
	u64 fs_base;			/* as in the VMCS */
	u64 user_gs_base;		/* MSR_KERNEL_GS_BASE while in the kernel */
	u64 cr3;			/* as in the VMCS */
	u64 cr4;
	u16 ds, es, fs, gs, ldt;
	bool clobbered;			/* an exit loaded what it always loads */
	bool perf_away;			/* perf.c: the three below are to be put back */
	u64 debugctl;
	const struct perf_guest_switch_msr *perf_msrs;
	int perf_nr;
};

/* flat.c: a vCPU's own tables are those of level 3 and above. */
#define VMX_FLAT_LEVEL	3
#define VMX_FLAT_TABLES	3

struct vmx_vcpu {
	struct vmm_vcpu vcpu;		/* first */
	const struct vmx_config *config;	/* with nested or with shadow paging */
	struct page *vmcs;
	struct page *pml;		/* NULL: without */
	u64 vmcs_pa;
	u64 msr[VMX_NR_SWITCHED];
	u64 kernel_gs_base;		/* in the MSR while loaded */
	u64 pat;			/* without effect: memory is write-back */
	u64 cstar;			/* without effect: no SYSCALL in compatibility mode */
	int active_cpu;			/* whose caches may hold the VMCS, or -1 */
	struct list_head active;	/* in vmx_cpu.active */
	u64 vpid_generation;		/* 0: needs a new VPID, and stale mappings dropped */
	hpa_t root;			/* of the nested table */
	u64 eptp;			/* 0: none yet */
	bool flat;			/* runs on the identity map: flat.c */
	u64 *flat_table[VMX_FLAT_TABLES];	/* lowest level first */
	u64 cr2;			/* of the guest, while it does not run */
	bool launched;
	bool unrunnable;		/* the guest is in a mode that the CPU cannot run */
	u8 refused_by;			/* the check that failed, see audit.c */
	u32 exit_reason;		/* as the CPU gave it, or enum vmx_no_exit */
	u32 entry_controls;		/* as in the VMCS */
	u32 controls;			/* primary; may differ from ... */
	u32 vmcs_controls;		/* ... those in the VMCS */
	bool apic_by_cpu;		/* the controls for it are on */
	bool wrong_vectoring;		/* as in the configuration, while they are */
	u8 entry_svi;			/* with it: in service at the last entry */
	u64 eoi_exits[4];		/* as in the VMCS */
	u64 vmcs_rsp;			/* what the VMCS holds, to write changes only */
	u64 vmcs_rflags;
	u32 vmcs_timer;			/* start value of the preemption timer, if there is one */
	u64 host_rsp;
	struct vmm_event injected;	/* while unrunnable: what was to be delivered */
	struct vmx_host host;
};

struct vmx_vm {
	struct vmm_vm vm;		/* first */
};

/* What VT-x needs on each CPU. */
struct vmx_cpu {
	struct page *vmxon;		/* the CPU's own */
	struct vmx_vcpu *current_vmcs;	/* whose VMCS VMREAD and VMWRITE reach */
	struct list_head active;	/* vCPUs whose VMCS this CPU may cache; IRQs off */
	u64 host_msr[VMX_NR_SWITCHED];
	u64 gs_base;			/* for the host-state area */
	u64 tr_base;
	u64 sysenter_esp;
	struct desc_ptr gdt;
	struct desc_ptr idt;
	u64 vpid_generation;
	u32 next_vpid;
	bool on;
};

/*
 * Controls and abilities of this machine; constant after probe(). With shadow paging
 * @primary, @secondary, @cr0_fixed, @vpid and @unrestricted are others.
 */
struct vmx_config {
	u32 revision;			/* of a VMCS */
	u32 pin;
	u32 primary;
	u32 secondary;
	u32 exit;
	u32 entry;
	u64 cr0_fixed;			/* bits that are set in VMX operation */
	u64 cr4_fixed;
	u32 turn;			/* longest start value of the preemption timer; 0: none */
	u8 timer_shift;			/* its unit: the TSC's bit that counts it down */
	enum vmx_switched switched[VMX_NR_SWITCHED];
	unsigned int nr_switched;
	bool ept;			/* nested paging */
	bool efer;			/* the VMCS has it */
	bool vpid;
	bool ept_ad;
	bool pml;			/* page-modification logging */
	bool unrestricted;
	bool virtual_nmi;
	bool virtual_apic;
	bool wrong_vectoring;		/* apic.c: an emulated CPU with a bug */
	bool zero_length;		/* of an injected software interrupt */
	bool invept_context;
	bool invvpid_address;
};

/* vmx_vcpu.exit_reason where the CPU gave none */
enum vmx_no_exit {
	VMX_NO_EXIT_REFUSED = 0x10000,	/* VMLAUNCH or VMRESUME failed */
	VMX_NO_EXIT_UNRUNNABLE,		/* not tried: see vmx_vcpu.unrunnable */
};

extern const struct vmm_ops vmx_ops;
extern const struct vmm_pte_format vmx_nested_format;
extern const struct vmm_pte_format vmx_nested_format_pml;
extern const struct vmm_pte_format vmx_nested_format_no_ad;
extern struct vmx_config vmx_config, vmx_shadow_config;
DECLARE_PER_CPU(struct vmx_cpu, vmx_cpu);

static inline struct vmx_vcpu *to_vmx(struct vmm_vcpu *vcpu)
{
	return container_of(vcpu, struct vmx_vcpu, vcpu);
}

/* Its secondary controls, but for those that switch_controls() has. */
static inline u32 vmx_secondary(const struct vmx_vcpu *vmx)
{
	return vmx->config->secondary |
	       (vmx->vcpu.vm->tsc_ratio ? SECONDARY_EXEC_TSC_SCALING : 0);
}

void vmx_write_failed(unsigned long field, unsigned long value);

/*
 * Fields of the current VMCS. A host that reboots switches the extension
 * off under a vCPU that is loaded: then a read is 0, and a write has no effect.
 */
static __always_inline unsigned long vmcs_read(unsigned long field)
{
	unsigned long value;

	asm volatile("1: vmread %1, %0\n"
		     "2:\n"
		     _ASM_EXTABLE_TYPE_REG(1b, 2b, EX_TYPE_ZERO_REG, "%0")
		     : "=r" (value) : "r" (field) : "cc");
	return value;
}

static __always_inline void vmcs_write(unsigned long field, unsigned long value)
{
	bool failed;

	asm volatile("1: vmwrite %[value], %[field]\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : "=@ccbe" (failed) : [field] "r" (field), [value] "rm" (value));
	if (unlikely(failed))
		vmx_write_failed(field, value);
}

/* caps.c */
int vmx_find_controls(struct vmm_caps *caps);

/* vmcs.c */
int vmx_bitmaps_create(void);
void vmx_bitmaps_destroy(void);
/* For MSR_BITMAP; with @apic what of the x2APIC is the CPU's does not exit. */
u64 vmx_bitmap(bool apic);
int vmx_vcpu_create(struct vmm_vcpu *vcpu);
void vmx_vcpu_destroy(struct vmm_vcpu *vcpu);
void vmx_vcpu_reset(struct vmm_vcpu *vcpu);
void vmx_set_intercepts(struct vmm_vcpu *vcpu);
void vmx_load_root(struct vmm_vcpu *vcpu, hpa_t root);
void vmx_write_eptp(struct vmx_vcpu *vmx);
void vmx_flush_tlb(struct vmm_vcpu *vcpu, enum vmm_flush scope, gva_t gva);
void vmx_assign_vpid(struct vmx_vcpu *vmx, struct vmx_cpu *cpu);
void vmx_flush_cpu(void);
void vmx_vmcs_load(struct vmx_vcpu *vmx, int cpu);
void vmx_vmcs_unload(struct vmx_vcpu *vmx);
void vmx_vmcs_clear_all(struct vmx_cpu *cpu);

/* run.c */
void vmx_vcpu_load(struct vmm_vcpu *vcpu, int cpu);
void vmx_vcpu_put(struct vmm_vcpu *vcpu);
void vmx_enter(struct vmm_vcpu *vcpu);
void vmx_exit_at(struct vmm_vcpu *vcpu, u64 now, u64 tsc);
void vmx_exit_irqoff(struct vmm_vcpu *vcpu);

/* enter.S: GPRs but RSP, which is in the VMCS. Not 0: the entry failed, as CF or ZF says. */
asmlinkage u32 vmx_world_switch(u64 *gpr, u64 *host_rsp, bool launched);
extern char vmx_world_exit[];		/* where an exit arrives */

/* perf.c */
void vmx_perf_begin(struct vmx_host *host);
void vmx_perf_end(struct vmx_host *host);

/* exit.c */
/* Which of the host's own interrupted the guest, if it was one with a vector; else 0 or another. */
u32 vmx_exit_vector(const struct vmx_vcpu *vmx);
void vmx_decode_exit(struct vmm_vcpu *vcpu, struct vmm_exit *exit);
u64 vmx_advance_rip(struct vmm_vcpu *vcpu, unsigned int length);

/* flat.c */
int vmx_flat_setup(void);
void vmx_flat_teardown(void);
int vmx_flat_create(struct vmx_vcpu *vmx);
void vmx_flat_destroy(struct vmx_vcpu *vmx);
/* Can the CPU run @ctrl only with an identity map that it takes for the guest's? */
bool vmx_flat_needed(const struct vmm_vcpu *vcpu);
void vmx_flat_set(struct vmx_vcpu *vmx, bool flat);
void vmx_flat_push_pdptes(void);
void vmx_flat_refresh(struct vmx_vcpu *vmx);

/* pml.c */
int vmx_pml_create(struct vmx_vcpu *vmx);
void vmx_pml_destroy(struct vmx_vcpu *vmx);
void vmx_pml_reset(struct vmx_vcpu *vmx);	/* VMCS current */
void vmx_pml_empty(struct vmx_vcpu *vmx);	/* with vmx->pml, behind an exit, IRQs off */

/* state.c */
/* The guest's control registers as the CPU has to run with them. */
void vmx_cpu_ctrl(const struct vmm_vcpu *vcpu, struct vmm_ctrl *cpu);
void vmx_state_pull(struct vmm_vcpu *vcpu, u64 mask);
void vmx_state_push(struct vmm_vcpu *vcpu, u64 mask);
u32 vmx_switched_msr(enum vmx_switched which);
int vmx_get_msr(struct vmm_vcpu *vcpu, u32 index, u64 *value);
int vmx_set_msr(struct vmm_vcpu *vcpu, u32 index, u64 value);

/* event.c */
bool vmx_event_ready(struct vmm_vcpu *vcpu, enum vmm_event_kind kind);
void vmx_event_inject(struct vmm_vcpu *vcpu, const struct vmm_event *event);
void vmx_event_window(struct vmm_vcpu *vcpu, enum vmm_event_kind kind);
bool vmx_event_interrupted(struct vmm_vcpu *vcpu, struct vmm_event *event);
void vmx_iret_faulted(struct vmx_vcpu *vmx);
void vmx_nmi_progress(struct vmx_vcpu *vmx);

/* apic.c */
void vmx_reset_apic(struct vmx_vcpu *vmx);
void vmx_push_apic(struct vmm_vcpu *vcpu);
/* With vmx_vcpu.wrong_vectoring: at each entry; and what @info, valid, has to be. */
void vmx_apic_note_entry(struct vmx_vcpu *vmx);
u32 vmx_apic_vectoring(const struct vmx_vcpu *vmx, u32 info);

/* audit.c */
unsigned int vmx_audit(const struct vmx_config *config);
const char *vmx_audit_claim(unsigned int number);

/* dump.c */
void vmx_dump(struct vmm_vcpu *vcpu);

#endif
