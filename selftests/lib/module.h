/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm.ko and its rival of the host's kernel, loaded and unloaded by a test. */
#ifndef SELFTESTS_MODULE_H
#define SELFTESTS_MODULE_H

#include <stdbool.h>

/* From where VMM_KO says, or /lib/modules; 0, with /dev/vmm there, or -errno. */
int module_load(void);
/* -EAGAIN: it is in use. */
int module_try_unload(void);
/* What a dead VM still does in the background may take a moment. */
int module_unload(void);

/* kvm_amd or kvm_intel; false: it is not there, or will not. */
bool kvm_load(void);
bool kvm_unload(void);

/*
 * Loading and unloading patches the scheduler's code, and QEMU's TCG with several
 * CPUs now and then executes a breakpoint of such a patch that is gone already.
 */
bool module_breaks_the_host(void);

#endif
