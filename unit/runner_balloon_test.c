// SPDX-License-Identifier: GPL-2.0-or-later
/* The balloon against a scripted driver: what it gives back, and the lines on its socket. */
/* unit-sources: ../runner/virtio/balloon.c ../runner/virtio/lines.c ../runner/listener.c */
/* unit-sources: ../runner/words.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/virtio_balloon.h>
#include "tap.h"
#include "virtio_world.h"

extern const struct virtio_type virtio_balloon;

#define STATS		VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ)
#define REPORTING	VIRTIO_FEATURE(VIRTIO_BALLOON_F_REPORTING)
#define PAGE		4096UL
#define FIRST		0x400000UL	/* pages for the balloon */

static char path[64];
static void *backend;

static struct world *open_world(const char *size)
{
	char text[128];

	backend = NULL;
	snprintf(text, sizeof(text), "%s,socket=%s", size, path);
	if (virtio_balloon.open(text, &backend))
		abort();
	return world_open(&virtio_balloon, backend);
}

static void close_world(struct world *world)
{
	world_close(world);
	virtio_balloon.close(backend);
	unlink(path);
}

/* How many of @pages from @gpa on the host has memory for. */
static unsigned int resident(struct world *world, uint64_t gpa, unsigned int pages)
{
	unsigned char in[1024];
	unsigned int n = 0;

	if (pages > sizeof(in) || mincore(world_at(world, gpa, pages * PAGE), pages * PAGE, in))
		abort();
	for (unsigned int i = 0; i < pages; i++)
		n += in[i] & 1;
	return n;
}

static void touch(struct world *world, uint64_t gpa, unsigned int pages)
{
	memset(world_at(world, gpa, pages * PAGE), 0x5a, pages * PAGE);
}

/* A list of pages on @queue: @pages from @gpa on, each @step pages behind the last. */
static void list(struct world *world, unsigned int queue, uint64_t gpa, unsigned int pages,
		 int step)
{
	uint64_t at = world_alloc(world, pages * 4);
	uint32_t *pfn = world_at(world, at, pages * 4);

	for (unsigned int i = 0; i < pages; i++)
		pfn[i] = gpa / PAGE + (int)i * step;
	driver_add(world, queue, (struct buffer[]) { { at, pages * 4, false } }, 1);
	driver_kick(world, queue);
}

static int dial(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	memcpy(address.sun_path, path, sizeof(path));
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		abort();
	return fd;
}

static void say(struct world *world, int fd, const char *line)
{
	ssize_t n = write(fd, line, strlen(line));

	(void)n;
	world_settle(world);
}

static const char *hear(int fd)
{
	static char text[512];
	ssize_t n = read(fd, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = 0;
	return n < 0 ? "(nothing)" : n ? text : "(end)";
}

static uint32_t wanted(struct world *world)
{
	struct virtio_balloon_config config = { 0 };

	virtio_config_read(world->core, 0, &config, 8);
	return config.num_pages;
}

/* ---- memory ---- */

static void test_pages(void)
{
	struct world *world = open_world("12M");

	is(wanted(world), 1024, "of 16 MiB 12 are to be left");
	driver_start(world, 0);
	touch(world, FIRST, 600);
	is(resident(world, FIRST, 600), 600, "pages that were touched");
	list(world, 0, FIRST, 256, 1);
	is(driver_used(world, 0, NULL), 0, "go into the balloon");
	is(resident(world, FIRST, 256), 0, "and are the host's");
	is(resident(world, FIRST + 256 * PAGE, 344), 344, "but no others");
	list(world, 0, FIRST + 599 * PAGE, 100, -1);
	is(resident(world, FIRST + 500 * PAGE, 100), 0, "backwards too");
	list(world, 0, FIRST + 256 * PAGE, 100, 2);
	is(resident(world, FIRST + 256 * PAGE, 200), 100, "and every other one");
	list(world, 1, FIRST, 256, 1);
	ok(driver_used(world, 1, NULL) >= 0, "out of the balloon");
	touch(world, FIRST, 256);
	is(resident(world, FIRST, 256), 256, "they can be touched again");
	list(world, 0, FIRST, 10000, 0);
	ok(driver_used(world, 0, NULL) >= 0, "a list longer than a turn");
	is(world_complaints, 0, "no complaint");
	close_world(world);
}

static void test_reports(void)
{
	struct world *world = open_world("16M");
	const struct buffer report[] = {
		{ FIRST, 100 * PAGE, true }, { FIRST + 200 * PAGE + 1, 3 * PAGE, true },
	};

	is(wanted(world), 0, "nothing is wanted");
	driver_start(world, REPORTING);
	touch(world, FIRST, 512);
	/* Without statistics the queue of reports is the third. */
	driver_add(world, 2, report, 2);
	driver_kick(world, 2);
	is(driver_used(world, 2, NULL), 0, "a report comes back");
	is(resident(world, FIRST, 200), 100, "what it said is free is the host's");
	is(resident(world, FIRST + 200 * PAGE, 4), 2, "of broken pages only whole ones");
	driver_reset(world);
	driver_start(world, REPORTING | STATS);
	driver_add(world, 3, (struct buffer[]) { { FIRST + 100 * PAGE, 50 * PAGE, true } }, 1);
	driver_kick(world, 3);
	is(resident(world, FIRST + 100 * PAGE, 100), 50, "with statistics it is the fourth");
	driver_reset(world);
	driver_start(world, 0);
	driver_add(world, 2, (struct buffer[]) { { FIRST + 300 * PAGE, PAGE, true } }, 1);
	driver_kick(world, 2);
	is(resident(world, FIRST + 300 * PAGE, 1), 1, "without reports there is none");
	close_world(world);
}

/* ---- the socket ---- */

static void give_stats(struct world *world, uint64_t free)
{
	/* Linux 6.12 gives 16, those of virtual memory first. */
	const struct virtio_balloon_stat stats[] = {
		[0 ... 12] = { 77, 1 },
		{ VIRTIO_BALLOON_S_MEMFREE, free }, { 78, 1 }, { VIRTIO_BALLOON_S_MEMTOT, 1000 },
	};
	uint64_t at = world_alloc(world, sizeof(stats));

	memcpy(world_at(world, at, sizeof(stats)), stats, sizeof(stats));
	driver_add(world, 2, (struct buffer[]) { { at, sizeof(stats), false } }, 1);
	driver_kick(world, 2);
}

static void test_lines(void)
{
	struct world *world = open_world("12M");
	uint32_t actual = 512;
	int fd, other;

	fd = dial();
	say(world, fd, "show\n");
	is_str(hear(fd), "target=12582912 memory=16777216\n", "without a driver this is known");
	driver_start(world, STATS);
	give_stats(world, 500);
	virtio_config_write(world->core, 4, &actual, sizeof(actual));
	say(world, fd, "show\n");
	is_str(hear(fd), "(nothing)", "a question goes to the driver");
	is(driver_used(world, 2, NULL), 0, "who gets its buffer");
	give_stats(world, 600);
	is_str(hear(fd), "target=12582912 memory=14680064 free-memory=600 total-memory=1000\n",
	       "and answers");
	say(world, fd, "target 8M\ntarget 1G\nshow\n");
	is_str(hear(fd), "ok\nok\n", "several lines at once");
	is(wanted(world), 0, "the last one counts");
	is(world->config_interrupts, 2, "and the driver is told");
	give_stats(world, 700);
	is_str(hear(fd), "target=16777216 memory=14680064 free-memory=700 total-memory=1000\n",
	       "in their order");
	other = dial();
	say(world, other, "show\n");
	is_str(hear(other), "(nothing)", "a second peer waits");
	say(world, fd, "show\n");
	is_str(hear(fd), "(nothing)", "for the first, whose question the driver has");
	close(fd);
	world_settle(world);
	is_str(hear(other), "target=16777216 memory=14680064 free-memory=700 total-memory=1000\n",
	       "until that is gone, even when the driver never answers");
	say(world, other, "show\ntarget 8M\n");
	driver_reset(world);
	world_settle(world);
	is_str(hear(other), "target=16777216 memory=14680064 free-memory=700 "
	       "total-memory=1000\nok\n",
	       "what comes in vain is answered with what is known");
	say(world, other, "target 5\n");
	ok(strstr(hear(other), "error: "), "a size without a unit is an error");
	for (int i = 0; i < 20; i++)
		say(world, other, "no line ends ");
	is(write(other, "\n", 1), -1, "who never ends a line is hung up on");
	close(other);
	close_world(world);
}

/* ---- rude drivers, state, the option ---- */

static void test_rude(void)
{
	struct world *world = open_world("12M");
	uint32_t value = 7;

	driver_start(world, STATS | REPORTING);
	virtio_config_write(world->core, 0, &value, sizeof(value));
	is(wanted(world), 1024, "a driver does not say what is wanted");
	list(world, 0, WORLD_RAM, 1, 1);
	ok(world->core->broken, "a page outside of RAM breaks the device");
	driver_reset(world);
	driver_start(world, STATS | REPORTING);
	list(world, 0, WORLD_ROM, 1, 1);
	ok(world->core->broken, "and so does one of firmware");
	is(world_complaints, 1, "one complaint");
	driver_reset(world);
	driver_start(world, STATS | REPORTING);
	driver_add(world, 0, (struct buffer[]) { { FIRST, 3, false } }, 1);
	driver_add(world, 0, (struct buffer[]) { { FIRST, 64, true } }, 1);
	driver_kick(world, 0);
	is(driver_used(world, 0, NULL), 0, "three bytes are no page");
	ok(driver_used(world, 0, NULL) >= 0, "nor is a buffer to write to");
	driver_add(world, 2, (struct buffer[]) { { FIRST, 3, false } }, 1);
	driver_kick(world, 2);
	ok(!world->core->broken, "statistics of three bytes are none");
	close_world(world);
}

static void test_round_trip(void)
{
	struct world *world = open_world("12M");
	uint32_t actual = 77, got = 0;
	struct state state;

	driver_start(world, STATS);
	virtio_config_write(world->core, 4, &actual, sizeof(actual));
	virtio_quiesce(world->core);
	state_init(&state);
	virtio_save(world->core, &state);
	virtio_load(world->core, &state);
	ok(state_good(&state) && state.at == state.len, "saved and loaded");
	virtio_resume(world->core);
	world_settle(world);
	virtio_config_read(world->core, 4, &got, sizeof(got));
	is(got, 77, "what the balloon holds is known");
	touch(world, FIRST, 8);
	list(world, 0, FIRST, 8, 1);
	is(resident(world, FIRST, 8), 0, "it goes on");
	state_free(&state);
	close_world(world);
}

static enum status try(const char *text)
{
	enum status status;

	backend = NULL;
	status = virtio_balloon.open(text, &backend);
	if (!status)
		virtio_balloon.close(backend);
	return status;
}

static void test_option(void)
{
	is(try("64M"), STATUS_OK, "a size alone");
	is(try("64"), STATUS_USAGE, "a unit is needed");
	is(try("64M,pages=3"), STATUS_USAGE, "unknown words");
	is(try("64M,socket=/nonexistent/b"), STATUS_BAD_FILE, "a socket that cannot be");
	backend = NULL;
	is(virtio_balloon.open("64M", &backend), STATUS_OK, "one balloon");
	is(virtio_balloon.open("64M", &backend), STATUS_USAGE, "and no second");
	virtio_balloon.close(backend);
}

int main(void)
{
	snprintf(path, sizeof(path), "/tmp/runner_balloon_test.%d", getpid());
	signal(SIGPIPE, SIG_IGN);
	test_pages();
	test_reports();
	test_lines();
	test_rude();
	test_round_trip();
	backend = NULL;
	test_option();
	return tap_end();
}
