/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the library share: the handles' insides and the one way to
 * an ioctl. Not installed.
 *
 * Key of struct members: [const] set at creation; [lock] under vmm.lock; [owner]
 * only the vCPU's thread.
 */
#ifndef LIBVMM_INTERNAL_H
#define LIBVMM_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "libvmm.h"

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

/* Functions without the prefix vmm_ stay inside the library (libvmm.map). */

struct written;

struct region {
	uint64_t gpa;
	uint64_t size;
	unsigned char *hva;
	unsigned int slot;
	unsigned int flags;		/* VMM_SLOT_* */
	struct written *written;	/* by the process; NULL without a log */
};

struct vmm {
	int fd;				/* [const] */
	unsigned int run_size;		/* [const] bytes to map from a vCPU fd */
	unsigned int xsave_size;	/* [const] */
	unsigned int max_slots;		/* [const] */
	pthread_rwlock_t lock;
	struct region *regions;		/* [lock] max_slots of them, sorted by gpa, disjoint */
	unsigned int nr_regions;	/* [lock] */
	atomic_uint logs;		/* regions with @written; changed under lock */
};

struct vmm_vcpu {
	struct vmm *vm;			/* [const] */
	int fd;				/* [const] */
	unsigned int id;		/* [const] */
	struct vmm_run *run;		/* [const] */
	unsigned char *xsave;		/* [owner] room for one image, made when needed */
	int emul_error;			/* [owner] */
};

/* 0 or more as the ioctl returned it, or -errno. */
int device_ioctl(int fd, unsigned long request, const void *arg);

/* Pages of a region of @size bytes that the process wrote. */
int written_create(uint64_t size, struct written **out);
void written_destroy(struct written *written);
/* After the write; @len is not 0. */
void written_mark(struct written *written, uint64_t offset, uint64_t len);
/*
 * Words [@from, @to) of the region into @bitmap, beside what the module put there;
 * returns how many bits are new. @keep: look only.
 */
uint64_t written_take(struct written *written, uint64_t from, uint64_t to, bool keep,
		      uint64_t *bitmap);

/*
 * For the emulator: the bytes at @gpa lie in one slot and are copied, or nothing is
 * and -EFAULT says that they are a device's. Naturally aligned accesses of 1, 2, 4
 * and 8 bytes are single ones. The range does not cross a page.
 */
int ram_read(struct vmm *vm, uint64_t gpa, void *buf, unsigned int len);
int ram_write(struct vmm *vm, uint64_t gpa, const void *buf, unsigned int len);

/*
 * Replace @old by @new atomically if @len (1, 2, 4, 8, 16) is natural and @gpa a
 * multiple of it, else by a plain write. 1: done; 0: memory did not hold @old;
 * -EFAULT: no writable RAM.
 */
int ram_replace(struct vmm *vm, uint64_t gpa, const void *old, const void *new,
		unsigned int len);

#endif /* LIBVMM_INTERNAL_H */
