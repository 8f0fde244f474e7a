# SPDX-License-Identifier: GPL-2.0-or-later
# In the guest: AF_VSOCK. Both ends have a port that sends back what it gets until its end, so
# every byte goes both ways and every end is a half-close. The host comes at this line's wish.

modprobe vmw_vsock_virtio_transport
words() { seq 1 $(size 100000 1000); }

/sockio echo vsock:4294967295:1000 $(size 101 6) >/tmp/listens &
server=$!
until [ -s /tmp/listens ] || [ ! -d /proc/$server ]; do sleep 0.1; done
echo "please dial"
words | /sockio connect vsock:2:2000 | md5sum >/tmp/sum
is "vsock: what the host sends back" "$(cat /tmp/sum)" "$(words | md5sum)"
mib=$(sed -n 's/.*vsock-mib=\([0-9]*\).*/\1/p' /proc/cmdline)
[ $brief = 1 ] || check "vsock: $mib MiB both ways at once" /sockio exchange vsock:2:2000 "$mib"
i=0
while [ $i -lt $(size 20 5) ] && [ "$(echo "$i" | /sockio connect vsock:2:2000)" = "$i" ]; do
	i=$((i + 1))
done
is "vsock: $i connections to the host" $i $(size 20 5)
check "vsock: a port without a listener refuses" sh -c \
	'! /sockio connect vsock:2:2001 </dev/null 2>/dev/null'
i=0
while [ -d /proc/$server ] && [ $i -lt 90 ]; do
	sleep 1
	i=$((i + 1))
done
check "vsock: the host had all that it was promised" test ! -d /proc/$server
kill $server 2>/dev/null || true
