// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * `vmm doctor`: can this machine run virtual machines, can this kernel be a guest,
 * and if not, why not and what to do.
 */
#include "command.h"
#include "doctor.h"
#include "options.h"

struct doctor_config {
	const char *kernel;
	const char *config;
	bool json;
	bool help;
};

#define AT(member) offsetof(struct doctor_config, member)

static const struct option_row rows[] = {
	{ "kernel", "FILE", OPTION_STRING, AT(kernel), 0, 0,
	  "look at a guest's kernel instead: what can it drive?" },
	{ "config", "FILE", OPTION_STRING, AT(config), 0, 0,
	  "that kernel's configuration" },
	{ "json", NULL, OPTION_FLAG, AT(json), 0, 0,
	  "print JSON" },
	{ "help", NULL, OPTION_FLAG, AT(help), 0, 0,
	  "print this and end" },
};

const struct option_table doctor_options = {
	"doctor", rows, sizeof(rows) / sizeof(rows[0]),
};

void command_doctor_help(void)
{
	puts("Usage: vmm doctor [OPTION]...\n"
	     "Say whether this machine can run virtual machines, and what to do if not.\n"
	     "\n"
	     "Options:");
	options_print(&doctor_options, stdout);
	puts("\n"
	     "Exit status: 0 if it can, else that with which vmm run would end:\n"
	     "'vmm run --help' lists them.");
}

static int report(const struct doctor_config *config)
{
	/* Too large for comfort on the stack. */
	static struct doctor_report report;
	static struct doctor doctor;
	bool guest = config->kernel;

	if (guest) {
		enum status status = doctor_guest(config->kernel, config->config, &report);

		if (status)
			return status;
	} else {
		doctor_here(&doctor);
		doctor_examine(&doctor, &report);
	}
	if (!config->json) {
		doctor_print(stdout, &report, guest);
	} else if (!doctor_print_json(stdout, &report, guest)) {
		complain("doctor: out of memory; free some");
		return STATUS_HOST;
	}
	return doctor_status(&report);
}

int command_doctor(int argc, char **argv)
{
	struct doctor_config config = { 0 };
	enum status status = options_parse(&doctor_options, argc, argv, &config);

	if (status)
		return status;
	if (config.help) {
		command_doctor_help();
		return STATUS_OK;
	}
	if (config.config && !config.kernel) {
		complain("doctor: --config is that of a guest's kernel; give --kernel FILE too");
		return STATUS_USAGE;
	}
	return report(&config);
}
