// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Any file as a kernel: planned, and if that works loaded into a small memory. The
 * sanitizers judge; a plan that was accepted must be one that can be loaded.
 */
/* unit-sources: ../runner/boot/loader.c ../runner/boot/image.c ../runner/boot/linux.c */
/* unit-sources: ../runner/boot/elf.c ../runner/boot/pvh.c ../runner/boot/cpu.c */
/* unit-sources: ../runner/boot/multiboot.c ../runner/boot/flat.c ../runner/boot/bda.c */
/* unit-sources: ../runner/boot/acpi_cpus.c */
/* unit-sources: ../runner/boot/acpi.c ../runner/boot/aml.c ../runner/boot/dt.c */
/* unit-sources: ../runner/boot/mptable.c ../runner/ram.c */
/* unit-libs: -lfdt */
/* unit-flags: -D_GNU_SOURCE */
#include "boot_world.h"

#define MEM	(4 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum status status;

	if (!size)
		return 0;
	source.cpus = 1;
	source.append = "quiet";
	set_kernel(data, size);
	status = plan_for(MEM);
	if (!status && load(MEM))
		abort();
	return 0;
}
