/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interrupt lines of the IOAPIC, for devices that drive one. */
#ifndef RUNNER_82093AA_H
#define RUNNER_82093AA_H

#include <stdbool.h>

#define I82093AA_LINES	24

struct i82093aa;

/* Drive @line high or low. Any thread; the caller may hold its own lock. */
void i82093aa_set_line(struct i82093aa *chip, unsigned int line, bool high);

#endif /* RUNNER_82093AA_H */
