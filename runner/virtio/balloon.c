// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The memory balloon. Facts: VIRTIO Specification 1.2, "Traditional Memory Balloon Device".
 *
 * Pages that the driver puts into the balloon, or reports as free, are given back to the
 * host at once; the next touch of one brings a page of zeros. So taking pages out of the
 * balloon is nothing that the device would have to do, and a driver that touches a page
 * inside does no harm. How much it should hold is said by --balloon and, while the guest
 * runs, by a line on a socket (lines.h):
 *
 *   target SIZE	leave the guest so much memory; answered "ok"
 *   show		sizes in bytes: target, memory left, and what the driver says of it
 *
 * Invariant: no chain is in flight outside of a call. The buffer with statistics stays in
 * its queue until new ones are wanted: giving it back is the question.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <linux/virtio_balloon.h>
#include "../ram.h"
#include "../words.h"
#include "lines.h"
#include "virtio.h"

#define INFLATE		0
#define DEFLATE		1
/* Then, as far as they are negotiated: statistics, reports of free pages. */
#define QUEUES		4

#define PAGE		(1ULL << VIRTIO_BALLOON_PFN_SHIFT)
/* Pages at once: other devices have their turn in between. */
#define TURN		4096
/* A driver may give more than we know, in any order. */
#define STATS_MAX	64
/* As long as a socket's name can be, and one more. */
#define PATH_SIZE	109

/* What outlives restarts of the guest. */
struct wishes {
	uint64_t target;		/* bytes to leave; more than there are: all */
	char path[PATH_SIZE];		/* a socket's name, empty: none */
	struct lines lines;
};

struct balloon {
	struct virtio *virtio;
	struct wishes *wishes;
	uint64_t memory;		/* bytes of the guest */
	size_t taken;			/* bytes of the next chain of pages */
	bool asked;			/* a peer waits for statistics */
	uint64_t stat[VIRTIO_BALLOON_S_NR];
	uint32_t stats;			/* bits of those that are known */
};

/* ---- memory ---- */

/* Wishes: memory that stays is no harm to the guest. */
static void give_back(uint8_t *at, uint64_t len)
{
	if (len)
		madvise(at, len, MADV_DONTNEED);
}

struct run {
	uint8_t *at;
	uint64_t len;
};

/* One more page; those side by side go together. false: it is not RAM. */
static bool add_page(struct balloon *balloon, struct run *run, uint32_t pfn)
{
	uint8_t *at = ram_dma_at(balloon->virtio->ram, (uint64_t)pfn << VIRTIO_BALLOON_PFN_SHIFT,
				 PAGE);

	if (!at) {
		virtio_broken(balloon->virtio, "page %#x is not RAM", pfn);
		return false;
	}
	if (run->len && at == run->at + run->len) {
		run->len += PAGE;
		return true;
	}
	if (run->len && at + PAGE == run->at) {
		run->at = at;
		run->len += PAGE;
		return true;
	}
	give_back(run->at, run->len);
	*run = (struct run) { at, PAGE };
	return true;
}

/* A turn's worth of the chain's pages, from taken on; false: the device is broken. */
static bool take_pages(struct balloon *balloon, const struct virtq_chain *chain)
{
	uint32_t pfns[TURN];
	size_t len = virtq_read(chain, balloon->taken, pfns, sizeof(pfns));
	struct run run = { NULL, 0 };
	bool good = true;

	for (size_t i = 0; good && i < len / sizeof(pfns[0]); i++)
		good = add_page(balloon, &run, le32toh(pfns[i]));
	give_back(run.at, run.len);
	balloon->taken += len ? len : chain->out_size;
	return good;
}

static void inflate(struct balloon *balloon)
{
	struct virtq *vq = &balloon->virtio->queue[INFLATE];
	struct virtq_chain chain;

	if (!virtq_pop(vq, &chain))
		return;
	if (!take_pages(balloon, &chain))
		return;
	if (balloon->taken < chain.out_size) {
		virtq_unpop(vq, &chain);
	} else {
		balloon->taken = 0;
		virtq_push(vq, &chain, 0);
	}
	virtq_again(vq);
}

static void deflate(struct balloon *balloon)
{
	struct virtq *vq = &balloon->virtio->queue[DEFLATE];
	struct virtq_chain chain;

	while (virtq_pop(vq, &chain))
		virtq_push(vq, &chain, 0);
}

/* Free pages are buffers to write to; what is in them is lost. */
static void take_reports(struct virtq *vq)
{
	struct virtq_chain chain;

	while (virtq_pop(vq, &chain)) {
		for (unsigned int i = 0; i < chain.ins; i++) {
			const struct iovec *iov = &chain.iov[chain.outs + i];
			uintptr_t start = ((uintptr_t)iov->iov_base + PAGE - 1) & ~(PAGE - 1);
			uintptr_t end = ((uintptr_t)iov->iov_base + iov->iov_len) & ~(PAGE - 1);

			if (start < end)
				give_back((uint8_t *)start, end - start);
		}
		virtq_push(vq, &chain, 0);
	}
}

/* ---- statistics ---- */

static const char *const stat_names[VIRTIO_BALLOON_S_NR] = VIRTIO_BALLOON_S_NAMES;

static uint64_t left(const struct balloon *balloon)
{
	const struct virtio_balloon_config *config = balloon->virtio->config;
	uint64_t held = (uint64_t)le32toh(config->actual) << VIRTIO_BALLOON_PFN_SHIFT;

	return held < balloon->memory ? balloon->memory - held : 0;
}

static void answer(struct balloon *balloon)
{
	uint64_t target = balloon->wishes->target;
	char text[640];
	int len;

	if (target > balloon->memory)
		target = balloon->memory;
	len = snprintf(text, sizeof(text), "target=%llu memory=%llu",
		       (unsigned long long)target, (unsigned long long)left(balloon));
	for (unsigned int i = 0; i < VIRTIO_BALLOON_S_NR; i++)
		if (balloon->stats & 1U << i)
			len += snprintf(text + len, sizeof(text) - len, " %s=%llu", stat_names[i],
					(unsigned long long)balloon->stat[i]);
	snprintf(text + len, sizeof(text) - len, "\n");
	balloon->asked = false;
	lines_reply(&balloon->wishes->lines, text);
}

/* The last of a tag counts; tags that are not known are passed over. */
static void take_stats(struct balloon *balloon, struct virtq *vq)
{
	struct virtio_balloon_stat stat[STATS_MAX];
	struct virtq_chain chain;
	size_t len;

	if (!virtq_pop(vq, &chain))
		return;
	len = virtq_read(&chain, 0, stat, sizeof(stat));
	virtq_unpop(vq, &chain);
	balloon->stats = 0;
	for (size_t i = 0; i < len / sizeof(stat[0]); i++) {
		uint16_t tag = le16toh(stat[i].tag);

		if (tag >= VIRTIO_BALLOON_S_NR)
			continue;
		balloon->stat[tag] = le64toh(stat[i].val);
		balloon->stats |= 1U << tag;
	}
	if (balloon->asked)
		answer(balloon);
}

/* The queue of statistics; NULL: there is none. */
static struct virtq *stats_queue(const struct balloon *balloon)
{
	return virtio_has(balloon->virtio, VIRTIO_BALLOON_F_STATS_VQ) ?
		       &balloon->virtio->queue[DEFLATE + 1] : NULL;
}

/* Ask the driver for new ones; false: it has none to give. */
static bool ask(struct balloon *balloon)
{
	struct virtq *vq = stats_queue(balloon);
	struct virtq_chain chain;

	if (!vq || !virtq_pop(vq, &chain))
		return false;
	virtq_push(vq, &chain, 0);
	balloon->asked = true;
	virtq_flush(vq);
	/* So that the driver's notification is not held back. */
	virtq_again(vq);
	return true;
}

static void balloon_notify(void *device, unsigned int queue)
{
	struct balloon *balloon = device;
	struct virtq *vq = &balloon->virtio->queue[queue];

	if (queue == INFLATE)
		inflate(balloon);
	else if (queue == DEFLATE)
		deflate(balloon);
	else if (vq == stats_queue(balloon))
		take_stats(balloon, vq);
	else if (virtio_has(balloon->virtio, VIRTIO_BALLOON_F_REPORTING))
		take_reports(vq);
}

/* ---- the target ---- */

static void set_target(struct balloon *balloon)
{
	struct virtio_balloon_config *config = balloon->virtio->config;
	uint64_t target = balloon->wishes->target;
	uint64_t pages = target < balloon->memory ? (balloon->memory - target) / PAGE : 0;

	config->num_pages = htole32(pages < UINT32_MAX ? pages : UINT32_MAX);
}

static void on_command(void *opaque, const char *line)
{
	struct balloon *balloon = opaque;
	struct lines *lines = &balloon->wishes->lines;
	uint64_t size;

	if (!strncmp(line, "target ", 7) && words_size(line + 7, &size)) {
		balloon->wishes->target = size;
		set_target(balloon);
		virtio_config_changed(balloon->virtio);
		lines_reply(lines, "ok\n");
	} else if (strcmp(line, "show")) {
		lines_reply(lines, "error: not a command; write 'target SIZE' or 'show'\n");
	} else if (!ask(balloon)) {
		answer(balloon);
	}
}

static void balloon_config_write(void *device, size_t offset, const void *data, size_t len)
{
	struct balloon *balloon = device;
	const size_t at = offsetof(struct virtio_balloon_config, actual);

	/* The one field that the driver may write. */
	if (offset >= at)
		memcpy((uint8_t *)balloon->virtio->config + offset, data, len);
}

/* ---- life ---- */

static void balloon_reset(void *device)
{
	struct balloon *balloon = device;
	struct virtio_balloon_config *config = balloon->virtio->config;

	config->actual = 0;
	balloon->taken = 0;
	balloon->stats = 0;
	if (balloon->asked)
		answer(balloon);
}

static void balloon_queue_reset(void *device, unsigned int queue)
{
	struct balloon *balloon = device;

	if (queue == INFLATE)
		balloon->taken = 0;
	if (balloon->asked && &balloon->virtio->queue[queue] == stats_queue(balloon))
		answer(balloon);
}

static void balloon_destroy(void *device)
{
	struct balloon *balloon = device;

	lines_detach(&balloon->wishes->lines);
	free(balloon);
}

static void *balloon_create(struct virtio *virtio, void *backend)
{
	struct balloon *balloon = calloc(1, sizeof(*balloon));

	if (!balloon)
		return NULL;
	balloon->virtio = virtio;
	balloon->wishes = backend;
	balloon->memory = virtio->ram->part[RAM_LOW].size + virtio->ram->part[RAM_ABOVE].size;
	set_target(balloon);
	if (lines_attach(&balloon->wishes->lines, virtio->io, on_command, balloon))
		return balloon;
	free(balloon);
	return NULL;
}

static const struct word_row balloon_words[] = {
	{ "socket", WORD_TEXT, offsetof(struct wishes, path), 1, PATH_SIZE - 1 },
};

static const struct word_table balloon_table = {
	"balloon", balloon_words, sizeof(balloon_words) / sizeof(balloon_words[0]),
};

static enum status parse(const char *text, struct wishes *wishes)
{
	const char *size = NULL;
	enum status status = words_parse(&balloon_table, text, &size, wishes);

	if (!status && !words_size(size, &wishes->target)) {
		complain("--balloon: '%s': not a size; write it with a unit, such as 128M", size);
		status = STATUS_USAGE;
	}
	free((char *)size);
	return status;
}

static enum status balloon_open(const char *text, void **backend)
{
	struct wishes *wishes = *backend ? NULL : calloc(1, sizeof(*wishes));
	enum status status;

	if (*backend) {
		complain("--balloon is given twice; give it once");
		return STATUS_USAGE;
	}
	if (!wishes) {
		complain("no memory for a balloon; free some");
		return STATUS_HOST;
	}
	status = parse(text, wishes);
	if (!status)
		status = lines_open(&wishes->lines, "balloon", wishes->path);
	if (status)
		free(wishes);
	else
		*backend = wishes;
	return status;
}

static void balloon_close(void *backend)
{
	struct wishes *wishes = backend;

	lines_close(&wishes->lines);
	free(wishes);
}

/* The target is the host's, and stays with the process. */
static void balloon_save(void *device, struct state *state)
{
	struct balloon *balloon = device;

	state_put(state, balloon->taken);
}

static void balloon_load(void *device, struct state *state, uint32_t version)
{
	struct balloon *balloon = device;

	(void)version;
	balloon->taken = state_get(state);
	set_target(balloon);
}

const struct virtio_type virtio_balloon = {
	.name = "balloon",
	.id = VIRTIO_ID_BALLOON,
	.class = 0x050000,	/* memory controller: RAM */
	.features = VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ) |
		    VIRTIO_FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) |
		    VIRTIO_FEATURE(VIRTIO_BALLOON_F_REPORTING),
	.queues = QUEUES,
	.queue_size = 128,
	.config_size = offsetof(struct virtio_balloon_config, free_page_hint_cmd_id),
	.shared = true,
	.open = balloon_open,
	.close = balloon_close,
	.create = balloon_create,
	.destroy = balloon_destroy,
	.notify = balloon_notify,
	.config_write = balloon_config_write,
	.reset = balloon_reset,
	.queue_reset = balloon_queue_reset,
	.version = 1,
	.save = balloon_save,
	.load = balloon_load,
};
