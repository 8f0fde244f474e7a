/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `vmm doctor` knows and finds out. It only looks: nothing is loaded, changed
 * or kept open, and no check needs /dev/vmm to be there.
 *
 * A check is a row of doctor_checks[] or guest_rows[]; it fills one finding. Files
 * are read below struct doctor's root, so that tests bring their own machine.
 */
#ifndef RUNNER_DOCTOR_H
#define RUNNER_DOCTOR_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <linux/vmm.h>
#include "status.h"

/* Files of /proc, /sys and /etc, and a kernel's configuration, are smaller by far. */
#define DOCTOR_TEXT_MAX		(4U << 20)
/* A module, and a kernel image before and after it is unpacked. */
#define DOCTOR_IMAGE_MAX	(256U << 20)

#define DOCTOR_FINDINGS_MAX	32
#define DOCTOR_LINE		400

enum doctor_level {
	DOCTOR_OK,
	DOCTOR_WARN,		/* VMs run, but not as well as they could */
	DOCTOR_FAIL,		/* no VM runs */
	DOCTOR_UNKNOWN,		/* cannot be told, or does not matter here */
	DOCTOR_LEVELS
};

struct doctor_finding {
	const char *name;
	const char *value;	/* of a guest's option: "y", "m", "absent"; else NULL */
	enum doctor_level level;
	enum status status;	/* of DOCTOR_FAIL */
	char text[DOCTOR_LINE];	/* the cause, or what is well */
	char cure[DOCTOR_LINE];	/* empty: none is needed */
};

struct doctor_report {
	struct doctor_finding finding[DOCTOR_FINDINGS_MAX];
	unsigned int count;
	const struct vmm_info *info;	/* NULL: the module was not asked */
	char config[PATH_MAX];	/* --kernel: the file with the configuration */
};

enum doctor_extension {
	DOCTOR_NO_EXTENSION,
	DOCTOR_AMD_V,
	DOCTOR_VT_X,
	DOCTOR_EXTENSIONS
};

struct doctor {
	/* the machine; filled by doctor_here(), or by a test */
	const char *root;		/* before every path; "" is the real one */
	char release[80];		/* of the running kernel */
	uid_t uid;
	char user[64];
	gid_t device_gid;		/* of the device's file, 0 without one */
	void (*cpuid)(uint32_t leaf, uint32_t regs[4]);	/* EAX, EBX, ECX, EDX; subleaf 0 */

	/* filled by doctor_examine() */
	enum doctor_extension extension;
	bool hypervisor;		/* this machine is a VM itself */
	char *cpuinfo;			/* NULL: not readable */
	int fd;				/* of the device, or -errno of opening it */
	int abi;			/* 0, or -errno of vmm_check_abi() */
	struct vmm_info info;		/* valid if fd >= 0 and abi is 0 */
};

struct doctor_check {
	const char *name;
	void (*run)(const struct doctor *doctor, struct doctor_finding *finding);
};

extern const struct doctor_check doctor_hardware[], doctor_software[];
extern const unsigned int doctor_hardware_count, doctor_software_count;

/* ---- doctor.c ---- */

/* This machine, this user. */
void doctor_here(struct doctor *doctor);

/* Run all checks of the host. */
void doctor_examine(struct doctor *doctor, struct doctor_report *report);

/* 0: nothing failed; else the status of the first that did. */
enum status doctor_status(const struct doctor_report *report);

/* The next finding of @report, named @name, with level DOCTOR_OK. */
struct doctor_finding *doctor_add(struct doctor_report *report, const char *name);

/* Set a finding's level and text, or what to do about it; both are cleaned. */
void doctor_say(struct doctor_finding *finding, enum doctor_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void doctor_fail(struct doctor_finding *finding, enum status status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void doctor_cure(struct doctor_finding *finding, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Replace by '?' what would steer a terminal or is no UTF-8: @text came from a file. */
void doctor_clean(char *text);

/* ---- doctor_files.c ---- */

/* Is there such a file or directory? */
bool doctor_exists(const struct doctor *doctor, const char *path);

/*
 * The contents of the file whose path @fmt makes, below the root, NUL behind them; the
 * caller frees. NULL: not readable, or longer than @max. @len may be NULL.
 */
char *doctor_read(const struct doctor *doctor, size_t max, size_t *len, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * Unpack the gzip stream that @data starts with; what is behind it is ignored. As
 * doctor_read() otherwise.
 */
char *doctor_gunzip(const void *data, size_t size, size_t max, size_t *len);

/* The text of a configuration of the kernel that runs; NULL: none is to be had. */
char *doctor_host_config(const struct doctor *doctor);

/* CONFIG_@symbol (written without its prefix) in @config: 'y', 'm', or 0 for absent. */
char doctor_config_value(const char *config, const char *symbol);

/* Is @word one of the words of @text, divided by spaces or lines' ends? */
bool doctor_has_word(const char *text, const char *word);

/* ---- doctor_guest.c ---- */

/*
 * Which of the machine's devices the kernel in file @kernel can drive. @config: the
 * file with its configuration, or NULL: the one in the image, or one beside it.
 * Complains if there is no configuration.
 */
enum status doctor_guest(const char *kernel, const char *config, struct doctor_report *report);

/* ---- doctor_report.c ---- */

void doctor_print(FILE *out, const struct doctor_report *report, bool guest);
/* false: no memory. */
bool doctor_print_json(FILE *out, const struct doctor_report *report, bool guest);

#endif /* RUNNER_DOCTOR_H */
