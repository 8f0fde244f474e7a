/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvmm: the process's side of /dev/vmm.
 *
 * Three handles: the system fd of vmm_open(), a VM (struct vmm) and a vCPU
 * (struct vmm_vcpu). Behind them: one function per ioctl of <linux/vmm.h>, the
 * guest's memory as the process sees it, and the emulation of instructions that
 * leave the guest as VMM_EXIT_INSN.
 *
 * Errors: a function that returns int or long returns -errno when it fails; errno
 * itself is not part of the contract. What each errno means stands at the struct
 * in <linux/vmm.h> that belongs to the ioctl. -EINTR is returned, never retried.
 *
 * Threads: a VM's functions may be called from any number of threads at once. A
 * vCPU's functions are for one thread at a time, except where it says "any
 * thread". No function may be called after the handle's destroy has begun.
 * Handles work only in the process that created them: not after fork().
 */
#ifndef LIBVMM_H
#define LIBVMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/vmm.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VMM_DEVICE	"/dev/vmm"

struct vmm;
struct vmm_vcpu;

/* ---- the system: fd of /dev/vmm ---- */

/*
 * Open @path (NULL: VMM_DEVICE), close-on-exec. Returns the fd, which the caller
 * closes; it is needed for the functions of this section only, a VM lives on
 * without it. Errors: those of open(2).
 */
int vmm_open(const char *path);

/*
 * Is the module built for the ABI of this library? 0: yes. -EPROTO: it answers
 * with another VMM_ABI_VERSION. -ENOTTY: @fd is no vmm device at all.
 * To be called once before anything else is asked of @fd.
 */
int vmm_check_abi(int fd);

/*
 * One line for a failed vmm_open(), vmm_check_abi() or vmm_create(): the cause, a
 * semicolon, what to do, as in "the module is not loaded; run modprobe vmm".
 * @err may be given negative or positive. Never NULL; the string is static, except
 * that an errno unknown here gives strerror()'s answer (valid until the thread's
 * next strerror()).
 */
const char *vmm_strerror_open(int err);

int vmm_get_info(int fd, struct vmm_info *info);

/*
 * Fill @entries, which has room for *@count, with the CPUID answers that the
 * module supports and set *@count to their number. -ENOSPC: too little room,
 * *@count says what is needed. VMM_MAX_CPUID is always enough.
 */
int vmm_get_supported_cpuid(int fd, struct vmm_cpuid_entry *entries, unsigned int *count);

/* The same for the indices of the MSRs that make up a vCPU's state. */
int vmm_get_msr_list(int fd, uint32_t *indices, unsigned int *count);

/* ---- a VM ---- */

/* A VM without memory and vCPUs. @fd is that of vmm_open(). */
int vmm_create(int fd, struct vmm **vm);

/*
 * The same as @how says, see struct vmm_create_vm. -EOPNOTSUPP is also what the CPU lacks
 * for VMM_VM_SHADOW or a TSC frequency; -EINVAL: what the module does not know.
 */
int vmm_create_with(int fd, const struct vmm_create_vm *how, struct vmm **vm);

/*
 * Undo vmm_create(): close the VM, forget its regions. Its vCPUs must have been
 * destroyed before. The memory behind the slots stays the caller's. NULL is fine.
 */
void vmm_destroy(struct vmm *vm);

/* The VM's fd, for poll() and for passing on; the handle keeps owning it. */
int vmm_fd(const struct vmm *vm);

/*
 * Create slot @slot, or replace it if there is one: @size bytes at guest-physical
 * @gpa are the memory at @hva, which the caller keeps mapped until the slot is
 * removed. All three page-aligned, @size not 0. @flags: VMM_SLOT_*.
 * Errors: VMM_SET_SLOT's; -ENOMEM.
 */
int vmm_memory_add(struct vmm *vm, unsigned int slot, uint64_t gpa, uint64_t size, void *hva,
		   unsigned int flags);

/* Undo vmm_memory_add(). When it has returned, no vCPU touches the memory. */
int vmm_memory_remove(struct vmm *vm, unsigned int slot);

/*
 * Where in this process [@gpa, @gpa + @len) is, if all of it lies in one slot,
 * else NULL: a device's registers, a hole, or a range that starts in RAM and ends
 * outside are never translated. @len 0 is NULL. The first is for memory that may be
 * written (no slot with VMM_SLOT_READONLY), the second for any slot.
 * The pointer is good until the slot is removed: a caller who removes slots makes
 * sure that nobody still uses one. Other vCPUs change the memory at any time: read
 * each field once into a local, then check the local.
 */
void *vmm_gpa_to_hva(struct vmm *vm, uint64_t gpa, uint64_t len);
const void *vmm_gpa_to_hva_ro(struct vmm *vm, uint64_t gpa, uint64_t len);

/*
 * Copy from or to guest memory; the range may cross from slot to slot. 0, or
 * -EFAULT when a byte of it lies in no slot (for the write: or in a read-only one);
 * nothing is copied then. Slots may be removed meanwhile by other threads.
 */
int vmm_guest_read(struct vmm *vm, uint64_t gpa, void *buf, size_t len);
int vmm_guest_write(struct vmm *vm, uint64_t gpa, const void *buf, size_t len);

/*
 * Start or stop the log of @slot's written pages, with nothing else changed; starting
 * makes it empty. 0 if it is so already. Costs the same for any size. -ENOENT: no such
 * slot. Not while another thread changes the same slot.
 */
int vmm_memory_log(struct vmm *vm, unsigned int slot, bool on);

/*
 * Take the log: bits of pages [@first, @first + @npages) of @slot, as struct vmm_dirty
 * has it, into @bitmap, which the caller has filled with zeros, and their number into
 * *@dirty. Beside the guest's writes these are those of vmm_guest_write() and
 * vmm_emulate(), and what vmm_dirty_mark() was told. @flags: VMM_DIRTY_*.
 * Errors: VMM_GET_DIRTY's; -EINVAL: no @bitmap.
 */
int vmm_dirty_get(struct vmm *vm, unsigned int slot, uint64_t first, uint64_t npages,
		  unsigned int flags, uint64_t *bitmap, uint64_t *dirty);

/*
 * The process has written [@gpa, @gpa + @len) by a pointer of vmm_gpa_to_hva(): to be
 * called after the write, by whoever wants it in a log. Does nothing where there is none.
 */
void vmm_dirty_mark(struct vmm *vm, uint64_t gpa, uint64_t len);

/* Send @msi. Returns the number of vCPUs that took it, 0 included. */
int vmm_signal_msi(struct vmm *vm, const struct vmm_msi *msi);

/* Each signal of eventfd @fd sends @msi, until removed with the same arguments. */
int vmm_irqfd_add(struct vmm *vm, int fd, const struct vmm_msi *msi);
int vmm_irqfd_remove(struct vmm *vm, int fd, const struct vmm_msi *msi);

/*
 * A guest's write described by @ev signals its eventfd instead of an exit, until
 * removed with the same contents. VMM_EVENTFD_REMOVE is these functions' business.
 */
int vmm_ioeventfd_add(struct vmm *vm, const struct vmm_ioeventfd *ev);
int vmm_ioeventfd_remove(struct vmm *vm, const struct vmm_ioeventfd *ev);

/* Memory that the VM costs the kernel. @stats->flags is 0 afterwards. */
int vmm_get_stats(struct vmm *vm, struct vmm_vm_stats *stats);

/* The paravirtual clock in nanoseconds. */
int vmm_get_clock(struct vmm *vm, uint64_t *ns);
int vmm_set_clock(struct vmm *vm, uint64_t ns);
/* The guest did not run for a while: its watchdogs are told so. The clock went on. */
int vmm_clock_stopped(struct vmm *vm);

/* ---- a vCPU ---- */

/* vCPU @id (also its initial APIC id) with its run page mapped. */
int vmm_vcpu_create(struct vmm *vm, unsigned int id, struct vmm_vcpu **vcpu);

/* Undo vmm_vcpu_create(). No thread may be inside vmm_vcpu_run(). NULL is fine. */
void vmm_vcpu_destroy(struct vmm_vcpu *vcpu);

/* Any thread; the same values as long as the handle lives. */
int vmm_vcpu_fd(const struct vmm_vcpu *vcpu);
unsigned int vmm_vcpu_id(const struct vmm_vcpu *vcpu);
struct vmm *vmm_vcpu_vm(const struct vmm_vcpu *vcpu);
struct vmm_run *vmm_vcpu_run_page(const struct vmm_vcpu *vcpu);

/*
 * Run the guest until an exit: 0, the reason is in the run page. -EINTR: a signal
 * or immediate_exit, nothing is lost, run again.
 */
int vmm_vcpu_run(struct vmm_vcpu *vcpu);

/*
 * Any thread, and signal handlers: set or clear immediate_exit in the run page. To
 * stop a vCPU from another thread: request, then send its thread a signal that has
 * a handler; that thread clears the request when vmm_vcpu_run() gave -EINTR.
 */
void vmm_vcpu_request_exit(struct vmm_vcpu *vcpu);
void vmm_vcpu_clear_exit(struct vmm_vcpu *vcpu);

/* The sections of @state->mask. Other members of @state are left alone, flags is 0. */
int vmm_vcpu_get_state(struct vmm_vcpu *vcpu, struct vmm_state *state);
int vmm_vcpu_set_state(struct vmm_vcpu *vcpu, const struct vmm_state *state);

/*
 * @count MSRs. 0: all done. -EINVAL: one is unknown or its value refused, those
 * before it are done; *@done (may be NULL) is their number.
 */
int vmm_vcpu_get_msrs(struct vmm_vcpu *vcpu, struct vmm_msr *msrs, unsigned int count,
		      unsigned int *done);
int vmm_vcpu_set_msrs(struct vmm_vcpu *vcpu, const struct vmm_msr *msrs, unsigned int count,
		      unsigned int *done);

/* FPU and vector state: @size bytes of XSAVE image, vmm_info.xsave_size or more. */
int vmm_vcpu_get_xsave(struct vmm_vcpu *vcpu, void *area, size_t size);
int vmm_vcpu_set_xsave(struct vmm_vcpu *vcpu, const void *area, size_t size);

/* The vCPU's CPUID table; get as vmm_get_supported_cpuid(). */
int vmm_vcpu_get_cpuid(struct vmm_vcpu *vcpu, struct vmm_cpuid_entry *entries,
		       unsigned int *count);
int vmm_vcpu_set_cpuid(struct vmm_vcpu *vcpu, const struct vmm_cpuid_entry *entries,
		       unsigned int count);

/* Walk the guest's page tables: @tr->gva and @tr->access in, the rest out. */
int vmm_vcpu_translate(struct vmm_vcpu *vcpu, struct vmm_translate *tr);

/* Any thread, also while another is in vmm_vcpu_run(): counts of exits. */
int vmm_vcpu_get_stats(struct vmm_vcpu *vcpu, struct vmm_vcpu_stats *stats);
/* "cpuid": for people. NULL: @exit is none of enum vmm_stat_exit. */
const char *vmm_stat_exit_name(unsigned int exit);

/* All but CPUID and counters as vmm_vcpu_create() made it. */
int vmm_vcpu_reset(struct vmm_vcpu *vcpu);

/* Any thread: one NMI. */
int vmm_vcpu_nmi(struct vmm_vcpu *vcpu);

/* ---- instruction emulation ---- */

/*
 * How the emulator reaches devices. Both are called in vmm_emulate()'s thread with
 * none of the library's locks held. @data is little-endian, @size bytes: a write's
 * value, or room for a read's, preset to all ones (what an access that nobody
 * answers reads).
 * @pio: @size is 1, 2 or 4; string instructions give one call per element.
 * @mmio: @size is 1, 2, 4 or 8 and @gpa a multiple of it; wider and misaligned
 *	accesses come as several calls in ascending order. Writes to a slot with
 *	VMM_SLOT_READONLY come here as well.
 */
struct vmm_emul_ops {
	void (*pio)(void *opaque, uint16_t port, unsigned int size, bool write, void *data);
	void (*mmio)(void *opaque, uint64_t gpa, unsigned int size, bool write, void *data);
};

enum vmm_emul_result {
	/*
	 * Go on with vmm_vcpu_run(): the instruction is done, or a bounded part of
	 * a repeated one is and RIP is still there, or the guest gets an exception.
	 * For VMM_INSN_REAL_MODE: a run of instructions is done.
	 */
	VMM_EMUL_OK,
	/*
	 * Not an instruction known here; nothing changed. See vmm_emul_describe(). At
	 * CPL 3 it is a #UD of the guest's instead, but for VMM_INSN_REAL_MODE.
	 */
	VMM_EMUL_UNSUPPORTED,
	/* An ioctl failed; the vCPU cannot go on. See vmm_emul_error(). */
	VMM_EMUL_ERROR,
	/* A triple fault, as VMM_EXIT_SHUTDOWN. */
	VMM_EMUL_SHUTDOWN,
};

/*
 * Emulate what the vCPU's run page shows as VMM_EXIT_INSN, between two calls of
 * vmm_vcpu_run() and from the same thread. RAM is accessed through the slots of
 * vmm_memory_add(), all other addresses through @ops.
 *
 * State is taken from the run page as far as sync_in or sync_out cover it, the
 * rest from VMM_GET_STATE. What changed is left in run->state with its bits set in
 * run->sync_in: the next vmm_vcpu_run() takes it, and only then VMM_GET_STATE shows
 * it. Not emulated: data and I/O breakpoints of DR7.
 *
 * For VMM_INSN_REAL_MODE it first delivers the event that VMM_STATE_EVENT shows, then
 * carries out instructions until the CPU may be able to go on, the kernel has to do
 * something (CPUID, HLT, MSRs), an interrupt might be taken, or a few thousand are
 * done; immediate_exit of the run page ends it early.
 */
enum vmm_emul_result vmm_emulate(struct vmm_vcpu *vcpu, const struct vmm_emul_ops *ops,
				 void *opaque);

/* -errno of the ioctl behind the last VMM_EMUL_ERROR. */
int vmm_emul_error(const struct vmm_vcpu *vcpu);

/*
 * One line about the instruction of the last VMM_EXIT_INSN, for a message:
 * "rip 0xfff0 cpl 0 16-bit: 0f 01 16 00 10: lgdt [0x1000]". NUL-terminated, cut to
 * @size. Returns the length it would have without the cut, as snprintf().
 */
int vmm_emul_describe(struct vmm_vcpu *vcpu, char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* LIBVMM_H */
