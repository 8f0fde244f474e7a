# SPDX-License-Identifier: GPL-2.0-or-later
# In a guest with four CPUs: disks and a tap with a queue for each, of which each must be used.

modprobe virtio_pci
modprobe virtio_blk
modprobe virtio_net

# used PATTERN: how many of these interrupts came, by their names.
used()
{
	grep -E "$1" /proc/interrupts | awk '{ if ($2 + $3 + $4 + $5) n++ } END { print n + 0 }'
}

is "disk: a queue for each CPU" "$(ls /sys/block/vda/mq | wc -l)" 4
for cpu in 0 1 2 3; do
	check "disk: random blocks by the queue of CPU $cpu" \
		taskset -c $cpu /blockio verify /dev/vda 128 32
done
disk=$(readlink /sys/block/vda/device)
is "disk: all queues are used" "$(used "${disk##*/}-req\\.")" 4
for disk in a b c d; do
	/blockio verify /dev/vd$disk 256 16 >/dev/null && echo $disk >>/verified &
done
wait
is "disk: random blocks of four disks at once" "$(sort /verified | tr -d '\n')" abcd

nic=$(ls /sys/class/net | grep -v '^lo$' | head -n 1)
ip addr add 10.2.0.2/24 dev "$nic"
ip link set "$nic" up
ping -c 2 -W 20 10.2.0.1 >/dev/null
is "net: a pair of queues for each CPU" "$(ls -d "/sys/class/net/$nic/queues/tx-"* | wc -l)" 4
for cpu in 0 1 2 3; do
	check "net: TCP from CPU $cpu" taskset -c $cpu /sockio exchange tcp:10.2.0.1:8081 1
done
is "net: all queues to send are used" "$(used 'virtio[0-9]+-output\.')" 4
