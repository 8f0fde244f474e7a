// SPDX-License-Identifier: GPL-2.0-or-later
/* See control.h. What a line does is a row of the table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "control.h"
#include "keys.h"
#include "machine.h"
#include "virtio/lines.h"

/* Room for any answer. */
#define ANSWER_SIZE	160
/* And for a device's name. */
#define LINK_NAME_SIZE	16

struct control {
	struct lines lines;
	struct machine *machine;	/* while attached */
};

static void do_cpus(struct control *control, const char *argument, char *answer)
{
	const char *wrong = "not a number of CPUs";
	uint64_t count;

	if (keys_number(argument, strlen(argument), &count) && count <= UINT32_MAX)
		wrong = machine_set_cpus(control->machine, count);
	if (wrong)
		snprintf(answer, ANSWER_SIZE, "error: cpus %s: %s\n", argument, wrong);
	else
		snprintf(answer, ANSWER_SIZE, "ok\n");
}

/* `NAME up` or `NAME down`. */
static void do_link(struct control *control, const char *argument, char *answer)
{
	char name[LINK_NAME_SIZE];
	size_t len = strcspn(argument, " ");
	const char *word = argument + len;
	const char *wrong = "write a network's name, then 'up' or 'down'";

	if (len < sizeof(name) && (!strcmp(word, " up") || !strcmp(word, " down"))) {
		memcpy(name, argument, len);
		name[len] = 0;
		wrong = virtio_bay_set_link(control->machine->bay, name, !strcmp(word, " up"));
	}
	if (wrong)
		snprintf(answer, ANSWER_SIZE, "error: link %.32s: %s\n", argument, wrong);
	else
		snprintf(answer, ANSWER_SIZE, "ok\n");
}

static void do_show(struct control *control, const char *argument, char *answer)
{
	struct machine_cpus cpus = machine_get_cpus(control->machine);

	(void)argument;
	snprintf(answer, ANSWER_SIZE, "cpus=%u wanted=%u max=%u\n", cpus.there, cpus.wanted,
		 cpus.max);
}

static const struct {
	const char *name;
	bool argument;
	void (*serve)(struct control *control, const char *argument, char *answer);
} commands[] = {
	{ "cpus", true, do_cpus },
	{ "link", true, do_link },
	{ "show", false, do_show },
};

static void on_line(void *opaque, const char *line)
{
	struct control *control = opaque;
	size_t len = strcspn(line, " ");
	const char *argument = line[len] ? line + len + 1 : NULL;
	char answer[ANSWER_SIZE] =
		"error: not a command; write 'cpus N', 'link NAME up|down' or 'show'\n";

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strlen(commands[i].name) == len && !memcmp(commands[i].name, line, len) &&
		    commands[i].argument == !!argument)
			commands[i].serve(control, argument, answer);
	lines_reply(&control->lines, answer);
}

enum status control_attach(struct control *control, struct machine *machine)
{
	control->machine = machine;
	if (lines_attach(&control->lines, virtio_bay_thread(machine->bay), on_line, control))
		return STATUS_OK;
	complain("cannot wait at the control socket; allow more open files");
	return STATUS_HOST;
}

void control_detach(struct control *control)
{
	if (control->machine)
		lines_detach(&control->lines);
	control->machine = NULL;
}

enum status control_open(const char *path, struct control **out)
{
	struct control *control = calloc(1, sizeof(*control));
	enum status status;

	if (!control) {
		complain("no memory for a control socket; free some");
		return STATUS_HOST;
	}
	status = lines_open(&control->lines, "--control", path);
	if (status)
		free(control);
	else
		*out = control;
	return status;
}
