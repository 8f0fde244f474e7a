/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The IOAPIC: its lines, for devices that drive one; EOIs, for the run loop. */
#ifndef RUNNER_82093AA_H
#define RUNNER_82093AA_H

#include <stdbool.h>
#include <stdint.h>

#define I82093AA_LINES		24
#define I82093AA_VERSION	0x20	/* has an EOI register */

struct i82093aa;

/* Drive @line high or low. Any thread; the caller may hold its own lock. */
void i82093aa_set_line(struct i82093aa *chip, unsigned int line, bool high);

/*
 * Have each write to the eventfd @fd be an edge of @line, without a way through here, or
 * no longer. While the line is masked the eventfd keeps it; a line that the guest makes
 * level-triggered is silent.
 */
void i82093aa_attach(struct i82093aa *chip, unsigned int line, int fd);
void i82093aa_detach(struct i82093aa *chip, unsigned int line);

/* A CPU ended the interrupt of @vector: lines that are still active interrupt again. */
void i82093aa_eoi(struct i82093aa *chip, uint8_t vector);

#endif /* RUNNER_82093AA_H */
