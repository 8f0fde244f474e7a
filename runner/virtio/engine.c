// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The two engines behind a disk.
 *
 * Threads take requests from a list under the lock and put them on another when they are
 * done, with a bell that the I/O thread watches; so does the kernel's asynchronous I/O,
 * by the same bell. in_flight and the calls of done() are the I/O thread's alone.
 *
 * Invariant: a request is on one list, or with a thread, or with the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <poll.h>
#include <unistd.h>
#include "disk.h"
#include "queue.h"

/* Enough to keep a disk busy, few enough to have many disks. */
#define THREADS		4
/* What is written at once where the file system cannot make zeros. */
#define ZEROS		(64 * 1024)
/* What one thread holds of our memory for a request, whatever its size. */
#define BOUNCE		(1024 * 1024)
#define EVENTS		64

struct list {
	struct disk_request *first, **last;
};

struct disk_engine {
	const struct disk *disk;
	struct iothread *io;
	struct disk_user user;
	struct iowatch bell;
	unsigned int in_flight;

	pthread_mutex_t lock;
	pthread_cond_t work;
	struct list todo;		/* lock */
	struct list completed;		/* lock */
	bool stop;			/* lock */
	pthread_t thread[THREADS];
	unsigned int threads;
};

static const uint8_t zeros[ZEROS] __attribute__((aligned(4096)));

/* ---- lists ---- */

static void list_init(struct list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void list_put(struct list *list, struct disk_request *request)
{
	request->next = NULL;
	*list->last = request;
	list->last = &request->next;
}

static struct disk_request *list_get(struct list *list)
{
	struct disk_request *request = list->first;

	if (request) {
		list->first = request->next;
		if (!list->first)
			list->last = &list->first;
	}
	return request;
}

/* ---- what a thread does ---- */

/* The buffers from @done bytes on; a short transfer goes on there. */
static ssize_t transfer(const struct disk *disk, const struct disk_request *request,
			uint64_t done)
{
	struct iovec iov[VIRTQ_SIZE_MAX];
	unsigned int n = virtq_slice(request->iov, request->iovs, done, request->len - done, iov);
	off_t offset = request->offset + done;

	if (request->op == DISK_READ)
		return preadv(disk->fd, iov, n, offset);
	return pwritev2(disk->fd, iov, n, offset,
			request->op == DISK_WRITE_THROUGH ? RWF_DSYNC : 0);
}

/* 0 or -errno. What read or wrote nothing is beyond the end of a file that became shorter. */
static int read_write(const struct disk *disk, const struct disk_request *request)
{
	uint64_t done = 0;

	while (done < request->len) {
		ssize_t n = transfer(disk, request, done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENXIO;
		done += n;
	}
	return 0;
}

static bool aligned(const struct disk *disk, const struct disk_request *request)
{
	uint64_t bits = request->offset | request->len;

	for (unsigned int i = 0; i < request->iovs; i++)
		bits |= (uintptr_t)request->iov[i].iov_base | request->iov[i].iov_len;
	return bits % disk->align == 0;
}

static void copy(const struct iovec *iov, unsigned int count, uint8_t *buf, bool from_buf)
{
	for (unsigned int i = 0; i < count; i++) {
		if (from_buf)
			memcpy(iov[i].iov_base, buf, iov[i].iov_len);
		else
			memcpy(buf, iov[i].iov_base, iov[i].iov_len);
		buf += iov[i].iov_len;
	}
}

/* @len bytes of the request, from @done on, by @buf. */
static int bounce_piece(const struct disk *disk, const struct disk_request *request,
			uint64_t done, size_t len, uint8_t *buf)
{
	struct iovec guest[VIRTQ_SIZE_MAX], iov = { buf, len };
	unsigned int n = virtq_slice(request->iov, request->iovs, done, len, guest);
	struct disk_request piece = { .op = request->op, .offset = request->offset + done,
				      .len = len, .iov = &iov, .iovs = 1 };
	int err;

	if (request->op != DISK_READ)
		copy(guest, n, buf, false);
	err = read_write(disk, &piece);
	if (!err && request->op == DISK_READ)
		copy(guest, n, buf, true);
	return err;
}

/* Direct I/O of memory that is not aligned goes by a buffer that is, piece by piece. */
static int bounce(const struct disk *disk, const struct disk_request *request)
{
	size_t size = request->len < BOUNCE ? request->len : BOUNCE;
	uint8_t *buf;
	int err = 0;

	if ((request->offset | request->len | size) % disk->align)
		return -EINVAL;
	buf = aligned_alloc(disk->align, size);
	if (!buf)
		return -ENOMEM;
	for (uint64_t done = 0; !err && done < request->len; done += size) {
		uint64_t left = request->len - done;

		err = bounce_piece(disk, request, done, left < size ? left : size, buf);
	}
	free(buf);
	return err;
}

static int serve_transfer(const struct disk *disk, const struct disk_request *request)
{
	return disk->direct && !aligned(disk, request) ? bounce(disk, request) :
							 read_write(disk, request);
}

static int write_zeros(const struct disk *disk, uint64_t offset, uint64_t len)
{
	while (len) {
		struct iovec iov = { (void *)zeros, len < ZEROS ? len : ZEROS };
		struct disk_request part = { .op = DISK_WRITE, .offset = offset,
					     .len = iov.iov_len, .iov = &iov, .iovs = 1 };
		int err = read_write(disk, &part);

		if (err)
			return err;
		offset += part.len;
		len -= part.len;
	}
	return 0;
}

static int serve_range(const struct disk *disk, enum disk_op op, const struct disk_range *range)
{
	int mode = op == DISK_DISCARD || range->unmap ? FALLOC_FL_PUNCH_HOLE :
							FALLOC_FL_ZERO_RANGE;

	if (!fallocate(disk->fd, mode | FALLOC_FL_KEEP_SIZE, range->offset, range->len))
		return 0;
	if (errno != EOPNOTSUPP || op == DISK_DISCARD)
		return -errno;
	return write_zeros(disk, range->offset, range->len);
}

static int serve_ranges(const struct disk *disk, const struct disk_request *request)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < request->ranges; i++)
		err = serve_range(disk, request->op, &request->range[i]);
	return err;
}

static int serve_flush(const struct disk *disk, const struct disk_request *request)
{
	(void)request;
	return fdatasync(disk->fd) ? -errno : 0;
}

static int (*const servers[])(const struct disk *disk, const struct disk_request *request) = {
	[DISK_READ] = serve_transfer,
	[DISK_WRITE] = serve_transfer,
	[DISK_WRITE_THROUGH] = serve_transfer,
	[DISK_FLUSH] = serve_flush,
	[DISK_DISCARD] = serve_ranges,
	[DISK_ZERO] = serve_ranges,
};

static void ring(struct disk_engine *engine)
{
	uint64_t one = 1;
	ssize_t n = write(engine->bell.fd, &one, sizeof(one));

	/* It can fail only when the counter is at its end, and so not 0. */
	(void)n;
}

static void *disk_thread(void *opaque)
{
	struct disk_engine *engine = opaque;
	struct disk_request *request;

	prctl(PR_SET_NAME, "disk");
	pthread_mutex_lock(&engine->lock);
	while (!engine->stop) {
		request = list_get(&engine->todo);
		if (!request) {
			pthread_cond_wait(&engine->work, &engine->lock);
			continue;
		}
		pthread_mutex_unlock(&engine->lock);
		request->error = -servers[request->op](engine->disk, request);
		pthread_mutex_lock(&engine->lock);
		list_put(&engine->completed, request);
		ring(engine);
	}
	pthread_mutex_unlock(&engine->lock);
	return NULL;
}

/* ---- completion ---- */

static struct disk_request *next_completed(struct disk_engine *engine)
{
	struct disk_request *request;

	pthread_mutex_lock(&engine->lock);
	request = list_get(&engine->completed);
	pthread_mutex_unlock(&engine->lock);
	return request;
}

static void finish(struct disk_engine *engine, struct disk_request *request)
{
	engine->in_flight--;
	engine->user.done(engine->user.opaque, request);
}

/* A short transfer is finished by a thread, which finds out why. */
static void finish_aio(struct disk_engine *engine, const struct io_event *event)
{
	struct disk_request *request = (struct disk_request *)(uintptr_t)event->data;

	request->error = event->res < 0 ? -event->res : 0;
	if (event->res >= 0 && (uint64_t)event->res < request->len) {
		pthread_mutex_lock(&engine->lock);
		list_put(&engine->todo, request);
		pthread_cond_signal(&engine->work);
		pthread_mutex_unlock(&engine->lock);
		return;
	}
	finish(engine, request);
}

static void collect_aio(struct disk_engine *engine)
{
	struct io_event event[EVENTS];
	struct timespec now = { 0, 0 };
	long n;

	do {
		n = syscall(SYS_io_getevents, engine->disk->aio, 0, EVENTS, event, &now);
		for (long i = 0; i < n; i++)
			finish_aio(engine, &event[i]);
	} while (n == EVENTS);
}

static void on_bell(void *opaque)
{
	struct disk_engine *engine = opaque;
	struct disk_request *request;
	uint64_t count;
	ssize_t n = read(engine->bell.fd, &count, sizeof(count));

	(void)n;
	if (engine->disk->aio)
		collect_aio(engine);
	while ((request = next_completed(engine)))
		finish(engine, request);
	engine->user.batch_end(engine->user.opaque);
}

/* ---- submission ---- */

static bool submit_aio(struct disk_engine *engine, struct disk_request *request)
{
	struct iocb *iocb = &request->iocb;

	*iocb = (struct iocb) {
		.aio_data = (uintptr_t)request,
		.aio_lio_opcode = request->op == DISK_READ ? IOCB_CMD_PREADV : IOCB_CMD_PWRITEV,
		.aio_rw_flags = request->op == DISK_WRITE_THROUGH ? RWF_DSYNC : 0,
		.aio_fildes = engine->disk->fd,
		.aio_buf = (uintptr_t)request->iov,
		.aio_nbytes = request->iovs,
		.aio_offset = request->offset,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = engine->bell.fd,
	};
	return syscall(SYS_io_submit, engine->disk->aio, 1, &iocb) == 1;
}

void disk_engine_submit(struct disk_engine *engine, struct disk_request *request)
{
	engine->in_flight++;
	if (engine->disk->aio && request->op <= DISK_WRITE_THROUGH && request->len &&
	    aligned(engine->disk, request) && submit_aio(engine, request))
		return;
	pthread_mutex_lock(&engine->lock);
	list_put(&engine->todo, request);
	pthread_cond_signal(&engine->work);
	pthread_mutex_unlock(&engine->lock);
}

void disk_engine_drain(struct disk_engine *engine)
{
	while (engine->in_flight) {
		struct pollfd bell = { .fd = engine->bell.fd, .events = POLLIN };

		poll(&bell, 1, -1);
		on_bell(engine);
	}
}

void disk_engine_cancel(struct disk_engine *engine)
{
	struct list dropped;
	struct disk_request *request;

	list_init(&dropped);
	pthread_mutex_lock(&engine->lock);
	while ((request = list_get(&engine->todo)))
		list_put(&dropped, request);
	pthread_mutex_unlock(&engine->lock);
	while ((request = list_get(&dropped))) {
		request->error = ECANCELED;
		finish(engine, request);
	}
	disk_engine_drain(engine);
}

/* ---- making ---- */

struct disk_engine *disk_engine_create(const struct disk *disk, struct iothread *io,
				       const struct disk_user *user)
{
	struct disk_engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return NULL;
	engine->disk = disk;
	engine->io = io;
	engine->user = *user;
	pthread_mutex_init(&engine->lock, NULL);
	pthread_cond_init(&engine->work, NULL);
	list_init(&engine->todo);
	list_init(&engine->completed);
	engine->bell = (struct iowatch) { eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), on_bell,
					  engine };
	if (engine->bell.fd >= 0 && !iothread_watch(io, &engine->bell, EPOLLIN))
		return engine;
	disk_engine_destroy(engine);
	return NULL;
}

/* Signals are other threads' business. */
bool disk_engine_start(struct disk_engine *engine)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	while (engine->threads < THREADS) {
		if (pthread_create(&engine->thread[engine->threads], NULL, disk_thread, engine))
			break;
		engine->threads++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return engine->threads > 0;
}

void disk_engine_destroy(struct disk_engine *engine)
{
	if (!engine)
		return;
	pthread_mutex_lock(&engine->lock);
	engine->stop = true;
	pthread_cond_broadcast(&engine->work);
	pthread_mutex_unlock(&engine->lock);
	while (engine->threads)
		pthread_join(engine->thread[--engine->threads], NULL);
	if (engine->bell.fd >= 0) {
		iothread_unwatch(engine->io, &engine->bell);
		close(engine->bell.fd);
	}
	pthread_cond_destroy(&engine->work);
	pthread_mutex_destroy(&engine->lock);
	free(engine);
}
