// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * `vmm run`: from the command line to the exit status.
 *
 * The order is that of cost and of trust: what can be refused without the host is
 * refused first; what needs files and descriptors is done before the sandbox; no
 * guest runs before it.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "command.h"
#include "control.h"
#include "keys.h"
#include "loop.h"
#include "options.h"
#include "sandbox.h"
#include "stats.h"
#include "terminal.h"

static const char usage[] =
	"Usage: vmm run [--kernel FILE | --flat FILE | --firmware FILE] [OPTION]...\n"
	"Boot a kernel as a guest; its console is this terminal. With a disk and no kernel it is\n"
	"the one that this host runs, with its initial RAM disk and root=/dev/vda.\n"
	"\n"
	"Options:\n";

static const char keys[] =
	"\n"
	"Keys, when standard input is a terminal:\n"
	"  Ctrl-A x       end the guest\n"
	"  Ctrl-A a       send Ctrl-A to the guest (or Ctrl-A Ctrl-A)\n"
	"  Ctrl-A h       list these keys\n"
	"\n"
	"Exit status:\n";

void command_run_help(void)
{
	fputs(usage, stdout);
	options_print(&run_options, stdout);
	fputs(keys, stdout);
	status_print(stdout);
}

/* All that lives from the first start of the machine to the last. */
struct session {
	struct config config;
	struct topology topology;
	struct config_pin pin;
	struct sched_list sched;
	struct boot_source source;
	struct boot_plan *plan;
	struct ram ram;
	struct virtio_slots devices;
	struct host host;
	struct console *console;
	struct control *control;	/* NULL: none */
	struct loop loop;
	struct stats stats;
};

/* ---- preparation ---- */

/* A file whose name may have arguments or keys behind it, which go to @rest with their comma. */
static enum status open_file(struct image *image, const char *what, const char *text,
			     const char **rest)
{
	size_t len = keys_split(text, rest);
	/* Lives as long as the process. */
	char *path = strndup(text, len);

	if (path)
		return image_open(image, what, path);
	complain("no memory for the name of a file; free some");
	return STATUS_HOST;
}

static enum status open_module(struct boot_source *source, const char *text)
{
	struct boot_module *module = &source->module[source->modules++];
	const char *rest;
	enum status status = open_file(&module->image, "module", text, &rest);

	module->args = rest + !!*rest;
	return status;
}

static enum status open_modules(const struct config *config, struct boot_source *source)
{
	enum status status = STATUS_OK;

	if (config->initrd) {
		struct boot_module *module = &source->module[source->modules++];

		module->args = "";
		module->initrd = true;
		status = image_open(&module->image, "initrd", config->initrd);
	}
	for (unsigned int i = 0; !status && i < config->module.count; i++)
		status = open_module(source, config->module.item[i]);
	return status;
}

static const enum boot_mode flat_modes[] = {
	[CONFIG_REAL] = BOOT_REAL,
	[CONFIG_PROTECTED] = BOOT_PROTECTED,
	[CONFIG_LONG] = BOOT_LONG,
};

static enum status open_flat(const struct config *config, struct boot_source *source)
{
	struct config_flat flat;
	const char *keys;
	enum status status = config_flat(config->flat, &flat);

	source->kind = BOOT_FLAT;
	source->flat = (struct boot_flat) { flat.addr, flat.entry, flat_modes[flat.mode] };
	return status ? status : open_file(&source->kernel, "flat image", config->flat, &keys);
}

static enum status open_files(struct session *session)
{
	const struct config *config = &session->config;
	struct boot_source *source = &session->source;
	enum status status;

	source->append = config->append;
	source->cpus = session->topology.cpus;
	source->max_cpus = session->topology.max;
	source->device_tree = config->device_tree;
	source->mailbox = !strcmp(config->smp_boot, "mailbox");
	if (config->flat)
		return open_flat(config, source);
	if (config->firmware) {
		source->kind = BOOT_FIRMWARE;
		return image_open(&source->kernel, "firmware", config->firmware);
	}
	status = image_open(&source->kernel, "kernel", config->kernel);
	return status ? status : open_modules(config, source);
}

/* What the module and the CPU can bear. */
static enum status check_limits(const struct session *session)
{
	const struct vmm_info *info = &session->host.info;
	const struct ram_part *last = &session->ram.part[RAM_ABOVE];

	if (topology_total(&session->topology) > info->max_vcpus) {
		complain("%llu CPUs are more than the module's %u; use a smaller --cpus",
			 (unsigned long long)topology_total(&session->topology), info->max_vcpus);
		return STATUS_HOST;
	}
	if (info->phys_bits < 64 && (last->gpa + last->size - 1) >> info->phys_bits) {
		complain("the CPU has addresses of %u bits only; use a smaller --mem",
			 info->phys_bits);
		return STATUS_HOST;
	}
	return STATUS_OK;
}

static enum status open_console(struct session *session)
{
	bool terminal = isatty(STDIN_FILENO);

	session->console = console_create(STDIN_FILENO, STDOUT_FILENO, terminal);
	if (!session->console) {
		complain("cannot create the console: %s; free some memory", strerror(errno));
		return STATUS_HOST;
	}
	if (terminal)
		terminal_open(STDIN_FILENO);
	machine_setup_signals();
	return loop_open(&session->loop, session->console, terminal,
			 session->config.stats ? &session->stats : NULL);
}

static enum status open_devices(struct session *session)
{
	const struct config *config = &session->config;
	enum status status;

	session->devices.mmio = !strcmp(config->transport, "mmio");
	session->devices.packed = !strcmp(config->rings, "packed");
	status = virtio_slots_open(&session->devices, &config->devices);
	session->source.virtio_mmio = session->devices.mmio ? session->devices.count : 0;
	return status;
}

static enum status prepare(struct session *session)
{
	enum status status = config_cpus(session->config.cpus, &session->topology);

	if (!status && session->config.pin)
		status = config_pin(session->config.pin, &session->pin);
	if (!status && session->config.sched)
		status = sched_parse(session->config.sched, &session->sched);
	if (!status)
		status = sched_permit(&session->sched);
	if (!status)
		status = open_files(session);
	ram_plan(&session->ram, session->config.mem);
	if (session->source.kind == BOOT_FIRMWARE)
		ram_plan_rom(&session->ram, session->source.kernel.size);
	if (!status)
		status = boot_plan(&session->source, &session->ram, &session->plan);
	if (!status)
		status = host_open(&session->host);
	if (!status) {
		session->source.tsc_khz = session->config.tsc_khz ?: session->host.info.tsc_khz;
		session->source.tsc_in_cpuid = host_is_intel();
		status = boot_plan_tsc(session->plan, &session->source);
	}
	if (!status)
		status = check_limits(session);
	if (!status)
		status = ram_map(&session->ram);
	if (!status)
		status = open_devices(session);
	if (!status && session->config.control)
		status = control_open(session->config.control, &session->control);
	if (!status)
		status = open_console(session);
	return status;
}

static enum status create_machine(struct session *session, struct machine **machine)
{
	struct machine_spec spec = {
		.host = &session->host,
		.ram = &session->ram,
		.source = &session->source,
		.plan = session->plan,
		.console = session->console,
		.control = session->control,
		.devices = &session->devices,
		.cpus = session->source.cpus,
		.topology = &session->topology,
		.pin = session->config.pin ? &session->pin : NULL,
		.sched = &session->sched,
		.tsc_khz = session->config.tsc_khz,
		.shadow_paging = session->config.shadow_paging,
		.debug_exit = session->config.debug_exit,
		.debug_console = session->config.debug_console,
	};

	return machine_create(&spec, machine);
}

/* The last step before guests: the sandbox, then the thread and the terminal's mode. */
static enum status confine(struct session *session)
{
	const struct topology *topology = &session->topology;
	/* Besides the devices': CPUs that come later, and who is at the control socket. */
	unsigned int descriptors = virtio_slots_descriptors(&session->devices) +
				   topology_total(topology) - topology->cpus + 1;
	enum status status = sandbox_enter(virtio_slots_write(&session->devices), descriptors);

	if (!status)
		status = console_start(session->console);
	if (!status)
		terminal_raw();
	return status;
}

/* ---- running ---- */

static void count_exits(struct session *session, struct machine *machine)
{
	int err = session->config.stats ? stats_add(&session->stats, machine) : 0;

	if (err)
		complain("the module refused to say what it counted: %s; report this",
			 strerror(-err));
}

/* A machine that has to be stopped, and what is to be known of it. */
struct ending {
	struct session *session;
	struct machine *machine;
	struct machine_end end;
	int done_fd;			/* an eventfd */
};

static void stop_machine(struct ending *ending)
{
	struct session *session = ending->session;
	struct machine *machine = ending->machine;

	machine_stop(machine);
	count_exits(session, machine);
	ending->end = machine_get_end(machine);
	/* A guest that restarts keeps the CPUs that it has been given. */
	session->source.cpus = machine_get_cpus(machine).wanted;
	machine_destroy(machine);
}

static void *ending_thread(void *opaque)
{
	struct ending *ending = opaque;
	uint64_t one = 1;

	stop_machine(ending);
	/* An eventfd at 0 takes a 1. */
	if (write(ending->done_fd, &one, sizeof(one)) < 0)
		abort();
	return NULL;
}

/*
 * In a thread of its own: what waits for a disk that does not answer can be waited for no longer
 * than the user wants. Such a thread stays behind, and the process ends.
 */
static void end_machine(struct ending *ending, struct loop_result *result)
{
	struct session *session = ending->session;
	pthread_t thread;
	int err;

	ending->done_fd = eventfd(0, EFD_CLOEXEC);
	err = ending->done_fd < 0 ? errno : pthread_create(&thread, NULL, ending_thread, ending);
	if (err) {
		stop_machine(ending);
		return;
	}
	if (!loop_wait(&session->loop, ending->done_fd, result)) {
		terminal_restore();
		complain("the machine does not stop in time: if a disk or network of the host does "
			 "not answer, what the guest had not flushed may be lost; see to the host");
		return;
	}
	pthread_join(thread, NULL);
	close(ending->done_fd);
}

/* Run @machine to its end and give it back. */
static enum status run_machine(struct session *session, struct machine *machine,
			       struct loop_result *result, struct machine_end *end)
{
	/* A thread that stays behind has it. */
	static struct ending ending;
	enum status status = machine_start(machine);

	if (status) {
		machine_destroy(machine);
		return status;
	}
	ending = (struct ending) { .session = session, .machine = machine };
	*result = loop_run(&session->loop, machine);
	end_machine(&ending, result);
	*end = ending.end;
	return STATUS_OK;
}

/* Output that nobody can read any more, as the shell knows it from other programs. */
static int lost_status(const struct session *session)
{
	int err = console_error(session->console);

	if (err == EPIPE)
		return STATUS_SIGNAL + SIGPIPE;
	terminal_restore();
	complain("cannot write the guest's output: %s; see to standard output", strerror(err));
	return STATUS_HOST;
}

/* The exit status for what ended the last machine, with its message. */
static int finish(struct session *session, struct loop_result result,
		  const struct machine_end *end)
{
	if (result.end == LOOP_MACHINE)
		result = loop_drain(&session->loop);
	terminal_restore();
	if (session->config.stats)
		stats_print(&session->stats, stderr, "\n");
	if (result.end == LOOP_SIGNAL)
		return STATUS_SIGNAL + result.signal;
	if (result.end == LOOP_LOST)
		return lost_status(session);
	if (end->kind == MACHINE_EXIT)
		return end->status;
	if (end->kind != MACHINE_FAILED)
		return STATUS_OK;
	complain("%s", end->reason);
	return end->status;
}

static int run(struct session *session)
{
	struct machine *machine;
	enum status status = create_machine(session, &machine);

	if (status)
		return status;
	status = confine(session);
	if (status) {
		machine_destroy(machine);
		return status;
	}
	for (;;) {
		struct loop_result result;
		struct machine_end end = { 0 };

		status = run_machine(session, machine, &result, &end);
		if (status)
			return status;
		if (result.end != LOOP_MACHINE || end.kind != MACHINE_RESET ||
		    session->config.no_reboot)
			return finish(session, result, &end);
		status = create_machine(session, &machine);
		if (status)
			return status;
	}
}

int command_run(int argc, char **argv)
{
	/* Too large for comfort on the stack, and one is all there is. */
	static struct session session = {
		.source = { .kernel = { .fd = -1 } },
		.host = { .fd = -1 },
	};
	int keep[VIRTIO_SLOTS_MAX];
	unsigned int kept;
	enum status status;

	config_defaults(&session.config);
	status = options_parse(&run_options, argc, argv, &session.config);
	if (status)
		return status;
	if (session.config.help) {
		command_run_help();
		return STATUS_OK;
	}
	config_host_kernel(&session.config);
	status = config_check(&session.config);
	if (!status)
		status = virtio_options_fds(&session.config.devices, keep, &kept);
	if (status)
		return status;
	sandbox_clean(keep, kept);
	status = prepare(&session);
	/* The process ends here: its exit gives the rest back. */
	return status ? (int)status : run(&session);
}
