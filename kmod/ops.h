/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The vendor table: everything that differs between the two hardware
 * extensions, and nothing else. One const struct a backend, no optional
 * members, no policy: what a guest may see or do is decided in neutral code,
 * and a backend only says how the CPU is told.
 *
 * Contexts used below:
 *   [load]  a task, between vcpu_load and vcpu_put, preemption off or the
 *           preempt notifier armed; vcpu->lock held
 *   [entry] as [load], and IRQs off, vcpu->mode is VMM_IN_GUEST
 *   [sleep] may sleep, no spin lock held
 */
#ifndef VMM_OPS_H
#define VMM_OPS_H

#include "decode.h"
#include "types.h"

struct vmm_vm;
struct vmm_vcpu;
struct vmm_event;
struct vmm_exit;
struct vmm_pte_format;

/* What the hardware offers: filled by probe(), constant after setup(). */
struct vmm_caps {
	u64 features;		/* VMM_FEATURE_* of the ABI */
	bool nested;		/* in: it is wanted; out: nested paging is what VMs get */
	bool shadow;		/* out: VMs may have shadow paging (they must, if not @nested) */
	u8 levels;		/* of the nested page table */
	bool pdpte_registers;	/* PAE's top table is in ctrl.pdpte, not read at each walk */
	bool virtual_apic;	/* VMM_STATE_APIC: the CPU may have a part of an APIC */
	bool deadline;		/* there is exit_at() */
	u8 tsc_fraction;	/* bits of a TSC ratio behind the point; 0: no scaling */
	u64 tsc_ratio_max;
	bool no_rdtscp;		/* instructions that guests cannot execute here, */
	bool no_invpcid;	/* though the CPU has them */
	bool no_xsaves;
	const struct vmm_pte_format *nested_format;	/* of the nested page table */
	const char *why;	/* why probe() failed: cause and cure in words */
};

/* What event_ready, event_window and event_inject are asked about. */
enum vmm_event_kind {
	VMM_KIND_INTR,
	VMM_KIND_NMI,
};

enum vmm_flush {
	VMM_FLUSH_ALL,		/* every translation of this vCPU */
	VMM_FLUSH_GVA,		/* the guest's translations of one address */
};

struct vmm_ops {
	const char *name;
	u32 backend;		/* VMM_BACKEND_* */
	enum insn_class hypercall;	/* the instruction that exits as VMM_X_HYPERCALL */
	size_t vm_size;		/* of the struct that starts with struct vmm_vm */
	size_t vcpu_size;	/* of the struct that starts with struct vmm_vcpu */

	/*
	 * probe - can this machine run guests? [sleep], module load. Fills @caps
	 * from CPUID and MSRs of this CPU and changes nothing. -EOPNOTSUPP with
	 * caps->why set: absent or locked by firmware.
	 */
	int (*probe)(struct vmm_caps *caps);

	/* setup - allocate what all VMs share. [sleep], once after probe(). */
	int (*setup)(void);
	/* teardown - the reverse; no CPU is enabled any more. [sleep] */
	void (*teardown)(void);

	/*
	 * cpu_enable - switch the extension on, on this CPU. IRQs off. -EBUSY,
	 * nothing changed: another hypervisor has it on.
	 */
	int (*cpu_enable)(void);
	/*
	 * cpu_disable - switch it off again, on this CPU. IRQs off; also from
	 * CPU offline, reboot, and the crash path. Does nothing when not on.
	 */
	void (*cpu_disable)(void);

	/* vm_init - the backend's part of a new VM, zeroed. [sleep] */
	int (*vm_init)(struct vmm_vm *vm);
	/* vm_destroy - the reverse; no vCPU is left. [sleep] */
	void (*vm_destroy)(struct vmm_vm *vm);

	/* vcpu_create - allocate control structures of a new vCPU. [sleep] */
	int (*vcpu_create)(struct vmm_vcpu *vcpu);
	/* vcpu_destroy - free them; not loaded anywhere. [sleep] */
	void (*vcpu_destroy)(struct vmm_vcpu *vcpu);
	/*
	 * vcpu_reset - the backend's own state (not what state_push carries) as
	 * after power-up or INIT. [load]
	 */
	void (*vcpu_reset)(struct vmm_vcpu *vcpu);

	/*
	 * vcpu_load - make the vCPU's control structure current on @cpu, this
	 * CPU, and save what of the host enter() does not restore. Preemption
	 * off. Called again by the preempt notifier when the task comes back.
	 */
	void (*vcpu_load)(struct vmm_vcpu *vcpu, int cpu);
	/* vcpu_put - the reverse; the host's state is as before vcpu_load. */
	void (*vcpu_put)(struct vmm_vcpu *vcpu);

	/*
	 * state_pull - copy sections @mask of the hardware's state into the
	 * vCPU's cache. [load]. Called by vmm_pull() only, for sections the
	 * cache does not hold.
	 */
	void (*state_pull)(struct vmm_vcpu *vcpu, u64 mask);
	/*
	 * state_push - copy sections @mask of the cache into the hardware's
	 * state. [entry]. Values are valid: checked by neutral code.
	 */
	void (*state_push)(struct vmm_vcpu *vcpu, u64 mask);

	/*
	 * get_msr, set_msr - MSRs that live in hardware while the guest runs
	 * (those with VMM_MSR_HW in the policy table). [load]. The value was
	 * checked. -EINVAL: this backend keeps no such MSR.
	 */
	int (*get_msr)(struct vmm_vcpu *vcpu, u32 index, u64 *value);
	int (*set_msr)(struct vmm_vcpu *vcpu, u32 index, u64 value);

	/*
	 * set_intercepts - derive the intercepts from the cached CTRL section
	 * and vcpu->policy. [load]. What safety needs is on always; with shadow
	 * paging so are #PF, INVLPG, INVPCID and MOV to and from CR3.
	 */
	void (*set_intercepts)(struct vmm_vcpu *vcpu);

	/*
	 * enter - run the guest until an exit. [entry]. General registers are
	 * in vcpu->regs before and after; other sections of the cache are stale
	 * after (vcpu->have is VMM_STATE_REGS). Host NMIs are served inside.
	 */
	void (*enter)(struct vmm_vcpu *vcpu);
	/*
	 * exit_at - the next enter() exits when the host's TSC is @tsc, not sooner for its sake;
	 * it has just been @now, which is less. The kind is VMM_X_INTR. [entry], only with
	 * vmm_caps.deadline. Said before each entry that it is for; one without it may exit once
	 * for what was said before.
	 */
	void (*exit_at)(struct vmm_vcpu *vcpu, u64 now, u64 tsc);
	/*
	 * exit_irqoff - what has to happen before host IRQs are enabled: machine
	 * check, NMI, the log of written pages. [entry], once a turn, behind its
	 * last exit: what vmm_exit_fast() finishes needs none of that.
	 */
	void (*exit_irqoff)(struct vmm_vcpu *vcpu);
	/*
	 * decode_exit - the hardware's exit in neutral words. [load], IRQs on or
	 * off. Reads control structures only, never guest memory.
	 */
	void (*decode_exit)(struct vmm_vcpu *vcpu, struct vmm_exit *exit);
	/*
	 * advance_rip - skip @length bytes: RIP and the interrupt shadow, nothing
	 * else; traps are the caller's (vmm_skip()). Returns the guest's breakpoints, as
	 * in DR6, that the instruction before has hit and the shadow has held back. [load]
	 */
	u64 (*advance_rip)(struct vmm_vcpu *vcpu, unsigned int length);

	/* event_ready - could the guest take a @kind now? [entry] */
	bool (*event_ready)(struct vmm_vcpu *vcpu, enum vmm_event_kind kind);
	/* event_inject - deliver @event at the next enter(). [entry] */
	void (*event_inject)(struct vmm_vcpu *vcpu, const struct vmm_event *event);
	/*
	 * event_window - exit as soon as event_ready(@kind), or earlier: the
	 * window closes itself at the exit. [entry]
	 */
	void (*event_window)(struct vmm_vcpu *vcpu, enum vmm_event_kind kind);
	/*
	 * event_interrupted - did the last exit interrupt the delivery of an event?
	 * [load], before the exit is handled. True: what was accessed is not the
	 * operand of the instruction at RIP. *@event is set if the event has to be
	 * delivered again, left alone if its instruction comes again by itself.
	 */
	bool (*event_interrupted)(struct vmm_vcpu *vcpu, struct vmm_event *event);

	/* load_root - use the (nested or shadow) page table at @root. [entry] */
	void (*load_root)(struct vmm_vcpu *vcpu, hpa_t root);
	/* flush_tlb - before the next guest instruction. [entry] */
	void (*flush_tlb)(struct vmm_vcpu *vcpu, enum vmm_flush scope, gva_t gva);
	/* dump - control structure into the host's log, once. [load] */
	void (*dump)(struct vmm_vcpu *vcpu);
};

/*
 * The members listed in hot_ops.h are called as vmm_op(enter)(vcpu), not as
 * vmm_ops->enter(vcpu).
 */
#define vmm_op(name)	static_call(vmm_op_##name)

#endif
