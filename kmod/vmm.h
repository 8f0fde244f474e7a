/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The objects of the module and what its files offer each other. Prototypes are
 * grouped by file. Lock keys of members:
 *   (c) constant after creation   (v) vm->lock      (u) vcpu->lock
 *   (m) vm->mmu.lock              (r) RCU, updates under vm->lock
 *   (a) atomic access by anyone   (t) the vCPU's thread, or vcpu->lock while idle
 * docs/locking.md has the order of the locks and the states of a vCPU.
 */
#ifndef VMM_H
#define VMM_H

#include <linux/atomic.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/rcuwait.h>
#include <linux/rwlock.h>
#include <linux/seqlock.h>
#include <linux/spinlock.h>
#include <linux/static_call.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <linux/vmm.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "compat.h"
#include "decode.h"
#include "ops.h"
#include "types.h"

struct vmm_apic;
struct vmm_cpuid_table;
struct vmm_dirty_log;
struct vmm_slots;
struct reclaim_entry;
struct shadow_mmu;
struct shadow_vcpu;

/* ---- outcomes ---- */

/* What the run loop does after an exit was handled. */
enum vmm_next {
	VMM_ENTER,		/* go on in the guest */
	VMM_USER,		/* the run page is filled: return to the process */
};

/* What a memory fault turned out to be. */
enum vmm_fault {
	VMM_FAULT_FIXED,	/* mapped: enter again */
	VMM_FAULT_RETRY,	/* raced with an invalidation, or a signal waits */
	VMM_FAULT_MMIO,		/* no slot, or a write to a read-only one */
	VMM_FAULT_ERROR,	/* the process's memory cannot be had */
	VMM_FAULT_GUEST,	/* shadow paging: a #PF for the guest, which was queued */
	VMM_FAULT_EMULATE,	/* shadow paging: a write that no entry can allow */
};

/* Who asks for an MSR: the guest (policy applies) or the process (save, restore). */
enum vmm_origin {
	VMM_ORIGIN_GUEST,
	VMM_ORIGIN_USER,
};

/* ---- exits, in neutral words ---- */

/* The ABI counts them one by one: each has its number there. */
enum vmm_exit_kind {
	VMM_X_INTR = VMM_STAT_INTR,		/* host interrupt; nothing to do */
	VMM_X_NMI = VMM_STAT_NMI,		/* host NMI; served already */
	VMM_X_EXCEPTION = VMM_STAT_EXCEPTION,	/* of the guest: exception.* */
	VMM_X_INTR_WINDOW = VMM_STAT_INTR_WINDOW,
	VMM_X_NMI_WINDOW = VMM_STAT_NMI_WINDOW,
	VMM_X_CPUID = VMM_STAT_CPUID,
	VMM_X_HLT = VMM_STAT_HLT,
	VMM_X_PIO = VMM_STAT_PIO,
	VMM_X_PIO_STRING = VMM_STAT_PIO_STRING,
	VMM_X_MSR_READ = VMM_STAT_MSR_READ,
	VMM_X_MSR_WRITE = VMM_STAT_MSR_WRITE,
	VMM_X_CR = VMM_STAT_CR,		/* cr.* */
	VMM_X_INVLPG = VMM_STAT_INVLPG,		/* INVLPG, INVPCID; shadow paging only */
	VMM_X_DR = VMM_STAT_DR,	/* dr.*: DR0 to DR3, writes of DR7; the rest is in hardware */
	VMM_X_XSETBV = VMM_STAT_XSETBV,
	VMM_X_HYPERCALL = VMM_STAT_HYPERCALL,
	VMM_X_MEMORY = VMM_STAT_MEMORY,		/* memory.* */
	VMM_X_WBINVD = VMM_STAT_WBINVD,		/* WBINVD, INVD: nothing to write back */
	VMM_X_PAUSE = VMM_STAT_PAUSE,
	VMM_X_RDPMC = VMM_STAT_RDPMC,
	VMM_X_UNDEFINED = VMM_STAT_UNDEFINED,	/* an instruction that guests do not have: #UD */
	VMM_X_TASK_SWITCH = VMM_STAT_TASK_SWITCH,
	VMM_X_REAL_MODE = VMM_STAT_REAL_MODE,	/* no exit: in a mode that the CPU cannot run */
	VMM_X_SHUTDOWN = VMM_STAT_SHUTDOWN,
	VMM_X_FAIL_ENTRY = VMM_STAT_FAIL_ENTRY,
	VMM_X_UNKNOWN = VMM_STAT_UNKNOWN,
	VMM_X_APIC = VMM_STAT_APIC,		/* apic.*: the CPU did an APIC's work, in part */
	VMM_X_NR = VMM_NR_STAT_EXIT
};

struct vmm_exit {
	enum vmm_exit_kind kind;
	u8 length;		/* of the instruction; 0: the CPU did not tell */
	/* An event, when it exited: not executing what is at RIP. Fast exits know it of memory. */
	bool delivering;
	union {
		struct {
			u8 vector;
			bool has_error;
			u32 error;
			u64 info;	/* #PF: address; #DB: DR6 bits, positive sense */
		} exception;
		struct {
			u16 port;
			u8 size;
			bool write;
		} pio;
		struct {
			u8 cr;		/* 0, 3, 4 or 8 */
			bool write;
		} cr;
		struct {
			u8 dr;
			bool write;
		} dr;
		struct {
			gpa_t gpa;
			u32 access;	/* VMM_ACCESS_* */
			bool walk;	/* the CPU was reading guest page tables */
		} memory;
		struct {
			bool eoi;	/* of @vector; else a write to the register at @offset */
			u8 vector;
			u16 offset;
		} apic;
		struct {
			u64 reason;
			u64 info[4];
		} raw;		/* FAIL_ENTRY, UNKNOWN */
	};
};

/* ---- the VM ---- */

/* Page tables of a VM; one nested table, or many shadow pages, for all its vCPUs. */
struct vmm_mmu {
	rwlock_t lock;
	spinlock_t push_lock;	/* tdp.c: one at a time brings protection down a level */
	hpa_t root;		/* (m) nested; VMM_INVALID_HPA before vmm_mmu_alloc_root() */
	struct shadow_mmu *shadow;	/* (c) NULL with nested paging */
	atomic_long_t pages;	/* (a) table pages */
	atomic_long_t aux;	/* (a) other pages, as in struct vmm_vm_stats */
	atomic_long_t reclaimed;	/* (a) table pages */
	unsigned long seq;	/* (m) invalidations that ended, and zaps */
	long invalidating;	/* (m) invalidations under way, all of them within */
	hva_t invalid_start;	/* (m) these user addresses */
	hva_t invalid_end;
	struct reclaim_entry *reclaim;	/* (c) mmu/reclaim.c's list */
	gfn_t reclaim_at;	/* (m) nested: where it goes on */
	u64 cleared;		/* (m) counts entries that were made absent */
	atomic64_t flushed;	/* (a) value of cleared that no TLB lags behind */
};

struct vmm_vm {
	struct kref users;		/* VM fd, each vCPU fd */
	struct mm_struct *mm;		/* (c) grabbed, not "got" */
	struct mutex lock;
	bool dead;			/* (a) a host bug was met: everything is -EIO */
	struct vmm_slots __rcu *slots;	/* (r) */
	struct vmm_mmu mmu;
	struct mmu_notifier notifier;
	struct xarray vcpus;		/* by id; entries stay until the VM goes */
	u32 nr_vcpus;			/* (v) */
	u32 last_yield;			/* (a) id of the vCPU that was last given time */
	seqcount_mutex_t clock_seq;	/* (v) for writing: the three below */
	u64 clock_tsc;			/* host TSC at which kvmclock showed */
	u64 clock_ns;			/* this many ns */
	s64 clock_offset;		/* kvmclock ns - host boot-time ns */
	u32 clock_stops;		/* (v) for writing: how often to tell of a stop */
	u64 tsc_offset;			/* (v) for writing: its TSC - vmm_host_tsc(), in ticks */
	u64 tsc_ratio;			/* (c) guest TSC : host TSC, see tsc.c; 0: 1 : 1 */
	u32 tsc_khz;			/* (c) of the guests' TSCs */
	struct list_head irqfds;	/* irqfd_lock in irq/irqfd.c */
	u32 nr_irqfds;			/* as irqfds */
	struct list_head resamplers;	/* as irqfds, and (r): those with a resample eventfd */
	struct list_head ioeventfds;	/* (r) */
	u32 nr_ioeventfds;		/* (v) */
	u64 ioeventfd_filter[2];	/* (v) for writing: which may match; memory, ports */
	struct work_struct free_work;
};

/* ---- the vCPU ---- */

/* vcpu->mode; edges and their functions are in docs/locking.md */
enum vmm_mode {
	VMM_IDLE,		/* no thread is in VMM_RUN */
	VMM_LOADED,		/* a thread is, in the kernel */
	VMM_IN_GUEST,		/* IRQs are off, requests were checked */
	VMM_BLOCKED,		/* sleeps until an event */
};

/* vcpu->requests: work for the vCPU's thread before it enters again */
enum vmm_request {
	VMM_REQ_FLUSH,		/* flush the TLB */
	VMM_REQ_ROOT,		/* shadow paging: find the root */
	VMM_REQ_CLOCK,		/* write kvmclock's page */
	VMM_REQ_TSC,		/* the VM's TSC was set */
	VMM_REQ_EVENT,		/* look for events; no data of its own */
	VMM_REQ_DEAD,		/* vm->dead was set */
	VMM_REQ_STEAL,		/* the thread was away: steal time, and what it missed */
	VMM_REQ_EOI,		/* ask the guest's memory about an EOI */
	VMM_REQ_STEP,		/* enter for one instruction */
	VMM_REQ_STEPPED,	/* and not again in this turn */
};

/* Sections of the cache that the ABI does not have; in vcpu->have and ->dirty */
#define VMM_STATE_CS		BIT_ULL(32)	/* of SEGS only CS and SS */
#define VMM_STATE_APIC		BIT_ULL(33)	/* ->dirty only: what vmm_apic_give() says */

/* What the next VMM_RUN has to do with the answer of the process. */
enum vmm_pending {
	VMM_PENDING_NONE,
	VMM_PENDING_PIO,	/* IN: run->pio.data into RAX */
	VMM_PENDING_MMIO,	/* load: run->mmio.data by vcpu->pending_insn */
};

struct vmm_fpu;			/* fpu.c */
struct vmm_msr_state;		/* msr.c */
struct vmm_pv;			/* pv.c */

struct vmm_vcpu {
	/* the exit path's own cache lines */
	struct vmm_regs regs;		/* (t) always current outside enter() */
	u64 have;			/* (t) sections of the cache that are current */
	u64 dirty;			/* (t) sections to push before entering */
	unsigned long requests;		/* (a) enum vmm_request */
	enum vmm_mode mode;		/* (a) */
	int cpu;			/* (a) loaded on, or -1 */
	struct vmm_exit exit;		/* (t) the last one */
	u64 exits[VMM_X_NR];		/* (t) how many of each kind; read by anyone */
	struct vmm_event event;		/* (t) to deliver before anything else */
	atomic_t nmi_pending;		/* (a) 0 to 2 */
	bool nmi_masked;		/* (t) */
	bool triple_fault;		/* (t) the next thing is VMM_EXIT_SHUTDOWN */
	bool kicked;			/* (a) HLT ends, or does not begin */
	bool preempted;			/* (a) by the host, while it could have gone on */
	u8 shadow;			/* (t) VMM_SHADOW_*, section EVENTS */
	u8 mp_state;			/* (a) written by the thread */
	u64 tsc_offset;			/* (t) its TSC - vmm_host_tsc(), in ticks */
	u64 tsc_base;			/* (t) of that: the VM's, as far as it was taken */
	u64 tsc_lost;			/* (t) by the host's TSC, as far as the backend knows */
	u64 deadline;			/* (t) of the timer, by the host's TSC; 0: none kept */
	struct vmm_segs segs;		/* (t) cached sections */
	struct vmm_ctrl ctrl;
	struct vmm_debug debug;		/* dr[] is always current: not kept in hardware */

	struct vmm_vm *vm;		/* (c) */
	u32 id;				/* (c) */
	struct mutex lock;
	struct vmm_run *run;		/* (c) shared with the process: trust nothing */
	struct page *run_page;		/* (c) */
	enum vmm_pending pending;	/* (t) */
	struct insn pending_insn;	/* (t) */
	u8 pending_size;		/* (t) of VMM_PENDING_PIO */
	bool ran;			/* (t) entered the guest at least once */
	bool loaded;			/* (t) between vcpu_load and vcpu_put */
	hpa_t root;			/* (t) as given to load_root */
	const hpa_t *root_wanted;	/* (c) the one to be loaded */
	struct shadow_vcpu *shadow_mmu;	/* (c) NULL with nested paging */
	int fault_errno;		/* (t) -errno: why VMM_FAULT_ERROR */
	struct vmm_guest_debug guest_debug;	/* (t) as the process asked */
	bool stepping;			/* (t) the turn is one instruction or one event */
	bool step_armed;		/* (t) RFLAGS.TF is the debugger's */
	bool wants_window;		/* (t) interrupt_window of this VMM_RUN */
	bool step_done;			/* (t) to be told at the next VMM_RUN */
	bool emulated;			/* (t) as VMM_EXIT_INSN: the process may have written */
	u64 step_rip;			/* (t) where the step began */
	u64 step_dr6;			/* (t) the guest's then */
	u32 poll_ns;			/* (t) to look for events before HLT sleeps */
	spinlock_t task_lock;
	struct task_struct *task;	/* task_lock; that was last in VMM_RUN, or NULL */
	u64 returns;			/* (t) of VMM_RUN with an exit; read by anyone */
	struct rcuwait wait;
	struct preempt_notifier preempt;
	struct vmm_apic *apic;		/* (c) */
	struct vmm_cpuid_table *cpuid;	/* (u) replaced before the first run only */
	struct vmm_fpu *fpu;		/* (c) */
	struct vmm_msr_state *msr;	/* (c) */
	struct vmm_pv *pv;		/* (c) */
	struct rcu_head rcu;
};

/* Does the CPU walk the guest's own tables, and a nested one of ours? Else shadow pages. */
static inline bool vmm_vm_nested(const struct vmm_vm *vm)
{
	return !vm->mmu.shadow;
}

static inline bool vmm_vcpu_nested(const struct vmm_vcpu *vcpu)
{
	return !vcpu->shadow_mmu;
}

/* Set at module load, constant after. */
extern const struct vmm_ops *vmm_ops;
extern struct vmm_caps vmm_caps;

#define VMM_HOT_OP(name, member) DECLARE_STATIC_CALL(vmm_op_##name, *(member))
#include "hot_ops.h"

/* ---- hw.c: the extension on every CPU ---- */
DECLARE_PER_CPU(bool, vmm_hw_enabled);	/* changes with IRQs off, on this CPU */
int vmm_hw_get(void);			/* [sleep] first user enables; -EBUSY, -EOPNOTSUPP */
void vmm_hw_put(void);			/* [sleep] last user disables */
int vmm_hw_init(void);
void vmm_hw_exit(void);

/* ---- ioctl.c: the dispatcher; fds of the three kinds ---- */
extern const struct file_operations vmm_system_fops;
int vmm_vm_fd(struct vmm_vm *vm);	/* takes over one reference, also on failure */
int vmm_vcpu_fd(struct vmm_vcpu *vcpu);	/* as vmm_vm_fd(), for vcpu->vm's */

/* ---- vm.c ---- */
/* @args were checked, but for the frequency. One reference; ERR_PTR */
struct vmm_vm *vmm_vm_create(const struct vmm_create_vm *args);
void vmm_vm_get(struct vmm_vm *vm);
void vmm_vm_put(struct vmm_vm *vm);	/* [sleep] */
void vmm_vm_kill(struct vmm_vm *vm);	/* after a host bug; any context with IRQs on */
int vmm_vm_init(void);
void vmm_vm_exit(void);		/* module exit: waits for the last VM's memory */
/* Set @req on all vCPUs; those that run or sleep take it soon. */
void vmm_vm_kick(struct vmm_vm *vm, enum vmm_request req);
/* Set @req on all vCPUs and wait until none runs without having seen it. */
void vmm_vm_request(struct vmm_vm *vm, enum vmm_request req);

/* ---- tsc.c: the guests' TSC ---- */
void vmm_tsc_init(void);		/* after probe(): is there scaling, and is it wanted? */
/* The new VM's frequency; 0: the host's. -EOPNOTSUPP, and why in the log. */
int vmm_tsc_set(struct vmm_vm *vm, u32 khz);
u64 vmm_tsc_scale(const struct vmm_vm *vm, u64 host);	/* in guests' ticks, without offset */
u64 vmm_guest_tsc(const struct vmm_vcpu *vcpu);
/*
 * What rdtsc(), @host now, will be when the guest's TSC is @guest: @host if it has been,
 * S64_MAX at most.
 */
u64 vmm_tsc_when(const struct vmm_vcpu *vcpu, u64 guest, u64 host);
u64 vmm_vm_tsc(const struct vmm_vm *vm, u64 host);	/* at vmm_host_tsc() @host */
/* It shows @tsc where vmm_host_tsc() is @host, and so its vCPUs, at their next turn. */
void vmm_vm_set_tsc(struct vmm_vm *vm, u64 host, u64 tsc);	/* vm->lock */
u64 vmm_ns_to_tsc(const struct vmm_vm *vm, u64 ns);	/* in guests' ticks, modulo 2^64 */
void vmm_tsc_reset(struct vmm_vcpu *vcpu);		/* it is the VM's */
/* Further by @ticks, and by what the VM's was since the vCPU took it: VMM_REQ_TSC is 0. */
void vmm_tsc_move(struct vmm_vcpu *vcpu, u64 ticks);
u64 vmm_tsc_own(const struct vmm_vcpu *vcpu);		/* how much further than the VM's */
/* The host's TSC as it counts for guests: suspend does not set it back. Ordered. */
u64 vmm_host_tsc(void);
void vmm_tsc_suspend(void);	/* IRQs are off, all tasks are frozen */
void vmm_tsc_resume(void);
void vmm_tsc_load(struct vmm_vcpu *vcpu);		/* before it runs after that */
u64 vmm_tsc_offset(const struct vmm_vcpu *vcpu);	/* for backends: from the CPU's own TSC */

/* ---- vcpu.c: life, run loop, kicks ---- */
struct vmm_vcpu *vmm_vcpu_create(struct vmm_vm *vm, u32 id);	/* vm->lock */
void vmm_vcpu_destroy(struct vmm_vcpu *vcpu);
int vmm_vcpu_run(struct vmm_vcpu *vcpu);			/* vcpu->lock */
void vmm_vcpu_load(struct vmm_vcpu *vcpu);			/* vcpu->lock */
void vmm_vcpu_put(struct vmm_vcpu *vcpu);
void vmm_vcpu_reset(struct vmm_vcpu *vcpu);	/* INIT; [load] */
void vmm_vcpu_power_up(struct vmm_vcpu *vcpu);	/* all but CPUID as when made; [load] */
void vmm_vcpu_kick(struct vmm_vcpu *vcpu);	/* any context: leave guest or sleep soon */

static inline void vmm_request(struct vmm_vcpu *vcpu, enum vmm_request req)
{
	/* What is asked for, before the bit. */
	smp_mb__before_atomic();
	set_bit(req, &vcpu->requests);
	/* The bit, before vcpu->mode is read; pairs with vcpu_enter(). */
	smp_mb__after_atomic();
}

/* ---- work.c ---- */
int vmm_guest_work(void);	/* [sleep] what waits for the thread; -EINTR: a signal */

/* ---- state.c: the cache of sections; GET_STATE, SET_STATE ---- */
static inline void vmm_pull(struct vmm_vcpu *vcpu, u64 mask)
{
	u64 missing = mask & ~vcpu->have;

	if (missing) {
		vmm_op(state_pull)(vcpu, missing);
		vcpu->have |= missing;
		if (missing & VMM_STATE_SEGS)
			vcpu->have |= VMM_STATE_CS;
	}
}

/* The caller changed sections @mask of the cache, all of which it had pulled. */
static inline void vmm_dirty(struct vmm_vcpu *vcpu, u64 mask)
{
	vcpu->dirty |= mask;
}

void vmm_state_get(struct vmm_vcpu *vcpu, u64 mask, struct vmm_state *state);	/* [load] */
int vmm_state_set(struct vmm_vcpu *vcpu, u64 mask, const struct vmm_state *state);
void vmm_state_reset(struct vmm_vcpu *vcpu);	/* power-up or INIT values */
/* Guest writes to control registers: 0, or -EINVAL: #GP. [load] */
int vmm_set_cr0(struct vmm_vcpu *vcpu, u64 value);
int vmm_set_cr3(struct vmm_vcpu *vcpu, u64 value);
int vmm_set_cr4(struct vmm_vcpu *vcpu, u64 value);
int vmm_set_efer(struct vmm_vcpu *vcpu, u64 value);
int vmm_set_xcr0(struct vmm_vcpu *vcpu, u64 value);
int vmm_set_dr7(struct vmm_vcpu *vcpu, u64 value);
#define DR6_BD	BIT(13)		/* "Debug Status Register (DR6)": general detect */
/* Needs DEBUG. DR4 and DR5 are other names of DR6 and DR7. */
int vmm_set_dr(struct vmm_vcpu *vcpu, u8 dr, u64 value);
u64 vmm_get_dr(const struct vmm_vcpu *vcpu, u8 dr);
/* Is the top table of four entries in force? CR0.PG, CR4.PAE and EFER are always current. */
static inline bool vmm_pae_paging(const struct vmm_ctrl *ctrl)
{
	return (ctrl->cr0 & X86_CR0_PG) && (ctrl->cr4 & X86_CR4_PAE) && !(ctrl->efer & EFER_LMA);
}

/* PAE's top table as it is in force, else zeros. Needs CTRL. [sleep] */
void vmm_get_pdptes(struct vmm_vcpu *vcpu, u64 pdpte[4]);

/* Needs sections CTRL and CS. */
enum insn_mode vmm_insn_mode(const struct vmm_vcpu *vcpu);
unsigned int vmm_cpl(const struct vmm_vcpu *vcpu);
/* Could the guest use the linear @address now? */
bool vmm_canonical(const struct vmm_vcpu *vcpu, u64 address);
/* Could it in any mode: what registers may hold that have bases of segments or entry points. */
bool vmm_canonical_base(const struct vmm_vcpu *vcpu, u64 address);

/* "Debug Control Register (DR7)": breakpoints enabled, general detect enable */
#define DR7_ENABLES		0xffULL
#define DR7_GENERAL_DETECT	BIT(13)

/* ---- event.c: what is delivered, in which order ---- */
void vmm_queue_exception(struct vmm_vcpu *vcpu, u8 vector);	/* [load] */
void vmm_queue_exception_error(struct vmm_vcpu *vcpu, u8 vector, u32 error);
/* #DB, for the reasons @bits of DR6: B0 to B3, BD, BS. [load] */
void vmm_queue_debug(struct vmm_vcpu *vcpu, u64 bits);
void vmm_queue_page_fault(struct vmm_vcpu *vcpu, gva_t gva, u32 error);	/* sets CR2 */
bool vmm_events_pending(struct vmm_vcpu *vcpu);	/* would HLT end? any context of the thread */
void vmm_events_deliver(struct vmm_vcpu *vcpu);	/* [entry] */
/* Could the guest take an interrupt from outside of its APIC now? [load] */
bool vmm_interrupt_window(struct vmm_vcpu *vcpu);
void vmm_nmi(struct vmm_vcpu *vcpu);		/* any context */

/* ---- debug.c: a debugger in the process ---- */
int vmm_set_guest_debug(struct vmm_vcpu *vcpu, const struct vmm_guest_debug *debug); /* [load] */
/* Is the exception the debugger's? Then the run page is filled. [load] */
bool vmm_debug_takes(struct vmm_vcpu *vcpu, const struct vmm_exit *exit);
void vmm_step_begin(struct vmm_vcpu *vcpu);	/* before vcpu_enter(); [load] */
void vmm_step_arm(struct vmm_vcpu *vcpu);	/* VMM_REQ_STEP; [entry] */
void vmm_step_disarm(struct vmm_vcpu *vcpu);	/* an event is delivered; [entry] */
/* After it; true: its trap ended the step, and the exit needs no handling. [load] */
bool vmm_step_end(struct vmm_vcpu *vcpu, bool entered);
enum vmm_next vmm_step_report(struct vmm_vcpu *vcpu);	/* VMM_EXIT_DEBUG */

/* Exceptions that exit during a step; with shadow paging #PF always does. */
#define VMM_STEP_FAULTS	(BIT(X86_TRAP_DE) | BIT(X86_TRAP_BR) | BIT(X86_TRAP_UD) | \
			 BIT(X86_TRAP_NM) | BIT(X86_TRAP_TS) | BIT(X86_TRAP_NP) | \
			 BIT(X86_TRAP_SS) | BIT(X86_TRAP_GP) | BIT(X86_TRAP_PF) | \
			 BIT(X86_TRAP_MF) | BIT(X86_TRAP_AC) | BIT(X86_TRAP_XF))

enum vmm_watched {		/* "Debug Control Register (DR7)": R/W0 to R/W3 */
	VMM_WATCHED_WRITE = 1,
	VMM_WATCHED_PORT = 2,
	VMM_WATCHED_READ = 3,
};

u64 vmm_debug_match(struct vmm_vcpu *vcpu, enum vmm_watched access, u64 address,
		    unsigned int size);

/*
 * The guest's breakpoints, as bits of DR6, that an access hits which the CPU did not make:
 * @size bytes at the linear @address or the port. [load]
 */
static inline u64 vmm_debug_hits(struct vmm_vcpu *vcpu, enum vmm_watched access, u64 address,
				 unsigned int size)
{
	/* Enables are current in the cache: the guest cannot set one without an exit. */
	if (likely(!(vcpu->debug.dr7 & DR7_ENABLES)))
		return 0;
	return vmm_debug_match(vcpu, access, address, size);
}

/* For backends: exceptions that exit only because a debugger wants them. */
static inline u32 vmm_debug_exceptions(const struct vmm_vcpu *vcpu)
{
	u32 flags = vcpu->guest_debug.flags;

	return (flags & VMM_DEBUG_INT3 ? BIT(X86_TRAP_BP) : 0) |
	       (flags & VMM_DEBUG_STEP ? VMM_STEP_FAULTS : 0);
}

/* For backends: the breakpoints that the CPU has to have. */
static inline const u64 *vmm_cpu_dr(const struct vmm_vcpu *vcpu)
{
	return vcpu->guest_debug.flags & VMM_DEBUG_HW ? vcpu->guest_debug.dr : vcpu->debug.dr;
}

static inline u64 vmm_cpu_dr7(const struct vmm_vcpu *vcpu)
{
	return vcpu->guest_debug.flags & VMM_DEBUG_HW ? vcpu->guest_debug.dr7 | BIT(10) :
							vcpu->debug.dr7;
}

/* ---- stats.c ---- */
int vmm_vm_stats(struct vmm_vm *vm, struct vmm_vm_stats *stats);
int vmm_vcpu_stats(const struct vmm_vcpu *vcpu, struct vmm_vcpu_stats *stats);

/* ---- exit.c: the table of exits ---- */
bool vmm_exit_fast(struct vmm_vcpu *vcpu);	/* [entry]; true: enter again */
enum vmm_next vmm_exit_handle(struct vmm_vcpu *vcpu);	/* [load], IRQs on */
int vmm_exit_complete(struct vmm_vcpu *vcpu);	/* takes the process's answer */
void vmm_skip(struct vmm_vcpu *vcpu, unsigned int length);	/* [load] */
/* The same of an instruction that hit breakpoints: @hits of vmm_debug_hits(). [load] */
void vmm_skip_hit(struct vmm_vcpu *vcpu, unsigned int length, u64 hits);

/* ---- mmio.c ---- */
/* vmm_debug_hits() of the access that @insn, at RIP, makes. Needs sections CTRL and CS. [load] */
u64 vmm_mmio_hits(struct vmm_vcpu *vcpu, const struct insn *insn, enum vmm_watched access);
/* Does @insn, at RIP, access @gpa and what follows it in its page, and nothing else? [load] */
bool vmm_mmio_covers(struct vmm_vcpu *vcpu, const struct insn *insn, gpa_t gpa);
/* A VMM_X_MEMORY exit that did nothing but ring a doorbell, which is done. [entry] */
bool vmm_mmio_doorbell(struct vmm_vcpu *vcpu);

/* ---- memslot.c ---- */
struct vmm_memory {		/* what a slot says about one frame, by value */
	hva_t hva;		/* of the frame asked for */
	gfn_t first;		/* of the slot */
	u64 npages;		/* of the slot */
	u32 flags;		/* VMM_SLOT_* */
	struct vmm_dirty_log *log;	/* or NULL; as long as mmu.seq is what it was */
	bool retiring;		/* being replaced or deleted: map nothing of it */
};

int vmm_slots_init(struct vmm_vm *vm);
void vmm_slots_destroy(struct vmm_vm *vm);
int vmm_slot_set(struct vmm_vm *vm, const struct vmm_slot *slot);	/* vm->lock */
bool vmm_slot_find(struct vmm_vm *vm, gfn_t gfn, struct vmm_memory *memory);	/* any */
/*
 * The lowest part of a slot, from frame *@cursor on, that user addresses
 * [@start, @end) back: frames [*@first, *@last). Moves *@cursor behind it; false:
 * there is none. Any context; slots may change between two calls.
 */
bool vmm_slots_next_hva(struct vmm_vm *vm, hva_t start, hva_t end,
			gfn_t *cursor, gfn_t *first, gfn_t *last);
/*
 * Copy guest-physical memory through the process's mapping; may cross slots.
 * -EFAULT: no slot, read-only, or not mapped. [sleep], current->mm == vm->mm.
 * The _atomic forms do not sleep and also fail where a page is not present.
 */
int vmm_guest_read(struct vmm_vm *vm, gpa_t gpa, void *data, unsigned int length);
int vmm_guest_write(struct vmm_vm *vm, gpa_t gpa, const void *data, unsigned int length);
int vmm_guest_read_atomic(struct vmm_vm *vm, gpa_t gpa, void *data, unsigned int length);
/*
 * Exchange 32 bits, aligned, with @value; with @atomic as the forms above, and not in a
 * log of written pages.
 */
int vmm_guest_xchg(struct vmm_vm *vm, gpa_t gpa, u32 value, u32 *old, bool atomic);

/* ---- mmu/mmu.c, mmu/tdp.c, mmu/pte.c ---- */
int vmm_mmu_init(struct vmm_vm *vm, bool shadow);	/* registers the mmu notifier */
/* No guest runs any more: free all tables. [sleep] */
void vmm_mmu_destroy(struct vmm_vm *vm);
/* Waits for the notifier's readers; only from vm->free_work. [sleep] */
void vmm_mmu_unregister(struct vmm_vm *vm);
/* Make vcpu->root and the hardware agree with vm->mmu.root. [entry] */
void vmm_mmu_load(struct vmm_vcpu *vcpu);
int vmm_mmu_alloc_root(struct vmm_vm *vm);	/* [sleep], idempotent */
/* [sleep], current->mm == vm->mm. VMM_FAULT_ERROR sets vcpu->fault_errno. */
enum vmm_fault vmm_mmu_fault(struct vmm_vcpu *vcpu, gpa_t gpa, u32 access);
unsigned int vmm_mmu_phys_bits(void);	/* width of guest-physical addresses */
/*
 * Unmap frames [@first, @last); when it returns no vCPU has access through the
 * old mappings. [sleep]
 */
void vmm_mmu_zap(struct vmm_vm *vm, gfn_t first, gfn_t last);
/*
 * Publish @slots, in which only the log of frames [@first, @last), a slot, comes or goes:
 * the next write to each of them will be a fault that knows it. Costs nothing a frame.
 * vm->lock [sleep]
 */
void vmm_mmu_protect(struct vmm_vm *vm, gfn_t first, gfn_t last, struct vmm_slots *slots);

unsigned long vmm_mmu_table_limit(struct vmm_vm *vm);	/* pages; 0: none */

/* ---- mmu/reclaim.c ---- */
int vmm_reclaim_init(void);
void vmm_reclaim_exit(void);
int vmm_reclaim_add(struct vmm_vm *vm);		/* [sleep] -ENOMEM */
void vmm_reclaim_remove(struct vmm_vm *vm);	/* before anything of the VM goes; [sleep] */

/* ---- mmu/dirty.c ---- */
int vmm_dirty_get(struct vmm_vm *vm, struct vmm_dirty *args);	/* vm->lock, copies to user */
/* Frame @gfn was written for the guest, not by it. [sleep] */
void vmm_dirty_mark(struct vmm_vm *vm, gfn_t gfn);
/* Frame @gfn was written by the guest, as the CPU reports. Before IRQs are on behind the exit. */
void vmm_dirty_report(struct vmm_vm *vm, gfn_t gfn);

/* ---- mmu/shadow.c ---- */
int vmm_shadow_vcpu_create(struct vmm_vcpu *vcpu);	/* also with nested paging */
void vmm_shadow_vcpu_destroy(struct vmm_vcpu *vcpu);
/* CR0, CR4 and EFER that the CPU has to run with; PE, CD and NW are the backend's. */
void vmm_shadow_ctrl(const struct vmm_ctrl *guest, struct vmm_ctrl *cpu);
/*
 * @exit: #PF. VMM_FAULT_MMIO, _ERROR and _EMULATE: exit->memory tells of what. [sleep],
 * current->mm == vm->mm
 */
enum vmm_fault vmm_shadow_fault(struct vmm_vcpu *vcpu, struct vmm_exit *exit);
/*
 * CTRL changed so that translations are void: flush, and with shadow paging look for
 * a root before the next entry. @all: what entries mean changed too. [load]
 */
void vmm_mmu_reload(struct vmm_vcpu *vcpu, bool all);
int vmm_mmu_make_root(struct vmm_vcpu *vcpu);	/* VMM_REQ_ROOT; [sleep] -ENOMEM */
void vmm_mmu_invlpg(struct vmm_vcpu *vcpu, gva_t gva);	/* needs CTRL; [sleep] */
/*
 * The guest may have written memory where no fault tells: its next flush of any kind has to
 * look at all of its tables. [sleep]
 */
void vmm_mmu_unseen(struct vmm_vm *vm);

/* ---- invalidate.c ---- */
/* Do @insn, INVLPG or INVPCID. False: it raises an exception, which was queued. [load] [sleep] */
bool vmm_invalidate(struct vmm_vcpu *vcpu, const struct insn *insn);

/* ---- mmu/walk.c: the guest's own page tables ---- */
void vmm_walk_init(void);	/* from vmm_caps and the host */
struct vmm_walk {
	gpa_t gpa;
	u32 error;		/* #PF error code, if vmm_walk() said false */
};

/*
 * Translate @gva, canonical, in the guest's current mode, VMM_ACCESS_* as an
 * explicit access; false: #PF. Needs CTRL and REGS. Sets no accessed or dirty bits.
 * Tables outside memory read as all-ones, so they are a #PF for reserved bits; with
 * @atomic, tables that are not in the process's page table look the same.
 */
bool vmm_walk(struct vmm_vcpu *vcpu, gva_t gva, u32 access, struct vmm_walk *walk, bool atomic);
/*
 * Fetch up to 15 bytes at CS:RIP as the CPU would; returns how many could be
 * read. @atomic: IRQs are off; do not sleep, fetch less instead.
 */
unsigned int vmm_fetch(struct vmm_vcpu *vcpu, u8 bytes[15], bool atomic);

/* ---- irq/lapic.c ---- */
#define VMM_APIC_DEFAULT_BASE	0xfee00000ULL
int vmm_apic_create(struct vmm_vcpu *vcpu);
void vmm_apic_destroy(struct vmm_vcpu *vcpu);	/* cancels the timer and waits for it */
void vmm_apic_reset(struct vmm_vcpu *vcpu, bool init);	/* @init: keeps the base and id */
/* IA32_APIC_BASE's enable bit. Any context. */
bool vmm_apic_enabled(const struct vmm_vcpu *vcpu);
/* Is @gpa in this vCPU's enabled xAPIC page? Any context of the thread. */
bool vmm_apic_claims(struct vmm_vcpu *vcpu, gpa_t gpa);
/* Aligned 32-bit accesses at @offset of the page; others read 0, writes are dropped. */
void vmm_apic_mmio_read(struct vmm_vcpu *vcpu, u32 offset, unsigned int size, u64 *data);
void vmm_apic_mmio_write(struct vmm_vcpu *vcpu, u32 offset, unsigned int size, u64 data);
/* IA32_APIC_BASE, IA32_TSC_DEADLINE, x2APIC MSRs: 0, or -EINVAL: #GP. [sleep] */
int vmm_apic_msr_read(struct vmm_vcpu *vcpu, u32 msr, enum vmm_origin origin, u64 *value);
int vmm_apic_msr_write(struct vmm_vcpu *vcpu, u32 msr, enum vmm_origin origin, u64 value);
/* The same with IRQs off, for the guest; -EAGAIN: with IRQs on. */
int vmm_apic_msr_read_fast(struct vmm_vcpu *vcpu, u32 msr, u64 *value);
int vmm_apic_msr_write_fast(struct vmm_vcpu *vcpu, u32 msr, u64 value);
/*
 * After a write to the APIC: the level-triggered vector whose EOI the process has to
 * be told of, or 0; once.
 */
u8 vmm_apic_take_eoi(struct vmm_vcpu *vcpu);
/*
 * irq/timer.c, for CPUs that keep deadlines (vmm_caps.deadline). Before an entry with
 * vcpu->deadline: it has come, or is told the backend. [entry]
 */
void vmm_apic_keep_deadline(struct vmm_vcpu *vcpu);
/* Around a sleep, which a deadline ends. The thread, IRQs on. */
void vmm_apic_sleep(struct vmm_vcpu *vcpu);
void vmm_apic_wake(struct vmm_vcpu *vcpu);
/*
 * INIT and SIPI that other vCPUs sent: act on them (vmm_vcpu_reset(), mp_state).
 * [load], IRQs on, at the head of the run loop. Does nothing when there are none.
 */
void vmm_apic_accept_init(struct vmm_vcpu *vcpu);
bool vmm_apic_init_pending(struct vmm_vcpu *vcpu);	/* that would end a sleep; any context */
/*
 * Highest vector that TPR and ISR let through, or -1. IRQs may be off. VMM_APIC_ASK: there
 * may be one, but the guest's memory has to be asked; VMM_REQ_EOI was set for that.
 */
#define VMM_APIC_ASK	256
int vmm_apic_pending(struct vmm_vcpu *vcpu);
/* Take that vector: IRR to ISR. The caller injects it. */
void vmm_apic_accept(struct vmm_vcpu *vcpu, u8 vector);
bool vmm_apic_waiting(struct vmm_vcpu *vcpu);	/* would an interrupt end HLT? */
/* Back to IRR: the delivery of @vector was interrupted and event.c gave it up. */
void vmm_apic_unaccept(struct vmm_vcpu *vcpu, u8 vector);
/*
 * irq/vapic.c, for backends whose CPUs can do an APIC's work (vmm_caps.virtual_apic). Give
 * TPR, ISR and IRR to the CPU in the vCPU's page, whatever came since with them; @given is
 * what it has to be told besides. False: it must not have them, now. [entry]
 */
struct vmm_apic_given {
	u8 requested;		/* highest vector in IRR, 0: none */
	u8 in_service;		/* in ISR */
	u64 level[4];		/* TMR: vectors whose EOI has to exit */
};

bool vmm_apic_give(struct vmm_vcpu *vcpu, struct vmm_apic_given *given);
void vmm_apic_hold(struct vmm_vcpu *vcpu);	/* not the CPU's until the next entry; [load] */
void *vmm_apic_page(const struct vmm_vcpu *vcpu);	/* or NULL */
/* vcpu->exit is VMM_X_APIC: the rest of the EOI or write. [load] */
void vmm_apic_finish(struct vmm_vcpu *vcpu);
/* irq/pv_eoi.c; after an interrupt was accepted and nothing else waits. [entry] */
void vmm_apic_offer_eoi(struct vmm_vcpu *vcpu);
void vmm_apic_settle_eoi(struct vmm_vcpu *vcpu);	/* VMM_REQ_EOI; [sleep] */
u64 vmm_apic_get_pv_eoi(struct vmm_vcpu *vcpu);		/* MSR_KVM_PV_EOI_EN */
void vmm_apic_set_pv_eoi(struct vmm_vcpu *vcpu, u64 value);	/* was checked; [sleep] */
u64 vmm_apic_get_cr8(struct vmm_vcpu *vcpu);
void vmm_apic_set_cr8(struct vmm_vcpu *vcpu, u64 cr8);	/* 0 to 15 */
void vmm_apic_get_state(struct vmm_vcpu *vcpu, struct vmm_lapic *lapic);
int vmm_apic_check_state(struct vmm_vcpu *vcpu, const struct vmm_lapic *lapic);	/* -EINVAL */
void vmm_apic_set_state(struct vmm_vcpu *vcpu, const struct vmm_lapic *lapic);	/* was checked */
/* INIT and SIPI that wait, in EVENTS */
void vmm_apic_get_init(struct vmm_vcpu *vcpu, struct vmm_events *events);
void vmm_apic_set_init(struct vmm_vcpu *vcpu, const struct vmm_events *events);
/* The guest's TSC was written: deadlines count anew. */
void vmm_apic_tsc_changed(struct vmm_vcpu *vcpu);

/* ---- irq/msi.c ---- */
int vmm_msi_check(const struct vmm_msi *msi);	/* -EINVAL */
/* Deliver to all vCPUs it names; how many took it. Any context, IRQs off too. */
int vmm_msi_deliver(struct vmm_vm *vm, const struct vmm_msi *msi);
/*
 * The message of ICR value @icr (fixed or NMI) to APIC ids @first and up, a bit each of
 * @mask, two words of @bits (32 or 64); how many took it. Any context.
 */
int vmm_send_ipis(struct vmm_vm *vm, const u64 mask[2], unsigned int bits, u64 first, u64 icr);

/* ---- irq/irqfd.c, irq/ioeventfd.c ---- */
int vmm_irqfd(struct vmm_vm *vm, const struct vmm_irqfd *args);		/* vm->lock */
/* Signal the resample eventfds of @vector; false: there are none. Any context. */
bool vmm_irqfd_eoi(struct vmm_vm *vm, u8 vector);
void vmm_irqfd_release(struct vmm_vm *vm);	/* VM goes: none fires after. [sleep] */
int vmm_irqfd_init(void);
void vmm_irqfd_exit(void);
int vmm_ioeventfd(struct vmm_vm *vm, const struct vmm_ioeventfd *args);	/* vm->lock */
void vmm_ioeventfd_release(struct vmm_vm *vm);
/* Signal the doorbell this write rings; false: there is none. Any context. */
bool vmm_ioeventfd_signal(struct vmm_vm *vm, bool pio, u64 address, unsigned int size, u64 data);
/* false: surely no write to @gpa rings one. Any context. */
bool vmm_ioeventfd_maybe(const struct vmm_vm *vm, gpa_t gpa);

/* ---- cpuid.c ---- */
int vmm_cpuid_init(void);			/* supported table, from vmm_caps and the host */
void vmm_cpuid_exit(void);
int vmm_cpuid_get_supported(struct vmm_cpuid *args);	/* copies to user; [sleep] */
int vmm_cpuid_create(struct vmm_vcpu *vcpu);	/* the default table, with vcpu->id */
void vmm_cpuid_destroy(struct vmm_vcpu *vcpu);
int vmm_cpuid_get(struct vmm_vcpu *vcpu, struct vmm_cpuid *args);
int vmm_cpuid_set(struct vmm_vcpu *vcpu, const struct vmm_cpuid *args);
/* CPUID: RAX, RCX in; RAX to RDX out. Any context of the thread; needs CTRL only for OSXSAVE. */
void vmm_cpuid_exec(struct vmm_vcpu *vcpu);
/* One answer; false: no such leaf (all zero). */
bool vmm_cpuid_leaf(struct vmm_vcpu *vcpu, u32 function, u32 index, u32 out[4]);
u64 vmm_cpuid_cr4_allowed(const struct vmm_vcpu *vcpu);	/* CR4 bits its CPUID has */
u64 vmm_cpuid_efer_allowed(const struct vmm_vcpu *vcpu);
u64 vmm_cpuid_xcr0_supported(void);
bool vmm_cpuid_has_invpcid(struct vmm_vcpu *vcpu);
u32 vmm_cpuid_pv_features(const struct vmm_vcpu *vcpu);	/* EAX of KVM_CPUID_FEATURES */
u8 vmm_cpuid_phys_bits(const struct vmm_vcpu *vcpu);

/* ---- msr.c ---- */
int vmm_msr_create(struct vmm_vcpu *vcpu);
void vmm_msr_destroy(struct vmm_vcpu *vcpu);
void vmm_msr_reset(struct vmm_vcpu *vcpu);		/* power-up values */
/* 0, or -EINVAL: #GP. [load], IRQs may be off. */
int vmm_msr_read(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 *value);
int vmm_msr_write(struct vmm_vcpu *vcpu, u32 index, enum vmm_origin origin, u64 value);
/* -EAGAIN: this MSR must be handled with IRQs on. For the fast path. */
int vmm_msr_read_fast(struct vmm_vcpu *vcpu, u32 index, u64 *value);
int vmm_msr_write_fast(struct vmm_vcpu *vcpu, u32 index, u64 value);
int vmm_msr_get_list(struct vmm_msr_list *args);	/* copies to user */
int vmm_msrs_get(struct vmm_vcpu *vcpu, const struct vmm_msrs *args);	/* entries done */
int vmm_msrs_set(struct vmm_vcpu *vcpu, const struct vmm_msrs *args);
/* For a backend's bitmap: the n-th MSR that guests access without an exit; false: no more. */
bool vmm_msr_direct(unsigned int n, u32 *index);

/* ---- fpu.c ---- */
int vmm_fpu_create(struct vmm_vcpu *vcpu);
void vmm_fpu_destroy(struct vmm_vcpu *vcpu);
void vmm_fpu_reset(struct vmm_vcpu *vcpu);
void vmm_fpu_load(struct vmm_vcpu *vcpu);	/* the guest's into the CPU; start of VMM_RUN */
void vmm_fpu_put(struct vmm_vcpu *vcpu);	/* the process's back */
void vmm_fpu_enter(struct vmm_vcpu *vcpu);	/* [entry]: XCR0 and PKRU of the guest */
void vmm_fpu_leave(struct vmm_vcpu *vcpu);
/* The guest's XCR0 while ctrl.xcr0 may be old, which is between enter and leave. */
u64 vmm_fpu_xcr0(struct vmm_vcpu *vcpu);
u32 vmm_fpu_pkru(const struct vmm_vcpu *vcpu);	/* the guest's; 0 where it has none */
int vmm_fpu_get(struct vmm_vcpu *vcpu, const struct vmm_xsave *args);	/* copies to user */
int vmm_fpu_set(struct vmm_vcpu *vcpu, const struct vmm_xsave *args);
u32 vmm_fpu_size(void);

/* ---- pv.c, pv_sched.c: KVM's documented paravirtual interface ---- */
int vmm_pv_create(struct vmm_vcpu *vcpu);
void vmm_pv_destroy(struct vmm_vcpu *vcpu);
void vmm_pv_reset(struct vmm_vcpu *vcpu);
int vmm_pv_msr_read(struct vmm_vcpu *vcpu, u32 msr, enum vmm_origin origin, u64 *value);
int vmm_pv_msr_write(struct vmm_vcpu *vcpu, u32 msr, enum vmm_origin origin, u64 value);
bool vmm_pv_may_poll(const struct vmm_vcpu *vcpu);	/* before HLT sleeps */
void vmm_pv_update_steal(struct vmm_vcpu *vcpu);	/* VMM_REQ_STEAL; [sleep] */
void vmm_pv_sched_in(struct vmm_vcpu *vcpu);	/* of the preempt notifier */
void vmm_pv_sched_out(struct vmm_vcpu *vcpu);
void vmm_pv_spin(struct vmm_vcpu *vcpu);	/* give time to another vCPU; [load], may sleep */
void vmm_vcpu_set_task(struct vmm_vcpu *vcpu);	/* to current, in VMM_RUN */
void vmm_vcpu_put_task(struct vmm_vcpu *vcpu);
/* The thread comes to @cpu. Preemption is off. */
void vmm_pv_load(struct vmm_vcpu *vcpu, int cpu);
void vmm_pv_update_clock(struct vmm_vcpu *vcpu);	/* VMM_REQ_CLOCK; [sleep] */
void vmm_pv_hypercall(struct vmm_vcpu *vcpu);	/* RAX number, RBX.. in; RAX out; [load] */
bool vmm_pv_hypercall_sleeps(const struct vmm_vcpu *vcpu);	/* not with IRQs off */
u64 vmm_pv_clock_ns(struct vmm_vm *vm);
void vmm_pv_get_clock(struct vmm_vm *vm, struct vmm_clock *clock);
/* vm->lock. A checked VMM_SET_CLOCK. */
void vmm_pv_set_clock(struct vmm_vm *vm, const struct vmm_clock *clock);

#endif
