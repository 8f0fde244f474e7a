// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The command line of `vmm run`: what is taken, what is refused, and that the man
 * page tells of every option and exit status of the tables.
 */
/* unit-sources: ../runner/options.c ../runner/keys.c ../runner/config.c */
/* unit-sources: ../runner/topology.c ../runner/status.c ../runner/words.c ../runner/sched.c */
/* unit-flags: -D_GNU_SOURCE */
#include <sched.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include "tap.h"
#include "../runner/options.h"
#include "../runner/sched.h"

static struct config config;

/* Parse the words given. */
#define parse(...) parse_args((char *[]) { __VA_ARGS__, NULL })

static enum status parse_args(char **args)
{
	int count = 0;

	while (args[count])
		count++;
	config_defaults(&config);
	return options_parse(&run_options, count, args, &config);
}

static void test_values(void)
{
	is(parse("--kernel", "vmlinuz"), STATUS_OK, "--kernel FILE");
	is_str(config.kernel, "vmlinuz", "is taken");
	ok(!config.append, "the command line is left to the kernel");
	is(config.mem, 256ULL << 20, "so has the memory");
	is_str(config.cpus, "1", "and the number of CPUs");
	ok(!config.initrd && !config.no_reboot && !config.shadow_paging, "nothing else is set");
	is(parse("--kernel=a=b", "--mem=1G", "--cpus=3", "--no-reboot", "--append", "",
		 "--shadow-paging"), STATUS_OK, "values behind '='");
	is_str(config.kernel, "a=b", "only the first '=' divides");
	is(config.mem, 1ULL << 30, "sizes have units");
	is_str(config.cpus, "3", "CPUs are for later");
	ok(config.no_reboot && config.shadow_paging, "flags are set");
	is_str(config.append, "", "a value may be empty");
	is(parse("--initrd", "--kernel"), STATUS_OK, "a value may look like an option");
	is_str(config.initrd, "--kernel", "and is taken as it is");
}

static void test_sizes(void)
{
	static const struct {
		char *text;
		uint64_t size;	/* 0: refused */
	} cases[] = {
		{ "1024K", 1ULL << 20 }, { "3m", 3ULL << 20 }, { "2g", 2ULL << 30 },
		{ "1T", 1ULL << 40 }, { "2T", 0 }, { "1023K", 0 }, { "256", 0 }, { "", 0 },
		{ "M", 0 }, { "-1M", 0 }, { "+1M", 0 }, { " 1M", 0 }, { "1MB", 0 }, { "1.5G", 0 },
		{ "0x10M", 0 }, { "16777217T", 0 }, { "18446744073709551616M", 0 }, { "0M", 0 },
		{ "1P", 0 }, { "1\x2d", 0 }, { "1025K", 0 }, { "1028K", 1028 << 10 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum status status = parse("--mem", cases[i].text);

		is(status, cases[i].size ? STATUS_OK : STATUS_USAGE, "--mem '%s': status",
		   cases[i].text);
		if (cases[i].size)
			is(config.mem, cases[i].size, "--mem '%s': bytes", cases[i].text);
	}
}

static void test_flat(void)
{
	static const struct {
		const char *text;
		enum status status;
		struct config_flat want;
	} cases[] = {
		{ "a.bin", STATUS_OK, { 0x7c00, 0x7c00, CONFIG_REAL } },
		{ "a.bin,mode=long", STATUS_OK, { 0x100000, 0x100000, CONFIG_LONG } },
		{ "a.bin,mode=protected,entry=0x100010", STATUS_OK,
		  { 0x100000, 0x100010, CONFIG_PROTECTED } },
		{ "a.bin,entry=4096,addr=0", STATUS_OK, { 0, 4096, CONFIG_REAL } },
		{ "a.bin,addr=0xffffffff", STATUS_OK, { UINT32_MAX, UINT32_MAX, CONFIG_REAL } },
		{ "a.bin,", STATUS_USAGE, { 0 } },
		{ "a.bin,,mode=real", STATUS_USAGE, { 0 } },
		{ "a.bin,addr=0x100000000", STATUS_USAGE, { 0 } },
		{ "a.bin,mode=", STATUS_USAGE, { 0 } },
		{ "a.bin,mode=reals", STATUS_USAGE, { 0 } },
		{ "a.bin,mode=real,", STATUS_USAGE, { 0 } },
		{ "a.bin,addr", STATUS_USAGE, { 0 } },
		{ "a.bin,=1", STATUS_USAGE, { 0 } },
		{ "a.bin,addr=", STATUS_USAGE, { 0 } },
		{ "a.bin,addr=0x", STATUS_USAGE, { 0 } },
		{ "a.bin,addr=-1", STATUS_USAGE, { 0 } },
		{ "a.bin,addr=1,addr=1", STATUS_USAGE, { 0 } },
		{ "a.bin,base=1", STATUS_USAGE, { 0 } },
		{ "a.bin,addr=11111111111111111111111111", STATUS_USAGE, { 0 } },
		{ "a.bin,addr,mode=real", STATUS_USAGE, { 0 } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config_flat flat;

		is(config_flat(cases[i].text, &flat), cases[i].status, "--flat %s",
		   cases[i].text);
		if (!cases[i].status)
			ok(!memcmp(&flat, &cases[i].want, sizeof(flat)), "--flat %s: values",
			   cases[i].text);
	}
}

static void test_cpus(void)
{
	static const struct {
		const char *text;
		enum status status;
		struct topology want;
	} cases[] = {
		{ "1", STATUS_OK, { 1, 1, 1, 1 } },
		{ "512", STATUS_OK, { 512, 512, 1, 1 } },
		{ "4,cores=4", STATUS_OK, { 4, 1, 4, 1 } },
		{ "8,threads=2", STATUS_OK, { 8, 4, 1, 2 } },
		{ "8,sockets=2,threads=2", STATUS_OK, { 8, 2, 2, 2 } },
		{ "6,threads=2,sockets=1", STATUS_OK, { 6, 1, 3, 2 } },
		{ "3,threads=3", STATUS_OK, { 3, 1, 1, 3 } },
		{ "1,max=4", STATUS_OK, { 1, 4, 1, 1, 4 } },
		{ "4,max=4", STATUS_OK, { 4, 4, 1, 1, 4 } },
		{ "3,max=8,sockets=2,threads=2", STATUS_OK, { 3, 2, 2, 2, 8 } },
		{ "2,max=1", STATUS_USAGE }, { "1,max=513", STATUS_USAGE },
		{ "1,max=0", STATUS_USAGE }, { "4,max=6,cores=4", STATUS_USAGE },
		{ "0", STATUS_USAGE }, { "513", STATUS_USAGE }, { "2x", STATUS_USAGE },
		{ "18446744073709551617", STATUS_USAGE }, { "", STATUS_USAGE },
		{ "4,cores=3", STATUS_USAGE }, { "2,cores=4", STATUS_USAGE },
		{ "4,sockets=3", STATUS_USAGE }, { "4,cores=0", STATUS_USAGE },
		{ "6,sockets=2,cores=3", STATUS_USAGE }, { "6,threads=3,cores=2", STATUS_USAGE },
		{ "4,dies=2", STATUS_USAGE }, { "4,cores", STATUS_USAGE },
		{ "1,", STATUS_USAGE }, { ",", STATUS_USAGE }, { "1,max=4,", STATUS_USAGE },
		{ "1,,max=4", STATUS_USAGE },
		{ "512,sockets=512,cores=512,threads=512", STATUS_USAGE },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct topology topology;

		is(config_cpus(cases[i].text, &topology), cases[i].status, "--cpus %s",
		   cases[i].text);
		if (!cases[i].status)
			ok(!memcmp(&topology, &cases[i].want, sizeof(topology)),
			   "--cpus %s: arranged", cases[i].text);
	}
	parse("--kernel", "a", "--cpus", "513");
	is(config_check(&config), STATUS_USAGE, "the number of CPUs is checked");
}

static void test_sched(void)
{
	static const char *const bad[] = {
		"", ",", "fifo", "fifo:", "fifo:0", "fifo:100", "rr:-1", "nice:20", "nice:-21",
		"nice", "nice:--1", "other:1", "idle:0", "deadline", "fif:1", "fifo:1,", "fifo:1 ",
		"nice:18446744073709551617",
	};
	static struct sched_list list;

	is(sched_parse("fifo:99,rr:1,nice:-20,nice:19,batch,idle,other", &list), STATUS_OK,
	   "--sched of all kinds");
	is(list.count, 7, "seven attributes");
	ok(list.item[0].policy == SCHED_FIFO && list.item[0].value == 99, "fifo");
	ok(list.item[1].policy == SCHED_RR && list.item[1].value == 1, "rr");
	ok(list.item[2].policy == SCHED_OTHER && list.item[2].value == -20, "nice, down");
	ok(list.item[3].policy == SCHED_OTHER && list.item[3].value == 19, "nice, up");
	ok(list.item[4].policy == SCHED_BATCH && list.item[5].policy == SCHED_IDLE &&
	   list.item[6].policy == SCHED_OTHER, "the others");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is(sched_parse(bad[i], &list), STATUS_USAGE, "--sched '%s'", bad[i]);
}

static void test_pin(void)
{
	static const char *const bad[] = {
		"", ",", "0,", ",0", "1-", "-1", "2-1", "0-512", "8192", "a", "0 1", "0-1-2",
		"0-400,0-400",
	};
	struct config_pin pin;

	is(config_pin("3,0-2,7", &pin), STATUS_OK, "--pin 3,0-2,7");
	is(pin.count, 5, "are five host CPUs");
	ok(pin.cpu[0] == 3 && pin.cpu[1] == 0 && pin.cpu[3] == 2 && pin.cpu[4] == 7, "in order");
	is(config_pin("8191", &pin), STATUS_OK, "the last CPU there can be");
	is(config_pin("0-511", &pin), STATUS_OK, "as many as a guest may have");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is(config_pin(bad[i], &pin), STATUS_USAGE, "--pin '%s'", bad[i]);
	parse("--kernel", "a", "--pin", "x");
	is(config_check(&config), STATUS_USAGE, "the list is checked");
}

static void test_many(unsigned int count, enum status want)
{
	char *args[2 * CONFIG_LIST_MAX + 3] = { NULL };

	for (unsigned int i = 0; i < count; i++) {
		args[2 * i] = "--module";
		args[2 * i + 1] = "file";
	}
	is(parse_args(args), want, "%u modules", count);
}

/* A machine with a disk boots what its host runs, as far as nothing else is said. */
static void test_host_kernel(void)
{
	char kernel[CONFIG_BOOT_FILE], initrd[CONFIG_BOOT_FILE];
	struct utsname host;

	uname(&host);
	snprintf(kernel, sizeof(kernel), "/boot/vmlinuz-%s", host.release);
	snprintf(initrd, sizeof(initrd), "/boot/initrd.img-%s", host.release);
	is(parse("--net", "user"), STATUS_OK, "neither a disk nor a kernel");
	config_host_kernel(&config);
	is(config_check(&config), STATUS_USAGE, "is no machine");
	is(parse("--net", "user", "--disk", "a"), STATUS_OK, "a disk without a kernel");
	config_host_kernel(&config);
	is(config_check(&config), STATUS_OK, "is one");
	is_str(config.kernel, kernel, "with the host's kernel");
	is_str(config.initrd, initrd, "the initial RAM disk made for it");
	is_str(config.append, "root=/dev/vda console=ttyS0", "and the disk for its root");
	is(parse("--disk", "a", "--append", "b", "--initrd", "c"), STATUS_OK, "all the same");
	config_host_kernel(&config);
	is_str(config.append, "b", "its command line can be another");
	is_str(config.initrd, "c", "and its initial RAM disk");
	is(parse("--disk", "a", "--kernel", "b"), STATUS_OK, "or its kernel");
	config_host_kernel(&config);
	ok(!config.initrd && !config.append && !strcmp(config.kernel, "b"), "which is alone then");
}

static void test_kinds(void)
{
	is(parse("--kernel", "a", "--module", "b", "--module", "c,d"), STATUS_OK,
	   "modules may be several");
	is(config.module.count, 2, "they are counted");
	is_str(config.module.item[1], "c,d", "and in order");
	is(config_check(&config), STATUS_OK, "a kernel may have them");
	is(parse("--flat", "a"), STATUS_OK, "--flat");
	is(config_check(&config), STATUS_OK, "needs no kernel");
	is(parse("--firmware", "a"), STATUS_OK, "--firmware");
	is(config_check(&config), STATUS_OK, "neither");
	parse("--flat", "a,mode=x");
	is(config_check(&config), STATUS_USAGE, "keys of --flat are checked");
	parse("--flat", "a", "--firmware", "b");
	is(config_check(&config), STATUS_USAGE, "but not both");
	parse("--flat", "a", "--append", "b");
	is(config_check(&config), STATUS_USAGE, "a flat image has no command line");
	parse("--firmware", "a", "--module", "b");
	is(config_check(&config), STATUS_USAGE, "firmware has no modules");
	parse("--flat", "a", "--initrd", "b");
	is(config_check(&config), STATUS_USAGE, "nor has a flat image an initrd");
	test_many(CONFIG_LIST_MAX, STATUS_OK);
	test_many(CONFIG_LIST_MAX + 1, STATUS_USAGE);
}

static void test_ports(void)
{
	static const struct {
		char *text;
		uint64_t port;
		enum status status;
	} cases[] = {
		{ "0xf4", 0xf4 }, { "0XE9", 0xe9 }, { "244", 244 }, { "0", 0 }, { "65535", 65535 },
		{ "0xffff", 65535 }, { "0x10000", 0, STATUS_USAGE }, { "65536", 0, STATUS_USAGE },
		{ "", 0, STATUS_USAGE }, { "0x", 0, STATUS_USAGE }, { "f4", 0, STATUS_USAGE },
		{ "0xf4 ", 0, STATUS_USAGE }, { "-1", 0, STATUS_USAGE },
		{ "0x-1", 0, STATUS_USAGE }, { "0xfg", 0, STATUS_USAGE },
		{ "0x10000000000000000", 0, STATUS_USAGE },
	};

	parse("--kernel", "a");
	is(config.debug_exit, CONFIG_NO_PORT, "there is no debug-exit port by default");
	is(config.debug_console, CONFIG_NO_PORT, "nor a debug console");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		is(parse("--debug-exit", cases[i].text), cases[i].status, "--debug-exit '%s'",
		   cases[i].text);
		if (!cases[i].status)
			is(config.debug_exit, cases[i].port, "--debug-exit '%s': port",
			   cases[i].text);
	}
}

static void test_refused(void)
{
	is(parse("--kernel"), STATUS_USAGE, "a value is missing");
	is(parse("--kernel", "a", "--kernel", "b"), STATUS_USAGE, "an option is given twice");
	is(parse("--no-reboot", "--no-reboot"), STATUS_USAGE, "a flag is given twice");
	is(parse("--no-reboot=yes"), STATUS_USAGE, "a flag has a value");
	is(parse("--kern", "a"), STATUS_USAGE, "an option is cut short");
	is(parse("--kernels", "a"), STATUS_USAGE, "an option is too long");
	is(parse("-k", "a"), STATUS_USAGE, "there are no short options");
	is(parse("--", "a"), STATUS_USAGE, "nor an end of options");
	is(parse("vmlinuz"), STATUS_USAGE, "nor arguments that are none");
	config_defaults(&config);
	is(config_check(&config), STATUS_USAGE, "a machine without a kernel");
	is(parse("--kernel", "a"), STATUS_OK, "a machine with one");
	is(config_check(&config), STATUS_OK, "is usable");
}

/* The page without the roff escapes that the tables' texts do not have. */
static char *read_page(void)
{
	static char page[65536];
	FILE *file = fopen("../runner/vmm.1", "r");
	size_t len = 0;
	int c;

	if (!file)
		return NULL;
	while ((c = getc(file)) != EOF && len < sizeof(page) - 1)
		if (c != '\\')
			page[len++] = c;
	fclose(file);
	return page;
}

static void test_man_page(void)
{
	const char *page = read_page();
	char want[256];

	if (!ok(page, "the man page can be read"))
		return;
	for (unsigned int i = 0; i < run_options.count; i++) {
		const struct option_row *row = &run_options.rows[i];

		if (row->value)
			snprintf(want, sizeof(want), ".TP\n.BI --%s \" %s\"\n", row->name,
				 row->value);
		else
			snprintf(want, sizeof(want), ".TP\n.B --%s\n", row->name);
		ok(strstr(page, want), "the man page has --%s", row->name);
	}
	for (unsigned int i = 0; i < status_row_count; i++) {
		snprintf(want, sizeof(want), ".TP\n.B %d\n%s\n", status_rows[i].status,
			 status_rows[i].text);
		ok(strstr(page, want), "the man page has status %d as it is",
		   status_rows[i].status);
	}
}

/* Every value of enum status has its row, and only those, each once and in order. */
static void test_statuses(void)
{
	FILE *file = fopen("../runner/status.h", "r");
	unsigned int n = 0, value;
	char line[256];

	if (!ok(file, "status.h can be read"))
		return;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, " STATUS_%*[A-Z_] = %u", &value) != 1)
			continue;
		ok(n < status_row_count && status_rows[n].status == value,
		   "status %u of status.h is row %u", value, n);
		n++;
	}
	fclose(file);
	is(n, status_row_count, "there are no other rows");
}

static void test_help(void)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	unsigned int lines = 0, wide = 0;

	options_print(&run_options, out);
	status_print(out);
	fclose(out);
	for (unsigned int i = 0; i < status_row_count; i++) {
		char want[256];

		snprintf(want, sizeof(want), "  %3d  %s\n", status_rows[i].status,
			 status_rows[i].text);
		ok(strstr(text, want), "help has status %d with its text", status_rows[i].status);
	}
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		lines++;
		wide += strlen(line) > 80;
	}
	is(lines, run_options.count + status_row_count, "help has a line for each row");
	is(wide, 0, "no line is wider than a terminal");
	free(text);
}

/* Options of devices, which no other option's rule fits: they may be repeated. */
static void test_devices(void)
{
	static const struct option_row rows[] = {
		{ "disk", "FILE", OPTION_DEVICE, offsetof(struct config, devices), 0, 0, "a disk" },
		{ "net", "KIND", OPTION_DEVICE, offsetof(struct config, devices), 0, 0, "network" },
	};
	static const struct option_table table = { "run", rows, 2 };
	char *args[4] = { "--disk", "a", "--net=user", "--disk=b,ro" };
	char *many[VIRTIO_SLOTS_MAX + 1];

	config_defaults(&config);
	is(options_parse(&table, 4, args, &config), STATUS_OK, "devices may be repeated");
	is(config.devices.count, 3, "all of them are kept");
	is_str(config.devices.option[0].name, "disk", "with the option's name");
	is_str(config.devices.option[1].text, "user", "and what was said");
	is_str(config.devices.option[2].text, "b,ro", "in their order");
	for (unsigned int i = 0; i <= VIRTIO_SLOTS_MAX; i++)
		many[i] = "--disk=x";
	config_defaults(&config);
	is(options_parse(&table, VIRTIO_SLOTS_MAX, many, &config), STATUS_OK,
	   "as many as there are slots");
	config_defaults(&config);
	is(options_parse(&table, VIRTIO_SLOTS_MAX + 1, many, &config), STATUS_USAGE, "not more");
}

int main(void)
{
	test_values();
	test_sizes();
	test_cpus();
	test_sched();
	test_pin();
	test_flat();
	test_kinds();
	test_host_kernel();
	test_ports();
	test_refused();
	test_man_page();
	test_statuses();
	test_help();
	test_devices();
	return tap_end();
}
