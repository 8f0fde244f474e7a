/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for the kernel's <linux/printk.h>: nobody reads it. */
#ifndef UNIT_SHIM_PRINTK_H
#define UNIT_SHIM_PRINTK_H

#define pr_info_ratelimited(fmt, ...)	((void)(0, ##__VA_ARGS__))

#endif /* UNIT_SHIM_PRINTK_H */
