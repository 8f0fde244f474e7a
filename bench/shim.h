/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few calls in which the two hypervisors differ, seen from host.c: a VM with
 * one vCPU, slots, doorbells, a turn of the guest. shim-vmm.c and shim-kvm.c give
 * them; each program is linked with one. Both make the same machine: a local APIC
 * in the kernel, CPUID as the hypervisor supports it with TSC_ADJUST and
 * TSC-deadline, and no other chip.
 *
 * Nothing here fails: what goes wrong ends the program with a message (die()).
 */
#ifndef BENCH_SHIM_H
#define BENCH_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shim_vm;

enum shim_kind {
	SHIM_PIO,
	SHIM_MMIO,
	SHIM_OTHER,
};

/*
 * struct shim_exit - why the guest's turn ended
 * @kind: an access to a port or address without slot, or anything else
 * @write: the guest wrote @data; else the next shim_run() takes it from there
 * @address: port or guest-physical address
 * @data: the value, 32 bits; good until the next shim_run()
 * @reason: for SHIM_OTHER: the hypervisor's own number
 */
struct shim_exit {
	enum shim_kind kind;
	bool write;
	uint64_t address;
	void *data;
	uint32_t reason;
};

extern const char *const shim_name;

/* Once, before anything else. */
void shim_open(void);

/* A VM with a vCPU; the vCPU's state is that after power-up. */
struct shim_vm *shim_create(void);
void shim_destroy(struct shim_vm *vm);

void shim_slot(struct shim_vm *vm, unsigned int slot, uint64_t gpa, uint64_t size, void *hva);

/* Start the vCPU at @rip in 64-bit mode, paging on with CR3 @cr3, interrupts off. */
void shim_start(struct shim_vm *vm, uint64_t rip, uint64_t cr3);

/* Writes of any value to a 16-bit port, or of any size to an address, signal @fd. */
void shim_doorbell_port(struct shim_vm *vm, uint16_t port, int fd);
void shim_doorbell_mmio(struct shim_vm *vm, uint64_t gpa, int fd);

/* One turn of the guest. */
void shim_run(struct shim_vm *vm, struct shim_exit *exit);

/* host.c: "bench: @what: @cause", status 1 */
void die(const char *what, const char *cause) __attribute__((noreturn));

#endif
