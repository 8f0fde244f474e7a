// SPDX-License-Identifier: GPL-2.0-or-later
/* Lists of accesses that are compared with a model of memory; see probe.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guest.h"
#include "probe.h"

#define POOL_SIZE	(PROBE_POOL_PAGES * 4096UL)

struct probe_model *probe_model_new(struct vm *vm)
{
	struct probe_model *model = calloc(1, sizeof(*model));

	if (!model)
		die("no memory for a model");
	model->vm = vm;
	model->memory = map_memory(GUEST_MEM_SIZE);
	model->maybe = map_memory(GUEST_MEM_SIZE / 4);
	memcpy(model->memory + GUEST_DATA2, vm_ptr(vm, GUEST_DATA2),
	       GUEST_MEM_SIZE - GUEST_DATA2);
	probe_model_sync(model);
	return model;
}

void probe_model_free(struct probe_model *model)
{
	munmap(model->memory, GUEST_MEM_SIZE);
	munmap(model->maybe, GUEST_MEM_SIZE / 4);
	free(model);
}

void probe_model_sync(struct probe_model *model)
{
	memcpy(model->memory + PROBE_POOL, vm_ptr(model->vm, PROBE_POOL), POOL_SIZE);
	memset(model->maybe + PROBE_POOL / 4, 0, POOL_SIZE / 4);
}

static void model_store(struct probe_model *model, enum probe_mode mode, u64 gpa, u64 entry)
{
	memcpy(model->memory + gpa, &entry, probe_entry_size(mode));
	model->maybe[gpa / 4] = 0;
}

void probe_model_set(struct probe_model *model, enum probe_mode mode, u64 gpa, u64 entry)
{
	probe_set_entry(model->vm, mode, gpa, entry);
	model_store(model, mode, gpa, entry);
}

/* Accessed and dirty bits of a walk. Of one that faulted the accessed ones are open. */
static void model_walk(struct probe_model *model, const struct reference *ref, bool write)
{
	unsigned int i;

	for (i = 0; i < ref->steps; i++) {
		const u64 gpa = ref->step[i].gpa;

		if (ref->step[i].no_used)
			continue;
		if (ref->fault) {
			model->maybe[gpa / 4] |= !(model->memory[gpa] & PTE_A);
			continue;
		}
		model->memory[gpa] |= PTE_A | (write && i == ref->steps - 1 ? PTE_D : 0);
		model->maybe[gpa / 4] = 0;
	}
}

/* What the list's own code and data lie in is no part of the model. */
static u8 known_bits(const struct probe_list *list, u64 gpa)
{
	const struct probe_model *model = list->probe->model;
	const u64 size = probe_entry_size(list->probe->mode);

	if (gpa < PROBE_POOL || (gpa >= PROBE_POOL + POOL_SIZE && gpa < GUEST_DATA2))
		return 0;
	return gpa % size == 0 && model->maybe[gpa / 4] ? (u8)~PTE_A : 0xff;
}

static bool model_step(struct probe_list *list, const struct probe_access *access,
		       struct probe_want *want)
{
	struct probe_model *model = list->probe->model;
	const bool write = access->kind == PROBE_WRITE || access->kind == PROBE_SYSTEM_WRITE;
	struct reference ref;

	probe_reference(list->probe, access, &ref);
	model_walk(model, &ref, write);
	*want = (struct probe_want){
		.fault = ref.fault, .error = ref.error, .gpa = ref.gpa,
		.cr2 = ref.fault ? access->gva : 0,
	};
	return !ref.fault;
}

static void model_access(struct probe_list *list, const struct probe_access *access,
			 struct probe_want *want)
{
	struct probe_model *model = list->probe->model;
	struct probe_access first = *access;

	if (access->kind == PROBE_SYSTEM_WRITE) {
		/* The descriptor is read, and written if it was not loaded before. */
		first.kind = PROBE_SYSTEM_READ;
		if (!model_step(list, &first, want) || want->gpa >= GUEST_MEM_SIZE ||
		    model->memory[want->gpa + PROBE_ACCESSED] & 1)
			return;
	}
	if (!model_step(list, access, want) || want->gpa >= GUEST_MEM_SIZE)
		return;
	switch (access->kind) {
	case PROBE_READ:
		want->value = model->memory[want->gpa];
		want->mask = known_bits(list, want->gpa);
		break;
	case PROBE_EXEC:
		want->value = probe_id(want->gpa);
		want->mask = 0xff;
		break;
	case PROBE_WRITE:
		model->memory[want->gpa] = access->value;
		if (want->gpa % 4 == 0)
			model->maybe[want->gpa / 4] = 0;
		break;
	case PROBE_SYSTEM_WRITE:
		model->memory[want->gpa + PROBE_ACCESSED] |= 1;
		break;
	default:
		break;
	}
}

void probe_list_add(struct probe_list *list, const struct probe_access *access)
{
	struct probe_want *want;

	if (list->count == PROBE_MAX || list->systems == PROBE_SYSTEM_MAX)
		probe_list_run(list);
	if (list->wrong)
		return;
	want = &list->want[list->count];
	list->list[list->count++] = *access;
	memset(want, 0, sizeof(*want));
	list->systems += probe_is_system(access->kind);
	if (access->kind < PROBE_INVLPG)
		model_access(list, access, want);
	else if (access->kind == PROBE_STORE)
		model_store(list->probe->model, list->probe->mode, access->gva, access->value);
	else if (access->kind == PROBE_LOAD_PKRU)
		list->probe->pkru = access->gva;
	else if (access->kind == PROBE_LOAD_CR3)
		list->probe->cr3 = access->gva;
}

/* ---- comparing ---- */

/* Of implicit accesses CPUs tell different bytes of the descriptor. */
static u64 cr2_mask(const struct probe_access *access)
{
	return probe_is_system(access->kind) ? ~7UL : ~0UL;
}

static const char *compare_one(struct probe_list *list, u32 n, const struct probe_result *result)
{
	const struct probe_access *access = &list->list[n];
	const struct probe_want *want = &list->want[n];

	if (result->fault != want->fault)
		return probe_differs(list->probe, access,
				     "expected %s, got %s, error %#x, %#lx",
				     want->fault ? "#PF" : "success",
				     result->fault ? "#PF" : "success",
				     result->fault ? result->error : want->error,
				     result->fault ? result->cr2 : want->gpa);
	if (result->fault && probe_error(result->error) != want->error)
		return probe_differs(list->probe, access, "error code: expected %#x, got %#x",
				     want->error, result->error);
	if (result->fault && (result->cr2 ^ want->cr2) & cr2_mask(access))
		return probe_differs(list->probe, access, "CR2 is %#lx", result->cr2);
	if ((result->value ^ want->value) & want->mask)
		return probe_differs(list->probe, access, "at %#lx: expected %#x, got %#x",
				     want->gpa, want->value, result->value);
	return NULL;
}

static const char *compare_written(struct probe_list *list, u32 n)
{
	const struct probe_access *access = &list->list[n];
	const u64 gpa = list->want[n].gpa + (access->kind == PROBE_WRITE ? 0 : PROBE_ACCESSED);
	u8 want, now;

	if (list->want[n].fault || gpa < GUEST_DATA2 || gpa >= GUEST_MEM_SIZE)
		return NULL;
	want = list->probe->model->memory[gpa];
	now = *(u8 *)vm_ptr(list->probe->vcpu->vm, gpa);
	if (want == now)
		return NULL;
	return probe_differs(list->probe, access, "memory at %#lx: expected %#x, has %#x",
			     gpa, want, now);
}

/* The tables, and what is open is what they say from now on. */
static const char *compare_page(struct probe_list *list, u64 page)
{
	struct probe *probe = list->probe;
	struct probe_model *model = probe->model;
	const u64 size = probe_entry_size(probe->mode);
	u64 gpa;

	if (!memcmp(model->memory + page, vm_ptr(model->vm, page), 4096)) {
		memset(model->maybe + page / 4, 0, 4096 / 4);
		return NULL;
	}
	for (gpa = page; gpa < page + 4096; gpa += size) {
		const u64 now = probe_entry(model->vm, probe->mode, gpa);
		u64 want = 0;

		memcpy(&want, model->memory + gpa, size);
		if ((now ^ want) & ~(model->maybe[gpa / 4] ? PTE_A : 0UL))
			return probe_differs(probe, &list->list[list->count - 1],
					     "entry at %#lx: expected %#lx, got %#lx",
					     gpa, want, now);
		model_store(model, probe->mode, gpa, now);
	}
	return NULL;
}

const char *probe_list_run(struct probe_list *list)
{
	static struct probe_result results[PROBE_MAX];
	u64 page;
	u32 i;

	if (list->wrong || !list->count)
		return list->wrong;
	probe_run(list->probe, list->list, list->count, results);
	for (i = 0; i < list->count && !list->wrong; i++) {
		if (list->list[i].kind >= PROBE_INVLPG)
			continue;
		list->wrong = compare_one(list, i, &results[i]);
		list->compared++;
	}
	for (i = 0; i < list->count && !list->wrong; i++)
		if (list->list[i].kind == PROBE_WRITE ||
		    list->list[i].kind == PROBE_SYSTEM_WRITE)
			list->wrong = compare_written(list, i);
	for (page = PROBE_POOL; page < PROBE_POOL + POOL_SIZE && !list->wrong; page += 4096)
		list->wrong = compare_page(list, page);
	list->count = 0;
	list->systems = 0;
	return list->wrong;
}
