/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Differences among host kernels. The only place that asks for
 * LINUX_VERSION_CODE: everything else is written against the newest kernel.
 */
#ifndef VMM_COMPAT_H
#define VMM_COMPAT_H

#include <linux/cpuhotplug.h>
#include <linux/eventfd.h>
#include <linux/list_lru.h>
#include <linux/mm.h>
#include <linux/shrinker.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <linux/syscore_ops.h>
#include <linux/version.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#include <trace/events/ipi.h>	/* smp_send_reschedule() is a macro around it */
#endif

/*
 * Where a CPU that goes offline has no threads any more. The states that are given out
 * to modules all come while it has some, and the one for hypervisors is KVM's, so this
 * is one of another architecture.
 */
#define COMPAT_CPUHP_DYING	CPUHP_AP_ARM_XEN_STARTING

/*
 * A referenced page on behalf of a guest's access, @flags FOLL_WRITE or 0: any signal ends
 * the wait for it, and NUMA hinting sees the access. 0; -EINTR, -EAGAIN; else why not.
 * [sleep], current->mm
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
static inline int compat_get_user_page(unsigned long address, unsigned int flags,
				       struct page **page)
{
	long n = get_user_pages_unlocked(address, 1, page,
					 flags | FOLL_HWPOISON | FOLL_INTERRUPTIBLE |
					 FOLL_HONOR_NUMA_FAULT);

	return n == 1 ? 0 : n < 0 ? n : -EAGAIN;
}
#else
/* What get_user_pages() waits for there only a fatal signal ends, but a fault may end. */
static inline int compat_wait_for_page(unsigned long address, unsigned int foll)
{
	const bool write = foll & FOLL_WRITE;
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	vm_fault_t fault;

	mmap_read_lock(mm);
	vma = find_vma(mm, address);
	if (!vma || vma->vm_start > address ||
	    !(vma->vm_flags & (write ? VM_WRITE : VM_READ))) {
		mmap_read_unlock(mm);
		return -EFAULT;
	}
	fault = handle_mm_fault(vma, address, FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE |
				FAULT_FLAG_INTERRUPTIBLE | (write ? FAULT_FLAG_WRITE : 0), NULL);
	if (!(fault & (VM_FAULT_RETRY | VM_FAULT_COMPLETED)))
		mmap_read_unlock(mm);
	if (fault & VM_FAULT_ERROR)
		return vm_fault_to_errno(fault, FOLL_HWPOISON);
	return (fault & VM_FAULT_RETRY) && signal_pending(current) ? -EINTR : 0;
}

static inline int compat_get_user_page(unsigned long address, unsigned int flags,
				       struct page **page)
{
	long n;
	int r;

	/* Does not wait: 0 where it would have to. */
	n = get_user_pages_unlocked(address, 1, page, flags | FOLL_HWPOISON | FOLL_NOWAIT);
	if (!n) {
		r = compat_wait_for_page(address, flags);
		if (r)
			return r;
		n = get_user_pages_unlocked(address, 1, page, flags | FOLL_HWPOISON |
					    FOLL_NOWAIT);
	}
	return n == 1 ? 0 : n < 0 ? n : -EAGAIN;
}
#endif

/* Set and clear flags of a mapping that is being made; mmap_lock is held. */
static inline void compat_vm_flags(struct vm_area_struct *vma, vm_flags_t set, vm_flags_t clear)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_mod(vma, set, clear);
#else
	vma->vm_flags = (vma->vm_flags & ~clear) | set;
#endif
}

static inline void compat_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/* A guest's turn is a quiescent state, with IRQs off. */
static inline void compat_rcu_virt_note_context_switch(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	rcu_virt_note_context_switch();
#else
	rcu_virt_note_context_switch(smp_processor_id());
#endif
}

/* An item is listed under node and cgroup of its own memory. */
static inline bool compat_list_lru_add(struct list_lru *lru, struct list_head *item)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	return list_lru_add_obj(lru, item);
#else
	return list_lru_add(lru, item);
#endif
}

static inline bool compat_list_lru_del(struct list_lru *lru, struct list_head *item)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	return list_lru_del_obj(lru, item);
#else
	return list_lru_del(lru, item);
#endif
}

/* A shrinker for each node and cgroup, with the usual weight. */
struct compat_shrinker {
	unsigned long (*count)(struct shrinker *shrinker, struct shrink_control *sc);
	unsigned long (*scan)(struct shrinker *shrinker, struct shrink_control *sc);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	struct shrinker *shrinker;
};

static inline struct shrinker *compat_shrinker(struct compat_shrinker *c)
{
	return c->shrinker;
}

static inline int compat_register_shrinker(struct compat_shrinker *c, const char *name)
{
	c->shrinker = shrinker_alloc(SHRINKER_NUMA_AWARE | SHRINKER_MEMCG_AWARE, "%s", name);
	if (!c->shrinker)
		return -ENOMEM;
	c->shrinker->count_objects = c->count;
	c->shrinker->scan_objects = c->scan;
	shrinker_register(c->shrinker);
	return 0;
}

static inline void compat_unregister_shrinker(struct compat_shrinker *c)
{
	shrinker_free(c->shrinker);
}
#else
	struct shrinker shrinker;
};

static inline struct shrinker *compat_shrinker(struct compat_shrinker *c)
{
	return &c->shrinker;
}

static inline int compat_register_shrinker(struct compat_shrinker *c, const char *name)
{
	c->shrinker.count_objects = c->count;
	c->shrinker.scan_objects = c->scan;
	c->shrinker.seeks = DEFAULT_SEEKS;
	c->shrinker.flags = SHRINKER_NUMA_AWARE | SHRINKER_MEMCG_AWARE;
	return register_shrinker(&c->shrinker, "%s", name);
}

static inline void compat_unregister_shrinker(struct compat_shrinker *c)
{
	unregister_shrinker(&c->shrinker);
}
#endif

/* Callbacks of the last CPU, with IRQs off, around a suspend of the machine. */
struct compat_syscore {
	int (*suspend)(void);
	void (*resume)(void);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 100)
	struct syscore_ops ops;
	struct syscore syscore;
};

static inline int compat_syscore_suspend(void *data)
{
	return ((struct compat_syscore *)data)->suspend();
}

static inline void compat_syscore_resume(void *data)
{
	((struct compat_syscore *)data)->resume();
}

static inline void compat_register_syscore(struct compat_syscore *c)
{
	c->ops.suspend = compat_syscore_suspend;
	c->ops.resume = compat_syscore_resume;
	c->syscore.ops = &c->ops;
	c->syscore.data = c;
	register_syscore(&c->syscore);
}

static inline void compat_unregister_syscore(struct compat_syscore *c)
{
	unregister_syscore(&c->syscore);
}
#else
	struct syscore_ops ops;
};

static inline void compat_register_syscore(struct compat_syscore *c)
{
	c->ops.suspend = c->suspend;
	c->ops.resume = c->resume;
	register_syscore_ops(&c->ops);
}

static inline void compat_unregister_syscore(struct compat_syscore *c)
{
	unregister_syscore_ops(&c->ops);
}
#endif

#endif
