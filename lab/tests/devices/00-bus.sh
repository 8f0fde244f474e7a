# SPDX-License-Identifier: GPL-2.0-or-later
# In the guest: the bus, and the drivers that every other piece wants.

is "the host bridge is there" "$(cat /sys/bus/pci/devices/0000:00:00.0/class)" 0x060000
check "the memory-mapped configuration space is used" \
	dmesg_has 'PCI: (MMCONFIG|ECAM) .*reserved (in|as) ACPI motherboard resource'
check "the kernel complains about no resource of the bus" \
	test -z "$(dmesg | grep -E "pci.*(can't|failed|no compatible|invalid)")"
modprobe virtio_pci
