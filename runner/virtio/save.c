// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Quiet devices, and their state as bytes: what is common in one section, then one for
 * each queue, then the device's own under its name.
 *
 * Doorbells rung while a device is quiet are not kept: at resume every queue is looked at.
 */
#include <stdlib.h>
#include <string.h>
#include "core.h"

#define CORE_VERSION	1

void virtio_quiesce(struct virtio_core *core)
{
	if (core->paused)
		return;
	if (core->active && core->type->quiesce)
		core->type->quiesce(core->device);
	for (unsigned int i = 0; i < core->pub.queues; i++)
		virtq_flush(&core->pub.queue[i]);
	core->paused = true;
}

void virtio_resume(struct virtio_core *core)
{
	if (!core->paused)
		return;
	core->paused = false;
	if (core->active && core->type->resume)
		core->type->resume(core->device);
	for (unsigned int i = 0; core->active && i < core->pub.queues; i++)
		virtio_notify(core, i);
}

/* Who works for the device is chosen anew. */
void virtio_set_logged(struct virtio_core *core, bool logged)
{
	bool paused = core->paused;

	virtio_quiesce(core);
	core->logged = logged;
	if (!paused)
		virtio_resume(core);
}

static void save_own(const struct virtio_core *core, struct state *state)
{
	size_t start;

	if (!core->type->version)
		return;
	start = state_begin(state, core->type->name, core->type->version);
	core->type->save(core->device, state);
	state_end(state, start);
}

void virtio_save(struct virtio_core *core, struct state *state)
{
	size_t start = state_begin(state, "virtio", CORE_VERSION);

	state_put(state, core->type->id);
	state_put(state, core->pub.queues);
	state_put(state, core->offered);
	state_put(state, core->wanted);
	state_put(state, core->status);
	state_put(state, core->generation);
	state_put(state, core->active);
	state_put(state, core->broken);
	state_put(state, atomic_load(core->isr));
	state_put(state, core->type->config_size);
	state_put_bytes(state, core->pub.config, core->type->config_size);
	state_end(state, start);
	for (unsigned int i = 0; i < core->pub.queues; i++)
		virtq_save(&core->pub.queue[i], state);
	save_own(core, state);
}

/* A feature that the driver took and this program does not offer cannot be had. */
static void load_common(struct virtio_core *core, struct state *state)
{
	struct state section;

	state_enter(state, "virtio", CORE_VERSION, &section);
	if (state_get(&section) != core->type->id || state_get(&section) != core->pub.queues)
		section.bad = true;
	core->offered = state_get_max(&section, UINT64_MAX) & core->offered;
	core->wanted = state_get(&section);
	core->status = state_get_max(&section, UINT8_MAX);
	core->generation = state_get_max(&section, UINT8_MAX);
	core->active = state_get_max(&section, 1);
	core->broken = state_get_max(&section, 1);
	atomic_store(core->isr, state_get_max(&section, VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG));
	if (state_get(&section) != core->type->config_size)
		section.bad = true;
	state_get_bytes(&section, core->pub.config, core->type->config_size);
	state_leave(state, &section);
	if (!virtio_consistent(core))
		state->bad = true;
	/* Nothing starts with what is refused. */
	if (!state_good(state))
		core->active = false;
	else if (core->status & VIRTIO_CONFIG_S_FEATURES_OK)
		core->pub.features = core->wanted;
}

void virtio_load(struct virtio_core *core, struct state *state)
{
	struct state section;
	uint32_t version;

	core->paused = true;
	load_common(core, state);
	for (unsigned int i = 0; i < core->pub.queues; i++)
		virtq_load(&core->pub.queue[i], state, core->pub.features,
			   core->pub.queue_size);
	if (!core->type->version)
		return;
	version = state_enter(state, core->type->name, core->type->version, &section);
	if (version)
		core->type->load(core->device, &section, version);
	state_leave(state, &section);
}
