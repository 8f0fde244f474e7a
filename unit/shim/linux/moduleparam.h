/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for the kernel's <linux/moduleparam.h>: a parameter has its default. */
#ifndef UNIT_SHIM_MODULEPARAM_H
#define UNIT_SHIM_MODULEPARAM_H

#define module_param(name, type, mode)	struct unit_shim_ ## name
#define MODULE_PARM_DESC(name, text)	struct unit_shim_ ## name

#endif /* UNIT_SHIM_MODULEPARAM_H */
