/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The IOAPIC: its lines, for devices that drive one; EOIs, for the run loop. */
#ifndef RUNNER_82093AA_H
#define RUNNER_82093AA_H

#include <stdbool.h>
#include <stdint.h>

#define I82093AA_LINES	24

struct i82093aa;

/* Drive @line high or low. Any thread; the caller may hold its own lock. */
void i82093aa_set_line(struct i82093aa *chip, unsigned int line, bool high);

/* A CPU ended the interrupt of @vector: lines that are still active interrupt again. */
void i82093aa_eoi(struct i82093aa *chip, uint8_t vector);

#endif /* RUNNER_82093AA_H */
