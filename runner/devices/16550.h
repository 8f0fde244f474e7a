/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The character side of the UART: what the console gives to it. */
#ifndef RUNNER_16550_H
#define RUNNER_16550_H

#include <stddef.h>
#include <stdint.h>

struct pc16550;

/*
 * Characters from the outside. Takes as many as there is room for while the guest
 * asserts RTS and returns their number; when the rest may be tried again the
 * UART calls console_wants_input().
 */
size_t pc16550_receive(struct pc16550 *uart, const uint8_t *data, size_t len);

/* The console has written what it was given, or part of it, and has room again. */
void pc16550_resume(struct pc16550 *uart);

#endif /* RUNNER_16550_H */
