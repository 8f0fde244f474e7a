/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for the kernel's <asm/msr.h>: the test has what is needed of it. */
