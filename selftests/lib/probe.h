/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Single accesses of a guest in any paging mode, and a reference for what they have
 * to do. The host sets registers, the guest runs one instruction and leaves by a port
 * write, or its exception handler does. So one program drives 32-bit, PAE and long
 * mode alike, and nothing but what is asked for touches the guest's memory.
 *
 * Of guest memory (lib/vm.h) it uses GUEST_DATA: code, descriptors and tables of its
 * own in the first half, the test's tables (PROBE_POOL) in the second; GUEST_DATA2 is
 * data, filled by probe_fill(). The guest's low 16 MiB are mapped as they are, for its
 * supervisor; its code for users is at probe->user_code.
 */
#ifndef SELFTESTS_PROBE_H
#define SELFTESTS_PROBE_H

#include "vm.h"

enum probe_mode {
	PROBE_FLAT,		/* protected mode without paging */
	PROBE_32,
	PROBE_32_PSE,
	PROBE_PAE,
	PROBE_LONG,
	PROBE_MODES
};

extern const char *const probe_mode_name[PROBE_MODES];

#define PROBE_POOL	(GUEST_DATA + 0x100000)	/* tables; the first is the root */
#define PROBE_POOL_PAGES 16U
#define PROBE_TABLE(n)	(PROBE_POOL + (n) * 4096UL)
#define PROBE_IDS	0xe0U	/* page ids are below */

/* What differs among environments of one mode. */
#define PROBE_WP	1U
#define PROBE_SMEP	2U
#define PROBE_SMAP	4U
#define PROBE_NXE	8U
#define PROBE_PGE	16U

struct probe {
	struct vcpu *vcpu;
	enum probe_mode mode;
	u32 env;
	u64 cr3;
	u64 user_code;		/* linear; the supervisor's is where it is */
};

enum probe_kind { PROBE_READ, PROBE_WRITE, PROBE_EXEC };

struct probe_access {
	u64 gva;
	enum probe_kind kind;
	bool user;
	bool ac;		/* RFLAGS.AC */
	u8 value;		/* to be written */
};

struct probe_result {
	bool fault;
	u32 error;		/* of #PF */
	u64 cr2;
	u8 value;		/* read, or the id of the page that was executed */
};

/* A vCPU of @vm; the machine's part is made once for a VM, by the first. */
struct probe probe_new(struct vm *vm, u32 id);
/* Data pages: each pair of bytes an instruction that leaves with the page's id. */
void probe_fill(struct vm *vm);
static inline u8 probe_id(u64 gpa)
{
	return (gpa >> 12) % PROBE_IDS;
}

/* Set the mode by VMM_SET_STATE; the root is table 0. PROBE_SMEP and others must exist. */
void probe_enter(struct probe *probe, enum probe_mode mode, u32 env);
u32 probe_env_supported(enum probe_mode mode);
/* With nested paging QEMU's TCG sets accessed bits where PAE has them reserved. */
bool probe_mode_broken(enum probe_mode mode);
#define PROBE_BROKEN "QEMU TCG sets reserved bits in PAE's top table"
/* Entries of the root that a test must leave alone: [0, this). */
unsigned int probe_root_fixed(enum probe_mode mode);
/* (Re)make table 0 of the mode with nothing but those, and the tables below them. */
void probe_tables(struct vm *vm, enum probe_mode mode);

void probe_do(struct probe *probe, const struct probe_access *access,
	      struct probe_result *result);
void probe_invlpg(struct probe *probe, u64 gva);
void probe_load_cr3(struct probe *probe, u64 cr3);
void probe_load_cr4(struct probe *probe, u64 cr4);
void probe_load_cr0(struct probe *probe, u64 cr0);
u64 probe_cr4(const struct probe *probe);
u64 probe_cr0(const struct probe *probe);
/* The guest writes an entry of the mode's width at @gpa. */
void probe_store(struct probe *probe, u64 gpa, u64 entry);

/* ---- the reference ---- */

struct reference {
	bool fault;
	u32 error;
	u64 gpa;
	unsigned int steps;
	struct {
		u64 gpa;
		u64 entry;	/* before the access */
		bool no_used;	/* an entry without accessed bit */
	} step[4];
};

unsigned int probe_entry_size(enum probe_mode mode);
u64 probe_entry(struct vm *vm, enum probe_mode mode, u64 gpa);
void probe_set_entry(struct vm *vm, enum probe_mode mode, u64 gpa, u64 entry);
void probe_reference(const struct probe *probe, const struct probe_access *access,
		     struct reference *ref);
/*
 * Do it, and compare with the reference: outcome, error code, CR2, value, accessed and
 * dirty bits. Returns NULL or what differs (static buffer).
 */
const char *probe_check(struct probe *probe, const struct probe_access *access);

#endif
