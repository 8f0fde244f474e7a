// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The mailbox by which a kernel starts its other CPUs without INIT and SIPI. Facts: ACPI
 * Specification, "Multiprocessor Wakeup Structure", mailbox version 0.
 *
 * By the specification a page of memory that each waiting CPU polls. Here it is a device,
 * so that none has to: the write of the command starts the CPU, and is acknowledged at
 * once, which is what the command reads 0 for.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "../layout.h"
#include "device.h"

#define COMMAND_WAKEUP	1

/* The start of the page; the rest is the guest's to use as memory. */
struct message {
	uint16_t command;
	uint16_t reserved;
	uint32_t apic_id;
	uint64_t vector;
};

struct mailbox {
	const struct device_env *env;
	pthread_mutex_t lock;
	union {
		struct message message;
		uint8_t page[LAYOUT_MAILBOX_SIZE];
	};
};

static uint64_t mailbox_read(void *device, uint64_t offset, unsigned int size)
{
	struct mailbox *mailbox = device;
	uint64_t value = 0;

	pthread_mutex_lock(&mailbox->lock);
	memcpy(&value, mailbox->page + offset, size);
	pthread_mutex_unlock(&mailbox->lock);
	return value;
}

static void mailbox_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	struct mailbox *mailbox = device;
	const struct device_env *env = mailbox->env;
	struct message message;

	pthread_mutex_lock(&mailbox->lock);
	memcpy(mailbox->page + offset, &value, size);
	message = mailbox->message;
	if (message.command == COMMAND_WAKEUP)
		mailbox->message.command = 0;
	pthread_mutex_unlock(&mailbox->lock);
	if (message.command == COMMAND_WAKEUP)
		env->cpu_start(env->opaque, message.apic_id, message.vector);
}

static void *mailbox_create(struct device_env *env)
{
	struct mailbox *mailbox = calloc(1, sizeof(*mailbox));

	if (!mailbox)
		return NULL;
	mailbox->env = env;
	pthread_mutex_init(&mailbox->lock, NULL);
	return mailbox;
}

static void mailbox_destroy(void *device)
{
	struct mailbox *mailbox = device;

	pthread_mutex_destroy(&mailbox->lock);
	free(mailbox);
}

const struct device_type mailbox_type = {
	.name = "mailbox",
	.mmio = true,
	.start = LAYOUT_MAILBOX,
	.size = LAYOUT_MAILBOX_SIZE,
	.ops = { mailbox_read, mailbox_write, 1, 8 },
	.create = mailbox_create,
	.destroy = mailbox_destroy,
};
