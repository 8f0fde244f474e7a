// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * In a guest: I/O on a block device.
 *
 *   blockio verify DEVICE BLOCKS DEPTH    writes all of the first BLOCKS blocks of 4 KiB in a
 *                                         random order, DEPTH at a time and past the cache,
 *                                         each with its own contents, and reads them back
 *   blockio zero DEVICE OFFSET LENGTH     asks the disk for zeros
 *   blockio flush DEVICE                  writes records for ever; says "flushed N" when the
 *                                         disk has said that record N is safe
 *   blockio check FILE N                  (in the host) are records 1 to N in the file?
 *
 * Ends with 0 if all was as it should be. Linked statically, with no library but libc.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>

#define BLOCK		4096
#define WORDS		(BLOCK / sizeof(uint64_t))
#define DEPTH_MAX	64
/* Records of flush: the file has room for so many, then they begin again. */
#define RECORDS		4096

static uint64_t buffer[DEPTH_MAX][WORDS] __attribute__((aligned(BLOCK)));
static struct iocb iocbs[DEPTH_MAX];

static int die(const char *what)
{
	fprintf(stderr, "blockio: %s: %s\n", what, strerror(errno));
	return 1;
}

static uint64_t word(uint64_t block, unsigned int i)
{
	uint64_t x = block * WORDS + i + 1;

	x ^= x << 13;
	x ^= x >> 7;
	return x * 0x9e3779b97f4a7c15;
}

/* A permutation of the blocks: @count must be a power of two. */
static uint64_t shuffled(uint64_t i, uint64_t count)
{
	return (i * 1103515245 + 12345) & (count - 1);
}

static int submit(aio_context_t aio, int fd, int op, unsigned int slot, uint64_t block)
{
	struct iocb *iocb = &iocbs[slot];

	*iocb = (struct iocb) { .aio_data = slot, .aio_lio_opcode = op, .aio_fildes = fd,
				.aio_buf = (uintptr_t)buffer[slot], .aio_nbytes = BLOCK,
				.aio_offset = block * BLOCK, .aio_key = 0 };
	for (unsigned int i = 0; op == IOCB_CMD_PWRITE && i < WORDS; i++)
		buffer[slot][i] = word(block, i);
	return syscall(SYS_io_submit, aio, 1, &iocb) == 1 ? 0 : die("io_submit");
}

static int finished(const struct io_event *event, int op)
{
	const struct iocb *iocb = &iocbs[event->data];
	uint64_t block = iocb->aio_offset / BLOCK;

	if (event->res != BLOCK) {
		errno = event->res < 0 ? -event->res : EIO;
		return die("a request");
	}
	for (unsigned int i = 0; op == IOCB_CMD_PREAD && i < WORDS; i++) {
		if (buffer[event->data][i] == word(block, i))
			continue;
		fprintf(stderr, "blockio: block %llu is not what was written\n",
			(unsigned long long)block);
		return 1;
	}
	return 0;
}

/* All blocks once, by @op, never more than @depth at a time. */
static int pass(aio_context_t aio, int fd, int op, uint64_t count, unsigned int depth)
{
	unsigned int slot, busy = 0;
	uint64_t next = 0, done = 0;
	struct io_event event;

	while (done < count) {
		if (busy < depth && next < count) {
			slot = busy++;
		} else {
			if (syscall(SYS_io_getevents, aio, 1, 1, &event, NULL) != 1)
				return die("io_getevents");
			if (finished(&event, op))
				return 1;
			done++;
			slot = event.data;
			if (next == count)
				continue;
		}
		if (submit(aio, fd, op, slot, shuffled(next++, count)))
			return 1;
	}
	return 0;
}

static int verify(const char *device, uint64_t count, unsigned int depth)
{
	int fd = open(device, O_RDWR | O_DIRECT);
	aio_context_t aio = 0;

	if (fd < 0)
		return die(device);
	if (syscall(SYS_io_setup, DEPTH_MAX, &aio))
		return die("io_setup");
	return pass(aio, fd, IOCB_CMD_PWRITE, count, depth) || fsync(fd) ||
	       pass(aio, fd, IOCB_CMD_PREAD, count, depth);
}

static int zero(const char *device, uint64_t offset, uint64_t len)
{
	uint64_t range[2] = { offset, len };
	int fd = open(device, O_RDWR);

	return fd < 0 || ioctl(fd, BLKZEROOUT, range) || fsync(fd) ? die(device) : 0;
}

static int flush(const char *device)
{
	int fd = open(device, O_RDWR);

	if (fd < 0)
		return die(device);
	for (uint64_t n = 1;; n++) {
		for (unsigned int i = 0; i < WORDS; i++)
			buffer[0][i] = word(n, i);
		if (pwrite(fd, buffer[0], BLOCK, n % RECORDS * BLOCK) != BLOCK || fdatasync(fd))
			return die("write");
		printf("flushed %llu\n", (unsigned long long)n);
		fflush(stdout);
	}
}

static int check(const char *file, uint64_t last)
{
	int fd = open(file, O_RDONLY);

	if (fd < 0)
		return die(file);
	for (uint64_t n = 1; n <= last; n++) {
		if (pread(fd, buffer[0], BLOCK, n % RECORDS * BLOCK) != BLOCK)
			return die("read");
		for (unsigned int i = 0; i < WORDS; i++) {
			if (buffer[0][i] == word(n, i))
				continue;
			fprintf(stderr, "blockio: record %llu of %llu is not there\n",
				(unsigned long long)n, (unsigned long long)last);
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "verify") && atoi(argv[4]) <= DEPTH_MAX)
		return verify(argv[2], strtoull(argv[3], NULL, 10), atoi(argv[4]));
	if (argc == 5 && !strcmp(argv[1], "zero"))
		return zero(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
	if (argc == 3 && !strcmp(argv[1], "flush"))
		return flush(argv[2]);
	if (argc == 4 && !strcmp(argv[1], "check"))
		return check(argv[2], strtoull(argv[3], NULL, 10));
	return die("usage");
}
