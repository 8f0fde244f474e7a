// SPDX-License-Identifier: GPL-2.0-or-later
/* A machine's virtio devices together: what is settled before any is made, and their state. */
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
#include <sys/socket.h>
#include <unistd.h>
#include "tap.h"
#include "virtio_world.h"
#include "../runner/devices/82093aa.h"
#include "../runner/devices/device.h"
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

/* ---- the state of all ---- */

static int fake_route(void *opaque, int fd, const struct vmm_msi *msi, bool on)
{
	(void)opaque;
	(void)fd;
	(void)msi;
	(void)on;
	return 0;
}

static int fake_doorbell(void *opaque, const struct device_doorbell *bell, bool on)
{
	(void)opaque;
	(void)bell;
	(void)on;
	return 0;
}

static struct device_env env = { .route = fake_route, .doorbell = fake_doorbell };
static struct ram ram;

/* With buses of its own, which live as long. */
static struct virtio_bay *make_bay(const struct virtio_slots *slots)
{
	static struct bus pio, mmio;
	const struct virtio_site site = { &ram, &env, &pio, &mmio };
	struct virtio_bay *bay;

	memset(&pio, 0, sizeof(pio));
	memset(&mmio, 0, sizeof(mmio));
	i82093aa_type.create(&env);
	if (virtio_bay_create(slots, &site, &bay))
		abort();
	virtio_bay_quiesce(bay);
	return bay;
}

static void drop_bay(struct virtio_bay *bay)
{
	virtio_bay_destroy(bay);
	i82093aa_type.destroy(env.ioapic);
}

static void test_state(const char *name, bool is_mmio)
{
	static const char *const types[] = { "disk", "net", "balloon", "console" };
	struct virtio_slots slots = { .mmio = is_mmio, .packed = true };
	char net[16], console[80];
	const char *const texts[] = { file, net, "8M", console };
	struct state first, second;
	struct virtio_bay *bay;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends))
		abort();
	snprintf(net, sizeof(net), "fd=%d", ends[0]);
	snprintf(console, sizeof(console), "file=%s.out,name=a", file);
	options.count = 4;
	for (unsigned int i = 0; i < 4; i++)
		options.option[i] = (struct virtio_option) { types[i], texts[i] };
	is(virtio_slots_open(&slots, &options), STATUS_OK, "%s: devices", name);
	is(slots.count, 5, "%s: with the one that every machine has", name);
	state_init(&first);
	bay = make_bay(&slots);
	virtio_bay_save(bay, &first);
	drop_bay(bay);
	bay = make_bay(&slots);
	virtio_bay_load(bay, &first);
	ok(state_good(&first) && first.at == first.len, "%s: saved, and loaded into others", name);
	state_init(&second);
	virtio_bay_save(bay, &second);
	ok(second.len == first.len && !memcmp(second.buf, first.buf, first.len),
	   "%s: which save the same", name);
	virtio_bay_resume(bay);
	drop_bay(bay);
	slots.count--;
	bay = make_bay(&slots);
	first.at = 0;
	virtio_bay_load(bay, &first);
	ok(!state_good(&first), "%s: a state with a device more is refused", name);
	drop_bay(bay);
	slots.count++;
	virtio_slots_close(&slots);
	state_free(&first);
	state_free(&second);
	close(ends[1]);
	snprintf(console, sizeof(console), "%s.out", file);
	unlink(console);
}

int main(void)
{
	int fd = mkstemp(file);

	if (fd < 0 || ftruncate(fd, 4096))
		return 1;
	close(fd);
	test_fds();
	test_slots();
	ram_plan(&ram, WORLD_RAM);
	if (ram_map(&ram))
		return 1;
	test_state("pci", false);
	test_state("mmio", true);
	ram_unmap(&ram);
	unlink(file);
	return tap_end();
}
