/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Single accesses of a guest in any paging mode, and a reference for what they have
 * to do. The guest runs a list of operations, each one instruction with the CPL and the
 * flags that it says, in a loop of assembly (probe_guest.S) that notes how each ended; so
 * thousands take one entry, and nothing but what is asked for touches the guest's memory.
 *
 * Of guest memory (lib/vm.h) it uses GUEST_DATA: code, descriptors and tables of its
 * own in the first half, the test's tables (PROBE_POOL) in the second; GUEST_DATA2 is
 * data, filled by probe_fill(). The guest's low 16 MiB are mapped as they are, for its
 * supervisor; its code is mapped a second time for users.
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

/* Of tables; long mode has five with SELFTEST_LA57 in the environment, for hosts that can. */
unsigned int probe_levels(enum probe_mode mode);

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
#define PROBE_PKE	32U

struct probe {
	struct vcpu *vcpu;
	enum probe_mode mode;
	u32 env;
	u32 pkru;		/* with PROBE_PKE */
	u64 cr3;
	struct probe_model *model;	/* what the reference reads, or NULL: the memory */
	u64 emulated;		/* accesses that left as VMM_INSN_WRITE */
};

/*
 * The accesses to system tables are those of LAR and MOV to FS at CPL 3, to 8 bytes at an
 * address that 8 divides; the MOV writes where it finds the descriptor of PROBE_DESCRIPTOR
 * with accessed bit clear. Then what is no access: @gva is also what goes to a register.
 */
enum probe_kind {
	PROBE_READ, PROBE_WRITE, PROBE_EXEC,
	PROBE_SYSTEM_READ, PROBE_SYSTEM_WRITE,
	PROBE_INVLPG, PROBE_LOAD_CR3, PROBE_LOAD_CR4, PROBE_LOAD_CR0,
	PROBE_STORE, PROBE_LOAD_TR, PROBE_LOAD_PKRU,
};

#define PROBE_DESCRIPTOR 0x7f8UL	/* offset in each data page */
#define PROBE_ACCESSED	5		/* offset in the descriptor; bit 0 */
#define PROBE_MAX	512U		/* operations of a list */
#define PROBE_SYSTEM_MAX 128U		/* accesses to system tables of a list */

static inline bool probe_is_system(enum probe_kind kind)
{
	return kind == PROBE_SYSTEM_READ || kind == PROBE_SYSTEM_WRITE;
}

struct probe_access {
	u64 gva;
	enum probe_kind kind;
	bool user;
	bool ac;		/* RFLAGS.AC */
	u64 value;		/* to be written: a byte, or a table's entry */
};

struct probe_result {
	bool fault;
	u32 error;		/* of #PF */
	u64 cr2;
	u8 value;		/* read, or the id of the page that was executed */
};

/* A vCPU of @vm; the machine's part is made once for a VM, by the first. */
struct probe probe_new(struct vm *vm, u32 id);
/* Data pages: the second byte of four is the page's id, and executed they return it. */
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

/* @count operations in one go; any of them but an access may not fault. */
void probe_run(struct probe *probe, const struct probe_access *list, u32 count,
	       struct probe_result *results);
void probe_do(struct probe *probe, const struct probe_access *access,
	      struct probe_result *result);
/* Carry out what left as VMM_EXIT_INSN. */
void probe_emulate(struct vcpu *vcpu);

/* One that is no access. */
void probe_must(struct probe *probe, enum probe_kind kind, u64 gva, u64 value);

static inline void probe_invlpg(struct probe *probe, u64 gva)
{
	probe_must(probe, PROBE_INVLPG, gva, 0);
}

static inline void probe_load_cr3(struct probe *probe, u64 cr3)
{
	probe_must(probe, PROBE_LOAD_CR3, cr3, 0);
}

static inline void probe_load_cr4(struct probe *probe, u64 cr4)
{
	probe_must(probe, PROBE_LOAD_CR4, cr4, 0);
}

static inline void probe_load_cr0(struct probe *probe, u64 cr0)
{
	probe_must(probe, PROBE_LOAD_CR0, cr0, 0);
}

/* The guest writes an entry of the mode's width at @gva. */
static inline void probe_store(struct probe *probe, u64 gva, u64 entry)
{
	probe_must(probe, PROBE_STORE, gva, entry);
}

/* Needs PROBE_PKE. */
static inline void probe_load_pkru(struct probe *probe, u32 pkru)
{
	probe_must(probe, PROBE_LOAD_PKRU, pkru, 0);
	probe->pkru = pkru;
}

u64 probe_cr4(const struct probe *probe);
u64 probe_cr0(const struct probe *probe);

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
	} step[5];
};

unsigned int probe_entry_size(enum probe_mode mode);
/*
 * May implicit accesses have EFLAGS.AC set here? SMAP has to guard them all the same; in
 * Bochs it does not.
 */
bool probe_system_ac(void);
bool probe_has_gib_pages(void);
u64 probe_entry(struct vm *vm, enum probe_mode mode, u64 gpa);
void probe_set_entry(struct vm *vm, enum probe_mode mode, u64 gpa, u64 entry);
void probe_reference(const struct probe *probe, const struct probe_access *access,
		     struct reference *ref);
/* What differs, as text in a static buffer. */
__attribute__((format(printf, 3, 4)))
const char *probe_differs(const struct probe *probe, const struct probe_access *access,
			  const char *format, ...);
/* An error code of this host's CPU, without its known gaps. */
u32 probe_error(u32 error);
/*
 * Do it, and compare with the reference: outcome, error code, CR2, value, accessed and
 * dirty bits. Returns NULL or what differs (static buffer).
 */
const char *probe_check(struct probe *probe, const struct probe_access *access);

/* ---- lists that are compared ---- */

/*
 * What memory has to be, moved on by the reference one operation after another, so that
 * a whole list of them can run before anything is compared: each outcome, then the tables
 * of the pool with all their accessed and dirty bits, and what was written.
 */
struct probe_model {
	struct vm *vm;
	u8 *memory;		/* of guest-physical 0 on */
	u8 *maybe;		/* by 4 bytes: an entry whose accessed bit is open */
};

struct probe_model *probe_model_new(struct vm *vm);
void probe_model_free(struct probe_model *model);
/* The pool is now what memory says. */
void probe_model_sync(struct probe_model *model);
/* The process writes an entry, to memory and model. */
void probe_model_set(struct probe_model *model, enum probe_mode mode, u64 gpa, u64 entry);

struct probe_want {
	bool fault;
	u32 error;
	u64 cr2;
	u64 gpa;		/* of what is read, written or executed */
	u8 value, mask;
};

struct probe_list {
	struct probe *probe;	/* with a model */
	u32 count, systems;
	u64 compared;		/* accesses, of all lists so far */
	const char *wrong;	/* the first difference; nothing is done any more then */
	struct probe_access list[PROBE_MAX];
	struct probe_want want[PROBE_MAX];
};

/* Queue an operation; a full list is run. PROBE_STORE here is to a guest-physical address. */
void probe_list_add(struct probe_list *list, const struct probe_access *access);
/* Run and compare what is queued; the first difference, or NULL. */
const char *probe_list_run(struct probe_list *list);

#endif
