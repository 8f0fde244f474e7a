// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A file system whose one file stops answering: hangfs DIRECTORY. DIRECTORY/disk has 16 MiB of
 * zeros; from SIGUSR1 on what is asked of it stays unanswered for ever. Facts: linux/fuse.h.
 *
 * Nothing is read from the kernel then: what it has not yet handed over can be given up by
 * who waits for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <linux/fuse.h>

#define ROOM		(256 * 1024)
#define DISK_SIZE	(16 << 20)
#define DISK_NODE	2

static volatile sig_atomic_t hangs;
static int device;
static char request[ROOM];
static char zeros[ROOM];

static void on_signal(int sig)
{
	(void)sig;
	hangs = 1;
}

static void reply(const struct fuse_in_header *in, int error, const void *data, size_t size)
{
	struct fuse_out_header out = { sizeof(out) + size, error, in->unique };
	struct iovec iov[] = { { &out, sizeof(out) }, { (void *)data, size } };

	if (writev(device, iov, 2) < 0 && errno != ENOENT)
		perror("hangfs: reply");
}

static struct fuse_attr attributes(uint64_t node)
{
	struct fuse_attr attr = { .ino = node, .nlink = 1, .mode = S_IFDIR | 0755 };

	if (node == DISK_NODE) {
		attr.mode = S_IFREG | 0666;
		attr.size = DISK_SIZE;
	}
	return attr;
}

static void do_init(const struct fuse_in_header *in, const void *arg)
{
	const struct fuse_init_in *init = arg;
	struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION, .minor = init->minor,
				     .max_readahead = init->max_readahead, .max_write = 65536 };

	reply(in, 0, &out, sizeof(out));
}

static void do_lookup(const struct fuse_in_header *in, const void *name)
{
	struct fuse_entry_out out = { .nodeid = DISK_NODE, .attr = attributes(DISK_NODE) };

	if (strcmp(name, "disk"))
		reply(in, -ENOENT, NULL, 0);
	else
		reply(in, 0, &out, sizeof(out));
}

static void do_getattr(const struct fuse_in_header *in, const void *arg)
{
	struct fuse_attr_out out = { .attr = attributes(in->nodeid) };

	(void)arg;
	reply(in, 0, &out, sizeof(out));
}

static void do_open(const struct fuse_in_header *in, const void *arg)
{
	/* No page cache, and no question at the end. */
	struct fuse_open_out out = { .open_flags = FOPEN_DIRECT_IO | FOPEN_NOFLUSH };

	(void)arg;
	reply(in, 0, &out, sizeof(out));
}

static void do_read(const struct fuse_in_header *in, const void *arg)
{
	const struct fuse_read_in *read_in = arg;

	reply(in, 0, zeros, read_in->size < ROOM ? read_in->size : ROOM);
}

static void do_nothing(const struct fuse_in_header *in, const void *arg)
{
	(void)arg;
	reply(in, 0, NULL, 0);
}

static const struct {
	uint32_t opcode;
	void (*serve)(const struct fuse_in_header *in, const void *arg);
} calls[] = {
	{ FUSE_INIT, do_init },
	{ FUSE_LOOKUP, do_lookup },
	{ FUSE_GETATTR, do_getattr },
	{ FUSE_OPEN, do_open },
	{ FUSE_READ, do_read },
	{ FUSE_RELEASE, do_nothing },
};

static void serve(void)
{
	const struct fuse_in_header *in = (void *)request;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i].opcode == in->opcode) {
			calls[i].serve(in, in + 1);
			return;
		}
	if (in->opcode != FUSE_FORGET && in->opcode != FUSE_BATCH_FORGET)
		reply(in, -ENOSYS, NULL, 0);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct pollfd ready = { .events = POLLIN };
	sigset_t none, user;
	char options[64];

	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
	if (argc != 2 || device < 0 || mount("hangfs", argv[1], "fuse", 0, options)) {
		perror("hangfs");
		return 1;
	}
	ready.fd = device;
	sigaction(SIGUSR1, &action, NULL);
	sigemptyset(&none);
	sigemptyset(&user);
	sigaddset(&user, SIGUSR1);
	sigprocmask(SIG_BLOCK, &user, NULL);
	while (!hangs)
		if (ppoll(&ready, 1, NULL, &none) > 0 &&
		    read(device, request, sizeof(request)) > 0)
			serve();
	for (;;)
		pause();
}
