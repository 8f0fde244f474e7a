/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The ABI of /dev/vmm.
 *
 * Three kinds of file descriptor: /dev/vmm itself (the system), a VM
 * (VMM_CREATE_VM) and a vCPU (VMM_CREATE_VCPU). A vCPU fd maps one page, the
 * run page, at offset 0.
 *
 * Rules that hold for every ioctl:
 *  - The argument is a pointer to the struct named in its number. The struct may
 *    grow at its end: a caller with a shorter struct gets zeros for the rest, a
 *    caller with a longer one gets -E2BIG unless the part that the kernel does
 *    not know is zero.
 *  - Every pad field and every unknown flag must be zero, else -EINVAL.
 *  - An unknown ioctl, or one on an fd of the wrong kind, is -ENOTTY.
 *  - VM and vCPU ioctls work only in the process (address space) that created
 *    the VM, else -EIO. A VM that a host bug killed answers -EIO as well.
 *  - Addresses and sizes of memory are in bytes; TSC frequencies in kHz.
 */
#ifndef _UAPI_LINUX_VMM_H
#define _UAPI_LINUX_VMM_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define VMM_ABI_VERSION		1
#define VMM_IOC			0xBE

/* Limits that a caller can rely on; VMM_GET_INFO tells those in force. */
#define VMM_MAX_VCPUS		1024	/* APIC ids from 255 on need x2APIC mode */
#define VMM_MAX_SLOTS		512
#define VMM_MAX_CPUID		256	/* entries in one table */
#define VMM_MAX_MSRS		256	/* entries in one VMM_GET_MSRS or VMM_SET_MSRS */
#define VMM_MAX_IOEVENTFDS	1024	/* a VM */
#define VMM_MAX_IRQFDS		1024	/* a VM */
#define VMM_RUN_SIZE		4096	/* bytes of the run page */
#define VMM_TSC_KHZ_MIN		10000	/* of vmm_create_vm.tsc_khz */
#define VMM_TSC_KHZ_MAX		10000000

/* ---- /dev/vmm ---- */

/* vmm_info.backend: the extension that runs guests. */
#define VMM_BACKEND_AMD_V	1
#define VMM_BACKEND_VT_X	2

/* vmm_info.paging: how guest-physical addresses are translated. */
#define VMM_PAGING_NESTED	1
#define VMM_PAGING_SHADOW	2

/* vmm_info.features */
#define VMM_FEATURE_NEXT_RIP	  (1ULL << 0)	/* the CPU tells instruction lengths */
#define VMM_FEATURE_REAL_MODE	  (1ULL << 1)	/* real mode runs on the CPU */
#define VMM_FEATURE_TSC_SCALING	  (1ULL << 2)	/* a VM's TSC may have another frequency */
#define VMM_FEATURE_VIRTUAL_NMI	  (1ULL << 3)
#define VMM_FEATURE_FLUSH_BY_TAG  (1ULL << 4)	/* one address space's TLB can be flushed alone */
#define VMM_FEATURE_LARGE_2M	  (1ULL << 5)
#define VMM_FEATURE_LARGE_1G	  (1ULL << 6)
#define VMM_FEATURE_VIRTUAL_APIC  (1ULL << 7)	/* x2APIC: interrupts and EOIs without exits */

/*
 * struct vmm_info - what the module and the machine offer (VMM_GET_INFO)
 * @flags: in, 0
 * @abi_version: VMM_ABI_VERSION of the module; a program built for another
 *	value must not go on
 * @version: the module's version, a NUL-terminated string
 * @backend, @paging, @features: the hardware mode in use, see above
 * @max_vcpus, @max_slots: limits in force
 * @run_size: bytes to map from a vCPU fd
 * @xsave_size: bytes of the XSAVE image that VMM_GET_XSAVE fills
 * @tsc_khz: frequency of the host's TSC, and of guests' unless their VM asks for another
 * @phys_bits: width of guest-physical addresses
 * @xcr0: XCR0 bits a guest may set
 */
struct vmm_info {
	__u32 flags;
	__u32 abi_version;
	char  version[32];
	__u32 backend;
	__u32 paging;
	__u64 features;
	__u32 max_vcpus;
	__u32 max_slots;
	__u32 run_size;
	__u32 xsave_size;
	__u32 tsc_khz;
	__u32 phys_bits;
	__u64 xcr0;
};

/* vmm_cpuid_entry.flags */
#define VMM_CPUID_INDEXED	(1U << 0)	/* the entry answers only for ECX == index */

struct vmm_cpuid_entry {
	__u32 function;
	__u32 index;
	__u32 flags;
	__u32 eax;
	__u32 ebx;
	__u32 ecx;
	__u32 edx;
	__u32 pad;
};

/*
 * struct vmm_cpuid - a table of CPUID answers
 * @count: in: entries that fit behind @entries; out: entries there are
 * @flags: 0
 * @entries: user address of struct vmm_cpuid_entry[]
 *
 * VMM_GET_SUPPORTED_CPUID (system), VMM_GET_CPUID and VMM_SET_CPUID (vCPU).
 * The get forms set @count and fail with -ENOSPC, nothing else written, when
 * the table is longer than @count. A new vCPU answers with the supported table
 * and its own APIC id. VMM_SET_CPUID replaces the whole table; it is -EINVAL to
 * set a feature bit that the supported table lacks or to name a leaf twice,
 * -EBUSY after the vCPU has run.
 */
struct vmm_cpuid {
	__u32 count;
	__u32 flags;
	__u64 entries;
};

/*
 * struct vmm_msr_list - indices of the MSRs that make up a vCPU's state
 * @count: in: indices that fit behind @indices; out: indices there are
 * @flags: 0
 * @indices: user address of __u32[]
 *
 * VMM_GET_MSR_LIST. -ENOSPC as for struct vmm_cpuid.
 */
struct vmm_msr_list {
	__u32 count;
	__u32 flags;
	__u64 indices;
};

/* vmm_create_vm.flags */
#define VMM_VM_SHADOW	(1ULL << 0)	/* shadow paging, even where the CPU has nested paging */

/*
 * struct vmm_create_vm - VMM_CREATE_VM
 * @flags: VMM_VM_*
 * @tsc_khz: frequency of the guests' TSC, VMM_TSC_KHZ_MIN to VMM_TSC_KHZ_MAX; 0: the host's.
 *	The tables that new vCPUs answer CPUID from tell it, kvmclock and the APIC timer go
 *	by it. A frequency within 250 ppm of the host's needs no VMM_FEATURE_TSC_SCALING:
 *	without, it is the host's, and new vCPUs' tables tell that.
 *
 * Returns the fd of a new VM without memory and vCPUs, close-on-exec.
 * -EBUSY: another hypervisor holds the hardware. -EOPNOTSUPP: there is none, or the CPU
 * lacks what VMM_VM_SHADOW or @tsc_khz needs; the host's log says which.
 */
struct vmm_create_vm {
	__u64 flags;
	__u32 tsc_khz;
	__u32 pad0;
	__u64 pad[2];
};

/* ---- VM ---- */

/* vmm_slot.flags */
#define VMM_SLOT_READONLY	(1U << 0)	/* guest writes leave as VMM_EXIT_MMIO */
#define VMM_SLOT_LOG_DIRTY	(1U << 1)	/* remember written pages, for VMM_GET_DIRTY */

/*
 * struct vmm_slot - map guest-physical memory to memory of the process
 * @slot: 0 ... max_slots - 1
 * @flags: VMM_SLOT_*
 * @gpa: guest-physical address, page-aligned
 * @size: bytes, page-aligned; 0 deletes the slot
 * @hva: address in the process, page-aligned
 *
 * VMM_SET_SLOT creates, deletes, or replaces (moves, resizes, changes flags of)
 * a slot in one step; a running vCPU sees the old or the new slot, and after the
 * ioctl has returned only the new one. -EEXIST: overlaps another slot. -ENOENT:
 * deletes a slot there is not. -EINVAL: alignment, overflow, above phys_bits,
 * @gpa, @hva or @flags not 0 in a deletion, hva not a user address.
 * The memory may be mapped, unmapped and protected at any time, before or after.
 *
 * A slot with VMM_SLOT_LOG_DIRTY begins with an empty log. To start or stop it, give
 * the slot again with nothing but this flag changed: that unmaps nothing, whatever
 * the size of the slot.
 */
struct vmm_slot {
	__u32 slot;
	__u32 flags;
	__u64 gpa;
	__u64 size;
	__u64 hva;
};

/* vmm_dirty.flags */
#define VMM_DIRTY_KEEP		(1U << 0)	/* look only: the log stays as it is */

/*
 * struct vmm_dirty - take the log of written pages (VMM_GET_DIRTY)
 * @slot: of VMM_SLOT_LOG_DIRTY
 * @flags: VMM_DIRTY_*
 * @first: page of the slot, a multiple of 64
 * @npages: pages from there on, a multiple of 64 unless it reaches the slot's end
 * @bitmap: user address of __u64[], one bit a page from @first on; 0: none is wanted
 * @dirty: in, 0; out: pages that were dirty
 *
 * Only words of @bitmap that have a dirty page in them are written: give zeros. For
 * each page it is one step to take its bit and to write-protect it: a page that is
 * written after the ioctl has returned is in the log again. The log has writes of the
 * guest, and of the kernel for it (accessed and dirty bits of its page tables, the
 * paravirtual clock), but not what the process writes itself, nor two words that the
 * kernel gives their values again from the vCPU's state: the offer of MSR_KVM_PV_EOI_EN
 * and "preempted" of MSR_KVM_STEAL_TIME. So set memory first, MSRs behind it.
 * To protect a part of a slot right before its pages are copied, look at all of it
 * with VMM_DIRTY_KEEP and take it by parts.
 * -ENOENT: no such slot, or it has no log. -EFAULT: @bitmap; what could not be
 * written there is still in the log.
 */
struct vmm_dirty {
	__u32 slot;
	__u32 flags;
	__u64 first;
	__u64 npages;
	__u64 bitmap;
	__u64 dirty;
	__u64 pad[3];
};

/*
 * struct vmm_create_vcpu - VMM_CREATE_VCPU
 * @id: the vCPU's number and APIC id, 0 ... max_vcpus - 1. In xAPIC mode ids have 8 bits:
 *	one of 255 or more is reached there by no physical destination but that of all, and
 *	reads its lowest 8 bits.
 * @flags: 0
 *
 * Returns the fd of a vCPU in the state that the manuals give after power-up:
 * id 0 is the bootstrap processor and runnable, others wait for INIT-SIPI.
 * -EEXIST: there is one of that id.
 */
struct vmm_create_vcpu {
	__u32 id;
	__u32 flags;
	__u64 pad[3];
};

/*
 * struct vmm_msi - a message-signalled interrupt, as PCI and the IOAPIC form it
 * @address: 0xfee..... with destination id, mode and redirection hint. Bits 5 to 11 are
 *	bits 8 to 14 of the destination id, as KVM_FEATURE_MSI_EXT_DEST_ID says. 255 means
 *	all vCPUs unless there is one of that id, or the id has more bits.
 * @data: vector, delivery mode, trigger; of a level bit 14, that it is asserted: without
 *	it the message delivers nothing
 *
 * VMM_SIGNAL_MSI. Returns the number of vCPUs that accepted it; 0: none matched,
 * or all had the interrupt pending. -EINVAL: not an interrupt address, vector
 * below 16 in a mode that takes a vector, reserved delivery mode.
 */
struct vmm_msi {
	__u64 address;
	__u32 data;
	__u32 flags;
};

/* vmm_irqfd.flags, vmm_ioeventfd.flags */
#define VMM_EVENTFD_REMOVE	(1U << 0)
#define VMM_EVENTFD_PIO		(1U << 1)	/* ioeventfd: @address is a port */
#define VMM_EVENTFD_DATAMATCH	(1U << 2)	/* ioeventfd: only writes of @data */
#define VMM_EVENTFD_RESAMPLE	(1U << 3)	/* irqfd: @resample_fd is given */
#define VMM_EVENTFD_UPDATE	(1U << 4)	/* irqfd: a new message for one there is */

/*
 * struct vmm_irqfd - each signal of an eventfd sends one MSI
 * @fd: eventfd; the VM keeps its own reference
 * @flags: VMM_EVENTFD_REMOVE undoes; fd and message must be those given before.
 *	VMM_EVENTFD_UPDATE replaces the message: a signal sends the old or the new one,
 *	and none is lost; after the ioctl only the new one.
 * @msi: the message
 * @resample_fd: with VMM_EVENTFD_RESAMPLE, an eventfd that is signalled when the
 *	guest ends the interrupt (EOI), for a device whose line may still be active.
 *	The message has to be level-triggered, asserted, and stays so. While there is such an
 *	irqfd its vector's EOI is no VMM_EXIT_EOI. Else 0.
 *
 * VMM_IRQFD. -EBUSY: that eventfd has a message already. -ENOENT: remove or update
 * finds none. -ENOSPC: VMM_MAX_IRQFDS.
 */
struct vmm_irqfd {
	__s32 fd;
	__u32 flags;
	struct vmm_msi msi;
	__s32 resample_fd;
	__u32 pad;
};

/*
 * struct vmm_ioeventfd - a guest's write signals an eventfd and does not exit
 * @address: guest-physical address or, with VMM_EVENTFD_PIO, port
 * @data: value to match with VMM_EVENTFD_DATAMATCH, else 0
 * @length: 1, 2, 4 or 8 (8 not for ports), or 0: any length
 * @fd: eventfd
 * @flags: VMM_EVENTFD_*
 *
 * VMM_IOEVENTFD. -EEXIST: collides with one there is. -ENOENT: remove finds
 * none. -ENOSPC: VMM_MAX_IOEVENTFDS. Memory of a slot goes before a doorbell.
 */
struct vmm_ioeventfd {
	__u64 address;
	__u64 data;
	__u32 length;
	__s32 fd;
	__u32 flags;
	__u32 pad[5];
};

/* vmm_clock.flags, for VMM_SET_CLOCK */
#define VMM_CLOCK_STOPPED	(1U << 0)	/* tell the guest that it was stopped */
#define VMM_CLOCK_REALTIME	(1U << 1)	/* add what has passed since @realtime */
#define VMM_CLOCK_TSC		(1U << 2)	/* set the VM's TSC as well */

/*
 * struct vmm_clock - the VM's paravirtual clock and TSC (VMM_GET_CLOCK, VMM_SET_CLOCK)
 * @flags: 0 to get. VMM_CLOCK_STOPPED: kvmclock's page says on each vCPU, until the guest
 *	clears it, that it did not run for a while (PVCLOCK_GUEST_STOPPED), so that its
 *	watchdogs keep quiet.
 * @ns: nanoseconds that kvmclock shows, the same on all vCPUs
 * @realtime: the host's CLOCK_REALTIME in ns, out: at the same moment; in, with
 *	VMM_CLOCK_REALTIME: as it was got with @ns, maybe on another host: the guest's time
 *	of day is right again. Nothing is taken off if it is in the future. Else 0.
 * @tsc: the VM's TSC, out: at the same moment. It was 0 when the VM was made, and a vCPU
 *	differs from it by what was written to its own (struct vmm_tsc). In, with
 *	VMM_CLOCK_TSC: what it shows now, before the time since @realtime is added to it as
 *	to @ns. The TSCs of all vCPUs move with it, and what their APICs' timers count to
 *	by them is due accordingly; a vCPU that is running follows within its turn.
 *	IA32_TSC_ADJUST stays. Without the flag it is not looked at.
 */
struct vmm_clock {
	__u64 flags;
	__u64 ns;
	__u64 realtime;
	__u64 tsc;
};

/*
 * struct vmm_vm_stats - what a VM costs the host (VMM_GET_VM_STATS)
 * @flags: in, 0
 * @table_pages: page tables that the CPU walks: nested, or shadow pages
 * @aux_pages: pages that serve to maintain those: reverse maps and the like
 * @table_limit: shadow paging: most tables the VM may have; 0: no limit of its own
 * @reclaimed: tables given back so far, for the limit or because memory was short
 *
 * Pages of 4 KiB, charged to the cgroup of the thread that needed them, as all memory
 * is that the kernel keeps for a VM. Counters are read one by one, without a lock.
 */
struct vmm_vm_stats {
	__u64 flags;
	__u64 table_pages;
	__u64 aux_pages;
	__u64 table_limit;
	__u64 reclaimed;
	__u64 pad[11];
};

/* ---- vCPU state ---- */

/* Index of a general register: the encoding in ModRM and REX. */
enum vmm_gpr {
	VMM_RAX, VMM_RCX, VMM_RDX, VMM_RBX, VMM_RSP, VMM_RBP, VMM_RSI, VMM_RDI,
	VMM_R8, VMM_R9, VMM_R10, VMM_R11, VMM_R12, VMM_R13, VMM_R14, VMM_R15,
	VMM_NR_GPR
};

struct vmm_regs {
	union {
		__u64 gpr[16];
		struct {
			__u64 rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi;
			__u64 r8, r9, r10, r11, r12, r13, r14, r15;
		};
	};
	__u64 rip;
	__u64 rflags;
};

/* Index of a segment: the encoding of Sreg, then the two system segments. */
enum vmm_sreg {
	VMM_ES, VMM_CS, VMM_SS, VMM_DS, VMM_FS, VMM_GS, VMM_LDTR, VMM_TR,
	VMM_NR_SREG
};

/* vmm_segment.attr: bits of a descriptor's second doubleword, 8 to 23, limit left out */
#define VMM_SEG_TYPE		0x000f
#define VMM_SEG_S		0x0010
#define VMM_SEG_DPL		0x0060
#define VMM_SEG_DPL_SHIFT	5
#define VMM_SEG_P		0x0080
#define VMM_SEG_UNUSABLE	0x0100	/* a null selector was loaded; the other bits are ignored */
#define VMM_SEG_AVL		0x1000
#define VMM_SEG_L		0x2000
#define VMM_SEG_DB		0x4000
#define VMM_SEG_G		0x8000

/* @limit is in bytes whatever VMM_SEG_G says; the bit must agree with it. */
struct vmm_segment {
	__u64 base;
	__u32 limit;
	__u16 selector;
	__u16 attr;
};

struct vmm_table {
	__u64 base;
	__u16 limit;
	__u16 pad[3];
};

struct vmm_segs {
	struct vmm_segment seg[8];	/* by enum vmm_sreg */
	struct vmm_table gdt;
	struct vmm_table idt;
};

struct vmm_ctrl {
	__u64 cr0;
	__u64 cr2;
	__u64 cr3;
	__u64 cr4;
	__u64 cr8;		/* the task priority; the LAPIC's TPR holds the same */
	__u64 efer;
	__u64 xcr0;
	__u64 pdpte[4];		/* in force with PAE paging, else 0 */
};

struct vmm_debug {
	__u64 dr[4];
	__u64 dr6;
	__u64 dr7;
};

/* vmm_event.type */
#define VMM_EVENT_NONE		0
#define VMM_EVENT_EXCEPTION	1	/* a fault or trap of the CPU, #BP and #OF included */
#define VMM_EVENT_INTR		2	/* an external interrupt that was acknowledged */
#define VMM_EVENT_NMI		3
#define VMM_EVENT_SOFT_INT	4	/* INT n; RIP is at the instruction */

/* vmm_event.flags */
#define VMM_EVENT_HAS_ERROR	(1U << 0)

struct vmm_event {
	__u8  type;
	__u8  vector;
	__u8  flags;
	__u8  length;		/* of the instruction, for VMM_EVENT_SOFT_INT, #BP and #OF */
	__u32 error;
};

/* vmm_events.shadow: interrupts wait for the end of the next instruction */
#define VMM_SHADOW_STI		(1U << 0)
#define VMM_SHADOW_MOV_SS	(1U << 1)

/* vmm_events.init */
#define VMM_INIT_PENDING	(1U << 0)
#define VMM_SIPI_PENDING	(1U << 1)

/* vmm_events.mp_state */
#define VMM_MP_RUNNABLE		0
#define VMM_MP_HALTED		1
#define VMM_MP_WAIT_INIT	2	/* an application processor that nobody started */
#define VMM_MP_WAIT_SIPI	3

/*
 * struct vmm_events - what a vCPU is about to take
 * @event: delivered at the next entry before anything else. Setting it is how an
 *	exception is given to the guest, with CR2 or DR6 set by the caller.
 * @nmi_pending: NMIs that wait, 0 to 2
 * @nmi_masked: an NMI was delivered, IRET not yet executed
 * @shadow: VMM_SHADOW_*
 * @mp_state: VMM_MP_*
 * @init: VMM_INIT_PENDING, VMM_SIPI_PENDING: messages that wait for the next VMM_RUN
 * @sipi_vector: of VMM_SIPI_PENDING, else 0
 * @kicked: another vCPU ended this one's HLT by hypercall, or the next one
 */
struct vmm_events {
	struct vmm_event event;
	__u8  nmi_pending;
	__u8  nmi_masked;
	__u8  shadow;
	__u8  mp_state;
	__u8  init;
	__u8  sipi_vector;
	__u8  kicked;
	__u8  pad0;
	__u32 pad[4];
};

/*
 * struct vmm_lapic - the local APIC
 * @base: IA32_APIC_BASE
 * @tsc_deadline: IA32_TSC_DEADLINE, 0: not armed
 * @regs: the registers as the manual numbers them: regs[n] is at offset n * 16.
 *	TMCCT (regs[0x39]) is what the timer still has to count.
 * @errors: ESR bits of what happened since the guest last wrote ESR
 */
struct vmm_lapic {
	__u64 base;
	__u64 tsc_deadline;
	__u64 errors;
	__u64 pad;
	__u32 regs[64];
};

/*
 * struct vmm_tsc - what a vCPU's TSC has of its own
 * @offset: IA32_TIME_STAMP_COUNTER less the VM's (struct vmm_clock), modulo 2^64: 0 unless
 *	somebody wrote it, or IA32_TSC_ADJUST
 *
 * Restored on all vCPUs, with the VM's TSC, none is apart from another by more than it was.
 */
struct vmm_tsc {
	__u64 offset;
	__u64 pad[3];
};

/* Sections of struct vmm_state */
#define VMM_STATE_REGS		(1ULL << 0)
#define VMM_STATE_SEGS		(1ULL << 1)
#define VMM_STATE_CTRL		(1ULL << 2)
#define VMM_STATE_DEBUG		(1ULL << 3)
#define VMM_STATE_EVENTS	(1ULL << 4)
#define VMM_STATE_LAPIC		(1ULL << 5)
/*
 * Of EVENTS only @event, @shadow and @nmi_masked: giving the guest an exception must
 * not undo an NMI or a start-up that comes meanwhile.
 */
#define VMM_STATE_EVENT		(1ULL << 6)
#define VMM_STATE_TSC		(1ULL << 7)
#define VMM_STATE_ALL		((1ULL << 8) - 1)

/*
 * struct vmm_state - registers of a vCPU, by sections
 * @mask: VMM_STATE_*: the sections to get or set; the others stay as they are
 * @flags: 0
 *
 * VMM_GET_STATE, VMM_SET_STATE. All sections of one VMM_SET_STATE are checked
 * before one is taken: -EINVAL and nothing changed if a value is one that the
 * CPU could not hold (reserved bits, non-canonical bases, EFER.LMA that does not
 * follow from LME and PG, CR4 bits that the supported CPUID table lacks).
 * MSRs and the FPU have ioctls of their own.
 */
struct vmm_state {
	__u64 mask;
	__u64 flags;
	struct vmm_regs regs;
	struct vmm_segs segs;
	struct vmm_ctrl ctrl;
	struct vmm_debug debug;
	struct vmm_events events;
	struct vmm_lapic lapic;
	struct vmm_tsc tsc;
};

struct vmm_msr {
	__u32 index;
	__u32 pad;
	__u64 value;
};

/*
 * struct vmm_msrs - VMM_GET_MSRS, VMM_SET_MSRS
 * @count: entries
 * @flags: 0
 * @msrs: user address of struct vmm_msr[]
 *
 * Returns how many entries, from the first, were done; fewer than @count: the
 * next one is unknown or its value refused. -E2BIG: more than VMM_MAX_MSRS.
 */
struct vmm_msrs {
	__u32 count;
	__u32 flags;
	__u64 msrs;
};

/*
 * struct vmm_xsave - FPU and vector state, VMM_GET_XSAVE, VMM_SET_XSAVE
 * @size: bytes behind @data; at least vmm_info.xsave_size
 * @flags: 0
 * @data: user address of an XSAVE area in the standard (non-compacted) form
 *
 * -ENOSPC: @size too small. -EINVAL: a component that XCR0 cannot have, reserved
 * MXCSR bits, XCOMP_BV not 0.
 */
struct vmm_xsave {
	__u32 size;
	__u32 flags;
	__u64 data;
};

/* vmm_translate.access */
#define VMM_ACCESS_READ		(1U << 0)
#define VMM_ACCESS_WRITE	(1U << 1)
#define VMM_ACCESS_EXEC		(1U << 2)
#define VMM_ACCESS_USER		(1U << 3)	/* as CPL 3 would; else supervisor */

/*
 * struct vmm_translate - walk the guest's page tables, VMM_TRANSLATE
 * @gva: linear address
 * @access: VMM_ACCESS_*, at least one of READ, WRITE, EXEC
 * @fault: out: 0 or 1: the access faults with @error, CR2 would be @gva
 * @gpa: out: guest-physical address, if @fault is 0
 * @error: out: #PF error code, if @fault is 1
 *
 * Sets no accessed or dirty bits.
 */
struct vmm_translate {
	__u64 gva;
	__u32 access;
	__u32 fault;
	__u64 gpa;
	__u32 error;
	__u32 pad;
};

/* vmm_guest_debug.flags */
#define VMM_DEBUG_STEP		(1U << 0)	/* an exit after each instruction */
#define VMM_DEBUG_HW		(1U << 1)	/* @dr and @dr7 in place of the guest's */
#define VMM_DEBUG_INT3		(1U << 2)	/* INT3 is an exit */

/* Bits that vmm_guest_debug.dr7 may have: enables, kinds, lengths */
#define VMM_DEBUG_DR7		0xffff00ffU

/*
 * struct vmm_guest_debug - a debugger's view of a vCPU, VMM_SET_GUEST_DEBUG
 * @flags: VMM_DEBUG_*; 0: none
 * @dr, @dr7: with VMM_DEBUG_HW, in force while the guest runs; the guest reads and writes
 *	its own, which have no effect meanwhile. Else 0.
 *
 * What happens is VMM_EXIT_DEBUG. A step ends behind one instruction, or at the first of
 * the handler if an interrupt or exception came; HLT ends one and sleeps in the next
 * VMM_RUN. An instruction of the guest that pushes RFLAGS itself (PUSHF, INT n) shows TF.
 */
struct vmm_guest_debug {
	__u32 flags;
	__u32 pad;
	__u64 dr[4];
	__u64 dr7;
	__u64 pad1[2];
};

/* Index into vmm_vcpu_stats.exits: why a guest stopped, in the CPU's sense. */
enum vmm_stat_exit {
	VMM_STAT_INTR,		/* an interrupt of the host */
	VMM_STAT_NMI,		/* an NMI of the host */
	VMM_STAT_EXCEPTION,	/* with shadow paging: its page faults, too */
	VMM_STAT_INTR_WINDOW,
	VMM_STAT_NMI_WINDOW,
	VMM_STAT_CPUID,
	VMM_STAT_HLT,
	VMM_STAT_PIO,
	VMM_STAT_PIO_STRING,
	VMM_STAT_MSR_READ,
	VMM_STAT_MSR_WRITE,
	VMM_STAT_CR,
	VMM_STAT_INVLPG,
	VMM_STAT_DR,
	VMM_STAT_XSETBV,
	VMM_STAT_HYPERCALL,
	VMM_STAT_MEMORY,	/* nested paging: nothing mapped there, or not so */
	VMM_STAT_WBINVD,
	VMM_STAT_PAUSE,
	VMM_STAT_RDPMC,
	VMM_STAT_UNDEFINED,	/* an instruction that guests do not have */
	VMM_STAT_TASK_SWITCH,
	VMM_STAT_REAL_MODE,	/* no exit: a mode that the CPU cannot run */
	VMM_STAT_SHUTDOWN,
	VMM_STAT_FAIL_ENTRY,
	VMM_STAT_UNKNOWN,
	VMM_STAT_APIC,		/* an EOI or write that an APIC of the CPU's could not finish */
	VMM_NR_STAT_EXIT
};

/*
 * struct vmm_vcpu_stats - what a vCPU did so far (VMM_GET_VCPU_STATS)
 * @flags: in, 0
 * @exits: by enum vmm_stat_exit; all of them, also those that the kernel handled
 * @returns: how often VMM_RUN came back with an exit for the process
 *
 * Does not wait for VMM_RUN. Counters are read one by one.
 */
struct vmm_vcpu_stats {
	__u64 flags;
	__u64 returns;
	__u64 pad[6];
	__u64 exits[40];
};

/* ---- the run page ---- */

/* vmm_run.exit_reason */
#define VMM_EXIT_NONE		0	/* not run yet */
#define VMM_EXIT_INTR		1	/* a signal or immediate_exit; VMM_RUN is -EINTR */
#define VMM_EXIT_PIO		2
#define VMM_EXIT_MMIO		3
#define VMM_EXIT_INSN		4	/* an instruction that the caller has to emulate */
#define VMM_EXIT_SHUTDOWN	5	/* triple fault */
#define VMM_EXIT_FAIL_ENTRY	6	/* the CPU refused the guest's state */
#define VMM_EXIT_MEMORY		7	/* memory that has to be there could not be had */
#define VMM_EXIT_INTERNAL	8	/* a bug of the module or of the machine */
#define VMM_EXIT_EOI		9	/* the end of a level-triggered interrupt */
#define VMM_EXIT_DEBUG		10	/* what VMM_SET_GUEST_DEBUG asked for */
#define VMM_EXIT_WINDOW		11	/* interrupt_window: an interrupt could be taken */

struct vmm_exit_pio {
	__u16 port;
	__u8  size;		/* 1, 2 or 4 */
	__u8  write;		/* 1: OUT, data is what the guest wrote; 0: IN, fill data */
	__u32 data;
};

struct vmm_exit_mmio {
	__u64 gpa;		/* the access does not cross a page */
	__u64 data;		/* little-endian; a read is filled by the caller */
	__u8  size;		/* 1, 2, 4 or 8 */
	__u8  write;
	__u8  pad[6];
};

/* vmm_exit_insn.cause */
#define VMM_INSN_MMIO		1	/* an access to gpa, of a form the kernel does not decode */
#define VMM_INSN_PIO		2	/* INS, OUTS */
/*
 * A mode that the CPU cannot run: real mode, or protected mode with segments still
 * those of real mode. The caller delivers vmm_events.event, if there is one, in
 * place of the CPU, then carries out instructions, one or many. HLT, CPUID, RDMSR,
 * WRMSR, WBINVD, INVD, XSETBV and MOV of debug registers it leaves where they are:
 * VMM_RUN carries them out in any mode.
 */
#define VMM_INSN_REAL_MODE	3
#define VMM_INSN_CR		4	/* SMSW, LMSW with an operand in memory */
/*
 * On shadow paging: a supervisor's write to gpa, a user's page, that the guest's CPU would
 * allow because CR0.WP is clear, though CR4.SMAP or protection keys guard the page.
 */
#define VMM_INSN_WRITE		5

struct vmm_exit_insn {
	__u32 cause;
	__u32 access;		/* VMM_ACCESS_* of the fault, for VMM_INSN_MMIO and _WRITE */
	__u64 gpa;		/* that faulted, for the same */
	__u8  length;		/* bytes that could be fetched at RIP, 0 to 15 */
	__u8  bytes[15];
};

struct vmm_exit_fail_entry {
	__u64 hardware_reason;	/* as the CPU gave it */
	__u64 info[4];
};

/*
 * The process's own memory behind a slot could not be had, or the guest keeps
 * code (VMM_ACCESS_EXEC), page tables, or what delivery of an event accesses
 * (descriptor tables, the handler's stack) where there is no slot: EFAULT. The
 * event is delivered again by the next VMM_RUN.
 */
struct vmm_exit_memory {
	__u64 gpa;
	__u32 access;		/* VMM_ACCESS_* */
	__u32 error;		/* errno, positive: EFAULT, EHWPOISON, ENOMEM */
};

/* vmm_exit_internal.code */
#define VMM_INTERNAL_UNKNOWN_EXIT	1	/* info[0]: the hardware's exit code */
#define VMM_INTERNAL_TASK_SWITCH	2	/* hardware task switch */

struct vmm_exit_internal {
	__u32 code;
	__u32 pad;
	__u64 info[4];
};

/*
 * The guest wrote EOI for a vector that a level-triggered message had brought (its TMR
 * bit is set), did not suppress the broadcast (SVR bit 12), and no irqfd with a
 * resample eventfd has it. A chip with levels clears its Remote IRR of that vector,
 * and sends again if the line is still active.
 */
struct vmm_exit_eoi {
	__u8 vector;
	__u8 pad[7];
};

/*
 * vector 1: a step (@dr6 has bit 14) or breakpoints (bits 0 to 3): RIP is behind the
 * instruction, but at it for an instruction breakpoint. vector 3: RIP is at the INT3. The
 * guest has seen nothing of it; to go on behind an INT3 the caller moves RIP.
 */
struct vmm_exit_debug {
	__u8  vector;
	__u8  pad[7];
	__u64 dr6;
};

/*
 * struct vmm_run - the run page, shared between a vCPU and its thread
 * @immediate_exit: in: not 0: VMM_RUN completes the last exit, then returns
 *	-EINTR without entering the guest. Signal handlers set it.
 * @interrupt_window: in: not 0: this VMM_RUN returns with VMM_EXIT_WINDOW as soon as
 *	the guest could take an interrupt: RFLAGS.IF is set, nothing holds interrupts back
 *	and no other event comes first; it may be halted. For interrupt controllers of
 *	the process ("ExtINT"), which then acknowledge one and give it as
 *	vmm_events.event of type VMM_EVENT_INTR. Read once, as VMM_RUN begins
 * @sync_out: in: sections copied into @state at each exit
 * @sync_in: in: sections taken from @state by the next VMM_RUN, which sets it to
 *	0; checked as VMM_SET_STATE does, -EINVAL and the guest does not run
 * @exit_reason: out: VMM_EXIT_*
 * @rip: out: the guest's RIP at the exit
 * @state: sections by @sync_out and @sync_in; its own mask is not used
 *
 * VMM_EXIT_PIO and VMM_EXIT_MMIO: RIP is past the instruction; data given by the
 * caller for a read is taken by the next VMM_RUN before @sync_in is, so a saved
 * vCPU is complete only after that VMM_RUN (with immediate_exit set).
 * VMM_EXIT_INSN: RIP is at the instruction. VMM_EXIT_EOI: behind it.
 * The kernel reads each field once and trusts none.
 */
struct vmm_run {
	__u8  immediate_exit;
	__u8  interrupt_window;
	__u8  pad0[6];
	__u64 sync_out;
	__u64 sync_in;
	__u32 exit_reason;
	__u32 pad1;
	__u64 rip;
	__u64 pad2[3];
	union {
		struct vmm_exit_pio pio;
		struct vmm_exit_mmio mmio;
		struct vmm_exit_insn insn;
		struct vmm_exit_fail_entry fail_entry;
		struct vmm_exit_memory memory;
		struct vmm_exit_internal internal;
		struct vmm_exit_eoi eoi;
		struct vmm_exit_debug debug;
		__u8 pad3[256];
	};
	struct vmm_state state;
};

/* ---- numbers ---- */

/* on /dev/vmm */
#define VMM_GET_INFO		_IOWR(VMM_IOC, 0x00, struct vmm_info)
#define VMM_GET_SUPPORTED_CPUID	_IOWR(VMM_IOC, 0x01, struct vmm_cpuid)
#define VMM_GET_MSR_LIST	_IOWR(VMM_IOC, 0x02, struct vmm_msr_list)
#define VMM_CREATE_VM		_IOW(VMM_IOC, 0x03, struct vmm_create_vm)

/* on a VM */
#define VMM_SET_SLOT		_IOW(VMM_IOC, 0x20, struct vmm_slot)
#define VMM_CREATE_VCPU		_IOW(VMM_IOC, 0x21, struct vmm_create_vcpu)
#define VMM_SIGNAL_MSI		_IOW(VMM_IOC, 0x22, struct vmm_msi)
#define VMM_IRQFD		_IOW(VMM_IOC, 0x23, struct vmm_irqfd)
#define VMM_IOEVENTFD		_IOW(VMM_IOC, 0x24, struct vmm_ioeventfd)
#define VMM_GET_CLOCK		_IOWR(VMM_IOC, 0x25, struct vmm_clock)
#define VMM_SET_CLOCK		_IOW(VMM_IOC, 0x26, struct vmm_clock)
#define VMM_GET_DIRTY		_IOWR(VMM_IOC, 0x27, struct vmm_dirty)
#define VMM_GET_VM_STATS	_IOWR(VMM_IOC, 0x28, struct vmm_vm_stats)

/* on a vCPU; each waits while VMM_RUN of another thread is under way */
#define VMM_RUN			_IO(VMM_IOC, 0x40)
#define VMM_GET_STATE		_IOWR(VMM_IOC, 0x41, struct vmm_state)
#define VMM_SET_STATE		_IOW(VMM_IOC, 0x42, struct vmm_state)
#define VMM_GET_MSRS		_IOWR(VMM_IOC, 0x43, struct vmm_msrs)
#define VMM_SET_MSRS		_IOW(VMM_IOC, 0x44, struct vmm_msrs)
#define VMM_GET_XSAVE		_IOWR(VMM_IOC, 0x45, struct vmm_xsave)
#define VMM_SET_XSAVE		_IOW(VMM_IOC, 0x46, struct vmm_xsave)
#define VMM_GET_CPUID		_IOWR(VMM_IOC, 0x47, struct vmm_cpuid)
#define VMM_SET_CPUID		_IOW(VMM_IOC, 0x48, struct vmm_cpuid)
#define VMM_TRANSLATE		_IOWR(VMM_IOC, 0x49, struct vmm_translate)
/* One NMI. Does not wait: taken at once if another thread runs the vCPU. */
#define VMM_NMI			_IO(VMM_IOC, 0x4a)
#define VMM_SET_GUEST_DEBUG	_IOW(VMM_IOC, 0x4b, struct vmm_guest_debug)
#define VMM_GET_VCPU_STATS	_IOWR(VMM_IOC, 0x4c, struct vmm_vcpu_stats)
/*
 * All but CPUID, counters and the debugger's view is as VMM_CREATE_VCPU made it: a
 * processor that was taken out, or a machine that restarts.
 */
#define VMM_RESET		_IO(VMM_IOC, 0x4d)

#endif /* _UAPI_LINUX_VMM_H */
