# SPDX-License-Identifier: GPL-2.0-or-later
# In the guest: the entropy device.

modprobe virtio-rng
is "rng: it is the kernel's source" "$(cat /sys/class/misc/hw_random/rng_current)" virtio_rng.0
dd if=/dev/hwrng of=/tmp/a bs=1024 count=64 2>/dev/null
is "rng: 64 KiB are read" "$(stat -c %s /tmp/a)" 65536
# 64 KiB of noise do not get smaller.
check "rng: that cannot be compressed" test "$(gzip -9 </tmp/a | wc -c)" -gt 65000
check "rng: its queue interrupts, by a vector or line of its own" \
	grep -qE '^ *[0-9]+:( +[0-9]+)* +[1-9][0-9]* .*(virtio[0-9]*-input|IO-APIC.*virtio)' /proc/interrupts
