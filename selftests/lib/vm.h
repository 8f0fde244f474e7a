/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's side of a test: makes VMs, runs vCPUs, reads what guests say.
 *
 * Raw ioctls on purpose: a test must be able to say what no library would. A
 * helper that meets an error nobody asked about prints what it expected and got
 * and ends the test process; a test that expects an error calls vmm_call().
 *
 * A guest is a function of the test program itself. Each VM gets a copy of the
 * program's image at the addresses it is linked for (programs are static and
 * position-dependent) under an identity-mapped page table, so function pointers,
 * strings and variables are the same numbers in host and guest; guest_var() is
 * the guest's copy of a variable.
 */
#ifndef SELFTESTS_VM_H
#define SELFTESTS_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <linux/vmm.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

/* Guest-physical (and, identity-mapped, linear) layout of vm_new(). */
#define GUEST_MEM_SIZE		(16UL << 20)
#define GUEST_GDT		0x8000UL
#define GUEST_IDT		0x9000UL
#define GUEST_TSS		0xa000UL
#define GUEST_PML4		0x10000UL	/* 6 pages: PML4, PDPT, 4 PDs */
#define GUEST_STACK(id)		(0x40000UL + ((id) + 1) * 0x8000UL)	/* top */
#define GUEST_MAX_VCPUS		8
#define GUEST_FAULT_STACK(id)	(0xa0000UL + ((id) + 1) * 0x8000UL)	/* from CPL 3 */
#define GUEST_USER_STACK	0x100000UL	/* top */
#define GUEST_DATA		0x200000UL	/* 2 MiB that nothing uses */
#define GUEST_IMAGE		0x400000UL
#define GUEST_DATA2		0x800000UL	/* 8 MiB that nothing uses */
#define GUEST_HOLE		0x10000000UL	/* no memory from here on */

#define SEL_CODE64		0x08
#define SEL_DATA		0x10
#define SEL_CODE32		0x18
#define SEL_CODE16		0x20
#define SEL_DATA16		0x28
#define SEL_USER_DATA		0x33
#define SEL_USER_CODE64		0x3b
#define SEL_USER_CODE32		0x43
#define SEL_TSS			0x48

struct vm {
	int sys;		/* /dev/vmm */
	int fd;
	u8 *mem;		/* guest-physical 0, GUEST_MEM_SIZE bytes, or NULL */
};

struct vcpu {
	struct vm *vm;
	int fd;
	u32 id;
	struct vmm_run *run;
};

/* Print "# " and the message, and end the test process as failed. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

/* ioctl(): its result, or -errno. */
int vmm_call(int fd, unsigned long number, void *arg);
/* The same; any error ends the test. */
int vmm_must(int fd, unsigned long number, void *arg, const char *what);
#define VMM_MUST(fd, number, arg)	vmm_must(fd, number, arg, #number)

int open_vmm(void);
struct vmm_info get_info(void);

/*
 * vmm_create_vm.flags of VMs to come. With SELFTEST_SHADOW in the environment VMM_VM_SHADOW
 * from the start: the tests then see what they would on a CPU without nested paging.
 */
extern u64 vm_flags;
extern u32 vm_tsc_khz;		/* of VMs to come, 0: the host's */

struct vm *vm_new_bare(void);		/* no memory */
struct vm *vm_new(void);		/* memory, image, page table, GDT, IDT */
/* The last three anew, and the image as it is now, whatever the guest made of them. */
void vm_refill(struct vm *vm);
void vm_free(struct vm *vm);
/* VMM_SET_SLOT: 0 or -errno. */
int vm_slot(struct vm *vm, u32 slot, u64 gpa, u64 size, void *hva, u32 flags);
/* Anonymous memory; page-aligned @size. */
void *map_memory(size_t size);

/* The host's pointer to the guest's byte at @gpa. */
void *vm_ptr(struct vm *vm, u64 gpa);
#define guest_var(vm, var)	(*(__typeof__(var) volatile *)vm_ptr(vm, (u64)&(var)))

/* In 64-bit mode at @entry, own stack; id 0 to GUEST_MAX_VCPUS - 1. */
struct vcpu *vcpu_new(struct vm *vm, u32 id, void (*entry)(void));
/* As the CPU powers up, run page mapped. */
struct vcpu *vcpu_new_reset(struct vm *vm, u32 id);
void vcpu_free(struct vcpu *vcpu);

void vcpu_get(struct vcpu *vcpu, struct vmm_state *state, u64 mask);
void vcpu_set(struct vcpu *vcpu, struct vmm_state *state, u64 mask);
/* Go on at @entry with a fresh stack, in 64-bit mode; ids GUEST_MAX_VCPUS apart share one. */
void vcpu_restart(struct vcpu *vcpu, void (*entry)(void));
/* Flat 32-bit protected mode without paging, flat stack at GUEST_STACK(). */
void vcpu_mode32(struct vcpu *vcpu, u32 eip);
/* Real mode, CS:IP = 0:@ip, all segments 0, SP = 0x7000. */
void vcpu_mode16(struct vcpu *vcpu, u16 ip);
u64 vcpu_rip(struct vcpu *vcpu);
u64 vcpu_get_msr(struct vcpu *vcpu, u32 index);
/* Entries done: 1 or 0. */
int vcpu_set_msr(struct vcpu *vcpu, u32 index, u64 value);

/* VMM_RUN: 0 or -errno. */
int vcpu_run(struct vcpu *vcpu);
/*
 * Run to the next exit but a signal's, and return its reason; VMM_EXIT_INTR only
 * with immediate_exit set. What the guest says with GUEST_FAIL() ends the test.
 */
u32 vcpu_exit(struct vcpu *vcpu);
/* The next exit must be @reason. */
void vcpu_expect(struct vcpu *vcpu, u32 reason);
/* The next exit must be GUEST_SYNC(@value). */
void vcpu_sync(struct vcpu *vcpu, u32 value);
/* Run until GUEST_DONE(), which must be the next exit. */
void vcpu_done(struct vcpu *vcpu);
/* Is the exit in the run page GUEST_SYNC()? */
bool vcpu_synced(struct vcpu *vcpu, u32 *value);
const char *exit_name(u32 reason);
/* One line about the exit in the run page; static buffer. */
const char *exit_text(struct vcpu *vcpu);

/* Is the host itself an emulated machine of QEMU's TCG? Its CPU has gaps. */
bool host_is_tcg(void);
/* Is @word in a line of the file? False if there is none. */
bool file_has(const char *path, const char *word);
/* CPUs the process may use; the number of the n-th; pin the calling thread to it. */
int host_cpus(void);
int host_cpu(int n);
void pin_to_cpu(int n);
/* SELFTEST_SCALE: by what factor the host is too slow for all of the rounds; or 1. */
u32 host_slowness(void);
/* Of so many rounds, or so much time, what a test is to do here; at least 1. */
u32 share_of(u32 work);
/* The module checks its page tables now and then, and complains in the host's log. */
void set_audit(bool on);
/* Monotonic time. */
u64 now_ns(void);
/* A handler that does nothing, without SA_RESTART: system calls give EINTR. */
void catch_signal(int signal);

#endif
