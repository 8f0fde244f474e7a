# SPDX-License-Identifier: GPL-2.0-or-later
# In the guest: the console device. One port is a console and goes to a file, another has a
# name and a socket that the host connects to at this line's wish, the third is 70-flood.sh's.

modprobe -q virtio_console
# Ports come by messages, some time after the device.
i=0
while ! port=$(grep -l '^org.vmm.test$' /sys/class/virtio-ports/*/name) && [ $i -lt 300 ]; do
	sleep 0.1
	i=$((i + 1))
done 2>/dev/null
port=${port%/name}
port=/dev/${port##*/}
check "console: one port has its name" test -c "$port"
is "console: one has none" "$(ls /sys/class/virtio-ports | wc -l)" 3
[ -c "$port" ] || return 0
echo "before anybody connected" >"$port"
echo "to the file" >/dev/hvc0
echo "please connect"
exec 3<>"$port"
is "console: what the host says" "$(dd bs=1 count=20 <&3 2>/dev/null)" "hello from the host"
lines=$(size 50000 500)
is "console: and a lot of it" "$(head -c "$(seq 1 $lines | wc -c)" <&3 | md5sum)" \
	"$(seq 1 $lines | md5sum)"
seq 1 $lines >&3
exec 3<&-
