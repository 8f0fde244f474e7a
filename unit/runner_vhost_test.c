// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The network device with a vhost-net that is this test: what it is told, that a device changes
 * hands and back without losing its place in a ring, and who works when it refuses.
 */
/* unit-sources: ../runner/virtio/net.c ../runner/virtio/netdev.c ../runner/virtio/netio.c */
/* unit-sources: ../runner/virtio/netmac.c ../runner/virtio/netuser.c ../runner/virtio/tap.c */
/* unit-sources: ../runner/virtio/vhost.c ../runner/virtio/netpasst.c ../runner/usernet/forward.c */
/* unit-sources: ../runner/virtio/tokens.c ../runner/words.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE -Wl,--wrap=ioctl */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/vhost.h>
#include "tap.h"
#include "virtio_world.h"
#include "../runner/virtio/netdev.h"

extern const struct virtio_type virtio_net;

#define RX		0
#define TX		1
#define MERGE		VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF)
#define CTRL_VQ		VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ)
#define PACKED		VIRTIO_FEATURE(VIRTIO_F_RING_PACKED)
#define KNOWN		(MERGE | VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |	\
			 VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX))

/* What the kernel has been told. */
static struct {
	bool owned;
	uint64_t features;
	unsigned int regions;
	struct vhost_memory_region region;
	struct vhost_vring_addr addr[2];
	unsigned int size[2], base[2];
	int kick[2], call[2], error[2], tap[2];
	unsigned int told;		/* requests in all */
	unsigned int refuse;		/* this one of them, from 1 on */
} kernel;

static struct world *world;
static struct netdev *dev;
static int peer;
static uint64_t buffer;

int __wrap_ioctl(int fd, unsigned long request, void *arg);

static int put_file(int *files, const struct vhost_vring_file *file)
{
	files[file->index] = file->fd;
	return 0;
}

static int put_state(unsigned int *states, const struct vhost_vring_state *state)
{
	states[state->index] = state->num;
	return 0;
}

static int put_memory(const struct vhost_memory *memory)
{
	kernel.regions = memory->nregions;
	memcpy(&kernel.region, memory->regions, sizeof(kernel.region));
	return 0;
}

static int serve(unsigned long request, void *arg)
{
	struct vhost_vring_addr *addr = arg;
	struct vhost_vring_state *state = arg;

	switch (request) {
	case VHOST_SET_OWNER:
		errno = EBUSY;
		return kernel.owned ? -1 : (kernel.owned = true, 0);
	case VHOST_GET_FEATURES:
		*(uint64_t *)arg = KNOWN;
		return 0;
	case VHOST_SET_FEATURES:
		kernel.features = *(uint64_t *)arg;
		return 0;
	case VHOST_SET_MEM_TABLE:
		return put_memory(arg);
	case VHOST_SET_VRING_NUM:
		return put_state(kernel.size, arg);
	case VHOST_SET_VRING_BASE:
		return put_state(kernel.base, arg);
	case VHOST_GET_VRING_BASE:
		state->num = kernel.base[state->index];
		return 0;
	case VHOST_SET_VRING_ADDR:
		kernel.addr[addr->index] = *addr;
		return 0;
	case VHOST_SET_VRING_KICK:
		return put_file(kernel.kick, arg);
	case VHOST_SET_VRING_CALL:
		return put_file(kernel.call, arg);
	case VHOST_SET_VRING_ERR:
		return put_file(kernel.error, arg);
	case VHOST_NET_SET_BACKEND:
		return put_file(kernel.tap, arg);
	}
	errno = ENOTTY;
	return -1;
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	if (fd != dev->vhost[0]) {
		errno = ENOTTY;
		return -1;
	}
	if (++kernel.told == kernel.refuse) {
		errno = EINVAL;
		return -1;
	}
	return serve(request, arg);
}

static bool runs(void)
{
	return kernel.tap[RX] == dev->fd[0] && kernel.tap[TX] == dev->fd[0];
}

static bool stopped(void)
{
	return kernel.tap[RX] < 0 && kernel.tap[TX] < 0 && kernel.kick[TX] < 0;
}

/* ---- the two ends ---- */

static void open_net(void)
{
	int ends[2];

	memset(&kernel, 0, sizeof(kernel));
	memset(kernel.tap, 0xff, sizeof(kernel.tap));
	memset(kernel.kick, 0xff, sizeof(kernel.kick));
	dev = calloc(1, sizeof(*dev));
	if (!dev || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends))
		abort();
	dev->name = strdup("tap");
	dev->kind = NETDEV_TAP;
	dev->pairs = 1;
	for (unsigned int i = 0; i < NETDEV_PAIRS_MAX; i++) {
		dev->fd[i] = -1;
		dev->vhost[i] = -1;
	}
	dev->fd[0] = ends[0];
	peer = ends[1];
	dev->vhost[0] = open("/dev/null", O_RDWR);
	world = world_open(&virtio_net, dev);
	buffer = world_alloc(world, 0x4000);
}

static void close_net(void)
{
	world_close(world);
	virtio_net.close(dev);
	close(peer);
}

/* One frame more in the queue to send, and the doorbell. */
static void guest_sends(void)
{
	const struct buffer buffers[] = { { buffer, 12, false }, { buffer + 64, 100, false } };

	driver_add(world, TX, buffers, 2);
	driver_kick(world, TX);
}

static unsigned int peer_gets(void)
{
	unsigned int got = 0;
	uint8_t frame[256];

	while (recv(peer, frame, sizeof(frame), MSG_DONTWAIT) == 112)
		got++;
	return got;
}

/* The kernel takes what is there and gives it back. */
static void kernel_sends(void)
{
	struct vring_used *used = driver_used_ring(world, TX);
	struct vring_avail *avail = driver_avail(world, TX);

	for (; kernel.base[TX] != avail->idx; kernel.base[TX]++, used->idx++)
		used->ring[used->idx % 256].id = avail->ring[kernel.base[TX] % 256];
	eventfd_write(kernel.call[TX], 1);
	world_settle(world);
}

/* ---- tests ---- */

static void test_told(void)
{
	const struct virtq *vq;

	open_net();
	driver_start(world, MERGE | VIRTIO_FEATURE(VIRTIO_NET_F_STATUS));
	vq = &world->core->pub.queue[TX];
	ok(runs() && kernel.owned, "the kernel gets the queues");
	is(kernel.features, MERGE | VIRTIO_FEATURE(VIRTIO_F_VERSION_1),
	   "with the features that it has to know");
	ok(kernel.regions == 1 && !kernel.region.guest_phys_addr &&
	   kernel.region.memory_size == WORLD_RAM &&
	   kernel.region.userspace_addr == (uintptr_t)world_at(world, 0, 1),
	   "RAM, and no firmware");
	ok(kernel.size[TX] == 256 && kernel.addr[TX].desc_user_addr == (uintptr_t)vq->desc_at &&
	   kernel.addr[TX].avail_user_addr == (uintptr_t)vq->driver_at &&
	   kernel.addr[TX].used_user_addr == (uintptr_t)vq->device_at, "the ring");
	is(kernel.kick[TX], vq->doorbell.fd, "and the doorbell");
	guest_sends();
	ok(!peer_gets() && driver_used(world, TX, NULL) < 0, "nobody else sends");
	kernel_sends();
	ok(driver_used(world, TX, NULL) >= 0, "the kernel does");
	is(world->interrupts[TX], 1, "and interrupts, by way of the process");
	close_net();
	ok(stopped(), "in the end it has nothing any more");
	is(world_complaints, 0, "and nobody has complained");
}

/* Hands change in both directions in the middle of a ring. */
static void test_hands(void)
{
	open_net();
	driver_start(world, 0);
	for (unsigned int i = 0; i < 3; i++)
		guest_sends();
	kernel_sends();
	guest_sends();
	virtio_set_logged(world->core, true);
	ok(stopped(), "a log begins: the kernel stops");
	world_settle(world);
	is(peer_gets(), 1, "what it left is sent by the process");
	guest_sends();
	is(peer_gets(), 1, "as is the next");
	for (unsigned int i = 0; i < 5; i++)
		ok(driver_used(world, TX, NULL) >= 0, "chain %u came back", i);
	virtio_set_logged(world->core, false);
	ok(runs(), "the log ends: it works again");
	is(kernel.base[TX], 5, "from there on");
	virtio_quiesce(world->core);
	ok(stopped(), "a pause stops it");
	virtio_resume(world->core);
	ok(runs(), "and its end does not");
	virtio_net.set_link(world->core->device, false);
	ok(stopped(), "as without a cable");
	virtio_net.set_link(world->core->device, true);
	ok(runs(), "until it is plugged in again");
	virtio_queue_stop(world->core, &world->core->pub.queue[RX]);
	ok(stopped(), "a queue's reset takes it from the pair");
	driver_reset(world);
	driver_start(world, 0);
	ok(runs(), "until the device's reset");
	driver_reset(world);
	ok(stopped(), "after which it has nothing");
	close_net();
}

static int vector = -1;

static int give_vector(void *transport, unsigned int queue)
{
	(void)transport;
	return queue == TX ? vector : -1;
}

static void test_rerouted(void)
{
	open_net();
	world->core->call_fd = give_vector;
	vector = dup(0);
	driver_start(world, 0);
	is(kernel.call[TX], vector, "a transport's eventfd is its call");
	ok(kernel.call[RX] >= 0 && kernel.call[RX] != vector, "where there is one");
	close(vector);
	vector = dup2(0, 200);
	virtio_rerouted(world->core, TX);
	ok(runs() && kernel.call[TX] == vector, "the next one in its place");
	close(vector);
	close_net();
}

static void test_broken(void)
{
	open_net();
	driver_start(world, 0);
	eventfd_write(kernel.error[TX], 1);
	world_settle(world);
	ok(world->core->broken && stopped(), "a ring that it cannot read breaks the device");
	ok(strstr(world_complaint, "vhost-net cannot read its ring"), "with a line");
	driver_reset(world);
	driver_start(world, 0);
	ok(runs(), "a reset mends it");
	close_net();
}

static void test_refused(void)
{
	unsigned int all;

	open_net();
	driver_start(world, PACKED);
	ok(!runs() && stopped(), "packed rings are not for it");
	ok(!kernel.owned, "nor has it a thread for them");
	guest_sends();
	is(peer_gets(), 1, "the process sends");
	close_net();
	open_net();
	driver_start(world, 0);
	all = kernel.told;
	close_net();
	for (unsigned int i = 1; i <= all; i++) {
		open_net();
		kernel.refuse = i;
		driver_start(world, 0);
		guest_sends();
		ok(stopped() && peer_gets() == 1 && driver_used(world, TX, NULL) >= 0,
		   "request %u of %u refused: the process sends", i, all);
		close_net();
	}
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_told();
	test_hands();
	test_rerouted();
	test_broken();
	test_refused();
	return tap_end();
}
