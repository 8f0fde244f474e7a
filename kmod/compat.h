/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Differences among host kernels. The only place that asks for
 * LINUX_VERSION_CODE: everything else is written against the newest kernel.
 */
#ifndef VMM_COMPAT_H
#define VMM_COMPAT_H

#include <linux/version.h>

#endif
