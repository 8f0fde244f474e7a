// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a test kernel built for QEMU asks its firmware configuration: how many CPUs and
 * how much memory there are. Facts: QEMU's documentation, "QEMU Firmware Configuration
 * (fw_cfg) Device", the selector and data ports of the traditional interface.
 *
 * A 16-bit write to the selector chooses an item and starts at its first byte; a read of
 * the data port takes the next, zeros behind the last and from items there are not. There
 * is nothing to write, no DMA, and no file in the directory.
 */
#include <endian.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "../layout.h"
#include "device.h"

#define DATA		1	/* offset of the port */
#define SELECTOR_SIZE	2	/* bytes */
#define TRADITIONAL	1	/* bit of the item ID */
#define ITEM_MAX	8	/* bytes */

enum item {
	ITEM_SIGNATURE = 0x00,
	ITEM_ID = 0x01,
	ITEM_RAM_SIZE = 0x03,
	ITEM_CPUS = 0x05,
	ITEM_MAX_CPUS = 0x0f,
};

struct fw_cfg {
	const struct device_env *env;
	pthread_mutex_t lock;
	uint16_t selected;
	unsigned int next;	/* byte of it; ITEM_MAX: at or behind the end */
};

/* The item's bytes, zeros up to ITEM_MAX; of an item there is not, all zeros. */
static void item_bytes(const struct device_env *env, uint16_t item, uint8_t bytes[ITEM_MAX])
{
	uint64_t value = 0;

	switch (item) {
	case ITEM_SIGNATURE:
		memcpy(&value, "QEMU", 4);
		break;
	case ITEM_ID:
		value = htole64(TRADITIONAL);
		break;
	case ITEM_RAM_SIZE:
		value = htole64(env->memory);
		break;
	case ITEM_CPUS:
		value = htole64(env->cpus_at_start);
		break;
	case ITEM_MAX_CPUS:
		value = htole64(env->cpus);
		break;
	}
	memcpy(bytes, &value, ITEM_MAX);
}

static uint64_t fw_cfg_read(void *device, uint64_t offset, unsigned int size)
{
	struct fw_cfg *fw_cfg = device;
	uint8_t bytes[ITEM_MAX];
	uint64_t value = 0;

	if (offset != DATA || size != 1)
		return UINT64_MAX;
	pthread_mutex_lock(&fw_cfg->lock);
	if (fw_cfg->next < ITEM_MAX) {
		item_bytes(fw_cfg->env, fw_cfg->selected, bytes);
		value = bytes[fw_cfg->next++];
	}
	pthread_mutex_unlock(&fw_cfg->lock);
	return value;
}

static void fw_cfg_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	struct fw_cfg *fw_cfg = device;

	if (offset || size != SELECTOR_SIZE)
		return;
	pthread_mutex_lock(&fw_cfg->lock);
	fw_cfg->selected = value;
	fw_cfg->next = 0;
	pthread_mutex_unlock(&fw_cfg->lock);
}

static void *fw_cfg_create(struct device_env *env)
{
	struct fw_cfg *fw_cfg = calloc(1, sizeof(*fw_cfg));

	if (!fw_cfg)
		return NULL;
	fw_cfg->env = env;
	pthread_mutex_init(&fw_cfg->lock, NULL);
	return fw_cfg;
}

static void fw_cfg_destroy(void *device)
{
	struct fw_cfg *fw_cfg = device;

	pthread_mutex_destroy(&fw_cfg->lock);
	free(fw_cfg);
}

const struct device_type fw_cfg_type = {
	.name = "fw_cfg",
	.start = LAYOUT_FW_CFG,
	.size = LAYOUT_FW_CFG_SIZE,
	.ops = { fw_cfg_read, fw_cfg_write, 1, SELECTOR_SIZE },
	.create = fw_cfg_create,
	.destroy = fw_cfg_destroy,
};
