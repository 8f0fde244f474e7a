// SPDX-License-Identifier: GPL-2.0-only
/*
 * irqfd: an eventfd whose every signal sends one MSI, from the context of whoever
 * signals it.
 *
 * An irqfd hangs in the eventfd's wait queue and on its VM's list. Being on the
 * list means being alive; who takes it off, under irqfd_lock, is the one who
 * queues its shutdown, so that this happens once, whether the eventfd is closed
 * (EPOLLHUP), the process removes it, or the VM goes. The shutdown leaves the wait
 * queue, after which no callback runs, and frees. It takes no lock of the VM, so
 * remove and release may wait for it holding vm->lock.
 *
 * Order: the wait queue's lock > irqfd_lock; IRQs are off in both. The message is
 * changed with the wait queue's lock held, under which it is sent.
 *
 * Those with a resample eventfd are on a second list, which an EOI reads under RCU.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/slab.h>

#include "irq.h"

struct irqfd {
	struct vmm_vm *vm;
	struct vmm_msi msi;
	struct eventfd_ctx *ctx;
	struct wait_queue_head *queue;	/* the eventfd's; lives as long as @ctx */
	wait_queue_entry_t wait;
	poll_table table;
	struct list_head node;		/* irqfd_lock; on vm->irqfds */
	struct eventfd_ctx *resample;	/* or NULL */
	struct list_head resampler;	/* (r) as node; on vm->resamplers, if it has one */
	struct rcu_head rcu;
	struct work_struct shutdown;
};

static DEFINE_SPINLOCK(irqfd_lock);
static struct workqueue_struct *shutdown_queue;

static void irqfd_free_rcu(struct rcu_head *rcu)
{
	struct irqfd *irqfd = container_of(rcu, struct irqfd, rcu);

	eventfd_ctx_put(irqfd->resample);
	kfree(irqfd);
}

static void irqfd_shutdown(struct work_struct *work)
{
	struct irqfd *irqfd = container_of(work, struct irqfd, shutdown);
	u64 count;

	eventfd_ctx_remove_wait_queue(irqfd->ctx, &irqfd->wait, &count);
	eventfd_ctx_put(irqfd->ctx);
	if (irqfd->resample)
		call_rcu(&irqfd->rcu, irqfd_free_rcu);
	else
		kfree(irqfd);
}

static void irqfd_kill(struct irqfd *irqfd)
{
	lockdep_assert_held(&irqfd_lock);
	if (list_empty(&irqfd->node))
		return;
	list_del_init(&irqfd->node);
	if (irqfd->resample)
		list_del_rcu(&irqfd->resampler);
	irqfd->vm->nr_irqfds--;
	queue_work(shutdown_queue, &irqfd->shutdown);
}

/* The eventfd was signalled, or its last file was closed. Its lock is held. */
static int irqfd_wakeup(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct irqfd *irqfd = container_of(wait, struct irqfd, wait);
	__poll_t events = key_to_poll(key);
	unsigned long flags;
	u64 count;

	if (events & EPOLLIN) {
		eventfd_ctx_do_read(irqfd->ctx, &count);
		vmm_msi_deliver(irqfd->vm, &irqfd->msi);
	}
	if (events & EPOLLHUP) {
		spin_lock_irqsave(&irqfd_lock, flags);
		irqfd_kill(irqfd);
		spin_unlock_irqrestore(&irqfd_lock, flags);
	}
	return 0;
}

static void irqfd_enqueue(struct file *file, wait_queue_head_t *queue, poll_table *table)
{
	struct irqfd *irqfd = container_of(table, struct irqfd, table);

	irqfd->queue = queue;
	add_wait_queue(queue, &irqfd->wait);
}

/* A signal from before the irqfd: the eventfd did not wake anybody for it. */
static void deliver_earlier(struct irqfd *irqfd)
{
	u64 count;

	spin_lock_irq(&irqfd->queue->lock);
	eventfd_ctx_do_read(irqfd->ctx, &count);
	if (count)
		vmm_msi_deliver(irqfd->vm, &irqfd->msi);
	spin_unlock_irq(&irqfd->queue->lock);
}

bool vmm_irqfd_eoi(struct vmm_vm *vm, u8 vector)
{
	const struct irqfd *irqfd;
	bool found = false;

	rcu_read_lock();
	list_for_each_entry_rcu(irqfd, &vm->resamplers, resampler) {
		if (vmm_msi_vector(READ_ONCE(irqfd->msi.data)) != vector)
			continue;
		compat_eventfd_signal(irqfd->resample);
		found = true;
	}
	rcu_read_unlock();
	return found;
}

static bool same_msi(const struct vmm_msi *a, const struct vmm_msi *b)
{
	return a->address == b->address && a->data == b->data;
}

static struct irqfd *find(struct vmm_vm *vm, const struct eventfd_ctx *ctx)
{
	struct irqfd *irqfd;

	lockdep_assert_held(&irqfd_lock);
	list_for_each_entry(irqfd, &vm->irqfds, node)
		if (irqfd->ctx == ctx)
			return irqfd;
	return NULL;
}

/* Publish on the VM's list. */
static int insert(struct irqfd *irqfd)
{
	struct vmm_vm *vm = irqfd->vm;
	int r = 0;

	spin_lock_irq(&irqfd_lock);
	if (find(vm, irqfd->ctx)) {
		r = -EBUSY;
	} else if (vm->nr_irqfds >= VMM_MAX_IRQFDS) {
		r = -ENOSPC;
	} else {
		list_add(&irqfd->node, &vm->irqfds);
		if (irqfd->resample)
			list_add_rcu(&irqfd->resampler, &vm->resamplers);
		vm->nr_irqfds++;
	}
	spin_unlock_irq(&irqfd_lock);
	return r;
}

/* @file is held: no EPOLLHUP comes before this returns. */
static int assign(struct vmm_vm *vm, struct file *file, struct eventfd_ctx *ctx,
		  const struct vmm_msi *msi, struct eventfd_ctx *resample)
{
	struct irqfd *irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);
	int r;

	if (!irqfd)
		return -ENOMEM;
	irqfd->vm = vm;
	irqfd->msi = *msi;
	irqfd->ctx = ctx;
	irqfd->resample = resample;
	INIT_LIST_HEAD(&irqfd->node);
	INIT_WORK(&irqfd->shutdown, irqfd_shutdown);
	init_waitqueue_func_entry(&irqfd->wait, irqfd_wakeup);
	init_poll_funcptr(&irqfd->table, irqfd_enqueue);

	r = insert(irqfd);
	if (r) {
		kfree(irqfd);
		return r;
	}
	vfs_poll(file, &irqfd->table);
	deliver_earlier(irqfd);
	return 0;
}

static int deassign(struct vmm_vm *vm, const struct eventfd_ctx *ctx, const struct vmm_msi *msi)
{
	struct irqfd *irqfd;
	int r = -ENOENT;

	spin_lock_irq(&irqfd_lock);
	irqfd = find(vm, ctx);
	if (irqfd && same_msi(&irqfd->msi, msi)) {
		irqfd_kill(irqfd);
		r = 0;
	}
	spin_unlock_irq(&irqfd_lock);
	/* After the ioctl no signal sends the message any more. */
	if (!r)
		flush_workqueue(shutdown_queue);
	return r;
}

/* The eventfd's file is held and vm->lock too: what is found stays. */
static int update(struct vmm_vm *vm, const struct eventfd_ctx *ctx, const struct vmm_msi *msi)
{
	struct irqfd *irqfd;

	spin_lock_irq(&irqfd_lock);
	irqfd = find(vm, ctx);
	spin_unlock_irq(&irqfd_lock);
	if (!irqfd)
		return -ENOENT;
	if (irqfd->resample && !vmm_msi_level(msi))
		return -EINVAL;
	spin_lock_irq(&irqfd->queue->lock);
	WRITE_ONCE(irqfd->msi.address, msi->address);
	WRITE_ONCE(irqfd->msi.data, msi->data);
	spin_unlock_irq(&irqfd->queue->lock);
	return 0;
}

/* On success both references are the irqfd's. */
static int add(struct vmm_vm *vm, struct file *file, struct eventfd_ctx *ctx,
	       const struct vmm_irqfd *args)
{
	struct eventfd_ctx *resample = NULL;
	int r;

	if (args->flags & VMM_EVENTFD_RESAMPLE) {
		resample = eventfd_ctx_fdget(args->resample_fd);
		if (IS_ERR(resample))
			return PTR_ERR(resample);
	}
	r = assign(vm, file, ctx, &args->msi, resample);
	if (r && resample)
		eventfd_ctx_put(resample);
	return r;
}

static int check(const struct vmm_irqfd *args)
{
	switch (args->flags) {
	case VMM_EVENTFD_RESAMPLE:
		if (!vmm_msi_level(&args->msi))
			return -EINVAL;
		break;
	case 0:
	case VMM_EVENTFD_REMOVE:
	case VMM_EVENTFD_UPDATE:
		if (args->resample_fd)
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	return args->pad ? -EINVAL : vmm_msi_check(&args->msi);
}

int vmm_irqfd(struct vmm_vm *vm, const struct vmm_irqfd *args)
{
	struct eventfd_ctx *ctx;
	struct file *file;
	int r;

	lockdep_assert_held(&vm->lock);
	r = check(args);
	if (r)
		return r;
	file = eventfd_fget(args->fd);
	if (IS_ERR(file))
		return PTR_ERR(file);
	ctx = eventfd_ctx_fileget(file);
	if (IS_ERR(ctx)) {
		r = PTR_ERR(ctx);
		goto out_file;
	}
	if (args->flags & VMM_EVENTFD_REMOVE)
		r = deassign(vm, ctx, &args->msi);
	else if (args->flags & VMM_EVENTFD_UPDATE)
		r = update(vm, ctx, &args->msi);
	else
		r = add(vm, file, ctx, args);
	if (r || (args->flags & (VMM_EVENTFD_REMOVE | VMM_EVENTFD_UPDATE)))
		eventfd_ctx_put(ctx);
out_file:
	fput(file);
	return r;
}

void vmm_irqfd_release(struct vmm_vm *vm)
{
	struct irqfd *irqfd, *next;

	spin_lock_irq(&irqfd_lock);
	list_for_each_entry_safe(irqfd, next, &vm->irqfds, node)
		irqfd_kill(irqfd);
	spin_unlock_irq(&irqfd_lock);
	/* Also those that an EPOLLHUP took off the list a moment ago. */
	flush_workqueue(shutdown_queue);
}

int vmm_irqfd_init(void)
{
	shutdown_queue = alloc_workqueue("vmm-irqfd", 0, 0);
	return shutdown_queue ? 0 : -ENOMEM;
}

void vmm_irqfd_exit(void)
{
	destroy_workqueue(shutdown_queue);
	/* Doorbells of ioeventfd.c are freed by RCU callbacks that are our code. */
	rcu_barrier();
}
