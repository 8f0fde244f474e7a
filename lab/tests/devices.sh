#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The runner's devices, driven by stock Debian kernels as guests in an emulated host:
# HOST (svm) and KERNEL (6.1, the host's and the guest's) from the environment. TAP. NET_MIB, TAP_MIB
# and VSOCK_MIB there are what goes both ways over the user's network (4), over a tap (4, in part pci 100)
# and over a socket (8, in part pci 256), PARTS what is run: of pci, mmio, brief, pci-brief, mmio-brief, flush, hang, queues and passt; default_parts() says
# what is run without it. In brief each device does a little of everything.
#
# What a guest does is in lab/tests/devices/: its pieces are run in their order, each by
# a shell of its own, with the functions of guest_functions() below.

cd "$(dirname "$0")/../.." || exit 1
host=${HOST:-svm}
kernel=${KERNEL:-6.1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. lab/tests/tap.sh

# What the lab spares its hosts (lab/lab), which is two thirds of a guest's boot in Bochs.
quick="quiet cryptomgr.notests=1 initcall_blacklist=load_system_certificate_list,trace_eval_init,jent_mod_init"

lab()
{
	lab/lab --host "$host" --kernel "$kernel" --no-selftests --timeout "${LIMIT:-420}" "$@"
}

guest_functions()
{
	cat <<'END'
brief=0
case " $(cat /proc/cmdline) " in
*" brief "*) brief=1 ;;
esac

# How much: size FULL BRIEF.
size()
{
	if [ $brief = 1 ]; then echo "$2"; else echo "$1"; fi
}

# check NAME COMMAND...
check()
{
	name=$1
	shift
	if "$@"; then echo "ok $name"; else echo "not ok $name"; fi
}

# is NAME GOT WANT
is()
{
	[ "$2" = "$3" ] || echo "# $1: got '$2', want '$3'"
	check "$1" test "$2" = "$3"
}

dmesg_has()
{
	dmesg | grep -qE "$1"
}

# ask_dhcp NIC: its address, router and name server, which are in /lease then
ask_dhcp()
{
	cat >/dhcp <<'DHCP'
[ "$1" = bound ] || exit 0
ifconfig $interface $ip netmask $subnet
route add default gw $router
echo "$ip $router $dns" >/lease
DHCP
	chmod 755 /dhcp
	ip link set "$1" up
	udhcpc -i "$1" -n -q -t 30 -T 2 -s /dhcp >/dev/null 2>&1
}
END
}

# An initramfs with /script, which runs the pieces; $1 is the file to write.
pack()
{
	local dir=$work/guest

	mkdir -p "$dir/pieces"
	cp "$work/blockio" "$work/sockio" "$dir"
	guest_functions >"$dir/functions"
	cp lab/tests/devices/*.sh "$dir/pieces"
	mv "$dir/pieces/queues.sh" "$dir/pieces/passt.sh" "$dir"
	cat >"$dir/script" <<'END'
case " $(cat /proc/cmdline) " in
*" flush "*)
	modprobe virtio_pci
	modprobe virtio_blk
	/blockio flush /dev/vda
	exit ;;
*" hang "*)
	modprobe virtio_pci
	modprobe virtio_blk
	while dd if=/dev/vda of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null; do
		echo "it answers"
	done
	exit ;;
esac
case " $(cat /proc/cmdline) " in
*" net-peer "*)
	sh -c ". /functions; . /pieces/40-net.sh"
	exit ;;
esac
case " $(cat /proc/cmdline) " in
*" queues "*)
	sh -c ". /functions; . /queues.sh"
	exit ;;
*" passt "*)
	sh -c ". /functions; . /passt.sh"
	exit ;;
esac
for piece in /pieces/*; do
	read up rest </proc/uptime
	echo "# ${piece##*/} from second $up on"
	sh -c ". /functions; . $piece" || echo "not ok ${piece##*/} ran to its end"
done
echo "all pieces ran"
END
	# Compressed: what follows another archive would have to be aligned otherwise.
	(cd "$dir" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0) | gzip -n >"$1"
}

# The guest's points become ours: lines that start with ok or not ok. $1 is its name, until
# a line of its own tells another.
take_points()
{
	local line

	while read -r line; do
		case $line in
		"=== "*) set -- "${line#=== }" ;;
		"ok "*) ok "$1: ${line#ok }" true ;;
		"not ok "*) ok "$1: ${line#not ok }" false ;;
		"# "*) echo "$line" ;;
		esac
	done < <(tr -d '\r' <"$work/out")
}

# What runs in the emulated host: disks, the guest, and what is to be seen of it from there.
cat >"$work/host.sh" <<'END'
series=$1
quick=$2
words=$3
shift 3
brief=0
case " $words " in
*" brief "*) brief=1 ;;
esac
size() { if [ $brief = 1 ]; then echo "$2"; else echo "$1"; fi; }
lines=$(size 50000 500)
pause=$(size 0.2 2)
# It may be the second guest here.
killall httpd sockio 2>/dev/null
losetup -d /dev/loop0 2>/dev/null
umount /disks 2>/dev/null
rm -rf /tmp/* /www
cat /boot/initrd "/boot/modules-$series" script.cpio >/tmp/initrd
mkdir -p /disks
mount -t tmpfs disks /disks
for disk in a b c; do
	truncate -s 64M /disks/$disk
	for i in $(seq 0 $(size 1 9) 63); do
		echo "mark $i" | dd of=/disks/$disk bs=1M seek=$i conv=notrunc 2>/dev/null
	done
done
# Direct I/O needs a disk that has it.
modprobe loop
./sockio echo unix:/tmp/vsock_2000 22 >/dev/null &
direct=/disks/c
losetup /dev/loop0 /disks/c && direct=/dev/loop0,direct ||
	echo "not ok disk: the host has a direct one"
. ./net-host
# What the guest says goes on at once; some of it is a wish.
: >/tmp/out
mkfifo /tmp/says
tee /tmp/out </tmp/says &
tee=$!
vmm run --kernel /boot/vmlinuz --initrd /tmp/initrd --append "$quick console=ttyS0 script $words" \
	--disk /disks/a,id=first-disk --disk /disks/b,ro --disk $direct,queues=2 \
	--console file=/tmp/hvc --console socket=/tmp/port,name=org.vmm.test \
	--console socket=/tmp/flood,name=org.vmm.flood \
	--balloon 256M,socket=/tmp/balloon --vsock socket=/tmp/vsock,cid=77 \
	$net_options "$@" </dev/null >/tmp/says 2>/tmp/err &
pid=$!
# wished WHAT: has the guest said "please WHAT", for the first time?
wished()
{
	grep -q "^please $1" /tmp/out && [ ! -e "/tmp/wish.$1" ] && touch "/tmp/wish.$1"
}

# The other end of the guest's port, until the port is gone: says a line and then a lot.
talk()
{
	{ echo "hello from the host"; seq 1 $lines; } | ./sockio connect unix:/tmp/port >/tmp/heard
}

# point NAME COMMAND...
point()
{
	name=$1
	shift
	if "$@"; then echo "ok $name"; else echo "not ok $name"; fi
}

# MiB of the runner's memory: now, and the most there was.
kib() { sed -n "s/^$1:[^0-9]*\([0-9]*\).*/\1/p" /proc/$pid/status; }
now() { echo $(($(kib VmRSS) / 1024)); }
most() { echo $(($(kib VmHWM) / 1024)); }

# within COMMAND...: until it is true, for at most a minute.
within()
{
	for _ in $(seq 60); do
		"$@" && return
		sleep 1
	done
	return 1
}

below() { [ "$(now)" -lt "$1" ]; }

ask() { echo "$1" | ./sockio connect unix:/tmp/balloon; }
leaves() { [ "$(ask show | sed 's/^target=[0-9]* memory=\([0-9]*\).*/\1/')" -lt "$1" ]; }
# Not in the answer while the guest has given none since the last question.
figures() { ask show | grep -q " free-memory=[0-9]"; }

# To the guest's port and back.
to_guest() { { echo "CONNECT 1000"; cat; } | ./sockio connect unix:/tmp/vsock; }

dial()
{
	point "vsock: what the guest sends back" test \
		"$(seq 1 $((lines * 2)) | to_guest | tail -n +2 | md5sum)" = \
		"$(seq 1 $((lines * 2)) | md5sum)"
	i=0
	while [ $i -lt $(size 100 5) ] && [ "$(echo "$i" | to_guest | tail -n 1)" = "$i" ]; do
		i=$((i + 1))
	done
	point "vsock: $i connections to the guest" test $i = $(size 100 5)
	point "vsock: a port of the guest's without a listener" test -z \
		"$(echo "CONNECT 1001" | ./sockio connect unix:/tmp/vsock)"
	echo over
} >/tmp/vsock.points

# The guest has filled memory and given it up: reports take it. Then the balloon takes
# more, and at last the guest has it back and fills it again.
give_and_take()
{
	before=$(most)
	point "balloon: what the guest reports as free falls away" within below $((before - $(size 40 8)))
	ask "target $(size 224 248)M" >/tmp/balloon.ok
	point "balloon: it leaves the guest what it is told" within leaves $(($(size 226 249) << 20))
	point "balloon: and has the guest's figures" within figures
	low=$(now)
	ask "target 256M" >>/tmp/balloon.ok
	point "balloon: the guest fills memory again" within grep -q "^filled again" /tmp/out
	point "balloon: which comes back" test "$(now)" -gt $((low + $(size 20 4)))
	echo "# $before MiB at most, then $low, at last $(now)"
	echo over
} >/tmp/balloon.points

# What a guest does as fast as it can takes no memory here, and keeps nobody from an answer.
watch()
{
	sleep 1
	before=$(now)
	sleep 3
	vmm control /tmp/control show >/tmp/shown
	later=$(now)
	point "flood: the control socket answers" grep -q "^cpus=1" /tmp/shown
	point "flood: memory stays as it is ($before MiB, then $later)" test $later -lt $((before + 8))
	truncate -s 97M /disks/a
	kill -USR1 $pid
} >/tmp/flood.points

while [ -d /proc/$pid ]; do
	if wished resize; then
		truncate -s 96M /disks/a
		kill -USR1 $pid
	fi
	if wished connect; then talk & fi
	if wished take; then give_and_take & fi
	if wished dial; then dial & fi
	if wished watch; then watch & fi
	net_serve
	# Each look is some programs started, which in a slow host is much of its time.
	sleep $pause
done
wait $pid
status=$?
wait $tee
cat /tmp/err >&2
net_end

hole() { dd if=/disks/a bs=1M skip="$1" count=4 2>/dev/null | tr -d '\0' | wc -c; }
echo
[ "$(hole 40)" = 0 ] && echo "ok disk: what was discarded is zero" || echo "not ok disk: what was discarded is zero"
[ "$(hole 44)" = 0 ] && echo "ok disk: what was zeroed is zero" || echo "not ok disk: what was zeroed is zero"
[ "$(dd if=/disks/a bs=1M skip=95 count=1 2>/dev/null | head -n 1)" = "the new end" ] &&
	echo "ok disk: the host finds what the guest wrote" ||
	echo "not ok disk: the host finds what the guest wrote"
point "balloon, vsock: the host came to its end" within sh -c \
	'grep -q "^over" /tmp/balloon.points && grep -q "^over" /tmp/vsock.points'
cat /tmp/balloon.points /tmp/vsock.points
[ $brief = 1 ] || cat /tmp/flood.points
point "balloon: its socket answers" test "$(tr '\n' ' ' </tmp/balloon.ok)" = "ok ok "
point "console: a peer gets all from the first byte on" test "$(head -n 1 /tmp/heard)" = \
	"before anybody connected"
point "console: and as much as the guest has" test \
	"$(tail -n +2 /tmp/heard | md5sum)" = "$(seq 1 $lines | md5sum)"
point "console: output is in its file" test "$(tr -d '\r' </tmp/hvc)" = "to the file"
exit $status
END

# drive NAME WORDS [vmm run option]...: WORDS are for the guest's command line.
drive()
{
	local name=$1 words=$2

	shift 2
	in_host "$name" 1 sh host.sh "$kernel" "$quick" "$words" "$@"
}

# Both transports, one after the other in one host, whose start is dear in Bochs.
drive_both_in_brief()
{
	in_host pci 2 sh -c 'sh host.sh "$1" "$2" "over-pci brief" && echo "=== mmio" &&
		sh host.sh "$1" "$2" "over-mmio brief" --transport mmio' sh "$kernel" "$quick"
}

# in_host NAME GUESTS COMMAND...
in_host()
{
	local name=$1 guests=$2 status

	shift 2
	lab --put "$work/script.cpio" --put "$work/host.sh" --put "$work/sockio" \
		--put lab/tests/devices/net-host -- "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	take_points "$name"
	ok "$name: guests did all and powered off" \
		test $status = 0 -a "$(grep -c '^all pieces ran' "$work/out")" = $guests
	[ $bad = 0 ] || {
		tail -n 60 "$work/out" | sed 's/^/# guest: /'
		tail -n 40 "$work/err" | sed 's/^/# lab: /'
	}
}

# Whatever the guest was told is flushed is in the file when its machine is killed.
flush_and_kill()
{
	lab --put "$work/script.cpio" --put "$work/blockio" -- sh -c '
		cat /boot/initrd /boot/modules-'"$kernel"' script.cpio >/tmp/initrd
		mkdir -p /disks && mount -t tmpfs disks /disks
		for wait in 0.3 1.1 2.7; do
			rm -f /disks/a
			truncate -s 16M /disks/a
			vmm run --kernel /boot/vmlinuz --initrd /tmp/initrd \
				--append "'"$quick"' console=ttyS0 script flush" --disk /disks/a \
				</dev/null >/tmp/out 2>&1 &
			for _ in $(seq 1500); do
				grep -q "^flushed 5" /tmp/out && break
				sleep 0.1
			done
			sleep $wait
			kill -9 $!
			wait $!
			last=$(tr -d "\r" </tmp/out | sed -n "s/^flushed \([0-9]*\)$/\1/p" | tail -n 1)
			echo "killed after record ${last:=0}"
			[ "$last" -ge 5 ] && ./blockio check /disks/a $last || exit 1
		done' </dev/null >"$work/out" 2>"$work/err"
	ok "nothing that was flushed is lost by kill -9 at three moments" test $? = 0
	sed 's/^/# /' "$work/out"
}

# A disk that does not answer any more does not keep who ends the machine waiting.
hang_and_end()
{
	lab --put "$work/script.cpio" --put "$work/hangfs" -- sh -c '
		cat /boot/initrd /boot/modules-'"$kernel"' script.cpio >/tmp/initrd
		modprobe fuse
		mkdir /disks
		./hangfs /disks &
		server=$!
		until [ -e /disks/disk ]; do sleep 0.1; done
		vmm run --kernel /boot/vmlinuz --initrd /tmp/initrd \
			--append "'"$quick"' console=ttyS0 script hang" --disk /disks/disk \
			</dev/null >/tmp/out 2>/tmp/err &
		guest=$!
		for _ in $(seq 1500); do
			grep -q "^it answers" /tmp/out && break
			sleep 0.1
		done
		kill -USR1 $server
		sleep 2
		before=$(grep -c "^it answers" /tmp/out)
		sleep 1
		echo "$before answers, later $(grep -c "^it answers" /tmp/out)"
		[ "$before" -gt 0 ] && [ "$(grep -c "^it answers" /tmp/out)" = "$before" ] || exit 1
		kill -TERM $guest
		wait $guest
		status=$?
		cat /tmp/err
		echo "status $status"
		[ $status = 143 ] && grep -q "does not stop in time: .*; ." /tmp/err
		status=$?
		kill -9 $server
		exit $status' </dev/null >"$work/out" 2>"$work/err"
	ok "a disk that does not answer any more keeps SIGTERM from nothing" test $? = 0
	sed 's/^/# /' "$work/out"
}

# Devices with a queue for each of four CPUs.
several_queues()
{
	lab --smp 2 --put "$work/script.cpio" --put "$work/sockio" -- sh -c '
		cat /boot/initrd /boot/modules-'"$kernel"' script.cpio >/tmp/initrd
		mkdir -p /disks && mount -t tmpfs disks /disks
		truncate -s 16M /disks/a /disks/b /disks/c /disks/d
		modprobe tun
		modprobe vhost_net
		./sockio echo tcp:0.0.0.0:8081 4 >/dev/null &
		until ifconfig vmmtap 10.2.0.1 netmask 255.255.255.0 up 2>/dev/null; do sleep 0.1; done &
		vmm run --kernel /boot/vmlinuz --initrd /tmp/initrd --cpus 4 \
			--append "'"$quick"' console=ttyS0 script queues" \
			--disk /disks/a,queues=4 --disk /disks/b,queues=4 --disk /disks/c,queues=4 \
			--disk /disks/d,queues=4 --net tap=vmmtap,queues=4,vhost=auto </dev/null' \
		</dev/null >"$work/out" 2>"$work/err"
	ok "a guest with four CPUs powered off" test $? = 0
	take_points "four queues"
	[ $bad = 0 ] || {
		tail -n 40 "$work/out" | sed 's/^/# guest: /'
		tail -n 40 "$work/err" | sed 's/^/# lab: /'
	}
}

# The network of a program that the user may have.
by_passt()
{
	if ! command -v passt >/dev/null; then
		n=$((n + 1))
		echo "ok $n passt # SKIP passt is not installed"
		return
	fi
	lab --put "$work/script.cpio" --put lab/tests/devices/passt-host --put "$(command -v passt)" \
		-- sh passt-host "$kernel" "$quick" </dev/null >"$work/out" 2>"$work/err"
	ok "a guest with passt powered off" test $? = 0
	take_points passt
	[ $bad = 0 ] || {
		tail -n 40 "$work/out" | sed 's/^/# guest: /'
		tail -n 40 "$work/err" | sed 's/^/# lab: /'
	}
}

echo "TAP version 13"
for tool in blockio sockio hangfs; do
	gcc -O2 -Wall -Wextra -D_GNU_SOURCE -static "lab/tests/$tool.c" -o "$work/$tool" || exit 1
done
pack "$work/script.cpio"
sizes="net-mib=${NET_MIB:-4} tap-mib=${TAP_MIB:-4} vsock-mib=${VSOCK_MIB:-8}"
large="net-mib=${NET_MIB:-4} tap-mib=${TAP_MIB:-100} vsock-mib=${VSOCK_MIB:-256}"
# Both kernels drive all devices over both transports, one a lot over PCI, the other over MMIO. The
# process is the same whatever the kernels are: of what is not the guest's, one of them will do.
default_parts()
{
	case $host,$kernel in
	vmx*) echo brief ;;
	*,6.12) echo pci-brief mmio queues passt ;;
	*) echo pci mmio-brief flush hang ;;
	esac
}

for part in ${PARTS:-$(default_parts)}; do
	case $part in
	pci) drive pci "over-pci $large" ;;
	pci-brief) drive pci "over-pci brief $sizes" ;;
	mmio)
		drive "mmio, packed rings" "over-mmio packed $sizes" --transport mmio --rings packed ;;
	mmio-brief) drive mmio "over-mmio brief $sizes" --transport mmio ;;
	brief) drive_both_in_brief ;;
	flush) flush_and_kill ;;
	hang) hang_and_end ;;
	queues) several_queues ;;
	passt) by_passt ;;
	esac
done
echo "1..$n"
exit $bad
