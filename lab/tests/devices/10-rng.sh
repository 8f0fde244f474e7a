# SPDX-License-Identifier: GPL-2.0-or-later
# In the guest: the entropy device.

modprobe virtio-rng
is "rng: it is the kernel's source" "$(cat /sys/class/misc/hw_random/rng_current)" virtio_rng.0
kib=$(size 64 4)
dd if=/dev/hwrng of=/tmp/a bs=1024 count=$kib 2>/dev/null
is "rng: $kib KiB are read" "$(stat -c %s /tmp/a)" $((kib * 1024))
# Noise does not get smaller.
check "rng: that cannot be compressed" test "$(gzip -9 </tmp/a | wc -c)" -gt $((kib * 1020))
check "rng: its queue interrupts, by a vector or line of its own" \
	grep -qE '^ *[0-9]+:( +[0-9]+)* +[1-9][0-9]* .*(virtio[0-9]*-input|IO-APIC.*virtio)' /proc/interrupts
