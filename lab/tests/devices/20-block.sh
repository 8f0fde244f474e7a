# SPDX-License-Identifier: GPL-2.0-or-later
# In the guest: disks. vda is 64 MiB with a line at the start of each MiB, vdb the same and
# read-only, vdc has two queues and is direct if the host can.

modprobe virtio_blk
is "disk: three of them" "$(ls -d /sys/block/vd? | wc -l)" 3
is "disk: the size" "$(cat /sys/block/vda/size)" 131072
is "disk: the serial number" "$(cat /sys/block/vda/serial)" first-disk
is "disk: one is read-only" "$(cat /sys/block/vdb/ro)" 1
is "disk: one offers several queues" "$(cut -c13 /sys/block/vdc/device/features)" 1
is "disk: what the host wrote" \
	"$(for i in 0 9 63; do dd if=/dev/vda bs=1M skip=$i count=1 2>/dev/null | head -n 1; done)" \
	"mark 0
mark 9
mark 63"
check "disk: a read-only one cannot be written" sh -c \
	'! dd if=/dev/zero of=/dev/vdb bs=512 count=1 conv=fsync 2>/dev/null'
for depth in $(size "1 8 32" 8); do
	check "disk: random blocks, $depth at a time" /blockio verify /dev/vda $(size 128 16) $depth
	check "disk: random blocks of a direct disk, $depth at a time" \
		/blockio verify /dev/vdc $(size 128 16) $depth
done

# The host looks for the zeros afterwards.
check "disk: a discard" blkdiscard -o $((40 << 20)) -l $((4 << 20)) /dev/vda
check "disk: zeroes" /blockio zero /dev/vda $((44 << 20)) $((4 << 20))

# Another size, while the disk is in use: the host makes it at this line.
echo "please resize"
i=0
while [ "$(cat /sys/block/vda/size)" = 131072 ] && [ $i -lt 300 ]; do
	sleep 0.1
	i=$((i + 1))
done
is "disk: a larger file is a larger disk" "$(cat /sys/block/vda/size)" 196608
check "disk: its new end is written" sh -c \
	'echo "the new end" | dd of=/dev/vda bs=1M seek=95 conv=notrunc,fsync 2>/dev/null'
