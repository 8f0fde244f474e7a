/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unix sockets that others connect to: made before the sandbox, used in it. */
#ifndef RUNNER_LISTENER_H
#define RUNNER_LISTENER_H

#include "status.h"

/*
 * A stream socket at @path, listening and non-blocking, into *@fd. A socket that a process
 * left behind there is replaced, one that somebody listens at is not. @what names the
 * device in messages. Complains.
 */
enum status listener_open(const char *what, const char *path, int *fd);

/* Who connected, non-blocking; -1: nobody, or there is no descriptor for it. */
int listener_accept(int fd);

#endif /* RUNNER_LISTENER_H */
