/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for the kernel's <uapi/asm/debugreg.h>. */
#include <asm/debugreg.h>
