# SPDX-License-Identifier: GPL-2.0-or-later
# In the guest: everything at once and as fast as it can: output that nobody reads, a disk, a network,
# exits. Meanwhile the host looks at the memory of the runner, and asks it something; in the end
# it gives the disk another size.

[ $brief = 0 ] || return 0
port=$(grep -l '^org.vmm.flood$' /sys/class/virtio-ports/*/name)
port=${port%/name}
size=$(cat /sys/block/vda/size)
touch /flood
yes "nobody reads this" >"/dev/${port##*/}" &
yes=$!
while [ -e /flood ]; do dd if=/dev/vda of=/dev/null bs=64k count=100 iflag=direct 2>/dev/null; done &
while [ -e /flood ]; do ping -A -q -w 2 -s 8000 10.2.0.1 >/dev/null 2>&1; done &
while [ -e /flood ]; do cat /sys/bus/pci/devices/*/config >/dev/null 2>&1; done &
echo "please watch"
i=0
while [ "$(cat /sys/block/vda/size)" = "$size" ] && [ $i -lt 600 ]; do
	sleep 0.2
	i=$((i + 1))
done
rm /flood
kill $yes
check "flood: the guest is still there" test $i -lt 600
