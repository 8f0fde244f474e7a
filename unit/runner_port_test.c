// SPDX-License-Identifier: GPL-2.0-or-later
/* The console device against a scripted driver, with files, pipes and sockets behind it. */
/* unit-sources: ../runner/virtio/console.c ../runner/virtio/port.c ../runner/virtio/port_stdio.c */
/* unit-sources: ../runner/virtio/port_stream.c ../runner/listener.c ../runner/words.c */
/* unit-sources: ../runner/console.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>
#include <linux/virtio_console.h>
#include "tap.h"
#include "virtio_world.h"
#include "../runner/console.h"
#include "../runner/devices/16550.h"
#include "../runner/virtio/port.h"

extern const struct virtio_type virtio_console;

#define MULTIPORT	VIRTIO_FEATURE(VIRTIO_CONSOLE_F_MULTIPORT)
#define SIZE		VIRTIO_FEATURE(VIRTIO_CONSOLE_F_SIZE)

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

static char dir[32] = "/tmp/runner_port_test.XXXXXX";

static const char *in_dir(const char *prefix, const char *name, const char *words)
{
	static char text[4][128];
	static unsigned int n;

	n = (n + 1) % 4;
	snprintf(text[n], sizeof(text[n]), "%s%s/%s%s", prefix, dir, name, words);
	return text[n];
}

static void *opened;		/* of the last open_world() */

/* @second: NULL for one port. */
static struct world *open_world(const char *first, const char *second)
{
	void *backend = NULL;

	if (virtio_console.open(first, &backend) ||
	    (second && virtio_console.open(second, &backend)))
		abort();
	opened = backend;
	return world_open(&virtio_console, backend);
}


static void close_world(struct world *world, void *backend)
{
	world_close(world);
	virtio_console.close(backend);
}

/* The rest of the driver: buffers, messages, data. */

static uint64_t inbox;		/* where the next message is put */

static void give_control(struct world *world, unsigned int count)
{
	inbox = world_alloc(world, 128 * count);
	for (unsigned int i = 0; i < count; i++)
		driver_add(world, 2, (struct buffer[]) { { inbox + 128 * i, 128, true } }, 1);
	driver_kick(world, 2);
}

static void tell(struct world *world, uint32_t id, uint16_t event, uint16_t value)
{
	uint64_t gpa = world_alloc(world, sizeof(struct virtio_console_control));

	*(struct virtio_console_control *)world_at(world, gpa, 8) =
		(struct virtio_console_control) { id, event, value };
	driver_add(world, 3, (struct buffer[]) { { gpa, 8, false } }, 1);
	driver_kick(world, 3);
}

/* The next message as text; "": none. */
static const char *hear(struct world *world)
{
	static char text[128];
	const struct virtio_console_control *control;
	uint32_t len;

	text[0] = 0;
	if (driver_used(world, 2, &len) < 0)
		return text;
	control = world_at(world, inbox, 128);
	snprintf(text, sizeof(text), "%u %u %u %.*s", control->id, control->event, control->value,
		 (int)(len - sizeof(*control)), (const char *)(control + 1));
	if (control->event == VIRTIO_CONSOLE_RESIZE) {
		const uint16_t *size = (const uint16_t *)(control + 1);

		snprintf(text, sizeof(text), "%u resize %ux%u", control->id, size[0], size[1]);
	}
	inbox += 128;
	return text;
}

static void write_out(struct world *world, unsigned int queue, const void *data, uint32_t len)
{
	uint64_t gpa = world_alloc(world, len);

	memcpy(world_at(world, gpa, len), data, len);
	driver_add(world, queue, (struct buffer[]) { { gpa, len, false } }, 1);
	driver_kick(world, queue);
}

static uint64_t give_input(struct world *world, unsigned int queue, uint32_t len)
{
	uint64_t gpa = world_alloc(world, len);

	driver_add(world, queue, (struct buffer[]) { { gpa, len, true } }, 1);
	driver_kick(world, queue);
	return gpa;
}

static int connect_to(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", dir, name);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		abort();
	return fd;
}

static const char *read_some(int fd)
{
	static char text[256];
	ssize_t n = read(fd, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = 0;
	return n < 0 ? "(nothing)" : n ? text : "(end)";
}

/* ---- negotiation ---- */

static void test_messages(void)
{
	struct world *world = open_world(in_dir("file=", "a", ""),
					 in_dir("file=", "b", ",name=org.b"));
	void *backend = opened;
	struct virtio_console_config config;

	is(world->core->pub.queues, 6, "two ports have six queues");
	virtio_config_read(world->core, 0, &config, sizeof(config));
	is(config.max_nr_ports, 2, "and the configuration says two");
	ok(driver_start(world, MULTIPORT), "the driver takes several ports");
	tell(world, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	is_str(hear(world), "", "without a buffer there is no message");
	give_control(world, 16);
	is_str(hear(world), "0 1 0 ", "with one the first port is added");
	is_str(hear(world), "1 1 0 ", "and the second");
	is_str(hear(world), "", "and nothing else");
	tell(world, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	tell(world, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	is_str(hear(world), "0 4 1 ", "a port without a name is a console");
	is_str(hear(world), "0 6 1 ", "and open");
	is_str(hear(world), "1 7 1 org.b", "another has its name");
	is_str(hear(world), "1 6 1 ", "and is open");
	tell(world, 7, VIRTIO_CONSOLE_PORT_READY, 1);
	tell(world, UINT32_MAX, VIRTIO_CONSOLE_PORT_OPEN, 1);
	tell(world, 0, 999, 1);
	is_str(hear(world), "", "ports and events that are not there are passed over");
	is(world_complaints, 0, "without a word");
	close_world(world, backend);
}

static void test_files(void)
{
	struct world *world = open_world(in_dir("file=", "a", ""),
					 in_dir("file=", "b", ",name=b"));
	void *backend = opened;
	char big[5000];
	int fd;

	ok(virtio_console.writes(backend), "files are written");
	driver_start(world, MULTIPORT);
	write_out(world, 1, "to the first", 12);
	write_out(world, 5, "to the second", 13);
	is(driver_used(world, 1, NULL), 0, "output comes back");
	is(driver_used(world, 5, NULL), 0, "from each port's queue");
	fd = open(in_dir("", "a", ""), O_RDONLY);
	is_str(read_some(fd), "to the first", "it is in its file");
	close(fd);
	fd = open(in_dir("", "b", ""), O_RDONLY);
	is_str(read_some(fd), "to the second", "each in its own");
	memset(big, 'x', sizeof(big));
	write_out(world, 5, big, sizeof(big));
	is(lseek(fd, 0, SEEK_END), 13 + sizeof(big), "large output too");
	close(fd);
	close_world(world, backend);
}

/* ---- sockets ---- */

static void test_socket(void)
{
	struct world *world = open_world(in_dir("socket=", "s", ",name=s"), NULL);
	void *backend = opened;
	uint64_t gpa;
	uint32_t len;
	int fd, other;

	driver_start(world, MULTIPORT);
	write_out(world, 1, "first byte", 10);
	is(driver_used(world, 1, NULL), 0, "output that nobody takes comes back");
	fd = connect_to("s");
	world_settle(world);
	is_str(read_some(fd), "first byte", "and is kept until somebody connects");
	other = connect_to("s");
	world_settle(world);
	is_str(read_some(other), "(end)", "a second peer is turned away");
	close(other);

	is(write(fd, "hello", 5), 5, "the peer speaks");
	gpa = give_input(world, 0, 64);
	is(driver_used(world, 0, NULL), -1, "to nobody, while the guest has not opened the port");
	tell(world, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	is(driver_used(world, 0, &len), 0, "then it is heard");
	ok(len == 5 && !memcmp(world_at(world, gpa, 5), "hello", 5), "to the letter");
	is(write(fd, "later", 5), 5, "what comes without a buffer");
	world_settle(world);
	gpa = give_input(world, 0, 3);
	is(driver_used(world, 0, &len), 1, "waits for one");
	ok(len == 3 && !memcmp(world_at(world, gpa, 3), "lat", 3), "and fills it");
	gpa = give_input(world, 0, 64);
	is(driver_used(world, 0, &len), 2, "and the next");
	ok(len == 2 && !memcmp(world_at(world, gpa, 2), "er", 2), "with the rest");

	shutdown(fd, SHUT_WR);
	give_input(world, 0, 64);
	world_settle(world);
	write_out(world, 1, "still there", 11);
	is_str(read_some(fd), "still there", "a peer that says no more still listens");
	close(fd);
	world_settle(world);
	write_out(world, 1, "between", 7);
	fd = connect_to("s");
	world_settle(world);
	write_out(world, 1, " peers", 6);
	is_str(read_some(fd), "between peers", "the next one gets what came in between");
	is(world_complaints, 0, "no complaint");
	close(fd);
	close_world(world, backend);
}

/* Give output until one piece does not come back; returns the bytes that did. */
static size_t fill(struct world *world, unsigned int queue, size_t most)
{
	uint64_t gpa = world_alloc(world, 4096);
	size_t done = 0;

	while (done < most) {
		driver_add(world, queue, (struct buffer[]) { { gpa, 4096, false } }, 1);
		driver_kick(world, queue);
		if (driver_used(world, queue, NULL) < 0)
			break;
		done += 4096;
	}
	return done;
}

/* Read until there is nothing more; returns how much, and the last byte. */
static size_t drain(struct world *world, int fd, char *last)
{
	char buf[4096];
	size_t done = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		done += n;
		*last = buf[n - 1];
		world_settle(world);
	}
	return done;
}

static void test_nobody(void)
{
	struct world *world = open_world(in_dir("socket=", "s", ",name=s"), NULL);
	void *backend = opened;
	uint64_t gpa = world_alloc(world, 1 << 20);
	struct buffer big[3];
	char last = 0;
	int fd;

	driver_start(world, MULTIPORT);
	is(fill(world, 1, 1 << 20), 1 << 20, "with nobody there a MiB of output comes back");
	/* More in a chain than there can be memory for. */
	for (int i = 0; i < 3; i++)
		big[i] = (struct buffer) { gpa, 1 << 20, false };
	for (int i = 0; i < 3; i++)
		driver_add(world, 1, big, 3);
	driver_kick(world, 1);
	is(driver_used(world, 1, NULL) >= 0, 1, "and long chains");
	write_out(world, 1, "!", 1);
	fd = connect_to("s");
	world_settle(world);
	ok(drain(world, fd, &last) <= PORT_RING, "a ring of it is kept");
	is(last, '!', "the newest");
	close(fd);
	close_world(world, backend);
}

static void test_slow_peer(void)
{
	struct world *world = open_world(in_dir("socket=", "s", ""),
					 in_dir("socket=", "t", ",name=t"));
	void *backend = opened;
	size_t given, got;
	char last;
	int fd, named;

	driver_start(world, MULTIPORT);
	fd = connect_to("s");
	named = connect_to("t");
	world_settle(world);
	given = fill(world, 5, 64 << 20);
	ok(given < 8 << 20, "a peer that does not read stops a named port");
	usleep((PORT_PATIENCE_MS + 100) * 1000);
	world_settle(world);
	is(driver_used(world, 5, NULL), -1, "for as long as it likes");
	got = drain(world, named, &last);
	is(got, given + 4096, "when it reads it gets everything");
	is(driver_used(world, 5, NULL) >= 0, 1, "and the port goes on");

	given = fill(world, 1, 64 << 20);
	ok(given < 8 << 20, "a console waits as well");
	is(driver_used(world, 1, NULL), -1, "at first");
	usleep((PORT_PATIENCE_MS + 100) * 1000);
	world_settle(world);
	is(driver_used(world, 1, NULL) >= 0, 1, "but not for ever");
	is(fill(world, 1, 1 << 20), 1 << 20, "then it does not wait at all");
	drain(world, fd, &last);
	ok(fill(world, 1, 64 << 20) < 8 << 20, "until the peer reads again");
	close(fd);
	close(named);
	world_settle(world);
	is(driver_used(world, 1, NULL) >= 0, 1, "or is gone");
	close_world(world, backend);
}

/* ---- descriptors, terminals ---- */

static void test_fd(void)
{
	int pair[2], fds[2];
	char text[2][32];
	struct world *world;
	void *backend;
	uint32_t len;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || pipe(fds))
		abort();
	snprintf(text[0], 32, "fd=%d", pair[1]);
	snprintf(text[1], 32, "fd=%d,name=p", fds[1]);
	world = open_world(text[0], text[1]);
	backend = opened;
	driver_start(world, 0);
	write_out(world, 1, "to a socket", 11);
	is_str(read_some(pair[0]), "to a socket", "an inherited socket, and no messages");
	is(write(pair[0], "back", 4), 4, "which speaks");
	give_input(world, 0, 64);
	driver_used(world, 0, &len);
	is(len, 4, "is heard at once: such a driver does not open its port");
	write_out(world, 5, "to a pipe", 9);
	is(driver_used(world, 5, NULL), -1, "and has no second one");
	driver_reset(world);
	driver_start(world, MULTIPORT);
	write_out(world, 5, "to a pipe", 9);
	is_str(read_some(fds[0]), "to a pipe", "which another driver has");
	close(fds[0]);
	write_out(world, 5, "to nobody", 9);
	is(driver_used(world, 5, NULL) >= 0, 1, "a pipe without a reader is no end");
	ok(fcntl(pair[0], F_GETFL) >= 0, "the caller's end stays open");
	close(pair[0]);
	close_world(world, backend);
}

static void test_terminal(void)
{
	struct winsize size = { .ws_col = 90, .ws_row = 33 };
	struct virtio_console_config config;
	struct console *console;
	struct world *world;
	void *backend;
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
	uint32_t len;
	uint64_t gpa;

	if (master < 0 || grantpt(master) || unlockpt(master))
		abort();
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	ioctl(slave, TIOCSWINSZ, &size);
	console = console_create(slave, slave, false);
	world = open_world("stdio", NULL);
	backend = opened;
	virtio_console.connect(world->core->device, console);
	ok(console && !console_start(console), "a terminal");
	virtio_config_read(world->core, 0, &config, sizeof(config));
	ok(config.cols == 90 && config.rows == 33, "has its size in the configuration");
	driver_start(world, MULTIPORT | SIZE);
	give_control(world, 16);
	tell(world, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	is_str(hear(world), "0 4 1 ", "it is a console");
	is_str(hear(world), "0 resize 90x33", "of that size");
	is_str(hear(world), "0 6 1 ", "and open");
	tell(world, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	size.ws_col = 120;
	ioctl(slave, TIOCSWINSZ, &size);
	console_resized(console);
	world_settle(world);
	is_str(hear(world), "0 resize 120x33", "another size is told");
	virtio_config_read(world->core, 0, &config, sizeof(config));
	ok(config.cols == 120 && world->config_interrupts == 1, "in both ways");

	write_out(world, 1, "a line\n", 7);
	is(driver_used(world, 1, NULL), 0, "output comes back");
	is_str(read_some(master), "a line\r\n", "and is on the terminal");
	gpa = give_input(world, 0, 64);
	is(write(master, "ls\n", 3), 3, "a line is typed");
	console_input(console);
	world_settle(world);
	is(driver_used(world, 0, &len), 0, "the guest gets it");
	ok(len == 3 && !memcmp(world_at(world, gpa, 3), "ls\n", 3), "as it is");
	write_out(world, 1, "Kernel panic - not syncing", 26);
	ok(console_saw_panic(console), "a panic is seen there too");
	close_world(world, backend);
	close(master);
	console_destroy(console);
	close(slave);
}

/* ---- rude drivers ---- */

static void test_rude(void)
{
	struct world *world = open_world(in_dir("socket=", "s", ""), NULL);
	void *backend = opened;
	uint64_t gpa = world_alloc(world, 64);

	driver_start(world, MULTIPORT);
	driver_add(world, 3, (struct buffer[]) { { gpa, 7, false } }, 1);
	driver_kick(world, 3);
	ok(world->core->broken, "a message of seven bytes breaks the device");
	driver_reset(world);
	driver_start(world, MULTIPORT);
	driver_add(world, 2, (struct buffer[]) { { gpa, 7, true } }, 1);
	tell(world, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	ok(world->core->broken, "and so does a buffer of seven for one");
	is(world_complaints, 1, "one complaint");
	driver_reset(world);
	driver_start(world, MULTIPORT);
	for (int i = 0; i < 1000; i++) {
		tell(world, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
		tell(world, 0, VIRTIO_CONSOLE_PORT_READY, 1);
		driver_used(world, 3, NULL);
		driver_used(world, 3, NULL);
		world->heap = WORLD_HEAP + (8 << 20);
	}
	give_control(world, 16);
	is_str(hear(world), "0 1 0 ", "a thousand questions have one answer");
	is_str(hear(world), "0 4 1 ", "to each of two");
	is_str(hear(world), "0 6 1 ", "that is all");
	is_str(hear(world), "", "there is");
	tell(world, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	driver_add(world, 0, (struct buffer[]) { { gpa, 64, false } }, 1);
	driver_kick(world, 0);
	is(driver_used(world, 0, NULL), 0, "a chain without room for input comes back empty");
	driver_add(world, 1, (struct buffer[]) { { gpa, 64, true } }, 1);
	driver_kick(world, 1);
	is(driver_used(world, 1, NULL), 0, "and so does one without output");
	close_world(world, backend);
}

static void test_round_trip(void)
{
	struct world *world = open_world(in_dir("socket=", "s", ",name=s"), NULL);
	void *backend = opened;
	struct state state;
	int fd;

	driver_start(world, MULTIPORT);
	tell(world, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	tell(world, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	give_input(world, 0, 64);
	virtio_quiesce(world->core);
	fd = connect_to("s");
	is(write(fd, "held", 4), 4, "what comes");
	world_settle(world);
	is(driver_used(world, 0, NULL), -1, "while the device is quiet waits");
	state_init(&state);
	virtio_save(world->core, &state);
	virtio_load(world->core, &state);
	ok(state_good(&state) && state.at == state.len, "saved and loaded");
	virtio_resume(world->core);
	world_settle(world);
	is(driver_used(world, 0, NULL), 0, "then it comes");
	give_control(world, 4);
	is_str(hear(world), "0 7 1 s", "and what was owed is paid");
	state.at = 0;
	state.buf[state.len - 3 * 8] = 2;	/* open */
	virtio_quiesce(world->core);
	virtio_load(world->core, &state);
	ok(!state_good(&state), "a state that cannot be is refused");
	state_free(&state);
	close(fd);
	close_world(world, backend);
}

/* ---- the option ---- */

static enum status try(const char *text)
{
	void *backend = NULL;
	enum status status = virtio_console.open(text, &backend);

	if (!status)
		virtio_console.close(backend);
	return status;
}

static void test_option(void)
{
	char name[160];
	void *backend = NULL;
	struct stat st;

	is(try("nowhere"), STATUS_USAGE, "a port that leads nowhere");
	is(try("stdiox"), STATUS_USAGE, "or nearly somewhere");
	is(try("file="), STATUS_USAGE, "or to a file without a name");
	is(try("fd=x"), STATUS_USAGE, "or to no descriptor");
	is(try("stdio,size=3"), STATUS_USAGE, "words that there are not");
	is(try("file=/nonexistent/a"), STATUS_BAD_FILE, "a file that cannot be made");
	snprintf(name, sizeof(name), "socket=/%0120d", 0);
	is(try(name), STATUS_USAGE, "a name too long for a socket");
	is(virtio_console.open(in_dir("socket=", "o", ""), &backend), STATUS_OK, "a socket");
	is(try(in_dir("socket=", "o", "")), STATUS_BUSY, "has one listener");
	virtio_console.close(backend);
	is(stat(in_dir("", "o", ""), &st), 0, "its name stays");
	is(try(in_dir("socket=", "o", "")), STATUS_OK, "and can be had again");
	is(try(in_dir("socket=", "a", "")), STATUS_BUSY, "but not a file's");
	backend = NULL;
	is(virtio_console.open("stdio", &backend), STATUS_OK, "the terminal");
	is(virtio_console.open("stdio,name=b", &backend), STATUS_USAGE, "once");
	for (int i = 1; i < 8; i++)
		virtio_console.open(in_dir("file=", "a", ""), &backend);
	is(virtio_console.open(in_dir("file=", "a", ""), &backend), STATUS_USAGE, "eight ports");
	virtio_console.close(backend);
}

int main(void)
{
	char command[64];

	if (!mkdtemp(dir))
		return 1;
	signal(SIGPIPE, SIG_IGN);
	test_messages();
	test_files();
	test_socket();
	test_nobody();
	test_slow_peer();
	test_fd();
	test_terminal();
	test_rude();
	test_round_trip();
	test_option();
	snprintf(command, sizeof(command), "rm -r %s", dir);
	if (system(command))
		return 1;
	return tap_end();
}
