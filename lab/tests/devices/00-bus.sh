# SPDX-License-Identifier: GPL-2.0-or-later
# In the guest: the bus, and the drivers that every other piece wants.

modprobe virtio_mmio
case " $(cat /proc/cmdline) " in
*" over-mmio "*)
	check "there is no PCI bus" test -z "$(ls /sys/bus/pci/devices 2>/dev/null)"
	check "ACPI names the devices" test "$(ls -d /sys/bus/acpi/devices/LNRO0005:* | wc -l)" -ge 4
	return ;;
esac
is "the host bridge is there" "$(cat /sys/bus/pci/devices/0000:00:00.0/class)" 0x060000
check "the memory-mapped configuration space is used" \
	dmesg_has 'PCI: (MMCONFIG|ECAM) .*reserved (in|as) ACPI motherboard resource'
check "the kernel complains about no resource of the bus" \
	test -z "$(dmesg | grep -E "pci.*(can't|failed|no compatible|invalid)")"
modprobe virtio_pci
