// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Several vCPUs check and move a pattern while the process does everything to the
 * memory that keeps its contents (or is allowed to lose it, and says where): no
 * vCPU ever sees a word that nobody wrote there.
 */
#include <signal.h>
#include <sys/mman.h>

#include "lib/test.h"
#include "lib/thread.h"

#define WINDOW		GUEST_HOLE
#define PAGES		1024UL
#define WINDOW_SIZE	(PAGES * 4096)
#define MAX_VCPUS	3

/*
 * Each vCPU owns one word a page: page number, vCPU and a count that never goes
 * back, but for a page that the process dropped, whose words are 0.
 */
static void guest_pattern(u32 id)
{
	u64 count = 0, seed = id + 1;

	for (;;) {
		u64 page, at, seen;

		cpu_relax();
		seed = seed * 6364136223846793005UL + 1442695040888963407UL;
		page = (seed >> 33) % PAGES;
		at = WINDOW + page * 4096 + id * 8;
		seen = read64(at);
		if (seen && (seen >> 32) != (page << 8 | (id + 1)))
			GUEST_FAIL("a word of the pattern", page << 40 | (u64)(id + 1) << 32,
				   seen);
		if ((u32)seen > count)
			GUEST_FAIL("a count that was never written", count, seen);
		count++;
		write64(at, (page << 8 | (id + 1)) << 32 | (u32)count);
		seen = read64(at);
		if (seen && seen != ((page << 8 | (id + 1)) << 32 | (u32)count))
			GUEST_FAIL("the word just written", count, seen);
		/* The neighbours' words in this page are theirs. */
		seen = read64(WINDOW + page * 4096 + ((id + 1) % 3) * 8);
		if (seen && (seen >> 40) != page)
			GUEST_FAIL("a neighbour's word", page, seen);
	}
}

static void guest0(void)
{
	guest_pattern(0);
}

static void guest1(void)
{
	guest_pattern(1);
}

static void guest2(void)
{
	guest_pattern(2);
}

static void (*const guests[MAX_VCPUS])(void) = { guest0, guest1, guest2 };

static u32 random_u32(u64 *seed)
{
	*seed = *seed * 6364136223846793005UL + 1442695040888963407UL;
	return *seed >> 33;
}

struct churn {
	u8 *window;
	struct vm *vm;
	u8 *spare;
};

/* The kernel may lack a feature: an error of madvise() is not what is tested. */
static void advise(struct churn *c, u64 *seed, int advice)
{
	u64 first = random_u32(seed) % PAGES, count = 1 + random_u32(seed) % 64;

	if (first + count > PAGES)
		count = PAGES - first;
	madvise(c->window + first * 4096, count * 4096, advice);
}

static void protect(struct churn *c, u64 *seed)
{
	u64 first = random_u32(seed) % (PAGES - 32);

	mprotect(c->window + first * 4096, 32 * 4096, PROT_READ);
	usleep(random_u32(seed) % 300);
	mprotect(c->window + first * 4096, 32 * 4096, PROT_READ | PROT_WRITE);
}

/* Out and back again: contents are kept, the addresses in between are nobody's. */
static void remap(struct churn *c, u64 *seed)
{
	u64 first = random_u32(seed) % (PAGES - 16);
	u8 *at = c->window + first * 4096;

	mremap(at, 16 * 4096, 16 * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, c->spare);
	usleep(random_u32(seed) % 200);
	mremap(c->spare, 16 * 4096, 16 * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, at);
}

static void fork_and_write(struct churn *c, u64 *seed)
{
	pid_t pid = fork();

	if (!pid) {
		/* The child's copies are its own. */
		for (u32 i = 0; i < 64; i++)
			*(volatile u64 *)(c->window + (random_u32(seed) % PAGES) * 4096) = -1UL;
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void flip_slot(struct churn *c, u64 *seed)
{
	vm_slot(c->vm, 1, WINDOW, WINDOW_SIZE, c->window, random_u32(seed) & 1 ?
		VMM_SLOT_READONLY : 0);
	vm_slot(c->vm, 1, WINDOW, WINDOW_SIZE, c->window, 0);
}

static void churn_once(struct churn *c, u64 *seed)
{
	switch (random_u32(seed) % 10) {
	case 0: return advise(c, seed, MADV_DONTNEED);
	case 1: return advise(c, seed, MADV_FREE);
	case 2: return advise(c, seed, MADV_HUGEPAGE);
	case 3: return advise(c, seed, MADV_NOHUGEPAGE);
	case 4: return advise(c, seed, 21);	/* MADV_PAGEOUT */
	case 5: return advise(c, seed, 25);	/* MADV_COLLAPSE, from 6.1 on */
	case 6: return protect(c, seed);
	case 7: return remap(c, seed);
	case 8: return fork_and_write(c, seed);
	case 9: return advise(c, seed, MADV_MERGEABLE);
	}
}

static u8 *window;

/*
 * Memory that is away for a moment is an exit, and so is a store while the slot is
 * read-only: it is carried out here. A failed check ends the test.
 */
static void *run(void *arg)
{
	struct runner *r = arg;

	while (!r->stop) {
		u32 reason = vcpu_exit(r->vcpu);

		if (r->stop)
			break;
		if (reason == VMM_EXIT_MEMORY)
			continue;
		if (reason != VMM_EXIT_MMIO || !r->vcpu->run->mmio.write)
			die("vCPU %u: expected MEMORY, got %s", r->vcpu->id,
			    exit_text(r->vcpu));
		r->syncs++;
		*(volatile u64 *)(window + r->vcpu->run->mmio.gpa - WINDOW) =
			r->vcpu->run->mmio.data;
	}
	return NULL;
}

static void stress(struct __test_metadata *_metadata, u32 count, u32 ms, bool slots)
{
	struct runner runners[MAX_VCPUS] = { 0 };
	struct churn c = { .vm = vm_new(), .spare = map_memory(16 * 4096) };
	u64 seed = 42, end, rounds = 0;

	catch_signal(SIGUSR1);
	c.window = mmap(NULL, WINDOW_SIZE + (2 << 20), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	c.window = (u8 *)(((u64)c.window + (2 << 20) - 1) & -(2UL << 20));
	window = c.window;
	ASSERT_EQ(0, vm_slot(c.vm, 1, WINDOW, WINDOW_SIZE, c.window, 0));
	for (u32 i = 0; i < count; i++) {
		runners[i].vcpu = vcpu_new(c.vm, i, guests[i]);
		ASSERT_EQ(0, pthread_create(&runners[i].thread, NULL, run, &runners[i]));
	}
	/* On a slow host as long as it takes to have done enough. */
	end = now_ns() + share_of(ms) * 1000000UL;
	for (; now_ns() < end || rounds < share_of(50); rounds++) {
		if (rounds == share_of(50) / 2)
			set_audit(true);
		if (slots)
			flip_slot(&c, &seed);
		else
			churn_once(&c, &seed);
	}
	for (u32 i = 0; i < count; i++)
		runner_stop(&runners[i]);
	set_audit(false);
}

TEST(one_vcpu)
{
	stress(_metadata, 1, 5000, false);
}

TEST(three_vcpus)
{
	stress(_metadata, 3, 6000, false);
}

/* The memory is always there: only its slot changes, read-only half of the time. */
TEST(three_vcpus_and_a_slot_that_changes)
{
	stress(_metadata, 3, 4000, true);
}

VMM_TEST_MAIN
