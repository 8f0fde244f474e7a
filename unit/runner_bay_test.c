// SPDX-License-Identifier: GPL-2.0-or-later
/* A machine's virtio devices together: what of --disk is settled before anything is made. */
/* unit-sources: ../runner/virtio/bay.c ../runner/virtio/devices.c ../runner/virtio/rng.c */
/* unit-sources: ../runner/virtio/block.c ../runner/virtio/disk.c ../runner/virtio/engine.c */
/* unit-sources: ../runner/virtio/net.c ../runner/virtio/netdev.c ../runner/virtio/netio.c */
/* unit-sources: ../runner/virtio/netmac.c ../runner/virtio/netuser.c ../runner/virtio/tap.c */
/* unit-sources: ../runner/virtio/vhost.c ../runner/virtio/netpasst.c ../runner/usernet/forward.c */
/* unit-sources: ../runner/virtio/tokens.c ../runner/words.c ../runner/virtio/mmio.c */
/* unit-sources: ../runner/virtio/pci.c ../runner/pci/host.c ../runner/pci/function.c */
/* unit-sources: ../runner/pci/msix.c ../runner/devices/82093aa.c ../runner/bus.c */
/* unit-sources: ../runner/devices/16550.c ../runner/virtio/balloon.c ../runner/virtio/lines.c */
/* unit-sources: ../runner/virtio/vsock.c ../runner/virtio/vsock_link.c */
/* unit-sources: ../runner/virtio/vsock_broker.c */
/* unit-libs: -lseccomp */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c ../runner/virtio/save.c ../runner/iothread.c */
/* unit-sources: ../runner/state.c ../runner/ram.c ../runner/console.c ../runner/listener.c */
/* unit-sources: ../runner/virtio/console.c ../runner/virtio/port.c */
/* unit-sources: ../runner/virtio/port_stdio.c ../runner/virtio/port_stream.c */
/* unit-flags: -D_GNU_SOURCE */
#include <fcntl.h>
#include <unistd.h>
#include "tap.h"
#include "virtio_world.h"
#include "../runner/virtio/bay.h"

static char file[64] = "runner_bay_test.XXXXXX";
static struct virtio_options options;

static void add(const char *text)
{
	options.option[options.count++] = (struct virtio_option) { "disk", text };
}

static enum status fds_of(const char *first, const char *second, int *fds, unsigned int *count)
{
	options.count = 0;
	add(first);
	add(second);
	return virtio_options_fds(&options, fds, count);
}

static void test_fds(void)
{
	int fds[VIRTIO_SLOTS_MAX];
	unsigned int count;

	if (dup2(0, 100) < 0 || dup2(0, 101) < 0)
		abort();
	close(102);
	is(fds_of("fd=101,ro", "fd=100", fds, &count), STATUS_OK, "two descriptors");
	ok(count == 2 && fds[0] == 100 && fds[1] == 101, "are found, in order");
	is(fds_of("name", "fd=102", fds, &count), STATUS_BAD_FILE, "one that is not open");
	is_str(world_complaint, "disk fd=102: not open; open it in the caller", "is told so");
	is(fds_of("fd=101,ro", "fd=101,ro", fds, &count), STATUS_USAGE, "one that is given twice");
	is(fds_of("fd=101,ro", "fd=2", fds, &count), STATUS_USAGE, "one that is the console's");
	close(100);
	close(101);
}

static enum status open_disks(unsigned int count, const char *text, bool mmio)
{
	struct virtio_slots slots = { .mmio = mmio };
	enum status status;

	options.count = 0;
	while (options.count < count)
		add(text);
	status = virtio_slots_open(&slots, &options);
	virtio_slots_close(&slots);
	return status;
}

static void test_slots(void)
{
	char text[128];

	snprintf(text, sizeof(text), "%s,ro", file);
	is(open_disks(30, text, false), STATUS_OK, "30 disks on a PCI bus");
	is(open_disks(31, text, false), STATUS_USAGE, "and no more");
	ok(!strstr(world_complaint, "--"), "no option is named that there is not");
	is(open_disks(18, text, true), STATUS_OK, "18 by MMIO");
	is(open_disks(19, text, true), STATUS_USAGE, "and no more");
	is(open_disks(2, file, false), STATUS_BUSY, "a machine has no file twice to write");
	ok(strstr(world_complaint, "machine or disk uses it"), "and says so");
}

int main(void)
{
	int fd = mkstemp(file);

	if (fd < 0 || ftruncate(fd, 4096))
		return 1;
	close(fd);
	test_fds();
	test_slots();
	unlink(file);
	return tap_end();
}
