#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A kernel without ACPI, which finds its machine as no Debian kernel for amd64 can: by the device
# tree that its loader gives, or by the MP table and words of its command line. HOST (svm) and KERNEL (6.1,
# the host's) from the environment; the guest's is that of scripts/setup guest-kernel. TAP.

cd "$(dirname "$0")/../.." || exit 1
. scripts/env.sh
. lab/tests/tap.sh
host=${HOST:-svm}
kernel=${KERNEL:-6.1}
vmlinuz=$(kernel_built_dir guest)/vmlinuz
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# In the guest: what it found, and that disk and entropy are what they should be.
mkdir "$work/guest"
cat >"$work/guest/script" <<'END'
say() { echo "$1=$(echo $2)"; }
say cpus "$(grep -c ^processor /proc/cpuinfo)"
say tree "$(cat /sys/firmware/devicetree/base/model 2>/dev/null | tr -d '\0')"
say acpi "$(ls -d /sys/firmware/acpi 2>/dev/null)"
say mmio "$(ls -d /sys/bus/platform/drivers/virtio-mmio/*virtio* 2>/dev/null | wc -l)"
say pci "$(ls -d /sys/bus/pci/drivers/virtio-pci/*:* 2>/dev/null | wc -l)"
say irqs "$(grep -c virtio /proc/interrupts)"
say disk "$(dd if=/dev/vda bs=512 skip=7 count=1 2>/dev/null | head -n 1)"
echo "written by the guest" | dd of=/dev/vda bs=512 seek=9 conv=notrunc,fsync 2>/dev/null
say rng "$(cat /sys/class/misc/hw_random/rng_current)"
say random "$(dd if=/dev/hwrng bs=64 count=1 2>/dev/null | wc -c)"
say year "$(date -u +%Y)"
say uart "$(grep -c 'ttyS0\|serial' /proc/interrupts)"
echo "all said"
# Nobody but ACPI knows how to switch off.
[ -d /sys/firmware/acpi ] || { sleep 1; reboot -f; }
END
(cd "$work/guest" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0) | gzip -n >"$work/script.cpio"

# In the host: boot LABEL WORDS [OPTION]...
cat >"$work/host.sh" <<'END'
cat /boot/initrd script.cpio >/tmp/initrd
boot()
{
	label=$1 words=$2
	shift 2
	truncate -s 1M /tmp/disk
	echo "line of the disk" | dd of=/tmp/disk bs=512 seek=7 conv=notrunc 2>/dev/null
	vmm run --kernel vmlinuz --initrd /tmp/initrd --mem 256M --disk /tmp/disk \
		--append "console=ttyS0 quiet script $words" "$@" </dev/null >/tmp/out 2>&1
	echo "$label status=$?"
	tr -d '\r' </tmp/out | sed "s/^/$label /"
	echo "$label host=$(dd if=/tmp/disk bs=512 skip=9 count=1 2>/dev/null | head -n 1)"
	rm /tmp/disk
}
devices="virtio_mmio.device=4K@0xc0000000:5 virtio_mmio.device=4K@0xc0001000:6"
off="acpi=off reboot=t"
boot tree-mmio "$off" --device-tree --transport mmio --cpus 2
boot tree-pci "$off" --device-tree --cpus 2
boot words "$off $devices" --transport mmio --cpus 2
boot table "$off" --cpus 2
END

# has NAME LABEL LINE...: LABEL's guest said each LINE.
has()
{
	local name=$1 label=$2

	shift 2
	said -F "$label: $name" "$label" "$@"
}

failed()
{
	show_lab
}

echo "TAP version 13"
[ -e "$vmlinuz" ] || {
	echo "1..0 # SKIP scripts/setup guest-kernel was not run"
	exit 4
}
lab/lab --host "$host" --kernel "$kernel" --no-selftests --timeout "${LIMIT:-400}" \
	--put "$vmlinuz" --put "$work/script.cpio" --put "$work/host.sh" -- sh host.sh \
	</dev/null >"$work/out" 2>"$work/err"
ok "the host ran" test $? = 0
disk="disk=line of the disk"
year=year=$(date -u +%Y)
has "by a device tree alone the guest comes up" tree-mmio \
	"tree=vmm" "acpi=" "cpus=2" "all said" "status=20"
has "both virtio devices and the serial port" tree-mmio "mmio=2" "irqs=2" "uart=1" "$disk" \
	"rng=virtio_rng.0" "random=64" "host=written by the guest"
has "a PCI bus by the tree" tree-pci "tree=vmm" "acpi=" "cpus=2" "pci=2" "uart=1" "$disk" \
	"random=64" "$year" "host=written by the guest" "all said" "status=20"
has "CPUs by the MP table, devices by words of the command line" words "tree=" "acpi=" "cpus=2" \
	"mmio=2" "irqs=2" "uart=1" "$disk" "random=64" "host=written by the guest" "all said" "status=20"
has "CPUs and the serial port's line by the MP table, devices by PCI, the date by the RTC" table "tree=" "acpi=" \
	"cpus=2" "pci=2" "uart=1" "$year" "$disk" "random=64" "all said" "status=20"
echo "1..$n"
exit $bad
