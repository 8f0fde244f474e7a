# SPDX-License-Identifier: GPL-2.0-or-later
# In a guest whose network is passt's: it has the host's address, the gateway is the host's loopback,
# and a port of the host is the guest's.

modprobe virtio_pci
modprobe virtio_net
ip link set lo up
mkdir -p /www
dd if=/dev/urandom of=/www/blob bs=1M count=1 2>/dev/null
sha256sum </www/blob | cut -d' ' -f1 >/www/sum
httpd -p 80 -h /www
ask_dhcp "$(ls /sys/class/net | grep -v '^lo$' | head -n 1)"
is "the host's address by DHCP" "$(cut -d' ' -f1,2 /lease)" "10.9.9.9 10.9.9.1"
get() { timeout 120 wget -q -O - "http://10.9.9.1:8080/$1" 2>/dev/null; }
is "a MiB from the host" "$(get blob | sha256sum | cut -d' ' -f1)" "$(get sum)"
echo "please fetch"
tries=0
until [ -n "$(get fetched)" ] || [ $tries -gt 300 ]; do
	tries=$((tries + 1))
	sleep 0.2
done
is "a MiB to the host by a forwarded port" "$(get fetched)" "$(cat /www/sum)"
