// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Opening a disk: the words behind --disk, the file, the lock, the alignment.
 *
 * The lock is one of the open file description over the whole file: shared for ,ro,
 * exclusive otherwise. It goes with the process, however that ends. It keeps machines
 * from each other's writable images, and one machine from having an image twice; not
 * other programs, which know nothing of it.
 *
 * Invariant: the description is the disk's own. One that was inherited may be others'
 * too, whom the lock would not keep out.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/fs.h>
#include "../words.h"
#include "disk.h"

/* Where the kernel does not tell, what every disk of today can do. */
#define ALIGN_DEFAULT	4096
/* Requests that the kernel holds at once: all queues' full. */
#define AIO_EVENTS	4096

static const struct word_row disk_words[] = {
	{ "ro", WORD_FLAG, offsetof(struct disk, read_only), 0, 0 },
	{ "direct", WORD_FLAG, offsetof(struct disk, direct), 0, 0 },
	{ "queues", WORD_COUNT, offsetof(struct disk, queues), 1, DISK_QUEUES_MAX },
	{ "iops", WORD_COUNT64, offsetof(struct disk, iops), 1, 1ULL << 40 },
	{ "bps", WORD_COUNT64, offsetof(struct disk, bps), DISK_SECTOR, 1ULL << 50 },
	{ "id", WORD_TEXT, offsetof(struct disk, id), 1, DISK_ID_SIZE },
};

static const struct word_table disk_table = {
	"disk", disk_words, sizeof(disk_words) / sizeof(disk_words[0]),
};

/* ---- the descriptor ---- */

static int open_flags(const struct disk *disk)
{
	return (disk->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK |
	       (disk->direct ? O_DIRECT : 0);
}

static enum status open_file(struct disk *disk)
{
	disk->fd = open(disk->name, open_flags(disk));
	if (disk->fd >= 0)
		return STATUS_OK;
	if (errno == EINVAL && disk->direct)
		complain("disk %s: its file system has no direct I/O; leave ',direct' out",
			 disk->name);
	else
		complain("disk %s: cannot be opened: %s; give a file that can be %s", disk->name,
			 strerror(errno), disk->read_only ? "read" : "written, or add ',ro'");
	return STATUS_BAD_FILE;
}

static enum status check_kind(const struct disk *disk)
{
	int access = fcntl(disk->fd, F_GETFL) & O_ACCMODE;
	struct stat st;

	if (fstat(disk->fd, &st)) {
		complain("disk %s: %s; give an open descriptor", disk->name, strerror(errno));
		return STATUS_BAD_FILE;
	}
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		complain("disk %s: neither a file nor a block device; give one", disk->name);
		return STATUS_BAD_FILE;
	}
	if (access == O_WRONLY || (access == O_RDONLY && !disk->read_only)) {
		complain("disk %s: the descriptor is not open for %s; %s", disk->name,
			 access == O_WRONLY ? "reading" : "writing",
			 access == O_WRONLY ? "open it for both" : "add ',ro'");
		return STATUS_BAD_FILE;
	}
	return STATUS_OK;
}

/* In place of the inherited descriptor, which allows what is asked for. */
static enum status open_own(struct disk *disk)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", disk->fd);
	fd = open(path, open_flags(disk));
	if (fd < 0) {
		complain("disk %s: cannot be opened again as %s: %s; let this user open the file%s",
			 disk->name, path, strerror(errno),
			 disk->direct ? ", or leave ',direct' out" : "");
		return STATUS_BAD_FILE;
	}
	close(disk->fd);
	disk->fd = fd;
	return STATUS_OK;
}

static enum status open_description(struct disk *disk)
{
	bool inherited = words_fd(disk->name, &disk->fd);
	enum status status = inherited ? STATUS_OK : open_file(disk);

	if (!status)
		status = check_kind(disk);
	return status || !inherited ? status : open_own(disk);
}

static enum status lock(const struct disk *disk)
{
	struct flock lock = { .l_type = disk->read_only ? F_RDLCK : F_WRLCK,
			      .l_whence = SEEK_SET };

	if (!fcntl(disk->fd, F_OFD_SETLK, &lock))
		return STATUS_OK;
	if (errno == EAGAIN || errno == EACCES) {
		complain("disk %s: another machine or disk uses it; end that one, or give a copy",
			 disk->name);
		return STATUS_BUSY;
	}
	complain("disk %s: cannot be locked: %s; put it on a file system with locks", disk->name,
		 strerror(errno));
	return STATUS_BAD_FILE;
}

/* ---- sizes ---- */

uint64_t disk_size(const struct disk *disk)
{
	/* For files and block devices alike, with a call that the sandbox has. */
	off_t end = lseek(disk->fd, 0, SEEK_END);

	return end < 0 ? 0 : end;
}

/* What direct I/O wants, or a block device's logical block. */
static uint32_t alignment(const struct disk *disk)
{
	int block = 0;
#ifdef STATX_DIOALIGN
	struct statx st;

	if (disk->direct && !statx(disk->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) &&
	    st.stx_mask & STATX_DIOALIGN && st.stx_dio_offset_align)
		return st.stx_dio_mem_align > st.stx_dio_offset_align ?
			       st.stx_dio_mem_align : st.stx_dio_offset_align;
#endif
	if (!ioctl(disk->fd, BLKSSZGET, &block) && block > 0)
		return block;
	return disk->direct ? ALIGN_DEFAULT : DISK_SECTOR;
}

static enum status measure(struct disk *disk)
{
	uint64_t size = disk_size(disk);

	disk->align = alignment(disk);
	if (disk->align < DISK_SECTOR)
		disk->align = DISK_SECTOR;
	if (size && size % disk->align == 0)
		return STATUS_OK;
	complain("disk %s: has %llu bytes; make that a multiple of %u with 'truncate -s %%%u'",
		 disk->name, (unsigned long long)size, disk->align, disk->align);
	return STATUS_BAD_FILE;
}

static enum status prepare_aio(struct disk *disk)
{
	if (!disk->direct || !syscall(SYS_io_setup, AIO_EVENTS, &disk->aio))
		return STATUS_OK;
	complain("disk %s: no asynchronous I/O: %s; raise fs.aio-max-nr or leave ',direct' out",
		 disk->name, strerror(errno));
	return STATUS_HOST;
}

/* ---- the whole ---- */

enum status disk_open(const char *text, struct disk **out)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	enum status status;

	if (!disk) {
		complain("no memory for a disk; free some");
		return STATUS_HOST;
	}
	disk->fd = -1;
	disk->queues = 1;
	status = words_parse(&disk_table, text, &disk->name, disk);
	if (!status)
		status = open_description(disk);
	if (!status)
		status = lock(disk);
	if (!status)
		status = measure(disk);
	if (!status)
		status = prepare_aio(disk);
	if (status) {
		disk_close(disk);
		return status;
	}
	*out = disk;
	return STATUS_OK;
}

void disk_close(struct disk *disk)
{
	if (disk->aio)
		syscall(SYS_io_destroy, disk->aio);
	if (disk->fd >= 0)
		close(disk->fd);
	free((char *)disk->name);
	free(disk);
}
