/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is behind a block device: a raw file, a block device, or a descriptor that was
 * inherited; and the two engines that read and write it.
 *
 * disk.c opens, locks and measures, before the sandbox. engine.c carries requests out:
 * by Linux's asynchronous I/O where the disk is direct and the request aligned, by a
 * pool of threads where not. Requests complete in the I/O thread, in any order.
 */
#ifndef RUNNER_VIRTIO_DISK_H
#define RUNNER_VIRTIO_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include <linux/aio_abi.h>
#include "../iothread.h"
#include "../status.h"

#define DISK_SECTOR		512
#define DISK_QUEUES_MAX		16
#define DISK_ID_SIZE		20	/* as virtio has it */
/* Ranges of one discard: bounds what one request holds. */
#define DISK_RANGES_MAX		16

struct disk {
	const char *name;		/* for messages */
	int fd;
	bool read_only;
	bool direct;			/* past the host's page cache */
	uint32_t align;			/* of offsets, lengths and memory, a power of two */
	uint32_t queues;
	uint64_t iops, bps;		/* limits, 0: none */
	char id[DISK_ID_SIZE];		/* padded with zeros */
	aio_context_t aio;		/* of a direct disk */
};

/* Parse `FILE[,ro][,direct][,id=][,queues=][,iops=][,bps=]` and open it. Complains. */
enum status disk_open(const char *text, struct disk **disk);
void disk_close(struct disk *disk);

/* Bytes, now; 0 on error. */
uint64_t disk_size(const struct disk *disk);

enum disk_op {
	DISK_READ,
	DISK_WRITE,
	DISK_WRITE_THROUGH,	/* durable when it completes */
	DISK_FLUSH,
	DISK_DISCARD,
	DISK_ZERO,
};

struct disk_range {
	uint64_t offset, len;		/* bytes */
	bool unmap;
};

struct disk_request {
	enum disk_op op;
	uint64_t offset, len;		/* of reads and writes */
	struct iovec *iov;
	unsigned int iovs;
	struct disk_range range[DISK_RANGES_MAX];	/* of discards and zeroes */
	unsigned int ranges;
	int error;			/* 0 or an errno, when complete */
	struct disk_request *next;	/* the engine's */
	struct iocb iocb;		/* the engine's */
};

struct disk_engine;

/* Who submits: called in the I/O thread. */
struct disk_user {
	void (*done)(void *opaque, struct disk_request *request);
	/* After one or more of them: nothing else is done at the moment. */
	void (*batch_end)(void *opaque);
	void *opaque;
};

/* NULL: no memory or descriptors. */
struct disk_engine *disk_engine_create(const struct disk *disk, struct iothread *io,
				       const struct disk_user *user);
/* Nothing is in flight. NULL is fine. */
void disk_engine_destroy(struct disk_engine *engine);

/* Start the threads, once. false: the host has none to give. */
bool disk_engine_start(struct disk_engine *engine);

/* Ranges, lengths and rights have been checked. @request stays until it is done. */
void disk_engine_submit(struct disk_engine *engine, struct disk_request *request);

/* Wait until all that was submitted is done. */
void disk_engine_drain(struct disk_engine *engine);

/* The same, but what the host has not begun is done at once, with the error ECANCELED. */
void disk_engine_cancel(struct disk_engine *engine);

#endif /* RUNNER_VIRTIO_DISK_H */
