// SPDX-License-Identifier: GPL-2.0-or-later
/* unit-sources: ../lib/vm.c ../lib/memory.c ../lib/dirty.c */
/* unit-flags: -D_GNU_SOURCE */
/* unit-libs: -lpthread */
/*
 * The library's part of a log of written pages, vmm_dirty_get(): what the process writes,
 * beside what a module that is played here says the guest wrote.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../lib/internal.h"
#include "tap.h"

#define PAGE	4096ull
/* More pages than a word of busy bits stands for (64 * 64), and not a whole word more. */
#define PAGES	(64 * 64 + 70)
#define WORDS	((PAGES + 63) / 64)
#define BASE	(16 * PAGE)

static struct {
	uint64_t page;		/* that the guest wrote, or NONE */
	unsigned int sets;	/* VMM_SET_SLOT */
	int dirty_error;
} module;

#define NONE	UINT64_MAX

int device_ioctl(int fd, unsigned long request, const void *arg)
{
	struct vmm_dirty *dirty = (void *)(uintptr_t)arg;

	(void)fd;
	switch (request) {
	case VMM_CREATE_VM:
		return memfd_create("vm", 0);
	case VMM_SET_SLOT:
		module.sets++;
		return 0;
	case VMM_GET_DIRTY:
		if (module.dirty_error)
			return module.dirty_error;
		dirty->dirty = 0;
		if (module.page - dirty->first < dirty->npages) {
			uint64_t bit = module.page - dirty->first;

			((uint64_t *)(uintptr_t)dirty->bitmap)[bit / 64] |= 1ULL << bit % 64;
			dirty->dirty = 1;
		}
		return 0;
	default:
		return -ENOTTY;
	}
}

int vmm_get_info(int fd, struct vmm_info *info)
{
	(void)fd;
	*info = (struct vmm_info) {
		.abi_version = VMM_ABI_VERSION, .max_slots = 8, .run_size = VMM_RUN_SIZE,
	};
	return 0;
}

static unsigned char *ram;

/* Slot 0: BASE and PAGES on; slot 1: 64 pages behind it. No log yet. */
static struct vmm *machine(void)
{
	struct vmm *vm;

	memset(&module, 0, sizeof(module));
	module.page = NONE;
	if (vmm_create(3, &vm) || vmm_memory_add(vm, 0, BASE, PAGES * PAGE, ram, 0) ||
	    vmm_memory_add(vm, 1, BASE + PAGES * PAGE, 64 * PAGE, ram + PAGES * PAGE, 0))
		abort();
	return vm;
}

static uint64_t bitmap[WORDS];

/* Pages that a harvest of a slot gives; they are in bitmap. */
static uint64_t harvest(struct vmm *vm, unsigned int slot, unsigned int flags)
{
	uint64_t dirty = 0, bits = 0;

	memset(bitmap, 0, sizeof(bitmap));
	if (vmm_dirty_get(vm, slot, 0, slot ? 64 : PAGES, flags, bitmap, &dirty))
		return NONE;
	for (unsigned int i = 0; i < WORDS; i++)
		bits += __builtin_popcountll(bitmap[i]);
	return bits == dirty ? dirty : NONE - 1;
}

static bool has(uint64_t page)
{
	return bitmap[page / 64] >> page % 64 & 1;
}

static void test_marks(void)
{
	struct vmm *vm = machine();

	vmm_dirty_mark(vm, BASE, PAGE);
	is(harvest(vm, 0, 0), 0, "without a log nothing is marked");
	is(vmm_memory_log(vm, 0, true), 0, "a log begins");
	is(harvest(vm, 0, 0), 0, "empty, whatever was written before");
	vmm_dirty_mark(vm, BASE + 3 * PAGE - 1, 2);
	vmm_dirty_mark(vm, BASE + (PAGES - 1) * PAGE, PAGE);
	vmm_dirty_mark(vm, BASE + 64 * 64 * PAGE, 1);
	is(harvest(vm, 0, VMM_DIRTY_KEEP), 4, "the pages that were marked");
	is(harvest(vm, 0, 0), 4, "stay when they are to be kept");
	ok(has(2) && has(3) && has(64 * 64) && has(PAGES - 1), "and are those");
	is(harvest(vm, 0, 0), 0, "once taken they are gone");
	vmm_dirty_mark(vm, BASE - 2 * PAGE, PAGE);
	vmm_dirty_mark(vm, BASE + 5 * PAGE, 0);
	is(harvest(vm, 0, 0), 0, "where no memory is, and no bytes, nothing is marked");
	vmm_dirty_mark(vm, BASE + (PAGES - 1) * PAGE, 3 * PAGE);
	is(harvest(vm, 0, 0), 1, "what goes on in the next slot is marked as far as here");
	is(harvest(vm, 1, 0), 0, "and there is no log there");
	vmm_destroy(vm);
}

static void test_writes(void)
{
	struct vmm *vm = machine();

	vmm_memory_log(vm, 0, true);
	is(vmm_guest_write(vm, BASE + 8 * PAGE - 2, "word", 4), 0, "the library writes");
	module.page = 7;
	is(harvest(vm, 0, 0), 2, "what it and the guest wrote counts once");
	ok(has(7) && has(8), "each page of it");
	module.page = 70;
	vmm_dirty_mark(vm, BASE + 71 * PAGE, 1);
	is(harvest(vm, 0, 0), 2, "what only one of them wrote counts too");
	ok(has(70) && has(71), "and is there");
	module.dirty_error = -ENOENT;
	vmm_dirty_mark(vm, BASE, 1);
	is(harvest(vm, 0, 0), NONE, "an error of the module's is an error");
	module.dirty_error = 0;
	module.page = NONE;
	is(harvest(vm, 0, 0), 1, "which loses nothing");
	vmm_destroy(vm);
}

static void test_several(void)
{
	struct vmm *vm = machine();
	unsigned int sets;

	vmm_memory_log(vm, 0, true);
	vmm_memory_log(vm, 1, true);
	sets = module.sets;
	ok(!vmm_memory_log(vm, 1, true) && module.sets == sets, "a log that is there goes on");
	vmm_memory_log(vm, 0, false);
	vmm_dirty_mark(vm, BASE, PAGE);
	vmm_dirty_mark(vm, BASE + PAGES * PAGE, PAGE);
	is(harvest(vm, 0, 0), 0, "one log ends");
	is(harvest(vm, 1, 0), 1, "the other does not");
	is(vmm_memory_remove(vm, 1), 0, "a slot with a log goes");
	vmm_memory_log(vm, 0, true);
	vmm_dirty_mark(vm, BASE, PAGE);
	is(harvest(vm, 0, 0), 1, "a log that begins after that has its marks");
	vmm_memory_log(vm, 0, false);
	vmm_memory_log(vm, 0, true);
	is(harvest(vm, 0, 0), 0, "one that begins again is empty");
	is(vmm_memory_log(vm, 5, true), -ENOENT, "where no slot is there is none");
	is(atomic_load(&vm->logs), 1, "one is left of them");
	vmm_memory_remove(vm, 0);
	is(atomic_load(&vm->logs), 0, "and none when its slot has gone");
	vmm_destroy(vm);
}

int main(void)
{
	ram = mmap(NULL, (PAGES + 64) * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ram == MAP_FAILED)
		return 1;
	test_marks();
	test_writes();
	test_several();
	return tap_end();
}
