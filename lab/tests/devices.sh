#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The runner's devices, driven by stock Debian kernels as guests in an emulated host:
# HOST (svm) and KERNEL (6.1, the host's and the guest's) from the environment. TAP. NET_MIB and
# VSOCK_MIB there are what goes both ways over each network (1) and over a socket (4).
#
# What a guest does is in lab/tests/devices/: its pieces are run in their order, each by
# a shell of its own, with the functions of guest_functions() below.

cd "$(dirname "$0")/../.." || exit 1
host=${HOST:-svm}
kernel=${KERNEL:-6.1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. lab/tests/tap.sh

lab()
{
	lab/lab --host "$host" --kernel "$kernel" --timeout "${LIMIT:-420}" "$@"
}

guest_functions()
{
	cat <<'END'
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
	mv "$dir/pieces/queues.sh" "$dir"
	cat >"$dir/script" <<'END'
case " $(cat /proc/cmdline) " in
*" flush "*)
	modprobe virtio_pci
	modprobe virtio_blk
	/blockio flush /dev/vda
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
esac
for piece in /pieces/*; do
	sh -c ". /functions; . $piece" || echo "not ok ${piece##*/} ran to its end"
done
echo "all pieces ran"
END
	# Compressed: what follows another archive would have to be aligned otherwise.
	(cd "$dir" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0) | gzip -n >"$1"
}

# The guest's points become ours: lines that start with ok or not ok.
take_points()
{
	local line

	while read -r line; do
		case $line in
		"ok "*) ok "$1: ${line#ok }" true ;;
		"not ok "*) ok "$1: ${line#not ok }" false ;;
		esac
	done < <(tr -d '\r' <"$work/out")
}

# What runs in the emulated host: disks, the guest, and what is to be seen of it from there.
cat >"$work/host.sh" <<'END'
series=$1
words=$2
shift 2
cat /boot/initrd "/boot/modules-$series" script.cpio >/tmp/initrd
mkdir -p /disks
mount -t tmpfs disks /disks
for disk in a b c; do
	truncate -s 64M /disks/$disk
	for i in $(seq 0 63); do
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
vmm run --kernel /boot/vmlinuz --initrd /tmp/initrd --append "quiet console=ttyS0 script $words" \
	--disk /disks/a,id=first-disk --disk /disks/b,ro --disk $direct,queues=2 \
	--console file=/tmp/hvc --console socket=/tmp/port,name=org.vmm.test \
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
	{ echo "hello from the host"; seq 1 50000; } | ./sockio connect unix:/tmp/port >/tmp/heard
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
		"$(seq 1 100000 | to_guest | tail -n +2 | md5sum)" = "$(seq 1 100000 | md5sum)"
	i=0
	while [ $i -lt 100 ] && [ "$(echo "$i" | to_guest | tail -n 1)" = "$i" ]; do
		i=$((i + 1))
	done
	point "vsock: a hundred connections to the guest" test $i = 100
	point "vsock: a port of the guest's without a listener" test -z \
		"$(echo "CONNECT 1001" | ./sockio connect unix:/tmp/vsock)"
	echo over
} >/tmp/vsock.points

# The guest has filled memory and given it up: reports take it. Then the balloon takes
# more, and at last the guest has it back and fills it again.
give_and_take()
{
	before=$(most)
	point "balloon: what the guest reports as free falls away" within below $((before - 40))
	low=$(now)
	ask "target 224M" >/tmp/balloon.ok
	point "balloon: it leaves the guest what it is told" within leaves $((226 << 20))
	point "balloon: and has the guest's figures" within figures
	ask "target 256M" >>/tmp/balloon.ok
	point "balloon: the guest fills memory again" within grep -q "^filled again" /tmp/out
	point "balloon: which comes back" test "$(now)" -gt $((low + 20))
	echo "# $before MiB at most, then $low, at last $(now)"
	echo over
} >/tmp/balloon.points

while [ -d /proc/$pid ]; do
	if wished resize; then
		truncate -s 96M /disks/a
		kill -USR1 $pid
	fi
	if wished connect; then talk & fi
	if wished take; then give_and_take & fi
	if wished dial; then dial & fi
	net_serve
	sleep 0.2
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
point "balloon: its socket answers" test "$(tr '\n' ' ' </tmp/balloon.ok)" = "ok ok "
point "console: a peer gets all from the first byte on" test "$(head -n 1 /tmp/heard)" = \
	"before anybody connected"
point "console: and as much as the guest has" test \
	"$(tail -n +2 /tmp/heard | md5sum)" = "$(seq 1 50000 | md5sum)"
point "console: output is in its file" test "$(tr -d '\r' </tmp/hvc)" = "to the file"
exit $status
END

# drive NAME WORDS [vmm run option]...: WORDS are for the guest's command line.
drive()
{
	local name=$1 words=$2 status

	shift 2
	lab --put "$work/script.cpio" --put "$work/host.sh" --put "$work/sockio" \
		--put lab/tests/devices/net-host -- sh host.sh "$kernel" "$words" "$@" \
		</dev/null >"$work/out" 2>"$work/err"
	status=$?
	take_points "$name"
	ok "$name: the guest did all and powered off" \
		test $status = 0 -a "$(grep -c '^all pieces ran' "$work/out")" = 1
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
				--append "quiet console=ttyS0 script flush" --disk /disks/a \
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
			--append "quiet console=ttyS0 script queues" \
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

echo "TAP version 13"
for tool in blockio sockio; do
	gcc -O2 -Wall -Wextra -D_GNU_SOURCE -static "lab/tests/$tool.c" -o "$work/$tool" || exit 1
done
pack "$work/script.cpio"
sizes="net-mib=${NET_MIB:-1} vsock-mib=${VSOCK_MIB:-4}"
drive pci "over-pci $sizes"
drive "mmio, packed rings" "over-mmio $sizes" --transport mmio --rings packed
# The process is the same whatever the kernels are: one of them will do.
if [ "$kernel" = 6.1 ]; then flush_and_kill; else several_queues; fi
echo "1..$n"
exit $bad
