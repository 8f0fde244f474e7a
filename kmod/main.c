// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module entry and exit.
 */
#include <linux/module.h>

static int __init vmm_init(void)
{
	return 0;
}

static void __exit vmm_exit(void)
{
}

module_init(vmm_init);
module_exit(vmm_exit);

MODULE_DESCRIPTION("Virtual machines as ordinary processes");
MODULE_LICENSE("GPL");
