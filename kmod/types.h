/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Address types. Guest virtual, physical and frame; host virtual and physical;
 * never mixed without a function that names the translation.
 */
#ifndef VMM_TYPES_H
#define VMM_TYPES_H

#include <linux/types.h>

typedef unsigned long gva_t;
typedef u64 gpa_t;
typedef u64 gfn_t;
typedef unsigned long hva_t;
typedef u64 hpa_t;

#define VMM_INVALID_HPA	(~(hpa_t)0)

#endif
