// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guest's own paging, in every mode: permissions of all levels and bits, error
 * codes, accessed and dirty bits, and tables that change under it - by its own
 * writes, another vCPU's, and the process's. lib/probe.h runs single accesses and
 * compares each with a reference.
 */
#include "lib/probe.h"
#include "lib/test.h"

#define DATA(n)		(GUEST_DATA2 + (n) * 4096UL)
#define LARGE		(GUEST_DATA2 + (4UL << 20))	/* frame of large pages */
#define P		(PTE_P | PTE_W | PTE_U)

FIXTURE(paging) {
	struct vm *vm;
	struct probe probe;
	u64 gva;		/* its way is through tables 0, 1, 2 ... */
	unsigned int levels;
};

FIXTURE_VARIANT(paging) {
	enum probe_mode mode;
};

FIXTURE_VARIANT_ADD(paging, legacy) { .mode = PROBE_32 };
FIXTURE_VARIANT_ADD(paging, pse) { .mode = PROBE_32_PSE };
FIXTURE_VARIANT_ADD(paging, pae) { .mode = PROBE_PAE };
FIXTURE_VARIANT_ADD(paging, long_mode) { .mode = PROBE_LONG };

FIXTURE_SETUP(paging)
{
	if (probe_mode_broken(variant->mode))
		SKIP(_exit(255), PROBE_BROKEN);
	self->vm = vm_new();
	self->probe = probe_new(self->vm, 0);
	probe_fill(self->vm);
	probe_tables(self->vm, variant->mode);
	memset(vm_ptr(self->vm, PROBE_TABLE(1)), 0, (PROBE_POOL_PAGES - 1) * 4096);
	self->levels = probe_levels(variant->mode);
	/* The upper half of a table of 1024 entries is another of the shadow's. */
	self->gva = self->levels == 5 ? 0xff20800040203000UL :
		    self->levels == 4 ? 0xffff800040203000UL :
		    variant->mode == PROBE_PAE ? 0xc0203000UL : 0xc0a03000UL;
	/* Of nested tables, which these tests leave alone, a slow host has no time for it. */
	set_audit(host_slowness() < 50 || get_info().paging == VMM_PAGING_SHADOW);
}

FIXTURE_TEARDOWN(paging)
{
	set_audit(false);
	/* Also after a set-up that skipped. */
	if (self->vm)
		vm_free(self->vm);
}

/* Where the entry of @level for @gva is, if its table is @table. */
static u64 entry_at(enum probe_mode mode, unsigned int table, unsigned int level, u64 gva)
{
	const unsigned int bits = mode >= PROBE_PAE ? 9 : 10;
	const u64 index = (gva >> (12 + bits * (level - 1))) & ((1UL << bits) - 1);

	return PROBE_TABLE(table) + index * probe_entry_size(mode);
}

/* Entry of @level on the way to self->gva: table 0 has the highest. */
#define AT(level)	entry_at(variant->mode, self->levels - (level), level, self->gva)
#define SET(level, entry)	probe_set_entry(self->vm, variant->mode, AT(level), entry)

static u64 top_flags(enum probe_mode mode, unsigned int level)
{
	return mode == PROBE_PAE && level == 3 ? PTE_P : P;
}

/* The whole way, all permitted, to DATA(0). */
static void make_way(struct vm *vm, enum probe_mode mode, unsigned int levels, u64 gva)
{
	unsigned int level;

	for (level = levels; level > 1; level--)
		probe_set_entry(vm, mode, entry_at(mode, levels - level, level, gva),
				PROBE_TABLE(levels - level + 1) | top_flags(mode, level));
	probe_set_entry(vm, mode, entry_at(mode, levels - 1, 1, gva), DATA(0) | P);
}

#define MAKE_WAY()	make_way(self->vm, variant->mode, self->levels, self->gva)
#define ENTER(env)	probe_enter(&self->probe, variant->mode, (env) & SUPPORTED)
#define SUPPORTED	probe_env_supported(variant->mode)

#define CHECK(...)							\
	do {								\
		const char *wrong_ = probe_check(&self->probe,		\
						 &(struct probe_access){ __VA_ARGS__ }); \
									\
		if (wrong_)						\
			TH_LOG("line %d: %s", __LINE__, wrong_);	\
		ASSERT_EQ(NULL, wrong_);				\
	} while (0)

/* Reads of self->gva reach the page @gpa. */
#define READS(gpa_)							\
	do {								\
		struct probe_result r_;					\
									\
		probe_do(&self->probe, &(struct probe_access){ .gva = self->gva + 1 }, &r_); \
		EXPECT_FALSE(r_.fault);					\
		EXPECT_EQ(probe_id(gpa_), r_.value);			\
	} while (0)

/* Of the 16 of WP, SMEP, SMAP and NX, can @env be tested here? */
static bool has_env(enum probe_mode mode, u32 env)
{
	return !(env & ~probe_env_supported(mode));
}

/* ---- permissions ---- */

static u64 bits_of(u32 choice)
{
	return PTE_P | (choice & 1 ? PTE_W : 0) | (choice & 2 ? PTE_U : 0) |
	       (choice & 4 ? PTE_NX : 0);
}

/*
 * On a slow host with nested paging, where the CPU is what walks these tables, every
 * environment and every choice of bits is met, but not each with each other.
 */
static bool left_out(enum probe_mode mode, u32 env, u32 choice)
{
	u32 below = 0, all = 0, share;

	for (u32 i = 0; i < 16; i++)
		if (has_env(mode, i)) {
			below += i < env;
			all++;
		}
	share = host_slowness() < all ? host_slowness() : all;
	return get_info().paging == VMM_PAGING_NESTED && (below + choice) % share;
}

/*
 * Reads, writes and fetches of either CPL, with AC and without, at @gva; and at the page's
 * descriptor the implicit accesses of CPL 3.
 */
static void queue_accesses(struct probe_list *list, u64 gva)
{
	const u64 descriptor = (gva & ~0xfffUL) | PROBE_DESCRIPTOR;
	unsigned int i;

	for (i = 0; i < 12; i++)
		probe_list_add(list, &(struct probe_access){
			.gva = gva + (i % 3 == PROBE_WRITE ? 0x801 : 0),
			.kind = i % 3,
			.user = i / 3 & 1,
			.ac = i / 6,
			.value = 0x80 + i,
		});
	for (i = 0; i < 4; i++)
		probe_list_add(list, &(struct probe_access){
			.gva = descriptor,
			.kind = i & 1 ? PROBE_SYSTEM_WRITE : PROBE_SYSTEM_READ,
			.ac = i / 2 && probe_system_ac(),
		});
}

static void queue(struct probe_list *list, enum probe_kind kind, u64 gva, u64 value)
{
	probe_list_add(list, &(struct probe_access){ .kind = kind, .gva = gva, .value = value });
}

/* The guest gives @gva's entry at @at a value, flushes, and does all accesses. */
static void queue_entry(struct probe_list *list, u64 at, u64 entry, u64 gva)
{
	queue(list, PROBE_STORE, at, entry);
	if (at < PROBE_TABLE(1))
		queue(list, PROBE_LOAD_CR3, list->probe->cr3, 0);
	queue(list, PROBE_INVLPG, gva, 0);
	queue_accesses(list, gva);
}

static struct probe_list *new_list(struct probe *probe)
{
	static struct probe_list list;

	memset(&list, 0, sizeof(list));
	list.probe = probe;
	return &list;
}

/* All that is queued. */
#define RUN(list)							\
	do {								\
		const char *wrong_ = probe_list_run(list);		\
									\
		if (wrong_)						\
			TH_LOG("%s", wrong_);				\
		ASSERT_EQ(NULL, wrong_);				\
	} while (0)

#define SAY_COMPARED(list)	printf("# %lu accesses compared\n", (list)->compared)

/* Lists are laid out by a model of what memory is, which begins with what it is now. */
#define NEW_LIST()							\
	({								\
		self->probe.model = probe_model_new(self->vm);		\
		new_list(&self->probe);					\
	})

/* A way that permits all, in an environment. */
#define BEGIN(env)							\
	do {								\
		MAKE_WAY();						\
		probe_model_sync(self->probe.model);			\
		ENTER(env);						\
	} while (0)

TEST_F_TIMEOUT(paging, every_permission_at_two_levels_for_every_access, 200)
{
	const u64 nx = probe_entry_size(variant->mode) == 8 ? ~0UL : ~PTE_NX;
	struct probe_list *list = NEW_LIST();
	u32 env, choice;

	/* Too slow for so many. */
	set_audit(false);
	for (env = 0; env < 16; env++) {
		if (!has_env(variant->mode, env))
			continue;
		BEGIN(env);
		for (choice = 0; choice < 64; choice++) {
			if (left_out(variant->mode, env, choice))
				continue;
			queue(list, PROBE_STORE, AT(2),
			      (PROBE_TABLE(self->levels - 1) | bits_of(choice >> 3)) & nx);
			queue_entry(list, AT(1), (DATA(0) | bits_of(choice)) & nx, self->gva);
		}
		RUN(list);
	}
	SAY_COMPARED(list);
}

/* Each bit of each level alone, in every environment. */
TEST_F_TIMEOUT(paging, permissions_of_each_level, 200)
{
	const u64 nx = probe_entry_size(variant->mode) == 8 ? ~0UL : ~PTE_NX;
	struct probe_list *list = NEW_LIST();
	unsigned int level;
	u32 env, choice;

	set_audit(false);
	for (env = 0; env < 16; env++) {
		if (!has_env(variant->mode, env))
			continue;
		BEGIN(env);
		for (level = 2; level <= self->levels; level++) {
			const u64 table = PROBE_TABLE(self->levels - level + 1);

			if (variant->mode == PROBE_PAE && level == 3)
				continue;
			for (choice = 0; choice < 16; choice++)
				if (!left_out(variant->mode, env, choice))
					queue_entry(list, AT(level),
						    (table | (bits_of(choice) ^ (choice / 8))) & nx,
						    self->gva);
			queue(list, PROBE_STORE, AT(level), table | P);
		}
		RUN(list);
	}
	SAY_COMPARED(list);
}

TEST_F_TIMEOUT(paging, permissions_of_large_pages, 200)
{
	const u64 nx = probe_entry_size(variant->mode) == 8 ? ~0UL : ~PTE_NX;
	struct probe_list *list;
	u32 env, choice;

	if (variant->mode == PROBE_32)
		SKIP(return, "4 KiB pages only");
	set_audit(false);
	list = NEW_LIST();
	for (env = 0; env < 16; env++) {
		if (!has_env(variant->mode, env))
			continue;
		BEGIN(env);
		for (choice = 0; choice < 8; choice++) {
			if (left_out(variant->mode, env, choice))
				continue;
			queue_entry(list, AT(2), (LARGE | PTE_PS | bits_of(choice)) & nx,
				    self->gva);
			/* QEMU's TCG keeps parts of a large page apart with nested paging. */
			queue(list, PROBE_INVLPG, self->gva + 0x15000, 0);
			queue_accesses(list, self->gva + 0x15000);
		}
		RUN(list);
	}
	SAY_COMPARED(list);
}

/* Of 1 GiB from the first byte of memory; with and without a bit that must be clear. */
TEST_F(paging, permissions_of_the_largest_pages)
{
	struct probe_list *list;
	u32 env, choice;
	u64 gva;

	if (variant->mode != PROBE_LONG)
		SKIP(return, "pages of 1 GiB are long mode's");
	if (!probe_has_gib_pages())
		SKIP(return, "the CPU has no pages of 1 GiB");
	set_audit(false);
	list = NEW_LIST();
	for (env = 0; env < 16; env++) {
		if (!has_env(variant->mode, env))
			continue;
		BEGIN(env);
		gva = (self->gva & ~((1UL << 30) - 1)) | DATA(3);
		for (choice = 0; choice < 16; choice++)
			if (!left_out(variant->mode, env, choice))
				queue_entry(list, AT(3), PTE_PS | bits_of(choice) |
					    (u64)(choice / 8) << (13 + env), gva);
		RUN(list);
	}
	SAY_COMPARED(list);
}

/* Which takes from the supervisor what SMAP and SMEP guard. */
TEST_F(paging, a_supervisors_page_becomes_a_users)
{
	const u64 used = DATA(2) | P | PTE_A | PTE_D;	/* of which a shadow need not change */
	unsigned int kind;

	MAKE_WAY();
	ENTER(PROBE_WP | PROBE_SMAP | PROBE_SMEP);
	for (kind = PROBE_READ; kind <= PROBE_EXEC; kind++) {
		probe_store(&self->probe, AT(1), used & ~PTE_U);
		probe_invlpg(&self->probe, self->gva);
		CHECK(.gva = self->gva, .kind = kind, .value = probe_id(DATA(2)));
		probe_store(&self->probe, AT(1), used);
		probe_invlpg(&self->probe, self->gva);
		CHECK(.gva = self->gva, .kind = kind, .value = probe_id(DATA(2)));
	}
}

/* Rights of @key are @rights; those of all others are what these are not. */
static u32 pkru_of(u32 key, u32 rights)
{
	const u32 others = (~rights & 3) * 0x55555555U;

	return (others & ~(3U << key * 2)) | rights << key * 2;
}

static void queue_keys(struct probe_list *list, enum probe_mode mode, u64 at, u64 page, u64 gva)
{
	const u32 keys = mode == PROBE_LONG ? 16 : 1;
	u32 key, rights, choice;

	for (key = 0; key < keys; key++)
		for (rights = 0; rights < 4; rights++) {
			queue(list, PROBE_LOAD_PKRU, pkru_of(key, rights), 0);
			for (choice = 0; choice < 4; choice++)
				queue_entry(list, at, page | bits_of(choice) | (u64)key << 59,
					    gva);
		}
}

TEST_F_TIMEOUT(paging, protection_keys, 200)
{
	static const u32 envs[] = {
		PROBE_WP, PROBE_WP | PROBE_NXE | PROBE_SMEP | PROBE_SMAP, 0, PROBE_SMAP,
	};
	struct probe_list *list;
	u32 i;

	if (!(SUPPORTED & PROBE_PKE)) {
		ASSERT_EQ(NULL, getenv("SELFTEST_PKU"));
		SKIP(return, "the CPU has no protection keys");
	}
	set_audit(false);
	list = NEW_LIST();
	for (i = 0; i < ARRAY_SIZE(envs); i++) {
		BEGIN(envs[i] | PROBE_PKE);
		queue_keys(list, variant->mode, AT(1), DATA(1), self->gva);
		if (variant->mode != PROBE_32)
			queue_keys(list, variant->mode, AT(2), LARGE | PTE_PS, self->gva);
		/* What is forbidden is so by the register alone: nothing is flushed. */
		queue_entry(list, AT(2), PROBE_TABLE(self->levels - 1) | P, self->gva);
		queue_entry(list, AT(1), DATA(1) | P, self->gva);
		for (u32 rights = 4; rights--;) {
			queue(list, PROBE_LOAD_PKRU, rights, 0);
			queue_accesses(list, self->gva);
		}
		RUN(list);
	}
	SAY_COMPARED(list);
}

TEST_F_TIMEOUT(paging, every_bit_beside_the_address_at_every_level, 200)
{
	const unsigned int width = 8 * probe_entry_size(variant->mode);
	const unsigned int phys = width == 64 ? get_info().phys_bits : 32;
	struct probe_list *list = NEW_LIST();
	unsigned int level, bit;
	u32 nxe;

	for (nxe = 0; nxe <= PROBE_NXE; nxe += PROBE_NXE) {
		BEGIN(PROBE_WP | nxe);
		for (level = 1; level <= self->levels; level++) {
			const u64 good = probe_entry(self->vm, variant->mode, AT(level));

			for (bit = 0; bit < width; bit = bit == 11 ? phys : bit + 1) {
				/* The first gives an address outside memory, the other #GP. */
				if ((bit == 7 && level == 2 && variant->mode == PROBE_32_PSE) ||
				    (bit && level == 3 && variant->mode == PROBE_PAE))
					continue;
				queue_entry(list, AT(level), good ^ (1UL << bit), self->gva);
			}
			queue(list, PROBE_STORE, AT(level), good);
		}
		RUN(list);
	}
	SAY_COMPARED(list);
}

TEST_F(paging, reserved_bits_of_large_pages)
{
	const unsigned int phys = get_info().phys_bits;
	struct probe_list *list;
	unsigned int bit;

	if (variant->mode == PROBE_32)
		SKIP(return, "4 KiB pages only");
	MAKE_WAY();
	list = NEW_LIST();
	ENTER(PROBE_WP | PROBE_NXE);
	for (bit = 13; bit <= 21; bit++) {
		/* Bits of the address in 32-bit paging but for the last. */
		if (variant->mode == PROBE_32_PSE ? bit != 21 : bit == 21)
			continue;
		queue_entry(list, AT(2), LARGE | PTE_PS | P | 1UL << bit, self->gva);
	}
	for (bit = phys; variant->mode >= PROBE_PAE && bit < 52; bit++)
		queue_entry(list, AT(2), LARGE | PTE_PS | P | 1UL << bit, self->gva);
	RUN(list);
	SAY_COMPARED(list);
}

TEST_F(paging, the_guest_itself_switches_write_protection)
{
	MAKE_WAY();
	ENTER(PROBE_WP);
	SET(1, DATA(0) | PTE_P | PTE_U);
	CHECK(.gva = self->gva + 0x801, .kind = PROBE_WRITE, .value = 1);
	self->probe.env &= ~PROBE_WP;
	probe_load_cr0(&self->probe, probe_cr0(&self->probe));
	CHECK(.gva = self->gva + 0x801, .kind = PROBE_WRITE, .value = 2);
	/* That made it writable for the supervisor only, in the shadow. */
	CHECK(.gva = self->gva + 0x801, .kind = PROBE_WRITE, .value = 3, .user = true);
	CHECK(.gva = self->gva + 1, .user = true);
	CHECK(.gva = self->gva, .kind = PROBE_EXEC, .user = true);
	CHECK(.gva = self->gva + 0x801, .kind = PROBE_WRITE, .value = 4);
	self->probe.env |= PROBE_WP;
	probe_load_cr0(&self->probe, probe_cr0(&self->probe));
	CHECK(.gva = self->gva + 0x801, .kind = PROBE_WRITE, .value = 5);
}

/*
 * With CR0.WP clear a supervisor writes a user's page that is read-only; what guards it then
 * is EFLAGS.AC and PKRU of each access, which change without a flush.
 */
TEST_F(paging, what_a_supervisor_wrote_without_wp_stays_guarded)
{
	const bool keys = variant->mode == PROBE_LONG && (SUPPORTED & PROBE_PKE);
	const u32 env = keys ? PROBE_SMAP | PROBE_PKE : PROBE_SMAP;
	const u32 forbids = 1;	/* accesses by key 0 */
	u32 i;

	MAKE_WAY();
	ENTER(env);
	SET(1, DATA(0) | PTE_P | PTE_U);
	for (i = 0; i < 4; i++) {
		CHECK(.gva = self->gva + 0x801, .kind = PROBE_WRITE, .value = i, .ac = true);
		CHECK(.gva = self->gva + 1);
		CHECK(.gva = self->gva + 0x801, .kind = PROBE_WRITE);
		CHECK(.gva = self->gva + 1, .user = true);
		if (!keys)
			continue;
		probe_load_pkru(&self->probe, forbids);
		CHECK(.gva = self->gva + 1, .ac = true);
		CHECK(.gva = self->gva + 0x801, .kind = PROBE_WRITE, .ac = true);
		probe_load_pkru(&self->probe, 0);
	}
	EXPECT_EQ(get_info().paging == VMM_PAGING_SHADOW && (SUPPORTED & env) ? 4 : 0,
		  self->probe.emulated);
}

/* ---- accessed and dirty ---- */

TEST_F(paging, accessed_and_dirty_bits_come_back_after_the_guest_cleared_them)
{
	unsigned int round;

	MAKE_WAY();
	ENTER(PROBE_WP);
	for (round = 0; round < 4; round++) {
		CHECK(.gva = self->gva + 1, .user = true);
		EXPECT_EQ(0, probe_entry(self->vm, variant->mode, AT(1)) & PTE_D);
		CHECK(.gva = self->gva + 0x801, .kind = PROBE_WRITE, .value = round);
		EXPECT_EQ(PTE_A | PTE_D, probe_entry(self->vm, variant->mode, AT(1)) &
			  (PTE_A | PTE_D));
		probe_store(&self->probe, AT(1), DATA(0) | P);
		if (round & 1)
			probe_invlpg(&self->probe, self->gva);
		else
			probe_load_cr3(&self->probe, self->probe.cr3);
	}
}

/* ---- tables that change ---- */

TEST_F(paging, the_guest_changes_a_page_and_flushes_the_address)
{
	unsigned int n;

	MAKE_WAY();
	ENTER(PROBE_WP);
	for (n = 0; n < 20; n++) {
		READS(DATA(n));
		probe_store(&self->probe, AT(1), DATA(n + 1) | P);
		probe_invlpg(&self->probe, self->gva);
	}
}

TEST_F(paging, the_guest_changes_a_page_and_loads_cr3)
{
	unsigned int n;

	MAKE_WAY();
	ENTER(PROBE_WP);
	for (n = 0; n < 20; n++) {
		READS(DATA(n));
		probe_store(&self->probe, AT(1), DATA(n + 1) | P);
		probe_load_cr3(&self->probe, self->probe.cr3);
	}
}

TEST_F(paging, the_process_changes_a_page_and_the_guest_flushes_the_address)
{
	unsigned int n;

	MAKE_WAY();
	ENTER(PROBE_WP);
	for (n = 0; n < 20; n++) {
		READS(DATA(n));
		/* In sync, were it not for this process. */
		probe_load_cr3(&self->probe, self->probe.cr3);
		SET(1, DATA(n + 1) | P);
		probe_invlpg(&self->probe, self->gva);
	}
}

TEST_F(paging, upper_levels_change_with_either_flush)
{
	const u32 second = 8;	/* tables of another way begin there */
	unsigned int level, n;

	MAKE_WAY();
	for (level = self->levels - 1; level; level--) {
		const u32 table = second + self->levels - level;

		probe_set_entry(self->vm, variant->mode,
				entry_at(variant->mode, table, level, self->gva),
				(level == 1 ? DATA(1) : PROBE_TABLE(table + 1)) | P);
	}
	ENTER(PROBE_WP);
	for (level = 2; level <= self->levels; level++) {
		for (n = 0; n < 8; n++) {
			const u32 table = (n & 1 ? 0 : second) + self->levels - level + 1;

			probe_store(&self->probe, AT(level),
				    PROBE_TABLE(table) | top_flags(variant->mode, level));
			/* Of PAE's top table CR3 alone takes notice. */
			if (n & 2 && top_flags(variant->mode, level) == P)
				probe_invlpg(&self->probe, self->gva);
			else
				probe_load_cr3(&self->probe, self->probe.cr3);
			READS(DATA(n & 1 ? 0 : 1));
		}
	}
}

/*
 * What makes the highest entry invalid: a reserved bit that is none of the address, where it
 * has one. CPUs of VT-x refuse a CR3 with such an entry of PAE, so there it is P.
 */
static unsigned int spoiling_bit(enum probe_mode mode)
{
	if (mode < PROBE_PAE ||
	    (mode == PROBE_PAE && get_info().backend == VMM_BACKEND_VT_X))
		return 0;
	return mode == PROBE_PAE ? 8 : 7;
}

TEST_F(paging, what_was_reached_is_lost_when_the_highest_entry_becomes_invalid)
{
	const u64 bit = 1UL << spoiling_bit(variant->mode);
	u64 good;
	u32 n;

	MAKE_WAY();
	ENTER(PROBE_WP);
	good = probe_entry(self->vm, variant->mode, AT(self->levels));
	for (n = 0; n < 4; n++) {
		READS(DATA(0));
		probe_store(&self->probe, AT(self->levels), good ^ bit);
		probe_load_cr3(&self->probe, self->probe.cr3);
		CHECK(.gva = self->gva + 1);
		probe_store(&self->probe, AT(self->levels), good);
		probe_load_cr3(&self->probe, self->probe.cr3);
	}
}

TEST_F(paging, an_entry_that_appears_needs_no_flush)
{
	unsigned int n;

	MAKE_WAY();
	ENTER(PROBE_WP);
	for (n = 0; n < 8; n++) {
		probe_store(&self->probe, AT(n & 1 ? 1 : 2), 0);
		probe_invlpg(&self->probe, self->gva);
		CHECK(.gva = self->gva + 1);
		probe_load_cr3(&self->probe, self->probe.cr3);
		MAKE_WAY();
		READS(DATA(0));
	}
}

TEST_F(paging, another_vcpu_changes_tables)
{
	struct probe other = probe_new(self->vm, 1);
	unsigned int n;

	vcpu_set(other.vcpu, &(struct vmm_state){ .events.mp_state = VMM_MP_RUNNABLE },
		 VMM_STATE_EVENTS);
	MAKE_WAY();
	ENTER(PROBE_WP);
	probe_enter(&other, variant->mode, PROBE_WP & SUPPORTED);
	for (n = 0; n < 20; n++) {
		READS(DATA(n));
		CHECK(.gva = self->gva + 1, .user = true);
		probe_store(&other, AT(1), DATA(n + 1) | P);
		if (n & 1)
			probe_invlpg(&self->probe, self->gva);
		else
			probe_load_cr3(&self->probe, self->probe.cr3);
	}
}

TEST_F(paging, global_pages_go_with_cr4_pge)
{
	const u64 global = 1UL << 8;
	unsigned int n;

	MAKE_WAY();
	SET(1, DATA(0) | P | global);
	ENTER(PROBE_WP | PROBE_PGE);
	for (n = 0; n < 4; n++) {
		READS(DATA(n));
		probe_store(&self->probe, AT(1), DATA(n + 1) | P | global);
		probe_load_cr4(&self->probe, probe_cr4(&self->probe) & ~X86_CR4_PGE);
		probe_load_cr4(&self->probe, probe_cr4(&self->probe));
	}
	/* The process says nothing, but a flush of everything finds that too. */
	SET(1, DATA(9) | P | global);
	probe_load_cr4(&self->probe, probe_cr4(&self->probe) & ~X86_CR4_PGE);
	READS(DATA(9));
}

TEST_F(paging, large_pages_are_split_and_joined)
{
	const u64 size = variant->mode >= PROBE_PAE ? 2UL << 20 : 4UL << 20;
	const u64 inside = self->gva & (size - 1) & ~0xfffUL;
	unsigned int n;

	if (variant->mode == PROBE_32)
		SKIP(return, "4 KiB pages only");
	MAKE_WAY();
	ENTER(PROBE_WP);
	for (n = 0; n < 8; n++) {
		const u64 table = PROBE_TABLE(self->levels - 1) | P, large = LARGE | PTE_PS | P;

		if (n & 1)
			probe_store(&self->probe, AT(2), large);
		else
			SET(2, large);
		probe_invlpg(&self->probe, self->gva);
		READS(LARGE + inside);
		CHECK(.gva = self->gva + 0x801, .kind = PROBE_WRITE, .user = true);
		CHECK(.gva = self->gva + 1);
		if (n & 2)
			probe_store(&self->probe, AT(2), table);
		else
			SET(2, table);
		probe_invlpg(&self->probe, self->gva);
		READS(DATA(0));
	}
}

/* One entry for 4 MiB takes two of a table whose entries have 8 bytes. */
TEST_F(paging, invlpg_drops_all_of_a_large_page_that_the_process_moved)
{
	const u64 size = variant->mode >= PROBE_PAE ? 2UL << 20 : 4UL << 20;
	const u64 page = self->gva & ~(size - 1);
	unsigned int n;

	if (variant->mode == PROBE_32)
		SKIP(return, "4 KiB pages only");
	MAKE_WAY();
	ENTER(PROBE_WP);
	for (n = 0; n < 8; n++) {
		const u64 frame = n & 1 ? GUEST_DATA2 : LARGE;

		SET(2, frame | PTE_PS | P);
		probe_invlpg(&self->probe, page + (n & 2 ? size / 2 : 0));
		CHECK(.gva = page + 0x1001);
		CHECK(.gva = page + size / 2 + 0x1001);
		CHECK(.gva = page + size - 0x1000 + 0x801, .kind = PROBE_WRITE);
		/* A table that was not compared since it was read is compared as a whole. */
		probe_load_cr3(&self->probe, self->probe.cr3);
	}
}

TEST_F(paging, a_table_becomes_data_and_a_table_again)
{
	const u64 table = PROBE_TABLE(self->levels - 1);
	unsigned int n, i;

	MAKE_WAY();
	ENTER(PROBE_WP);
	for (n = 0; n < 4; n++) {
		READS(DATA(0));
		probe_store(&self->probe, AT(2), 0);
		probe_load_cr3(&self->probe, self->probe.cr3);
		for (i = 0; i < 40; i++) {
			probe_store(&self->probe, table + i * 16, 0x1234567890UL + i);
			if (i % 10 == 0)
				probe_load_cr3(&self->probe, self->probe.cr3);
		}
		for (i = 0; i < 40; i++)
			EXPECT_EQ((u32)(0x1234567890UL + i),
				  *(u32 *)vm_ptr(self->vm, table + i * 16));
		memset(vm_ptr(self->vm, table), 0, 4096);
		probe_store(&self->probe, AT(1), DATA(0) | P);
		probe_store(&self->probe, AT(2), table | P);
	}
}

TEST_F(paging, tables_that_map_themselves)
{
	const unsigned int bits = variant->mode >= PROBE_PAE ? 9 : 10;
	const u64 slot = variant->mode == PROBE_LONG ? 300 : 700;
	u64 window;

	if (variant->mode == PROBE_PAE)
		SKIP(return, "the top table has no room for that");
	MAKE_WAY();
	probe_set_entry(self->vm, variant->mode,
			PROBE_TABLE(0) + slot * probe_entry_size(variant->mode),
			PROBE_TABLE(0) | P);
	ENTER(PROBE_WP);
	READS(DATA(0));
	/* The lowest table, through the slot: its entry of gva is a byte of memory there. */
	window = slot << (12 + bits * (self->levels - 1));
	if (variant->mode == PROBE_LONG)
		window |= ~0UL << (12 + bits * self->levels);
	window |= (self->gva & ((1UL << (12 + bits * self->levels)) - 1)) >> bits & ~0xfffUL;
	CHECK(.gva = window);
	CHECK(.gva = window | (AT(1) & 0xfff));
	/* The guest points gva elsewhere by a write through the window. */
	probe_store(&self->probe, (window | (AT(1) & 0xfff)), DATA(5) | P);
	probe_invlpg(&self->probe, self->gva);
	READS(DATA(5));
	probe_load_cr3(&self->probe, self->probe.cr3);
	probe_store(&self->probe, (window | (AT(1) & 0xfff)), DATA(6) | P);
	probe_load_cr3(&self->probe, self->probe.cr3);
	READS(DATA(6));
}

TEST_F(paging, paging_is_switched_off_and_on)
{
	unsigned int n;

	if (variant->mode == PROBE_LONG)
		SKIP(return, "64-bit code cannot switch it off");
	MAKE_WAY();
	ENTER(PROBE_WP | PROBE_PKE);
	for (n = 0; n < 4; n++) {
		READS(DATA(n));
		probe_load_cr0(&self->probe, probe_cr0(&self->probe) & ~X86_CR0_PG);
		self->probe.mode = PROBE_FLAT;
		/* That all is forbidden means nothing outside of long mode. */
		if (SUPPORTED & PROBE_PKE)
			probe_load_pkru(&self->probe, ~0U);
		CHECK(.gva = DATA(n) + 1);
		CHECK(.gva = DATA(n) + 0x801, .kind = PROBE_WRITE, .value = n);
		CHECK(.gva = DATA(n), .kind = PROBE_EXEC);
		self->probe.mode = variant->mode;
		probe_store(&self->probe, AT(1), DATA(n + 1) | P);
		probe_load_cr0(&self->probe, probe_cr0(&self->probe));
	}
}

/* Are reads of pages [@first, @last), @size bytes from one to the next, of DATA(0)? */
static u32 wrong_reads(struct probe *probe, u64 size, u32 first, u32 last)
{
	struct probe_result result;
	u32 i, wrong = 0;

	for (i = first; i < last; i++) {
		probe_do(probe, &(struct probe_access){ .gva = i * size + 1 }, &result);
		wrong += result.fault || result.value != probe_id(DATA(0));
	}
	return wrong;
}

/* More than a reverse map of shadow paging has room for: of the frame, then of a table. */
TEST(a_frame_is_mapped_and_a_table_linked_a_thousand_times)
{
	const u32 fixed = probe_root_fixed(PROBE_32), entries = 1024, checked = 16;
	const u64 large = 4UL << 20, at = 0xc0000000 / 4096;
	struct vm *vm = vm_new();
	struct probe probe = probe_new(vm, 0);
	u32 i;

	probe_fill(vm);
	probe_tables(vm, PROBE_32);
	for (i = 0; i < entries; i++)
		probe_set_entry(vm, PROBE_32, PROBE_TABLE(1) + i * 4, DATA(0) | P);
	for (i = fixed; i < entries; i++)
		probe_set_entry(vm, PROBE_32, PROBE_TABLE(0) + i * 4, PROBE_TABLE(1) | P);
	probe_enter(&probe, PROBE_32, PROBE_WP & probe_env_supported(PROBE_32));
	EXPECT_EQ(0, wrong_reads(&probe, 4096, at, at + entries - checked));
	/* Its own check, which is slow here, looks whether the maps stay short. */
	set_audit(true);
	EXPECT_EQ(0, wrong_reads(&probe, 4096, at + entries - checked, at + entries));
	set_audit(false);
	EXPECT_EQ(0, wrong_reads(&probe, large, fixed, entries - checked));
	set_audit(true);
	EXPECT_EQ(0, wrong_reads(&probe, large, entries - checked, entries));
	set_audit(false);
	/* The table changes, and the change is seen through each link. */
	probe_store(&probe, PROBE_TABLE(1), DATA(0x10) | P);
	probe_load_cr3(&probe, probe.cr3);
	EXPECT_EQ(entries - fixed, wrong_reads(&probe, large, fixed, entries));
	vm_free(vm);
}

TEST(one_vcpu_goes_through_all_modes)
{
	struct vm *vm = vm_new();
	struct probe probe = probe_new(vm, 0);
	unsigned int n, i;

	probe_fill(vm);
	for (n = 0; n < 4 * PROBE_MODES; n++) {
		const enum probe_mode mode = n % PROBE_MODES;

		if (probe_mode_broken(mode))
			continue;
		probe_tables(vm, mode);
		probe_enter(&probe, mode, PROBE_WP & probe_env_supported(mode));
		for (i = 0; i < 12; i++) {
			const struct probe_access access = {
				.gva = DATA(i) + (i % 3 == PROBE_WRITE ? 0x801 : 0),
				.kind = i % 3,
				.user = i & 1,
				.value = n,
			};
			const char *wrong = probe_check(&probe, &access);

			if (wrong)
				TH_LOG("%s", wrong);
			ASSERT_EQ(NULL, wrong);
		}
	}
	vm_free(vm);
}

VMM_TEST_MAIN
