// SPDX-License-Identifier: GPL-2.0-only
/*
 * Doorbells: a guest's write to a port or an address signals an eventfd and the
 * guest goes on.
 *
 * The vCPUs look at vm->ioeventfds under RCU and take no lock; the ioctl changes
 * the list under vm->lock. A doorbell taken off the list and its reference to the
 * eventfd live until the readers of the moment have gone. No two doorbells of a
 * VM match the same write.
 */
#include <linux/eventfd.h>
#include <linux/hash.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "irq.h"

#define PORTS	0x10000ULL

struct doorbell {
	struct list_head node;		/* (r) */
	u64 address;
	u64 data;
	u32 length;			/* 0: any */
	bool pio;
	bool match;			/* only writes of data */
	struct eventfd_ctx *ctx;
	struct rcu_head rcu;
};

/*
 * Doorbells by a hash of their address, a bit each: most writes that are no
 * doorbell's are told so by one test, however long the list.
 */
static u64 filter_bit(u64 address)
{
	return BIT_ULL(hash_64(address, 6));
}

static void rebuild_filter(struct vmm_vm *vm)
{
	u64 filter[ARRAY_SIZE(vm->ioeventfd_filter)] = {};
	struct doorbell *bell;
	int i;

	list_for_each_entry(bell, &vm->ioeventfds, node)
		filter[bell->pio] |= filter_bit(bell->address);
	for (i = 0; i < ARRAY_SIZE(filter); i++)
		WRITE_ONCE(vm->ioeventfd_filter[i], filter[i]);
}

bool vmm_ioeventfd_maybe(const struct vmm_vm *vm, gpa_t gpa)
{
	return READ_ONCE(vm->ioeventfd_filter[false]) & filter_bit(gpa);
}

bool vmm_ioeventfd_signal(struct vmm_vm *vm, bool pio, u64 address, unsigned int size, u64 data)
{
	struct doorbell *bell;
	bool found = false;

	if (!(READ_ONCE(vm->ioeventfd_filter[pio]) & filter_bit(address)))
		return false;
	if (size < sizeof(data))
		data &= (1ULL << (size * 8)) - 1;
	rcu_read_lock();
	list_for_each_entry_rcu(bell, &vm->ioeventfds, node) {
		if (bell->address != address || bell->pio != pio ||
		    (bell->length && bell->length != size) ||
		    (bell->match && bell->data != data))
			continue;
		compat_eventfd_signal(bell->ctx);
		found = true;
		break;
	}
	rcu_read_unlock();
	return found;
}

static int check(const struct vmm_ioeventfd *args)
{
	u32 known = VMM_EVENTFD_REMOVE | VMM_EVENTFD_PIO | VMM_EVENTFD_DATAMATCH;
	bool pio = args->flags & VMM_EVENTFD_PIO;
	bool match = args->flags & VMM_EVENTFD_DATAMATCH;
	u32 length = args->length;

	if ((args->flags & ~known) || memchr_inv(args->pad, 0, sizeof(args->pad)))
		return -EINVAL;
	if (length > 8 || (length & (length - 1)) || (pio && length == 8))
		return -EINVAL;
	/* A value to compare with has a size. */
	if (match ? !length : args->data)
		return -EINVAL;
	if (match && length < 8 && args->data >> (length * 8))
		return -EINVAL;
	if (pio && (args->address >= PORTS || length > PORTS - args->address))
		return -EINVAL;
	return args->address + length < args->address ? -EINVAL : 0;
}

/* Is there a write that both match? */
static bool collides(const struct doorbell *bell, const struct vmm_ioeventfd *args)
{
	if (bell->address != args->address || bell->pio != !!(args->flags & VMM_EVENTFD_PIO))
		return false;
	if (bell->length && args->length && bell->length != args->length)
		return false;
	return !bell->match || !(args->flags & VMM_EVENTFD_DATAMATCH) || bell->data == args->data;
}

static bool same(const struct doorbell *bell, const struct vmm_ioeventfd *args,
		 const struct eventfd_ctx *ctx)
{
	return bell->ctx == ctx && bell->address == args->address &&
	       bell->length == args->length && bell->data == args->data &&
	       bell->pio == !!(args->flags & VMM_EVENTFD_PIO) &&
	       bell->match == !!(args->flags & VMM_EVENTFD_DATAMATCH);
}

/* Takes over the reference to @ctx, if it succeeds. */
static int add(struct vmm_vm *vm, const struct vmm_ioeventfd *args, struct eventfd_ctx *ctx)
{
	struct doorbell *bell;

	list_for_each_entry(bell, &vm->ioeventfds, node)
		if (collides(bell, args))
			return -EEXIST;
	if (vm->nr_ioeventfds >= VMM_MAX_IOEVENTFDS)
		return -ENOSPC;
	bell = kzalloc(sizeof(*bell), GFP_KERNEL_ACCOUNT);
	if (!bell)
		return -ENOMEM;
	bell->address = args->address;
	bell->data = args->data;
	bell->length = args->length;
	bell->pio = args->flags & VMM_EVENTFD_PIO;
	bell->match = args->flags & VMM_EVENTFD_DATAMATCH;
	bell->ctx = ctx;
	list_add_tail_rcu(&bell->node, &vm->ioeventfds);
	vm->nr_ioeventfds++;
	rebuild_filter(vm);
	return 0;
}

static void doorbell_free(struct doorbell *bell)
{
	eventfd_ctx_put(bell->ctx);
	kfree(bell);
}

static void doorbell_free_rcu(struct rcu_head *rcu)
{
	doorbell_free(container_of(rcu, struct doorbell, rcu));
}

static int take_away(struct vmm_vm *vm, const struct vmm_ioeventfd *args,
		     const struct eventfd_ctx *ctx)
{
	struct doorbell *bell;

	list_for_each_entry(bell, &vm->ioeventfds, node) {
		if (!same(bell, args, ctx))
			continue;
		list_del_rcu(&bell->node);
		vm->nr_ioeventfds--;
		rebuild_filter(vm);
		call_rcu(&bell->rcu, doorbell_free_rcu);
		return 0;
	}
	return -ENOENT;
}

int vmm_ioeventfd(struct vmm_vm *vm, const struct vmm_ioeventfd *args)
{
	struct eventfd_ctx *ctx;
	int r;

	lockdep_assert_held(&vm->lock);
	r = check(args);
	if (r)
		return r;
	ctx = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	if (args->flags & VMM_EVENTFD_REMOVE) {
		r = take_away(vm, args, ctx);
	} else {
		r = add(vm, args, ctx);
		if (!r)
			return 0;
	}
	eventfd_ctx_put(ctx);
	return r;
}

/* No vCPU runs any more: nobody reads the list. */
void vmm_ioeventfd_release(struct vmm_vm *vm)
{
	struct doorbell *bell, *next;

	list_for_each_entry_safe(bell, next, &vm->ioeventfds, node)
		doorbell_free(bell);
	INIT_LIST_HEAD(&vm->ioeventfds);
}
