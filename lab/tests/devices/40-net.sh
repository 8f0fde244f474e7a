# SPDX-License-Identifier: GPL-2.0-or-later
# In the guest: networks, which their hardware addresses tell apart: 01 is user, with the
# host's loopback, 02 user without it, 03 a tap, 04 the switch. The host's part is net-host. In
# brief there are the first and the third.
# With net-peer on the command line it is the other guest at the switch.

case " $(cat /proc/cmdline) " in
*" net-peer "*) modprobe virtio_pci ;;
esac
modprobe virtio_net
ip link set lo up
mkdir -p /www
kib=$(size 2048 64)
dd if=/dev/urandom of=/www/blob bs=1024 count=$kib 2>/dev/null
sha256sum </www/blob | cut -d' ' -f1 >/www/sum
httpd -p 80 -h /www

# nic NUMBER: the interface with that last byte in its address.
nic()
{
	for i in /sys/class/net/*; do
		[ "$(cat "$i/address")" = "52:54:00:00:00:$1" ] && echo "${i##*/}"
	done
}

# until_true COMMAND...: for a minute or more.
until_true()
{
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || return 1
		sleep $(size 0.2 1)
	done
}

get()
{
	timeout 120 wget -q -O - "$1" 2>/dev/null
}

# same NAME URL: is its blob what its sum says?
same()
{
	is "$1" "$(get "$2/blob" | sha256sum | cut -d' ' -f1)" "$(get "$2/sum")"
}

fetched()
{
	[ -n "$(get "http://$1:8080/$2")" ]
}

# host_fetches NAME URL HOST WORD: the host gets our blob from there, and says its sum.
host_fetches()
{
	echo "please fetch $2/blob $4"
	until_true fetched "$3" "$4"
	is "$1" "$(get "http://$3:8080/$4")" "$(cat /www/sum)"
}

# MiB that go to an echo at the host and back.
mib=$(sed -n 's/.*net-mib=\([0-9]*\).*/\1/p' /proc/cmdline)
tap_mib=$(sed -n 's/.*tap-mib=\([0-9]*\).*/\1/p' /proc/cmdline)

# One that is lost, as the first behind a new link may be, is not waited for.
answers()
{
	ping -c 1 -W 2 "$@" >/dev/null 2>&1
}

pings()
{
	until_true answers "$@"
}

# carrier INTERFACE 0|1: is it so?
carrier()
{
	[ "$(cat "/sys/class/net/$1/carrier" 2>/dev/null)" = "$2" ]
}

# Bytes in a frame sent since the last look, in the mean; segments count as one.
mean()
{
	bytes=$(cat "/sys/class/net/$1/statistics/tx_bytes")
	frames=$(cat "/sys/class/net/$1/statistics/tx_packets")
	mean=$(((bytes - ${old_bytes:-0}) / (frames - ${old_frames:-0} + 1)))
	old_bytes=$bytes
	old_frames=$frames
}

up()
{
	ip addr add "$2/24" dev "$1"
	ip link set "$1" up
}

# An address that may be used: the kernel looks for others who have it first.
has_prefix()
{
	ip -6 addr show dev "$1" | grep fd00:a02: | grep -qv tentative
}

get_sum()
{
	[ -n "$(get "$1/sum")" ]
}

case " $(cat /proc/cmdline) " in
*" net-peer "*)
	up "$(nic 05)" 10.1.0.2
	echo "the peer is up"
	sleep 600
	exit ;;
esac

by_user()
{
	user=$(nic 01)
	ask_dhcp "$user"
	is "net: an address by DHCP" "$(cat /lease)" "10.0.2.15 10.0.2.2 10.0.2.3"
	check "net: the gateway answers a ping" pings 10.0.2.2
	is "net: packets as large as can be" "$(cat "/sys/class/net/$user/mtu")" 65520
	same "net: $kib KiB from the host" http://10.0.2.2:8080
	host_fetches "net: $kib KiB to the host by a forwarded port" http://127.0.0.1:8000 10.0.2.2 by-user
}

by_ipv6()
{
	check "net: an address of IPv6 by its router" until_true has_prefix "$user"
	check "net: the gateway answers a ping by IPv6" pings -6 fd00:a02::2
	check "net: and is the host" until_true get_sum 'http://[fd00:a02::2]:8080'
}

without_loopback()
{
	user=$(nic 02)
	ask_dhcp "$user"
	check "net: the gateway of another network answers" pings 10.0.2.2
	check "net: which is no way to the host's loopback" \
		sh -c '! timeout 5 wget -q -O /dev/null http://10.0.2.2:8080/sum 2>/dev/null'
	check "net: it has an address of IPv6 too" until_true has_prefix "$user"
	check "net: nor is there a way by IPv6" \
		sh -c '! timeout 5 wget -q -O /dev/null "http://[fd00:a02::2]:8080/sum" 2>/dev/null'
	ip link set "$user" down
	ip addr flush dev "$user"
}

by_tap()
{
	tap=$(nic 03)
	up "$tap" 10.2.0.2
	check "net: a tap: the host answers a ping" pings 10.2.0.1
	same "net: a tap: $kib KiB from the host" http://10.2.0.1:8080
	mean "$tap"
	host_fetches "net: a tap: $kib KiB to the host" http://10.2.0.2 10.2.0.1 by-tap
	mean "$tap"
}

by_switch()
{
	up "$(nic 04)" 10.1.0.1
	check "net: the switch: the other guest answers" pings 10.1.0.2
	same "net: the switch: $kib KiB from it" http://10.1.0.2
}

plug()
{
	echo "please plug $1 down"
	check "net: a link that the user takes down: no carrier" until_true carrier "$tap" 0
	check "net: and no way" sh -c '! ping -c 1 -W 2 10.2.0.1 >/dev/null 2>&1'
	echo "please plug $1 up"
	check "net: it comes up again" until_true carrier "$tap" 1
	check "net: and the host answers" pings 10.2.0.1
}

# The driver anew.
without_offloads()
{
	modprobe -r virtio_net
	modprobe virtio_net csum=0 gso=0
	tap=$(nic 03)
	up "$tap" 10.2.0.2
	old_bytes=0
	old_frames=0
	host_fetches "net: a tap without offloads: $kib KiB to the host" http://10.2.0.2 10.2.0.1 without
	mean "$tap"
	check "net: a tap without offloads: in frames ($mean bytes)" test $mean -lt 1515
}

by_user
[ $brief = 1 ] || {
	by_ipv6
	check "net: $mib MiB of TCP both ways at once" /sockio exchange tcp:10.0.2.2:8081 "$mib"
}
ip link set "$user" down
ip addr flush dev "$user"
[ $brief = 1 ] || without_loopback
by_tap
[ $brief = 1 ] || {
	check "net: a tap: $tap_mib MiB of TCP both ways at once" \
		/sockio exchange tcp:10.2.0.1:8081 "$tap_mib"
	check "net: a tap: in segments larger than a frame ($mean bytes)" test $mean -gt 1700
	by_switch
}
plug net$(size 2 1)
[ $brief = 1 ] || without_offloads
