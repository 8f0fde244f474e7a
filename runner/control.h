/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `--control PATH`: a Unix socket through which the machine is asked and told things while
 * the guest runs, by lines (virtio/lines.h):
 *
 *   cpus N	have N CPUs; answered "ok" when those that lack have come: those that are too
 *		many go when the guest lets them
 *   link NAME up|down	plug network NAME (net0 is the first) in, or pull the plug
 *   show	"cpus=N wanted=N max=N": CPUs that are there, that were asked for, that can be
 *
 * It is made before the sandbox and outlives restarts of the guest. An answer that is none
 * begins with "error: ".
 */
#ifndef RUNNER_CONTROL_H
#define RUNNER_CONTROL_H

#include "status.h"

struct control;
struct machine;

/* Complains. */
enum status control_open(const char *path, struct control **control);

/* Serve @machine, in its I/O thread. Complains. */
enum status control_attach(struct control *control, struct machine *machine);
/* The machine has been stopped, or never started. */
void control_detach(struct control *control);

#endif /* RUNNER_CONTROL_H */
