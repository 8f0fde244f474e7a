// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The `vmm` program: a table of subcommands. It knows no options but --help and
 * --version.
 */
#include <stdio.h>
#include <string.h>
#include "command.h"
#include "status.h"

#ifndef VMM_VERSION
#define VMM_VERSION "0"
#endif

static int command_help(int argc, char **argv);

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	void (*help)(void);	/* NULL: the program's own */
	const char *text;
} commands[] = {
	{ "run", command_run, command_run_help, "boot a kernel as a guest" },
	{ "control", command_control, command_control_help, "tell a machine that runs something" },
	{ "switch", command_switch, command_switch_help, "connect guests to each other" },
	{ "doctor", command_doctor, command_doctor_help, "say whether this machine can" },
	{ "help", command_help, NULL, "print help, or the help of a command" },
};

static void print_help(void)
{
	puts("Usage: vmm COMMAND [ARGUMENT]...\n"
	     "Run virtual machines on the vmm kernel module.\n"
	     "\n"
	     "Commands:");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		printf("  %-13s  %s\n", commands[i].name, commands[i].text);
	puts("\n"
	     "Options:\n"
	     "  --help         print this\n"
	     "  --version      print the version\n"
	     "\n"
	     "'vmm COMMAND --help' tells more.");
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	complain("there is no command '%s'; 'vmm --help' lists them", name);
	return NULL;
}

static int command_help(int argc, char **argv)
{
	const struct command *command;

	if (argc > 1) {
		complain("help: takes one command; leave '%s' out", argv[1]);
		return STATUS_USAGE;
	}
	command = find(argc ? argv[0] : "help");
	if (!command)
		return STATUS_USAGE;
	if (command->help)
		command->help();
	else
		print_help();
	return STATUS_OK;
}

/* Output that did not arrive must not look like success. */
static int flush(int status)
{
	if (fflush(stdout) || ferror(stdout)) {
		complain("cannot write to standard output; see to it");
		return STATUS_HOST;
	}
	return status;
}

int main(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		complain("no command given; 'vmm --help' lists them");
		return STATUS_USAGE;
	}
	if (!strcmp(argv[1], "--help")) {
		print_help();
		return flush(STATUS_OK);
	}
	if (!strcmp(argv[1], "--version")) {
		puts("vmm " VMM_VERSION);
		return flush(STATUS_OK);
	}
	command = find(argv[1]);
	return command ? flush(command->run(argc - 2, argv + 2)) : STATUS_USAGE;
}
