// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A report as lines for people and as JSON for programs. The keys of the JSON are
 * part of the program's interface: vmm.1 lists them.
 */
#include <json-c/json.h>
#include "doctor.h"

#ifndef VMM_VERSION
#define VMM_VERSION "0"
#endif

static const char *const level_names[DOCTOR_LEVELS] = {
	[DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn", [DOCTOR_FAIL] = "FAIL",
	[DOCTOR_UNKNOWN] = "unknown",
};

/* In JSON every result is written small. */
static const char *json_level(enum doctor_level level)
{
	return level == DOCTOR_FAIL ? "fail" : level_names[level];
}

static const struct {
	uint64_t feature;
	const char *name;
} features[] = {
	{ VMM_FEATURE_NEXT_RIP, "next-rip" },
	{ VMM_FEATURE_REAL_MODE, "real-mode" },
	{ VMM_FEATURE_TSC_SCALING, "tsc-scaling" },
	{ VMM_FEATURE_VIRTUAL_NMI, "virtual-nmi" },
	{ VMM_FEATURE_FLUSH_BY_TAG, "flush-by-tag" },
	{ VMM_FEATURE_LARGE_2M, "large-2m" },
	{ VMM_FEATURE_LARGE_1G, "large-1g" },
	{ VMM_FEATURE_VIRTUAL_APIC, "virtual-apic" },
};

static const char *backend_name(const struct vmm_info *info)
{
	return info->backend == VMM_BACKEND_AMD_V ? "AMD-V" :
	       info->backend == VMM_BACKEND_VT_X ? "VT-x" : "none";
}

static const char *paging_name(const struct vmm_info *info)
{
	return info->paging == VMM_PAGING_NESTED ? "nested" :
	       info->paging == VMM_PAGING_SHADOW ? "shadow" : "none";
}

/* ---- lines ---- */

static void print_finding(FILE *out, const struct doctor_finding *finding)
{
	fprintf(out, "%-7s  %-13s  ", level_names[finding->level], finding->name);
	if (finding->value)
		fprintf(out, "%-6s  ", finding->value);
	fprintf(out, "%s\n", finding->text);
	if (finding->cure[0])
		fprintf(out, "%-7s  %-13s  -> %s\n", "", "", finding->cure);
}

static void print_mode(FILE *out, const struct vmm_info *info)
{
	fprintf(out, "mode: %s, %s paging, addresses of %u bits, up to %u CPUs a guest;",
		backend_name(info), paging_name(info), info->phys_bits, info->max_vcpus);
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		if (info->features & features[i].feature)
			fprintf(out, " %s", features[i].name);
	fputc('\n', out);
}

void doctor_print(FILE *out, const struct doctor_report *report, bool guest)
{
	enum status status = doctor_status(report);

	if (guest)
		fprintf(out, "configuration: %s\n", report->config[0] ? report->config : "none");
	for (unsigned int i = 0; i < report->count; i++)
		print_finding(out, &report->finding[i]);
	if (report->info && report->info->backend)
		print_mode(out, report->info);
	if (guest)
		fprintf(out, "This kernel %s run as a guest.\n", status ? "cannot" : "can");
	else
		fprintf(out, "This machine %s run virtual machines.\n", status ? "cannot" : "can");
}

/* ---- JSON ---- */

/* Each of these takes the value over; a value that is NULL becomes null. */
static void put(struct json_object *to, const char *key, struct json_object *value)
{
	json_object_object_add(to, key, value);
}

static void put_string(struct json_object *to, const char *key, const char *value)
{
	put(to, key, value ? json_object_new_string(value) : NULL);
}

static struct json_object *json_finding(const struct doctor_finding *finding, bool guest)
{
	struct json_object *row = json_object_new_object();

	put_string(row, "name", finding->name);
	put_string(row, "result", json_level(finding->level));
	if (guest)
		put_string(row, "value", finding->value);
	put_string(row, "text", finding->text);
	put_string(row, "cure", finding->cure[0] ? finding->cure : NULL);
	return row;
}

static struct json_object *json_mode(const struct vmm_info *info)
{
	struct json_object *mode, *list;

	if (!info || !info->backend)
		return NULL;
	mode = json_object_new_object();
	list = json_object_new_array();
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		if (info->features & features[i].feature)
			json_object_array_add(list, json_object_new_string(features[i].name));
	put_string(mode, "extension", backend_name(info));
	put_string(mode, "paging", paging_name(info));
	put(mode, "features", list);
	put(mode, "max_vcpus", json_object_new_int64(info->max_vcpus));
	put(mode, "phys_bits", json_object_new_int64(info->phys_bits));
	return mode;
}

bool doctor_print_json(FILE *out, const struct doctor_report *report, bool guest)
{
	struct json_object *top = json_object_new_object();
	struct json_object *checks = json_object_new_array();
	enum status status = doctor_status(report);
	const char *text;

	for (unsigned int i = 0; i < report->count; i++)
		json_object_array_add(checks, json_finding(&report->finding[i], guest));
	put_string(top, "version", VMM_VERSION);
	put(top, "can_run", json_object_new_boolean(!status));
	put(top, "status", json_object_new_int64(status));
	if (guest)
		put_string(top, "config", report->config);
	else
		put(top, "mode", json_mode(report->info));
	put(top, "checks", checks);
	text = json_object_to_json_string_ext(top, JSON_C_TO_STRING_PRETTY |
						   JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text)
		fprintf(out, "%s\n", text);
	json_object_put(top);
	return text;
}
