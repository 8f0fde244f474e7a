// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The block device against a scripted driver, on files of this machine: buffered and
 * direct, whole and short, with requests that are right and that are not.
 */
/* unit-sources: ../runner/virtio/block.c ../runner/virtio/disk.c ../runner/virtio/engine.c */
/* unit-sources: ../runner/virtio/tokens.c ../runner/words.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE -Wl,--wrap=aligned_alloc */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <linux/virtio_blk.h>
#include "tap.h"
#include "virtio_world.h"

extern const struct virtio_type virtio_block;

#define SIZE		(1U << 20)
#define SECTORS		(SIZE / 512)
#define FLUSH		VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH)
#define NO_STATUS	0xee

static char file[64] = "runner_block_test.XXXXXX";
static void *backend;
static struct world *world;
static uint64_t header, data, status;
static const char *mode;

/* A disk of @words behind the file's name; false: it could not be opened. */
static bool open_disk(const char *words)
{
	char text[128];

	snprintf(text, sizeof(text), "%s%s", file, words);
	if (virtio_block.open(text, &backend))
		return false;
	world = world_open(&virtio_block, backend);
	header = world_alloc(world, 16);
	status = world_alloc(world, 1);
	data = (world_alloc(world, SIZE + 4096) + 4095) & ~4095ULL;
	return true;
}

static void close_disk(void)
{
	world_close(world);
	virtio_block.close(backend);
}

static uint8_t *status_byte(void)
{
	return world_at(world, status, 1);
}

static void put_header(uint32_t type, uint64_t sector)
{
	*(struct virtio_blk_outhdr *)world_at(world, header, 16) =
		(struct virtio_blk_outhdr) { .type = type, .sector = sector };
	*status_byte() = NO_STATUS;
}

/* Whether the chain comes back, within ten seconds. */
static bool comes_back(unsigned int queue, uint32_t *len)
{
	for (int i = 0; i < 10; i++) {
		if (driver_used(world, queue, len) >= 0)
			return true;
		world_wait(world);
	}
	return false;
}

/* One request with @len bytes at @at; returns its status. */
static uint8_t request_at(uint32_t type, uint64_t sector, uint64_t at, uint32_t len)
{
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct buffer buffers[] = { { header, 16, false }, { at, len, in }, { status, 1, true } };

	put_header(type, sector);
	driver_add(world, 0, buffers, 3);
	driver_kick(world, 0);
	return comes_back(0, NULL) ? *status_byte() : NO_STATUS;
}

static uint8_t request(uint32_t type, uint64_t sector, uint32_t len)
{
	return request_at(type, sector, data, len);
}

static void fill(uint8_t byte, uint32_t len)
{
	memset(world_at(world, data, len), byte, len);
}

/* Are the @len bytes of the file at @offset all @byte? */
static bool file_has(uint64_t offset, uint32_t len, uint8_t byte)
{
	static uint8_t buf[SIZE];
	int fd = open(file, O_RDONLY);
	bool good = pread(fd, buf, len, offset) == (ssize_t)len;

	for (uint32_t i = 0; good && i < len; i++)
		good = buf[i] == byte;
	close(fd);
	return good;
}

static void reset_file(void)
{
	if (truncate(file, 0) || truncate(file, SIZE))
		abort();
}

/* ---- what it does ---- */

static void test_transfers(void)
{
	const struct buffer framing[] = { { header, 3, false }, { header + 3, 13, false },
					  { data, 4097, true } };
	uint32_t len;

	driver_start(world, FLUSH);
	fill(0xa5, 8192);
	is(request(VIRTIO_BLK_T_OUT, 8, 8192), VIRTIO_BLK_S_OK, "%s: a write", mode);
	ok(file_has(4096, 8192, 0xa5), "%s: is in the file", mode);
	ok(file_has(0, 4096, 0) && file_has(12288, 4096, 0), "%s: and nothing beside it", mode);
	fill(0, 8192);
	is(request(VIRTIO_BLK_T_IN, 16, 4096), VIRTIO_BLK_S_OK, "%s: a read", mode);
	is(*(uint8_t *)world_at(world, data + 4095, 1), 0xa5, "%s: gets it back", mode);
	is(*(uint8_t *)world_at(world, data + 4096, 1), 0, "%s: and no more", mode);
	is(request(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK, "%s: a flush", mode);
	fill(0x5a, 4096);
	is(request(VIRTIO_BLK_T_OUT, SECTORS - 8, 4096), VIRTIO_BLK_S_OK, "%s: the last sectors",
	   mode);
	ok(file_has(SIZE - 4096, 4096, 0x5a), "%s: are written", mode);
	memset(world_at(world, data + 3, 4096), 0x77, 4096);
	is(request_at(VIRTIO_BLK_T_OUT, 0, data + 3, 4096), VIRTIO_BLK_S_OK,
	   "%s: memory need not be aligned", mode);
	ok(file_has(0, 4096, 0x77), "%s: for a write", mode);
	fill(0, 8192);
	is(request_at(VIRTIO_BLK_T_IN, 0, data + 5, 4096), VIRTIO_BLK_S_OK, "%s: nor", mode);
	ok(*(uint8_t *)world_at(world, data + 5, 1) == 0x77 &&
	   *(uint8_t *)world_at(world, data + 4, 1) == 0, "%s: for a read", mode);
	is(request(VIRTIO_BLK_T_OUT, 0, 0), VIRTIO_BLK_S_OK, "%s: a transfer of nothing", mode);

	/* Any framing: the header in pieces, data and status in one buffer. */
	put_header(VIRTIO_BLK_T_IN, 0);
	driver_add(world, 0, framing, 3);
	driver_kick(world, 0);
	ok(comes_back(0, &len) && len == 4097, "%s: any framing will do", mode);
	is(*(uint8_t *)world_at(world, data + 4096, 1), VIRTIO_BLK_S_OK, "%s: with its status",
	   mode);
}

static uint8_t ranges(uint32_t type, unsigned int count, uint64_t sector, uint32_t sectors,
		      uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes *range = world_at(world, data, 4096);

	for (unsigned int i = 0; i < count; i++)
		range[i] = (struct virtio_blk_discard_write_zeroes) { sector + i * sectors,
								      sectors, flags };
	return request(type, 0, count * sizeof(*range));
}

/* Pages that a read writes and nobody marks as written, the status behind the data included. */
static unsigned int missed_by_read(uint64_t sector, uint64_t at, uint32_t len)
{
	const struct buffer buffers[] = { { header, 16, false }, { at, len, true } };

	put_header(VIRTIO_BLK_T_IN, sector);
	memset(world_at(world, at, len), NO_STATUS, len);
	driver_add(world, 0, buffers, 2);
	world_watch(world);
	driver_kick(world, 0);
	return comes_back(0, NULL) ? world_missed(world, NULL) : UINT32_MAX;
}

static void test_wrote(void)
{
	driver_reset(world);
	driver_start(world, FLUSH);
	is(missed_by_read(0, data, 16 * 4096 + 1), 0, "%s: all pages of a read are marked, "
	   "the status' own too", mode);
	is(missed_by_read(SECTORS - 1, data + 100, 2 * 512 + 1), 0,
	   "%s: so are those of a read that fails", mode);
}

static uint32_t block_size(void)
{
	const struct virtio_blk_config *config = world->core->pub.config;

	return le32toh(config->blk_size);
}

static void test_ranges(void)
{
	static uint8_t ones[SIZE];
	int fd = open(file, O_WRONLY);

	memset(ones, 0xff, SIZE);
	if (pwrite(fd, ones, SIZE, 0) != SIZE)
		abort();
	close(fd);
	is(ranges(VIRTIO_BLK_T_WRITE_ZEROES, 2, 8, 8, 0), VIRTIO_BLK_S_OK,
	   "%s: two ranges of zeroes", mode);
	ok(file_has(4096, 8192, 0) && file_has(0, 4096, 0xff) && file_has(12288, 4096, 0xff),
	   "%s: just they are zero", mode);
	is(ranges(VIRTIO_BLK_T_WRITE_ZEROES, 1, 32, 8, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP),
	   VIRTIO_BLK_S_OK, "%s: zeroes that may unmap", mode);
	ok(file_has(16384, 4096, 0), "%s: are zero", mode);
	is(ranges(VIRTIO_BLK_T_DISCARD, 1, 64, 64, 0), VIRTIO_BLK_S_OK, "%s: a discard", mode);
	ok(file_has(32768, 32768, 0), "%s: leaves zeros in a file", mode);
	is(ranges(VIRTIO_BLK_T_DISCARD, 1, 0, 8, 1), VIRTIO_BLK_S_UNSUPP,
	   "%s: unknown flags", mode);
	is(ranges(VIRTIO_BLK_T_DISCARD, 1, 0, 0, 0), VIRTIO_BLK_S_IOERR,
	   "%s: an empty range", mode);
	is(ranges(VIRTIO_BLK_T_DISCARD, 17, 0, 8, 0), VIRTIO_BLK_S_IOERR,
	   "%s: too many ranges", mode);
	is(ranges(VIRTIO_BLK_T_DISCARD, 1, SECTORS - 1, 2, 0), VIRTIO_BLK_S_IOERR,
	   "%s: a range over the end", mode);
	is(ranges(VIRTIO_BLK_T_DISCARD, 1, UINT64_MAX, 2, 0), VIRTIO_BLK_S_IOERR,
	   "%s: a range that wraps", mode);
	is(request(VIRTIO_BLK_T_WRITE_ZEROES, 0, 17), VIRTIO_BLK_S_IOERR, "%s: half a range", mode);
	is(ranges(VIRTIO_BLK_T_WRITE_ZEROES, 1, 33, 1, 0),
	   block_size() > 512 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK,
	   "%s: zeroes that are no whole blocks", mode);
	ok(file_has(0, 4096, 0xff), "%s: and none of these changed anything", mode);
}

static void test_refused(void)
{
	is(request(VIRTIO_BLK_T_IN, SECTORS, 512), VIRTIO_BLK_S_IOERR, "%s: behind the end", mode);
	is(request(VIRTIO_BLK_T_IN, SECTORS - 1, 1024), VIRTIO_BLK_S_IOERR, "%s: over it", mode);
	is(request(VIRTIO_BLK_T_OUT, UINT64_MAX, 512), VIRTIO_BLK_S_IOERR, "%s: far out", mode);
	is(request(VIRTIO_BLK_T_OUT, UINT64_MAX / 512 + 1, 512), VIRTIO_BLK_S_IOERR,
	   "%s: a sector whose bytes wrap", mode);
	is(request(VIRTIO_BLK_T_IN, 0, 513), VIRTIO_BLK_S_IOERR, "%s: half a sector", mode);
	is(request(99, 0, 512), VIRTIO_BLK_S_UNSUPP, "%s: an unknown request", mode);
	is(world_complaints, 0, "%s: these are the guest's errors, not the user's", mode);

	put_header(VIRTIO_BLK_T_IN, 0);
	driver_add(world, 0, (struct buffer[]) { { header, 15, false }, { data, 513, true } }, 2);
	driver_kick(world, 0);
	ok(world->core->broken, "%s: half a header breaks the device", mode);
	driver_reset(world);
	driver_start(world, FLUSH);
	driver_add(world, 0, (struct buffer[]) { { header, 16, false } }, 1);
	driver_kick(world, 0);
	ok(world->core->broken, "%s: so does a request without a status", mode);
	driver_reset(world);
	driver_start(world, FLUSH);
	driver_add(world, 0, (struct buffer[]) { { header, 0, false } }, 1);
	driver_kick(world, 0);
	ok(world->core->broken, "%s: and one of nothing at all", mode);
	driver_reset(world);
	driver_start(world, 0);
	fill(0x11, 512 * 8);
	is(request(VIRTIO_BLK_T_OUT, 0, 512 * 8), VIRTIO_BLK_S_OK,
	   "%s: a driver without flush writes through", mode);
}

/* The largest memory that was taken for requests that are not aligned. */
static size_t largest_bounce;

void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	if (size > largest_bounce)
		largest_bounce = size;
	return __real_aligned_alloc(align, size);
}

/* A guest's buffers may lie on each other: a request can be larger than its memory. */
static void test_large_bounce(void)
{
	struct buffer buffers[50] = { { header, 16, false } };
	const uint32_t piece = 64 * 1024 + 512;
	const unsigned int count = 48;

	truncate(file, 4 * SIZE);
	open_disk(",direct");
	driver_start(world, FLUSH);
	buffers[0].gpa = header;
	for (unsigned int i = 0; i < count; i++)
		buffers[1 + i] = (struct buffer) { data + 1, piece, false };
	buffers[1 + count] = (struct buffer) { status, 1, true };
	for (unsigned int i = 0; i < piece; i++)
		*(uint8_t *)world_at(world, data + 1 + i, 1) = i / 512;
	put_header(VIRTIO_BLK_T_OUT, 8);
	driver_add(world, 0, buffers, count + 2);
	driver_kick(world, 0);
	ok(comes_back(0, NULL) && *status_byte() == VIRTIO_BLK_S_OK,
	   "a request of 3 MiB that is not aligned");
	ok(largest_bounce && largest_bounce <= 1 << 20, "takes 1 MiB of the host at most");
	ok(file_has(4096, 512, 0) && file_has(4096 + piece - 512, 512, 128) &&
	   file_has(4096 + 17 * piece + 512, 512, 1) && file_has(4096 + 48 * piece - 512, 512, 128),
	   "and is where it should be");
	ok(file_has(4096 + 48 * piece, 4096, 0), "with nothing behind it");
	close_disk();
	reset_file();
}

/* ---- its life ---- */

static void test_shapes(void)
{
	struct virtio_blk_config config;

	open_disk(",id=serial-7,queues=4");
	virtio_config_read(world->core, 0, &config, sizeof(config));
	is(config.capacity, SECTORS, "the capacity");
	is(config.num_queues, 4, "the number of queues");
	is(world->core->pub.queues, 4, "is the core's too");
	driver_start(world, FLUSH | VIRTIO_FEATURE(VIRTIO_BLK_F_MQ));
	is(request(VIRTIO_BLK_T_GET_ID, 0, 20), VIRTIO_BLK_S_OK, "the id is told");
	ok(!memcmp(world_at(world, data, 20), "serial-7\0\0\0\0\0\0\0\0\0\0\0", 20), "as given");
	put_header(VIRTIO_BLK_T_IN, 0);
	driver_add(world, 3, (struct buffer[]) { { header, 16, false }, { data, 513, true } }, 2);
	driver_kick(world, 3);
	ok(comes_back(3, NULL), "the last queue works too");
	close_disk();

	open_disk(",ro");
	ok(world->core->offered & VIRTIO_FEATURE(VIRTIO_BLK_F_RO), "a read-only disk says so");
	driver_start(world, FLUSH | VIRTIO_FEATURE(VIRTIO_BLK_F_RO));
	is(request(VIRTIO_BLK_T_OUT, 0, 512), VIRTIO_BLK_S_IOERR, "it is not written");
	is(ranges(VIRTIO_BLK_T_DISCARD, 1, 0, 8, 0), VIRTIO_BLK_S_IOERR, "nor discarded");
	is(request(VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK, "but read");
	close_disk();
}

static void test_resize(void)
{
	struct virtio_blk_config config;

	open_disk("");
	driver_start(world, FLUSH);
	truncate(file, 2 * SIZE);
	virtio_refresh(world->core);
	virtio_config_read(world->core, 0, &config, sizeof(config));
	is(config.capacity, 2 * SECTORS, "a larger file is a larger disk");
	is(world->config_interrupts, 1, "and the driver is told");
	is(request(VIRTIO_BLK_T_IN, SECTORS, 512), VIRTIO_BLK_S_OK, "what is new can be read");
	truncate(file, SIZE / 2);
	is(request(VIRTIO_BLK_T_IN, SECTORS, 512), VIRTIO_BLK_S_IOERR,
	   "a file that was truncated in use gives errors");
	ok(strstr(world_complaint, "shorter"), "which the user is told");
	is(request(VIRTIO_BLK_T_IN, SECTORS, 512), VIRTIO_BLK_S_IOERR, "each time");
	is(world_complaints, 1, "the user once");
	virtio_refresh(world->core);
	world_complaints = 0;
	truncate(file, SIZE / 4);
	is(request(VIRTIO_BLK_T_IN, SECTORS / 2 - 1, 512), VIRTIO_BLK_S_IOERR, "and again");
	is(world_complaints, 1, "once the user said that it has changed");
	world->config_interrupts = 1;
	truncate(file, SIZE + 1);
	virtio_refresh(world->core);
	is(world->config_interrupts, 1, "an odd size is not told to the driver");
	close_disk();
	reset_file();
}

/* In place of the C library's: a host that fails with these, if they are not 0. */
static int write_error, read_error;

ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	errno = write_error;
	return write_error ? -1 : syscall(SYS_pwritev2, fd, iov, count, offset, 0, flags);
}

ssize_t preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
	errno = read_error;
	return read_error ? -1 : syscall(SYS_preadv, fd, iov, count, offset, 0);
}

/* The request that fails says so, the user gets cause and cure, all else goes on. */
static void test_host_errors(void)
{
	open_disk("");
	driver_start(world, FLUSH);
	write_error = ENOSPC;
	is(request(VIRTIO_BLK_T_OUT, 0, 512), VIRTIO_BLK_S_IOERR, "a host that is full");
	ok(strstr(world_complaint, "No space left") && strstr(world_complaint, "make room"),
	   "is told, with the cure");
	is(request(VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK, "what is there can be read");
	write_error = 0;
	is(request(VIRTIO_BLK_T_OUT, 0, 512), VIRTIO_BLK_S_OK, "with room again all is well");
	read_error = EIO;
	is(request(VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_IOERR, "a disk of the host's that fails");
	ok(strstr(world_complaint, "Input/output error") && strstr(world_complaint, "host's log"),
	   "is told, with the place to look");
	read_error = 0;
	is(request(VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK, "what it can read is read");
	is(world_complaints, 2, "a line for each kind");
	close_disk();
	reset_file();
}

/* A guest that has two errors in turn does not fill the user's terminal. */
static void test_two_errors(void)
{
	struct rlimit old, small;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = SIZE / 2;
	open_disk("");
	driver_start(world, FLUSH);
	truncate(file, SIZE / 2);
	setrlimit(RLIMIT_FSIZE, &small);
	for (int i = 0; i < 3; i++) {
		is(request(VIRTIO_BLK_T_IN, SECTORS - 1, 512), VIRTIO_BLK_S_IOERR, "one error");
		is(request(VIRTIO_BLK_T_OUT, SECTORS - 1, 512), VIRTIO_BLK_S_IOERR, "another");
	}
	is(world_complaints, 2, "each is told once");
	virtio_refresh(world->core);
	request(VIRTIO_BLK_T_OUT, SECTORS / 2, 512);
	setrlimit(RLIMIT_FSIZE, &old);
	close_disk();
	reset_file();
}

/* @count writes of a sector each, of @byte, from the first sector on; not waited for. */
static void add_writes(unsigned int queue, unsigned int count, uint8_t byte)
{
	struct buffer buffers[3];

	fill(byte, 512);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t at = world_alloc(world, 16), end = world_alloc(world, 1);

		*(struct virtio_blk_outhdr *)world_at(world, at, 16) =
			(struct virtio_blk_outhdr) { .type = VIRTIO_BLK_T_OUT, .sector = i };
		buffers[0] = (struct buffer) { at, 16, false };
		buffers[1] = (struct buffer) { data, 512, false };
		buffers[2] = (struct buffer) { end, 1, true };
		driver_add(world, queue, buffers, 3);
	}
	driver_kick(world, queue);
}

/* Time in which what is not held back is done. */
static void let_go(void)
{
	for (int i = 0; i < 6; i++) {
		usleep(100000);
		world_settle(world);
	}
}

/* What limits hold back is not let through by what a guest can do. */
static void test_limits_hold(void)
{
	open_disk(",iops=4,queues=2");
	driver_start(world, FLUSH | VIRTIO_FEATURE(VIRTIO_F_RING_RESET));
	add_writes(0, 8, 0x11);
	driver_reset(world);
	ok(file_has(7 * 512, 512, 0), "a reset forgets what limits held back");
	driver_start(world, FLUSH | VIRTIO_FEATURE(VIRTIO_F_RING_RESET));
	add_writes(0, 8, 0x22);
	add_writes(1, 2, 0x33);
	virtio_queue_reset(world->core, virtio_get_queue(world->core, 0));
	ok(file_has(7 * 512, 512, 0), "so does one of a queue");
	ok(comes_back(1, NULL) && comes_back(1, NULL), "and the other's go on");
	ok(file_has(0, 1024, 0x33), "to their end");
	add_writes(1, 21, 0x44);
	virtio_quiesce(world->core);
	ok(file_has(0, 21 * 512, 0x44), "a pause waits for all of them");
	virtio_resume(world->core);
	while (driver_used(world, 1, NULL) >= 0)
		;
	add_writes(1, 1, 0x55);
	let_go();
	ok(file_has(0, 512, 0x44), "and they count afterwards");
	close_disk();
	reset_file();
	open_disk(",bps=512");
	driver_start(world, FLUSH);
	is(ranges(VIRTIO_BLK_T_WRITE_ZEROES, 2, 8, 8, 0), VIRTIO_BLK_S_OK, "zeroes");
	add_writes(0, 1, 0x66);
	let_go();
	ok(file_has(0, 512, 0), "count by what they write");
	close_disk();
	reset_file();
}

/* In place of the C library's: flushes that take until somebody lets them. */
static sem_t flushes;
static bool flushes_wait;

int fdatasync(int fd)
{
	(void)fd;
	if (flushes_wait)
		sem_wait(&flushes);
	return 0;
}

static void *let_flushes(void *count)
{
	usleep(100000);
	for (unsigned int i = 0; i < *(unsigned int *)count; i++)
		sem_post(&flushes);
	return NULL;
}

/* A reset waits for what the threads have begun, and drops what they have not. */
static void test_reset_drops(void)
{
	unsigned int count = 8;
	struct buffer flush[2];
	pthread_t thread;

	sem_init(&flushes, 0, 0);
	flushes_wait = true;
	open_disk("");
	driver_start(world, FLUSH);
	put_header(VIRTIO_BLK_T_FLUSH, 0);
	flush[0] = (struct buffer) { header, 16, false };
	for (unsigned int i = 0; i < count; i++) {
		flush[1] = (struct buffer) { world_alloc(world, 1), 1, true };
		driver_add(world, 0, flush, 2);
	}
	add_writes(0, 8, 0x77);
	pthread_create(&thread, NULL, let_flushes, &count);
	driver_reset(world);
	is(virtio_get_queue(world->core, 0)->in_flight, 0, "a reset leaves no request");
	pthread_join(thread, NULL);
	ok(file_has(0, 8 * 512, 0), "and what was not begun never is");
	flushes_wait = false;
	close_disk();
	sem_destroy(&flushes);
	reset_file();
}

static void test_limits(void)
{
	struct buffer sector[] = { { 0, 16, false }, { 0, 513, true } };

	open_disk(",iops=20");
	sector[0].gpa = header;
	sector[1].gpa = data;
	driver_start(world, FLUSH);
	for (int i = 0; i < 8; i++) {
		put_header(VIRTIO_BLK_T_IN, 0);
		driver_add(world, 0, sector, 2);
	}
	driver_kick(world, 0);
	usleep(20000);
	world_settle(world);
	ok(virtio_get_queue(world->core, 0)->in_flight > 0, "a limited disk holds requests back");
	driver_reset(world);
	is(virtio_get_queue(world->core, 0)->in_flight, 0, "a reset leaves none of them");
	driver_start(world, FLUSH);
	for (int i = 0; i < 6; i++) {
		put_header(VIRTIO_BLK_T_IN, 0);
		driver_add(world, 0, sector, 2);
	}
	driver_kick(world, 0);
	for (int i = 0; i < 6; i++)
		ok(comes_back(0, NULL), "and all come back in their time");
	close_disk();
}

static void test_round_trip(void)
{
	struct state state;

	open_disk("");
	driver_start(world, FLUSH);
	put_header(VIRTIO_BLK_T_IN, 0);
	driver_add(world, 0, (struct buffer[]) { { header, 16, false }, { data, 513, true } }, 2);
	driver_kick(world, 0);
	virtio_quiesce(world->core);
	ok(driver_used(world, 0, NULL) >= 0, "a quiesced disk has finished its requests");
	state_init(&state);
	virtio_save(world->core, &state);
	virtio_load(world->core, &state);
	ok(state_good(&state) && state.at == state.len, "saved and loaded");
	virtio_resume(world->core);
	is(request(VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK, "it goes on");
	state.at = 0;
	truncate(file, 2 * SIZE);
	virtio_load(world->core, &state);
	ok(!state_good(&state), "a disk of another size is refused");
	close_disk();
	reset_file();
	state_free(&state);
}

static void test_open(void)
{
	char text[128];
	void *second;
	int fd;

	world_complaints = 0;
	is(virtio_block.open("/does/not/exist", &second), STATUS_BAD_FILE,
	   "a disk that is missing");
	is(virtio_block.open("/dev/null", &second), STATUS_BAD_FILE, "one that is none");
	is(virtio_block.open("/tmp,ro", &second), STATUS_BAD_FILE, "or a directory");
	truncate(file, 1000);
	is(virtio_block.open(file, &second), STATUS_BAD_FILE, "a disk with half a sector");
	truncate(file, 0);
	is(virtio_block.open(file, &second), STATUS_BAD_FILE, "or with none");
	reset_file();
	is(world_complaints, 5, "each is told in a line");
	open_disk("");
	is(virtio_block.open(file, &second), STATUS_BUSY, "a disk in use is locked");
	snprintf(text, sizeof(text), "%s,ro", file);
	is(virtio_block.open(text, &second), STATUS_BUSY, "for readers too");
	close_disk();
	open_disk(",ro");
	is(virtio_block.open(text, &second), STATUS_OK, "readers share it");
	virtio_block.close(second);
	close_disk();
	fd = open(file, O_RDONLY);
	snprintf(text, sizeof(text), "fd=%d", fd);
	is(virtio_block.open(text, &second), STATUS_BAD_FILE, "a descriptor that only reads");
	ok(strstr(world_complaint, "add ',ro'"), "is told the cure");
	fd = open(file, O_RDONLY);
	snprintf(text, sizeof(text), "fd=%d,ro", fd);
	is(virtio_block.open(text, &second), STATUS_OK, "can be used so");
	virtio_block.close(second);
}

/* What a process inherits, its siblings have too: a lock of that would be theirs. */
static void test_inherited(void)
{
	void *first, *second;
	char text[128];
	int fd = open(file, O_RDWR), other = dup(fd);

	snprintf(text, sizeof(text), "fd=%d", other);
	is(virtio_block.open(text, &first), STATUS_OK, "a descriptor is a disk");
	is(fcntl(other, F_GETFD), -1, "and is not kept");
	is(virtio_block.open(file, &second), STATUS_BUSY, "its file is locked");
	snprintf(text, sizeof(text), "fd=%d", dup(fd));
	is(virtio_block.open(text, &second), STATUS_BUSY, "for the same description too");
	virtio_block.close(first);
	is(virtio_block.open(file, &second), STATUS_OK, "until the disk is closed");
	virtio_block.close(second);
	snprintf(text, sizeof(text), "fd=%d,direct", dup(fd));
	if (!virtio_block.open(text, &second))
		virtio_block.close(second);
	ok(!(fcntl(fd, F_GETFL) & O_DIRECT), "the caller's description stays as it is");
	close(fd);
}

int main(void)
{
	int fd = mkstemp(file);

	if (fd < 0)
		return 1;
	close(fd);
	reset_file();
	mode = "buffered";
	open_disk("");
	test_transfers();
	test_ranges();
	test_refused();
	test_wrote();
	close_disk();
	reset_file();
	mode = "direct";
	if (open_disk(",direct")) {
		test_transfers();
		test_ranges();
		test_refused();
		test_wrote();
		close_disk();
		reset_file();
		test_large_bounce();
	} else {
		tap_skip("direct I/O", "no direct I/O on this file system; build on another");
	}
	test_shapes();
	test_resize();
	test_host_errors();
	test_two_errors();
	test_reset_drops();
	test_limits();
	test_limits_hold();
	test_round_trip();
	test_open();
	test_inherited();
	unlink(file);
	return tap_end();
}
