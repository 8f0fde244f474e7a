/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a machine's vCPUs call and these tests do not look at: the console, the devices' thread,
 * the end of a vCPU. To be included once, behind the headers of the runner.
 */
#ifndef UNIT_MACHINE_WORLD_H
#define UNIT_MACHINE_WORLD_H

void console_release(struct console *console)
{
	(void)console;
}

enum status virtio_bay_start(struct virtio_bay *bay)
{
	(void)bay;
	return STATUS_OK;
}

void virtio_bay_stop(struct virtio_bay *bay)
{
	(void)bay;
}

int sched_apply(const struct sched_list *list, unsigned int cpu)
{
	(void)list;
	(void)cpu;
	return 0;
}

bool vcpu_wake_up(struct vcpu *vcpu)
{
	(void)vcpu;
	return false;
}

void vmm_vcpu_destroy(struct vmm_vcpu *vcpu)
{
	(void)vcpu;
}

#endif /* UNIT_MACHINE_WORLD_H */
