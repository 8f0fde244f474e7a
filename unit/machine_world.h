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

void vmm_vcpu_destroy(struct vmm_vcpu *vcpu)
{
	(void)vcpu;
}

#endif /* UNIT_MACHINE_WORLD_H */
