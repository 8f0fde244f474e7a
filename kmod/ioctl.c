// SPDX-License-Identifier: GPL-2.0-only
/*
 * The three kinds of fd and the one dispatcher of their ioctls. A row says what
 * a call takes and which locks it wants; the dispatcher sizes and copies the
 * argument, takes the locks and gives them back. Handlers see a zero-extended
 * copy in kernel memory, check flags and padding, and never lock.
 *
 * Whatever ends in an fd publishes it last: after fd_install() another thread
 * may have closed it already.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>

#include "vmm.h"

#define ROW_VM_LOCK	0x1	/* vm->lock */
#define ROW_VCPU_LOCK	0x2	/* vcpu->lock */
#define ROW_LOAD	0x4	/* and the vCPU loaded on this CPU */

/* Arguments up to this size live on the stack. */
#define SMALL_ARG	64

struct ioctl_row {
	unsigned int cmd;
	unsigned int flags;	/* ROW_* */
	long (*call)(void *object, void *arg);
};

/* Every ioctl of one kind of fd: their numbers are consecutive, from first on. */
struct ioctl_table {
	const struct ioctl_row *rows;
	unsigned int first;
	unsigned int count;
};

static const struct ioctl_row *find_row(const struct ioctl_table *table, unsigned int cmd)
{
	unsigned int index = _IOC_NR(cmd) - table->first;
	const struct ioctl_row *row;

	if (_IOC_TYPE(cmd) != VMM_IOC || index >= table->count)
		return NULL;
	row = &table->rows[index];
	/* The size is the caller's; number and direction have to be ours. */
	if (_IOC_NR(cmd) != _IOC_NR(row->cmd) || _IOC_DIR(cmd) != _IOC_DIR(row->cmd))
		return NULL;
	return row;
}

static long call_locked(const struct ioctl_row *row, void *object, void *arg)
{
	struct vmm_vcpu *vcpu = object;
	struct vmm_vm *vm = object;
	long r;

	if (row->flags & ROW_VM_LOCK) {
		if (mutex_lock_killable(&vm->lock))
			return -EINTR;
		r = row->call(object, arg);
		mutex_unlock(&vm->lock);
		return r;
	}
	if (!(row->flags & ROW_VCPU_LOCK))
		return row->call(object, arg);
	if (mutex_lock_killable(&vcpu->lock))
		return -EINTR;
	if (row->flags & ROW_LOAD) {
		vmm_vcpu_load(vcpu);
		/* What VMM_SET_CLOCK has done is to be seen by who only looks, too. */
		if (test_and_clear_bit(VMM_REQ_TSC, &vcpu->requests))
			vmm_tsc_move(vcpu, 0);
	}
	r = row->call(object, arg);
	if (row->flags & ROW_LOAD)
		vmm_vcpu_put(vcpu);
	mutex_unlock(&vcpu->lock);
	return r;
}

static noinline long call_with_arg(const struct ioctl_row *row, void *object, size_t given,
				   void __user *user)
{
	const size_t known = _IOC_SIZE(row->cmd);
	u8 small[SMALL_ARG] __aligned(8);
	void *arg = small;
	long r;

	if (known > sizeof(small)) {
		arg = kmalloc(known, GFP_KERNEL_ACCOUNT);
		if (!arg)
			return -ENOMEM;
	}
	r = copy_struct_from_user(arg, known, user, given);
	if (r)
		goto out;
	r = call_locked(row, object, arg);
	/* -ENOSPC tells how much would have been needed. */
	if ((_IOC_DIR(row->cmd) & _IOC_READ) && (r >= 0 || r == -ENOSPC) &&
	    copy_to_user(user, arg, min(known, given)))
		r = -EFAULT;
out:
	if (arg != small)
		kfree(arg);
	return r;
}

static long dispatch(const struct ioctl_table *table, void *object, unsigned int cmd,
		     void __user *user)
{
	const struct ioctl_row *row = find_row(table, cmd);

	if (!row)
		return -ENOTTY;
	if (_IOC_SIZE(row->cmd))
		return call_with_arg(row, object, _IOC_SIZE(cmd), user);
	return _IOC_SIZE(cmd) ? -ENOTTY : call_locked(row, object, NULL);
}

/* ---- /dev/vmm ---- */

static long system_get_info(void *object, void *arg)
{
	struct vmm_info *info = arg;

	if (info->flags)
		return -EINVAL;
	memset(info, 0, sizeof(*info));
	info->abi_version = VMM_ABI_VERSION;
	strscpy(info->version, VMM_VERSION, sizeof(info->version));
	if (vmm_ops) {
		info->backend = vmm_ops->backend;
		info->paging = vmm_caps.nested ? VMM_PAGING_NESTED : VMM_PAGING_SHADOW;
		info->features = vmm_caps.features;
	}
	info->max_vcpus = VMM_MAX_VCPUS;
	info->max_slots = VMM_MAX_SLOTS;
	info->run_size = VMM_RUN_SIZE;
	info->xsave_size = vmm_fpu_size();
	info->tsc_khz = tsc_khz;
	info->phys_bits = vmm_mmu_phys_bits();
	info->xcr0 = vmm_cpuid_xcr0_supported();
	return 0;
}

static long system_get_cpuid(void *object, void *arg)
{
	return vmm_cpuid_get_supported(arg);
}

static long system_get_msr_list(void *object, void *arg)
{
	return vmm_msr_get_list(arg);
}

static long system_create_vm(void *object, void *arg)
{
	const struct vmm_create_vm *args = arg;
	struct vmm_vm *vm;

	if ((args->flags & ~VMM_VM_SHADOW) || args->pad0 ||
	    memchr_inv(args->pad, 0, sizeof(args->pad)))
		return -EINVAL;
	if (args->tsc_khz &&
	    (args->tsc_khz < VMM_TSC_KHZ_MIN || args->tsc_khz > VMM_TSC_KHZ_MAX))
		return -EINVAL;
	if ((args->flags & VMM_VM_SHADOW) && vmm_ops && !vmm_caps.shadow)
		return -EOPNOTSUPP;
	vm = vmm_vm_create(args);
	/* Taking all locks of the address space stops at any signal: then again. */
	if (PTR_ERR_OR_ZERO(vm) == -EINTR)
		return -ERESTARTNOINTR;
	if (IS_ERR(vm))
		return PTR_ERR(vm);
	return vmm_vm_fd(vm);
}

static const struct ioctl_row system_rows[] = {
	{ VMM_GET_INFO, 0, system_get_info },
	{ VMM_GET_SUPPORTED_CPUID, 0, system_get_cpuid },
	{ VMM_GET_MSR_LIST, 0, system_get_msr_list },
	{ VMM_CREATE_VM, 0, system_create_vm },
};

static const struct ioctl_table system_table = {
	system_rows, _IOC_NR(VMM_GET_INFO), ARRAY_SIZE(system_rows)
};

static long system_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return dispatch(&system_table, NULL, cmd, (void __user *)arg);
}

const struct file_operations vmm_system_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = system_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

/* ---- a VM ---- */

static long vm_set_slot(void *object, void *arg)
{
	return vmm_slot_set(object, arg);
}

static long vm_create_vcpu(void *object, void *arg)
{
	const struct vmm_create_vcpu *args = arg;
	struct vmm_vm *vm = object;
	struct vmm_vcpu *vcpu;

	if (args->flags || memchr_inv(args->pad, 0, sizeof(args->pad)) ||
	    args->id >= VMM_MAX_VCPUS)
		return -EINVAL;
	if (xa_load(&vm->vcpus, args->id))
		return -EEXIST;
	vcpu = vmm_vcpu_create(vm, args->id);
	if (IS_ERR(vcpu))
		return PTR_ERR(vcpu);
	return vmm_vcpu_fd(vcpu);
}

static long vm_signal_msi(void *object, void *arg)
{
	const struct vmm_msi *msi = arg;
	int r;

	r = vmm_msi_check(msi);
	return r ? r : vmm_msi_deliver(object, msi);
}

static long vm_irqfd(void *object, void *arg)
{
	return vmm_irqfd(object, arg);
}

static long vm_ioeventfd(void *object, void *arg)
{
	return vmm_ioeventfd(object, arg);
}

static long vm_get_clock(void *object, void *arg)
{
	struct vmm_clock *clock = arg;

	if (clock->flags || clock->realtime || clock->tsc)
		return -EINVAL;
	vmm_pv_get_clock(object, clock);
	return 0;
}

static long vm_set_clock(void *object, void *arg)
{
	const struct vmm_clock *clock = arg;

	if (clock->flags & ~(u64)(VMM_CLOCK_STOPPED | VMM_CLOCK_REALTIME | VMM_CLOCK_TSC))
		return -EINVAL;
	if (!(clock->flags & VMM_CLOCK_REALTIME) && clock->realtime)
		return -EINVAL;
	vmm_pv_set_clock(object, clock);
	return 0;
}

static long vm_get_dirty(void *object, void *arg)
{
	return vmm_dirty_get(object, arg);
}

static long vm_get_stats(void *object, void *arg)
{
	return vmm_vm_stats(object, arg);
}

static const struct ioctl_row vm_rows[] = {
	{ VMM_SET_SLOT, ROW_VM_LOCK, vm_set_slot },
	{ VMM_CREATE_VCPU, ROW_VM_LOCK, vm_create_vcpu },
	{ VMM_SIGNAL_MSI, 0, vm_signal_msi },
	{ VMM_IRQFD, ROW_VM_LOCK, vm_irqfd },
	{ VMM_IOEVENTFD, ROW_VM_LOCK, vm_ioeventfd },
	{ VMM_GET_CLOCK, ROW_VM_LOCK, vm_get_clock },
	{ VMM_SET_CLOCK, ROW_VM_LOCK, vm_set_clock },
	{ VMM_GET_DIRTY, ROW_VM_LOCK, vm_get_dirty },
	{ VMM_GET_VM_STATS, 0, vm_get_stats },
};

static const struct ioctl_table vm_table = {
	vm_rows, _IOC_NR(VMM_SET_SLOT), ARRAY_SIZE(vm_rows)
};

/* A VM's memory is that of its creator: nobody else may drive it. */
static bool usable(const struct vmm_vm *vm)
{
	return vm->mm == current->mm && !READ_ONCE(vm->dead);
}

static long vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct vmm_vm *vm = file->private_data;

	if (!usable(vm))
		return -EIO;
	return dispatch(&vm_table, vm, cmd, (void __user *)arg);
}

static int vm_release(struct inode *inode, struct file *file)
{
	vmm_vm_put(file->private_data);
	return 0;
}

static const struct file_operations vm_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = vm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = vm_release,
	.llseek = noop_llseek,
};

int vmm_vm_fd(struct vmm_vm *vm)
{
	int fd = anon_inode_getfd("vmm-vm", &vm_fops, vm, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		vmm_vm_put(vm);
	return fd;
}

/* ---- a vCPU ---- */

static long vcpu_run(void *object, void *arg)
{
	return vmm_vcpu_run(object);
}

static long vcpu_get_state(void *object, void *arg)
{
	struct vmm_state *state = arg;
	u64 mask = state->mask;

	if (state->flags || (mask & ~VMM_STATE_ALL))
		return -EINVAL;
	/* Sections not asked for go back as they came. */
	vmm_state_get(object, mask, state);
	return 0;
}

static long vcpu_set_state(void *object, void *arg)
{
	const struct vmm_state *state = arg;

	if (state->flags || (state->mask & ~VMM_STATE_ALL))
		return -EINVAL;
	return vmm_state_set(object, state->mask, state);
}

static long vcpu_get_msrs(void *object, void *arg)
{
	return vmm_msrs_get(object, arg);
}

static long vcpu_set_msrs(void *object, void *arg)
{
	return vmm_msrs_set(object, arg);
}

static long vcpu_get_xsave(void *object, void *arg)
{
	return vmm_fpu_get(object, arg);
}

static long vcpu_set_xsave(void *object, void *arg)
{
	return vmm_fpu_set(object, arg);
}

static long vcpu_get_cpuid(void *object, void *arg)
{
	return vmm_cpuid_get(object, arg);
}

static long vcpu_set_cpuid(void *object, void *arg)
{
	return vmm_cpuid_set(object, arg);
}

static long vcpu_translate(void *object, void *arg)
{
	const u32 kinds = VMM_ACCESS_READ | VMM_ACCESS_WRITE | VMM_ACCESS_EXEC;
	struct vmm_translate *args = arg;
	struct vmm_vcpu *vcpu = object;
	struct vmm_walk walk = {};

	if ((args->access & ~(kinds | VMM_ACCESS_USER)) || !(args->access & kinds) ||
	    args->fault || args->gpa || args->error || args->pad)
		return -EINVAL;
	vmm_pull(vcpu, VMM_STATE_CTRL | VMM_STATE_CS);
	args->fault = !vmm_walk(vcpu, args->gva, args->access, &walk, false);
	if (args->fault)
		args->error = walk.error;
	else
		args->gpa = walk.gpa;
	return 0;
}

static long vcpu_nmi(void *object, void *arg)
{
	vmm_nmi(object);
	return 0;
}

static long vcpu_set_guest_debug(void *object, void *arg)
{
	return vmm_set_guest_debug(object, arg);
}

static long vcpu_reset(void *object, void *arg)
{
	vmm_vcpu_power_up(object);
	return 0;
}

static long vcpu_get_stats(void *object, void *arg)
{
	return vmm_vcpu_stats(object, arg);
}

static const struct ioctl_row vcpu_rows[] = {
	{ VMM_RUN, ROW_VCPU_LOCK, vcpu_run },
	{ VMM_GET_STATE, ROW_VCPU_LOCK | ROW_LOAD, vcpu_get_state },
	{ VMM_SET_STATE, ROW_VCPU_LOCK | ROW_LOAD, vcpu_set_state },
	{ VMM_GET_MSRS, ROW_VCPU_LOCK | ROW_LOAD, vcpu_get_msrs },
	{ VMM_SET_MSRS, ROW_VCPU_LOCK | ROW_LOAD, vcpu_set_msrs },
	{ VMM_GET_XSAVE, ROW_VCPU_LOCK, vcpu_get_xsave },
	{ VMM_SET_XSAVE, ROW_VCPU_LOCK, vcpu_set_xsave },
	{ VMM_GET_CPUID, ROW_VCPU_LOCK, vcpu_get_cpuid },
	{ VMM_SET_CPUID, ROW_VCPU_LOCK, vcpu_set_cpuid },
	{ VMM_TRANSLATE, ROW_VCPU_LOCK | ROW_LOAD, vcpu_translate },
	{ VMM_NMI, 0, vcpu_nmi },
	{ VMM_SET_GUEST_DEBUG, ROW_VCPU_LOCK | ROW_LOAD, vcpu_set_guest_debug },
	{ VMM_GET_VCPU_STATS, 0, vcpu_get_stats },
	{ VMM_RESET, ROW_VCPU_LOCK | ROW_LOAD, vcpu_reset },
};

static const struct ioctl_table vcpu_table = {
	vcpu_rows, _IOC_NR(VMM_RUN), ARRAY_SIZE(vcpu_rows)
};

static long vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct vmm_vcpu *vcpu = file->private_data;

	if (!usable(vcpu->vm))
		return -EIO;
	return dispatch(&vcpu_table, vcpu, cmd, (void __user *)arg);
}

/* The page has a reference of its own: a mapping outlives fd and vCPU. */
static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct vmm_vcpu *vcpu = file->private_data;

	if (vma->vm_pgoff || vma->vm_end - vma->vm_start != VMM_RUN_SIZE ||
	    !(vma->vm_flags & VM_SHARED) || (vma->vm_flags & VM_EXEC))
		return -EINVAL;
	compat_vm_flags(vma, VM_DONTEXPAND | VM_DONTCOPY, VM_MAYEXEC);
	return vm_insert_page(vma, vma->vm_start, vcpu->run_page);
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct vmm_vcpu *vcpu = file->private_data;

	/* The vCPU stays until the VM goes: interrupts may still name it. */
	vmm_vm_put(vcpu->vm);
	return 0;
}

static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = vcpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = vcpu_mmap,
	.release = vcpu_release,
	.llseek = noop_llseek,
};

int vmm_vcpu_fd(struct vmm_vcpu *vcpu)
{
	struct vmm_vm *vm = vcpu->vm;
	struct file *file;
	int fd, r;

	lockdep_assert_held(&vm->lock);
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		r = fd;
		goto out_vcpu;
	}
	r = xa_insert(&vm->vcpus, vcpu->id, vcpu, GFP_KERNEL_ACCOUNT);
	if (r)
		goto out_fd;
	file = anon_inode_getfile("vmm-vcpu", &vcpu_fops, vcpu, O_RDWR);
	if (IS_ERR(file)) {
		r = PTR_ERR(file);
		goto out_xa;
	}
	vm->nr_vcpus++;
	vmm_vm_get(vm);
	fd_install(fd, file);
	return fd;

out_xa:
	/* An interrupt may have found it meanwhile: destroying waits for RCU readers. */
	xa_erase(&vm->vcpus, vcpu->id);
out_fd:
	put_unused_fd(fd);
out_vcpu:
	vmm_vcpu_destroy(vcpu);
	return r;
}
