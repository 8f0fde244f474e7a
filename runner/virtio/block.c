// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The block device. Facts: VIRTIO Specification 1.2, "Block Device".
 *
 * A request is parsed from its chain, checked against the disk's size, and handed to the
 * engine of disk.h; its status is the last byte that the driver gave to write to. Limits
 * hold requests back in order until a timer says that there are tokens.
 *
 * Invariant: a request is in the engine, or waits for tokens, or is free; all that are
 * not free are chains in flight.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <linux/virtio_blk.h>
#include "disk.h"
#include "tokens.h"
#include "virtio.h"

/* Largest ranges: what takes long because zeros must be written stays below a moment. */
#define DISCARD_SECTORS_MAX	(1U << 22)
#define ZERO_SECTORS_MAX	(1U << 15)

/* One more than Linux's errnos; what is larger counts as the last. */
#define ERRORS			134

struct request {
	struct virtq *vq;
	struct virtq_chain chain;
	uint8_t *status;		/* the chain's last byte */
	size_t written;			/* bytes that are given back, without the status */
	struct disk_request io;
	struct request *next;		/* free, or waiting */
};

struct block {
	struct virtio *virtio;
	const struct disk *disk;
	struct disk_engine *engine;
	uint64_t size;			/* bytes, as the driver knows it */
	struct tokens *tokens;		/* NULL: no limits */
	struct request *waiting, **waiting_end;
	struct request *free;
	bool complained[ERRORS];	/* the errnos that the user was told of */
};

/* ---- the end of a request ---- */

static void put_request(struct block *block, struct request *request)
{
	request->next = block->free;
	block->free = request;
}

static void complete(struct block *block, struct request *request, uint8_t status)
{
	*request->status = status;
	/* The chain may no longer have it: a read's buffers are cut in place. */
	virtio_wrote(block->virtio, request->status, sizeof(*request->status));
	virtq_push(request->vq, &request->chain, request->written + 1);
	put_request(block, request);
}

static const char *cure(int error)
{
	switch (error) {
	case ENOSPC:
	case EDQUOT:
		return "make room for it";
	case ENXIO:
		return "the file became shorter: give it back its size";
	default:
		return "look at the host's log";
	}
}

/* Each error once: a guest can have any of them as often as it likes. */
static void report(struct block *block, int error)
{
	unsigned int at = error < ERRORS ? error : ERRORS - 1;

	if (block->complained[at])
		return;
	block->complained[at] = true;
	complain("disk %s: a request of the guest failed: %s; %s", block->disk->name,
		 strerror(error), cure(error));
}

static void on_done(void *opaque, struct disk_request *io)
{
	struct block *block = opaque;
	struct request *request = (struct request *)((char *)io - offsetof(struct request, io));
	uint8_t status = VIRTIO_BLK_S_OK;

	if (io->error == EOPNOTSUPP) {
		status = VIRTIO_BLK_S_UNSUPP;
	} else if (io->error) {
		status = VIRTIO_BLK_S_IOERR;
		if (io->error != ECANCELED)
			report(block, io->error);
	}
	if (status != VIRTIO_BLK_S_OK)
		request->written = 0;
	complete(block, request, status);
}

static void on_batch_end(void *opaque)
{
	struct block *block = opaque;

	for (unsigned int i = 0; i < block->virtio->queues; i++)
		virtq_flush(&block->virtio->queue[i]);
}

/* ---- limits ---- */

static void submit(struct block *block, struct request *request)
{
	disk_engine_submit(block->engine, &request->io);
}

/* What it may write or read. A discard writes nothing. */
static uint64_t cost(const struct disk_request *io)
{
	uint64_t bytes = io->len;

	for (unsigned int i = 0; io->op == DISK_ZERO && i < io->ranges; i++)
		bytes += io->range[i].len;
	return bytes;
}

static void submit_first(struct block *block)
{
	struct request *request = block->waiting;

	block->waiting = request->next;
	if (!block->waiting)
		block->waiting_end = &block->waiting;
	submit(block, request);
}

/* As many of those that wait as there are tokens for. */
static void submit_waiting(struct block *block)
{
	while (block->waiting && tokens_take(block->tokens, cost(&block->waiting->io)))
		submit_first(block);
}

/* All that wait, now; the limits are kept by what comes later. */
static void submit_all(struct block *block)
{
	while (block->waiting) {
		tokens_charge(block->tokens, cost(&block->waiting->io));
		submit_first(block);
	}
}

/* Forget those of @vq that wait; NULL: of all queues. */
static void drop_waiting(struct block *block, const struct virtq *vq)
{
	struct request **link = &block->waiting, *request;

	while ((request = *link)) {
		if (vq && request->vq != vq) {
			link = &request->next;
			continue;
		}
		*link = request->next;
		put_request(block, request);
	}
	block->waiting_end = link;
}

static void on_tokens(void *opaque)
{
	submit_waiting(opaque);
}

static void enqueue(struct block *block, struct request *request)
{
	if (!block->tokens) {
		submit(block, request);
		return;
	}
	request->next = NULL;
	*block->waiting_end = request;
	block->waiting_end = &request->next;
	if (block->waiting == request)
		submit_waiting(block);
}

/* ---- parsing ---- */

/* Whole blocks of the host's disk? Otherwise direct I/O and block devices have no way. */
static bool whole_blocks(const struct block *block, uint64_t sector, uint64_t len)
{
	return (sector * DISK_SECTOR | len) % block->disk->align == 0;
}

/* Are @len bytes from @sector on all on the disk? */
static bool on_disk(const struct block *block, uint64_t sector, uint64_t len)
{
	uint64_t sectors = block->size / DISK_SECTOR;

	return sector <= sectors && len <= (sectors - sector) * DISK_SECTOR;
}

static uint8_t parse_transfer(struct block *block, struct request *request, uint64_t sector,
			      bool write)
{
	struct virtq_chain *chain = &request->chain;
	struct disk_request *io = &request->io;
	size_t head = write ? sizeof(struct virtio_blk_outhdr) : 0;

	io->op = !write ? DISK_READ : virtio_has(block->virtio, VIRTIO_BLK_F_FLUSH) ?
		 DISK_WRITE : DISK_WRITE_THROUGH;
	io->len = write ? chain->out_size - head : chain->in_size - 1;
	if (io->len % DISK_SECTOR || !on_disk(block, sector, io->len) ||
	    (write && block->disk->read_only))
		return VIRTIO_BLK_S_IOERR;
	io->offset = sector * DISK_SECTOR;
	/* In place: a slice is never behind what it is cut from. */
	io->iov = write ? chain->iov : chain->iov + chain->outs;
	io->iovs = virtq_slice(io->iov, write ? chain->outs : chain->ins, head, io->len, io->iov);
	request->written = write ? 0 : io->len;
	return VIRTIO_BLK_S_OK;
}

static uint8_t parse_range(const struct block *block, bool zero,
			   const struct virtio_blk_discard_write_zeroes *from,
			   struct disk_range *range)
{
	uint32_t sectors = le32toh(from->num_sectors), flags = le32toh(from->flags);
	uint64_t sector = le64toh(from->sector), len = (uint64_t)sectors * DISK_SECTOR;

	if (flags & ~(zero ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0))
		return VIRTIO_BLK_S_UNSUPP;
	if (!sectors || sectors > (zero ? ZERO_SECTORS_MAX : DISCARD_SECTORS_MAX) ||
	    !on_disk(block, sector, len) || !whole_blocks(block, sector, len))
		return VIRTIO_BLK_S_IOERR;
	*range = (struct disk_range) { sector * DISK_SECTOR, len, flags };
	return VIRTIO_BLK_S_OK;
}

static uint8_t parse_ranges(struct block *block, struct request *request, bool zero)
{
	struct virtio_blk_discard_write_zeroes from[DISK_RANGES_MAX];
	size_t len = request->chain.out_size - sizeof(struct virtio_blk_outhdr);
	struct disk_request *io = &request->io;
	uint8_t status = VIRTIO_BLK_S_OK;

	io->op = zero ? DISK_ZERO : DISK_DISCARD;
	io->ranges = len / sizeof(from[0]);
	if (block->disk->read_only || !io->ranges || len % sizeof(from[0]) ||
	    io->ranges > DISK_RANGES_MAX)
		return VIRTIO_BLK_S_IOERR;
	virtq_read(&request->chain, sizeof(struct virtio_blk_outhdr), from, len);
	for (unsigned int i = 0; !status && i < io->ranges; i++)
		status = parse_range(block, zero, &from[i], &io->range[i]);
	return status;
}

static void get_id(struct block *block, struct request *request)
{
	size_t room = request->chain.in_size - 1;

	request->written = virtq_write(&request->chain, 0, block->disk->id,
				       room < DISK_ID_SIZE ? room : DISK_ID_SIZE);
	complete(block, request, VIRTIO_BLK_S_OK);
}

/* @type has been read: to the engine, or back with its status. */
static void start(struct block *block, struct request *request, uint32_t type, uint64_t sector)
{
	uint8_t status = VIRTIO_BLK_S_UNSUPP;

	switch (type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		status = parse_transfer(block, request, sector, type == VIRTIO_BLK_T_OUT);
		break;
	case VIRTIO_BLK_T_FLUSH:
		request->io.op = DISK_FLUSH;
		status = VIRTIO_BLK_S_OK;
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		status = parse_ranges(block, request, type == VIRTIO_BLK_T_WRITE_ZEROES);
		break;
	case VIRTIO_BLK_T_GET_ID:
		get_id(block, request);
		return;
	}
	if (status == VIRTIO_BLK_S_OK)
		enqueue(block, request);
	else
		complete(block, request, status);
}

/* The request's header and where its status goes; false: there is no room for them. */
static bool open_request(struct block *block, struct request *request,
			 struct virtio_blk_outhdr *header)
{
	const struct virtq_chain *chain = &request->chain;
	const struct iovec *last;

	if (virtq_read(chain, 0, header, sizeof(*header)) != sizeof(*header) || !chain->in_size) {
		virtio_broken(block->virtio, "a request without a header or a status");
		return false;
	}
	last = &chain->iov[chain->outs + chain->ins - 1];
	request->status = (uint8_t *)last->iov_base + last->iov_len - 1;
	request->written = 0;
	request->io.iovs = 0;
	request->io.len = 0;
	request->io.ranges = 0;
	return true;
}

static struct request *get_request(struct block *block)
{
	struct request *request = block->free;

	if (request)
		block->free = request->next;
	else
		request = calloc(1, sizeof(*request));
	return request;
}

static void block_notify(void *device, unsigned int queue)
{
	struct block *block = device;
	struct virtq *vq = &block->virtio->queue[queue];
	struct virtio_blk_outhdr header;
	struct request *request;

	while ((request = get_request(block))) {
		request->vq = vq;
		if (!virtq_pop(vq, &request->chain) || !open_request(block, request, &header)) {
			put_request(block, request);
			return;
		}
		start(block, request, le32toh(header.type), le64toh(header.sector));
	}
	virtio_broken(block->virtio, "the host has no memory for a request");
}

/* ---- configuration ---- */

static void set_capacity(struct block *block)
{
	struct virtio_blk_config *config = block->virtio->config;

	config->capacity = htole64(block->size / DISK_SECTOR);
}

static void fill_config(struct block *block)
{
	struct virtio_blk_config *config = block->virtio->config;
	const struct disk *disk = block->disk;

	set_capacity(block);
	config->seg_max = htole32(VIRTQ_SIZE_MAX - 2);
	config->blk_size = htole32(disk->align);
	config->min_io_size = htole16(1);
	config->num_queues = htole16(disk->queues);
	config->max_discard_sectors = htole32(DISCARD_SECTORS_MAX);
	config->max_discard_seg = htole32(DISK_RANGES_MAX);
	config->discard_sector_alignment = htole32(disk->align / DISK_SECTOR);
	config->max_write_zeroes_sectors = htole32(ZERO_SECTORS_MAX);
	config->max_write_zeroes_seg = htole32(DISK_RANGES_MAX);
	config->write_zeroes_may_unmap = 1;
}

/* A size that is no longer one that the driver could use is not told. */
static void block_refresh(void *device)
{
	struct block *block = device;
	uint64_t size = disk_size(block->disk);

	memset(block->complained, 0, sizeof(block->complained));
	if (size == block->size)
		return;
	if (!size || size % block->disk->align) {
		complain("disk %s: its new size, %llu bytes, is no multiple of %u; choose one",
			 block->disk->name, (unsigned long long)size, block->disk->align);
		return;
	}
	block->size = size;
	set_capacity(block);
	virtio_config_changed(block->virtio);
}

/* ---- life ---- */

static bool block_activate(void *device)
{
	struct block *block = device;

	return disk_engine_start(block->engine);
}

static void block_resume(void *device)
{
	struct block *block = device;

	if (!disk_engine_start(block->engine))
		virtio_broken(block->virtio, "the host has no thread for it");
}

static void block_quiesce(void *device)
{
	struct block *block = device;

	submit_all(block);
	disk_engine_drain(block->engine);
}

static void block_reset(void *device)
{
	struct block *block = device;

	drop_waiting(block, NULL);
	disk_engine_cancel(block->engine);
}

static void block_queue_reset(void *device, unsigned int queue)
{
	struct block *block = device;

	drop_waiting(block, &block->virtio->queue[queue]);
	disk_engine_drain(block->engine);
}

static void block_destroy(void *device)
{
	struct block *block = device;

	if (block->engine)
		block_reset(block);
	disk_engine_destroy(block->engine);
	tokens_destroy(block->tokens);
	while (block->free) {
		struct request *request = block->free;

		block->free = request->next;
		free(request);
	}
	free(block);
}

static void *block_create(struct virtio *virtio, void *backend)
{
	struct disk *disk = backend;
	struct block *block = calloc(1, sizeof(*block));
	const struct disk_user user = { on_done, on_batch_end, block };
	bool limited = disk->iops || disk->bps;

	if (!block)
		return NULL;
	block->virtio = virtio;
	block->disk = disk;
	block->size = disk_size(disk);
	block->waiting_end = &block->waiting;
	block->engine = disk_engine_create(disk, virtio->io, &user);
	if (limited)
		block->tokens = tokens_create(virtio->io, disk->iops, disk->bps, on_tokens, block);
	if (!block->engine || (limited && !block->tokens)) {
		block_destroy(block);
		return NULL;
	}
	virtio->queues = disk->queues;
	if (disk->queues == 1)
		virtio->features &= ~VIRTIO_FEATURE(VIRTIO_BLK_F_MQ);
	if (disk->read_only)
		virtio->features &= ~(VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD) |
				      VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES));
	else
		virtio->features &= ~VIRTIO_FEATURE(VIRTIO_BLK_F_RO);
	fill_config(block);
	return block;
}

static enum status block_open(const char *text, void **backend)
{
	struct disk *disk = NULL;
	enum status status = disk_open(text, &disk);

	*backend = disk;
	return status;
}

static void block_close(void *backend)
{
	disk_close(backend);
}

static bool block_writes(const void *backend)
{
	const struct disk *disk = backend;

	return !disk->read_only;
}

/* The size is saved to be compared: a disk that changed under a saved guest is told of. */
static void block_save(void *device, struct state *state)
{
	struct block *block = device;

	state_put(state, block->size);
}

static void block_load(void *device, struct state *state, uint32_t version)
{
	struct block *block = device;

	(void)version;
	block->size = state_get(state);
	if (block->size != disk_size(block->disk)) {
		complain("disk %s: has another size than when the guest was saved; give that disk",
			 block->disk->name);
		state->bad = true;
	}
}

const struct virtio_type virtio_block = {
	.name = "disk",
	.id = VIRTIO_ID_BLOCK,
	.class = 0x018000,	/* mass storage */
	.features = VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_FEATURE(VIRTIO_BLK_F_RO) |
		    VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE) | VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH) |
		    VIRTIO_FEATURE(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_FEATURE(VIRTIO_BLK_F_MQ) |
		    VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD) |
		    VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES),
	.queues = DISK_QUEUES_MAX,
	.queue_size = VIRTQ_SIZE_MAX,
	.config_size = sizeof(struct virtio_blk_config),
	.open = block_open,
	.close = block_close,
	.writes = block_writes,
	.create = block_create,
	.destroy = block_destroy,
	.activate = block_activate,
	.notify = block_notify,
	.reset = block_reset,
	.queue_reset = block_queue_reset,
	.quiesce = block_quiesce,
	.resume = block_resume,
	.refresh = block_refresh,
	.version = 1,
	.save = block_save,
	.load = block_load,
};
