// SPDX-License-Identifier: GPL-2.0-or-later
/* The console device with two ports on sockets, driven by device_fuzz.h's inputs. */
/* unit-sources: ../runner/virtio/console.c ../runner/virtio/port.c ../runner/virtio/port_stdio.c */
/* unit-sources: ../runner/virtio/port_stream.c ../runner/listener.c ../runner/words.c */
/* unit-sources: ../runner/console.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include <sys/socket.h>
#include <unistd.h>
#include <linux/virtio_console.h>
#include "device_fuzz.h"
#include "../runner/devices/16550.h"

extern const struct virtio_type virtio_console;

static int end[2];

/* There is no UART. */
size_t pc16550_receive(struct pc16550 *uart, const uint8_t *data, size_t len)
{
	(void)uart;
	(void)data;
	return len;
}

void pc16550_resume(struct pc16550 *uart)
{
	(void)uart;
}

static struct world *make(void)
{
	void *backend = NULL;
	char text[32];
	int pair[2];

	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 2; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair))
			abort();
		end[i] = pair[0];
		snprintf(text, sizeof(text), "fd=%d%s", pair[1], i ? ",name=b" : "");
		if (virtio_console.open(text, &backend))
			abort();
	}
	return world_open(&virtio_console, backend);
}

static uint64_t features(uint8_t byte)
{
	return (byte & 1 ? VIRTIO_FEATURE(VIRTIO_CONSOLE_F_MULTIPORT) : 0) |
	       (byte & 2 ? VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) : 0);
}

/* Says something, or takes what there is. */
static void peer(struct world *world, uint8_t what)
{
	char buf[4096] = { 0 };
	ssize_t n;

	if (what & 2)
		n = write(end[what & 1], buf, what);
	else
		n = read(end[what & 1], buf, sizeof(buf));
	(void)n;
	world_settle(world);
}

FUZZ_DEVICE(make, features, peer)
